"""Where references lead: the helpers that resolvers of stores share."""

from __future__ import annotations

import pytest

from webhook_storage.contracts import Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage_resolvers.naming import (
    Place,
    answers,
    check_names,
    field_of,
    is_segment,
    options_of,
    place_of,
)


def found(text: str) -> Found:
    """Return the outcome for a value."""
    return Found(value=SecretValue(text))


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [None, "team/flows#{name}"])
def test_a_path_of_its_own_is_taken_as_it_is(names: str | None) -> None:
    """With a scheme the reference says where the secret is, whatever bare names do."""
    assert Place("secret/app") == place_of(Reference("secret/app", "vault"), names)


@pytest.mark.parametrize(
    ("names", "place"),
    [
        ("team/flows#{name}", Place("team/flows", "TOKEN")),
        ("team/{name}", Place("team/TOKEN")),
        ("team/{name}#value", Place("team/TOKEN", "value")),
        ("{name}-{name}#{name}", Place("TOKEN-TOKEN", "TOKEN")),
        ("team/{name}#", Place("team/TOKEN")),
    ],
)
def test_bare_names_lie_where_the_pattern_says(names: str, place: Place[str]) -> None:
    """The name stands in the path, in the field, or in both."""
    assert place == place_of(Reference("TOKEN"), names)


def test_bare_names_are_not_looked_for_without_a_pattern() -> None:
    """A store that was not told where they lie does not stop the chain."""
    outcome = place_of(Reference("TOKEN"), None)
    assert NotFound("bare names are not looked for, as `names` is not set") == outcome


def test_a_name_cannot_bring_a_field_or_a_pattern_along() -> None:
    """Only the configuration says what is path and what is field."""
    assert Place("team/a#b", "value") == place_of(Reference("a#b"), "team/{name}#value")
    assert Place("team/{name}") == place_of(Reference("{name}"), "team/{name}")


def test_a_pattern_without_the_name_is_refused() -> None:
    """It would give every name the same secret."""
    with pytest.raises(ConfigurationError, match=r"must hold \{name\}, for example") as caught:
        check_names("team/flows#token")
    assert "names" == caught.value.path
    with pytest.raises(ConfigurationError):
        check_names("")


@pytest.mark.parametrize("names", [None, "{name}", "team/flows#{name}"])
def test_other_patterns_are_accepted(names: str | None) -> None:
    """None is a pattern too: bare names are not looked for."""
    check_names(names)


# --- options --------------------------------------------------------------------------------------


def with_options(*options: tuple[str, str]) -> Reference:
    """Return a reference with options."""
    return Reference("app", "store", options=options)


def test_known_options_are_returned() -> None:
    """What is allowed comes back by name; none is an empty dictionary."""
    reference = with_options(("version", "3"), ("stage", "prod"))
    assert {"version": "3", "stage": "prod"} == options_of(reference, ["stage", "version", "x"])
    assert {} == options_of(with_options(), ["version"])


@pytest.mark.parametrize(
    ("allowed", "told"),
    [
        ([], 'has no option "vresion", it takes none'),
        (["version"], 'has no option "vresion", only "version"'),
        (iter(["version", "stage"]), 'has no option "vresion", only "version" and "stage"'),
    ],
)
def test_an_unknown_option_is_told_with_those_there_are(allowed: list[str], told: str) -> None:
    """A misspelling is answered with what can be meant."""
    assert Invalid(told) == options_of(with_options(("vresion", "3")), allowed)


def test_an_empty_name_is_nowhere() -> None:
    """It would else be the secret in which the fields of all names lie."""
    assert NotFound("a name is not empty") == place_of(Reference(""), "team/flows#{name}")


def test_an_option_that_is_given_twice_is_invalid() -> None:
    """Of two versions neither is guessed."""
    reference = with_options(("version", "3"), ("version", "4"))
    assert Invalid("an option is given twice") == options_of(reference, ["version"])


# --- answers ---


def test_each_secret_is_read_once() -> None:
    """Fields of one secret are one question, and what leads nowhere is none."""
    asked: list[list[str]] = []

    def find(reference: Reference) -> Place[str] | Outcome:
        name, _, field = reference.name.partition("#")
        return Place(name, field or None) if name else Invalid("nothing")

    def read(paths: list[str]) -> dict[str, Outcome]:
        asked.append(paths)
        return {path: Found(value=SecretValue('{"x": "1", "y": "2"}')) for path in paths}

    names = ["a#x", "a#y", "a#z", "b#x", "#x"]
    told = answers(map(Reference, names), find, read)
    assert [["a", "b"]] == asked
    one, two = Found(value=SecretValue("1")), Found(value=SecretValue("2"))
    missing = NotFound("the secret has no such field")
    assert [one, two, missing, one, Invalid("nothing")] == [told[Reference(each)] for each in names]


def test_nothing_is_read_for_nothing() -> None:
    """When no reference leads anywhere the store is left alone."""

    def read(paths: list[str]) -> dict[str, Outcome]:
        raise AssertionError(paths)

    assert {Reference("a"): NotFound()} == answers([Reference("a")], lambda _: NotFound(), read)


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["app", "a.b", "...", "with space", "ünï", "a:b", "%2f", "a=b&c"])
def test_words_can_stand_between_slashes(text: str) -> None:
    """What does not change a path, once it is encoded, is a segment."""
    assert is_segment(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "%2e", "%2E%2e", ".%2E", "a/b", "a?b", "a#b", "a\\b", "a\nb", "a\0b", "\u202e"],
)
def test_what_would_change_the_path_cannot(text: str) -> None:
    """Dots, separators and what cannot be seen are no segment."""
    assert not is_segment(text)


# --- fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [NotFound("gone"), Unavailable("down"), Invalid()])
def test_what_is_not_found_has_no_fields(outcome: Outcome) -> None:
    """An outcome without a value stays what it is."""
    assert field_of(outcome, "token") is outcome


def test_without_a_field_it_is_all_of_it() -> None:
    """The caller selects the field itself then, so a structured secret stays one."""
    outcome = Found(value=SecretValue('{"a": 1}'), structured=True)
    assert field_of(outcome, None) is outcome


@pytest.mark.parametrize(
    ("field", "text"), [("token", "t0k3n"), ("port", "1e5"), ("/list/1", '{"a":true}')]
)
def test_a_field_is_a_value_of_its_own(field: str, text: str) -> None:
    """It keeps version and lifetime of the secret, and is structured no more."""
    document = '{"token": "t0k3n", "port": 1e5, "list": [0, {"a": true}]}'
    whole = Found(value=SecretValue(document), structured=True, version="3", lifetime=9.0)
    part = Found(value=SecretValue(text), version="3", lifetime=9.0)
    assert part == field_of(whole, field)


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        ("s3cret", Invalid("is not JSON, so it has no fields")),
        ('{"other": "s3cret"}', NotFound("the secret has no such field")),
        ('{"token": null}', NotFound("the secret has no such field")),
        ('["s3cret"]', NotFound("the secret has no such field")),
        ('{"token": "\\ud800"}', Invalid("the field is no text")),
    ],
)
def test_a_field_that_is_not_there_is_told_without_the_others(
    document: str, outcome: Outcome
) -> None:
    """A field stands for a bare name, so one that is absent sends the question on."""
    assert outcome == field_of(found(document), "token")
