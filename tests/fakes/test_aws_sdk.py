"""botocore against the fake: what it refuses, and that what it answers is understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session

from tests.fakes.aws import FakeAws, FakeMachine, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = Key("ASIAFLOWS", "secret-key", "session-token")
ROLE = "arn:aws:iam::123456789012:role/flows"


@pytest.fixture
def fake() -> Iterator[FakeAws]:
    """Start a fake with one value."""
    with FakeAws(KEY) as place:
        place.values["app"] = "value"
        yield place


def client(fake: FakeAws, service: str, key: Key = KEY) -> Any:
    """Return a client with a key."""
    return Session().create_client(
        service,
        region_name="eu-west-1",
        endpoint_url=fake.url,
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        aws_session_token=key.token,
    )


def code(call: Callable[..., Any], **parameters: Any) -> str:
    """Return the code with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def test_secrets(fake: FakeAws) -> None:
    """A secret is read alone and in a batch; one that is missing, or denied, has its code."""
    fake.denied.add("private")
    secrets = client(fake, "secretsmanager")
    assert "value" == secrets.get_secret_value(SecretId="app")["SecretString"]
    assert "ResourceNotFoundException" == code(secrets.get_secret_value, SecretId="missing")
    assert "AccessDeniedException" == code(secrets.get_secret_value, SecretId="private")
    batch = secrets.batch_get_secret_value(SecretIdList=["app", "missing", "private"])
    assert ["value"] == [each["SecretString"] for each in batch["SecretValues"]]
    codes = {each["SecretId"]: each["ErrorCode"] for each in batch["Errors"]}
    expected = {"missing": "ResourceNotFoundException", "private": "AccessDeniedException"}
    assert expected == codes


def test_parameters(fake: FakeAws) -> None:
    """A parameter is read alone and in a batch, which fails as a whole for one that is denied."""
    parameters = client(fake, "ssm")
    assert "value" == parameters.get_parameter(Name="app")["Parameter"]["Value"]
    assert "ParameterNotFound" == code(parameters.get_parameter, Name="missing")
    batch = parameters.get_parameters(Names=["app", "missing"])
    assert ["value"] == [each["Value"] for each in batch["Parameters"]]
    assert ["missing"] == batch["InvalidParameters"]
    fake.denied.add("private")
    assert "AccessDeniedException" == code(parameters.get_parameters, Names=["app", "private"])


@pytest.mark.parametrize(
    "key",
    [
        Key("AKIAWRONG", "secret-key", "session-token"),
        Key("ASIAFLOWS", "secret-key", "wrong"),
        Key("ASIAFLOWS", "secret-key"),
    ],
)
def test_wrong_keys(fake: FakeAws, key: Key) -> None:
    """An unknown key, and a wrong or missing session token, are refused."""
    for service, operation, name in (
        ("secretsmanager", "get_secret_value", "SecretId"),
        ("ssm", "get_parameter", "Name"),
    ):
        call = getattr(client(fake, service, key), operation)
        assert "UnrecognizedClientException" == code(call, **{name: "app"})


def test_web_identity(fake: FakeAws) -> None:
    """STS gives the key for the right token only."""
    login = client(fake, "sts").assume_role_with_web_identity
    asked = {"RoleArn": ROLE, "RoleSessionName": "flows"}
    key = login(WebIdentityToken=fake.web_token, **asked)["Credentials"]
    assert (KEY.id, KEY.secret, KEY.token) == (
        key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"],
    )  # fmt: skip
    assert "AccessDenied" == code(login, WebIdentityToken="wrong-token", **asked)


def test_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata service of a machine gives the key of its role."""
    with FakeMachine(KEY) as machine:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url)
        found = Session().get_credentials()
    assert (KEY.id, KEY.secret, KEY.token) == (found.access_key, found.secret_key, found.token)
