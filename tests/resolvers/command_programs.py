"""Programs for the tests of `command`: written on the spot, or those of Debian."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.fleet.process import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATIENCE = 30.0
_KEY_OWNER = "tests@example.test"


def write_program(path: Path, text: str) -> str:
    """Write an executable script, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


class Witness:
    """A named pipe which programs hold open, so that its end tells that all of them are gone.

    Attributes:
        path: Where a program writes its pids to, one a line, and holds the pipe open.
    """

    def __init__(self, path: Path) -> None:
        """Make the pipe and open it for reading."""
        os.mkfifo(path)
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._text = ""

    def __enter__(self) -> Self:
        """Return the pipe."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the pipe."""
        os.close(self._descriptor)

    def pids(self, count: int) -> list[int]:
        """Wait until so many programs run, and return their pids."""
        while self._text.count("\n") < count:
            self._read()
        return [int(line) for line in self._text.splitlines()]

    def survivors(self) -> list[int]:
        """Wait until nobody holds the pipe, and return the pids of those who run all the same."""
        pids = self.pids(1)
        while self._read():
            pass
        return [pid for pid in pids if not ends(pid)]

    def saw_nobody(self) -> bool:
        """Whether no program has written into the pipe, and none holds it."""
        return not self._text and not os.read(self._descriptor, 1)

    def _read(self) -> bool:
        """Read what is there; return False when nobody holds the pipe any more."""
        ready, _, _ = select.select([self._descriptor], [], [], _PATIENCE)
        assert ready, "the programs hold the pipe for ever"
        piece = os.read(self._descriptor, 4096)
        self._text += piece.decode()
        return bool(piece)


def ends(pid: int) -> bool:
    """Wait for the end of a process, which has already closed what it held."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], _PATIENCE)[0])
    finally:
        os.close(descriptor)


@contextmanager
def password_store(secrets: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Make a store of pass, with a key of its own, and yield the variables that lead to it."""
    for program, package in (("gpg", "gnupg"), ("pass", "pass")):
        find_program(program, package)
    # Not below the directory of the test: the path of gpg-agent's socket must be short.
    with tempfile.TemporaryDirectory(prefix="gpg-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        variables = {"GNUPGHOME": name, "PASSWORD_STORE_DIR": str(home / "store")}
        environment = {**os.environ, **variables}

        def run(*command: str, text: str = "") -> None:
            subprocess.run(
                command, input=text, text=True, env=environment, check=True, capture_output=True
            )

        try:
            run(
                "gpg", "--batch", "--passphrase", "", "--quick-generate-key", _KEY_OWNER,
                "future-default", "default", "never",
            )  # fmt: skip
            run("pass", "init", _KEY_OWNER)
            for secret, value in secrets.items():
                run("pass", "insert", "--multiline", secret, text=value)
            yield variables
        finally:
            run("gpgconf", "--kill", "all")  # the agents of this home, no others


def encrypt_with_age(directory: Path, name: str, value: str) -> Path:
    """Encrypt a value into ``NAME.age`` for a new key, and return the key's file."""
    age, keygen = find_program("age", "age"), find_program("age-keygen", "age")
    key = directory / f"{name}.key"
    made = subprocess.run([keygen, "-o", key], check=True, capture_output=True, text=True)
    recipient = made.stderr.strip().rpartition(" ")[2]
    target = directory / f"{name}.age"
    subprocess.run([age, "-r", recipient, "-o", target], input=value, text=True, check=True)
    return key
