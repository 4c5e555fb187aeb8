"""What can be done to a value before it is put into its place."""

from __future__ import annotations

import contextlib
from urllib.parse import unquote

from tests.fuzz.kit import texts
from webhook_storage.filters import FILTERS

SEEDS = (b"user:pass word", b"YS9i", b"a/../b", b"%252e%252e/x", "ü€".encode(), b"<a b='c'>\r\n")
WORDS = (b"%25", b"2e", b"..", b"\\", b";", b"=", b"-_", b"\xff", b"\x00", b"\xed\xa0\x80", b"\n")


def target(data: bytes) -> None:
    """Give a text to each filter: it returns text, or refuses with a `ValueError`."""
    (text,) = texts(data, 1)
    for name, change in FILTERS.items():
        with contextlib.suppress(ValueError):
            changed = change(text)
            assert isinstance(changed, str)
            assert name != "path" or unquote(changed) == text
