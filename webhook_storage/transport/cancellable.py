"""A request that a thread sends for a task. The thread goes on when the task is cancelled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from webhook_storage.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.contracts import Body, WireRequest, WireResponse


class Cancellable:
    """What a task and the thread that sends for it know of each other.

    Attributes:
        answer: What the thread has brought.
        cancelled: Whether nobody waits for it any more.
    """

    answer: WireResponse

    def __init__(self) -> None:
        """Begin nothing yet."""
        self.cancelled = False
        self._lock = threading.Lock()

    def watched(self, request: WireRequest) -> WireRequest:
        """Return the request, whose body is not sent to its end once it is cancelled."""
        body = request.body
        return request if body is None else request.changed(body=_WatchedBody(body, self))

    def bring(self, answer: WireResponse) -> None:
        """Keep the answer for the task, or close it."""
        with self._lock:
            self.answer = answer
            if self.cancelled:
                answer.close()

    def cancel(self) -> None:
        """Close the answer, be it there or still to come."""
        with self._lock:
            self.cancelled = True
            if hasattr(self, "answer"):
                self.answer.close()


class _WatchedBody:
    """A body that ends by an error when its request is cancelled."""

    def __init__(self, body: Body, request: Cancellable) -> None:
        self._body, self._request = body, request

    @property
    def size(self) -> int:
        return self._body.size

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._body.chunks():
            if self._request.cancelled:
                message = "the request was cancelled"
                raise ProtocolError(message)
            yield chunk

    def sha256(self) -> str:
        return self._body.sha256()
