"""Downloads that break off: what has come stays, what is missing is fetched, nothing is mixed."""

from __future__ import annotations

import hashlib
import itertools
import os
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest

from tests.sending.raw import Answer, Call, RawServer, always, reply
from tests.sending.support import HTTPX, MODES, Mode, caught, plain
from webhook_storage import Receipt, Webhook
from webhook_storage import errors as e
from webhook_storage.contracts import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.nginx import Nginx
    from webhook_storage.contracts import AsyncWireResponse, WireRequest, WireResponse

KIB = 1024
BODY = hashlib.shake_128(b"some").digest(3000)
OTHER = hashlib.shake_128(b"other").digest(3000)
HALF = 1000
TAG = '"v1"'
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def whole(content: bytes = BODY, **headers: str) -> Answer:
    """Return an answer with all of an artifact."""
    return always(reply("200 OK", content, **{"ETag": TAG, **headers}))


def cut(content: bytes = BODY, at: int = HALF, **headers: str) -> Answer:
    """Return one that breaks off."""
    answer = reply("200 OK", content, **{"Connection": "close", "ETag": TAG, **headers})
    return always(answer[: len(answer) - len(content) + at])


def part(
    start: int = HALF,
    content: bytes = BODY,
    *,
    end: int | None = None,
    at: int | None = None,
    total: int | str | None = None,
    **headers: str,
) -> Answer:
    """Return an answer with the rest; it may end early, by its own word or by breaking off."""
    end = len(content) if end is None else end
    place = f"bytes {start}-{end - 1}/{len(content) if total is None else total}"
    named = {"ETag": TAG, "Content_Range": place, **headers}
    if at is not None:
        named["Connection"] = "close"
    answer = reply("206 Partial Content", content[start:end], **named)
    return always(answer if at is None else answer[: len(answer) - end + at])


def ranges(server: RawServer) -> list[str | None]:
    """Return what each request asked for; each header came once at most."""
    for call in server.calls:
        head = call.raw.partition(b"\r\n\r\n")[0].lower()
        assert head.count(b"\r\nrange:") == head.count(b"\r\nif-range:") <= 1
    return [call.headers.get("range") for call in server.calls]


def receipt_of(content: bytes) -> Receipt:
    """Return the receipt of a store."""
    return Receipt(
        key="k",
        location="http://127.0.0.1/${artifact.key}",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        build_time="2025-03-01t12-00-00-000000z",
    )


# --- the rest is fetched --------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("at", [1, HALF, len(BODY) - 1])
def test_the_rest_is_fetched(mode: Mode, tmp_path: Path, at: int) -> None:
    """What has come is not asked for again, and the digest is of both parts."""
    target = tmp_path / "copy"
    with RawServer(cut(at=at), part(at)).serving() as server, mode.sending(attempts=2):
        assert len(BODY) == mode.call(plain(server.url), "download", target, receipt_of(BODY))
    assert BODY == target.read_bytes()
    assert [None, f"bytes={at}-"] == ranges(server)
    assert TAG == server.last.headers["if-range"]


@modes
def test_what_breaks_off_at_once(mode: Mode) -> None:
    """Where nothing has come there is nothing to go on from."""
    with RawServer(cut(at=0), whole()).serving() as server, mode.sending(attempts=2):
        assert BODY == mode.call(plain(server.url), "get", "k")
    assert [None, None] == ranges(server)


@modes
def test_it_may_break_off_again(mode: Mode) -> None:
    """Each attempt goes on where the last one ended, also after one that brought nothing."""
    busy = always(reply("503 Busy"))
    answers = cut(), part(at=1500), busy, part(1500, at=1500), part(1500, at=2999), part(2999)
    with RawServer(*answers).serving() as server, mode.sending(attempts=6):
        assert BODY == mode.call(plain(server.url), "get", receipt_of(BODY))
    starts = [1000, 1500, 1500, 1500, 2999]
    assert [None, *(f"bytes={start}-" for start in starts)] == ranges(server)


@modes
def test_a_server_may_send_less_than_the_rest(mode: Mode) -> None:
    """A shorter part than was asked for is not taken for all, and what is missing is fetched."""
    answers = cut(), part(end=2000), part(2000)
    with RawServer(*answers).serving() as server, mode.sending(attempts=3):
        assert BODY == mode.call(plain(server.url), "get", "k")
    assert [None, "bytes=1000-", "bytes=2000-"] == ranges(server)


@modes
def test_an_answer_in_chunks(mode: Mode) -> None:
    """Of an answer whose length nobody said the end is known, and the rest is fetched."""
    head = (
        f"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: {TAG}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"3e8\r\n" + BODY[:HALF] + b"\r\n"
    answers = always(head.encode() + chunk), part()
    with RawServer(*answers).serving() as server, mode.sending(attempts=2):
        assert BODY == mode.call(plain(server.url), "get", "k")
    assert [None, "bytes=1000-"] == ranges(server)


@modes
@pytest.mark.parametrize(("checksum", "good"), [("", False), ("X-Checksum-Md5", True)])
def test_an_answer_that_ends_with_its_connection(mode: Mode, checksum: str, *, good: bool) -> None:
    """Nothing tells that it was cut but a checksum; then all of it is fetched anew."""
    md5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
    more = f"{checksum}: {md5}\r\n" if checksum else ""
    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: {TAG}\r\n{more}\r\n".encode()
    answers = always(head + BODY[:HALF]), always(head + BODY)
    with RawServer(*answers).serving() as server, mode.sending(attempts=2):
        assert (BODY if good else BODY[:HALF]) == mode.call(plain(server.url), "get", "k")
        assert [None, None][: 1 + good] == ranges(server)
        server.answers = [always(head + BODY[:HALF])]
        error = caught(partial(mode.call, plain(server.url), "get", receipt_of(BODY)))
    assert isinstance(error, e.IntegrityError)


NOW = "Sat, 01 Mar 2025 12:00:00 GMT"
LONG_AGO = "Sat, 01 Mar 2025 11:59:00 GMT"
JUST_NOW = "Sat, 01 Mar 2025 11:59:01 GMT"


def dated(make: Any, changed: str, *arguments: Any) -> Answer:
    """Return an answer that has the time of the last change, and no tag."""
    answer: bytes = make(*arguments, Last_Modified=changed, Date=NOW)(None)
    return always(answer.replace(f"ETag: {TAG}\r\n".encode(), b""))


@modes
def test_a_time_of_long_ago(mode: Mode) -> None:
    """A time of change is as good as a tag when it was a minute before the answer, or more."""
    answers = dated(cut, LONG_AGO), dated(part, LONG_AGO)
    with RawServer(*answers).serving() as server, mode.sending(attempts=2):
        assert BODY == mode.call(plain(server.url), "get", "k")
    assert [None, "bytes=1000-"] == ranges(server)
    assert LONG_AGO == server.last.headers["if-range"]


# --- it begins anew -------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize(
    "first",
    [
        cut(ETag=f"W/{TAG}"),
        cut(ETag="v1"),
        cut(ETag=f"W/{TAG}", Last_Modified=LONG_AGO, Date=NOW),
        dated(cut, JUST_NOW),
        dated(cut, NOW),
        dated(cut, "yesterday"),
    ],
    ids=["weak", "no tag", "weak and dated", "just now", "now", "no time"],
)
def test_without_a_strong_version_all_is_fetched(mode: Mode, first: Answer) -> None:
    """What may be another version by now is not put to the beginning of this one."""
    with RawServer(first, whole(OTHER)).serving() as server, mode.sending(attempts=2):
        assert OTHER == mode.call(plain(server.url), "get", "k")
    assert [None, None] == ranges(server)


@modes
@pytest.mark.parametrize(
    "content", [BODY, OTHER, OTHER * 2, b""], ids=["same", "new", "long", "no"]
)
def test_a_server_that_sends_all(mode: Mode, tmp_path: Path, content: bytes) -> None:
    """A server that knows no ranges, or has another version, is started over with."""
    target = tmp_path / "copy"
    answers = cut(), whole(content, ETag='"v2"')
    with RawServer(*answers).serving() as server, mode.sending(attempts=2):
        assert len(content) == mode.call(plain(server.url), "download", target, "k")
    assert content == target.read_bytes()
    assert [target] == list(tmp_path.iterdir())
    assert [None, "bytes=1000-"] == ranges(server)


NOT_SATISFIABLE = always(reply("416 Range Not Satisfiable", Content_Range="bytes */500"))
STRANGE = {
    "begins earlier": part(start=999),
    "begins later": part(start=1001),
    "is all": part(start=0),
    "of more": part(total=3001),
    "other version": part(content=OTHER, ETag='"v2"'),
    "weak version": part(ETag=f"W/{TAG}"),
    "no version": always(
        reply("206 Partial Content", BODY[HALF:], Content_Range="bytes 1000-2999/3000")
    ),
    "no place": always(reply("206 Partial Content", BODY[HALF:], ETag=TAG)),
    "other unit": part(Content_Range="items 1000-2999/3000"),
    "nothing there": NOT_SATISFIABLE,
}


@modes
@pytest.mark.parametrize("strange", STRANGE)
def test_another_part_is_not_taken(mode: Mode, tmp_path: Path, strange: str) -> None:
    """What is not the rest is dropped, and the next attempt asks for all."""
    target = tmp_path / "copy"
    answers = cut(), STRANGE[strange], whole(OTHER)
    with RawServer(*answers).serving() as server, mode.sending(attempts=3):
        assert len(OTHER) == mode.call(plain(server.url), "download", target, receipt_of(OTHER))
    assert OTHER == target.read_bytes()
    assert [None, "bytes=1000-", None] == ranges(server)


@modes
@pytest.mark.parametrize("strange", STRANGE)
def test_only_so_many_attempts(mode: Mode, tmp_path: Path, strange: str) -> None:
    """A server that never sends the rest is not asked forever, and nothing is written."""
    target = tmp_path / "copy"
    target.write_bytes(b"old")

    def answer(call: Call) -> bytes:
        return (STRANGE[strange] if "range" in call.headers else cut())(call)

    with RawServer(answer).serving() as server, mode.sending(attempts=4):
        error = caught(partial(mode.call, plain(server.url), "download", target, "k"))
    assert isinstance(error, (e.ProtocolError, e.ResponseError))
    assert 4 == error.attempts == len(error.history)
    assert [None, "bytes=1000-"] * 2 == ranges(server)
    assert {target: b"old"} == {path: path.read_bytes() for path in tmp_path.iterdir()}


@modes
def test_a_part_that_nobody_asked_for(mode: Mode, tmp_path: Path) -> None:
    """It would pass for the whole, so it is an error."""
    target = tmp_path / "copy"
    with RawServer(part()).serving() as server, mode.sending(attempts=3):
        error = caught(partial(mode.call, plain(server.url), "download", target, "k"))
    assert e.UnexpectedAnswerError is type(error)
    assert [None] == ranges(server)
    assert [] == list(tmp_path.iterdir())


@modes
@pytest.mark.parametrize("honoured", [True, False])
def test_a_range_of_ones_own(mode: Mode, *, honoured: bool) -> None:
    """Of a part that breaks off no rest is asked for: there would be two ranges."""
    wanted = {"Range": "bytes=500-"}
    first = part(500, at=HALF) if honoured else cut()
    second = part(500) if honoured else whole()
    with RawServer(first, second).serving() as server, mode.sending(attempts=2):
        storage = plain(server.url, headers=wanted)
        assert (BODY[500:] if honoured else BODY) == mode.call(storage, "get", "k")
    assert [b"bytes=500-"] * 2 == [
        line.partition(b": ")[2]
        for call in server.calls
        for line in call.raw.split(b"\r\n")
        if line.lower().startswith((b"range", b"if-range"))
    ]


# --- redirects ------------------------------------------------------------------------------------


def moved(where: str) -> Answer:
    """Return a redirect."""
    return always(reply("307 Temporary Redirect", Location=where))


def redirected(server: RawServer) -> Webhook:
    """Return a storage that may be redirected to other ports of this host."""
    return plain(server.url, with_redirect_hosts=["127.0.0.1"])


@modes
def test_the_same_place_after_a_redirect(mode: Mode) -> None:
    """Where a redirect within one origin leads, the rest is asked for once."""
    answers = moved("/there?1"), cut(), moved("/there?2"), part()
    with RawServer(*answers).serving() as server, mode.sending(attempts=2):
        assert BODY == mode.call(plain(server.url), "get", "k")
    assert ["/k", "/there?1", "/k", "/there?2"] == [call.target for call in server.calls]
    assert "bytes=1000-" == ranges(server)[-1]


@modes
def test_a_redirect_to_a_place_of_its_own(mode: Mode) -> None:
    """Two resources of one server may have the same tag, so one is not the rest of the other."""

    def second(call: Call) -> bytes:
        return (part(content=OTHER) if "range" in call.headers else whole(OTHER))(call)

    answers = moved("/old"), cut(), moved("/new"), second
    with RawServer(*answers).serving() as server, mode.sending(attempts=2):
        assert OTHER == mode.call(plain(server.url), "get", "k")


@modes
def test_another_server_is_not_told_of_the_first(mode: Mode) -> None:
    """A tag of one server means nothing at another one, which is asked for all."""
    with RawServer(whole(OTHER)).serving() as other:
        answers = cut(), moved(f"{other.url}/there")
        with RawServer(*answers).serving() as server, mode.sending(attempts=2):
            assert OTHER == mode.call(redirected(server), "get", "k")
    assert [None, "bytes=1000-"] == ranges(server)
    assert [None] == ranges(other)


@modes
def test_the_server_that_has_it_is_asked_for_the_rest(mode: Mode) -> None:
    """Where a redirect led to the artifact, it is that server which is asked for the rest."""
    with (
        RawServer(cut(), part()).serving() as other,
        RawServer(moved(f"{other.url}/there")).serving() as server,
        mode.sending(attempts=2),
    ):
        assert BODY == mode.call(redirected(server), "get", "k")
    assert [None, None] == ranges(server)
    assert [None, "bytes=1000-"] == ranges(other)


# --- how often ------------------------------------------------------------------------------------

BIG = hashlib.shake_128(b"big").digest(1300 * KIB)


def by_pieces(size: int, *, known: bool) -> Answer:
    """Return what sends so many bytes a request and breaks off; it may know no ranges."""

    def answer(call: Call) -> bytes:
        start = int(call.headers["range"][6:-1]) if "range" in call.headers and known else 0
        end = min(start + size, len(BIG))
        at = None if end == len(BIG) else end
        if start:
            return part(start, BIG, at=at)(call)
        return cut(BIG, end)(call)

    return answer


@modes
@pytest.mark.parametrize(
    ("size", "known", "requests"),
    [(256 * KIB, True, 6), (256 * KIB - 1, True, 3), (600 * KIB, False, 2), (10, True, 2)],
    ids=["progress", "some progress", "the same again", "no progress"],
)
def test_progress_begins_the_count_anew(
    mode: Mode, size: int, requests: int, *, known: bool
) -> None:
    """As long as much comes that never came before, attempts are not given up."""
    with RawServer(by_pieces(size, known=known)).serving() as server, mode.sending(attempts=2):
        fetch = partial(mode.call, plain(server.url), "get", "k")
        if requests == 6:
            assert BIG == fetch()
        else:
            error = caught(fetch)
            assert isinstance(error, e.ProtocolError)
            assert requests == error.attempts
    assert requests == len(server.calls)


@modes
def test_one_attempt_is_one(mode: Mode) -> None:
    """Where retrying is switched off nothing is resumed."""
    with RawServer(cut()).serving() as server, mode.sending(attempts=1):
        error = caught(partial(mode.call, plain(server.url), "get", "k"))
    assert e.ProtocolError is type(error)
    assert [None] == ranges(server)


# --- a real server --------------------------------------------------------------------------------


HUGE = hashlib.shake_128(b"huge").digest(4096 * KIB)


class Watching(Transport):
    """Lets another transport send, and keeps what was asked for and how much came.

    Attributes:
        asked: The range of each request.
        came: How many bytes the answers to a GET brought.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http"})

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.asked: list[str | None] = []
        self.came: list[int] = []

    def send(self, request: WireRequest) -> WireResponse:
        """Send, and watch."""
        self._begin(request)
        return _Watched(self._transport.send(request), self.came)

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Send, and watch."""
        self._begin(request)
        return _AsyncWatched(await self._transport.asend(request), self.came)

    def _begin(self, request: WireRequest) -> None:
        self.asked.append(dict(request.headers).get("Range"))
        self.came.append(0)

    def close(self) -> None:
        """Close the other one."""
        self._transport.close()


class _Watched:
    def __init__(self, answer: Any, came: list[int]) -> None:
        self._answer, self._came = answer, came

    @property
    def status(self) -> int:
        return int(self._answer.status)

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        headers: Sequence[tuple[str, str]] = self._answer.headers
        return headers

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._answer.chunks():
            self._came[-1] += len(chunk)
            yield chunk

    def close(self) -> None:
        self._answer.close()


class _AsyncWatched(_Watched):
    async def chunks(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        async for chunk in self._answer.chunks():
            self._came[-1] += len(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()


@modes
@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_nginx_goes_on(
    mode: Mode,
    nginx: Nginx,
    tcpfault: StartTcpFault,
    tmp_path: Path,
    fault: Literal["cut", "reset"],
) -> None:
    """After two breaks each byte has come once, and the file is the one that is stored."""
    stored = nginx.data / "open/resumed"
    stored.write_bytes(HUGE)
    os.utime(stored, (0, 0))  # what has just changed could change again and keep its tag
    port = int(nginx.url.rpartition(":")[2])
    relay = tcpfault(port, fault, after=1500 * KIB, times=2)
    transport = Watching(mode.transport())
    with mode.sending(transport=transport, attempts=3):
        storage = plain(f"{relay.url}/open")
        receipt = receipt_of(HUGE).model_copy(update={"key": "resumed"})
        assert len(HUGE) == mode.call(storage, "download", tmp_path / "copy", receipt)
    assert HUGE == (tmp_path / "copy").read_bytes()
    assert len(HUGE) == sum(transport.came)
    held = list(itertools.accumulate(transport.came))[:2]
    # A reset also drops what the kernel has and nobody has read yet.
    assert fault == "reset" or 2 * 1499 * KIB < held[1] < 2 * 1500 * KIB
    assert [None, *(f"bytes={size}-" if size else None for size in held)] == transport.asked


@modes
def test_nginx_has_another_version_meanwhile(
    mode: Mode, nginx: Nginx, tcpfault: StartTcpFault, tmp_path: Path
) -> None:
    """An artifact that is replaced while it comes is the whole new one, never a mixture."""
    place = nginx.data / f"open/replaced-{mode.name}"
    place.write_bytes(HUGE)
    os.utime(place, (1_000_000_000, 1_000_000_000))
    newer = HUGE[::-1]

    def replace() -> None:
        beside = place.with_suffix(".new")
        beside.write_bytes(newer)
        beside.replace(place)

    port = int(nginx.url.rpartition(":")[2])
    relay = tcpfault(port, "cut", after=1500 * KIB, times=1, meanwhile=replace)
    transport = Watching(mode.transport())
    with mode.sending(transport=transport, attempts=2):
        storage = plain(f"{relay.url}/open")
        assert len(HUGE) == mode.call(storage, "download", tmp_path / "copy", place.name)
    assert newer == (tmp_path / "copy").read_bytes()
    asked = transport.asked
    assert [None, f"bytes={transport.came[0]}-"] == asked
    assert len(HUGE) == transport.came[1]


def test_a_target_that_breaks_is_no_reason_to_ask_again() -> None:
    """What goes wrong here is not tried again there."""
    with RawServer(whole()).serving() as server, HTTPX.sending(attempts=3):
        error = caught(partial(plain(server.url).get, "k", max_bytes=10))
    assert isinstance(error, e.TooLargeError)
    assert [None] == ranges(server)
