"""Answers that are no service's own: of a proxy in between, a log-in page, a mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook_storage.errors import UnexpectedAnswerError

if TYPE_CHECKING:
    from webhook_storage.contracts import Request, Response


def unexpected(
    request: Request, response: Response, what: str, *, hint: str
) -> UnexpectedAnswerError:
    """Return the error for a success that is none of the service's.

    Args:
        request: What was asked.
        response: What came.
        what: What is wrong with it, behind "answered 200".
        hint: Who may have answered.
    """
    return UnexpectedAnswerError(
        f"{request.method} {request.url} answered {response.status} {what}",
        status=response.status,
        attempts=response.attempts,
        hint=hint,
    )


def unechoed(request: Request, response: Response, texts: list[str], *, hint: str) -> list[str]:
    """Return texts of an answer that may be handed out.

    Args:
        request: What was asked.
        response: What came.
        texts: What of it is to be handed out.
        hint: Who may have answered.

    Raises:
        UnexpectedAnswerError: When a secret of the request is in one of them.
    """
    if response.echoes is not None and response.echoes("\n".join(texts)):
        raise unexpected(request, response, "with a secret of the request in it", hint=hint)
    return texts
