"""Bytes on their way out and in: bodies that can be sent again, sinks that can start anew."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
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

Stamp: TypeAlias = tuple[float, ...]
"""What a body says of its source: it is another one when the source has changed."""

_CHUNK = 256 * 1024
_MOMENT = 2.0
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
        """Yield all bytes."""
        yield from self.span(0, len(self._data))

    def span(self, start: int, size: int) -> Iterator[bytes]:
        """Yield a part of the bytes, see `span`."""
        end = min(start + size, len(self._data))
        for position in range(start, end, _CHUNK):
            yield self._data[position : min(position + _CHUNK, end)]

    def sha256(self) -> str:
        """Return the digest in lower-case hex."""
        return hashlib.sha256(self._data).hexdigest()

    def stamp(self) -> Stamp:
        """Return what is the same as long as the bytes are, see `stamp_of`."""
        return ()


class FileBody:
    """A seekable binary file, from where it stood to its end.

    Its parts can be read at the same time, by several threads.

    Args:
        file: The file; it is not closed.
    """

    __slots__ = ("_file", "_reading", "_size", "_start")

    def __init__(self, file: IO[bytes]) -> None:
        """Remember where the file stands and how much follows."""
        self._file = file
        self._reading = threading.Lock()
        self._start = file.tell()
        self._size = file.seek(0, os.SEEK_END) - self._start
        file.seek(self._start)

    @property
    def size(self) -> int:
        """Return the number of bytes at the time of creation."""
        return self._size

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes from the start; never more than the announced size."""
        yield from self.span(0, self._size)

    def span(self, start: int, size: int) -> Iterator[bytes]:
        """Yield a part of the bytes, see `span`."""
        position = self._start + start

        def read(count: int) -> bytes:
            nonlocal position
            with self._reading:
                self._file.seek(position)
                chunk = self._file.read(count)
            position += len(chunk)
            return chunk

        yield from _read(read, size)

    def sha256(self) -> str:
        """Return the digest in lower-case hex; reads the file."""
        return _digest(self.chunks())


class PathBody:
    """A file that is opened anew for each sending.

    Args:
        path: Path of a regular file.
    """

    __slots__ = ("_found", "_path", "_size")

    def __init__(self, path: Path) -> None:
        """Look at the file's size."""
        self._path = path
        self._found = path.stat()
        self._size = self._found.st_size

    @property
    def size(self) -> int:
        """Return the number of bytes at the time of creation."""
        return self._size

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes from the start; never more than the announced size."""
        yield from self.span(0, self._size)

    def span(self, start: int, size: int) -> Iterator[bytes]:
        """Yield a part of the bytes, see `span`."""
        with told_with_path(self._path), self._path.open("rb") as file:
            if not os.path.samestat(os.fstat(file.fileno()), self._found):
                # As many bytes of another file as were announced would be neither of the two.
                message = "the source was replaced by another file while it was stored"
                raise IntegrityError(message, hint="store it again when nothing writes to it")
            file.seek(start)
            yield from _read(file.read, size)

    def sha256(self) -> str:
        """Return the digest in lower-case hex; reads the file."""
        return _digest(self.chunks())

    def stamp(self) -> Stamp:
        """Return what is the same as long as the file is, see `stamp_of`."""
        with told_with_path(self._path):
            found = self._path.stat()
        return found.st_mtime, found.st_size, found.st_dev, found.st_ino


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

    def span(self, start: int, size: int) -> Iterator[bytes]:
        """Yield a part of the bytes, see `span`; of parts it takes no digest."""
        yield from span(self._body, start, size)

    def sha256(self) -> str:
        """Return the digest in lower-case hex; reads the body when it was not sent yet."""
        self._digest = self._digest or self._body.sha256()
        return self._digest

    def stamp(self) -> Stamp | None:
        """Return what is the same as long as the body is, see `stamp_of`."""
        return stamp_of(self._body)


class CheckedBody:
    """A body that looks before each piece whether it may go on.

    Args:
        body: What is sent.
        check: Raises when it may not.
    """

    __slots__ = ("_body", "_check")

    def __init__(self, body: Body, check: Callable[[], None]) -> None:
        """Look at nothing yet."""
        self._body = body
        self._check = check

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return self._body.size

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes from the start, as long as they may go on."""
        for chunk in self._body.chunks():
            self._check()
            yield chunk

    def sha256(self) -> str:
        """Return the digest in lower-case hex."""
        return self._body.sha256()


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


def span(body: Body, start: int, size: int) -> Iterator[bytes]:
    """Yield a part of a body, in small pieces.

    A body that has a method of that name gives it at once, and several at the same time. Of any
    other all that stands before is read too.

    Args:
        body: The body.
        start: Offset of the part's first byte.
        size: Number of its bytes.

    Raises:
        IntegrityError: When there are fewer by now.

    Example:
        >>> b"".join(span(BytesBody(b"31 rows"), 3, 4))
        b'rows'
    """
    own = getattr(body, "span", None)
    if own is not None:
        yield from own(start, size)
    else:
        yield from cut(body.chunks(), start, size)


def stamp_of(body: Body) -> Stamp | None:
    """Return what a body says of its source, None when it cannot tell whether that changed.

    Of two equal ones the source was the same in between, as far as its system keeps time: what
    changes twice within that moment may not be seen, see `steady_stamp`.
    """
    own = getattr(body, "stamp", None)
    return None if own is None else own()


def steady_stamp(body: Body) -> Stamp | None:
    """Return the stamp of a body whose source did not change just now, else None.

    A further change of the same moment would not be seen by it. File systems keep times by two
    seconds (FAT) or less.
    """
    stamp = stamp_of(body)
    if not stamp:
        return stamp
    return stamp if stamp[0] < time.time() - _MOMENT else None


def cut(chunks: Iterable[bytes], start: int, size: int) -> Iterator[bytes]:
    """Yield so many of these bytes from an offset on, and take no more chunks than it needs.

    Raises:
        IntegrityError: When there are fewer.
    """
    skipped, left = start, size
    for chunk in chunks:
        piece = chunk[skipped : skipped + left]
        skipped -= min(skipped, len(chunk))
        left -= len(piece)
        if piece:
            yield piece
        if not left:
            return
    if left:
        raise _became_shorter(left, size)


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
        with told_with_path(Path(tempfile.gettempdir())):
            spool.write(chunk)
    with told_with_path(Path(tempfile.gettempdir())):
        spool.seek(0)
    return FileBody(cast("IO[bytes]", spool))


def _read(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes.

    Raises:
        IntegrityError: When the file holds fewer by now.
    """
    left = size
    while left:
        chunk = read(min(_CHUNK, left))
        if not chunk:
            raise _became_shorter(left, size)
        left -= len(chunk)
        yield chunk


def _became_shorter(left: int, size: int) -> IntegrityError:
    message = f"the file became shorter while it was sent: {left} of {size} bytes are gone"
    return IntegrityError(message, hint="store it again when nothing writes to it")


def keep_name(directory: Path) -> None:
    """Write a directory to disk, so that a renamed file keeps its name when the power fails."""
    if os.name == "nt":
        return  # directories cannot be opened there
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def told_with_path(path: Path) -> Iterator[None]:
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


class NullSink:
    """Keeps nothing: of an answer only the digest is of interest."""

    __slots__ = ()

    blocks = False

    def reset(self) -> None:
        """Do nothing."""

    def write(self, chunk: bytes) -> None:
        """Do nothing."""


class FileSink:
    """Writes an answer's body beside its target, and puts it in place only when all is well.

    Args:
        path: The target, a regular file or nothing yet; a link stays one. It is untouched until
            `commit`.

    Attributes:
        size: Number of bytes that were written.
    """

    __slots__ = ("_file", "_path", "_temporary", "blocks", "size")

    def __init__(self, path: Path) -> None:
        """Create nothing yet."""
        self.blocks = True
        self.size = 0
        self._path = Path(os.path.realpath(path))
        self._file: IO[bytes] | None = None
        self._temporary: Path | None = None

    def reset(self) -> None:
        """Forget what was written.

        Raises:
            LocalFileError: When the target is no regular file, or its directory cannot be written.
        """
        with told_with_path(self._path):
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
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._file is None:
            self.reset()
        with told_with_path(self._path):
            cast("IO[bytes]", self._file).write(chunk)
        self.size += len(chunk)

    def commit(self) -> None:
        """Flush to disk and rename onto the target."""
        if self._file is None:
            self.reset()
        file = cast("IO[bytes]", self._file)
        with told_with_path(self._path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            cast("Path", self._temporary).replace(self._path)
            keep_name(self._path.parent)
        self._file = self._temporary = None

    def discard(self) -> None:
        """Remove what was written; the target stays as it was."""
        file, self._file = self._file, None
        temporary, self._temporary = self._temporary, None
        # A full disk refuses what is still buffered, a read-only one to look for the file.
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
