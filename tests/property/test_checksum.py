from __future__ import annotations

import base64
import hashlib
import zlib

from hypothesis import given
from hypothesis import strategies as st

from webhook_storage.artifact import BytesBody
from webhook_storage.checksum import announced, announced_with_rest, different, parse, sent, stored
from webhook_storage.contracts import Response, Work
from webhook_storage.digests import SIZES, Digests

NAMES = (
    "repr-digest", "content-digest", "digest", "content-md5", "x-amz-checksum-sha256",
    "x-amz-checksum-sha1", "x-amz-checksum-crc32", "x-goog-hash", "oc-checksum",
    "docker-content-digest", "x-checksum-sha256", "x-checksum-sha1", "x-checksum-md5",
    "x-hash-sha256", "x-ms-blob-content-md5", "content-encoding", "x-amz-checksum-type",
    "x-goog-stored-content-encoding", "x-ms-blob-type",
)  # fmt: skip
PIECES = (
    "sha-256", "sha-512", "SHA-256", "sha256", "sha512", "SHA1", "MD5", "md5", "adler32", "crc32c",
    "=", ":", ",", ";", " ", "-", "0" * 8, "ab" * 16, "A" * 22 + "==", "A" * 43 + "=",
)  # fmt: skip

texts = st.text() | st.text("0123456789abcdef") | st.lists(st.sampled_from(PIECES)).map("".join)
headers = st.dictionaries(st.sampled_from(NAMES), texts)
contents = st.binary(max_size=200)


@given(headers)
def test_any_headers_are_read(headers: dict[str, str]) -> None:
    """Whatever a server says is a checksum of the right length, or nothing."""
    for each in parse(headers):
        assert SIZES[each.algorithm] == len(each.value)
        assert each.header.lower() in headers
    known = set(parse(headers))
    response = Response(status=200, headers=headers)
    for some in (announced(headers), announced_with_rest(headers), stored(response)):
        assert set(some) <= known


@given(st.text(max_size=20), st.integers(4097, 100_000))
def test_a_long_header_is_not_read(text: str, size: int) -> None:
    """What is longer than any checksum costs nothing."""
    value = f"sha-256=:{'A' * 43}=:, "
    long = (value + text + "x" * size)[:size]
    assert [] == parse({"repr-digest": long, "digest": long, "oc-checksum": long})


@given(contents, st.lists(st.integers(0, 200)))
def test_it_is_all_one_how_bytes_come(content: bytes, cuts: list[int]) -> None:
    """The checksums of pieces are those of the whole."""
    digests = Digests(["md5", "crc32", "adler32"])
    ends = sorted(min(cut, len(content)) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(content)], strict=True):
        digests.update(content[start:end])
    expected = {
        "sha256": hashlib.sha256(content).digest(),
        "md5": hashlib.md5(content, usedforsecurity=False).digest(),
        "crc32": zlib.crc32(content).to_bytes(4, "big"),
        "adler32": zlib.adler32(content).to_bytes(4, "big"),
    }
    assert expected == digests.taken()


@given(contents, st.integers(0, 10_000), st.sampled_from(["x-goog-hash", "content-md5"]))
def test_one_changed_bit_is_noticed(content: bytes, place: int, header: str) -> None:
    """Bytes are what their header says, and with one bit changed they are not."""
    value = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    said = parse({header: f"md5={value}" if header == "x-goog-hash" else value})
    right = Digests(["md5"])
    right.update(content)
    assert different(said, right.taken()) is None
    if content:
        at, bit = place % len(content), 1 << place % 8
        altered = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
        wrong = Digests(["md5"])
        wrong.update(altered)
        assert said[0] == different(said, wrong.taken())


@given(
    contents,
    st.sampled_from(
        ["Content-MD5", "Repr-Digest", "OC-Checksum", "x-goog-hash", "x-amz-checksum-crc32",
         "X-Checksum-Sha1"]
    ),
)  # fmt: skip
def test_what_is_written_is_read(content: bytes, header: str) -> None:
    """A service that gives back the header of a store says what was stored."""
    taken: dict[str, bytes] = {}
    exchange = sent(header, BytesBody(content), taken)  # type: ignore[arg-type]
    work = next(exchange)
    assert isinstance(work, Work)
    try:
        exchange.send(work.action())
    except StopIteration as stop:
        said = parse({header.lower(): stop.value})
    assert [header] == [each.header for each in said]
    assert different(said, taken) is None
