"""A 1Password Connect server with one secret."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.fakes.onepassword import FakeConnect, login_fields
from tests.resolvers.places import NOWHERE, Environment, silent_origin, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.onepassword import OnePasswordResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def onepassword(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Run a fake Connect server: in the vault ``flows`` is the login ``app``.

    ``OP_CONNECT_HOST`` and ``OP_CONNECT_TOKEN`` lead there, ``OTHER_TOKEN`` holds a wrong token.
    """
    without_proxies(environment, "OP_")
    token, wrong, value = canary().replace(" ", ""), canary().replace(" ", ""), canary()
    with FakeConnect(token=token) as server, silent_origin() as silent:
        server.add_vault("flows").add("app", login_fields("me", value))
        environment.setenv("OP_CONNECT_HOST", server.url)
        environment.setenv("OP_CONNECT_TOKEN", token)
        environment.setenv("OTHER_TOKEN", wrong)
        case = ResolverCase(
            resolver=OnePasswordResolver(),
            present=Reference("app/password", "op", "flows"),
            value=value,
            absent=Reference("app/nothing", "op", "flows"),
            refused=OnePasswordResolver(token_variable="OTHER_TOKEN"),
            unreachable=OnePasswordResolver(host=NOWHERE),
            hanging=OnePasswordResolver(host=silent),
            credentials=[token, wrong],
            calls=lambda: len(server.requests),
        )
        yield case
        for resolver in case.resolvers:
            resolver.close()
