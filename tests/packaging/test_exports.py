"""The façade and the entry points give what they name."""

from __future__ import annotations

from importlib import import_module, metadata
from pathlib import Path

import pytest

import webhook_storage

GROUPS = ("webhook_storage.resolvers", "webhook_storage.presets", "webhook_storage.transports")
OURS = [
    entry for entry in metadata.distribution("webhook-storage").entry_points
    if entry.group in GROUPS
]  # fmt: skip


@pytest.mark.parametrize("name", webhook_storage.__all__)
def test_every_exported_name_exists(name: str) -> None:
    """What `__all__` promises can be imported."""
    assert hasattr(webhook_storage, name)


def test_no_export_hides_a_module() -> None:
    """A name is never both an export and a submodule, or tools and run time disagree."""
    here = Path(str(webhook_storage.__file__)).parent
    modules = {path.stem for path in here.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert set() == modules & set(webhook_storage.__all__)


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: f"{entry.group}:{entry.name}")
def test_every_entry_point_loads(entry: metadata.EntryPoint) -> None:
    """What an entry point names is a class of that name."""
    module, _, name = entry.value.partition(":")
    assert entry.load() is getattr(import_module(module), name)
    assert isinstance(entry.load(), type)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_is_served(group: str) -> None:
    """What we ship goes through the same door as a plug-in."""
    assert any(entry.group == group for entry in OURS)
