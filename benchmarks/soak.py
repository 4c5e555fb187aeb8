"""Store and fetch for a long time while some of it fails: ``python -m benchmarks.soak``.

A real server stands behind a relay that breaks connections. Each artifact is stored under a key of
its own, from threads and from an event loop, fetched with its receipt and compared. Meanwhile open
files, threads and memory of this process are counted. Exit code 1 when an artifact differs, an
error comes through, or one of the three grows.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import os
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from array import array
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import webhook_storage as ws
from benchmarks.faults import relayed
from benchmarks.nginx import serve_nginx
from tests.fleet.process import MissingServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.artifact import Source

THREADS = 4
TASKS = 4
"""Workers that store and fetch, of both sorts."""

RETRY = ws.RetryPolicy(attempts=12, initial_delay=0.02, max_delay=1.0, deadline=60.0)
"""More attempts than a part of a hundred broken ones can use up."""

POINTS = (0.1, 0.5, 1.0)
"""Parts of the run at which counts are told; each is the median of a fifth of the run before it.

What is under way at one moment says little.
"""

MORE_FILES = 2
"""Open files that may be added: a connection is closed a little after its successor is made."""

MORE_MEMORY = 8.0
"""MiB that may be added in the second half."""

MORE_BLOCKS = 2000
"""Blocks that may be added in the second half: what is under way, and no one for each pair."""

RETURNING = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
"""Has glibc return what is freed; else it keeps many MiB for later, now more and now less."""

_SAMPLES = 400
_LARGEST = 1024 * 1024
_EXCEPTIONAL = 8 * 1024 * 1024
_PIECE = 50_000
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1024 * 1024


class Sample(NamedTuple):
    """What this process holds at one moment.

    Attributes:
        files: Open file descriptors.
        threads: Threads of the operating system.
        memory: Resident memory in MiB.
        blocks: Pieces of memory that Python has handed out, nearly one for each object.
    """

    files: float
    threads: float
    memory: float
    blocks: float


@dataclass
class Report:
    """What came of a run.

    Attributes:
        pairs: How many artifacts were stored and fetched.
        faults: How often the relay did what.
        attempts: How many requests were sent.
        errors: Those that came through, by their kind.
        different: How many artifacts were not what was stored.
        seconds: How long it took.
        size: Bytes of all artifacts together.
        samples: Numbers of all samples, one after the other: as objects they would count themselves.
    """

    pairs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    different: int = 0
    seconds: float = 0.0
    size: int = 0
    samples: array[float] = field(default_factory=lambda: array("d"))

    def at(self, part: float) -> Sample:
        """Return what was held when that part of the run was over."""
        samples = list(zip(*[iter(self.samples)] * len(Sample._fields), strict=True))
        end = max(1, round(len(samples) * part))
        window = samples[max(0, end - max(1, len(samples) // 5)) : end]
        return Sample(*map(statistics.median, zip(*window, strict=True)))

    def complaints(self) -> list[str]:
        """Return what must not be; nothing when all is well."""
        first, middle, last = map(self.at, POINTS)
        found = [f"{count} times {kind}" for kind, count in self.errors.items()]
        if self.different:
            found.append(f"{self.different} artifacts are not what was stored")
        if last.files > first.files + MORE_FILES:
            found.append("the number of open files grows")
        if last.threads > first.threads:
            found.append("the number of threads grows")
        if last.memory > middle.memory + MORE_MEMORY:
            found.append("the memory grows")
        if last.blocks > middle.blocks + MORE_BLOCKS:
            found.append("the number of objects grows")
        return found

    def lines(self) -> Iterator[str]:
        """Yield the figures."""
        rate = self.pairs / self.seconds
        yield f"pairs      {self.pairs} in {self.seconds:.0f} s, {rate:.1f} a second"
        yield f"artifacts  {self.size / _MIB:.0f} MiB, {self.different} different"
        yield f"requests   {self.attempts}"
        yield f"errors     {self.errors.total()}"
        yield f"faults     {self.faults.total()}"
        for kind, count in sorted(self.faults.items()):
            yield f"           {count:>6} {kind}"
        yield "           open files  threads      memory   objects"
        for part in POINTS:
            files, threads, memory, blocks = self.at(part)
            yield (
                f"at {part:>4.0%}    {files:>10.0f}{threads:>9.0f}{memory:>8.1f} MiB{blocks:>10.0f}"
            )


def soak(
    origin: str, pairs: int, directory: Path, *, seed: int = 1, samples: int = _SAMPLES
) -> Report:
    """Store and fetch that many artifacts.

    Args:
        origin: A server, or a relay in front of one.
        pairs: How many artifacts.
        directory: Where files to send, and fetched ones, may lie.
        seed: Of what they hold.
        samples: How often to look at this process.
    """
    run = _Run(origin, pairs, directory, seed, samples)
    counter = _Attempts()
    log = logging.getLogger("webhook_storage")
    level = log.level
    log.addHandler(counter)
    log.setLevel(logging.INFO)
    workers = [threading.Thread(target=run.work) for _ in range(THREADS)]
    workers.append(threading.Thread(target=asyncio.run, args=(run.work_in_loop(),)))
    started = time.monotonic()
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        log.removeHandler(counter)
        log.setLevel(level)
    run.report.seconds = time.monotonic() - started
    run.report.attempts = counter.count
    return run.report


class _Attempts(logging.Handler):
    """Counts requests by what the library tells of each."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += hasattr(record, "webhook_storage")


class _Run:
    """What the workers share."""

    def __init__(self, origin: str, pairs: int, directory: Path, seed: int, samples: int) -> None:
        place = {"url": f"{origin}/${{artifact.key}}", "timeout": 20}
        self.report = Report()
        self._storage = ws.Webhook(place, "PUT", place, "GET")
        self._sender = ws.Sender(secrets=[], retry=RETRY)
        self._numbers = iter(range(pairs))
        self._each = max(1, pairs // samples)
        self._directory = directory
        self._seed = seed
        self._lock = threading.Lock()

    def work(self) -> None:
        """Store and fetch, one after the other, until all is done."""
        with self._sender:
            for number in self._remaining():
                item = _Item(number, self._seed, self._directory)
                try:
                    receipt = self._storage.put(item.source(), item.key)
                    if item.to_file:
                        self._storage.download(item.target, receipt)
                        self._done(item, item.fetched())
                    else:
                        self._done(item, self._storage.get(receipt))
                except ws.WebhookStorageError as error:
                    self._failed(error)
                finally:
                    item.forget()

    async def work_in_loop(self) -> None:
        """Do the same in tasks."""
        with ThreadPoolExecutor(TASKS) as pool:
            # All its threads are there from the start, so that later ones are too many.
            ready = threading.Barrier(TASKS)
            for started in [pool.submit(ready.wait) for _ in range(TASKS)]:
                started.result()
            asyncio.get_running_loop().set_default_executor(pool)
            await asyncio.gather(*(self._task() for _ in range(TASKS)))

    async def _task(self) -> None:
        with self._sender:
            for number in self._remaining():
                item = _Item(number, self._seed, self._directory)
                try:
                    receipt = await self._storage.aput(item.source(), item.key)
                    if item.to_file:
                        await self._storage.adownload(item.target, receipt)
                        self._done(item, item.fetched())
                    else:
                        self._done(item, await self._storage.aget(receipt))
                except ws.WebhookStorageError as error:
                    self._failed(error)
                finally:
                    item.forget()

    def _remaining(self) -> Iterator[int]:
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            yield number

    def _done(self, item: _Item, content: bytes) -> None:
        with self._lock:
            self.report.pairs += 1
            self.report.size += len(content)
            self.report.different += content != item.content
            self._look()

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self.report.errors[type(error).__name__] += 1
            self._look()

    def _look(self) -> None:
        """Take a sample when it is time for one."""
        if not (self.report.pairs + self.report.errors.total()) % self._each:
            self.report.samples.extend(sample())


class _Item:
    """One artifact: the same for the same number, whoever stores it."""

    def __init__(self, number: int, seed: int, directory: Path) -> None:
        chance = random.Random(seed * 1_000_000_007 + number)  # noqa: S311 - it is to be the same
        self.key = f"{seed}/{number % 100}/{number}"
        self.content = chance.randbytes(_size(chance))
        self.to_file = chance.random() < 0.5  # noqa: PLR2004 - every second one
        self.target = directory / f"{number}.fetched"
        self._kind = chance.choice(("bytes", "bytes", "path", "file", "chunks"))
        self._path = directory / f"{number}.source"

    def source(self) -> Source:
        """Return it as one of the things that can be stored."""
        match self._kind:
            case "path":
                self._path.write_bytes(self.content)
                return self._path
            case "chunks":
                return (
                    self.content[at : at + _PIECE] for at in range(0, len(self.content), _PIECE)
                )
            case "file":
                return io.BytesIO(self.content)
            case _:
                return self.content

    def fetched(self) -> bytes:
        """Return what was fetched."""
        return self.target.read_bytes()

    def forget(self) -> None:
        """Remove its files."""
        self.target.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)


def _size(chance: random.Random) -> int:
    """Return a size: mostly small, sometimes nothing, seldom several MiB."""
    die = chance.random()
    if die < 0.02:  # noqa: PLR2004 - two of a hundred
        return 0
    if die > 0.998:  # noqa: PLR2004 - two of a thousand
        return chance.randint(_LARGEST, _EXCEPTIONAL)
    return int(_LARGEST ** chance.random())


def sample() -> Sample:
    """Look at this process."""
    proc = Path("/proc/self")
    threads = re.search(r"^Threads:\s+([0-9]+)", (proc / "status").read_text(), re.MULTILINE)
    memory = int((proc / "statm").read_text().split()[1]) * _PAGE / _MIB
    files = len(list((proc / "fd").iterdir()))
    return Sample(files, int(threads[1]) if threads else 0, memory, sys.getallocatedblocks())


def main() -> int:
    """Run it, print the figures, and say what must not be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--faults", type=float, default=0.01, help="part of the requests")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not RETURNING.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.soak", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **RETURNING})  # noqa: S606 - it is we
    try:
        with serve_nginx() as origin, tempfile.TemporaryDirectory(prefix="soak-") as directory:
            port = int(origin.rpartition(":")[2])
            with relayed(port, options.faults, seed=options.seed) as (url, counts):
                report = soak(url, options.pairs, Path(directory), seed=options.seed)
            report.faults = counts
    except MissingServerError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(report.lines()))
    complaints = report.complaints()
    print("\n".join(complaints) or "nothing lost, nothing grown")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
