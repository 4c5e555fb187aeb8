"""Secrets of Kubernetes, read from a server that speaks as its API server does."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.http import Answer, json_answer, text_answer
from tests.fakes.kubernetes import FakeKubernetes, status
from tests.resolvers.places import without_proxies
from tests.resolvers.places.kubernetes import kubernetes
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
from webhook_storage.testing import ResolverCase, ResolverSuite
from webhook_storage_resolvers import kubernetes as module
from webhook_storage_resolvers.kubernetes import KubernetesResolver

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "CANARY-kubernetes-3d"
DENIED = Forbidden("needs a role with the verb get on secrets", maybe_missing=True)
REFUSED = Forbidden("the token is wrong or has expired: give one of this cluster")
NO_NAME = "names of secrets and namespaces have small letters, digits, '-' and '.' only"
OUTSIDE = Unavailable(
    "not in a cluster, KUBERNETES_SERVICE_HOST is not set: "
    "give api_server, token_file, ca_file and namespace"
)
MALFORMED = Unavailable("the answer is not what such a store sends")

Make = Callable[..., KubernetesResolver]


class TestKubernetesSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Start the place."""
        with kubernetes(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """Start a server with one secret, and an account that may get those of its namespace."""
    without_proxies(monkeypatch, "KUBERNETES_")
    with FakeKubernetes() as place:
        place.allow(place.add_account("team", "flows", token="right"), "team")
        place.put("team", "app", {"user": "me", "token": CANARY})
        yield place


@pytest.fixture
def mount(fake: FakeKubernetes, tmp_path: Path) -> Path:
    """Return what a pod has of its service account, at another place."""
    for name, text in (("token", "right\n"), ("namespace", "team"), ("wrong-token", "wrong")):
        (tmp_path / name).write_text(text)
    (tmp_path / "ca.crt").write_text(fake.ca_file.read_text())
    return tmp_path


@pytest.fixture
def make(fake: FakeKubernetes, mount: Path) -> Iterator[Make]:
    """Return a maker of resolvers that ask the fake with the right token."""
    made: list[KubernetesResolver] = []

    def build(**options: Any) -> KubernetesResolver:
        usual = {
            "api_server": fake.url,
            "token_file": mount / "token",
            "ca_file": mount / "ca.crt",
            "namespace": "team",
        }
        made.append(KubernetesResolver(**{**usual, **options}))
        return made[-1]

    yield build
    for resolver in made:
        resolver.close()


def ask(resolver: KubernetesResolver, name: str, **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "kubernetes", **parts)
    return resolver.resolve([reference], Deadline(5))[reference]


def bare(resolver: KubernetesResolver, name: str) -> Outcome:
    """Ask for a bare name."""
    return resolver.resolve([Reference(name)], Deadline(5))[Reference(name)]


def field(resolver: KubernetesResolver, name: str, key: str | None) -> Outcome:
    """Ask for one key of a secret, as a template does."""
    reference = Reference(name, "kubernetes", field=key)
    return Resolution([resolver]).resolve([reference])[reference].outcome


def value(outcome: Outcome) -> str:
    """Return the text that was found."""
    assert isinstance(outcome, Found)
    return outcome.value.reveal()


# --- what is found ---


@pytest.mark.parametrize("name", ["app", "team/app"])
def test_spellings_of_a_name(make: Make, fake: FakeKubernetes, name: str) -> None:
    """A secret of the own namespace may be named with and without it."""
    outcome = ask(make(), name)
    expected = Found(
        value=SecretValue(f'{{"user": "me", "token": "{CANARY}"}}'),
        structured=True,
        version=fake.secrets["team", "app"]["metadata"]["resourceVersion"],
    )
    assert expected == outcome


def test_namespaces_are_apart(make: Make, fake: FakeKubernetes) -> None:
    """Another namespace has other secrets, and needs a role of its own."""
    fake.put("other", "app", {"token": "other"})
    assert DENIED == ask(make(), "other/app")
    assert DENIED == ask(make(), "other/absent")
    assert DENIED == ask(make(namespace="other"), "app")
    fake.allow("system:serviceaccount:team:flows", "other", "app")
    assert '{"token": "other"}' == value(ask(make(namespace="other"), "app"))
    assert '{"token": "other"}' == value(ask(make(), "other/app"))
    assert DENIED == ask(make(), "other/absent")


def test_keys_of_a_secret(make: Make, fake: FakeKubernetes) -> None:
    """A template names one key; the names of the others are no secrets."""
    fake.put("team", "tls", {"tls.crt": "cert\n", "tls.key": "ünïcode"}, "kubernetes.io/tls")
    resolver = make()
    assert "cert\n" == value(field(resolver, "tls", "tls.crt"))
    assert "ünïcode" == value(field(resolver, "tls", "tls.key"))
    assert Invalid("has 2 fields (tls.crt, tls.key), name one with #") == field(
        resolver, "tls", None
    )
    assert Invalid('has no field "other", but 2 fields (tls.crt, tls.key)') == field(
        resolver, "tls", "other"
    )


def test_binary_values_are_none(make: Make, fake: FakeKubernetes) -> None:
    """A value that is not UTF-8 cannot be used, and takes no other key along."""
    data: dict[str, str | bytes] = {
        "key.p12": b"\x30\x82\xff\xfe",
        "half": b"\xed\xa0\x80",
        "password": CANARY,
    }
    fake.put("team", "store", data)
    resolver = make(names="store#{name}")
    assert CANARY == value(field(resolver, "store", "password"))
    for key in ("key.p12", "half"):
        assert Invalid(f'the field "{key}" is no text') == field(resolver, "store", key)
        assert Invalid("the field is no text") == bare(resolver, key)
    assert CANARY == value(bare(resolver, "password"))


@pytest.mark.parametrize("null", [False, True])
def test_secret_without_keys(make: Make, fake: FakeKubernetes, *, null: bool) -> None:
    """A secret may be there and hold nothing."""
    fake.put("team", "empty", {})
    if null:
        fake.secrets["team", "empty"]["data"] = None
    assert "{}" == value(ask(make(), "empty"))
    assert Invalid('has no field "token", but 0 fields') == field(make(), "empty", "token")


def test_bare_names(make: Make, fake: FakeKubernetes) -> None:
    """A bare name is a key of one secret, or a secret of its own if its letters are small."""
    fake.put("team", "flows", {"TOKEN": "of flows"})
    resolver = make(names="flows#{name}")
    assert "of flows" == value(bare(resolver, "TOKEN"))
    assert NotFound("the secret has no such field") == bare(resolver, "OTHER")
    assert "me" == value(bare(make(names="team/{name}#user"), "app"))
    assert NotFound() == bare(make(names="{name}#user"), "other")
    assert NotFound(NO_NAME) == bare(make(names="{name}#user"), "APP")
    nowhere = NotFound("bare names are not looked for, as `names` is not set")
    assert nowhere == bare(make(), "TOKEN")


def test_place_must_have_the_name_in_it() -> None:
    """A place that would be the same for all names is refused at once."""
    with pytest.raises(ConfigurationError, match="names must hold"):
        KubernetesResolver(names="flows#token")


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "/app", "team/", "team//app", "a/b/c", "..", "../app", "team/..", "App", "app?x",
        "app_1", "-app", "app-", "app.", "a..b", "TEAM/app", "te.am/app", "app\n", "ünïcode",
        "x" * 254, "x" * 64 + "/app", "%2e%2e/app",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_invalid(make: Make, fake: FakeKubernetes, name: str) -> None:
    """What can be no name in Kubernetes is not asked for."""
    assert Invalid(NO_NAME) == ask(make(), name)
    assert [] == fake.requests


def test_longest_names(make: Make, fake: FakeKubernetes) -> None:
    """What can be a name is asked for."""
    for name in ("x" * 253, f"{'n' * 63}/a.b-c", "team/a"):
        assert isinstance(ask(make(), name), NotFound | Forbidden)
    assert 3 == len(fake.requests)


def test_options_are_invalid(make: Make, fake: FakeKubernetes) -> None:
    """Kubernetes keeps no older versions, so there is nothing to choose."""
    outcome = ask(make(), "app", options=(("version", "1"),))
    assert Invalid('has no option "version", it takes none') == outcome
    assert [] == fake.requests


# --- together ---


def test_one_question_for_each_secret(make: Make, fake: FakeKubernetes) -> None:
    """References into one secret cost one request; what is forbidden stops no other."""
    names = ["other/app", "absent", "team/app"]
    references = [*(Reference(name, "kubernetes") for name in names), Reference("token")]
    outcomes = make(names="app#{name}").resolve(references, Deadline(5))
    kinds = [Forbidden, NotFound, Found, Found]
    assert kinds == [type(outcomes[each]) for each in references]
    assert 3 == len(fake.requests)
    again = [Reference(name, "kubernetes") for name in ("app", "team/app", "app")]
    assert {Found} == {type(each) for each in make().resolve(again, Deadline(5)).values()}
    assert 4 == len(fake.requests)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (status(503, "ServiceUnavailable", CANARY), Unavailable("answered with status 503")),
        (status(401, "Unauthorized", "Unauthorized"), REFUSED),
    ],
)
def test_no_question_after_one_without_an_answer(
    make: Make, fake: FakeKubernetes, answer: Answer, outcome: Outcome
) -> None:
    """When the server cannot be asked for one, it is not asked for the next."""
    fake.inject(answer)
    references = [Reference(name, "kubernetes") for name in ("app", "absent", "other/app")]
    outcomes = make().resolve(references, Deadline(5))
    assert [outcome] * 3 == [outcomes[each] for each in references]
    assert 1 == len(fake.requests)


# --- the pod ---


def test_everything_is_in_the_pod(
    fake: FakeKubernetes, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pod nothing needs to be said."""
    monkeypatch.setattr(module, "_MOUNT", mount)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(fake.port))
    resolver = KubernetesResolver()
    assert CANARY in value(ask(resolver, "app"))
    assert resolver.health() is None
    assert "Bearer right" == fake.last.headers["authorization"]
    resolver.close()


def test_outside_of_a_cluster(make: Make, fake: FakeKubernetes) -> None:
    """It is told what to give."""
    assert OUTSIDE == ask(make(api_server=None), "app")
    assert OUTSIDE.detail == make(api_server=None).health()
    assert [] == fake.requests


@pytest.mark.parametrize(
    ("host", "port", "origin"),
    [
        ("10.0.0.1", "6443", "https://10.0.0.1:6443"),
        ("10.0.0.1", None, "https://10.0.0.1:443"),
        ("fd00::1", "443", "https://[fd00::1]:443"),
        ("", "443", None),
    ],
)
def test_address_of_the_server(
    monkeypatch: pytest.MonkeyPatch, host: str, port: str | None, origin: str | None
) -> None:
    """The cluster gives each pod the address of its API server, which may be of IPv6."""
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    if port is not None:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    assert origin == KubernetesResolver()._server()


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_token_file_that_holds_none(
    make: Make, fake: FakeKubernetes, mount: Path, content: bytes | None
) -> None:
    """Without a token nobody is asked; anonymous rights are not what was meant."""
    file = mount / "odd-token"
    if content is not None:
        file.write_bytes(content)
    resolver = make(token_file=file)
    told = Unavailable("no token: the token file cannot be read, or is empty")
    assert told == ask(resolver, "app")
    assert told.detail == resolver.health()
    assert [] == fake.requests


def test_token_file_is_read_each_time(make: Make, fake: FakeKubernetes, mount: Path) -> None:
    """A token that the cluster replaced is used from then on, right or wrong."""
    resolver = make()
    assert isinstance(ask(resolver, "app"), Found)
    fake.add_account("team", "flows", token="next")
    del fake.accounts["right"]
    assert REFUSED == ask(resolver, "app")
    assert REFUSED.detail == resolver.health()
    (mount / "token").write_text("next")
    assert isinstance(ask(resolver, "app"), Found)
    assert resolver.health() is None


def test_token_with_a_line_break_is_not_sent(make: Make, fake: FakeKubernetes, mount: Path) -> None:
    """What stands in the token file adds no header."""
    (mount / "token").write_text("right\r\nX-Remote-User: admin")
    assert isinstance(ask(make(), "app"), Unavailable)
    assert [] == fake.requests


def test_certificate_is_checked(make: Make, fake: FakeKubernetes, mount: Path) -> None:
    """A server that the CA did not sign gets no token."""
    with FakeKubernetes() as other:
        stranger = ask(make(api_server=other.url), "app")
        assert isinstance(stranger, Unavailable)
        assert [] == other.requests
    assert isinstance(ask(make(ca_file=None), "app"), Unavailable)
    absent = Unavailable("the CA file cannot be read")
    assert absent == ask(make(ca_file=mount / "absent.crt"), "app")
    assert absent.detail == make(ca_file=mount / "absent.crt").health()
    assert isinstance(ask(make(ca_file=mount / "token"), "app"), Unavailable)
    assert [] == fake.requests


@pytest.mark.parametrize("content", [None, "", "../x", "a b", "team\n"])
def test_namespace_of_the_pod(
    make: Make,
    mount: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
) -> None:
    """A pod has a namespace; one that can be none is not asked for, full names need none."""
    monkeypatch.setattr(module, "_MOUNT", mount)
    (mount / "namespace").unlink()
    if content is not None:
        (mount / "namespace").write_text(content)
    short, full = Reference("app", "kubernetes"), Reference("team/app", "kubernetes")
    outcomes = make(namespace=None).resolve([short, full], Deadline(5))
    assert isinstance(outcomes[full], Found)
    nowhere = Unavailable("no namespace: give namespace, or write namespace/secret")
    assert (outcomes[full] if content == "team\n" else nowhere) == outcomes[short]


# --- answers ---


def secret(**changes: object) -> Answer:
    """Return a secret with one key, changed."""
    data = {"a": base64.b64encode(b"b").decode()}
    return json_answer(200, {"kind": "Secret", "metadata": {}, "data": data, **changes})


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (secret(), Found(value=SecretValue('{"a": "b"}'), structured=True)),
        (secret(kind="ConfigMap"), MALFORMED),
        (secret(kind=[CANARY]), MALFORMED),
        (secret(data=CANARY), MALFORMED),
        (secret(data={"a": CANARY}), MALFORMED),
        (secret(data={"a": {}}), MALFORMED),
        (secret(data={"a": "ünïcode"}), MALFORMED),
        (text_answer(200, CANARY), MALFORMED),
        (text_answer(401, CANARY), REFUSED),
        (text_answer(403, CANARY), DENIED),
        (status(404, "NotFound", CANARY), NotFound()),
        (text_answer(404, CANARY), Unavailable("answered with status 404")),
        (status(410, "Gone", CANARY), Unavailable("answered with status 410")),
        (status(429, "TooManyRequests", CANARY), Unavailable("too many requests")),
        (
            text_answer(429, CANARY, {"Retry-After": "30"}),
            Unavailable("too many requests", retry_after=30),
        ),
        (status(500, "InternalError", CANARY), Unavailable("answered with status 500")),
        (
            Answer(307, headers={"Location": "http://127.0.0.1:1/"}),
            Unavailable("redirects elsewhere, to where the credential is not sent"),
        ),
        (Answer(0), Unavailable("the answer broke off or was no HTTP")),
    ],
)
def test_answers_and_their_meaning(
    make: Make, fake: FakeKubernetes, answer: Answer, outcome: Outcome
) -> None:
    """Each answer has one outcome, without a word of the server's in it."""
    fake.inject(answer)
    assert outcome == ask(make(), "app")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, None),
        (status(403, "Forbidden", CANARY), None),
        (text_answer(500, CANARY), "answered with status 500"),
        (Answer(0), "the answer broke off or was no HTTP"),
    ],
    ids=["well", "no right", "not ready", "hung up"],
)
def test_health(make: Make, fake: FakeKubernetes, answer: Answer | None, said: str | None) -> None:
    """It asks for no secret, and is well though it be forbidden to ask for health."""
    if answer is not None:
        fake.inject(answer)
    assert said == make().health()
    assert ["/readyz"] == [request.path for request in fake.requests]
