"""Every field of every preset and kind of auth is described: schema and command are made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from webhook_storage import registry

PLUGINS = [
    (group, name) for group in (registry.PRESETS, registry.AUTH) for name in registry.names(group)
]
plugins = pytest.mark.parametrize(
    ("group", "name"),
    PLUGINS,
    ids=[f"{group.rpartition('.')[2]}-{name}" for group, name in PLUGINS],
)


def model_of(group: str, name: str) -> type[BaseModel]:
    """Return the class of a plug-in."""
    found = registry.load(group, name)
    assert isinstance(found, type)
    assert issubclass(found, BaseModel)
    return found


@plugins
def test_every_field_is_described(group: str, name: str) -> None:
    """By a sentence of its own, which is not the name in other words."""
    fields = model_of(group, name).model_fields
    silent = [
        field
        for field, info in fields.items()
        if field != "type" and not (info.description or "").endswith(".")
    ]
    assert [] == silent


@plugins
def test_a_schema_says_what_there_is(group: str, name: str) -> None:
    """It is JSON, and has each field with what describes it."""
    model = model_of(group, name)
    schema: dict[str, Any] = json.loads(json.dumps(model.model_json_schema()))
    described = {field for field, said in schema["properties"].items() if said.get("description")}
    assert set(model.model_fields) - {"type"} == described - {"type"}


@plugins
def test_a_schema_has_no_default_that_is_a_secret(group: str, name: str) -> None:
    """A credential that has a default has a placeholder for one."""
    for field, said in model_of(group, name).model_json_schema()["properties"].items():
        words = {"token", "password", "secret"} & set(field.split("_"))
        default = said.get("default")
        assert not words or not default or "${" in json.dumps(default), field


@pytest.mark.parametrize("name", registry.names(registry.PRESETS))
def test_a_preset_says_what_it_is(name: str) -> None:
    """Its docstring is its own, begins with a sentence, and has an example that runs."""
    kind = model_of(registry.PRESETS, name)
    text = kind.__dict__["__doc__"] or ""
    assert text.splitlines()[0].endswith(".")
    assert ">>> " in text
