"""What came of a batch, read from the report or the journal that it has written."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.fuzz.kit import refusals
from webhook_storage.cli.bulk import receipts_in
from webhook_storage.receipt import Receipt
from webhook_storage.report import Item, Report

_RECEIPT = Receipt(key="a", location="https://h.test/a", sha256="0" * 64, size=7, build_time="x")
_REPORT = Report()
_REPORT.add(Item(key="a", outcome="stored", size=7, attempts=1, receipt=_RECEIPT))
_REPORT.add(Item(key="b", outcome="failed", kind="ConflictError", error="it changed"))
_LINE = json.dumps({"key": "a", "receipt": _RECEIPT.model_dump(mode="json")}).encode() + b"\n"

SEEDS = (
    _REPORT.to_json().encode(),
    _REPORT.to_json(indent=None).encode(),
    b'{"format": "webhook-storage journal 1"}\n' + _LINE * 2,
    _LINE.replace(b'"key": "a"', b'"key": []', 1),
    _LINE + b"[" * 5000 + b"]" * 5000,
    b'{"items": []}',
    b"",
)
WORDS = (
    b'"items":', b'"key":', b'"outcome":', b'"stored"', b'"failed"', b'"receipt":', b'"size":',
    b'"sha256":', b'"counts":', b'"error":', b'"hint":', b'"attempts":', b'"ok":', b'"kind":',
    b"null", b"true", b"-1", b"1e999", b"NaN", b"9" * 25, b"[", b"]", b"{", b"}", b'"', b"\n",
    b"\\ud800", b"\xff",
)  # fmt: skip


def target(data: bytes) -> None:
    """Read it as a report, and take the receipts out of it as ``--receipts`` does."""
    with refusals():
        report = Report.from_json(data)
        with refusals():
            report.raise_for_failures()
        assert Report.from_json(report.to_json()).to_json() == report.to_json()
    with tempfile.NamedTemporaryFile() as file, refusals():
        file.write(data)
        file.flush()
        receipts = receipts_in(Path(file.name))
        assert all(isinstance(key, str) for key in receipts)
