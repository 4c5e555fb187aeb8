"""One part after the other, each from the offset at which the service is."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from webhook_storage.contracts import Exchange, Pause
from webhook_storage.errors import (
    IntegrityError,
    ObjectNotFoundError,
    ResponseError,
    TransportError,
    UnexpectedAnswerError,
)
from webhook_storage.retry import RetryPolicy
from webhook_storage.upload.answers import gone, vouched
from webhook_storage.upload.run import Run

if TYPE_CHECKING:
    from webhook_storage.contracts import Checkpoint
    from webhook_storage.upload.description import Progress, ResumableUpload, State
    from webhook_storage.upload.parts import Parts

T = TypeVar("T")

_PATIENCE = RetryPolicy()
"""How often the service may fail without taking more, and the pauses in between."""

_WORTH = 256 * 1024
"""Bytes by which an upload must advance to count as progress."""

_WORTH_ASKING = frozenset({408, 409, 416, 425})
"""Statuses, beside those that are retryable, after which the service may be further than we know.

Two of them say that it is at another offset.
"""


class ResumableRun(Run[T]):
    """An upload of parts that follow one another.

    Args:
        upload: Its requests.
        parts: What it sends.
        checkpoint: Where to keep how far it has come, None for nowhere.
    """

    def __init__(
        self, upload: ResumableUpload[T], parts: Parts, checkpoint: Checkpoint | None
    ) -> None:
        """Know of no upload."""
        super().__init__(upload, parts, checkpoint)
        self._requests = upload

    def _forget(self) -> None:
        super()._forget()
        self._offset = 0

    def _rejoin(self, state: State) -> Exchange[None]:
        progress = yield from self._ask(state)
        yield from self._take(progress, self._parts.size)

    def _send(self, state: State) -> Exchange[State]:
        size, failures, furthest = self._parts.size, 0, self._offset
        while self._offset < size:
            failure = yield from self._send_next(state)
            state = self._state or state
            worth = min(_WORTH, self._parts.part_size, size - furthest)
            if self._offset - furthest >= worth:
                failures, furthest = 0, self._offset
                continue
            failures += 1
            pause = _PATIENCE.delay(attempt=failures, elapsed=0.0)
            if pause is None:
                raise failure or _stuck(self._offset)
            yield Pause(pause)
        return state

    def _send_next(self, state: State) -> Exchange[TransportError | ResponseError | None]:
        """Send what follows, and return what went wrong when the service can go on after it."""
        part = self._parts.rest(self._offset)
        failure: TransportError | ResponseError | None = None
        try:
            progress = yield from vouched(self._upload, self._requests.send(state, part))
        except (TransportError, ResponseError) as error:
            if not _is_worth_asking(error):
                raise
            failure = error
        if failure is not None:  # some of it may have come, or all
            self._unanswered = part.last
            progress = yield from self._ask(state)
        yield from self._take(progress, part.end)
        return failure

    def _ask(self, state: State) -> Exchange[Progress]:
        progress = yield from vouched(self._upload, self._requests.status(state))
        if progress is None:
            raise gone()
        return progress

    def _take(self, progress: Progress, most: int) -> Exchange[None]:
        """Go on from where the service is.

        Raises:
            IntegrityError: When it has more than was sent.
        """
        if not 0 <= progress.offset <= most:
            message = (
                f"the service says that it has {progress.offset} bytes of the upload, and at most "
                f"{most} were sent"
            )
            raise IntegrityError(message, hint="did somebody else write to it? store it again")
        changed = progress.state != self._state
        self._state, self._offset = progress.state, progress.offset
        if changed:
            yield from self._keep()

    def _finish(self, state: State) -> Exchange[T]:
        return (yield from self._requests.finish(state))


def _is_worth_asking(error: TransportError | ResponseError) -> bool:
    if isinstance(error, ObjectNotFoundError):  # by whatever status the service tells it
        return False
    return error.retryable or (isinstance(error, ResponseError) and error.status in _WORTH_ASKING)


def _stuck(offset: int) -> UnexpectedAnswerError:
    message = f"the service takes no more of the upload than {offset} bytes"
    return UnexpectedAnswerError(message, hint="is there room for it? try again later")
