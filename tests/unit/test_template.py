"""What each form of the grammar means, and what each malformed one is told."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from webhook_storage.errors import SecretNotFoundError, TemplateError, UnsafeValueError
from webhook_storage.filters import FILTERS, has_dot_segment
from webhook_storage.template import (
    LONGEST_KEPT,
    Fact,
    Placeholder,
    Problem,
    Reference,
    Template,
    escape,
    parse,
)

if TYPE_CHECKING:
    from webhook_storage.template import Lookup


def values(**found: str) -> Lookup:
    """Look up by the spelling of the source, with ``__`` for a dot."""
    by_spelling = {name.replace("__", "."): value for name, value in found.items()}
    return lambda source: by_spelling.get(str(source))


def fill(text: str, **found: str) -> str:
    """Fill a text and escape nothing."""
    return parse(text).fill(values(**found), lambda _, value: value)


def only(text: str) -> Placeholder:
    """Return the one placeholder of which the text consists."""
    (part,) = parse(text).parts
    if isinstance(part, str):
        pytest.fail("this is literal text")
    return part


# --- text and brackets ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$$", "$"),
        ("$$$$", "$$"),
        ("$${A}", "${A}"),
        ("$$<A>", "$<A>"),
        ("$$$", "$$"),
        ("$NAME", "$NAME"),
        ("?$select=id", "?$select=id"),
        ("$5", "$5"),
        ("a $ b", "a $ b"),
        ("trailing $", "trailing $"),
        ("{A} <A> |", "{A} <A> |"),
        ("$(A)", "$(A)"),
    ],
)
def test_text_without_placeholder_is_literal(text: str, expected: str) -> None:
    """A dollar that begins no placeholder is text, and two of them are one."""
    template = parse(text)
    assert (True, expected) == (template.is_literal, template.literal)


@pytest.mark.parametrize("text", ["${A}", "$<A>"])
def test_both_brackets_mean_the_same(text: str) -> None:
    """``${A}`` and ``$<A>`` are one placeholder in two spellings."""
    assert Placeholder(Reference("A")) == only(text)
    assert not parse(text).is_literal
    assert parse(text).literal is None


def test_values_take_the_place_of_placeholders() -> None:
    """Literal text stays as it is around the values."""
    assert "1 two 1$" == fill("${A} $<B> ${A}$$", A="1", B="two")


@pytest.mark.parametrize("value", ["true", "1e5", "null", "007", " x "])
def test_values_stay_text(value: str) -> None:
    """What looks like another type is not converted."""
    assert value == fill("${A}", A=value)


@pytest.mark.parametrize("value", ["${B}", "$<B>", "$$", "${A}", "${", "|raw}"])
def test_values_are_not_scanned(value: str) -> None:
    """A value that looks like a placeholder is inserted as it is."""
    assert f"[{value}]" == fill("[${A}]", A=value, B="never")


def test_a_default_that_resolves_to_a_placeholder_is_not_scanned() -> None:
    """Neither is what comes out of a default."""
    assert "${C}" == fill("${A:-${B}}", B="${C}", C="never")


def test_escape_is_the_way_back() -> None:
    """Foreign text becomes a template that is its literal."""
    assert "$${A} $$$$ $$" == escape("${A} $$ $")
    assert "${A} $$ $" == parse(escape("${A} $$ $")).literal


# --- sources -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${_a1}", Reference("_a1")),
        ("${Token}", Reference("Token")),
        ("${A#field}", Reference("A", field="field")),
        ("${A#/a~1b/0}", Reference("A", field="/a~1b/0")),
        ("${A#'one time'}", Reference("A", field="one time")),
        ("${vault:secret/app}", Reference("secret/app", "vault")),
        ("${vault:secret/app#token}", Reference("secret/app", "vault", field="token")),
        ("${vault://prod/a/b#c}", Reference("a/b", "vault", "prod", field="c")),
        ("${vault:a?version=3}", Reference("a", "vault", options=(("version", "3"),))),
        (
            "${vault://x/a?b=1&a='2 3'#f}",
            Reference("a", "vault", "x", (("b", "1"), ("a", "2 3")), "f"),
        ),
        ("${file:/run/secrets/x}", Reference("/run/secrets/x", "file")),
        ("${file:///run/secrets/x}", Reference("/run/secrets/x", "file")),
        ("${file://other//run/x}", Reference("/run/x", "file", "other")),
        ("${op:'My Vault/it#em'}", Reference("My Vault/it#em", "op")),
        ('${op:"it\'s"}', Reference("it's", "op")),
        ("${aws:arn:aws:sm:eu-1:1:secret:n-x}", Reference("arn:aws:sm:eu-1:1:secret:n-x", "aws")),
        ("${aws+sm:x}", Reference("x", "aws+sm")),
        ("${env:HOME}", Reference("HOME", "env")),
        ("${az:Grüße/v1..2}", Reference("Grüße/v1..2", "az")),
        ("${artifact.key}", Fact("artifact.key")),
        ("$<receipt.a-b.c_1>", Fact("receipt.a-b.c_1")),
        ("${flow.name}", Fact("flow.name")),
        ("${build.time}", Fact("build.time")),
    ],
)
def test_source(text: str, expected: Reference | Fact) -> None:
    """Each spelling names what is looked up."""
    assert expected == only(text).source


@pytest.mark.parametrize(
    "spelling",
    [
        "A",
        "A#/json/0",
        "A#'a b'",
        "vault://prod/secret/app?version=3#token",
        "vault:secret/app",
        "file:/run/x",
        "op:'My Vault/a'?attribute='o tp'#\"it's\"",
        "op:'-a'",
        "op:'a:'?b='c:'#'d:'",
        "artifact.key",
    ],
)
def test_canonical_spelling(spelling: str) -> None:
    """A source prints itself as it stands in a template."""
    assert spelling == str(only(f"${{{spelling}}}").source)


def test_without_field_names_the_whole_secret() -> None:
    """Only the field goes; without one the reference is itself."""
    whole = Reference("a", "vault", "prod", (("version", "3"),))
    assert whole == Reference("a", "vault", "prod", (("version", "3"),), "f").without_field()
    assert whole is whole.without_field()


def test_scheme_like_name_with_operator_is_a_name() -> None:
    """``:-`` and ``:?`` after a word are operators, never the beginning of a path."""
    assert (Reference("vault"), ":-") == (only("${vault:-x}").source, only("${vault:-x}").operator)
    assert (Reference("vault"), ":?") == (only("${vault:?x}").source, only("${vault:?x}").operator)


def test_position_is_the_offset_of_the_dollar() -> None:
    """Placeholders know where they stand, those in defaults too."""
    outer = parse("ab${A:-cd${B}}").parts[1]
    assert isinstance(outer, Placeholder)
    assert isinstance(outer.word, Template)
    inner = outer.word.parts[1]
    assert isinstance(inner, Placeholder)
    assert (2, 9) == (outer.position, inner.position)


def test_sources_are_listed_once_in_order() -> None:
    """What may be needed is known before anything is resolved, defaults included."""
    template = parse("${B}${A:-${C:-${flow.name}}}${B}${artifact.key}")
    assert (Reference("B"), Reference("A"), Reference("C")) == template.references()
    assert ("flow.name", "artifact.key") == template.facts()


# --- defaults and messages -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("${A:-x}", {"A": "1"}, "1"),
        ("${A:-x}", {}, "x"),
        ("${A:-x}", {"A": ""}, "x"),
        ("[${A:-}]", {}, "[]"),
        ("${A:-${B}}", {"B": "2"}, "2"),
        ("${A:-${B:-${C:-3}}}", {}, "3"),
        ("${A:-$<B>}", {"B": "2"}, "2"),
        ("$<A:-${B}>", {"B": "2"}, "2"),
        ("${A:-{x}}", {}, "{x}"),
        ("${A:-{x\\}}", {}, "{x\\}"),
        ('${A:-{"k":{"l":1}}}', {}, '{"k":{"l":1}}'),
        ("$<A:-<b>>", {}, "<b>"),
        ("$<A:-}>", {}, "}"),
        ("${A:->}", {}, ">"),
        ("${A:-$$5 $x}", {}, "$5 $x"),
        ("${A:- a b }", {}, " a b "),
        ("${A:-{a|b}}", {}, "{a|b}"),
        ("${A:-a b  | urlencode}", {}, "a%20b"),
        ("${A:-${B|urlencode}|base64}", {"B": "/"}, "JTJG"),
        ("${artifact.key:-k}", {}, "k"),
        ("${vault:a/b#c:-d}", {}, "d"),
        ("${vault:a?v=1:-d}", {}, "d"),
        ("${A:?never shown}", {"A": "1"}, "1"),
    ],
)
def test_default(text: str, found: dict[str, str], expected: str) -> None:
    """A default stands in for what is missing or empty."""
    assert expected == fill(text, **found)


def test_ten_defaults_may_be_nested() -> None:
    """The limit of the nesting itself is allowed."""
    assert "x" == fill("${A:-" * 10 + "x" + "}" * 10)


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("${A}", {"A": "1"}, []),
        ("${A}", {}, [Problem(Reference("A"), "missing")]),
        ("${A}", {"A": ""}, [Problem(Reference("A"), "empty")]),
        ("${A:?no $$ here}", {}, [Problem(Reference("A"), "missing", "no $ here")]),
        ("${A:?set it}", {"A": ""}, [Problem(Reference("A"), "empty", "set it")]),
        ("${A:?}", {}, [Problem(Reference("A"), "missing")]),
        ("${A:-}", {"A": ""}, []),
        ("${A:-${B}}", {}, [Problem(Reference("B"), "missing")]),
        ("${A:-${B}}", {"A": "1"}, []),
        (
            "${B}${A}${B}",
            {},
            [Problem(Reference("B"), "missing"), Problem(Reference("A"), "missing")],
        ),
        ("${flow.slug}", {}, [Problem(Fact("flow.slug"), "missing")]),
    ],
)
def test_problems(text: str, found: dict[str, str], expected: list[Problem]) -> None:
    """Every placeholder without a value is told, once, before anything is filled."""
    assert tuple(expected) == parse(text).problems(values(**found))


@pytest.mark.parametrize(
    ("text", "found", "message"),
    [
        ("${A}", {}, "${A} is missing"),
        ("${A}", {"A": ""}, "${A} is empty"),
        ("${A:?set it}", {}, "${A} is missing: set it"),
        ("${A|strip}", {"A": " \n"}, "${A} is empty after its filters"),
    ],
)
def test_filling_without_value_is_an_error(text: str, found: dict[str, str], message: str) -> None:
    """A blank never goes where a value was wanted."""
    with pytest.raises(SecretNotFoundError) as caught:
        fill(text, **found)
    assert (message, ("A",)) == (str(caught.value), caught.value.names)


def test_default_may_be_empty_after_filters() -> None:
    """Who allows an empty value with ``:-`` allows it after filters too."""
    assert "" == fill("${A:-|strip}", A="  ")


def test_escape_gets_each_value_after_default_and_filters() -> None:
    """The caller sees top-level placeholders only, in order, and decides what is inserted."""
    seen: list[tuple[str, str]] = []

    def record(placeholder: Placeholder, value: str) -> str:
        seen.append((str(placeholder.source), value))
        return f"<{value}>"

    filled = parse("${A|strip}/${B:-${C}}").fill(values(A=" 1 ", C="3"), record)
    assert ("<1>/<3>", [("A", "1"), ("B", "3")]) == (filled, seen)


# --- refusals ------------------------------------------------------------------------------------

MALFORMED: list[tuple[str, int, str]] = [
    ("a${", 1, "it is not closed"),
    ("${A", 0, "it is not closed"),
    ("$<A}", 0, "it is not closed"),
    ("${A:-{x}", 0, "it is not closed"),
    ("${A|json", 0, "it is not closed"),
    ("${}", 0, "it is empty"),
    ("$<>", 0, "it is empty"),
    ("${{ secrets.A }}", 0, "GitHub Actions"),
    ("${ A}", 0, "a name consists of"),
    ("${1A}", 0, "a name consists of"),
    ("${É}", 0, "a name consists of"),
    ("${-x}", 0, "a name consists of"),
    ("${AÉ}", 0, "cannot stand there"),
    ("${A }", 0, "cannot stand there"),
    ("${A B}", 0, "cannot stand there"),
    ("${A|json }", 0, "cannot stand there"),
    ("${A\t|json}", 0, "cannot stand there"),
    ("${A-x}", 0, "write ':-'"),
    ("${A?x}", 0, "write ':?'"),
    ("${A+x}", 0, "no operator '+'"),
    ("${A:+x}", 0, "no operator ':+'"),
    ("${vault:+x}", 0, "no operator ':+'"),
    ("${A:x}", 0, "a scheme has"),
    ("${a:x}", 0, "a scheme has"),
    ("${a_b:x}", 0, "a scheme has"),
    ("${A:?${B}}", 0, "a message cannot hold"),
    ("${A:-b${C:-d${}}}", 12, "it is empty"),
    ("${A:-x|}", 0, "no such filter"),
    ("${A|nothing}", 0, "no such filter"),
    ("${A|json|}", 0, "no such filter"),
    ("${flow.}", 0, "nothing follows the dot"),
    ("${secret.name}", 0, "a dotted name begins with"),
    ("${Flow.name}", 0, "a dotted name begins with"),
    ("${artifact.key#x}", 0, "cannot stand there"),
    ("${A.b}", 0, "a dotted name begins with"),
    ("${vault:}", 0, "the path is empty"),
    ("${vault:#f}", 0, "the path is empty"),
    ("${vault:''}", 0, "the path is empty"),
    ("${vault:'a}", 0, "a quote is not closed"),
    ("${vault://prod}", 0, "an instance's name"),
    ("${vault://pr od/a}", 0, "an instance's name"),
    ("${vault://../a}", 0, "an instance's name"),
    ("${vault://prod/}", 0, "the path is empty"),
    ("${vault:a b}", 0, "cannot stand there"),
    ("${vault:a'b}", 0, "cannot stand there"),
    ("${vault:a/${B}/c}", 0, "a placeholder cannot stand there"),
    ("${A#${B}}", 0, "a placeholder cannot stand there"),
    ("${vault:a?v=$<B>}", 0, "a placeholder cannot stand there"),
    ("${vault:a?}", 0, "options are written"),
    ("${vault:a?v}", 0, "options are written"),
    ("${vault:a?v=1&v=2}", 0, "options are written"),
    ("${vault:a?v=1&}", 0, "options are written"),
    ("${vault:a?v=}", 0, "an option is empty"),
    ("${vault:a#}", 0, "the field is empty"),
    ("${A#}", 0, "the field is empty"),
    ("${A#/a~2}", 0, "JSON pointer"),
    ("${A#/a~}", 0, "JSON pointer"),
    ("${vault:.}", 0, "empty, '.' or '..'"),
    ("${vault:a/../b}", 0, "empty, '.' or '..'"),
    ("${vault:a/./b}", 0, "empty, '.' or '..'"),
    ("${vault:a//b}", 0, "empty, '.' or '..'"),
    ("${vault:a/}", 0, "empty, '.' or '..'"),
    ("${vault:'//a/b'}", 0, "empty, '.' or '..'"),
    ("${vault:a/%2e%2E/b}", 0, "empty, '.' or '..'"),
    ("${vault:a%2f..%2fb}", 0, "empty, '.' or '..'"),
    ("${vault:a/%252e./b}", 0, "empty, '.' or '..'"),
    ("${vault:'a\\..\\b'}", 0, "empty, '.' or '..'"),
    ("${vault:'a\nb'}", 0, "the path holds a control character"),
    ("${vault:a\x00b}", 0, "the path holds a control character"),
    ("${A#'a\x7f'}", 0, "the field holds a control character"),
    ("${vault:a?v='\x1b'}", 0, "an option holds a control character"),
    ("${A:-" * 12 + "}" * 12, 55, "nested more than 10"),
]


@pytest.mark.parametrize(("text", "position", "message"), MALFORMED)
def test_malformed(text: str, position: int, message: str) -> None:
    """A malformed placeholder is told by its offset and by what is wrong with it."""
    with pytest.raises(TemplateError) as caught:
        parse(text)
    error = caught.value
    assert position == error.position
    assert str(error).startswith(f"The placeholder at offset {position} is malformed: ")
    assert message in str(error)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("${A|urlencod}", "Did you mean 'urlencode'?"),
        ("${A|BASE64}", "Did you mean 'base64'?"),
        ("${A|upper}", "There are urlencode, path, query,"),
        ("${flwo.name}", "Did you mean 'flow'?"),
        ("${artefact.key}", "Did you mean 'artifact'?"),
        ("${}", "write $$"),
        ("${A", "write $$"),
        ("${{A}}", "Write ${NAME}"),
        ("${vault:a b}", "in quotes"),
    ],
)
def test_advice(text: str, hint: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(TemplateError) as caught:
        parse(text)
    assert hint in (caught.value.hint or "")


# --- filters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("urlencode", "a b/ü~+", "a%20b%2F%C3%BC~%2B"),
        ("path", "a b/ü", "a%20b/%C3%BC"),
        ("query", "a b/+", "a+b%2F%2B"),
        ("base64", "ü?>", "w7w/Pg=="),
        ("base64url", "ü?>", "w7w_Pg=="),
        ("base64decode", "w7w/Pg==", "ü?>"),
        ("base64decode", "w7w_\nPg\n", "ü?>"),
        ("json", 'a"\\\nü', 'a\\"\\\\\\n\\u00fc'),
        ("xml", '<a b="\'&">\n', "&lt;a b=&quot;&apos;&amp;&quot;&gt;&#10;"),
        ("strip", " \ta b\r\n", "a b"),
        ("trimnl", "a\n\n", "a\n"),
        ("trimnl", "a\r\n", "a"),
        ("trimnl", "a ", "a "),
        ("basic", "user:pä:ss", "dXNlcjpww6Q6c3M="),
        ("raw", "a b%", "a b%"),
    ],
)
def test_filter(name: str, value: str, expected: str) -> None:
    """Each filter does what its name says."""
    assert expected == fill(f"${{A|{name}}}", A=value)


@pytest.mark.parametrize(
    ("name", "value", "needs"),
    [
        ("path", "a/../secretpart", "without '.' and '..'"),
        ("path", "a/%2e%2e/secretpart", "without '.' and '..'"),
        ("base64decode", "secretpart!", "base64 form"),
        ("base64decode", "/////w==", "base64 form"),
        ("base64decode", "secretpartü", "base64 form"),
        ("xml", "secretpart\x00", "XML"),
        ("basic", "secretpart", "user:password"),
        ("basic", "secret:part\n", "user:password"),
    ],
)
def test_filter_refuses(name: str, value: str, needs: str) -> None:
    """A refusing filter names the placeholder and keeps the value, and what held it, to itself."""
    with pytest.raises(UnsafeValueError) as caught:
        fill(f"${{A|{name}}}", A=value)
    error = caught.value
    assert (("A",), None, None) == (error.names, error.__cause__, error.__context__)
    assert str(error).startswith(f"${{A}}: the filter '{name}' needs ")
    assert needs in str(error)
    assert value not in repr(error)


def test_filters_apply_from_left_to_right() -> None:
    """The output of one is the input of the next, with spaces around the bar if you like."""
    assert "YSBi" == fill("${A | strip|base64}", A=" a b ")
    assert ("strip", "base64") == only("${A | strip|base64}").filters


def test_filters_are_a_closed_set() -> None:
    """Nobody adds or replaces a filter at run time."""
    mutable: Any = FILTERS
    with pytest.raises(TypeError):
        mutable["upper"] = str.upper
    assert {
        "urlencode", "path", "query", "base64", "base64url", "base64decode",
        "json", "xml", "strip", "trimnl", "basic", "raw",
    } == set(FILTERS)  # fmt: skip


def test_value_that_is_no_unicode_is_refused() -> None:
    """What the environment holds as undecodable bytes would break an encoder, and show itself."""
    with pytest.raises(UnsafeValueError, match="not valid Unicode") as caught:
        fill("${A|urlencode}", A="secretpart\udcff")
    assert caught.value.__context__ is None
    assert "secretpart" not in repr(caught.value)


# --- dot segments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [".", "..", "a/..", "../a", "a/./b", "a\\..\\b", "%2e", ".%2E/a", "a%2f..%2fb", "a%5c..",
     "..;x", "%252e%252e", "%25252525252525252e"],
)  # fmt: skip
def test_dot_segment_is_found_in_disguise(path: str) -> None:
    """Whatever somebody on the way could decode to a dot segment is one."""
    assert has_dot_segment(path)


@pytest.mark.parametrize("path", ["", "a", "a.b/c..d", "...", ".a", "a%20b.txt", "%zz", "100%"])
def test_other_dots_are_no_dot_segments(path: str) -> None:
    """Dots in names are ordinary."""
    assert not has_dot_segment(path)


# --- the tree as data ----------------------------------------------------------------------------


def test_templates_are_plain_data() -> None:
    """A template survives pickling and copying, and equals another one of its text."""
    template = parse("a${vault://p/b?v=1#c:-${D|json}}e")
    for twin in (pickle.loads(pickle.dumps(template)), copy.deepcopy(template)):  # noqa: S301
        assert template == twin
        assert template.parts == twin.parts
        assert hash(template) == hash(twin)
    assert template != parse("a${vault://p/b?v=1#c:-${D}}e")


def test_parsing_is_remembered_for_short_texts_only() -> None:
    """The same short text gives the same tree; a body with an artifact in it is not kept."""
    long = "x" * (LONGEST_KEPT + 1) + "${A}"
    assert parse("${A}") is parse("${A}")
    assert parse(long) == parse(long)
    assert parse(long) is not parse(long)
