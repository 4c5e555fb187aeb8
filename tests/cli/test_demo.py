from __future__ import annotations

import io
import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tests.cli.conftest import command
from webhook_storage import demo
from webhook_storage.storage import Storage
from webhook_storage.testing import canary, find_leaks

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Shown:
    """One run of the demonstration: what it used, and all that it let out."""

    secrets: list[str]
    text: str
    environment_kept: bool


@pytest.fixture(scope="module")
def shown() -> Shown:
    """Run the demonstration with secrets that are known here."""
    secrets, screen = [canary(), canary()], io.StringIO()
    given, before = iter(secrets), dict(os.environ)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("webhook_storage.demo.secrets.token_urlsafe", lambda _: next(given))
        demo.show(Console(file=screen, width=80))
    return Shown(secrets, screen.getvalue(), before == dict(os.environ))


def definition_in(text: str) -> str:
    """Return the JSON that the demonstration shows."""
    start = text.index("\n{\n") + 1
    return text[start : text.index("\n}\n") + 2]


def test_both_flows_run(shown: Shown) -> None:
    """The flow and the script run in another process, in five numbered steps of 80 columns."""
    lines = [line.strip() for line in shown.text.splitlines()]
    assert "✓ total({'apples': 3, 'bread': 4, 'cheese': 9}) → 17.12" in lines
    assert "✓ cheapest({'apples': 3, 'bread': 4, 'cheese': 9}) → 'apples'" in lines
    steps = [line[0] for line in lines if line[:1].isdigit() and line[1:3] == "  "]
    assert ["1", "2", "3", "4", "5"] == steps
    assert 80 == max(map(len, shown.text.splitlines()))


def test_no_secret_is_shown(shown: Shown) -> None:
    """No form of a secret is in what is shown, and the demonstration itself says so."""
    assert [] == [form for value in shown.secrets for form in find_leaks(shown.text, value)]
    assert "   0 found" in shown.text.splitlines()


def test_refusals(shown: Shown) -> None:
    """The wrong password, the wrong key and no key at all are refused, each by its own error."""
    marks = [line.strip() for line in shown.text.splitlines() if "✗" in line]
    assert ["✗ AuthenticationError", "✗ SignatureError", "✗ SecretNotFoundError"] == marks


def test_definition_is_whole(shown: Shown) -> None:
    """What is shown as the definition can be read back, and holds placeholders only."""
    text = definition_in(shown.text)
    storage = Storage.from_json(text)
    assert {"total": "total"} == storage.flows
    assert {"demo": "${DEMO_SIGNING_KEY}"} == storage.signing_keys
    assert ["user", "${DEMO_PASSWORD}"] == json.loads(text)["build_request_kwargs"]["auth"]


def test_environment_is_as_it_was(shown: Shown) -> None:
    """The secrets are in the environment of this process for the time of the demo only."""
    assert shown.environment_kept


def test_leaks_would_be_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The search at the end finds a secret that was stored or shown."""
    own = demo._Secrets(canary(), canary())
    (tmp_path / "f").write_bytes(own.password.encode())
    console = Console(width=80, record=True)
    console.print(own.key)
    demo._search(console, tmp_path, own)
    assert "   2 found" in capsys.readouterr().out.splitlines()


def test_demo_command() -> None:
    """The command works in a pipe, behind a proxy that is not there, without colours."""
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        command("demo"), env={**os.environ, **proxies}, capture_output=True, check=False, timeout=50
    )
    assert (0, b"") == (done.returncode, done.stderr)
    assert b"0 found" in done.stdout
    assert b"\x1b" not in done.stdout
