"""Credentials that stand in the request as they are: a bearer token, a password, a key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from webhook_storage.auth.description import AuthModel, SecretText
from webhook_storage.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Self

    from webhook_storage.contracts import Request

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token (RFC 9110, section 5.6.2)."""


class Bearer(AuthModel):
    """A bearer token (RFC 6750, section 2.1).

    Example:
        >>> from webhook_storage.contracts import Request
        >>> plain = Request(method="GET", url="https://files.example.com/a")
        >>> Bearer(token="${TOKEN}").write(plain).headers
        {'Authorization': 'Bearer ${TOKEN}'}
    """

    type: Literal["bearer"] = "bearer"
    token: SecretText = Field(description="Placeholder of the token.")

    def write(self, request: Request) -> Request:
        """Add the header ``Authorization``."""
        return with_header(request, "Authorization", f"Bearer {self.token}")


class Basic(AuthModel):
    """User and password (RFC 7617), in UTF-8, sent without being asked for."""

    type: Literal["basic"] = "basic"
    username: str = Field(description="Name of the user; it has no colon.")
    password: SecretText = Field(description="Placeholder of the password.")

    def write(self, request: Request) -> Request:
        """Let the request's own basic authentication do it."""
        return replace(request, auth=(self.username, self.password))


class ApiKey(AuthModel):
    """A key in a header or in the query."""

    type: Literal["api_key"] = "api_key"
    key: SecretText = Field(description="Placeholder of the key.")
    name: str = Field("X-Api-Key", min_length=1, description="Name of the header or parameter.")
    place: Literal["header", "query"] = Field("header", description="Where it goes.")

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.place == "header" and not _NAME.fullmatch(self.name):
            raise ValueError("name is that of a header")
        return self

    def header_name(self) -> str:
        """Return the name of its header, if it is in one."""
        return self.name if self.place == "header" else ""

    def write(self, request: Request) -> Request:
        """Add the header or the parameter."""
        if self.place == "header":
            return with_header(request, self.name, self.key)
        params = request.params or []
        if isinstance(params, str):
            message = "an API key cannot be added to a query that is one text"
            raise ConfigurationError(message, path="auth", hint="give 'params' as a mapping")
        pairs = params.items() if isinstance(params, Mapping) else params
        return replace(request, auth=None, params=[*pairs, (self.name, self.key)])


def with_header(request: Request, name: str, value: str) -> Request:
    """Return a request with one more header, and without its `auth`.

    Raises:
        ConfigurationError: When it has that header already.
    """
    if name.lower() in {given.lower() for given in request.headers}:
        raise twice(name)
    return replace(request, auth=None, headers={**request.headers, name: value})


def twice(name: str) -> ConfigurationError:
    """Return the error for a header that `auth` sets, and the definition as well."""
    message = f"auth and the header {name} contradict each other"
    return ConfigurationError(message, path="auth", hint="keep one of the two")
