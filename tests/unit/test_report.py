"""What is said of a batch."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from tests.sending.support import caught
from webhook_storage import Receipt
from webhook_storage.errors import BulkError, ConfigurationError
from webhook_storage.report import Item, Report

RECEIPT = Receipt(
    key="a",
    location="https://files.example.com/${artifact.key}",
    sha256="00ff",
    size=7,
    build_time="2025-01-01t00-00-00-000000z",
    version='"1"',
    captures={"id": "5"},
)
STORED = Item(key="a", outcome="stored", size=7, sha256="00ff", receipt=RECEIPT, attempts=2)
FAILED = Item(key="b", outcome="failed", kind="ConflictError", error="it changed", hint="look")


def report(*items: Item) -> Report:
    """Return a report of these."""
    made = Report()
    for item in items:
        made.add(item)
    return made


@pytest.mark.parametrize(
    ("outcome", "ok", "transferred"),
    [
        ("stored", True, 5),
        ("fetched", True, 5),
        ("equal", True, 0),
        ("failed", False, 0),
        ("not begun", False, 0),
    ],
)
def test_what_is_well(outcome: str, transferred: int, *, ok: bool) -> None:
    """A batch is well when each item is where it is to be; what was there was not transferred."""
    made = report(Item(key="a", outcome=outcome, size=5))  # type: ignore[arg-type]
    assert (ok, transferred, {outcome: 1}) == (made.ok, made.transferred, made.counts)
    assert ok is (made.items[0].ok)


def test_a_batch_that_was_stopped_is_not_well() -> None:
    """Though all that was begun went well."""
    made = report(STORED)
    made.stopped = "the journal cannot be written"
    assert not made.ok
    error = caught(made.raise_for_failures)
    assert "stopped: the journal cannot be written" == str(error)


def test_all_is_well() -> None:
    """Nothing is raised."""
    report(STORED).raise_for_failures()
    Report().raise_for_failures()


def test_the_first_failures_are_told() -> None:
    """Of a thousand failures the message tells three, and how many there are."""
    many = [
        Item(key=f"k{n}", outcome="failed", error=f"fault {n}", hint=None if n < 1 else f"hint {n}")
        for n in range(1000)
    ]
    made = report(STORED, *many, Item(key="z", outcome="not begun"))
    error = caught(made.raise_for_failures)
    assert isinstance(error, BulkError)
    expected = "1000 of 1002 items failed: 'k0' (fault 0); 'k1' (fault 1); 'k2' (fault 2)"
    assert f"{expected}; and 997 more" == str(error)
    assert (("k0", "k1", "k2"), 1000, "hint 1") == (error.keys, error.failed, error.hint)


def test_what_is_not_begun_is_an_error() -> None:
    """A batch that did not begin all says how many."""
    made = report(STORED, Item(key="z", outcome="not begun"))
    error = caught(made.raise_for_failures)
    assert "1 of 2 items were not begun" == str(error)


def test_it_survives_json() -> None:
    """What was written is what is read, receipts included."""
    made = report(STORED, FAILED, Item(key="z", outcome="not begun"))
    made.stopped = "enough"
    assert made == Report.from_json(made.to_json())
    assert made == Report.from_json(made.to_json(indent=None).encode())
    assert {"a": RECEIPT} == Report.from_json(made.to_json()).receipts


def test_json_says_what_there_is_to_say() -> None:
    """What is not known of an item is left out."""
    document = json.loads(report(FAILED).to_json())
    assert {
        "ok": False,
        "counts": {"failed": 1},
        "transferred": 0,
        "stopped": None,
        "items": [
            {
                "key": "b",
                "outcome": "failed",
                "kind": "ConflictError",
                "error": "it changed",
                "hint": "look",
            }
        ],
    } == document


@pytest.mark.parametrize(
    "text",
    [
        "", "precious", "[]", "5", "[" * 100_000, '{"items": 5}',
        '{"items": [{"key": "a", "outcome": "lost"}]}', '{"items": [{"key": 5}]}',
        '{"items": [{"key": "a", "outcome": "stored", "receipt": {"key": "precious"}}]}',
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(text: str) -> None:
    """Anything else is an error that shows nothing of it."""
    error = caught(lambda: Report.from_json(text))
    assert ConfigurationError is type(error)
    assert "precious" not in str(error)


def test_it_survives_pickling() -> None:
    """A worker can send home all of it, and the error."""
    made = report(STORED, FAILED)
    error = caught(made.raise_for_failures)
    assert isinstance(error, BulkError)
    for back in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):  # noqa: S301 - our own
        assert made == back
    for twin in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):  # noqa: S301
        assert (str(error), error.keys, error.failed, error.hint) == (
            str(twin),
            twin.keys,
            twin.failed,
            twin.hint,
        )


def test_only_what_is_not_well_is_kept() -> None:
    """A report of a million need not hold them all."""
    made = Report()
    for item in (STORED, FAILED, STORED, Item(key="z", outcome="not begun")):
        made.add(item, keep=False)
    assert ["b", "z"] == [item.key for item in made.items]
    assert {"stored": 2, "failed": 1, "not begun": 1} == made.counts
