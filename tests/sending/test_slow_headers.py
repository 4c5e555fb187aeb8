"""A server that sends its headers in drips does not keep an event loop waiting."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.sending.raw import Call, RawServer
from tests.sending.support import AIOHTTP_ASYNC, HTTPX_ASYNC, Mode, caught, plain
from webhook_storage import errors as e
from webhook_storage.contracts import WireRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 0.5
"""Seconds for a piece of an answer."""

modes = pytest.mark.parametrize("mode", [HTTPX_ASYNC, AIOHTTP_ASYNC], ids=lambda mode: mode.name)


def drip(call: Call) -> bytes:
    """Send a byte of a header now and then, until the other side goes away."""
    call.socket.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not call.server.closing.is_set():
        readable, _, _ = select.select([call.socket], [], [], 0.01)
        if readable:
            return b""
        call.socket.sendall(b"x")
    return b""


@pytest.fixture
def dripping() -> Iterator[RawServer]:
    """A server whose headers never end."""
    with RawServer(drip).serving() as server:
        yield server


@modes
def test_headers_in_drips(mode: Mode, dripping: RawServer) -> None:
    """All headers are one piece, that must come in the time for one."""
    with mode.sending():
        storage = plain(dripping.url, timeout=[10, PATIENCE])
        error = caught(partial(mode.call, storage, "get", "k"))
    assert e.TimedOutError is type(error)
    assert 1 == len(dripping.calls)


@modes
def test_headers_of_a_proxy_in_drips(mode: Mode, dripping: RawServer) -> None:
    """So are those with which a proxy answers."""
    with mode.sending():
        storage = plain(
            "https://files.test", proxies={"https": dripping.url}, timeout=[10, PATIENCE]
        )
        error = caught(partial(mode.call, storage, "get", "k"))
    assert e.TimedOutError is type(error)


class SlowBody:
    """A body that takes longer than the headers of the answer may take."""

    size = 2_000_000

    def chunks(self) -> Iterator[bytes]:
        """Yield it in two pieces."""
        yield bytes(1_000_000)
        threading.Event().wait(2 * PATIENCE)
        yield bytes(1_000_000)

    def sha256(self) -> str:
        """Return nothing that anybody looks at."""
        return ""


def slow_answer(call: Call) -> bytes:
    """Take longer for the body of an answer than its headers may take."""
    call.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
    for byte in (b"s", b"l", b"o", b"w", b"l", b"y"):
        call.server.closing.wait(PATIENCE / 4)
        call.socket.sendall(byte)
    return b""


def tunnel(call: Call) -> bytes:
    """Be a proxy that connects to a port of this machine, whatever the name."""
    there = socket.create_connection(("127.0.0.1", int(call.target.rpartition(":")[2])))
    here = call.socket
    here.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
    with there:
        while not call.server.closing.is_set():
            for end in select.select([here, there], [], [], 0.05)[0]:
                taken = end.recv(65536)
                if not taken:
                    return b""
                (there if end is here else here).sendall(taken)
    return b""


@modes
@pytest.mark.parametrize("through_proxy", [False, True])
async def test_only_headers_have_so_little_time(mode: Mode, *, through_proxy: bool) -> None:
    """Their time begins when the whole request was sent, and bodies are not part of it."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    transport = mode.transport()
    with (
        RawServer(tunnel).serving() as proxy,
        RawServer(slow_answer, tls=context).serving() as server,
    ):
        request = WireRequest(
            method="PUT",
            url=f"{server.url}/k",
            headers=[("Content-Length", str(SlowBody.size))],
            body=SlowBody(),
            timeout=(10, PATIENCE),
            verify=authority.cert_pem.bytes().decode(),
            proxies={"https": proxy.url} if through_proxy else {},
        )
        answer = await transport.asend(request)
        assert b"slowly" == b"".join([chunk async for chunk in answer.chunks()])
        await answer.aclose()
    assert SlowBody.size == len(server.last.body)
    assert through_proxy == bool(proxy.calls)
