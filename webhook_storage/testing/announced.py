"""Bodies that announce more than anybody wants to send, and what requests would have of them."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from webhook_storage.contracts import (
    PLAIN,
    AsyncWireResponse,
    Transport,
    WireRequest,
    WireResponse,
    Work,
)
from webhook_storage.errors import ConnectError, WebhookStorageError
from webhook_storage.testing.preset_checks import caught
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage.upload.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook_storage.contracts import Exchange, Wish
    from webhook_storage.sender import Sender
    from webhook_storage.testing.preset_case import PresetCase

_SMALL = 16 * 1024
"""A larger body is an artifact or a part of one."""

_CHUNK = 256 * 1024
_REAL = 64 * 1024 * 1024
"""As much is really there, for those who cut parts themselves while they read."""


class SizesTransport(Transport):
    """Sends what has no artifact in it, and of the rest keeps how much it announces.

    Args:
        inner: What sends.

    Attributes:
        sizes: Numbers of bytes of the bodies that were not sent.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})

    def __init__(self, inner: Transport) -> None:
        """Know of no body."""
        self._inner = inner
        self.can_guard = inner.can_guard  # type: ignore[misc]  # here it is that of another
        self.sizes: list[int] = []

    def send(self, request: WireRequest) -> WireResponse:
        """Send it, unless an artifact is in it."""
        if request.body is not None and request.body.size > _SMALL:
            self.sizes.append(request.body.size)
            raise ConnectError("it is only looked at, and not sent")
        return self._inner.send(request)

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Fail; only one thread looks at sizes."""
        raise NotImplementedError

    def close(self) -> None:
        """Close idle connections."""
        self._inner.close()


@contextmanager
def unsent(case: PresetCase) -> Iterator[tuple[Sender, list[int]]]:
    """Send no artifact while the block runs.

    Yields:
        The current sender, and how many bytes each request that brings some announces.
    """
    transport = HttpxTransport() if case.transport is None else case.transport()
    watching = SizesTransport(transport)
    with case.sender(transport=watching) as sender:
        yield sender, watching.sizes


class AnnouncedBody:
    """A body that announces any number of bytes and costs next to nothing.

    Attributes:
        size: The number.
        read: Whether anybody has read of it.
    """

    def __init__(self, size: int) -> None:
        """Keep the number."""
        self.size = size
        self.read = False

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes, of which the first are really there."""
        self.read = True
        real = min(self.size, _REAL)
        for start in range(0, real, _CHUNK):
            yield bytes(min(_CHUNK, real - start))
        if real < self.size:
            rest = _Sparse()
            rest.size = self.size - real
            yield rest

    def sha256(self) -> str:
        """Return the digest of what is really there."""
        taken = hashlib.sha256()
        for chunk in self.chunks():
            taken.update(chunk)
        return taken.hexdigest()


class _Sparse(bytes):
    """Says that it has more bytes than it has, so that a digest of them costs nothing."""

    size = 0

    def __len__(self) -> int:
        return self.size


def _until_cut(exchange: Exchange[object], sizes: list[int]) -> Exchange[object]:
    """Carry an exchange out up to where it cuts a body into parts; keep how large these are.

    To cut it, it would have to be read.
    """
    respond: Callable[[Any], Wish] = exchange.send
    answer: Any = None
    while True:
        try:
            wish = respond(answer)
        except StopIteration as stop:
            return stop.value
        action = wish.action if isinstance(wish, Work) else None
        if isinstance(action, partial) and action.func is Parts:
            sizes.append(action.args[1])
            exchange.close()
            return None
        try:
            respond, answer = exchange.send, (yield wish)
        except WebhookStorageError as error:
            respond, answer = exchange.throw, error


def announce(case: PresetCase, size: int) -> tuple[WebhookStorageError | None, bool, list[int]]:
    """Store so many bytes up to where the first of them would be sent.

    Returns:
        The error that it ends with; whether the bytes were read; and how many of them one request
        would have, for each that was seen.
    """
    body = AnnouncedBody(size)
    with unsent(case) as (sender, sizes):
        exchange = case.storage.put_exchange(body, case.key(), PLAIN, None)
        error = caught(partial(sender.run, _until_cut(exchange, sizes)))
    return error, body.read, sizes
