"""Sonatype Nexus Repository 3: a file for each artifact, in a repository of the raw kind.

Source: sonatype/nexus-public; Nexus Repository documentation, Raw Repositories and REST API.

Rule: Nexus takes no checksum, so what it has stored is asked for after each store; and no text that
Nexus sent is ever read as a template.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from webhook_storage.answer import header, maybe_done
from webhook_storage.artifact import MemorySink
from webhook_storage.auth import AnyAuth
from webhook_storage.auth.fixed import Basic
from webhook_storage.checksum import compare_stored, sent
from webhook_storage.contracts import (
    DEFAULT_TIMEOUT,
    PLAIN,
    Body,
    Exchange,
    Facts,
    Request,
    Response,
    Sink,
    StoreOptions,
)
from webhook_storage.errors import ConfigurationError, IntegrityError, PermissionDeniedError
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage
from webhook_storage.template import escape
from webhook_storage.webhook import Webhook
from webhook_storage_presets.fields import AllowHttp, Key, Timeout, Verify
from webhook_storage_presets.keys import (
    Listed,
    check_facts,
    facts_of,
    filled,
    in_url,
    key_of,
)
from webhook_storage_presets.nexus.answers import (
    REFUSALS,
    WANTED,
    is_in_the_way,
    page_of,
    refusal,
    sha1_of,
    unexpected,
)
from webhook_storage_presets.paging import Page, all_keys
from webhook_storage_presets.urls import check_base_url

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Nexus"]

_REPOSITORY = re.compile(r"[A-Za-z0-9-][A-Za-z0-9._-]{0,199}")
_PAGE_LIMIT = 16 * 1024 * 1024
"""Most bytes of a page of the list."""


class Nexus(Storage):
    """Stores in a raw repository of Nexus, each artifact in one file.

    A flow is stored under its slug and the time, an artifact under its own key, unless `key` says
    otherwise. Nexus looks at a condition before it stores, not while it does: of two who create the
    same file in the same moment both may be told that they did.

    Example:
        >>> storage = Nexus(url="https://nexus.example.com", repository="flows")
        >>> storage.exchange("fetch", "a b").send(None).url
        'https://nexus.example.com/repository/flows/${artifact.key|path}'
        >>> Storage.from_json(storage.to_json()) == storage
        True
    """

    url: str = Field(description="URL of Nexus, with its context path if it has one.")
    repository: str = Field(description="Name of the repository, a hosted one of the raw kind.")
    key: Key = None
    auth: AnyAuth | None = Field(
        Basic(username="${NEXUS_USERNAME}", password="${NEXUS_PASSWORD}"),  # noqa: S106 - as above
        description="Who sends it: user and password, or the two halves of a user token, as basic, "
        "a token as bearer; none for nobody.",
    )
    content_type: str = Field("application/octet-stream", description="Media type of the files.")
    timeout: Timeout = DEFAULT_TIMEOUT
    verify: Verify = True
    allow_http: AllowHttp = False

    @field_validator("url")
    @classmethod
    def _check_url(cls, text: str) -> str:
        return check_base_url(text, "https://nexus.example.com")

    @field_validator("repository")
    @classmethod
    def _check_repository(cls, text: str) -> str:
        if not _REPOSITORY.fullmatch(text):
            raise ValueError("it is no name of a repository: letters, digits and . _ -")
        return text

    @field_validator("key")
    @classmethod
    def _check_key(cls, text: str | None) -> str | None:
        problem = None if text is None else _problem(text, {})
        if problem is not None:
            message = f"it {problem}"
            raise ValueError(message)
        return text

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store the file, and ask what Nexus has stored."""
        headers = {"Content-Type": self.content_type, **_conditions(options)}
        request = self._request("PUT", self._file(facts), facts, headers=headers, body=body)
        response: Response = yield request
        if response.status in REFUSALS:
            # Of several attempts the first may have stored it, and its answer been lost.
            found = None
            if maybe_done(response.history) and is_in_the_way(response):
                found = yield from self.stored_already(body, facts)
            if found is None:
                raise refusal(request, response, created=options.if_absent)
            version = header(found, "etag")
        else:
            yield from compare_stored(f"PUT {request.url}", response, body)
            version = yield from self._check_stored(request, body, facts)
        return Receipt.of(request.url, body, facts, version=version)

    def _check_stored(self, request: Request, body: Body, facts: Facts) -> Exchange[str | None]:
        """Return the version of what was stored; None for who may store and not read.

        Raises:
            IntegrityError: When something else is there.
        """
        try:
            found = yield from self.stat_exchange(facts)
        except PermissionDeniedError:
            return None
        wrong = found is None or found.size not in {None, body.size}
        said = None if found is None else sha1_of(found.version)
        if not wrong and said is not None:
            taken: dict[str, bytes] = {}
            wrong = said != (yield from sent("X-Checksum-Sha1", body, taken))
        if found is None or wrong:
            message = f"PUT {request.url} answered that it is stored, and something else is there"
            hint = "something on the way alters bytes, or somebody else stores under the same key"
            raise IntegrityError(message, hint=hint)
        return found.version

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch the file."""
        request = self._request("GET", self._file(facts), facts, sink=sink)
        return (yield from self._call(request))

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the file's headers."""
        request = self._request("HEAD", self._file(facts), facts)
        response = yield from self._call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        return Stat.of(response)

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete the file."""
        request = self._request("DELETE", self._file(facts), facts)
        response = yield from self._call(request, also={HTTPStatus.NOT_FOUND})
        # Else an earlier attempt did it, and its answer was lost.
        if response.status == HTTPStatus.NOT_FOUND and not maybe_done(response.history):
            raise refusal(request, response)

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the repository, and take the keys out of the files' names."""
        listed = Listed(self.key)
        url = f"{self.url}/service/rest/v1/assets"

        def ask(token: str) -> Exchange[Page]:
            params = {"repository": self.repository}
            if token:
                params["continuationToken"] = escape(token)
            sink = MemorySink(_PAGE_LIMIT)
            request = self._request("GET", url, facts, params=params, sink=sink)
            response: Response = yield request
            if response.status in REFUSALS:
                raise refusal(request, response, whole=True)
            return page_of(request, response, sink.getvalue())

        return (yield from all_keys(listed, ask, hint=WANTED))

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the key."""
        return facts_of(self.key)

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores the same files, with all requests spelled out.

        What one request cannot say is left out: the list, and the question what was stored.
        """
        common: dict[str, Any] = {
            "url": f"{self.url}/repository/{self.repository}/{in_url(key_of(self.key, {}))}",
            "timeout": self.timeout,
            "verify": self.verify,
        }
        if self.auth is not None:
            kind = {"type": self.auth.type}
            common["auth"] = self.auth.model_dump(exclude_defaults=True) | kind
        return Webhook(
            {**common, "headers": {"Content-Type": self.content_type}},
            "PUT",
            common,
            "GET",
            conditional_writes=True,
            allow_http=self.allow_http,
            **self.model_dump(include=set(Storage.model_fields)),
        )

    # --- requests ---------------------------------------------------------------------------------

    def _file(self, facts: Facts) -> str:
        """Return the template of the file's URL.

        Raises:
            ConfigurationError: When Nexus keeps no such name.
        """
        key = key_of(self.key, facts)
        check_facts(key, facts)
        problem = _problem(key, facts)
        if problem is not None:
            message = f"the key {problem}"
            raise ConfigurationError(message, path="key", hint="store it under another key")
        return f"{self.url}/repository/{self.repository}/{in_url(key)}"

    def _call(self, request: Request, *, also: Collection[int] = ()) -> Exchange[Response]:
        """Send a request for a file and return its answer.

        Raises:
            WebhookStorageError: What a refusal means, or that it is no answer of a file.
        """
        response: Response = yield request
        if response.status in REFUSALS:
            if response.status not in also:
                raise refusal(request, response)
        elif request.method != "DELETE" and {"etag", "last-modified"}.isdisjoint(response.headers):
            raise unexpected(request, response, "with neither ETag nor Last-Modified")
        return response

    def _request(self, method: str, url: str, facts: Facts, **more: Any) -> Request:
        return Request(
            method=method,
            url=url,
            auth=self.auth,
            timeout=self.timeout,
            verify=self.verify,
            returns=REFUSALS,
            allow_html=method in {"GET", "HEAD"},  # a file can be a page
            allow_http=self.allow_http,
            facts=facts,
            **more,
        )


def _conditions(options: StoreOptions) -> dict[str, str]:
    """Return the headers that make a store conditional.

    Raises:
        ConfigurationError: When the version is a weak one, as a proxy that compresses makes it.
    """
    if options.if_absent:
        return {"If-None-Match": "*"}
    if options.if_version is None:
        return {}
    if options.if_version.startswith("W/"):
        message = "the service calls its version weak, and a weak one is like others"
        hint = "is there a proxy before Nexus that compresses? Switch that off"
        raise ConfigurationError(message, hint=hint)
    return {"If-Match": escape(options.if_version)}


def _problem(key: str, facts: Facts) -> str | None:
    """Return why Nexus cannot keep a name, None when it can."""
    name = filled(key, facts)
    if name.startswith("/") or "//" in name:
        return "has an empty segment, which Nexus drops"
    return "ends with a slash, as a folder does" if name.endswith("/") else None
