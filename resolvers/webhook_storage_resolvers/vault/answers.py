"""What the answers of Vault and OpenBao mean.

Facts: "KV secrets engine (API)", versions 1 and 2, "HTTP status codes", "/sys/health",
"/sys/wrapping/unwrap" and the logins of AppRole, Kubernetes and JWT in the Vault and OpenBao
documentation; OpenBao's source for what is answered to wrong questions. Vault answers 403 to a
wrong token and to a forbidden path alike, 404 with a body to a version that was deleted, and 400 to
most logins that it refuses. Nothing that it says is repeated word for word: the answer to a wrong
login may hold the credential.
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
from typing import TYPE_CHECKING, Any, NamedTuple

from webhook_storage.contracts import Forbidden, Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.document import MISSING, parse, select, spell
from webhook_storage.secret import SecretValue
from webhook_storage.token import Refusal, Token

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

NO_ENGINE = Invalid("there is no key/value engine at this path")

_MOST_DIGITS = 8
_LEASE_USED = 0.9
_KV_TYPES = ("kv", "generic")
_VERSIONS = {"1": 1, "2": 2}
_NOT_VAULT = "the answer is not one of Vault's"
_INTERCEPTED = (
    "the wrapped secret_id was unwrapped before, or too late: somebody may have intercepted it, "
    "so revoke it and issue a new one"
)
_AILMENTS: dict[int, str | None] = {
    200: None,
    429: None,  # a standby, which passes requests on
    473: None,  # a performance standby, which reads
    472: "is a disaster recovery secondary, which answers nobody",
    501: "is not initialized",
    503: "is sealed",
}


class Engine(NamedTuple):
    """A key/value engine.

    Attributes:
        mount: Where it is mounted, without slashes around.
        version: 1 or 2.
    """

    mount: str
    version: int


# --- states, engines, logins ---


def ailment(status: int) -> str | None:
    """Return what a status of the health check says is wrong, None for nothing."""
    return _AILMENTS.get(status, f"answers with status {status}")


def engine_of(answer: requests.Response, path: str) -> Engine | Outcome | None:
    """Return the engine that a path lies in, None when the server does not tell."""
    status, body = answer.status_code, parse(answer.text)
    if status in {UNAUTHORIZED, FORBIDDEN, BAD_REQUEST, NOT_FOUND, METHOD_NOT_ALLOWED}:
        return None
    mount = select(body, "/data/path")
    if status != OK or not isinstance(mount, str):
        return Unavailable(_trouble(status, body), retry_after=_retry_after(answer))
    mount = mount.strip("/")
    version = _VERSIONS.get(str(select(body, "/data/options/version")))
    if version is None and select(body, "/data/type") in _KV_TYPES:
        version = 1  # that of an engine which names none
    if version is None or not path.startswith(f"{mount}/"):
        return NO_ENGINE
    return Engine(mount, version)


def token_of(answer: requests.Response, mount: str, credential: str) -> Token | Refusal:
    """Return the token in the answer to a login, or to a renewal.

    Its lifetime is 0 when it does not end.

    Args:
        answer: What the server answered.
        mount: Where the auth method is mounted.
        credential: What it was shown, in words.
    """
    status, body = answer.status_code, parse(answer.text)
    if status in {UNAUTHORIZED, FORBIDDEN, BAD_REQUEST}:
        return Forbidden(f'"auth/{mount}" does not accept {credential}')
    if status in {NOT_FOUND, METHOD_NOT_ALLOWED}:
        return Invalid(f'no such auth method is mounted at "{mount}"')
    if status == OK and isinstance(select(body, "/auth/mfa_requirement"), dict):
        return Forbidden(f'"auth/{mount}" wants a second factor')
    token = select(body, "/auth/client_token")
    if status != OK or not isinstance(token, str) or not token:
        return Unavailable(_trouble(status, body), retry_after=_retry_after(answer))
    seconds = _seconds(select(body, "/auth/lease_duration"))
    return Token(SecretValue(token), seconds, select(body, "/auth/renewable") is True)


def unwrapped(answer: requests.Response) -> SecretValue | Refusal:
    """Return the secret_id that was wrapped."""
    status, body = answer.status_code, parse(answer.text)
    if status in {UNAUTHORIZED, FORBIDDEN, BAD_REQUEST, NOT_FOUND}:
        return Forbidden(_INTERCEPTED)
    secret_id = select(body, "/data/secret_id")
    if status == OK and isinstance(select(body, "/data"), dict) and not isinstance(secret_id, str):
        return Invalid("what was wrapped is no secret_id")
    if status != OK or not isinstance(secret_id, str):
        return Unavailable(_trouble(status, body), retry_after=_retry_after(answer))
    return SecretValue(secret_id)


# --- secrets ---


def outcome_of(answer: requests.Response, engine: Engine) -> Outcome:
    """Return what the answer to the reading of a secret means."""
    status = answer.status_code
    body = parse(answer.text)
    if isinstance(body, dict) and status == OK:
        return _found(body, engine)
    if isinstance(body, dict) and status == NOT_FOUND:
        return _not_found(body, engine.mount)
    if status in {UNAUTHORIZED, FORBIDDEN}:
        return Forbidden("the token is wrong or may not read this", maybe_missing=True)
    if status in {BAD_REQUEST, METHOD_NOT_ALLOWED}:
        return _not_understood(body, engine.mount)
    return Unavailable(_trouble(status, body), retry_after=_retry_after(answer))


def _not_understood(body: object, mount: str) -> Outcome:
    """Tell a wrong path from a token that got lost, and from an engine that is not ready."""
    if _says(body, "missing client token"):
        return Forbidden("the token did not arrive")
    if _says(body, "Upgrading from non-versioned"):
        return Unavailable(f'the engine at "{mount}" is being upgraded')
    return Invalid(f'the engine at "{mount}" does not understand the path or version')


def _found(body: Mapping[str, Any], engine: Engine) -> Outcome:
    """Return the secret in a successful answer."""
    versioned = engine.version != 1
    data = select(body, "/data/data" if versioned else "/data")
    version = select(body, "/data/metadata/version") if versioned else None
    if not isinstance(data, dict) or version is MISSING:
        return Invalid(f"the engine is not a key/value engine of version {engine.version}")
    text, lease = spell(data), _seconds(body.get("lease_duration"))
    if text is None:
        return Invalid("the secret is no text")
    return Found(
        value=SecretValue(text),
        structured=True,
        version=None if version is None else str(version),
        lifetime=_LEASE_USED * lease if lease else None,  # 0 says that it is not known
    )


def _not_found(body: Mapping[str, Any], mount: str) -> Outcome:
    """Tell an absent secret from an absent engine."""
    if _says(body, "no handler for route"):
        return Invalid(f'no engine is mounted at "{mount}"')
    if _says(body, "versioned"):
        return Invalid("the path is not that of a secret in a versioned engine, see kv_version")
    metadata = select(body, "/data/metadata")
    if isinstance(metadata, dict):
        word = "destroyed" if metadata.get("destroyed") else "deleted"
        return NotFound(f"version {metadata.get('version')} was {word}")
    if body.get("errors") != []:
        return Unavailable(_NOT_VAULT)
    return NotFound()


# --- parts ---


def _seconds(node: object) -> float | None:
    """Return a number of seconds, None for anything else."""
    text = str(node)
    return float(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def _says(body: object, words: str) -> bool:
    """Tell whether the errors or warnings of an answer hold these words."""
    lists = (body.get("errors"), body.get("warnings")) if isinstance(body, dict) else ()
    return any(words in str(text) for texts in lists if isinstance(texts, list) for text in texts)


def _trouble(status: int, body: object) -> str:
    """Say why there is neither a secret nor a refusal."""
    if MULTIPLE_CHOICES <= status < BAD_REQUEST:
        return "redirects to another server, to which the token is not sent"
    if status == TOO_MANY_REQUESTS:
        return "too many requests"
    if status == SERVICE_UNAVAILABLE and _says(body, "sealed"):
        return "is sealed"
    if status in {OK, NOT_FOUND}:
        return _NOT_VAULT
    return f"answered with status {status}"


def _retry_after(answer: requests.Response) -> float | None:
    """Return the seconds that the server asks to wait."""
    return _seconds(answer.headers.get("Retry-After"))
