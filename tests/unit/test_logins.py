"""Log-ins that are kept, shared, forgotten and made again."""

from __future__ import annotations

import asyncio
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
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


@pytest.mark.parametrize(
    ("deadline", "seconds"), [(None, 60.0), (Deadline(10_000.0), 60.0), (Deadline(0.0), 0.0)]
)
def test_there_is_an_end_to_waiting(deadline: Deadline | None, seconds: float) -> None:
    """However much time an operation has."""
    logins, office = Logins(), Office()
    first, second = (logins.get("a", office.log_in, deadline) for _ in range(2))
    next(first)
    waiting: Any = next(second)
    assert seconds == waiting._seconds
    first.close()


def test_whoever_has_no_more_time_leaves_it_to_the_next() -> None:
    """Its own end is not that of those who waited."""
    logins, office = Logins(), Office()
    office.error = TimedOutError("the operation took longer than it may take in all")

    async def run() -> Access:
        office.held = asyncio.Event()
        first = asyncio.create_task(aperform(logins.get("a", office.log_in, Deadline(0.0))))
        await asyncio.sleep(0)
        second = asyncio.create_task(aperform(logins.get("a", office.log_in)))
        await asyncio.sleep(0)
        office.held.set()
        with pytest.raises(TimedOutError):
            await first
        office.error = None
        return await second

    assert "2" == asyncio.run(run()).secrets["n"].reveal()


def test_what_is_no_error_of_ours_is_told_to_nobody_else() -> None:
    """A fault of a plug-in ends the one who met it; the next logs in for itself."""
    logins, office = Logins(), Office()
    office.error = RuntimeError("canary")

    async def run() -> list[Any]:
        office.held = asyncio.Event()
        tasks = [asyncio.create_task(aperform(logins.get("a", office.log_in))) for _ in range(3)]
        await asyncio.sleep(0)
        office.held.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [RuntimeError] * 3 == [type(error) for error in asyncio.run(run())]
    assert 3 == office.count


def test_who_waited_gets_an_error_of_its_own() -> None:
    """Without the frames of the one who logged in."""
    logins, office = Logins(), Office()
    office.error = AuthenticationError("refused", status=401, hint="look")

    async def run() -> list[Any]:
        office.held = asyncio.Event()
        tasks = [asyncio.create_task(aperform(logins.get("a", office.log_in))) for _ in range(2)]
        await asyncio.sleep(0)
        held = logins._held.peek()
        assert held is not None
        flights.append(held.slots["a"].flight)
        office.held.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    flights: list[Any] = []
    first, second = asyncio.run(run())
    assert flights[0].result() not in {first, second}
    assert flights[0].result().__traceback__ is None
    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(second.__traceback__)]
    assert "log_in" not in frames
    assert first is not second
    assert ("refused", 401, "look") == (str(second), second.status, second.hint)


def test_who_waits_no_longer_ends_it_for_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a task that is cancelled nor a loop that is closed meanwhile."""
    logins, office = Logins(), Office()
    begun, go_on = threading.Event(), threading.Event()

    def log_in() -> Steps[Access]:
        begun.set()
        assert go_on.wait(30)
        return (yield from office.log_in())

    async def give_up() -> None:
        task = asyncio.create_task(aperform(logins.get("a", office.log_in)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(TimedOutError):
            await aperform(logins.get("a", office.log_in, Deadline(0.01)))

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(lambda: perform(logins.get("a", log_in)))
        assert begun.wait(30)
        asyncio.run(give_up())
        go_on.set()
        assert "1" == first.result(30).secrets["n"].reveal()
    assert ("1", 1) == (got(logins, office), office.count)
    assert [] == [record.name for record in caplog.records if record.name != "asyncio"]


def test_threads_and_event_loops_wait_for_one_log_in() -> None:
    """Whoever came first, and wherever from."""
    logins, office = Logins(), Office()
    begun, go_on = threading.Event(), threading.Event()

    def log_in() -> Steps[Access]:
        begun.set()
        assert go_on.wait(30)
        return (yield from office.log_in())

    async def wait_for_it() -> Access:
        return await aperform(logins.get("a", office.log_in))

    with ThreadPoolExecutor(5) as threads:
        futures = [threads.submit(lambda: perform(logins.get("a", log_in)))]
        assert begun.wait(30)
        futures += [threads.submit(lambda: asyncio.run(wait_for_it())) for _ in range(2)]
        futures += [threads.submit(lambda: perform(logins.get("a", office.log_in)))]
        go_on.set()
        found = [future.result(30).secrets["n"].reveal() for future in futures]
    assert (["1"] * 4, 1) == (found, office.count)


def test_a_copy_of_the_process_logs_in_for_itself() -> None:
    """Nobody there would end what was under way here."""
    logins, office = Logins(), Office()
    flight = logins.get("a", office.log_in)
    next(flight)
    logins._held._start()  # as it is done after a fork
    assert "2" == got(logins, office)
    flight.close()
    assert "2" == got(logins, office)


def test_an_access_shows_nothing_and_stays_here() -> None:
    """Neither a repr nor a pickle has it."""
    access = Access(secrets={"token": SecretValue("canary")}, told={"url": "canary"})
    assert "<Access>" == repr(access)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(access)
