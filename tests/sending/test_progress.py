"""How much was sent so far, for those who watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sending.raw import RawServer, always, reply
from tests.sending.support import ALL_MODES, Mode, plain

if TYPE_CHECKING:
    from tests.sending.raw import Call

SIZE = 3_000_000
modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)


@modes
def test_it_grows_until_all_is_sent(mode: Mode) -> None:
    """Each piece is told, and the last number is that of all bytes."""
    told: list[int] = []
    with RawServer(always(reply())).serving() as server, mode.sending():
        mode.call(plain(server.url), "put", bytes(SIZE), "a", progress=told.append)
    assert (sorted(told), SIZE) == (told, told[-1])
    assert len(told) > 2


@modes
def test_what_was_lost_is_taken_back(mode: Mode) -> None:
    """An attempt that failed counts no longer when the next one begins."""
    told: list[int] = []
    answers = [reply("503 Service Unavailable"), reply()]

    def answer(_call: Call) -> bytes:
        return answers.pop(0)

    with RawServer(answer).serving() as server, mode.sending(attempts=2):
        mode.call(plain(server.url), "put", bytes(SIZE), "a", progress=told.append)
    again = told.index(0)
    assert (SIZE, SIZE) == (told[again - 1], told[-1])
    assert sorted(told[:again]) == told[:again]


@modes
def test_nothing_to_send_is_no_progress(mode: Mode) -> None:
    """An empty artifact has no piece."""
    told: list[int] = []
    with RawServer(always(reply())).serving() as server, mode.sending():
        mode.call(plain(server.url), "put", b"", "a", progress=told.append)
    assert [] == told
