"""What all places have in common: rules, plans that are kept, and refusals."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from webhook_storage.errors import TemplateError, UnsafeValueError
from webhook_storage.template import LONGEST_KEPT, Placeholder, Template

if TYPE_CHECKING:
    from collections.abc import Callable

Plan = TypeVar("Plan")

_MOST_KEPT = 1024

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
"""Control characters, those of Latin-1 included."""

UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""What no URL can hold, not even encoded."""

PLAIN = re.compile(r"\.*[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
"""Unreserved characters, and not dots alone: the same in every place and every encoding."""


def kept(make: Callable[[Template], Plan]) -> Callable[[Template], Plan]:
    """Keep what depends on the template alone, unless the text is long."""
    plans: dict[str, Plan] = {}  # by text, whose hash is computed once

    def plan(template: Template) -> Plan:
        try:
            return plans[template.text]
        except KeyError:
            made = make(template)
        if len(template.text) <= LONGEST_KEPT:
            plans[template.text] = made
            if len(plans) > _MOST_KEPT:
                plans.pop(next(iter(tuple(plans))), None)
        return made

    return plan


class Rule(NamedTuple):
    """What cannot stand in a place.

    Attributes:
        place: The place in words.
        bad: Finds what cannot stand there.
        holds: What that is in words.
    """

    place: str
    bad: re.Pattern[str]
    holds: str


def misplaced(part: str | Placeholder, where: str, hint: str | None = None) -> TemplateError:
    """Return the error for a placeholder that stands where none may stand."""
    source, position = (part.source, part.position) if isinstance(part, Placeholder) else ("", 0)
    return TemplateError(f"${{{source}}} cannot stand {where}.", position=position, hint=hint)


def last_filter(placeholder: Placeholder) -> str:
    """Return the filter that a value leaves last, which says how it is encoded; or nothing."""
    return placeholder.filters[-1] if placeholder.filters else ""


def refused(placeholder: Placeholder, value: str, rule: Rule) -> UnsafeValueError:
    """Return the error for a value that a rule does not let pass."""
    if value.endswith("\n") and not rule.bad.search(value.rstrip("\r\n")):
        what = f"its value ends with a line break, which cannot stand in {rule.place}"
        return placeholder.unsafe(what, f"Write ${{{placeholder.source}|strip}}.")
    return placeholder.unsafe(f"its value cannot stand in {rule.place}: it holds {rule.holds}")
