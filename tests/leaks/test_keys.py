"""Keys that sign and encrypt show in no channel, whether all goes well or not."""

from __future__ import annotations

import base64
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.files import FileService
from tests.leaks.channels import Shown, of_error, of_object, reachable, witnessed
from tests.sending.support import HTTPX, HTTPX_ASYNC, Mode, caught
from webhook_storage import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

RAW = bytes(range(7, 39))
AES_KEY = base64.b64encode(RAW).decode()
HMAC_KEY = "sIgNiNg-key of these tests only"
SECRETS = {"AES": AES_KEY, "SIGN": HMAC_KEY}
WRONG = {"AES": base64.b64encode(bytes(32)).decode(), "SIGN": "another key, of the right length"}
SPELLINGS = {
    "the key": AES_KEY,
    "the key's bytes": repr(RAW)[2:-1],
    "the key in hexadecimal": RAW.hex(),
    "the signing key": HMAC_KEY,
    "the signing key's bytes": repr(HMAC_KEY.encode())[2:-1],
}
modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)


def shows(shown: Iterable[Shown]) -> list[str]:
    """Return each channel in which a key stands."""
    return [
        f"{channel}: {name}"
        for channel, text in shown
        for name, key in SPELLINGS.items()
        if _holds(text, key)
    ]


def _holds(text: str | bytes, key: str) -> bool:
    return key in text if isinstance(text, str) else key.encode() in text or RAW in text


def guarded(origin: str, **options: Any) -> Webhook:
    """Return a storage that signs and encrypts."""
    place = {"url": f"{origin}/${{artifact.key}}"}
    options = {"compression": "gzip", **options}
    keys: dict[str, Any] = {"signing_keys": {"s": "${SIGN}"}, "encryption_keys": {"a": "${AES}"}}
    return Webhook(place, "PUT", place, "GET", **keys, **options)


def flow() -> int:
    """Return a number."""
    return 42


def alter(service: FileService, key: str) -> None:
    """Change the last byte of what is stored."""
    data = bytearray(service.files[f"/{key}"])
    data[-1] ^= 1
    service.files[f"/{key}"] = bytes(data)


def swap(service: FileService, key: str) -> None:
    """Put another artifact in its place."""
    service.files[f"/{key}"] = service.files["/other"]


def nothing(service: FileService, key: str) -> None:
    """Leave it as it is."""


CASES: dict[str, tuple[Callable[[FileService, str], None], dict[str, str], str | None]] = {
    "fine": (nothing, SECRETS, None),
    "altered": (alter, SECRETS, "IntegrityError"),
    "swapped": (swap, SECRETS, "IntegrityError"),
    "another key": (nothing, WRONG, "IntegrityError"),
    "a key that is none": (nothing, {"AES": AES_KEY[:-4], "SIGN": "short"}, "ConfigurationError"),
}


@modes
@pytest.mark.parametrize("case", CASES)
def test_artifact(capsys: pytest.CaptureFixture[str], mode: Mode, case: str) -> None:
    """An encrypted artifact comes back, or is refused, and its key is nowhere."""
    change, secrets, expected = CASES[case]
    shown: list[Shown] = []
    with FileService() as service, witnessed(capsys) as witness:
        storage = guarded(service.url)
        with mode.sending(SECRETS):
            receipt = mode.call(storage, "put", b"artifact" * 1000, "k")
            mode.call(storage, "put", b"another", "other")
        change(service, "k")
        with mode.sending(secrets) as sender:
            outcome = _outcome(partial(mode.call, storage, "get", "k"), shown)
            for thing in (storage, receipt, sender, sender.resolution):
                shown += of_object(thing)
        shown += reachable(storage)
    assert (expected or b"artifact" * 1000) == outcome
    assert [] == shows([*shown, *witness.shown])


@modes
@pytest.mark.parametrize("case", CASES)
def test_flow(capsys: pytest.CaptureFixture[str], mode: Mode, case: str) -> None:
    """A signed and encrypted flow is loaded, or refused, and its keys are nowhere."""
    change, secrets, _ = CASES[case]
    shown: list[Shown] = []
    with FileService() as service, witnessed(capsys) as witness:
        storage = guarded(service.url)
        storage.add_flow(flow)
        with mode.sending(SECRETS):
            mode.call(storage, "build")
            mode.call(storage, "put", b"another", "other")
        change(service, "flow")
        with mode.sending(secrets):
            outcome = _outcome(partial(mode.call, storage, "get_flow", "flow"), shown)
        shown += [*of_object(storage), *reachable(storage)]
    assert (case == "fine") == callable(outcome)
    assert [] == shows([*shown, *witness.shown])


def test_bytes_on_the_service_are_not_the_artifact() -> None:
    """What is stored holds nothing of what was given, nor of the keys."""
    with FileService() as service, HTTPX.sending(SECRETS):
        storage = guarded(service.url)
        storage.put(b"a line that is easy to find\n" * 100, "k")
        stored = service.files["/k"]
        assert b"a line that is easy to find\n" * 100 == storage.get("k")
    assert (-1, []) == (stored.find(b"a line"), shows([("the service", stored)]))


def test_without_the_key_in_the_definition_it_is_not_readable(tmp_path: Path) -> None:
    """A storage that does not know of encryption gets bytes that are of no use."""
    with FileService() as service, HTTPX.sending(SECRETS):
        guarded(service.url).put(b"content", "k")
        place = {"url": f"{service.url}/${{artifact.key}}"}
        bare = Webhook(place, "PUT", place, "GET")
        assert bare.download(tmp_path / "k", "k") > len(b"content")
        assert b"content" not in (tmp_path / "k").read_bytes()
        bare.put(b"content", "plain")
        error = caught(lambda: guarded(service.url).get("plain"))
    assert "IntegrityError" == type(error).__name__


def _outcome(action: Callable[[], Any], shown: list[Shown]) -> Any:
    """Return a result, or the name of an error that is looked at."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - it is looked at
        shown += of_error(error)
        return type(error).__name__
