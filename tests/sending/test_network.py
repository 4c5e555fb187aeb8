"""Where a process may send: nothing leaves that the network's rules forbid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sending.support import caught, plain
from webhook_storage import RetryPolicy, Sender, Webhook
from webhook_storage.errors import ConfigurationError
from webhook_storage.network import Network
from webhook_storage.testing import FakeTransport
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from pathlib import Path

UNENCRYPTED = "would go unencrypted to another machine"
PLAIN = "http://files.example.com"


def fine(_: Any) -> tuple[int, dict[str, str], bytes]:
    """Answer that all is well."""
    return 200, {}, b"content"


def outcome(storage: Webhook, **options: Any) -> tuple[str, int]:
    """Return what a fetch comes to, and how many requests were sent."""
    service = FakeTransport(fine)
    resolver = MappingResolver({"HOST": PLAIN, "TOKEN": "t0ken-value"})
    with Sender(secrets=[resolver], transport=service, retry=RetryPolicy(), **options):
        try:
            found = storage.get("k").decode()
        except ConfigurationError as error:
            found = f"{error} ({error.hint})"
    assert "t0ken-value" not in found
    return found, len(service.requests)


@pytest.mark.parametrize(
    ("storage", "network"),
    [
        (plain("https://files.example.com"), Network()),
        (plain("http://localhost:1"), Network()),
        (plain("http://127.0.0.1:1"), Network()),
        (plain(PLAIN, with_allow_http=True), Network()),
        (plain(PLAIN), Network(plain_http=["*.example.com"])),
    ],
    ids=["https", "localhost", "loopback", "the storage says so", "the process says so"],
)
def test_what_may_go(storage: Webhook, network: Network) -> None:
    """TLS, this machine, and what somebody has allowed."""
    assert ("content", 1) == outcome(storage, network=network)


@pytest.mark.parametrize(
    "storage",
    [plain(PLAIN), plain("${HOST}"), plain(PLAIN, headers={"X-Key": "${TOKEN}"})],
    ids=["an address", "an address that is a secret", "with a credential"],
)
def test_http_to_another_machine(storage: Webhook) -> None:
    """Nothing is sent, and the message says what can be done."""
    message, sent = outcome(storage, network=Network(plain_http=["*.example.org"]))
    assert (True, 0) == (UNENCRYPTED in message, sent)


def test_a_transport_that_cannot_guard_is_given_nothing() -> None:
    """Where private addresses are denied, who cannot tell them is not asked."""
    message, sent = outcome(plain("https://files.example.com"), network=Network(private="deny"))
    assert (True, 0) == ("cannot tell a private address" in message, sent)


def test_no_file_of_this_machine_where_private_addresses_are_denied(tmp_path: Path) -> None:
    """A definition of somebody else's does not read files; without the rule it does."""
    (tmp_path / "k").write_bytes(b"of this machine")
    storage = plain(tmp_path.as_uri())
    with Sender(secrets=[], network=Network()):
        assert storage.get("k") == b"of this machine"
    with Sender(secrets=[], network=Network(private="deny")):
        error = caught(lambda: storage.get("k"))
    assert (ConfigurationError, True) == (type(error), "no server of http" in str(error))


def test_a_preview_is_refused_as_the_request_would_be() -> None:
    """What cannot be sent is not shown as if it could."""
    with Sender(secrets=[], network=Network()) as sender:
        error = caught(lambda: sender.preview(plain(PLAIN).exchange("fetch", "k")))
    assert (ConfigurationError, True) == (type(error), UNENCRYPTED in str(error))
