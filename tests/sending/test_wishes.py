"""What an exchange may want beside a request, in threads and in event loops."""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.sending.raw import RawServer, always, reply
from tests.sending.support import HTTPX, HTTPX_ASYNC, Mode, caught, plain
from webhook_storage import RetryPolicy, Sender
from webhook_storage.contracts import Exchange, Pause, Request, Response, Together, Wanted, Work
from webhook_storage.errors import (
    ObjectNotFoundError,
    ServerError,
    TimedOutError,
    TransportError,
    UnexpectedError,
)
from webhook_storage.testing import FakeTransport, canary
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from tests.sending.raw import Call

modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)
Canned: TypeAlias = tuple[int, dict[str, str], bytes]
ORIGIN = "http://127.0.0.1:1"


def carry_out(mode: Mode, sender: Sender, exchange: Exchange[Any]) -> Any:
    """Carry an exchange out, in this thread or in an event loop."""
    with sender:
        return asyncio.run(sender.arun(exchange)) if mode.is_async else sender.run(exchange)


def by_status(request: Any) -> tuple[int, dict[str, str], bytes]:
    """Answer with the status that the path names."""
    return int(request.path.removeprefix("/")), {}, request.path.encode()


def ask(status: int) -> Exchange[bytes]:
    """Ask for an answer of that status."""
    response: Response = yield Request(method="POST", url=f"{ORIGIN}/{status}")
    return response.body


@modes
def test_work_is_done_and_its_result_comes_back(mode: Mode) -> None:
    """In an event loop another thread does it."""

    def exchange() -> Exchange[tuple[int, bool]]:
        before = yield Work(lambda: 6 * 7)
        thread = yield Work(threading.current_thread)
        return before, thread is threading.main_thread()

    assert (42, not mode.is_async) == carry_out(mode, Sender(secrets=[]), exchange())


@modes
def test_work_that_fails_is_told_without_what_was_in_it(mode: Mode) -> None:
    """An exception that is none of ours is replaced, like all others."""
    value = canary()

    def exchange() -> Exchange[None]:
        yield Work(partial(int, value))

    error = caught(lambda: carry_out(mode, Sender(secrets=[]), exchange()))
    assert (UnexpectedError, False) == (type(error), value in str(error))


@modes
def test_a_pause_is_no_longer_than_the_policy_allows(mode: Mode) -> None:
    """An exchange cannot make anybody wait for a day."""

    def exchange() -> Exchange[str]:
        yield Pause(86400)
        return "went on"

    sender = Sender(secrets=[], retry=RetryPolicy(max_delay=0))
    assert "went on" == carry_out(mode, sender, exchange())


@modes
def test_exchanges_together_end_in_their_order(mode: Mode) -> None:
    """Results come as the exchanges were given, however long each took."""

    def exchange() -> Exchange[list[bytes]]:
        results: list[bytes] = yield Together([ask(200), ask(201), ask(202)], limit=2)
        return results

    sender = Sender(secrets=[], transport=FakeTransport(by_status))
    assert [b"/200", b"/201", b"/202"] == carry_out(mode, sender, exchange())


@modes
def test_a_failure_among_many_is_told_to_the_exchange(mode: Mode) -> None:
    """It can end what it began, and those that were not begun are not."""
    service = FakeTransport(by_status)
    ended: list[str] = []

    def exchange() -> Exchange[None]:
        try:
            yield Together([ask(404), *(ask(200) for _ in range(50))], limit=1)
        except ObjectNotFoundError:
            ended.append("told")
            yield Request(method="DELETE", url=f"{ORIGIN}/204")
            raise

    sender = Sender(secrets=[], transport=service)
    error = caught(lambda: carry_out(mode, sender, exchange()))
    assert (ObjectNotFoundError, ["told"]) == (type(error), ended)
    assert ["/404", "/204"] == [request.path for request in service.requests]
    assert (None, None) == (error.__cause__, error.__context__)


@modes
def test_no_more_than_the_limit_at_a_time(mode: Mode) -> None:
    """Of nine requests three are under way at once, and three are."""
    together, lock = [0, 0], threading.Lock()
    all_here = threading.Barrier(3, timeout=30)

    def answer(_: Call) -> bytes:
        with lock:
            together[0] += 1
            together[1] = max(together)
        all_here.wait()
        with lock:
            together[0] -= 1
        return reply()

    def exchange(origin: str) -> Exchange[list[Response]]:
        answers: list[Response] = yield Together([_one(origin) for _ in range(9)], limit=3)
        return answers

    with RawServer(answer).serving() as server:
        answers = carry_out(mode, Sender(secrets=[]), exchange(server.url))
    assert (9, 3) == (len(answers), together[1])


def _one(origin: str) -> Exchange[Response]:
    response: Response = yield Request(method="GET", url=f"{origin}/one")
    return response


@modes
def test_secrets_are_resolved_for_exchanges_together(mode: Mode) -> None:
    """Each is rendered like any other request; a wrong credential is refused in each."""

    def guarded(request: Any) -> tuple[int, dict[str, str], bytes]:
        return (200 if request.headers["x-key"] == "right" else 401), {}, b""

    def exchange() -> Exchange[int]:
        each = Request(method="GET", url=f"{ORIGIN}/x", headers={"X-Key": "${KEY}"})

        def one() -> Exchange[Response]:
            response: Response = yield each
            return response

        yield Wanted({"key": "${KEY}"})
        return len((yield Together([one(), one()])))

    outcomes = []
    for value in ("right", "wrong"):
        sender = Sender(secrets=[MappingResolver({"KEY": value})], transport=FakeTransport(guarded))
        try:
            outcomes.append(carry_out(mode, sender, exchange()))
        except Exception as error:  # noqa: BLE001 - it is compared
            outcomes.append(type(error).__name__)
    assert [2, "AuthenticationError"] == outcomes


@modes
def test_an_operation_ends_with_its_time(mode: Mode) -> None:
    """With a total of nothing no attempt is made again, and the error says what to change."""
    with RawServer(always(reply("503 Service Unavailable"))).serving() as server:
        sender = Sender(secrets=[], retry=RetryPolicy(attempts=9, max_delay=0, total=0.0))
        with sender:
            error = caught(lambda: mode.call(plain(server.url), "get", "k"))
    assert isinstance(error, (TransportError, ServerError))
    assert error.attempts == 1


@modes
def test_a_download_that_drips_ends_with_its_time(mode: Mode) -> None:
    """Each piece comes in time, and all of them do not."""

    def drip(call: Call) -> bytes:
        call.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not call.server.closing.wait(0.01):
            call.socket.sendall(b".")
        return b""

    with RawServer(drip).serving() as server:
        sender = Sender(secrets=[], retry=RetryPolicy(total=0.2))
        with sender:
            error = caught(lambda: mode.call(plain(server.url), "get", "k"))
        server.closing.set()
    assert "the operation took longer than it may take in all" in str(error)
    assert TimedOutError is type(error)


def test_each_attempt_is_one_event_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    """A line for people, and the same in fields for machines."""
    answers: list[Canned] = [
        (503, {"Retry-After": "0"}, b""),
        (200, {}, b"four"),
    ]
    service = FakeTransport(lambda _: answers.pop(0))
    with (
        caplog.at_level(logging.INFO, "webhook_storage"),
        Sender(secrets=[], transport=service),
    ):
        plain("https://files.example.com").get("k")
    fields = [getattr(record, "webhook_storage") for record in caplog.records]  # noqa: B009
    assert [("503", 1, 0), ("200", 2, 4)] == [
        (each["outcome"], each["attempt"], each["bytes_down"]) for each in fields
    ]
    assert [True, False] == [each["retry_in"] is not None for each in fields]
    assert "again in" in caplog.records[0].getMessage()


def test_an_error_tells_what_came_of_each_attempt() -> None:
    """The message lists them, and so does the error, also when it comes out of a pickle."""
    answers: list[Canned] = [
        (503, {}, b""),
        (500, {}, b""),
        (404, {}, b""),
    ]
    service = FakeTransport(lambda _: answers.pop(0))
    with Sender(secrets=[], transport=service, retry=RetryPolicy(max_delay=0)):
        error = caught(lambda: plain("https://files.example.com").get("k"))
    assert isinstance(error, ObjectNotFoundError)
    assert ("503", "500", "404") == error.history
    assert "after 3 attempts (503, 500, 404)" in str(error)
