"""What no value can do, whatever it is: lead elsewhere, break out of its place, or be shown."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus, urlsplit

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webhook_storage import place
from webhook_storage.errors import TemplateError, UnsafeValueError, WebhookStorageError
from webhook_storage.filters import FILTERS
from webhook_storage.template import Template, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.template import Lookup

unhurried = settings(deadline=None, database=None, max_examples=300)

texts = st.text(min_size=1, max_size=12)
hostile = st.lists(
    st.sampled_from(
        [".", "..", "/", "\\", "%", "%2e", "%2F", "%25", "%5c", "2e", "2", "e", "?", "#", "&", "=",
         "+", " ", "@", ":", ";", ",", '"', "'", "\\u0022", "{", "}", "[", "]", "\r", "\n", "\x00",
         "\x7f", "\x85", "ü", "€", "😀", "a", "x1", "${A}", "1", "e5", "true", "https://evil.example"]
    ),
    min_size=1,
    max_size=6,
).map("".join)  # fmt: skip
values = hostile | texts


def look(**found: str) -> Lookup:
    """Look up by the spelling of the source; ``__`` stands for a dot."""
    by_spelling = {name.replace("__", "."): value for name, value in found.items()}
    return lambda source: by_spelling.get(str(source))


URLS = [
    ("https://h.example:8443/p/${A}/q?k=${B}&l=1", "p/{A}/q", {"k": "{B}", "l": "1"}),
    ("https://h.example/${A}${B}", "{A}{B}", {}),
    ("https://h.example/.${A}.${B}", ".{A}.{B}", {}),
    ("https://h.example/%2${A}?k=%${B}", "%2{A}", {"k": "%{B}"}),
    ("https://h.example/x?k=${A}/${B}&m=${A}", "x", {"k": "{A}/{B}", "m": "{A}"}),
    ("https://h.example/${A|urlencode}/x?k=${B|urlencode}", "{A}/x", {"k": "{B}"}),
    (
        "https://h.example/x/${artifact.key|urlencode}?k=${A|query}",
        "x/{artifact__key}",
        {"k": "{A}"},
    ),
]


@unhurried
@given(st.sampled_from(URLS), values, values)
@example(URLS[2], ".", ".")
@example(URLS[1], ".", ".")
def test_url_structure_is_that_of_the_template(
    case: tuple[str, str, dict[str, str]], a: str, b: str
) -> None:
    """A URL has its template's origin, segments and keys, and decodes to the values, or is none."""
    text, path, query = case
    found = {"A": a, "B": b, "artifact__key": a}
    try:
        url = place.url(parse(text), look(**found))
    except UnsafeValueError:
        return
    expected, actual = urlsplit(text), urlsplit(url)
    assert (expected.scheme, expected.netloc, "") == (actual.scheme, actual.netloc, actual.fragment)
    decoded = [unquote(segment) for segment in actual.path.split("/")[1:]]
    assert [segment.format(**found) for segment in path.split("/")] == decoded
    pairs = [pair.split("=") for pair in actual.query.split("&")] if query else []
    assert {key: value.format(**found) for key, value in query.items()} == {
        key: unquote_plus(value) for key, value in pairs
    }


@unhurried
@given(st.sampled_from(URLS), values, values)
def test_url_is_final(case: tuple[str, str, dict[str, str]], a: str, b: str) -> None:
    """A client sends the URL as it is: it neither resolves, decodes nor encodes anything in it."""
    try:
        url = place.url(parse(case[0]), look(A=a, B=b, artifact__key=a))
    except UnsafeValueError:
        return
    target = url.partition("://")[2].partition("/")[2]
    assert f"/{target}" == httpx.URL(url).raw_path.decode()


@unhurried
@given(hostile | texts | st.lists(texts, min_size=1, max_size=4).map("/".join))
def test_url_keys_keep_their_segments(key: str) -> None:
    """A key becomes as many segments as it has, and decodes to itself."""
    try:
        url = place.url(parse("https://h.example/f/${artifact.key}"), look(artifact__key=key))
    except UnsafeValueError:
        return
    path = urlsplit(url).path.removeprefix("/f/")
    assert key.split("/") == [unquote(segment) for segment in path.split("/")]
    assert not {"", ".", ".."} & set(key.split("/"))


@unhurried
@given(values, values, st.sampled_from(["${A|raw}", "x/${A|path}/y", "x?k=${A|raw}", "x?${A}"]))
def test_url_origin_stays_whatever_is_allowed(a: str, b: str, rest: str) -> None:
    """Where a value may bring structure it brings none before the path, and none to climb out."""
    try:
        url = place.url(parse(f"https://h.example:1/b/{rest}"), look(A=a, B=b))
    except UnsafeValueError:
        return
    parts = urlsplit(url)
    assert ("https", "h.example:1", "") == (parts.scheme, parts.netloc, parts.fragment)
    assert re.fullmatch("[!-~]+", url)
    assert parts.path.startswith("/b/")
    assert not {".", ".."} & set(parts.path.replace("\\", "/").split("/"))
    assert httpx.URL(url).raw_path.startswith(b"/b/")


hosts = st.sampled_from(
    ["h.example", "[::1]", "u@h", "h:1", "h:99999", "", "h\\@evil", "h.example."]
)
starts = st.builds(
    "{}{}{}".format,
    st.sampled_from(["https://", "http://", "file://", "HTTPS://", "https:", "//", "ftp://", ""]),
    hosts,
    hostile | st.just("") | hostile.map(lambda text: f"/{text}"),
).filter(bool)


@unhurried
@given(starts, st.sampled_from(["", "/p/${A}", "?k=${A}"]))
@example("file://", "/p/${A}")
def test_url_beginnings_lead_where_they_say(start: str, rest: str) -> None:
    """Two independent parsers agree on the host of what was accepted."""
    try:
        url = place.url(parse(f"${{U}}{rest}"), look(U=start, A="x"))
    except UnsafeValueError:
        return
    ours, theirs = urlsplit(url), httpx.URL(url)
    wanted = urlsplit(start)
    assert (wanted.scheme, wanted.hostname, wanted.port) == (ours.scheme, ours.hostname, ours.port)
    assert (ours.hostname or "") == theirs.host
    assert (None, "") == (ours.username, ours.fragment)
    assert url.startswith(start.removesuffix("/"))
    assert "/x" in url or "=x" in url or url == start


@unhurried
@given(values)
def test_header_is_printable_ascii(value: str) -> None:
    """A header holds the value as it is, or there is none."""
    try:
        text = place.header(parse("Bearer ${A}"), look(A=value))
    except UnsafeValueError:
        return
    assert f"Bearer {value}" == text
    assert re.fullmatch(r"[!-~]([\t -~]*[!-~])?", text)


@unhurried
@given(values, values, st.sampled_from(["", "|json"]))
def test_json_finds_exactly_the_value(a: str, b: str, filter_: str) -> None:
    """Any value fits into a string of JSON, in ASCII, and nowhere else."""
    text = f'{{"a": "x${{A{filter_}}}${{B}}", "l": [1.50, "${{B}}", null], "a ": {{}}}}'
    expected = {"a": f"x{a}{b}", "l": [1.5, b, None], "a ": {}}
    for where in (place.header, place.text_body):
        filled = where(parse(text), look(A=a, B=b))
        assert expected == json.loads(filled)
        assert re.fullmatch("[ -~]+", filled)


def shape(node: Any) -> Any:
    """Return a document with nothing but its structure."""
    if isinstance(node, dict):
        return {key: shape(child) for key, child in node.items()}
    if isinstance(node, list):
        return [shape(child) for child in node]
    return str if isinstance(node, str) else object


@unhurried
@given(
    values,
    values | st.integers().map(str) | st.floats(allow_nan=False, allow_infinity=False).map(str),
)
def test_json_keeps_its_structure(a: str, b: str) -> None:
    """Raw values in strings and bare ones change no structure."""
    text = '{"a": "${A|raw}", "b": [${B}, "c"]}'
    for where in (place.header, place.text_body):
        try:
            filled = where(parse(text), look(A=a, B=b))
        except UnsafeValueError:
            continue
        assert {"a": str, "b": [object, str]} == shape(json.loads(filled))


@unhurried
@given(values)
def test_cookie_holds_one_value(value: str) -> None:
    """Nothing of a value ends its cookie."""
    try:
        text = place.cookie(parse("${A}"), look(A=value))
    except UnsafeValueError:
        return
    assert value == text
    assert not set(text) & set(' ",;\\')
    assert re.fullmatch("[!-~]+", text)


CANARY = "kQ7zXw9J"
PLACES: list[tuple[Callable[[Template, Lookup], str], str]] = [
    (place.url, "https://h/p/%s?k=1"),
    (place.url, "https://h/p?k=%s"),
    (place.url, "https://h/p?%s"),
    (place.url, "https://h/%s.."),
    (place.url, "%s/p"),
    (place.url, "%s"),
    (place.header, "Bearer %s"),
    (place.header, '{"a": "%s", "b": 1}'),
    (place.header, '{"n": %s}'),
    (place.text_body, "<a>%s</a>"),
    (place.text_body, '["%s"]'),
    (place.query_value, "%s"),
    (place.form_value, "%s"),
    (place.json_value, "%s"),
    (place.cookie, "%s"),
    (place.user, "%s"),
    (place.password, "%s"),
    (place.plain, "%s"),
]
filters = st.lists(st.sampled_from(sorted(FILTERS)), max_size=2).map(
    lambda found: "".join(f"|{name}" for name in found)
)


def error_of(
    where: Callable[[Template, Lookup], str], text: str, lookup: Lookup
) -> WebhookStorageError | None:
    """Return what was raised, if anything."""
    try:
        where(parse(text), lookup)
    except WebhookStorageError as error:
        return error
    return None


@pytest.mark.parametrize(("where", "text"), PLACES)
@settings(deadline=None, database=None, max_examples=60)
@given(
    before=hostile | st.just(""),
    after=hostile | st.just("\udcff") | st.just(""),
    filter_=filters,
)
def test_no_error_shows_a_value(
    where: Callable[[Template, Lookup], str], text: str, before: str, after: str, filter_: str
) -> None:
    """An error's text, arguments and attributes hold no value, and nothing is chained to it."""
    lookup = look(A=f"{before}{CANARY}{after}", artifact__key=f"{before}{CANARY}{after}")
    for source in ("A", "artifact.key"):
        error = error_of(where, text % f"${{{source}{filter_}}}", lookup)
        if error is not None:
            assert CANARY not in f"{error} {error!r} {error.args} {vars(error)}"
            assert (None, None) == (error.__cause__, error.__context__)


@unhurried
@given(st.text() | hostile, values)
def test_any_template_is_filled_or_refused(text: str, value: str) -> None:
    """No template and no value make a place raise anything but its own errors."""
    for where, _ in PLACES:
        try:
            filled = where(parse(f"{text}${{A}}{text}"), look(A=value))
        except (UnsafeValueError, TemplateError):
            continue
        assert str is type(filled)
