"""What a report shows of itself, and which text is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from webhook_storage.cli.bulk import receipts_in
from webhook_storage.errors import ConfigurationError
from webhook_storage.receipt import Receipt
from webhook_storage.report import Item, Report

if TYPE_CHECKING:
    from pathlib import Path

DEEP = "[" * 100_000 + "]" * 100_000


def report_of(*outcomes: str, stopped: str | None = None) -> Report:
    """Return a report of items that ended so."""
    report = Report(stopped=stopped)
    for number, outcome in enumerate(outcomes):
        report.add(Item(key=f"key-{number}", outcome=outcome))  # type: ignore[arg-type]
    return report


@pytest.mark.parametrize(
    ("report", "shown"),
    [
        (report_of(), "<Report: no items>"),
        (report_of(*["stored"] * 20, "failed"), "<Report: 20 stored, 1 failed>"),
        (report_of("not begun", stopped="503"), "<Report: 1 not begun, stopped>"),
    ],
)
def test_a_report_is_shown_in_one_line(report: Report, shown: str) -> None:
    """It may hold a million items, so it shows how many."""
    assert [shown, shown] == [repr(report), str(report)]


@pytest.mark.parametrize("text", [DEEP, f'{{"items": {DEEP}}}', f'{{"stopped": {DEEP}}}'])
def test_what_is_no_report_is_refused(text: str) -> None:
    """However deep it is."""
    with pytest.raises(ConfigurationError, match="this is no report of a batch"):
        Report.from_json(text)


def test_a_line_that_is_too_deep_is_passed_over(tmp_path: Path) -> None:
    """The other lines of a journal hold their receipts all the same."""
    receipt = Receipt(location="u", sha256="0" * 64, size=7, build_time="x", key="a")
    entry = json.dumps({"key": "a", "receipt": receipt.model_dump(mode="json")})
    path = tmp_path / "journal"
    path.write_text(f"{DEEP}\n{entry}\n{DEEP}\n")
    assert {"a": receipt} == receipts_in(path)


def test_a_file_that_is_only_deep_holds_no_receipts(tmp_path: Path) -> None:
    """It is told as any other file without one."""
    path = tmp_path / "journal"
    path.write_text(DEEP)
    with pytest.raises(ConfigurationError, match="holds no receipts"):
        receipts_in(path)
