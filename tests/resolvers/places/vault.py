"""A Vault with one secret of fields."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.fakes.vault import FakeVault
from tests.resolvers.places import NOWHERE, Environment, silent_origin, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.vault import VaultResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMES = "secret/flows#{name}"


@contextmanager
def vault(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Start a Vault in which ``secret/flows`` has the field ``TOKEN``, and lead there."""
    without_proxies(environment, "VAULT_", "BAO_")
    value, token, wrong = canary(), f"hvs.{canary()}", f"hvs.{canary()}"
    with FakeVault(token=token) as server, silent_origin() as silent:
        server.put("secret/flows", {"TOKEN": value})
        environment.setenv("VAULT_ADDR", server.url)
        environment.setenv("VAULT_TOKEN", token)
        environment.setenv("WRONG_VAULT_TOKEN", wrong)
        case = ResolverCase(
            resolver=VaultResolver(names=_NAMES),
            present=Reference("TOKEN"),
            value=value,
            absent=Reference("NOBODY_HAS_THIS"),
            refused=VaultResolver(names=_NAMES, token_variable="WRONG_VAULT_TOKEN"),
            unreachable=VaultResolver(names=_NAMES, address=NOWHERE),
            hanging=VaultResolver(names=_NAMES, address=silent),
            credentials=[token, wrong],
            calls=lambda: len(server.requests),
        )
        try:
            yield case
        finally:
            for resolver in case.resolvers:
                resolver.close()
