"""A keyring with one password, in a file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyring import core, set_password

from tests.resolvers.places import Environment, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.keyring import KeyringResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIXES = ("KEYRING_PROPERTY_", "PYTHON_KEYRING_")
"""What the variables begin with that change which keyring is asked."""

FILE = "keyrings.alt.file.PlaintextKeyring"


@contextmanager
def keyring(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Make a file the keyring of this process and its children.

    The password of the service ``flows`` and the user ``deploy`` is in it.
    """
    without_proxies(environment, *PREFIXES)
    value = canary()
    environment.setenv("PYTHON_KEYRING_BACKEND", FILE)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        environment.setenv(name, str(tmp_path / name.lower()))
    with environment.context() as process:
        # A process keeps the first keyring that it found.
        process.setattr(core, "_keyring_backend", None)
        set_password("flows", "deploy", value)
        yield ResolverCase(
            resolver=KeyringResolver(service="flows"),
            present=Reference("deploy", "keyring"),
            value=value,
            absent=Reference("nobody", "keyring"),
            unreachable=KeyringResolver(service="flows", backends=["nobody.Keyring"]),
        )
