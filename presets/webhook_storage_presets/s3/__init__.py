"""Amazon S3, and the many services that speak like it.

Source: Amazon S3 API Reference and User Guide; botocore's S3 model.

Rule: no text that a service sent is ever read as a template.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from webhook_storage import markup
from webhook_storage.answer import header, maybe_done
from webhook_storage.artifact import MemorySink
from webhook_storage.checksum import compare_stored
from webhook_storage.contracts import (
    PLAIN,
    Body,
    Exchange,
    Facts,
    Response,
    Sink,
    StoreOptions,
    Work,
)
from webhook_storage.errors import ObjectNotFoundError, TooLargeError
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage, cannot_hold
from webhook_storage.template import escape
from webhook_storage.upload import in_parts, part_size_for
from webhook_storage.webhook import Webhook
from webhook_storage_presets.keys import Listed, facts_of, in_url, key_of
from webhook_storage_presets.paging import Page, all_keys
from webhook_storage_presets.s3.answers import WANTED, refusal, unexpected
from webhook_storage_presets.s3.definition import Definition
from webhook_storage_presets.s3.multipart import MOST_PARTS, Finished, S3Upload
from webhook_storage_presets.s3.signing import AwsSigV4

if TYPE_CHECKING:
    from webhook_storage_presets.s3.api import Api

__all__ = ["S3", "AwsSigV4"]

_PAGE = 1000
_PAGE_LIMIT = 16 * 1024**2
"""Most bytes of a page: 1,000 keys of 1,024 bytes, each of which may take three characters."""


class S3(Definition):
    """Stores in a bucket, each artifact in one object.

    Without `access_key_id` the credentials are those that botocore finds, as in every tool of AWS.
    A flow is stored under its slug and the time, ``hello-flow/2026-11-21t...``, an artifact under
    its own key, unless `key` says otherwise.

    Example:
        >>> storage = S3(bucket="flows", region="eu-west-1")
        >>> storage.exchange("fetch", "a b").send(None).url
        'https://flows.s3.eu-west-1.amazonaws.com/${artifact.key|path}'
        >>> Storage.from_json(storage.to_json()) == storage
        True
    """

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store the object; what does not come as it was signed is not stored."""
        if body.size > self._profile.largest:
            message = f"{body.size} bytes are more than the {self._profile.largest} of one object"
            raise TooLargeError(message, hint="store it in several artifacts")
        if not self._holds_conditions:
            hint = "say conditional_writes=True if this service holds If-None-Match and If-Match"
            cannot_hold(options, "conditional_writes", hint)
        api = self._api
        if body.size > self.multipart_above:
            finished = yield from self._upload_parts(api, body, facts, options)
            version, version_id = finished.version, finished.version_id
        else:
            response = yield from self._put(api, body, facts, options)
            version = header(response, "etag") or ""
            version_id = response.headers.get("x-amz-version-id")
        captures = {} if version_id in {None, "", "null"} else {"version_id": str(version_id)}
        url = api.url(facts)
        return Receipt.of(url, body, facts, version=version or None, captures=captures)

    def _put(self, api: Api, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        """Store by one request."""
        headers = {**api.stored_headers, **api.conditions(options)}
        if self._profile.checksums:
            digest: str = yield Work(body.sha256)
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(digest)).decode()
        request = api.object("PUT", facts, headers=headers, body=body)
        refused = {HTTPStatus.PRECONDITION_FAILED} if options.conditional else frozenset()
        response = yield from api.call(request, also=refused, created=options.if_absent)
        if response.status not in refused:
            yield from compare_stored(f"PUT {request.url}", response, body)
            return response
        # Of several attempts the first may have stored it, and its answer been lost.
        found = None
        if maybe_done(response.history):
            found = yield from self.stored_already(body, facts)
        if found is None:
            raise refusal(request, response, created=options.if_absent)
        return found

    def _upload_parts(
        self, api: Api, body: Body, facts: Facts, options: StoreOptions
    ) -> Exchange[Finished]:
        upload = S3Upload(
            api, facts, options, compares=self._profile.compares and not self.presigned
        )
        size = part_size_for(body.size, self.part_size, 1, MOST_PARTS, self._profile.largest_part)
        return (
            yield from in_parts(
                upload, body, part_size=size, limit=self.parallel, checkpoint=options.checkpoint
            )
        )

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch the object; that of a receipt in its version, where the bucket keeps them."""
        headers = {"x-amz-checksum-mode": "ENABLED"} if self._profile.checksums else {}
        api = self._api
        request = api.object("GET", facts, params=_version(facts), headers=headers, sink=sink)
        response = yield from api.call(request)
        if "etag" not in response.headers:
            raise unexpected(request, response, "without an ETag")
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the object's headers."""
        api = self._api
        request = api.object("HEAD", facts, params=_version(facts))
        response = yield from api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        return Stat.of(response)

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete the object; S3 says the same of one that is not there, so that is asked first."""
        api = self._api
        found = yield from self.stat_exchange(facts)
        if found is None:
            message = f"there is no object {api.url(facts)}"
            raise ObjectNotFoundError(message, status=404, hint="is the key right?")
        yield from api.call(api.object("DELETE", facts, params=_version(facts)))

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the bucket, and take the keys out of the objects' names."""
        api, listed = self._api, Listed(self.key)

        def ask(token: str) -> Exchange[Page]:
            params = {
                "list-type": "2",
                "max-keys": str(_PAGE),
                "encoding-type": "url",
                "prefix": listed.prefix,
            }
            if token:
                params["continuation-token"] = escape(token)
            sink = MemorySink(_PAGE_LIMIT)
            request = api.bucket(params=params, sink=sink, facts=facts)
            response = yield from api.call(request)
            page = markup.parse(sink.getvalue())
            if page is None or page.name != "ListBucketResult":
                raise unexpected(request, response, "with no list of objects")
            names = [item.value("Key") for item in page.all("Contents")]
            if page.value("EncodingType") == "url":
                names = [unquote_plus(name) for name in names]
            more = page.value("IsTruncated") == "true"
            following = page.value("NextContinuationToken") if more else ""
            if more and not following:
                raise unexpected(request, response, "with a part of a list that leads no further")
            return Page(request, response, names, following)

        return (yield from all_keys(listed, ask, hint=WANTED))

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the key."""
        return facts_of(self.key)

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores the same objects, with all requests spelled out.

        What one request cannot say is left out: parts, the list, and the names of S3's errors.
        """
        key = key_of(self.key, {})
        url = f"{self._base}/{in_url(key)}"
        common = {"url": url, **self._plain()}
        auth = self._auth
        if auth is not None:
            common["auth"] = auth.model_dump(exclude_defaults=True)
        headers = {**self._always, **self._stored_headers}
        return Webhook(
            {**common, "headers": headers},
            "PUT",
            {**common, "headers": dict(self._always)} if self._always else common,
            "GET",
            conditional_writes=self._holds_conditions,
            allow_http=self.allow_http,
            **self.model_dump(include=set(Storage.model_fields)),
        )


def _version(facts: Facts) -> dict[str, str] | None:
    """Return the query for the version in a receipt."""
    return {"versionId": "${receipt.version_id}"} if "receipt.version_id" in facts else None
