"""Our process is killed in the middle of its work, and another one does it again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, NamedTuple, cast

import pytest

from tests.faults.parted import ALL, HEADERS, PART
from tests.faults.places import SIZE
from tests.faults.seen import Seen, which
from tests.fleet.tcpfault import Mode as Break
from tests.fleet.tcpfault import Plan, TcpFault, serve_tcpfault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tests.faults.conftest import TakeRow
    from tests.faults.parted import Parted
    from tests.faults.places import Place
    from webhook_storage import Storage

CHILD = Path(__file__).with_name("child.py")
ROOT = CHILD.parents[2]
WITHIN = 30.0
EITHER = "old or new, then new"


class Child:
    """The program that carries orders out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Keep its ends."""
        self._orders, self._answers = (
            cast("IO[str]", process.stdin),
            cast("IO[str]", process.stdout),
        )

    def begin(
        self,
        storage: Storage,
        secrets: Mapping[str, str],
        operation: str,
        *arguments: object,
        dies_at: str = "",
        **options: str,
    ) -> int:
        """Have an operation begun, and return the process that does it."""
        order = {
            "storage": storage.to_json(),
            "secrets": dict(secrets),
            "operation": operation,
            "arguments": [str(argument) for argument in arguments],
            "dies_at": dies_at,
            "options": options,
        }
        self._orders.write(json.dumps(order) + "\n")
        self._orders.flush()
        return int(self._answers.readline())

    def end(self) -> int:
        """Wait for the process to end, and return how it did."""
        return int(self._answers.readline())


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """A program of which processes can be had at once."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(CHILD)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Child(process)
        cast("IO[str]", process.stdin).close()


class Moment(NamedTuple):
    """When a process is killed: after so many bytes of a direction, or at a call of the system."""

    mode: Break
    after: int = 0
    dies_at: str = ""


def moments(seed: str, kind: Break, count: int) -> list[Moment]:
    """Return random moments within a body."""
    random = Random(seed)  # noqa: S311 - the same each time
    return [Moment(kind, random.randrange(SIZE)) for _ in range(count)]


class Job(NamedTuple):
    """An operation of a storage that is reached at some origin."""

    place: Place
    at: Callable[[str], Storage]
    operation: str
    arguments: Sequence[object]
    options: Mapping[str, str] = MappingProxyType({})

    def die(self, child: Child, relay: TcpFault, moment: Moment) -> None:
        """Begin it, and kill its process."""
        pid = self._begin(child, relay, moment.dies_at)
        if not moment.dies_at:
            assert relay.reached.wait(WITHIN)
            os.kill(pid, signal.SIGKILL)
        assert -signal.SIGKILL == child.end()

    def succeed(self, child: Child, relay: TcpFault) -> None:
        """Do it to its end."""
        self._begin(child, relay)
        assert 0 == child.end()

    def _begin(self, child: Child, relay: TcpFault, dies_at: str = "") -> int:
        return child.begin(
            self.at(relay.url),
            self.place.secrets,
            self.operation,
            *self.arguments,
            dies_at=dies_at,
            **self.options,
        )

    def relay(self, moment: Moment) -> AbstractContextManager[TcpFault]:
        """Return what the process that is killed, and no other, cannot get past."""
        return serve_tcpfault(Plan(self.place.port, moment.mode, moment.after, times=1))


SERVERS = ["at_nginx", "at_apache", "at_swift", "at_registry"]


@pytest.mark.parametrize("server", SERVERS)
def test_killed_while_storing(
    request: pytest.FixtureRequest, server: str, child: Child, tmp_path: Path, row: TakeRow
) -> None:
    """On the service is the whole old or the whole new artifact, and then the new one."""
    place: Place = request.getfixturevalue(server)
    old, new, key = place.content("old"), place.content("new"), place.key_of(b"")
    source = tmp_path / "source.bin"
    source.write_bytes(new)
    job = Job(place, place.storage, "put", (source, key))
    left, done = set(), set()
    answers = [Moment("stall", after) for after in (0, 20, 60)]
    for moment in [*moments(server, "stall-upload", 17), *answers]:
        place.plant(key, old)
        with job.relay(moment) as relay:
            job.die(child, relay, moment)
            left.add(which(place.look(key), old, new))
            job.succeed(child, relay)
        done.add(which(place.look(key), old, new))
    assert ({"old", "new"}, {"new"}) == (left, done)
    row("our process killed at 20 moments", "up", place.name, Seen("stored", 2, EITHER))


@pytest.mark.parametrize("server", [*SERVERS[:-1], "at_blobs"])
def test_killed_while_fetching(
    request: pytest.FixtureRequest, server: str, child: Child, tmp_path: Path, row: TakeRow
) -> None:
    """In the file is the whole old or the whole new artifact, and then the new one."""
    place: Place = request.getfixturevalue(server)
    old, new, key = place.content("old"), place.content("new"), place.key_of(place.content("new"))
    place.plant(key, new)
    target = tmp_path / "target.bin"
    job = Job(place, place.storage, "download", (target, key))
    left, done = set(), set()
    ends = [Moment("pass", 0, name) for name in ("fsync", "replace", "_exit")]
    for moment in [*moments(server, "stall", 17), *ends]:
        target.write_bytes(old)
        with job.relay(moment) as relay:
            job.die(child, relay, moment)
            left.add(which(target.read_bytes(), old, new))
            job.succeed(child, relay)
        done.add(which(target.read_bytes(), old, new))
    assert ({"old", "new"}, {"new"}) == (left, done)
    beside = {path.suffix for path in tmp_path.iterdir() if path != target}
    assert beside <= {".part"}
    row("our process killed at 20 moments", "down", place.name, Seen("fetched", 2, EITHER))


def test_killed_while_storing_in_parts(
    swift_parts: Parted, child: Child, tmp_path: Path, row: TakeRow
) -> None:
    """Another process carries on where the one that was killed had come to."""
    place, at, _ = swift_parts
    source, checkpoint = tmp_path / "source.bin", tmp_path / "checkpoint.json"
    old, new, key = place.content("old"), place.content("new"), place.key_of(b"")
    source.write_bytes(new)
    job = Job(place, at, "put", (source, key), {"resume": str(checkpoint)})
    for after in (ALL // 5, ALL // 2, ALL * 4 // 5):
        place.plant(key, old)
        moment = Moment("stall-upload", after)
        with job.relay(moment) as relay:
            job.die(child, relay, moment)
            assert "old" == which(place.look(key), old, new)
            job.succeed(child, relay)
            assert ALL <= relay.asked < ALL + PART + HEADERS
        assert "new" == which(place.look(key), old, new)
        assert not checkpoint.exists()
    seen = Seen("stored", 2, "old, then new; no whole part twice")
    row("our process killed within an upload in parts, and resumed", "up", place.name, seen)
