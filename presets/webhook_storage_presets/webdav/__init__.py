"""WebDAV servers (RFC 4918), and the two that store more than files by it.

Source: RFC 4918; nginx's ``ngx_http_dav_module``; the developer manuals of Nextcloud and ownCloud.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from webhook_storage.auth import AnyAuth  # noqa: TC001 - a field's type
from webhook_storage.contracts import PLAIN, Body, Exchange, Facts, Response, StoreOptions
from webhook_storage.errors import ConfigurationError
from webhook_storage.template import parse
from webhook_storage_presets.webdav.base import Dav
from webhook_storage_presets.webdav.lock import locked
from webhook_storage_presets.webdav.nextcloud import Nextcloud
from webhook_storage_presets.webdav.owncloud import OwnCloud

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.auth import AuthModel

__all__ = ["Nextcloud", "OwnCloud", "WebDAV"]


class WebDAV(Dav):
    """Stores on any WebDAV server, each artifact in one file.

    Folders that a key needs are made below the URL; the URL itself is that of a folder that is
    there. A flow is stored under its slug and the time, ``hello-flow/2026-11-21t...``, an artifact
    under its own key, unless `key` says otherwise.

    Example:
        >>> auth = {"type": "basic", "username": "me", "password": "${DAV_PASSWORD}"}
        >>> storage = WebDAV(url="https://dav.example.com/files", auth=auth)
        >>> storage.exchange("fetch", "a b").send(None).url
        'https://dav.example.com/files/${artifact.key|path}'
        >>> WebDAV.from_json(storage.to_json()) == storage
        True
    """

    url: str = Field(description="URL of the folder in which all artifacts are.")
    auth: AnyAuth | None = Field(
        None, description="Who sends the requests: basic, digest, bearer, or another kind."
    )
    conditional_writes: bool = Field(
        default=False,
        description="Whether the server holds If-None-Match and If-Match; nginx does not, and "
        "stores all the same.",
    )
    lock: bool = Field(
        default=False, description="Whether a file is locked while it is stored (class 2)."
    )

    @field_validator("url")
    @classmethod
    def _trim(cls, text: str) -> str:
        parse(text)
        return text.rstrip("/")

    @property
    def _base(self) -> str:
        return self.url

    @property
    def _auth(self) -> AuthModel | None:
        return self.auth

    @property
    def _holds_conditions(self) -> bool:
        return self.conditional_writes

    def _put(
        self,
        body: Body,
        facts: Facts,
        options: StoreOptions = PLAIN,
        more: Mapping[str, str] | None = None,
    ) -> Exchange[Response]:
        """Store by one request, between two that lock and unlock the file where that is wanted."""
        if not self.lock:
            return (yield from super()._put(body, facts, options, more))
        if options.if_absent:
            message = "a lock makes the file that it locks, so nothing is absent then"
            raise ConfigurationError(message, path="lock", hint="store it with lock=False")
        store = super()._put
        return (yield from locked(self._api, facts, lambda more: store(body, facts, options, more)))
