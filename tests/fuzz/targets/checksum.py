"""Headers in which a service says what the checksum of some bytes is."""

from __future__ import annotations

import base64
import hashlib

from tests.fuzz.kit import SEPARATOR, joined, refusals
from webhook_storage import checksum
from webhook_storage.contracts import Response
from webhook_storage.digests import SIZES

_SHA256 = hashlib.sha256(b"x").digest()
_SHA256_TEXT = base64.b64encode(_SHA256).decode()
_MD5_TEXT = base64.b64encode(bytes(16)).decode()

SEEDS = (
    joined(f"repr-digest:sha-256=:{_SHA256_TEXT}:, sha-512=:AA==:;x=1", "content-encoding:gzip"),
    joined(f"digest:SHA-256={_SHA256_TEXT},ADLER32=3,md5={_MD5_TEXT}"),
    joined(f"content-md5:{_MD5_TEXT}", "x-ms-blob-type:PageBlob"),
    joined(f"x-goog-hash:crc32c=AAAAAA==, md5={_MD5_TEXT}", "x-goog-stored-content-encoding:gzip"),
    joined(f"oc-checksum:SHA1:{'0' * 40} ADLER32:1", f"docker-content-digest:sha256:{'0' * 64}"),
    joined(f"x-checksum-sha256:{_SHA256.hex()}", f"x-hash-md5:{'0' * 32}"),
    joined(f"x-amz-checksum-sha256:{_SHA256_TEXT}-7", "x-amz-checksum-type:COMPOSITE"),
)
WORDS = (
    SEPARATOR, b":", b"=", b"==", b",", b";", b" ", b"\t", b"sha-256=:", b"md5=", b"SHA1:", b"\xb2",
    b"repr-digest:", b"content-digest:", b"digest:", b"x-goog-hash:", b"oc-checksum:", b"\xff",
    b"etag:", b"x-amz-checksum-crc32:", b"x-amz-checksum-crc32c:", b"A" * 60, b"0" * 60, b"\x00",
)  # fmt: skip


def target(data: bytes) -> None:
    """Read headers: what is found has the length that its algorithm says."""
    headers = {}
    for part in data.split(SEPARATOR):
        name, _, value = part.decode("latin-1").partition(":")
        headers[name.lower()] = value
    response = Response(status=201, headers=headers, size=len(data) % 2)
    with refusals():
        for found in (
            checksum.parse(headers),
            checksum.announced(headers),
            checksum.announced_with_rest(headers),
            checksum.stored(response),
        ):
            assert checksum.different(found, {}) is None
            for each in found:
                assert SIZES[each.algorithm] == len(each.value)
                assert each.header.lower() in headers
                assert checksum.different([each], {each.algorithm: b""}) == each
