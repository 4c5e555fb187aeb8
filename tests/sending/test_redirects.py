"""Redirects: nothing is lost on the way, and nothing of ours reaches another host."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.leaks.canary import SECRETS, find
from tests.sending.raw import Answer, Call, RawServer, always, reply
from tests.sending.support import ALL_MODES, Mode, caught, plain
from webhook_storage.errors import RedirectRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.nginx import Nginx

BODY = bytes(range(256)) * 8
SECRET: dict[str, Any] = {
    "headers": {"X-Api-Key": "${MIXED}", "Authorization": "Bearer ${PLAIN}"},
    "params": {"key": "${MIXED}"},
    "cookies": {"session": "${PLAIN}"},
}
modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
status = pytest.mark.parametrize("status", [301, 302, 303, 307, 308])


def to(location: str, status: int = 302, **headers: str) -> Answer:
    """Redirect to a place."""
    return always(reply(f"{status} Elsewhere", b"moved", Location=location, **headers))


@pytest.fixture
def other() -> Iterator[RawServer]:
    """Another origin."""
    with RawServer(always(reply("200 OK", BODY))).serving() as server:
        yield server


@modes
@pytest.mark.parametrize("status", [301, 302, 303])
def test_store_is_not_turned_into_a_fetch(mode: Mode, status: int) -> None:
    """A redirect that would lose the artifact is an error, after one request."""
    with RawServer(to("/landing", status), always(reply())).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "put", BODY, "a"))
    assert (RedirectRefusedError, status) == (type(error), getattr(error, "status", 0))
    assert ["PUT"] == [call.method for call in server.calls]
    told = "it may be stored" if status == 303 else "nothing was stored"
    assert told in str(error)


@modes
@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("store", ["PUT", "POST"])
def test_same_origin_gets_the_same_request(mode: Mode, status: int, store: str) -> None:
    """On the same origin method, headers and body are sent again."""
    with (
        RawServer(to("/moved?x=1#top", status), always(reply())).serving() as server,
        mode.sending(SECRETS),
    ):
        mode.call(plain(server.url, store, **SECRET), "put", BODY, "a")
    first, second = server.calls
    assert (store, "/moved?x=1", BODY) == (second.method, second.target, second.body)
    assert first.headers == second.headers


@modes
@pytest.mark.parametrize(
    "location", ["//{host}/moved", "http://me:pw@{host}/moved", "HTTP://{host}/moved"]
)
def test_spellings_of_the_same_origin(mode: Mode, location: str) -> None:
    """However the same origin is spelled, the request goes there, with no user in its Host."""
    with RawServer(always(reply())).serving() as server, mode.sending():
        host = server.url.removeprefix("http://")
        server.answers.insert(0, to(location.format(host=host), 307))
        mode.call(plain(server.url), "put", BODY, "a")
    assert ("/moved", host) == (server.last.target, server.last.headers["host"])


@modes
@status
@pytest.mark.parametrize("operation", ["put", "get"])
def test_other_host_gets_nothing(mode: Mode, other: RawServer, status: int, operation: str) -> None:
    """Without leave another host is not even connected to."""
    with RawServer(to(f"{other.url}/stolen", status)).serving() as server, mode.sending(SECRETS):
        arguments = (BODY, "a") if operation == "put" else ("a",)
        error = caught(partial(mode.call, plain(server.url, **SECRET), operation, *arguments))
    assert RedirectRefusedError is type(error)
    assert 0 == other.connections


@modes
@status
def test_other_host_gets_a_bare_fetch(mode: Mode, other: RawServer, status: int) -> None:
    """With leave another host gets a GET, and no header, cookie, query or secret of ours."""
    with RawServer(to(f"{other.url}/there?a=b", status)).serving() as server, mode.sending(SECRETS):
        storage = plain(server.url, with_redirect_hosts=["127.0.0.*"], **SECRET)
        assert BODY == mode.call(storage, "get", "a")
    (call,) = other.calls
    assert ("GET", "/there?a=b", b"") == (call.method, call.target, call.body)
    assert [] == find(call.raw)
    assert {"host", "accept", "accept-encoding", "user-agent"} >= call.headers.keys() - {
        "connection"
    }


@modes
def test_other_host_leads_back_without_secrets(mode: Mode, other: RawServer) -> None:
    """What was left behind is not taken up again, also not where it came from."""
    with RawServer(to(f"{other.url}/there"), always(reply())).serving() as server:
        other.answers = [to(f"{server.url}/back")]
        with mode.sending(SECRETS):
            storage = plain(server.url, with_redirect_hosts=["127.0.0.1"], **SECRET)
            assert b"" == mode.call(storage, "get", "a")
    assert [] == find(server.last.raw)


@modes
def test_leave_is_for_fetching_only(mode: Mode, other: RawServer) -> None:
    """An artifact goes to no other host, whoever is named."""
    with RawServer(to(other.url, 307)).serving() as server, mode.sending():
        storage = plain(server.url, with_redirect_hosts=["*"])
        error = caught(partial(mode.call, storage, "put", BODY, "a"))
    assert RedirectRefusedError is type(error)
    assert 0 == other.connections


@modes
@pytest.mark.parametrize("pattern", ["127.0.0.2", "*.example.com", "127.0.0.1:1", ""])
def test_another_name_is_no_leave(mode: Mode, other: RawServer, pattern: str) -> None:
    """A pattern has to match the host."""
    with RawServer(to(other.url)).serving() as server, mode.sending():
        storage = plain(server.url, with_redirect_hosts=[pattern])
        error = caught(partial(mode.call, storage, "get", "a"))
    assert RedirectRefusedError is type(error)
    assert 0 == other.connections


@modes
def test_https_stays_https(mode: Mode, nginx: Nginx) -> None:
    """What was protected is not sent on in the open."""
    url = nginx.redirect(302, f"{nginx.url}/open/a", tls=True)
    with mode.sending():
        storage = plain(nginx.tls_url, verify=str(nginx.pki.ca), with_redirect_hosts=["*"])
        storage.get_flow_request_kwargs["url"] = url
        error = caught(partial(mode.call, storage, "get"))
    assert RedirectRefusedError is type(error)
    assert "unprotected" in str(error)


@modes
def test_circle(mode: Mode) -> None:
    """A server that sends in a circle is left after six requests."""
    with RawServer(to("/a")).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "get", "a"))
    assert RedirectRefusedError is type(error)
    assert 6 == len(server.calls)


@modes
def test_switched_off(mode: Mode) -> None:
    """Without allow_redirects none is followed."""
    with RawServer(to("/b"), always(reply())).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url, allow_redirects=False), "get", "a"))
    assert RedirectRefusedError is type(error)
    assert 1 == len(server.calls)


@modes
def test_forgotten_slash(mode: Mode) -> None:
    """A redirect to the same path with a slash says what to mend."""
    with RawServer(to("/a/", 301)).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "put", BODY, "a"))
    assert "end the URL's path with a slash" == getattr(error, "hint", None)


@modes
def test_local_files_are_no_target(mode: Mode, tmp_path: Path) -> None:
    """No server makes us read a file of our own, whatever hosts are allowed."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"of this machine")
    for location in (f"file://localhost{secret}", f"file://{secret}", "gopher://127.0.0.1/"):
        with RawServer(to(location)).serving() as server, mode.sending():
            storage = plain(server.url, with_redirect_hosts=["*"])
            error = caught(partial(mode.call, storage, "get", "a"))
        assert RedirectRefusedError is type(error)


@modes
@pytest.mark.parametrize(
    "location",
    ["http://[", "http://", "http:///x", "http://a:b/", "http://a:0/", "http://a:99999/"],
)
def test_nonsense(mode: Mode, location: str) -> None:
    """What is no URL is refused as a redirect, not reported as a fault of ours."""
    with RawServer(to(location, 307)).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "get", "a"))
    assert RedirectRefusedError is type(error)


@modes
def test_redirect_without_a_place(mode: Mode) -> None:
    """A 302 without Location is an error and no success."""
    with RawServer(always(reply("302 Found", b"?"))).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "get", "a"))
    assert (RedirectRefusedError, 302) == (type(error), getattr(error, "status", 0))


@modes
def test_long_body_of_a_redirect_is_not_read(mode: Mode) -> None:
    """Of a redirect's body no more is read than is needed to tell of it."""
    read: list[int] = []

    def endless(call: Call) -> bytes:
        call.socket.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 1000000000\r\n\r\n"
        )
        try:
            while len(read) < 1000:
                call.socket.sendall(b"x" * 100_000)
                read.append(1)
        except OSError:
            pass
        return b""

    with RawServer(endless, always(reply("200 OK", BODY))).serving() as server, mode.sending():
        assert BODY == mode.call(plain(server.url), "get", "a")
    assert len(read) < 200
