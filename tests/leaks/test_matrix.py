"""No event in the life of a request shows a secret in any channel."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.fakes.files import FileService
from tests.leaks.canary import SECRETS, USER
from tests.leaks.channels import hits, of_error, of_object, reachable, witnessed
from tests.leaks.events import OUTCOMES, Event, FailingTransport, hang
from tests.sending.raw import RawServer
from tests.sending.support import (
    AIOHTTP_ASYNC,
    ALL_MODES,
    HTTPX,
    HTTPX_ASYNC,
    REQUESTS_ASYNC,
    Mode,
    caught,
)
from webhook_storage import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.leaks.channels import Shown
    from webhook_storage import Sender

OPERATIONS = {"put": (b"artifact",), "get": (), "delete": ()}


def everywhere(origin: str) -> Webhook:
    """Return a storage with the secrets in every place where one can stand."""
    common = {
        "url": f"{origin}/path/${{PLAIN}}/${{MIXED}}/file?inline=${{MIXED}}",
        "params": {"parameter": "${MIXED}"},
        "headers": {
            "X-Api-Key": "${MIXED}",
            "X-Json": {"token": "${MIXED}"},
            "X-Json-Text": '{"token": "${MIXED}"}',
            "X-Base64": "${PLAIN|base64}",
        },
        "auth": [USER, "${MIXED}"],
        "cookies": {"session": "${PLAIN}"},
        "timeout": [2, 0.2],
    }
    return Webhook(
        {**common, "files": {"file": "${PLAIN}.bin"}, "data": {"field": "${MIXED}"}},
        "POST",
        {**common, "json": {"token": "${MIXED}", "list": ["${PLAIN}"]}},
        "POST",
        delete_request={**common, "method": "POST", "data": {"field": "${MIXED}"}},
        captures={"id": "header:X-Id"},
        idempotent=True,
    )


@contextlib.contextmanager
def origin_of(event: Event) -> Iterator[str]:
    """Start what the event's requests go to."""
    if event.origin == "tls":
        with FileService(tls=True) as service:
            yield service.url
        return
    with RawServer(event.answer).serving() as server:
        origin = server.url
        if event.origin == "here":
            yield origin
            return
    yield origin


CELLS = [
    pytest.param(
        mode,
        event,
        operation,
        id=f"{mode.name}, {operation}, {event}",
    )
    for mode in ALL_MODES
    for event in OUTCOMES
    for operation in OPERATIONS
    # What is special about the last operation, a form as its body, is the same in each mode.
    if operation != "delete" or mode is HTTPX
]


@pytest.mark.parametrize(("mode", "event", "operation"), CELLS)
def test_event(
    capsys: pytest.CaptureFixture[str], mode: Mode, event: Event, operation: str
) -> None:
    """Whatever happens to a request, its secrets are in no channel."""
    transport = FailingTransport(event.breaks) if event.breaks else None
    shown: list[Shown] = []
    with origin_of(event) as origin, witnessed(capsys) as witness:
        storage = everywhere(origin)
        sending = mode.sending(
            event.secrets, resolver=event.resolver, transport=transport, attempts=2
        )
        with sending as sender:
            act = partial(mode.call, storage, operation, *OPERATIONS[operation])
            expected = _expected(event, operation)
            if expected is None:
                result = act()
                shown += of_object(result) if operation == "put" else []  # else the server's bytes
            else:
                error = caught(act)
                assert expected is type(error)
                shown += of_error(error)
            for thing in (storage, sender, sender.resolution, *sender._transports.values()):
                shown += of_object(thing)
    # An idle connection of requests keeps the last answer's headers, hence only after closing.
    shown += reachable(storage, *_transports(sender))
    assert [] == hits([*shown, *witness.shown])


def _expected(event: Event, operation: str) -> type[BaseException] | None:
    """Return what the operation raises."""
    if event.name.startswith("captured") and operation != "put":
        return None  # only a store captures
    return event.raises


def _transports(sender: Sender) -> list[object]:
    return [each for each in sender._transports.values() if not isinstance(each, FailingTransport)]


@pytest.mark.parametrize(
    "mode", [HTTPX_ASYNC, REQUESTS_ASYNC, AIOHTTP_ASYNC], ids=lambda mode: mode.name
)
def test_cancellation(capsys: pytest.CaptureFixture[str], mode: Mode) -> None:
    """A task that is cancelled in the middle of a request tells nothing of it."""
    with RawServer(hang).serving() as server, witnessed(capsys) as witness:
        storage = everywhere(server.url)
        storage.build_request_kwargs["timeout"] = 5

        async def cancelled() -> None:
            task = asyncio.create_task(storage.aput(b"artifact"))
            await asyncio.to_thread(server.hanging.wait)
            task.cancel("enough")
            server.closing.set()
            await task

        with mode.sending(SECRETS):
            error = caught(partial(asyncio.run, cancelled(), debug=True))
    assert (asyncio.CancelledError, ("enough",)) == (type(error), error.args)
    assert [] == hits([*of_error(error), *witness.shown])
