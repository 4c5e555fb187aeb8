"""Files with secrets, read as they are at this moment, whatever is done to them meanwhile.

Facts: ``open(2)``, ``fifo(7)``; "Projected volumes" of Kubernetes, which swaps the files of a mount
all at once, by a symbolic link. Modes are not judged here: Docker mounts secrets with 0444 and
Kubernetes with 0644, since whoever is in the container may read them.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 64 * 1024
"""A longer file is no secret."""

_LONGEST_WAIT = 1.0
_PAUSE = 0.005


class OpenFile(NamedTuple):
    """A file that was opened, and what it was then.

    Attributes:
        descriptor: To read from.
        status: Its kind, size and times.
    """

    descriptor: int
    status: os.stat_result

    @property
    def is_pipe(self) -> bool:
        """Whether its content comes from another process, and once."""
        return stat.S_ISFIFO(self.status.st_mode)


def read_secret(path: str, deadline: Deadline, *, within: str | None = None) -> Outcome:
    """Return the text of a file as a secret, without the one line break at its end.

    Args:
        path: The file.
        deadline: When to give up a pipe that nobody writes into, after a second at the latest.
        within: A directory that links must not lead out of; None lets them lead anywhere.

    Returns:
        `NotFound`, without a detail, when there is nothing of that name.
    """
    outcome = _no_entry(path)
    missed = None
    while outcome is None:
        real = os.path.realpath(path)
        if within is not None and not _is_within(os.path.realpath(within), real):
            return Invalid("the file is a link that leads out of the directory")
        try:
            with opened(real, follow=False) as file:
                outcome = _secret(file, deadline)
        except (FileNotFoundError, NotADirectoryError):
            # A mount was swapped after its links were followed, or they lead nowhere at all.
            if real == missed:
                return NotFound("the name is a link to nowhere")
            if not deadline.remaining():
                return Unavailable("the file is replaced again and again")
            missed = real
        except OSError as error:
            outcome = trouble(error)
    return outcome


@contextmanager
def opened(path: str | os.PathLike[str], *, follow: bool = True) -> Iterator[OpenFile]:
    """Open a file for a moment; a pipe does not wait for its writer.

    Args:
        path: The file.
        follow: Whether it may be a link.

    Raises:
        OSError: It cannot be opened; see `trouble`.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
    try:
        yield OpenFile(descriptor, os.fstat(descriptor))
    finally:
        os.close(descriptor)


def content_of(file: OpenFile, deadline: Deadline, most_bytes: int = MOST_BYTES) -> bytes | Outcome:
    """Return all bytes of a file or a pipe, or the outcome when there are none to be had."""
    if not file.is_pipe and not stat.S_ISREG(file.status.st_mode):
        return Invalid("it is not a file")
    content = bytearray()
    patience = Deadline(min(_LONGEST_WAIT, deadline.remaining()))
    while len(content) <= most_bytes:
        piece = _piece(file, most_bytes + 1)
        content += piece or b""
        if piece == b"" and (content or not file.is_pipe):
            return bytes(content)
        if file.is_pipe and not patience.remaining():
            return Unavailable("the pipe did not end" if content else "nobody wrote into the pipe")
        if not piece:
            time.sleep(min(_PAUSE, patience.remaining()))
    return Invalid(f"the file is longer than {most_bytes // 1024} KiB")


def trouble(error: OSError) -> Forbidden | Unavailable:
    """Return the outcome for a file that is there and cannot be read."""
    if isinstance(error, PermissionError):
        return Forbidden("the file may not be read")
    word = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return Unavailable(f"the file cannot be read, {word}")


def _piece(file: OpenFile, most_bytes: int) -> bytes | None:
    """Return what comes next: nothing at the end, None when a pipe's writer still thinks."""
    try:
        return os.read(file.descriptor, most_bytes)
    except BlockingIOError:
        return None


def _no_entry(path: str) -> Outcome | None:
    """Return the outcome when there is no entry of that name, None when there is one."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return NotFound()
    except PermissionError:
        return Forbidden("the directory may not be searched")
    except OSError as error:
        return NotFound() if error.errno == errno.ENAMETOOLONG else trouble(error)
    except ValueError:
        return Invalid("a file cannot have that name")
    return None


def _is_within(directory: str, path: str) -> bool:
    return os.path.commonpath([directory, path]) == directory


def _secret(file: OpenFile, deadline: Deadline) -> Outcome:
    """Return the content of an open file as a secret."""
    content = content_of(file, deadline)
    if not isinstance(content, bytes):
        return content
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return Invalid("the file is not UTF-8")
    return Found(value=SecretValue(_without_line_break(text)))


def _without_line_break(text: str) -> str:
    """Return the text without the one line break with which editors end a file."""
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
