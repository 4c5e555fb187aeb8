"""Tokens of Microsoft Entra, got by azure-identity from a login server that refuses wrong ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.azure import FakeAzure, FakeMachine
from tests.fakes.http import Answer, FakeServer, Received
from tests.leaks.channels import of_error
from tests.sending.raw import RawServer, always, reply
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage.auth import find
from webhook_storage.contracts import Access, Request
from webhook_storage.errors import AuthenticationError, PermissionDeniedError
from webhook_storage_presets.azure import Azure, Entra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)

AUDIENCE = "https://storage.azure.com"


class Login(FakeAzure):
    """A login server that knows what its tokens are for."""

    def audience_of(self, token: str) -> str:
        """Return what a token is for; empty when it is none, or has expired."""
        grant = self._grants.get(token)
        return "" if grant is None or not grant.ends else grant.audience

    @property
    def logins(self) -> int:
        """How often a token was asked for."""
        return self.calls[f"/{self.tenant}/oauth2/v2.0/token"]


class TokenBlobs(FakeServer):
    """Blobs for those who show a token of the right audience, and the version that goes with it.

    Args:
        login: Who gave the tokens.

    Attributes:
        blobs: What is stored, by path.
    """

    def __init__(self, login: Login) -> None:
        super().__init__()
        self._login = login
        self.blobs: dict[str, bytes] = {}

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if (scheme, self._login.audience_of(token)) != ("Bearer", AUDIENCE):
            return self._refuse(401, "InvalidAuthenticationInfo")
        if request.headers.get("x-ms-version", "") < "2017-11-09":
            return self._refuse(403, "AuthenticationFailed")
        if request.method == "PUT":
            self.blobs[request.path] = body
            return Answer(201, b"", {"ETag": '"0x1"'})
        found = self.blobs.get(request.path)
        missing = self._refuse(404, "BlobNotFound")
        return missing if found is None else Answer(200, found, {"ETag": '"0x1"'})

    def _refuse(self, status: int, code: str) -> Answer:
        return Answer(status, b"", {"x-ms-error-code": code})


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Login]:
    """Start a login server; the environment has the right secret of its application."""
    with Login() as server:
        for name, text in {
            "AZURE_AUTHORITY_HOST": server.url,
            "AZURE_TENANT_ID": server.tenant,
            "AZURE_CLIENT_ID": server.client_id,
            "AZURE_CLIENT_SECRET": server.client_secret,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:1",
            "REQUESTS_CA_BUNDLE": str(server.ca_file),
            "PATH": str(tmp_path / "bin"),
        }.items():
            monkeypatch.setenv(name, text)
        yield server


@pytest.fixture
def blobs(login: Login) -> Iterator[TokenBlobs]:
    """Start a blob service that takes its tokens."""
    with TokenBlobs(login) as server:
        yield server


def storage(blobs: TokenBlobs, **auth: Any) -> Azure:
    """Return a storage there."""
    given = {"auth": {"type": "entra", **auth}} if auth else {}
    return Azure(container="flows", endpoint=blobs.url, **given)


@modes
@pytest.mark.parametrize("credential", ["default", "environment"])
def test_one_token_serves_all_requests(
    mode: Mode, login: Login, blobs: TokenBlobs, credential: str
) -> None:
    """It is kept for its life."""
    with mode.sending():
        mode.call(storage(blobs, credential=credential), "put", b"31 rows", "a")
        assert b"31 rows" == mode.call(storage(blobs, credential=credential), "get", "a")
    assert 1 == login.logins


def test_it_is_what_a_storage_without_credential_takes(login: Login, blobs: TokenBlobs) -> None:
    """As every tool of Azure does."""
    with HTTPX.sending():
        storage(blobs).put(b"31 rows", "a")
    assert (1, {"/flows/a": b"31 rows"}) == (login.logins, blobs.blobs)


def test_a_token_that_was_taken_back_is_replaced(login: Login, blobs: TokenBlobs) -> None:
    """After a 401 another one is got, and the request is sent again."""
    with HTTPX.sending():
        storage(blobs).put(b"31 rows", "a")
        login.revoke_tokens()
        assert b"31 rows" == storage(blobs).get("a")
    assert 2 == login.logins


@modes
@pytest.mark.parametrize("variable", ["AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"])
def test_a_wrong_credential_sends_nothing(
    mode: Mode,
    login: Login,
    blobs: TokenBlobs,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    """The error says what to set, and nothing of what was set or answered."""
    monkeypatch.setenv(variable, "canary-canary-canary")
    with mode.sending(attempts=3):
        error = caught(
            lambda: mode.call(storage(blobs, credential="environment"), "put", b"31 rows", "a")
        )
    assert isinstance(error, AuthenticationError)
    assert "AZURE_CLIENT_SECRET" in (error.hint or "")
    shown = " ".join(str(text) for _, text in of_error(error))
    assert ("canary-canary" in shown, "AADSTS" in shown) == (False, False)
    assert [] == blobs.requests
    assert login.url not in shown


def test_no_credential_at_all(blobs: TokenBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told before anything is sent."""
    for name in ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    with HTTPX.sending():
        error = caught(lambda: storage(blobs, credential="environment").get("a"))
    assert isinstance(error, AuthenticationError)
    assert [] == blobs.requests


def test_a_token_for_something_else(login: Login, blobs: TokenBlobs) -> None:
    """Is refused, once more with a new one, and then it is the end."""
    other = storage(blobs, scope="https://vault.azure.net/.default")
    with HTTPX.sending():
        error = caught(lambda: other.get("a"))
    assert isinstance(error, AuthenticationError)
    assert 2 == login.logins


def test_a_missing_role_is_not_a_wrong_token(login: Login, blobs: TokenBlobs) -> None:
    """The hint names the roles."""
    blobs.inject(Answer(403, b"", {"x-ms-error-code": "AuthorizationPermissionMismatch"}))
    with HTTPX.sending():
        error = caught(lambda: storage(blobs).get("a"))
    assert isinstance(error, PermissionDeniedError)
    assert "Storage Blob Data Contributor" in (error.hint or "")
    assert 1 == login.logins


def test_nothing_is_logged_while_it_logs_in(
    login: Login, blobs: TokenBlobs, caplog: pytest.LogCaptureFixture
) -> None:
    """The libraries' loggers are silent, also at their lowest level."""
    caplog.set_level(0)
    with HTTPX.sending():
        storage(blobs).put(b"31 rows", "a")
    shown = " ".join(record.getMessage() for record in caplog.records)
    assert not any(text in shown for text in (login.client_secret, login.tenant, "Bearer"))
    assert shown


def test_a_netrc_file_is_not_read(
    login: Login, blobs: TokenBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login server gets no password of it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with HTTPX.sending():
        storage(blobs).put(b"31 rows", "a")
    assert [] == [request for request in login.requests if "authorization" in request.headers]


def test_a_principal_by_placeholders(login: Login, blobs: TokenBlobs) -> None:
    """Its secret comes from wherever secrets live, by the usual client credentials."""
    auth = {
        "type": "oauth2_client_credentials",
        "token_url": f"{login.url}/{login.tenant}/oauth2/v2.0/token",
        "client_id": login.client_id,
        "client_secret": "${SECRET}",
        "scope": f"{AUDIENCE}/.default",
        "verify": str(login.ca_file),
    }
    with HTTPX.sending({"SECRET": login.client_secret}):
        Azure(container="flows", endpoint=blobs.url, auth=auth).put(b"31 rows", "a")
    assert {"/flows/a": b"31 rows"} == blobs.blobs


@pytest.mark.parametrize("stem", ["with blank", "é", "x" * 16385])
def test_a_token_that_no_header_takes(monkeypatch: pytest.MonkeyPatch, stem: str) -> None:
    """Is told of as none, in our own words."""
    with Login(token_stem=stem) as login, FakeMachine(login) as machine:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)
        error = caught(lambda: log_in(Entra(credential="managed_identity")))
    assert "Microsoft Entra gives no token, by managed_identity" == str(error)


def test_it_is_found_by_its_type() -> None:
    """As any company's own."""
    auth = Entra(credential="managed_identity", client_id="an-id")
    assert auth == find(auth.model_dump())


def log_in(auth: Entra) -> Access:
    """Return what a log-in gives."""
    work: Any = next(auth.log_in(Request(method="GET", url="https://acct.example"), ""))
    access: Access = work.action()
    return access


@pytest.mark.parametrize(
    ("credential", "hint"),
    [
        ("default", "az login"),
        ("environment", "AZURE_CLIENT_SECRET"),
        ("workload_identity", "AZURE_FEDERATED_TOKEN_FILE"),
        ("managed_identity", "assign a managed identity"),
        ("cli", "az login"),
    ],
)
def test_a_machine_without_any_identity(
    login: Login, monkeypatch: pytest.MonkeyPatch, credential: Any, hint: str
) -> None:
    """Is told what to do, whichever credential was named."""
    for name in ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    error = caught(lambda: log_in(Entra(credential=credential)))
    assert isinstance(error, AuthenticationError)
    assert hint in (error.hint or "")
    assert [] == login.requests


def test_a_workload_has_an_identity(
    login: Login, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What its cluster gives it is shown for a token, the right one only."""
    login.federated_token = "right"
    file = tmp_path / "token"
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    auth = Entra(credential="workload_identity")
    file.write_text("wrong")
    with pytest.raises(AuthenticationError):
        log_in(auth)
    file.write_text("right")
    assert AUDIENCE == login.audience_of(log_in(auth).secrets["token"].reveal())


@pytest.mark.parametrize("named", [False, True], ids=["the only one", "by its id"])
def test_a_machine_has_an_identity(
    login: Login, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    """Its own service gives the token, and no proxy sees it."""
    with FakeMachine(login) as machine, RawServer(always(reply("502 No"))).serving() as proxy:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        auth = Entra(credential="managed_identity", client_id=login.client_id if named else None)
        access = log_in(auth)
        assert AUDIENCE == login.audience_of(access.secrets["token"].reveal())
        assert 3500 < (access.lifetime or 0) < 3600
        assert [] == proxy.calls
        with pytest.raises(AuthenticationError):
            log_in(Entra(credential="managed_identity", client_id="somebody-else"))
