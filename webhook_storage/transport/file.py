"""``file://`` URLs as if a server stood there: PUT, GET, HEAD and DELETE, with atomic writes."""

from __future__ import annotations

import asyncio
import json
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlsplit

from webhook_storage.artifact import FileSink, PathBody
from webhook_storage.contracts import (
    AsyncWireResponse,
    Body,
    Transport,
    WireRequest,
    WireResponse,
)
from webhook_storage.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping


class FileTransport(Transport):
    """Stores in a local directory.

    A PUT goes to a temporary file which then takes the target's place, so a reader sees the old or
    the new content, never a part. Missing directories are made. A GET of a path that ends in ``/``
    answers a JSON list of what is there: objects with ``name``, ``type`` and ``size``.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"file"})

    def send(self, request: WireRequest) -> WireResponse:
        """Do what the request says."""
        try:
            return _METHODS.get(request.method, _refuse)(_path(request.url), request.body)
        except (FileNotFoundError, NotADirectoryError):
            return _Reply(404)
        except PermissionError:
            return _Reply(403)
        except IsADirectoryError:
            return _Reply(409)

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Do the same in a thread."""
        reply = await asyncio.to_thread(self.send, request)
        return _AsyncReply(reply)


class _Reply:
    """The answer to a request."""

    def __init__(
        self, status: int, body: Body | bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.headers = list((headers or {}).items())
        self._body = body

    def chunks(self) -> Iterator[bytes]:
        """Yield the content."""
        if isinstance(self._body, bytes):
            yield self._body
        else:
            yield from self._body.chunks()

    def close(self) -> None:
        """Do nothing, a file is open only while it is read."""


class _AsyncReply:
    """The same in an event loop."""

    def __init__(self, reply: WireResponse) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self._reply = reply

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content, read in a thread."""
        chunks = self._reply.chunks()
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk

    async def aclose(self) -> None:
        """Do nothing, a file is open only while it is read."""


def _path(url: str) -> Path:
    """Return the path that a ``file`` URL means (RFC 8089)."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or not path.startswith("/") or "\0" in path:
        raise ConnectError("a file URL names an absolute path on this machine", hint="file:///path")
    return Path(path + "/.") if path.endswith("/") else Path(path)


def _put(path: Path, body: Body | None) -> _Reply:
    path.parent.mkdir(parents=True, exist_ok=True)
    status = 204 if path.exists() else 201
    sink = FileSink(path)
    try:
        sink.reset()
        for chunk in body.chunks() if body else ():
            sink.write(chunk)
        sink.commit()
    finally:
        sink.discard()
    return _Reply(status)


def _get(path: Path, _: Body | None) -> _Reply:
    if path.is_dir():
        return _Reply(200, _listing(path), {"content-type": "application/json"})
    return _Reply(200, PathBody(path), _describe(path))


def _head(path: Path, _: Body | None) -> _Reply:
    return _Reply(200, headers=_describe(path))


def _delete(path: Path, _: Body | None) -> _Reply:
    path.unlink()
    return _Reply(204)


def _refuse(_path: Path, _body: Body | None) -> _Reply:
    return _Reply(405)


_METHODS = {"PUT": _put, "GET": _get, "HEAD": _head, "DELETE": _delete}


def _describe(path: Path) -> dict[str, str]:
    status = path.stat()
    return {
        "content-length": str(status.st_size),
        "last-modified": formatdate(status.st_mtime, usegmt=True),
        "etag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"',
        "content-type": "application/octet-stream",
    }


def _listing(path: Path) -> bytes:
    """Return the content of a directory in the form of nginx's JSON index."""
    entries = sorted(path.iterdir())
    listed = [
        {"name": entry.name, "type": "directory"}
        if entry.is_dir()
        else {"name": entry.name, "type": "file", "size": entry.stat().st_size}
        for entry in entries
        if not entry.name.endswith(".part")
    ]
    return json.dumps(listed).encode()
