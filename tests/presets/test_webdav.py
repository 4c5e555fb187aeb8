"""The WebDAV preset stores to Apache, WsgiDAV and nginx."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from xml.sax.saxutils import escape as in_xml

import pytest

from tests.fakes.http import NO_ANSWER, Answer, FakeServer, Received
from tests.fakes.relay import Relay
from tests.leaks.canary import MIXED, PLAIN, find
from tests.sending.support import HTTPX, HTTPX_ASYNC, MODES, Mode, caught
from webhook_storage import Storage
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RedirectRefusedError,
    ResponseError,
    ServerError,
    TooLargeError,
    TransportError,
    UnexpectedAnswerError,
    WebhookStorageError,
)
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage_presets.webdav import WebDAV

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.nginx import Nginx
    from webhook_storage.contracts import AsyncWireResponse, WireRequest, WireResponse

Make = Callable[..., Any]

BASIC = {"type": "basic", "username": "alice", "password": "${PASSWORD}"}
SECRETS = {"PASSWORD": "s3cret"}
FOLDER = "<d:resourcetype><d:collection/></d:resourcetype>"
FILE = "<d:resourcetype/><d:getcontentlength>7</d:getcontentlength>"
ODD_KEYS = (
    "a b", "a+b", "é/ü", "100%", "%25", "a%2Fb", "a;b=c&d", "a?b#c", "[x]'\"<>&", "~a/b:c@d",
    "${HOME}", "$x", "a\\b", "\N{SNOWMAN}\N{GRINNING FACE}",
)  # fmt: skip
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def flow() -> int:
    """Be a flow."""
    return 31


@pytest.fixture(params=["apache", "wsgidav", "nginx"])
def server(request: pytest.FixtureRequest) -> Any:
    """Return each of the servers."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def make(server: Any) -> Make:
    """Return a maker of storages in a folder of the test's own, which is not there yet."""
    folder = f"t-{uuid4().hex}"

    def build(key: str = "${artifact.key}", **options: Any) -> WebDAV:
        return WebDAV(**{"url": server.url, "auth": BASIC, "key": f"{folder}/{key}"} | options)

    return build


@pytest.fixture
def apache_dav(apache: Any) -> Make:
    """Return a maker of storages on Apache, which holds conditions."""
    folder = f"t-{uuid4().hex}"

    def build(**options: Any) -> WebDAV:
        key = f"{folder}/${{artifact.key}}"
        fields = {"url": apache.url, "auth": BASIC, "key": key, "conditional_writes": True}
        return WebDAV(**fields | options)

    return build


class FakeDav(FakeServer):
    """A server whose answers are written down; what is not is 404."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[tuple[str, str], list[Answer]] = {}

    def say(self, method: str, path: str, *answers: Answer) -> None:
        """Answer so, one after the other, the last one for good."""
        self.answers[method, path] = list(answers)

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer as it was said."""
        answers = self.answers.get((request.method, request.path))
        if answers is None:
            return Answer(404)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Methods and paths of all requests."""
        return [(request.method, request.path) for request in self.requests]


def listing(*entries: tuple[str, str]) -> Answer:
    """Make a multistatus of paths and properties."""
    found = "".join(
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{props}</d:prop>"
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
        for href, props in entries
    )
    return Answer(207, f'<d:multistatus xmlns:d="DAV:">{found}</d:multistatus>'.encode())


@pytest.fixture
def fake() -> Iterator[FakeDav]:
    """Start a server of written answers."""
    with FakeDav() as started:
        yield started


@pytest.fixture
def on_fake(fake: FakeDav) -> Any:
    """Return a storage on the server of written answers."""
    return WebDAV(url=f"{fake.url}/dav", auth=BASIC)


class TestArtifacts:
    """Bytes in and out, on three servers."""

    @modes
    def test_what_is_stored_is_fetched(self, make: Make, mode: Mode) -> None:
        """The folders that it needs are made, and what is there is replaced."""
        storage = make()
        with mode.sending(SECRETS):
            for data in (b"31 rows", b"", bytes(range(256)) * 3000):
                receipt = mode.call(storage, "put", data, "a/b c/d.bin")
                assert data == mode.call(storage, "get", receipt)
                assert len(data) == mode.call(storage, "stat", "a/b c/d.bin").size
            assert ["a/b c/d.bin"] == mode.call(storage, "list")
            mode.call(storage, "delete", "a/b c/d.bin")
            assert mode.call(storage, "stat", "a/b c/d.bin") is None

    def test_many_make_the_same_folders(self, make: Make) -> None:
        """Whoever comes second finds them made; WsgiDAV says 500 first, which is tried again."""
        storage, keys = make(), [f"x/y/z/{number}" for number in range(16)]

        def store(key: str) -> bytes:
            with HTTPX.sending(SECRETS, attempts=3):
                storage.put(key.encode(), key)
                return bytes(storage.get(key))

        with ThreadPoolExecutor(8) as pool:
            assert keys == [data.decode() for data in pool.map(store, keys)]

    def test_any_key_arrives_as_it_is(self, make: Make) -> None:
        """Each is fetched by its own name, and listed by it."""
        storage = make()
        with HTTPX.sending(SECRETS):
            for key in ODD_KEYS:
                storage.put(key.encode(), key)
            assert sorted(ODD_KEYS) == sorted(storage.list())
            assert list(ODD_KEYS) == [storage.get(key).decode() for key in ODD_KEYS]

    @pytest.mark.parametrize(
        "key", ["/a", "a/", "a//b", "../a", "a/../b", "a\nb", "a\x00", "a/./b", "%2e%2e/a"]
    )
    def test_a_key_that_a_server_would_change_is_refused(self, make: Make, key: str) -> None:
        """Before anything is sent; nobody is there to answer."""
        storage = make(url="http://127.0.0.1:9")
        with HTTPX.sending(SECRETS):
            for action in (lambda: storage.put(b"x", key), lambda: storage.get(key)):
                error = caught(action)
                assert isinstance(error, ConfigurationError)
                assert "artifact.key" in str(error)

    def test_what_is_not_there_is_not_found(self, make: Make) -> None:
        """To ask is no error, to fetch and to delete is one."""
        storage = make()
        with HTTPX.sending(SECRETS):
            assert (None, False, []) == (storage.stat("a"), storage.exists("a"), storage.list())
            for operation in (storage.get, storage.delete):
                with pytest.raises(ObjectNotFoundError):
                    operation("a")

    @modes
    def test_a_wrong_password(self, make: Make, mode: Mode) -> None:
        """It is an error of its own for every operation, never an absence."""
        storage = make()
        with mode.sending({"PASSWORD": "wrong"}):
            calls = (("put", b"x", "a"), ("get", "a"), ("stat", "a"), ("delete", "a"), ("list",))
            for operation, *arguments in calls:
                with pytest.raises(AuthenticationError) as raised:
                    mode.call(storage, operation, *arguments)
                assert "password" in str(raised.value.hint)

    def test_a_folder_is_no_artifact(self, make: Make) -> None:
        """It is neither fetched, nor replaced, nor deleted with all that is in it."""
        storage = make()
        with HTTPX.sending(SECRETS):
            storage.put(b"31 rows", "folder/a")
            assert storage.stat("folder") is None
            for operation in (storage.get, storage.delete):
                with pytest.raises((ObjectNotFoundError, RedirectRefusedError)):
                    operation("folder")
            with pytest.raises(ResponseError, match=r"40[59]"):
                storage.put(b"x", "folder")
            assert b"31 rows" == storage.get("folder/a")

    def test_flows(self, make: Make) -> None:
        """A flow is under its slug and the time, and comes back by its name."""
        storage = make()
        storage = WebDAV(url=storage.url, auth=BASIC)
        storage.add_flow(flow)
        with HTTPX.sending(SECRETS):
            storage.build()
            fresh: Any = Storage.from_json(storage.to_json())
            assert 31 == fresh.get_flow("flow")()

    def test_a_list_takes_what_fits_the_key(self, make: Make) -> None:
        """Files of other names are no artifacts of this storage."""
        whole, some = make(), make("in/${artifact.key}.csv")
        with HTTPX.sending(SECRETS):
            for key in ("in/a.csv", "in/deep/er/b c.csv", "in/a.txt", "out/a.csv"):
                whole.put(b"x", key)
            assert ["a", "deep/er/b c"] == sorted(some.list())
            assert b"x" == some.get("deep/er/b c")

    def test_digest(self, apache: Any) -> None:
        """All requests of a store, a list and a delete answer a challenge."""
        auth = {"type": "digest", "username": "alice", "password": "${PASSWORD}"}
        storage = WebDAV(url=apache.digest_url, auth=auth, key=f"{uuid4().hex}/${{artifact.key}}")
        with HTTPX.sending(SECRETS):
            storage.put(b"31 rows", "a b/é")
            assert (b"31 rows", ["a b/é"]) == (storage.get("a b/é"), storage.list())
            storage.delete("a b/é")
        with HTTPX.sending({"PASSWORD": "wrong"}), pytest.raises(AuthenticationError):
            storage.put(b"31 rows", "a b/é")

    def test_large_in_constant_memory(self, apache_dav: Make, tmp_path: Path) -> None:
        """A file goes out and comes in as a stream."""
        source, copy = tmp_path / "a", tmp_path / "b"
        source.write_bytes(bytes(range(256)) * 80_000)
        with HTTPX.sending(SECRETS):
            apache_dav().put(source)
            assert source.stat().st_size == apache_dav().download(copy, "a")
        assert source.read_bytes() == copy.read_bytes()


class TestConditions:
    """Apache, which holds them."""

    def test_a_version_under_a_lock(self, wsgidav: Any) -> None:
        """Both the lock and the version must hold."""
        key = f"v-{uuid4().hex}"
        storage = WebDAV(url=wsgidav.url, auth=BASIC, conditional_writes=True, lock=True)
        with HTTPX.sending(SECRETS):
            first = storage.put(b"1", key)
            storage.put(b"22", key, if_unchanged=first)
            with pytest.raises(ConflictError, match="no longer"):
                storage.put(b"333", key, if_unchanged=first)
            assert b"22" == storage.get(key)

    @modes
    def test_create_only(self, apache_dav: Make, mode: Mode) -> None:
        """What is there stays as it is."""
        storage = apache_dav()
        with mode.sending(SECRETS):
            mode.call(storage, "put", b"1", "a/b", if_absent=True)
            with pytest.raises(ObjectExistsError):
                mode.call(storage, "put", b"2", "a/b", if_absent=True)
            assert b"1" == mode.call(storage, "get", "a/b")

    def test_replaced_version(self, wsgidav: Any) -> None:
        """A version is replaced once; who has an older one is refused."""
        url = f"{wsgidav.url}"
        storage = WebDAV(url=url, auth=BASIC, conditional_writes=True)
        key = f"v-{uuid4().hex}"
        with HTTPX.sending(SECRETS):
            first = storage.put(b"1", key)
            stat = storage.stat(key)
            assert stat is not None
            assert first.version == stat.version
            second = storage.put(b"22", key, if_unchanged=stat.version)
            with pytest.raises(ConflictError):
                storage.put(b"333", key, if_unchanged=first)
            assert b"22" == storage.get(second)

    def test_a_stale_version_on_apache(self, apache_dav: Make) -> None:
        """It is compared, and nothing is replaced."""
        storage = apache_dav()
        with HTTPX.sending(SECRETS):
            storage.put(b"1", "a")
            with pytest.raises(ConflictError, match="412"):
                storage.put(b"2", "a", if_unchanged='"stale"')
            assert b"1" == storage.get("a")

    def test_a_weak_version_is_refused(self, apache_dav: Make) -> None:
        """It is like others, so that it tells nothing."""
        with HTTPX.sending(SECRETS), pytest.raises(ConfigurationError, match="weak"):
            apache_dav().put(b"2", "a", if_unchanged='W/"1"')

    def test_a_server_that_may_not_hold_them(self, fake: FakeDav, on_fake: Any) -> None:
        """Nothing is sent unless the user says that it does."""
        with HTTPX.sending(SECRETS):
            for options in ({"if_absent": True}, {"if_unchanged": '"1"'}):
                with pytest.raises(ConfigurationError, match="conditional_writes"):
                    on_fake.put(b"x", "a", **options)
        assert [] == fake.requests

    def test_a_lost_answer_is_no_conflict(self, fake: FakeDav) -> None:
        """What is there is compared with what was to be stored."""
        fake.say("PUT", "/dav/a", Answer(503), Answer(412))
        fake.say("GET", "/dav/a", Answer(200, b"31 rows", {"ETag": '"7"'}))
        storage = WebDAV(url=f"{fake.url}/dav", auth=BASIC, conditional_writes=True)
        with HTTPX.sending(SECRETS, attempts=2):
            assert '"7"' == storage.put(b"31 rows", "a", if_absent=True).version
            fake.say("PUT", "/dav/a", Answer(503), Answer(412))
            with pytest.raises(ObjectExistsError):
                storage.put(b"32 rows", "a", if_absent=True)


class TestLocks:
    """A file is locked while it is stored."""

    @pytest.mark.parametrize("server", ["apache", "wsgidav"], indirect=True)
    def test_it_is_free_afterwards(self, make: Make) -> None:
        """New or not, in a folder that is there or not."""
        storage = make(lock=True)
        with HTTPX.sending(SECRETS):
            for data in (b"1", b"2"):
                storage.put(data, "a/b")
                assert data == storage.get("a/b")
            make().put(b"3", "a/b")
            assert b"3" == storage.get("a/b")

    def test_a_lock_of_somebody_else(self, apache: Any, apache_dav: Make) -> None:
        """It is an error that says so, with and without a lock of one's own."""
        storage = apache_dav()
        with HTTPX.sending(SECRETS) as sender:
            storage.put(b"1", "a")
            request = storage._api.file("LOCK", storage._facts("a"), data=_LOCK_INFO)

            def lock() -> Any:
                return (yield request)

            token = sender.run(lock()).headers["lock-token"]
            for other in (storage, apache_dav(lock=True)):
                with pytest.raises(ConflictError, match="locked") as raised:
                    other.put(b"2", "a")
                assert "lock" in str(raised.value.hint)
            with pytest.raises(ConflictError, match="locked"):
                storage.delete("a")
            assert b"1" == storage.get("a")
        assert token not in str(raised.value)

    def test_what_it_sends(self, fake: FakeDav) -> None:
        """The token goes with the store, and back with UNLOCK."""
        fake.say("LOCK", "/dav/a", Answer(200, headers={"Lock-Token": "<urn:x>"}))
        fake.say("PUT", "/dav/a", Answer(204))
        fake.say("UNLOCK", "/dav/a", Answer(204))
        with HTTPX.sending(SECRETS):
            WebDAV(url=f"{fake.url}/dav", lock=True).put(b"x", "a")
        assert ["LOCK", "PUT", "UNLOCK"] == [request.method for request in fake.requests]
        first = fake.requests[0].headers
        assert ("Second-600", "0") == (first["timeout"], first["depth"])
        assert ("(<urn:x>)", "<urn:x>") == (
            fake.requests[1].headers["if"],
            fake.requests[2].headers["lock-token"],
        )

    @pytest.mark.parametrize(("status", "last"), [(200, "UNLOCK"), (201, "DELETE")])
    def test_a_store_that_fails(self, fake: FakeDav, status: int, last: str) -> None:
        """The lock is given up; the empty file that the lock made does not stay."""
        fake.say("LOCK", "/dav/a", Answer(status, headers={"Lock-Token": "<urn:x>"}))
        fake.say("PUT", "/dav/a", Answer(507))
        for method in ("UNLOCK", "DELETE"):
            fake.say(method, "/dav/a", Answer(204))
        with HTTPX.sending(SECRETS), pytest.raises(ResponseError, match="no room"):
            WebDAV(url=f"{fake.url}/dav", lock=True).put(b"x", "a")
        assert ["LOCK", "PUT", last] == [request.method for request in fake.requests]
        shown = {"DELETE": ("if", "(<urn:x>)"), "UNLOCK": ("lock-token", "<urn:x>")}
        name, token = shown[last]
        assert token == fake.last.headers[name]

    @modes
    @pytest.mark.parametrize("server", ["apache", "wsgidav"], indirect=True)
    @pytest.mark.parametrize("there", [True, False])
    def test_nothing_stays_behind(self, server: Any, mode: Mode, there: bool) -> None:  # noqa: FBT001
        """Neither the lock, nor the empty file that a lock makes."""
        key = f"l-{uuid4().hex}"
        with Relay(server.url) as relay, mode.sending(SECRETS):
            storage = WebDAV(url=relay.url, auth=BASIC, lock=True)
            if there:
                mode.call(storage, "put", b"1", key)
            relay.inject(lambda request: Answer(507) if request.method == "PUT" else None, times=3)
            with pytest.raises(ResponseError, match="no room"):
                mode.call(storage, "put", b"22", key)
            relay.clear_faults()
            assert there is mode.call(storage, "exists", key)
            mode.call(WebDAV(url=server.url, auth=BASIC), "put", b"333", key)
            assert b"333" == mode.call(storage, "get", key)

    @pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)
    @pytest.mark.parametrize(("status", "words"), [(200, "as it was"), (201, "empty file")])
    def test_an_interrupted_store_is_logged(
        self, fake: FakeDav, mode: Mode, status: int, words: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody can be asked any more, so the log says what is left."""
        fake.say("LOCK", "/dav/a", Answer(status, headers={"Lock-Token": "<urn:of-this-test>"}))
        with mode.sending(SECRETS, transport=_Interrupted()):
            storage = WebDAV(url=f"{fake.url}/dav", lock=True)
            error = caught(lambda: mode.call(storage, "put", b"x", "a"))
        assert isinstance(error, KeyboardInterrupt)
        assert ["LOCK"] == [request.method for request in fake.requests]
        assert "its lock stays for 600 seconds" in caplog.text
        assert words in caplog.text
        assert "of-this-test" not in caplog.text

    def test_a_lock_is_asked_for_once(self, fake: FakeDav) -> None:
        """A second one would meet the first."""
        fake.say("LOCK", "/dav/a", Answer(503))
        with HTTPX.sending(SECRETS, attempts=3), pytest.raises(ServerError):
            WebDAV(url=f"{fake.url}/dav", lock=True).put(b"x", "a")
        assert 1 == len(fake.requests)

    def test_a_lock_whose_answer_was_lost(self, fake: FakeDav) -> None:
        """The server may hold it, of which the hint speaks."""
        fake.say("LOCK", "/dav/a", NO_ANSWER)
        with HTTPX.sending(SECRETS), pytest.raises(TransportError) as raised:
            WebDAV(url=f"{fake.url}/dav", lock=True).put(b"x", "a")
        assert "may have locked it" in str(raised.value.hint)
        assert ["LOCK"] == [request.method for request in fake.requests]

    def test_a_lock_that_cannot_be_given_up(
        self, fake: FakeDav, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What was stored is stored, and the log tells of the lock."""
        fake.say("LOCK", "/dav/a", Answer(200, headers={"Lock-Token": "<urn:of-this-test>"}))
        fake.say("PUT", "/dav/a", Answer(204))
        fake.say("UNLOCK", "/dav/a", Answer(403))
        with HTTPX.sending(SECRETS):
            assert 1 == WebDAV(url=f"{fake.url}/dav", lock=True).put(b"x", "a").size
        assert "could not be given up" in caplog.text
        assert "of-this-test" not in caplog.text

    @pytest.mark.parametrize("token", ["", "urn:x", "<a> <b>", "<>"])
    def test_a_token_that_is_none(self, fake: FakeDav, token: str) -> None:
        """Nothing is stored by it."""
        fake.say("LOCK", "/dav/a", Answer(200, headers={"Lock-Token": token}))
        with HTTPX.sending(SECRETS), pytest.raises(UnexpectedAnswerError, match="token"):
            WebDAV(url=f"{fake.url}/dav", lock=True).put(b"x", "a")
        assert ["LOCK"] == [request.method for request in fake.requests]

    def test_create_only_and_a_lock(self, fake: FakeDav) -> None:
        """They contradict each other, as a lock makes a file."""
        storage = WebDAV(url=fake.url, lock=True, conditional_writes=True)
        with HTTPX.sending(SECRETS), pytest.raises(ConfigurationError, match="lock"):
            storage.put(b"x", "a", if_absent=True)
        assert [] == fake.requests


class _Interrupted(HttpxTransport):
    """Somebody presses Ctrl-C when bytes are to be sent."""

    def send(self, request: WireRequest) -> WireResponse:
        """Send, or be interrupted."""
        if request.method == "PUT":
            raise KeyboardInterrupt
        return super().send(request)

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Send, or be interrupted."""
        if request.method == "PUT":
            raise KeyboardInterrupt
        return await super().asend(request)


_LOCK_INFO = (
    '<d:lockinfo xmlns:d="DAV:"><d:lockscope><d:exclusive/></d:lockscope><d:locktype><d:write/>'
    "</d:locktype></d:lockinfo>"
)


class TestFolders:
    """Missing parents, by what each server says of them."""

    @pytest.mark.parametrize("status", [404, 409, 500])
    @pytest.mark.parametrize("there", [201, 405, 301, 406, 409, 423])
    def test_they_are_made_from_the_top(
        self, fake: FakeDav, on_fake: Any, status: int, there: int
    ) -> None:
        """Whatever a server says of one that is there, the next store shows it."""
        fake.say("PUT", "/dav/a b/c/d", Answer(status), Answer(201))
        fake.say("MKCOL", "/dav/a b/", Answer(there))
        fake.say("MKCOL", "/dav/a b/c/", Answer(201))
        with HTTPX.sending(SECRETS, attempts=3):
            on_fake.put(b"31 rows", "a b/c/d")
        assert [
            ("PUT", "/dav/a b/c/d"),
            ("MKCOL", "/dav/a b/"),
            ("MKCOL", "/dav/a b/c/"),
            ("PUT", "/dav/a b/c/d"),
        ] == fake.asked
        assert 0 == fake.requests[1].size

    def test_a_folder_that_may_not_be_made(self, fake: FakeDav, on_fake: Any) -> None:
        """The error says what could not be done."""
        fake.say("PUT", "/dav/a/b", Answer(409))
        fake.say("MKCOL", "/dav/a/", Answer(403))
        with HTTPX.sending(SECRETS), pytest.raises(PermissionDeniedError, match=r"MKCOL .*folder"):
            on_fake.put(b"x", "a/b")

    def test_a_folder_that_somebody_makes_at_the_same_moment(
        self, fake: FakeDav, on_fake: Any
    ) -> None:
        """Apache forbids a second one, so what is there is looked at."""
        fake.say("PUT", "/dav/a/b", Answer(409), Answer(201))
        fake.say("MKCOL", "/dav/a/", Answer(403))
        fake.say("PROPFIND", "/dav/a/", listing(("/dav/a/", FOLDER)))
        with HTTPX.sending(SECRETS):
            on_fake.put(b"x", "a/b")
        assert ["PUT", "MKCOL", "PROPFIND", "PUT"] == [method for method, _ in fake.asked]

    def test_a_folder_at_which_nobody_may_look(self, fake: FakeDav, on_fake: Any) -> None:
        """What is told is that it may not be made."""
        fake.say("PUT", "/dav/a/b", Answer(409))
        fake.say("MKCOL", "/dav/a/", Answer(403))
        fake.say("PROPFIND", "/dav/a/", Answer(403))
        with HTTPX.sending(SECRETS), pytest.raises(PermissionDeniedError, match=r"MKCOL .*folder"):
            on_fake.put(b"x", "a/b")

    @pytest.mark.parametrize("status", [404, 409])
    @pytest.mark.parametrize("key", ["a", "a/b"])
    def test_folders_that_do_not_help(
        self, fake: FakeDav, on_fake: Any, key: str, status: int
    ) -> None:
        """It is the storage's own folder that is missing."""
        fake.say("PUT", f"/dav/{key}", Answer(status))
        fake.say("MKCOL", "/dav/a/", Answer(409))
        with HTTPX.sending(SECRETS), pytest.raises(ConflictError, match="parent") as raised:
            on_fake.put(b"x", key)
        assert "storage's URL" in str(raised.value.hint)

    @pytest.mark.parametrize("operation", ["get", "put"])
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("location", ["https://elsewhere.test/a", "/dav/a/"])
    def test_a_server_that_is_elsewhere(
        self, fake: FakeDav, on_fake: Any, operation: str, status: int, location: str
    ) -> None:
        """A redirect is not followed, nor into a folder, and the hint says what to do."""
        answer = Answer(status, headers={"Location": location})
        for method in ("GET", "PUT"):
            fake.say(method, "/dav/a", answer)
            fake.say(method, "/dav/a/", Answer(200, b"what is in the folder"))
        arguments = ("a",) if operation == "get" else (b"x", "a")
        with HTTPX.sending(SECRETS), pytest.raises(RedirectRefusedError) as raised:
            getattr(on_fake, operation)(*arguments)
        assert "https" in str(raised.value.hint)
        assert 1 == len(fake.requests)

    def test_a_fault_of_the_server_is_tried_again(self, fake: FakeDav, on_fake: Any) -> None:
        """A 500 is nothing else where no folder can be missing."""
        fake.say("PUT", "/dav/a", Answer(500), Answer(500), Answer(201))
        with HTTPX.sending(SECRETS, attempts=2):
            on_fake.put(b"x", "a")
        fake.say("PUT", "/dav/a", Answer(500))
        with HTTPX.sending(SECRETS, attempts=2), pytest.raises(ServerError):
            on_fake.put(b"x", "a")

    def test_no_folder_at_the_url(self, apache: Any) -> None:
        """Nothing is made above it, as the URL may be wrong."""
        storage = WebDAV(url=f"{apache.url}/no/such", auth=BASIC)
        with HTTPX.sending(SECRETS), pytest.raises(ConflictError) as raised:
            storage.put(b"x", "a/b")
        assert "storage's URL" in str(raised.value.hint)
        assert not (apache.data / "no").exists()


class TestListing:
    """PROPFIND, folder by folder."""

    def test_one_folder_at_a_time(self, fake: FakeDav, on_fake: Any) -> None:
        """Hrefs may be URLs, and have another path than the one that was asked for."""
        host = fake.host
        fake.say(
            "PROPFIND",
            "/dav/",
            listing(("/x/y/", FOLDER), ("/x/y/a%20b/", FOLDER), ("/x/y/c", FILE)),
        )
        fake.say(
            "PROPFIND",
            "/dav/a b/",
            listing(
                (f"http://{host}/x/y/a%20b/%C3%A9", FILE), (f"http://{host}/x/y/a%20b", FOLDER)
            ),
        )
        with HTTPX.sending(SECRETS):
            assert ["c", "a b/é"] == on_fake.list()
        assert {"1"} == {request.headers["depth"] for request in fake.requests}

    def test_names_that_lead_elsewhere_are_left_out(self, fake: FakeDav, on_fake: Any) -> None:
        """Neither a dot segment, nor a hidden slash, nor what is no UTF-8 is a key."""
        names = ("%2e%2e", "a%2Fb", "%ff", "good", "b/c/d")
        entries = [(f"/dav/{name}", FILE) for name in names]
        fake.say("PROPFIND", "/dav/", listing(("/dav/", FOLDER), *entries, ("/other/x", FILE)))
        with HTTPX.sending(SECRETS):
            assert ["good"] == on_fake.list()

    def test_a_folder_whose_name_looks_encoded(self, fake: FakeDav, on_fake: Any) -> None:
        """It is asked for by its own name."""
        fake.say("PROPFIND", "/dav/", listing(("/dav/", FOLDER), ("/dav/%2541/", FOLDER)))
        fake.say("PROPFIND", "/dav/%41/", listing(("/dav/%2541/", FOLDER), ("/dav/%2541/b", FILE)))
        with HTTPX.sending(SECRETS):
            assert ["%41/b"] == on_fake.list()

    def test_no_loop(self, fake: FakeDav, on_fake: Any) -> None:
        """A folder that names itself is not walked through again."""
        fake.say("PROPFIND", "/dav/", listing(("/dav/", FOLDER), ("/dav", FOLDER)))
        with HTTPX.sending(SECRETS):
            assert [] == on_fake.list()
        assert 1 == len(fake.requests)

    @pytest.mark.parametrize("body", [b"", b"<html/>", b"<!DOCTYPE a><a/>", b"<multistatus/>"])
    def test_an_answer_that_is_none(self, fake: FakeDav, on_fake: Any, body: bytes) -> None:
        """It is an error, and no empty list."""
        fake.say("PROPFIND", "/dav/", Answer(207, body))
        with HTTPX.sending(SECRETS), pytest.raises(UnexpectedAnswerError):
            on_fake.list()

    @pytest.mark.parametrize(
        "entries",
        [
            (),
            (("/dav/", FILE),),
            (("/dav/a", FILE),),
            (("/dav/a", FILE), ("/dav/b", FILE)),
            (("/", FILE), ("/dav/", FOLDER), ("/dav/a", FILE)),
        ],
    )
    def test_a_folder_that_is_not_among_them(
        self, fake: FakeDav, on_fake: Any, entries: tuple[tuple[str, str], ...]
    ) -> None:
        """What is in it would be left out, and the list pass for an empty one."""
        fake.say("PROPFIND", "/dav/", listing(*entries))
        with (
            HTTPX.sending(SECRETS),
            pytest.raises(UnexpectedAnswerError, match=r"folder that|of nothing"),
        ):
            on_fake.list()

    def test_more_folders_than_anybody_has(self, fake: FakeDav, on_fake: Any) -> None:
        """A tree without an end is an error, and takes neither all time nor all memory."""
        folders = [(f"/dav/{number}/", FOLDER) for number in range(20_000)]
        answer = listing(("/dav/", FOLDER), *folders)
        fake.inject(answer, path="/dav/", times=None)
        with HTTPX.sending(SECRETS), pytest.raises(ResponseError, match="more than 100000 folders"):
            on_fake.list()
        assert len(fake.requests) <= 7

    def test_a_server_that_knows_no_depth(self, fake: FakeDav, on_fake: Any) -> None:
        """A folder with a file in it is no file, and is not deleted."""
        fake.say("PROPFIND", "/dav/a", listing(("/dav/a/b", FILE), ("/dav/a/", FOLDER)))
        with HTTPX.sending(SECRETS):
            assert on_fake.stat("a") is None
            with pytest.raises(ObjectNotFoundError):
                on_fake.delete("a")
        assert "DELETE" not in {method for method, _ in fake.asked}

    @pytest.mark.parametrize("status", [405, 501])
    def test_a_server_that_cannot(self, fake: FakeDav, on_fake: Any, status: int) -> None:
        """The error says so."""
        fake.say("PROPFIND", "/dav/", Answer(status))
        with HTTPX.sending(SECRETS), pytest.raises(ResponseError, match="cannot list"):
            on_fake.list()

    def test_a_secret_in_a_name(self, fake: FakeDav, on_fake: Any) -> None:
        """It does not become a key."""
        fake.say("PROPFIND", "/dav/", listing(("/dav/", FOLDER), ("/dav/s3cret-of-test", FILE)))
        secrets = {"PASSWORD": "s3cret-of-test"}
        with HTTPX.sending(secrets), pytest.raises(UnexpectedAnswerError, match="secret"):
            on_fake.list()


class TestWithoutProperties:
    """A server that stores and fetches, and knows no PROPFIND: nginx as it is built."""

    def test_stat_and_delete(self, nginx: Nginx) -> None:
        """Headers tell what is there, and which names are those of folders."""
        storage = WebDAV(url=nginx.open_url, key=f"{uuid4().hex}/${{artifact.key}}")
        with HTTPX.sending():
            storage.put(b"31 rows", "a/b")
            stat = storage.stat("a/b")
            assert stat is not None
            assert (7, None) == (stat.size, storage.stat("a"))
            with pytest.raises(ObjectNotFoundError):
                storage.delete("a")
            storage.delete("a/b")
            assert not storage.exists("a/b")

    def test_too_large(self, nginx: Nginx) -> None:
        """The hint names the limits."""
        with HTTPX.sending(), pytest.raises(TooLargeError) as raised:
            WebDAV(url=nginx.small_url).put(bytes(2000), "a")
        assert "client_max_body_size" in str(raised.value.hint)

    @pytest.mark.parametrize(("token", "good"), [("good-token", True), ("wrong-token", False)])
    def test_bearer(self, nginx: Nginx, token: str, good: bool) -> None:  # noqa: FBT001
        """The right token stores, a wrong one does not."""
        auth = {"type": "bearer", "token": "${TOKEN}"}
        storage = WebDAV(url=f"{nginx.url}/bearer", auth=auth)
        with HTTPX.sending({"TOKEN": token}):
            if good:
                storage.put(b"31 rows", "w")
                assert b"31 rows" == storage.get("w")
            else:
                with pytest.raises(AuthenticationError):
                    storage.put(b"31 rows", "w")


class TestErrors:
    """What a status means here."""

    @pytest.mark.parametrize(
        ("status", "kind", "words"),
        [
            (400, ResponseError, "does not take"),
            (403, PermissionDeniedError, "may not"),
            (405, ResponseError, "not allow"),
            (409, ConflictError, "parent folder"),
            (413, TooLargeError, "larger"),
            (415, ResponseError, "kind"),
            (423, ConflictError, "locked"),
            (501, ResponseError, "not know"),
            (507, ResponseError, "no room"),
        ],
    )
    def test_a_store(
        self, fake: FakeDav, on_fake: Any, status: int, kind: type[ResponseError], words: str
    ) -> None:
        """Each has its kind, its words, its hint, and none is tried again."""
        fake.say("PUT", "/dav/a", Answer(status, b"<error>text of the server</error>"))
        with HTTPX.sending(SECRETS, attempts=3):
            error = caught(lambda: on_fake.put(b"x", "a"))
        assert isinstance(error, kind)
        assert (status, 1) == (error.status, len(fake.requests))
        assert words in str(error)
        assert error.hint
        assert "text of the server" not in f"{error} {error.hint}"

    @modes
    def test_a_retry_in_the_middle(self, fake: FakeDav, on_fake: Any, mode: Mode) -> None:
        """An unavailable server is asked again."""
        fake.say("PUT", "/dav/a", Answer(503), Answer(201))
        fake.say("PROPFIND", "/dav/", Answer(503), listing(("/dav/", FOLDER), ("/dav/a", FILE)))
        with mode.sending(SECRETS, attempts=2):
            mode.call(on_fake, "put", b"x", "a")
            assert ["a"] == mode.call(on_fake, "list")

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (b"HTTP/1.1 403 Forbidden", PermissionDeniedError),
            (b"HTTP/1.1 423 Locked", ConflictError),
            (b"HTTP/1.1 401 Unauthorized", UnexpectedAnswerError),
            (b"HTTP/1.1 five hundred", UnexpectedAnswerError),
            (b"", UnexpectedAnswerError),
        ],
    )
    @pytest.mark.parametrize("operation", ["exists", "delete"])
    def test_forbidden_within_is_no_absence(
        self, fake: FakeDav, on_fake: Any, operation: str, status: bytes, kind: type[Exception]
    ) -> None:
        """A multistatus may refuse what it is about."""
        fake.say("PROPFIND", "/dav/a", _within(status))
        with HTTPX.sending(SECRETS), pytest.raises(kind):
            getattr(on_fake, operation)("a")

    def test_a_secret_in_a_property(self, fake: FakeDav, on_fake: Any) -> None:
        """It is not handed out."""
        props = f"{FILE}<d:getetag>&quot;s3cret-of-test&quot;</d:getetag>"
        fake.say("PROPFIND", "/dav/a", listing(("/dav/a", props)))
        secrets = {"PASSWORD": "s3cret-of-test"}
        with HTTPX.sending(secrets), pytest.raises(UnexpectedAnswerError, match="secret"):
            on_fake.stat("a")

    def test_properties_come_by_one_status(self, fake: FakeDav, on_fake: Any) -> None:
        """Another success is that of somebody who knows nothing of them."""
        fake.say("PROPFIND", "/dav/a", Answer(200, listing(("/dav/a", FILE)).body))
        fake.say("HEAD", "/dav/a", Answer(200))
        with HTTPX.sending(SECRETS), pytest.raises(UnexpectedAnswerError):
            on_fake.exists("a")

    def test_a_delete_of_which_a_part_failed(self, fake: FakeDav, on_fake: Any) -> None:
        """A multistatus is no success of a DELETE (RFC 4918, section 9.6)."""
        fake.say("PROPFIND", "/dav/a", listing(("/dav/a", FILE)))
        fake.say("DELETE", "/dav/a", _within(b"HTTP/1.1 403 Forbidden"))
        with HTTPX.sending(SECRETS), pytest.raises(UnexpectedAnswerError):
            on_fake.delete("a")

    def test_a_property_that_is_refused_is_none(self, fake: FakeDav, on_fake: Any) -> None:
        """What stands in the part of another status is not what the file has."""
        body = listing(("/dav/a", FILE)).body.replace(
            b"</d:response>",
            b'<d:propstat><d:prop><d:getetag>"7"</d:getetag></d:prop>'
            b"<d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>",
        )
        fake.say("PROPFIND", "/dav/a", Answer(207, body))
        with HTTPX.sending(SECRETS):
            assert (7, None) == (on_fake.stat("a").size, on_fake.stat("a").version)

    def test_what_is_missing_within_is_missing(self, fake: FakeDav, on_fake: Any) -> None:
        """By the status that tells so."""
        fake.say("PROPFIND", "/dav/a", _within(b"HTTP/1.1 404 Not Found"))
        with HTTPX.sending(SECRETS):
            assert not on_fake.exists("a")

    @pytest.mark.parametrize("status", [202, 203, 207])
    def test_another_success_is_no_store(self, fake: FakeDav, on_fake: Any, status: int) -> None:
        """Nobody knows what is there then."""
        fake.say("PUT", "/dav/a", Answer(status))
        with HTTPX.sending(SECRETS), pytest.raises(UnexpectedAnswerError):
            on_fake.put(b"x", "a")

    @pytest.mark.parametrize("etag", ['"7&#10;X-Other: 1"', '"é"'])
    def test_a_version_that_is_none(self, fake: FakeDav, etag: str) -> None:
        """It goes into no header."""
        fake.say("PROPFIND", "/dav/a", listing(("/dav/a", f"{FILE}<d:getetag>{etag}</d:getetag>")))
        fake.say("DELETE", "/dav/a", Answer(204))
        storage = WebDAV(url=f"{fake.url}/dav", conditional_writes=True)
        with HTTPX.sending():
            stat = storage.stat("a")
            storage.delete("a")
        assert stat is not None
        assert stat.version is None
        assert "if-match" not in fake.last.headers

    def test_forbidden_is_no_absence(self, fake: FakeDav, on_fake: Any) -> None:
        """To ask for what may not be seen is an error."""
        fake.say("PROPFIND", "/dav/a", Answer(403))
        with HTTPX.sending(SECRETS), pytest.raises(PermissionDeniedError):
            on_fake.exists("a")

    def test_a_login_page_is_no_artifact(self, fake: FakeDav, on_fake: Any) -> None:
        """Unless a page was asked for."""
        page = Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"})
        for name in ("a", "a.html"):
            fake.say("GET", f"/dav/{name}", page)
        with HTTPX.sending(SECRETS):
            with pytest.raises(UnexpectedAnswerError):
                on_fake.get("a")
            assert page.body == on_fake.get("a.html")

    def test_a_delete_whose_answer_was_lost(self, fake: FakeDav, on_fake: Any) -> None:
        """What the first attempt did is no error; what nobody did is one."""
        fake.say("PROPFIND", "/dav/a", listing(("/dav/a", FILE)))
        fake.say("DELETE", "/dav/a", Answer(503), Answer(404))
        with HTTPX.sending(SECRETS, attempts=2):
            on_fake.delete("a")
            fake.say("DELETE", "/dav/a", Answer(404))
            with pytest.raises(ObjectNotFoundError):
                on_fake.delete("a")

    def test_a_file_that_was_replaced_is_not_deleted(self, fake: FakeDav) -> None:
        """The version that was looked at goes with the DELETE, where the server holds it."""
        props = f"{FILE}<d:getetag>&quot;7&quot;</d:getetag>"
        fake.say("PROPFIND", "/dav/a", listing(("/dav/a", props)))
        fake.say("DELETE", "/dav/a", Answer(412))
        storage = WebDAV(url=f"{fake.url}/dav", conditional_writes=True)
        with HTTPX.sending(), pytest.raises(ConflictError, match="replaced"):
            storage.delete("a")
        assert '"7"' == fake.last.headers["if-match"]
        fake.say("DELETE", "/dav/a", Answer(204))
        with HTTPX.sending():
            WebDAV(url=f"{fake.url}/dav").delete("a")
        assert "if-match" not in fake.last.headers

    @pytest.mark.parametrize("name", ["MIXED", "PLAIN"])
    def test_no_secret_in_any_of_them(self, fake: FakeDav, name: str) -> None:
        """Neither from the request nor from an answer that repeats it."""
        secret = {"MIXED": MIXED, "PLAIN": PLAIN}[name]
        auth = {"type": "basic", "username": "me", "password": f"${{{name}}}"}
        storage = WebDAV(url=f"{fake.url}/dav", auth=auth)
        told = []
        for status in (401, 400, 403, 404, 409, 423, 500, 507):
            echo = Answer(
                status, f"<error><exception>{in_xml(secret)}</exception></error>".encode()
            )
            for method in ("PUT", "GET", "PROPFIND"):
                fake.say(method, "/dav/a", echo)
            fake.say("PROPFIND", "/dav/", echo)
            with HTTPX.sending({name: secret}):
                actions = (
                    lambda: storage.put(b"x", "a"), lambda: storage.get("a"), storage.list,
                )  # fmt: skip
                for action in actions:
                    error = _error_of(action)
                    told.append(f"{error!r} {error} {getattr(error, 'hint', '')}")
        assert [] == find("\n".join(told) + repr(storage) + storage.to_json())


def _within(status: bytes) -> Answer:
    return Answer(
        207,
        b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/dav/a</d:href><d:status>'
        + status
        + b"</d:status></d:response></d:multistatus>",
    )


def _error_of(action: Callable[[], object]) -> WebhookStorageError | None:
    try:
        action()
    except WebhookStorageError as error:
        return error
    return None


class TestDefinition:
    """Plain data."""

    def test_it_travels(self) -> None:
        """As JSON and pickled it is the same."""
        storage = WebDAV(url="https://a.test/x/", auth=BASIC, lock=True, key="a/${artifact.key}")
        assert storage == Storage.from_json(storage.to_json())
        assert storage == pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own
        assert "https://a.test/x" == storage.url

    @pytest.mark.parametrize(
        "fields",
        [
            {"key": "/a"}, {"key": "a//${artifact.key}"}, {"key": "a/"}, {"key": "../a"},
            {"key": ""}, {"url": "${X"}, {"auth": {"type": "basicc"}}, {"lok": True},
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, fields: dict[str, Any]) -> None:
        """At once, with the field."""
        with pytest.raises(ConfigurationError) as raised:
            WebDAV(**{"url": "https://a.test"} | fields)
        assert next(iter(fields)) in str(raised.value)

    def test_as_webhook(self, apache: Any) -> None:
        """What it stores the preset fetches, and the other way round."""
        storage = WebDAV(url=apache.url, auth=BASIC, conditional_writes=True)
        webhook = storage.as_webhook()
        key = f"w {uuid4().hex}"
        with HTTPX.sending(SECRETS):
            webhook.put(b"31 rows", key, if_absent=True)
            assert b"31 rows" == storage.get(key)
            storage.put(b"32 rows", key)
            assert b"32 rows" == webhook.get(key)
            with pytest.raises(ObjectExistsError):
                webhook.put(b"x", key, if_absent=True)
        assert webhook == Storage.from_json(webhook.to_json())

    def test_a_placeholder_in_the_url(self, apache: Any) -> None:
        """The folder's URL, and a folder in the key, may be known by name only."""
        storage = WebDAV(url="${DAV_URL}", auth=BASIC, key="${TEAM}/x/${artifact.key}")
        with HTTPX.sending({**SECRETS, "DAV_URL": apache.url, "TEAM": f"t {uuid4().hex}"}):
            storage.put(b"31 rows", "a/b")
            assert (b"31 rows", ["a/b"]) == (storage.get("a/b"), storage.list())
