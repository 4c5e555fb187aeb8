"""Pass requests on to a real server, with the faults of a fake on demand."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from tests.fakes.http import Answer, FakeServer, Received

_OWN = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


class Relay(FakeServer):
    """Stands before a server and changes nothing, unless it is told to.

    Args:
        upstream: Origin of the server.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self._upstream = urlsplit(upstream).netloc

    def answer(self, request: Received, body: bytes) -> Answer:
        """Ask the server."""
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        try:
            connection.request(request.method, request.target, body, dict(request.headers))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if request.method == "HEAD":  # its length is told, and nothing is sent
            content = bytes(int(response.headers.get("Content-Length", 0)))
        kept = {name: text for name, text in response.getheaders() if name.lower() not in _OWN}
        return Answer(response.status, content, kept)
