"""The values of one request's placeholders: asked for together, kept for one sending, not shown."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from webhook_storage import place
from webhook_storage.contracts import (
    Facts,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.errors import (
    ConfigurationError,
    SecretError,
    SecretForbiddenError,
    SecretInvalidError,
    SecretNotFoundError,
    SecretUnavailableError,
)
from webhook_storage.filters import FILTERS
from webhook_storage.secret import SecretValue
from webhook_storage.template import Fact, Problem, Reference, Template, parse

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from webhook_storage.resolution import Answers, Resolution

_REFUSALS: tuple[tuple[type[Outcome], type[SecretError], str], ...] = (
    (Invalid, SecretInvalidError, "is not a reference that can be answered"),
    (Forbidden, SecretForbiddenError, "may not be read"),
    (Unavailable, SecretUnavailableError, "could not be asked for"),
)
"""In the order in which they are told: what the user must mend first comes first."""


_LOOK = "'webhook-storage check' shows what each resolver answers"


class Values:
    """What the placeholders of a request stand for.

    Attributes:
        found: The values of the secrets among them.
    """

    __slots__ = ("_facts", "found")

    def __init__(self, found: Mapping[Reference, SecretValue], facts: Facts) -> None:
        """Keep secrets and facts apart."""
        self.found = found
        self._facts = facts

    @property
    def references(self) -> tuple[Reference, ...]:
        """The secrets among them."""
        return tuple(self.found)

    def lookup(self, source: Reference | Fact) -> str | None:
        """Return the value of a placeholder, None when it has none."""
        if type(source) is Fact:
            return _fact(self._facts, source.name)
        value = self.found.get(source)  # type: ignore[arg-type]  # it is a reference
        return None if value is None else value.reveal()

    def marks(self, source: Reference | Fact) -> str | None:
        """Return facts as they are and for a secret a mark which any place accepts."""
        if isinstance(source, Fact):
            return _fact(self._facts, source.name)
        value = self.found.get(source)
        return None if value is None else _mark(self.references.index(source), value)

    def spellings(self) -> dict[str, tuple[str, str]]:
        """Return for each text that a mark can have become which secret it is, and its filter."""
        known: dict[str, tuple[str, str]] = {}
        for reference in self.references:
            mark = self.marks(reference) or ""
            for name, change in FILTERS.items():
                shown = "" if name in _SAME_VALUE else name
                with contextlib.suppress(ValueError):
                    known.setdefault(change(mark), (str(reference), shown))
        return known

    def same_as(self, other: Values) -> bool:
        """Tell whether all secrets are what they were."""
        return self.found == other.found

    def fill(self, texts: Mapping[str, str]) -> dict[str, SecretValue]:
        """Return each template filled, as a secret; one that is a secret alone is that secret."""
        return {name: self._filled(parse(text)) for name, text in texts.items()}

    def _filled(self, template: Template) -> SecretValue:
        filled = SecretValue(place.json_value(template, self.lookup))
        return next((value for value in self.found.values() if value == filled), filled)


_NUMBER = re.compile(r"-?[0-9.eE+-]+|true|false|null")


_SAME_VALUE = frozenset({"raw", "strip", "trimnl", "urlencode", "path", "query", "json", "xml"})
"""Filters that only make a value fit its place; a preview does not show them."""


def _mark(index: int, value: SecretValue) -> str:
    """Return what stands for a secret in a preview, and fits wherever the secret does."""
    text = value.reveal()
    if _NUMBER.fullmatch(text):
        return f"770077{index:04}770077"
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() in {"http", "https", "file"}:
        return f"{scheme.lower()}://{'/' if scheme.lower() == 'file' else ''}xSECRETx{index}x"
    return f"xSECRETx{index}x:x" if ":" in text else f"xSECRETx{index}x"


def _fact(facts: Facts, name: str) -> str | None:
    try:
        return facts[name]
    except KeyError:
        return None


class _Ask:
    """Ask for secrets."""

    def __init__(self, resolution: Resolution, references: Sequence[Reference]) -> None:
        self._resolution = resolution
        self._references = references

    def perform(self) -> Answers:
        return self._resolution.resolve(self._references)

    async def aperform(self) -> Answers:
        return await self._resolution.aresolve(self._references)


def ask(
    resolution: Resolution, texts: Sequence[tuple[str, Template]], facts: Facts
) -> Generator[Any, Any, Values]:
    """Ask for all secrets of the templates at once and return them with the facts.

    Raises:
        SecretError: When one is missing, empty, forbidden or cannot be asked for; the message names
            all of them, and who was asked.
        ConfigurationError: When a fact is not known in this operation.
    """
    references = tuple(dict.fromkeys(ref for _, text in texts for ref in text.references()))
    if not references:
        values = Values({}, facts)
        _check(texts, values, {})
        return values
    answers: Answers = resolution.at_hand(references) or (yield _Ask(resolution, references))
    found: dict[Reference, SecretValue] = {}
    given = True
    for reference in references:
        outcome = answers[reference].outcome
        if type(outcome) is Found:
            found[reference] = outcome.value
            given = given and outcome.value.reveal() != ""
    values = Values(found, facts)
    if len(found) < len(references):
        _check_outcomes(references, answers)
        given = False
    if not given or not all(facts.get(name) for _, text in texts for name in text.facts()):
        _check(texts, values, answers)
    return values


def _check_outcomes(references: Sequence[Reference], answers: Answers) -> None:
    """Refuse to go on when somebody could not answer; a default is for what is absent."""
    for kind, error, words in _REFUSALS:
        hit = [
            reference for reference in references if isinstance(answers[reference].outcome, kind)
        ]
        if hit:
            lines = [f"${{{reference}}} {words}{_because(answers, reference)}" for reference in hit]
            raise error("; ".join(lines), names=tuple(map(str, hit)), hint=_LOOK)


def _because(answers: Answers, reference: Reference) -> str:
    outcome = answers[reference].outcome
    detail = getattr(outcome, "detail", "")
    if isinstance(outcome, Forbidden) and outcome.maybe_missing:
        detail = f"{detail}, or does not exist" if detail else "or does not exist"
    return _asked(answers[reference].tried, detail)


def _asked(tried: Sequence[str], detail: str) -> str:
    """Return who was asked, and what there is to say about it, in brackets."""
    asked = [f"asked: {', '.join(tried)}"] if tried else []
    said = "; ".join([*asked, *([detail] if detail else [])])
    return f" ({said})" if said else ""


def _check(texts: Sequence[tuple[str, Template]], values: Values, answers: Answers) -> None:
    """Raise one error for all placeholders that have no value."""
    problems = [(path, problem) for path, text in texts for problem in text.problems(values.lookup)]
    if not problems:
        return
    for path, problem in problems:
        if isinstance(problem.source, Fact):
            raise _unknown_fact(path, problem.source)
    unique = {str(problem.source): problem for _, problem in problems}
    lines = [_missing(problem, answers) for problem in unique.values()]
    first = next(iter(unique.values()))
    raise SecretNotFoundError(
        "; ".join(lines), names=tuple(unique), hint=_advice(first.source, first.reason)
    )


def _missing(problem: Problem, answers: Answers) -> str:
    """Say what is missing and who was asked."""
    source = problem.source
    what = f"${{{source}}} is {problem.reason}"
    if problem.message:
        what += f", {problem.message}"
    if isinstance(source, Fact):
        return what
    outcome = answers[source].outcome
    detail = outcome.detail if isinstance(outcome, NotFound) else ""
    return what + _asked(answers[source].tried, detail)


def _advice(source: Reference | Fact, reason: str = "missing") -> str:
    if reason == "empty":
        return f"give it a value, or write ${{{source}:-}} where nothing is wanted"
    if isinstance(source, Reference) and source.scheme is None:
        return (
            f"set the environment variable {source.name}, or add it to another of those asked; "
            "'webhook-storage check' shows what each of them answers"
        )
    return _LOOK


def _unknown_fact(path: str, fact: Fact) -> ConfigurationError:
    hint = (
        "store first, and let 'captures' say where that value is in the answer"
        if fact.name.startswith("receipt.")
        else "give a key, or leave the placeholder out"
    )
    return ConfigurationError(f"${{{fact}}} is not known in this operation", path=path, hint=hint)
