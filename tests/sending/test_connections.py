"""Connections are kept, shared, and end with what they belong to."""

from __future__ import annotations

import asyncio
import gc
import pickle
import subprocess
import sys
import threading
import warnings
import weakref
from pathlib import Path

import pytest

from tests.sending.raw import RawServer, always, reply
from tests.sending.support import (
    AIOHTTP_ASYNC,
    ALL_MODES,
    HTTPX,
    HTTPX_ASYNC,
    REQUESTS,
    Mode,
    plain,
)
from webhook_storage import Sender
from webhook_storage.contracts import WireRequest
from webhook_storage.transport.aiohttp import AiohttpTransport
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage.transport.loops import _open
from webhook_storage.transport.requests import RequestsTransport

BODY = bytes(range(256)) * 16
modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)


@modes
def test_connection_is_kept(mode: Mode, server: RawServer) -> None:
    """Requests of one thread or loop share a connection."""

    async def many() -> None:
        for _ in range(5):
            await plain(server.url).aput(BODY, "k")

    with mode.sending():
        if mode.is_async:
            asyncio.run(many())
        else:
            for _ in range(5):
                plain(server.url).put(BODY, "k")
    assert (5, 1) == (len(server.calls), server.connections)


@modes
def test_closing_ends_connections_not_the_sender(mode: Mode, server: RawServer) -> None:
    """A closed sender can be used again."""
    with mode.sending() as sender:
        mode.call(plain(server.url), "put", BODY, "k")
        sender.close()
        mode.call(plain(server.url), "put", BODY, "k")
    assert 2 == len(server.calls)


@modes
def test_connection_that_died_while_idle(mode: Mode, server: RawServer) -> None:
    """A kept connection that the server closed is replaced without anybody noticing."""
    server.answers = [always(reply("200 OK", BODY, Connection="close"))]
    with mode.sending():
        for _ in range(3):
            assert BODY == mode.call(plain(server.url), "get", "k")
    assert 3 == server.connections


@pytest.mark.parametrize(
    "transport",
    [
        HttpxTransport(max_connections=7),
        AiohttpTransport(max_connections=7),
        RequestsTransport(),
    ],
)
async def test_pickled_transport(
    transport: HttpxTransport | AiohttpTransport | RequestsTransport, server: RawServer
) -> None:
    """A transport that was used travels as its configuration."""
    with Sender(secrets=[], transport=transport):
        await plain(server.url).aget("k")
        copy = pickle.loads(pickle.dumps(transport))  # noqa: S301 - our own bytes
        with Sender(secrets=[], transport=copy):
            assert BODY == await plain(server.url).aget("k")
    assert getattr(transport, "_max_connections", 0) == getattr(copy, "_max_connections", 0)


FORKED = """
import os, sys
from tests.sending.support import HTTPX, REQUESTS, plain
mode = {"httpx": HTTPX, "requests": REQUESTS}[sys.argv[1]]
storage = plain(sys.argv[2])
with mode.sending():
    storage.get("before")
    child = os.fork()
    if child == 0:
        storage.get("child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    storage.get("parent")
"""


@pytest.mark.parametrize("mode", [HTTPX, REQUESTS], ids=lambda mode: mode.name)
def test_fork(mode: Mode, server: RawServer) -> None:
    """A forked child makes its own connection, and the parent keeps its own."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", FORKED, mode.name, server.url]
    subprocess.run(command, check=True, timeout=30, cwd=root)
    assert [("/before", 1), ("/child", 2), ("/parent", 1)] == [
        (call.target, call.connection) for call in server.calls
    ]


@pytest.mark.parametrize("mode", [HTTPX_ASYNC, AIOHTTP_ASYNC], ids=lambda mode: mode.name)
def test_connections_end_with_their_loop(mode: Mode, server: RawServer) -> None:
    """A loop that has ended leaves no open connection, no warning, and is not kept alive."""
    loops = []

    async def use() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await asyncio.gather(*(plain(server.url).aget("k") for _ in range(3)))

    with warnings.catch_warnings(record=True) as warned, mode.sending() as sender:
        warnings.simplefilter("always")
        for _ in range(3):
            asyncio.run(use(), debug=True)
        gc.collect()
        assert [] == [str(each.message) for each in warned]
        assert [None, None, None] == [loop() for loop in loops]
        (transport,) = set(sender._transports.values())
        assert isinstance(transport, HttpxTransport | AiohttpTransport)
        assert 0 == len(transport._loops)


@pytest.mark.parametrize("make", [HttpxTransport, AiohttpTransport])
async def test_forgotten_transport(
    make: type[HttpxTransport | AiohttpTransport], server: RawServer
) -> None:
    """What is not used any more is closed by the loop, without a warning."""
    request = WireRequest(method="GET", url=server.url, headers=[], proxies={})
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for circular in (False, True):
            transport = make()
            answer = await transport.asend(request)
            assert [BODY] == [chunk async for chunk in answer.chunks()]
            await answer.aclose()
            vars(transport)["itself"] = transport if circular else None
            del answer, transport
            gc.collect()
            for _ in range(10):
                await asyncio.sleep(0)
            assert {} == _open
        gc.collect()
        assert [] == [str(each.message) for each in warned]


@pytest.mark.parametrize("mode", [HTTPX_ASYNC, AIOHTTP_ASYNC], ids=lambda mode: mode.name)
def test_a_loop_that_closes_nothing_is_not_kept(mode: Mode, server: RawServer) -> None:
    """A loop that was closed by hand goes when the next one comes."""
    with mode.sending(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is the loop's fault that connections are left open
        loop = asyncio.new_event_loop()
        loop.run_until_complete(plain(server.url).aget("k"))
        loop.close()
        closed = weakref.ref(loop)
        del loop
        mode.call(plain(server.url), "get", "k")
        gc.collect()
        assert closed() is None


def test_threads_share_a_transport(server: RawServer) -> None:
    """Many threads at once get each their own answer."""
    server.answers = [lambda call: reply("200 OK", call.target.encode())]
    got: dict[str, bytes] = {}
    with HTTPX.sending() as sender:

        def fetch(key: str) -> None:
            with sender:
                got[key] = plain(server.url).get(key)

        threads = [threading.Thread(target=fetch, args=(f"k{n}",)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {f"k{n}": f"/k{n}".encode() for n in range(20)} == got
