"""Pools of connections: how many are kept, and which are closed when there are too many."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

MOST_POOLS = 16
"""A secret that changes may make another pool each time; so many are kept."""


class Pool(Generic[T]):
    """Connections, and how many requests use them now.

    Attributes:
        connections: What keeps them.
        users: How often it was taken and not yet given back.
    """

    __slots__ = ("connections", "users")

    def __init__(self, connections: T) -> None:
        """Begin without users."""
        self.connections = connections
        self.users = 0


class Pools(Generic[T]):
    """Pools by what their connections share, in the order of their last use.

    It closes none itself, since that may take an event loop: whoever takes one asks for those that
    are too many.

    Args:
        most: How many are kept; more only while all of them are in use.

    Example:
        >>> pools = Pools[str](most=1)
        >>> first = pools.take("a", lambda: "connections to a")
        >>> second = pools.take("b", lambda: "connections to b")
        >>> pools.surplus()
        []
        >>> pools.give_back(first)
        >>> pools.surplus()
        ['connections to a']
    """

    def __init__(self, most: int = MOST_POOLS) -> None:
        """Hold none."""
        self._most = most
        self._lock = threading.Lock()
        self._pools: dict[Hashable, Pool[T]] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._pools)

    def take(self, key: Hashable, make: Callable[[], T]) -> Pool[T]:
        """Return the pool for a key, to be given back; what `make` raises is raised here."""
        with self._lock:
            pool = self._pools.pop(key, None)
            if pool is None:
                pool = Pool(make())
            self._pools[key] = pool  # at the end, as the one that was used last
            pool.users += 1
            return pool

    def give_back(self, pool: Pool[T]) -> None:
        """Say that a request has ended."""
        with self._lock:
            pool.users -= 1

    def surplus(self) -> list[T]:
        """Return what is to be closed: the longest unused beyond those that are kept."""
        if len(self._pools) <= self._most:
            return []
        with self._lock:
            unused = [key for key, pool in self._pools.items() if not pool.users]
            spare = unused[: len(self._pools) - self._most]
            return [self._pools.pop(key).connections for key in spare]

    def clear(self) -> list[T]:
        """Return all, which are to be closed, used or not."""
        with self._lock:
            pools, self._pools = self._pools, {}
        return [pool.connections for pool in pools.values()]
