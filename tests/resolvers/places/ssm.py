"""Parameter Store, as moto plays it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.fleet.fixtures import required
from tests.fleet.moto import shared_moto
from tests.resolvers.places import NOWHERE, Environment, silent_origin, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.ssm import SsmResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = "/flows/api-token"


@contextmanager
def ssm(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Make the encrypted parameter ``/flows/api-token``, and be a user who may read it."""
    without_proxies(environment, "AWS_")
    with required():
        server = shared_moto()
    for variable, text in server.environment(tmp_path).items():
        environment.setenv(variable, text)
    value, client = canary(), server.client("ssm")
    with ExitStack() as stack:
        client.put_parameter(Name=_NAME, Value=value, Type="SecureString")
        stack.callback(client.delete_parameter, Name=_NAME)
        silent = stack.enter_context(silent_origin())
        others = [SsmResolver(endpoint_url=url) for url in (NOWHERE, silent)]
        resolver, refused = SsmResolver(), SsmResolver(profile="wrong")
        for each in (resolver, refused, *others):
            stack.callback(each.close)
        yield ResolverCase(
            resolver=resolver,
            present=Reference(_NAME, "ssm"),
            value=value,
            absent=Reference(f"{_NAME}-of-nobody", "ssm"),
            refused=refused,
            unreachable=others[0],
            hanging=others[1],
            credentials=(server.user.secret, server.wrong.secret),
            calls=server.calls,
        )
