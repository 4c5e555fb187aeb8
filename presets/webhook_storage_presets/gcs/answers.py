"""What the answers of Google Cloud Storage say to somebody who stores artifacts.

Source: the discovery document of the JSON API (storage v1) and its page Status and error codes. A
reason is told only when it is one, and a message never: it repeats what was sent.
"""

from __future__ import annotations

import base64
import re
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from webhook_storage import document
from webhook_storage.answer import number
from webhook_storage.digests import SIZES
from webhook_storage.errors import (
    AuthenticationError,
    ConflictError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseError,
    TooLargeError,
    WebhookStorageError,
)
from webhook_storage_presets import strangers
from webhook_storage_presets.meaning import ALTERED, Meaning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Request, Response

REFUSALS = frozenset({304, 400, 401, 403, 404, 405, 409, 410, 411, 412, 413, 416, 429})
"""Statuses that the service explains by a reason; of all others the status says enough."""

_REASON = re.compile("[A-Za-z][A-Za-z0-9_]{0,63}")
_GENERATION = re.compile("[1-9][0-9]{0,19}")
_NO_BUCKET = "The specified bucket does not exist."
"""Message of a 404 that is not about the object; the reason is the same."""

_BUSY = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})
"""Reasons of a 403 that another attempt may not meet."""

WANTED = "is it Google Cloud Storage that answers, or a proxy in between?"

unexpected = partial(strangers.unexpected, hint=WANTED)
"""Returns the error for a success that is none of this service."""

unechoed = partial(strangers.unechoed, hint=WANTED)
"""Returns texts of an answer that may be handed out."""


_UNAUTHORIZED = Meaning(
    AuthenticationError,
    "the access token is missing, wrong or expired",
    "are the credentials right, and of a project that still exists?",
)
_FORBIDDEN = Meaning(
    PermissionDeniedError,
    "the account may not do this there",
    "it wants the role Storage Object User of this bucket; without the right to list, an object "
    "that is not there is forbidden too",
)
_NOT_FOUND = Meaning(
    ObjectNotFoundError,
    "there is no such object, or it is no longer of that generation",
    "is it stored, and are bucket and key right?",
)
_BUCKET_MISSING = Meaning(ResponseError, "there is no such bucket", "is 'bucket' right?")
_UPLOAD_MISSING = Meaning(
    ObjectNotFoundError, "there is no such upload", "it lives a week; store it again"
)
_CHANGED = Meaning(
    ConflictError,
    "it is no longer the generation that was to be replaced",
    "fetch it, and decide which one to keep",
)
_EXISTS = Meaning(
    ObjectExistsError,
    "it is there already, and was not to be replaced",
    "store under another key, or without if_absent",
)
_TOO_FAST = Meaning(
    RateLimitedError,
    "too many requests",
    "send fewer at a time; one object can be replaced about once a second",
)
_PAYER = Meaning(
    ResponseError,
    "who asks pays for this bucket, and the request names no project",
    "give the project that pays as 'user_project'",
)
_TOO_LARGE = Meaning(
    TooLargeError, "it is too large", "lower resumable_above, so that it goes in parts"
)
_BY_REASON = {
    "accountDisabled": Meaning(
        PermissionDeniedError, "the account or its project is disabled", "is its bill paid?"
    ),
    "conditionNotMet": _CHANGED,
    "rateLimitExceeded": _TOO_FAST,
    "uploadTooLarge": _TOO_LARGE,
    "userProjectMissing": _PAYER,
    "userRateLimitExceeded": _TOO_FAST,
}
_BY_STATUS = {
    400: Meaning(
        ResponseError,
        "the service does not take it",
        "an object's name has at most 1024 bytes and no line break; is 'bucket' a name?",
    ),
    401: _UNAUTHORIZED,
    403: _FORBIDDEN,
    404: _NOT_FOUND,
    409: Meaning(ConflictError, "something else changes it at this moment", "try again"),
    410: _NOT_FOUND,
    412: _CHANGED,
    413: _TOO_LARGE,
    429: _TOO_FAST,
}
_OTHER = Meaning(ResponseError, "the service refuses it", "what does the reason say?")


class Stored(NamedTuple):
    """What the service says of an object.

    Attributes:
        generation: Which one it is of all that were stored under the name.
        size: Number of bytes.
        hashes: Checksums by algorithm, those that it gives.
        modified: When it was stored.
        content_type: Its media type.
    """

    generation: str
    size: int | None = None
    hashes: Mapping[str, bytes] = {}
    modified: str | None = None
    content_type: str | None = None


def stored(request: Request, response: Response) -> Stored:
    """Return what an answer says of an object.

    Raises:
        UnexpectedAnswerError: When it is not that of this service.
    """
    said = members(request, response)
    generation = said.get("generation")
    if not isinstance(generation, str) or not _GENERATION.fullmatch(generation):
        raise unexpected(request, response, "without a generation")
    texts = {name: _text(said, name) for name in ("size", "updated", "contentType")}
    unechoed(request, response, [text for text in (generation, *texts.values()) if text])
    return Stored(
        generation,
        number(texts["size"] or ""),
        _hashes(said),
        texts["updated"],
        texts["contentType"],
    )


def generation_of(request: Request, response: Response) -> str:
    """Return the generation that a download's headers name.

    Raises:
        UnexpectedAnswerError: When they name none.
    """
    generation = response.headers.get("x-goog-generation", "")
    if not _GENERATION.fullmatch(generation):
        raise unexpected(request, response, "without the header x-goog-generation")
    unechoed(request, response, [generation])
    return generation


def is_generation(text: str) -> bool:
    """Tell whether it can be one."""
    return bool(_GENERATION.fullmatch(text))


def compare(what: str, found: Stored, size: int, hashes: Mapping[str, bytes]) -> None:
    """Compare what the service has with what was sent.

    Raises:
        IntegrityError: When that is something else.
    """
    names = found.hashes.keys() & hashes.keys()
    if found.size not in {None, size} or any(found.hashes[n] != hashes[n] for n in names):
        message = f"{what}: the service says that it has stored other bytes"
        raise IntegrityError(message, hint="something in between altered them; store it again")


def is_busy(response: Response) -> bool:
    """Tell whether another attempt may change it."""
    return response.status == HTTPStatus.TOO_MANY_REQUESTS or reason_of(response) in _BUSY


def reason_of(response: Response) -> str:
    """Return the reason of an error; empty where there is none, as in a plain text."""
    errors = _error(response).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    reason = first.get("reason") if isinstance(first, dict) else ""
    known = isinstance(reason, str) and _REASON.fullmatch(reason)
    echoed = known and response.echoes is not None and response.echoes(str(reason))
    return str(reason) if known and not echoed else ""


def lacks_bucket(response: Response) -> bool:
    """Tell a 404 that is about the bucket from one that is about the object."""
    text = response.body.decode("utf-8", "replace").strip()  # a plain text to a download
    return _NO_BUCKET in {text, _error(response).get("message")}


def refusal(
    request: Request,
    response: Response,
    *,
    created: bool = False,
    about: str = "object",
    what: str = "",
) -> WebhookStorageError:
    """Return the error for an answer.

    Args:
        request: What was sent.
        response: What came.
        created: Whether it was only to be created.
        about: What a 404 is about: an ``object``, a ``bucket`` or an ``upload``.
        what: The operation in words, where the request's URL does not tell it.
    """
    meaning = _meaning(response, created=created, about=about)
    reason = reason_of(response)
    shown = f" ({reason})" if reason else ""
    message = f"{request.method} {request.url}{what} answered {response.status}{shown}"
    return meaning.error(message, response)


def _meaning(response: Response, *, created: bool, about: str) -> Meaning:
    if response.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        if about == "upload":
            return _UPLOAD_MISSING
        return _BUCKET_MISSING if about == "bucket" or lacks_bucket(response) else _NOT_FOUND
    if response.status == HTTPStatus.BAD_REQUEST and _is_of_hashes(response):
        return ALTERED
    meaning = _BY_REASON.get(reason_of(response)) or _BY_STATUS.get(response.status, _OTHER)
    return _EXISTS if meaning is _CHANGED and created else meaning


def _is_of_hashes(response: Response) -> bool:
    """Tell whether a 400 is about a checksum, which its reason ``invalid`` alone does not say."""
    message = str(_error(response).get("message"))
    return bool(re.match("Provided (?:MD5|CRC32C) hash ", message))


def members(request: Request, response: Response, body: bytes | None = None) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        UnexpectedAnswerError: When it is none.
    """
    found = _parsed(response.body if body is None else body)
    if not isinstance(found, dict):
        raise unexpected(request, response, "with no JSON object")
    return found


def _parsed(body: bytes) -> Any:
    return document.parse(body.decode("utf-8", errors="replace"))


def _error(response: Response) -> dict[str, Any]:
    found = _parsed(response.body)
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, dict) else {}


def _text(said: Mapping[str, Any], name: str) -> str | None:
    text = said.get(name)
    return str(text) if isinstance(text, str) else None


def _hashes(said: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the checksums; an object that was put together of others has no MD5."""
    texts = {"md5": said.get("md5Hash"), "crc32c": said.get("crc32c")}
    found = {name: _decoded(text) for name, text in texts.items() if isinstance(text, str)}
    return {name: value for name, value in found.items() if len(value) == SIZES[name]}


def _decoded(text: str) -> bytes:
    """Return the bytes; of what cannot be read there are none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
