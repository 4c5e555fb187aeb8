"""What a user says of a bucket, and where that leads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from webhook_storage.auth import SecretText
from webhook_storage.contracts import DEFAULT_TIMEOUT
from webhook_storage.storage import Storage
from webhook_storage.template import escape
from webhook_storage_presets.fields import AllowHttp, Key, Timeout, Verify
from webhook_storage_presets.s3.api import Api
from webhook_storage_presets.s3.multipart import SMALLEST_PART
from webhook_storage_presets.s3.profiles import GIBI, PROFILES, Name, Profile
from webhook_storage_presets.s3.signing import AwsSigV4
from webhook_storage_presets.urls import check_base_url

if TYPE_CHECKING:
    from collections.abc import Mapping

MEBI = 1024**2
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,253}[A-Za-z0-9]")
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])")
"""A bucket that is one label of a name; one with dots would fit no certificate."""

_REGION = re.compile("[a-z0-9-]{1,32}")


class Definition(Storage):
    """The fields of `S3`."""

    bucket: str = Field(description="Name of the bucket.")
    key: Key = None
    region: str | None = Field(
        None, description="Region of the bucket; by default that which the profile names."
    )
    endpoint: str | None = Field(
        None, description="URL of a service that is not Amazon's, without the bucket."
    )
    profile: Name | None = Field(
        None, description="Which service it is; 'aws' without an endpoint, else 'other'."
    )
    addressing: Literal["auto", "path", "virtual"] = Field(
        "auto",
        description="Whether the bucket is in the path or in the host; 'auto' takes the host for "
        "Amazon's service where the name fits.",
    )
    access_key_id: SecretText | None = Field(
        None, description="Placeholder of the access key's id; none for botocore's chain."
    )
    secret_access_key: SecretText | None = Field(
        None, description="Placeholder of the secret access key."
    )
    session_token: SecretText = Field(
        "", description="Placeholder of the session token of temporary credentials."
    )
    aws_profile: str | None = Field(
        None, description="Profile of the shared files, for botocore's chain."
    )
    presigned: bool = Field(
        default=False,
        description="Whether the signature is in the URL and not in a header, for what stands in "
        "between and wants that header for itself; the body is not signed then.",
    )
    anonymous: bool = Field(default=False, description="Whether nobody signs, for public buckets.")
    conditional_writes: bool | None = Field(
        None, description="Whether the service holds conditions; by default as its profile says."
    )
    multipart_above: Annotated[int, Field(ge=0, le=5 * GIBI)] = Field(
        64 * MEBI, description="Number of bytes above which an artifact goes in parts."
    )
    part_size: Annotated[int, Field(ge=SMALLEST_PART, le=5 * GIBI)] = Field(
        16 * MEBI, description="Number of bytes of a part; more where they would be too many."
    )
    parallel: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="Most parts at a time, of one artifact."
    )
    storage_class: str | None = Field(None, description="Class in which objects are kept.")
    server_side_encryption: Literal["AES256", "aws:kms"] | None = Field(
        None, description="How the service encrypts them."
    )
    kms_key_id: str | None = Field(None, description="Key of AWS KMS with which it does.")
    metadata: dict[str, str] = Field(
        default_factory=dict, description="Metadata of the objects, in ASCII."
    )
    content_type: str = Field("application/octet-stream", description="Media type of the objects.")
    expected_bucket_owner: str | None = Field(
        None, description="Account whose bucket it must be, else the service refuses."
    )
    timeout: Timeout = DEFAULT_TIMEOUT
    verify: Verify = True
    allow_http: AllowHttp = False

    @field_validator("bucket")
    @classmethod
    def _check_bucket(cls, text: str) -> str:
        if not _BUCKET.fullmatch(text):
            raise ValueError("it is no name of a bucket: letters, digits, dots and hyphens")
        return text

    @field_validator("region")
    @classmethod
    def _check_region(cls, text: str | None) -> str | None:
        if text is not None and not _REGION.fullmatch(text):
            raise ValueError("it is no region, for example eu-west-1")
        return text

    @field_validator("endpoint")
    @classmethod
    def _trim_endpoint(cls, text: str | None) -> str | None:
        return None if text is None else check_base_url(text, "https://minio.example.com")

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if (self.access_key_id is None) is not (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together")
        if self.anonymous and self.access_key_id is not None:
            raise ValueError("anonymous and access_key_id contradict each other")
        if self.addressing == "virtual" and not _HOST_NAME.fullmatch(self.bucket):
            raise ValueError(
                "this bucket's name cannot be a part of a host: take addressing='path'"
            )
        return self

    # --- requests ---------------------------------------------------------------------------------

    @property
    def _profile(self) -> Profile:
        return PROFILES[self.profile or ("aws" if self.endpoint is None else "other")]

    @property
    def _holds_conditions(self) -> bool:
        said = self.conditional_writes
        return self._profile.conditions if said is None else said

    @property
    def _base(self) -> str:
        """Return the URL of the bucket."""
        region = self.region or self._profile.region
        endpoint = self.endpoint or f"https://s3.{region}.amazonaws.com"
        fits = self.endpoint is None and _HOST_NAME.fullmatch(self.bucket)
        if self.addressing == "virtual" or (self.addressing == "auto" and fits):
            scheme, _, host = endpoint.partition("://")
            return f"{scheme}://{self.bucket}.{host}"
        return f"{endpoint}/{self.bucket}"

    @property
    def _auth(self) -> AwsSigV4 | None:
        if self.anonymous:
            return None
        return AwsSigV4(
            region=self.region or self._profile.region,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            session_token=self.session_token,
            aws_profile=self.aws_profile,
            place="query" if self.presigned else "header",
        )

    @property
    def _api(self) -> Api:
        return Api(
            base=self._base,
            key=self.key,
            auth=self._auth,
            common={**self._plain(), "allow_http": self.allow_http},
            always=self._always,
            stored_headers=self._stored_headers,
        )

    def _plain(self) -> dict[str, object]:
        return {"timeout": self.timeout, "verify": self.verify}

    @property
    def _always(self) -> dict[str, str]:
        owner = self.expected_bucket_owner
        return {} if owner is None else {"x-amz-expected-bucket-owner": escape(owner)}

    @property
    def _stored_headers(self) -> dict[str, str]:
        said: Mapping[str, str | None] = {
            "Content-Type": self.content_type,
            "x-amz-storage-class": self.storage_class,
            "x-amz-server-side-encryption": self.server_side_encryption,
            "x-amz-server-side-encryption-aws-kms-key-id": self.kms_key_id,
            **{f"x-amz-meta-{name}": text for name, text in self.metadata.items()},
        }
        return {name: text for name, text in said.items() if text is not None}
