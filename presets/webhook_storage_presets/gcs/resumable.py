"""The resumable upload. Source: Cloud Storage documentation, Perform resumable uploads."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from webhook_storage import origin
from webhook_storage.artifact import BytesBody
from webhook_storage.errors import ObjectNotFoundError
from webhook_storage.upload import PartBody, Progress, ResumableUpload, State
from webhook_storage_presets.gcs.answers import Stored, compare, refusal, stored, unexpected
from webhook_storage_presets.gcs.api import FIELDS
from webhook_storage_presets.gcs.hashes import Hashes

if TYPE_CHECKING:
    from webhook_storage.contracts import Exchange, Facts, Request, Response, StoreOptions
    from webhook_storage_presets.gcs.api import Api

CHUNK = 256 * 1024
"""Number of bytes of which all parts but the last are a multiple."""

_GOES_ON = 308
"""The answer to a part that is not the last; it leads nowhere."""

_ENDED = 499
"""The answer to the end of an upload without an object."""

_MOST_DIGITS = 20
_RANGE = re.compile(rf"bytes=0-([0-9]{{1,{_MOST_DIGITS}}})")
_SESSION = re.compile(r"[\x21-\x7e]{1,4096}")


class GcsUpload(ResumableUpload[Stored]):
    """The requests of one upload; whoever knows its URL may write to it.

    Args:
        api: What makes requests.
        facts: Those of the store.
        options: What must hold of what is there.
        size: Number of bytes of the object.
    """

    leftover: ClassVar[str] = "the service drops it after a week"

    def __init__(self, api: Api, facts: Facts, options: StoreOptions, size: int) -> None:
        """Send nothing yet."""
        self._api = api
        self._facts = facts
        self._options = options
        self._size = size
        self._hashes = Hashes()
        self._stored: Stored | None = None

    def measure(self, chunk: bytes) -> None:
        """Take the checksums that the service compares."""
        self._hashes.update(chunk)

    def accepts(self, state: State) -> bool:
        """Want a URL of this bucket's uploads."""
        url = state.get("url", "")
        if state.keys() != {"url"} or not _SESSION.fullmatch(url):
            return False
        ours = self._api.uploads
        return origin.same_origin(url, ours) and origin.path(url) == origin.path(ours)

    def begin(self) -> Exchange[State]:
        """Get a URL."""
        conditions = self._api.conditions(self._options)
        hashes = self._hashes.as_metadata()
        request = self._api.session(self._size, hashes, self._facts, conditions)
        created = self._options.if_absent
        response = yield from self._api.call(request, created=created, about="bucket")
        if "location" not in response.headers:
            raise unexpected(request, response, "without a Location")
        return {"url": response.headers["location"]}

    def send(self, state: State, part: PartBody) -> Exchange[Progress]:
        """Send a part; the last one makes the object."""
        span = f"bytes {part.start}-{part.end - 1}/{part.total}"
        request = self._within("PUT", state, body=part, headers={"Content-Range": span})
        return (yield from self._progress(request, state))

    def status(self, state: State) -> Exchange[Progress | None]:
        """Ask how far it is."""
        headers = {"Content-Range": f"bytes */{self._size}"}
        request = self._within("PUT", state, body=BytesBody(b""), headers=headers)
        try:
            return (yield from self._progress(request, state))
        except ObjectNotFoundError:
            return None

    def finish(self, state: State) -> Exchange[Stored]:
        """Compare what was stored; nothing is left to be said."""
        if self._stored is None:  # all was sent, and yet it goes on
            yield from self.status(state)
        if self._stored is None:
            message = "the service has all of the upload, and made no object of it"
            raise ObjectNotFoundError(message, status=404, hint="store it again")
        compare(self._api.url(self._facts), self._stored, self._size, self._hashes.taken())
        return self._stored

    def abort(self, state: State) -> Exchange[bool]:
        """Delete it."""
        accept = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT, _ENDED})
        request = self._within("DELETE", state, accept=accept)
        yield from self._api.call(request, about="upload")
        return True

    def stored(self) -> Exchange[Stored | None]:
        """Return what is there when its checksums are those of this artifact."""
        request = self._api.object("GET", self._facts, params={"fields": FIELDS})
        response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        found = stored(request, response)
        same = found.hashes.get("md5") == self._hashes.taken()["md5"]
        return found if same and found.size == self._size else None

    def _progress(self, request: Request, state: State) -> Exchange[Progress]:
        """Return how far it is, after the last part with what was stored."""
        response: Response = yield request
        if response.status == _GOES_ON:
            return Progress(state, self._offset(request, response))
        if response.status in request.returns:
            created = self._options.if_absent
            raise refusal(request, response, created=created, about="upload")
        self._stored = stored(request, response)
        return Progress(state, self._size)

    def _offset(self, request: Request, response: Response) -> int:
        """Return the number of bytes that the service has; without a header it has none."""
        text = response.headers.get("range")
        if text is None:
            return 0
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise unexpected(request, response, "with a Range that is none")
        return int(found[1]) + 1

    def _within(
        self,
        method: str,
        state: State,
        *,
        body: PartBody | BytesBody | None = None,
        headers: dict[str, str] | None = None,
        accept: frozenset[int] | None = None,
    ) -> Request:
        return self._api.within(
            method,
            state["url"],
            body=body,
            headers=headers or {},
            accept=accept,
            idempotent=False if isinstance(body, PartBody) else None,
        )
