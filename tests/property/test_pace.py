from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from webhook_storage.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_RATE, FREE_RATE, LOWEST_RATE, SLOWER = 64.0, 1024.0, 0.25, 0.7
TINY = 1e-6
"""Seconds by which sums of moments may be off."""


@dataclass
class Clock:
    """A clock that stands still."""

    now: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


moments = st.floats(0, 100)
pauses = st.none() | st.floats(0, 30)


@given(st.integers(1, 20), st.lists(moments, min_size=2, max_size=40))
def test_no_window_has_more_turns_than_the_rate(refusals: int, asked: list[float]) -> None:
    """Whenever turns are asked for, two of them are as far apart as the rate says, or farther."""
    pace = Pace(clock := Clock())
    rate = 0.0
    for _ in range(refusals):
        pace.refused(clock.now, None)
        rate = max(LOWEST_RATE, rate * SLOWER) if rate else FIRST_RATE
        clock.now += 5  # more than a turn takes at the lowest rate
    turns = []
    for moment in sorted(asked):
        clock.now = 100 + moment
        turns.append(clock.now + pace.turn().seconds)
    gaps = [later - earlier for earlier, later in itertools.pairwise(turns)]
    assert all(gap >= 1 / rate - TINY for gap in gaps), (rate, gaps)


steps = st.lists(
    st.tuples(st.sampled_from(["wait", "turn", "served", "refused"]), pauses), max_size=80
)


@given(steps)
def test_turns_of_a_line_only_grow(taken: list[tuple[str, float | None]]) -> None:
    """Whatever happens, nobody who asks later goes earlier, and nobody while the server rests."""
    pace = Pace(clock := Clock())
    pace.refused(0.0, None)
    last, line, rests = 0.0, -1, 0.0
    for step, amount in taken:
        if step == "wait":
            clock.now += amount or 0.0
        elif step == "served":
            pace.served(clock.now)
        elif step == "refused":
            pace.refused(clock.now, amount)
            rests = max(rests, clock.now + (amount or 0.0))
        else:
            turn = pace.turn()
            moment = clock.now + turn.seconds
            assert moment >= rests - TINY
            assert turn.line > line or moment >= last + 1 / FREE_RATE - TINY
            last, line = moment, turn.line


@given(st.integers(1, 60))
def test_it_recovers(refusals: int) -> None:
    """After any number of refusals nobody waits any more once the server has been well for long."""
    pace = Pace(clock := Clock())
    for _ in range(refusals):
        pace.refused(clock.now, None)
        clock.now += 5  # more than a turn takes at the lowest rate
    for _ in range(2000):
        clock.now += pace.turn().seconds
        pace.served(clock.now)
    assert (0.0, 0.0) == (pace.turn().seconds, pace.turn().seconds)


@dataclass
class Limited:
    """A server that takes so many requests a second, and some more at once: a leaking bucket."""

    rate: float
    burst: int
    full: float = 0.0
    looked: float = 0.0

    def takes(self, now: float) -> bool:
        """Tell whether a request is taken."""
        self.full = max(0.0, self.full - (now - self.looked) * self.rate)
        self.looked = now
        if self.full > self.burst:
            return False
        self.full += 1
        return True


ITEMS = 200


@dataclass
class Storm:
    """Many who ask one server at once, in a time that does not pass by itself."""

    server: Limited
    latency: float
    retry_after: float | None
    refused: int = 0

    def rage(self, at_once: int) -> float:
        """Let all be served and return how long that takes."""
        self.clock = Clock()
        self.pace = Pace(self.clock)
        left = iter(range(ITEMS))
        order = itertools.count()
        events = [(0.0, next(order), self.client(left)) for _ in range(at_once)]
        while events:
            self.clock.now, _, client = heapq.heappop(events)
            for seconds in client:
                heapq.heappush(events, (self.clock.now + seconds, next(order), client))
                break
        return self.clock.now

    def client(self, left: Iterator[int]) -> Iterator[float]:
        """Do one item after the other, and yield what is to be waited."""
        for _ in left:
            served = False
            while not served:
                turn = self.pace.turn()
                yield turn.seconds
                while not self.pace.holds(turn):
                    turn = self.pace.turn()
                    yield turn.seconds
                since = self.clock.now
                yield self.latency / 2
                served = self.server.takes(self.clock.now)
                yield self.latency / 2
                if served:
                    self.pace.served(since)
                else:
                    self.pace.refused(since, self.retry_after)
                    self.refused += 1


@given(
    rate=st.floats(2, 500),
    burst=st.integers(0, 50),
    at_once=st.integers(1, 64),
    latency=st.floats(0.001, 0.5),
    retry_after=st.sampled_from([None, 0.0, 1.0, 5.0]),
)
def test_a_storm_ends(
    rate: float, burst: int, at_once: int, latency: float, retry_after: float | None
) -> None:
    """At any limit all is stored, with 1.5 refusals an item at most, and hardly any time lost."""
    storm = Storm(Limited(rate, burst), latency, retry_after)
    took = storm.rage(at_once)
    assert storm.refused < 1.5 * ITEMS
    rests = storm.refused * (retry_after or 0.0)
    assert took < 1.5 * max(ITEMS / rate, ITEMS * latency / at_once) + 60 + rests
