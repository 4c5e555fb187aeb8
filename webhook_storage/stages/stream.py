"""Steps through which the pieces of an artifact go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from webhook_storage.errors import IntegrityError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.contracts import Body, Sink

E = TypeVar("E", bound=BaseException)

PIECE = 64 * 1024
"""Most bytes that a step is given at once, however large the chunks are that come."""


class Step(Protocol):
    """Takes pieces and gives what it makes of them to the next step."""

    def take(self, piece: bytes) -> None:
        """Take the next bytes, at most `PIECE` from outside."""

    def end(self) -> None:
        """Hand on what is left; there are no more bytes.

        Raises:
            IntegrityError: When something is missing.
        """


class Output:
    """The last step, which writes into a sink.

    Args:
        sink: Where the bytes go.
        limit: Most bytes that are written; None for no limit.
    """

    __slots__ = ("_left", "_limit", "_sink")

    def __init__(self, sink: Sink, limit: int | None) -> None:
        """Write nothing yet."""
        self._sink = sink
        self._limit = self._left = limit

    def take(self, piece: bytes) -> None:
        """Write the bytes.

        Raises:
            TooLargeError: When there are more than the limit; then none of them is written.
        """
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                message = f"the artifact is longer than {self._limit} bytes when it is decoded"
                raise TooLargeError(message, hint="raise max_bytes, or download to a file")
        if piece:
            self._sink.write(piece)

    def end(self) -> None:
        """Do nothing; the sink belongs to the caller."""


def pieces(chunk: bytes) -> Iterator[bytes]:
    """Yield the chunk in pieces of at most `PIECE` bytes."""
    if len(chunk) <= PIECE:
        yield chunk
        return
    view = memoryview(chunk)
    for start in range(0, len(chunk), PIECE):
        yield bytes(view[start : start + PIECE])


def exactly(body: Body) -> Iterator[bytes]:
    """Yield the pieces of a body.

    Raises:
        IntegrityError: When they are more or fewer bytes than it announces.
    """
    left = body.size
    for chunk in body.chunks():
        left -= len(chunk)
        if left < 0:
            break
        yield from pieces(chunk)
    if left:
        raise changed()


def changed() -> IntegrityError:
    """Return the error for a source that is no longer what it was."""
    return IntegrityError(
        "the source changed while it was stored", hint="store it again when nothing writes to it"
    )


def bare(error: E) -> E:
    """Return an error without the frames it came through, which hold parts of the artifact.

    It is raised again after the handling of the original has ended.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
