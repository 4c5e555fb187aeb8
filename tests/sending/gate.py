"""A door in front of a real server: it counts what passes, refuses, and holds requests up."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = 503


@dataclass(frozen=True)
class Passed:
    """A request that came to the door.

    Attributes:
        method: Its method.
        path: Its path and query.
        size: How many bytes its body had.
    """

    method: str
    path: str
    size: int


Rule = Callable[[Passed], object]
"""Looks at a request before it passes: a true answer refuses it, and it may take its time."""


@dataclass
class Gate:
    """A running door.

    Attributes:
        url: Where to send instead of the server's own origin.
        rule: What is asked about each request.
        requests: All that came, in order of arrival.
        most: How many requests with a body were inside at a time.
    """

    url: str
    upstream: str
    rule: Rule = lambda _request: False
    requests: list[Passed] = field(default_factory=list)
    most: int = 0
    _inside: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def sizes(self, method: str) -> list[int]:
        """Return the sizes of the bodies that came by a method, empty ones left out."""
        return [each.size for each in self.requests if each.method == method and each.size]

    @contextlib.contextmanager
    def counted(self, request: Passed) -> Iterator[None]:
        """Count a request while it is inside."""
        with self._counting:
            self.requests.append(request)
            self._inside += bool(request.size)
            self.most = max(self.most, self._inside)
        try:
            yield
        finally:
            with self._counting:
                self._inside -= bool(request.size)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    gate: Gate


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def respond(self) -> None:
        gate = cast("_Server", self.server).gate
        announced = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(announced)
        if len(body) < announced:
            self.close_connection = True  # the client has gone
            return
        request = Passed(self.command, self.path, len(body))
        with gate.counted(request):
            if gate.rule(request):
                self._answer(REFUSED, [], b"")
            else:
                self._pass_on(gate, body)

    def _pass_on(self, gate: Gate, body: bytes) -> None:
        """Ask the server behind, by the name that the client knows."""
        connection = http.client.HTTPConnection(urlsplit(gate.upstream).netloc, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            self._answer(answer.status, answer.getheaders(), answer.read())

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            # What is answered to a HEAD has the length of what would be sent.
            kept = self.command == "HEAD" and name.lower() == "content-length"
            if kept or name.lower() not in {"connection", "content-length", "transfer-encoding"}:
                self.send_header(name, value)
        if status != http.client.NO_CONTENT and self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = respond  # noqa: N815 - names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextlib.contextmanager
def serve_gate(upstream: str) -> Iterator[Gate]:
    """Run a door in front of an origin."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.gate = Gate(f"http://127.0.0.1:{server.server_address[1]}", upstream)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.gate
        finally:
            server.shutdown()
            thread.join()
