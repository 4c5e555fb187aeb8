"""Bytes on their way out and in: bodies that can be sent again, sinks that can start anew."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from webhook_storage.errors import (
    ConfigurationError,
    IntegrityError,
    LocalFileError,
    TooLargeError,
    WebhookStorageError,
)

if TYPE_CHECKING:
    from webhook_storage.contracts import Body

Source: TypeAlias = (
    "bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | Iterable[bytes]"
)
"""What can be stored: bytes, a path, a binary file, or an iterable of chunks."""

_CHUNK = 256 * 1024
_SPOOL_LIMIT = 8 * 1024 * 1024
_SHOWN_NAME = 40
"""Characters of a target's name in that of its temporary file, which has a longest length."""


class BytesBody:
    """Bytes in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        """Keep the bytes."""
        self._data = data

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return len(self._data)

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes, in one piece."""
        if self._data:
            yield self._data

    def sha256(self) -> str:
        """Return the digest in lower-case hex."""
        return hashlib.sha256(self._data).hexdigest()


class FileBody:
    """A seekable binary file, from where it stood to its end.

    Args:
        file: The file; it is not closed.
    """

    __slots__ = ("_file", "_size", "_start")

    def __init__(self, file: IO[bytes]) -> None:
        """Remember where the file stands and how much follows."""
        self._file = file
        self._start = file.tell()
        self._size = file.seek(0, os.SEEK_END) - self._start
        file.seek(self._start)

    @property
    def size(self) -> int:
        """Return the number of bytes at the time of creation."""
        return self._size

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes from the start; never more than the announced size."""
        self._file.seek(self._start)
        yield from _read(self._file, self._size)

    def sha256(self) -> str:
        """Return the digest in lower-case hex; reads the file."""
        return _digest(self.chunks())


class PathBody:
    """A file that is opened anew for each sending.

    Args:
        path: Path of a regular file.
    """

    __slots__ = ("_path", "_size")

    def __init__(self, path: Path) -> None:
        """Look at the file's size."""
        self._path = path
        self._size = path.stat().st_size

    @property
    def size(self) -> int:
        """Return the number of bytes at the time of creation."""
        return self._size

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes from the start; never more than the announced size."""
        with _told_with_path(self._path), self._path.open("rb") as file:
            yield from _read(file, self._size)

    def sha256(self) -> str:
        """Return the digest in lower-case hex; reads the file."""
        return _digest(self.chunks())


class MeasuredBody:
    """A body that takes its digest while it is sent.

    Args:
        body: The body to measure.
    """

    __slots__ = ("_body", "_digest", "complete")

    complete: bool
    """Whether the end was reached since this was last set to False."""

    def __init__(self, body: Body) -> None:
        """Measure nothing yet."""
        self._body = body
        self._digest = ""
        self.complete = False

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return self._body.size

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes from the start.

        Raises:
            IntegrityError: When they are no longer those of which the digest was given.
        """
        self.complete = False
        digest = hashlib.sha256()
        for chunk in self._body.chunks():
            digest.update(chunk)
            yield chunk
        if self._digest not in {"", digest.hexdigest()}:
            # A header, or the URL, already said which digest this is.
            message = "the source changed while it was stored"
            raise IntegrityError(message, hint="store it again when nothing writes to it")
        self._digest, self.complete = digest.hexdigest(), True

    def sha256(self) -> str:
        """Return the digest in lower-case hex; reads the body when it was not sent yet."""
        self._digest = self._digest or self._body.sha256()
        return self._digest


class JoinedBody:
    """Several bodies one after the other.

    Args:
        parts: The bodies, in order.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Iterable[Body]) -> None:
        """Keep the parts."""
        self._parts = tuple(parts)

    @property
    def size(self) -> int:
        """Return the sum of the sizes."""
        return sum(part.size for part in self._parts)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of all parts."""
        for part in self._parts:
            yield from part.chunks()

    def sha256(self) -> str:
        """Return the digest in lower-case hex."""
        return _digest(self.chunks())


def as_body(source: Source) -> Body:
    """Return a body that can be sent again, whatever the source is.

    Args:
        source: Bytes; a path (also as text); a binary file; or an iterable of chunks. What cannot
            rewind is spooled: in memory up to 8 MiB, then in a temporary file.

    Raises:
        ConfigurationError: When the source is none of these, or its path is no file.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return BytesBody(bytes(source))
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            message = f"there is no file {os.fspath(source)!r}"
            raise ConfigurationError(message, hint="give the path of an existing file, or bytes")
        return PathBody(path)
    if hasattr(source, "read"):
        file = cast("IO[bytes]", source)
        if isinstance(file.read(0), str):
            message = "the file was opened as text"
            raise ConfigurationError(message, hint="open it with mode 'rb'")
        if hasattr(file, "seekable") and file.seekable():
            return FileBody(file)
        return _spool(iter(lambda: file.read(_CHUNK), b""))
    if isinstance(source, Iterable):
        return _spool(source)
    message = f"cannot store a {type(source).__name__}"
    raise ConfigurationError(
        message, hint="give bytes, a path, a binary file or an iterable of bytes"
    )


class _Spool(tempfile.SpooledTemporaryFile[bytes]):
    """A file that belongs to its body and is closed with it, for which nobody is to be warned."""

    def __del__(self) -> None:
        self.close()


def _spool(chunks: Iterable[bytes]) -> FileBody:
    """Write chunks into memory, or a temporary file when there are many, and read from there."""
    spool = _Spool(max_size=_SPOOL_LIMIT)
    for chunk in chunks:
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            message = f"cannot store an iterable of {type(chunk).__name__}"
            raise ConfigurationError(message, hint="its items are the bytes to store")
        spool.write(chunk)
    spool.seek(0)
    return FileBody(cast("IO[bytes]", spool))


def _read(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes.

    Raises:
        IntegrityError: When the file holds fewer by now.
    """
    left = size
    while left:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            message = f"the file became shorter while it was sent: {left} of {size} bytes are gone"
            raise IntegrityError(message, hint="store it again when nothing writes to it")
        left -= len(chunk)
        yield chunk


def _digest(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _told_with_path(path: Path) -> Iterator[None]:
    """Turn what the system refuses into an error that names the file."""
    try:
        yield
    except OSError as error:
        if isinstance(error, WebhookStorageError):
            raise
        reason = (error.strerror or type(error).__name__).lower()
        message = f"{path}: {reason}"
        raise LocalFileError(message, path=str(path), code=error.errno) from None


class MemorySink:
    """Keeps an answer's body in memory.

    Args:
        limit: Most bytes that are taken; None for no limit.
    """

    __slots__ = ("_chunks", "_left", "_limit", "blocks")

    def __init__(self, limit: int | None = None) -> None:
        """Start empty."""
        self.blocks = False
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        """Forget what was written."""
        self._chunks: list[bytes] = []
        self._left = self._limit

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            TooLargeError: When there are more than the limit.
        """
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                message = f"the answer is longer than {self._limit} bytes"
                raise TooLargeError(message, hint="raise max_bytes, or download to a file")
        self._chunks.append(chunk)

    def getvalue(self) -> bytes:
        """Return all bytes."""
        return b"".join(self._chunks)


class FileSink:
    """Writes an answer's body beside its target, and puts it in place only when all is well.

    Args:
        path: The target, a regular file or nothing yet; a link stays one. It is untouched until
            `commit`.
    """

    __slots__ = ("_file", "_path", "_temporary", "blocks")

    def __init__(self, path: Path) -> None:
        """Create nothing yet."""
        self.blocks = True
        self._path = Path(os.path.realpath(path))
        self._file: IO[bytes] | None = None
        self._temporary: Path | None = None

    def reset(self) -> None:
        """Forget what was written.

        Raises:
            LocalFileError: When the target is no regular file, or its directory cannot be written.
        """
        with _told_with_path(self._path):
            self._start()

    def _start(self) -> None:
        if self._file is None:
            if self._path.exists() and not self._path.is_file():
                message = f"{self._path} is no regular file, so it is not replaced"
                hint = "give the path of a file"
                raise LocalFileError(message, path=str(self._path), hint=hint)
            name = f".{self._path.name[:_SHOWN_NAME]}.{secrets.token_hex(8)}.part"
            # Kept before the file is there, so that it is removed whenever an interruption comes.
            self._temporary = self._path.with_name(name)
            self._file = self._temporary.open("xb")
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._file is None:
            self.reset()
        with _told_with_path(self._path):
            cast("IO[bytes]", self._file).write(chunk)

    def commit(self) -> None:
        """Flush to disk and rename onto the target."""
        if self._file is None:
            self.reset()
        file = cast("IO[bytes]", self._file)
        with _told_with_path(self._path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            cast("Path", self._temporary).replace(self._path)
        self._file = self._temporary = None

    def discard(self) -> None:
        """Remove what was written; the target stays as it was."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None
