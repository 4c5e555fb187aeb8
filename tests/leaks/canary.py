"""Two secrets that are easy to find again, and every spelling in which they could turn up."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

CORE = "CaNaRy7Qx9"
"""Letters and digits, which look the same in each textual encoding."""

MIXED = CORE + """ "q"\\b&s=/+<'1'>%z"""
PLAIN = "pLaIn4CaNaRyValue0123"
SECRETS = {"MIXED": MIXED, "PLAIN": PLAIN}
USER = "me"


def forms(secret: str) -> dict[str, str]:
    """Return the spellings of a secret by name, computed without the library."""
    quoted = quote(secret, safe="")
    found = {
        "raw": secret,
        "quoted": quoted,
        "quoted, slashes kept": quote(secret),
        "quoted, digits in lower case": re.sub("%..", lambda digits: digits[0].lower(), quoted),
        "quoted twice": quote(quoted, safe=""),
        "quoted, plus for blank": quote_plus(secret),
        "JSON": json.dumps(secret)[1:-1],
        "repr": repr(secret)[1:-1],
        "repr of bytes": repr(secret.encode())[2:-1],
        "XML": escape(secret, {'"': "&quot;"}),
        "basic": base64.b64encode(f"{USER}:{secret}".encode()).decode(),
    }
    for offset in range(3):
        found[f"base64 at {offset}"] = base64_core(secret, offset)
    return found


def base64_core(secret: str, offset: int) -> str:
    """Return the digits that depend on the secret alone when so many bytes stand before it."""
    raw = secret.encode()
    digits = base64.b64encode(b"\0" * offset + raw).decode()
    return digits[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]


ALL_FORMS = {
    f"{name}, {form}": text
    for name, secret in SECRETS.items()
    for form, text in forms(secret).items()
}
_HINTS = {
    **{f"core, base64 at {offset}": base64_core(CORE, offset) for offset in range(3)},
    "core": CORE,
    "core in lower case": CORE.lower(),
    "plain in lower case": PLAIN.lower(),
}


def find(text: str | bytes) -> list[str]:
    """Return the names of the spellings that stand in a text."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    searched = {**ALL_FORMS, **_HINTS}
    return [name for name, form in searched.items() if form in text]
