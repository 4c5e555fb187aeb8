from __future__ import annotations

import gc
import hashlib
import io
import os
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pytest

from webhook_storage.artifact import (
    BytesBody,
    FileBody,
    FileSink,
    JoinedBody,
    MeasuredBody,
    MemorySink,
    PathBody,
    as_body,
)
from webhook_storage.errors import (
    ConfigurationError,
    IntegrityError,
    LocalFileError,
    TooLargeError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.contracts import Body

DATA = b"0123456789" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()
BIG = 9 * 1024 * 1024


class Stream(io.RawIOBase):
    """Bytes that can be read once, as from a pipe."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = len(self._rest) if size < 0 else size
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def once(data: bytes = DATA) -> Iterator[bytes]:
    """Yield bytes in pieces, as a generator that cannot rewind."""
    for start in range(0, len(data), 7):
        yield data[start : start + 7]


def content(body: Body) -> bytes:
    """Return all bytes of a body."""
    return b"".join(body.chunks())


def bodies(folder: Path) -> dict[str, Body]:
    """Make a body of every kind, all of the same bytes."""
    path = folder / "source"
    path.write_bytes(DATA)
    file = io.BytesIO(b"skipped" + DATA)
    file.seek(7)
    return {
        "bytes": as_body(DATA),
        "bytearray": as_body(bytearray(DATA)),
        "memoryview": as_body(memoryview(DATA)),
        "text path": as_body(str(path)),
        "path": as_body(path),
        "file": as_body(file),
        "stream": as_body(Stream(DATA)),
        "generator": as_body(once()),
        "list": as_body(cast("Any", [DATA[:10], bytearray(DATA[10:500]), memoryview(DATA[500:])])),
        "joined": JoinedBody([BytesBody(DATA[:1]), BytesBody(b""), BytesBody(DATA[1:])]),
        "measured": MeasuredBody(BytesBody(DATA)),
    }


KINDS = ("bytes", "bytearray", "memoryview", "text path", "path", "file", "stream", "generator",
         "list", "joined", "measured")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_is_sent_as_often_as_need_be(kind: str, tmp_path: Path) -> None:
    """Size, digest and bytes agree, and the second sending is like the first."""
    body = bodies(tmp_path)[kind]
    first = content(body)
    interrupted = next(iter(body.chunks()))
    assert (DATA, len(DATA), DIGEST, DATA) == (first, body.size, body.sha256(), content(body))
    assert DATA.startswith(interrupted)


def test_every_kind_of_source_is_tried(tmp_path: Path) -> None:
    """The list of kinds above is complete."""
    assert set(KINDS) == set(bodies(tmp_path))


@pytest.mark.parametrize("source", [b"", [], io.BytesIO()], ids=["bytes", "list", "file"])
def test_nothing_can_be_stored(source: Any) -> None:
    """An empty source is a body of no bytes."""
    body = as_body(source)
    assert (0, b"", hashlib.sha256().hexdigest()) == (body.size, content(body), body.sha256())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (3, "cannot store a int"),
        (None, "cannot store a NoneType"),
        ("/there/is/no/such/file", "there is no file '/there/is/no/such/file'"),
        (Path("/"), "there is no file '/'"),
        (io.StringIO("text"), "opened as text"),
        (["text"], "iterable of str"),
        ({"a": 1}, "iterable of str"),
        ([1], "iterable of int"),
    ],
)
def test_what_cannot_be_stored_is_refused(source: Any, words: str) -> None:
    """A source that is no bytes is refused with advice, before anything is sent."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        as_body(source)
    assert caught.value.hint


def test_a_big_generator_goes_to_a_file() -> None:
    """What cannot rewind and is big is kept on disk, not in memory, and cleaned away."""
    body = as_body(b"x" * 65536 for _ in range(BIG // 65536))
    assert isinstance(body, FileBody)
    spool = cast("Any", body._file)
    assert spool._rolled is True
    assert BIG == body.size
    assert hashlib.sha256(b"x" * BIG).hexdigest() == body.sha256()
    del body, spool
    gc.collect()  # an unclosed file would be a warning, and so an error


def test_a_small_generator_stays_in_memory() -> None:
    """Nothing is written to disk for a few bytes."""
    body = as_body(once())
    assert isinstance(body, FileBody)
    assert cast("Any", body._file)._rolled is False


def grown(path: Path) -> None:
    """Append to a file."""
    with path.open("ab") as file:
        file.write(b"and more")


@pytest.mark.parametrize("kind", ["path", "file"])
def test_a_source_that_grew_is_sent_as_announced(kind: str, tmp_path: Path) -> None:
    """What was appended later is not sent, since the length is announced already."""
    path = tmp_path / "source"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        body = as_body(path if kind == "path" else file)
        grown(path)
        assert (DATA, len(DATA), DIGEST) == (content(body), body.size, body.sha256())


@pytest.mark.parametrize("kind", ["path", "file"])
def test_a_source_that_shrank_is_an_error(kind: str, tmp_path: Path) -> None:
    """Bytes that are gone are never padded or left out silently."""
    path = tmp_path / "source"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        body = as_body(path if kind == "path" else file)
        os.truncate(path, 10)
        with pytest.raises(IntegrityError, match="990 of 1000 bytes are gone"):
            content(body)
        with pytest.raises(IntegrityError, match="990 of 1000 bytes are gone"):
            body.sha256()


class Wandering:
    """A body with other bytes each time."""

    size = 1

    def __init__(self) -> None:
        self._next = 0

    def chunks(self) -> Iterator[bytes]:
        self._next += 1
        yield b"%d" % self._next

    def sha256(self) -> str:
        return hashlib.sha256(content(self)).hexdigest()


class TestMeasuredBody:
    """The body that takes its digest on the way."""

    def test_is_complete_at_the_end_only(self) -> None:
        """Whoever looks can tell whether all of it went out."""
        body = MeasuredBody(JoinedBody([BytesBody(b"a"), BytesBody(b"b")]))
        chunks = body.chunks()
        seen = [body.complete]
        next(chunks)
        seen.append(body.complete)
        assert [b"b"] == list(chunks)
        seen.append(body.complete)
        next(iter(body.chunks()))
        seen.append(body.complete)
        assert [False, False, True, False] == seen

    def test_knows_its_digest_without_being_sent(self) -> None:
        """A digest that is wanted for a header is computed beforehand."""
        assert MeasuredBody(BytesBody(DATA)).sha256() == DIGEST

    def test_does_not_send_other_bytes_than_it_said(self) -> None:
        """A source that changes after its digest was given is an error, not another artifact."""
        body = MeasuredBody(Wandering())
        body.sha256()
        with pytest.raises(IntegrityError, match="changed while it was stored"):
            content(body)

    def test_does_not_send_other_bytes_the_second_time(self) -> None:
        """A retry sends what was sent before, or fails."""
        body = MeasuredBody(Wandering())
        assert content(body) == b"1"
        with pytest.raises(IntegrityError, match="changed while it was stored"):
            content(body)


class TestMemorySink:
    """The sink in memory."""

    def test_starts_anew(self) -> None:
        """After a reset only the new answer counts, against the limit too."""
        sink = MemorySink(limit=4)
        sink.write(b"1234")
        sink.reset()
        sink.write(b"ab")
        sink.write(b"cd")
        assert sink.getvalue() == b"abcd"

    def test_refuses_one_byte_more_than_its_limit(self) -> None:
        """The limit itself is allowed, one byte more is not."""
        sink = MemorySink(limit=4)
        sink.write(b"abcd")
        with pytest.raises(TooLargeError, match="longer than 4 bytes"):
            sink.write(b"e")

    def test_has_no_limit_by_default(self) -> None:
        """Without a limit everything is taken."""
        sink = MemorySink()
        sink.write(DATA)
        assert DATA == sink.getvalue()


@pytest.fixture
def umask() -> Iterator[int]:
    """Set an unusual umask."""
    old = os.umask(0o027)
    yield 0o027
    os.umask(old)


class TestFileSink:
    """The sink that puts a file in place at the end."""

    def test_leaves_the_target_until_it_is_committed(self, tmp_path: Path) -> None:
        """A reader sees the old content, then the new, never a part."""
        target = tmp_path / "target"
        target.write_bytes(b"old")
        sink = FileSink(target)
        sink.reset()
        sink.write(b"new")
        assert target.read_bytes() == b"old"
        sink.commit()
        assert (b"new", [target]) == (target.read_bytes(), list(tmp_path.iterdir()))

    def test_leaves_nothing_behind_when_discarded(self, tmp_path: Path) -> None:
        """Neither a part nor a target is there, and discarding twice does no harm."""
        sink = FileSink(tmp_path / "target")
        sink.write(b"half")
        assert len(list(tmp_path.iterdir())) == 1
        sink.discard()
        sink.discard()
        assert [] == list(tmp_path.iterdir())

    def test_keeps_what_was_committed_when_discarded(self, tmp_path: Path) -> None:
        """Discarding after the commit, as a ``finally`` does, changes nothing."""
        target = tmp_path / "target"
        sink = FileSink(target)
        sink.write(b"whole")
        sink.commit()
        sink.discard()
        assert target.read_bytes() == b"whole"

    def test_starts_anew(self, tmp_path: Path) -> None:
        """What a failed attempt wrote is not in the file, even when it was longer."""
        target = tmp_path / "target"
        sink = FileSink(target)
        sink.reset()
        sink.write(b"a long first attempt")
        sink.reset()
        sink.write(b"short")
        sink.commit()
        assert target.read_bytes() == b"short"

    def test_makes_an_empty_file_of_nothing(self, tmp_path: Path) -> None:
        """An artifact of no bytes is a file of no bytes."""
        sink = FileSink(tmp_path / "target")
        sink.commit()
        assert (tmp_path / "target").read_bytes() == b""

    def test_obeys_the_umask(self, tmp_path: Path, umask: int) -> None:
        """The file has the mode that any other new file has."""
        sink = FileSink(tmp_path / "target")
        sink.write(b"x")
        sink.commit()
        assert 0o666 & ~umask == (tmp_path / "target").stat().st_mode & 0o777

    def test_does_not_touch_the_umask(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The umask is the whole process's; threads that write files must not race for it."""

        def forbidden(_: int) -> int:
            pytest.fail("the umask was set")

        monkeypatch.setattr(os, "umask", forbidden)
        sink = FileSink(tmp_path / "target")
        sink.write(b"x")
        sink.commit()
        assert (tmp_path / "target").exists()

    def test_takes_the_longest_of_names(self, tmp_path: Path) -> None:
        """A name of as many bytes as a file system takes leaves room for the temporary one."""
        target = tmp_path / ("ü" * 127)
        sink = FileSink(target)
        sink.write(b"x")
        sink.commit()
        assert target.read_bytes() == b"x"

    def test_survives_that_its_part_was_cleaned_away(self, tmp_path: Path) -> None:
        """Somebody else may have removed the temporary file."""
        sink = FileSink(tmp_path / "target")
        sink.write(b"x")
        for part in tmp_path.iterdir():
            part.unlink()
        sink.discard()
        assert [] == list(tmp_path.iterdir())

    def test_replaces_regular_files_only(self, tmp_path: Path) -> None:
        """A directory is refused before anything is written, and a link stays one."""
        with pytest.raises(LocalFileError, match="no regular file"):
            FileSink(tmp_path).reset()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        sink = FileSink(tmp_path / "link")
        sink.write(b"x")
        sink.commit()
        assert ((tmp_path / "link").is_symlink(), b"x") == (True, (tmp_path / "real").read_bytes())

    def test_names_the_file_that_cannot_be_written(self, tmp_path: Path) -> None:
        """What the system refuses is told with the path and its number."""
        with pytest.raises(LocalFileError, match="no such file or directory") as caught:
            FileSink(tmp_path / "missing" / "target").reset()
        assert (2, 2) == (caught.value.code, caught.value.errno)

    def test_many_write_to_one_target(self, tmp_path: Path) -> None:
        """Of several writers at a time one wins, with all of its bytes."""
        target = tmp_path / "target"

        def write(letter: bytes) -> None:
            sink = FileSink(target)
            for _ in range(100):
                sink.write(letter * 10)
            sink.commit()

        threads = [threading.Thread(target=write, args=(b"%d" % index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        data = target.read_bytes()
        assert data[:1] * 1000 == data
        assert [target] == list(tmp_path.iterdir())


def test_a_path_body_opens_its_file_for_each_sending(tmp_path: Path) -> None:
    """Two sendings at a time do not disturb one another."""
    path = tmp_path / "source"
    path.write_bytes(b"ab" * 200_000)
    body = PathBody(path)
    one, two = body.chunks(), body.chunks()
    assert next(one) == next(two)
    assert b"".join(one) == b"".join(two)


def test_a_file_is_not_closed(tmp_path: Path) -> None:
    """The file is the caller's."""
    file: IO[bytes] = io.BytesIO(DATA)
    content(as_body(file))
    assert file.closed is False


def test_a_sink_that_is_interrupted_while_it_opens_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption between the making of the temporary file and its first use removes it."""
    sink = FileSink(tmp_path / "target")
    opened = Path.open

    def interrupted(path: Path, mode: str) -> None:
        opened(path, mode).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sink.reset()
    sink.discard()

    assert [] == list(tmp_path.iterdir())
