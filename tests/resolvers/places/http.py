"""The secret service of a company."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.fakes.company import FakeCompany, Secret
from tests.resolvers.places import NOWHERE, silent_origin, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.http import HttpResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.resolvers.places import Environment


@contextmanager
def http(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Start a service with one secret, to which ``SERVICE_URL`` and ``SERVICE_TOKEN`` lead."""
    without_proxies(environment, "SERVICE_")
    value, token, wrong = canary(), canary(), canary()
    with FakeCompany(token=token) as company, silent_origin() as silent:
        company.secrets["team/app"] = Secret(value)
        environment.setenv("SERVICE_URL", company.url)
        environment.setenv("SERVICE_TOKEN", token)
        environment.setenv("SERVICE_OTHER_TOKEN", wrong)

        def resolver(origin: str, variable: str) -> HttpResolver:
            return HttpResolver(
                url=f"{origin}/v1/secrets/{{name}}",
                headers={"Authorization": f"Bearer ${{{variable}}}"},
                pointer="/data/value",
                health_url=f"{origin}/health",
            )

        case = ResolverCase(
            resolver=resolver(company.url, "SERVICE_TOKEN"),
            present=Reference("team/app", "http"),
            value=value,
            absent=Reference("team/other", "http"),
            refused=resolver(company.url, "SERVICE_OTHER_TOKEN"),
            unreachable=resolver(NOWHERE, "SERVICE_TOKEN"),
            hanging=resolver(silent, "SERVICE_TOKEN"),
            credentials=(token, wrong),
            calls=lambda: len(company.requests),
        )
        try:
            yield case
        finally:
            for each in case.resolvers:
                each.close()
