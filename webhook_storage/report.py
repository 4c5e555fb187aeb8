"""What came of a batch: one small record for each item, and the sums."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, TypeAlias

from pydantic import TypeAdapter, ValidationError

from webhook_storage.errors import BulkError, ConfigurationError
from webhook_storage.receipt import Receipt  # noqa: TC001 - pydantic wants to see it

Outcome: TypeAlias = Literal["stored", "fetched", "equal", "failed", "not begun"]
"""What came of an item; ``equal`` was there already, so that nothing was transferred."""

_SHOWN = 3
"""Failures that the message of an error tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What came of one item. It holds no secret.

    Attributes:
        key: Its name on the service.
        outcome: ``stored``, ``fetched``, ``equal``, ``failed`` or ``not begun``.
        size: Number of bytes of what is here, a source or a file; 0 when that is not known.
        sha256: Their digest in lower-case hex; empty when that is not known.
        version: The service's version, None when it did not tell one.
        receipt: The receipt of its store; None when there is none.
        attempts: How many requests were sent for it.
        kind: Name of the error's class, None when it did not fail.
        error: The error's message.
        hint: What to do next.
    """

    key: str
    outcome: Outcome
    size: int = 0
    sha256: str = ""
    version: str | None = None
    receipt: Receipt | None = None
    attempts: int = 0
    kind: str | None = None
    error: str | None = None
    hint: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether it is where it is to be."""
        return self.outcome not in _NOT_OK

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; what has its default is left out."""
        receipt = self.receipt
        data = {each.name: getattr(self, each.name) for each in _FIELDS}
        data["receipt"] = None if receipt is None else receipt.model_dump(mode="json")
        return {each.name: data[each.name] for each in _FIELDS if data[each.name] != each.default}


_FIELDS = fields(Item)
_NOT_OK = {"failed", "not begun"}


@dataclass(slots=True, repr=False)
class Report:
    """What came of a batch.

    Attributes:
        items: In the order in which they ended; with ``keep_items=False`` only those that failed.
        counts: How many items there are of each outcome.
        transferred: Sum of the sizes of what was stored or fetched.
        stopped: Why the batch ended before its end, None when it did not.

    Example:
        >>> report = Report()
        >>> report.add(Item(key="a", outcome="stored", size=3, attempts=1))
        >>> report.add(Item(key="b", outcome="failed", kind="ConflictError", error="it changed"))
        >>> report.ok, report.counts, report.transferred
        (False, {'stored': 1, 'failed': 1}, 3)
        >>> report.raise_for_failures()
        Traceback (most recent call last):
            ...
        webhook_storage.errors.BulkError: 1 of 2 items failed: 'b' (it changed)
    """

    items: list[Item] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    transferred: int = 0
    stopped: str | None = None

    def __repr__(self) -> str:
        """Show how many items there are; they may be a million."""
        said = [f"{count} {outcome}" for outcome, count in self.counts.items()] or ["no items"]
        said += ["stopped"] if self.stopped is not None else []
        return f"<Report: {', '.join(said)}>"

    @property
    def ok(self) -> bool:
        """Tell whether all items are where they are to be."""
        return self.stopped is None and not _NOT_OK & self.counts.keys()

    @property
    def failures(self) -> list[Item]:
        """Return the items that failed."""
        return [item for item in self.items if item.outcome == "failed"]

    @property
    def receipts(self) -> dict[str, Receipt]:
        """Return the receipts by key: what a later `put_many` skips, and `get_many` fetches."""
        return {item.key: item.receipt for item in self.items if item.receipt is not None}

    def add(self, item: Item, *, keep: bool = True) -> None:
        """Take one more item; those that are not ok are kept in any case."""
        self.counts[item.outcome] = self.counts.get(item.outcome, 0) + 1
        if item.outcome in {"stored", "fetched"}:
            self.transferred += item.size
        if keep or not item.ok:
            self.items.append(item)

    def raise_for_failures(self) -> None:
        """Do nothing when all is well.

        Raises:
            BulkError: When an item failed or was not begun. The message tells the first few.
        """
        if self.ok:
            return
        failures, total = self.failures, sum(self.counts.values())
        shown = "; ".join(f"{item.key!r} ({item.error})" for item in failures[:_SHOWN])
        more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
        left = self.counts.get("not begun", 0)
        said = [f"{len(failures)} of {total} items failed: {shown}{more}"] if failures else []
        said += [f"{left} of {total} items were not begun"] if left and not failures else []
        said += [f"stopped: {self.stopped}"] if self.stopped else []
        raise BulkError(
            "; ".join(said),
            keys=tuple(item.key for item in failures[:_SHOWN]),
            failed=len(failures),
            hint=next((item.hint for item in failures if item.hint), None),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, without any secret."""
        return {
            "ok": self.ok,
            "counts": dict(self.counts),
            "transferred": self.transferred,
            "stopped": self.stopped,
            "items": [item.to_dict() for item in self.items],
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return the report as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the report that `to_json` wrote.

        Raises:
            ConfigurationError: When it is none.
        """
        report = None
        with contextlib.suppress(ValidationError):
            report = TypeAdapter(cls).validate_json(text)
        if report is None:
            message = "this is no report of a batch"
            raise ConfigurationError(message, hint="give what a batch has written")
        return report
