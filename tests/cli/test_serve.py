from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.cli.conftest import assert_two_lines, command
from webhook_storage.testing import canary, find_leaks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> str:
    """A password that the environment has."""
    value = canary()
    monkeypatch.setenv("MINE", value)
    return value


@pytest.fixture
def process(
    request: pytest.FixtureRequest, tmp_path: Path, own: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `serve` in a process of its own."""
    words = command("serve", tmp_path, *getattr(request, "param", ()))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield process
        process.kill()


def announced(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Read what the server says of itself."""
    assert process.stdout
    said = {}
    while not (line := process.stdout.readline().decode()).startswith("Ctrl-C"):
        name, _, value = line.partition(" ")
        said[name] = value.strip()
    return said


def test_serve(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """`serve` tells where it is and with which password, serves, and ends by Ctrl-C."""
    said = announced(process)
    with httpx.Client() as client:
        refused = client.put(f"{said['url']}/f", content=b"x", auth=("user", "wrong"))
        stored = client.put(f"{said['url']}/f", content=b"x", auth=("user", said["password"]))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (401, 201) == (refused.status_code, stored.status_code)
    assert b"x" == (tmp_path / "f").read_bytes()
    assert (0, b"ended\n", b"") == (process.returncode, out, err)


@pytest.mark.parametrize("process", [["--password-variable", "MINE"]], indirect=True)
def test_own_password_is_not_shown(process: subprocess.Popen[bytes], own: str) -> None:
    """A password from the environment is used and not printed."""
    said = announced(process)
    assert "password" not in said
    answer = httpx.get(f"{said['url']}/", auth=("user", own))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert 200 == answer.status_code
    assert [] == find_leaks(out + err, own)


def test_variable_without_a_password(run: Run, tmp_path: Path) -> None:
    """A variable that is not set does not mean that there is no password."""
    assert "MINE" not in os.environ
    outcome = run("serve", tmp_path, "--password-variable", "MINE")
    assert 2 == outcome.code
    assert_two_lines(outcome.err)


def test_remote_host_is_refused(run: Run, tmp_path: Path) -> None:
    """A host that others can reach wants --allow-remote."""
    outcome = run("serve", tmp_path, "--host", "0.0.0.0")  # noqa: S104 - it is refused
    assert 2 == outcome.code
    assert "--allow-remote" in outcome.err
    assert_two_lines(outcome.err)
