"""Secret blocks of a real Prefect 3, read where it is installed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.http import NO_ANSWER, Answer, json_answer, text_answer
from tests.fakes.prefect import FakePrefect
from tests.fleet.fixtures import required
from tests.fleet.prefect import Prefect, serve_prefect, use_prefect
from webhook_storage.testing import canary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A server that starts for the first time and several starts of Prefect take their time.
pytestmark = pytest.mark.timeout(180)

NOBODY = "http://127.0.0.1:1/api"
WRONG = "admin:CANARY-wrong-password"
TEXTS = ("12345678901234567890", "1e5", "true", "null", '{"a": 1.50}', '"quoted"', " spaces \n", "")
REFUSED = [
    "Forbidden",
    "the credential is missing or wrong: check PREFECT_API_KEY or PREFECT_API_AUTH_STRING",
]
NO_ADDRESS = [
    "Unavailable", "no address: set PREFECT_API_URL, or use a profile of Prefect that has one",
]  # fmt: skip
NO_API = ["Unavailable", "the address is not that of Prefect's API, which ends with /api"]
NO_CONNECTION = ["Unavailable", "Prefect could not ask its server, ConnectError"]


@pytest.fixture(scope="module")
def value() -> str:
    """The value of the block ``api-token``."""
    return canary()


@pytest.fixture(scope="module")
def server(fleet_directory: Path, value: str) -> Iterator[Prefect]:
    """Start a server, and save blocks by Prefect's own means."""
    directory = fleet_directory / "prefect"
    with required(), serve_prefect(directory) as server:
        texts = {f"text-{number}": text for number, text in enumerate(TEXTS)}
        fields = {"object": {"user": "me", "password": "p"}, "list": [1, "a"], "nothing": None}
        blocks = {"api-token": value, **texts, **fields}
        use_prefect([{"command": "save", "blocks": blocks}], directory, server.settings)
        yield server


def ask(*names: str, **told: Any) -> dict[str, Any]:
    """Return the command that asks for names."""
    return {"command": "ask", "names": names, **told}


def test_the_suite_of_resolvers(server: Prefect, value: str, tmp_path: Path) -> None:
    """With the real Prefect every promise of a resolver is kept."""
    with FakePrefect() as mute:
        mute.hang(times=None)
        profiles = {
            "refused": {"PREFECT_API_URL": server.api, "PREFECT_API_AUTH_STRING": WRONG},
            "unreachable": {**server.settings, "PREFECT_API_URL": NOBODY},
            "hanging": {**server.settings, "PREFECT_API_URL": mute.api},
        }
        suite = {
            "command": "suite", "present": "api-token", "value": value, "absent": "absent",
            "credentials": [server.auth, WRONG],
        }  # fmt: skip
        broken = use_prefect([suite], tmp_path, server.settings, profiles=profiles)
        assert broken == [{}]


def test_what_was_saved_is_read(server: Prefect, value: str, tmp_path: Path) -> None:
    """Texts are as they were saved, whatever `Secret.get()` would make of them."""
    names = [f"text-{number}" for number in range(len(TEXTS))]
    answers = use_prefect(
        [
            ask(*names),
            ask("object", "list", "nothing", "absent", "secret/api-token", "json/api-token"),
            ask("API_TOKEN", bare=True),
            ask("api-token", where="loop"),
            ask("api-token", where="flow"),
            ask("api-token", where="loop of a flow"),
            {"command": "health"},
        ],
        tmp_path,
        server.settings,
    )
    assert answers == [
        [["Found", text] for text in TEXTS],
        [
            ["Found", '{"user":"me","password":"p"}'],
            ["Found", '[1,"a"]'],
            ["NotFound", "the block holds null"],
            ["NotFound", ""],
            ["Found", value],
            ["Invalid", "only Secret blocks are read, and their names have no slash"],
        ],
        *([[["Found", value]]] * 4),
        None,
    ]


def test_wrong_credentials_and_addresses(server: Prefect, value: str, tmp_path: Path) -> None:
    """Profiles lead to servers; what the environment says does not go to the server of another."""
    profiles = {
        "right": server.settings,
        "wrong": {**server.settings, "PREFECT_API_AUTH_STRING": WRONG},
        "key": {"PREFECT_API_URL": server.api, "PREFECT_API_KEY": "CANARY-key"},
        "no-credential": {"PREFECT_API_URL": server.api},
        "nobody": {**server.settings, "PREFECT_API_URL": NOBODY},
        "no-api": {**server.settings, "PREFECT_API_URL": server.api.removesuffix("/api")},
        "no-address": {},
    }
    told = [ask("api-token", options={"profile": name}) for name in (*profiles, "missing")]
    assert use_prefect(told, tmp_path, server.settings, profiles=profiles) == [
        [["Found", value]],
        [REFUSED],
        [REFUSED],
        [REFUSED],
        [NO_CONNECTION],
        [NO_API],
        [NO_ADDRESS],
        [["Unavailable", 'Prefect has no profile "missing"']],
    ]


def test_no_server_is_started_unasked(server: Prefect, value: str, tmp_path: Path) -> None:
    """Prefect starts a server where it is allowed to, which ends with the program."""
    told = [ask("api-token"), ask("api-token", "absent", options={"allow_ephemeral": True})]
    answers = use_prefect(told, tmp_path, {}, home=server.home)
    assert answers == [[NO_ADDRESS], [["Found", value], ["NotFound", ""]]]
    forbidden = {"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}
    assert use_prefect(told[1:], tmp_path, forbidden) == [[NO_ADDRESS, NO_ADDRESS]]


def test_the_client_does_not_repeat(server: Prefect, tmp_path: Path) -> None:
    """Prefect's own client is kept from asking again, and from telling what was answered."""
    answers: dict[str, Answer] = {
        "the answer is not one of Prefect's": json_answer(200, {"detail": "CANARY"}),
        "the credential may not read this": json_answer(403, {}),
        "too many requests": json_answer(429, {}, {"Retry-After": "7"}),
        "answered with status 502": text_answer(502, "<h1>CANARY</h1>"),
        "answered with status 503": json_answer(503, {}, {"Prefect-Maintenance": "true"}),
        "Prefect could not ask its server, RemoteProtocolError": NO_ANSWER,
    }
    with contextlib.ExitStack() as stack:
        fakes = {outcome: stack.enter_context(FakePrefect()) for outcome in answers}
        for outcome, fake in fakes.items():
            fake.inject(answers[outcome], times=None)
        profiles = {
            f"profile-{number}": {"PREFECT_API_URL": fake.api}
            for number, fake in enumerate(fakes.values())
        }
        told = [ask("api-token", options={"profile": name}) for name in profiles]
        given = use_prefect(told, tmp_path, {}, profiles=profiles)
        assert [outcome[0][1] for outcome in given] == list(answers)
        assert [len(fake.requests) for fake in fakes.values()] == [1] * len(answers)


def test_the_client_follows_no_redirect(server: Prefect, tmp_path: Path) -> None:
    """Headers that are meant for one server do not go to another."""
    with FakePrefect() as fake, FakePrefect() as elsewhere:
        elsewhere.put("api-token", "from elsewhere")
        there = f"{elsewhere.api}/block_types/slug/secret/block_documents/name/api-token"
        fake.inject(Answer(307, headers={"Location": there}))
        settings = {
            "PREFECT_API_URL": fake.api,
            "PREFECT_API_KEY": "CANARY-key",
            "PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Gate": "CANARY-gate"}',
        }
        told = "redirects elsewhere, to where the credential is not sent"
        assert use_prefect([ask("api-token")], tmp_path, settings) == [[["Unavailable", told]]]
        assert fake.last.headers["x-gate"] == "CANARY-gate"
        assert fake.last.headers["authorization"] == "Bearer CANARY-key"
        assert elsewhere.requests == []


def test_tls_is_verified_for_another_profile(server: Prefect, tmp_path: Path) -> None:
    """Who trusts any certificate of one server does not so of the next."""
    with FakePrefect(tls=True) as fake:
        fake.put("api-token", "over TLS")
        profiles = {"tls": {"PREFECT_API_URL": fake.api}}
        settings = {**profiles["tls"], "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": "true"}
        told = [ask("api-token"), ask("api-token", options={"profile": "tls"})]
        answers = use_prefect(told, tmp_path, settings, profiles=profiles)
        assert answers == [[["Found", "over TLS"]], [NO_CONNECTION]]


def test_the_fake_is_like_the_server(server: Prefect, tmp_path: Path) -> None:
    """Prefect's client reads the fake as it reads a server, with the right key and a wrong one."""
    with FakePrefect("Bearer right") as fake:
        fake.put("api-token", "value")
        fake.put("settings", "value", block_type="json")
        right = {"PREFECT_API_URL": fake.api, "PREFECT_API_KEY": "right"}
        profiles = {"wrong": {**right, "PREFECT_API_KEY": "wrong"}}
        told = [
            ask("api-token", "absent", "settings"),
            ask("api-token", options={"profile": "wrong"}),
            {"command": "health", "options": {"profile": "wrong"}},
        ]
        assert use_prefect(told, tmp_path, right, profiles=profiles) == [
            [["Found", "value"], ["NotFound", ""], ["NotFound", ""]],
            [REFUSED],
            None,
        ]
