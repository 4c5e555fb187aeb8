"""A real Vault or OpenBao, where one is given: ``.ci/vault`` starts both in containers.

Everything that a server must have for these tests is made here, with the token of its root.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

import hvac
import pytest

from webhook_storage.contracts import Deadline, Found, Outcome
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite, canary
from webhook_storage_resolvers.vault import VaultResolver

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = os.environ.get("TEST_VAULT_ADDR", "")
ROOT = os.environ.get("TEST_VAULT_TOKEN", "")
POLICY = 'path "secret/data/flows" { capabilities = ["read"] }'

if not ADDRESS:
    reason = "optional: no TEST_VAULT_ADDR, see 'A real Vault' in CONTRIBUTING.md"
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def root() -> Iterator[Any]:
    """Return a client that may do everything."""
    client = hvac.Client(url=ADDRESS, token=ROOT)
    yield client
    client.session.close()


@pytest.fixture
def value(root: Any) -> str:
    """Store a secret and return it."""
    text = canary()
    root.secrets.kv.v2.create_or_update_secret("flows", {"TOKEN": text}, mount_point="secret")
    return text


def ask(resolver: VaultResolver, reference: Reference) -> Outcome:
    """Ask for one reference."""
    return resolver.resolve([reference], Deadline(10))[reference]


class TestToken(ResolverSuite):
    """With a token that may read one secret."""

    @pytest.fixture
    def case(
        self, root: Any, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[ResolverCase]:
        """Return a resolver whose token may read one secret."""
        root.sys.create_or_update_policy("flows", POLICY)
        token = root.auth.token.create(policies=["flows"], ttl="5m")["auth"]["client_token"]
        monkeypatch.setenv("VAULT_TOKEN", token)
        monkeypatch.setenv("WRONG_TOKEN", f"{token[:-6]}{secrets.token_hex(3)}")
        pattern = "secret/flows#{name}"
        case = ResolverCase(
            resolver=VaultResolver(address=ADDRESS, names=pattern),
            present=Reference("TOKEN"),
            value=value,
            absent=Reference("NOBODY_HAS_THIS"),
            refused=VaultResolver(address=ADDRESS, names=pattern, token_variable="WRONG_TOKEN"),
            unreachable=VaultResolver(address="http://127.0.0.1:1", names=pattern),
            credentials=[token, os.environ["WRONG_TOKEN"]],
        )
        yield case
        for resolver in case.resolvers:
            resolver.close()


def test_versions(root: Any, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older version can be read, a deleted one is not found."""
    monkeypatch.setenv("VAULT_TOKEN", ROOT)
    kv = root.secrets.kv.v2
    kv.create_or_update_secret("flows", {"TOKEN": "newer"}, mount_point="secret")
    newest = kv.read_secret_metadata("flows", mount_point="secret")["data"]["current_version"]
    resolver = VaultResolver(address=ADDRESS)
    older = Reference("secret/flows", "vault", None, (("version", str(newest - 1)),))
    outcome = ask(resolver, older)
    assert isinstance(outcome, Found)
    assert value in outcome.value.reveal().replace('\\"', '"')
    kv.delete_secret_versions("flows", [newest - 1], mount_point="secret")
    assert not isinstance(ask(resolver, older), Found)
    resolver.close()
