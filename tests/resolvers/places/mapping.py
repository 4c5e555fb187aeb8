"""A dictionary, with one secret."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.resolvers.places import Environment, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def mapping(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Know ``API_TOKEN``."""
    without_proxies(environment)
    value = canary()
    yield ResolverCase(
        resolver=MappingResolver({"API_TOKEN": value}),
        present=Reference("API_TOKEN", "mapping"),
        value=value,
        absent=Reference("NOBODY_SET_THIS", "mapping"),
        picklable=False,
    )
