"""The log-ins of Swift: what is asked, and how long what they give is good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import keystone
from tests.fakes.http import NO_ANSWER, Answer
from tests.fakes.keystone import FakeKeystone
from tests.sending.support import HTTPX
from webhook_storage.contracts import Access, Request, Response
from webhook_storage.errors import AuthenticationError, RedirectRefusedError
from webhook_storage_presets.swift import Keystone, Swift, TempAuth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MORE: dict[str, Any] = {"verify": "/a/ca.pem", "allow_http": True, "timeout": (1.0, 2.0)}
BY_KEYSTONE = Keystone(
    auth_url="https://keystone.example.com/v3/", user_id="u", password="${P}", **MORE
)
BY_TEMP_AUTH = TempAuth(auth_url="https://swift.example.com/auth", user="a:b", key="${K}", **MORE)


def log_in(
    auth: Keystone | TempAuth, headers: Mapping[str, str], said: object = None
) -> tuple[Request, Access]:
    """Return what is asked, and what comes of an answer."""
    exchange = auth.log_in(Request(method="GET", url=""), "")
    request: Any = next(exchange)
    try:
        exchange.send(Response(status=201, headers=headers, body=json.dumps(said).encode()))
    except StopIteration as stop:
        return request, stop.value
    raise AssertionError("it wants more")


@pytest.mark.parametrize(
    ("issued", "expires", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:05:05.500000Z", 60.5),
        ("2026-01-02T03:04:05Z", "2026-01-02T05:04:05+02:00", 1.0),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:00Z", 1.0),
        ("2026-01-02T03:04:05Z", "9999-01-02T03:04:05Z", 10.0**7),
        ("2026-01-02T03:04:05", "2026-01-02T03:05:05Z", 300.0),
        ("2026-01-02T03:04:05Z", None, 300.0),
        (1, "tomorrow", 300.0),
    ],
)
def test_a_token_of_keystone_lives_between_two_times(
    issued: object, expires: object, expected: float
) -> None:
    """Of the service's clock; where it does not tell them it is asked again soon."""
    said = {"token": {"issued_at": issued, "expires_at": expires}}
    _, access = log_in(BY_KEYSTONE, {"x-subject-token": "good"}, said)
    assert expected == access.lifetime


@pytest.mark.parametrize(
    ("text", "expected"), [("100", 100.0), ("0", 1.0), ("9" * 12, 10.0**7), ("x", None), ("", None)]
)
def test_a_token_of_temp_auth_lives_for_some_seconds(text: str, expected: float | None) -> None:
    """Or until it is refused."""
    headers = {"x-auth-token": "good", "x-auth-token-expires": text}
    assert expected == log_in(BY_TEMP_AUTH, headers)[1].lifetime


@pytest.mark.parametrize(
    ("auth", "header", "url"),
    [
        (BY_KEYSTONE, "x-subject-token", "https://keystone.example.com/v3/auth/tokens"),
        (BY_TEMP_AUTH, "x-auth-token", "https://swift.example.com/auth"),
    ],
    ids=["keystone", "temp auth"],
)
def test_a_log_in_is_sent_as_its_definition_says(
    auth: Keystone | TempAuth, header: str, url: str
) -> None:
    """To where it says, with its own trust and patience."""
    request, _ = log_in(auth, {header: "good"})
    found = {name: getattr(request, name) for name in MORE}
    assert (url, MORE) == (request.url, found)


@pytest.fixture
def fake() -> Iterator[FakeKeystone]:
    """Start a fake Keystone."""
    with FakeKeystone() as server:
        yield server


def at(fake: FakeKeystone) -> Swift:
    """Return a storage that logs in there."""
    robot = {
        "application_credential_id": keystone.CREDENTIAL_ID,
        "application_credential_secret": "${S}",
    }
    return Swift(container="c", auth={"type": "keystone", "auth_url": fake.url, **robot})


def test_a_log_in_whose_answer_was_lost_is_made_again(fake: FakeKeystone) -> None:
    """Nobody uses the token that got lost."""
    fake.inject(NO_ANSWER, path=keystone.TOKENS, after=True)
    with HTTPX.sending({"S": keystone.CREDENTIAL_SECRET}, attempts=2):
        at(fake).put(b"x", "a")
    assert (2, b"x") == (len(fake.given), fake.containers["c"]["a"].data)


def test_a_log_in_is_sent_nowhere_else(fake: FakeKeystone) -> None:
    """Wherever the service would like it to go."""
    fake.inject(Answer(307, b"", {"Location": "/elsewhere"}), path=keystone.TOKENS)
    with HTTPX.sending({"S": keystone.CREDENTIAL_SECRET}), pytest.raises(RedirectRefusedError):
        at(fake).put(b"x", "a")
    assert [keystone.TOKENS] == [*fake.calls]


def test_a_page_in_place_of_a_token(fake: FakeKeystone) -> None:
    """Is told as a log-in that gave none."""
    page = Answer(200, b"<html>welcome</html>", {"Content-Type": "text/html"})
    fake.inject(page, path=keystone.TOKENS)
    secrets = {"S": keystone.CREDENTIAL_SECRET}
    with HTTPX.sending(secrets), pytest.raises(AuthenticationError, match="gave no token"):
        at(fake).put(b"x", "a")
