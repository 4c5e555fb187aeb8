"""The secrets of Acme, a company that keeps them in one JSON file on each machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from webhook_storage import contracts as c
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference


@dataclass(frozen=True, kw_only=True)
class AcmeResolver(c.Resolver):
    """Secrets in the file that ``$ACME_SECRETS`` names: a JSON object of objects.

    ``${acme:billing/gateway#token}`` reads the field ``token`` of the entry ``billing/gateway``.

    Args:
        variable: The environment variable with the file's path.
    """

    scheme: ClassVar[str] = "acme"

    variable: str = "ACME_SECRETS"

    def resolve(
        self, references: Sequence[Reference], deadline: c.Deadline
    ) -> Mapping[Reference, c.Outcome]:
        """Read the file once for all references."""
        problem: c.Outcome
        try:
            entries = dict(json.loads(Path(os.environ[self.variable]).read_text("utf-8")))
            return {reference: _look_up(entries, reference) for reference in references}
        except KeyError:
            problem = c.Unavailable(f"set {self.variable} to the path of the file")
        except PermissionError:
            problem = c.Forbidden("the file may not be read")
        except (OSError, TypeError, ValueError):
            problem = c.Unavailable("the file cannot be read, or is no JSON object")
        return dict.fromkeys(references, problem)


def _look_up(entries: Mapping[str, object], reference: Reference) -> c.Outcome:
    if reference.options:
        return c.Invalid("takes no options")
    if reference.name not in entries:
        return c.NotFound()
    return c.Found(value=SecretValue(json.dumps(entries[reference.name])), structured=True)
