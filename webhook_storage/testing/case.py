"""What the contract of resolvers is tried on: a resolver, its place, and one secret there."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from webhook_storage.contracts import Found
from webhook_storage.resolution import Resolution
from webhook_storage.testing.answers import ask, is_secret
from webhook_storage.testing.leaks import find_leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from webhook_storage.contracts import Outcome, Resolver
    from webhook_storage.template import Reference


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResolverCase:
    """A resolver and the place that it asks, with one secret in it.

    Attributes:
        resolver: The resolver, ready to be asked.
        present: A reference to the secret that is there, without a field.
        value: The text of that secret, or of its field `field`. It should be a `canary`.
        absent: A reference to a secret that is not there, spelled like the other one.
        field: Which field is meant, where the place's secrets are objects of fields.
        refused: The same resolver with a wrong credential; None when it has none.
        unreachable: The same when nothing answers in its place; None when its answers come from
            this process or its files.
        hanging: The same when its place takes a question and never answers; None as above.
        credentials: Texts that may show nowhere, right and wrong ones: tokens, passwords.
        calls: Returns how many questions the place was asked so far, whatever it answered: logins
            and reads alike. None when nobody counts.
        picklable: False for a resolver that holds values itself, and therefore refuses.

    Raises:
        ValueError: A reference has a field, or both are the same.
    """

    resolver: Resolver
    present: Reference
    value: str = dataclasses.field(repr=False)
    absent: Reference
    field: str | None = None
    refused: Resolver | None = None
    unreachable: Resolver | None = None
    hanging: Resolver | None = None
    credentials: Sequence[str] = dataclasses.field(default=(), repr=False)
    calls: Callable[[], int] | None = None
    picklable: bool = True

    def __post_init__(self) -> None:
        """Refuse a case that would blame the resolver for its own fault."""
        if self.present.field is not None or self.absent.field is not None:
            message = "a resolver gets references without their field; name it in `field`"
            raise ValueError(message)
        if self.present == self.absent:
            message = "a secret cannot be both present and absent"
            raise ValueError(message)

    @property
    def resolvers(self) -> list[Resolver]:
        """The resolver, and those that are refused or reach nobody."""
        there = (self.resolver, self.refused, self.unreachable)
        return [each for each in there if each is not None]

    @property
    def sent(self) -> Reference:
        """The reference as it stands in a request, with the field."""
        return dataclasses.replace(self.present, field=self.field)

    @property
    def judge(self) -> partial[bool]:
        """Tells whether an outcome is the secret that is there; it can be pickled."""
        return partial(is_secret, value=self.value, field=self.field)

    def has(self, answer: Outcome) -> bool:
        """Tell whether an outcome is the secret that is there."""
        return self.judge(answer)

    def finds(self, resolver: Resolver) -> bool:
        """Ask a resolver for the secret that is there, and tell whether it finds it."""
        return self.has(ask(resolver, [self.present])[self.present])

    def said(self, answer: Outcome) -> str:
        """Return what was answered, in words that show no secret."""
        detail = "" if isinstance(answer, Found) else answer.detail
        shown = "a detail that shows a secret" if self.leaks(detail) else detail
        return f"it answered {type(answer).__name__}({shown})"

    def leaks(self, where: str | bytes) -> list[str]:
        """Return the forms in which the secret or a credential stands in a text."""
        texts = (self.value, *self.credentials)
        return [form for text in texts for form in find_leaks(where, text)]

    def resolution(self, resolver: Resolver) -> Resolution:
        """Return one with this resolver alone, under the instance that the reference names."""
        instance = self.present.instance
        if instance is None or not resolver.has_instances:
            return Resolution([resolver])
        return Resolution([resolver], instances={(resolver.scheme, instance): resolver})
