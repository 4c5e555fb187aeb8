"""The requests that S3 takes, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Exchange, Facts, Request, Response, StoreOptions
from webhook_storage.template import escape
from webhook_storage_presets.keys import check_facts, in_url, key_of
from webhook_storage_presets.s3.answers import REFUSALS, is_busy, refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook_storage.contracts import Auth


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Makes requests to one bucket.

    Attributes:
        base: URL of the bucket, with no slash at its end.
        key: Template of the key, None for the usual one.
        auth: Who sends it; None for nobody.
        common: Arguments of every request.
        always: Headers of every request.
        stored_headers: Headers that say how an object is kept.
    """

    base: str
    key: str | None
    auth: Auth | None
    common: Mapping[str, Any]
    always: Mapping[str, str] = field(default_factory=dict)
    stored_headers: Mapping[str, str] = field(default_factory=dict)

    def url(self, facts: Facts) -> str:
        """Return the template of an object's URL."""
        key = key_of(self.key, facts)
        check_facts(key, facts)
        return f"{self.base}/{in_url(key)}"

    def object(
        self,
        method: str,
        facts: Facts,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Request:
        """Return a request for an object."""
        return self._request(method, self.url(facts), headers or {}, facts=facts, **more)

    def bucket(self, **more: Any) -> Request:
        """Return a request that reads the bucket."""
        return self._request("GET", f"{self.base}/", {}, **more)

    def call(
        self, request: Request, *, also: Collection[int] = (), created: bool = False
    ) -> Exchange[Response]:
        """Send a request and return its answer.

        Args:
            request: The request.
            also: Statuses that are no refusal.
            created: Whether an object was only to be created.

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

    def _request(self, method: str, url: str, headers: Mapping[str, str], **more: Any) -> Request:
        return Request(
            method=method,
            url=url,
            headers={**self.always, **headers},
            auth=self.auth,
            returns=REFUSALS,
            retry_when=is_busy,
            follow=False,
            allow_html=True,  # an object can be a page
            **self.common,
            **more,
        )
