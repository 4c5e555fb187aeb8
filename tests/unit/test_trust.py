"""Expiry, names, and what was done to a payload; the rest of `admit` is in ``test_flows``."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from webhook_storage.envelope import Header, seal
from webhook_storage.errors import (
    ConfigurationError,
    ExpiredArtifactError,
    IntegrityError,
    PythonVersionError,
    SignatureError,
    TrustError,
)
from webhook_storage.flows import Packed, pack, pack_script
from webhook_storage.interpreter import this_python
from webhook_storage.secret import Keys, SecretValue
from webhook_storage.trust import admit, expiry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY, OTHER = SecretValue("the key of the tests"), SecretValue("another key of them")
KEYS = {"k": KEY}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAYLOAD = b"pickled"
STAGED = b"<done to it>" + PAYLOAD


def head(payload: bytes = PAYLOAD, **changes: Any) -> Header:
    """Describe a payload as flow ``etl`` of this Python."""
    header = Header(
        kind="pickle",
        names=("etl",),
        sha256=hashlib.sha256(payload).hexdigest(),
        size=len(payload),
        created=NOW.isoformat(),
        python=this_python(),
    )
    return dataclasses.replace(header, **changes)


def admitted(
    data: bytes,
    *,
    name: str = "etl",
    script: bool = False,
    pinned: str | None = None,
    keys: Keys = KEYS,
    **more: Any,
) -> bytes:
    """Return the payload that is admitted."""
    options = {"trust": "verified", "now": NOW, **more}
    return admit(data, name=name, script=script, pinned=pinned, keys=keys, **options).payload


# --- expiry ---------------------------------------------------------------------------------------

SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (1, "2026-01-02T03:04:06+00:00"),
        (0.25, "2026-01-02T03:04:05.250000+00:00"),
        (86_400, "2026-01-03T03:04:05+00:00"),
    ],
)
def test_an_expiry_is_a_time_in_utc(seconds: float | None, text: str) -> None:
    """Seconds become a moment, none become no text."""
    assert text == expiry(seconds, NOW)
    assert text == expiry(seconds, NOW.astimezone(timezone(timedelta(hours=9))))


@pytest.mark.parametrize(
    "seconds", [0, -1, -0.0, float("nan"), float("inf"), -float("inf"), 1e300, 10**12, "60", b""]
)
def test_an_expiry_is_a_positive_number(seconds: Any) -> None:
    """Nothing is stored that is refused at once, or at a time that there is not."""
    with pytest.raises(ConfigurationError, match="expire_after: an artifact can be good") as caught:
        expiry(seconds, NOW)
    assert caught.value.hint == "leave it out for ever"


def test_without_a_time_the_clock_is_asked() -> None:
    """What is stored now and is good for an hour can be fetched now, and expires in an hour."""
    before = datetime.now(UTC)
    text = expiry(3600)
    after = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert before + hour <= datetime.fromisoformat(text) <= after + hour
    data = seal(head(expires=text), PAYLOAD, KEYS)
    assert admitted(data, now=None) == PAYLOAD
    with pytest.raises(ExpiredArtifactError):
        admitted(seal(head(expires=expiry(1, NOW - hour)), PAYLOAD, KEYS), now=None)


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("keys", [KEYS, {}], ids=["signed", "unsigned"])
def test_an_expiry_is_exact(keys: Keys, *, pinned: bool) -> None:
    """To the last microsecond before it the artifact is good, from then on nothing helps."""
    data = seal(head(expires=expiry(60, NOW)), PAYLOAD, keys)
    options: dict[str, Any] = {"pinned": hashlib.sha256(data).hexdigest() if pinned else None}
    if not keys and not pinned:
        options["trust"] = "unsigned"
    end = NOW + 60 * SECOND
    assert admitted(data, now=end - TICK, **options) == PAYLOAD
    for now in (end, end + TICK, end + 1000 * SECOND):
        with pytest.raises(ExpiredArtifactError, match="expired at 2026-01-02T03:05:05") as caught:
            admitted(data, now=now, **options)
        assert caught.value.hint == "store it again"


def test_an_expiry_in_another_zone_is_the_same_moment() -> None:
    """What other software wrote, with its own offset, is compared as a moment."""
    data = seal(head(expires="2026-01-02T12:05:05+09:00"), PAYLOAD, KEYS)
    assert admitted(data, now=NOW + 59 * SECOND) == PAYLOAD
    with pytest.raises(ExpiredArtifactError):
        admitted(data, now=NOW + 61 * SECOND)


@pytest.mark.parametrize(
    "expires", ["0001-01-01T00:00:00+23:59", "2020-01-01\x1b00:00:00Z", "2020-W01-1T00:00Z"]
)
def test_an_odd_time_is_a_time(expires: str) -> None:
    """Times at the end of the calendar, and in forms that hardly anybody writes, are past too."""
    with pytest.raises(ExpiredArtifactError) as caught:
        admitted(seal(head(expires=expires), PAYLOAD, KEYS))
    assert "\x1b" not in str(caught.value)


def test_the_end_of_the_calendar_is_in_the_future() -> None:
    """So is the last moment that can be written."""
    data = seal(head(expires="9999-12-31T23:59:59-23:59"), PAYLOAD, KEYS)
    assert admitted(data) == PAYLOAD


@pytest.mark.parametrize("created", ["2999-01-01T00:00:00+00:00", "", "long ago"])
def test_the_time_of_storing_decides_nothing(created: str) -> None:
    """A clock that is ahead, or a time that is none, is no reason to refuse a signed flow."""
    assert admitted(seal(head(created=created), PAYLOAD, KEYS)) == PAYLOAD


def test_a_flow_is_packed_with_its_expiry(tmp_path: Path) -> None:
    """Pickles and scripts take one, and a script without keys gets an envelope to hold it."""
    script = tmp_path / "flows.py"
    script.write_text("def etl(): pass\n")
    packed = pack_script(str(script), ["etl"], expires=expiry(60, NOW))
    data = packed.seal({})
    pinned = hashlib.sha256(data).hexdigest()
    assert admitted(data, script=True, pinned=pinned) == packed.payload
    with pytest.raises(ExpiredArtifactError):
        admitted(data, script=True, pinned=pinned, now=NOW + 61 * SECOND)
    assert pack(tmp_path, "etl", expires="x").header.expires == "x"


# --- names ----------------------------------------------------------------------------------------


def test_a_flow_is_not_taken_for_another() -> None:
    """A flow that is rightly signed and pinned is refused in the place of another one."""
    data = seal(head(names=("drop all",)), PAYLOAD, KEYS)
    pinned = hashlib.sha256(data).hexdigest()
    ways: list[dict[str, Any]] = [{}, {"pinned": pinned}, {"trust": "unsigned"}]
    for options in ways:
        with pytest.raises(SignatureError, match=r"asked for flow 'etl', and .* 'drop all'"):
            admitted(data, **options)
    assert admitted(data, name="drop all") == PAYLOAD


def test_a_flow_of_another_key_is_not_taken_for_another() -> None:
    """With two keys that are both accepted the name is bound just as with one."""
    keys = {"theirs": OTHER, "ours": KEY}
    ours = seal(head(), PAYLOAD, {"ours": KEY})
    theirs = seal(head(names=("drop all",)), PAYLOAD, {"theirs": OTHER})
    assert admitted(ours, keys=keys) == PAYLOAD
    with pytest.raises(SignatureError, match="in its place"):
        admitted(theirs, keys=keys)


def test_a_signature_does_not_move_to_another_name() -> None:
    """The name in the header is signed: another one needs another signature."""
    ours, theirs = seal(head(names=("abc",)), PAYLOAD, KEYS), seal(head(), PAYLOAD, KEYS)
    renamed = theirs.replace(b'["etl"]', b'["abc"]')
    assert len(ours) == len(renamed)
    with pytest.raises(SignatureError, match="does not hold"):
        admitted(renamed, name="abc")
    grafted = ours.replace(ours[ours.index(b"[{") :], theirs[theirs.index(b"[{") :])
    with pytest.raises(SignatureError, match="does not hold"):
        admitted(grafted, name="abc")


@pytest.mark.parametrize("name", ["", "ETL", "etl ", "etl\x00", "et", "etl,nightly", "['etl']"])
def test_a_script_holds_its_flows_and_no_other(name: str) -> None:
    """Each flow of a script is found by its exact name."""
    data = seal(head(kind="script", names=("etl", "nightly", "größe")), PAYLOAD, KEYS)
    for known in ("etl", "nightly", "größe"):
        assert admitted(data, name=known, script=True) == PAYLOAD
    with pytest.raises(SignatureError, match="the service has 'etl', 'nightly', 'größe'"):
        admitted(data, name=name, script=True)


def test_few_names_are_told() -> None:
    """An envelope with very many names, or none, does not fill the error with them."""
    with pytest.raises(SignatureError) as caught:
        admitted(seal(head(names=tuple(map(str, range(1000)))), PAYLOAD, KEYS))
    assert "has '0', '1', '2', '3', '4' in its place" in str(caught.value)
    with pytest.raises(SignatureError, match="has nothing in its place"):
        admitted(seal(head(names=()), PAYLOAD, KEYS))


# --- what was done to a payload -------------------------------------------------------------------


class Undo:
    """Undoes what was done to the payload, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, data: bytes) -> bytes:
        self.calls += 1
        return data.removeprefix(b"<done to it>")


def test_what_was_done_is_undone() -> None:
    """The payload comes as it was packed, for a pickle and for a script."""
    for kind in ("pickle", "script"):
        packed = Packed(head(kind=kind), PAYLOAD).staged(STAGED, "stages-1")
        assert (packed.header.encoding, packed.header.size) == ("stages-1", len(STAGED))
        undo = Undo()
        assert admitted(packed.seal(KEYS), decode=undo, must_decode=True) == PAYLOAD
        assert undo.calls == 1


def test_a_script_without_keys_gets_an_envelope_for_its_encoding() -> None:
    """A bare script could not say what was done to it."""
    packed = Packed(head(kind="script"), PAYLOAD)
    assert packed.seal({}) == PAYLOAD
    data = packed.staged(STAGED, "stages-1").seal({})
    pinned = hashlib.sha256(data).hexdigest()
    assert admitted(data, script=True, pinned=pinned, decode=Undo()) == PAYLOAD


def test_what_nothing_was_done_to_stays_as_it_is() -> None:
    """A storage that could undo something reads what it stored before it could."""
    undo = Undo()
    assert admitted(seal(head(), PAYLOAD, KEYS), decode=undo) == PAYLOAD
    assert undo.calls == 0


REFUSED: dict[str, tuple[Callable[[Packed], bytes], dict[str, Any], type[Exception]]] = {
    "nobody vouches": (lambda p: p.seal({}), {}, TrustError),
    "another key": (lambda p: p.seal({"k": OTHER}), {}, SignatureError),
    "another name": (
        lambda p: seal(dataclasses.replace(p.header, names=("x",)), p.payload, KEYS), {},
        SignatureError,
    ),
    "expired": (
        lambda p: seal(dataclasses.replace(p.header, expires=NOW.isoformat()), p.payload, KEYS),
        {}, ExpiredArtifactError,
    ),
    "altered": (lambda p: p.seal(KEYS)[:-1] + b"!", {}, IntegrityError),
    "another Python": (
        lambda p: seal(dataclasses.replace(p.header, python="PyPy 3.11.1"), p.payload, KEYS), {},
        PythonVersionError,
    ),
    "a later version": (
        lambda p: p.staged(p.payload, "stages-2").seal(KEYS), {}, IntegrityError,
    ),
    "a later version, unsigned": (
        lambda p: p.staged(p.payload, "\x1b[2J").seal({}), {"trust": "unsigned"}, IntegrityError,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_is_undone_before_all_is_good(case: str) -> None:
    """A payload that is not trusted is not decompressed: a bomb does not get that far."""
    make, options, error = REFUSED[case]
    undo = Undo()
    packed = Packed(head(), PAYLOAD).staged(STAGED, "stages-1")
    with pytest.raises(error) as caught:
        admitted(make(packed), decode=undo, must_decode=True, **options)
    assert (error, 0) == (type(caught.value), undo.calls)


def test_a_later_version_is_told_as_such() -> None:
    """The hint says what to do, and the text of a stranger is not repeated."""
    data = Packed(head(), PAYLOAD).staged(STAGED, "\x1b[2J").seal({})
    with pytest.raises(IntegrityError, match="does more to a payload than this one") as caught:
        admitted(data, trust="unsigned", decode=Undo())
    assert caught.value.hint == "pip install --upgrade webhook-storage"
    assert "[2J" not in str(caught.value)


def test_a_storage_that_undoes_nothing_says_so() -> None:
    """A worker whose definition has no stages does not run what it cannot read."""
    data = Packed(head(), PAYLOAD).staged(STAGED, "stages-1").seal(KEYS)
    with pytest.raises(ConfigurationError, match="compressed or encrypted, and this storage"):
        admitted(data)


BARE: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "envelope": (lambda p: seal(head(), p, KEYS), False),
    "script in an envelope": (lambda p: seal(head(kind="script"), p, KEYS), True),
    "bare": (lambda p: p, False),
    "bare script": (lambda p: p, True),
}


@pytest.mark.parametrize("trust", ["verified", "unsigned"])
@pytest.mark.parametrize("case", BARE)
def test_a_storage_of_encrypted_flows_takes_no_other(case: str, trust: str) -> None:
    """Not signed, not pinned, not by leave: what could be read by strangers was not its own."""
    make, script = BARE[case]
    data = make(PAYLOAD)
    pinned = hashlib.sha256(data).hexdigest()
    options: dict[str, Any] = {"script": script, "pinned": pinned, "trust": trust}
    options["decode"] = Undo()
    assert admitted(data, **options) == PAYLOAD
    with pytest.raises(TrustError, match="is not encrypted, and this storage takes") as caught:
        admitted(data, must_decode=True, **options)
    assert caught.value.hint == "store it again with this storage"


def test_what_undoing_raises_is_told() -> None:
    """An error of a stage, for example of a wrong key, passes as it is."""

    def fail(data: bytes) -> bytes:
        raise IntegrityError("the key is another")

    with pytest.raises(IntegrityError, match="the key is another"):
        admitted(Packed(head(), b"").staged(STAGED, "stages-1").seal(KEYS), decode=fail)
