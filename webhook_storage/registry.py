"""Plug-ins, found by entry point and imported when they are wanted.

Rule: listing imports nothing; who asks for one plug-in pays for that one only.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from webhook_storage.errors import ConfigurationError, MissingExtraError, UnknownPluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RESOLVERS = "webhook_storage.resolvers"
"""Classes derived from `contracts.Resolver`, by scheme."""

PRESETS = "webhook_storage.presets"
"""Storage classes, by the name under which they are imported."""

AUTH = "webhook_storage.auth"
"""Classes derived from `auth.AuthModel`, by type."""

TRANSPORTS = "webhook_storage.transports"
"""Classes derived from `contracts.Transport`, by name."""


def names(group: str) -> tuple[str, ...]:
    """Return the names of all installed plug-ins of a group, sorted; nothing is imported."""
    return tuple(sorted(_found(group)))


def load(group: str, name: str) -> object:
    """Import one plug-in and return what its entry point names.

    Args:
        group: `RESOLVERS`, `PRESETS`, `AUTH` or `TRANSPORTS`.
        name: As `names` lists it.

    Raises:
        UnknownPluginError: No installed distribution offers it.
        ConfigurationError: Two distributions offer it, or it cannot be imported.
        MissingExtraError: It needs a library that an extra of this distribution brings.
    """
    entry = _only(group, name)
    label = f'The {_kind(group)} "{name}" of the distribution {_distribution(entry)}'
    try:
        return entry.load()
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        message = f'{label} cannot be imported: there is no module "{error.name}".'
        raise ConfigurationError(message, hint="Install what it depends on.") from error
    except Exception as error:
        message = f"{label} cannot be imported: {type(error).__name__}."
        raise ConfigurationError(message, hint=f"Its entry point is {entry.value}.") from error


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None.

    Example:
        >>> nearest("heders", ["headers", "params"])
        'headers'
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to append to a message, or nothing when no known word is near.

    Example:
        >>> "There is no heders." + did_you_mean("heders", ["headers", "params"])
        'There is no heders. Did you mean "headers"?'
    """
    word_meant = nearest(word, known)
    return "" if word_meant is None else f' Did you mean "{word_meant}"?'


def _only(group: str, name: str) -> EntryPoint:
    """Return the entry point of that name, of which there must be one."""
    found = _found(group)
    if name not in found:
        listed = ", ".join(sorted(found)) or "none"
        raise UnknownPluginError(
            f'There is no {_kind(group)} "{name}".{did_you_mean(name, found)} Installed: {listed}.',
            hint=f'Install the distribution that offers it by an entry point in "{group}".',
        )
    claims = found[name]
    if len(claims) > 1:
        owners = " and ".join(sorted(_distribution(claim) for claim in claims))
        raise ConfigurationError(
            f'More than one distribution offers a {_kind(group)} "{name}": {owners}.',
            hint="Uninstall all but one of them.",
        )
    return claims[0]


def _found(group: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return all entry points of a group by name."""
    return _scan(group, tuple(sys.path))


@lru_cache(maxsize=16)
def _scan(group: str, path: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:  # noqa: ARG001 - a longer path may hold more
    """Read the metadata of all distributions, which takes milliseconds."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=group):
        found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def _distribution(entry: EntryPoint) -> str:
    """Return the name of the distribution that an entry point belongs to."""
    return entry.dist.name if entry.dist else "(unknown)"


def _kind(group: str) -> str:
    """Return the singular of a group's last word."""
    return group.rpartition(".")[2].removesuffix("s")
