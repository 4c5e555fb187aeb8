"""What differs between threads and event loops, and how each of them is interrupted."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tests.sending.support import caught
from webhook_storage import RetryPolicy, Sender
from webhook_storage.contracts import Exchange, Pause, Request, Together, Transport, Work
from webhook_storage.effects import in_thread, interruptible
from webhook_storage.errors import ConflictError, UnexpectedError
from webhook_storage.testing import FakeTransport

if TYPE_CHECKING:
    from webhook_storage.contracts import WireRequest

URL = "https://files.example.com/a"
Act = Callable[[], Any]


@pytest.fixture(params=["thread", "event loop"])
def run(request: pytest.FixtureRequest) -> Callable[[Exchange[Any]], Any]:
    """Carry an exchange out, in either way."""

    def carry_out(exchange: Exchange[Any]) -> Any:
        with Sender(secrets=[], transport=Answering()) as sender:
            if request.param == "thread":
                return sender.run(exchange)
            return asyncio.run(sender.arun(exchange))

    return carry_out


def doing(*actions: Act) -> Exchange[list[Any]]:
    """Do one after the other and return what comes of them."""
    results = []
    for action in actions:
        result = yield Work(action)
        results.append(result)
    return results


def together(*exchanges: Exchange[Any], limit: int = 4) -> Exchange[Any]:
    """Carry them out together."""
    return (yield Together(exchanges, limit))


def failing(error: Exception) -> Act:
    """Return what raises this."""

    def fail() -> None:
        raise error

    return fail


def test_results_come_in_order(run: Callable[[Exchange[Any]], Any]) -> None:
    """Several at a time give their results in the order in which they were given."""
    numbers = [doing(lambda number=number: number) for number in range(20)]  # type: ignore[misc]
    assert [[number] for number in range(20)] == run(together(*numbers, limit=3))
    assert [] == run(together())


def test_after_a_failure_nobody_begins(run: Callable[[Exchange[Any]], Any]) -> None:
    """When one fails those that have not begun do not, and the failure is told."""
    done: list[str] = []
    second = doing(lambda: done.append("second"))
    first = doing(failing(ConflictError("it changed")))
    error = caught(lambda: run(together(first, second, limit=1)))
    assert (ConflictError, []) == (type(error), done)


def test_an_answer_of_no_interest_is_not_waited_for(run: Callable[[Exchange[Any]], Any]) -> None:
    """Where only the headers are wanted the body is not taken to its end."""

    def steps() -> Exchange[int]:
        response = yield Request(method="GET", url=URL, headers_only=True)
        return int(response.size)

    assert 3 == run(steps())


def test_a_stopped_iteration_is_a_fault(run: Callable[[Exchange[Any]], Any]) -> None:
    """What Python uses to end a loop does not hang an event loop, and ends no exchange."""
    error = caught(lambda: run(doing(failing(StopIteration()))))
    assert (UnexpectedError, True) == (type(error), "RuntimeError" in str(error))


# --- interrupted threads -------------------------------------------------------------------------


def interrupted(exchange: Exchange[Any], event: threading.Event, transport: Transport) -> Any:
    """Return what an exchange raises that is interrupted by an event."""

    def act() -> None:
        policy = RetryPolicy(initial_delay=1e6, max_delay=1e6, deadline=1e9)
        with Sender(secrets=[], transport=transport, retry=policy) as sender, interruptible(event):
            sender.run(exchange)

    return caught(act)


def nobody() -> FakeTransport:
    """Return a transport that is not asked."""
    return FakeTransport(lambda _: (200, {}, b""))


def test_nothing_begins_after_an_interruption() -> None:
    """What was interrupted does no further step, and cleans up."""
    event, done = threading.Event(), list[str]()

    def steps() -> Exchange[None]:
        try:
            yield Work(event.set)
            yield Work(lambda: done.append("next"))
        finally:
            done.append("cleaned up")

    error = interrupted(steps(), event, nobody())
    assert (KeyboardInterrupt, ["cleaned up"]) == (type(error), done)


@pytest.mark.parametrize("wish", ["pause", "retry"])
def test_a_pause_ends_with_an_interruption(wish: str) -> None:
    """Nobody waits for a pause, be it of the exchange or before another attempt."""
    event = threading.Event()
    soon = threading.Timer(0.01, event.set)

    def answer(_: object) -> tuple[int, dict[str, str], bytes]:
        soon.start()
        return 500, {}, b""

    def pausing() -> Exchange[None]:
        yield Work(soon.start)
        yield Pause(1e6)

    def asking() -> Exchange[None]:
        yield Request(method="PUT", url=URL)

    busy = FakeTransport(answer)
    steps = pausing() if wish == "pause" else asking()
    assert KeyboardInterrupt is type(interrupted(steps, event, busy))
    assert (0 if wish == "pause" else 1) == len(busy.requests)


def test_not_interrupted_is_as_ever() -> None:
    """An event that is not set changes nothing: pauses, bodies and answers are what they were."""
    statuses = [500, 200]
    service = FakeTransport(lambda _: (statuses.pop(0), {}, b"done"))

    def steps() -> Exchange[bytes]:
        yield Pause(0.001)
        response = yield Request(method="PUT", url=URL, body=Pieces(lambda: None))
        return bytes(response.body)

    policy = RetryPolicy(initial_delay=0, max_delay=0.01)
    with (
        Sender(secrets=[], transport=service, retry=policy) as sender,
        interruptible(threading.Event()),
    ):
        assert b"done" == sender.run(steps())
    assert [b"onetwothree"] * 2 == [request.body for request in service.requests]


class Pieces:
    """A body in three pieces; something happens after the first."""

    size = 11

    def __init__(self, between: Act) -> None:
        self._between = between
        self.read: list[bytes] = []

    def chunks(self) -> Iterator[bytes]:
        """Yield the pieces."""
        for piece in (b"one", b"two", b"three"):
            self.read.append(piece)
            yield piece
            self._between()

    def sha256(self) -> str:
        """Return no digest."""
        return "00"


class Looking(FakeTransport):
    """Looks at a body before it is sent.

    Attributes:
        seen: Size and digest of each.
    """

    def __init__(self) -> None:
        super().__init__(lambda _: (200, {}, b""))
        self.seen: list[tuple[int, str]] = []

    def send(self, request: WireRequest) -> Any:
        """Look, and answer."""
        assert request.body is not None
        self.seen.append((request.body.size, request.body.sha256()))
        return super().send(request)


def test_a_body_that_may_be_interrupted_looks_the_same() -> None:
    """A transport sees the size and the digest of the body that was given."""
    service = Looking()

    def steps() -> Exchange[None]:
        yield Request(method="PUT", url=URL, body=Pieces(lambda: None))

    with (
        Sender(secrets=[], transport=service) as sender,
        interruptible(threading.Event()),
    ):
        sender.run(steps())
    assert [(11, "00")] == service.seen


def test_a_body_ends_with_an_interruption() -> None:
    """An upload of hours is not sent to its end when nobody waits for it."""
    event = threading.Event()
    body, service = Pieces(event.set), nobody()

    def steps() -> Exchange[None]:
        yield Request(method="PUT", url=URL, body=body)

    error = interrupted(steps(), event, service)
    assert (KeyboardInterrupt, []) == (type(error), service.requests)
    assert b"three" not in body.read


class Answering(Transport):
    """Answers in pieces, in a thread or in an event loop.

    Attributes:
        closed: How many answers were given back.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"https"})

    def __init__(self, between: Act = lambda: None) -> None:
        self._between = between
        self.closed = 0

    def send(self, request: WireRequest) -> Any:
        """Answer."""
        return Answered(self, self._between)

    async def asend(self, request: WireRequest) -> Any:
        """Answer."""
        return AsyncAnswered(self, self._between)


class Answered:
    """An open answer."""

    status = 200
    headers = ()

    def __init__(self, owner: Answering, between: Act) -> None:
        self._owner, self._between = owner, between

    def chunks(self) -> Iterator[bytes]:
        """Yield the pieces."""
        yield from Pieces(self._between).chunks()

    def close(self) -> None:
        """Give it back."""
        self._owner.closed += 1


class AsyncAnswered(Answered):
    """The same in an event loop."""

    async def chunks(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        """Yield the pieces."""
        for piece in super().chunks():
            yield piece

    async def aclose(self) -> None:
        """Give it back."""
        self.close()


class Kept:
    """A sink that keeps what it gets, and tells of each piece.

    Attributes:
        log: What happened, in order.
    """

    blocks = True

    def __init__(self, during: Act = lambda: None) -> None:
        self._during = during
        self.log: list[str] = []

    def reset(self) -> None:
        """Begin."""

    def write(self, chunk: bytes) -> None:
        """Take a piece."""
        self.log.append(f"begins {chunk.decode()}")
        self._during()
        self.log.append(f"ends {chunk.decode()}")


def test_a_download_ends_with_an_interruption() -> None:
    """An answer is not taken to its end, and its connection is given back."""
    event, sink = threading.Event(), Kept()
    transport = Answering(event.set)

    def steps() -> Exchange[None]:
        yield Request(method="GET", url=URL, sink=sink)

    error = interrupted(steps(), event, transport)
    assert (KeyboardInterrupt, 1) == (type(error), transport.closed)
    assert ["begins one", "ends one"] == sink.log


@pytest.fixture
def _listening() -> Iterator[None]:
    """Listen to Ctrl-C, also where the tests are run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_listening")
def test_parts_end_with_the_whole() -> None:
    """When Ctrl-C ends a store in parts nobody waits for the pauses of its parts."""

    def press() -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    def pausing() -> Exchange[None]:
        yield Pause(1e6)

    def act() -> None:
        with Sender(secrets=[], retry=RetryPolicy(max_delay=1e6)) as sender:
            sender.run(together(pausing(), doing(press), pausing(), pausing(), limit=3))

    assert KeyboardInterrupt is type(caught(act))


# --- cancelled tasks -----------------------------------------------------------------------------


async def test_a_cancelled_task_waits_for_its_thread() -> None:
    """What runs in a thread has ended before anything is cleaned up that it uses."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop, log = asyncio.get_running_loop(), list[str]()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        log.append("the thread ends")

    async def use() -> None:
        try:
            await in_thread(work)
        finally:
            log.append("cleaned up")

    task = asyncio.create_task(use())
    await begun.wait()
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (False, []) == (task.done(), log)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["the thread ends", "cleaned up"] == log


async def test_a_cancelled_task_forgets_what_its_thread_raised() -> None:
    """A failure that nobody waits for any more is not told anywhere."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        raise ConflictError("nobody wants to know")

    task = asyncio.create_task(in_thread(work))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_download_is_cleaned_up_last() -> None:
    """The piece that is being written is written, and then the exchange ends."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def during() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)

    sink, transport = Kept(during), Answering()

    def steps() -> Exchange[None]:
        try:
            yield Request(method="GET", url=URL, sink=sink)
        finally:
            sink.log.append("cleaned up")

    with Sender(secrets=[], transport=transport) as sender:
        task = asyncio.create_task(sender.arun(steps()))
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ["begins one", "ends one", "cleaned up"] == sink.log
    assert 1 == transport.closed


async def test_parts_are_cancelled_with_the_whole() -> None:
    """When a store in parts is cancelled each part cleans up, and no task is left."""
    begun, cleaned_up = asyncio.Event(), list[str]()

    def pausing() -> Exchange[None]:
        try:
            begun.set()
            yield Pause(1e6)
        finally:
            cleaned_up.append("part")

    with Sender(secrets=[], retry=RetryPolicy(max_delay=1e6)) as sender:
        task = asyncio.create_task(sender.arun(together(pausing(), pausing())))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ["part", "part"] == cleaned_up
    assert {asyncio.current_task()} == asyncio.all_tasks()
