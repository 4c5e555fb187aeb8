from __future__ import annotations

import collections
import contextlib
import datetime as dt
import decimal
import pickle
import pickletools
import tracemalloc
import uuid
from typing import TYPE_CHECKING, Any, Self

from hypothesis import given
from hypothesis import strategies as st

from webhook_storage.errors import (
    ConfigurationError,
    FlowLoadError,
    IntegrityError,
    TooLargeError,
    TrustError,
)
from webhook_storage.unpickling import restricted_loads

if TYPE_CHECKING:
    from collections.abc import Callable

RAN: list[object] = []
REFUSALS = (FlowLoadError, IntegrityError, TooLargeError, TrustError)
"""All that a pickle may be refused with, whatever is in it."""

MAX_BYTES, MAX_STEPS = 100_000, 2_000
MEMORY = 8 * MAX_BYTES + 300 * MAX_STEPS


def trap(*arguments: object) -> None:
    """Tell that something was called which nobody allowed."""
    RAN.append(arguments)


class Trap:
    """Tells the same of any way to make or to change it."""

    def __new__(cls, *arguments: object) -> Self:
        """Tell."""
        RAN.append(arguments)
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Tell."""
        RAN.append(state)


atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**2000), 2**2000)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
    | st.dates()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
keys = st.recursive(
    atoms, lambda child: st.tuples(child, child) | st.frozensets(child, max_size=3), max_leaves=4
)
values = st.recursive(
    atoms,
    lambda child: (
        st.lists(child, max_size=5)
        | st.lists(child, max_size=5).map(tuple)
        | st.lists(child, max_size=5).map(collections.deque)
        | st.dictionaries(keys, child, max_size=5)
        | st.dictionaries(keys, child, max_size=5).map(collections.OrderedDict)
        | st.sets(keys, max_size=5)
        | st.binary().map(bytearray)
    ),
    max_leaves=20,
)
protocols = st.integers(0, 5)


@given(values, protocols)
def test_plain_data_comes_back(value: object, protocol: int) -> None:
    """Whatever is made of plain data is loaded as pickle loads it."""
    data = pickle.dumps(value, protocol)
    back = restricted_loads(data)
    assert value == back
    assert pickle.dumps(back, protocol) == pickle.dumps(pickle.loads(data), protocol)  # noqa: S301


def text(words: str) -> bytes:
    """Return the instruction that puts a text on top."""
    return b"X" + len(words.encode()).to_bytes(4, "little") + words.encode()


def named(module: str, name: str) -> bytes:
    """Return the instructions that put a class or function on top."""
    return text(module) + text(name) + b"\x93"


harmless = [
    named(module, name)
    for module, names in {
        "builtins": "set frozenset bytearray bytes complex range slice int list dict object str",
        "collections": "deque defaultdict OrderedDict Counter",
        "datetime": "date datetime time timedelta timezone",
        "decimal": "Decimal",
        "uuid": "UUID",
        "pathlib": "PurePath PurePosixPath PureWindowsPath",
        "copyreg": "_reconstructor",
        "_codecs": "encode",
    }.items()
    for name in names.split()
]
traps = [
    named(__name__, name) for name in ("trap", "Trap", "Trap.__new__", "RAN", "RAN.append")
] + [named("builtins", "eval"), named("os", "system"), b"cposix\nsystem\n"]
simple = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes if opcode.arg is None]
arguments = [
    b"h\x00", b"h\x01", b"q\x00", b"q\x01", b"q\x02", b"K\x01", b"M\xff\xff", b"J\xff\xff\xff\x7f",
    b"J\x00\x00\x00\x80", b"I01\n", b"F1.5\n", b"G\x40\x09\x21\xfb\x54\x44\x2d\x18", b"C\x03abc",
    b"\x8c\x01a", b"\x8a\x02\x00\x01", text("__class__"), text("latin1"), text("__setstate__"),
    b"r\x00\xff\x00\x00", b"\x96" + bytes([200]) + b"\0" * 7, b"\x8e" + b"\xff" * 8, b"Pid\n",
    b"\x82\x01", b"\x80\x04", b"\x95" + bytes(8),
]  # fmt: skip
instructions = st.sampled_from(simple) | st.sampled_from(arguments) | st.sampled_from(harmless)
programs = st.lists(
    instructions | st.sampled_from([*harmless, b"(", b")", b"]", b"}", b"t", b"R", b"b", b"\x81"]),
    max_size=40,
).map(lambda parts: b"".join(parts) + b".")


def refused(data: bytes, allow: list[str] | None = None) -> bool:
    """Load a pickle in little memory; tell whether it was refused."""
    RAN.clear()
    tracemalloc.start()
    try:
        restricted_loads(data, allow=allow or [], max_bytes=MAX_BYTES, max_steps=MAX_STEPS)
    except REFUSALS:
        return True
    finally:
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken <= MEMORY
        assert [] == RAN
    return False


@given(st.binary(max_size=2000))
def test_any_bytes_are_loaded_or_refused(data: bytes) -> None:
    """Bytes that are anything give plain data or an error of ours, in little memory."""
    refused(data)


@given(programs)
def test_any_program_is_loaded_or_refused(data: bytes) -> None:
    """Instructions in any order do so too, and they can name all that is harmless."""
    refused(data)


@given(programs, st.sampled_from(traps), st.integers(0, 2**16))
def test_no_program_springs_a_trap(data: bytes, name: bytes, place: int) -> None:
    """A name that is not allowed is never called, wherever it stands."""
    place %= len(data)
    refused(data[:place] + name + data[place:])


@given(
    values, protocols, st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=4)), max_size=3)
)
def test_a_damaged_pickle_is_loaded_or_refused(
    value: object, protocol: int, damage: list[tuple[int, bytes]]
) -> None:
    """A good pickle of which bytes were replaced does no harm either."""
    data = pickle.dumps(value, protocol)
    for place, put in damage:
        start = place % len(data)
        data = data[:start] + put + data[start + len(put) :]
    refused(data)


@given(st.text() | st.from_regex(r"[a-z]+(\.[a-z*]+){0,3}", fullmatch=True))
def test_any_entry_is_taken_or_refused(entry: str) -> None:
    """A list of what is allowed is right, or an error of ours."""
    with contextlib.suppress(ConfigurationError):
        assert restricted_loads(b"N.", allow=[entry]) is None


def test_traps() -> None:
    """A trap that is allowed does tell that it was sprung."""
    made: dict[str, Callable[[], Any]] = {"trap": trap, "Trap": Trap}
    for name in made:
        RAN.clear()
        restricted_loads(named(__name__, name) + b")R.", allow=[f"{__name__}.{name}"])
        assert [()] == RAN
    assert refused(named(__name__, "trap") + b")R.")
    assert not refused(pickle.dumps([decimal.Decimal(1), uuid.UUID(int=1)]))
