"""The vendor's own client for Doppler reads the fake one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from dopplersdk import DopplerSDK
from dopplersdk.models.Format import Format
from http_exceptions.client_exceptions import (
    ForbiddenException,
    MethodNotAllowedException,
    NotFoundException,
    UnauthorizedException,
)

from tests.fakes.doppler import FakeDoppler

Connect = Callable[..., Any]
HOME = {"project": "backend", "config": "prd"}


@pytest.fixture
def fake() -> Iterator[FakeDoppler]:
    """Start a fake Doppler with two secrets."""
    with FakeDoppler() as server:
        server.put("USER", "me")
        server.put("URL", "https://${USER}@db.test")
        yield server


@pytest.fixture
def connect(fake: FakeDoppler) -> Connect:
    """Return a maker of clients."""

    def make(token: str = fake.token) -> Any:
        client = DopplerSDK(access_token=token)
        client.set_base_url(fake.url)
        return client

    return make


def _downloaded(client: Any, **options: Any) -> dict[str, str]:
    """Return what a download holds; the client has a model for names of its own only."""
    answer = client.secrets.download(**{**HOME, "format": Format.JSON.value, **options})
    return {name: value for name, value in vars(answer).items() if value is not None}


def test_a_config_is_downloaded(connect: Connect) -> None:
    """A download holds values."""
    assert {"USER": "me"} == _downloaded(connect())


def test_some_secrets_are_downloaded(connect: Connect, fake: FakeDoppler) -> None:
    """Only the names that are asked for come back, and one that is not there is left out."""
    assert {"USER": "me"} == _downloaded(connect(), secrets="USER,NOTHING")
    assert {} == _downloaded(connect(), secrets="URL")
    assert "URL" == fake.last.query["secrets"]


def test_one_secret(connect: Connect) -> None:
    """A secret has a raw and a computed value."""
    answer = connect().secrets.get(name="URL", **HOME)
    assert "URL" == answer.name
    assert ("https://${USER}@db.test", "https://me@db.test") == (
        answer.value["raw"],
        answer.value["computed"],
    )


def test_a_missing_secret_has_no_value(connect: Connect) -> None:
    """Of a secret that is not there everything is null, with a success."""
    answer = connect().secrets.get(name="NOTHING", **HOME)
    assert {None} == set(answer.value.values())


def test_lists(connect: Connect) -> None:
    """Secrets can be listed, and their names alone."""
    client = connect()
    assert ["USER", "URL"] == client.secrets.names(**HOME).names
    assert ["me"] == [
        each["computed"] for each in client.secrets.list(secrets="USER", **HOME).secrets.values()
    ]


@pytest.mark.parametrize("token", ["wrong", ""])
def test_a_wrong_token_reads_nothing(connect: Connect, token: str) -> None:
    """A wrong or missing token is told apart from everything else."""
    client = connect(token)
    for call in (
        lambda: _downloaded(client),
        lambda: client.secrets.get(name="USER", **HOME),
        client.auth.me,
    ):
        with pytest.raises(UnauthorizedException):
            call()
    assert {"USER": "me"} == _downloaded(connect())


def test_whose_token_it_is(connect: Connect, fake: FakeDoppler) -> None:
    """A token can ask about itself."""
    kinds = [connect(token).auth.me().type_ for token in (fake.token, fake.personal)]
    assert ["service_token", "personal"] == kinds


def test_a_service_token_is_of_one_config(connect: Connect, fake: FakeDoppler) -> None:
    """It reads no other config, though there is one."""
    fake.put("USER", "dev", config="dev")
    with pytest.raises(ForbiddenException):
        _downloaded(connect(), config="dev")
    assert {"USER": "dev"} == _downloaded(connect(fake.personal), config="dev")


def test_a_personal_token_needs_a_config(connect: Connect, fake: FakeDoppler) -> None:
    """It reads any config that it may, and is told of one that is not there."""
    client = connect(fake.personal)
    assert {"USER": "me"} == _downloaded(client)
    with pytest.raises(NotFoundException, match="Could not find requested config"):
        _downloaded(client, config="none")
    fake.tokens[fake.personal].denied.add("backend")
    with pytest.raises(ForbiddenException):
        _downloaded(client)


def test_what_the_client_does_not_send(fake: FakeDoppler) -> None:
    """A service token needs no project, a personal one does; basic authentication works as well."""
    url = f"{fake.url}/v3/configs/config/secrets/download"

    def get(**options: Any) -> requests.Response:
        return requests.get(url, timeout=5, **options)

    assert "https://me@db.test" == get(auth=(fake.token, "")).json()["URL"]
    bearer = {"Authorization": f"Bearer {fake.personal}"}
    for params, message in (({}, "a project"), ({"project": "backend"}, "a config")):
        answer = get(headers=bearer, params=params)
        assert (400, {"messages": [f"You must provide {message}"], "success": False}) == (
            answer.status_code,
            answer.json(),
        )
    assert 400 == get(auth=(fake.token, ""), params={"format": "xml"}).status_code
    wrong = base64.b64encode(b"\xff:").decode()
    for authorization in (f"Basic {wrong}", "Basic !", "Bearer"):
        assert 401 == get(headers={"Authorization": authorization}).status_code


def test_other_requests_are_refused(connect: Connect, fake: FakeDoppler) -> None:
    """What the fake does not do it refuses, and says so."""
    with pytest.raises(NotFoundException):
        connect().projects.list()
    with pytest.raises(MethodNotAllowedException):
        connect().secrets.delete(name="USER", **HOME)
    bearer = {"Authorization": f"Bearer {fake.token}"}
    nameless = requests.get(f"{fake.url}/v3/configs/config/secret", headers=bearer, timeout=5)
    assert 400 == nameless.status_code
