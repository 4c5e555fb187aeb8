"""Checksums of bytes that pass, by the algorithms of the standard library and one more."""

from __future__ import annotations

import hashlib
import importlib
import zlib
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIZES = {
    "sha256": 32, "sha512": 64, "sha1": 20, "md5": 16, "crc32": 4, "crc32c": 4, "adler32": 4,
}  # fmt: skip
"""Bytes of a checksum of each algorithm."""


class _Running(Protocol):
    """A checksum that is being taken."""

    def update(self, data: bytes, /) -> object:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Return what it is so far."""


class _Sum:
    """A checksum of zlib as an object."""

    __slots__ = ("_add", "_sum")

    def __init__(self, add: Callable[[bytes, int], int], start: int) -> None:
        self._add = add
        self._sum = start

    def update(self, data: bytes, /) -> None:
        self._sum = self._add(data, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(4, "big")


def available(algorithm: str) -> bool:
    """Tell whether an algorithm can be computed here; CRC-32C wants the package google-crc32c.

    Example:
        >>> available("sha512"), available("md2")
        (True, False)
    """
    return algorithm in SIZES and (algorithm != "crc32c" or _google() is not None)


def _google() -> Any:
    """Return the module with CRC-32C, None where it is not installed or would take long."""
    try:
        module = importlib.import_module("google_crc32c")
    except ImportError:
        return None
    return module if module.implementation == "c" else None


def _begin(algorithm: str) -> _Running:
    match algorithm:
        case "crc32":
            return _Sum(zlib.crc32, 0)
        case "adler32":
            return _Sum(zlib.adler32, 1)
        case "crc32c":
            return cast("_Running", _google().Checksum())
        case "md5" | "sha1":  # they find damage, and are trusted with nothing else
            return hashlib.new(algorithm, usedforsecurity=False)
        case _:
            return hashlib.new(algorithm)


class Digests:
    """Takes checksums of bytes that pass, SHA-256 always.

    Args:
        algorithms: Which others to take; each is `available`.

    Example:
        >>> digests = Digests(["crc32"])
        >>> digests.update(b"123456789")
        >>> digests.taken()["crc32"].hex()
        'cbf43926'
        >>> digests.sha256[:8]
        '15e2b0d3'
    """

    __slots__ = ("_others", "_sha256")

    def __init__(self, algorithms: Iterable[str] = ()) -> None:
        """Begin with no bytes."""
        self._sha256 = hashlib.sha256()
        self._others = {name: _begin(name) for name in {*algorithms} if name != "sha256"}

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of what has passed, in lower-case hex."""
        return self._sha256.hexdigest()

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._sha256.update(data)
        for each in self._others.values():
            each.update(data)

    def taken(self) -> dict[str, bytes]:
        """Return all checksums so far, by algorithm, the most significant byte first."""
        others = {name: each.digest() for name, each in self._others.items()}
        return {"sha256": self._sha256.digest(), **others}
