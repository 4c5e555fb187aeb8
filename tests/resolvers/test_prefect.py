"""Prefect's Secret blocks and context secrets, with stand-ins for Prefect 3 and Prefect 1.

The real Prefect 3 has its own tests, in `tests/fleet/test_prefect.py`.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.http import NO_ANSWER, Answer, json_answer, text_answer
from tests.fakes.prefect import FakePrefect, forgotten, installed
from tests.resolvers.places import Environment, without_proxies
from tests.resolvers.places.prefect import prefect as prefect_place
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.errors import ConfigurationError, SecretInvalidError
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage.sender import Sender
from webhook_storage.template import Reference
from webhook_storage.testing import FakeTransport, ResolverCase, ResolverSuite, canary
from webhook_storage.webhook import Webhook
from webhook_storage_resolvers.prefect import PrefectResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "CANARY-prefect-key"
VARIABLE = "PREFECT__CONTEXT__SECRETS__"
NO_ADDRESS = Unavailable(
    "no address: set PREFECT_API_URL, or use a profile of Prefect that has one"
)
REFUSED = Forbidden(
    "the credential is missing or wrong: check PREFECT_API_KEY or PREFECT_API_AUTH_STRING"
)
NO_API = Unavailable("the address is not that of Prefect's API, which ends with /api")
BAD_NAME = Invalid("a block name has lower-case letters, digits and hyphens only")


class TestPrefectSuite(ResolverSuite):
    """Blocks keep all promises of a resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: Environment) -> Iterator[ResolverCase]:
        """Start a server with a block."""
        with prefect_place(tmp_path, monkeypatch) as case:
            yield case


class TestPrefectOneSuite(ResolverSuite):
    """Secrets of the context keep all promises of a resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: Environment) -> Iterator[ResolverCase]:
        """Configure a secret as Prefect 1 wants it."""
        value = canary()
        monkeypatch.setenv(f"{VARIABLE}API_TOKEN", value)
        with installed("prefect_1", tmp_path, monkeypatch):
            yield ResolverCase(
                resolver=PrefectResolver(),
                present=Reference("API_TOKEN", "prefect"),
                value=value,
                absent=Reference("NOBODY_HAS_THIS", "prefect"),
            )


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrefect]:
    """Start a server that the environment leads to, with the right key."""
    without_proxies(monkeypatch, "PREFECT_")
    packages = installed("prefect_3", tmp_path, monkeypatch)
    with packages, FakePrefect(f"Bearer {KEY}") as server:
        server.put("api-token", "value")
        monkeypatch.setenv("PREFECT_API_URL", server.api)
        monkeypatch.setenv("PREFECT_API_KEY", KEY)
        yield server


def found(text: str, *, structured: bool = False) -> Found:
    """Return the outcome for a value."""
    return Found(value=SecretValue(text), structured=structured)


def ask(name: str, resolver: PrefectResolver | None = None, seconds: float = 20) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "prefect")
    return (resolver or PrefectResolver()).resolve([reference], Deadline(seconds))[reference]


def ask_all(*names: str) -> list[Outcome]:
    """Ask for several at once."""
    references = [Reference(name, "prefect") for name in names]
    answers = PrefectResolver().resolve(references, Deadline(20))
    return [answers[reference] for reference in references]


def bare(name: str, **options: Any) -> Outcome:
    """Ask for a bare name."""
    return PrefectResolver(**options).resolve([Reference(name)], Deadline(20))[Reference(name)]


# --- what a block holds ---


@pytest.mark.parametrize(
    "text",
    ["12345678901234567890", "1e5", "true", "null", '{"a": 1.50}', '"quoted"', " spaces \n", ""],
)
def test_texts_are_what_was_saved(fake: FakePrefect, text: str) -> None:
    """A text that looks like JSON stays that text, which `Secret.get()` would have parsed."""
    fake.put("api-token", text)
    assert ask("api-token") == found(text)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ({"user": "me", "password": "p"}, found('{"user":"me","password":"p"}', structured=True)),
        ([1, "a"], found('[1,"a"]')),
        (12345678901234567890, found("12345678901234567890")),
        (True, found("true")),
        (None, NotFound("the block holds null")),
        ("\ud800", Invalid("the block holds no text")),
    ],
)
def test_json_blocks(fake: FakePrefect, value: Any, outcome: Outcome) -> None:
    """A block may hold JSON itself; an object's fields have to be named."""
    fake.put("api-token", value)
    assert ask("api-token") == outcome


def test_fields_of_a_json_block(fake: FakePrefect) -> None:
    """A field is selected after a hash, and the block alone is refused with its field names."""
    fake.put("database", {"user": "me", "password": "open"})
    resolution = Resolution([PrefectResolver()])
    field, whole = (
        resolution.resolve([each])[each].outcome
        for each in (
            Reference("database", "prefect", field="password"),
            Reference("database", "prefect"),
        )
    )
    assert field == found("open")
    assert whole == Invalid("has 2 fields (password, user), name one with #")


def test_block_without_a_value_is_invalid(fake: FakePrefect) -> None:
    """What somebody registered under the type of Secret blocks need not be one."""
    fake.blocks["secret", "odd"] = {"token": "value"}
    told = "the block has no value, so it is no Secret block of Prefect's"
    assert ask("odd") == Invalid(told)


def test_names_of_other_block_types(fake: FakePrefect) -> None:
    """Only Secret blocks are read, whatever else bears the name."""
    fake.put("settings", "value", block_type="json")
    assert ask("settings") == NotFound()
    other = Invalid("only Secret blocks are read, and their names have no slash")
    assert ask("json/settings") == other
    assert ask("secret/api-token") == found("value")


@pytest.mark.parametrize("name", ["", "API_TOKEN", "..", "a b", "a%2fb", "a?b", "a\n", "é"])
def test_names_that_no_block_has_are_not_asked_for(fake: FakePrefect, name: str) -> None:
    """Prefect's rule for names is checked before anything is sent."""
    assert ask(name) == BAD_NAME
    assert fake.requests == []


def test_options_are_refused(fake: FakePrefect) -> None:
    """An option that means nothing is not ignored."""
    reference = Reference("api-token", "prefect", options=(("version", "1"),))
    answer = PrefectResolver().resolve([reference], Deadline(5))[reference]
    assert answer == Invalid('has no option "version", it takes none')


# --- bare names ---


def test_bare_names_are_spelled_as_blocks_are(fake: FakePrefect) -> None:
    """Capitals become small and underscores hyphens."""
    assert bare("API_TOKEN") == found("value")
    assert bare("OTHER_TOKEN") == NotFound()


def test_place_of_bare_names(fake: FakePrefect) -> None:
    """Bare names can have a part in common, be fields of one block, or not be looked for."""
    fake.put("team-api-token", "of the team")
    fake.put("team", '{"API_TOKEN": "a field"}')
    assert bare("API_TOKEN", names="team-{name}") == found("of the team")
    assert bare("API_TOKEN", names="team#{name}") == found("a field")
    assert bare("OTHER", names="team#{name}") == NotFound("the secret has no such field")
    told = "bare names are not looked for, as `names` is not set"
    assert bare("API_TOKEN", names=None) == NotFound(told)


def test_names_need_a_name() -> None:
    """A place that is the same for all bare names is refused."""
    with pytest.raises(ConfigurationError, match="names must hold"):
        PrefectResolver(names="team")


# --- batches ---


def test_each_block_is_read_once(fake: FakePrefect) -> None:
    """References to the same block share one question."""
    answers = ask_all("api-token", "secret/api-token", "absent")
    assert answers == [found("value"), found("value"), NotFound()]
    assert len(fake.received("/api/block_types")) == 2


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            json_answer(500, {"exception_message": "CANARY"}),
            Unavailable("answered with status 500"),
        ),
        (json_answer(401, {"exception_message": "Unauthorized"}), REFUSED),
    ],
)
def test_no_more_is_asked_in_vain(fake: FakePrefect, answer: Answer, outcome: Outcome) -> None:
    """When the server cannot be asked for one block, it is not asked for the next."""
    fake.inject(answer)
    assert ask_all("api-token", "other") == [outcome, outcome]
    assert len(fake.requests) == 1


def test_what_was_read_before_a_failure_is_found(fake: FakePrefect) -> None:
    """A failure in the middle of a batch takes along what comes after it, and no more."""
    fake.inject(json_answer(500, {}), path="/api/block_types/slug/secret/block_documents/name/b")
    late = Unavailable("answered with status 500")
    assert ask_all("api-token", "b", "c") == [found("value"), late, late]


def test_one_forbidden_block_is_one(fake: FakePrefect) -> None:
    """A right can be missing for one block only."""
    fake.denied.add("private")
    told = "the credential may not read this"
    assert ask_all("private", "api-token") == [Forbidden(told), found("value")]


# --- what servers answer ---


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json_answer(429, {}, {"Retry-After": "7"}), Unavailable("too many requests", 7.0)),
        (json_answer(503, {}, {"Retry-After": "3"}), Unavailable("answered with status 503", 3.0)),
        (json_answer(422, {}), Unavailable("answered with status 422")),
        (json_answer(404, {"detail": "Not Found"}), NO_API),
        (text_answer(404, "<h1>nothing here</h1>"), NO_API),
        (text_answer(200, "<h1>CANARY</h1>"), Unavailable("the answer is not one of Prefect's")),
        (json_answer(200, ["CANARY"]), Unavailable("the answer is not one of Prefect's")),
    ],
)
def test_answers_that_are_none(fake: FakePrefect, answer: Answer, outcome: Outcome) -> None:
    """What is neither a block nor a refusal is told in our own words, after one question."""
    fake.inject(answer)
    assert ask("api-token") == outcome
    assert len(fake.requests) == 1


def test_lost_connections_are_not_repeated(fake: FakePrefect) -> None:
    """Prefect's client would ask again for minutes."""
    fake.inject(NO_ANSWER, times=None)
    told = "Prefect could not ask its server, RemoteProtocolError"
    assert ask("api-token") == Unavailable(told)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(fake: FakePrefect, status: int) -> None:
    """Another server gets neither the key nor a question."""
    with FakePrefect() as elsewhere:
        elsewhere.put("api-token", "from elsewhere")
        there = f"{elsewhere.api}/block_types/slug/secret/block_documents/name/api-token"
        fake.inject(Answer(status, headers={"Location": there}))
        told = "redirects elsewhere, to where the credential is not sent"
        assert ask("api-token") == Unavailable(told)
        assert elsewhere.requests == []


def test_wrong_key(fake: FakePrefect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the server does not know, or none, is forbidden."""
    monkeypatch.setenv("PREFECT_API_KEY", "wrong")
    assert ask("api-token") == REFUSED
    monkeypatch.delenv("PREFECT_API_KEY")
    assert ask("api-token") == REFUSED


def test_basic_authentication(fake: FakePrefect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of one's own may want user and password."""
    fake.authorization = "Basic YWRtaW46cHc="
    assert ask("api-token") == REFUSED
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:pw")
    assert ask("api-token") == found("value")


# --- time and event loops ---


def test_deadline_ends_a_question(fake: FakePrefect) -> None:
    """A server that says nothing costs the deadline; without time nobody is asked."""
    fake.hang()
    assert ask("api-token", seconds=0.2) == Unavailable("did not answer in time")
    assert len(fake.requests) == 1
    assert ask("api-token", seconds=0) == Unavailable("there was no time left to ask")
    assert len(fake.requests) == 1


async def test_event_loop_that_runs_is_no_obstacle(fake: FakePrefect) -> None:
    """Whoever asks inside a coroutine gets the same, with the settings of that coroutine."""
    assert ask("api-token") == found("value")
    settings = importlib.import_module("prefect.settings")
    with settings.temporary_settings({settings.PREFECT_API_KEY: "wrong"}):
        assert ask("api-token") == REFUSED
    assert ask("api-token") == found("value")


def test_current_loop_of_a_thread_stays(fake: FakePrefect) -> None:
    """A loop that a program made for later is not replaced."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        assert ask("api-token") == found("value")
        assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


# --- addresses and profiles ---


def test_no_server_is_started_unasked(fake: FakePrefect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address there is nobody to ask, unless Prefect may start a server."""
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("STAND_IN_EPHEMERAL_URL", fake.api)
    assert ask("api-token") == NO_ADDRESS
    assert PrefectResolver().health() == NO_ADDRESS.detail
    assert fake.requests == []
    willing = PrefectResolver(allow_ephemeral=True)
    assert ask("api-token", willing) == found("value")
    monkeypatch.setenv("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    assert ask("api-token", willing) == NO_ADDRESS


PROFILES = """
active = "work"
[profiles.work]
PREFECT_API_URL = "{url}"
PREFECT_API_KEY = "CANARY-prefect-key"
[profiles.without-key]
PREFECT_API_URL = "{url}"
[profiles.empty]
"""


@pytest.fixture
def profiles(fake: FakePrefect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a file of profiles."""
    path = tmp_path / "profiles.toml"
    path.write_text(PROFILES.format(url=fake.api))
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(path))


@pytest.mark.usefixtures("profiles")
def test_active_profile_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment does not say, the active profile does."""
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.delenv("PREFECT_API_KEY")
    assert ask("api-token") == found("value")


@pytest.mark.usefixtures("profiles")
def test_other_profile_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is asked for by name is used as a whole."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("PREFECT_API_KEY", "wrong")
    assert ask("api-token", PrefectResolver(profile="work")) == found("value")
    assert ask("api-token", PrefectResolver(profile="empty")) == NO_ADDRESS
    missing = PrefectResolver(profile="missing")
    assert ask("api-token", missing) == Unavailable('Prefect has no profile "missing"')
    assert missing.health() == 'Prefect has no profile "missing"'


@pytest.mark.usefixtures("profiles")
def test_credentials_do_not_go_to_the_server_of_another_profile(
    fake: FakePrefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile without a key does not get that of the environment."""
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:pw")
    assert ask("api-token", PrefectResolver(profile="without-key")) == REFUSED
    assert "authorization" not in fake.last.headers


def test_tls_is_verified_for_another_profile(
    fake: FakePrefect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who trusts any certificate of one server does not so of the next."""
    with FakePrefect(tls=True) as server:
        server.put("api-token", "over TLS")
        path = tmp_path / "profiles.toml"
        path.write_text(f'[profiles.tls]\nPREFECT_API_URL = "{server.api}"')
        monkeypatch.setenv("PREFECT_PROFILES_PATH", str(path))
        monkeypatch.setenv("PREFECT_API_URL", server.api)
        monkeypatch.setenv("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "true")
        assert ask("api-token") == found("over TLS")
        told = "Prefect could not ask its server, ConnectError"
        assert ask("api-token", PrefectResolver(profile="tls")) == Unavailable(told)


# --- health ---


def test_health_takes_no_credential(fake: FakePrefect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers is well, and no block is read."""
    monkeypatch.delenv("PREFECT_API_KEY")
    assert PrefectResolver().health() is None
    assert [request.path for request in fake.requests] == ["/api/health"]
    fake.inject(json_answer(503, {}))
    assert PrefectResolver().health() == "answered with status 503"
    fake.inject(json_answer(404, {"detail": "no such workspace"}))
    assert PrefectResolver().health() == NO_API.detail
    monkeypatch.setenv("PREFECT_API_URL", fake.url)
    assert PrefectResolver().health() == NO_API.detail


# --- without Prefect ---


def test_prefect_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to do is said."""
    told = "prefect is not installed: install it in the environment in which this runs"
    with forgotten():
        monkeypatch.setitem(sys.modules, "prefect", None)
        assert ask("api-token") == Unavailable(told)
        assert PrefectResolver().health() == told
        assert not PrefectResolver().local
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("code", "kind"),
    [("raise RuntimeError('x')", "RuntimeError"), ("import no_such", "ModuleNotFoundError")],
)
def test_prefect_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, kind: str
) -> None:
    """A broken installation is told from none."""
    (tmp_path / "prefect.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with forgotten():
        told = f"prefect cannot be imported, {kind}: see 'import prefect'"
        assert ask("api-token") == Unavailable(told)


# --- Prefect 1 ---


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put Prefect 1 in the place of Prefect 3."""
    without_proxies(monkeypatch, "PREFECT_")
    with installed("prefect_1", tmp_path, monkeypatch):
        yield


def context(**secrets: Any) -> Any:
    """Change the context's secrets for a while, as a flow run does."""
    return importlib.import_module("prefect").context(secrets=secrets)


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("value", "value"),
        ("12345678901234567890", "12345678901234567890"),
        ("1e5", "1e5"),
        ("0x1F", "0x1F"),
        ("true", "true"),
        ("None", "None"),
        ('{"a": 1.50}', '{"a": 1.50}'),
        ('{"a": true}', '{"a": true}'),
        ("[1, 2]", "[1, 2]"),
        ('"42"', "42"),
        ("", ""),
    ],
)
def test_variables_of_prefect_1(monkeypatch: pytest.MonkeyPatch, written: str, text: str) -> None:
    """What Prefect 1 made of a variable is undone; the quotes that it drops mark a text."""
    monkeypatch.setenv(f"{VARIABLE}API_TOKEN", written)
    assert ask("API_TOKEN") == found(text)
    assert bare("API_TOKEN") == found(text)
    assert ask("OTHER") == NotFound()


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("1e5", found("1e5")),
        (5, found("5")),
        ({"a": [1]}, found('{"a":[1]}')),
        ([1, "a"], found('[1,"a"]')),
        (0.5, Invalid(f"Prefect 1 made something else than text of it: set {VARIABLE}API_TOKEN")),
        (True, Invalid(f"Prefect 1 made something else than text of it: set {VARIABLE}API_TOKEN")),
        ({"a": "\ud800"}, Invalid("the secret is no text")),
    ],
)
def test_context_of_prefect_1(
    monkeypatch: pytest.MonkeyPatch, value: Any, outcome: Outcome
) -> None:
    """The context of a run counts, also against the environment."""
    monkeypatch.setenv(f"{VARIABLE}API_TOKEN", "1")
    with context(API_TOKEN=value):
        assert ask("API_TOKEN") == outcome
    assert ask("API_TOKEN") == found("1")


@pytest.mark.usefixtures("one")
async def test_context_is_that_of_the_thread() -> None:
    """The library asks in the thread of the caller, who has set the secret there."""
    resolver, reference = PrefectResolver(), Reference("API_TOKEN", "prefect")
    assert resolver.local
    with context(API_TOKEN="value"):
        resolution = Resolution([resolver])
        given = await resolver.aresolve([reference], Deadline(5))
        assert given[reference] == found("value")
        assert resolution.resolve([reference])[reference].outcome == found("value")
        assert (await resolution.aresolve([reference]))[reference].outcome == found("value")
    assert resolution.resolve([reference])[reference].outcome == NotFound()


def test_blocks_are_not_local(fake: FakePrefect) -> None:
    """With Prefect 3 there is a server to wait for."""
    assert not PrefectResolver().local


@pytest.mark.usefixtures("one")
def test_cloud_of_prefect_1_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that would lie there is not simply absent; with a server of one's own it is."""
    monkeypatch.setenv("PREFECT__CLOUD__USE_LOCAL_SECRETS", "false")
    monkeypatch.setenv(f"{VARIABLE}API_TOKEN", "value")
    told = "is not in the context, and the cloud of Prefect 1 is not asked"
    assert ask("OTHER") == Unavailable(told)
    assert ask("API_TOKEN") == found("value")


@pytest.mark.usefixtures("one")
def test_server_of_prefect_1_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """There secrets are local ones, whatever is said about the cloud."""
    monkeypatch.setenv("PREFECT__CLOUD__USE_LOCAL_SECRETS", "false")
    monkeypatch.setenv("PREFECT__BACKEND", "server")
    assert ask("OTHER") == NotFound()


@pytest.mark.usefixtures("one")
def test_prefect_1_has_no_profiles() -> None:
    """A profile that cannot be had is not passed over."""
    resolver = PrefectResolver(profile="work")
    told = "Prefect 1 has no profiles, leave `profile` out"
    assert ask("API_TOKEN", resolver) == Unavailable(told)
    assert resolver.health() == told
    assert PrefectResolver().health() is None


# --- in a request ---


def test_request_with_a_block(fake: FakePrefect) -> None:
    """A bare name and a block by its own name go into a request; a wrong one sends nothing."""
    fetch = {"url": "https://files.test/f", "headers": {"X": "${API_TOKEN} ${prefect:api-token}"}}
    transport = FakeTransport(lambda _: (200, {}, b"content"))
    with Sender(secrets=[PrefectResolver()], transport=transport):
        assert Webhook(fetch, "PUT", fetch, "GET").get() == b"content"
        assert [each.headers["x"] for each in transport.requests] == ["value value"]
        fetch["headers"] = {"X": "${prefect:API_TOKEN}"}
        with pytest.raises(SecretInvalidError, match="lower-case letters, digits and hyphens"):
            Webhook(fetch, "PUT", fetch, "GET").get()
    assert len(transport.requests) == 1
