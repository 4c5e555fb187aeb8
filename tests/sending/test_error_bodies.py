"""What an error shows of the answer's body, and what it does not."""

from __future__ import annotations

import gzip
from functools import partial

import pytest

from tests.sending.raw import RawServer, always, reply
from tests.sending.support import ALL_MODES, HTTPX, Mode, caught, plain

modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)


TOKEN = "s3cret-token/with+signs"


def told(mode: Mode, body: bytes, token: str = TOKEN, **headers: str) -> str:
    """Return the error for a body, of a request with a token."""
    answer = always(reply("400 Bad", body, **headers))
    with RawServer(answer).serving() as server, mode.sending({"TOKEN": token}):
        storage = plain(server.url, headers={"X": "${TOKEN|base64}"})
        return str(caught(partial(mode.call, storage, "get", "k"))).partition("400 Bad Request")[2]


@modes
def test_body_of_an_error(mode: Mode) -> None:
    """It is shown up to 512 characters, without control characters and without secrets."""
    assert ": no such bucket" == told(mode, b"no such bucket")
    assert ":  [31mred" == told(mode, b"\x1b[31mred").replace(": [", ":  [")
    assert 514 == len(told(mode, b"x" * 100_000))
    assert ": token=****" == told(mode, f"token={TOKEN}".encode())


@modes
@pytest.mark.parametrize(
    "body",
    [
        b"<html>page</html>",
        "täglich".encode("utf-16"),
        TOKEN.encode("utf-16-le"),
        b"",
        b" \n ",
    ],
)
def test_body_that_is_not_shown(mode: Mode, body: bytes) -> None:
    """A page, another encoding and nothing are not shown."""
    assert "" == told(mode, body, Content_Type="text/html" if body[:1] == b"<" else "text/plain")


def test_compressed_body_is_not_shown() -> None:
    """Nor is what is compressed."""
    assert "" == told(HTTPX, gzip.compress(b"x"), Content_Encoding="gzip")


def test_secret_at_the_end_of_what_is_read() -> None:
    """A long secret, repeated until the reading ends within it, is shown in no part."""
    token = "".join(f"{number:05}" for number in range(1600))
    assert "" == told(HTTPX, token.encode() * 10, token)


@pytest.mark.parametrize(
    "token", ["tab\there-and-there", "line\nanother-line\nthird-one", "a\u00a0b\u200bc\u00add"]
)
def test_secret_with_unprintable_characters(token: str) -> None:
    """A secret is recognized before its control characters are taken out."""
    shown = told(HTTPX, f"<{token}>".encode(), token)
    assert ": <****>" == shown
