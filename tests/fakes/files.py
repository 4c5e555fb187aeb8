"""A plain file service for tests: PUT, GET, HEAD and DELETE behind a bearer token."""

from __future__ import annotations

import hashlib
from urllib.parse import unquote

from tests.fakes.http import Answer, FakeServer, Received, text_answer


class FileService(FakeServer):
    """Keeps what is PUT or POSTed and gives it back.

    Args:
        token: The only bearer token that is let in; None lets everybody in.
        tls: Serve HTTPS with a certificate of a private authority.

    Attributes:
        files: What was stored, by path.
    """

    def __init__(self, *, token: str | None = None, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.token = token
        self.files: dict[str, bytes] = {}

    def answer(self, request: Received, body: bytes) -> Answer:
        """Do what the method says."""
        if (
            self.token is not None
            and request.headers.get("authorization") != f"Bearer {self.token}"
        ):
            return text_answer(401, "who are you?")
        path = unquote(request.path)
        if request.method in {"PUT", "POST"}:
            status = 204 if path in self.files else 201
            self.files[path] = body
            return Answer(status, headers={"ETag": _etag(body)})
        if path not in self.files:
            return text_answer(404, "nothing there")
        if request.method == "DELETE":
            del self.files[path]
            return Answer(204)
        content = self.files[path]
        headers = {"ETag": _etag(content), "Content-Type": "application/octet-stream"}
        return Answer(200, content, headers)


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'
