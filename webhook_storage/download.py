"""An answer's body over several attempts: what has come stays, and the next attempt goes on there.

A server goes on when it gave a validator that tells one version from every other, and only as long
as that one holds (RFC 9110, sections 13.1.5 and 14.2). In all other cases it begins anew. What has
come in whole is compared with the checksums that its headers announced.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from webhook_storage import checksum
from webhook_storage.digests import Digests
from webhook_storage.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Sink

PARTIAL = 206
"""Status of an answer that holds a part of what was asked for."""

_SETTLED = 60.0
"""Seconds between a change and the answer that make a time as good as a version (8.8.2.2)."""

_SAME_TAG = 2.0
"""Seconds within which a file that changes again may keep its tag: nginx makes it of
time and size."""

_WORTH = 256 * 1024
"""Bytes by which a download must advance to count as progress."""

_STRONG = re.compile(r'"[\x21\x23-\x7e]*"')
_TIME = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
_LENGTH = re.compile(r"[0-9]{1,18}")


class DamagedError(ProtocolError):
    """What came is not what its headers announce, and another attempt may bring it whole.

    It is raised among attempts only: `answer.refusal` tells of it by an `IntegrityError`.
    """


_NO_HEADERS: Mapping[str, str] = {}


class Download:
    """What has come of one artifact.

    Args:
        sink: Where it goes.

    Attributes:
        position: Number of bytes that the sink holds.
    """

    __slots__ = (
        "_announced", "_digests", "_headers", "_highest", "_place", "_sink", "_total", "position",
    )  # fmt: skip

    _total: str
    """Bytes of all of it, an asterisk while nobody has said how many."""

    def __init__(self, sink: Sink) -> None:
        """Nothing has come yet."""
        self._sink = sink
        self._highest = 0
        self._restart("", _NO_HEADERS, whole=False)

    @property
    def sha256(self) -> str:
        """Return the digest of what has come, in lower-case hex."""
        return self._digests.sha256

    @property
    def blocks(self) -> bool:
        """Tell whether writing takes time."""
        return self._sink.blocks

    def range_headers(self, place: str) -> list[tuple[str, str]]:
        """Return the headers that ask for the rest; none when it would have to be all.

        Args:
            place: Where the request goes. What was said in one place is not told to another.
        """
        if not self.position or place != self._place:
            return []
        validator = _validator(self._headers)
        if not validator:
            return []
        return [("Range", f"bytes={self.position}-"), ("If-Range", validator)]

    def go_on(self, headers: Mapping[str, str]) -> None:
        """Take the rest, of which a 206 speaks.

        Raises:
            ProtocolError: When it is the rest of something else, or begins elsewhere.
        """
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        start, total = found.groups() if found else ("", "*")
        total = self._total if total == "*" else total
        same_place = start == str(self.position) and self._total in {total, "*"} and total != "*"
        validator = _validator(self._headers)
        name = "etag" if validator.startswith('"') else "last-modified"
        # A server that overlooks If-Range would send the rest of whatever is there by now.
        if not same_place or headers.get(name) != validator:
            self.forget()
            message = "the server went on with another part than the one it was asked for"
            raise ProtocolError(message)
        self._total = total
        self._announced += checksum.announced_with_rest(headers)

    def begin(self, place: str, headers: Mapping[str, str], *, whole: bool) -> None:
        """Take an answer from its start; what came before is dropped.

        Args:
            place: Where it comes from.
            headers: Those of the answer.
            whole: Whether it is all of the artifact. Of a part the rest is not asked for, and what
                its headers announce is not compared.
        """
        self._sink.reset()
        self._restart(place, headers, whole=whole)

    def finish(self) -> None:
        """Look whether all has come, as it was announced.

        Raises:
            ProtocolError: When the server sent a part of the rest only; the next attempt asks for
                what is missing.
            DamagedError: When a checksum is another one; the next attempt begins anew.
        """
        if self._total not in {"*", str(self.position)}:
            message = f"the answer broke off: {self.position} of {self._total} bytes came"
            raise ProtocolError(message)
        wrong = self._announced and checksum.different(self._announced, self._digests.taken())
        if wrong:
            self.forget()
            message = f"what came back is not what its header {wrong.header} says"
            hint = "something in between alters it, or the service's copy is damaged"
            raise DamagedError(message, hint=hint)

    def forget(self) -> None:
        """Begin anew at the next attempt."""
        self._headers = _NO_HEADERS

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._sink.write(chunk)
        self._digests.update(chunk)
        self.position += len(chunk)

    def advanced(self) -> bool:
        """Tell whether much more has come than at any time this was asked before."""
        if self.position < self._highest + _WORTH:
            return False
        self._highest = self.position
        return True

    def _restart(self, place: str, headers: Mapping[str, str], *, whole: bool) -> None:
        self.position = 0
        self._place = place
        self._announced = checksum.announced(headers) if whole else []
        self._digests = Digests([each.algorithm for each in self._announced])
        self._headers = headers if whole else _NO_HEADERS
        length = headers.get("content-length", "")
        known = whole and _LENGTH.fullmatch(length)
        self._total = str(int(length)) if known else "*"


def _validator(headers: Mapping[str, str]) -> str:
    """Return what names this version and no other, empty when nothing does."""
    tag = headers.get("etag", "")
    age = _age(headers)
    if _STRONG.fullmatch(tag):
        return tag if age is None or age >= _SAME_TAG else ""
    return headers["last-modified"] if not tag and age is not None and age >= _SETTLED else ""


def _age(headers: Mapping[str, str]) -> float | None:
    """Return the seconds since the last change, by the server's clock; None when it says nothing.

    A time is sent back as it came, so it must have the form of RFC 9110, section 5.6.7.
    """
    changed, now = headers.get("last-modified", ""), headers.get("date", "")
    if not _TIME.fullmatch(changed):
        return None
    try:
        return (parsedate_to_datetime(now) - parsedate_to_datetime(changed)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
