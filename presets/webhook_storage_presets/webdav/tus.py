"""A resumable upload by tus (tus.io, protocol 1.0.0, with its extension Creation).

Source: the protocol; ownCloud Infinite Scale, which takes an upload at the URL of a folder.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

from webhook_storage import origin
from webhook_storage.answer import number
from webhook_storage.errors import ConfigurationError, IntegrityError
from webhook_storage.template import Fact, Source, parse
from webhook_storage.upload import PartBody, Progress, ResumableUpload, State
from webhook_storage_presets.keys import key_of
from webhook_storage_presets.webdav.answers import refusal, unexpected
from webhook_storage_presets.webdav.properties import WITH_CHECKSUMS, Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Body, Exchange, Facts, Request, Response
    from webhook_storage_presets.webdav.api import Api

_VERSION = {"Tus-Resumable": "1.0.0"}
_GONE = frozenset({404, 410})


class TusUpload(ResumableUpload[str | None]):
    """The requests of one upload. What comes of it is the file's version, where it is told.

    Args:
        api: What makes requests; its base has no placeholders.
        body: What is stored.
        facts: Those of the store.
    """

    leftover: ClassVar[str] = "the server removes it after a while"

    def __init__(self, api: Api, body: Body, facts: Facts) -> None:
        """Send nothing yet."""
        self._api = api
        self._body = body
        self._facts = facts
        self._url = api.url(facts)
        self._name = _name_of(api.key, facts)
        self._sha1 = hashlib.sha1(usedforsecurity=False)

    def measure(self, chunk: bytes) -> None:
        """Take the checksum by which ownCloud knows the file."""
        self._sha1.update(chunk)

    def accepts(self, state: State) -> bool:
        """Want a URL of the server itself, as bytes and credentials go there."""
        return state.keys() == {"upload"} and origin.same_origin(
            state["upload"], self._api.base.replace("$$", "$")
        )

    def begin(self) -> Exchange[State]:
        """Announce the file to the folder in which it is to be."""
        yield from self._api.make_folders(self._url, self._facts)
        name = base64.b64encode(self._name.encode()).decode()
        headers = {
            **_VERSION,
            "Upload-Length": str(self._body.size),
            "Upload-Metadata": f"filename {name}",
        }
        above = self._api.folders(self._url, self._facts)
        folder = f"{self._api.base}/{above[-1] if above else ''}"
        request = self._api.request(
            "POST", folder, headers=headers, facts=self._facts, idempotent=True
        )  # what is announced twice is stored once, and the other one is forgotten
        response = yield from self._api.call(request)
        where = response.headers.get("location", "")
        if not where:
            raise unexpected(request, response, "without a Location")
        return {"upload": origin.join(self._api.base.replace("$$", "$") + "/", where)}

    def send(self, state: State, part: PartBody) -> Exchange[Progress]:
        """Send what follows."""
        headers = {
            "Upload-Offset": str(part.start),
            "Content-Type": "application/offset+octet-stream",
        }
        request = self._at(state, "PATCH", headers=headers, body=part, idempotent=False)
        response = yield from self._api.call(request, also=_GONE)
        if response.status in _GONE:
            raise refusal(request, response)
        return _progress(request, response, state)

    def status(self, state: State) -> Exchange[Progress | None]:
        """Ask how far it is; an upload that is gone may have come to its end."""
        request = self._at(state, "HEAD")
        response = yield from self._api.call(request, also=_GONE)
        if response.status not in _GONE:
            return _progress(request, response, state)
        found = yield from self._there()
        return None if found is None else Progress(state, self._body.size)

    def finish(self, state: State) -> Exchange[str | None]:  # noqa: ARG002
        """Look at the file that the server has made of it."""
        found = yield from self._entry()
        known = "" if found is None else " ".join(found.checksums)
        wrong = "SHA1:" in known and not self._is_this(found)
        if found is None or found.size != self._body.size or wrong:
            message = f"{self._url}: what the server made of the upload is something else"
            raise IntegrityError(message, hint="does somebody else store there? store it again")
        return found.etag

    def abort(self, state: State) -> Exchange[bool]:
        """Let the server forget it (extension Termination)."""
        response = yield from self._api.call(self._at(state, "DELETE"), also={405, 501, *_GONE})
        return response.status not in {405, 501}

    def stored(self) -> Exchange[str | None]:
        """Return the version of what is there, when it is this body."""
        found = yield from self._there()
        return None if found is None else found.etag or ""

    def _there(self) -> Exchange[Entry | None]:
        found = yield from self._entry()
        return found if self._is_this(found) else None

    def _entry(self) -> Exchange[Entry | None]:
        found = yield from self._api.properties(self._url, self._facts, body=WITH_CHECKSUMS)
        return None if isinstance(found, int) or not found or found[0].is_folder else found[0]

    def _is_this(self, found: Entry | None) -> bool:
        return (
            found is not None
            and found.size == self._body.size
            and f"SHA1:{self._sha1.hexdigest()}".upper() in found.checksums
        )

    def _at(
        self, state: State, method: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Request:
        """Return a request to the URL that the server gave, which is shown by its name only."""
        host = origin.origin(self._api.base).host or ""
        return self._api.request(
            method,
            "${receipt.upload}",
            headers={**_VERSION, **(headers or {})},
            facts={"receipt.upload": state["upload"]},
            returns=_GONE,
            redirect_hosts=(host,),
            **more,
        )


def _progress(request: Request, response: Response, state: State) -> Progress:
    offset = number(response.headers.get("upload-offset", ""))
    if offset is None:
        raise unexpected(request, response, "without an Upload-Offset")
    return Progress(state, offset)


def _name_of(key: str | None, facts: Facts) -> str:
    """Return the name of the file, which goes in base64 and so cannot be a template.

    Raises:
        ConfigurationError: When a secret is in it.
    """

    def _known(source: Source) -> str | None:
        return facts.get(source.name) if isinstance(source, Fact) else None

    path = ""
    for part in parse(key_of(key, facts)).parts:
        if isinstance(part, str):
            path += part
        elif isinstance(part.source, Fact):
            path += part.value(_known)
        else:
            path += "\0"
    name = path.rpartition("/")[2]
    if "\0" in name:
        message = "the name of a file that goes by tus cannot have a secret in it"
        raise ConfigurationError(message, path="key", hint="put it into a folder's name")
    return name
