"""Values in headers, bodies, cookies, credentials and paths."""

from __future__ import annotations

import json
import re
from typing import Final

from webhook_storage.errors import TemplateError, UnsafeValueError
from webhook_storage.place.documents import json_text
from webhook_storage.place.rules import CONTROLS, Rule, kept, last_filter, refused
from webhook_storage.template import Lookup, Placeholder, Source, Template, as_is

_HEADER = Rule("a header", re.compile(r"[^\t -~]"), "a control character or one outside ASCII")
_COOKIE = Rule(
    "a cookie",
    re.compile(r"[^!#-+\--:<-\[\]-~]"),
    "a blank, quote, comma, semicolon, backslash, control character or one outside ASCII",
)
_USER = Rule("a user name", re.compile("[\x00-\x1f\x7f-\x9f:]"), "a ':' or a control character")
_PASSWORD = Rule("a password", CONTROLS, "a control character")
_PLAIN_TEXT = Rule("a path or an address", CONTROLS, "a control character")
_PEM_TEXT = Rule(
    "a PEM text", re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"), "a control character"
)
_TEXT = Rule("a text", re.compile("\x00"), "a NUL character")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")
_TEXT_FILTERS: Final = frozenset(
    {"json", "xml", "urlencode", "query", "base64", "base64url", "raw"}
)


def header(template: Template, lookup: Lookup) -> str:
    """Return a header's value: visible ASCII, with blanks and tabs inside.

    In a header that is JSON, values are escaped, and so are characters outside ASCII.

    Raises:
        TemplateError: When the template's own text cannot stand in a header.
        UnsafeValueError: When a value cannot.
    """
    return _header(template, lookup) if template.sources else _literal_header(template)


@kept
def _literal_header(template: Template) -> str:
    """Return a header's value in which nothing is to be filled."""
    return _header(template, _nothing)


def _nothing(_: Source) -> None:
    """Look up nothing."""


def _header(template: Template, lookup: Lookup) -> str:
    text = json_text(template, lookup)
    if text is None:
        text = _fill(template, lookup, _HEADER)
    else:
        if not text.isascii():  # in JSON such a character stands in a string and can be escaped
            text = "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)
        if _HEADER.bad.search(text):
            raise _culprit(template, text, _HEADER)
    if text != text.strip(" \t"):
        raise _blank_at_an_edge(template.parts[0 if text[0] in " \t" else -1])
    return text


def text_body(template: Template, lookup: Lookup) -> str:
    """Return a body that is written as text.

    In one that is JSON, values are escaped. In another one the library cannot know what is safe, so
    a value that is more than letters, digits and ``. _ ~ -`` needs a filter that says it.

    Raises:
        TemplateError: When a placeholder stands in a key of JSON.
        UnsafeValueError: When a value needs a filter, or has the wrong one.
    """
    if template.literal is not None:
        return template.literal
    text = json_text(template, lookup)
    return template.fill(lookup, _marked_safe) if text is None else text


def query_value(template: Template, lookup: Lookup) -> str:
    """Return a value for the query; the caller encodes it."""
    return _fill(template, lookup, _TEXT)


def form_value(template: Template, lookup: Lookup) -> str:
    """Return a value for a form; the caller encodes it."""
    return _fill(template, lookup, _TEXT)


def json_value(template: Template, lookup: Lookup) -> str:
    """Return a string of a JSON document; the caller encodes the document."""
    return _fill(template, lookup, _TEXT)


def cookie(template: Template, lookup: Lookup) -> str:
    """Return a cookie's value: the characters that RFC 6265 allows without quotes."""
    return _fill(template, lookup, _COOKIE)


def user(template: Template, lookup: Lookup) -> str:
    """Return a user name for basic authentication, which no colon may split elsewhere."""
    return _fill(template, lookup, _USER)


def password(template: Template, lookup: Lookup) -> str:
    """Return a password for basic authentication; the caller encodes it."""
    return _fill(template, lookup, _PASSWORD)


def plain(template: Template, lookup: Lookup) -> str:
    """Return the address of a proxy."""
    return _fill(template, lookup, _PLAIN_TEXT)


def pem_file(template: Template, lookup: Lookup) -> str:
    """Return the path of a PEM file, or the text that stands in one, with its line breaks."""
    is_text = "-----BEGIN " in template.fill(lookup, as_is)
    return _fill(template, lookup, _PEM_TEXT if is_text else _PLAIN_TEXT)


def _fill(template: Template, lookup: Lookup, rule: Rule) -> str:
    """Fill the template with values that the rule lets pass."""
    text = template.fill(lookup, as_is)
    if rule.bad.search(text):
        for part in template.parts:
            if isinstance(part, Placeholder) and rule.bad.search(value := part.value(lookup)):
                raise refused(part, value, rule)
        raise _culprit(template, text, rule)
    return text


def _marked_safe(placeholder: Placeholder, value: str) -> str:
    if _UNRESERVED.fullmatch(value) or last_filter(placeholder) in _TEXT_FILTERS:
        return value
    raise placeholder.unsafe(
        "its value holds more than letters, digits and . _ ~ -, so it could change the text around",
        f"Write ${{{placeholder.source}|json}}, or xml, urlencode, query, base64, base64url, or "
        "raw to insert it as it is.",
    )


def _culprit(template: Template, text: str, rule: Rule) -> TemplateError | UnsafeValueError:
    """Return the error for what no value is to blame for: the author's text, raw values in JSON."""
    found = rule.bad.search(text)
    position = template.text.find(found.group()) if found else -1
    if position < 0:
        names = tuple(str(source) for source in template.sources)
        return UnsafeValueError(f"A raw value in {rule.place} holds {rule.holds}", names=names)
    return TemplateError(f"The text of {rule.place} holds {rule.holds}.", position=position)


def _blank_at_an_edge(part: str | Placeholder) -> UnsafeValueError | TemplateError:
    if isinstance(part, Placeholder):
        what = "its value leaves a blank at the beginning or end of a header"
        return part.unsafe(what, f"Write ${{{part.source}|strip}}.")
    return TemplateError("The text of a header begins or ends with a blank.")
