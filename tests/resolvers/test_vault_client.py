"""How the Vault resolver reaches its server: environment, TLS, proxies, redirects, trouble."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from urllib3.exceptions import InsecureRequestWarning

from tests.fakes.http import json_answer
from tests.fakes.vault import FakeVault
from tests.fakes.vault_tls import StrictVault
from tests.resolvers.vault_helpers import (
    APP,
    CANARY,
    REFUSED,
    Make,
    ask,
    bare,
    fields,
    leave_the_machine,
    makes_resolvers,
    paths,
)
from webhook_storage.contracts import Deadline, Found, Unavailable
from webhook_storage.errors import ConfigurationError
from webhook_storage.template import Reference
from webhook_storage_resolvers.vault import VaultResolver
from webhook_storage_resolvers.vault.client import fault_of
from webhook_storage_resolvers.vault.environment import is_set, timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNTRUSTED = Unavailable(
    "the certificate of the server is not trusted: VAULT_CACERT names the file of its CA"
)
NO_CA = Unavailable(
    "the CA cannot be read: see cacert, VAULT_CACERT, VAULT_CACERT_BYTES, VAULT_CAPATH"
)
NO_CERTIFICATE = Unavailable(
    "the client certificate cannot be used: VAULT_CLIENT_CERT and VAULT_CLIENT_KEY name PEM files "
    "that belong together, the key without a passphrase"
)
REDIRECTED = Unavailable("redirects to another server, to which the token is not sent")


@pytest.fixture(autouse=True)
def _no_vault_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    leave_the_machine(monkeypatch, tmp_path)


@pytest.fixture
def fake() -> Iterator[FakeVault]:
    """Start a fake Vault."""
    with FakeVault(token=f"{CANARY}-token") as server:
        yield server


@pytest.fixture
def make(fake: FakeVault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a maker of resolvers that have the right token."""
    monkeypatch.setenv("VAULT_TOKEN", fake.token)
    with makes_resolvers(fake) as maker:
        yield maker


@pytest.fixture
def strict() -> Iterator[StrictVault]:
    """Start a fake Vault that speaks TLS."""
    with StrictVault(token=f"{CANARY}-token") as server:
        yield server


@pytest.fixture
def secure(strict: StrictVault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a maker of resolvers that ask the server with TLS."""
    monkeypatch.setenv("VAULT_TOKEN", strict.token)
    with makes_resolvers(strict) as maker:
        yield maker


# --- where ---


@pytest.mark.parametrize("prefix", ["VAULT", "BAO"])
def test_environment_of_the_command_line(
    make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """Address and token come from where the command line has them."""
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv(f"{prefix}_ADDR", fake.url)
    monkeypatch.setenv(f"{prefix}_TOKEN", fake.token)
    resolver = make(address=None)
    assert APP == fields(ask(resolver))
    monkeypatch.setenv(f"{prefix}_TOKEN", "hvs.wrong")
    assert REFUSED == ask(resolver)


def test_agent_comes_first(make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent is asked in place of its server, and may have a token of its own."""
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:9")
    monkeypatch.setenv("VAULT_AGENT_ADDR", fake.url)
    resolver = make(address=None)
    assert APP == fields(ask(resolver))
    monkeypatch.delenv("VAULT_TOKEN")
    assert resolver.health() is None
    assert REFUSED == ask(resolver)
    assert "x-vault-token" not in fake.last.headers
    fake.auto_auth = fake.token
    assert APP == fields(ask(resolver))
    absent = "no token: set VAULT_TOKEN, or log in with 'vault login'"
    assert Unavailable(absent) == ask(make())


def test_missing_address_is_told(make: Make) -> None:
    """Without an address the store is unavailable, not empty."""
    for outcome in (
        ask(make(address=None)),
        bare(make(address=None, names="secret/flows#{name}"), "TOKEN"),
    ):
        assert Unavailable("no address: set VAULT_ADDR") == outcome
    assert "no address: set VAULT_ADDR" == make(address=None).health()


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("https://vault.example.com:8200", None),
        ("http://[::1]:8200/behind/", None),
        ("vault.example.com:8200", "the address is no URL of http or https"),
        ("unix:///run/vault.sock", "the address is no URL of http or https"),
        ("https://", "the address is no URL of http or https"),
        ("https://[::1", "the address is no URL of http or https"),
        ("https://vault:99999", "the address is no URL of http or https"),
        (
            "https://me:mine@vault",
            "the address holds a user or password, which Vault does not take",
        ),
        ("https://vault/?a=b", "the address has more than an origin and a path"),
        ("https://vault/#a", "the address has more than an origin and a path"),
    ],
)
def test_addresses(
    make: Make, monkeypatch: pytest.MonkeyPatch, address: str, fault: str | None
) -> None:
    """An address that leads nowhere is refused where it stands, and not repeated."""
    assert fault == fault_of(address)
    if fault is None:
        assert address == VaultResolver(address=address).address
        return
    with pytest.raises(ConfigurationError) as caught:
        VaultResolver(address=address)
    assert f"address: {fault}" == str(caught.value)
    monkeypatch.setenv("VAULT_ADDR", address)
    assert Unavailable(fault) == ask(make(address=None))
    assert fault == make(address=None).health()


def test_address_behind_a_path(make: Make, fake: FakeVault) -> None:
    """A server may lie below a path of another one."""
    ask(make(address=f"{fake.url}/behind/", kv_version=2))
    assert "/behind/v1/secret/data/app" == fake.last.path


@pytest.mark.parametrize("name", ["VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY", "HTTP_PROXY"])
def test_proxies(make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A proxy is asked for the server, the one that is named for Vault first."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(name, fake.url)
    assert APP == fields(ask(make(address="http://vault.test:8200")))
    assert "http://vault.test:8200/v1/secret/data/app" == fake.last.target


def test_proxy_that_is_not_meant(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that needs no proxy is asked itself, unless the proxy is one for Vault."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert APP == fields(ask(make()))
    monkeypatch.setenv("VAULT_PROXY_ADDR", "http://127.0.0.1:9")
    assert Unavailable("no connection, ProxyError") == ask(make())


# --- certificates ---


def test_certificate_is_checked(
    secure: Make, strict: StrictVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with an unknown certificate is not asked; with its CA it is."""
    assert UNTRUSTED == ask(secure())
    assert [] == strict.requests
    assert APP == fields(ask(secure(cacert=strict.ca_file)))
    monkeypatch.setenv("VAULT_CACERT", str(strict.ca_file))
    assert APP == fields(ask(secure()))


def test_authorities_by_every_variable(
    secure: Make, strict: StrictVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file, its bytes, a directory of files and OpenSSL's own variables name authorities."""
    folder = tmp_path / "authorities"
    (folder / "..data").mkdir(parents=True)
    (folder / "ca.crt").write_bytes(strict.ca_file.read_bytes())
    named = {
        "BAO_CACERT": str(strict.ca_file),
        "VAULT_CACERT_BYTES": strict.ca_file.read_text(),
        "VAULT_CAPATH": str(folder),
        "SSL_CERT_FILE": str(strict.ca_file),
    }
    for name, value in named.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert (name, APP) == (name, fields(ask(secure())))
    assert APP == fields(ask(secure(cacert=folder)))


def test_named_authorities_are_the_only_ones(
    secure: Make, strict: StrictVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is named first counts, alone."""
    with StrictVault() as other:
        monkeypatch.setenv("SSL_CERT_FILE", str(strict.ca_file))
        monkeypatch.setenv("VAULT_CAPATH", str(other.ca_file))
        assert UNTRUSTED == ask(secure())
        monkeypatch.setenv("VAULT_CACERT_BYTES", strict.ca_file.read_text())
        assert APP == fields(ask(secure()))
        monkeypatch.setenv("VAULT_CACERT", str(other.ca_file))
        assert UNTRUSTED == ask(secure())
        assert APP == fields(ask(secure(cacert=strict.ca_file)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VAULT_CACERT", "/nowhere/ca.pem"),
        ("VAULT_CACERT_BYTES", "no certificate"),
        ("VAULT_CACERT_BYTES", "kein Zertifikät"),
        ("VAULT_CAPATH", "/nowhere"),
    ],
)
def test_unreadable_authority(
    secure: Make, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """An authority that cannot be read is told, and nobody is asked without it."""
    monkeypatch.setenv(name, value)
    assert NO_CA == ask(secure())
    assert NO_CA.detail == secure().health()


@pytest.mark.parametrize("value", ["0", "false", "no", "off"])
def test_checks_stay_on(secure: Make, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """What the command line does not take for a yes is none."""
    monkeypatch.setenv("VAULT_SKIP_VERIFY", value)
    assert UNTRUSTED == ask(secure())


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "t"])
def test_checks_can_be_switched_off(
    secure: Make, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Who wants no check gets none, and the warning of the library."""
    monkeypatch.setenv("BAO_SKIP_VERIFY", value)
    with pytest.warns(InsecureRequestWarning):
        assert APP == fields(ask(secure()))


def test_name_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is reached by another name than its own is checked against its own."""
    with StrictVault(name="vault.internal") as server, makes_resolvers(server) as make:
        monkeypatch.setenv("VAULT_TOKEN", server.token)
        monkeypatch.setenv("VAULT_CACERT", str(server.ca_file))
        assert UNTRUSTED == ask(make())
        monkeypatch.setenv("VAULT_TLS_SERVER_NAME", "other.internal")
        assert UNTRUSTED == ask(make())
        monkeypatch.setenv("VAULT_TLS_SERVER_NAME", "vault.internal")
        assert APP == fields(ask(make()))


def test_certificate_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that wants a certificate gets the one that is named, with its key."""
    with StrictVault(wants_client=True) as server, makes_resolvers(server) as make:
        monkeypatch.setenv("VAULT_TOKEN", server.token)
        monkeypatch.setenv("VAULT_CACERT", str(server.ca_file))
        assert isinstance(ask(make()), Unavailable)
        monkeypatch.setenv("VAULT_CLIENT_CERT", str(server.stranger_cert))
        assert isinstance(ask(make()), Unavailable)
        assert [] == server.requests
        monkeypatch.setenv("VAULT_CLIENT_CERT", str(server.client_cert))
        monkeypatch.setenv("VAULT_CLIENT_KEY", str(server.client_key))
        assert APP == fields(ask(make()))


def test_unusable_certificate_of_the_client(
    secure: Make, strict: StrictVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is missing, another one, or locked is told, and nobody is asked."""
    monkeypatch.setenv("VAULT_CACERT", str(strict.ca_file))
    monkeypatch.setenv("VAULT_CLIENT_CERT", str(strict.client_cert))
    for key in (strict.ca_file, strict.stranger_cert, strict.locked_key, "/nowhere"):
        monkeypatch.setenv("VAULT_CLIENT_KEY", str(key))
        assert NO_CERTIFICATE == ask(secure())
    assert [] == strict.requests


def test_no_certificate_is_read_without_tls(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without TLS does not fail for the want of a CA."""
    monkeypatch.setenv("VAULT_CACERT", "/nowhere/ca.pem")
    assert APP == fields(ask(make()))


# --- switches ---


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 60), ("5", 5), ("5s", 5), ("1m30s", 90), ("200ms", 0.2), ("nonsense", 60)],
)
def test_timeout_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    """The timeout is a number of seconds or a duration."""
    monkeypatch.setenv("VAULT_CLIENT_TIMEOUT", text)
    assert seconds == timeout()


def test_timeout_is_kept(make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing is waited for no longer than that."""
    monkeypatch.setenv("VAULT_CLIENT_TIMEOUT", "50ms")
    fake.hang(path="/v1/")
    reference = Reference("secret/app", "vault")
    outcome = make().resolve([reference], Deadline(3600))[reference]
    assert Unavailable("no connection, ReadTimeout") == outcome


@pytest.mark.parametrize(("text", "expected"), [("T", True), ("1", True), ("yes", False)])
def test_switches(monkeypatch: pytest.MonkeyPatch, text: str, expected: bool) -> None:  # noqa: FBT001
    """A switch is on for the words of the command line only."""
    monkeypatch.setenv("BAO_SKIP_VERIFY", text)
    assert expected is is_set("SKIP_VERIFY")


# --- trouble ---


def test_missing_library_names_the_extra(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hvac the outcome says what to install."""
    monkeypatch.setitem(sys.modules, "hvac", None)
    told = "Vault needs hvac, which is not installed: pip install 'webhook-storage[vault]'"
    assert Unavailable(told) == ask(make())
    assert told == make().health()


def test_server_that_is_not_there(make: Make) -> None:
    """Nobody listening is unavailable, for questions and for the health."""
    with FakeVault() as gone:
        address = gone.url
    resolver = make(address=address)
    assert Unavailable("no connection, ConnectionError") == ask(resolver)
    assert "no connection, ConnectionError" == resolver.health()


@pytest.mark.parametrize("path", ["/v1/sys/internal/", "/v1/secret/"])
def test_token_is_not_sent_on(make: Make, fake: FakeVault, path: str) -> None:
    """A redirect is not followed, so that the token stays with the server it is for."""
    with FakeVault() as elsewhere:
        fake.redirect(elsewhere.url, path=path)
        assert REDIRECTED == ask(make())
        assert [] == elsewhere.requests


def test_standby_is_not_followed(make: Make, fake: FakeVault) -> None:
    """A standby that sends everybody to its leader is one that does not answer."""
    with FakeVault(token=fake.token) as leader:
        leader.put("secret/app", {"a": "b"})
        fake.leader = leader.url
        resolver = make()
        assert REDIRECTED == ask(resolver)
        assert resolver.health() is None
        assert [] == leader.requests
        assert '{"a":"b"}' == fields(ask(make(address=leader.url)))


def test_netrc_adds_nothing(
    make: Make, fake: FakeVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A netrc file's password for the host is not sent."""
    file = tmp_path / ".netrc"
    file.write_text("default login me password mine\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert APP == fields(ask(make()))
    assert {None} == {request.headers.get("authorization") for request in fake.requests}


def test_cookies_are_not_kept(make: Make, fake: FakeVault) -> None:
    """What a server wants to be reminded of stays with it."""
    fake.inject(json_answer(404, {"errors": []}, {"Set-Cookie": "a=b; Path=/"}), path="/v1/secret/")
    resolver = make()
    ask(resolver)
    assert isinstance(ask(resolver), Found)
    assert {None} == {request.headers.get("cookie") for request in fake.requests}


def test_odd_token_is_not_repeated(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that cannot stand in a header does not come back in the outcome."""
    monkeypatch.setenv("VAULT_TOKEN", f"{CANARY}\nline")
    assert Unavailable("no connection, InvalidHeader") == ask(make())


def test_questions_say_that_they_are_meant(make: Make, fake: FakeVault) -> None:
    """An agent that guards against forged requests wants this header."""
    ask(make())
    assert ["true", "true"] == [each.headers["x-vault-request"] for each in fake.requests]
    assert ["sys/internal/ui/mounts/secret/app", "secret/data/app"] == paths(fake)
