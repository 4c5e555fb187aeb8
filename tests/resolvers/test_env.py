"""Environment variables as secrets."""

from __future__ import annotations

import os
import pickle

import pytest

from webhook_storage.contracts import Deadline, Found, Invalid, NotFound, Outcome
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage_resolvers.env import EnvResolver


def ask(resolver: EnvResolver, reference: Reference) -> Outcome:
    """Ask for one reference."""
    return resolver.resolve([reference], Deadline(1))[reference]


def test_variable_is_read_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the environment is seen at once."""
    resolver = EnvResolver()
    monkeypatch.setenv("WS_TOKEN", "first")
    assert ask(resolver, Reference("WS_TOKEN")) == Found(value=SecretValue("first"))
    monkeypatch.setenv("WS_TOKEN", "second")
    assert ask(resolver, Reference("WS_TOKEN")) == Found(value=SecretValue("second"))
    monkeypatch.delenv("WS_TOKEN")
    assert ask(resolver, Reference("WS_TOKEN")) == NotFound()


def test_empty_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set and empty is something else than not set."""
    monkeypatch.setenv("WS_TOKEN", "")
    assert ask(EnvResolver(), Reference("WS_TOKEN")) == Found(value=SecretValue(""))


def test_prefix_stands_before_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a prefix only names that have it are reached."""
    monkeypatch.setenv("APP_TOKEN", "with prefix")
    monkeypatch.setenv("OTHER", "without")
    resolver = EnvResolver(prefix="APP_")
    assert ask(resolver, Reference("TOKEN")) == Found(value=SecretValue("with prefix"))
    assert ask(resolver, Reference("OTHER")) == NotFound()


def test_names_that_are_not_allowed_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that matches no pattern is not read, though it is set."""
    monkeypatch.setenv("APP_TOKEN", "allowed")
    monkeypatch.setenv("CLOUD_KEY", "not allowed")
    resolver = EnvResolver(allow=["APP_*"])
    assert ask(resolver, Reference("APP_TOKEN")) == Found(value=SecretValue("allowed"))
    refused = ask(resolver, Reference("CLOUD_KEY", "env"))
    assert refused == NotFound("the name is not one of those allowed")


def test_allowing_nothing_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list of patterns is no absent list."""
    monkeypatch.setenv("WS_TOKEN", "value")
    assert isinstance(ask(EnvResolver(allow=[]), Reference("WS_TOKEN")), NotFound)


@pytest.mark.skipif(os.name != "posix", reason="other systems have text in their environment")
def test_bytes_that_are_no_text_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be sent is invalid, not a crash later on."""
    monkeypatch.setitem(os.environb, b"WS_TOKEN", b"caf\xe9")
    assert ask(EnvResolver(), Reference("WS_TOKEN")) == Invalid(
        "the name or its value is not UTF-8"
    )


@pytest.mark.parametrize("name", ["", "A=B", "A\0B", "\ud800"])
def test_impossible_names_are_answered(name: str) -> None:
    """No name makes the resolver raise."""
    assert isinstance(ask(EnvResolver(), Reference(name, "env")), NotFound | Invalid)


def test_options_are_refused() -> None:
    """An option that means nothing is not ignored."""
    reference = Reference("A", "env", options=(("version", "1"),))
    assert ask(EnvResolver(), reference) == Invalid("takes no options")


def test_pickle_is_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickled resolver is equal and holds no value."""
    monkeypatch.setenv("WS_TOKEN", "CANARY-env")
    resolver = EnvResolver(prefix="WS_", allow=["WS_*"])
    ask(resolver, Reference("TOKEN"))
    pickled = pickle.dumps(resolver)
    assert b"CANARY" not in pickled
    assert pickle.loads(pickled) == resolver  # noqa: S301 - made above
