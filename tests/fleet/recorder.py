"""An origin that remembers every request it got, and answers as a test says.

Without a script it keeps what is PUT or POSTed, gives it back, and at `/echo/STATUS` it answers
with the request itself, as careless servers do in their error pages.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Recorded:
    """A request as it arrived."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        values = (value for key, value in self.headers if key.lower() == name.lower())
        return next(values, None)


@dataclass(frozen=True)
class Answer:
    """What to answer.

    Attributes:
        declared: A `Content-Length` that is not the body's; the connection is closed after it.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    declared: int | None = None


@dataclass
class Recorder:
    """A running recorder; the script is used up from its front, one answer for each request."""

    url: str
    requests: list[Recorded] = field(default_factory=list)
    script: deque[Answer] = field(default_factory=deque)
    stored: dict[str, bytes] = field(default_factory=dict)

    def answer(self, request: Recorded) -> Answer:
        """Remember a request and choose its answer."""
        self.requests.append(request)
        if self.script:
            return self.script.popleft()
        if request.path.startswith("/echo/"):
            return _echo(request)
        return self._serve(request)

    def _serve(self, request: Recorded) -> Answer:
        if request.method in {"PUT", "POST", "PATCH"}:
            self.stored[request.path] = request.body
            return Answer(201)
        if request.path not in self.stored:
            return Answer(404)
        if request.method == "DELETE":
            del self.stored[request.path]
            return Answer(204)
        return Answer(200, body=self.stored[request.path])


def _echo(request: Recorded) -> Answer:
    text = json.dumps(
        {"path": request.path, "headers": request.headers, "body": request.body.decode("latin-1")}
    )
    status = int(request.path.split("/")[2].partition("?")[0])
    return Answer(status, (("Content-Type", "application/json"),), text.encode())


class _RecorderServer(ThreadingHTTPServer):
    # A client that keeps its connection must not keep the test waiting.
    daemon_threads = True
    block_on_close = False
    recorder: Recorder


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def respond(self) -> None:
        recorder = cast("_RecorderServer", self.server).recorder
        request = Recorded(self.command, self.path, tuple(self.headers.items()), self._read_body())
        answer = recorder.answer(request)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        length = len(answer.body) if answer.declared is None else answer.declared
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.close_connection = self.close_connection or answer.declared is not None

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = respond  # noqa: N815 - names that http.server looks for

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._read_chunks())
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _read_chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextlib.contextmanager
def serve_recorder() -> Iterator[Recorder]:
    """Run a recorder in a thread."""
    with _RecorderServer(("127.0.0.1", 0), _Handler) as server:
        server.recorder = Recorder(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.recorder
        finally:
            server.shutdown()
            thread.join()
