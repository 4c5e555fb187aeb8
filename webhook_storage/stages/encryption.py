"""Encryption with AES-256-GCM in segments, so that no part is handed on before it is verified.

::

    offset   bytes  what
    0        8      magic, the last byte is the format's version
    8        1      compression of what is encrypted: 0 none, 1 gzip, 2 zstd
    9        1      size of a segment as a power of two; version 1 has 16, which is 64 KiB
    10       1      n, length of the key's id, 1 to 255
    11       n      the key's id, UTF-8
    11 + n   32     salt, random, new for each artifact
    43 + n   32     check value of the key
    75 + n          segments: ciphertext of 64 KiB, of the last one 0 bytes to 64 KiB,
                    each followed by its tag of 16 bytes

Key: HKDF-SHA256 (RFC 5869) of the master key with that salt, 64 bytes long. Its info is
``webhook-storage encryption``, the header up to and with the salt, and the artifact's name in
UTF-8. The first 32 bytes are the key of AES-256-GCM, the other 32 are the check value. So a key
belongs to one artifact under one name with one header. The check value is there because a
ciphertext of GCM can be made that opens with two keys ("Fast Message Franking", Dodis, Grubbs,
Ristenpart and Woodage, 2018).

Nonce: 11 bytes that number the segment from 0, big-endian, and one byte that is 1 for the last
segment and else 0. This is the construction STREAM ("Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", Hoang, Reyhanitabar, Rogaway and Vizár, 2015): segments that are
missing, repeated, exchanged or appended do not verify. An empty artifact is one empty segment; no
other last segment is empty.

Everybody can read the header: the key's id, the compression, and by the length the size.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex, cast

from webhook_storage.artifact import cut, span
from webhook_storage.errors import IntegrityError
from webhook_storage.stages.header import (
    HEADER_LIMIT,
    SALT,
    SEGMENT,
    Header,
    broken,
    foreign,
    read_header,
)
from webhook_storage.stages.keys import derive, unknown
from webhook_storage.stages.stream import bare, changed, exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from webhook_storage.contracts import Body
    from webhook_storage.secret import Keys
    from webhook_storage.stages.compression import Compression
    from webhook_storage.stages.stream import Step

_TAG = 16
_CHECK = 32
_SEALED = SEGMENT + _TAG


class Encryptor:
    """Encrypts one artifact, as often as need be, to the same bytes.

    Under one key a nonce must never meet two different texts. A source can change between two
    attempts, so the tags of what was encrypted are kept, 16 bytes for 64 KiB. A segment that has
    another tag than before does not leave.

    Args:
        keys: At least one; the first is used.
        name: The name under which the artifact is stored.
        compression: How the bytes that come are compressed.

    Attributes:
        start: What stands before the first segment.
    """

    __slots__ = ("_cipher", "_lock", "_tags", "start")

    def __init__(self, keys: Keys, name: str, compression: Compression | None) -> None:
        """Choose a salt and derive the key."""
        key_id, key = next(iter(keys.items()))
        salt = secrets.token_bytes(SALT)
        header = Header(key_id=key_id, compression=compression, salt=salt)
        self._cipher, value = derive(header, name, key)
        self.start = header.pack() + value
        self._tags = bytearray()
        self._lock = threading.Lock()

    def length(self, size: int) -> int:
        """Return how many bytes so many become."""
        return len(self.start) + size + _TAG * _count(size)

    def encrypt(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the header and the encrypted segments.

        Raises:
            IntegrityError: When the bytes are others than the last time.
        """
        yield self.start
        yield from self.segments(chunks)

    def segments(
        self, chunks: Iterable[bytes], first: int = 0, *, to_end: bool = True
    ) -> Iterator[bytes]:
        """Yield encrypted segments, from the first of these on.

        Args:
            chunks: The bytes from the start of that segment to the end of another.
            first: Number of that segment, from 0.
            to_end: Whether the last of them is the artifact's last.

        Raises:
            IntegrityError: When the bytes are others than the last time.
        """
        for number, (plain, last) in enumerate(_segments(chunks), first):
            sealed = self._cipher.encrypt(_nonce(number, last=last and to_end), plain, None)
            self._claim(number, sealed[-_TAG:])
            yield sealed

    def _claim(self, number: int, tag: bytes) -> None:
        """Note the segment's tag, or compare it with the one that was noted."""
        place = slice(number * _TAG, (number + 1) * _TAG)
        with self._lock:
            self._tags += bytes(max(0, place.stop - len(self._tags)))
            if not any(self._tags[place]):  # a tag of zeros only, one in 2**128, is none yet
                self._tags[place] = tag
            known = self._tags[place]
        if not hmac.compare_digest(known, tag):
            raise changed()


class EncryptedBody:
    """A body that is encrypted while it is sent.

    Args:
        body: What to encrypt.
        encryptor: What encrypts it, and nothing else.
    """

    __slots__ = ("_body", "_encryptor")

    def __init__(self, body: Body, encryptor: Encryptor) -> None:
        """Encrypt nothing yet."""
        self._body = body
        self._encryptor = encryptor

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse; it holds a key."""
        message = "an encrypted body cannot be pickled; encrypt where it is sent"
        raise TypeError(message)

    @property
    def size(self) -> int:
        """Return the number of encrypted bytes."""
        return self._encryptor.length(self._body.size)

    def chunks(self) -> Iterator[bytes]:
        """Yield all encrypted bytes from the start, the same each time.

        Raises:
            IntegrityError: When the source changed since it was first read.
        """
        yield from _bare(self._encryptor.encrypt(exactly(self._body)))

    def span(self, start: int, size: int) -> Iterator[bytes]:
        """Yield a part of the encrypted bytes, see `artifact.span`; only its segments are read.

        Raises:
            IntegrityError: When the source changed since it was first read.
        """
        body, encryptor = self._body, self._encryptor
        count, before = _count(body.size), len(encryptor.start)
        first = max(0, start - before) // _SEALED
        end = min(max(first + 1, -(-(start + size - before) // _SEALED)), count)
        plain_start, plain_end = first * SEGMENT, min(end * SEGMENT, body.size)
        plain = span(body, plain_start, plain_end - plain_start)
        segments = encryptor.segments(plain, first, to_end=end == count)
        if start < before:
            yield from _bare(cut(chain((encryptor.start,), segments), start, size))
        else:
            yield from _bare(cut(segments, start - before - first * _SEALED, size))

    def sha256(self) -> str:
        """Return the digest of the encrypted bytes in lower-case hex; reads the source."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


class Decryptor:
    """The step that decrypts, and hands on nothing that is not verified.

    Args:
        keys: The keys that may have encrypted it.
        name: The name under which it was asked for.
        follow: Returns the next step when the compression is known and verified.
    """

    __slots__ = ("_buffer", "_cipher", "_follow", "_keys", "_name", "_number", "_then")

    def __init__(self, keys: Keys, name: str, follow: Callable[[Compression | None], Step]) -> None:
        """Expect a header."""
        self._keys = keys
        self._name = name
        self._follow = follow
        self._buffer = bytearray()
        self._cipher: Any = None
        self._then: Step | None = None
        self._number = 0

    def take(self, piece: bytes) -> None:
        """Decrypt each segment after which another byte came, so that it is not the last."""
        self._buffer += piece
        if self._cipher is None:
            self._begin()
        while self._cipher is not None and len(self._buffer) > _SEALED:
            plain = self._decrypt(bytes(self._buffer[:_SEALED]), last=False)
            del self._buffer[:_SEALED]
            self._number += 1
            cast("Step", self._then).take(plain)

    def end(self) -> None:
        """Decrypt the last segment.

        Raises:
            IntegrityError: When what came last is not the last segment.
        """
        if self._cipher is None:
            raise broken("it was cut in its header") if self._buffer else foreign()
        plain = self._decrypt(bytes(self._buffer), last=True)
        if self._number and not plain:
            raise broken("its last segment is empty")
        then = cast("Step", self._then)
        then.take(plain)
        then.end()

    def _begin(self) -> None:
        """Read the header when all of it is there, and find the key."""
        header = read_header(bytes(self._buffer[:HEADER_LIMIT]))
        if header is None:
            return
        start = len(header.pack())
        if len(self._buffer) < start + _CHECK:
            return
        key = self._keys.get(header.key_id)
        if key is None:
            raise unknown(header.key_id, self._keys)
        cipher, value = derive(header, self._name, key)
        if not hmac.compare_digest(value, self._buffer[start : start + _CHECK]):
            message = f"the key {header.key_id!r} does not open the artifact {self._name!r}"
            hint = "it was stored under another name or with another key of this id, or altered"
            raise IntegrityError(message, hint=hint)
        del self._buffer[: start + _CHECK]
        self._then = self._follow(header.compression)
        self._cipher = cipher

    def _decrypt(self, sealed: bytes, *, last: bool) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        try:
            nonce = _nonce(self._number, last=last)
            return cast("bytes", self._cipher.decrypt(nonce, sealed, None))
        except InvalidTag:
            pass
        what = "was cut or altered" if last else "was altered"
        raise broken(f"segment {self._number} {what}")


def _segments(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the bytes in segments, each with whether it is the last one."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) > SEGMENT:
            yield bytes(pending[:SEGMENT]), False
            del pending[:SEGMENT]
    yield bytes(pending), True


def _bare(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks; what the source raises is raised without our frames."""
    try:
        yield from chunks
    except Exception as error:  # noqa: BLE001 - whatever it is
        failure = bare(error)
    else:
        return
    raise failure


def _count(size: int) -> int:
    """Return how many segments so many bytes are."""
    return max(1, -(-size // SEGMENT))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((last,))
