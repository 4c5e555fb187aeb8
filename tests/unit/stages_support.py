"""What the tests of the stages share: keys, bodies, sinks, and ways to go through them."""

from __future__ import annotations

import base64
import hashlib
import itertools
from typing import TYPE_CHECKING, Any

from webhook_storage.artifact import BytesBody, MemorySink
from webhook_storage.secret import Keys, SecretValue
from webhook_storage.stages import DecodingSink, decode, encode
from webhook_storage.stages.header import SEGMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from webhook_storage.contracts import Body, Sink
    from webhook_storage.stages import Compression

MASTER = bytes(range(32))
KEY = SecretValue(base64.b64encode(MASTER).decode())
OTHER_KEY = SecretValue(base64.b64encode(bytes(range(1, 33))).decode())
KEYS = {"2026": KEY}
NAME = "reports/größe"
HEADER = 75 + len("2026")
"""Bytes before the first segment when the key is `KEYS`."""

SEALED = SEGMENT + 16


class ChunkedBody:
    """A body that comes in given chunks, and says a size of which the chunks may know nothing."""

    def __init__(self, chunks: Iterable[bytes], size: int | None = None) -> None:
        self.parts = list(chunks)
        self._size = size

    @property
    def size(self) -> int:
        return sum(map(len, self.parts)) if self._size is None else self._size

    def chunks(self) -> Iterator[bytes]:
        yield from self.parts

    def sha256(self) -> str:
        return hashlib.sha256(b"".join(self.parts)).hexdigest()


class RepeatedBody:
    """A body that is one chunk many times, and so takes no memory."""

    def __init__(self, chunk: bytes, count: int) -> None:
        self._chunk, self._count = chunk, count

    @property
    def size(self) -> int:
        return len(self._chunk) * self._count

    def chunks(self) -> Iterator[bytes]:
        return itertools.repeat(self._chunk, self._count)

    def sha256(self) -> str:
        return ""


class CountingSink:
    """A sink that keeps nothing but the number of bytes."""

    blocks = False
    size = 0

    def reset(self) -> None:
        self.size = 0

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)


def content(size: int) -> bytes:
    """Return that many bytes, in which no segment is like another."""
    return hashlib.shake_128(b"content").digest(size)


def encoded(
    data: bytes | Body,
    compression: Compression | None = None,
    keys: Keys = KEYS,
    name: str = NAME,
) -> bytes:
    """Return what is stored for the bytes."""
    body = BytesBody(data) if isinstance(data, bytes) else data
    return b"".join(encode(body, compression=compression, keys=keys, name=name).chunks())


def decoded(data: bytes, compression: Compression | None = None, **options: Any) -> bytes:
    """Return the artifact in stored bytes; encrypted unless a compression is named."""
    given = {"encrypted": compression is None, "keys": KEYS, "name": NAME, **options}
    return decode(data, compression=compression, **given)


def decoding(sink: Sink, compression: Compression | None = None, **options: Any) -> DecodingSink:
    """Return a sink that decodes; encrypted unless a compression is named."""
    given = {"encrypted": compression is None, "keys": KEYS, "name": NAME, **options}
    return DecodingSink(sink, compression=compression, **given)


def segments(stored: bytes) -> list[bytes]:
    """Return the header of an artifact encrypted with `KEYS`, and then its segments."""
    starts = range(HEADER, len(stored), SEALED)
    return [stored[:HEADER], *(stored[start : start + SEALED] for start in starts)]


def outcome(
    stored: bytes, compression: Compression | None = None, **options: Any
) -> tuple[bytes, Exception | None]:
    """Return what was handed on of stored bytes, and the error that ended it, if one did."""
    inner = MemorySink()
    sink = decoding(inner, compression, **options)
    error = failure(lambda: _pour(sink, stored))
    return inner.getvalue(), error


def _pour(sink: DecodingSink, stored: bytes) -> None:
    sink.write(stored)
    sink.finish()


def failure(action: Callable[[], object]) -> Exception | None:
    """Return the error that an action raises, None when it raises none."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error
    return None
