"""Connections that are refused, reset, closed, silent or slow."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.faults.places import SIZE, Place, filled
from tests.faults.seen import Seen, download, upload
from tests.fleet.process import free_ports
from tests.sending.support import HTTPX, HTTPX_ASYNC, REQUESTS, Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.faults.conftest import TakeRow
    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.tcpfault import Mode as Break

HALF = SIZE // 2
LARGE = 16_000_000
"""More bytes than the system takes before anybody reads them."""
SHORT = (5, 0.1)
LONGER = (5, 0.6)

UP_WAYS = {
    "nginx-httpx": ("at_nginx", HTTPX),
    "apache-httpx": ("at_apache", HTTPX),
    "swift-httpx-async": ("at_swift", HTTPX_ASYNC),
    "registry-requests": ("at_registry", REQUESTS),
}
DOWN_WAYS = {**UP_WAYS, "registry-requests": ("at_blobs", REQUESTS)}


Origin = str


class Way(NamedTuple):
    """A server, and how it is called."""

    place: Place
    mode: Mode


@pytest.fixture(params=UP_WAYS)
def up_way(request: pytest.FixtureRequest) -> Way:
    """Each server to store on, and each way to call one."""
    name, mode = UP_WAYS[request.param]
    return Way(request.getfixturevalue(name), mode)


@pytest.fixture(params=DOWN_WAYS)
def down_way(request: pytest.FixtureRequest) -> Way:
    """Each server to fetch from, and each way to call one."""
    name, mode = DOWN_WAYS[request.param]
    return Way(request.getfixturevalue(name), mode)


class Broken(NamedTuple):
    """A fault of the relay, and what is to come of it.

    Attributes:
        fault: What the table calls it.
        mode: How the relay breaks connections.
        after: After how many bytes.
        times: How many connections; None for all.
        expected: What is seen.
        timeout: Seconds to connect, and to wait.
        special: What is seen at some servers instead.
    """

    fault: str
    mode: Break
    after: int
    times: int | None
    expected: Seen
    timeout: tuple[float, float] = (5, 10)
    special: Mapping[str, Seen] = MappingProxyType({})

    def __str__(self) -> str:
        """Return what the table calls it."""
        return self.fault if self.times is None else f"{self.fault}, the first time"

    def seen_at(self, place: Place) -> Seen:
        """Return what is to be seen at a server."""
        return self.special.get(place.name, self.expected)


SERVER_SAYS_SO = ("Apache", "Swift", "docker-registry")
"""Those that answer when a request ends too early."""

REFUSED = Seen("ResponseError", 1, "old")
STORED = Seen("stored", 2, "new")

UPLOADS = [
    Broken("reset at once", "reset-upload", 0, None, Seen("ProtocolError", 3, "old")),
    Broken("reset at once", "reset-upload", 0, 1, STORED),
    Broken("reset within the body", "reset-upload", HALF, None, Seen("ProtocolError", 3, "old")),
    Broken("reset within the body", "reset-upload", HALF, 1, STORED),
    Broken("reset after the body", "reset", 0, None, Seen("ProtocolError", 3, "new")),
    Broken("reset after the body", "reset", 0, 1, STORED),
    Broken(
        "half-closed within the body",
        "half-close-upload",
        HALF,
        None,
        Seen("ProtocolError", 3, "old"),
        special=dict.fromkeys(SERVER_SAYS_SO, REFUSED),
    ),
    Broken(
        "half-closed within the body",
        "half-close-upload",
        HALF,
        1,
        STORED,
        special=dict.fromkeys(SERVER_SAYS_SO, REFUSED),
    ),
    Broken("half-closed after the body", "half-close", 0, None, Seen("ProtocolError", 3, "new")),
    Broken("half-closed after the body", "half-close", 0, 1, STORED),
    Broken(
        "stall within the body", "stall-upload", HALF, None, Seen("TimedOutError", 3, "old"), SHORT
    ),
    Broken("stall within the body", "stall-upload", HALF, 1, STORED, LONGER),
    Broken("stall after the body", "stall", 0, None, Seen("TimedOutError", 3, "new"), SHORT),
    Broken("stall after the body", "stall", 0, 1, STORED, LONGER),
    Broken("slow", "slow-upload", 10 * SIZE, None, Seen("stored", 1, "new")),
    Broken("black hole", "blackhole", 0, None, Seen("TimedOutError", 3, "old"), SHORT),
]

FETCHED = Seen("fetched", 2, "new")
EARLY = 2000
"""After so many bytes of an answer so few have come that it is not worth another attempt."""

CUT_REQUESTS = {"Swift": Seen("AuthenticationError", 1, "old"), "docker-registry": REFUSED}
"""Those that answer to the beginning of a request, one even before it has seen the credential."""

DOWNLOADS = [
    Broken("reset at once", "reset-upload", 0, None, Seen("ProtocolError", 3, "old")),
    Broken("reset at once", "reset-upload", 0, 1, FETCHED),
    Broken("reset before the body", "reset", 0, None, Seen("ProtocolError", 3, "old")),
    Broken("reset before the body", "reset", 0, 1, FETCHED),
    Broken("reset within the body", "reset", EARLY, None, Seen("ProtocolError", 3, "old")),
    Broken("reset within the body", "reset", HALF, 1, FETCHED),
    Broken("half-closed before the body", "half-close", 0, None, Seen("ProtocolError", 3, "old")),
    Broken("half-closed before the body", "half-close", 0, 1, FETCHED),
    Broken(
        "half-closed within the body", "half-close", EARLY, None, Seen("ProtocolError", 3, "old")
    ),
    Broken("half-closed within the body", "half-close", HALF, 1, FETCHED),
    Broken(
        "half-closed within the request",
        "half-close-upload",
        20,
        None,
        Seen("ProtocolError", 3, "old"),
        special=CUT_REQUESTS,
    ),
    Broken(
        "half-closed within the request",
        "half-close-upload",
        20,
        1,
        FETCHED,
        special=CUT_REQUESTS,
    ),
    Broken("cut off within the body", "cut", EARLY, None, Seen("ProtocolError", 3, "old")),
    Broken("cut off within the body", "cut", HALF, 1, FETCHED),
    Broken("stall before the body", "stall", 0, None, Seen("TimedOutError", 3, "old"), SHORT),
    Broken("stall before the body", "stall", 0, 1, FETCHED, LONGER),
    Broken("stall within the body", "stall", EARLY, None, Seen("TimedOutError", 3, "old"), SHORT),
    Broken("stall within the body", "stall", HALF, 1, FETCHED, LONGER),
    Broken("slow", "slow", 10 * SIZE, None, Seen("fetched", 1, "new")),
    Broken("black hole", "blackhole", 0, None, Seen("TimedOutError", 3, "old"), SHORT),
]


@pytest.mark.parametrize("broken", UPLOADS, ids=str)
def test_uploads(up_way: Way, broken: Broken, tcpfault: StartTcpFault, row: TakeRow) -> None:
    """What breaks on the way up is sent again, and what is there is old or new."""
    way = up_way
    if broken.timeout == LONGER and way.place.name != "nginx":
        return  # one server is enough to wait for
    relay = tcpfault(way.place.port, broken.mode, broken.after, broken.times)
    storage = way.place.storage(relay.url, timeout=broken.timeout)
    seen = upload(way.place, way.mode, storage, settle=lambda: relay.reached.wait(30))
    assert broken.seen_at(way.place) == seen, seen
    row(str(broken), "up", way.place.name, seen)


@pytest.mark.parametrize("broken", DOWNLOADS, ids=str)
def test_downloads(
    down_way: Way, broken: Broken, tcpfault: StartTcpFault, tmp_path: Path, row: TakeRow
) -> None:
    """What breaks on the way down is fetched again, and the file is old or new."""
    way = down_way
    if broken.timeout == LONGER and way.place.name != "nginx":
        return  # one server is enough to wait for
    relay = tcpfault(way.place.port, broken.mode, broken.after, broken.times)
    storage = way.place.storage(relay.url, timeout=broken.timeout)
    seen = download(way.place, way.mode, storage, tmp_path)
    assert broken.seen_at(way.place) == seen, seen
    row(str(broken), "down", way.place.name, seen)


@pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC, REQUESTS], ids=lambda mode: mode.name)
def test_stall_of_more_than_is_buffered(
    at_nginx: Place, mode: Mode, tcpfault: StartTcpFault, row: TakeRow
) -> None:
    """Who takes no more of a body is not waited for."""
    place = replace(at_nginx, content=partial(filled, size=LARGE))
    relay = tcpfault(place.port, "stall-upload", HALF)
    seen = upload(place, mode, place.storage(relay.url, timeout=(0.5, 0.1)))
    assert Seen("TimedOutError", 3, "old") == seen, seen
    row("stall within a body of 16 MB", "up", place.name, seen)


# --- no server -----------------------------------------------------------------------------------


@pytest.fixture
def refusing() -> Origin:
    """An origin at which nobody listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def unknown() -> Origin:
    """An origin whose name nobody knows (RFC 6761, section 6.4)."""
    return "https://service.invalid"


@pytest.fixture
def full() -> Iterator[Origin]:
    """An origin that takes no more connections: those that wait to be accepted are too many."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listening.getsockname()
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


NOWHERE = {
    "refusing": "connection refused",
    "unknown": "name that nobody knows",
    "full": "black hole: no connection is made",
}


@pytest.mark.parametrize("origin", NOWHERE)
@pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC, REQUESTS], ids=lambda mode: mode.name)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_no_server(
    at_nginx: Place,
    request: pytest.FixtureRequest,
    origin: str,
    mode: Mode,
    direction: str,
    tmp_path: Path,
    row: TakeRow,
) -> None:
    """Where no connection is made everything stays as it was."""
    storage = at_nginx.storage(request.getfixturevalue(origin), timeout=(0.1, 5))
    if direction == "up":
        seen = upload(at_nginx, mode, storage)
    else:
        seen = download(at_nginx, mode, storage, tmp_path)
    assert Seen("ConnectError", 3, "old") == seen, seen
    row(NOWHERE[origin], direction, "none", seen)
