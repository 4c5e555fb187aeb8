"""Who one is for AWS: every kind of credentials that botocore finds, each right and wrong."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha1
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.aws import FakeAws, FakeMachine, Key, refusal
from tests.fakes.http import text_answer
from tests.resolvers.aws_helpers import (
    ask,
    ask_all,
    enter,
    everything_logged,
    lead_to,
    leave_the_machine,
    text,
)
from webhook_storage.contracts import Deadline, Forbidden, NotFound, Unavailable
from webhook_storage.template import Reference
from webhook_storage_resolvers.aws import AwsResolver
from webhook_storage_resolvers.aws.login import Access, _host
from webhook_storage_resolvers.ssm import SsmResolver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.moto import Moto

CANARY = "CANARY-aws-login-1b"
KEY = Key("AKIAFLOWS", f"{CANARY}-secret-key")
LENT = Key("ASIAFLOWS", f"{CANARY}-lent-key", f"{CANARY}-session-token")
ROLE = "arn:aws:iam::123456789012:role/flows"

WRONG_KEY = Forbidden(
    "AWS does not know the access key or session token: is it still active, and of this partition?"
)
WRONG_SIGNATURE = Forbidden("the secret access key is wrong, or the clock of this machine is")
EXPIRED = Forbidden("the credentials have expired: log in again, or set new ones")
NO_ROLE = Forbidden(
    "no credentials are given: the role may not be assumed, or the login for it is wrong"
)
LOGIN_ENDED = Forbidden("no credentials: the login has ended, log in with 'aws sso login'")
NO_CREDENTIALS = Unavailable(
    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
    "or log in with 'aws sso login'"
)
NO_TIME = Unavailable("there was no time left to ask")
NO_REGION = Unavailable("no region: set AWS_REGION to the one where the secrets are")
NO_CLIENT = Unavailable(
    "the region or the endpoint is none: check AWS_REGION, AWS_ENDPOINT_URL and the profile"
)

Make = Callable[..., AwsResolver]
Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def _no_aws_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    leave_the_machine(monkeypatch, tmp_path)


@pytest.fixture
def make() -> Iterator[Make]:
    """Return a maker of resolvers, closed at the end."""
    made: list[AwsResolver] = []

    def build(**options: Any) -> AwsResolver:
        made.append(AwsResolver(**options))
        return made[-1]

    yield build
    for resolver in made:
        resolver.close()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """Lead to a fake with one secret, with no key for it."""
    with FakeAws(LENT) as place:
        place.values["app"] = CANARY
        lead_to(monkeypatch, place)
        for name in LENT.environment():
            monkeypatch.delenv(name)
        yield place


@pytest.fixture
def real(moto: Moto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Moto]:
    """Lead to moto with the secret ``app``, and with the user's key."""
    enter(monkeypatch, moto.environment(tmp_path))
    client = moto.client("secretsmanager")
    client.create_secret(Name="app", SecretString=CANARY)
    yield moto
    client.delete_secret(SecretId="app", ForceDeleteWithoutRecovery=True)


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Configure:
    """Return what writes the profile ``flows`` into the configuration file."""

    def write(profile: str = "flows", **settings: str) -> None:
        lines = [f"[profile {profile}]", *(f"{name} = {value}" for name, value in settings.items())]
        (tmp_path / "aws-config").write_text("\n".join(lines))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))

    return write


def without_keys(environment: pytest.MonkeyPatch) -> None:
    """Forget the keys of the environment."""
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")


# --- keys ---


def test_keys_of_the_environment(real: Moto, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right key opens; one with a wrong secret, or an unknown one, does not."""
    assert CANARY == text(ask(make(), "app"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", real.wrong.secret)
    assert WRONG_SIGNATURE == ask(make(), "app")
    assert [WRONG_SIGNATURE] * 2 == ask_all(make(), "app", "other")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODYHASTHISKEY")
    assert WRONG_KEY == ask(make(), "app")
    assert WRONG_KEY.detail == make().health()


def test_profiles(real: Moto, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is given counts more than keys of the environment, one that is set less."""
    assert WRONG_SIGNATURE == ask(make(profile="wrong"), "app")
    monkeypatch.setenv("AWS_PROFILE", "wrong")
    assert CANARY == text(ask(make(), "app"))
    without_keys(monkeypatch)
    assert WRONG_SIGNATURE == ask(make(), "app")
    assert CANARY == text(ask(make(profile="user"), "app"))
    monkeypatch.setenv("AWS_PROFILE", "user")
    assert CANARY == text(ask(make(), "app"))


def test_key_that_was_replaced_in_its_file(
    real: Moto, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A new key is used as soon as the old one is refused, without a failure in between."""
    without_keys(monkeypatch)
    old = real.add_user("rotated", "secretsmanager:*")
    iam, file = real.client("iam", real.admin), tmp_path / "aws-credentials"

    def write(key: str, secret: str) -> None:
        lines = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        file.write_text(lines)

    write(old.id, old.secret)
    resolver = make()
    assert CANARY == text(ask(resolver, "app"))
    new = iam.create_access_key(UserName="rotated")["AccessKey"]
    iam.delete_access_key(UserName="rotated", AccessKeyId=old.id)
    assert WRONG_KEY == ask(resolver, "app")
    write(new["AccessKeyId"], new["SecretAccessKey"])
    assert CANARY == text(ask(resolver, "app"))
    iam.delete_access_key(UserName="rotated", AccessKeyId=new["AccessKeyId"])
    write(real.user.id, real.user.secret)
    assert CANARY == text(ask(resolver, "app"))


def test_refused_key_is_not_tried_twice(
    fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is the same as the refused one is not sent again."""
    enter(monkeypatch, Key("AKIAOTHER", "x").environment())
    assert WRONG_KEY == ask(make(), "app")
    assert 1 == len(fake.requests)


def test_session_token(fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lent key goes with its session token; another token, none, and an old one do not open."""
    enter(monkeypatch, LENT.environment())
    assert CANARY == text(ask(make(), "app"))
    fake.inject(refusal("ExpiredTokenException"), times=None)
    assert EXPIRED == ask(make(), "app")
    fake.clear_faults()
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another")
    assert WRONG_KEY == ask(make(), "app")
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    assert WRONG_KEY == ask(make(), "app")


# --- logins ---


def test_role(
    real: Moto, make: Make, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile can assume a role; one that may not be assumed, or a wrong key, gives none."""
    iam = real.client("iam", real.admin)
    anybody = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    reading = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    trust, rights = (
        json.dumps({"Version": "2012-10-17", "Statement": [each]}) for each in (anybody, reading)
    )
    iam.create_role(RoleName="flows", AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName="flows", PolicyName="p", PolicyDocument=rights)
    key = real.add_user("assumer", "sts:AssumeRole")
    lines = f"[assumer]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n"
    with (tmp_path / "aws-credentials").open("a") as file:
        file.write(lines)
    configure(role_arn=ROLE, source_profile="assumer")
    assert CANARY == text(ask(make(profile="flows"), "app"))
    configure(role_arn=ROLE, source_profile="stranger")
    assert NO_ROLE == ask(make(profile="flows"), "app")
    configure(role_arn=ROLE, source_profile="wrong")
    assert WRONG_SIGNATURE == ask(make(profile="flows"), "app")


def test_web_identity(
    fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The token of a cluster is exchanged for a key; a wrong one, or none, is not."""
    token = tmp_path / "token"
    token.write_text(fake.web_token)
    enter(monkeypatch, {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)})
    assert CANARY == text(ask(make(), "app"))
    token.write_text("wrong")
    assert NO_ROLE == ask(make(), "app")
    token.unlink()
    assert Unavailable("no credentials, FileNotFoundError") == ask(make(), "app")


def test_login_service_that_cannot_answer(
    fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A login that has trouble is asked once; when it is over, the same resolver gets in."""
    token = tmp_path / "token"
    token.write_text(fake.web_token)
    enter(monkeypatch, {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)})
    resolver = make()
    fake.inject(text_answer(503, "", {"Retry-After": "7"}))
    trouble = "no credentials: answered with status 503"
    assert Unavailable(trouble, retry_after=7.0) == ask(resolver, "app")
    fake.inject(
        text_answer(400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>")
    )
    assert Unavailable("no credentials: too many requests") == ask(resolver, "app")
    assert 2 == len(fake.requests)
    assert CANARY == text(ask(resolver, "app"))


def test_identity_center(
    fake: FakeAws,
    make: Make,
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The token of ``aws sso login`` is exchanged for a key; without it one is told to log in."""
    portal = "https://acme.awsapps.example/start"
    configure(
        sso_start_url=portal,
        sso_region="eu-west-1",
        sso_account_id="123456789012",
        sso_role_name="flows",
    )
    # botocore looks up the home directory once, when it is imported.
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(tmp_path))
    cache = tmp_path / f"{sha1(portal.encode(), usedforsecurity=False).hexdigest()}.json"
    assert LOGIN_ENDED == ask(make(profile="flows"), "app")
    token = {"accessToken": fake.web_token, "expiresAt": "2999-01-01T00:00:00Z"}
    cache.write_text(json.dumps(token))
    assert CANARY == text(ask(make(profile="flows"), "app"))
    cache.write_text(json.dumps(token | {"accessToken": "wrong"}))
    assert LOGIN_ENDED == ask(make(profile="flows"), "app")


def test_program_that_prints_credentials(
    fake: FakeAws, make: Make, configure: Configure, tmp_path: Path
) -> None:
    """A program can give the key; what it says when it fails is not told."""
    printed = tmp_path / "printed"
    program = f"import pathlib, sys; print(pathlib.Path({str(printed)!r}).read_text())"
    configure(credential_process=shlex.join([sys.executable, "-c", program]))
    parts = LENT.document(Token="SessionToken")
    printed.write_text(json.dumps({"Version": 1, **parts}))
    assert CANARY == text(ask(make(profile="flows"), "app"))
    printed.write_text(json.dumps({"Version": 1, **parts, "AccessKeyId": "AKIAWRONG"}))
    assert WRONG_KEY == ask(make(profile="flows"), "app")
    printed.write_text(json.dumps({"Version": 1, "AccessKeyId": CANARY}))
    failed = Unavailable("no credentials: the program or service that gives them failed")
    assert failed == ask(make(profile="flows"), "app")
    printed.unlink()
    assert failed == ask(make(profile="flows"), "app")


# --- machines ---


@pytest.mark.parametrize(("key", "opens"), [(LENT, True), (KEY, False)])
def test_container(
    fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch, key: Key, *, opens: bool
) -> None:
    """A container's service gives the key of its role."""
    with FakeMachine(key) as machine:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{machine.url}/container")
        answer = ask(make(), "app")
    assert opens is (answer != WRONG_KEY)
    assert not opens or CANARY == text(answer)


@pytest.mark.parametrize(("key", "opens"), [(LENT, True), (KEY, False)])
def test_machine(
    fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch, key: Key, *, opens: bool
) -> None:
    """A machine's metadata service gives the key of its role."""
    with FakeMachine(key) as machine:
        lead_to_machine(monkeypatch, machine)
        answer = ask(make(), "app")
    assert opens is (answer != WRONG_KEY)
    assert not opens or CANARY == text(answer)


def lead_to_machine(environment: pytest.MonkeyPatch, machine: FakeMachine) -> None:
    """Be a machine whose metadata service is this."""
    environment.delenv("AWS_EC2_METADATA_DISABLED")
    environment.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url)


def test_machine_that_hangs(fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends with the deadline, however patient other programs are told to be."""
    with FakeMachine(LENT) as machine:
        lead_to_machine(monkeypatch, machine)
        monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "600")
        monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "100")
        machine.hang(times=None)
        assert NO_CREDENTIALS == ask(make(), "app", seconds=3.0)
        assert machine.hanging.is_set()
    assert [] == fake.requests


# --- what is shown of it ---


def test_logs_show_no_login(fake: FakeAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What STS answers is a key, which botocore logs."""
    token = tmp_path / "token"
    token.write_text(fake.web_token)
    enter(monkeypatch, {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)})
    shown = everything_logged()
    assert "['Found', 'NotFound']" in shown
    assert [] == [secret for secret in (LENT.id, LENT.secret, fake.web_token) if secret in shown]


def test_logs_show_no_refused_login(
    fake: FakeAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a machine's service answers is not shown either, though it be no key."""
    with FakeMachine(LENT) as machine:
        lead_to_machine(monkeypatch, machine)
        machine.inject(text_answer(500, CANARY), path="/latest/meta-data", times=None)
        shown = everything_logged()
    assert "['Unavailable', 'Unavailable']" in shown
    assert CANARY not in shown


# --- none ---


def test_no_credentials(fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials it is said what to do, and once they are there they are used."""
    resolver = make()
    assert NO_CREDENTIALS == ask(resolver, "app")
    assert NO_CREDENTIALS.detail == resolver.health()
    assert [NO_CREDENTIALS] * 2 == ask_all(resolver, "app", "other")
    assert [] == fake.requests
    enter(monkeypatch, LENT.environment())
    assert CANARY == text(ask(resolver, "app"))


def test_credentials_that_come_later(
    fake: FakeAws, make: Make, configure: Configure, tmp_path: Path
) -> None:
    """Configuration that is completed while a process runs is found by it."""
    configure(region="eu-west-1")
    resolver = make(profile="flows")
    assert NO_CREDENTIALS == ask(resolver, "app")
    printed = tmp_path / "printed"
    printed.write_text(json.dumps({"Version": 1, **LENT.document(Token="SessionToken")}))
    configure(credential_process=shlex.join(["cat", str(printed)]))
    assert CANARY == text(ask(resolver, "app"))


def test_half_a_key(fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An access key without its secret is no key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFLOWS")
    expected = "no credentials: only one of access key and secret access key is set"
    assert Unavailable(expected) == ask(make(), "app")


def test_profile_that_is_nowhere(fake: FakeAws, make: Make) -> None:
    """A profile that no file has is told as such."""
    expected = (
        "no credentials: no AWS configuration file has the profile, check its name or AWS_PROFILE"
    )
    assert Unavailable(expected) == ask(make(profile="nowhere"), "app")


def test_configuration_file_that_is_none(
    fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that cannot be read as configuration is told as such, and nothing of it."""
    (tmp_path / "config").write_text(f"{CANARY} [no section")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    expected = Unavailable("no credentials: an AWS configuration file cannot be parsed")
    assert expected == ask(make(), "app")


def test_missing_library(make: Make, fake: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without botocore it is said which extra to install."""
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    advice = "AWS needs botocore, which is not installed: pip install 'webhook-storage[aws]'"
    assert Unavailable(advice) == ask(make(), "app")
    assert advice == make().health()


# --- regions and endpoints ---


def test_regions(
    real: Moto, make: Make, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The region is that of the resolver, AWS_DEFAULT_REGION, the profile, AWS_REGION, in turn."""
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    assert NotFound() == ask(make(), "app")
    assert CANARY == text(ask(make(region=real.region), "app"))
    configure("default", region=real.region)
    assert CANARY == text(ask(make(), "app"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-1")
    assert NotFound() == ask(make(), "app")
    configure("default", region="us-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", real.region)
    assert CANARY == text(ask(make(), "app"))


def test_no_region(fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region it is said what to do; an ARN has its own."""
    enter(monkeypatch, LENT.environment())
    monkeypatch.delenv("AWS_REGION")
    resolver = make()
    assert NO_REGION == ask(resolver, "app")
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app"
    assert NotFound() == ask(resolver, arn)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert CANARY == text(ask(resolver, "app"))


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_REGION", "eu west"), ("AWS_ENDPOINT_URL", "vpce.example.com")]
)
def test_settings_that_are_none(
    fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """What cannot be a region or an address is told as such."""
    enter(monkeypatch, LENT.environment())
    monkeypatch.setenv(name, value)
    assert NO_CLIENT == ask(make(), "app")


def test_endpoints(fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service has a variable of its own, and the resolver's setting counts most."""
    enter(monkeypatch, LENT.environment())
    url, nowhere = fake.url, "http://127.0.0.1:1"
    fake.values["/app"] = CANARY
    monkeypatch.setenv("AWS_ENDPOINT_URL", nowhere)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
    assert CANARY == text(ask(make(), "app"))
    parameters = SsmResolver()
    where = "asking 127.0.0.1:1: check region, endpoint and network"
    assert Unavailable(f"no connection could be made, {where}") == ask(parameters, "/app")
    parameters.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", url)
    assert CANARY == text(ask(parameters, "/app"))
    parameters.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", nowhere)
    assert CANARY == text(ask(make(endpoint_url=url), "app"))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://vpce.example.com:443/", "vpce.example.com"),
        ("https://vpce.example.com/path", "vpce.example.com"),
        ("http://vpce.example.com:80", "vpce.example.com"),
        ("http://vpce.example.com:443/", "vpce.example.com:443"),
        ("https://me:pw@[::1]:8443/", "[::1]:8443"),
    ],
)
def test_host_as_it_is_signed(url: str, host: str) -> None:
    """The port that a scheme has anyway is not signed, so it is not sent."""
    assert host == _host(url)


def test_certificates(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server is checked, and a CA of AWS_CA_BUNDLE is trusted."""
    with FakeAws(KEY, tls=True) as secure:
        secure.values["app"] = CANARY
        lead_to(monkeypatch, secure)
        answer = ask(make(), "app")
        assert isinstance(answer, Unavailable)
        assert "the server's certificate was refused" in answer.detail
        monkeypatch.setenv("AWS_CA_BUNDLE", str(secure.ca_file))
        resolver = make()
        assert CANARY == text(ask(resolver, "app"))
        resolver.close()
        assert CANARY == text(ask(resolver, "app"))


# --- time, threads and life ---


def test_no_time(fake: FakeAws, make: Make) -> None:
    """After the deadline nobody is asked, and no credentials are looked for."""
    assert NO_TIME == ask(make(), "app", seconds=0.0)
    assert [] == fake.requests


def test_one_search_at_a_time(
    fake: FakeAws, make: Make, configure: Configure, tmp_path: Path
) -> None:
    """Whoever has less time than a search takes does not wait for it, and starts no other."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    configure(credential_process=shlex.join(["cat", str(pipe)]))
    resolver = make(profile="flows")
    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(ask, resolver, "app")
        with pipe.open("w") as credentials:  # opens when the program reads, so the search goes on
            assert NO_TIME == ask(resolver, "app", seconds=0.05)
            json.dump({"Version": 1, **LENT.document(Token="SessionToken")}, credentials)
        assert CANARY == text(patient.result())
    assert 1 == len(fake.requests)


def test_credentials_are_found_once(
    fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found is kept until it is refused, or the resolver is closed."""
    with FakeMachine(LENT) as machine:
        lead_to_machine(monkeypatch, machine)
        resolver = make()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(resolver, "app"), range(16)))
        assert [CANARY] * 16 == [text(answer) for answer in answers]
        assert 3 == len(machine.requests)
        resolver.close()
        ask(resolver, "app")
        assert 6 == len(machine.requests)


def test_clients_are_kept(real: Moto, make: Make) -> None:
    """A client is made once for each region, since that takes longer than a question."""
    login = make()._client._login()
    regions = (None, real.region, "us-east-2", None, "us-east-2")
    made = [login.access(region, Deadline(10.0)) for region in regions]
    clients = [access.client for access in made if isinstance(access, Access)]
    assert [0, 0, 2, 0, 2] == [clients.index(client) for client in clients]


def test_regions_share_a_login(fake: FakeAws, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of another region is read with the same credentials, signed for that region."""
    with FakeMachine(LENT) as machine:
        lead_to_machine(monkeypatch, machine)
        there = Reference("arn:aws:secretsmanager:us-east-2:123456789012:secret:app", "aws")
        make().resolve([Reference("app", "aws"), there], Deadline(10.0))
        assert 3 == len(machine.requests)
    signed = [request.headers["authorization"].split("/")[2] for request in fake.requests]
    assert ["eu-west-1", "us-east-2"] == signed
