"""A storage as plain data: checked, compared, copied, pickled, and written as JSON."""

from __future__ import annotations

import copy
import inspect
import json
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from webhook_storage import registry
from webhook_storage.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Definition(BaseModel):
    """Fields that are templates and settings: no value, no client, no answer.

    An unknown or wrong field is an error that names it, and never shows what was given, which may
    be a secret.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, validate_assignment=True)

    version: Literal[1] = Field(1, description="Version of this format.")

    _pending: dict[str, Any] = PrivateAttr(default_factory=dict)
    """Flows, by name, that wait to be stored: objects of this process and no part of the data."""

    def __init__(self, **data: Any) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: When one is unknown or wrong; it names the field and never shows
                what was given, which may be a secret.
        """
        try:
            super().__init__(**data)
        except ValidationError as error:
            failure = _explain(error, type(self))
        else:
            return
        raise failure

    def __setattr__(self, name: str, value: Any) -> None:
        """Check a field that is changed.

        Raises:
            ConfigurationError: When there is no such field, or the value is of another type.
        """
        try:
            super().__setattr__(name, value)
        except ValidationError as error:
            failure = _explain(error, type(self))
        else:
            return
        raise failure

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain data; fields that have their default are left out."""
        data = self.model_dump(mode="json", exclude_defaults=True)
        return {"type": type(self).__name__, "version": self.version, **data}

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return the definition as JSON: templates and receipts, no value."""
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the storage that a definition describes.

        Args:
            data: What `to_dict` returned, or what Prefect 1 serialized of its Webhook storage.

        Raises:
            ConfigurationError: When the type or a field is unknown, a value is wrong, or the type
                is not of the kind of this class.
        """
        fields = dict(data)
        kind = fields.pop("type", None if inspect.isabstract(cls) else cls.__name__)
        if not isinstance(kind, str):
            message = "a definition is a JSON object with a 'type', for example \"Webhook\""
            raise ConfigurationError(message, path="type")
        found = _class_of(kind).from_fields(fields)
        if not isinstance(found, cls):
            message = f"the definition is that of a {kind}, not of a {cls.__name__}"
            raise ConfigurationError(message, path="type")
        return found

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Return the storage of this type with these fields."""
        return cls(**fields)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the storage that a JSON definition describes; see `from_dict`."""
        where = None
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
            data, where = None, f"the definition is no JSON (line {line}, column {column})"
        if not isinstance(data, dict):
            raise ConfigurationError(where or "a definition is a JSON object")
        return cls.from_dict(data)

    def __eq__(self, other: object) -> bool:
        """Compare type and definition."""
        if not isinstance(other, Definition):
            return NotImplemented
        return type(self) is type(other) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __getstate__(self) -> dict[Any, Any]:
        """Pickle the fields; what is pending stays behind."""
        return {**super().__getstate__(), "__pydantic_private__": {"_pending": {}}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the fields; what is pending stays behind."""
        twin = type(self).__new__(type(self))
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return twin


def _class_of(kind: str) -> type[Definition]:
    """Return the class of a type: a preset found by entry point."""
    found = registry.load("webhook_storage.presets", kind)
    if not (isinstance(found, type) and issubclass(found, Definition)):
        message = f"the preset {kind!r} is no storage"
        raise ConfigurationError(message, path="type")
    return found


def _explain(error: ValidationError, model: type[Definition]) -> ConfigurationError:
    """Return an error for what is wrong first, without what was given."""
    fault = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(map(str, fault["loc"]))
    if fault["type"] != "extra_forbidden":
        ours = fault.get("ctx", {}).get("error")
        if isinstance(ours, ConfigurationError):
            where = ours.path or path
            return ConfigurationError(str(ours.args[0]), path=where or None, hint=ours.hint)
        return ConfigurationError(fault["msg"].removeprefix("Value error, "), path=path or None)
    message = (
        f"{model.__name__} has no such field.{registry.did_you_mean(path, model.model_fields)}"
    )
    return ConfigurationError(message, path=path)
