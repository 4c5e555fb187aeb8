"""What may not happen to an item of a batch: to be stored wrongly, lost, or taken for equal."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.sending.raw import Call, RawServer, always, reply
from tests.sending.support import HTTPX, caught, plain
from webhook_storage.bulk import get_many, put_many
from webhook_storage.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from webhook_storage.artifact import Source

ROWS = b"31 rows"
NEW = b"32 rows"
MONDAY = "Mon, 01 Jan 2024 00:00:00 GMT"
TUESDAY = "Tue, 02 Jan 2024 00:00:00 GMT"


def opened() -> io.BytesIO:
    """Return an open file."""
    return io.BytesIO(ROWS)


def pieces() -> Iterator[bytes]:
    """Return what can be read once."""
    yield from (b"31 ", b"rows")


@pytest.mark.parametrize("limit", [1, 4])
@pytest.mark.parametrize(("make", "what"), [(opened, "open file"), (pieces, "iterator")])
def test_what_is_read_once_is_one_item(make: Callable[[], Source], what: str, limit: int) -> None:
    """Under a second key it would be stored from where the first has left it."""
    source = make()
    with RawServer(always(reply("201 Created"))).serving() as server, HTTPX.sending():
        report = put_many(plain(server.url), [(key, source) for key in "abc"], limit=limit)
    assert {"stored": 1, "failed": 2} == report.counts
    assert [ROWS] == [call.body for call in server.calls]
    assert {("ConfigurationError", f"another item has this {what}")} == {
        (item.kind, item.error) for item in report.failures
    }


@pytest.mark.parametrize("make", [opened, pieces, lambda: ROWS])
def test_sources_of_their_own_are_all_stored(make: Callable[[], Source]) -> None:
    """Files that are gone by then are not taken for those that come."""
    with RawServer(always(reply("201 Created"))).serving() as server, HTTPX.sending():
        report = put_many(plain(server.url), ((str(key), make()) for key in range(50)), limit=2)
    assert {"stored": 50} == report.counts
    assert [ROWS] * 50 == [call.body for call in server.calls]


def test_bytes_may_be_stored_under_several_keys() -> None:
    """What can be read as often as one likes is not refused."""
    with RawServer(always(reply("201 Created"))).serving() as server, HTTPX.sending():
        report = put_many(plain(server.url), [(key, ROWS) for key in "abc"])
    assert {"stored": 3} == report.counts


class Unreferable:
    """A file to which there is no weak reference."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read = io.BytesIO(ROWS).read


def test_a_file_without_weak_references_is_stored() -> None:
    """It cannot be told from others, but it can be stored."""
    source: Any = Unreferable()
    with RawServer(always(reply("201 Created"))).serving() as server, HTTPX.sending():
        report = put_many(plain(server.url), [("a", source)])
    assert {"stored": 1} == report.counts
    assert ROWS == server.last.body


@pytest.mark.parametrize("options", [{}, {"with_compression": "gzip"}])
def test_what_an_interruption_finds_stored_is_in_the_journal(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """Ctrl-C while the service answers a store loses neither the answer nor its receipt."""
    arrived, go_on = threading.Event(), threading.Event()

    def answer(call: Call) -> bytes:
        arrived.set()
        go_on.wait(10)
        return reply("201 Created", b'{"id": 7}')

    def interrupted() -> Iterator[tuple[str, bytes]]:
        yield "a", ROWS
        arrived.wait(10)
        threading.Timer(0.05, go_on.set).start()  # once all know of the interruption
        raise KeyboardInterrupt

    path = tmp_path / "journal"
    with RawServer(answer).serving() as server, HTTPX.sending():
        captures = {"id": "json:/id"}
        storage = plain(server.url, store="POST", with_captures=captures, **options)
        error = caught(lambda: put_many(storage, interrupted(), limit=2, journal=path))
    assert KeyboardInterrupt is type(error)
    with Journal(path, "put", storage.to_dict()) as journal:
        entry = journal.find("a") or {}
    assert ("stored", 7) == (entry.get("outcome"), entry.get("size"))
    assert {"id": "7"} == entry["receipt"]["captures"]


class Dated:
    """A service that tells no version, and when its artifact was changed if anything.

    Attributes:
        body: The artifact.
        modified: When it was changed, None when that is not told.
    """

    def __init__(self, modified: str | None) -> None:
        self.body, self.modified = ROWS, modified

    def __call__(self, call: Call) -> bytes:
        """Answer."""
        headers = {"Last_Modified": self.modified} if self.modified else {}
        answer = reply("200 OK", self.body, **headers)
        return answer if call.method == "GET" else answer.removesuffix(self.body)


@pytest.mark.parametrize(
    ("before", "after", "outcome", "content"),
    [
        (MONDAY, MONDAY, "equal", ROWS),
        (MONDAY, TUESDAY, "fetched", NEW),
        (MONDAY, None, "fetched", NEW),
        (None, MONDAY, "fetched", NEW),
        (None, None, "fetched", NEW),
    ],
)
def test_as_many_bytes_are_not_the_same_bytes(
    tmp_path: Path, before: str | None, after: str | None, outcome: str, content: bytes
) -> None:
    """Where no version is told a file is kept only if the time of the last change is the same."""
    service = Dated(before)
    with RawServer(service).serving() as server, HTTPX.sending():
        storage, journal = plain(server.url), tmp_path / "journal"
        assert {"fetched": 1} == get_many(storage, ["a"], tmp_path / "out", journal=journal).counts
        service.body, service.modified = NEW, after
        for _ in range(2 if outcome == "equal" else 1):
            report = get_many(storage, ["a"], tmp_path / "out", journal=journal)
            assert {outcome: 1} == report.counts
    assert content == (tmp_path / "out" / "a").read_bytes()


@pytest.mark.parametrize("folder", ["", "logs"])
def test_the_journal_is_not_fetched_over(tmp_path: Path, folder: str) -> None:
    """A key that names the journal of its batch fails, and the batch can go on from it."""
    path = tmp_path / folder / "done.jsonl"
    path.parent.mkdir(exist_ok=True)
    key = path.relative_to(tmp_path).as_posix()
    with RawServer(always(reply(body=ROWS))).serving() as server, HTTPX.sending():
        storage = plain(server.url)
        report = get_many(storage, ["a", key, "b"], tmp_path, journal=path, limit=1)
    assert {"fetched": 2, "failed": 1} == report.counts
    (failed,) = report.failures
    assert (key, "LocalFileError") == (failed.key, failed.kind)
    assert "the journal of this batch is there" in str(failed.error)
    with Journal(path, "get", storage.to_dict()) as journal:
        assert "fetched" == (journal.find("b") or {}).get("outcome")


def test_a_journal_of_another_name_hinders_nobody(tmp_path: Path) -> None:
    """A journal may be in the directory into which is fetched."""
    with RawServer(Dated(MONDAY)).serving() as server, HTTPX.sending():
        for _ in range(2):
            report = get_many(plain(server.url), ["a"], tmp_path, journal=tmp_path / "journal")
    assert {"equal": 1} == report.counts
    assert ROWS == (tmp_path / "a").read_bytes()
