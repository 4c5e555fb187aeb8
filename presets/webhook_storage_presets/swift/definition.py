"""What is said of a container: which one, who sends, and how its objects are kept."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from webhook_storage import place
from webhook_storage.auth import AnyAuth
from webhook_storage.contracts import DEFAULT_TIMEOUT
from webhook_storage.storage import Names, Storage
from webhook_storage.template import parse
from webhook_storage_presets.fields import AllowHttp, Key, Timeout, Verify
from webhook_storage_presets.swift import slo

MEBI = 1024**2
LARGEST = 5 * 1024**3
"""Most bytes of one object, and of a segment, unless who runs it says otherwise."""

_LONGEST_NAME = 256
_METADATA = re.compile("[A-Za-z0-9-]+")


class Definition(Storage):
    """The fields of `Swift`, and what of them goes together."""

    container: str = Field(description="Name of the container.")
    key: Key = None
    auth: AnyAuth | None = Field(
        None,
        description="Who sends the requests: keystone, swift_temp_auth, hmac_url for TempURLs, or "
        "api_key in X-Auth-Token; none for public containers.",
    )
    storage_url: str | None = Field(
        None, description="URL of the account; by default that which the log-in tells."
    )
    hosts: Names = Field(
        default_factory=list,
        description="Patterns of further hosts where the log-in may say that the files are.",
    )
    segments: str | None = Field(
        None, description="Container of segments; by default the name with _segments at its end."
    )
    multipart_above: Annotated[int, Field(ge=0, le=LARGEST)] = Field(
        LARGEST, description="Number of bytes above which an artifact goes in segments."
    )
    part_size: Annotated[int, Field(ge=1, le=LARGEST)] = Field(
        256 * MEBI, description="Number of bytes of a segment; more where they would be too many."
    )
    parallel: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="Most segments at a time, of one artifact."
    )
    delete_after: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Seconds after which Swift deletes an object; never by default."
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="Metadata of the objects, in ASCII."
    )
    content_type: str = Field("application/octet-stream", description="Media type of the objects.")
    timeout: Timeout = DEFAULT_TIMEOUT
    verify: Verify = True
    allow_http: AllowHttp = False

    @field_validator("container", "segments")
    @classmethod
    def _check_container(cls, text: str | None) -> str | None:
        if text is None:
            return None
        if not 0 < len(text.encode()) <= _LONGEST_NAME or "/" in text or text in {".", ".."}:
            raise ValueError("it is no name of a container: up to 256 bytes, and no slash")
        if not text.isprintable():
            raise ValueError("it has a control character")
        return text

    @field_validator("storage_url")
    @classmethod
    def _trim_storage_url(cls, text: str | None) -> str | None:
        if text is None:
            return None
        place.check_url(parse(text))
        if "?" in text or "#" in text:
            raise ValueError("it is the URL of the account alone, without a query")
        return text.rstrip("/")

    @field_validator("metadata")
    @classmethod
    def _check_metadata(cls, metadata: dict[str, str]) -> dict[str, str]:
        if not all(map(_METADATA.fullmatch, metadata)):
            raise ValueError("a name has letters, digits and hyphens only")
        return metadata

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if self.auth is None and self.storage_url is None:
            raise ValueError("give auth, which tells where the files are, or storage_url")
        return self

    # --- what follows from them -------------------------------------------------------------------

    @property
    def _stored_headers(self) -> dict[str, str]:
        headers = {"Content-Type": self.content_type}
        if self.delete_after is not None:
            headers[slo.EXPIRY] = str(self.delete_after)
        return headers | {f"X-Object-Meta-{name}": text for name, text in self.metadata.items()}
