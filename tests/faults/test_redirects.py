"""Redirects by a real server: whether the artifact arrives, and whether a credential gets away."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.faults.seen import Seen, download, upload
from tests.sending.support import HTTPX, REQUESTS, Mode, plain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import TakeRow
    from tests.faults.places import Place
    from tests.fleet.mitm import Mitm
    from tests.fleet.nginx import Nginx
    from tests.fleet.recorder import Recorder

modes = pytest.mark.parametrize("mode", [HTTPX, REQUESTS], ids=lambda mode: mode.name)
TO_GET, KEEPING = (301, 302, 303), (307, 308)
REFUSED = Seen("RedirectRefusedError", 1, "old")
STORED, FETCHED = Seen("stored", 1, "new"), Seen("fetched", 1, "new")


class Case(NamedTuple):
    """Where a server sends a request, and what is to come of it."""

    codes: tuple[int, ...]
    where: str
    direction: str
    expected: Seen

    def __str__(self) -> str:
        """Return what the table calls it."""
        *others, last = map(str, self.codes)
        return f"{' '.join(others)} and {last} to {self.where}"


HERE, ELSEWHERE, DOWN = "the same origin", "another origin", "http from https"
CASES = [
    Case(TO_GET, HERE, "up", REFUSED),
    Case(KEEPING, HERE, "up", STORED),
    Case(TO_GET, ELSEWHERE, "up", REFUSED),
    Case(KEEPING, ELSEWHERE, "up", REFUSED),
    Case(TO_GET, DOWN, "up", REFUSED),
    Case(KEEPING, DOWN, "up", REFUSED),
    Case(TO_GET, HERE, "down", FETCHED),
    Case(KEEPING, HERE, "down", FETCHED),
    Case(TO_GET, ELSEWHERE, "down", REFUSED),
    Case(KEEPING, ELSEWHERE, "down", REFUSED),
    Case(TO_GET, DOWN, "down", REFUSED),
    Case(KEEPING, DOWN, "down", REFUSED),
]


@modes
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.direction}: {case}")
def test_redirects(
    nginx: Nginx,
    at_nginx: Place,
    recorder: Recorder,
    mode: Mode,
    case: Case,
    tmp_path: Path,
    row: TakeRow,
) -> None:
    """No redirect loses an artifact, and none takes a credential away.

    A store goes to no other host, not even to one from which may be fetched.
    """
    hosts = ["127.0.0.1"] if case.direction == "up" else []
    target = recorder.url if case.where == ELSEWHERE else f"{nginx.url}{at_nginx.path}"
    seen = set()
    for code in case.codes:
        origin = nginx.redirect(code, target, tls=case.where == DOWN)
        storage = plain(
            origin, **at_nginx.kwargs, verify=str(nginx.pki.ca), with_redirect_hosts=hosts
        )
        if case.direction == "up":
            seen.add(upload(at_nginx, mode, storage))
        else:
            seen.add(download(at_nginx, mode, storage, tmp_path))
    assert {case.expected} == seen
    assert [] == recorder.requests
    row(str(case), case.direction, at_nginx.name, case.expected)


@modes
@pytest.mark.parametrize("code", [*TO_GET, *KEEPING])
def test_allowed_host(
    nginx: Nginx,
    at_nginx: Place,
    recorder: Recorder,
    mode: Mode,
    code: int,
    tmp_path: Path,
    row: TakeRow,
) -> None:
    """From a host that is allowed one fetches, and it gets to see no credential."""
    key = "elsewhere.bin"
    recorder.stored[f"/{key}"] = at_nginx.content("new")
    storage = plain(
        nginx.redirect(code, recorder.url), **at_nginx.kwargs, with_redirect_hosts=["127.0.0.1"]
    )
    seen = download(at_nginx, mode, storage, tmp_path, key=key)
    assert seen == FETCHED
    (request,) = recorder.requests
    assert nginx.token not in str(request)
    row("redirect to another origin that is allowed", "down", at_nginx.name, seen)


@modes
@pytest.mark.parametrize("direction", ["up", "down"])
def test_loop(
    nginx: Nginx, at_nginx: Place, mode: Mode, direction: str, tmp_path: Path, row: TakeRow
) -> None:
    """A circle is left."""
    storage = plain(f"{nginx.url}/f/loop", **at_nginx.kwargs)
    if direction == "up":
        seen = upload(at_nginx, mode, storage)
    else:
        seen = download(at_nginx, mode, storage, tmp_path)
    assert seen == REFUSED
    row("redirect to itself", direction, at_nginx.name, seen)


@modes
@pytest.mark.parametrize("direction", ["up", "down"])
def test_attempts_before(
    nginx: Nginx,
    at_nginx: Place,
    mitm: Mitm,
    mode: Mode,
    direction: str,
    tmp_path: Path,
    row: TakeRow,
) -> None:
    """A redirect that is refused tells of the attempts before it."""
    redirect = nginx.redirect(302, "http://localhost:9").removeprefix(nginx.url)
    storage = plain(mitm.before(nginx.url, "busy,503,2,none") + redirect, **at_nginx.kwargs)
    if direction == "up":
        seen = upload(at_nginx, mode, storage)
    else:
        seen = download(at_nginx, mode, storage, tmp_path)
    assert Seen("RedirectRefusedError", 3, "old") == seen, seen
    row("503 twice, then 302 to another origin", direction, at_nginx.name, seen)
