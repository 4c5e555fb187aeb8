"""Secrets in Vault, read from a server that speaks as Vault does."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING

import pytest

from tests.fakes.http import Answer, json_answer, text_answer
from tests.fakes.vault import FakeVault, Mount
from tests.resolvers.places.vault import vault
from tests.resolvers.vault_helpers import (
    APP,
    CANARY,
    REFUSED,
    Make,
    ask,
    bare,
    fields,
    leave_the_machine,
    makes_resolvers,
    paths,
)
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
from webhook_storage.lazy import _after_fork
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite
from webhook_storage_resolvers.vault import VaultResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOUNTS = "sys/internal/ui/mounts"
NO_PATH = Invalid("a path is words between single slashes, mount first")
NO_ENGINE = Invalid("there is no key/value engine at this path")
NOT_UNDERSTOOD = Invalid('the engine at "secret" does not understand the path or version')
NOT_VAULT = Unavailable("the answer is not one of Vault's")
JSON = {"Content-Type": "application/json"}


class TestVaultSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Return the resolver and its place."""
        with vault(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture
def fake() -> Iterator[FakeVault]:
    """Start a fake Vault."""
    with FakeVault(token=f"{CANARY}-token") as server:
        yield server


@pytest.fixture
def make(fake: FakeVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Make]:
    """Return a maker of resolvers that have the right token."""
    leave_the_machine(monkeypatch, tmp_path)
    monkeypatch.setenv("VAULT_TOKEN", fake.token)
    with makes_resolvers(fake) as maker:
        yield maker


# --- what is found ---


@pytest.mark.parametrize("path", ["secret/app", "secret/data/app", "app"])
def test_spellings_of_a_path(make: Make, path: str) -> None:
    """The command line's and the API's spelling, and a path in the default mount, are one."""
    assert APP == fields(ask(make(), path))


@pytest.mark.parametrize("path", ["secret/app", "app"])
def test_wrong_token_is_forbidden(make: Make, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Vault does not tell a wrong token from a missing right, nor from a missing secret."""
    monkeypatch.setenv("VAULT_TOKEN", "hvs.wrong")
    assert REFUSED == ask(make(), path)


def test_forbidden_path_is_forbidden(make: Make, fake: FakeVault) -> None:
    """A path outside the token's policies is forbidden, others are not."""
    fake.denied.add("secret/data/private")
    fake.put("secret/private", {"a": "b"})
    assert REFUSED == ask(make(), "secret/private")
    assert isinstance(ask(make(), "secret/app"), Found)


def test_missing_secret_is_not_found(make: Make) -> None:
    """What was never there is not found."""
    assert NotFound() == ask(make(), "secret/other")


def test_versions(make: Make, fake: FakeVault) -> None:
    """An older version can be read; a deleted one is not found, and it is said why."""
    fake.put("secret/app", {"user": "second"})
    resolver = make()
    first = ask(resolver, options=(("version", "1"),))
    assert isinstance(first, Found)
    assert ("1", APP, None) == (first.version, fields(first), first.lifetime)
    assert '{"user":"second"}' == fields(ask(resolver))
    assert NotFound() == ask(resolver, options=(("version", "3"),))
    fake.secret("secret/app").versions[2].deletion_time = "2026-01-01T00:00:00Z"
    assert NotFound("version 2 was deleted") == ask(resolver)
    fake.secret("secret/app").versions[2].destroy()
    assert NotFound("version 2 was destroyed") == ask(resolver)


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ([("version", "last")], "a version is a number"),
        ([("version", "-1")], "a version is a number"),
        ([("version", "٣")], "a version is a number"),
        ([("version", "9" * 5000)], "a version is a number"),
        ([("stage", "current")], 'has no option "stage", only "version"'),
    ],
    ids=["word", "negative", "other digits", "long", "unknown"],
)
def test_odd_options_are_invalid(
    make: Make, fake: FakeVault, options: list[tuple[str, str]], detail: str
) -> None:
    """An option that means nothing is not ignored, and nobody is asked."""
    assert Invalid(detail) == ask(make(), options=tuple(options))
    assert [] == fake.requests


@pytest.mark.parametrize(
    "path",
    [
        "",
        "secret/",
        "/app",
        "secret//app",
        "secret/../sys/seal-status",
        "secret/%2e%2E/x",
        "a/./b",
        "secret/a\\b",
        "secret/a?b",
        "secret/a#b",
        "secret/a\nb",
    ],
)
@pytest.mark.parametrize("version", [1, 2, None])
def test_paths_that_lead_elsewhere_are_invalid(
    make: Make, fake: FakeVault, path: str, version: int | None
) -> None:
    """A path cannot leave its mount, and nobody is asked."""
    assert NO_PATH == ask(make(kv_version=version), path)
    assert [] == fake.requests


def test_odd_characters_stay_in_the_path(make: Make, fake: FakeVault) -> None:
    """What a URL would take for something else is sent as what it is."""
    fake.put("secret/my app/50% + more", {"a": "b"})
    assert '{"a":"b"}' == fields(ask(make(), "secret/my app/50% + more"))
    assert "/v1/secret/data/my%20app/50%25%20%2B%20more" == fake.last.target


def test_numbers_keep_their_spelling(make: Make, fake: FakeVault) -> None:
    """A number is not rounded on its way."""
    body = b'{"data": {"data": {"a": 1.10, "b": 1e5}, "metadata": {"version": 1}}}'
    fake.inject(Answer(200, body, JSON), path="/v1/secret/")
    assert '{"a":1.10,"b":1e5}' == fields(ask(make()))


def test_secret_that_is_no_text(make: Make, fake: FakeVault) -> None:
    """Half a character cannot be sent anywhere."""
    body = rb'{"data": {"data": {"a": "\ud800"}, "metadata": {"version": 1}}}'
    fake.inject(Answer(200, body, JSON), path="/v1/secret/")
    assert Invalid("the secret is no text") == ask(make())


def test_namespace(make: Make, fake: FakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The namespace comes from the configuration or the environment."""
    fake.add_namespace("team")
    fake.put("secret/only", {"a": "b"}, namespace="team")
    assert NotFound() == ask(make(), "secret/only")
    assert isinstance(ask(make(namespace="team"), "secret/only"), Found)
    monkeypatch.setenv("BAO_NAMESPACE", "team")
    assert isinstance(ask(make(), "secret/only"), Found)


# --- engines and their versions ---


def test_version_of_an_engine_is_asked_once(make: Make, fake: FakeVault) -> None:
    """The server tells which version an engine has, once for all paths in it."""
    fake.put("kv/app", {"a": "b"})
    fake.put("kv/data/app", {"c": "d"})
    resolver = make()
    wanted = ["kv/app", "kv/data/app", "secret/app", "kv/app"]
    found = [fields(ask(resolver, path)) for path in wanted]
    assert ['{"a":"b"}', '{"c":"d"}', APP, '{"a":"b"}'] == found
    assert [
        f"{MOUNTS}/kv/app",
        "kv/app",
        "kv/data/app",
        f"{MOUNTS}/secret/app",
        "secret/data/app",
        "kv/app",
    ] == paths(fake)
    resolver.close()
    ask(resolver)
    assert [f"{MOUNTS}/secret/app", "secret/data/app"] == paths(fake)[-2:]


@pytest.mark.parametrize(("kind", "declared"), [("kv", True), ("kv", False), ("generic", False)])
def test_engines_of_version_1(make: Make, fake: FakeVault, kind: str, declared: bool) -> None:  # noqa: FBT001
    """An engine that names no version has the first."""
    fake.mounts["old"] = Mount(1, kind=kind, declared=declared)
    fake.put("old/app", {"a": "b"})
    assert '{"a":"b"}' == fields(ask(make(), "old/app"))
    assert NotFound() == ask(make(), "old/other")
    assert Invalid("an engine of version 1 keeps no versions") == ask(
        make(), "old/app", options=(("version", "1"),)
    )


@pytest.mark.parametrize(("ttl", "lifetime"), [("100", 90.0), ("0", None), (None, 2488320.0)])
def test_lease_of_version_1(
    make: Make, fake: FakeVault, ttl: str | None, lifetime: float | None
) -> None:
    """A value is kept for nine tenths of its lease; a lease of 0 is one that nobody knows."""
    fake.put("kv/app", {"a": "b"} if ttl is None else {"a": "b", "ttl": ttl})
    found = ask(make(names="kv/app#{name}"), "kv/app")
    assert isinstance(found, Found)
    assert (None, lifetime) == (found.version, found.lifetime)
    part = bare(make(names="kv/app#{name}"), "a")
    assert Found(value=SecretValue("b"), lifetime=lifetime) == part


def test_other_engines_are_not_read(make: Make, fake: FakeVault) -> None:
    """A path outside all key/value engines is invalid, and is not read on trial."""
    fake.mounts["database"] = Mount(1, kind="database", declared=False)
    fake.put("database/creds/app", {"password": CANARY})
    assert NO_ENGINE == ask(make(), "database/creds/app")
    assert [f"{MOUNTS}/database/creds/app"] == paths(fake)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("auth/token/lookup-self", None),
        ("auth/token/lookup-self", 1),
        ("team/auth/token/lookup-self", 1),
        ("sys/seal-status", 1),
        ("sys/seal-status", 2),
    ],
)
def test_own_token_is_no_secret(
    make: Make, fake: FakeVault, path: str, version: int | None
) -> None:
    """What Vault tells about itself and the token cannot be read like a secret."""
    assert NO_ENGINE == ask(make(kv_version=version), path)
    assert [] == fake.requests


def test_configured_version_is_not_asked_for(make: Make, fake: FakeVault) -> None:
    """Whoever says the version saves the question."""
    fake.put("kv/app", {"a": "b"})
    assert '{"a":"b"}' == fields(ask(make(kv_version=1), "kv/app"))
    assert APP == fields(ask(make(kv_version=2)))
    assert ["kv/app", "secret/data/app"] == paths(fake)


def test_wrong_configured_version_is_told(make: Make, fake: FakeVault) -> None:
    """The wrong version finds nothing, and where the server notices it is said."""
    fake.put("kv/data/app", {"a": "b"})
    versioned = Invalid("the path is not that of a secret in a versioned engine, see kv_version")
    assert versioned == ask(make(kv_version=1))
    other = Invalid("the engine is not a key/value engine of version 2")
    assert other == ask(make(kv_version=2), "kv/app")
    assert NotFound() == ask(make(kv_version=2), "kv/other")


def test_token_that_may_not_ask_for_the_version(make: Make, fake: FakeVault) -> None:
    """Then it is 2, and that is tried again until something was read."""
    fake.denied.add(MOUNTS)
    resolver = make()
    fake.denied.add("secret/data/app")
    assert REFUSED == ask(resolver)
    fake.denied.remove("secret/data/app")
    assert [APP] * 2 == [fields(ask(resolver)) for _ in range(2)]
    assert [f"{MOUNTS}/secret/app", "secret/data/app"] * 2 + ["secret/data/app"] == paths(fake)


def test_version_is_known_without_a_secret(make: Make, fake: FakeVault) -> None:
    """What the server told of an engine holds, whether or not a secret in it can be read."""
    fake.denied.add("secret/data/app")
    resolver = make()
    assert [REFUSED] * 2 == [ask(resolver) for _ in range(2)]
    assert [f"{MOUNTS}/secret/app", "secret/data/app", "secret/data/app"] == paths(fake)


@pytest.mark.parametrize("status", [400, 404, 405])
def test_server_that_knows_no_engines(make: Make, fake: FakeVault, status: int) -> None:
    """A server, or what stands before it, need not have that question."""
    fake.inject(json_answer(status, {"errors": []}), path=f"/v1/{MOUNTS}")
    assert APP == fields(ask(make()))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json_answer(503, {"errors": ["Vault is sealed"]}), Unavailable("is sealed")),
        (
            json_answer(429, {"errors": []}, {"Retry-After": "3"}),
            Unavailable("too many requests", 3),
        ),
        (text_answer(200, CANARY), NOT_VAULT),
        (json_answer(200, {"data": {"path": None}}), NOT_VAULT),
        (
            json_answer(200, {"data": {"path": "secret/", "type": [], "options": {"version": {}}}}),
            NO_ENGINE,
        ),
        (json_answer(200, {"data": {"path": "other/", "type": "kv"}}), NO_ENGINE),
        (Answer(0), Unavailable("no connection, ConnectionError")),
    ],
    ids=["sealed", "429", "no JSON", "no path", "odd kind", "other path", "hung up"],
)
def test_trouble_with_the_version(
    make: Make, fake: FakeVault, answer: Answer, outcome: Outcome
) -> None:
    """Without a version nothing is read."""
    fake.inject(answer, path=f"/v1/{MOUNTS}")
    assert outcome == ask(make())
    assert [f"{MOUNTS}/secret/app"] == paths(fake)


def test_missing_mount(make: Make) -> None:
    """A path in no engine is the reference's fault."""
    assert Invalid('no engine is mounted at "nowhere"') == ask(make(), "nowhere/app")
    assert NotFound() == ask(make(), "kv/other")


def test_mount_with_slashes(make: Make, fake: FakeVault) -> None:
    """A mount path of several words is told by the server, or named in the configuration."""
    fake.mounts["team/a"] = fake.mounts["secret"]
    assert APP == fields(ask(make(), "team/a/app"))
    fake.denied.add(MOUNTS)
    assert APP == fields(ask(make(mount="team/a"), "team/a/app"))
    assert APP == fields(ask(make(mount="team/a"), "app"))
    assert isinstance(ask(make(), "team/a/app"), Invalid)


# --- together, and bare names ---


def test_one_read_for_each_secret(make: Make, fake: FakeVault) -> None:
    """References into one secret, however spelled, cost one request."""
    fake.put("secret/flows", {"A": "a", "B": "b"})
    names = [Reference("A"), Reference("B"), Reference("C")]
    spelled = [Reference("secret/app", "vault"), Reference("secret/data/app", "vault")]
    outcomes = make(names="secret/flows#{name}").resolve([*names, *spelled], Deadline(5))
    assert [Found, Found, NotFound, Found, Found] == [
        type(outcomes[each]) for each in (*names, *spelled)
    ]
    assert [f"{MOUNTS}/secret/flows", "secret/data/flows", "secret/data/app"] == paths(fake)


def test_bare_names_need_a_place(make: Make, fake: FakeVault) -> None:
    """Without a place for bare names they are not found, and nobody is asked."""
    assert NotFound("bare names are not looked for, as `names` is not set") == bare(make(), "TOKEN")
    assert [] == fake.requests


@pytest.mark.parametrize(
    ("names", "path"), [("secret/flows#{name}", "flows"), ("secret/{name}#TOKEN", "TOKEN")]
)
def test_places_of_bare_names(make: Make, fake: FakeVault, names: str, path: str) -> None:
    """A bare name is a field of one secret, or a secret of its own."""
    fake.put(f"secret/{path}", {"TOKEN": "value"})
    found = bare(make(names=names), "TOKEN")
    assert Found(value=SecretValue("value"), version="1") == found
    assert isinstance(bare(make(names=names), "OTHER"), NotFound)


def test_bare_name_of_a_secret_with_fields(make: Make, fake: FakeVault) -> None:
    """Where the place names no field, the placeholder does."""
    fake.put("secret/TOKEN", {"value": "v"})
    resolution = Resolution([make(names="secret/{name}")])
    wanted = [Reference("TOKEN", field="value"), Reference("TOKEN")]
    answers = resolution.resolve(wanted)
    assert Found(value=SecretValue("v"), version="1") == answers[wanted[0]].outcome
    assert Invalid("has 1 field (value), name one with #") == answers[wanted[1]].outcome


def test_fields_that_are_no_text(make: Make, fake: FakeVault) -> None:
    """A number, a truth value and an object are spelled as JSON; null is not found."""
    fake.put("secret/flows", {"N": 5, "T": True, "O": {"a": 1}, "Z": None})
    resolver = make(names="secret/flows#{name}")
    values = [bare(resolver, name) for name in "NTO"]
    spelled = [each.value.reveal() for each in values if isinstance(each, Found)]
    assert ["5", "true", '{"a":1}'] == spelled
    assert NotFound("the secret has no such field") == bare(resolver, "Z")


def test_place_must_have_the_name_in_it() -> None:
    """A place that would be the same for all names is refused at once."""
    with pytest.raises(ConfigurationError, match="must hold"):
        VaultResolver(names="secret/flows#token")


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"mount": "secret/"}, "mount", "this is words between single slashes"),
        ({"mount": ""}, "mount", "this is words between single slashes"),
        ({"mount": "a/../sys"}, "mount", "this is words between single slashes"),
        ({"kv_version": 3}, "kv_version", "this is 1 or 2"),
        ({"kv_version": "2"}, "kv_version", "this is 1 or 2"),
        ({"kv_version": True}, "kv_version", "this is 1 or 2"),
        ({"kv_version": 2.0}, "kv_version", "this is 1 or 2"),
    ],
)
def test_wrong_configuration(options: dict[str, object], path: str, message: str) -> None:
    """What can never work is refused when the resolver is made."""
    with pytest.raises(ConfigurationError) as caught:
        VaultResolver(**options)  # type: ignore[arg-type]  # as from a file
    assert (path, f"{path}: {message}") == (caught.value.path, str(caught.value))


# --- answers ---


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            json_answer(400, {"errors": ["missing client token"]}),
            Forbidden("the token did not arrive"),
        ),
        (
            json_answer(400, {"errors": ["Upgrading from non-versioned to versioned data. ..."]}),
            Unavailable('the engine at "secret" is being upgraded'),
        ),
        (json_answer(400, {"errors": ["odd"]}), NOT_UNDERSTOOD),
        (json_answer(405, {"errors": ["unsupported operation"]}), NOT_UNDERSTOOD),
        (json_answer(405, {"errors": True, "warnings": 5}), NOT_UNDERSTOOD),
        (json_answer(401, {"errors": []}), REFUSED),
        (json_answer(429, {"errors": []}), Unavailable("too many requests")),
        (
            json_answer(429, {"errors": []}, {"Retry-After": "30"}),
            Unavailable("too many requests", retry_after=30),
        ),
        (
            json_answer(429, {"errors": []}, {"Retry-After": "soon"}),
            Unavailable("too many requests"),
        ),
        (
            json_answer(429, {"errors": []}, {"Retry-After": "9" * 400}),
            Unavailable("too many requests"),
        ),
        (json_answer(412, {"errors": []}), Unavailable("answered with status 412")),
        (json_answer(473, {"errors": []}), Unavailable("answered with status 473")),
        (json_answer(500, {"errors": ["internal"]}), Unavailable("answered with status 500")),
        (text_answer(502, CANARY), Unavailable("answered with status 502")),
        (json_answer(503, {"errors": ["Vault is sealed"]}), Unavailable("is sealed")),
        (json_answer(503, {"errors": []}), Unavailable("answered with status 503")),
        (text_answer(200, CANARY), NOT_VAULT),
        (text_answer(404, CANARY), NOT_VAULT),
        (json_answer(404, {"message": CANARY}), NOT_VAULT),
        (
            json_answer(404, {"warnings": ["Invalid path for a versioned K/V secrets engine"]}),
            Invalid("the path is not that of a secret in a versioned engine, see kv_version"),
        ),
        (
            json_answer(200, {"data": {CANARY: CANARY}}),
            Invalid("the engine is not a key/value engine of version 2"),
        ),
        (Answer(0), Unavailable("no connection, ConnectionError")),
    ],
    ids=[
        "400 no token",
        "400 upgrade",
        "400",
        "405",
        "405 odd errors",
        "401",
        "429",
        "429 with pause",
        "429 with odd pause",
        "429 with long pause",
        "412",
        "473",
        "500",
        "502",
        "503 sealed",
        "503",
        "200 no JSON",
        "404 no JSON",
        "404 of another",
        "404 version 1",
        "200 of another",
        "hung up",
    ],
)
def test_answers_and_their_meaning(
    make: Make, fake: FakeVault, answer: Answer, outcome: Outcome
) -> None:
    """Each way of not answering has its outcome, which repeats nothing of the answer."""
    fake.inject(answer, path="/v1/secret/")
    assert outcome == ask(make())


def test_server_that_is_down_is_asked_once(make: Make, fake: FakeVault) -> None:
    """After one failure the rest of the references is not asked for."""
    resolver = make()
    fake.rate_limit(path="/v1/secret/", times=None)
    wanted = [Reference(f"secret/{name}", "vault") for name in "abc"]
    outcomes = resolver.resolve(wanted, Deadline(5))
    assert [Unavailable("too many requests")] * 3 == list(outcomes.values())
    assert [f"{MOUNTS}/secret/a", "secret/data/a"] == paths(fake)


def test_no_time_no_question(make: Make, fake: FakeVault) -> None:
    """After the deadline nobody is asked."""
    reference = Reference("secret/app", "vault")
    outcome = make().resolve([reference], Deadline(0))[reference]
    assert Unavailable("there was no time left to ask") == outcome
    assert [] == fake.requests


# --- health ---


def test_sealed_server(make: Make, fake: FakeVault) -> None:
    """A sealed server is unavailable, and says so when its health is asked for."""
    resolver = make()
    assert resolver.health() is None
    fake.sealed = True
    assert Unavailable("is sealed") == ask(resolver)
    assert "is sealed" == resolver.health()


def test_health_sends_no_token(make: Make, fake: FakeVault) -> None:
    """The state is asked for without any credential, and outside of namespaces."""
    fake.add_namespace("team")
    assert make(namespace="team").health() is None
    (request,) = fake.requests
    assert "/v1/sys/health" == request.path
    assert {"x-vault-token", "x-vault-namespace"}.isdisjoint(request.headers)


@pytest.mark.parametrize(
    ("status", "ailment"),
    [
        (429, None),
        (472, "is a disaster recovery secondary, which answers nobody"),
        (473, None),
        (501, "is not initialized"),
        (530, "answers with status 530"),
    ],
)
def test_states_of_a_server(make: Make, fake: FakeVault, status: int, ailment: str | None) -> None:
    """The status of the health check tells who can be asked."""
    fake.inject(json_answer(status, {}), path="/v1/sys/health")
    assert ailment == make().health()


def test_health_without_a_token(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no token cannot ask."""
    monkeypatch.delenv("VAULT_TOKEN")
    assert "no token: set VAULT_TOKEN, or log in with 'vault login'" == make().health()


# --- what stays here ---


def test_pickle_holds_no_credential(make: Make) -> None:
    """A resolver that was used is pickled as its configuration, and works after that."""
    resolver = make()
    assert isinstance(ask(resolver), Found)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(resolver, protocol)
        assert CANARY.encode() not in pickled
        other = pickle.loads(pickled)  # noqa: S301 - made above
        assert resolver == other
        assert isinstance(ask(other), Found)
        other.close()
    assert CANARY not in repr(resolver)
    assert CANARY not in repr(vars(resolver))


def test_logs_of_the_libraries_are_silent(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """What hvac and urllib3 have to say about a question is not logged."""
    with caplog.at_level(logging.DEBUG):
        ask(make())
        make().health()
    assert [] == [record.name for record in caplog.records]


def test_connections_belong_to_a_process(make: Make) -> None:
    """A child process does not speak on its parent's connections."""
    resolver = make()
    ask(resolver)
    sessions = resolver._client._sessions
    mine = sessions.peek()
    assert mine is not None
    ask(resolver)
    assert mine is sessions.peek()
    _after_fork()
    ask(resolver)
    assert sessions.peek() not in {None, mine}
    mine.close()


def test_close_can_be_repeated_and_undone(make: Make) -> None:
    """After closing, the next question opens new connections."""
    resolver = make()
    resolver.close()
    ask(resolver)
    resolver.close()
    resolver.close()
    assert isinstance(ask(resolver), Found)
