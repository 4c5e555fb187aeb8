"""What the answers of Infisical mean.

Facts: the documentation's "Errors"; the server's ``error-handler.ts``, ``rateLimiter.ts`` and
``secret-v2-bridge-service.ts``. A token that has ended is refused with 403 and ``TokenError``, one
that was revoked with 401. Whoever may know of a secret and not read it gets a success with a
placeholder for the value. How long to wait stands in the text of a 429. A server that does not know
a path answers 404 without ``reqId``. Nothing that it says is repeated word for word.
"""

from __future__ import annotations

import re
from http.client import (
    BAD_REQUEST,
    FORBIDDEN,
    NOT_FOUND,
    OK,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    UNPROCESSABLE_ENTITY,
)
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Forbidden, Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.document import spell
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.client import HttpAnswer
    from webhook_storage.token import Refusal

_SECONDS = re.compile(r"\b([0-9]{1,5}) seconds?\b")
_NO_API = Unavailable("no API of Infisical answers there, check INFISICAL_API_URL")
_WRONG_TOKEN = Forbidden("the token is wrong or has ended")


def is_token_refused(answer: HttpAnswer) -> bool:
    """Tell whether another token would help."""
    if answer.status == UNAUTHORIZED:
        return True
    return answer.status == FORBIDDEN and _said(answer).get("error") == "TokenError"


def is_unknown_path(answer: HttpAnswer) -> bool:
    """Tell whether the server does not know this part of the API, as old ones do not know v4."""
    return answer.status == NOT_FOUND and "reqId" not in _said(answer)


def is_no_api(answer: HttpAnswer) -> bool:
    """Tell whether this is no answer of Infisical, old or new, to a path that it knows."""
    # Servers too old for ``reqId`` say "NotFound"; of an unknown path Fastify says "Not Found".
    return is_unknown_path(answer) and _said(answer).get("error", "Not Found") == "Not Found"


def meaning(answer: HttpAnswer) -> Any | Refusal:
    """Return the object of a successful answer, or what another one means."""
    said = _said(answer)
    if answer.status == OK and said:
        return said
    if is_token_refused(answer):
        return _WRONG_TOKEN
    if answer.status == FORBIDDEN:
        return Forbidden("the identity may not read this", maybe_missing=True)
    if answer.status == NOT_FOUND:
        return _NO_API if is_no_api(answer) else NotFound("there is no such secret or folder")
    if answer.status in {BAD_REQUEST, UNPROCESSABLE_ENTITY} and said:
        return Invalid("Infisical does not understand the project, environment or folder")
    return trouble(answer)


def meaning_of_login(answer: HttpAnswer) -> Any | Refusal:
    """Return the object that a log-in gave, or why it gave none."""
    said = _said(answer)
    if answer.status == OK and said:
        return said
    if answer.status in {BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, UNPROCESSABLE_ENTITY} and said:
        return Forbidden("the client id or secret is wrong, or locked for a while")
    return _NO_API if answer.status == NOT_FOUND else trouble(answer)


def trouble(answer: HttpAnswer) -> Unavailable:
    """Say why there is neither a secret nor a refusal."""
    problem = answer.trouble()
    if answer.status != TOO_MANY_REQUESTS or problem.retry_after is not None:
        return problem
    seconds = _SECONDS.search(str(_said(answer).get("message")))
    return Unavailable(problem.detail, float(seconds.group(1)) if seconds else None)


def secret_of(secret: Any, version: int | None = None) -> Outcome:
    """Return the outcome for one secret as the server describes it.

    Args:
        secret: The object with ``secretValue``.
        version: The one that was asked for; None for the newest.
    """
    if not isinstance(secret, dict):
        return Unavailable("the answer is not one of Infisical's")
    if secret.get("secretValueHidden") is True:
        return Forbidden("the identity may not read the value")
    text, number = spell(secret.get("secretValue")), secret.get("version")
    if not isinstance(secret.get("secretValue"), str) or text is None:
        return Unavailable("the answer is not one of Infisical's")
    if version is not None and str(number) != str(version):
        return Invalid("this server does not give older versions")
    return Found(value=SecretValue(text), version=None if number is None else str(number))


def secrets_of(document: Mapping[str, Any]) -> dict[str, Outcome]:
    """Return the secrets of a folder by their names, imported ones where it has none itself.

    Of the imports the last one counts. A user's personal value is not what a flow is meant to get.
    """
    folders = [document, *reversed(_objects(document.get("imports")))]
    found: dict[str, Outcome] = {}
    for folder in folders:
        for secret in _objects(folder.get("secrets")):
            if secret.get("type") != "personal":
                found.setdefault(str(secret.get("secretKey")), secret_of(secret))
    return found


def _said(answer: HttpAnswer) -> dict[str, Any]:
    """Return the object of an answer, an empty one when it is none."""
    document = answer.document()
    return document if isinstance(document, dict) else {}


def _objects(rows: Any) -> list[dict[str, Any]]:
    """Return what is an object in a list, nothing when there is no list."""
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
