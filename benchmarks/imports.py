"""What `import webhook_storage` takes, against `import httpx`, each in fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.figures import Figure

_BOUND = 2.5
_RUNS = 21
_PROGRAM = """
import sys, time
started = time.perf_counter()
__import__(sys.argv[1])
print(time.perf_counter() - started)
"""


def measure() -> list[Figure]:
    """Compare the two imports."""
    times: dict[str, list[float]] = {"webhook_storage": [], "httpx": []}
    for run in range(_RUNS + 1):
        for module, taken in times.items():
            seconds = _import(module)
            if run:  # the first one may have compiled
                taken.append(seconds)
    ours, bare = (statistics.median(taken) for taken in times.values())
    note = f"{ours * 1e3:.0f} ms, httpx {bare * 1e3:.0f} ms"
    return [Figure(name="import / import httpx", value=ours / bare, bound=_BOUND, note=note)]


def _import(module: str) -> float:
    command = [sys.executable, "-c", _PROGRAM, module]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)
