from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.unit.stages_support import (
    HEADER,
    KEY,
    KEYS,
    MASTER,
    NAME,
    OTHER_KEY,
    SEALED,
    ChunkedBody,
    content,
    decoded,
    decoding,
    encoded,
    failure,
    outcome,
    segments,
)
from webhook_storage.artifact import BytesBody, FileSink, MeasuredBody, MemorySink, PathBody, span
from webhook_storage.errors import ConfigurationError, IntegrityError, MissingExtraError
from webhook_storage.secret import SecretValue
from webhook_storage.stages import Header, encode, read_header
from webhook_storage.stages.header import SEGMENT
from webhook_storage.stages.keys import derive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from webhook_storage.contracts import Body
    from webhook_storage.stages import Compression

SIZES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 5]
sizes = pytest.mark.parametrize("size", SIZES)

STORED = (
    "iVdIRU5DCgEAEAQyMDI2HuBchg5Ea9MCEj/HJCeAAWTVUV0EFRs66CEd0IK3bWM5WDGMZ8W0YAT9SqRIBOHJUL1zZL"
    "ozLQJ6/VBnnrbSMzsRlCSDqPSyBK2jUFUeCemqQaaVbBNG"
)
"""What version 1 of the format wrote, kept as it was."""


def compose(
    plains: list[bytes],
    *,
    master: bytes = MASTER,
    key_id: bytes = b"2026",
    compression: int = 0,
    exponent: int = 16,
    name: str = NAME,
    magic: bytes = b"\x89WHENC\n\x01",
    salt: bytes = bytes(range(100, 132)),
) -> bytes:
    """Encrypt segments as the layout says, with a key derived by the text of RFC 5869."""
    header = magic + bytes([compression, exponent, len(key_id)]) + key_id + salt
    info = b"webhook-storage encryption" + header + name.encode()
    extracted = hmac.digest(salt, master, "sha256")
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    second = hmac.digest(extracted, first + info + b"\x02", "sha256")
    sealed = [
        AESGCM(first).encrypt(
            number.to_bytes(11, "big") + bytes([number == len(plains) - 1]), plain, None
        )
        for number, plain in enumerate(plains)
    ]
    return header + second + b"".join(sealed)


# --- the format ----------------------------------------------------------------------------------


def test_format_1_is_these_bytes() -> None:
    """What is stored is, byte for byte, what the documented layout says of that salt."""
    data = content(2 * SEGMENT + 7)
    plains = [data[:SEGMENT], data[SEGMENT : 2 * SEGMENT], data[2 * SEGMENT :]]
    stored = encoded(data)
    assert compose(plains, salt=stored[15:47]) == stored


def test_a_literal_copy_of_format_1_is_read() -> None:
    """An artifact that an earlier version stored is read for ever."""
    assert decoded(base64.b64decode(STORED)) == b"31 rows"


@sizes
def test_what_is_stored_comes_back(size: int) -> None:
    """Any number of bytes, none included, comes back as it was."""
    assert decoded(encoded(content(size))) == content(size)


@sizes
@pytest.mark.parametrize("key_id", ["a", "größe", "k" * 255])
def test_the_size_is_known_before(size: int, key_id: str) -> None:
    """What is announced is what comes, so nothing is spooled."""
    body = encode(BytesBody(content(size)), compression=None, keys={key_id: KEY}, name=NAME)
    chunks = list(body.chunks())
    assert body.size == sum(map(len, chunks))
    assert max(map(len, chunks)) <= SEALED


def test_a_body_is_the_same_each_time() -> None:
    """A second attempt sends what the first sent, and the digest is that of both."""
    body = encode(BytesBody(content(200_000)), compression=None, keys=KEYS, name=NAME)
    first = b"".join(body.chunks())
    assert b"".join(body.chunks()) == first
    assert hashlib.sha256(first).hexdigest() == body.sha256()
    assert MeasuredBody(body).sha256() == body.sha256()


def test_readers_side_by_side_get_the_same() -> None:
    """Parts that are sent at the same time read the body at different places."""
    body = encode(BytesBody(content(200_000)), compression=None, keys=KEYS, name=NAME)
    ahead, behind = body.chunks(), body.chunks()
    start = [next(ahead), next(ahead)]
    assert list(behind) == [*start, *ahead]


PARTS = [
    (0, 0), (0, 1), (HEADER - 1, 2), (HEADER, SEALED), (HEADER + SEALED - 1, 2),
    (HEADER + 2 * SEALED, SEALED), (HEADER + SEALED + 7, SEALED), (HEADER + 3 * SEALED, 21),
    (HEADER + 3 * SEALED + 20, 1), (HEADER + 3 * SEALED + 21, 0), (5, 3 * SEALED + 5),
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("read_before", [False, True])
def test_a_part_is_what_stands_there(part: tuple[int, int], *, read_before: bool) -> None:
    """Wherever a part begins and ends, and whether or not anybody has read the whole before."""
    start, size = part
    body = encode(BytesBody(content(3 * SEGMENT + 5)), compression=None, keys=KEYS, name=NAME)
    whole = b"".join(body.chunks()) if read_before else b""
    taken = b"".join(span(body, start, size))
    whole = whole or b"".join(body.chunks())
    assert (size, whole[start : start + size]) == (len(taken), taken)


def test_the_only_segment_of_nothing() -> None:
    """What is empty has a segment, and its tag is a part like any other."""
    body = encode(BytesBody(b""), compression=None, keys=KEYS, name=NAME)
    whole = b"".join(body.chunks())
    assert whole[HEADER:] == b"".join(span(body, HEADER, 16))


def test_more_than_there_is() -> None:
    """A part that would go beyond the end is refused at the end."""
    body = encode(BytesBody(b"31 rows"), compression=None, keys=KEYS, name=NAME)
    with pytest.raises(IntegrityError):
        b"".join(span(body, HEADER, body.size))


class CountedBody(BytesBody):
    """Bytes of which it is counted how many were read."""

    read = 0

    def span(self, start: int, size: int) -> Iterator[bytes]:
        for chunk in super().span(start, size):
            self.read += len(chunk)
            yield chunk


def test_a_part_reads_no_more_than_its_segments() -> None:
    """So an upload in parts encrypts everything once, and once more for the digests."""
    source = CountedBody(content(64 * SEGMENT))
    body = encode(source, compression=None, keys=KEYS, name=NAME)
    for start in range(0, body.size, 8 * SEGMENT):
        b"".join(span(body, start, min(8 * SEGMENT, body.size - start)))
    parts = -(-body.size // (8 * SEGMENT))
    assert source.size <= source.read <= source.size + 2 * parts * SEGMENT


def test_two_bodies_differ() -> None:
    """The same bytes are encrypted with another key each time."""
    first, second = encoded(b"the same"), encoded(b"the same")
    assert first[:15] == second[:15]
    assert first[15:47] != second[15:47]
    assert first[47:HEADER] != second[47:HEADER]
    assert first[HEADER:] != second[HEADER:]


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_the_header_is_read_without_a_key(compression: Compression | None) -> None:
    """Key id and compression can be told by everybody, from the first bytes."""
    stored = encoded(b"31 rows", compression)
    header = Header(key_id="2026", compression=compression, salt=stored[15:47])
    assert header == read_header(stored) == read_header(stored[:47])
    assert read_header(stored[:46]) is None
    assert read_header(b"") is None


def test_the_header_is_short() -> None:
    """With the longest key id, 298 bytes are enough to read it."""
    keys = {"k" * 255: KEY}
    header = read_header(encoded(b"", keys=keys)[:298])
    assert header is not None
    assert header.key_id == "k" * 255


def test_nothing_of_the_artifact_is_shown() -> None:
    """Neither content nor name stand in what is stored."""
    stored = encoded(b"a known text" * 9)
    assert b"known" not in stored
    assert NAME.encode() not in stored


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(MASTER).decode(),
        base64.b64encode(MASTER).decode().rstrip("="),
        MASTER.hex(),
        MASTER.hex().upper(),
        f" {MASTER.hex()}\n",
    ],
)
def test_spellings_of_a_key(text: str) -> None:
    """Base64 in both alphabets and hex are the same 32 bytes, with blanks around them or not."""
    stored = encoded(b"31 rows")
    assert decoded(stored, keys={"2026": SecretValue(text)}) == b"31 rows"


@pytest.mark.parametrize("digits", ["+/", "-_"])
def test_both_alphabets_of_base64(digits: str) -> None:
    """A key whose base64 has the two digits in which the alphabets differ is read in both."""
    one, two = (SecretValue((pair * 22)[:43] + "=") for pair in ("+/", digits))
    assert decoded(encoded(b"31 rows", keys={"a": one}), keys={"a": two}) == b"31 rows"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "correct horse battery staple",
        "0" * 63,
        "0" * 65,
        "0" * 32,
        base64.b64encode(bytes(31)).decode(),
        base64.b64encode(bytes(33)).decode(),
        base64.b64encode(MASTER).decode() + "=",
        "+_" * 21 + "+=",
        "g" * 64,
        "é" * 43,
        "\ud800" * 64,
    ],
)
def test_a_key_that_is_none(text: str) -> None:
    """What is not 32 bytes is refused before anything is stored or fetched, and never stretched."""
    keys = {"2025": SecretValue(text)}
    body = BytesBody(b"31 rows")
    for action in (
        lambda: encode(body, compression=None, keys=keys, name=NAME),
        lambda: encode(body, compression="gzip", keys=KEYS | keys, name=NAME),
        lambda: decoding(MemorySink(), keys=keys),
    ):
        with pytest.raises(ConfigurationError, match=r"^the encryption key '2025' is not 32") as of:
            action()
        assert of.value.hint == "make one: openssl rand -base64 32"


def test_no_artifact_key_without_a_key() -> None:
    """Where nobody looked at the keys before, they are refused all the same."""
    header = Header(key_id="2026", compression=None, salt=bytes(32))
    with pytest.raises(ConfigurationError, match="the encryption key '2026' is not 32 bytes"):
        derive(header, NAME, SecretValue("correct horse battery staple"))


@pytest.mark.parametrize("key_id", ["", "k" * 256, "ö" * 128, "a\nb", "\ud800"])
def test_a_key_id_that_is_none(key_id: str) -> None:
    """An id that does not fit in the header, or cannot be shown, is refused."""
    with pytest.raises(ConfigurationError, match="an encryption key has the id"):
        encode(BytesBody(b""), compression=None, keys={key_id: KEY}, name=NAME)


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    """During a rotation both keys open what they encrypted; afterwards only the new one does."""
    both = {"2027": OTHER_KEY, "2026": KEY}
    old, new = encoded(b"old"), encoded(b"new", keys=both)
    assert (decoded(old, keys=both), decoded(new, keys=both)) == (b"old", b"new")
    assert decoded(new, keys={"2027": OTHER_KEY}) == b"new"
    with pytest.raises(IntegrityError, match="a key '2026' that is not here") as caught:
        decoded(old, keys={"2027": OTHER_KEY})
    assert caught.value.hint == "the keys here are '2027'; was one taken away too early?"


def test_a_hostile_key_id_is_not_shown() -> None:
    """What somebody else put into a header does not get into a terminal."""
    stored = compose([b""], key_id=b"\x1b[31mrun this")
    with pytest.raises(IntegrityError) as caught:
        decoded(stored)
    assert (
        str(caught.value)
        == "the artifact is encrypted with a key with a strange id that is not here"
    )
    assert "\x1b" not in f"{caught.value}{caught.value.hint}"


def test_decrypting_without_keys() -> None:
    """What must be encrypted cannot be read without a key, and that is said at once."""
    with pytest.raises(ConfigurationError, match="cannot be read without a key"):
        decoding(MemorySink(), keys={})


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra nothing is encrypted or decrypted, and the error names it."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.kdf", None)
    for action in (lambda: encoded(b""), lambda: decoding(MemorySink())):
        with pytest.raises(MissingExtraError) as caught:
            action()
        assert caught.value.hint == "pip install 'webhook-storage[crypto]'"


# --- what is refused -----------------------------------------------------------------------------


def test_another_name() -> None:
    """An artifact that was swapped for another one is refused."""
    with pytest.raises(IntegrityError, match="the key '2026' does not open the artifact 'invoice'"):
        decoded(encoded(b"31 rows"), name="invoice")


def test_names_of_any_characters() -> None:
    """A name that is no valid text is bound like any other."""
    stored = encoded(b"31 rows", name="\ud800")
    assert decoded(stored, name="\ud800") == b"31 rows"
    assert isinstance(failure(lambda: decoded(stored, name="\ud801")), IntegrityError)


def test_another_key_of_the_same_id() -> None:
    """A key of the same id and another value is refused."""
    with pytest.raises(IntegrityError, match="does not open") as caught:
        decoded(encoded(b"31 rows"), keys={"2026": OTHER_KEY})
    assert "another name or with another key of this id" in (caught.value.hint or "")


def test_any_flipped_bit() -> None:
    """Whichever bit of an artifact is another, nothing is handed on."""
    stored = encoded(b"31 rows")
    for place in range(len(stored) * 8):
        altered = bytearray(stored)
        altered[place // 8] ^= 1 << place % 8
        got, error = outcome(bytes(altered))
        assert (b"", IntegrityError) == (got, type(error))


def test_any_cut() -> None:
    """Wherever a short artifact ends too early, nothing is handed on."""
    stored = encoded(b"31 rows")
    for end in range(len(stored)):
        got, error = outcome(stored[:end])
        assert (b"", IntegrityError) == (got, type(error))


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("more", [-1, 0, 1, 16, 17])
def test_a_cut_beside_the_end_of_a_segment(count: int, more: int) -> None:
    """What was handed on before the end was missed is the verified beginning."""
    data = content(4 * SEGMENT)
    end = HEADER + count * SEALED + more
    got, error = outcome(encoded(data)[:end])
    assert isinstance(error, IntegrityError)
    assert got == data[: max(0, (end - HEADER - 1) // SEALED) * SEGMENT]


ORDERS = {
    "first missing": [0, 2, 3],
    "middle missing": [0, 1, 3],
    "last missing": [0, 1, 2],
    "exchanged": [0, 2, 1, 3],
    "last one first": [0, 3, 2, 1],
    "repeated": [0, 1, 1, 2, 3],
    "last one twice": [0, 1, 2, 3, 3],
    "one after the last": [0, 1, 2, 3, 1],
    "all twice": [0, 1, 2, 3, 1, 2, 3],
    "with another header": [0, 1, 2, 3, 0, 1, 2, 3],
    "none": [0],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("last", [SEGMENT, 9])
def test_segments_in_another_order(order: list[int], last: int) -> None:
    """Segments that are missing, repeated, exchanged or appended are refused."""
    data = content(2 * SEGMENT + last)
    parts = segments(encoded(data))
    got, error = outcome(b"".join(parts[index] for index in order))
    assert isinstance(error, IntegrityError)
    assert data.startswith(got)
    assert len(got) < len(data)


def test_a_segment_of_another_artifact() -> None:
    """A segment at the same place of another artifact, with the same key and name, is refused."""
    one, two = segments(encoded(content(200_000))), segments(encoded(content(200_000)))
    got, error = outcome(b"".join([*one[:2], two[2], *one[3:]]))
    assert isinstance(error, IntegrityError)
    assert str(error) == "the encrypted artifact is broken: segment 1 was altered"
    assert got == content(SEGMENT)


@pytest.mark.parametrize("extra", [b"\0", bytes(16), bytes(SEALED)])
@sizes
def test_bytes_after_the_end(size: int, extra: bytes) -> None:
    """Nothing can be appended."""
    got, error = outcome(encoded(content(size)) + extra)
    assert isinstance(error, IntegrityError)
    assert got == content(len(got))


def test_an_empty_segment_at_the_end() -> None:
    """There is one way to store an artifact; a full segment is the last one itself."""
    assert decoded(compose([content(SEGMENT)])) == content(SEGMENT)
    with pytest.raises(IntegrityError, match="its last segment is empty"):
        decoded(compose([content(SEGMENT), b""]))


def test_encrypted_and_not_whole() -> None:
    """What was encrypted when it was cut already, is not taken for whole."""
    packed = gzip.compress(b"31 rows")
    assert decoded(compose([packed], compression=1)) == b"31 rows"
    with pytest.raises(IntegrityError, match="no whole gzip: it was cut"):
        decoded(compose([packed[:-1]], compression=1))


@pytest.mark.parametrize("data", [b"31 rows", b"\x89", b"\x89WHSTO\n\x01", b"", bytes(9)])
def test_what_is_not_encrypted(data: bytes) -> None:
    """What must be encrypted is never handed on as it is."""
    got, error = outcome(data)
    assert isinstance(error, IntegrityError)
    assert got == b""


@pytest.mark.parametrize("data", [b"31 rows", b"", b"\x1f\x8b\x08"])
def test_what_is_not_encrypted_is_told(data: bytes) -> None:
    """The error says what may have happened."""
    with pytest.raises(IntegrityError, match=r"^the artifact is not encrypted$") as caught:
        decoded(data)
    assert caught.value.hint == (
        "it was stored before encryption was on, or replaced; store it again"
    )


def test_a_newer_format() -> None:
    """A later version of the format is not read as this one."""
    with pytest.raises(IntegrityError, match="newer format") as caught:
        decoded(compose([b""], magic=b"\x89WHENC\n\x02"))
    assert caught.value.hint == "pip install --upgrade webhook-storage"


@pytest.mark.parametrize(
    "odd", [{"compression": 3}, {"exponent": 15}, {"exponent": 40}, {"key_id": b""}]
)
def test_an_unknown_header(odd: dict[str, int]) -> None:
    """A header that this version never writes is refused before any key is looked for."""
    with pytest.raises(IntegrityError, match="its header was altered"):
        decoded(compose([b""], **odd))  # type: ignore[arg-type]


def test_a_key_id_that_is_no_text() -> None:
    """A key id that is not UTF-8 is refused."""
    with pytest.raises(IntegrityError, match="its header was altered"):
        decoded(compose([b""], key_id=b"\xff"))


# --- a source that changes -----------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, SEGMENT, 3 * SEGMENT])
def test_a_file_that_changes_between_attempts(tmp_path: Path, place: int) -> None:
    """No segment that differs from the first attempt leaves, since it has the same nonce."""
    path = tmp_path / "source"
    path.write_bytes(content(3 * SEGMENT + 5))
    body = encode(PathBody(path), compression=None, keys=KEYS, name=NAME)
    first = list(body.chunks())
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"other")
    assert len(first) == 5
    assert take_until_error(body) == first[: 1 + place // SEGMENT]


def test_a_file_that_changes_after_a_part_was_sent(tmp_path: Path) -> None:
    """An attempt that broke off counts as well."""
    path = tmp_path / "source"
    path.write_bytes(content(3 * SEGMENT))
    body = encode(PathBody(path), compression=None, keys=KEYS, name=NAME)
    broken_off = body.chunks()
    first = [next(broken_off), next(broken_off)]
    path.write_bytes(content(4 * SEGMENT)[SEGMENT:])
    assert take_until_error(body) == first[:1]


@pytest.mark.parametrize("size", [0, 4, 6, SEGMENT, 3 * SEGMENT])
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_a_source_of_another_size(size: int, compression: Compression | None) -> None:
    """A source with more or fewer bytes than it announces is refused."""
    body = ChunkedBody([content(size)], size=5)
    with pytest.raises(IntegrityError, match="the source changed"):
        encoded(body, compression)


@pytest.mark.parametrize("read_before", [False, True])
def test_a_part_of_a_source_that_changed(tmp_path: Path, *, read_before: bool) -> None:
    """What another reader has encrypted under the same nonce counts, whichever came first."""
    path = tmp_path / "source"
    path.write_bytes(content(3 * SEGMENT))
    body = encode(PathBody(path), compression=None, keys=KEYS, name=NAME)
    b"".join(body.chunks() if read_before else span(body, HEADER + SEALED, SEALED))
    with path.open("r+b") as file:
        file.seek(SEGMENT)
        file.write(b"other")
    with pytest.raises(IntegrityError, match=r"^the source changed while it was stored$"):
        list(span(body, HEADER + SEALED + 5, 9))
    assert len(take_until_error(body)) == 2


def take_until_error(body: Body) -> list[bytes]:
    """Return what a body gives before it says that its source changed."""
    taken: list[bytes] = []
    chunks = body.chunks()
    with pytest.raises(IntegrityError, match=r"^the source changed while it was stored$"):
        taken.extend(chunks)  # keeps what came before the error
    return taken


# --- into a file ---------------------------------------------------------------------------------


def test_into_a_file(tmp_path: Path) -> None:
    """The target is put in place when the end has come, and not for a cut artifact."""
    target = tmp_path / "target"
    stored = encoded(content(200_000))
    inner = FileSink(target)
    sink = decoding(inner)
    sink.reset()
    sink.write(stored[:-1])
    with pytest.raises(IntegrityError):
        sink.finish()
    inner.discard()
    assert list(tmp_path.iterdir()) == []
    sink.reset()
    sink.write(stored)
    sink.finish()
    inner.commit()
    assert target.read_bytes() == content(200_000)
