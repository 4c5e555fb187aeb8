"""What several tests of the sending half need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sending.raw import RawServer, always, reply

if TYPE_CHECKING:
    from collections.abc import Iterator


BODY = bytes(range(256)) * 16


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A server to which everything is fine."""
    with RawServer(always(reply("200 OK", BODY))).serving() as server:
        yield server
