"""google-auth sends by our client, and what it meets is told in our words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.fakes.http import Answer, FakeServer, Received, json_answer
from tests.resolvers.places import without_proxies
from tests.resolvers.places.gcp import PREFIXES
from tests.sending.raw import RawServer, always, reply
from webhook_storage import google
from webhook_storage.client import HttpClient
from webhook_storage.contracts import Deadline, Unavailable
from webhook_storage.errors import MissingExtraError
from webhook_storage.google import NoAnswerError, TokenRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOCK = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."


class Tokens(FakeServer):
    """Answer like a service that gives tokens."""

    def answer(self, request: Received, body: bytes) -> Answer:
        """Give one."""
        return json_answer(200, {"sent": body.decode()})


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tokens]:
    """Start it, where no variable says anything of Google."""
    without_proxies(monkeypatch, *PREFIXES)
    with Tokens() as server:
        yield server


@pytest.fixture
def client() -> Iterator[HttpClient]:
    """Return who sends."""
    sender = HttpClient()
    yield sender
    sender.close()


@pytest.mark.parametrize("body", [b"a=b", "a=b"], ids=["bytes", "text"])
def test_an_answer_is_handed_on(tokens: Tokens, client: HttpClient, body: bytes | str) -> None:
    """Status, headers and all bytes; google-auth gives a text as well as bytes."""
    asking = TokenRequest(client, Deadline(5))
    answer = asking(f"{tokens.url}/token", "POST", body, {"X-A": "1"})
    assert (200, b'{"sent": "a=b"}', "application/json") == (
        answer.status,
        answer.data,
        answer.headers["content-type"],
    )
    assert ("1", None, False) == (tokens.last.headers["x-a"], asking.trouble, asking.is_skewed)


@pytest.mark.parametrize(
    ("status", "said", "trouble"),
    [
        (503, {}, "answered with status 503"),
        (500, {}, "answered with status 500"),
        (429, {}, "too many requests"),
        (408, {}, "answered with status 408"),
        (201, {}, "the answer is not what such a store sends"),
        (302, {}, "redirects elsewhere, to where the credential is not sent"),
        (400, {"error": "server_error"}, "answered with status 400"),
        (400, {"error": "x", "error_description": "internal_failure"}, "answered with status 400"),
    ],
)
def test_a_service_that_cannot_answer_now(
    tokens: Tokens, client: HttpClient, status: int, said: object, trouble: str
) -> None:
    """It is asked once, and google-auth does not get to try again."""
    tokens.inject(json_answer(status, said), times=None)
    asking = TokenRequest(client, Deadline(5))
    with pytest.raises(NoAnswerError):
        asking(f"{tokens.url}/token", "POST", b"")
    assert (Unavailable(trouble), 1) == (asking.trouble, len(tokens.requests))


@pytest.mark.parametrize(
    ("said", "is_skewed"),
    [
        ({"error": "invalid_grant", "error_description": CLOCK}, True),
        ({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, False),
        ({"error": "invalid_grant", "error_description": ["odd"]}, False),
        ([], False),
    ],
)
def test_a_refusal_is_google_auths(
    tokens: Tokens,
    client: HttpClient,
    said: object,
    is_skewed: bool,  # noqa: FBT001
) -> None:
    """It is read there; what it says of the clock is noted."""
    tokens.inject(json_answer(400, said))
    asking = TokenRequest(client, Deadline(5))
    answer = asking(f"{tokens.url}/token", "POST", b"")
    assert (400, None, is_skewed) == (answer.status, asking.trouble, asking.is_skewed)


def test_client_certificates_are_not_used(tokens: Tokens, client: HttpClient) -> None:
    """Federation by a certificate is refused in words, and not tried without it."""
    asking = TokenRequest(client, Deadline(5))
    with pytest.raises(NoAnswerError):
        asking(f"{tokens.url}/token", "POST", b"", cert=("cert.pem", "key.pem"))
    assert Unavailable("client certificates are not supported there") == asking.trouble
    assert [] == tokens.requests


def test_patience_of_the_library_does_not_count(tokens: Tokens, client: HttpClient) -> None:
    """google-auth would wait for a minute and more; the deadline is ours."""
    asking = TokenRequest(client, Deadline(0))
    with pytest.raises(NoAnswerError):
        asking(f"{tokens.url}/token", "POST", b"", timeout=60)
    assert Unavailable("there was no time left to ask") == asking.trouble
    assert [] == tokens.requests


def test_a_shorter_patience_of_the_library_counts(tokens: Tokens, client: HttpClient) -> None:
    """It asks whether there is a metadata server at all, and does not wait long for it."""
    asking = TokenRequest(client, Deadline(5))
    with pytest.raises(NoAnswerError):
        asking(f"{tokens.url}/token", timeout=0)
    assert Unavailable("there was no time left to ask") == asking.trouble


@pytest.mark.parametrize(
    "url", ["http://tokens.example.com/token", "http://169.254.169.254.example.com/", "token"]
)
def test_nothing_goes_without_tls(tokens: Tokens, client: HttpClient, url: str) -> None:
    """What a key has signed, and the token of another provider, is for one service only."""
    asking = TokenRequest(client, Deadline(5))
    with pytest.raises(NoAnswerError):
        asking(url, "POST", b"")
    assert Unavailable("the credentials name a URL without TLS") == asking.trouble


@pytest.mark.parametrize("variable", ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"])
def test_metadata_are_asked_through_no_proxy(
    tokens: Tokens, client: HttpClient, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Nor with TLS, wherever google-auth was told that they are."""
    named = f"metadata.example.invalid:{tokens.port}"
    url = f"http://{named}/token"
    with RawServer(always(reply("502 No"))).serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        for value, trouble in (("", "without TLS"), (named, "no connection")):
            monkeypatch.setenv(variable, value)
            asking = TokenRequest(client, Deadline(5))
            with pytest.raises(NoAnswerError):
                asking(url)
            assert trouble in str(asking.trouble)
        assert 200 == TokenRequest(client, Deadline(5))(f"{tokens.url}/token").status
    assert [] == proxy.calls


@pytest.mark.parametrize("module", ["google.auth.credentials", "google.oauth2.service_account"])
def test_the_library_is_an_extra(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Who needs it, and what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match="this needs google-auth, which is not") as caught:
        google.library("this")
    assert "webhook-storage[gcp]" in str(caught.value.hint)


def test_what_is_no_refusal() -> None:
    """A wrong key and a broken answer are neither."""
    library = google.library("this")
    errors = library.auth.exceptions
    kinds = (errors.RefreshError, errors.OAuthError, errors.TransportError, ValueError)
    assert [True, True, False, False] == [google.is_refusal(library, kind("x")) for kind in kinds]
