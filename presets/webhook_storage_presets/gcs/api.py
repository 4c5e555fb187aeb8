"""The requests of the JSON API of Google Cloud Storage, and what comes of them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from webhook_storage import origin
from webhook_storage.artifact import BytesBody, JoinedBody, MeasuredBody
from webhook_storage.contracts import Exchange, Facts, Request, Response, StoreOptions
from webhook_storage.errors import ConfigurationError
from webhook_storage.template import escape
from webhook_storage_presets.gcs.answers import REFUSALS, is_busy, is_generation, refusal
from webhook_storage_presets.keys import check_facts, in_segment, key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from webhook_storage.contracts import Auth, Body

FIELDS = "generation,size,md5Hash,crc32c,updated,contentType"
"""What is asked of an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Makes requests to one bucket.

    Attributes:
        endpoint: URL of the service, with no slash at its end.
        bucket: Name of the bucket.
        key: Template of the key, None for the usual one.
        auth: Who sends it; None for nobody.
        common: Arguments of every request.
        always: Headers of every request.
        metadata: What every object is stored with, as the API names it.
        more: Parameters of every store.
    """

    endpoint: str
    bucket: str
    key: str | None
    auth: Auth | None
    common: Mapping[str, Any]
    always: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)

    # --- where --------------------------------------------------------------------------------

    def name(self, facts: Facts) -> str:
        """Return the template of an object's name."""
        key = key_of(self.key, facts)
        check_facts(key, facts)
        return key

    def url(self, facts: Facts) -> str:
        """Return the template of an object's URL, in which its name is one segment."""
        return f"{self.objects}/{in_segment(self.name(facts))}"

    @property
    def objects(self) -> str:
        """Return the URL of the bucket's objects."""
        return f"{self.endpoint}/storage/v1/b/{self.bucket}/o"

    @property
    def uploads(self) -> str:
        """Return the URL to which objects are sent."""
        return f"{self.endpoint}/upload/storage/v1/b/{self.bucket}/o"

    # --- requests -----------------------------------------------------------------------------

    def object(self, method: str, facts: Facts, **more: Any) -> Request:
        """Return a request for an object; for that of a receipt in its generation."""
        params = dict(more.pop("params", {}))
        if "receipt.generation" in facts:
            params["generation"] = "${receipt.generation}"
        return self._request(method, self.url(facts), params=params, facts=facts, **more)

    def list(self, params: Mapping[str, str], **more: Any) -> Request:
        """Return a request for a page of the bucket."""
        return self._request("GET", self.objects, params=params, **more)

    def upload(
        self, body: Body, hashes: Mapping[str, str], facts: Facts, conditions: Mapping[str, str]
    ) -> Request:
        """Return a request that stores an object, what the service compares it with included."""
        boundary = secrets.token_hex(16)
        return self._request(
            "POST",
            self.uploads,
            params=self.store_params("multipart", facts, conditions),
            headers={"Content-Type": f"multipart/related; boundary={boundary}"},
            body=_Related(boundary, {**self.metadata, **hashes}, body),
            facts=facts,
            idempotent=True,  # a second one stores the same, or its condition does not hold
        )

    def session(
        self, size: int, hashes: Mapping[str, str], facts: Facts, conditions: Mapping[str, str]
    ) -> Request:
        """Return a request that begins an upload in parts."""
        return self._request(
            "POST",
            self.uploads,
            params=self.store_params("resumable", facts, conditions),
            headers={
                "X-Upload-Content-Type": escape(self.metadata["contentType"]),
                "X-Upload-Content-Length": str(size),
            },
            json=escaped({**self.metadata, **hashes}),
            facts=facts,
            idempotent=True,  # an upload that got lost ends by itself
        )

    def within(self, method: str, session: str, **more: Any) -> Request:
        """Return a request to the URL of an upload, which alone gives the right to it.

        It carries no token, and was accepted because it is at the service itself.
        """
        return Request(
            method=method,
            url="${receipt.upload}",
            facts={"receipt.upload": session},
            redirect_hosts=(origin.origin(self.endpoint).host,),
            returns=REFUSALS | {308},  # which tells how far it is, and leads nowhere
            follow=False,
            **self.common,
            **more,
        )

    def store_params(
        self, kind: str, facts: Facts, conditions: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the parameters of a store."""
        return {"uploadType": kind, "name": self.name(facts), **self.more, **conditions}

    def conditions(self, options: StoreOptions) -> dict[str, str]:
        """Return the parameters that make a store conditional.

        Raises:
            ConfigurationError: When the version is no generation.
        """
        if options.if_absent:
            return {"ifGenerationMatch": "0"}
        if options.if_version is None:
            return {}
        if not is_generation(options.if_version):
            message = "the version of an object is its generation, a number"
            raise ConfigurationError(message, hint="take it from the receipt, or from 'stat'")
        return {"ifGenerationMatch": options.if_version}

    def call(
        self,
        request: Request,
        *,
        also: Collection[int] = (),
        created: bool = False,
        about: str = "object",
    ) -> Exchange[Response]:
        """Send a request and return its answer.

        Args:
            request: The request.
            also: Statuses that are no refusal.
            created: Whether an object was only to be created.
            about: What a 404 is about.

        Raises:
            WebhookStorageError: What a refusal means.
        """
        response: Response = yield request
        if response.status in REFUSALS and response.status not in also:
            raise refusal(request, response, created=created, about=about)
        return response

    def _request(self, method: str, url: str, **more: Any) -> Request:
        headers = {**self.always, **more.pop("headers", {})}
        return Request(
            method=method,
            url=url,
            headers=headers,
            auth=self.auth,
            returns=REFUSALS,
            retry_when=is_busy,
            follow=False,
            allow_html=True,  # an object can be a page
            **self.common,
            **more,
        )


class _Related(MeasuredBody):
    """Two parts, of which the first says what the second one is (RFC 2387).

    It knows whether all of it was sent; of the second part that one takes the digest.
    """

    __slots__ = ()

    def __init__(self, boundary: str, metadata: Mapping[str, Any], body: Body) -> None:
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
            f"{json.dumps(metadata)}\r\n"
            f"--{boundary}\r\nContent-Type: {metadata['contentType']}\r\n\r\n"
        )
        tail = f"\r\n--{boundary}--\r\n"
        parts = [BytesBody(head.encode()), body, BytesBody(tail.encode())]
        super().__init__(JoinedBody(parts))

    def chunks(self) -> Iterator[bytes]:
        self.complete = False
        yield from self._body.chunks()
        self.complete = True


def escaped(node: Any) -> Any:
    """Return a document of which no text is read as a template."""
    if isinstance(node, str):
        return escape(node)
    if isinstance(node, dict):
        return {name: escaped(child) for name, child in node.items()}
    return node
