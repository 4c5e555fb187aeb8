"""What a preset of somebody else puts into an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.files import FileService
from tests.fakes.http import text_answer
from webhook_storage import Sender, Webhook
from webhook_storage.contracts import Request
from webhook_storage.errors import AuthenticationError, ConflictError
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from webhook_storage.contracts import Exchange

CANARY = "CANARY/of+this test"


def careless(url: str) -> Exchange[None]:
    """Show in an error what the service answered, as it came."""
    response = yield Request(
        method="GET", url=url, headers={"X-Key": "${KEY}"}, returns=frozenset({409})
    )
    raise ConflictError(f"it said {response.body.decode()}", hint=response.body.decode())


def test_an_echo_in_an_error_of_an_exchange_is_masked() -> None:
    """A preset that shows the service's answer does not show the secret in it."""
    with FileService() as service, Sender(secrets=[MappingResolver({"KEY": CANARY})]) as sender:
        service.inject(text_answer(409, f"no {CANARY}, no {CANARY.encode()!r}"))
        with pytest.raises(ConflictError, match="it said no") as caught:
            sender.run(careless(service.url))

    assert "CANARY" not in f"{caught.value} {caught.value.hint}"
    assert CANARY == service.last.headers["x-key"]


def test_our_own_words_are_not_taken_for_a_short_secret() -> None:
    """A secret that is an everyday word does not blacken an error that never held it."""
    with (
        FileService(token="another") as service,
        Sender(secrets=[MappingResolver({"KEY": "wrong"})]),
    ):
        place = {"url": f"{service.url}/k", "headers": {"Authorization": "Bearer ${KEY}"}}
        with pytest.raises(AuthenticationError) as caught:
            Webhook(place, "PUT", place, "GET").get()

    assert "missing, wrong or expired" in str(caught.value.hint)
