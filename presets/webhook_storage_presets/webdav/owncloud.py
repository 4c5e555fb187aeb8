"""ownCloud. Source: its developer manual, WebDAV API; tus 1.0.0, the protocol of its large uploads.

ownCloud compares the checksum of a store with what has come, and refuses what differs.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from webhook_storage.auth import SecretText  # noqa: TC001 - a field's type
from webhook_storage.checksum import sent
from webhook_storage.contracts import PLAIN, Body, Exchange, Facts, StoreOptions
from webhook_storage.receipt import Receipt
from webhook_storage.storage import cannot_hold
from webhook_storage.upload import in_parts
from webhook_storage_presets.webdav.account import MEBI, Account
from webhook_storage_presets.webdav.tus import TusUpload


class OwnCloud(Account):
    """Stores among the files of a user of ownCloud, each artifact in one file.

    Folders that a key needs are made. What is large goes by tus, which ownCloud Infinite Scale
    speaks; for ownCloud 10 say ``tus_above=None``.

    Example:
        >>> storage = OwnCloud(url="https://cloud.example.com", user="me")
        >>> storage.exchange("fetch", "a b").send(None).url
        'https://cloud.example.com/remote.php/dav/files/me/${artifact.key|path}'
        >>> OwnCloud.from_json(storage.to_json()) == storage
        True
    """

    password: SecretText = Field(
        "${OWNCLOUD_PASSWORD}", description="Placeholder of the app password."
    )
    conditional_writes: bool = Field(
        default=False, description="Whether the server holds If-None-Match and If-Match."
    )
    tus_above: Annotated[int, Field(ge=0)] | None = Field(
        100 * MEBI,
        description="Number of bytes above which an artifact goes by tus; None for none.",
    )
    part_size: Annotated[int, Field(ge=1)] = Field(
        10 * MEBI, description="Number of bytes that go in one request by tus."
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
        """Store the file, by tus when it is large."""
        if self.tus_above is None or body.size <= self.tus_above:
            return (yield from super().store_exchange(body, facts, options))
        self._check_conditions(options)
        cannot_hold(options, "tus_above", "raise tus_above: a store by tus knows no conditions")
        upload = TusUpload(self._api, body, facts)
        version = yield from in_parts(
            upload, body, part_size=self.part_size, checkpoint=options.checkpoint
        )
        return Receipt.of(self._api.url(facts), body, facts, version=version or None)

    def _store_headers(self, body: Body) -> Exchange[dict[str, str]]:
        return {"OC-Checksum": (yield from sent("OC-Checksum", body, {}))}

    def _webhook_options(self) -> dict[str, Any]:
        return {"checksum": "OC-Checksum"}
