"""Whose files on Dropbox are meant, and who asks: refresh tokens, teams, roots."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import dropbox
import pytest
from dropbox.common import PathRoot

from tests.fakes.dropbox import BLOCK, FakeDropbox
from tests.fakes.http import json_answer
from tests.leaks import canary
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage import LiteralSecretWarning, Storage
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    ResponseError,
)
from webhook_storage_presets.dropbox import Dropbox

if TYPE_CHECKING:
    from collections.abc import Iterator

modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)

SECRETS = {
    "REFRESH": "refresh-of-this-test",
    "SECRET": "app+secret/of this test",
    "DBOX_OAUTH2_TOKEN": "sl.of-this-test",
}
REFRESHING = {"refresh_token": "${REFRESH}", "app_key": "key-1", "app_secret": "${SECRET}"}
TOKEN_PATH = "/oauth2/token"
UPLOAD = "/2/files/upload"


def call(mode: Mode, storage: Any, operation: str, *args: Any, **options: Any) -> Any:
    """Carry out an operation, from a thread or from an event loop."""
    return mode.call(storage, operation, *args, **options)


@pytest.fixture
def fake() -> Iterator[FakeDropbox]:
    """Start an account with an app that has a secret."""
    with FakeDropbox(
        token=SECRETS["DBOX_OAUTH2_TOKEN"],
        refresh_token=SECRETS["REFRESH"],
        app_key="key-1",
        app_secret=SECRETS["SECRET"],
    ) as server:
        yield server


def on(fake: FakeDropbox, **options: Any) -> Dropbox:
    """Return a storage on that account."""
    given = {"path": "/flows/${artifact.key}", "content_origin": fake.url, "api_origin": fake.url}
    return Dropbox(**{**given, **options})


class TestRefresh:
    """Access tokens that are got by a refresh token."""

    @modes
    def test_one_token_serves_all_operations(self, mode: Mode, fake: FakeDropbox) -> None:
        """It is got when it is first needed."""
        storage = on(fake, **REFRESHING)
        with mode.sending(SECRETS):
            receipt = call(mode, storage, "put", b"31 rows", "a")
            assert b"31 rows" == call(mode, storage, "get", receipt)
            assert ["a"] == call(mode, storage, "list")
            assert call(mode, storage, "exists", "a")
            call(mode, storage, "delete", "a")
        assert (1, {}) == (fake.calls[TOKEN_PATH], fake.files)

    @modes
    @pytest.mark.parametrize(
        ("operation", "arguments"),
        [("put", (b"32 rows", "a")), ("get", ("a",)), ("exists", ("a",)), ("list", ())],
    )
    def test_an_expired_token_is_renewed_once(
        self, mode: Mode, fake: FakeDropbox, operation: str, arguments: tuple[Any, ...]
    ) -> None:
        """After expired_access_token another is got, and the request is sent again."""
        storage = on(fake, **REFRESHING)
        with mode.sending(SECRETS):
            call(mode, storage, "put", b"31 rows", "a")
            fake.expire_tokens()
            assert call(mode, storage, operation, *arguments)
        assert 2 == fake.calls[TOKEN_PATH]

    def test_an_app_that_is_refused_by_401_is_told_of_the_app(self, fake: FakeDropbox) -> None:
        """No access token was refused, and none is spoken of."""
        fake.inject(json_answer(401, {"error": "invalid_client"}), path=TOKEN_PATH)
        with HTTPX.sending(SECRETS):
            error = caught(lambda: on(fake, **REFRESHING).put(b"1", "a"))
        assert isinstance(error, AuthenticationError)
        assert "invalid_client" in str(error)
        assert "was renewed" not in str(error.hint)

    @modes
    def test_a_list_goes_on_with_another_token(self, mode: Mode, fake: FakeDropbox) -> None:
        """Between its pages too."""
        for number in range(501):
            fake.put(f"/flows/{number:04}", b"")
        storage = on(fake, **REFRESHING)
        fake.inject(lambda _: fake.expire_tokens(), path="/2/files/list_folder/continue")
        with mode.sending(SECRETS):
            assert 501 == len(call(mode, storage, "list"))
        assert 2 == fake.calls[TOKEN_PATH]

    @modes
    def test_a_session_goes_on_with_another_token(self, mode: Mode, fake: FakeDropbox) -> None:
        """Between its parts too."""
        data = bytes(range(256)) * (BLOCK // 128)
        storage = on(fake, **REFRESHING, session_above=0, part_size=BLOCK)
        append = "/2/files/upload_session/append_v2"
        fake.inject(lambda _: fake.expire_tokens(), path=append)
        with mode.sending(SECRETS):
            receipt = call(mode, storage, "put", data, "a")
            assert data == call(mode, storage, "get", receipt)
        assert 2 == fake.calls[TOKEN_PATH]

    @modes
    def test_who_refuses_every_token_is_asked_twice(self, mode: Mode, fake: FakeDropbox) -> None:
        """Then the error says that it is not the token's age."""
        refusal = {"error_summary": "missing_scope/..", "error": {".tag": "missing_scope"}}
        fake.inject(json_answer(401, refusal), path=UPLOAD, times=None)
        with mode.sending(SECRETS, attempts=4):
            error = caught(lambda: call(mode, on(fake, **REFRESHING), "put", b"31 rows", "a"))
        assert isinstance(error, AuthenticationError)
        assert "scope" in str(error.hint)
        assert (2, 2) == (fake.calls[TOKEN_PATH], fake.calls[UPLOAD])

    @modes
    @pytest.mark.parametrize(
        ("wrong", "hint"),
        [({"REFRESH": canary.MIXED}, "revoked"), ({"SECRET": canary.MIXED}, "client_secret")],
    )
    def test_a_wrong_credential_stores_nothing(
        self, mode: Mode, fake: FakeDropbox, wrong: dict[str, str], hint: str
    ) -> None:
        """The error says what the token endpoint said, and shows nothing."""
        with mode.sending({**SECRETS, **wrong}, attempts=3):
            error = caught(lambda: call(mode, on(fake, **REFRESHING), "put", b"31 rows", "a"))
        assert isinstance(error, AuthenticationError)
        assert hint in str(error.hint)
        assert not canary.find(f"{error!r} {error.hint} {error.__dict__}")
        assert ({}, 0) == (fake.files, fake.calls[UPLOAD])

    def test_an_app_without_a_secret(self) -> None:
        """Its refresh token and key are enough, and nobody is asked for a secret."""
        with FakeDropbox(refresh_token=SECRETS["REFRESH"], app_secret=None) as fake:
            storage = on(fake, refresh_token="${REFRESH}", app_key=fake.app_key)
            with HTTPX.sending({"REFRESH": SECRETS["REFRESH"]}):
                storage.put(b"31 rows", "a")
            assert b"31 rows" == fake.read("/flows/a")

    @modes
    def test_any_other_kind_gets_it_too(self, mode: Mode, fake: FakeDropbox) -> None:
        """For example a company's own, by its type."""
        auth = {
            "type": "oauth2_refresh",
            "token_url": fake.url + TOKEN_PATH,
            "client_id": "key-1",
            "client_secret": "${SECRET}",
            "refresh_token": "${REFRESH}",
            "client_auth": "basic",
        }
        storage = Storage.from_json(on(fake, auth=auth).to_json())
        with mode.sending(SECRETS):
            call(mode, storage, "put", b"31 rows", "a")
        assert b"31 rows" == fake.read("/flows/a")

    @modes
    def test_plain_kwargs_get_it_too(self, mode: Mode, fake: FakeDropbox) -> None:
        """The webhook says how, and no token."""
        webhook = Storage.from_json(on(fake, **REFRESHING).as_webhook().to_json())
        with mode.sending(SECRETS):
            receipt = call(mode, webhook, "put", b"31 rows", "a")
            assert b"31 rows" == call(mode, webhook, "get", receipt)
            call(mode, webhook, "delete", receipt)
        assert ({}, 1) == (fake.files, fake.calls[TOKEN_PATH])
        assert fake.token not in webhook.to_json()


class TestTeams:
    """Members, admins, and where paths begin."""

    @pytest.fixture
    def team(self, fake: FakeDropbox) -> FakeDropbox:
        """Return the account of a team of two, of whom one is an admin."""
        fake.members, fake.admins = {"dbmid:a", "dbmid:b"}, {"dbmid:b"}
        return fake

    @modes
    @pytest.mark.parametrize(
        "who", [{"select_user": "dbmid:a"}, {"select_admin": "dbmid:b"}, {"select_user": "${WHO}"}]
    )
    def test_a_member_is_named_in_every_request(
        self, mode: Mode, team: FakeDropbox, who: dict[str, str]
    ) -> None:
        """Of files and of none, in one request and in parts."""
        storage = on(team, **who, part_size=BLOCK, session_above=BLOCK)
        large = bytes(BLOCK + 1)
        with mode.sending({**SECRETS, "WHO": "dbmid:a"}):
            for data in (b"31 rows", large):
                receipt = call(mode, storage, "put", data, "a")
                assert data == call(mode, storage, "get", receipt)
            assert ["a"] == call(mode, storage, "list")
            call(mode, storage, "delete", "a")
        assert {} == team.files

    @modes
    @pytest.mark.parametrize(
        "who", [{"select_user": "dbmid:x"}, {"select_admin": "dbmid:a"}], ids=["user", "admin"]
    )
    def test_who_is_none_is_refused(
        self, mode: Mode, team: FakeDropbox, who: dict[str, str]
    ) -> None:
        """And the hint says which of the fields it is."""
        with mode.sending(SECRETS):
            error = caught(lambda: call(mode, on(team, **who), "put", b"31 rows", "a"))
        assert isinstance(error, AuthenticationError)
        assert "select_user" in str(error.hint)
        assert {} == team.files

    @modes
    def test_a_teams_token_alone_is_refused(self, mode: Mode, team: FakeDropbox) -> None:
        """Dropbox says so in plain text."""
        with mode.sending(SECRETS), pytest.raises(ResponseError, match="Business team"):
            call(mode, on(team), "put", b"31 rows", "a")
        assert {} == team.files

    @modes
    @pytest.mark.parametrize(
        ("root", "space"),
        [
            ("root:1001", "1001"),
            ("8400000077", "8400000077"),
            ("${ROOT}", "8400000077"),
            ("home", None),
        ],
    )
    def test_paths_begin_at_the_root(
        self, mode: Mode, fake: FakeDropbox, root: str, space: str | None
    ) -> None:
        """What is stored there is fetched and listed there, and is nowhere else."""
        fake.spaces["8400000077"] = {}
        storage = Storage.from_json(on(fake, path_root=root).to_json())
        with mode.sending({**SECRETS, "ROOT": "8400000077"}):
            receipt = call(mode, storage, "put", b"31 rows", "a")
            assert b"31 rows" == call(mode, storage, "get", receipt)
            assert ["a"] == call(mode, storage, "list")
        places = [(None, fake.files), *fake.spaces.items()]
        assert [space] == [name for name, files in places if files]

    @modes
    @pytest.mark.parametrize(
        ("root", "kind", "words"),
        [("root:5", ResponseError, "no root"), ("5", PermissionDeniedError, "may not use")],
    )
    @pytest.mark.parametrize(
        ("operation", "arguments"), [("put", (b"", "a")), ("get", ("a",)), ("exists", ("a",))]
    )
    def test_a_root_that_is_none_is_an_error(
        self, mode: Mode, fake: FakeDropbox, root: str, kind: type[Exception],
        words: str, operation: str, arguments: tuple[Any, ...],
    ) -> None:  # fmt: skip
        """In every operation, with what to write instead."""
        with mode.sending(SECRETS):
            error = caught(lambda: call(mode, on(fake, path_root=root), operation, *arguments))
        assert isinstance(error, kind)
        assert words in str(error)
        assert "root:ID" in str(getattr(error, "hint", ""))
        assert {} == fake.files


class TestDefinition:
    """What goes together, and what does not."""

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"refresh_token": "${R}"}, "app_key"),
            ({"app_key": "key"}, "refresh_token"),
            ({"app_secret": "${S}"}, "refresh_token"),
            ({**REFRESHING, "token": "${T}"}, "keep one"),
            ({**REFRESHING, "auth": {"type": "bearer", "token": "${T}"}}, "keep one"),
            ({"token": "${T}", "auth": {"type": "bearer", "token": "${T}"}}, "keep one"),
            ({"auth": {"type": "beerer"}}, "bearer"),
            ({"select_user": "dbmid:a", "select_admin": "dbmid:b"}, "contradict"),
            ({"path_root": "root"}, "root:ID"),
            ({"path_root": "root:"}, "root:ID"),
            ({"path_root": "/team"}, "root:ID"),
        ],
    )
    def test_what_cannot_be_is_refused(self, fields: dict[str, Any], words: str) -> None:
        """When the storage is made."""
        with pytest.raises(ConfigurationError, match=words):
            Dropbox(path="/a", **fields)

    @pytest.mark.parametrize("field", ["refresh_token", "app_secret"])
    def test_a_literal_secret_is_warned_of(self, field: str) -> None:
        """It would be stored and shown."""
        with pytest.warns(LiteralSecretWarning):
            Dropbox(path="/a", **{**REFRESHING, field: "in the clear"})

    def test_it_is_plain_data(self, fake: FakeDropbox) -> None:
        """JSON gives the same storage, and nothing that was resolved is in it."""
        storage = on(fake, **REFRESHING, select_user="dbmid:a", path_root="root:1001")
        fake.members = {"dbmid:a"}
        with HTTPX.sending(SECRETS):
            storage.put(b"31 rows", "a")
        shown = f"{storage!r} {storage.to_json()}"
        assert storage == Storage.from_json(storage.to_json())
        assert not any(text in shown for text in (*SECRETS.values(), fake.token))


@pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utc:DeprecationWarning")
class TestTheVendorsClient:
    """Dropbox's own client and the preset, each with the same refresh token."""

    def test_each_reads_what_the_other_stored(self) -> None:
        """As a member of a team, in the team's space."""
        with FakeDropbox(tls=True) as fake, contextlib.ExitStack() as stack:
            fake.members = {"dbmid:a"}
            session = dropbox.create_session(ca_certs=str(fake.ca_file))
            session.trust_env = False
            team = dropbox.DropboxTeam(
                oauth2_refresh_token=fake.refresh_token,
                app_key=fake.app_key,
                app_secret=fake.app_secret,
                session=session,
            )
            sdk = team.as_user("dbmid:a").with_path_root(PathRoot.root(fake.root))
            stack.enter_context(sdk)
            sdk._host_map = dict.fromkeys(sdk._host_map, fake.host)
            refresh = sdk.refresh_access_token
            sdk.refresh_access_token = lambda scope=None: refresh(fake.host, scope)
            ours = on(
                fake,
                refresh_token="${R}",
                app_key=fake.app_key,
                app_secret="${S}",
                select_user="dbmid:a",
                path_root=f"root:{fake.root}",
                verify=str(fake.ca_file),
            )
            secrets = {"R": fake.refresh_token, "S": str(fake.app_secret)}
            stack.enter_context(HTTPX.sending(secrets))
            ours.put(b"ours", "ours é")
            sdk.files_upload(b"theirs", "/flows/theirs")
            assert b"ours" == sdk.files_download("/flows/ours é")[1].content
            assert (b"theirs", ["ours é", "theirs"]) == (ours.get("theirs"), sorted(ours.list()))
            assert 2 == fake.calls[TOKEN_PATH]
