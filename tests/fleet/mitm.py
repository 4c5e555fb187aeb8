"""mitmproxy as a reverse proxy that spoils HTTP messages on purpose, in front of any server."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import httpx

from tests.fleet.process import FLEET, MissingServerError, free_ports, listens, running

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDON = Path(__file__).with_name("mitm_addon.py")


@dataclass(frozen=True)
class Spoiled:
    """What one fault has seen of the requests.

    Attributes:
        requests: How many there were.
        sizes: How many bytes the body of each had.
    """

    requests: int
    sizes: list[int]


@dataclass(frozen=True)
class Mitm:
    """A running proxy.

    Attributes:
        url: The origin.
    """

    url: str
    _serials: Iterator[int] = field(default_factory=itertools.count, repr=False)

    @property
    def port(self) -> int:
        """Return the port at which it listens."""
        return urlsplit(self.url).port or 0

    def before(self, upstream: str, fault: str) -> str:
        """Return the URL below which requests go to an origin, with a fault.

        Args:
            upstream: An origin on loopback.
            fault: Its name and arguments, see `mitm_addon`.
        """
        port = urlsplit(upstream).port
        return f"{self.url}/{next(self._serials)}/{quote(fault, safe=',:')}/{port}"

    def seen(self, place: str) -> Spoiled:
        """Return what the fault at such a URL has seen."""
        serial = urlsplit(place).path.split("/")[1]
        answer = httpx.get(f"{self.url}/{serial}/seen/0/", trust_env=False, timeout=10)
        return Spoiled(**json.loads(answer.raise_for_status().content))


@contextlib.contextmanager
def serve_mitm(directory: Path) -> Iterator[Mitm]:
    """Run mitmdump in a directory of its own."""
    program = FLEET / "mitm/bin/mitmdump"
    if not program.exists():
        raise MissingServerError("mitmproxy")
    directory.mkdir(parents=True)
    (port,) = free_ports(1)
    # The addon says where each request goes; port 9 is nobody's.
    settings = {
        "confdir": directory,
        "connection_strategy": "lazy",
        "keep_host_header": "true",
        "validate_inbound_headers": "false",
    }
    command = [program, "-q", "--mode", "reverse:http://127.0.0.1:9", "-s", ADDON]
    command += ["--listen-host", "127.0.0.1", "-p", port]
    command += [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    with running(command, lambda: listens(port), directory / "log"):
        yield Mitm(f"http://127.0.0.1:{port}")
