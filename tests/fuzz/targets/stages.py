"""Compressed and encrypted artifacts as they may come back: cut, altered, or made to swell."""

from __future__ import annotations

import gzip
import hashlib

from tests.fuzz.kit import refusals
from webhook_storage.artifact import BytesBody, MemorySink
from webhook_storage.secret import SecretValue
from webhook_storage.stages import DecodingSink, decode, encode, read_header

LIMIT = 256 * 1024
"""Most decoded bytes; they are not explained by the input, and a limit is always given."""

_KEYS = {"2026": SecretValue("00" * 32), "é": SecretValue("11" * 32)}
_CONTENT = b"content of the artifact " * 8
_NAME = "report"


def _stored(compression: str | None, content: bytes, *, encrypted: bool) -> bytes:
    body = encode(
        BytesBody(content),
        compression=compression,  # type: ignore[arg-type]  # it is one of the two
        keys=_KEYS if encrypted else {},
        name=_NAME,
    )
    return b"".join(body.chunks())


SEEDS = (
    _stored(None, _CONTENT, encrypted=True),
    _stored("gzip", _CONTENT, encrypted=True),
    _stored("zstd", b"", encrypted=True),
    _stored("gzip", _CONTENT, encrypted=False),
    _stored("zstd", _CONTENT, encrypted=False),
    _stored("zstd", hashlib.shake_128(b"what cannot be compressed").digest(300), encrypted=False),
    gzip.compress(bytes(10_000_000)),
    _stored("zstd", bytes(10_000_000), encrypted=False),
    _stored("gzip", bytes(10_000_000), encrypted=True),
)
WORDS = (
    b"\x89WHENC\n\x01", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x00\x10\x04", b"\x01\x10\x04",
    b"\xff\xff\xff\xff", b"\xff\xff\xff", b"\x02\x00", b"\x03\x00\xf0", b"\x00", b"2026",
)  # fmt: skip


def target(data: bytes) -> None:
    """Decode in each of the ways, in one piece and in many: the same comes out, or an error."""
    with refusals():
        header = read_header(data[:298])
        assert header is None or data.startswith(header.pack())
    for encrypted, compression in ((True, None), (False, "gzip"), (False, "zstd")):
        found: list[bytes | None] = [None, None]
        with refusals():
            found[0] = decode(
                data,
                encrypted=encrypted,
                compression=compression,  # type: ignore[arg-type]  # it is one of the two
                keys=_KEYS,
                name=_NAME,
                limit=LIMIT,
            )
        with refusals():
            found[1] = _in_pieces(data, compression, encrypted=encrypted)
        assert found[0] == found[1]
        assert found[0] is None or len(found[0]) <= LIMIT


def _in_pieces(data: bytes, compression: str | None, *, encrypted: bool) -> bytes:
    kept = MemorySink()
    sink = DecodingSink(
        kept,
        encrypted=encrypted,
        compression=compression,  # type: ignore[arg-type]  # it is one of the two
        keys=_KEYS,
        name=_NAME,
        limit=LIMIT,
    )
    size = 1 + hashlib.sha256(data).digest()[0]
    for begin in range(0, len(data), size):
        sink.write(data[begin : begin + size])
    sink.finish()
    return kept.getvalue()
