"""Secrets in Google Secret Manager, read from a server that Google's own client agrees with."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.gcp import FakeGcp, castagnoli
from tests.fakes.gcp_login import error
from tests.fakes.http import Answer, json_answer, text_answer
from tests.rerouting import ReroutingTransport
from tests.resolvers.places import without_proxies
from tests.resolvers.places.gcp import PREFIXES, gcp
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
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite
from webhook_storage_resolvers.gcp import GcpResolver
from webhook_storage_resolvers.gcp.answers import crc32c

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "CANARY-gcp-5e"
DENIED = Forbidden("needs the role Secret Manager Secret Accessor", maybe_missing=True)
REFUSED = Forbidden("the token is not accepted, though it is new: check the endpoint")
NO_PROJECT = Unavailable(
    "no project: set GOOGLE_CLOUD_PROJECT to the id of one, or name it in the reference"
)

Make = Callable[..., GcpResolver]


class TestGcpSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Start the place."""
        with gcp(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGcp]:
    """Start Secret Manager with one secret of two versions, and an account that may read it."""
    without_proxies(monkeypatch, *PREFIXES)
    with FakeGcp() as place:
        place.add("app", "first")
        place.add("app", CANARY)
        key = place.write_key(tmp_path / "key.json", place.add_account("flows"))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
        yield place


@pytest.fixture
def make(fake: FakeGcp) -> Iterator[Make]:
    """Return a maker of resolvers that ask the fake."""
    made: list[GcpResolver] = []

    def build(**options: Any) -> GcpResolver:
        made.append(GcpResolver(**{"endpoint": fake.url, **options}))
        return made[-1]

    yield build
    for resolver in made:
        resolver.close()


def ask(resolver: GcpResolver, name: str, **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "gcp", **parts)
    return resolver.resolve([reference], Deadline(5))[reference]


def bare(resolver: GcpResolver, name: str) -> Outcome:
    """Ask for a bare name."""
    return resolver.resolve([Reference(name)], Deadline(5))[Reference(name)]


def found(text: str, version: str = "1") -> Found:
    """Return the outcome of a secret that is there."""
    return Found(value=SecretValue(text), version=version)


# --- what is found ---


@pytest.mark.parametrize(
    ("name", "options", "outcome"),
    [
        ("app", (), found(CANARY, "2")),
        ("app", (("version", "latest"),), found(CANARY, "2")),
        ("app", (("version", "1"),), found("first")),
        ("app", (("version", "stable"),), found("first")),
        ("projects/acme-flows/secrets/app", (), found(CANARY, "2")),
        ("projects/123456789012/secrets/app", (), found(CANARY, "2")),
        ("projects/acme-flows/secrets/app", (("version", "1"),), found("first")),
        ("projects/acme-flows/secrets/app/versions/1", (), found("first")),
        ("projects/acme-flows/secrets/app/versions/latest", (), found(CANARY, "2")),
        ("app", (("version", "3"),), NotFound()),
        ("app", (("version", "other"),), NotFound()),
        ("absent", (), NotFound()),
    ],
)
def test_spellings_of_a_name(
    make: Make, fake: FakeGcp, name: str, options: tuple[tuple[str, str], ...], outcome: Outcome
) -> None:
    """Short and full names, with a number or an alias of a version."""
    fake.secrets["projects/acme-flows/secrets/app"].aliases["stable"] = 1
    assert outcome == ask(make(), name, options=options)


@pytest.mark.parametrize("state", ["DISABLED", "DESTROYED"])
def test_versions_that_are_not_enabled(make: Make, fake: FakeGcp, state: str) -> None:
    """What was disabled or destroyed is not found, and the older version is not taken for it."""
    fake.secrets["projects/acme-flows/secrets/app"].versions[1].state = state
    assert NotFound("the version is disabled or was destroyed") == ask(make(), "app")
    assert found("first") == ask(make(), "app", options=(("version", "1"),))


def test_regional_secrets(make: Make, fake: FakeGcp) -> None:
    """The location is that of the resolver for short names, and that of the name for full ones."""
    fake.add("near", "here", location="europe-west1")
    region = "projects/acme-flows/locations/europe-west1"
    resolver = make(location="europe-west1")
    assert found("here") == ask(resolver, "near")
    assert found("here") == ask(make(), f"{region}/secrets/near")
    assert found("here") == ask(make(), f"{region}/secrets/near/versions/1")
    assert NotFound() == ask(make(), "near")
    assert NotFound() == ask(resolver, "projects/acme-flows/secrets/near")
    assert resolver.health() is None


@pytest.mark.parametrize(
    ("location", "origin"),
    [
        (None, "https://secretmanager.googleapis.com"),
        ("europe-west1", "https://secretmanager.europe-west1.rep.googleapis.com"),
    ],
)
def test_where_google_is_asked(
    make: Make, fake: FakeGcp, location: str | None, origin: str
) -> None:
    """Without an endpoint the location tells the host."""
    fake.add("near", "here", location=location or "")
    resolver = make(endpoint=None, location=location)
    routes = ReroutingTransport({origin: fake.url, fake.url: fake.url})
    resolver._client._transports.get(lambda: {"https": routes, "http": routes})
    assert found("here") == ask(resolver, "near")
    assert resolver.health() is None


@pytest.mark.parametrize(
    "payload", ["line\n", "ünïcode", "x" * 65536], ids=["line", "Unicode", "long"]
)
def test_payloads_are_values_as_they_are(make: Make, fake: FakeGcp, payload: str) -> None:
    """Nothing is taken away from a payload or added to it."""
    fake.add("odd", payload)
    assert found(payload) == ask(make(), "odd")


def test_bare_names(make: Make, fake: FakeGcp) -> None:
    """A bare name is a secret of its own, with more around it, or a field of one document."""
    fake.add("TOKEN", "own")
    fake.add("flows-TOKEN", "with more")
    fake.add("flows", '{"TOKEN": "field", "N": 1.50}')
    assert found("own") == bare(make(), "TOKEN")
    assert NotFound() == bare(make(), "OTHER")
    assert found("with more") == bare(make(names="flows-{name}"), "TOKEN")
    full = "projects/acme-flows/secrets/flows/versions/1#{name}"
    assert found("field") == bare(make(names=full), "TOKEN")
    assert found("1.50") == bare(make(names="flows#{name}"), "N")
    assert NotFound("the secret has no such field") == bare(make(names="flows#{name}"), "OTHER")
    nowhere = NotFound("bare names are not looked for, as `names` is not set")
    assert nowhere == bare(make(names=None), "TOKEN")


# --- what makes no sense ---


ACME = "projects/acme-flows"


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "a/b", "a.b", "a b", "app\n", "x" * 256, "app:access", "app/versions/1",
        "projects/p", "projects//secrets/app", "projects/../secrets/app", "projects/A/secrets/app",
        "secrets/app/projects/p", "locations/europe-west1/secrets/app",
        f"{ACME}/secrets/", f"{ACME}/secrets/app/", f"{ACME}/secrets/app/versions/..",
        f"{ACME}/secrets/app/versions/0", f"{ACME}/secrets/app/versions/1/x",
        f"{ACME}/locations/a.evil.example/secrets/app", f"{ACME}/locations/@evil/secrets/app",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_invalid(make: Make, fake: FakeGcp, name: str) -> None:
    """What cannot be a name in Secret Manager is not asked for."""
    assert isinstance(ask(make(), name), Invalid)
    assert [] == fake.requests


@pytest.mark.parametrize(
    ("name", "options", "detail"),
    [
        ("app", (("stage", "x"),), 'has no option "stage", only "version"'),
        ("app", (("version", ""),), "has what is no name of versions in Secret Manager"),
        ("app", (("version", "../x"),), "has what is no name of versions in Secret Manager"),
        ("app", (("version", "1 "),), "has what is no name of versions in Secret Manager"),
        (
            "projects/acme-flows/secrets/app/versions/1",
            (("version", "2"),),
            "names two versions",
        ),
    ],
)
def test_odd_options_are_invalid(
    make: Make, fake: FakeGcp, name: str, options: tuple[tuple[str, str], ...], detail: str
) -> None:
    """An option that means nothing is not ignored, and nobody is asked."""
    assert Invalid(detail) == ask(make(), name, options=options)
    assert [] == fake.requests


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"names": "flows"}, "names must hold"),
        ({"project": "a/b"}, "project is not the id"),
        ({"project": ""}, "project is not the id"),
        ({"location": "evil.example/"}, "location is not the id"),
    ],
)
def test_configuration_that_makes_no_sense(options: dict[str, str], words: str) -> None:
    """It is refused at once, not with the first secret."""
    with pytest.raises(ConfigurationError, match=words):
        GcpResolver(**options)


# --- the project ---


def test_whose_project_counts(make: Make, fake: FakeGcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference's, else the resolver's, else the environment's, else the credentials'."""

    def asked() -> str:
        return fake.last.path.split("/")[3]

    full = "projects/of-reference/secrets/app"
    resolver = make()
    assert found(CANARY, "2") == ask(resolver, "app")
    assert "acme-flows" == asked()
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-environment")
    assert DENIED == ask(resolver, "app")
    assert "of-environment" == asked()
    assert DENIED == ask(make(project="example.com:of-resolver"), "app")
    assert "example.com:of-resolver" == asked()
    assert DENIED == ask(make(project="of-resolver"), full)
    assert "of-reference" == asked()


@pytest.mark.parametrize("odd", ["a/../b", "Acme", "p?x=1"])
def test_project_that_can_be_none(
    make: Make, fake: FakeGcp, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    """What can be no project is not asked for; full names do not need one."""
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", odd)
    resolver = make()
    assert NO_PROJECT == ask(resolver, "app")
    assert NO_PROJECT.detail == resolver.health()
    assert 0 == fake.accesses()
    short, full = (Reference(name, "gcp") for name in ("app", "projects/acme-flows/secrets/app"))
    outcomes = resolver.resolve([short, full], Deadline(5))
    assert (NO_PROJECT, found(CANARY, "2")) == (outcomes[short], outcomes[full])


# --- together ---


def test_one_question_for_each_version(make: Make, fake: FakeGcp) -> None:
    """References to the same version cost one request, those to another one more."""
    references = [
        Reference("app", "gcp"),
        Reference("app", "gcp", options=(("version", "latest"),)),
        Reference("app"),
        Reference("projects/acme-flows/secrets/app", "gcp"),
        Reference("app", "gcp", options=(("version", "1"),)),
        Reference("absent", "gcp"),
        Reference("a b", "gcp"),
    ]
    outcomes = make().resolve(references, Deadline(5))
    kinds = [Found, Found, Found, Found, Found, NotFound, Invalid]
    assert kinds == [type(outcomes[each]) for each in references]
    assert (1, 3) == (fake.calls["/token"], fake.accesses())


def test_no_question_after_one_without_an_answer(make: Make, fake: FakeGcp) -> None:
    """When the store cannot be asked for one, it is not asked for the next."""
    fake.add("other", "value")
    references = [Reference(name, "gcp") for name in ("app", "other", "absent")]
    fake.inject(error(503, "UNAVAILABLE", CANARY), path="/v1/projects/")
    outcomes = make().resolve(references, Deadline(5))
    assert [Unavailable("answered with status 503")] * 3 == [outcomes[each] for each in references]
    assert 1 == fake.accesses()


def test_what_is_forbidden_stops_no_other_question(make: Make, fake: FakeGcp) -> None:
    """A right on one secret is no right on another, and the other way round."""
    fake.readers.clear()
    (account,) = fake.tokens.accounts
    fake.secrets["projects/acme-flows/secrets/app"].readers.add(account)
    fake.add("other", "value")
    references = [Reference(name, "gcp") for name in ("other", "absent", "app")]
    outcomes = make().resolve(references, Deadline(5))
    expected = [DENIED, DENIED, found(CANARY, "2")]
    assert expected == [outcomes[each] for each in references]


# --- answers ---


def access(payload: object = None, name: object = "projects/1/secrets/app/versions/7") -> Answer:
    """Return a successful answer."""
    return json_answer(200, {"name": name, "payload": payload})


def encoded(content: bytes) -> dict[str, str]:
    """Return a payload as Google sends it."""
    checksum = str(castagnoli(content))
    return {"data": base64.b64encode(content).decode(), "dataCrc32c": checksum}


MALFORMED = Unavailable("the answer is not what such a store sends")
DAMAGED = Unavailable("the payload was damaged on its way, its checksum is wrong")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (access(encoded(b"right")), found("right", "7")),
        (access({**encoded(b"right"), "dataCrc32c": "1"}), DAMAGED),
        (access({**encoded(b"right"), "data": encoded(b"wrong")["data"]}), DAMAGED),
        (access({"data": encoded(b"right")["data"]}), MALFORMED),
        (access({**encoded(b"right"), "data": CANARY}), MALFORMED),
        (access({**encoded(b"right"), "data": "ünïcode"}), MALFORMED),
        (access({**encoded(b"right"), "data": {}}), MALFORMED),
        (access(encoded(b"\xff\xfe")), Invalid("the payload is not UTF-8")),
        (access(), MALFORMED),
        (access(encoded(b"right"), name=None), MALFORMED),
        (text_answer(200, CANARY), MALFORMED),
        (json_answer(200, [CANARY]), MALFORMED),
        (
            error(400, "INVALID_ARGUMENT", CANARY),
            Invalid("Secret Manager does not understand the project, name or version"),
        ),
        (error(400, "OUT_OF_RANGE", CANARY), Unavailable("answered with status 400")),
        (text_answer(400, CANARY), Unavailable("answered with status 400")),
        (
            json_answer(400, {"error": {"status": [CANARY]}}),
            Unavailable("answered with status 400"),
        ),
        (error(403, "PERMISSION_DENIED", CANARY), DENIED),
        (text_answer(403, CANARY), DENIED),
        (json_answer(403, {"error": {"details": [CANARY, {"reason": {}}]}}), DENIED),
        (text_answer(404, CANARY), Unavailable("answered with status 404")),
        (
            error(429, "RESOURCE_EXHAUSTED", CANARY),
            Unavailable("too many requests"),
        ),
        (
            error(429, "RESOURCE_EXHAUSTED", CANARY, headers={"Retry-After": "30"}),
            Unavailable("too many requests", retry_after=30),
        ),
        (error(500, "INTERNAL", CANARY), Unavailable("answered with status 500")),
        (
            error(503, "UNAVAILABLE", CANARY, headers={"Retry-After": "5"}),
            Unavailable("answered with status 503", retry_after=5),
        ),
        (error(504, "DEADLINE_EXCEEDED", CANARY), Unavailable("answered with status 504")),
    ],
)
def test_answers_and_their_meaning(
    make: Make, fake: FakeGcp, answer: Answer, outcome: Outcome
) -> None:
    """Each answer has one outcome, without a word of Google's in it."""
    fake.inject(answer, path="/v1/projects/")
    assert outcome == ask(make(), "app")


@pytest.mark.parametrize(
    ("reason", "detail"),
    [
        (
            "SERVICE_DISABLED",
            "the Secret Manager API is off: enable it, or set GOOGLE_CLOUD_QUOTA_PROJECT",
        ),
        ("BILLING_DISABLED", "the project has no billing account: link one"),
        (
            "USER_PROJECT_DENIED",
            "the account may not use its quota project: it lacks the role Service Usage Consumer",
        ),
        (
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "the token lacks the scope cloud-platform: give it to the machine",
        ),
    ],
)
def test_reasons_why_nothing_may_be_read(
    make: Make, fake: FakeGcp, reason: str, detail: str
) -> None:
    """What Google tells about the project as a whole is told, and says nothing of the secret."""
    fake.reason = reason
    assert Forbidden(detail) == ask(make(), "app")


def test_damaged_payload_is_not_used(make: Make, fake: FakeGcp) -> None:
    """A wrong checksum is no secret; the next, right one is."""
    fake.checksum = "4711"
    resolver = make()
    assert DAMAGED == ask(resolver, "app")
    fake.checksum = None
    assert found(CANARY, "2") == ask(resolver, "app")


def test_token_does_not_follow_a_redirect(make: Make, fake: FakeGcp) -> None:
    """Another origin gets neither the question nor the token."""
    with FakeGcp() as other:
        headers = {"Location": f"{other.url}/v1/projects/acme-flows/secrets/app"}
        fake.inject(Answer(307, headers=headers), path="/v1/projects/")
        told = Unavailable("redirects elsewhere, to where the credential is not sent")
        assert told == ask(make(), "app")
        assert [] == other.requests


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_checksums_of_the_standard(data: bytes, checksum: int) -> None:
    """The examples of RFC 3720, by this library and by the fake, which computes them otherwise."""
    assert (checksum, checksum) == (crc32c(data), castagnoli(data))


# --- health, and what it costs ---


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, None),
        (error(403, "PERMISSION_DENIED", CANARY), None),
        (error(404, "NOT_FOUND", CANARY), None),
        (error(429, "RESOURCE_EXHAUSTED", CANARY), "too many requests"),
        (error(500, "INTERNAL", CANARY), "answered with status 500"),
        (error(401, "UNAUTHENTICATED", CANARY), REFUSED.detail),
        (Answer(0), "the answer broke off or was no HTTP"),
    ],
    ids=["well", "no right", "no such project", "busy", "broken", "refused", "hung up"],
)
def test_health(make: Make, fake: FakeGcp, answer: Answer | None, said: str | None) -> None:
    """It asks for no secret, and is well whoever may not list locations."""
    if answer is not None:
        fake.inject(answer, path="/v1/projects/")
    assert said == make().health()
    assert 0 == fake.accesses()


def test_import_brings_no_library() -> None:
    """Whoever does not ask Google does not wait for its library."""
    program = (
        "import sys, webhook_storage_resolvers.gcp;"
        "print([name for name in sys.modules if name.startswith(('google', 'requests'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert "[]\n" == done.stdout
