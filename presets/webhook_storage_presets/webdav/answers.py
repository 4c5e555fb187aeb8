"""What the answers of a WebDAV server say to somebody who stores artifacts.

Source: RFC 4918, section 11; Nextcloud and sabre/dav, whose errors name an exception. Its name is
told, and its message never: it may repeat what was sent.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from webhook_storage import markup
from webhook_storage.errors import (
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RedirectRefusedError,
    ResponseError,
    TooLargeError,
    WebhookStorageError,
)
from webhook_storage_presets import strangers
from webhook_storage_presets.meaning import ALTERED, Meaning

if TYPE_CHECKING:
    from webhook_storage.contracts import Request, Response

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""How a server says that a name is that of a folder, or that it is elsewhere itself."""

REFUSALS = REDIRECTS | {400, 403, 404, 405, 409, 412, 413, 415, 423, 501, 507}
"""Statuses that mean something of their own here; of all others the core's words are right."""

_SABRE = "http://sabredav.org/ns"
_EXCEPTION = re.compile(r"[A-Za-z][A-Za-z0-9\\]{0,127}")

WANTED = "is it a WebDAV server that answers, or a proxy in between?"

unexpected = partial(strangers.unexpected, hint=WANTED)
"""Returns the error for a success that is none of WebDAV's."""


_REPLACED = Meaning(
    ConflictError, "it was replaced at this moment", "look at it, and delete it again"
)
_EXISTS = Meaning(
    ObjectExistsError,
    "it is there already, and was not to be replaced",
    "store under another key, or without if_absent",
)
_ELSEWHERE = Meaning(
    RedirectRefusedError,
    "a folder is in its place, or the server is elsewhere",
    "is the key that of a folder? Else give the URL to which the server leads, with https",
)
_NO_PARENT = Meaning(
    ConflictError,
    "its parent folder is missing, or a folder is in its place",
    "is there a folder at the storage's URL, below which only folders are made? And none in the "
    "place of the file?",
)
_MEANINGS = {
    **dict.fromkeys(REDIRECTS, _ELSEWHERE),
    400: Meaning(
        ResponseError,
        "the server does not take the request",
        "does it allow all characters of this key? Does it want a client certificate ('cert'), of "
        "an authority that it trusts?",
    ),
    403: Meaning(
        PermissionDeniedError,
        "the user may not do this there",
        "may the user write to this folder, and is the name allowed?",
    ),
    404: Meaning(
        ObjectNotFoundError, "there is no such file", "is it stored, and are URL and key right?"
    ),
    405: Meaning(
        ResponseError,
        "the server does not allow this there",
        "is the URL that of a WebDAV folder, and is no folder in the place of the file?",
    ),
    409: _NO_PARENT,
    410: Meaning(ObjectNotFoundError, "it was there and is gone", "store it again"),
    412: Meaning(
        ConflictError,
        "it is no longer the version that was to be replaced",
        "fetch it, and decide which one to keep",
    ),
    413: Meaning(
        TooLargeError,
        "it is larger than the server takes in one request",
        "raise its limit (client_max_body_size of nginx, LimitRequestBody of Apache, "
        "upload_max_filesize of PHP), or send smaller parts where the storage has them",
    ),
    415: Meaning(
        ResponseError, "the server does not take a body of this kind", "is it a WebDAV server?"
    ),
    423: Meaning(
        ConflictError,
        "somebody else has locked it, or it is being written",
        "try again when the lock has been given up",
    ),
    501: Meaning(ResponseError, "the server does not know this request", "is it a WebDAV server?"),
    507: Meaning(
        ResponseError,
        "there is no room for it on the server, or in the user's quota",
        "make room, or raise the quota",
    ),
}


def _error(response: Response) -> markup.Element | None:
    root = markup.parse(response.body)
    return root if root is not None and root.name == "error" else None


def _exception(root: markup.Element | None, response: Response) -> str:
    """Return the name of sabre's exception; empty where there is none."""
    found = root.first("exception") if root is not None else None
    if found is None or found.namespace != _SABRE:
        return ""
    name = found.text.strip().rpartition("\\")[2]
    echoed = response.echoes is None or response.echoes(name)
    return name if _EXCEPTION.fullmatch(name) and not echoed else ""


def refusal(
    request: Request,
    response: Response,
    *,
    created: bool = False,
    folder: bool = False,
    parent: bool = False,
) -> WebhookStorageError:
    """Return the error for an answer.

    Args:
        request: What was sent.
        response: What came.
        created: Whether the file was only to be created.
        folder: Whether a folder was to be made for it.
        parent: Whether a 404 can be about its parent folder only.
    """
    root = _error(response)
    meaning = _MEANINGS[response.status]
    if response.status == 400 and "checksum" in (root.value("message").lower() if root else ""):  # noqa: PLR2004
        meaning = ALTERED
    if response.status == 412 and created:  # noqa: PLR2004
        meaning = _EXISTS
    if parent:
        meaning = _NO_PARENT
    name = _exception(root, response)
    reason = f" ({name})" if name else ""
    what = f"{request.method} {request.url} answered {response.status}{reason}"
    if folder:
        meaning = meaning._replace(words="a folder for it cannot be made")
    return meaning.error(what, response)


def not_deleted(request: Request, response: Response) -> WebhookStorageError:
    """Return the error for a file that changed, or went, after it was looked at."""
    if response.status == 404:  # noqa: PLR2004
        return refusal(request, response)
    return _REPLACED.error(f"{request.method} {request.url} answered 412", response)
