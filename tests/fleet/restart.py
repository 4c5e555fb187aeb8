"""A server that can be killed in the middle of its work, and started again on its port."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Self

from tests.fleet.process import running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType


class Restartable:
    """A server program; it runs while the `with` block does.

    Args:
        command: What to run. Ports and data must be the same each time.
        ready: Whether it serves.
        log: Where its output goes.
    """

    def __init__(self, command: Sequence[object], ready: Callable[[], bool], log: Path) -> None:
        """Start nothing yet."""
        self._command, self._ready, self._log = command, ready, log
        self._running = contextlib.ExitStack()
        self._pid = 0

    def __enter__(self) -> Self:
        """Start it and wait until it serves."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self._running.close()

    def start(self) -> None:
        """Start it and wait until it serves."""
        self._pid = self._running.enter_context(running(self._command, self._ready, self._log))

    def kill(self) -> None:
        """End it at once, with its workers, which are in a session of their own."""
        os.killpg(self._pid, signal.SIGKILL)
        self._running.close()
        while self._ready():  # a worker may be the last to let go of the ports
            time.sleep(0.01)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()
