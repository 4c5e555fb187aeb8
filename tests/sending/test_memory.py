"""Large artifacts in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sending.support import ALL_MODES, Mode, plain

if TYPE_CHECKING:
    from tests.fleet.nginx import Nginx

modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)


MEASURED = """
import asyncio, json, resource, sys
from tests.sending.support import ALL_MODES, plain
name, url, source, target, size = sys.argv[1:]
mode = next(mode for mode in ALL_MODES if mode.name == name)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with mode.sending():
    storage = plain(url)
    mode.call(storage, "put", source, "big")
    got = mode.call(storage, "download", target, "big")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([got, (after - before) // 1024]))
"""


@modes
def test_memory(mode: Mode, nginx: Nginx, tmp_path: Path) -> None:
    """A hundred megabytes go up and come down in the memory of a few."""
    size = 100 * 1024 * 1024
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(size)
    command = [
        sys.executable,
        "-c",
        MEASURED,
        mode.name,
        nginx.open_url,
        str(source),
        str(tmp_path / "target"),
        str(size),
    ]
    done = subprocess.run(
        command, check=True, timeout=50, capture_output=True, cwd=Path(__file__).parents[2]
    )
    got, grown = json.loads(done.stdout)
    assert size == got == (tmp_path / "target").stat().st_size
    assert grown < 40


@modes
def test_large_bytes(mode: Mode, nginx: Nginx) -> None:
    """A large artifact in memory is sent without being copied again and again."""
    body = bytes(64 * 1024 * 1024)
    with mode.sending():
        storage = plain(nginx.open_url)
        assert storage.get(mode.call(storage, "put", body, "large")) == body
