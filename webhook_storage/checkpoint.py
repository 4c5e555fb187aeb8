"""A file that keeps how far an upload in parts has come, so that another process can carry on.

What a service calls an upload by can be enough to write to it (Google's session URI is), so the
file is made readable by its owner only, and one that others could have written is not believed: it
says where bytes are sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from webhook_storage.artifact import keep_name, told_with_path
from webhook_storage.errors import ConfigurationError, LocalFileError

if sys.platform == "win32":  # pragma: no cover - the tests run elsewhere
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Body, StoreOptions

LIMIT = 8 * 1024 * 1024
"""Most bytes of a checkpoint. One of 10,000 parts has about one million."""

_FORMAT = 1
_KEYS = {"webhook_storage_checkpoint", "about", "state"}
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOCK_ATTEMPTS = 100


def about_store(
    definition: Mapping[str, Any], key: str | None, body: Body, options: StoreOptions
) -> dict[str, str]:
    """Return what a checkpoint says it is about. It takes as long as to read the body once.

    Args:
        definition: The storage as plain data; its receipts do not matter.
        key: Under which key it is stored.
        body: What is stored.
        options: On which condition.

    Example:
        >>> from webhook_storage.artifact import BytesBody
        >>> from webhook_storage.contracts import PLAIN
        >>> about = about_store({"type": "Webhook"}, "a", BytesBody(b"31 rows"), PLAIN)
        >>> about["key"], about["size"], about["sha256"][:8], about["condition"]
        ('a', '7', '9241ca97', '')
    """
    kept = {name: value for name, value in definition.items() if name != "receipts"}
    text = json.dumps(kept, sort_keys=True)
    version = "" if options.if_version is None else f"version {options.if_version}"
    return {
        "storage": hashlib.sha256(text.encode()).hexdigest(),
        "key": key or "",
        "size": str(body.size),
        "sha256": body.sha256(),
        "condition": "absent" if options.if_absent else version,
    }


class FileCheckpoint:
    """Keeps the state of one upload in a file.

    The file is written beside its place, synchronised and renamed, so that it holds the older state
    or the newer one whenever the process ends. As long as it is open, a lock on ``FILE.lock`` keeps
    other processes from the same upload; the system ends the lock with the process that holds it,
    so that none is ever left behind, and the empty file may be.

    What it does takes time, so an exchange leaves it to `Work`; not so `close`, which does not.

    Args:
        path: The file. There is none yet, or it is that of an earlier attempt at the same.
        about: What tells this upload from every other, for example `about_store`.

    Attributes:
        state: What was saved last, None when nothing was.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "upload.json")
        >>> with FileCheckpoint(path, {"key": "a"}) as checkpoint:
        ...     checkpoint.save({"upload": "1"})
        >>> with FileCheckpoint(path, {"key": "a"}) as checkpoint:
        ...     checkpoint.state
        ...     checkpoint.clear()
        {'upload': '1'}
        >>> path.exists()
        False
    """

    def __init__(self, path: str | Path, about: Mapping[str, str]) -> None:
        """Touch nothing yet."""
        # An interrupted event loop leaves behind a thread that may still be writing.
        self._busy = threading.Lock()
        self._lock: int | None = None
        self._ended = False
        self._about = dict(about)
        self.state: dict[str, Any] | None = None
        self.path = Path(os.path.realpath(path))

    def __enter__(self) -> Self:
        """Open it."""
        return self.open()

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close what an interruption has left open, so that the lock ends before the process."""
        self.close()

    def open(self) -> Self:
        """Take the lock, and read what an earlier attempt has left.

        Raises:
            ConfigurationError: The file is about something else, or is no checkpoint, or others
                could have written it.
            LocalFileError: Another process carries on this upload, or the system refuses.
        """
        with self._busy, told_with_path(self.path):
            if not self._ended:
                self._lock = _locked(self._beside(".lock"))
        try:
            with self._busy, told_with_path(self.path):
                self.state = self._read()
        except BaseException:
            self.close()
            raise
        return self

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state in place of the one before.

        Raises:
            LocalFileError: The file cannot be written; what it held before is still there.
            ConfigurationError: The state is too large.
        """
        document = {"webhook_storage_checkpoint": _FORMAT, "about": self._about, "state": state}
        content = json.dumps(document).encode()
        if len(content) > LIMIT:
            message = f"the upload's state has more than the {LIMIT} bytes of a checkpoint"
            raise ConfigurationError(message, hint="choose larger parts, so that they are fewer")
        with self._busy, told_with_path(self.path):
            if self._lock is not None:
                self._write(content)
                self.state = state

    def clear(self) -> None:
        """Remove the file; the lock stays until it is closed.

        Raises:
            LocalFileError: It cannot be removed.
        """
        with self._busy, told_with_path(self.path):
            if self._lock is not None:
                self._beside(".new").unlink(missing_ok=True)
                self.path.unlink(missing_ok=True)
                self.state = None

    def close(self) -> None:
        """Let others carry on. It can be called more than once, and the file stays as it is."""
        with self._busy:
            self._ended = True
            if self._lock is not None:
                _unlock(self._lock, self._beside(".lock"))
                self._lock = None

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _read(self) -> dict[str, Any] | None:
        """Return the state in the file, None when there is no file."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return None
        try:
            _check(self.path, os.fstat(descriptor))
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(LIMIT + 1)
        finally:
            os.close(descriptor)
        document = _document(content)
        if document is None:
            what = "holds something else than a checkpoint of this version"
            raise _refused(self.path, what, "name a file that is not there yet")
        self._compare(document["about"])
        state: dict[str, Any] = document["state"]
        return state

    def _compare(self, about: dict[str, str]) -> None:
        names = about.keys() | self._about.keys()
        others = sorted(name for name in names if about.get(name) != self._about.get(name))
        if others:
            raise _refused(
                self.path,
                f"is the checkpoint of another upload, by its {', '.join(others)}",
                "give what it was written for, as it was; or remove the file to begin anew, and "
                "what the service has of the other upload stays there until it is aborted",
            )

    def _write(self, content: bytes) -> None:
        """Write the file as a whole."""
        new = self._beside(".new")
        new.unlink(missing_ok=True)  # of a process that was killed
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path)
        keep_name(self.path.parent)


def _document(content: bytes) -> dict[str, Any] | None:
    """Return what a checkpoint holds, None when it is none."""
    if len(content) > LIMIT:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() != _KEYS:
        return None
    about, state = found["about"], found["state"]
    texts = isinstance(about, dict) and all(isinstance(text, str) for text in about.values())
    known = found["webhook_storage_checkpoint"] == _FORMAT
    return found if known and texts and isinstance(state, dict) else None


def _check(path: Path, found: os.stat_result) -> None:
    """Refuse what is no file, or what somebody else could have written, or could read.

    Raises:
        ConfigurationError: When it is that.
    """
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "is no regular file", "name a file that is not there yet")
    if sys.platform == "win32":  # pragma: no cover - rights are told otherwise there
        return
    if found.st_uid != os.geteuid():
        raise _refused(path, "belongs to somebody else", "name a file of your own")
    if found.st_mode & _OTHERS:
        what = "can be read or written by others, and it says where bytes are sent"
        raise _refused(path, what, "if it is yours and was not altered, chmod 600 it")


def _refused(path: Path, what: str, hint: str) -> ConfigurationError:
    return ConfigurationError(f"{str(path)!r} {what}", hint=hint)


# --- the lock ------------------------------------------------------------------------------------


def _locked(path: Path) -> int:
    """Return the descriptor of the lock file, which is ours until it is closed.

    Raises:
        LocalFileError: When another process has it.
    """
    for _ in range(_LOCK_ATTEMPTS):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            _lock(descriptor, path)
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # who had it has removed it meanwhile
    raise _held(path)


def _lock(descriptor: int, path: Path) -> None:
    try:
        if sys.platform == "win32":  # pragma: no cover
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        taken = True
    else:
        taken = False
    if taken:
        raise _held(path)


def _held(path: Path) -> LocalFileError:
    message = f"{path}: another process carries on this upload"
    hint = "wait until it has ended; its lock ends with it, however it ends"
    return LocalFileError(message, path=str(path), hint=hint)


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether the file that is locked is the one at its place."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unlock(descriptor: int, path: Path) -> None:
    """Remove the file, then the lock; whoever waits for the file finds that it is gone."""
    with contextlib.suppress(OSError):  # another program may hold it open where that matters
        path.unlink()
    os.close(descriptor)
