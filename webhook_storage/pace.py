"""How fast a server is asked: as fast as one likes, until it says that this is too fast.

After a refusal requests stand in line and go out one by one. The rate falls with each further
refusal and grows with each answer. It computes, and never sleeps.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_RATE = 64.0
_LOWEST_RATE = 0.25
_FREE_RATE = 1024.0
"""Requests a second: after the first refusal, at least, and from where on nobody waits."""

_SLOWER = 0.7
"""What is left of the rate after a refusal, as CUBIC does with its window (RFC 9438, 4.6)."""

_CALM = 4.0
_FASTER = 0.2
"""Each answer adds a fifth to the rate, or 1 where that is less, and in the first 4 seconds after a
refusal only a part of it. So the rate stays for a while where it was nearly right, and then soon
finds a new limit.
"""


class Turn(NamedTuple):
    """A place in the line.

    Attributes:
        seconds: How long it takes until then.
        line: Which line; a refusal begins a new one.
    """

    seconds: float
    line: int


class Pace:
    """The turns of all who ask one server.

    Args:
        clock: Seconds on a clock that never goes back.

    Example:
        >>> pace = Pace(lambda: 0.0)
        >>> pace.turn().seconds
        0.0
        >>> pace.refused(0.0, 2.0)
        >>> pace.turn().seconds, pace.turn().seconds
        (2.0, 2.015625)
    """

    __slots__ = ("_clock", "_closed", "_line", "_next", "_rate", "_slowed")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Let everybody go at once."""
        self._clock = clock
        self._line = 0
        self._rate: float | None = None
        self._next = self._closed = self._slowed = float("-inf")

    @property
    def free(self) -> bool:
        """Tell whether everybody may go at once."""
        return self._rate is None

    def turn(self, pause: float = 0.0) -> Turn:
        """Return the caller's turn; nobody else has the same one.

        Args:
            pause: Seconds for which the caller waits in any case. Who comes later than his turn
                leaves a gap behind, and nobody waits for him.
        """
        rate = self._rate
        if rate is None:
            return Turn(pause, self._line)
        with _lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + 1 / rate
            return Turn(max(turn - now, pause), self._line)

    def holds(self, turn: Turn) -> bool:
        """Tell whether a turn that was waited for is one still, or a new one is to be taken."""
        return turn.line == self._line

    def refused(self, since: float, retry_after: float | None) -> None:
        """Slow down, and let all who stand in line take new turns.

        Args:
            since: When the request that was refused was sent, on the same clock. Those that were
                under way when the rate was lowered say nothing about the new one.
            retry_after: Seconds for which the server wants to be left alone, if it said so.
        """
        with _lock:
            now = self._clock()
            if since >= self._slowed:
                slower = self._rate * _SLOWER if self._rate else _FIRST_RATE
                self._rate = max(_LOWEST_RATE, slower)
                self._slowed = now + 1 / self._rate  # a moment later there is no room either
                until = self._slowed if retry_after is None else now + retry_after
            elif retry_after and now + retry_after > self._closed:
                until = now + retry_after
            else:
                return
            self._next = self._closed = max(self._closed, until)
            self._line += 1

    def served(self, since: float) -> None:
        """Go a little faster.

        Args:
            since: When the request was sent that was answered, on the same clock.
        """
        if self.free:
            return
        with _lock:
            if self._rate is None or since < self._slowed:
                return
            calm = (self._clock() - self._closed) / _CALM
            self._rate += max(0.0, min(1.0, calm)) * min(1.0, self._rate * _FASTER)
            if self._rate >= _FREE_RATE:
                self._rate = None


_lock = threading.Lock()
"""Held for the moment that a few sums take. There is one for all, to be made anew after a fork."""


def _after_fork() -> None:
    """Give the child process a lock of its own: the parent's may have been held."""
    global _lock  # noqa: PLW0603 - it is one for the process
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
