"""Uploads in parts, to real servers: a registry, Swift, and a service that speaks tus."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.sending.gate import Gate, Passed, serve_gate
from tests.sending.parted import OciBlobs, PartedStorage, SwiftSegments, Tus
from tests.sending.support import HTTPX, HTTPX_ASYNC, REQUESTS, REQUESTS_ASYNC, Mode, caught
from tests.sending.tus import TOKEN, TusServer, serve_tus
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    IntegrityError,
    ObjectNotFoundError,
    ServerError,
    WebhookStorageError,
)
from webhook_storage.transport.httpx import HttpxTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.registry import Registry
    from tests.fleet.swift import Swift
    from webhook_storage import Receipt, Webhook
    from webhook_storage.contracts import AsyncWireResponse, WireRequest, WireResponse

ROOT = Path(__file__).parents[2]
KIB = 1024
PART = 256 * KIB
REGISTRY = {"REGISTRY_USER": "alice", "REGISTRY_PASSWORD": "s3cret"}
TUS = {"TUS_TOKEN": TOKEN}

modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)


def call(mode: Mode, storage: PartedStorage, operation: str, *args: Any, **kwargs: Any) -> Any:
    """Carry an operation out, in this thread or in an event loop."""
    return mode.call(cast("Webhook", storage), operation, *args, **kwargs)


def artifact(parts: float) -> bytes:
    """Return so many parts of bytes, which are not those of any other test."""
    seed = uuid4().bytes
    return (seed * (int(PART * parts) // len(seed) + 1))[: int(PART * parts)]


@dataclass(frozen=True)
class Account:
    """A Swift account with two empty containers, behind a door.

    Attributes:
        gate: The door.
        path: The account's.
        secrets: The token.
    """

    gate: Gate
    path: str
    container: str
    secrets: dict[str, str]
    client: httpx.Client

    def storage(self, **options: Any) -> SwiftSegments:
        """Return a storage that goes through the door."""
        return SwiftSegments(origin=self.gate.url + self.path, container=self.container, **options)

    def segments(self) -> list[str]:
        """Return the names of the segments that are there."""
        answer = self.client.get(f"{self.path}/{self.container}_segments")
        return answer.raise_for_status().text.split()


@pytest.fixture
def account(swift: Swift) -> Iterator[Account]:
    """Return an account whose containers no other test has."""
    headers = {"X-Auth-User": swift.user, "X-Auth-Key": swift.password}
    said = httpx.get(swift.auth_url, headers=headers, trust_env=False).headers
    token = {"X-Auth-Token": said["X-Auth-Token"]}
    container = uuid4().hex
    with (
        httpx.Client(base_url=swift.url, headers=token, trust_env=False, timeout=30) as client,
        serve_gate(swift.url) as gate,
    ):
        path = urlsplit(said["X-Storage-Url"]).path
        for name in (container, f"{container}_segments"):
            client.put(f"{path}/{name}").raise_for_status()
        secrets = {"SWIFT_TOKEN": said["X-Auth-Token"]}
        yield Account(gate, path, container, secrets, client)


@pytest.fixture
def door(registry: Registry) -> Iterator[Gate]:
    """Return a door in front of the registry."""
    with serve_gate(registry.url) as gate:
        yield gate


@pytest.fixture
def tus() -> Iterator[TusServer]:
    """Return a service that speaks tus."""
    with serve_tus() as server:
        yield server


def refusing(path: str, times: int) -> Callable[[Passed], bool]:
    """Return a rule that refuses so many bodies whose path ends so."""
    left = [times]

    def rule(request: Passed) -> bool:
        if not request.size or not request.path.endswith(path) or not left[0]:
            return False
        left[0] -= 1
        return True

    return rule


class TestWhole:
    """What goes up comes down."""

    @modes
    @pytest.mark.parametrize("parts", [0.5, 1, 3.25], ids=["less", "one", "some"])
    def test_segments_are_put_together(self, mode: Mode, account: Account, parts: float) -> None:
        """Swift has the artifact, in segments of the size that was asked for."""
        data, storage = artifact(parts), account.storage()
        with mode.sending(account.secrets):
            receipt = call(mode, storage, "put", data, "a")
            assert data == call(mode, storage, "get", receipt)
        sizes = account.gate.sizes("PUT")[:-1]  # the last one is the manifest
        assert (len(data), max(sizes)) == (sum(sizes), min(PART, len(data)))

    @modes
    def test_what_is_encrypted_goes_in_parts_too(self, mode: Mode, account: Account) -> None:
        """Parts are encrypted alone, beside one another, and are the whole when put together."""
        data, key = artifact(3.25), "${ARTIFACT_KEY}"
        storage = account.storage(encryption_keys={"2026": key})
        account.gate.rule = refusing("/00002", 1)
        with mode.sending(account.secrets | {"ARTIFACT_KEY": "5a" * 32}, attempts=2):
            receipt = call(mode, storage, "put", data, "a")
            assert data == call(mode, storage, "get", receipt)
            assert data[:64] not in call(mode, account.storage(), "get", "a")
        *parts, _ = account.gate.sizes("PUT")  # the last one is the manifest
        assert len(data) < receipt.size == sum(parts) - PART

    @modes
    @pytest.mark.parametrize("parts", [0, 0.5, 3.25], ids=["nothing", "less", "some"])
    def test_a_blob_is_written_part_by_part(self, mode: Mode, door: Gate, parts: float) -> None:
        """The registry has the blob under its digest, which it compared."""
        data, storage = artifact(parts), OciBlobs(origin=door.url)
        with mode.sending(REGISTRY):
            receipt = call(mode, storage, "put", data)
            assert data == call(mode, storage, "get", receipt)
        assert len(data) == sum(door.sizes("PATCH"))
        assert f"sha256:{receipt.sha256}" == receipt.version

    @modes
    def test_tus_has_all_of_it(self, mode: Mode, tus: TusServer) -> None:
        """The last byte ends the upload."""
        data, storage = artifact(3.25), Tus(origin=f"http://127.0.0.1:{tus.port}")
        with mode.sending(TUS):
            receipt = call(mode, storage, "put", data)
            assert data == call(mode, storage, "get", receipt)
        assert len(data) == tus.received

    def test_a_wrong_password_begins_nothing(self, door: Gate) -> None:
        """Nothing of the artifact is sent."""
        wrong = REGISTRY | {"REGISTRY_PASSWORD": "wrong"}
        with HTTPX.sending(wrong), pytest.raises(AuthenticationError):
            OciBlobs(origin=door.url).put(artifact(2))
        assert [] == door.sizes("PATCH")


@modes
def test_parts_go_side_by_side_and_no_more_than_the_limit(mode: Mode, account: Account) -> None:
    """Three are under way at the same time, of seven, and never four."""
    together = threading.Barrier(3)
    first = threading.Semaphore(3)

    def rule(_request: Passed) -> None:
        if first.acquire(blocking=False):
            together.wait(timeout=30)

    account.gate.rule = rule
    with mode.sending(account.secrets):
        call(mode, account.storage(limit=3), "put", artifact(7), "a")
    assert 3 == account.gate.most


class TestPartsThatFail:
    """A part is sent again alone, or the upload ends."""

    @modes
    def test_a_segment_that_is_refused_twice_is_sent_again_alone(
        self, mode: Mode, account: Account
    ) -> None:
        """Of the others none is sent twice."""
        account.gate.rule = refusing("00002", times=2)
        data = artifact(4)
        with mode.sending(account.secrets, attempts=4):
            call(mode, account.storage(), "put", data, "a")
        sizes = account.gate.sizes("PUT")[:-1]
        assert len(data) + 2 * PART == sum(sizes)

    @modes
    def test_a_blobs_part_that_is_refused_twice_is_sent_again_alone(
        self, mode: Mode, door: Gate
    ) -> None:
        """The registry is asked how far it is, each time."""
        left = [0, 1, 1]  # the second part, and again

        def rule(request: Passed) -> bool:
            return request.method == "PATCH" and bool(left) and bool(left.pop(0))

        door.rule = rule
        data = artifact(4)
        with mode.sending(REGISTRY):
            call(mode, OciBlobs(origin=door.url), "put", data)
        assert len(data) + 2 * PART == sum(door.sizes("PATCH"))
        assert 2 == [each.method for each in door.requests].count("GET")

    @modes
    def test_a_part_that_came_by_half_is_not_sent_twice(
        self, mode: Mode, tus: TusServer, tcpfault: StartTcpFault
    ) -> None:
        """What has come before the connection broke is not sent again."""
        relay = tcpfault(tus.port, "reset-upload", after=int(1.5 * PART), times=1)
        data = artifact(4)
        with mode.sending(TUS):
            storage = Tus(origin=relay.url)
            receipt = call(mode, storage, "put", data)
            assert data == call(mode, storage, "get", receipt)
        assert len(data) == tus.received
        assert relay.reached.is_set()

    @modes
    def test_a_segment_that_fails_for_good_leaves_nothing(
        self, mode: Mode, account: Account
    ) -> None:
        """The segments that were stored are deleted."""
        account.gate.rule = refusing("00003", times=10)
        with mode.sending(account.secrets, attempts=2):
            error = caught(lambda: call(mode, account.storage(limit=1), "put", artifact(5), "a"))
        assert (ServerError, []) == (type(error), account.segments())
        assert [PART] * 4 == account.gate.sizes("PUT")

    @modes
    def test_a_blobs_part_that_fails_for_good_leaves_nothing(self, mode: Mode, door: Gate) -> None:
        """The upload is deleted."""
        door.rule = lambda request: request.method == "PATCH"
        with mode.sending(REGISTRY):
            error = caught(lambda: call(mode, OciBlobs(origin=door.url), "put", artifact(2)))
        deleted = [each for each in door.requests if each.method == "DELETE"]
        assert (ServerError, 1) == (type(error), len(deleted))
        assert 4 == door.sizes("PATCH").count(PART)
        with registry_client(door) as client:
            assert 404 == client.get(deleted[0].path).status_code

    @modes
    def test_what_could_not_be_aborted_is_named(
        self, mode: Mode, account: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The error and the log say below which name the segments are."""
        account.gate.rule = lambda request: (
            request.path.endswith("00002") or request.method == "DELETE"
        )
        with mode.sending(account.secrets, attempts=1):
            error = caught(lambda: call(mode, account.storage(limit=1), "put", artifact(3), "a"))
        (left,) = account.segments()
        name = left.partition("/")[0]
        assert isinstance(error, ServerError)
        assert f"upload '{name}'; delete the segments" in str(error.hint)
        assert [name] == [
            record.webhook_storage["upload"]  # type: ignore[attr-defined]
            for record in caplog.records
            if record.levelno == logging.WARNING
        ]

    @modes
    def test_a_url_that_gives_a_right_is_not_named(
        self, mode: Mode, tus: TusServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Who knows the URL may write to it, so it is told what becomes of it."""
        tus.refusals[:] = [403]
        storage = Tus(origin=f"http://127.0.0.1:{tus.port}")
        caplog.set_level(logging.INFO)
        with mode.sending(TUS), serve_gate(storage.origin) as gate:
            gate.rule = lambda request: request.method == "DELETE"
            storage = Tus(origin=gate.url)
            error = caught(lambda: call(mode, storage, "put", artifact(2)))
        assert isinstance(error, WebhookStorageError)
        assert "left at the service: an upload in parts; the service drops it after a day" in str(
            error.hint
        )
        assert "/files/0" not in f"{error} {error.hint} {caplog.text}"


def registry_client(door: Gate) -> httpx.Client:
    """Return a client of the registry behind a door."""
    return httpx.Client(base_url=door.upstream, auth=("alice", "s3cret"), trust_env=False)


# --- processes that are killed -------------------------------------------------------------------

KILLED = """
import json, sys
from tests.sending import parted
from tests.sending.support import HTTPX
kind, fields, secrets, source, key, resume = json.loads(sys.argv[1])
with HTTPX.sending(secrets):
    getattr(parted, kind)(**fields).put(source, key, resume=resume)
"""


def killed_when(
    reached: threading.Event,
    storage: PartedStorage,
    secrets: dict[str, str],
    source: Path,
    key: str | None,
    resume: Path,
) -> None:
    """Store in a process that is killed at that moment."""
    fields = storage.model_dump(exclude_defaults=True)
    given = [type(storage).__name__, fields, secrets, str(source), key, str(resume)]
    with subprocess.Popen([sys.executable, "-c", KILLED, json.dumps(given)], cwd=ROOT) as process:
        try:
            assert reached.wait(30)
        finally:
            os.kill(process.pid, signal.SIGKILL)


def holding(gate: Gate, after: int, held: int) -> tuple[threading.Event, threading.Event]:
    """Hold requests with a body up after the first ones, until the second event is set.

    Args:
        gate: Where they come to.
        after: How many pass.
        held: When the first event is set: when so many are held up.
    """
    reached, ended = threading.Event(), threading.Event()
    passing, waiting = threading.Semaphore(after), threading.Semaphore(held - 1)

    def rule(request: Passed) -> bool:
        if not request.size or ended.is_set() or passing.acquire(blocking=False):
            return False
        if not waiting.acquire(blocking=False):
            reached.set()
        ended.wait()
        return True  # nobody listens any more

    gate.rule = rule
    return reached, ended


@dataclass(frozen=True)
class Files:
    """A source and the checkpoint of its upload."""

    source: Path
    checkpoint: Path

    def write(self, data: bytes | bytearray) -> bytes | bytearray:
        """Write the source, and return what was written."""
        self.source.write_bytes(data)
        return data


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return where they are."""
    return Files(tmp_path / "source", tmp_path / "checkpoint")


class TestKilled:
    """Another process carries on."""

    @modes
    def test_only_missing_segments_are_sent(
        self, mode: Mode, account: Account, files: Files
    ) -> None:
        """Of six segments three were stored when the process was killed."""
        data, storage = files.write(artifact(5.5)), account.storage()
        reached, ended = holding(account.gate, after=3, held=2)
        killed_when(reached, storage, account.secrets, files.source, "a", files.checkpoint)
        ended.set()
        before = len(account.gate.sizes("PUT"))
        with mode.sending(account.secrets):
            call(mode, storage, "put", files.source, "a", resume=files.checkpoint)
            assert data == call(mode, storage, "get", "a")
        *sizes, _ = account.gate.sizes("PUT")[before:]
        assert [PART // 2, PART, PART] == sorted(sizes)
        assert (6, False) == (len(account.segments()), files.checkpoint.exists())

    @modes
    def test_a_blob_is_gone_on_with(self, mode: Mode, door: Gate, files: Files) -> None:
        """The registry is asked, and gets the parts that it does not have."""
        data, storage = files.write(artifact(4)), OciBlobs(origin=door.url)
        reached, ended = holding(door, after=2, held=1)
        killed_when(reached, storage, REGISTRY, files.source, None, files.checkpoint)
        ended.set()
        before = len(door.sizes("PATCH"))
        with mode.sending(REGISTRY):
            receipt = call(mode, storage, "put", files.source, resume=files.checkpoint)
            assert data == call(mode, storage, "get", receipt)
        assert [PART, PART] == door.sizes("PATCH")[before:]
        assert not files.checkpoint.exists()

    @modes
    def test_what_came_of_a_part_is_not_sent_again(
        self, mode: Mode, tus: TusServer, tcpfault: StartTcpFault, files: Files
    ) -> None:
        """The process was killed in the middle of the third part."""
        relay = tcpfault(tus.port, "reset-upload", after=int(2.5 * PART), times=1)
        data, storage = files.write(artifact(4)), Tus(origin=relay.url, part_size=2 * PART)
        killed_when(relay.reached, storage, TUS, files.source, None, files.checkpoint)
        with mode.sending(TUS):
            receipt = call(mode, storage, "put", files.source, resume=files.checkpoint)
            assert data == call(mode, storage, "get", receipt)
        assert (len(data), 1) == (tus.received, len(tus.lengths))

    @modes
    def test_what_the_service_has_forgotten_is_begun_anew(
        self, mode: Mode, tus: TusServer, files: Files
    ) -> None:
        """A service that dropped the upload gets all of it again."""
        storage = Tus(origin=f"http://127.0.0.1:{tus.port}")
        data = files.write(artifact(3))
        tus.refusals[:] = [403]
        with mode.sending(TUS):
            error = caught(
                lambda: call(mode, storage, "put", files.source, resume=files.checkpoint)
            )
            assert "same checkpoint" in str(getattr(error, "hint", ""))
            del tus.files["/files/0"]
            receipt = call(mode, storage, "put", files.source, resume=files.checkpoint)
            assert data == call(mode, storage, "get", receipt)
        assert (2, False) == (len(tus.lengths), files.checkpoint.exists())

    @modes
    def test_an_end_whose_answer_was_lost_is_an_end(
        self, mode: Mode, door: Gate, files: Files
    ) -> None:
        """The blob is there, and the registry knows nothing of its upload any more."""
        files.write(artifact(2))
        storage = OciBlobs(origin=door.url)

        def rule(request: Passed) -> bool:
            if request.method != "PUT":
                return False
            with registry_client(door) as client:  # it is stored, and the answer is lost
                client.put(request.path).raise_for_status()
            return True

        door.rule = rule
        with mode.sending(REGISTRY):
            error = caught(
                lambda: call(mode, storage, "put", files.source, resume=files.checkpoint)
            )
            assert isinstance(error, ServerError)
            before = len(door.sizes("PATCH"))
            receipt = call(mode, storage, "put", files.source, resume=files.checkpoint)
        assert f"sha256:{receipt.sha256}" == receipt.version
        assert (before, False) == (len(door.sizes("PATCH")), files.checkpoint.exists())


class TestOtherSources:
    """Parts of different artifacts are never put together."""

    @pytest.fixture
    def begun(self, tus: TusServer, files: Files) -> Tus:
        """Return a storage with an upload that was begun and failed."""
        storage = Tus(origin=f"http://127.0.0.1:{tus.port}")
        files.write(artifact(3))
        tus.refusals[:] = [403]
        with HTTPX.sending(TUS), pytest.raises(WebhookStorageError):
            storage.put(files.source, resume=files.checkpoint)
        return storage

    @modes
    def test_a_source_that_changed_in_between_is_refused(
        self, mode: Mode, begun: Tus, tus: TusServer, files: Files
    ) -> None:
        """One byte is another; nothing is sent, and the checkpoint stays."""
        data, kept = bytearray(files.source.read_bytes()), files.checkpoint.read_bytes()
        data[PART] ^= 1
        files.write(data)
        with mode.sending(TUS):
            error = caught(lambda: call(mode, begun, "put", files.source, resume=files.checkpoint))
        assert isinstance(error, ConfigurationError)
        assert "another upload, by its sha256" in str(error)
        assert (0, kept) == (tus.received, files.checkpoint.read_bytes())

    @modes
    def test_the_checkpoint_of_another_storage_is_refused(
        self, mode: Mode, begun: Tus, tus: TusServer, files: Files
    ) -> None:
        """Other parts, or another place: it is another upload."""
        other = begun.model_copy(update={"part_size": 2 * PART})
        with mode.sending(TUS):
            error = caught(lambda: call(mode, other, "put", files.source, resume=files.checkpoint))
        assert "another upload, by its storage" in str(error)
        assert 0 == tus.received

    @modes
    def test_a_url_that_leads_elsewhere_is_refused(
        self, mode: Mode, begun: Tus, tus: TusServer, files: Files
    ) -> None:
        """Whoever could write the checkpoint gets neither the artifact nor the token."""
        document = json.loads(files.checkpoint.read_bytes())
        document["state"]["upload"]["url"] = "http://127.0.0.1:9/files/0"
        files.checkpoint.write_text(json.dumps(document))
        with mode.sending(TUS):
            error = caught(lambda: call(mode, begun, "put", files.source, resume=files.checkpoint))
        assert isinstance(error, ConfigurationError)
        assert "nothing that this upload can go on with" in str(error)
        assert 0 == tus.received

    @modes
    @pytest.mark.parametrize("resumed", [False, True], ids=["", "with-checkpoint"])
    def test_a_source_that_changes_while_it_is_sent_is_found(
        self, mode: Mode, account: Account, files: Files, *, resumed: bool
    ) -> None:
        """The segments before the change are deleted, and nothing is left to go on with."""
        files.write(artifact(4))

        def rule(request: Passed) -> None:
            if request.path.endswith("00002"):
                with files.source.open("r+b") as file:
                    file.seek(2 * PART)
                    file.write(b"other")

        account.gate.rule = rule
        storage = account.storage(limit=1)
        resume = files.checkpoint if resumed else None
        with mode.sending(account.secrets):
            error = caught(lambda: call(mode, storage, "put", files.source, "a", resume=resume))
            assert isinstance(error, IntegrityError)
            with pytest.raises(ObjectNotFoundError):
                call(mode, storage, "get", "a")
        assert ([], False) == (account.segments(), files.checkpoint.exists())

    @pytest.mark.parametrize(
        "mode", [HTTPX, HTTPX_ASYNC, REQUESTS, REQUESTS_ASYNC], ids=lambda mode: mode.name
    )
    def test_a_change_within_a_request_ends_it(self, mode: Mode, door: Gate, files: Files) -> None:
        """A part that is read while it is sent does not reach the registry in whole."""
        size = 2 * 1024 * KIB
        files.write(artifact(4 * size / PART))

        def rule(request: Passed) -> None:
            if request.size:
                with files.source.open("r+b") as file:
                    file.seek(2 * size - 1)
                    file.write(b"\0")

        door.rule = rule
        with mode.sending(REGISTRY, attempts=4):
            storage = OciBlobs(origin=door.url, part_size=size)
            error = caught(lambda: call(mode, storage, "put", files.source))
        assert isinstance(error, IntegrityError)
        assert ([size], 1) == (
            door.sizes("PATCH"),
            [each.method for each in door.requests].count("DELETE"),
        )


@modes
def test_an_upload_that_the_registry_cannot_go_on_with_is_begun_anew(
    mode: Mode, registry: Registry, tcpfault: StartTcpFault
) -> None:
    """This registry forgets an upload of which a part broke off; the blob is whole all the same."""
    port = urlsplit(registry.url).port
    relay = tcpfault(port or 0, "reset-upload", after=int(1.5 * PART), times=1)
    data = artifact(3)
    with mode.sending(REGISTRY):
        storage = OciBlobs(origin=relay.url)
        receipt = call(mode, storage, "put", data)
        assert data == call(mode, storage, "get", receipt)


class Interrupted(HttpxTransport):
    """Somebody presses Ctrl-C after so many requests."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt

    def send(self, request: WireRequest) -> WireResponse:
        """Send, or be interrupted."""
        self._count()
        return super().send(request)

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Send, or be interrupted."""
        self._count()
        return await super().asend(request)


@modes
def test_an_interrupted_upload_is_logged(
    mode: Mode, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can be asked any more, so the log says what is left."""
    with mode.sending(account.secrets, transport=Interrupted(after=2)):
        error = caught(lambda: call(mode, account.storage(limit=1), "put", artifact(4), "a"))
    (name,) = {segment.partition("/")[0] for segment in account.segments()}
    assert isinstance(error, KeyboardInterrupt)
    assert f"was interrupted; left at the service: upload '{name}'" in caplog.text


@pytest.mark.timeout(240)  # it is traced, which is slow
@modes
def test_memory_does_not_grow_with_the_parts(
    mode: Mode, swift: Swift, account: Account, tmp_path: Path
) -> None:
    """256 MiB go up in parts of 32 MiB, four at a time, in a fraction of the memory of one."""
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(256 * 1024 * KIB)
    storage = SwiftSegments(
        origin=swift.url + account.path,
        container=account.container,
        part_size=32 * 1024 * KIB,
        limit=4,
    )
    with mode.sending(account.secrets):
        call(mode, storage, "put", b"", "warm")
        tracemalloc.start()
        try:
            receipt: Receipt = call(mode, storage, "put", source, "a")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert 256 * 1024 * KIB == receipt.size
    assert peak < 8 * 1024 * KIB
