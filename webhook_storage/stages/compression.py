"""Compression in the formats that other tools read: gzip (RFC 1952) and zstd (RFC 8878).

An artifact is one member of gzip or one frame of zstd, and nothing else stands before or after it.
What comes out at once is bounded, so that little input cannot fill the memory.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast, get_args

from webhook_storage.errors import (
    ConfigurationError,
    IntegrityError,
    MissingExtraError,
    TooLargeError,
)
from webhook_storage.stages.stream import PIECE, exactly

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from webhook_storage.contracts import Body
    from webhook_storage.stages.stream import Step

Compression: TypeAlias = Literal["gzip", "zstd"]
"""How an artifact can be compressed."""

WINDOW_LIMIT = 8 * 1024 * 1024
"""Most bytes that a zstd frame may look back, as RFC 8878, section 3.1.1.1.2, recommends."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_GZIP_BITS = 16 + zlib.MAX_WBITS
"""How zlib is told to read and write the format of gzip."""

_RLE = 1
"""Type of a zstd block that holds one byte and says how often it is repeated."""


class _Packer(Protocol):
    """What zlib and zstandard have in common."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def check(compression: str | None) -> None:
    """Refuse a compression that is unknown, or whose library is missing.

    Raises:
        ConfigurationError: There is no such compression.
        MissingExtraError: It needs a package that is not installed.
    """
    known = get_args(Compression)
    if compression is not None and compression not in known:
        message = f"there is no compression {compression!r}"
        raise ConfigurationError(message, hint=f"give one of {', '.join(known)}, or None")
    if compression == "zstd":
        _zstandard()


def compress(body: Body, compression: Compression) -> Iterator[bytes]:
    """Yield the compressed bytes of a body; the same bytes each time.

    Raises:
        IntegrityError: When the body has more or fewer bytes than it announces.
    """
    packer = _packer(compression, body.size)
    for piece in exactly(body):
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()


def decompressor(compression: Compression, then: Step) -> Step:
    """Return the step that decompresses and gives the result to another step."""
    return _Gunzip(then) if compression == "gzip" else _Unzstd(then)


def _packer(compression: Compression, size: int) -> _Packer:
    if compression == "gzip":
        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_BITS)  # no name, time 0
    packer = _zstandard().ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    return cast("_Packer", packer.compressobj(size=size))


def _zstandard() -> Any:
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ImportError:
        pass
    else:
        return zstandard
    raise MissingExtraError("zstd needs the package zstandard", extra="zstd")


class _Gunzip:
    """Decompresses one member of gzip."""

    __slots__ = ("_inflater", "_start", "_then")

    def __init__(self, then: Step) -> None:
        self._then = then
        self._start = _Start("gzip", _GZIP_MAGIC)
        self._inflater = zlib.decompressobj(_GZIP_BITS)

    def take(self, piece: bytes) -> None:
        """Decompress, at most `PIECE` bytes at a time."""
        left = self._start.take(piece)
        full = False
        while left or full:
            if self._inflater.eof:
                raise _broken("gzip", "something follows its end")
            made = self._inflate(left)
            full = len(made) == PIECE and not self._inflater.eof
            left = self._inflater.unconsumed_tail or self._inflater.unused_data
            self._then.take(made)

    def end(self) -> None:
        """Look whether the member is whole."""
        if not self._inflater.eof:
            raise self._start.missing()
        self._then.end()

    def _inflate(self, data: bytes) -> bytes:
        try:
            return self._inflater.decompress(data, PIECE)
        except zlib.error:
            pass
        raise _broken("gzip", "it was altered")


class _Unzstd:
    """Decompresses one frame of zstd, one block at a time."""

    __slots__ = ("_cuts", "_piece", "_start", "_then", "_unpacker", "_wanted")

    def __init__(self, then: Step) -> None:
        self._then = then
        self._start = _Start("zstd", _ZSTD_MAGIC)
        opener = _zstandard().ZstdDecompressor(max_window_size=WINDOW_LIMIT)
        self._unpacker = opener.decompressobj()
        self._cuts = _cuts()
        self._wanted = next(self._cuts)
        self._piece = bytearray()

    def take(self, piece: bytes) -> None:
        """Decompress each block when it is whole."""
        left = memoryview(self._start.take(piece))
        while left:
            if not self._wanted:
                raise _broken("zstd", "something follows its end")
            count = self._wanted - len(self._piece)
            self._piece += left[:count]
            left = left[count:]
            if len(self._piece) == self._wanted:
                self._turn()

    def end(self) -> None:
        """Look whether the frame is whole."""
        if not self._unpacker.eof:
            raise self._start.missing()
        self._then.end()

    def _turn(self) -> None:
        """Decompress the piece that is whole, and see how long the next one is."""
        piece = bytes(self._piece)
        self._piece.clear()
        self._wanted = self._cuts.send(piece)  # first, since it refuses with a reason
        self._then.take(self._unpack(piece))

    def _unpack(self, piece: bytes) -> bytes:
        try:
            return cast("bytes", self._unpacker.decompress(piece))
        except _zstandard().ZstdError:
            pass
        raise _broken("zstd", "it was altered")


def _cuts() -> Generator[int, bytes, None]:
    """Yield how long each next piece of a zstd frame is, 0 after its end; be sent each piece.

    The library has no bound for what it returns at once. So it is given one block at a time, which
    makes at most 128 KiB, and refuses a longer one at its head. Layout: RFC 8878, section 3.1.1.
    """
    start = yield len(_ZSTD_MAGIC) + 1
    flags = start[-1]
    single = flags >> 5 & 1
    sizes = (1 - single, (0, 1, 2, 4)[flags & 3], (single, 2, 4, 8)[flags >> 6])
    start += yield sum(sizes)  # at least 1: without a window the size is there
    _check_window(start)
    last = 0
    while not last:
        head = int.from_bytes((yield 3), "little")
        last, kind, size = head & 1, head >> 1 & 3, head >> 3
        length = 1 if kind == _RLE else size
        if length:
            yield length
    if flags >> 2 & 1:
        yield 4
    yield 0


def _check_window(header: bytes) -> None:
    zstandard = _zstandard()
    try:
        size = zstandard.get_frame_parameters(header).window_size
    except zstandard.ZstdError:
        return  # the decompression refuses it in a moment
    if size > WINDOW_LIMIT:
        message = f"a zstd window of {size} bytes is larger than {WINDOW_LIMIT}"
        raise TooLargeError(message, hint="compress it again, without --long and --ultra")


class _Start:
    """Looks at the first bytes, which tell whether it was compressed at all."""

    __slots__ = ("_kind", "_magic", "_seen")

    def __init__(self, kind: Compression, magic: bytes) -> None:
        self._kind = kind
        self._magic = magic
        self._seen = b""

    def take(self, piece: bytes) -> bytes:
        """Return the piece; the first bytes agree as far as they came.

        Raises:
            IntegrityError: When they do not.
        """
        if len(self._seen) < len(self._magic):
            self._seen += piece[: len(self._magic) - len(self._seen)]
            if not self._magic.startswith(self._seen):
                raise self._foreign()
        return piece

    def missing(self) -> IntegrityError:
        """Return the error for an end that came too early."""
        return _broken(self._kind, "it was cut") if self._seen else self._foreign()

    def _foreign(self) -> IntegrityError:
        message = f"the artifact does not begin as {self._kind} does"
        hint = "it was stored before compression was on, or replaced; fetch it without compression"
        return IntegrityError(message, hint=hint)


def _broken(kind: Compression, why: str) -> IntegrityError:
    return IntegrityError(f"the artifact is no whole {kind}: {why}", hint="store it again")
