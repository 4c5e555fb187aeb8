"""The lock files pin everything and depend on no particular registry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = (
    "requirements.lock",
    "tests/fleet/fuzz.lock",
    "tests/fleet/mitm.lock",
    "tests/fleet/prefect.lock",
    "tests/fleet/servers.lock",
)


@pytest.mark.parametrize("name", LOCKS)
def test_no_registry_is_named(name: str) -> None:
    """A lock has no address, index option or local path in it."""
    text = (ROOT / name).read_text()
    assert [] == re.findall(r".*(?:://|--index|--extra-index|--find-links|@ file).*", text)


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash(name: str) -> None:
    """Each requirement is one version, and its files are known by digest."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    entries = re.split(r"\n(?=\S)", text.strip())
    pinned = re.compile(r"[a-z0-9-]+(?:\[[^]]+])?==\S+.*(?:\\\n +--hash=sha256:[0-9a-f]{64} ?)+")
    assert [] == [entry for entry in entries if not pinned.fullmatch(entry)]


def test_everything_declared_is_locked() -> None:
    """Core, extras, build backend and tools of pyproject.toml all stand in the lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(each for extra in project["project"]["optional-dependencies"].values() for each in extra),
        *project["dependency-groups"]["dev"],
    ]
    names = {canonicalize_name(Requirement(each).name) for each in declared}
    lock = (ROOT / "requirements.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)(?:\[[^]]+])?==", lock, flags=re.MULTILINE))
    assert set() == names - locked - {"webhook-storage"}
