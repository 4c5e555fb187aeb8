"""`put` with a condition, with a second look, and with a file to go on from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import assert_two_lines, command
from tests.fakes.dropbox import BLOCK, FakeDropbox
from tests.fakes.http import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Run

APPEND = "/2/files/upload_session/append_v2"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDropbox]:
    """Start a fake Dropbox, whose token the environment has."""
    with FakeDropbox(token="sl.canary-1") as server:
        monkeypatch.setenv("DBOX_OAUTH2_TOKEN", server.token)
        yield server


@pytest.fixture
def define(fake: FakeDropbox, tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of definitions."""

    def write(**fields: Any) -> Path:
        path = tmp_path / "storage.json"
        common = {"type": "Dropbox", "path": "/flows/${artifact.key}"}
        origins = {"content_origin": fake.url, "api_origin": fake.url}
        path.write_text(json.dumps({**common, **origins, **fields}))
        return path

    return write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a file of two parts and a half."""
    path = tmp_path / "model.bin"
    path.write_bytes(os.urandom(BLOCK) * 2 + b"end")
    return path


def test_if_absent_replaces_nothing(
    run: Run, define: Callable[..., Path], fake: FakeDropbox, source: Path
) -> None:
    """The second time is refused, whatever is stored."""
    definition = define()
    assert 0 == run("put", definition, source, "--if-absent").code
    outcome = run("put", definition, source, "--if-absent")
    assert 1 == outcome.code
    assert "it is there already" in outcome.err
    assert_two_lines(outcome.err, fake.token)


def test_if_version_replaces_what_is_known(
    run: Run, define: Callable[..., Path], fake: FakeDropbox, tmp_path: Path
) -> None:
    """The version is that of a receipt, and of it only."""
    definition, file = define(), tmp_path / "a"
    file.write_bytes(b"one")
    version = json.loads(run("put", definition, file).out)["version"]
    file.write_bytes(b"two")
    assert 0 == run("put", definition, file, "--if-version", version).code
    file.write_bytes(b"three")
    outcome = run("put", definition, file, "--if-version", version)
    assert (1, b"two") == (outcome.code, fake.read("/flows/a"))
    assert "another revision" in outcome.err


def test_two_conditions_contradict_each_other(
    run: Run, define: Callable[..., Path], fake: FakeDropbox, source: Path
) -> None:
    """Nothing is sent."""
    outcome = run("put", define(), source, "--if-absent", "--if-version", "5f0000001")
    assert (2, []) == (outcome.code, fake.requests)


def test_verify_looks_at_what_is_there(
    run: Run, define: Callable[..., Path], fake: FakeDropbox, source: Path
) -> None:
    """It costs a download."""
    definition = define()
    assert 0 == run("put", definition, source).code
    assert 0 == fake.calls["/2/files/download"]
    assert 0 == run("put", definition, source, "--verify").code
    assert 1 == fake.calls["/2/files/download"]


def test_resume_goes_on_where_a_killed_process_ended(
    run: Run, define: Callable[..., Path], fake: FakeDropbox, source: Path, tmp_path: Path
) -> None:
    """The same command sends what is missing, and leaves no checkpoint."""
    definition, checkpoint = define(session_above=0, part_size=BLOCK), tmp_path / "checkpoint"
    options = ["put", str(definition), str(source), "--resume", str(checkpoint)]
    fake.inject(lambda _request: None, path=APPEND)
    fake.hang(path=APPEND)
    with subprocess.Popen(command(*options)) as process:
        try:
            assert fake.hanging.wait(30)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    before = len(fake.received(APPEND))
    assert (True, {}) == (checkpoint.exists(), fake.files)
    outcome = run(*options)
    assert (0, source.read_bytes()) == (outcome.code, fake.read("/flows/model.bin"))
    sizes = [request.size for request in fake.received(APPEND)[before:]]
    assert [0, BLOCK, 3] == sizes
    assert not checkpoint.exists()


def test_resume_refuses_another_source(
    run: Run, define: Callable[..., Path], fake: FakeDropbox, source: Path, tmp_path: Path
) -> None:
    """The checkpoint stays for the one that it was written for."""
    definition, checkpoint = define(session_above=0, part_size=BLOCK), tmp_path / "checkpoint"
    fake.inject(Answer(400), path="/2/files/upload_session/finish")
    outcome = run("put", definition, source, "--resume", checkpoint)
    assert 1 == outcome.code
    assert "same checkpoint" in outcome.err
    kept, asked = checkpoint.read_bytes(), len(fake.requests)
    source.write_bytes(b"other" + source.read_bytes()[5:])
    outcome = run("put", definition, source, "--resume", checkpoint)
    assert (2, kept, asked) == (outcome.code, checkpoint.read_bytes(), len(fake.requests))
    assert "another upload, by its sha256" in outcome.err
    assert_two_lines(outcome.err, fake.token)


def test_resume_touches_no_other_file(
    run: Run, define: Callable[..., Path], fake: FakeDropbox, source: Path, tmp_path: Path
) -> None:
    """A file that was named by mistake stays what it is."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    precious.chmod(0o600)
    outcome = run("put", define(), source, "--resume", precious)
    assert (2, "precious", []) == (outcome.code, precious.read_text(), fake.requests)
    assert_two_lines(outcome.err, fake.token)
