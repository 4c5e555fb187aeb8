"""One request on its way by aiohttp, which is told as little of it as it needs."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, cast

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from webhook_storage.errors import ConnectError, MalformedRequestError, ProtocolError
from webhook_storage.transport.aiohttp_messages import (
    FOREIGN,
    MOST_HEADERS,
    Upload,
    Watch,
    translate,
)
from webhook_storage.transport.httpx import without_default_port

if TYPE_CHECKING:
    import ssl

    from aiohttp.connector import Connection

    from webhook_storage.contracts import WireRequest

_TARGET = re.compile(r"[^/?#]*//[^/?#]*([!-\"$->@-~]*)(\?[!-\"$-~]*)?(?:#.*)?", re.DOTALL)
"""Path and query of an URL that is ready to be sent."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")
_ERRORS = 300


class Request(aiohttp.ClientRequest):
    """A request of which aiohttp gets to know what is in it when it has a connection."""

    call: Call

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send it as it was described, and nothing else."""
        if conn.protocol is None or conn.protocol.should_close:
            # Something came after the last answer: what comes next would be taken for the next.
            raise _FailedError(ConnectError("the kept connection was no longer good"))
        self.headers = CIMultiDict(self.call.headers)
        self.url = cast("URL", self.call.target)
        self.call.transport = conn.transport
        self.call.watch.start()
        return await super().send(conn)


class _Target:
    """Path and query of an URL, where aiohttp looks for them. Messages do not show it."""

    __slots__ = ("raw_path_qs",)

    def __init__(self, url: str) -> None:
        found = _TARGET.fullmatch(url)
        if found is None:
            raise MalformedRequestError("the URL is invalid")
        self.raw_path_qs = (found[1] or "/") + (found[2] or "")

    def __str__(self) -> str:
        """Show nothing."""
        return "<target>"

    __repr__ = __str__


class _FailedError(Exception):
    """Carries an error of ours through aiohttp, which sends again after some of its own."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class Call:
    """One request on its way.

    aiohttp is given the origin and no header before there is a connection: it shows both in its
    messages, and keeps the last URLs that it has parsed.

    Args:
        request: What is to be sent.
        tls: The settings, where TLS is spoken.

    Attributes:
        headers: What is sent, in order.
        target: Path and query.
        upload: The body, None when there is nothing in it.
        transport: The connection, once there is one.
        unreadable: Whether aiohttp made nothing of the answer.
        watch: How long the server may take.
    """

    __slots__ = (
        "_request", "_response", "_tls", "headers", "target", "transport", "unreadable", "upload",
        "watch",
    )  # fmt: skip

    def __init__(self, request: WireRequest, tls: ssl.SSLContext | None) -> None:
        """Note what is to be sent."""
        self._tls = tls
        self._request = request
        self._response: aiohttp.ClientResponse | None = None
        self.transport: asyncio.Transport | None = None
        self.unreadable = False
        self.headers = _headers(request)
        self.target = _Target(request.url)
        self.watch = Watch(request.timeout[1])
        upload = None if request.body is None else Upload(request.body, self.watch)
        self.upload = upload if upload is not None and upload.size else None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send once. aiohttp would send again by itself, which is the sender's business."""
        cast("Request", request).call = self
        try:
            return await handler(request)
        except FOREIGN as error:
            self.unreadable = isinstance(error, aiohttp.ClientResponseError)
            failure = _FailedError(translate(error))
        raise failure

    async def open(self, session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        """Send it and return the answer."""
        try:
            return await self._open(session)
        except BaseException:
            await self.end()
            raise

    async def end(self) -> None:
        """End what is left of it; a connection that is merely closed would send the rest."""
        response, upload = self._response, self.upload
        whole = response is not None and response.closed and (upload is None or upload.complete)
        if response is not None:
            response.close()
        if self.transport is not None and not whole:
            self.transport.abort()
        if upload is not None:
            await upload.settle()

    async def _open(self, session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        failure: BaseException | None = None
        try:
            async with asyncio.timeout(self._request.timeout[0]) as self.watch.limit:
                response = await self._exchange(session)
        except _FailedError as error:
            failure = error.error
        except TimeoutError as error:
            failure = translate(error if self.transport else aiohttp.ConnectionTimeoutError())
        except FOREIGN as error:
            failure = translate(error)
        finally:
            self.watch.limit = None
        if failure is None:
            return response
        # Where the body broke off, the connection did so too, by aiohttp.
        raise (self.upload and self.upload.failure) or failure

    async def _exchange(self, session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        """Send it; an error is an answer though not all was sent, a success is none before."""
        self._response = response = await session.request(
            self._request.method,
            _url(self._request),
            data=self.upload,
            ssl=self._tls or True,
            allow_redirects=False,
            middlewares=(self,),
        )
        if self.upload is not None and response.status < _ERRORS:
            await self.upload.ended.wait()
            if self.upload.failure is not None or self.upload.is_lost:
                early = ProtocolError("the answer came before all was sent")
                raise _FailedError(self.upload.failure or early)
        if sum(len(name) + len(value) for name, value in response.raw_headers) > MOST_HEADERS:
            raise _FailedError(ProtocolError("the answer has too many headers"))
        return response


def _url(request: WireRequest) -> URL:
    """Return where to connect to."""
    scheme, host, port = request.origin
    return URL(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/", encoded=True)


def _headers(request: WireRequest) -> list[tuple[str, str]]:
    """Return the headers as they are sent."""
    headers = request.headers
    for name, value in headers:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise MalformedRequestError("the request could not be written")
    given = {name.lower() for name, _ in headers}
    if "host" not in given:
        headers = [("Host", without_default_port(request.url)), *headers]
    if request.body is not None and "content-length" not in given:
        headers = [*headers, ("Content-Length", str(request.body.size))]
    return headers
