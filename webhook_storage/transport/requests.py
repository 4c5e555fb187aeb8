"""For those who bring a `requests.Session` with their company's adapters and certificates."""

from __future__ import annotations

import asyncio
import os
import ssl
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, ClassVar

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
    MissingExtraError,
    ProtocolError,
    TimedOutError,
    TlsError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

try:
    import requests
    import urllib3
except ImportError as _error:
    raise MissingExtraError("the requests transport needs requests", extra="requests") from _error

_MEANINGS: tuple[tuple[type[Exception], type[TransportError], str], ...] = (
    (requests.exceptions.SSLError, TlsError, "no TLS connection could be made"),
    (urllib3.exceptions.SSLError, TlsError, "no TLS connection could be made"),
    (requests.exceptions.ProxyError, ConnectError, "the proxy refused the connection"),
    (requests.exceptions.ConnectTimeout, ConnectError, "no connection within the time allowed"),
    (requests.exceptions.Timeout, TimedOutError, "the server did not go on in the time allowed"),
    (urllib3.exceptions.ReadTimeoutError, TimedOutError, "the server did not go on in time"),
    (requests.exceptions.ChunkedEncodingError, ProtocolError, "the answer broke off"),
    (urllib3.exceptions.ProtocolError, ProtocolError, "the answer broke off"),
    (requests.exceptions.InvalidURL, MalformedRequestError, "the URL is invalid"),
    (
        requests.exceptions.InvalidSchema,
        MalformedRequestError,
        "the URL has no scheme that can be sent to",
    ),
    (requests.exceptions.InvalidHeader, MalformedRequestError, "a header cannot be sent"),
    (requests.exceptions.MissingSchema, MalformedRequestError, "the URL has no scheme"),
    (requests.exceptions.RequestException, ProtocolError, "the request failed"),
    (urllib3.exceptions.HTTPError, ProtocolError, "the request failed"),
)
"""The first that fits tells what an exception of requests means; a test enumerates them all."""

_CHUNK = 256 * 1024


class RequestsTransport(Transport):
    """Sends by a session of requests: its adapters, certificates and headers are used.

    Not used are its redirects, its netrc and, for a body that is fetched, its decoding. A path as
    ``verify`` replaces the session's list of authorities, as always with requests.

    Args:
        session: The session; by default a new one.

    Raises:
        MissingExtraError: On import, when requests is not installed.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})

    def __init__(self, session: requests.Session | None = None) -> None:
        """Keep the session."""
        if session is None:
            session = requests.Session()
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._session = session
        self._pid = os.getpid()

    def send(self, request: WireRequest) -> WireResponse:
        """Send the request and return when status and headers are there."""
        try:
            return _Answer(self._send(request))
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise translate(error) from None
        except OSError:
            failure = ConfigurationError(
                "the CA bundle or the client certificate cannot be read",
                hint="verify and cert are paths of PEM files",
            )
        raise failure

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Do the same in a thread, since requests blocks."""
        return _AsyncAnswer(await asyncio.to_thread(self.send, request))

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()

    def _send(self, request: WireRequest) -> requests.Response:
        session = self._session
        if self._pid != os.getpid():
            session.close()  # after a fork the parent's sockets are not ours
            self._pid = os.getpid()
        if request.bare:
            session = _without_credentials(session)
        body = request.body
        prepared = session.prepare_request(
            requests.Request(
                request.method,
                request.url,
                headers=dict(request.headers),
                data=_Readable(body) if body is not None and body.size else None,
                # A given auth keeps requests from looking into ~/.netrc.
                auth=session.auth or _unchanged,
            )
        )
        prepared.register_hook("response", _hide_location)  # type: ignore[no-untyped-call]
        settings = session.merge_environment_settings(
            prepared.url or request.url,
            dict(request.proxies or {}),
            stream=True,
            # Without an answer of its own the session's setting holds.
            verify=None if request.verify is True else request.verify,
            cert=request.cert,
        )
        if request.proxies is not None:
            settings["proxies"] = dict(request.proxies)
        return session.send(prepared, allow_redirects=False, timeout=request.timeout, **settings)


def _without_credentials(session: requests.Session) -> requests.Session:
    """Return a session with the same adapters and nothing that identifies its owner."""
    bare = requests.Session()
    bare.adapters = session.adapters
    bare.verify, bare.trust_env = session.verify, session.trust_env
    return bare


def _unchanged(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared


def _hide_location(response: requests.Response, **_: object) -> None:
    """Keep requests from preparing to follow a redirect, for which it would read the body."""
    response.headers.pop("location", None)


class _Readable:
    """A body as requests wants a stream: with a length, and read piece by piece."""

    def __init__(self, body: Body) -> None:
        self._size = body.size
        self._chunks = body.chunks()
        self._rest = memoryview(b"")

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        if size < 0:
            size = len(self._rest)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)

    def __iter__(self) -> Iterator[bytes]:
        yield from iter(lambda: self.read(_CHUNK), b"")


class _Answer:
    """An open answer."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.headers = [(name.lower(), value) for name, value in response.raw.headers.items()]
        self._response = response

    def chunks(self) -> Iterator[bytes]:
        """Yield the raw bytes of the body; urllib3 compares their number with the header."""
        try:
            yield from self._response.raw.stream(_CHUNK, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise translate(error) from None

    def close(self) -> None:
        """Give the connection back."""
        self._response.close()


class _AsyncAnswer:
    """An open answer in an event loop."""

    def __init__(self, answer: WireResponse) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the raw bytes of the body, read in a thread."""
        chunks = self._answer.chunks()
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk

    async def aclose(self) -> None:
        """Give the connection back."""
        self._answer.close()


def translate(error: Exception) -> TransportError:
    """Return our error for one of requests, with words of our own: its text may hold a secret."""
    if _is_tls(error):
        return TlsError(
            "no TLS connection could be made, or the server's certificate was refused",
            hint="give the path of your CA as verify='...'; do not switch checking off",
        )
    if _is_connect(error):
        return ConnectError("no connection could be made")
    for foreign, ours, message in _MEANINGS:
        if isinstance(error, foreign):
            return ours(message)
    return ProtocolError("the connection broke")


def _is_tls(error: Exception) -> bool:
    return isinstance(error, (requests.exceptions.SSLError, ssl.SSLError))


def _is_connect(error: Exception) -> bool:
    """Tell whether nothing was sent; requests has one class for that and for a later break."""
    if not isinstance(error, requests.exceptions.ConnectionError) or not error.args:
        return False
    reason: Any = getattr(error.args[0], "reason", None)
    return isinstance(reason, urllib3.exceptions.NewConnectionError)
