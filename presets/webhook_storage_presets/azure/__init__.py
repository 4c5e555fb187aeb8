"""Azure Blob Storage.

Source: Azure Storage REST documentation (Blob service); azure-storage-blob 12.31.

Rule: no text that a service sent, and nothing of a connection string, is ever read as a template.
"""

from __future__ import annotations

from http import HTTPStatus

from webhook_storage.answer import header, maybe_done
from webhook_storage.checksum import compare_stored, sent
from webhook_storage.contracts import PLAIN, Body, Exchange, Facts, Response, Sink, StoreOptions
from webhook_storage.errors import ConfigurationError, ObjectNotFoundError, TooLargeError
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage
from webhook_storage.upload import in_parts, part_size_for
from webhook_storage.webhook import Webhook
from webhook_storage_presets.azure.answers import is_missing, refusal
from webhook_storage_presets.azure.api import ALWAYS, Api
from webhook_storage_presets.azure.blocks import LARGEST_BLOCK, MOST_BLOCKS, BlockUpload
from webhook_storage_presets.azure.connection import ENDPOINT, locate
from webhook_storage_presets.azure.definition import Definition
from webhook_storage_presets.azure.entra import Entra
from webhook_storage_presets.azure.listing import list_keys
from webhook_storage_presets.azure.sas import AzureSas
from webhook_storage_presets.azure.signing import AzureSharedKey
from webhook_storage_presets.keys import Listed, facts_of, in_url, key_of

__all__ = ["Azure", "AzureSas", "AzureSharedKey", "Entra"]

LARGEST = MOST_BLOCKS * LARGEST_BLOCK
"""Most bytes of a blob."""


class Azure(Definition):
    """Stores in a container of Azure Blob Storage, each artifact in one blob.

    Without a credential it is that which azure-identity finds, as in every tool of Azure. A flow is
    stored under its slug and the time, ``hello-flow/2026-11-21t...``, an artifact under its own
    key, unless `key` says otherwise.

    Example:
        >>> storage = Azure(container="flows", account="example")
        >>> storage.exchange("fetch", "a b").send(None).url
        'https://example.blob.core.windows.net/flows/${artifact.key|path}'
        >>> by_secret = Azure(
        ...     container="flows", connection_string="${AZURE_STORAGE_CONNECTION_STRING}"
        ... )
        >>> Storage.from_json(by_secret.to_json()) == by_secret
        True
    """

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store the blob, with its MD5, so that other bytes are not stored."""
        if body.size > LARGEST:
            message = f"{body.size} bytes are more than the {LARGEST} of one blob"
            raise TooLargeError(message, hint="store it in several artifacts")
        facts = yield from self._located(facts)
        if body.size > self.blocks_above:
            response = yield from self._upload_blocks(body, facts, options)
        else:
            response = yield from self._put(body, facts, options)
        version_id = header(response, "x-ms-version-id")
        return Receipt.of(
            self._api.url(facts),
            body,
            facts,
            version=header(response, "etag"),
            captures={"version_id": version_id} if version_id else {},
        )

    def _put(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        """Store by one request."""
        taken: dict[str, bytes] = {}
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "Content-MD5": (yield from sent("Content-MD5", body, taken)),
            **self._stored_headers,
            **self._api.conditions(options),
        }
        request = self._api.blob("PUT", facts, headers=headers, body=body)
        failed = {HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED}
        refused = failed if options.conditional else set[HTTPStatus]()
        response = yield from self._api.call(
            request, also=refused, created=options.if_absent, tagged=True
        )
        if response.status not in refused:
            yield from compare_stored(f"PUT {request.url}", response, body, taken)
            return response
        # Of several attempts the first may have stored it, and its answer been lost.
        found = None
        if maybe_done(response.history):
            found = yield from self.stored_already(body, facts)
        if found is None:
            raise refusal(request, response, created=options.if_absent)
        return found

    def _upload_blocks(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        upload = BlockUpload(self._api, facts, options)
        size = part_size_for(body.size, self.part_size, 1, MOST_BLOCKS, LARGEST_BLOCK)
        return (
            yield from in_parts(
                upload, body, part_size=size, limit=self.parallel, checkpoint=options.checkpoint
            )
        )

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch the blob; that of a receipt in its version, where the account keeps them."""
        facts = yield from self._located(facts)
        request = self._api.blob("GET", facts, query=_version(facts), sink=sink)
        return (yield from self._api.call(request, tagged=True))

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the blob's headers."""
        facts = yield from self._located(facts)
        request = self._api.blob("HEAD", facts, query=_version(facts))
        response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND}, tagged=True)
        if response.status == HTTPStatus.NOT_FOUND:
            if not is_missing(response):
                raise refusal(request, response)
            return None
        return Stat.of(response)

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete the blob; earlier versions stay, where the account keeps them."""
        facts = yield from self._located(facts)
        try:
            yield from self._api.call(self._api.blob("DELETE", facts))
        except ObjectNotFoundError as error:
            if not maybe_done(error.history):
                raise  # else an earlier attempt did it, and its answer was lost

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the container, and take the keys out of the blobs' names."""
        listed = Listed(self.key)
        facts = yield from self._located(facts)
        return (yield from list_keys(self._api, listed, facts))

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the key."""
        return facts_of(self.key)

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores the same blobs, with all requests spelled out.

        What one request cannot say is left out: blocks, the list, and the names of Azure's errors.

        Raises:
            ConfigurationError: When only the connection string knows the account.
        """
        if self._endpoint == ENDPOINT:
            message = "plain kwargs cannot take a URL out of a connection string"
            raise ConfigurationError(message, path="account", hint="give the account too")
        url = f"{self._base}/{in_url(key_of(self.key, {}))}"
        common = {"url": url, **self._plain()}
        auth = self._auth
        if auth is not None:
            common["auth"] = auth.model_dump(exclude_defaults=True)
        stored = {**ALWAYS, "x-ms-blob-type": "BlockBlob", **self._stored_headers}
        return Webhook(
            {**common, "headers": stored},
            "PUT",
            {**common, "headers": dict(ALWAYS)},
            "GET",
            conditional_writes=True,
            checksum="Content-MD5",
            allow_http=self.allow_http,
            **self.model_dump(include=set(Storage.model_fields)),
        )

    # --- requests ---------------------------------------------------------------------------------

    def _located(self, facts: Facts) -> Exchange[Facts]:
        """Return the facts with the endpoint, where only the connection string knows it."""
        if self._endpoint != ENDPOINT or self.connection_string is None:
            return facts
        return (yield from locate(self.connection_string, facts))

    @property
    def _api(self) -> Api:
        return Api(
            base=self._base,
            key=self.key,
            auth=self._auth,
            common={**self._plain(), "allow_http": self.allow_http},
            stored_headers=self._stored_headers,
        )

    def _plain(self) -> dict[str, object]:
        return {"timeout": self.timeout, "verify": self.verify}


def _version(facts: Facts) -> str:
    """Return the query for the version in a receipt."""
    known = "receipt.version_id" in facts
    return "versionid=${receipt.version_id|urlencode}" if known else ""
