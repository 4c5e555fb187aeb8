"""What may stand where: each place of a request, its rules and its refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from webhook_storage import place
from webhook_storage.errors import TemplateError, UnsafeValueError
from webhook_storage.place import urls
from webhook_storage.template import LONGEST_KEPT, Template, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.template import Lookup

    Place = Callable[[Template, Lookup], str]


def put(where: Place, text: str, **found: str) -> str:
    """Fill a text, with values by the spelling of their source; ``__`` stands for a dot."""
    by_spelling = {name.replace("__", "."): value for name, value in found.items()}
    return where(parse(text), lambda source: by_spelling.get(str(source)))


def refused(where: Place, text: str, **found: str) -> UnsafeValueError:
    """Return the refusal, which names placeholders and shows nothing of the values."""
    with pytest.raises(UnsafeValueError) as caught:
        put(where, text, **found)
    error = caught.value
    assert (None, None) == (error.__cause__, error.__context__)
    assert error.names
    assert set(error.names) <= {name.replace("__", ".") for name in found}
    return error


def misplaced(where: Place, text: str, **found: str) -> TemplateError:
    """Return the error about the template."""
    with pytest.raises(TemplateError) as caught:
        put(where, text, **found)
    return caught.value


# --- URLs: paths and queries ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("https://h/p?k=v", {}, "https://h/p?k=v"),
        ("https://h", {}, "https://h"),
        ("https://h:8443/${A}", {"A": "x"}, "https://h:8443/x"),
        ("https://[::1]:1/${A}", {"A": "x"}, "https://[::1]:1/x"),
        ("file:///dir/${A}", {"A": "x y"}, "file:///dir/x%20y"),
        ("memory://b/${A}", {"A": "x"}, "memory://b/x"),
        ("https://h/p/${A}/q", {"A": "a-b_c.d~e"}, "https://h/p/a-b_c.d~e/q"),
        ("https://h/${A}", {"A": "a/b?c#d&e f+g"}, "https://h/a%2Fb%3Fc%23d%26e%20f%2Bg"),
        ("https://h/${A}", {"A": "ü€"}, "https://h/%C3%BC%E2%82%AC"),
        ("https://h/${A}", {"A": "100%"}, "https://h/100%25"),
        ("https://h/x.${A}.y", {"A": "."}, None),
        ("https://h/${A}${B}", {"A": "a", "B": "/"}, "https://h/a%2F"),
        ("https://h/p?k=${A}", {"A": "a&b=c#d/e+f g"}, "https://h/p?k=a%26b%3Dc%23d%2Fe%2Bf%20g"),
        ("https://h/p?k=a${A}b&l=${B}", {"A": "&", "B": "/.."}, "https://h/p?k=a%26b&l=%2F.."),
        ("https://h?k=${A}", {"A": "x"}, "https://h?k=x"),
        ("https://h/p?$$select=${A}", {"A": "id"}, "https://h/p?$select=id"),
        ("https://h/p?k=${A:-}", {}, "https://h/p?k="),
    ],
)
def test_url_encodes_values(text: str, found: dict[str, str], expected: str | None) -> None:
    """A value stays inside its segment or its query value."""
    if expected is None:
        refused(place.url, text, **found)
    else:
        assert expected == put(place.url, text, **found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/my flows/ü", "https://h/my%20flows/%C3%BC"),
        ("https://h/a%20b", "https://h/a%20b"),
        ("https://h/100%/x", "https://h/100%25/x"),
        ("https://h/p?q=a|b", "https://h/p?q=a%7Cb"),
        ("https://h/p#section", "https://h/p"),
        ("https://h#x", "https://h"),
        ("https://h/p?k=v#a#b", "https://h/p?k=v"),
    ],
)
def test_url_encodes_its_own_text(text: str, expected: str) -> None:
    """What the author wrote is encoded where it must be, and a fragment is not sent."""
    assert expected == put(place.url, text)


def test_a_percent_sign_before_a_placeholder_stays_one() -> None:
    """Literal text and value together make no percent-encoding that neither holds."""
    assert "https://h/%252Fx" == put(place.url, "https://h/%2${A}", A="Fx")


@pytest.mark.parametrize("fact", ["artifact.key", "flow.name"])
def test_url_keeps_the_slashes_of_keys(fact: str) -> None:
    """A key is a path of its own."""
    name = fact.replace(".", "__")
    text = f"https://h/f/${{{fact}}}?p=${{{fact}}}"
    assert "https://h/f/a%20%25/b?p=a%20%25%2Fb" == put(place.url, text, **{name: "a %/b"})


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", ".", "a/../b", "a\\..\\b", "%2e%2e/a", "a\nb"]
)
def test_url_refuses_keys_that_are_no_path(key: str) -> None:
    """Empty and dot segments would name another artifact, or something that is none."""
    refused(place.url, "https://h/f/${artifact.key:-}", artifact__key=key)


def test_facts_may_hold_percent_signs() -> None:
    """A fact is never encoded already, so ``%41`` in it is three characters."""
    assert "https://h/%2541" == put(place.url, "https://h/${artifact.key}", artifact__key="%41")
    assert "https://h/%2541" == put(place.url, "https://h/${flow.slug}", flow__slug="%41")


@pytest.mark.parametrize(
    "value", [".", "..", "../x", "a/../b", "a/./b", "..\\x", "%2e%2e", ".%2E", "a%2f..", "..;a/b"]
)
def test_url_refuses_dot_segments(value: str) -> None:
    """No value leaves its directory, however it hides the dots."""
    assert "segment" in str(refused(place.url, "https://h/p/${A}/q", A=value))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://h/p/.${A}", {"A": "."}),
        ("https://h/p/${A}${B}", {"A": ".", "B": "."}),
        ("https://h/p/${A}/q", {"A": "."}),
        ("https://h/p/%2e${A|raw}", {"A": "%2e"}),
        ("https://h/p/${A|raw}", {"A": "x/../../y"}),
        ("https://h/p/.${A|raw}/q", {"A": "./y"}),
        ("https://h/p/.${A|raw}", {"A": "/y"}),
        ("https://h/p/..${A}", {"A": "/y"}),
        ("https://h/p/..${A}", {"A": ";y"}),
        ("https://h/p/..${A:-}/q", {"A": ""}),
    ],
)
def test_url_refuses_dot_segments_made_of_parts(text: str, found: dict[str, str]) -> None:
    """Neither do values together with their neighbours, nor raw ones."""
    assert "segment" in str(refused(place.url, text, **found))


@pytest.mark.parametrize("where", ["https://h/${A}", "https://h/p?k=${A}", "https://h/p?${A}",
                                   "https://h/${A|raw}", "${A}", "${A}/p"])  # fmt: skip
@pytest.mark.parametrize("control", ["\r", "\n", "\x00", "\t", "\x7f"])
def test_url_refuses_control_characters(where: str, control: str) -> None:
    """A line break in a URL is a mistake, not a character to encode."""
    value = f"https://h/a{control}b"
    assert "a URL" in str(refused(place.url, where, A=value))


@pytest.mark.parametrize("rest", ["/a/b?k=1", "/?k=1&l=2", "/a?l=1", "/a?", "/..?k=1"])
def test_url_is_compared_with_its_template(rest: str) -> None:
    """Whatever the encoding of values may miss, other segments or keys are refused."""
    plan = urls._url_plan(parse("https://h/${A}?k=${B}"))
    urls._compare_url(plan, "/a?k=1")
    with pytest.raises(UnsafeValueError) as caught:
        urls._compare_url(plan, rest)
    assert ("A", "B") == caught.value.names


@pytest.mark.parametrize("name", ["urlencode", "path", "query", "base64url"])
def test_url_does_not_trust_filters_blindly(name: str) -> None:
    """What a filter returns is looked at before it goes in as it is."""
    (part,) = parse(f"${{A|{name}}}").parts
    assert not isinstance(part, str)
    assert "a%20" == urls._query_value(part, "a%20")
    with pytest.raises(UnsafeValueError, match="did not encode"):
        urls._query_value(part, "a&b")


def test_url_advises_to_strip_a_trailing_line_break() -> None:
    """The usual reason is a file that ends with one."""
    error = refused(place.url, "https://h/p?k=${A}", A="secret\r\n")
    assert "Write ${A|strip}." == error.hint
    assert "https://h/p?k=secret" == put(place.url, "https://h/p?k=${A|strip}", A="secret\r\n")


def test_url_refuses_what_may_be_encoded_already() -> None:
    """The library does not guess whether ``%2F`` is three characters or one; a filter says it."""
    for text in ("https://h/p?k=${A%s}", "https://h/${A%s}"):
        error = refused(place.url, text % "", A="a%2Fb")
        assert "encoded already" in str(error)
        assert "${A|raw}" in (error.hint or "")
        assert (text % "").replace("${A}", "a%2Fb") == put(place.url, text % "|raw", A="a%2Fb")
        assert (text % "").replace("${A}", "a%252Fb") == put(
            place.url, text % "|urlencode", A="a%2Fb"
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/${A|urlencode}", "https://h/a%20b%2F%3F"),
        ("https://h/${A|path}", "https://h/a%20b/%3F"),
        ("https://h/p?k=${A|path}", "https://h/p?k=a%20b/%3F"),
        ("https://h/p?k=${A|query}", "https://h/p?k=a+b%2F%3F"),
        ("https://h/p?k=${A|base64url}", "https://h/p?k=YSBiLz8="),
        ("https://h/p?k=${A|base64}", "https://h/p?k=YSBiLz8%3D"),
        ("https://h/p?k=${A|json}", "https://h/p?k=a%20b%2F%3F"),
        ("https://h/p?${A|urlencode}", "https://h/p?a%20b%2F%3F"),
    ],
)
def test_url_filters(text: str, expected: str) -> None:
    """What a filter has encoded for URLs is not encoded again."""
    assert expected == put(place.url, text, A="a b/?")


def test_url_filter_path_takes_a_path_and_nothing_above_it() -> None:
    """Slashes of a filtered path are kept, dot segments are not."""
    assert "https://h/a/b/c" == put(place.url, "https://h/${A|path}/c", A="a/b")
    refused(place.url, "https://h/${A|path}/c", A="a/../b")


@pytest.mark.parametrize("key", ["a//b", "/a"])
def test_url_filter_on_a_key_decides(key: str) -> None:
    """With a filter of its own a key is encoded as that says."""
    encoded = key.replace("/", "%2F")
    text = "https://h/${artifact.key|urlencode}"
    assert f"https://h/{encoded}" == put(place.url, text, artifact__key=key)


@pytest.mark.parametrize("value", ["a b", "a#b", "ü", "%zz", "%2"])
def test_url_refuses_raw_values_that_are_no_part_of_a_url(value: str) -> None:
    """Raw means encoded by somebody else, so it must be."""
    assert "raw" in str(refused(place.url, "https://h/p?k=${A|raw}", A=value))


def test_url_raw_value_cannot_change_the_origin() -> None:
    """It stands behind the first slash, and a slash more is only a path."""
    expected = "https://h//evil.example/x@y?k=v"
    assert expected == put(place.url, "https://h/${A|raw}", A="/evil.example/x@y?k=v")


# --- URLs: whole queries -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("https://h/p?${Q}", "sv=1&sig=a%2Fb%3D", "https://h/p?sv=1&sig=a%2Fb%3D"),
        ("https://h/p?${Q}", "?sv=1&sig=a%2Fb", "https://h/p?sv=1&sig=a%2Fb"),
        ("https://h/p?k=v&${Q}", "sv=1", "https://h/p?k=v&sv=1"),
        ("https://h/p?${Q}&k=v", "sv=1&t=2", "https://h/p?sv=1&t=2&k=v"),
        ("https://h/p?${Q}#f", "sv=1", "https://h/p?sv=1"),
        ("https://h/p?${Q}", "token", "https://h/p?token"),
    ],
)
def test_url_takes_a_whole_query(text: str, value: str, expected: str) -> None:
    """A shared access signature goes in as the vendor hands it out."""
    assert expected == put(place.url, text, Q=value)


@pytest.mark.parametrize("value", ["a=b c", "a=b#c", "a=ü", "a=%zz", "a=%2", 'a="b"', "a=[b]"])
def test_url_refuses_a_query_that_is_not_encoded(value: str) -> None:
    """Nobody else can know what was meant."""
    assert "no query" in str(refused(place.url, "https://h/p?${Q}", Q=value))


# --- URLs: the beginning -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("${U}/p", "https://h", "https://h/p"),
        ("${U}/p", "https://h/", "https://h/p"),
        ("${U}/p", "http://h.example:8080/base", "http://h.example:8080/base/p"),
        ("${U}/p", "https://[::1]:1/", "https://[::1]:1/p"),
        ("${U}/p", "file:///dir/", "file:///dir/p"),
        ("${U}/p", "file:///", "file:///p"),
        ("${U}/p", "file://", "file:///p"),
        ("${U}?k=v", "https://h/p/", "https://h/p/?k=v"),
        ("${U}/p", "https://h/a%20b", "https://h/a%20b/p"),
        ("${U}", "https://h/p?sig=a%2Fb&x=y", "https://h/p?sig=a%2Fb&x=y"),
        ("${U}", "s3://bucket/key", "s3://bucket/key"),
        ("${U:-https://default/x}/p", "", "https://default/x/p"),
    ],
)
def test_url_takes_its_beginning_from_a_value(text: str, value: str, expected: str) -> None:
    """A placeholder may stand for scheme, host and what follows, or for the whole URL."""
    assert expected == put(place.url, text, U=value)


@pytest.mark.parametrize(
    "value",
    ["h", "//h/p", "/p", "https:h", "https://", "https:///p", "https://u@h", "https://u:p@h/",
     "https://h/#f", "https://h/a b", "https://h/ü", "https://h:123456", "https://h:99999",
     "https://h:x", "https://h\\@evil/", "https://h/%zz", "https://[::1/", "javascript:alert(1)",
     "https://ex%61mple/", "https://h/p?k=[1]", " https://h"],
)  # fmt: skip
@pytest.mark.parametrize("text", ["${U}", "${U}/p"])
def test_url_refuses_beginnings_that_are_no_plain_url(text: str, value: str) -> None:
    """What two parsers could read in two ways is not sent anywhere."""
    refused(place.url, text, U=value)


@pytest.mark.parametrize("value", ["https://h/p?k=v", "https://h/a/../b", "https://h/%2e%2e",
                                   "s3://bucket/key", "ftp://h/p"])  # fmt: skip
def test_url_refuses_beginnings_that_nothing_can_follow(value: str) -> None:
    """A query, dot segments or another kind of service cannot be continued with a path."""
    refused(place.url, "${U}/p", U=value)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("${A}://h/p", 0),
        ("https://${A}/p", 8),
        ("https://${A}", 8),
        ("https://api.${A}.example/p", 12),
        ("https://h:${A}/p", 10),
        ("https://u:${A}@h/p", 10),
        ("https://h${A}", 9),
        ("${A}.example/p", 0),
        ("${A}${B}", 0),
        ("${A}#f", 0),
        ("https://h/p?${A}=v", 12),
        ("https://h/p?k${A}=v", 13),
        ("https://h/p?k=v&${A}${B}", 16),
        ("https://h/p?k${A}", 13),
        ("https://h/p#${A}", 12),
        ("https://h/p?k=v#a/${A}", 18),
    ],
)
def test_url_refuses_placeholders_that_would_lead_elsewhere(text: str, position: int) -> None:
    """Where the request goes, and what its keys are, the template says and no value."""
    assert position == misplaced(place.url, text, A="x", B="y").position


@pytest.mark.parametrize(
    "text",
    ["", "p", "/p/${A}", "h/p", "https:/h/${A}", "https://", "https:///p", "https://h ost/${A}",
     "https://good\\@evil/${A}", "https://h/a\nb", "https://h/../${A}", "https://h/./x",
     "https://h/%2e%2e/${A}"],
)  # fmt: skip
def test_url_refuses_templates_that_are_no_absolute_url(text: str) -> None:
    """The author's own text is held to the same rules."""
    misplaced(place.url, text, A="x")


# --- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("application/json", {}, "application/json"),
        ("", {}, ""),
        ("Bearer ${A}", {"A": "a b\tc!~"}, "Bearer a b\tc!~"),
        ("${A:-}", {}, ""),
        ("${A}", {"A": '{"a":"${B}"}'}, '{"a":"${B}"}'),
        ("Basic ${A|basic}", {"A": "u:ü"}, "Basic dTrDvA=="),
        ("{not json ${A}", {"A": 'x"'}, '{not json x"'),
    ],
)
def test_header(text: str, found: dict[str, str], expected: str) -> None:
    """Visible ASCII with blanks inside goes into a header as it is."""
    assert expected == put(place.header, text, **found)


@pytest.mark.parametrize(
    "value", ["a\rb", "a\nb", "a\r\nX-Evil: 1", "a\x00", "\x1b[1m", "a\x7f", "ü", "€"]
)
def test_header_refuses(value: str) -> None:
    """Whatever could end the header, or be encoded in two ways, is refused before any client."""
    assert "a header" in str(refused(place.header, "Bearer ${A}", A=value))


@pytest.mark.parametrize(("text", "value"), [("Bearer ${A}", "x\n"), ("Bearer ${A}", "x "),
                                             ("${A}", "\tx"), ("${A} x", " y")])  # fmt: skip
def test_header_advises_to_strip(text: str, value: str) -> None:
    """A blank or a line break at the edge is never meant."""
    assert "Write ${A|strip}." == refused(place.header, text, A=value).hint
    assert text.replace("${A}", value.strip()) == put(
        place.header, text.replace("${A}", "${A|strip}"), A=value
    )


@pytest.mark.parametrize(
    "text", ["ü", "a\nb", " a", "a ", "Bearer ${A} ", "é ${A}", '{"k": "${A}",\n"l": 1}']
)
def test_header_refuses_its_own_text(text: str) -> None:
    """The author's own text is held to the same rules."""
    misplaced(place.header, text, A="x")


def test_header_tells_where_its_own_text_is_wrong() -> None:
    """The offset is that of the character."""
    assert 4 == misplaced(place.header, "${A}ü", A="x").position


# --- JSON in headers and bodies ------------------------------------------------------------------

AWKWARD = 'a"b\\c/ü€😀\n\x7f</script>'


@pytest.mark.parametrize("where", [place.header, place.text_body])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"path": "/x/${A}", "n": 1}', {"path": f"/x/{AWKWARD}", "n": 1}),
        ('["${A}", ["-${A}-${A}"], {}]', [AWKWARD, [f"-{AWKWARD}-{AWKWARD}"], {}]),
        ('{"k": "$$"}', {"k": "$"}),
        ('{"a": "\\\\${A}"}', {"a": f"\\{AWKWARD}"}),
        ('{"a": "${A|json}"}', {"a": AWKWARD}),
        ('{"9173465000000000": "${A}", "b": 9173465000000000}',
         {"9173465000000000": AWKWARD, "b": 9173465000000000}),
    ],
)  # fmt: skip
def test_json_escapes_values_in_strings(where: Place, text: str, expected: object) -> None:
    """The reader of the JSON finds exactly the value, and the same structure."""
    filled = put(where, text, A=AWKWARD)
    assert expected == json.loads(filled)


def test_json_header_is_ascii() -> None:
    """Characters outside ASCII are escaped, in values and in the author's text."""
    filled = put(place.header, '{"ü": "é${A}"}', A="€")
    assert '{"\\u00fc": "\\u00e9\\u20ac"}' == filled


def test_json_body_keeps_its_own_text() -> None:
    """A body has an encoding, so the author's text stays as written."""
    assert '{"ü":\n "x"}' == put(place.text_body, '{"ü":\n "${A}"}', A="x")


@pytest.mark.parametrize("where", [place.header, place.text_body])
@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5e-3", "12345678901234567890", "true", "false", "null"]
)
def test_json_takes_scalars_outside_of_strings(where: Place, value: str) -> None:
    """A number, a truth value or null may stand bare, and stays as it is written."""
    assert f'{{"n": {value}}}' == put(where, '{"n": ${A}}', A=value)


@pytest.mark.parametrize("where", [place.header, place.text_body])
@pytest.mark.parametrize("filter_", ["", "|raw", "|json"])
@pytest.mark.parametrize(
    "value", ["x", "01", "1,2", "1 ", '"x"', "[]", "{}", "NaN", "-Infinity", '1, "b": 2', "+1", "٣"]
)
def test_json_refuses_anything_else_there(where: Place, filter_: str, value: str) -> None:
    """Whatever would bring structure of its own is refused, raw or not."""
    error = refused(where, f'{{"n": ${{A{filter_}}}}}', A=value)
    assert 'For text write "${A}".' == error.hint


@pytest.mark.parametrize("where", [place.header, place.text_body])
@pytest.mark.parametrize(
    "text",
    ['{"${A}": 1}', '{"a": {"x${A}": 1}}', '{"n": 1${A}}', '{"n": ${A}${B}}', '{"n": -${A}}',
     '{"n": ${A}.5}', '{"n": 1e${A}}', '{"a": "\\u${A}"}', '["${B}", {"${A}": "${A}"}]'],
)  # fmt: skip
def test_json_refuses_placeholders_in_keys_and_numbers(where: Place, text: str) -> None:
    """There a value would be structure, or change its neighbours."""
    assert "JSON" in str(misplaced(where, text, A="1", B="2"))


@pytest.mark.parametrize("where", [place.header, place.text_body])
def test_json_takes_raw_values_that_fit(where: Place) -> None:
    """What is escaped already is not escaped again."""
    assert '{"a": "x\\ny"}' == put(where, '{"a": "${A|raw}"}', A="x\\ny")


@pytest.mark.parametrize("where", [place.header, place.text_body])
@pytest.mark.parametrize(
    "value", ['x", "b": "y', 'x"', "x\\", '"]', 'x", "a": "y', "x\ny", '", "x": ' + "[" * 100_000]
)
def test_json_refuses_raw_values_that_change_the_structure(where: Place, value: str) -> None:
    """The document is parsed again and compared."""
    error = refused(where, '{"a": "${A|raw}", "c": ["${B}"]}', A=value, B="\n")
    assert ("A", "B") == error.names


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ('["${A|raw}", ${N}, "${B|raw}", "d"]', "x\\", ', "q", "z'),
        ('["${A|raw}", [], "${B|raw}", "d"]', "x\\", ', {}, "z'),
        ('["${A|raw}", 1, "${B|raw}", "d"]', "x\\", ', 2, "z'),
        ('{"a": "${A|raw}"}', 'x", "b": "y', ""),
        ('["${A|raw}"]', 'x", "y', ""),
    ],
)
def test_json_refuses_raw_values_that_make_valid_json(text: str, first: str, second: str) -> None:
    """That the document parses is not enough, it has to be the same one."""
    found = {"A": first, "B": second, "N": "1"}
    filled = text.replace("|raw", "")
    for name, value in found.items():
        filled = filled.replace(f"${{{name}}}", value)
    assert json.loads(filled)
    refused(place.text_body, text, **found)


def test_json_raw_value_cannot_bring_control_characters_into_a_header() -> None:
    """JSON allows DEL in a string, a header does not."""
    refused(place.header, '{"a": "${A|raw}"}', A="x\x7f")


def test_json_that_nests_too_deep_is_text() -> None:
    """A document that cannot be parsed gets no special treatment, so its values need a filter."""
    text = "[" * 100_000 + '"${A}"' + "]" * 100_000
    refused(place.text_body, text, A='"')


def test_long_json_is_not_kept() -> None:
    """A body with an artifact in it is filled like a short one."""
    text = json.dumps({"content": "x" * LONGEST_KEPT, "message": "${A}"})
    assert {"content": "x" * LONGEST_KEPT, "message": '"'} == json.loads(
        put(place.text_body, text, A='"')
    )


# --- bodies that are no JSON ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("anything ü\n$$", {}, "anything ü\n$"),
        ("<a>${A}</a>", {"A": "a-b.c_d~1"}, "<a>a-b.c_d~1</a>"),
        ("<a>${A|xml}</a>", {"A": "<&>"}, "<a>&lt;&amp;&gt;</a>"),
        ("k=${A|query}", {"A": "a b"}, "k=a+b"),
        ("k=${A|urlencode}", {"A": "a b"}, "k=a%20b"),
        ("${A|base64}", {"A": "ü"}, "w7w="),
        ("${A|base64url}", {"A": "ü?>"}, "w7w_Pg=="),
        ('x: "${A|json}"', {"A": '"'}, 'x: "\\""'),
        ("${A|strip|raw}", {"A": " <b>\n"}, "<b>"),
        ("[${A}", {"A": "x"}, "[x"),
        ("[${A:-}", {}, "["),
    ],
)
def test_text_body(text: str, found: dict[str, str], expected: str) -> None:
    """In a text of unknown kind a value is plain or says how it is encoded."""
    assert expected == put(place.text_body, text, **found)


@pytest.mark.parametrize(
    "text",
    ["<a>${A}</a>", "<a>${A|strip}</a>", "${A|json|strip}", '{"broken": "${A}"', '[NaN, "${A}"]'],
)
@pytest.mark.parametrize("value", ["a b", "<", "ü", "a\nb", "a/b", '"'])
def test_text_body_refuses(text: str, value: str) -> None:
    """The library does not guess what is safe there; the error lists the filters."""
    error = refused(place.text_body, text, A=value)
    assert "${A|json}" in (error.hint or "")


# --- everything else -----------------------------------------------------------------------------


@pytest.mark.parametrize("where", [place.query_value, place.form_value, place.json_value])
def test_values_that_the_caller_encodes_stay_as_they_are(where: Place) -> None:
    """Only filters are applied, and NUL is refused."""
    assert "x a&b=ü\n%41" == put(where, "x ${A}", A="a&b=ü\n%41")
    assert "x YQ==" == put(where, "x ${A|base64}", A="a")
    refused(where, "x ${A}", A="a\x00b")
    misplaced(where, "x\x00")


@pytest.mark.parametrize("value", ["abc", "a=b/c+d", "!#$%&'()*+-./:<=>?@[]^_`{|}~"])
def test_cookie(value: str) -> None:
    """All cookie-octets pass."""
    assert f"id-{value}" == put(place.cookie, "id-${A}", A=value)


@pytest.mark.parametrize(
    "value", ["a b", "a;b", "a,b", 'a"b', "a\\b", "a\r\nb", "a\tb", "ü", "\x00", "\x7f"]
)
def test_cookie_refuses(value: str) -> None:
    """Nothing ends the cookie or begins another one."""
    refused(place.cookie, "id-${A}", A=value)
    misplaced(place.cookie, f"{value}${{A}}", A="x")


def test_user_and_password() -> None:
    """Any text without control characters; only the password may hold a colon."""
    assert "domain\\ü" == put(place.user, "domain\\${A}", A="ü")
    assert "a:b ü€" == put(place.password, "${A}", A="a:b ü€")
    refused(place.user, "${A}", A="a:b")
    misplaced(place.user, "a:${A}", A="b")


@pytest.mark.parametrize("where", [place.user, place.password, place.plain])
@pytest.mark.parametrize("control", ["\n", "\r", "\x00", "\t", "\x7f", "\x85"])
def test_control_characters_are_refused(where: Place, control: str) -> None:
    """They are invisible where they hurt, and never meant."""
    refused(where, "${A}", A=f"a{control}b")
    misplaced(where, f"a{control}b")


def test_plain() -> None:
    """The path of a file, and a proxy with its password, stay as they are."""
    assert "/run/my certs/ü.pem" == put(place.plain, "/run/${A}", A="my certs/ü.pem")
    assert "http://u:p%40@proxy:3128" == put(place.plain, "http://u:${A}@proxy:3128", A="p%40")
