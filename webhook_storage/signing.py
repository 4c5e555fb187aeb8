"""Signatures, and what the text of a signing key is.

Rule: the form of a key decides its algorithm, never what a signature says of itself. Otherwise a
public key, which anybody may have, could be made to serve as a shared secret.

A text is one of three things:

- a PEM private key of Ed25519 (PKCS #8, RFC 8410) signs and verifies,
- a PEM public key of Ed25519 (SubjectPublicKeyInfo, RFC 8410) verifies,
- anything else is a secret for HMAC-SHA256, which signs and verifies.

What looks like a key of another kind is refused, and never taken for a secret.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from webhook_storage.errors import ConfigurationError, MissingExtraError, WebhookStorageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

    from webhook_storage.secret import SecretValue

HMAC = "hmac-sha256"
ED25519 = "ed25519"

SHORTEST = 16
"""Fewest characters of a secret for HMAC."""

_ARMOUR = re.compile(r"--\s?BEGIN")
_PEM = re.compile(
    r"\s*-----BEGIN (PRIVATE|PUBLIC) KEY-----([A-Za-z0-9+/=\s]+)-----END \1 KEY-----\s*"
)
_OTHER_FORMS = (
    "ssh-", "sk-ssh-", "ecdsa-", '{"', "MCowBQYDK2Vw", "MC4CAQAwBQYDK2Vw", "LS0tLS1CRUdJTi",
)  # fmt: skip
"""Beginnings of keys in one line: of OpenSSH, of JOSE, and PEM without its frame or in base64."""

_HINT_SECRET = "make one by: openssl rand -base64 32"  # noqa: S105 - an advice
_HINT_PEM = (
    "make one by: openssl genpkey -algorithm ed25519; "
    "its public half by: openssl pkey -pubout; without a password"
)


class Signature(NamedTuple):
    """A signature and how it was made.

    Attributes:
        algorithm: ``hmac-sha256`` or ``ed25519``.
        value: Its bytes.
    """

    algorithm: str
    value: bytes


class _Secret:
    """A secret for HMAC-SHA256. It shows nothing of itself, and neither do those below."""

    __slots__ = ("_secret",)
    algorithm = HMAC

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, message: bytes) -> bytes:
        return hmac.digest(self._secret, message, "sha256")

    def verify(self, signature: bytes, message: bytes) -> bool:
        return hmac.compare_digest(signature, self.sign(message))


class _Public:
    """A public key of Ed25519."""

    __slots__ = ("_public",)
    algorithm = ED25519

    def __init__(self, public: Ed25519PublicKey) -> None:
        self._public = public

    def verify(self, signature: bytes, message: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra

        try:
            self._public.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class _Private:
    """A private key of Ed25519."""

    __slots__ = ("_private",)
    algorithm = ED25519

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)

    def verify(self, signature: bytes, message: bytes) -> bool:
        return _Public(self._private.public_key()).verify(signature, message)


_Key: TypeAlias = _Secret | _Private | _Public


def sign(key: SecretValue, message: bytes, *, key_id: str = "") -> Signature:
    """Return a signature over a message.

    Args:
        key: A PEM private key of Ed25519, or a secret of at least 16 characters.
        message: What to sign.
        key_id: The key's name, for errors.

    Raises:
        ConfigurationError: When the key is public, too short, or of another kind.
        MissingExtraError: When it is a PEM key and cryptography is not installed.

    Example:
        >>> from webhook_storage.secret import SecretValue
        >>> key = SecretValue("nobody knows this one")
        >>> signature = sign(key, b"message")
        >>> signature.algorithm
        'hmac-sha256'
        >>> verify(key, signature, b"message"), verify(key, signature, b"massage")
        (True, False)
    """
    opened = _open(key, key_id)
    if isinstance(opened, _Public):
        hint = "to store, put the private key first; to fetch, the public key is enough"
        raise ConfigurationError("a public key cannot sign", path=_path(key_id), hint=hint)
    return Signature(opened.algorithm, opened.sign(message))


def verify(key: SecretValue, signature: Signature, message: bytes, *, key_id: str = "") -> bool:
    """Tell whether a signature over a message was made with a key.

    Args:
        key: As for `sign`; a PEM public key of Ed25519 does as well.
        signature: What is said to be one. Its algorithm must be that of the key.
        message: What is said to be signed.
        key_id: The key's name, for errors.

    Raises:
        ConfigurationError: When the key is too short, or of another kind.
        MissingExtraError: When it is a PEM key and cryptography is not installed.
    """
    opened = _open(key, key_id)
    return signature.algorithm == opened.algorithm and opened.verify(signature.value, message)


def can_sign(key: SecretValue, *, key_id: str = "") -> bool:
    """Tell whether a key signs; a public one only verifies.

    Args:
        key: As for `verify`.
        key_id: The key's name, for errors.

    Raises:
        ConfigurationError: When the key is too short, or of another kind.
        MissingExtraError: When it is a PEM key and cryptography is not installed.
    """
    return not isinstance(_open(key, key_id), _Public)


def _path(key_id: str) -> str | None:
    return f"signing_keys.{key_id}" if key_id else None


def _open(key: SecretValue, key_id: str) -> _Key:
    """Return the key that a text is."""
    found = _read(key, _path(key_id))
    if isinstance(found, WebhookStorageError):
        raise found
    return found


def _read(key: SecretValue, path: str | None) -> _Key | WebhookStorageError:
    """Return the key, or the error: no traceback is to have a frame that holds the text."""
    text = key.reveal()
    if _ARMOUR.search(text):
        return _read_pem(text.replace("\\n", "\n"), path)
    if text.lstrip("\ufeff \t\r\n").startswith(_OTHER_FORMS):
        message = "this is a key in a form that is not read here"
        return ConfigurationError(message, path=path, hint=_HINT_PEM)
    try:
        secret = text.encode()
    except UnicodeEncodeError:
        return ConfigurationError("a signing key is text", path=path, hint=_HINT_SECRET)
    if len(text.strip()) < SHORTEST:
        message = f"a signing key has at least {SHORTEST} characters"
        return ConfigurationError(message, path=path, hint=_HINT_SECRET)
    return _Secret(secret)


def _read_pem(text: str, path: str | None) -> _Key | WebhookStorageError:
    """Return a key of Ed25519; its line breaks may be spaces, as environment files make them."""
    match = _PEM.fullmatch(text)
    wrong = ConfigurationError("this PEM text is no key of Ed25519", path=path, hint=_HINT_PEM)
    if match is None:
        return wrong
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError:
        return MissingExtraError("keys of Ed25519 need cryptography", extra="crypto")
    try:
        der = base64.b64decode("".join(match[2].split()), validate=True)
        if match[1] == "PRIVATE":
            private = serialization.load_der_private_key(der, None)
            return _Private(private) if isinstance(private, ed25519.Ed25519PrivateKey) else wrong
        public = serialization.load_der_public_key(der)
    except Exception:  # noqa: BLE001 - it knows many ways to say that this is no key
        return wrong
    return _Public(public) if isinstance(public, ed25519.Ed25519PublicKey) else wrong
