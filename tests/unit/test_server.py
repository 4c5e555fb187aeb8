from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from webhook_storage.errors import ConfigurationError, MissingExtraError
from webhook_storage.server import PlainHttpWarning, Server
from webhook_storage.testing import canary, find_leaks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve an empty directory."""
    with Server(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """Ask it with the right password."""
    with httpx.Client(base_url=server.url, auth=(server.user, server.password)) as opened:
        yield opened


def test_stores_and_fetches(client: httpx.Client, tmp_path: Path) -> None:
    """PUT, GET, HEAD and DELETE do what they say."""
    assert 201 == client.put("/f", content=b"content").status_code
    assert b"content" == (tmp_path / "f").read_bytes()
    assert b"content" == client.get("/f").content
    assert "7" == client.head("/f").headers["content-length"]
    assert 204 == client.put("/f", content=b"other").status_code
    assert 204 == client.delete("/f").status_code
    assert 404 == client.get("/f").status_code


def test_put_makes_folders(client: httpx.Client, tmp_path: Path) -> None:
    """A PUT makes the folders that are missing."""
    assert 201 == client.put("/a/b c/ü", content=b"x").status_code
    assert b"x" == (tmp_path / "a" / "b c" / "ü").read_bytes()


def test_put_below_a_file(client: httpx.Client) -> None:
    """Below a file no folder is made."""
    client.put("/f", content=b"x")
    assert 409 == client.put("/f/below/it", content=b"x").status_code
    assert b"x" == client.get("/f").content


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PROPFIND", "MKCOL", "OPTIONS"])
@pytest.mark.parametrize("auth", [None, ("user", "wrong"), ("nobody", "right")], ids=str)
def test_wrong_credentials(
    server: Server, tmp_path: Path, method: str, auth: tuple[str, str] | None
) -> None:
    """Without the right user and password nothing is answered, made or removed."""
    (tmp_path / "f").write_bytes(b"kept")
    if auth == ("nobody", "right"):
        auth = ("nobody", server.password)
    answer = httpx.request(method, f"{server.url}/f", auth=auth, content=b"x")
    below = httpx.request(method, f"{server.url}/new/folder/f", auth=auth)
    assert [401, 401] == [answer.status_code, below.status_code]
    assert [("f", b"kept")] == [(path.name, path.read_bytes()) for path in tmp_path.iterdir()]


def test_listing(client: httpx.Client) -> None:
    """A folder is listed as JSON, names in order, with a slash at its end or without."""
    client.put("/d/b", content=b"12")
    client.put("/d/a/x", content=b"")
    listed = [{"name": "a", "type": "directory"}, {"name": "b", "type": "file", "size": 2}]
    assert listed == client.get("/d/").json()
    assert listed == client.get("/d").json()
    assert 404 == client.get("/nothing/").status_code


@pytest.mark.parametrize("method", ["GET", "PUT", "PROPFIND", "OPTIONS"])
def test_nothing_without_a_password(server: Server, method: str) -> None:
    """WsgiDAV's own share, which needs no password, is not there."""
    for path in ("/:dir_browser/", "/:dir_browser/style.css", "/:dir_browser/x/y", "/"):
        assert 401 == httpx.request(method, f"{server.url}{path}").status_code


def test_body_without_length(client: httpx.Client) -> None:
    """A body of unknown length is stored whole."""
    assert 201 == client.put("/f", content=iter([b"a" * 70000, b"b" * 70000])).status_code
    assert 140000 == len(client.get("/f").content)


def test_body_that_breaks_off(server: Server, client: httpx.Client) -> None:
    """A body that breaks off changes nothing."""
    client.put("/f", content=b"whole")
    authorization = httpx.BasicAuth(server.user, server.password)._auth_header
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"PUT /f HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
            "Content-Length: 10\r\n\r\nhalf".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"whole" == client.get("/f").content


@pytest.mark.parametrize("path", ["/../evil", "/%2e%2e/evil", "/a/../../evil", "/..%2fevil"])
def test_no_way_out(server: Server, tmp_path: Path, path: str) -> None:
    """No path leads out of the directory."""
    authorization = httpx.BasicAuth(server.user, server.password)._auth_header
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
            "Content-Length: 1\r\nConnection: close\r\n\r\nx".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 ")
    assert not (tmp_path.parent / "evil").exists()


def test_leaves_nothing_behind(tmp_path: Path) -> None:
    """After the block there is no thread and no listener, and the address is gone."""
    before = set(threading.enumerate())
    with Server(tmp_path) as server:
        url = server.url
        httpx.get(url, auth=(server.user, server.password))
    assert before == set(threading.enumerate())
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    with pytest.raises(RuntimeError):
        _ = server.url


def test_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither start nor requests nor faults write to the terminal or show the password."""
    with Server(tmp_path, password=canary()) as server:
        httpx.get(f"{server.url}/nothing", auth=("user", server.password))
        httpx.get(f"{server.url}/nothing", auth=("user", "wrong"))
    said = capfd.readouterr()
    assert ("", "") == (said.out, said.err)
    assert [] == find_leaks(repr(server) + str(vars(server)["_http"]), server.password)


def test_logs_hold_no_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG the password is not logged."""
    with caplog.at_level(0), Server(tmp_path, password=canary()) as server:
        client = httpx.Client(auth=("user", server.password))
        with client:
            client.put(f"{server.url}/a/b", content=b"x")
    assert [] == find_leaks(caplog.text, server.password)


def test_passwords_are_made(tmp_path: Path) -> None:
    """Every server has a password of its own."""
    first, second = Server(tmp_path), Server(tmp_path)
    assert first.password != second.password
    assert 24 == len(first.password)


@pytest.mark.parametrize(
    "arguments",
    [{"password": ""}, {"user": ""}, {"user": "a:b"}, {"host": "0.0.0.0"}, {"host": "example.com"}],  # noqa: S104
    ids=str,
)
def test_refused_arguments(tmp_path: Path, arguments: dict[str, str]) -> None:
    """A server without a password, or open to others by mistake, does not come into being."""
    with pytest.raises(ConfigurationError):
        Server(tmp_path, **arguments)  # type: ignore[arg-type]


def test_remote_on_purpose(tmp_path: Path) -> None:
    """Open to others on purpose, it warns of plain HTTP."""
    with pytest.warns(PlainHttpWarning, match="unencrypted"):
        Server(tmp_path, host="0.0.0.0", allow_remote=True)  # noqa: S104


def test_ipv6(tmp_path: Path) -> None:
    """An IPv6 address stands in brackets in the URL."""
    try:
        with Server(tmp_path, host="::1") as server:
            assert server.url.startswith("http://[::1]:")
            assert 200 == httpx.get(server.url, auth=("user", server.password)).status_code
    except ConfigurationError:
        pytest.skip("this machine has no IPv6")


def test_missing_directory(tmp_path: Path) -> None:
    """A directory that is not there is told before anything listens."""
    with pytest.raises(ConfigurationError, match="no directory"):
        Server(tmp_path / "missing")


def test_taken_port(tmp_path: Path) -> None:
    """A port that is taken is an error with advice."""
    with Server(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=f"port {port}"), Server(tmp_path, port=port):
            pytest.fail("two servers on one port")


def test_missing_extra(tmp_path: Path) -> None:
    """Without WsgiDAV the error names the extra to install."""
    code = (
        "import sys; sys.modules['wsgidav'] = None\n"
        "from webhook_storage.server import Server\n"
        "from webhook_storage.errors import MissingExtraError\n"
        f"try:\n    Server({str(tmp_path)!r}).__enter__()\n"
        "except MissingExtraError as error:\n    print(error.extra, error.__cause__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"server None\n" == done.stdout
    assert issubclass(MissingExtraError, ImportError)
