"""Downloads that go on where they broke off: on how many attempts, and which bytes came twice."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.faults.places import SIZE
from tests.faults.seen import Seen, download
from tests.sending.support import HTTPX, HTTPX_ASYNC, REQUESTS, Mode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import TakeRow
    from tests.faults.places import Place
    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.nginx import Nginx

modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC, REQUESTS], ids=lambda mode: mode.name)
HEADERS = 2000
"""More bytes than the headers of all answers of a test."""

RESUMING = ["at_nginx", "at_apache", "at_blobs"]
RESTARTING = ["at_swift", "at_registry"]
"""Swift's validator has no quotes, and manifests know no ranges."""


@modes
@pytest.mark.parametrize("server", [*RESUMING, *RESTARTING])
def test_bytes_on_the_wire(
    request: pytest.FixtureRequest,
    server: str,
    mode: Mode,
    tcpfault: StartTcpFault,
    tmp_path: Path,
    row: TakeRow,
) -> None:
    """What has come does not come again, where the server can go on."""
    place: Place = request.getfixturevalue(server)
    relay = tcpfault(place.port, "cut", SIZE // 2, times=1)
    seen = download(place, mode, place.storage(relay.url), tmp_path)
    assert Seen("fetched", 2, "new") == seen, seen
    again = 0 if server in RESUMING else SIZE // 2
    assert SIZE + again < relay.answered < SIZE + again + HEADERS
    told = seen._replace(bytes="new, the first half twice" if again else "new, each once")
    row("cut off after half, bytes on the wire", "down", named(server, place), told)


@modes
@pytest.mark.parametrize("server", [*RESUMING, *RESTARTING])
def test_cut_off_again_and_again(
    request: pytest.FixtureRequest,
    server: str,
    mode: Mode,
    tcpfault: StartTcpFault,
    tmp_path: Path,
    row: TakeRow,
) -> None:
    """What goes on does not count as failing, however often it breaks off."""
    place: Place = request.getfixturevalue(server)
    relay = tcpfault(place.port, "cut", 270_000)
    seen = download(place, mode, place.storage(relay.url), tmp_path)
    goes_on = server in RESUMING
    expected = Seen("fetched", 4, "new") if goes_on else Seen("ProtocolError", 3, "old")
    assert expected == seen, seen
    row("cut off every 270 kB, three attempts", "down", named(server, place), seen)


class Replaced(NamedTuple):
    """How an artifact is replaced while it is fetched, and what is to come of it.

    Attributes:
        fault: What the table calls it.
        fresh: Whether it was stored just now.
        same_time: Whether the new one has the time of the old one, and as many bytes.
        there: Which bytes are there afterwards, without a receipt.
    """

    fault: str
    fresh: bool
    same_time: bool
    there: str


REPLACED = [
    Replaced("replaced while it was fetched", fresh=False, same_time=False, there="newer"),
    Replaced(
        "replaced within the second in which it was stored, while it was fetched",
        fresh=True,
        same_time=True,
        there="newer",
    ),
    Replaced(
        "replaced with the time of the old file, while it was fetched",
        fresh=False,
        same_time=True,
        there="of both",
    ),
]


@modes
@pytest.mark.parametrize("by_receipt", [False, True])
@pytest.mark.parametrize("replaced", REPLACED, ids=lambda replaced: replaced.fault)
def test_replaced_meanwhile(
    at_nginx: Place,
    nginx: Nginx,
    mode: Mode,
    replaced: Replaced,
    tcpfault: StartTcpFault,
    tmp_path: Path,
    row: TakeRow,
    *,
    by_receipt: bool,
) -> None:
    """What was replaced between two attempts is not put together from both.

    Unless the server says that they are the same: nginx names a version by second and size.
    """
    key, newer = at_nginx.key_of(b""), at_nginx.content("newer")
    path, now = nginx.data / "bearer" / key, int(time.time())

    def freshen() -> None:
        if replaced.fresh:
            os.utime(path, (now, now))

    def replace() -> None:
        before = path.stat().st_mtime
        at_nginx.plant(key, newer)
        if replaced.same_time:
            os.utime(path, (before, before))

    relay = tcpfault(at_nginx.port, "cut", SIZE // 2, times=1, meanwhile=replace)
    storage = at_nginx.storage(relay.url)
    seen = download(
        at_nginx, mode, storage, tmp_path, key=key, by_receipt=by_receipt, spoil=freshen
    )
    found = (tmp_path / "target.bin").read_bytes()
    there = "newer" if found == newer else seen.bytes.replace("neither old nor new", "of both")
    seen = seen._replace(bytes=there)
    expected = Seen("fetched", 2, replaced.there)
    if by_receipt:
        expected = Seen("IntegrityError", 2, "old")
    assert expected == seen, seen
    receipt = "receipt given" if by_receipt else "no receipt"
    row(f"{replaced.fault}, and cut off; {receipt}", "down", at_nginx.name, seen)


def named(server: str, place: Place) -> str:
    """Tell the two places of the registry apart."""
    return f"{place.name} manifest" if server == "at_registry" else place.name
