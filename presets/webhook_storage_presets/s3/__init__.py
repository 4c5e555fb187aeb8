"""Amazon S3, and the many services that speak like it.

Source: Amazon S3 API Reference and User Guide; botocore's S3 model.

Rule: no text that a service sent is ever read as a template.
"""

from __future__ import annotations

import base64
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import unquote_plus

from pydantic import Field, field_validator, model_validator

from webhook_storage import markup
from webhook_storage.answer import header, maybe_done, number
from webhook_storage.artifact import MemorySink
from webhook_storage.auth import SecretText
from webhook_storage.checksum import compare_stored
from webhook_storage.contracts import (
    DEFAULT_TIMEOUT,
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
from webhook_storage.template import escape, parse
from webhook_storage.upload import in_parts, part_size_for
from webhook_storage.webhook import Webhook
from webhook_storage_presets.keys import Listed, check_key, facts_of, in_url, key_of
from webhook_storage_presets.s3.answers import refusal, unechoed, unexpected
from webhook_storage_presets.s3.api import Api
from webhook_storage_presets.s3.multipart import MOST_PARTS, SMALLEST_PART, Finished, S3Upload
from webhook_storage_presets.s3.profiles import GIBI, PROFILES, Name, Profile
from webhook_storage_presets.s3.signing import AwsSigV4

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["S3", "AwsSigV4"]

MEBI = 1024**2
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,253}[A-Za-z0-9]")
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])")
"""A bucket that is one label of a name; one with dots would fit no certificate."""

_REGION = re.compile("[a-z0-9-]{1,32}")
_PAGE = 1000
_PAGE_LIMIT = 16 * MEBI
"""Most bytes of a page: 1,000 keys of 1,024 bytes, each of which may take three characters."""


class S3(Storage):
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

    bucket: str = Field(description="Name of the bucket.")
    key: str | None = Field(
        None,
        description="Template of the object's key, for example flows/${flow.slug}/${build.time}; "
        "by default that for a flow, and ${artifact.key} for an artifact.",
    )
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
    timeout: tuple[float, float] = Field(
        DEFAULT_TIMEOUT, description="Seconds to connect, and to wait for each piece."
    )
    verify: bool | str = Field(
        default=True, description="Path of a CA bundle that is trusted as well; False is unsafe."
    )
    allow_http: bool = Field(
        default=False, description="Whether it may go unencrypted to another machine."
    )

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

    @field_validator("key")
    @classmethod
    def _check_key(cls, text: str | None) -> str | None:
        return check_key(text)

    @field_validator("endpoint")
    @classmethod
    def _trim_endpoint(cls, text: str | None) -> str | None:
        if text is None:
            return None
        parse(text)
        return text.removesuffix("/")

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
        if body.size > self.multipart_above:
            finished = yield from self._upload_parts(body, facts, options)
            version, version_id = finished.version, finished.version_id
        else:
            response = yield from self._put(body, facts, options)
            version = header(response, "etag") or ""
            version_id = response.headers.get("x-amz-version-id")
        captures = {} if version_id in {None, "", "null"} else {"version_id": str(version_id)}
        url = self._api.url(facts)
        return Receipt.of(url, body, facts, version=version or None, captures=captures)

    def _put(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        """Store by one request."""
        headers = {**self._stored_headers, **self._api.conditions(options)}
        if self._profile.checksums:
            digest: str = yield Work(body.sha256)
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(digest)).decode()
        request = self._api.object("PUT", facts, headers=headers, body=body)
        refused = {HTTPStatus.PRECONDITION_FAILED} if options.conditional else frozenset()
        response = yield from self._api.call(request, also=refused, created=options.if_absent)
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

    def _upload_parts(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Finished]:
        upload = S3Upload(self._api, facts, options)
        size = part_size_for(body.size, self.part_size, 1, MOST_PARTS, self._profile.largest_part)
        return (
            yield from in_parts(
                upload, body, part_size=size, limit=self.parallel, checkpoint=options.checkpoint
            )
        )

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch the object; that of a receipt in its version, where the bucket keeps them."""
        headers = {"x-amz-checksum-mode": "ENABLED"} if self._profile.checksums else {}
        request = self._api.object("GET", facts, params=_version(facts), headers=headers, sink=sink)
        response = yield from self._api.call(request)
        if "etag" not in response.headers:
            raise unexpected(request, response, "without an ETag")
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the object's headers."""
        request = self._api.object("HEAD", facts, params=_version(facts))
        response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        return Stat(
            size=number(header(response, "content-length") or ""),
            version=header(response, "etag"),
            modified=header(response, "last-modified"),
            content_type=header(response, "content-type"),
        )

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete the object; S3 says the same of one that is not there, so that is asked first."""
        found = yield from self.stat_exchange(facts)
        if found is None:
            message = f"there is no object {self._api.url(facts)}"
            raise ObjectNotFoundError(message, status=404, hint="is the key right?")
        yield from self._api.call(self._api.object("DELETE", facts, params=_version(facts)))

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the bucket, and take the keys out of the objects' names."""
        listed = Listed(self.key)
        params = {
            "list-type": "2",
            "max-keys": str(_PAGE),
            "encoding-type": "url",
            "prefix": listed.prefix,
        }
        keys: dict[str, None] = {}
        while True:
            sink = MemorySink(_PAGE_LIMIT)
            request = self._api.bucket(params=params, sink=sink, facts=facts)
            response = yield from self._api.call(request)
            page = markup.parse(sink.getvalue())
            if page is None or page.name != "ListBucketResult":
                raise unexpected(request, response, "with no list of objects")
            is_encoded = page.value("EncodingType") == "url"
            names = [item.value("Key") for item in page.all("Contents")]
            names = [unquote_plus(name) for name in names] if is_encoded else names
            keys |= dict.fromkeys(unechoed(request, response, listed.keys(names)))
            token = page.value("NextContinuationToken")
            if page.value("IsTruncated") != "true" or not token:
                return [*keys]
            params = {**params, "continuation-token": escape(token)}

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
            common["auth"] = auth.model_dump(exclude_defaults=True) | {"type": auth.type}
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


def _version(facts: Facts) -> dict[str, str] | None:
    """Return the query for the version in a receipt."""
    return {"versionId": "${receipt.version_id}"} if "receipt.version_id" in facts else None
