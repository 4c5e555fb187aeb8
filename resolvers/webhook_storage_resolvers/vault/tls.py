"""Which certificates a Vault server is checked against, and which one it is shown.

Facts: "Commands (CLI): environment variables" of the Vault documentation; ``configureTLS`` of
OpenBao's ``api/client.go``: a CA that is named replaces the usual ones, a file counts before bytes
and these before a directory, of which each file is read; "Custom TLS / SSL" of urllib3.
This module needs requests, so it is imported when a connection is made.
"""

from __future__ import annotations

import os
import ssl
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
from requests.adapters import HTTPAdapter

from webhook_storage_resolvers.vault.environment import SettingError, is_set, variable

if TYPE_CHECKING:
    from requests import PreparedRequest

_NO_CA = "the CA cannot be read: see cacert, VAULT_CACERT, VAULT_CACERT_BYTES, VAULT_CAPATH"
_NO_CERTIFICATE = (
    "the client certificate cannot be used: VAULT_CLIENT_CERT and VAULT_CLIENT_KEY name PEM files "
    "that belong together, the key without a passphrase"
)


class VaultAdapter(HTTPAdapter):
    """Makes TLS connections as the environment says, whatever a request says of that.

    Args:
        cacert: File, or directory of files, of the authorities; by default ``VAULT_CACERT``.
    """

    def __init__(self, cacert: str | os.PathLike[str] | None) -> None:
        """Read no file yet; a server without TLS needs none of them."""
        self._cacert = cacert
        super().__init__()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return tls_context(self._cacert)

    def build_connection_pool_key_attributes(
        self,
        request: PreparedRequest,
        verify: Any,
        cert: Any = None,  # noqa: ARG002 - the context has it
    ) -> Any:
        """Return where a connection leads, and the one way in which it is secured."""
        host, _ = super().build_connection_pool_key_attributes(request, verify)
        name = variable("TLS_SERVER_NAME")
        return host, {"ssl_context": self._tls, "server_hostname": name}

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Leave the connections as the context makes them; more would widen the trust."""


def tls_context(cacert: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """Return how the server is checked.

    Raises:
        SettingError: A file cannot be read or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if is_set("SKIP_VERIFY"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, cacert)
    if certificate := variable("CLIENT_CERT"):
        try:
            # An empty passphrase is a wrong one; without any, the terminal would be asked.
            context.load_cert_chain(certificate, variable("CLIENT_KEY"), password="")
        except (OSError, ValueError):
            raise SettingError(_NO_CERTIFICATE) from None
    return context


def _trust(context: ssl.SSLContext, cacert: str | os.PathLike[str] | None) -> None:
    """Let the context trust the authorities that are named, or else the public ones."""
    named = cacert or variable("CACERT")
    data = None if named else variable("CACERT_BYTES")
    named = named or (None if data else variable("CAPATH"))
    try:
        if data:
            context.load_verify_locations(cadata=data)
        elif named:
            for file in _files(Path(named)):
                context.load_verify_locations(file)
        elif os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
            context.set_default_verify_paths()
        else:
            context.load_verify_locations(certifi.where())
    except (OSError, TypeError, ValueError):  # a TypeError says that the bytes are no ASCII
        raise SettingError(_NO_CA) from None


def _files(path: Path) -> list[Path]:
    """Return a file itself, and of a directory the files."""
    if not path.is_dir():
        return [path]
    return [file for file in sorted(path.iterdir()) if file.is_file()]
