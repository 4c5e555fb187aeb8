"""What a transport keeps for each event loop, which is closed when the loop ends."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

T = TypeVar("T")

_open: dict[int, Any] = {}
"""What is not closed yet, by its id. Python would else take it apart in any order once it is
forgotten, and warn of each connection that it finds open."""


class Loops(Generic[T]):
    """One of something for each event loop.

    It is closed when its loop ends, or soon after these are forgotten.

    Args:
        make: Makes one, in the loop that it is for.
        close: Closes it, in the same loop.

    Example:
        >>> async def close(names: list[str]) -> None:
        ...     print("closed", names)
        >>> loops = Loops[list[str]](list, close)
        >>> async def use() -> None:
        ...     (await loops.of_running()).append("first")
        ...     (await loops.of_running()).append("second")
        >>> asyncio.run(use())
        closed ['first', 'second']
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        """Hold none."""
        self._make, self._close = make, close
        self._kept: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None]]] = {}

    def __len__(self) -> int:
        """Return how many loops have one."""
        return len(self._kept)

    def __iter__(self) -> Iterator[T]:
        """Yield those of all loops."""
        return (kept for kept, _ in [*self._kept.values()])

    async def of_running(self) -> T:
        """Return what belongs to the running loop."""
        loop = asyncio.get_running_loop()
        entry = self._kept.get(loop)
        if entry is not None:
            return entry[0]
        self._forget_closed()
        kept = self._make()
        closer = _close_at_end(weakref.ref(self), kept, self._close)
        self._kept[loop] = kept, closer
        await anext(closer)
        return kept

    def _forget_closed(self) -> None:
        """Let go of loops that ended without closing anything; another thread may do so as well."""
        for over in [loop for loop in [*self._kept] if loop.is_closed()]:
            entry = self._kept.pop(over, None)
            if entry is not None:
                _open.pop(id(entry[0]), None)


async def _close_at_end(
    loops: weakref.ref[Loops[T]], kept: T, close: Callable[[T], Awaitable[None]]
) -> AsyncGenerator[None]:
    """Close what is kept when this generator is closed.

    ``asyncio.run`` closes the asynchronous generators that are still open, and that is the only
    thing that it does for a library before it closes the loop. One that nobody holds any more is
    closed by its loop as well.
    """
    _open[id(kept)] = kept
    try:
        yield
    finally:
        known = loops()
        if known is not None:
            known._kept.pop(asyncio.get_running_loop(), None)  # noqa: SLF001 - it is its own
        _open.pop(id(kept), None)
        await close(kept)
