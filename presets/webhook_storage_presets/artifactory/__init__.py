"""JFrog Artifactory: a file for each artifact, in a repository of the generic kind or any other.

Source: JFrog Artifactory REST API; jfrog-client-go.

Rule: Artifactory compares the checksums of what comes in, this package those of what it says that
it stored; and no text that Artifactory sent is ever read as a template.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from pydantic import Field, field_validator

from webhook_storage.answer import maybe_done
from webhook_storage.artifact import BytesBody, MemorySink
from webhook_storage.auth import AnyAuth
from webhook_storage.auth.fixed import ApiKey, Bearer
from webhook_storage.checksum import sent
from webhook_storage.contracts import (
    DEFAULT_TIMEOUT,
    PLAIN,
    Body,
    Exchange,
    Facts,
    Request,
    Response,
    Sink,
    StoreOptions,
)
from webhook_storage.errors import ObjectNotFoundError
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage, cannot_hold
from webhook_storage.template import escape, parse
from webhook_storage.webhook import Webhook
from webhook_storage_presets.artifactory.answers import (
    NO_LIST,
    NO_REPOSITORY,
    REDIRECTS,
    REFUSALS,
    compare,
    names_of,
    refusal,
    stat_of_headers,
    stat_of_item,
    unechoed,
    unexpected,
)
from webhook_storage_presets.artifactory.api import Api
from webhook_storage_presets.artifactory.names import (
    check_properties,
    ends_unseen,
    in_matrix,
    problem_of,
)
from webhook_storage_presets.fields import AllowHttp, Key, Timeout, Verify
from webhook_storage_presets.keys import Listed, facts_of, in_url, key_of
from webhook_storage_presets.urls import check_base_url

__all__ = ["Artifactory"]

_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LIST_LIMIT = 64 * 1024 * 1024
"""Most bytes of a list, which comes in one piece: some 300,000 files."""

_OURS = ("x-explode-archive", "x-checksum")
"""Beginnings of headers that change what Artifactory does with the bytes."""


class Artifactory(Storage):
    """Stores in a repository of Artifactory, each artifact in one file.

    A flow is stored under its slug and the time, an artifact under its own key, unless `key` says
    otherwise. Artifactory holds no conditions: who may not replace anything is a matter of its
    permissions.

    Example:
        >>> storage = Artifactory(
        ...     url="https://example.jfrog.io/artifactory",
        ...     repository="flows",
        ...     properties={"stage": "dev"},
        ... )
        >>> storage.exchange("fetch", "a b").send(None).url
        'https://example.jfrog.io/artifactory/flows/${artifact.key|path}'
        >>> Storage.from_json(storage.to_json()) == storage
        True
    """

    url: str = Field(description="URL of Artifactory, mostly with /artifactory at its end.")
    repository: str = Field(description="Key of the repository, a local one.")
    key: Key = None
    properties: dict[str, str] = Field(
        default_factory=dict,
        description="Properties that a file gets when it is stored; their values are templates.",
    )
    checksum_deploy: bool = Field(
        default=False,
        description="Whether Artifactory is asked first for the same bytes in another place, "
        "which are then not sent again.",
    )
    auth: AnyAuth | None = Field(
        Bearer(token="${ARTIFACTORY_TOKEN}"),  # noqa: S106 - a placeholder
        description="Who sends it: an access token as bearer, user and password or token as "
        "basic, an API key as api_key with the name X-JFrog-Art-Api; none for nobody.",
    )
    redirect_hosts: Names = Field(
        default_factory=list,
        description="Patterns of other hosts from which to fetch, for example *.amazonaws.com; "
        "nothing of the request's headers goes there.",
    )
    timeout: Timeout = DEFAULT_TIMEOUT
    verify: Verify = True
    allow_http: AllowHttp = False

    @field_validator("url")
    @classmethod
    def _check_url(cls, text: str) -> str:
        return check_base_url(text, "https://host/artifactory")

    @field_validator("repository")
    @classmethod
    def _check_repository(cls, text: str) -> str:
        if not _REPOSITORY.fullmatch(text) or text == "api":
            raise ValueError("it is no key of a repository: letters, digits and . _ -")
        return text

    @field_validator("key")
    @classmethod
    def _check_key(cls, text: str | None) -> str | None:
        if text is None:
            return None
        problem = problem_of(text, {})
        if problem is not None:
            message = f"it {problem}"
            raise ValueError(message)
        if ends_unseen(text):
            raise ValueError("it ends with a secret; Artifactory does not store all endings")
        return text

    @field_validator("properties")
    @classmethod
    def _check_properties(cls, properties: dict[str, str]) -> dict[str, str]:
        check_properties(properties)
        return properties

    @field_validator("auth")
    @classmethod
    def _check_auth(cls, auth: AnyAuth | None) -> AnyAuth | None:
        if isinstance(auth, ApiKey) and auth.name.lower().startswith(_OURS):
            raise ValueError("that header changes what Artifactory does with the bytes")
        return auth

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store the file, with its checksums and its properties."""
        hint = "Artifactory holds none; take the right to overwrite from the credential instead"
        cannot_hold(options, "if_absent", hint)
        api = self._api
        url, place = api.file(facts), api.stored(facts)
        taken: dict[str, bytes] = {}
        headers = {
            "X-Checksum-Sha256": (yield from sent("X-Checksum-Sha256", body, taken)),
            "X-Checksum-Sha1": (yield from sent("X-Checksum-Sha1", body, taken)),
        }
        response: Response | None = None
        if self.checksum_deploy:
            asking = {**headers, "X-Checksum-Deploy": "true"}
            request = api.request("PUT", place, facts, headers=asking, body=BytesBody(b""))
            response = yield request
        if response is None or response.status == HTTPStatus.NOT_FOUND:  # no such bytes are there
            request = api.request("PUT", place, facts, headers=headers, body=body)
            response = yield request
        if response.status not in REFUSALS:
            yield from compare(request, response, body, taken)
        else:
            yield from self._check_stored(request, response, body, facts)
        return Receipt.of(url, body, facts, version=taken["sha1"].hex())

    def _check_stored(
        self, request: Request, response: Response, body: Body, facts: Facts
    ) -> Exchange[None]:
        """Look whether an earlier attempt has stored it, of which the answer was lost.

        Who may not replace anything is then refused for what that attempt stored.

        Raises:
            WebhookStorageError: What the refusal means, when it is not stored.
        """
        found = None
        if maybe_done(response.history):
            found = yield from self.stored_already(body, facts)
        if found is None:
            raise refusal(request, response)

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch the file; a cloud's signed URL is followed without anything of ours."""
        api, hosts = self._api, tuple(self.redirect_hosts)
        request = api.request("GET", api.file(facts), facts, sink=sink, redirect_hosts=hosts)
        response = yield from api.call(request)
        if {"etag", "x-checksum-sha1", "x-checksum-sha256"}.isdisjoint(response.headers):
            raise unexpected(request, response, "with no checksum, as no file does")
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the file's headers; where they are not those of a file, what is there."""
        api = self._api
        request = api.request("HEAD", api.file(facts), facts, also=REDIRECTS)
        response = yield from api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        found = stat_of_headers(response)
        if found is not None:
            return found
        # The storage API tells a folder from a file, and does not redirect.
        sink = MemorySink(_LIST_LIMIT)
        request = api.request("GET", api.told(facts), facts, sink=sink)
        response = yield from api.call(request, also={HTTPStatus.NOT_FOUND})
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        return stat_of_item(request, response, sink.getvalue())

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete the file; Artifactory would delete a folder too, so that is asked first."""
        api = self._api
        url = api.file(facts)
        found = yield from self.stat_exchange(facts)
        if found is None:
            message = f"there is no file {url}"
            raise ObjectNotFoundError(message, status=404, hint="is the key right?")
        request = api.request("DELETE", url, facts)
        response = yield from api.call(request, also={HTTPStatus.NOT_FOUND})
        # Else an earlier attempt did it, and its answer was lost.
        if response.status == HTTPStatus.NOT_FOUND and not maybe_done(response.history):
            raise refusal(request, response)

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the folder that holds all artifacts, and take the keys out of the files' names."""
        api, listed = self._api, Listed(self.key)
        folder = _literal_folder(listed.prefix)
        path = f"/{in_url(escape(folder[:-1]))}" if folder else ""
        sink = MemorySink(_LIST_LIMIT)
        request = api.request("GET", f"{api.root}{path}?list&deep=1", facts, sink=sink)
        response: Response = yield request
        if response.status == HTTPStatus.BAD_REQUEST:
            raise refusal(request, response, NO_LIST)
        if response.status == HTTPStatus.NOT_FOUND:
            # The folder is not there before the first store; the repository must be.
            asking = api.request("GET", api.root, facts, sink=MemorySink(_LIST_LIMIT))
            response = yield from api.call(asking, also={HTTPStatus.NOT_FOUND})
            if response.status == HTTPStatus.NOT_FOUND:
                raise refusal(asking, response, NO_REPOSITORY)
            return []
        if response.status in REFUSALS:
            raise refusal(request, response)
        names = names_of(request, response, sink.getvalue(), folder)
        return unechoed(request, response, [*dict.fromkeys(listed.keys(names))])

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the key."""
        return facts_of(self.key)

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores the same files, with all requests spelled out.

        What one request cannot say is left out: checksum deploy, the list, the refusal of keys that
        Artifactory does not keep, and that of a folder when deleting, which goes with all in it.
        """
        url = f"{self.url}/{self.repository}/{in_url(key_of(self.key, {}))}"
        common: dict[str, object] = {"timeout": self.timeout, "verify": self.verify}
        if self.auth is not None:
            kind = {"type": self.auth.type}
            common["auth"] = self.auth.model_dump(exclude_defaults=True) | kind
        return Webhook(
            {"url": f"{url}{in_matrix(self.properties)}", **common},
            "PUT",
            {"url": url, **common},
            "GET",
            checksum="X-Checksum-Sha256",
            redirect_hosts=self.redirect_hosts,
            allow_http=self.allow_http,
            **self.model_dump(include=set(Storage.model_fields)),
        )

    @property
    def _api(self) -> Api:
        return Api(
            url=self.url,
            repository=self.repository,
            key=self.key,
            properties=self.properties,
            auth=self.auth,
            common={
                "timeout": self.timeout, "verify": self.verify, "allow_http": self.allow_http
            },
        )  # fmt: skip


def _literal_folder(prefix: str) -> str:
    """Return the beginning of a prefix that has no placeholder, up to a slash."""
    first = next(iter(parse(prefix).parts), "")
    return first[: first.rfind("/") + 1] if isinstance(first, str) else ""
