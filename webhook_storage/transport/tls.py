"""TLS settings of a request: whom it trusts, and by which certificate we are known."""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from webhook_storage.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

Cert: TypeAlias = str | tuple[str, str] | None
"""Path or PEM text of a certificate with its key, or one of each."""

Given: TypeAlias = bool | Cert

_PEM = "-----BEGIN "
_OPEN_FILES = Path("/proc/self/fd")
"""Where Linux shows a process its files that have no name."""


def is_pem(given: object) -> bool:
    """Tell a PEM text (RFC 7468) from a path."""
    return isinstance(given, str) and _PEM in given


def label(given: Given) -> Given:
    """Return what stands for a setting in a key: for a PEM text its digest, as it is a secret."""
    if isinstance(given, tuple):
        return _digest(given[0]), _digest(given[1])
    return _digest(given) if isinstance(given, str) else given


def _digest(given: str) -> str:
    if not is_pem(given):
        return given
    return _PEM + hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()


def equip(context: ssl.SSLContext, *, verify: bool | str, cert: Cert) -> None:
    """Add what a request says to the settings that hold for all.

    Args:
        context: Trusts already whom the process trusts, or nobody is checked.
        verify: The path or the PEM text of authorities that are trusted as well.
        cert: The client certificate.

    Raises:
        ConfigurationError: One of them cannot be used. Neither path nor text is shown.
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if isinstance(verify, str):
        _trust(context, verify)
    if cert is not None:
        _identify(context, *((cert, None) if isinstance(cert, str) else cert))


def _trust(context: ssl.SSLContext, authorities: str) -> None:
    """Trust authorities as well."""
    with contextlib.suppress(OSError, ValueError):  # an ssl.SSLError is one of the first
        if is_pem(authorities):
            # What is not ASCII can only be a comment, at which OpenSSL does not look.
            ascii_text = authorities.encode("ascii", "replace").decode()
            context.load_verify_locations(cadata=ascii_text)
        else:
            context.load_verify_locations(cafile=authorities)
        return
    hint = "it is the path of a PEM file, or its text with all line breaks"
    raise ConfigurationError("the CA certificates cannot be read", hint=hint)


def _identify(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    """Take a client certificate and its key."""
    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        return ""

    reason = ""
    try:
        with _file(cert) as cert_file, _file(key) as key_file:
            # Whoever is asked for a password by a callback does not ask on the terminal.
            context.load_cert_chain(cert_file or "", key_file, password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "?"
    if not reason:
        return
    message = "the client certificate or its key cannot be read"
    hint = "each is the path of a PEM file, or its text with all line breaks"
    if asked:
        message = "the key of the client certificate is protected by a password"
        hint = "keep it without one, in a place that only this process can read"
    elif reason == "KEY_VALUES_MISMATCH":
        message = "the key is not that of the client certificate"
        hint = "give the key with which the certificate was requested"
    raise ConfigurationError(message, hint=hint)


@contextlib.contextmanager
def _file(given: str | None) -> Iterator[str | None]:
    """Give the path of a file with this PEM text, as OpenSSL reads keys from nothing else.

    Nobody else can read it, and it is gone when the block ends.
    """
    if given is None or not is_pem(given):
        yield given
    elif hasattr(os, "memfd_create") and _OPEN_FILES.is_dir():
        with os.fdopen(os.memfd_create("pem"), "wb", buffering=0) as memory:
            memory.write(given.encode())
            yield str(_OPEN_FILES / str(memory.fileno()))
    else:
        handle, name = tempfile.mkstemp(prefix="webhook-storage-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(given.encode())
            yield name
        finally:
            Path(name).unlink()
