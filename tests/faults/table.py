"""The table of faults in the documentation: each row is what a test saw, and is held to it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENT = Path(__file__).parents[2] / "docs/faults.md"
HEADER = (
    "| fault | direction | server | the caller gets | attempts | bytes |",
    "|---|---|---|---|---|---|",
)
WRITE = "--write-table"


@dataclass(frozen=True, order=True)
class Row:
    """What came of a fault.

    Attributes:
        fault: What went wrong.
        direction: `up` or `down`.
        server: What stood at the other end.
        outcome: `stored`, `fetched`, or the name of the error.
        attempts: How often the request was sent.
        bytes: What is there afterwards.
    """

    fault: str
    direction: str
    server: str
    outcome: str
    attempts: str
    bytes: str

    @property
    def subject(self) -> tuple[str, str, str]:
        """Return what there is one row of."""
        return self.fault, self.direction, self.server


def parse(text: str) -> set[Row]:
    """Return the rows of a document; servers of which the same is told share a line."""
    rows = set()
    for line in text.splitlines():
        if line.startswith("| ") and line not in HEADER:
            fault, direction, servers, *rest = (cell.strip() for cell in line.strip("|").split("|"))
            rows |= {Row(fault, direction, server, *rest) for server in servers.split(", ")}
    return rows


def render(text: str, rows: Iterable[Row]) -> str:
    """Return a document with these rows in place of those that it has."""
    sharing = defaultdict(list)
    for row in sorted(rows):
        fault, direction, server, *rest = astuple(row)
        sharing[fault, direction, *rest].append(server)
    lines = [
        f"| {fault} | {direction} | {', '.join(servers)} | {' | '.join(rest)} |"
        for (fault, direction, *rest), servers in sharing.items()
    ]
    kept = [line for line in text.splitlines() if line in HEADER or not line.startswith("| ")]
    place = kept.index(HEADER[1]) + 1
    return "\n".join([*kept[:place], *lines, *kept[place:], ""])


class Table:
    """The rows of the document, and those that were seen.

    Args:
        document: Where the table is.
        writing: Whether what was seen is written there, rather than compared.
    """

    def __init__(self, document: Path, *, writing: bool) -> None:
        """Read the rows."""
        self._document = document
        self._writing = writing
        self._told = {row.subject: row for row in parse(document.read_text())}
        self._seen: dict[tuple[str, str, str], Row] = {}

    def check(self, row: Row) -> None:
        """Take a row.

        Raises:
            AssertionError: When the document tells it otherwise, or another test saw it otherwise.
        """
        assert self._seen.setdefault(row.subject, row) == row
        if not self._writing:
            told = self._told.get(row.subject)
            assert told == row, f"the table is old; run: pytest tests/faults {WRITE}"

    def unseen(self) -> list[Row]:
        """Return the rows that no test has shown."""
        return sorted(row for subject, row in self._told.items() if subject not in self._seen)

    def write(self, *, all_seen: bool) -> None:
        """Write what was seen, and keep the other rows unless all were seen."""
        rows = self._seen if all_seen else {**self._told, **self._seen}
        self._document.write_text(render(self._document.read_text(), rows.values()))
