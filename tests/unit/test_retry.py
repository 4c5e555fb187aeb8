from __future__ import annotations

import pytest

from webhook_storage.retry import (
    IDEMPOTENT_METHODS,
    RETRY_STATUSES,
    RetryPolicy,
    parse_retry_after,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thursday, 01-Jan-70 00:01:00 GMT", 50.0),
        ("Thu Jan  1 00:01:00 1970", 50.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_both_forms_of_retry_after_are_understood(text: str, seconds: float) -> None:
    """A server may give seconds, or a date in any of the forms of HTTP; the past means now."""
    assert seconds == parse_retry_after(text, now=10.0)


@pytest.mark.parametrize(
    "text", [None, "", "soon", "-1", "1.5", "1e3", "²", "\u0661", "NaN", "Thu, 99 Foo 1970", "0x10"]
)
def test_what_is_no_retry_after_says_nothing(text: str | None) -> None:
    """A header that makes no sense is as good as none."""
    assert parse_retry_after(text, now=10.0) is None


def test_a_date_counts_from_now() -> None:
    """Without being told the time, the clock is asked."""
    assert parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT") == 0.0


def test_a_server_may_not_make_us_wait_longer_than_the_policy() -> None:
    """The longest pause also bounds what a server asks for."""
    policy = RetryPolicy(max_delay=3.0)
    assert policy.delay(attempt=1, elapsed=0.0, retry_after="9" * 400) == 3.0


def test_a_server_is_obeyed_within_the_policy() -> None:
    """What a server asks for is waited for exactly, however early the attempt."""
    assert RetryPolicy().delay(attempt=1, elapsed=0.0, retry_after="5") == 5.0


@pytest.mark.parametrize(("attempts", "attempt"), [(1, 1), (4, 4), (4, 5)])
def test_after_the_last_attempt_it_gives_up(attempts: int, attempt: int) -> None:
    """Not even a server that asks for it gets another attempt."""
    policy = RetryPolicy(attempts=attempts)
    assert policy.delay(attempt=attempt, elapsed=0.0, retry_after="0") is None


@pytest.mark.parametrize(("elapsed", "expected"), [(7.9, 2.0), (8.0, None), (100.0, None)])
def test_no_attempt_begins_after_the_deadline(elapsed: float, expected: float | None) -> None:
    """A pause that would reach over the deadline is not begun."""
    policy = RetryPolicy(deadline=10.0)
    assert expected == policy.delay(attempt=1, elapsed=elapsed, retry_after="2")


def test_pauses_are_spread() -> None:
    """Clients that failed together do not come back together."""
    policy = RetryPolicy(attempts=99)
    pauses = {policy.delay(attempt=3, elapsed=0.0) for _ in range(20)}
    assert len(pauses) > 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_worth_another_attempt(status: int) -> None:
    """These statuses may change by themselves."""
    assert status in RETRY_STATUSES


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 409, 412, 413, 501, 505])
def test_a_lasting_failure_is_not(status: int) -> None:
    """Asking again would get the same answer."""
    assert status not in RETRY_STATUSES


def test_post_and_patch_are_not_idempotent() -> None:
    """Sending these twice may do it twice."""
    assert set() == IDEMPOTENT_METHODS & {"POST", "PATCH"}
