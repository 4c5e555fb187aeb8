"""Google Cloud Storage, by its JSON API.

Source: the discovery document of the API (storage v1) and the Cloud Storage documentation.

Rule: the service compares the checksums of what comes in, this package those of what goes out; and
no text that it sent is ever read as a template.
"""

from __future__ import annotations

import re
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, field_validator, model_validator

from webhook_storage.answer import maybe_done
from webhook_storage.artifact import MemorySink
from webhook_storage.auth import AnyAuth, SecretText
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
from webhook_storage.storage import Names, Storage
from webhook_storage.template import escape, parse
from webhook_storage.upload import in_parts
from webhook_storage.webhook import Webhook
from webhook_storage_presets.fields import AllowHttp, Key, Timeout, Verify
from webhook_storage_presets.gcs.answers import (
    WANTED,
    Stored,
    compare,
    generation_of,
    lacks_bucket,
    refusal,
    stored,
    unexpected,
)
from webhook_storage_presets.gcs.api import FIELDS, Api
from webhook_storage_presets.gcs.auth import Google
from webhook_storage_presets.gcs.hashes import hashes_of
from webhook_storage_presets.gcs.listing import page_of
from webhook_storage_presets.gcs.resumable import CHUNK, GcsUpload
from webhook_storage_presets.keys import Listed, facts_of, in_segment, key_of
from webhook_storage_presets.paging import Page, all_keys
from webhook_storage_presets.urls import check_base_url

if TYPE_CHECKING:
    from webhook_storage.auth import AuthModel
    from webhook_storage_presets.gcs.hashes import Hashes

__all__ = ["GCS", "Google"]

MEBI = 1024**2
TEBI = 1024**4
_LARGEST = 5 * TEBI
_BUCKET = re.compile("[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_LINE = re.compile(r"[\x20-\x7e]+")
_PAGE = 1000
_PAGE_LIMIT = 16 * MEBI
"""Most bytes of a page: 1,000 names of 1,024 bytes, each of which may take six characters."""


class GCS(Storage):
    """Stores in a bucket of Google Cloud Storage, each artifact in one object.

    Without `credentials` they are the Application Default Credentials, as in every tool of Google.
    A flow is stored under its slug and the time, ``hello-flow/2026-11-21t...``, an artifact under
    its own key, unless `key` says otherwise.

    Example:
        >>> storage = GCS(bucket="flows", credentials="${GCP_CREDENTIALS}")
        >>> storage.exchange("fetch", "a b").send(None).url
        'https://storage.googleapis.com/storage/v1/b/flows/o/${artifact.key|urlencode}'
        >>> Storage.from_json(storage.to_json()) == storage
        True
    """

    bucket: str = Field(description="Name of the bucket.")
    key: Key = None
    credentials: SecretText | None = Field(
        None,
        description="Placeholder of a service account's key, the whole JSON; none for Application "
        "Default Credentials.",
    )
    auth: AnyAuth | None = Field(
        None, description="Another way to say who sends it, for example a bearer token."
    )
    anonymous: bool = Field(default=False, description="Whether nobody does, for public buckets.")
    endpoint: str = Field(
        "https://storage.googleapis.com", description="URL of the service, without the bucket."
    )
    resumable_above: Annotated[int, Field(ge=0, le=_LARGEST)] = Field(
        64 * MEBI, description="Number of bytes above which an artifact goes in parts."
    )
    part_size: Annotated[int, Field(ge=CHUNK, multiple_of=CHUNK)] = Field(
        16 * MEBI, description="Number of bytes of a part, a multiple of 256 KiB."
    )
    storage_class: str | None = Field(None, description="Class in which objects are kept.")
    kms_key_name: str | None = Field(
        None, description="Key of Cloud KMS with which the service encrypts them."
    )
    metadata: dict[str, str] = Field(default_factory=dict, description="Metadata of the objects.")
    content_type: str = Field("application/octet-stream", description="Media type of the objects.")
    user_project: str | None = Field(
        None, description="Project that pays for the requests, where it is who asks."
    )
    timeout: Timeout = DEFAULT_TIMEOUT
    verify: Verify = True
    allow_http: AllowHttp = False

    @field_validator("bucket")
    @classmethod
    def _check_bucket(cls, text: str) -> str:
        if not _BUCKET.fullmatch(text):
            raise ValueError("it is no name of a bucket: lower-case letters, digits, '.', '-', '_'")
        return text

    @field_validator("endpoint")
    @classmethod
    def _trim_endpoint(cls, text: str) -> str:
        if not parse(text).is_literal:
            raise ValueError("it is a URL without placeholders")
        return check_base_url(text, "https://storage.googleapis.com")

    @field_validator("content_type")
    @classmethod
    def _check_type(cls, text: str) -> str:
        if not _LINE.fullmatch(text):
            raise ValueError("it is a media type, for example application/octet-stream")
        return text

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if sum((self.credentials is not None, self.auth is not None, self.anonymous)) > 1:
            raise ValueError("credentials, auth and anonymous contradict each other")
        return self

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store the object; what has other checksums than were sent along is not stored."""
        if body.size > _LARGEST:
            message = f"{body.size} bytes are more than the {_LARGEST} of one object"
            raise TooLargeError(message, hint="store it in several artifacts")
        api = self._api
        conditions = api.conditions(options)
        if body.size > self.resumable_above:
            upload = GcsUpload(api, facts, options, body.size)
            found = yield from in_parts(
                upload, body, part_size=self.part_size, checkpoint=options.checkpoint
            )
            generation = found.generation
        else:
            generation = yield from self._put(body, facts, options, conditions)
        captures = {"generation": generation}
        return Receipt.of(api.url(facts), body, facts, version=generation, captures=captures)

    def _put(
        self, body: Body, facts: Facts, options: StoreOptions, conditions: dict[str, str]
    ) -> Exchange[str]:
        """Store by one request and return the generation."""
        api = self._api
        hashes: Hashes = yield Work(partial(hashes_of, body))
        request = api.upload(body, hashes.as_metadata(), facts, conditions)
        refused = {HTTPStatus.PRECONDITION_FAILED} if options.conditional else set()
        created = options.if_absent
        response = yield from api.call(request, also=refused, created=created, about="bucket")
        if response.status not in refused:
            found = stored(request, response)
            compare(api.url(facts), found, body.size, hashes.taken())
            return found.generation
        # Of several attempts the first may have stored it, and its answer been lost.
        earlier = None
        if maybe_done(response.history):
            earlier = yield from self.stored_already(body, facts)
        if earlier is None:
            raise refusal(request, response, created=created)
        return generation_of(request, earlier)

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch the object; that of a receipt in its generation.

        One that is stored compressed would be unpacked for who does not say that it may come so.
        """
        headers = {"Accept-Encoding": "gzip"}
        request = self._api.object(
            "GET", facts, params={"alt": "media"}, headers=headers, sink=sink
        )
        response = yield from self._api.call(request)
        generation_of(request, response)
        kept = response.headers.get("x-goog-stored-content-encoding", "identity").strip().lower()
        came = response.headers.get("content-encoding", "identity").strip().lower()
        if kept != came and "x-goog-stored-content-encoding" in response.headers:
            raise unexpected(request, response, "with another encoding than is stored")
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the object's metadata."""
        found = yield from self._look(facts)
        if found is None:
            return None
        return Stat(
            size=found.size,
            version=found.generation,
            modified=found.modified,
            content_type=found.content_type,
        )

    def _look(self, facts: Facts) -> Exchange[Stored | None]:
        request = self._api.object("GET", facts, params={"fields": FIELDS})
        response = yield from self._api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status != HTTPStatus.NOT_FOUND:
            return stored(request, response)
        if lacks_bucket(response):
            raise refusal(request, response)
        return None

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete the object; where the bucket keeps older generations it becomes one."""
        request = self._api.object("DELETE", facts)
        try:
            yield from self._api.call(request)
        except ObjectNotFoundError as error:
            if not maybe_done(error.history):
                raise  # else an earlier attempt did it, and its answer was lost

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the bucket, and take the keys out of the objects' names."""
        api, listed = self._api, Listed(self.key)

        def ask(token: str) -> Exchange[Page]:
            params = {
                "prefix": listed.prefix,
                "maxResults": str(_PAGE),
                "fields": "items(name),nextPageToken",
            }
            if token:
                params["pageToken"] = escape(token)
            sink = MemorySink(_PAGE_LIMIT)
            request = api.list(params, sink=sink, facts=facts)
            response = yield from api.call(request, about="bucket")
            return page_of(request, response, sink.getvalue())

        return (yield from all_keys(listed, ask, hint=WANTED))

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the key."""
        return facts_of(self.key)

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores the same objects, with all requests spelled out.

        What one request cannot say is left out: parts, checksums of what is sent, metadata,
        conditions, the list, and the names of the service's errors.
        """
        api, key = self._api, key_of(self.key, {})
        url = f"{api.objects}/{in_segment(key)}"
        common = self._plain_common
        asked = {"url": url, **common, **({"headers": api.always} if api.always else {})}
        sent = {
            "url": api.uploads,
            "params": {"uploadType": "media", "name": key, **api.more},
            "headers": {**api.always, "Content-Type": escape(self.content_type)},
        }
        fetched = {**api.always, "Accept-Encoding": "gzip"}
        return Webhook(
            {**sent, **common},
            "POST",
            {**asked, "params": {"alt": "media"}, "headers": fetched},
            "GET",
            exists_request={**asked, "method": "GET"},
            delete_request={**asked, "method": "DELETE"},
            captures={"generation": "json:/generation"},
            idempotent=True,
            allow_html=True,
            allow_http=self.allow_http,
            **self.model_dump(include=set(Storage.model_fields)),
        )

    @property
    def _plain_common(self) -> dict[str, object]:
        """Return the kwargs of every request."""
        auth = self._auth
        data = {} if auth is None else auth.model_dump(exclude_defaults=True)
        common = {"timeout": self.timeout, "verify": self.verify, "auth": data or None}
        return {name: value for name, value in common.items() if value is not None}

    # --- requests ---------------------------------------------------------------------------------

    @property
    def _auth(self) -> AuthModel | None:
        if self.anonymous:
            return None
        return self.auth or Google(credentials=self.credentials, verify=self.verify)

    @property
    def _api(self) -> Api:
        described = {
            "contentType": self.content_type,
            "storageClass": self.storage_class,
            "metadata": self.metadata or None,
        }
        payer, kms = self.user_project, self.kms_key_name
        return Api(
            endpoint=self.endpoint,
            bucket=self.bucket,
            key=self.key,
            auth=self._auth,
            common={
                "timeout": self.timeout, "verify": self.verify, "allow_http": self.allow_http
            },
            always={} if payer is None else {"x-goog-user-project": escape(payer)},
            metadata={name: text for name, text in described.items() if text is not None},
            more={} if kms is None else {"kmsKeyName": escape(kms)},
        )  # fmt: skip
