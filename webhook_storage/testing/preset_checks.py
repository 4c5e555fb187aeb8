"""What the checks of presets are made of: promises, and errors in words."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from webhook_storage.errors import WebhookStorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from webhook_storage.testing.preset_case import PresetCase

T = TypeVar("T")


def hold(kept: object, promise: str, instead: str = "") -> None:
    """Raise when a promise is not kept.

    Args:
        kept: Whether it is.
        promise: What is true of a good preset.
        instead: What came.

    Raises:
        AssertionError: It is not kept.
    """
    __tracebackhide__ = True
    if not kept:
        message = f"a preset's promise is broken: {promise}{instead and f'; {instead}'}"
        raise AssertionError(message)


def caught(action: Callable[[], object]) -> WebhookStorageError | None:
    """Return the error that an action ends with, None when it does not."""
    try:
        action()
    except WebhookStorageError as error:
        return error
    return None


def hold_raised(
    case: PresetCase,
    action: Callable[[], object],
    kinds: type[WebhookStorageError] | tuple[type[WebhookStorageError], ...],
    promise: str,
) -> None:
    """Raise when an action does not end with an error of these kinds, in one line."""
    __tracebackhide__ = True
    error = caught(action)
    hold(isinstance(error, kinds), promise, case.said(error))
    hold("\n" not in str(error), "an error is one line", case.said(error))


def at_once(actions: Sequence[Callable[[], T]]) -> list[T | WebhookStorageError]:
    """Carry actions out in threads that start together; return results and errors in order."""
    start = threading.Barrier(len(actions))

    def act(action: Callable[[], T]) -> T | WebhookStorageError:
        start.wait()
        try:
            return action()
        except WebhookStorageError as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


def digest(data: bytes) -> str:
    """Return the SHA-256 in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def different_bytes(size: int) -> bytes:
    """Return so many bytes, of which no part is like another."""
    return hashlib.shake_128(str(size).encode()).digest(size)
