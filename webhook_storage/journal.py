"""What a batch has done so far, in a file, so that another process can go on.

The first line names the storage. Each further line is one item that has ended, as JSON; the latest
of a key holds. It is written in one piece, so that a process that is killed leaves at most its last
one torn. A line that is not whole is passed over, and its item is done again. What is written here
decides what is not done, so a file that others could have written is not believed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from webhook_storage.artifact import told_with_path
from webhook_storage.errors import ConfigurationError, LocalFileError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import FileIO
    from pathlib import Path
    from types import TracebackType

_FORMAT = "webhook-storage journal 1"
_ANOTHER = "give a file that is not there yet, or one that a batch has written"
_STORED = ("flows", "receipts")
"""Fields of a definition that tell what was stored, not where."""


class Journal:
    """The journal of one batch, open while its ``with`` block runs.

    It is readable by its owner only. In memory are the keys, and where their lines are.

    Args:
        path: Where it is; it is made when it is not there.
        work: What the batch does, for example ``put``.
        definition: The storage as plain data.

    Raises:
        ConfigurationError: When the file is no journal, or that of another storage or work, or one
            that others could have written.
        LocalFileError: When it cannot be read or written, or another batch writes it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "nightly.jsonl")
        >>> with Journal(path, "put", {"type": "Webhook"}) as journal:
        ...     journal.write("a", {"outcome": "stored"})
        >>> with Journal(path, "put", {"type": "Webhook"}) as journal:
        ...     journal.find("a")
        {'key': 'a', 'outcome': 'stored'}
    """

    def __init__(self, path: Path, work: str, definition: Mapping[str, Any]) -> None:
        """Open nothing yet."""
        self._path = path
        self._head = {"format": _FORMAT, "work": work, "storage": _digest(definition)}
        self._lock = threading.Lock()
        self._places: dict[str, tuple[int, int]] = {}
        self._torn = False

    def __enter__(self) -> Self:
        """Open the file and find the lines in it."""
        with told_with_path(self._path):
            self._file: FileIO = open(self._path, "a+b", buffering=0, opener=_owners)
        try:
            with told_with_path(self._path):
                self._lay_hand_on()
                self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def find(self, key: str) -> dict[str, Any] | None:
        """Return what the latest line of a key says, None when there is none."""
        place = self._places.get(key)
        if place is None:
            return None
        with self._lock, told_with_path(self._path):
            self._file.seek(place[0])
            return _parsed(self._file.read(place[1]))

    def is_in(self, path: Path) -> bool:
        """Tell whether this file is the journal, by whatever name."""
        with told_with_path(path):
            return path.exists() and os.path.samestat(path.stat(), os.fstat(self._file.fileno()))

    def write(self, key: str, entry: Mapping[str, Any]) -> None:
        """Append what came of a key.

        Raises:
            LocalFileError: When it cannot be written.
        """
        with self._lock, told_with_path(self._path):
            self._places[key] = self._append({"key": key, **entry})

    def _append(self, entry: Mapping[str, Any]) -> tuple[int, int]:
        """Write a line and return where it is, and how long."""
        line = json.dumps(entry).encode() + b"\n"
        whole = b"\n" + line if self._torn else line
        self._torn = True
        if self._file.write(whole) != len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False
        return self._file.tell() - len(line), len(line)

    def _lay_hand_on(self) -> None:
        """Refuse what others could have written, and keep other batches out."""
        found = os.fstat(self._file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise self._refused("is no regular file", _ANOTHER)
        if sys.platform == "win32":  # pragma: no cover - rights are told otherwise there
            return
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            what = "could have been written by others, and it says what need not be done"
            raise self._refused(what, "if it is yours and was not altered, chmod 600 it")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken = True
        else:
            taken = False
        if taken:
            message = f"{self._path}: another batch writes it"
            raise LocalFileError(message, path=str(self._path), hint="wait until it has ended")

    def _read(self) -> None:
        """Find the lines of all keys, and see that it is the journal of this storage."""
        with self._path.open("rb") as file:
            head = file.readline()
            if not head:
                self._append(self._head)
                return
            self._check(_parsed(head))
            place = len(head)
            for line in file:
                key = (_parsed(line) or {}).get("key")
                if isinstance(key, str):
                    self._places[key] = place, len(line)
                place += len(line)
                self._torn = not line.endswith(b"\n")

    def _check(self, head: dict[str, Any] | None) -> None:
        if head is None or head.get("format") != _FORMAT:
            raise self._refused("is no journal", _ANOTHER)
        if head != self._head:
            what = "is the journal of another storage, or of the other direction"
            raise self._refused(what, "give each of them a journal of its own")

    def _refused(self, what: str, hint: str) -> ConfigurationError:
        return ConfigurationError(f"{str(self._path)!r} {what}", path="journal", hint=hint)


def _owners(path: str, flags: int) -> int:
    """Open a file, and make it for its owner only."""
    return os.open(path, flags, 0o600)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the object in a line, None when it is torn."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _digest(definition: Mapping[str, Any]) -> str:
    """Return what tells one storage from another."""
    where = {name: value for name, value in definition.items() if name not in _STORED}
    return hashlib.sha256(json.dumps(where, sort_keys=True).encode()).hexdigest()
