"""Nexus against a fake, written from its source."""

from __future__ import annotations

import json
import pickle
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.http import Answer, Received, json_answer
from tests.fakes.nexus import Asset, FakeNexus
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage import LiteralSecretWarning, Storage
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
from webhook_storage.testing import PresetCase, PresetSuite, canary
from webhook_storage_presets.nexus import Nexus

if TYPE_CHECKING:
    from pathlib import Path

Make = Callable[..., Nexus]

PASSWORD = canary()
SECRETS = {"NEXUS_USERNAME": FakeNexus.user, "NEXUS_PASSWORD": PASSWORD}
KEYS = (
    "with space", "a+b", "a&b=c", "100%", "50%25", "ümläut/ß", "κλειδί", "~t(1)!*'", "a;b,c#d?e",
    "x/y/z", "${HOME}",
)  # fmt: skip
REFUSED_KEYS = ("line\nbreak", "nul\0", "../up", "a/./b", "/a", "a//b", "a/")
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def fake() -> Iterator[FakeNexus]:
    """Start a fake Nexus."""
    with FakeNexus(password=PASSWORD) as server:
        yield server


@pytest.fixture
def make(fake: FakeNexus) -> Make:
    """Return a maker of storages on the fake."""

    def build(**options: Any) -> Nexus:
        return Nexus(**{"url": fake.url, "repository": "raw", **options})

    return build


@pytest.fixture
def _sending() -> Iterator[None]:
    with HTTPX.sending(SECRETS):
        yield


def _run(mode: Mode, storage: Storage, operation: str, *args: Any, **options: Any) -> Any:
    return mode.call(storage, operation, *args, **options)


def _lost(method: str) -> Callable[[Received], Answer | None]:
    """Return a fault that loses the answers to one method."""
    return lambda request: Answer(0) if request.method == method else None


class TestContract(PresetSuite):
    """The whole contract."""

    @pytest.fixture
    def case(self, fake: FakeNexus, make: Make) -> PresetCase:
        """Pages are short, so that each list has several."""
        fake.page = 2
        return PresetCase(
            storage=make(),
            secrets=SECRETS,
            wrong={**SECRETS, "NEXUS_PASSWORD": canary()},
            forbidden=make(repository="hidden"),
            elsewhere=make(repository="nobody-has-made-this"),
            odd_keys=KEYS,
            refused_keys=REFUSED_KEYS,
            trouble=lambda status: fake.inject(Answer(status)),
            lose=lambda: fake.inject(_lost("PUT"), after=True, times=2),
        )


class TestStore:
    """What a store sends, and what it asks afterwards."""

    @modes
    def test_asks_what_was_stored(self, fake: FakeNexus, make: Make, mode: Mode) -> None:
        """Nexus takes no checksum and answers nothing, so the version is asked for."""
        with mode.sending(SECRETS):
            receipt = _run(mode, make(content_type="text/csv"), "put", b"31 rows", "x/y z")
        asset = fake.assets["raw", "x/y z"]
        assert ["PUT", "HEAD"] == [request.method for request in fake.requests]
        assert (asset.etag, "text/csv") == (receipt.version, asset.content_type)

    @pytest.mark.parametrize(
        "other", [Asset(b"32 rows", ""), Asset(b"31 rows and more", "")], ids=["bytes", "length"]
    )
    @pytest.mark.usefixtures("_sending")
    def test_something_else_there_is_an_error(
        self, fake: FakeNexus, make: Make, other: Asset
    ) -> None:
        """Damage on the way, or another writer."""

        def replace(request: Received) -> None:
            if request.method == "PUT":
                fake.assets["raw", "k"] = other

        fake.inject(replace, after=True)
        assert IntegrityError is type(caught(lambda: make().put(b"31 rows", "k")))

    @pytest.mark.parametrize("etag", [None, '"1-2"', 'W/"{SHA1{0}}"', '"{SHA1{0}}"'])
    @pytest.mark.parametrize(("body", "stored"), [(b"31 rows", True), (b"31 rows, and", False)])
    @pytest.mark.usefixtures("_sending")
    def test_without_a_checksum_the_size_counts(
        self,
        fake: FakeNexus,
        make: Make,
        etag: str | None,
        body: bytes,
        stored: bool,  # noqa: FBT001
    ) -> None:
        """A proxy may have made the ETag, or none is there."""
        headers = {"Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT"}
        headers |= {} if etag is None else {"ETag": etag}
        told = Answer(200, body, headers)
        fake.inject(lambda request: told if request.method == "HEAD" else None, times=2)
        if stored:
            assert etag == make().put(b"31 rows", "k").version
        else:
            assert IntegrityError is type(caught(lambda: make().put(b"31 rows", "k")))

    @pytest.mark.usefixtures("_sending")
    def test_a_checksum_of_a_proxy_counts(self, fake: FakeNexus, make: Make) -> None:
        """One that says by a header what has come."""
        digest = {"Repr-Digest": f"sha-256=:{'A' * 43}=:"}
        told = Answer(201, b"", digest)
        fake.inject(lambda request: told if request.method == "PUT" else None, after=True)
        assert IntegrityError is type(caught(lambda: make().put(b"31 rows", "k")))

    @pytest.mark.usefixtures("_sending")
    def test_nothing_there_is_an_error(self, fake: FakeNexus, make: Make) -> None:
        """A 201 of something else than Nexus."""
        fake.inject(Answer(201))
        assert IntegrityError is type(caught(lambda: make().put(b"31 rows", "k")))

    @pytest.mark.usefixtures("_sending")
    def test_who_may_not_read_stores_without_a_version(self, fake: FakeNexus, make: Make) -> None:
        """A repository to drop files into."""
        receipt = make(repository="drop").put(b"31 rows", "k")
        assert (None, b"31 rows") == (receipt.version, fake.read("k", "drop"))

    @pytest.mark.usefixtures("_sending")
    def test_a_login_page_is_no_success(self, fake: FakeNexus, make: Make) -> None:
        """Neither for a store nor for a fetch, a question or a list."""
        page = Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"})
        fake.inject(page, times=None)
        storage = make()
        actions: list[Callable[[], object]] = [
            lambda: storage.put(b"x", "k"),
            lambda: storage.get("k"),
            lambda: storage.stat("k"),
            lambda: storage.exists("k"),
            storage.list,
        ]
        assert [UnexpectedAnswerError] * 5 == [type(caught(action)) for action in actions]

    @pytest.mark.usefixtures("_sending")
    def test_a_file_of_some_megabytes(self, make: Make, tmp_path: Path) -> None:
        """It goes and comes in one request."""
        (tmp_path / "in").write_bytes(bytes(range(256)) * 40_000)
        make().download(tmp_path / "out", make().put(tmp_path / "in", "k"))
        assert (tmp_path / "in").read_bytes() == (tmp_path / "out").read_bytes()


class TestConditions:
    """If-None-Match and If-Match."""

    @modes
    def test_only_to_be_created(self, fake: FakeNexus, make: Make, mode: Mode) -> None:
        """The second one is told that it is there."""
        with mode.sending(SECRETS):
            _run(mode, make(), "put", b"1", "k", if_absent=True)
            with pytest.raises(ObjectExistsError):
                _run(mode, make(), "put", b"2", "k", if_absent=True)
        assert b"1" == fake.read("k")

    @modes
    def test_one_version_to_be_replaced(self, fake: FakeNexus, make: Make, mode: Mode) -> None:
        """That of the receipt or of a stat, and no other; nor what is no longer there."""
        with mode.sending(SECRETS):
            first = _run(mode, make(), "put", b"1", "k")
            second = _run(mode, make(), "put", b"2", "k", if_unchanged=first)
            for stale in (first, '"{SHA1{0}}"'):
                with pytest.raises(ConflictError):
                    _run(mode, make(), "put", b"3", "k", if_unchanged=stale)
            version = _run(mode, make(), "stat", "k").version
            assert second.version == version
            _run(mode, make(), "delete", "k")
            with pytest.raises(ConflictError):
                _run(mode, make(), "put", b"3", "k", if_unchanged=version)
        assert {} == fake.assets

    @pytest.mark.usefixtures("_sending")
    def test_a_weak_version_is_refused(self, fake: FakeNexus, make: Make) -> None:
        """Nothing is sent."""
        with pytest.raises(ConfigurationError, match="weak"):
            make().put(b"1", "k", if_unchanged='W/"1"')
        assert [] == fake.requests

    @pytest.mark.parametrize(
        ("repository", "options"),
        [("raw", {"if_absent": True}), ("once", {}), ("raw", {"if_unchanged": True})],
        ids=["create", "policy", "replace"],
    )
    @modes
    def test_a_lost_answer_is_no_conflict(
        self,
        fake: FakeNexus,
        make: Make,
        mode: Mode,
        repository: str,
        options: dict[str, Any],
    ) -> None:
        """What is in the way is what was stored."""
        if "if_unchanged" in options:
            fake.assets["raw", "k"] = Asset(b"1", "text/plain")
            options = {"if_unchanged": fake.assets["raw", "k"].etag}
        fake.inject(_lost("PUT"), after=True)
        with mode.sending(SECRETS, attempts=2):
            receipt = _run(mode, make(repository=repository), "put", b"2", "k", **options)
        assert (2, b"2") == (len(fake.received(method="PUT")), fake.read("k", repository))
        assert fake.assets[repository, "k"].etag == receipt.version

    @pytest.mark.parametrize(
        ("repository", "options"), [("raw", {"if_absent": True}), ("once", {})]
    )
    def test_others_bytes_are_a_conflict_after_a_failure_too(
        self, fake: FakeNexus, make: Make, repository: str, options: dict[str, Any]
    ) -> None:
        """They are compared."""
        fake.assets[repository, "k"] = Asset(b"others", "text/plain")
        fake.inject(Answer(503))
        with HTTPX.sending(SECRETS, attempts=2), pytest.raises(ObjectExistsError):
            make(repository=repository).put(b"2", "k", **options)
        assert b"others" == fake.read("k", repository)

    @pytest.mark.parametrize(
        ("repository", "options"), [("raw", {"if_absent": True}), ("once", {})]
    )
    @pytest.mark.usefixtures("_sending")
    def test_the_same_bytes_of_somebody_else_are_a_conflict(
        self, fake: FakeNexus, make: Make, repository: str, options: dict[str, Any]
    ) -> None:
        """The first attempt was refused, so it has not stored them."""
        fake.assets[repository, "k"] = Asset(b"2", "text/plain")
        with pytest.raises(ObjectExistsError):
            make(repository=repository).put(b"2", "k", **options)
        assert ["PUT"] == [request.method for request in fake.requests]

    def test_a_right_that_is_missing_is_no_conflict(self, fake: FakeNexus, make: Make) -> None:
        """After a failure too, whatever is there."""
        fake.assets["closed", "k"] = Asset(b"2", "text/plain")
        fake.inject(Answer(503))
        with HTTPX.sending(SECRETS, attempts=2), pytest.raises(PermissionDeniedError):
            make(repository="closed").put(b"2", "k")


class TestRefusals:
    """What a status and its reason mean."""

    @pytest.mark.parametrize(
        ("repository", "kind", "words"),
        [
            ("once", ObjectExistsError, "lets nothing be replaced"),
            ("closed", PermissionDeniedError, "read-only"),
            ("strict", ResponseError, "not what the ending"),
            ("group", ResponseError, "takes no files"),
            ("hidden", PermissionDeniedError, "may not do this"),
            ("missing", ResponseError, "no such repository"),
        ],
    )
    @pytest.mark.usefixtures("_sending")
    def test_of_a_store(
        self, fake: FakeNexus, make: Make, repository: str, kind: type[Exception], words: str
    ) -> None:
        """Each policy has its own words, and a hint."""
        fake.assets["once", "k.zip"] = Asset(b"1", "text/plain")
        with pytest.raises(ResponseError, match=words) as raised:
            make(repository=repository).put(b"no archive", "k.zip")
        assert (kind, True) == (type(raised.value), bool(raised.value.hint))

    @pytest.mark.parametrize("status", [400, 413])
    @pytest.mark.usefixtures("_sending")
    def test_show_no_message(self, fake: FakeNexus, make: Make, status: int) -> None:
        """What Nexus writes into its pages is not repeated."""
        fake.inject(Answer(status, b"the policy of Zaphod", {"Content-Type": "text/plain"}))
        error = caught(lambda: make().put(b"x", "k"))
        kind = {400: ResponseError, 413: TooLargeError}[status]
        assert (kind, False) == (type(error), "Zaphod" in f"{error} {error!r}")

    @pytest.mark.usefixtures("_sending")
    def test_of_a_read_only_server(self, fake: FakeNexus, make: Make) -> None:
        """Nexus says 503 while it is backed up."""
        fake.inject(Answer(503))
        assert ServerError is type(caught(lambda: make().put(b"x", "k")))

    @pytest.mark.usefixtures("_sending")
    def test_of_a_list(self, make: Make) -> None:
        """A repository that is not there, or in which nothing may be read."""
        with pytest.raises(ResponseError, match="no such repository"):
            make(repository="missing").list()
        with pytest.raises(PermissionDeniedError):
            make(repository="drop").list()


class TestWhatIsThere:
    """Deletions and lists."""

    @modes
    def test_a_lost_answer_to_a_delete_is_no_error(
        self, fake: FakeNexus, make: Make, mode: Mode
    ) -> None:
        """The second attempt finds nothing, and that is what was wanted."""
        fake.assets["raw", "k"] = Asset(b"1", "text/plain")
        fake.inject(_lost("DELETE"), after=True)
        with mode.sending(SECRETS, attempts=2):
            _run(mode, make(), "delete", "k")
        assert ({}, 2) == (fake.assets, len(fake.requests))

    @pytest.mark.usefixtures("_sending")
    def test_what_is_missing_cannot_be_deleted(self, make: Make) -> None:
        """Nor in a repository that is there."""
        with pytest.raises(ObjectNotFoundError, match="no such file"):
            make().delete("k")

    @pytest.mark.parametrize("start", ["/", ""])
    @modes
    def test_a_list_has_the_keys_of_this_storage(
        self, fake: FakeNexus, make: Make, mode: Mode, start: str
    ) -> None:
        """Over several pages, with or without a slash in front as versions have it."""
        fake.page, fake.root = 2, start
        for path in ("data set/a/b.bin", "data set/c.bin", "data set/c.txt", "else/c.bin", "z"):
            fake.assets["raw", path] = Asset(b"1", "text/plain")
        fake.assets["once", "data set/d.bin"] = Asset(b"1", "text/plain")
        with mode.sending(SECRETS):
            assert ["a/b", "c"] == _run(mode, make(key="data set/${artifact.key}.bin"), "list")
        assert 3 == len(fake.requests)

    @pytest.mark.usefixtures("_sending")
    def test_pages_without_an_end_are_refused(self, fake: FakeNexus, make: Make) -> None:
        """A page that leads to itself."""
        page = json_answer(200, {"items": [], "continuationToken": "${HOME}"})
        fake.inject(page, times=None)
        with pytest.raises(UnexpectedAnswerError, match="came before"):
            make().list()
        assert ["${HOME}"] == [one.query["continuationToken"] for one in fake.requests[1:]]

    @pytest.mark.parametrize(
        "page",
        [
            [],
            {"items": None},
            {"items": {"path": "/a"}},
            {"items": ["a"]},
            {"items": [{"path": None}]},
            {"items": [{}]},
            {"items": [], "continuationToken": True},
            {"items": [], "continuationToken": {}},
            {"items": [{"path": f"/{PASSWORD}"}], "continuationToken": None},
        ],
    )
    @pytest.mark.usefixtures("_sending")
    def test_what_is_no_page_is_refused(self, fake: FakeNexus, make: Make, page: object) -> None:
        """Nor one that repeats the password."""
        fake.inject(json_answer(200, page))
        error = caught(make().list)
        assert (UnexpectedAnswerError, False) == (type(error), PASSWORD in f"{error!r}")


AUTHS: dict[str, tuple[dict[str, str], str]] = {
    "password": ({"type": "basic", "username": FakeNexus.user, "password": "${WORD}"}, PASSWORD),
    "user token": (
        {"type": "basic", "username": FakeNexus.user_token[0], "password": "${WORD}"},
        FakeNexus.user_token[1],
    ),
    "bearer": ({"type": "bearer", "token": "${WORD}"}, FakeNexus.bearer),
}


class TestAuth:
    """Who sends it."""

    @pytest.mark.parametrize("kind", AUTHS)
    def test_each_kind_is_taken_and_its_wrong_twin_refused(
        self, fake: FakeNexus, make: Make, kind: str
    ) -> None:
        """Only the right word stores."""
        auth, word = AUTHS[kind]
        storage = make(auth=auth)
        with HTTPX.sending({"WORD": word + "x"}):
            error = caught(lambda: storage.put(b"1", "k"))
        assert (AuthenticationError, {}) == (type(error), fake.assets)
        with HTTPX.sending({"WORD": word}):
            storage.put(b"1", "k")
            assert b"1" == storage.get("k")

    def test_nobody_is_refused(self, fake: FakeNexus, make: Make) -> None:
        """Without a credential nothing is sent that looks like one."""
        with HTTPX.sending({}), pytest.raises(AuthenticationError):
            make(auth=None).get("k")
        assert "authorization" not in fake.last.headers

    @modes
    def test_no_secret_is_in_an_error(self, fake: FakeNexus, make: Make, mode: Mode) -> None:
        """Not even in the frames, when Nexus repeats it."""
        fake.inject(Answer(400, f"read-only for {PASSWORD}".encode()), times=None)
        with mode.sending(SECRETS):
            error = caught(lambda: _run(mode, make(), "put", b"1", "k"))
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert (PermissionDeniedError, False) == (type(error), PASSWORD in "".join(shown.format()))
        assert PASSWORD.encode() not in pickle.dumps(error)


class TestDefinition:
    """What a storage is made of."""

    @pytest.mark.parametrize(
        "options",
        [
            {"key": "/a"},
            {"key": "a//b"},
            {"key": "/${artifact.key}"},
            {"key": "a/"},
            {"key": ""},
            {"key": "a/../b"},
            {"url": "https://example.com/?a=b"},
            {"url": ""},
            {"url": "https://"},
            {"url": "https://example.com/#a"},
            {"key": "a\nb"},
            {"repository": "a/b"},
            {"repository": "${REPO}"},
            {"auth": {"type": "nobody"}},
        ],
        ids=str,
    )
    def test_what_cannot_be_is_refused(self, make: Make, options: dict[str, Any]) -> None:
        """In one line."""
        with pytest.raises(ConfigurationError) as raised:
            make(**options)
        assert "\n" not in str(raised.value)

    def test_a_literal_password_is_warned_of(self, make: Make) -> None:
        """It would be stored with the definition."""
        with pytest.warns(LiteralSecretWarning):
            make(auth={"type": "basic", "username": "me", "password": "literal"})

    def test_json_gives_it_back(self, make: Make) -> None:
        """With all that it can have."""
        auth = AUTHS["bearer"][0]
        storage = make(key="a/${artifact.key}", auth=auth, content_type="a/b", timeout=(1, 2))
        assert storage == Storage.from_json(storage.to_json()) == deepcopy(storage)
        assert "auth" not in json.loads(make(key=None).to_json())


PUT = "PUT {base}/repository/raw/${{artifact.key|path}} answered"
LINES: dict[str, tuple[dict[str, Any], dict[str, str], str, str, str]] = {
    "no such repository": (
        {"repository": "missing"}, SECRETS, "k",
        ("PUT {base}/repository/missing/${{artifact.key|path}} answered 404: there is no such "
        "repository"),
        "are url and repository right?",
    ),
    "no name of one": (
        {"repository": "a/b"}, SECRETS, "k",
        "repository: it is no name of a repository: letters, digits and . _ -", "None",
    ),
    "no credential": (
        {}, {"NEXUS_USERNAME": "builder"}, "k", "${{NEXUS_PASSWORD}} is missing (asked: mapping)",
        ("set the environment variable NEXUS_PASSWORD, or add it to another of those asked; "
        "'webhook-storage check' shows what each of them answers"),
    ),
    "wrong credential": (
        {}, {**SECRETS, "NEXUS_PASSWORD": "wrong-word"}, "k",
        f"{PUT} 401: the credential is missing or wrong",
        "are user and password right, or both halves of the user token?",
    ),
    "wrong place": (
        {"repository": "hidden"}, SECRETS, "k",
        ("PUT {base}/repository/hidden/${{artifact.key|path}} answered 403: the credential may not "
        "do this there"),
        "which privileges has its role in this repository?",
    ),
    "line break": (
        {}, SECRETS, "a\nb",
        "key: ${{artifact.key}} has a control character, which no object's name can hold",
        "store it under another key",
    ),
    "empty segment": (
        {}, SECRETS, "/a", "key: the key has an empty segment, which Nexus drops",
        "store it under another key",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_bad_input_ends_in_one_line(fake: FakeNexus, make: Make, name: str) -> None:
    """With a hint at what to do."""
    options, secrets, key, line, hint = LINES[name]
    with HTTPX.sending(secrets):
        error = caught(lambda: make(**options).put(b"x", key))
    assert isinstance(error, WebhookStorageError)
    assert (line.format(base=fake.url), hint) == (str(error), str(error.hint))
    assert {} == fake.assets


class TestWebhook:
    """The same in plain kwargs."""

    @modes
    def test_stores_the_same_files(self, fake: FakeNexus, make: Make, mode: Mode) -> None:
        """What one stores the other fetches, and conditions hold."""
        storage = make(key="a b/${artifact.key}", content_type="text/csv")
        webhook = storage.as_webhook()
        assert webhook == Storage.from_json(webhook.to_json())
        with mode.sending(SECRETS):
            _run(mode, webhook, "put", b"31 rows", "c/ü +%", if_absent=True)
            with pytest.raises(ObjectExistsError):
                _run(mode, webhook, "put", b"32 rows", "c/ü +%", if_absent=True)
            assert b"31 rows" == _run(mode, storage, "get", "c/ü +%")
            _run(mode, storage, "put", b"32 rows", "d")
            assert b"32 rows" == _run(mode, webhook, "get", "d")
            _run(mode, webhook, "delete", "d")
        assert {("raw", "a b/c/ü +%"): Asset(b"31 rows", "text/csv")} == fake.assets

    def test_nobody_sends_without_a_credential(self, make: Make) -> None:
        """No auth is no auth there too."""
        assert "auth" not in make(auth=None).as_webhook().build_request_kwargs
