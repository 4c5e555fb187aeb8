"""Parameters in Parameter Store, from moto with its users' rights, and from a fake with faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.aws import FakeAws, Key, refusal
from tests.fakes.http import Answer, json_answer, text_answer
from tests.resolvers.aws_helpers import (
    ask,
    ask_all,
    bare,
    enter,
    lead_to,
    leave_the_machine,
    text,
    texts,
)
from tests.resolvers.places.ssm import ssm
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.errors import ConfigurationError
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing.resolvers import ResolverSuite
from webhook_storage_resolvers.ssm import SsmResolver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.moto import Moto
    from webhook_storage.testing.case import ResolverCase

CANARY = "CANARY-ssm-3e"
KEY = Key("AKIAFLOWS", f"{CANARY}-secret-key")
DENIED = Forbidden("you lack ssm:GetParameters, or kms:Decrypt for its key", maybe_missing=True)
BAD_NAME = Invalid("is no name in Parameter Store: letters, digits and _.-/, or an ARN")
MALFORMED = Unavailable("the answer is not what such a store sends")
NO_DECRYPTION = Forbidden(
    "its KMS key does not decrypt it: is the key there and enabled, and kms:Decrypt allowed?"
)

Add = Callable[..., None]


class TestSsmSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Start the place."""
        with ssm(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture(autouse=True)
def _no_aws_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    leave_the_machine(monkeypatch, tmp_path)


@pytest.fixture
def add(moto: Moto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Add]:
    """Lead to moto; return what makes an encrypted parameter there, which is gone afterwards."""
    enter(monkeypatch, moto.environment(tmp_path))
    made = []

    def make(name: str, value: str, region: str = "", kind: str = "SecureString") -> None:
        client = moto.client("ssm", region=region)
        made.append((client, name))
        client.put_parameter(Name=name, Value=value, Type=kind, Overwrite=True)

    yield make
    for client, name in made:
        client.delete_parameters(Names=[name])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """Lead to a fake with one parameter."""
    with FakeAws(KEY) as place:
        place.values["/app"] = CANARY
        lead_to(monkeypatch, place)
        yield place


@pytest.fixture
def resolver() -> Iterator[SsmResolver]:
    """Return a resolver that was told nothing."""
    made = SsmResolver()
    yield made
    made.close()


def operations(fake: FakeAws) -> list[str]:
    """Return what the fake was asked for, in order."""
    return [operation for operation, _ in fake.asked]


# --- one parameter ---


@pytest.mark.parametrize("kind", ["SecureString", "String", "StringList"])
def test_kinds_of_parameters(add: Add, resolver: SsmResolver, kind: str) -> None:
    """A parameter is found as plain text with its version, however it is kept."""
    add("/prod/db/password", f"{CANARY},b", kind=kind)
    expected = Found(value=SecretValue(f"{CANARY},b"), version="1")
    assert expected == ask(resolver, "/prod/db/password")


@pytest.mark.parametrize(
    "name", ["plain", "/one", "/a/b_c.d-e/F", "/" + "/".join("abcdefghijklmno")]
)
def test_names(add: Add, resolver: SsmResolver, name: str) -> None:
    """Every name that a parameter can have is asked for as it is."""
    add(name, CANARY)
    assert CANARY == text(ask(resolver, name))
    add("other", "other")
    assert [CANARY, "other"] == texts(ask_all(resolver, name, "other"))


def test_slash_in_front_may_be_left_out(add: Add, resolver: SsmResolver) -> None:
    """After the name of an instance a path has no slash in front, and means the same."""
    add("/prod/db", CANARY)
    add("db", "of one level")
    there = Reference("prod/db", "ssm", "eu")
    resolution = Resolution([resolver], instances={("ssm", "eu"): resolver})
    assert CANARY == text(resolution.resolve([there])[there].outcome)
    assert "of one level" == text(ask(resolver, "db"))


@pytest.mark.parametrize(
    "name",
    [
        "a:3", "/a:blue", "a b", "/a//b", "/a/", "/a/./b", "/../b", "/a%2fb", "é", "a?b", "/a\n",
        "x" * 1012, "/", "a+b", "/aws/reference/secretsmanager/",
        "/aws/reference/secretsmanager/a:b",
        "/aws/reference/secretsmanager/../b",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/a/../b",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/a:3",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a",
        "arn:aws:ssm:eu-west-1.evil.example#:123456789012:parameter/a",
    ],
)  # fmt: skip
def test_names_that_no_parameter_has(fake: FakeAws, resolver: SsmResolver, name: str) -> None:
    """What cannot be a name is refused here, and nobody is asked."""
    assert BAD_NAME == ask(resolver, name)
    assert [] == fake.requests


def test_missing_parameter(add: Add, resolver: SsmResolver) -> None:
    """What is not there is not found."""
    add("/prod/db", CANARY)
    assert NotFound() == ask(resolver, "/prod/db2")


def test_fields_of_json(add: Add, resolver: SsmResolver) -> None:
    """A field is picked by whoever asked."""
    add("/prod/db", f'{{"password": "{CANARY}"}}')
    reference = Reference("/prod/db", "ssm", field="password")
    assert CANARY == text(Resolution([resolver]).resolve([reference])[reference].outcome)


def test_secret_of_secrets_manager(add: Add, moto: Moto, resolver: SsmResolver) -> None:
    """A secret can be read as a parameter, and is never taken for one of the same name."""
    moto.client("secretsmanager").create_secret(Name="prod-db", SecretString=CANARY)
    add("prod-db", "the parameter")
    add("other", "other")
    names = ("/aws/reference/secretsmanager/prod-db", "prod-db", "other")
    assert [CANARY, "the parameter", "other"] == texts(ask_all(resolver, *names))
    assert CANARY == text(ask(resolver, names[0]))
    moto.client("secretsmanager").delete_secret(SecretId="prod-db", ForceDeleteWithoutRecovery=True)


def test_secret_and_parameter_of_one_name(fake: FakeAws, resolver: SsmResolver) -> None:
    """An answer that names a secret as if it were a parameter is not taken for that one's."""
    names = ("db", "/aws/reference/secretsmanager/db", "other")
    fake.values |= dict(zip(names, ("the parameter", CANARY, "other"), strict=True))
    assert ["the parameter", CANARY, "other"] == texts(ask_all(resolver, *names))


# --- versions ---


def test_versions_and_labels(add: Add, moto: Moto, resolver: SsmResolver) -> None:
    """An older version is found by its number or label, and the current one as before."""
    add("/prod/db", "first")
    add("/prod/db", "second")
    moto.client("ssm").label_parameter_version(Name="/prod/db", ParameterVersion=1, Labels=["blue"])
    assert "second" == text(ask(resolver, "/prod/db"))
    assert Found(value=SecretValue("first"), version="1") == ask(resolver, "/prod/db", version="1")
    assert "first" == text(ask(resolver, "/prod/db", label="blue"))
    assert NotFound() == ask(resolver, "/prod/db", version="9")
    assert NotFound() == ask(resolver, "/prod/db", label="green")


def test_versions_of_one_parameter_are_kept_apart(
    add: Add, moto: Moto, resolver: SsmResolver
) -> None:
    """Versions that are wanted at the same time do not get mixed up."""
    for value in ("first", "second", "third"):
        add("/prod/db", value)
    add("/other", "other")
    wanted = [
        Reference("/prod/db", "ssm", options=(("version", "1"),)),
        Reference("/prod/db", "ssm"),
        Reference("/other", "ssm"),
        Reference("/prod/db", "ssm", options=(("version", "2"),)),
    ]
    before = moto.calls()
    answers = resolver.resolve(wanted, Deadline(10.0))
    assert ["first", "third", "other", "second"] == [text(answers[each]) for each in wanted]
    assert before + 3 == moto.calls()


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"version": ""}, "has what is no version in Parameter Store"),
        ({"version": "0"}, "has what is no version in Parameter Store"),
        ({"version": "blue"}, "has what is no version in Parameter Store"),
        ({"label": "3"}, "has what is no label in Parameter Store"),
        ({"label": "x" * 101}, "has what is no label in Parameter Store"),
        ({"label": "a:b"}, "has what is no label in Parameter Store"),
        ({"stage": "x"}, 'has no option "stage", only "version" and "label"'),
        (
            {"version": "3", "label": "blue"},
            "names both a version and a label, of which one is enough",
        ),
    ],
)
def test_odd_options(
    fake: FakeAws, resolver: SsmResolver, options: dict[str, Any], detail: str
) -> None:
    """An option that means nothing is refused, and nobody is asked."""
    assert Invalid(detail) == ask(resolver, "/app", **options)
    assert [] == fake.requests


# --- ARNs ---


def test_arn(add: Add, moto: Moto, resolver: SsmResolver) -> None:
    """A parameter is found by its ARN, alone, among others and with a version."""
    add("/prod/db", "first")
    add("/prod/db", "second")
    add("other", "other")
    arn = f"arn:aws:ssm:{moto.region}:{moto.account}:parameter/prod/db"
    assert "second" == text(ask(resolver, arn))
    assert "first" == text(ask(resolver, arn, version="1"))
    assert ["second", "other"] == texts(ask_all(resolver, arn, "other"))


def test_arn_of_another_region(add: Add, moto: Moto, resolver: SsmResolver) -> None:
    """The region in an ARN is where it is asked for, whatever the resolver's own."""
    add("/prod/db", "there", region="us-east-2")
    add("/prod/db", "here")
    there = f"arn:aws:ssm:us-east-2:{moto.account}:parameter/prod/db"
    assert ["there", "here"] == texts(ask_all(resolver, there, "/prod/db"))


# --- bare names ---


def test_bare_names(add: Add, resolver: SsmResolver) -> None:
    """A bare name is a parameter's name, if nothing else is said."""
    add("API_TOKEN", CANARY)
    assert CANARY == text(bare(resolver, "API_TOKEN"))
    assert NotFound() == bare(resolver, "API_TOKEN_2")


def test_bare_names_in_a_folder(add: Add) -> None:
    """A pattern says where bare names lie, also as fields of one parameter."""
    add("/flows/API_TOKEN", CANARY)
    add("/flows-of-all", f'{{"API_TOKEN": "{CANARY}-field"}}')
    folder, fields = SsmResolver(names="/flows/{name}"), SsmResolver(names="/flows-of-all#{name}")
    assert CANARY == text(bare(folder, "API_TOKEN"))
    assert f"{CANARY}-field" == text(bare(fields, "API_TOKEN"))
    assert NotFound() == ask(folder, "API_TOKEN")
    folder.close()
    fields.close()


def test_no_bare_names(fake: FakeAws) -> None:
    """Without a pattern nobody is asked for bare names."""
    assert isinstance(bare(SsmResolver(names=None), "app"), NotFound)
    assert [] == fake.requests


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"names": "/flows"}, "names"),
        ({"region": "eu west"}, "region"),
        ({"endpoint_url": "vpce.example.com"}, "endpoint_url"),
    ],
)
def test_odd_configuration(options: dict[str, str], path: str) -> None:
    """What could never work is refused at once."""
    with pytest.raises(ConfigurationError) as caught:
        SsmResolver(**options)
    assert path == caught.value.path


# --- several parameters ---


def test_one_question_for_many(add: Add, moto: Moto, resolver: SsmResolver) -> None:
    """Ten parameters are one question, and a missing one takes no other along."""
    names = [f"/many/{number}" for number in range(10)]
    for name in names[:-1]:
        add(name, f"value of {name}")
    ask(resolver, names[0])
    before = moto.calls()
    outcomes = ask_all(resolver, *names)
    assert before + 1 == moto.calls()
    assert [f"value of {name}" for name in names[:-1]] == texts(outcomes[:-1])
    assert NotFound() == outcomes[-1]


def test_more_than_fit_into_a_batch(fake: FakeAws, resolver: SsmResolver) -> None:
    """Batches hold ten."""
    names = [f"n{number}" for number in range(25)]
    fake.values |= {name: f"value of {name}" for name in names}
    assert [f"value of {name}" for name in names] == texts(ask_all(resolver, *names))
    assert [10, 10, 5] == [len(asked["Names"]) for _, asked in fake.asked]


def test_values_are_asked_for_in_plain_text(fake: FakeAws, resolver: SsmResolver) -> None:
    """Each question asks for decryption; the answer would be the encrypted value without it."""
    fake.denied.add("GetParameters")
    ask_all(resolver, "/app", "/other")
    assert {"GetParameters", "GetParameter"} == set(operations(fake))
    assert {True} == {asked["WithDecryption"] for _, asked in fake.asked}


def test_one_that_is_denied_takes_no_other_along(fake: FakeAws, resolver: SsmResolver) -> None:
    """AWS refuses the whole batch for one of it, so the others are asked for alone."""
    fake.values |= {"/other": "other", "/private": "private"}
    fake.denied.add("/private")
    names = ("/app", "/private", "/missing", "/other")
    assert [CANARY, DENIED, NotFound(), "other"] == texts(ask_all(resolver, *names))


@pytest.mark.parametrize("allowed", ["GetParameter", "GetParameters"])
def test_either_right_is_enough(fake: FakeAws, resolver: SsmResolver, allowed: str) -> None:
    """Of two rights one is enough, and the operation without a right is soon left alone."""
    fake.denied |= {"GetParameter", "GetParameters"} - {allowed}
    assert CANARY == text(ask(resolver, "/app"))
    fake.asked.clear()
    assert [CANARY, NotFound()] == texts(ask_all(resolver, "/app", "/missing"))
    assert {allowed} == set(operations(fake))


def test_rights_may_change(fake: FakeAws, resolver: SsmResolver) -> None:
    """An operation that was refused once is tried again when the other one is refused."""
    fake.denied.add("GetParameters")
    assert CANARY == text(ask(resolver, "/app"))
    fake.denied = {"GetParameter"}
    assert CANARY == text(ask(resolver, "/app"))
    fake.asked.clear()
    assert [CANARY, NotFound()] == texts(ask_all(resolver, "/app", "/missing"))
    assert ["GetParameters"] == operations(fake)


def test_reader_of_single_parameters(
    add: Add, moto: Moto, monkeypatch: pytest.MonkeyPatch, resolver: SsmResolver
) -> None:
    """With the right to single parameters alone, several are found all the same."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.reader.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.reader.secret)
    add("/a", "of a")
    add("/b", "of b")
    assert ["of a", "of b", NotFound()] == texts(ask_all(resolver, "/a", "/b", "/c"))
    before = moto.calls()
    assert ["of a", "of b"] == texts(ask_all(resolver, "/a", "/b"))
    assert before + 2 == moto.calls()


def test_no_right(
    add: Add, moto: Moto, monkeypatch: pytest.MonkeyPatch, resolver: SsmResolver
) -> None:
    """Who may do nothing is told which right is missing, for what is there and what is not."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.stranger.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.stranger.secret)
    add("/prod/db", CANARY)
    assert [DENIED, DENIED] == ask_all(resolver, "/prod/db", "/missing")
    assert resolver.health() is None


# --- faults ---


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (refusal("ParameterNotFound"), NotFound()),
        (refusal("ParameterVersionNotFound"), NotFound("has no such version or label")),
        (refusal("InvalidKeyId"), NO_DECRYPTION),
        (refusal("ValidationException"), Invalid("AWS does not understand the name or the option")),
        (refusal("ThrottlingException"), Unavailable("too many requests")),
        (refusal("InternalServerError"), Unavailable("AWS has a fault of its own")),
        (refusal("InternalServerError", 500), Unavailable("answered with status 500")),
        (
            refusal("ExpiredTokenException"),
            Forbidden("the credentials have expired: log in again, or set new ones"),
        ),
        (json_answer(200, {}), MALFORMED),
        (json_answer(200, {"Parameters": [{}]}), MALFORMED),
        (json_answer(200, {"Parameters": [{"Name": "/app", "Value": 5}]}), MALFORMED),
        (text_answer(200, "<html>welcome to this hotel</html>"), MALFORMED),
    ],
)
def test_refusals(fake: FakeAws, resolver: SsmResolver, answer: Answer, outcome: Outcome) -> None:
    """Every way in which AWS says no has its outcome, in words of our own, and is no repeated."""
    fake.inject(answer, times=None)
    assert outcome == ask(resolver, "/app")
    assert 1 == len(fake.requests)


def test_unavailable_for_one_is_unavailable_for_all(fake: FakeAws, resolver: SsmResolver) -> None:
    """Whoever cannot answer is not asked for the next."""
    fake.inject(refusal("ThrottlingException"), times=None)
    names = [f"n{number}" for number in range(30)]
    assert [Unavailable("too many requests")] * 30 == ask_all(resolver, *names)
    assert 1 == len(fake.requests)


@pytest.mark.parametrize(
    "document",
    [
        {"Parameters": [{"Name": ["/app"], "Value": "x"}, {}]},
        {"InvalidParameters": [{"Name": "/app"}, 5, ["/app"]]},
        {},
    ],
)
def test_batches_that_make_no_sense(
    fake: FakeAws, resolver: SsmResolver, document: dict[str, Any]
) -> None:
    """Parts of a batch that name nothing are passed over."""
    fake.values["/other"] = "other"
    fake.inject(json_answer(200, document))
    assert [CANARY, "other"] == texts(ask_all(resolver, "/app", "/other"))


def test_health(fake: FakeAws, resolver: SsmResolver) -> None:
    """Names are listed, which takes no right to a parameter; what is wrong is told."""
    fake.denied.add("DescribeParameters")
    assert resolver.health() is None
    assert [("DescribeParameters", {"MaxResults": 1})] == fake.asked
    fake.inject(text_answer(503, ""))
    assert "answered with status 503" == resolver.health()
