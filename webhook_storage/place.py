"""A value made safe for the place where it lands.

Rule: a value fills its place and changes nothing around it. What would is refused, with the
placeholder's name and never with the value. Nothing is chained to an error that was raised here.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote

from webhook_storage.errors import TemplateError, UnsafeValueError
from webhook_storage.filters import has_dot_segment
from webhook_storage.template import (
    LONGEST_KEPT,
    Escape,
    Fact,
    Lookup,
    Placeholder,
    Reference,
    Template,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Plan = TypeVar("Plan")

_PLAIN = re.compile(r"\.*[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
"""Unreserved characters, and not dots alone: the same in every place and every encoding."""


def _kept(make: Callable[[Template], Plan]) -> Callable[[Template], Plan]:
    """Keep what depends on the template alone, unless the text is long."""
    cached = lru_cache(maxsize=1024)(make)

    def plan(template: Template) -> Plan:
        return cached(template) if len(template.text) <= LONGEST_KEPT else make(template)

    return plan


# --- URLs ----------------------------------------------------------------------------------------

_PATHS: Final = frozenset({"artifact.key", "flow.name"})
"""Facts whose slashes separate segments."""

_URL_FILTERS: Final = frozenset({"urlencode", "path", "query", "base64url"})
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ENCODED = re.compile(r"(?:[A-Za-z0-9._~+=/-]++|%[0-9A-Fa-f]{2})*+")
_RAW = re.compile(r"""(?:[!"$&-~]++|%[0-9A-Fa-f]{2})*+""")
_QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]++|%[0-9A-Fa-f]{2})*+")
_TRIPLET = re.compile(r"%[0-9A-Fa-f]{2}")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s\\]*")
_ABSOLUTE = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]++|%[0-9A-Fa-f]{2})*+)?)"
    r"(?P<query>(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]++|%[0-9A-Fa-f]{2})*+)?)"
)
_LAST_PORT: Final = 65535

_UrlStep: TypeAlias = str | tuple[Placeholder, Escape]


@dataclass(frozen=True, slots=True)
class _UrlPlan:
    """A URL's template taken apart.

    Attributes:
        origin: Scheme, host and port, or the placeholder for the beginning of the URL.
        steps: The rest: encoded text, and placeholders with what makes their values safe.
        slashes: How many the path has; None where a value may bring some.
        keys: Those of the query; None where a value may bring some.
        names: Of all placeholders in the steps.
    """

    origin: str | Placeholder
    steps: tuple[_UrlStep, ...]
    slashes: int | None
    keys: tuple[str, ...] | None
    names: tuple[str, ...]


def url(template: Template, lookup: Lookup) -> str:
    """Return the URL, encoded.

    In the path and in ``key=value`` a value is percent-encoded; ``artifact.key`` and ``flow.name``
    keep their slashes. ``?${QUERY}`` takes a whole query as it is. ``${BASE_URL}/...`` takes the
    beginning of a URL, and ``${SIGNED_URL}`` alone a whole one.

    Raises:
        TemplateError: When a placeholder stands in scheme, user, host, port, key or fragment.
        UnsafeValueError: When a value would lead elsewhere, or could be meant in two ways.
    """
    plan = _url_plan(template)
    origin = plan.origin if isinstance(plan.origin, str) else _origin(plan, lookup)
    pieces = []
    plain = True
    for step in plan.steps:
        if isinstance(step, str):
            pieces.append(step)
            continue
        placeholder, make_safe = step
        value = placeholder.value(lookup)
        if not _PLAIN.fullmatch(value):
            plain = False
            value = make_safe(placeholder, value)
        pieces.append(value)
    rest = "".join(pieces)
    if not plain:
        _compare_url(plan, rest)
    return origin + rest


def check_url(template: Template) -> None:
    """Look at all of a URL that does not depend on values.

    Raises:
        TemplateError: As `url` would, whatever the values.
    """
    _url_plan(template)


@_kept
def _url_plan(template: Template) -> _UrlPlan:
    """Find the place of each placeholder, by the text before it."""
    origin, parts = _split_origin(template)
    steps: list[_UrlStep] = []
    placeholders: list[Placeholder] = []
    seen = ""
    for index, part in enumerate(parts):
        if isinstance(part, str):
            shown = "" if "#" in seen else part.partition("#")[0]  # a fragment is not sent
            seen += part
            steps.append(_encode_literal(shown))
        else:
            following = parts[index + 1] if index + 1 < len(parts) else ""
            steps.append((part, _url_place(part, seen, following)))
            placeholders.append(part)
            seen += "x"
    path, query = _path_and_query(seen)
    if has_dot_segment(path):
        raise TemplateError("The path of a URL has a '.' or '..' segment; write it without.")
    raw = any(_last_filter(placeholder) == "raw" for placeholder in placeholders)
    whole = any(isinstance(step, tuple) and step[1] is _whole_query for step in steps)
    return _UrlPlan(
        origin=origin,
        steps=tuple(steps),
        slashes=None if raw or any(map(_may_bring_slashes, placeholders)) else path.count("/"),
        keys=None if raw or whole else _keys(query),
        names=tuple(dict.fromkeys(str(placeholder.source) for placeholder in placeholders)),
    )


def _split_origin(template: Template) -> tuple[str | Placeholder, tuple[str | Placeholder, ...]]:
    """Take scheme, host and port off; what remains is empty or begins with ``/?#``."""
    if _UNFIT.search(template.text):
        raise TemplateError("A URL cannot hold a line break or another control character.")
    first, *rest = template.parts or ("",)
    if isinstance(first, Placeholder):
        if rest and (isinstance(rest[0], Placeholder) or rest[0][0] not in "/?"):
            raise TemplateError(
                f"After ${{{first.source}}} at the beginning of a URL comes '/' or '?'.",
                position=first.position,
            )
        return first, tuple(rest)
    match = _ORIGIN.match(first)
    end = match.end() if match else 0
    if match and rest and end == len(first):
        raise _misplaced(rest[0], "in the user, host or port of a URL", "Write ${BASE_URL}/...")
    no_host = match and match.group().lower() in {"http://", "https://"}
    if match is None or no_host or first[end : end + 1] not in {"", "/", "?", "#"}:
        raise TemplateError(
            "A URL begins with a scheme, '://' and a host, or with one placeholder for them.",
            hint="Write https://host/..., or ${BASE_URL}/...",
        )
    if "@" in match.group():
        raise TemplateError(
            "A URL holds no user and password; they would be shown and are not sent.",
            hint="Write them as auth: [user, ${PASSWORD}].",
        )
    return match.group(), (first[end:], *rest) if end < len(first) else ()


def _url_place(placeholder: Placeholder, seen: str, following: str | Placeholder) -> Escape:
    """Return what makes a value safe after this text."""
    if "#" in seen:
        raise _misplaced(placeholder, "in the fragment of a URL, which is not sent")
    _, mark, query = seen.partition("?")
    if not mark:
        return _segments if _is_path(placeholder) else _segment
    parameter = query.rpartition("&")[2]
    if "=" in parameter:
        return _query_value
    if parameter or isinstance(following, Placeholder) or following[:1] not in {"", "&", "#"}:
        raise _misplaced(placeholder, "in a key of the query", "Write key=${VALUE}, or ?${QUERY}.")
    return _whole_query


def _misplaced(part: str | Placeholder, where: str, hint: str | None = None) -> TemplateError:
    source, position = (part.source, part.position) if isinstance(part, Placeholder) else ("", 0)
    return TemplateError(f"${{{source}}} cannot stand {where}.", position=position, hint=hint)


def _is_path(placeholder: Placeholder) -> bool:
    return isinstance(placeholder.source, Fact) and placeholder.source.name in _PATHS


def _may_bring_slashes(placeholder: Placeholder) -> bool:
    return _is_path(placeholder) or _last_filter(placeholder) == "path"


def _last_filter(placeholder: Placeholder) -> str:
    return placeholder.filters[-1] if placeholder.filters else ""


def _encode_literal(text: str) -> str:
    """Encode what cannot stand in a URL, and a ``%`` that encodes nothing."""
    return quote(_LONE_PERCENT.sub("%25", text), safe=":/?#[]@!$&'()*+,;=%")


def _path_and_query(rest: str) -> tuple[str, str]:
    path, _, query = rest.partition("#")[0].partition("?")
    return path, query


def _keys(query: str) -> tuple[str, ...]:
    return tuple(parameter.partition("=")[0] for parameter in query.split("&"))


def _segment(placeholder: Placeholder, value: str) -> str:
    """Encode a segment of a path, or a part of one."""
    if has_dot_segment(value):
        raise placeholder.unsafe("its value has a '.' or '..' segment, which leaves the path")
    return _query_value(placeholder, value)


def _segments(placeholder: Placeholder, value: str) -> str:
    """Encode a path and keep its slashes."""
    if _last_filter(placeholder) in {"raw", *_URL_FILTERS}:
        return _segment(placeholder, value)
    if "" in value.split("/"):
        raise placeholder.unsafe("its value has an empty segment, which no URL path keeps")
    return "/".join(_segment(placeholder, segment) for segment in value.split("/"))


def _query_value(placeholder: Placeholder, value: str) -> str:
    """Encode a value of the query."""
    encoder = _last_filter(placeholder)
    if encoder == "raw":
        if _UNFIT.search(value):
            raise _refused(placeholder, value, _URL)
        if not _RAW.fullmatch(value):
            raise placeholder.unsafe(
                "its raw value holds a blank, a '#', a '%' that encodes nothing, or a character "
                "outside ASCII"
            )
        return value
    if encoder in _URL_FILTERS:
        if not _ENCODED.fullmatch(value):
            raise placeholder.unsafe(f"the filter '{encoder}' did not encode its value for a URL")
        return value
    if _UNFIT.search(value):
        raise _refused(placeholder, value, _URL)
    if isinstance(placeholder.source, Reference) and _TRIPLET.search(value):
        raise placeholder.unsafe(
            "its value holds a '%' and two hexadecimal digits, so it may be encoded already",
            f"Write ${{{placeholder.source}|raw}} if it is, ${{{placeholder.source}|urlencode}} if "
            "it is not.",
        )
    return quote(value, safe="")


def _whole_query(placeholder: Placeholder, value: str) -> str:
    """Check a query that comes ready; the ``?`` with which some vendors hand it out is dropped."""
    value = value.removeprefix("?")
    if _UNFIT.search(value):
        raise _refused(placeholder, value, _URL)
    if not _QUERY.fullmatch(value):
        raise placeholder.unsafe(
            "its value is no query: it holds a character that must be percent-encoded there",
            f"For one value write key=${{{placeholder.source}}}.",
        )
    return value


def _origin(plan: _UrlPlan, lookup: Lookup) -> str:
    """Check the beginning of a URL, or a whole one when nothing follows."""
    placeholder = plan.origin
    if isinstance(placeholder, str):
        return placeholder
    value = placeholder.value(lookup)
    if _UNFIT.search(value):
        raise _refused(placeholder, value, _URL)
    match = _ABSOLUTE.fullmatch(value)
    if match is None or int(match["port"] or 0) > _LAST_PORT:
        raise placeholder.unsafe(
            "its value is no absolute URL, or has a user, a fragment, or a character that must be "
            "percent-encoded",
            "Such a value looks like https://host/path; user and password go into auth.",
        )
    scheme = match["scheme"].lower()
    if scheme in {"http", "https"} and not match["host"]:
        raise placeholder.unsafe("its value is a URL without a host")
    if not plan.steps:
        return value
    if scheme not in {"http", "https", "file"}:
        raise placeholder.unsafe("its value is no URL of http, https or file")
    if match["query"] or has_dot_segment(match["path"]):
        raise placeholder.unsafe("its value has a query or a '.' or '..' segment; more follows it")
    merge = match["path"].endswith("/") and plan.steps[0][0] == "/"
    return value[:-1] if merge else value


def _compare_url(plan: _UrlPlan, rest: str) -> None:
    """Compare with the template: a second look, whatever the first one let pass."""
    path, query = _path_and_query(rest)
    if has_dot_segment(path):
        what = "together with what surrounds them make a '.' or '..' segment"
    elif plan.slashes not in {None, path.count("/")} or plan.keys not in {None, _keys(query)}:
        what = "change the structure of the URL"
    else:
        return
    names = ", ".join(f"${{{name}}}" for name in plan.names)
    raise UnsafeValueError(f"The values of {names} {what}", names=plan.names)


# --- JSON in a text ------------------------------------------------------------------------------

_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")


class _Number(str):
    """A JSON number as it is written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _JsonPlan:
    """A JSON text taken apart.

    Attributes:
        steps: Text, and placeholders with whether they stand outside of a string.
        tree: The document with marks in place of placeholders.
        marks: One for each placeholder.
    """

    steps: tuple[str | tuple[Placeholder, bool], ...]
    tree: Any
    marks: tuple[str, ...]


def _json(template: Template, lookup: Lookup) -> str | None:
    """Return the JSON text with values escaped in strings; None when the template is no JSON."""
    plan = _json_plan(template) if template.text.lstrip()[:1] in {"{", "["} else None
    if plan is None:
        return None
    pieces = []
    plain = True
    for step in plan.steps:
        if isinstance(step, str):
            pieces.append(step)
            continue
        placeholder, bare = step
        value = placeholder.value(lookup)
        if bare:
            if not _SCALAR.fullmatch(value):
                raise placeholder.unsafe(
                    "its value, outside of a JSON string, is no number, true, false or null",
                    f'For text write "${{{placeholder.source}}}".',
                )
        elif not _PLAIN.fullmatch(value):
            plain = False
            if _last_filter(placeholder) not in {"json", "raw"}:
                value = json.dumps(value)[1:-1]
        pieces.append(value)
    text = "".join(pieces)
    if not plain and not _same_structure(plan, text):
        names = dict.fromkeys(
            str(step[0].source) for step in plan.steps if not isinstance(step, str)
        )
        what = "Values marked json or raw change the structure of the JSON"
        raise UnsafeValueError(what, names=tuple(names))
    return text


@_kept
def _json_plan(template: Template) -> _JsonPlan | None:
    """Find out where in a JSON text its placeholders stand; None when it is no JSON."""
    literal = "".join(part for part in template.parts if isinstance(part, str))
    prefix = next(f"9173465{n}0" for n in itertools.count() if f"9173465{n}0" not in literal)
    marks: list[str] = []
    text = ""
    for part in template.parts:
        if isinstance(part, Placeholder):
            # Digits are valid both in a string and outside of one.
            marks.append(f"{prefix}{len(marks):06}")
        text += part if isinstance(part, str) else marks[-1]
    try:
        tree = _load(text)
        strings, numbers = _leaves(tree)
    except (ValueError, RecursionError):
        return None
    steps: list[str | tuple[Placeholder, bool]] = []
    unused = iter(marks)
    for part in template.parts:
        if isinstance(part, str):
            steps.append(part)
            continue
        mark = next(unused)
        bare = mark in numbers
        if not bare and sum(string.count(mark) for string in strings) != 1:
            raise _misplaced(part, "in a key of JSON, in an escape or beside other digits")
        steps.append((part, bare))
    return _JsonPlan(tuple(steps), tree, tuple(marks))


def _load(text: str) -> Any:
    """Parse JSON so that nothing of its structure is lost: numbers, repeated keys, their order."""

    def refuse(_: str) -> None:
        raise ValueError

    return json.loads(
        text,
        parse_int=_Number,
        parse_float=_Number,
        parse_constant=refuse,
        object_pairs_hook=tuple,
    )


def _leaves(tree: Any) -> tuple[list[str], set[str]]:
    """Return the strings and the numbers of a document, without keys."""
    strings: list[str] = []
    numbers: set[str] = set()
    rest = [tree]
    while rest:
        node = rest.pop()
        if isinstance(node, tuple):
            rest += [value for _, value in node]
        elif isinstance(node, list):
            rest += node
        elif isinstance(node, _Number):
            numbers.add(str(node))
        elif isinstance(node, str):
            strings.append(node)
    return strings, numbers


def _same_structure(plan: _JsonPlan, text: str) -> bool:
    """Tell whether a text differs from its template in marked values only."""
    try:
        pairs = [(plan.tree, _load(text))]
    except (ValueError, RecursionError):
        return False
    while pairs:
        expected, actual = pairs.pop()
        if isinstance(expected, _Number) and expected in plan.marks:
            same = isinstance(actual, _Number | bool | None)
        elif type(expected) is not type(actual):
            same = False
        elif isinstance(expected, list):
            same = len(expected) == len(actual)
            pairs += zip(expected, actual, strict=False)
        elif isinstance(expected, tuple):
            same = [key for key, _ in expected] == [key for key, _ in actual]
            pairs += [(a[1], b[1]) for a, b in zip(expected, actual, strict=False)]
        elif isinstance(expected, str) and any(mark in expected for mark in plan.marks):
            same = True
        else:
            same = expected == actual
        if not same:
            return False
    return True


# --- everything else -----------------------------------------------------------------------------


class _Rule(NamedTuple):
    """What cannot stand in a place."""

    place: str
    bad: re.Pattern[str]
    holds: str


_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_URL = _Rule("a URL", _UNFIT, "a line break or another control character")
_HEADER = _Rule("a header", re.compile(r"[^\t -~]"), "a control character or one outside ASCII")
_COOKIE = _Rule(
    "a cookie",
    re.compile(r"[^!#-+\--:<-\[\]-~]"),
    "a blank, quote, comma, semicolon, backslash, control character or one outside ASCII",
)
_USER = _Rule("a user name", re.compile("[\x00-\x1f\x7f-\x9f:]"), "a ':' or a control character")
_PASSWORD = _Rule("a password", _CONTROLS, "a control character")
_PLAIN_TEXT = _Rule("a path or an address", _CONTROLS, "a control character")
_TEXT = _Rule("a text", re.compile("\x00"), "a NUL character")

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
    text = _json(template, lookup)
    if text is None:
        text = _fill(template, lookup, _HEADER)
    else:
        if not text.isascii():  # in JSON such a character stands in a string and can be escaped
            text = "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)
        _check_whole(template, text, _HEADER)
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
    text = _json(template, lookup)
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
    """Return the path of a file or the address of a proxy."""
    return _fill(template, lookup, _PLAIN_TEXT)


def _fill(template: Template, lookup: Lookup, rule: _Rule) -> str:
    """Fill the template with values that the rule lets pass."""

    def check(placeholder: Placeholder, value: str) -> str:
        if rule.bad.search(value):
            raise _refused(placeholder, value, rule)
        return value

    text = template.fill(lookup, check)
    _check_whole(template, text, rule)
    return text


def _marked_safe(placeholder: Placeholder, value: str) -> str:
    if _UNRESERVED.fullmatch(value) or _last_filter(placeholder) in _TEXT_FILTERS:
        return value
    raise placeholder.unsafe(
        "its value holds more than letters, digits and . _ ~ -, so it could change the text around",
        f"Write ${{{placeholder.source}|json}}, or xml, urlencode, query, base64, base64url, or "
        "raw to insert it as it is.",
    )


def _check_whole(template: Template, text: str, rule: _Rule) -> None:
    """Refuse what no value was asked about: the author's own text, and raw values in JSON."""
    found = rule.bad.search(text)
    if found is None:
        return
    position = template.text.find(found.group())
    if position < 0:
        names = tuple(str(source) for source in template.sources)
        raise UnsafeValueError(f"A raw value in {rule.place} holds {rule.holds}", names=names)
    raise TemplateError(f"The text of {rule.place} holds {rule.holds}.", position=position)


def _refused(placeholder: Placeholder, value: str, rule: _Rule) -> UnsafeValueError:
    if value.endswith("\n") and not rule.bad.search(value.rstrip("\r\n")):
        what = f"its value ends with a line break, which cannot stand in {rule.place}"
        return placeholder.unsafe(what, f"Write ${{{placeholder.source}|strip}}.")
    return placeholder.unsafe(f"its value cannot stand in {rule.place}: it holds {rule.holds}")


def _blank_at_an_edge(part: str | Placeholder) -> UnsafeValueError | TemplateError:
    if isinstance(part, Placeholder):
        what = "its value leaves a blank at the beginning or end of a header"
        return part.unsafe(what, f"Write ${{{part.source}|strip}}.")
    return TemplateError("The text of a header begins or ends with a blank.")
