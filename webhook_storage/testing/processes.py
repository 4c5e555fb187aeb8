"""Questions from other processes: one that was started anew, and one that was forked."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import socket
import stat
import subprocess
import sys
import threading
import warnings
from functools import partial
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from webhook_storage.contracts import Deadline
from webhook_storage.testing.answers import PATIENCE, checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.contracts import Resolver
    from webhook_storage.template import Reference

Judge = partial[bool]
"""Tells whether an outcome is the right one; it can be pickled."""

_PROGRAM = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from webhook_storage.testing import processes
processes.ask_here(*pickle.load(sys.stdin.buffer))
"""


# --- started anew ---------------------------------------------------------------------------------


def fault_in_new(pickled: bytes, reference: Reference, judge: Judge) -> str | None:
    """Return what goes wrong when a new process asks; None when nothing does.

    It has the directory, the environment and the import path of this process, and nothing else. No
    two suites share one: the second would find imported what it should import.

    Args:
        pickled: The resolver.
        reference: What it is asked.
        judge: Gets the outcome.
    """
    told = pickle.dumps(sys.path) + pickle.dumps((pickled, reference, judge))
    command = [sys.executable, "-c", _PROGRAM]
    try:
        done = subprocess.run(  # noqa: S603 - this very interpreter
            command,
            input=told,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it hangs"
    words = done.stdout.decode(errors="replace").splitlines()[-1:]
    return (words[0] if words else "it ended without a word") if done.returncode else None


def ask_here(pickled: bytes, reference: Reference, judge: Judge) -> None:
    """Ask in this process, which ends when the outcome is not the right one."""
    fault = None
    try:
        resolver: Resolver = pickle.loads(pickled)  # noqa: S301 - pickled by the suite
        answer = checked(resolver.resolve([reference], Deadline(PATIENCE)), [reference])[reference]
        resolver.close()
        if not judge(answer):
            fault = type(answer).__name__
    except Exception as error:  # noqa: BLE001 - its text may hold a secret
        fault = type(error).__name__
    if fault:
        sys.stdout.write(f"\n{fault}\n")
        sys.exit(1)


# --- forked ---------------------------------------------------------------------------------------


def fault_in_fork(holds: Callable[[], bool]) -> str | None:
    """Return what goes wrong in a forked child; None when nothing does.

    The child's copies of its parent's connections lead nowhere, and whoever writes into one is
    caught. Else that would go well most of the time, and then two processes read half an answer
    each.

    Args:
        holds: What is to be true in the child.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # That there are threads is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:  # pragma: no cover - a forked child reports no coverage
        try:
            _watch(_cut_connections(), writer)
            os.write(writer, b"." if holds() else b"!")
        finally:
            os._exit(0)
    os.close(writer)
    said = os.read(reader, 1) if wait([reader], 2 * PATIENCE) else b"hang"
    os.kill(child, signal.SIGKILL)  # not yet waited for, so it is nobody else
    os.waitpid(child, 0)
    os.close(reader)
    return _FORK_FAULTS[said]


_FORK_FAULTS = {
    b".": None,
    b"!": "it does not find it",
    b"?": "it uses a connection of its parent",
    b"hang": "it hangs",
    b"": "it ended without a word",
}


def _cut_connections() -> list[socket.socket]:  # pragma: no cover - only in a forked child
    """Lead every connection of this process to a new socket, and return the other ends of those."""
    ends = []
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - numbers, not paths
        with contextlib.suppress(OSError):
            if _is_connection(int(name)):
                mine, other = socket.socketpair()
                os.dup2(mine.fileno(), int(name))
                mine.close()
                ends.append(other)
    return ends


def _is_connection(descriptor: int) -> bool:  # pragma: no cover - only in a forked child
    """Tell whether this is a stream with somebody at its other end."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return False
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.getpeername()
        return copy.type == socket.SOCK_STREAM


def _watch(ends: list[socket.socket], writer: int) -> None:  # pragma: no cover - as above
    """Say so and end this process when something is written into a connection."""
    selector = selectors.DefaultSelector()
    for end in ends:
        selector.register(end, selectors.EVENT_READ, end)

    def watch() -> None:
        while selector.get_map():
            for key, _ in selector.select():
                if key.data.recv(1):
                    os.write(writer, b"?")
                    os._exit(0)
                selector.unregister(key.data)

    threading.Thread(target=watch, daemon=True).start()
