"""What a field that takes any kind of `auth` says of itself to programs that read JSON schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from webhook_storage import registry
from webhook_storage.errors import ConfigurationError
from webhook_storage_presets.azure import Azure
from webhook_storage_presets.http_file import HttpFile
from webhook_storage_presets.s3 import S3

if TYPE_CHECKING:
    from webhook_storage import Storage


@pytest.mark.parametrize("preset", [HttpFile, Azure])
def test_each_kind_is_described(preset: type[Storage]) -> None:
    """By its type, with all its fields and what they are."""
    auth = preset.model_json_schema()["properties"]["auth"]["anyOf"][0]
    kinds = {kind["properties"]["type"]["const"]: kind for kind in auth["oneOf"]}
    assert {*registry.names(registry.AUTH)} == {*kinds}
    assert ({"propertyName": "type"}, ["type"]) == (auth["discriminator"], auth["required"])
    assert "token" in kinds["bearer"]["required"]
    assert all(
        field.get("description") or name == "type"
        for kind in kinds.values()
        for name, field in kind["properties"].items()
    )


def test_a_kind_that_cannot_be_imported_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are described."""
    names = (*registry.names(registry.AUTH), "nobody_s")
    monkeypatch.setattr(registry, "names", lambda _: names)
    auth = HttpFile.model_json_schema()["properties"]["auth"]["anyOf"][0]
    assert len(names) - 1 == len(auth["oneOf"])


def test_a_preset_without_such_a_field_has_a_schema() -> None:
    """Its credentials are fields of its own."""
    fields = S3.model_json_schema()["properties"]
    assert "auth" not in fields
    assert "secret_access_key" in fields


@pytest.mark.parametrize(
    ("auth", "line", "hint"),
    [
        (
            {"type": "bearer", "tokn": "${T}"},
            'auth.tokn: there is no such field, did you mean "token"?',
            "its fields are token",
        ),
        ({"type": "bearer"}, "auth.token: field required", "its fields are token"),
        ({"type": "bearer", "token": "${T"}, "auth.token: ", None),
        ({"tok": "${T}"}, "auth.type: 'auth' is a mapping with a 'type'", "one of api_key"),
    ],
)
def test_a_mistake_is_told_with_its_place(auth: Any, line: str, hint: str | None) -> None:
    """The place stands there once, and what to do is not lost on the way."""
    with pytest.raises(ConfigurationError) as caught:
        HttpFile(url="https://files.example.com", auth=auth)
    assert str(caught.value).startswith(line)
    assert 1 == str(caught.value).count("auth.")
    assert str(caught.value.hint).startswith(hint or "")
