"""Azurite, the emulator of Azure Blob Storage that verifies signatures."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fleet.process import find_program, free_ports, listens, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KEY = base64.b64encode(hashlib.sha512(b"azurite of the tests").digest()).decode()


@dataclass(frozen=True)
class Azurite:
    """A running Azurite.

    Attributes:
        origin: Where it listens; the account is the first segment of each path.
        account: Name of the account.
        key: The account's key.
    """

    origin: str
    account: str = "testaccount"
    key: str = _KEY

    @property
    def url(self) -> str:
        """The endpoint of the account."""
        return f"{self.origin}/{self.account}"

    @property
    def connection_string(self) -> str:
        """All of it in one secret."""
        return self.connection_string_by(self.key)

    def connection_string_by(self, key: str) -> str:
        """Return a connection string with another key."""
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": self.account,
            "AccountKey": key,
            "BlobEndpoint": self.url,
        }
        return "".join(f"{name}={value};" for name, value in parts.items())


@contextlib.contextmanager
def serve_azurite(directory: Path) -> Iterator[Azurite]:
    """Run the blob service, with one account."""
    program = find_program("azurite-blob", "azurite")
    directory.mkdir(parents=True)
    (port,) = free_ports(1)
    address = ("--blobHost", "127.0.0.1", "--blobPort", port)
    options = ("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry")
    server = Azurite(f"http://127.0.0.1:{port}")
    with running(
        (program, *address, *options),
        lambda: listens(port),
        directory / "log",
        {"AZURITE_ACCOUNTS": f"{server.account}:{server.key}"},
    ):
        yield server
