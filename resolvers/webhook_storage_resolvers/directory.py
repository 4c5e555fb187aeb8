"""Directories with one file a secret, as container platforms and service managers mount them.

Facts: "Manage sensitive data with Docker secrets" (``/run/secrets``), "Secrets" and "Projected
volumes" of Kubernetes (names are symbolic links through ``..data``, which is swapped as a whole),
"System and Service Credentials" of systemd (``$CREDENTIALS_DIRECTORY``).
"""

from __future__ import annotations

import errno
import os
import select
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from webhook_storage.template import Reference

_MOST_BYTES = 64 * 1024
_LONGEST_WAIT = 1.0


@dataclass(frozen=True, kw_only=True)
class DirectoryResolver(Resolver):
    """Secrets in files that bear their names, read at the time of asking.

    The file may be called ``API_TOKEN``, ``api_token`` or ``api-token``. One line break at its end
    is not part of the secret.

    Args:
        paths: Directories, asked in this order; None stands for ``$CREDENTIALS_DIRECTORY``, if that
            is set, and ``/run/secrets``.

    Example:
        >>> DirectoryResolver(paths=["/run/secrets"])
        DirectoryResolver(paths=('/run/secrets',))
    """

    scheme: ClassVar[str] = "directory"
    local: ClassVar[bool] = True

    paths: Sequence[str | os.PathLike[str]] | None = None

    def __post_init__(self) -> None:
        """Keep the paths as a tuple, which nobody changes."""
        if self.paths is not None:
            object.__setattr__(self, "paths", tuple(self.paths))

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Look for a file for each name."""
        return {reference: self._look_up(reference, deadline) for reference in references}

    def _look_up(self, reference: Reference, deadline: Deadline) -> Outcome:
        """Return what the first of all possible files holds."""
        name = reference.name
        if reference.options:
            return Invalid("takes no options")
        if not name or name.startswith(".") or not set(name).isdisjoint("/\\\0"):
            return Invalid("the name of a file is wanted, without a path or a leading dot")
        absent = NotFound()
        for directory in self._directories():
            for candidate in dict.fromkeys((name, name.lower(), name.lower().replace("_", "-"))):
                outcome = _read(directory, candidate, deadline)
                if not isinstance(outcome, NotFound):
                    return outcome
                absent = outcome if outcome.detail else absent
        return absent

    def _directories(self) -> Iterator[str]:
        """Yield the directories to look in."""
        if self.paths is not None:
            yield from (os.fspath(path) for path in self.paths)
            return
        if credentials := os.environ.get("CREDENTIALS_DIRECTORY"):
            yield credentials
        yield "/run/secrets"


def _read(directory: str, name: str, deadline: Deadline) -> Outcome:
    """Return the outcome for one file, which may be replaced at this very moment."""
    path = os.path.join(directory, name)  # noqa: PTH118 - pathlib takes five times as long
    if not os.path.lexists(path):
        return NotFound()
    missed = None
    while True:
        real = os.path.realpath(path)
        try:
            return _read_below(os.path.realpath(directory), real, deadline)
        except (FileNotFoundError, NotADirectoryError):
            # A mount was swapped after its links were followed, or they lead nowhere at all.
            if real == missed:
                return NotFound("the name is a link to nowhere")
        except UnicodeDecodeError:
            return Invalid("the file is not UTF-8")
        except OSError as error:
            return _trouble(error)
        if not deadline.remaining():
            return Unavailable("the file is replaced again and again")
        missed = real


def _trouble(error: OSError) -> Outcome:
    """Return the outcome for a file that is there and cannot be read."""
    if isinstance(error, PermissionError):
        return Forbidden("the file may not be read")
    word = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return Unavailable(f"the file cannot be read, {word}")


def _read_below(directory: str, path: str, deadline: Deadline) -> Outcome:
    """Return the content of a file, given by its real path, if that is in the directory."""
    if os.path.commonpath([directory, path]) != directory:
        return Invalid("the file is a link that leads out of the directory")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags)
    try:
        kind = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISFIFO(kind):
            return Invalid("it is not a file")
        content = _content(descriptor, deadline, pipe=stat.S_ISFIFO(kind))
    finally:
        os.close(descriptor)
    if content is None:
        return Unavailable("nobody wrote into the pipe")
    if len(content) > _MOST_BYTES:
        return Invalid("the file is longer than 64 KiB")
    return Found(value=SecretValue(_without_line_break(content.decode())))


def _content(descriptor: int, deadline: Deadline, *, pipe: bool) -> bytes | None:
    """Return all bytes, up to one more than are allowed; None when no writer came in time."""
    pieces: list[bytes] = []
    patience = Deadline(min(_LONGEST_WAIT, deadline.remaining()))
    while sum(map(len, pieces)) <= _MOST_BYTES:
        if pipe and not patience.remaining():
            return None
        try:
            piece = os.read(descriptor, _MOST_BYTES + 1)
        except BlockingIOError:
            select.select([descriptor], [], [], patience.remaining())
            continue
        if not piece and (pieces or not pipe):
            break
        if not piece:
            select.select([], [], [], min(0.005, patience.remaining()))
        pieces += [piece] if piece else []
    return b"".join(pieces)


def _without_line_break(text: str) -> str:
    """Return the text without the one line break with which editors end a file."""
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
