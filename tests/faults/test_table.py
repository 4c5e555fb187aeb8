"""The table of faults: what is written is what was seen, in one order, and the rest stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.table import HEADER, Row, Table, parse, render

if TYPE_CHECKING:
    from pathlib import Path

CUT = Row("cut", "down", "nginx", "fetched", "2", "new")
CUT_ELSEWHERE = Row("cut", "down", "Apache", "fetched", "2", "new")
RESET = Row("reset", "up", "nginx", "ProtocolError", "3", "old")
TEXT = "\n".join(["# Faults", "", *HEADER, "", "More.", ""])
WRITTEN = "\n".join(
    [
        "# Faults",
        "",
        *HEADER,
        "| cut | down | Apache, nginx | fetched | 2 | new |",
        "| reset | up | nginx | ProtocolError | 3 | old |",
        "",
        "More.",
        "",
    ]
)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A document with rows."""
    path = tmp_path / "faults.md"
    path.write_text(WRITTEN)
    return path


def test_round_trip() -> None:
    """Rows are sorted, servers of the same fate share a line, and all come back."""
    assert WRITTEN == render(TEXT, [RESET, CUT, CUT_ELSEWHERE])
    assert {CUT, CUT_ELSEWHERE, RESET} == parse(WRITTEN)
    assert WRITTEN == render(WRITTEN, parse(WRITTEN))


@pytest.mark.parametrize(
    "row",
    [
        Row("cut", "down", "nginx", "fetched", "3", "new"),
        Row("cut", "up", "nginx", "stored", "2", "new"),
    ],
)
def test_other_than_documented(document: Path, row: Row) -> None:
    """A row that the document does not tell so is a failure that says what to do."""
    with pytest.raises(AssertionError, match="pytest tests/faults --write-table"):
        Table(document, writing=False).check(row)


def test_as_documented(document: Path) -> None:
    """What the document says is well, and what no test shows is told."""
    table = Table(document, writing=False)
    table.check(CUT)
    table.check(RESET)
    assert [CUT_ELSEWHERE] == table.unseen()


def test_seen_in_two_ways(document: Path) -> None:
    """All tests of one row see the same, also when it is written."""
    table = Table(document, writing=True)
    table.check(CUT)
    with pytest.raises(AssertionError):
        table.check(Row("cut", "down", "nginx", "fetched", "3", "new"))


@pytest.mark.parametrize(
    ("all_seen", "left"), [(True, {RESET}), (False, {RESET, CUT, CUT_ELSEWHERE})]
)
def test_write(document: Path, left: set[Row], *, all_seen: bool) -> None:
    """Rows that were not seen stay, unless all were to be seen."""
    table = Table(document, writing=True)
    table.check(RESET)
    table.write(all_seen=all_seen)
    assert left == parse(document.read_text())
