from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.cli.conftest import assert_two_lines, command, run_process, write_definition
from tests.fakes.files import FileService
from tests.fakes.http import Answer
from webhook_storage.testing import canary, find_leaks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Run, Service
    from webhook_storage.storage import Storage


@pytest.fixture
def fake() -> Iterator[FileService]:
    """Run a server that can be told to misbehave."""
    with FileService() as server:
        yield server


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the password to a canary."""
    value = canary()
    monkeypatch.setenv("PASSWORD", value)
    return value


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A local file that no failure may touch."""
    path = tmp_path / "target"
    path.write_bytes(b"precious")
    return path


def assert_untouched(target: Path) -> None:
    """Check that the target is as it was, and that nothing lies beside it."""
    assert b"precious" == target.read_bytes()
    assert [] == [path.name for path in target.parent.iterdir() if path.suffix == ".part"]


def test_missing_secret(
    run: Run, definition: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that nobody has is named with all who were asked, in order; the code is 3."""
    monkeypatch.delenv("PASSWORD")
    outcome = run("get", definition, "--key", "k", "-o", target)
    assert 3 == outcome.code
    assert "PASSWORD" in outcome.err
    assert "env, dotenv, directory" in outcome.err
    assert_two_lines(outcome.err)
    assert_untouched(target)


def test_nothing_is_sent_without_the_secret(run: Run, fake: FileService, tmp_path: Path) -> None:
    """Without its secret a request does not leave the machine."""
    definition = write_definition(tmp_path / "d.json", fake.url)
    assert 3 == run("exists", definition, "--key", "k").code
    assert [] == fake.requests


@pytest.mark.parametrize(
    ("password", "code"), [("right", 0), ("wrong", 1)], ids=["right password", "wrong password"]
)
def test_password(
    run: Run,
    definition: Path,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    password: str,
    code: int,
) -> None:
    """The right password stores; its wrong twin is refused, stores nothing, and is not shown."""
    value = service.password if password == "right" else canary()
    monkeypatch.setenv("PASSWORD", value)
    file = tmp_path / "in"
    file.write_bytes(b"x")
    outcome = run("put", definition, file)
    assert code == outcome.code
    assert [] == find_leaks(outcome.out + outcome.err, value)
    assert (code == 0) == (service.directory / "in").exists()
    if code:
        assert "401" in outcome.err
        assert_two_lines(outcome.err, value)


def test_not_found(run: Run, definition: Path, service: Service, target: Path) -> None:
    """What is not there leaves with 4, and the local file as it was."""
    outcome = run("get", definition, "--key", "nobody", "-o", target)
    assert 4 == outcome.code
    assert_two_lines(outcome.err, service.password)
    assert_untouched(target)


def test_html_page(run: Run, fake: FileService, secret: str, target: Path, tmp_path: Path) -> None:
    """A login page in place of the artifact is an error, not an artifact."""
    fake.inject(Answer(200, b"<html>log in</html>", {"Content-Type": "text/html"}))
    definition = write_definition(tmp_path / "d.json", fake.url)
    outcome = run("get", definition, "--key", "k", "-o", target)
    assert 1 == outcome.code
    assert "HTML page" in outcome.err
    assert_two_lines(outcome.err, secret)
    assert_untouched(target)


def test_server_that_echoes(run: Run, fake: FileService, secret: str, tmp_path: Path) -> None:
    """A server that repeats the credential in its answer does not bring it to the terminal."""
    fake.inject(lambda request: Answer(400, request.headers["authorization"].encode()))
    definition = write_definition(tmp_path / "d.json", fake.url)
    outcome = run("exists", definition, "--key", "k")
    assert 1 == outcome.code
    assert_two_lines(outcome.err, secret)


def test_truncated_answer(run: Run, secret: str, target: Path, tmp_path: Path) -> None:
    """An answer that breaks off is an error, and the local file stays as it was."""
    with HalfServer(hold=False) as server:
        definition = write_definition(tmp_path / "d.json", server.url)
        config = tmp_path / "c.toml"
        config.write_text("[retry]\nattempts = 1\n")
        outcome = run("--config", config, "get", definition, "--key", "k", "-o", target)
    assert 1 == outcome.code
    assert "broke off" in outcome.err
    assert_two_lines(outcome.err, secret)
    assert_untouched(target)


def test_server_is_down(run: Run, secret: str, target: Path, tmp_path: Path) -> None:
    """A server that is not there is an error of the operation."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    config = tmp_path / "c.toml"
    config.write_text("[retry]\nattempts = 1\n")
    definition = write_definition(tmp_path / "d.json", url)
    outcome = run("--config", config, "get", definition, "--key", "k", "-o", target)
    assert 1 == outcome.code
    assert_two_lines(outcome.err, secret)
    assert_untouched(target)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"build_request_kwargs": {"url": "http://x", "heders": {}}}, '"headers"'),
        ({"stored_as_scirpt": True}, '"stored_as_script"'),
        ({"type": "Webhok"}, '"Webhook"'),
        ({"build_request_http_method": "PUTT"}, '"PUT"'),
        ({"get_flow_request_kwargs": {"url": "http://x/${NAME"}}, "get_flow_request_kwargs"),
    ],
    ids=["unknown kwarg", "unknown field", "unknown type", "unknown method", "open placeholder"],
)
def test_wrong_definition(
    run: Run, definition: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """A mistake in a definition is named with what was probably meant; the code is 2."""
    definition.write_text(json.dumps({**json.loads(definition.read_text()), **change}))
    outcome = run("get", definition, "--key", "k", "-o", tmp_path / "out")
    assert 2 == outcome.code
    assert said in outcome.err
    assert_two_lines(outcome.err)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", "\x00"], ids=["cut", "a list", "no type", "no text"]
)
def test_no_definition(run: Run, definition: Path, content: str) -> None:
    """What is no definition is told in two lines as well."""
    definition.write_text(content)
    outcome = run("list", definition)
    assert 2 == outcome.code
    assert_two_lines(outcome.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "{definition}", "--key", "k"],
        ["get", "{missing}", "-o", "x"],
        ["get", "{definition}", "--key", "k", "-o", "{missing}/below"],
        ["get", "{definition}", "--receipt", "{missing}", "-o", "x"],
        ["get", "{definition}", "-o", "x"],
        ["put", "{definition}", "{missing}"],
        ["put", "{definition}"],
        ["render", "{definition}", "--operation", "fech"],
        ["serve", "{missing}"],
        ["--config", "{missing}", "list", "{definition}"],
        ["lst"],
        ["--verison"],
    ],
    ids=" ".join,
)
def test_usage(run: Run, definition: Path, tmp_path: Path, arguments: list[str]) -> None:
    """A wrong command line leaves with 2 and two lines, before anything is sent."""
    names = {"definition": definition, "missing": tmp_path / "missing"}
    outcome = run(*(argument.format(**names) for argument in arguments))
    assert (2, "") == (outcome.code, outcome.out)
    assert_two_lines(outcome.err)


def test_receipt_of_another_key(run: Run, definition: Path, tmp_path: Path) -> None:
    """A receipt and a key that contradict each other are refused."""
    file, receipt = tmp_path / "in", tmp_path / "receipt"
    file.write_bytes(b"x")
    receipt.write_text(run("put", definition, file).out)
    outcome = run("get", definition, "--receipt", receipt, "--key", "other", "-o", tmp_path / "out")
    assert 2 == outcome.code
    assert_two_lines(outcome.err)


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line(run: Run, definition: Path, service: Service) -> None:
    """A warning about the definition is one line without a place in our code."""
    (service.directory / "k").touch()
    document = json.loads(definition.read_text())
    document["get_flow_request_kwargs"]["headers"] = {"X-Api-Key": "literally"}
    definition.write_text(json.dumps(document))
    outcome = run("exists", definition, "--key", "k")
    assert 0 == outcome.code
    assert outcome.err.startswith("warning: ")
    assert 1 == len(outcome.err.splitlines())


def test_colour_only_in_a_terminal(definition: Path) -> None:
    """An error in a pipe has no escape sequences."""
    done = run_process("exists", definition, "--key", "nobody")
    assert 4 == done.returncode
    assert b"\x1b" not in done.stderr
    assert_two_lines(done.stderr.decode())


def test_fault_of_a_plugin_shows_no_text(
    run: Run, definition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that is not ours is told by type and place, without its text."""
    value = canary()

    def fail(self: Path) -> bytes:
        raise ValueError(value)

    monkeypatch.setattr(Path, "read_bytes", fail)
    outcome = run("list", definition)
    assert 1 == outcome.code
    assert "ValueError" in outcome.err
    assert_two_lines(outcome.err, value)


def test_broken_pipe(definition: Path, service: Service) -> None:
    """A reader that leaves early is no error worth a word."""
    for number in range(3000):
        (service.directory / f"{number:0100}").touch()
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            command("list", definition), stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (141, b"") == (done.returncode, done.stderr)


@pytest.mark.parametrize("signal_like", [KeyboardInterrupt, EOFError])
def test_interrupted_anywhere(
    run: Run, definition: Path, monkeypatch: pytest.MonkeyPatch, signal_like: type[BaseException]
) -> None:
    """An interruption outside of a request is told like one inside."""

    def interrupt(definition: str) -> Storage:
        raise signal_like

    monkeypatch.setattr("webhook_storage.cli.files.load", interrupt)
    outcome = run("list", definition)
    assert 130 == outcome.code
    assert_two_lines(outcome.err.strip())


def test_unreadable_file_is_named(
    run: Run, definition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local file that cannot be read is told with the system's words."""

    def refuse(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    outcome = run("list", definition)
    assert 1 == outcome.code
    assert f"{definition}: Permission denied" in outcome.err
    assert_two_lines(outcome.err)


def interrupted(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Press Ctrl-C and return the exit code and what was said."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert b"" == out
    return process.returncode, err.decode()


def test_interrupted_before_the_answer(
    fake: FileService, secret: str, target: Path, tmp_path: Path
) -> None:
    """Ctrl-C while the server is silent: code 130, no traceback, no half file."""
    definition = write_definition(tmp_path / "d.json", fake.url)
    fake.hang()
    words = command("get", definition, "--key", "k", "-o", target)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert fake.hanging.wait(30)
        code, err = interrupted(process)
    assert 130 == code
    assert_two_lines(err, secret)
    assert_untouched(target)


def test_interrupted_in_the_middle_of_the_answer(secret: str, target: Path, tmp_path: Path) -> None:
    """Ctrl-C after half of the artifact came: the half is removed, the target is untouched."""
    with HalfServer(hold=True) as server:
        definition = write_definition(tmp_path / "d.json", server.url)
        words = command("get", definition, "--key", "k", "-o", target)
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert server.half_sent.wait(30)
            wait_for_part(target.parent)
            code, err = interrupted(process)
    assert 130 == code
    assert_two_lines(err, secret)
    assert_untouched(target)


def test_interrupted_while_storing(fake: FileService, secret: str, tmp_path: Path) -> None:
    """Ctrl-C during a store: code 130, and no receipt is remembered."""
    definition = write_definition(tmp_path / "d.json", fake.url)
    before = definition.read_bytes()
    fake.hang()
    words = command("put", definition, definition, "--remember")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert fake.hanging.wait(30)
        code, err = interrupted(process)
    assert 130 == code
    assert_two_lines(err, secret)
    assert before == definition.read_bytes()


def wait_for_part(directory: Path) -> None:
    """Wait until the command has begun to write."""
    tick = threading.Event()
    for _ in range(3000):
        if any(path.suffix == ".part" for path in directory.iterdir()):
            return
        tick.wait(0.01)
    pytest.fail("the command did not begin to write")


class HalfServer:
    """Announces ten bytes and sends five, to every request.

    Args:
        hold: Keep the connection open afterwards.
    """

    def __init__(self, *, hold: bool) -> None:
        self._hold = hold
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._done = threading.Event()
        self.half_sent = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
            self.half_sent.set()
            if self._hold:
                self._done.wait()
