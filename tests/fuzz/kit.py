"""What all targets share: what may be raised, how input is taken apart, how memory is measured."""

from __future__ import annotations

import contextlib
import tracemalloc
import warnings
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import Transport, WireRequest
from webhook_storage.errors import ProtocolError, UnexpectedError, WebhookStorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

SEPARATOR = b"\x1e"
"""Stands between the parts of an input."""

BYTES_PER_BYTE = 512
"""Most memory that a byte of input may take; the byte of a pickle that makes a set takes 300."""

BYTES_ALWAYS = 2 * 1024 * 1024
"""Memory that any input may take: kept plans, compiled expressions, what is imported late."""


class MemoryLimitError(AssertionError):
    """A parser took more memory than its input explains."""


@contextlib.contextmanager
def refusals() -> Iterator[list[WebhookStorageError]]:
    """Let our errors pass and nothing else; `UnexpectedError` is what its name says.

    Given is a list, in which the error stands afterwards.
    """
    refused: list[WebhookStorageError] = []
    with warnings.catch_warnings():
        # Definitions are linted, and expressions may use a spelling of an older Python.
        warnings.simplefilter("ignore")
        try:
            yield refused
        except UnexpectedError:
            raise
        except WebhookStorageError as error:
            refused.append(error)


def parts(data: bytes, count: int) -> list[bytes]:
    """Return the parts of an input; what is not there is empty."""
    found = data.split(SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


def texts(data: bytes, count: int) -> list[str]:
    """Return the parts of an input as text, in which lone surrogates are possible."""
    return [part.decode("utf-8", "surrogateescape") for part in parts(data, count)]


def joined(*items: bytes | str) -> bytes:
    """Return an input of parts."""
    return SEPARATOR.join(
        item if isinstance(item, bytes) else item.encode("utf-8", "surrogateescape")
        for item in items
    )


def measure(target: Callable[[bytes], None], data: bytes, *, always: int = BYTES_ALWAYS) -> None:
    """Run a target and look at its memory.

    Args:
        target: What to run.
        data: Its input.
        always: Bytes that any input may take.

    Raises:
        MemoryLimitError: When it took more than the input explains.
    """
    tracemalloc.start()
    try:
        target(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    allowed = always + BYTES_PER_BYTE * len(data)
    if peak > allowed:
        message = f"{len(data)} bytes of input took {peak} bytes of memory, allowed are {allowed}"
        raise MemoryLimitError(message)


class Answer:
    """An answer without a server, as a transport gives it; a broken one ends in an error.

    Args:
        raw: The status, one ``name: value`` a line, an empty line, the body. Without the empty line
            the connection broke before the body was there.
    """

    def __init__(self, raw: bytes) -> None:
        """Take the answer apart."""
        head, self._whole, self._body = raw.partition(b"\n\n")
        status, *lines = head.decode("latin-1").split("\n")
        self.status = (
            int(status) if status.isascii() and status.isdigit() and status[3:] == "" else 200
        )
        pairs = (line.partition(":") for line in lines)
        # As the transports do it: names in lower case, values without blanks around them.
        self.headers: Sequence[tuple[str, str]] = [
            (name.lower(), value.strip(" \t")) for name, _, value in pairs
        ]

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in two pieces."""
        middle = len(self._body) // 2
        yield self._body[:middle]
        if not self._whole:
            raise ProtocolError("the answer broke off")
        yield self._body[middle:]

    def close(self) -> None:
        """Do nothing, there is no connection."""


class Canned(Transport):
    """Gives the same answers again and again, whatever is asked.

    Args:
        answers: As `Answer` takes them; each is given once, and the last one to all who come later.
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})

    def __init__(self, answers: Sequence[bytes]) -> None:
        """Keep the answers."""
        self._answers = list(answers)

    def send(self, request: WireRequest) -> Answer:
        """Take the whole body of the request, and answer."""
        if request.body is not None:
            for _ in request.body.chunks():
                pass
        return Answer(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])

    async def asend(self, request: WireRequest) -> _AsyncAnswer:
        """Do the same in an event loop."""
        return _AsyncAnswer(self.send(request))


class _AsyncAnswer:
    """An answer in an event loop."""

    def __init__(self, answer: Answer) -> None:
        self.status, self.headers = answer.status, answer.headers
        self._answer = answer

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        for chunk in self._answer.chunks():
            yield chunk

    async def aclose(self) -> None:
        """Do nothing, there is no connection."""
