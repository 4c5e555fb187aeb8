"""What may leave the choke point: errors without a trace of what was inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook_storage.errors import UnexpectedError, WebhookStorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook_storage.secret import Redactor


def presentable(error: BaseException) -> BaseException:
    """Return an exception to raise in place of one that was caught inside.

    An error of ours, an interruption and a cancellation lose their traceback, cause, context and
    notes; of the last two the text is none of ours and goes as well, where others can do without.
    Anything else is told by its type and place only.
    """
    while isinstance(error, BaseExceptionGroup):
        members: Sequence[BaseException] = error.exceptions
        error = next((one for one in members if not isinstance(one, Exception)), members[0])
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt()
    if isinstance(error, SystemExit):
        return SystemExit(error.code if isinstance(error.code, int) else 1)
    if isinstance(error, WebhookStorageError) or not isinstance(error, Exception):
        error.__cause__ = error.__context__ = None
        vars(error).pop("__notes__", None)
        return error.with_traceback(None)
    return UnexpectedError(
        f"{type(error).__name__} in {_origin(error)}",
        hint="this is a fault of the library or of a plug-in; please report the line above",
    )


def _origin(error: BaseException) -> str:
    """Return module, function and line where an exception was raised."""
    traceback, where = error.__traceback__, "an unknown place"
    while traceback is not None:
        frame = traceback.tb_frame
        where = (
            f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}, line {traceback.tb_lineno}"
        )
        traceback = traceback.tb_next
    return where


def mask(error: WebhookStorageError, redactor: Redactor) -> None:
    """Take secrets out of an error from a transport or an exchange of somebody else's."""
    error.args = tuple(redactor.redact(str(part)) for part in error.args)
    error.hint = error.hint and redactor.redact(error.hint)
