"""Secrets in 1Password, read from a server that speaks as Connect does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.http import Answer, json_answer, text_answer
from tests.fakes.onepassword import FakeConnect, Vault, field_of, login_fields, new_id
from tests.resolvers.places.onepassword import onepassword
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.errors import ConfigurationError, TemplateError
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference, parse
from webhook_storage.testing import ResolverCase, ResolverSuite
from webhook_storage_resolvers.onepassword import OnePasswordResolver

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "CANARY-connect-token"
WRONG = Forbidden("the token is wrong")
NO_VAULT = Forbidden("there is no such vault, or the token was not given it", maybe_missing=True)
NO_PATH = Invalid("a path is vault/item/field or vault/item/section/field")
NOT_CONNECT = Unavailable("the answer is not one of a Connect server")
NOWHERE = Unavailable("no connection could be made")

Make = Callable[..., OnePasswordResolver]


class TestOnePasswordSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Return the resolver and its place."""
        with onepassword(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the right token, and nothing else of the machine's."""
    monkeypatch.delenv("OP_CONNECT_HOST", raising=False)
    monkeypatch.setenv("OP_CONNECT_TOKEN", TOKEN)


@pytest.fixture
def fake() -> Iterator[FakeConnect]:
    """Start a fake Connect server."""
    with FakeConnect(token=TOKEN) as server:
        yield server


@pytest.fixture
def vault(fake: FakeConnect) -> Vault:
    """Return a vault with one login in it, some of its fields in sections."""
    vault = fake.add_vault("My Vault")
    fields = [
        *login_fields("me", "s3cret"),
        field_of("host", "db.test", section="adm", id="hostid"),
        field_of("port", "5432", section="adm"),
        field_of("port", "80", section="web"),
        field_of("note", "loose", section="more"),
        field_of("code", "otpauth://totp/x?secret=y", section="more", type="OTP", totp="134253"),
    ]
    sections = [{"id": "adm", "label": "Admin"}, {"id": "web", "label": "Web"}, {"id": "more"}]
    vault.add("App", fields, sections=sections, version=7)
    return vault


@pytest.fixture
def make(fake: FakeConnect, vault: Vault) -> Iterator[Make]:
    """Return a maker of resolvers that have the right token."""
    made: list[OnePasswordResolver] = []

    def build(**options: Any) -> OnePasswordResolver:
        made.append(OnePasswordResolver(**{"host": fake.url, **options}))
        return made[-1]

    yield build
    for resolver in made:
        resolver.close()


def ask(resolver: OnePasswordResolver, name: str, **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "op", **parts)
    return resolver.resolve([reference], Deadline(5))[reference]


def bare(resolver: OnePasswordResolver, name: str) -> Outcome:
    """Ask for a bare name."""
    return resolver.resolve([Reference(name)], Deadline(5))[Reference(name)]


def found(text: str, **more: Any) -> Found:
    """Return the outcome for a value of the item."""
    return Found(value=SecretValue(text), **{"version": "7", **more})


# --- references as they are written ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${op:'My Vault/App/password'}", "s3cret"),
        ('${op:"My Vault/App/Admin/host"}', "db.test"),
        ("${op:'my vault/APP/Password'}", "s3cret"),
        ("${op://Tools/app/password}", "short"),
        ("${op://tools/'the item/one-time password'?attribute=otp}", "999999"),
        ("${op://tools/'the item/pass & word?'}", "odd"),
        ("${op://tools/app#password}", "short"),
    ],
)
def test_spellings_of_a_reference(make: Make, fake: FakeConnect, text: str, value: str) -> None:
    """1Password's own references are taken as they are, in quotes where the grammar wants them."""
    tools = fake.add_vault("Tools")
    tools.add("app", login_fields("me", "short"))
    odd = field_of("pass & word?", "odd")
    code = field_of("one-time password", "otpauth://x", type="OTP", totp="999999")
    tools.add("the item", [odd, code])
    (reference,) = parse(text).references()
    answer = Resolution([make()]).resolve([reference])[reference].outcome
    assert isinstance(answer, Found)
    assert value == answer.value.reveal()


def test_quotes_right_after_the_slashes() -> None:
    """There the grammar wants an instance's name, and no slashes stand within the quotes."""
    with pytest.raises(TemplateError):
        parse("${op://'My Vault'/App/password}")
    with pytest.raises(TemplateError):
        parse("${op:'//My Vault/App/password'}")


@pytest.mark.parametrize(
    "name",
    [
        "My Vault",
        "My Vault/",
        "/My Vault/App",
        "v//App",
        "v/../App",
        "v/./f",
        "v/i/s/f/g",
        "v/i/\0",
    ],
)
def test_paths_of_another_form_are_invalid(make: Make, fake: FakeConnect, name: str) -> None:
    """A path has two to four parts, and nobody is asked for others."""
    assert NO_PATH == ask(make(), name)
    assert [] == fake.requests


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ((("attribute", "type"),), 'the only attribute is "otp"'),
        ((("ssh-format", "openssh"),), 'has no option "ssh-format", only "attribute"'),
    ],
)
def test_other_options_are_invalid(
    make: Make, fake: FakeConnect, options: tuple[tuple[str, str], ...], detail: str
) -> None:
    """An option that means nothing here is not ignored, and nobody is asked."""
    assert Invalid(detail) == ask(make(), "My Vault/App/password", options=options)
    assert [] == fake.requests


# --- fields ---


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("password", found("s3cret")),
        ("PASSWORD", found("s3cret")),
        ("host", found("db.test")),
        ("hostid", found("db.test")),
        ("Admin/host", found("db.test")),
        ("adm/hostid", found("db.test")),
        ("ADMIN/PORT", found("5432")),
        ("Web/port", found("80")),
        ("more/note", found("loose")),
        ("code", found("134253", lifetime=0)),
        ("Web/host", NotFound("the item has no such field")),
        ("nothing", NotFound("the item has no such field")),
        ("Nowhere/host", NotFound("the item has no such section")),
        ("notesPlain", NotFound("the field has no value")),
        (
            "port",
            Invalid("several fields have this name, name the section too or use the field's id"),
        ),
    ],
)
def test_fields_and_sections(make: Make, path: str, outcome: Outcome) -> None:
    """A field is named by label or id, in a section named by label or id, whatever the case."""
    assert outcome == ask(make(), f"My Vault/App/{path}")


def test_one_time_passwords(make: Make, vault: Vault) -> None:
    """The digits of the moment are given, never the seed; other fields have none."""
    otp = {"options": (("attribute", "otp"),)}
    resolver = make()
    assert found("134253", lifetime=0) == ask(resolver, "My Vault/App/code", **otp)
    refused = ask(resolver, "My Vault/App/password", **otp)
    assert Invalid("the field is no one-time password") == refused
    no_field = Invalid("an attribute is one of a field, so name the field in the path")
    assert no_field == ask(resolver, "My Vault/App", **otp)
    vault.add("Other", [field_of("code", "otpauth://x", type="OTP")])
    no_digits = NotFound("the field has no value")
    assert no_digits == ask(resolver, "My Vault/Other/code")


def test_a_field_outside_of_sections_comes_first(make: Make, vault: Vault) -> None:
    """Where a section has a field of the same name, the plain one is meant; its spelling counts."""
    section = {"id": "old", "label": "Old"}
    fields = [field_of("key", "old", section="old"), field_of("key", "new"), field_of("KEY", "big")]
    vault.add("Keys", fields, sections=[section])
    resolver = make()
    values = [ask(resolver, f"My Vault/Keys/{path}") for path in ("key", "KEY", "Old/key", "Key")]
    assert [found("new", version="1"), found("big", version="1"), found("old", version="1")] == (
        values[:3]
    )
    assert isinstance(values[3], Invalid)


def test_an_item_as_a_whole(make: Make) -> None:
    """Without a field the fields are an object, one-time passwords and empty ones left out."""
    expected = (
        '{"username":"me","password":"s3cret","host":"db.test","Admin/port":"5432",'
        '"Web/port":"80","note":"loose"}'
    )
    assert found(expected, structured=True) == ask(make(), "My Vault/App")
    forgotten = Reference("My Vault/App", "op")
    answer = Resolution([make()]).resolve([forgotten])[forgotten].outcome
    assert Invalid(
        "has 6 fields (Admin/port, Web/port, host, note, password, username), name one with #"
    ) == (answer)


def test_values_that_are_no_text(make: Make, vault: Vault) -> None:
    """What cannot be encoded is told, in the field's value and in the whole."""
    vault.add("Odd", [field_of("half", "\ud800"), {"id": "list", "value": ["a"]}])
    resolver = make()
    assert Invalid("the field is no text") == ask(resolver, "My Vault/Odd/half")
    assert Invalid("the item is no text") == ask(resolver, "My Vault/Odd")
    assert found('["a"]', version="1") == ask(resolver, "My Vault/Odd/list")


def test_items_with_little_in_them(make: Make, fake: FakeConnect, vault: Vault) -> None:
    """Lists that are none, parts that are no objects and missing versions do no harm."""
    (item_id,) = vault.items
    body = {"fields": ["x", {"id": "f", "value": "v", "section": "s"}], "sections": None}
    fake.inject(json_answer(200, body), path=f"/v1/vaults/{vault.id}/items/", times=None)
    resolver = make()
    assert found("v", version=None) == ask(resolver, f"{vault.id}/{item_id}/f")
    assert NotFound("the item has no such field") == ask(resolver, f"{vault.id}/{item_id}/None")
    assert NotFound("the item has no such section") == ask(resolver, f"{vault.id}/{item_id}/s/f")
    assert found('{"f":"v"}', version=None, structured=True) == ask(
        resolver, f"{vault.id}/{item_id}"
    )


# --- vaults and items ---


def test_ids_are_one_question(make: Make, fake: FakeConnect, vault: Vault) -> None:
    """With ids nothing is looked up."""
    (item_id,) = vault.items
    assert found("s3cret") == ask(make(), f"{vault.id}/{item_id}/password")
    assert [f"/v1/vaults/{vault.id}/items/{item_id}"] == [each.path for each in fake.requests]


def test_a_title_may_look_like_an_id(make: Make, vault: Vault) -> None:
    """A title of 26 letters is found when no item has this id."""
    title = new_id()
    vault.add(title, login_fields("me", "other"))
    assert found("other", version="1") == ask(make(), f"My Vault/{title}/password")
    assert NotFound("the vault has no such item") == ask(make(), f"My Vault/{new_id()}/password")


def test_names_are_asked_for_and_not_listed(make: Make, fake: FakeConnect, vault: Vault) -> None:
    """A name that is spelled right costs no list."""
    assert found("s3cret") == ask(make(), "My Vault/App/password")
    targets = [each.target for each in fake.requests]
    (item_id,) = vault.items
    assert targets == [
        "/v1/vaults?filter=name%20eq%20%22My%20Vault%22",
        f"/v1/vaults/{vault.id}/items?filter=title%20eq%20%22App%22",
        f"/v1/vaults/{vault.id}/items/{item_id}",
    ]


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("title", ['the "app"', "back\\slash", "a&b=c#d?e+f%41", "schl\u00fcssel"])
def test_titles_with_odd_characters(
    make: Make, fake: FakeConnect, vault: Vault, *, title: str, knows: bool
) -> None:
    """Quotes are escaped in the filter, and a server that does not know that is asked for all."""
    fake.knows_escapes = knows
    vault.add(title, login_fields("me", "odd"))
    assert found("odd", version="1") == ask(make(), f"My Vault/{title}/password")


def test_a_quote_does_not_end_the_filter(make: Make, fake: FakeConnect, vault: Vault) -> None:
    """What stands behind a quote in a name remains part of the name."""
    name = 'x" or title pr or title eq "x'
    assert NotFound("the vault has no such item") == ask(make(), f"My Vault/{name}/password")
    sent = [each.query["filter"] for each in fake.requests if "filter" in each.query]
    assert r'title eq "x\" or title pr or title eq \"x"' == sent[-1]


def test_two_of_a_name(make: Make, fake: FakeConnect, vault: Vault) -> None:
    """A name that several have is no name; with the case as it is there is only one."""
    vault.add("Twin", [])
    vault.add("Twin", [])
    vault.add("app", login_fields("me", "small"))
    fake.add_vault("MY VAULT")
    fake.add_vault("Pair")
    fake.add_vault("Pair")
    resolver = make()
    twins = Invalid("several items have this name, use an id instead")
    assert twins == ask(resolver, "My Vault/Twin/x")
    assert twins == ask(resolver, "My Vault/APP/x")
    vaults = Invalid("several vaults have this name, use an id instead")
    assert [vaults] * 2 == [ask(resolver, f"{name}/App/x") for name in ("Pair", "my vault")]
    assert found("small", version="1") == ask(resolver, "My Vault/app/password")


@pytest.mark.parametrize("gone", [{"state": "ARCHIVED"}, {"state": "DELETED"}, {"trashed": True}])
def test_what_was_put_away_has_no_name(make: Make, vault: Vault, gone: dict[str, Any]) -> None:
    """An archived item of the same title is not in the way, and is found by its id only."""
    old = vault.add("App", login_fields("me", "old"), **gone)
    resolver = make()
    assert found("s3cret") == ask(resolver, "My Vault/App/password")
    assert found("old", version="1") == ask(resolver, f"My Vault/{old['id']}/password")
    vault.add("Gone", [], **gone)
    assert NotFound("the vault has no such item") == ask(resolver, "My Vault/Gone/password")


def test_missing_and_forbidden_vaults(make: Make, fake: FakeConnect, vault: Vault) -> None:
    """A vault that was not given looks missing, and no other resolver stands in for it."""
    resolver = make()
    assert NO_VAULT == ask(resolver, "Nowhere/App/password")
    assert NO_VAULT == ask(resolver, f"{new_id()}/App/password")
    vault.granted = False
    assert NO_VAULT == ask(resolver, "My Vault/App/password")
    (item_id,) = vault.items
    refused = Forbidden("the token may not read this vault")
    assert [refused] * 2 == [
        ask(resolver, f"{vault.id}/{item}/password") for item in ("App", item_id)
    ]


# --- together, and bare names ---


def test_one_question_for_each_vault_and_item(make: Make, fake: FakeConnect, vault: Vault) -> None:
    """References into one item, and items of one vault, do not ask twice."""
    vault.add("Second", login_fields("me", "2nd"))
    paths = ["App/password", "App/Admin/host", "Second/password", "Third/password", "None/password"]
    wanted = [Reference(f"My Vault/{path}", "op") for path in paths]
    outcomes = make().resolve([*wanted, Reference("bare")], Deadline(5))
    assert [Found, Found, Found, NotFound, NotFound, NotFound] == [
        type(outcomes[each]) for each in [*wanted, Reference("bare")]
    ]
    asked = [each.target for each in fake.requests]
    assert len(asked) == len(set(asked)) == 8


def test_bare_names_need_a_place(make: Make, fake: FakeConnect) -> None:
    """Without a place for bare names they are not found, and nobody is asked."""
    assert NotFound("bare names are not looked for, as `names` is not set") == bare(make(), "A")
    assert [] == fake.requests


@pytest.mark.parametrize(
    ("names", "name", "value"),
    [
        ("My Vault/App/{name}", "password", "s3cret"),
        ("op://My Vault/App/{name}", "password", "s3cret"),
        ("My Vault/{name}/password", "App", "s3cret"),
        ("My Vault/{name}#host", "App", "db.test"),
        ("My Vault/App#{name}", "username", "me"),
    ],
)
def test_places_of_bare_names(make: Make, names: str, name: str, value: str) -> None:
    """A bare name is a field of one item, or an item of its own."""
    resolver = make(names=names)
    assert found(value) == bare(resolver, name)
    assert isinstance(bare(resolver, "OTHER"), NotFound)


def test_place_must_have_the_name_in_it() -> None:
    """A place that would be the same for all names is refused at once."""
    with pytest.raises(ConfigurationError, match="must hold"):
        OnePasswordResolver(names="vault/item/password")


# --- configuration ---


def test_host_of_the_environment(
    make: Make, fake: FakeConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is where the vendor's tools look for it; a slash at the end changes nothing."""
    resolver = make(host=None)
    assert Unavailable("no address: set OP_CONNECT_HOST") == ask(resolver, "My Vault/App/password")
    assert "no address: set OP_CONNECT_HOST" == resolver.health()
    monkeypatch.setenv("OP_CONNECT_HOST", f"{fake.url}/")
    assert found("s3cret") == ask(resolver, "My Vault/App/password")
    assert "/v1/vaults" == fake.requests[0].path


def test_token_of_another_variable(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named variable is the only one that counts, also beside a file."""
    resolver = make(token_variable="PROD_TOKEN", token_file="nowhere")
    assert Unavailable("no token: set PROD_TOKEN") == ask(resolver, "My Vault/App/password")
    monkeypatch.setenv("PROD_TOKEN", "wrong")
    assert WRONG == ask(resolver, "My Vault/App/password")
    monkeypatch.setenv("PROD_TOKEN", TOKEN)
    assert found("s3cret") == ask(resolver, "My Vault/App/password")


def test_token_file_is_read_each_time(make: Make, tmp_path: Path) -> None:
    """A token that was replaced in its file is used from then on, and no other token is."""
    file = tmp_path / "token"
    resolver = make(token_file=file)
    none = Unavailable("no token: the token file cannot be read, or is empty")
    assert none == ask(resolver, "My Vault/App/password")
    file.write_bytes(b"\xff")
    assert none == ask(resolver, "My Vault/App/password")
    file.write_text("wrong\n")
    assert WRONG == ask(resolver, "My Vault/App/password")
    file.write_text(f"{TOKEN}\n")
    assert found("s3cret") == ask(resolver, "My Vault/App/password")


def test_missing_token_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token nobody is asked, and it is said which one is missing."""
    monkeypatch.delenv("OP_CONNECT_TOKEN")
    assert Unavailable("no token: set OP_CONNECT_TOKEN") == ask(make(), "My Vault/App/password")
    assert "no token: set OP_CONNECT_TOKEN" == make().health()


def test_odd_token_is_not_repeated(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that cannot stand in a header does not come back in the outcome."""
    monkeypatch.setenv("OP_CONNECT_TOKEN", f"{TOKEN}\nline")
    outcome = ask(make(), "My Vault/App/password")
    assert isinstance(outcome, Unavailable)
    assert TOKEN not in outcome.detail


def test_certificate_is_checked(make: Make) -> None:
    """A server with an unknown certificate is not asked; with its CA it is."""
    with FakeConnect(token=TOKEN, tls=True) as secure:
        secure.add_vault("v").add("i", login_fields("me", "tls"))
        refused = ask(make(host=secure.url), "v/i/password")
        assert isinstance(refused, Unavailable)
        assert [] == secure.requests
        trusting = make(host=secure.url, cacert=secure.ca_file)
        assert found("tls", version="1") == ask(trusting, "v/i/password")


# --- trouble ---


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json_answer(400, {"status": 400, "message": TOKEN}), "understand"),
        (json_answer(401, {"status": 401, "message": TOKEN}), WRONG),
        (json_answer(403, {"status": 403, "message": TOKEN}), "vault"),
        (json_answer(404, {"status": 404, "message": TOKEN}), NO_VAULT),
        (json_answer(429, {}, {"Retry-After": "30"}), Unavailable("too many requests", 30)),
        (json_answer(500, {"message": TOKEN}), Unavailable("answered with status 500")),
        (text_answer(502, TOKEN), Unavailable("answered with status 502")),
        (text_answer(400, TOKEN), Unavailable("answered with status 400")),
        (text_answer(404, TOKEN), NOT_CONNECT),
        (text_answer(200, TOKEN), NOT_CONNECT),
        (json_answer(200, {"id": TOKEN}), NOT_CONNECT),
        (json_answer(200, [{"name": "My Vault", "id": "../x"}]), NOT_CONNECT),
        (
            Answer(307, b"", {"Location": "http://other.invalid/"}),
            Unavailable("redirects elsewhere, to where the credential is not sent"),
        ),
        (Answer(0), Unavailable("the answer broke off or was no HTTP")),
    ],
)
def test_answers_and_their_meaning(
    make: Make, fake: FakeConnect, answer: Answer, outcome: Outcome | str
) -> None:
    """Each way of not answering has its outcome, which repeats nothing of the answer."""
    said = {
        "understand": Invalid("the server does not understand the name or id"),
        "vault": Forbidden("the token may not read this vault"),
    }
    fake.inject(answer, path="/v1/", times=None)
    assert (said[outcome] if isinstance(outcome, str) else outcome) == ask(make(), "My Vault/App/x")


def test_an_item_that_is_no_object(make: Make, fake: FakeConnect, vault: Vault) -> None:
    """An item is an object."""
    (item_id,) = vault.items
    fake.inject(json_answer(200, []), path=f"/v1/vaults/{vault.id}/items/{item_id}")
    assert NOT_CONNECT == ask(make(), f"{vault.id}/{item_id}/password")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json_answer(401, {}), WRONG),
        (json_answer(503, {}), Unavailable("answered with status 503")),
    ],
)
def test_a_server_of_no_use_is_asked_once(
    make: Make, fake: FakeConnect, answer: Answer, outcome: Outcome
) -> None:
    """After a refusal of the token, or a failure, the rest of the references is not asked for."""
    fake.inject(answer, times=None)
    wanted = [Reference(f"{name}/App/x", "op") for name in ("a", "b", "c")]
    assert [outcome] * 3 == list(make().resolve(wanted, Deadline(5)).values())
    assert 1 == len(fake.requests)


def test_one_vault_takes_no_other_along(make: Make, fake: FakeConnect, vault: Vault) -> None:
    """A vault that may not be read says nothing about the next one."""
    closed = fake.add_vault("Closed")
    closed.granted = False
    wanted = [Reference(f"{closed.id}/App/x", "op"), Reference("My Vault/App/password", "op")]
    outcomes = make().resolve(wanted, Deadline(5))
    assert [Forbidden, Found] == [type(outcomes[each]) for each in wanted]


def test_no_time_no_question(make: Make, fake: FakeConnect) -> None:
    """After the deadline nobody is asked."""
    reference = Reference("My Vault/App/password", "op")
    outcome = make().resolve([reference], Deadline(0))[reference]
    assert Unavailable("there was no time left to ask") == outcome
    assert [] == fake.requests


def test_health_sends_no_token(make: Make, fake: FakeConnect) -> None:
    """Whether the server is alive is asked without the token."""
    assert make().health() is None
    assert [("/heartbeat", None)] == [
        (each.path, each.headers.get("authorization")) for each in fake.requests
    ]
    fake.inject(text_answer(503, ""))
    assert "answered with status 503" == make().health()


def test_server_that_is_not_there(make: Make) -> None:
    """Nobody listening is unavailable, for questions and for the health."""
    with FakeConnect() as gone:
        host = gone.url
    assert NOWHERE == ask(make(host=host), "My Vault/App/password")
    assert NOWHERE.detail == make(host=host).health()
