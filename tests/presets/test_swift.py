"""The Swift preset: to a real Swift with its TempAuth, and to a fake Keystone with faults."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import pytest

from tests.fakes import keystone
from tests.fakes.http import Answer, json_answer
from tests.fakes.keystone import FakeKeystone, Stored
from tests.sending.support import HTTPX, HTTPX_ASYNC, MODES, Mode, caught
from webhook_storage import RetryPolicy, Sender, Storage
from webhook_storage.auth import find
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RedirectRefusedError,
    ResponseError,
    ServerError,
    TooLargeError,
    TransportError,
    UnexpectedAnswerError,
    WebhookStorageError,
)
from webhook_storage.sender import current_sender
from webhook_storage_presets.swift import Keystone, Swift
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.http import Received
    from tests.fleet.swift import Swift as SwiftServer

Make: TypeAlias = Callable[..., Swift]

modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
ways = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)

PASSWORD = {"P": keystone.PASSWORD, "S": keystone.CREDENTIAL_SECRET}
USER = {"username": keystone.USER, "password": "${P}", "project_name": keystone.PROJECT}
ROBOT = {
    "application_credential_id": keystone.CREDENTIAL_ID,
    "application_credential_secret": "${S}",
}
KEYS = ["a", "a b+\u00e9", "%", "50%25", "a//b", "/lead", "q?#&=;", "${X}$", "\u2603" * 340]
OBJECTS = f"/v1/AUTH_{keystone.PROJECT_ID}/c/"
SEGMENTS = f"/v1/AUTH_{keystone.PROJECT_ID}/c_segments/"
DATA = bytes(range(250)) * 10


# --- a real Swift --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def account(swift: SwiftServer) -> tuple[str, dict[str, str]]:
    """The storage URL and a token, with both containers made and a key for temporary URLs."""
    headers = {"X-Auth-User": swift.user, "X-Auth-Key": swift.password}
    answer = httpx.get(swift.auth_url, headers=headers, trust_env=False)
    url, token = answer.headers["x-storage-url"], {"X-Auth-Token": answer.headers["x-auth-token"]}
    for name in ("preset", "preset_segments"):
        httpx.put(f"{url}/{name}", headers=token, trust_env=False).raise_for_status()
    key = {**token, "X-Account-Meta-Temp-URL-Key": "temporary"}
    httpx.post(url, headers=key, trust_env=False).raise_for_status()
    return url, token


@pytest.fixture
def make(swift: SwiftServer, account: tuple[str, dict[str, str]]) -> Callable[..., Swift]:
    """Return a maker of storages in the real Swift."""
    del account

    def build(user: str = swift.user, secret: str = "${KEY}", **options: Any) -> Swift:
        auth = {"type": "swift_temp_auth", "auth_url": swift.auth_url, "user": user, "key": secret}
        return Swift(**{"container": "preset", "auth": auth, **options})

    return build


@pytest.fixture
def secrets(swift: SwiftServer) -> dict[str, str]:
    """Keys of the users, a wrong one, and that of temporary URLs."""
    keys = {"KEY": swift.password, "READER": swift.reader_password}
    return {**keys, "WRONG": "another", "TEMP": "temporary"}


class TestArtifacts:
    """Bytes in and out."""

    @modes
    @pytest.mark.parametrize("data", [b"", b"hello", DATA], ids=["empty", "one", "segments"])
    def test_what_was_put_is_got(
        self, mode: Mode, make: Make, secrets: dict[str, str], data: bytes
    ) -> None:
        """The receipt names the ETag, and so does the service."""
        storage = make(multipart_above=1000, part_size=700)
        with mode.sending(secrets):
            receipt = mode.call(storage, "put", data, "in and out")
            found = mode.call(storage, "stat", "in and out")
            assert data == mode.call(storage, "get", receipt)
        assert (len(data), receipt.version) == (found.size, found.version)

    @pytest.mark.parametrize("key", KEYS)
    def test_every_key_works(self, make: Make, secrets: dict[str, str], key: str) -> None:
        """And is listed as it was given."""
        storage = make()
        with HTTPX.sending(secrets):
            storage.put(key.encode(), key)
            assert key.encode() == storage.get(key)
            assert key in storage.list()
            storage.delete(key)
            assert key not in storage.list()

    @pytest.mark.parametrize("key", ["../a", "a/./b", "a\nb", "a\x7f"])
    def test_a_key_that_no_url_keeps_is_refused(
        self, make: Make, secrets: dict[str, str], key: str
    ) -> None:
        """In one line, before anything is stored."""
        with HTTPX.sending(secrets), pytest.raises(WebhookStorageError, match=r"artifact\.key"):
            make().put(b"x", key)

    @ways
    def test_a_key_that_is_too_long_is_refused(
        self, mode: Mode, make: Make, secrets: dict[str, str]
    ) -> None:
        """Swift says so, and the hint says what."""
        with mode.sending(secrets):
            error = caught(lambda: mode.call(make(), "put", b"x", "k" * 1025))
        assert "1,024" in (getattr(error, "hint", None) or "")

    def test_a_page_is_an_artifact_too(self, make: Make, secrets: dict[str, str]) -> None:
        """It is no login page, wherever it was stored as one."""
        storage = make(content_type="text/html")
        with HTTPX.sending(secrets):
            storage.put(b"<html>31 rows</html>", "page")
            assert b"<html>31 rows</html>" == storage.get("page")

    def test_it_is_replaced(self, make: Make, secrets: dict[str, str]) -> None:
        """And in segments, and by a whole object again."""
        with HTTPX.sending(secrets):
            for above, data in ((10**6, b"1"), (1000, DATA), (10**6, b"2")):
                storage = make(multipart_above=above, part_size=700)
                storage.put(data, "replaced")
                assert data == storage.get("replaced")

    @pytest.mark.parametrize("data", [b"1", DATA], ids=["one", "segments"])
    def test_it_is_created_only(
        self,
        make: Make,
        secrets: dict[str, str],
        account: tuple[str, dict[str, str]],
        data: bytes,
    ) -> None:
        """What is there stays, and of the upload nothing does."""
        storage = make(multipart_above=1000, part_size=700)
        with HTTPX.sending(secrets):
            key = f"created/{len(data)}"
            storage.put(data, key, if_absent=True)
            before = _segments(account)
            with pytest.raises(ObjectExistsError):
                storage.put(bytes(len(data)), key, if_absent=True)
            assert (data, before) == (storage.get(key), _segments(account))

    def test_a_version_is_not_replaced_on_a_condition(
        self, make: Make, secrets: dict[str, str]
    ) -> None:
        """Swift would store all the same."""
        with HTTPX.sending(secrets):
            receipt = make().put(b"1", "versions")
            with pytest.raises(ConfigurationError, match="condition"):
                make().put(b"2", "versions", if_unchanged=receipt)
            assert b"1" == make().get("versions")

    def test_what_is_not_there_is_not_found(self, make: Make, secrets: dict[str, str]) -> None:
        """To ask is no error, to fetch and to delete is one."""
        with HTTPX.sending(secrets):
            assert make().exists("absent") is False
            for operation in ("get", "delete"):
                with pytest.raises(ObjectNotFoundError):
                    getattr(make(), operation)("absent")

    @ways
    def test_segments_go_with_their_object(
        self,
        mode: Mode,
        make: Make,
        secrets: dict[str, str],
        account: tuple[str, dict[str, str]],
    ) -> None:
        """Four come, and four go."""
        storage = make(multipart_above=1000, part_size=700)
        before = _segments(account)
        with mode.sending(secrets):
            mode.call(storage, "put", DATA, "with segments")
            assert before + 4 == _segments(account)
            mode.call(storage, "delete", "with segments")
            assert mode.call(storage, "exists", "with segments") is False
        assert before == _segments(account)

    @ways
    def test_a_segment_that_is_gone_is_told(
        self,
        mode: Mode,
        make: Make,
        secrets: dict[str, str],
        account: tuple[str, dict[str, str]],
    ) -> None:
        """Whether it is the first one or the last, no half of an artifact comes back."""
        url, token = account
        storage = make(multipart_above=1000, part_size=700)
        faults: dict[int, Any] = {0: IntegrityError, -1: (ServerError, TransportError)}
        for number, kind in faults.items():
            with mode.sending(secrets):
                mode.call(storage, "put", DATA, "torn")
                address = f"{url}/preset/torn?multipart-manifest=get"
                manifest = httpx.get(address, headers=token, trust_env=False).json()
                gone = f"{url}{manifest[number]['name']}"
                httpx.delete(gone, headers=token, trust_env=False).raise_for_status()
                error = caught(lambda: mode.call(storage, "get", "torn"))
            assert isinstance(error, kind)

    def test_metadata_is_kept(
        self, make: Make, secrets: dict[str, str], account: tuple[str, dict[str, str]]
    ) -> None:
        """With type and expiry, also of a large object and its segments."""
        url, token = account
        options = {"metadata": {"Team": "flows"}, "delete_after": 1000, "content_type": "text/x"}
        with HTTPX.sending(secrets):
            for above in (10**6, 1000):
                make(multipart_above=above, part_size=700, **options).put(DATA, "kept")
                found = httpx.head(f"{url}/preset/kept", headers=token, trust_env=False).headers
                kept = found["x-object-meta-team"], found["content-type"].partition(";")[0]
                assert ("flows", "text/x") == kept
                assert "x-delete-at" in found


def _segments(account: tuple[str, dict[str, str]]) -> int:
    url, token = account
    answer = httpx.get(f"{url}/preset_segments", headers=token, trust_env=False)
    return len(answer.text.splitlines())


class TestRefusals:
    """Right credentials and wrong ones, containers that are there and that are not."""

    @modes
    def test_a_wrong_key_is_refused(self, mode: Mode, make: Make, secrets: dict[str, str]) -> None:
        """By the log-in, in words that say what to look at."""
        storage = make(secret="${WRONG}")
        with mode.sending(secrets, attempts=3):
            error = caught(lambda: mode.call(storage, "put", b"x", "a"))
        assert isinstance(error, AuthenticationError)
        assert "another" not in f"{error!r} {error.hint}"

    def test_who_may_not_write_is_told(
        self, swift: SwiftServer, make: Make, secrets: dict[str, str]
    ) -> None:
        """The token is good, and the user has no right."""
        storage = make(user=swift.reader, secret="${READER}")
        with HTTPX.sending(secrets), pytest.raises(PermissionDeniedError, match="may not do this"):
            storage.put(b"x", "a")

    def test_who_may_not_read_is_told(
        self, swift: SwiftServer, make: Make, secrets: dict[str, str]
    ) -> None:
        """To ask whether it is there is an error then, and not a no."""
        storage = make(user=swift.reader, secret="${READER}")
        with HTTPX.sending(secrets):
            for operation in ("exists", "get", "delete"):
                with pytest.raises(PermissionDeniedError):
                    getattr(storage, operation)("a")

    @pytest.mark.parametrize(
        "options",
        [
            {"container": "absent"},
            {"segments": "absent", "multipart_above": 1, "part_size": 1},
        ],
        ids=["container", "segments"],
    )
    def test_a_container_that_is_not_there_is_told(
        self, make: Make, secrets: dict[str, str], options: dict[str, Any]
    ) -> None:
        """It is no artifact that was not found, and none is made."""
        with HTTPX.sending(secrets):
            error = caught(lambda: make(**options).put(b"xy", "a"))
        assert type(error) is ResponseError
        assert "no such container" in str(error)
        assert "left at the service" not in (error.hint or "")

    def test_a_container_that_is_not_there_has_no_list(
        self, make: Make, secrets: dict[str, str]
    ) -> None:
        """And not an empty one."""
        with HTTPX.sending(secrets), pytest.raises(ResponseError, match="no such container"):
            make(container="absent").list()


class TestTempUrls:
    """URLs that are signed and end."""

    @modes
    @pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
    def test_what_was_put_is_got(
        self,
        mode: Mode,
        secrets: dict[str, str],
        account: tuple[str, dict[str, str]],
        algorithm: str,
    ) -> None:
        """With nothing but the key of the account; the method is signed too."""
        auth = {"type": "hmac_url", "key": "${TEMP}", "algorithm": algorithm}
        storage = Swift(container="preset", storage_url=account[0], auth=auth)
        with mode.sending(secrets):
            mode.call(storage, "put", b"31 rows", "a b+\u00e9/%25")
            assert b"31 rows" == mode.call(storage, "get", "a b+\u00e9/%25")
            assert mode.call(storage, "exists", "a b+\u00e9/%25") is True
            mode.call(storage, "delete", "a b+\u00e9/%25")

    def test_a_wrong_key_is_refused(
        self, secrets: dict[str, str], account: tuple[str, dict[str, str]]
    ) -> None:
        """Once, since there is no other one to try."""
        auth = {"type": "hmac_url", "key": "${WRONG}"}
        storage = Swift(container="preset", storage_url=account[0], auth=auth)
        with HTTPX.sending(secrets, attempts=3):
            error = caught(lambda: storage.put(b"31 rows", "a"))
        assert isinstance(error, AuthenticationError)
        assert 1 == error.attempts


class TestPlainData:
    """A storage is plain data, and so are its requests."""

    def test_it_survives_json(self, make: Make) -> None:
        """With its authentication, and without a value."""
        storage = make(hosts=["*.example.com"], metadata={"a": "b"})
        assert storage == Storage.from_json(storage.to_json())

    def test_the_same_objects_by_a_webhook(
        self, make: Make, secrets: dict[str, str], account: tuple[str, dict[str, str]]
    ) -> None:
        """What one stores the other fetches; the digest goes along."""
        storage = make(storage_url=account[0], key="hooks/${artifact.key}")
        webhook = storage.as_webhook()
        with HTTPX.sending(secrets):
            webhook.put(b"by the webhook", "a b")
            assert b"by the webhook" == storage.get("a b")
            storage.put(b"by the preset", "a b")
            assert b"by the preset" == webhook.get("a b")
            webhook.delete("a b")
            assert storage.exists("a b") is False

    def test_a_webhook_wants_the_url(self, make: Make) -> None:
        """Which only the log-in knows."""
        with pytest.raises(ConfigurationError, match="storage_url"):
            make().as_webhook()

    def test_a_preview_asks_nobody(self, make: Make, secrets: dict[str, str]) -> None:
        """Where the files are is not known then."""
        with HTTPX.sending(secrets):
            shown = current_sender().preview(make(key="k/${artifact.key}").exchange("fetch", "a"))
        assert "https://storage-url.invalid/preset/k/a" == shown.url
        assert "/auth/v1.0" in shown.signature

    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"container": "a/b"}, "container"),
            ({"container": ""}, "container"),
            ({"container": "x" * 257}, "container"),
            ({"container": ".."}, "container"),
            ({"container": "a\nb"}, "control"),
            ({"segments": "a/b"}, "container"),
            ({"key": "a/"}, "ends with a name"),
            ({"storage_url": None, "auth": None}, "storage_url"),
            ({"part_size": 0}, "part_size"),
        ],
    )
    def test_what_cannot_be_is_refused(self, wrong: dict[str, Any], text: str) -> None:
        """When the storage is made."""
        with pytest.raises(ConfigurationError, match=text):
            Swift(**{"container": "c", "storage_url": "https://example.com/v1/a", **wrong})

    @pytest.mark.parametrize(
        "wrong",
        [
            {},
            {"password": "${P}"},
            {**USER, "user_id": "u"},
            {**USER, **ROBOT},
            {**ROBOT, "project_id": "p"},
            {"application_credential_secret": "${S}"},
            {"application_credential_name": "robot", "application_credential_secret": "${S}"},
            {**USER, "project_id": "p"},
            {**USER, "application_credential_id": "c"},
        ],
    )
    def test_half_a_credential_is_none(self, wrong: dict[str, str]) -> None:
        """Neither are two."""
        with pytest.raises(ConfigurationError, match=r"give|has a secret|has its project"):
            find({"type": "keystone", "auth_url": "https://keystone.example.com", **wrong})


# --- a fake Keystone -----------------------------------------------------------------------------


@pytest.fixture
def fake() -> Iterator[FakeKeystone]:
    """Start a fake Keystone."""
    with FakeKeystone() as server:
        yield server


def at(fake: FakeKeystone, fields: dict[str, str] | None = None, **options: Any) -> Swift:
    """Return a storage that logs in at the fake."""
    auth = {"type": "keystone", "auth_url": fake.url, **(fields or USER)}
    return Swift(**{"container": "c", "auth": auth, **options})


def large(fake: FakeKeystone, **options: Any) -> Swift:
    """Return one that stores in segments."""
    return at(fake, multipart_above=1000, part_size=700, **options)


class TestKeystone:
    """The token and the catalog of the identity service."""

    @modes
    @pytest.mark.parametrize(
        "fields",
        [
            USER,
            {**USER, "user_domain_id": "default", "project_domain_id": "default"},
            {"user_id": keystone.USER_ID, "password": "${P}", "project_id": keystone.PROJECT_ID},
            ROBOT,
            {
                "application_credential_name": keystone.CREDENTIAL,
                "application_credential_secret": "${S}",
                "username": keystone.USER,
            },
        ],
        ids=["names", "domain ids", "ids", "robot by id", "robot by name"],
    )
    def test_who_logs_in_stores_and_fetches(
        self, mode: Mode, fake: FakeKeystone, fields: dict[str, str]
    ) -> None:
        """One token is enough for all."""
        with mode.sending(PASSWORD):
            mode.call(at(fake, fields), "put", b"31 rows", "a")
            assert b"31 rows" == mode.call(at(fake, fields), "get", "a")
            assert ["a"] == mode.call(at(fake, fields), "list")
        assert 1 == len(fake.given)

    @modes
    @pytest.mark.parametrize("fields", [USER, ROBOT], ids=["password", "secret"])
    def test_a_wrong_secret_is_refused(
        self, mode: Mode, fake: FakeKeystone, fields: dict[str, str]
    ) -> None:
        """Nothing is stored, and nothing is said of it."""
        with mode.sending({"P": "canary-1", "S": "canary-1"}, attempts=3):
            error = caught(lambda: mode.call(at(fake, fields), "put", b"x", "a"))
        assert isinstance(error, AuthenticationError)
        assert "canary" not in f"{error!r} {error.hint}"
        assert {keystone.TOKENS} == set(fake.calls)

    def test_a_wrong_path_of_the_log_in_is_told(self, fake: FakeKeystone) -> None:
        """The user may have given that of another version."""
        fields = {"type": "keystone", "auth_url": f"{fake.url}/v2.0"}
        auth = {**_auth(fake), **fields}
        with HTTPX.sending(PASSWORD), pytest.raises(AuthenticationError, match="404") as raised:
            Swift(container="c", auth=auth).put(b"x", "a")
        assert "auth_url" in (raised.value.hint or "")

    @ways
    def test_a_token_that_was_taken_back_is_replaced_once(
        self, mode: Mode, fake: FakeKeystone
    ) -> None:
        """After a 401; when the next one is refused too it is the end."""
        with mode.sending(PASSWORD):
            mode.call(at(fake), "put", b"31 rows", "a")
            fake.take_back()
            assert b"31 rows" == mode.call(at(fake), "get", "a")
            fake.inject(Answer(401), path=OBJECTS, times=None)
            with pytest.raises(AuthenticationError):
                mode.call(at(fake), "get", "a")
        assert 3 == len(fake.given)

    def test_a_token_that_has_ended_is_replaced_before(self, fake: FakeKeystone) -> None:
        """Its life is what lies between the two times that Keystone says."""
        fake.lifetime = 7200
        exchange = Keystone(**_auth(fake)).log_in(_nothing(), "")
        assert exchange is not None
        with HTTPX.sending(PASSWORD) as sender:
            access = sender.run(exchange)
        assert (7200.0, {"storage_url": fake.storage_url}) == (access.lifetime, access.told)

    @pytest.mark.parametrize(
        ("region", "interface", "expected"),
        [("north", "public", "/n"), ("south", "public", "/s"), ("south", "internal", "/i")],
    )
    def test_region_and_interface_choose(
        self, fake: FakeKeystone, region: str, interface: str, expected: str
    ) -> None:
        """Of several URLs."""
        fake.endpoints = [
            fake.endpoint(url=f"{fake.url}/n"),
            fake.endpoint(url=f"{fake.url}/s", region="south", region_id="south"),
            fake.endpoint(url=f"{fake.url}/i", region_id="south", interface="internal"),
        ]
        fields = {**USER, "region_name": region, "interface": interface}
        with HTTPX.sending(PASSWORD), pytest.raises(WebhookStorageError):
            at(fake, fields).get("a")
        assert f"{expected}/c/a" == fake.last.path

    @pytest.mark.parametrize(
        "urls",
        [
            [],
            ["https://one.example.com/v1", "https://two.example.com/v1"],
            ["ftp://127.0.0.1/v1"],
            ["https://user@127.0.0.1/v1"],
            ["https://127.0.0.1/v1?x=1"],
            ["https://127.0.0.1/../v1"],
            ["https://127.0.0.1/${P}"],
            [None],
            [["https://127.0.0.1/v1"]],
            [{"https://127.0.0.1/v1": 1}],
            ["https://127.0.0.1/" + "x" * 2048],
        ],
    )
    def test_who_is_not_told_where_sends_nothing(self, fake: FakeKeystone, urls: list[Any]) -> None:
        """None, several, and what is no plain URL."""
        fake.endpoints = [fake.endpoint(url=url) for url in urls]
        with HTTPX.sending(PASSWORD), pytest.raises(UnexpectedAnswerError, match="where the files"):
            at(fake).put(b"x", "a")
        assert {keystone.TOKENS} == set(fake.calls)

    @pytest.mark.parametrize("url", ["https://[", "https://127.0.0.1:99999/v1", "https://a:1:b"])
    def test_a_host_that_is_none_gets_nothing(self, fake: FakeKeystone, url: str) -> None:
        """Even where all hosts may be."""
        fake.endpoints = [fake.endpoint(url=url)]
        with HTTPX.sending(PASSWORD), pytest.raises(ConfigurationError, match="on another host"):
            at(fake, hosts=["*"]).put(b"x", "a")
        assert {keystone.TOKENS} == set(fake.calls)

    @pytest.mark.parametrize(
        "token",
        [
            None,
            [],
            {"catalog": {}},
            {"catalog": [None, "x", {"type": "object-store"}]},
            {"catalog": [{"type": "object-store", "endpoints": {}}]},
            {"catalog": [{"type": "object-store", "endpoints": [1, None]}]},
            {"catalog": [{"type": ["object-store"], "endpoints": [{"region": {}}]}]},
            {"issued_at": 1, "expires_at": [], "catalog": None},
        ],
    )
    def test_an_odd_catalog_is_told(self, fake: FakeKeystone, token: Any) -> None:
        """In one clear error, whatever it is made of."""
        odd = json_answer(201, {"token": token}, {"X-Subject-Token": "good"})
        fake.inject(odd, path=keystone.TOKENS)
        with HTTPX.sending(PASSWORD), pytest.raises(UnexpectedAnswerError, match="where the files"):
            at(fake).put(b"x", "a")

    def test_a_region_that_is_no_text_is_another(self, fake: FakeKeystone) -> None:
        """The one that is named is taken."""
        odd: Any = fake.endpoint(url=f"{fake.url}/odd")
        for field in ("region", "region_id"):
            plain: Any = {**fake.endpoint(), "region": None, "region_id": None, field: "north"}
            fake.endpoints = [{**odd, "region": [], "region_id": {}}, plain]
            with HTTPX.sending(PASSWORD):
                at(fake, {**USER, "region_name": "north"}).put(field.encode(), "a")
            assert field.encode() == fake.containers["c"]["a"].data

    def test_a_token_that_comes_with_a_refusal(self, fake: FakeKeystone) -> None:
        """Is none either."""
        fake.inject(json_answer(403, {}, {"X-Subject-Token": "good"}), path=keystone.TOKENS)
        with HTTPX.sending(PASSWORD), pytest.raises(AuthenticationError, match="answered 403"):
            at(fake, storage_url=fake.storage_url).put(b"x", "a")
        assert {keystone.TOKENS} == set(fake.calls)

    @pytest.mark.parametrize("token", ["", "with blank", "x" * 16385])
    def test_a_token_that_is_none(self, fake: FakeKeystone, token: str) -> None:
        """Is not sent anywhere."""
        fake.inject(json_answer(201, {}, {"X-Subject-Token": token}), path=keystone.TOKENS)
        with HTTPX.sending(PASSWORD), pytest.raises(AuthenticationError, match="gave no token"):
            at(fake, storage_url=fake.storage_url).put(b"x", "a")
        assert {keystone.TOKENS} == set(fake.calls)

    def test_a_catalog_with_a_secret_in_it_is_not_followed(self, fake: FakeKeystone) -> None:
        """It would be shown in errors and receipts."""
        secret = "canary-in-a-path"
        fake.endpoints = [fake.endpoint(url=f"{fake.url}/v1/{secret}")]
        keeper = {"P": keystone.PASSWORD, "PROJECT": secret}
        fields = {**USER, "project_domain_name": "${PROJECT}"}
        fake.inject(
            lambda _: json_answer(
                201,
                {"token": {"catalog": fake._catalog()}},
                {"X-Subject-Token": "good"},
            ),
            path=keystone.TOKENS,
        )
        with HTTPX.sending(keeper):
            error = caught(lambda: at(fake, fields).put(b"x", "a"))
        assert isinstance(error, UnexpectedAnswerError)
        assert secret not in f"{error!r} {error.hint}"

    def test_a_catalog_with_the_token_in_it_is_not_followed(self, fake: FakeKeystone) -> None:
        """It would be shown in errors and receipts too."""
        fake.endpoints = [fake.endpoint(url=f"{fake.url}/v1/gAAAAA-token-1")]
        with HTTPX.sending(PASSWORD), pytest.raises(UnexpectedAnswerError, match="where the files"):
            at(fake).put(b"x", "a")
        assert ["gAAAAA-token-1"] == fake.given

    @ways
    def test_the_token_goes_to_no_other_host(self, mode: Mode, fake: FakeKeystone) -> None:
        """Unless the storage names it."""
        other = fake.storage_url.replace("127.0.0.1", "localhost")
        fake.endpoints = [fake.endpoint(url=other)]
        with mode.sending(PASSWORD):
            with pytest.raises(ConfigurationError, match="another host"):
                mode.call(at(fake), "put", b"x", "a")
            assert {keystone.TOKENS} == set(fake.calls)
            mode.call(at(fake, hosts=["local*"]), "put", b"x", "a")
        assert b"x" == fake.containers["c"]["a"].data

    def test_a_given_url_needs_no_catalog(self, fake: FakeKeystone) -> None:
        """The log-in gives the token only."""
        fake.endpoints = []
        with HTTPX.sending(PASSWORD):
            at(fake, storage_url=fake.storage_url).put(b"x", "a")
        assert b"x" == fake.containers["c"]["a"].data

    def test_a_log_in_whose_place_is_a_placeholder_names_the_hosts(
        self, fake: FakeKeystone
    ) -> None:
        """Its value is not known to the storage, and so neither is its host."""
        auth = {**_auth(fake), "type": "keystone", "auth_url": "${OS_AUTH_URL}"}
        values = {**PASSWORD, "OS_AUTH_URL": fake.url.replace("127.0.0.1", "localhost")}
        with HTTPX.sending(values):
            with pytest.raises(ConfigurationError, match="another host"):
                Swift(container="c", auth=auth).put(b"x", "a")
            Swift(container="c", auth=auth, hosts=["127.0.0.1"]).put(b"x", "a")
        assert b"x" == fake.containers["c"]["a"].data

    def test_a_webhook_takes_a_token_too(self, fake: FakeKeystone) -> None:
        """That of the definition, without a log-in."""
        fake.good.add("of my own")
        auth = {"type": "api_key", "name": "X-Auth-Token", "key": "${T}"}
        options: dict[str, Any] = {"key": "${artifact.key}", "auth": auth}
        storage = Swift(container="c", storage_url=fake.storage_url, **options)
        with HTTPX.sending({"T": "of my own"}):
            storage.put(b"31 rows", "a")
            webhook = storage.as_webhook()
            assert b"31 rows" == webhook.get("a")

    def test_a_token_of_ones_own_is_enough(self, fake: FakeKeystone) -> None:
        """A right one stores, a wrong one does not; nobody logs in."""
        fake.good.add("of my own")
        auth = {"type": "api_key", "name": "X-Auth-Token", "key": "${T}"}
        storage = Swift(container="c", storage_url=fake.storage_url, auth=auth)
        with HTTPX.sending({"T": "of my own"}):
            storage.put(b"x", "a")
        with HTTPX.sending({"T": "another"}), pytest.raises(AuthenticationError):
            storage.get("a")
        assert 0 == fake.calls[keystone.TOKENS]

    def test_a_kind_that_does_not_tell_where_is_no_error_of_the_service(
        self, fake: FakeKeystone
    ) -> None:
        """The storage lacks its URL."""
        auth = {"type": "api_key", "name": "X-Auth-Token", "key": "${T}"}
        with HTTPX.sending({"T": "x"}), pytest.raises(WebhookStorageError) as raised:
            Swift(container="c", auth=auth).put(b"x", "a")
        assert "storage_url" in (raised.value.hint or "")
        assert [] == fake.requests


def _auth(fake: FakeKeystone) -> dict[str, str]:
    return {"auth_url": fake.auth_url, **USER}


def _nothing() -> Any:
    return None


class TestFaults:
    """What a network and a service do now and then."""

    @modes
    @pytest.mark.parametrize("status", [503, 498, 409])
    def test_what_was_refused_for_now_is_sent_again(
        self, mode: Mode, fake: FakeKeystone, status: int
    ) -> None:
        """As often as the policy says."""
        fake.inject(Answer(status), path=OBJECTS)
        with mode.sending(PASSWORD, attempts=2):
            mode.call(at(fake), "put", b"x", "a")
        assert (b"x", 2) == (fake.containers["c"]["a"].data, fake.calls[f"{OBJECTS}a"])

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, ResponseError),
            (403, PermissionDeniedError),
            (404, ResponseError),
            (409, ConflictError),
            (411, ResponseError),
            (412, ResponseError),
            (413, TooLargeError),
            (422, IntegrityError),
            (498, RateLimitedError),
            (500, ServerError),
            (503, ServerError),
            (507, ServerError),
        ],
    )
    def test_every_refusal_is_told(
        self, fake: FakeKeystone, status: int, kind: type[Exception]
    ) -> None:
        """In our words; what the service says may be anything."""
        fake.inject(Answer(status, b"<p>canary</p>", {"Content-Type": "text/html"}), path=OBJECTS)
        with HTTPX.sending(PASSWORD):
            error = caught(lambda: at(fake).put(b"x", "a"))
        assert (kind, {}) == (type(error), fake.containers["c"])
        assert (str(status),) == getattr(error, "history", (str(status),))
        assert "canary" not in str(error)
        assert getattr(error, "hint", None)

    @ways
    def test_a_lost_answer_is_no_conflict_with_oneself(
        self, mode: Mode, fake: FakeKeystone
    ) -> None:
        """What is there is what was to be created, in one piece or in segments."""
        for storage, key, data in ((at(fake), "one", b"x"), (large(fake), "large", DATA)):
            fake.lose_answer(path=f"{OBJECTS}{key}")
            with mode.sending(PASSWORD, attempts=2):
                receipt = mode.call(storage, "put", data, key, if_absent=True)
            assert data == fake.containers["c"][key].data
            assert fake.containers["c"][key].etag.strip('"') == receipt.version

    @ways
    def test_a_lost_answer_and_somebody_else(self, mode: Mode, fake: FakeKeystone) -> None:
        """What is there is another one's."""
        fake.containers["c"]["a"] = fake.containers["c"]["large"] = Stored(b"another's")
        for storage, key, data in ((at(fake), "a", b"x"), (large(fake), "large", DATA)):
            fake.inject(Answer(503), path=f"{OBJECTS}{key}")
            with mode.sending(PASSWORD, attempts=2), pytest.raises(ObjectExistsError):
                mode.call(storage, "put", data, key, if_absent=True)
            assert b"another's" == fake.containers["c"][key].data
        assert {} == fake.containers["c_segments"]

    def test_a_deletion_whose_answer_was_lost_is_done(self, fake: FakeKeystone) -> None:
        """The second attempt finds nothing, which is what was wanted."""
        fake.containers["c"]["a"] = Stored(b"x")
        fake.inject(
            lambda request: Answer(0) if request.method == "DELETE" else None,
            path=OBJECTS,
            times=2,
            after=True,
        )
        with HTTPX.sending(PASSWORD, attempts=2):
            at(fake).delete("a")
        assert {} == fake.containers["c"]

    def test_what_somebody_else_deletes_meanwhile_is_not_found(self, fake: FakeKeystone) -> None:
        """It was there when it was asked for, and gone when it was to be deleted."""
        fake.containers["c"]["a"] = Stored(b"x")
        fake.inject(
            lambda request: Answer(404) if request.method == "DELETE" else None,
            path=OBJECTS,
            times=2,
        )
        with HTTPX.sending(PASSWORD, attempts=2), pytest.raises(ObjectNotFoundError):
            at(fake).delete("a")

    @pytest.mark.parametrize("tag", ["0" * 32, "", "no digest"])
    def test_what_was_stored_is_compared(self, fake: FakeKeystone, tag: str) -> None:
        """An answer that tells of other bytes, or of none, is no success."""
        fake.inject(Answer(201, b"", {"Etag": tag} if tag else {}), path=OBJECTS)
        with (
            HTTPX.sending(PASSWORD),
            pytest.raises(
                (IntegrityError, UnexpectedAnswerError), match=r"other bytes|without an ETag"
            ),
        ):
            at(fake).put(b"x", "a")

    def test_a_digest_in_capitals_is_the_same(self, fake: FakeKeystone) -> None:
        """Hexadecimal digits have two spellings."""
        tag = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
        fake.inject(Answer(201, b"", {"Etag": f'"{tag.upper()}"'}), path=OBJECTS)
        with HTTPX.sending(PASSWORD):
            assert tag == at(fake).put(b"x", "a").version

    @ways
    def test_what_was_fetched_is_compared(self, mode: Mode, fake: FakeKeystone) -> None:
        """With the digest that the service says, unless that is of segments."""
        fake.containers["c"]["a"] = Stored(b"x", {"Etag": "0" * 32})
        fake.containers["c"]["b"] = Stored(b"x", {"Etag": "0" * 32, "X-Object-Manifest": "c/b"})
        with mode.sending(PASSWORD):
            with pytest.raises(IntegrityError):
                mode.call(at(fake), "get", "a")
            assert b"x" == mode.call(at(fake), "get", "b")

    @pytest.mark.parametrize(
        ("operation", "method", "status"), [("exists", "HEAD", 200), ("delete", "DELETE", 200)]
    )
    def test_a_success_of_somebody_else(
        self, fake: FakeKeystone, operation: str, method: str, status: int
    ) -> None:
        """A proxy that says yes to everything has deleted nothing, and knows of nothing."""
        fake.containers["c"]["a"] = Stored(b"x")
        fake.inject(
            lambda request: Answer(status) if request.method == method else None,
            path=OBJECTS,
            times=2,
        )
        with HTTPX.sending(PASSWORD), pytest.raises(UnexpectedAnswerError) as raised:
            getattr(at(fake), operation)("a")
        assert "is it Swift" in (raised.value.hint or "")

    def test_the_token_follows_no_redirect(self, fake: FakeKeystone) -> None:
        """Not even on the same host: Swift sends none."""
        fake.inject(Answer(307, b"", {"Location": f"{OBJECTS}b"}), path=f"{OBJECTS}a")
        with HTTPX.sending(PASSWORD), pytest.raises(RedirectRefusedError):
            at(fake).put(b"x", "a")
        assert {} == fake.containers["c"]

    def test_a_page_of_something_else_is_no_object(self, fake: FakeKeystone) -> None:
        """Swift says an ETag, a proxy's page does not."""
        fake.inject(Answer(200, b"<p>please log in</p>"), path=OBJECTS)
        with HTTPX.sending(PASSWORD), pytest.raises(UnexpectedAnswerError):
            at(fake).get("a")


class TestListing:
    """Names, page by page."""

    @ways
    def test_all_pages_are_read(self, mode: Mode, fake: FakeKeystone) -> None:
        """Of a container with more than one."""
        names = [f"k/a b+{number:04}" for number in range(1500)]
        fake.containers["c"] = {name: Stored(b"") for name in [*names, "elsewhere"]}
        with mode.sending(PASSWORD):
            found = mode.call(at(fake, key="k/${artifact.key}"), "list")
        assert [name.removeprefix("k/") for name in names] == found

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"{}", b"[1]", b"<html>", b"null", b"[null]", b'[{"subdir": "a/"}]',
            b'[{"name": 1}]', b'[{"name": ""}]', b'[{"name": "a"}, {"name": "\\ud800"}]',
        ],
    )  # fmt: skip
    def test_what_is_no_list_is_refused(self, fake: FakeKeystone, body: bytes) -> None:
        """It is not taken for an empty one."""
        fake.inject(Answer(200, body), path=OBJECTS.rstrip("/"))
        with HTTPX.sending(PASSWORD), pytest.raises(UnexpectedAnswerError, match="no list"):
            at(fake).list()

    def test_a_name_is_no_template(self, fake: FakeKeystone) -> None:
        """Where the next page begins is text of the service; only what is wanted is asked for."""
        path = OBJECTS.rstrip("/")
        pages = [json_answer(200, []), json_answer(200, [{"name": "k/${P}$$"}])]
        fake.inject(lambda _: pages.pop(), path=path, times=2)
        with HTTPX.sending(PASSWORD):
            assert ["${P}$$"] == at(fake, key="k/${artifact.key}").list()
        asked = [request.query for request in fake.received(path)]
        assert [("k/", "1000")] * 2 == [(query["prefix"], query["limit"]) for query in asked]
        assert "k/${P}$$" == asked[1]["marker"]

    def test_the_same_page_again_is_refused(self, fake: FakeKeystone) -> None:
        """It would never end."""
        page = json_answer(200, [{"name": "a"}])
        fake.inject(page, path=OBJECTS.rstrip("/"), times=None)
        with HTTPX.sending(PASSWORD), pytest.raises(UnexpectedAnswerError, match="sent before"):
            at(fake).list()

    def test_a_secret_in_a_name_is_not_handed_out(self, fake: FakeKeystone) -> None:
        """A service could echo the token."""
        fake.inject(
            lambda request: json_answer(200, [{"name": request.headers["x-auth-token"]}]),
            path=OBJECTS.rstrip("/"),
        )
        with HTTPX.sending(PASSWORD):
            error = caught(lambda: at(fake).list())
        assert isinstance(error, UnexpectedAnswerError)
        assert fake.given[0] not in str(error)


class TestSegments:
    """Large objects, in the middle of which something happens."""

    @modes
    def test_a_segment_is_sent_again_alone(self, mode: Mode, fake: FakeKeystone) -> None:
        """The others are not."""
        fake.inject(Answer(503), path=SEGMENTS)
        with mode.sending(PASSWORD, attempts=2):
            mode.call(large(fake), "put", DATA, "a")
        assert DATA == fake.containers["c"]["a"].data
        assert [1, 1, 1, 2] == sorted(
            count for path, count in fake.calls.items() if path.startswith(SEGMENTS)
        )

    @ways
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            ("400 Bad Request", ResponseError),
            ("422 Unprocessable Entity", IntegrityError),
            ("503 Service Unavailable", ServerError),
            ("413 Request Entity Too Large", TooLargeError),
        ],
    )
    def test_a_failure_after_the_answer_is_a_failure(
        self, mode: Mode, fake: FakeKeystone, status: str, kind: type[Exception]
    ) -> None:
        """202 comes first; what counts is at the end of the body. No segment stays."""
        said = json.dumps({"Response Status": status, "Errors": [["canary", status]]})
        fake.inject(Answer(202, f"   \r\n\r\n{said}".encode()), path=OBJECTS)
        with mode.sending(PASSWORD):
            error = caught(lambda: mode.call(large(fake), "put", DATA, "a"))
        assert (kind, {}, {}) == (
            type(error),
            fake.containers["c"],
            fake.containers["c_segments"],
        )
        assert "canary" not in f"{error!r} {getattr(error, 'hint', None)}"

    @pytest.mark.parametrize("body", [b"", b"   ", b"[]", b'{"Response Status": 201}'])
    def test_blanks_without_an_end_are_no_success(self, fake: FakeKeystone, body: bytes) -> None:
        """Swift went away before it said how it went."""
        fake.inject(Answer(202, body), path=OBJECTS)
        with HTTPX.sending(PASSWORD), pytest.raises(UnexpectedAnswerError):
            large(fake).put(DATA, "a")

    def test_a_swift_without_heartbeat_says_201(self, fake: FakeKeystone) -> None:
        """An older one does not know the parameter."""
        digests = [hashlib.md5(DATA[at : at + 700]).hexdigest() for at in range(0, 2500, 700)]  # noqa: S324
        whole = hashlib.md5("".join(digests).encode()).hexdigest()  # noqa: S324 - Swift's
        fake.inject(Answer(201, b"", {"Etag": f'"{whole}"'}), path=OBJECTS)
        with HTTPX.sending(PASSWORD):
            assert whole == large(fake).put(DATA, "a").version

    def test_an_upload_that_broke_off_is_carried_on(
        self, fake: FakeKeystone, tmp_path: Path
    ) -> None:
        """What came through before is not sent again."""
        fake.inject(
            lambda request: Answer(403) if request.path.endswith("/00000003") else None,
            path=SEGMENTS,
            times=None,
        )
        with HTTPX.sending(PASSWORD):
            with pytest.raises(PermissionDeniedError):
                large(fake, parallel=1).put(DATA, "a", resume=tmp_path / "resume")
            fake.clear_faults()
            before = len(fake.received(SEGMENTS, "PUT"))
            large(fake, parallel=1).put(DATA, "a", resume=tmp_path / "resume")
        assert DATA == fake.containers["c"]["a"].data
        assert 2 == len(fake.received(SEGMENTS, "PUT")) - before

    @ways
    def test_an_upload_whose_end_was_not_heard_is_no_conflict_with_oneself(
        self, mode: Mode, fake: FakeKeystone, tmp_path: Path
    ) -> None:
        """The next process finds what the one before has created."""
        resume = tmp_path / "resume"
        fake.lose_answer(path=f"{OBJECTS}a")
        with mode.sending(PASSWORD):
            with pytest.raises(TransportError):
                mode.call(large(fake), "put", DATA, "a", if_absent=True, resume=resume)
            receipt = mode.call(large(fake), "put", DATA, "a", if_absent=True, resume=resume)
        assert fake.containers["c"]["a"].etag.strip('"') == receipt.version
        assert not resume.exists()

    def test_an_upload_that_somebody_overtook_is_a_conflict(
        self, fake: FakeKeystone, tmp_path: Path
    ) -> None:
        """What was created meanwhile stays as it is."""
        resume = tmp_path / "resume"
        fake.inject(Answer(503), path=f"{OBJECTS}a")
        with HTTPX.sending(PASSWORD):
            with pytest.raises(ServerError):
                large(fake).put(DATA, "a", if_absent=True, resume=resume)
            fake.containers["c"]["a"] = Stored(b"another's")
            with pytest.raises(ObjectExistsError):
                large(fake).put(DATA, "a", if_absent=True, resume=resume)
        assert b"another's" == fake.containers["c"]["a"].data

    @pytest.mark.parametrize(
        "changes", [{"hash": None}, {"hash": "0" * 32}, {"bytes": 1}, {"bytes": "x"}, {"name": "x"}]
    )
    def test_segments_that_are_others_are_sent_again(
        self, fake: FakeKeystone, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        """An upload goes on with those only that are what it has sent."""
        resume = tmp_path / "resume"
        fake.inject(Answer(403), path=f"{OBJECTS}a")
        with HTTPX.sending(PASSWORD):
            with pytest.raises(PermissionDeniedError):
                large(fake).put(DATA, "a", resume=resume)
            first = min(fake.containers["c_segments"])
            stored = fake.containers["c_segments"][first]
            entry = {"name": first, "hash": stored.etag, "bytes": len(stored.data)}
            odd = {**entry, **changes, "name": f"{first}{changes.get('name', '')}"}
            empty = [json_answer(200, []), json_answer(200, [odd])]
            fake.inject(lambda _: empty.pop(), path=SEGMENTS.rstrip("/"), times=2)
            before = len(fake.received(SEGMENTS, "PUT"))
            large(fake).put(DATA, "a", resume=resume)
        assert 4 == len(fake.received(SEGMENTS, "PUT")) - before
        assert DATA == fake.containers["c"]["a"].data

    @pytest.mark.parametrize(
        ("said", "kind"),
        [
            ({"Response Status": "400 Bad Request", "Errors": [["x", "403 Forbidden"]]}, "403"),
            ({"Response Status": "404 Not Found", "Errors": []}, "404"),
            ({"Response Status": "500 Internal Error"}, "500"),
        ],
    )
    def test_a_deletion_that_failed_within_is_told(
        self, fake: FakeKeystone, said: dict[str, Any], kind: str
    ) -> None:
        """The answer is 200 in any case."""
        fake.containers["c"]["a"] = Stored(DATA, {"X-Static-Large-Object": "True"}, ("x",))
        fake.inject(
            lambda request: json_answer(200, said) if request.method == "DELETE" else None,
            path=OBJECTS,
            times=2,
        )
        with HTTPX.sending(PASSWORD), pytest.raises(ResponseError, match=f"and then {kind}"):
            at(fake).delete("a")

    def test_too_many_parts_is_too_large(self, fake: FakeKeystone) -> None:
        """Before anything is sent."""

        class Endless:
            size = 5 * 1024**3 * 1001

            def chunks(self) -> Iterator[bytes]:
                yield b""

            def sha256(self) -> str:
                return ""

        with HTTPX.sending(PASSWORD) as sender, pytest.raises(TooLargeError):
            sender.run(at(fake).store_exchange(Endless(), {"artifact.key": "a"}))
        assert [] == fake.requests


def _echo(status: int, request: Received) -> Answer:
    """Refuse, and repeat the token."""
    return Answer(status, request.headers["x-auth-token"].encode())


class TestLeaks:
    """No value is in anything that stays."""

    @ways
    def test_errors_and_receipts_hold_no_token(self, mode: Mode, fake: FakeKeystone) -> None:
        """Whatever goes wrong after the log-in."""
        with mode.sending(PASSWORD):
            shown = [repr(mode.call(large(fake), "put", DATA, "a"))]
            for status in (400, 403, 404, 500):
                fake.inject(partial(_echo, status), path=OBJECTS)
                error = caught(lambda: mode.call(at(fake), "get", "a"))
                shown.append(f"{error!r} {error} {getattr(error, 'hint', '')} {vars(error)}")
                shown.append(pickle.dumps(error).decode("latin-1"))
        assert fake.given
        assert not any(fake.given[0] in text or keystone.PASSWORD in text for text in shown)

    def test_each_sender_has_its_own_token(self, fake: FakeKeystone) -> None:
        """And one that was closed has none."""
        for _ in range(2):
            resolver = MappingResolver(PASSWORD)
            with (
                contextlib.closing(
                    Sender(secrets=[resolver], retry=RetryPolicy(attempts=1))
                ) as sender,
                sender,
            ):
                at(fake).put(b"x", "a")
        assert 2 == len(fake.given)
