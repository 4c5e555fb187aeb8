"""A service that speaks tus 1.0.0 and keeps what has come when a connection breaks."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "of this test"
_CHUNK = 16 * 1024


@dataclass
class TusServer:
    """A running service.

    Attributes:
        port: Where it listens.
        files: What has come, by path.
        lengths: How much is to come, by path.
        received: How many bytes came in all, whether they were kept or not.
        refusals: Statuses to answer the next parts with, instead of taking them.
    """

    port: int
    files: dict[str, bytearray] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    received: int = 0
    refusals: list[int] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    tus: TusServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    @property
    def tus(self) -> TusServer:
        return cast("_Server", self.server).tus

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def do_POST(self) -> None:
        if self._is_welcome():
            path = f"/files/{len(self.tus.lengths)}"
            self.tus.files[path] = bytearray()
            self.tus.lengths[path] = int(self.headers["Upload-Length"])
            self._answer(201, Location=path)

    def do_HEAD(self) -> None:
        if self._is_welcome() and self._is_there():
            self._answer(200, Upload_Offset=str(len(self.tus.files[self.path])))

    def do_GET(self) -> None:
        if self._is_welcome() and self._is_there():
            self._answer(200, bytes(self.tus.files[self.path]))

    def do_DELETE(self) -> None:
        if self._is_welcome() and self._is_there():
            del self.tus.files[self.path]
            self._answer(204)

    def do_PATCH(self) -> None:
        kept = self.tus.files.get(self.path, bytearray())
        good = self._is_welcome() and self._is_there()
        if good and self.tus.refusals:
            self._refuse(self.tus.refusals.pop(0))
        elif good and int(self.headers["Upload-Offset"]) != len(kept):
            self._refuse(409)
        elif good and self._take(kept):
            self._answer(204, Upload_Offset=str(len(kept)))

    def _take(self, kept: bytearray) -> bool:
        """Take the body piece by piece; false when it broke off."""
        left = int(self.headers["Content-Length"])
        while left:
            try:
                piece = self.rfile.read1(min(_CHUNK, left))
            except ConnectionError:
                piece = b""
            if not piece:
                self.close_connection = True
                return False
            kept += piece
            self.tus.received += len(piece)
            left -= len(piece)
        return True

    def _is_welcome(self) -> bool:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401)
        elif self.headers.get("Tus-Resumable") != "1.0.0":
            self._refuse(412)
        else:
            return True
        return False

    def _is_there(self) -> bool:
        if self.path not in self.tus.files:
            self._refuse(404)
            return False
        return True

    def _refuse(self, status: int) -> None:
        """Answer and close, as the body is not read; a client that is not told would send again."""
        self.close_connection = True
        self._answer(status, Connection="close")

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextlib.contextmanager
def serve_tus() -> Iterator[TusServer]:
    """Run a service in a thread."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.tus = TusServer(int(server.server_address[1]))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.tus
        finally:
            server.shutdown()
            thread.join()
