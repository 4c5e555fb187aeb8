from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.stages_support import (
    HEADER,
    KEYS,
    SEALED,
    ChunkedBody,
    content,
    decoded,
    decoding,
    encoded,
    outcome,
    segments,
)
from webhook_storage.artifact import MemorySink
from webhook_storage.errors import IntegrityError, WebhookStorageError
from webhook_storage.secret import SecretValue
from webhook_storage.stages import Header, read_header
from webhook_storage.stages.header import MAGIC, SEGMENT

if TYPE_CHECKING:
    from webhook_storage.stages import Compression

compressions = st.sampled_from([None, "gzip", "zstd"])
long_data = st.integers(0, 4 * SEGMENT + 2).map(content)
any_data = st.binary() | long_data | st.binary(min_size=1, max_size=50).map(lambda raw: raw * 5000)
whole = content(3 * SEGMENT + 100)
stored_whole = encoded(whole)
masters = st.binary(min_size=32, max_size=32)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return the data in pieces that end at those places."""
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(ends)]


places = st.lists(st.integers(0, 5 * SEGMENT), max_size=12)


@given(any_data, compressions, st.booleans(), st.text(), places, places)
def test_any_bytes_come_back_in_any_chunks(
    data: bytes,
    compression: Compression | None,
    encrypted: bool,  # noqa: FBT001 - hypothesis gives it by place
    name: str,
    sent: list[int],
    came: list[int],
) -> None:
    """What is stored comes back, however source and answer are cut."""
    keys = KEYS if encrypted else {}
    stored = encoded(ChunkedBody(cut(data, sent)), compression, keys, name)
    inner = MemorySink()
    sink = decoding(inner, compression, encrypted=encrypted, name=name)
    for chunk in cut(stored, came):
        sink.write(chunk)
    sink.finish()
    assert inner.getvalue() == data


@given(st.integers(0, len(stored_whole) - 1), st.integers(0, 7))
def test_any_flipped_bit_is_refused(place: int, bit: int) -> None:
    """What is handed on before the altered byte is the verified beginning, and nothing after it."""
    altered = bytearray(stored_whole)
    altered[place] ^= 1 << bit
    got, error = outcome(bytes(altered))
    assert isinstance(error, IntegrityError)
    assert got == whole[: max(0, (place - HEADER) // SEALED) * SEGMENT]


@given(st.integers(0, len(stored_whole) - 1) | st.integers(0, 3).map(lambda n: HEADER + n * SEALED))
def test_any_cut_is_refused(end: int) -> None:
    """Wherever it ends too early, what was handed on is the verified beginning."""
    got, error = outcome(stored_whole[:end])
    assert isinstance(error, IntegrityError)
    assert got == whole[: max(0, (end - HEADER - 1) // SEALED) * SEGMENT]


@given(st.binary(min_size=1), st.integers(0, len(stored_whole)))
def test_anything_put_in_is_refused(extra: bytes, place: int) -> None:
    """Bytes between, before or after those that were stored are refused."""
    altered = stored_whole[:place] + extra + stored_whole[place:]
    got, error = outcome(altered)
    assert isinstance(error, IntegrityError)
    assert whole.startswith(got)


@given(st.lists(st.integers(1, 4), max_size=7))
def test_any_other_order_is_refused(order: list[int]) -> None:
    """Segments that are exchanged, left out or repeated are refused."""
    assume(order != [1, 2, 3, 4])
    parts = segments(stored_whole)
    got, error = outcome(b"".join([parts[0], *(parts[index] for index in order)]))
    assert isinstance(error, IntegrityError)
    assert whole.startswith(got)


@given(st.text(), st.text())
def test_any_other_name_is_refused(name: str, other: str) -> None:
    """An artifact opens under its name and under no other."""
    assume(name != other)
    stored = encoded(b"31 rows", name=name)
    assert decoded(stored, name=name) == b"31 rows"
    got, error = outcome(stored, name=other)
    assert (b"", IntegrityError) == (got, type(error))


@given(masters, masters, compressions)
def test_any_other_key_is_refused(
    master: bytes, other: bytes, compression: Compression | None
) -> None:
    """Another key, also under the same id, opens nothing."""
    assume(master != other)
    right, wrong = SecretValue(master.hex()), SecretValue(other.hex())
    stored = encoded(b"31 rows", compression, {"a": right})
    assert decoded(stored, keys={"a": right}) == b"31 rows"
    for keys in ({"a": wrong}, {"b": right}, {"b": right, "a": wrong}):
        got, error = outcome(stored, keys=keys)
        assert (b"", IntegrityError) == (got, type(error))


@given(
    st.binary()
    | st.binary().map(lambda tail: MAGIC + tail)
    | st.binary().map(lambda tail: b"\x1f\x8b\x08" + tail)
    | st.binary().map(lambda tail: b"\x28\xb5\x2f\xfd" + tail),
    compressions,
    st.booleans(),
)
def test_any_bytes_are_decoded_or_refused(
    data: bytes,
    compression: Compression | None,
    encrypted: bool,  # noqa: FBT001 - hypothesis gives it by place
) -> None:
    """Whatever comes, there is no other failure than one of our errors."""
    error = outcome(data, compression, encrypted=encrypted, limit=1_000_000)[1]
    assert error is None or isinstance(error, WebhookStorageError)
    assert error is not None or not encrypted


@given(st.integers(0, 300), st.binary(max_size=9), st.booleans())
def test_any_zstd_is_decoded_or_refused(
    place: int,
    extra: bytes,
    inserted: bool,  # noqa: FBT001 - hypothesis gives it by place
) -> None:
    """An altered frame ends in one of our errors."""
    stored = encoded(whole[:200] * 40, "zstd", {})
    altered = stored[:place] + extra + stored[place + (0 if inserted else len(extra)) :]
    error = outcome(altered, "zstd", limit=1_000_000)[1]
    assert error is None or isinstance(error, WebhookStorageError)


@given(st.binary() | st.binary().map(lambda tail: MAGIC + tail))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    """Reading a header gives it, wants more, or says that it is none."""
    with contextlib.suppress(IntegrityError):
        header = read_header(data)
        assert header is None or data.startswith(header.pack())


@given(
    st.text(min_size=1, max_size=60).filter(str.isprintable),
    compressions,
    st.binary(min_size=32, max_size=32),
    st.binary(),
)
def test_any_header_is_read(
    key_id: str, compression: Compression | None, salt: bytes, rest: bytes
) -> None:
    """What is packed is read again, whatever follows it."""
    header = Header(key_id=key_id, compression=compression, salt=salt)
    assert header == read_header(header.pack() + rest)
