"""From the key that a storage has to the key of one artifact; the layout is in `encryption`."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from webhook_storage.errors import ConfigurationError, IntegrityError, MissingExtraError
from webhook_storage.stages.header import KEY_ID_LIMIT

if TYPE_CHECKING:
    from webhook_storage.secret import Keys, SecretValue
    from webhook_storage.stages.header import Header

_INFO = b"webhook-storage encryption"

_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{43}=?|[A-Za-z0-9_-]{43}=?")
_STANDARD = str.maketrans("-_", "+/")
_INNOCENT = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A key id from outside that may be shown."""


def check(keys: Keys) -> None:
    """Refuse keys that are none, before anything is sent or asked for.

    Raises:
        ConfigurationError: A key id or a key cannot be.
        MissingExtraError: The package that encrypts is not installed.
    """
    _cryptography()
    for key_id, key in keys.items():
        size = len(key_id.encode(errors="replace"))
        if not 0 < size <= KEY_ID_LIMIT or not key_id.isprintable():
            message = f"an encryption key has the id {key_id[:KEY_ID_LIMIT]!r}"
            hint = f"an id is 1 to {KEY_ID_LIMIT} bytes of printable text"
            raise ConfigurationError(message, hint=hint)
        if _master_key(key) is None:
            raise _no_key(key_id)


def derive(header: Header, name: str, key: SecretValue) -> tuple[Any, bytes]:
    """Return the cipher of one artifact, and the check value of its key."""
    ciphers, hashes, kdf = _cryptography()
    info = b"".join((_INFO, header.pack(), name.encode(errors="surrogatepass")))
    master = _master_key(key)
    if master is None:
        raise _no_key(header.key_id)
    # From here on nothing fails: a traceback would lead to the key.
    both = kdf.HKDF(hashes.SHA256(), 64, header.salt, info).derive(master)
    return ciphers.AESGCM(both[:32]), both[32:]


def _master_key(key: SecretValue) -> bytes | None:
    """Return the 32 bytes that the secret is, or None. It raises nothing: its frame has the key."""
    text = key.reveal().strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        return base64.b64decode(text[:43].translate(_STANDARD) + "=")
    return None


def _cryptography() -> tuple[Any, Any, Any]:
    try:
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.ciphers import aead  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf import hkdf  # noqa: PLC0415
    except ImportError:
        pass
    else:
        return aead, hashes, hkdf
    raise MissingExtraError("encryption needs the package cryptography", extra="crypto")


def _no_key(key_id: str) -> ConfigurationError:
    message = f"the encryption key {key_id!r} is not 32 bytes in base64 or hex"
    return ConfigurationError(message, hint="make one: openssl rand -base64 32")


def unknown(key_id: str, keys: Keys) -> IntegrityError:
    """Return the error for a key that is not here; what stands in the artifact may be anything."""
    foreign_id = repr(key_id) if _INNOCENT.fullmatch(key_id) else "with a strange id"
    message = f"the artifact is encrypted with a key {foreign_id} that is not here"
    known = ", ".join(repr(each) for each in keys)
    return IntegrityError(message, hint=f"the keys here are {known}; was one taken away too early?")
