"""One upload on its way: what parts by number and parts by offset have in common."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar

from webhook_storage.contracts import Exchange, Work
from webhook_storage.errors import (
    ConfigurationError,
    IntegrityError,
    ObjectNotFoundError,
    WebhookStorageError,
)
from webhook_storage.upload.answers import vouched

if TYPE_CHECKING:
    from webhook_storage.contracts import Checkpoint
    from webhook_storage.upload.description import State, Upload
    from webhook_storage.upload.parts import Parts

T = TypeVar("T")

log = logging.getLogger("webhook_storage")

_SHOWN = 200
"""Most characters of an upload's id that are shown."""

_MOST_DIGITS = 9
_GO_ON = "what was sent is kept; store the same again with the same checkpoint to go on"


class Run(ABC, Generic[T]):
    """An upload, with what is known of it so far.

    Args:
        upload: Its requests.
        parts: What it sends.
        checkpoint: Where to keep how far it has come, None for nowhere.
    """

    def __init__(self, upload: Upload[T], parts: Parts, checkpoint: Checkpoint | None) -> None:
        """Know of no upload."""
        self._upload = upload
        self._parts = parts
        self._checkpoint = checkpoint
        self._saving = threading.Lock()
        self._kept = False
        self._forget()

    def _forget(self) -> None:
        self._state: State | None = None
        self._tags: dict[int, str] = {}
        self._finishing = False
        self._resumed = False
        self._unanswered = False

    @abstractmethod
    def _rejoin(self, state: State) -> Exchange[None]:
        """Ask the service what it has of an upload that another process began."""

    @abstractmethod
    def _send(self, state: State) -> Exchange[State]:
        """Send what is missing, and return the state after that."""

    @abstractmethod
    def _finish(self, state: State) -> Exchange[T]:
        """Send the last request."""

    def carry_out(self) -> Exchange[T]:
        """Upload, or say what is left at the service."""
        try:
            return (yield from self._upload_or_renew())
        except GeneratorExit:  # an interruption: nobody can be asked any more
            self._tell("was interrupted")
            raise
        except Exception as error:
            yield from self._give_up(error)
            raise

    def _upload_or_renew(self) -> Exchange[T]:
        """Upload; an upload that the service has forgotten is begun anew, once."""
        self._restore()
        renewed = False
        while True:
            try:
                return (yield from self._upload_all())
            except ObjectNotFoundError as error:
                if self._state is None or renewed:
                    raise
                again = self._resumed or error.attempts > 1
                maybe_done = self._unanswered or (self._finishing and again)
            if maybe_done:
                found = yield from self._upload.stored()
                if found is not None:
                    yield from self._end()
                    return found
            renewed = True
            self._forget()

    def _upload_all(self) -> Exchange[T]:
        if self._state is None:
            self._state = yield from vouched(self._upload, self._upload.begin())
            yield from self._keep()
        else:
            yield from self._rejoin(self._state)
        state = yield from self._send(self._state)
        self._finishing = True
        yield from self._keep()
        result = yield from self._finish(state)
        yield from self._end()
        return result

    def _end(self) -> Exchange[None]:
        """Forget the upload, which is an artifact now."""
        self._state = None
        if self._checkpoint is not None:
            yield Work(self._checkpoint.clear)

    # --- the checkpoint ---------------------------------------------------------------------------

    def _restore(self) -> None:
        """Take up what an earlier process has left.

        Raises:
            ConfigurationError: When this upload cannot go on with it.
        """
        saved = None if self._checkpoint is None else self._checkpoint.state
        if saved is None:
            return
        state, tags = saved.get("upload"), saved.get("tags")
        if not (
            _are_texts(state)
            and _are_tags(tags, len(self._parts))
            and saved.get("part_size") == self._parts.part_size
            and self._upload.accepts(state)
        ):
            message = "the checkpoint holds nothing that this upload can go on with"
            raise ConfigurationError(message, hint="remove it to begin anew")
        self._state = state
        self._tags = {int(number): tag for number, tag in tags.items()}
        self._finishing = saved.get("finishing") is True
        self._resumed = self._kept = True

    def _keep(self) -> Exchange[None]:
        """Keep how far it has come, where that is wanted."""
        if self._checkpoint is not None:
            yield Work(partial(self._save, self._checkpoint))
            self._kept = True

    def _save(self, checkpoint: Checkpoint) -> None:
        with self._saving:  # or an older state would be written over a newer one
            checkpoint.save(
                {
                    "part_size": self._parts.part_size,
                    "upload": dict(self._state or {}),
                    "tags": {str(number): tag for number, tag in dict(self._tags).items()},
                    "finishing": self._finishing,
                }
            )

    # --- when it fails ----------------------------------------------------------------------------

    def _give_up(self, error: Exception) -> Exchange[None]:
        """Abort what nobody will go on with, and say what is left."""
        if self._state is None:
            return
        if self._kept and not isinstance(error, IntegrityError):
            _advise(error, _GO_ON)
            return
        self._kept = False
        try:
            aborted = yield from self._abort(self._state)
        except GeneratorExit:
            self._tell("was interrupted")
            raise
        except Exception:  # noqa: BLE001 - why the upload failed is what counts
            aborted = False
        if not aborted and not isinstance(error, ObjectNotFoundError):
            _advise(error, self._tell("failed and was not aborted"))

    def _abort(self, state: State) -> Exchange[bool]:
        try:
            aborted = yield from self._upload.abort(state)
        except ObjectNotFoundError:
            aborted = True  # it is gone already
        if self._checkpoint is not None:
            yield Work(self._checkpoint.clear)
        return aborted

    def _tell(self, what: str) -> str:
        """Log what became of the upload, and return what is left of it at the service."""
        if self._state is None:
            return ""
        name = None if self._kept else self._upload.public_id(self._state)
        shown = "".join(char for char in name or "" if char.isprintable())[:_SHOWN]
        upload = f"upload {shown!r}" if shown else "an upload in parts"
        left = _GO_ON if self._kept else f"left at the service: {upload}; {self._upload.leftover}"
        fields = {"upload": shown or None}
        log.warning("an upload in parts %s; %s", what, left, extra={"webhook_storage": fields})
        return left


def _are_texts(found: Any) -> TypeGuard[dict[str, str]]:
    return isinstance(found, dict) and all(isinstance(text, str) for text in found.values())


def _are_tags(found: Any, count: int) -> TypeGuard[dict[str, str]]:
    return _are_texts(found) and all(_is_number(text, count) for text in found)


def _is_number(text: str, count: int) -> bool:
    digits = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return digits and 1 <= int(text) <= count


def _advise(error: Exception, advice: str) -> None:
    """Add to what an error says to do next."""
    if isinstance(error, WebhookStorageError):
        error.hint = f"{error.hint}; {advice}" if error.hint else advice
