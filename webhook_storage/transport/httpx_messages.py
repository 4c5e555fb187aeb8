"""What httpx sends and receives, in the terms of this library: bodies, answers and errors."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx

from webhook_storage.errors import (
    ConnectError,
    MalformedRequestError,
    ProtocolError,
    TimedOutError,
    TlsError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from webhook_storage.contracts import Body

_MEANINGS: tuple[tuple[type[Exception], type[TransportError], str], ...] = (
    (httpx.ConnectTimeout, ConnectError, "no connection within the time allowed"),
    (httpx.PoolTimeout, ConnectError, "all connections are in use"),
    (httpx.TimeoutException, TimedOutError, "the server did not go on within the time allowed"),
    (httpx.ProxyError, ConnectError, "the proxy refused the connection"),
    (httpx.ConnectError, ConnectError, "no connection could be made"),
    (httpx.UnsupportedProtocol, MalformedRequestError, "the URL has no scheme that can be sent to"),
    (httpx.LocalProtocolError, MalformedRequestError, "the request could not be written"),
    (httpx.RemoteProtocolError, ProtocolError, "the answer broke off or was no HTTP"),
    (httpx.NetworkError, ProtocolError, "the connection broke"),
    (httpx.TransportError, ProtocolError, "the request failed on its way"),
    (httpx.StreamError, ProtocolError, "the body could not be read"),
    (httpx.DecodingError, ProtocolError, "the body could not be decoded"),
    (httpx.TooManyRedirects, ProtocolError, "there were too many redirects"),
    (httpx.HTTPError, ProtocolError, "the request failed"),
    (httpx.InvalidURL, MalformedRequestError, "the URL is invalid"),
    (httpx.CookieConflict, ProtocolError, "the cookies are ambiguous"),
)
"""The first that fits tells what an exception of httpx means; a test enumerates them all."""

_CERTIFICATE_FAULTS = {
    10: "it has expired",
    18: "it is self-signed",
    19: "it is signed by an unknown authority",
    20: "it is signed by an unknown authority",
    62: "it is for another host name",
    64: "it is for another address",
}
"""OpenSSL's verification codes in words; its own words may hold the host's name."""


def to_stream(body: Body | None) -> _Stream | httpx.ByteStream:
    """Return the body as httpx wants it.

    A small one is read before anything is sent, so that it follows the headers at once and the
    server need not wait for it in between.
    """
    if body is None:
        return httpx.ByteStream(b"")
    if body.size <= _SMALL:
        return httpx.ByteStream(b"".join(body.chunks()))
    return _Stream(body)


_SMALL = 1024 * 1024
"""A body of up to so many bytes is held in memory while it is sent."""


class _Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A large body, read while it is sent; in an event loop by a thread."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body.chunks()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._body.chunks()
        while (chunk := await asyncio.to_thread(next, chunks, b"")) != b"":
            yield chunk


class Answer:
    """An open answer.

    Args:
        response: What httpx made of it.
        undo: What is to be done, once, when it is closed.
    """

    def __init__(self, response: httpx.Response, undo: Callable[[], object]) -> None:
        """Keep both."""
        self.status = response.status_code
        self.headers: Sequence[tuple[str, str]] = _headers(response)
        self._response = response
        self._undo = undo

    def chunks(self) -> Iterator[bytes]:
        """Yield the raw bytes of the body."""
        stream = self._response.stream
        if not isinstance(stream, httpx.SyncByteStream):  # pragma: no cover - a promise of httpx
            raise ProtocolError("the body could not be read")
        try:
            yield from stream
        except (httpx.HTTPError, httpx.StreamError, ssl.SSLError) as error:
            raise translate(error) from None

    def close(self) -> None:
        """Give the connection back."""
        undo, self._undo = self._undo, _nothing
        try:
            self._response.close()
        finally:
            undo()


class AsyncAnswer:
    """The same in an event loop."""

    def __init__(self, response: httpx.Response, undo: Callable[[], object]) -> None:
        """Keep both."""
        self.status = response.status_code
        self.headers: Sequence[tuple[str, str]] = _headers(response)
        self._response = response
        self._undo = undo

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the raw bytes of the body."""
        stream = self._response.stream
        if not isinstance(stream, httpx.AsyncByteStream):  # pragma: no cover - a promise of httpx
            raise ProtocolError("the body could not be read")
        try:
            async for chunk in stream:
                yield chunk
        except (httpx.HTTPError, httpx.StreamError, ssl.SSLError) as error:
            raise translate(error) from None

    async def aclose(self) -> None:
        """Give the connection back."""
        undo, self._undo = self._undo, _nothing
        try:
            await self._response.aclose()
        finally:
            undo()


def _nothing() -> None:
    """Do nothing: it was closed before."""


def translate(error: Exception) -> TransportError:
    """Return our error for one of httpx, with words of our own: its text may hold a secret."""
    tls = tls_fault(error)
    if tls is not None:
        return tls
    for foreign, ours, message in _MEANINGS:
        if isinstance(error, foreign):
            return ours(message)
    return ProtocolError("the request failed")


def wants_proxy_login(error: Exception) -> bool:
    """Tell whether a proxy made no tunnel because it wants another credential."""
    return isinstance(error, httpx.ProxyError) and str(error).startswith("407")


def tls_fault(error: BaseException | None) -> TlsError | None:
    """Return the error for a failed TLS handshake, which httpx hides among its causes."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            fault = _CERTIFICATE_FAULTS.get(error.verify_code, "it could not be verified")
            return TlsError(
                f"the server's certificate was refused: {fault}",
                hint="give your CA as verify='...', a path or PEM text; do not switch checking off",
            )
        if isinstance(error, ssl.SSLError):
            return TlsError(
                "no TLS connection could be made",
                hint="does the server speak TLS 1.2 or newer there, and want a client certificate?",
            )
        error = error.__cause__ or error.__context__
    return None


def _headers(response: httpx.Response) -> Sequence[tuple[str, str]]:
    return [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in response.headers.raw
    ]
