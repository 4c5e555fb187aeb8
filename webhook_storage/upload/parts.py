"""An artifact cut into parts, each of which can be sent alone, again, and beside others.

The artifact is read once for the digest of each part, before anything is sent or, where the source
can tell whether it changed, each part before it is sent. So a source that changes while it is sent
is found, in whatever order the parts go and however many processes it takes.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from webhook_storage.artifact import MeasuredBody, span, stamp_of
from webhook_storage.errors import IntegrityError, TooLargeError
from webhook_storage.upload.ahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook_storage.artifact import Stamp
    from webhook_storage.contracts import Body

_SMALL = 8 * 1024 * 1024
"""A body of up to so many bytes is read at once; a thread would cost more than it saves."""


class PartBody(MeasuredBody):
    """A part of a body, or the rest of one.

    It is read in small pieces, and each time anew. Its last bytes are given only when all of them
    are those of which the digest was taken, so that no service gets a whole part of a source that
    has changed; unless the service itself compares them.

    Attributes:
        number: Which part it is, counted from 1.
        start: Offset of its first byte in the whole.
        end: Offset behind its last byte.
        total: Number of bytes of the whole.
    """

    __slots__ = ("_compared", "_known", "_skipped", "end", "number", "start", "total")

    def __init__(
        self,
        body: Body,
        number: int,
        start: int,
        end: int,
        known: str,
        *,
        skipped: int = 0,
        compared: bool = True,
    ) -> None:
        """Take a part of a body.

        Args:
            body: The whole.
            number: Which part it is.
            start: Where it begins.
            end: Where it ends.
            known: Its SHA-256 in lower-case hex, with what is skipped.
            skipped: How many of its first bytes the service has already.
            compared: Whether its bytes are compared with its digest here.
        """
        super().__init__(body)
        self.number = number
        self.start = start + skipped
        self.end = end
        self.total = body.size
        self._known = known
        self._skipped = skipped
        self._compared = compared

    @property
    def size(self) -> int:
        """Return the number of bytes to send."""
        return self.end - self.start

    @property
    def last(self) -> bool:
        """Tell whether nothing follows."""
        return self.end == self.total

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes to send, from their start.

        Raises:
            IntegrityError: When they are no longer those of which the digest was taken.
        """
        self.complete = False
        taken = hashlib.sha256()
        skipped, left = self._skipped, self._skipped + self.size
        for chunk in span(self._body, self.start - self._skipped, left):
            left -= len(chunk)
            if self._compared:
                taken.update(chunk)
                if not left and taken.hexdigest() != self._known:
                    raise _changed()
            if len(chunk) > skipped:
                yield chunk[skipped:]
            skipped -= min(skipped, len(chunk))
        self.complete = True

    def sha256(self) -> str:
        """Return the digest of the bytes to send; of the rest of a part they are read for it."""
        if not self._skipped:
            return self._known
        taken = hashlib.sha256()
        for chunk in self.chunks():
            taken.update(chunk)
        return taken.hexdigest()


class Parts:
    """A body and where it is cut. To make one reads the body once, which takes time.

    Args:
        body: The body; a `MeasuredBody` knows its own digest afterwards.
        part_size: Number of bytes of each part, of the last one at most that.
        measure: Gets all bytes in order, for digests of the service's own kind.
        stamp: What the body said of itself before it was read, see `steady_stamp`. With it nothing
            is read yet: whoever sends a part has it measured before, and whoever has sent all of
            them calls `check`.

    Raises:
        IntegrityError: When the body has fewer bytes than it announces.

    Example:
        >>> from webhook_storage.artifact import BytesBody
        >>> parts = Parts(BytesBody(b"31 rows"), 4)
        >>> [b"".join(parts.part(number).chunks()) for number in (1, 2)]
        [b'31 r', b'ows']
        >>> b"".join(parts.rest(6).chunks())
        b's'
    """

    __slots__ = ("_body", "_digests", "_measuring", "_reading", "_stamp", "part_size", "size")

    def __init__(
        self,
        body: Body,
        part_size: int,
        measure: Callable[[bytes], object] | None = None,
        stamp: Stamp | None = None,
    ) -> None:
        """Take the digest of each part, unless it is to be taken later."""
        self._body = body
        self._stamp = stamp
        self.part_size = part_size
        self.size = body.size
        self._reading = threading.Lock()
        self._digests: list[str] = []
        if stamp is not None:
            self._measuring = _digests_of(body.chunks(), body, part_size, measure)
            return
        self._measuring = _digests(body, part_size, measure)
        self.measure(len(self))

    def __len__(self) -> int:
        """Return the number of parts; what is empty has one."""
        return max(1, -(-self.size // self.part_size))

    def is_measured(self, number: int) -> bool:
        """Tell whether the digest of a part is known."""
        return number <= len(self._digests)

    def measure(self, number: int) -> None:
        """Take the digests of all parts up to this one, whoever else does so at the same time.

        Raises:
            IntegrityError: When the body has other bytes than it announces.
        """
        with self._reading:
            while not self.is_measured(number):
                digest = next(self._measuring, None)
                if digest is None:  # it has failed for another part
                    raise _changed()
                self._digests.append(digest)

    def check(self) -> None:
        """See that the body is still what was measured; it is read again if it may not be.

        Raises:
            IntegrityError: When it is not, so that the parts may be those of two artifacts.
        """
        if self._stamp is None or self._stamp == stamp_of(self._body):
            return
        again = _digests_of(self._body.chunks(), self._body, self.part_size, None)
        if self._digests != list(again):
            raise _changed()

    def part(self, number: int, *, compared: bool = True) -> PartBody:
        """Return a part by its number, counted from 1.

        Args:
            number: Its number.
            compared: Whether it sees to it that it is what was measured; else the service does.
        """
        start = (number - 1) * self.part_size
        end = min(start + self.part_size, self.size)
        known = self._digests[number - 1]
        return PartBody(self._body, number, start, end, known, compared=compared)

    def rest(self, offset: int) -> PartBody:
        """Return the part that holds this offset, from there on; there is one."""
        index, skipped = divmod(offset, self.part_size)
        start = index * self.part_size
        end = min(start + self.part_size, self.size)
        known = self._digests[index]
        return PartBody(self._body, index + 1, start, end, known, skipped=skipped)


def _digests(
    body: Body, part_size: int, measure: Callable[[bytes], object] | None
) -> Iterator[str]:
    """Yield the digest of each part in lower-case hex."""
    if body.size <= _SMALL:
        yield from _digests_of(body.chunks(), body, part_size, measure)
        return
    with read_ahead(body.chunks()) as chunks:
        yield from _digests_of(chunks, body, part_size, measure)


def _digests_of(
    chunks: Iterator[bytes],
    body: Body,
    part_size: int,
    measure: Callable[[bytes], object] | None,
) -> Iterator[str]:
    taken, left, total = hashlib.sha256(), part_size, 0
    for chunk in chunks:
        if measure is not None:
            measure(chunk)
        total += len(chunk)
        view = memoryview(chunk)
        while view:
            if not left:
                yield taken.hexdigest()
                taken, left = hashlib.sha256(), part_size
            piece, view = view[:left], view[left:]
            taken.update(piece)
            left -= len(piece)
    if total != body.size:
        message = f"the source has {total} bytes by now, and had {body.size}"
        raise IntegrityError(message, hint="store it again when nothing writes to it")
    yield taken.hexdigest()


def _changed() -> IntegrityError:
    message = "the source changed while it was stored"
    return IntegrityError(message, hint="store it again when nothing writes to it")


def part_size_for(
    size: int, smallest: int, multiple: int, most_parts: int, largest: int | None = None
) -> int:
    """Return how large the parts of an artifact should be: as small as the service allows.

    Args:
        size: Number of bytes of the artifact.
        smallest: Number of bytes of a part at least; the last one may be smaller.
        multiple: What the number of bytes must be a multiple of.
        most_parts: How many parts there may be.
        largest: Number of bytes of a part at most, None for no limit.

    Raises:
        TooLargeError: When it does not go into so many parts.

    Example:
        >>> mebi = 1024 * 1024
        >>> part_size_for(100 * mebi, 5 * mebi, 1, 10_000) // mebi
        5
        >>> part_size_for(200_000 * mebi, 5 * mebi, 4 * mebi, 10_000) // mebi
        20
    """
    needed = max(smallest, -(-size // most_parts), 1)
    part_size = -(-needed // multiple) * multiple
    if largest is not None and part_size > largest:
        message = f"{size} bytes do not go into {most_parts} parts of at most {largest}"
        raise TooLargeError(message, hint="the service takes no artifact of this size")
    return part_size
