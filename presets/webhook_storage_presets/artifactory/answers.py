"""What the answers of Artifactory say to somebody who stores artifacts.

Source: JFrog Artifactory REST API. An error is ``{"errors": [{"status": 404, "message": "..."}]}``.
A message is looked at, to tell what a status means, and never shown: it repeats what was sent.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from webhook_storage import document
from webhook_storage.answer import header, number
from webhook_storage.checksum import compare_stored
from webhook_storage.errors import (
    AuthenticationError,
    ConflictError,
    IntegrityError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ResponseError,
    TooLargeError,
    WebhookStorageError,
)
from webhook_storage.receipt import Stat
from webhook_storage_presets import strangers
from webhook_storage_presets.meaning import Meaning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Body, Exchange, Request, Response

REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 413})
"""Statuses that Artifactory explains; of all others the status says enough."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_HEX = re.compile("[0-9a-fA-F]{40}")
_ALTERED = "something on the way alters bytes; store it again"

WANTED = "is it Artifactory that answers, or a proxy in between? The url ends with /artifactory"

unexpected = partial(strangers.unexpected, hint=WANTED)
"""Returns the error for a success that is none of Artifactory's."""

unechoed = partial(strangers.unechoed, hint=WANTED)
"""Returns texts of an answer that may be handed out."""


_FORBIDDEN = Meaning(
    PermissionDeniedError,
    "the credential may not do this there",
    "may it deploy to the repository, and do the repository's patterns take the path?",
)
_NO_OVERWRITE = Meaning(
    PermissionDeniedError,
    "it is there already, and the credential may not replace it",
    "store under another key, or get the permission to delete and overwrite",
)
_NO_FILE = Meaning(
    ObjectNotFoundError,
    "there is no such file",
    "is it stored, and are repository and key right? What a credential may not see can be missing",
)
NO_REPOSITORY = Meaning(
    ResponseError,
    "there is no such repository",
    "are url and repository right? The url ends with /artifactory, and what a credential may not "
    "see can be missing",
)
_ALTERED_THERE = Meaning(
    IntegrityError, "other bytes came than were sent, and nothing was stored", _ALTERED
)
_BY_STATUS = {
    400: Meaning(
        ResponseError,
        "Artifactory does not take it",
        "has the key or a property a character that it refuses, or is the repository a remote one?",
    ),
    401: Meaning(
        AuthenticationError,
        "the credential is missing, wrong or expired",
        "is it what auth says, a token as bearer, user and password as basic, or an API key?",
    ),
    403: _FORBIDDEN,
    404: _NO_FILE,
    405: Meaning(
        ResponseError,
        "nothing can be stored there",
        "name a local repository: a remote one takes nothing, a virtual one only by its default",
    ),
    409: Meaning(
        ConflictError,
        "the repository has a policy against it",
        "which releases and snapshots does it take, and which checksums?",
    ),
    413: Meaning(
        TooLargeError,
        "it is too large for one request",
        "raise the limit of the proxy before Artifactory, or that of the repository",
    ),
}
NO_LIST = Meaning(
    ResponseError,
    "Artifactory does not list files",
    "a list of files is a part of Artifactory Pro; the other operations do without",
)


def refusal(
    request: Request, response: Response, meaning: Meaning | None = None
) -> WebhookStorageError:
    """Return the error for an answer.

    Args:
        request: What was sent.
        response: What came.
        meaning: What it says here, where status and message do not tell.
    """
    meaning = meaning or _meaning(request, response)
    message = f"{request.method} {request.url} answered {response.status}"
    return meaning.error(message, response)


def _meaning(request: Request, response: Response) -> Meaning:
    said = _messages(response)
    if request.method != "PUT":
        return _BY_STATUS[response.status]
    if response.status == 403 and ("overwrite" in said or "delete permission" in said):  # noqa: PLR2004 - an HTTP status
        return _NO_OVERWRITE
    if response.status == 409 and "checksum" in said:  # noqa: PLR2004 - as above
        return _ALTERED_THERE
    return NO_REPOSITORY if response.status == 404 else _BY_STATUS[response.status]  # noqa: PLR2004 - as above


def _messages(response: Response) -> str:
    """Return the messages of an error in lower case; empty where there are none."""
    errors = _parsed(response.body).get("errors")
    found = [each.get("message") for each in _list(errors) if isinstance(each, dict)]
    return " ".join(text for text in found if isinstance(text, str)).lower()


# --- what was stored ------------------------------------------------------------------------------


def compare(
    request: Request, response: Response, body: Body, taken: dict[str, bytes]
) -> Exchange[None]:
    """Compare what Artifactory says that it stored with what was sent.

    Raises:
        IntegrityError: When it has stored other bytes.
        UnexpectedAnswerError: When it does not say what it stored.
    """
    what = f"{request.method} {request.url}"
    yield from compare_stored(what, response, body, taken)
    item = _parsed(response.body)
    said = _checksums(item)
    known = {name: said[name] for name in ("sha256", "sha1") if name in said}
    if not known:
        raise unexpected(request, response, "with no checksum of what it stored")
    for name, text in known.items():
        if text.lower() != taken[name].hex():
            message = f"{what}: Artifactory says by its {name} that it has stored other bytes"
            raise IntegrityError(message, hint=_ALTERED)
    if number(str(item.get("size"))) not in {None, body.size}:
        message = f"{what}: Artifactory says that it has stored another number of bytes"
        raise IntegrityError(message, hint=_ALTERED)


def _checksums(item: Mapping[str, Any]) -> dict[str, str]:
    said = item.get("checksums")
    pairs = said.items() if isinstance(said, dict) else ()
    return {str(name): text for name, text in pairs if isinstance(text, str)}


# --- what is there --------------------------------------------------------------------------------


def stat_of_headers(response: Response) -> Stat | None:
    """Return what the headers say of a file; None where they are not those of one."""
    sha1 = header(response, "x-checksum-sha1")
    if response.status in REDIRECTS or sha1 is None or not _HEX.fullmatch(sha1):
        return None
    return Stat(
        size=number(header(response, "content-length") or ""),
        version=sha1.lower(),
        modified=header(response, "last-modified"),
        content_type=header(response, "content-type"),
    )


def stat_of_item(request: Request, response: Response, content: bytes) -> Stat | None:
    """Return what the storage API says of a file, None of a folder.

    Raises:
        UnexpectedAnswerError: When it says neither.
    """
    item = _parsed(content)
    if isinstance(item.get("children"), list):
        return None
    sha1 = _checksums(item).get("sha1", "")
    if not _HEX.fullmatch(sha1):
        raise unexpected(request, response, "with neither a file nor a folder")
    shown = {name: item.get(name) for name in ("size", "lastModified", "mimeType")}
    texts = {name: text for name, text in shown.items() if isinstance(text, str)}
    unechoed(request, response, [sha1, *texts.values()])
    return Stat(
        size=number(texts.get("size", "")),
        version=sha1.lower(),
        modified=texts.get("lastModified"),
        content_type=texts.get("mimeType"),
    )


def names_of(request: Request, response: Response, content: bytes, folder: str) -> list[str]:
    """Return the names of all files in a listing, from the root of the repository.

    Args:
        request: What asked for it.
        response: Its answer.
        content: The answer's body.
        folder: The folder that was listed, with a slash at its end; empty for the root.

    Raises:
        UnexpectedAnswerError: When it is no listing.
    """
    found = _parsed(content).get("files")
    uris = [
        document.select(each, "uri")
        for each in (found if isinstance(found, list) else [None])
        if document.select(each, "folder") not in (True, "true")  # it is documented as a text
    ]
    if not all(isinstance(uri, str) for uri in uris):
        raise unexpected(request, response, "with no list of files")
    return [f"{folder}{uri.removeprefix('/')}" for uri in uris]


def _parsed(content: bytes) -> dict[str, Any]:
    found = document.parse(content.decode("utf-8", errors="replace"))
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
