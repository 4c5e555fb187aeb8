"""Objects by S3, beside boto3 as it comes: 1 GiB up and down on Swift, and 1,000 of 10 KB.

Those of 10 KB are stored on rclone too: Swift alone takes some 5 ms for each on two processors,
whoever asks, so there the client hardly counts.

Each in a fresh process, which measures its memory before boto3 is in it. Run as a program it is
that process: ``python -m benchmarks.s3 WHAT ENDPOINT KEY_ID SECRET_KEY DIRECTORY``.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import webhook_storage as ws
from benchmarks.figures import Figure, interleaved
from benchmarks.transfer import peak_memory
from tests.fleet.process import MissingServerError
from tests.fleet.rclone import serve_rclone
from tests.fleet.swift import serve_swift
from webhook_storage.transport.aiohttp import AiohttpTransport
from webhook_storage_presets.s3 import S3
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SIZE = 1024**3
_PIECE = 1024**2
_ROUNDS = 3
_SMALL = os.urandom(10 * 1024)
_COUNT = 1000
_WIDTH = 64
_BUCKET = "benchmark"
_REGION = "us-east-1"
_MEMORY_BOUND = 100.0
_LARGE_BOUND = 1 / 0.9
_SMALL_BOUND = 1 / 2


def measure() -> list[Figure]:
    """Store and fetch in processes of their own."""
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
            with serve_swift(Path(name, "swift")) as swift:
                account = (swift.url, swift.user, swift.password)
                large, on_swift = _run("large", account, name), _run("small", account, name)
            with serve_rclone(Path(name, "rclone")) as rclone:
                on_rclone = _run("small", (rclone.url, rclone.key_id, rclone.secret), name)
    except MissingServerError as error:
        return [Figure(name="S3", unit="MiB", bound=_MEMORY_BOUND, note=str(error))]
    return [
        Figure(
            name="S3: peak of 1 GiB up, down",
            value=large["peak"],
            unit="MiB",
            bound=_MEMORY_BOUND,
        ),
        _figure("1 GiB up, Swift", large["up"], _LARGE_BOUND),
        _figure("1 GiB down, Swift", large["down"], _LARGE_BOUND),
        _figure("1,000 of 10 KB, Swift", on_swift["small"], None),
        _figure("1,000 of 10 KB, rclone", on_rclone["small"], _SMALL_BOUND),
    ]


def _run(what: str, account: Sequence[str], directory: str) -> dict[str, Any]:
    client = _boto3_client(*account)
    if not client.list_buckets()["Buckets"]:
        client.create_bucket(Bucket=_BUCKET)
    command = [sys.executable, "-m", __name__, what, *account, directory]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _figure(what: str, seconds: tuple[float, float], bound: float | None) -> Figure:
    ours, theirs = seconds
    note = f"{ours:.2f} s, boto3 {theirs:.2f} s"
    return Figure(name=f"S3: {what}, to boto3's", value=ours / theirs, bound=bound, note=note)


# --- the process ----------------------------------------------------------------------------------


def run(what: str, endpoint: str, key_id: str, secret: str, directory: Path) -> None:
    """Store and fetch, and print the seconds of ours and of boto3's."""
    storage = S3(
        bucket=_BUCKET,
        endpoint=endpoint,
        region=_REGION,
        profile="swift" if what == "large" else None,
        access_key_id="${KEY_ID}",
        secret_access_key="${SECRET}",  # noqa: S106 - its name
    )
    secrets = MappingResolver({"KEY_ID": key_id, "SECRET": secret})
    measured = _large if what == "large" else _small
    print(json.dumps(measured(storage, secrets, directory)))


def _large(storage: S3, secrets: MappingResolver, directory: Path) -> dict[str, Any]:
    """Store and fetch a file; of the peak in MiB boto3 is no part."""
    source, target = directory / "source", directory / "target"
    with source.open("wb") as file:
        for _ in range(_SIZE // _PIECE):
            file.write(os.urandom(_PIECE))
    os.utime(source, (0, 0))  # nobody writes to it any more
    with ws.Sender(secrets=[secrets]):
        storage.put(source, "ours")
        storage.download(target, "ours")
        found: dict[str, Any] = {"peak": peak_memory()}
        theirs = _boto3_client(*sys.argv[2:5])
        found["up"] = _compared(
            lambda: storage.put(source, "ours"),
            lambda: theirs.upload_file(str(source), _BUCKET, "theirs"),
        )
        found["down"] = _compared(
            lambda: storage.download(target, "ours"),
            lambda: theirs.download_file(_BUCKET, "theirs", str(target)),
        )
    return found


def _small(storage: S3, secrets: MappingResolver, _directory: Path) -> dict[str, Any]:
    """Store many at a time: ours in an event loop, boto3's in a pool of threads."""
    items = {f"ours/{number}": _SMALL for number in range(_COUNT)}
    client = _boto3_client(*sys.argv[2:5])

    async def store_all() -> None:
        with ws.Sender(secrets=[secrets], transport=AiohttpTransport()):
            report = await storage.aput_many(items, limit=_WIDTH)
        report.raise_for_failures()

    def store(number: int) -> None:
        client.put_object(Bucket=_BUCKET, Key=f"theirs/{number}", Body=_SMALL)

    def store_all_by_boto3() -> None:
        with ThreadPoolExecutor(_WIDTH) as pool:
            list(pool.map(store, range(_COUNT)))

    return {"small": _compared(lambda: asyncio.run(store_all()), store_all_by_boto3)}


def _compared(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    taken = interleaved({"ours": ours, "theirs": theirs}, rounds=_ROUNDS, runs=1)
    return taken["ours"], taken["theirs"]


def _boto3_client(endpoint: str, key_id: str, secret: str) -> Any:
    """Return a client as boto3 makes it, with a connection for each thread."""
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 - its memory is not ours
    from botocore.config import Config  # noqa: PLC0415

    config = Config(max_pool_connections=_WIDTH, s3={"addressing_style": "path"})
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=_REGION,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=config,
    )


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], Path(sys.argv[5]))
