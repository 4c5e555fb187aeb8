"""S3's multipart upload. Source: Amazon S3 User Guide, Uploading and copying objects by parts."""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from webhook_storage import markup
from webhook_storage.contracts import Exchange, Pause, Response, StoreOptions
from webhook_storage.errors import ServerError
from webhook_storage.template import escape
from webhook_storage.upload import MultipartUpload, PartBody, State, Tags
from webhook_storage_presets.s3.answers import failure_within, unexpected

if TYPE_CHECKING:
    from webhook_storage.contracts import Facts, Request
    from webhook_storage_presets.s3.api import Api

SMALLEST_PART = 5 * 1024 * 1024
MOST_PARTS = 10_000

_ID = re.compile(r"[\x21-\x7e]{1,1024}")
_TAG = re.compile(r'"?[\x21\x23-\x7e]{1,128}"?')
_MD5 = re.compile('"?([0-9a-f]{32})"?')
_COMPLETIONS = 4
_PAGES = 11
"""Pages of 1,000 parts; there are no more than 10,000."""


class Finished(NamedTuple):
    """What came of an upload.

    Attributes:
        version: The object's ETag.
        version_id: Its version, None where the bucket keeps none.
    """

    version: str
    version_id: str | None


class S3Upload(MultipartUpload[Finished]):
    """The requests of one upload.

    Args:
        api: What makes requests.
        facts: Those of the store.
        options: What must hold of what is there.
        compares: Whether the service compares each part with the digest that is signed.
    """

    leftover: ClassVar[str] = "a rule of the bucket's lifecycle can remove it; until then it costs"

    def __init__(self, api: Api, facts: Facts, options: StoreOptions, *, compares: bool) -> None:
        """Send nothing yet."""
        self.compares = compares
        self._api = api
        self._facts = facts
        self._options = options
        self._tags: Tags = {}

    def public_id(self, state: State) -> str:
        """Return the id, which is of use to those only who may write to the bucket."""
        return state["upload_id"]

    def accepts(self, state: State) -> bool:
        """Want an id that can stand in a URL."""
        return state.keys() == {"upload_id"} and bool(_ID.fullmatch(state["upload_id"]))

    def begin(self) -> Exchange[State]:
        """Begin an upload."""
        request = self._api.object(
            "POST", self._facts, params={"uploads": ""}, headers=self._api.stored_headers
        )
        response = yield from self._api.call(request)
        root = markup.parse(response.body)
        upload_id = "" if root is None else root.value("UploadId")
        if not upload_id:
            raise unexpected(request, response, "without an UploadId")
        return {"upload_id": upload_id}

    def send(self, state: State, part: PartBody) -> Exchange[str]:
        """Send a part; its digest is signed, so that it is stored as it is or not at all."""
        request = self._part(state, part.number, part)
        response = yield from self._api.call(request)
        tag = response.headers.get("etag", "")
        if not _TAG.fullmatch(tag):
            raise unexpected(request, response, "without an ETag")
        return tag

    def status(self, state: State, tags: Tags) -> Exchange[Tags | None]:  # noqa: ARG002
        """List the parts."""
        found: dict[int, str] = {}
        marker = "0"
        for _ in range(_PAGES):
            params = {"uploadId": escape(state["upload_id"]), "part-number-marker": marker}
            request = self._api.object("GET", self._facts, params=params)
            response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            root = markup.parse(response.body)
            if root is None:
                raise unexpected(request, response, "with no list of parts")
            for part in root.all("Part"):
                number = part.value("PartNumber")
                if number.isascii() and number.isdigit():
                    found[int(number[:6])] = part.value("ETag")
            marker = root.value("NextPartNumberMarker")
            if root.value("IsTruncated") != "true" or not marker.isdigit():
                break
        return found

    def finish(self, state: State, tags: Tags) -> Exchange[Finished]:
        """Put the parts together; the answer may say that it failed after all."""
        self._tags = tags
        for attempt in range(_COMPLETIONS):
            request = self._completion(state, tags)
            response = yield from self._api.call(request, created=self._options.if_absent)
            failure = failure_within(request, response)
            if failure is None:
                return self._finished(response)
            if not isinstance(failure, ServerError) or attempt == _COMPLETIONS - 1:
                raise failure
            yield Pause(2.0**attempt)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def abort(self, state: State) -> Exchange[bool]:
        """Abort it."""
        params = {"uploadId": escape(state["upload_id"])}
        yield from self._api.call(self._api.object("DELETE", self._facts, params=params))
        return True

    def stored(self) -> Exchange[Finished | None]:
        """Return what is there when its ETag is the one that these parts make."""
        digests = [_MD5.fullmatch(tag) for _, tag in sorted(self._tags.items())]
        known = [match[1] for match in digests if match is not None]
        request = self._api.object("HEAD", self._facts)
        response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND or not known or len(known) < len(digests):
            return None
        whole = hashlib.md5(bytes.fromhex("".join(known)), usedforsecurity=False).hexdigest()
        tag = response.headers.get("etag", "").strip('"')
        return self._finished(response) if tag == f"{whole}-{len(known)}" else None

    def _part(self, state: State, number: int, body: PartBody) -> Request:
        params = {"partNumber": str(number), "uploadId": escape(state["upload_id"])}
        return self._api.object("PUT", self._facts, params=params, body=body)

    def _completion(self, state: State, tags: Tags) -> Request:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{_in_xml(tag)}</ETag></Part>"
            for number, tag in sorted(tags.items())
        )
        namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
        text = f'<CompleteMultipartUpload xmlns="{namespace}">{parts}</CompleteMultipartUpload>'
        return self._api.object(
            "POST",
            self._facts,
            params={"uploadId": escape(state["upload_id"])},
            headers={"Content-Type": "application/xml", **self._api.conditions(self._options)},
            data=escape(text),
            idempotent=True,  # a second one is answered 404, and then what is there is looked at
        )

    def _finished(self, response: Response) -> Finished:
        root = markup.parse(response.body)
        version = root.value("ETag") if root is not None else ""
        version = version or response.headers.get("etag", "")
        return Finished(version, response.headers.get("x-amz-version-id"))


def _in_xml(tag: str) -> str:
    return tag.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
