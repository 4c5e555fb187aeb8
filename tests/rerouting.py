"""Send what is meant for a vendor to a server of the test, and change nothing else of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.fakes.dropbox import FakeDropbox
from webhook_storage import RetryPolicy, Sender
from webhook_storage.contracts import AsyncWireResponse, Transport, WireRequest, WireResponse
from webhook_storage.errors import ConnectError
from webhook_storage.transport.httpx import HttpxTransport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DROPBOX_ORIGINS = ("https://content.dropboxapi.com", "https://api.dropboxapi.com")


class ReroutingTransport(Transport):
    """Rewrites the origin of each request, and refuses those to unknown origins.

    Args:
        routes: The origin of the test's server by the vendor's origin; more may come later.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})

    def __init__(self, routes: Mapping[str, str]) -> None:
        self._routes = routes
        self._inner = HttpxTransport()

    def send(self, request: WireRequest) -> WireResponse:
        return self._inner.send(self._rerouted(request))

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        return await self._inner.asend(self._rerouted(request))

    def close(self) -> None:
        self._inner.close()

    def _rerouted(self, request: WireRequest) -> WireRequest:
        for origin, other in self._routes.items():
            if request.url.startswith(f"{origin}/"):
                # What signs names the host, and what serves several tells them apart by it.
                host = {"Host": origin.rpartition("/")[2]}
                there = request.with_headers(host)
                return there.changed(url=other + request.url.removeprefix(origin))
        raise ConnectError("no route of this test leads there")


@contextlib.contextmanager
def dropbox_account(*, token: str | None = None) -> Iterator[FakeDropbox]:
    """Let this thread's storages find a fake Dropbox at the real one's address.

    The access token stands in the environment as ``DBOX_OAUTH2_TOKEN``, as with a user.

    Args:
        token: Another token than the valid one.
    """
    with FakeDropbox() as fake, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DBOX_OAUTH2_TOKEN", fake.token if token is None else token)
        transport = ReroutingTransport(dict.fromkeys(DROPBOX_ORIGINS, fake.url))
        with Sender(transport=transport, retry=RetryPolicy(max_delay=0)):
            yield fake
