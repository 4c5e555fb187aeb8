"""Secrets Manager, as moto plays it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.fleet.fixtures import required
from tests.fleet.moto import shared_moto
from tests.resolvers.places import NOWHERE, Environment, silent_origin, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.aws import AwsResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = "flows/api-token"


@contextmanager
def aws(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Make the secret ``flows/api-token``, and be a user who may read it."""
    without_proxies(environment, "AWS_")
    with required():
        server = shared_moto()
    for variable, text in server.environment(tmp_path).items():
        environment.setenv(variable, text)
    value, client = canary(), server.client("secretsmanager")
    with ExitStack() as stack:
        client.create_secret(Name=_NAME, SecretString=value)
        stack.callback(client.delete_secret, SecretId=_NAME, ForceDeleteWithoutRecovery=True)
        silent = stack.enter_context(silent_origin())
        others = [AwsResolver(endpoint_url=url) for url in (NOWHERE, silent)]
        resolver, refused = AwsResolver(), AwsResolver(profile="wrong")
        for each in (resolver, refused, *others):
            stack.callback(each.close)
        yield ResolverCase(
            resolver=resolver,
            present=Reference(_NAME, "aws"),
            value=value,
            absent=Reference(f"{_NAME}-of-nobody", "aws"),
            refused=refused,
            unreachable=others[0],
            hanging=others[1],
            credentials=(server.user.secret, server.wrong.secret),
            calls=server.calls,
        )
