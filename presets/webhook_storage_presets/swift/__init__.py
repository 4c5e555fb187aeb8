"""OpenStack Swift by its own API.

Source: OpenStack Object Storage API reference; Swift's documentation of its middlewares.

Rule: no text that a service sent is ever read as a template.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import TYPE_CHECKING

from webhook_storage.answer import header, maybe_done, number
from webhook_storage.auth.hmac_url import HmacUrl
from webhook_storage.checksum import sent
from webhook_storage.contracts import (
    PLAIN,
    Body,
    Exchange,
    Facts,
    LogIn,
    Response,
    Sink,
    StoreOptions,
)
from webhook_storage.errors import (
    ConfigurationError,
    ObjectNotFoundError,
    UnexpectedAnswerError,
)
from webhook_storage.origin import origin
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage, cannot_hold
from webhook_storage.template import escape
from webhook_storage.upload import in_parts, part_size_for
from webhook_storage.webhook import Webhook
from webhook_storage_presets.keys import Listed, facts_of, in_url, key_of
from webhook_storage_presets.swift import slo
from webhook_storage_presets.swift.answers import (
    compare_fetched,
    compare_stored,
    is_segmented,
    refusal,
    unexpected,
)
from webhook_storage_presets.swift.api import Api, Md5Sink, container_in_url
from webhook_storage_presets.swift.auth import STORAGE_URL, Keystone, TempAuth
from webhook_storage_presets.swift.definition import LARGEST, Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Request

__all__ = ["Keystone", "Swift", "TempAuth"]

_NOWHERE = "https://storage-url.invalid"
"""Stands for the storage URL in a preview, for which nobody logs in (RFC 6761, section 6.4)."""


class Swift(Definition):
    """Stores in a container, each artifact in one object.

    The containers are there already. Where they are the log-in says, unless `storage_url` does.
    A flow is stored under its slug and the time, ``hello-flow/2026-11-21t...``, an artifact under
    its own key, unless `key` says otherwise.

    Example:
        >>> auth = {"type": "swift_temp_auth", "auth_url": "https://swift.example.com/auth/v1.0",
        ...         "user": "team:flows", "key": "${SWIFT_KEY}"}
        >>> storage = Swift(container="flows", key="${artifact.key}", auth=auth,
        ...                 storage_url="https://swift.example.com/v1/AUTH_team")
        >>> storage.exchange("fetch", "a b").send(None).url
        'https://swift.example.com/v1/AUTH_team/flows/${artifact.key|path}'
        >>> Storage.from_json(storage.to_json()) == storage
        True
    """

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store the object; what does not come as its MD5 says is not stored."""
        if options.if_version is not None:
            hint = "Swift holds if_absent only; store each version under a key of its own"
            cannot_hold(options, "if_unchanged", hint)
        size = self._part_size(body)
        api = yield from self._open()
        if size is None:
            version = yield from self._put(api, body, facts, options)
        else:
            upload = slo.SloUpload(api, facts, options, self.parallel)
            version = yield from in_parts(
                upload, body, part_size=size, limit=self.parallel, checkpoint=options.checkpoint
            )
        return Receipt.of(api.url(facts), body, facts, version=version)

    def _part_size(self, body: Body) -> int | None:
        """Return the size of a segment, None for an artifact that is one object."""
        if body.size <= self.multipart_above or not body.size:
            return None
        return part_size_for(body.size, self.part_size, 1, slo.MOST_SEGMENTS, LARGEST)

    def _put(self, api: Api, body: Body, facts: Facts, options: StoreOptions) -> Exchange[str]:
        """Store by one request and return the ETag."""
        tag = yield from sent("ETag", body, {})
        headers = {**api.stored_headers, "ETag": tag}
        if options.if_absent:
            headers["If-None-Match"] = "*"
        refused = {HTTPStatus.PRECONDITION_FAILED} if options.if_absent else frozenset()
        request = api.object("PUT", facts, headers=headers, body=body)
        response = yield from api.call(request, also=refused, fixed=True)
        if response.status not in refused:
            compare_stored(request, response, response.headers.get("etag"), tag)
            return tag
        # Of several attempts the first may have stored it, and its answer been lost.
        found = None
        if maybe_done(response.history):
            found = yield from self.stored_already(body, facts)
        if found is None:
            raise refusal(request, response, created=True)
        return tag

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch the object, and compare its MD5 where Swift knows it."""
        api = yield from self._open()
        taking = Md5Sink(sink)
        request = api.object("GET", facts, sink=taking)
        response = yield from api.call(request)
        compare_fetched(request, response, taking.md5)
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the object's headers."""
        api = yield from self._open()
        response = yield from self._head(api, facts)
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        version = header(response, "etag")
        return Stat(
            size=number(header(response, "content-length") or ""),
            version=None if version is None else version.strip('"'),
            modified=header(response, "last-modified"),
            content_type=header(response, "content-type"),
        )

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete the object, with its segments where it has some."""
        api = yield from self._open()
        found = yield from self._head(api, facts)
        if found.status == HTTPStatus.NOT_FOUND:
            message = f"there is no object {api.url(facts)}"
            raise ObjectNotFoundError(message, status=404, hint="are container and key right?")
        if is_segmented(found):
            yield from slo.delete(api, facts)
            return
        request = api.object("DELETE", facts)
        response = yield from api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND and not maybe_done(response.history):
            raise refusal(request, response)
        if response.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND}:
            raise unexpected(request, response, "and not as Swift does")

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the container, and take the keys out of the objects' names."""
        listed = Listed(self.key)
        if isinstance(self.auth, HmacUrl):
            message = "a signed URL is one of an object, and there is none of a list"
            raise ConfigurationError(message, path="auth", hint="list with a log-in or a token")
        api = yield from self._open()
        found = yield from api.names(self.container, listed.prefix, facts)
        return [*dict.fromkeys(listed.keys([entry["name"] for entry in found]))]

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the key."""
        return facts_of(self.key)

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores the same objects, with all requests spelled out.

        What one request cannot say is left out: segments, the list, what is stored on a condition,
        and the names of Swift's errors.

        Raises:
            ConfigurationError: When only the log-in knows where the files are.
        """
        if self.storage_url is None:
            message = "where the files are only the log-in tells, and a Webhook names one URL"
            hint = "give storage_url"
            raise ConfigurationError(message, path="storage_url", hint=hint)
        url = (
            f"{self.storage_url}/{container_in_url(self.container)}/{in_url(key_of(self.key, {}))}"
        )
        plain = {"timeout": self.timeout, "verify": self.verify}
        common: dict[str, object] = {"url": url, **plain}
        if self.auth is not None:
            common["auth"] = self.auth.model_dump(exclude_defaults=True)
        return Webhook(
            {**common, "headers": self._stored_headers},
            "PUT",
            common,
            "GET",
            checksum="ETag",
            allow_http=self.allow_http,
            **self.model_dump(include=set(Storage.model_fields)),
        )

    # --- requests ---------------------------------------------------------------------------------

    def _head(self, api: Api, facts: Facts) -> Exchange[Response]:
        request: Request = api.object("HEAD", facts)
        response = yield from api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status != HTTPStatus.NOT_FOUND and "etag" not in response.headers:
            raise unexpected(request, response, "without an ETag")
        return response

    def _open(self) -> Exchange[Api]:
        """Return what makes the requests, when it is known where to."""
        base = self.storage_url
        if base is None and self.auth is not None:
            told: Mapping[str, str] | None = yield LogIn(self.auth)
            base = _NOWHERE if told is None else escape(self._told(told))
        return Api(
            base=base or _NOWHERE,
            container=self.container,
            segments=self.segments or f"{self.container}_segments",
            key=self.key,
            auth=self.auth,
            common={
                "timeout": self.timeout,
                "verify": self.verify,
                "allow_http": self.allow_http,
            },
            stored_headers=self._stored_headers,
        )

    def _told(self, told: Mapping[str, str]) -> str:
        """Return the storage URL that the log-in told, when the credential may go there.

        Raises:
            UnexpectedAnswerError: It told none.
            ConfigurationError: It is on a host of which the storage does not say so.
        """
        url = told.get(STORAGE_URL, "")
        if not url:
            message = "the log-in gave a token and does not tell where the files are"
            hint = "name project, and region_name where there are several; or give storage_url"
            raise UnexpectedAnswerError(message, hint=hint)
        host = origin(url).host
        is_same = host == origin(getattr(self.auth, "auth_url", "")).host
        if not host or not (is_same or any(fnmatchcase(host, each) for each in self.hosts)):
            message = "the log-in says that the files are on another host, which gets no token"
            hint = "name that host in hosts, or give storage_url"
            raise ConfigurationError(message, path="hosts", hint=hint)
        return url
