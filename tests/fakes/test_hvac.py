"""The client that everybody uses for Vault reads and writes the fake one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import hvac
import pytest
import requests
from hvac.exceptions import (
    Forbidden,
    InternalServerError,
    InvalidPath,
    InvalidRequest,
    RateLimitExceeded,
    UnexpectedError,
    VaultDown,
)

from tests.fakes.http import Answer
from tests.fakes.vault import FakeVault, Mount

Connect = Callable[..., hvac.Client]


@pytest.fixture
def fake() -> Iterator[FakeVault]:
    """Start a fake Vault."""
    with FakeVault() as server:
        yield server


@pytest.fixture
def connect(fake: FakeVault) -> Iterator[Connect]:
    """Return a maker of clients that talk to the fake and to nobody else."""
    with requests.Session() as session:
        session.trust_env = False

        def make(token: str = fake.token, **options: object) -> hvac.Client:
            return hvac.Client(
                fake.url, token, session=session, **{"allow_redirects": False, **options}
            )

        yield make


@pytest.fixture
def root(connect: Connect) -> hvac.Client:
    """Return a client with the root token."""
    return connect()


def _read(client: hvac.Client, path: str, **options: object) -> dict[str, object]:
    answer = client.secrets.kv.v2.read_secret_version(
        path, **{"raise_on_deleted_version": True, **options}
    )
    found: dict[str, object] = answer["data"]
    return found


class TestVersionTwo:
    """The engine that keeps versions."""

    def test_what_was_written_is_read(self, root: hvac.Client) -> None:
        """A secret comes back with its version."""
        root.secrets.kv.v2.create_or_update_secret("app/db", {"user": "u", "port": 5432})
        found = _read(root, "app/db")
        assert {"user": "u", "port": 5432} == found["data"]

    def test_an_older_version_can_be_read(self, root: hvac.Client, fake: FakeVault) -> None:
        """Each write makes a version, and the latest is the default."""
        for number in (1, 2):
            fake.put("secret/app", {"n": number})
        assert [{"n": 1}, {"n": 2}, {"n": 2}] == [
            _read(root, "app", version=version)["data"] for version in (1, 2, None)
        ]

    def test_a_version_that_never_was_is_not_found(
        self, root: hvac.Client, fake: FakeVault
    ) -> None:
        """A version number beyond the latest has no metadata either."""
        fake.put("secret/app", {"n": 1})
        with pytest.raises(InvalidPath) as caught:
            _read(root, "app", version=2)
        assert {"errors": []} == caught.value.json

    def test_a_deleted_version_shows_its_metadata(self, root: hvac.Client, fake: FakeVault) -> None:
        """A soft delete hides the data and keeps the rest, until it is taken back."""
        fake.put("secret/app", {"n": 1})
        root.secrets.kv.v2.delete_latest_version_of_secret("app")
        with pytest.raises(InvalidPath):
            _read(root, "app")
        shown = _read(root, "app", raise_on_deleted_version=False)
        assert shown["data"] is None
        root.secrets.kv.v2.undelete_secret_versions("app", [1])
        assert {"n": 1} == _read(root, "app")["data"]

    def test_a_destroyed_version_stays_away(self, root: hvac.Client, fake: FakeVault) -> None:
        """Destroying is final, and the metadata says so."""
        fake.put("secret/app", {"n": 1})
        root.secrets.kv.v2.destroy_secret_versions("app", [1])
        root.secrets.kv.v2.undelete_secret_versions("app", [1])
        with pytest.raises(InvalidPath) as caught:
            _read(root, "app")
        assert caught.value.json["data"]["metadata"]["destroyed"]
        assert fake.secret("secret/app").versions[1].data is None

    def test_check_and_set_compares_the_version(self, root: hvac.Client, fake: FakeVault) -> None:
        """A write for another version than the current one is refused."""
        root.secrets.kv.v2.create_or_update_secret("app", {"n": 1}, cas=0)
        root.secrets.kv.v2.create_or_update_secret("app", {"n": 2}, cas=1)
        with pytest.raises(InvalidRequest, match="check-and-set"):
            root.secrets.kv.v2.create_or_update_secret("app", {"n": 3}, cas=0)
        assert {"n": 2} == fake.secret("secret/app").versions[2].data

    def test_metadata_lists_the_versions(self, root: hvac.Client, fake: FakeVault) -> None:
        """Settings of a secret are written and read apart from its data."""
        fake.put("secret/app", {"n": 1})
        root.secrets.kv.v2.update_metadata("app", max_versions=1, custom_metadata={"team": "x"})
        fake.put("secret/app", {"n": 2})
        about = root.secrets.kv.v2.read_secret_metadata("app")["data"]
        assert (["2"], 2, {"team": "x"}) == (
            list(about["versions"]),
            about["current_version"],
            about["custom_metadata"],
        )

    def test_names_are_listed_by_folder(self, root: hvac.Client, fake: FakeVault) -> None:
        """A listing shows names and folders of one level."""
        for path in ("app", "team/a", "team/b"):
            fake.put(f"secret/{path}", {"n": 1})
        listed = [root.secrets.kv.v2.list_secrets(path)["data"]["keys"] for path in ("", "team")]
        assert [["app", "team/"], ["a", "b"]] == listed

    def test_what_never_was_is_not_found(self, root: hvac.Client) -> None:
        """Neither an unknown secret nor an unknown folder says anything."""
        for call in (
            lambda: _read(root, "nothing"),
            lambda: root.secrets.kv.v2.list_secrets("nothing"),
        ):
            with pytest.raises(InvalidPath) as caught:
                call()
            assert {"errors": []} == caught.value.json

    def test_forgetting_removes_all(self, root: hvac.Client, fake: FakeVault) -> None:
        """Deleting the metadata deletes every version."""
        fake.put("secret/app", {"n": 1})
        root.secrets.kv.v2.delete_metadata_and_all_versions("app")
        assert {} == fake.mounts["secret"].secrets


class TestVersionOne:
    """The engine that keeps one value."""

    def test_what_was_written_is_read(self, root: hvac.Client) -> None:
        """A value is read as it was written, listed and deleted."""
        v1 = root.secrets.kv.v1
        v1.create_or_update_secret("app", {"n": "1"}, mount_point="kv")
        assert {"n": "1"} == v1.read_secret("app", mount_point="kv")["data"]
        assert ["app"] == v1.list_secrets("", mount_point="kv")["data"]["keys"]
        v1.delete_secret("app", mount_point="kv")
        with pytest.raises(InvalidPath):
            v1.read_secret("app", mount_point="kv")

    def test_the_wrong_version_gets_a_warning(self, root: hvac.Client, fake: FakeVault) -> None:
        """A path of version 1 in an engine of version 2 is not found, with a hint."""
        fake.put("secret/app", {"n": 1})
        with pytest.raises(InvalidPath) as caught:
            root.secrets.kv.v1.read_secret("app", mount_point="secret")
        assert "versioned K/V" in caught.value.json["warnings"][0]

    def test_the_version_of_a_mount_can_be_asked(self, root: hvac.Client) -> None:
        """The mount that holds a path tells its version."""
        found = [
            root.read(f"sys/internal/ui/mounts/{path}")["data"] for path in ("secret/app", "kv")
        ]
        assert [("secret/", "2"), ("kv/", "1")] == [
            (mount["path"], mount["options"]["version"]) for mount in found
        ]

    def test_a_mount_need_not_name_its_version(self, root: hvac.Client, fake: FakeVault) -> None:
        """An engine that was mounted without a version has none to tell."""
        fake.mounts["old"] = Mount(1, kind="generic", declared=False)
        mount = root.read("sys/internal/ui/mounts/old/app")["data"]
        assert ("generic", None) == (mount["type"], mount["options"])

    def test_a_value_can_name_its_lease(self, root: hvac.Client, fake: FakeVault) -> None:
        """The lease is that of the engine unless the value has another one."""
        fake.put("kv/app", {"n": "1"})
        fake.put("kv/short", {"n": "1", "ttl": "30"})
        read = root.secrets.kv.v1.read_secret
        assert [2764800, 30] == [
            read(path, mount_point="kv")["lease_duration"] for path in ("app", "short")
        ]

    def test_an_unknown_mount_is_no_route(self, root: hvac.Client) -> None:
        """A path outside all mounts is told from a secret that is not there."""
        with pytest.raises(InvalidPath, match="no handler for route"):
            _read(root, "app", mount_point="nowhere")
        with pytest.raises(Forbidden, match="preflight"):
            root.adapter.get("/v1/sys/internal/ui/mounts/nowhere/app")


class TestWho:
    """Tokens, roles and namespaces."""

    def test_a_right_token_is_known(self, root: hvac.Client, fake: FakeVault) -> None:
        """A token can look itself up."""
        assert root.is_authenticated()
        assert fake.token == root.auth.token.lookup_self()["data"]["id"]

    @pytest.mark.parametrize("token", ["hvs.wrong", ""])
    def test_a_wrong_token_is_denied(self, connect: Connect, fake: FakeVault, token: str) -> None:
        """A wrong or missing token is denied, whatever it asks for."""
        fake.put("secret/app", {"n": 1})
        client = connect(token)
        assert not client.is_authenticated()
        for path in ("app", "nothing"):
            with pytest.raises(Forbidden) as caught:
                _read(client, path)
            assert ["permission denied"] == caught.value.errors

    def test_a_denied_path_looks_like_a_wrong_token(
        self, connect: Connect, fake: FakeVault
    ) -> None:
        """A token that may not read a path learns nothing about it."""
        token = fake.issue_token(denied=["secret/data/private", "secret/metadata/private"])
        fake.put("secret/app", {"n": 1})
        client = connect(token)
        assert {"n": 1} == _read(client, "app")["data"]
        for call in (
            lambda: _read(client, "private"),
            lambda: client.list("secret/metadata/private"),
        ):
            with pytest.raises(Forbidden) as caught:
                call()
            assert ["permission denied"] == caught.value.errors

    def test_an_engine_is_told_to_who_may_touch_it(self, connect: Connect, fake: FakeVault) -> None:
        """Any right in an engine is enough to learn its version, none is not."""
        path = "sys/internal/ui/mounts/secret/private"
        mount = connect(fake.issue_token(denied=["secret/data/private"])).read(path)["data"]
        assert {"version": "2"} == mount["options"]
        with pytest.raises(Forbidden, match="preflight"):
            connect(fake.issue_token(denied=["secret/"])).read(path)

    def test_a_role_logs_in(self, connect: Connect, fake: FakeVault) -> None:
        """The right role and secret id give a token that works and can be renewed."""
        fake.put("secret/app", {"n": 1})
        client = connect("")
        login = client.auth.approle.login(fake.role_id, fake.secret_id)
        assert (3600, True) == (login["auth"]["lease_duration"], login["auth"]["renewable"])
        assert {"n": 1} == _read(client, "app")["data"]
        assert client.token == client.auth.token.renew_self()["auth"]["client_token"]

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"role_id": "wrong"}, "invalid role or secret ID"),
            ({"secret_id": "wrong"}, "invalid role or secret ID"),
            ({"role_id": ""}, "missing role_id"),
            ({"secret_id": ""}, "missing secret_id"),
            ({"mount_point": "other"}, "permission denied"),
        ],
    )
    def test_a_wrong_role_does_not(
        self, connect: Connect, fake: FakeVault, wrong: dict[str, str], words: str
    ) -> None:
        """A wrong or missing role or secret id, or a wrong path, gives no token."""
        client = connect("")
        right = {"role_id": fake.role_id, "secret_id": fake.secret_id}
        with pytest.raises((InvalidRequest, Forbidden), match=words):
            client.auth.approle.login(**{**right, **wrong})
        assert [fake.token] == list(fake.tokens)

    def test_a_service_account_logs_in(self, connect: Connect, fake: FakeVault) -> None:
        """The token of a service account of the role gives a token that works."""
        fake.auth.kubernetes["app"] = {"jwt-of-app"}
        fake.put("secret/app", {"n": 1})
        client = connect("")
        client.auth.kubernetes.login("app", "jwt-of-app")
        assert {"n": 1} == _read(client, "app")["data"]

    @pytest.mark.parametrize(
        ("role", "jwt", "refusal", "words"),
        [
            ("app", "wrong", Forbidden, "permission denied"),
            ("other", "jwt-of-app", InvalidRequest, "invalid role name"),
            ("app", "", InvalidRequest, "missing jwt"),
            ("", "jwt-of-app", InvalidRequest, "missing role"),
        ],
    )
    def test_a_wrong_service_account_does_not(
        self,
        connect: Connect,
        fake: FakeVault,
        role: str,
        jwt: str,
        refusal: type[Exception],
        words: str,
    ) -> None:
        """A token of another service account, or for another role, gives none."""
        fake.auth.kubernetes["app"] = {"jwt-of-app"}
        with pytest.raises(refusal, match=words):
            connect("").auth.kubernetes.login(role, jwt)

    @pytest.mark.parametrize("role", ["ci", ""])
    def test_a_jwt_logs_in(self, connect: Connect, fake: FakeVault, role: str) -> None:
        """A JWT gives a token for the role that is named, or for the default one."""
        fake.auth.jwt[role] = {"jwt-of-ci"}
        fake.put("secret/app", {"n": 1})
        client = connect("")
        client.token = client.auth.jwt.jwt_login(role, "jwt-of-ci")["auth"]["client_token"]
        assert {"n": 1} == _read(client, "app")["data"]

    @pytest.mark.parametrize(
        ("role", "jwt", "words"),
        [
            ("ci", "wrong", "error validating token"),
            ("other", "jwt-of-ci", "could not be found"),
            ("", "jwt-of-ci", "missing role"),
            ("ci", "", "missing token"),
        ],
    )
    def test_a_wrong_jwt_does_not(
        self, connect: Connect, fake: FakeVault, role: str, jwt: str, words: str
    ) -> None:
        """A JWT that nobody signed, or for another role, gives no token."""
        fake.auth.jwt["ci"] = {"jwt-of-ci"}
        with pytest.raises(InvalidRequest, match=words):
            connect("").auth.jwt.jwt_login(role, jwt)

    def test_a_method_can_be_mounted_elsewhere(self, connect: Connect, fake: FakeVault) -> None:
        """A login goes to the path where the method is."""
        fake.auth.mounts["team/approle"] = "approle"
        login = connect("").auth.approle.login(
            fake.role_id, fake.secret_id, mount_point="team/approle"
        )
        assert login["auth"]["client_token"] in fake.tokens

    def test_a_stale_token_breaks_a_login(self, connect: Connect, fake: FakeVault) -> None:
        """A server that gets a token with a login looks at that token first."""
        with pytest.raises(InternalServerError, match="token check"):
            connect("hvs.stale").auth.approle.login(fake.role_id, fake.secret_id)

    def test_a_token_ends_by_the_clock(self, connect: Connect, fake: FakeVault) -> None:
        """A token is good until its time is over, which a renewal moves."""
        client = connect(fake.issue_token(ttl=60))
        fake.advance(59)
        assert 60 == client.auth.token.renew_self()["auth"]["lease_duration"]
        fake.advance(59)
        assert client.is_authenticated()
        fake.advance(1)
        assert not client.is_authenticated()

    def test_no_renewal_goes_beyond_the_last_day(self, connect: Connect, fake: FakeVault) -> None:
        """Near its last day a token gets less than it had, and a warning."""
        client = connect(fake.issue_token(ttl=60, max_ttl=100))
        fake.advance(50)
        renewed = client.auth.token.renew_self()
        assert (50, ["TTL exceeded the effective max_ttl"]) == (
            renewed["auth"]["lease_duration"],
            renewed["warnings"],
        )
        fake.advance(50)
        with pytest.raises(Forbidden):
            client.auth.token.renew_self()

    def test_a_revoked_token_is_denied(self, connect: Connect, fake: FakeVault) -> None:
        """A token works until it is revoked."""
        client = connect(fake.issue_token())
        assert client.is_authenticated()
        client.auth.token.revoke_self()
        assert not client.is_authenticated()

    def test_a_token_that_cannot_be_renewed_says_so(
        self, connect: Connect, fake: FakeVault
    ) -> None:
        """Renewing needs a renewable token."""
        client = connect(fake.issue_token(renewable=False))
        with pytest.raises(InvalidRequest, match="not renewable"):
            client.auth.token.renew_self()

    def test_a_wrapped_answer_is_unwrapped_once(self, root: hvac.Client, fake: FakeVault) -> None:
        """A wrapping token is good for one use."""
        token = fake.wrap({"secret_id": "s"})
        assert {"secret_id": "s"} == root.sys.unwrap(token)["data"]
        with pytest.raises(InvalidRequest, match="wrapping token"):
            root.sys.unwrap(token)

    def test_a_wrapping_token_unwraps_itself(self, connect: Connect, fake: FakeVault) -> None:
        """Who has nothing but the wrapping token can use it in place of a token."""
        token = fake.wrap_secret_id("new-secret-id")
        with pytest.raises(Forbidden):
            connect("").sys.unwrap(token)
        secret_id = connect(token).sys.unwrap()["data"]["secret_id"]
        assert connect("").auth.approle.login(fake.role_id, secret_id)["auth"]["client_token"]
        with pytest.raises(InvalidRequest, match="wrapping token"):
            connect(token).sys.unwrap()

    def test_a_wrapping_token_ends_by_the_clock(self, connect: Connect, fake: FakeVault) -> None:
        """Who comes too late finds nothing."""
        token = fake.wrap({"secret_id": "s"}, ttl=60)
        fake.advance(60)
        with pytest.raises(InvalidRequest, match="wrapping token"):
            connect(token).sys.unwrap()

    def test_namespaces_are_apart(self, connect: Connect, fake: FakeVault) -> None:
        """A secret of one namespace is not there in another."""
        fake.add_namespace("team")
        fake.put("secret/app", {"n": 1}, namespace="team")
        inside = connect(fake.issue_token(namespace="team"), namespace="team")
        assert {"n": 1} == _read(inside, "app")["data"]
        with pytest.raises(InvalidPath):
            _read(connect(), "app")

    @pytest.mark.parametrize("namespace", [None, "other", "unknown"])
    def test_a_token_is_denied_outside_its_namespace(
        self, connect: Connect, fake: FakeVault, namespace: str | None
    ) -> None:
        """A token of one namespace is a wrong token in another."""
        for name in ("team", "other"):
            fake.add_namespace(name)
        client = connect(fake.issue_token(namespace="team"), namespace=namespace)
        with pytest.raises(Forbidden):
            _read(client, "app")


class TestFaults:
    """Trouble on demand."""

    def test_a_sealed_vault_answers_only_for_its_health(
        self, root: hvac.Client, fake: FakeVault
    ) -> None:
        """Nothing is read from a sealed Vault."""
        assert 200 == root.sys.read_health_status().status_code
        fake.sealed = True
        with pytest.raises(VaultDown, match="sealed"):
            _read(root, "app")
        health = root.sys.read_health_status(method="GET")
        assert (503, True) == (health.status_code, health.json()["sealed"])

    def test_a_rate_limit_passes(self, root: hvac.Client, fake: FakeVault) -> None:
        """The refusal holds for as many requests as were asked for."""
        fake.put("secret/app", {"n": 1})
        fake.rate_limit(path="/v1/secret/", times=2)
        for _ in range(2):
            with pytest.raises(RateLimitExceeded):
                _read(root, "app")
        assert {"n": 1} == _read(root, "app")["data"]
        assert 3 == fake.calls["/v1/secret/data/app"]

    def test_a_lagging_node_fails_a_precondition(self, root: hvac.Client, fake: FakeVault) -> None:
        """A node that has not caught up answers 412."""
        fake.lag()
        with pytest.raises(UnexpectedError, match="index state"):
            _read(root, "app")

    def test_a_redirect_is_answered_not_followed(self, root: hvac.Client, fake: FakeVault) -> None:
        """A standby names the same path on another origin."""
        fake.redirect("http://other.invalid:8200")
        answer = root.adapter.get("/v1/secret/data/app?version=1")
        assert (307, "http://other.invalid:8200/v1/secret/data/app?version=1") == (
            answer.status_code,
            answer.headers["Location"],
        )

    def test_a_client_that_follows_gives_its_token_away(
        self, connect: Connect, fake: FakeVault
    ) -> None:
        """The fake shows what a careless client sends to another origin."""
        with FakeVault() as other:
            fake.redirect(other.url)
            with pytest.raises(InvalidPath):
                _read(connect(allow_redirects=True), "app")
            assert fake.token == other.last.headers["x-vault-token"]

    def test_a_standby_sends_everybody_to_its_leader(
        self, connect: Connect, fake: FakeVault
    ) -> None:
        """Only its health is told by a standby itself."""
        fake.leader = "http://leader.invalid:8200"
        client = connect()
        assert 429 == client.sys.read_health_status(method="GET").status_code
        answers = [
            client.adapter.get("/v1/secret/data/app"),
            client.adapter.post("/v1/auth/approle/login", json={}),
        ]
        assert [
            (307, "http://leader.invalid:8200/v1/secret/data/app"),
            (307, "http://leader.invalid:8200/v1/auth/approle/login"),
        ] == [(answer.status_code, answer.headers["Location"]) for answer in answers]

    def test_an_agent_adds_its_token(self, connect: Connect, fake: FakeVault) -> None:
        """An agent that logs in by itself takes questions without a token, and only these."""
        fake.put("secret/app", {"n": 1})
        fake.auto_auth = fake.token
        assert {"n": 1} == _read(connect(""), "app")["data"]
        with pytest.raises(Forbidden):
            _read(connect("hvs.wrong"), "app")

    def test_a_hang_ends_with_the_server(self, connect: Connect, fake: FakeVault) -> None:
        """A request that hangs holds nobody up, and fails when the server closes."""
        fake.put("secret/app", {"n": 1})
        fake.hang(path="/v1/secret/data/slow")
        with ThreadPoolExecutor() as pool:
            slow = pool.submit(_read, connect(), "slow")
            assert fake.hanging.wait(30)
            assert {"n": 1} == _read(connect(), "app")["data"]
            fake.close()
            assert requests.ConnectionError is type(slow.exception())

    def test_any_fault_can_be_injected(self, root: hvac.Client, fake: FakeVault) -> None:
        """A fault stands until it is cleared, and only for its path."""
        fake.put("secret/app", {"n": 1})
        fake.inject(Answer(502), path="/v1/secret/data/app", times=None)
        for _ in range(2):
            with pytest.raises(hvac.exceptions.BadGateway):
                _read(root, "app")
        with pytest.raises(InvalidPath):
            _read(root, "other")
        fake.clear_faults()
        assert {"n": 1} == _read(root, "app")["data"]

    def test_every_answer_is_json(self, root: hvac.Client, fake: FakeVault) -> None:
        """Clients read errors only from answers that call themselves JSON."""
        session = root.session
        headers = {"X-Vault-Token": fake.token}
        kinds = {
            session.request(method, f"{fake.url}{path}", headers=headers).headers["Content-Type"]
            for method, path in (
                ("GET", "/v1/secret/data/nothing"),
                ("DELETE", "/v1/secret/data/nothing"),
                ("PATCH", "/v1/secret/data/nothing"),
                ("GET", "/v1/nowhere"),
                ("GET", "/elsewhere"),
                ("HEAD", "/v1/sys/health"),
            )
        }
        assert {"application/json"} == kinds
