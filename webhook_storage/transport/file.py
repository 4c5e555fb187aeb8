"""``file://`` URLs as if a server stood there: PUT, GET, HEAD and DELETE, with atomic writes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import stat
from email.utils import formatdate
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar
from urllib.parse import unquote

from webhook_storage import origin
from webhook_storage.artifact import BytesBody, FileBody, FileSink
from webhook_storage.contracts import (
    AsyncWireResponse,
    Body,
    Transport,
    WireRequest,
    WireResponse,
)
from webhook_storage.errors import ConnectError, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping


_STATUSES = {
    errno.ENOENT: 404,
    errno.ENOTDIR: 404,
    errno.EACCES: 403,
    errno.EPERM: 403,
    errno.EROFS: 403,
    errno.EEXIST: 409,
    errno.EISDIR: 409,
    0: 409,  # no regular file
}
"""What a server would answer to what the system refuses."""


class FileTransport(Transport):
    """Stores in a local directory.

    A PUT goes to a temporary file which then takes the target's place, so a reader sees the old or
    the new content, never a part. Missing directories are made. A GET of a path that ends in ``/``
    answers a JSON list of what is there: objects with ``name``, ``type`` and ``size``. Without that
    slash there are only files.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"file"})

    def send(self, request: WireRequest) -> WireResponse:
        """Do what the request says."""
        path = _path(request.url)
        method = _list if request.url.endswith("/") else _METHODS.get(request.method, _refuse)
        try:
            return method(path, request)
        except OSError as error:
            fault = error.errno or 0
        if fault in _STATUSES:
            return _Reply(_STATUSES[fault])
        raise TransportError(os.strerror(fault).lower(), hint="is there space left?")

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Do the same in a thread."""
        reply = await asyncio.to_thread(self.send, request)
        return _AsyncReply(reply)


class _Reply:
    """The answer to a request."""

    def __init__(
        self,
        status: int,
        body: Body = BytesBody(b""),  # noqa: B008 - it does not change
        headers: Mapping[str, str] | None = None,
        file: IO[bytes] | None = None,
    ) -> None:
        self.status = status
        self.headers = list((headers or {}).items())
        self._body = body
        self._file = file

    def chunks(self) -> Iterator[bytes]:
        """Yield the content."""
        yield from self._body.chunks()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


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
        """Close the file."""
        self._reply.close()


def _path(url: str) -> Path:
    """Return the path that a ``file`` URL means (RFC 8089)."""
    path = unquote(origin.path(url))
    if origin.host(url) not in {"", "localhost"} or not path.startswith("/") or "\0" in path:
        raise ConnectError("a file URL names an absolute path on this machine", hint="file:///path")
    return Path(path)


def _put(path: Path, request: WireRequest) -> _Reply:
    path.parent.mkdir(parents=True, exist_ok=True)
    status = 204 if path.exists() else 201
    sink = FileSink(path)
    try:
        sink.reset()
        for chunk in request.body.chunks() if request.body else ():
            sink.write(chunk)
        sink.commit()
    finally:
        sink.discard()
    return _Reply(status)


def _get(path: Path, _: WireRequest) -> _Reply:
    if path.is_dir():
        return _Reply(404)
    # Opened before it is measured: what is read then is one state, whatever is written meanwhile.
    file = path.open("rb")
    return _Reply(200, FileBody(file), _describe(os.fstat(file.fileno())), file)


def _head(path: Path, _: WireRequest) -> _Reply:
    return _Reply(404) if path.is_dir() else _Reply(200, headers=_describe(path.stat()))


def _delete(path: Path, _: WireRequest) -> _Reply:
    path.unlink()
    return _Reply(204)


def _list(path: Path, request: WireRequest) -> _Reply:
    if request.method not in {"GET", "HEAD"}:
        return _Reply(405)
    content = BytesBody(b"" if request.method == "HEAD" else _listing(path))
    return _Reply(200, content, {"content-type": "application/json"})


def _refuse(_path: Path, _: WireRequest) -> _Reply:
    return _Reply(405)


_METHODS = {"PUT": _put, "GET": _get, "HEAD": _head, "DELETE": _delete}


def _describe(status: os.stat_result) -> dict[str, str]:
    return {
        "content-length": str(status.st_size),
        "last-modified": formatdate(status.st_mtime, usegmt=True),
        "etag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"',
        "content-type": "application/octet-stream",
    }


def _listing(path: Path) -> bytes:
    """Return the content of a directory in the form of nginx's JSON index."""
    listed: list[dict[str, str | int]] = []
    for entry in sorted(path.iterdir()):
        hidden = entry.name.startswith(".") and entry.name.endswith(".part")
        with contextlib.suppress(FileNotFoundError):  # it may be gone by now
            status = entry.stat()
            if stat.S_ISDIR(status.st_mode):
                listed.append({"name": entry.name, "type": "directory"})
            elif not hidden:
                listed.append({"name": entry.name, "type": "file", "size": status.st_size})
    return json.dumps(listed).encode()
