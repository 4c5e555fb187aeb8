"""Every exception of an HTTP library becomes one of ours."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import httpx
import pytest
import requests
import respx
import urllib3
from aiohttp import http_exceptions

from tests.leaks.canary import SECRETS, find
from tests.sending.support import HTTPX, caught, plain
from webhook_storage import errors as e
from webhook_storage.transport.aiohttp import translate as from_aiohttp
from webhook_storage.transport.httpx import translate as from_httpx
from webhook_storage.transport.requests import translate as from_requests

if TYPE_CHECKING:
    from types import ModuleType


HTTPX_MEANINGS = {
    "ConnectTimeout": e.ConnectError,
    "PoolTimeout": e.ConnectError,
    "ConnectError": e.ConnectError,
    "ProxyError": e.ConnectError,
    "TimeoutException": e.TimedOutError,
    "ReadTimeout": e.TimedOutError,
    "WriteTimeout": e.TimedOutError,
    "UnsupportedProtocol": e.MalformedRequestError,
    "LocalProtocolError": e.MalformedRequestError,
    "InvalidURL": e.MalformedRequestError,
}
"""All others mean that the exchange broke off."""

REQUESTS_MEANINGS = {
    "SSLError": e.TlsError,
    "ProxyError": e.ConnectError,
    "ConnectTimeout": e.ConnectError,
    "Timeout": e.TimedOutError,
    "ReadTimeout": e.TimedOutError,
    "InvalidURL": e.MalformedRequestError,
    "InvalidProxyURL": e.MalformedRequestError,
    "InvalidSchema": e.MalformedRequestError,
    "InvalidHeader": e.MalformedRequestError,
    "MissingSchema": e.MalformedRequestError,
}

URLLIB3_MEANINGS = {"SSLError": e.TlsError, "ReadTimeoutError": e.TimedOutError}

AIOHTTP_MEANINGS = {
    **dict.fromkeys(
        (
            "ClientConnectorDNSError",
            "ClientConnectorError",
            "ClientHttpProxyError",
            "ClientProxyConnectionError",
            "ConnectionTimeoutError",
            "UnixClientConnectorError",
        ),
        e.ConnectError,
    ),
    **dict.fromkeys(("ServerTimeoutError", "SocketTimeoutError"), e.TimedOutError),
    **dict.fromkeys(
        (
            "ClientConnectorCertificateError",
            "ClientConnectorSSLError",
            "ClientSSLError",
            "ServerFingerprintMismatch",
        ),
        e.TlsError,
    ),
    **dict.fromkeys(
        (
            "InvalidURL",
            "InvalidUrlClientError",
            "InvalidUrlRedirectClientError",
            "NonHttpUrlClientError",
            "NonHttpUrlRedirectClientError",
        ),
        e.MalformedRequestError,
    ),
}


def exceptions_of(module: ModuleType, base: type[Exception]) -> list[type[Exception]]:
    """Return every exception class that a library can raise."""
    classes = dict.fromkeys(thing for thing in vars(module).values() if isinstance(thing, type))
    return [each for each in classes if issubclass(each, base) and not issubclass(each, Warning)]


FOREIGN = [
    *((from_httpx, each, HTTPX_MEANINGS) for each in exceptions_of(httpx, Exception)),
    *(
        (from_requests, each, REQUESTS_MEANINGS)
        for each in exceptions_of(requests.exceptions, requests.RequestException)
    ),
    *(
        (from_requests, each, URLLIB3_MEANINGS)
        for each in exceptions_of(urllib3.exceptions, urllib3.exceptions.HTTPError)
    ),
    *(
        (from_aiohttp, each, AIOHTTP_MEANINGS)
        for module in (aiohttp, http_exceptions)
        for each in exceptions_of(module, Exception)
    ),
]


@pytest.mark.parametrize(
    ("translate", "foreign", "meanings"),
    FOREIGN,
    ids=[f"{each.__module__.partition('.')[0]}.{each.__name__}" for _, each, _ in FOREIGN],
)
def test_every_exception_is_translated(
    translate: object, foreign: type[Exception], meanings: dict[str, type[e.TransportError]]
) -> None:
    """Each exception of a library becomes one of ours, with none of its words."""
    assert callable(translate)
    error = foreign.__new__(foreign)
    error.args = ("".join(SECRETS.values()),)
    ours = translate(error)
    assert meanings.get(foreign.__name__, e.ProtocolError) is type(ours)
    assert [] == find(f"{ours} {ours.hint} {ours.args} {vars(ours)}")


def test_refused_connection_of_requests() -> None:
    """Requests has one class for what was never sent and for what broke later; we have two."""
    reason = urllib3.exceptions.NewConnectionError(None, "refused")  # type: ignore[arg-type]
    refused = urllib3.exceptions.MaxRetryError(None, "/", reason)  # type: ignore[arg-type]
    assert e.ConnectError is type(from_requests(requests.ConnectionError(refused)))
    assert e.ProtocolError is type(from_requests(requests.ConnectionError("aborted")))
    assert e.ProtocolError is type(from_requests(OSError("broken")))
    assert e.TlsError is type(from_requests(ssl.SSLError()))


@respx.mock
@pytest.mark.parametrize("name", sorted(HTTPX_MEANINGS))
async def test_exceptions_of_httpx_arrive(name: str) -> None:
    """What httpx raises reaches the caller as ours, from threads and from event loops."""
    foreign = getattr(httpx, name)
    error = foreign("s3cret") if name == "InvalidURL" else foreign("s3cret", request=None)
    respx.get("http://files.test/k").mock(side_effect=error)
    storage = plain("http://files.test")
    with HTTPX.sending():
        failures = [caught(partial(storage.get, "k"))]
        with pytest.raises(e.TransportError) as raised:
            await storage.aget("k")
    for failure in (*failures, raised.value):
        assert HTTPX_MEANINGS[name] is type(failure)
        assert "s3cret" not in str(failure)
