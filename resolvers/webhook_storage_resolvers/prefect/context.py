"""Secrets of Prefect 1, which lie in the context of the running thread.

Facts: the source of Prefect 1.4.1, ``prefect.client.secrets`` and ``prefect.configuration``. It
makes Python objects of what an environment variable or a configuration file says (``1e5``, ``true``
and ``[1]`` are no texts any more), and once more, as JSON, of what ``Secret.get()`` returns. So
``get()`` is not used here, and where the first conversion can be undone it is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.document import spell
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from types import ModuleType

_VARIABLE = "PREFECT__CONTEXT__SECRETS__"


def context_secret(prefect: ModuleType, name: str) -> Outcome:
    """Return the secret of that name in the context of this thread.

    Args:
        prefect: Prefect 1.
        name: The secret's name, as it is.
    """
    secrets = prefect.context.get("secrets") or {}
    if name not in secrets:
        return _absent(prefect)
    value = secrets[name]
    if isinstance(value, str):
        return _found(spell(value))
    written = os.environ.get(_VARIABLE + name)
    if written is not None and _is_same(prefect.configuration.string_to_type(written), value):
        return _found(written)
    if isinstance(value, dict | list):
        return _found(spell(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return _found(str(value))  # as Prefect 1 wrote it into a request
    return Invalid(f"Prefect 1 made something else than text of it: set {_VARIABLE}{name}")


def _absent(prefect: ModuleType) -> Outcome:
    """Tell a secret that is not there from one that lies in Prefect's cloud, which is gone."""
    remote = prefect.config.backend == "cloud" and not prefect.config.cloud.use_local_secrets
    if remote:
        return Unavailable("is not in the context, and the cloud of Prefect 1 is not asked")
    return NotFound()


def _found(text: str | None) -> Outcome:
    """Return the outcome for a text."""
    return Invalid("the secret is no text") if text is None else Found(value=SecretValue(text))


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same; to Python, 1 equals True and a Box equals its dict."""
    alike = type(one) is type(other) or isinstance(one, dict | list)
    return alike and bool(one == other)
