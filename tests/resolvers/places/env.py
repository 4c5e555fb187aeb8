"""The environment, with one secret."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.resolvers.places import Environment, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.env import EnvResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def env(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Set ``API_TOKEN``."""
    without_proxies(environment, "API_TOKEN")
    value = canary()
    environment.setenv("API_TOKEN", value)
    yield ResolverCase(
        resolver=EnvResolver(),
        present=Reference("API_TOKEN", "env"),
        value=value,
        absent=Reference("NOBODY_SET_THIS", "env"),
    )
