"""Nextcloud's chunked upload, version 2. Source: its developer manual, Chunked file upload.

The chunks go to a folder of their own, of which the server makes one file by a MOVE. While it does
so it answers 423, and 404 when it is done.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from webhook_storage.answer import header, maybe_done
from webhook_storage.checksum import compare_stored
from webhook_storage.contracts import Exchange, Pause, Response, StoreOptions, Work
from webhook_storage.errors import ConflictError
from webhook_storage.template import escape
from webhook_storage.upload import MultipartUpload, PartBody, State, Tags
from webhook_storage_presets.meaning import Meaning
from webhook_storage_presets.webdav.answers import refusal
from webhook_storage_presets.webdav.properties import WITH_CHECKSUMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.contracts import Body, Facts, Request
    from webhook_storage_presets.webdav.api import Api

SMALLEST_CHUNK = 5 * 1024**2
LARGEST_CHUNK = 5 * 1024**3
MOST_CHUNKS = 10_000

_ID = re.compile("webhook-storage-[0-9a-f]{32}")
_NAME = re.compile("[0-9]{1,9}")
_CREATED = 201
_ASKED = 12
"""Times that a file is asked for while it is made, for a quarter of an hour in all."""

_GONE = Meaning(
    ConflictError, "the version that was to be replaced is gone", "store it without if_unchanged"
)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 300.0


class ChunkedUpload(MultipartUpload[str | None]):
    """The requests of one upload. What comes of it is the file's version, where it is told.

    Args:
        api: What makes requests.
        uploads: URL of the folder of the user's uploads.
        body: What is stored.
        facts: Those of the store.
        options: What must hold of what is there.
        fetched: Fetches what is there, and returns the answer when it is this body.
    """

    leftover: ClassVar[str] = "Nextcloud removes it when nothing has come for a day"

    def __init__(
        self,
        api: Api,
        uploads: str,
        body: Body,
        facts: Facts,
        options: StoreOptions,
        fetched: Callable[[], Exchange[Response | None]],
    ) -> None:
        """Send nothing yet."""
        self._api = api
        self._uploads = uploads
        self._body = body
        self._facts = facts
        self._options = options
        self._fetched = fetched
        self._url = api.url(facts)
        self._headers = {"Destination": self._url, "OC-Total-Length": str(body.size)}
        self._conditions = self._of_move(api.conditions(options))

    def public_id(self, state: State) -> str:
        """Return the folder's name, which is of use to its user only."""
        return state["upload"]

    def accepts(self, state: State) -> bool:
        """Want a name of our making."""
        return state.keys() == {"upload"} and bool(_ID.fullmatch(state["upload"]))

    def begin(self) -> Exchange[State]:
        """Make the folder of the chunks, and those in which the file is to be."""
        yield from self._api.make_folders(self._url, self._facts)
        state = {"upload": f"webhook-storage-{uuid4().hex}"}
        headers = {"Destination": self._url}
        request = self._request("MKCOL", state, "", headers=headers, idempotent=True)
        response = yield from self._api.call(request, also={405})
        if response.status != _CREATED and not maybe_done(response.history):
            raise refusal(request, response)
        return state

    def send(self, state: State, part: PartBody) -> Exchange[str]:
        """Send a chunk, and compare what the server says of it."""
        headers = {**self._headers, "X-Hash": "sha256"}
        request = self._request("PUT", state, f"{part.number:05}", headers=headers, body=part)
        response = yield from self._api.call(request)
        yield from compare_stored(f"PUT {request.url}", response, part)
        return _tag(header(response, "etag") or header(response, "oc-etag"), part.size)

    def status(self, state: State, tags: Tags) -> Exchange[Tags | None]:
        """List the chunks; one whose answer had no ETag is known by its size."""
        url = self._folder(state)
        found = yield from self._api.properties(url, self._facts, depth=1)
        if isinstance(found, int):
            return None
        chunks: dict[int, str] = {}
        for entry in found:
            name = entry.segments[-1] if entry.segments else ""
            if _NAME.fullmatch(name) and not entry.is_folder:
                number, size = int(name), entry.size or 0
                by_size = tags.get(number, "").startswith("size ")
                chunks[number] = _tag(None if by_size else entry.etag, size)
        return chunks

    def finish(self, state: State, tags: Tags) -> Exchange[str | None]:  # noqa: ARG002
        """Let the server make the file, and wait until it has."""
        headers = {**self._headers, **self._conditions}
        headers["OC-Checksum"] = f"SHA256:{yield Work(self._body.sha256)}"
        waited, pause = False, _FIRST_PAUSE
        for _ in range(_ASKED):
            request = self._request("MOVE", state, ".file", headers=headers, idempotent=True)
            response = yield from self._api.call(request, also={404, 412, 423})
            if response.status != HTTPStatus.LOCKED:
                break
            waited = True
            yield Pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        if response.status in {201, 204}:
            return header(response, "oc-etag") or header(response, "etag")
        if waited or maybe_done(response.history):
            found = yield from self._there()
            if found is not None:
                return found or None
        raise (yield from self._refused(request, response))

    def abort(self, state: State) -> Exchange[bool]:
        """Delete the folder of the chunks."""
        yield from self._api.call(self._request("DELETE", state, ""))
        return True

    def stored(self) -> Exchange[str | None]:
        """Return the version of what is there, when it is this body."""
        return (yield from self._there())

    def _there(self) -> Exchange[str | None]:
        """Return the version of this body, empty when it is not told, None when it is not there.

        Nextcloud keeps the checksum that came with the MOVE, so it tells of which one the file is.
        """
        found = yield from self._api.properties(self._url, self._facts, body=WITH_CHECKSUMS)
        if isinstance(found, int) or not found or found[0].size != self._body.size:
            return None
        digest: str = yield Work(self._body.sha256)
        if f"SHA256:{digest}".upper() in found[0].checksums:
            return found[0].etag or ""
        response = yield from self._fetched()
        return None if response is None else (header(response, "etag") or "")

    def _refused(self, request: Request, response: Response) -> Exchange[Exception]:
        """Return the error for a file that was not made."""
        created = self._options.if_absent
        if response.status == HTTPStatus.NOT_FOUND and self._options.if_version is not None:
            found = yield from self._api.properties(self._url, self._facts)
            if found == HTTPStatus.NOT_FOUND:
                return _GONE.error(f"{request.method} {request.url} answered 404", response)
        return refusal(request, response, created=created)

    def _of_move(self, conditions: dict[str, str]) -> dict[str, str]:
        """Return conditions of what is replaced by a MOVE (RFC 4918, sections 10.4 and 10.6)."""
        if "If-None-Match" in conditions:
            return {"Overwrite": "F"}
        if "If-Match" in conditions:
            return {"If": f"<{self._url}> ([{conditions['If-Match']}])"}
        return {}

    def _folder(self, state: State) -> str:
        return f"{self._uploads}/{escape(state['upload'])}/"

    def _request(self, method: str, state: State, name: str, **more: Any) -> Request:
        url = f"{self._folder(state)}{name}".rstrip("/")
        return self._api.request(method, url, facts=self._facts, **more)


def _tag(etag: str | None, size: int) -> str:
    return f"etag {etag} {size}" if etag else f"size {size}"
