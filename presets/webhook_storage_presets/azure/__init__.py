"""Azure Blob Storage.

Source: Azure Storage REST documentation (Blob service); azure-storage-blob 12.31.

Rule: no text that a service sent, and nothing of a connection string, is ever read as a template.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from webhook_storage.answer import header, maybe_done, number
from webhook_storage.auth import AnyAuth, SecretText
from webhook_storage.checksum import compare_stored, sent
from webhook_storage.contracts import (
    DEFAULT_TIMEOUT,
    PLAIN,
    Body,
    Exchange,
    Facts,
    Response,
    Sink,
    StoreOptions,
)
from webhook_storage.errors import ConfigurationError, ObjectNotFoundError, TooLargeError
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage
from webhook_storage.template import escape, parse
from webhook_storage.upload import in_parts, part_size_for
from webhook_storage.webhook import Webhook
from webhook_storage_presets.azure.answers import is_missing, refusal, unexpected
from webhook_storage_presets.azure.api import ALWAYS, Api
from webhook_storage_presets.azure.blocks import LARGEST_BLOCK, MEBI, MOST_BLOCKS, BlockUpload
from webhook_storage_presets.azure.connection import ACCOUNT, ENDPOINT, SUFFIX, locate
from webhook_storage_presets.azure.entra import Entra
from webhook_storage_presets.azure.listing import list_keys
from webhook_storage_presets.azure.signing import AzureSharedKey
from webhook_storage_presets.keys import Listed, check_key, facts_of, in_url, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Azure", "AzureSharedKey", "Entra"]

LARGEST_PUT = 5000 * MEBI
LARGEST = MOST_BLOCKS * LARGEST_BLOCK

_CONTAINER = re.compile(r"\$root|\$web|(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_METADATA = re.compile("[A-Za-z_][A-Za-z0-9_]*")


class Azure(Storage):
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

    container: str = Field(description="Name of the container.")
    key: str | None = Field(
        None,
        description="Template of the blob's name, for example flows/${flow.slug}/${build.time}; "
        "by default that for a flow, and ${artifact.key} for an artifact.",
    )
    account: str | None = Field(
        None, description="Name of the storage account; by default that of the connection string."
    )
    endpoint: str | None = Field(
        None,
        description="URL of the blob service without the container, where it does not follow from "
        "the account: in another cloud, behind a private name, or an emulator.",
    )
    connection_string: SecretText | None = Field(
        None, description="Placeholder of the account's connection string."
    )
    account_key: SecretText | None = Field(None, description="Placeholder of the account's key.")
    sas: SecretText | None = Field(
        None, description="Placeholder of a shared access signature: the whole query, as it is."
    )
    auth: AnyAuth | None = Field(
        None, description="Any other way to say who sends requests, for example entra or bearer."
    )
    anonymous: bool = Field(
        default=False, description="Whether nobody says who sends, for public containers."
    )
    blocks_above: Annotated[int, Field(ge=0, le=LARGEST_PUT)] = Field(
        64 * MEBI, description="Number of bytes above which an artifact goes in blocks."
    )
    part_size: Annotated[int, Field(ge=64 * 1024, le=LARGEST_BLOCK)] = Field(
        16 * MEBI, description="Number of bytes of a block; more where they would be too many."
    )
    parallel: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="Most blocks at a time, of one artifact."
    )
    access_tier: Literal["Hot", "Cool", "Cold", "Archive"] | None = Field(
        None, description="Tier in which blobs are kept; what is archived cannot be fetched."
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="Metadata of the blobs, in ASCII."
    )
    content_type: str = Field("application/octet-stream", description="Media type of the blobs.")
    timeout: tuple[float, float] = Field(
        DEFAULT_TIMEOUT, description="Seconds to connect, and to wait for each piece."
    )
    verify: bool | str = Field(
        default=True, description="Path of a CA bundle that is trusted as well; False is unsafe."
    )
    allow_http: bool = Field(
        default=False, description="Whether it may go unencrypted to another machine."
    )

    @field_validator("container")
    @classmethod
    def _check_container(cls, text: str) -> str:
        if not _CONTAINER.fullmatch(text):
            raise ValueError(
                "it is no name of a container: 3 to 63 lower-case letters, digits and single "
                "hyphens in between"
            )
        return text

    @field_validator("account")
    @classmethod
    def _check_account(cls, text: str | None) -> str | None:
        if text is not None and not ACCOUNT.fullmatch(text):
            raise ValueError("it is no name of an account: 3 to 24 lower-case letters and digits")
        return text

    @field_validator("key")
    @classmethod
    def _check_key(cls, text: str | None) -> str | None:
        if text is not None and "\\" in text:
            raise ValueError("it has a backslash, which Azure takes for a slash")
        return check_key(text)

    @field_validator("endpoint")
    @classmethod
    def _trim_endpoint(cls, text: str | None) -> str | None:
        if text is None:
            return None
        parse(text)
        return text.removesuffix("/")

    @field_validator("sas")
    @classmethod
    def _trim_sas(cls, text: str | None) -> str | None:
        return text and text.removeprefix("?")

    @field_validator("metadata")
    @classmethod
    def _check_metadata(cls, metadata: dict[str, str]) -> dict[str, str]:
        if not all(map(_METADATA.fullmatch, metadata)):
            raise ValueError("a name has letters, digits and underscores, and begins with no digit")
        return metadata

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        ways = {
            "connection_string": self.connection_string,
            "account_key": self.account_key,
            "sas": self.sas,
            "auth": self.auth,
            "anonymous": self.anonymous or None,
        }
        given = [name for name, way in ways.items() if way is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} contradict each other")
        if self.account_key is not None and self.account is None:
            raise ValueError("account_key and account belong together")
        if (self.account, self.endpoint, self.connection_string) == (None, None, None):
            raise ValueError("give an account, an endpoint or a connection_string")
        return self

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
        response = yield from self._api.call(request, also=refused, created=options.if_absent)
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
        response = yield from self._api.call(request)
        if "etag" not in response.headers:
            raise unexpected(request, response, "without an ETag")
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the blob's headers."""
        facts = yield from self._located(facts)
        request = self._api.blob("HEAD", facts, query=_version(facts))
        response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND:
            if not is_missing(response):
                raise refusal(request, response)
            return None
        return Stat(
            size=number(header(response, "content-length") or ""),
            version=header(response, "etag"),
            modified=header(response, "last-modified"),
            content_type=header(response, "content-type"),
        )

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
        common = {"url": f"{url}?{self.sas}" if self.sas else url, **self._plain()}
        auth = self._auth
        if auth is not None:
            common["auth"] = auth.model_dump(exclude_defaults=True) | {"type": auth.type}
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
    def _endpoint(self) -> str:
        """Return the template of the URL of the blob service."""
        if self.endpoint is not None:
            return self.endpoint
        return ENDPOINT if self.account is None else f"https://{self.account}.blob.{SUFFIX}"

    @property
    def _base(self) -> str:
        """Return the template of the URL of the container."""
        return f"{self._endpoint}/{escape(self.container)}"

    @property
    def _auth(self) -> AnyAuth | None:
        if self.connection_string is not None:
            return AzureSharedKey(account=self.account, connection_string=self.connection_string)
        if self.account_key is not None:
            return AzureSharedKey(account=self.account, account_key=self.account_key)
        if self.anonymous or self.sas is not None:
            return None
        return self.auth or Entra()

    @property
    def _api(self) -> Api:
        return Api(
            base=self._base,
            key=self.key,
            auth=self._auth,
            sas=self.sas or "",
            common={**self._plain(), "allow_http": self.allow_http},
            stored_headers=self._stored_headers,
        )

    def _plain(self) -> dict[str, object]:
        return {"timeout": self.timeout, "verify": self.verify}

    @property
    def _stored_headers(self) -> dict[str, str]:
        said: Mapping[str, str | None] = {
            "x-ms-blob-content-type": self.content_type,
            "x-ms-access-tier": self.access_tier,
            **{f"x-ms-meta-{name}": text for name, text in self.metadata.items()},
        }
        return {name: text for name, text in said.items() if text is not None}


def _version(facts: Facts) -> str:
    """Return the query for the version in a receipt."""
    known = "receipt.version_id" in facts
    return "versionid=${receipt.version_id|urlencode}" if known else ""
