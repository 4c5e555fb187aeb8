"""Neither key nor plaintext is shown, whatever goes wrong."""

from __future__ import annotations

import base64
import gc
import hashlib
import hmac
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.leaks.channels import of_error, of_object, reachable
from tests.unit.stages_support import ChunkedBody, CountingSink, failure
from webhook_storage.artifact import BytesBody, MemorySink, PathBody
from webhook_storage.secret import SecretValue
from webhook_storage.stages import DecodingSink, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from webhook_storage.contracts import Body
    from webhook_storage.stages import Compression

KEY_TEXT = "CaNaRy7Qx9" + "zK" * 16 + "w="
MASTER = base64.b64decode(KEY_TEXT)
BAD_KEY_TEXT = "CaNaRy7Qx9 is a passphrase and no key"
KEYS = {"2026": SecretValue(KEY_TEXT)}
OTHER_KEYS = {"2026": SecretValue(KEY_TEXT[::-1].replace("=", "") + "=")}
BAD_KEYS = {"2026": SecretValue(BAD_KEY_TEXT)}
MARK = b"PlAiNtExT-of-the-artifact"
PLAIN = MARK * 8000
NOISE = MARK * 9 + hashlib.shake_128(b"noise").digest(9 * 1024 * 1024)


class BrokenSink(CountingSink):
    """A sink that cannot write."""

    def write(self, chunk: bytes) -> None:
        message = "no space left on device"
        raise OSError(message)


class ChainingSink(CountingSink):
    """A sink whose error leads to another one."""

    def write(self, chunk: bytes) -> None:
        try:
            BrokenSink().write(chunk)
        except OSError as error:
            message = "cannot write"
            raise ValueError(message) from error


class BrokenBody(ChunkedBody):
    """A body that breaks off after some of its bytes."""

    def chunks(self) -> Iterator[bytes]:
        yield from self.parts
        message = "the disk is gone"
        raise OSError(message)


def send(body: Body, compression: Compression | None = None, name: str = "report") -> bytes:
    """Encode with the key and return all."""
    return b"".join(encode(body, compression=compression, keys=KEYS, name=name).chunks())


ENCRYPTED = send(BytesBody(PLAIN))
PACKED = send(BytesBody(PLAIN), "gzip")


def take(stored: bytes, sink: CountingSink | None = None, **options: object) -> None:
    """Decode with the key into a sink."""
    given = {"encrypted": True, "compression": None, "keys": KEYS, "name": "report", **options}
    decoding = DecodingSink(sink or CountingSink(), **given)  # type: ignore[arg-type]
    decoding.write(stored)
    decoding.finish()


def change_and_send(path: Path) -> None:
    """Send a file, change it, and send it again."""
    path.write_bytes(PLAIN)
    body = encode(PathBody(path), compression=None, keys=KEYS, name="report")
    body.sha256()
    path.write_bytes(MARK.lower() * 8000)
    body.sha256()


def send_without_room(path: Path) -> None:
    """Compress what does not fit in memory while there is no directory for temporary files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(path))
        send(BytesBody(NOISE), "zstd")


FAILURES: dict[str, Callable[[Path], object]] = {
    "a key that is none": lambda _: encode(
        BytesBody(PLAIN), compression="gzip", keys=BAD_KEYS, name="report"
    ),
    "a key that is none, decoding": lambda _: take(ENCRYPTED, keys=BAD_KEYS),
    "another key": lambda _: take(ENCRYPTED, keys=OTHER_KEYS),
    "an unknown key": lambda _: take(ENCRYPTED, keys={"2027": KEYS["2026"]}),
    "another name": lambda _: take(ENCRYPTED, name="invoice"),
    "a name that is none": lambda _: take(ENCRYPTED, name=None),
    "encoding under a name that is none": lambda _: send(
        BytesBody(PLAIN),
        name=None,  # type: ignore[arg-type]
    ),
    "altered": lambda _: take(ENCRYPTED[:-20] + bytes(20)),
    "cut": lambda _: take(ENCRYPTED[:100_000]),
    "appended": lambda _: take(ENCRYPTED + b"more"),
    "not encrypted": lambda _: take(b"31 rows"),
    "over the limit": lambda _: take(ENCRYPTED, limit=100_000),
    "over the limit, compressed": lambda _: take(PACKED, limit=100_000),
    "a broken sink": lambda _: take(ENCRYPTED, BrokenSink()),
    "a broken sink, compressed": lambda _: take(PACKED, BrokenSink()),
    "decode": lambda _: decode(
        ENCRYPTED[:-1], encrypted=True, compression=None, keys=KEYS, name="report"
    ),
    "a broken sink with a reason": lambda _: take(ENCRYPTED, ChainingSink()),
    "a broken source": lambda _: send(BrokenBody([PLAIN])),
    "a broken source, compressed": lambda _: send(BrokenBody([PLAIN]), "gzip"),
    "a source of another size": lambda _: send(ChunkedBody([PLAIN], size=7)),
    "a source of another size, compressed": lambda _: send(ChunkedBody([PLAIN], size=7), "zstd"),
    "a source that changed": lambda path: change_and_send(path / "source"),
    "no room": lambda path: send_without_room(path / "gone"),
}


def derived(stored: bytes) -> bytes:
    """Return the key of the artifact itself, which must not be shown either."""
    header = stored[: 11 + 4 + 32]
    extracted = hmac.digest(header[-32:], MASTER, "sha256")
    return hmac.digest(extracted, b"webhook-storage encryption" + header + b"report\x01", "sha256")


def spellings() -> list[str]:
    """Return how keys and plaintext would look in a text."""
    found = [KEY_TEXT[:12], BAD_KEY_TEXT[:16], MARK.decode(), MARK.decode().lower()]
    for raw in (MASTER, derived(ENCRYPTED), derived(PACKED)):
        found += [raw.hex(), repr(raw)[2:-1], base64.b64encode(raw).decode()[:42]]
        found.append(raw.decode("latin-1"))
    return found


def leaks(shown: Iterator[tuple[str, str | bytes]]) -> list[str]:
    """Return the channels in which a key or plaintext stands."""
    looked_for = spellings()
    texts = (
        (name, text.decode("latin-1") if isinstance(text, bytes) else text) for name, text in shown
    )
    return [name for name, text in texts if any(each in text for each in looked_for)]


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_an_error_shows_nothing(fail: Callable[[Path], object], tmp_path: Path) -> None:
    """Text, pickle and the locals of all frames of an error hold neither key nor plaintext."""
    error = failure(lambda: fail(tmp_path))
    assert error is not None
    assert error.__cause__ is error.__context__ is None
    assert leaks(of_error(error)) == []


def test_a_leak_would_be_found() -> None:
    """The search sees key and plaintext in a frame, in a message and in an attribute."""

    def careless(secret: object) -> None:
        message = "something went wrong"
        raise ValueError(message)

    for secret in (KEY_TEXT, MASTER, derived(ENCRYPTED), PLAIN[:100], BAD_KEY_TEXT):
        error = failure(lambda: careless(secret))  # noqa: B023 - called at once
        assert error is not None
        assert "traceback with locals" in leaks(of_error(error))
        assert leaks(reachable({"kept": secret})) == ["reachable"]


def test_objects_show_nothing() -> None:
    """Bodies and sinks show no key, and none can be reached from them but through `reveal`."""
    inner = MemorySink()
    sink = DecodingSink(inner, encrypted=True, compression=None, keys=KEYS, name="report")
    sink.write(ENCRYPTED)
    body = encode(BytesBody(b""), compression=None, keys=KEYS, name="report")
    assert b"".join(body.chunks())
    for thing in (body, sink):
        gc.collect()
        assert leaks(of_object(thing)) == []
    inner.reset()
    assert leaks(reachable(sink, body)) == []
