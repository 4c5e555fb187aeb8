"""The configuration of a process: a file, and what the environment says over it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.kit import joined, parts, refusals
from webhook_storage import config

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = (
    joined(
        '[secrets]\nchain = ["env", "mapping"]\nttl = 30\nallow = ["FILES_*"]\n'
        'on_forbidden = "next"\n[secrets.hosts]\n"A*" = ["*.h.test:443"]\n'
        '[secrets."directory://x"]\npath = "/nowhere"\n',
        "SECRETS__TTL",
        "5",
    ),
    joined(
        "[retry]\nattempts = 3\ninitial_delay = 0.5\nmax_delay = 1e1\ndeadline = 60\n",
        "RETRY__ATTEMPTS",
        "2",
    ),
    joined(
        '[secrets]\nchain = ["dotenv"]\n[secrets.dotenv]\npath = "x"\n',
        "SECRETS__DOTENV__PATH",
        "/nowhere/.env",
    ),
    joined("", "SECRETS__CHAIN", "env, dotenv"),
    joined("", "SECRETS__DIRECTORY__PROD__PATH", "[1, {a = 1979-05-27}]"),
    joined("a = [1_0, 0xff, 1979-05-27T07:32:00Z, '''x''', {b.c = inf}]", "", ""),
)
WORDS = (
    b"[secrets]", b"[retry]", b"[secrets.hosts]", b'[secrets."env://a"]', b"chain = ", b"ttl = ",
    b"attempts = ", b"allow = ", b"nan", b"inf", b"-1", b"9" * 400, b"9" * 4400, b"0x", b"1e400",
    b"1979-05-27", b"[", b"{", b"}", b"'''", b'"""', b"\\ud800", b"\xff", b"\x00", b" = ", b".",
    b"SECRETS__", b"RETRY__", b"__",
)  # fmt: skip


def target(data: bytes) -> None:
    """Load a file as it is, then with a setting over it, and make the resolvers that it names."""
    raw, variable, value = parts(data, 3)
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(raw)
        file.flush()
        with refusals():
            config.load(Path(file.name)).resolution().close()
    with refusals(), _set(f"{config.PREFIX}{variable.decode('latin-1')}", value):
        config.load()


@contextlib.contextmanager
def _set(variable: str, value: bytes) -> Iterator[None]:
    """Set an environment variable, if there can be such a one."""
    settable = b"\0" not in value and not set(variable) & {"\0", "="}
    before = dict(os.environ)
    if settable and variable != config.VARIABLE:
        os.environb[variable.encode("latin-1")] = value
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
