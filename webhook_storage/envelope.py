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
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from webhook_storage.errors import IntegrityError, SignatureError
from webhook_storage.secret import SecretValue

MAGIC = b"\x89WHSTO\n\x01"
PAYLOAD_TYPE = "application/vnd.webhook-storage.header+json"
HEADER_LIMIT = 1024 * 1024
"""Most bytes of header and of signatures that are parsed."""

_TYPES: dict[str, type] = {"size": int, "names": list}
"""Types of those header fields that are no text."""

_LENGTHS = struct.Struct(">II")
_PREFIX = len(MAGIC) + _LENGTHS.size

Keys = Mapping[str, SecretValue]
"""Signing keys by key id; the first signs, all verify."""


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
        expires: Time after which it is refused, RFC 3339 in UTC, or empty.
    """

    kind: str
    names: tuple[str, ...]
    sha256: str
    size: int
    created: str
    python: str
    cloudpickle: str = ""
    expires: str = ""


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
    _signatures: tuple[tuple[str, str, bytes], ...]

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Return the ids of the keys that claim to have signed it."""
        return tuple(key_id for key_id, _, _ in self._signatures)

    def verify(self, keys: Keys) -> str | None:
        """Return the id of the key whose signature holds, or None when none of the keys signed.

        Raises:
            SignatureError: When a signature names one of the keys and does not hold.
        """
        for key_id, algorithm, signature in self._signatures:
            key = keys.get(key_id)
            if key is None:
                continue
            good = algorithm == "hmac-sha256" and hmac.compare_digest(
                signature, _mac(key, self._signed)
            )
            if not good:
                message = f"the signature by key {key_id!r} does not hold"
                raise SignatureError(
                    message, hint="the artifact was altered, or the key is another"
                )
            return key_id
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
    """Return the envelope, signed with the first of the keys, unsigned when there are none."""
    head = json.dumps(asdict(header), ensure_ascii=True, separators=(",", ":")).encode()
    signatures = [
        {"keyid": key_id, "alg": "hmac-sha256", "sig": base64.b64encode(_mac(key, head)).decode()}
        for key_id, key in list(keys.items())[:1]
    ]
    signed = json.dumps(signatures, separators=(",", ":")).encode()
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
    signatures = _parse_signatures(data[_PREFIX + head_size : start])
    return Envelope(_parse_header(head), data[start:], head, signatures)


def _mac(key: SecretValue, head: bytes) -> bytes:
    """Sign the header's bytes: HMAC-SHA256 over their DSSE pre-authentication encoding."""
    kind = PAYLOAD_TYPE.encode()
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(head), head)
    return hmac.digest(key.reveal().encode(), message, "sha256")


def _parse_header(raw: bytes) -> Header:
    document = _parse_json(raw)
    if not isinstance(document, dict):
        raise _broken("its header is no JSON object")
    # Fields of later versions are left out; they are signed all the same.
    known = {item.name: document[item.name] for item in fields(Header) if item.name in document}
    for name, value in known.items():
        if type(value) is not _TYPES.get(name, str):
            raise _broken(f"its header has a wrong {name}")
    names = known.get("names", [])
    if not all(isinstance(name, str) for name in names):
        raise _broken("its header has a wrong name")
    known["names"] = tuple(names)
    try:
        return Header(**known)
    except TypeError:
        pass
    raise _broken("its header is incomplete")


def _parse_signatures(raw: bytes) -> tuple[tuple[str, str, bytes], ...]:
    document = _parse_json(raw)
    if not isinstance(document, list):
        raise _broken("its signatures are no JSON list")
    return tuple(_parse_signature(entry) for entry in document)


def _parse_signature(entry: object) -> tuple[str, str, bytes]:
    texts = [entry.get(name) for name in ("keyid", "alg", "sig")] if isinstance(entry, dict) else []
    if len(texts) == 3 and all(isinstance(text, str) for text in texts):  # noqa: PLR2004
        key_id, algorithm, encoded = map(str, texts)
        try:
            signature = base64.b64decode(encoded, validate=True)
            if base64.b64encode(signature).decode() == encoded:
                return key_id, algorithm, signature
        except ValueError:
            pass
    raise _broken("one of its signatures is malformed")


def _parse_json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        pass
    raise _broken("its header is no JSON")


def _broken(what: str) -> IntegrityError:
    """Return the error for bytes that are no whole envelope."""
    return IntegrityError(
        f"the envelope is broken: {what}", hint="the artifact was cut; store it again"
    )
