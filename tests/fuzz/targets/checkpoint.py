"""A file that says how far an upload has come."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.fuzz.kit import refusals
from webhook_storage.checkpoint import LIMIT, FileCheckpoint

_ABOUT = {"key": "a", "size": "7"}
ALWAYS = 2 * LIMIT
"""A buffer is there for the longest that is read."""

_GOOD = {
    "webhook_storage_checkpoint": 1,
    "about": _ABOUT,
    "state": {"upload": {"id": "1"}, "tags": {"1": "x"}, "size": 7},
}

SEEDS = (
    json.dumps(_GOOD).encode(),
    json.dumps(_GOOD | {"about": {"key": "b"}}).encode(),
    json.dumps(_GOOD | {"webhook_storage_checkpoint": 2}).encode(),
    json.dumps(_GOOD | {"state": {"a": [[[]]], "b": "é\ud800"}}).encode(),
    b"",
)
WORDS = (
    b"[", b"]", b"{", b"}", b":", b",", b'"about":', b'"state":', b'"webhook_storage_checkpoint":',
    b"null", b"NaN", b"1e999", b"true", b"9" * 25, b"\\ud800", b"\\u0000", b"\xff", b'"',
)  # fmt: skip


def target(data: bytes) -> None:
    """Open it: the state is that of this upload, or the file is refused and stays as it is."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "upload.json")
        path.touch(0o600)
        path.write_bytes(data)
        with refusals(), FileCheckpoint(path, _ABOUT) as checkpoint:
            assert isinstance(checkpoint.state, dict)
            checkpoint.save(checkpoint.state)
            state = checkpoint.state
            with refusals():
                checkpoint.close()
            with FileCheckpoint(path, _ABOUT) as again:
                # Not compared as values: NaN is in JSON, and not equal to itself.
                assert json.dumps(state) == json.dumps(again.state)
            return
        assert path.read_bytes() == data
