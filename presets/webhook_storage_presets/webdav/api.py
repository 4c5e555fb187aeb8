"""The requests that a WebDAV server takes, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from webhook_storage.artifact import MemorySink
from webhook_storage.contracts import Exchange, Facts, Request, Response, StoreOptions
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
)
from webhook_storage.template import escape, parse
from webhook_storage_presets.keys import check_facts, in_url, key_of
from webhook_storage_presets.webdav.answers import REDIRECTS, REFUSALS, refusal, unexpected
from webhook_storage_presets.webdav.properties import PROPERTIES, Entry, children, refused
from webhook_storage_presets.webdav.properties import parse as parse_multistatus

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook_storage.contracts import Auth

_LISTING_LIMIT = 64 * 1024**2
"""Most bytes of a folder's listing."""

_THERE = REDIRECTS | {405, 406, 409, 423}
"""Answers to MKCOL of servers that have the folder; the next store shows whether they do."""

_PATHS = ("artifact.key", "flow.name")
"""Facts whose slashes are those of the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Makes requests to what is below one folder.

    Attributes:
        base: URL of the folder, with no slash at its end.
        key: Template of the key, None for the usual one.
        auth: Who sends it; None for nobody.
        common: Arguments of every request.
        hint: What to do about a credential that is refused.
        waits: Whether another attempt may not meet a lock: where the server locks what it writes.
    """

    base: str
    key: str | None
    auth: Auth | None
    common: Mapping[str, Any]
    hint: str
    waits: bool = False

    def url(self, facts: Facts) -> str:
        """Return the template of a file's URL."""
        key = key_of(self.key, facts)
        check_facts(key, facts)
        _check_slashes(key, facts)
        return f"{self.base}/{in_url(key)}"

    def file(self, method: str, facts: Facts, **more: Any) -> Request:
        """Return a request for a file."""
        return self.request(method, self.url(facts), facts=facts, **more)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        returns: Collection[int] = (),
        **more: Any,
    ) -> Request:
        """Return a request for any URL."""
        return Request(
            method=method,
            url=url,
            headers=headers or {},
            auth=self.auth,
            returns=REFUSALS | frozenset(returns),
            retry_when=_is_locked if self.waits else None,
            follow=False,
            **self.common,
            **more,
        )

    def call(
        self, request: Request, *, also: Collection[int] = (), created: bool = False
    ) -> Exchange[Response]:
        """Send a request and return its answer.

        Args:
            request: The request.
            also: Statuses that are no refusal.
            created: Whether a file was only to be created.

        Raises:
            WebhookStorageError: What a refusal means.
        """
        try:
            response: Response = yield request
        except AuthenticationError as error:
            error.hint = f"{error.hint}; {self.hint}" if error.hint else self.hint
            raise
        if response.status in REFUSALS and response.status not in also:
            raise refusal(request, response, created=created)
        return response

    def conditions(self, options: StoreOptions) -> dict[str, str]:
        """Return the headers that make a store conditional.

        Raises:
            ConfigurationError: When the version is one that cannot be compared.
        """
        if options.if_absent:
            return {"If-None-Match": "*"}
        if options.if_version is None:
            return {}
        if options.if_version.startswith("W/"):
            message = "the server calls its version weak, and a weak one is like others"
            hint = "Apache does so for a second after a file was written: ask by stat() again"
            raise ConfigurationError(message, hint=hint)
        return {"If-Match": escape(options.if_version)}

    def folders(self, url: str, facts: Facts) -> list[str]:
        """Return the folders above a URL, below the base; see `folders_of`."""
        return folders_of(url.removeprefix(f"{self.base}/"), facts)

    def make_folders(self, url: str, facts: Facts) -> Exchange[bool]:
        """Make the folders above a URL, from the top; false when it is directly below the base."""
        folders = self.folders(url, facts)
        for folder in folders:
            url = f"{self.base}/{folder}"
            request = self.request("MKCOL", url, facts=facts, returns=_THERE, idempotent=True)
            response = yield from self.call(request, also=REFUSALS)
            if response.status not in REFUSALS or response.status in _THERE:
                continue
            # Apache forbids it, too, when another request has made it at this very moment.
            forbidden = response.status == HTTPStatus.FORBIDDEN
            if not forbidden or not (yield from self._is_there(url, facts)):
                raise refusal(request, response, folder=True)
        return bool(folders)

    def _is_there(self, url: str, facts: Facts) -> Exchange[bool]:
        """Tell whether something is there, as far as one may look."""
        try:
            found = yield from self.properties(url, facts)
        except PermissionDeniedError:
            return False
        return isinstance(found, list)

    def properties(
        self, url: str, facts: Facts, *, depth: int = 0, body: str = PROPERTIES
    ) -> Exchange[list[Entry] | int]:
        """Ask for the properties of a URL and, with a depth of 1, of what is in it.

        Returns:
            What is there; 404 when nothing is, 405 when the server knows no properties.
        """
        sink = MemorySink(_LISTING_LIMIT)
        request = self.request(
            "PROPFIND",
            url,
            headers={"Depth": str(depth), "Content-Type": "application/xml; charset=utf-8"},
            data=body,
            sink=sink,
            facts=facts,
            accept=frozenset({HTTPStatus.MULTI_STATUS}),
            idempotent=True,
        )
        response = yield from self.call(request, also={404, 405, 501})
        if response.status != HTTPStatus.MULTI_STATUS:
            return 404 if response.status == HTTPStatus.NOT_FOUND else 405
        entries = parse_multistatus(sink.getvalue())
        if entries is None:
            raise unexpected(request, response, "with no properties, or with too many")
        if not entries:
            status = refused(sink.getvalue())
            if status == HTTPStatus.NOT_FOUND:
                return 404
            if status not in REFUSALS:
                raise unexpected(request, response, "and tells of nothing")
            raise refusal(request, replace(response, status=status))
        told = [text for entry in entries for text in entry.texts]
        told += [entry.segments[-1] for entry in children(entries)]
        if response.echoes is not None and response.echoes("\n".join(told)):
            raise unexpected(request, response, "with a secret of the request in it")
        return entries


def folders_of(path: str, facts: Facts) -> list[str]:
    """Return the folders above a file, the topmost first, as the encoded path with its slash.

    Example:
        >>> folders_of("flows/${artifact.key|path}", {"artifact.key": "a b/c/d"})
        ['flows/', 'flows/a%20b/', 'flows/a%20b/c/']
    """
    for name in _PATHS:
        if name in facts:
            value = in_url(escape(facts[name]))
            path = path.replace(f"${{{name}|path}}", value)
    end, ends = len(path), []
    for part in reversed(parse(path).parts):
        start = end - len(part) if isinstance(part, str) else part.position
        if isinstance(part, str):
            ends += [start + at + 1 for at, char in enumerate(part) if char == "/"]
        end = start
    return [path[:at] for at in sorted(ends)]


def _check_slashes(key: str, facts: Facts) -> None:
    """Refuse a key that a server would take for another one.

    Raises:
        ConfigurationError: When it has an empty segment.
    """
    for name in parse(key).facts():
        value = facts.get(name, "")
        if name in _PATHS and (value.startswith("/") or value.endswith("/") or "//" in value):
            message = f"${{{name}}} has an empty segment, which WebDAV servers leave out"
            hint = "store it under a key without '//', and with no slash at its ends"
            raise ConfigurationError(message, path="key", hint=hint)


def _is_locked(response: Response) -> bool:
    return response.status == HTTPStatus.LOCKED
