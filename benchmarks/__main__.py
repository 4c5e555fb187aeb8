"""Measure, and print a table; with ``--strict`` a bound that is not kept fails the run."""

from __future__ import annotations

import argparse
import sys

from benchmarks import imports, request, resolving, s3, transfer
from benchmarks.figures import Figure, table

_MEASUREMENTS = {
    "request": request.measure,
    "import": imports.measure,
    "transfer": transfer.measure,
    "secrets": resolving.measure,
    "s3": s3.measure,
}


def main() -> int:
    """Take the measurements that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(_MEASUREMENTS)}")
    parser.add_argument("--strict", action="store_true", help="fail unless every bound is kept")
    options = parser.parse_args()
    if unknown := set(options.names) - set(_MEASUREMENTS):
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    for name in options.names or _MEASUREMENTS:
        figures += _MEASUREMENTS[name]()
    print(table(figures))
    kept = all(figure.verdict in {"ok", ""} for figure in figures)
    return 1 if options.strict and not kept else 0


if __name__ == "__main__":
    sys.exit(main())
