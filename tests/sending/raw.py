"""A server that answers with exactly the bytes that a test wants, or breaks the connection."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


@dataclass(frozen=True)
class Call:
    """One request as it arrived.

    Attributes:
        raw: Every byte of it.
        connection: The number of the connection, from 1.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    raw: bytes
    connection: int
    server: RawServer = field(repr=False)
    socket: socket.socket = field(repr=False)

    def reset(self) -> None:
        """Break the connection so that the other side gets a reset."""
        now = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)

    def hang(self) -> None:
        """Say nothing until the other side goes away, or the server ends."""
        self.server.hanging.set()
        while not self.server.closing.is_set():
            readable, _, _ = select.select([self.socket], [], [], 0.02)
            if readable:
                return


Answer = Callable[[Call], bytes]
"""What is sent back; nothing closes the connection."""


def reply(status: str = "200 OK", body: bytes = b"", **headers: str) -> bytes:
    """Return a complete answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def always(answer: bytes) -> Answer:
    """Return an answer that never changes."""
    return lambda _call: answer


class RawServer:
    """Listens on a free loopback port.

    Attributes:
        answers: Used up from the front, one for each request; the last one stays.
        calls: Every request, in order of arrival.
        connections: How many there have been.
        hanging: Set once a request hangs.
        hasty: An answer that is sent before the request is read.
    """

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.calls: list[Call] = []
        self.connections = 0
        self.hanging = threading.Event()
        self.closing = threading.Event()
        self.tls = tls
        self.hasty: bytes | None = None
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.raw = self

    @property
    def port(self) -> int:
        """The port that was free."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The origin."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def last(self) -> Call:
        """The latest request."""
        return self.calls[-1]

    def answer(self, call: Call) -> bytes:
        """Remember a request and choose its answer."""
        self.calls.append(call)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return answer(call)

    @contextlib.contextmanager
    def serving(self) -> Iterator[RawServer]:
        """Serve while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False  # a client that keeps its connection must not keep the test waiting
    allow_reuse_address = True
    request_queue_size = 64
    raw: RawServer


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = cast("_Server", self.server).raw
        server.connections += 1
        number = server.connections
        connection: socket.socket = self.request
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            if server.tls:
                connection = server.tls.wrap_socket(connection, server_side=True)
            if server.hasty is not None:
                with connection:
                    connection.recv(100)
                    connection.sendall(server.hasty)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(100_000)
                return
            with connection, connection.makefile("rb") as stream:
                self._converse(server, connection, _Taken(stream.readline, stream.read), number)

    def _converse(
        self, server: RawServer, connection: socket.socket, taken: _Taken, number: int
    ) -> None:
        while call := taken.call(server, connection, number):
            answer = server.answer(call)
            if not answer:
                return
            connection.sendall(answer)
            head = answer.partition(b"\r\n\r\n")[0].lower()
            if b"connection: close" in head or not answer.startswith(b"HTTP/1.1"):
                return


class _Taken:
    """Reads requests and keeps all that was read."""

    def __init__(self, readline: Callable[[], bytes], read: Callable[[int], bytes]) -> None:
        self._readline, self._read = readline, read
        self._raw = b""

    def call(self, server: RawServer, connection: socket.socket, number: int) -> Call | None:
        self._raw = b""
        first = self.line()
        if not first.strip():
            return None
        method, target = [*first.decode("latin-1").split(" ", 2), "", ""][:2]
        headers = {}
        while line := self.line().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self._body(headers)
        return Call(method, target, headers, body, self._raw, number, server, connection)

    def line(self) -> bytes:
        line = self._readline()
        self._raw += line
        return line

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self._take(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.line(), 16):
            body += self._take(size)
            self.line()
        self.line()
        return body

    def _take(self, size: int) -> bytes:
        body = self._read(size) if size else b""
        if len(body) != size:
            raise ConnectionError("the client left in the middle of a body")
        self._raw += body
        return body
