from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import pickle
import struct
from typing import Any

import pytest

from webhook_storage.envelope import (
    HEADER_LIMIT,
    MAGIC,
    SIGNATURE_LIMIT,
    Envelope,
    Header,
    seal,
    unseal,
)
from webhook_storage.errors import (
    ConfigurationError,
    IntegrityError,
    SignatureError,
    WebhookStorageError,
)
from webhook_storage.flows import admit
from webhook_storage.secret import SecretValue

PAYLOAD = b"print('hello')\n"
HEADER = Header(
    kind="script",
    names=("etl", "größe"),
    sha256="6f16ec9cb91be2f04a6a1fd5e14b0d8f3d4a3a3a0fb1f8b4ec1dc5b0c2a8a1b0",
    size=len(PAYLOAD),
    created="2026-01-02T03:04:05+00:00",
    python="CPython 3.11.7",
)
HEADER = dataclasses.replace(HEADER, sha256=hashlib.sha256(PAYLOAD).hexdigest())
OLD_TEXT = "the old key of 2025"
OLD, NEW = SecretValue(OLD_TEXT), SecretValue("the new key of 2026")
KEYS = {"2025": OLD}

GOLDEN_HEADER = (
    b'{"kind":"script","names":["etl","gr\\u00f6\\u00dfe"],'
    b'"sha256":"' + hashlib.sha256(PAYLOAD).hexdigest().encode() + b'","size":15,'
    b'"created":"2026-01-02T03:04:05+00:00","python":"CPython 3.11.7",'
    b'"cloudpickle":"","expires":""}'
)


STORED = (
    "iVdIU1RPCgEAAADnAAAAW3sia2luZCI6InNjcmlwdCIsIm5hbWVzIjpbImV0bCIsImdyXHUwMGY2XHUwMGRmZSJd"
    "LCJzaGEyNTYiOiIwM2U2OTNkOWYyZjY4N2UwZjQwZTM2YThkZjdmY2I0ZDFjMjI5NzQwMTJiN2MyYTU1YzAwMGVi"
    "MzBmMzA1ODI0Iiwic2l6ZSI6MTUsImNyZWF0ZWQiOiIyMDI2LTAxLTAyVDAzOjA0OjA1KzAwOjAwIiwicHl0aG9u"
    "IjoiQ1B5dGhvbiAzLjExLjciLCJjbG91ZHBpY2tsZSI6IiIsImV4cGlyZXMiOiIifVt7ImtleWlkIjoiMjAyNSIs"
    "ImFsZyI6ImhtYWMtc2hhMjU2Iiwic2lnIjoiMmdmZnNDUWpqRXZBZ3ptSDFUbVBzVEg1UkdkVzFmeC9CQkxrTlN4"
    "NHNrMD0ifV1wcmludCgnaGVsbG8nKQo="
)
"""What the first version of the library wrote with this key, kept as it was."""


def expected_signature(head: bytes, key: str) -> str:
    """Sign as the DSSE protocol says, written down from its text and not from our code."""
    kind = b"application/vnd.webhook-storage.header+json"
    encoded = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(head)).encode(), head])
    return base64.b64encode(hmac.new(key.encode(), encoded, hashlib.sha256).digest()).decode()


def compose(
    head: bytes, signatures: bytes, payload: bytes = PAYLOAD, magic: bytes = MAGIC
) -> bytes:
    """Put an envelope together by hand."""
    lengths = struct.pack(">II", len(head), len(signatures))
    return magic + lengths + head + signatures + payload


def opened(data: bytes) -> Envelope:
    """Open what must be an envelope."""
    return unseal(data) or pytest.fail("this is no envelope")


def header_bytes(**changes: Any) -> bytes:
    """Return a header with other values; None leaves a field out."""
    fields = {**json.loads(GOLDEN_HEADER), **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def test_format_1_is_these_bytes() -> None:
    """The format is fixed, byte for byte, and its signature is that of DSSE."""
    signature = expected_signature(GOLDEN_HEADER, OLD_TEXT)
    signatures = b'[{"keyid":"2025","alg":"hmac-sha256","sig":"%s"}]' % signature.encode()
    golden = (
        b"\x89WHSTO\n\x01"
        + bytes([0, 0, 0, len(GOLDEN_HEADER), 0, 0, 0, len(signatures)])
        + GOLDEN_HEADER
        + signatures
        + b"print('hello')\n"
    )
    assert golden == seal(HEADER, PAYLOAD, KEYS)


def test_a_literal_copy_of_format_1_is_read() -> None:
    """An envelope that an earlier version wrote opens and verifies for ever."""
    envelope = opened(base64.b64decode(STORED))
    assert envelope.verify(KEYS) == "2025"
    assert (HEADER, PAYLOAD, ("2025",)) == (envelope.header, envelope.payload, envelope.key_ids)


def test_an_unsigned_envelope_names_no_key() -> None:
    """Without keys there is an empty list of signatures, which nobody verifies."""
    envelope = opened(seal(HEADER, PAYLOAD, {}))
    assert ((), None) == (envelope.key_ids, envelope.verify(KEYS))
    envelope.check_payload()


def test_the_first_key_signs() -> None:
    """Of several keys one signs, so that a key can be added before it is used."""
    envelope = opened(seal(HEADER, PAYLOAD, {"2026": NEW, "2025": OLD}))
    assert envelope.key_ids == ("2026",)


def test_a_key_can_be_replaced() -> None:
    """During a rotation both keys verify; afterwards the old one means nothing."""
    old, new = (
        seal(HEADER, PAYLOAD, {"2025": OLD}),
        seal(HEADER, PAYLOAD, {"2026": NEW, "2025": OLD}),
    )
    both = {"2026": NEW, "2025": OLD}
    assert ["2025", "2026"] == [opened(old).verify(both), opened(new).verify(both)]
    assert opened(old).verify({"2026": NEW}) is None


def test_a_wrong_key_does_not_verify() -> None:
    """A key of the same id and another value is an error, not an unknown key."""
    with pytest.raises(SignatureError, match="by key '2025' does not hold"):
        opened(seal(HEADER, PAYLOAD, KEYS)).verify({"2025": NEW})


def test_another_algorithm_does_not_verify() -> None:
    """A signature is only what the algorithm of this format makes it."""
    forged = seal(HEADER, PAYLOAD, KEYS).replace(b"hmac-sha256", b"none-sha256")
    with pytest.raises(SignatureError):
        opened(forged).verify(KEYS)


def test_any_of_several_signatures_verifies() -> None:
    """Signatures of keys that are not known here are passed over."""
    entries = [
        {"keyid": key_id, "alg": "hmac-sha256", "sig": expected_signature(GOLDEN_HEADER, key)}
        for key_id, key in (("theirs", "another"), ("2025", OLD_TEXT))
    ]
    data = compose(GOLDEN_HEADER, json.dumps(entries).encode())
    assert opened(data).verify(KEYS) == "2025"


@pytest.mark.parametrize("count", [SIGNATURE_LIMIT, SIGNATURE_LIMIT + 1])
def test_there_are_few_signatures(count: int) -> None:
    """As many as a rotation may need are looked at, and no more: each takes time to verify."""
    entry = {"keyid": "theirs", "alg": "ed25519", "sig": "AAAA"}
    data = compose(GOLDEN_HEADER, json.dumps([entry] * count).encode())
    if count > SIGNATURE_LIMIT:
        with pytest.raises(IntegrityError, match="too many signatures"):
            unseal(data)
    else:
        assert opened(data).key_ids == ("theirs",) * SIGNATURE_LIMIT


def test_the_first_signature_by_a_key_that_is_known_decides() -> None:
    """A forged signature in front of a good one is not passed over."""
    good = {"keyid": "2025", "alg": "hmac-sha256", "sig": ""}
    good["sig"] = expected_signature(GOLDEN_HEADER, OLD_TEXT)
    bad = {**good, "sig": expected_signature(GOLDEN_HEADER, "another key, as long")}
    envelope = opened(compose(GOLDEN_HEADER, json.dumps([bad, good]).encode()))
    with pytest.raises(SignatureError):
        envelope.verify(KEYS)


def test_an_encoding_is_signed_and_read() -> None:
    """What was done to the payload stands in the header, and cannot be taken away or put in."""
    staged = dataclasses.replace(HEADER, encoding="stages-1")
    data = seal(staged, PAYLOAD, KEYS)
    assert opened(data).header == staged
    assert opened(data).verify(KEYS) == "2025"
    with pytest.raises(SignatureError):
        opened(data.replace(b'"stages-1"', b'"stages-2"')).verify(KEYS)
    with pytest.raises(SignatureError):
        opened(data.replace(b'"encoding"', b'"encodimg"')).verify(KEYS)


def test_a_header_that_nobody_would_read_is_not_written() -> None:
    """What is too long to be opened again is refused when it is stored, not when it is fetched."""
    many = tuple(f"flow number {number}" for number in range(HEADER_LIMIT // 16))
    with pytest.raises(ConfigurationError, match="longer than 65536 bytes") as caught:
        seal(dataclasses.replace(HEADER, names=many), PAYLOAD, KEYS)
    assert caught.value.hint == "put fewer flows into one script"
    few = dataclasses.replace(HEADER, names=many[: len(many) // 2])
    assert opened(seal(few, PAYLOAD, KEYS)).header == few


def test_a_field_of_a_later_version_is_signed_all_the_same() -> None:
    """An unknown field does not disturb, and it cannot be slipped in either."""
    head = header_bytes(compression="zstd")
    signature = expected_signature(head, OLD_TEXT)
    signatures = json.dumps([{"keyid": "2025", "alg": "hmac-sha256", "sig": signature}]).encode()
    envelope = opened(compose(head, signatures))
    assert (HEADER, "2025") == (envelope.header, envelope.verify(KEYS))
    slipped = seal(HEADER, PAYLOAD, KEYS).replace(b'"expires":""', b'"expirez":""')
    with pytest.raises(SignatureError):
        opened(slipped).verify(KEYS)


def test_a_newer_format_asks_for_a_newer_version() -> None:
    """The version is in the magic, and the advice says what to do."""
    data = compose(GOLDEN_HEADER, b"[]", magic=MAGIC[:-1] + b"\x02")
    with pytest.raises(IntegrityError, match="newer format") as caught:
        unseal(data)
    assert caught.value.hint == "pip install --upgrade webhook-storage"


def refusal(data: bytes) -> type[WebhookStorageError] | None:
    """Return what refuses the bytes when they are to be loaded, None when nothing does."""
    try:
        admit(data, name="etl", script=False, pinned=None, keys=KEYS, trust="verified")
    except WebhookStorageError as error:
        return type(error)
    return None


def test_each_changed_byte_is_refused() -> None:
    """Whatever byte of prefix, header, signature or payload is another, nothing is admitted."""
    data = seal(HEADER, PAYLOAD, KEYS)
    assert refusal(data) is None
    admitted = [
        (offset, mask)
        for offset in range(len(data))
        for mask in (0x01, 0x04, 0x20, 0x80, 0xFF)
        if refusal(data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]) is None
    ]
    assert [] == admitted


def test_each_missing_or_added_byte_is_refused() -> None:
    """Whatever is cut, left out or put in, nothing is admitted."""
    data = seal(HEADER, PAYLOAD, KEYS)
    candidates = [data[:end] for end in range(len(data))]
    candidates += [data[:at] + data[at + 1 :] for at in range(len(data))]
    candidates += [data[:at] + b"0" + data[at:] for at in range(len(data) + 1)]
    assert [] == [candidate for candidate in candidates if refusal(candidate) is None]


def test_a_truncated_envelope_is_broken_or_none() -> None:
    """At every offset the cut is noticed: by the magic, the lengths, or the digest."""
    data = seal(HEADER, PAYLOAD, KEYS)
    whole = len(data) - len(PAYLOAD)
    for end in range(len(MAGIC) - 1):
        assert unseal(data[:end]) is None
    for end in range(len(MAGIC) - 1, whole):
        with pytest.raises(IntegrityError, match="broken"):
            unseal(data[:end])
    for end in range(whole, len(data)):
        with pytest.raises(IntegrityError, match="15 bytes"):
            opened(data[:end]).check_payload()


@pytest.mark.parametrize("data", [b"", pickle.dumps(1), b"<html>", b"\x89PNG\r\n\x1a\n", b"#!/usr"])
def test_other_bytes_are_no_envelope(data: bytes) -> None:
    """What does not begin with the magic is something else, which is no error yet."""
    assert unseal(data) is None


@pytest.mark.parametrize("where", [0, 1])
def test_a_header_over_the_limit_is_not_parsed(where: int) -> None:
    """Announcing a huge header or list of signatures is refused before anything is read."""
    lengths = [10, 10]
    lengths[where] = HEADER_LIMIT + 1
    with pytest.raises(IntegrityError, match="too long"):
        unseal(MAGIC + struct.pack(">II", *lengths) + b"x" * 100)


def test_a_header_at_the_limit_is_parsed() -> None:
    """The limit itself is allowed."""
    head = header_bytes(padding="x")
    head = header_bytes(padding="x" * (HEADER_LIMIT - len(head) + 1))
    assert len(head) == HEADER_LIMIT
    assert opened(compose(head, b"[]")).header == HEADER


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe\xfd", "no JSON"),
        (b"[" * 60_000, "no JSON"),
        (b'{"a":' * 10_000, "no JSON"),
        (b'{"size":' + b"9" * 5000 + b"}", "no JSON"),
        (GOLDEN_HEADER.decode().encode("utf-16"), "no JSON"),
        (b"\xef\xbb\xbf" + GOLDEN_HEADER, "no JSON"),
        (GOLDEN_HEADER.replace(b'"size":15', b'"size":NaN'), "no JSON"),
        (GOLDEN_HEADER.replace(b'"size":15', b'"more":-Infinity,"size":15'), "no JSON"),
        (GOLDEN_HEADER.replace(b'"size":15', b'"size":15,"size":15'), "no JSON"),
        (GOLDEN_HEADER.replace(b'"size":15', b'"more":{"a":1,"a":2},"size":15'), "no JSON"),
        (GOLDEN_HEADER + b"{}", "no JSON"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"{}", "incomplete"),
        (header_bytes(kind=None), "incomplete"),
        (header_bytes(names=None), "incomplete"),
        (header_bytes(python=3.11), "wrong python"),
        (header_bytes(python="\ud800"), "wrong python"),
        (header_bytes(encoding=1), "wrong encoding"),
        (header_bytes(size=-1), "wrong size"),
        (header_bytes(size=2**63), "wrong size"),
        (header_bytes(size="15"), "wrong size"),
        (header_bytes(size=True), "wrong size"),
        (header_bytes(size=15.0), "wrong size"),
        (header_bytes(names="etl"), "wrong names"),
        (header_bytes(names={"etl": 1}), "wrong names"),
        (header_bytes(names=["etl", 1]), "wrong names"),
        (header_bytes(names=["etl", "\udfff"]), "wrong names"),
        (header_bytes(expires=[]), "wrong expires"),
    ],
)
def test_a_malformed_header_is_broken(head: bytes, words: str) -> None:
    """A header is complete and has the right types, or it is broken."""
    with pytest.raises(IntegrityError, match=words):
        unseal(compose(head, b"[]"))


@pytest.mark.parametrize(
    "signatures",
    [
        b"",
        b"{}",
        b"[1]",
        b"[{}]",
        b'[{"keyid":"a","alg":"hmac-sha256"}]',
        b'[{"keyid":1,"alg":"hmac-sha256","sig":"AAAA"}]',
        b'[{"keyid":"a","alg":"hmac-sha256","sig":"AAA"}]',
        b'[{"keyid":"a","alg":"hmac-sha256","sig":"A AA"}]',
        b'[{"keyid":"a","alg":"hmac-sha256","sig":"AAB="}]',
        b'[{"keyid":"a","alg":"hmac-sha256","sig":"\\u00fc"}]',
        b'[{"keyid":"\\ud800","alg":"hmac-sha256","sig":"AAAA"}]',
        b'[{"keyid":"a","alg":"\\udc80","sig":"AAAA"}]',
        b'[{"keyid":"a","keyid":"b","alg":"hmac-sha256","sig":"AAAA"}]',
    ],
)
def test_malformed_signatures_are_broken(signatures: bytes) -> None:
    """A list of signatures is in order, and each in its one spelling, or the envelope is broken."""
    with pytest.raises(IntegrityError, match="the envelope is broken: "):
        unseal(compose(GOLDEN_HEADER, signatures))


@pytest.mark.parametrize("digest", ["", "00", "é" * 64, "\x00", HEADER.sha256.upper()])
def test_any_text_can_stand_for_the_digest(digest: str) -> None:
    """A digest that is none, or in another spelling, is a wrong one."""
    envelope = opened(compose(header_bytes(sha256=digest), b"[]"))
    with pytest.raises(IntegrityError, match="another digest"):
        envelope.check_payload()


def test_nothing_of_an_envelope_is_shown() -> None:
    """The key is nowhere in what was sealed."""
    assert OLD_TEXT.encode() not in seal(HEADER, PAYLOAD, KEYS)
