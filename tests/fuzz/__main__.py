"""Fuzz each parser for a fixed time: ``python -m tests.fuzz [--seconds 60] [--target NAME]``."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import NAMES, load

LONGEST = 8192
"""Most bytes of an input."""

SLOWEST = 10
"""Seconds after which an input counts as one that hangs."""

MOST_MEMORY = 1024
"""MiB of the whole process."""

_SHOWN = 60
"""Most lines of what a broken target says."""

_STATISTIC = re.compile(rb"^stat::number_of_executed_units:\s+([0-9]+)", re.MULTILINE)
_PROGRESS = re.compile(rb"^#([0-9]+)\s.*?\bcov: ([0-9]+)(?:.*?\bcorp: ([0-9]+))?", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What became of one target.

    Attributes:
        name: Of the target.
        executions: How many inputs it was fed.
        coverage: How many edges of the code they have reached.
        corpus: How many of them led further than all before.
        seconds: How long that took.
        crash: The input that broke it, None when none did.
        log: The end of what was printed.
    """

    name: str
    executions: int
    coverage: int
    corpus: int
    seconds: float
    crash: bytes | None
    log: str

    @property
    def row(self) -> str:
        """Return its line of the table."""
        verdict = "none" if self.crash is None else "FOUND"
        return (
            f"{self.name:<14}{self.executions:>12}{self.coverage:>10}{self.corpus:>8}"
            f"{self.seconds:>9.0f}  {verdict}"
        )


def main() -> int:
    """Run the targets one after the other; 1 when one of them broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--target", action="append", choices=NAMES, help="only this one")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write(
            "atheris is not installed; 'make fuzz' does it, or for this environment:\n"
            "  pip install atheris==3.0.0  (Linux on x86-64, Python 3.11 to 3.13)\n"
        )
        return 2
    _say(f"{'target':<14}{'executions':>12}{'coverage':>10}{'corpus':>8}{'seconds':>9}  crash")
    results = []
    for name in options.target or NAMES:
        results.append(fuzz(name, options.seconds))
        _say(results[-1].row)
    for result in results:
        if result.crash is not None:
            _say(f"\n{result.name} broke with {result.crash!r}\n{result.log}")
    return 1 if any(result.crash is not None for result in results) else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fuzz(name: str, seconds: int) -> Result:
    """Fuzz one target in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        place = Path(directory)
        command = _command(name, seconds, place)
        started = time.monotonic()
        done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
        elapsed = time.monotonic() - started
        broken = sorted(place.glob("found-*"))
        # An input that breaks the target is kept; without one the process itself failed.
        crash = broken[0].read_bytes() if broken else b"" if done.returncode else None
    return read(name, elapsed, done.stdout + done.stderr, crash)


def read(name: str, seconds: float, output: bytes, crash: bytes | None) -> Result:
    """Return what libFuzzer and Python have said of one target."""
    progress = _PROGRESS.findall(output)
    executed = _STATISTIC.search(output)
    return Result(
        name=name,
        executions=int(executed[1]) if executed else int(progress[-1][0]) if progress else 0,
        coverage=max((int(coverage) for _, coverage, _ in progress), default=0),
        corpus=max((int(corpus or 0) for _, _, corpus in progress), default=0),
        seconds=seconds,
        crash=crash,
        log=_told(output),
    )


def _told(output: bytes) -> str:
    """Return the traceback, or the end of what libFuzzer says when it ended the process."""
    lines = output.decode("utf-8", "replace").splitlines()
    begin = next((at for at, line in enumerate(lines) if "Uncaught Python" in line), None)
    if begin is None:
        return "\n".join(lines[-_SHOWN:])
    end = next(at for at, line in enumerate([*lines[begin:], ""], begin) if not line)
    return "\n".join(lines[begin:end][:_SHOWN])


def _command(name: str, seconds: int, place: Path) -> list[str]:
    """Write seeds and words, and return what to run."""
    target = load(name)
    seeds = place / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(target.SEEDS):
        (seeds / str(number)).write_bytes(seed)
    words = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.WORDS)
    (place / "words").write_text("".join(f'"{word}"\n' for word in words))
    return [
        sys.executable,
        "-m",
        "tests.fuzz.campaign",
        name,
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-timeout={SLOWEST}",
        f"-rss_limit_mb={MOST_MEMORY}",
        f"-artifact_prefix={place}/found-",
        f"-dict={place / 'words'}",
        "-print_final_stats=1",
        str(seeds),
    ]


if __name__ == "__main__":
    sys.exit(main())
