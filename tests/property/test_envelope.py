from __future__ import annotations

import contextlib
import json
import struct

from hypothesis import given
from hypothesis import strategies as st

from webhook_storage.envelope import MAGIC, Header, seal, unseal
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
keys = st.dictionaries(st.text(), st.text().map(SecretValue), max_size=3)


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
            keys={"etl": SecretValue("key")},
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
