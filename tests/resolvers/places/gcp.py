"""Google Secret Manager, as the tests start it."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.fakes.gcp import FakeGcp
from tests.resolvers.places import without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.gcp import GcpResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.resolvers.places import Environment

PREFIXES = ("CLOUDSDK_", "GCE_METADATA_", "GCLOUD_", "GOOGLE_", "NO_GCE_CHECK")
"""What the variables begin with that change who one is for Google."""


@contextmanager
def gcp(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Serve Secret Manager to a service account, whose key file is in the environment.

    The secrets are ``app-token`` and, for bare names, ``TOKEN``; ``GCP_ENDPOINT`` is the origin.
    """
    without_proxies(environment, *PREFIXES)
    value = canary()
    with ExitStack() as stack:
        place = stack.enter_context(FakeGcp())
        for name in ("app-token", "TOKEN"):
            place.add(name, value)
        key = place.write_key(tmp_path / "key.json", place.add_account("flows"))
        stranger = place.add_account("stranger")
        wrong = place.write_key(tmp_path / "wrong-key.json", stranger)
        del place.tokens.accounts[stranger.email]
        environment.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
        environment.setenv("GCP_ENDPOINT", place.url)
        environment.setenv("GCE_METADATA_IP", "127.0.0.1:1")
        resolver = GcpResolver(endpoint=place.url)
        refused = GcpResolver(endpoint=place.url, credentials_file=wrong)
        nobody = GcpResolver(endpoint="http://127.0.0.1:1")
        mute = stack.enter_context(FakeGcp())
        mute.hang(times=None)
        hanging = GcpResolver(endpoint=mute.url)
        for each in (resolver, refused, nobody, hanging):
            stack.callback(each.close)
        yield ResolverCase(
            resolver=resolver,
            present=Reference("app-token", "gcp"),
            value=value,
            absent=Reference("nobody-has-this", "gcp"),
            refused=refused,
            unreachable=nobody,
            hanging=hanging,
            credentials=[json.loads(file.read_text())["private_key"] for file in (key, wrong)],
            calls=lambda: len(place.requests),
        )
