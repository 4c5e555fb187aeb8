"""A token that a login gave, kept by the process until shortly before it ends.

Rule: whoever asks while a login is under way waits for that login; nobody logs in beside it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook_storage.contracts import Forbidden, Invalid, NotFound, Unavailable
from webhook_storage.lazy import PerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.secret import SecretValue

Refusal = NotFound | Forbidden | Unavailable | Invalid
"""What a login comes to when there is no token."""

_PART_USED = 0.9


@dataclass(frozen=True, slots=True)
class Token:
    """What a login gave.

    Attributes:
        value: The token.
        lifetime: Seconds for which it is good; None or 0 when that is not known.
    """

    value: SecretValue
    lifetime: float | None = None


class _Held:
    """The token of this process."""

    __slots__ = ("lock", "token", "until")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.token: Token | None = None
        self.until = 0.0


class TokenCache:
    """Keeps one token a process; it is used for nine tenths of its life, then replaced.

    Args:
        clock: Seconds that only go up; a token lives by it.
    """

    __slots__ = ("_clock", "_held")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold no token."""
        self._clock = clock
        self._held: PerProcess[_Held] = PerProcess()

    def __repr__(self) -> str:
        """Show nothing of the token."""
        return "<TokenCache>"

    def get(self, log_in: Callable[[Token | None], Token | Refusal]) -> Token | Refusal:
        """Return the token, from `log_in` when there is none or it is about to end.

        Args:
            log_in: Returns a new token, or why there is none, which is not kept. It gets the token
                that is about to end, so that it may renew that one, or None.
        """
        held = self._held.get(_Held)
        with held.lock:
            if held.token is not None and self._clock() < held.until:
                return held.token
            answer = log_in(held.token)
            held.token = answer if isinstance(answer, Token) else None
            if held.token is not None:
                held.until = self._clock() + _PART_USED * (held.token.lifetime or float("inf"))
            return answer

    def forget(self, token: Token) -> None:
        """Log in again next time, unless somebody already did."""
        held = self._held.get(_Held)
        with held.lock:
            if held.token is token:
                held.token = None

    def clear(self) -> None:
        """Hold no token."""
        self._held.take()
