"""A measured figure, and how measurements are taken: interleaved, in medians."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What was measured.
        value: The figure; None when it could not be measured.
        unit: What it counts.
        bound: What it may be at most; None where nothing was promised.
        note: The numbers behind it, or why there is none.
    """

    name: str
    value: float | None = None
    unit: str = "x"
    bound: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Say whether the bound is kept."""
        if self.value is None:
            return "not measured"
        if self.bound is None:
            return ""
        return "ok" if self.value <= self.bound else "over"

    @property
    def row(self) -> tuple[str, ...]:
        """Return the cells of its line."""
        value = "-" if self.value is None else f"{self.value:.2f} {self.unit}"
        bound = "-" if self.bound is None else f"{self.bound:g} {self.unit}"
        return self.name, value, bound, self.verdict, self.note


def table(figures: list[Figure]) -> str:
    """Return the figures in columns."""
    rows = [("what", "figure", "bound", "", "detail"), *(figure.row for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def interleaved(
    actions: Mapping[str, Callable[[], object]], *, rounds: int, runs: int
) -> dict[str, float]:
    """Return the seconds that each action takes: the median over runs of each run's median.

    The actions take turns, so that what else the machine does meets all of them alike.
    """
    medians: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(runs):
        times: dict[str, list[float]] = {name: [] for name in actions}
        for _ in range(rounds):
            for name, action in actions.items():
                started = time.perf_counter()
                action()
                times[name].append(time.perf_counter() - started)
        for name, taken in times.items():
            medians[name].append(statistics.median(taken))
    return {name: statistics.median(taken) for name, taken in medians.items()}
