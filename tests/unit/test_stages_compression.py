from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any, cast

import pytest
import zstandard

from tests.unit.stages_support import (
    KEYS,
    NAME,
    ChunkedBody,
    CountingSink,
    RepeatedBody,
    content,
    decoded,
    decoding,
    encoded,
    failure,
    outcome,
)
from webhook_storage.artifact import BytesBody, FileBody
from webhook_storage.errors import (
    ConfigurationError,
    IntegrityError,
    LocalFileError,
    MissingExtraError,
    TooLargeError,
)
from webhook_storage.stages import encode
from webhook_storage.stages.stream import PIECE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from webhook_storage.secret import Keys
    from webhook_storage.stages import Compression

ROWS = b"".join(b"row %d, and what it says\n" % number for number in range(20_000))
MIB = 1024 * 1024

both = pytest.mark.parametrize("compression", ["gzip", "zstd"])
DATA = {
    "empty": b"",
    "one byte": b"x",
    "text": ROWS,
    "noise": content(300_000),
    "zeros": bytes(5 * MIB),
    "one piece": bytes(PIECE),
    "two pieces": content(2 * PIECE),
    "noise and zeros": content(200_000) + bytes(3 * MIB) + content(7),
}
data = pytest.mark.parametrize("data", DATA.values(), ids=DATA)


def named_gzip(raw: bytes) -> bytes:
    """Compress with a file name, a time and a checksum in the header."""
    file = io.BytesIO()
    with gzip.GzipFile("rows.csv", "wb", fileobj=file, mtime=1_700_000_000) as writer:
        writer.write(raw)
    return file.getvalue()


def zstd(raw: bytes, **parameters: int) -> bytes:
    """Compress in one go, with the size in the header."""
    given = zstandard.ZstdCompressionParameters(**parameters)
    return zstandard.ZstdCompressor(compression_params=given).compress(raw)


def streamed_zstd(raw: bytes, **parameters: int) -> bytes:
    """Compress as a stream, whose header has no size."""
    given = zstandard.ZstdCompressionParameters(**parameters)
    packer = zstandard.ZstdCompressor(compression_params=given).compressobj()
    return packer.compress(raw) + packer.flush()


def flushed_zstd(raw: bytes) -> bytes:
    """Compress in many short blocks."""
    packer = zstandard.ZstdCompressor().compressobj()
    parts = [raw[start : start + 999] for start in range(0, len(raw), 999)][:200]
    flushed = (
        packer.compress(part) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for part in parts
    )
    return b"".join(flushed) + packer.compress(raw[200 * 999 :]) + packer.flush()


OTHER_TOOLS: dict[str, tuple[Compression, Callable[[bytes], bytes]]] = {
    "gzip, fast": ("gzip", lambda raw: gzip.compress(raw, 1)),
    "gzip, stored": ("gzip", lambda raw: gzip.compress(raw, 0)),
    "gzip, named": ("gzip", named_gzip),
    "zstd": ("zstd", zstd),
    "zstd, best": ("zstd", lambda raw: zstd(raw, compression_level=19, write_checksum=1)),
    "zstd, fastest": ("zstd", lambda raw: zstd(raw, compression_level=-5)),
    "zstd, small window": ("zstd", lambda raw: zstd(raw, window_log=10)),
    "zstd, stream": ("zstd", lambda raw: streamed_zstd(raw, write_checksum=1)),
    "zstd, largest window": ("zstd", lambda raw: streamed_zstd(raw, window_log=23)),
    "zstd, short blocks": ("zstd", flushed_zstd),
}


def program(compression: Compression, *arguments: str) -> list[str]:
    """Return the command of the other tool, which every developer's machine has for gzip."""
    path = shutil.which(compression)
    if path is None:
        pytest.skip(f"{compression} is not installed")
    return [path, *arguments]


# --- formats -------------------------------------------------------------------------------------


@data
@both
def test_what_is_stored_comes_back(data: bytes, compression: Compression) -> None:
    """Compressed, with and without encryption, any bytes come back as they were."""
    assert decoded(encoded(data, compression, keys={}), compression) == data
    assert decoded(encoded(data, compression)) == data


@data
def test_other_libraries_read_it(data: bytes) -> None:
    """What is stored is plain gzip and plain zstd."""
    assert gzip.decompress(encoded(data, "gzip", keys={})) == data
    opener = zstandard.ZstdDecompressor()
    assert opener.decompress(encoded(data, "zstd", keys={})) == data


@both
def test_other_programs_read_it(compression: Compression) -> None:
    """The command of the same name takes it."""
    command = program(compression, "-dc")
    stored = encoded(ROWS, compression, keys={})
    done = subprocess.run(command, input=stored, capture_output=True, check=True, timeout=30)
    assert done.stdout == ROWS


@data
@pytest.mark.parametrize(("compression", "pack"), OTHER_TOOLS.values(), ids=OTHER_TOOLS)
def test_what_others_compressed_is_read(
    data: bytes, compression: Compression, pack: Callable[[bytes], bytes]
) -> None:
    """What another tool compressed is read, however it is cut into chunks."""
    stored = pack(data)
    assert decoded(stored, compression) == data
    if len(stored) < MIB:
        inner = CountingSink()
        sink = decoding(inner, compression)
        for start in range(0, len(stored), 7):
            sink.write(stored[start : start + 7])
        sink.finish()
        assert len(data) == inner.size


@data
@both
def test_compression_is_the_same_each_time(data: bytes, compression: Compression) -> None:
    """Neither the time nor how the source is cut into chunks stands in what is stored."""
    chunks = [data[start : start + 100_001] for start in range(0, len(data), 100_001)]
    once = encoded(data, compression, keys={})
    assert encoded(data, compression, keys={}) == once
    assert encoded(ChunkedBody(chunks), compression, keys={}) == once
    if compression == "gzip":
        assert once[:9] == b"\x1f\x8b\x08\0\0\0\0\0\0"


@pytest.mark.parametrize("keys", [{}, KEYS], ids=["plain", "encrypted"])
@both
def test_a_compressed_body_can_be_sent_again(compression: Compression, keys: Keys) -> None:
    """Size and digest are those of what is sent, which is the same each time."""
    body = encode(BytesBody(ROWS), compression=compression, keys=keys, name=NAME)
    first = b"".join(body.chunks())
    assert body.size == len(first)
    assert body.sha256() == BytesBody(first).sha256()
    assert b"".join(body.chunks()) == first
    assert body.size < len(ROWS) / 4


def test_nothing_asked_nothing_done() -> None:
    """Without compression and keys the body is the very same, and a sink hands on what comes."""
    body = BytesBody(ROWS)
    assert encode(body, compression=None, keys={}, name=NAME) is body
    assert decoded(ROWS, encrypted=False) == ROWS


@pytest.mark.parametrize("more", [0, 1, 100, 258])
def test_all_of_gzip_that_came_is_handed_on(more: int) -> None:
    """What zlib keeps back, since no more was asked for, is fetched from it at once."""
    inner = CountingSink()
    decoding(inner, "gzip").write(gzip.compress(bytes(PIECE + more))[:-8])
    assert PIECE + more == inner.size


@both
def test_nothing_is_decompressed_unasked(compression: Compression) -> None:
    """What looks compressed is handed on as it is when the storage does not compress."""
    stored = encoded(ROWS, compression, keys={})
    assert decoded(stored, encrypted=False) == stored
    assert decoded(encoded(stored)) == stored


@pytest.mark.parametrize("setting", [None, "gzip", "zstd"])
def test_an_encrypted_artifact_says_how_it_was_compressed(setting: Compression | None) -> None:
    """The verified header decides, so the setting can change and what is stored stays readable."""
    for stored in (encoded(ROWS), encoded(ROWS, "gzip"), encoded(ROWS, "zstd")):
        assert decoded(stored, setting, encrypted=True) == ROWS


def test_an_unknown_compression() -> None:
    """A compression that there is not is refused by name, on both ways."""
    odd: Compression = "brotli"  # type: ignore[assignment]
    for action in (lambda: encoded(b"", odd), lambda: decoding(CountingSink(), odd)):
        with pytest.raises(ConfigurationError, match=r"^there is no compression 'brotli'$") as of:
            action()
        assert of.value.hint == "give one of gzip, zstd, or None"


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra there is no zstd, and the error names it; gzip needs nothing."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for action in (lambda: encoded(b"", "zstd"), lambda: decoding(CountingSink(), "zstd")):
        with pytest.raises(MissingExtraError) as caught:
            action()
        assert caught.value.hint == "pip install 'webhook-storage[zstd]'"
    assert decoded(encoded(b"31 rows", "gzip", keys={}), "gzip") == b"31 rows"


# --- what is refused -----------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "stored", [b"31 rows", b"", b"\x1e", b"\x29\xb5\x2f\xfd", b"\x89WHENC\n\x01"]
)
def test_what_is_not_compressed(compression: Compression, stored: bytes) -> None:
    """What does not begin as it must is refused, since nothing tells what it is."""
    got, error = outcome(stored, compression)
    assert isinstance(error, IntegrityError)
    assert str(error) == f"the artifact does not begin as {compression} does"
    assert "before compression was on" in (error.hint or "")
    assert got == b""


@pytest.mark.parametrize(("asked", "stored"), [("gzip", "zstd"), ("zstd", "gzip")])
def test_the_other_compression(asked: Compression, stored: Compression) -> None:
    """One compression is not taken for the other."""
    with pytest.raises(IntegrityError, match=f"does not begin as {asked}"):
        decoded(encoded(ROWS, stored, keys={}), asked)


@pytest.mark.parametrize(("compression", "pack"), OTHER_TOOLS.values(), ids=OTHER_TOOLS)
def test_any_cut(compression: Compression, pack: Callable[[bytes], bytes]) -> None:
    """Wherever it ends too early, that is an error."""
    stored = pack(b"31 rows, 4 columns")
    for end in range(1, len(stored)):
        assert isinstance(outcome(stored[:end], compression)[1], IntegrityError)


@pytest.mark.parametrize("extra", [b"\0", b"more", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"])
@pytest.mark.parametrize("apart", [False, True])
@both
def test_bytes_after_the_end(compression: Compression, extra: bytes, *, apart: bool) -> None:
    """What follows the end, in the same chunk or in another, is refused and not left out."""
    stored = encoded(ROWS, compression, keys={})
    sink = decoding(CountingSink(), compression)
    sink.write(stored if apart else stored[:-1])
    with pytest.raises(IntegrityError, match=f"no whole {compression}: something follows its end"):
        sink.write(extra if apart else stored[-1:] + extra)


@both
def test_a_second_artifact_after_the_first(compression: Compression) -> None:
    """Two compressed artifacts one after the other are not one."""
    stored = encoded(ROWS, compression, keys={})
    with pytest.raises(IntegrityError, match="something follows"):
        decoded(stored * 2, compression)


@both
def test_any_flipped_bit_is_one_of_our_errors_or_harmless(compression: Compression) -> None:
    """Whatever is altered, it is refused, or what comes is what was stored: a flag nobody reads."""
    stored = encoded(b"31 rows, 4 columns, 31 rows", compression, keys={})
    for place in range(len(stored) * 8):
        altered = bytearray(stored)
        altered[place // 8] ^= 1 << place % 8
        got, error = outcome(bytes(altered), compression)
        refused = isinstance(error, IntegrityError | TooLargeError)
        assert refused or (error is None and got == b"31 rows, 4 columns, 31 rows")


def start_of_frame() -> bytes:
    """Return the head of a zstd frame with a window of 2 MiB, and neither size nor checksum."""
    return bytes.fromhex("28b52ffd 0058")


def long_block(kind: int) -> bytes:
    """Return the head of a last block of one byte more than there may be."""
    return ((128 * 1024 + 1) << 3 | kind << 1 | 1).to_bytes(3, "little")


ODD_FRAMES = {
    "reserved block": bytes.fromhex("28b52ffd 2000 070000"),
    "long block": start_of_frame() + long_block(0) + bytes(200_000),
    "long repeated block": start_of_frame() + long_block(1) + b"x",
    "longest repeated block": start_of_frame() + b"\xfb\xff\xff" + b"x",
    "reserved flag": bytes.fromhex("28b52ffd 2800 010000"),
    "dictionary": zstandard.ZstdCompressor(
        dict_data=zstandard.ZstdCompressionDict(
            ROWS[:2000], dict_type=zstandard.DICT_TYPE_RAWCONTENT
        )
    ).compress(ROWS[:2000]),
}


@pytest.mark.parametrize("stored", ODD_FRAMES.values(), ids=ODD_FRAMES)
def test_odd_frames(stored: bytes) -> None:
    """A frame that zstd does not allow, or that needs a dictionary, is refused."""
    got, error = outcome(stored, "zstd")
    assert isinstance(error, IntegrityError)
    assert str(error) == "the artifact is no whole zstd: it was altered"
    assert got == b""


@pytest.mark.parametrize(
    "stored",
    [
        streamed_zstd(b"31 rows", window_log=24),
        bytes.fromhex("28b52ffd e0") + (2**40).to_bytes(8, "little"),
    ],
)
def test_a_large_window(stored: bytes) -> None:
    """A frame whose window would take much memory is refused before any is taken."""
    with pytest.raises(TooLargeError, match=r"^a zstd window of \d+ bytes is larger than 8388608$"):
        decoded(stored, "zstd")


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_the_limit_counts_decoded_bytes(
    compression: Compression | None, *, encrypted: bool
) -> None:
    """As many bytes as the limit come back, one more is refused."""
    stored = encoded(ROWS, compression, keys=KEYS if encrypted else {})
    options = {"encrypted": encrypted, "limit": len(ROWS)}
    assert decoded(stored, compression, **options) == ROWS
    options["limit"] = len(ROWS) - 1
    got, error = outcome(stored, compression, **options)
    assert isinstance(error, TooLargeError)
    assert str(error) == f"the artifact is longer than {len(ROWS) - 1} bytes when it is decoded"
    assert ROWS[:-1].startswith(got)


def repeated_blocks(count: int) -> bytes:
    """Return a zstd frame of blocks that repeat one byte 131,072 times."""
    block = (128 * 1024) << 3 | 2
    last = bytes.fromhex("010000")
    return start_of_frame() + (block.to_bytes(3, "little") + b"x") * count + last


def gzip_bomb() -> bytes:
    """Return 64 KiB of gzip that are 64 MiB of zeros."""
    return encoded(RepeatedBody(bytes(MIB), 64), "gzip", keys={})


def zstd_bomb() -> bytes:
    """Return 8 KiB of zstd that are 256 MiB of zeros."""
    return encoded(RepeatedBody(bytes(MIB), 256), "zstd", keys={})


def sealed_bomb() -> bytes:
    """Return the same with a valid encryption around it."""
    return encoded(RepeatedBody(bytes(MIB), 256), "zstd")


BOMBS: dict[str, tuple[Compression | None, Callable[[], bytes]]] = {
    "gzip": ("gzip", gzip_bomb),
    "zstd": ("zstd", zstd_bomb),
    "zstd, repeated blocks": ("zstd", lambda: repeated_blocks(8192)),
    "encrypted": (None, sealed_bomb),
}


@pytest.mark.parametrize(("compression", "make"), BOMBS.values(), ids=BOMBS)
def test_a_bomb(compression: Compression | None, make: Callable[[], bytes]) -> None:
    """Few bytes that would become very many end at the limit, and take no more memory than that."""
    stored = make()
    assert len(stored) < MIB
    tracemalloc.start()
    try:
        got, error = outcome(stored, compression, limit=MIB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(error, TooLargeError)
    assert len(got) <= MIB
    assert peak < 4 * MIB


def test_repeated_blocks_are_a_frame() -> None:
    """The bomb made by hand is one that zstd reads."""
    assert decoded(repeated_blocks(3), "zstd") == b"x" * 3 * 128 * 1024


# --- the temporary file --------------------------------------------------------------------------


def test_no_room_for_the_temporary_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A temporary file that cannot be written is told as a fault of this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(LocalFileError, match="no such file"):
        encoded(content(9 * MIB), "gzip")


def test_the_temporary_file_is_encrypted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is written to disk is what will be sent, which is encrypted."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    body = encode(BytesBody(content(9 * MIB)), compression="gzip", keys=KEYS, name=NAME)
    assert isinstance(body, FileBody)
    file = cast("Any", body._file)
    assert file._rolled
    file.seek(0)
    on_disk = file.read()
    assert on_disk == b"".join(body.chunks())
    assert decoded(on_disk) == content(9 * MIB)


class FailingBody(ChunkedBody):
    """A body that breaks off with an error of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__([b"some"], size=5)
        self._error = error

    def chunks(self) -> Iterator[bytes]:
        yield from super().chunks()
        raise self._error


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("kind", [RuntimeError, LocalFileError, zlib.error])
def test_errors_of_a_source_pass(kind: type[Exception], compression: Compression | None) -> None:
    """What a source raises of itself is what the caller gets."""
    error = kind("of the source")
    assert failure(lambda: encoded(FailingBody(error), compression)) is error
