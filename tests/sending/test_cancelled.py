"""What a thread does that sends for a task, when the task is cancelled."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.sending.raw import Call, RawServer, always, reply
from tests.sending.support import REQUESTS_ASYNC
from webhook_storage.artifact import BytesBody
from webhook_storage.contracts import Exchange, Request, WireRequest
from webhook_storage.transport.cancellable import Cancellable

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = bytes(100_000)


class Halting:
    """A body that halts in its middle.

    Attributes:
        halted: Set once it does.
        go_on: To be set so that it goes on.
    """

    size = 3 * len(PIECE)

    def __init__(self) -> None:
        self.halted, self.go_on = threading.Event(), threading.Event()

    def chunks(self) -> Iterator[bytes]:
        """Yield the pieces."""
        yield PIECE
        self.halted.set()
        self.go_on.wait(10)
        yield PIECE
        yield PIECE

    def sha256(self) -> str:
        """Return no digest."""
        return "00"


def sending(**parts: Any) -> Exchange[int]:
    """Send one request and return the status."""
    response = yield Request(**parts)
    return int(response.status)


@pytest.mark.parametrize(("cancelled", "stored"), [(True, 0), (False, 1)])
def test_a_cancelled_store_is_not_sent_to_its_end(stored: int, *, cancelled: bool) -> None:
    """What a service stored after its task had ended nobody would know of."""
    body = Halting()

    async def store(url: str) -> None:
        task = asyncio.create_task(sender.arun(sending(method="PUT", url=url, body=body)))
        await asyncio.to_thread(body.halted.wait, 10)
        if not cancelled:
            body.go_on.set()
            assert 201 == await task
            return
        task.cancel()
        await asyncio.sleep(0)
        body.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    with (
        RawServer(always(reply("201 Created"))).serving() as server,
        REQUESTS_ASYNC.sending() as sender,
    ):
        asyncio.run(store(f"{server.url}/k"))  # it waits for its threads
    assert [Halting.size] * stored == [len(call.body) for call in server.calls]


def test_what_was_cancelled_is_not_raised_later() -> None:
    """A transport goes on after a cancelled request, of which no error and no warning is left."""
    arrived, go_on = threading.Event(), threading.Event()

    def late(_: Call) -> bytes:
        arrived.set()
        go_on.wait(10)
        return reply(body=b"late")

    async def fetch(url: str) -> int:
        task = asyncio.create_task(sender.arun(sending(method="GET", url=url)))
        await asyncio.to_thread(arrived.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        return await sender.arun(sending(method="GET", url=url))

    with (
        RawServer(late, always(reply(body=b"fine"))).serving() as server,
        REQUESTS_ASYNC.sending() as sender,
    ):
        assert 200 == asyncio.run(fetch(f"{server.url}/k"))


class Opened:
    """An open answer.

    Attributes:
        closed: How often it was closed.
    """

    status = 200
    headers = ()

    def __init__(self) -> None:
        self.closed = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield nothing."""
        yield from ()

    def close(self) -> None:
        """Take note."""
        self.closed += 1


@pytest.mark.parametrize(
    ("steps", "closed"), [("bring", 0), ("bring cancel", 1), ("cancel bring", 1)]
)
def test_an_answer_that_nobody_reads_is_closed(steps: str, closed: int) -> None:
    """Be it there when the task is cancelled, or not yet."""
    request, answer = Cancellable(), Opened()
    for step in steps.split():
        if step == "bring":
            request.bring(answer)
        else:
            request.cancel()
    assert closed == answer.closed


def test_a_request_is_the_same_but_for_its_body() -> None:
    """The transport sees size and digest of the body that was given."""
    body = BytesBody(b"31 rows")
    wire = WireRequest(method="PUT", url="https://files.example.com/a", headers=[], body=body)
    seen = Cancellable().watched(wire).body
    assert seen is not None
    assert (7, body.sha256(), [b"31 rows"]) == (seen.size, seen.sha256(), [*seen.chunks()])
