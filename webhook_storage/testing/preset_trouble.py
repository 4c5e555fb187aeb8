"""What presets promise when something is wrong or large: rights, retries, sizes, and no leak."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import TYPE_CHECKING

from webhook_storage.errors import (
    AuthenticationError,
    ObjectExistsError,
    PermissionDeniedError,
    TooLargeError,
    WebhookStorageError,
)
from webhook_storage.storage import Storage
from webhook_storage.testing.announced import announce
from webhook_storage.testing.preset_checks import (
    caught,
    different_bytes,
    hold,
    hold_raised,
)
from webhook_storage.testing.witness import shown_by, witnessed

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.testing.preset_case import PresetCase

_REFUSED = (AuthenticationError, PermissionDeniedError)
_UNAVAILABLE = 503
_MANY = 5 * 1024**3
"""S3 and its like take no more in one request."""


class TroublePromises:
    """What is wrong is told, and shows no secret."""

    # --- credentials and places ---

    def test_a_wrong_credential_does_nothing(self, case: PresetCase) -> None:
        """Every operation says so; nothing is said to be missing."""
        if case.wrong is None:
            return
        key = case.key()
        with case.sender():
            case.storage.put(b"1", key)
        with case.sender(case.wrong):
            _hold_refused(case, case.storage, key)
        with case.sender():
            hold(case.storage.get(key) == b"1", "a wrong credential has changed nothing")

    def test_a_forbidden_place_is_forbidden(self, case: PresetCase) -> None:
        """A right credential that may do nothing there is told so."""
        if case.forbidden is not None:
            with case.sender():
                _hold_refused(case, case.forbidden, case.key())

    def test_a_place_that_is_not_there(self, case: PresetCase) -> None:
        """Nothing can be stored there, and the error is one line with a hint."""
        place = case.elsewhere
        if place is None:
            return
        with case.sender():
            error = caught(lambda: place.put(b"1", case.key()))
        told = case.said(error)
        hold(error is not None, "in a place that is not there nothing is stored", told)
        hold(error is None or error.hint, "a place that is not there is told with a hint", told)
        hold("\n" not in str(error), "an error is one line", told)

    # --- large ones ---

    def test_a_large_artifact_comes_back(self, case: PresetCase) -> None:
        """In one request or in parts, the last of which is not full."""
        key, data = case.key(), different_bytes(case.parted_above * 2 + 12345)
        storage = case.parted or case.storage
        with case.sender():
            storage.put(data, key)
            hold(storage.get(key) == data, "a large artifact comes back")

    def test_what_is_too_large_is_refused_at_once(self, case: PresetCase) -> None:
        """Nothing of it is read, and nothing sent."""
        if case.largest is None:
            return
        error, read, sizes = announce(case, case.largest + 1)
        promise = f"{case.largest + 1} bytes are refused as too large"
        hold(isinstance(error, TooLargeError), promise, case.said(error))
        hold(not read and not sizes, "what is too large is refused before it is read")

    def test_five_gibibytes_are_refused_or_split(self, case: PresetCase) -> None:
        """One byte more is announced; no request has more than the service takes."""
        error, read, sizes = announce(case, _MANY + 1)
        if isinstance(error, TooLargeError):
            hold(not read and not sizes, "what is too large is refused before it is read")
            return
        hold(sizes, f"{_MANY + 1} bytes are refused as too large, or sent", case.said(error))
        most = case.largest_request
        if most is None and case.parted is not None:
            most = _MANY
        split = most is None or max(sizes) <= most
        hold(split, f"more than {most} bytes are split", f"{max(sizes)} are in one request")

    # --- trouble ---

    def test_trouble_in_the_middle_is_overcome(self, case: PresetCase) -> None:
        """A request that is refused for a moment is sent again, whole or a part."""
        trouble = case.trouble
        if trouble is None:
            return
        for storage, size in ((case.storage, 1000), (case.parted, case.parted_above * 2 + 1)):
            if storage is None:
                continue
            data, key = different_bytes(size), case.key()
            with case.sender(attempts=3):
                trouble(_UNAVAILABLE)
                storage.put(data, key)
                hold(storage.get(key) == data, "what went wrong once is stored all the same")

    def test_a_lost_answer_is_no_conflict(self, case: PresetCase) -> None:
        """Who stored it, and did not hear so, is not told that somebody else did; others are."""
        lose, key = case.lose, case.key()
        if lose is None:
            return
        with case.sender(attempts=3):
            lose()
            receipt = case.storage.put(b"1", key, if_absent=case.create_only)
            if case.create_only:
                lose()
                action = lambda: case.storage.put(b"2", key, if_absent=True)  # noqa: E731 - said once
                promise = "what somebody else has stored is not replaced after a lost answer"
                hold_raised(case, action, ObjectExistsError, promise)
            lose()
            case.storage.put(b"3", key, if_unchanged=receipt if case.replaces else None)
            hold(case.storage.get(key) == b"3", "a store whose answer was lost is a store")

    # --- data, and leaks ---

    def test_it_is_plain_data(self, case: PresetCase) -> None:
        """JSON, pickle and copy give the same storage, and hold no secret."""
        storage = case.storage
        with case.sender():
            storage.put(b"1", case.key())
        pickled = pickle.dumps(storage)
        twins = {
            "its JSON": Storage.from_json(storage.to_json()),
            "a pickle": pickle.loads(pickled),  # noqa: S301 - pickled just before
            "a copy": copy.deepcopy(storage),
        }
        for name, twin in twins.items():
            hold(twin == storage, f"what comes of {name} is equal to it")
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


def _hold_refused(case: PresetCase, storage: Storage, key: str) -> None:
    """Raise when an operation does not say that it may not be done."""
    actions: dict[str, Callable[[], object]] = {
        "put": lambda: storage.put(b"2", key),
        "get": lambda: storage.get(key),
        "exists": lambda: storage.exists(key),
        "delete": lambda: storage.delete(key),
    }
    if case.lists:
        actions["list"] = storage.list
    for name, action in actions.items():
        hold_raised(case, action, _REFUSED, f"{name}() without a right to it is told so")


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
