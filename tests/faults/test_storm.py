"""A thousand items at once, of which a server takes the last ones more slowly than they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.seen import Seen
from tests.sending.support import plain
from webhook_storage import RetryPolicy, Sender
from webhook_storage.bulk import get_many, put_many
from webhook_storage.transport.httpx import HttpxTransport

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import TakeRow
    from tests.fleet.nginx import Nginx

COUNT = 1000
KEYS = [f"{'rare' if number > 900 else 'often'}-{number:04}.bin" for number in range(COUNT)]
MOST = 12
"""Attempts of an item at most, as `put_many` has them by default."""


@pytest.mark.parametrize("direction", ["up", "down"])
def test_storm(nginx: Nginx, direction: str, tmp_path: Path, row: TakeRow) -> None:
    """All items come through, each whole, and the server is asked as fast as it bears."""
    stored = nginx.data / f"storm-{direction}"
    stored.mkdir()
    contents = {key: f"{direction} {key} ".encode() * 100 for key in KEYS}
    storage = plain(f"{nginx.limited_url}/{stored.name}")
    fetched = tmp_path / "fetched"
    with Sender(secrets=[], transport=HttpxTransport(), retry=RetryPolicy(max_delay=1)):
        if direction == "up":
            report = put_many(storage, contents, limit=COUNT)
        else:
            for key, content in contents.items():
                (stored / key).write_bytes(content)
            report = get_many(storage, KEYS, fetched, limit=COUNT)
    assert report.ok, report.failures[:3]
    there = stored if direction == "up" else fetched
    assert contents == {path.name: path.read_bytes() for path in there.iterdir()}
    attempts = [item.attempts for item in report.items]
    assert COUNT < sum(attempts)
    assert max(attempts) <= MOST
    outcome = "stored" if direction == "up" else "fetched"
    row(
        "429 storm: 1,000 items at once",
        direction,
        "nginx",
        Seen(outcome, f"at most {MOST}", "new"),
    )
