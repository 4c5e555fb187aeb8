"""Where a process may send: nothing leaves that the network's rules forbid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.files import FileService
from tests.sending.support import caught, plain
from webhook_storage import RetryPolicy, Sender, Webhook
from webhook_storage.errors import ConfigurationError
from webhook_storage.network import Network
from webhook_storage.testing import FakeTransport
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage.transport.requests import RequestsTransport
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from pathlib import Path

    from webhook_storage.contracts import Transport

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


@pytest.mark.parametrize(
    "proxy", ["192.0.2.2:1", "//192.0.2.2:1", "http://192.0.2.2:1", "socks5://192.0.2.2:1"]
)
def test_a_proxy_elsewhere_reads_what_is_not_encrypted(proxy: str) -> None:
    """What is for this machine does not leave it unencrypted by way of a proxy."""
    storage = plain("http://localhost:1", proxies={"http": proxy})
    message, sent = outcome(storage, network=Network())
    assert (True, 0) == (message.startswith("the proxy of GET"), sent)


def test_a_proxy_on_this_machine_may_read_it() -> None:
    """The twin: nothing leaves the machine."""
    storage = plain("http://localhost:1", proxies={"http": "127.0.0.1:2"})
    assert ("content", 1) == outcome(storage, network=Network())


@pytest.mark.parametrize("transport", [HttpxTransport, RequestsTransport])
def test_a_proxy_of_the_environment_gets_nothing_that_is_for_this_machine(
    transport: type[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is connected to directly, whatever NO_PROXY says."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with (
        FileService() as service,
        Sender(secrets=[], transport=transport(), retry=RetryPolicy(attempts=1)),
    ):
        storage = plain(service.url)
        storage.put(b"content", "k")
        assert storage.get("k") == b"content"
