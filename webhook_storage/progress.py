"""How much of an artifact was sent so far, for those who watch."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook_storage.contracts import Body

Tell: TypeAlias = "Callable[[int], object]"
"""Gets a number of bytes."""


class Progress:
    """Counts the bytes of one operation, whose parts several threads may send.

    Args:
        tell: Gets how many bytes were sent so far, after each piece. When a part is sent again
            that is less than before. It must not raise.
    """

    def __init__(self, tell: Tell) -> None:
        """Begin with nothing."""
        self._tell = tell
        self._sent = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count some more, or some that were lost."""
        with self._lock:
            self._sent += count
            self._tell(self._sent)


class Counter:
    """What one request has sent, of which a further attempt sends all again.

    Args:
        progress: Where it counts.
    """

    def __init__(self, progress: Progress) -> None:
        """Begin with nothing."""
        self._progress = progress
        self._sent = 0

    def watch(self, body: Body) -> Body:
        """Return the body, whose pieces are counted; what was counted before was lost."""
        lost, self._sent = self._sent, 0
        if lost:
            self._progress.add(-lost)
        return _CountedBody(body, self)

    def add(self, count: int) -> None:
        """Count some more."""
        self._sent += count
        self._progress.add(count)


class _CountedBody:
    """A body that counts what was taken of it."""

    __slots__ = ("_body", "_counter")

    def __init__(self, body: Body, counter: Counter) -> None:
        self._body = body
        self._counter = counter

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return self._body.size

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes from the start; a piece counts once the next one is wanted."""
        for chunk in self._body.chunks():
            yield chunk
            self._counter.add(len(chunk))

    def sha256(self) -> str:
        """Return the digest in lower-case hex."""
        return self._body.sha256()
