"""Filters: what can be done to a value before it is put into its place. A closed set, all pure."""

from __future__ import annotations

import base64
import json
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_XML_ENTITIES: Final = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "'": "&apos;",
        "\t": "&#9;",  # a parser turns these three into spaces when they stand in an attribute
        "\n": "&#10;",
        "\r": "&#13;",
    }
)
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def has_dot_segment(path: str) -> bool:
    """Tell whether somebody on the way could read a ``.`` or ``..`` segment in the path.

    Backslashes, percent-encoding, even repeated, and path parameters (``..;x``) hide none.
    """
    if "." not in path and "%" not in path:
        return False
    for _ in range(4):
        segments = path.replace("\\", "/").split("/")
        if any(segment.partition(";")[0] in {".", ".."} for segment in segments):
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return True


def _path(text: str) -> str:
    if has_dot_segment(text):
        raise ValueError
    return quote(text, safe="/")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _base64decode(text: str) -> str:
    """Decode either alphabet, with or without padding and line breaks."""
    joined = "".join(text.split()).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    return base64.b64decode(joined + "=" * (-len(joined) % 4), validate=True).decode()


def _xml(text: str) -> str:
    if _NOT_IN_XML.search(text):
        raise ValueError
    return text.translate(_XML_ENTITIES)


def _trimnl(text: str) -> str:
    return text[:-1].removesuffix("\r") if text.endswith("\n") else text


def _basic(text: str) -> str:
    if ":" not in text or _CONTROL.search(text):
        raise ValueError
    return _base64(text)


FILTERS: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "urlencode": lambda text: quote(text, safe=""),
        "path": _path,
        "query": quote_plus,
        "base64": _base64,
        "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
        "base64decode": _base64decode,
        "json": lambda text: json.dumps(text)[1:-1],
        "xml": _xml,
        "strip": str.strip,
        "trimnl": _trimnl,
        "basic": _basic,
        "raw": lambda text: text,
    }
)
"""All filters. They are pure, take no arguments, and refuse with a ValueError."""


FILTER_NEEDS: Final = {
    "path": "a path without '.' and '..' segments",
    "base64decode": "the base64 form of UTF-8 text",
    "xml": "text without the characters that XML does not have",
    "basic": "the form user:password without control characters",
}
