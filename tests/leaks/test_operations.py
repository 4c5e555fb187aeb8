"""What one request of an operation has sent, the answer to another may echo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sending.support import caught
from webhook_storage import RetryPolicy, Sender, Webhook
from webhook_storage.answer import header
from webhook_storage.contracts import Request, Response, Wanted
from webhook_storage.errors import AuthenticationError, PermissionDeniedError
from webhook_storage.testing import FakeTransport, canary, find_leaks
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from webhook_storage.contracts import Exchange
    from webhook_storage.secret import SecretValue

ORIGIN = "https://files.example.com"


def storage() -> Webhook:
    """Return a storage that stores by one credential and fetches by another."""
    url = f"{ORIGIN}/${{artifact.key}}"
    return Webhook(
        {"url": url, "headers": {"X-Key": "${WRITE}"}},
        "PUT",
        {"url": url, "headers": {"X-Key": "${READ}"}},
        "GET",
    )


def test_the_version_of_a_fetch_echoes_the_secret_of_the_store() -> None:
    """It does not get into the receipt."""
    write = canary()

    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        return (201, {}, b"") if request.method == "PUT" else (200, {"ETag": f'"{write}"'}, b"x")

    secrets = [MappingResolver({"WRITE": write, "READ": "another value"})]
    with Sender(secrets=secrets, transport=FakeTransport(answer)):
        receipt = storage().put(b"x", "k", verify="after")
    assert (None, []) == (receipt.version, find_leaks(receipt.model_dump_json(), write))


def test_the_refusal_of_a_fetch_echoes_the_secret_of_the_store() -> None:
    """It does not get into the error."""
    write = canary()

    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        return (201, {}, b"") if request.method == "PUT" else (403, {}, f"saw {write}".encode())

    secrets = [MappingResolver({"WRITE": write, "READ": "another value"})]
    with Sender(secrets=secrets, transport=FakeTransport(answer)):
        error = caught(lambda: storage().put(b"x", "k", verify="after"))
    assert (PermissionDeniedError, []) == (type(error), find_leaks(str(error), write))


def test_a_refusal_names_the_credential_that_was_renewed() -> None:
    """The old value is masked like the new one."""
    old, new = canary(), canary()
    values = iter([old, new, new])

    class Renewed(MappingResolver):
        def resolve(self, references: Any, deadline: Any) -> Any:
            known = MappingResolver({"READ": next(values)})
            return known.resolve(references, deadline)

    service = FakeTransport(lambda _: (401, {}, f"{old} has expired".encode()))
    with Sender(secrets=[Renewed({})], transport=service):
        error = caught(lambda: storage().get("k"))
    assert (AuthenticationError, []) == (type(error), find_leaks(str(error), old))


@pytest.mark.parametrize("status", [200, 403])
def test_an_echo_of_a_secret_that_an_exchange_got_for_itself(status: int) -> None:
    """What was wanted, and put into a request by the exchange, is known as well."""
    value = canary()

    def exchange() -> Exchange[str | None]:
        keys: dict[str, SecretValue] = yield Wanted({"key": "${READ}"})
        request = Request(method="GET", url=f"{ORIGIN}/x", headers={"X-Key": keys["key"].reveal()})
        response: Response = yield request
        return header(response, "etag")

    service = FakeTransport(lambda _: (status, {"ETag": value}, f"bad key {value}".encode()))
    secrets = [MappingResolver({"READ": value})]
    sender = Sender(secrets=secrets, transport=service, retry=RetryPolicy(attempts=1))
    with sender:
        if status == 200:
            assert sender.run(exchange()) is None
        else:
            error = caught(lambda: sender.run(exchange()))
            assert (PermissionDeniedError, []) == (type(error), find_leaks(str(error), value))
