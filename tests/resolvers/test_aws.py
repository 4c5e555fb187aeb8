"""Secrets in Secrets Manager, from moto with its users' rights, and from a fake with its faults."""

from __future__ import annotations

import subprocess
import sys
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
    everything_logged,
    lead_to,
    leave_the_machine,
    text,
    texts,
)
from tests.resolvers.places.aws import aws
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
from webhook_storage_resolvers.aws import AwsResolver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.moto import Moto
    from webhook_storage.testing.case import ResolverCase

CANARY = "CANARY-aws-5d"
KEY = Key("AKIAFLOWS", f"{CANARY}-secret-key")
DENIED = Forbidden(
    "you lack secretsmanager:GetSecretValue, or kms:Decrypt for its key", maybe_missing=True
)
BAD_NAME = Invalid("is no name in Secrets Manager: letters, digits and /_+=.@-, or an ARN")
DELETED = NotFound("is marked for deletion")
MALFORMED = Unavailable("the answer is not what such a store sends")

Add = Callable[..., dict[str, Any]]


class TestAwsSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Start the place."""
        with aws(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture(autouse=True)
def _no_aws_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    leave_the_machine(monkeypatch, tmp_path)


@pytest.fixture
def add(moto: Moto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Add]:
    """Lead to moto; return what makes a secret there, which is gone after the test."""
    enter(monkeypatch, moto.environment(tmp_path))
    made = []

    def make(name: str, value: str | bytes, region: str = "", **more: Any) -> dict[str, Any]:
        client = moto.client("secretsmanager", region=region)
        kind = "SecretString" if isinstance(value, str) else "SecretBinary"
        made.append((client, name))
        answer: dict[str, Any] = client.create_secret(Name=name, **{kind: value}, **more)
        return answer

    yield make
    for client, name in made:
        client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """Lead to a fake with one secret."""
    with FakeAws(KEY) as place:
        place.values["app"] = CANARY
        lead_to(monkeypatch, place)
        yield place


@pytest.fixture
def resolver() -> Iterator[AwsResolver]:
    """Return a resolver that was told nothing."""
    made = AwsResolver()
    yield made
    made.close()


# --- one secret ---


def test_current_version(add: Add, resolver: AwsResolver) -> None:
    """A secret is found with the version that it has now."""
    added = add("prod/db", CANARY)
    expected = Found(value=SecretValue(CANARY), version=added["VersionId"])
    assert expected == ask(resolver, "prod/db")


@pytest.mark.parametrize(
    "name", ["plain", "/in/front", "rds!cluster-5f", "a/b_c+d=e.f@g-h", "ends-AbCdEf", "x" * 512]
)
def test_names(add: Add, resolver: AwsResolver, name: str) -> None:
    """Every name that a secret can have is asked for as it is."""
    add(name, CANARY)
    assert CANARY == text(ask(resolver, name))


@pytest.mark.parametrize(
    "name",
    [
        "a:b", "a b", "a//b", "a/", "a/./b", "../b", "a%2fb", "é", "a?b", "a\n", "x" * 513, "/",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/../b",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a:SecretString:key",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/a",
        "arn:aws:secretsmanager:eu-west-1.evil.example#:123456789012:secret:a",
    ],
)  # fmt: skip
def test_names_that_no_secret_has(fake: FakeAws, resolver: AwsResolver, name: str) -> None:
    """What cannot be a name is refused here, and nobody is asked."""
    assert BAD_NAME == ask(resolver, name)
    assert [] == fake.requests


def test_missing_secret(add: Add, resolver: AwsResolver) -> None:
    """What is not there is not found."""
    add("prod/db", CANARY)
    assert NotFound() == ask(resolver, "prod/db2")


def test_deleted_secret(add: Add, moto: Moto, resolver: AwsResolver) -> None:
    """A secret that waits for its deletion is not found, and it is said why."""
    add("going", CANARY)
    add("staying", CANARY)
    moto.client("secretsmanager").delete_secret(SecretId="going")
    assert DELETED == ask(resolver, "going")
    assert [DELETED, CANARY] == texts(ask_all(resolver, "going", "staying"))


def test_fields_of_json(add: Add, resolver: AwsResolver) -> None:
    """A field is picked by whoever asked, numbers as they are spelled."""
    add("prod/db", f'{{"password": "{CANARY}", "port": 5432.0}}')
    references = [Reference("prod/db", "aws", field=field) for field in ("password", "port")]
    answers = Resolution([resolver]).resolve(references)
    assert [CANARY, "5432.0"] == [text(answers[each].outcome) for each in references]


def test_binary_secret(add: Add, resolver: AwsResolver) -> None:
    """Bytes are the text that they encode; those that encode none are refused with advice."""
    add("text", f"{CANARY} ü".encode())
    add("noise", b"\xff\xfe\x00")
    advice = Invalid("is binary, and no UTF-8 text: store its base64 as a text instead")
    assert f"{CANARY} ü" == text(ask(resolver, "text"))
    assert advice == ask(resolver, "noise")
    assert [advice, f"{CANARY} ü"] == texts(ask_all(resolver, "noise", "text"))


# --- versions ---


def test_stages_and_versions(add: Add, moto: Moto, resolver: AwsResolver) -> None:
    """An older version is found by its stage or its id, and the current one as before."""
    first = add("prod/db", "first")["VersionId"]
    moto.client("secretsmanager").put_secret_value(SecretId="prod/db", SecretString="second")
    assert "second" == text(ask(resolver, "prod/db"))
    assert "second" == text(ask(resolver, "prod/db", stage="AWSCURRENT"))
    assert "first" == text(ask(resolver, "prod/db", stage="AWSPREVIOUS"))
    assert Found(value=SecretValue("first"), version=first) == ask(
        resolver, "prod/db", version=first
    )
    assert NotFound() == ask(resolver, "prod/db", stage="NO-SUCH-STAGE")
    assert NotFound() == ask(resolver, "prod/db", version="0" * 32)


def test_versions_of_one_secret_are_kept_apart(add: Add, moto: Moto, resolver: AwsResolver) -> None:
    """Two versions that are wanted at the same time do not get mixed up."""
    add("prod/db", "first")
    add("other", "other")
    moto.client("secretsmanager").put_secret_value(SecretId="prod/db", SecretString="second")
    previous = Reference("prod/db", "aws", options=(("stage", "AWSPREVIOUS"),))
    wanted = [Reference("prod/db", "aws"), previous, Reference("other", "aws")]
    answers = resolver.resolve(wanted, Deadline(10.0))
    assert ["second", "first", "other"] == [text(answers[each]) for each in wanted]


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"stage": ""}, "has what is no stage in Secrets Manager"),
        ({"stage": "A B"}, "has what is no stage in Secrets Manager"),
        ({"version": "3"}, "has what is no version in Secrets Manager"),
        ({"version": "x" * 65}, "has what is no version in Secrets Manager"),
        ({"label": "x"}, 'has no option "label", only "stage" and "version"'),
        (
            {"stage": "AWSCURRENT", "version": "0" * 32},
            "names both a stage and a version, of which one is enough",
        ),
    ],
)
def test_odd_options(
    fake: FakeAws, resolver: AwsResolver, options: dict[str, Any], detail: str
) -> None:
    """An option that means nothing is refused, and nobody is asked."""
    assert Invalid(detail) == ask(resolver, "app", **options)
    assert [] == fake.requests


# --- ARNs ---


def test_arn(add: Add, resolver: AwsResolver) -> None:
    """A secret is found by its ARN, alone and among others, and by one without the suffix."""
    arn = add("prod/db", CANARY)["ARN"]
    add("other", "other")
    assert CANARY == text(ask(resolver, arn))
    assert [CANARY, "other", CANARY] == texts(ask_all(resolver, arn, "other", arn[:-7]))


def test_arn_in_a_template(add: Add, resolver: AwsResolver) -> None:
    """An ARN is written in quotes, with options and field behind."""
    arn = add("prod/db", f'{{"password": "{CANARY}"}}')["ARN"]
    reference = Reference(arn, "aws", options=(("stage", "AWSCURRENT"),), field="password")
    assert CANARY == text(Resolution([resolver]).resolve([reference])[reference].outcome)


def test_arn_of_another_region(add: Add, resolver: AwsResolver) -> None:
    """The region in an ARN is where it is asked for, whatever the resolver's own."""
    there = add("prod/db", "there", region="us-east-2")["ARN"]
    add("prod/db", "here")
    assert ["there", "here"] == texts(ask_all(resolver, there, "prod/db"))


# --- bare names ---


def test_bare_names(add: Add, resolver: AwsResolver) -> None:
    """A bare name is a secret's name, if nothing else is said."""
    add("API_TOKEN", CANARY)
    assert CANARY == text(bare(resolver, "API_TOKEN"))
    assert NotFound() == bare(resolver, "API_TOKEN_2")


def test_bare_names_in_a_folder(add: Add) -> None:
    """A pattern says where bare names lie; references with the scheme are not concerned."""
    add("flows/API_TOKEN", CANARY)
    resolver = AwsResolver(names="flows/{name}")
    assert CANARY == text(bare(resolver, "API_TOKEN"))
    assert NotFound() == ask(resolver, "API_TOKEN")
    resolver.close()


def test_bare_names_as_fields(add: Add, moto: Moto) -> None:
    """All bare names can be fields of one secret, which is read once."""
    add("flows", f'{{"API_TOKEN": "{CANARY}", "USER": "me"}}')
    resolver = AwsResolver(names="flows#{name}")
    wanted = [Reference("API_TOKEN"), Reference("USER"), Reference("NOBODY")]
    before = moto.calls()
    answers = resolver.resolve(wanted, Deadline(10.0))
    assert [CANARY, "me"] == [text(answers[each]) for each in wanted[:2]]
    assert NotFound("the secret has no such field") == answers[wanted[2]]
    assert before + 1 == moto.calls()
    resolver.close()


def test_no_bare_names(fake: FakeAws) -> None:
    """Without a pattern nobody is asked for bare names."""
    assert isinstance(bare(AwsResolver(names=None), "app"), NotFound)
    assert [] == fake.requests


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"names": "flows"}, "names"),
        ({"region": "eu-west-1.evil.example/"}, "region"),
        ({"region": ""}, "region"),
        ({"endpoint_url": "vpce.example.com"}, "endpoint_url"),
        ({"endpoint_url": "file:///etc/passwd"}, "endpoint_url"),
    ],
)
def test_odd_configuration(options: dict[str, str], path: str) -> None:
    """What could never work is refused at once."""
    with pytest.raises(ConfigurationError) as caught:
        AwsResolver(**options)
    assert path == caught.value.path


# --- several secrets ---


def test_one_question_for_many(add: Add, moto: Moto, resolver: AwsResolver) -> None:
    """Twenty secrets are one question, and a missing one takes no other along."""
    names = [f"many/{number}" for number in range(20)]
    for name in names[:-1]:
        add(name, f"value of {name}")
    ask(resolver, names[0])
    before = moto.calls()
    outcomes = ask_all(resolver, *names)
    assert before + 1 == moto.calls()
    assert [f"value of {name}" for name in names[:-1]] == texts(outcomes[:-1])
    assert NotFound() == outcomes[-1]


def test_more_than_fit_into_a_batch(fake: FakeAws, resolver: AwsResolver) -> None:
    """Batches hold twenty; one that is left over is asked for alone."""
    names = [f"n{number}" for number in range(41)]
    fake.values |= {name: f"value of {name}" for name in names}
    assert [f"value of {name}" for name in names] == texts(ask_all(resolver, *names))
    sizes = [len(asked.get("SecretIdList", ["one"])) for _, asked in fake.asked]
    assert [20, 20, 1] == sizes


def test_one_alone_needs_no_right_to_batches(fake: FakeAws, resolver: AwsResolver) -> None:
    """One secret, however many references point into it, is read by its own operation."""
    fields = [Reference("app", "aws", field=field) for field in ("a", "b", None)]
    resolver.resolve([each.without_field() for each in fields], Deadline(10.0))
    assert [("GetSecretValue", {"SecretId": "app"})] == fake.asked


def test_without_the_right_to_batches(
    add: Add, moto: Moto, monkeypatch: pytest.MonkeyPatch, resolver: AwsResolver
) -> None:
    """Secrets are read one by one then, and a batch is not tried again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.reader.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.reader.secret)
    add("a", "of a")
    add("b", "of b")
    before = moto.calls()
    assert ["of a", "of b", NotFound()] == texts(ask_all(resolver, "a", "b", "c"))
    assert before + 4 == moto.calls()
    assert ["of a", "of b"] == texts(ask_all(resolver, "a", "b"))
    assert before + 6 == moto.calls()


def test_batch_that_succeeds_partly(fake: FakeAws, resolver: AwsResolver) -> None:
    """Each secret of a batch has an outcome of its own."""
    fake.values |= {"other": "other", "private": "private"}
    fake.denied.add("private")
    assert [CANARY, DENIED, NotFound(), "other"] == texts(
        ask_all(resolver, "app", "private", "missing", "other")
    )
    assert ["BatchGetSecretValue"] == [operation for operation, _ in fake.asked]


def test_what_a_batch_leaves_out_is_asked_alone(fake: FakeAws, resolver: AwsResolver) -> None:
    """An answer that is cut short, or an error that means nothing to us, is no outcome yet."""
    fake.values["other"] = "other"
    errors = [{"SecretId": "other", "ErrorCode": "NeverHeardOfException"}, {}]
    fake.inject(json_answer(200, {"SecretValues": [], "Errors": errors, "NextToken": "more"}))
    assert [CANARY, "other"] == texts(ask_all(resolver, "app", "other"))
    assert ["GetSecretValue"] * 2 == [operation for operation, _ in fake.asked]


def test_unavailable_for_one_is_unavailable_for_all(fake: FakeAws, resolver: AwsResolver) -> None:
    """Whoever cannot answer is not asked for the next, neither in batches nor alone."""
    fake.inject(refusal("ThrottlingException"), times=None)
    names = [f"n{number}" for number in range(30)]
    assert [Unavailable("too many requests")] * 30 == ask_all(resolver, *names)
    assert 1 == len(fake.requests)
    old = [Reference(name, "aws", options=(("stage", "OLD"),)) for name in names]
    answers = resolver.resolve(old, Deadline(10.0))
    assert [Unavailable("too many requests")] * 30 == list(answers.values())
    assert 2 == len(fake.requests)


def test_key_of_one_secret(fake: FakeAws, resolver: AwsResolver) -> None:
    """A secret whose key does not decrypt it takes no other along."""
    stages = [(("stage", stage),) for stage in ("AWSPREVIOUS", "AWSCURRENT")]
    wanted = [Reference("app", "aws", options=options) for options in stages]
    fake.inject(refusal("DecryptionFailure"))
    answers = resolver.resolve(wanted, Deadline(10.0))
    assert [Forbidden(NO_DECRYPTION), CANARY] == texts([answers[each] for each in wanted])


def test_refused_batch_of_another_kind(fake: FakeAws, resolver: AwsResolver) -> None:
    """A batch that is refused for a reason of one secret is asked one by one."""
    fake.values["other"] = "other"
    fake.inject(refusal("ValidationException"))
    assert [CANARY, "other"] == texts(ask_all(resolver, "app", "other"))


# --- rights and faults ---


def test_no_right(
    add: Add, moto: Moto, monkeypatch: pytest.MonkeyPatch, resolver: AwsResolver
) -> None:
    """Who may do nothing is told which right is missing, for what is there and what is not."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.stranger.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.stranger.secret)
    add("prod/db", CANARY)
    assert [DENIED, DENIED] == ask_all(resolver, "prod/db", "missing")
    assert resolver.health() is None


WRONG_KEY = (
    "AWS does not know the access key or session token: is it still active, and of this partition?"
)
WRONG_SIGNATURE = "the secret access key is wrong, or the clock of this machine is"
EXPIRED = "the credentials have expired: log in again, or set new ones"
NO_DECRYPTION = (
    "its KMS key does not decrypt it: is the key there and enabled, and kms:Decrypt allowed?"
)
NOT_UNDERSTOOD = "AWS does not understand the name or the option"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (refusal("ResourceNotFoundException"), NotFound()),
        (refusal("com.amazonaws#ResourceNotFoundException"), NotFound()),
        (refusal("ResourceNotFoundException:http://internal.amazon.com/"), NotFound()),
        (refusal("InvalidRequestException"), DELETED),
        (refusal("AccessDeniedException"), DENIED),
        (refusal("AccessDenied", 403), DENIED),
        (refusal("DecryptionFailure"), Forbidden(NO_DECRYPTION)),
        (refusal("UnrecognizedClientException"), Forbidden(WRONG_KEY)),
        (refusal("InvalidSignatureException"), Forbidden(WRONG_SIGNATURE)),
        (refusal("ExpiredTokenException"), Forbidden(EXPIRED)),
        (refusal("OptInRequired", 403), Forbidden("the region is not enabled in this account")),
        (refusal("InvalidParameterException"), Invalid(NOT_UNDERSTOOD)),
        (refusal("ValidationException"), Invalid(NOT_UNDERSTOOD)),
        (refusal("ThrottlingException"), Unavailable("too many requests")),
        (refusal("InternalServiceError"), Unavailable("AWS has a fault of its own")),
        (refusal("InternalServiceError", 500), Unavailable("answered with status 500")),
        (refusal("NeverHeardOfException"), Unavailable("answered with status 400")),
        (
            text_answer(403, "<html>the proxy's words</html>"),
            Forbidden("answered with status 403: is that AWS, or a proxy before it?"),
        ),
        (
            text_answer(503, "", {"Retry-After": "7"}),
            Unavailable("answered with status 503", retry_after=7.0),
        ),
        (
            text_answer(429, "", {"Retry-After": "8"}),
            Unavailable("too many requests", retry_after=8.0),
        ),
        (
            text_answer(307, "", {"Location": "http://127.0.0.1:1/"}),
            Unavailable("redirects elsewhere, to where the credential is not sent"),
        ),
    ],
)
def test_refusals(fake: FakeAws, resolver: AwsResolver, answer: Answer, outcome: Outcome) -> None:
    """Every way in which AWS says no has its outcome, in words of our own, and is no repeated."""
    fake.inject(answer, times=None)
    assert outcome == ask(resolver, "app")
    assert 1 == len(fake.requests)


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_nothing_is_repeated_on_request(
    fake: FakeAws, resolver: AwsResolver, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Whatever other programs are told about repetitions, here a question is sent once."""
    enter(monkeypatch, {"AWS_RETRY_MODE": mode, "AWS_MAX_ATTEMPTS": "5"})
    fake.inject(text_answer(500, ""), times=None)
    assert Unavailable("answered with status 500") == ask(resolver, "app")
    assert 1 == len(fake.requests)


@pytest.mark.parametrize(
    "answer",
    [
        json_answer(200, {}),
        json_answer(200, {"SecretString": 5}),
        json_answer(200, {"SecretString": {"a": "b"}}),
        text_answer(200, "<html>welcome to this hotel</html>"),
        text_answer(200, ""),
    ],
)
def test_answers_that_are_none(fake: FakeAws, resolver: AwsResolver, answer: Answer) -> None:
    """A success without a secret in it is none."""
    fake.inject(answer, times=None)
    assert MALFORMED == ask(resolver, "app")


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"SecretBinary": "a"}',
        b'{"SecretString": "x", "CreatedDate": "soon"}',
    ],
)  # fmt: skip
def test_answers_that_botocore_cannot_read(
    fake: FakeAws, resolver: AwsResolver, body: bytes
) -> None:
    """What botocore stumbles over is no answer, and does not stop anything else."""
    fake.inject(Answer(200, body))
    answer = ask(resolver, "app")
    assert isinstance(answer, Unavailable)
    assert answer.detail.startswith("no answer, ")
    assert CANARY == text(ask(resolver, "app"))


@pytest.mark.parametrize(
    "document",
    [
        {"SecretValues": [{"Name": ["app"], "SecretString": "x"}]},
        {"SecretValues": [{}]},
        {"Errors": [{"SecretId": {"a": "b"}, "ErrorCode": "ResourceNotFoundException"}]},
        {"Errors": [{"SecretId": "app", "ErrorCode": ["ResourceNotFoundException"]}]},
    ],
)
def test_batches_that_make_no_sense(
    fake: FakeAws, resolver: AwsResolver, document: dict[str, Any]
) -> None:
    """Parts of a batch that name nothing are passed over."""
    fake.values["other"] = "other"
    fake.inject(json_answer(200, document))
    assert [CANARY, "other"] == texts(ask_all(resolver, "app", "other"))


def test_lost_answer(fake: FakeAws, resolver: AwsResolver) -> None:
    """A connection that breaks off is told with the host and what to look at."""
    fake.lose_answer()
    where = f"asking {fake.host}: check region, endpoint and network"
    assert Unavailable(f"the answer broke off or was no HTTP, {where}") == ask(resolver, "app")


# --- health, and what it costs ---


def test_health(fake: FakeAws, resolver: AwsResolver) -> None:
    """Names are listed, which takes no right to a secret; what is wrong is told."""
    fake.denied.add("ListSecrets")
    assert resolver.health() is None
    assert [("ListSecrets", {"MaxResults": 1})] == fake.asked
    fake.inject(refusal("UnrecognizedClientException"))
    assert WRONG_KEY == resolver.health()
    fake.inject(text_answer(500, ""))
    assert "answered with status 500" == resolver.health()


def test_import_is_cheap() -> None:
    """Neither importing nor making a resolver loads botocore."""
    program = (
        "import sys; from webhook_storage_resolvers.aws import AwsResolver; "
        "from webhook_storage_resolvers.ssm import SsmResolver; AwsResolver(); SsmResolver(); "
        "print([name for name in sys.modules if name.startswith(('boto', 'urllib3'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"[]" == done.stdout.strip()


def test_logs_show_nothing_even_the_first_time(fake: FakeAws) -> None:
    """Loggers that botocore makes while it is asked are silent too, though all is logged."""
    fake.values["other"] = CANARY
    shown = everything_logged()
    assert "['Found', 'Found']\n['Found']\n" in shown
    assert "afterwards it logs again" in shown
    assert [] == [secret for secret in (CANARY, KEY.id) if secret in shown]
