"""Doppler with one secret."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.fakes.doppler import FakeDoppler
from tests.resolvers.places import NOWHERE, Environment, silent_origin, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.doppler import DopplerResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def doppler(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Run a fake Doppler: in its one config is the secret ``API_TOKEN``.

    ``DOPPLER_API_HOST`` and ``DOPPLER_TOKEN`` lead there, ``OTHER_TOKEN`` holds a wrong token.
    """
    without_proxies(environment, "DOPPLER_")
    token, wrong = (f"dp.st.prd.{canary().replace(' ', '')}" for _ in range(2))
    value = canary()
    with FakeDoppler(token=token) as server, silent_origin() as silent:
        server.put("API_TOKEN", value)
        environment.setenv("DOPPLER_API_HOST", server.url)
        environment.setenv("DOPPLER_TOKEN", token)
        environment.setenv("OTHER_TOKEN", wrong)
        case = ResolverCase(
            resolver=DopplerResolver(),
            present=Reference("API_TOKEN", "doppler"),
            value=value,
            absent=Reference("NOTHING", "doppler"),
            refused=DopplerResolver(token_variable="OTHER_TOKEN"),
            unreachable=DopplerResolver(host=NOWHERE),
            hanging=DopplerResolver(host=silent),
            credentials=[token, wrong],
            calls=lambda: len(server.requests),
        )
        yield case
        for resolver in case.resolvers:
            resolver.close()
