"""Environment variables.

Facts: "Process Parameters" in the documentation of Python's `os` module. Undecodable bytes of the
environment come as lone surrogates, which cannot be sent, so such a value is refused. "Docker
Secrets" in the descriptions of Docker's official images (``POSTGRES_PASSWORD_FILE``), whose start
scripts refuse a variable and its file together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import (
    Deadline,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.secret import SecretValue
from webhook_storage_resolvers.naming import check_list, options_of
from webhook_storage_resolvers.secret_file import read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference


@dataclass(frozen=True, kw_only=True)
class EnvResolver(Resolver):
    """Secrets in the environment of this process, read at the time of asking.

    A variable that is set and empty is found, and empty.

    Args:
        prefix: What stands before each name in the environment.
        allow: Patterns, such as ``APP_*``, of the names that may be asked for, prefix included;
            None allows all. Others are as good as not set.
        files: Whether a variable may name a file instead, as images from Docker do it: where
            ``TOKEN`` is not set, or empty, ``${TOKEN}`` is what the file at ``TOKEN_FILE`` holds,
            without one line break at its end.

    Example:
        >>> EnvResolver(allow=["APP_*"])
        EnvResolver(prefix='', allow=('APP_*',), files=False)
    """

    scheme: ClassVar[str] = "env"
    local: ClassVar[bool] = True

    prefix: str = ""
    allow: Sequence[str] | None = None
    files: bool = False

    def __post_init__(self) -> None:
        """Keep the patterns as a tuple, which nobody changes."""
        if self.allow is not None:
            check_list("allow", self.allow, 'patterns, for example ["APP_*"]')
            object.__setattr__(self, "allow", tuple(self.allow))

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Look each name up."""
        return {reference: self._look_up(reference, deadline) for reference in references}

    def _look_up(self, reference: Reference, deadline: Deadline) -> Outcome:
        """Return what the variable, or the file beside it, holds, unless that is not allowed."""
        options, name = options_of(reference), self.prefix + reference.name
        if isinstance(options, Invalid):
            return options
        if self.allow is not None and not any(fnmatchcase(name, each) for each in self.allow):
            return NotFound("the name is not one of those allowed")
        try:
            value = os.environ.get(name)
            path = os.environ.get(f"{name}_FILE") if self.files else None
            if value is not None and not value.isascii():
                value.encode()
        except UnicodeEncodeError:
            return Invalid("the name or its value is not UTF-8")
        if path:
            return _from_file(name, path, deadline, beside=value)
        return NotFound() if value is None else Found(value=SecretValue(value))


def _from_file(name: str, path: str, deadline: Deadline, *, beside: str | None) -> Outcome:
    """Return the secret in the file that a variable names."""
    if beside:
        return Invalid(f"both {name} and {name}_FILE are set; unset one of them")
    outcome = read_secret(path, deadline)
    if isinstance(outcome, NotFound):
        # Somebody said where the secret is: that it is not there is no reason to ask others.
        return Unavailable(f"{name}_FILE names a file that is not there")
    if isinstance(outcome, Found):
        return outcome
    return replace(outcome, detail=f"{name}_FILE: {outcome.detail}")
