"""The default transport: httpx, for threads and for event loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import threading
import urllib.request
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import httpx

from webhook_storage.contracts import (
    AsyncWireResponse,
    Body,
    Transport,
    WireRequest,
    WireResponse,
)
from webhook_storage.errors import (
    ConfigurationError,
    ConnectError,
    MalformedRequestError,
    ProtocolError,
    TimedOutError,
    TlsError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

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


class HttpxTransport(Transport):
    """Sends by httpx, with connections that are kept and shared by threads.

    Proxies are those of the request, else those of the environment (``HTTPS_PROXY``, ``NO_PROXY``).
    Certificates are checked against certifi's list, or ``SSL_CERT_FILE``; a CA of the request is
    trusted as well. TLS 1.2 is the oldest version spoken.

    Args:
        max_connections: Most connections at a time to all servers together.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})

    def __init__(self, *, max_connections: int = 100) -> None:
        """Connect to nothing yet."""
        self._max_connections = max_connections
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._environment: Mapping[str, str] | None = None
        self._pools: dict[_Route, httpx.HTTPTransport] = {}
        self._async_pools: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[_Route, _AsyncPool]
        ] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        """Keep the configuration; connections stay in their process."""
        return {"_max_connections": self._max_connections}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without connections."""
        self.__dict__.update(state)
        self._start()

    def send(self, request: WireRequest) -> WireResponse:
        """Send the request and return when status and headers are there."""
        pool = self._pool(request)
        try:
            response = pool.handle_request(_to_httpx(request))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise translate(error) from None
        return _Answer(response)

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Do the same without blocking the event loop."""
        pool = await self._async_pool(request)
        try:
            response = await pool.handle_async_request(_to_httpx(request))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise translate(error) from None
        return _AsyncAnswer(response)

    def close(self) -> None:
        """Close the connections of threads; those of an event loop end with it."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def _pool(self, request: WireRequest) -> httpx.HTTPTransport:
        """Return the connections that fit the request's TLS settings and proxy."""
        if self._pid != os.getpid():
            self._start()  # after a fork the parent's sockets are not ours
        route = self._route(request)
        pool = self._pools.get(route)
        if pool is None:
            with self._lock:
                pool = self._pools.get(route)
                if pool is None:
                    pool = self._pools[route] = httpx.HTTPTransport(**self._options(route))
        return pool

    async def _async_pool(self, request: WireRequest) -> httpx.AsyncHTTPTransport:
        if self._pid != os.getpid():
            self._start()
        loop = asyncio.get_running_loop()
        pools = self._async_pools.setdefault(loop, {})
        route = self._route(request)
        entry = pools.get(route)
        if entry is None:
            entry = _AsyncPool(httpx.AsyncHTTPTransport(**self._options(route)), pools)
            pools[route] = entry
            await entry.close_with_loop()
        return entry.transport

    def _options(self, route: _Route) -> dict[str, Any]:
        context = _tls_context(route)
        proxy = _proxy(route.proxy, context) if route.proxy else None
        limits = httpx.Limits(
            max_connections=self._max_connections, max_keepalive_connections=self._max_connections
        )
        return {"verify": context, "proxy": proxy, "limits": limits, "trust_env": False}

    def _route(self, request: WireRequest) -> _Route:
        scheme, _, _ = request.url.partition("://")
        proxies = request.proxies
        if proxies is None:
            proxies = self._environment
            if proxies is None:
                proxies = self._environment = urllib.request.getproxies()
            if proxies and urllib.request.proxy_bypass(_host(request.url)):
                proxies = {}
        proxy = proxies.get(scheme) or proxies.get("all") if proxies else None
        return _Route(scheme == "https", request.verify, request.cert, proxy)


class _Route(NamedTuple):
    """What connections must share to be shared."""

    tls: bool
    verify: bool | str
    cert: str | tuple[str, str] | None
    proxy: str | None

    def __repr__(self) -> str:
        """Show nothing, a proxy may have a password."""
        return "<_Route>"


class _AsyncPool:
    """Connections of one event loop."""

    def __init__(
        self, transport: httpx.AsyncHTTPTransport, siblings: dict[_Route, _AsyncPool]
    ) -> None:
        self.transport = transport
        self._siblings = siblings
        self._closer = self._close_at_end()

    async def close_with_loop(self) -> None:
        """Have the connections closed when the loop ends.

        ``asyncio.run`` closes the asynchronous generators that are still open, and that is the only
        thing that it does for a library before it closes the loop.
        """
        await anext(self._closer)

    async def _close_at_end(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            # What the loop calls at its end refers to the loop, which would so be kept for ever.
            self._siblings.clear()
            await self.transport.aclose()


def _stream(body: Body | None) -> _Stream | httpx.ByteStream:
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


class _Answer:
    """An open answer."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Sequence[tuple[str, str]] = _headers(response)
        self._response = response

    def chunks(self) -> Iterator[bytes]:
        """Yield the raw bytes of the body."""
        stream = self._response.stream
        if not isinstance(stream, httpx.SyncByteStream):  # pragma: no cover - a promise of httpx
            raise ProtocolError("the body could not be read")
        try:
            yield from stream
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise translate(error) from None

    def close(self) -> None:
        """Give the connection back."""
        self._response.close()


class _AsyncAnswer:
    """An open answer in an event loop."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Sequence[tuple[str, str]] = _headers(response)
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the raw bytes of the body."""
        stream = self._response.stream
        if not isinstance(stream, httpx.AsyncByteStream):  # pragma: no cover - a promise of httpx
            raise ProtocolError("the body could not be read")
        try:
            async for chunk in stream:
                yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise translate(error) from None

    async def aclose(self) -> None:
        """Give the connection back."""
        await self._response.aclose()


def translate(error: Exception) -> TransportError:
    """Return our error for one of httpx, with words of our own: its text may hold a secret."""
    tls = _tls_fault(error)
    if tls is not None:
        return tls
    for foreign, ours, message in _MEANINGS:
        if isinstance(error, foreign):
            return ours(message)
    return ProtocolError("the request failed")


def _tls_fault(error: BaseException | None) -> TlsError | None:
    """Return the error for a failed TLS handshake, which httpx hides among its causes."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            fault = _CERTIFICATE_FAULTS.get(error.verify_code, "it could not be verified")
            return TlsError(
                f"the server's certificate was refused: {fault}",
                hint="give the path of your CA as verify='...'; do not switch checking off",
            )
        if isinstance(error, ssl.SSLError):
            return TlsError(
                "no TLS connection could be made",
                hint="does the server speak TLS 1.2 or newer there, and want a client certificate?",
            )
        error = error.__cause__ or error.__context__
    return None


def _to_httpx(request: WireRequest) -> httpx.Request:
    connect, wait = request.timeout
    headers = request.headers
    if not any(name.lower() == "host" for name, _ in headers):
        headers = [("Host", _without_default_port(request.url)), *headers]
    return httpx.Request(
        request.method,
        request.url,
        headers=headers,
        stream=_stream(request.body),
        extensions={"timeout": {"connect": connect, "read": wait, "write": wait, "pool": wait}},
    )


def _headers(response: httpx.Response) -> Sequence[tuple[str, str]]:
    return [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in response.headers.raw
    ]


def _host(url: str) -> str:
    """Return host and port of a URL."""
    # Not by urlsplit, which keeps what it has split.
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0]
    return authority.rpartition("@")[2]


def _without_default_port(url: str) -> str:
    """Return host and port as a Host header has them, and as signatures are made over them."""
    host = _host(url)
    return host.removesuffix(":443" if url.startswith("https:") else ":80")


def _proxy(url: str, context: ssl.SSLContext) -> httpx.Proxy:
    """Return a proxy; one without a scheme, as environments often have it, speaks HTTP."""
    if "://" not in url:
        url = f"http://{url}"
    tls = context if url.startswith("https:") else None
    scheme, proxy = url.partition(":")[0], None
    if scheme in {"http", "https"}:
        with contextlib.suppress(ValueError, httpx.InvalidURL):
            proxy = httpx.Proxy(url, ssl_context=tls)
    if proxy is None:
        message = "the address of a proxy is an URL of http or https"
        raise ConfigurationError(message, path="proxies", hint="http://proxy.example.com:3128")
    return proxy


def _tls_context(route: _Route) -> ssl.SSLContext:
    """Return the TLS settings of a route; nothing is loaded where TLS is not spoken."""
    through_tls_proxy = route.proxy is not None and route.proxy.startswith("https:")
    if not route.tls and not through_tls_proxy:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = httpx.create_ssl_context(verify=route.verify is not False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    failed = None
    try:
        if isinstance(route.verify, str):
            context.load_verify_locations(cafile=route.verify)
        if route.cert is not None:
            cert, key = (route.cert, None) if isinstance(route.cert, str) else route.cert
            # A password, though wrong, keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError):
        failed = "the CA bundle or the client certificate cannot be read"
    if failed:
        raise ConfigurationError(failed, hint="verify and cert are paths of PEM files")
    return context
