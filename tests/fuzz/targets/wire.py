"""Whatever bytes a server sends in place of an answer, through each library that reads them."""

from __future__ import annotations

import atexit
import contextlib
import socket
import threading
from functools import cache

from tests.fuzz.kit import refusals
from webhook_storage.retry import RetryPolicy
from webhook_storage.sender import Sender
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage.transport.requests import RequestsTransport
from webhook_storage.webhook import Webhook

SEEDS = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\nETag: "v"\r\n\r\ncontent',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncon\r\n4;x=y\r\ntent\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\ncontent",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/7\r\n\r\nc",
    b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */7\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 4400 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\ncon",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\ncon",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
)
WORDS = (
    b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/2 ", b"200", b"206", b"304", b"999", b"\r\n", b"\r\n\r\n",
    b"\n", b"\r", b"\x00", b": ", b"Content-Length: ", b"Transfer-Encoding: chunked",
    b"Content-Range: bytes ", b"Connection: close", b"Location: ", b"Set-Cookie: ", b"0\r\n\r\n",
    b"\xb2", b"-1", b"+1", b"9" * 25, b"1, 1", b"gzip", b" ", b"\t", b";",
)  # fmt: skip

_RETRY = RetryPolicy(attempts=1)
_TIMEOUT = 5


class _Server:
    """Sends `answer` to everybody, and says no more."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        atexit.register(self._stop)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(self.answer)

    def _stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@cache
def _server() -> _Server:
    return _Server()


def target(data: bytes) -> None:
    """Let a server send the input, whatever was asked."""
    server = _server()
    server.answer = data
    place = {"url": server.url, "timeout": _TIMEOUT}
    storage = Webhook(place, "PUT", place, "GET")
    for transport in (HttpxTransport(), RequestsTransport()):
        with Sender(secrets=[], transport=transport, retry=_RETRY):
            with refusals():
                assert isinstance(storage.get(max_bytes=100_000), bytes)
            with refusals():
                storage.exists()
