from __future__ import annotations

import base64
import contextlib
import hashlib
from typing import TYPE_CHECKING

import pytest

from webhook_storage.artifact import MemorySink
from webhook_storage.download import DamagedError, Download
from webhook_storage.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY = bytes(range(256))
HALF = 100
ORIGIN = "https://files.example.com"
NOW = "Sat, 01 Mar 2025 12:00:00 GMT"
BEFORE = "Sat, 01 Mar 2025 11:59:00 GMT"
JUST_NOW = "Sat, 01 Mar 2025 11:59:01 GMT"
TAG = '"v1"'
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()


def begun(headers: Mapping[str, str], *, whole: bool = True) -> tuple[Download, MemorySink]:
    """Return a download of which the beginning has come, and its sink."""
    sink = MemorySink()
    download = Download(sink)
    download.begin(ORIGIN, headers, whole=whole)
    download.write(BODY[:HALF])
    return download, sink


def rest(
    start: int = HALF, end: int = 255, total: int | str = 256, **headers: str
) -> dict[str, str]:
    """Return the headers of an answer with a part."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"content-range": f"bytes {start}-{end}/{total}", "etag": TAG, **named}


# --- what is asked for ----------------------------------------------------------------------------


def test_nothing_has_come_yet() -> None:
    """The first attempt asks for all."""
    download = Download(MemorySink())
    assert [] == download.range_headers(ORIGIN)
    assert (0, hashlib.sha256().hexdigest()) == (download.position, download.sha256)


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": TAG}, TAG),
        ({"etag": '""'}, '""'),
        ({"etag": TAG, "last-modified": BEFORE, "date": NOW}, TAG),
        ({"last-modified": BEFORE, "date": NOW}, BEFORE),
        ({"etag": 'W/"v1"', "last-modified": BEFORE, "date": NOW}, None),
        ({"etag": "v1"}, None),
        ({"etag": '"a", "b"'}, None),
        ({"etag": '"ä"'}, None),
        ({"last-modified": JUST_NOW, "date": NOW}, None),
        ({"last-modified": NOW, "date": BEFORE}, None),
        ({"last-modified": BEFORE}, None),
        ({"last-modified": BEFORE, "date": "today"}, None),
        ({"last-modified": "yesterday", "date": NOW}, None),
        ({"last-modified": "Sat, 01 Mar 2025\r\n 11:59:00 GMT", "date": NOW}, None),
        ({"last-modified": "Sat, 01 Mar 2025 11:59:00 +0000", "date": NOW}, None),
        ({"last-modified": "Sat, 99 Mar 2025 11:59:00 GMT", "date": NOW}, None),
        ({"last-modified": "Saturday, 01-Mar-25 11:59:00 GMT", "date": NOW}, None),
        ({}, None),
    ],
)
def test_the_rest_is_asked_for_by_a_strong_validator(
    headers: dict[str, str], validator: str | None
) -> None:
    """A weak tag, a time that may be older than the last change, and what is neither, are none."""
    download, _ = begun(headers)
    expected = [] if validator is None else [("Range", "bytes=100-"), ("If-Range", validator)]
    assert expected == download.range_headers(ORIGIN)


@pytest.mark.parametrize(
    "origin", ["https://other.example.com", "http://files.example.com", f"{ORIGIN}:444", ""]
)
def test_another_server_is_not_told(origin: str) -> None:
    """What one server said says nothing to another."""
    download, _ = begun({"etag": TAG})
    assert [] == download.range_headers(origin)


def test_of_a_part_the_rest_is_not_asked_for() -> None:
    """Who wanted a part gets it anew, in whole."""
    download, _ = begun({"etag": TAG, "content-length": "256"}, whole=False)
    assert [] == download.range_headers(ORIGIN)
    download.finish()


def test_after_forgetting_all_is_asked_for() -> None:
    """A download that begins anew says nothing of what has come."""
    download, _ = begun({"etag": TAG})
    download.forget()
    assert [] == download.range_headers(ORIGIN)


# --- what comes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ({"etag": TAG, "content-length": "256"}, rest()),
        ({"etag": TAG, "content-length": "0256"}, rest()),
        ({"etag": TAG}, rest()),
        ({"etag": TAG, "content-length": "256"}, rest(total="*")),
        ({"last-modified": BEFORE, "date": NOW}, rest(last_modified=BEFORE)),
    ],
)
def test_the_rest_is_taken(headers: dict[str, str], more: dict[str, str]) -> None:
    """The part that was asked for goes on where the last one ended; the digest is of both."""
    download, sink = begun(headers)
    download.go_on(more)
    download.write(BODY[HALF:])
    download.finish()
    assert (BODY, 256) == (sink.getvalue(), download.position)
    assert hashlib.sha256(BODY).hexdigest() == download.sha256


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ({"etag": TAG, "content-length": "256"}, {"etag": TAG}),
        ({"etag": TAG, "content-length": "256"}, rest(start=99)),
        ({"etag": TAG, "content-length": "256"}, rest(start=0)),
        ({"etag": TAG, "content-length": "256"}, rest(total=257)),
        ({"etag": TAG}, rest(total="*")),
        ({"etag": TAG, "content-length": "9" * 19}, rest(total="*")),
        ({"etag": TAG}, {"content-range": "bytes 100-255/" + "9" * 19}),
        ({"etag": TAG}, {"content-range": "items 100-255/256"}),
        ({"etag": TAG}, {"content-range": "bytes */256"}),
        ({"etag": TAG}, {"content-range": "bytes 100-255/256"}),
        ({"etag": TAG}, rest(etag='"v2"')),
        ({"etag": TAG}, rest(etag='W/"v1"')),
        ({"last-modified": BEFORE, "date": NOW}, rest(last_modified=JUST_NOW)),
        ({"last-modified": BEFORE, "date": NOW}, rest()),
    ],
)
def test_another_part_is_refused(headers: dict[str, str], more: dict[str, str]) -> None:
    """Nothing of it is taken, and the next attempt begins anew."""
    download, sink = begun(headers)
    with pytest.raises(ProtocolError, match="another part"):
        download.go_on(more)
    assert BODY[:HALF] == sink.getvalue()
    assert [] == download.range_headers(ORIGIN)


def test_a_part_of_the_rest_is_not_the_rest() -> None:
    """A server may send less than was asked for, and is asked for what is missing."""
    download, sink = begun({"etag": TAG})
    download.go_on(rest(end=199))
    download.write(BODY[HALF:200])
    with pytest.raises(ProtocolError, match="broke off: 200 of 256 bytes"):
        download.finish()
    assert [("Range", "bytes=200-"), ("If-Range", TAG)] == download.range_headers(ORIGIN)
    download.go_on(rest(start=200))
    download.write(BODY[200:])
    download.finish()
    assert BODY == sink.getvalue()


def test_a_new_answer_begins_anew() -> None:
    """What came before is dropped, with its digest and its version."""
    download, sink = begun({"etag": TAG, "content-length": "999", "x-checksum-md5": "00" * 16})
    download.begin(ORIGIN, {"etag": '"v2"'}, whole=True)
    download.write(BODY[:10])
    assert (BODY[:10], 10) == (sink.getvalue(), download.position)
    assert hashlib.sha256(BODY[:10]).hexdigest() == download.sha256
    assert [("Range", "bytes=10-"), ("If-Range", '"v2"')] == download.range_headers(ORIGIN)
    download.finish()


def test_progress_is_what_never_came_before() -> None:
    """Only a quarter of a MiB beyond the farthest point so far counts."""
    download = Download(MemorySink())
    seen = []
    for size in (256 * 1024 - 1, 256 * 1024, 400 * 1024, 512 * 1024 - 1, 512 * 1024):
        download.begin(ORIGIN, {}, whole=True)
        download.write(bytes(size))
        seen.append(download.advanced())
    assert [False, True, False, False, True] == seen


# --- checksums ------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [MD5, "00" * 16])
def test_all_that_came_is_compared(digest: str) -> None:
    """The checksum of the first answer is that of all attempts together; a wrong one is damage."""
    download, _ = begun({"etag": TAG, "x-checksum-md5": digest})
    download.go_on(rest())
    download.write(BODY[HALF:])
    if digest == MD5:
        download.finish()
        assert [("Range", "bytes=256-"), ("If-Range", TAG)] == download.range_headers(ORIGIN)
    else:
        with pytest.raises(DamagedError, match="not what its header X-Checksum-Md5 says"):
            download.finish()
        assert [] == download.range_headers(ORIGIN)


def digest_of(content: bytes) -> str:
    """Return the value of a Repr-Digest."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


@pytest.mark.parametrize(
    ("said", "sound"),
    [
        (digest_of(BODY), True),
        (digest_of(BODY[HALF:]), False),
        (f"sha-512=:{'A' * 86}==:", True),  # which was not taken of the beginning
        ("", True),
    ],
)
def test_the_rest_may_speak_of_the_whole(said: str, *, sound: bool) -> None:
    """A digest of the representation that comes with a part is compared with all of it."""
    download, _ = begun({"etag": TAG})
    download.go_on(rest(repr_digest=said))
    download.write(BODY[HALF:])
    with contextlib.nullcontext() if sound else pytest.raises(DamagedError, match="Repr-Digest"):
        download.finish()
    assert sound == bool(download.range_headers(ORIGIN))


def test_of_a_part_no_checksum_is_compared() -> None:
    """What a header says of the whole says nothing of the part that was wanted."""
    download, _ = begun({"x-checksum-md5": "00" * 16}, whole=False)
    download.finish()
    assert HALF == download.position
