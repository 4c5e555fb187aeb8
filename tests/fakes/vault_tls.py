"""A fake Vault that is strict about TLS: another name, and a certificate of the client's own."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Any

import trustme

from tests.fakes.vault import FakeVault


class StrictVault(FakeVault):
    """A Vault with a certificate for one name, which speaks to clients that show theirs.

    Args:
        name: The only name in its certificate; it listens at 127.0.0.1 all the same.
        wants_client: Whether a client must have a certificate of the same authority.

    Attributes:
        client_cert: PEM file of a client certificate.
        client_key: PEM file of its key.
        locked_key: The same key with a passphrase.
        stranger_cert: PEM file, with its key, of a certificate of another authority.
    """

    def __init__(
        self, *, name: str = "127.0.0.1", wants_client: bool = False, **options: Any
    ) -> None:
        super().__init__(tls=True, **options)
        self._name = name
        self._wants_client = wants_client
        self.client_cert = self.client_key = self.locked_key = self.stranger_cert = Path()

    def _tls_context(self) -> ssl.SSLContext:
        authority = trustme.CA()
        folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
        self._ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self._ca_file))
        self._write_client(authority, folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(self._name).configure_cert(context)
        if self._wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            authority.configure_trust(context)
        return context

    def _write_client(self, authority: trustme.CA, folder: Path) -> None:
        mine, stranger = authority.issue_cert("client.test"), trustme.CA().issue_cert("client.test")
        self.client_cert, self.client_key = folder / "client.pem", folder / "client.key"
        self.locked_key, self.stranger_cert = folder / "locked.key", folder / "stranger.pem"
        mine.cert_chain_pems[0].write_to_path(str(self.client_cert))
        mine.private_key_pem.write_to_path(str(self.client_key))
        stranger.private_key_and_cert_chain_pem.write_to_path(str(self.stranger_cert))
        self.locked_key.write_bytes(_with_passphrase(mine.private_key_pem.bytes()))


def _with_passphrase(key: bytes) -> bytes:
    """Return the key, encrypted."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - comes with trustme

    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
