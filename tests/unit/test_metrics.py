"""A process can count its questions; no name and no value is in the figures."""

from __future__ import annotations

import logging
import threading
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tests.unit.stores import Clock, Local, Store, found, one
from webhook_storage.contracts import Unavailable
from webhook_storage.resolution import Resolution
from webhook_storage.template import Reference

if TYPE_CHECKING:
    from webhook_storage.metrics import Measurement

TOKEN = Reference("VERY_SECRET_NAME")


class Meter:
    """Keeps what it gets. Of an answer it is told once that is there, so one has to wait for it."""

    def __init__(self) -> None:
        self.taken: list[Measurement] = []
        self._more = threading.Semaphore(0)

    def __call__(self, measurement: Measurement) -> None:
        self.taken.append(measurement)
        self._more.release()

    def wait(self, count: int = 1) -> None:
        """Wait for so many more."""
        for _ in range(count):
            assert self._more.acquire(timeout=30)

    def said(self) -> list[tuple[str, str, str]]:
        """Return who answered what, and from where it came."""
        return [(each.resolver, each.outcome, each.origin) for each in self.taken]


def test_each_answer_of_a_chain_is_counted() -> None:
    """Of a chain everybody who was asked is told, then the cache."""
    meter = Meter()
    resolution = Resolution([Local(), Store({TOKEN.name: found("v")})], meter=meter)
    one(resolution, TOKEN)
    meter.wait(2)
    one(resolution, TOKEN)
    meter.wait(2)
    assert [
        ("local", "not found", "asked"),
        ("store", "found", "asked"),
        ("local", "not found", "asked"),
        ("store", "found", "cache"),
    ] == meter.said()


def test_an_answer_at_hand_is_counted() -> None:
    """So is an answer that comes without a walk through a chain."""
    meter = Meter()
    resolution = Resolution([Store({TOKEN.name: found("v")})], meter=meter)
    for _ in range(3):
        one(resolution, TOKEN)
        meter.wait()
    assert [("store", "found", origin) for origin in ("asked", "cache", "cache")] == meter.said()


def test_a_value_past_its_time_is_counted_twice() -> None:
    """Once as the failure that it is, once as the value that stood in."""
    meter, clock = Meter(), Clock()
    store = Store({TOKEN.name: found("v")})
    resolution = Resolution([store], meter=meter, clock=clock, stale_if_error=10**6)
    one(resolution, TOKEN)
    meter.wait()
    store.outcomes[TOKEN.name] = Unavailable("down")
    clock.now += 10**4
    one(resolution, TOKEN)
    meter.wait(2)
    assert [("store", "unavailable", "asked"), ("store", "found", "stale")] == meter.said()[1:]


def test_names_are_hashed() -> None:
    """The same secret has the same digits everywhere, and its name and value are not told."""
    meter = Meter()
    for value in ("canary-1", "canary-2"):
        resolution = Resolution([Store({TOKEN.name: found(f'{{"a": "{value}"}}')})], meter=meter)
        one(resolution, Reference(TOKEN.name, field="a"))
        meter.wait()
    first, second = meter.taken
    assert first.reference == second.reference
    assert 16 == len(first.reference)
    assert not any(text in repr(meter.taken) for text in ("canary", "SECRET", "very"))


def test_time_is_measured() -> None:
    """An answer that was asked for took some time, a remembered one none."""
    meter = Meter()
    resolution = Resolution([Store({TOKEN.name: found("v")})], meter=meter)
    one(resolution, TOKEN)
    meter.wait()
    one(resolution, TOKEN)
    meter.wait()
    assert [True, False] == [each.seconds > 0 for each in meter.taken]


def test_a_failing_meter_harms_nobody() -> None:
    """A meter that raises is told by the type of its error, and the request goes on."""

    def broken(measurement: Measurement) -> None:
        message = f"canary in {measurement}"
        raise ValueError(message)

    resolution = Resolution([Store({TOKEN.name: found("v")})], meter=broken)
    told = SimpleQueue[logging.LogRecord]()
    logger, handler = logging.getLogger("webhook_storage"), QueueHandler(told)
    logger.addHandler(handler)
    try:
        assert found("v") == one(resolution, TOKEN)
        assert "the meter failed, ValueError" == told.get(timeout=30).getMessage()
    finally:
        logger.removeHandler(handler)
