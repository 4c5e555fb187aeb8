"""The Dropbox preset stores to a fake that the vendor's own client accepts as Dropbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar

import dropbox
import pytest

from tests.fakes.dropbox import BLOCK, FakeDropbox
from tests.fakes.http import Answer, Received, json_answer
from webhook_storage import (
    LiteralSecretWarning,
    Receipt,
    RetryPolicy,
    Sender,
    Stat,
    Storage,
    Webhook,
    WebhookStorageError,
)
from webhook_storage.artifact import BytesBody, NullSink
from webhook_storage.contracts import (
    Body,
    Deadline,
    Found,
    Outcome,
    Request,
    Resolver,
    WireRequest,
    WireResponse,
    Work,
)
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    FlowNotFoundError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseError,
    SecretNotFoundError,
    ServerError,
    TooLargeError,
    UnexpectedAnswerError,
)
from webhook_storage.secret import SecretValue
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage_presets.dropbox import MAX_REQUEST, MAX_SESSION, Dropbox, content_hash
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from pathlib import Path

    from webhook_storage.template import Reference

Call = Callable[..., Any]
Make = Callable[..., Dropbox]

UPLOAD = "/2/files/upload"
DOWNLOAD = "/2/files/download"
METADATA = "/2/files/get_metadata"
KEYED = "/flows/${artifact.key}"


@pytest.fixture
def fake() -> Iterator[FakeDropbox]:
    """Start a fake Dropbox."""
    with FakeDropbox(token="sl.canary-1") as server:
        yield server


@pytest.fixture
def _sender(fake: FakeDropbox) -> Iterator[None]:
    """Let storages resolve the valid token."""
    with _sending(fake.token):
        yield


@pytest.fixture
def make(fake: FakeDropbox, _sender: None) -> Make:
    """Return a maker of storages on the fake."""

    def build(path: str = KEYED, **options: Any) -> Dropbox:
        return Dropbox(path=path, content_origin=fake.url, api_origin=fake.url, **options)

    return build


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Return a caller of an operation, once as it is and once as its twin for event loops."""

    def run(storage: Storage, operation: str, *args: Any, **options: Any) -> Any:
        if request.param == "sync":
            return getattr(storage, operation)(*args, **options)
        return asyncio.run(getattr(storage, f"a{operation}")(*args, **options))

    return run


def _sending(token: str, **options: Any) -> Sender:
    secrets = [MappingResolver({"DBOX_OAUTH2_TOKEN": token})]
    return Sender(secrets=secrets, retry=RetryPolicy(max_delay=0), **options)


def _argument(fake: FakeDropbox) -> dict[str, Any]:
    """Return the argument of the latest upload or download."""
    argument: dict[str, Any] = json.loads(fake.last.headers["dropbox-api-arg"])
    return argument


def double(number: int) -> int:
    """Be a flow."""
    return 2 * number


class TestContentHash:
    """The hash by which Dropbox knows bytes."""

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"hello world", "bc62d4b80d9e36da29c16c5d4d9f11731f36052c72401a76c23c0fb5a9b74423"),
            (bytes(5 << 20), "f8bd3b7fc59d52351f1518fcecab6a686585ff0a707e9da79d717a1ed108ea2a"),
        ],
        ids=["empty", "short", "two-blocks"],
    )
    def test_is_that_of_the_published_algorithm(self, data: bytes, expected: str) -> None:
        """Known bytes have the known hash."""
        assert expected == content_hash(BytesBody(data))

    @pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
    @pytest.mark.parametrize("step", [BLOCK // 3, BLOCK, 3 * BLOCK])
    def test_does_not_depend_on_the_chunks(self, size: int, step: int) -> None:
        """However the bytes come, the blocks are cut at the same places."""
        data = bytes(range(256)) * (size // 256 + 1)

        class Chunked(BytesBody):
            def chunks(self) -> Iterator[bytes]:
                return (data[:size][at : at + step] for at in range(0, size, step))

        assert content_hash(BytesBody(data[:size])) == content_hash(Chunked(data[:size]))


class TestArtifacts:
    """Bytes in and out, in both ways of calling."""

    @pytest.mark.parametrize(
        "data", [b"", b"hello world", bytes(range(256)) * 20_000], ids=["empty", "short", "blocks"]
    )
    def test_what_was_put_is_got(
        self, make: Make, fake: FakeDropbox, call: Call, data: bytes
    ) -> None:
        """The bytes come back, and the receipt says where they are and which revision they are."""
        storage = make()
        receipt = call(storage, "put", data, "a/b.bin")
        stored = fake.files["/flows/a/b.bin"]
        assert (stored.rev, {"id": stored.id, "rev": stored.rev}, len(data)) == (
            receipt.version,
            receipt.captures,
            receipt.size,
        )
        assert (data, data) == (call(storage, "get", "a/b.bin"), call(storage, "get", receipt))

    def test_an_upload_says_what_dropbox_wants_to_hear(self, make: Make, fake: FakeDropbox) -> None:
        """One request stores, with the hash by which Dropbox checks the bytes."""
        make(mute=False).put(b"hello world", "a")
        headers = fake.last.headers
        assert [UPLOAD] == [request.path for request in fake.requests]
        assert {
            "path": "/flows/a",
            "mode": "overwrite",
            "autorename": False,
            "mute": False,
            "strict_conflict": False,
            "content_hash": "bc62d4b80d9e36da29c16c5d4d9f11731f36052c72401a76c23c0fb5a9b74423",
        } == _argument(fake)
        assert ("application/octet-stream", "Bearer sl.canary-1") == (
            headers["content-type"],
            headers["authorization"],
        )

    def test_a_download_to_disk_is_what_was_stored(
        self, make: Make, fake: FakeDropbox, call: Call, tmp_path: Path
    ) -> None:
        """A file is written in whole."""
        fake.put("/flows/a", b"hello")
        assert 5 == call(make(), "download", tmp_path / "a", "a")
        assert b"hello" == (tmp_path / "a").read_bytes()

    def test_metadata_of_what_is_there(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """A stat says size, revision and time as Dropbox does."""
        stored = fake.put("/flows/a", b"12345")
        expected = Stat(size=5, version=stored.rev, modified=stored.server_modified)
        assert expected == call(make(), "stat", "a")
        assert call(make(), "exists", "a") is True

    def test_what_is_not_there_is_not_found(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """To ask is no error, to fetch and to delete is one."""
        storage = make()
        assert (None, False) == (call(storage, "stat", "a"), call(storage, "exists", "a"))
        for operation in ("get", "delete"):
            with pytest.raises(ObjectNotFoundError, match=r"there is no (such )?file"):
                call(storage, operation, "a")
        assert {} == fake.files

    def test_deleted_is_gone(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """Delete takes one file away and leaves its neighbours."""
        fake.put("/flows/a", b"1")
        fake.put("/flows/b", b"2")
        call(make(), "delete", "a")
        assert ["/flows/b"] == list(fake.files)

    @pytest.mark.parametrize(
        "key",
        [
            "Größe/\N{SNOWMAN} \N{GRINNING FACE}",
            'a "b" \\c\\ {d}',
            "${HOME}",
            "$x",
            "a%2Fb?c#d",
        ],
    )
    def test_any_name_arrives_as_it_is(
        self, make: Make, fake: FakeDropbox, call: Call, key: str
    ) -> None:
        """Neither Unicode nor quotes, backslashes and placeholders in a key change the request."""
        receipt = call(make(), "put", b"x", key)
        assert [f"/flows/{key}"] == [file.path for file in fake.files.values()]
        assert (b"x", [key]) == (call(make(), "get", receipt), call(make(), "list"))

    @pytest.mark.parametrize("key", ["../a", "a/../../b", "./a", "..\\a", "%2e%2e/a"])
    def test_a_key_stays_in_its_folder(self, make: Make, fake: FakeDropbox, key: str) -> None:
        """A key that climbs is refused before anything is sent."""
        for operation in ("get", "stat", "delete"):
            with pytest.raises(ConfigurationError, match=r"artifact\.key"):
                getattr(make(), operation)(key)
        with pytest.raises(ConfigurationError, match=r"artifact\.key"):
            make().put(b"x", key)
        assert [] == fake.requests

    def test_facts_and_secrets_may_stand_in_the_path(self, make: Make, fake: FakeDropbox) -> None:
        """A path is made of whatever is known when it is needed."""
        path = "/${TEAM}/${artifact.size}/${artifact.sha256}/${artifact.key}"
        storage = make(path)
        with Sender(secrets=[MappingResolver({"DBOX_OAUTH2_TOKEN": fake.token, "TEAM": "red"})]):
            receipt = storage.put(b"abc", "a")
            assert f"/red/3/{receipt.sha256}/a" == next(iter(fake.files))
            assert b"abc" == storage.get(receipt)


class TestListing:
    """Files to keys."""

    def test_names_all_files_below(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """Keys with slashes are listed too, files of another kind or folder are not."""
        keys = [f"{folder}{name}" for folder in ("", "deep/er/") for name in "abcde"]
        for key in keys:
            fake.put(f"/flows/{key}.bin", b"x")
        fake.put("/flows/other.txt", b"x")
        fake.put("/elsewhere/a.bin", b"x")
        assert sorted(keys) == sorted(call(make("/Flows/${artifact.key}.bin"), "list"))

    def test_follows_the_cursor(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """A page that is not the last leads to the next one."""
        keys = [f"{number:04}" for number in range(501)]
        for key in keys:
            fake.put(f"/flows/{key}", b"")
        assert keys == call(make(), "list")
        assert 1 == fake.calls["/2/files/list_folder/continue"]

    def test_starts_again_when_dropbox_says_so(self, make: Make, fake: FakeDropbox) -> None:
        """A listing that is reset begins anew, and names each key once that is there then."""
        for number in range(502):
            fake.put(f"/flows/{number:04}", b"")

        def reset(_request: Received) -> Answer:
            del fake.files["/flows/0000"]
            return json_answer(409, {"error_summary": "reset/..", "error": {".tag": "reset"}})

        fake.inject(reset, path="/2/files/list_folder/continue")
        assert [f"{number:04}" for number in range(1, 502)] == make().list()
        assert 2 == fake.calls["/2/files/list_folder"]

    def test_gives_up_when_it_is_reset_again_and_again(self, make: Make, fake: FakeDropbox) -> None:
        """A listing that never ends is an error."""
        for number in range(501):
            fake.put(f"/flows/{number:04}", b"")
        reset = json_answer(409, {"error_summary": "reset/..", "error": {".tag": "reset"}})
        fake.inject(reset, path="/2/files/list_folder/continue", times=None)
        with pytest.raises(ConflictError, match="reset"):
            make().list()

    def test_a_folder_that_is_not_there_is_empty(self, make: Make, call: Call) -> None:
        """Dropbox makes a folder with its first file, so none is no error."""
        assert [] == call(make(), "list")

    @pytest.mark.parametrize(
        ("path", "stored", "expected"),
        [
            ("/${artifact.key}", "/a/b", ["a/b"]),
            ("/Apps/flows/${flow.slug}.flow", "/Apps/flows/my-flow.flow", ["my-flow"]),
            (
                "/f/${flow.slug}-${build.time}.flow",
                "/f/my-flow-2026-01-02t03-04-05-678901z.flow",
                ["my-flow"],
            ),
            ("/f/${flow.name}/${flow.name}.flow", "/f/my flow/my flow.flow", ["my flow"]),
            ("/f/${flow.name}/${flow.name}.flow", "/f/one/two.flow", []),
            ("/f/(x)/${artifact.key}", "/f/(x)/a", ["a"]),
            ("/f/$$5/${artifact.key}", "/f/$5/a", ["a"]),
            ("/${TEAM}/f-${artifact.key}", "/red/f-a", ["a"]),
        ],
    )
    def test_keys_are_what_their_placeholder_stood_for(
        self, make: Make, fake: FakeDropbox, path: str, stored: str, expected: list[str]
    ) -> None:
        """A path is read backwards, whatever else stands in it."""
        fake.put(stored, b"x")
        with Sender(secrets=[MappingResolver({"DBOX_OAUTH2_TOKEN": fake.token, "TEAM": "red"})]):
            assert expected == make(path).list()

    @pytest.mark.parametrize("path", ["/a/fixed.bin", "/a/${artifact.key|base64url}"])
    def test_is_refused_where_no_key_can_be_had(
        self, make: Make, fake: FakeDropbox, path: str
    ) -> None:
        """A path that cannot be read backwards has no list, and nobody is asked."""
        with pytest.raises(ConfigurationError, match="list"):
            make(path).list()
        assert [] == fake.requests

    def test_a_cursor_is_no_template(self, make: Make, fake: FakeDropbox) -> None:
        """What the server sends cannot name a secret that is then sent to it."""
        page = {"entries": [], "cursor": "${DBOX_OAUTH2_TOKEN}", "has_more": True}
        fake.inject(json_answer(200, page), path="/2/files/list_folder")
        with pytest.raises(ResponseError, match="cursor"):
            make().list()
        expected = len(b'{"cursor":"${DBOX_OAUTH2_TOKEN}"}')
        assert expected == fake.last.size


class TestCredentials:
    """Right and wrong tokens."""

    @pytest.mark.parametrize(
        ("operation", "arguments"),
        [
            ("put", (b"new", "a")),
            ("get", ("a",)),
            ("stat", ("a",)),
            ("delete", ("a",)),
            ("list", ()),
        ],
    )
    @pytest.mark.parametrize("token", ["wrong", "expired"])
    def test_a_bad_token_opens_nothing(
        self,
        make: Make,
        fake: FakeDropbox,
        call: Call,
        operation: str,
        arguments: tuple[Any, ...],
        token: str,
    ) -> None:
        """Each operation fails with the token's fault, and what is stored stays as it is."""
        fake.put("/flows/a", b"old")
        storage = make()
        if token == "expired":
            fake.expire_tokens()
        with (
            _sending("sl.canary-2" if token == "wrong" else fake.token),
            pytest.raises(AuthenticationError, match="access_token") as caught,
        ):
            call(storage, operation, *arguments)
        assert "sl.canary" not in repr(caught.value) + str(caught.value.hint)
        assert ("four hours" in str(caught.value.hint), b"old") == (True, fake.read("/flows/a"))

    def test_a_new_token_is_asked_for_when_the_old_one_expires(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """A token that was refreshed meanwhile is used without anybody's doing."""

        class Refreshed(Resolver):
            scheme: ClassVar[str] = "refreshed"

            def resolve(
                self, references: Sequence[Reference], deadline: Deadline
            ) -> Mapping[Reference, Outcome]:
                return dict.fromkeys(references, Found(value=SecretValue(fake.token)))

        storage = make()
        with Sender(secrets=[Refreshed()]):
            call(storage, "put", b"one", "a")
            fake.expire_tokens()
            fake.issue_token()
            call(storage, "put", b"two", "a")
        assert (b"two", 3) == (fake.read("/flows/a"), fake.calls[UPLOAD])

    def test_a_token_without_the_scope_is_refused(self, make: Make, fake: FakeDropbox) -> None:
        """A missing scope is named."""
        fake.scopes.discard("files.content.write")
        with pytest.raises(AuthenticationError, match=r"missing_scope.*files\.content\.write"):
            make().put(b"x", "a")
        assert {} == fake.files

    def test_a_missing_token_is_named(self, make: Make, fake: FakeDropbox) -> None:
        """Without a value for the placeholder nothing is sent."""
        with Sender(secrets=[MappingResolver({})]), pytest.raises(SecretNotFoundError) as caught:
            make().put(b"x", "a")
        assert (("DBOX_OAUTH2_TOKEN",), []) == (caught.value.names, fake.requests)

    def test_a_literal_token_is_warned_of(self) -> None:
        """A definition that holds the token itself is allowed and not silent about it."""
        with pytest.warns(LiteralSecretWarning, match="token") as caught:
            Dropbox(path="/a", token="sl.canary-3")
        assert "canary" not in str(caught[0].message)

    def test_a_placeholder_is_not_warned_of(self) -> None:
        """Warnings are errors here, so that this raises none says it all."""
        storage = Dropbox(path="/a", token="${vault:secret/dropbox#token}")
        assert "${vault:secret/dropbox#token}" == storage.token


class TestConflicts:
    """What a store does to what is there."""

    def test_add_refuses_other_bytes(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """What is there stays, and the error says that it exists."""
        fake.put("/flows/a", b"old")
        with pytest.raises(ObjectExistsError, match="path/conflict/file"):
            call(make(mode="add"), "put", b"new", "A")
        assert b"old" == fake.read("/flows/a")

    def test_add_takes_the_same_bytes(self, make: Make, fake: FakeDropbox) -> None:
        """The same bytes are in nobody's way, and make no new revision."""
        stored = fake.put("/flows/a", b"old")
        assert stored.rev == make(mode="add").put(b"old", "a").version

    def test_strict_add_refuses_the_same_bytes(self, make: Make, fake: FakeDropbox) -> None:
        """Strictly, a file is in the way whatever it holds."""
        fake.put("/flows/a", b"old")
        with pytest.raises(ObjectExistsError):
            make(mode="add", strict_conflict=True).put(b"old", "a")

    def test_overwrite_replaces(self, make: Make, fake: FakeDropbox) -> None:
        """The newer bytes win and get a revision of their own."""
        storage = make()
        first, second = storage.put(b"one", "a"), storage.put(b"two", "a")
        assert (b"two", first.captures["id"]) == (fake.read("/flows/a"), second.captures["id"])
        assert first.version != second.version

    def test_update_replaces_the_revision_that_it_knows(
        self, make: Make, fake: FakeDropbox
    ) -> None:
        """A remembered receipt says which revision may go."""
        storage = make(mode="update")
        storage.remember(storage.put(b"one", "a"))
        storage.remember(storage.put(b"two", "a"))
        assert b"two" == fake.read("/flows/a")

    def test_update_refuses_another_revision(self, make: Make, fake: FakeDropbox) -> None:
        """What somebody else stored meanwhile is not replaced."""
        storage = make(mode="update")
        storage.remember(storage.put(b"one", "a"))
        fake.put("/flows/a", b"theirs")
        with pytest.raises(ConflictError, match="another revision"):
            storage.put(b"two", "a")
        assert b"theirs" == fake.read("/flows/a")

    def test_update_without_a_receipt_creates_only(self, make: Make, fake: FakeDropbox) -> None:
        """Who knows no revision replaces none."""
        fake.put("/flows/a", b"theirs")
        with pytest.raises(ConflictError, match="another revision"):
            make(mode="update").put(b"two", "a")

    def test_a_renamed_artifact_is_found_by_its_receipt(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """With autorename the receipt leads to the file, whatever it is called now."""
        fake.put("/flows/a.txt", b"old")
        storage = make(mode="add", autorename=True)
        receipt = call(storage, "put", b"new", "a.txt")
        assert ["/flows/a (1).txt", "/flows/a.txt"] == sorted(fake.files)
        assert (b"new", b"old") == (call(storage, "get", receipt), call(storage, "get", "a.txt"))
        call(storage, "delete", receipt)
        assert ["/flows/a.txt"] == sorted(fake.files)

    @pytest.mark.parametrize(
        ("present", "words"),
        [("/flows/a/b", "a folder has that name"), ("/flows", "the name of one of its folders")],
    )
    def test_folders_and_files_are_in_each_others_way(
        self, make: Make, fake: FakeDropbox, present: str, words: str
    ) -> None:
        """The error says what is in the way."""
        fake.put(present, b"x")
        with pytest.raises(ConflictError, match=words):
            make().put(b"x", "a")

    def test_a_folder_is_no_artifact(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """A folder is not there for stat, not fetched, and never deleted."""
        fake.put("/flows/a/b", b"x")
        storage = make()
        assert None is call(storage, "stat", "a")
        with pytest.raises(ObjectNotFoundError, match="a folder has that name"):
            call(storage, "get", "a")
        with pytest.raises(ObjectNotFoundError):
            call(storage, "delete", "a")
        assert b"x" == fake.read("/flows/a/b")

    def test_delete_by_receipt_takes_what_was_stored_only(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """A newer revision of somebody else is not deleted."""
        storage = make()
        receipt = call(storage, "put", b"mine", "a")
        fake.put("/flows/a", b"theirs")
        with pytest.raises(ConflictError, match="path_write/conflict/file"):
            call(storage, "delete", receipt)
        assert b"theirs" == fake.read("/flows/a")


class TestConditions:
    """Stores that look at what is there."""

    @pytest.mark.parametrize("options", [{}, {"autorename": True}, {"mode": "update"}], ids=str)
    @pytest.mark.parametrize("data", [b"old", b"new"], ids=["same", "other"])
    def test_nothing_is_replaced(
        self, make: Make, fake: FakeDropbox, call: Call, options: dict[str, Any], data: bytes
    ) -> None:
        """What is there is in the way whatever it holds, and whatever the storage does else."""
        fake.put("/flows/a", b"old")
        with pytest.raises(ObjectExistsError, match="it is there already") as caught:
            call(make(**options), "put", data, "a", if_absent=True)
        assert "without if_absent" in str(caught.value.hint)
        assert ["/flows/a"] == list(fake.files)
        assert b"old" == fake.read("/flows/a")

    def test_what_is_absent_is_created(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """Once."""
        assert 1 == call(make(), "put", b"x", "a", if_absent=True).size
        assert b"x" == fake.read("/flows/a")

    def test_the_version_that_is_known_is_replaced(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """By its receipt, or by the revision."""
        storage = make()
        first = call(storage, "put", b"one", "a")
        second = call(storage, "put", b"two", "a", if_unchanged=first)
        call(storage, "put", b"three", "a", if_unchanged=second.version)
        assert b"three" == fake.read("/flows/a")

    @pytest.mark.parametrize("data", [b"theirs", b"two"], ids=["same", "other"])
    def test_another_version_is_not_replaced(
        self, make: Make, fake: FakeDropbox, call: Call, data: bytes
    ) -> None:
        """Nor is a file of another name made."""
        storage = make(autorename=True)
        first = call(storage, "put", b"one", "a")
        theirs = fake.put("/flows/a", b"theirs")
        with pytest.raises(ConflictError, match="another revision is there"):
            call(storage, "put", data, "a", if_unchanged=first)
        assert {"/flows/a": theirs} == fake.files

    def test_what_was_deleted_is_not_made_again(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """That version is not there any more."""
        storage = make()
        receipt = call(storage, "put", b"one", "a")
        call(storage, "delete", "a")
        with pytest.raises(ConflictError):
            call(storage, "put", b"two", "a", if_unchanged=receipt)
        assert {} == fake.files

    @pytest.mark.parametrize("condition", ["if_absent", "if_unchanged"])
    def test_an_answer_that_was_lost_is_no_conflict(
        self, make: Make, fake: FakeDropbox, call: Call, condition: str
    ) -> None:
        """What is there is what the first attempt stored."""
        rev = fake.put("/flows/a", b"old").rev
        options: dict[str, Any] = {condition: rev if condition == "if_unchanged" else True}
        if condition == "if_absent":
            make().delete("a")
        fake.lose_answer(path=UPLOAD)
        receipt = call(make(), "put", b"new", "a", **options)
        assert (fake.files["/flows/a"].rev, 2) == (receipt.version, fake.calls[UPLOAD])

    def test_an_answer_that_was_lost_does_not_hide_a_conflict(
        self, make: Make, fake: FakeDropbox
    ) -> None:
        """Somebody else's file is not taken for what the first attempt stored."""
        fake.put("/flows/a", b"theirs")
        fake.lose_answer(path=UPLOAD)
        with pytest.raises(ObjectExistsError):
            make().put(b"new", "a", if_absent=True)
        assert b"theirs" == fake.read("/flows/a")

    def test_a_version_is_no_template(self, make: Make, fake: FakeDropbox) -> None:
        """It came from the service, and cannot name a secret that is then sent to it."""
        with pytest.raises(ResponseError, match="mode") as caught:
            make().put(b"new", "a", if_unchanged="${DBOX_OAUTH2_TOKEN}")
        assert "canary" not in str(caught.value)
        assert "${DBOX_OAUTH2_TOKEN}" == _argument(fake)["mode"]["update"]


class TestRefusals:
    """What Dropbox says no to, and how it is told."""

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [
            ("no_write_permission", PermissionDeniedError),
            ("team_folder", PermissionDeniedError),
            ("insufficient_space", ResponseError),
            ("disallowed_name", ResponseError),
            ("too_many_write_operations", RateLimitedError),
            ("a_tag_of_next_year", ConflictError),
        ],
    )
    def test_a_write_error_is_told_by_its_tag(
        self,
        make: Make,
        fake: FakeDropbox,
        call: Call,
        reason: str,
        kind: type[WebhookStorageError],
    ) -> None:
        """Each tag has the error that says the same, with the path's template."""
        fake.fail_write(reason, times=4)
        with pytest.raises(kind, match=rf"\$\{{artifact.key\}} .*409 \(path/{reason}\)") as caught:
            call(make(), "put", b"x", "a")
        assert (kind, True) == (type(caught.value), bool(caught.value.hint))

    def test_contention_is_tried_again(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """Too many writers at once is no fault of this one, whatever its mode."""
        fake.fail_write("too_many_write_operations", times=3)
        call(make(mode="add", autorename=True), "put", b"x", "a")
        assert (b"x", 4) == (fake.read("/flows/a"), fake.calls[UPLOAD])

    def test_contention_that_stays_is_an_error(self, make: Make, fake: FakeDropbox) -> None:
        """The attempts end, and the caller may come back."""
        fake.fail_write("too_many_write_operations", times=4)
        with pytest.raises(RateLimitedError) as caught:
            make().put(b"x", "a")
        assert (True, 409, 4) == (
            caught.value.retryable,
            caught.value.status,
            caught.value.attempts,
        )

    def test_a_name_that_dropbox_does_not_take(self, make: Make, fake: FakeDropbox) -> None:
        """It is refused by its tag."""
        fake.fail_write("disallowed_name")
        with pytest.raises(ResponseError, match="path/disallowed_name"):
            make().put(b"x", "a")

    def test_tags_within_tags_come_to_an_end(self, make: Make, fake: FakeDropbox) -> None:
        """An error that is nested deeper than any of Dropbox's is told by its first tags."""
        error: object = "innermost"
        for _ in range(50):
            error = {".tag": "t", "t": error}
        fake.inject(json_answer(409, {"error": error}), path=UPLOAD)
        with pytest.raises(ConflictError, match=r"\(t/t/t/t/t\)"):
            make().put(b"x", "a")

    def test_plain_text_is_shown(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """A 400 carries Dropbox's own words."""
        fake.app_scopes.discard("files.content.write")
        with pytest.raises(
            ResponseError, match=r"required scope 'files\.content\.write'"
        ) as caught:
            call(make(), "put", b"x", "a")
        assert 400 == caught.value.status

    def test_an_error_that_quotes_the_token_is_redacted(
        self, make: Make, fake: FakeDropbox
    ) -> None:
        """A value that the server sends back is not shown."""
        fake.inject(Answer(400, b"bad token sl.canary-1"), path=UPLOAD)
        with pytest.raises(ResponseError) as caught:
            make().put(b"x", "a")
        assert "canary" not in f"{caught.value!r} {caught.value.hint}"

    def test_a_tag_that_quotes_the_token_is_left_out(self, fake: FakeDropbox, make: Make) -> None:
        """A value that looks like a tag is not shown either."""
        error = {"error": {".tag": "canary_as_a_tag"}}
        fake.inject(json_answer(409, error), path=UPLOAD)
        storage = make()
        with _sending("canary_as_a_tag"), pytest.raises(ConflictError, match="no tag") as caught:
            storage.put(b"x", "a")
        assert "canary" not in f"{caught.value!r} {caught.value.hint}"

    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>no</html>", b"[]", b'"x"', b'{"error": 1}', b'{"error": {".tag": "A B"}}'],
    )
    def test_a_409_that_says_nothing_is_a_conflict(
        self, make: Make, fake: FakeDropbox, body: bytes
    ) -> None:
        """Whatever its body is, the error is one of ours and shows none of it."""
        fake.inject(Answer(409, body), path=UPLOAD)
        with pytest.raises(ConflictError, match=r"409 \(no tag\)"):
            make().put(b"x", "a")

    def test_an_error_page_is_not_shown(self, make: Make, fake: FakeDropbox) -> None:
        """An HTML page is told by its status."""
        page = Answer(500, b"<html>oops</html>", {"Content-Type": "text/html"})
        fake.inject(page, times=None)
        with pytest.raises(ServerError) as caught:
            make().get("a")
        assert "oops" not in str(caught.value)

    @pytest.mark.parametrize("operation", ["get", "stat", "delete"])
    def test_a_login_page_is_no_answer(self, make: Make, fake: FakeDropbox, operation: str) -> None:
        """A page that comes with status 200 is not taken for Dropbox."""
        page = Answer(200, b"<html>log in</html>", {"Content-Type": "text/html"})
        fake.inject(page, times=None)
        with pytest.raises(UnexpectedAnswerError):
            getattr(make(), operation)("a")
        with pytest.raises(UnexpectedAnswerError):
            make().put(b"x", "a")
        with pytest.raises(UnexpectedAnswerError):
            make().list()


class TestSize:
    """One request takes 150 MiB."""

    def test_more_than_a_session_takes_is_refused_before_anything_is_read(self) -> None:
        """A byte too many is told."""
        body = type("Huge", (BytesBody,), {"size": MAX_SESSION + 1})(b"")
        exchange = Dropbox(path=KEYED).store_exchange(body, {"artifact.key": "a"})
        with pytest.raises(TooLargeError, match=f"{MAX_SESSION + 1} bytes are more than"):
            next(exchange)

    def test_that_much_is_taken(self, make: Make, fake: FakeDropbox, tmp_path: Path) -> None:
        """The limit itself can be stored."""
        path = _sparse(tmp_path, MAX_REQUEST)
        assert MAX_REQUEST == make().put(path, "a").size

    def test_a_server_that_takes_less_says_so(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """Dropbox has the last word about the size."""
        fake.max_request = 10
        with pytest.raises(TooLargeError, match="payload_too_large"):
            call(make(), "put", bytes(11), "a")


def _sparse(folder: Path, size: int) -> Path:
    path = folder / "large.bin"
    with path.open("wb") as file:
        file.truncate(size)
    return path


class _Altering(HttpxTransport):
    """Changes the artifact on its way, as a broken proxy would."""

    def send(self, request: WireRequest) -> WireResponse:
        body: Body | None = request.body
        if body is not None and body.size:
            request.body = BytesBody(b"".join(body.chunks())[:-1] + b"!")
        return super().send(request)


class TestIntegrity:
    """Bytes that change on their way."""

    def test_dropbox_refuses_what_changed_on_the_way_in(
        self, make: Make, fake: FakeDropbox
    ) -> None:
        """The hash was taken before, so that nothing altered is stored."""
        storage = make()
        with (
            _sending(fake.token, transport=_Altering()),
            pytest.raises(IntegrityError, match="content_hash_mismatch"),
        ):
            storage.put(b"hello", "a")
        assert {} == fake.files

    def test_what_changed_on_the_way_out_is_not_given(
        self, make: Make, fake: FakeDropbox, call: Call, tmp_path: Path
    ) -> None:
        """Other bytes than those of which Dropbox has a hash are an error."""
        stored = fake.put("/flows/a", b"hello")
        header = {"Dropbox-API-Result": json.dumps(stored.metadata())}
        fake.inject(Answer(200, b"hellO", header), path=DOWNLOAD, times=None)
        with pytest.raises(IntegrityError, match="content hashes differ"):
            call(make(), "get", "a")
        with pytest.raises(IntegrityError, match="content hashes differ"):
            call(make(), "download", tmp_path / "a", "a")
        assert [] == list(tmp_path.iterdir())

    def test_what_somebody_replaced_is_not_taken_for_the_receipts(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """Right bytes of a wrong revision are an error where a receipt was given."""
        receipt = call(make(), "put", b"mine", "a")
        fake.put("/flows/a", b"theirs")
        with pytest.raises(IntegrityError, match="SHA-256"):
            call(make(), "get", receipt)

    def test_a_download_without_metadata_is_no_download(
        self, make: Make, fake: FakeDropbox
    ) -> None:
        """What cannot be compared is not given."""
        fake.put("/flows/a", b"hello")
        fake.inject(Answer(200, b"hello"), path=DOWNLOAD)
        with pytest.raises(UnexpectedAnswerError, match="Dropbox-API-Result"):
            make().get("a")

    def test_a_store_of_other_bytes_is_no_store(self, make: Make, fake: FakeDropbox) -> None:
        """Dropbox's answer names the hash of what it stored, and that is compared too."""
        other = fake.put("/flows/b", b"other").metadata()
        fake.inject(json_answer(200, other), path=UPLOAD)
        with pytest.raises(IntegrityError, match="content hashes differ"):
            make().put(b"hello", "a")

    @pytest.mark.parametrize("missing", ["id", "rev", "content_hash"])
    def test_a_store_without_proof_is_no_store(
        self, make: Make, fake: FakeDropbox, missing: str
    ) -> None:
        """An answer that lacks what Dropbox always says is not Dropbox's."""
        metadata = fake.put("/flows/b", b"hello").metadata()
        del metadata[missing]
        fake.inject(json_answer(200, metadata), path=UPLOAD)
        with pytest.raises(UnexpectedAnswerError, match=missing):
            make().put(b"hello", "a")

    @pytest.mark.parametrize("missing", ["size", "rev", "server_modified"])
    def test_a_stat_without_its_parts_is_no_stat(
        self, make: Make, fake: FakeDropbox, missing: str
    ) -> None:
        """Nothing is made up in place of what is not said."""
        metadata = {".tag": "file", **fake.put("/flows/a", b"hello").metadata()}
        del metadata[missing]
        fake.inject(json_answer(200, metadata), path=METADATA)
        with pytest.raises(UnexpectedAnswerError, match=missing):
            make().stat("a")

    @pytest.mark.parametrize("part", ["rev", "server_modified"])
    def test_an_echoed_token_is_in_no_stat(
        self, make: Make, fake: FakeDropbox, call: Call, part: str
    ) -> None:
        """What is said of a file is not handed out with the token in it."""
        metadata = {".tag": "file", **fake.put("/flows/a", b"hello").metadata()}
        fake.inject(json_answer(200, {**metadata, part: f"x{fake.token}"}), path=METADATA)
        with pytest.raises(UnexpectedAnswerError, match="with a secret of the request") as caught:
            call(make(), "stat", "a")
        assert fake.token not in str(caught.value)

    @pytest.mark.parametrize("path", ["files/list_folder", "files/list_folder/continue"])
    def test_an_echoed_token_is_in_no_list(
        self, make: Make, fake: FakeDropbox, call: Call, path: str
    ) -> None:
        """No page of a listing hands out the token as a key."""
        entry = {".tag": "file", "path_display": "/flows/a"}
        page = {"entries": [entry], "has_more": True, "cursor": "c"}
        if path.endswith("continue"):
            fake.inject(json_answer(200, page), path="/2/files/list_folder")
        entry = {**entry, "path_display": f"/flows/{fake.token}"}
        fake.inject(json_answer(200, {"entries": [entry], "has_more": False}), path=f"/2/{path}")
        with pytest.raises(UnexpectedAnswerError, match="with a secret of the request") as caught:
            call(make(), "list")
        assert fake.token not in str(caught.value)


class TestRetries:
    """Requests that are sent again, and those that are not."""

    @pytest.mark.parametrize("plain", [False, True])
    def test_a_busy_dropbox_is_asked_again(
        self, make: Make, fake: FakeDropbox, call: Call, *, plain: bool
    ) -> None:
        """A 429 costs an attempt of every operation and no more."""
        storage = make()
        calls = [("put", b"x", "a"), ("get", "a"), ("stat", "a"), ("list",), ("delete", "a")]
        for operation, *arguments in calls:
            fake.rate_limit(retry_after=300, plain=plain)
            call(storage, operation, *arguments)
        assert ({}, 2) == (fake.files, fake.calls[UPLOAD])

    def test_a_dropbox_that_stays_busy_is_an_error(self, make: Make, fake: FakeDropbox) -> None:
        """The attempts are counted and end."""
        fake.rate_limit(times=None)
        with pytest.raises(RateLimitedError) as caught:
            make().put(b"x", "a")
        assert (4, 4) == (caught.value.attempts, fake.calls[UPLOAD])

    def test_a_lost_answer_stores_once(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """To overwrite twice is to overwrite once."""
        fake.lose_answer(path=UPLOAD)
        receipt = call(make(), "put", b"x", "a")
        assert (fake.files["/flows/a"].rev, 2) == (receipt.version, fake.calls[UPLOAD])

    def test_a_lost_answer_deletes_once(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """What is gone at the second attempt was deleted by the first."""
        fake.put("/flows/a", b"x")
        fake.lose_answer(path="/2/files/delete_v2")
        call(make(), "delete", "a")
        assert ({}, 2) == (fake.files, fake.calls["/2/files/delete_v2"])

    @pytest.mark.parametrize("strict", [False, True])
    def test_a_lost_answer_adds_once(
        self, make: Make, fake: FakeDropbox, call: Call, *, strict: bool
    ) -> None:
        """What is in the way of the second attempt is what the first one stored."""
        fake.lose_answer(path=UPLOAD)
        receipt = call(make(mode="add", strict_conflict=strict), "put", b"x", "a")
        stored = fake.files["/flows/a"]
        assert (stored.rev, {"id": stored.id, "rev": stored.rev}, 2) == (
            receipt.version,
            receipt.captures,
            fake.calls[UPLOAD],
        )

    def test_to_add_under_any_name_is_not_tried_again(self, make: Make, fake: FakeDropbox) -> None:
        """Twice may be two files, so it is left to the caller."""
        fake.lose_answer(path=UPLOAD)
        with pytest.raises(WebhookStorageError):
            make(mode="add", autorename=True).put(b"x", "a")
        assert 1 == fake.calls[UPLOAD]


class TestFlows:
    """Functions and scripts."""

    PATH = "/Apps/flows/${flow.slug}.flow"

    def test_a_flow_comes_back_from_its_definition(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """A storage that was only JSON meanwhile gives a flow that runs."""
        storage = make(self.PATH)
        storage.add_flow(double)
        definition = call(storage, "build").to_json()
        fresh = Storage.from_json(definition)
        assert (["/apps/flows/double.flow"], 42) == (
            list(fake.files),
            call(fresh, "get_flow", "double")(21),
        )
        assert "canary" not in definition

    def test_a_flow_does_not_come_with_a_wrong_token(
        self, make: Make, fake: FakeDropbox, call: Call
    ) -> None:
        """The same with another token is refused, both ways."""
        storage = make(self.PATH)
        storage.add_flow(double)
        with _sending("sl.canary-2"), pytest.raises(AuthenticationError):
            call(storage, "build")
        assert {} == fake.files
        call(storage, "build")
        with _sending("sl.canary-2"), pytest.raises(AuthenticationError):
            call(storage, "get_flow", "double")

    def test_a_flow_that_was_replaced_is_not_loaded(self, make: Make, fake: FakeDropbox) -> None:
        """Whoever can write to the folder cannot run code here."""
        storage = make(self.PATH)
        storage.add_flow(double)
        storage.build()
        fake.put("/Apps/flows/double.flow", pickle.dumps(print))
        with pytest.raises(WebhookStorageError, match="not what this storage stored"):
            storage.get_flow("double")

    def test_a_script_comes_back(
        self, make: Make, fake: FakeDropbox, call: Call, tmp_path: Path
    ) -> None:
        """A script is stored as the file that it is, and its flow runs."""
        script = tmp_path / "flow.py"
        script.write_text("def triple(number):\n    return 3 * number\n")
        storage = make(
            "/Apps/flows/${flow.slug}.py", stored_as_script=True, flow_script_path=str(script)
        )

        def triple(number: int) -> int:
            return number

        storage.add_flow(triple)
        fresh = Storage.from_json(call(storage, "build").to_json())
        assert script.read_bytes() == fake.read("/Apps/flows/triple.py")
        assert 12 == call(fresh, "get_flow", "triple")(4)

    def test_an_unknown_flow_is_not_asked_for(self, make: Make, fake: FakeDropbox) -> None:
        """A name that the storage does not hold costs no request."""
        with pytest.raises(FlowNotFoundError):
            make(self.PATH).get_flow("double")
        assert [] == fake.requests

    @pytest.mark.parametrize("path", ["/flows/one.flow", "/flows/${flow.name}", PATH])
    def test_two_flows_in_one_file_are_refused(self, make: Make, path: str) -> None:
        """Names that Dropbox cannot tell apart, since it is blind to case, are one place."""
        storage = make(path)
        storage.add_flow(type("Flow", (), {"name": "Report"})())
        with pytest.raises(ConfigurationError, match="one place"):
            storage.add_flow(type("Flow", (), {"name": "report"})())

    def test_flows_with_places_of_their_own_are_taken(self, make: Make, fake: FakeDropbox) -> None:
        """Each flow of a storage gets its own file."""
        storage = make("/flows/${flow.name}")
        for name in ("one", "two"):
            storage.add_flow(type("Flow", (), {"name": name})())
        storage.build()
        assert ["/flows/one", "/flows/two"] == sorted(fake.files)


class TestDefinition:
    """A storage is plain data."""

    def test_survives_json_pickle_and_copy(self) -> None:
        """Whatever it went through, it is equal to what it was."""
        storage = Dropbox(path=KEYED, mode="add", timeout=(1, 2), verify="/ca.pem")
        copies = [
            Storage.from_json(storage.to_json()),
            pickle.loads(pickle.dumps(storage)),  # noqa: S301 - our own
            deepcopy(storage),
        ]
        assert [storage] * 3 == copies

    def test_says_its_type_and_what_is_not_the_default(self) -> None:
        """A definition is as short as can be."""
        assert {"type": "Dropbox", "version": 1, "path": KEYED, "mode": "add"} == Dropbox(
            path=KEYED, mode="add"
        ).to_dict()

    def test_every_field_is_described(self) -> None:
        """Whoever reads the schema knows what each field does."""
        missing = [name for name, field in Dropbox.model_fields.items() if not field.description]
        assert [] == missing

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"path": "flows/a"}, "begins with a slash"),
            ({"path": "/flows/"}, "ends with a name"),
            ({"path": "/flows/${"}, "offset 7"),
            ({"path": "/a", "mode": "append"}, "mode"),
            ({"path": "/a", "session_above": MAX_REQUEST + 1}, "session_above"),
            ({"path": "/a", "session_above": -1}, "session_above"),
            ({"path": "/a", "part_size": BLOCK + 1}, "part_size"),
            ({"path": "/a", "part_size": 0}, "part_size"),
            ({"path": "/a", "part_size": 38 * BLOCK}, "part_size"),
            ({"path": "/a", "pth": "x"}, 'Did you mean "path"'),
            ({}, "path"),
        ],
    )
    def test_what_cannot_be_is_refused(self, fields: dict[str, Any], words: str) -> None:
        """A wrong definition is told at once, and where."""
        with pytest.raises(ConfigurationError, match=words.replace("[", r"\[")):
            Dropbox(**fields)

    def test_says_whether_it_may_go_unencrypted(self) -> None:
        """By default it may not, whatever the request."""
        facts = {"artifact.key": "a", "receipt.rev": "5f0000001"}
        for allowed in (False, True):
            storage = Dropbox(path=KEYED, allow_http=allowed)
            exchanges: list[Any] = [
                storage.stat_exchange(facts),
                storage.delete_exchange(facts),
                storage.list_exchange(facts),
                storage.fetch_exchange(facts, NullSink()),
            ]
            assert [allowed] * 4 == [next(each).allow_http for each in exchanges]
            store = storage.store_exchange(BytesBody(b"x"), facts)
            work = next(store)
            assert isinstance(work, Work)
            request = store.send(work.action())
            assert isinstance(request, Request)
            assert allowed == request.allow_http
            assert allowed == storage.as_webhook().allow_http

    def test_an_origin_may_end_with_a_slash(self) -> None:
        """URLs have one slash after the origin, however it is written."""
        storage = Dropbox(path=KEYED, api_origin="https://dropbox.example/")
        request = next(storage.stat_exchange({"artifact.key": "a"}))
        assert isinstance(request, Request)
        assert "https://dropbox.example/2/files/get_metadata" == request.url


class TestAsWebhook:
    """The preset spelled out in plain kwargs."""

    def test_stores_in_the_same_files(self, make: Make, fake: FakeDropbox, call: Call) -> None:
        """Each fetches what the other stored, and deletes it."""
        preset = make()
        webhook = Storage.from_json(preset.as_webhook().to_json())
        ours, theirs = call(preset, "put", b"1", "a"), call(webhook, "put", b"2", "b")
        assert (b"2", b"1") == (call(preset, "get", theirs), call(webhook, "get", ours))
        call(webhook, "delete", theirs)
        assert (Webhook, ["/flows/a"]) == (type(webhook), list(fake.files))

    def test_does_not_store_with_a_wrong_token(self, make: Make, fake: FakeDropbox) -> None:
        """The kwargs hold the token's name, so another token is another answer."""
        webhook = make().as_webhook()
        with _sending("sl.canary-2"), pytest.raises(AuthenticationError):
            webhook.put(b"2", "b")
        assert ({}, False) == (fake.files, "canary" in webhook.to_json())

    def test_does_not_delete_without_a_receipt(self, make: Make, fake: FakeDropbox) -> None:
        """Plain kwargs cannot tell a file from a folder, so they need a revision."""
        fake.put("/flows/a/b", b"x")
        with pytest.raises(ConfigurationError, match=r"receipt\.rev"):
            make().as_webhook().delete("a")
        assert b"x" == fake.read("/flows/a/b")

    def test_carries_flows_along(self, make: Make) -> None:
        """What the preset has built, the webhook gives back."""
        preset = make(TestFlows.PATH, timeout=(3, 4), verify="/nowhere.pem", mode="add")
        preset.add_flow(double)
        webhook = preset.build().as_webhook()
        assert 42 == webhook.get_flow("double")(21)
        assert (preset.flows, preset.receipts) == (webhook.flows, webhook.receipts)

    def test_cannot_say_which_revision_comes_next(self, make: Make) -> None:
        """Mode update is not of plain kwargs."""
        with pytest.raises(ConfigurationError, match="update"):
            make(mode="update").as_webhook()


@pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utc:DeprecationWarning")
class TestTheVendorsClient:
    """Dropbox's own client and the preset on one account."""

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
            )

    @pytest.mark.parametrize("data", [b"", bytes(range(256)) * 20_000], ids=["empty", "blocks"])
    def test_reads_what_the_preset_stored(
        self, sdk: dropbox.Dropbox, ours: Dropbox, data: bytes
    ) -> None:
        """Bytes, revision and id are the same to both."""
        receipt: Receipt = ours.put(data, 'a "b"/c.bin')
        metadata, response = sdk.files_download('/größe/a "b"/c.bin')
        with contextlib.closing(response):
            assert data == response.content
        assert {"id": metadata.id, "rev": metadata.rev} == receipt.captures

    @pytest.mark.parametrize("data", [b"", bytes(range(256)) * 20_000], ids=["empty", "blocks"])
    def test_stores_what_the_preset_reads(
        self, sdk: dropbox.Dropbox, ours: Dropbox, data: bytes
    ) -> None:
        """What the client uploads is got, listed, asked for and deleted."""
        metadata = sdk.files_upload(data, "/Größe/one.bin")
        stat = ours.stat("one.bin")
        assert (data, ["one.bin"], metadata.rev) == (
            ours.get("one.bin"),
            ours.list(),
            stat and stat.version,
        )
        ours.delete("one.bin")
        assert [] == sdk.files_list_folder("").entries
