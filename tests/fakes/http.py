"""Serve a fake vendor on a loopback port and remember what it was asked.

Rule: this module knows HTTP and faults, never a vendor.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import trustme

_ACCEPT_POLL = 0.01
_BODYLESS = (204, 304)


@dataclass(frozen=True)
class Received:
    """One request as it arrived.

    Attributes:
        method: The method as sent.
        target: The request target as sent, still percent-encoded.
        path: The decoded path.
        query: The decoded query; of a repeated name the last value.
        headers: The headers, by lower-case name.
        size: How many bytes the body had; what was announced when it was refused unread.
        sha256: The hex digest of the body; empty when it was refused unread.
    """

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Answer:
    """What goes back; a status of 0 closes the connection without a word."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


NO_ANSWER = Answer(0)

Fault = Callable[[Received], Answer | None]


def json_answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Make an answer whose body is JSON."""
    kept = {"Content-Type": "application/json", **(headers or {})}
    return Answer(status, json.dumps(value).encode(), kept)


def text_answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Make an answer whose body is plain text."""
    kept = {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}
    return Answer(status, text.encode(), kept)


@dataclass
class _Injected:
    fault: Fault
    path: str
    times: int | None
    after: bool


class FakeServer:
    """A threaded HTTP/1.1 server on 127.0.0.1; vendors override `answer`.

    State may be read and changed between requests; a handler holds `lock` while it works.

    Args:
        tls: Serve HTTPS with a certificate of a private authority.

    Attributes:
        requests: Every request received, in order of completion.
        calls: How often each decoded path was asked for.
        lock: Held while a request is answered.
        hanging: Set once a request hangs.
    """

    def __init__(self, *, tls: bool = False) -> None:
        self.requests: list[Received] = []
        self.calls: Counter[str] = Counter()
        self.lock = threading.RLock()
        self.hanging = threading.Event()
        self._tls = tls
        self._faults: list[_Injected] = []
        self._closing = threading.Event()
        self._cleanup = contextlib.ExitStack()
        self._server: _Server | None = None
        self._ca_file: Path | None = None

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request; the vendor's own behaviour."""
        raise NotImplementedError

    def refuse(self, request: Received) -> Answer | None:
        """Refuse a request before its body is read, or return None to read it."""
        return None

    # -- life

    def start(self) -> Self:
        """Bind a free port and serve until `close`."""
        context = self._tls_context() if self._tls else None
        self._server = _Server(self, context)
        thread = threading.Thread(target=self._server.serve_forever, args=(_ACCEPT_POLL,))
        thread.start()
        self._cleanup.callback(thread.join)
        self._cleanup.callback(self._server.stop)
        return self

    def close(self) -> None:
        """End hanging requests, open connections and the server."""
        self._closing.set()
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _tls_context(self) -> ssl.SSLContext:
        authority = trustme.CA()
        folder = self._cleanup.enter_context(tempfile.TemporaryDirectory())
        self._ca_file = Path(folder, "ca.pem")
        authority.cert_pem.write_to_path(str(self._ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        return context

    # -- where it is

    @property
    def port(self) -> int:
        """The port that was free."""
        if self._server is None:
            raise RuntimeError("the server has not been started")
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """Host and port, as a Host header has them."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The origin, without a trailing slash."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    @property
    def ca_file(self) -> Path:
        """The PEM file of the authority that signed the certificate."""
        if self._ca_file is None:
            raise RuntimeError("the server does not speak TLS, or has not been started")
        return self._ca_file

    # -- what it received

    @property
    def last(self) -> Received:
        """The latest request."""
        return self.requests[-1]

    def received(self, path: str = "", method: str = "") -> list[Received]:
        """Return the requests whose path starts with `path`, of one method if given."""
        return [
            request
            for request in self.requests
            if request.path.startswith(path) and method in ("", request.method)
        ]

    # -- faults on demand

    def inject(
        self,
        fault: Answer | Fault,
        *,
        path: str = "",
        times: int | None = 1,
        after: bool = False,
    ) -> None:
        """Answer the next matching requests with a fault.

        Args:
            fault: The answer to give, or what makes it; None from it lets the request through.
            path: What the path of a matching request starts with.
            times: How many requests it meets; None for all until `clear_faults`.
            after: Let the request take effect first, and replace only its answer.
        """
        maker = fault if callable(fault) else _constant(fault)
        with self.lock:
            self._faults.append(_Injected(maker, path, times, after))

    def clear_faults(self) -> None:
        """Forget all faults that are still waiting."""
        with self.lock:
            self._faults.clear()

    def hang(self, *, path: str = "", times: int | None = 1) -> None:
        """Say nothing to the next matching requests until the server closes."""
        self.inject(self._hang, path=path, times=times)

    def lose_answer(self, *, path: str = "", times: int | None = 1) -> None:
        """Carry out the next matching requests, then drop the connection."""
        self.inject(NO_ANSWER, path=path, times=times, after=True)

    def _hang(self, _request: Received) -> Answer:
        self.hanging.set()
        self._closing.wait()
        return NO_ANSWER

    def _fault(self, request: Received, *, after: bool) -> Answer | None:
        with self.lock:
            makers = list(self._due(request, after=after))
        # Made without the lock: a request that hangs must not stop the others.
        return next(filter(None, (maker(request) for maker in makers)), None)

    def _due(self, request: Received, *, after: bool) -> Iterator[Fault]:
        for fault in self._faults:
            if fault.after is after and request.path.startswith(fault.path) and fault.times != 0:
                fault.times = None if fault.times is None else fault.times - 1
                yield fault.fault
                return

    # -- the handler's door

    def note(self, request: Received) -> None:
        """Remember a request."""
        with self.lock:
            self.requests.append(request)
            self.calls[request.path] += 1

    def respond(self, request: Received, body: bytes) -> Answer:
        """Remember a request and answer it, by a fault that waits for it or by the vendor."""
        self.note(request)
        early = self._fault(request, after=False)
        if early is not None:
            return early
        with self.lock:
            answer = self.answer(request, body)
        return self._fault(request, after=True) or answer


def _constant(answer: Answer) -> Fault:
    return lambda _request: answer


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close waits for the handlers
    request_queue_size = 128

    def __init__(self, fake: FakeServer, context: ssl.SSLContext | None) -> None:
        self.fake = fake
        self._context = context
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._context:
            # The handshake waits for the handler's thread: a slow client must not block the others.
            connection = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def stop(self) -> None:
        self.shutdown()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                # Not the method of a TLS socket, which would pull it from under its handler.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), (ConnectionError, ssl.SSLError)):
            raise  # noqa: PLE0704 - called while the exception is handled; a broken fake must show


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet

    @property
    def fake(self) -> FakeServer:
        return cast("_Server", self.server).fake

    def handle_one_request(self) -> None:
        with contextlib.suppress(TimeoutError):
            super().handle_one_request()

    def serve(self) -> None:
        head = self._head()
        refusal = self.fake.refuse(head)
        if refusal is not None:
            self.fake.note(head)
            self.close_connection = True
            self._send(refusal)
            self._drain()
            return
        body = self._read_body()
        self._send(self.fake.respond(self._head(body), body))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_LIST = serve  # noqa: N815
    do_PROPFIND = do_MKCOL = do_MOVE = do_COPY = do_LOCK = do_UNLOCK = serve  # noqa: N815

    def handle_expect_100(self) -> bool:
        if self.fake.refuse(self._head()) is None:
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        return True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay silent: `requests` is the log."""

    def _head(self, body: bytes | None = None) -> Received:
        parts = urlsplit(self.path)
        return Received(
            method=self.command,
            target=self.path,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            size=int(self.headers.get("Content-Length", 0)) if body is None else len(body),
            sha256="" if body is None else hashlib.sha256(body).hexdigest(),
        )

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        announced = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(announced)
        if len(body) != announced:
            raise ConnectionError("the client left in the middle of a body")
        return body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # a trailer

    def _send(self, answer: Answer) -> None:
        if not answer.status:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in _BODYLESS:
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and answer.status not in _BODYLESS:
            self.wfile.write(answer.body)

    def _drain(self) -> None:
        # A connection closed over unread bytes is reset, and the client would miss the answer.
        self.wfile.flush()
        if not isinstance(self.connection, ssl.SSLSocket):
            self.connection.shutdown(socket.SHUT_WR)
        while self.rfile.read1(1 << 16):
            pass
