"""Where a process may send: to whom unencrypted, and whether to private addresses.

Rule: what is unclear is refused.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, TypeAlias

from webhook_storage.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook_storage.origin import Origin

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))

_IPV4_ONLY_HERE = [
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by the customers of a provider
        "127.0.0.0/8",
        "168.63.129.16/32",  # what Azure tells a virtual machine about itself
        "169.254.0.0/16",  # link-local, and what most clouds tell a machine about itself
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, withdrawn
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
]
"""IANA's registry of special-purpose IPv4 addresses (RFC 6890), with multicast (RFC 5771)."""

_IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
_IPV6_ONLY_HERE = [
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocols
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
]
"""Of all global unicast addresses those that IANA has given to nobody (RFC 6890, RFC 9637)."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""The prefix that everybody knows (RFC 6052); 64:ff9b:1::/48 is for local use (RFC 8215)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Limits for the connections of a process.

    Args:
        plain_http: Hosts to which unencrypted ``http`` may go besides this machine: patterns of
            host names or addresses, with a port or without, ``*`` for any text.
        private: ``deny`` lets nothing go but HTTP to public addresses: not to this machine, not to
            a private network, not to files. It is for a server that sends where others say.

    Raises:
        ConfigurationError: `plain_http` is no list of texts, or `private` is another word.

    Example:
        >>> network = Network(plain_http=["*.lan"])
        >>> from webhook_storage.origin import origin
        >>> network.check(origin("http://files.lan/a"), "this request", allow_http=False)
        >>> network.check(origin("http://127.0.0.1:8080/a"), "this request", allow_http=False)
        >>> network.check(origin("http://example.com/a"), "this request", allow_http=False)
        Traceback (most recent call last):
        ...
        webhook_storage.errors.ConfigurationError: this request would go unencrypted to another \
machine
    """

    plain_http: Sequence[str] = ()
    private: Literal["allow", "deny"] = "allow"

    def __post_init__(self) -> None:
        """Keep what nobody changes."""
        hosts = self.plain_http
        if not isinstance(hosts, (list, tuple)) or not all(isinstance(each, str) for each in hosts):
            message = 'this is a list of patterns, for example ["*.lan"]'
            raise ConfigurationError(message, path="plain_http")
        if self.private not in {"allow", "deny"}:
            raise ConfigurationError('this is "allow" or "deny"', path="private")
        object.__setattr__(self, "plain_http", tuple(hosts))

    @property
    def guarded(self) -> bool:
        """Tell whether requests may only go to public addresses, see `WireRequest.guarded`."""
        return self.private == "deny"

    def check(self, where: Origin, what: str, *, allow_http: bool) -> None:
        """Refuse a request by its origin; its addresses are a transport's to check.

        Args:
            where: Where it goes.
            what: How to call the request in a message.
            allow_http: Whether the request itself says that it may go unencrypted.

        Raises:
            ConfigurationError: It would go unencrypted to another machine, or, where private
                addresses are denied, to no server.
        """
        if self.guarded and where.scheme not in {"http", "https"}:
            message = f"{what} would go to no server of http or https, as everything must here"
            hint = 'give an https URL; this process has private = "deny" in its [network]'
            raise ConfigurationError(message, hint=hint)
        if where.scheme != "http" or allow_http:
            return
        if not is_loopback(where.host) and not self._may_be_plain(where):
            message = f"{what} would go unencrypted to another machine"
            hint = "give an https URL, say allow_http=True, or name the host in plain_http"
            raise ConfigurationError(message, hint=hint)

    def _may_be_plain(self, where: Origin) -> bool:
        names = (where.host, f"{where.host}:{where.port}")
        patterns = [pattern.lower() for pattern in self.plain_http]
        return where.host != "" and any(fnmatchcase(a, b) for a in names for b in patterns)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, whoever looks it up.

    Odd spellings such as ``127.1`` are not, as not everybody reads them alike; nor are names below
    ``localhost``, which some systems ask a name server for.

    Args:
        host: Its name or address, without brackets.

    Example:
        >>> is_loopback("LOCALHOST"), is_loopback("127.8.0.1"), is_loopback("::1")
        (True, True, True)
        >>> is_loopback("127.1"), is_loopback("a.localhost")
        (False, False)
    """
    if host == "127.0.0.1" or host.lower() == "localhost":
        return True
    if ":" not in host and not host[-1:].isdecimal():
        return False  # a name, as nearly all are
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in block for block in _LOOPBACK)


def is_public(address: Address) -> bool:
    """Tell whether an address is that of a single machine which everybody can reach.

    One in which another address is wrapped, for a transition to IPv6, is what the inner one is.

    Example:
        >>> is_public(ipaddress.ip_address("1.1.1.1"))
        True
        >>> is_public(ipaddress.ip_address("169.254.169.254"))
        False
        >>> is_public(ipaddress.ip_address("::ffff:10.0.0.1"))
        False
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in block for block in _IPV4_ONLY_HERE)
    inner = _wrapped(address)
    if inner:
        return all(map(is_public, inner))
    return address in _IPV6_UNICAST and not any(address in block for block in _IPV6_ONLY_HERE)


def _wrapped(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address leads to: mapped, 6to4, Teredo or NAT64.

    Others, as those of the withdrawn IPv4-compatible form, are no global unicast anyway.
    """
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _NAT64:
        return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()
