"""What ``check`` finds out about each placeholder of a definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from webhook_storage.cli.operations import OPERATIONS, sample, secrets_of
from webhook_storage.errors import ConfigurationError, SecretError, SecretForbiddenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.cli.operations import Use
    from webhook_storage.resolution import Explanation
    from webhook_storage.sender import Sender
    from webhook_storage.storage import Storage


class Row(NamedTuple):
    """One placeholder, without its value.

    Attributes:
        cells: What is shown.
        good: Whether a request can be sent as far as this one is concerned.
    """

    cells: tuple[str, str, str, str]
    good: bool


def rows(storage: Storage, sender: Sender) -> list[Row]:
    """Return a row for each placeholder of the definition."""
    uses = secrets_of(storage)
    explanations = sender.resolution.explain([use.reference for use in uses])
    refused = {name: fault for name, *fault in _refused(storage, sender)}
    return [_row(use, told, refused) for use, told in zip(uses, explanations, strict=True)]


def _row(use: Use, told: Explanation, refused: dict[str, list[str]]) -> Row:
    outcome = told.outcome
    if outcome == "not found" and use.optional:
        outcome = "default"
    asked = [
        f"{step.resolver}: {step.outcome}{f', {step.detail}' if step.detail else ''}"
        for step in told.steps
    ]
    if outcome == "found" and told.reference in refused:
        outcome, fault = refused[told.reference]
        asked.append(fault)
    if not told.steps and told.detail:
        asked.append(told.detail)
    name = f"${{{told.reference}}}"
    cells = (name, ", ".join(use.operations), outcome, "; ".join(asked))
    return Row(cells, outcome in {"found", "default"})


def _refused(storage: Storage, sender: Sender) -> Iterator[tuple[str, str, str]]:
    """Yield what was found and is yet no good: empty, unfit for its place, or bound elsewhere."""
    for operation in OPERATIONS:
        try:
            sender.preview(sample(storage, operation))
        except SecretError as error:
            word = "forbidden" if isinstance(error, SecretForbiddenError) else "invalid"
            for name in error.names:
                yield name, word, str(error)
        except ConfigurationError:
            continue
