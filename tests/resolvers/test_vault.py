"""Secrets in Vault, read from a server that speaks as Vault does."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.http import Answer, json_answer, text_answer
from tests.fakes.vault import FakeVault
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.errors import ConfigurationError
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage_resolvers.vault import VaultResolver

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "CANARY-vault-9c"
REFUSED = Forbidden("the token is wrong or may not read this", maybe_missing=True)

Make = Callable[..., VaultResolver]


@pytest.fixture(autouse=True)
def _no_vault_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.startswith(("VAULT_", "BAO_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def fake() -> Iterator[FakeVault]:
    """Start a fake Vault with one secret."""
    with FakeVault(token=f"{CANARY}-token") as server:
        server.put("secret/app", {"user": "me", "password": CANARY})
        yield server


@pytest.fixture
def make(fake: FakeVault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a maker of resolvers that have the right token."""
    monkeypatch.setenv("VAULT_TOKEN", fake.token)
    made: list[VaultResolver] = []

    def build(**options: Any) -> VaultResolver:
        made.append(VaultResolver(**{"address": fake.url, **options}))
        return made[-1]

    yield build
    for resolver in made:
        resolver.close()


def ask(resolver: VaultResolver, name: str, **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "vault", **parts)
    return resolver.resolve([reference], Deadline(5))[reference]


def bare(resolver: VaultResolver, name: str) -> Outcome:
    """Ask for a bare name."""
    return resolver.resolve([Reference(name)], Deadline(5))[Reference(name)]


def fields(outcome: Outcome) -> str:
    """Return the document that was found."""
    assert isinstance(outcome, Found)
    assert outcome.structured
    return outcome.value.reveal()


# --- what is found ---


@pytest.mark.parametrize("path", ["secret/app", "secret/data/app", "app"])
def test_spellings_of_a_path(make: Make, path: str) -> None:
    """The command line's and the API's spelling, and a path in the default mount, are one."""
    assert fields(ask(make(), path)) == f'{{"user":"me","password":"{CANARY}"}}'


@pytest.mark.parametrize("path", ["secret/app", "app"])
def test_wrong_token_is_forbidden(make: Make, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Vault does not tell a wrong token from a missing right, nor from a missing secret."""
    monkeypatch.setenv("VAULT_TOKEN", "hvs.wrong")
    assert ask(make(), path) == REFUSED


def test_forbidden_path_is_forbidden(make: Make, fake: FakeVault) -> None:
    """A path outside the token's policies is forbidden, others are not."""
    fake.denied.add("secret/data/private")
    fake.put("secret/private", {"a": "b"})
    assert ask(make(), "secret/private") == REFUSED
    assert isinstance(ask(make(), "secret/app"), Found)


def test_missing_secret_is_not_found(make: Make) -> None:
    """What was never there is not found."""
    assert ask(make(), "secret/other") == NotFound()


def test_versions(make: Make, fake: FakeVault) -> None:
    """An older version can be read; a deleted one is not found, and it is said why."""
    fake.put("secret/app", {"user": "second"})
    resolver = make()
    first = ask(resolver, "secret/app", options=(("version", "1"),))
    assert isinstance(first, Found)
    assert (first.version, fields(first)) == ("1", f'{{"user":"me","password":"{CANARY}"}}')
    assert fields(ask(resolver, "secret/app")) == '{"user":"second"}'
    assert ask(resolver, "secret/app", options=(("version", "3"),)) == NotFound()
    fake.secret("secret/app").versions[2].deletion_time = "2026-01-01T00:00:00Z"
    assert ask(resolver, "secret/app") == NotFound("version 2 was deleted")
    fake.secret("secret/app").versions[2].destroy()
    assert ask(resolver, "secret/app") == NotFound("version 2 was destroyed")


@pytest.mark.parametrize(
    "options", [(("version", "last"),), (("version", "-1"),), (("stage", "current"),)]
)
def test_odd_options_are_invalid(
    make: Make, fake: FakeVault, options: tuple[tuple[str, str], ...]
) -> None:
    """An option that means nothing is not ignored, and nobody is asked."""
    assert isinstance(ask(make(), "secret/app", options=options), Invalid)
    assert fake.requests == []


@pytest.mark.parametrize(
    "path",
    ["", "secret/", "/app", "secret//app", "secret/../sys/seal-status", "secret/%2e%2E/x", "a/./b"],
)
def test_paths_that_lead_elsewhere_are_invalid(make: Make, fake: FakeVault, path: str) -> None:
    """A path cannot leave its mount, and nobody is asked."""
    assert isinstance(ask(make(), path), Invalid)
    assert fake.requests == []


def test_missing_mount_and_other_engines(make: Make, fake: FakeVault) -> None:
    """A path in no engine, or in one of version 1, is the reference's fault or not found."""
    fake.put("kv/data/app", {"a": "b"})
    assert ask(make(), "nowhere/app") == Invalid('no engine is mounted at "nowhere"')
    assert ask(make(), "kv/app") == Invalid("the engine is not a key/value engine of version 2")
    assert ask(make(), "kv/other") == NotFound()


def test_mount_with_slashes(make: Make, fake: FakeVault) -> None:
    """A mount path of several words is named once, in the configuration."""
    fake.mounts["team/a"] = fake.mounts["secret"]
    assert isinstance(ask(make(mount="team/a"), "team/a/app"), Found)
    assert isinstance(ask(make(mount="team/a"), "app"), Found)
    assert isinstance(ask(make(), "team/a/app"), Invalid)


def test_numbers_keep_their_spelling(make: Make, fake: FakeVault) -> None:
    """A number is not rounded on its way."""
    fake.inject(
        Answer(
            200,
            b'{"data": {"data": {"a": 1.10, "b": 1e5}, "metadata": {"version": 1}}}',
            {"Content-Type": "application/json"},
        ),
        path="/v1/",
    )
    assert fields(ask(make(), "secret/app")) == '{"a":1.10,"b":1e5}'


def test_namespace(make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The namespace comes from the configuration or the environment."""
    fake.add_namespace("team")
    fake.put("secret/only", {"a": "b"}, namespace="team")
    assert ask(make(), "secret/only") == NotFound()
    assert isinstance(ask(make(namespace="team"), "secret/only"), Found)
    monkeypatch.setenv("VAULT_NAMESPACE", "team")
    assert isinstance(ask(make(), "secret/only"), Found)


# --- together, and bare names ---


def test_one_read_for_each_secret(make: Make, fake: FakeVault) -> None:
    """References into one secret, however spelled, cost one request."""
    fake.put("secret/flows", {"A": "a", "B": "b"})
    names = [Reference("A"), Reference("B"), Reference("C")]
    paths = [Reference("secret/app", "vault"), Reference("secret/data/app", "vault")]
    outcomes = make(names="secret/flows#{name}").resolve([*names, *paths], Deadline(5))
    assert [type(outcomes[each]) for each in (*names, *paths)] == [
        Found,
        Found,
        NotFound,
        Found,
        Found,
    ]
    assert [request.path for request in fake.requests] == [
        "/v1/secret/data/flows",
        "/v1/secret/data/app",
    ]


def test_bare_names_need_a_place(make: Make, fake: FakeVault) -> None:
    """Without a place for bare names they are not found, and nobody is asked."""
    assert bare(make(), "TOKEN") == NotFound("bare names are not looked for, as `names` is not set")
    assert fake.requests == []


@pytest.mark.parametrize(
    ("names", "path"), [("secret/flows#{name}", "flows"), ("secret/{name}#TOKEN", "TOKEN")]
)
def test_places_of_bare_names(make: Make, fake: FakeVault, names: str, path: str) -> None:
    """A bare name is a field of one secret, or a secret of its own."""
    fake.put(f"secret/{path}", {"TOKEN": "value"})
    found = bare(make(names=names), "TOKEN")
    assert found == Found(value=SecretValue("value"), version="1")
    assert isinstance(bare(make(names=names), "OTHER"), NotFound)


def test_bare_name_of_a_secret_with_fields(make: Make, fake: FakeVault) -> None:
    """Where the place names no field, the placeholder does."""
    fake.put("secret/TOKEN", {"value": "v"})
    resolution = Resolution([make(names="secret/{name}")])
    wanted = [Reference("TOKEN", field="value"), Reference("TOKEN")]
    answers = resolution.resolve(wanted)
    assert answers[wanted[0]].outcome == Found(value=SecretValue("v"), version="1")
    assert answers[wanted[1]].outcome == Invalid("has 1 field (value), name one with #")


def test_fields_that_are_no_text(make: Make, fake: FakeVault) -> None:
    """A number, a truth value and an object are spelled as JSON; null is not found."""
    fake.put("secret/flows", {"N": 5, "T": True, "O": {"a": 1}, "Z": None})
    resolver = make(names="secret/flows#{name}")
    values = [bare(resolver, name) for name in "NTO"]
    assert [each.value.reveal() for each in values if isinstance(each, Found)] == [
        "5",
        "true",
        '{"a":1}',
    ]
    assert bare(resolver, "Z") == NotFound("the secret has no such field")


def test_place_must_have_the_name_in_it() -> None:
    """A place that would be the same for all names is refused at once."""
    with pytest.raises(ConfigurationError, match="must hold"):
        VaultResolver(names="secret/flows#token")


# --- configuration ---


@pytest.mark.parametrize("prefix", ["VAULT", "BAO"])
def test_environment_of_the_command_line(
    fake: FakeVault, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """Address and token come from where the command line has them."""
    monkeypatch.setenv(f"{prefix}_ADDR", fake.url)
    monkeypatch.setenv(f"{prefix}_TOKEN", fake.token)
    resolver = VaultResolver()
    assert isinstance(ask(resolver, "secret/app"), Found)
    monkeypatch.setenv(f"{prefix}_TOKEN", "hvs.wrong")
    assert ask(resolver, "secret/app") == REFUSED
    resolver.close()


def test_token_of_another_variable(
    make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named variable is the only one that counts."""
    resolver = make(token_variable="PROD_TOKEN")
    assert ask(resolver, "secret/app") == Unavailable("no token: set PROD_TOKEN")
    monkeypatch.setenv("PROD_TOKEN", "hvs.wrong")
    assert ask(resolver, "secret/app") == REFUSED
    monkeypatch.setenv("PROD_TOKEN", fake.token)
    assert isinstance(ask(resolver, "secret/app"), Found)


def test_token_file_is_read_each_time(make: Make, fake: FakeVault, tmp_path: Path) -> None:
    """A token that was replaced in its file is used from then on, and no other token is."""
    file = tmp_path / "token"
    resolver = make(token_file=file)
    assert ask(resolver, "secret/app") == Unavailable(
        "no token: the token file cannot be read, or is empty"
    )
    file.write_text("hvs.wrong\n")
    assert ask(resolver, "secret/app") == REFUSED
    file.write_text(f"{fake.token}\n")
    assert isinstance(ask(resolver, "secret/app"), Found)


def test_token_of_the_log_in(
    make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without any setting the file that the command line writes is used."""
    monkeypatch.delenv("VAULT_TOKEN")
    assert ask(make(), "secret/app") == Unavailable(
        "no token: set VAULT_TOKEN, or log in with 'vault login'"
    )
    (tmp_path / ".vault-token").write_text(fake.token)
    assert isinstance(ask(make(), "secret/app"), Found)


def test_missing_address_is_told() -> None:
    """Without an address the store is unavailable, not empty."""
    assert ask(VaultResolver(), "secret/app") == Unavailable("no address: set VAULT_ADDR")
    named = VaultResolver(names="secret/flows#{name}")
    assert bare(named, "TOKEN") == Unavailable("no address: set VAULT_ADDR")
    assert VaultResolver().health() == "no address: set VAULT_ADDR"


def test_missing_library_names_the_extra(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hvac the outcome says what to install."""
    monkeypatch.setitem(sys.modules, "hvac", None)
    told = "Vault needs hvac, which is not installed: pip install 'webhook-storage[vault]'"
    assert ask(make(), "secret/app") == Unavailable(told)
    assert make().health() == told


def test_certificate_is_checked(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with an unknown certificate is not asked; with its CA it is."""
    with FakeVault(tls=True) as secure:
        secure.put("secret/app", {"a": "b"})
        monkeypatch.setenv("VAULT_TOKEN", secure.token)
        assert ask(make(address=secure.url), "secret/app") == Unavailable("no connection, SSLError")
        assert secure.requests == []
        assert isinstance(ask(make(address=secure.url, cacert=secure.ca_file), "secret/app"), Found)
        monkeypatch.setenv("VAULT_CACERT", str(secure.ca_file))
        assert isinstance(ask(make(address=secure.url), "secret/app"), Found)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 60), ("5", 5), ("5s", 5), ("1m30s", 90), ("200ms", 0.2), ("nonsense", 60)],
)
def test_timeout_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    """The timeout is a number of seconds or a duration."""
    from webhook_storage_resolvers.vault import _timeout  # noqa: PLC0415 - of interest here only

    monkeypatch.setenv("VAULT_CLIENT_TIMEOUT", text)
    assert _timeout() == seconds


# --- trouble ---


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            json_answer(400, {"errors": ["missing client token"]}),
            Forbidden("the token did not arrive"),
        ),
        (
            json_answer(400, {"errors": ["odd"]}),
            Invalid('the engine at "secret" does not understand the path or version'),
        ),
        (
            json_answer(405, {"errors": ["unsupported operation"]}),
            Invalid('the engine at "secret" does not understand the path or version'),
        ),
        (json_answer(429, {"errors": []}), Unavailable("too many requests")),
        (
            json_answer(429, {"errors": []}, {"Retry-After": "30"}),
            Unavailable("too many requests", retry_after=30),
        ),
        (json_answer(412, {"errors": []}), Unavailable("answered with status 412")),
        (json_answer(473, {"errors": []}), Unavailable("answered with status 473")),
        (json_answer(500, {"errors": ["internal"]}), Unavailable("answered with status 500")),
        (text_answer(502, CANARY), Unavailable("answered with status 502")),
        (json_answer(503, {"errors": ["Vault is sealed"]}), Unavailable("is sealed")),
        (json_answer(503, {"errors": []}), Unavailable("answered with status 503")),
        (text_answer(200, CANARY), Unavailable("the answer is not one of Vault's")),
        (text_answer(404, CANARY), Unavailable("the answer is not one of Vault's")),
        (json_answer(404, {"message": CANARY}), Unavailable("the answer is not one of Vault's")),
        (
            json_answer(404, {"warnings": ["Invalid path for a versioned K/V secrets engine"]}),
            Invalid("the path is not that of a secret in a versioned engine"),
        ),
        (
            json_answer(200, {"data": {CANARY: CANARY}}),
            Invalid("the engine is not a key/value engine of version 2"),
        ),
        (Answer(0), Unavailable("no connection, ConnectionError")),
    ],
    ids=[
        "400 no token",
        "400",
        "405",
        "429",
        "429 with pause",
        "412",
        "473",
        "500",
        "502",
        "503 sealed",
        "503",
        "200 no JSON",
        "404 no JSON",
        "404 of another",
        "404 version 1",
        "200 of another",
        "hung up",
    ],
)
def test_answers_and_their_meaning(
    make: Make, fake: FakeVault, answer: Answer, outcome: Outcome
) -> None:
    """Each way of not answering has its outcome, which repeats nothing of the answer."""
    fake.inject(answer, path="/v1/")
    assert ask(make(), "secret/app") == outcome


def test_sealed_server(make: Make, fake: FakeVault) -> None:
    """A sealed server is unavailable, and says so when its health is asked for."""
    resolver = make()
    assert resolver.health() is None
    fake.sealed = True
    assert ask(resolver, "secret/app") == Unavailable("is sealed")
    assert resolver.health() == "is sealed"


def test_health_sends_no_token(make: Make, fake: FakeVault) -> None:
    """The state is asked for without any credential."""
    make().health()
    (request,) = fake.requests
    assert request.path == "/v1/sys/health"
    assert "x-vault-token" not in request.headers


def test_server_that_is_not_there(make: Make) -> None:
    """Nobody listening is unavailable, for questions and for the health."""
    with FakeVault() as gone:
        address = gone.url
    resolver = make(address=address)
    assert ask(resolver, "secret/app") == Unavailable("no connection, ConnectionError")
    assert resolver.health() == "no connection, ConnectionError"


def test_token_is_not_sent_on(make: Make, fake: FakeVault) -> None:
    """A redirect is not followed, so that the token stays with the server it is for."""
    with FakeVault() as elsewhere:
        fake.redirect(elsewhere.url)
        assert ask(make(), "secret/app") == Unavailable(
            "redirects to another server, to which the token is not sent"
        )
        assert elsewhere.requests == []


def test_netrc_adds_nothing(
    make: Make, fake: FakeVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A netrc file's password for the host is not sent."""
    file = tmp_path / ".netrc"
    file.write_text("default login me password mine\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert isinstance(ask(make(), "secret/app"), Found)
    assert [request.headers.get("authorization") for request in fake.requests] == [None]


def test_server_that_is_down_is_asked_once(make: Make, fake: FakeVault) -> None:
    """After one failure the rest of the references is not asked for."""
    fake.rate_limit(times=None)
    wanted = [Reference(f"secret/{name}", "vault") for name in "abc"]
    outcomes = make().resolve(wanted, Deadline(5))
    assert list(outcomes.values()) == [Unavailable("too many requests")] * 3
    assert len(fake.requests) == 1


def test_no_time_no_question(make: Make, fake: FakeVault) -> None:
    """After the deadline nobody is asked."""
    reference = Reference("secret/app", "vault")
    outcome = make().resolve([reference], Deadline(0))[reference]
    assert outcome == Unavailable("there was no time left to ask")
    assert fake.requests == []


def test_odd_token_is_not_repeated(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that cannot stand in a header does not come back in the outcome."""
    monkeypatch.setenv("VAULT_TOKEN", f"{CANARY}\nline")
    assert ask(make(), "secret/app") == Unavailable("no connection, InvalidHeader")


# --- what stays here ---


def test_pickle_holds_no_credential(make: Make) -> None:
    """A resolver that was used is pickled as its configuration, and works after that."""
    resolver = make()
    assert isinstance(ask(resolver, "secret/app"), Found)
    pickled = pickle.dumps(resolver)
    assert CANARY.encode() not in pickled
    assert CANARY not in repr(resolver)
    assert CANARY not in repr(vars(resolver))
    other = pickle.loads(pickled)  # noqa: S301 - made above
    assert other == resolver
    assert isinstance(ask(other, "secret/app"), Found)
    other.close()


def test_logs_of_the_libraries_are_silent(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """What hvac and urllib3 have to say about a question is not logged."""
    with caplog.at_level(logging.DEBUG):
        ask(make(), "secret/app")
        make().health()
    assert [record.name for record in caplog.records] == []


def test_connections_belong_to_a_process(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process does not speak on its parent's connections."""
    resolver = make()
    ask(resolver, "secret/app")
    mine = resolver._session
    ask(resolver, "secret/app")
    assert resolver._session is mine
    monkeypatch.setattr(os, "getpid", lambda: -1)
    ask(resolver, "secret/app")
    assert mine is not None
    assert resolver._session is not None
    assert resolver._session[1] is not mine[1]
    mine[1].close()


def test_close_can_be_repeated_and_undone(make: Make) -> None:
    """After closing, the next question opens new connections."""
    resolver = make()
    resolver.close()
    ask(resolver, "secret/app")
    resolver.close()
    resolver.close()
    assert isinstance(ask(resolver, "secret/app"), Found)
