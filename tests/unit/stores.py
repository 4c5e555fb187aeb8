"""Stores that a test holds in its hands, and a clock that it moves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import Deadline, Found, NotFound, Outcome, Resolver
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.resolution import Resolution
    from webhook_storage.template import Reference


def found(text: str) -> Found:
    """Return the outcome for a value."""
    return Found(value=SecretValue(text))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Store(Resolver):
    """A store that answers from a dictionary and can be held up by an event."""

    scheme: ClassVar[str] = "store"

    def __init__(
        self, outcomes: Mapping[str, Outcome] | None = None, *, default: Outcome | None = None
    ) -> None:
        self.outcomes = dict(outcomes or {})
        self.default = default or NotFound()
        self.calls: list[tuple[str, ...]] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.closed = 0

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Answer when the gate is open."""
        self.calls.append(tuple(str(reference) for reference in references))
        self.entered.set()
        self.gate.wait()
        return {each: self.outcomes.get(each.name, self.default) for each in references}

    def close(self) -> None:
        """Count."""
        self.closed += 1


class Other(Store):
    """A second store."""

    scheme: ClassVar[str] = "other"


class Local(Store):
    """A store next door."""

    scheme: ClassVar[str] = "local"
    local: ClassVar[bool] = True


def one(resolution: Resolution, reference: Reference) -> Outcome:
    """Resolve one reference."""
    return resolution.resolve([reference])[reference].outcome


class Native(Store):
    """A store whose own references look like ``native://place/name``."""

    scheme: ClassVar[str] = "native"
    has_instances: ClassVar[bool] = False
