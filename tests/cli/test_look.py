from __future__ import annotations

import io
import json
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import assert_two_lines, run_process, write_definition
from webhook_storage.cli import main
from webhook_storage.cli.operations import secrets_of
from webhook_storage.contracts import PLAIN, StoreOptions, Wanted
from webhook_storage.testing import canary, find_leaks
from webhook_storage.webhook import Webhook

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Outcome, Run, Service
    from webhook_storage.contracts import Body, Exchange, Facts
    from webhook_storage.receipt import Receipt


def lines_of(outcome: Outcome) -> dict[str, list[str]]:
    """Return the rows of a table in a pipe, by placeholder."""
    rows = [line.split("\t") for line in outcome.out.splitlines()]
    assert ["placeholder", "used to", "outcome", "asked"] == rows[0]
    return {row[0]: row[1:] for row in rows[1:]}


# --- render ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "method"),
    [("store", "PUT"), ("fetch", "GET"), ("exists", "HEAD"), ("delete", "DELETE"), ("list", "GET")],
)
def test_render(run: Run, definition: Path, service: Service, operation: str, method: str) -> None:
    """`render` shows each operation's request with the name in place of the secret."""
    outcome = run("render", definition, "--operation", operation, "--key", "a b")
    path = "/" if operation == "list" else "/a%20b"
    assert f"{method} {service.url}{path}" == outcome.out.splitlines()[0]
    assert "${PASSWORD}" in outcome.out
    assert [] == find_leaks(outcome.out + outcome.err, service.password)


def test_render_for_a_file(run: Run, definition: Path, tmp_path: Path) -> None:
    """With a file the request is the one that would store it."""
    file = tmp_path / "in"
    file.write_bytes(b"12345")
    outcome = run("render", definition, "--key", "k", "--file", file)
    assert "Content-Length: 5" in outcome.out.splitlines()


def test_render_by_flow_name(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL with the slug is rendered for the flow that --key names."""
    monkeypatch.setenv("PASSWORD", canary())
    request = {"url": "https://x.example/${flow.slug}", "headers": {"X-K": "${PASSWORD}"}}
    definition = write_definition(
        tmp_path / "d.json",
        "https://x.example",
        build_request_kwargs=request,
        get_flow_request_kwargs=request,
    )
    outcome = run("render", definition, "--operation", "fetch", "--key", "My Flow")
    assert "GET https://x.example/my-flow" == outcome.out.splitlines()[0]


def test_render_sends_nothing_without_a_secret(
    run: Run, definition: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that cannot be rendered is an error as when sending."""
    monkeypatch.delenv("PASSWORD")
    outcome = run("render", definition, "--key", "k")
    assert (3, "") == (outcome.code, outcome.out)
    assert_two_lines(outcome.err)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_command_works(run: Run, definition: Path, service: Service) -> None:
    """The curl command that `render` prints does the same request, secrets from the environment."""
    (service.directory / "k").write_bytes(b"content")
    outcome = run("render", definition, "--operation", "fetch", "--key", "k", "--curl")
    assert [] == find_leaks(outcome.out, service.password)
    assert "curl" == shlex.split(outcome.out)[0]
    done = subprocess.run(["bash", "-c", outcome.out], capture_output=True, check=False)
    assert b"content" == done.stdout


def test_render_of_what_was_stored(run: Run, tmp_path: Path) -> None:
    """What the receipt in the definition tells of an artifact fills the requests that need it."""
    receipt = {"location": "x", "sha256": "ab", "size": 1, "build_time": "t", "key": "k"}
    request = {"url": "https://x.example/${artifact.key}"}
    definition = write_definition(
        tmp_path / "d.json",
        "https://x.example",
        build_request_kwargs=request,
        get_flow_request_kwargs={"url": "https://x.example/${receipt.id}?v=${receipt.version}"},
        receipts={"k": {**receipt, "version": "7", "captures": {"id": "i d"}}},
    )
    known = run("render", definition, "--operation", "fetch", "--key", "k")
    assert "GET https://x.example/i%20d?v=7" == known.out.splitlines()[0]
    unknown = run("render", definition, "--operation", "fetch", "--key", "other")
    assert 2 == unknown.code
    assert_two_lines(unknown.err)


# --- check ----------------------------------------------------------------------------------------


def test_check_finds_all(run: Run, definition: Path, service: Service) -> None:
    """`check` says who answers for each placeholder, and for what it is needed; no value."""
    outcome = run("check", definition)
    used, found, asked = lines_of(outcome)["${PASSWORD}"]
    assert (0, "found", "env: found") == (outcome.code, found, asked)
    assert "store, fetch, exists, delete, list" == used
    assert [] == find_leaks(outcome.out + outcome.err, service.password)


def test_check_misses_one(
    run: Run, definition: Path, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    """With one missing the code is 1, and all who were asked stand in the table, in order."""
    monkeypatch.delenv("PASSWORD")
    outcome = run("check", definition)
    _, found, asked = lines_of(outcome)["${PASSWORD}"]
    assert (1, "not found") == (outcome.code, found)
    assert ["env", "dotenv", "directory"] == [step.split(":")[0] for step in asked.split("; ")]


def test_check_of_all_kinds(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults, empty values, unfit values and unknown resolvers are told apart."""
    unfit = canary() + "\r\nX-Evil: 1"
    for name, value in {"PASSWORD": canary(), "EMPTY": "", "UNFIT": unfit}.items():
        monkeypatch.setenv(name, value)
    headers = {"X-D": "${ABSENT:-none}", "X-V": "${nowhere:a/b#c}"}
    request = {"url": "https://x.example/f", "headers": headers}
    empty = {"url": "https://x.example/f", "headers": {"X-E": "${EMPTY}"}, "method": "DELETE"}
    evil = {"url": "https://x.example/f", "headers": {"X-U": "${UNFIT}"}, "method": "HEAD"}
    definition = write_definition(
        tmp_path / "d.json",
        "https://x.example",
        build_request_kwargs=request,
        get_flow_request_kwargs=request,
        delete_request=empty,
        exists_request=evil,
        signing_keys={"k": "${SIGNING}"},
    )
    outcome = run("check", definition)
    told = {name: (used, found) for name, (used, found, _) in lines_of(outcome).items()}
    assert {
        "${ABSENT}": ("store, fetch", "default"),
        "${nowhere:a/b#c}": ("store, fetch", "invalid"),
        "${UNFIT}": ("exists", "invalid"),
        "${EMPTY}": ("delete", "invalid"),
        "${PASSWORD}": ("list", "found"),
        "${SIGNING}": ("signing", "not found"),
    } == told
    assert 1 == outcome.code
    assert [] == find_leaks(outcome.out, unfit.split("\r", maxsplit=1)[0])


class Signing(Webhook):
    """Wants a secret for itself before it sends its request."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Ask for the secret first."""
        yield Wanted({"key": "${SIGNATURE}"})
        return (yield from super().store_exchange(body, facts, options))


def test_secrets_that_an_exchange_wants_for_itself() -> None:
    """What is wanted apart from the requests is among the secrets of a definition."""
    request = {"url": "https://x.example/f", "headers": {"X-K": "${TOKEN:-none}"}}
    storage = Signing(
        build_request_kwargs=request,
        build_request_http_method="PUT",
        get_flow_request_kwargs=request,
        get_flow_request_http_method="GET",
    )
    uses = secrets_of(storage)
    assert [
        ("SIGNATURE", ("store",), False),
        ("TOKEN", ("store", "fetch", "exists", "delete"), True),
    ] == [(str(use.reference), use.operations, use.optional) for use in uses]


def test_check_without_placeholders(run: Run, tmp_path: Path) -> None:
    """A definition without placeholders has nothing that could be missing."""
    request = {"url": "file:///nowhere/f"}
    document = {"type": "Webhook", "build_request_kwargs": request}
    document |= {"build_request_http_method": "PUT", "get_flow_request_kwargs": request}
    definition = tmp_path / "d.json"
    definition.write_text(json.dumps({**document, "get_flow_request_http_method": "GET"}))
    outcome = run("check", definition)
    assert (0, {}) == (outcome.code, lines_of(outcome))


def test_check_in_a_terminal(
    definition: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal the table is aligned; NO_COLOR leaves colours out."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert 0 == main(["check", str(definition)])
    assert "${PASSWORD}" in terminal.getvalue()
    assert "\x1b[32m" not in terminal.getvalue()
    assert [] == find_leaks(terminal.getvalue(), service.password)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_config_chooses_the_resolvers(
    run: Run, definition: Path, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration file says who is asked, by option or by environment variable."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "password").write_text(service.password)
    monkeypatch.delenv("PASSWORD")
    config = tmp_path / "webhook-storage.toml"
    config.write_text(
        '[secrets]\nchain = ["directory"]\n'
        f"[secrets.directory]\npaths = [{json.dumps(str(tmp_path / 'secrets'))}]\n"
    )
    outcome = run("--config", config, "check", definition)
    assert "directory: found" == lines_of(outcome)["${PASSWORD}"][2]
    done = run_process("check", definition, WEBHOOK_STORAGE_CONFIG=str(config))
    assert 0 == done.returncode
    assert 1 == run("check", definition).code


def test_a_policy_is_told(
    run: Run, definition: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that may not go there is forbidden, by a rule that is named; nothing is sent."""
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__HOSTS", '{ PASSWORD = ["files.example.com"] }')
    outcome = run("check", definition)
    _, shown, asked = lines_of(outcome)["${PASSWORD}"]
    assert (1, "forbidden") == (outcome.code, shown)
    assert 'by the rule for "PASSWORD"' in asked
    done = run("list", definition)
    assert 3 == done.code
    assert 'may go to files.example.com only, by the rule for "PASSWORD"' in done.err


# --- the command itself ---------------------------------------------------------------------------


def test_version(run: Run) -> None:
    """`--version` tells name and version."""
    outcome = run("--version")
    assert (0, "webhook-storage 0.1.0\n") == (outcome.code, outcome.out)


@pytest.mark.parametrize("name", ["put", "get", "render", "check", "serve", "demo", "list"])
def test_help_lists_exit_codes(run: Run, name: str) -> None:
    """Every command's help says what the exit codes mean."""
    outcome = run(name, "--help")
    assert 0 == outcome.code
    assert "130 interrupted" in " ".join(outcome.out.split())


def test_help_imports_little() -> None:
    """Showing the help needs no HTTP library and no server."""
    code = (
        "import sys; from webhook_storage.cli import main; main(['--help']); "
        "print('LOADED', [name for name in ('httpx', 'wsgidav', 'cheroot', 'hvac', 'cloudpickle') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"LOADED []" == done.stdout.splitlines()[-1]


KINDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "bearer": ({"token": "${T}"}, {"T"}),
    "basic": ({"username": "${U}", "password": "${P}"}, {"U", "P"}),
    "api_key": ({"key": "${K}", "place": "query"}, {"K"}),
    "digest": ({"username": "${U}", "password": "${P}"}, {"U", "P"}),
    "hmac_url": ({"key": "${K}"}, {"K"}),
    "oauth2_client_credentials": (
        {"token_url": "https://${H}/t", "client_id": "${I}", "client_secret": "${S}"},
        {"H", "I", "S"},
    ),
    "oauth2_refresh": (
        {"token_url": "https://x.example", "client_id": "i", "refresh_token": "${R}"},
        {"R"},
    ),
    "aws_sigv4": (
        {"region": "r", "access_key_id": "${I}", "secret_access_key": "${S}"},
        {"I", "S"},
    ),
    "azure_shared_key": ({"account": "acct", "account_key": "${K}"}, {"K"}),
    "google": ({"credentials": "${G}"}, {"G"}),
    "keystone": (
        {"auth_url": "https://x.example", "username": "${U}", "password": "${P}"},
        {"U", "P"},
    ),
    "entra": ({}, set()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_secrets_of_who_sends_it(kind: str) -> None:
    """What a log-in wants is needed too; nobody logs in to find out."""
    fields, expected = KINDS[kind]
    request = {"url": "https://x.example/f", "auth": {"type": kind, **fields}}
    storage = Webhook(
        build_request_kwargs=request,
        build_request_http_method="PUT",
        get_flow_request_kwargs={"url": "https://x.example/f"},
        get_flow_request_http_method="GET",
    )
    uses = secrets_of(storage)
    assert expected == {str(use.reference) for use in uses}
    assert all(use.operations == ("store",) and not use.optional for use in uses)


def test_check_misses_a_secret_of_who_sends_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command says so before anything is sent."""
    monkeypatch.setenv("R", canary())
    auth = {
        "type": "oauth2_refresh",
        "token_url": "https://x.example/t",
        "client_id": "i",
        "refresh_token": "${R}",
        "client_secret": "${ABSENT_CLIENT_SECRET}",
    }
    request = {"url": "https://x.example/f", "auth": auth}
    definition = write_definition(
        tmp_path / "d.json",
        "https://x.example",
        build_request_kwargs=request,
        get_flow_request_kwargs=request,
    )
    outcome = run("check", definition)
    lines = lines_of(outcome)
    assert (1, "found", "not found") == (
        outcome.code,
        lines["${R}"][1],
        lines["${ABSENT_CLIENT_SECRET}"][1],
    )
