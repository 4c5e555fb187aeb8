"""Many artifacts at once: what is transferred, what is not, and what is said of it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import resource
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.sending.support import caught, plain
from webhook_storage import Receipt, RetryPolicy, Sender, Webhook
from webhook_storage.batch import Note, _counted, patient
from webhook_storage.bulk import aget_many, aput_many, get_many, put_many
from webhook_storage.contracts import Request, Response, Together, Work
from webhook_storage.errors import (
    ConfigurationError,
    LocalFileError,
    ProtocolError,
    SecretNotFoundError,
    UnexpectedError,
)
from webhook_storage.testing import FakeTransport, canary, find_leaks
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from webhook_storage.contracts import Exchange, Facts, Sink
    from webhook_storage.report import Item, Report
    from webhook_storage.testing import SentRequest

ORIGIN = "https://files.example.com"
AT_ONCE = RetryPolicy(attempts=2, max_delay=0)


@dataclass
class Shelf:
    """A file service.

    Attributes:
        files: What it has, by path.
        asked: Method and path of each request.
        answers: What is answered instead, by path, used up from the front.
        tells: Which headers it tells of a file.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answers: dict[str, list[int]] = field(default_factory=dict)
    tells: set[str] = field(default_factory=lambda: {"etag", "content-length"})

    def __call__(self, request: SentRequest) -> tuple[int, dict[str, str], bytes]:
        """Answer."""
        key = request.path.removeprefix("/")
        self.asked.append(f"{request.method} {key}")
        if self.answers.get(key):
            return self.answers[key].pop(0), {}, b"as you were told"
        if request.method == "PUT":
            self.files[key] = request.body
            return 201, self._told(request.body, {"etag"}), b""
        if key not in self.files:
            return 404, {}, b""
        content = self.files[key]
        return 200, self._told(content), b"" if request.method == "HEAD" else content

    def _told(self, content: bytes, among: set[str] | None = None) -> dict[str, str]:
        every = {"etag": f'"{hash(content)}"', "content-length": str(len(content))}
        told = self.tells if among is None else self.tells & among
        return {name: every[name] for name in told}


class Many:
    """Stores and fetches many on one shelf, in threads or in an event loop."""

    def __init__(self, shelf: Shelf, *, is_async: bool) -> None:
        self.shelf = shelf
        self.is_async = is_async
        self.storage = plain(ORIGIN)
        self.secrets: dict[str, str] = {}

    def put(self, items: Any, **options: Any) -> Report:
        """Store."""
        options = {"retry": AT_ONCE, **options}
        with self._sending():
            if self.is_async:
                return asyncio.run(aput_many(self.storage, items, **options))
            return put_many(self.storage, items, **options)

    def get(self, keys: Any, directory: Path, **options: Any) -> Report:
        """Fetch."""
        options = {"retry": AT_ONCE, **options}
        with self._sending():
            if self.is_async:
                return asyncio.run(aget_many(self.storage, keys, directory, **options))
            return get_many(self.storage, keys, directory, **options)

    def _sending(self) -> Sender:
        return Sender(secrets=[MappingResolver(self.secrets)], transport=FakeTransport(self.shelf))


@pytest.fixture
def shelf() -> Shelf:
    """An empty shelf."""
    return Shelf()


@pytest.fixture(params=["threads", "event loop"])
def many(request: pytest.FixtureRequest, shelf: Shelf) -> Many:
    """Whatever stores and fetches many."""
    return Many(shelf, is_async=request.param == "event loop")


def outcomes(report: Report) -> dict[str, str]:
    """Return what came of each key."""
    return {item.key: item.outcome for item in report.items}


def items(count: int) -> dict[str, bytes]:
    """Return so many."""
    return {f"k{number}": f"content {number}".encode() for number in range(count)}


# --- storing -------------------------------------------------------------------------------------


def test_all_is_stored(many: Many) -> None:
    """All items are on the service, and the report has the receipt of each."""
    report = many.put(items(50), limit=4)
    assert items(50) == many.shelf.files
    assert (True, {"stored": 50}) == (report.ok, report.counts)
    assert sum(map(len, items(50).values())) == report.transferred
    assert items(50).keys() == report.receipts.keys()
    assert {1} == {item.attempts for item in report.items}
    assert all(item.sha256 == report.receipts[item.key].sha256 for item in report.items)


def test_nothing_is_no_error(many: Many) -> None:
    """Of no items a report is made, too."""
    report = many.put({})
    assert (True, {}, []) == (report.ok, report.counts, report.items)


def test_every_source(many: Many, tmp_path: Path) -> None:
    """What `put` takes is taken here, by pairs or by a mapping."""
    path = tmp_path / "file"
    path.write_bytes(b"path")
    sources = {
        "bytes": b"bytes",
        "array": bytearray(b"array"),
        "path": path,
        "text": str(path),
        "file": io.BytesIO(b"file"),
        "chunks": iter([b"chu", b"nks"]),
    }
    assert many.put(iter(sources.items())).ok
    assert {**dict.fromkeys(sources, b"path"), **{each: each.encode() for each in sources}} | {
        "text": b"path"
    } == many.shelf.files


def test_items_are_taken_as_there_is_room(many: Many) -> None:
    """A generator is never far ahead of what was stored, so that it need not be in memory."""
    ended = 0
    ahead: list[int] = []

    def count(_: Item) -> None:
        nonlocal ended
        ended += 1

    def sources() -> Iterator[tuple[str, bytes]]:
        for number, pair in enumerate(items(100).items()):
            ahead.append(number - ended)
            yield pair

    assert many.put(sources(), limit=3, on_item=count, keep_items=False).ok
    assert (100, True) == (ended, max(ahead) <= 6)


def test_so_many_at_a_time(shelf: Shelf) -> None:
    """As many requests as the limit says are under way at once, and never more."""
    met = threading.Barrier(3, timeout=30)
    lock, now, most = threading.Lock(), 0, 0

    def meet(request: SentRequest) -> tuple[int, dict[str, str], bytes]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        met.wait()
        with lock:
            now -= 1
        return shelf(request)

    with Sender(secrets=[], transport=FakeTransport(meet)):
        assert put_many(plain(ORIGIN), items(30), limit=3).ok
    assert 3 == most


def test_the_sender_of_the_caller_sends(many: Many) -> None:
    """What is current where the call is made is what sends, whichever thread does it."""
    other = Sender(secrets=[], transport=FakeTransport(lambda _: (500, {}, b"")))
    other.install()
    assert many.put(items(5)).ok


def test_one_that_fails_is_no_more_than_that(many: Many, tmp_path: Path) -> None:
    """The others are stored, and the report says of each failure what a single store would say."""
    many.shelf.answers = {"k3": [409], "k7": [500, 500]}
    report = many.put({**items(10), "missing": tmp_path / "missing"}, limit=2)
    failures = {item.key: item for item in report.failures}
    assert {"stored": 8, "failed": 3} == report.counts
    assert {"k3", "k7", "missing"} == failures.keys()
    assert ["ConflictError", "ServerError", "ConfigurationError"] == [
        failures[key].kind for key in ("k3", "k7", "missing")
    ]
    assert [1, 2, 0] == [failures[key].attempts for key in ("k3", "k7", "missing")]
    assert "PUT https://files.example.com/${artifact.key} answered 409" in str(failures["k3"].error)
    assert report.stopped is None


def test_attempts_are_counted(many: Many) -> None:
    """How often requests were sent for an item is in the report."""
    many.shelf.answers = {"k1": [503]}
    report = many.put(items(3))
    assert {"k0": 1, "k1": 2, "k2": 1} == {item.key: item.attempts for item in report.items}


def test_verify_reads_again(many: Many) -> None:
    """With ``verify`` each is fetched after it was stored, and one that is another fails."""
    many.shelf.answers = {"k1": [201, 200]}
    report = many.put(items(2), verify="after")
    assert {"k0": "stored", "k1": "failed"} == outcomes(report)
    assert ["IntegrityError"] == [item.kind for item in report.failures]


@pytest.mark.parametrize("option", ["limit", "stop_after"])
def test_numbers_are_at_least_one(many: Many, option: str) -> None:
    """An option that makes no sense is refused before anything is sent."""
    error = caught(lambda: many.put(items(1), **{option: 0}))
    assert (ConfigurationError, f"{option}: it is at least 1") == (type(error), str(error))
    assert [] == many.shelf.asked


def test_a_storage_of_one_place_is_refused(many: Many) -> None:
    """Where the URL has no key all items would take one place."""
    many.storage = plain(ORIGIN, url=f"{ORIGIN}/fixed")
    error = caught(lambda: many.put(items(2)))
    assert (ConfigurationError, []) == (type(error), many.shelf.asked)


def test_an_empty_key_fails(many: Many) -> None:
    """An item without a name fails by itself, as often as it comes."""
    report = many.put([("", b"a"), ("", b"b"), ("c", b"c")])
    assert {"failed": 2, "stored": 1} == report.counts
    assert {"the key is empty"} == {item.error for item in report.failures}


def test_a_key_that_comes_twice_at_once_fails(shelf: Shelf) -> None:
    """Two sources for one key are not stored at the same time, since nobody knew which stays."""
    second_failed = threading.Event()

    def wait(request: SentRequest) -> tuple[int, dict[str, str], bytes]:
        assert second_failed.wait(30)
        return shelf(request)

    def look(item: Item) -> None:
        if item.outcome == "failed":
            second_failed.set()

    # A third one makes room for the second to be looked at.
    pairs = iter([("k", b"first"), ("k", b"second")])
    with Sender(secrets=[], transport=FakeTransport(wait)):
        report = put_many(plain(ORIGIN), pairs, limit=2, on_item=look)
    assert {"failed": 1, "stored": 1} == report.counts
    assert ["another item with this key is under way"] == [i.error for i in report.failures]
    with Sender(secrets=[], transport=FakeTransport(shelf)):
        assert put_many(plain(ORIGIN), [("k", b"1"), ("k", b"2")], limit=1).counts == {"stored": 2}


# --- when the others will fail, too --------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 500, 302])
def test_what_meets_all_ends_the_batch(many: Many, status: int) -> None:
    """After three in a row that failed for what is not theirs no further one is begun."""
    many.shelf.answers = {f"k{number}": [status] * 2 for number in range(100)}
    report = many.put(items(100), limit=1)
    assert {"failed": 3, "not begun": 97} == report.counts
    assert report.stopped is not None
    assert report.stopped.startswith("3 items failed in a row, the last by: PUT https://")
    assert not report.ok


def test_a_missing_secret_ends_the_batch(many: Many) -> None:
    """Without its secret nothing is stored, and it is not looked for a hundred times."""
    many.storage = plain(ORIGIN, headers={"X-Key": "${ABSENT}"})
    report = many.put(items(100), limit=1)
    assert {"failed": 3, "not begun": 97} == report.counts
    assert {SecretNotFoundError.__name__} == {item.kind for item in report.failures}
    assert [] == many.shelf.asked


def test_of_a_generator_the_rest_is_not_taken(many: Many) -> None:
    """Where nobody knows how many there are the rest is left where it is."""
    many.shelf.answers = {f"k{number}": [401] for number in range(100)}
    taken: list[str] = []

    def sources() -> Iterator[tuple[str, bytes]]:
        for pair in items(100).items():
            taken.append(pair[0])
            yield pair

    report = many.put(sources(), limit=1)
    assert 3 == report.counts["failed"]
    assert len(taken) == sum(report.counts.values())
    assert len(taken) < 8


@pytest.mark.parametrize(
    ("answers", "stop_after"),
    [
        ({"k0": 401, "k1": 401, "k3": 401, "k4": 401}, 3),
        ({"k1": 403, "k2": 403, "k3": 403, "k4": 403}, 3),
        ({"k0": 409, "k1": 404, "k2": 413, "k3": 400}, 3),
        ({"k0": 401, "k1": 401, "k2": 401, "k3": 401}, 5),
    ],
    ids=["one went well in between", "forbidden after one went well", "their own", "as told"],
)
def test_what_does_not_end_it(many: Many, answers: dict[str, int], stop_after: int) -> None:
    """Failures of their own, and few others, leave the rest to be stored."""
    many.shelf.answers = {key: [status] for key, status in answers.items()}
    report = many.put(items(10), limit=1, stop_after=stop_after)
    assert {"stored": 6, "failed": 4} == report.counts
    assert report.stopped is None


def test_sources_that_are_missing_do_not_end_it(many: Many, tmp_path: Path) -> None:
    """What is wrong with a source is its own, however many there are."""

    def broken() -> Iterator[bytes]:
        yield b"some"
        raise OSError(f"{canary()} is in here")

    missing = {f"m{number}": tmp_path / f"{number}" for number in range(5)}
    wrong: dict[str, Any] = {f"b{number}": broken() for number in range(5)}
    report = many.put({**missing, **wrong, "k": b"k"}, limit=1)
    assert {"failed": 10, "stored": 1} == report.counts
    assert {"ConfigurationError", UnexpectedError.__name__} == {i.kind for i in report.failures}


# --- equal ---------------------------------------------------------------------------------------


def again(many: Many, **options: Any) -> list[str]:
    """Return what is asked when three are stored a second time."""
    many.shelf.asked.clear()
    report = many.put(items(3), limit=1, **options)
    assert report.ok
    assert items(3) == many.shelf.files
    return many.shelf.asked


EQUAL = ["HEAD k0", "HEAD k1", "HEAD k2"]
STORED = ["PUT k0", "PUT k1", "PUT k2"]
LOOKED = [each for pair in zip(EQUAL, STORED, strict=True) for each in pair]


@pytest.mark.parametrize("known_by", ["report", "storage", "journal"])
def test_what_is_there_is_not_sent_again(many: Many, known_by: str, tmp_path: Path) -> None:
    """What an earlier batch has stored, and the service still has, is asked for and skipped."""
    options: dict[str, Any] = {"journal": tmp_path / "j"} if known_by == "journal" else {}
    first = many.put(items(3), **options)
    if known_by == "report":
        options = {"receipts": first.receipts}
    if known_by == "storage":
        for receipt in first.receipts.values():
            many.storage.remember(receipt)
    assert EQUAL == again(many, **options)
    assert [] == again(many, **options, trust_receipts=True)
    report = many.put(items(3), **options)
    assert ({"equal": 3}, 0, True) == (report.counts, report.transferred, report.ok)
    assert first.receipts == report.receipts


def test_without_a_receipt_it_is_sent(many: Many) -> None:
    """What nobody knows is stored, though the service may have it."""
    many.put(items(3))
    assert STORED == again(many)


def test_what_changed_here_is_sent(many: Many) -> None:
    """A source with another digest is stored, and nobody is asked before."""
    before = {"k0": b"another content", "k1": b"content X", "k2": b"content Y"}
    receipts = many.put(before).receipts
    assert STORED == again(many, receipts=receipts)
    assert STORED == again(many, receipts=receipts, trust_receipts=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("gone", LOOKED),
        ("longer", LOOKED),
        ("same size, another version", LOOKED),
        ("same size, no version", EQUAL),
        ("longer, no version", LOOKED),
        ("nothing is told", LOOKED),
    ],
)
def test_what_changed_there_is_sent(many: Many, change: str, expected: list[str]) -> None:
    """The service must have the version that was stored, or else the size."""
    if "no version" in change:
        many.shelf.tells = {"content-length"}
    receipts = many.put(items(3)).receipts
    if change == "gone":
        many.shelf.files.clear()
    elif "longer" in change:
        many.shelf.files = {key: content + b"!" for key, content in items(3).items()}
    elif change == "same size, another version":
        many.shelf.files = {key: content[::-1] for key, content in items(3).items()}
    elif change == "nothing is told":
        many.shelf.tells = set()
    assert expected == again(many, receipts=receipts)


def test_a_version_alone_is_enough(many: Many) -> None:
    """A service that tells no size is believed by its version."""
    many.shelf.tells = {"etag"}
    receipts = many.put(items(3)).receipts
    assert EQUAL == again(many, receipts=receipts)


def test_a_service_that_does_not_tell_is_sent_all(many: Many) -> None:
    """Where nobody may look what is there, it is stored once more."""
    receipts = many.put(items(3)).receipts
    many.shelf.answers = {key: [400] for key in items(3)}
    assert LOOKED == again(many, receipts=receipts)


def test_a_service_that_is_down_fails(many: Many) -> None:
    """A look that may succeed later is a failure, and no reason to send."""
    receipts = many.put(items(1)).receipts
    many.shelf.answers = {"k0": [500] * 2}
    many.shelf.asked.clear()
    report = many.put(items(1), receipts=receipts)
    assert {"k0": "failed"} == outcomes(report)
    assert ["HEAD k0", "HEAD k0"] == many.shelf.asked


# --- the journal ---------------------------------------------------------------------------------


def test_a_batch_goes_on(many: Many, tmp_path: Path) -> None:
    """What failed is done again with the same journal, and what went well is not."""
    many.shelf.answers = {"k1": [409], "k2": [409]}
    first = many.put(items(5), journal=tmp_path / "j")
    many.shelf.asked.clear()
    second = many.put(items(7), journal=tmp_path / "j", trust_receipts=True)
    assert {"stored": 3, "failed": 2} == first.counts
    assert {"equal": 3, "stored": 4} == second.counts
    assert {"PUT k1", "PUT k2", "PUT k5", "PUT k6"} == set(many.shelf.asked)
    many.shelf.asked.clear()
    assert {"equal": 7} == many.put(items(7), journal=tmp_path / "j", trust_receipts=True).counts
    assert [] == many.shelf.asked


def test_equal_items_are_written_down_once(many: Many, tmp_path: Path) -> None:
    """A journal does not grow by batches that do nothing."""
    receipts = many.put(items(3)).receipts
    sizes = []
    for _ in range(3):
        many.put(items(3), receipts=receipts, journal=tmp_path / "j")
        sizes.append((tmp_path / "j").stat().st_size)
    assert sizes[0] == sizes[1] == sizes[2]


def test_after_a_failure_nothing_is_known(many: Many, tmp_path: Path) -> None:
    """A store that failed may have changed what is there, so what was known before is forgotten."""
    many.put({"k": b"old"}, journal=tmp_path / "j")
    many.shelf.answers = {"k": [409]}
    assert {"failed": 1} == many.put({"k": b"new"}, journal=tmp_path / "j").counts
    options: dict[str, Any] = {"journal": tmp_path / "j", "trust_receipts": True}
    assert {"stored": 1} == many.put({"k": b"old"}, **options).counts


@pytest.mark.parametrize(
    "entry",
    [
        {"outcome": "stored"},
        {"sha256": 5, "stored": "many"},
        {"sha256": "00", "stored": 9, "size": 9, "receipt": {"key": "k0"}},
        {"sha256": "00", "stored": 9, "size": 9, "receipt": 5},
        {"sha256": "00", "stored": 9, "size": "x"},
    ],
)
def test_a_journal_that_was_altered_does_not_count(
    many: Many, tmp_path: Path, entry: dict[str, Any]
) -> None:
    """A line that makes no sense is passed over, and its item is stored."""
    journal = tmp_path / "j"
    many.put({}, journal=journal)
    with journal.open("a") as file:
        file.write(json.dumps({"key": "k0", **entry}) + "\n")
    assert {"stored": 1} == many.put(items(1), journal=journal, trust_receipts=True).counts


def test_another_storage_has_another_journal(many: Many, tmp_path: Path) -> None:
    """A journal is refused by another storage, and by the other direction; not after a store."""
    many.put(items(1), journal=tmp_path / "j")
    error = caught(lambda: many.get(["k0"], tmp_path / "d", journal=tmp_path / "j"))
    assert isinstance(error, ConfigurationError)
    many.storage.receipts = many.put(items(1)).receipts
    assert many.put(items(1), journal=tmp_path / "j").ok
    many.storage = plain(f"{ORIGIN}/elsewhere")
    error = caught(lambda: many.put(items(1), journal=tmp_path / "j"))
    assert isinstance(error, ConfigurationError)
    assert "another storage" in str(error)


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_journal_that_cannot_be_written_ends_the_batch(many: Many, tmp_path: Path) -> None:
    """What cannot be written down is not begun; what was begun is told as it is, and done again."""
    journal = tmp_path / "j"
    many.put(items(1), journal=journal)
    with full_disk(journal.stat().st_size + 50):
        report = many.put(items(9), journal=journal, limit=1, trust_receipts=True)
    assert {"equal": 1, "stored": 1, "not begun": 7} == report.counts
    assert f"the journal cannot be written: {journal}: no space left on device" == report.stopped
    report = many.put(items(9), journal=journal, trust_receipts=True)
    assert {"equal": 1, "stored": 8} == report.counts
    assert {"equal": 9} == many.put(items(9), journal=journal, trust_receipts=True).counts


# --- fetching ------------------------------------------------------------------------------------


def files(directory: Path) -> dict[str, bytes]:
    """Return the files below a directory."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def test_all_is_fetched(many: Many, tmp_path: Path) -> None:
    """Each key is a file, in folders where it has slashes."""
    many.shelf.files = {"a": b"1", "b/c": b"22", "b/d/e f": b"333"}
    report = many.get(["a", "b/c", "b/d/e f"], tmp_path / "new" / "folder")
    assert many.shelf.files == files(tmp_path / "new" / "folder")
    assert ({"fetched": 3}, 6) == (report.counts, report.transferred)
    assert {"a": 1, "b/c": 2, "b/d/e f": 3} == {item.key: item.size for item in report.items}


def test_what_is_not_there_fails(many: Many, tmp_path: Path) -> None:
    """A key that the service does not have leaves no file, and any number of them ends nothing."""
    many.shelf.files = {"a": b"1"}
    report = many.get([*(f"x{number}" for number in range(9)), "a"], tmp_path, limit=1)
    assert {"failed": 9, "fetched": 1} == report.counts
    assert {"a": b"1"} == files(tmp_path)


def test_a_file_with_the_digest_is_not_fetched(many: Many, tmp_path: Path) -> None:
    """By receipts nobody is asked for what is here; what was altered is fetched."""
    receipts = many.put(items(3)).receipts
    many.shelf.asked.clear()
    (tmp_path / "k0").write_bytes(items(3)["k0"])
    (tmp_path / "k1").write_bytes(items(3)["k1"][::-1])
    report = many.get(receipts.values(), tmp_path)
    assert {"k0": "equal", "k1": "fetched", "k2": "fetched"} == outcomes(report)
    assert {"GET k1", "GET k2"} == set(many.shelf.asked)
    assert items(3) == files(tmp_path)


@pytest.mark.parametrize("known_by", ["receipts", "report", "storage"])
def test_what_comes_must_have_the_digest(many: Many, tmp_path: Path, known_by: str) -> None:
    """What was replaced on the service fails, and the file stays as it was."""
    receipts = many.put(items(1)).receipts
    many.shelf.files["k0"] = b"replaced!"
    (tmp_path / "k0").write_bytes(b"precious")
    if known_by == "storage":
        many.storage.receipts = receipts
    report = many.get(
        receipts.values() if known_by == "receipts" else ["k0"],
        tmp_path,
        receipts=receipts if known_by == "report" else None,
    )
    assert ["IntegrityError"] == [item.kind for item in report.failures]
    assert {"k0": b"precious"} == files(tmp_path)


def test_keys_are_known_by_the_journal(many: Many, tmp_path: Path) -> None:
    """What was fetched and is still the same on both sides is not fetched by the next batch."""
    many.shelf.files = items(4)
    journal, directory = tmp_path / "j", tmp_path / "d"
    many.get(items(4), directory, journal=journal)
    many.shelf.asked.clear()
    many.shelf.files["k1"] = b"CONTENT 1"
    (directory / "k2").write_bytes(b"CONTENT 2")
    (directory / "k3").unlink()
    report = many.get(items(4), directory, journal=journal)
    assert {"k0": "equal", "k1": "fetched", "k2": "fetched", "k3": "fetched"} == outcomes(report)
    assert sorted([*(f"GET k{number}" for number in (1, 2, 3)), "HEAD k0", "HEAD k1"]) == sorted(
        many.shelf.asked
    )
    assert many.shelf.files == files(directory)
    many.shelf.asked.clear()
    assert {"equal": 4} == many.get(
        items(4), directory, journal=journal, trust_receipts=True
    ).counts
    assert [] == many.shelf.asked


def test_a_newer_receipt_is_nearer_than_the_journal(many: Many, tmp_path: Path) -> None:
    """A file that the journal knows is fetched when the receipt is of something else."""
    journal, directory = tmp_path / "j", tmp_path / "d"
    old = many.put({"k": b"old"}).receipts
    many.get(old.values(), directory, journal=journal)
    new = many.put({"k": b"new"}).receipts
    report = many.get(new.values(), directory, journal=journal)
    assert {"k": "fetched"} == outcomes(report)
    assert {"k": "equal"} == outcomes(many.get(new.values(), directory, journal=journal))
    assert {"k": b"new"} == files(directory)


class InMemory(Webhook):
    """A storage that takes an artifact from answers, and writes it by itself."""

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch the whole, without saying where it goes."""
        response: Response = yield Request(
            method="GET", url=f"{ORIGIN}/${{artifact.key}}", facts=facts
        )
        sink.reset()
        sink.write(response.body)
        return response


def test_what_a_storage_puts_together(many: Many, tmp_path: Path) -> None:
    """Where no answer is the artifact, its digest is that of the file."""
    place = {"url": f"{ORIGIN}/${{artifact.key}}"}
    many.storage = InMemory(
        build_request_kwargs=place,
        build_request_http_method="PUT",
        get_flow_request_kwargs=place,
        get_flow_request_http_method="GET",
    )
    digests = {key: receipt.sha256 for key, receipt in many.put(items(2)).receipts.items()}
    report = many.get(items(2), tmp_path)
    assert digests == {item.key: item.sha256 for item in report.items}
    assert items(2) == files(tmp_path)


OUTSIDE = [
    "../x", "a/../../x", "..", ".", "", "/abs", "a//b", "a/", "./a", "a/./b", "a\\b", "..\\x",
    "C:\\x", "C:x", "a/C:/x", "c:", "a\0b", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("key", OUTSIDE)
def test_nothing_is_written_outside(many: Many, tmp_path: Path, key: str) -> None:
    """A key that names no file below the directory fails, before anything is asked for."""
    directory = tmp_path / "d" / "e"
    report = many.get([key, "good"], directory)
    assert "failed" == outcomes(report)[key]
    assert ["GET good"] == many.shelf.asked
    assert [] == list(files(tmp_path))
    failure = next(item for item in report.failures if item.key == key)
    assert ("LocalFileError", True) == (
        failure.kind,
        "names no file below the directory" in str(failure.error),
    )


def test_links_are_not_followed(many: Many, tmp_path: Path) -> None:
    """What a link in the directory leads to is neither written nor made, wherever it is."""
    directory, outside = tmp_path / "d", tmp_path / "outside"
    (directory / "real").mkdir(parents=True)
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    (directory / "folder").symlink_to(outside)
    (directory / "real" / "file").symlink_to(outside / "precious")
    (directory / "dangling").symlink_to(outside / "new")
    keys = ["folder/x", "folder/sub/x", "real/file", "dangling"]
    many.shelf.files = dict.fromkeys(keys, b"evil")
    report = many.get(keys, directory)
    assert {"failed": 4} == report.counts
    assert all("there is a link on its way" in str(item.error) for item in report.failures)
    assert ({"precious": b"precious"}, []) == (files(outside), many.shelf.asked)


def test_the_directory_itself_may_be_a_link(many: Many, tmp_path: Path) -> None:
    """What the caller named is where it is written, also by a link."""
    many.shelf.files = {"a/b": b"1"}
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert many.get(["a/b"], tmp_path / "link").ok
    assert {"a/b": b"1"} == files(tmp_path / "real")


def test_a_file_and_a_folder_of_one_name(many: Many, tmp_path: Path) -> None:
    """What has no place on a disk fails by itself, and ends nothing."""
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    keys = [f"file/{number}" for number in range(4)] + ["folder", "long" * 100, "good"]
    many.shelf.files = {"good": b"1"}
    report = many.get(keys, tmp_path, limit=1)
    assert {"failed": 6, "fetched": 1} == report.counts
    assert {"LocalFileError"} == {item.kind for item in report.failures}


def test_a_directory_that_cannot_be(many: Many, tmp_path: Path) -> None:
    """Where there is a file there cannot be a directory, and nothing is asked for."""
    (tmp_path / "file").write_bytes(b"1")
    error = caught(lambda: many.get(["a"], tmp_path / "file"))
    assert (LocalFileError, []) == (type(error), many.shelf.asked)


# --- what is encoded -----------------------------------------------------------------------------


def test_encoded_artifacts_are_known_by_the_journal(many: Many, tmp_path: Path) -> None:
    """Where the service has other bytes than are here, the journal knows both."""
    many.storage = plain(ORIGIN, with_compression="gzip")
    there, here = tmp_path / "p", tmp_path / "g"
    receipts = many.put(items(2), journal=there).receipts
    assert {"equal": 2} == many.put(items(2), journal=there).counts
    assert {"stored": 2} == many.put(items(2), receipts=receipts).counts
    assert {"fetched": 2} == many.get(items(2), tmp_path / "d", journal=here).counts
    assert {"equal": 2} == many.get(items(2), tmp_path / "d", journal=here).counts
    assert items(2) == files(tmp_path / "d")
    assert {"fetched": 2} == many.get(receipts.values(), tmp_path / "d").counts


def test_encoded_bytes_are_not_what_they_encode(many: Many, tmp_path: Path) -> None:
    """A file with the digest of what is stored is not what was stored."""
    many.storage = plain(ORIGIN, with_compression="gzip")
    receipts = many.put(items(1)).receipts
    (tmp_path / "k0").write_bytes(many.shelf.files["k0"])
    report = many.get(receipts.values(), tmp_path)
    assert ({"fetched": 1}, items(1)) == (report.counts, files(tmp_path))
    stored = dict(many.shelf.files)
    assert {"stored": 1} == many.put(stored, receipts=receipts, trust_receipts=True).counts


# --- interruptions -------------------------------------------------------------------------------


class EnoughError(Exception):
    """Somebody has had enough."""


def test_who_looks_may_end_it(many: Many, tmp_path: Path) -> None:
    """What the caller raises is raised as it is; what was done is in the journal."""
    seen: list[str] = []

    def look(item: Item) -> None:
        seen.append(item.key)
        if len(seen) == 3:
            raise EnoughError

    act = lambda: many.put(items(100), limit=2, journal=tmp_path / "j", on_item=look)  # noqa: E731
    assert EnoughError is type(caught(act))
    assert len(seen) in {3, 4}  # those that ended in the same moment
    assert len(many.shelf.files) < 20
    report = many.put(items(100), journal=tmp_path / "j", trust_receipts=True)
    assert report.counts["equal"] >= 3
    assert items(100) == many.shelf.files


def test_items_that_fail_to_come_end_it(many: Many) -> None:
    """What a generator of items raises is raised as it is."""

    def sources() -> Iterator[tuple[str, bytes]]:
        yield "a", b"1"
        raise EnoughError

    assert EnoughError is type(caught(lambda: many.put(sources())))


@pytest.mark.parametrize("where", ["between", "under way"])
def test_an_interruption_is_passed_on(shelf: Shelf, tmp_path: Path, where: str) -> None:
    """Ctrl-C ends pauses and what waits; what was done is in the journal."""

    def look(_: Item) -> None:
        if where == "between":
            raise KeyboardInterrupt

    def answer(request: SentRequest) -> tuple[int, dict[str, str], bytes]:
        if request.path == "/k9":
            if where == "under way":
                raise KeyboardInterrupt
            return 500, {}, b""
        return shelf(request)

    slow = RetryPolicy(initial_delay=1e6, max_delay=1e6, deadline=1e9)
    options: dict[str, Any] = {"journal": tmp_path / "j", "retry": slow, "limit": 2}
    ordered = {"k9": b"9", **items(9)}
    with Sender(secrets=[], transport=FakeTransport(answer)):
        act = lambda: put_many(plain(ORIGIN), ordered, on_item=look, **options)  # noqa: E731
        assert KeyboardInterrupt is type(caught(act))
    with Sender(secrets=[], transport=FakeTransport(shelf)):
        report = put_many(plain(ORIGIN), ordered, **options)
    assert report.ok
    assert {"k9": b"9", **items(9)} == shelf.files


async def test_a_cancellation_leaves_no_task(tmp_path: Path) -> None:
    """Cancelled, all tasks end at once, and what was done is in the journal."""
    shelf, enough = Shelf(), asyncio.Event()

    def answer(request: SentRequest) -> tuple[int, dict[str, str], bytes]:
        return shelf(request) if request.path < "/k5" else (500, {}, b"")

    def look(_: Item) -> None:
        if len(shelf.files) == 5:
            enough.set()

    slow = RetryPolicy(initial_delay=1e6, max_delay=1e6, deadline=1e9)
    with Sender(secrets=[], transport=FakeTransport(answer)):
        task = asyncio.create_task(
            aput_many(
                plain(ORIGIN), items(10), retry=slow, on_item=look, journal=tmp_path / "j", limit=4
            )
        )
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert {asyncio.current_task()} == asyncio.all_tasks()
    lines = (tmp_path / "j").read_text().splitlines()
    assert {"k0", "k1", "k2", "k3", "k4"} == {json.loads(line)["key"] for line in lines[1:]}


# --- what is said --------------------------------------------------------------------------------


def test_nothing_tells_a_secret(many: Many, tmp_path: Path) -> None:
    """A secret that the service echoes is in no report, journal or error."""
    secret = canary()
    many.secrets = {"TOKEN": secret}
    many.storage = plain(ORIGIN, headers={"Authorization": "Bearer ${TOKEN}"})
    echo = lambda request: (409, {"etag": secret}, secret.encode())  # noqa: E731
    many.shelf = echo  # type: ignore[assignment]
    report = many.put(items(2), journal=tmp_path / "j")
    error = caught(report.raise_for_failures)
    said = f"{report.to_json()}{report!r}{error!r}{error}{(tmp_path / 'j').read_text()}"
    assert {"failed": 2} == report.counts
    assert [] == find_leaks(said, secret)


def test_a_short_report_has_all_sums(many: Many) -> None:
    """Who keeps no items still sees what failed, and how many there were."""
    many.shelf.answers = {"k3": [409]}
    seen: list[str] = []
    report = many.put(items(5), keep_items=False, on_item=lambda item: seen.append(item.key))
    assert {"k3": "failed"} == outcomes(report)
    assert ({"stored": 4, "failed": 1}, 5) == (report.counts, len(seen))


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        (RetryPolicy(), 12),
        (RetryPolicy(attempts=1), 1),
        (RetryPolicy(attempts=2), 12),
        (RetryPolicy(attempts=20), 20),
    ],
)
def test_a_batch_is_patient(policy: RetryPolicy, attempts: int) -> None:
    """It tries more often than a single store, unless that is switched off; all else stays."""
    assert RetryPolicy(attempts=attempts) == patient(policy)


def test_the_policy_of_the_sender_holds(shelf: Shelf) -> None:
    """Without a policy of its own a batch takes that of its sender, and more attempts."""
    shelf.answers = {"k0": [503] * 11}
    policy = RetryPolicy(attempts=3, max_delay=0)
    with Sender(secrets=[], transport=FakeTransport(shelf), retry=policy):
        report = put_many(plain(ORIGIN), items(1))
    assert [12] == [item.attempts for item in report.items]


def test_requests_of_parts_are_counted() -> None:
    """All that was sent for an item counts, be it in parts, and be it in vain."""
    note = Note()

    def part() -> Exchange[None]:
        yield Work(lambda: None)

    def whole() -> Exchange[str]:
        yield Together([part(), part()])
        yield Work(lambda: None)
        return "done"

    steps = _counted(whole(), note)
    wish = next(steps)
    assert isinstance(wish, Together)
    next(wish.exchanges[0])
    _finish(lambda: wish.exchanges[0].send(Response(status=200, headers={}, attempts=2)))
    next(wish.exchanges[1])
    lost = ProtocolError("it broke", attempts=3)
    assert lost is caught(lambda: wish.exchanges[1].throw(lost))
    steps.send([None, None])
    assert "done" == _finish(lambda: steps.send(None))
    assert (5, None) == (note.attempts, note.answer)


def test_a_failure_of_parts_is_counted_once() -> None:
    """What a part said of its attempts is not added again when the whole is told."""
    note = Note()

    def whole() -> Exchange[None]:
        yield Together([])

    steps = _counted(whole(), note)
    next(steps)
    lost = ProtocolError("it broke", attempts=3)
    assert lost is caught(lambda: steps.throw(lost))
    assert 0 == note.attempts


def _finish(action: Callable[[], object]) -> object:
    """Return the result of a generator that ends."""
    end = caught(action)
    assert isinstance(end, StopIteration)
    return end.value


def test_receipts_of_a_report_are_those_of_stores(many: Many) -> None:
    """A receipt of a batch is the receipt that a single store gives."""
    report = many.put({"a": b"31 rows"})
    receipt = report.receipts["a"]
    assert isinstance(receipt, Receipt)
    assert ("a", 7, f"{ORIGIN}/${{artifact.key}}") == (receipt.key, receipt.size, receipt.location)
