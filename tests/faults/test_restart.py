"""A server that is killed in the middle of an artifact, and is there again for the next attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.places import SIZE, on_blobs, on_nginx, on_registry
from tests.faults.seen import Seen, download, upload
from tests.sending.support import HTTPX, REQUESTS, Mode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.conftest import TakeRow
    from tests.faults.places import Place
    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.nginx import Nginx
    from tests.fleet.registry import Registry
    from tests.fleet.tcpfault import Mode as Break

modes = pytest.mark.parametrize("mode", [HTTPX, REQUESTS], ids=lambda mode: mode.name)
servers = pytest.mark.parametrize("server", ["mortal_nginx", "mortal_registry"])
MAKES: dict[tuple[str, str], Callable[[Any], Place]] = {
    ("mortal_nginx", "up"): on_nginx,
    ("mortal_nginx", "down"): on_nginx,
    ("mortal_registry", "up"): on_registry,
    ("mortal_registry", "down"): on_blobs,
}


@modes
@servers
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("comes_back", [True, False])
def test_killed(
    request: pytest.FixtureRequest,
    server: str,
    direction: str,
    mode: Mode,
    tcpfault: StartTcpFault,
    tmp_path: Path,
    row: TakeRow,
    *,
    comes_back: bool,
) -> None:
    """The next attempt finds the server as it was, or none."""
    mortal: Nginx | Registry = request.getfixturevalue(server)
    place = MAKES[server, direction](mortal)
    process = mortal.process
    kill = process.restart if comes_back else process.kill
    break_: Break = "cut" if direction == "down" else "reset-upload"
    relay = tcpfault(place.port, break_, SIZE // 2, times=1, meanwhile=kill)
    storage = place.storage(relay.url)
    back = bool if comes_back else process.start
    if direction == "up":
        seen = upload(place, mode, storage, settle=back)
    else:
        seen = download(place, mode, storage, tmp_path)
    done = Seen("stored" if direction == "up" else "fetched", 2, "new")
    assert (done if comes_back else Seen("ProtocolError", 3, "old")) == seen, seen
    fault = "killed and started again" if comes_back else "killed"
    row(f"server {fault} within the body", direction, place.name, seen)
