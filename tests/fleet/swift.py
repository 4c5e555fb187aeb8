"""OpenStack Swift: its own API, signed URLs, and an S3 that verifies every signature."""

from __future__ import annotations

import contextlib
import getpass
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.fleet.process import find_program, free_ports, is_root, listens, running, write_conf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

KINDS = ("object", "container", "account")


@dataclass(frozen=True)
class Swift:
    """A running Swift.

    Attributes:
        url: Origin of both APIs; it is also the S3 endpoint (path style).
        user: Account and user; the S3 access key.
        password: The user's key; the S3 secret key.
    """

    url: str
    user: str = "test:tester"
    password: str = "testing"
    reader: str = "test:reader"
    reader_password: str = "reading"
    region: str = "us-east-1"

    @property
    def auth_url(self) -> str:
        """Where `X-Auth-User` and `X-Auth-Key` become a token and a storage URL."""
        return f"{self.url}/auth/v1.0"


@contextlib.contextmanager
def serve_swift(directory: Path) -> Iterator[Swift]:
    """Run one proxy, one server of each kind, and the cache that keeps the tokens."""
    memcached = find_program("memcached", "memcached")
    proxy = find_program("swift-proxy-server", "swift")
    port, cache_port, *storage_ports = free_ports(2 + len(KINDS))
    (directory / "devices/d1").mkdir(parents=True)
    values = {"dir": directory, "user": getpass.getuser(), "memcached_port": cache_port}
    write_conf("swift.conf", directory / "swift.conf", values)
    kinds = dict(zip(KINDS, storage_ports, strict=True))
    _write_rings(proxy.parent / "python", directory, kinds)

    with contextlib.ExitStack() as servers:

        def start(ready: Callable[[], bool], *command: object) -> None:
            servers.enter_context(running(command, ready, directory / "log"))

        user = ("-u", "root") if is_root() else ()
        cache = (memcached, *user, "-l", "127.0.0.1", "-p", cache_port, "-m", "16")
        start(lambda: listens(cache_port), *cache)
        for kind, kind_port in kinds.items():
            storage = {**values, "kind": kind, "port": kind_port}
            conf = write_conf("swift-storage.conf", directory / f"{kind}.conf", storage)
            program = proxy.with_name(f"swift-{kind}-server")
            # Nobody waits here: all four start side by side, and the last one waits for all.
            start(lambda: True, program, conf, f"swift_dir={directory}")
        conf = write_conf("swift-proxy.conf", directory / "proxy.conf", {**values, "port": port})
        ports = (port, *storage_ports)
        start(lambda: _are_well(ports), proxy, conf, f"swift_dir={directory}")
        yield Swift(f"http://127.0.0.1:{port}")


def _write_rings(python: Path, directory: Path, kinds: dict[str, int]) -> None:
    rings = [f"{kind}={port}" for kind, port in kinds.items()]
    script = Path(__file__).with_name("swift_rings.py")
    # Isolated, or the script's own directory offers it this module as Swift's package.
    subprocess.run([python, "-I", script, directory, *rings], check=True, timeout=60)


def _are_well(ports: Sequence[int]) -> bool:
    if not all(map(listens, ports)):
        return False
    answer = httpx.get(f"http://127.0.0.1:{ports[0]}/healthcheck", trust_env=False, timeout=10)
    return answer.text == "OK"
