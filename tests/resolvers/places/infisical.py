"""Infisical with one secret."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.fakes.infisical import FakeInfisical
from tests.resolvers.places import NOWHERE, Environment, silent_origin, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.infisical import InfisicalResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CLIENT = "INFISICAL_UNIVERSAL_AUTH_CLIENT"


@contextmanager
def infisical(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Run a fake Infisical: in the folder ``/flows`` is the secret ``API_TOKEN``.

    ``INFISICAL_API_URL``, ``INFISICAL_PROJECT_ID`` and ``INFISICAL_ENVIRONMENT`` lead there,
    ``INFISICAL_UNIVERSAL_AUTH_CLIENT_ID`` and its secret log in; ``OTHER_SECRET`` is a wrong one.
    """
    without_proxies(environment, "INFISICAL_")
    secret, wrong, value = canary(), canary(), canary()
    access = f"ey.{canary().replace(' ', '')}.sig"
    with FakeInfisical(client_secret=secret) as server, silent_origin() as silent:
        server.new_token = lambda: access
        server.put("/flows/API_TOKEN", value)
        environment.setenv("INFISICAL_API_URL", server.url)
        environment.setenv("INFISICAL_PROJECT_ID", server.project)
        environment.setenv("INFISICAL_ENVIRONMENT", "prod")
        environment.setenv(f"{_CLIENT}_ID", server.client_id)
        environment.setenv(f"{_CLIENT}_SECRET", secret)
        environment.setenv("OTHER_SECRET", wrong)
        case = ResolverCase(
            resolver=InfisicalResolver(),
            present=Reference("/flows/API_TOKEN", "infisical"),
            value=value,
            absent=Reference("/flows/NOTHING", "infisical"),
            refused=InfisicalResolver(
                client_id_variable=f"{_CLIENT}_ID", client_secret_variable="OTHER_SECRET"
            ),
            unreachable=InfisicalResolver(address=NOWHERE),
            hanging=InfisicalResolver(address=silent),
            credentials=[secret, wrong, access],
            calls=lambda: len(server.requests),
        )
        yield case
        for resolver in case.resolvers:
            resolver.close()
