"""Objects on Swift by S3, beside boto3 as it comes: 1 GiB up and down, and 1,000 of 10 KB.

In a fresh process, which measures its memory before boto3 is in it. Run as a program it is that
process: ``python -m benchmarks.s3 ENDPOINT KEY_ID SECRET_KEY DIRECTORY``.
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
from tests.fleet.swift import serve_swift
from webhook_storage.transport.aiohttp import AiohttpTransport
from webhook_storage_presets.s3 import S3
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZE = 1024**3
_PIECE = 1024**2
_ROUNDS = 3
_SMALL = os.urandom(10 * 1024)
_COUNT = 1000
_WIDTH = 16
_BUCKET = "benchmark"
_MEMORY_BOUND = 100.0
_LARGE_BOUND = 1 / 0.9
_SMALL_BOUND = 1 / 2


def measure() -> list[Figure]:
    """Send and fetch in a process of its own."""
    memory = "S3: peak of 1 GiB up, down"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="benchmark-") as name,
            serve_swift(Path(name, "swift")) as swift,
        ):
            boto3_client(swift.url, swift.user, swift.password).create_bucket(Bucket=_BUCKET)
            command = [sys.executable, "-m", __name__, swift.url, swift.user, swift.password, name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    except MissingServerError as error:
        return [Figure(name=memory, unit="MiB", bound=_MEMORY_BOUND, note=str(error))]
    found = json.loads(done.stdout)
    figures = [Figure(name=memory, value=found.pop("peak"), unit="MiB", bound=_MEMORY_BOUND)]
    return figures + [
        Figure(
            name=f"S3: {what} against boto3",
            value=ours / theirs,
            bound=_SMALL_BOUND if "10 KB" in what else _LARGE_BOUND,
            note=f"{ours:.2f} s, boto3 {theirs:.2f} s",
        )
        for what, (ours, theirs) in found.items()
    ]


def transfer(endpoint: str, key_id: str, secret: str, directory: Path) -> None:
    """Send and fetch, and print the peak of memory in MiB and the seconds of both."""
    source, target = directory / "source", directory / "target"
    with source.open("wb") as file:
        for _ in range(_SIZE // _PIECE):
            file.write(os.urandom(_PIECE))
    os.utime(source, (0, 0))  # nobody writes to it any more
    storage = S3(
        bucket=_BUCKET,
        endpoint=endpoint,
        profile="swift",
        access_key_id="${KEY_ID}",
        secret_access_key="${SECRET}",  # noqa: S106 - its name
    )
    secrets = [MappingResolver({"KEY_ID": key_id, "SECRET": secret})]
    with ws.Sender(secrets=secrets):
        storage.put(source, "ours")
        storage.download(target, "ours")
        found: dict[str, Any] = {"peak": peak_memory()}
        theirs = boto3_client(endpoint, key_id, secret)
        for what, ours, other in (
            (
                "1 GiB up",
                lambda: storage.put(source, "ours"),
                lambda: theirs.upload_file(str(source), _BUCKET, "theirs"),
            ),
            (
                "1 GiB down",
                lambda: storage.download(target, "ours"),
                lambda: theirs.download_file(_BUCKET, "theirs", str(target)),
            ),
        ):
            found[what] = _compared(ours, other, _ROUNDS)
    found["1,000 of 10 KB"] = _compared(
        lambda: asyncio.run(_store_all(storage, secrets)), lambda: _store_all_by(theirs), _ROUNDS
    )
    print(json.dumps(found))


def boto3_client(endpoint: str, key_id: str, secret: str) -> Any:
    """Return a client as boto3 makes it, with a connection for each thread."""
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 - its memory is not ours
    from botocore.config import Config  # noqa: PLC0415

    config = Config(max_pool_connections=_WIDTH, s3={"addressing_style": "path"})
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=config,
    )


def _compared(ours: Callable[[], object], theirs: Callable[[], object], runs: int) -> list[float]:
    taken = interleaved({"ours": ours, "theirs": theirs}, rounds=runs, runs=1)
    return [taken["ours"], taken["theirs"]]


async def _store_all(storage: S3, secrets: list[Any]) -> None:
    items = {f"ours/{number}": _SMALL for number in range(_COUNT)}
    with ws.Sender(secrets=secrets, transport=AiohttpTransport()):
        report = await storage.aput_many(items, limit=_WIDTH)
    report.raise_for_failures()


def _store_all_by(client: Any) -> None:
    def store(number: int) -> None:
        client.put_object(Bucket=_BUCKET, Key=f"theirs/{number}", Body=_SMALL)

    with ThreadPoolExecutor(_WIDTH) as pool:
        list(pool.map(store, range(_COUNT)))


if __name__ == "__main__":
    transfer(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
