"""Values in a text that is JSON: in a string, or as a bare number."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from webhook_storage.errors import UnsafeValueError
from webhook_storage.place.rules import PLAIN, kept, last_filter, misplaced
from webhook_storage.template import (
    Lookup,
    Placeholder,
    Template,
)

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
        mark: What stands for a placeholder, and for nothing else.
    """

    steps: tuple[str | tuple[Placeholder, bool], ...]
    tree: Any
    mark: re.Pattern[str]


def json_text(template: Template, lookup: Lookup) -> str | None:
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
        elif not PLAIN.fullmatch(value):
            plain = False
            if last_filter(placeholder) not in {"json", "raw"}:
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


@kept
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
    pattern = re.compile(f"{prefix}[0-9]{{6}}")
    counts = Counter(found for string in strings for found in pattern.findall(string))
    steps: list[str | tuple[Placeholder, bool]] = []
    unused = iter(marks)
    for part in template.parts:
        if isinstance(part, str):
            steps.append(part)
            continue
        mark = next(unused)
        bare = mark in numbers
        if not bare and counts[mark] != 1:
            raise misplaced(part, "in a key of JSON, in an escape or beside other digits")
        steps.append((part, bare))
    return _JsonPlan(tuple(steps), tree, pattern)


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
        if isinstance(expected, _Number) and plan.mark.fullmatch(expected):
            same = isinstance(actual, _Number | bool | None)
        elif type(expected) is not type(actual):
            same = False
        elif isinstance(expected, list):
            same = len(expected) == len(actual)
            pairs += zip(expected, actual, strict=False)
        elif isinstance(expected, tuple):
            same = [key for key, _ in expected] == [key for key, _ in actual]
            pairs += [(a[1], b[1]) for a, b in zip(expected, actual, strict=False)]
        elif isinstance(expected, str) and plan.mark.search(expected):
            same = True
        else:
            same = expected == actual
        if not same:
            return False
    return True
