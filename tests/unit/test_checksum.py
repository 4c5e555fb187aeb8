from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import pytest

from webhook_storage.artifact import BytesBody, MeasuredBody
from webhook_storage.checksum import (
    ChecksumHeader,
    announced,
    announced_with_rest,
    compare_stored,
    different,
    parse,
    sent,
    stored,
)
from webhook_storage.contracts import Response, Work
from webhook_storage.digests import SIZES, Digests, available
from webhook_storage.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.contracts import Body, Exchange

T = TypeVar("T")

HELLO = b"hello world"
# Taken by coreutils, botocore and google-crc32c; ADLER32 by hand.
VALUES = {
    "sha256": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
    "sha512": "309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f"
    "989dd35bc5ff499670da34255b45b0cfd830e81f605dcf7dc5542e93ae9cd76f",
    "sha1": "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
    "md5": "5eb63bbbe01eeed093cb22bb8f5acdc3",
    "crc32": "0d4a1185",
    "crc32c": "c99465aa",
    "adler32": "1a0b045d",
}
SHA256 = "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="
SHA512 = "MJ7MSJwS1utMxA9QyQLytNDtd+5RGnx6m808qG1M2G+YndNbxf9JlnDaNCVbRbDP2DDoH2Bdz33FVC6TrpzXbw=="
SHA1 = "Kq5sNclPz7QV2+lfQIuc6R7oRu0="
MD5 = "XrY7u+Ae7tCTyyK7j1rNww=="
CRC32 = "DUoRhQ=="
CRC32C = "yZRlqg=="


class Crc32c:
    """CRC-32C as google-crc32c offers it, bit by bit."""

    def __init__(self) -> None:
        self._sum = 0xFFFFFFFF

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        for byte in data:
            self._sum ^= byte
            for _ in range(8):
                self._sum = (self._sum >> 1) ^ (0x82F63B78 if self._sum & 1 else 0)

    def digest(self) -> bytes:
        """Return what it is so far."""
        return (self._sum ^ 0xFFFFFFFF).to_bytes(4, "big")


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The package google-crc32c seems to be installed."""
    module = SimpleNamespace(Checksum=Crc32c, implementation="c")
    monkeypatch.setitem(sys.modules, "google_crc32c", module)
    return module


@pytest.fixture
def no_google(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not installed, whatever this machine has."""
    monkeypatch.setitem(sys.modules, "google_crc32c", None)


class CountedBody(BytesBody):
    """A body that counts how often it is read."""

    __slots__ = ("reads",)

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads = 0

    def chunks(self) -> Iterator[bytes]:
        """Count, and yield."""
        self.reads += 1
        yield from super().chunks()

    def sha256(self) -> str:
        """Count, and take the digest."""
        self.reads += 1
        return super().sha256()


def carry_out(exchange: Exchange[T]) -> T:
    """Do the work that an exchange wants, and nothing else."""
    answer: Any = None
    while True:
        try:
            wish = exchange.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        assert isinstance(wish, Work)
        answer = wish.action()


def found(headers: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return what is read from headers."""
    return [(each.header, each.algorithm, each.value.hex()) for each in parse(headers)]


# --- algorithms -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("google")
@pytest.mark.parametrize("algorithm", SIZES)
def test_a_checksum_is_that_of_other_libraries(algorithm: str) -> None:
    """Each algorithm gives the known value, however the bytes come, and is as long as is said."""
    digests = Digests([algorithm])
    for chunk in (b"", HELLO[:3], HELLO[3:]):
        digests.update(chunk)
    value = digests.taken()[algorithm]
    assert VALUES[algorithm] == value.hex()
    assert SIZES[algorithm] == len(value)


def test_sha256_is_always_taken() -> None:
    """Whatever else is wanted, SHA-256 is there, and nothing that is not wanted."""
    digests = Digests()
    digests.update(HELLO)
    assert VALUES["sha256"] == digests.sha256
    assert {"sha256": bytes.fromhex(VALUES["sha256"])} == digests.taken()


@pytest.mark.usefixtures("no_google")
def test_without_its_package_there_is_no_crc32c() -> None:
    """What cannot be computed is not read from a header."""
    assert not available("crc32c")
    assert [("x-goog-hash", "md5", VALUES["md5"])] == found(
        {"x-goog-hash": f"crc32c={CRC32C},md5={MD5}"}
    )


def test_a_slow_crc32c_is_none(google: SimpleNamespace) -> None:
    """Without its compiled part the package would make every download crawl."""
    assert available("crc32c")
    google.implementation = "python"
    assert not available("crc32c")


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("google")
@pytest.mark.parametrize(
    ("header", "text", "algorithms"),
    [
        ("Repr-Digest", f"sha-256=:{SHA256}:", ["sha256"]),
        ("Repr-Digest", f"sha-512=:{SHA512}:,\tsha-256=:{SHA256}:", ["sha512", "sha256"]),
        ("Repr-Digest", f"md5=:{MD5}:, unixsum=:AA==:, sha-256=:{SHA256}:;a=1;b", ["sha256"]),
        ("Repr-Digest", f"sha-256=:{MD5}:, sha-256=:{SHA256}:", ["sha256"]),
        ("Repr-Digest", f"sha-256=:{SHA256.rstrip('=')}:", ["sha256"]),
        ("Content-Digest", f"sha-512=:{SHA512}:", ["sha512"]),
        ("Digest", f"SHA-256={SHA256},MD5={MD5}", ["sha256", "md5"]),
        ("Digest", f"sha={SHA1}, unixsum=30637, SHA-512={SHA512}", ["sha1", "sha512"]),
        ("Digest", "ADLER32=1A0B045D,crc32c=c99465aa", ["adler32", "crc32c"]),
        ("Content-MD5", MD5, ["md5"]),
        ("x-amz-checksum-sha256", SHA256, ["sha256"]),
        ("x-amz-checksum-sha1", SHA1, ["sha1"]),
        ("x-amz-checksum-crc32", CRC32, ["crc32"]),
        ("x-amz-checksum-crc32c", CRC32C, ["crc32c"]),
        ("x-goog-hash", f"crc32c={CRC32C}, md5={MD5}", ["crc32c", "md5"]),
        ("OC-Checksum", f"SHA1:{VALUES['sha1']}", ["sha1"]),
        ("OC-Checksum", f"MD5:{VALUES['md5']} ADLER32:1a0b045d SHA3-1:0", ["md5", "adler32"]),
        ("OC-Checksum", f"sha256:{VALUES['sha256'].upper()}", ["sha256"]),
        ("Docker-Content-Digest", f"sha256:{VALUES['sha256']}", ["sha256"]),
        ("Docker-Content-Digest", f"sha512:{VALUES['sha512']}", ["sha512"]),
        ("X-Checksum-Sha256", VALUES["sha256"], ["sha256"]),
        ("X-Checksum-Sha1", VALUES["sha1"], ["sha1"]),
        ("X-Checksum-Md5", f" {VALUES['md5']} ", ["md5"]),
        ("X-Hash-Sha256", VALUES["sha256"], ["sha256"]),
        ("X-Hash-Sha1", VALUES["sha1"], ["sha1"]),
        ("X-Hash-Md5", VALUES["md5"], ["md5"]),
        ("x-ms-blob-content-md5", MD5, ["md5"]),
    ],
)
def test_a_checksum_is_read(header: str, text: str, algorithms: list[str]) -> None:
    """Each header is read as its specification writes it, and of several values all we know."""
    expected = [(header, name, VALUES[name]) for name in algorithms]
    assert expected == found({header.lower(): text})


@pytest.mark.parametrize(
    ("digest", "value"), [("OC-Checksum", "ADLER32:{}"), ("Digest", "adler32={}")]
)
def test_leading_zeros_may_be_missing(digest: str, value: str) -> None:
    """A number in hex may come as short as it is (RFC 3230, ADLER32)."""
    assert [(digest, "adler32", "00620062")] == found({digest.lower(): value.format("620062")})


@pytest.mark.usefixtures("google")
@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Repr-Digest", f"sha-256={SHA256}"),
        ("Repr-Digest", f'sha-256="{SHA256}"'),
        ("Repr-Digest", f"sha-256=:{MD5}:"),
        ("Repr-Digest", f"sha-256=:{SHA256}:, sha-512"),
        ("Repr-Digest", f"sha-256=:{SHA256}:,"),
        ("Repr-Digest", f"SHA-256=:{SHA256}:"),
        ("Repr-Digest", "sha-256=::"),
        ("Repr-Digest", "sha-256=:=:"),
        ("Repr-Digest", f"sha-256=:{SHA256}:" + " " * 4096),
        ("Repr-Digest", f"md5=:{MD5}:"),
        ("Digest", f"MD5 {MD5}"),
        ("Digest", f"MD5={VALUES['md5']}"),
        ("Digest", "adler32=123456789"),
        ("Digest", "adler32=-1"),
        ("Content-MD5", VALUES["md5"]),
        ("Content-MD5", VALUES["sha1"]),  # Box's, which is not what its name says
        ("Content-MD5", f"{MD5}, {MD5}"),
        ("Content-MD5", "ä" * 24),
        ("Content-MD5", ""),
        ("Content-MD5", "==="),
        ("x-amz-checksum-sha256", f"{SHA256}-7"),
        ("x-amz-checksum-crc32", f"{CRC32}-12"),
        ("x-amz-checksum-crc64nvme", "jSnVw/bqjr4="),
        ("x-goog-hash", f"md5:{MD5}"),
        ("x-goog-hash", f"sha256={SHA256}"),
        ("OC-Checksum", VALUES["sha1"]),
        ("OC-Checksum", f"SHA1:{VALUES['md5']}"),
        ("Docker-Content-Digest", VALUES["sha256"]),
        ("Docker-Content-Digest", f"md5:{VALUES['md5']}"),
        ("X-Checksum-Sha256", f"sha256:{VALUES['sha256']}"),
        ("X-Checksum-Md5", VALUES["sha1"]),
        ("X-Checksum-Md5", f"{VALUES['md5']}, {VALUES['md5']}"),
        ("ETag", f'"{VALUES["md5"]}"'),
    ],
)
def test_what_cannot_be_read_is_no_checksum(header: str, text: str) -> None:
    """A value of another form or length says nothing, and is no error."""
    assert [] == found({header.lower(): text})


def test_a_checksum_does_not_show_its_value() -> None:
    """A server may put anything there, a secret that it was sent as well."""
    (checksum,) = parse({"content-md5": MD5})
    assert "Checksum(algorithm='md5', header='Content-MD5')" == repr(checksum)


# --- what they speak of ---------------------------------------------------------------------------

ALL = {
    "repr-digest": f"sha-256=:{SHA256}:",
    "content-digest": f"sha-256=:{SHA256}:",
    "digest": f"MD5={MD5}",
    "content-md5": MD5,
    "x-amz-checksum-sha256": SHA256,
    "x-goog-hash": f"md5={MD5}",
    "oc-checksum": f"SHA1:{VALUES['sha1']}",
    "docker-content-digest": f"sha256:{VALUES['sha256']}",
    "x-checksum-sha1": VALUES["sha1"],
    "x-hash-sha256": VALUES["sha256"],
    "x-ms-blob-content-md5": MD5,
}
REPRESENTATION = {"repr-digest", "content-digest"}
OF_ARTIFACT = set(ALL) - {"x-hash-sha256"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, OF_ARTIFACT),
        ({"content-encoding": "identity"}, OF_ARTIFACT),
        ({"content-encoding": "gzip"}, REPRESENTATION),
        ({"content-encoding": "aws-chunked"}, REPRESENTATION),
        ({"x-goog-stored-content-encoding": "identity"}, OF_ARTIFACT),
        ({"x-goog-stored-content-encoding": "gzip"}, OF_ARTIFACT - {"x-goog-hash"}),
        (
            {"x-goog-stored-content-encoding": " GZIP", "content-encoding": "gzip"},
            REPRESENTATION | {"x-goog-hash"},
        ),
        (
            {"x-goog-stored-content-encoding": "identity", "content-encoding": "gzip"},
            REPRESENTATION,
        ),
        ({"x-amz-checksum-type": "FULL_OBJECT"}, OF_ARTIFACT),
        ({"x-amz-checksum-type": "COMPOSITE"}, OF_ARTIFACT - {"x-amz-checksum-sha256"}),
        ({"x-ms-blob-type": "BlockBlob"}, OF_ARTIFACT),
        (
            {"x-ms-blob-type": "AppendBlob"},
            OF_ARTIFACT - {"content-md5", "x-ms-blob-content-md5"},
        ),
    ],
)
def test_what_an_answer_announces_of_its_body(more: dict[str, str], expected: set[str]) -> None:
    """Each header counts where it is certainly of the bytes that come."""
    alone = {name for name, value in ALL.items() if announced({name: value, **more})}
    assert expected == alone


def test_the_strongest_of_those_that_are_announced() -> None:
    """Beside a SHA-2 the others find nothing more; without one they all count."""
    assert {"sha256"} == {each.algorithm for each in announced(ALL)}
    weak = {name: value for name, value in ALL.items() if "sha256" not in f"{name}{value}".lower()}
    weak = {name: value for name, value in weak.items() if "sha-256" not in value}
    assert {"md5", "sha1"} == {each.algorithm for each in announced(weak)}


def test_what_a_part_announces_of_the_whole() -> None:
    """Of a part only the digest of the representation is certainly that of the whole."""
    assert ["Repr-Digest"] == [each.header for each in announced_with_rest(ALL)]


def said(size: int, **headers: str) -> list[str]:
    """Return the headers that count in an answer to a store."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return [each.header for each in stored(Response(status=200, headers=named, size=size))]


STORED = {
    "oc-checksum", "docker-content-digest", "x-checksum-sha1", "x-goog-hash", "x-hash-sha256",
    "x-amz-checksum-sha256",
}  # fmt: skip


@pytest.mark.parametrize(
    ("size", "expected"), [(0, STORED | {"content-md5", "repr-digest"}), (2, STORED)]
)
def test_what_the_answer_to_a_store_says(size: int, expected: set[str]) -> None:
    """What may speak of the answer's own body counts only where there is none."""
    assert expected == {name.lower() for name in said(size, **ALL)}


def test_what_is_said_of_nothing_is_not_of_the_artifact() -> None:
    """A checksum of no bytes is that of an answer without a body."""
    nothing = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    digests = {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg==", "repr-digest": f"sha-256=:{nothing}:"}
    assert [] == said(0, **digests)
    assert ["x-amz-checksum-sha256"] == said(0, **digests, x_amz_checksum_sha256=nothing)


def test_a_checksum_of_checksums_is_not_of_the_artifact() -> None:
    """What Amazon says of parts put together cannot be compared."""
    assert [] == said(0, x_amz_checksum_sha256=SHA256, x_amz_checksum_type="COMPOSITE")


# --- comparing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"), [(HELLO, None), (b"hello w0rld", "Content-MD5"), (b"", "Content-MD5")]
)
def test_the_first_that_differs_is_told(content: bytes, expected: str | None) -> None:
    """Other bytes have another checksum, and what was not taken is not compared."""
    digests = Digests(["md5"])
    digests.update(content)
    announced_ = parse({"content-md5": MD5, "x-checksum-sha256": VALUES["sha256"]})
    not_taken = parse({"x-checksum-sha1": "00" * 20})
    wrong = different([*not_taken, *announced_], digests.taken())
    assert expected == (wrong and wrong.header)


# --- a store --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Content-MD5", MD5),
        ("Repr-Digest", f"sha-256=:{SHA256}:"),
        ("Content-Digest", f"sha-256=:{SHA256}:"),
        ("OC-Checksum", f"SHA1:{VALUES['sha1']}"),
        ("ETag", VALUES["md5"]),
        ("x-goog-hash", f"md5={MD5}"),
        ("x-amz-checksum-sha256", SHA256),
        ("x-amz-checksum-sha1", SHA1),
        ("x-amz-checksum-crc32", CRC32),
        ("X-Checksum-Sha256", VALUES["sha256"]),
        ("X-Checksum-Sha1", VALUES["sha1"]),
        ("X-Checksum-Md5", VALUES["md5"]),
    ],
)
def test_a_checksum_is_written(header: ChecksumHeader, text: str) -> None:
    """Each header has the form that its service takes, and the body is read once."""
    body = CountedBody(HELLO)
    assert text == carry_out(sent(header, body, {}))
    assert 1 == body.reads


def test_every_header_that_can_be_asked_for_is_written() -> None:
    """None of the choices is without a way to write it."""
    for header in get_args(ChecksumHeader):
        assert carry_out(sent(header, BytesBody(HELLO), {}))


def answered(**headers: str) -> Response:
    """Return the answer to a store."""
    return Response(status=201, headers={name.replace("_", "-"): v for name, v in headers.items()})


def compare(response: Response, body: Body, taken: dict[str, bytes] | None = None) -> None:
    """Compare what a service says."""
    carry_out(compare_stored("PUT https://files.example.com/k", response, body, taken))


def test_what_was_stored_is_what_was_sent() -> None:
    """An answer that says the right checksums is fine, and the body was read once for all."""
    body = CountedBody(HELLO)
    compare(answered(x_goog_hash=f"md5={MD5}", x_amz_checksum_crc32=CRC32), body)
    assert 1 == body.reads


def test_other_stored_bytes_are_an_error() -> None:
    """It names the header and the place, and no value."""
    with pytest.raises(IntegrityError) as caught:
        compare(answered(x_checksum_sha1=VALUES["sha1"]), BytesBody(b"hello w0rld"))
    expected = (
        "PUT https://files.example.com/k: the service says by X-Checksum-Sha1 that it has stored "
        "other bytes"
    )
    assert expected == str(caught.value)


def test_a_silent_answer_costs_nothing() -> None:
    """Where the service says nothing the body is not read again."""
    body = CountedBody(HELLO)
    compare(answered(etag='"1"'), body)
    assert 0 == body.reads


def test_what_was_sent_is_not_taken_again() -> None:
    """A checksum that went with the store is known when the answer comes."""
    body, taken = CountedBody(HELLO), dict[str, bytes]()
    carry_out(sent("Content-MD5", body, taken))
    compare(answered(content_md5=MD5), body, taken)
    assert 1 == body.reads


def test_the_digest_of_what_was_sent_is_known() -> None:
    """A body that was measured on its way is not read again for its SHA-256."""
    body = CountedBody(HELLO)
    measured = MeasuredBody(body)
    assert [HELLO] == list(measured.chunks())
    compare(answered(docker_content_digest=f"sha256:{VALUES['sha256']}"), measured)
    assert 1 == body.reads


def test_a_source_that_changes_after_its_checksum_was_taken_is_noticed() -> None:
    """What is sent is what the header says, or there is an error."""
    data = [HELLO]

    class Changing(BytesBody):
        """Bytes that somebody writes to."""

        def chunks(self) -> Iterator[bytes]:
            """Yield what is there now."""
            yield from data

    body = MeasuredBody(Changing(HELLO))
    carry_out(sent("X-Checksum-Md5", body, {}))
    data[0] = b"hello w0rld"
    with pytest.raises(IntegrityError, match="changed while it was stored"):
        list(body.chunks())
