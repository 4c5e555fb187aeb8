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
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import webhook_storage as ws
from benchmarks.faults import relayed
from benchmarks.growth import Report, sample
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
