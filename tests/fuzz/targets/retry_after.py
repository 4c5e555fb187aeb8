"""How long a server wants to be left alone."""

from __future__ import annotations

import math

from tests.fuzz.kit import parts
from webhook_storage.retry import RetryPolicy, parse_retry_after

SEEDS = (
    b"120",
    b"0",
    b"Thu, 01 Jan 1970 00:00:30 GMT",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"1 jan 0001 00:00:00 -0000",
    b"31 dec 9999 23:59:59 +2359",
)
WORDS = (b"GMT", b"+2359", b"-0000", b"jan", b"9" * 30, b":", b"-", b",", b"\xb2", b" ", b"(", b"e")

_POLICY = RetryPolicy(attempts=10, initial_delay=1.0, max_delay=30.0, deadline=300.0)


def target(data: bytes) -> None:
    """Read the header as each transport decodes it, and ask the policy."""
    (raw,) = parts(data, 1)
    for text in (raw.decode("latin-1"), raw.decode("utf-8", "replace")):
        seconds = parse_retry_after(text, now=0.0)
        assert seconds is None or (seconds >= 0 and not math.isnan(seconds))
        pause = _POLICY.delay(attempt=1, elapsed=0.0, retry_after=text)
        assert pause is not None
        assert 0 <= pause <= _POLICY.max_delay
