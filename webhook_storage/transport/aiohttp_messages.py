"""What aiohttp sends and receives, in the terms of this library: bodies, answers and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http import HttpProcessingError

from webhook_storage.errors import (
    ConnectError,
    MalformedRequestError,
    ProtocolError,
    TimedOutError,
    TlsError,
    TransportError,
)
from webhook_storage.transport.httpx_messages import tls_fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from aiohttp.abc import AbstractStreamWriter

    from webhook_storage.contracts import Body

FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
"""What aiohttp raises, and what it lets through."""

MOST_HEADERS = 100 * 1024
"""Bytes of the headers of an answer, as with httpx."""

_MEANINGS: tuple[tuple[type[Exception], type[TransportError], str], ...] = (
    (aiohttp.ConnectionTimeoutError, ConnectError, "no connection within the time allowed"),
    (TimeoutError, TimedOutError, "the server did not go on within the time allowed"),
    (aiohttp.ServerFingerprintMismatch, TlsError, "the server's certificate was refused"),
    (aiohttp.ClientSSLError, TlsError, "no TLS connection could be made"),
    (aiohttp.ClientConnectorError, ConnectError, "no connection could be made"),
    (aiohttp.ClientHttpProxyError, ConnectError, "the proxy refused the connection"),
    (aiohttp.InvalidURL, MalformedRequestError, "the URL is invalid"),
    (aiohttp.NonHttpUrlClientError, MalformedRequestError, "the URL has no scheme to send to"),
    (aiohttp.ClientPayloadError, ProtocolError, "the answer broke off"),
    (aiohttp.ClientResponseError, ProtocolError, "the answer broke off or was no HTTP"),
    (HttpProcessingError, ProtocolError, "the answer broke off or was no HTTP"),
    (aiohttp.ClientConnectionError, ProtocolError, "the connection broke"),
    (aiohttp.ClientError, ProtocolError, "the request failed"),
    (ValueError, MalformedRequestError, "the request could not be written"),
)
"""The first that fits tells what an exception of aiohttp means; a test enumerates them all."""

_SMALL = 1024 * 1024
"""A body of up to so many bytes is held in memory while it is sent, as with httpx."""

_PIECE = 64 * 1024


def translate(error: Exception) -> TransportError:
    """Return our error for one of aiohttp, with words of our own: its text may hold a secret."""
    tls = tls_fault(error.__cause__)  # which its own classes of such errors tell nothing of
    if tls is not None:
        return tls
    for foreign, ours, message in _MEANINGS:
        if isinstance(error, foreign):
            return ours(message)
    return ProtocolError("the connection broke")


class Watch:
    """The time in which the server has to go on.

    Args:
        seconds: For each piece.

    Attributes:
        limit: What ends the request; None before it has begun, and when its answer is there.
    """

    __slots__ = ("_seconds", "limit")

    def __init__(self, seconds: float) -> None:
        """Wait for nothing yet."""
        self._seconds = seconds
        self.limit: asyncio.Timeout | None = None

    def start(self) -> None:
        """Give it as much time again."""
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time() + self._seconds)

    def stop(self) -> None:
        """Wait for something else, for as long as that takes."""
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(None)


class Upload(aiohttp.Payload):
    """A body on its way; a large one is read by a thread.

    Args:
        body: What is sent.
        watch: The server has to take each piece in time.

    Attributes:
        failure: What the body raised.
        complete: Whether all of it was sent.
        ended: Set when no more of it will be sent.
    """

    def __init__(self, body: Body, watch: Watch) -> None:
        """Read a small one."""
        super().__init__(body)
        self.failure: BaseException | None = None
        self.complete = False
        self.ended = asyncio.Event()
        self._size = self._left = body.size
        self._watch = watch
        self._reading: asyncio.Future[bytes] | None = None
        self._in_memory = body.size <= _SMALL
        self._pieces = _pieces(body)
        if self._in_memory:
            content = b"".join(self._pieces)
            _check(body.size - len(content), last=True)
            self._pieces = _cut(content)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        """Refuse; nobody is to print it."""
        message = "a body is not text"
        raise TypeError(message)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all of it."""
        await self.write_with_length(writer, None)

    async def write_with_length(
        self,
        writer: AbstractStreamWriter,
        content_length: int | None,  # noqa: ARG002 - it is ours
    ) -> None:
        """Write all of it, and no byte more or less than was announced.

        The last piece is held back until the body has said that it is the last, and sound.
        """
        try:
            chunk = await self._next()
            while chunk:
                following = await self._next()
                self._watch.start()
                await self._write(writer, chunk, last=not following)
                chunk = following
            self.complete = True
        finally:
            self.ended.set()

    async def _write(self, writer: AbstractStreamWriter, chunk: bytes, *, last: bool) -> None:
        self.complete = last  # though an answer may cancel what is waited for
        try:
            await writer.write(chunk)
        except Exception:
            self.complete = False
            raise

    async def _next(self) -> bytes:
        """Return the next piece, nothing at the end."""
        try:
            chunk = await self._read()
            self._left -= len(chunk)
            _check(self._left, last=not chunk)
        except Exception as error:
            self.failure = error
            raise
        return chunk

    async def _read(self) -> bytes:
        if self._in_memory:
            return next(self._pieces, b"")
        self._watch.stop()
        reading = asyncio.to_thread(next, self._pieces, b"")
        self._reading = asyncio.ensure_future(reading)
        return await asyncio.shield(self._reading)

    @property
    def is_lost(self) -> bool:
        """Tell whether not all was sent of a body of which nobody else would notice that."""
        return self._in_memory and not self.complete

    async def settle(self) -> None:
        """Wait for the thread that reads, as the same body may be sent again."""
        if self._reading is not None:
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                self._reading.exception()  # nobody wants to know
        if isinstance(self._pieces, Generator):
            self._pieces.close()


def _pieces(body: Body) -> Iterator[bytes]:
    """Yield the pieces in which there is something: nothing stands for the end."""
    for piece in body.chunks():
        if piece:
            yield piece


def _check(left: int, *, last: bool) -> None:
    """Refuse a body that is not as long as it was announced."""
    if left < 0 or (last and left):
        raise MalformedRequestError("the body is not as long as was announced")


def _cut(content: bytes) -> Iterator[bytes]:
    """Yield pieces each of which the server has to take in time."""
    if len(content) <= _PIECE:
        return iter([content])
    return iter([content[start : start + _PIECE] for start in range(0, len(content), _PIECE)])


class AsyncAnswer:
    """An open answer.

    Args:
        response: What aiohttp made of it.
        wait: Seconds for each piece of its body.
        end: Ends what is left of the exchange.
        undo: What is to be done, once, when it is closed.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        wait: float,
        end: Callable[[], Awaitable[None]],
        undo: Callable[[], object],
    ) -> None:
        """Keep them."""
        self.status = response.status
        self.headers: Sequence[tuple[str, str]] = [
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in response.raw_headers
        ]
        self._response = response
        self._wait = wait
        self._end = end
        self._undo = undo

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the raw bytes of the body."""
        content, failure = self._response.content, None
        while failure is None and not content.at_eof():
            try:
                async with asyncio.timeout(self._wait):
                    chunk = await content.readany()
            except FOREIGN as error:
                failure = translate(error)
            else:
                yield chunk
        if failure is not None:
            raise failure

    async def aclose(self) -> None:
        """Give the connection back, or end it when something of the exchange is left."""
        undo, self._undo = self._undo, _nothing
        try:
            await self._end()
        finally:
            undo()


def _nothing() -> None:
    """Do nothing: it was closed before."""
