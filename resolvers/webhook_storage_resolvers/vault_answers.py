"""What the answers of Vault and OpenBao mean.

Facts: "KV secrets engine - version 2 (API)", "HTTP status codes" and "/sys/health" of the Vault and
OpenBao documentation. Vault answers 403 to a wrong token and to a forbidden path alike, and 404
with a body to a version that was deleted. Nothing that it says is repeated word for word.
"""

from __future__ import annotations

from http.client import (
    BAD_REQUEST,
    FORBIDDEN,
    METHOD_NOT_ALLOWED,
    MULTIPLE_CHOICES,
    NOT_FOUND,
    OK,
    SERVICE_UNAVAILABLE,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
)
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Forbidden, Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.document import MISSING, parse, select, spell
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

_MOST_DIGITS = 8
_AILMENTS: dict[int, str | None] = {
    200: None,
    429: None,  # a standby, which passes requests on
    473: None,  # a performance standby, which reads
    472: "is a disaster recovery secondary, which answers nobody",
    501: "is not initialized",
    503: "is sealed",
}


def ailment(status: int) -> str | None:
    """Return what a status of the health check says is wrong, None for nothing."""
    return _AILMENTS.get(status, f"answers with status {status}")


def outcome_of(answer: requests.Response, mount: str) -> Outcome:
    """Return what an answer means."""
    status = answer.status_code
    body = parse(answer.text)
    if isinstance(body, dict) and status == OK:
        return _found(body)
    if isinstance(body, dict) and status == NOT_FOUND:
        return _not_found(body, mount)
    if status in {UNAUTHORIZED, FORBIDDEN}:
        return Forbidden("the token is wrong or may not read this", maybe_missing=True)
    if status in {BAD_REQUEST, METHOD_NOT_ALLOWED}:
        return _not_understood(body, mount)
    return Unavailable(_trouble(status, body), retry_after=_retry_after(answer))


def _not_understood(body: object, mount: str) -> Outcome:
    """Tell a wrong path from a token that got lost."""
    if _says(body, "missing client token"):
        return Forbidden("the token did not arrive")
    return Invalid(f'the engine at "{mount}" does not understand the path or version')


def _found(body: Mapping[str, Any]) -> Outcome:
    """Return the secret in a successful answer."""
    data = select(body, "/data/data")
    version = select(body, "/data/metadata/version")
    if not isinstance(data, dict) or version is MISSING:
        return Invalid("the engine is not a key/value engine of version 2")
    text = spell(data)
    if text is None:
        return Invalid("the secret is no text")
    return Found(value=SecretValue(text), structured=True, version=str(version))


def _not_found(body: Mapping[str, Any], mount: str) -> Outcome:
    """Tell an absent secret from an absent engine."""
    if _says(body, "no handler for route"):
        return Invalid(f'no engine is mounted at "{mount}"')
    if _says(body, "versioned"):
        return Invalid("the path is not that of a secret in a versioned engine")
    metadata = select(body, "/data/metadata")
    if isinstance(metadata, dict):
        word = "destroyed" if metadata.get("destroyed") else "deleted"
        return NotFound(f"version {metadata.get('version')} was {word}")
    if body.get("errors") != []:
        return Unavailable("the answer is not one of Vault's")
    return NotFound()


def _says(body: object, words: str) -> bool:
    """Tell whether the errors or warnings of an answer hold these words."""
    lists = (body.get("errors"), body.get("warnings")) if isinstance(body, dict) else ()
    return any(words in str(text) for texts in lists for text in texts or ())


def _trouble(status: int, body: object) -> str:
    """Say why there is neither a secret nor a refusal."""
    if MULTIPLE_CHOICES <= status < BAD_REQUEST:
        return "redirects to another server, to which the token is not sent"
    if status == TOO_MANY_REQUESTS:
        return "too many requests"
    if status == SERVICE_UNAVAILABLE and _says(body, "sealed"):
        return "is sealed"
    if status in {OK, NOT_FOUND}:
        return "the answer is not one of Vault's"
    return f"answered with status {status}"


def _retry_after(answer: requests.Response) -> float | None:
    """Return the seconds that the server asks to wait."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
