"""A value to use as a secret, and the search for it."""

from __future__ import annotations

import base64
import json
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from webhook_storage.secret import Redactor, SecretValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def canary() -> str:
    """Return a new value to use as a secret, and to look for afterwards.

    It has characters that URLs, JSON, XML and shells spell in another way, so that a leak in any of
    these forms is another text. It may stand in a header, a query, a body and a password.

    Example:
        >>> canary() == canary()
        False
    """
    return f'cn{secrets.token_hex(8)}/+ &="%<~{secrets.token_hex(8)}'


def find_leaks(where: str | bytes, value: str) -> list[str]:
    """Return the forms in which a value stands in a text or in bytes; none is an empty list.

    Args:
        where: A message, a log, a file, a pickle.
        value: What must not be in it; see `canary`.

    Example:
        >>> find_leaks("GET /?key=open%20sesame", "open sesame")
        ['percent-encoded']
        >>> find_leaks(b"Basic bWU6b3BlbiBzZXNhbWU=", "open sesame")
        ['base64 at offset 0']
        >>> find_leaks("nothing", "open sesame")
        []
    """
    text = where if isinstance(where, str) else where.decode("utf-8", errors="backslashreplace")
    forms: dict[str, str] = {}
    for name, form in _forms(value):
        forms.setdefault(form, name)
    found = [name for form, name in forms.items() if form in text]
    if not found and Redactor([SecretValue(value)]).found_in(text):
        found.append("another form")
    return found


def _forms(value: str) -> Iterator[tuple[str, str]]:
    """Yield names and spellings of a value."""
    yield "raw", value
    for encoded in (quote(value), quote(value, safe=""), quote_plus(value)):
        yield "percent-encoded", encoded
        yield "percent-encoded", re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), encoded)
    yield "JSON", json.dumps(value)[1:-1]
    yield "JSON in JSON", json.dumps(json.dumps(value)[1:-1])[1:-1]
    yield "repr", repr(value)[1:-1]
    yield "reversed", value[::-1]
    yield "hex", value.encode().hex()
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield f"base64 at offset {offset}", _base64_core(encode, value.encode(), offset)


def _base64_core(encode: Callable[[bytes], bytes], raw: bytes, offset: int) -> str:
    """Return the characters of base64 that depend on the value alone.

    Args:
        encode: The base64 to use.
        raw: The value.
        offset: How many bytes stand before it in its group of three.
    """
    encoded = encode(bytes(offset) + raw).decode().rstrip("=")
    start = (0, 2, 3)[offset]
    return encoded[start : len(encoded) - (1 if (offset + len(raw)) % 3 else 0)]
