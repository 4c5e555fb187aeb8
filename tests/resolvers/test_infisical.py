"""Secrets in Infisical, read from a server that speaks as it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.http import Answer, json_answer, text_answer
from tests.fakes.infisical import LOGIN, FakeInfisical
from tests.resolvers.places.infisical import infisical
from tests.sending.raw import RawServer, always, reply
from webhook_storage.client import HttpClient
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
from webhook_storage.template import Reference, parse
from webhook_storage.testing import ResolverCase, ResolverSuite
from webhook_storage.token import Token, TokenCache
from webhook_storage_resolvers.infisical import InfisicalResolver
from webhook_storage_resolvers.infisical.login import UniversalAuth

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "CANARY-client-secret"
WRONG_CLIENT = Forbidden("the client id or secret is wrong, or locked for a while")
WRONG_TOKEN = Forbidden("the token is wrong or has ended")
DENIED = Forbidden("the identity may not read this", maybe_missing=True)
HIDDEN = Forbidden("the identity may not read the value")
NO_API = Unavailable("no API of Infisical answers there, check INFISICAL_API_URL")
NOT_UNDERSTOOD = Invalid("Infisical does not understand the project, environment or folder")
ODD = Unavailable("the answer is not what such a store sends")
NOT_INFISICAL = Unavailable("the answer is not one of Infisical's")
ABSENT = NotFound("there is no such secret or folder")
NOWHERE = Unavailable("no connection could be made")
NO_PATH = Invalid("a path is words between single slashes, the secret's name last")
V4, V3 = "/api/v4/secrets", "/api/v3/secrets/raw"
ID, CLIENT_SECRET = "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"

Make = Callable[..., InfisicalResolver]


class TestInfisicalSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Return the resolver and its place."""
        with infisical(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture(autouse=True)
def _credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the right credential, and nothing else of the machine's."""
    for name in ("API_URL", "DOMAIN", "TOKEN", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"INFISICAL_{name}", raising=False)
    for name in ("PROJECT_ID", "ENVIRONMENT"):
        monkeypatch.delenv(f"INFISICAL_{name}", raising=False)
    monkeypatch.setenv(ID, "client-id")
    monkeypatch.setenv(CLIENT_SECRET, SECRET)


def _fill(server: FakeInfisical) -> None:
    server.put("/USER", "me")
    server.put("/SETTINGS", '{"COLOUR": "green", "SIZE": 1.50}')
    server.put("/team/app/PASSWORD", "first")
    server.put("/team/app/PASSWORD", "second")
    server.put("/team/app/URL", "https://${PASSWORD}@db.test")


@pytest.fixture
def fake() -> Iterator[FakeInfisical]:
    """Start a fake Infisical with a few secrets."""
    with FakeInfisical(client_secret=SECRET) as server:
        _fill(server)
        yield server


@pytest.fixture
def old() -> Iterator[FakeInfisical]:
    """Start one that knows the old API only."""
    with FakeInfisical(client_secret=SECRET, old=True) as server:
        _fill(server)
        yield server


@pytest.fixture
def make(fake: FakeInfisical) -> Iterator[Make]:
    """Return a maker of resolvers that know where to ask."""
    made: list[InfisicalResolver] = []

    def build(server: FakeInfisical = fake, **options: Any) -> InfisicalResolver:
        there = {"address": server.url, "project": server.project, "environment": "prod"}
        made.append(InfisicalResolver(**{**there, **options}))
        return made[-1]

    yield build
    for resolver in made:
        resolver.close()


def ask(resolver: InfisicalResolver, name: str, **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "infisical", **parts)
    return resolver.resolve([reference], Deadline(5))[reference]


def bare(resolver: InfisicalResolver, name: str) -> Outcome:
    """Ask for a bare name."""
    return resolver.resolve([Reference(name)], Deadline(5))[Reference(name)]


def found(text: str, version: int = 1) -> Found:
    """Return the outcome for a value."""
    return Found(value=SecretValue(text), version=str(version))


def version(number: str) -> dict[str, Any]:
    """Return the option that asks for a version."""
    return {"options": (("version", number),)}


# --- what is found ---


@pytest.mark.parametrize(
    ("path", "name", "outcome"),
    [
        ("/", "USER", found("me")),
        ("/", "/USER", found("me")),
        ("/", "team/app/PASSWORD", found("second", 2)),
        ("/team", "app/PASSWORD", found("second", 2)),
        ("/team/app/", "PASSWORD", found("second", 2)),
        ("team/app", "PASSWORD", found("second", 2)),
        ("/team", "/USER", found("me")),
        ("/team", "/team/app/URL", found("https://second@db.test")),
        ("/", "NOTHING", ABSENT),
        ("/", "/none/USER", ABSENT),
    ],
)
def test_folders(make: Make, path: str, name: str, outcome: Outcome) -> None:
    """A name lies in the folder that is configured, below it, or where it says."""
    assert outcome == ask(make(path=path), name)


def test_references_as_they_are_written(make: Make) -> None:
    """A leading slash, three slashes and a field are understood."""
    texts = "${infisical:/team/app/PASSWORD}${infisical:///USER}${infisical:SETTINGS#SIZE}"
    references = parse(texts + "${infisical:team/app/PASSWORD?version=1}").references()
    answers = Resolution([make()]).resolve(references)
    assert [found("second", 2), found("me"), found("1.50"), found("first")] == [
        answers[each].outcome for each in references
    ]


@pytest.mark.parametrize(
    "name", ["", "/", "team/", "a//b", "../x", "a/./b", "a/%2e%2E/b", "a?b", "a#b", "a\\b", "a\0"]
)
def test_paths_that_lead_elsewhere_are_invalid(make: Make, fake: FakeInfisical, name: str) -> None:
    """A path cannot leave its folder, and nobody is asked."""
    assert NO_PATH == ask(make(), name)
    assert [] == fake.requests


@pytest.mark.parametrize("name", ["a b", "a&b=c", "\u00fc", "100%", "a%41", "a+b", "a:b"])
def test_odd_names_are_encoded(make: Make, fake: FakeInfisical, name: str) -> None:
    """What may stand in a name arrives as it is, in the path and in the query."""
    fake.put(f"/{name}/{name}", "odd")
    assert found("odd") == ask(make(), f"{name}/{name}")


def test_versions(make: Make, old: FakeInfisical) -> None:
    """An older version can be read, but not from a server that passes over the wish."""
    path = "/team/app/PASSWORD"
    resolver = make()
    assert found("first") == ask(resolver, path, **version("1"))
    assert found("second", 2) == ask(resolver, path, **version("2"))
    assert ABSENT == ask(resolver, path, **version("3"))
    too_old = Invalid("this server does not give older versions")
    assert too_old == ask(make(old), path, **version("1"))
    assert found("second", 2) == ask(make(old), path, **version("2"))


def test_a_version_is_never_that_of_an_import(make: Make, fake: FakeInfisical) -> None:
    """Versions are counted in the folder that is named, so imports are left out."""
    fake.folder("/").imports.append("/team/app")
    assert found("second", 2) == ask(make(), "PASSWORD")
    assert ABSENT == ask(make(), "PASSWORD", **version("2"))


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ((("version", "last"),), "a version is a number"),
        ((("version", "-1"),), "a version is a number"),
        ((("version", "1" * 10),), "a version is a number"),
        ((("stage", "x"),), 'has no option "stage", only "version"'),
    ],
)
def test_odd_options_are_invalid(
    make: Make, fake: FakeInfisical, options: tuple[tuple[str, str], ...], detail: str
) -> None:
    """An option that means nothing is not ignored, and nobody is asked."""
    assert Invalid(detail) == ask(make(), "USER", options=options)
    assert [] == fake.requests


def test_what_may_not_be_read(make: Make, fake: FakeInfisical) -> None:
    """A denied secret is forbidden, and so is one of which only the value is."""
    fake.denied.add("USER")
    assert DENIED == ask(make(), "USER")
    fake.unreadable.add("SETTINGS")
    assert DENIED == ask(make(), "SETTINGS")
    assert ABSENT == ask(make(), "NOTHING")


# --- together, and bare names ---


def test_one_secret_is_read_by_itself(make: Make, fake: FakeInfisical) -> None:
    """It needs no right to list, and gets nothing else."""
    fake.lists = False
    assert found("me") == ask(make(), "USER")
    login, read = fake.requests
    assert (LOGIN, f"{V4}/USER") == (login.path, read.path)
    assert {
        "projectId": fake.project,
        "environment": "prod",
        "secretPath": "/",
        "viewSecretValue": "true",
        "expandSecretReferences": "true",
        "include_imports": "true",
    } == read.query


def test_several_of_a_folder_are_one_question(make: Make, fake: FakeInfisical) -> None:
    """A folder is listed when more than one of its secrets is wanted; versions are apart."""
    names = ["USER", "SETTINGS", "team/app/PASSWORD", "/team/app/URL"]
    wanted = [Reference(name, "infisical") for name in names]
    wanted.append(Reference(names[2], "infisical", options=(("version", "1"),)))
    wanted.append(Reference("USER"))
    outcomes = make().resolve(wanted, Deadline(5))
    assert [outcomes[each] for each in wanted] == [
        found("me"),
        found('{"COLOUR": "green", "SIZE": 1.50}'),
        found("second", 2),
        found("https://second@db.test"),
        found("first"),
        found("me"),
    ]
    assert Counter({LOGIN: 1, V4: 2, f"{V4}/PASSWORD": 1}) == fake.calls


def test_what_a_list_lacks_is_asked_for(make: Make, fake: FakeInfisical) -> None:
    """A list does not tell what is absent from what is denied, a question for it does."""
    fake.put("/DENIED", "x")
    fake.denied.add("DENIED")
    fake.put("/HIDDEN", "x")
    fake.unreadable.add("HIDDEN")
    wanted = [Reference(name) for name in ("USER", "DENIED", "HIDDEN", "NOTHING")]
    outcomes = make().resolve(wanted, Deadline(5))
    assert [found("me"), DENIED, HIDDEN, ABSENT] == [outcomes[each] for each in wanted]
    expected = {LOGIN: 1, V4: 1, f"{V4}/DENIED": 1, f"{V4}/NOTHING": 1}
    assert Counter(expected) == fake.calls


def test_who_may_not_list_reads_one_by_one(make: Make, fake: FakeInfisical) -> None:
    """A right to single secrets is enough."""
    fake.lists = False
    wanted = [Reference(name) for name in ("USER", "SETTINGS")]
    outcomes = make().resolve(wanted, Deadline(5))
    assert [Found, Found] == [type(outcomes[each]) for each in wanted]


def test_imports(make: Make, fake: FakeInfisical) -> None:
    """A folder's own secrets go first, then its last import, alone as in a list."""
    fake.folder("/").imports.extend(["/first", "/last"])
    for path, name in (("/first", "A"), ("/first", "B"), ("/last", "A"), ("/last", "USER")):
        fake.put(f"{path}/{name}", path)
    expected = {"A": found("/last"), "B": found("/first"), "USER": found("me")}
    together = make().resolve([Reference(name) for name in expected], Deadline(5))
    assert expected == {each.name: outcome for each, outcome in together.items()}
    assert expected == {name: bare(make(), name) for name in expected}


def test_personal_values_are_passed_over(make: Make, fake: FakeInfisical) -> None:
    """What a user sees instead is not what others get."""
    fake.folder("/").personal["USER"] = "mine"
    wanted = [Reference("USER"), Reference("SETTINGS")]
    assert found("me") == make().resolve(wanted, Deadline(5))[wanted[0]]


@pytest.mark.parametrize(
    ("names", "name", "outcome"),
    [
        ("/team/app/{name}", "PASSWORD", found("second", 2)),
        ("team/{name}/PASSWORD", "app", found("second", 2)),
        ("SETTINGS#{name}", "COLOUR", found("green")),
        ("SETTINGS#{name}", "SHAPE", NotFound("the secret has no such field")),
        (None, "USER", NotFound("bare names are not looked for, as `names` is not set")),
    ],
)
def test_places_of_bare_names(make: Make, names: str | None, name: str, outcome: Outcome) -> None:
    """A bare name is a secret in some folder, or a field of one secret."""
    assert outcome == bare(make(names=names), name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": "/team/PASSWORD"}, "must hold"),
        ({"client_id_variable": "A"}, "go together"),
        ({"client_secret_variable": "A"}, "go together"),
    ],
)
def test_configurations_that_cannot_be_meant(options: dict[str, str], message: str) -> None:
    """They are refused at once."""
    with pytest.raises(ConfigurationError, match=message):
        InfisicalResolver(**options)


# --- old servers ---


def test_an_old_server_is_asked_in_its_way(make: Make, old: FakeInfisical) -> None:
    """The old API is used where there is no new one, and that is remembered until `close`."""
    resolver = make(old)
    assert found("me") == ask(resolver, "USER")
    assert [LOGIN, f"{V4}/USER", f"{V3}/USER"] == [each.path for each in old.requests]
    assert old.project == old.last.query["workspaceId"]
    wanted = [Reference("USER"), Reference("SETTINGS"), Reference("NOTHING")]
    outcomes = resolver.resolve(wanted, Deadline(5))
    assert [Found, Found, NotFound] == [type(outcomes[each]) for each in wanted]
    assert [V3, f"{V3}/NOTHING"] == [each.path for each in old.requests[3:]]
    resolver.close()
    assert found("me") == ask(resolver, "USER")
    assert 2 == len(old.received(V4))


def test_a_server_that_becomes_new(make: Make, old: FakeInfisical) -> None:
    """When the old API is gone the new one is tried again."""
    resolver = make(old)
    assert found("me") == ask(resolver, "USER")
    old.old = False
    gone = {"message": "Route GET:/x not found", "error": "Not Found", "statusCode": 404}
    old.inject(json_answer(404, gone), path=V3, times=None)
    assert NO_API == ask(resolver, "USER")
    assert found("me") == ask(resolver, "USER")


# --- log-ins ---


def test_one_log_in(make: Make, fake: FakeInfisical) -> None:
    """A token is used again, by all threads, and forgotten by `close`."""
    resolver = make()
    with ThreadPoolExecutor(8) as pool:
        found_by_all = list(pool.map(lambda _: ask(resolver, "USER"), range(16)))
    assert [found("me")] * 16 == found_by_all
    assert 1 == fake.calls[LOGIN]
    resolver.close()
    assert found("me") == ask(resolver, "USER")
    assert 2 == fake.calls[LOGIN]


@pytest.mark.parametrize("how", ["revoked", "ended"])
def test_a_token_that_is_refused_is_replaced_once(
    make: Make, fake: FakeInfisical, how: str
) -> None:
    """After one refusal there is one more log-in, and the question is asked again."""
    resolver = make()
    assert found("me") == ask(resolver, "USER")
    if how == "revoked":
        fake.tokens.clear()
    else:
        fake.end_tokens()
    wanted = [Reference("USER"), Reference("team/app/PASSWORD", "infisical")]
    outcomes = resolver.resolve(wanted, Deadline(5))
    assert [found("me"), found("second", 2)] == [outcomes[each] for each in wanted]
    assert 2 == fake.calls[LOGIN]


def test_a_token_that_is_refused_again_is_not_asked_for_thrice(
    make: Make, fake: FakeInfisical
) -> None:
    """A server that refuses the new token as well is asked no more."""
    fake.inject(json_answer(401, {"reqId": "1", "error": "Unauthorized"}), path=V4, times=None)
    wanted = [Reference("USER"), Reference("team/app/PASSWORD", "infisical")]
    assert [WRONG_TOKEN] * 2 == list(make().resolve(wanted, Deadline(5)).values())
    assert Counter({LOGIN: 2, f"{V4}/USER": 2}) == fake.calls


def test_a_token_goes_to_its_server_only(
    make: Make, fake: FakeInfisical, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the address changes another token is got."""
    resolver = make(address=None)
    monkeypatch.setenv("INFISICAL_API_URL", fake.url)
    assert found("me") == ask(resolver, "USER")
    with FakeInfisical(client_secret="another") as other:
        monkeypatch.setenv("INFISICAL_API_URL", other.url)
        assert WRONG_CLIENT == ask(resolver, "USER")
        assert [LOGIN] == [each.path for each in other.requests]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json_answer(400, {"error": "BadRequest", "message": SECRET}), WRONG_CLIENT),
        (json_answer(401, {"error": "Unauthorized", "message": SECRET}), WRONG_CLIENT),
        (json_answer(403, {"error": "ForbiddenError"}), WRONG_CLIENT),
        (json_answer(422, {"error": "ValidationFailure", "message": [SECRET]}), WRONG_CLIENT),
        (json_answer(404, {"error": "Not Found"}), NO_API),
        (text_answer(404, SECRET), NO_API),
        (text_answer(403, SECRET), Unavailable("answered with status 403")),
        (text_answer(200, SECRET), ODD),
        (json_answer(200, {"accessToken": ""}), Unavailable("the log-in gave no token")),
        (json_answer(200, {"accessToken": [SECRET]}), Unavailable("the log-in gave no token")),
        (json_answer(200, {"accessToken": "\ud800"}), Unavailable("the log-in gave no token")),
        (json_answer(429, {"message": "in 9 seconds"}), Unavailable("too many requests", 9)),
        (json_answer(500, {}), Unavailable("answered with status 500")),
        (Answer(0), Unavailable("the answer broke off or was no HTTP")),
    ],
)
def test_log_ins_that_give_no_token(
    make: Make, fake: FakeInfisical, answer: Answer, outcome: Outcome
) -> None:
    """Each has its outcome, for all references and with one question; the next one tries anew."""
    fake.inject(answer, path=LOGIN)
    resolver = make()
    wanted = [Reference("USER"), Reference("team/app/PASSWORD", "infisical")]
    assert [outcome] * 2 == list(resolver.resolve(wanted, Deadline(5)).values())
    assert [LOGIN] == [each.path for each in fake.requests]
    assert found("me") == ask(resolver, "USER")


@pytest.mark.parametrize("life", [0, None, "soon", -5])
def test_a_token_whose_life_is_unknown_is_kept(
    make: Make, fake: FakeInfisical, life: object
) -> None:
    """It is used until it is refused."""
    fake.inject(
        json_answer(200, {"accessToken": fake.issue_token(), "expiresIn": life}), path=LOGIN
    )
    resolver = make()
    assert [found("me")] * 2 == [ask(resolver, "USER") for _ in range(2)]
    assert 1 == fake.calls[LOGIN]


def test_a_token_is_replaced_before_it_ends(fake: FakeInfisical) -> None:
    """It is used for nine tenths of the life that the server gave it."""
    now = [0.0]
    tokens = TokenCache(clock=lambda: now[0])
    credential = {"clientId": fake.client_id, "clientSecret": SECRET}
    http = HttpClient()
    login = UniversalAuth(http, fake.url, credential, tokens, Deadline(5))
    fake.ttl = 1000
    first = login.token()
    now[0] = 899.0
    assert first is login.token()
    now[0] = 901.0
    assert isinstance(login.token(), Token)
    assert 2 == fake.calls[LOGIN]
    http.close()


# --- configuration ---


@pytest.mark.parametrize("variable", ["INFISICAL_API_URL", "INFISICAL_DOMAIN"])
@pytest.mark.parametrize("end", ["", "/", "/api", "/api/"])
def test_places_of_the_environment(
    make: Make, fake: FakeInfisical, monkeypatch: pytest.MonkeyPatch, variable: str, end: str
) -> None:
    """Server, project and environment are where the command line has them."""
    resolver = make(address=None, project=None, environment=None)
    monkeypatch.setenv(variable, fake.url + end)
    assert Unavailable("no project: set INFISICAL_PROJECT_ID") == ask(resolver, "USER")
    monkeypatch.setenv("INFISICAL_PROJECT_ID", fake.project)
    assert Unavailable("no environment: set INFISICAL_ENVIRONMENT") == ask(resolver, "USER")
    assert "no environment: set INFISICAL_ENVIRONMENT" == resolver.health()
    monkeypatch.setenv("INFISICAL_ENVIRONMENT", "prod")
    assert found("me") == ask(resolver, "USER")
    assert resolver.health() is None


def test_the_cloud_is_the_default(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address the cloud is asked, by TLS: a proxy does not see the credential."""
    with RawServer(always(reply("403 Forbidden"))).serving() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert isinstance(ask(make(address=None), "USER"), Unavailable)
    assert ["app.infisical.com:443"] == [each.target for each in proxy.calls]
    assert SECRET.encode() not in proxy.last.raw


def test_other_names_of_the_client(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tools' names for id and secret are read when the first ones are not set."""
    for name in (ID, CLIENT_SECRET):
        monkeypatch.delenv(name)
    nothing = Unavailable(f"no credential: set {ID} and {CLIENT_SECRET}, or INFISICAL_TOKEN")
    assert nothing == ask(make(), "USER")
    monkeypatch.setenv("INFISICAL_CLIENT_ID", "client-id")
    no_secret = Unavailable("no client secret: set INFISICAL_CLIENT_SECRET")
    assert no_secret == ask(make(), "USER")
    monkeypatch.setenv("INFISICAL_CLIENT_SECRET", "wrong")
    assert WRONG_CLIENT == ask(make(), "USER")
    monkeypatch.setenv("INFISICAL_CLIENT_SECRET", SECRET)
    assert found("me") == ask(make(), "USER")


def test_named_variables_of_the_client(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named variables are the only ones that count, as long as the client is there."""
    resolver = make(client_id_variable="MY_ID", client_secret_variable="MY_SECRET")
    assert Unavailable("no client id: set MY_ID") == ask(resolver, "USER")
    monkeypatch.setenv("MY_ID", "client-id")
    assert Unavailable("no client secret: set MY_SECRET") == ask(resolver, "USER")
    monkeypatch.setenv("MY_SECRET", "wrong")
    assert WRONG_CLIENT == ask(resolver, "USER")
    monkeypatch.setenv("MY_SECRET", SECRET)
    assert found("me") == ask(resolver, "USER")


def test_a_given_token(make: Make, fake: FakeInfisical, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a client the token is used as it is, and not replaced when it has ended."""
    monkeypatch.delenv(ID)
    monkeypatch.setenv("INFISICAL_TOKEN", "wrong")
    assert WRONG_TOKEN == ask(make(), "USER")
    monkeypatch.setenv("INFISICAL_TOKEN", fake.issue_token())
    assert found("me") == ask(make(), "USER")
    fake.end_tokens()
    assert WRONG_TOKEN == ask(make(), "USER")
    assert 0 == fake.calls[LOGIN]


def test_a_named_token(make: Make, fake: FakeInfisical, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named variable for the token goes before every client."""
    resolver = make(token_variable="MY_TOKEN")
    assert Unavailable("no token: set MY_TOKEN") == ask(resolver, "USER")
    monkeypatch.setenv("MY_TOKEN", "wrong")
    assert WRONG_TOKEN == ask(resolver, "USER")
    monkeypatch.setenv("MY_TOKEN", fake.issue_token())
    assert found("me") == ask(resolver, "USER")
    assert 0 == fake.calls[LOGIN]


def test_odd_token_is_not_repeated(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that cannot stand in a header does not come back in the outcome."""
    monkeypatch.setenv("MY_TOKEN", f"{SECRET}\nline")
    outcome = ask(make(token_variable="MY_TOKEN"), "USER")
    assert isinstance(outcome, Unavailable)
    assert SECRET not in outcome.detail


def test_certificate_is_checked(make: Make) -> None:
    """A server with an unknown certificate is not asked; with its CA it is."""
    with FakeInfisical(client_secret=SECRET, tls=True) as secure:
        _fill(secure)
        assert isinstance(ask(make(secure), "USER"), Unavailable)
        assert [] == secure.requests
        assert found("me") == ask(make(secure, cacert=secure.ca_file), "USER")


# --- trouble ---


def _error(status: int, error: str, message: str = SECRET, **headers: str) -> Answer:
    body = {"reqId": "1", "statusCode": status, "message": message, "error": error}
    return json_answer(status, body, headers)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (_error(400, "BadRequest"), NOT_UNDERSTOOD),
        (_error(422, "ValidationFailure"), NOT_UNDERSTOOD),
        (_error(403, "PermissionDenied"), DENIED),
        (text_answer(403, SECRET), DENIED),
        (_error(404, "NotFound"), ABSENT),
        (text_answer(404, SECRET), NO_API),
        (text_answer(400, SECRET), Unavailable("answered with status 400")),
        (_error(429, "RateLimitExceeded"), Unavailable("too many requests")),
        (_error(429, "R", "again in 12 seconds"), Unavailable("too many requests", 12)),
        (_error(429, "R", "again in 1 second"), Unavailable("too many requests", 1)),
        (_error(429, "R", "in 1234567 seconds"), Unavailable("too many requests")),
        (_error(429, "R", "in \u0661 seconds"), Unavailable("too many requests")),
        (
            _error(429, "R", "in 12 seconds", **{"Retry-After": "7"}),
            Unavailable("too many requests", 7),
        ),
        (text_answer(429, "in 12 seconds"), Unavailable("too many requests")),
        (_error(500, "InternalServerError"), Unavailable("answered with status 500")),
        (text_answer(502, SECRET), Unavailable("answered with status 502")),
        (text_answer(200, SECRET), ODD),
        (json_answer(200, [SECRET]), ODD),
        (json_answer(200, {"secret": SECRET}), NOT_INFISICAL),
        (json_answer(200, {"secret": {"secretValue": [SECRET]}}), NOT_INFISICAL),
        (json_answer(200, {"secret": {"secretValue": "\ud800"}}), NOT_INFISICAL),
        (json_answer(200, {"secret": {"secretValue": "x"}}), Found(value=SecretValue("x"))),
        (
            json_answer(200, {"secret": {"secretValue": "x", "secretValueHidden": True}}),
            HIDDEN,
        ),
        (
            Answer(302, b"", {"Location": "http://other.invalid/"}),
            Unavailable("redirects elsewhere, to where the credential is not sent"),
        ),
        (Answer(0), Unavailable("the answer broke off or was no HTTP")),
    ],
)
def test_answers_and_their_meaning(
    make: Make, fake: FakeInfisical, answer: Answer, outcome: Outcome
) -> None:
    """Each way of not answering has its outcome, which repeats nothing of the answer."""
    fake.inject(answer, path=V4)
    fake.inject(answer, path=V3)
    assert outcome == ask(make(), "USER")


@pytest.mark.parametrize("listed", [{"secrets": None}, {"secrets": ["x"], "imports": ["x"]}])
def test_lists_that_are_none(make: Make, fake: FakeInfisical, listed: object) -> None:
    """What is no list of secrets holds none, and each is asked for by itself."""
    fake.inject(json_answer(200, listed), path=V4)
    wanted = [Reference("USER"), Reference("SETTINGS")]
    outcomes = make().resolve(wanted, Deadline(5))
    assert [Found, Found] == [type(outcomes[each]) for each in wanted]


def test_server_that_is_down_is_asked_once(make: Make, fake: FakeInfisical) -> None:
    """After one failure the rest of the references is not asked for."""
    fake.rate_limit(path=V4, times=None)
    wanted = [Reference(name, "infisical") for name in ("A", "B", "x/A", "y/A")]
    wanted.append(Reference("A", "infisical", options=(("version", "1"),)))
    outcomes = list(make().resolve(wanted, Deadline(5)).values())
    assert [Unavailable("too many requests", 12)] * 5 == outcomes
    assert 1 == len(fake.received(V4))


def test_no_time_no_question(make: Make, fake: FakeInfisical) -> None:
    """After the deadline nobody is asked."""
    reference = Reference("USER", "infisical")
    outcome = make().resolve([reference], Deadline(0))[reference]
    assert Unavailable("there was no time left to ask") == outcome
    assert [] == fake.requests


def test_health_sends_no_credential(make: Make, fake: FakeInfisical) -> None:
    """The state is asked for without logging in."""
    assert make().health() is None
    assert [("/api/status", None)] == [
        (each.path, each.headers.get("authorization")) for each in fake.requests
    ]
    fake.inject(text_answer(503, ""))
    assert "answered with status 503" == make().health()


def test_server_that_is_not_there(make: Make) -> None:
    """Nobody listening is unavailable, for questions and for the health."""
    with FakeInfisical() as gone:
        address = gone.url
    assert NOWHERE == ask(make(address=address), "USER")
    assert NOWHERE.detail == make(address=address).health()
