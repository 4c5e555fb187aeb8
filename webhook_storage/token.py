"""A token that a login gave, kept by the process until shortly before it ends.

Rule: whoever asks while a login is under way waits for that login; nobody logs in beside it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Forbidden, Invalid, NotFound, Unavailable
from webhook_storage.lazy import PerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.secret import SecretValue

Refusal = NotFound | Forbidden | Unavailable | Invalid
"""What a login comes to when there is no token."""

_PART_USED = 0.9
_PART_BEFORE_RENEWAL = 2 / 3
"""Early enough for a second try, should the first one fail."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a login gave.

    Attributes:
        value: The token.
        lifetime: Seconds for which it is good; None or 0 when that is not known.
        renewable: Whether its life can be made longer; it is replaced after two thirds of it.
    """

    value: SecretValue
    lifetime: float | None = None
    renewable: bool = False


class _Held:
    """The token of this process, and what the last login came to."""

    __slots__ = ("end", "lock", "logins", "refusal", "token", "until")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.token: Token | None = None
        self.until = 0.0
        self.end = 0.0
        self.logins = 0
        self.refusal: Refusal | None = None

    def keep(self, answer: Token | Refusal, now: float) -> None:
        """Hold the token, if it is one; one that was held before gets no new life."""
        self.logins += 1
        if not isinstance(answer, Token):
            self.token, self.refusal = None, answer
            return
        used = _PART_USED
        if answer is not self.token:
            self.end = now + (answer.lifetime or float("inf"))
            used = _PART_BEFORE_RENEWAL if answer.renewable else used
        self.token, self.refusal = answer, None
        self.until = self.end - (1 - used) * (answer.lifetime or 0.0)


class TokenCache:
    """Keeps one token a process; it is used for nine tenths of its life, then replaced.

    A token that can be renewed is replaced after two thirds. A pickle holds no token.

    Args:
        clock: Seconds that only go up; a token lives by it.

    Example:
        >>> from webhook_storage.secret import SecretValue
        >>> tokens = TokenCache()
        >>> token = tokens.get(lambda ending: Token(SecretValue("s3cret"), lifetime=3600))
        >>> tokens.get(lambda ending: Unavailable("is not asked")) is token
        True
    """

    __slots__ = ("_clock", "_held")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold no token."""
        self._clock = clock
        self._held: PerProcess[_Held] = PerProcess()

    def __repr__(self) -> str:
        """Show nothing of the token."""
        return "<TokenCache>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the token behind."""
        return type(self), (self._clock,)

    def get(self, log_in: Callable[[Token | None], Token | Refusal]) -> Token | Refusal:
        """Return the token, from `log_in` when there is none or it is about to end.

        Args:
            log_in: Returns a new token, or why there is none, which is told to all who waited for
                it and not kept. It gets the token that is about to end, so that it may renew that
                one, or None when there is none that is still good. To go on with that token for a
                while it returns the same object.
        """
        held = self._held.get(_Held)
        seen = held.logins
        with held.lock:
            if held.token is not None and self._clock() < held.until:
                return held.token
            if held.logins != seen and held.refusal is not None:
                return held.refusal
            last = held.token if self._clock() < held.end else None
            answer = log_in(last)
            held.keep(answer, self._clock())
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
