from __future__ import annotations

import dataclasses
import hashlib
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from webhook_storage.envelope import Header, seal
from webhook_storage.errors import (
    ExpiredArtifactError,
    FlowLoadError,
    IntegrityError,
    SignatureError,
    TrustError,
    UnexpectedAnswerError,
)
from webhook_storage.secret import SecretValue
from webhook_storage.verification import Verified, verify

if TYPE_CHECKING:
    from collections.abc import Callable

KEY, OTHER = SecretValue("the key of the tests"), SecretValue("another key of them")
KEYS = {"k": KEY}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAYLOAD = b"\x80never unpickled"
HEADER = Header(
    kind="pickle",
    names=("etl",),
    sha256=hashlib.sha256(PAYLOAD).hexdigest(),
    size=len(PAYLOAD),
    created="2025-12-31T00:00:00+00:00",
    python="CPython 2.7.18",
    expires="2026-01-02T03:05:05+00:00",
    encoding="stages-7",
)


def verified(data: bytes, **options: Any) -> Verified:
    """Return what vouches for flow ``etl``."""
    given = {"name": "etl", "script": False, "pinned": None, "keys": KEYS, "now": NOW, **options}
    return verify(data, **given)


def test_a_signature_is_told() -> None:
    """Key, algorithm and all that the header says; neither Python nor encoding must fit here."""
    data = seal(HEADER, PAYLOAD, KEYS)
    expected = Verified(
        name="etl",
        kind="pickle",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        pinned=None,
        key_id="k",
        algorithm="hmac-sha256",
        created=HEADER.created,
        expires=HEADER.expires,
        python="CPython 2.7.18",
        encoding="stages-7",
    )
    assert expected == verified(data)
    assert dataclasses.replace(expected, pinned=True) == verified(data, pinned=expected.sha256)
    assert dataclasses.replace(expected, pinned=False) == verified(data, pinned="0" * 64)


@pytest.mark.parametrize(
    ("data", "script", "kind"),
    [
        (seal(HEADER, PAYLOAD, {}), False, "pickle"),
        (seal(HEADER, PAYLOAD, {"theirs": OTHER}), False, "pickle"),
        (b"print(1)", True, "script"),
        (pickle.dumps(1), False, "pickle"),
    ],
    ids=["envelope", "of another key", "script", "bare"],
)
def test_a_digest_is_told(data: bytes, kind: str, *, script: bool) -> None:
    """Where only the receipt vouches, there is no key; the twin has another digest."""
    digest = hashlib.sha256(data).hexdigest()
    found = verified(data, script=script, pinned=digest.upper())
    assert ("etl", kind, len(data), digest) == (found.name, found.kind, found.size, found.sha256)
    assert (True, "", "") == (found.pinned, found.key_id, found.algorithm)
    with pytest.raises((TrustError, IntegrityError)):
        verified(data, script=script, pinned="0" * 64)
    with pytest.raises(TrustError):
        verified(data, script=script)


REFUSED: dict[str, tuple[Callable[[], bytes], dict[str, Any], type[Exception]]] = {
    "another name": (lambda: seal(HEADER, PAYLOAD, KEYS), {"name": "x"}, SignatureError),
    "another key": (lambda: seal(HEADER, PAYLOAD, {"k": OTHER}), {}, SignatureError),
    "expired": (
        lambda: seal(HEADER, PAYLOAD, KEYS), {"now": NOW + timedelta(hours=1)},
        ExpiredArtifactError,
    ),
    "altered": (lambda: seal(HEADER, PAYLOAD, KEYS)[:-1], {}, IntegrityError),
    "no flow": (
        lambda: seal(dataclasses.replace(HEADER, kind="result"), PAYLOAD, KEYS), {}, FlowLoadError,
    ),
    "a page": (lambda: b"<html>log in", {}, UnexpectedAnswerError),
    "not encrypted": (
        lambda: seal(dataclasses.replace(HEADER, encoding=""), PAYLOAD, KEYS),
        {"must_decode": True}, TrustError,
    ),
    "bare, not encrypted": (
        lambda: b"x", {"must_decode": True, "pinned": hashlib.sha256(b"x").hexdigest()},
        TrustError,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_be_loaded_is_not_verified(case: str) -> None:
    """What `get_flow` refuses for what it is, and not for where it runs, is refused here too."""
    make, options, error = REFUSED[case]
    with pytest.raises(error) as caught:
        verified(make(), **options)
    assert error is type(caught.value)
    if case == "not encrypted":
        assert verified(make(), **{**options, "must_decode": False}).encoding == ""
