"""Answers and bodies that somebody on the way spoils, or that say that it is not the time."""

from __future__ import annotations

import asyncio
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.faults.places import SIZE, Place
from tests.faults.seen import Seen, download, upload
from tests.sending.support import HTTPX, HTTPX_ASYNC, REQUESTS, Mode, plain
from webhook_storage import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.faults.conftest import TakeRow
    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.mitm import Mitm
    from tests.fleet.nginx import Nginx

modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC, REQUESTS], ids=lambda mode: mode.name)
clients = pytest.mark.parametrize("mode", [HTTPX, REQUESTS], ids=lambda mode: mode.name)
STORED, FETCHED = Seen("stored", 1, "new"), Seen("fetched", 1, "new")


# --- not now -------------------------------------------------------------------------------------


class Busy(NamedTuple):
    """A server that is too busy.

    Attributes:
        fault: What the table calls it.
        status: What it answers.
        wish: What it says by `Retry-After`.
        low: Seconds that are waited at least.
        high: Seconds that are waited at most, before the turn of this request comes.
    """

    fault: str
    status: int
    wish: str
    low: float
    high: float


TURN = 0.1
BUSY = [
    Busy("503 twice", 503, "none", 0, 1),
    Busy("503 twice, Retry-After in seconds", 503, "seconds", 1, 1),
    Busy("503 twice, Retry-After as a date", 503, "date", 0, 2),
    Busy("503 twice, Retry-After of an hour ago by a wrong clock", 503, "past", 0, 0),
    Busy("503 twice, Retry-After of tomorrow by a wrong clock", 503, "future", 7, 7),
    Busy("429 twice, Retry-After in seconds", 429, "seconds", 1, 1),
]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would be waited between attempts; nobody waits."""
    asked: list[float] = []

    async def anap(seconds: float) -> None:
        """Do not sleep."""
        asked.append(seconds)

    monkeypatch.setattr(time, "sleep", asked.append)
    monkeypatch.setattr(asyncio, "sleep", anap)
    return asked


@modes
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("busy", BUSY, ids=lambda busy: busy.fault)
def test_busy_twice(
    at_nginx: Place,
    mitm: Mitm,
    mode: Mode,
    busy: Busy,
    direction: str,
    pauses: list[float],
    tmp_path: Path,
    row: TakeRow,
) -> None:
    """Who is too busy twice is asked a third time, when it said so and not later than we wait."""
    origin = mitm.before(at_nginx.origin, f"busy,{busy.status},2,{busy.wish}")
    storage = at_nginx.storage(origin)
    policy = RetryPolicy(attempts=3, initial_delay=0.5, max_delay=7)
    if direction == "up":
        seen = upload(at_nginx, mode, storage, retry=policy)
    else:
        seen = download(at_nginx, mode, storage, tmp_path, retry=policy)
    assert Seen("stored" if direction == "up" else "fetched", 3, "new") == seen, seen
    assert 2 * busy.low <= sum(pauses) <= 2 * (busy.high + TURN), pauses
    assert [SIZE if direction == "up" else 0] * 3 == mitm.seen(origin).sizes
    row(busy.fault, direction, at_nginx.name, seen)


@modes
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_busy_for_ever(
    nginx: Nginx,
    at_nginx: Place,
    mode: Mode,
    status: int,
    direction: str,
    tmp_path: Path,
    row: TakeRow,
) -> None:
    """Who is always too busy is asked no more often than the policy says."""
    storage = plain(nginx.status(status, "1"), **at_nginx.kwargs)
    if direction == "up":
        seen = upload(at_nginx, mode, storage)
    else:
        seen = download(at_nginx, mode, storage, tmp_path)
    expected = "ServerError" if status == 503 else "RateLimitedError"
    assert Seen(expected, 3, "old") == seen, seen
    row(f"{status} each time", direction, at_nginx.name, seen)


# --- altered -------------------------------------------------------------------------------------


NOTHING: Mapping[str, Any] = MappingProxyType({})


class Spoiled(NamedTuple):
    """What a proxy does, and what is to come of it.

    Attributes:
        fault: What the table calls it.
        spoil: What the proxy is told.
        expected: What is seen.
        place: The fixture of the server.
        options: Of the storage.
        how: Of the operation.
        cut: After how many bytes of an answer another relay ends the connection, None for never.
        times: How many connections it ends.
    """

    fault: str
    spoil: str
    expected: Seen
    place: str = "at_nginx"
    options: Mapping[str, Any] = NOTHING
    how: Mapping[str, Any] = NOTHING
    cut: int | None = None
    times: int | None = None


ALTERED, PART = "neither old nor new", "a part of new"
AFTER = {"verify": "after"}
RECEIPT = {"by_receipt": True}
QUICK = {"timeout": (5, 0.2)}
BY_ETAG = {"with_checksum": "ETag"}

UPLOADS = [
    Spoiled("body altered, not verified", "alter-up", Seen("stored", 1, ALTERED)),
    Spoiled(
        "body altered, verified after", "alter-up", Seen("IntegrityError", 1, ALTERED), how=AFTER
    ),
    Spoiled(
        "body altered, checksum sent along",
        "alter-up",
        Seen("ResponseError", 1, "old"),
        "at_swift",
        BY_ETAG,
    ),
    Spoiled(
        "Content-Length too large", "length-up,100", Seen("TimedOutError", 3, "old"), options=QUICK
    ),
    Spoiled("Content-Length too small, not verified", "length-up,-100", Seen("stored", 1, PART)),
    Spoiled(
        "Content-Length too small, verified after",
        "length-up,-100",
        Seen("IntegrityError", 1, PART),
        how=AFTER,
    ),
    Spoiled(
        "Content-Length too small, checksum sent along",
        "length-up,-100",
        Seen("ResponseError", 1, "old"),
        "at_swift",
        BY_ETAG,
    ),
    Spoiled("closed by a proxy", "kill,9", Seen("ProtocolError", 3, "old")),
    Spoiled("closed by a proxy, the first time", "kill,1", Seen("stored", 2, "new")),
]
DOWNLOADS = [
    Spoiled("body altered, no receipt", "alter-down", Seen("fetched", 1, ALTERED)),
    Spoiled(
        "body altered, receipt given", "alter-down", Seen("IntegrityError", 1, "old"), how=RECEIPT
    ),
    Spoiled(
        "body altered, digest answered", "alter-down", Seen("IntegrityError", 3, "old"), "at_blobs"
    ),
    Spoiled(
        "Content-Length too large",
        "length-down,100",
        Seen("TimedOutError", 3, "old"),
        options=QUICK,
    ),
    Spoiled("Content-Length too small, no receipt", "length-down,-100", Seen("fetched", 1, PART)),
    Spoiled(
        "Content-Length too small, receipt given",
        "length-down,-100",
        Seen("IntegrityError", 1, "old"),
        how=RECEIPT,
    ),
    Spoiled(
        "Content-Length too small, digest answered",
        "length-down,-100",
        Seen("IntegrityError", 3, "old"),
        "at_blobs",
    ),
    Spoiled("gzip, though identity was asked for; no receipt", "gzip", Seen("fetched", 1, ALTERED)),
    Spoiled(
        "gzip, though identity was asked for; receipt given",
        "gzip",
        Seen("IntegrityError", 1, "old"),
        how=RECEIPT,
    ),
    Spoiled("no Content-Length", "unframed", FETCHED),
    Spoiled(
        "truncated, no Content-Length, no receipt",
        "unframed",
        Seen("fetched", 1, PART),
        cut=SIZE // 2,
    ),
    Spoiled(
        "truncated, no Content-Length, receipt given",
        "unframed",
        Seen("IntegrityError", 1, "old"),
        how=RECEIPT,
        cut=SIZE // 2,
    ),
    Spoiled("chunked", "chunked", FETCHED),
    Spoiled("truncated, chunked", "chunked", Seen("ProtocolError", 3, "old"), cut=2000),
    Spoiled(
        "truncated, chunked, the first time",
        "chunked",
        Seen("fetched", 2, "new"),
        cut=SIZE // 2,
        times=1,
    ),
    Spoiled("closed by a proxy", "kill,9", Seen("ProtocolError", 3, "old")),
    Spoiled("closed by a proxy, the first time", "kill,1", Seen("fetched", 2, "new")),
]


@clients
@pytest.mark.parametrize("spoiled", UPLOADS, ids=lambda spoiled: spoiled.fault)
def test_uploads(
    request: pytest.FixtureRequest, mitm: Mitm, mode: Mode, spoiled: Spoiled, row: TakeRow
) -> None:
    """What a proxy does to a body on its way up."""
    place: Place = request.getfixturevalue(spoiled.place)
    storage = place.storage(mitm.before(place.origin, spoiled.spoil), **spoiled.options)
    seen = upload(place, mode, storage, **spoiled.how)
    assert spoiled.expected == seen, seen
    row(spoiled.fault, "up", place.name, seen)


@clients
@pytest.mark.parametrize("spoiled", DOWNLOADS, ids=lambda spoiled: spoiled.fault)
def test_downloads(
    request: pytest.FixtureRequest,
    mitm: Mitm,
    tcpfault: StartTcpFault,
    mode: Mode,
    spoiled: Spoiled,
    tmp_path: Path,
    row: TakeRow,
) -> None:
    """What a proxy does to a body on its way down."""
    place: Place = request.getfixturevalue(spoiled.place)
    origin = mitm.before(place.origin, spoiled.spoil)
    if spoiled.cut is not None:
        relay = tcpfault(mitm.port, "cut", spoiled.cut, spoiled.times)
        origin = origin.replace(mitm.url, relay.url)
    storage = place.storage(origin, **spoiled.options)
    seen = download(place, mode, storage, tmp_path, **spoiled.how)
    assert spoiled.expected == seen, seen
    row(spoiled.fault, "down", place.name, seen)


# --- answered before the body --------------------------------------------------------------------


@clients
def test_answered_before_the_body(nginx: Nginx, at_nginx: Place, mode: Mode, row: TakeRow) -> None:
    """Who refuses a body before it has come is heard."""
    seen = upload(at_nginx, mode, at_nginx.storage(nginx.small_url))
    assert Seen("TooLargeError", 1, "old") == seen, seen
    row("413 before the body", "up", at_nginx.name, seen)


EXPECTATIONS = [
    ("100-continue asked for, given", "at_nginx", "100-continue", STORED),
    ("100-continue asked for, given", "at_apache", "100-continue", STORED),
    ("100-continue asked for, given", "at_registry", "100-continue", STORED),
    ("417 to Expect", "at_apache", "something-else", Seen("ResponseError", 1, "old")),
]


@clients
@pytest.mark.parametrize(("fault", "server", "expectation", "expected"), EXPECTATIONS)
def test_expect(
    request: pytest.FixtureRequest,
    mode: Mode,
    fault: str,
    server: str,
    expectation: str,
    expected: Seen,
    row: TakeRow,
) -> None:
    """A server may promise to take the body, or refuse what is expected of it."""
    place: Place = request.getfixturevalue(server)
    headers = {**place.kwargs.get("headers", {}), "Expect": expectation}
    seen = upload(place, mode, place.storage(headers=headers))
    assert expected == seen, seen
    row(fault, "up", place.name, seen)


@clients
def test_100_continue_refused(nginx: Nginx, at_nginx: Place, mode: Mode, row: TakeRow) -> None:
    """Who refuses to take the body that it was to promise is heard."""
    headers = {**at_nginx.kwargs["headers"], "Expect": "100-continue"}
    seen = upload(at_nginx, mode, at_nginx.storage(nginx.small_url, headers=headers))
    assert Seen("TooLargeError", 1, "old") == seen, seen
    row("100-continue asked for, 413 given", "up", at_nginx.name, seen)
