"""The vendor's own client for Infisical logs in to the fake one and reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from infisical_sdk import InfisicalSDKClient  # type: ignore[import-untyped, unused-ignore]
from infisical_sdk.infisical_requests import (  # type: ignore[import-untyped, unused-ignore]
    APIError,
)

from tests.fakes.infisical import LOGIN, FakeInfisical

Connect = Callable[..., Any]


@pytest.fixture(params=[False, True], ids=["new", "old"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeInfisical]:
    """Start a fake Infisical with a few secrets; the client asks in the way that old ones know."""
    with FakeInfisical(old=request.param) as server:
        server.put("/USER", "me")
        server.put("/team/PASSWORD", "first")
        server.put("/team/PASSWORD", "second")
        server.put("/team/URL", "https://${PASSWORD}@db.test")
        yield server


@pytest.fixture
def connect(fake: FakeInfisical) -> Connect:
    """Return a maker of clients."""

    def make(secret: str = fake.client_secret) -> Any:
        client = InfisicalSDKClient(host=fake.url, cache_ttl=None)
        client.auth.universal_auth.login(fake.client_id, secret)
        return client

    return make


def _where(fake: FakeInfisical, path: str = "/", **more: Any) -> dict[str, Any]:
    scope = {"project_id": fake.project, "environment_slug": "prod", "secret_path": path}
    return {**scope, **more}


def _value(client: Any, fake: FakeInfisical, name: str, path: str = "/", **more: Any) -> str:
    value: str = client.secrets.get_secret_by_name(name, **_where(fake, path, **more)).secretValue
    return value


def _error(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(APIError) as caught:
        call()
    return caught.value.status_code, caught.value.response["error"]


def test_one_secret(connect: Connect, fake: FakeInfisical) -> None:
    """A secret is read by its folder and name, its newest version first."""
    client = connect()
    assert "me" == _value(client, fake, "USER")
    secret = client.secrets.get_secret_by_name("PASSWORD", **_where(fake, "/team"))
    assert ("second", 2, "/team", False) == (
        secret.secretValue,
        secret.version,
        secret.secretPath,
        secret.secretValueHidden,
    )
    assert "https://second@db.test" == _value(client, fake, "URL", "/team")


def test_an_older_version(connect: Connect, fake: FakeInfisical) -> None:
    """Old servers pass over the wish, without a word."""
    value = _value(connect(), fake, "PASSWORD", "/team", version="1")
    assert ("second" if fake.old else "first") == value


def test_a_folder(connect: Connect, fake: FakeInfisical) -> None:
    """A folder is listed with its imports, and one that is not there holds nothing."""
    fake.folder("/").imports.append("/team")
    listed = connect().secrets.list_secrets(**_where(fake))
    assert ["USER"] == [each.secretKey for each in listed.secrets]
    (imported,) = listed.imports
    assert "/team" == imported.secretPath
    assert ["second", "https://second@db.test"] == [
        each["secretValue"] if isinstance(each, dict) else each.secretValue
        for each in imported.secrets
    ]
    assert "second" == _value(connect(), fake, "PASSWORD")
    assert [] == connect().secrets.list_secrets(**_where(fake, "/none")).secrets


def test_a_wrong_secret_gives_no_token(connect: Connect, fake: FakeInfisical) -> None:
    """Only the right client secret logs in."""
    assert (401, "Unauthorized") == _error(lambda: connect("wrong"))
    assert {} == fake.tokens
    assert "me" == _value(connect(), fake, "USER")
    assert 1 == len(fake.tokens)


def test_what_a_log_in_gives(connect: Connect, fake: FakeInfisical) -> None:
    """It gives a bearer token and says how long that is good."""
    client = InfisicalSDKClient(host=fake.url, cache_ttl=None)
    login = client.auth.universal_auth.login(fake.client_id, fake.client_secret)
    assert (7200, "Bearer") == (login.expiresIn, login.tokenType)
    assert [login.accessToken] == list(fake.tokens)


def test_wrong_tokens(fake: FakeInfisical) -> None:
    """A token that is none, one that was revoked and one that has ended are refused in two ways."""
    client = InfisicalSDKClient(host=fake.url, cache_ttl=None)

    def read() -> str:
        return _value(client, fake, "USER")

    assert (401, "Unauthorized") == _error(read)
    client.auth.token_auth.login("wrong")
    assert (403, "TokenError") == _error(read)
    client.auth.token_auth.login("a.b.c")
    assert (401, "Unauthorized") == _error(read)
    client.auth.token_auth.login(fake.issue_token())
    assert "me" == read()
    fake.end_tokens()
    assert (403, "TokenError") == _error(read)


def test_what_is_missing(connect: Connect, fake: FakeInfisical) -> None:
    """A secret, a folder, an environment and a project can be missing."""
    client = connect()
    for more in (
        {},
        {"secret_path": "/none"},
        {"environment_slug": "none"},
        {"project_id": "none"},
    ):
        where = {**_where(fake), **more}
        missing = _error(lambda where=where: client.secrets.get_secret_by_name("NONE", **where))  # type: ignore[misc]
        assert (404, "NotFound") == missing
    where = _where(fake, environment_slug="")
    assert (400, "BadRequest") == _error(lambda: client.secrets.list_secrets(**where))


def test_what_may_not_be_read(connect: Connect, fake: FakeInfisical) -> None:
    """A secret may be denied, or its value alone; a list leaves out the one and hides the other."""
    fake.put("/HIDDEN", "value")
    fake.put("/DENIED", "value")
    fake.unreadable.add("HIDDEN")
    fake.denied.add("DENIED")
    client = connect()
    for name in ("HIDDEN", "DENIED"):
        denied = _error(lambda name=name: _value(client, fake, name))  # type: ignore[misc]
        assert (403, "PermissionDenied") == denied
    listed = client.secrets.list_secrets(**_where(fake)).secrets
    assert [("USER", False), ("HIDDEN", True)] == [
        (each.secretKey, each.secretValueHidden) for each in listed
    ]
    assert "<hidden-by-infisical>" == listed[1].secretValue
    fake.lists = False
    assert (403, "PermissionDenied") == _error(lambda: client.secrets.list_secrets(**_where(fake)))
    assert "me" == _value(client, fake, "USER")


def test_personal_values(connect: Connect, fake: FakeInfisical) -> None:
    """A list has a user's own values beside the shared ones."""
    fake.folder("/").personal["USER"] = "mine"
    listed = connect().secrets.list_secrets(**_where(fake)).secrets
    assert [("personal", "mine"), ("shared", "me")] == [
        (each.type, each.secretValue) for each in listed
    ]


def test_too_many_requests(connect: Connect, fake: FakeInfisical) -> None:
    """How long to wait stands in the message."""
    client = connect()
    fake.rate_limit(seconds=17)
    with pytest.raises(APIError, match="in 17 seconds"):
        _value(client, fake, "USER")
    assert "me" == _value(client, fake, "USER")


def test_two_versions_of_the_api(fake: FakeInfisical) -> None:
    """A new server knows both, an old one says that there is no such route, without a number."""
    headers = {"Authorization": f"Bearer {fake.issue_token()}"}

    def get(path: str, **query: str) -> requests.Response:
        query = {"environment": "prod", "secretPath": "/", **query}
        return requests.get(f"{fake.url}{path}", headers=headers, params=query, timeout=5)

    new = get("/api/v4/secrets/USER", projectId=fake.project)
    old = get("/api/v3/secrets/raw/USER", workspaceId=fake.project)
    assert "me" == old.json()["secret"]["secretValue"]
    if fake.old:
        assert (404, "Not Found") == (new.status_code, new.json()["error"])
        assert "reqId" not in new.json()
    else:
        assert old.json() == new.json()
        absent = get("/api/v4/secrets/NONE", projectId=fake.project).json()
        assert {"reqId", "statusCode", "message", "error"} == absent.keys()
    assert 404 == get("/api/v5/secrets").status_code
    assert "Ok" == get("/api/status").json()["message"]


def test_log_ins_of_another_form(fake: FakeInfisical) -> None:
    """A body that is no log-in is told from a wrong one."""
    for body, status in ((b"{}", 422), (b"x", 400), (b"[]", 400)):
        assert status == requests.post(f"{fake.url}{LOGIN}", data=body, timeout=5).status_code
