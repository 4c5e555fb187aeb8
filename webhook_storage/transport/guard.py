"""Requests that may only go to public addresses.

A name is looked up once, all of its addresses are checked, and what was checked is what is
connected to. So a name that has another address a moment later leads nowhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from webhook_storage.errors import ConfigurationError, ConnectError
from webhook_storage.network import is_public

if TYPE_CHECKING:
    from webhook_storage.network import Address

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host, the best one first, for a host and a port."""


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host as the system knows them.

    Raises:
        OSError: It has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Guard:
    """Lets addresses pass.

    Args:
        resolve: Looks a name up.
        allows: Tells of an address whether one may connect to it.
    """

    def __init__(
        self, resolve: Resolve = look_up, allows: Callable[[Address], bool] = is_public
    ) -> None:
        """Keep the two."""
        self._resolve = resolve
        self._allows = allows

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses to one of which a connection may be made, the best one first.

        Args:
            host: A name or an address, an IPv6 address without its brackets.
            port: The port, for what the lookup makes of it.

        Raises:
            ConfigurationError: One of them is not public. Of several addresses a private one among
                public ones is a sign of an attack.
            ConnectError: There is none.
        """
        literal = _address(host)
        addresses = [literal] if literal else [_address(text) for text in self._look_up(host, port)]
        if not addresses:
            raise ConnectError("the host has no address")
        for address in addresses:
            if address is None or not self._allows(address):
                raise ConfigurationError(
                    "the host has an address that is not public",
                    path="url",
                    hint='this process sends to no other, as private = "deny" in [network] says',
                )
        return list(dict.fromkeys(map(str, addresses)))

    async def aaddresses(self, host: str, port: int) -> list[str]:
        """Do the same without blocking the event loop."""
        return await asyncio.to_thread(self.addresses, host, port)

    def _look_up(self, host: str, port: int) -> Sequence[str]:
        if not host:  # to the system that is this machine
            return ()
        try:
            return self._resolve(host, port)
        except (OSError, UnicodeError):
            return ()


def refuse_proxy() -> ConfigurationError:
    """Return the error for a request that would leave the connecting to a proxy."""
    return ConfigurationError(
        "a proxy would connect to addresses that nobody here has checked",
        path="proxies",
        hint="proxies={} sends without one, also where the environment names one",
    )


def _address(text: str) -> Address | None:
    """Return an address without the zone that an IPv6 address may have; None for a name."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
