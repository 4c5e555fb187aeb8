"""rclone's S3: another code base, with keys that are folders of a directory."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fleet.process import find_program, free_ports, listens, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Rclone:
    """A running rclone.

    Attributes:
        url: The endpoint, with the bucket in the path.
        data: The directory whose folders are the buckets.
    """

    url: str
    data: Path
    key_id: str = "key-of-rclone"
    secret: str = "secret-of-rclone"


@contextlib.contextmanager
def serve_rclone(directory: Path) -> Iterator[Rclone]:
    """Serve a directory of its own by S3."""
    program = find_program("rclone", "rclone")
    data = directory / "data"
    data.mkdir(parents=True)
    (port,) = free_ports(1)
    server = Rclone(f"http://127.0.0.1:{port}", data)
    keys = f"{server.key_id},{server.secret}"
    command = (program, "serve", "s3", data, "--addr", f"127.0.0.1:{port}", "--auth-key", keys)
    environment = {"RCLONE_CONFIG": str(directory / "rclone.conf"), "HOME": str(directory)}
    with running(command, lambda: listens(port), directory / "log", environment):
        yield server
