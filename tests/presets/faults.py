"""Trouble on demand, for the services on which the contract of presets is tried."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tests.fakes.http import NO_ANSWER, Answer, FakeServer, Received

if TYPE_CHECKING:
    from collections.abc import Callable


def has_bytes(request: Received) -> bool:
    """Tell whether a request has bytes of an artifact, where they go by these methods."""
    return request.method in {"PUT", "PATCH"} and request.size > 0


def faults(server: FakeServer, sends: Callable[[Received], bool] = has_bytes) -> dict[str, Any]:
    """Return what a case says of trouble.

    Args:
        server: What answers, or a relay before it.
        sends: Tells whether a request has bytes of an artifact.
    """

    def once(answer: Answer, *, after: bool) -> None:
        left = threading.Semaphore(1)

        def fault(request: Received) -> Answer | None:
            return answer if sends(request) and left.acquire(blocking=False) else None

        server.inject(fault, times=None, after=after)

    return {
        "trouble": lambda status: once(Answer(status), after=False),
        "lose": lambda: once(NO_ANSWER, after=True),
    }
