"""What holds for every text and every value."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_storage.errors import SecretNotFoundError, TemplateError
from webhook_storage.filters import has_dot_segment
from webhook_storage.template import Fact, Lookup, Placeholder, Reference, escape, parse

unhurried = settings(deadline=None, database=None, max_examples=300)

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
values = st.text(min_size=1, max_size=20) | st.sampled_from(["${B}", "$$", "$<B>", "${", "}", "$"])

QUIET = "QXZJ"
"""Letters of which no message of ours has four in a row."""
grammar = st.lists(
    st.sampled_from(
        [
            "$",
            "$$",
            "${",
            "$<",
            "{",
            "}",
            "<",
            ">",
            "|",
            ":-",
            ":?",
            ":+",
            ":",
            "-",
            "?",
            "#",
            "/",
            "//",
            "&",
            "=",
            "'",
            '"',
            " ",
            ".",
            "..",
            "~",
            "\n",
            "\x00",
            "ü",
            "v=1",
            "vault:",
            "flow.",
            "artifact.key",
            "json",
            "strip",
            "A",
            "b",
        ]
    )
    | st.text(QUIET, min_size=4, max_size=8),
    max_size=14,
).map("".join)


def as_is(_: Placeholder, value: str) -> str:
    """Escape nothing."""
    return value


@st.composite
def prefect_texts(draw: st.DrawFn) -> tuple[str, str, dict[str, str]]:
    """Return a text of Prefect 1's grammar, the same with ``$<...>``, and values."""
    found = draw(st.dictionaries(names, values, min_size=1, max_size=4))
    other = st.text(max_size=8).map(lambda text: text.replace("$", ""))
    piece = st.one_of(
        st.sampled_from(sorted(found)).map(lambda name: (f"${{{name}}}", f"$<{name}>")),
        st.just(("$$", "$$")),
        other.map(lambda text: (text, text)),
    )
    pieces = draw(st.lists(piece, max_size=10))
    return "".join(a for a, _ in pieces), "".join(b for _, b in pieces), found


@unhurried
@given(prefect_texts())
def test_texts_of_prefect_1_mean_the_same(case: tuple[str, str, dict[str, str]]) -> None:
    """Names in brackets and double dollars are filled as by ``string.Template``."""
    braces, angles, found = case
    expected = string.Template(braces).substitute(found)
    for text in (braces, angles):
        assert expected == parse(text).fill(lambda source: found.get(str(source)), as_is)


@unhurried
@given(grammar | values, values)
def test_values_are_never_expanded(value: str, other: str) -> None:
    """Whatever a value looks like, it is inserted once and as it is."""

    def lookup(source: Reference | Fact) -> str:
        return value if source == Reference("A") else other

    if value:
        filled = parse("<${A}|$<B>|${C:-x}|${A:-${B}}>").fill(lookup, as_is)
        assert f"<{value}|{other}|{other}|{value}>" == filled


@unhurried
@given(st.text() | grammar)
def test_escaped_text_is_literal(text: str) -> None:
    """Any text can be written as a template that means it."""
    assert text == parse(escape(text)).literal


def malformation(text: str) -> TemplateError | None:
    """Return what the parser says against a text."""
    try:
        parse(text)
    except TemplateError as error:
        return error
    return None


@unhurried
@given(st.text() | grammar | grammar.map(lambda text: f"${{A{text}}}"))
def test_parsing_raises_template_errors_that_show_no_text(text: str) -> None:
    """Any text parses or is refused with an offset inside it, and the refusal quotes nothing."""
    error = malformation(text)
    if error is not None:
        assert "$" == text[error.position]
        shown = f"{error!r} {error} {error.args} {error.hint} {error.path}"
        assert re.search(f"[{QUIET}]{{4}}", shown) is None
        assert (None, None) == (error.__cause__, error.__context__)


segments = st.text(
    st.characters(exclude_characters="/\\'", exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=8,
).filter(str.isprintable)
paths = (
    st.lists(segments, min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda path: not has_dot_segment(path))
)
references = st.builds(
    Reference,
    name=paths,
    scheme=st.from_regex(r"[a-z][a-z0-9+]{1,5}", fullmatch=True),
    instance=st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,4}", fullmatch=True),
    options=st.dictionaries(names, segments, max_size=2).map(lambda found: tuple(found.items())),
    field=st.none() | segments,
) | st.builds(Reference, name=names, field=st.none() | segments)


@unhurried
@given(references)
def test_a_reference_prints_as_it_is_parsed(reference: Reference) -> None:
    """The canonical spelling means the reference again, in both brackets."""
    for text in (f"${{{reference}}}", f"$<{reference}>"):
        assert (reference,) == parse(text).references()


nested = st.recursive(
    st.sampled_from(["${A}", "${B}", "$<A>", "text", "${A:-}", "${C:?needed}"]),
    lambda inner: (
        st.builds("${{{}:-{}}}".format, st.sampled_from("ABC"), inner)
        | st.builds("{}{}".format, inner, inner)
    ),
    max_leaves=6,
)


@unhurried
@given(nested, st.dictionaries(st.sampled_from("ABC"), st.sampled_from(["", "x", "${A}"])))
def test_problems_are_what_filling_would_raise(text: str, found: dict[str, str]) -> None:
    """Without problem it is filled; else the first problem is the error."""
    lookup: Lookup = lambda source: found.get(str(source))  # noqa: E731 - it has a type
    template = parse(text)
    problems = template.problems(lookup)
    if problems:
        with pytest.raises(SecretNotFoundError) as caught:
            template.fill(lookup, as_is)
        assert (str(problems[0].source),) == caught.value.names
    else:
        assert isinstance(template.fill(lookup, as_is), str)
