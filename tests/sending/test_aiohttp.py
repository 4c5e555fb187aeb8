"""The fast transport of event loops: what aiohttp would do by itself, and does not do here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.http import StreamWriter

from tests.sending.raw import Call, RawServer, always, reply
from tests.sending.support import AIOHTTP_ASYNC, caught, plain
from webhook_storage import errors as e
from webhook_storage.artifact import BytesBody
from webhook_storage.contracts import WireRequest
from webhook_storage.network import Network
from webhook_storage.sender import Sender
from webhook_storage.transport.aiohttp import AiohttpTransport
from webhook_storage.transport.aiohttp_messages import Upload, Watch
from webhook_storage.transport.httpx import HttpxTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.contracts import Body, Transport
    from webhook_storage.network import Address

OK = always(reply())
PIECE = bytes(256 * 1024)
PIECES = 32
TARGETS = [
    "/a%2Fb", "/a%252Fb", "/a+b;c=1,d", "/~a'b(c)!*", "/%C3%A9%20", "//a//", "/a?", "/a?b=%2B&c",
    "/a?b=/?:@", "/./a/../b", "/%2e%2e/a", "?a=b", "", "/a%zz", "/[a]", "/a%7eb%7Eb",
]  # fmt: skip


async def taken(transport: Transport, url: str, body: Body | None = None, **parts: Any) -> bytes:
    """Send a request and return the body of its answer."""
    parts = {"method": "GET" if body is None else "PUT", "headers": [], "proxies": {}, **parts}
    answer = await transport.asend(WireRequest(url=url, body=body, **parts))
    try:
        return b"".join([chunk async for chunk in answer.chunks()])
    finally:
        await answer.aclose()


async def failure_of(transport: Transport, url: str, *args: Any, **parts: Any) -> Exception:
    """Return what a request raises, with nothing of aiohttp attached to it."""
    with pytest.raises(e.WebhookStorageError) as raised:
        await taken(transport, url, *args, **parts)
    if isinstance(transport, AiohttpTransport):
        assert (None, None) == (raised.value.__cause__, raised.value.__context__)
    return raised.value


class Slow:
    """A large body whose pieces a test lets go one by one.

    Attributes:
        reading: How many threads read it now, and at most.
        size: As announced.
    """

    def __init__(self, pieces: int = PIECES, *, size: int = PIECES * len(PIECE)) -> None:
        self.size = size
        self.reading = 0
        self.halted, self.go_on, self.left = (threading.Event() for _ in range(3))
        self._pieces = pieces

    def chunks(self) -> Iterator[bytes]:
        """Yield the first half, halt, and yield the rest."""
        try:
            for number in range(self._pieces):
                if number == PIECES // 2:
                    self.reading += 1
                    self.halted.set()
                    self.go_on.wait(10)
                    self.reading -= 1
                yield PIECE
        finally:
            self.left.set()

    def sha256(self) -> str:
        """Return no digest."""
        return ""


# --- what goes out -------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
async def test_target_is_sent_as_it_is(server: RawServer, target: str) -> None:
    """Not one byte of path and query is decoded, encoded or put in order."""
    await taken(AiohttpTransport(), f"{server.url}{target}")
    expected = target if target.startswith("/") else f"/{target}"
    assert expected == server.last.raw.split(b" ")[1].decode()


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: 1", "/é", "/a\x00", "/a?b=\n"])
async def test_target_that_is_no_target(server: RawServer, target: str) -> None:
    """What would end the line, or is no ASCII, is not sent."""
    error = await failure_of(AiohttpTransport(), f"{server.url}{target}")
    assert e.MalformedRequestError is type(error)
    assert 0 == server.connections


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST", "PUT", "PROPFIND"])
@pytest.mark.parametrize("body", [None, BytesBody(b""), BytesBody(b"31 rows")])
async def test_headers_are_ours(server: RawServer, method: str, body: Body | None) -> None:
    """Order and spelling are those of the request, and nothing is added."""
    server.answers = [OK]
    headers = [("x-LOW", "1"), ("HOST", "files.test"), ("X-Twice", "a"), ("X-Twice", "b")]
    if body is not None:
        headers.append(("Content-Length", str(body.size)))
    headers += [("Cookie", "a=b"), ("Authorization", "Basic x"), ("Expect", "100-continue")]
    await taken(
        AiohttpTransport(), f"{server.url}/k#part", body, method=method, headers=list(headers)
    )
    head, _, content = server.last.raw.partition(b"\r\n\r\n")
    lines = [f"{method} /k HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    assert lines == head.decode().split("\r\n")
    assert (b"" if body is None else b"".join(body.chunks())) == content


async def test_host_and_length_are_added(server: RawServer) -> None:
    """A request without them would be none."""
    await taken(AiohttpTransport(), f"{server.url}/k", BytesBody(b"31 rows"))
    assert {"host": server.url[7:], "content-length": "7"} == server.last.headers


@pytest.mark.parametrize(
    "header",
    [("X", "a\r\nY: b"), ("X", "é"), ("X", "\x00"), ("X: Y", "a"), ("X\n", "a"), ("", "a")],
)
async def test_header_that_is_none(server: RawServer, header: tuple[str, str]) -> None:
    """What would be more than one header, or another one, is not sent."""
    error = await failure_of(AiohttpTransport(), server.url, headers=[header])
    assert e.MalformedRequestError is type(error)
    assert 0 == server.connections


async def test_user_in_an_url_is_not_sent(server: RawServer) -> None:
    """As with httpx; aiohttp would make a header of it."""
    await taken(AiohttpTransport(), server.url.replace("//", "//me:s3cret@"))
    assert {"host": server.url[7:]} == server.last.headers


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 1 << 20, (1 << 20) + 1])
async def test_bodies_of_all_sizes(server: RawServer, size: int) -> None:
    """Small ones go at once, larger ones in pieces, and none in chunks of HTTP."""
    body = BytesBody(bytes(range(256)) * (size // 256) + bytes(size % 256))
    await taken(AiohttpTransport(), server.url, body)
    assert b"".join(body.chunks()) == server.last.body
    assert str(size) == server.last.headers["content-length"]


@pytest.mark.parametrize("pieces", [PIECES - 1, PIECES + 1, 1])
async def test_body_of_another_size(server: RawServer, pieces: int) -> None:
    """Fewer or more bytes than were announced end the request."""
    body = Slow(pieces)
    body.go_on.set()
    assert e.MalformedRequestError is type(await failure_of(AiohttpTransport(), server.url, body))
    assert [] == server.calls


async def test_empty_piece_is_no_end(server: RawServer) -> None:
    """A body goes on behind it."""

    class Gaps(BytesBody):
        def chunks(self) -> Iterator[bytes]:
            for piece in super().chunks():
                yield b""
                yield piece

    await taken(AiohttpTransport(), server.url, Gaps(PIECE * PIECES))
    assert PIECE * PIECES == server.last.body


async def test_small_body_of_another_size(server: RawServer) -> None:
    """Of a small one that is known before anything is sent."""
    body = Slow(2, size=len(PIECE))
    assert e.MalformedRequestError is type(await failure_of(AiohttpTransport(), server.url, body))
    assert 0 == server.connections


@pytest.mark.parametrize("size", [10, 10_000_000])
async def test_body_that_breaks_off(server: RawServer, size: int) -> None:
    """What a body raises is raised, and the request has no end."""

    class Broken(Slow):
        def chunks(self) -> Iterator[bytes]:
            yield bytes(5)
            raise e.LocalFileError("gone")

    error = await failure_of(AiohttpTransport(), server.url, Broken(size=size))
    assert (e.LocalFileError, "gone") == (type(error), str(error))
    assert [] == server.calls


async def test_early_refusal_is_an_answer(server: RawServer) -> None:
    """A server that reads no body says why; the body is let go before anybody can send it again."""
    server.hasty = reply("413 Too Large", b"at most 5", Connection="close")
    body = Slow()
    transport = AiohttpTransport()
    answer = await transport.asend(
        WireRequest(method="PUT", url=server.url, headers=[], body=body, proxies={})
    )
    assert (413, b"at most 5") == (answer.status, b"".join([c async for c in answer.chunks()]))
    threading.Timer(0.2, body.go_on.set).start()
    await answer.aclose()
    assert (True, 0) == (body.left.is_set(), body.reading)


async def test_success_does_not_hide_what_the_body_raised() -> None:
    """A success that comes while the body is read is not the answer before all was sent."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass
        writer.close()

    class Changed(Slow):
        def chunks(self) -> Iterator[bytes]:
            yield PIECE
            yield PIECE
            self.go_on.wait(10)
            raise e.IntegrityError("changed")

    body = Changed()
    async with await asyncio.start_server(early, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        threading.Timer(0.2, body.go_on.set).start()
        assert e.IntegrityError is type(await failure_of(AiohttpTransport(), url, body))


@pytest.mark.parametrize("size", [10_000, 50_000_000])
async def test_server_that_takes_nothing(size: int) -> None:
    """Each piece has to be taken in time, and an answer has to come."""
    loop: Any = asyncio.get_running_loop()
    before = len(loop._selector.get_map())
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        body = BytesBody(bytes(size))
        error = await failure_of(AiohttpTransport(), url, body, timeout=(5, 0.3))
        assert e.TimedOutError is type(error)
        await asyncio.sleep(0)
        assert before == len(loop._selector.get_map())  # nothing waits to send the rest


@pytest.mark.parametrize(("sent", "lost"), [(0, True), (1, True), (2, False)])
async def test_success_before_all_was_sent(sent: int, *, lost: bool) -> None:
    """A small body was read before; that it was not sent has to be noticed here."""
    body = BytesBody(bytes(100_000))
    upload = Upload(body, Watch(1.0))
    writer = Writer(sent)
    with contextlib.suppress(ConnectionResetError):
        await upload.write(writer)
    assert (lost, True) == (upload.is_lost, upload.ended.is_set())


class Writer(StreamWriter):
    """Takes a few pieces, and then no more."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces

    async def write(self, chunk: Any, **_: Any) -> None:
        """Take one."""
        if not self.left:
            raise ConnectionResetError
        self.left -= 1


async def test_cancelled_in_the_middle_of_a_body(server: RawServer) -> None:
    """The connection ends, and so does the thread that reads, before the task does."""
    body, transport = Slow(), AiohttpTransport()
    sent = asyncio.create_task(taken(transport, server.url, body))
    await asyncio.to_thread(body.halted.wait, 10)
    sent.cancel()
    threading.Timer(0.2, body.go_on.set).start()
    with pytest.raises(asyncio.CancelledError):
        await sent
    assert (True, 0) == (body.left.is_set(), body.reading)
    assert [] == server.calls
    await taken(transport, server.url)
    assert 2 == server.connections


# --- connections ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_nothing_is_sent_again(method: str) -> None:
    """Whether a request may be sent again is the sender's business, also over a kept connection."""
    body = None if method in {"GET", "DELETE"} else BytesBody(b"31 rows")
    transport = AiohttpTransport()
    with RawServer(OK, always(b"")).serving() as server:
        await taken(transport, server.url)
        error = await failure_of(transport, server.url, body, method=method)
        assert (e.ProtocolError, 2) == (type(error), len(server.calls))


async def test_answer_to_nobody_is_not_taken_for_the_next() -> None:
    """What a server sends on a kept connection, unasked, answers no request."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    taken_in = threading.Event()

    def twice(call: Call) -> bytes:
        call.socket.sendall(reply(body=b"first"))
        taken_in.wait(10)
        call.socket.sendall(reply(body=b"unasked"))
        loop.call_soon_threadsafe(loop.call_later, 0.1, told.set)
        call.hang()
        return b""

    transport = AiohttpTransport()
    with RawServer(twice, OK).serving() as server:
        assert b"first" == await taken(transport, server.url)
        taken_in.set()
        await told.wait()
        assert e.ConnectError is type(await failure_of(transport, server.url))
        assert b"" == await taken(transport, server.url)
        assert 2 == server.connections


async def test_most_requests_at_a_time(server: RawServer) -> None:
    """Who finds all connections in use waits for one, and not for ever."""
    answered = asyncio.Event()
    loop = asyncio.get_running_loop()

    def held(call: Call) -> bytes:
        loop.call_soon_threadsafe(answered.set)
        call.hang()
        return reply()

    transport = AiohttpTransport(max_connections=1)
    server.answers = [held, OK]
    first = asyncio.create_task(taken(transport, server.url))
    await answered.wait()
    error = await failure_of(transport, server.url, timeout=(5, 0.1))
    assert (e.ConnectError, "all connections are in use") == (type(error), str(error))
    second = asyncio.create_task(taken(transport, server.url))
    await asyncio.sleep(0)
    first.cancel()
    assert (b"", 2) == (await second, server.connections)
    assert b"" == await taken(transport, server.url, timeout=(5, 0.5))  # the turn was given back


FORKED = """
import asyncio, os, sys
from tests.sending.support import AIOHTTP_ASYNC, plain
storage = plain(sys.argv[1])
async def parent():
    await storage.aget("before")
    child = os.fork()
    if child == 0:
        asyncio.run(storage.aget("child"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    await storage.aget("parent")
with AIOHTTP_ASYNC.sending():
    asyncio.run(parent())
"""


def test_fork_in_a_loop(server: RawServer) -> None:
    """A forked child makes its own connection, and takes nothing from the parent's loop."""
    command = [sys.executable, "-W", "error", "-c", FORKED, server.url]
    subprocess.run(command, check=True, timeout=30, cwd=Path(__file__).parents[2])
    assert [("/before", 1), ("/child", 2), ("/parent", 1)] == [
        (call.target, call.connection) for call in server.calls
    ]


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["200 OK", "401 No"])
async def test_body_after_head(status: str) -> None:
    """Some servers send one; status and headers are taken, as with httpx."""
    wrong = always(reply(status, b"not for you", X_Told="yes"))
    with RawServer(wrong).serving() as server:
        answer = await AiohttpTransport().asend(
            WireRequest(method="HEAD", url=server.url, headers=[], proxies={})
        )
        assert (int(status[:3]), "yes") == (answer.status, dict(answer.headers)["x-told"])
        await answer.aclose()


@pytest.mark.parametrize(("count", "fits"), [(90, True), (110, False)])
async def test_headers_of_an_answer_have_a_limit(count: int, *, fits: bool) -> None:
    """A hundred KiB, as with httpx."""
    headers: Any = {f"X-{number}": "x" * 1024 for number in range(count)}
    with RawServer(always(reply(**headers))).serving() as server:
        if fits:
            assert b"" == await taken(AiohttpTransport(), server.url)
        else:
            assert e.ProtocolError is type(await failure_of(AiohttpTransport(), server.url))


async def test_long_header() -> None:
    """One header may be longer than aiohttp takes by itself."""
    with RawServer(always(reply(X_Long="x" * 50_000))).serving() as server:
        assert b"" == await taken(AiohttpTransport(), server.url)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"",
    ],
)
async def test_answer_that_is_none(answer: bytes) -> None:
    """It is the same error as with httpx."""

    def broken(call: Call) -> bytes:
        call.socket.sendall(answer)
        return b""

    with RawServer(broken).serving() as server:
        for transport in (AiohttpTransport(), HttpxTransport()):
            assert e.ProtocolError is type(await failure_of(transport, server.url))


async def test_answer_that_stalls() -> None:
    """Each piece of a body has to come in time."""

    def stalling(call: Call) -> bytes:
        call.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
        call.hang()
        return b""

    with RawServer(stalling).serving() as server:
        error = await failure_of(AiohttpTransport(), server.url, timeout=(5, 0.2))
    assert e.TimedOutError is type(error)


async def test_no_connection_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody answers for is no connection, and no answer that is late."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", lambda *_, **__: asyncio.sleep(30))
    error = await failure_of(AiohttpTransport(), "http://files.test", timeout=(0.1, 9))
    assert e.ConnectError is type(error)


async def test_refused_connection(server: RawServer) -> None:
    """Nothing was sent, and that is said."""
    error = await failure_of(AiohttpTransport(), "http://127.0.0.1:1")
    assert e.ConnectError is type(error)


# --- what is handed on ---------------------------------------------------------------------------


def nowhere(_: Address) -> bool:
    """Take no address for a public one."""
    return False


async def test_guarded_requests_are_guarded(server: RawServer) -> None:
    """They go by the transport that looks at addresses, in loops too."""
    transport = AiohttpTransport(HttpxTransport(allows=nowhere))
    network = Network(private="deny", plain_http=["*"])
    with Sender(secrets=[], transport=transport, network=network):
        with pytest.raises(e.ConfigurationError, match="not public"):
            await plain(server.url).aget("k")
        error = await asyncio.to_thread(partial(caught, partial(plain(server.url).get, "k")))
    assert (e.ConfigurationError, 0) == (type(error), server.connections)


def test_threads_are_served_too(server: RawServer) -> None:
    """By the other transport, of which the connections are closed with this one."""
    with AIOHTTP_ASYNC.sending() as sender:
        plain(server.url).put(b"31 rows", "k")
        plain(server.url).get("k")
        sender.close()
        plain(server.url).get("k")
    assert [1, 1, 2] == [call.connection for call in server.calls]


def test_without_aiohttp() -> None:
    """What is missing is said, with the extra that brings it."""
    program = (
        "import sys\n"
        "sys.modules['aiohttp'] = None\n"
        "from webhook_storage.errors import MissingExtraError\n"
        "try:\n"
        "    import webhook_storage.transport.aiohttp\n"
        "except MissingExtraError as error:\n"
        "    print(error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert "webhook-storage[fast]" in done.stdout
