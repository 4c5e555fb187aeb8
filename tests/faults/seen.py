"""Carry an operation out under a fault, and see what comes of it."""

from __future__ import annotations

import contextlib
import logging
import pickle
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from webhook_storage import RetryPolicy, Sender
from webhook_storage.artifact import BytesBody
from webhook_storage.errors import ResponseError, TransportError, WebhookStorageError
from webhook_storage.facts import StoreFacts, artifact_facts
from webhook_storage.receipt import Receipt
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.faults.places import Place
    from tests.sending.support import Mode
    from webhook_storage import Webhook
    from webhook_storage.contracts import Resolver

log = logging.getLogger("webhook_storage")
PATIENCE = RetryPolicy(attempts=3, max_delay=0)


class Seen(NamedTuple):
    """What came of an operation.

    Attributes:
        outcome: `stored`, `fetched`, or the name of the error.
        attempts: How often the request was sent.
        bytes: Which bytes are there, `new` or `old`.
    """

    outcome: str
    attempts: int | str
    bytes: str


class _Watch(logging.Handler):
    """Counts attempts, and keeps the log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.attempts = 0
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a line."""
        self.lines.append(record.getMessage())
        fields = getattr(record, "webhook_storage", {})
        self.attempts = max(self.attempts, fields.get("attempt", 0))


@contextlib.contextmanager
def watching() -> Iterator[_Watch]:
    """Watch our log."""
    watch, level = _Watch(), log.level
    log.addHandler(watch)
    log.setLevel(logging.INFO)
    try:
        yield watch
    finally:
        log.setLevel(level)
        log.removeHandler(watch)


def outcome_of(act: Callable[[], object], success: str, secrets: Iterable[str]) -> tuple[str, int]:
    """Return what an operation ends with, and its attempts; no secret is in either.

    Raises:
        AssertionError: When a secret is in an error or in the log, or attempts are told wrongly.
    """
    with watching() as watch:
        error = None
        try:
            act()
        except WebhookStorageError as raised:
            error = raised
    shown = list(watch.lines)
    if error is not None:
        shown += [str(error), repr(error), repr(vars(error))]
        shown += [*traceback.format_exception(error), repr(pickle.dumps(error))]
    assert not [text for text in shown for secret in secrets if secret in text]
    attempts = watch.attempts
    if isinstance(error, TransportError | ResponseError):
        attempts = attempts or error.attempts
        assert attempts == error.attempts
        assert len(error.history) in {0, attempts}
    return (success if error is None else type(error).__name__), attempts


def which(found: bytes | None, old: bytes, new: bytes) -> str:
    """Say which bytes these are."""
    if found in {old, new}:
        return "new" if found == new else "old"
    if found is None:
        return "none"
    return "a part of new" if new.startswith(found) else "neither old nor new"


def upload(
    place: Place,
    mode: Mode,
    storage: Webhook,
    *,
    retry: RetryPolicy = PATIENCE,
    resolver: Resolver | None = None,
    settle: Callable[[], object] = bool,
    **put: Any,
) -> Seen:
    """Replace an old artifact by a new one.

    Args:
        place: Where.
        mode: How it is called.
        storage: By what, on what way.
        retry: When it is sent again.
        resolver: Who knows the secrets; by default they are those of the place.
        settle: Called before the server is looked at.
        **put: More for `put`.
    """
    old, new = place.content("old"), place.content("new")
    key = place.key_of(new)
    place.plant(key, old)
    asked = resolver or MappingResolver(dict(place.secrets))
    with Sender(secrets=[asked], transport=mode.transport(), retry=retry):
        act = partial(mode.call, storage, "put", new, None if place.keyless else key, **put)
        outcome = outcome_of(act, "stored", place.secrets.values())
    settle()
    return Seen(*outcome, which(place.look(key), old, new))


def download(
    place: Place,
    mode: Mode,
    storage: Webhook,
    directory: Path,
    *,
    retry: RetryPolicy = PATIENCE,
    resolver: Resolver | None = None,
    by_receipt: bool = False,
    key: str = "",
    spoil: Callable[[], object] = bool,
) -> Seen:
    """Replace an old file by a new artifact.

    Args:
        place: Where it is.
        mode: How it is called.
        storage: By what, on what way.
        directory: Where the file is.
        retry: When it is sent again.
        resolver: Who knows the secrets; by default they are those of the place.
        by_receipt: Whether the receipt of the store is given in place of the key.
        key: Where it is on the server, if that matters.
        spoil: Called when both are there.
    """
    old, new = place.content("old"), place.content("new")
    key = key or place.key_of(new)
    place.plant(key, new)
    target = directory / "target.bin"
    target.write_bytes(old)
    spoil()
    asked = resolver or MappingResolver(dict(place.secrets))
    with Sender(secrets=[asked], transport=mode.transport(), retry=retry):
        what = receipt_of(new, key) if by_receipt else None if place.keyless else key
        act = partial(mode.call, storage, "download", target, what)
        outcome = outcome_of(act, "fetched", place.secrets.values())
    left = [path.name for path in directory.iterdir() if path != target]
    assert [] == left, outcome
    return Seen(*outcome, which(target.read_bytes(), old, new))


def receipt_of(content: bytes, key: str) -> Receipt:
    """Return what a store of these bytes leaves."""
    body = BytesBody(content)
    return Receipt.of("the place", body, StoreFacts(artifact_facts(key), body))
