"""What an encrypted artifact says of itself; the layout is in `encryption`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook_storage.errors import IntegrityError

if TYPE_CHECKING:
    from webhook_storage.stages.compression import Compression

MAGIC = b"\x89WHENC\n\x01"
SEGMENT = 64 * 1024
"""Bytes of a segment before it is encrypted."""

SALT = 32
KEY_ID_LIMIT = 255
"""Most bytes of a key's id."""

_EXPONENT = SEGMENT.bit_length() - 1
_FIXED = len(MAGIC) + 3
"""Bytes of a header before the key's id."""

HEADER_LIMIT = _FIXED + KEY_ID_LIMIT + SALT
"""Most bytes of a header, up to and with the salt."""

_COMPRESSIONS: tuple[Compression | None, ...] = (None, "gzip", "zstd")
"""The compressions by their number in the header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an encrypted artifact says of itself. Nothing of it is trusted yet.

    Attributes:
        key_id: Id of the key that encrypted it.
        compression: How it was compressed before, or None.
        salt: What makes its key its own.
    """

    key_id: str
    compression: Compression | None
    salt: bytes

    def pack(self) -> bytes:
        """Return the header as it is stored, up to and with the salt."""
        key_id = self.key_id.encode()
        numbers = bytes((_COMPRESSIONS.index(self.compression), _EXPONENT, len(key_id)))
        return b"".join((MAGIC, numbers, key_id, self.salt))


def read_header(data: bytes) -> Header | None:
    """Return the header of an encrypted artifact, without any key.

    Args:
        data: Its first bytes; 298 are always enough.

    Returns:
        The header, or None when it goes on after these bytes.

    Raises:
        IntegrityError: When the bytes do not begin as an encrypted artifact does.
    """
    start = data[: len(MAGIC)]
    if not MAGIC.startswith(start):
        if start[:-1] == MAGIC[:-1]:
            message = "the encryption has a newer format than this version of the library reads"
            raise IntegrityError(message, hint="pip install --upgrade webhook-storage")
        raise foreign()
    if len(data) < _FIXED:
        return None
    compression, exponent, length = data[len(MAGIC) : _FIXED]
    if compression >= len(_COMPRESSIONS) or exponent != _EXPONENT or not length:
        raise broken("its header was altered")
    end = _FIXED + length
    if len(data) < end + SALT:
        return None
    return Header(
        key_id=_key_id(data[_FIXED:end]),
        compression=_COMPRESSIONS[compression],
        salt=bytes(data[end : end + SALT]),
    )


def _key_id(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    raise broken("its header was altered")


def foreign() -> IntegrityError:
    """Return the error for bytes that are not encrypted."""
    return IntegrityError(
        "the artifact is not encrypted",
        hint="it was stored before encryption was on, or replaced; store it again",
    )


def broken(what: str) -> IntegrityError:
    """Return the error for bytes that are encrypted and not whole."""
    return IntegrityError(
        f"the encrypted artifact is broken: {what}", hint="it was cut or altered; store it again"
    )
