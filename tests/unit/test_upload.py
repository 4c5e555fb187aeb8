"""Uploads in parts, without a network: each request is answered by the test."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webhook_storage.artifact import (
    BytesBody,
    FileBody,
    MeasuredBody,
    PathBody,
    as_body,
    span,
    stamp_of,
    steady_stamp,
)
from webhook_storage.contracts import (
    Exchange,
    Pause,
    Request,
    Response,
    Together,
    Work,
)
from webhook_storage.errors import (
    ConfigurationError,
    ConflictError,
    IntegrityError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ResponseError,
    ServerError,
    TlsError,
    TooLargeError,
    UnexpectedAnswerError,
    WebhookStorageError,
)
from webhook_storage.upload import (
    MultipartUpload,
    PartBody,
    Progress,
    ResumableUpload,
    State,
    Tags,
    Upload,
    in_parts,
    part_size_for,
)
from webhook_storage.upload.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from webhook_storage.contracts import Body

DATA = b"abcdefghij"
MEBI = 1024 * 1024


# --- parts ---------------------------------------------------------------------------------------


class Foreign:
    """A body of somebody else's, which can only be read from its start."""

    def __init__(self, data: bytes, step: int = 3) -> None:
        self._data = data
        self._step = step

    @property
    def size(self) -> int:
        """Tell how much there is."""
        return len(self._data)

    def chunks(self) -> Iterator[bytes]:
        """Yield it in small pieces, and some empty ones."""
        for start in range(0, len(self._data), self._step):
            yield b""
            yield self._data[start : start + self._step]

    def sha256(self) -> str:
        """Return its digest."""
        return hashlib.sha256(self._data).hexdigest()


def bodies(data: bytes, tmp_path: Path) -> list[Body]:
    """Return the same bytes in every kind of body."""
    path = tmp_path / "source"
    path.write_bytes(data)
    file = io.BytesIO(b"before" + data)
    file.seek(6)
    return [
        BytesBody(data),
        PathBody(path),
        FileBody(file),
        as_body(data[at : at + 2] for at in range(0, len(data), 2)),
        MeasuredBody(BytesBody(data)),
        MeasuredBody(Foreign(data)),
        Foreign(data),
    ]


class TestSpan:
    """A part of a body."""

    @pytest.mark.parametrize(("start", "size"), [(0, 10), (0, 1), (4, 5), (9, 1), (3, 0), (10, 0)])
    def test_is_the_same_of_every_body(self, tmp_path: Path, start: int, size: int) -> None:
        """Whatever holds the bytes."""
        found = [b"".join(span(body, start, size)) for body in bodies(DATA, tmp_path)]
        assert [DATA[start : start + size]] * 7 == found

    def test_is_read_in_small_pieces(self, tmp_path: Path) -> None:
        """However large it is."""
        large = bytes(MEBI)
        for body in bodies(large, tmp_path)[:5]:
            assert 256 * 1024 == max(map(len, span(body, 1, MEBI - 1)))

    def test_of_what_became_shorter_is_an_error(self, tmp_path: Path) -> None:
        """Nobody gets fewer bytes without being told."""
        path = tmp_path / "source"
        path.write_bytes(DATA)
        body = PathBody(path)
        path.write_bytes(DATA[:6])
        for shorter in (body, Foreign(DATA[:6])):
            with pytest.raises(IntegrityError, match="2 of 4 bytes are gone"):
                list(span(shorter, 4, 4))

    def test_several_at_a_time_do_not_disturb_one_another(self) -> None:
        """Threads that share one file each get their own part of it."""
        data = b"".join(bytes([number]) * MEBI for number in range(8))
        parts = Parts(FileBody(io.BytesIO(data)), MEBI)

        def read(number: int) -> set[int]:
            return set(b"".join(parts.part(number).chunks()))

        with ThreadPoolExecutor(8) as pool:
            assert [{number} for number in range(8)] == list(pool.map(read, range(1, 9)))


class TestParts:
    """A body and where it is cut."""

    @given(data=st.binary(max_size=200), part_size=st.integers(1, 60), step=st.integers(1, 50))
    def test_make_the_whole_again(self, data: bytes, part_size: int, step: int) -> None:
        """In order, without a gap, each but the last one of the size that was asked for."""
        parts = Parts(Foreign(data, step), part_size)
        cut = [parts.part(number) for number in range(1, len(parts) + 1)]
        assert data == b"".join(b"".join(part.chunks()) for part in cut)
        assert all(left.end == right.start for left, right in pairwise(cut))
        assert [part_size] * (len(cut) - 1) == [part.size for part in cut[:-1]]
        assert [False] * (len(cut) - 1) + [True] == [part.last for part in cut]

    @given(
        data=st.binary(min_size=1, max_size=200),
        part_size=st.integers(1, 60),
        offset=st.integers(0, 199),
        step=st.integers(1, 50),
    )
    def test_go_on_anywhere(self, data: bytes, part_size: int, offset: int, step: int) -> None:
        """The rest of a part ends where the part does."""
        assume(offset < len(data))
        rest = Parts(Foreign(data, step), part_size).rest(offset)
        expected = data[offset : min((offset // part_size + 1) * part_size, len(data))]
        assert expected == b"".join(rest.chunks())
        assert (offset, len(expected)) == (rest.start, rest.size)
        assert hashlib.sha256(expected).hexdigest() == rest.sha256()

    def test_are_measured_in_order(self) -> None:
        """Whoever wants a digest of the service's own kind sees each byte once."""
        seen: list[bytes] = []
        Parts(Foreign(DATA), 4, seen.append)
        assert DATA == b"".join(seen)

    def test_know_the_digest_of_the_whole(self) -> None:
        """It is not read once more for that."""
        body = MeasuredBody(Foreign(DATA))
        Parts(body, 4)
        assert (True, hashlib.sha256(DATA).hexdigest()) == (body.complete, body.sha256())

    def test_that_were_sent_in_whole_say_so(self) -> None:
        """A server that answers before is found."""
        part = Parts(BytesBody(DATA), 4).part(1)
        part.complete = True
        chunks = part.chunks()
        next(chunks)
        assert part.complete is False
        assert ([], True) == (list(chunks), part.complete)

    @pytest.mark.parametrize(
        ("changed", "number"),
        [(b"Xbcdefghij", 1), (b"abcdefgXij", 2), (b"abcdefghiX", 3)],
    )
    def test_of_a_source_that_changed_are_not_sent_in_whole(
        self, tmp_path: Path, changed: bytes, number: int
    ) -> None:
        """The last bytes of such a part are kept back; the others are what they were."""
        path = tmp_path / "source"
        path.write_bytes(DATA)
        parts = Parts(PathBody(path), 4)
        path.write_bytes(changed)
        for each in {1, 2, 3} - {number}:
            assert DATA[4 * each - 4 : 4 * each] == b"".join(parts.part(each).chunks())
        sent: list[bytes] = []
        with pytest.raises(IntegrityError, match="changed while it was stored"):
            sent.extend(parts.part(number).chunks())
        assert [] == sent

    def test_whose_skipped_bytes_changed_are_not_sent_either(self, tmp_path: Path) -> None:
        """The service has the beginning of another part."""
        path = tmp_path / "source"
        path.write_bytes(DATA)
        parts = Parts(PathBody(path), 4)
        path.write_bytes(b"X" + DATA[1:])
        with pytest.raises(IntegrityError, match="changed"):
            list(parts.rest(2).chunks())

    @pytest.mark.parametrize("length", [9, 11])
    def test_of_a_source_of_another_length_are_none(self, length: int) -> None:
        """What it announced is not what it has."""
        body = Foreign(bytes(length))
        lying = type("Lying", (Foreign,), {"size": 10})(bytes(length))
        assert length == body.size
        with pytest.raises(IntegrityError, match=f"has {length} bytes by now, and had 10"):
            Parts(lying, 4)


class TestLater:
    """Parts that are measured when they are sent, of a source that can tell whether it changed."""

    @given(data=st.binary(max_size=200), part_size=st.integers(1, 60), order=st.randoms())
    def test_are_the_same(self, data: bytes, part_size: int, order: Any) -> None:
        """In whatever order they are wanted, each byte is measured once."""
        seen: list[bytes] = []
        body = MeasuredBody(BytesBody(data))
        parts, known = Parts(body, part_size, seen.append, ()), Parts(BytesBody(data), part_size)
        assert [] == seen
        numbers = list(range(1, len(parts) + 1))
        order.shuffle(numbers)
        for number in numbers:
            parts.measure(number)
            assert known.part(number).sha256() == parts.part(number).sha256()
        parts.check()
        assert data == b"".join(seen)
        assert (True, hashlib.sha256(data).hexdigest()) == (body.complete, body.sha256())

    def test_are_measured_by_several_at_a_time(self) -> None:
        """Each thread waits for what another one is at."""
        data = b"".join(bytes([number]) * MEBI for number in range(8))
        parts = Parts(BytesBody(data), MEBI, stamp=())

        def digest(number: int) -> str:
            parts.measure(number)
            return parts.part(number).sha256()

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(digest, range(1, 9)))
        expected = [hashlib.sha256(bytes([number]) * MEBI).hexdigest() for number in range(8)]
        assert expected == found

    def test_of_a_source_that_is_too_short_fail_for_all(self, tmp_path: Path) -> None:
        """Whoever wants another part of it is told so too."""
        path = tmp_path / "source"
        path.write_bytes(DATA)
        parts = Parts(PathBody(path), 4, stamp=(0,))
        path.write_bytes(DATA[:6])
        for number in (2, 3):
            with pytest.raises(IntegrityError, match=r"gone|changed"):
                parts.measure(number)

    def test_that_changed_after_they_were_sent_are_found(self, tmp_path: Path) -> None:
        """One part would be of the older artifact, another of the newer one."""
        path = tmp_path / "source"
        path.write_bytes(DATA)
        parts = Parts(PathBody(path), 4, stamp=stamp_of(PathBody(path)))
        parts.measure(3)
        parts.check()
        changed_at(path, b"X" + DATA[1:], 1_000_000_000)
        with pytest.raises(IntegrityError, match="changed while it was stored"):
            parts.check()

    @pytest.mark.parametrize("more", [b"", b"and more"])
    def test_that_are_what_they_were_are_fine(self, tmp_path: Path, more: bytes) -> None:
        """A file that was touched, or has grown, still holds what was announced."""
        path = tmp_path / "source"
        path.write_bytes(DATA)
        parts = Parts(PathBody(path), 4, stamp=stamp_of(PathBody(path)))
        parts.measure(3)
        changed_at(path, DATA + more, 1_000_000_000)
        parts.check()

    def test_are_compared_by_the_service_alone_where_it_does(self, tmp_path: Path) -> None:
        """Their digest is that of what was measured, which the service is told."""
        path = tmp_path / "source"
        path.write_bytes(DATA)
        parts = Parts(PathBody(path), 4)
        path.write_bytes(b"X" + DATA[1:])
        part = parts.part(1, compared=False)
        assert b"Xbcd" == b"".join(part.chunks())
        assert hashlib.sha256(DATA[:4]).hexdigest() == part.sha256()


class TestStamp:
    """What a body says of its source."""

    def test_of_bytes_is_always_the_same(self) -> None:
        """Nobody can change them."""
        assert () == steady_stamp(BytesBody(DATA)) == steady_stamp(MeasuredBody(BytesBody(b"")))

    def test_of_a_file_is_another_one_when_it_changed(self, tmp_path: Path) -> None:
        """By its time, its size, or because it is another file."""
        path, other = tmp_path / "source", tmp_path / "other"
        stamps = set()
        for data, seconds in ((DATA, 1_000_000_000), (DATA, 1_000_000_001), (b"", 1_000_000_001)):
            changed_at(path, data, seconds)
            stamps.add(steady_stamp(PathBody(path)))
        other.write_bytes(b"")
        os.utime(other, (1_000_000_001, 1_000_000_001))
        other.replace(path)
        stamps.add(steady_stamp(PathBody(path)))
        assert (4, False) == (len(stamps), None in stamps)

    def test_of_a_file_that_changed_just_now_says_nothing(self, tmp_path: Path) -> None:
        """Another change of the same moment would have the same time; so would one to come."""
        path = tmp_path / "source"
        path.write_bytes(DATA)
        assert stamp_of(PathBody(path)) is not None
        assert steady_stamp(PathBody(path)) is None
        changed_at(path, DATA, 100_000_000_000)
        assert steady_stamp(PathBody(path)) is None

    def test_of_any_other_body_is_none(self) -> None:
        """Nobody can tell whether it changed."""
        for body in (Foreign(DATA), FileBody(io.BytesIO(DATA)), MeasuredBody(Foreign(DATA))):
            assert steady_stamp(body) is None


def changed_at(path: Path, data: bytes, seconds: int) -> None:
    """Write a file, and say when that was."""
    path.write_bytes(data)
    os.utime(path, (seconds, seconds))


class TestPartSize:
    """How large parts should be."""

    @given(
        size=st.integers(0, 2**45),
        smallest=st.integers(1, 2**30),
        multiple=st.integers(1, 2**23),
        most=st.integers(1, 50_000),
    )
    def test_is_the_smallest_that_fits(
        self, size: int, smallest: int, multiple: int, most: int
    ) -> None:
        """One multiple less would be too little, or make too many parts."""
        part = part_size_for(size, smallest, multiple, most)
        assert (0, True, True) == (part % multiple, part >= smallest, part * most >= size)
        less = part - multiple
        assert less < smallest or less * most < size

    def test_has_a_limit(self) -> None:
        """What does not go into the parts of S3 is refused."""
        most = 10_000 * 5 * 1024 * MEBI
        assert 5 * 1024 * MEBI == part_size_for(most, 5 * MEBI, 1, 10_000, 5 * 1024 * MEBI)
        with pytest.raises(TooLargeError, match="10000 parts"):
            part_size_for(most + 1, 5 * MEBI, 1, 10_000, 5 * 1024 * MEBI)


# --- a service in the test's hands ----------------------------------------------------------------


@dataclass
class Service:
    """Answers requests by their methods, and remembers them.

    Attributes:
        asked: The URLs of all requests, without their common beginning.
        faults: What is raised, or answered, in place of an answer, by URL; the first one first.
        have: What came by URL, or all that came one after the other.
        works: How many times something took time.
        pauses: All pauses.
        widths: How many exchanges there were in each group, and how many at a time.
    """

    asked: list[str] = field(default_factory=list)
    faults: dict[str, list[Any]] = field(default_factory=dict)
    have: dict[str, bytes] = field(default_factory=dict)
    works: int = 0
    pauses: list[float] = field(default_factory=list)
    widths: list[tuple[int, int]] = field(default_factory=list)

    def run(self, exchange: Exchange[Any]) -> Any:
        """Carry an exchange out."""
        answer: Any = None
        respond: Callable[[Any], Any] = exchange.send
        try:
            while True:
                wish = respond(answer)
                try:
                    answer, respond = self.grant(wish), exchange.send
                except Exception as error:  # noqa: BLE001 - the exchange decides
                    answer, respond = error, exchange.throw
        except StopIteration as stop:
            return stop.value

    def grant(self, wish: Any) -> Any:
        """Do what is wished for."""
        match wish:
            case Work():
                self.works += 1
                return wish.action()
            case Pause():
                self.pauses.append(wish.seconds)
                return None
            case Together():
                self.widths.append((len(wish.exchanges), wish.limit))
                return [self.run(each) for each in wish.exchanges]
            case _:
                return self.answer(wish)

    def answer(self, request: Request) -> Response:
        """Take a body in, and answer with what there is."""
        name = request.url
        self.asked.append(name)
        faults = self.faults.get(name, [])
        fault = faults.pop(0) if faults else None
        if isinstance(fault, Exception):
            raise fault
        if request.body is not None:
            self.have[name] = b"".join(request.body.chunks())
        return fault if isinstance(fault, Response) else Response(status=200, headers={})


def answered(text: str = "", *, secret: str | None = None) -> Response:
    """Return an answer, from a request with a secret if one is given."""
    echoes = None if secret is None else (lambda told: secret in told)
    return Response(status=200, headers={}, body=text.encode(), echoes=echoes)


def call(url: str, body: Body | None = None) -> Exchange[str]:
    """Send a request and return the text of its answer."""
    response: Response = yield Request(method="PUT", url=url, body=body)
    return response.body.decode()


class Common(Upload[str]):
    """What both uploads of these tests say."""

    leftover: ClassVar[str] = "it ends by itself"

    def begin(self) -> Exchange[State]:
        """Get an id."""
        name = yield from call("begin")
        return {"id": name or "u1"}

    def accepts(self, state: State) -> bool:
        """Want an id that begins with u."""
        return state.keys() == {"id"} and state["id"].startswith("u")

    def public_id(self, state: State) -> str | None:
        """Tell it."""
        return state["id"]

    def abort(self, state: State) -> Exchange[bool]:
        """End it, if there is a way."""
        return (yield from call("abort")) != "no way"

    def stored(self) -> Exchange[str | None]:
        """Ask."""
        return (yield from call("stored")) or None


class Numbered(Common, MultipartUpload[str]):
    """An upload of parts by number."""

    def __init__(self) -> None:
        self.there: Tags | None = {}
        self.finished: Tags = {}

    def send(self, state: State, part: PartBody) -> Exchange[str]:
        """Send one."""
        tag = yield from call(f"part {part.number}", part)
        return tag or f"e{part.number}"

    def status(self, state: State, tags: Tags) -> Exchange[Tags | None]:
        """Say what is there."""
        yield from call("status")
        return self.there

    def finish(self, state: State, tags: Tags) -> Exchange[str]:
        """Take the tags."""
        self.finished = tags
        yield from call("finish")
        return "done"


class Ordered(Common, ResumableUpload[str]):
    """An upload by offset.

    Attributes:
        taken: What is there.
        quota: How many bytes each of the next parts may bring; the rest is lost with the answer.
        said: What to say of the offset in place of the truth.
    """

    def __init__(self) -> None:
        self.taken = bytearray()
        self.quota: list[int | Exception] = []
        self.said: list[int | None] = []

    def send(self, state: State, part: PartBody) -> Exchange[Progress]:
        """Send one, of which the service may take some."""
        assert part.start == len(self.taken)
        data = b"".join(part.chunks())
        yield from call(f"send {part.start}-{part.end}")
        quota = self.quota.pop(0) if self.quota else len(data)
        if isinstance(quota, Exception):
            raise quota
        self.taken += data[:quota]
        if quota < len(data):
            raise ProtocolError("the connection broke")
        return Progress(state, self.said.pop(0) or 0 if self.said else len(self.taken))

    def status(self, state: State) -> Exchange[Progress | None]:
        """Say how far it is."""
        text = yield from call("status")
        said: int | None = self.said.pop(0) if self.said else len(self.taken)
        return None if said is None else Progress({"id": text or state["id"]}, said)

    def finish(self, state: State) -> Exchange[str]:
        """End it."""
        yield from call("finish")
        return f"done {state['id']}"


@dataclass
class Kept:
    """A checkpoint in memory."""

    state: dict[str, Any] | None = None
    saves: list[dict[str, Any]] = field(default_factory=list)
    cleared: int = 0

    def save(self, state: dict[str, Any]) -> None:
        """Keep it."""
        self.state = state
        self.saves.append(state)

    def clear(self) -> None:
        """Forget it."""
        self.state = None
        self.cleared += 1


def saved(upload: Any = None, tags: Any = None, **changes: Any) -> dict[str, Any]:
    """Return what a checkpoint holds."""
    state = {"id": "u9"} if upload is None else upload
    return {"part_size": 4, "upload": state, "tags": tags or {}, "finishing": False, **changes}


def gone(attempts: int = 1) -> ObjectNotFoundError:
    """Return the error for an upload that is not there."""
    return ObjectNotFoundError("no such upload", status=404, attempts=attempts, hint="look")


@pytest.fixture
def service() -> Service:
    """Return a service to which everything is fine."""
    return Service()


def fails(service: Service, exchange: Exchange[Any], kind: type[Exception]) -> Any:
    """Return the error with which an exchange ends."""
    with pytest.raises(kind) as caught:
        service.run(exchange)
    return caught.value


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as a warning."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# --- parts by number ------------------------------------------------------------------------------


class TestMultipart:
    """Parts that come in any order."""

    def test_are_sent_and_put_together(self, service: Service) -> None:
        """The last request gets all tags, by number."""
        upload = Numbered()
        assert "done" == service.run(in_parts(upload, BytesBody(DATA), part_size=4, limit=3))
        assert ["begin", "part 1", "part 2", "part 3", "finish"] == service.asked
        assert [(1, "e1"), (2, "e2"), (3, "e3")] == list(upload.finished.items())
        assert ([(3, 3)], DATA) == (service.widths, b"".join(service.have.values()))

    def test_of_nothing_are_one(self, service: Service) -> None:
        """A service wants at least one part, which may be empty."""
        service.run(in_parts(Numbered(), BytesBody(b""), part_size=4))
        assert {"part 1": b""} == service.have

    def test_wait_in_groups(self, service: Service) -> None:
        """Ten thousand parts are not all waiting at a time."""
        service.run(in_parts(Numbered(), BytesBody(bytes(600)), part_size=1))
        assert [256, 256, 88] == [width for width, _ in service.widths]

    def test_are_kept_as_they_come(self, service: Service) -> None:
        """The id before the first part, each tag before the next, and the end before it is made."""
        kept = Kept()
        service.run(in_parts(Numbered(), BytesBody(DATA), part_size=4, checkpoint=kept))
        tags = [list(state["tags"]) for state in kept.saves]
        assert [[], ["1"], ["1", "2"], ["1", "2", "3"], ["1", "2", "3"]] == tags
        assert [False] * 4 + [True] == [state["finishing"] for state in kept.saves]
        assert (None, 1) == (kept.state, kept.cleared)

    def test_of_a_large_artifact_are_kept_a_thousand_times(self, service: Service) -> None:
        """Else a checkpoint would be written as often as it is long."""
        kept = Kept()
        service.run(in_parts(Numbered(), BytesBody(bytes(5_500)), part_size=1, checkpoint=kept))
        assert 2 + 5_500 // 6 == len(kept.saves)

    def test_that_are_there_are_not_sent_again(self, service: Service) -> None:
        """What is kept and what the service has must be the same."""
        upload, kept = Numbered(), Kept(saved(tags={"1": "e1", "2": "e2"}))
        upload.there = {1: "e1", 2: "another", 3: "e3"}
        service.run(in_parts(upload, BytesBody(DATA), part_size=4, checkpoint=kept))
        assert ["status", "part 2", "part 3", "finish"] == service.asked
        assert {1: "e1", 2: "e2", 3: "e3"} == upload.finished

    def test_that_fail_for_good_end_the_upload(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What was stored of it is taken away."""
        service.faults["part 2"] = [ServerError("down", status=503, hint="try later")]
        error = fails(service, in_parts(Numbered(), BytesBody(DATA), part_size=4), ServerError)
        assert ["begin", "part 1", "part 2", "abort"] == service.asked
        assert ("try later", []) == (error.hint, warnings(caplog))

    def test_are_left_for_the_next_attempt(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """With a checkpoint nothing is taken away, and the error says how to go on."""
        kept = Kept()
        service.faults["part 2"] = [ServerError("down", status=503, hint="try later")]
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4, checkpoint=kept)
        error = fails(service, run, ServerError)
        assert ["begin", "part 1", "part 2"] == service.asked
        assert "try later; what was sent is kept; store the same again" in error.hint
        assert ({"1": "e1"}, []) == (kept.state and kept.state["tags"], warnings(caplog))

    def test_are_named_when_they_cannot_be_taken_away(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """In the error and in the log, and without what moves a terminal's cursor."""
        service.faults["begin"] = [answered("u7\x1b\n" + "x" * 300)]
        service.faults["part 1"] = [PermissionDeniedError("no", status=403)]
        service.faults["abort"] = [ServerError("down", status=503)]
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4)
        error = fails(service, run, PermissionDeniedError)
        told = f"left at the service: upload 'u7{'x' * 198}'; it ends by itself"
        assert told == error.hint
        assert [f"an upload in parts failed and was not aborted; {told}"] == warnings(caplog)

    def test_are_named_when_there_is_no_way_to_take_them_away(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Some services know no such request."""
        service.faults["part 1"] = [PermissionDeniedError("no", status=403)]
        service.faults["abort"] = [answered("no way")]
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4)
        error = fails(service, run, PermissionDeniedError)
        assert "left at the service: upload 'u1'; it ends by itself" == error.hint
        assert [f"an upload in parts failed and was not aborted; {error.hint}"] == warnings(caplog)

    def test_that_are_gone_need_no_abort(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An abort of what is not there is one."""
        service.faults["part 1"] = [PermissionDeniedError("no", status=403, hint="ask")]
        service.faults["abort"] = [gone()]
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4)
        assert "ask" == fails(service, run, PermissionDeniedError).hint
        assert [] == warnings(caplog)

    def test_that_fail_by_a_fault_are_taken_away_too(self, service: Service) -> None:
        """Whatever a preset raises."""
        service.faults["part 1"] = [KeyError("etag")]
        fails(service, in_parts(Numbered(), BytesBody(DATA), part_size=4), KeyError)
        assert "abort" == service.asked[-1]

    def test_that_fail_by_a_fault_are_left_with_a_checkpoint(self, service: Service) -> None:
        """A fault has no hint, and the upload can be gone on with all the same."""
        kept = Kept()
        service.faults["part 1"] = [KeyError("etag")]
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4, checkpoint=kept)
        fails(service, run, KeyError)
        assert (["begin", "part 1"], 1) == (service.asked, len(kept.saves))

    def test_a_beginning_that_fails_leaves_nothing_to_abort(self, service: Service) -> None:
        """A missing container is not asked for twice."""
        service.faults["begin"] = [gone()]
        fails(service, in_parts(Numbered(), BytesBody(DATA), part_size=4), ObjectNotFoundError)
        assert ["begin"] == service.asked

    def test_that_were_forgotten_are_sent_anew_once(self, service: Service) -> None:
        """A second time it is an error."""
        service.faults["part 2"] = [gone()]
        service.faults["begin"] = [answered("u1"), answered("u2")]
        upload = Numbered()
        run = in_parts(upload, BytesBody(DATA), part_size=4)
        assert "done" == service.run(run)
        assert 2 == service.asked.count("begin") == service.asked.count("part 1")
        service.faults["part 2"] = [gone(), gone()]
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4)
        fails(service, run, ObjectNotFoundError)
        assert 4 == service.asked.count("begin")

    def test_a_tag_with_a_secret_in_it_is_refused(self, service: Service) -> None:
        """It would be kept, and sent to somebody else."""
        service.faults["part 1"] = [answered("tag of s3cret", secret="s3cret")]
        kept = Kept()
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4, checkpoint=kept)
        error = fails(service, run, UnexpectedAnswerError)
        assert "s3cret" not in f"{error} {error.hint} {kept.saves}"

    def test_a_state_with_a_secret_in_it_is_refused(self, service: Service) -> None:
        """A service that echoes its caller's token is not gone on with."""
        service.faults["begin"] = [answered("u s3cret", secret="s3cret")]
        kept = Kept()
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4, checkpoint=kept)
        error = fails(service, run, UnexpectedAnswerError)
        assert (["begin"], []) == (service.asked, kept.saves)
        assert "s3cret" not in f"{error} {error.hint}"

    def test_an_upload_that_leads_elsewhere_is_refused(self, service: Service) -> None:
        """No part is sent there."""
        service.faults["begin"] = [answered("elsewhere", secret="s3cret")]
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4)
        fails(service, run, UnexpectedAnswerError)
        assert ["begin"] == service.asked

    def test_a_source_that_changed_takes_the_checkpoint_along(
        self, service: Service, tmp_path: Path
    ) -> None:
        """Nothing can be gone on with, so it is aborted and forgotten."""
        path, kept = tmp_path / "source", Kept()
        path.write_bytes(DATA)
        exchange = in_parts(Numbered(), PathBody(path), part_size=4, checkpoint=kept)

        class Changing(Service):
            def answer(self, request: Request) -> Response:
                path.write_bytes(DATA[:-1] + b"X")
                return super().answer(request)

        changing = Changing()
        fails(changing, exchange, IntegrityError)
        assert ("abort", None, 1) == (changing.asked[-1], kept.state, kept.cleared)

    def test_a_source_that_changes_behind_what_was_sent_is_not_stored(self, tmp_path: Path) -> None:
        """No part is of another artifact than the rest."""
        path = tmp_path / "source"
        changed_at(path, DATA, 1_000_000_000)
        exchange = in_parts(Numbered(), PathBody(path), part_size=4)

        class Changing(Service):
            def answer(self, request: Request) -> Response:
                response = super().answer(request)
                if request.url == "part 1":
                    path.write_bytes(b"X" + DATA[1:])
                return response

        changing = Changing()
        fails(changing, exchange, IntegrityError)
        assert ["begin", "part 1", "part 2", "part 3", "abort"] == changing.asked

    @pytest.mark.parametrize(("compares", "sent"), [(True, b"Xbcd"), (False, None)])
    def test_a_service_that_compares_is_left_to_do_so(
        self,
        tmp_path: Path,
        compares: bool,  # noqa: FBT001 - a parameter of the test
        sent: bytes | None,
    ) -> None:
        """To any other a whole part of a changed source is not sent."""
        path, upload = tmp_path / "source", Numbered()
        upload.compares = compares
        changed_at(path, DATA, 1_000_000_000)
        exchange = in_parts(upload, PathBody(path), part_size=4)

        class Changing(Service):
            def answer(self, request: Request) -> Response:
                if request.url == "part 1":
                    path.write_bytes(b"X" + DATA[1:])
                return super().answer(request)

        changing = Changing()
        fails(changing, exchange, IntegrityError)
        assert sent == changing.have.get("part 1")

    def test_a_source_that_changed_is_not_gone_on_with(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """When its abort fails the checkpoint is of no use, so it is told what is left."""
        kept = Kept()
        service.faults["part 2"] = [IntegrityError("it changed")]
        service.faults["abort"] = [ServerError("down", status=503)]
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4, checkpoint=kept)
        error = fails(service, run, IntegrityError)
        assert "left at the service: upload 'u1'; it ends by itself" == error.hint
        assert 1 == len(warnings(caplog))

    def test_neither_by_number_nor_by_offset_is_no_upload(self, service: Service) -> None:
        """A preset must say which."""
        fails(service, in_parts(Common(), BytesBody(DATA), part_size=4), ConfigurationError)
        assert [] == service.asked


class TestTheEnd:
    """A last request of which the answer was lost."""

    def test_that_was_done_by_another_process_is_not_done_again(self, service: Service) -> None:
        """The upload is gone, and the artifact is there."""
        upload, kept = Numbered(), Kept(saved(finishing=True))
        upload.there = None
        service.faults["stored"] = [answered("there")]
        run = in_parts(upload, BytesBody(DATA), part_size=4, checkpoint=kept)
        assert "there" == service.run(run)
        assert (["status", "stored"], 1) == (service.asked, kept.cleared)

    @pytest.mark.parametrize("finishing", [False, True])
    def test_that_was_not_done_is_begun_anew(self, service: Service, *, finishing: bool) -> None:
        """The upload has ended by its age; whether it was done is asked only when it may be."""
        upload, kept = Numbered(), Kept(saved(finishing=finishing))
        upload.there = None
        run = in_parts(upload, BytesBody(DATA), part_size=4, checkpoint=kept)
        assert "done" == service.run(run)
        expected = ["status", *["stored"] * finishing, "begin", "part 1"]
        assert expected == service.asked[: len(expected)]

    @pytest.mark.parametrize(("attempts", "asked"), [(2, True), (1, False)])
    def test_of_several_attempts_may_have_been_done_by_the_first(
        self, service: Service, attempts: int, *, asked: bool
    ) -> None:
        """One attempt alone says that the upload is gone, and nothing else."""
        service.faults["finish"] = [gone(attempts)]
        service.faults["stored"] = [answered("there")]
        found = service.run(in_parts(Numbered(), BytesBody(DATA), part_size=4))
        assert (asked, "there" if asked else "done") == ("stored" in service.asked, found)

    def test_nobody_knows_by_default(self, service: Service) -> None:
        """A preset that cannot ask begins anew."""

        class Silent(Numbered):
            stored = Upload.stored

            def public_id(self, state: State) -> str | None:
                return Upload.public_id(self, state)

        service.faults["finish"] = [gone(2)]
        assert "done" == service.run(in_parts(Silent(), BytesBody(DATA), part_size=4))
        assert 2 == service.asked.count("begin")


class TestTakenUp:
    """What another process has left."""

    @pytest.mark.parametrize(
        "state",
        [
            {},
            saved(part_size=5),
            saved(part_size=None),
            saved(upload={}),
            saved(upload=[]),
            saved(upload={"id": 1}),
            saved(upload={"id": "elsewhere"}),
            saved(upload={"id": "u1", "more": "x"}),
            saved(tags=["1"]),
            saved(tags={"0": "e"}),
            saved(tags={"4": "e"}),
            saved(tags={"-1": "e"}),
            saved(tags={"²": "e"}),
            saved(tags={"1" * 10_000: "e"}),
            saved(tags={"1": 1}),
            saved(tags={"1": None}),
        ],
        ids=str,
    )
    def test_is_refused_when_it_makes_no_sense(
        self, service: Service, state: dict[str, Any]
    ) -> None:
        """Nothing is sent, and nothing is written over."""
        kept = Kept(state)
        run = in_parts(Numbered(), BytesBody(DATA), part_size=4, checkpoint=kept)
        error = fails(service, run, ConfigurationError)
        assert ("remove it to begin anew", []) == (error.hint, service.asked)
        assert (state, []) == (kept.state, kept.saves)


# --- parts by offset ------------------------------------------------------------------------------


def ordered(upload: Ordered, **options: Any) -> Exchange[str]:
    """Return an upload in parts of 4 bytes."""
    return in_parts(upload, BytesBody(DATA), part_size=4, **options)


class TestResumable:
    """Parts that follow one another."""

    def test_are_sent_in_order(self, service: Service) -> None:
        """Nobody is asked for what was said."""
        upload = Ordered()
        assert "done u1" == service.run(ordered(upload))
        assert ["begin", "send 0-4", "send 4-8", "send 8-10", "finish"] == service.asked
        assert (DATA, []) == (bytes(upload.taken), service.pauses)

    @pytest.mark.parametrize(
        ("lost", "said", "result"),
        [("send 8-10", [4, 8, None], "there"), ("send 4-8", [4, None], "done u1")],
    )
    def test_the_last_of_which_may_have_been_all(
        self, service: Service, lost: str, said: list[int | None], result: str
    ) -> None:
        """Its answer was lost, the upload is gone, and the artifact may be there by that."""

        class Renewed(Ordered):
            def begin(self) -> Exchange[State]:
                self.taken.clear()
                return (yield from super().begin())

        service.faults[lost] = [ProtocolError("the answer was lost")]
        service.faults["stored"] = [answered("there")]
        upload = Renewed()
        upload.said = said
        assert result == service.run(ordered(upload))
        assert (result == "there") == ("stored" in service.asked)

    def test_of_nothing_are_none(self, service: Service) -> None:
        """The last request alone makes an empty artifact."""
        service.run(in_parts(Ordered(), BytesBody(b""), part_size=4))
        assert ["begin", "finish"] == service.asked

    @pytest.mark.parametrize(
        ("quota", "asked"),
        [
            (0, ["send 4-8", "status", "send 4-8", "send 8-10"]),
            (1, ["send 4-8", "status", "send 5-8", "send 8-10"]),
            (3, ["send 4-8", "status", "send 7-8", "send 8-10"]),
        ],
    )
    def test_that_came_by_half_are_not_sent_twice(
        self, service: Service, quota: int, asked: list[str]
    ) -> None:
        """The service is asked, and gets what it does not have."""
        upload = Ordered()
        upload.quota = [4, quota]
        service.run(ordered(upload))
        assert ["begin", "send 0-4", *asked, "finish"] == service.asked
        assert DATA == upload.taken

    def test_of_which_the_answer_was_lost_are_not_sent_twice(self, service: Service) -> None:
        """All of it had come."""
        upload = Ordered()

        def lost(state: State, part: PartBody) -> Exchange[Progress]:
            yield from Ordered.send(upload, state, part)
            del upload.send  # only once
            raise ProtocolError("the connection broke")

        upload.send = lost  # type: ignore[method-assign]
        service.run(ordered(upload))
        assert ["begin", "send 0-4", "status", "send 4-8"] == service.asked[:4]
        assert DATA == upload.taken

    @pytest.mark.parametrize("status", [408, 409, 416, 425])
    def test_are_asked_about_when_the_offset_may_be_another(
        self, service: Service, status: int
    ) -> None:
        """The service knows better."""
        upload = Ordered()
        upload.quota = [ResponseError("no", status=status)]
        assert "done u1" == service.run(ordered(upload))
        assert ["begin", "send 0-4", "status", "send 0-4"] == service.asked[:4]

    @pytest.mark.parametrize(
        "refusal",
        [PermissionDeniedError("no", status=403), TlsError("no"), TooLargeError("no", status=413)],
        ids=lambda refusal: type(refusal).__name__,
    )
    def test_that_are_refused_are_not_asked_about(
        self, service: Service, refusal: WebhookStorageError
    ) -> None:
        """The upload ends."""
        upload = Ordered()
        upload.quota = [refusal]
        assert refusal is fails(service, ordered(upload), type(refusal))
        assert ["begin", "send 0-4", "abort"] == service.asked

    def test_that_find_no_upload_are_not_asked_about(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Some services say it by a 409; twice it is an error, and nothing is left."""
        upload = Ordered()
        upload.quota = [ObjectNotFoundError("no such upload", status=409)] * 2
        service.faults["abort"] = [answered("no way")]
        error = fails(service, ordered(upload), ObjectNotFoundError)
        assert ["begin", "send 0-4", "begin", "send 0-4", "abort"] == service.asked
        assert (None, []) == (error.hint, warnings(caplog))

    def test_that_bring_nothing_are_given_up(self, service: Service) -> None:
        """Four attempts without progress, with growing pauses in between."""
        upload = Ordered()
        upload.quota = [4, 0, 0, 0, 0]
        error = fails(service, ordered(upload), ProtocolError)
        assert 4 == service.asked.count("send 4-8") == service.asked.count("status")
        assert ("abort", 3) == (service.asked[-1], len(service.pauses))
        assert "the connection broke" in str(error)

    def test_that_bring_something_are_not_given_up(self, service: Service) -> None:
        """Progress counts anew, however often the connection breaks."""
        upload = Ordered()
        upload.quota = [0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0]
        assert "done u1" == service.run(ordered(upload))
        assert DATA == upload.taken

    def test_that_are_taken_without_being_kept_are_given_up(self, service: Service) -> None:
        """A service that says thank you and stays where it is."""
        upload = Ordered()
        upload.said = [0]

        def idle(state: State, part: PartBody) -> Exchange[Progress]:
            yield from call("send")
            return Progress(state, 0)

        upload.send = idle  # type: ignore[method-assign]
        error = fails(service, ordered(upload), UnexpectedAnswerError)
        assert (4, "takes no more of the upload than 0 bytes") == (
            service.asked.count("send"),
            str(error).removeprefix("the service "),
        )

    @pytest.mark.parametrize("said", [5, 11, -1])
    def test_that_nobody_sent_are_an_error(self, service: Service, said: int) -> None:
        """Somebody else writes to the upload: it is aborted."""
        upload, kept = Ordered(), Kept()
        upload.said = [said]
        error = fails(service, ordered(upload, checkpoint=kept), IntegrityError)
        assert f"has {said} bytes of the upload, and at most 4 were sent" in str(error)
        assert ("abort", 1) == (service.asked[-1], kept.cleared)

    def test_that_were_lost_are_sent_again(self, service: Service) -> None:
        """A service may have less than it said."""
        upload = Ordered()
        upload.quota = [4, 0]

        def forgetful(state: State) -> Exchange[Progress | None]:
            del upload.taken[2:]
            return (yield from Ordered.status(upload, state))

        upload.status = forgetful  # type: ignore[method-assign]
        service.run(ordered(upload))
        assert ["begin", "send 0-4", "send 4-8", "status", "send 2-4"] == service.asked[:5]
        assert DATA == upload.taken

    def test_go_on_by_what_the_service_said_last(self, service: Service) -> None:
        """A state that changes is kept before the next request."""
        upload, kept = Ordered(), Kept()
        upload.quota = [0]
        service.faults["status"] = [answered("u2")]
        assert "done u2" == service.run(ordered(upload, checkpoint=kept))
        ids = [state["upload"]["id"] for state in kept.saves]
        assert ["u1", "u2", "u2"] == ids

    def test_are_gone_on_with_where_the_service_is(self, service: Service) -> None:
        """In the middle of a part."""
        upload, kept = Ordered(), Kept(saved())
        upload.taken += DATA[:6]
        assert "done u9" == service.run(ordered(upload, checkpoint=kept))
        assert ["status", "send 6-8", "send 8-10", "finish"] == service.asked
        assert DATA == upload.taken

    def test_that_are_all_there_need_their_end_only(self, service: Service) -> None:
        """Nothing is sent twice."""
        upload, kept = Ordered(), Kept(saved(finishing=True))
        upload.taken += DATA
        service.run(ordered(upload, checkpoint=kept))
        assert ["status", "finish"] == service.asked

    @pytest.mark.parametrize("said", [[11], [-1]])
    def test_of_another_source_are_not_gone_on_with(
        self, service: Service, said: list[int | None]
    ) -> None:
        """A service that has more than there is has something else."""
        upload, kept = Ordered(), Kept(saved())
        upload.said = said
        fails(service, ordered(upload, checkpoint=kept), IntegrityError)
        assert (["status", "abort"], 1) == (service.asked, kept.cleared)

    def test_that_the_service_has_forgotten_are_sent_anew(self, service: Service) -> None:
        """It is at the beginning then, whatever it was at."""
        upload, kept = Ordered(), Kept(saved())
        upload.said = [None]
        assert "done u1" == service.run(ordered(upload, checkpoint=kept))
        assert ["status", "begin", "send 0-4"] == service.asked[:3]

    def test_a_state_with_a_secret_in_it_is_refused(self, service: Service) -> None:
        """Also one that comes later."""
        upload, kept = Ordered(), Kept()
        upload.quota = [0]
        service.faults["status"] = [answered("u s3cret", secret="s3cret")]
        fails(service, ordered(upload, checkpoint=kept), UnexpectedAnswerError)
        assert "s3cret" not in str(kept.saves)


# --- interruptions --------------------------------------------------------------------------------


def interrupted(exchange: Exchange[Any], service: Service, at: str) -> None:
    """Close an exchange when it sends a request."""
    answer: Any = None
    while True:
        wish = exchange.send(answer)
        if isinstance(wish, Request) and wish.url == at:
            exchange.close()
            return
        try:
            answer = service.grant(wish)
        except WebhookStorageError as error:
            wish = exchange.throw(error)
            assert isinstance(wish, Request)
            assert wish.url == at
            exchange.close()
            return


class TestInterrupted:
    """Somebody presses Ctrl-C, or a task is cancelled."""

    def test_what_is_left_is_logged(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing can be asked any more."""
        interrupted(ordered(Ordered()), service, at="send 4-8")
        told = "left at the service: upload 'u1'; it ends by itself"
        assert [f"an upload in parts was interrupted; {told}"] == warnings(caplog)
        assert "abort" not in service.asked

    def test_a_name_that_is_a_right_is_not_logged(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is said how it can be found, or what becomes of it."""

        class Secretive(Ordered):
            def public_id(self, state: State) -> str | None:
                return Upload.public_id(self, state)

        interrupted(ordered(Secretive()), service, at="send 4-8")
        told = "left at the service: an upload in parts; it ends by itself"
        assert [f"an upload in parts was interrupted; {told}"] == warnings(caplog)

    def test_with_a_checkpoint_it_can_be_gone_on_with(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And then it says so."""
        kept = Kept()
        interrupted(ordered(Ordered(), checkpoint=kept), service, at="send 4-8")
        (told,) = warnings(caplog)
        assert "store the same again with the same checkpoint" in told
        assert kept.state is not None

    def test_before_it_began_nothing_is_left(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A preview looks at the first request and closes the rest."""
        interrupted(ordered(Ordered()), service, at="begin")
        assert [] == warnings(caplog)

    def test_also_the_abort_can_be_interrupted(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Twice Ctrl-C leaves the same as once."""
        service.faults["send 0-4"] = [PermissionDeniedError("no", status=403)]
        interrupted(ordered(Ordered()), service, at="abort")
        (told,) = warnings(caplog)
        assert "left at the service: upload 'u1'" in told

    def test_after_its_end_nothing_is_left(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An artifact is no upload any more."""
        kept = Kept()
        exchange = ordered(Ordered(), checkpoint=kept)
        answer: Any = None
        while "finish" not in service.asked:
            answer = service.grant(exchange.send(answer))
        exchange.send(answer)
        exchange.close()
        assert [] == warnings(caplog)


def test_a_conflict_at_the_end_is_told_as_it_is(service: Service) -> None:
    """A condition that does not hold ends the upload, and its parts are taken away."""
    service.faults["finish"] = [ConflictError("it changed", status=412)]
    fails(service, in_parts(Numbered(), BytesBody(DATA), part_size=4), ConflictError)
    assert "abort" == service.asked[-1]
