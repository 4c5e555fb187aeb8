"""JSON documents of which one part is a secret.

Rule: scalars keep the spelling that they have in the document (``1e5`` stays ``1e5``), and nothing
here raises, since the exceptions of a JSON parser hold the document.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from webhook_storage.contracts import Found, Invalid, NotFound, Outcome
from webhook_storage.secret import SecretValue

_MOST_FIELDS_NAMED: Final = 10
_INDEX_DIGITS: Final = 9
"""More digits than any index has; `int` refuses texts of thousands of digits."""


class Number(str):
    """A JSON number, or ``NaN`` and its like, as it was spelled."""

    __slots__ = ()


class Missing:
    """Stands for a document, or a part of one, that is not there."""


MISSING: Final = Missing()


def pick(outcome: Outcome, field: str | None) -> Outcome:
    """Return the outcome for one field of a secret; what was not found stays as it is."""
    if not isinstance(outcome, Found) or (field is None and not outcome.structured):
        return outcome
    document = parse(outcome.value.reveal())
    if document is MISSING:
        return Invalid("is not JSON, so it has no fields")
    fields = _fields(document, named=outcome.structured)
    return (
        Invalid(f"has {fields}, name one with #")
        if field is None
        else _part(outcome, document, field, fields)
    )


def _part(secret: Found, document: Any, field: str, fields: str) -> Outcome:
    """Return the outcome for a field of a document."""
    part = select(document, field)
    if part is MISSING:
        return Invalid(f'has no field "{field}", but {fields}')
    if part is None:
        return NotFound(f'the field "{field}" is null')
    text = spell(part)
    if text is None:
        return Invalid(f'the field "{field}" is no text')
    return replace(secret, value=SecretValue(text), structured=False)


def _fields(document: Any, *, named: bool) -> str:
    """Say what fields there are. Only a store's own field names are known to be no secrets."""
    if not isinstance(document, dict):
        return "no fields"
    names = ", ".join(sorted(document)[:_MOST_FIELDS_NAMED])
    more = ", ..." if len(document) > _MOST_FIELDS_NAMED else ""
    count = f"{len(document)} field" + ("" if len(document) == 1 else "s")
    return f"{count} ({names}{more})" if named and document else count


def parse(text: str) -> Any:
    """Return the document, or `MISSING` when the text is not JSON.

    Example:
        >>> parse('{"port": 1e5}')
        {'port': '1e5'}
    """
    try:
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number)
    except (ValueError, RecursionError):
        return MISSING


def spell(node: Any) -> str | None:
    """Return a string as it is, any other node as compact JSON, None for what is no text.

    Example:
        >>> spell(parse('{"a": [1.50, true]}'))
        '{"a":[1.50,true]}'
    """
    try:
        text = str(node) if isinstance(node, str) else _compact(node)
        text.encode()
    except (RecursionError, UnicodeEncodeError):
        return None
    return text


def select(document: Any, field: str) -> Any:
    """Return one part of a document, or `MISSING`.

    Args:
        document: What `parse` returned.
        field: A key of an object, or an RFC 6901 pointer when it starts with a slash.

    Example:
        >>> select({"a/b": ["x", "y"]}, "/a~1b/1")
        'y'
    """
    if not field.startswith("/"):
        return _child(document, field) if isinstance(document, dict) else MISSING
    node = document
    for token in field[1:].split("/"):
        node = _child(node, token.replace("~1", "/").replace("~0", "~"))
    return node


def _child(node: Any, key: str) -> Any:
    """Return the member of an object or the element of an array, or `MISSING`."""
    if isinstance(node, dict):
        return node.get(key, MISSING)
    if isinstance(node, list) and _is_index(key) and int(key) < len(node):
        return node[int(key)]
    return MISSING


def _is_index(key: str) -> bool:
    """Tell whether a token is an array index: digits without a leading zero."""
    short = len(key) <= _INDEX_DIGITS and key.isascii() and key.isdigit()
    return short and (key == "0" or key[0] != "0")


def _compact(node: Any) -> str:
    """Write JSON without spaces, numbers as they were spelled."""
    if isinstance(node, dict):
        members = (f"{_compact(key)}:{_compact(child)}" for key, child in node.items())
        return "{" + ",".join(members) + "}"
    if isinstance(node, list):
        return "[" + ",".join(_compact(child) for child in node) + "]"
    if isinstance(node, Number):
        return str(node)
    return json.dumps(node, ensure_ascii=False)
