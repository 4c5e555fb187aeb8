"""Three secrets of a Vault that is 5 ms away: how often it is asked, and what a request waits."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from string import Template
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

from benchmarks.figures import Figure, interleaved
from tests.fakes.vault import FakeVault
from webhook_storage.contracts import Deadline, Outcome, Request, Resolver, Unavailable
from webhook_storage.render import render, templates
from webhook_storage.resolution import Resolution
from webhook_storage.template import Reference
from webhook_storage.values import ask
from webhook_storage_resolvers.vault import VaultResolver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.fakes.http import Answer, Received
    from webhook_storage.values import Values

_AWAY = 0.005
_RENDERS = 10_000
_THREADS = 32
_TASKS = 256
_SECRETS = {
    "SIGNATURE": "0123456789abcdef",
    "TOKEN": "abcDEF0123456789-_.~abcDEF0123456789",
    "OWNER": "team-seven",
}
_URL = "https://files.example.com/flows/daily?signature=${SIGNATURE}"
_HEADERS = {
    "Authorization": "Bearer ${TOKEN}",
    "X-Arguments": '{"path": "/flows/daily", "owner": "${OWNER}"}',
    "Content-Type": "application/octet-stream",
}
_REQUEST = Request(method="PUT", url=_URL, headers=_HEADERS)


class _FarVault(FakeVault):
    """A Vault with a way to go."""

    def answer(self, request: Received, body: bytes) -> Answer:
        time.sleep(_AWAY)
        return super().answer(request, body)


class _Down(Resolver):
    """A store that cannot be reached, or says nothing."""

    scheme: ClassVar[str] = "down"

    def __init__(self, *, hangs: bool = False) -> None:
        self.calls = 0
        self.gate = threading.Event()
        if not hangs:
            self.gate.set()

    def resolve(
        self,
        references: Sequence[Reference],
        deadline: Deadline,  # noqa: ARG002 - a store that keeps to it would not be worth measuring
    ) -> Mapping[Reference, Outcome]:
        """Count, and fail."""
        self.calls += 1
        self.gate.wait()
        return dict.fromkeys(references, Unavailable("down"))


def measure() -> list[Figure]:
    """Take all figures."""
    with _vault() as (vault, resolution):
        return [
            _storm(vault, resolution(), threads=True),
            _storm(vault, resolution(), threads=False),
            *_warm(resolution()),
            _hanging(),
            _failing(),
        ]


@contextmanager
def _vault() -> Iterator[Any]:
    """Start the fake with a secret a name, and return what makes resolutions with empty caches."""
    with _FarVault() as vault, patch.dict(os.environ, {"VAULT_TOKEN": vault.token}):
        for name, text in _SECRETS.items():
            vault.put(f"secret/{name}", {"value": text})
        # Told the version of the engine, it need not ask for that once in each process.
        resolver = VaultResolver(address=vault.url, names="secret/{name}#value", kv_version=2)
        yield vault, lambda: Resolution([resolver])
        resolver.close()


def _values(resolution: Resolution) -> Values:
    """Ask for the secrets of the request, as the sender does."""
    steps = ask(resolution, templates(_REQUEST), {})
    try:
        effect = next(steps)
        while True:
            effect = steps.send(effect.perform())
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _storm(vault: FakeVault, resolution: Resolution, *, threads: bool) -> Figure:
    """Render many times from a cold start, in threads or in tasks, and count the questions."""
    before = len(vault.requests)
    started = time.perf_counter()
    if threads:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda _: _render(resolution), range(_RENDERS)))
    else:
        asyncio.run(_tasks(resolution))
    seconds = time.perf_counter() - started
    who = f"{_THREADS} threads" if threads else f"{_TASKS} tasks"
    return Figure(
        name=f"questions to Vault, {_RENDERS} renders, {who}",
        value=len(vault.requests) - before,
        unit="calls",
        bound=3,
        note=f"{seconds:.2f} s in all",
    )


def _render(resolution: Resolution) -> None:
    render(_REQUEST, _values(resolution).lookup)


async def _tasks(resolution: Resolution) -> None:
    async def some() -> None:
        for _ in range(_RENDERS // _TASKS):
            answers = await resolution.aresolve(
                [each for _, text in templates(_REQUEST) for each in text.references()]
            )
            assert len(answers) == len(_SECRETS)  # noqa: S101 - a measurement of nothing is none
            render(_REQUEST, _values(resolution).lookup)

    await asyncio.gather(*(some() for _ in range(_TASKS)))


def _warm(resolution: Resolution) -> list[Figure]:
    """Compare a render with `string.Template` on the same strings."""
    values = _values(resolution)
    plain = [Template(text) for text in (_URL, *_HEADERS.values())]
    taken = interleaved(
        {
            "whole": lambda: _render(resolution),
            "fill": lambda: render(_REQUEST, values.lookup),
            "plain": lambda: [template.substitute(_SECRETS) for template in plain],
        },
        rounds=2000,
        runs=7,
    )
    micro = {name: seconds * 1e6 for name, seconds in taken.items()}
    return [
        Figure(
            name="render 3 remembered secrets, asking included",
            value=micro["whole"],
            unit="us",
            bound=20,
            note=f"{micro['whole'] / micro['plain']:.1f} times string.Template",
        ),
        Figure(
            name="render 3 secrets / string.Template",
            value=micro["fill"] / micro["plain"],
            bound=3,
            note=f"{micro['fill']:.1f} us, string.Template {micro['plain']:.1f} us",
        ),
    ]


def _hanging() -> Figure:
    """Wait for a store that says nothing."""
    store, deadline = _Down(hangs=True), 0.5
    resolution = Resolution([store], deadline=deadline)
    started = time.perf_counter()
    resolution.resolve([Reference(name) for name in _SECRETS])
    seconds = time.perf_counter() - started
    store.gate.set()
    note = f"{seconds:.3f} s, the deadline {deadline} s"
    return Figure(
        name="wait for a hanging store / deadline", value=seconds / deadline, bound=1.1, note=note
    )


def _failing() -> Figure:
    """Send requests for a minute, a hundred in each second, while the store is down."""
    now, store = [0.0], _Down()
    resolution = Resolution([store], clock=lambda: now[0])
    for tick in range(6000):
        now[0] = tick / 100
        resolution.resolve([Reference("TOKEN")])
    # At the start, and after pauses of 1, 2, 4, 8, 16 and 32 seconds.
    note = "6,000 requests in a minute of a clock that the measurement moves"
    return Figure(
        name="questions to a store that is down",
        value=store.calls,
        unit="calls",
        bound=6,
        note=note,
    )
