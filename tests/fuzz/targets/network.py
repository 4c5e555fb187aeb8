"""Hosts and addresses: which is this machine, which is public."""

from __future__ import annotations

import contextlib
import ipaddress

from tests.fuzz.kit import refusals, texts
from webhook_storage import network, origin

SEEDS = (
    b"127.0.0.1", b"::1", b"localhost.", b"::ffff:10.0.0.1", b"2001:db8::1", b"1.1.1.1",
    b"2002:7f00:1::", b"64:ff9b::a00:1", b"fe80::1%eth0", b"0x7f.1", b"a.localhost",
)  # fmt: skip
WORDS = (
    b"127.", b"::", b"%", b".localhost", b"ffff:", b"0x", b".", b"[", b"]", b"\xe3\x80\x82",
    b"\xef\xbc\x91", b"2001:0:", b"2002:", b"64:ff9b::",
)  # fmt: skip


def target(data: bytes) -> None:
    """Look at a host: the guard lets no address pass that the standard library calls private."""
    (host,) = texts(data, 1)
    loopback = network.is_loopback(host)
    address = None
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
    if address is not None:
        public = network.is_public(address)
        assert not (public and loopback)
        wrapped = isinstance(address, ipaddress.IPv6Address) and (
            address.teredo or address.sixtofour or host.lower().startswith("64:ff9b:")
        )  # in the library's eyes these are what they are made of
        assert wrapped or not public or not (address.is_private or address.is_multicast)
        assert not loopback or address.is_loopback
    for shown in (host, f"[{host}]"):
        url = f"http://{shown}/"
        with refusals():
            network.Network().check(origin.origin(url), "it", allow_http=False)
            assert network.is_loopback(origin.origin(url).host)
