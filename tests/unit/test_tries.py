"""The attempts of one request: when it goes, how long it waits, and what its server is told."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from webhook_storage.answer import Reply
from webhook_storage.artifact import BytesBody, MemorySink
from webhook_storage.contracts import Deadline, Request, Response, WireRequest
from webhook_storage.effects import perform
from webhook_storage.errors import ConnectError, ProtocolError, TimedOutError, TlsError
from webhook_storage.pace import Pace
from webhook_storage.retry import RetryPolicy
from webhook_storage.secret import SecretValue
from webhook_storage.tries import Course, Tries

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = RetryPolicy(attempts=3, initial_delay=1.0, max_delay=8.0)


def values_of(*texts: str) -> list[SecretValue]:
    """Return the secrets of a request."""
    return [SecretValue(text) for text in texts]


class TestWhatACourseKnows:
    """The secrets of all requests of an operation are kept out of the answers to each."""

    def test_values_that_alternate_are_kept_once(self) -> None:
        """The parts of an upload carry the same secrets, some one, some another."""
        course = Course(POLICY)
        course.knows(values_of("the first"))
        redactors = set()
        for _ in range(5):
            course.knows(values_of("the second"))
            course.knows(values_of("the first"))
            redactors.add(course.redactor)
        assert 1 == len(redactors)
        assert "**** ****" == course.redactor.redact("the first the second")

    def test_no_thread_forgets_what_another_knows(self) -> None:
        """Parts are sent side by side."""
        course, texts = Course(POLICY), [f"value number {number}" for number in range(64)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda text: course.knows(values_of(text)), texts))
        assert {"****"} == {course.redactor.redact(text) for text in texts}


class Clock:
    """A clock that goes on when somebody sleeps.

    Attributes:
        slept: How long, each time.
        during: Called while somebody sleeps.
    """

    def __init__(self) -> None:
        self.now = 50.0
        self.slept: list[float] = []
        self.during: list[Callable[[], object]] = []

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        self.slept.append(round(seconds, 6))
        self.now += seconds
        if self.during:
            self.during.pop(0)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock for all; nobody waits for it."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock


@pytest.fixture
def pace(clock: Clock) -> Pace:
    """The pace of a server that has refused nothing."""
    return Pace(clock)


def tries(pace: Pace, policy: RetryPolicy = POLICY, **request: object) -> Tries:
    """Return the attempts of a request."""
    asked = Request(**{"method": "PUT", "url": "https://files.example.com/a", **request})  # type: ignore[arg-type]
    return Tries(asked, Course(policy), pace)


def reply(status: int, retry_after: str | None = None, **parts: object) -> Reply:
    """Return an answer."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    known = {"body": b"", "size": 0, "sha256": "", "good": status < 300, "html": False, **parts}
    return Reply(status, headers, **known)  # type: ignore[arg-type]


# --- waiting -------------------------------------------------------------------------------------


def test_the_first_goes_at_once(pace: Pace, clock: Clock) -> None:
    """Where nothing was refused nobody so much as pauses."""
    perform(tries(pace).wait())
    assert [] == clock.slept


@pytest.mark.parametrize("pause", [0.0, 2.0])
def test_a_pause_is_one(pace: Pace, clock: Clock, pause: float) -> None:
    """A pause is made once, and is no longer for being at a free server."""
    perform(tries(pace).wait(pause))
    assert [pause] == clock.slept


def test_the_next_waits_for_its_turn(pace: Pace, clock: Clock) -> None:
    """After a refusal each waits for its turn, or longer when it pauses."""
    pace.refused(clock.now, 1.0)
    perform(tries(pace).wait())
    pace.turn()
    perform(tries(pace).wait(0.0))
    perform(tries(pace).wait(3.0))
    assert [1.0, 2 / 64, 3.0] == clock.slept


def test_a_turn_that_is_one_no_longer_is_taken_anew(pace: Pace, clock: Clock) -> None:
    """When the server closes while somebody stands in line, they do not go before it opens."""
    pace.refused(clock.now, 1.0)
    clock.during = [lambda: pace.refused(clock.now, 5.0)]
    perform(tries(pace).wait())
    assert [1.0, 5.0] == clock.slept


def test_who_pauses_takes_notice_too(pace: Pace, clock: Clock) -> None:
    """A refusal of others during a pause holds for those who pause for another reason."""
    clock.during = [lambda: pace.refused(clock.now, 5.0)]
    perform(tries(pace).wait(1.0))
    assert [1.0, 5.0] == clock.slept


def test_a_long_line_is_stood_in_to_its_end(pace: Pace, clock: Clock) -> None:
    """No pause is longer than the policy allows, and yet nobody goes before it is their turn."""
    pace.refused(clock.now, 8.0)
    for _ in range(64 * 5):
        pace.turn()
    perform(tries(pace).wait())
    assert [8.0, 5.0] == clock.slept


def test_a_policy_without_pauses_waits_for_nobody(pace: Pace, clock: Clock) -> None:
    """Whose longest pause is 0 goes at once, whatever the server said."""
    pace.refused(clock.now, 8.0)
    perform(tries(pace, RetryPolicy(max_delay=0)).wait())
    assert [0.0] == clock.slept


def test_nobody_waits_longer_than_there_is_time(pace: Pace, clock: Clock) -> None:
    """The end of the operation is the end of the waiting."""
    pace.refused(clock.now, 8.0)
    perform(tries(pace, RetryPolicy(total=2.5)).wait())
    assert [2.5, 0.0] == clock.slept


# --- what a server is told -----------------------------------------------------------------------


def ended(pace: Pace, *outcomes: Reply | ConnectError) -> float:
    """Let attempts end so, and return the seconds until the turn after the next."""
    one = tries(pace)
    for outcome in outcomes:
        one.begin()
        one.end(outcome)
    pace.turn()
    return pace.turn().seconds


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (429, None, 2 / 64),
        (503, None, 2 / 64),
        (429, "4", 4 + 1 / 64),
        (503, "4", 4 + 1 / 64),
        (429, "99", 8 + 1 / 64),
        (429, "soon", 2 / 64),
        (500, "4", 0.0),
        (404, "4", 0.0),
        (200, "4", 0.0),
    ],
)
@pytest.mark.usefixtures("clock")
def test_who_says_that_it_is_too_fast(
    pace: Pace, status: int, retry_after: str | None, expected: float
) -> None:
    """429 and 503 slow down, for as long as the server says but no longer than the policy does."""
    assert expected == ended(pace, reply(status, retry_after))


@pytest.mark.usefixtures("clock")
def test_no_answer_says_nothing(pace: Pace) -> None:
    """A connection that was not made says nothing about the pace."""
    assert 0.0 == ended(pace, ConnectError("no connection"))


@pytest.mark.parametrize(("status", "rate"), [(200, 65), (404, 65), (412, 65), (500, 64)])
def test_every_answer_but_a_fault_is_service(
    pace: Pace, clock: Clock, status: int, rate: int
) -> None:
    """A server that answers 404 has answered, so that the pace recovers."""
    pace.refused(clock.now, None)
    clock.now += 60
    assert 1 / rate == pytest.approx(ended(pace, reply(status)))


# --- whether again -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "method", "again"),
    [
        (reply(503), "PUT", True),
        (reply(503), "POST", False),
        (reply(400), "PUT", False),
        (ProtocolError("it broke"), "PUT", True),
        (ProtocolError("it broke"), "POST", False),
        (ConnectError("no connection"), "POST", True),
        (TlsError("refused"), "PUT", False),
        (TimedOutError("too long"), "GET", True),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
@pytest.mark.usefixtures("clock")
def test_what_is_sent_again(pace: Pace, outcome: Reply, method: str, *, again: bool) -> None:
    """What may pass is sent again, if that does no harm."""
    one = tries(pace, method=method)
    one.end(outcome)
    assert again is (one.pause(outcome) is not None)


@pytest.mark.usefixtures("clock")
def test_refusals_count_as_attempts(pace: Pace) -> None:
    """A server that always refuses is asked as often as the policy says."""
    one = tries(pace)
    pauses = []
    for _ in range(3):
        one.begin()
        one.end(reply(429, "1"))
        pauses.append(one.pause(reply(429, "1")))
    assert [1.0, 1.0, None] == pauses
    assert ["429"] * 3 == one.history


def test_no_pause_beyond_the_end(pace: Pace, clock: Clock) -> None:
    """A pause that would reach over the time of the operation is not begun."""
    one = tries(pace, RetryPolicy(total=5.0))
    one.end(reply(503))
    assert 4.0 == one.pause(reply(503, "4"))
    clock.now += 1.5
    assert one.pause(reply(503, "4")) is None


@pytest.mark.parametrize(
    ("status", "again"), [(404, True), (412, False), (200, False)], ids=["404", "412", "200"]
)
@pytest.mark.usefixtures("clock")
def test_an_exchange_may_want_another_attempt(pace: Pace, status: int, *, again: bool) -> None:
    """What comes back to the exchange is asked for again when the request says so of it."""
    one = tries(pace, returns=frozenset({404, 412}), retry_when=lambda answer: answer.status == 404)
    one.end(reply(status, "2", good=True))
    answer = Response(status=status, headers={"retry-after": "2"})
    assert (2.0 if again else None) == one.pause_after(answer)


@pytest.mark.usefixtures("clock")
def test_progress_counts_anew(pace: Pace) -> None:
    """A download that goes on from break to break is not given up."""
    sink = MemorySink()
    one = tries(pace, method="GET", sink=sink)
    assert one.download is not None
    one.download.begin("https://files.example.com", {}, whole=True)
    pauses = []
    for _ in range(9):
        one.download.write(bytes(512 * 1024))
        one.end(ProtocolError("it broke"))
        pauses.append(one.pause(ProtocolError("it broke")))
    assert None not in pauses


@pytest.mark.usefixtures("clock")
def test_a_part_that_is_not_there_begins_anew(pace: Pace) -> None:
    """A server that cannot go on where a download broke off is asked for all of it."""
    one = tries(pace, method="GET", sink=MemorySink())
    assert one.download is not None
    assert one.pause(reply(416)) is None
    one.download.begin("https://files.example.com", {"etag": '"1"'}, whole=True)
    one.download.write(b"31")
    assert [] != one.download.range_headers("https://files.example.com")
    assert one.pause(reply(416)) is not None
    assert [] == one.download.range_headers("https://files.example.com")


@pytest.mark.usefixtures("clock")
def test_each_attempt_is_logged(pace: Pace, caplog: pytest.LogCaptureFixture) -> None:
    """One line an attempt says what was sent, what came, and when it is sent again."""
    one = tries(pace, body=BytesBody(b"31 rows"))
    with caplog.at_level(logging.INFO, logger="webhook_storage"):
        for outcome, pause in ((ConnectError("none"), 2.0), (reply(201, size=4), None)):
            one.begin()
            one.end(outcome)
            one.log(outcome, pause)
    start = "PUT https://files.example.com/a: "
    assert [
        start + "ConnectError, 0.000 s, 7 bytes up, 0 down, again in 2.000 s",
        start + "201, 0.000 s, 7 bytes up, 4 down",
    ] == caplog.messages


@pytest.mark.usefixtures("clock")
def test_nothing_is_logged_unless_wanted(pace: Pace, caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody listens nothing is said."""
    one = tries(pace)
    one.end(reply(201))
    with caplog.at_level(logging.WARNING, logger="webhook_storage"):
        one.log(reply(201))
    assert [] == caplog.messages


# --- the time of an operation --------------------------------------------------------------------


def wire(body: BytesBody | None = None) -> WireRequest:
    """Return a request that is ready to go."""
    return WireRequest(
        method="PUT", url="https://files.example.com/a", headers=[], body=body, timeout=(10, 60)
    )


def test_a_request_has_no_more_time_than_its_operation(clock: Clock) -> None:
    """Both timeouts end with the operation, and never become none."""
    course = Course(RetryPolicy(total=5.0))
    assert (5.0, 5.0) == course.timed(wire()).timeout
    clock.now += 9
    assert all(0 < seconds < 0.1 for seconds in course.timed(wire()).timeout)
    assert (10, 60) == Course(RetryPolicy()).timed(wire()).timeout


def test_a_body_ends_with_its_operation(clock: Clock) -> None:
    """A body is what it was, until there is no more time."""
    course = Course(RetryPolicy(total=5.0))
    body = course.timed(wire(BytesBody(b"31 rows"))).body
    assert body is not None
    assert (7, BytesBody(b"31 rows").sha256()) == (body.size, body.sha256())
    assert [b"31 rows"] == list(body.chunks())
    clock.now += 9
    with pytest.raises(TimedOutError):
        list(body.chunks())


@pytest.mark.usefixtures("clock")
def test_a_deadline_stands_on_the_same_clock() -> None:
    """What the course calls its end is told by the clock that the rest uses."""
    course = Course(RetryPolicy(total=5.0))
    assert isinstance(course.deadline, Deadline)
    assert (3.0, 5.0) == (course.at_most(3.0), course.at_most(7.0))
