"""Secrets given in code, for tests and for programs that have them from elsewhere.

Facts: none of others; the values leave this process in no pickle, by the rule of the core's
`secret` module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NoReturn, Self, SupportsIndex

from webhook_storage.contracts import Deadline, Found, Invalid, NotFound, Outcome, Resolver
from webhook_storage.secret import SecretValue
from webhook_storage_resolvers.naming import options_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference


@dataclass(frozen=True)
class MappingResolver(Resolver):
    """Secrets in a dictionary. It cannot be pickled, since its values would go along.

    Args:
        values: Names and their values, which are wrapped at once.

    Example:
        >>> MappingResolver({"TOKEN": "of this example"})
        MappingResolver(values={'TOKEN': <secret>})
    """

    scheme: ClassVar[str] = "mapping"
    local: ClassVar[bool] = True

    values: Mapping[str, str | SecretValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Wrap the values, so that nothing shows them."""
        wrapped = {
            name: value if isinstance(value, SecretValue) else SecretValue(value)
            for name, value in self.values.items()
        }
        object.__setattr__(self, "values", wrapped)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be serialized."""
        message = (
            "a mapping resolver holds secrets and cannot be pickled; make one where it is used"
        )
        raise TypeError(message)

    def __copy__(self) -> Self:
        """Return this very object, it does not change."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return this very object, so that no value is copied."""
        return self

    def resolve(
        self,
        references: Sequence[Reference],
        deadline: Deadline,  # noqa: ARG002 - this takes no time
    ) -> Mapping[Reference, Outcome]:
        """Look each name up."""
        return {reference: self._look_up(reference) for reference in references}

    def _look_up(self, reference: Reference) -> Outcome:
        """Return the value of one name."""
        options = options_of(reference)
        if isinstance(options, Invalid):
            return options
        value = self.values.get(reference.name)
        if value is None:
            return NotFound()
        return Found(value=value if isinstance(value, SecretValue) else SecretValue(value))
