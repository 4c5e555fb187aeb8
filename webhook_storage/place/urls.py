"""Values in a URL: which part of it they fill, and how they are encoded there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote

from webhook_storage.errors import TemplateError, UnsafeValueError
from webhook_storage.filters import has_dot_segment
from webhook_storage.origin import origin
from webhook_storage.place.rules import PLAIN, UNFIT, Rule, kept, last_filter, misplaced, refused
from webhook_storage.template import (
    Escape,
    Fact,
    Lookup,
    Placeholder,
    Reference,
    Template,
)

_PATHS: Final = frozenset({"artifact.key", "flow.name"})
"""Facts whose slashes separate segments."""
_URL_FILTERS: Final = frozenset({"urlencode", "path", "query", "base64url"})
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
_URL = Rule("a URL", UNFIT, "a line break or another control character")
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
        if not PLAIN.fullmatch(value):
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


@kept
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
    raw = any(last_filter(placeholder) == "raw" for placeholder in placeholders)
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
    if UNFIT.search(template.text):
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
        raise misplaced(rest[0], "in the user, host or port of a URL", "Write ${BASE_URL}/...")
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
    if match.group().lower().startswith("http") and not origin(match.group()).host:
        raise TemplateError(
            "The host of a URL is a name or an address in ASCII, and its port a number to 65535.",
            hint="Write a name in other letters as xn--...",
        )
    return match.group(), (first[end:], *rest) if end < len(first) else ()


def _url_place(placeholder: Placeholder, seen: str, following: str | Placeholder) -> Escape:
    """Return what makes a value safe after this text."""
    if "#" in seen:
        raise misplaced(placeholder, "in the fragment of a URL, which is not sent")
    _, mark, query = seen.partition("?")
    if not mark:
        return _segments if _is_path(placeholder) else _segment
    parameter = query.rpartition("&")[2]
    if "=" in parameter:
        return _query_value
    if parameter or isinstance(following, Placeholder) or following[:1] not in {"", "&", "#"}:
        raise misplaced(placeholder, "in a key of the query", "Write key=${VALUE}, or ?${QUERY}.")
    return _whole_query


def _is_path(placeholder: Placeholder) -> bool:
    return isinstance(placeholder.source, Fact) and placeholder.source.name in _PATHS


def _may_bring_slashes(placeholder: Placeholder) -> bool:
    return _is_path(placeholder) or last_filter(placeholder) == "path"


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
    if last_filter(placeholder) in {"raw", *_URL_FILTERS}:
        return _segment(placeholder, value)
    if "" in value.split("/"):
        raise placeholder.unsafe("its value has an empty segment, which no URL path keeps")
    return "/".join(_segment(placeholder, segment) for segment in value.split("/"))


def _query_value(placeholder: Placeholder, value: str) -> str:
    """Encode a value of the query."""
    encoder = last_filter(placeholder)
    if encoder == "raw":
        if UNFIT.search(value):
            raise refused(placeholder, value, _URL)
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
    if UNFIT.search(value):
        raise refused(placeholder, value, _URL)
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
    if UNFIT.search(value):
        raise refused(placeholder, value, _URL)
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
    if UNFIT.search(value):
        raise refused(placeholder, value, _URL)
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
