"""Whichever store a secret comes from, nothing that happens to its request shows it.

The store's credentials are searched for as well, and what the vendors' libraries log at DEBUG.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.leaks.canary import SECRETS
from tests.leaks.channels import of_error, of_object, witnessed
from tests.leaks.events import OUTCOMES
from tests.leaks.test_matrix import origin_of
from tests.resolvers.places import PLACES
from tests.sending.support import HTTPX, HTTPX_ASYNC, Mode, caught
from webhook_storage import RetryPolicy, Sender, Webhook
from webhook_storage.errors import SecretForbiddenError, SecretUnavailableError
from webhook_storage.resolution import Resolution

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.leaks.channels import Shown
    from tests.leaks.events import Event
    from webhook_storage.contracts import Resolver
    from webhook_storage.testing import ResolverCase

EVENTS = [
    event
    for event in OUTCOMES
    if event.secrets is SECRETS and event.resolver is None and event.breaks is None
]
"""What can happen to a request that has its secrets."""


@pytest.fixture(params=PLACES)
def case(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ResolverCase]:
    """Start one store after the other."""
    module = importlib.import_module(f"tests.resolvers.places.{request.param}")
    with getattr(module, request.param)(tmp_path, monkeypatch) as started:
        yield started


def storage_of(case: ResolverCase, origin: str) -> Webhook:
    """Return a storage with the secret in the places where it can stand as it is."""
    placeholder = f"${{{replace(case.present, field=case.field)}}}"
    common = {
        "url": f"{origin}/file",
        "params": {"parameter": placeholder},
        "headers": {"X-Api-Key": placeholder, "X-Json": {"token": placeholder}},
        "auth": ["me", placeholder],
        "timeout": [2, 0.2],
    }
    return Webhook(common, "PUT", common, "GET")


def leaks(case: ResolverCase, shown: Iterable[Shown]) -> list[str]:
    """Return each channel in which the secret or a credential stands."""
    texts = [
        (channel, text if isinstance(text, str) else text.decode("latin-1"))
        for channel, text in shown
    ]
    if not case.leaks("\n".join(text for _, text in texts)):
        return []
    found = [f"{channel}: {form}" for channel, text in texts for form in case.leaks(text)]
    return found or ["two channels together"]


def sending(case: ResolverCase, resolver: Resolver, mode: Mode) -> Sender:
    """Return a sender that asks the store."""
    instance = case.present.instance
    named = instance is not None and resolver.has_instances
    instances = {(resolver.scheme, instance): resolver} if named else {}
    return Sender(
        secrets=Resolution([resolver], instances=instances),
        transport=mode.transport(),
        retry=RetryPolicy(attempts=1),
    )


@pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)
def test_a_request_with_its_secret(
    case: ResolverCase, capsys: pytest.CaptureFixture[str], mode: Mode
) -> None:
    """Whatever a server does with a request, the secret in it is in no channel."""
    shown: list[Shown] = []
    with witnessed(capsys) as witness:
        for event in EVENTS:
            shown += happening(case, event, mode)
    assert [] == leaks(case, [*shown, *witness.shown])


def happening(case: ResolverCase, event: Event, mode: Mode) -> Iterator[Shown]:
    """Let one thing happen to one request, and yield what it shows."""
    with origin_of(event) as origin, sending(case, case.resolver, mode) as sender:
        storage = storage_of(case, origin)
        act = partial(mode.call, storage, "get")
        captured = event.name.startswith("captured")  # only a store captures
        if event.raises is None or captured:
            act()
        else:
            error = caught(act)
            assert event.raises is type(error), event.name
            yield from of_error(error)
        for thing in (storage, sender, sender.resolution, case.resolver):
            yield from of_object(thing)


@pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)
def test_a_request_without_its_secret(
    case: ResolverCase, capsys: pytest.CaptureFixture[str], mode: Mode
) -> None:
    """A store that refuses, or is not there, is told of without its credential or the secret."""
    expected = {
        id(case.refused): SecretForbiddenError,
        id(case.unreachable): SecretUnavailableError,
    }
    shown: list[Shown] = []
    with witnessed(capsys) as witness:
        for resolver in filter(None, (case.refused, case.unreachable)):
            with sending(case, resolver, mode):
                error = caught(partial(mode.call, storage_of(case, "http://127.0.0.1:1"), "get"))
            assert expected[id(resolver)] is type(error)
            shown += of_error(error)
            shown += [("health", resolver.health() or ""), *of_object(resolver)]
    assert [] == leaks(case, [*shown, *witness.shown])
