"""Where a reference leads in a store: its own path, or the place that bare names have there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from webhook_storage.contracts import Found, Invalid, NotFound, Outcome
from webhook_storage.document import MISSING, parse, select, spell
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from webhook_storage.template import Reference

NAME = "{name}"


Key = TypeVar("Key", bound="Hashable")


class Place(NamedTuple, Generic[Key]):
    """What to ask a store for.

    Attributes:
        path: The secret, in the store's spelling or taken apart.
        field: The one field of it that is wanted; None leaves that to the caller.
    """

    path: Key
    field: str | None = None


def check_names(names: str | None) -> None:
    """Refuse a pattern that would lead all bare names to the same place.

    Raises:
        ConfigurationError: It lacks ``{name}``.
    """
    if names is not None and NAME not in names:
        message = f"names must hold {NAME}, for example team/flows#{NAME}"
        raise ConfigurationError(message, path="names")


def check_list(name: str, value: object, of: str) -> None:
    """Refuse a single text where a list is meant; its letters would be the list.

    Raises:
        ConfigurationError: It is a text, or no list at all.
    """
    if not isinstance(value, (list, tuple)):
        raise ConfigurationError(f"this is a list of {of}", path=name)


def place_of(reference: Reference, names: str | None) -> Place[str] | NotFound:
    """Return where a reference leads.

    Args:
        reference: A bare one, or one with a scheme, whose path is taken as it is.
        names: Where bare names lie, with ``{name}`` in it and perhaps ``#`` and a field: for
            example ``team/flows#{name}``. None when they are not looked for.

    Example:
        >>> from webhook_storage.template import Reference
        >>> place_of(Reference("TOKEN"), "team/flows#{name}")
        Place(path='team/flows', field='TOKEN')
    """
    if reference.scheme is not None:
        return Place(reference.name)
    if names is None:
        return NotFound("bare names are not looked for, as `names` is not set")
    if not reference.name:
        return NotFound("a name is not empty")
    path, _, field = names.partition("#")
    filled = field.replace(NAME, reference.name)
    return Place(path.replace(NAME, reference.name), filled or None)


def answers(
    references: Iterable[Reference],
    find: Callable[[Reference], Place[Key] | Outcome],
    read: Callable[[list[Key]], Mapping[Key, Outcome]],
) -> dict[Reference, Outcome]:
    """Answer references, and read each secret once, however many of them point into it.

    Args:
        references: What was asked.
        find: Returns where a reference leads, or its outcome when it leads nowhere.
        read: Returns an outcome for each of the secrets; it is not called for none.
    """
    found = {reference: find(reference) for reference in references}
    paths = list({each.path: None for each in found.values() if isinstance(each, Place)})
    outcomes = read(paths) if paths else {}
    return {
        reference: field_of(outcomes[each.path], each.field) if isinstance(each, Place) else each
        for reference, each in found.items()
    }


def options_of(reference: Reference, allowed: Iterable[str] = ()) -> dict[str, str] | Invalid:
    """Return what stands after the question mark of a reference, if all of it is known."""
    options, known = dict(reference.options), tuple(allowed)
    for name in options:
        if name not in known:
            there_are = f"only {_listed(known)}" if known else "it takes none"
            return Invalid(f'has no option "{name}", {there_are}')
    if len(options) < len(reference.options):
        return Invalid("an option is given twice")
    return options


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f'"{name}"' for name in names)


def is_segment(text: str) -> bool:
    """Tell whether this can stand between two slashes of a URL without changing the path."""
    dots = text.lower().replace("%2e", ".")
    return (
        bool(text)
        and dots not in {".", ".."}
        and text.isprintable()
        and set(text).isdisjoint("/?#\\")
    )


def field_of(outcome: Outcome, field: str | None) -> Outcome:
    """Return one field of a secret as a value of its own; with no field named, all of it."""
    if field is None or not isinstance(outcome, Found):
        return outcome
    document = parse(outcome.value.reveal())
    if document is MISSING:
        return Invalid("is not JSON, so it has no fields")
    part = select(document, field)
    if part is MISSING or part is None:
        return NotFound("the secret has no such field")
    text = spell(part)
    if text is None:
        return Invalid("the field is no text")
    return Found(value=SecretValue(text), version=outcome.version, lifetime=outcome.lifetime)
