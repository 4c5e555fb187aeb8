"""The requests that Swift takes, and what comes of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from webhook_storage.artifact import MemorySink
from webhook_storage.contracts import Exchange, Facts, Request, Response
from webhook_storage.template import escape
from webhook_storage_presets.keys import check_facts, in_url, key_of
from webhook_storage_presets.swift.answers import REFUSALS, entries, is_busy, refusal, unexpected

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook_storage.contracts import Auth, Sink

_PAGE = 1000
_PAGE_LIMIT = 16 * 1024**2
"""Most bytes of a page: 1,000 names of 1,024 bytes, each of which may take six characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Makes requests to the containers of one account.

    Attributes:
        base: Template of the account's URL, with no slash at its end.
        container: Name of the container with the artifacts.
        segments: Name of the container with the segments of large ones.
        key: Template of the key, None for the usual one.
        auth: Who sends it; None for nobody.
        common: Arguments of every request.
        stored_headers: Headers that say how an object is kept.
    """

    base: str
    container: str
    segments: str
    key: str | None
    auth: Auth | None
    common: Mapping[str, Any]
    stored_headers: Mapping[str, str] = field(default_factory=dict)

    def url(self, facts: Facts) -> str:
        """Return the template of an object's URL."""
        key = key_of(self.key, facts)
        check_facts(key, facts)
        return f"{self._container(self.container)}/{in_url(key)}"

    def object(self, method: str, facts: Facts, **more: Any) -> Request:
        """Return a request for an object."""
        return self._request(method, self.url(facts), facts=facts, **more)

    def segment(self, method: str, name: str, **more: Any) -> Request:
        """Return a request for a segment."""
        url = f"{self._container(self.segments)}/{escape(quote(name))}"
        return self._request(method, url, **more)

    def call(
        self,
        request: Request,
        *,
        also: Collection[int] = (),
        created: bool = False,
        fixed: bool = False,
    ) -> Exchange[Response]:
        """Send a request and return its answer.

        Args:
            request: The request.
            also: Statuses that are no refusal.
            created: Whether an object was only to be created.
            fixed: Whether a 404 can only be of the container.

        Raises:
            WebhookStorageError: What a refusal means.
        """
        response: Response = yield request
        if response.status in REFUSALS and response.status not in also:
            raise refusal(request, response, created=created, fixed=fixed)
        return response

    def names(
        self,
        container: str,
        prefix: str,
        facts: Facts | None = None,
        *,
        absent: bool = False,
    ) -> Exchange[list[dict[str, Any]]]:
        """Return all objects of a container whose names begin so, page by page.

        Args:
            container: Its name.
            prefix: Template of what names begin with.
            facts: Those in the prefix.
            absent: Whether a container that is not there has no objects; else it is an error.
        """
        params = {"format": "json", "limit": str(_PAGE), "prefix": prefix}
        found: list[dict[str, Any]] = []
        while True:
            sink = MemorySink(_PAGE_LIMIT)
            request = self._listing(container, params=params, sink=sink, facts=facts or {})
            also = {HTTPStatus.NOT_FOUND} if absent else frozenset()
            response = yield from self.call(request, also=also, fixed=True)
            missing = response.status in also
            page = [] if missing else entries(request, response, sink.getvalue())
            if not page:  # a page may be shorter than it might be, and is not the last one
                return found
            if found and page[-1]["name"] <= found[-1]["name"]:  # or it would never end
                raise unexpected(request, response, "with a page that it has sent before")
            found += page
            params = {**params, "marker": escape(page[-1]["name"])}

    def _listing(self, container: str, **more: Any) -> Request:
        return self._request("GET", self._container(container), **more)

    def _container(self, name: str) -> str:
        return f"{self.base}/{container_in_url(name)}"

    def _request(self, method: str, url: str, **more: Any) -> Request:
        return Request(
            method=method,
            url=url,
            auth=self.auth,
            returns=REFUSALS,
            retry_when=is_busy,
            follow=False,
            allow_html=True,  # an object can be a page
            **self.common,
            **more,
        )


def container_in_url(name: str) -> str:
    """Return a container's name as a segment of a URL."""
    return escape(quote(name, safe=""))


class Md5Sink:
    """Takes the MD5 of what goes into another sink, by which Swift knows bytes.

    Args:
        sink: The other sink.

    Attributes:
        blocks: Whether writing takes time.
    """

    __slots__ = ("_md5", "_sink", "blocks")

    def __init__(self, sink: Sink) -> None:
        """Begin with nothing."""
        self._sink = sink
        self.blocks = sink.blocks
        self._md5 = hashlib.md5(usedforsecurity=False)

    @property
    def md5(self) -> str:
        """Return it in lower-case hex."""
        return self._md5.hexdigest()

    def reset(self) -> None:
        """Forget what was written."""
        self._sink.reset()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._md5.update(chunk)
        self._sink.write(chunk)
