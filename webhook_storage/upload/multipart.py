"""Parts by number, several at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from webhook_storage.contracts import Exchange, Together, Work
from webhook_storage.upload.answers import Echoes, check_echo, gone, overheard
from webhook_storage.upload.run import Run

if TYPE_CHECKING:
    from webhook_storage.contracts import Checkpoint
    from webhook_storage.upload.description import MultipartUpload, State
    from webhook_storage.upload.parts import Parts

T = TypeVar("T")

_BATCH = 256
"""Parts that wait for their turn at a time; each of them takes some memory."""

_MOST_SAVES = 1000
"""Most times that a checkpoint is written; what is sent and not written is sent again."""


class MultipartRun(Run[T]):
    """An upload of parts that come in any order.

    Args:
        upload: Its requests.
        parts: What it sends.
        checkpoint: Where to keep how far it has come, None for nowhere.
        limit: Most parts at a time.
    """

    def __init__(
        self,
        upload: MultipartUpload[T],
        parts: Parts,
        checkpoint: Checkpoint | None,
        limit: int,
    ) -> None:
        """Know of no upload."""
        super().__init__(upload, parts, checkpoint)
        self._requests = upload
        self._limit = limit

    def _rejoin(self, state: State) -> Exchange[None]:
        there = yield from overheard(self._requests.status(state, self._tags), [])
        if there is None:
            raise gone()
        # What the service has by another tag was sent by somebody else, or is not known here.
        known = self._tags.items()
        self._tags = {number: tag for number, tag in known if there.get(number) == tag}

    def _send(self, state: State) -> Exchange[State]:
        missing = [number for number in self._numbers() if number not in self._tags]
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            yield Together([self._send_one(state, number) for number in batch], self._limit)
        yield Work(self._parts.check)
        return state

    def _send_one(self, state: State, number: int) -> Exchange[None]:
        if not self._parts.is_measured(number):
            yield Work(partial(self._parts.measure, number))
        echoes: Echoes = []
        part = self._parts.part(number, compared=not self._requests.compares)
        sending = self._requests.send(state, part)
        tag = yield from overheard(sending, echoes)
        check_echo([tag], echoes)
        self._tags[number] = tag
        stride = -(-len(self._parts) // _MOST_SAVES)
        if len(self._tags) % stride == 0:
            yield from self._keep()

    def _finish(self, state: State) -> Exchange[T]:
        tags = {number: self._tags[number] for number in self._numbers()}
        return (yield from self._requests.finish(state, tags))

    def _numbers(self) -> range:
        return range(1, len(self._parts) + 1)
