"""A file that says what a batch has done so far."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.fuzz.kit import refusals
from webhook_storage.journal import Journal

_WORK = ("put", {"type": "Webhook"})


def _written() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "journal")
        with Journal(path, *_WORK) as journal:
            journal.write("a", {"outcome": "stored", "receipt": {"size": 7}})
            journal.write("b", {"outcome": "failed"})
            journal.write("a", {"outcome": "skipped"})
        return path.read_bytes()


_GOOD = _written()
_HEAD = _GOOD.partition(b"\n")[0] + b"\n"

SEEDS = (
    _GOOD,
    _GOOD[:-5],
    _HEAD + b'{"key": 7}\n[]\nnull\n\n{"key": "\\ud800"}\n{"key": "a"',
    _HEAD.replace(b"put", b"get"),
    _HEAD[:-1],
    b"",
)
WORDS = (
    _HEAD, b"\n", b'{"key": "a"}', b'"key":', b"{", b"}", b"[", b"]", b"null", b"NaN", b"\\ud800",
    b"\xff", b"\x00", b"\r", b"1e999", b"9" * 25,
)  # fmt: skip


def target(data: bytes) -> None:
    """Open it: what is written then is found again, and nothing that was there is lost."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "journal")
        path.write_bytes(data)
        path.chmod(0o600)
        with refusals() as refused:
            with Journal(path, *_WORK) as journal:
                entry = journal.find("a")
                assert entry is None or entry["key"] == "a"
                journal.write("new", {"outcome": "stored"})
                assert journal.find("new") == {"key": "new", "outcome": "stored"}
            with Journal(path, *_WORK) as journal:
                # Not compared as values: NaN is in JSON, and not equal to itself.
                assert json.dumps(journal.find("a")) == json.dumps(entry)
                assert journal.find("new") == {"key": "new", "outcome": "stored"}
        assert path.read_bytes().startswith(data)
        assert not refused or path.read_bytes() == data
