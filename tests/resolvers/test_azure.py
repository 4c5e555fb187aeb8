"""Secrets in Azure Key Vault, read from a vault that speaks as Azure's do."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from azure.core.exceptions import ServiceRequestError
from azure.core.rest import HttpRequest

from tests.fakes.azure import LOGIN, FakeAzure, FakeMachine, Tunnel, login_error, vault_error
from tests.fakes.http import NO_ANSWER, Answer, json_answer, text_answer
from tests.resolvers.places import without_proxies
from tests.resolvers.places.azure import PREFIXES, azure
from tests.sending.raw import RawServer, always, reply
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
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverSuite, canary, find_leaks
from webhook_storage.token import TokenCache
from webhook_storage_resolvers.azure import AzureResolver, _parse
from webhook_storage_resolvers.azure.login import _Transport

if TYPE_CHECKING:
    from pathlib import Path

    from webhook_storage.testing import ResolverCase

Make = Callable[..., AzureResolver]

ODD = Unavailable("the answer is not one of Key Vault's")
NOT_ACCEPTED = Forbidden(
    "the vault does not accept the identity: is it of another tenant than the vault?"
)
WRONG_SECRET = Forbidden(
    "the login server refused: check AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET"
)
NOBODY = "00000000-0000-0000-0000-000000000000"


class TestAzureSuite(ResolverSuite):
    """What every resolver promises."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Start a vault."""
        with azure(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAzure]:
    """Start a vault with one secret; the environment has the right secret of its application."""
    without_proxies(monkeypatch, *PREFIXES)
    with FakeAzure() as server:
        server.put("db-password", "s3cret")
        for name, text in {
            "AZURE_AUTHORITY_HOST": server.url,
            "AZURE_TENANT_ID": server.tenant,
            "AZURE_CLIENT_ID": server.client_id,
            "AZURE_CLIENT_SECRET": server.client_secret,
            # Nobody else's command line and metadata.
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:1",
            "PATH": str(tmp_path / "bin"),
        }.items():
            monkeypatch.setenv(name, text)
        yield server


@pytest.fixture
def make(fake: FakeAzure) -> Iterator[Make]:
    """Return a maker of resolvers that log in by the application's secret."""
    made: list[AzureResolver] = []

    def build(**options: Any) -> AzureResolver:
        given = {"vault_url": fake.url, "credential": "client_secret", "ca_file": fake.ca_file}
        made.append(AzureResolver(**{**given, **options}))
        return made[-1]

    yield build
    for resolver in made:
        resolver.close()


def ask(resolver: AzureResolver, name: str = "db-password", **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "azure", **parts)
    return resolver.resolve([reference], Deadline(10))[reference]


def bare(resolver: AzureResolver, name: str) -> Outcome:
    """Ask for a bare name."""
    return resolver.resolve([Reference(name)], Deadline(10))[Reference(name)]


def text(outcome: Outcome) -> str | None:
    """Return the secret that was found, None for no secret."""
    return outcome.value.reveal() if isinstance(outcome, Found) else None


def logins(fake: FakeAzure) -> int:
    """Count how often a token was asked for."""
    return fake.calls[f"/{fake.tenant}/oauth2/v2.0/token"]


# --- what is found ---


@pytest.mark.parametrize("name", ["db-password", "db_password", "DB_PASSWORD"])
def test_spellings_of_a_name(make: Make, fake: FakeAzure, name: str) -> None:
    """Underscores are hyphens, and case does not count for the vault."""
    version = fake.vault["db-password"][0].id
    assert ask(make(), name) == Found(value=SecretValue("s3cret"), version=version)


def test_an_absent_secret_is_not_found(make: Make) -> None:
    """What was never there is not found."""
    assert ask(make(), "nothing") == NotFound()


def test_a_bare_name_is_a_secret_of_its_own(make: Make, fake: FakeAzure) -> None:
    """By default a bare name is the name of the secret."""
    assert text(bare(make(), "DB_PASSWORD")) == "s3cret"
    assert fake.last.path == "/secrets/DB-PASSWORD"


def test_two_names_of_one_secret_are_one_question(make: Make, fake: FakeAzure) -> None:
    """The mapping of names leads two to one place, which is asked once."""
    names = [Reference("DB_PASSWORD"), Reference("DB-PASSWORD", "azure")]
    outcomes = make().resolve(names, Deadline(10))
    assert [text(outcomes[each]) for each in names] == ["s3cret", "s3cret"]
    assert len(fake.received("/secrets/")) == 1


@pytest.mark.parametrize(
    ("names", "secret"),
    [("flows-{name}", "value"), ("flows#{name}", '{"TOKEN": "value", "N": 1.50}')],
)
def test_places_of_bare_names(make: Make, fake: FakeAzure, names: str, secret: str) -> None:
    """A bare name is a secret with something before it, or a field of one secret."""
    fake.put("flows" if "#" in names else "flows-TOKEN", secret)
    assert text(bare(make(names=names), "TOKEN")) == "value"
    assert isinstance(bare(make(names=names), "OTHER"), NotFound)


def test_bare_names_can_be_left_to_others(make: Make, fake: FakeAzure) -> None:
    """Without a place for bare names they are not found, and nobody is asked."""
    assert isinstance(bare(make(names=None), "DB_PASSWORD"), NotFound)
    assert fake.requests == []


def test_versions(make: Make, fake: FakeAzure) -> None:
    """An older version is named by an option or after a slash."""
    first, second = fake.vault["db-password"][0].id, fake.put("db-password", "new").id
    resolver = make()
    assert text(ask(resolver)) == "new"
    for version, value in ((first, "s3cret"), (second, "new")):
        option = ask(resolver, options=(("version", version),))
        assert option == ask(resolver, f"db_password/{version}")
        assert option == Found(value=SecretValue(value), version=version)
    assert ask(resolver, f"db-password/{'0' * 32}") == NotFound()


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("", {}, "a name has"),
        ("a b", {}, "a name has"),
        ("ä", {}, "a name has"),
        ("..", {}, "a name has"),
        ("a.b", {}, "a name has"),
        ("x" * 128, {}, "a name has"),
        ("../keys/x", {}, "a name has"),
        ("a/", {}, "a version is"),
        ("a/b/c", {}, "a version is"),
        ("a/..", {}, "a version is"),
        ("a", {"version": ""}, "a version is"),
        ("a", {"version": "?x=1"}, "a version is"),
        ("a/1", {"version": "1"}, "names its version twice"),
        ("a", {"stage": "last"}, 'has no option "stage"'),
    ],
)
def test_references_that_make_no_sense(
    make: Make, fake: FakeAzure, name: str, options: dict[str, str], why: str
) -> None:
    """What cannot be a secret of a vault is invalid, and nobody is asked."""
    outcome = ask(make(), name, options=tuple(options.items()))
    assert isinstance(outcome, Invalid)
    assert outcome.detail.startswith(why)
    assert fake.requests == []


def test_the_longest_name_is_asked_for(make: Make, fake: FakeAzure) -> None:
    """A name has up to 127 characters."""
    fake.put("x" * 127, "long")
    assert text(ask(make(), "x" * 127)) == "long"


# --- what is refused ---


def test_a_disabled_secret_is_not_found(make: Make, fake: FakeAzure) -> None:
    """Although it answers 403, nobody is kept from anything."""
    fake.put("old", "x", enabled=False)
    assert ask(make(), "old") == NotFound("the secret is disabled")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (
            "ForbiddenByPolicy",
            Forbidden(
                "no access policy of the vault lets this identity get secrets", maybe_missing=True
            ),
        ),
        (
            "ForbiddenByRbac",
            Forbidden('the identity needs the role "Key Vault Secrets User"', maybe_missing=True),
        ),
        ("Other", Forbidden("the identity may not read this secret", maybe_missing=True)),
        ("", Forbidden("the identity may not read this secret", maybe_missing=True)),
        ("ForbiddenByFirewall", Forbidden("the vault's firewall does not let this machine in")),
        (
            "ForbiddenByConnection",
            Forbidden("the vault takes connections by private link only"),
        ),
    ],
)
def test_kinds_of_forbidden(make: Make, fake: FakeAzure, code: str, outcome: Outcome) -> None:
    """The inner code says who forbids it; what concerns all secrets is asked once."""
    fake.put("private", "x")
    fake.forbidden |= {"private": code, "absent": code}
    wanted = [Reference(name, "azure") for name in ("private", "absent")]
    assert list(make().resolve(wanted, Deadline(10)).values()) == [outcome] * 2
    assert isinstance(outcome, Forbidden)
    assert len(fake.received("/secrets/")) == (2 if outcome.maybe_missing else 1)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (vault_error(429, "Throttled", "x"), Unavailable("too many requests")),
        (
            vault_error(429, "Throttled", "x", headers={"Retry-After": "30"}),
            Unavailable("too many requests", retry_after=30),
        ),
        (vault_error(500, "InternalError", "x"), Unavailable("answered with status 500")),
        (text_answer(503, "s3cret"), Unavailable("answered with status 503")),
        (
            vault_error(400, "BadParameter", "x"),
            Invalid("the vault does not understand the name or version"),
        ),
        (text_answer(400, "s3cret"), ODD),
        (text_answer(403, "s3cret"), ODD),
        (text_answer(404, "s3cret"), ODD),
        (vault_error(404, "ResourceNotFound", "x"), ODD),
        (text_answer(200, "s3cret"), ODD),
        (json_answer(200, {"value": 1, "id": "x"}), ODD),
        (json_answer(200, {"value": "s3cret"}), ODD),
        (
            json_answer(200, {"value": "v", "id": "https://elsewhere"}),
            Found(value=SecretValue("v")),
        ),
        (NO_ANSWER, Unavailable("the answer broke off or was no HTTP")),
    ],
)
def test_answers_and_their_meaning(
    make: Make, fake: FakeAzure, answer: Answer, outcome: Outcome
) -> None:
    """Each way of answering has its outcome, which repeats nothing of the answer."""
    fake.inject(answer, path="/secrets/")
    assert ask(make()) == outcome


def test_a_vault_that_is_down_is_asked_once(make: Make, fake: FakeAzure) -> None:
    """After one failure the rest is not asked for; what was found before stays found."""
    fake.inject(lambda request: None, path="/secrets/")
    fake.inject(vault_error(503, "Down", "x"), path="/secrets/", times=None)
    wanted = [Reference(name, "azure") for name in ("db-password", "b", "c")]
    outcomes = list(make().resolve(wanted, Deadline(10)).values())
    assert text(outcomes[0]) == "s3cret"
    assert outcomes[1:] == [Unavailable("answered with status 503")] * 2
    assert len(fake.received("/secrets/")) == 2


def test_the_token_is_not_sent_on(make: Make, fake: FakeAzure) -> None:
    """A redirect is not followed, so that the token stays with the vault it is for."""
    with FakeAzure() as elsewhere:
        fake.inject(Answer(307, headers={"Location": f"{elsewhere.url}/secrets/x"}), path="/sec")
        assert ask(make()) == Unavailable(
            "redirects elsewhere, to where the credential is not sent"
        )
        assert elsewhere.requests == []


# --- tokens ---


def test_one_login_serves_many_questions(make: Make, fake: FakeAzure) -> None:
    """A token is kept by the process, and replaced after nine tenths of its life."""
    resolver, now = make(), [0.0]
    object.__setattr__(resolver, "_tokens", TokenCache(clock=lambda: now[0]))
    for seconds, count in ((0.0, 1), (0.89 * 3599, 1), (0.91 * 3599, 2)):
        now[0] = seconds
        assert text(ask(resolver)) == "s3cret"
        assert logins(fake) == count


def test_a_token_that_is_refused_is_replaced_once(make: Make, fake: FakeAzure) -> None:
    """A token that the vault does not take any more costs one login and one more question."""
    resolver = make()
    assert text(ask(resolver)) == "s3cret"
    fake.revoke_tokens()
    assert text(ask(resolver)) == "s3cret"
    assert (logins(fake), len(fake.received("/secrets/"))) == (2, 3)


def test_a_vault_that_takes_no_token_is_asked_twice(make: Make, fake: FakeAzure) -> None:
    """An identity of another tenant is refused, and that is not tried for each secret."""
    challenge = {"WWW-Authenticate": f'Bearer authorization="{fake.url}/other"'}
    refusal = vault_error(401, "Unauthorized", "AKV10032", headers=challenge)
    fake.inject(refusal, path="/secrets/", times=None)
    wanted = [Reference(name, "azure") for name in "abc"]
    assert list(make().resolve(wanted, Deadline(10)).values()) == [NOT_ACCEPTED] * 3
    assert (logins(fake), len(fake.received("/secrets/"))) == (2, 2)


def test_a_second_login_may_fail(make: Make, fake: FakeAzure) -> None:
    """When the application's secret was withdrawn meanwhile, that is what is said."""
    resolver = make()
    assert text(ask(resolver)) == "s3cret"
    fake.revoke_tokens()
    fake.client_secret = "another"
    assert ask(resolver) == WRONG_SECRET


@pytest.mark.parametrize("resource", ["https://vault.azure.net", "https://[", "nonsense"])
def test_a_challenge_of_another_domain_gets_no_token(
    make: Make, fake: FakeAzure, resource: str
) -> None:
    """Who wants a token for another domain than its own is not the vault."""
    resolver = make()
    assert text(ask(resolver)) == "s3cret"
    fake.resource = resource
    fake.revoke_tokens()
    told = "wants a token for another domain than the vault's: check the vault's URL"
    assert (ask(resolver), resolver.health()) == (Unavailable(told), told)
    assert logins(fake) == 1


@pytest.mark.parametrize(
    ("url", "scope"),
    [
        ("https://team.vault.azure.net", "https://vault.azure.net/.default"),
        ("https://Team.Vault.Azure.CN/", "https://vault.azure.cn/.default"),
        ("https://team.vault.usgovcloudapi.net:443", "https://vault.usgovcloudapi.net/.default"),
        ("https://vault.example.com", "https://vault.azure.net/.default"),
        ("https://[::1]:8443", "https://vault.azure.net/.default"),
    ],
)
def test_the_cloud_says_what_a_token_is_for(url: str, scope: str) -> None:
    """A token is good for all vaults of the vault's cloud, the public one if it is none."""
    vault = _parse(url)
    assert vault is not None
    assert vault.scope == scope


def test_public_names_need_no_settings(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the names of the public cloud, vault and login server are found by themselves."""
    monkeypatch.delenv("AZURE_AUTHORITY_HOST")
    with Tunnel(fake.port) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        resolver = make(vault_url="https://team.vault.azure.net")
        assert text(ask(resolver)) == "s3cret"
        fake.revoke_tokens()
        assert text(ask(resolver)) == "s3cret"
        for resource in ("https://vault.azure.net.example.com", "https://ault.azure.net"):
            fake.resource = resource
            fake.revoke_tokens()
            assert isinstance(ask(resolver), Unavailable)
        resolver.close()
    assert {"CONNECT team.vault.azure.net:443", f"CONNECT {LOGIN}:443"} == set(tunnel.names)


# --- credentials ---


@pytest.mark.parametrize("variable", ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"])
def test_a_wrong_login_is_forbidden(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A login that is refused is not tried again for the next secret."""
    monkeypatch.setenv(variable, NOBODY)
    wanted = [Reference(name, "azure") for name in "abc"]
    assert list(make().resolve(wanted, Deadline(10)).values()) == [WRONG_SECRET] * 3
    assert logins(fake) <= 1
    assert fake.received("/secrets/") == []


@pytest.mark.parametrize(
    ("credential", "missing", "told"),
    [
        ("client_secret", ["CLIENT_SECRET"], "set AZURE_CLIENT_SECRET"),
        ("client_secret", ["TENANT_ID", "CLIENT_ID"], "set AZURE_TENANT_ID and AZURE_CLIENT_ID"),
        ("certificate", [], "set AZURE_CLIENT_CERTIFICATE_PATH"),
        ("workload_identity", [], "set AZURE_FEDERATED_TOKEN_FILE"),
    ],
)
def test_what_is_not_set_is_named(
    make: Make,
    fake: FakeAzure,
    monkeypatch: pytest.MonkeyPatch,
    credential: str,
    missing: list[str],
    told: str,
) -> None:
    """Without a credential the vault is unavailable, and it is said what to set."""
    for name in missing:
        monkeypatch.delenv(f"AZURE_{name}")
    resolver = make(credential=credential)
    assert ask(resolver) == Unavailable(f"no credential: {told}")
    assert fake.requests == []
    assert resolver.health() == f"no credential: {told}"


@pytest.mark.parametrize("variable", ["AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"])
def test_nonsense_is_no_credential(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """What cannot be used at all is unavailable, and it is said where it is from."""
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv(variable, "no such/thing?")
    assert ask(make(credential="workload_identity")) == Unavailable(
        "the credential cannot be used: check AZURE_FEDERATED_TOKEN_FILE"
    )


def certificate(path: Path, password: str | None = None) -> Path:
    """Write a new certificate to the path, and both certificate and key to the path returned."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - of use here only

    rsa = trustme.KeyType.RSA
    issued = trustme.CA(key_type=rsa).issue_cert("app.test", key_type=rsa)
    pem = issued.private_key_pem.bytes()
    if password is not None:
        key = serialization.load_pem_private_key(pem, None)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )
    public = issued.cert_chain_pems[0].bytes()
    path.write_bytes(public)
    both = path.with_suffix(".key.pem")
    both.write_bytes(pem + public)
    return both


def test_a_certificate_logs_in(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The application's certificate opens the vault, another one does not."""
    right, wrong = (certificate(tmp_path / f"{name}.pem") for name in ("right", "wrong"))
    fake.trust(tmp_path / "right.pem")
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(right))
    assert text(ask(make(credential="certificate"))) == "s3cret"
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(wrong))
    assert ask(make(credential="certificate")) == Forbidden(
        "the login server refused: check AZURE_TENANT_ID, AZURE_CLIENT_ID,"
        " AZURE_CLIENT_CERTIFICATE_PATH"
    )
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(tmp_path / "missing.pem"))
    assert ask(make(credential="certificate")) == Unavailable(
        "the credential cannot be used: check AZURE_CLIENT_CERTIFICATE_PATH"
    )


def test_a_certificate_may_have_a_password(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The password of the key comes from the environment, a wrong one shows nowhere."""
    password, wrong = canary(), canary()
    both = certificate(tmp_path / "right.pem", password)
    fake.trust(tmp_path / "right.pem")
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(both))
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PASSWORD", password)
    assert text(ask(make(credential="certificate"))) == "s3cret"
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PASSWORD", wrong)
    outcome = ask(make(credential="certificate"))
    assert isinstance(outcome, Unavailable)
    assert find_leaks(outcome.detail, wrong) == []


def test_a_workload_logs_in(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The token of the service account is read from its file at each login."""
    fake.federated_token = "right"
    file = tmp_path / "token"
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    resolver = make(credential="workload_identity")
    file.write_text("wrong")
    assert ask(resolver) == Forbidden(
        "the login server refused: check AZURE_TENANT_ID, AZURE_CLIENT_ID,"
        " AZURE_FEDERATED_TOKEN_FILE"
    )
    file.write_text("right")
    assert text(ask(resolver)) == "s3cret"


def test_a_machine_has_an_identity(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The identity of the machine opens the vault, unless there is none, or not that one."""
    told = Unavailable(
        "no managed identity answers: assign one to this machine, and set AZURE_CLIENT_ID to say"
        " which"
    )
    assert ask(make(credential="managed_identity")) == told
    with FakeMachine(fake) as machine:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)
        assert text(ask(make(credential="managed_identity"))) == "s3cret"
        monkeypatch.setenv("AZURE_CLIENT_ID", NOBODY)
        assert ask(make(credential="managed_identity")) == told
        monkeypatch.delenv("AZURE_CLIENT_ID")
        assert text(ask(make(credential="managed_identity"))) == "s3cret"
        machine.assigned = False
        assert ask(make(credential="managed_identity")) == told
        assert logins(fake) == 0


@pytest.fixture
def command_line(tmp_path: Path) -> Callable[[str], None]:
    """Return what replaces the program ``az``, the only one there is, by lines of a shell."""
    program = tmp_path / "bin/az"
    program.parent.mkdir()

    def replace(lines: str) -> None:
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)

    return replace


def test_the_command_line_gives_its_token(
    make: Make, fake: FakeAzure, command_line: Callable[[str], None], tmp_path: Path
) -> None:
    """Whoever is logged in by the command line gets in, for the tenant that is set."""
    token = fake.issue_token()
    answer = f'{{"accessToken": "{token}", "expires_on": 32503680000}}'
    command_line(f"echo \"$@\" > {tmp_path}/arguments; echo '{answer}'")
    assert text(ask(make(credential="cli"))) == "s3cret"
    said = (tmp_path / "arguments").read_text()
    assert said.strip().endswith(f"--resource https://vault.azure.net --tenant {fake.tenant}")
    command_line('echo \'{"accessToken": "wrong", "expires_on": 32503680000}\'')
    assert ask(make(credential="cli")) == NOT_ACCEPTED


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        (
            "echo \"Please run 'az login' to setup account.\" >&2; exit 1",
            Unavailable("the Azure CLI gives no token: log in with 'az login'"),
        ),
        (
            "echo 'AADSTS70043: The refresh token has expired.' >&2; exit 1",
            Forbidden("the login server refused the Azure CLI: log in again with 'az login'"),
        ),
        (
            "echo nonsense",
            Unavailable("the Azure CLI gives no token: log in with 'az login'"),
        ),
        (
            "exit 127",
            Unavailable("the Azure CLI gives no token: log in with 'az login'"),
        ),
    ],
)
def test_a_command_line_without_a_login(
    make: Make, command_line: Callable[[str], None], lines: str, outcome: Outcome
) -> None:
    """Whatever the program says, the outcome says to log in."""
    command_line(lines)
    assert ask(make(credential="cli")) == outcome


def test_a_command_line_that_hangs_is_given_up(
    make: Make, command_line: Callable[[str], None]
) -> None:
    """A program that waits for somebody costs no more than the deadline."""
    command_line("exec /bin/sleep 5")
    reference = Reference("db-password", "azure")
    outcome = make(credential="cli").resolve([reference], Deadline(0.5))[reference]
    assert outcome == Unavailable("the login took too long")


# --- the default credential ---


def test_the_default_takes_what_is_there(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application's secret comes first, then the machine's identity."""
    assert text(ask(make(credential="default"))) == "s3cret"
    assert logins(fake) == 1
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    with FakeMachine(fake) as machine:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)
        assert text(ask(make(credential="default"))) == "s3cret"
    assert logins(fake) == 1


def test_the_default_stops_at_a_refusal(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong secret of the application is told, whatever else there may be."""
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    with FakeMachine(fake) as machine:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)
        assert ask(make(credential="default")) == Forbidden(
            "the login server refused the credential that the environment names"
        )
        assert machine.requests == []


def test_the_default_may_find_nothing(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no credential is configured at all, it is said what to do."""
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    with FakeMachine(fake) as machine:
        machine.assigned = False
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)
        assert ask(make(credential="default")) == Unavailable(
            "no credential: set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET,"
            " or log in with 'az login'"
        )


# --- login servers in trouble ---


@pytest.mark.parametrize("credential", ["client_secret", "default", "workload_identity"])
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (login_error(429, "slow_down", 90055, "x"), "gave no token, its status was 429"),
        (login_error(500, "server_error", 90033, "x"), "gave no token, its status was 500"),
        (text_answer(503, "s3cret"), "gave no token, its status was 503"),
        (text_answer(200, "s3cret"), "gave no token, its status was 200"),
        (NO_ANSWER, None),
    ],
)
def test_a_login_server_in_trouble(
    make: Make,
    fake: FakeAzure,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    credential: str,
    answer: Answer,
    told: str | None,
) -> None:
    """A login server that cannot answer is unavailable, which is no refusal."""
    fake.federated_token = "right"
    (tmp_path / "token").write_text("right")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    fake.inject(answer, path=f"/{fake.tenant}/oauth2", times=None)
    assert ask(make(credential=credential)) == Unavailable(
        f"the login server {told}" if told else "no connection to the login server"
    )
    assert logins(fake) == 1


@pytest.mark.parametrize(
    ("credential", "told"),
    [
        ("client_secret", "the login took too long"),
        ("default", "the login took too long, name one credential to try fewer"),
    ],
)
def test_a_login_server_that_hangs_is_given_up(
    make: Make, fake: FakeAzure, credential: str, told: str
) -> None:
    """Nobody waits longer for a login than for a secret."""
    fake.hang(path=f"/{fake.tenant}", times=None)
    reference = Reference("db-password", "azure")
    outcome = make(credential=credential).resolve([reference], Deadline(0.3))[reference]
    assert outcome in {Unavailable(told), Unavailable("no connection to the login server")}


def test_a_login_ends_between_two_requests() -> None:
    """Once the time is over, what a credential still wants to ask is not asked."""
    transport = _Transport(None, Deadline(0))
    with pytest.raises(ServiceRequestError, match="no time left"):
        transport.send(HttpRequest("GET", "https://127.0.0.1:1"))
    transport.close()


def test_no_time_no_login(make: Make, fake: FakeAzure) -> None:
    """After the deadline nobody is asked."""
    reference = Reference("db-password", "azure")
    outcome = make().resolve([reference], Deadline(0))[reference]
    assert outcome == Unavailable("there was no time left to log in")
    assert fake.requests == []


def test_a_netrc_file_adds_nothing(
    make: Make, fake: FakeAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A netrc file's password for the host is sent to neither server."""
    file = tmp_path / ".netrc"
    file.write_text("default login me password mine\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert text(ask(make())) == "s3cret"
    kinds = [request.headers.get("authorization", "none")[:6] for request in fake.requests]
    assert kinds == ["none", "none", "Bearer"]


def test_certificates_are_checked(make: Make, fake: FakeAzure, tmp_path: Path) -> None:
    """Neither server is told anything when its certificate is not known."""
    assert ask(make(ca_file=None)) == Unavailable("no connection to the login server")
    assert fake.requests == []
    assert ask(make(ca_file=tmp_path / "missing.pem")) == Unavailable(
        "the CA file cannot be read, or holds no certificate"
    )


def test_a_foreign_vault_gets_no_token(make: Make, fake: FakeAzure) -> None:
    """A vault whose certificate is not known is not asked, although the login worked."""
    with FakeAzure() as other:
        outcome = ask(make(vault_url=other.url))
        assert isinstance(outcome, Unavailable)
        assert other.requests == []
    assert logins(fake) == 1


# --- configuration ---


def test_the_vault_of_the_environment(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any setting the vault is that of the environment."""
    resolver = make(vault_url=None)
    told = "no vault: set AZURE_KEYVAULT_URL"
    assert (ask(resolver), resolver.health()) == (Unavailable(told), told)
    monkeypatch.setenv("AZURE_KEYVAULT_URL", fake.url.replace("https", "http"))
    told = "AZURE_KEYVAULT_URL is none: the vault's URL is https:// and a host, nothing else"
    assert (ask(resolver), resolver.health()) == (Unavailable(told), told)
    monkeypatch.setenv("AZURE_KEYVAULT_URL", f"{fake.url}/")
    assert text(ask(resolver)) == "s3cret"
    assert resolver.health() is None


def test_the_login_server_can_be_set(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login server that is set is asked in place of the environment's."""
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1")
    assert ask(make()) == Unavailable("no connection to the login server")
    assert text(ask(make(authority=fake.url))) == "s3cret"


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"names": "flows"}, "names"),
        ({"credential": "password"}, "credential"),
        ({"vault_url": "http://team.vault.azure.net"}, "vault_url"),
        ({"vault_url": "team.vault.azure.net"}, "vault_url"),
        ({"vault_url": "https://me:pw@team.vault.azure.net"}, "vault_url"),
        ({"vault_url": "https://team.vault.azure.net/secrets"}, "vault_url"),
        ({"vault_url": "https://team.vault.azure.net?x"}, "vault_url"),
        ({"vault_url": "https://team.vault.azure.net:port"}, "vault_url"),
        ({"vault_url": "https://"}, "vault_url"),
        ({"vault_url": ""}, "vault_url"),
        ({"authority": "http://login.example.com"}, "authority"),
        ({"authority": "https://login.example.com/tenant"}, "authority"),
    ],
)
def test_what_can_never_work_is_refused(options: dict[str, Any], path: str) -> None:
    """A wrong setting is refused at once, and named."""
    with pytest.raises(ConfigurationError) as caught:
        AzureResolver(**options)
    assert caught.value.path == path


def test_missing_library_names_the_extra(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without azure-identity the outcome says what to install."""
    monkeypatch.setitem(sys.modules, "webhook_storage_resolvers.azure.login", None)
    told = (
        "Azure needs azure-identity, which is not installed: pip install 'webhook-storage[azure]'"
    )
    assert ask(make()) == Unavailable(told)
    assert make().health() == told


# --- health, and what stays here ---


def test_health_asks_for_no_secret(make: Make, fake: FakeAzure) -> None:
    """The vault is asked for its challenge, without a token, and a login is tried."""
    resolver = make()
    assert resolver.health() is None
    (asked,) = fake.received("/secrets")
    assert (asked.path, "authorization" in asked.headers) == ("/secrets", False)
    fake.inject(vault_error(503, "Down", "x"), path="/secrets")
    assert resolver.health() == "answered with status 503"
    fake.inject(json_answer(200, {"value": []}), path="/secrets")
    assert resolver.health() == "the answer is not what such a store sends"
    fake.client_secret = "another"
    resolver.close()
    assert resolver.health() == WRONG_SECRET.detail


@pytest.mark.parametrize("credential", ["client_secret", "default", "certificate"])
def test_logs_of_the_libraries_are_silent(
    make: Make,
    fake: FakeAzure,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    credential: str,
) -> None:
    """What azure-identity, azure-core, msal and those below have to say is not logged."""
    both = certificate(tmp_path / "right.pem")
    fake.trust(tmp_path / "right.pem")
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(both))
    with caplog.at_level(logging.DEBUG):
        assert text(ask(make(credential=credential))) == "s3cret"
        monkeypatch.setenv("AZURE_CLIENT_ID", NOBODY)
        assert isinstance(ask(make(credential=credential)), Forbidden)
    names = {record.name.partition(".")[0] for record in caplog.records}
    assert names & {"azure", "msal", "requests", "urllib3"} == set()


def test_a_proxy_does_not_see_the_identity_of_a_machine(
    make: Make, fake: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's own service, which speaks no TLS, is asked directly."""
    with FakeMachine(fake) as machine, RawServer(always(reply("502 No"))).serving() as proxy:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert text(ask(make(credential="managed_identity"))) == "s3cret"
        assert [] == proxy.calls
