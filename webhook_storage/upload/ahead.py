"""Reading on while what was read is worked on."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH = 8
"""Chunks that are read before they are wanted."""

_END = None


@contextmanager
def read_ahead(chunks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Read chunks in a thread of their own while the ``with`` block runs.

    Two digests of large chunks are so taken at the same time, one by whoever gives the chunks, the
    other by whoever gets them: Python lets go of its lock for them.

    Args:
        chunks: What is read; what it raises is raised to who takes the next chunk.

    Yields:
        The same chunks. The thread ends with the block, whether all were taken or not.

    Example:
        >>> with read_ahead(iter([b"31 ", b"rows"])) as ahead:
        ...     b"".join(ahead)
        b'31 rows'
    """
    ready: queue.Queue[bytes | BaseException | None] = queue.Queue(_DEPTH)
    stopped = threading.Event()
    read = partial(_read, chunks, ready, stopped)
    thread = threading.Thread(target=copy_context().run, args=(read,), daemon=True)
    thread.start()
    try:
        yield _taken(ready)
    finally:
        stopped.set()
        while thread.is_alive():  # it may be waiting for room
            _drain(ready)
            thread.join(0.01)


def _read(
    chunks: Iterator[bytes],
    ready: queue.Queue[bytes | BaseException | None],
    stopped: threading.Event,
) -> None:
    """Read until the end, an error, or nobody wants more."""
    last: BaseException | None = _END
    try:
        for chunk in chunks:
            ready.put(chunk)
            if stopped.is_set():
                return
    except BaseException as error:  # noqa: BLE001 - it is raised where the chunks are taken
        last = error
    ready.put(last)


def _taken(ready: queue.Queue[bytes | BaseException | None]) -> Iterator[bytes]:
    while (chunk := ready.get()) is not _END:
        if isinstance(chunk, BaseException):
            raise chunk
        yield chunk


def _drain(ready: queue.Queue[bytes | BaseException | None]) -> None:
    try:
        while True:
            ready.get_nowait()
    except queue.Empty:
        return
