"""Answer like transfer.sh: the server chooses the place, and answers with its URL.

Source: dutchcoders/transfer.sh, server/handlers.go. What it refuses is refused here: an empty file,
a name of several segments, a wrong password, a file that has been fetched often enough.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from posixpath import basename
from urllib.parse import quote

from tests.fakes.http import Answer, FakeServer, Received, text_answer

_NOT_FOUND = text_answer(404, "Not Found")


@dataclass
class Transferred:
    """A file.

    Attributes:
        name: Its name.
        data: Its bytes.
        deletion: The token that deletes it.
        left: How often it may be fetched; None for ever.
    """

    name: str
    data: bytes
    deletion: str
    left: int | None = None


class TransferSh(FakeServer):
    """Keeps files under tokens of its own.

    Args:
        user: Who may upload; None lets everybody.
        password: The password.
        largest: Most bytes of a file.

    Attributes:
        files: What was stored, by token.
        told: The URL that it thinks it has, which it answers with.
    """

    def __init__(
        self, *, user: str | None = None, password: str = "", largest: int = 1024**2
    ) -> None:
        super().__init__()
        self.files: dict[str, Transferred] = {}
        self.told: str | None = None
        self._login = None if user is None else f"{user}:{password}"
        self._largest = largest

    def answer(self, request: Received, body: bytes) -> Answer:
        """Store, give back or delete a file."""
        segments = request.path.removeprefix("/").split("/")
        if request.method == "PUT":
            return self._put(request, segments, body)
        if request.method in {"GET", "HEAD"}:
            return self._get(request, segments)
        if request.method == "DELETE":
            return self._delete(segments)
        return text_answer(405, "")

    def _put(self, request: Received, segments: list[str], body: bytes) -> Answer:
        if not self._may_upload(request):
            headers = {"WWW-Authenticate": 'Basic realm="Restricted"'}
            return text_answer(401, "Not authorized", headers)
        if len(segments) != 1 or not segments[0]:
            return _NOT_FOUND
        if len(body) > self._largest:
            return text_answer(413, "Request Entity Too Large")
        if not body:
            return text_answer(400, "Could not upload empty file")
        token, name = secrets.token_urlsafe(6), basename(segments[0])
        most = request.headers.get("max-downloads")
        file = Transferred(name, body, secrets.token_urlsafe(12), int(most) if most else None)
        self.files[token] = file
        url = f"{self.told or self.url}/{token}/{quote(name)}"
        headers = {"X-Url-Delete": f"{url}/{file.deletion}"}
        return text_answer(200, url, headers)

    def _may_upload(self, request: Received) -> bool:
        given = request.headers.get("authorization", "")
        login = base64.b64encode((self._login or "").encode()).decode()
        return self._login is None or given == f"Basic {login}"

    def _get(self, request: Received, segments: list[str]) -> Answer:
        if segments[0] in {"get", "inline"}:
            segments = segments[1:]
        file = self._find(segments[:2]) if len(segments) == 2 else None
        if file is None or file.left == 0:
            return _NOT_FOUND
        if "text/html" in request.headers.get("accept", ""):
            return Answer(200, b"<!doctype html>", {"Content-Type": "text/html; charset=utf-8"})
        if file.left is not None and request.method == "GET":
            file.left -= 1
        left = "n/a" if file.left is None else str(file.left)
        headers = {"X-Remaining-Downloads": left, "X-Remaining-Days": "n/a"}
        return Answer(200, file.data, {**headers, "Content-Type": "application/octet-stream"})

    def _delete(self, segments: list[str]) -> Answer:
        file = self._find(segments[:2]) if len(segments) == 3 else None
        if file is None or segments[2] != file.deletion:
            return _NOT_FOUND
        del self.files[segments[0]]
        return text_answer(200, "")

    def _find(self, place: list[str]) -> Transferred | None:
        file = self.files.get(place[0])
        return file if file is not None and file.name == place[1] else None
