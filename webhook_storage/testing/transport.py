"""A transport without a network, for tests of storages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from webhook_storage.contracts import Transport, WireRequest


@dataclass(frozen=True, repr=False)
class SentRequest:
    """A request as a server would see it, with all values in it.

    Attributes:
        method: HTTP method.
        url: The whole URL, percent-encoded.
        path: Its path, decoded.
        query: Its query, decoded; of a repeated name the last value.
        headers: Names in lower case.
        body: All bytes of the body.
    """

    method: str
    url: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Show what holds no secret: method and size."""
        return f"<SentRequest {self.method}, {len(self.body)} bytes>"


Answer: TypeAlias = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body."""


class FakeTransport(Transport):
    """Hands each request to a function instead of a server.

    Args:
        handler: Gets a `SentRequest` and returns status, headers and body. It may raise an error of
            `webhook_storage.errors.TransportError`'s kinds, as a transport does.

    Attributes:
        requests: All requests so far.

    Example:
        >>> from webhook_storage import Sender, Webhook
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> fetch = {"url": "https://files.test/f", "headers": {"X-Key": "${KEY}"}}
        >>> def server(request):
        ...     known = request.headers["x-key"] == "of this test"
        ...     return (200, {}, b"content") if known else (401, {}, b"")
        >>> transport = FakeTransport(server)
        >>> with Sender(secrets=[MappingResolver({"KEY": "of this test"})], transport=transport):
        ...     Webhook(fetch, "PUT", fetch, "GET").get()
        b'content'
        >>> transport.requests
        [<SentRequest GET, 0 bytes>]
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})

    def __init__(self, handler: Callable[[SentRequest], Answer]) -> None:
        """Keep the function."""
        self._handler = handler
        self.requests: list[SentRequest] = []

    def send(self, request: WireRequest) -> _Answered:
        """Ask the function."""
        return _Answered(*self._answer(request))

    async def asend(self, request: WireRequest) -> _AsyncAnswered:
        """Ask the function."""
        return _AsyncAnswered(*self._answer(request))

    def _answer(self, request: WireRequest) -> Answer:
        parts = urlsplit(request.url)
        sent = SentRequest(
            method=request.method,
            url=request.url,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers},
            body=b"".join(request.body.chunks()) if request.body is not None else b"",
        )
        self.requests.append(sent)
        return self._handler(sent)


class _Answered:
    """An answer of the function, as a transport gives it."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers: Sequence[tuple[str, str]] = list(headers.items())
        self._body = body

    def chunks(self) -> Iterator[bytes]:
        """Yield the body."""
        yield self._body

    def close(self) -> None:
        """Do nothing, there is no connection."""


class _AsyncAnswered:
    """The same in an event loop."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers: Sequence[tuple[str, str]] = list(headers.items())
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield self._body

    async def aclose(self) -> None:
        """Do nothing, there is no connection."""
