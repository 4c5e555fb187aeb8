"""The scanner finds a leak in every channel and in every spelling, or the matrix proves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import warnings

import pytest

from tests.leaks.canary import ALL_FORMS, CORE, MIXED, PLAIN, find
from tests.leaks.channels import LOGGERS, hits, of_error, of_object, reachable, witnessed
from tests.sending.support import caught


@pytest.mark.parametrize("form", ALL_FORMS)
def test_every_spelling_is_found(form: str) -> None:
    """A spelling in the middle of a text, as text or as bytes, is found under its name."""
    assert form in find(f"<<{ALL_FORMS[form]}>>")
    assert form in find(f"<<{ALL_FORMS[form]}>>".encode())


@pytest.mark.parametrize("text", ["", "****", "${MIXED} ${PLAIN}", MIXED[len(CORE) :], PLAIN[:9]])
def test_innocent_texts_are_not(text: str) -> None:
    """Masks, placeholders and short pieces are no leak."""
    assert [] == find(text)


class LeakyError(Exception):
    """An error with an attribute."""

    def __init__(self, text: str = "", **attributes: object) -> None:
        super().__init__(text)
        vars(self).update(attributes)


def raise_bare() -> None:
    """Raise with the value in a local variable only."""
    local = MIXED[:]
    raise LeakyError(f"{len(local)} characters")


def raise_from() -> None:
    """Raise with the value in the cause."""
    raise LeakyError("innocent") from ValueError(MIXED)


def raise_within() -> None:
    """Raise with the value in the context that is not printed."""
    try:
        int(MIXED)
    except ValueError:
        raise LeakyError("innocent") from None


def raise_noted() -> None:
    """Raise with the value in a note."""
    error = LeakyError("innocent")
    error.add_note(MIXED)
    raise error


def raise_group() -> None:
    """Raise with the value in a member."""
    raise ExceptionGroup("innocent", [ValueError(MIXED)])


def raise_message() -> None:
    """Raise with the value in the message."""
    raise LeakyError(MIXED)


def raise_attribute() -> None:
    """Raise with the value in an attribute."""
    raise LeakyError("innocent", request=[MIXED])


@pytest.mark.parametrize(
    ("action", "channels"),
    [
        (
            raise_message,
            {"str (0)", "repr (0)", "args (0)", "pickle 0 (0)", "pickle 5 (0)", "traceback"},
        ),
        (raise_attribute, {"dict (0)", "attribute request (0)", "pickle 2 (0)", "cloudpickle (0)"}),
        (raise_bare, {"traceback with locals", "rich traceback"}),
        (raise_from, {"str (1)", "traceback"}),
        (raise_within, {"str (1)"}),
        (raise_noted, {"notes (0)", "traceback"}),
        (raise_group, {"str (1)", "traceback"}),
    ],
)
def test_every_channel_of_an_error(action: object, channels: set[str]) -> None:
    """A value anywhere in an error, or in what hangs on it, is found."""
    assert callable(action)
    found = {name for name, text in of_error(caught(action)) if find(text)}
    assert channels == channels & found


@dataclasses.dataclass
class Leaky:
    """An object that holds a value."""

    text: str

    def to_json(self) -> str:
        """Return what it holds."""
        return self.text

    model_dump_json = to_json


def test_every_channel_of_an_object() -> None:
    """A value in an object is found however the object is written."""
    channels = [name for name, text in of_object(Leaky(MIXED)) if not find(text)]
    assert [] == channels


class Quiet:
    """An object that hides its value from being printed."""

    __slots__ = ("_inner",)

    def __init__(self) -> None:
        self._inner = {"deep": [(MIXED.encode(),)]}


def test_reachable() -> None:
    """A value that an object only leads to is found."""
    assert [] != hits(reachable(Quiet()))
    assert [] == find(f"{Quiet()} {vars(Leaky('innocent'))}")


@pytest.mark.parametrize("name", LOGGERS)
def test_every_logger(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A value in a record's message, arguments or extras is found, at any level."""
    with witnessed(capsys) as witness:
        logging.getLogger(name).debug("%s", MIXED)
        logging.getLogger(name).info("innocent", extra={"request": PLAIN})
    found = [channel for channel, text in witness.shown if find(text)]
    assert [f"log of {name or 'root'}", *[f"record of {name or 'root'}"] * 2] == found


def test_streams_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that is printed or warned of is found, also when it comes late."""

    async def never_awaited() -> None:
        """Do nothing."""

    never_awaited.__qualname__ = PLAIN
    with witnessed(capsys) as witness:
        with contextlib.suppress(ValueError):
            print(MIXED)  # noqa: T201 - this is a leak
        warnings.warn(MIXED, stacklevel=1)
        asyncio.iscoroutine(never_awaited())
    found = [channel for channel, text in witness.shown if find(text)]
    assert {"warning", "stdout"} == set(found)
    assert 2 == found.count("warning")
