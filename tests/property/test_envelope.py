from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook_storage.envelope import HEADER_LIMIT, MAGIC, Header, seal, unseal
from webhook_storage.errors import IntegrityError, WebhookStorageError
from webhook_storage.flows import Admitted, admit
from webhook_storage.secret import SecretValue

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(), child, max_size=3),
    max_leaves=8,
)
texts = st.text() | st.just("etl") | st.just("pickle") | st.datetimes().map(str)
headers = st.fixed_dictionaries(
    {
        "kind": texts | json_values,
        "names": st.just(["etl"]) | st.lists(texts) | json_values,
        "sha256": texts | json_values,
        "size": st.just(0) | json_values,
        "created": texts | json_values,
        "python": texts | json_values,
    },
    optional={"expires": texts | json_values, "cloudpickle": texts, "new": json_values},
)
signatures = st.lists(
    st.fixed_dictionaries({"keyid": texts, "alg": texts, "sig": texts}) | json_values, max_size=3
)
secrets = st.text(min_size=16).filter(lambda text: len(text.strip()) >= 16 and "BEGIN" not in text)
keys = st.dictionaries(st.text(), secrets.map(SecretValue), max_size=3)

PRIVATE = SecretValue(
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
    "-----END PRIVATE KEY-----\n"
)


def compose(head: bytes, signed: bytes, payload: bytes) -> bytes:
    """Put an envelope together, whatever its parts are."""
    return MAGIC + struct.pack(">II", len(head), len(signed)) + head + signed + payload


@given(st.binary() | st.builds(lambda tail: MAGIC + tail, st.binary()))
def test_any_bytes_are_an_envelope_or_broken_or_none(data: bytes) -> None:
    """Reading never fails in another way than by saying that the envelope is broken."""
    with contextlib.suppress(IntegrityError):
        unseal(data)


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=20))
def test_any_parts_are_an_envelope_or_broken(head: bytes, signed: bytes, payload: bytes) -> None:
    """The same holds when the lengths are right and the parts are anything."""
    with contextlib.suppress(IntegrityError):
        assert unseal(compose(head, signed, payload)) is not None


@given(head=headers, signed=signatures, pinned=st.none() | st.text(), unsigned=st.booleans())
def test_any_envelope_is_admitted_or_refused(
    head: dict[str, object], signed: list[object], pinned: str | None, *, unsigned: bool
) -> None:
    """Whatever JSON stands in an envelope, admitting it gives bytes or one of our errors."""
    data = compose(json.dumps(head).encode(), json.dumps(signed).encode(), b"")
    with contextlib.suppress(WebhookStorageError):
        admitted = admit(
            data,
            name="etl",
            script=False,
            pinned=pinned,
            keys={"etl": SecretValue("the key of the tests")},
            trust="unsigned" if unsigned else "verified",
        )
        assert unsigned
        assert isinstance(admitted, Admitted)


@given(st.binary() | json_values.map(lambda value: json.dumps({"flow": value}).encode()))
def test_any_bytes_are_admitted_or_refused(data: bytes) -> None:
    """The same holds for what is no envelope, as Prefect 1 stored it."""
    with contextlib.suppress(WebhookStorageError):
        admit(data, name="etl", script=False, pinned=None, keys={}, trust="unsigned")


@given(st.lists(st.text()), st.text(), st.binary(), keys)
def test_what_is_sealed_can_be_opened(
    names: list[str], text: str, payload: bytes, signing: dict[str, SecretValue]
) -> None:
    """Header and payload come back as they were, and the first key has signed."""
    header = Header(kind=text, names=tuple(names), sha256=text, size=3, created=text, python=text)
    envelope = unseal(seal(header, payload, signing))
    assert envelope is not None
    assert (header, payload) == (envelope.header, envelope.payload)
    assert next(iter(signing), None) == envelope.verify(signing)


# --- a sealed envelope ----------------------------------------------------------------------------

PAYLOAD = b"what is stored"
HEADER = Header(
    kind="script",
    names=("etl",),
    sha256=hashlib.sha256(PAYLOAD).hexdigest(),
    size=len(PAYLOAD),
    created="2026-01-02T03:04:05+00:00",
    python="CPython 3.11.7",
)
SIGNING = {"hmac": SecretValue("the key of the tests"), "ed25519": PRIVATE}
SIGNED = {name: seal(HEADER, PAYLOAD, {"k": key}) for name, key in SIGNING.items()}


def is_admitted(data: bytes, kind: str) -> bool:
    """Tell whether the bytes are admitted; what refuses them is an error of ours."""
    key = {"k": SIGNING[kind]}
    try:
        admit(data, name="etl", script=True, pinned=None, keys=key, trust="verified")
    except WebhookStorageError:
        return False
    return True


@pytest.mark.parametrize("kind", SIGNED)
def test_no_bit_can_be_flipped(kind: str) -> None:
    """Every single bit of magic, lengths, header, signature and payload is vouched for."""
    data = SIGNED[kind]
    assert is_admitted(data, kind)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not is_admitted(bytes(flipped), kind), bit


edits = st.tuples(st.integers(0, 1000), st.integers(0, 30), st.binary(max_size=30))


@pytest.mark.parametrize("kind", SIGNED)
@given(edited=st.lists(edits, min_size=1, max_size=4))
def test_no_edit_is_admitted(kind: str, edited: list[tuple[int, int, bytes]]) -> None:
    """Whatever is cut out and put in, the bytes are those that were signed, or refused."""
    data = SIGNED[kind]
    for place, length, put in edited:
        start = place % (len(data) + 1)
        data = data[:start] + put + data[start + length :]
    assert is_admitted(data, kind) == (data == SIGNED[kind])


@pytest.mark.parametrize("kind", SIGNED)
@given(head=headers, payload=st.binary(max_size=50))
def test_a_signature_holds_for_its_header_only(
    kind: str, head: dict[str, Any], payload: bytes
) -> None:
    """A good signature behind another header vouches for nothing."""
    data = SIGNED[kind]
    signatures = data[data.index(b"[{") : -len(PAYLOAD)]
    assert not is_admitted(compose(json.dumps(head).encode(), signatures, payload), kind)


# --- memory ---------------------------------------------------------------------------------------

CONSTANT = 2 * 1024 * 1024
"""Bytes that reading any envelope may take, over and above a copy of it."""


def peak(data: bytes) -> int:
    """Return the most bytes that reading took at a time."""
    tracemalloc.start()
    try:
        with contextlib.suppress(IntegrityError):
            unseal(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def nested(piece: bytes, begin: bytes = b"[", end: bytes = b"0]") -> bytes:
    """Return as much JSON of one kind as there may be."""
    return begin + piece * ((HEADER_LIMIT - len(begin + end)) // len(piece)) + end


BOMBS = {
    "lists": nested(b"[],"),
    "dicts": nested(b"{},"),
    "nested lists": b"[" * HEADER_LIMIT,
    "nested dicts": nested(b'{"":', b"", b""),
    "names that differ": b"{%s}" % b",".join(b'"%x":0' % number for number in range(7500)),
    "names": nested(b'"\\uD83D\\uDE00":0,', b"{", b'"a":0}'),
    "numbers": nested(b"1e9,"),
    "long number": nested(b"9"),
    "texts": nested(b'"\\ud83d\\ude00",'),
    "signatures": nested(b'{"keyid":"","alg":"","sig":""},'),
}


@pytest.mark.parametrize("place", ["header", "signatures"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_short_header_does_not_unpack_to_much(bomb: str, place: str) -> None:
    """The worst JSON that there may be takes two megabytes, not more."""
    good = json.dumps(dataclasses.asdict(HEADER)).encode()
    head, signed = (BOMBS[bomb], b"[]") if place == "header" else (good, BOMBS[bomb])
    data = compose(head, signed, b"x" * 1_000_000)
    assert max(len(head), len(signed)) <= HEADER_LIMIT
    assert peak(data) <= len(data) + CONSTANT


@example(MAGIC + b"\xff" * 8)
@example(MAGIC + struct.pack(">II", 2**32 - 1, 0))
@example(MAGIC + struct.pack(">II", HEADER_LIMIT, HEADER_LIMIT))
@given(st.binary(max_size=400).map(lambda tail: MAGIC + tail) | st.binary(max_size=100))
def test_announced_lengths_take_no_memory(data: bytes) -> None:
    """Nothing is reserved for what is only announced."""
    assert peak(data) <= len(data) + CONSTANT
