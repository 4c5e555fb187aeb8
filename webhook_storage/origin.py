"""Where a URL leads, told without keeping it.

A URL may hold a secret, and `urllib.parse` keeps the last ones that it has split.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PARTS = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL
)
"""Scheme, authority, path and query with its mark (RFC 3986, appendix B)."""

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._~-]+))(?::([0-9]{0,5}))?")
_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454).

    Attributes:
        scheme: In lower case.
        host: In lower case, an IPv6 address without its brackets; empty where the URL names no
            host, or one that could be read in two ways.
        port: The one that is given, else the scheme's.
    """

    scheme: str
    host: str
    port: int | None

    def __repr__(self) -> str:
        """Show nothing, the host may come from a secret."""
        return "<Origin>"


def origin(url: str) -> Origin:
    """Return where a URL leads.

    Example:
        >>> tuple(origin("HTTPS://user@Files.Example.com/a?b"))
        ('https', 'files.example.com', 443)
        >>> tuple(origin("file:///tmp/a"))
        ('file', '', None)
    """
    scheme, authority, _, _ = _split(url)
    scheme = scheme.lower()
    found = _AUTHORITY.fullmatch((authority or "").rpartition("@")[2])
    port = int(found[3]) if found and found[3] else _PORTS.get(scheme)
    # To some a backslash ends the host, and what follows a user is the host to others.
    unclear = "\\" in (authority or "") or (port is not None and not 0 < port <= _LAST_PORT)
    if found is None or unclear:
        return Origin(scheme, "", _PORTS.get(scheme))
    return Origin(scheme, (found[1] or found[2]).lower(), port)


def same_origin(one: str, other: str) -> bool:
    """Tell whether two URLs have the same origin; not when that is unclear.

    Example:
        >>> same_origin("https://example.com/a", "https://EXAMPLE.com:443/b")
        True
        >>> same_origin("https://example.com/a", "https://example.com:8443/a")
        False
    """
    first = origin(one)
    return first == origin(other) and bool(first.host or host(one) == host(other) != "")


def host(url: str) -> str:
    """Return host and port as they are spelled, without a user.

    Example:
        >>> host("https://user@Files.Example.com:8443/a")
        'Files.Example.com:8443'
    """
    return (_split(url)[1] or "").rpartition("@")[2]


def path(url: str) -> str:
    """Return the path, as it is encoded, without query and fragment.

    Example:
        >>> path("https://example.com/a%20b/?c")
        '/a%20b/'
    """
    return _split(url)[2]


def target(url: str) -> str:
    """Return path and query, without the fragment, which is not sent.

    Example:
        >>> target("https://example.com/a?b=c#d")
        '/a?b=c'
    """
    _, _, where, query = _split(url)
    return where + (query or "")


def join(base: str, reference: str) -> str:
    """Return where a reference leads from an absolute URL (RFC 3986, section 5.2).

    Args:
        base: An absolute URL.
        reference: An absolute or a relative one; its fragment is dropped.

    Example:
        >>> join("https://example.com/a/b?c", "../d")
        'https://example.com/d'
    """
    scheme, authority, where, query = _split(reference)
    if scheme:
        return _put_together(scheme, authority, _without_dots(where), query)
    scheme, base_authority, base_path, base_query = _split(base)
    if authority is not None:
        return _put_together(scheme, authority, _without_dots(where), query)
    if not where:
        return _put_together(scheme, base_authority, base_path, query or base_query)
    if not where.startswith("/"):
        where = f"{base_path.rpartition('/')[0]}/{where}"
    return _put_together(scheme, base_authority, _without_dots(where), query)


def _split(url: str) -> tuple[str, str | None, str, str | None]:
    """Return scheme, authority, path and query, as they are spelled."""
    scheme, authority, where, query = _PARTS.fullmatch(url).groups()  # type: ignore[union-attr]
    return scheme or "", authority, where, query


def _put_together(scheme: str, authority: str | None, where: str, query: str | None) -> str:
    start = f"{scheme}:" if authority is None else f"{scheme}://{authority}"
    return f"{start}{where}{query or ''}"


def _without_dots(where: str) -> str:
    """Return a path without ``.`` and ``..`` segments (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    segments = where.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1 or (kept and kept[0]):
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/".join(kept)
