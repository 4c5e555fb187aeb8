"""What goes out beside what was described: nothing that was not asked for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.sending.raw import RawServer, always, reply
from tests.sending.support import ALL_MODES, Mode, caught, plain
from webhook_storage import Sender
from webhook_storage import errors as e
from webhook_storage.contracts import WireRequest
from webhook_storage.transport.httpx import _to_httpx
from webhook_storage.transport.requests import RequestsTransport

if TYPE_CHECKING:
    from tests.fleet.nginx import Nginx

BODY = bytes(range(256)) * 16
modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://files.test:443/a:80", "files.test"),
        ("http://files.test:80", "files.test"),
        ("https://files.test:80/", "files.test:80"),
        ("http://files.test:8080/", "files.test:8080"),
        ("https://[::1]:443/", "[::1]"),
    ],
)
def test_host_without_the_default_port(url: str, host: str) -> None:
    """The port that a scheme has anyway is left out, as signatures over the host expect."""
    assert host == _to_httpx(WireRequest(method="GET", url=url, headers=[])).headers["host"]


@modes
def test_headers(mode: Mode, server: RawServer) -> None:
    """What goes out is what was described, a few neutral headers, and nothing else."""
    with mode.sending():
        mode.call(
            plain(server.url, headers={"X-One": "1", "X-None": None, "Content-Length": "7"}),
            "put",
            BODY,
            "k",
        )
    expected = {
        "host": server.url.removeprefix("http://"),
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "webhook-storage",
        "content-type": "application/octet-stream",
        "content-length": str(len(BODY)),
        "x-one": "1",
    }
    assert expected == {
        name: value for name, value in server.last.headers.items() if name != "connection"
    }
    assert 1 == server.last.raw.lower().count(b"content-length")


@modes
def test_netrc_is_not_read(mode: Mode, server: RawServer) -> None:
    """A password for the host in ~/.netrc is not sent, with or without a header of ours."""
    netrc = Path("~/.netrc").expanduser()
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    with mode.sending({"TOKEN": "ours"}):
        mode.call(plain(server.url, headers={"Authorization": "Bearer ${TOKEN}"}), "get", "k")
        mode.call(plain(server.url), "get", "k")
    assert ["Bearer ours", None] == [call.headers.get("authorization") for call in server.calls]


@modes
def test_cookies_are_not_kept(mode: Mode, server: RawServer) -> None:
    """What a server sets as a cookie is not sent back to it."""
    server.answers = [always(reply("200 OK", Set_Cookie="session=theirs"))]
    with mode.sending():
        for cookies in ({}, {"mine": "1"}, {}):
            mode.call(plain(server.url, cookies=cookies), "get", "k")
    assert [None, "mine=1", None] == [call.headers.get("cookie") for call in server.calls]


def test_session_of_the_user(server: RawServer) -> None:
    """A session's adapters, headers, credentials and settings are used."""

    class Adapter(requests.adapters.HTTPAdapter):
        """A company's adapter."""

        def add_headers(self, request: requests.PreparedRequest, **_: object) -> None:
            """Add a header."""
            request.headers["X-Adapter"] = "company"

    session = requests.Session()
    session.mount("http://", Adapter())
    session.headers["X-Session"] = "company"
    session.auth = ("me", "session")
    with Sender(secrets=[], transport=RequestsTransport(session)):
        plain(server.url).put(BODY, "k")
    headers = server.last.headers
    assert ("company", "company") == (headers["x-adapter"], headers["x-session"])
    assert headers["authorization"].startswith("Basic ")


def test_session_with_its_own_authorities(nginx: Nginx) -> None:
    """A session's list of authorities and client certificate hold where a request has none."""
    session = requests.Session()
    with Sender(secrets=[], transport=RequestsTransport(session)):
        storage = plain(nginx.mtls_url)
        assert e.TlsError is type(caught(partial(storage.put, BODY, "s")))
        session.verify = str(nginx.pki.ca)
        assert e.ResponseError is type(caught(partial(storage.put, BODY, "s")))
        session.cert = (str(nginx.pki.client.cert), str(nginx.pki.client.key))
        storage.put(BODY, "s")
        assert BODY == storage.get("s")
