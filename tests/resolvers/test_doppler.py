"""Secrets in Doppler, read from a server that speaks as it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.doppler import FakeDoppler
from tests.fakes.http import Answer, json_answer, text_answer
from tests.resolvers.places.doppler import doppler
from tests.sending.raw import RawServer, always, reply
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
from webhook_storage_resolvers.doppler import DopplerResolver
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "dp.st.prd.CANARY"
WRONG = Forbidden("the token is wrong")
NO_CONFIG = Forbidden(
    "there is no such project or config, or the token may not read it", maybe_missing=True
)
DENIED = Forbidden("the token may not read this config")
NOT_DOPPLER = Unavailable("the answer is not one of Doppler's")
ABSENT = NotFound("the config has no such secret")
NOWHERE = Unavailable("no connection could be made")
RULE = 'a name has capital letters, digits and "_"'
NO_PLACE = Invalid(
    "Doppler does not understand the question, set DOPPLER_PROJECT and DOPPLER_CONFIG"
    " unless the token is that of one config"
)

Make = Callable[..., DopplerResolver]


class TestDopplerSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Return the resolver and its place."""
        with doppler(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the right token, and nothing else of the machine's."""
    for name in ("DOPPLER_PROJECT", "DOPPLER_CONFIG", "DOPPLER_API_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOPPLER_TOKEN", TOKEN)


@pytest.fixture
def fake() -> Iterator[FakeDoppler]:
    """Start a fake Doppler with a few secrets."""
    with FakeDoppler(token=TOKEN) as server:
        server.put("USER", "me")
        server.put("URL", "https://${USER}@db.test")
        server.put("SETTINGS", '{"COLOUR": "green", "SIZE": 1.50}')
        server.put("UNUSED", "not asked for")
        yield server


@pytest.fixture
def make(fake: FakeDoppler) -> Iterator[Make]:
    """Return a maker of resolvers that have the right token."""
    made: list[DopplerResolver] = []

    def build(**options: Any) -> DopplerResolver:
        made.append(DopplerResolver(**{"host": fake.url, **options}))
        return made[-1]

    yield build
    for resolver in made:
        resolver.close()


def ask(resolver: DopplerResolver, name: str, scheme: str | None = "doppler") -> Outcome:
    """Ask for one reference."""
    reference = Reference(name, scheme)
    return resolver.resolve([reference], Deadline(5))[reference]


def found(text: str) -> Found:
    """Return the outcome for a value."""
    return Found(value=SecretValue(text))


# --- what is found ---


@pytest.mark.parametrize("scheme", ["doppler", None])
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("USER", found("me")),
        ("URL", found("https://me@db.test")),
        ("NOTHING", ABSENT),
    ],
)
def test_names(make: Make, scheme: str | None, name: str, outcome: Outcome) -> None:
    """A name is the one that Doppler shows, with or without the scheme; references are resolved."""
    assert outcome == ask(make(), name, scheme)


def test_fields_of_json(make: Make) -> None:
    """A secret that is JSON has fields, and is a plain text as well."""
    plain, field = parse("${doppler:SETTINGS}${doppler:SETTINGS#SIZE}").references()
    answers = Resolution([make()]).resolve([plain, field])
    assert found('{"COLOUR": "green", "SIZE": 1.50}') == answers[plain].outcome
    assert found("1.50") == answers[field].outcome


@pytest.mark.parametrize("name", ["user", "1A", "A-B", "A,B", "A B", "A/B", "\u00c4"])
def test_names_that_doppler_does_not_allow(make: Make, fake: FakeDoppler, name: str) -> None:
    """They are the reference's fault; a bare one may be somebody else's. Nobody is asked."""
    resolver = make()
    assert Invalid(RULE) == ask(resolver, name)
    assert NotFound(RULE) == ask(resolver, name, None)
    assert [] == fake.requests


def test_a_bare_name_goes_on_in_its_chain(make: Make) -> None:
    """What cannot be in Doppler is looked for elsewhere."""
    secrets = Resolution([make(), MappingResolver({"colour": "blue"})])
    reference = Reference("colour")
    assert found("blue") == secrets.resolve([reference])[reference].outcome


def test_options_are_invalid(make: Make, fake: FakeDoppler) -> None:
    """There are none, and nobody is asked."""
    reference = Reference("USER", "doppler", options=(("version", "1"),))
    outcome = make().resolve([reference], Deadline(5))[reference]
    assert Invalid('has no option "version", it takes none') == outcome
    assert [] == fake.requests


def test_one_question_for_all(make: Make, fake: FakeDoppler) -> None:
    """All names are one question, which gets these, each once, and issues no credentials."""
    wanted = [
        Reference("USER", "doppler"),
        Reference("USER"),
        Reference("URL"),
        Reference("NO"),
        Reference("no"),
    ]
    outcomes = make().resolve(wanted, Deadline(5))
    assert [Found, Found, Found, NotFound, NotFound] == [type(outcomes[each]) for each in wanted]
    assert (
        "/v3/configs/config/secrets/download"
        "?format=json&include_dynamic_secrets=false&secrets=USER,URL,NO"
    ) == fake.last.target
    assert 1 == len(fake.requests)


@pytest.mark.parametrize(
    ("names", "name", "outcome"),
    [
        ("U{name}", "SER", found("me")),
        ("SETTINGS#{name}", "COLOUR", found("green")),
        ("SETTINGS#{name}", "SHAPE", NotFound("the secret has no such field")),
        ("{name}#x", "USER", Invalid("is not JSON, so it has no fields")),
        (None, "USER", NotFound("bare names are not looked for, as `names` is not set")),
    ],
)
def test_places_of_bare_names(make: Make, names: str | None, name: str, outcome: Outcome) -> None:
    """A bare name is a secret with a longer name, or a field of one secret."""
    assert outcome == ask(make(names=names), name, None)


@pytest.mark.parametrize(
    ("names", "message"), [("SETTINGS", "must hold"), ("app_{name}", "fits no secret")]
)
def test_patterns_for_bare_names(names: str, message: str) -> None:
    """A pattern that leads all names to one place, or none anywhere, is refused at once."""
    with pytest.raises(ConfigurationError, match=message):
        DopplerResolver(names=names)


# --- configuration ---


def test_host_and_token_of_the_environment(
    make: Make, fake: FakeDoppler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come from where the command line has them; a slash at the end changes nothing."""
    resolver = make(host=None)
    monkeypatch.setenv("DOPPLER_API_HOST", f"{fake.url}/")
    assert found("me") == ask(resolver, "USER")
    monkeypatch.setenv("DOPPLER_TOKEN", "dp.st.wrong")
    assert WRONG == ask(resolver, "USER")
    monkeypatch.delenv("DOPPLER_TOKEN")
    assert Unavailable("no token: set DOPPLER_TOKEN") == ask(resolver, "USER")
    assert "no token: set DOPPLER_TOKEN" == resolver.health()


def test_doppler_itself_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a host Doppler's own is asked, by TLS: a proxy sees neither token nor question."""
    with RawServer(always(reply("403 Forbidden"))).serving() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        resolver = DopplerResolver()
        assert isinstance(ask(resolver, "USER"), Unavailable)
        resolver.close()
    assert ["CONNECT api.doppler.com:443"] == [
        f"{each.method} {each.target}" for each in proxy.calls
    ]
    assert TOKEN.encode() not in proxy.last.raw


def test_token_of_another_variable(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named variable is the only one that counts."""
    resolver = make(token_variable="PROD_TOKEN")
    assert Unavailable("no token: set PROD_TOKEN") == ask(resolver, "USER")
    monkeypatch.setenv("PROD_TOKEN", "dp.st.wrong")
    assert WRONG == ask(resolver, "USER")
    monkeypatch.setenv("PROD_TOKEN", TOKEN)
    assert found("me") == ask(resolver, "USER")


def test_a_personal_token_needs_a_config(
    make: Make, fake: FakeDoppler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Project and config come from the environment or the configuration, which goes first."""
    monkeypatch.setenv("DOPPLER_TOKEN", fake.personal)
    fake.put("USER", "dev & co", project="backend", config="dev")
    fake.put("USER", "odd", project="a&b", config="c d")
    resolver = make()
    assert NO_PLACE == ask(resolver, "USER")
    monkeypatch.setenv("DOPPLER_PROJECT", "backend")
    assert NO_PLACE == ask(resolver, "USER")
    monkeypatch.setenv("DOPPLER_CONFIG", "prd")
    assert found("me") == ask(resolver, "USER")
    assert found("dev & co") == ask(make(config="dev"), "USER")
    assert found("odd") == ask(make(project="a&b", config="c d"), "USER")


def test_configs_that_may_not_be_read(
    make: Make, fake: FakeDoppler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A config that is missing or denied is no secret that is missing: the chain stops."""
    assert DENIED == ask(make(project="backend", config="dev"), "USER")
    monkeypatch.setenv("DOPPLER_TOKEN", fake.personal)
    assert NO_CONFIG == ask(make(project="backend", config="none"), "USER")
    secrets = Resolution(
        [make(project="backend", config="none"), MappingResolver({"USER": "else"})]
    )
    assert NO_CONFIG == secrets.resolve([Reference("USER")])[Reference("USER")].outcome


def test_odd_token_is_not_repeated(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that cannot stand in a header does not come back in the outcome."""
    monkeypatch.setenv("DOPPLER_TOKEN", f"{TOKEN}\nline")
    outcome = ask(make(), "USER")
    assert isinstance(outcome, Unavailable)
    assert TOKEN not in outcome.detail


def test_certificate_is_checked(make: Make) -> None:
    """A server with an unknown certificate is not asked; with its CA it is."""
    with FakeDoppler(token=TOKEN, tls=True) as secure:
        secure.put("USER", "tls")
        assert isinstance(ask(make(host=secure.url), "USER"), Unavailable)
        assert [] == secure.requests
        assert found("tls") == ask(make(host=secure.url, cacert=secure.ca_file), "USER")


# --- trouble ---


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json_answer(200, {"USER": None}), ABSENT),
        (json_answer(200, {"USER": "\ud800"}), Invalid("the secret is no text")),
        (json_answer(400, {"messages": [TOKEN]}), NO_PLACE),
        (json_answer(401, {"messages": [TOKEN]}), WRONG),
        (json_answer(403, {"messages": [TOKEN]}), DENIED),
        (json_answer(404, {"messages": [TOKEN]}), NO_CONFIG),
        (json_answer(429, {}), Unavailable("too many requests")),
        (json_answer(429, {}, {"Retry-After": "30"}), Unavailable("too many requests", 30)),
        (json_answer(500, {"messages": [TOKEN]}), Unavailable("answered with status 500")),
        (text_answer(502, TOKEN), Unavailable("answered with status 502")),
        (text_answer(403, TOKEN), NOT_DOPPLER),
        (text_answer(404, TOKEN), NOT_DOPPLER),
        (text_answer(200, TOKEN), NOT_DOPPLER),
        (json_answer(200, [TOKEN]), NOT_DOPPLER),
        (
            Answer(301, b"", {"Location": "http://other.invalid/"}),
            Unavailable("redirects elsewhere, to where the credential is not sent"),
        ),
        (Answer(0), Unavailable("the answer broke off or was no HTTP")),
    ],
)
def test_answers_and_their_meaning(
    make: Make, fake: FakeDoppler, answer: Answer, outcome: Outcome
) -> None:
    """Each way of not answering has its outcome, which repeats nothing of the answer."""
    fake.inject(answer)
    assert outcome == ask(make(), "USER")


def test_no_time_no_question(make: Make, fake: FakeDoppler) -> None:
    """After the deadline nobody is asked."""
    reference = Reference("USER", "doppler")
    outcome = make().resolve([reference], Deadline(0))[reference]
    assert Unavailable("there was no time left to ask") == outcome
    assert [] == fake.requests


def test_health_is_that_of_the_token(
    make: Make, fake: FakeDoppler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells a wrong token and a broken server, and reads no secret."""
    resolver = make()
    assert resolver.health() is None
    fake.inject(json_answer(503, {}))
    assert "answered with status 503" == resolver.health()
    monkeypatch.setenv("DOPPLER_TOKEN", "dp.st.wrong")
    assert WRONG.detail == resolver.health()
    assert {"/v3/me"} == {each.path for each in fake.requests}


def test_server_that_is_not_there(make: Make) -> None:
    """Nobody listening is unavailable, for questions and for the health."""
    with FakeDoppler() as gone:
        host = gone.url
    assert NOWHERE == ask(make(host=host), "USER")
    assert NOWHERE.detail == make(host=host).health()
