"""What all storages on a WebDAV server have in common. Source: RFC 4918.

Rule: no text that a service sent is ever read as a template.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator

from webhook_storage.answer import header, maybe_done, number
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
)
from webhook_storage.errors import ObjectNotFoundError, ResponseError, UnexpectedAnswerError
from webhook_storage.filters import has_dot_segment
from webhook_storage.kwargs import check_kwargs
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage, cannot_hold
from webhook_storage.template import escape, parse
from webhook_storage.webhook import Webhook
from webhook_storage_presets.fields import AllowHttp, Key, Timeout, Verify
from webhook_storage_presets.keys import Listed, facts_of, in_url, key_of
from webhook_storage_presets.webdav.answers import REDIRECTS, not_deleted, refusal
from webhook_storage_presets.webdav.api import Api
from webhook_storage_presets.webdav.properties import KINDS, asked_for, children

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.auth import AuthModel

_STORED = frozenset({200, 201, 204})
"""Answers to a store; another success is that of something else, or of a store that is not done."""

_NO_PARENT = frozenset({404, 409, 500})
"""Answers to a store when a parent folder is missing; 500 is that of nginx, which cannot rename."""

_FOLDERS = 100_000
"""Most folders that a list walks through; a link to a folder above would have no end."""


class Dav(Storage):
    """Stores below one folder of a WebDAV server, each artifact in a file."""

    key: Key = None
    timeout: Timeout = DEFAULT_TIMEOUT
    verify: Verify = True
    cert: str | tuple[str, str] | None = Field(
        None,
        description="Path or PEM text, or its placeholder, of a client certificate with its key; "
        "or one of each.",
    )
    allow_http: AllowHttp = False

    _hint: ClassVar[str] = "are user and password right, and is it the kind of 'auth' it asks for?"
    _waits: ClassVar[bool] = False

    @field_validator("key")
    @classmethod
    def _check_key(cls, text: str | None) -> str | None:
        if text is not None and (text.startswith("/") or _has_empty_segment(text)):
            raise ValueError("it has an empty segment, which WebDAV servers leave out")
        return text

    @model_validator(mode="after")
    def _check_request(self) -> Self:
        if any(
            "?" in part or "#" in part for part in parse(self._base).parts if isinstance(part, str)
        ):
            raise ValueError("url: the key is put behind it, so it has no query and no fragment")
        check_kwargs({"url": self._base, **self._certificate}, type(self).__name__)
        return self

    # --- what a server has of its own -------------------------------------------------------------

    @property
    @abstractmethod
    def _base(self) -> str:
        """Return the template of the folder's URL, with no slash at its end."""

    @property
    @abstractmethod
    def _auth(self) -> AuthModel | None:
        """Return who sends the requests."""

    @property
    @abstractmethod
    def _holds_conditions(self) -> bool:
        """Tell whether the server holds conditions of a store."""

    def _store_headers(self, body: Body) -> Exchange[dict[str, str]]:  # noqa: ARG002
        """Return the headers of a store, beside its conditions."""
        yield from ()
        return {}

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store the file, and make the folders that it needs."""
        self._check_conditions(options)
        response = yield from self._put(body, facts, options)
        return Receipt.of(self._api.url(facts), body, facts, version=version_of(response))

    def _check_conditions(self, options: StoreOptions) -> None:
        if not self._holds_conditions:
            hint = "say conditional_writes=True if this server holds If-None-Match and If-Match"
            cannot_hold(options, "conditional_writes", hint)

    def _put(
        self,
        body: Body,
        facts: Facts,
        options: StoreOptions,
        more: Mapping[str, str] | None = None,
    ) -> Exchange[Response]:
        """Store by one request, or by two with the folders made in between."""
        api = self._api
        own = yield from self._store_headers(body)
        headers = {**own, **api.conditions(options), **(more or {})}
        store = partial(api.file, "PUT", facts, body=body, headers=headers, accept=_STORED)
        request = store(returns={500})
        response = yield from api.call(request, also=_NO_PARENT | {412})
        history = response.history
        if response.status in _NO_PARENT:
            made = yield from api.make_folders(request.url, facts)
            if made or response.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                request = store()
                response = yield from api.call(request, also=_NO_PARENT | {412})
                history = (*history, *response.history)
            if response.status in _NO_PARENT:
                raise refusal(request, response, parent=True)
        if response.status != HTTPStatus.PRECONDITION_FAILED:
            yield from compare_stored(f"PUT {request.url}", response, body)
            return response
        if maybe_done(history):  # the first attempt may have stored it, and its answer been lost
            found = yield from self.stored_already(body, facts)
            if found is not None:
                return found
        raise refusal(request, response, created=options.if_absent)

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch the file."""
        api = self._api
        request = api.file("GET", facts, sink=sink, allow_html=_is_page(api.url(facts), facts))
        return (yield from api.call(request))

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the file's properties, or its headers where the server knows none."""
        api = self._api
        found = yield from api.properties(api.url(facts), facts)
        if found == HTTPStatus.METHOD_NOT_ALLOWED:
            return (yield from self._stat_by_headers(facts))
        entry = None if isinstance(found, int) else asked_for(found)
        if entry is None or entry.is_folder:
            return None
        return Stat(
            size=entry.size,
            version=entry.etag,
            modified=entry.modified,
            content_type=entry.content_type,
        )

    def _stat_by_headers(self, facts: Facts) -> Exchange[Stat | None]:
        absent = REDIRECTS | {404}
        response = yield from self._api.call(self._api.file("HEAD", facts), also=absent)
        if response.status in absent:
            return None
        return Stat(
            size=number(header(response, "content-length") or ""),
            version=header(response, "etag"),
            modified=header(response, "last-modified"),
            content_type=header(response, "content-type"),
        )

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete the file. A DELETE of a folder would take all with it, so that is asked first."""
        found = yield from self.stat_exchange(facts)
        if found is None:
            message = f"there is no file {self._api.url(facts)}"
            hint = "is the key right? A folder is never deleted"
            raise ObjectNotFoundError(message, status=404, hint=hint)
        version = found.version
        is_held = self._holds_conditions and version is not None and version.startswith('"')
        headers = {"If-Match": escape(version or "")} if is_held else {}
        accept = frozenset({200, 202, 204})
        request = self._api.file("DELETE", facts, headers=headers, accept=accept)
        response = yield from self._api.call(request, also={404, 412})
        if response.status in accept:
            return
        if maybe_done(response.history):  # an earlier attempt did it, and its answer was lost
            if response.status == HTTPStatus.NOT_FOUND:
                return
            if (yield from self.stat_exchange(facts)) is None:
                return
        raise not_deleted(request, response)

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """Walk through the folders, and take the keys out of the files' names."""
        prefix = Listed(self.key).prefix
        listed = Listed(None if self.key is None else self.key.removeprefix(prefix))
        names: dict[str, None] = {}
        todo: deque[str] = deque([""])
        asked = 0
        while asked + len(todo) <= _FOLDERS:
            if not todo:
                return [*dict.fromkeys(listed.keys([*names]))]
            asked += 1
            files, folders = yield from self._in_folder(in_url(prefix), todo.popleft(), facts)
            names |= dict.fromkeys(files)
            todo.extend(folders)
        message = f"there are more than {_FOLDERS} folders below {self._base}"
        raise ResponseError(message, hint="list a folder below it, by another key")

    def _in_folder(
        self, prefix: str, folder: str, facts: Facts
    ) -> Exchange[tuple[list[str], list[str]]]:
        """Return files and folders in a folder, by their names below the prefix."""
        url = f"{self._base}/{prefix}{quote(folder, safe='/~')}"
        found = yield from self._api.properties(url, facts, depth=1, body=KINDS)
        if found == HTTPStatus.METHOD_NOT_ALLOWED:
            message = f"PROPFIND {url} is not known to the server, so it cannot list"
            raise ResponseError(message, status=405, hint="is WebDAV complete there?")
        if isinstance(found, int):
            return [], []  # it is made with its first file, or was just deleted
        itself = asked_for(found)
        if itself is None or not itself.is_folder:  # its files would pass for one that is not there
            message = f"PROPFIND {url} answered 207 without the folder that was asked for"
            raise UnexpectedAnswerError(message, status=207, hint="is a file in its place?")
        inside = [entry for entry in children(found) if not has_dot_segment(entry.segments[-1])]
        files = [f"{folder}{entry.segments[-1]}" for entry in inside if not entry.is_folder]
        folders = [f"{folder}{entry.segments[-1]}/" for entry in inside if entry.is_folder]
        return files, folders

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the key."""
        return facts_of(self.key)

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores the same files, with all requests spelled out.

        What one request cannot say is left out: missing folders, locks, parts and the list.
        """
        common: dict[str, Any] = {
            "url": f"{self._base}/{in_url(key_of(self.key, {}))}",
            "timeout": self.timeout,
            "verify": self.verify,
            **self._certificate,
        }
        auth = self._auth
        if auth is not None:
            common["auth"] = auth.model_dump(exclude_defaults=True)
        return Webhook(
            {**common, **self._webhook_headers()},
            "PUT",
            common,
            "GET",
            conditional_writes=self._holds_conditions,
            allow_http=self.allow_http,
            **self._webhook_options(),
            **self.model_dump(include=set(Storage.model_fields)),
        )

    def _webhook_headers(self) -> dict[str, Any]:
        """Return the kwargs of the request that stores, beside the usual ones."""
        return {}

    def _webhook_options(self) -> dict[str, Any]:
        """Return the options of the `Webhook`, beside the usual ones."""
        return {}

    # --- requests ---------------------------------------------------------------------------------

    @property
    def _api(self) -> Api:
        return Api(
            base=self._base,
            key=self.key,
            auth=self._auth,
            common={
                "timeout": self.timeout, "verify": self.verify, "cert": self.cert,
                "allow_http": self.allow_http,
            },
            hint=self._hint,
            waits=self._waits,
        )  # fmt: skip

    @property
    def _certificate(self) -> dict[str, Any]:
        """Return the client certificate as kwargs have it."""
        if self.cert is None:
            return {}
        return {"cert": self.cert if isinstance(self.cert, str) else [*self.cert]}


def version_of(response: Response) -> str | None:
    """Return the version of what was stored; many servers tell none."""
    return header(response, "etag") or header(response, "oc-etag")


def _has_empty_segment(key: str) -> bool:
    shown = "".join(part if isinstance(part, str) else "x" for part in parse(key).parts)
    return "//" in shown


def _is_page(url: str, facts: Facts) -> bool:
    """Tell whether a file is a page; else a page is that of a login, or of a folder."""
    names = (url, *(facts.get(name, "") for name in ("artifact.key", "flow.name")))
    return any(name.lower().endswith((".html", ".htm", ".xhtml")) for name in names)
