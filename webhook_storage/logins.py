"""The log-ins of a sender: each is made once for all who wait for it, and kept until it ends.

Rule: whoever asks while a log-in is under way waits for it; nobody logs in beside it, and one that
was refused is refused to all who waited.
"""

from __future__ import annotations

import copy
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeAlias, cast

from webhook_storage.contracts import Access
from webhook_storage.effects import Joining
from webhook_storage.errors import TimedOutError, WebhookStorageError
from webhook_storage.lazy import PerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from webhook_storage.contracts import Deadline
    from webhook_storage.effects import Steps

_PART_USED = 0.9
"""Of the life of an access; the rest is for clocks that differ and for requests on their way."""

_LONGEST_WAIT = 60.0
_MOST = 256
"""Log-ins that are kept; more come of definitions without number only."""

_Outcome: TypeAlias = Access | WebhookStorageError | None


class _Slot:
    """One log-in.

    Attributes:
        access: What the last one gave, as long as it is good.
        until: When it ends.
        flight: The log-in that is under way. Its outcome is None when it was interrupted, or when
            whoever logged in had no more time.
    """

    __slots__ = ("access", "flight", "until")

    def __init__(self) -> None:
        self.access: Access | None = None
        self.until = 0.0
        self.flight: Future[_Outcome] | None = None


class _Held:
    """The log-ins of this process."""

    __slots__ = ("lock", "slots")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.slots: dict[Hashable, _Slot] = {}


class Logins:
    """Keeps what log-ins gave, in this process only.

    Args:
        clock: Seconds that only go up; an access lives by it.
    """

    __slots__ = ("_clock", "_held")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold none."""
        self._clock = clock
        self._held: PerProcess[_Held] = PerProcess()

    def get(
        self, key: Hashable, log_in: Callable[[], Steps[Access]], deadline: Deadline | None = None
    ) -> Steps[Access]:
        """Return an access: the one that is kept, or what a log-in gives.

        Args:
            key: What tells this log-in from others.
            log_in: Logs in.
            deadline: When nobody waits any longer for somebody else's log-in.

        Raises:
            WebhookStorageError: What the log-in raised, ours or the one that was waited for.
            TimedOutError: That took too long.
        """
        held = self._held.get(_Held)
        while True:
            with held.lock:
                slot = self._slot(held, key)
                if slot.access is not None and self._clock() < slot.until:
                    return slot.access
                flight, mine = slot.flight, slot.flight is None
                if flight is None:
                    flight = slot.flight = Future()
            if mine:
                return (yield from self._fly(held, slot, log_in, deadline))
            left = _LONGEST_WAIT if deadline is None else deadline.remaining()
            outcome = yield Joining(flight, min(left, _LONGEST_WAIT))
            if isinstance(outcome, Access):
                return outcome
            if isinstance(outcome, WebhookStorageError):
                raise copy.copy(outcome)  # each gets its own, with its own frames
            if not flight.done():
                raise TimedOutError("another request's log-in takes too long")

    def forget(self, key: Hashable, access: Access) -> None:
        """Log in again next time, because a server refused this, unless somebody already did."""
        held = self._held.get(_Held)
        with held.lock:
            slot = held.slots.get(key)
            if slot is not None and slot.access is access:
                slot.access = None

    def clear(self) -> None:
        """Keep none."""
        self._held.take()

    def _fly(
        self,
        held: _Held,
        slot: _Slot,
        log_in: Callable[[], Steps[Access]],
        deadline: Deadline | None,
    ) -> Steps[Access]:
        """Log in, and tell those who wait how it ended."""
        flight, outcome = cast("Future[_Outcome]", slot.flight), cast("_Outcome", None)
        try:
            access = outcome = yield from log_in()
        except WebhookStorageError as error:
            if deadline is None or deadline.remaining():  # else only our own time was up
                outcome = copy.copy(error)
            raise
        finally:
            with held.lock:
                slot.flight = None
                if isinstance(outcome, Access):
                    self._keep(slot, outcome)
            flight.set_result(outcome)
        return access

    def _keep(self, slot: _Slot, access: Access) -> None:
        slot.access = access
        left = float("inf") if access.lifetime is None else access.lifetime * _PART_USED
        slot.until = self._clock() + left

    @staticmethod
    def _slot(held: _Held, key: Hashable) -> _Slot:
        slot = held.slots.get(key)
        if slot is None:
            if len(held.slots) >= _MOST:
                held.slots.clear()
            slot = held.slots[key] = _Slot()
        return slot
