"""A process that sends where others say reaches public addresses, and no others."""

from __future__ import annotations

import asyncio
import pickle
import socket
import ssl
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.leaks.channels import hits, of_error
from tests.sending.raw import Answer, RawServer, always, reply
from tests.sending.support import HTTPX, HTTPX_ASYNC, MODES, REQUESTS, Mode, caught, plain
from webhook_storage import RetryPolicy, Sender
from webhook_storage import errors as e
from webhook_storage.contracts import WireRequest
from webhook_storage.network import Network
from webhook_storage.transport.file import FileTransport
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from webhook_storage.network import Address

BODY = bytes(range(256)) * 16
PUBLIC = "1.1.1.1"
modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)


class Names:
    """Looks names up, and remembers for whom and where.

    Args:
        answers: Addresses, used up from the front; the last ones stay.
    """

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []
        self.threads: set[int] = set()

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        self.threads.add(threading.get_ident())
        return self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)


def only_here(address: Address) -> bool:
    """Take this machine, where the servers of a test are, for the only public one."""
    return str(address) in {"127.0.0.1", "::1"}


def guarded(
    transport: HttpxTransport | None = None, secrets: dict[str, str] | None = None
) -> Sender:
    """Return a sender that denies private addresses."""
    network = Network(private="deny", plain_http=["*"])
    asked = [MappingResolver(secrets or {})]
    return Sender(
        secrets=asked,
        transport=transport or HttpxTransport(),
        retry=RetryPolicy(attempts=1),
        network=network,
    )


def told(mode: Mode, url: str, **kwargs: Any) -> BaseException:
    """Return the error of a fetch."""
    return caught(partial(mode.call, plain(url, **kwargs), "get", "k"))


# --- which addresses -----------------------------------------------------------------------------


@modes
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "LocalHost", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]",
        "2130706433", "0x7f000001", "0x7f.1", "0177.0.1", "127.1", "0", "0.0.0.0",  # noqa: S104
    ],
)  # fmt: skip
def test_this_machine_is_refused(mode: Mode, server: RawServer, host: str) -> None:
    """However it is spelled, nobody connects to it."""
    with guarded():
        error = told(mode, f"http://{host}:{server.port}")
    assert e.ConfigurationError is type(error)
    assert "not public" in str(error)
    assert 0 == server.connections


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.1", "127.1"])
def test_odd_spellings_lead_to_this_machine(server: RawServer, host: str) -> None:
    """Without the guard they do, so that refusing them is needed."""
    with HTTPX.sending():
        storage = plain(f"http://{host}:{server.port}", with_allow_http=True)
        assert BODY == storage.get("k")


@modes
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "[fe80::1]"])
def test_private_addresses_are_refused(mode: Mode, host: str, scheme: str) -> None:
    """Not asking anybody, and by whatever scheme."""
    names = Names([PUBLIC])
    with guarded(HttpxTransport(resolve=names)):
        assert e.ConfigurationError is type(told(mode, f"{scheme}://{host}"))
    assert [] == names.asked


@modes
@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "10.0.0.1"], [PUBLIC, PUBLIC, "::1"],
        ["fe80::1%eth0"], ["::ffff:10.0.0.1"], [PUBLIC, "no address"],
    ],
)  # fmt: skip
def test_name_with_a_private_address_is_refused(
    mode: Mode, server: RawServer, addresses: list[str]
) -> None:
    """Of many addresses one is enough, as an honest name has no private one among public ones."""
    names = Names(addresses)
    with guarded(HttpxTransport(resolve=names)):
        error = told(mode, f"http://files.test:{server.port}")
    assert e.ConfigurationError is type(error)
    assert 0 == server.connections
    assert [("files.test", server.port)] == names.asked


@modes
def test_refusal_shows_no_host(mode: Mode) -> None:
    """A host that comes from a secret is not told, nor are its addresses."""
    secrets = {"PLAIN": "https://pLaIn4CaNaRyValue0123.example.com"}
    with guarded(HttpxTransport(resolve=Names(["10.1.2.3"])), secrets):
        error = told(mode, "${PLAIN}")
    assert e.ConfigurationError is type(error)
    assert [] == hits(of_error(error))
    assert "10.1.2.3" not in f"{error} {vars(error)}"


@modes
@pytest.mark.parametrize(
    "failure", [socket.gaierror(8, "unknown"), OSError(), UnicodeError(), None]
)
def test_name_without_addresses(mode: Mode, failure: Exception | None) -> None:
    """A name that nobody knows is a failed connection, as without the guard."""

    def resolve(_host: str, _port: int) -> list[str]:
        if failure:
            raise failure
        return []

    with guarded(HttpxTransport(resolve=resolve)):
        error = told(mode, "http://files.test")
    assert e.ConnectError is type(error)


@modes
def test_no_host(mode: Mode) -> None:
    """To a system that is this machine; it is not asked."""
    names = Names(["127.0.0.1"])
    transport = HttpxTransport(resolve=names, allows=only_here)
    request = WireRequest(method="GET", url="http:///k", headers=[], guarded=True)

    def send() -> None:
        if mode.is_async:
            asyncio.run(send_async())
        else:
            transport.send(request)

    async def send_async() -> None:
        await transport.asend(request)

    assert e.ConnectError is type(caught(send))
    assert [] == names.asked


# --- what was checked is what is connected to ----------------------------------------------------


@modes
def test_the_checked_address_is_connected_to(mode: Mode, server: RawServer) -> None:
    """A name is looked up once a request; the server gets the request as it was."""
    names = Names(["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"])
    target = "/a%2Fb//c;d=e+f?x=%20y+z&&w=%C3%BC"
    with guarded(HttpxTransport(resolve=names, allows=only_here)):
        storage = plain(f"http://Files.test:{server.port}")
        storage.get_flow_request_kwargs["url"] = f"http://Files.test:{server.port}{target}#f"
        assert BODY == mode.call(storage, "get")
        mode.call(storage, "put", BODY, "k")
        # The name leads elsewhere by now, and a kept connection does not hide that.
        assert e.ConfigurationError is type(caught(partial(mode.call, storage, "get")))
    assert [("files.test", server.port)] * 3 == names.asked
    assert [target, "/k"] == [call.target for call in server.calls]
    assert {f"Files.test:{server.port}"} == {call.headers["host"] for call in server.calls}
    assert BODY == server.last.body


@modes
def test_next_address(mode: Mode, server: RawServer) -> None:
    """When one address does not answer, the next one that was checked is tried."""
    names = Names(["::1", "::1", "127.0.0.1"])
    with guarded(HttpxTransport(resolve=names, allows=only_here)):
        mode.call(plain(f"http://files.test:{server.port}"), "put", BODY * 1000, "k")
    assert BODY * 1000 == server.last.body
    assert 1 == len(names.asked)


@modes
def test_no_address_answers(mode: Mode) -> None:
    """Where none can be connected to, that is told."""
    with RawServer(always(b"")).serving() as gone:
        port = gone.port
    with guarded(HttpxTransport(resolve=Names(["::1", "127.0.0.1"]), allows=only_here)):
        assert e.ConnectError is type(told(mode, f"http://files.test:{port}"))


def test_lookup_does_not_block_a_loop(server: RawServer) -> None:
    """Names are looked up by a thread."""
    names = Names(["127.0.0.1"])
    with guarded(HttpxTransport(resolve=names, allows=only_here)):
        HTTPX_ASYNC.call(plain(f"http://files.test:{server.port}"), "get", "k")
    assert names.threads
    assert threading.get_ident() not in names.threads


@pytest.fixture
def authority() -> trustme.CA:
    """Who issues the certificates of a test."""
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[tuple[RawServer, list[str]]]:
    """A server with a certificate for files.test, and the names that it was called by."""
    names: list[str] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("files.test").configure_cert(context)

    def remember(_socket: object, name: str, _context: object) -> None:
        names.append(name)

    context.sni_callback = remember
    with RawServer(always(reply("200 OK", BODY)), tls=context).serving() as server:
        yield server, names


@modes
def test_certificate_is_that_of_the_name(
    mode: Mode,
    tls_server: tuple[RawServer, list[str]],
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    """The name is what TLS asks for and checks, and other names share no connection with it."""
    server, called = tls_server
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    with guarded(HttpxTransport(resolve=Names(["127.0.0.1"]), allows=only_here)):
        right, wrong = (
            plain(f"https://{name}.test:{server.port}", verify=str(tmp_path / "ca.pem"))
            for name in ("files", "other")
        )
        assert BODY == mode.call(right, "get", "k")
        assert e.TlsError is type(caught(partial(mode.call, wrong, "get", "k")))
        assert BODY == mode.call(right, "get", "k")
    assert {"files.test", "other.test"} == set(called)
    assert 2 == len(server.calls)


@modes
def test_address_in_place_of_a_name(mode: Mode, authority: trustme.CA, tmp_path: Path) -> None:
    """Of an address the certificate is checked as well."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for identity, expected in (("127.0.0.1", None), ("127.0.0.2", e.TlsError)):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(identity).configure_cert(context)
        with (
            RawServer(always(reply("200 OK", BODY)), tls=context).serving() as server,
            guarded(HttpxTransport(allows=only_here)),
        ):
            storage = plain(server.url, verify=str(tmp_path / "ca.pem"))
            if expected:
                assert expected is type(caught(partial(mode.call, storage, "get", "k")))
            else:
                assert BODY == mode.call(storage, "get", "k")


# --- ways around ---------------------------------------------------------------------------------


def to(location: str) -> Answer:
    """Redirect to a place."""
    return always(reply("302 Elsewhere", Location=location))


@modes
@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("http://inside.test/stolen", ["files.test", "inside.test"]),
        ("http://10.0.0.1/stolen", ["files.test"]),
        ("http://localhost:{port}/stolen", ["files.test", "localhost"]),
        ("/moved", ["files.test", "files.test"]),
    ],
)
def test_redirect_to_a_private_address(
    mode: Mode, server: RawServer, location: str, asked: list[str]
) -> None:
    """Each step is checked for itself, on the same origin as well."""
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    server.answers = [to(location.format(port=server.port)), always(reply("200 OK", BODY))]
    with guarded(HttpxTransport(resolve=names, allows=only_here)):
        url = f"http://files.test:{server.port}"
        error = told(mode, url, with_redirect_hosts=["*"])
    assert e.ConfigurationError is type(error)
    assert asked == [host for host, _ in names.asked]
    assert 1 == len(server.calls)


@modes
def test_redirect_to_a_public_address(mode: Mode, server: RawServer) -> None:
    """What may be reached directly may be redirected to."""
    names = Names(["127.0.0.1"])
    server.answers = [
        to(f"http://other.test:{server.port}/moved"), always(reply("200 OK", BODY))
    ]  # fmt: skip
    with guarded(HttpxTransport(resolve=names, allows=only_here)):
        storage = plain(f"http://files.test:{server.port}", with_redirect_hosts=["other.test"])
        assert BODY == mode.call(storage, "get", "k")
    assert ["files.test", "other.test"] == [host for host, _ in names.asked]


@modes
@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY", None])
def test_proxy_is_refused(
    mode: Mode, server: RawServer, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    """A proxy would connect by itself, to whatever address; so there is none."""
    names = Names(["127.0.0.1"])
    kwargs = {} if variable else {"proxies": {"http": server.url}}
    if variable:
        monkeypatch.setenv(variable, server.url)
    with guarded(HttpxTransport(resolve=names, allows=only_here)):
        error = told(mode, f"http://files.test:{server.port}", **kwargs)
        assert (e.ConfigurationError, "proxies") == (type(error), getattr(error, "path", ""))
        assert 0 == server.connections
        storage = plain(f"http://files.test:{server.port}", proxies={})
        assert BODY == mode.call(storage, "get", "k")


@modes
def test_proxy_that_is_not_used_for_this_host(
    mode: Mode, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What NO_PROXY excepts is sent directly, and so is what no proxy is for."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "files.test")
    with guarded(HttpxTransport(resolve=Names(["127.0.0.1"]), allows=only_here)):
        for proxies in (None, {"https": "http://127.0.0.1:1"}):
            storage = plain(f"http://files.test:{server.port}", proxies=proxies)
            assert BODY == mode.call(storage, "get", "k")


@pytest.mark.parametrize(
    "mode", [*MODES[2:], Mode("file", FileTransport, is_async=False)], ids=lambda mode: mode.name
)
def test_transports_that_cannot_tell(mode: Mode, server: RawServer, tmp_path: Path) -> None:
    """A transport that connects by itself, or a local file, gets no guarded request."""
    url = server.url if "requests" in mode.name else f"file://{tmp_path}"
    network = Network(private="deny", plain_http=["*"])
    with Sender(secrets=[], transport=mode.transport(), network=network):
        assert e.ConfigurationError is type(told(mode, url))
    assert 0 == server.connections
    assert [False, True] == [mode.transport().can_guard, HttpxTransport().can_guard]
    assert not REQUESTS.transport().can_guard


def test_pickled_guard(server: RawServer) -> None:
    """A copy of a transport looks names up, and judges addresses, as the original does."""
    transport = HttpxTransport(resolve=Names(["127.0.0.1"]), allows=only_here)
    copy = pickle.loads(pickle.dumps(transport))  # noqa: S301 - our own bytes
    with guarded(copy):
        assert BODY == plain(f"http://files.test:{server.port}").get("k")
        assert e.ConfigurationError is type(told(HTTPX, "http://10.0.0.1"))
