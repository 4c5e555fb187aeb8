"""The secrets of Acme, a company that keeps them in one JSON file on each machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference


@dataclass(frozen=True, kw_only=True)
class AcmeResolver(Resolver):
    """Secrets in the file that ``$ACME_SECRETS`` names: a JSON object of objects.

    ``${acme:billing/gateway#token}`` reads the field ``token`` of the entry ``billing/gateway``.

    Args:
        variable: The environment variable with the file's path.
    """

    scheme: ClassVar[str] = "acme"

    variable: str = "ACME_SECRETS"

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read the file once for all references."""
        entries = self._entries()
        if not isinstance(entries, dict):
            return dict.fromkeys(references, entries)
        return {reference: _entry(entries, reference.name) for reference in references}

    def _entries(self) -> dict[str, object] | Outcome:
        path = os.environ.get(self.variable)
        if not path:
            return Unavailable(f"set {self.variable} to the path of the file")
        try:
            entries: dict[str, object] = json.loads(Path(path).read_text("utf-8"))
        except PermissionError:
            return Forbidden("the file may not be read")
        except (OSError, ValueError):
            return Unavailable("the file cannot be read")
        return entries


def _entry(entries: dict[str, object], name: str) -> Outcome:
    if name not in entries:
        return NotFound()
    return Found(value=SecretValue(json.dumps(entries[name])), structured=True)
