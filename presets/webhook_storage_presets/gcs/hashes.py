"""The checksums that Google Cloud Storage takes along with an object, and compares."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from webhook_storage.digests import Digests, available

if TYPE_CHECKING:
    from webhook_storage.contracts import Body


class Hashes:
    """Takes MD5, and CRC-32C where google-crc32c is installed, of bytes that pass.

    Example:
        >>> hashes = Hashes()
        >>> hashes.update(b"hello world")
        >>> hashes.as_metadata()["md5Hash"]
        'XrY7u+Ae7tCTyyK7j1rNww=='
    """

    __slots__ = ("_digests", "_names")

    def __init__(self) -> None:
        """Begin with no bytes."""
        self._names = ["md5", *(["crc32c"] if available("crc32c") else [])]
        self._digests = Digests(self._names)

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._digests.update(chunk)

    def taken(self) -> dict[str, bytes]:
        """Return the checksums so far, by algorithm."""
        found = self._digests.taken()
        return {name: found[name] for name in self._names}

    def as_metadata(self) -> dict[str, str]:
        """Return them as the API names and writes them."""
        names = {"md5": "md5Hash", "crc32c": "crc32c"}
        return {
            names[name]: base64.b64encode(value).decode() for name, value in self.taken().items()
        }


def hashes_of(body: Body) -> Hashes:
    """Return the checksums of a body; it is read for them."""
    hashes = Hashes()
    for chunk in body.chunks():
        hashes.update(chunk)
    return hashes
