"""Static large objects: segments, and a manifest that puts them together.

Source: OpenStack Swift, Large Object Support (``swift.common.middleware.slo``).
"""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from webhook_storage.answer import maybe_done
from webhook_storage.checksum import sent
from webhook_storage.contracts import Exchange, StoreOptions, Together
from webhook_storage.template import escape
from webhook_storage.upload import MultipartUpload, PartBody, State, Tags
from webhook_storage_presets.swift.answers import (
    compare_stored,
    is_segmented,
    md5_of,
    outcome,
    refusal,
    status_of,
)

if TYPE_CHECKING:
    from webhook_storage.contracts import Facts, Request, Response
    from webhook_storage_presets.swift.api import Api

MOST_SEGMENTS = 1000
EXPIRY = "X-Delete-After"
_PREFIX = re.compile("[0-9a-f]{32}")
_NUMBER = re.compile("[0-9]{8}")
_TAG = re.compile("([0-9a-f]{32}) ([0-9]{1,20})")
_EXISTS = HTTPStatus.PRECONDITION_FAILED


class SloUpload(MultipartUpload[str]):
    """The requests of one upload, whose segments stand below a prefix of its own.

    Its result is the ETag: the MD5 of those of all segments.

    Args:
        api: What makes requests.
        facts: Those of the store.
        options: What must hold of what is there.
        limit: Most segments that are deleted at a time.
    """

    leftover: ClassVar[str] = "delete the segments below that name; until then they cost"

    def __init__(self, api: Api, facts: Facts, options: StoreOptions, limit: int) -> None:
        """Send nothing yet."""
        self._api = api
        self._facts = facts
        self._options = options
        self._limit = limit
        self._tags: Tags = {}
        self._rejoined = False

    def public_id(self, state: State) -> str:
        """Return where the segments are, which gives no right to them."""
        return f"{self._api.segments}/{state['prefix']}"

    def accepts(self, state: State) -> bool:
        """Want a prefix of our making."""
        return state.keys() == {"prefix"} and bool(_PREFIX.fullmatch(state["prefix"]))

    def begin(self) -> Exchange[State]:
        """Think of a prefix; nobody needs to know."""
        yield from ()
        return {"prefix": uuid4().hex}

    def send(self, state: State, part: PartBody) -> Exchange[str]:
        """Store a segment, which is stored as it is or not at all."""
        tag = yield from sent("ETag", part, {})
        kept = self._api.stored_headers.get(EXPIRY)  # a segment ends with its object
        headers = {"ETag": tag} if kept is None else {"ETag": tag, EXPIRY: kept}
        request = self._api.segment("PUT", _name(state, part.number), headers=headers, body=part)
        response = yield from self._api.call(request, fixed=True)
        compare_stored(request, response, response.headers.get("etag"), tag)
        return f"{tag} {part.size}"

    def status(self, state: State, tags: Tags) -> Exchange[Tags | None]:  # noqa: ARG002
        """List the segments."""
        self._rejoined = True
        found: dict[int, str] = {}
        for entry in (yield from self._segments(state)):
            number = entry["name"].rpartition("/")[2]
            tag = f"{md5_of(entry.get('hash'))} {entry.get('bytes')}"
            if _NUMBER.fullmatch(number) and _TAG.fullmatch(tag):
                found[int(number)] = tag
        return found or None

    def finish(self, state: State, tags: Tags) -> Exchange[str]:
        """Store the manifest; the answer comes first, and then whether it holds."""
        self._tags = tags
        whole = self._whole()
        request = self._manifest(state, tags, whole)
        created = self._options.if_absent
        response = yield from self._api.call(request, also={_EXISTS}, fixed=True)
        if response.status == HTTPStatus.CREATED:  # by a Swift that knows no heartbeat
            compare_stored(request, response, response.headers.get("etag"), whole)
            return whole
        status, said = response.status, dict[str, Any]()
        if status != _EXISTS:
            status, said = outcome(request, response)
        if status == HTTPStatus.CREATED:
            compare_stored(request, response, said.get("Etag"), whole)
            return whole
        # An earlier attempt, or process, may have stored it, and its answer been lost.
        maybe = self._rejoined or maybe_done(response.history)
        if status == _EXISTS and created and maybe:
            found = yield from self.stored()
            if found is not None:
                return found
        within = 0 if status == response.status else status
        raise refusal(request, response, created=created, fixed=True, within=within)

    def abort(self, state: State) -> Exchange[bool]:
        """Delete the segments."""
        found = yield from self._segments(state)
        yield Together([self._delete(entry["name"]) for entry in found], self._limit)
        return True

    def stored(self) -> Exchange[str | None]:
        """Return the ETag of what is there when it is the one that these segments make."""
        request = self._api.object("HEAD", self._facts)
        response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})
        whole = self._whole()
        is_ours = is_segmented(response) and md5_of(response.headers.get("etag")) == whole
        return whole if is_ours else None

    def _whole(self) -> str:
        tags = "".join(_digest(tag) for _, tag in sorted(self._tags.items()))
        return hashlib.md5(tags.encode(), usedforsecurity=False).hexdigest()

    def _segments(self, state: State) -> Exchange[list[dict[str, Any]]]:
        prefix = f"{state['prefix']}/"
        found = yield from self._api.names(self._api.segments, prefix, absent=True)
        return [entry for entry in found if entry["name"].startswith(prefix)]

    def _delete(self, name: str) -> Exchange[None]:
        request = self._api.segment("DELETE", name)
        yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})

    def _manifest(self, state: State, tags: Tags, whole: str) -> Request:
        conditions = {"If-None-Match": "*"} if self._options.if_absent else {}
        manifest = [
            {
                "path": f"/{escape(self._api.segments)}/{_name(state, number)}",
                "etag": _digest(tag),
                "size_bytes": int(tag.partition(" ")[2]),
            }
            for number, tag in sorted(tags.items())
        ]
        return self._api.object(
            "PUT",
            self._facts,
            params={"multipart-manifest": "put", "heartbeat": "on"},
            headers={
                **self._api.stored_headers,
                **conditions,
                "Accept": "application/json",
                "ETag": whole,
            },
            json=manifest,
        )


def delete(api: Api, facts: Facts) -> Exchange[None]:
    """Delete a manifest with its segments."""
    params = {"multipart-manifest": "delete"}
    request = api.object("DELETE", facts, params=params, headers={"Accept": "application/json"})
    response: Response = yield from api.call(request)
    status, said = outcome(request, response)
    gone = status == HTTPStatus.NOT_FOUND and maybe_done(response.history)
    if status != HTTPStatus.OK and not gone:
        raise refusal(request, response, within=_first_error(said) or status)


def _first_error(said: dict[str, Any]) -> int:
    """Return the status of the first segment that could not be deleted, 0 where there is none."""
    errors = said.get("Errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    status = first[-1] if isinstance(first, list) and first else ""
    return status_of(status)


def _name(state: State, number: int) -> str:
    return f"{state['prefix']}/{number:08}"


def _digest(tag: str) -> str:
    """Return the digest in a segment's tag, which may have come from a file."""
    found = _TAG.fullmatch(tag)
    return found[1] if found else ""
