"""What a server says of files and folders: PROPFIND and its multistatus (RFC 4918, 9.1 and 13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from webhook_storage import markup, origin
from webhook_storage.answer import number

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAV = "DAV:"
_OWNCLOUD = "http://owncloud.org/ns"

PROPERTIES = (
    '<?xml version="1.0" encoding="utf-8"?>'
    f'<d:propfind xmlns:d="{_DAV}" xmlns:oc="{_OWNCLOUD}"><d:prop><d:resourcetype/>'
    "<d:getcontentlength/><d:getetag/><d:getlastmodified/><d:getcontenttype/>"
    "</d:prop></d:propfind>"
)
"""What is asked of a file or a folder."""

KINDS = (
    '<?xml version="1.0" encoding="utf-8"?>'
    f'<d:propfind xmlns:d="{_DAV}"><d:prop><d:resourcetype/></d:prop></d:propfind>'
)
"""What is asked of all that is in a folder, which may be much."""

WITH_CHECKSUMS = PROPERTIES.replace("</d:prop>", "<oc:checksums/></d:prop>")
"""The same with the checksums that Nextcloud and ownCloud keep."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder.

    Attributes:
        segments: The parts of its path, decoded.
        is_folder: Whether it holds others.
        size: Number of bytes, where the server says it.
        etag: Its version.
        modified: Time of the last change, as the server says it.
        content_type: Its media type.
        checksums: What the server knows of its bytes, for example ``SHA1:...``.
    """

    segments: tuple[str, ...]
    is_folder: bool
    size: int | None
    etag: str | None
    modified: str | None
    content_type: str | None
    checksums: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """All that the server told, beside the path, of which it was asked."""
        told = (self.etag, self.modified, self.content_type, *self.checksums)
        return [text for text in told if text]


def parse(data: bytes) -> list[Entry] | None:
    """Return what a multistatus is about, None when these bytes are none.

    What the server could not tell of is left out.

    Example:
        >>> [entry] = parse(
        ...     b'<m:multistatus xmlns:m="DAV:"><m:response><m:href>/a%20b</m:href><m:propstat>'
        ...     b"<m:prop><m:getcontentlength>7</m:getcontentlength></m:prop>"
        ...     b"<m:status>HTTP/1.1 200 OK</m:status></m:propstat></m:response></m:multistatus>"
        ... )
        >>> entry.segments, entry.size, entry.is_folder
        (('a b',), 7, False)
    """
    root = markup.parse(data)
    if root is None or root.name != "multistatus" or root.namespace != _DAV:
        return None
    found = (_entry(response) for response in root.all("response"))
    return [entry for entry in found if entry is not None]


def refused(data: bytes) -> int:
    """Return the status of the first thing that a multistatus does not tell of, 0 without one.

    Example:
        >>> refused(
        ...     b'<m:multistatus xmlns:m="DAV:"><m:response><m:href>/a</m:href>'
        ...     b"<m:status>HTTP/1.1 403 Forbidden</m:status></m:response></m:multistatus>"
        ... )
        403
    """
    root = markup.parse(data)
    words = root.value("response", "status").split() if root is not None else []
    return (number(words[1]) or 0) if len(words) > 1 else 0


def asked_for(entries: Sequence[Entry]) -> Entry | None:
    """Return what was asked for among what is in it: it has the shortest path.

    So it does not matter by which path the server knows what a proxy in front of it calls
    otherwise.
    """
    return min(entries, key=lambda entry: len(entry.segments), default=None)


def children(entries: Sequence[Entry]) -> list[Entry]:
    """Return those that are directly in the folder that was asked for."""
    folder = asked_for(entries)
    above = () if folder is None else folder.segments
    return [
        entry
        for entry in entries
        if len(entry.segments) == len(above) + 1 and entry.segments[: len(above)] == above
    ]


def _entry(response: markup.Element) -> Entry | None:
    segments = _segments(response.value("href"))
    if segments is None or not _is_good(response.value("status")):
        return None
    props = [
        prop
        for propstat in response.all("propstat")
        if _is_good(propstat.value("status"))
        for prop in propstat.all("prop")
    ]
    if not props:
        return None
    return Entry(
        segments=segments,
        is_folder=any(prop.first("resourcetype", "collection") is not None for prop in props),
        size=number(_value(props, "getcontentlength") or ""),
        etag=_etag(_value(props, "getetag")),
        modified=_value(props, "getlastmodified"),
        content_type=_value(props, "getcontenttype"),
        checksums=tuple(
            checksum.upper()
            for prop in props
            for each in (prop.first("checksums") or markup.Element("")).all("checksum")
            for checksum in each.text.split()
        ),
    )


def _value(props: list[markup.Element], name: str) -> str | None:
    return next((prop.value(name) for prop in props if prop.value(name)), None)


def _etag(text: str | None) -> str | None:
    """Return a version in its quotes, which WsgiDAV leaves out here; None for what is none."""
    if text is not None and not (text.isascii() and text.isprintable()):
        return None
    return text if text is None or text.startswith(('"', "W/")) else f'"{text}"'


def _is_good(status: str) -> bool:
    """Tell whether a status line, where there is one, is a success."""
    words = status.split()
    return len(words) < 2 or words[1].startswith("2")  # noqa: PLR2004


def _segments(href: str) -> tuple[str, ...] | None:
    """Return the parts of the path, None for one that no key of ours leads to."""
    try:
        parts = [
            unquote(part, errors="strict") for part in origin.path(href.strip()).split("/") if part
        ]
    except UnicodeDecodeError:
        return None
    return None if any("/" in part for part in parts) else tuple(parts)
