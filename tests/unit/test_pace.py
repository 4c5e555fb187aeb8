"""Turns of those who ask a server that has said that they are too fast."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from webhook_storage import pace as module
from webhook_storage.pace import Pace

GAP = 1 / 64


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at 100 seconds."""
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    """The pace of a server that has refused nothing."""
    return Pace(clock)


def rate(pace: Pace) -> float:
    """Return how many turns a second there are."""
    first, second = pace.turn().seconds, pace.turn().seconds
    return 1 / (second - first)


def test_nobody_waits_at_first(pace: Pace) -> None:
    """Before a refusal everybody goes at once, or after the pause that they make anyhow."""
    assert [0.0, 0.0, 3.0] == [pace.turn(pause).seconds for pause in (0.0, 0.0, 3.0)]


def test_after_a_refusal_they_go_one_by_one(pace: Pace, clock: Clock) -> None:
    """A refusal makes a line, in which there are 64 turns a second."""
    pace.refused(clock.now, None)
    assert [GAP, 2 * GAP, 3 * GAP] == [pace.turn().seconds for _ in range(3)]


def test_the_line_does_not_save_up_turns(pace: Pace, clock: Clock) -> None:
    """Turns that nobody took are lost, so that there is no burst after a rest."""
    pace.refused(clock.now, None)
    clock.now += 60
    assert [0.0, GAP, 2 * GAP] == [pace.turn().seconds for _ in range(3)]


def test_a_longer_pause_is_kept(pace: Pace, clock: Clock) -> None:
    """Who pauses longer than the line is comes when the pause ends, and holds nobody up."""
    pace.refused(clock.now, None)
    assert [5.0, 2 * GAP] == [pace.turn(5.0).seconds, pace.turn().seconds]


def test_retry_after_closes(pace: Pace, clock: Clock) -> None:
    """Nobody goes before the server wants to be asked again."""
    pace.refused(clock.now, 2.0)
    assert [2.0, 2.0 + GAP] == [pace.turn().seconds for _ in range(2)]


def test_who_was_under_way_says_nothing_new(pace: Pace, clock: Clock) -> None:
    """Refusals of requests that were sent before the rate was lowered do not lower it again."""
    sent = clock.now
    clock.now += 1
    for _ in range(50):
        pace.refused(sent, None)
    assert 64 == round(rate(pace))


def test_the_longest_retry_after_counts(pace: Pace, clock: Clock) -> None:
    """Of the refusals of one storm the one that asks for the longest rest is heeded."""
    for wish in (1.0, 9.0, 3.0, 0.0, None):
        pace.refused(clock.now, wish)
    assert [9.0, 9.0 + GAP] == [pace.turn().seconds for _ in range(2)]


def test_a_rest_is_not_cut_short(pace: Pace, clock: Clock) -> None:
    """A later refusal without a wish leaves the rest that an earlier one has asked for."""
    pace.refused(clock.now, 9.0)
    clock.now += 1
    pace.refused(clock.now, None)
    assert 8.0 == pace.turn().seconds


def test_turns_end_with_their_line(pace: Pace, clock: Clock) -> None:
    """A refusal that changes something ends the turns before it; one that does not leaves them."""
    before = pace.turn()
    pace.refused(clock.now, None)
    turn = pace.turn()
    assert (False, True) == (pace.holds(before), pace.holds(turn))
    pace.refused(clock.now, None)
    pace.refused(clock.now, 0.0)
    assert pace.holds(turn)
    pace.refused(clock.now, 5.0)
    assert not pace.holds(turn)


def test_the_rate_falls_and_has_a_floor(pace: Pace, clock: Clock) -> None:
    """Each refusal at the present rate takes three tenths of it; four seconds a turn is all."""
    rates = []
    for _ in range(30):
        clock.now += 10
        pace.refused(clock.now, None)
        rates.append(round(rate(pace), 2))
    assert [64.0, 44.8, 31.36, 21.95] == rates[:4]
    assert 0.25 == rates[-1]


@pytest.mark.parametrize(("calm", "expected"), [(0.0, 64.0), (2.0, 64.5), (4.0, 65.0), (400, 65.0)])
def test_the_rate_grows_with_the_time_since(
    pace: Pace, clock: Clock, calm: float, expected: float
) -> None:
    """An answer adds 1 to the rate, and soon after a refusal less."""
    pace.refused(clock.now, 0.0)
    clock.now += calm
    pace.served(clock.now + 1)
    assert expected == round(rate(pace), 6)


def test_a_low_rate_grows_by_a_fifth(pace: Pace, clock: Clock) -> None:
    """At a low rate an answer says little about a higher one."""
    for _ in range(30):
        clock.now += 10
        pace.refused(clock.now, None)
    clock.now += 10
    pace.served(clock.now)
    assert 0.3 == round(rate(pace), 6)


def test_answers_from_before_do_not_count(pace: Pace, clock: Clock) -> None:
    """What was answered to those who were under way says nothing about the new rate."""
    sent = clock.now
    pace.refused(clock.now, None)
    clock.now += 60
    pace.served(sent)
    assert 64 == round(rate(pace), 6)


def test_answers_during_a_rest_do_not_slow_down(pace: Pace, clock: Clock) -> None:
    """Whoever goes although the server rests, and is served, makes it no slower."""
    pace.refused(clock.now, 30.0)
    pace.served(clock.now + 1)
    assert 64 == round(rate(pace), 6)


def test_nobody_waits_in_the_end(pace: Pace, clock: Clock) -> None:
    """From 1024 requests a second on nobody stands in line; a further refusal begins anew."""
    pace.refused(clock.now, None)
    clock.now += 60
    for _ in range(1024 - 64):
        assert pace.turn().seconds < 1024 * GAP
        pace.served(clock.now)
    assert [0.0, 0.0] == [pace.turn().seconds for _ in range(2)]
    pace.served(clock.now)
    pace.refused(clock.now, None)
    assert 64 == round(rate(pace))


def test_threads_have_turns_of_their_own(pace: Pace, clock: Clock) -> None:
    """However many ask at the same time, no two have one turn."""
    pace.refused(clock.now, None)

    def ask(_: int) -> list[float]:
        return [pace.turn().seconds for _ in range(500)]

    with ThreadPoolExecutor(8) as pool:
        turns = [turn for taken in pool.map(ask, range(8)) for turn in taken]
    assert 4000 == len(set(turns))
    assert 4000 * GAP == max(turns)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_its_own_lock(pace: Pace, clock: Clock) -> None:
    """A process that was forked while a turn was taken does not wait for it."""
    with module._lock:  # as a thread holds it
        child = os.fork()
        if not child:
            signal.alarm(20)
            pace.refused(clock.now, None)
            os._exit(int(pace.turn().seconds == GAP))
    assert 1 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_lock_is_made_anew() -> None:
    """What a forked process does first is to forget the lock of its parent."""
    before = module._lock
    module._after_fork()
    assert before is not module._lock
