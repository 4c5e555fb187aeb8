"""Who sends a request: tokens, passwords, keys and challenges, right ones and wrong ones."""

from __future__ import annotations

import asyncio
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from tests.fakes.files import FileService
from tests.fakes.http import Answer, json_answer
from tests.fakes.oauth import CLIENT, REFRESH, SECRET, TokenService
from tests.sending.support import HTTPX, HTTPX_ASYNC, MODES, Mode, caught, plain
from webhook_storage import LiteralSecretWarning, Receipt, Sender, Storage, Webhook
from webhook_storage.auth import find
from webhook_storage.contracts import (
    Access,
    Deadline,
    Found,
    Outcome,
    Request,
    Resolver,
    Response,
)
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    ObjectNotFoundError,
    PermissionDeniedError,
    SecretForbiddenError,
    UnsafeValueError,
    WebhookStorageError,
)
from webhook_storage.policy import Policy
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage.testing import FakeTransport
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.fleet.dav import Dav
    from webhook_storage.template import Reference

modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)

SECRETS = {"CLIENT_SECRET": SECRET, "REFRESH": REFRESH}
KINDS: dict[str, dict[str, Any]] = {
    "oauth2_client_credentials": {"client_secret": "${CLIENT_SECRET}"},
    "oauth2_refresh": {"client_secret": "${CLIENT_SECRET}", "refresh_token": "${REFRESH}"},
}
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def service() -> Iterator[TokenService]:
    """A service that takes its own tokens only."""
    with TokenService() as service:
        yield service


def oauth(service: TokenService, kind: str, **more: Any) -> dict[str, Any]:
    """Return the plain data of a kind."""
    fields = {"type": kind, "token_url": service.token_url, "client_id": CLIENT, **KINDS[kind]}
    return {**fields, **more}


class TestOAuth2:
    """Access tokens that are got on the way."""

    @modes
    @kinds
    @pytest.mark.parametrize("client_auth", ["post", "basic"])
    def test_what_is_stored_is_fetched(
        self, mode: Mode, service: TokenService, kind: str, client_auth: str
    ) -> None:
        """One token serves both."""
        storage = plain(service.url, auth=oauth(service, kind, client_auth=client_auth))
        with mode.sending(SECRETS):
            mode.call(storage, "put", b"31 rows", "a")
            assert b"31 rows" == mode.call(storage, "get", "a")
        assert 1 == len(service.given)

    @modes
    @pytest.mark.parametrize(
        ("kind", "wrong", "hint"),
        [
            ("oauth2_client_credentials", {"CLIENT_SECRET": "another secret"}, "client_secret"),
            ("oauth2_refresh", {"CLIENT_SECRET": "another secret"}, "client_secret"),
            ("oauth2_refresh", {"REFRESH": "another token"}, "revoked"),
        ],
    )
    def test_a_wrong_credential_sends_nothing(
        self, mode: Mode, service: TokenService, kind: str, wrong: dict[str, str], hint: str
    ) -> None:
        """The error says what the endpoint said; the artifact stays here."""
        storage = plain(service.url, auth=oauth(service, kind))
        with mode.sending({**SECRETS, **wrong}, attempts=3):
            error = caught(lambda: mode.call(storage, "put", b"31 rows", "a"))
        assert isinstance(error, AuthenticationError)
        assert hint in (error.hint or "")
        assert {"/oauth2/token"} == {request.path for request in service.requests}
        assert not any(text in str(error) for text in wrong.values())

    @modes
    @kinds
    def test_a_token_that_was_taken_back_is_replaced_once(
        self, mode: Mode, service: TokenService, kind: str
    ) -> None:
        """After a 401 another token is got, and the request is sent again."""
        storage = plain(service.url, auth=oauth(service, kind))
        with mode.sending(SECRETS):
            mode.call(storage, "put", b"31 rows", "a")
            service.take_back()
            assert b"31 rows" == mode.call(storage, "get", "a")
        assert 2 == len(service.given)

    @modes
    def test_who_refuses_every_token_is_asked_twice(
        self, mode: Mode, service: TokenService
    ) -> None:
        """The second token is refused too, and then it is the end."""
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        service.inject(json_answer(401, {}), path="/a", times=None)
        with mode.sending(SECRETS), pytest.raises(AuthenticationError):
            mode.call(storage, "get", "a")
        assert 2 == len(service.given) == len(service.received("/a"))

    @modes
    def test_each_sender_has_its_own_token(self, mode: Mode, service: TokenService) -> None:
        """And one that was closed has none."""
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        for _ in range(2):
            with mode.sending(SECRETS), pytest.raises(ObjectNotFoundError):
                mode.call(storage, "get", "a")
        assert 2 == len(service.given)

    def test_scope_and_more_go_along(self, service: TokenService) -> None:
        """Some services want an audience or a resource."""
        auth = oauth(service, "oauth2_client_credentials", scope="read write", more={"scope2": "x"})
        with HTTPX.sending(SECRETS):
            plain(service.url, auth=auth).put(b"", "a")
        assert ["read write"] == service.scopes

    @pytest.mark.parametrize("count", [32])
    def test_threads_wait_for_one_log_in(self, service: TokenService, count: int) -> None:
        """All of them ask at the same time, and the endpoint is asked once."""
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        start = threading.Barrier(count)
        with HTTPX.sending(SECRETS) as sender, ThreadPoolExecutor(count) as threads:

            def put(number: int) -> None:
                start.wait(30)
                with sender:
                    storage.put(b"31 rows", str(number))

            list(threads.map(put, range(count)))
        assert 1 == len(service.given)
        assert count == len(service.files)

    def test_tasks_wait_for_one_log_in(self, service: TokenService) -> None:
        """So they do in an event loop, and one that is cancelled takes nobody along."""
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))

        async def put_all() -> None:
            first = asyncio.create_task(storage.aput(b"31 rows", "first"))
            others = [asyncio.create_task(storage.aput(b"31 rows", str(n))) for n in range(32)]
            assert await asyncio.to_thread(service.hanging.wait, 30)
            first.cancel()
            await asyncio.gather(*others)

        service.hang(path="/oauth2/token", times=1)
        with HTTPX_ASYNC.sending(SECRETS):
            asyncio.run(put_all())
        assert 1 == len(service.given)
        assert 32 == len(service.files)

    def test_a_refused_log_in_is_refused_to_all_who_waited(self, service: TokenService) -> None:
        """A wrong secret costs one question, however many wait."""
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        asked, held = threading.Event(), threading.Event()

        def hold(_request: object) -> Answer | None:
            asked.set()
            held.wait(30)
            return None

        async def put_all() -> list[Any]:
            tasks = [asyncio.create_task(storage.aput(b"", str(n))) for n in range(8)]
            assert await asyncio.to_thread(asked.wait, 30)
            held.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

        service.inject(hold, path="/oauth2/token")
        with HTTPX_ASYNC.sending({**SECRETS, "REFRESH": "another"}):
            errors = asyncio.run(put_all())
        assert [AuthenticationError] * 8 == [type(error) for error in errors]
        assert 8 == len({id(error) for error in errors})
        assert 1 == service.calls["/oauth2/token"]

    @modes
    @pytest.mark.parametrize("first", [True, False], ids=["new", "kept"])
    def test_a_token_goes_where_its_secrets_may_go(
        self, mode: Mode, service: TokenService, *, first: bool
    ) -> None:
        """Whoever changes a definition does not get what was made with them either."""
        kind = oauth(service, "oauth2_refresh")
        port = service.url.rpartition(":")[2]
        policy = Policy(hosts={"*": [f"127.0.0.1:{port}"]})
        chain = Resolution([MappingResolver(SECRETS)], policy=policy)
        with FileService() as elsewhere, Sender(secrets=chain, transport=mode.transport()):
            if not first:
                mode.call(plain(service.url, auth=kind), "put", b"31 rows", "a")
            error = caught(lambda: mode.call(plain(elsewhere.url, auth=kind), "get", "a"))
        assert isinstance(error, SecretForbiddenError)
        assert [] == elsewhere.requests

    @modes
    def test_no_token_goes_where_a_receipt_says(self, mode: Mode, service: TokenService) -> None:
        """A receipt comes from the service, or from anybody who wrote it since."""
        with FileService() as elsewhere:
            receipt = Receipt(
                location="any", sha256="0" * 64, size=1, build_time="any",
                captures={"url": f"{elsewhere.url}/a"},
            )  # fmt: skip
            fetch = {"url": "${receipt.url}", "auth": oauth(service, "oauth2_refresh")}
            storage = Webhook({"url": f"{service.url}/a"}, "PUT", fetch, "GET")
            with mode.sending(SECRETS), pytest.raises(ConfigurationError, match="captured"):
                mode.call(storage, "get", receipt)
        assert [] == elsewhere.requests

    @pytest.mark.parametrize(
        "credential",
        [
            {"cert": "/etc/client.pem"},
            {"cert": ["/etc/a.pem", "/etc/b.pem"]},
            {"auth": ["me", "x"]},
        ],
        ids=["certificate", "certificate and key", "password"],
    )
    def test_no_credential_that_is_no_placeholder_goes_where_a_receipt_says(
        self, credential: dict[str, Any]
    ) -> None:
        """A host that is named gets it, another one does not."""
        receipt = Receipt(
            location="any", sha256="0" * 64, size=1, build_time="any",
            captures={"url": "https://elsewhere.test/a"},
        )  # fmt: skip
        fetch = {"url": "${receipt.url}", **credential}
        transport = FakeTransport(lambda _: (404, {}, b""))
        for named, error in (["elsewhere.test"], ObjectNotFoundError), ([], ConfigurationError):
            storage = Webhook(
                {"url": "https://a.test/a"}, "PUT", fetch, "GET", redirect_hosts=named
            )
            with HTTPX.sending(transport=transport):
                assert error is type(caught(partial(storage.get, receipt)))
        assert 1 == len(transport.requests)

    @modes
    def test_an_endpoint_that_is_not_there(self, mode: Mode, service: TokenService) -> None:
        """The error names the endpoint, not the storage's URL."""
        auth = oauth(service, "oauth2_refresh", token_url="http://127.0.0.1:9/token")
        with mode.sending(SECRETS):
            error = caught(lambda: mode.call(plain(service.url, auth=auth), "get", "a"))
        assert isinstance(error, ConnectError)
        assert "http://127.0.0.1:9/token" in str(error)

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(200, b"<html>", {"Content-Type": "text/plain"}),
            Answer(200, b"<html>", {"Content-Type": "text/html"}),
            Answer(200, b"[" * 50_000),
            Answer(204),
            json_answer(200, {"error": "invalid_grant"}),
            json_answer(201, {"access_token": "good"}),
            json_answer(200, {"access_token": "a" * 16_385}),
            json_answer(200, {"access_token": "\u00e9"}),
            json_answer(200, {"access_token": "good", "token_type": "DPoP"}),
            json_answer(200, {"access_token": "good", "token_type": ["bearer"]}),
            json_answer(200, {"access_token": "good", "token_type": None}),
            json_answer(200, {"access_token": ["a"]}),
            json_answer(200, {"access_token": "a\r\nX-Evil: 1"}),
            json_answer(200, {"access_token": ""}),
            json_answer(200, []),
            json_answer(403, {"error": {"nested": 1}}),
        ],
        ids=[
            "no JSON",
            "a page",
            "nested",
            "nothing",
            "a refusal",
            "another status",
            "too long",
            "no ASCII",
            "another type",
            "a list of types",
            "no type at all",
            "no text",
            "two lines",
            "empty",
            "a list",
            "no code",
        ],
    )
    def test_an_answer_that_holds_no_token(self, service: TokenService, answer: Answer) -> None:
        """Nothing of it is shown, and nothing is sent."""
        service.inject(answer, path="/oauth2/token", times=None)
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        with HTTPX.sending(SECRETS):
            error = caught(lambda: storage.get("a"))
        assert isinstance(error, AuthenticationError)
        assert "gave no access token" in str(error)
        assert not service.received("/a")

    @modes
    def test_an_endpoint_that_is_busy_is_asked_again(
        self, mode: Mode, service: TokenService
    ) -> None:
        """Nobody uses a token of which the answer was lost."""
        service.inject(json_answer(503, {}), path="/oauth2/token")
        service.lose_answer(path="/oauth2/token")
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        with mode.sending(SECRETS, attempts=3):
            mode.call(storage, "put", b"31 rows", "a")
        assert (1, {"/a": b"31 rows"}) == (len(service.received("/a")), service.files)

    def test_another_type_of_token_is_named_as_the_fault(self, service: TokenService) -> None:
        """It is the right endpoint, after all."""
        service.token_type = "DPoP"
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        with HTTPX.sending(SECRETS):
            error = caught(partial(storage.get, "a"))
        assert "of the type bearer" in str(error)

    def test_how_the_endpoint_is_reached_is_said_apart(self) -> None:
        """Not as the storage's own requests are."""
        said: dict[str, Any] = {"timeout": (1.0, 2.0), "verify": "/ca.pem", "allow_http": True}
        fields = {"token_url": "https://a.example", "client_id": "c", "client_secret": "${S}"}
        auth = find({"type": "oauth2_client_credentials", **fields, **said})
        steps = auth.log_in(Request(method="GET", url="https://b.example"), "")
        assert steps is not None
        request: Any = next(steps)
        assert said == {name: getattr(request, name) for name in said}

    @pytest.mark.parametrize("kind", ["bearer", "Bearer", "BEARER", None])
    def test_a_bearer_token_is_one_in_any_spelling(
        self, service: TokenService, kind: str | None
    ) -> None:
        """And where the service says nothing of it."""
        service.token_type = kind
        with HTTPX.sending(SECRETS):
            plain(service.url, auth=oauth(service, "oauth2_refresh")).put(b"31 rows", "a")
        assert {"/a": b"31 rows"} == service.files

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_no_secret_follows_a_redirect_of_the_endpoint(
        self, service: TokenService, status: int
    ) -> None:
        """Another host gets neither the client's secret nor is its token taken."""
        with FileService() as elsewhere:
            location = elsewhere.url.replace("127.0.0.1", "localhost") + "/oauth2/token"
            service.inject(Answer(status, headers={"Location": location}), path="/oauth2/token")
            with HTTPX.sending(SECRETS):
                error = caught(plain(service.url, auth=oauth(service, "oauth2_refresh")).get)
            assert isinstance(error, WebhookStorageError)
            assert [] == elsewhere.requests

    @modes
    def test_a_refusal_of_another_host_is_none_of_the_token(
        self, mode: Mode, service: TokenService
    ) -> None:
        """It got none, so that another one would change nothing."""
        with FileService(token="another") as elsewhere:
            location = elsewhere.url.replace("127.0.0.1", "localhost") + "/moved"
            service.inject(Answer(302, headers={"Location": location}), path="/a", times=None)
            auth = oauth(service, "oauth2_refresh")
            storage = plain(service.url, auth=auth, with_redirect_hosts=["localhost"])
            with mode.sending(SECRETS), pytest.raises(AuthenticationError):
                mode.call(storage, "get", "a")
            assert (1, 1) == (len(service.given), len(elsewhere.requests))
            assert "authorization" not in elsewhere.last.headers

    @modes
    def test_a_client_s_secret_that_was_replaced_is_asked_for_anew(
        self, mode: Mode, service: TokenService
    ) -> None:
        """Whoever was refused with the one that is remembered does not go on with it."""
        values = {**SECRETS, "CLIENT_SECRET": "the one before"}
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        with mode.sending(resolver=Vault(values)):
            error = caught(lambda: mode.call(storage, "put", b"31 rows", "a"))
            assert isinstance(error, AuthenticationError)
            values.update(SECRETS)
            mode.call(storage, "put", b"31 rows", "a")
        assert {"/a": b"31 rows"} == service.files

    def test_storages_with_other_credentials_share_no_token(self, service: TokenService) -> None:
        """Each has its own log-in, also where only one field differs."""
        auth = oauth(service, "oauth2_refresh")
        others = [{}, {"scope": "read"}, {"client_auth": "basic"}, {"refresh_token": "${TWIN}"}]
        with HTTPX.sending({**SECRETS, "TWIN": REFRESH}):
            for each in others:
                plain(service.url, auth={**auth, **each}).put(b"31 rows", "a")
        assert len(others) == len(service.given)

    def test_a_client_of_somebody_else_is_served_by_the_fake(self, service: TokenService) -> None:
        """requests-oauthlib gets a token there and uses it; with a wrong secret it gets none."""
        client = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT))
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
            client.fetch_token(service.token_url, client_secret=SECRET, include_client_id=True)
            assert 201 == client.put(f"{service.url}/a", data=b"31 rows").status_code
            with HTTPX.sending(SECRETS):
                storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
                assert b"31 rows" == storage.get("a")
            with pytest.raises(Exception, match="invalid_client"):
                client.fetch_token(service.token_url, client_secret="no", include_client_id=True)
        client.close()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("3600", 3600.0), ("3599.5", 3599.5), ("1e3", 1000.0), ("0", 1.0), ("-5", 1.0),
        ("-Infinity", 3600.0), ("Infinity", 3600.0), ("NaN", 3600.0), ("9" * 400, 10.0**7),
        ('"7200"', 7200.0), ('"soon"', 3600.0), ('""', 3600.0), ("null", 3600.0), ("true", 3600.0),
        ("[3600]", 3600.0), ("{}", 3600.0),
    ],
)  # fmt: skip
def test_every_end_of_a_token(said: str, seconds: float) -> None:
    """What is no number of seconds is an hour; none is kept for months, or not at all."""
    body = f'{{"access_token": "good", "expires_in": {said}}}'.encode()
    assert seconds == logged_in(body).lifetime


def test_a_token_without_an_end() -> None:
    """It is an hour too."""
    assert 3600.0 == logged_in(b'{"access_token": "good"}').lifetime


def logged_in(body: bytes) -> Access:
    """Return what is made of the answer of an endpoint."""
    fields = {"token_url": "https://a.example", "client_id": "c", "client_secret": "${S}"}
    auth = find({"type": "oauth2_client_credentials", **fields})
    steps = auth.log_in(Request(method="GET", url="https://b.example"), "")
    assert steps is not None
    next(steps)
    try:
        steps.send(Response(status=200, headers={}, body=body))
    except StopIteration as stop:
        access: Access = stop.value
        return access
    raise AssertionError("it wants more")


class Vault(Resolver):
    """Is asked once, and what it says is remembered."""

    scheme: ClassVar[str] = "vault"

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Tell what it knows now."""
        return {each: Found(value=SecretValue(self.values[str(each)])) for each in references}


class TestDigest:
    """A challenge that real servers make."""

    AUTH: dict[str, str] = {"type": "digest", "username": "alice", "password": "${PASSWORD}"}  # noqa: RUF012

    @modes
    @pytest.mark.parametrize("server", ["apache", "wsgidav"])
    def test_what_is_stored_is_fetched(
        self, mode: Mode, server: str, request: pytest.FixtureRequest
    ) -> None:
        """One challenge serves several requests, and a key that has to be encoded."""
        dav: Dav = request.getfixturevalue(server)
        storage, key = plain(dav.digest_url, auth=self.AUTH), f"a b é+%25 {mode.name}"
        with mode.sending({"PASSWORD": dav.password}):
            for _ in range(3):
                mode.call(storage, "put", b"31 rows", key)
            assert b"31 rows" == mode.call(storage, "get", key)
            mode.call(storage, "delete", key)
            assert not mode.call(storage, "exists", key)

    @modes
    @pytest.mark.parametrize("server", ["apache", "wsgidav"])
    def test_a_wrong_password(
        self, mode: Mode, server: str, request: pytest.FixtureRequest
    ) -> None:
        """It is told as such."""
        dav: Dav = request.getfixturevalue(server)
        with mode.sending({"PASSWORD": "wrong"}), pytest.raises(AuthenticationError):
            mode.call(plain(dav.digest_url, auth=self.AUTH), "put", b"31 rows", "wrong")

    def test_a_server_that_asks_for_something_else(self, nginx: Any) -> None:
        """The error says that it is another type of auth."""
        with HTTPX.sending({"PASSWORD": "any"}):
            error = caught(lambda: plain(f"{nginx.url}/private", auth=self.AUTH).get("a"))
        assert isinstance(error, (AuthenticationError, PermissionDeniedError, ObjectNotFoundError))


class TestFixed:
    """Credentials that stand in the request."""

    @modes
    @pytest.mark.parametrize(
        ("auth", "where", "sent"),
        [
            ({"type": "bearer", "token": "${T}"}, "authorization", "Bearer of-this-test"),
            ({"type": "api_key", "key": "${T}"}, "x-api-key", "of-this-test"),
            ({"type": "api_key", "key": "Token ${T}", "name": "X-T"}, "x-t", "Token of-this-test"),
            (
                {"type": "basic", "username": "é", "password": "${T}"},
                "authorization",
                "Basic w6k6b2YtdGhpcy10ZXN0",
            ),
        ],
    )
    def test_it_is_in_a_header(
        self, mode: Mode, service: TokenService, auth: dict[str, str], where: str, sent: str
    ) -> None:
        """The server gets it with the first request."""
        with mode.sending({"T": "of-this-test"}):
            caught(lambda: mode.call(plain(service.url, auth=auth), "get", "a"))
        assert sent == service.requests[0].headers[where]

    @pytest.mark.parametrize("key", ["a&b=c#d?e/f+g%41 h", "\u00e9\u20ac", "a;b"])
    def test_every_key_fits_the_query(self, service: TokenService, key: str) -> None:
        """Whatever it is made of, under a name that is as odd."""
        auth = {"type": "api_key", "key": "${T}", "place": "query", "name": "a key&"}
        with HTTPX.sending({"T": key}):
            caught(lambda: plain(service.url, auth=auth).get("a"))
        assert {"a key&": key} == service.last.query

    @pytest.mark.parametrize("name", ["a:b", "a\r\nb"])
    def test_a_user_of_two_parts(self, service: TokenService, name: str) -> None:
        """A colon would end the name, and a line break the header (RFC 7617, section 2)."""
        auth = {"type": "basic", "username": "${U}", "password": "${T}"}
        with HTTPX.sending({"U": name, "T": "x"}), pytest.raises(UnsafeValueError):
            plain(service.url, auth=auth).get("a")
        assert [] == service.requests

    @pytest.mark.parametrize("params", [None, {"b": "2"}, [["b", "2"]]])
    def test_it_is_in_the_query(self, service: TokenService, params: Any) -> None:
        """Beside what stands there already."""
        auth = {"type": "api_key", "key": "${T}", "place": "query", "name": "key"}
        storage = plain(service.url, auth=auth, **({"params": params} if params else {}))
        with HTTPX.sending({"T": "a&b"}):
            caught(lambda: storage.get("a"))
        assert ("a&b", params and "2") == (
            service.last.query["key"],
            service.last.query.get("b"),
        )

    def test_two_credentials_contradict_each_other(self, service: TokenService) -> None:
        """Which of them would be meant nobody knows."""
        for auth, headers, params in (
            ({"type": "bearer", "token": "${T}"}, {"authorization": "${T}"}, None),
            ({"type": "basic", "username": "u", "password": "${T}"}, {"Authorization": "${T}"}, {}),
            (["u", "${T}"], {"Authorization": "${T}"}, None),
            (oauth(service, "oauth2_refresh"), {"AUTHORIZATION": "${T}"}, None),
            ({**TestDigest.AUTH}, {"Authorization": "${T}"}, None),
            ({"type": "api_key", "key": "${T}", "name": "X-K"}, {"x-k": "${T}"}, None),
            ({"type": "api_key", "key": "${T}", "place": "query"}, {}, "a=b"),
        ):
            given: dict[str, Any] = {"headers": headers, **({"params": params} if params else {})}
            with pytest.raises(ConfigurationError, match=r"contradict|one text"):
                plain(service.url, auth=auth, **given)

    def test_nor_are_there_two_in_a_request_of_a_preset(self) -> None:
        """It is not made by a definition."""
        request = Request(method="GET", url="https://a.example", headers={"authorization": "x"})
        with pytest.raises(ConfigurationError, match="contradict"):
            find({"type": "bearer", "token": "${T}"}).write(request)

    @pytest.mark.parametrize(
        "auth",
        [
            {"type": "api_key", "key": "${T}"},
            {"type": "api_key", "key": "${T}", "place": "query", "name": "Authorization"},
            {"type": "hmac_url", "key": "${T}"},
        ],
        ids=["another header", "the query", "a signed URL"],
    )
    def test_what_stands_elsewhere_contradicts_nothing(self, auth: dict[str, str]) -> None:
        """A gateway may want a header of its own."""
        storage = plain("https://a.example", auth=auth, headers={"Authorization": "${OTHER}"})
        assert storage.build_request_kwargs["auth"] == auth

    @pytest.mark.parametrize("name", ["X Key", "X-Key\r\nX-Evil", "Xé", "X:"])
    def test_the_name_of_a_header_is_one(self, name: str) -> None:
        """It is refused when the storage is made; a parameter of the query has any name."""
        with pytest.raises(ConfigurationError, match="header"):
            find({"type": "api_key", "key": "${T}", "name": name})
        auth = {"type": "api_key", "key": "${T}", "name": name, "place": "query"}
        assert auth == find(auth).model_dump()


class TestData:
    """A kind is plain data, in a definition like all the rest."""

    def test_it_travels(self, service: TokenService) -> None:
        """As JSON, and pickled, with nothing of a token in it."""
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        with HTTPX.sending(SECRETS):
            storage.put(b"31 rows", "a")
            shown = f"{storage!r} {storage.to_json()} {pickle.dumps(storage)!r}"
            assert storage == Storage.from_json(storage.to_json())
            twin: Webhook = pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own
            assert b"31 rows" == twin.get("a")
        assert 1 == len(service.given)
        assert not any(text in shown for text in (*service.given, SECRET, REFRESH))

    @pytest.mark.parametrize(
        ("data", "match"),
        [
            ({}, "type"),
            ({"type": "bearerr", "token": "${T}"}, 'Did you mean "bearer"'),
            ({"type": "bearer"}, "token"),
            ({"type": "bearer", "token": "${T}", "tokn": "x"}, "tokn"),
            ({"type": "bearer", "token": "${T"}, "token"),
            ({"type": 7}, "type"),
        ],
    )
    def test_what_is_wrong_is_named(self, data: dict[str, Any], match: str) -> None:
        """At once, and not when a request is sent."""
        with pytest.raises(ConfigurationError, match=match):
            plain("https://files.example.com", auth=data)

    def test_a_literal_secret_is_warned_of(self) -> None:
        """As it is in a header."""
        with pytest.warns(LiteralSecretWarning):
            find({"type": "bearer", "token": "s3cret"})

    def test_a_preview_says_what_is_to_come(self, service: TokenService) -> None:
        """And gets no token for it."""
        storage = plain(service.url, auth=oauth(service, "oauth2_refresh"))
        with HTTPX.sending(SECRETS) as sender:
            preview = sender.preview(storage.exchange("fetch", "a"))
        said = f"the access token that {service.token_url} gives"
        assert f"({said})" in preview.text()
        assert preview.curl().endswith(f"# without {said}")
        assert not service.requests
