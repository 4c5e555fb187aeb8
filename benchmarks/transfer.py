"""512 MiB up from a file and down into one, in a fresh process: how much memory that takes.

Run as a program it is that process: ``python -m benchmarks.transfer ORIGIN DIRECTORY``.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import webhook_storage as ws
from benchmarks.figures import Figure
from benchmarks.nginx import serve_nginx
from tests.fleet.process import MissingServerError

_NAME = "transfer: peak of 512 MiB up, down"
_SIZE = 512 * 1024 * 1024
_BOUND = 100.0


def measure() -> list[Figure]:
    """Send and fetch in a process of its own."""
    try:
        with serve_nginx() as origin, tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
            command = [sys.executable, "-m", __name__, origin, directory]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    except MissingServerError as error:
        return [Figure(name=_NAME, unit="MiB", bound=_BOUND, note=str(error))]
    peak, up, down = map(float, done.stdout.split())
    note = f"{up:.1f} s up, {down:.1f} s down"
    return [Figure(name=_NAME, value=peak, unit="MiB", bound=_BOUND, note=note)]


def transfer(origin: str, directory: Path) -> None:
    """Send and fetch, and print peak memory in MiB and the seconds of both."""
    source, target = directory / "source", directory / "target"
    with source.open("wb") as file:
        file.truncate(_SIZE)
    kwargs = {"url": f"{origin}/${{artifact.key}}"}
    storage = ws.Webhook(kwargs, "PUT", kwargs, "GET")
    started = time.perf_counter()
    receipt = storage.put(source, "large")
    stored = time.perf_counter()
    storage.download(target, receipt)
    fetched = time.perf_counter()
    print(peak_memory(), stored - started, fetched - stored)


def peak_memory() -> float:
    """Return the largest resident size of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux that begins with what the parent had when it started us.
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if match:
            return int(match[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    transfer(sys.argv[1], Path(sys.argv[2]))
