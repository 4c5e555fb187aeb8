"""What Dropbox's answers say to somebody who stores artifacts.

Rule: no text that Dropbox sent is ever read as a template.
"""

from __future__ import annotations

import hmac
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from webhook_storage import document
from webhook_storage.errors import (
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
from webhook_storage_presets.meaning import Meaning

if TYPE_CHECKING:
    from webhook_storage.contracts import Request, Response

REFUSED = 409
BAD_ROOT = 422
TOO_MANY = 429
CONTENTION = "too_many_write_operations"
"""Tag of a refusal that comes when several write to one place."""

ALTERED = "something on the way alters bytes; try again"
_TAG = re.compile("[a-z][a-z0-9_]{0,63}")
_MOST_TAGS = 5
_LONGEST_NUMBER = 19
"""Digits of an offset that are read; no file is so long."""

WANTED = "is it Dropbox that answers, or a proxy in between?"

unexpected = partial(strangers.unexpected, hint=WANTED)
"""Returns the error for a success that is none of Dropbox's."""

unechoed = partial(strangers.unechoed, hint=WANTED)
"""Returns texts of an answer that may be handed out."""


_UNKNOWN = Meaning(
    ConflictError, "Dropbox has a rule against it", "look the tag up in Dropbox's documentation"
)
_NO_PERMISSION = Meaning(
    PermissionDeniedError, "this account may not do this there", "may it write to that folder?"
)
_BAD_NAME = Meaning(ResponseError, "Dropbox takes no such name", "change the path or the key")
_TOO_LARGE = Meaning(
    TooLargeError,
    "it is too large for one request",
    "lower session_above, so that it goes in parts, or part_size, so that these are smaller",
)
NOT_FOUND = Meaning(
    ObjectNotFoundError, "there is no such file", "is it stored, and are path and key right?"
)
_NO_SESSION = Meaning(
    ObjectNotFoundError, "there is no such upload session", "it lives seven days; store it again"
)
_MEANINGS = {
    "not_found": NOT_FOUND,
    "not_file": Meaning(ObjectNotFoundError, "a folder has that name", "give the path of a file"),
    "exists": Meaning(
        ObjectExistsError, "another file is there", "use mode 'overwrite' to replace it"
    ),
    "exists/condition": Meaning(
        ObjectExistsError,
        "it is there already, and was not to be replaced",
        "store under another key, or without if_absent",
    ),
    "conflict/file": Meaning(
        ConflictError,
        "another revision is there than the one that is known here",
        "fetch it, and decide which one to keep",
    ),
    "conflict/folder": Meaning(ConflictError, "a folder has that name", "use another path"),
    "conflict/file_ancestor": Meaning(
        ConflictError, "a file has the name of one of its folders", "use another path"
    ),
    "content_hash_mismatch": Meaning(
        IntegrityError, "other bytes came than were sent, and nothing was stored", ALTERED
    ),
    "disallowed_name": _BAD_NAME,
    "insufficient_space": Meaning(
        ResponseError, "the account is full", "delete something there, or get more space"
    ),
    "locked": _NO_PERMISSION,
    "malformed_path": _BAD_NAME,
    "no_write_permission": _NO_PERMISSION,
    "payload_too_large": _TOO_LARGE,
    "restricted_content": _NO_PERMISSION,
    "session": _NO_SESSION,
    "team_folder": _NO_PERMISSION,
    "too_large": Meaning(
        TooLargeError, "Dropbox takes no file of this size", "store it in several artifacts"
    ),
    CONTENTION: Meaning(
        RateLimitedError,
        "others write to the same place at this moment",
        "try again in a moment, and write one after the other",
    ),
}
"""By the last tag, or the last two."""


def refusal(path: str, request: Request, response: Response, meaning: str) -> WebhookStorageError:
    """Return the error for a 409, which Dropbox explains by tags.

    Args:
        path: Template of the artifact's path.
        request: What was sent.
        response: The 409.
        meaning: What it says here, where the tags alone do not tell; else empty.
    """
    found = tags(response)
    candidates = (meaning, "/".join(found[-2:]), *reversed(found))
    known = next((_MEANINGS[name] for name in candidates if name in _MEANINGS), _UNKNOWN)
    reason = "/".join(found) or "no tag"
    message = f"{request.method} {request.url} of {path} answered 409 ({reason})"
    return known.error(message, response)


def bad_root(request: Request, response: Response) -> WebhookStorageError:
    """Return the error for a 422: the folder in `path_root` is none for this account."""
    forbidden = tags(response) == ("no_permission",)
    kind = PermissionDeniedError if forbidden else ResponseError
    words = "the account may not use that folder" if forbidden else "it is no root of the account"
    return kind(
        f"{request.method} {request.url} answered {response.status}: path_root: {words}",
        status=response.status,
        attempts=response.attempts,
        hint="give the id of the team's root as root:ID, of a shared folder as ID, or 'home'",
    )


class Page(NamedTuple):
    """A page of a listing.

    Attributes:
        paths: Those of the files; folders are left out.
        cursor: What to ask for the next page by, None after the last one.
    """

    paths: list[str]
    cursor: str | None


def page_of(request: Request, response: Response) -> Page:
    """Return a page of a listing.

    Raises:
        UnexpectedAnswerError: When it is none, which would pass for an empty one.
    """
    page = members(request, response)
    entries, more, cursor = (page.get(name) for name in ("entries", "has_more", "cursor"))
    known = isinstance(more, bool) and (not more or (isinstance(cursor, str) and cursor))
    if not isinstance(entries, list) or not known:
        raise unexpected(request, response, "without entries, has_more and cursor")
    paths = [
        str(entry.get("path_display", ""))
        for entry in entries
        if isinstance(entry, dict) and entry.get(".tag") == "file"
    ]
    return Page(paths, cursor if more else None)


def tags(response: Response) -> tuple[str, ...]:
    """Return the tags of an error, the outermost first: path, conflict, file."""
    node = _error(response)
    found: list[str] = []
    while len(found) < _MOST_TAGS:
        tag = node.get(".tag") if isinstance(node, dict) else node
        if not (isinstance(tag, str) and _TAG.fullmatch(tag)):
            break
        if response.echoes is not None and response.echoes(tag):
            break
        found.append(tag)
        # An upload's error holds its reason beside the tag, all others below it.
        node = node.get(tag, node.get("reason")) if isinstance(node, dict) else None
    return tuple(found)


def correct_offset(response: Response) -> int | None:
    """Return the offset that an upload session is at, None when the answer does not say it."""
    node = _error(response)
    said = node.get("correct_offset") if isinstance(node, dict) else None
    if not isinstance(said, str) or len(said) > _LONGEST_NUMBER:
        return None
    return int(said) if said.isascii() and said.isdigit() else None


def is_busy(response: Response) -> bool:
    """Tell whether Dropbox may take the same in a moment."""
    return response.status == TOO_MANY or tags(response)[-1:] == (CONTENTION,)


def compare(path: str, theirs: str, ours: str, verb: str) -> None:
    """Compare two content hashes.

    Raises:
        IntegrityError: When they differ.
    """
    if not hmac.compare_digest(theirs.lower().encode(errors="replace"), ours.encode()):
        message = f"{path}: Dropbox {verb} other bytes; the content hashes differ"
        raise IntegrityError(message, hint=ALTERED)


def members(request: Request, response: Response) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        UnexpectedAnswerError: When it is none.
    """
    body = _parsed(response)
    if not isinstance(body, dict):
        raise unexpected(request, response, "with no JSON object")
    return body


def _parsed(response: Response) -> Any:
    return document.parse(response.body.decode("utf-8", errors="replace"))


def _error(response: Response) -> Any:
    body = _parsed(response)
    return body.get("error") if isinstance(body, dict) else None
