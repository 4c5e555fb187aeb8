"""Environment variables.

Facts: "Process Parameters" in the documentation of Python's `os` module. Undecodable bytes of the
environment come as lone surrogates, which cannot be sent, so such a value is refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import Deadline, Found, Invalid, NotFound, Outcome, Resolver
from webhook_storage.secret import SecretValue

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

    Example:
        >>> EnvResolver(allow=["APP_*"])
        EnvResolver(prefix='', allow=('APP_*',))
    """

    scheme: ClassVar[str] = "env"
    local: ClassVar[bool] = True

    prefix: str = ""
    allow: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Keep the patterns as a tuple, which nobody changes."""
        if self.allow is not None:
            object.__setattr__(self, "allow", tuple(self.allow))

    def resolve(
        self,
        references: Sequence[Reference],
        deadline: Deadline,  # noqa: ARG002 - this takes no time
    ) -> Mapping[Reference, Outcome]:
        """Look each name up."""
        return {reference: self._look_up(reference) for reference in references}

    def _look_up(self, reference: Reference) -> Outcome:
        """Return the variable's value, unless it may not be asked for."""
        name = self.prefix + reference.name
        if reference.options:
            return Invalid("takes no options")
        if self.allow is not None and not any(fnmatchcase(name, each) for each in self.allow):
            return NotFound("the name is not one of those allowed")
        try:
            value = os.environ.get(name)
            if value is not None and not value.isascii():
                value.encode()
        except UnicodeEncodeError:
            return Invalid("the name or its value is not UTF-8")
        return NotFound() if value is None else Found(value=SecretValue(value))
