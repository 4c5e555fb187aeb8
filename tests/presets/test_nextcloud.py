"""The presets of Nextcloud and ownCloud store to fakes that a WebDAV client accepts."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape as in_xml

import pytest

from tests.fakes.http import NO_ANSWER, Answer, Received
from tests.fakes.nextcloud import FakeNextcloud, RefusedError
from tests.leaks.canary import MIXED, PLAIN, find
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage import Storage
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ResponseError,
    ServerError,
    TooLargeError,
    UnexpectedAnswerError,
    WebhookStorageError,
)
from webhook_storage_presets.webdav import Nextcloud, OwnCloud

if TYPE_CHECKING:
    from pathlib import Path

Make = Callable[..., Any]

MEBI = 1024**2
SECRETS = {
    "NEXTCLOUD_PASSWORD": FakeNextcloud.password,
    "OWNCLOUD_PASSWORD": FakeNextcloud.password,
}
LARGE = bytes(range(256)) * (11 * MEBI // 256) + b"31 rows"
MIDDLE = LARGE[: 6 * MEBI]
ODD_KEYS = (
    "a b", "a+b", "é/ü", "100%", "%25", "a%2Fb", "a;b=c&d", "a?b#c", "[x]'\"<>&", "~a/b:c@d",
    "${HOME}", "$x", "\N{SNOWMAN}\N{GRINNING FACE}",
)  # fmt: skip
UPLOADS = "/remote.php/dav/uploads/"
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def flow() -> int:
    """Be a flow."""
    return 31


@pytest.fixture
def nextcloud() -> Iterator[FakeNextcloud]:
    """Start a fake Nextcloud."""
    with FakeNextcloud() as server:
        yield server


@pytest.fixture
def owncloud() -> Iterator[FakeNextcloud]:
    """Start a fake ownCloud."""
    with FakeNextcloud(owncloud=True) as server:
        yield server


@pytest.fixture(params=["nextcloud", "owncloud"])
def fake(request: pytest.FixtureRequest) -> Any:
    """Return each of the fakes."""
    return request.getfixturevalue(request.param)


def on(fake: FakeNextcloud, **options: Any) -> Any:
    """Return a storage on a fake, which sends what is above 1 MiB in parts."""
    fields: dict[str, Any] = {"url": fake.url, "user": fake.user}
    if fake.owncloud:
        return OwnCloud(**fields | {"tus_above": MEBI, "part_size": 2 * MEBI} | options)
    return Nextcloud(**fields | {"chunk_above": MEBI, "chunk_size": 5 * MEBI} | options)


class TestArtifacts:
    """Bytes in and out, on both."""

    @modes
    @pytest.mark.parametrize("size", [0, 7, MEBI, MEBI + 1, len(LARGE)])
    def test_what_is_stored_is_fetched(self, fake: FakeNextcloud, mode: Mode, size: int) -> None:
        """Whether in parts or not, new or not."""
        storage = on(fake)
        with mode.sending(SECRETS):
            for _ in range(2):
                receipt = mode.call(storage, "put", LARGE[:size], "a/b c/d é")
            stat = mode.call(storage, "stat", receipt)
            assert LARGE[:size] == mode.call(storage, "get", receipt)
            assert (size, receipt.version) == (stat.size, stat.version)
            assert ["a/b c/d é"] == mode.call(storage, "list")
            mode.call(storage, "delete", receipt)
            assert not mode.call(storage, "exists", receipt)
        assert ({}, {}) == (fake.uploads, fake.tus)

    @pytest.mark.parametrize("size", [1, MEBI + 1])
    def test_any_key_arrives_as_it_is(self, fake: FakeNextcloud, size: int) -> None:
        """In the path, in a Destination, and in the metadata of tus."""
        storage = on(fake)
        with HTTPX.sending(SECRETS):
            for key in ODD_KEYS:
                storage.put(bytes(size), key)
            assert sorted(ODD_KEYS) == sorted(fake.files) == sorted(storage.list())
            assert {size} == {len(storage.get(key)) for key in ODD_KEYS}

    @pytest.mark.parametrize("key", ["/a", "a/", "a//b", "../a", "a\nb"])
    def test_a_key_that_would_be_another_is_refused(self, fake: FakeNextcloud, key: str) -> None:
        """Before anything is sent."""
        with HTTPX.sending(SECRETS):
            for data in (b"x", LARGE):
                with pytest.raises(ConfigurationError, match=r"artifact\.key"):
                    on(fake).put(data, key)
        assert [] == fake.requests

    def test_what_is_not_there(self, fake: FakeNextcloud) -> None:
        """To ask is no error, to fetch and to delete is one; a folder is no artifact."""
        storage = on(fake)
        fake.folders.add("folder")
        fake.put("folder/a", b"1")
        with HTTPX.sending(SECRETS):
            assert (None, None) == (storage.stat("a"), storage.stat("folder"))
            for key in ("a", "folder"):
                with pytest.raises(ObjectNotFoundError):
                    storage.delete(key)
            with pytest.raises(ObjectNotFoundError):
                storage.get("a")
            with pytest.raises(ConflictError):
                storage.put(b"x", "folder")
        assert ["folder/a"] == list(fake.files)

    @modes
    def test_a_wrong_password(self, fake: FakeNextcloud, mode: Mode) -> None:
        """The hint speaks of app passwords, for every operation."""
        storage = on(fake)
        wrong = dict.fromkeys(SECRETS, "wrong")
        calls = (("put", b"x", "a"), ("put", LARGE, "a"), ("get", "a"), ("stat", "a"), ("list",))
        with mode.sending(wrong):
            for operation, *arguments in calls:
                with pytest.raises(AuthenticationError) as raised:
                    mode.call(storage, operation, *arguments)
                assert "app password" in str(raised.value.hint)
        assert {} == fake.files

    def test_another_credential(self, nextcloud: FakeNextcloud) -> None:
        """A bearer token takes the password's place."""
        storage = on(nextcloud, auth={"type": "bearer", "token": "${TOKEN}"})
        with HTTPX.sending({"TOKEN": "of this test"}), pytest.raises(AuthenticationError):
            storage.get("a")
        assert "Bearer of this test" == nextcloud.last.headers["authorization"]

    def test_forbidden(self, fake: FakeNextcloud) -> None:
        """A user who may not write is told so."""
        fake.readonly = True
        with HTTPX.sending(SECRETS):
            for data in (b"x", LARGE):
                with pytest.raises(PermissionDeniedError, match=r"403 \(Forbidden\)"):
                    on(fake).put(data, "a")

    def test_flows(self, fake: FakeNextcloud) -> None:
        """A flow is under its slug and the time; large ones too."""
        for options in ({}, {"tus_above" if fake.owncloud else "chunk_above": 0}):
            storage = on(fake, **options)
            storage.add_flow(flow)
            with HTTPX.sending(SECRETS):
                storage.build()
                fresh: Any = Storage.from_json(storage.to_json())
                assert 31 == fresh.get_flow("flow")()
        assert {"flow"} == {name.partition("/")[0] for name in fake.files}

    def test_from_a_file_to_a_file(self, fake: FakeNextcloud, tmp_path: Path) -> None:
        """As a stream."""
        (tmp_path / "a").write_bytes(LARGE)
        with HTTPX.sending(SECRETS):
            on(fake).put(tmp_path / "a")
            on(fake).download(tmp_path / "b", "a")
        assert LARGE == (tmp_path / "b").read_bytes()


class TestErrors:
    """What they refuse, on both."""

    @pytest.mark.parametrize("data", [b"123456", LARGE], ids=["small", "large"])
    def test_no_room(self, fake: FakeNextcloud, data: bytes) -> None:
        """The hint speaks of the quota, and nothing is left."""
        fake.quota = 5
        with HTTPX.sending(SECRETS), pytest.raises(ResponseError, match="no room") as raised:
            on(fake).put(data, "a")
        assert (507, {}, {}) == (raised.value.status, fake.uploads, fake.tus)

    @pytest.mark.parametrize("data", [b"123456", LARGE], ids=["small", "large"])
    def test_too_large_for_one_request(self, fake: FakeNextcloud, data: bytes) -> None:
        """The hint speaks of the server's limits, and of parts."""
        fake.largest = 5
        with HTTPX.sending(SECRETS), pytest.raises(ResponseError) as raised:
            on(fake).put(data, "a")
        assert 413 == raised.value.status

    @pytest.mark.parametrize("data", [b"123456", LARGE], ids=["small", "large"])
    def test_locked(self, fake: FakeNextcloud, data: bytes) -> None:
        """It is waited for, as the server itself locks what it writes, and then it is an error."""
        fake.locked.add("a")
        with HTTPX.sending(SECRETS, attempts=2), pytest.raises(ConflictError, match="FileLocked"):
            on(fake).put(data, "a")
        assert 2 == len([request for request in fake.requests if request.method != "DELETE"])

    def test_a_lock_that_is_given_up(self, nextcloud: FakeNextcloud) -> None:
        """Another attempt stores."""
        nextcloud.inject(Answer(423))
        with HTTPX.sending(SECRETS, attempts=2):
            on(nextcloud).put(b"x", "a")
        assert ["a"] == list(nextcloud.files)

    @modes
    def test_a_retry_in_the_middle(self, fake: FakeNextcloud, mode: Mode) -> None:
        """What fails once is sent again alone."""
        storage = on(fake)
        with mode.sending(SECRETS, attempts=3):
            fake.inject(_each_method_once(Answer(503)), times=None)
            mode.call(storage, "put", LARGE, "b/a")
            assert LARGE == mode.call(storage, "get", "b/a")

    @pytest.mark.parametrize("name", ["MIXED", "PLAIN"])
    def test_no_secret_in_any_of_them(self, fake: FakeNextcloud, name: str) -> None:
        """Neither of the request nor of the answer, in parts or not."""
        secret = {"MIXED": MIXED, "PLAIN": PLAIN}[name]
        storage = on(fake, password=f"${{{name}}}")
        told = []
        for status in (401, 400, 403, 404, 409, 423, 500, 507):
            body = RefusedError(status, in_xml(secret), secret).answer().body
            fake.clear_faults()
            fake.inject(Answer(status, body, {"X-Echo": "a"}), times=None)
            with HTTPX.sending({name: secret}):
                for action in (
                    lambda: storage.put(b"x", "a"),
                    lambda: storage.put(MIDDLE, "a"),
                    lambda: storage.get("a"),
                    storage.list,
                ):
                    error = _error_of(action)
                    told.append(f"{error!r} {error} {getattr(error, 'hint', '')}")
        assert [] == find("\n".join(told) + repr(storage) + storage.to_json())


def _once(method: str, answer: Answer) -> Callable[[Received], Answer | None]:
    """Make a fault that meets the first request of a method."""
    left = [answer]

    def fault(request: Received) -> Answer | None:
        return left.pop() if left and request.method == method else None

    return fault


def _each_method_once(answer: Answer) -> Callable[[Received], Answer | None]:
    """Make a fault that meets the first request of each method."""
    seen: set[str] = set()

    def fault(request: Received) -> Answer | None:
        if request.method in seen:
            return None
        seen.add(request.method)
        return answer

    return fault


def _error_of(action: Callable[[], object]) -> WebhookStorageError | None:
    try:
        action()
    except WebhookStorageError as error:
        return error
    return None


class TestNextcloud:
    """What Nextcloud has of its own."""

    def test_a_store_says_what_it_wants_to_hear(self, nextcloud: FakeNextcloud) -> None:
        """One request makes the folders, and asks for the digest of what was stored."""
        with HTTPX.sending(SECRETS):
            on(nextcloud).put(b"31 rows", "a/b/c")
        digest = hashlib.sha256(b"31 rows").hexdigest()
        headers = nextcloud.last.headers
        assert 1 == len(nextcloud.requests)
        assert ("1", "sha256", f"SHA256:{digest}") == (
            headers["x-nc-webdav-automkcol"],
            headers["x-hash"],
            headers["oc-checksum"],
        )

    @pytest.mark.parametrize("data", [b"31 rows", MIDDLE], ids=["small", "chunk"])
    def test_other_bytes_are_found(self, nextcloud: FakeNextcloud, data: bytes) -> None:
        """What the server says that it stored is compared."""
        wrong = Answer(201, headers={"X-Hash-SHA256": "0" * 64})
        nextcloud.inject(_once("PUT", wrong), times=None)
        with HTTPX.sending(SECRETS), pytest.raises(IntegrityError, match="X-Hash-Sha256"):
            on(nextcloud).put(data, "a")
        assert {} == nextcloud.uploads

    def test_other_bytes_are_found_when_they_are_fetched(self, nextcloud: FakeNextcloud) -> None:
        """By the checksum that came with the store."""
        with HTTPX.sending(SECRETS):
            on(nextcloud).put(b"31 rows", "a")
            nextcloud.files["a"].data = b"31 cows"
            with pytest.raises(IntegrityError):
                on(nextcloud).get("a")

    @pytest.mark.parametrize("data", [b"31 rows", MIDDLE], ids=["small", "large"])
    def test_conditions(self, nextcloud: FakeNextcloud, data: bytes) -> None:
        """They hold for one request, and for the last one of many."""
        storage = on(nextcloud)
        with HTTPX.sending(SECRETS):
            first = storage.put(data, "a", if_absent=True)
            with pytest.raises(ObjectExistsError):
                storage.put(data[1:], "a", if_absent=True)
            second = storage.put(data[1:], "a", if_unchanged=first)
            with pytest.raises(ConflictError, match="no longer"):
                storage.put(data, "a", if_unchanged=first)
            with pytest.raises(ConflictError):
                storage.put(data, "new", if_unchanged=first)
            assert data[1:] == storage.get(second)
        assert (["a"], {}) == (list(nextcloud.files), nextcloud.uploads)

    @modes
    @pytest.mark.parametrize("data", [b"31 rows", MIDDLE], ids=["small", "large"])
    def test_a_lost_answer_is_no_conflict(
        self, nextcloud: FakeNextcloud, mode: Mode, data: bytes
    ) -> None:
        """What is there is this artifact, so it was stored."""
        nextcloud.inject(
            _once("MOVE" if data is MIDDLE else "PUT", NO_ANSWER), after=True, times=None
        )
        with mode.sending(SECRETS, attempts=2):
            receipt = mode.call(on(nextcloud), "put", data, "a", if_absent=True)
        assert nextcloud.files["a"].etag == receipt.version

    @modes
    def test_a_delete_whose_answer_was_lost(self, nextcloud: FakeNextcloud, mode: Mode) -> None:
        """The version that it was to delete is gone, because it did."""
        nextcloud.put("a", b"1")
        nextcloud.inject(_once("DELETE", NO_ANSWER), after=True, times=None)
        with mode.sending(SECRETS, attempts=2):
            mode.call(on(nextcloud), "delete", "a")
        assert {} == nextcloud.files
        assert 2 == len(nextcloud.received(method="DELETE"))

    @pytest.mark.parametrize("times", [1, 2])
    def test_it_waits_while_the_file_is_made(self, nextcloud: FakeNextcloud, times: int) -> None:
        """The server answers 423 and then 404, as the chunks are gone by then."""
        nextcloud.assembling = times
        with HTTPX.sending(SECRETS):
            receipt = on(nextcloud).put(MIDDLE, "a")
        assert nextcloud.files["a"].etag == receipt.version
        assert times + 1 == len(nextcloud.received(UPLOADS, "MOVE"))

    def test_a_file_that_somebody_else_made_meanwhile(self, nextcloud: FakeNextcloud) -> None:
        """It is not taken for this artifact; what was forgotten is sent again."""
        nextcloud.assembling = 1

        def replaced(request: Received) -> Answer | None:
            if request.method == "PROPFIND" and "a" in nextcloud.files:
                nextcloud.put("a", bytes(len(MIDDLE)))
            return None

        nextcloud.inject(replaced, times=2)
        with HTTPX.sending(SECRETS):
            on(nextcloud).put(MIDDLE, "a")
        assert MIDDLE == nextcloud.files["a"].data

    def test_the_chunks_are_those_of_the_manual(self, nextcloud: FakeNextcloud) -> None:
        """Each names the file and its size; their names are numbers."""
        with HTTPX.sending(SECRETS):
            on(nextcloud, parallel=1).put(LARGE, "b/a é")
        sent = nextcloud.received(UPLOADS)
        names = [request.path.rpartition("/")[2] for request in sent if request.method == "PUT"]
        assert ["00001", "00002", "00003"] == names
        assert {f"{nextcloud.base}/b/a%20%C3%A9"} == {one.headers["destination"] for one in sent}
        assert {str(len(LARGE))} == {one.headers["oc-total-length"] for one in sent[1:]}
        assert f"SHA256:{hashlib.sha256(LARGE).hexdigest()}" == sent[-1].headers["oc-checksum"]

    @pytest.mark.parametrize("size", [1, MEBI + 1])
    def test_conditions_that_are_not_held(self, nextcloud: FakeNextcloud, size: int) -> None:
        """They are refused before anything is sent, in chunks too."""
        storage = on(nextcloud, conditional_writes=False)
        with HTTPX.sending(SECRETS), pytest.raises(ConfigurationError, match="conditional_writes"):
            storage.put(bytes(size), "a", if_absent=True)
        assert [] == nextcloud.requests

    def test_a_failure_leaves_nothing(self, nextcloud: FakeNextcloud) -> None:
        """The chunks are deleted."""
        nextcloud.inject(_once("MOVE", Answer(403)), times=None)
        with HTTPX.sending(SECRETS), pytest.raises(PermissionDeniedError):
            on(nextcloud).put(LARGE, "a")
        assert ({}, {}) == (nextcloud.files, nextcloud.uploads)

    @modes
    def test_another_process_goes_on(
        self, nextcloud: FakeNextcloud, mode: Mode, tmp_path: Path
    ) -> None:
        """It sends only what is missing."""
        storage = on(nextcloud, parallel=1)
        third = _third_chunk_fails()
        nextcloud.inject(third, times=None)
        with mode.sending(SECRETS), pytest.raises(ServerError):
            mode.call(storage, "put", LARGE, "a", resume=tmp_path / "state")
        nextcloud.clear_faults()
        before = len(nextcloud.received(UPLOADS, "PUT"))
        with mode.sending(SECRETS):
            mode.call(storage, "put", LARGE, "a", resume=tmp_path / "state")
        assert LARGE == nextcloud.files["a"].data
        assert 1 == len(nextcloud.received(UPLOADS, "PUT")) - before

    def test_a_chunk_without_a_version_is_known_by_its_size(
        self, nextcloud: FakeNextcloud, tmp_path: Path
    ) -> None:
        """What the server told no ETag of is not sent again."""
        storage = on(nextcloud, parallel=1)

        def silent(request: Received) -> Answer | None:
            return Answer(201) if UPLOADS in request.path and request.method == "PUT" else None

        nextcloud.inject(_third_chunk_fails(), times=None)
        nextcloud.inject(silent, times=None, after=True)
        with HTTPX.sending(SECRETS):
            with pytest.raises(ServerError):
                storage.put(LARGE, "a", resume=tmp_path / "state")
            nextcloud.clear_faults()
            before = len(nextcloud.received(UPLOADS, "PUT"))
            storage.put(LARGE, "a", resume=tmp_path / "state")
        assert LARGE == nextcloud.files["a"].data
        assert 1 == len(nextcloud.received(UPLOADS, "PUT")) - before

    def test_an_upload_that_was_forgotten_is_begun_anew(
        self, nextcloud: FakeNextcloud, tmp_path: Path
    ) -> None:
        """After a day the server has removed the chunks."""
        storage = on(nextcloud, parallel=1)
        nextcloud.inject(_third_chunk_fails(), times=None)
        with HTTPX.sending(SECRETS):
            with pytest.raises(ServerError):
                storage.put(LARGE, "a", resume=tmp_path / "state")
            nextcloud.clear_faults()
            nextcloud.uploads.clear()
            storage.put(LARGE, "a", resume=tmp_path / "state")
        assert LARGE == nextcloud.files["a"].data

    def test_too_large(self, nextcloud: FakeNextcloud) -> None:
        """Nothing is sent of what can never be stored."""

        class Huge:
            size = 10_000 * 5 * 1024**3 + 1

        exchange = on(nextcloud).store_exchange(Huge(), {"artifact.key": "a"})
        with pytest.raises(TooLargeError):
            next(exchange)


def _third_chunk_fails() -> Callable[[Received], Answer | None]:
    def fault(request: Received) -> Answer | None:
        return Answer(503) if request.path.endswith("/00003") else None

    return fault


class TestOwnCloud:
    """What ownCloud has of its own."""

    def test_a_store_is_verified(self, owncloud: FakeNextcloud) -> None:
        """The checksum goes along, and the folders are made."""
        with HTTPX.sending(SECRETS):
            on(owncloud).put(b"31 rows", "a/b")
        digest = hashlib.sha1(b"31 rows", usedforsecurity=False).hexdigest()
        assert f"SHA1:{digest}" == owncloud.last.headers["oc-checksum"]
        assert ["PUT", "MKCOL", "PUT"] == [request.method for request in owncloud.requests]

    def test_a_wrong_checksum(self, owncloud: FakeNextcloud) -> None:
        """The server stores nothing, and that is an error of its own."""
        message = "The computed checksum does not match the one received from the client."
        body = f'<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"><s:message>{message}'
        owncloud.inject(Answer(400, f"{body}</s:message></d:error>".encode()))
        with HTTPX.sending(SECRETS), pytest.raises(IntegrityError, match="other bytes"):
            on(owncloud).put(b"31 rows", "a")

    def test_conditions_are_refused(self, owncloud: FakeNextcloud) -> None:
        """By default, and for what goes by tus in any case."""
        with HTTPX.sending(SECRETS):
            with pytest.raises(ConfigurationError, match="conditional_writes"):
                on(owncloud).put(b"x", "a", if_absent=True)
            with pytest.raises(ConfigurationError, match="tus_above"):
                on(owncloud, conditional_writes=True).put(MIDDLE, "a", if_absent=True)
            assert [] == owncloud.requests
            storage = on(owncloud, conditional_writes=True)
            storage.put(b"x", "a", if_absent=True)
            with pytest.raises(ObjectExistsError):
                storage.put(b"y", "a", if_absent=True)

    def test_without_tus(self, owncloud: FakeNextcloud) -> None:
        """All goes in one request."""
        with HTTPX.sending(SECRETS):
            on(owncloud, tus_above=None).put(MIDDLE, "a")
        assert ["PUT"] == [request.method for request in owncloud.requests]

    def test_what_tus_sends(self, owncloud: FakeNextcloud) -> None:
        """Part after part, each from where the server is."""
        with HTTPX.sending(SECRETS):
            on(owncloud).put(MIDDLE, "b/a")
        offsets = [request.headers["upload-offset"] for request in owncloud.received("/data/")]
        assert ["0", str(2 * MEBI), str(4 * MEBI)] == offsets
        assert "/remote.php/dav/files/alice é/b/" == next(
            request.path for request in owncloud.requests if request.method == "POST"
        )

    @modes
    def test_a_lost_answer(self, owncloud: FakeNextcloud, mode: Mode) -> None:
        """The server is asked how far it is, also when it has all and knows no upload any more."""
        for times in (1, 2, 3):
            owncloud.requests.clear()
            owncloud.inject(_nth_patch_is_lost(times), after=True, times=None)
            with mode.sending(SECRETS):
                mode.call(on(owncloud), "put", MIDDLE, f"a{times}")
            owncloud.clear_faults()
            assert MIDDLE == owncloud.files[f"a{times}"].data
            assert 3 == len(owncloud.received("/data/", "PATCH"))

    def test_another_process_goes_on(self, owncloud: FakeNextcloud, tmp_path: Path) -> None:
        """From where the server is."""
        storage = on(owncloud)
        refuse = Answer(403)
        owncloud.inject(
            lambda request: (
                refuse if request.headers.get("upload-offset") == str(4 * MEBI) else None
            ),
            times=None,
        )
        with HTTPX.sending(SECRETS):
            with pytest.raises(PermissionDeniedError):
                storage.put(MIDDLE, "a", resume=tmp_path / "state")
            owncloud.clear_faults()
            before = len(owncloud.received("/data/", "PATCH"))
            storage.put(MIDDLE, "a", resume=tmp_path / "state")
        assert MIDDLE == owncloud.files["a"].data
        assert 1 == len(owncloud.received("/data/", "PATCH")) - before

    def test_a_failure_leaves_nothing(self, owncloud: FakeNextcloud) -> None:
        """The upload is deleted."""
        owncloud.inject(_once("PATCH", Answer(403)), times=None)
        with HTTPX.sending(SECRETS), pytest.raises(PermissionDeniedError):
            on(owncloud).put(MIDDLE, "a")
        assert ({}, {}) == (owncloud.files, owncloud.tus)

    @pytest.mark.parametrize(
        "location", ["http://127.0.0.1:9/x", "https://elsewhere.test/x", "//elsewhere.test/x", ""]
    )
    def test_an_upload_elsewhere(self, owncloud: FakeNextcloud, location: str) -> None:
        """Neither bytes nor the password go to another server."""
        owncloud.inject(_once("POST", Answer(201, headers={"Location": location})), times=None)
        with HTTPX.sending(SECRETS), pytest.raises(UnexpectedAnswerError):
            on(owncloud).put(MIDDLE, "a")
        assert "POST" == owncloud.last.method

    def test_other_bytes_are_found(self, owncloud: FakeNextcloud) -> None:
        """The checksum of what the server has made is compared."""

        def altered(request: Received) -> Answer | None:
            if request.method == "PROPFIND":
                owncloud.put("a", bytes(len(MIDDLE)))
            return None

        owncloud.inject(altered, times=None)
        with HTTPX.sending(SECRETS), pytest.raises(IntegrityError):
            on(owncloud).put(MIDDLE, "a")

    def test_a_secret_in_the_name(self, owncloud: FakeNextcloud) -> None:
        """A name goes in base64, so that it cannot be filled in later; a folder's can."""
        with HTTPX.sending({**SECRETS, "TEAM": "red team"}):
            storage = on(owncloud, key="${TEAM}-${artifact.key}")
            with pytest.raises(ConfigurationError, match="secret"):
                storage.put(MIDDLE, "a")
            on(owncloud, key="${TEAM}/${artifact.key}").put(MIDDLE, "a")
        assert ["red team/a"] == list(owncloud.files)


class TestDefinition:
    """Plain data."""

    def test_it_travels(self, fake: FakeNextcloud) -> None:
        """As JSON and pickled it is the same."""
        storage = on(fake, key="a/${artifact.key}")
        assert storage == Storage.from_json(storage.to_json())
        assert storage == pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own

    @pytest.mark.parametrize(
        "fields",
        [
            {"url": "${X}"}, {"url": "cloud.example.com"}, {"user": ""}, {"user": "a/b"},
            {"chunk_size": 1000}, {"chunk_above": -1}, {"key": "a//b"}, {"pasword": "${X}"},
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, fields: dict[str, Any]) -> None:
        """At once, with the field."""
        with pytest.raises(ConfigurationError) as raised:
            Nextcloud(**{"url": "https://a.test", "user": "me"} | fields)
        assert next(iter(fields)) in str(raised.value)

    def test_as_webhook(self, fake: FakeNextcloud) -> None:
        """What it stores the preset fetches, and the other way round."""
        storage = on(fake)
        webhook = storage.as_webhook()
        with HTTPX.sending(SECRETS):
            webhook.put(b"31 rows", "a é")
            assert b"31 rows" == storage.get("a é")
            storage.put(b"32 rows", "a é")
            assert b"32 rows" == webhook.get("a é")
        assert webhook == Storage.from_json(webhook.to_json())
        assert "oc-checksum" in fake.received(method="PUT")[0].headers

    def test_a_missing_password(self, fake: FakeNextcloud) -> None:
        """The error names the placeholder."""
        with HTTPX.sending():
            error = caught(lambda: on(fake).get("a"))
        name = "OWNCLOUD_PASSWORD" if fake.owncloud else "NEXTCLOUD_PASSWORD"
        assert name in str(error)
        assert [] == fake.requests


def _nth_patch_is_lost(number: int) -> Callable[[Received], Answer | None]:
    seen: list[str] = []

    def fault(request: Received) -> Answer | None:
        if request.method != "PATCH":
            return None
        seen.append(request.path)
        return NO_ANSWER if len(seen) == number else None

    return fault
