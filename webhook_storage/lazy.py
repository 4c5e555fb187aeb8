"""A client that is made when it is first needed, and never leaves the process that made it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsIndex

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

    __slots__ = ("__weakref__", "_lock", "_made")

    _lock: threading.Lock
    _made: T | None

    def __init__(self) -> None:
        """Hold nothing."""
        self._start()
        _alive.add(self)

    def __repr__(self) -> str:
        """Show nothing of what is held."""
        return "<PerProcess>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Leave behind what is held, whatever the protocol."""
        return type(self), ()

    def __deepcopy__(self, memo: dict[int, Any]) -> PerProcess[T]:
        """Return one that holds nothing: a copy makes its own."""
        return type(self)()

    def get(self, make: Callable[[], T]) -> T:
        """Return what is held, made by the first to ask; what `make` raises is raised here."""
        with self._lock:
            if self._made is None:
                self._made = make()
            return self._made

    def peek(self) -> T | None:
        """Return what is held, None when nothing was made in this process."""
        return self._made

    def take(self) -> T | None:
        """Return what is held, and hold it no more; the caller closes it."""
        with self._lock:
            made, self._made = self._made, None
            return made

    def _start(self) -> None:
        """Hold nothing, whoever held the lock before a fork."""
        self._lock = threading.Lock()
        self._made = None


_alive: WeakSet[PerProcess[Any]] = WeakSet()


def _after_fork() -> None:
    """Let everything that the child process has start anew, before it has a second thread."""
    for each in list(_alive):
        each._start()  # noqa: SLF001 - a part of the class that must be a function


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
