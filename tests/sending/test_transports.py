"""What a transport makes of exceptions, connections, certificates, proxies and netrc."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import ssl
import subprocess
import sys
import threading
import warnings
import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import requests
import respx
import urllib3
from cryptography.hazmat.primitives import serialization

from tests.leaks.canary import SECRETS, find
from tests.sending.raw import Call, RawServer, always, reply
from tests.sending.support import HTTPX, HTTPX_ASYNC, MODES, REQUESTS, Mode, caught, plain
from webhook_storage import Sender
from webhook_storage import errors as e
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage.transport.httpx import translate as from_httpx
from webhook_storage.transport.requests import RequestsTransport
from webhook_storage.transport.requests import translate as from_requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from tests.fleet.nginx import Nginx

BODY = bytes(range(256)) * 16
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A server to which everything is fine."""
    with RawServer(always(reply("200 OK", BODY))).serving() as server:
        yield server


# --- exceptions ----------------------------------------------------------------------------------

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


# --- headers and netrc ---------------------------------------------------------------------------


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


# --- connections ---------------------------------------------------------------------------------


@modes
def test_connection_is_kept(mode: Mode, server: RawServer) -> None:
    """Requests of one thread or loop share a connection."""

    async def many() -> None:
        for _ in range(5):
            await plain(server.url).aput(BODY, "k")

    with mode.sending():
        if mode.is_async:
            asyncio.run(many())
        else:
            for _ in range(5):
                plain(server.url).put(BODY, "k")
    assert (5, 1) == (len(server.calls), server.connections)


@modes
def test_closing_ends_connections_not_the_sender(mode: Mode, server: RawServer) -> None:
    """A closed sender can be used again."""
    with mode.sending() as sender:
        mode.call(plain(server.url), "put", BODY, "k")
        sender.close()
        mode.call(plain(server.url), "put", BODY, "k")
    assert 2 == len(server.calls)


@modes
def test_connection_that_died_while_idle(mode: Mode, server: RawServer) -> None:
    """A kept connection that the server closed is replaced without anybody noticing."""
    server.answers = [always(reply("200 OK", BODY, Connection="close"))]
    with mode.sending():
        for _ in range(3):
            assert BODY == mode.call(plain(server.url), "get", "k")
    assert 3 == server.connections


@pytest.mark.parametrize("transport", [HttpxTransport(max_connections=7), RequestsTransport()])
def test_pickled_transport(
    transport: HttpxTransport | RequestsTransport, server: RawServer
) -> None:
    """A transport that was used travels as its configuration."""
    with Sender(secrets=[], transport=transport):
        plain(server.url).get("k")
        copy = pickle.loads(pickle.dumps(transport))  # noqa: S301 - our own bytes
        with Sender(secrets=[], transport=copy):
            assert BODY == plain(server.url).get("k")
    assert getattr(transport, "_max_connections", 0) == getattr(copy, "_max_connections", 0)


FORKED = """
import os, sys
from tests.sending.support import HTTPX, REQUESTS, plain
mode = {"httpx": HTTPX, "requests": REQUESTS}[sys.argv[1]]
storage = plain(sys.argv[2])
with mode.sending():
    storage.get("before")
    child = os.fork()
    if child == 0:
        storage.get("child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    storage.get("parent")
"""


@pytest.mark.parametrize("mode", [HTTPX, REQUESTS], ids=lambda mode: mode.name)
def test_fork(mode: Mode, server: RawServer) -> None:
    """A forked child makes its own connection, and the parent keeps its own."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", FORKED, mode.name, server.url]
    subprocess.run(command, check=True, timeout=30, cwd=root)
    assert [("/before", 1), ("/child", 2), ("/parent", 1)] == [
        (call.target, call.connection) for call in server.calls
    ]


def test_connections_end_with_their_loop(server: RawServer) -> None:
    """A loop that has ended leaves no open connection, no warning, and is not kept alive."""
    loops = []

    async def use() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await asyncio.gather(*(plain(server.url).aget("k") for _ in range(3)))

    with warnings.catch_warnings(record=True) as warned, HTTPX_ASYNC.sending() as sender:
        warnings.simplefilter("always")
        for _ in range(3):
            asyncio.run(use(), debug=True)
        gc.collect()
        assert [] == [str(each.message) for each in warned]
        assert [None, None, None] == [loop() for loop in loops]
        (transport,) = set(sender._transports.values())
        assert isinstance(transport, HttpxTransport)
        assert 0 == len(transport._async_pools)


def test_threads_share_a_transport(server: RawServer) -> None:
    """Many threads at once get each their own answer."""
    server.answers = [lambda call: reply("200 OK", call.target.encode())]
    got: dict[str, bytes] = {}
    with HTTPX.sending() as sender:

        def fetch(key: str) -> None:
            with sender:
                got[key] = plain(server.url).get(key)

        threads = [threading.Thread(target=fetch, args=(f"k{n}",)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {f"k{n}": f"/k{n}".encode() for n in range(20)} == got


# --- TLS -----------------------------------------------------------------------------------------


def encrypted(key: Path, target: Path) -> Path:
    """Write a private key under a password."""
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"password")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    target.write_bytes(private.private_bytes(pem, pkcs8, secret))
    return target


@modes
def test_own_authority(mode: Mode, nginx: Nginx) -> None:
    """With the right authority a server is trusted; with another, or none, it is not."""
    with mode.sending():
        mode.call(plain(nginx.tls_url, verify=str(nginx.pki.ca)), "put", BODY, "tls")
        assert BODY == mode.call(plain(nginx.tls13_url, verify=str(nginx.pki.ca)), "get", "tls")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            assert BODY == mode.call(plain(nginx.tls_url, verify=False), "get", "tls")
        for kwargs in ({"verify": str(nginx.pki.foreign_ca)}, {}):
            error = caught(partial(mode.call, plain(nginx.tls_url, **kwargs), "get", "tls"))
            assert isinstance(error, e.TlsError)
            assert not error.retryable


def test_own_authority_is_added() -> None:
    """The authorities of the machine are trusted besides the given one."""
    given = {"verify": str(Path(__file__).parents[1] / "nowhere.pem")}
    with HTTPX.sending():
        error = caught(partial(plain("https://127.0.0.1:1", **given).get, "k"))
    assert e.ConfigurationError is type(error)


@modes
def test_wrong_host_name(mode: Mode, nginx: Nginx) -> None:
    """A certificate for somebody else is refused."""
    with mode.sending():
        storage = plain(nginx.wrong_host_url, verify=str(nginx.pki.ca))
        assert e.TlsError is type(caught(partial(mode.call, storage, "get", "tls")))


@modes
def test_certificate_by_secret_path(mode: Mode, nginx: Nginx, tmp_path: Path) -> None:
    """A client certificate lets in, a foreign one and none do not; paths can be placeholders."""
    pki = nginx.pki
    paths = {"CERT": str(pki.client.cert), "KEY": str(pki.client.key), "CA": str(pki.ca)}
    with mode.sending(paths):
        right = plain(nginx.mtls_url, verify="${CA}", cert=["${CERT}", "${KEY}"])
        mode.call(right, "put", BODY, "mtls")
        assert BODY == mode.call(right, "get", "mtls")
        both = tmp_path / "both.pem"
        both.write_bytes(pki.client.cert.read_bytes() + pki.client.key.read_bytes())
        assert BODY == mode.call(
            plain(nginx.mtls_url, verify="${CA}", cert=str(both)), "get", "mtls"
        )
        wrong = [str(pki.foreign_client.cert), str(pki.foreign_client.key)]
        for cert in (wrong, None):
            storage = plain(nginx.mtls_url, verify="${CA}", cert=cert)
            assert e.ResponseError is type(caught(partial(mode.call, storage, "get", "mtls")))


@modes
@pytest.mark.parametrize("kind", ["absent", "encrypted", "nonsense"])
def test_unusable_certificate(mode: Mode, nginx: Nginx, tmp_path: Path, kind: str) -> None:
    """A certificate that cannot be used is an error at once; nobody is asked for a password."""
    key = tmp_path / "key.pem"
    if kind == "encrypted":
        encrypted(nginx.pki.client.key, key)
    elif kind == "nonsense":
        key.write_text("no key")
    storage = plain(
        nginx.mtls_url, verify=str(nginx.pki.ca), cert=[str(nginx.pki.client.cert), str(key)]
    )
    with mode.sending():
        error = caught(partial(mode.call, storage, "get", "k"))
    assert type(error) in {e.ConfigurationError, e.TlsError}


@modes
def test_tls_where_none_is_spoken(mode: Mode, nginx: Nginx) -> None:
    """A plain server is told from one with a bad certificate."""
    with mode.sending():
        storage = plain(nginx.url.replace("http:", "https:"))
        assert e.TlsError is type(caught(partial(mode.call, storage, "get", "k")))


# --- proxies -------------------------------------------------------------------------------------


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


# --- memory --------------------------------------------------------------------------------------

MEASURED = """
import asyncio, json, resource, sys
from tests.sending.support import MODES, plain
name, url, source, target, size = sys.argv[1:]
mode = next(mode for mode in MODES if mode.name == name)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with mode.sending():
    storage = plain(url)
    mode.call(storage, "put", source, "big")
    got = mode.call(storage, "download", target, "big")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([got, (after - before) // 1024]))
"""


@modes
def test_memory(mode: Mode, nginx: Nginx, tmp_path: Path) -> None:
    """A hundred megabytes go up and come down in the memory of a few."""
    size = 100 * 1024 * 1024
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(size)
    command = [
        sys.executable,
        "-c",
        MEASURED,
        mode.name,
        nginx.open_url,
        str(source),
        str(tmp_path / "target"),
        str(size),
    ]
    done = subprocess.run(
        command, check=True, timeout=50, capture_output=True, cwd=Path(__file__).parents[2]
    )
    got, grown = json.loads(done.stdout)
    assert size == got == (tmp_path / "target").stat().st_size
    assert grown < 40


@modes
def test_large_bytes(mode: Mode, nginx: Nginx) -> None:
    """A large artifact in memory is sent without being copied again and again."""
    body = bytes(64 * 1024 * 1024)
    with mode.sending():
        storage = plain(nginx.open_url)
        assert storage.get(mode.call(storage, "put", body, "large")) == body
