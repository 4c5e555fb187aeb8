"""The contract of presets, as a suite of checks that every storage can be held to."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import pickle
import tempfile
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    SecretError,
    TooLargeError,
    WebhookStorageError,
)
from webhook_storage.storage import Storage
from webhook_storage.testing.witness import shown_by, witnessed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook_storage.testing.preset_case import PresetCase

T = TypeVar("T")

_REFUSED = (AuthenticationError, PermissionDeniedError)
_UNAVAILABLE = 503


class PresetSuite:
    """The promises of a preset, one method each.

    With pytest, derive a class whose name begins with ``Test`` and give it a fixture `case`;
    without it, call `preset_suite`. A breach is an `AssertionError` that says what was promised and
    what came instead. What a case leaves out is not tried.
    """

    # --- in and out ---

    def test_what_is_stored_is_fetched(self, case: PresetCase) -> None:
        """The bytes come back by the key and by the receipt, and the receipt is right."""
        key, data = case.key(), b"31 rows"
        with case.sender():
            receipt = case.storage.put(data, key)
            hold(receipt.key == key, "a receipt has the key")
            hold(receipt.size == len(data), "a receipt has the size")
            hold(receipt.sha256 == _digest(data), "a receipt has the digest")
            hold(case.storage.get(key) == data, "what is stored is fetched by its key")
            hold(case.storage.get(receipt) == data, "what is stored is fetched by its receipt")
            stat = case.storage.stat(key)
            hold(stat is not None, "stat() knows what is stored")
            hold(stat is None or stat.size in {None, len(data)}, "stat() says the size")
            hold(case.storage.exists(key), "exists() is true of what is stored")

    def test_an_event_loop_gets_the_same(self, case: PresetCase) -> None:
        """Each operation has a twin that does not block."""
        key, data, storage = case.key(), b"31 rows", case.storage

        async def run() -> None:
            await storage.aput(data, key)
            hold(await storage.aget(key) == data, "aget() returns what aput() stored")
            hold(await storage.aexists(key), "aexists() is true of what is stored")
            await storage.adelete(key)
            hold(not await storage.aexists(key), "adelete() deletes")

        with case.sender():
            asyncio.run(run())

    def test_a_second_store_replaces_the_first(self, case: PresetCase) -> None:
        """The newer bytes are there, be they longer or shorter."""
        key = case.key()
        with case.sender():
            for data in (b"31 rows", b"1", b"many more rows than before"):
                case.storage.put(data, key)
                hold(case.storage.get(key) == data, "a second store replaces the first")

    def test_nothing_is_an_artifact_too(self, case: PresetCase) -> None:
        """No bytes at all are stored and fetched."""
        key = case.key()
        with case.sender():
            receipt = case.storage.put(b"", key)
            hold(receipt.size == 0, "the receipt of nothing says so")
            hold(case.storage.get(receipt) == b"", "nothing comes back as nothing")
            hold(case.storage.exists(key), "an empty artifact is there")

    def test_files_go_in_and_out(self, case: PresetCase) -> None:
        """A path is stored under a key, and fetched into another path."""
        data = bytes(range(256)) * 4096
        with tempfile.TemporaryDirectory() as name, case.sender():
            source, target = Path(name, "source"), Path(name, "target")
            source.write_bytes(data)
            receipt = case.storage.put(source, case.key(), verify="after")
            hold(case.storage.download(target, receipt) == len(data), "download() says how many")
            hold(target.read_bytes() == data, "a file comes back as it was")

    def test_a_flow_is_built_and_loaded(self, case: PresetCase) -> None:
        """A flow is stored where the storage puts flows, and found by the receipt."""
        storage = copy.deepcopy(case.storage)

        def answer() -> int:
            return 42

        with case.sender():
            storage.add_flow(answer)
            storage.build()
            again = Storage.from_json(storage.to_json())
            hold(again.get_flow("answer")() == 42, "a flow is loaded by the definition's JSON")  # noqa: PLR2004

    # --- keys ---

    def test_odd_keys_are_kept_apart(self, case: PresetCase) -> None:
        """However a URL spells them, each leads to its own artifact."""
        prefix = case.key("")
        stored = {f"{prefix}{odd}": f"of {odd}".encode() for odd in case.odd_keys}
        with case.sender():
            for key, data in stored.items():
                case.storage.put(data, key)
            for key, data in stored.items():
                hold(case.storage.get(key) == data, f"{key!r} has its own artifact")
            if case.lists:
                listed = {key for key in case.storage.list() if key.startswith(prefix)}
                hold(listed == stored.keys(), "a list has all keys as they are", f"{listed}")

    def test_keys_that_cannot_be_are_refused(self, case: PresetCase) -> None:
        """They are refused in one line, and nothing is sent."""
        for key in case.refused_keys:
            with case.sender():
                error = caught(partial(case.storage.put, b"", key))
            kind = isinstance(error, (ConfigurationError, SecretError))
            hold(kind, f"the key {key!r} is refused before anything is sent", f"{error!r}")
            hold("\n" not in str(error), "an error is one line")

    # --- what is not there ---

    def test_what_is_missing_is_said_to_be(self, case: PresetCase) -> None:
        """Fetching and deleting it are errors, asking is not."""
        key = case.key("nobody has stored this")
        with case.sender():
            hold(not case.storage.exists(key), "exists() is false of what is missing")
            hold(case.storage.stat(key) is None, "stat() is None of what is missing")
            for action in (lambda: case.storage.get(key), lambda: case.storage.delete(key)):
                error = caught(action)
                hold(isinstance(error, ObjectNotFoundError), "missing is told so", f"{error!r}")

    def test_what_is_deleted_is_gone(self, case: PresetCase) -> None:
        """It is not found, not listed, and its neighbour is untouched."""
        first, second = case.key("a"), case.key("ab")
        with case.sender():
            case.storage.put(b"1", first)
            case.storage.put(b"2", second)
            case.storage.delete(first)
            hold(not case.storage.exists(first), "what is deleted is gone")
            hold(case.storage.get(second) == b"2", "no other is deleted")
            hold(not case.lists or first not in case.storage.list(), "a list has it no longer")

    # --- conditions ---

    def test_what_may_only_be_created_replaces_nothing(self, case: PresetCase) -> None:
        """The second store is refused; a service that cannot see to it is not asked."""
        key = case.key()
        with case.sender():
            if not case.create_only:
                error = caught(lambda: case.storage.put(b"1", key, if_absent=True))
                hold(isinstance(error, ConfigurationError), "if_absent is refused", f"{error!r}")
                hold(not case.storage.exists(key), "what is refused is not stored")
                return
            case.storage.put(b"1", key, if_absent=True)
            error = caught(lambda: case.storage.put(b"2", key, if_absent=True))
            hold(isinstance(error, ObjectExistsError), "what exists is not replaced", f"{error!r}")
            hold(case.storage.get(key) == b"1", "what exists stays as it is")

    def test_another_version_is_not_replaced(self, case: PresetCase) -> None:
        """The version of the receipt is replaced, and no other."""
        key = case.key()
        with case.sender():
            first = case.storage.put(b"1", key)
            if not case.replaces:
                error = caught(lambda: case.storage.put(b"2", key, if_unchanged="a version"))
                hold(isinstance(error, ConfigurationError), "if_unchanged is refused", f"{error!r}")
                hold(case.storage.get(key) == b"1", "what is refused is not stored")
                return
            case.storage.put(b"2", key, if_unchanged=first)
            error = caught(lambda: case.storage.put(b"3", key, if_unchanged=first))
            hold(isinstance(error, ConflictError), "another version is a conflict", f"{error!r}")
            hold(case.storage.get(key) == b"2", "another version stays as it is")

    # --- credentials and places ---

    def test_a_wrong_credential_does_nothing(self, case: PresetCase) -> None:
        """Every operation says so; nothing is said to be missing."""
        if case.wrong is None:
            return
        key = case.key()
        with case.sender():
            case.storage.put(b"1", key)
        with case.sender(case.wrong):
            self._hold_refused(case, case.storage, key)
        with case.sender():
            hold(case.storage.get(key) == b"1", "a wrong credential has changed nothing")

    def test_a_forbidden_place_is_forbidden(self, case: PresetCase) -> None:
        """A right credential that may do nothing there is told so."""
        if case.forbidden is not None:
            with case.sender():
                self._hold_refused(case, case.forbidden, case.key())

    def test_a_place_that_is_not_there(self, case: PresetCase) -> None:
        """Nothing can be stored there, and the error is one line with a hint."""
        if case.elsewhere is None:
            return
        with case.sender():
            error = caught(lambda: case.elsewhere and case.elsewhere.put(b"1", case.key()))
        known = isinstance(error, WebhookStorageError) and error.hint
        hold(known, "a place that is not there is told, with a hint", f"{error!r}")
        hold("\n" not in str(error), "an error is one line")

    def _hold_refused(self, case: PresetCase, storage: Storage, key: str) -> None:
        actions: dict[str, Callable[[], object]] = {
            "put": lambda: storage.put(b"2", key),
            "get": lambda: storage.get(key),
            "exists": lambda: storage.exists(key),
            "delete": lambda: storage.delete(key),
            "list": storage.list if case.lists else lambda: storage.get(key),
        }
        for name, action in actions.items():
            error = caught(action)
            hold(isinstance(error, _REFUSED), f"{name}() without a right is told so", f"{error!r}")

    # --- large ones, and trouble ---

    def test_a_large_artifact_comes_back(self, case: PresetCase) -> None:
        """In one request or in parts, the last of which is not full."""
        data = _bytes(case.parted_above * 2 + 12345)
        storage = case.parted or case.storage
        with case.sender():
            receipt = storage.put(data, case.key())
            hold(storage.get(receipt) == data, "a large artifact comes back")

    def test_trouble_in_the_middle_is_overcome(self, case: PresetCase) -> None:
        """A request that is refused for a moment is sent again, whole or a part."""
        trouble = case.trouble
        if trouble is None:
            return
        for storage, size in ((case.storage, 1000), (case.parted, case.parted_above * 2 + 1)):
            if storage is None:
                continue
            data, key = _bytes(size), case.key()
            with case.sender(attempts=3):
                trouble(_UNAVAILABLE)
                storage.put(data, key)
                hold(storage.get(key) == data, "what went wrong once is stored all the same")

    def test_what_is_too_large_is_refused_at_once(self, case: PresetCase) -> None:
        """Nothing of it is read."""
        if case.largest is None:
            return
        body = _Announced(case.largest + 1)
        exchange = case.storage.store_exchange(body, {"artifact.key": "a", "build.time": "now"})
        with case.sender() as sender:
            error = caught(lambda: sender.run(exchange))
        hold(isinstance(error, TooLargeError), "too many bytes are refused", f"{error!r}")

    # --- data, and leaks ---

    def test_it_is_plain_data(self, case: PresetCase) -> None:
        """JSON, pickle and copy give the same storage, and hold no secret."""
        storage = case.storage
        with case.sender():
            storage.put(b"1", case.key())
        pickled = pickle.dumps(storage)
        twins = (
            Storage.from_json(storage.to_json()),
            pickle.loads(pickled),  # noqa: S301 - pickled just before
            copy.deepcopy(storage),
        )
        for twin in twins:
            hold(twin == storage, "a copy is equal")
        for shown in (storage.to_json(), repr(storage), pickled):
            hold(not case.leaks(shown), "a definition holds no secret")

    def test_nothing_shows_a_secret(self, case: PresetCase) -> None:
        """No record of a log, print, warning, receipt or error holds one."""
        key = case.key()
        with witnessed() as witness:
            for secrets in (case.secrets, case.wrong):
                if secrets is None:
                    continue
                with case.sender(secrets):
                    witness.extend(_shown_by_all(case.storage, key))
        leaks = case.leaks("\n".join(witness))
        hold(not leaks, "nothing shows a secret", f"it stands there: {', '.join(leaks)}")


def preset_suite(case: PresetCase) -> None:
    """Hold a preset to the whole contract.

    Args:
        case: The storage and its service.

    Raises:
        AssertionError: At the first breach; it says what the contract wants.
    """
    suite = PresetSuite()
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)(case)


def hold(kept: object, promise: str, instead: str = "") -> None:
    """Raise when a promise is not kept.

    Args:
        kept: Whether it is.
        promise: What is true of a good preset.
        instead: What came.

    Raises:
        AssertionError: It is not kept.
    """
    __tracebackhide__ = True
    if not kept:
        message = f"a preset's promise is broken: {promise}{instead and f'; it is {instead}'}"
        raise AssertionError(message)


def caught(action: Callable[[], object]) -> WebhookStorageError | None:
    """Return the error that an action ends with, None when it does not."""
    try:
        action()
    except WebhookStorageError as error:
        return error
    return None


def _shown_by_all(storage: Storage, key: str) -> list[str]:
    """Return what all operations show, errors with their frames."""
    shown: list[str] = []
    actions: tuple[Callable[[], object], ...] = (
        lambda: storage.put(b"1", key),
        lambda: storage.get(key),
        lambda: storage.stat(key),
        lambda: storage.get(f"{key}-missing"),
        lambda: storage.delete(key),
        storage.list,
    )
    for action in actions:
        try:
            shown.append(shown_by(action()))
        except WebhookStorageError as error:
            frames = traceback.TracebackException.from_exception(error, capture_locals=True)
            shown += [str(error), repr(error), str(error.hint), "".join(frames.format())]
    return shown


class _Announced:
    """A body of which nobody may read a byte."""

    def __init__(self, size: int) -> None:
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """Fail."""
        raise AssertionError("a body that is too large is not read")

    def sha256(self) -> str:
        """Fail."""
        raise AssertionError("a body that is too large is not read")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _bytes(size: int) -> bytes:
    """Return so many bytes, of which no part is like another."""
    return hashlib.shake_128(str(size).encode()).digest(size)
