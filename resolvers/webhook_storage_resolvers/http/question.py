"""The question to a configured service: an address and a document with a place for the name.

Rule: a name fills segments of the path, the query and strings, and nothing else; scheme, host and
port are those of the configuration.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from webhook_storage.errors import ConfigurationError
from webhook_storage.filters import has_dot_segment
from webhook_storage_resolvers.naming import NAME, is_segment

_URL = re.compile(
    r"(?P<origin>https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?)"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?)"
    r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)


def check_url(url: Any, path: str, *, filled: bool = False) -> None:
    """Refuse what is no address, or leaves its host to the name.

    Args:
        url: What the configuration says.
        path: The name of that setting.
        filled: Whether ``{name}`` may stand in it.

    Raises:
        ConfigurationError: It is none.
    """
    shown = url.replace(NAME, "x") if isinstance(url, str) and filled else url
    match = _URL.fullmatch(shown) if isinstance(shown, str) else None
    if match is None or has_dot_segment(match["path"]):
        message = "this is an address of http or https, without user, fragment or '..'"
        hint = "https://safe.example.com/v1/secrets/{name}, and what is special percent-encoded"
        raise ConfigurationError(message, path=path, hint=hint)
    if not url.startswith(match["origin"]):
        message = f"{NAME} stands in the path or the query, never in host or port"
        raise ConfigurationError(message, path=path)


def check_document(document: Any) -> None:
    """Refuse what cannot be written as JSON.

    Raises:
        ConfigurationError: It cannot.
    """
    try:
        json.dumps(document, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        written = False
    else:
        written = True
    if not written:
        raise ConfigurationError("this cannot be written as JSON", path="json")


def holds_name(document: Any) -> bool:
    """Tell whether a string in a document has a place for the name; keys do not count."""
    if isinstance(document, dict):
        return any(map(holds_name, document.values()))
    if isinstance(document, list | tuple):
        return any(map(holds_name, document))
    return isinstance(document, str) and NAME in document


def is_name(name: str) -> bool:
    """Tell whether a name leads nowhere else: words between single slashes, no ``..``."""
    return all(map(is_segment, name.split("/")))


def fill_url(url: str, name: str, *, slashes: bool) -> str:
    """Return the address for a name.

    Args:
        url: With ``{name}`` in it.
        name: What `is_name` allows.
        slashes: Whether its slashes separate segments; else they are encoded, too.

    Example:
        >>> fill_url("https://safe.example.com/v1/{name}", "team/app", slashes=False)
        'https://safe.example.com/v1/team%2Fapp'
    """
    return url.replace(NAME, quote(name, safe="/" if slashes else ""))


def fill_document(document: Any, name: str) -> Any:
    """Return the document for a name, which is put into its strings and not looked at again.

    Example:
        >>> fill_document({"path": "kv/{name}", "depth": 1}, "app")
        {'path': 'kv/app', 'depth': 1}
    """
    if isinstance(document, dict):
        return {key: fill_document(child, name) for key, child in document.items()}
    if isinstance(document, list | tuple):
        return [fill_document(child, name) for child in document]
    return document.replace(NAME, name) if isinstance(document, str) else document
