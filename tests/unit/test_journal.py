"""The file that keeps what a batch has done."""

from __future__ import annotations

import json
import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.sending.support import caught, plain
from webhook_storage import Receipt
from webhook_storage.errors import ConfigurationError, LocalFileError
from webhook_storage.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

HERE = {"type": "Webhook", "build_request_kwargs": {"url": "https://files.example.com/a"}}
STORED = {"outcome": "stored", "size": 3}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal"


def opened(path: Path, work: str = "put", definition: dict[str, Any] = HERE) -> None:
    """Open a journal and close it."""
    with Journal(path, work, definition):
        pass


def refused(path: Path, work: str = "put", definition: dict[str, Any] = HERE) -> BaseException:
    """Return why a journal is refused."""
    return caught(partial(opened, path, work, definition))


def test_what_is_written_is_found(path: Path) -> None:
    """The next one that opens it finds what was written, and the latest of each key."""
    with Journal(path, "put", HERE) as journal:
        assert journal.find("a") is None
        for number in range(3):
            journal.write("a", {"size": number})
            journal.write("b/ü\n\ud800", {"size": number + 10})
            assert {"key": "a", "size": number} == journal.find("a")
    with Journal(path, "put", HERE) as journal:
        assert {"key": "a", "size": 2} == journal.find("a")
        assert {"key": "b/ü\n\ud800", "size": 12} == journal.find("b/ü\n\ud800")
        journal.write("a", STORED)
        assert {"key": "a", **STORED} == journal.find("a")


def test_a_line_is_on_disk_when_it_is_written(path: Path) -> None:
    """Another process sees a line at once, so that nothing is lost when this one is killed."""
    with Journal(path, "put", HERE) as journal:
        journal.write("a", STORED)
        head, line = path.read_text().splitlines()
    assert {"key": "a", **STORED} == json.loads(line)
    assert {"format", "work", "storage"} == json.loads(head).keys()


@pytest.mark.parametrize("cut", range(2, 30))
def test_a_torn_line_is_passed_over(path: Path, cut: int) -> None:
    """Wherever the last line was torn, the others are found, and what follows is whole."""
    with Journal(path, "put", HERE) as journal:
        journal.write("a", STORED)
        journal.write("b", STORED)
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, "put", HERE) as journal:
        assert {"key": "a", **STORED} == journal.find("a")
        assert journal.find("b") is None
        journal.write("c", STORED)
        journal.write("d", STORED)
    with Journal(path, "put", HERE) as journal:
        assert [None, *[{"key": key, **STORED} for key in "acd"]] == [
            journal.find(key) for key in "bacd"
        ]


@pytest.mark.parametrize("line", ["5", "[]", "{}", '{"key": 5}', "[" * 100_000, "\0", "\xff"])
def test_a_strange_line_is_passed_over(path: Path, line: str) -> None:
    """What is no entry says nothing."""
    opened(path)
    with path.open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    with Journal(path, "put", HERE) as journal:
        journal.write("a", STORED)
    with Journal(path, "put", HERE) as journal:
        assert {"key": "a", **STORED} == journal.find("a")


@pytest.mark.parametrize(
    "content", [b"precious", b"{}\n", b"[]\n", b'{"format": "another"}\n', b"\n", b"\xff\n"]
)
def test_another_file_is_left_as_it_is(path: Path, content: bytes) -> None:
    """A file that is no journal is refused, and nothing is written into it."""
    path.write_bytes(content)
    path.chmod(0o600)
    error = refused(path)
    assert (ConfigurationError, True) == (type(error), "is no journal" in str(error))
    assert content == path.read_bytes()


def test_an_empty_file_becomes_one(path: Path) -> None:
    """A file that a program has made for it is taken."""
    path.touch(0o600)
    opened(path)
    opened(path)
    assert 1 == len(path.read_text().splitlines())


def test_it_belongs_to_one_storage_and_one_direction(path: Path) -> None:
    """Another storage is refused; the same with what it has stored since is not."""
    opened(path)
    elsewhere = {**HERE, "build_request_kwargs": {"url": "https://files.example.com/b"}}
    for error in (refused(path, "get"), refused(path, "put", elsewhere)):
        assert (ConfigurationError, True) == (type(error), "of another storage" in str(error))
    opened(path, "put", {**HERE, "receipts": {"a": {}}, "flows": {"a": "b"}})


def test_no_part_of_the_definition_is_in_it(path: Path) -> None:
    """It names the storage by a digest, and holds neither its URL nor its headers."""
    storage = plain("https://files.example.com", headers={"X": "${TOKEN}"})
    storage.remember(Receipt(key="a", location="", sha256="", size=0, build_time=""))
    with Journal(path, "put", storage.to_dict()):
        assert "example" not in path.read_text()
        assert "TOKEN" not in path.read_text()


def test_it_is_for_its_owner_only(path: Path) -> None:
    """Nobody else can read it, whatever is usual here."""
    before = os.umask(0)
    try:
        opened(path)
    finally:
        os.umask(before)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_can_write_is_not_believed(path: Path, mode: int) -> None:
    """A line decides what is not stored, so nobody else may have written it."""
    opened(path)
    path.chmod(mode)
    error = refused(path)
    assert (ConfigurationError, True) == (type(error), "written by others" in str(error))
    path.chmod(0o644)
    opened(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_others_is_not_believed(path: Path) -> None:
    """A file of somebody else is refused, though it can be written."""
    opened(path)
    os.chown(path, 65534, 65534)
    assert ConfigurationError is type(refused(path))


def test_one_batch_at_a_time(path: Path) -> None:
    """Whoever writes it keeps the others out, until they end."""
    with Journal(path, "put", HERE):
        error = refused(path)
    assert (LocalFileError, True) == (type(error), "another batch writes it" in str(error))
    opened(path)


def test_no_place_for_it(tmp_path: Path) -> None:
    """What the system refuses is told with the path."""
    os.mkfifo(tmp_path / "pipe")
    missing = refused(tmp_path / "missing" / "journal")
    assert (LocalFileError, str(tmp_path / "missing" / "journal")) == (
        type(missing),
        getattr(missing, "path", None),
    )
    assert LocalFileError is type(refused(tmp_path))
    pipe = refused(tmp_path / "pipe")
    assert isinstance(pipe, (ConfigurationError, LocalFileError))


def test_it_is_closed_when_it_is_refused(path: Path) -> None:
    """No descriptor is left open by a file that is refused."""
    path.write_bytes(b"precious")
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []  # noqa: PTH112, PTH208
    for _ in range(5):
        refused(path)
    after = os.listdir("/proc/self/fd") if before else []  # noqa: PTH208
    assert len(before) == len(after)
