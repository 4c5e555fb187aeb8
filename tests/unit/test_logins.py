"""Log-ins that are kept, shared, forgotten and made again."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.stores import Clock
from webhook_storage.contracts import Access, Deadline
from webhook_storage.effects import Waiting, aperform, perform
from webhook_storage.errors import AuthenticationError, TimedOutError
from webhook_storage.logins import Logins
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from webhook_storage.effects import Steps


class Office:
    """Logs in, and counts how often."""

    def __init__(self, lifetime: float | None = 100.0) -> None:
        self.lifetime = lifetime
        self.count = 0
        self.error: Exception | None = None
        self.held: asyncio.Event | None = None

    def log_in(self) -> Steps[Access]:
        """Log in."""
        self.count += 1
        count = self.count
        yield _Held(self.held)
        if self.error is not None:
            raise self.error
        return Access(secrets={"n": SecretValue(str(count))}, lifetime=self.lifetime)


class _Held(Waiting):
    """Wait for an event, in an event loop only."""

    def __init__(self, event: asyncio.Event | None) -> None:
        super().__init__(0)
        self._event = event

    async def aperform(self) -> None:
        if self._event is not None:
            await self._event.wait()


def got(logins: Logins, office: Office, key: object = "a") -> str:
    """Return which log-in it was."""
    access = perform(logins.get(key, office.log_in))
    return access.secrets["n"].reveal()


@pytest.mark.parametrize(
    ("lifetime", "after", "second"),
    [(100.0, 89.0, "1"), (100.0, 91.0, "2"), (0.0, 0.0, "2"), (None, 1e9, "1")],
)
def test_it_is_kept_for_nine_tenths_of_its_life(
    lifetime: float | None, after: float, second: str
) -> None:
    """One without an end is kept, and one for a single request is not."""
    clock, office = Clock(), Office(lifetime)
    logins = Logins(clock)
    assert "1" == got(logins, office)
    clock.now += after
    assert second == got(logins, office)


def test_each_key_has_its_own() -> None:
    """Another definition logs in for itself."""
    logins, office = Logins(), Office()
    assert ["1", "2", "1"] == [got(logins, office, key) for key in ("a", "b", "a")]


def test_one_that_is_forgotten_is_made_again() -> None:
    """Only the one that was refused: a newer one stays."""
    logins, office = Logins(), Office()
    refused = perform(logins.get("a", office.log_in))
    logins.forget("a", refused)
    assert "2" == got(logins, office)
    logins.forget("a", refused)
    logins.forget("b", refused)
    assert "2" == got(logins, office)
    logins.clear()
    assert "3" == got(logins, office)


def test_there_is_an_end_to_what_is_kept() -> None:
    """Definitions without number do not fill the memory."""
    logins, office = Logins(), Office()
    for number in range(1000):
        got(logins, office, number)
    held = logins._held.peek()
    assert held is not None
    assert len(held.slots) <= 256


def test_a_refusal_is_not_kept() -> None:
    """The next request tries again."""
    logins, office = Logins(), Office()
    office.error = AuthenticationError("refused", status=401)
    with pytest.raises(AuthenticationError):
        got(logins, office)
    office.error = None
    assert "2" == got(logins, office)


def test_an_interruption_leaves_it_to_the_next() -> None:
    """Whoever waited logs in by itself."""
    logins, office = Logins(), Office()

    async def run() -> Any:
        office.held = asyncio.Event()
        first = asyncio.create_task(aperform(logins.get("a", office.log_in)))
        await asyncio.sleep(0)
        second = asyncio.create_task(aperform(logins.get("a", office.log_in)))
        await asyncio.sleep(0)
        first.cancel()
        office.held.set()
        return await second

    assert "2" == asyncio.run(run()).secrets["n"].reveal()
    assert 2 == office.count


def test_nobody_waits_for_ever() -> None:
    """A log-in that hangs is left alone when there is no more time."""
    logins, office = Logins(), Office()

    async def run() -> None:
        office.held = asyncio.Event()
        first = asyncio.create_task(aperform(logins.get("a", office.log_in)))
        await asyncio.sleep(0)
        with pytest.raises(TimedOutError):
            await aperform(logins.get("a", office.log_in, Deadline(0.01)))
        with pytest.raises(TimedOutError):
            await asyncio.to_thread(perform, logins.get("a", office.log_in, Deadline(0.01)))
        office.held.set()
        await first

    asyncio.run(run())
    assert 1 == office.count


def test_an_access_shows_nothing_and_stays_here() -> None:
    """Neither a repr nor a pickle has it."""
    access = Access(secrets={"token": SecretValue("canary")}, told={"url": "canary"})
    assert "<Access>" == repr(access)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(access)
