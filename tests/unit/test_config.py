from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from webhook_storage import Sender, Webhook
from webhook_storage.config import Config, load
from webhook_storage.contracts import Resolver
from webhook_storage.errors import ConfigurationError, MissingExtraError
from webhook_storage.network import Network
from webhook_storage.retry import RetryPolicy
from webhook_storage.template import Reference, parse
from webhook_storage.testing import FakeTransport, canary, find_leaks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from webhook_storage.contracts import Deadline, Outcome


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the configuration is written."""
    return tmp_path / "webhook-storage.toml"


def reference(text: str) -> Reference:
    """Return the reference of a placeholder."""
    return parse(text).references()[0]


def outcome(config: Config, text: str) -> str:
    """Return in a word what the configured resolvers make of a placeholder."""
    return config.resolution().explain([reference(text)])[0].outcome


def test_without_a_file_the_defaults_hold() -> None:
    """Nothing is looked for when no file is named."""
    assert Config() == load()
    assert ("env", "dotenv", "directory") == tuple(load().chain)


def test_named_by_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variable names the file; an argument comes before it."""
    file.write_text('[secrets]\nchain = ["env"]\n')
    other = file.with_name("other.toml")
    other.write_text('[secrets]\nchain = ["dotenv"]\n')
    monkeypatch.setenv("WEBHOOK_STORAGE_CONFIG", str(file))
    assert ("env",) == load().chain
    assert ("dotenv",) == load(other).chain


def test_everything(file: Path) -> None:
    """Every setting arrives where it belongs."""
    file.write_text("""
        [secrets]
        chain = ["env", "directory"]
        ttl = 60
        negative_ttl = 0.5
        deadline = 3
        on_unavailable = "next"
        [secrets.env]
        prefix = "APP_"
        [secrets.directory]
        paths = ["/nowhere"]
        [retry]
        attempts = 2
        max_delay = 1.5
    """)
    config = load(file)
    assert ("env", "directory") == config.chain
    assert {"env": {"prefix": "APP_"}, "directory": {"paths": ["/nowhere"]}} == config.resolvers
    assert RetryPolicy(attempts=2, max_delay=1.5) == config.retry
    assert "<Resolution env, directory>" == repr(config.resolution())


def test_resolver_takes_its_settings(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver is asked as its table says."""
    monkeypatch.setenv("APP_TOKEN", canary())
    file.write_text('[secrets]\nchain = ["env"]\n[secrets.env]\nprefix = "APP_"\n')
    assert "found" == outcome(load(file), "${TOKEN}")
    file.write_text('[secrets]\nchain = ["env"]\n')
    assert "not found" == outcome(load(file), "${TOKEN}")


def test_beside_the_chain(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver with a table and not in the chain answers to its scheme only."""
    monkeypatch.setenv("TOKEN", canary())
    file.write_text('[secrets]\nchain = ["dotenv"]\n[secrets.env]\n')
    config = load(file)
    assert "not found" == outcome(config, "${TOKEN}")
    assert "found" == outcome(config, "${env:TOKEN}")


def test_instances(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several resolvers of one kind are told apart by instance, in the chain and beside it."""
    monkeypatch.setenv("ONE_TOKEN", canary())
    file.write_text("""
        [secrets]
        chain = ["env://one"]
        [secrets."env://one"]
        prefix = "ONE_"
        [secrets."env://two"]
        prefix = "TWO_"
    """)
    config = load(file)
    assert "found" == outcome(config, "${TOKEN}")
    assert "found" == outcome(config, "${env://one/TOKEN}")
    assert "not found" == outcome(config, "${env://two/TOKEN}")


@pytest.mark.parametrize(
    ("text", "path", "meant"),
    [
        ("[secret]", "secret", "secrets"),
        ("[secrets]\nchian = []", "secrets.chian", "chain"),
        ("[secrets.env]\nprefx = 1", "secrets.env.prefx", "prefix"),
        ("[secrets.dotnev]", "secrets.dotnev", "dotenv"),
        ('[secrets]\nchain = ["dotnev"]', "secrets.chain", "dotenv"),
        ("[retry]\natempts = 1", "retry.atempts", "attempts"),
    ],
)
def test_unknown_names(file: Path, text: str, path: str, meant: str) -> None:
    """What is unknown is told with its dotted path and the nearest known name."""
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=f'Did you mean "{meant}"') as caught:
        load(file)
    assert path == caught.value.path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("secrets = 1", "secrets"),
        ("retry = []", "retry"),
        ('[secrets]\nchain = "env"', "secrets.chain"),
        ("[secrets]\nchain = [1]", "secrets.chain"),
        ("[secrets]\nenv = 1", "secrets.env"),
        ('[secrets]\nttl = "1"', "secrets.ttl"),
        ("[secrets]\nttl = true", "secrets.ttl"),
        ("[secrets]\nttl = -1", "secrets.ttl"),
        ("[secrets]\ndeadline = inf", "secrets.deadline"),
        ("[secrets]\ndeadline = nan", "secrets.deadline"),
        ('[secrets]\non_forbidden = "ignore"', "secrets.on_forbidden"),
        ("[retry]\nattempts = 0", "retry.attempts"),
        ("[retry]\nattempts = 1.5", "retry.attempts"),
        ("[retry]\ndeadline = []", "retry.deadline"),
    ],
)
def test_wrong_values(file: Path, text: str, path: str) -> None:
    """A value of another kind is told with its dotted path."""
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert path == caught.value.path
    assert str(caught.value).startswith(f"{path}: ")


def test_settings_that_a_resolver_refuses(file: Path) -> None:
    """A resolver's own complaint gets the path of its table."""
    file.write_text('[secrets]\nchain = ["vault"]\n[secrets.vault]\nnames = "no place"\n')
    with pytest.raises(ConfigurationError) as caught:
        load(file).resolution()
    assert "secrets.vault.names" == caught.value.path


def test_settings_of_another_type(file: Path) -> None:
    """Whatever a resolver raises is told by type, without the value and without the original."""
    value = canary()
    file.write_text(f"[secrets.doppler]\nnames = 1\nhost = '{value}'\n")
    with pytest.raises(ConfigurationError, match="TypeError") as caught:
        load(file).resolution()
    assert "secrets.doppler" == caught.value.path
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)
    assert [] == find_leaks(str(caught.value), value)


def test_code_cannot_be_named(file: Path) -> None:
    """A dotted name of a class is no resolver: only what is installed as one can be named."""
    file.write_text('[secrets]\nchain = ["os:system"]\n')
    with pytest.raises(ConfigurationError, match="no resolver"):
        load(file)


def test_no_toml(file: Path) -> None:
    """What is no TOML is told by its place, without its text."""
    value = canary()
    file.write_text(f"[secrets]\ntoken = {value}\n")
    with pytest.raises(ConfigurationError, match="line 2") as caught:
        load(file)
    assert [] == find_leaks(str(caught.value), value)


def test_unreadable(file: Path) -> None:
    """A file that is not there, is a directory or no text is told as such."""
    with pytest.raises(ConfigurationError, match="no configuration file"):
        load(file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(file.parent)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(file)


class Needy(Resolver):
    """Needs a library that is not installed."""

    scheme: ClassVar[str] = "env"

    def __init__(self) -> None:
        message = "needs a library"
        raise MissingExtraError(message, extra="vault")

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("installed", "error"), [(Needy, MissingExtraError), (dict, ConfigurationError)]
)
def test_what_is_installed_is_no_good(
    monkeypatch: pytest.MonkeyPatch, installed: type, error: type[Exception]
) -> None:
    """A resolver without its library says which extra to install; what is none is refused."""
    monkeypatch.setattr("webhook_storage.registry.load", lambda group, name: installed)
    with pytest.raises(error):
        Config(chain=("env",)).resolution()


# --- policy ---


def test_policy(file: Path) -> None:
    """What definitions may do stands in the file, in its order."""
    file.write_text("""
        [secrets]
        allow = ["FILES_*", "vault:secret/app"]
        [secrets.hosts]
        "FILES_*" = ["files.example.com"]
        "*" = []
    """)
    policy = load(file).resolution().policy
    assert ("FILES_*", "vault:secret/app") == policy.allow
    assert [("FILES_*", ("files.example.com",)), ("*", ())] == list(policy.hosts.items())


def test_without_a_policy_everything_is_allowed(file: Path) -> None:
    """An empty list is a policy, none is none."""
    file.write_text("[secrets]\nallow = []\n")
    assert () == load(file).resolution().policy.allow
    assert None is load().resolution().policy.allow


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('[secrets]\nallow = "FILES_*"', "secrets.allow"),
        ("[secrets]\nallow = [1]", "secrets.allow"),
        ('[secrets.hosts]\nTOKEN = "files.example.com"', "secrets.hosts.TOKEN"),
        ("[secrets]\nhosts = []", "secrets.hosts"),
    ],
)
def test_a_policy_that_is_none(file: Path, text: str, path: str) -> None:
    """A text in place of a list is told with its path."""
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert path == caught.value.path


# --- the environment ---


def test_the_environment_says_what_a_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting has a variable; text needs no quotes, a list of words no brackets."""
    for name, text in {
        "SECRETS__CHAIN": "env, vault ,vault://prod",
        "SECRETS__ALLOW": '["A,B", "C"]',
        "SECRETS__TTL": "60",
        "SECRETS__STALE_IF_ERROR": "3600",
        "SECRETS__ON_FORBIDDEN": "next",
        "SECRETS__HOSTS": '{ "TOKEN" = ["files.example.com"] }',
        "SECRETS__ENV__PREFIX": "APP_",
        "SECRETS__VAULT__ADDRESS": "http://127.0.0.1:8200",
        "SECRETS__VAULT__PROD__ADDRESS": '"http://127.0.0.1:8201"',
        "RETRY__ATTEMPTS": "2",
    }.items():
        monkeypatch.setenv(f"WEBHOOK_STORAGE_{name}", text)
    config = load()
    assert ("env", "vault", "vault://prod") == config.chain
    assert ("A,B", "C") == config.policy.allow
    assert {"TOKEN": ("files.example.com",)} == config.policy.hosts
    assert {"ttl": 60, "stale_if_error": 3600, "on_forbidden": "next"} == config.settings
    assert {
        "env": {"prefix": "APP_"},
        "vault": {"address": "http://127.0.0.1:8200"},
        "vault://prod": {"address": "http://127.0.0.1:8201"},
    } == config.resolvers
    assert RetryPolicy(attempts=2) == config.retry
    assert "<Resolution env, vault, vault://prod>" == repr(config.resolution())


def test_the_environment_wins(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable changes one setting of the file and leaves the others."""
    file.write_text('[secrets]\nttl = 1\ndeadline = 2\n[secrets.env]\nprefix = "A_"\n')
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__TTL", "3")
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__ENV__ALLOW", '["A_B"]')
    config = load(file)
    assert {"ttl": 3, "deadline": 2} == config.settings
    assert {"env": {"prefix": "A_", "allow": ["A_B"]}} == config.resolvers


@pytest.mark.parametrize(
    "name",
    ["SECRET__TTL", "SECRETS__A__B__C__D", "RETRY__A__B", "SECRETS__", "SECRETS_ALLOW", "RETRY_X"],
)
def test_a_variable_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A misspelled variable is not passed over in silence."""
    monkeypatch.setenv(f"WEBHOOK_STORAGE_{name}", "1")
    with pytest.raises(ConfigurationError):
        load()


def test_other_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable without two underscores, such as that of the file, is no setting."""
    monkeypatch.setenv("WEBHOOK_STORAGE_PASSWORD", "1")
    assert Config() == load()


def test_text_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a resolver wants text, digits are text, and a list is a list where it wants one."""
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__DOPPLER__PROJECT", "1_000")
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__DOPPLER__CONFIG", '"2024"')
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__VAULT__KV_VERSION", "2")
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__ENV__ALLOW", '["A"]')
    assert {
        "doppler": {"project": "1_000", "config": "2024"},
        "vault": {"kv_version": 2},
        "env": {"allow": ["A"]},
    } == load().resolvers


def test_a_value_that_is_too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of brackets are no number of seconds, and nothing worse."""
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__TTL", "[" * 5000)
    with pytest.raises(ConfigurationError, match="number of seconds"):
        load()


def test_a_value_is_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line break in a variable does not bring in another setting."""
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__TTL", "1\nother = 2")
    with pytest.raises(ConfigurationError, match="number of seconds") as caught:
        load()
    assert "secrets.ttl" == caught.value.path


# --- the default sender ---


def test_a_sender_is_made_as_the_configuration_says(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not given to a sender is as the process's configuration says."""
    file.write_text('[secrets]\nchain = ["env"]\n[retry]\nattempts = 7\n')
    monkeypatch.setenv("WEBHOOK_STORAGE_CONFIG", str(file))
    assert "<Resolution env>" == repr(Sender().resolution)
    sender = Sender.from_config()
    assert ("<Resolution env>", RetryPolicy(attempts=7)) == (repr(sender.resolution), sender._retry)


def test_a_wrong_configuration_stops_the_default_sender(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent by a process whose configuration cannot be read."""
    monkeypatch.setenv("WEBHOOK_STORAGE_CONFIG", str(file))
    transport = FakeTransport(lambda _: (200, {}, b""))
    fetch = {"url": "https://files.test/f"}
    with Sender(transport=transport), pytest.raises(ConfigurationError, match="no configuration"):
        Webhook(fetch, "PUT", fetch, "GET").get()
    assert [] == transport.requests


# --- the network ----------------------------------------------------------------------------------


def test_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where requests may go is said in a table, or by the environment, which wins."""
    path = tmp_path / "config.toml"
    path.write_text('[network]\nplain_http = ["*.lan"]\nprivate = "deny"\n')
    assert Network(plain_http=["*.lan"], private="deny") == load(path).network
    monkeypatch.setenv("WEBHOOK_STORAGE_NETWORK__PRIVATE", "allow")
    monkeypatch.setenv("WEBHOOK_STORAGE_NETWORK__PLAIN_HTTP", "a.lan, b.lan")
    assert Network(plain_http=["a.lan", "b.lan"]) == load(path).network
    assert load(path).network == Sender.from_config(path).network


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('privat = "deny"', "network.privat"),
        ('private = "maybe"', "network.private"),
        ('plain_http = "*.lan"', "network.plain_http"),
    ],
)
def test_network_that_is_wrong(tmp_path: Path, text: str, where: str) -> None:
    """A word that is unknown is an error with its place, so that no rule is lost by a slip."""
    path = tmp_path / "config.toml"
    path.write_text(f"[network]\n{text}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert where == caught.value.path
