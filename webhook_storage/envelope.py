"""The format in which code is stored: magic, one JSON header, signatures, raw payload.

::

    8 bytes   magic, the last one is the format's version
    4 bytes   length of the header, big-endian
    4 bytes   length of the signatures, big-endian
    header    JSON, UTF-8
    signatures  JSON list of {"keyid", "alg", "sig"}
    payload   as it is

A signature is made over the header, which holds the payload's digest, with the pre-authentication
encoding of DSSE (https://github.com/secure-systems-lab/dsse, protocol.md). Nothing of the payload
is looked at before the header is trusted and the digest agrees.

Header and signatures are read before anybody vouches for them. So they are short, and strict JSON:
UTF-8, no name twice, no NaN, no text that is no Unicode.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import struct
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from webhook_storage.errors import ConfigurationError, IntegrityError, SignatureError
from webhook_storage.signing import Signature, sign, verify

if TYPE_CHECKING:
    from webhook_storage.secret import Keys

MAGIC = b"\x89WHSTO\n\x01"
PAYLOAD_TYPE = "application/vnd.webhook-storage.header+json"
HEADER_LIMIT = 64 * 1024
"""Most bytes of the header, and of the signatures, that are parsed."""

SIGNATURE_LIMIT = 16
"""Most signatures of one envelope."""

_TYPES: dict[str, type] = {"size": int, "names": list}
"""Types of those header fields that are no text."""

_NO_UNICODE = re.compile("[\ud800-\udfff]")
_LARGEST = 2**63
"""More bytes than anything has."""

_LENGTHS = struct.Struct(">II")
_PREFIX = len(MAGIC) + _LENGTHS.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an envelope says of its payload.

    Attributes:
        kind: ``pickle`` or ``script``.
        names: The flows that it holds; found under another name it is refused.
        sha256: Digest of the payload in lower-case hex.
        size: Number of bytes of the payload.
        created: Time of storing, RFC 3339 in UTC.
        python: Implementation and version that stored it, for example ``CPython 3.11.7``.
        cloudpickle: Version of cloudpickle, empty for a script.
        expires: Time from which on it is refused, RFC 3339 in UTC, or empty.
        encoding: What was done to the payload before it was sealed, empty for nothing.
    """

    kind: str
    names: tuple[str, ...]
    sha256: str
    size: int
    created: str
    python: str
    cloudpickle: str = ""
    expires: str = ""
    encoding: str = ""


class Claim(NamedTuple):
    """A signature as an envelope brings it.

    Attributes:
        key_id: The key that is said to have made it.
        signature: Algorithm and bytes.
    """

    key_id: str
    signature: Signature


@dataclass(frozen=True, slots=True)
class Envelope:
    """An opened envelope. Nothing of it is trusted yet.

    Attributes:
        header: What it says of its payload.
        payload: The bytes.
    """

    header: Header
    payload: bytes
    _signed: bytes
    _claims: tuple[Claim, ...]

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Return the ids of the keys that claim to have signed it."""
        return tuple(claim.key_id for claim in self._claims)

    def verify(self, keys: Keys) -> str | None:
        """Return the id of the key whose signature holds, or None when none of the keys signed.

        Raises:
            SignatureError: When a signature names one of the keys and does not hold.
            ConfigurationError: When that key is none.
        """
        claim = self.verified(keys)
        return claim and claim.key_id

    def verified(self, keys: Keys) -> Claim | None:
        """Return the signature that holds; else do as `verify` does."""
        for claim in self._claims:
            key = keys.get(claim.key_id)
            if key is None:
                continue
            message = _message(self._signed)
            if not verify(key, claim.signature, message, key_id=claim.key_id):
                fault = f"the signature by key {claim.key_id!r} does not hold"
                raise SignatureError(fault, hint="the artifact was altered, or the key is another")
            return claim
        return None

    def check_payload(self) -> None:
        """Compare the payload with the header.

        Raises:
            IntegrityError: When size or digest differ.
        """
        digest = hashlib.sha256(self.payload).hexdigest()
        said = self.header.sha256.encode(errors="replace")
        if len(self.payload) != self.header.size or not hmac.compare_digest(digest.encode(), said):
            message = (
                f"the payload has {len(self.payload)} bytes and another digest than its header "
                f"says ({self.header.size} bytes)"
            )
            raise IntegrityError(message, hint="the artifact was cut or altered; store it again")


def seal(header: Header, payload: bytes, keys: Keys) -> bytes:
    """Return the envelope, signed with the first of the keys, unsigned when there are none.

    Raises:
        ConfigurationError: When the first key cannot sign, or the header is too long to be read.
    """
    said = asdict(header)
    if not header.encoding:
        del said["encoding"]  # as it was before there was such a field
    head = json.dumps(said, separators=(",", ":")).encode()
    claims = [
        {"keyid": key_id, "alg": algorithm, "sig": base64.b64encode(value).decode()}
        for key_id, key in list(keys.items())[:1]
        for algorithm, value in [sign(key, _message(head), key_id=key_id)]
    ]
    signed = json.dumps(claims, separators=(",", ":")).encode()
    if max(len(head), len(signed)) > HEADER_LIMIT:
        message = f"the header of the envelope is longer than {HEADER_LIMIT} bytes"
        raise ConfigurationError(message, hint="put fewer flows into one script")
    return b"".join((MAGIC, _LENGTHS.pack(len(head), len(signed)), head, signed, payload))


def unseal(data: bytes) -> Envelope | None:
    """Return the envelope in the bytes, or None when they are something else.

    Raises:
        IntegrityError: When they begin as an envelope and do not go on as one.
    """
    if not data.startswith(MAGIC[:-1]):
        return None
    if len(data) < _PREFIX:
        raise _broken("it ends in its prefix")
    if not data.startswith(MAGIC):
        message = "the envelope has a newer format than this version of the library reads"
        raise IntegrityError(message, hint="pip install --upgrade webhook-storage")
    head_size, signed_size = _LENGTHS.unpack_from(data, len(MAGIC))
    if head_size > HEADER_LIMIT or signed_size > HEADER_LIMIT:
        raise _broken("its header is too long")
    start = _PREFIX + head_size + signed_size
    if len(data) < start:
        raise _broken("it ends in its header")
    head = data[_PREFIX : _PREFIX + head_size]
    claims = _parse_signatures(data[_PREFIX + head_size : start])
    return Envelope(_parse_header(head), data[start:], head, claims)


def _message(head: bytes) -> bytes:
    """Return what is signed: the header's bytes in the pre-authentication encoding of DSSE."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(head), head)


def _parse_header(raw: bytes) -> Header:
    document = _parse_json(raw)
    if not isinstance(document, dict):
        raise _broken("its header is no JSON object")
    # Fields of later versions are left out; they are signed all the same.
    known = {item.name: document[item.name] for item in fields(Header) if item.name in document}
    for name, value in known.items():
        if type(value) is not _TYPES.get(name, str) or not _is_sound(value):
            raise _broken(f"its header has a wrong {name}")
    if "names" in known:
        known["names"] = tuple(known["names"])
    try:
        return Header(**known)
    except TypeError:
        pass
    raise _broken("its header is incomplete")


def _parse_signatures(raw: bytes) -> tuple[Claim, ...]:
    document = _parse_json(raw)
    if not isinstance(document, list):
        raise _broken("its signatures are no JSON list")
    if len(document) > SIGNATURE_LIMIT:
        raise _broken("it has too many signatures")
    return tuple(_parse_claim(entry) for entry in document)


def _parse_claim(entry: object) -> Claim:
    texts = [entry.get(name) for name in ("keyid", "alg", "sig")] if isinstance(entry, dict) else []
    if len(texts) == 3 and all(isinstance(text, str) and _is_sound(text) for text in texts):  # noqa: PLR2004
        key_id, algorithm, encoded = map(str, texts)
        try:
            signature = base64.b64decode(encoded, validate=True)
            if base64.b64encode(signature).decode() == encoded:
                return Claim(key_id, Signature(algorithm, signature))
        except ValueError:
            pass
    raise _broken("one of its signatures is malformed")


def _is_sound(value: object) -> bool:
    """Tell whether a text is Unicode, a list is of such texts, a number is one of bytes."""
    if isinstance(value, list):
        return all(isinstance(item, str) and _is_sound(item) for item in value)
    if isinstance(value, int):
        return 0 <= value < _LARGEST
    return not _NO_UNICODE.search(str(value))


def _parse_json(raw: bytes) -> Any:
    try:
        text = raw.decode()
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError):
        pass
    raise _broken("its header is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object whose names differ, so that all readers see the same values."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError
    return made


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(constant)


def _broken(what: str) -> IntegrityError:
    """Return the error for bytes that are no whole envelope."""
    return IntegrityError(
        f"the envelope is broken: {what}", hint="the artifact was cut; store it again"
    )
