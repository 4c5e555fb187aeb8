"""The requests that Azure Blob Storage takes, and what comes of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Exchange, Facts, Request, Response, StoreOptions
from webhook_storage.errors import ConfigurationError
from webhook_storage.template import Fact, Placeholder, escape, parse
from webhook_storage_presets.azure.answers import REFUSALS, is_busy, refusal, unexpected
from webhook_storage_presets.azure.signing import VERSION
from webhook_storage_presets.keys import check_facts, in_url, key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook_storage.contracts import Auth

_FAULTS = (
    (re.compile(r"\\"), "a backslash, which Azure takes for a slash"),
    (re.compile(r"\.(?:/|\Z)"), "a segment with a dot at its end, which Azure leaves out"),
    (re.compile("[\x80-\x9f\ufffe\uffff]"), "a character that Azure does not take"),
    (re.compile(".{1025}", re.DOTALL), "more than 1024 characters"),
)
"""What a blob's name cannot have. Source: Azure's documentation, Naming and referencing containers,
blobs, and metadata; that dots are lost is reported in Azure/azure-sdk-for-java#36674."""

_DONE = {"GET": {200, 206}, "HEAD": {200}, "PUT": {201}, "DELETE": {202}}
"""With what Azure answers a success; with anything else it is not Azure that answers."""

ALWAYS = {"x-ms-version": VERSION}
"""Headers of every request; a bearer token is not taken without the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Makes requests to one container.

    Attributes:
        base: Template of the container's URL, with no slash at its end.
        key: Template of the key, None for the usual one.
        auth: Who sends it; None for nobody.
        common: Arguments of every request.
        stored_headers: Headers that say how a blob is kept.
    """

    base: str
    key: str | None
    auth: Auth | None
    common: Mapping[str, Any]
    stored_headers: Mapping[str, str] = field(default_factory=dict)

    def url(self, facts: Facts) -> str:
        """Return the template of a blob's URL, without a query."""
        key = key_of(self.key, facts)
        check_facts(key, facts)
        _check_name(key, facts)
        return f"{self.base}/{in_url(key)}"

    def blob(
        self,
        method: str,
        facts: Facts,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Request:
        """Return a request for a blob."""
        return self._request(method, self.url(facts), query, headers or {}, facts=facts, **more)

    def container(self, query: str, **more: Any) -> Request:
        """Return a request that reads the container."""
        return self._request("GET", self.base, f"restype=container&{query}", {}, **more)

    def call(
        self,
        request: Request,
        *,
        also: Collection[int] = (),
        created: bool = False,
        tagged: bool = False,
    ) -> Exchange[Response]:
        """Send a request and return its answer.

        Args:
            request: The request.
            also: Statuses that are no refusal.
            created: Whether a blob was only to be created.
            tagged: Whether a success has the ETag of a blob.

        Raises:
            WebhookStorageError: What a refusal means, or a success that is none of Azure's.
        """
        response: Response = yield request
        if response.status in also:
            return response
        if response.status in REFUSALS:
            raise refusal(request, response, created=created)
        if response.status not in _DONE[request.method]:
            raise unexpected(request, response, "and not as Azure does")
        if tagged and "etag" not in response.headers:
            raise unexpected(request, response, "without an ETag")
        return response

    def conditions(self, options: StoreOptions) -> dict[str, str]:
        """Return the headers that make a store conditional."""
        if options.if_absent:
            return {"If-None-Match": "*"}
        if options.if_version is not None:
            return {"If-Match": escape(options.if_version)}
        return {}

    def _request(
        self, method: str, url: str, query: str, headers: Mapping[str, str], **more: Any
    ) -> Request:
        host = more.get("facts", {}).get("receipt.host")  # that of the connection string, if any
        return Request(
            method=method,
            # Not in `params`: there a blank would be a plus, which is signed as one.
            url=f"{url}?{query}" if query else url,
            headers={**ALWAYS, **headers},
            auth=self.auth,
            returns=REFUSALS,
            retry_when=is_busy,
            follow=False,
            redirect_hosts=() if host is None else (host,),
            allow_html=True,  # a blob can be a page
            **self.common,
            **more,
        )


def _check_name(key: str, facts: Facts) -> None:
    """Refuse what would be stored under another name, before anything is sent.

    Raises:
        ConfigurationError: When it is none of Azure's names.
    """
    name = "".join(_known(part, facts) for part in parse(key).parts)
    fault = next((words for unfit, words in _FAULTS if unfit.search(name)), None)
    if fault is not None:
        message = f"the name of the blob has {fault}"
        raise ConfigurationError(message, path="key", hint="store it under another key")


def _known(part: str | Placeholder, facts: Facts) -> str:
    """Return a part of a name; what a secret is in it stands for itself."""
    if isinstance(part, str):
        return part
    return facts.get(part.source.name, "") if isinstance(part.source, Fact) else "x"
