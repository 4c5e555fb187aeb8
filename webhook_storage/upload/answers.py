"""What a service answers to the requests of an upload, before it is believed or kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from webhook_storage.contracts import Response
from webhook_storage.errors import ObjectNotFoundError, UnexpectedAnswerError
from webhook_storage.upload.description import Progress, State, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook_storage.contracts import Exchange, Wish

R = TypeVar("R")
Vouched = TypeVar("Vouched", bound="State | Progress | None")

Echoes: TypeAlias = "list[Callable[[str], bool]]"
"""What tells whether a text holds a secret of a request, for each request."""


def vouched(upload: Upload[Any], exchange: Exchange[Vouched]) -> Exchange[Vouched]:
    """Return what an exchange says to go on by.

    Raises:
        UnexpectedAnswerError: When there is a secret in it, or the upload does not accept it.
    """
    echoes: Echoes = []
    found = yield from overheard(exchange, echoes)
    state = found.state if isinstance(found, Progress) else cast("State | None", found)
    if state is not None:
        check_echo(state.values(), echoes)
        if not upload.accepts(state):
            message = "the service answered with an upload that this storage cannot go on with"
            raise UnexpectedAnswerError(message, hint="is it this service, or a proxy in between?")
    return found


def overheard(exchange: Exchange[R], echoes: Echoes) -> Exchange[R]:
    """Return the result of an exchange, and keep what its answers know of secrets.

    It does as ``yield from`` does (PEP 380), and looks at what passes.
    """
    respond: Callable[[Any], Wish] = exchange.send
    answer: Any = None
    try:
        while True:
            wish = respond(answer)
            try:
                answer, respond = (yield wish), exchange.send
            except BaseException as error:  # noqa: BLE001 - the exchange decides
                answer, respond = error, exchange.throw
            if isinstance(answer, Response) and answer.echoes is not None:
                echoes.append(answer.echoes)
    except StopIteration as stop:
        return cast("R", stop.value)


def check_echo(texts: Iterable[str], echoes: Echoes) -> None:
    """Refuse what would be kept with a secret in it.

    Raises:
        UnexpectedAnswerError: When there is one.
    """
    if any(echo(text) for text in texts for echo in echoes):
        message = "the service answered with a secret of the request in what it calls the upload by"
        raise UnexpectedAnswerError(message, hint="it must not be kept; is it this service?")


def gone() -> ObjectNotFoundError:
    """Return the error for an upload that the service has forgotten."""
    message = "the service no longer has the upload"
    return ObjectNotFoundError(message, status=404, hint="store it again from the start")
