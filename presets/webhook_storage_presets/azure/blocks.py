"""A blob made of blocks. Source: Azure Storage REST documentation, Put Block and Put Block List."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from webhook_storage import markup
from webhook_storage.answer import header, maybe_done
from webhook_storage.artifact import MemorySink
from webhook_storage.checksum import sent
from webhook_storage.contracts import Exchange, Response, StoreOptions
from webhook_storage.upload import MultipartUpload, PartBody, State, Tags
from webhook_storage_presets.azure.answers import is_missing, refusal, unexpected

if TYPE_CHECKING:
    from webhook_storage.contracts import Facts
    from webhook_storage_presets.azure.api import Api

MEBI = 1024**2
MOST_BLOCKS = 50_000
LARGEST_BLOCK = 4000 * MEBI

_PREFIX = re.compile("[0-9a-f]{16}")
_LIST_LIMIT = 16 * MEBI
_LIST_ELEMENTS = 400_000
"""Of up to 100,000 blocks that wait, those of other uploads among them; each has three."""
_CONDITION_FAILED = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})


class BlockUpload(MultipartUpload[Response]):
    """The requests of one upload. It ends with the answer to the one that makes the blob.

    Args:
        api: What makes requests.
        facts: Those of the store.
        options: What must hold of what is there.
    """

    leftover: ClassVar[str] = "Azure forgets blocks that no blob was made of after a week"

    def __init__(self, api: Api, facts: Facts, options: StoreOptions) -> None:
        """Send nothing yet."""
        self._api = api
        self._facts = facts
        self._options = options
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0

    def measure(self, chunk: bytes) -> None:
        """Take the MD5 of the whole, which the blob will say of itself."""
        self._md5.update(chunk)
        self._size += len(chunk)

    def accepts(self, state: State) -> bool:
        """Want the prefix of our own blocks."""
        return state.keys() == {"prefix"} and bool(_PREFIX.fullmatch(state["prefix"]))

    def begin(self) -> Exchange[State]:
        """Think of a name for the blocks, so that two uploads of one blob do not mix theirs."""
        yield from ()
        return {"prefix": secrets.token_hex(8)}

    def send(self, state: State, part: PartBody) -> Exchange[str]:
        """Send a block with its MD5, so that it is stored as it is or not at all."""
        name = _block_id(state, part.number)
        headers = {"Content-MD5": (yield from sent("Content-MD5", part, {}))}
        query = f"comp=block&blockid={quote(name, safe='')}"
        request = self._api.blob("PUT", self._facts, query=query, headers=headers, body=part)
        yield from self._api.call(request)
        return name

    def status(self, state: State, tags: Tags) -> Exchange[Tags | None]:
        """Ask which of our blocks wait to be made a blob."""
        sink = MemorySink(_LIST_LIMIT)
        query = "comp=blocklist&blocklisttype=uncommitted"
        request = self._api.blob("GET", self._facts, query=query, sink=sink)
        response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND:
            if not is_missing(response):
                raise refusal(request, response)
            return None
        root = markup.parse(sink.getvalue(), most=_LIST_ELEMENTS)
        if root is None or root.name != "BlockList":
            raise unexpected(request, response, "with no list of blocks")
        waiting = root.first("UncommittedBlocks")
        names = {block.value("Name") for block in (waiting.all("Block") if waiting else ())}
        found = {
            number: name
            for number in range(1, MOST_BLOCKS + 1)
            if (name := _block_id(state, number)) in names
        }
        # With none left, a blob was made of them, or of others.
        return None if tags and not found else found

    def finish(self, state: State, tags: Tags) -> Exchange[Response]:
        """Make a blob of the blocks."""
        names = "".join(f"<Latest>{_block_id(state, number)}</Latest>" for number in sorted(tags))
        text = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{names}</BlockList>'
        headers = {
            "Content-Type": "application/xml",
            "x-ms-blob-content-md5": self._whole,
            **self._api.stored_headers,
            **self._api.conditions(self._options),
        }
        request = self._api.blob(
            "PUT", self._facts, query="comp=blocklist", headers=headers, data=text
        )
        refused = _CONDITION_FAILED if self._options.conditional else frozenset[HTTPStatus]()
        response = yield from self._api.call(request, also=refused, tagged=True)
        if response.status not in refused:
            return response
        # Of several attempts the first may have made it, and its answer been lost.
        found = (yield from self.stored()) if maybe_done(response.history) else None
        if found is None:
            raise refusal(request, response, created=self._options.if_absent)
        return found

    def abort(self, state: State) -> Exchange[bool]:  # noqa: ARG002
        """Leave it: Azure has no request for that."""
        yield from ()
        return False

    def stored(self) -> Exchange[Response | None]:
        """Return the answer of what is there when it says the size and MD5 of the whole."""
        request = self._api.blob("HEAD", self._facts)
        response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})
        said = (header(response, "content-length"), header(response, "content-md5"))
        return response if said == (str(self._size), self._whole) else None

    @property
    def _whole(self) -> str:
        return base64.b64encode(self._md5.digest()).decode()


def _block_id(state: State, number: int) -> str:
    """Return the id of a block; all of a blob have the same length."""
    return base64.b64encode(f"{state['prefix']}-{number:07}".encode()).decode()
