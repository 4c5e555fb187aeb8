"""A client that is made when it is first needed, and never leaves the process that made it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Holds one thing a process: shared by threads, made anew after a fork, left out of a pickle.

    Example:
        >>> connections = PerProcess[list[str]]()
        >>> connections.get(list) is connections.get(list)
        True
        >>> import pickle
        >>> pickle.loads(pickle.dumps(connections)).peek() is None
        True
    """

    __slots__ = ("_lock", "_made", "_pid")

    _lock: threading.Lock
    _made: T | None
    _pid: int

    def __init__(self) -> None:
        """Hold nothing."""
        self._start()

    def __repr__(self) -> str:
        """Show nothing of what is held."""
        return "<PerProcess>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave behind what is held."""
        return type(self), ()

    def __deepcopy__(self, memo: dict[int, Any]) -> PerProcess[T]:
        """Return one that holds nothing: a copy makes its own."""
        return type(self)()

    def get(self, make: Callable[[], T]) -> T:
        """Return what is held, made by the first to ask; what `make` raises is raised here."""
        if self._pid != os.getpid():
            self._start()
        with self._lock:
            if self._made is None:
                self._made = make()
            return self._made

    def peek(self) -> T | None:
        """Return what is held, None when nothing was made in this process."""
        return self._made if self._pid == os.getpid() else None

    def take(self) -> T | None:
        """Return what is held, and hold it no more; the caller closes it."""
        if self._pid != os.getpid():
            self._start()
        with self._lock:
            made, self._made = self._made, None
            return made

    def _start(self) -> None:
        """Hold nothing, whoever held the lock before a fork."""
        self._lock = threading.Lock()
        self._made = None
        self._pid = os.getpid()
