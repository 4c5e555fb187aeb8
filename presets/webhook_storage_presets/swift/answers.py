"""What the answers of Swift say to somebody who stores artifacts.

Source: OpenStack Object Storage API reference; Swift's documentation of its middlewares. Of a body
only a status is told, and never a text: it may repeat what was sent.
"""

from __future__ import annotations

import hmac
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from webhook_storage import document
from webhook_storage.errors import (
    ConflictError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseError,
    ServerError,
    TooLargeError,
    WebhookStorageError,
)
from webhook_storage_presets import strangers
from webhook_storage_presets.meaning import Meaning

if TYPE_CHECKING:
    from webhook_storage.contracts import Request, Response

RATE_LIMITED = 498
REFUSALS = frozenset({400, 403, 404, 409, 411, 412, 413, 416, 422, RATE_LIMITED, 507})
"""Statuses that have a meaning of their own in Swift; all others say enough."""

_BUSY = frozenset({409, RATE_LIMITED})
"""Statuses of a refusal that another attempt may not meet."""

_STATUS = re.compile("([1-5][0-9]{2})(?: .*)?", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_TAG = re.compile('"?([0-9a-fA-F]{32})"?')
ALTERED = "something on the way alters bytes; try again"
WANTED = "is it Swift that answers, and is its storage URL right?"
unexpected = partial(strangers.unexpected, hint=WANTED)
"""Returns the error for a success that is none of Swift's."""


_MEANINGS = {
    400: Meaning(
        ResponseError,
        "Swift does not take it",
        "is the key longer than 1,024 bytes, and were all segments of the upload kept?",
    ),
    403: Meaning(
        PermissionDeniedError,
        "the credential may not do this there",
        "what do the container's ACLs and the user's roles allow?",
    ),
    404: Meaning(
        ObjectNotFoundError,
        "there is no such object, or no such container",
        "is it stored, and are container and key right?",
    ),
    409: Meaning(ConflictError, "somebody else stores it at this moment", "try again in a moment"),
    411: Meaning(ResponseError, "it wants a length", "does a proxy in between remove it?"),
    412: Meaning(ResponseError, "Swift does not take such a name", "change the key"),
    413: Meaning(
        TooLargeError,
        "it is too large for one object, or for a quota",
        "lower multipart_above or part_size, or ask for a larger quota",
    ),
    416: Meaning(ResponseError, "it has no such range", "fetch it again from its beginning"),
    422: Meaning(
        IntegrityError, "other bytes came than were sent, and nothing was stored", ALTERED
    ),
    RATE_LIMITED: Meaning(
        RateLimitedError, "too many requests", "wait, or send fewer at a time: see 'parallel'"
    ),
    507: Meaning(ServerError, "its disks are full", "tell who runs it"),
}
_OTHER = Meaning(ResponseError, "Swift refuses it", "look the status up in its documentation")
_BROKEN = Meaning(ServerError, "the fault is the server's", "try again later")
_EXISTS = Meaning(
    ObjectExistsError,
    "it is there already, and was not to be replaced",
    "store under another key, or without if_absent",
)
_TORN = Meaning(
    IntegrityError,
    "a segment of it is gone, or another one than it was",
    "store it again; who deletes segments?",
)
NO_CONTAINER = Meaning(
    ResponseError,
    "there is no such container",
    "are its name and the storage URL right? It is made beforehand, and that for segments too",
)


def is_busy(response: Response) -> bool:
    """Tell whether another attempt may change it."""
    return response.status in _BUSY


def refusal(
    request: Request,
    response: Response,
    *,
    created: bool = False,
    fixed: bool = False,
    within: int = 0,
) -> WebhookStorageError:
    """Return the error for an answer.

    Args:
        request: What was sent.
        response: What came.
        created: Whether it was only to be created.
        fixed: Whether a 404 can only be of the container.
        within: The status that stood in the body of a success, 0 where there is none.
    """
    status = within or response.status
    meaning = _MEANINGS.get(status) or (_BROKEN if status // 100 == 5 else _OTHER)  # noqa: PLR2004 - 5xx
    if status == 412 and created:  # noqa: PLR2004 - a condition that does not hold
        meaning = _EXISTS
    elif status == 404 and fixed:  # noqa: PLR2004 - as above
        meaning = NO_CONTAINER
    elif status == 409 and request.method == "GET":  # noqa: PLR2004 - as above
        meaning = _TORN
    where = f", and then {within}" if within else ""
    message = f"{request.method} {request.url} answered {response.status}{where}"
    return meaning.error(message, response, status=status)


def outcome(request: Request, response: Response) -> tuple[int, dict[str, Any]]:
    """Return the status that stands at the end of a body, and all of that body.

    Swift answers some requests before it has done what they ask for, and sends blanks meanwhile.

    Raises:
        UnexpectedAnswerError: When there is none.
    """
    found = document.parse(response.body.decode("utf-8", "replace").strip())
    said = found if isinstance(found, dict) else {}
    status = status_of(said.get("Response Status"))
    if not status:
        raise unexpected(request, response, "without a 'Response Status'")
    return status, said


def status_of(text: object) -> int:
    """Return the status in a line like ``201 Created``, 0 where there is none."""
    found = _STATUS.fullmatch(text) if isinstance(text, str) else None
    return int(found[1]) if found else 0


def md5_of(text: object) -> str:
    """Return the digest in an ETag, in lower-case hex; empty where it is none."""
    found = _TAG.fullmatch(text) if isinstance(text, str) else None
    return found[1].lower() if found else ""


def compare_stored(request: Request, response: Response, said: object, tag: str) -> None:
    """Compare the ETag of what was stored with that of what was sent.

    Raises:
        UnexpectedAnswerError: When there is none.
        IntegrityError: When it is another one.
    """
    theirs = md5_of(said)
    if not theirs:
        raise unexpected(request, response, "without an ETag")
    if not hmac.compare_digest(theirs, tag):
        message = f"{request.method} {request.url}: Swift says that it has stored other bytes"
        raise IntegrityError(message, hint=ALTERED)


def compare_fetched(request: Request, response: Response, tag: str) -> None:
    """Compare the ETag of what was fetched with the bytes that came, where it is of them.

    That of a large object is made of the digests of its segments.

    Raises:
        UnexpectedAnswerError: When there is none.
        IntegrityError: When other bytes came.
    """
    if "etag" not in response.headers:
        raise unexpected(request, response, "without an ETag")
    is_large = is_segmented(response) or "x-object-manifest" in response.headers
    theirs = md5_of(response.headers["etag"])
    if theirs and not is_large and not hmac.compare_digest(theirs, tag):
        message = f"{request.method} {request.url}: other bytes came than Swift says that it has"
        raise IntegrityError(message, hint=ALTERED)


def is_segmented(response: Response) -> bool:
    """Tell whether an object is a manifest of segments."""
    return response.headers.get("x-static-large-object", "").lower() == "true"


def entries(request: Request, response: Response, body: bytes) -> list[dict[str, Any]]:
    """Return the objects in a listing.

    Raises:
        UnexpectedAnswerError: When there is none, or a secret of the request is in a name.
    """
    found = document.parse(body.decode("utf-8", "replace"))
    if not isinstance(found, list) or not all(map(_is_object, found)):
        raise unexpected(request, response, "with no list of objects")
    names = "\n".join(entry["name"] for entry in found)
    if response.echoes is not None and response.echoes(names):
        raise unexpected(request, response, "with a secret of the request in it")
    return found


def _is_object(entry: object) -> bool:
    """Tell whether an entry has a name; half of a character beyond 16 bits is in none."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return type(name) is str and name != "" and not _SURROGATE.search(name)  # a number is another
