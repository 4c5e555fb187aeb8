"""Checksums in headers: what a service says of the bytes that it sends, or has stored.

They find damage on the way and on the service. They do not find a forger, who writes the header
too; a signature does.

A checksum is compared where its header certainly speaks of the bytes at hand. What cannot be read,
what is of an algorithm that is not here, and what may speak of other bytes is not compared: a false
alarm would make artifacts unreachable that are sound.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from webhook_storage.contracts import Work
from webhook_storage.digests import SIZES, Digests, available
from webhook_storage.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from webhook_storage.contracts import Body, Exchange, Response

_LONGEST = 4096
"""Characters of a header that are read; one that is longer is not."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a header says of some bytes.

    Attributes:
        algorithm: Its name in lower case without a hyphen, for example ``sha256``.
        value: The checksum, its most significant byte first.
        header: The header that says it.
    """

    algorithm: str
    value: bytes = field(repr=False)
    header: str


def different(said: Iterable[Checksum], taken: Mapping[str, bytes]) -> Checksum | None:
    """Return the first checksum that is not the one that was taken, None when there is none."""
    for each in said:
        if taken.get(each.algorithm, each.value) != each.value:
            return each
    return None


# --- reading -------------------------------------------------------------------------------------

_Found: TypeAlias = "Iterable[tuple[str, bytes | None]]"
"""Algorithms with their values, None where a value cannot be read."""

_STRUCTURED = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,]*)?")
_INSTANCE = re.compile(r"([A-Za-z0-9-]+)=([A-Za-z0-9+/]+={0,2})")
_REPR_NAMES = {"sha-256": "sha256", "sha-512": "sha512"}
"""Of RFC 9530, section 5; the others there are deprecated."""

_INSTANCE_NAMES = {"sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "md5": "md5"}
"""Of RFC 3230, section 4.1.1, and RFC 5843; those that are written in base64."""

_OWNCLOUD_NAMES = {"sha256": "sha256", "sha1": "sha1", "md5": "md5", "adler32": "adler32"}


def _of_base64(algorithm: str, text: str) -> tuple[str, bytes | None]:
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return algorithm, None
    return algorithm, value if len(value) == SIZES[algorithm] else None


def _of_hex(algorithm: str, text: str) -> tuple[str, bytes | None]:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        return algorithm, None
    return algorithm, value if len(value) == SIZES[algorithm] else None


def _one_base64(algorithm: str) -> Callable[[str], _Found]:
    return lambda text: [_of_base64(algorithm, text)]


def _one_hex(algorithm: str) -> Callable[[str], _Found]:
    return lambda text: [_of_hex(algorithm, text)]


def _structured(text: str) -> _Found:
    """Read a dictionary of byte sequences; one wrong member spoils all (RFC 8941, section 4.2)."""
    members = [_STRUCTURED.fullmatch(member.strip(" \t")) for member in text.split(",")]
    if not all(members):
        return []
    # Of a name that comes twice the last value counts.
    values = {member[1]: member[2] for member in members if member}
    return [
        _of_base64(_REPR_NAMES[name], value)
        for name, value in values.items()
        if name in _REPR_NAMES
    ]


def _instance(text: str) -> Iterator[tuple[str, bytes | None]]:
    """Read ``SHA-256=...,ADLER32=...`` (RFC 3230, section 4.3.2)."""
    for member in text.split(","):
        found = _INSTANCE.fullmatch(member.strip(" \t"))
        name, value = (found[1].lower(), found[2]) if found else ("", "")
        if name in _INSTANCE_NAMES:
            yield _of_base64(_INSTANCE_NAMES[name], value)
        elif name in {"adler32", "crc32c"}:
            yield _of_hex(name, value.zfill(8))  # it may come without its leading zeros


def _google(text: str) -> Iterator[tuple[str, bytes | None]]:
    """Read ``crc32c=...,md5=...`` in base64."""
    for member in text.split(","):
        name, _, value = member.strip(" \t").partition("=")
        if name in {"md5", "crc32c"}:
            yield _of_base64(name, value)


def _owncloud(text: str) -> Iterator[tuple[str, bytes | None]]:
    """Read ``SHA1:... ADLER32:...`` in hex."""
    for member in text.split():
        name, _, value = member.partition(":")
        algorithm = _OWNCLOUD_NAMES.get(name.lower())
        if algorithm is not None:
            yield _of_hex(algorithm, value.zfill(8) if algorithm == "adler32" else value)


def _docker(text: str) -> _Found:
    """Read ``sha256:...`` in hex (OCI image specification, section Digests)."""
    name, _, value = text.partition(":")
    return [_of_hex(name, value)] if name in {"sha256", "sha512"} else []


_HEADERS: dict[str, Callable[[str], _Found]] = {
    "Repr-Digest": _structured,
    "Content-Digest": _structured,
    "Digest": _instance,
    "Content-MD5": _one_base64("md5"),
    "x-amz-checksum-sha256": _one_base64("sha256"),
    "x-amz-checksum-sha1": _one_base64("sha1"),
    "x-amz-checksum-crc32": _one_base64("crc32"),
    "x-amz-checksum-crc32c": _one_base64("crc32c"),
    "x-goog-hash": _google,
    "OC-Checksum": _owncloud,
    "Docker-Content-Digest": _docker,
    "X-Checksum-Sha256": _one_hex("sha256"),
    "X-Checksum-Sha1": _one_hex("sha1"),
    "X-Checksum-Md5": _one_hex("md5"),
    "X-Hash-Sha256": _one_hex("sha256"),
    "X-Hash-Sha1": _one_hex("sha1"),
    "X-Hash-Md5": _one_hex("md5"),
    "x-ms-blob-content-md5": _one_base64("md5"),
}
"""How each header is written."""

_NAMES = frozenset(name.lower() for name in _HEADERS)


def parse(headers: Mapping[str, str], names: Iterable[str] = tuple(_HEADERS)) -> list[Checksum]:
    """Return the checksums in an answer's headers that can be read.

    Args:
        headers: Names in lower case; of a repeated name the values joined by a comma.
        names: Which headers to read; all that are known by default.

    Example:
        >>> [found] = parse({"content-md5": "XrY7u+Ae7tCTyyK7j1rNww=="})
        >>> found.algorithm, found.value.hex()
        ('md5', '5eb63bbbe01eeed093cb22bb8f5acdc3')
        >>> parse({"content-md5": "5eb63bbb", "x-checksum-sha256": "?"})
        []
    """
    return [
        Checksum(algorithm, value, name)
        for name in names
        if 0 < len(headers.get(name.lower(), "")) <= _LONGEST
        for algorithm, value in _HEADERS[name](headers[name.lower()].strip())
        if value is not None and available(algorithm)
    ]


# --- what they speak of --------------------------------------------------------------------------

_KEPT = (
    "OC-Checksum", "Docker-Content-Digest", "X-Checksum-Sha256", "X-Checksum-Sha1",
    "X-Checksum-Md5",
)  # fmt: skip
"""Headers that speak of what the service keeps under this name."""

_AMAZON = (
    "x-amz-checksum-sha256", "x-amz-checksum-sha1", "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
)  # fmt: skip


def announced(headers: Mapping[str, str]) -> list[Checksum]:
    """Return what the headers of a 200 that sends an artifact say of all of its body.

    - ``Repr-Digest`` is of the representation with its content coding, and so is
      ``Content-Digest`` of a whole answer (RFC 9530, sections 2 and 3; RFC 9110, section 8.4):
      of the bytes as they come, which are kept as they come.
    - ``Content-MD5`` and ``Digest`` are too (RFC 2616, section 14.15; RFC 3230, section 2). But
      who compresses on the way often leaves them, so with a content coding they are not compared.
      Azure does not renew ``Content-MD5`` when a blob is appended to or written in pages.
    - All others are of what the service keeps. With a content coding that may be something else.
      Google tells the coding of what it keeps, and unpacks it for who does not take it (Cloud
      Storage, Transcoding of gzip-compressed files): then its hash is of other bytes. Where it
      comes in the coding in which it is kept, the hash is of what comes.
    - Amazon also gives checksums of the checksums of parts, by their type ``COMPOSITE`` or an end
      like ``-7`` (S3, Checking object integrity).

    Where a SHA-2 is among them, the others would find nothing more, and cost time.
    """
    if headers.keys().isdisjoint(_NAMES):
        return []
    found = _all_announced(headers)
    strong = [each for each in found if each.algorithm in {"sha256", "sha512"}]
    return strong or found


def _all_announced(headers: Mapping[str, str]) -> list[Checksum]:
    found = parse(headers, ("Repr-Digest", "Content-Digest"))
    coding = _coding(headers, "content-encoding")
    # Without the header a hash speaks of these bytes where they have no coding.
    if coding == _coding(headers, "x-goog-stored-content-encoding"):
        found += parse(headers, ("x-goog-hash",))
    if coding:
        return found
    found += parse(headers, ("Digest", *_KEPT, *_whole_of_amazon(headers)))
    if headers.get("x-ms-blob-type", "BlockBlob") == "BlockBlob":
        found += parse(headers, ("Content-MD5", "x-ms-blob-content-md5"))
    return found


def _coding(headers: Mapping[str, str], name: str) -> str:
    """Return a coding of content; empty for none."""
    coding = headers.get(name, "").strip().lower()
    return "" if coding == "identity" else coding


def announced_with_rest(headers: Mapping[str, str]) -> list[Checksum]:
    """Return what the headers of a 206 say of the whole of which it sends a part.

    ``Repr-Digest`` is of the whole (RFC 9530, section 3). ``Content-Digest`` is of the part, and
    ``Content-MD5`` of either (RFC 7231, appendix B). Of the others the first answer said the same.
    """
    return parse(headers, ("Repr-Digest",))


def stored(response: Response) -> list[Checksum]:
    """Return what the answer to a store says of what was stored.

    ``Content-MD5`` and ``Repr-Digest`` may speak of the answer itself. They count where it has no
    body, and they are not those of nothing. ``Content-Digest`` always speaks of the answer.
    """
    headers = response.headers
    if headers.keys().isdisjoint(_NAMES):
        return []
    found = parse(headers, (*_KEPT, "x-goog-hash", *_NEXTCLOUD, *_whole_of_amazon(headers)))
    if not response.size:
        said = parse(headers, ("Content-MD5", "Repr-Digest"))
        nothing = Digests(each.algorithm for each in said).taken()
        found += [each for each in said if each.value != nothing[each.algorithm]]
    return found


_NEXTCLOUD = ("X-Hash-Sha256", "X-Hash-Sha1", "X-Hash-Md5")
"""What Nextcloud answers to a store with ``X-Hash``."""


def _whole_of_amazon(headers: Mapping[str, str]) -> Sequence[str]:
    """Return Amazon's headers where they are of the whole object, else none."""
    return () if headers.get("x-amz-checksum-type", "").upper() == "COMPOSITE" else _AMAZON


# --- a store -------------------------------------------------------------------------------------

ChecksumHeader: TypeAlias = Literal[
    "Content-MD5", "Repr-Digest", "Content-Digest", "OC-Checksum", "ETag", "x-goog-hash",
    "x-amz-checksum-sha256", "x-amz-checksum-sha1", "x-amz-checksum-crc32",
    "X-Checksum-Sha256", "X-Checksum-Sha1", "X-Checksum-Md5",
]  # fmt: skip
"""Headers by which services take a checksum with a store."""


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


_SENT: dict[ChecksumHeader, tuple[str, Callable[[bytes], str]]] = {
    "Content-MD5": ("md5", _base64),
    "Repr-Digest": ("sha256", lambda value: f"sha-256=:{_base64(value)}:"),
    "Content-Digest": ("sha256", lambda value: f"sha-256=:{_base64(value)}:"),
    "OC-Checksum": ("sha1", lambda value: f"SHA1:{value.hex()}"),
    "ETag": ("md5", bytes.hex),  # OpenStack Swift
    "x-goog-hash": ("md5", lambda value: f"md5={_base64(value)}"),
    "x-amz-checksum-sha256": ("sha256", _base64),
    "x-amz-checksum-sha1": ("sha1", _base64),
    "x-amz-checksum-crc32": ("crc32", _base64),
    "X-Checksum-Sha256": ("sha256", bytes.hex),
    "X-Checksum-Sha1": ("sha1", bytes.hex),
    "X-Checksum-Md5": ("md5", bytes.hex),
}
"""Algorithm and writing of each."""


def sent(header: ChecksumHeader, body: Body, taken: dict[str, bytes]) -> Exchange[str]:
    """Return the text of a header that goes with a store.

    Args:
        header: Its name.
        body: What is stored; it is read once more, unless its SHA-256 is wanted and known.
        taken: Checksums of the body that are known, by algorithm; what is taken is added.
    """
    algorithm, write = _SENT[header]
    yield from _take(body, {algorithm}, taken)
    return write(taken[algorithm])


def compare_stored(
    what: str, response: Response, body: Body, taken: dict[str, bytes] | None = None
) -> Exchange[None]:
    """Compare what the answer to a store says of the stored bytes with what was sent.

    Args:
        what: What was stored where, for the message; a template, no value.
        response: The answer.
        body: What was sent; it is read once more, unless nothing is said, or its SHA-256 only.
        taken: Checksums of the body that are known, by algorithm; what is taken is added.

    Raises:
        IntegrityError: When the service has stored other bytes.
    """
    said, taken = stored(response), {} if taken is None else taken
    if not said:
        return
    yield from _take(body, {each.algorithm for each in said}, taken)
    wrong = different(said, taken)
    if wrong is not None:
        message = f"{what}: the service says by {wrong.header} that it has stored other bytes"
        raise IntegrityError(message, hint="something in between altered them; store it again")


def _take(body: Body, algorithms: Iterable[str], taken: dict[str, bytes]) -> Exchange[None]:
    """Add the checksums that are not known yet."""
    missing = [name for name in algorithms if name not in taken]
    if missing:
        taken.update((yield Work(partial(_read, body, missing))))


def _read(body: Body, algorithms: Sequence[str]) -> dict[str, bytes]:
    if list(algorithms) == ["sha256"]:
        return {"sha256": bytes.fromhex(body.sha256())}
    digests = Digests(algorithms)
    for chunk in body.chunks():
        digests.update(chunk)
    return digests.taken()
