"""How the Vault resolver gets its token: from somebody else, or by logging in."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.http import Answer, json_answer, text_answer
from tests.fakes.vault import FakeVault
from tests.resolvers.vault_helpers import (
    APP,
    CANARY,
    REFUSED,
    Make,
    ask,
    fields,
    leave_the_machine,
    makes_resolvers,
    paths,
)
from webhook_storage.contracts import Deadline, Forbidden, Found, Invalid, Outcome, Unavailable
from webhook_storage.errors import ConfigurationError
from webhook_storage.lazy import _after_fork
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite, canary
from webhook_storage.token import TokenCache
from webhook_storage_resolvers.vault import VaultResolver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SECRET_ID = f"{CANARY}-secret-id"
JWT = f"{CANARY}.of.app"
KUBERNETES = {"auth": "kubernetes", "role": "app"}
BY_JWT = {"auth": "jwt", "role": "ci", "jwt_variable": "CI_JOB_JWT"}
LOGIN = "auth/approle/login"
RENEWAL = "auth/token/renew-self"
READ = "secret/data/app"
WRONG_ROLE = Forbidden('"auth/approle" does not accept the role_id or the secret_id')
INTERCEPTED = Forbidden(
    "the wrapped secret_id was unwrapped before, or too late: somebody may have intercepted it, "
    "so revoke it and issue a new one"
)


class TestVaultAppRoleSuite(ResolverSuite):
    """The promises of every resolver, when it logs in."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Return a resolver with a role, and its place."""
        with app_role(tmp_path, monkeypatch) as case:
            yield case


@contextmanager
def app_role(tmp_path: Path, environment: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
    """Start a Vault that knows one role."""
    leave_the_machine(environment, tmp_path)
    value, role_id, secret_id, wrong = (canary() for _ in range(4))
    environment.setenv("VAULT_ROLE_ID", role_id)
    environment.setenv("VAULT_SECRET_ID", secret_id)
    environment.setenv("WRONG_SECRET_ID", wrong)
    options: dict[str, Any] = {"auth": "approle", "names": "secret/flows#{name}"}
    with FakeVault() as gone:
        nobody = gone.url
    with FakeVault(role_id=role_id, secret_id=secret_id) as server:
        server.put("secret/flows", {"TOKEN": value})
        environment.setenv("VAULT_ADDR", server.url)
        case = ResolverCase(
            resolver=VaultResolver(**options),
            present=Reference("TOKEN"),
            value=value,
            absent=Reference("NOBODY_HAS_THIS"),
            refused=VaultResolver(secret_id_variable="WRONG_SECRET_ID", **options),
            unreachable=VaultResolver(address=nobody, **options),
            credentials=[role_id, secret_id, wrong],
            calls=lambda: len(server.requests),
        )
        yield case
        for resolver in case.resolvers:
            resolver.close()


@pytest.fixture(autouse=True)
def _no_vault_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    leave_the_machine(monkeypatch, tmp_path)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVault]:
    """Start a fake Vault, to which three ways of logging in lead."""
    with FakeVault(token=f"{CANARY}-token", secret_id=SECRET_ID) as server:
        server.auth.kubernetes["app"] = {JWT}
        server.auth.jwt["ci"] = {JWT}
        monkeypatch.setenv("VAULT_ROLE_ID", server.role_id)
        monkeypatch.setenv("VAULT_SECRET_ID", SECRET_ID)
        monkeypatch.setenv("CI_JOB_JWT", JWT)
        yield server


@pytest.fixture
def make(fake: FakeVault) -> Iterator[Make]:
    """Return a maker of resolvers."""
    with makes_resolvers(fake) as maker:
        yield maker


@pytest.fixture
def resolver(fake: FakeVault, make: Make) -> VaultResolver:
    """Return a resolver with a role, whose tokens live by the clock of the server."""
    made = make(auth="approle", kv_version=2)
    object.__setattr__(made, "_tokens", TokenCache(lambda: fake._tokens.now))
    return made


# --- a token of somebody else ---


def test_token_of_another_variable(
    make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named variable is the only one that counts."""
    monkeypatch.setenv("VAULT_TOKEN", fake.token)
    resolver = make(token_variable="PROD_TOKEN")
    assert Unavailable("no token: set PROD_TOKEN") == ask(resolver)
    monkeypatch.setenv("PROD_TOKEN", "hvs.wrong")
    assert REFUSED == ask(resolver)
    monkeypatch.setenv("PROD_TOKEN", fake.token)
    assert APP == fields(ask(resolver))


def test_token_file_is_read_each_time(
    make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A token that was replaced in its file is used from then on, and no other token is."""
    monkeypatch.setenv("VAULT_TOKEN", fake.token)
    file = tmp_path / "token"
    resolver = make(token_file=file)
    missing = "no token: the token file cannot be read, or is empty"
    assert Unavailable(missing) == ask(resolver)
    assert missing == resolver.health()
    file.write_bytes(b"\xff")
    assert Unavailable(missing) == ask(resolver)
    file.write_text("hvs.wrong\n")
    assert REFUSED == ask(resolver)
    file.write_text(f"{fake.token}\n")
    assert APP == fields(ask(resolver))
    assert resolver.health() is None


def test_token_of_the_log_in(make: Make, fake: FakeVault, tmp_path: Path) -> None:
    """Without any setting the file that the command line writes is used."""
    missing = "no token: set VAULT_TOKEN, or log in with 'vault login'"
    assert Unavailable(missing) == ask(make())
    (tmp_path / ".vault-token").write_text(fake.token)
    assert APP == fields(ask(make()))


def test_given_token_is_sent_once(make: Make, fake: FakeVault) -> None:
    """Nobody can get another one, so a refusal is one."""
    resolver = make(token_variable="CI_JOB_JWT", kv_version=2)
    assert REFUSED == ask(resolver)
    assert [READ] == paths(fake)


# --- logging in ---


@pytest.mark.parametrize("options", [{"auth": "approle"}, BY_JWT, KUBERNETES], ids=str)
def test_log_in(
    make: Make,
    fake: FakeVault,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: dict[str, Any],
) -> None:
    """Each method gives a token, which is used for all that comes; a stale one is not sent."""
    monkeypatch.setenv("VAULT_TOKEN", "hvs.stale")
    (tmp_path / ".vault-token").write_text("hvs.stale")
    (tmp_path / "jwt").write_text(f"{JWT}\n")
    if options is KUBERNETES:
        options = {**options, "jwt_file": tmp_path / "jwt"}
    resolver = make(kv_version=2, **options)
    assert [APP, APP] == [fields(ask(resolver)) for _ in range(2)]
    assert [f"auth/{options['auth']}/login", READ, READ] == paths(fake)
    tokens = [request.headers.get("x-vault-token") for request in fake.requests]
    assert (None, True) == (tokens[0], tokens[1] == tokens[2])
    assert tokens[1] not in {fake.token, "hvs.stale", None}


@pytest.mark.parametrize(
    ("variable", "options", "outcome"),
    [
        ("VAULT_ROLE_ID", {"auth": "approle"}, WRONG_ROLE),
        ("VAULT_SECRET_ID", {"auth": "approle"}, WRONG_ROLE),
        ("CI_JOB_JWT", BY_JWT, Forbidden('"auth/jwt" does not accept the role or the JWT')),
    ],
    ids=["role_id", "secret_id", "JWT"],
)
def test_wrong_credential(
    make: Make,
    fake: FakeVault,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    options: dict[str, Any],
    outcome: Outcome,
) -> None:
    """A wrong credential is shown once for all references, and no secret is asked for."""
    monkeypatch.setenv(variable, f"{CANARY}-wrong")
    wanted = [Reference(f"secret/{name}", "vault") for name in "abc"]
    outcomes = make(**options).resolve(wanted, Deadline(5))
    assert [outcome] * 3 == list(outcomes.values())
    assert [f"auth/{options['auth']}/login"] == paths(fake)


def test_wrong_role(make: Make, fake: FakeVault, tmp_path: Path) -> None:
    """A role that the method does not have is refused, as is a token for another role."""
    (tmp_path / "jwt").write_text(JWT)
    resolver = make(auth="kubernetes", role="other", jwt_file=tmp_path / "jwt")
    refused = Forbidden('"auth/kubernetes" does not accept the role or the JWT')
    assert refused == ask(resolver)
    fake.auth.kubernetes["other"] = {"another"}
    assert refused == ask(resolver)


def test_default_role_of_jwt(make: Make, fake: FakeVault) -> None:
    """Where the method has a role for everybody, none need be named."""
    resolver = make(auth="jwt", jwt_variable="CI_JOB_JWT")
    assert Forbidden('"auth/jwt" does not accept the role or the JWT') == ask(resolver)
    fake.auth.jwt[""] = {JWT}
    assert APP == fields(ask(resolver))


def test_method_that_is_mounted_elsewhere(make: Make, fake: FakeVault) -> None:
    """The path of a method is part of the configuration."""
    resolver = make(auth="approle", auth_mount="team/approle")
    assert Forbidden('"auth/team/approle" does not accept the role_id or the secret_id') == ask(
        resolver
    )
    fake.auth.mounts["team/approle"] = "approle"
    assert APP == fields(ask(resolver))


def test_log_in_to_a_namespace(make: Make, fake: FakeVault) -> None:
    """The token is one of the namespace."""
    fake.add_namespace("team")
    fake.put("secret/app", {"a": "b"}, namespace="team")
    assert '{"a":"b"}' == fields(ask(make(auth="approle", namespace="team")))
    assert {"team"} == {request.headers["x-vault-namespace"] for request in fake.requests}


def test_credentials_in_files(make: Make, fake: FakeVault, tmp_path: Path) -> None:
    """Files are read at each login, so that a new credential needs no new process."""
    files = {name: tmp_path / name for name in ("role_id", "secret_id")}
    resolver = make(
        auth="approle", role_id_file=files["role_id"], secret_id_file=str(files["secret_id"])
    )
    for name, file in files.items():
        missing = f"no {name}: the {name} file cannot be read, or is empty"
        assert (Unavailable(missing), missing) == (ask(resolver), resolver.health())
        file.write_text("wrong\n")
    assert resolver.health() is None
    assert WRONG_ROLE == ask(resolver)
    files["role_id"].write_text(f"{fake.role_id}\n")
    files["secret_id"].write_text(f"{SECRET_ID}\n")
    assert APP == fields(ask(resolver))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"auth": "approle"}, "no role_id: set VAULT_ROLE_ID"),
        ({"auth": "approle", "role_id_variable": "MY_ROLE"}, "no role_id: set MY_ROLE"),
        (
            {"auth": "approle", "role_id_variable": "HOME"},
            "no secret_id: set VAULT_SECRET_ID",
        ),
        (BY_JWT, "no JWT: set CI_JOB_JWT"),
        (KUBERNETES, "no JWT: the JWT file cannot be read, or is empty"),
    ],
    ids=str,
)
def test_missing_credentials(
    make: Make,
    fake: FakeVault,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    told: str,
) -> None:
    """What is missing is told, by the health too, and nobody is asked without it."""
    for name in ("VAULT_ROLE_ID", "VAULT_SECRET_ID", "CI_JOB_JWT"):
        monkeypatch.delenv(name)
    assert Unavailable(told) == ask(make(**options))
    assert [] == fake.requests
    assert told == make(**options).health()


def test_service_account_has_a_usual_place() -> None:
    """In a pod nothing but the role need be said."""
    usual = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    access = VaultResolver(auth="kubernetes", role="app")._access
    assert usual == access.credential.file  # type: ignore[attr-defined]


# --- answers to a login ---


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json_answer(403, {"errors": [CANARY]}), WRONG_ROLE),
        (json_answer(401, {"errors": [CANARY]}), WRONG_ROLE),
        (
            json_answer(404, {"errors": ["no handler for route"]}),
            Invalid('no such auth method is mounted at "approle"'),
        ),
        (
            json_answer(405, {"errors": ["unsupported operation"]}),
            Invalid('no such auth method is mounted at "approle"'),
        ),
        (
            json_answer(200, {"auth": {"client_token": "", "mfa_requirement": {"a": 1}}}),
            Forbidden('"auth/approle" wants a second factor'),
        ),
        (json_answer(200, {"auth": {"client_token": ""}}), None),
        (json_answer(200, {"auth": None}), None),
        (text_answer(200, CANARY), None),
        (
            json_answer(429, {"errors": []}, {"Retry-After": "3"}),
            Unavailable("too many requests", 3),
        ),
        (json_answer(503, {"errors": ["Vault is sealed"]}), Unavailable("is sealed")),
        (json_answer(500, {"errors": []}), Unavailable("answered with status 500")),
        (Answer(0), Unavailable("no connection, ConnectionError")),
    ],
    ids=[
        "403",
        "401",
        "404",
        "405",
        "second factor",
        "no token",
        "no auth",
        "no JSON",
        "429",
        "sealed",
        "500",
        "hung up",
    ],
)
def test_answers_to_a_login(
    make: Make, fake: FakeVault, answer: Answer, outcome: Outcome | None
) -> None:
    """Without a token no secret is asked for, and the next question logs in again."""
    fake.inject(answer, path=f"/v1/{LOGIN}")
    resolver = make(auth="approle", kv_version=2)
    assert (outcome or Unavailable("the answer is not one of Vault's")) == ask(resolver)
    assert [LOGIN] == paths(fake)
    assert APP == fields(ask(resolver))


def test_login_is_not_sent_on(make: Make, fake: FakeVault) -> None:
    """A standby does not get the secret_id sent to somebody else."""
    with FakeVault(secret_id=SECRET_ID) as leader:
        fake.leader = leader.url
        refused = Unavailable("redirects to another server, to which the token is not sent")
        assert refused == ask(make(auth="approle"))
        assert [] == leader.requests


# --- the life of a token ---


def test_token_is_renewed_when_two_thirds_are_over(
    resolver: VaultResolver, fake: FakeVault
) -> None:
    """A token in use gets a longer life before it ends, without any other question about it."""
    assert APP == fields(ask(resolver))
    fake.advance(2399)
    assert APP == fields(ask(resolver))
    fake.advance(2)
    assert [APP] * 2 == [fields(ask(resolver)) for _ in range(2)]
    assert [LOGIN, READ, READ, RENEWAL, READ, READ] == paths(fake)
    first, renewal = fake.requests[1], fake.requests[3]
    assert first.headers["x-vault-token"] == renewal.headers["x-vault-token"]
    fake.advance(2399)
    assert APP == fields(ask(resolver))
    assert [LOGIN, READ, READ, RENEWAL, READ, READ, READ] == paths(fake)


def test_token_that_ran_out_is_replaced(resolver: VaultResolver, fake: FakeVault) -> None:
    """A token that nobody used long enough is not even tried."""
    ask(resolver)
    fake.advance(3600)
    assert APP == fields(ask(resolver))
    assert [LOGIN, READ, LOGIN, READ] == paths(fake)


def test_token_that_cannot_be_renewed_is_replaced_later(
    resolver: VaultResolver, fake: FakeVault
) -> None:
    """It is used for nine tenths of its life."""
    fake.login_renewable = False
    ask(resolver)
    fake.advance(3239)
    ask(resolver)
    fake.advance(2)
    ask(resolver)
    assert [LOGIN, READ, READ, LOGIN, READ] == paths(fake)


def test_token_near_its_last_day_is_replaced(resolver: VaultResolver, fake: FakeVault) -> None:
    """A renewal that gives less than half of the life is followed by a login."""
    fake.login_max_ttl = 3600
    ask(resolver)
    fake.advance(2401)
    assert APP == fields(ask(resolver))
    assert [LOGIN, READ, RENEWAL, LOGIN, READ] == paths(fake)


@pytest.mark.parametrize(
    "answer",
    [
        json_answer(403, {"errors": ["permission denied"]}),
        json_answer(400, {"errors": ["lease is not renewable"]}),
    ],
    ids=["forbidden", "not renewable"],
)
def test_renewal_that_is_refused(resolver: VaultResolver, fake: FakeVault, answer: Answer) -> None:
    """Who may not renew logs in."""
    ask(resolver)
    fake.advance(2401)
    fake.inject(answer, path=f"/v1/{RENEWAL}")
    assert APP == fields(ask(resolver))
    assert [LOGIN, READ, RENEWAL, LOGIN, READ] == paths(fake)


def test_token_is_used_to_its_end_when_there_is_no_other(
    resolver: VaultResolver, fake: FakeVault
) -> None:
    """As long as the token is good, nobody fails because the server renews none and gives none."""
    ask(resolver)
    fake.inject(json_answer(500, {"errors": []}), path="/v1/auth/", times=None)
    for seconds in (2401, 1000, 100):
        fake.advance(seconds)
        assert APP == fields(ask(resolver))
    fake.advance(100)
    assert Unavailable("answered with status 500") == ask(resolver)
    fake.clear_faults()
    assert APP == fields(ask(resolver))


def test_renewal_that_nobody_answers(resolver: VaultResolver, fake: FakeVault) -> None:
    """A token that is good yet is not replaced because it was not renewed at the first try."""
    ask(resolver)
    fake.advance(2401)
    fake.inject(json_answer(502, {"errors": []}), path=f"/v1/{RENEWAL}")
    assert [APP] * 2 == [fields(ask(resolver)) for _ in range(2)]
    fake.advance(840)
    assert APP == fields(ask(resolver))
    assert [LOGIN, READ, RENEWAL, READ, READ, RENEWAL, READ] == paths(fake)


def test_old_token_is_used_when_no_new_one_is_given(
    resolver: VaultResolver, fake: FakeVault
) -> None:
    """The same goes for a token that cannot be renewed."""
    fake.login_renewable = False
    ask(resolver)
    fake.advance(3300)
    fake.rate_limit(path=f"/v1/{LOGIN}")
    assert APP == fields(ask(resolver))
    assert [LOGIN, READ, LOGIN, READ] == paths(fake)


def test_token_without_an_end(resolver: VaultResolver, fake: FakeVault) -> None:
    """A lifetime of 0 is none."""
    fake.login_ttl = 0
    ask(resolver)
    fake.advance(10**9)
    ask(resolver)
    assert [LOGIN, READ, READ] == paths(fake)


def test_closed_resolver_has_no_token(resolver: VaultResolver, fake: FakeVault) -> None:
    """After closing, the next question logs in."""
    ask(resolver)
    resolver.close()
    ask(resolver)
    assert [LOGIN, READ, LOGIN, READ] == paths(fake)


# --- a token that is refused ---


def test_revoked_token_is_replaced_once(resolver: VaultResolver, fake: FakeVault) -> None:
    """A token that somebody revoked costs one login and one repetition."""
    ask(resolver)
    fake.tokens.clear()
    assert APP == fields(ask(resolver))
    assert [LOGIN, READ, READ, LOGIN, READ] == paths(fake)


def test_forbidden_secret_costs_one_login(resolver: VaultResolver, fake: FakeVault) -> None:
    """Where a new token does not help, no further one is tried, whatever else is wanted."""
    fake.login_denied = ("secret/data/private", "secret/data/other")
    ask(resolver)
    names = ["secret/private", "secret/other", "secret/app"]
    wanted = [Reference(name, "vault") for name in names]
    outcomes = list(resolver.resolve(wanted, Deadline(5)).values())
    assert [REFUSED, REFUSED] == outcomes[:2]
    assert APP == fields(outcomes[2])
    assert [
        "secret/data/private",
        LOGIN,
        "secret/data/private",
        "secret/data/other",
        READ,
    ] == paths(fake)[2:]


def test_new_token_that_is_refused_is_not_replaced(
    resolver: VaultResolver, fake: FakeVault
) -> None:
    """A login just before the question is as good as it gets."""
    fake.login_denied = ("secret/",)
    assert REFUSED == ask(resolver)
    assert [LOGIN, READ] == paths(fake)


def test_what_was_read_is_not_read_again(resolver: VaultResolver, fake: FakeVault) -> None:
    """After a new login only what was refused is repeated."""
    fake.login_denied = ("secret/data/private",)
    ask(resolver)
    wanted = [
        Reference("secret/app", "vault"),
        Reference("secret/private", "vault"),
        Reference("secret/data/app", "vault"),
        Reference("secret/data/private", "vault"),
    ]
    outcomes = list(resolver.resolve(wanted, Deadline(5)).values())
    assert [Found, Forbidden, Found, Forbidden] == [type(each) for each in outcomes]
    assert [READ, "secret/data/private", LOGIN, "secret/data/private"] == paths(fake)[2:]


def test_credential_that_was_revoked_too(resolver: VaultResolver, fake: FakeVault) -> None:
    """When the login is refused as well, that is the answer."""
    ask(resolver)
    fake.tokens.clear()
    fake.auth.secret_ids.clear()
    assert WRONG_ROLE == ask(resolver)
    assert [LOGIN, READ, READ, LOGIN] == paths(fake)


def test_rotated_service_account_token(make: Make, fake: FakeVault, tmp_path: Path) -> None:
    """The file of a service account is replaced every hour, and read at each login."""
    file = tmp_path / "jwt"
    file.write_text(JWT)
    resolver = make(jwt_file=file, **KUBERNETES)
    assert APP == fields(ask(resolver))
    fake.tokens.clear()
    fake.auth.kubernetes["app"] = {"rotated"}
    assert isinstance(ask(resolver), Forbidden)
    file.write_text("rotated\n")
    assert APP == fields(ask(resolver))


# --- a wrapped secret_id ---


@pytest.fixture
def wrapped(make: Make, fake: FakeVault, tmp_path: Path) -> VaultResolver:
    """Return a resolver that finds a wrapping token in place of the secret_id."""
    fake.auth.secret_ids.clear()
    (tmp_path / "wrapped").write_text(fake.wrap_secret_id(f"{CANARY}-wrapped"))
    return make(
        auth="approle",
        secret_id_file=tmp_path / "wrapped",
        secret_id_wrapped=True,
        kv_version=2,
    )


def test_wrapped_secret_id_is_unwrapped_once(wrapped: VaultResolver, fake: FakeVault) -> None:
    """The secret_id is kept for the logins to come, and shows nowhere."""
    assert APP == fields(ask(wrapped))
    fake.tokens.clear()
    assert APP == fields(ask(wrapped))
    assert ["sys/wrapping/unwrap", LOGIN, READ, READ, LOGIN, READ] == paths(fake)
    assert CANARY not in repr(wrapped)
    assert CANARY not in repr(vars(wrapped))
    assert CANARY not in repr(vars(wrapped._access))
    assert CANARY.encode() not in pickle.dumps(wrapped)


def test_unwrapped_secret_id_survives_close(wrapped: VaultResolver, fake: FakeVault) -> None:
    """It cannot be had again, so closing does not lose it."""
    ask(wrapped)
    wrapped.close()
    assert APP == fields(ask(wrapped))
    assert 1 == paths(fake).count("sys/wrapping/unwrap")


def test_secret_id_that_somebody_else_unwrapped(
    wrapped: VaultResolver, fake: FakeVault, tmp_path: Path
) -> None:
    """A wrapping token that does not work any more is a reason to worry; a new one is used."""
    fake._tokens.wrapped.clear()
    assert INTERCEPTED == ask(wrapped)
    assert ["sys/wrapping/unwrap"] == paths(fake)
    (tmp_path / "wrapped").write_text(fake.wrap_secret_id("newer"))
    assert APP == fields(ask(wrapped))
    (tmp_path / "wrapped").write_text(fake.wrap_secret_id("newest"))
    fake.tokens.clear()
    assert APP == fields(ask(wrapped))
    assert 3 == paths(fake).count("sys/wrapping/unwrap")


def test_other_process_cannot_unwrap_again(wrapped: VaultResolver) -> None:
    """A copy from a pickle does not have what was unwrapped."""
    ask(wrapped)
    copy = pickle.loads(pickle.dumps(wrapped))  # noqa: S301 - made here
    assert INTERCEPTED == ask(copy)
    copy.close()


def test_child_has_what_its_parent_unwrapped(wrapped: VaultResolver, fake: FakeVault) -> None:
    """After a fork there is another login, with the same secret_id."""
    ask(wrapped)
    mine = wrapped._client._sessions.peek()
    _after_fork()
    assert APP == fields(ask(wrapped))
    assert ["sys/wrapping/unwrap", LOGIN, READ, LOGIN, READ] == paths(fake)
    assert mine is not None
    mine.close()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json_answer(403, {"errors": [CANARY]}), INTERCEPTED),
        (
            json_answer(200, {"data": {"token": CANARY}}),
            Invalid("what was wrapped is no secret_id"),
        ),
        (json_answer(200, {"data": None}), Unavailable("the answer is not one of Vault's")),
        (text_answer(200, CANARY), Unavailable("the answer is not one of Vault's")),
        (json_answer(500, {"errors": []}), Unavailable("answered with status 500")),
        (Answer(0), Unavailable("no connection, ConnectionError")),
    ],
    ids=["403", "other", "nothing", "no JSON", "500", "hung up"],
)
def test_trouble_with_unwrapping(
    wrapped: VaultResolver, fake: FakeVault, answer: Answer, outcome: Outcome
) -> None:
    """Without a secret_id nobody logs in."""
    fake.inject(answer, path="/v1/sys/wrapping/")
    assert outcome == ask(wrapped)
    assert ["sys/wrapping/unwrap"] == paths(fake)


def test_nothing_is_unwrapped_without_a_role(
    wrapped: VaultResolver, fake: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What works once is not used up for a login that cannot be."""
    monkeypatch.delenv("VAULT_ROLE_ID")
    assert Unavailable("no role_id: set VAULT_ROLE_ID") == ask(wrapped)
    assert [] == fake.requests


# --- many at a time ---


def test_many_threads_log_in_once(make: Make, fake: FakeVault) -> None:
    """Whoever needs a token while somebody gets one waits for that one."""
    resolver, start = make(auth="approle"), threading.Barrier(16)

    def wait_and_ask(_: int) -> str:
        start.wait()
        return fields(ask(resolver))

    with ThreadPoolExecutor(16) as pool:
        assert {APP} == set(pool.map(wait_and_ask, range(16)))
    assert 1 == paths(fake).count(LOGIN)


def test_many_threads_replace_a_token_once(resolver: VaultResolver, fake: FakeVault) -> None:
    """Those who find that a token was revoked share the next one."""
    ask(resolver)
    fake.tokens.clear()
    together = threading.Barrier(8)

    def revoked(_: object) -> Answer:
        together.wait()
        return json_answer(403, {"errors": ["permission denied"]})

    fake.inject(revoked, path=f"/v1/{READ}", times=8)
    with ThreadPoolExecutor(8) as pool:
        assert {APP} == {fields(each) for each in pool.map(lambda _: ask(resolver), range(8))}
    assert 2 == paths(fake).count(LOGIN)


# --- configuration ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"auth": "ldap"},
            "auth: there is no such way to log in, only token, approle, kubernetes, jwt",
        ),
        ({"role": "app"}, 'role: this says nothing with auth="token"'),
        ({"auth_mount": "x"}, 'auth_mount: this says nothing with auth="token"'),
        ({"secret_id_wrapped": True}, 'secret_id_wrapped: this says nothing with auth="token"'),
        (
            {"auth": "approle", "token_file": "t"},
            'token_file: this says nothing with auth="approle"',
        ),
        ({"auth": "approle", "role": "app"}, 'role: this says nothing with auth="approle"'),
        (
            {"auth": "kubernetes", "role": "app", "jwt_variable": "JWT"},
            'jwt_variable: this says nothing with auth="kubernetes"',
        ),
        ({"auth": "kubernetes"}, "role: Kubernetes needs a role"),
        ({"auth": "jwt"}, "jwt_file: say where the JWT is, here or in jwt_variable"),
        (
            {"token_variable": "A", "token_file": "b"},
            "token_file: give token_variable or token_file, not both",
        ),
        (
            {"auth": "approle", "secret_id_variable": "A", "secret_id_file": "b"},
            "secret_id_file: give secret_id_variable or secret_id_file, not both",
        ),
        (
            {"token_variable": f"hvs.{CANARY}"},
            "token_variable: this is the name of an environment variable, not its value",
        ),
        (
            {"auth": "approle", "secret_id_wrapped": "false"},
            "secret_id_wrapped: this is true or false",
        ),
        (
            {"auth": "approle", "auth_mount": "a//b"},
            "auth_mount: this is words between single slashes",
        ),
    ],
)
def test_wrong_combinations(options: Mapping[str, Any], message: str) -> None:
    """What says nothing, too little or too much is refused when the resolver is made."""
    with pytest.raises(ConfigurationError) as caught:
        VaultResolver(**options)
    assert message == str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"auth": "approle", "role_id_file": "a", "secret_id_variable": "B"},
        {"auth": "kubernetes", "role": "app", "jwt_file": "c", "auth_mount": "cluster/one"},
        {"auth": "jwt", "jwt_file": "c"},
    ],
)
def test_good_combinations(options: Mapping[str, Any]) -> None:
    """Plain keyword arguments are all there is to it, as from a file."""
    assert VaultResolver(**options) == pickle.loads(pickle.dumps(VaultResolver(**options)))  # noqa: S301


def test_no_field_holds_a_credential() -> None:
    """A resolver is told where credentials lie, and has no argument for one."""
    names: Sequence[str] = list(VaultResolver.__dataclass_fields__)
    assert {"token", "secret_id", "role_id", "jwt", "password"}.isdisjoint(names)


def test_a_token_goes_to_the_server_that_gave_it(
    fake: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the environment leads to another server, one logs in there, and knows nothing of it."""
    resolver = VaultResolver(auth="approle")
    monkeypatch.setenv("VAULT_ADDR", fake.url)
    ask(resolver)
    with FakeVault(token=f"{CANARY}-other", secret_id="of-another") as other:
        monkeypatch.setenv("VAULT_ADDR", other.url)
        assert isinstance(ask(resolver), Forbidden)
        mine = set(fake.tokens)
        assert [] == [r.path for r in other.requests if r.headers.get("x-vault-token") in mine]
        assert ["/v1/auth/approle/login"] == [request.path for request in other.requests]
    resolver.close()
