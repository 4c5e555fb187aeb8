"""Credentials that libraries find on this machine are under the policy of the process, too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sending.support import ALL_MODES, Mode, caught
from webhook_storage import Sender, Webhook
from webhook_storage.errors import AuthenticationError, SecretForbiddenError
from webhook_storage.policy import Policy
from webhook_storage.resolution import Resolution
from webhook_storage.testing import FakeTransport
from webhook_storage_resolvers.mapping import MappingResolver

ID, KEY = "AKIDOFTHISMACHINE", "the key of this machine"
NAMED: dict[str, dict[str, Any]] = {
    "auth:google": {"type": "google"},
    "auth:entra": {"type": "entra", "credential": "environment"},
    "auth:aws": {"type": "aws_sigv4", "region": "eu-west-1"},
}
modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)


def storage(auth: dict[str, Any]) -> Webhook:
    """Return a storage whose requests are sent by somebody."""
    place = {"url": "https://files.example.com/${artifact.key}", "auth": auth}
    return Webhook(place, "PUT", place, "GET")


def sending(policy: Policy) -> tuple[Sender, FakeTransport]:
    """Return a sender with that policy, whose service takes everything."""
    transport = FakeTransport(lambda _: (200, {}, b""))
    secrets = Resolution([MappingResolver({"ID": ID, "KEY": KEY})], policy=policy)
    return Sender(secrets=secrets, transport=transport), transport


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no library find credentials, and none look for them elsewhere."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("allow", [["FILES_*"], ["*"], []], ids=["FILES", "names", "nothing"])
@pytest.mark.parametrize("name", NAMED)
def test_who_is_not_allowed_is_not_asked(name: str, allow: list[str]) -> None:
    """A pattern of bare names does not stand for them."""
    sender, service = sending(Policy(allow=allow))
    with sender:
        error = caught(lambda: storage(NAMED[name]).put(b"x", "a"))
    assert isinstance(error, SecretForbiddenError)
    assert ((name,), []) == (error.names, service.requests)
    assert f'"{name}", may not be taken' in str(error)


@pytest.mark.parametrize("allow", [None, ["auth:*"]], ids=["all", "auth"])
@pytest.mark.parametrize("name", NAMED)
def test_who_is_allowed_is_asked(name: str, allow: list[str] | None) -> None:
    """The library says that there are none."""
    sender, service = sending(Policy(allow=allow))
    with sender:
        error = caught(lambda: storage(NAMED[name]).put(b"x", "a"))
    assert (AuthenticationError, []) == (type(error), service.requests)


@modes
@pytest.mark.parametrize(
    ("hosts", "sent"),
    [
        ({"auth:aws": ["*.example.com"]}, 1),
        ({"auth:aws": ["*.amazonaws.com"]}, 0),
        ({"auth:google": ["*"]}, 0),
        ({"FILES_*": ["*"]}, 0),
        ({"*": ["*"]}, 1),
    ],
)
def test_they_go_where_they_may(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, hosts: dict[str, list[str]], sent: int
) -> None:
    """A rule for hosts holds for them as for a secret with that name."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    sender, service = sending(Policy(hosts=hosts))
    with sender:
        if sent:
            mode.call(storage(NAMED["auth:aws"]), "put", b"x", "a")
        else:
            error = caught(lambda: mode.call(storage(NAMED["auth:aws"]), "put", b"x", "a"))
            assert isinstance(error, SecretForbiddenError)
            assert "would take ${auth:aws} elsewhere" in str(error)
    assert sent == len(service.requests)


def test_named_secrets_are_none_of_them() -> None:
    """Who names the keys takes no credentials of this machine."""
    sender, service = sending(Policy(allow=["ID", "KEY"], hosts={"*": ["files.example.com"]}))
    keys = {"access_key_id": "${ID}", "secret_access_key": "${KEY}"}
    with sender:
        storage({**NAMED["auth:aws"], **keys}).put(b"x", "a")
        error = caught(lambda: storage({"type": "google", "credentials": "${KEY}"}).get("a"))
    assert f"Credential={ID}/" in service.requests[0].headers["authorization"]
    assert "the credentials are not the JSON key" in str(error)
