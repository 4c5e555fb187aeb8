"""What a long run came to, and what its process held meanwhile, which must not grow."""

from __future__ import annotations

import os
import re
import statistics
import sys
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        samples: Numbers of all samples in a row; as objects they would count themselves.
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


def sample() -> Sample:
    """Look at this process."""
    proc = Path("/proc/self")
    threads = re.search(r"^Threads:\s+([0-9]+)", (proc / "status").read_text(), re.MULTILINE)
    memory = int((proc / "statm").read_text().split()[1]) * _PAGE / _MIB
    files = len(list((proc / "fd").iterdir()))
    return Sample(files, int(threads[1]) if threads else 0, memory, sys.getallocatedblocks())
