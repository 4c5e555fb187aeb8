"""Start a server program on free loopback ports, wait until it answers, and end it by its pid."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
FLEET = ROOT / ".fleet"
CONF = Path(__file__).parent / "conf"
READY_WITHIN = 30.0
STOPPED_WITHIN = 5.0


class MissingServerError(Exception):
    """A server that the tests need is not installed on this machine."""

    def __init__(self, server: str) -> None:
        """Say which server, and how to install it."""
        super().__init__(f"missing server: {server} (tests/fleet/install installs it)")


def find_program(name: str, server: str) -> Path:
    """Find a program below `.fleet` or on the path, where servers live in `sbin`."""
    places = [FLEET / "venv/bin", FLEET / "npm/node_modules/.bin"]
    system = [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"]
    found = shutil.which(name, path=os.pathsep.join([*map(str, places), *system]))
    if found is None:
        raise MissingServerError(server)
    return Path(found)


def free_ports(count: int) -> list[int]:
    """Choose ports nobody listens on; all are held at once, so no two are equal."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def write_conf(name: str, target: Path, values: Mapping[str, object]) -> Path:
    """Copy a configuration from `conf/`, with each `@name@` replaced by its value."""
    text = (CONF / name).read_text()
    target.write_text(re.sub(r"@(\w+)@", lambda match: str(values[match[1]]), text))
    return target


def is_root() -> bool:
    """Whether servers can, and some must, change to another user."""
    return os.geteuid() == 0


@contextlib.contextmanager
def running(
    command: Sequence[object],
    ready: Callable[[], bool],
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Run a server while the block runs; enter the block when it is ready.

    Raises:
        RuntimeError: It ended at once, or was not ready in time; with the end of its log.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, ready, log)
        yield process.pid
    finally:
        _stop(process)


def _wait_until_ready(
    process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path
) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while not ready():
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            what = "ended" if ended else "is not ready"
            raise RuntimeError(f"{process.args!r} {what}:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOPPED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
