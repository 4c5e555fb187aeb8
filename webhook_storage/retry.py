"""Whether to send a request again, and after how long. A value that computes; it never sleeps."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that another attempt may change."""

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Methods of which sending twice does the same as once (RFC 9110, section 9.2.2)."""


_MOST_DOUBLINGS = 64
"""From there on every bound is the longest pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to try again: full jitter between attempts, and an end to it all.

    Attributes:
        attempts: How often a request is sent at most; 1 switches retrying off.
        initial_delay: Upper bound in seconds of the first pause; it doubles from pause to pause.
        max_delay: Upper bound in seconds of any pause, also of one that a server asks for.
        deadline: Seconds without progress after which a request is not sent again.
        total: Seconds after which a whole operation is given up, whatever it is doing; None lets it
            take as long as it goes on.

    Example:
        >>> RetryPolicy(attempts=1).delay(attempt=1, elapsed=0.0) is None
        True
        >>> RetryPolicy().delay(attempt=1, elapsed=0.0, retry_after="2")
        2.0
    """

    attempts: int = 4
    initial_delay: float = 0.5
    max_delay: float = 30.0
    deadline: float = 300.0
    total: float | None = None

    def delay(
        self, *, attempt: int, elapsed: float, retry_after: str | None = None
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        Args:
            attempt: How many attempts were made since the last progress, from 1.
            elapsed: Seconds since then.
            retry_after: The header of that name, in seconds or as a date (RFC 9110, 10.2.3).
        """
        if attempt >= self.attempts:
            return None
        asked = parse_retry_after(retry_after)
        if asked is None:
            bound = min(self.max_delay, self.initial_delay * 2 ** min(attempt - 1, _MOST_DOUBLINGS))
            pause = random.uniform(0, bound)  # noqa: S311 - spreads load, guards nothing
        else:
            pause = min(asked, self.max_delay)
        return pause if elapsed + pause < self.deadline else None


def parse_retry_after(text: str | None, *, now: float | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, or None when it says nothing.

    Example:
        >>> parse_retry_after("120")
        120.0
        >>> parse_retry_after("Thu, 01 Jan 1970 00:00:30 GMT", now=10.0)
        20.0
        >>> parse_retry_after("soon") is None
        True
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))
