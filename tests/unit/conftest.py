"""What the tests of the core share: a file service, a sender, a storage between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.fakes.files import FileService
from webhook_storage import RetryPolicy, Sender, Webhook
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRETS = {
    "TOKEN": "correct horse battery",
    "FLOW_KEY": "signing key one of this test",
    "NEW_KEY": "another signing key of it",
}


class MakeWebhook(Protocol):
    """Makes a storage on the file service."""

    def __call__(self, path: str = ..., **options: Any) -> Webhook:
        """Store and fetch at the path, with the options of `Webhook`."""


@pytest.fixture
def service() -> Iterator[FileService]:
    """Serve a file service that lets in whoever has the token."""
    with FileService(token=SECRETS["TOKEN"]) as running:
        yield running


@pytest.fixture
def sender() -> Iterator[Sender]:
    """Make a sender current that knows the secrets and never pauses."""
    resolver = MappingResolver(SECRETS)
    with Sender(secrets=[resolver], retry=RetryPolicy(max_delay=0)) as current:
        yield current


@pytest.fixture
def make(service: FileService, sender: Sender) -> MakeWebhook:
    """Return what makes storages on the file service."""

    def make_webhook(path: str = "/${artifact.key}", **options: Any) -> Webhook:
        kwargs = {"url": service.url + path, "headers": {"Authorization": "Bearer ${TOKEN}"}}
        build = {**kwargs, **options.pop("build", {})}
        fetch = {**kwargs, **options.pop("fetch", {})}
        method = options.pop("method", "PUT")
        return Webhook(build, method, fetch, "GET", **options)

    return make_webhook
