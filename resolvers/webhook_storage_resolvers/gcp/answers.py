"""What the answers of Google Secret Manager mean.

Facts: "Secret Manager API: REST", "Data integrity", "Method: projects.secrets.versions.access" and
"Errors" (AIP-193) of the Google Cloud documentation; RFC 3720, appendix B.4, for CRC-32C. A secret
that may not be read and one that is not there are both 403 for whoever has rights on single secrets
only. Nothing that Google says is repeated word for word.
"""

from __future__ import annotations

import base64
from functools import cache
from http.client import BAD_REQUEST, FORBIDDEN, NOT_FOUND, OK, UNAUTHORIZED
from typing import TYPE_CHECKING

from webhook_storage.contracts import Forbidden, Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.document import select
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from webhook_storage.client import HttpAnswer

REFUSED = Forbidden("the token is not accepted, though it is new: check the endpoint")

_FORBIDDEN = Forbidden("needs the role Secret Manager Secret Accessor", maybe_missing=True)
_MEANINGS: dict[tuple[int, str], Outcome] = {
    (NOT_FOUND, "NOT_FOUND"): NotFound(),
    (BAD_REQUEST, "FAILED_PRECONDITION"): NotFound("the version is disabled or was destroyed"),
    (BAD_REQUEST, "INVALID_ARGUMENT"): Invalid(
        "Secret Manager does not understand the project, name or version"
    ),
}
_REASONS = {
    "SERVICE_DISABLED": Forbidden(
        "the Secret Manager API is off: enable it, or set GOOGLE_CLOUD_QUOTA_PROJECT"
    ),
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": Forbidden(
        "the token lacks the scope cloud-platform: give it to the machine"
    ),
    "USER_PROJECT_DENIED": Forbidden(
        "the account may not use its quota project: it lacks the role Service Usage Consumer"
    ),
    "BILLING_DISABLED": Forbidden("the project has no billing account: link one"),
}
_POLYNOMIAL = 0x82F63B78
"""That of Castagnoli, its bits reversed."""


def outcome_of(answer: HttpAnswer) -> Outcome:
    """Return what an answer to the access of a version means."""
    document = answer.document()
    if answer.status == OK:
        return _found(document) or answer.trouble()
    if answer.status == UNAUTHORIZED:
        return REFUSED
    if answer.status == FORBIDDEN:
        return _forbidden(document)
    word = select(document, "/error/status")
    return _MEANINGS.get((answer.status, str(word))) or answer.trouble()


def _found(document: object) -> Outcome | None:
    """Return the secret in a successful answer, None when it is no such answer."""
    parts = [select(document, path) for path in ("/name", "/payload/data", "/payload/dataCrc32c")]
    if not all(isinstance(part, str) for part in parts):
        return None
    name, data, checksum = parts
    try:
        payload = base64.b64decode(data, validate=True)
    except ValueError:
        return None
    if str(crc32c(payload)) != checksum:
        return Unavailable("the payload was damaged on its way, its checksum is wrong")
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return Invalid("the payload is not UTF-8")
    return Found(value=SecretValue(text), version=name.rpartition("/")[2])


def _forbidden(document: object) -> Forbidden:
    """Say why a secret may not be read, as far as Google tells."""
    details = select(document, "/error/details")
    for detail in details if isinstance(details, list) else ():
        reason = select(detail, "reason")
        if isinstance(reason, str) and reason in _REASONS:
            return _REASONS[reason]
    return _FORBIDDEN


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes, with which Google checks payloads.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    table, rest = _table(), 0xFFFFFFFF
    for byte in data:
        rest = table[(rest ^ byte) & 0xFF] ^ (rest >> 8)
    return rest ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    """Return what each byte does to the rest."""
    return tuple(_remainder(byte) for byte in range(256))


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte
