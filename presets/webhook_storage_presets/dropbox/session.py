"""Upload sessions: what is too large for one request goes in parts, one after the other."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from webhook_storage.contracts import Exchange, Request, Response, Work
from webhook_storage.template import escape
from webhook_storage.upload import Progress, ResumableUpload, State
from webhook_storage_presets.dropbox.answers import (
    REFUSED,
    correct_offset,
    members,
    tags,
    unexpected,
)
from webhook_storage_presets.dropbox.digest import ContentHash, content_hash

if TYPE_CHECKING:
    from webhook_storage.contracts import Facts
    from webhook_storage.upload import PartBody
    from webhook_storage_presets.dropbox.api import Api
    from webhook_storage_presets.dropbox.commit import Commit

_ID = re.compile(r"[\x21-\x7e]{1,512}")
_NOWHERE = 1
"""An offset at which no session is that was sent whole blocks of 4 MiB, and none of one byte."""


class Session(ResumableUpload[Response]):
    """The upload of one artifact by an upload session.

    Args:
        api: How Dropbox is asked.
        facts: What placeholders with a dot stand for.
        commit: How the file is stored.
        size: Number of bytes of the artifact.

    Attributes:
        hash: The content hash of all of it.
    """

    leftover: ClassVar[str] = "Dropbox drops it seven days after it was begun"

    def __init__(self, api: Api, facts: Facts, commit: Commit, size: int) -> None:
        """Keep what the requests need."""
        self._api = api
        self._facts = facts
        self._commit = commit
        self._size = size
        self.hash = ContentHash()

    def measure(self, chunk: bytes) -> None:
        """Take the content hash."""
        self.hash.update(chunk)

    def public_id(self, state: State) -> str:
        """Return the session's id, which gives nobody a right without a token of the account."""
        return state["session_id"]

    def accepts(self, state: State) -> bool:
        """Want a session id and nothing else."""
        return state.keys() == {"session_id"} and _ID.fullmatch(state["session_id"]) is not None

    def begin(self) -> Exchange[State]:
        """Begin a session without bytes, so that its id is known before any of them is sent."""
        request = self._request("start", {"close": False})
        response = yield from self._api.call(request)
        if response.status == REFUSED:
            raise self._api.refusal(request, response)
        session_id = members(request, response).get("session_id")
        if not isinstance(session_id, str):
            raise unexpected(request, response, "without session_id")
        return {"session_id": session_id}

    def send(self, state: State, part: PartBody) -> Exchange[Progress]:
        """Append a part, which Dropbox compares with its content hash."""
        digest = yield Work(partial(content_hash, part))
        argument = {"cursor": _cursor(state, part.start), "content_hash": digest}
        request = self._api.upload(
            "upload_session/append_v2", argument, self._facts, part, idempotent=False, again=False
        )
        response = yield from self._api.call(request)
        return Progress(state, self._offset(request, response, part.end))

    def status(self, state: State) -> Exchange[Progress | None]:
        """Ask by an append of nothing at an offset that is wrong: the answer has the right one."""
        request = self._request("append_v2", {"cursor": _cursor(state, _NOWHERE)})
        response = yield from self._api.call(request)
        if response.status == REFUSED and tags(response) == ("not_found",):
            return None
        return Progress(state, self._offset(request, response, _NOWHERE))

    def finish(self, state: State) -> Exchange[Response]:
        """Make a file of the session."""
        argument = {"cursor": _cursor(state, self._size), "commit": self._commit.argument}
        request = self._request("finish", argument, idempotent=self._commit.idempotent)
        response = yield from self._api.call(request)
        if response.status != REFUSED:
            return response
        found, digest = tags(response), self.hash.hexdigest()
        if found == ("lookup_failed", "not_found"):
            raise self._api.refusal(request, response, "session")
        earlier = yield from self._commit.earlier(self._api, response, self._facts, digest)
        if earlier is None:
            raise self._api.refusal(request, response, self._commit.meaning(found))
        return earlier

    def abort(self, state: State) -> Exchange[bool]:  # noqa: ARG002 - there is no such request
        """Do nothing: Dropbox has no request for it."""
        yield from ()
        return False

    def stored(self) -> Exchange[Response | None]:
        """Return the metadata of the file when it has these bytes."""
        digest = self.hash.hexdigest()
        return (yield from self._commit.file_with(self._api, self._facts, digest))

    def _request(
        self, route: str, argument: dict[str, Any], *, idempotent: bool | None = True
    ) -> Request:
        route = f"upload_session/{route}"
        return self._api.upload(route, argument, self._facts, None, idempotent=idempotent)

    def _offset(self, request: Request, response: Response, done: int) -> int:
        """Return the offset of the session after an append."""
        if response.status != REFUSED:
            return done
        found = tags(response)
        correct = correct_offset(response) if found == ("incorrect_offset",) else None
        if correct is None:
            meaning = "session" if found == ("not_found",) else ""
            raise self._api.refusal(request, response, meaning)
        return correct


def _cursor(state: State, offset: int) -> dict[str, Any]:
    return {"session_id": escape(state["session_id"]), "offset": offset}
