"""Storing in a local directory behaves as if a server stood there."""

from __future__ import annotations

import asyncio
import json
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.leaks.canary import MIXED, PLAIN, SECRETS
from tests.leaks.channels import hits, of_error, of_object, witnessed
from tests.sending.support import Mode, caught, plain
from webhook_storage import errors as e
from webhook_storage.contracts import WireRequest
from webhook_storage.transport.file import FileTransport

if TYPE_CHECKING:
    from pathlib import Path

BODY = bytes(range(256)) * 100
MODES = (
    Mode("file", FileTransport, is_async=False),
    Mode("file-async", FileTransport, is_async=True),
)
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
KEYS = ["k", "deep/er/k", "ü ö/€.bin", "100%/a%2Fb", "a+b&c=d?e#f;g", "..hidden", "x" * 200]


@modes
@pytest.mark.parametrize("key", KEYS)
def test_round_trip(mode: Mode, tmp_path: Path, key: str) -> None:
    """What is stored under any key is the file of that name, and comes back."""
    storage = plain(f"file://{tmp_path}")
    with mode.sending():
        receipt = mode.call(storage, "put", BODY, key)
        assert BODY == (tmp_path / key).read_bytes() == mode.call(storage, "get", receipt)
        stat = mode.call(storage, "stat", key)
        assert (len(BODY), "application/octet-stream") == (stat.size, stat.content_type)
        mode.call(storage, "put", b"", key)
        assert b"" == mode.call(storage, "get", key)
        mode.call(storage, "delete", key)
        assert not mode.call(storage, "exists", key)
        for operation in ("get", "delete"):
            assert e.ObjectNotFoundError is type(
                caught(partial(mode.call, storage, operation, key))
            )


@modes
def test_listing(mode: Mode, tmp_path: Path) -> None:
    """A directory is listed in order, without what is being written."""
    storage = plain(
        f"file://{tmp_path}",
        with_list_request={"url": f"file://{tmp_path}/", "method": "GET", "keys": "/*/name"},
    )
    with mode.sending():
        for key in ("b", "a.part", "c/d"):
            mode.call(storage, "put", BODY, key)
        (tmp_path / ".b.1234.part").touch()
        (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
        assert ["a.part", "b", "c"] == mode.call(storage, "list")
        raw = plain("file://")
        raw.get_flow_request_kwargs["url"] = f"file://{tmp_path}/"
        assert {"name": "b", "type": "file", "size": len(BODY)} in json.loads(mode.call(raw, "get"))


@modes
@pytest.mark.parametrize("operation", ["get", "delete", "stat"])
def test_directory_is_no_artifact(mode: Mode, tmp_path: Path, operation: str) -> None:
    """A directory is neither there, nor fetched, nor deleted as if it were a file."""
    (tmp_path / "directory").mkdir()
    storage = plain(f"file://{tmp_path}")
    with mode.sending():
        if operation == "stat":
            assert not mode.call(storage, "exists", "directory")
        else:
            error = caught(partial(mode.call, storage, operation, "directory"))
            assert isinstance(error, e.ResponseError)
        error = caught(partial(mode.call, storage, "put", BODY, "directory"))
        assert e.ConflictError is type(error)
    assert (tmp_path / "directory").is_dir()
    assert [tmp_path / "directory"] == list(tmp_path.iterdir())


@modes
@pytest.mark.parametrize(
    "key", ["../out", "a/../../out", "a/..", ".", "/etc/passwd", "a//b", "..\\out"]
)
def test_no_way_out(mode: Mode, tmp_path: Path, key: str) -> None:
    """No key leads out of the directory."""
    (tmp_path / "base").mkdir()
    with mode.sending():
        error = caught(partial(mode.call, plain(f"file://{tmp_path}/base"), "put", BODY, key))
    assert isinstance(error, e.UnsafeValueError)
    assert [tmp_path / "base"] == list(tmp_path.rglob("*"))


@modes
@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/k", e.ResponseError),
        ("PUT", "/", e.ResponseError),
        ("PUT", "/file/below", e.ConflictError),
        ("GET", "/file/below", e.ObjectNotFoundError),
        ("PUT", "/" + "x" * 300, e.TransportError),
        ("PUT", "/a%00b", e.ConnectError),
    ],
)
def test_what_a_file_system_refuses(
    mode: Mode, tmp_path: Path, method: str, path: str, kind: type[Exception]
) -> None:
    """Each refusal is a typed error, and leaves nothing behind."""
    (tmp_path / "file").touch()
    storage = plain("file://", "PUT" if method == "GET" else method)
    storage.build_request_kwargs["url"] = f"file://{tmp_path}{path}"
    storage.get_flow_request_kwargs["url"] = f"file://{tmp_path}{path}"
    with mode.sending():
        if method == "GET":
            assert kind is type(caught(partial(mode.call, storage, "get")))
            return
        error = caught(partial(mode.call, storage, "put", BODY))
    assert kind is type(error)
    assert [tmp_path / "file"] == list(tmp_path.iterdir())


@modes
def test_other_machines(mode: Mode) -> None:
    """A file URL with a host is none of ours."""
    with mode.sending():
        assert e.ConnectError is type(caught(partial(mode.call, plain("file://host"), "get", "k")))


class _Failing:
    """A body that breaks off."""

    size = 10

    def chunks(self) -> object:
        """Yield a part and fail."""
        yield b"part"
        raise e.IntegrityError("the source broke")

    def sha256(self) -> str:
        """Return no digest."""
        return ""


def test_failed_store_leaves_the_old_file(tmp_path: Path) -> None:
    """What was there stays when storing fails in the middle."""
    (tmp_path / "k").write_bytes(b"old")
    request = WireRequest(method="PUT", url=f"file://{tmp_path}/k", headers=[], body=_Failing())  # type: ignore[arg-type]
    with pytest.raises(e.IntegrityError):
        FileTransport().send(request)
    with pytest.raises(e.IntegrityError):
        asyncio.run(FileTransport().asend(request))
    assert {"k": b"old"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_what_is_read_is_one_state(tmp_path: Path) -> None:
    """A file that is replaced while it is read is read as it was, whatever the new one's length."""
    path, transport = tmp_path / "k", FileTransport()
    path.write_bytes(b"old" * 100)
    answer = transport.send(WireRequest(method="GET", url=f"file://{path}", headers=[]))
    plain(f"file://{tmp_path}").put(b"new" * 1000, "k")
    assert b"old" * 100 == b"".join(answer.chunks())
    answer.close()


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    """While one thread stores again and again, another reads whole artifacts only."""
    storage, done = plain(f"file://{tmp_path}"), threading.Event()
    storage.put(b"\0" * 100_000, "k")

    def write() -> None:
        for number in range(200):
            storage.put(bytes([number]) * (100_000 + number), "k")
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        got = storage.get("k")
        seen.add((len(set(got)), len(got) - 100_000 - got[0]))
    writer.join()
    assert {(1, 0)} == seen
    assert [tmp_path / "k"] == list(tmp_path.iterdir())


@modes
@pytest.mark.parametrize("event", ["success", "missing", "refused", "unsafe"])
def test_leaks(mode: Mode, tmp_path: Path, capsys: pytest.CaptureFixture[str], event: str) -> None:
    """A secret in a path is in no error, record or object."""
    (tmp_path / PLAIN).mkdir()
    shown = []
    secrets = {**SECRETS, "MIXED": ".."} if event == "unsafe" else SECRETS
    with witnessed(capsys) as witness, mode.sending(secrets) as sender:
        storage = plain(
            f"file://{tmp_path}/${{PLAIN}}/${{MIXED}}", "POST" if event == "refused" else "PUT"
        )
        act = partial(
            mode.call,
            storage,
            "get" if event == "missing" else "put",
            *([] if event == "missing" else [BODY]),
            "k",
        )
        if event == "success":
            shown += list(of_object(act()))
            assert (tmp_path / PLAIN / MIXED / "k").exists()
        else:
            shown += list(of_error(caught(act)))
        for thing in (storage, sender, sender.resolution):
            shown += list(of_object(thing))
    assert [] == hits([*shown, *witness.shown])
