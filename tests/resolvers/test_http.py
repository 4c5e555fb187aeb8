"""The secret service of a company, asked as a configuration says."""

from __future__ import annotations

import http.client
import json
import pickle
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.company import FakeCompany, Secret
from tests.fakes.http import Answer, json_answer, text_answer
from tests.fakes.vault import FakeVault
from tests.fleet.process import free_ports
from tests.resolvers.places import without_proxies
from tests.resolvers.places.http import http as place
from webhook_storage.config import DEFAULT_CHAIN
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
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite, canary
from webhook_storage_resolvers.http import HttpResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[..., HttpResolver]

VALUE = "CANARY-http-5d"
TOKEN = "CANARY-http-token"
REFUSED = "the service refuses to tell, with status {}: look at ${{SAFE_TOKEN}}"
NOT_A_NAME = Invalid("a name is words between single slashes, none of which is '.' or '..'")


@pytest.fixture(autouse=True)
def _no_service_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    without_proxies(monkeypatch, "SAFE_", "CREDENTIALS_DIRECTORY")
    monkeypatch.setenv("SAFE_TOKEN", TOKEN)


@pytest.fixture
def company() -> Iterator[FakeCompany]:
    """A service with one secret."""
    with FakeCompany(token=TOKEN) as server:
        server.secrets["team/app"] = Secret(VALUE, version=7)
        yield server


@pytest.fixture
def make(company: FakeCompany) -> Iterator[Make]:
    """Return a maker of resolvers that ask it for JSON, unless told otherwise."""
    made: list[HttpResolver] = []

    def build(path: str = "/v1/secrets/{name}", **options: Any) -> HttpResolver:
        usual = {
            "headers": {"Authorization": "Bearer ${SAFE_TOKEN}"},
            "pointer": "/data/value",
        }
        made.append(HttpResolver(url=company.url + path, **{**usual, **options}))
        return made[-1]

    yield build
    for resolver in made:
        resolver.close()


def ask(resolver: HttpResolver, name: str = "team/app", **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "http", **parts)
    return resolver.resolve([reference], Deadline(20))[reference]


def text(outcome: Outcome) -> str:
    """Return the secret that was found."""
    assert isinstance(outcome, Found), outcome
    return outcome.value.reveal()


class TestHttpSuite(ResolverSuite):
    """A company's service."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """A service on a port."""
        with place(tmp_path, monkeypatch) as case:
            yield case


def test_the_module_does_not_hide_that_of_the_standard_library() -> None:
    """It has the name of a package that everybody imports."""
    assert hasattr(http.client, "HTTPConnection")
    assert "webhook_storage_resolvers.http" == HttpResolver.__module__


# --- the ways to ask ---


def test_a_value_in_json(make: Make, company: FakeCompany) -> None:
    """The pointer says where the value stands, and another one where its version does."""
    found = ask(make(version_pointer="/meta/version"))
    assert isinstance(found, Found)
    assert (VALUE, "7", False, None) == (
        text(found),
        found.version,
        found.structured,
        found.lifetime,
    )
    assert ("GET", "/v1/secrets/team%2Fapp") == (company.last.method, company.last.target)


def test_a_value_as_text(make: Make, company: FakeCompany) -> None:
    """Without a pointer the whole body is the value, but for one line break."""
    resolver = make("/v1/raw/{name}", headers={"X-Safe-Token": "${SAFE_TOKEN}"}, pointer=None)
    assert VALUE == text(ask(resolver))
    assert "*/*" == company.last.headers["accept"]
    company.secrets["lines"] = Secret("a\r\nb\n")
    assert "a\r\nb\n" == text(ask(resolver, "lines"))
    assert NotFound() == ask(resolver, "team/other")


def test_what_is_accepted_can_be_said(make: Make, company: FakeCompany) -> None:
    """A header of the configuration replaces the usual one."""
    headers = {"X-Safe-Token": "${SAFE_TOKEN}", "accept": "text/plain"}
    assert VALUE == text(ask(make("/v1/raw/{name}", headers=headers, pointer=None)))
    assert "text/plain" == company.last.headers["accept"]


def test_a_name_in_the_query(make: Make, company: FakeCompany, safe_user: None) -> None:
    """It is encoded as a value of the query."""
    company.secrets["a&b=c +d"] = Secret(VALUE)
    resolver = make("/v1/find?name={name}&all=0", headers=BASIC, pointer="value")
    assert VALUE == text(ask(resolver, "a&b=c +d"))
    assert {"name": "a&b=c +d", "all": "0"} == company.last.query


BASIC = {"Authorization": "Basic ${SAFE_USER|basic}"}
FIND = {"headers": BASIC, "absent_pointer": "/found", "absent_value": "false", "pointer": "/value"}


@pytest.fixture
def safe_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set user and password."""
    monkeypatch.setenv("SAFE_USER", f"flows:{TOKEN}")


def test_a_name_in_a_document(make: Make, company: FakeCompany, safe_user: None) -> None:
    """It fills texts of the document, which is sent as JSON."""
    company.secrets['q"x'] = Secret(VALUE)
    document = {"of": [{"name": "kv/{name}"}], "depth": 1}
    resolver = make("/v1/read", method="POST", json=document, **FIND)
    assert VALUE == text(ask(resolver, 'q"x'))
    assert NotFound() == ask(resolver, "team/other")
    assert {"of": [{"name": "kv/{name}"}], "depth": 1} == resolver.json


def test_a_wrong_password(make: Make, safe_user: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of what works: it is refused."""
    resolver = make("/v1/find?name={name}", **FIND)
    assert VALUE == text(ask(resolver))
    monkeypatch.setenv("SAFE_USER", "flows:wrong")
    detail = "the service refuses to tell, with status 403: look at ${SAFE_USER}"
    assert Forbidden(detail) == ask(resolver)


@pytest.mark.parametrize(
    ("slashes", "name", "target"),
    [
        (False, "team/app", "/v1/secrets/team%2Fapp"),
        (True, "team/app", "/v1/secrets/team/app"),
        (False, "app", "/v1/secrets/app"),
        (True, "a b+c%d", "/v1/secrets/a%20b%2Bc%25d"),
        (True, "päss", "/v1/secrets/p%C3%A4ss"),
        (True, "{name}", "/v1/secrets/%7Bname%7D"),
        (False, "a;b:c@d", "/v1/secrets/a%3Bb%3Ac%40d"),
    ],
)
def test_spellings_of_a_name(
    make: Make,
    company: FakeCompany,
    slashes: bool,  # noqa: FBT001 - a parameter of the test
    name: str,
    target: str,
) -> None:
    """What is special in a name is percent-encoded, a slash unless it separates segments."""
    company.secrets[name] = Secret(VALUE)
    assert VALUE == text(ask(make(slashes=slashes), name))
    assert target == company.last.target


@pytest.mark.parametrize(
    "name",
    [
        *("", "/app", "app/", "a//b", ".", "..", "a/../b", "a/./b", "%2e%2E/x", "a/.%2e"),
        *("a?b", "a#b", "a\\b", "a\nb", "a\0b", "a\ud800"),
    ],
)
@pytest.mark.parametrize("slashes", [False, True])
def test_names_that_lead_elsewhere(
    make: Make,
    company: FakeCompany,
    slashes: bool,  # noqa: FBT001 - a parameter of the test
    name: str,
) -> None:
    """Encoded or not, a way out of the path is refused, and nobody is asked."""
    assert NOT_A_NAME == ask(make(slashes=slashes), name)
    assert [] == company.requests


def test_an_unknown_option(make: Make, company: FakeCompany) -> None:
    """A template cannot add to the question."""
    expected = Invalid('has no option "version", it takes none')
    assert expected == ask(make(), options=(("version", "1"),))
    assert [] == company.requests


def test_each_name_is_asked_once(make: Make, company: FakeCompany) -> None:
    """References to the same secret are one question."""
    references = [Reference("team/app", "http"), Reference("app"), Reference("x", "http")]
    outcomes = make(names="team/{name}").resolve(references, Deadline(20))
    assert [VALUE, VALUE] == [text(outcomes[each]) for each in references[:2]]
    assert NotFound() == outcomes[references[2]]
    assert 2 == len(company.requests)


def test_bare_names(make: Make, company: FakeCompany) -> None:
    """They are not asked for unless the configuration says where they lie."""
    company.secrets["team/flows"] = Secret({"TOKEN": VALUE, "PORT": 8080})
    bare = Reference("TOKEN")

    def ask_bare(names: str | None) -> Outcome:
        return make(names=names).resolve([bare], Deadline(20))[bare]

    assert NotFound("bare names are not looked for, as `names` is not set") == ask_bare(None)
    assert [] == company.requests
    assert NotFound() == ask_bare("team/{name}")
    assert VALUE == text(ask_bare("team/flows#{name}"))
    assert NotFound("the secret has no such field") == ask_bare("team/flows#NO_{name}")


def test_instances(make: Make, company: FakeCompany) -> None:
    """A reference can name one of several services; without slashes it is a path."""
    resolver = make()
    secrets = Resolution([], instances={("http", "hr"): resolver, ("http", None): resolver})
    for reference in (Reference("team/app", "http", "hr"), Reference("team/app", "http")):
        assert VALUE == text(secrets.resolve([reference])[reference].outcome)
    assert "http" not in DEFAULT_CHAIN


# --- what an answer means ---


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, Unavailable("answered with status 400")),
        (401, Forbidden(REFUSED.format(401))),
        (403, Forbidden(REFUSED.format(403))),
        (404, NotFound()),
        (410, NotFound()),
        (201, Unavailable("the answer is not what such a store sends")),
        (204, Unavailable("the answer is not what such a store sends")),
        (301, Unavailable("redirects elsewhere, to where the credential is not sent")),
        (429, Unavailable("too many requests", 7.0)),
        (500, Unavailable("answered with status 500", 7.0)),
        (503, Unavailable("answered with status 503", 7.0)),
    ],
)
def test_usual_statuses(make: Make, company: FakeCompany, status: int, outcome: Outcome) -> None:
    """What a status means without further configuration."""
    headers = {"Retry-After": "7", "Location": "http://127.0.0.1:1/"}
    if status == 400:
        headers.pop("Retry-After")
    company.inject(json_answer(status, {"error": VALUE}, headers))
    assert outcome == ask(make())


def test_real_refusals(make: Make, company: FakeCompany, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong token and a forbidden name are told apart from an absent one by the service."""
    company.denied.add("team/private")
    resolver = make()
    assert Forbidden(REFUSED.format(403)) == ask(resolver, "team/private")
    assert NotFound() == ask(resolver, "team/other")
    monkeypatch.setenv("SAFE_TOKEN", "wrong")
    assert Forbidden(REFUSED.format(401)) == ask(resolver)


def test_a_service_that_wants_a_credential_and_gets_none(make: Make) -> None:
    """The message says that there is none in the configuration."""
    detail = "the service refuses to tell, with status 401: it is sent no credential"
    assert Forbidden(detail) == ask(make(headers={}))


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("not_found", NotFound()),
        ("forbidden", Forbidden(REFUSED.format(418))),
        ("invalid", Invalid("the service refuses the name, with status 418")),
        ("unavailable", Unavailable("answered with status 418")),
    ],
)
@pytest.mark.parametrize("key", [418, "418"], ids=["number", "text"])
def test_configured_statuses(
    make: Make, company: FakeCompany, key: int | str, word: str, outcome: Outcome
) -> None:
    """A configuration says what a status means; the keys of TOML are texts."""
    company.inject(json_answer(418, {}))
    resolver = make(statuses={key: word})
    assert outcome == ask(resolver)
    assert VALUE == text(ask(resolver))


def test_usual_statuses_can_be_changed(make: Make, company: FakeCompany) -> None:
    """What is configured replaces what is usual, for that status alone."""
    resolver = make(statuses={403: "not_found", 203: "found"})
    company.denied.add("team/private")
    assert NotFound() == ask(resolver, "team/private")
    company.inject(json_answer(203, {"data": {"value": "other"}}))
    assert "other" == text(ask(resolver))
    assert VALUE == text(ask(resolver))


SPELLINGS = """{"data": {"text": "a\\u00e9\\/", "number": 1.50, "big": 12345678901234567890,
 "exp": 1e5, "yes": true, "no": false, "null": null, "list": [1, 2.0, "x"], "empty": "",
 "lone": "\\ud800", "object": {"b": 1E2, "a": null}}}"""


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("/data/text", "aé/"),
        ("/data/number", "1.50"),
        ("/data/big", "12345678901234567890"),
        ("/data/exp", "1e5"),
        ("/data/yes", "true"),
        ("/data/no", "false"),
        ("/data/empty", ""),
        ("/data/list", '[1,2.0,"x"]'),
        ("/data/list/1", "2.0"),
        ("/data/object", '{"b":1E2,"a":null}'),
    ],
)
def test_values_keep_their_spelling(
    make: Make, company: FakeCompany, pointer: str, expected: str
) -> None:
    """A value in JSON is given as it is written there, whatever its type."""
    company.inject(Answer(200, SPELLINGS.encode(), {"Content-Type": "application/json"}))
    assert expected == text(ask(make(pointer=pointer)))


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({"pointer": "/data/null"}, NotFound()),
        ({"pointer": "/data/other"}, Unavailable("the answer has nothing at /data/other")),
        ({"pointer": "data/text"}, Unavailable("the answer has nothing at data/text")),
        ({"pointer": "/data/list/7"}, Unavailable("the answer has nothing at /data/list/7")),
        ({"pointer": "/data/lone"}, Invalid("the value is no text")),
        ({"pointer": "/data/text", "absent_pointer": "/data/yes"}, NotFound()),
        ({"pointer": "/data/text", "absent_pointer": "/data/number"}, NotFound()),
        (
            {"pointer": "/data/text", "absent_pointer": "/data/exp", "absent_value": "1e5"},
            NotFound(),
        ),
    ],
)
def test_documents_without_a_value(
    make: Make, company: FakeCompany, options: dict[str, str], outcome: Outcome
) -> None:
    """Null means absent, and so does what the configuration says; a hole means a wrong answer."""
    company.inject(Answer(200, SPELLINGS.encode(), {"Content-Type": "application/json"}))
    assert outcome == ask(make(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"absent_pointer": "/data/no"},
        {"absent_pointer": "/data/null"},
        {"absent_pointer": "/data/other"},
        {"absent_pointer": "/data/exp", "absent_value": "100000.0"},
        {"absent_pointer": "/data/other", "absent_value": "null"},
    ],
)
def test_documents_that_do_not_say_absent(
    make: Make, company: FakeCompany, options: dict[str, str]
) -> None:
    """False, null and another value do not mean absent."""
    company.inject(Answer(200, SPELLINGS.encode(), {"Content-Type": "application/json"}))
    assert "1.50" == text(ask(make(pointer="/data/number", **options)))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (text_answer(200, VALUE), Unavailable("the answer is no JSON")),
        (Answer(200, b""), Unavailable("the answer is no JSON")),
        (Answer(200, b'{"data": "\xff"}'), Unavailable("the answer is no JSON")),
        (
            Answer(200, b'{"data": {"value": "x"}}', {"Content-Type": "Text/HTML; charset=x"}),
            Unavailable("the answer is a page for people, perhaps one to log in"),
        ),
        (
            Answer(200, b"x" * (4 * 1024 * 1024 + 1)),
            Unavailable("the answer has more than 4194304 bytes"),
        ),
        (Answer(0), Unavailable("the answer broke off or was no HTTP")),
    ],
)
def test_answers_that_are_none(
    make: Make, company: FakeCompany, answer: Answer, outcome: Outcome
) -> None:
    """What is not an answer of such a service is none, whatever its status."""
    company.inject(answer)
    assert outcome == ask(make())


def test_text_that_is_not_utf_8(make: Make, company: FakeCompany) -> None:
    """Bytes that are no text are no secret that could be sent."""
    company.inject(Answer(200, b"caf\xe9"))
    assert Invalid("the answer is not UTF-8") == ask(make(pointer=None))


def test_a_page_is_no_secret(make: Make, company: FakeCompany) -> None:
    """A page to log in, which a proxy sends with 200, is not taken for a value."""
    company.inject(Answer(200, b"<form>", {"Content-Type": "text/html"}))
    detail = "the answer is a page for people, perhaps one to log in"
    assert Unavailable(detail) == ask(make(pointer=None))


def test_structured_values(make: Make, company: FakeCompany) -> None:
    """Of an object of fields a reference must name one."""
    company.secrets["team/db"] = Secret({"user": "me", "port": 5432})
    secrets = Resolution([make(structured=True)])
    whole, port = Reference("team/db", "http"), Reference("team/db", "http", field="port")
    answers = secrets.resolve([whole, port])
    assert "5432" == text(answers[port].outcome)
    assert Invalid("has 2 fields (port, user), name one with #") == answers[whole].outcome
    assert 1 == len(company.requests)


def test_a_whole_body_with_fields(make: Make, company: FakeCompany) -> None:
    """Without a pointer the whole document can be the object of fields."""
    company.inject(json_answer(200, {"user": "me", "n": 1}))
    found = ask(make(pointer=None, structured=True))
    assert isinstance(found, Found)
    assert ('{"user": "me", "n": 1}', True) == (text(found), found.structured)
    assert "application/json" == company.last.headers["accept"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (7, "7"),
        ("v1.2", "v1.2"),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
        ("a\x1b[2J", None),
        ("", None),
        (None, None),
        ({"a": 1}, None),
        ([1], None),
    ],
)
def test_versions(make: Make, company: FakeCompany, version: object, expected: str | None) -> None:
    """A version is for messages, so only one that can be shown is kept."""
    company.inject(json_answer(200, {"data": {"value": "x"}, "version": version}))
    found = ask(make(version_pointer="version"))
    assert isinstance(found, Found)
    assert expected == found.version


@pytest.mark.parametrize(
    ("options", "headers", "expected"),
    [
        ({}, {}, None),
        ({"ttl": 60}, {"Cache-Control": "no-store"}, 60),
        ({"ttl": 0}, {"Cache-Control": "max-age=60"}, 0),
        ({}, {"Cache-Control": "max-age=60"}, 60),
        ({}, {"Cache-Control": 'private, Max-Age="60"'}, 60),
        ({}, {"Cache-Control": "max-age=60", "Age": "20"}, 40),
        ({}, {"Cache-Control": "max-age=60", "Age": "100"}, 0),
        ({}, {"Cache-Control": "max-age=60", "Age": "soon"}, 60),
        ({}, {"Cache-Control": "max-age=0"}, 0),
        ({}, {"Cache-Control": "no-store"}, 0),
        ({}, {"Cache-Control": "private, no-cache, max-age=60"}, 0),
        ({}, {"Cache-Control": "s-maxage=60"}, None),
        ({}, {"Cache-Control": "max-age=soon"}, None),
        ({}, {"Cache-Control": "public"}, None),
        ({"ttl_pointer": "/meta/lease"}, {"Cache-Control": "max-age=60"}, 90),
        ({"ttl_pointer": "/meta/none"}, {"Cache-Control": "max-age=60"}, 60),
        ({"ttl_pointer": "/meta/version"}, {}, None),
        ({"ttl_pointer": "/data/value"}, {}, None),
        ({"ttl_pointer": "/meta"}, {}, None),
    ],
)
def test_lifetimes(
    make: Make,
    company: FakeCompany,
    options: dict[str, Any],
    headers: dict[str, str],
    expected: float | None,
) -> None:
    """The configuration, then a lease, then the usual header say how long a value may be kept."""
    company.secrets["team/app"] = Secret(VALUE, version=0, lease=100)
    company.headers.update(headers)
    found = ask(make(**options))
    assert isinstance(found, Found)
    assert expected == found.lifetime


def test_a_service_that_is_down_is_not_asked_for_the_next(make: Make, company: FakeCompany) -> None:
    """After "too many requests" no further one is sent; what was found before stays."""
    references = [Reference(name, "http") for name in ("team/app", "b", "c")]
    company.inject(json_answer(429, {}), path="/v1/secrets/b")
    outcomes = make().resolve(references, Deadline(20))
    assert VALUE == text(outcomes[references[0]])
    assert [Unavailable("too many requests")] * 2 == [outcomes[each] for each in references[1:]]
    assert 2 == len(company.requests)


def test_an_odd_answer_is_no_reason_not_to_ask_for_the_next(
    make: Make, company: FakeCompany
) -> None:
    """One secret without a value does not take the others along."""
    references = [Reference(name, "http") for name in ("odd", "team/app")]
    company.inject(json_answer(200, {}), path="/v1/secrets/odd")
    outcomes = make().resolve(references, Deadline(20))
    assert Unavailable("the answer has nothing at /data/value") == outcomes[references[0]]
    assert VALUE == text(outcomes[references[1]])


def test_nobody_there() -> None:
    """A service that does not listen is unavailable."""
    resolver = HttpResolver(url=f"http://127.0.0.1:{free_ports(1)[0]}/{{name}}")
    assert Unavailable("no connection could be made") == ask(resolver)


def test_placeholders_in_an_answer_are_text(
    make: Make, company: FakeCompany, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the service sends is never resolved."""
    company.secrets["team/app"] = Secret("${SAFE_TOKEN}${http:team/app}")
    assert "${SAFE_TOKEN}${http:team/app}" == text(ask(make()))


# --- credentials ---

CONTROLS = "a control character or one outside ASCII"


@pytest.mark.parametrize(
    "source",
    [
        *("${SAFE_TOKEN}", "${env:SAFE_TOKEN}", "${OTHER:-CANARY-http-token}"),
        *("${directory:safe-token}", "${directory:SAFE_TOKEN}"),
        *("${file:DIR/safe-token}", "$<file:~/token.json#token>", "${SAFE_TOKEN64|base64decode}"),
    ],
)
def test_where_credentials_come_from(
    make: Make, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header's placeholders are answered from this machine, with filters as everywhere."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SAFE_TOKEN64", "Q0FOQVJZLWh0dHAtdG9rZW4=")
    (tmp_path / "safe-token").write_text(f"{TOKEN}\n")
    (tmp_path / "token.json").write_text(json.dumps({"token": TOKEN}))
    headers = {"Authorization": "Bearer " + source.replace("DIR", str(tmp_path))}
    assert VALUE == text(ask(make(headers=headers)))


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("${NO_TOKEN}", "no credential: set NO_TOKEN"),
        ("${env:NO_TOKEN}", "no credential: set NO_TOKEN"),
        ("${EMPTY}", "no credential: set EMPTY"),
        ("${directory:no-token}", "no credential: ${directory:no-token} is missing"),
        ("${file:DIR/no-token}", "no credential: ${file:DIR/no-token} is missing"),
        ("${file:DIR/empty}", "no credential: ${file:DIR/empty} is empty"),
        (
            "${file:DIR}",
            "no credential: ${file:DIR}: it is not a file",
        ),
        ("${file:DIR/bytes}", "no credential: ${file:DIR/bytes}: the file is not UTF-8"),
        ("${file:DIR/long}", "no credential: ${file:DIR/long}: the file is longer than 64 KiB"),
        (
            "${file:DIR/text#token}",
            "no credential: ${file:DIR/text#token}: is not JSON, so it has no fields",
        ),
        (
            "${file:DIR/lines}",
            "no credential: ${file:DIR/lines}: its value cannot stand in a header: it holds "
            + CONTROLS,
        ),
    ],
)
def test_credentials_that_are_not_there(
    make: Make, company: FakeCompany, source: str, detail: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It is said what is missing, and nobody is asked."""
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"caf\xe9")
    (tmp_path / "long").write_text("x" * 65537)
    (tmp_path / "lines").write_text("a secret\nin lines")
    (tmp_path / "text").write_text("a secret")
    header, detail = (each.replace("DIR", str(tmp_path)) for each in (source, detail))
    resolver = make(headers={"Authorization": f"Bearer {header}"})
    assert Unavailable(detail) == ask(resolver)
    assert detail == resolver.health()
    assert [] == company.requests


def test_a_credential_of_another_store_is_refused(make: Make) -> None:
    """A service cannot need a secret of itself, or of any other store."""
    for source in ("http:team/app", "vault:secret/app#token", "flow.name", "env://x/TOKEN"):
        with pytest.raises(ConfigurationError) as caught:
            make(headers={"Authorization": f"Bearer ${{{source}}}"})
        expected = f"headers.Authorization: ${{{source}}} is no credential of this machine"
        assert expected == str(caught.value)


def test_nothing_of_a_credential_is_kept(make: Make) -> None:
    """A resolver that has asked shows and pickles configuration only."""
    resolver = make(ttl=60)
    assert VALUE == text(ask(resolver))
    pickled = pickle.dumps(resolver)
    assert TOKEN not in repr(resolver)
    assert TOKEN.encode() not in pickled
    copy: HttpResolver = pickle.loads(pickled)  # noqa: S301 - pickled just before
    assert (resolver, hash(resolver)) == (copy, hash(copy))
    assert VALUE == text(ask(copy))
    copy.close()


# --- TLS ---


def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    """The service's CA is trusted, and the certificate proves who asks."""
    with FakeCompany(token=TOKEN, certificates=True) as company:
        company.secrets["team/app"] = Secret(VALUE)
        both = tmp_path / "both.pem"
        both.write_text(company.client.cert.read_text() + company.client.key.read_text())

        def ask_with(**options: Any) -> Outcome:
            resolver = HttpResolver(
                url=f"{company.url}/v1/secrets/{{name}}",
                headers={"Authorization": "Bearer ${SAFE_TOKEN}"},
                pointer="/data/value",
                health_url=f"{company.url}/health",
                **options,
            )
            try:
                outcome = ask(resolver)
                assert isinstance(outcome, Found) is (resolver.health() is None)
                return outcome
            finally:
                resolver.close()

        trusted = {"ca_file": company.ca_file}
        ours = {"cert_file": company.client.cert, "key_file": company.client.key}
        foreign = {"cert_file": company.stranger.cert, "key_file": company.stranger.key}
        assert VALUE == text(ask_with(**trusted, **ours))
        assert VALUE == text(ask_with(**trusted, cert_file=both))
        for wrong in (trusted, {**trusted, **foreign}):
            assert isinstance(ask_with(**wrong), Unavailable)
        detail = "the server's certificate was refused: it is signed by an unknown authority"
        assert Unavailable(detail) == ask_with(**ours)
        unreadable = "the CA certificates cannot be read"
        assert Unavailable(unreadable) == ask_with(ca_file=tmp_path / "missing.pem", **ours)
        unreadable = "the client certificate or its key cannot be read"
        assert Unavailable(unreadable) == ask_with(**trusted, cert_file=company.ca_file)


# --- health ---


def test_health(make: Make, company: FakeCompany, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials are looked for, then the service is asked, without them."""
    assert make().health() is None
    assert [] == company.requests
    resolver = make(health_url=f"{company.url}/health")
    assert resolver.health() is None
    assert ["/health"] == [request.path for request in company.requests]
    assert "authorization" not in company.last.headers
    company.inject(json_answer(503, {}))
    assert "answered with status 503" == resolver.health()
    company.inject(json_answer(302, {}))
    assert "redirects elsewhere, to where the credential is not sent" == resolver.health()
    monkeypatch.delenv("SAFE_TOKEN")
    assert "no credential: set SAFE_TOKEN" == resolver.health()


def test_health_of_nobody() -> None:
    """A service that does not listen is not well."""
    origin = f"http://127.0.0.1:{free_ports(1)[0]}"
    resolver = HttpResolver(url=f"{origin}/{{name}}", health_url=f"{origin}/health")
    assert "no connection could be made" == resolver.health()


# --- configurations ---

NO_ADDRESS = "this is an address of http or https, without user, fragment or '..'"


@pytest.mark.parametrize(
    "url",
    [
        *("safe.test/{name}", "ftp://safe.test/{name}", "http:///{name}", "https://u:p@h/{name}"),
        *("https://h/{name}#x", "https://h/a/../{name}", "https://h/%2e%2e/{name}", "{name}"),
        *("https://h/a b/{name}", "https://h/{nmae}", "https://h:port/{name}", "https://h/%zz{name}"),
        *("https://h/\n{name}", "https://h/ä/{name}", "", 7, None, "https://h:{name}/"),
    ],
)  # fmt: skip
def test_addresses_that_are_refused(url: object) -> None:
    """An address is complete, and encoded where that is needed."""
    with pytest.raises(ConfigurationError) as caught:
        HttpResolver(url=url)  # type: ignore[arg-type]  # that is the point
    assert f"url: {NO_ADDRESS}" == str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://{name}/x", "https://{name}.safe.test/", "https://h{name}"]
)
def test_a_name_chooses_no_host(url: str) -> None:
    """Scheme, host and port are those of the configuration."""
    with pytest.raises(ConfigurationError) as caught:
        HttpResolver(url=url)
    expected = "url: {name} stands in the path or the query, never in host or port"
    assert expected == str(caught.value)


URL = "https://safe.test/v1/{name}"
NO_POINTER = "this is a key, or a JSON pointer such as /data/value"
NO_STATUSES = (
    "statuses: these are statuses with one of found, not_found, forbidden, unavailable, invalid; "
    "only a 2xx is found"
)
NO_CREDENTIAL = "a credential is not written here, only where it is"
NO_HEADER = "this is no header, or one that is set for every request"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "https://safe.test/v1"},
         "url: {name} stands neither in url nor in json, so all secrets would be one"),
        ({"url": "https://safe.test/v1", "method": "POST", "json": {"{name}": 1}},
         "url: {name} stands neither in url nor in json, so all secrets would be one"),
        ({"method": "DELETE"}, "method: this is GET or POST"),
        ({"method": "get"}, "method: this is GET or POST"),
        ({"json": {"a": "{name}"}}, "json: a GET carries no document"),
        ({"method": "POST", "json": {"a": float("nan")}}, "json: this cannot be written as JSON"),
        ({"method": "POST", "json": {"a": b"x"}}, "json: this cannot be written as JSON"),
        ({"method": "POST", "json": {1j: "x"}}, "json: this cannot be written as JSON"),
        ({"headers": "X: y"}, "headers: these are names with texts"),
        ({"headers": {"X": 1}}, "headers: these are names with texts"),
        ({"headers": {"X y": "z"}}, f"headers.X y: {NO_HEADER}"),
        ({"headers": {"Host": "other.test"}}, f"headers.Host: {NO_HEADER}"),
        ({"headers": {"content-length": "1"}}, f"headers.content-length: {NO_HEADER}"),
        ({"headers": {"Accept-Encoding": "gzip"}}, f"headers.Accept-Encoding: {NO_HEADER}"),
        ({"headers": {"Authorization": "Bearer abc"}}, f"headers.Authorization: {NO_CREDENTIAL}"),
        ({"headers": {"X-Api-Key": "abc"}}, f"headers.X-Api-Key: {NO_CREDENTIAL}"),
        ({"headers": {"private-token": "abc"}}, f"headers.private-token: {NO_CREDENTIAL}"),
        ({"headers": {"X": "a\nb"}},
         "headers.X: The text of a header holds a control character or one outside ASCII."),
        ({"headers": {"X": "a "}},
         "headers.X: The text of a header begins or ends with a blank."),
        ({"headers": {"X": "${A"}},
         "headers.X: The placeholder at offset 0 is malformed: it is not closed."),
        ({"headers": {"X": "${file:token}"}}, "headers.X: ${file:token} is no absolute path"),
        ({"headers": {"X": "{name}"}}, "headers.X: {name} stands in url or json, not in a header"),
        ({"pointer": ""}, f"pointer: {NO_POINTER}"),
        ({"pointer": "/a~2"}, f"pointer: {NO_POINTER}"),
        ({"pointer": 7}, f"pointer: {NO_POINTER}"),
        ({"version_pointer": ""}, f"version_pointer: {NO_POINTER}"),
        ({"absent_pointer": "/~"}, f"absent_pointer: {NO_POINTER}"),
        ({"ttl_pointer": ""}, f"ttl_pointer: {NO_POINTER}"),
        ({"absent_value": "x"},
         "absent_value: this says what stands at absent_pointer, which is not set"),
        ({"ttl": -1}, "ttl: this is a number of seconds"),
        ({"ttl": "60"}, "ttl: this is a number of seconds"),
        ({"ttl": True}, "ttl: this is a number of seconds"),
        ({"statuses": {404: "missing"}}, NO_STATUSES),
        ({"statuses": {"4xx": "invalid"}}, NO_STATUSES),
        ({"statuses": {302: "found"}}, NO_STATUSES),
        ({"statuses": "404"}, NO_STATUSES),
        ({"key_file": "client.key"}, "key_file: a key without its certificate proves nothing"),
        ({"health_url": "https://safe.test/{name}"}, f"health_url: {NO_ADDRESS}"),
        ({"names": "flows"}, "names: names must hold {name}, for example team/flows#{name}"),
        ({"names": "../{name}"}, f"names: {NOT_A_NAME.detail}"),
    ],
)  # fmt: skip
def test_configurations_that_are_refused(options: dict[str, Any], message: str) -> None:
    """What cannot work is refused when it is written, in words that say what is wanted."""
    with pytest.raises(ConfigurationError) as caught:
        HttpResolver(**{"url": URL, **options})
    assert message == str(caught.value)


def test_a_credential_in_a_header_is_not_repeated() -> None:
    """The message about a credential in the configuration does not hold it."""
    with pytest.raises(ConfigurationError) as caught:
        HttpResolver(url=URL, headers={"Authorization": f"Bearer {TOKEN}"})
    assert TOKEN not in f"{caught.value!r} {caught.value.hint}"


def test_headers_that_hold_no_credential() -> None:
    """Plain headers, and templates that have a text of their own, are fine."""
    headers = {"X-Team": "flows", "X-Cost": "5 $$", "Authorization": "Bearer ${A} ${B}"}
    assert headers == HttpResolver(url=URL, headers=headers).headers


def test_a_configuration_does_not_change() -> None:
    """What was handed over can be changed without changing the resolver."""
    headers, statuses = {"X": "y"}, {"418": "invalid"}
    resolver = HttpResolver(url=URL, headers=headers, statuses=statuses)
    headers.clear()
    statuses.clear()
    assert ({"X": "y"}, {"418": "invalid"}) == (resolver.headers, resolver.statuses)


# --- whole configurations ---

COMPLETE = """
[secrets.http]
url = "ORIGIN/v1/read"
method = "POST"
json = { of = [{ name = "kv/{name}" }], depth = 1 }
headers = { Authorization = "Basic ${SAFE_USER|basic}", X-Team = "flows" }
pointer = "/value"
absent_pointer = "/found"
absent_value = "false"
statuses = { 422 = "invalid", 423 = "forbidden" }
ttl = 60
health_url = "ORIGIN/health"
names = "team/{name}"
"""


def test_a_service_described_in_toml(company: FakeCompany, safe_user: None) -> None:
    """A table of the configuration file is all that it takes."""
    table = tomllib.loads(COMPLETE.replace("ORIGIN", company.url))["secrets"]["http"]
    resolver = HttpResolver(**table)
    bare = Reference("app")
    found = resolver.resolve([bare], Deadline(20))[bare]
    assert isinstance(found, Found)
    assert (VALUE, 60) == (text(found), found.lifetime)
    assert NotFound() == ask(resolver, "other")
    assert resolver.health() is None
    resolver.close()


def test_vault_is_such_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that others wrote can be described as well, and refuses what it refuses."""
    value = canary()
    with FakeVault(token="hvs.right") as vault:
        vault.put("secret/team/app", {"token": value})
        monkeypatch.setenv("VAULT_TOKEN", vault.token)
        resolver = HttpResolver(
            url=f"{vault.url}/v1/secret/data/{{name}}",
            slashes=True,
            headers={"X-Vault-Token": "${VAULT_TOKEN}"},
            pointer="/data/data",
            structured=True,
            version_pointer="/data/metadata/version",
        )
        found = ask(resolver)
        assert isinstance(found, Found)
        assert ({"token": value}, "1", True) == (
            json.loads(text(found)),
            found.version,
            found.structured,
        )
        assert NotFound() == ask(resolver, "team/other")
        monkeypatch.setenv("VAULT_TOKEN", "hvs.wrong")
        assert isinstance(ask(resolver), Forbidden)
        resolver.close()
