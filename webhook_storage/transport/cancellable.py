"""A request that a thread sends for a task. The thread goes on when the task is cancelled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from webhook_storage.artifact import CheckedBody
from webhook_storage.errors import ProtocolError

if TYPE_CHECKING:
    from webhook_storage.contracts import WireRequest, WireResponse


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
        return request if body is None else request.changed(body=CheckedBody(body, self._check))

    def bring(self, answer: WireResponse) -> None:
        """Keep the answer for the task, or close it."""
        with self._lock:
            self.answer = answer
            if self.cancelled:
                answer.close()

    def _check(self) -> None:
        if self.cancelled:
            message = "the request was cancelled"
            raise ProtocolError(message)

    def cancel(self) -> None:
        """Close the answer, be it there or still to come."""
        with self._lock:
            self.cancelled = True
            if hasattr(self, "answer"):
                self.answer.close()
