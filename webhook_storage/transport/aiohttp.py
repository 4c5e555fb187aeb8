"""A fast transport for event loops: aiohttp, for those who store and fetch many small artifacts."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any, ClassVar

from webhook_storage.contracts import (
    AsyncWireResponse,
    Transport,
    WireRequest,
    WireResponse,
)
from webhook_storage.errors import ConnectError, MissingExtraError
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage.transport.loops import Loops

try:
    import aiohttp

    from webhook_storage.transport.aiohttp_messages import MOST_HEADERS, AsyncAnswer, translate
    from webhook_storage.transport.aiohttp_request import Call, Request
except ImportError as _error:
    raise MissingExtraError("the fast transport needs aiohttp", extra="fast") from _error

__all__ = ["AiohttpTransport", "translate"]

_KEPT = 5.0
"""Seconds for which an idle connection is kept, as with httpx."""


class AiohttpTransport(Transport):
    """Sends by aiohttp in event loops; a small request takes a fraction of the time.

    All that is not such a request is handed to another transport: what a thread sends, what goes
    through a proxy, and what may go to public addresses only. Certificates, timeouts and the limits
    of an answer are the same with both.

    Args:
        others: Sends what this one does not; by default one of its own.
        max_connections: Most requests at a time in one event loop.

    Raises:
        MissingExtraError: On import, when aiohttp is not installed.

    Example:
        >>> AiohttpTransport(max_connections=500)
        <AiohttpTransport>
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})
    can_guard: ClassVar[bool] = True

    def __init__(self, others: HttpxTransport | None = None, *, max_connections: int = 100) -> None:
        """Connect to nothing yet."""
        self._others = others or HttpxTransport(max_connections=max_connections)
        self._max_connections = max_connections
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._loops = Loops(partial(_Loop, self._max_connections), _Loop.close)

    def __repr__(self) -> str:
        """Show nothing of what was sent."""
        return "<AiohttpTransport>"

    def __getstate__(self) -> dict[str, Any]:
        """Keep the configuration; connections stay in their process."""
        return {"_others": self._others, "_max_connections": self._max_connections}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without connections."""
        self.__dict__.update(state)
        self._start()

    def send(self, request: WireRequest) -> WireResponse:
        """Send the request by the other transport."""
        return self._others.send(request)

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Send the request and return when status and headers are there."""
        others, where = self._others, request.origin
        if request.guarded or not where.host or others.proxy_of(request, where) is not None:
            return await others.asend(request)
        tls = None
        if where.scheme == "https":
            tls = others.context(verify=request.verify, cert=request.cert)
        call, wait = Call(request, tls), request.timeout[1]
        if self._pid != os.getpid():  # after a fork the parent's sockets are not ours
            for theirs in self._loops:
                theirs.session.detach()
            self._start()
        loop = await self._loops.of_running()
        await loop.turn(wait)
        try:
            response = await call.open(loop.session)
        except BaseException:
            loop.turns.release()
            if not (call.unreadable and request.method == "HEAD"):
                raise
        else:
            return AsyncAnswer(response, wait, call.end, loop.turns.release)
        # Some servers send a body after all, of which aiohttp makes no answer.
        return await others.asend(request)

    def close(self) -> None:
        """Close the connections of threads; those of an event loop end with it."""
        self._others.close()


class _Loop:
    """What requests of one event loop share.

    Attributes:
        session: Keeps the connections.
        turns: As many as there may be requests at a time.
    """

    def __init__(self, most: int) -> None:
        self.turns = asyncio.Semaphore(most)
        self.session = aiohttp.ClientSession(
            connector=_Connector(limit=0, keepalive_timeout=_KEPT),
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=Request,
            skip_auto_headers=["Content-Type"],
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
            max_line_size=MOST_HEADERS,
            max_field_size=MOST_HEADERS,
        )

    async def turn(self, seconds: float) -> None:
        """Wait until one more request may be sent."""
        if not self.turns.locked():
            await self.turns.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await self.turns.acquire()
        except TimeoutError:
            failure = ConnectError("all connections are in use")
        else:
            return
        raise failure

    async def close(self) -> None:
        """Close the connections."""
        await self.session.close()


class _Connector(aiohttp.TCPConnector):
    """Connections that nobody closes when they are forgotten.

    That happens in a forked child only, where they are the parent's: to close them would take them
    out of what the parent's loop waits for.
    """

    def __del__(self, _warnings: Any = None) -> None:
        """Do nothing."""
