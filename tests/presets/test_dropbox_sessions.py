"""What is too large for one request goes to Dropbox in parts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import dropbox
import pytest
from dropbox.files import CommitInfo, UploadSessionCursor

from tests.fakes.dropbox import BLOCK, FakeDropbox
from tests.fakes.http import Answer, json_answer
from webhook_storage import RetryPolicy, Sender, Storage
from webhook_storage.artifact import BytesBody
from webhook_storage.contracts import Deadline, Found, Outcome, Resolver
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    ResponseError,
    ServerError,
    TooLargeError,
    UnexpectedAnswerError,
)
from webhook_storage.secret import SecretValue
from webhook_storage_presets.dropbox import Dropbox, content_hash
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from pathlib import Path

    from webhook_storage.template import Reference

Call = Callable[..., Any]
Make = Callable[..., Dropbox]

SESSION = "/2/files/upload_session"
START, APPEND, FINISH = f"{SESSION}/start", f"{SESSION}/append_v2", f"{SESSION}/finish"


@pytest.fixture
def fake() -> Iterator[FakeDropbox]:
    """Start a fake Dropbox."""
    with FakeDropbox(token="sl.canary-1") as server:
        yield server


@pytest.fixture
def make(fake: FakeDropbox) -> Iterator[Make]:
    """Return a maker of storages that send everything in parts of one block."""
    defaults: dict[str, Any] = {
        "path": "/flows/${artifact.key}",
        "content_origin": fake.url,
        "api_origin": fake.url,
        "session_above": 0,
        "part_size": BLOCK,
    }
    with _sending(fake.token):
        yield lambda **options: Dropbox(**{**defaults, **options})


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Return a caller of an operation, once as it is and once as its twin for event loops."""

    def run(storage: Storage, operation: str, *args: Any, **options: Any) -> Any:
        if request.param == "sync":
            return getattr(storage, operation)(*args, **options)
        return asyncio.run(getattr(storage, f"a{operation}")(*args, **options))

    return run


def _sending(token: str) -> Sender:
    secrets = [MappingResolver({"DBOX_OAUTH2_TOKEN": token})]
    return Sender(secrets=secrets, retry=RetryPolicy(max_delay=0))


def _blocks(count: float) -> bytes:
    """Return so many blocks of 4 MiB, each another one."""
    seed = uuid4().bytes
    size = int(count * BLOCK)
    return b"".join(
        (seed + bytes([number])) * (BLOCK // 17 + 1) for number in range(int(count) + 1)
    )[:size]


def _arguments(fake: FakeDropbox, path: str) -> list[dict[str, Any]]:
    """Return the arguments of the requests to a path."""
    found = fake.received(path)
    return [json.loads(request.headers["dropbox-api-arg"]) for request in found]


def _sizes(fake: FakeDropbox) -> list[int]:
    """Return the sizes of the parts that were sent, without the questions after the offset."""
    return [request.size for request in fake.received(APPEND) if request.size]


class TestParts:
    """A session from its start to its finish."""

    @pytest.mark.parametrize("count", [0.25, 1, 2, 2.25])
    def test_become_the_file(self, make: Make, fake: FakeDropbox, call: Call, count: float) -> None:
        """The receipt is that of any other store."""
        data, storage = _blocks(count), make()
        receipt = call(storage, "put", data, "a")
        stored = fake.files["/flows/a"]
        assert (stored.rev, {"id": stored.id, "rev": stored.rev}, len(data)) == (
            receipt.version,
            receipt.captures,
            receipt.size,
        )
        assert (data, {}) == (call(storage, "get", receipt), fake.sessions)

    def test_are_announced_with_their_offset_and_their_hash(
        self, make: Make, fake: FakeDropbox
    ) -> None:
        """Dropbox compares each of them, and the last request says what becomes of them."""
        data = _blocks(2.25)
        make(mute=False).put(data, "a")
        assert [{"close": False}] == _arguments(fake, START)
        appended = _arguments(fake, APPEND)
        assert [0, BLOCK, 2 * BLOCK] == [each["cursor"]["offset"] for each in appended]
        assert [content_hash_of(data[at : at + BLOCK]) for at in (0, BLOCK, 2 * BLOCK)] == [
            each["content_hash"] for each in appended
        ]
        (finish,) = _arguments(fake, FINISH)
        assert (len(data), "/flows/a", "overwrite", False) == (
            finish["cursor"]["offset"],
            finish["commit"]["path"],
            finish["commit"]["mode"],
            finish["commit"]["mute"],
        )

    def test_are_for_what_is_larger(self, make: Make, fake: FakeDropbox) -> None:
        """What is as large goes in one request."""
        storage = make(session_above=10)
        storage.put(bytes(10), "a")
        assert ["/2/files/upload"] == [request.path for request in fake.requests]
        storage.put(bytes(11), "a")
        assert 1 == fake.calls[FINISH]

    def test_are_not_sent_with_a_wrong_token(self, make: Make, fake: FakeDropbox) -> None:
        """The first request is refused, and it has no bytes."""
        storage = make()
        with _sending("sl.canary-2"), pytest.raises(AuthenticationError) as caught:
            storage.put(_blocks(1), "a")
        assert ([0], {}) == ([request.size for request in fake.requests], fake.files)
        assert "four hours" in str(caught.value.hint)

    def test_an_expired_token_is_replaced_in_between(self, make: Make, fake: FakeDropbox) -> None:
        """A long upload outlives its access token."""

        class Refreshed(Resolver):
            scheme: ClassVar[str] = "refreshed"

            def resolve(
                self, references: Sequence[Reference], deadline: Deadline
            ) -> Mapping[Reference, Outcome]:
                return dict.fromkeys(references, Found(value=SecretValue(fake.token)))

        def expire(_request: object) -> None:
            fake.expire_tokens()
            fake.issue_token()

        storage = make()
        fake.inject(expire, path=APPEND)
        with Sender(secrets=[Refreshed()], retry=RetryPolicy(max_delay=0)):
            storage.put(_blocks(2), "a")
        assert 2 * BLOCK == len(fake.read("/flows/a"))


def content_hash_of(data: bytes) -> str:
    """Return the content hash of bytes."""
    return content_hash(BytesBody(data))


class TestFaults:
    """Requests that fail on the way."""

    def test_a_part_whose_answer_was_lost_is_not_sent_again(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """Dropbox is asked for the offset and has it all."""
        data = _blocks(3)
        fake.lose_answer(path=APPEND)
        call(make(), "put", data, "a")
        assert ([BLOCK] * 3, data) == (_sizes(fake), fake.read("/flows/a"))

    def test_a_part_that_is_refused_twice_is_sent_again_alone(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """The others are sent once."""
        data, left = _blocks(3), [503, 500]

        def refuse(request: Any) -> Answer | None:
            second = request.size and json.loads(request.headers["dropbox-api-arg"])
            if second and left and second["cursor"]["offset"] == BLOCK:
                return Answer(left.pop())
            return None

        fake.inject(refuse, path=APPEND, times=None)
        call(make(), "put", data, "a")
        assert ([BLOCK] * 5, data) == (_sizes(fake), fake.read("/flows/a"))

    def test_a_busy_dropbox_gets_each_part_once_it_has_time(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """A 429 ends no upload."""
        data = _blocks(2)
        for path in (START, APPEND, FINISH):
            fake.rate_limit(path=path, retry_after=300)
        fake.fail_write("too_many_write_operations")
        call(make(), "put", data, "a")
        assert data == fake.read("/flows/a")

    def test_an_offset_that_dropbox_knows_better_is_taken(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """A refusal that names the offset is an answer to go on by."""
        data, done = _blocks(3), list[bool]()

        def ahead(request: Any) -> None:
            if not done:
                done.append(True)
                (session,) = fake.sessions.values()
                session.parts[0] = data[:BLOCK]

        fake.inject(ahead, path=APPEND, times=None)
        call(make(), "put", data, "a")
        assert (3, data) == (len(_sizes(fake)), fake.read("/flows/a"))

    @pytest.mark.parametrize("extra", [1, BLOCK])
    def test_a_session_with_more_than_was_sent_is_an_error(
        self, make: Make, fake: FakeDropbox, call: Call, extra: int
    ) -> None:
        """Somebody else wrote to it."""

        def more(_request: object) -> None:
            (session,) = fake.sessions.values()
            session.parts[0] = bytes(BLOCK + extra)

        fake.inject(more, path=APPEND)
        with pytest.raises(IntegrityError, match="at most 4194304 were sent"):
            call(make(), "put", _blocks(3), "a")
        assert {} == fake.files

    def test_a_session_that_ended_is_begun_anew_once(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """Seven days are over in the middle of it; when they are again, it is an error."""

        def expire(request: Any) -> None:
            if request.size and json.loads(request.headers["dropbox-api-arg"])["cursor"]["offset"]:
                left[0] -= 1
                if left[0] >= 0:
                    fake.expire_sessions()

        data, left = _blocks(2), [1]
        fake.inject(expire, path=APPEND, times=None)
        call(make(), "put", data, "a")
        assert (2, data) == (fake.calls[START], fake.read("/flows/a"))
        left[0] = 2
        with pytest.raises(ObjectNotFoundError, match="no such upload session"):
            call(make(), "put", _blocks(2), "b")
        assert 4 == fake.calls[START]

    def test_a_finish_whose_answer_was_lost_is_a_finish(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """The session is gone, and the file has these bytes."""
        data = _blocks(2)
        fake.lose_answer(path=FINISH)
        receipt = call(make(), "put", data, "a")
        assert (fake.files["/flows/a"].rev, 1) == (receipt.version, fake.calls[START])

    def test_a_finish_whose_answer_was_lost_may_be_of_somebody_else(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """Another file is there: the artifact is sent again."""
        data = _blocks(2)

        def lose(_request: object) -> Answer:
            fake.expire_sessions()
            fake.put("/flows/a", b"theirs")
            return Answer(0)

        fake.inject(lose, path=FINISH)
        call(make(), "put", data, "a")
        assert (2, data) == (fake.calls[START], fake.read("/flows/a"))

    def test_to_finish_under_any_name_is_not_tried_again(
        self, make: Make, fake: FakeDropbox
    ) -> None:
        """Twice may be two files."""
        fake.lose_answer(path=FINISH)
        with pytest.raises(OSError, match="upload_session/finish"):
            make(mode="add", autorename=True).put(_blocks(1), "a")
        assert 1 == fake.calls[FINISH]

    def test_what_is_left_is_named(
        self, make: Make, fake: FakeDropbox, call: Call, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Dropbox cannot be asked to forget a session, so its id and its end are told."""
        fake.inject(Answer(503), path=APPEND, times=None)
        with pytest.raises(ServerError) as caught:
            call(make(), "put", _blocks(1), "a")
        (session_id,) = fake.sessions
        assert f"upload '{session_id}'; Dropbox drops it seven days" in str(caught.value.hint)
        (told,) = (each for each in caplog.records if each.levelno == logging.WARNING)
        assert session_id in told.getMessage()

    @pytest.mark.parametrize(
        ("tag", "kind"),
        [
            ("closed", ConflictError),
            ("too_large", TooLargeError),
            ("payload_too_large", TooLargeError),
            ("content_hash_mismatch", IntegrityError),
            ("a_tag_of_next_year", ConflictError),
        ],
    )
    def test_a_part_that_is_refused_is_told_by_its_tag(
        self, make: Make, fake: FakeDropbox, tag: str, kind: type[Exception]
    ) -> None:
        """The upload ends, unless Dropbox is at another offset."""
        refusal = json_answer(409, {"error_summary": f"{tag}/", "error": {".tag": tag}})
        fake.inject(refusal, path=APPEND, times=None)
        with pytest.raises(kind, match=tag):
            make().put(_blocks(1), "a")

    @pytest.mark.parametrize("said", [None, True, 1.5, "x", "-1", 10**30, {}])
    def test_an_offset_that_is_none_is_a_conflict(
        self, make: Make, fake: FakeDropbox, said: object
    ) -> None:
        """Nothing is guessed."""
        error = {".tag": "incorrect_offset", "correct_offset": said}
        fake.inject(json_answer(409, {"error": error}), path=APPEND, times=None)
        with pytest.raises(ConflictError, match="incorrect_offset"):
            make().put(_blocks(1), "a")

    @pytest.mark.parametrize(
        "answer",
        [
            json_answer(200, {}),
            json_answer(200, {"session_id": None}),
            json_answer(200, {"session_id": ""}),
            json_answer(200, {"session_id": "a b"}),
            json_answer(200, {"session_id": "x" * 513}),
            Answer(200, b"<html>log in</html>"),
        ],
        ids=lambda answer: answer.body[:40].decode(),
    )
    def test_a_start_that_is_none_is_refused(
        self, make: Make, fake: FakeDropbox, answer: Answer
    ) -> None:
        """No part is sent to a session that cannot be."""
        fake.inject(answer, path=START)
        with pytest.raises(UnexpectedAnswerError):
            make().put(_blocks(1), "a")
        assert 0 == fake.calls[APPEND]

    def test_a_session_id_that_quotes_the_token_is_refused(
        self, make: Make, fake: FakeDropbox, tmp_path: Path
    ) -> None:
        """It would be kept in the checkpoint."""
        fake.inject(json_answer(200, {"session_id": f"id-{fake.token}"}), path=START)
        with pytest.raises(UnexpectedAnswerError) as caught:
            make().put(_blocks(1), "a", resume=tmp_path / "checkpoint")
        assert "canary" not in f"{caught.value} {caught.value.hint}"
        assert [] == list(tmp_path.iterdir())

    def test_a_start_that_is_refused_is_told(self, make: Make, fake: FakeDropbox) -> None:
        """By its tag, as all refusals."""
        refusal = json_answer(409, {"error": {".tag": "payload_too_large"}})
        fake.inject(refusal, path=START)
        with pytest.raises(TooLargeError, match="payload_too_large"):
            make().put(_blocks(1), "a")

    def test_a_file_of_other_bytes_is_no_store(self, make: Make, fake: FakeDropbox) -> None:
        """Dropbox's last answer names the hash of the whole."""
        other = fake.put("/flows/b", b"other").metadata()
        fake.inject(json_answer(200, other), path=FINISH)
        with pytest.raises(IntegrityError, match="content hashes differ"):
            make().put(_blocks(1), "a")


class TestConditions:
    """What holds of one request holds of several."""

    def test_nothing_is_replaced(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """What is there is in the way when all is sent."""
        fake.put("/flows/a", b"old")
        with pytest.raises(ObjectExistsError, match="it is there already"):
            call(make(autorename=True), "put", _blocks(1), "a", if_absent=True)
        assert ["/flows/a"] == list(fake.files)

    def test_another_version_is_not_replaced(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """Only the one that is known is."""
        first = call(make(), "put", _blocks(1), "a")
        second = call(make(), "put", _blocks(1), "a", if_unchanged=first)
        with pytest.raises(ConflictError, match="another revision"):
            call(make(), "put", _blocks(1), "a", if_unchanged=first)
        assert second.version == fake.files["/flows/a"].rev

    def test_a_mode_is_kept(self, make: Make, fake: FakeDropbox) -> None:
        """A storage that adds does so in parts too."""
        fake.put("/flows/a", b"old")
        with pytest.raises(ObjectExistsError, match="another file is there"):
            make(mode="add").put(_blocks(1), "a")

    def test_an_answer_that_was_lost_is_no_conflict(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """A Dropbox that still knows the session says that the file is in the way."""
        data, path = _blocks(1), {".tag": "conflict", "conflict": {".tag": "file"}}
        conflict = json_answer(409, {"error": {".tag": "path", "path": path}})
        fake.lose_answer(path=FINISH)
        fake.inject(conflict, path=FINISH, after=True)
        receipt = call(make(), "put", data, "a", if_absent=True)
        assert (fake.files["/flows/a"].rev, 2) == (receipt.version, fake.calls[FINISH])


class TestResume:
    """A process that carries on where another one ended."""

    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Path:
        """Return where the checkpoint is."""
        return tmp_path / "checkpoint"

    def test_sends_what_is_missing(
        self, make: Make, fake: FakeDropbox, call: Call, checkpoint: Path
    ) -> None:
        """The session's id is all that it needs."""
        data, storage = _blocks(3), make()
        fake.inject(lambda request: Answer(400) if fake.calls[APPEND] > 2 else None,
                    path=APPEND, times=None)  # fmt: skip
        with pytest.raises(ResponseError) as caught:
            call(storage, "put", data, "a", resume=checkpoint)
        assert "same checkpoint" in str(caught.value.hint)
        (session_id,) = fake.sessions
        assert session_id in checkpoint.read_text()
        assert "canary" not in checkpoint.read_text()
        fake.clear_faults()
        call(storage, "put", data, "a", resume=checkpoint)
        assert ([BLOCK] * 4, data) == (_sizes(fake), fake.read("/flows/a"))
        assert (1, False) == (fake.calls[START], checkpoint.exists())

    def test_after_seven_days_begins_anew(
        self, make: Make, fake: FakeDropbox, call: Call, checkpoint: Path
    ) -> None:
        """The session is not there any more."""
        data, storage = _blocks(2), make()
        fake.inject(Answer(400), path=FINISH)
        with pytest.raises(ResponseError):
            call(storage, "put", data, "a", resume=checkpoint)
        fake.expire_sessions()
        call(storage, "put", data, "a", resume=checkpoint)
        assert (2, data) == (fake.calls[START], fake.read("/flows/a"))

    def test_after_the_end_sends_nothing(
        self, make: Make, fake: FakeDropbox, call: Call, checkpoint: Path
    ) -> None:
        """Also when nothing may be replaced: what is there is this artifact."""
        data, storage = _blocks(2), make()
        fake.inject(Answer(400), path=FINISH, after=True)
        options = {"resume": checkpoint, "if_absent": True}
        with pytest.raises(ResponseError):
            call(storage, "put", data, "a", **options)
        receipt = call(storage, "put", data, "a", **options)
        assert (fake.files["/flows/a"].rev, [BLOCK] * 2) == (receipt.version, _sizes(fake))
        assert not checkpoint.exists()

    def test_does_not_mix_two_artifacts(
        self, make: Make, fake: FakeDropbox, call: Call, checkpoint: Path
    ) -> None:
        """Other bytes, another key and another condition are another upload."""
        data, storage = _blocks(2), make()
        fake.inject(Answer(400), path=FINISH)
        with pytest.raises(ResponseError):
            call(storage, "put", data, "a", resume=checkpoint)
        for key, other, options in (
            ("a", data[:-1] + b"!", {}),
            ("b", data, {}),
            ("a", data, {"if_absent": True}),
        ):
            with pytest.raises(ConfigurationError, match="checkpoint of another upload"):
                call(storage, "put", other, key, resume=checkpoint, **options)
        assert {} == fake.files


@pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utc:DeprecationWarning")
class TestTheVendorsClient:
    """Dropbox's own client and the preset upload by sessions to one account."""

    @pytest.fixture
    def account(self) -> Iterator[FakeDropbox]:
        """Start a fake that speaks TLS, as the client knows nothing else."""
        with FakeDropbox(tls=True) as server:
            yield server

    @pytest.fixture
    def sdk(self, account: FakeDropbox) -> Iterator[dropbox.Dropbox]:
        """Return the vendor's client."""
        session = dropbox.create_session(ca_certs=str(account.ca_file))
        session.trust_env = False
        with contextlib.closing(dropbox.Dropbox(account.token, session=session)) as client:
            client._host_map = dict.fromkeys(client._host_map, account.host)
            yield client

    @pytest.fixture
    def ours(self, account: FakeDropbox) -> Iterator[Dropbox]:
        """Return the preset, with a sender for it."""
        with _sending(account.token):
            yield Dropbox(
                path="/Größe/${artifact.key}",
                content_origin=account.url,
                api_origin=account.url,
                verify=str(account.ca_file),
                session_above=0,
                part_size=BLOCK,
            )

    def test_reads_what_the_preset_stored_in_parts(
        self, sdk: dropbox.Dropbox, ours: Dropbox
    ) -> None:
        """Bytes and revision are the same to both."""
        data = _blocks(2.25)
        receipt = ours.put(data, "a")
        metadata, response = sdk.files_download("/größe/a")
        with contextlib.closing(response):
            assert data == response.content
        assert metadata.rev == receipt.version

    def test_stores_in_parts_what_the_preset_reads(
        self, sdk: dropbox.Dropbox, ours: Dropbox
    ) -> None:
        """Whoever sends them, the parts become the same file."""
        data = _blocks(2.25)
        session_id = sdk.files_upload_session_start(data[:BLOCK]).session_id
        cursor = UploadSessionCursor(session_id, BLOCK)
        sdk.files_upload_session_append_v2(data[BLOCK : 2 * BLOCK], cursor)
        cursor = UploadSessionCursor(session_id, 2 * BLOCK)
        sdk.files_upload_session_finish(data[2 * BLOCK :], cursor, CommitInfo("/Größe/a"))
        assert data == ours.get("a")

    def test_goes_on_with_a_session_of_the_preset(
        self, sdk: dropbox.Dropbox, ours: Dropbox, account: FakeDropbox
    ) -> None:
        """What the preset names when it fails is what the client takes."""
        data = _blocks(1)
        account.inject(Answer(400), path=FINISH)
        with pytest.raises(ResponseError) as caught:
            ours.put(data, "a")
        session_id = str(caught.value.hint).split("'")[1]
        cursor = UploadSessionCursor(session_id, len(data))
        sdk.files_upload_session_finish(b"", cursor, CommitInfo("/Größe/a"))
        assert data == ours.get("a")
