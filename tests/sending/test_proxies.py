"""Which proxy a request goes through, and what that gets to see."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.leaks.canary import SECRETS, find
from tests.sending.raw import Call, RawServer, reply
from tests.sending.support import ALL_MODES, HTTPX, HTTPX_ASYNC, Mode, caught, plain
from webhook_storage import errors as e

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from webhook_storage import Webhook

AUTHORITY = trustme.CA()
BODY = bytes(range(256)) * 16
modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
httpx_modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)


def forward(call: Call) -> bytes:
    """Be a proxy that answers by itself, and lets CONNECT through to nowhere."""
    return reply("502 No") if call.method == "CONNECT" else reply("200 OK", b"by proxy")


@pytest.fixture
def proxy() -> Iterator[RawServer]:
    """A forward proxy."""
    with RawServer(forward).serving() as proxy:
        yield proxy


@modes
@pytest.mark.parametrize("spelling", ["{url}", "{host}"])
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_proxy_of_the_environment(
    mode: Mode, proxy: RawServer, monkeypatch: pytest.MonkeyPatch, variable: str, spelling: str
) -> None:
    """The usual variables name a proxy, with or without its scheme."""
    host = proxy.url.removeprefix("http://")
    monkeypatch.setenv(variable, spelling.format(url=proxy.url, host=host))
    with mode.sending():
        assert b"by proxy" == mode.call(
            plain("http://files.test", with_allow_http=True), "get", "k"
        )
    assert "http://files.test/k" == proxy.last.target
    assert "files.test" == proxy.last.headers["host"]


@modes
@pytest.mark.parametrize("spelling", ["localhost", "localhost:{port}", "*"])
def test_no_proxy(
    mode: Mode, proxy: RawServer, server: RawServer, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    """NO_PROXY excepts hosts, with or without a port."""
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", spelling.format(port=server.port))
    with mode.sending():
        assert BODY == mode.call(plain(f"http://localhost:{server.port}"), "get", "k")
    assert [] == proxy.calls


@modes
@pytest.mark.parametrize("proxies", [{}, {"https": "http://127.0.0.1:1"}])
def test_given_proxies_are_all(
    mode: Mode,
    proxy: RawServer,
    server: RawServer,
    monkeypatch: pytest.MonkeyPatch,
    proxies: dict[str, str],
) -> None:
    """Proxies of the request take the place of those of the environment."""
    monkeypatch.setenv("http_proxy", proxy.url)
    with mode.sending():
        assert BODY == mode.call(plain(server.url, proxies=proxies), "get", "k")
    assert [] == proxy.calls


@modes
def test_proxy_with_a_password(mode: Mode, proxy: RawServer) -> None:
    """A password in a proxy's URL is encoded there, so that it leads to no other host."""
    host = proxy.url.removeprefix("http://")
    with mode.sending({"PROXY_PASSWORD": "p@ss/wo:rd#?"}):
        storage = plain(
            "http://files.test",
            proxies={"http": f"http://me:${{PROXY_PASSWORD}}@{host}"},
            with_allow_http=True,
        )
        assert b"by proxy" == mode.call(storage, "get", "k")
    assert "Basic bWU6cEBzcy93bzpyZCM/" == proxy.last.headers["proxy-authorization"]


@modes
def test_proxy_that_refuses_a_tunnel(mode: Mode, proxy: RawServer) -> None:
    """A tunnel that is not made is a failed connection; the proxy sees no header of ours."""
    with mode.sending(SECRETS):
        storage = plain(
            "https://files.test", proxies={"https": proxy.url}, headers={"X": "${MIXED}"}
        )
        error = caught(partial(mode.call, storage, "get", "k"))
    assert e.ConnectError is type(error)
    assert ("CONNECT", "files.test:443") == (proxy.last.method, proxy.last.target)
    assert [] == find(proxy.last.raw)


def locked(call: Call) -> bytes:
    """Be a proxy for those who know the password, which tunnels to nowhere."""
    login = base64.b64encode(b"me:p@ss/wo:rd#?").decode()
    if call.headers.get("proxy-authorization") != f"Basic {login}":
        return reply("407 Proxy Authentication Required", Proxy_Authenticate="Basic")
    return forward(call)


@modes
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("login", ["", "${USER}:${PROXY_PASSWORD}@"])
def test_proxy_that_wants_a_password(mode: Mode, proxy: RawServer, scheme: str, login: str) -> None:
    """With the wrong password, or none, the error says that it is the proxy's, at once."""
    proxy.answers = [locked]
    url = proxy.url.replace("://", f"://{login}")
    with mode.sending({"USER": "me", "PROXY_PASSWORD": "wrong"}, attempts=3):
        storage = plain(f"{scheme}://files.test", proxies={scheme: url}, with_allow_http=True)
        error = caught(partial(mode.call, storage, "get", "k"))
    assert (e.AuthenticationError, 407) == (type(error), getattr(error, "status", 0))
    assert "proxy" in str(getattr(error, "hint", ""))
    assert 1 == len(proxy.calls)


@modes
@pytest.mark.parametrize("url", ["http://${USER}:${PROXY_PASSWORD}@{host}", "${PROXY_URL}"])
def test_proxy_by_placeholders(mode: Mode, proxy: RawServer, url: str) -> None:
    """User, password, or the whole address come from secrets, for both schemes."""
    proxy.answers = [locked]
    host = proxy.url.removeprefix("http://")
    secrets = {
        "USER": "me",
        "PROXY_PASSWORD": "p@ss/wo:rd#?",
        "PROXY_URL": f"http://me:p%40ss%2Fwo%3Ard%23%3F@{host}",
    }
    given = url.replace("{host}", host)
    with mode.sending(secrets):
        storage = plain("http://files.test", proxies={"http": given}, with_allow_http=True)
        assert b"by proxy" == mode.call(storage, "get", "k")
        storage = plain("https://files.test", proxies={"https": given})
        assert e.ConnectError is type(caught(partial(mode.call, storage, "get", "k")))
    assert ["GET", "CONNECT"] == [call.method for call in proxy.calls]


@modes
def test_storages_have_proxies_of_their_own(
    mode: Mode, proxy: RawServer, server: RawServer
) -> None:
    """Of two storages in a process each goes its own way."""
    with mode.sending():
        through = plain(server.url, proxies={"http": proxy.url})
        directly = plain(server.url, proxies={})
        for _ in range(2):
            assert b"by proxy" == mode.call(through, "get", "k")
            assert BODY == mode.call(directly, "get", "k")
    assert [2, 2] == [len(proxy.calls), len(server.calls)]


def open_connections(server: RawServer) -> int:
    """Return how many connections this process has to a server."""
    peers = []
    for thing in gc.get_objects():
        if isinstance(thing, socket.socket) and thing.family == socket.AF_INET:
            with contextlib.suppress(OSError):  # it is closed, or listens
                peers.append(thing.getpeername())
    return peers.count(("127.0.0.1", server.port))


@httpx_modes
def test_passwords_that_change(mode: Mode, proxy: RawServer) -> None:
    """However often a proxy's password changes, few connections are kept."""
    host = proxy.url.removeprefix("http://")
    open_at_end = []

    async def many(storages: list[Webhook]) -> None:
        for storage in storages:
            assert b"by proxy" == await storage.aget("k")
        open_at_end.append(open_connections(proxy))

    with mode.sending():
        storages = [
            plain(
                "http://files.test",
                proxies={"http": f"http://me:{number}@{host}"},
                with_allow_http=True,
            )
            for number in range(40)
        ]
        if mode.is_async:
            asyncio.run(many(storages))
        else:
            assert [b"by proxy"] * 40 == [storage.get("k") for storage in storages]
            open_at_end.append(open_connections(proxy))
    assert [16] == open_at_end
    assert 40 == len(proxy.calls)


@httpx_modes
@pytest.mark.parametrize("url", ["socks9://h:1", "http://h:port", "://"])
def test_proxy_that_is_none(mode: Mode, url: str) -> None:
    """An address that is no proxy's is a configuration error."""
    with mode.sending():
        storage = plain("http://files.test", proxies={"http": url}, with_allow_http=True)
        assert e.ConfigurationError is type(caught(partial(mode.call, storage, "get", "k")))


@pytest.fixture
def tls_proxy() -> Iterator[RawServer]:
    """A proxy that speaks TLS, and breaks off when it is shown a certificate."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(tls)
    trustme.CA().configure_trust(tls)  # which has made no certificate
    tls.verify_mode = ssl.CERT_OPTIONAL
    with RawServer(forward, tls=tls).serving() as proxy:
        yield proxy


@pytest.fixture
def own(tmp_path: Path) -> dict[str, Any]:
    """The authority of the proxy, and a client certificate for the server behind it."""
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    client = AUTHORITY.issue_cert("me@client.test")
    AUTHORITY.cert_pem.write_to_path(str(ca))
    client.cert_chain_pems[0].write_to_path(str(cert))
    client.private_key_pem.write_to_path(str(key))
    return {"verify": str(ca), "cert": (str(cert), str(key))}


@httpx_modes
def test_tls_proxy_is_shown_no_certificate(
    mode: Mode, tls_proxy: RawServer, own: dict[str, Any]
) -> None:
    """The client certificate is for the server, which without a proxy gets to see it."""
    url = f"https://localhost:{tls_proxy.port}"
    with mode.sending():
        direct = plain(url, proxies={}, **own)
        assert isinstance(caught(partial(mode.call, direct, "get", "k")), e.WebhookStorageError)
        assert [] == tls_proxy.calls
        storage = plain("https://files.test", proxies={"https": url}, **own)
        assert e.ConnectError is type(caught(partial(mode.call, storage, "get", "k")))
        storage = plain("http://files.test", proxies={"http": url}, with_allow_http=True, **own)
        assert b"by proxy" == mode.call(storage, "get", "k")
    assert ["CONNECT", "GET"] == [call.method for call in tls_proxy.calls]


@httpx_modes
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_tls_proxy_is_always_verified(
    mode: Mode, tls_proxy: RawServer, own: dict[str, Any], scheme: str
) -> None:
    """Who does not look whom the server is still gives a password to the right proxy only."""
    proxies = {scheme: f"https://me:word@localhost:{tls_proxy.port}"}
    with mode.sending():
        for verify in (False, True, own["verify"]):
            assert [] == tls_proxy.calls
            storage = plain(
                f"{scheme}://files.test", proxies=proxies, verify=verify, with_allow_http=True
            )
            with contextlib.suppress(e.TransportError):
                mode.call(storage, "get", "k")
    assert "Basic bWU6d29yZA==" == tls_proxy.last.headers["proxy-authorization"]
