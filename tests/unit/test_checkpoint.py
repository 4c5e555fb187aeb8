"""The file that keeps how far an upload has come."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from webhook_storage.artifact import BytesBody
from webhook_storage.checkpoint import LIMIT, FileCheckpoint, about_store
from webhook_storage.contracts import PLAIN, StoreOptions
from webhook_storage.errors import ConfigurationError, LocalFileError

ROOT = Path(__file__).parents[2]
ABOUT = {"key": "a", "size": "7"}
STATE = {"upload": {"id": "1"}, "tags": {"1": "e1"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a checkpoint that is not there yet."""
    return tmp_path / "checkpoint"


def write(path: Path, content: object) -> Path:
    """Write a checkpoint by hand, with the rights of one."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(text)
    path.chmod(0o600)
    return path


def document(**changes: object) -> dict[str, Any]:
    """Return what a good checkpoint holds."""
    return {"webhook_storage_checkpoint": 1, "about": ABOUT, "state": STATE, **changes}


class TestKept:
    """A state that comes back."""

    def test_what_was_saved_last_is_read(self, path: Path) -> None:
        """Another object, as in another process, finds it."""
        with FileCheckpoint(path, ABOUT) as checkpoint:
            assert checkpoint.state is None
            checkpoint.save({"upload": "0"})
            checkpoint.save(STATE)
            assert STATE == checkpoint.state
        with FileCheckpoint(str(path), dict(reversed(ABOUT.items()))) as again:
            assert STATE == again.state

    def test_nothing_is_left_but_the_file(self, path: Path) -> None:
        """The lock goes with the object, the temporary file with each save."""
        with FileCheckpoint(path, ABOUT) as checkpoint:
            checkpoint.save(STATE)
        assert [path] == list(path.parent.iterdir())

    def test_what_is_cleared_is_gone(self, path: Path) -> None:
        """A checkpoint that is done with leaves nothing."""
        with FileCheckpoint(path, ABOUT) as checkpoint:
            checkpoint.clear()
            checkpoint.save(STATE)
            checkpoint.clear()
            assert checkpoint.state is None
        assert [] == list(path.parent.iterdir())

    def test_nobody_else_can_read_it(self, path: Path) -> None:
        """Who knows the URL of an upload may be able to write to it."""
        before = os.umask(0)
        try:
            with FileCheckpoint(path, ABOUT) as checkpoint:
                checkpoint.save(STATE)
                modes = {
                    each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()
                }
        finally:
            os.umask(before)
        assert {"checkpoint": 0o600, "checkpoint.lock": 0o600} == modes

    def test_a_save_that_fails_leaves_the_older_state(self, path: Path) -> None:
        """The file is replaced as a whole or not at all."""
        with FileCheckpoint(path, ABOUT) as checkpoint:
            checkpoint.save(STATE)
            (path.parent / "checkpoint.new").mkdir()
            with pytest.raises(LocalFileError, match=r"checkpoint: ") as caught:
                checkpoint.save({"upload": "2"})
        assert str(path) == caught.value.path
        with FileCheckpoint(path, ABOUT) as again:
            assert STATE == again.state

    def test_a_state_is_on_disk_before_it_has_its_name(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else a power failure could leave an empty file in place of the older state."""
        seen: list[tuple[bool, bool]] = []
        fsync = os.fsync

        def watched(descriptor: int) -> None:
            whole = b"new" in (path.parent / "checkpoint.new").read_bytes() if not seen else True
            seen.append((whole, b"new" in path.read_bytes()))
            fsync(descriptor)

        with FileCheckpoint(path, ABOUT) as checkpoint:
            checkpoint.save(STATE)
            monkeypatch.setattr(os, "fsync", watched)
            checkpoint.save({"upload": "new"})
        assert [(True, False), (True, True)] == seen  # the file, then its directory

    def test_what_a_killed_process_left_is_written_over(self, path: Path) -> None:
        """Neither half a file nor an empty lock is in the way."""
        (path.parent / "checkpoint.new").write_bytes(b"{")
        (path.parent / "checkpoint.lock").touch()
        with FileCheckpoint(path, ABOUT) as checkpoint:
            checkpoint.save(STATE)
        assert [path] == list(path.parent.iterdir())

    def test_a_link_stays_one(self, path: Path) -> None:
        """What a link leads to is written."""
        link = path.parent / "link"
        link.symlink_to(path)
        with FileCheckpoint(link, ABOUT) as checkpoint:
            checkpoint.save(STATE)
        assert (True, True) == (link.is_symlink(), path.is_file())

    def test_a_state_that_is_too_large_is_refused(self, path: Path) -> None:
        """A file that could not be read again is not written."""
        with (
            FileCheckpoint(path, ABOUT) as checkpoint,
            pytest.raises(ConfigurationError, match="has more than") as caught,
        ):
            checkpoint.save({"tags": "x" * LIMIT})
        assert ("larger parts" in str(caught.value.hint), False) == (True, path.exists())

    @pytest.mark.parametrize("name", ["no/where", "file/below"])
    def test_a_place_where_no_file_can_be_is_told(self, tmp_path: Path, name: str) -> None:
        """The error names the path."""
        (tmp_path / "file").touch()
        with pytest.raises(LocalFileError, match=name.partition("/")[2]):
            FileCheckpoint(tmp_path / name, ABOUT).open()


class TestRefused:
    """Files that are something else, or somebody else's."""

    @pytest.mark.parametrize(
        ("about", "names"),
        [
            ({"key": "b", "size": "7"}, "key"),
            ({"key": "b", "size": "8"}, "key, size"),
            ({"key": "a"}, "size"),
            ({**ABOUT, "sha256": "0"}, "sha256"),
        ],
    )
    def test_another_upload_is_named_by_what_differs(
        self, path: Path, about: dict[str, str], names: str
    ) -> None:
        """Nothing of it is shown, and the file stays as it was."""
        write(path, document(about=about))
        with pytest.raises(ConfigurationError, match=rf"another upload, by its {names}$") as caught:
            FileCheckpoint(path, ABOUT).open()
        assert "begin anew" in str(caught.value.hint)
        assert document(about=about) == json.loads(path.read_bytes())

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"precious",
            b"{",
            b"\xff\xfe",
            b"[" * 100_000,
            b"1" * 5000,
            b"null",
            [],
            {},
            document(webhook_storage_checkpoint=2),
            document(webhook_storage_checkpoint=None),
            document(about=[]),
            document(about={"key": 1, "size": "7"}),
            document(state=[]),
            document(state="x"),
            document(more=1),
            {name: value for name, value in document().items() if name != "state"},
        ],
        ids=str,
    )
    def test_what_is_no_checkpoint_is_not_touched(self, path: Path, content: object) -> None:
        """A file that was named by mistake is still what it was."""
        before = write(path, content).read_bytes()
        with pytest.raises(ConfigurationError, match="something else than a checkpoint"):
            FileCheckpoint(path, ABOUT).open()
        assert (before, [path]) == (path.read_bytes(), list(path.parent.iterdir()))

    def test_a_large_file_is_not_parsed(self, path: Path) -> None:
        """Even when it would be a checkpoint."""
        good = json.dumps(document()).encode()
        with FileCheckpoint(write(path, good + b" " * (LIMIT - len(good))), ABOUT) as checkpoint:
            assert STATE == checkpoint.state
        write(path, good + b" " * (LIMIT - len(good) + 1))
        with pytest.raises(ConfigurationError, match="something else"):
            FileCheckpoint(path, ABOUT).open()

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
    def test_a_file_of_which_others_have_a_part_is_refused(self, path: Path, mode: int) -> None:
        """It says where bytes and credentials go."""
        write(path, document()).chmod(mode)
        with pytest.raises(ConfigurationError, match="by others") as caught:
            FileCheckpoint(path, ABOUT).open()
        assert "chmod 600" in str(caught.value.hint)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_a_file_of_somebody_else_is_refused(self, path: Path) -> None:
        """Whoever owns it could have written it."""
        os.chown(write(path, document()), 12345, -1)
        with pytest.raises(ConfigurationError, match="belongs to somebody else"):
            FileCheckpoint(path, ABOUT).open()

    @pytest.mark.parametrize("kind", ["directory", "fifo"])
    def test_what_is_no_file_is_refused(self, path: Path, kind: str) -> None:
        """Nothing waits for somebody to write into it."""
        if kind == "fifo":
            os.mkfifo(path, 0o600)
        else:
            path.mkdir(0o700)
        with pytest.raises(ConfigurationError, match="no regular file"):
            FileCheckpoint(path, ABOUT).open()


HOLDING = """
import sys, time
from webhook_storage.checkpoint import FileCheckpoint
checkpoint = FileCheckpoint(sys.argv[1], {"key": "a", "size": "7"}).open()
checkpoint.save({"upload": {"id": "of the child"}})
print("open", flush=True)
time.sleep(60)
"""


class TestLock:
    """One upload, one process."""

    def test_a_second_one_is_refused_while_the_first_is_open(self, path: Path) -> None:
        """It is told that it may come back, and then it can."""
        with FileCheckpoint(path, ABOUT), pytest.raises(LocalFileError) as caught:
            FileCheckpoint(path, ABOUT).open()
        assert "another process carries on this upload" in str(caught.value)
        with FileCheckpoint(path, ABOUT) as later:
            assert later.state is None

    def test_the_lock_of_a_killed_process_ends_with_it(self, path: Path) -> None:
        """Nobody has to remove anything."""
        command = [sys.executable, "-c", HOLDING, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert b"open\n" == process.stdout.readline()
                with pytest.raises(LocalFileError, match="another process"):
                    FileCheckpoint(path, ABOUT).open()
            finally:
                os.kill(process.pid, signal.SIGKILL)
        assert (path.parent / "checkpoint.lock").exists()
        with FileCheckpoint(path, ABOUT) as checkpoint:
            assert {"upload": {"id": "of the child"}} == checkpoint.state

    def test_a_lock_that_is_removed_meanwhile_is_taken_again(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lock on a file that is no longer at its place keeps nobody away."""
        import fcntl  # noqa: PLC0415 - not on every system

        lock, flock = path.parent / "checkpoint.lock", fcntl.flock
        inodes: list[int] = []

        def removed_once(descriptor: int, operation: int) -> None:
            flock(descriptor, operation)
            inodes.append(os.fstat(descriptor).st_ino)
            if len(inodes) == 1:
                lock.rename(lock.with_name("gone"))
            if len(inodes) == 2:
                lock.unlink()
                lock.touch()

        monkeypatch.setattr(fcntl, "flock", removed_once)
        with FileCheckpoint(path, ABOUT):
            assert lock.stat().st_ino == inodes[-1]
        assert 3 == len(inodes)

    def test_a_lock_that_is_always_removed_is_somebody_elses(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Trying comes to an end."""
        import fcntl  # noqa: PLC0415 - not on every system

        lock, flock = path.parent / "checkpoint.lock", fcntl.flock

        def removed(descriptor: int, operation: int) -> None:
            flock(descriptor, operation)
            lock.unlink()

        monkeypatch.setattr(fcntl, "flock", removed)
        with pytest.raises(LocalFileError, match="another process"):
            FileCheckpoint(path, ABOUT).open()

    def test_what_nobody_refers_to_any_more_is_closed(self, path: Path) -> None:
        """An interruption may lose it while it is opened in another thread."""
        FileCheckpoint(path, ABOUT).open().save(STATE)
        with FileCheckpoint(path, ABOUT) as checkpoint:
            assert STATE == checkpoint.state

    def test_what_is_closed_writes_nothing(self, path: Path) -> None:
        """Another process may be at it; and to close twice is no error."""
        checkpoint = FileCheckpoint(path, ABOUT).open()
        checkpoint.save(STATE)
        checkpoint.close()
        checkpoint.save({"upload": "2"})
        checkpoint.clear()
        checkpoint.close()
        assert STATE == json.loads(path.read_bytes())["state"]

    def test_what_is_closed_before_it_is_opened_takes_no_lock(self, path: Path) -> None:
        """An interrupted event loop closes it while a thread is about to open it."""
        first = FileCheckpoint(path, ABOUT)
        first.close()
        first.open()
        with FileCheckpoint(path, ABOUT) as second:
            second.save(STATE)


class TestAbout:
    """What tells one upload from another."""

    DEFINITION: dict[str, Any] = {"type": "Webhook", "url": "https://a.example", "receipts": {}}  # noqa: RUF012

    def about(self, **changes: Any) -> dict[str, str]:
        """Return what one upload is about."""
        given = {"definition": self.DEFINITION, "key": "a", "body": BytesBody(b"x")}
        return about_store(**{**given, "options": PLAIN, **changes})

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({"definition": {**DEFINITION, "url": "https://b.example"}}, "storage"),
            ({"key": "b"}, "key"),
            ({"key": None}, "key"),
            ({"body": BytesBody(b"y")}, "sha256"),
            ({"options": StoreOptions(if_absent=True)}, "condition"),
            ({"options": StoreOptions(if_version="absent")}, "condition"),
        ],
        ids=["url", "key", "no key", "bytes", "absent", "a version of that name"],
    )
    def test_each_difference_shows(self, changes: dict[str, Any], name: str) -> None:
        """In one member, by its name."""
        plain, other = self.about(), self.about(**changes)
        assert [name] == [each for each in plain if plain[each] != other[each]]

    def test_a_version_is_not_taken_for_absence(self) -> None:
        """Both conditions have a text of their own."""
        absent = self.about(options=StoreOptions(if_absent=True))
        assert absent != self.about(options=StoreOptions(if_version="absent"))

    def test_receipts_do_not_matter(self) -> None:
        """They come with every store, and the order of the fields is nobody's concern."""
        other = {"receipts": {"a": {"sha256": "0"}}, **dict(reversed(self.DEFINITION.items()))}
        other["receipts"] = {"a": 1}
        assert self.about() == self.about(definition=other)

    def test_the_definition_is_not_in_it(self) -> None:
        """A definition may hold what somebody should have written as a placeholder."""
        assert "example" not in str(self.about())
