"""Which proxy a request goes through, and what that gets to see."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.leaks.canary import SECRETS, find
from tests.sending.raw import Call, RawServer, always, reply
from tests.sending.support import HTTPX, HTTPX_ASYNC, MODES, Mode, caught, plain
from webhook_storage import errors as e

if TYPE_CHECKING:
    from collections.abc import Iterator


BODY = bytes(range(256)) * 16
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


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
        assert b"by proxy" == mode.call(plain("http://files.test"), "get", "k")
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
            "http://files.test", proxies={"http": f"http://me:${{PROXY_PASSWORD}}@{host}"}
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


@modes
def test_proxy_that_wants_a_password(mode: Mode, proxy: RawServer) -> None:
    """A 407 says that it is the proxy's."""
    proxy.answers = [always(reply("407 X"))]
    with mode.sending():
        error = caught(
            partial(mode.call, plain("http://files.test", proxies={"http": proxy.url}), "get", "k")
        )
    assert e.AuthenticationError is type(error)
    assert "proxy" in str(getattr(error, "hint", ""))


@pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)
@pytest.mark.parametrize("url", ["socks9://h:1", "http://h:port", "://"])
def test_proxy_that_is_none(mode: Mode, url: str) -> None:
    """An address that is no proxy's is a configuration error."""
    with mode.sending():
        storage = plain("http://files.test", proxies={"http": url})
        assert e.ConfigurationError is type(caught(partial(mode.call, storage, "get", "k")))
