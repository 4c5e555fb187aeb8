"""What the tests of the Vault resolver share: a fake with one secret, and ways to ask for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from tests.resolvers.places import Environment, without_proxies
from webhook_storage.contracts import Deadline, Forbidden, Found, Outcome
from webhook_storage.template import Reference
from webhook_storage_resolvers.vault import VaultResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.vault import FakeVault

CANARY = "CANARY-vault-9c"
REFUSED = Forbidden("the token is wrong or may not read this", maybe_missing=True)
APP = f'{{"user":"me","password":"{CANARY}"}}'
"""The secret ``secret/app`` as a document."""


class Make(Protocol):
    """Makes resolvers that ask the fake."""

    def __call__(self, **options: Any) -> VaultResolver:
        """Return a resolver with the options."""


def leave_the_machine(environment: Environment, home: Path) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    without_proxies(environment, "VAULT_", "BAO_", "SSL_CERT_")
    environment.setenv("HOME", str(home))


@contextmanager
def makes_resolvers(fake: FakeVault) -> Iterator[Make]:
    """Put the secret ``secret/app`` into the fake; give a maker of resolvers, closed at the end."""
    fake.put("secret/app", {"user": "me", "password": CANARY})
    made: list[VaultResolver] = []

    def make(**options: Any) -> VaultResolver:
        made.append(VaultResolver(**{"address": fake.url, **options}))
        return made[-1]

    yield make
    for resolver in made:
        resolver.close()


def ask(resolver: VaultResolver, name: str = "secret/app", **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "vault", **parts)
    return resolver.resolve([reference], Deadline(5))[reference]


def bare(resolver: VaultResolver, name: str) -> Outcome:
    """Ask for a bare name."""
    return resolver.resolve([Reference(name)], Deadline(5))[Reference(name)]


def fields(outcome: Outcome) -> str:
    """Return the document that was found."""
    assert isinstance(outcome, Found)
    assert outcome.structured
    return outcome.value.reveal()


def paths(fake: FakeVault) -> list[str]:
    """Return what the fake was asked for, in order."""
    return [request.path.removeprefix("/v1/") for request in fake.requests]
