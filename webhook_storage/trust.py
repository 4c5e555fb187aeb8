"""The question whether bytes may become code again, and who vouches for them.

Rule: nothing of a payload is decoded, unpickled or executed before `admit` has returned.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from webhook_storage.envelope import Claim, Envelope, Header, unseal
from webhook_storage.errors import (
    ConfigurationError,
    ExpiredArtifactError,
    FlowLoadError,
    IntegrityError,
    SignatureError,
    TrustError,
    UnexpectedAnswerError,
)
from webhook_storage.interpreter import check_python

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.secret import Keys

Trust: TypeAlias = Literal["verified", "unsigned"]
"""``verified`` loads what a signature or a pinned digest vouches for, ``unsigned`` anything."""

SIZE_LIMIT = 1024 * 1024 * 1024
"""Most bytes of a flow that are fetched into memory."""

STAGES = "stages-1"
"""How a header calls a payload that was compressed or encrypted by this version's `stages`."""

ENCODINGS = frozenset({STAGES})
"""Encodings of a payload that this version can undo, where the storage says how."""

_KINDS = ("pickle", "script")
_SHOWN = 5
"""Most names of other flows that an error tells."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Bytes that may become code.

    Attributes:
        kind: ``pickle`` or ``script``.
        payload: The pickle, or the script's source.
        python: Version that stored it, empty when it is not recorded.
    """

    kind: str
    payload: bytes
    python: str = ""


class Found(NamedTuple):
    """What came, and who vouches for it.

    Attributes:
        envelope: The envelope that it is, None when it is bare.
        claim: The signature that holds, None when there is none.
        pinned: Whether its digest is the pinned one, None when nothing is pinned.
    """

    envelope: Envelope | None
    claim: Claim | None
    pinned: bool | None


def admit(
    data: bytes,
    *,
    name: str,
    script: bool,
    pinned: str | None,
    keys: Keys,
    trust: Trust,
    decode: Callable[[bytes], bytes] | None = None,
    must_decode: bool = False,
    now: datetime | None = None,
) -> Admitted:
    """Return what is in the bytes when something vouches for it.

    In this order: signature, name, expiry, digest, Python version; then what was done to the
    payload is undone. The pinned digest is that of the receipt which travels with the storage.

    From the very moment of its expiry an artifact is refused: nothing is added for clocks that
    differ, whoever sets an expiry adds it. A time of storing in the future is no fault.

    Args:
        data: What was fetched.
        name: The flow that was asked for.
        script: Whether the storage holds scripts.
        pinned: SHA-256 of what this storage stored, or None when it stored nothing.
        keys: Keys of which a signature is accepted.
        trust: ``unsigned`` for code that nothing vouches for.
        decode: Undoes what the header says was done to the payload.
        must_decode: Whether a payload to which nothing was done is refused, also when it is signed.
        now: Time that it is, with its zone; None asks the clock.

    Raises:
        TrustError: When nothing vouches for it, or it is not encoded and must be.
        IntegrityError: When it is not what was stored, or a later version stored it.
        PythonVersionError: When another Python pickled it.
        UnexpectedAnswerError: When it is an HTML page.
        ConfigurationError: When it is encoded and `decode` is not given, or a key is none.
    """
    if trust not in {"verified", "unsigned"}:
        message = f"trust is 'verified' or 'unsigned', not {trust!r}"
        raise ConfigurationError(message)
    found = vouched(data, name, script=script, pinned=pinned, keys=keys, trust=trust)
    envelope = found.envelope
    if envelope is None:
        if must_decode:
            raise not_encoded(name)
        return Admitted("script", data) if script else _prefect_1(data)
    header = check(envelope, name, now)
    if header.kind == "pickle":
        check_python(header.python)
    if must_decode and not header.encoding:
        raise not_encoded(name)
    undo = _decoder(header.encoding, name, decode)
    return Admitted(header.kind, undo(envelope.payload), header.python)


def expiry(seconds: float | None, now: datetime | None = None) -> str:
    """Return the time after which what is stored now is refused, as a header holds it.

    Args:
        seconds: How long it is good; None for ever, which gives an empty text.
        now: Time that it is, with its zone; None asks the clock.

    Raises:
        ConfigurationError: When it is no number above 0, or leads beyond the year 9999.

    Example:
        >>> from datetime import UTC, datetime
        >>> expiry(90, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        '2026-01-02T03:05:35+00:00'
    """
    if seconds is None:
        return ""
    with contextlib.suppress(OverflowError, TypeError):
        if seconds > 0:
            moment = (now or datetime.now(UTC)) + timedelta(seconds=seconds)
            return moment.astimezone(UTC).isoformat()
    message = "an artifact can be good for a number of seconds above 0, or for ever"
    raise ConfigurationError(message, path="expire_after", hint="leave it out for ever")


# --- who vouches ---------------------------------------------------------------------------------


def vouched(
    data: bytes, name: str, *, script: bool, pinned: str | None, keys: Keys, trust: Trust
) -> Found:
    """Return what came; something vouches for it, or the caller wants none of that."""
    envelope = unseal(data)
    if envelope is None:
        _refuse_html(data, script=script)
    equal = pinned is not None and hmac.compare_digest(
        hashlib.sha256(data).hexdigest().encode(), pinned.lower().encode(errors="replace")
    )
    claim = None if envelope is None else envelope.verified(keys)
    if not (claim or equal or trust == "unsigned"):
        raise _nobody_vouches(name, envelope, keys, pinned)
    return Found(envelope, claim, None if pinned is None else equal)


def _nobody_vouches(
    name: str, envelope: Envelope | None, keys: Keys, pinned: str | None
) -> Exception:
    signed = envelope is not None and bool(envelope.key_ids)
    if pinned is not None and not signed:
        message = f"flow {name!r} is not what this storage stored: its digest is another"
        return IntegrityError(message, hint=_HINT_UNSIGNED)
    if not signed:
        message = f"flow {name!r} is not signed, and no receipt pins its digest"
    else:
        # Which key it names is not told: nothing vouches for that text either.
        known = ", ".join(map(repr, keys)) or "none"
        message = f"flow {name!r} is signed by no key of this storage (it has: {known})"
    return TrustError(message, hint=_HINT_UNSIGNED)


_HINT_UNSIGNED = (
    "store it with signing_keys, or build it with this storage; "
    "trust='unsigned' loads it all the same, and lets the service run code here"
)


def _refuse_html(data: bytes, *, script: bool) -> None:
    start = data[:256].lstrip().lower()
    if not script and start.startswith((b"<!doctype", b"<html", b"<?xml")):
        message = "the service answered with a page instead of a flow"
        raise UnexpectedAnswerError(message, status=200, hint="a login page? check the credential")


# --- what it says of itself ----------------------------------------------------------------------


def check(envelope: Envelope, name: str, now: datetime | None) -> Header:
    """Compare name, expiry, digest and kind, and return the header."""
    header = envelope.header
    if name not in header.names:
        stored = ", ".join(map(repr, header.names[:_SHOWN])) or "nothing"
        message = f"asked for flow {name!r}, and the service has {stored} in its place"
        raise SignatureError(message, hint="artifacts were swapped, or the URL lacks ${flow.slug}")
    if header.expires and (moment := _moment(header.expires)) <= (now or datetime.now(UTC)):
        message = f"the artifact of flow {name!r} expired at {moment.isoformat()}"
        raise ExpiredArtifactError(message, hint="store it again")
    envelope.check_payload()
    if header.kind not in _KINDS:
        message = f"the envelope holds a {header.kind!r}, no flow"
        raise FlowLoadError(message, hint="fetch it with get()")
    return header


def _moment(text: str) -> datetime:
    """Return a time that has a zone.

    Raises:
        IntegrityError: When the text is none.
    """
    moment = None
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text)
    if moment is None or moment.tzinfo is None:
        message = "the envelope is broken: it expires at no time with a zone"
        raise IntegrityError(message, hint="store it again")
    return moment


def not_encoded(name: str) -> TrustError:
    """Return the error for a payload that anybody could read who can read the service."""
    message = f"flow {name!r} is not encrypted, and this storage takes encrypted flows only"
    return TrustError(message, hint="store it again with this storage")


def _decoder(
    encoding: str, name: str, decode: Callable[[bytes], bytes] | None
) -> Callable[[bytes], bytes]:
    """Return what undoes an encoding."""
    if not encoding:
        return bytes
    if encoding not in ENCODINGS:
        message = f"flow {name!r} was stored by a version that does more to a payload than this one"
        raise IntegrityError(message, hint="pip install --upgrade webhook-storage")
    if decode is None:
        message = f"flow {name!r} was compressed or encrypted, and this storage does neither"
        hint = "give it the compression and encryption_keys of the storage that stored it"
        raise ConfigurationError(message, hint=hint)
    return decode


def _prefect_1(data: bytes) -> Admitted:
    """Return the pickle that Prefect 1 stored: JSON with base64 and versions, or bare."""
    if not data.lstrip().startswith(b"{"):
        return Admitted("pickle", data)
    document = None
    try:
        document = json.loads(data)
        payload = base64.b64decode(document["flow"])
        python = str(document.get("versions", {}).get("python", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        payload, python = b"", ""
    if not payload:
        message = "the service answered with a JSON document that holds no flow"
        raise UnexpectedAnswerError(message, status=200, hint="is it an error of the service?")
    if python:
        check_python(f"CPython {python}")
    return Admitted("pickle", payload, python)
