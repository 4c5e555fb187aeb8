"""What is said of a container: which one, who sends, and how its blobs are kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from webhook_storage import place
from webhook_storage.auth import AnyAuth, SecretText
from webhook_storage.contracts import DEFAULT_TIMEOUT
from webhook_storage.storage import Storage
from webhook_storage.template import escape, parse
from webhook_storage_presets.azure.blocks import LARGEST_BLOCK, MEBI
from webhook_storage_presets.azure.connection import ACCOUNT, ENDPOINT, SUFFIX
from webhook_storage_presets.azure.entra import Entra
from webhook_storage_presets.azure.sas import AzureSas
from webhook_storage_presets.azure.signing import AzureSharedKey
from webhook_storage_presets.fields import AllowHttp, Key, Timeout, Verify

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_PUT = 5000 * MEBI
"""Most bytes that Azure takes in one request."""

_CONTAINER = re.compile(r"\$root|\$web|(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_METADATA = re.compile("[A-Za-z_][A-Za-z0-9_]*")


class Definition(Storage):
    """The fields of `Azure`, and what of them goes together."""

    container: str = Field(description="Name of the container.")
    key: Key = None
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
    timeout: Timeout = DEFAULT_TIMEOUT
    verify: Verify = True
    allow_http: AllowHttp = False

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
        return text

    @field_validator("endpoint")
    @classmethod
    def _trim_endpoint(cls, text: str | None) -> str | None:
        if text is None:
            return None
        place.check_url(parse(text))
        if "?" in text or "#" in text:
            raise ValueError("it is the URL of the blob service alone, without a query")
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

    # --- what follows from them -------------------------------------------------------------------

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
        if self.sas is not None:
            return AzureSas(sas=self.sas)
        return None if self.anonymous else self.auth or Entra()

    @property
    def _stored_headers(self) -> dict[str, str]:
        said: Mapping[str, str | None] = {
            "x-ms-blob-content-type": self.content_type,
            "x-ms-access-tier": self.access_tier,
            **{f"x-ms-meta-{name}": text for name, text in self.metadata.items()},
        }
        return {name: text for name, text in said.items() if text is not None}
