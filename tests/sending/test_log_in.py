"""What an exchange is told by a log-in, before it knows where to send its requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer
from tests.fakes.keystone import PASSWORD, PROJECT, USER, FakeKeystone
from tests.fakes.oauth import CLIENT, SECRET, TokenService
from tests.sending.support import HTTPX, HTTPX_ASYNC, Mode, caught
from webhook_storage import Sender
from webhook_storage.auth import AuthModel, find
from webhook_storage.contracts import (
    Access,
    Exchange,
    LogIn,
    Request,
    Response,
    Together,
    WireRequest,
)
from webhook_storage.errors import AuthenticationError, SecretForbiddenError
from webhook_storage.policy import Policy
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterator

modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)
SECRETS = {"P": PASSWORD}


@pytest.fixture
def fake() -> Iterator[FakeKeystone]:
    """Start a fake Keystone."""
    with FakeKeystone() as server:
        yield server


def keystone(fake: FakeKeystone) -> Any:
    """Return who logs in there."""
    fields = {"username": USER, "password": "${P}", "project_name": PROJECT}
    return find({"type": "keystone", "auth_url": fake.url, **fields})


def told(auth: Any) -> Exchange[Any]:
    """Ask for what the log-in tells."""
    return (yield LogIn(auth))


def carry_out(mode: Mode, sender: Sender, exchange: Exchange[Any]) -> Any:
    """Carry an exchange out, in this thread or in an event loop."""
    return asyncio.run(sender.arun(exchange)) if mode.is_async else sender.run(exchange)


@modes
def test_the_log_in_is_that_of_the_requests(mode: Mode, fake: FakeKeystone) -> None:
    """It is made once, for all that ask at the same time too."""

    def exchange() -> Exchange[list[str]]:
        places = yield Together([told(keystone(fake)) for _ in range(8)], limit=8)
        response: Response = yield Request(
            method="PUT", url=f"{fake.storage_url}/c/a", auth=keystone(fake)
        )
        assert 201 == response.status
        return [place["storage_url"] for place in places]

    with mode.sending(SECRETS) as sender:
        assert [fake.storage_url] * 8 == carry_out(mode, sender, exchange())
    assert 1 == len(fake.given)


@modes
def test_a_refused_log_in_is_told_to_the_exchange(mode: Mode, fake: FakeKeystone) -> None:
    """And to nobody is a token given."""
    with mode.sending({"P": "another"}) as sender:
        error = caught(lambda: carry_out(mode, sender, told(keystone(fake))))
    assert (AuthenticationError, []) == (type(error), fake.given)


@modes
def test_a_kind_that_tells_nothing_is_asked_for_nothing(mode: Mode) -> None:
    """What it says is empty, and it is not sent."""
    with mode.sending() as sender:
        assert {} == carry_out(mode, sender, told(find({"type": "bearer", "token": "${T}"})))


def test_a_preview_logs_nobody_in(fake: FakeKeystone) -> None:
    """The exchange is told that nothing is known."""
    seen: list[Any] = []

    def exchange() -> Exchange[None]:
        seen.append((yield LogIn(keystone(fake))))
        yield Request(method="GET", url="https://files.example.com/a")

    with HTTPX.sending(SECRETS) as sender:
        sender.preview(exchange())
    assert ([None], []) == (seen, fake.requests)


class Nested(AuthModel):
    """Logs in at a service that wants an access token for it."""

    type: str = "nested"
    url: str
    inner: Any

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:
        """Get a ticket."""
        response: Response = yield Request(
            method="GET", url=f"{self.url}/ticket", auth=self.inner, returns=frozenset({404})
        )
        assert 404 == response.status
        return Access(secrets={"ticket": SecretValue("of this test")}, lifetime=60.0)

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the ticket."""
        return wire.with_headers({"Authorization": f"Ticket {access.secrets['ticket'].reveal()}"})


@modes
def test_a_log_in_by_a_log_in_goes_no_further(mode: Mode) -> None:
    """What was made with what was made with a secret goes where that secret may go."""

    def exchange(url: str, auth: Any) -> Exchange[int]:
        request = Request(method="GET", url=f"{url}/a", auth=auth, returns=frozenset({404}))
        response: Response = yield request
        return response.status

    with TokenService() as service, FileService() as elsewhere:
        fields = {"client_id": CLIENT, "client_secret": "${S}", "token_url": service.token_url}
        auth = Nested(url=service.url, inner=find({"type": "oauth2_client_credentials", **fields}))
        policy = Policy(hosts={"*": [f"127.0.0.1:{service.port}"]})
        chain = Resolution([MappingResolver({"S": SECRET})], policy=policy)
        service.inject(Answer(404), path="/a")
        with Sender(secrets=chain, transport=mode.transport()) as sender:
            assert 404 == carry_out(mode, sender, exchange(service.url, auth))
            error = caught(lambda: carry_out(mode, sender, exchange(elsewhere.url, auth)))
        assert isinstance(error, SecretForbiddenError)
        assert [] == elsewhere.requests
        assert "Ticket of this test" == service.last.headers["authorization"]
