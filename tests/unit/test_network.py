"""Where a process may send, decided by URLs and addresses alone."""
# ruff: noqa: S104 - nothing listens on these addresses

from __future__ import annotations

import copy
import ipaddress
import pickle
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leaks.canary import PLAIN, find
from tests.sending.support import caught
from webhook_storage.errors import ConfigurationError
from webhook_storage.network import Network, is_loopback, is_public
from webhook_storage.origin import origin


def check(
    url: str, network: Network | None = None, what: str = "GET ${URL}", *, allow_http: bool = False
) -> None:
    """Ask whether a request may go to a URL."""
    (network or Network()).check(origin(url), what, allow_http=allow_http)


HERE = [
    "localhost", "LocalHost", "127.0.0.1",
    "127.255.255.254", "[::1]", "[0:0:0:0:0:0:0:1]",
]  # fmt: skip
ELSEWHERE = [
    "localhost.", "files.localhost", "FILES.LOCALHOST.",
    "", "example.com", "localhost.example.com", "localhostx", "xlocalhost", ".localhost.example",
    "127.1", "127.0.1", "0127.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "127.0.0.1.",
    "127.0.0.1.example.com", "127.0.0.1\\@example.com", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]",
    "[::127.0.0.1]", "10.0.0.1", "128.0.0.1", "[::2]", "[fe80::1]",
    "[::1%25lo]", "[::1", "localhost%2eexample.com", "127.0.0.1:0", "127.0.0.1:99999",
    "127.0.0.1:x", "example.com#@127.0.0.1", "127.0.0.1@example.com", "ⓛocalhost",
]  # fmt: skip


@pytest.mark.parametrize("host", HERE)
@pytest.mark.parametrize("rest", ["", "/a", ":8080/a?b", "?@example.com"])
@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_plain_http_may_go_to_this_machine(scheme: str, host: str, rest: str) -> None:
    """However it is spelled, as long as there is one way to read it."""
    check(f"{scheme}://{host}{rest}")


@pytest.mark.parametrize("host", ELSEWHERE)
@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_plain_http_goes_nowhere_else(scheme: str, host: str) -> None:
    """What is not clearly this machine is another one."""
    error = caught(partial(check, f"{scheme}://{host}/{PLAIN}"))
    assert ConfigurationError is type(error)
    assert "GET ${URL} would go unencrypted to another machine" == str(error)
    assert [] == find(f"{error.args} {vars(error)}")


@pytest.mark.parametrize("host", [*HERE, *ELSEWHERE])
@pytest.mark.parametrize("scheme", ["https", "HTTPS", "file", "s3"])
def test_other_schemes_are_no_plain_http(scheme: str, host: str) -> None:
    """Everything that is encrypted, or not HTTP at all, may go anywhere."""
    check(f"{scheme}://{host}/a")


def test_a_request_can_say_that_it_goes_unencrypted() -> None:
    """The word of the request is enough."""
    check("http://example.com/", allow_http=True)


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("files.lan", "files.lan", True),
        ("files.lan", "FILES.LAN:8080", True),
        ("FILES.lan", "files.lan", True),
        ("*.lan", "a.b.lan", True),
        ("*.lan", "lan", False),
        ("*.lan", "a.lan.example.com", False),
        ("files.lan:80", "files.lan", True),
        ("files.lan:8080", "files.lan:8080", True),
        ("files.lan:8080", "files.lan", False),
        ("10.0.0.*", "10.0.0.7", True),
        ("fd00::7", "[fd00::7]:8080", True),
        ("*", "example.com", True),
        ("*", "", False),
        ("*", "a:99999", False),
        ("", "example.com", False),
    ],
)
def test_hosts_to_which_plain_http_may_go(pattern: str, host: str, fits: bool) -> None:  # noqa: FBT001 - a table
    """They are named by patterns, with a port or without."""
    network = Network(plain_http=["other.lan", pattern])
    call = partial(check, f"http://{host}/", network)
    if fits:
        call()
    else:
        assert ConfigurationError is type(caught(call))


@pytest.mark.parametrize("scheme", ["file", "FILE", "s3", "memory", "ftp", "", "httpx"])
def test_only_http_where_private_addresses_are_denied(scheme: str) -> None:
    """What is no server of HTTP has no address that could be public."""
    network = Network(private="deny", plain_http=["*"])
    error = caught(partial(check, f"{scheme}://{PLAIN}/a", network, "it", allow_http=True))
    assert ConfigurationError is type(error)
    assert str(error).startswith("it would go to no server")
    assert [] == find(f"{error.args} {vars(error)}")


def test_guarded() -> None:
    """Denying private addresses is what guards requests."""
    assert [True, False] == [Network(private="deny").guarded, Network().guarded]
    check("https://example.com/", Network(private="deny"))


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"plain_http": "*.lan"}, "plain_http"),
        ({"plain_http": [1]}, "plain_http"),
        ({"private": "Deny"}, "private"),
        ({"private": True}, "private"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], path: str) -> None:
    """A single text is no list, and there are two words for private addresses."""
    error = caught(partial(Network, **arguments))
    assert (ConfigurationError, path) == (type(error), getattr(error, "path", None))


def test_network_is_data() -> None:
    """It is copied, compared and pickled, and its list is its own."""
    hosts = ["*.lan"]
    network = Network(plain_http=hosts, private="deny")
    hosts.append("*")
    assert ("*.lan",) == network.plain_http
    assert network == copy.deepcopy(network) == pickle.loads(pickle.dumps(network))  # noqa: S301


def test_loopback_takes_hosts_without_brackets() -> None:
    """An address has none, and with them it is no address."""
    assert [True, False] == [is_loopback("::1"), is_loopback("[::1]")]


PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.1", "168.63.129.15", "168.63.129.17", "169.253.255.255",
    "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0", "223.255.255.255",
    "2606:4700:4700::1111", "2001:200::1", "2a00:1450:4001:82a::200e", "3fff:1000::1",
    "::ffff:1.1.1.1", "2002:101:101::1", "64:ff9b::101:101", "64:ff9b::1.1.1.1",
    "2001:0:101:101::fefe:fefe",
]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.1", "100.100.100.200",
    "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.0.1", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::1.1.1.1", "::127.0.0.1", "::ffff:0:1.1.1.1", "100::1", "5f00::1",
    "2001:db8::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1::1", "3fff::1",
    "3fff:fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "febf::1", "fec0::1", "ff02::1",
    "ff0e::1", "4000::1", "64:ff9b:1::101:101", "64:ff9b:1:101:101::", "64:ff9a::1.1.1.1",
    "64:ff9b:0:1::1.1.1.1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "2002:7f00:1::1", "2002:a00:1::", "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe",
    # Teredo: a private client behind a public server, and the other way round.
    "2001:0:101:101::f5ff:fffe", "2001:0:a00:1::fefe:fefe",
    "fe80::1%eth0",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    """Single machines that everybody can reach are public, in whatever they are wrapped."""
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_not_public(text: str) -> None:
    """Everything else is not, in whatever it is wrapped."""
    assert not is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_what_is_public_is_global_to_python_too(address: ipaddress.IPv4Address) -> None:
    """Python's own table agrees, which counts multicast as global."""
    if is_public(address):
        assert (True, False, False) == (
            address.is_global,
            address.is_multicast,
            address.is_reserved,
        )


@given(st.ip_addresses(v=6))
def test_what_is_public_in_ipv6_is_global_to_python_too(address: ipaddress.IPv6Address) -> None:
    """Python's own table agrees, but for what is wrapped."""
    if is_public(address) and address.teredo is None and address.ipv4_mapped is None:
        assert (True, False, False) == (
            address.is_global,
            address.is_multicast,
            address.is_site_local,
        )


@given(st.ip_addresses(v=4), st.integers(0, 2**64 - 1))
def test_wrapping_changes_nothing(inner: ipaddress.IPv4Address, rest: int) -> None:
    """An address is as public as the one that it leads to."""
    bits, expected = int(inner), is_public(inner)
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | bits)
    sixtofour = ipaddress.IPv6Address(0x2002 << 112 | bits << 80 | rest)
    nat64 = ipaddress.IPv6Address(0x64FF9B << 96 | bits)
    teredo = ipaddress.IPv6Address(0x20010000 << 96 | bits << 64 | (rest & 0xFFFFFFFF) ^ 0xFEFEFEFE)
    client = ipaddress.IPv4Address((int(teredo) & 0xFFFFFFFF) ^ 0xFFFFFFFF)
    assert [expected] * 3 == [is_public(mapped), is_public(sixtofour), is_public(nat64)]
    assert (expected and is_public(client)) == is_public(teredo)
