"""An exclusive lock on a file while it is stored (RFC 4918, sections 6, 7 and 9.10)."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from webhook_storage.errors import TransportError, WebhookStorageError
from webhook_storage.template import escape
from webhook_storage_presets.webdav.answers import refusal, unexpected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook_storage.contracts import Exchange, Facts, Response
    from webhook_storage_presets.webdav.api import Api

log = logging.getLogger("webhook_storage")

_SECONDS = 600
"""After which the server gives up a lock of which nobody speaks any more."""

_TOKEN = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{1,512}>")
_INFO = (
    '<?xml version="1.0" encoding="utf-8"?><d:lockinfo xmlns:d="DAV:"><d:lockscope><d:exclusive/>'
    "</d:lockscope><d:locktype><d:write/></d:locktype><d:owner>webhook-storage</d:owner>"
    "</d:lockinfo>"
)


class _Lock(NamedTuple):
    """A lock that is held.

    Attributes:
        token: What the server calls it by, in angle brackets.
        made: Whether there was no file, so that the server made an empty one.
    """

    token: str
    made: bool


def locked(
    api: Api, facts: Facts, store: Callable[[Mapping[str, str]], Exchange[Response]]
) -> Exchange[Response]:
    """Store with the file locked.

    Args:
        api: What makes requests.
        facts: Those of the store.
        store: The exchange, given the headers that show the lock.
    """
    lock = yield from _lock(api, facts)
    shown = {"If": escape(f"({lock.token})")}
    try:
        response = yield from store(shown)
    except WebhookStorageError:
        # An empty file that nobody stored would pass for an artifact.
        yield from _give_up(api, facts, lock, shown, delete=lock.made)
        raise
    except GeneratorExit:  # an interruption: nobody can be asked any more
        left = "an empty file may stay too" if lock.made else "the file stays as it was, or is new"
        log.warning("a store was interrupted; its lock stays for %d seconds, %s", _SECONDS, left)
        raise
    yield from _give_up(api, facts, lock, shown)
    return response


def _lock(api: Api, facts: Facts) -> Exchange[_Lock]:
    request = api.file(
        "LOCK",
        facts,
        headers={
            "Depth": "0",
            "Timeout": f"Second-{_SECONDS}",
            "Content-Type": "application/xml; charset=utf-8",
        },
        data=_INFO,
        idempotent=False,  # a second one would meet the first
    )
    try:
        response = yield from api.call(request, also={404, 409})
    except TransportError as error:
        left = f"the server may have locked it, which ends after {_SECONDS} seconds"
        error.hint = f"{error.hint}; {left}" if error.hint else left
        raise
    if response.status in {404, 409}:
        made = yield from api.make_folders(request.url, facts)
        if not made:
            raise refusal(request, response, parent=True)
        response = yield from api.call(request)
    token = response.headers.get("lock-token", "").strip()
    if not _TOKEN.fullmatch(token):
        raise unexpected(request, response, "without a lock's token")
    return _Lock(token, made=response.status == HTTPStatus.CREATED)


def _give_up(
    api: Api, facts: Facts, lock: _Lock, shown: Mapping[str, str], *, delete: bool = False
) -> Exchange[None]:
    """Give the lock up; where that fails the server does so in a while."""
    try:
        if delete:
            yield from api.call(api.file("DELETE", facts, headers=shown))
            return  # and the lock with it
        headers = {"Lock-Token": escape(lock.token)}
        yield from api.call(api.file("UNLOCK", facts, headers=headers, idempotent=True))
    except WebhookStorageError:
        log.warning("a lock could not be given up; it stays for %d seconds", _SECONDS)
