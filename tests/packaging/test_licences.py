"""Everything a user installs with us is permissively licensed, whatever the extras."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

PERMISSIVE = re.compile(
    r"\b(apache|bsd|isc|mit|psf|python software foundation|unlicense)\b", re.IGNORECASE
)
RESTRICTIVE = re.compile(
    r"\b([al]?gpl|general public|sspl|busl|proprietary|commercial)\b", re.IGNORECASE
)
# A list of certificates; its licence asks for changes to that list only, and httpx needs it.
ACCEPTED = {"certifi": "MPL-2.0"}


def installed_with(name: str, extras: frozenset[str], seen: set[str]) -> Iterator[str]:
    """Walk a distribution's requirements, those of its extras included."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        chosen = extras or {""}
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in chosen):
            continue
        found = canonicalize_name(requirement.name)
        key = f"{found}{sorted(requirement.extras)}"
        if key not in seen:
            seen.add(key)
            yield found
            yield from installed_with(found, frozenset(requirement.extras), seen)


def licence_of(name: str) -> str:
    """What a distribution says about its licence, in the three places where it may say it."""
    meta = metadata.metadata(name).json
    classifiers = [each for each in meta.get("classifier", ()) if each.startswith("License ::")]
    # The old free-text field sometimes holds the licence itself: its title is enough.
    stated = str(meta.get("license_expression") or meta.get("license") or "").strip()
    return " | ".join([stated.partition("\n")[0], *classifiers])


RUNTIME = sorted(set(installed_with("webhook-storage", frozenset({"all"}), set())))


@pytest.mark.parametrize("name", [name for name in RUNTIME if name != "webhook-storage"])
def test_runtime_dependency_is_permissive(name: str) -> None:
    """A dependency's own metadata names a permissive licence."""
    licence = licence_of(name)
    if name in ACCEPTED:
        assert ACCEPTED[name] in licence
    else:
        assert PERMISSIVE.search(licence), licence
        assert not RESTRICTIVE.search(licence), licence


def test_the_walk_reaches_extras_and_their_requirements() -> None:
    """The list is not empty by mistake: it has a direct, an optional and an indirect member."""
    assert {"httpx", "certifi", "hvac", "wsgidav"} <= set(RUNTIME)
