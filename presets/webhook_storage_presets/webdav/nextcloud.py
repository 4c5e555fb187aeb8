"""Nextcloud. Source: its developer manual, client APIs, WebDAV: basic and chunked file upload."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import Field

from webhook_storage.auth import SecretText  # noqa: TC001 - a field's type
from webhook_storage.contracts import PLAIN, Body, Exchange, Facts, StoreOptions, Work
from webhook_storage.errors import TooLargeError
from webhook_storage.receipt import Receipt
from webhook_storage.upload import in_parts, part_size_for
from webhook_storage_presets.webdav.account import MEBI, Account
from webhook_storage_presets.webdav.chunks import (
    LARGEST_CHUNK,
    MOST_CHUNKS,
    SMALLEST_CHUNK,
    ChunkedUpload,
)

_HEADERS = {
    "X-NC-WebDAV-AutoMkcol": "1",  # makes the parent folders
    "X-Hash": "sha256",  # asks for the digest of what was stored
}


class Nextcloud(Account):
    """Stores among the files of a user of Nextcloud, each artifact in one file.

    Folders that a key needs are made. The password is an app password, which Nextcloud makes in
    the user's settings, under security.

    Example:
        >>> storage = Nextcloud(url="https://cloud.example.com", user="me")
        >>> storage.exchange("fetch", "a b").send(None).url
        'https://cloud.example.com/remote.php/dav/files/me/${artifact.key|path}'
        >>> Nextcloud.from_json(storage.to_json()) == storage
        True
    """

    password: SecretText = Field(
        "${NEXTCLOUD_PASSWORD}", description="Placeholder of the app password."
    )
    conditional_writes: bool = Field(
        default=True, description="Whether the server holds If-None-Match and If-Match."
    )
    chunk_above: Annotated[int, Field(ge=0, le=LARGEST_CHUNK)] = Field(
        100 * MEBI, description="Number of bytes above which an artifact goes in chunks."
    )
    chunk_size: Annotated[int, Field(ge=SMALLEST_CHUNK, le=LARGEST_CHUNK)] = Field(
        10 * MEBI, description="Number of bytes of a chunk; more where they would be too many."
    )
    parallel: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="Most chunks at a time, of one artifact."
    )

    @property
    def _password(self) -> str:
        return self.password

    @property
    def _holds_conditions(self) -> bool:
        return self.conditional_writes

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store the file, in chunks when it is large."""
        if body.size <= self.chunk_above:
            return (yield from super().store_exchange(body, facts, options))
        largest = MOST_CHUNKS * LARGEST_CHUNK
        if body.size > largest:
            message = f"{body.size} bytes are more than the {largest} of one file"
            raise TooLargeError(message, hint="store it in several artifacts")
        self._check_conditions(options)
        api = self._api
        upload = ChunkedUpload(
            api,
            f"{self._dav}/uploads/{self._user}",
            body,
            facts,
            options,
            partial(self.stored_already, body, facts),
        )
        size = part_size_for(body.size, self.chunk_size, 1, MOST_CHUNKS, LARGEST_CHUNK)
        version = yield from in_parts(
            upload, body, part_size=size, limit=self.parallel, checkpoint=options.checkpoint
        )
        return Receipt.of(api.url(facts), body, facts, version=version or None)

    def _store_headers(self, body: Body) -> Exchange[dict[str, str]]:
        digest: str = yield Work(body.sha256)
        return {**_HEADERS, "OC-Checksum": f"SHA256:{digest}"}

    def _webhook_headers(self) -> dict[str, Any]:
        return {"headers": {**_HEADERS, "OC-Checksum": "SHA256:${artifact.sha256}"}}
