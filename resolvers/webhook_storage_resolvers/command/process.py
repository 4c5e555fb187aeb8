"""One program, run to its end or ended: no shell, no terminal, no more time or output than allowed.

Rule: when `run` returns or raises, nothing that the program started in its group is left.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import selectors
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from webhook_storage.contracts import Deadline, Invalid, Unavailable
from webhook_storage.lazy import PerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_BYTES: Final = 64 * 1024
"""A program that prints more prints no secret."""

_PIECE = 16 * 1024
_SHORTEST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


class Ended(NamedTuple):
    """A program that came to its end by itself.

    Attributes:
        code: Its exit code; negative when a signal ended it.
        output: What it had printed by then.
    """

    code: int
    output: bytes

    def __repr__(self) -> str:
        """Leave out what was printed."""
        return f"<Ended {self.code}>"


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    deadline: Deadline,
    *,
    text: str | None = None,
    stop: threading.Event,
) -> Ended | Unavailable | Invalid:
    """Run a program in a process group of its own.

    Args:
        command: An absolute path, and arguments.
        environment: All variables that it gets.
        deadline: When it is ended.
        text: What it reads on its standard input, a few hundred characters; None for nothing.
        stop: Set when nobody waits any more; the program is ended then.

    Returns:
        How it ended, or why it was ended.
    """
    try:
        with _running.get(_Groups).started(command, environment, text) as process:
            return _listen(process, deadline, stop)
    except ChildProcessError:
        return Unavailable("exit codes are not known here, as this process ignores SIGCHLD")
    except OSError as error:
        word = errno.errorcode.get(error.errno or 0, type(error).__name__)
        return Unavailable(f"the program cannot be run, {word}")


class _Groups:
    """The process groups that this process runs; none of them outlives it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leaders: set[int] = set()
        self._over = False
        self._pid = os.getpid()
        atexit.register(self.end)

    @contextlib.contextmanager
    def started(
        self, command: Sequence[str], environment: Mapping[str, str], text: str | None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program, and end its group in any case."""
        with self._lock:  # the end of this process waits until it is known what has started
            process = _start(command, environment, text)
            self._leaders.add(process.pid)
            if self._over:
                _kill(process.pid)
        with process:
            try:
                yield process
            finally:
                with self._lock:
                    # Its pid is not given to another group as long as nobody waited for it.
                    _kill(process.pid)
                    self._leaders.discard(process.pid)

    def end(self) -> None:
        """Kill what still runs; the threads that wait for it may be gone already."""
        if self._pid != os.getpid():
            return  # these are the groups of a parent process
        with self._lock:
            self._over = True
            for leader in self._leaders:
                _kill(leader)


_running: PerProcess[_Groups] = PerProcess()


def _kill(leader: int) -> None:
    """Kill a process group; macOS refuses when only its ended leader is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _start(
    command: Sequence[str], environment: Mapping[str, str], text: str | None
) -> subprocess.Popen[bytes]:
    """Start a program without a terminal, in a session of its own."""
    source = subprocess.DEVNULL if text is None else _pipe_with(text.encode())
    try:
        return subprocess.Popen(  # noqa: S603 - no shell, and the command is configuration
            command,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
            start_new_session=True,
        )
    finally:
        if text is not None:
            os.close(source)


def _pipe_with(content: bytes) -> int:
    """Return the end of a pipe from which the content can be read; it fits into the pipe."""
    reader, writer = os.pipe()
    try:
        os.write(writer, content)
    finally:
        os.close(writer)
    return reader


def _listen(
    process: subprocess.Popen[bytes], deadline: Deadline, stop: threading.Event
) -> Ended | Unavailable | Invalid:
    """Collect what the program prints until it has ended.

    Somebody whom it left behind may hold the pipe open for ever, so the end of the pipe is not
    waited for once the program itself has ended.
    """
    output = bytearray()
    pause = _SHORTEST_PAUSE
    seconds = round(deadline.remaining(), 1)
    with _Pipe(process) as pipe:
        while not stop.is_set():
            code = _exit_code(process)  # asked first: what it printed before is in the pipe
            pipe.read(output)
            if len(output) > MOST_BYTES:
                return Invalid(f"the program prints more than {MOST_BYTES // 1024} KiB")
            if code is not None:
                return Ended(code, bytes(output))
            if not deadline.remaining():
                return Unavailable(f"the program did not end in {seconds:g} s and was killed")
            pause = min(2 * pause, _LONGEST_PAUSE)
            pipe.wait(min(pause, deadline.remaining()), stop)
    return Unavailable("the program was killed, as nobody waited for it any more")


class _Pipe:
    """What a program prints, read without waiting."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        self._descriptor = process.stdout.fileno()
        self._open = True
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        os.set_blocking(self._descriptor, False)
        self._selector.register(self._descriptor, selectors.EVENT_READ)
        return self

    def __exit__(self, *exception: object) -> None:
        self._selector.close()

    def read(self, output: bytearray) -> None:
        """Take what is there, up to one piece more than is allowed."""
        try:
            while self._open and len(output) <= MOST_BYTES:
                piece = os.read(self._descriptor, _PIECE)
                output += piece
                self._open = bool(piece)
        except BlockingIOError:
            return

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait until there is more to read, or the time is over."""
        if self._open:
            self._selector.select(seconds)
        else:
            stop.wait(seconds)


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code, None as long as the program runs; its pid stays taken.

    Raises:
        ChildProcessError: This process ignores the ends of its children, so that nobody knows.
    """
    if not hasattr(os, "waitid"):
        return process.poll()
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
