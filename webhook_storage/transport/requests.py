"""For those who bring a `requests.Session` with their company's adapters and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import ssl
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, ClassVar

from webhook_storage import origin
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
from webhook_storage.network import is_loopback
from webhook_storage.transport.cancellable import Cancellable
from webhook_storage.transport.pools import Pools
from webhook_storage.transport.tls import is_pem, label

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter

    from webhook_storage.transport.requests_tls import TlsAdapter, make_context
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

    Not used are its redirects, its netrc and, for a body that is fetched, its decoding. A CA of the
    request is trusted besides the session's. An adapter of your own class makes its TLS settings
    itself: it is given paths as they are, and PEM texts are refused.

    It sends no guarded request, as the session's adapters connect to what they like.

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
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._adapters = Pools[TlsAdapter]()

    def __getstate__(self) -> dict[str, Any]:
        """Keep the session; connections stay in their process."""
        return {"_session": self._session}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without connections."""
        self.__dict__.update(state)
        self._start()

    def send(self, request: WireRequest) -> WireResponse:
        """Send the request and return when status and headers are there."""
        try:
            with contextlib.ExitStack() as undo:
                return _Answer(self._send(request, undo), undo.pop_all())
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            if _is_proxy_login(error):
                return _Answer(_proxy_login(), contextlib.ExitStack())
            raise translate(error) from None
        except OSError:
            failure = ConfigurationError(
                "the CA bundle or the client certificate cannot be read",
                hint="verify and cert are paths of PEM files, or their text",
            )
        raise failure

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Do the same in a thread, since requests blocks.

        The thread cannot be cancelled with its task. So the body ends by an error, and an answer
        that comes nevertheless is closed.
        """
        sent = Cancellable()
        try:
            await asyncio.to_thread(lambda: sent.bring(self.send(sent.watched(request))))
        except asyncio.CancelledError:
            sent.cancel()
            raise
        return _AsyncAnswer(sent.answer)

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()
        for adapter in self._adapters.clear():
            adapter.close()

    def _send(self, request: WireRequest, undo: contextlib.ExitStack) -> requests.Response:
        session = self._session
        if self._pid != os.getpid():
            session.close()  # after a fork the parent's sockets are not ours
            self._start()
        if request.bare:
            session = _without_credentials(session)
        prepared = _prepare(session, request)
        settings: dict[str, Any] = {
            **session.merge_environment_settings(
                prepared.url or request.url,
                dict(request.proxies or {}),
                stream=True,
                # Without an answer of its own the session's setting holds.
                verify=False if request.verify is False else None,
                cert=None,
            )
        }
        if request.proxies is not None:
            settings["proxies"] = dict(request.proxies)
        elif is_loopback(origin.origin(request.url).host):
            settings["proxies"] = {}  # what is for this machine does not leave it
        own_tls = isinstance(request.verify, str) or request.cert is not None
        if own_tls and origin.origin(request.url).scheme == "https":
            session = self._with_tls(session, request, settings, undo)
        return session.send(prepared, allow_redirects=False, timeout=request.timeout, **settings)

    def _with_tls(
        self,
        session: requests.Session,
        request: WireRequest,
        settings: dict[str, Any],
        undo: contextlib.ExitStack,
    ) -> requests.Session:
        """Return a session that sends with the TLS settings of the request."""
        known, cert = settings["verify"], request.cert or settings["cert"]
        verify = request.verify if known is not False or isinstance(request.verify, str) else False
        adapter = session.get_adapter(request.url)
        if type(adapter) is not HTTPAdapter:
            if any(map(is_pem, (verify, *([cert] if isinstance(cert, str) else cert or ())))):
                message = "an adapter of your own class takes certificates as paths only"
                raise ConfigurationError(message, hint="give paths of PEM files, or send by httpx")
            settings.update(verify=known if verify is True else verify, cert=cert)
            return session
        pool = self._adapters.take(
            (id(adapter), known, label(verify), label(cert)),
            lambda: TlsAdapter(adapter, make_context(known=known, verify=verify, cert=cert)),
        )
        undo.callback(self._adapters.give_back, pool)
        for unused in self._adapters.surplus():
            unused.close()
        twin = object.__new__(type(session))
        vars(twin).update(vars(session), adapters={"https://": pool.connections})
        return twin


def _prepare(session: requests.Session, request: WireRequest) -> requests.PreparedRequest:
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
    return prepared


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

    def __init__(self, response: requests.Response, undo: contextlib.ExitStack) -> None:
        self.status = response.status_code
        self.headers = [(name.lower(), value) for name, value in response.raw.headers.items()]
        self._response = response
        self._undo = undo

    def chunks(self) -> Iterator[bytes]:
        """Yield the raw bytes of the body; urllib3 compares their number with the header."""
        try:
            yield from self._response.raw.stream(_CHUNK, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise translate(error) from None
        except ValueError:  # http.client, of a chunk of a negative length
            raise ProtocolError("the answer broke off or was no HTTP") from None

    def close(self) -> None:
        """Give the connection back."""
        with self._undo:
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
            hint="give your CA as verify='...', a path or PEM text; do not switch checking off",
        )
    if _is_connect(error):
        return ConnectError("no connection could be made")
    if _is_stalled(error):
        return TimedOutError("the server took no more within the time allowed")
    for foreign, ours, message in _MEANINGS:
        if isinstance(error, foreign):
            return ours(message)
    return ProtocolError("the connection broke")


def _is_proxy_login(error: Exception) -> bool:
    """Tell whether a proxy made no tunnel because it wants another credential."""
    if not isinstance(error, requests.exceptions.ProxyError):
        return False
    reason: Any = getattr(error.args[0], "reason", None) if error.args else None
    return str(getattr(reason, "original_error", "")).startswith("Tunnel connection failed: 407")


def _proxy_login() -> requests.Response:
    """Return what a proxy answered, of which requests keeps the status only."""
    response = requests.Response()
    response.status_code = 407
    response.raw = urllib3.HTTPResponse(io.BytesIO(), status=407, preload_content=False)
    return response


def _is_tls(error: Exception) -> bool:
    return isinstance(error, (requests.exceptions.SSLError, ssl.SSLError))


def _is_stalled(error: Exception) -> bool:
    """Tell whether sending took too long; requests calls that a broken connection."""
    reason = error.args[0] if error.args else None
    return isinstance(reason, urllib3.exceptions.ProtocolError) and any(
        isinstance(part, TimeoutError) for part in reason.args
    )


def _is_connect(error: Exception) -> bool:
    """Tell whether nothing was sent; requests has one class for that and for a later break."""
    if not isinstance(error, requests.exceptions.ConnectionError) or not error.args:
        return False
    reason: Any = getattr(error.args[0], "reason", None)
    return isinstance(reason, urllib3.exceptions.NewConnectionError)
