"""Send requests for the origins that documents name to servers on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import AsyncWireResponse, Transport, WireRequest, WireResponse
from webhook_storage.errors import ConnectError
from webhook_storage.transport.httpx import HttpxTransport

if TYPE_CHECKING:
    from collections.abc import Mapping


class ReroutingTransport(Transport):
    """Sends as usual, elsewhere.

    Args:
        origins: The origin to send to, by the origin of the request; others cannot be reached.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})

    def __init__(self, origins: Mapping[str, str]) -> None:
        """Connect to nothing yet."""
        self._origins = origins
        self._transport = HttpxTransport()

    def send(self, request: WireRequest) -> WireResponse:
        """Send the request to its stand-in."""
        return self._transport.send(self._moved(request))

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Do the same without blocking the event loop."""
        return await self._transport.asend(self._moved(request))

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def _moved(self, request: WireRequest) -> WireRequest:
        for origin, stand_in in self._origins.items():
            if request.url.startswith(f"{origin}/"):
                return WireRequest(
                    method=request.method,
                    url=stand_in + request.url.removeprefix(origin),
                    headers=request.headers,
                    body=request.body,
                    timeout=request.timeout,
                    verify=request.verify,
                    cert=request.cert,
                    proxies=request.proxies,
                )
        raise ConnectError("no stand-in for this origin is running")
