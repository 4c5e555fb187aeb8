"""Prefect 3, as a stand-in, with a server that has one Secret block and knows one key."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.fakes.prefect import FakePrefect, installed
from tests.resolvers.places import Environment, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.prefect import PrefectResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def prefect(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Start the server, and let Prefect's own settings lead to it."""
    without_proxies(environment, "PREFECT_")
    value, right, wrong = canary(), canary(), canary()
    with ExitStack() as stack:
        stack.enter_context(installed("prefect_3", tmp_path, environment))
        server = stack.enter_context(FakePrefect(f"Bearer {right}"))
        server.put("api-token", value)
        mute = stack.enter_context(FakePrefect())
        mute.hang(times=None)
        environment.setenv("PREFECT_API_URL", server.api)
        environment.setenv("PREFECT_API_KEY", right)
        profiles = {
            "refused": (server.api, wrong),
            "unreachable": ("http://127.0.0.1:1/api", right),
            "hanging": (mute.api, right),
        }
        path = tmp_path / "profiles.toml"
        path.write_text("".join(_profile(name, *told) for name, told in profiles.items()))
        environment.setenv("PREFECT_PROFILES_PATH", str(path))
        yield ResolverCase(
            resolver=PrefectResolver(),
            present=Reference("api-token", "prefect"),
            value=value,
            absent=Reference("nobody-has-this", "prefect"),
            refused=PrefectResolver(profile="refused"),
            unreachable=PrefectResolver(profile="unreachable"),
            hanging=PrefectResolver(profile="hanging"),
            credentials=[right, wrong],
            calls=lambda: len(server.received("/api/block_types")),
        )


def _profile(name: str, url: str, key: str) -> str:
    """Write one profile as Prefect keeps it; a text of TOML is one of JSON."""
    settings = {"PREFECT_API_URL": url, "PREFECT_API_KEY": key}
    lines = (f"{setting} = {json.dumps(text)}" for setting, text in settings.items())
    return "\n".join((f"[profiles.{name}]", *lines, ""))
