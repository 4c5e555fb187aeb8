"""The requests that Azure Blob Storage takes, and what comes of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Exchange, Facts, Request, Response, StoreOptions
from webhook_storage.errors import ConfigurationError
from webhook_storage.template import escape, parse
from webhook_storage_presets.azure.answers import REFUSALS, is_busy, refusal
from webhook_storage_presets.azure.signing import VERSION
from webhook_storage_presets.keys import check_facts, in_url, key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook_storage.contracts import Auth

_LONGEST = 1024
"""Characters of a blob's name."""

_UNFIT = re.compile("[\\\\\ufffe\uffff]")
"""A backslash, which Azure takes for a slash, and what no list in XML can hold."""

ALWAYS = {"x-ms-version": VERSION}
"""Headers of every request; a bearer token is not taken without the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Makes requests to one container.

    Attributes:
        base: Template of the container's URL, with no slash at its end.
        key: Template of the key, None for the usual one.
        auth: Who sends it; None for nobody.
        sas: Template of a shared access signature; empty for none.
        common: Arguments of every request.
        stored_headers: Headers that say how a blob is kept.
    """

    base: str
    key: str | None
    auth: Auth | None
    sas: str
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
        self, request: Request, *, also: Collection[int] = (), created: bool = False
    ) -> Exchange[Response]:
        """Send a request and return its answer.

        Args:
            request: The request.
            also: Statuses that are no refusal.
            created: Whether a blob was only to be created.

        Raises:
            WebhookStorageError: What a refusal means.
        """
        response: Response = yield request
        if response.status in REFUSALS and response.status not in also:
            raise refusal(request, response, created=created)
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
        # In the URL and not in `params`: there a blank would be a plus, which is signed as one.
        queries = "&".join(filter(None, (self.sas, query)))
        host = more.get("facts", {}).get("receipt.host")  # that of the connection string, if any
        return Request(
            method=method,
            url=f"{url}?{queries}" if queries else url,
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
        ConfigurationError: When a fact in the key is none of Azure's names.
    """
    for name in parse(key).facts():
        value = facts.get(name, "")
        if _UNFIT.search(value) or len(value) > _LONGEST:
            message = f"${{{name}}} has a backslash, or more than {_LONGEST} characters"
            hint = "store it under another key; Azure takes a backslash for a slash"
            raise ConfigurationError(message, path="key", hint=hint)
