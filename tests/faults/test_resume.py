"""Downloads that go on where they broke off: on how many attempts, and which bytes came twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

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


@modes
@pytest.mark.parametrize("by_receipt", [False, True])
@pytest.mark.parametrize("same_second", [False, True])
def test_replaced_meanwhile(
    at_nginx: Place,
    nginx: Nginx,
    mode: Mode,
    tcpfault: StartTcpFault,
    tmp_path: Path,
    row: TakeRow,
    *,
    by_receipt: bool,
    same_second: bool,
) -> None:
    """What was replaced between two attempts is not put together from both.

    Unless the server says that they are the same: nginx names a version by second and size.
    """
    key, newer = at_nginx.key_of(b""), at_nginx.content("newer")

    def replace() -> None:
        path = nginx.data / "bearer" / key
        before = path.stat().st_mtime
        at_nginx.plant(key, newer)
        if same_second:
            os.utime(path, (before, before))

    relay = tcpfault(at_nginx.port, "cut", SIZE // 2, times=1, meanwhile=replace)
    storage = at_nginx.storage(relay.url)
    seen = download(at_nginx, mode, storage, tmp_path, key=key, by_receipt=by_receipt)
    if (tmp_path / "target.bin").read_bytes() == newer:
        seen = seen._replace(bytes="newer")
    fault = "replaced while it was fetched"
    if same_second:
        fault += " within a second by as many bytes"
    if by_receipt:
        expected = Seen("IntegrityError", 2, "old")
    else:
        expected = Seen("fetched", 2, "of both" if same_second else "newer")
        seen = seen._replace(bytes=seen.bytes.replace("neither old nor new", "of both"))
    assert expected == seen, seen
    receipt = "receipt given" if by_receipt else "no receipt"
    row(f"{fault}, and cut off; {receipt}", "down", at_nginx.name, seen)


def named(server: str, place: Place) -> str:
    """Tell the two places of the registry apart."""
    return f"{place.name} manifest" if server == "at_registry" else place.name
