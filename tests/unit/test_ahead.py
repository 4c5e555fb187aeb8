"""Reading on in a thread: the same chunks, the same errors, and no thread left behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from webhook_storage.upload.ahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = [bytes([number % 256]) * 3 for number in range(1000)]


@pytest.mark.parametrize(
    "chunks", [[], [b""], [b"a", b"b"], MANY], ids=["no", "empty", "two", "many"]
)
def test_the_same_chunks_come(chunks: list[bytes]) -> None:
    """In their order, however many are read before they are wanted."""
    with read_ahead(iter(chunks)) as ahead:
        assert chunks == list(ahead)


def test_an_error_comes_where_it_was() -> None:
    """What was read before it is there."""

    def broken() -> Iterator[bytes]:
        yield from MANY[:20]
        raise OSError(5, "input/output error")

    taken: list[bytes] = []
    with pytest.raises(OSError, match="input/output"), read_ahead(broken()) as ahead:
        taken.extend(ahead)
    assert MANY[:20] == taken


@pytest.mark.parametrize("count", [0, 1, 500])
def test_who_stops_early_leaves_no_thread(count: int) -> None:
    """The thread ends with the block, and no more is read than is kept."""
    before, read = threading.active_count(), []

    def counted() -> Iterator[bytes]:
        for chunk in MANY:
            read.append(chunk)
            yield chunk

    with read_ahead(counted()) as ahead:
        for _ in range(count):
            next(ahead)
    assert before == threading.active_count()
    assert len(read) < len(MANY)


def test_it_reads_while_others_work() -> None:
    """The second chunk is read before the first has been worked on."""
    second = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"first"
        second.set()
        yield b"second"

    with read_ahead(chunks()) as ahead:
        assert b"first" == next(ahead)
        assert second.wait(30)
        assert b"second" == next(ahead)
