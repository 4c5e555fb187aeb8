"""What the tests of the sending half share: storages, secrets, and both ways to call."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webhook_storage import RetryPolicy, Sender, Storage, Webhook
from webhook_storage.network import Network
from webhook_storage.transport.aiohttp import AiohttpTransport
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage.transport.requests import RequestsTransport
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from webhook_storage.contracts import Resolver, Transport


@dataclass(frozen=True)
class Mode:
    """A transport, called from a thread or from an event loop."""

    name: str
    transport: Callable[[], Transport]
    is_async: bool

    def call(self, storage: Storage, operation: str, *args: Any, **kwargs: Any) -> Any:
        """Carry out an operation of a storage."""
        if not self.is_async:
            return getattr(storage, operation)(*args, **kwargs)
        return asyncio.run(getattr(storage, f"a{operation}")(*args, **kwargs))

    @contextlib.contextmanager
    def sending(
        self,
        secrets: Mapping[str, str] | None = None,
        *,
        resolver: Resolver | None = None,
        transport: Transport | None = None,
        attempts: int = 1,
    ) -> Iterator[Sender]:
        """Enter a sender with these secrets, which never pauses."""
        asked = [resolver or MappingResolver(dict(secrets or {}))]
        retry = RetryPolicy(attempts=attempts, max_delay=0)
        transport = transport or self.transport()
        with Sender(secrets=asked, transport=transport, retry=retry, network=IN_TESTS) as sender:
            yield sender


IN_TESTS = Network(plain_http=["*.test"])
"""Hosts that are none (RFC 6761, section 6.2) may be sent to without TLS."""

HTTPX = Mode("httpx", HttpxTransport, is_async=False)
HTTPX_ASYNC = Mode("httpx-async", HttpxTransport, is_async=True)
REQUESTS = Mode("requests", RequestsTransport, is_async=False)
REQUESTS_ASYNC = Mode("requests-async", RequestsTransport, is_async=True)
AIOHTTP_ASYNC = Mode("aiohttp-async", AiohttpTransport, is_async=True)
MODES = (HTTPX, HTTPX_ASYNC, REQUESTS, REQUESTS_ASYNC)

ALL_MODES = (*MODES, AIOHTTP_ASYNC)
"""For what a transport does itself; what the sender does needs no fifth."""


def plain(origin: str, store: str = "PUT", fetch: str = "GET", **kwargs: Any) -> Webhook:
    """Return a storage that stores at `origin/KEY`; options of the storage begin with `with_`."""
    options = {
        name.removeprefix("with_"): kwargs.pop(name)
        for name in list(kwargs)
        if name.startswith("with_")
    }
    request = {"url": f"{origin}/${{artifact.key}}", **kwargs}
    return Webhook(request, store, request, fetch, **options)


def caught(action: Callable[[], object]) -> BaseException:
    """Return what an action raises; nothing but the action is in the frame."""
    try:
        action()
    except BaseException as error:  # noqa: BLE001 - it is looked at
        return error
    raise AssertionError("nothing was raised")
