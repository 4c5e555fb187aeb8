"""What runs where Prefect 3 is installed: save blocks, ask our resolver, hold it to its promises.

It is told by JSON on its input and answers by JSON on its output. Values are test values.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Deadline, Found, Outcome
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite
from webhook_storage_resolvers.prefect import PrefectResolver

if TYPE_CHECKING:
    from collections.abc import Callable

Told = dict[str, Any]


def save(told: Told) -> None:
    """Save Secret blocks as Prefect does it."""
    secret = importlib.import_module("prefect.blocks.system").Secret
    for name, value in told["blocks"].items():
        secret(value=value).save(name, overwrite=True)


def ask(told: Told) -> list[list[str]]:
    """Ask for names: by themselves, in a running event loop, or in a flow of either kind."""
    scheme = None if told.get("bare") else "prefect"
    references = [Reference(name, scheme) for name in told["names"]]
    resolver = PrefectResolver(**told.get("options", {}))
    answers: list[list[str]] = []

    def here() -> None:
        given = resolver.resolve(references, Deadline(30))
        answers.extend(_shown(given[reference]) for reference in references)

    async def in_loop() -> None:
        here()

    match told.get("where"):
        case "loop":
            asyncio.run(in_loop())
        case "flow":
            _flow(here)()
        case "loop of a flow":
            asyncio.run(_flow(in_loop)())
        case _:
            here()
    return answers


def _flow(work: Callable[[], Any]) -> Callable[[], Any]:
    """Make a flow of it. Prefect would log and keep what it returns, so it returns nothing."""
    flow: Callable[[], Any] = importlib.import_module("prefect").flow(work)
    return flow


def health(told: Told) -> str | None:
    """Ask whether the server is well."""
    return PrefectResolver(**told.get("options", {})).health()


def suite(told: Told) -> dict[str, str]:
    """Hold the resolver to its promises; return those that it broke."""
    case = ResolverCase(
        resolver=PrefectResolver(),
        present=Reference(told["present"], "prefect"),
        value=told["value"],
        absent=Reference(told["absent"], "prefect"),
        refused=PrefectResolver(profile="refused"),
        unreachable=PrefectResolver(profile="unreachable"),
        hanging=PrefectResolver(profile="hanging"),
        credentials=told["credentials"],
    )
    promises = [name for name in dir(ResolverSuite) if name.startswith("test_")]
    outcomes = {name: _breach(getattr(ResolverSuite(), name), case) for name in promises}
    return {name: breach for name, breach in outcomes.items() if breach is not None}


def _breach(promise: Callable[[ResolverCase], None], case: ResolverCase) -> str | None:
    try:
        promise(case)
    except AssertionError as error:
        return str(error)
    return None


def _shown(outcome: Outcome) -> list[str]:
    text = outcome.value.reveal() if isinstance(outcome, Found) else outcome.detail
    return [type(outcome).__name__, text]


COMMANDS: dict[str, Callable[[Told], Any]] = {
    "save": save, "ask": ask, "health": health, "suite": suite,
}  # fmt: skip

if __name__ == "__main__":
    json.dump([COMMANDS[told["command"]](told) for told in json.load(sys.stdin)], sys.stdout)
