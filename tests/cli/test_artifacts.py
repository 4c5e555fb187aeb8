from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from typing import TYPE_CHECKING

from tests.cli.conftest import assert_two_lines, run_process, write_definition
from webhook_storage.cli import main
from webhook_storage.storage import Storage

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.cli.conftest import Run, Service


def test_put_prints_the_receipt(run: Run, definition: Path, tmp_path: Path) -> None:
    """`put` stores the file under its name and prints the receipt as JSON."""
    file = tmp_path / "model.bin"
    file.write_bytes(b"weights")
    outcome = run("put", definition, file)
    receipt = json.loads(outcome.out)
    assert (0, "") == (outcome.code, outcome.err)
    assert ("model.bin", 7) == (receipt["key"], receipt["size"])
    assert hashlib.sha256(b"weights").hexdigest() == receipt["sha256"]


def test_get_fetches_what_put_stored(run: Run, definition: Path, tmp_path: Path) -> None:
    """`get` writes the very bytes that `put` sent, also with the receipt in place of a key."""
    file, receipt, back = (tmp_path / name for name in ("in", "receipt.json", "out"))
    file.write_bytes(bytes(range(256)))
    receipt.write_text(run("put", definition, file, "--key", "a/b c").out)
    assert 0 == run("get", definition, "--receipt", receipt, "-o", back).code
    assert file.read_bytes() == back.read_bytes()
    back.unlink()
    assert 0 == run("get", definition, "--key", "a/b c", "-o", back).code
    assert file.read_bytes() == back.read_bytes()


def test_get_refuses_another_digest(
    run: Run, definition: Path, service: Service, tmp_path: Path
) -> None:
    """What was replaced on the service is refused, and the local file stays as it was."""
    file, receipt, back = (tmp_path / name for name in ("in", "receipt.json", "out"))
    file.write_bytes(b"original")
    receipt.write_text(run("put", definition, file, "--key", "k").out)
    (service.directory / "k").write_bytes(b"replaced")
    back.write_bytes(b"precious")
    outcome = run("get", definition, "--receipt", receipt, "-o", back)
    assert 1 == outcome.code
    assert "SHA-256" in outcome.err
    assert_two_lines(outcome.err, service.password)
    assert b"precious" == back.read_bytes()
    assert [] == list(tmp_path.glob("*.part"))


def test_remembered_receipts_travel_in_the_definition(
    run: Run, definition: Path, service: Service, tmp_path: Path
) -> None:
    """`put --remember` writes the receipt into the definition, and `get` compares the digest."""
    definition.chmod(0o640)
    file = tmp_path / "in"
    file.write_bytes(b"original")
    receipt = json.loads(run("put", definition, file, "--key", "k", "--remember").out)
    storage = Storage.from_json(definition.read_text())
    assert receipt == storage.receipts["k"].model_dump(mode="json")
    assert 0o640 == definition.stat().st_mode & 0o777
    (service.directory / "k").write_bytes(b"replaced")
    assert 1 == run("get", definition, "--key", "k", "-o", tmp_path / "out").code


def test_remember_wants_a_file(definition: Path, tmp_path: Path) -> None:
    """`--remember` with a definition on standard input is refused before anything is sent."""
    done = run_process("put", "-", tmp_path / "x", "--remember", stdin=definition.read_bytes())
    assert 2 == done.returncode
    assert_two_lines(done.stderr.decode())


def test_special_files_are_not_replaced(
    run: Run, definition: Path, service: Service, tmp_path: Path
) -> None:
    """A pipe or a device keeps its place; at the end of a link the file is written."""
    (service.directory / "k").write_bytes(b"new")
    pipe, link, file = (tmp_path / name for name in ("pipe", "link", "file"))
    os.mkfifo(pipe)
    file.write_bytes(b"old")
    link.symlink_to(file)
    outcome = run("get", definition, "--key", "k", "-o", pipe)
    assert (2, True) == (outcome.code, pipe.is_fifo())
    assert_two_lines(outcome.err)
    assert 0 == run("get", definition, "--key", "k", "-o", link).code
    assert (True, b"new") == (link.is_symlink(), file.read_bytes())


def test_standard_streams(definition: Path) -> None:
    """The artifact can come by standard input and go to standard output, byte for byte."""
    content = bytes(range(256)) * 10
    stored = run_process("put", definition, "-", "--key", "k", stdin=content)
    fetched = run_process("get", definition, "--key", "k", "-o", "-")
    assert (0, 0) == (stored.returncode, fetched.returncode)
    assert content == fetched.stdout


def test_definition_by_standard_input(definition: Path, service: Service, tmp_path: Path) -> None:
    """A definition can come by standard input; both at once cannot."""
    file = tmp_path / "in"
    file.write_bytes(b"x")
    done = run_process("put", "-", file, stdin=definition.read_bytes())
    assert (0, b"") == (done.returncode, done.stderr)
    assert b"x" == (service.directory / "in").read_bytes()
    both = run_process("put", "-", "-", stdin=definition.read_bytes())
    assert 2 == both.returncode
    assert_two_lines(both.stderr.decode())


def test_exists_and_delete(run: Run, definition: Path, service: Service) -> None:
    """`exists` tells what the service says, or leaves with 4; so does `delete` of what is gone."""
    (service.directory / "k").write_bytes(b"abc")
    there = run("exists", definition, "--key", "k")
    assert (0, 3) == (there.code, json.loads(there.out)["size"])
    assert (0, "", "") == tuple(vars(run("delete", definition, "--key", "k")).values())
    gone = run("exists", definition, "--key", "k")
    assert (4, "") == (gone.code, gone.out)
    assert_two_lines(gone.err)
    again = run("delete", definition, "--key", "k")
    assert 4 == again.code
    assert_two_lines(again.err, service.password)


def test_list(run: Run, definition: Path, service: Service) -> None:
    """`list` prints a key a line; one that could move the cursor is printed as JSON."""
    for name in ("a", "b c", "evil\x1b[2J"):
        (service.directory / name).touch()
    outcome = run("list", definition)
    assert ["a", "b c", '"evil\\u001b[2J"'] == outcome.out.splitlines()


def test_list_without_a_request(run: Run, definition: Path) -> None:
    """A storage that does not say how to list gives an error about its definition."""
    document = json.loads(definition.read_text())
    del document["list_request"]
    definition.write_text(json.dumps(document))
    outcome = run("list", definition)
    assert 2 == outcome.code
    assert "list_request" in outcome.err
    assert_two_lines(outcome.err)


def test_file_urls(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command works on a local directory as well, by a file URL."""
    monkeypatch.setenv("PASSWORD", "not needed here")
    folder, back = tmp_path / "store", tmp_path / "back"
    folder.mkdir()
    definition = write_definition(tmp_path / "d.json", folder.as_uri())
    file = tmp_path / "in"
    file.write_bytes(b"local")
    assert 0 == run("put", definition, file).code
    assert "in\n" == run("list", definition).out
    assert 0 == run("get", definition, "--key", "in", "-o", back).code
    assert b"local" == back.read_bytes()
    assert 0 == run("delete", definition, "--key", "in").code
    assert 4 == run("get", definition, "--key", "in", "-o", back).code
    assert b"local" == back.read_bytes()


def test_progress_in_a_terminal(
    definition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    """A large file shows a bar in a terminal and is stored whole."""
    file = tmp_path / "large"
    file.write_bytes(b"0123456789" * 1_000_000)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert 0 == main(["put", str(definition), str(file)])
    assert "large" in terminal.getvalue()
    assert file.read_bytes() == (service.directory / "large").read_bytes()


def test_no_progress_elsewhere(run: Run, definition: Path, tmp_path: Path) -> None:
    """Where standard error is no terminal nothing is written to it."""
    file = tmp_path / "large"
    file.write_bytes(b"0123456789" * 1_000_000)
    assert "" == run("put", definition, file).err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
