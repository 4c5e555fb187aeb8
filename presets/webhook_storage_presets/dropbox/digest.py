"""The hash by which Dropbox knows bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webhook_storage.contracts import Body, Sink

BLOCK = 4 * 1024 * 1024


class ContentHash:
    """The SHA-256 of the SHA-256 digests of all blocks of 4 MiB, as Dropbox takes it."""

    __slots__ = ("_block", "_left", "_whole")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._left = BLOCK

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        rest = memoryview(chunk)
        while rest:
            part, rest = rest[: self._left], rest[self._left :]
            self._block.update(part)
            self._left -= len(part)
            if not self._left:
                self._whole.update(self._block.digest())
                self._block, self._left = hashlib.sha256(), BLOCK

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far, in lower-case hex."""
        whole = self._whole.copy()
        if self._left < BLOCK:
            whole.update(self._block.digest())
        return whole.hexdigest()


def content_hash(body: Body) -> str:
    """Return the content hash of a body; it is read once for that.

    Example:
        >>> from webhook_storage.artifact import BytesBody
        >>> content_hash(BytesBody(b"hello world"))[:16]
        'bc62d4b80d9e36da'
    """
    taken = ContentHash()
    for chunk in body.chunks():
        taken.update(chunk)
    return taken.hexdigest()


class HashingSink:
    """Takes the content hash of what goes into another sink.

    Args:
        sink: The other sink.

    Attributes:
        blocks: Whether writing takes time.
        hash: The hash of what was written.
    """

    def __init__(self, sink: Sink) -> None:
        """Begin with nothing."""
        self._sink = sink
        self.blocks = sink.blocks
        self.hash = ContentHash()

    def reset(self) -> None:
        """Forget what was written."""
        self._sink.reset()
        self.hash = ContentHash()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.hash.update(chunk)
        self._sink.write(chunk)
