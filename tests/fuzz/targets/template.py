"""The grammar of placeholders, and the places that values are put into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.kit import joined, refusals, texts
from webhook_storage import place
from webhook_storage.template import Reference, as_is, escape, parse

if TYPE_CHECKING:
    from webhook_storage.template import Fact, Lookup

SEEDS = (
    joined("Bearer ${TOKEN:-none}, $$5 $<A|base64>", "s3cret"),
    joined("https://h.example/p/${A}/q?k=${B|urlencode}", "a/b c"),
    joined("${BASE}/${artifact.key}?${Q|raw}", "https://h.example:8443"),
    joined("${vault://prod/secret/app?version=3#/a~1b}", "x"),
    joined('{"a": "${A|json}", "n": [${B}, 1.50]}', "1e5"),
    joined("<a>${A|xml}</a>", "<&>"),
    joined("${A:-${B:-${C:?is needed}}|strip|basic}", ""),
    joined("x=${A|path}&${B|base64decode|trimnl|query}", "YS9i"),
    joined("text with $NAME, ${'quoted'} and ${{ inputs }}", "\n"),
)
WORDS = (
    b"$", b"$$", b"${", b"$<", b"}", b">", b"|", b":-", b":?", b"//", b"'", b'"', b"#/", b"?v=1",
    b"${A}", b"${A|base64", b"|base64", b"|json", b"|urlencode", b"vault:", b"file:///",
    b"artifact.key", b"https://[", b"..", b"%2e", b"\\", b"\x00", b"\xed\xa0\x80", b"\xff", b'{"',
)  # fmt: skip

_PLACES = (
    place.url, place.header, place.text_body, place.query_value, place.form_value,
    place.json_value, place.cookie, place.user, place.password, place.plain,
)  # fmt: skip


def target(data: bytes) -> None:
    """Parse the first part, and put the second one, or nothing, into each place of it."""
    text, value = texts(data, 2)
    assert parse(escape(text)).literal == text
    with refusals():
        template = parse(text)
        for reference in template.references():
            assert parse(f"${{{reference}}}").references() == (reference,)
        for lookup in (_giving(value), _giving(None)):
            problems = template.problems(lookup)
            with refusals():
                template.fill(lookup, as_is)
                assert not problems
            for fill in _PLACES:
                with refusals():
                    assert isinstance(fill(template, lookup), str)
        with refusals():
            place.check_url(template)


def _giving(value: str | None) -> Lookup:
    def lookup(source: Reference | Fact) -> str | None:
        return value

    return lookup
