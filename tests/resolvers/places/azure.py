"""A vault of Azure with one secret, and the login server of its tenant, both made up."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes.azure import FakeAzure
from tests.resolvers.places import Environment, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.azure import AzureResolver

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIXES = ("AZURE_", "IDENTITY_", "IMDS_", "MSI_")
"""What the variables begin with that change who one is for Azure."""


@contextmanager
def azure(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Start it, with the application's secret in the environment.

    The secret is ``db-password``. Beside the right secret of the application the environment has a
    wrong token of a cluster, which is another way to log in.
    """
    without_proxies(environment, *PREFIXES)
    value, secret, wrong = canary(), canary(), canary()
    stem = canary().replace(" ", "")
    with ExitStack() as stack:
        fake = stack.enter_context(FakeAzure(client_secret=secret, token_stem=stem))
        fake.put("db-password", value)
        mute = stack.enter_context(FakeAzure())
        mute.hang(times=None)
        (tmp_path / "federated-token").write_text(wrong)
        for name, text in _variables(fake, secret, tmp_path).items():
            environment.setenv(name, text)
        ca_file = _bundle(tmp_path / "azure-ca.pem", fake.ca_file, mute.ca_file)
        right = AzureResolver(credential="client_secret", ca_file=ca_file)
        refused = AzureResolver(credential="workload_identity", ca_file=ca_file)
        others = [
            AzureResolver(vault_url=url, credential="client_secret", ca_file=ca_file)
            for url in ("https://127.0.0.1:1", mute.url)
        ]
        for each in (right, refused, *others):
            stack.callback(each.close)
        yield ResolverCase(
            resolver=right,
            present=Reference("db_password", "azure"),
            value=value,
            absent=Reference("nobody-has-this", "azure"),
            refused=refused,
            unreachable=others[0],
            hanging=others[1],
            credentials=(secret, stem, wrong),
            calls=lambda: len(fake.requests),
        )


def _variables(fake: FakeAzure, secret: str, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a machine that logs in, and trusts the fake as others do Azure."""
    variables = {
        "AZURE_KEYVAULT_URL": fake.url,
        "AZURE_AUTHORITY_HOST": fake.url,
        "AZURE_TENANT_ID": fake.tenant,
        "AZURE_CLIENT_ID": fake.client_id,
        "AZURE_CLIENT_SECRET": secret,
        "AZURE_FEDERATED_TOKEN_FILE": os.fspath(tmp_path / "federated-token"),
    }
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        others = [Path(os.environ[name])] if name in os.environ else []
        variables[name] = _bundle(tmp_path / f"azure-{name}.pem", fake.ca_file, *others)
    return variables


def _bundle(path: Path, *files: Path) -> str:
    """Write certificates into one file."""
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return os.fspath(path)
