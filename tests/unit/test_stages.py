from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import cloudpickle
import pytest

from tests.unit.stages_support import (
    HEADER,
    KEYS,
    NAME,
    SEALED,
    CountingSink,
    RepeatedBody,
    content,
    decoding,
    encoded,
    failure,
)
from webhook_storage.artifact import BytesBody, MeasuredBody, MemorySink
from webhook_storage.errors import IntegrityError
from webhook_storage.stages import decode, encode
from webhook_storage.stages.header import SEGMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.secret import Keys
    from webhook_storage.stages import Compression

MIB = 1024 * 1024
DATA = content(3 * SEGMENT + 5)

WAYS: dict[str, tuple[Compression | None, Keys]] = {
    "encrypted": (None, KEYS),
    "gzip": ("gzip", {}),
    "zstd": ("zstd", {}),
    "gzip, encrypted": ("gzip", KEYS),
    "zstd, encrypted": ("zstd", KEYS),
}
ways = pytest.mark.parametrize(("compression", "keys"), WAYS.values(), ids=WAYS)


class SlowSink(CountingSink):
    """A sink that takes time."""

    blocks = True


class FullSink(CountingSink):
    """A sink that takes so many bytes and no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, chunk: bytes) -> None:
        super().write(chunk)
        if self.size > self.room:
            raise OSError(28, "no space left on device")


# --- the sink ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, HEADER, HEADER + SEALED + 9, -1])
@ways
def test_an_answer_that_starts_anew(compression: Compression | None, keys: Keys, cut: int) -> None:
    """Wherever an answer broke off, the next one is taken from its start."""
    stored = encoded(DATA, compression, keys)
    inner = MemorySink()
    sink = decoding(inner, compression, encrypted=bool(keys))
    for _ in range(3):
        sink.reset()
        sink.write(stored[:cut])
    sink.reset()
    sink.write(stored)
    sink.finish()
    assert inner.getvalue() == DATA


@ways
def test_another_artifact_after_a_reset(compression: Compression | None, keys: Keys) -> None:
    """What was replaced between two attempts is taken whole, and not mixed with what was before."""
    inner = MemorySink()
    sink = decoding(inner, compression, encrypted=bool(keys))
    sink.write(encoded(DATA, compression, keys)[: 2 * SEALED])
    sink.reset()
    sink.write(encoded(b"another", compression, keys))
    sink.finish()
    assert inner.getvalue() == b"another"


@ways
def test_a_refused_answer_can_be_fetched_again(compression: Compression | None, keys: Keys) -> None:
    """After an error nothing more is taken, until an answer starts anew."""
    inner = MemorySink()
    sink = decoding(inner, compression, encrypted=bool(keys))
    stored = encoded(DATA, compression, keys)
    assert isinstance(failure(lambda: sink.write(b"<html>")), IntegrityError)
    actions: list[Callable[[], None]] = [lambda: sink.write(stored), sink.finish]
    for action in actions:
        with pytest.raises(IntegrityError, match="was refused, or has ended") as caught:
            action()
        assert caught.value.hint == "fetch it again from the start"
    assert inner.getvalue() == b""
    sink.reset()
    sink.write(stored)
    sink.finish()
    assert inner.getvalue() == DATA


@ways
def test_nothing_follows_the_end(compression: Compression | None, keys: Keys) -> None:
    """The end comes once."""
    sink = decoding(CountingSink(), compression, encrypted=bool(keys))
    sink.write(encoded(DATA, compression, keys))
    sink.finish()
    actions: list[Callable[[], None]] = [lambda: sink.write(b"more"), sink.finish]
    for action in actions:
        with pytest.raises(IntegrityError, match="has ended"):
            action()


@ways
def test_a_limit_starts_anew(compression: Compression | None, keys: Keys) -> None:
    """What was counted before an answer started anew does not count."""
    inner = MemorySink()
    sink = decoding(inner, compression, encrypted=bool(keys), limit=len(DATA))
    stored = encoded(DATA, compression, keys)
    sink.write(stored[:-1])
    sink.reset()
    sink.write(stored)
    sink.finish()
    assert inner.getvalue() == DATA


@pytest.mark.parametrize("inner", [CountingSink(), SlowSink()], ids=["fast", "slow"])
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_work_is_left_to_a_thread(
    inner: CountingSink, compression: Compression | None, *, encrypted: bool
) -> None:
    """Only a sink that takes no time, around which nothing is done, is written in an event loop."""
    quick = not inner.blocks and compression is None and not encrypted
    assert decoding(inner, compression, encrypted=encrypted).blocks is not quick


@ways
def test_errors_of_the_sink_pass(compression: Compression | None, keys: Keys) -> None:
    """What the inner sink raises is what the caller gets, and then nothing more is taken."""
    inner = FullSink(1000)
    sink = decoding(inner, compression, encrypted=bool(keys))
    stored = encoded(DATA, compression, keys)
    with pytest.raises(OSError, match="no space left") as caught:
        sink.write(stored)
    assert type(caught.value) is OSError
    size = inner.size
    assert isinstance(failure(lambda: sink.write(stored)), IntegrityError)
    assert size == inner.size


def test_nothing_is_handed_on_before_it_is_verified() -> None:
    """A segment is written when it is whole, and the last one when it is known to be that."""
    inner = CountingSink()
    sink = decoding(inner)
    stored = encoded(DATA)
    seen = []
    for place in range(len(stored)):
        sink.write(stored[place : place + 1])
        seen.append(inner.size)
    ends = [HEADER + count * SEALED for count in (1, 2, 3)]
    assert seen == [sum(place >= end for end in ends) * SEGMENT for place in range(len(stored))]
    sink.finish()
    assert inner.size == len(DATA)


def test_an_answer_of_the_sender_is_measured_as_it_is_stored() -> None:
    """Size and digest that are compared are those of the encoded bytes."""
    body = MeasuredBody(encode(BytesBody(DATA), compression=None, keys=KEYS, name=NAME))
    stored = b"".join(body.chunks())
    assert (len(stored), True) == (body.size, body.complete)
    assert body.sha256() == BytesBody(stored).sha256()
    assert decode(stored, encrypted=True, compression=None, keys=KEYS, name=NAME) == DATA


class UnwillingSink(MemorySink):
    """A sink that cannot start anew."""

    def reset(self) -> None:
        super().reset()
        if self.blocks:
            raise OSError(28, "no space left on device")


@ways
def test_a_sink_that_cannot_start_anew(compression: Compression | None, keys: Keys) -> None:
    """When the inner sink could not start anew, nothing goes on where the last answer ended."""
    inner = UnwillingSink()
    sink = decoding(inner, compression, encrypted=bool(keys))
    stored = encoded(DATA, compression, keys)
    sink.write(stored[:100_000])
    inner.blocks = True
    with pytest.raises(OSError, match="no space left"):
        sink.reset()
    assert isinstance(failure(lambda: sink.write(stored[100_000:])), IntegrityError)
    assert inner.getvalue() == b""


# --- memory --------------------------------------------------------------------------------------

SOURCES: dict[str, Callable[[], RepeatedBody]] = {
    "chunks of 256 KiB": lambda: RepeatedBody(b"a line of text\n\0" * 16384, 256),
    "many short chunks": lambda: RepeatedBody(b"a line of text\n\0" * 256, 16384),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
@ways
def test_memory(
    compression: Compression | None, keys: Keys, make: Callable[[], RepeatedBody]
) -> None:
    """Sixty-four MiB go through both ways in less than 4 MiB."""
    tracemalloc.start()
    try:
        inner = CountingSink()
        sink = decoding(inner, compression, encrypted=bool(keys))
        body = encode(make(), compression=compression, keys=keys, name=NAME)
        for chunk in body.chunks():
            sink.write(chunk)
        sink.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 64 * MIB == inner.size
    assert peak < 4 * MIB


@ways
def test_memory_of_large_bytes(compression: Compression | None, keys: Keys) -> None:
    """Bytes that are in memory already are not copied as a whole."""
    source = BytesBody(b"a line of text\n\0" * (4 * MIB))
    stored = encoded(source, compression, keys)
    inner = CountingSink()
    tracemalloc.start()
    try:
        for _ in encode(source, compression=compression, keys=keys, name=NAME).chunks():
            pass
        sink = decoding(inner, compression, encrypted=bool(keys))
        sink.write(stored)
        sink.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 64 * MIB == inner.size
    assert peak < 4 * MIB


@pytest.mark.parametrize("keys", [{}, KEYS], ids=["plain", "encrypted"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_memory_of_what_does_not_compress(compression: Compression, keys: Keys) -> None:
    """A result of many bytes goes to a temporary file when 8 MiB are in memory."""
    source = BytesBody(content(32 * MIB))
    tracemalloc.start()
    try:
        body = encode(source, compression=compression, keys=keys, name=NAME)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert body.size >= 32 * MIB
    assert peak < 16 * MIB


# --- what they do not do -------------------------------------------------------------------------


COPIES = {
    "pickle": pickle.dumps,
    "cloudpickle": cloudpickle.dumps,
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_what_holds_keys_is_not_copied(copied: Callable[[object], object]) -> None:
    """A body and a sink with keys stay in the process."""
    body = encode(BytesBody(DATA), compression=None, keys=KEYS, name=NAME)
    for thing in (body, decoding(MemorySink())):
        with pytest.raises((TypeError, pickle.PicklingError), match="cannot be pickled"):
            copied(thing)


def test_an_import_is_free() -> None:
    """The packages of the extras are imported when something is encrypted or compressed."""
    program = (
        "import json, sys, webhook_storage.stages;"
        "print(json.dumps([name for name in ('cryptography', 'zstandard') if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, timeout=30
    )
    assert json.loads(done.stdout) == []
