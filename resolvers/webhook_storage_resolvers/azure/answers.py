"""What the answers of Azure Key Vault mean.

Facts: "Get Secret", "Authentication, requests and responses" and "REST API error codes" of the Key
Vault documentation; the source of azure-keyvault-secrets 4.12. A vault asks first whether the
caller may read and then whether the secret is there, so it answers 403 for absent secrets too.
Nothing that it says is repeated word for word.
"""

from __future__ import annotations

import re
from http.client import BAD_REQUEST, FORBIDDEN, NOT_FOUND, OK, UNAUTHORIZED
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from webhook_storage.contracts import Forbidden, Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.document import select
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.client import HttpAnswer

_VERSION = re.compile(r"/secrets/[^/]+/([0-9a-zA-Z]{1,127})$")
_RESOURCE = re.compile(r'\b(?:resource|scope)="?([^",\s]+)')
_NOT_ACCEPTED = Forbidden(
    "the vault does not accept the identity: is it of another tenant than the vault?"
)
_REFUSALS: Mapping[str, Outcome] = {
    "ForbiddenByPolicy": Forbidden(
        "no access policy of the vault lets this identity get secrets", maybe_missing=True
    ),
    "ForbiddenByRbac": Forbidden(
        'the identity needs the role "Key Vault Secrets User"', maybe_missing=True
    ),
    "ForbiddenByFirewall": Forbidden("the vault's firewall does not let this machine in"),
    "ForbiddenByConnection": Forbidden("the vault takes connections by private link only"),
    "SecretDisabled": NotFound("the secret is disabled"),
}
_REFUSED = Forbidden("the identity may not read this secret", maybe_missing=True)
_ODD = Unavailable("the answer is not one of Key Vault's")


def outcome_of(answer: HttpAnswer) -> Outcome:
    """Return what an answer to the question for a secret means."""
    status = answer.status
    if status == OK:
        return _found(answer)
    if status == UNAUTHORIZED:
        return _NOT_ACCEPTED
    if status not in {BAD_REQUEST, FORBIDDEN, NOT_FOUND}:
        return answer.trouble()
    error = select(answer.document(), "/error/code")
    return _refusal(answer, error) if isinstance(error, str) else _ODD


def _refusal(answer: HttpAnswer, error: str) -> Outcome:
    """Return what a refusal with an error code of Key Vault means."""
    if answer.status == FORBIDDEN:
        why = select(answer.document(), "/error/innererror/code")
        return _REFUSALS.get(why, _REFUSED) if isinstance(why, str) else _REFUSED
    if answer.status == BAD_REQUEST:
        return Invalid("the vault does not understand the name or version")
    return NotFound() if error == "SecretNotFound" else _ODD


def _found(answer: HttpAnswer) -> Outcome:
    """Return the secret in a successful answer."""
    document = answer.document()
    value, place = select(document, "/value"), select(document, "/id")
    if type(value) is not str or type(place) is not str:  # a number is a kind of text there
        return _ODD
    version = _VERSION.search(place)
    return Found(value=SecretValue(value), version=version and version[1])


def impostor(answer: HttpAnswer, host: str) -> Unavailable | None:
    """Tell whether the one who wants a token is not the vault that it was meant for.

    A vault names the resource whose token it wants, and its own name ends in that resource's:
    ``https://vault.azure.net`` for ``team.vault.azure.net``. Nothing else of the challenge counts.

    Args:
        answer: One with status 401.
        host: The vault's host name.
    """
    named = _RESOURCE.search(answer.headers.get("www-authenticate", ""))
    if named is None:
        return None
    try:
        domain = urlsplit(named[1]).hostname
    except ValueError:
        domain = None
    if domain and f".{host.lower()}".endswith(f".{domain}"):
        return None
    return Unavailable("wants a token for another domain than the vault's: check the vault's URL")
