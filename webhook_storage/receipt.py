"""What a store left behind: enough to find the artifact again and to know it, and no secret."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field

from webhook_storage.answer import header, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Body, Facts, Response


class Receipt(BaseModel):
    """The proof of one store.

    It is plain data without secrets: keep it, send it, and give it back in place of a key to have
    the digest compared and ``${receipt...}`` filled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: str = Field("", description="Key under which it was stored; empty when the URL is fixed.")
    location: str = Field(description="Template of the URL to which it was sent.")
    sha256: str = Field(description="Digest of the stored bytes, lower-case hex.")
    size: int = Field(description="Number of stored bytes.")
    build_time: str = Field(description="Time of storing, as `${build.time}` wrote it, in UTC.")
    build_uuid: str = Field(
        "", description="Id of this store, when `${build.uuid}` was in the request."
    )
    version: str | None = Field(
        None, description="The service's version of it, for example an ETag."
    )
    captures: dict[str, str] = Field(
        default_factory=dict, description="Values taken from the answer, for `${receipt.NAME}`."
    )

    @classmethod
    def of(
        cls,
        location: str,
        body: Body,
        facts: Facts,
        *,
        version: str | None = None,
        captures: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the receipt of a body that was stored.

        Args:
            location: Template of the URL to which it was sent.
            body: What was sent.
            facts: Those of the store.
            version: The service's version of it.
            captures: What was taken from the answer.
        """
        return cls(
            key=facts.get("artifact.key", ""),
            location=location,
            sha256=body.sha256(),
            size=body.size,
            build_time=facts["build.time"],
            build_uuid=facts.get("build.uuid", ""),
            version=version,
            captures=dict(captures or {}),
        )


class Stat(BaseModel):
    """What a service says of an artifact without sending it."""

    model_config = ConfigDict(frozen=True)

    size: int | None = Field(None, description="Number of bytes, when the service says it.")
    version: str | None = Field(
        None, description="The service's version of it, for example an ETag."
    )
    modified: str | None = Field(
        None, description="Time of the last change, as the service says it."
    )
    content_type: str | None = Field(None, description="Media type, when the service says it.")

    @classmethod
    def of(cls, response: Response) -> Self:
        """Return what the headers of an answer say; those of a part say the size of the whole."""
        given = response.headers
        size = given.get("content-range", "").rpartition("/")[2] or given.get("content-length", "")
        return cls(
            size=number(size),
            version=header(response, "etag"),
            modified=header(response, "last-modified"),
            content_type=header(response, "content-type"),
        )


def build_time() -> str:
    """Return the time as `${build.time}` writes it: sortable, and safe in every URL and path.

    Example:
        >>> len(build_time())
        27
    """
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return now[:26].translate(_SAFE) + "z"


_SAFE = str.maketrans("T:.", "t--")
"""ISO 8601 as a slug."""
