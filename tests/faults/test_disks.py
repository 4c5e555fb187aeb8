"""Disks that are full or cannot be written, here and on the server."""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.faults.places import SIZE, on_nginx
from tests.faults.seen import Seen, download, outcome_of, upload, which
from tests.fleet.nginx import serve_nginx
from tests.fleet.process import is_root
from tests.sending.support import HTTPX, HTTPX_ASYNC, REQUESTS, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.conftest import TakeRow
    from tests.faults.places import Place
    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.pki import Pki

modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC, REQUESTS], ids=lambda mode: mode.name)
ROOM = SIZE + SIZE // 2
"""Bytes of a disk that an artifact fits on, and no second one beside it."""


class Disk(NamedTuple):
    """A directory for one file, and what is done to it when an old file is there."""

    directory: Path
    spoil: Callable[[], object]


@contextlib.contextmanager
def mounted(directory: Path) -> Iterator[Path]:
    """Mount a small disk there; only root may."""
    directory.mkdir()
    options = f"size={ROOM}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


@contextlib.contextmanager
def bounded(size: int) -> Iterator[Callable[[], object]]:
    """Offer to let no file of this process grow any longer, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk without room for the new file."""
    directory = tmp_path / "disk"
    if is_root():
        with mounted(directory):
            yield Disk(directory, bool)
    else:
        directory.mkdir()
        with bounded(SIZE // 2) as bound:
            yield Disk(directory, bound)


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk that nothing is written on."""
    directory = tmp_path / "disk"
    if is_root():  # whom permissions do not bind
        with mounted(directory):
            remount = ["mount", "-o", "remount,ro", str(directory)]
            yield Disk(directory, lambda: subprocess.run(remount, check=True))
    else:
        directory.mkdir()
        yield Disk(directory, lambda: directory.chmod(0o555))
        directory.chmod(0o755)


DISKS = {"full_disk": "disk full", "read_only_disk": "target read-only"}


@modes
@pytest.mark.parametrize("disk", DISKS)
def test_target(
    request: pytest.FixtureRequest,
    at_nginx: Place,
    mode: Mode,
    disk: str,
    tcpfault: StartTcpFault,
    row: TakeRow,
) -> None:
    """Where the new file cannot be written the old one stays, and nothing beside it."""
    directory, spoil = request.getfixturevalue(disk)
    relay = tcpfault(at_nginx.port, "pass")
    storage = at_nginx.storage(relay.url)
    seen = download(at_nginx, mode, storage, directory, spoil=spoil)
    seen = seen._replace(attempts=relay.connections)
    assert Seen("LocalFileError", 1, "old") == seen, seen
    row(DISKS[disk], "down", at_nginx.name, seen)


@pytest.mark.parametrize("operation", ["put", "aput"])
def test_spool(
    at_nginx: Place,
    full_disk: Disk,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
    row: TakeRow,
) -> None:
    """Where an iterator cannot be spooled nothing is sent."""
    full_disk.spoil()
    monkeypatch.setattr(tempfile, "tempdir", str(full_disk.directory))
    key, old = at_nginx.key_of(b""), at_nginx.content("old")
    at_nginx.plant(key, old)
    with HTTPX.sending(at_nginx.secrets, attempts=3):
        mode = HTTPX if operation == "put" else HTTPX_ASYNC
        act = partial(mode.call, at_nginx.storage(), "put", (bytes(SIZE) for _ in range(12)), key)
        outcome, attempts = outcome_of(act, "stored", at_nginx.secrets.values())
    seen = Seen(outcome, attempts, which(at_nginx.look(key), old, b""))
    assert Seen("LocalFileError", 0, "old") == seen, seen
    row("disk full where an iterator is spooled", "up", at_nginx.name, seen)


@pytest.fixture
def at_full_server(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Place]:
    """A place on an nginx whose disk is full."""
    if not is_root():
        pytest.skip("only root can give a server a small disk")
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        data = stack.enter_context(mounted(Path(name) / "disk"))
        yield on_nginx(stack.enter_context(serve_nginx(Path(name) / "nginx", pki, data)))


@modes
def test_server(at_full_server: Place, mode: Mode, row: TakeRow) -> None:
    """A server without room says so, and keeps the old artifact."""
    seen = upload(at_full_server, mode, at_full_server.storage())
    assert Seen("ServerError", 3, "old") == seen, seen
    row("disk of the server full", "up", at_full_server.name, seen)
