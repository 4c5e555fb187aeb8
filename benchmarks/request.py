"""One warm request, ours against a bare `httpx.Client`: 10 KB, a token, a kept connection."""

from __future__ import annotations

import os

import httpx

import webhook_storage as ws
from benchmarks.figures import Figure, interleaved
from benchmarks.nginx import serve_nginx
from tests.fleet.process import MissingServerError

_BOUND = 1.15
_ROUNDS = 400
_RUNS = 7
_TOKEN = "of-this-benchmark"  # noqa: S105 - nobody lets it in


def measure() -> list[Figure]:
    """Compare a PUT and a GET."""
    names = {"PUT": "request: PUT 10 KB / httpx", "GET": "request: GET 10 KB / httpx"}
    try:
        with serve_nginx() as origin:
            taken = _compare(origin)
    except MissingServerError as error:
        return [Figure(name=name, bound=_BOUND, note=str(error)) for name in names.values()]
    return [_figure(name, taken[f"our {method}"], taken[method]) for method, name in names.items()]


def _figure(name: str, ours: float, bare: float) -> Figure:
    note = f"{ours * 1e6:.0f} us, httpx {bare * 1e6:.0f} us"
    return Figure(name=name, value=ours / bare, bound=_BOUND, note=note)


def _compare(origin: str) -> dict[str, float]:
    os.environ["BENCHMARK_TOKEN"] = _TOKEN
    body = os.urandom(10 * 1024)
    headers = {"Authorization": f"Bearer {_TOKEN}", "Accept-Encoding": "identity"}
    kwargs = {
        "url": f"{origin}/${{artifact.key}}",
        "headers": {"Authorization": "Bearer ${BENCHMARK_TOKEN}"},
    }
    storage = ws.Webhook(kwargs, "PUT", kwargs, "GET")

    with httpx.Client() as client, ws.Sender():

        def put() -> None:
            client.put(f"{origin}/bare", content=body, headers=headers).raise_for_status()

        def get() -> bytes:
            return client.get(f"{origin}/bare", headers=headers).raise_for_status().content

        pairs = (
            {"PUT": put, "our PUT": lambda: storage.put(body, "ours")},
            {"GET": get, "our GET": lambda: storage.get("ours")},
        )
        taken: dict[str, float] = {}
        # A PUT keeps nginx busy for a moment after its answer, so each meets its like only.
        for pair in pairs:
            interleaved(pair, rounds=20, runs=1)  # connect, and warm all caches
            taken |= interleaved(pair, rounds=_ROUNDS, runs=_RUNS)
        return taken
