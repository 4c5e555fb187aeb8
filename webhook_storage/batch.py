"""What holds for each item of a batch: how it is carried out, and what it says about the others.

Rule: an item that fails is no more than that. A batch ends when several in a row fail for what is
not theirs alone, or when its journal cannot be written.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from webhook_storage.contracts import Exchange, Response, Together
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    LocalFileError,
    MissingExtraError,
    PermissionDeniedError,
    RateLimitedError,
    RedirectRefusedError,
    ResponseError,
    SecretError,
    ServerError,
    TransportError,
    UnexpectedAnswerError,
    UnexpectedError,
    WebhookStorageError,
)
from webhook_storage.facts import artifact_facts, receipt_facts
from webhook_storage.receipt import Receipt
from webhook_storage.report import Item

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from webhook_storage.contracts import Wish
    from webhook_storage.journal import Journal
    from webhook_storage.operations import Operations, Verify
    from webhook_storage.retry import RetryPolicy
    from webhook_storage.sender import Sender

T = TypeVar("T")
Given = TypeVar("Given")

_SHARED = (
    AuthenticationError,
    ConfigurationError,
    MissingExtraError,
    RateLimitedError,
    RedirectRefusedError,
    SecretError,
    ServerError,
    TransportError,
    UnexpectedAnswerError,
    UnexpectedError,
)
"""Failures that others will meet as well; so is 403, as long as no item went well."""

_ATTEMPTS = 12
"""How often a request of a batch is sent at most.

The pauses in between add up to more than a minute, so that a quota by the minute begins anew.
"""


def patient(policy: RetryPolicy) -> RetryPolicy:
    """Return the policy of a batch, which competes with itself: more attempts for each request.

    Example:
        >>> from webhook_storage.retry import RetryPolicy
        >>> patient(RetryPolicy()).attempts, patient(RetryPolicy(attempts=1)).attempts
        (12, 1)
    """
    if policy.attempts == 1:  # somebody wants none
        return policy
    return replace(policy, attempts=max(policy.attempts, _ATTEMPTS))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a batch is carried out; `bulk.BulkOptions` says what each of them is."""

    limit: int = 16
    retry: RetryPolicy | None = None
    journal: str | Path | None = None
    receipts: Mapping[str, Receipt] | None = None
    trust_receipts: bool = False
    stop_after: int = 3
    keep_items: bool = True
    on_item: Callable[[Item], object] | None = None
    verify: Verify | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: When one is less than 1.
        """
        for name in ("limit", "stop_after"):
            if getattr(self, name) < 1:
                message = "it is at least 1"
                raise ConfigurationError(message, path=name)


class Known(NamedTuple):
    """What an earlier batch, or a receipt, says of a key.

    Attributes:
        size: Number of bytes of what is here.
        sha256: Their digest.
        stored: Number of bytes that the service has.
        version: The service's version of them, None when it told none.
        receipt: The receipt of their store, None when there is none.
        modified: When the service says that they were changed last, None when it did not.
    """

    size: int
    sha256: str
    stored: int
    version: str | None
    receipt: Receipt | None
    modified: str | None = None

    @classmethod
    def of(cls, receipt: Receipt) -> Known:
        """Return what a receipt says, of what was stored as it is here."""
        return cls(receipt.size, receipt.sha256, receipt.size, receipt.version, receipt)


class Note:
    """What is known of an item while it is under way.

    Attributes:
        attempts: How many requests were sent for it.
        begun: Whether what is wrong with the item itself would have shown by now.
        answer: The last answer that had an artifact in it.
        stored: Number of bytes that the service has.
        modified: When the service says that they were changed last.
    """

    __slots__ = ("answer", "attempts", "begun", "modified", "stored")

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self.attempts = 0
        self.begun = False
        self.answer: Response | None = None
        self.stored = 0
        self.modified: str | None = None


class Batch(ABC, Generic[Given]):
    """Many items for one storage.

    Args:
        storage: Where they are, or will be.
        sender: What sends.
        settings: How it is done.
        journal: What was done before, None when nothing is written down.

    Attributes:
        stopped: Why no further item is begun, None as long as they are.
    """

    _size_is_enough: ClassVar[bool] = False
    """Whether as many bytes are taken for the same ones where the service tells no version."""

    def __init__(
        self, storage: Operations, sender: Sender, settings: Settings, journal: Journal | None
    ) -> None:
        """Begin nothing yet."""
        self._storage = storage
        self._sender = sender
        self._settings = settings
        self._journal = journal
        self._retry = settings.retry or patient(sender.retry)
        # What is compressed or encrypted there has another digest here, of which no receipt tells.
        self._encodes = storage.compression is not None or bool(storage.encryption_keys)
        self._lock = threading.Lock()
        self._under_way = set[str]()
        self._in_a_row = 0
        self._one_went_well = False
        self.stopped: str | None = None

    @abstractmethod
    def key_of(self, given: Given) -> str:
        """Return the key of an item."""

    @abstractmethod
    def _exchange(self, given: Given, note: Note) -> Exchange[Item]:
        """Return what is sent for an item, and what comes of it."""

    def carry(self, given: Given) -> Item:
        """Carry one item out, whatever comes of it, unless the batch was stopped."""
        if self.stopped is not None:
            return self.left(given)
        note = Note()
        exchange = _counted(self._exchange(given, note), note)
        try:
            item = self._sender.run(exchange, retry=self._retry)
        except WebhookStorageError as error:
            item = self._failed(given, error, note)
        return self._ended(item, note)

    async def acarry(self, given: Given) -> Item:
        """Do the same in an event loop."""
        if self.stopped is not None:
            return self.left(given)
        note = Note()
        exchange = _counted(self._exchange(given, note), note)
        try:
            item = await self._sender.arun(exchange, retry=self._retry)
        except WebhookStorageError as error:
            item = self._failed(given, error, note)
        return self._ended(item, note)

    def left(self, given: Given) -> Item:
        """Return an item that is not begun."""
        return Item(key=self.key_of(given), outcome="not begun")

    # --- what came of it --------------------------------------------------------------------------

    def _failed(self, given: Given, error: WebhookStorageError, note: Note) -> Item:
        """Return an item that failed, and stop the batch when the others will fail, too."""
        with self._lock:
            forbidden = isinstance(error, PermissionDeniedError) and not self._one_went_well
            if note.begun and (forbidden or isinstance(error, _SHARED)):
                self._in_a_row += 1
                if self._in_a_row >= self._settings.stop_after and self.stopped is None:
                    self.stopped = f"{self._in_a_row} items failed in a row, the last by: {error}"
        key, kind = self.key_of(given), type(error).__name__
        return Item(key=key, outcome="failed", kind=kind, error=str(error), hint=error.hint)

    def _ended(self, item: Item, note: Note) -> Item:
        """Write down what came of an item, so that it need not be done again."""
        item = replace(item, attempts=note.attempts)
        if item.ok:
            with self._lock:
                self._in_a_row, self._one_went_well = 0, True
        if self._journal is None or (item.outcome == "equal" and self._written(item.key)):
            return item
        try:
            told = {"stored": note.stored, "modified": note.modified}
            self._journal.write(item.key, {**item.to_dict(), **told})
        except LocalFileError as error:
            self.stopped = self.stopped or f"the journal cannot be written: {error}"
        return item

    # --- what came of it before -------------------------------------------------------------------

    def _known(self, key: str) -> Known | None:
        """Return what is known of a key; the journal is nearer to the truth than a receipt."""
        if self._journal is not None and self._journal.find(key) is not None:
            return self._written(key)
        receipt = self._receipt(key)
        return None if receipt is None or self._encodes else Known.of(receipt)

    def _receipt(self, key: str) -> Receipt | None:
        """Return the receipt of a key, None when there is none."""
        return (self._settings.receipts or {}).get(key) or self._storage.receipts.get(key)

    def _written(self, key: str) -> Known | None:
        """Return what the journal says of a key, None when it did not go well."""
        entry = self._journal.find(key) if self._journal is not None else None
        try:
            return None if entry is None else _read(entry)
        except (KeyError, TypeError, ValueError, ValidationError):
            return None  # it failed, or somebody has changed it

    def _still_there(self, key: str, known: Known) -> Exchange[bool]:
        """Tell whether the service has what is known: the version, or else size and time."""
        facts = artifact_facts(key) if known.receipt is None else receipt_facts(known.receipt)
        try:
            stat = yield from self._storage.stat_exchange(facts)
        except (ResponseError, ConfigurationError) as error:
            if error.retryable:
                raise
            return False  # it does not tell, so there is nothing to rely on
        if stat is None or (stat.size is not None and stat.size != known.stored):
            return False
        if stat.version is not None and known.version is not None:
            return stat.version == known.version
        unchanged = known.modified is not None and stat.modified == known.modified
        return stat.size is not None and (unchanged or self._size_is_enough)


def _read(entry: Mapping[str, Any]) -> Known:
    """Return what a line of the journal says of an item that went well."""
    receipt = entry.get("receipt")
    return Known(
        int(entry.get("size", 0)),
        str(entry["sha256"]),
        int(entry["stored"]),
        None if entry.get("version") is None else str(entry["version"]),
        None if receipt is None else Receipt.model_validate(receipt),
        None if entry.get("modified") is None else str(entry["modified"]),
    )


def _counted(exchange: Exchange[T], note: Note) -> Exchange[T]:
    """Do what an exchange does, and take note of its attempts and answers."""
    respond: Callable[[Any], Wish] = exchange.send
    answer: Any = None
    try:
        while True:
            wish = respond(answer)
            if isinstance(wish, Together):
                wish = replace(wish, exchanges=[_counted(each, note) for each in wish.exchanges])
            try:
                answer = yield wish
                respond = exchange.send
            except WebhookStorageError as error:
                if not isinstance(wish, Together):
                    note.attempts += getattr(error, "attempts", 0)
                respond, answer = exchange.throw, error
            if isinstance(answer, Response):
                note.attempts += answer.attempts
                note.answer = answer if answer.sha256 else note.answer
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        exchange.close()
