"""What the answers of Nexus say to somebody who stores artifacts.

Source: sonatype/nexus-public, RawContentHandler, HttpConditions and ContentFacetSupport. A message
is looked at, to tell what a status means, and never shown: it repeats what was sent.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from webhook_storage import document
from webhook_storage.errors import (
    AuthenticationError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ResponseError,
    TooLargeError,
    WebhookStorageError,
)
from webhook_storage_presets import strangers
from webhook_storage_presets.meaning import Meaning
from webhook_storage_presets.paging import Page

if TYPE_CHECKING:
    from webhook_storage.contracts import Request, Response

REFUSALS = frozenset({400, 401, 403, 404, 405, 412, 413})
"""Statuses that mean something of their own here; of all others the status says enough."""

_BAD_REQUEST = 400
_NOT_FOUND = 404
_CONDITION_FAILED = 412
_SHA1 = re.compile(r'"?(?:\{SHA1\{)?([0-9a-fA-F]{40})(?:\}\})?"?')
"""How Nexus writes a SHA-1 as an ETag, with and without the name."""

WANTED = "is it Nexus that answers, or a proxy in between?"

unexpected = partial(strangers.unexpected, hint=WANTED)
"""Returns the error for a success that is none of Nexus's."""


_EXISTS = Meaning(
    ObjectExistsError,
    "it is there already, and was not to be replaced",
    "store under another key, or without if_absent",
)
_NO_REPOSITORY = Meaning(
    ResponseError, "there is no such repository", "are url and repository right?"
)
_POLICIES = {
    "cannot be updated": Meaning(
        ObjectExistsError,
        "it is there already, and the repository lets nothing be replaced",
        "store under another key, or let the repository's deployment policy be 'Allow redeploy'",
    ),
    "read-only": Meaning(
        PermissionDeniedError,
        "the repository is read-only",
        "name another one, or change its deployment policy",
    ),
    "detected content type": Meaning(
        ResponseError,
        "the bytes are not what the ending of the key says",
        "give the key another ending, or switch the repository's strict content type validation "
        "off",
    ),
}
"""What a 400 is about, by words of its reason."""

_BY_STATUS = {
    400: Meaning(
        ResponseError, "Nexus does not take it", "has the key a character that Nexus refuses?"
    ),
    401: Meaning(
        AuthenticationError,
        "the credential is missing or wrong",
        "are user and password right, or both halves of the user token?",
    ),
    403: Meaning(
        PermissionDeniedError,
        "the credential may not do this there",
        "which privileges has its role in this repository?",
    ),
    404: Meaning(
        ObjectNotFoundError,
        "there is no such file",
        "is it stored, and are repository and key right?",
    ),
    405: Meaning(
        ResponseError,
        "the repository takes no files",
        "name a hosted one; groups and proxies are for reading",
    ),
    412: Meaning(
        ConflictError,
        "it is no longer the version that was to be replaced",
        "fetch it, and decide which one to keep",
    ),
    413: Meaning(
        TooLargeError,
        "it is too large for one request",
        "raise the limit of the proxy before Nexus",
    ),
}


def refusal(
    request: Request, response: Response, *, created: bool = False, whole: bool = False
) -> WebhookStorageError:
    """Return the error for an answer.

    Args:
        request: What was sent.
        response: What came.
        created: Whether it was only to be created.
        whole: Whether it was about the repository, not about a file.
    """
    meaning = _BY_STATUS[response.status]
    if response.status == _BAD_REQUEST:
        meaning = _policy(response) or meaning
    if response.status == _CONDITION_FAILED and created:
        meaning = _EXISTS
    if response.status == _NOT_FOUND and (whole or request.method == "PUT"):
        meaning = _NO_REPOSITORY
    return meaning.error(f"{request.method} {request.url} answered {response.status}", response)


def is_in_the_way(response: Response) -> bool:
    """Tell whether a store was refused for what is there already."""
    if response.status == _BAD_REQUEST:
        return _policy(response) is _POLICIES["cannot be updated"]
    return response.status == _CONDITION_FAILED


def _policy(response: Response) -> Meaning | None:
    """Return what the reason of a 400 says, None when it is another one."""
    text = response.body.decode("utf-8", errors="replace").lower()
    return next((meaning for words, meaning in _POLICIES.items() if words in text), None)


def sha1_of(version: str | None) -> str | None:
    """Return the SHA-1 of a file in lower-case hex, None when its ETag is something else.

    Example:
        >>> sha1_of('"{SHA1{2AAE6C35C94FCFB415DBE95F408B9CE91EE846ED}}"')
        '2aae6c35c94fcfb415dbe95f408b9ce91ee846ed'
        >>> sha1_of('"1-2"')
    """
    found = _SHA1.fullmatch(version or "")
    return found[1].lower() if found else None


def page_of(request: Request, response: Response, content: bytes) -> Page:
    """Return a page of the list of assets.

    Raises:
        UnexpectedAnswerError: When it is none.
    """
    found = document.parse(content.decode("utf-8", errors="replace"))
    page: dict[str, Any] = found if isinstance(found, dict) else {}
    items, token = page.get("items"), page.get("continuationToken")
    paths = [
        document.select(item, "path") for item in (items if isinstance(items, list) else [None])
    ]
    if not isinstance(token, str | None) or not all(isinstance(path, str) for path in paths):
        raise unexpected(request, response, "with no list of assets")
    return Page(request, response, [path.removeprefix("/") for path in paths], token or "")
