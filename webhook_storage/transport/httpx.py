"""The default transport: httpx, for threads and for event loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import httpx

from webhook_storage import origin
from webhook_storage.contracts import (
    AsyncWireResponse,
    Transport,
    WireRequest,
    WireResponse,
)
from webhook_storage.errors import ConfigurationError
from webhook_storage.network import is_loopback, is_public
from webhook_storage.transport.guard import Guard, look_up, refuse_proxy
from webhook_storage.transport.httpx_messages import (
    Answer,
    AsyncAnswer,
    to_stream,
    translate,
    wants_proxy_login,
)
from webhook_storage.transport.loops import Loops
from webhook_storage.transport.pools import MOST_POOLS, Pool, Pools
from webhook_storage.transport.tls import equip, label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from webhook_storage.network import Address
    from webhook_storage.transport.guard import Resolve
    from webhook_storage.transport.tls import Cert, Given

__all__ = ["HttpxTransport", "translate"]

T = TypeVar("T")

_FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError)
"""What httpx raises, and what it lets through."""

_UNCONNECTED = (httpx.ConnectError, httpx.ConnectTimeout)
"""Nothing was sent, so another address can be tried."""


class HttpxTransport(Transport):
    """Sends by httpx, with connections that are kept and shared by threads.

    Proxies are those of the request, else those of the environment (``HTTPS_PROXY``, ``NO_PROXY``).
    Certificates are checked against certifi's list, or ``SSL_CERT_FILE``; a CA of the request is
    trusted as well. TLS 1.2 is the oldest version spoken. A proxy that speaks TLS is always
    verified, and shown no client certificate.

    In an event loop the headers of an answer are one piece of it, to which the timeout applies. In
    a thread httpx waits as long for each part of them, of at most 100 KiB together.

    Args:
        max_connections: Most connections at a time to all servers together.
        resolve: Looks up the addresses of a guarded request's host; the system by default.
        allows: Tells to which addresses a guarded request may go; to public ones by default.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})
    can_guard: ClassVar[bool] = True

    def __init__(
        self,
        *,
        max_connections: int = 100,
        resolve: Resolve = look_up,
        allows: Callable[[Address], bool] = is_public,
    ) -> None:
        """Connect to nothing yet."""
        self._max_connections = max_connections
        self._guard = Guard(resolve, allows)
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._environment: Mapping[str, str] | None = None
        self._contexts: dict[tuple[Given, Given], ssl.SSLContext] = {}
        self._pools = Pools[httpx.HTTPTransport]()
        self._loops = Loops(Pools[httpx.AsyncHTTPTransport], _close_all)

    def __getstate__(self) -> dict[str, Any]:
        """Keep the configuration; connections stay in their process."""
        return {"_max_connections": self._max_connections, "_guard": self._guard}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without connections."""
        self.__dict__.update(state)
        self._start()

    def send(self, request: WireRequest) -> WireResponse:
        """Send the request and return when status and headers are there."""
        if self._pid != os.getpid():
            self._start()  # after a fork the parent's sockets are not ours
        pools = self._pools
        pool = self._take(request, pools, httpx.HTTPTransport)
        try:
            for unused in pools.surplus():
                unused.close()
            try:
                response = self._open(pool.connections, request)
            except _FOREIGN as error:
                response = _answer_of_proxy(error)
        except BaseException:
            pools.give_back(pool)
            raise
        return Answer(response, partial(pools.give_back, pool))

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Do the same without blocking the event loop."""
        if self._pid != os.getpid():
            self._start()
        pools = await self._loops.of_running()
        pool = self._take(request, pools, httpx.AsyncHTTPTransport)
        try:
            for unused in pools.surplus():
                await unused.aclose()
            try:
                response = await self._aopen(pool.connections, request)
            except _FOREIGN as error:
                response = _answer_of_proxy(error)
        except BaseException:
            pools.give_back(pool)
            raise
        return AsyncAnswer(response, partial(pools.give_back, pool))

    def close(self) -> None:
        """Close the connections of threads; those of an event loop end with it."""
        for transport in self._pools.clear():
            transport.close()

    def _open(self, transport: httpx.HTTPTransport, request: WireRequest) -> httpx.Response:
        wire = _to_httpx(request)
        if not request.guarded:
            return transport.handle_request(wire)
        *others, last = _pinned(wire, self._guard.addresses(*_host_and_port(wire.url)))
        for attempt in others:
            with contextlib.suppress(*_UNCONNECTED):
                return transport.handle_request(attempt)
        return transport.handle_request(last)

    async def _aopen(
        self, transport: httpx.AsyncHTTPTransport, request: WireRequest
    ) -> httpx.Response:
        wire = _to_httpx(request)
        if not request.guarded:
            return await _in_time(transport, wire)
        *others, last = _pinned(wire, await self._guard.aaddresses(*_host_and_port(wire.url)))
        for attempt in others:
            with contextlib.suppress(*_UNCONNECTED):
                return await _in_time(transport, attempt)
        return await _in_time(transport, last)

    def _take(self, request: WireRequest, pools: Pools[T], make: Callable[..., T]) -> Pool[T]:
        """Return the connections that fit the request, to be given back."""
        route = self._route(request)
        return pools.take(route, lambda: make(**self._options(route, request)))

    def _options(self, route: _Route, request: WireRequest) -> dict[str, Any]:
        verify = request.verify
        # Nothing is loaded where TLS is not spoken.
        context = (
            self.context(verify=verify, cert=request.cert)
            if route.tls
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        # Of what is said of the server only whom to trust holds for a proxy.
        known = True if verify is False else verify
        of_proxy = partial(self.context, verify=known, cert=None)
        proxy = _proxy(route.proxy, of_proxy) if route.proxy else None
        limits = httpx.Limits(
            max_connections=self._max_connections, max_keepalive_connections=self._max_connections
        )
        return {"verify": context, "proxy": proxy, "limits": limits, "trust_env": False}

    def context(self, *, verify: bool | str, cert: Cert) -> ssl.SSLContext:
        """Return the TLS settings; they are kept by digests of what is secret."""
        key = label(verify), label(cert)
        context = self._contexts.get(key)
        if context is None:
            context = httpx.create_ssl_context(verify=verify is not False)
            equip(context, verify=verify, cert=cert)
            if len(self._contexts) >= MOST_POOLS:
                self._contexts.clear()
            self._contexts[key] = context
        return context

    def _route(self, request: WireRequest) -> _Route:
        """Return what the request's connections must share; of PEM texts only digests."""
        where = request.origin
        proxy = self.proxy_of(request, where)
        if request.guarded and proxy is not None:
            raise refuse_proxy()
        return _Route(
            tls=where.scheme == "https",
            verify=label(request.verify),
            cert=label(request.cert),
            proxy=proxy,
            # Connections that were made for one name must not serve another on its address.
            host=origin.host(request.url) if request.guarded else None,
        )

    def proxy_of(self, request: WireRequest, where: origin.Origin) -> str | None:
        """Return the proxy that a request goes through, as it is spelled."""
        proxies = request.proxies
        if proxies is None:
            proxies = self._environment
            if proxies is None:
                proxies = self._environment = urllib.request.getproxies()
            if proxies and (
                is_loopback(where.host) or urllib.request.proxy_bypass(origin.host(request.url))
            ):
                proxies = {}
        return (proxies.get(where.scheme) or proxies.get("all") or None) if proxies else None


class _Route(NamedTuple):
    """What connections must share to be shared."""

    tls: bool
    verify: Given
    cert: Given
    proxy: str | None
    host: str | None

    def __repr__(self) -> str:
        """Show nothing, a proxy may have a password."""
        return "<_Route>"


async def _close_all(pools: Pools[httpx.AsyncHTTPTransport]) -> None:
    for transport in pools.clear():
        await transport.aclose()


def _answer_of_proxy(error: Exception) -> httpx.Response:
    """Return the 407 of a proxy that makes no tunnel, which is an error to httpx.

    Raises:
        TransportError: Ours in place of any other error.
    """
    if not wants_proxy_login(error):
        raise translate(error) from None
    return httpx.Response(407, stream=httpx.ByteStream(b""))


def _to_httpx(request: WireRequest) -> httpx.Request:
    connect, wait = request.timeout
    headers = request.headers
    if not any(name.lower() == "host" for name, _ in headers):
        headers = [("Host", without_default_port(request.url)), *headers]
    return httpx.Request(
        request.method,
        request.url,
        headers=headers,
        stream=to_stream(request.body),
        extensions={"timeout": {"connect": connect, "read": wait, "write": wait, "pool": wait}},
    )


def without_default_port(url: str) -> str:
    """Return host and port as a Host header has them, and as signatures are made over them."""
    host = origin.host(url)
    return host.removesuffix(":443" if url.startswith("https:") else ":80")


def _proxy(url: str, context: Callable[[], ssl.SSLContext]) -> httpx.Proxy:
    """Return a proxy; one without a scheme, as environments often have it, speaks HTTP."""
    if "://" not in url:
        url = f"http://{url}"
    tls = context() if url.startswith("https:") else None
    scheme, proxy = url.partition(":")[0], None
    if scheme in {"http", "https"}:
        with contextlib.suppress(ValueError, httpx.InvalidURL):
            proxy = httpx.Proxy(url, ssl_context=tls)
    if proxy is None:
        message = "the address of a proxy is an URL of http or https"
        raise ConfigurationError(message, path="proxies", hint="http://proxy.example.com:3128")
    return proxy


def _host_and_port(url: httpx.URL) -> tuple[str, int]:
    """Return where httpx would connect to."""
    return url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)


def _pinned(request: httpx.Request, addresses: Sequence[str]) -> list[httpx.Request]:
    """Return the same request for each address, which share the time to connect.

    The certificate is still that of the name: httpx documents ``sni_hostname`` for just this.
    """
    timeout: dict[str, float] = request.extensions["timeout"]
    extensions = {
        "sni_hostname": request.url.raw_host.decode("ascii"),
        "timeout": {**timeout, "connect": timeout["connect"] / len(addresses)},
    }
    return [
        httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions=extensions,
        )
        for address in addresses
    ]


async def _in_time(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
    """Send a request; all headers of its answer come within the time for one piece of it."""
    seconds = request.extensions["timeout"]["read"]
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(None) as limit:

            async def trace(event: str, _: object) -> None:
                step, _, state = event.rpartition(".")
                if step == "http11.receive_response_headers" and not limit.expired():
                    limit.reschedule(clock() + seconds if state == "started" else None)

            request.extensions = {**request.extensions, "trace": trace}
            return await transport.handle_async_request(request)
    except TimeoutError:
        failure = httpx.ReadTimeout("the headers took too long")
    raise failure
