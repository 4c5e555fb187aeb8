from __future__ import annotations

import math
from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from webhook_storage.retry import RetryPolicy, parse_retry_after

seconds = st.floats(min_value=0, max_value=1e6)
policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 100),
    initial_delay=seconds,
    max_delay=seconds,
    deadline=seconds,
)
headers = st.none() | st.text() | st.integers(min_value=0).map(str) | seconds.map(formatdate)


@given(policies, st.integers(1, 200), seconds, headers)
def test_a_pause_stays_within_the_policy(
    policy: RetryPolicy, attempt: int, elapsed: float, retry_after: str | None
) -> None:
    """Whatever a server says, a pause is finite, not negative, bounded, and ends in time."""
    pause = policy.delay(attempt=attempt, elapsed=elapsed, retry_after=retry_after)
    if pause is not None:
        assert 0 <= pause <= policy.max_delay
        assert elapsed + pause < policy.deadline
        assert attempt < policy.attempts


@given(st.integers(1, 60), st.floats(min_value=0, max_value=10))
def test_the_bound_doubles(attempt: int, initial: float) -> None:
    """The pause before attempt n + 1 is at most the first one's bound times 2 to the n - 1."""
    policy = RetryPolicy(attempts=100, initial_delay=initial, max_delay=1e30, deadline=1e31)
    pause = policy.delay(attempt=attempt, elapsed=0.0)
    assert pause is not None
    assert 0 <= pause <= initial * 2 ** (attempt - 1)


@given(st.text())
def test_any_header_is_read(text: str) -> None:
    """No text breaks the reading; the result is nothing or a number that is not negative."""
    found = parse_retry_after(text, now=0.0)
    assert found is None or (found >= 0 and not math.isnan(found))


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_a_date_is_a_distance(moment: int, now: int) -> None:
    """A date asks for the seconds until then, and for none when it is over."""
    header = formatdate(moment, usegmt=True)
    assert parse_retry_after(header, now=now) == max(0, moment - now)
