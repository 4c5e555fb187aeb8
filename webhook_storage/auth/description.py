"""What all kinds have in common: a pydantic model that is looked up by its type."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic import ValidationError as _Invalid

from webhook_storage import registry
from webhook_storage.contracts import Auth
from webhook_storage.errors import ConfigurationError, LiteralSecretWarning
from webhook_storage.template import parse

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


def _named(text: str) -> str:
    """Warn of a secret that stands in the definition itself."""
    if parse(text).is_literal and text:
        message = (
            "'auth' seems to hold a secret itself; write ${NAME} instead, so that it is neither "
            "stored nor shown"
        )
        warnings.warn(message, LiteralSecretWarning, stacklevel=2)
    return text


SecretText: TypeAlias = Annotated[str, AfterValidator(_named)]
"""A template of which a literal secret is warned of."""


class AuthModel(Auth, BaseModel):
    """A kind of authentication; `type` has one value, under which the kind is registered."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str

    @model_serializer(mode="wrap")
    def _with_type(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keep the type, also where what is the default is left out."""
        return {"type": self.type, **plain(self)}

    def __hash__(self) -> int:
        """Return the same for equal ones, also where a field is a mapping."""
        return hash(self.model_dump_json())

    def __init__(self, **data: Any) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: When one is unknown or wrong; it never shows what was given.
        """
        try:
            super().__init__(**data)
        except _Invalid as error:
            failure = _explain(error, type(self))
        else:
            return
        raise failure


def find(data: Mapping[str, Any]) -> AuthModel:
    """Return the authentication that plain data describes.

    Args:
        data: Its fields, with its `type`.

    Raises:
        ConfigurationError: When the type or a field is unknown or wrong.
    """
    fields = dict(data)
    kind = fields.get("type")
    if not isinstance(kind, str):
        known = ", ".join(registry.names(registry.AUTH))
        message = "'auth' is a mapping with a 'type'"
        raise ConfigurationError(message, path="auth.type", hint=f"one of {known}")
    found = registry.load(registry.AUTH, kind)
    if not (isinstance(found, type) and issubclass(found, AuthModel)):
        message = f"the auth {kind!r} is no AuthModel"
        raise ConfigurationError(message, path="auth.type")
    return found(**fields)


def _validate(value: Any) -> Any:
    return find(value) if isinstance(value, Mapping) else value


class _Kinds:
    """Describes the field by all kinds that are installed."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return one schema for each kind; they are imported for that."""
        del schema
        kinds = []
        for name in registry.names(registry.AUTH):
            with contextlib.suppress(ConfigurationError):  # what cannot be imported is not there
                kind = registry.load(registry.AUTH, name)
                if isinstance(kind, type) and issubclass(kind, AuthModel):
                    kinds.append(handler(kind.__pydantic_core_schema__))
        return {"oneOf": kinds, "required": ["type"], "discriminator": {"propertyName": "type"}}


AnyAuth: TypeAlias = Annotated[SerializeAsAny[AuthModel], BeforeValidator(_validate), _Kinds]
"""The type of a preset's field that takes any kind."""


def _explain(error: _Invalid, model: type[AuthModel]) -> ConfigurationError:
    """Return our error for the first fault, without what was given."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    unknown = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    first = (unknown or faults)[0]  # a name that was misspelt is missing, too
    field = ".".join(map(str, first["loc"])) or "type"
    known = [name for name in model.model_fields if name != "type"]
    message = first["msg"].removeprefix("Value error, ").lower()
    if unknown:
        meant = registry.nearest(field, known)
        message = "there is no such field" + (f', did you mean "{meant}"?' if meant else "")
    hint = f"its fields are {', '.join(known)}"
    return ConfigurationError(message, path=f"auth.{field}", hint=hint)
