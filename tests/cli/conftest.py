"""A running file server, a definition that fits it, and the command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from webhook_storage.cli import main
from webhook_storage.server import Server
from webhook_storage.testing import canary, find_leaks

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What one run of the command left."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Service:
    """A file server behind a password that only the environment has."""

    url: str
    directory: Path
    password: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""

    def call(*arguments: str | Path) -> Outcome:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return call


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Serve an empty directory."""
    directory = tmp_path_factory.mktemp("served")
    with Server(directory, password=canary()) as server:
        yield Service(server.url, directory, server.password)


@pytest.fixture
def service(served: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Serve it with the right password in the environment, and clear it afterwards."""
    monkeypatch.setenv("PASSWORD", served.password)
    yield served
    for path in sorted(served.directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.fixture
def definition(service: Service, tmp_path: Path) -> Path:
    """Write a definition for the server."""
    return write_definition(tmp_path / "storage.json", service.url)


def write_definition(path: Path, url: str, **more: Any) -> Path:
    """Write a definition whose artifacts lie below a URL."""
    request = {"url": f"{url}/${{artifact.key}}", "auth": ["user", "${PASSWORD}"]}
    folder = {**request, "url": f"{url}/", "method": "GET", "keys": "/*/name"}
    document = {
        "type": "Webhook",
        "build_request_kwargs": request,
        "build_request_http_method": "PUT",
        "get_flow_request_kwargs": request,
        "get_flow_request_http_method": "GET",
        "list_request": folder,
        **more,
    }
    path.write_text(json.dumps(document))
    return path


def command(*arguments: str | Path) -> list[str]:
    """Return the words that run the command in a process of its own."""
    return [sys.executable, "-m", "webhook_storage", *map(str, arguments)]


def run_process(
    *arguments: str | Path, stdin: bytes = b"", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own, to its end."""
    return subprocess.run(
        command(*arguments),
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        check=False,
        timeout=50,
    )


def assert_two_lines(err: str, secret: str = "") -> None:
    """Check the form of an error: what is wrong, what to do, and nothing else."""
    first, second = err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
    if secret:
        assert find_leaks(err, secret) == []
