"""What presets promise of artifacts: in and out, under any key, missing, and on a condition."""

from __future__ import annotations

import asyncio
import copy
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from webhook_storage.errors import (
    ConfigurationError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    SecretError,
)
from webhook_storage.receipt import Receipt
from webhook_storage.storage import Storage
from webhook_storage.testing.announced import unsent
from webhook_storage.testing.preset_checks import (
    at_once,
    different_bytes,
    digest,
    hold,
    hold_raised,
)

if TYPE_CHECKING:
    from webhook_storage.testing.preset_case import PresetCase

_ROUNDS = 3
_SENT = 20_000
"""Number of bytes of an artifact that is told from a question."""


class ArtifactPromises:
    """What is stored is fetched."""

    # --- in and out ---

    def test_what_is_stored_is_fetched(self, case: PresetCase) -> None:
        """The bytes come back by the key and by the receipt, and the receipt is right."""
        key, data = case.key(), b"31 rows"
        with case.sender():
            receipt = case.storage.put(data, key)
            hold(receipt.key == key, "a receipt has the key")
            hold(receipt.size == len(data), "a receipt has the size")
            hold(receipt.sha256 == digest(data), "a receipt has the digest")
            hold(case.storage.get(key) == data, "what is stored is fetched by its key")
            hold(case.storage.get(receipt) == data, "what is stored is fetched by its receipt")
            stat = case.storage.stat(key)
            hold(stat is not None, "stat() knows what is stored")
            hold(stat is None or stat.size in {None, len(data)}, "stat() says the size")
            hold(case.storage.exists(key), "exists() is true of what is stored")

    def test_a_receipt_is_plain_data(self, case: PresetCase) -> None:
        """It can be kept as JSON, and finds the artifact all the same."""
        with case.sender():
            receipt = case.storage.put(b"31 rows", case.key())
            text = receipt.model_dump_json()
            try:
                again = Receipt.model_validate_json(text)
            except ValueError:
                again = None
            hold(again == receipt, "a receipt comes back from its JSON")
            hold(case.storage.get(again) == b"31 rows", "a receipt from JSON finds the artifact")
            hold(not case.leaks(text), "a receipt holds no secret")
            case.storage.delete(again)
            hold(not case.storage.exists(receipt), "what a receipt stands for can be deleted")

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

    def test_of_two_stores_at_once_one_is_whole(self, case: PresetCase) -> None:
        """Under one key, from two threads; one of them may be told that it came too late."""
        both = [different_bytes(size) for size in (40_000, 70_000)]
        for _ in range(_ROUNDS):
            key = case.key()
            with case.sender() as sender:
                results = at_once([partial(case.stored_by, sender, data, key) for data in both])
                found = case.storage.get(key)
            receipts = [each for each in results if isinstance(each, Receipt)]
            hold(receipts, "of two stores at once one succeeds", case.said(results[0]))
            for data, result in zip(both, results, strict=True):
                right = not isinstance(result, Receipt) or result.sha256 == digest(data)
                hold(right, "of two stores at once each has its own receipt")
            whole = found in both
            hold(whole, "of two stores at once one is there whole", f"{len(found)} bytes are")

    def test_nothing_is_an_artifact_too(self, case: PresetCase) -> None:
        """No bytes at all are stored and fetched."""
        key = case.key()
        with case.sender():
            receipt = case.storage.put(b"", key)
            hold(receipt.size == 0, "the receipt of nothing says so")
            hold(case.storage.get(key) == b"", "nothing comes back as nothing")
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

    def test_as_a_webhook_it_is_the_same(self, case: PresetCase) -> None:
        """Where one request is enough, its requests spelled out store and fetch the same."""
        as_webhook, key = getattr(case.storage, "as_webhook", None), case.key()
        if as_webhook is None:
            return
        try:
            webhook = as_webhook()
        except ConfigurationError:
            return  # so configured, it takes more than a Webhook can say
        with case.sender():
            case.storage.put(b"31 rows", key)
            hold(webhook.get(key) == b"31 rows", "a Webhook fetches what the preset stores")
            webhook.put(b"32 rows and more", key)
            same = case.storage.get(key) == b"32 rows and more"
            hold(same, "the preset fetches what its Webhook stores")
        hold(not case.leaks(webhook.to_json()), "a preset's Webhook holds no secret")

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
                listed = Counter(key for key in case.storage.list() if key.startswith(prefix))
                wanted = Counter(stored.keys())
                instead = f"it lacks {[*wanted - listed]}, and has besides {[*listed - wanted]}"
                hold(listed == wanted, "a list has each key once, as it is", instead)

    def test_keys_that_cannot_be_are_refused(self, case: PresetCase) -> None:
        """They are refused in one line, and nothing is sent."""
        kinds = (ConfigurationError, SecretError)
        for key in case.refused_keys:
            promise = f"the key {key!r} is refused before anything is sent"
            with unsent(case):
                action = partial(case.storage.put, different_bytes(_SENT), key)
                hold_raised(case, action, kinds, promise)

    # --- what is not there ---

    def test_what_is_missing_is_said_to_be(self, case: PresetCase) -> None:
        """Fetching and deleting it are errors, asking is not."""
        key = case.key("nobody has stored this")
        with case.sender():
            hold(case.storage.stat(key) is None, "stat() is None of what is missing")
            hold(not case.storage.exists(key), "exists() is false of what is missing")
            for action in (case.storage.get, case.storage.delete):
                promise = f"{action.__name__}() says of what is missing that it is"
                hold_raised(case, partial(action, key), ObjectNotFoundError, promise)

    def test_what_is_deleted_is_gone(self, case: PresetCase) -> None:
        """It is not found, not listed, and its neighbour is untouched."""
        prefix = case.key("")
        first, second = f"{prefix}a", f"{prefix}ab"
        with case.sender():
            case.storage.put(b"1", first)
            case.storage.put(b"2", second)
            case.storage.delete(first)
            hold(not case.storage.exists(first), "what is deleted is gone")
            hold(case.storage.exists(second), "no other is deleted")
            hold(not case.lists or first not in case.storage.list(), "a list has it no longer")

    # --- conditions ---

    def test_what_may_only_be_created_replaces_nothing(self, case: PresetCase) -> None:
        """The second store is refused; a service that cannot see to it is not asked."""
        key = case.key()
        create = partial(case.storage.put, key=key, if_absent=True)
        with case.sender():
            if not case.create_only:
                promise = "if_absent is refused where the service cannot hold it"
                hold_raised(case, partial(create, b"1"), ConfigurationError, promise)
                hold(not case.storage.exists(key), "what is refused is not stored")
                return
            create(b"1")
            promise = "what may only be created is not replaced"
            hold_raised(case, partial(create, b"2"), ObjectExistsError, promise)
            hold(case.storage.get(key) == b"1", "what exists stays as it is")

    def test_another_version_is_not_replaced(self, case: PresetCase) -> None:
        """The version of the receipt is replaced, and no other."""
        key = case.key()
        replace = partial(case.storage.put, key=key)
        with case.sender():
            first = case.storage.put(b"1", key)
            if not case.replaces:
                promise = "if_unchanged is refused where the service cannot hold it"
                action = partial(replace, b"2", if_unchanged="a version")
                hold_raised(case, action, ConfigurationError, promise)
                hold(case.storage.get(key) == b"1", "what is refused is not stored")
                return
            replace(b"2", if_unchanged=first)
            hold(case.storage.get(key) == b"2", "the version of a receipt is replaced")
            action = partial(replace, b"3", if_unchanged=first)
            hold_raised(case, action, ConflictError, "to replace another version is a conflict")
            hold(case.storage.get(key) == b"2", "another version stays as it is")
