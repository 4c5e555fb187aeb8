from __future__ import annotations

import collections
import copyreg
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import operator
import os
import pathlib
import pickle
import pickletools
import subprocess
import sys
import threading
import tracemalloc
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest

from webhook_storage.errors import (
    ConfigurationError,
    FlowLoadError,
    IntegrityError,
    TooLargeError,
    TrustError,
    WebhookStorageError,
)
from webhook_storage.unpickling import restricted_loads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROTOCOLS = range(6)
HERE = __name__

RAN: list[object] = []
"""What a class or function of this module was called with."""


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """Start each test with an empty list."""
    RAN.clear()


class Point:
    """An ordinary class."""

    def __init__(self, x: int = 0) -> None:
        RAN.append(x)
        self.x = x

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.x)

    def run(self) -> None:
        RAN.append("run")

    class Inner:
        """A class in a class."""

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Point.Inner)

        __hash__ = None  # type: ignore[assignment]


@dataclasses.dataclass
class Row:
    """A record."""

    day: dt.date
    amounts: list[decimal.Decimal]


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """A record without a dict."""

    value: int


class Slotted:
    """An object whose state is in slots."""

    __slots__ = ("a", "b")
    a: int
    b: list[int]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and (self.a, self.b) == (other.a, other.b)

    __hash__ = None  # type: ignore[assignment]


class Colour(enum.Enum):
    """Members that there is one of each."""

    RED = 1


class Pair(NamedTuple):
    """A named tuple."""

    left: object
    right: object


class Words(list[str]):
    """A list of its own kind."""


class Index(dict[str, int]):
    """A dict of its own kind."""


class Text(str):
    """A text of its own kind."""

    __slots__ = ()


class Restored:
    """An object that takes its state by itself."""

    def __getstate__(self) -> object:
        return "state"

    def __setstate__(self, state: object) -> None:
        RAN.append(state)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Restored)

    __hash__ = None  # type: ignore[assignment]


class Named:
    """An object that is made with named arguments."""

    def __new__(cls, *, name: str = "") -> Self:
        made = super().__new__(cls)
        made.name = name
        return made

    name: str

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, str]]:
        return (), {"name": self.name}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and self.name == other.name

    __hash__ = None  # type: ignore[assignment]


class Failing:
    """A class that refuses what it is given."""

    def __setstate__(self, state: object) -> None:
        raise SystemExit(3)


def touch(path: str = "") -> str:
    """Leave a trace."""
    RAN.append(path)
    return path


system = os.system  # what a module imported, by a name of its own
bound = Point(1).run
METHODS = functools.partial(os.getenv)
NUMBER = 3


# --- what needs no leave --------------------------------------------------------------------------

HARMLESS: list[Any] = [
    None, True, False, 0, 1, 255, 65_535, -1, 2**31, 2**70, -(2**300), 0.0, 1.5, -2.5e300,
    float("inf"), 1 + 2j, "", "x", "größe \N{SNOWMAN} \U0001f600", "a\nb\\u0041", "\ud800", b"",
    b"abc", b"\x00\xff" * 200, bytearray(), bytearray(b"\xff\x00"), (), (1,), (1, 2), (1, 2, 3),
    (1, 2, 3, 4), [], [1], [1, [2, [3]]], {}, {"a": 1}, {"a": {"b": [1]}, 2: None}, set(), {1, 2},
    frozenset(), frozenset({(1, 2), "x"}), {(1, (2, frozenset({3}))): 4}, ..., NotImplemented,
    range(3), range(1, 10, 2), range(-(2**63) + 1, 2**63 - 1), slice(1, None, 2),
    list(range(2000)), dict.fromkeys(range(2000)),
    "x" * 70_000, b"x" * 70_000,
    collections.OrderedDict(b=1, a=2), collections.deque([1, 2]), collections.deque([1], 3),
    collections.defaultdict(list, {1: [2]}), collections.defaultdict(int, a=1),
    collections.defaultdict(str), collections.defaultdict(None, {1: 2}),
    collections.Counter("hello"),
    dt.date(2026, 1, 2), dt.time(3, 4, 5, 6), dt.datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001
    dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.timedelta(1, 2, 3), dt.UTC,
    dt.timezone(dt.timedelta(hours=9), "JST"), dt.time(1, tzinfo=dt.timezone.min),
    decimal.Decimal("-1.500"), decimal.Decimal("NaN").is_nan(), uuid.UUID(int=2**100),
    uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), {uuid.UUID(int=7, is_safe=uuid.SafeUUID.safe): 1},
    pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:\\a"), int, str, list,
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_comes_back(protocol: int) -> None:
    """Whatever is plain data is what it was, by every protocol, optimized or not."""
    for value in HARMLESS:
        pickled = pickle.dumps(value, protocol)
        for data in (pickled, pickletools.optimize(pickled)):
            back = restricted_loads(data)
            assert (type(value), value) == (type(back), back)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_shared_stays_shared(protocol: int) -> None:
    """One object in two places is one, and what holds itself does so again."""
    shared = ["x"]
    first, second = restricted_loads(pickle.dumps((shared, shared), protocol))
    assert first is second
    own: list[object] = []
    own.append(own)
    back = restricted_loads(pickle.dumps(own, protocol))
    assert back[0] is back
    pair: tuple[list[object]] = ([],)
    pair[0].append(pair)
    again = restricted_loads(pickle.dumps(pair, protocol))
    assert again[0][0] is again


def test_a_pickle_of_python_2_by_its_names() -> None:
    """Modules that had other names are those that they became."""
    assert restricted_loads(b"c__builtin__\nset\n((lI1\natR.") == {1}
    assert restricted_loads(b"c__builtin__\nxrange\n(I0\nI3\nI1\ntR.") == range(3)
    assert restricted_loads(b"ccollections\ndefaultdict\n(c__builtin__\nlong\ntR.") == {}


# --- what must be allowed -------------------------------------------------------------------------

OWN: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "object": (lambda: Point(3), ["Point"]),
    "dataclass": (lambda: Row(dt.date(2026, 1, 2), [decimal.Decimal(1)]), ["Row"]),
    "enum": (lambda: Colour.RED, ["Colour"]),
    "named tuple": (lambda: Pair(1, [2]), ["Pair"]),
    "list": (lambda: Words(["a", "b"]), ["Words"]),
    "dict": (lambda: Index(a=1), ["Index"]),
    "text": (lambda: Text("abc"), ["Text"]),
    "setstate": (Restored, ["Restored"]),
    "function": (lambda: touch, ["touch"]),
    "class": (lambda: Point, ["Point"]),
    "shared": (lambda: [Point(1), {Point(2): Point(1)}], ["Point"]),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", OWN)
def test_what_is_allowed_comes_back(case: str, protocol: int) -> None:
    """A class on the list is loaded, and without it refused by its name, with a hint."""
    make, names = OWN[case]
    value = make()
    data = pickle.dumps(value, protocol)
    allow = [f"{HERE}.{name}" for name in names]
    assert value == restricted_loads(data, allow=allow)
    RAN.clear()
    with pytest.raises(TrustError, match="is not allowed") as caught:
        restricted_loads(data)
    assert f"the pickle asks for {allow[0]!r}" in str(caught.value)
    assert caught.value.hint == f"if it may have any argument: allow=[{allow[0]!r}]"
    assert [] == RAN


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_class_in_a_class_is_allowed_by_its_whole_name(protocol: int) -> None:
    """Leave for the outer class, or for all of a module, is none for what is in the class."""
    data = pickle.dumps(Point.Inner(), protocol)
    assert Point.Inner() == restricted_loads(data, allow=[f"{HERE}.Point.Inner"])
    with pytest.raises(TrustError, match="Inner"):
        restricted_loads(data, allow=[f"{HERE}.Point", f"{HERE}.*", f"{HERE}.Inner"])


@pytest.mark.parametrize("protocol", range(2, 6))
def test_slots_come_back(protocol: int) -> None:
    """State in slots is set, whether the class does it or the pickle."""
    for value, name in ((Cell(3), "Cell"), (Slotted(), "Slotted")):
        if isinstance(value, Slotted):
            value.a, value.b = 1, [2]
        assert value == restricted_loads(pickle.dumps(value, protocol), allow=[f"{HERE}.{name}"])


@pytest.mark.parametrize("protocol", [4, 5])
def test_named_arguments_come_back(protocol: int) -> None:
    """A class that is made with named arguments gets them."""
    value = Named(name="x")
    assert value == restricted_loads(pickle.dumps(value, protocol), allow=[f"{HERE}.Named"])
    with pytest.raises(TrustError):
        restricted_loads(pickle.dumps(value, protocol))


def test_exceptions_that_are_built_in_can_be_allowed() -> None:
    """An error is a result too; its module holds much that can never be allowed."""
    for protocol in PROTOCOLS:
        data = pickle.dumps(ValueError("x", 1), protocol)
        back = restricted_loads(data, allow=["builtins.ValueError"])
        assert (ValueError, ("x", 1)) == (type(back), back.args)
        with pytest.raises(TrustError):
            restricted_loads(data, allow=["builtins.KeyError"])


def test_a_module_allows_the_classes_that_it_defines() -> None:
    """With a star its classes are loaded, and no function, no import and no value of it."""
    value = [Point(1), Row(dt.date(2026, 1, 2), []), Colour.RED, Words("ab")]
    for protocol in PROTOCOLS:
        data = pickle.dumps(value, protocol)
        assert value == restricted_loads(data, allow=[f"{HERE}.*"])
    for name in ("touch", "system", "os", "NUMBER", "IntegrityError", "HARMLESS", "no_such"):
        with pytest.raises((TrustError, FlowLoadError)):
            restricted_loads(named(HERE, name) + b".", allow=[f"{HERE}.*"])


def test_a_star_does_not_reach_below() -> None:
    """A star is for one module, and not for those below it."""
    package = HERE.rpartition(".")[0]
    with pytest.raises(TrustError):
        restricted_loads(pickle.dumps(Point(1)), allow=[f"{package}.*"])


# --- pickles made by hand -------------------------------------------------------------------------


def text(words: str) -> bytes:
    """Return the instruction that puts a text on top."""
    return b"X" + len(words.encode()).to_bytes(4, "little") + words.encode()


def named(module: str, name: str, protocol: int = 4) -> bytes:
    """Return the instructions that put a class or function on top."""
    if protocol < 4:
        return f"c{module}\n{name}\n".encode()
    return text(module) + text(name) + b"\x93"


def called(module: str, name: str, *words: str, protocol: int = 4) -> bytes:
    """Return a pickle that calls a function with texts."""
    return named(module, name, protocol) + b"(" + b"".join(map(text, words)) + b"tR."


GADGETS = [
    "os.system", "posix.system", "nt.system", "os.popen", "os.execv", "os.path.join",
    "subprocess.Popen", "subprocess.check_output", "_posixsubprocess.fork_exec", "pty.spawn",
    "builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__", "builtins.open",
    "builtins.getattr", "builtins.setattr", "builtins.print", "builtins.input", "builtins.type",
    "builtins.super", "builtins.vars", "builtins.globals", "builtins.breakpoint", "builtins.map",
    "builtins.apply", "builtins.property", "builtins.staticmethod", "builtins.__dict__",
    "operator.attrgetter", "operator.methodcaller", "operator.itemgetter", "_operator.attrgetter",
    "functools.partial", "functools.reduce", "_functools.partial", "types.FunctionType",
    "types.CodeType", "types.ModuleType", "types.SimpleNamespace", "importlib.import_module",
    "importlib.machinery.SourceFileLoader", "runpy.run_path", "code.InteractiveInterpreter",
    "codecs.decode", "codecs.encode", "_codecs.decode", "_codecs.lookup", "pickle.loads",
    "_pickle.loads", "pickle.Unpickler", "marshal.loads", "cloudpickle.cloudpickle.subimport",
    "copyreg.__newobj__", "copyreg.__newobj_ex__", "copyreg.__reduce_ex__", "copyreg._reduce_ex",
    "copyreg.add_extension", "copyreg.pickle", "copyreg._extension_registry", "ctypes.CDLL",
    "sys.exit", "sys.modules", "io.open", "io.FileIO", "_io.FileIO", "shutil.rmtree",
    "socket.create_connection", "threading.Thread", "multiprocessing.Process", "asyncio.run",
    "timeit.timeit", "pdb.run", "bdb.Bdb", "trace.Trace", "profile.run", "cProfile.run",
    "webbrowser.open", "tempfile.mkstemp", "signal.signal", "gc.get_objects", "inspect.getsource",
    "pip.main", "atexit.register", "sqlite3.connect", "zipimport.zipimporter", "site.main",
]  # fmt: skip


@pytest.mark.parametrize("gadget", GADGETS)
def test_known_ways_out_are_shut(gadget: str) -> None:
    """What other pickles got out by is refused by its name, and nothing allows it."""
    module, _, name = gadget.rpartition(".")
    for protocol in (0, 4):
        with pytest.raises(TrustError) as caught:
            restricted_loads(called(module, name, "touch", protocol=protocol))
        assert f"the pickle asks for {gadget!r}, which is not allowed" == str(caught.value)
        assert "plain data" in (caught.value.hint or "")
    for entry in (gadget, f"{module}.*", f"{gadget}.*"):
        with pytest.raises(ConfigurationError, match=r"allow: .* can never be allowed"):
            restricted_loads(b"N.", allow=[entry])


class Exploit:
    """What runs a command when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


EXPLOITS: dict[str, Callable[[Path], object]] = {
    "os.system": lambda path: Exploit(os.system, f"touch {path}"),
    "os.mkdir": lambda path: Exploit(os.mkdir, str(path)),
    "subprocess": lambda path: Exploit(subprocess.check_call, ["touch", str(path)]),
    "exec": lambda path: Exploit(exec, f"import os; os.mkdir({str(path)!r})"),
    "eval": lambda path: Exploit(eval, f"__import__('os').mkdir({str(path)!r})"),
    "partial": lambda path: Exploit(functools.partial(os.mkdir, str(path))),
    "methodcaller": lambda path: Exploit(operator.methodcaller("touch"), path),
    "method": lambda path: Exploit(pathlib.Path.touch, path),
    "in a list": lambda path: [1, {"x": (Exploit(os.mkdir, str(path)),)}],
    "as a key": lambda path: {Exploit(os.mkdir, str(path)): 1},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", EXPLOITS)
def test_no_exploit_runs(case: str, protocol: int, tmp_path: Path) -> None:
    """What leaves its trace when pickle loads it leaves none here."""
    canary = tmp_path / "executed"
    data = pickle.dumps(EXPLOITS[case](canary), protocol)
    with pytest.raises(TrustError):
        restricted_loads(data)
    assert not canary.exists()
    pickle.loads(data)  # noqa: S301 - that it does something is the point
    assert canary.exists()


WALKS = [
    "Point.run", "Point.__init__", "Point.__init__.__globals__", "Point.__class__",
    "Point.__dict__", "Point.__subclasses__", "Point.mro", "touch.__globals__", "touch.__code__",
    "os.system", "Colour.RED", "Point.Inner.__class__", "Point.Inner.Point", ".Point", "Point.",
    "Point..Inner", "",
]  # fmt: skip


@pytest.mark.parametrize("name", WALKS)
def test_no_name_leads_through_a_class(name: str) -> None:
    """Attributes of what is allowed are not reached, not even where the list names them."""
    data = named(HERE, name) + b"."
    for allow in ([f"{HERE}.Point", f"{HERE}.touch", f"{HERE}.*"], [f"{HERE}.{name}"]):
        with pytest.raises((TrustError, FlowLoadError, ConfigurationError)):
            restricted_loads(data, allow=allow)
    assert [] == RAN


def test_a_name_is_not_split_elsewhere() -> None:
    """Module and name are those of the list, wherever the dot between them is put."""
    package, _, module = HERE.rpartition(".")
    with pytest.raises(TrustError):
        restricted_loads(called(package, f"{module}.touch"), allow=[f"{HERE}.touch"])
    with pytest.raises(TrustError):
        restricted_loads(called(package, f"{module}.Point"), allow=[f"{HERE}.Point"])
    assert restricted_loads(called(HERE, "touch", "x"), allow=[f"{HERE}.touch"]) == "x"


@pytest.mark.parametrize("name", ["system", "METHODS", "os", "NUMBER", "HARMLESS", "WALKS"])
def test_an_alias_is_what_it_stands_for(name: str) -> None:
    """What a module imported from where nothing is allowed is not allowed by its new name."""
    with pytest.raises(TrustError, match="more than a class of its own"):
        restricted_loads(called(HERE, name, "x"), allow=[f"{HERE}.{name}"])


class Meta(type):
    """Makes classes."""


def test_what_makes_classes_is_not_allowed() -> None:
    """With a metaclass a pickle could make a class of its own."""
    for allow in ([f"{HERE}.Meta"], [f"{HERE}.*"]):
        with pytest.raises(TrustError):
            restricted_loads(named(HERE, "Meta") + b".", allow=allow)


POINT = named(HERE, "Point")
TOUCH = named(HERE, "touch")
BY_HAND: dict[str, bytes] = {
    "call of a text": text("x") + b")R.",
    "call of an instance": POINT + b")R)R.",
    "call of what only may be named": named("builtins", "int") + text("9") + b"\x85R.",
    "call of list": named("builtins", "list") + text("9") + b"\x85R.",
    "call of object": named("builtins", "object") + b")R.",
    "instance of bytes": named("builtins", "bytes") + b"J\xff\xff\xff\x7f\x85\x81.",
    "instance of bytearray": named("builtins", "bytearray") + b")\x81.",
    "instance of a tuple": named("builtins", "tuple") + b")\x81.",
    "instance of a function": TOUCH + b")\x81.",
    "instance of a text": text("x") + b")\x81.",
    "instance with names of a date": named("datetime", "date") + b")}\x92.",
    "state of a class": POINT + b"}" + text("run") + TOUCH + b"sb.",
    "state of a harmless class": named("uuid", "UUID") + b"}" + text("x") + TOUCH + b"sb.",
    "slots of a class": POINT + b"N}" + text("run") + TOUCH + b"s\x86b.",
    "state of a function": TOUCH + b"}" + text("__code__") + b"Nsb.",
    "state of a member": named(HERE, "Colour") + b"K\x01\x85R}" + text("_value_") + b"K\x02sb.",
    "state of a list": b"]}" + text("x") + b"Nsb.",
    "state of a date": named("datetime", "timedelta") + b")R}" + text("days") + b"K\x02sb.",
    "reconstruction of bytes": named("copyreg", "_reconstructor")
    + named("builtins", "bytearray") + named("builtins", "object") + b"N\x87R.",
    "reconstruction of a function": named("copyreg", "_reconstructor")
    + TOUCH + named("builtins", "object") + b"N\x87R.",
}  # fmt: skip
EVERYTHING = [f"{HERE}.Point", f"{HERE}.touch", f"{HERE}.Colour", f"{HERE}.Words"]


@pytest.mark.parametrize("case", BY_HAND)
def test_no_instruction_leaves_its_place(case: str) -> None:
    """Nothing is called but what was named, nothing made or changed but allowed classes."""
    before = dict(vars(Point)), dict(vars(touch)), dict(vars(uuid.UUID)), Colour.RED.value
    with pytest.raises(
        TrustError, match=r"^the pickle (calls|makes|changes) .* by hand$"
    ) as caught:
        restricted_loads(BY_HAND[case], allow=EVERYTHING)
    assert caught.value.hint == "it was made to do harm, or is damaged"
    after = dict(vars(Point)), dict(vars(touch)), dict(vars(uuid.UUID)), Colour.RED.value
    assert before == after


def doubled(levels: int) -> bytes:
    """Return instructions for a tuple that holds twice a tuple that holds twice, and so on."""
    return b")" + b"".join(b"q%ch%c\x86" % (level, level) for level in range(levels))


UUID_OF = named("uuid", "UUID") + b")\x81}" + text("int")

BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no end": b"N",
    "only an end": b".",
    "two values": b"NN.",
    "more after the end": b"N.N",
    "a mark is left": b"(N.",
    "no mark": b"Nt.",
    "nothing to take away": b"0N.",
    "nothing to keep": b"q\x00N.",
    "nothing to recall": b"h\x07.",
    "too few for a tuple": b"N\x86.",
    "unknown instruction": b"\xffN.",
    "later protocol": b"\x80\x06N.",
    "long frame": b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"N.",
    "long bytes": b"\x8e" + (2**62).to_bytes(8, "little") + b"x.",
    "long byte array": b"\x96" + (2**62).to_bytes(8, "little") + b"x.",
    "long text": b"\x8d" + (2**62).to_bytes(8, "little") + b"x.",
    "text that is none": b"\x8c\x01\xff.",
    "long number": b"\x8b\xff\xff\xff\x7f1.",
    "negative length": b"\x8b\xff\xff\xff\xff1.",
    "many digits": b"I" + b"9" * 5000 + b"\n.",
    "no number": b"Ix\n.",
    "no float": b"Fx\n.",
    "unhashable key": b"}]Ns.",
    "unhashable item": b"\x8f(]\x90.",
    "odd items": b"}(Nu.",
    "append to a dict": b"}Na.",
    "append to a tuple": b")Na.",
    "append to a byte array": b"\x96" + bytes(8) + b"K\x01a.",
    "item of a list that has it": b"](NeK\x00K\x01s.",
    "add to a dict": b"}(K\x01K\x02\x86\x90.",
    "item of a list": b"]NNs.",
    "item of a text": text("x") + b"NNs.",
    "add to a list": b"](N\x90.",
    "append to an allowed class": POINT + b"Na.",
    "name that is no text": b"NN\x93.",
    "name of bytes": b"C\x01aC\x01b\x93.",
    "arguments that are no tuple": named("builtins", "set") + b"]R.",
    "set of a range": named("builtins", "set")
    + named("builtins", "range") + b"J\xff\xff\xff\x7f\x85R\x85R.",
    "bytes of a number": named("builtins", "bytes") + b"J\xff\xff\xff\x7f\x85R.",
    "byte array of a number": named("builtins", "bytearray") + b"J\xff\xff\xff\x7f\x85R.",
    "byte array by a codec": called("builtins", "bytearray", "x", "idna"),
    "deque of a range": named("collections", "deque")
    + named("builtins", "range") + b"J\xff\xff\xff\x7f\x85R\x85R.",
    "codec": called("_codecs", "encode", "x", "idna"),
    "codec of bytes": named("_codecs", "encode") + b"C\x01x" + text("latin1") + b"\x86R.",
    "factory that is no class": named("collections", "defaultdict") + TOUCH + b"\x85R.",
    "range of a long number": named("builtins", "range")
    + b"\x8a\x09" + bytes(8) + b"\x01\x85R.",
    "slice of a long number": named("builtins", "slice") + b"\x8a\x08" + bytes(7) + b"\x80\x85R.",
    "UUID of what doubles": named("uuid", "UUID") + b")\x81}" + text("int") + doubled(60) + b"sb.",
    "UUID of a long number": UUID_OF + b"\x8a\x11" + bytes(16) + b"\x01sb.",
    "UUID of a text": UUID_OF + text("1") + b"sb.",
    "UUID with a mark that doubles": UUID_OF + b"K\x01s" + text("is_safe") + doubled(60) + b"sb.",
    "UUID whose state is a tuple": named("uuid", "UUID") + b")\x81" + doubled(60) + b"b.",
    "path of bytes": named("pathlib", "PurePath") + b"C\x01x\x85R.",
    "Decimal of a tuple": named("decimal", "Decimal") + b")\x85R.",
    "state that is none": POINT + b")RK\x01b.",
    "state with a number as name": POINT + b")R}K\x01Nsb.",
    "class in slots": POINT + b")RN}" + text("__class__") + named(HERE, "Words") + b"s\x86b.",
    "reconstruction on another base": named("copyreg", "_reconstructor")
    + named(HERE, "Words") + named("builtins", "dict") + b"}\x87R.",
    "reconstruction of another state": named("copyreg", "_reconstructor")
    + named(HERE, "Words") + named("builtins", "list") + b"J\xff\xff\xff\x7f\x87R.",
    "named arguments that are none": POINT + b")]\x92.",
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_pickle_is_told(case: str) -> None:
    """Whatever is wrong with the instructions is one error, and its text is not that of Python."""
    with pytest.raises(IntegrityError, match=r"^the pickle is broken \(\w+\)$") as caught:
        restricted_loads(BROKEN[case], allow=EVERYTHING)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


NEEDLESS: dict[str, bytes] = {
    "PERSID": b"Pspam\n.",
    "BINPERSID": text("spam") + b"Q.",
    "EXT1": b"\x82\xc8.",
    "EXT2": b"\x83\xc8\x00.",
    "EXT4": b"\x84\xc8\x00\x00\x00.",
    "INST": f"({HERE}\n".replace("(", "(i").encode() + b"touch\n.",
    "OBJ": b"(" + TOUCH + text("x") + b"o.",
    "DUP": b"N2.",
    "STRING": b"S'x'\n.",
    "BINSTRING": b"T\x01\x00\x00\x00x.",
    "SHORT_BINSTRING": b"U\x01x.",
    "NEXT_BUFFER": b"\x97.",
    "READONLY_BUFFER": b"N\x98.",
}


@pytest.mark.parametrize("name", NEEDLESS)
def test_instructions_that_no_data_needs_are_refused(name: str) -> None:
    """Persistent ids, registered extensions, old ways to call: none of them leads anywhere."""
    copyreg.add_extension(HERE, "touch", 200)
    try:
        copyreg._extension_cache[200] = touch  # type: ignore[attr-defined]
        with pytest.raises(TrustError, match=f"has the instruction {name}, which no data needs"):
            restricted_loads(NEEDLESS[name], allow=EVERYTHING)
    finally:
        copyreg.remove_extension(HERE, "touch", 200)
    assert [] == RAN


def test_names_from_the_memo_are_names() -> None:
    """It does not matter where the two texts of a name were kept before."""
    kept = text("system") + b"q\x05" + text("os") + b"q\x060" + b"0h\x06h\x05\x93."
    with pytest.raises(TrustError, match=r"'os\.system'"):
        restricted_loads(kept)


def test_a_long_name_is_told_in_short() -> None:
    """A stranger does not fill the log by a name, nor move the cursor."""
    with pytest.raises(TrustError) as caught:
        restricted_loads(called("\x1b[2J" + "m" * 100_000, "n"))
    assert len(str(caught.value)) < 250
    assert "\x1b" not in f"{caught.value}{caught.value.hint}"


# --- what is allowed and does not work ------------------------------------------------------------


def test_what_cannot_be_imported_is_told() -> None:
    """An allowed class that is not installed here is an error with its cause."""
    for module, name in (("no_such_module", "X"), (HERE, "NoSuch")):
        with pytest.raises(FlowLoadError, match="cannot be imported") as caught:
            restricted_loads(named(module, name) + b".", allow=[f"{module}.{name}"])
        assert isinstance(caught.value.__cause__, (ImportError, AttributeError))


def test_what_is_not_allowed_is_not_imported() -> None:
    """A module with a side effect does not have it because a pickle names it."""
    assert "antigravity" not in sys.modules
    with pytest.raises(TrustError):
        restricted_loads(called("antigravity", "fly"))
    assert "antigravity" not in sys.modules


def test_an_allowed_class_that_fails_is_told() -> None:
    """Whatever it raises is the cause; the process goes on."""
    for data in (named(HERE, "Failing") + b")RNb.", called(HERE, "Failing", "too", "many")):
        with pytest.raises(FlowLoadError, match="an allowed class refuses") as caught:
            restricted_loads(data, allow=[f"{HERE}.Failing"])
        assert isinstance(caught.value.__cause__, (SystemExit, TypeError))


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ".",
        "*",
        "x",
        "x.",
        ".x",
        "x.*.y",
        "*.x",
        "x.y*",
        "x y.z",
        "x.y ",
        "x..y",
        3,
        None,
        b"x.y",
    ],
)
def test_an_entry_is_a_name(entry: Any) -> None:
    """What is no name of a class or function in a module is refused at once."""
    with pytest.raises(ConfigurationError, match=r"allow: an entry is 'module\.name' or"):
        restricted_loads(b"N.", allow=[entry])


def test_a_list_is_no_text() -> None:
    """A single name without brackets is not taken for a list of letters."""
    with pytest.raises(ConfigurationError, match="allow is a list of names") as caught:
        restricted_loads(b"N.", allow="a.B")
    assert caught.value.hint == "give ['a.B']"


@pytest.mark.parametrize("module", ["json", "logging", "http.client", "zipfile", "collections"])
def test_the_standard_library_is_not_allowed_as_a_whole(module: str) -> None:
    """Too many of its classes open files; one by one they can be allowed."""
    with pytest.raises(ConfigurationError, match="allows too much") as caught:
        restricted_loads(b"N.", allow=[f"{module}.*"])
    assert caught.value.hint == "name the classes, one by one"
    data = pickle.dumps(fractions.Fraction(1, 3))
    assert restricted_loads(data, allow=["fractions.Fraction"]) == fractions.Fraction(1, 3)


def test_what_is_harmless_may_be_in_the_list() -> None:
    """A name that needs no leave does not get more by it."""
    allow = ["collections.deque", "datetime.date", "_codecs.encode", "copyreg._reconstructor"]
    assert restricted_loads(pickle.dumps(dt.date(2026, 1, 2)), allow=allow) == dt.date(2026, 1, 2)
    for case in ("codec", "deque of a range"):
        with pytest.raises(IntegrityError):
            restricted_loads(BROKEN[case], allow=allow)


# --- limits ---------------------------------------------------------------------------------------


def test_the_size_is_limited_before_anything_is_read() -> None:
    """One byte more than the most is refused, whatever it is."""
    data = pickle.dumps("x" * 100)
    assert restricted_loads(data, max_bytes=len(data)) == "x" * 100
    with pytest.raises(TooLargeError, match=rf"has {len(data)} bytes, and {len(data) - 1} are"):
        restricted_loads(data, max_bytes=len(data) - 1)


def test_the_number_of_instructions_is_limited() -> None:
    """So is the time of a pickle of nothing but short instructions."""
    data = b"(" + b"N" * 100 + b"t."
    assert len(restricted_loads(data, max_steps=103)) == 100
    with pytest.raises(TooLargeError, match="more than 102 instructions"):
        restricted_loads(data, max_steps=102)


@pytest.mark.parametrize(
    ("begin", "end"), [(b"", b"\x85"), (b"(", b"t"), (b"N(", b"t\x86"), (b"(", b"\x91\x85")]
)
def test_tuples_in_one_another_are_limited(begin: bytes, end: bytes) -> None:
    """A hash of a million of them would end the process, so there are no more than 500."""
    for levels in (100, 249):
        assert hash(restricted_loads(begin * levels + b")" + end * levels + b".")) != 0
    for levels in (501, 100_000):
        with pytest.raises(TooLargeError, match="more than 500 tuples in one another") as caught:
            restricted_loads(begin * levels + b")" + end * levels + b".")
        assert caught.value.hint == "store it as lists"


NAMED_TUPLES = {
    "made": (named(HERE, "Pair") + b"q\x000N", b"q\x010h\x00h\x01N\x86\x81"),
    "called": (named(HERE, "Pair") + b"q\x000N", b"q\x010h\x00h\x01N\x86R"),
    "frozen sets": (named("builtins", "frozenset") + b"q\x000)", b"q\x010h\x00h\x01\x85\x85R"),
}


@pytest.mark.parametrize("case", NAMED_TUPLES)
def test_tuples_of_other_kinds_are_limited_too(case: str) -> None:
    """Named tuples in one another are hashed as tuples are, and so are frozen sets by a call."""
    begin, step = NAMED_TUPLES[case]
    assert hash(restricted_loads(begin + step * 240 + b".", allow=[f"{HERE}.Pair"])) != 0
    for levels in (502, 50_000):
        with pytest.raises(TooLargeError, match="tuples in one another"):
            restricted_loads(begin + step * levels + b".", allow=[f"{HERE}.Pair"])


def test_lists_in_one_another_are_not_limited() -> None:
    """They have no hash, so nothing has to go down to their ends."""
    deep = restricted_loads(b"]" * 50_000 + b"a" * 49_999 + b".")
    for _ in range(49_999):
        (deep,) = deep
    assert deep == []


HANGING = {
    "deque by call": named("collections", "deque") + b"q\x00)R" + b"q\x010h\x00]h\x01a\x85R",
    "deque": named("collections", "deque") + b"q\x00)R" + b"q\x010h\x00)Rh\x01a",
    "defaultdict": named("collections", "defaultdict") + b"q\x00)R" + b"q\x010h\x00)RNh\x01s",
}


@pytest.mark.parametrize("case", HANGING)
def test_what_hangs_on_one_another_is_limited(case: str) -> None:
    """To let go of a chain of deques goes down to its end, and with many would end the process."""
    begin, _, step = HANGING[case].partition(b"q\x01")
    step = b"q\x01" + step
    assert restricted_loads(begin + step * 999 + b".") is not None
    with pytest.raises(TooLargeError) as caught:
        restricted_loads(begin + step * 1002 + b".")
    assert caught.value.hint == "store them as lists and dicts"
    program = (
        "import sys\n"
        "from webhook_storage.errors import TooLargeError\n"
        "from webhook_storage.unpickling import restricted_loads\n"
        "try:\n"
        "    restricted_loads(sys.stdin.buffer.read())\n"
        "except TooLargeError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=begin + step * 110_000 + b".",
        capture_output=True,
        check=True,
        timeout=50,
    )
    expected = b"the pickle has more than 1000 deques or defaultdicts in others"
    assert expected == done.stdout.strip()


def test_what_hangs_side_by_side_is_usual() -> None:
    """Many of them in a dict or list are no chain."""
    value = {n: collections.defaultdict(list, a=[n]) for n in range(2000)}
    assert restricted_loads(pickle.dumps(value)) == value


BOMBS: dict[str, bytes] = {
    "hash of what doubles": b"}" + doubled(60) + b"Ns.",
    "set of what doubles": b"\x8f(" + doubled(60) + b"\x90.",
    "frozen set of what doubles": b"(" + doubled(60) + b"\x91.",
    "set by call of what doubles": named("builtins", "set") + b"]" + doubled(60) + b"a\x85R.",
    "hash of a long number": b"}(" + b"\x8b\x00\x80\x00\x00" + b"\x7f" * 32_768 + b"q\x00N"
    + b"h\x00N" * 4000 + b"u.",
    "hash of a tuple": b"}((" + b"N" * 3_000 + b"tq\x00N" + b"h\x00N" * 3000 + b"u.",
    "copies of bytes": b"(B\x00\x80\x00\x00" + b"x" * 32_768 + b"q\x00"
    + named("builtins", "bytearray") + b"q\x01" + b"h\x01h\x00\x85R" * 2000 + b"t.",
    "copies of a text": b"(X\x00\x80\x00\x00" + b"x" * 32_768 + b"q\x00"
    + named("_codecs", "encode") + b"q\x01" + text("latin1") + b"q\x02"
    + b"h\x01h\x00h\x02\x86R" * 1500 + b"t.",
    "copies of a list": b"(](" + b"N" * 1000 + b"eq\x00" + named("collections", "deque") + b"q\x01"
    + b"h\x01h\x00\x85R" * 2000 + b"t.",
    "copies of a dict": b"(}(" + b"".join(b"M%bN" % n.to_bytes(2, "little") for n in range(1000))
    + b"uq\x00" + named("collections", "Counter") + b"q\x01" + b"h\x01h\x00\x85R" * 1500 + b"t.",
    "a long path": b"X\x00\x80\x00\x00" + b"x" * 32_768 + b"q\x000" + named("pathlib", "PurePath")
    + b"(" + b"h\x00" * 4000 + b"tR.",
    "empty sets": b"(" + b"\x8f" * 60_000 + b"t.",
    "sets that grow": b"(" + b"\x8f(K\x01K\x02K\x03K\x04K\x05\x90" * 1200 + b"t.",
    "dicts": b"(" + b"}K\x01Ns" * 2500 + b"t.",
    "lists": b"(" + b"]Na" * 3300 + b"t.",
    "tuples": b"(" + b"N\x85" * 5000 + b"t.",
    "tuples of tuples": b"(" + b")\x85\x85" * 3300 + b"t.",
    "kept": b"N" + b"".join(b"r%b" % (n * 1000).to_bytes(4, "little") for n in range(9_000)) + b".",
    "kept far away": b"Nr\xff\xff\xff\xff.",
    "kept farther away": b"Np99999999999999999999\n.",
    "a wide text": b"X\x00\x80\x00\x00" + b"x" * 32_764 + "\U0001f600".encode() + b".",
    "marks": b"(" * 9_000 + b"1" * 8_999 + b"N.",
}  # fmt: skip
MAX_BYTES, MAX_STEPS = 100_000, 10_000


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_takes_no_more_than_is_promised(case: str) -> None:
    """What unpacks to much is loaded or refused, and takes the memory that the limits say."""
    data = BOMBS[case]
    assert len(data) <= MAX_BYTES
    tracemalloc.start()
    try:
        restricted_loads(data, max_bytes=MAX_BYTES, max_steps=MAX_STEPS)
    except (TooLargeError, IntegrityError):
        pass
    finally:
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert taken <= 8 * MAX_BYTES + 300 * MAX_STEPS


PARTS = {
    "names": "/".join(f"{number:x}" for number in range(0x10000, 0x19000)),
    "wide characters": "/".join(map(chr, range(0x20000, 0x29000))),
}


# Paths intern their parts, for which the table of all interned texts may grow; here it is small.
MEASURES = """
import pathlib, sys, tracemalloc
from webhook_storage.errors import TooLargeError
from webhook_storage.unpickling import restricted_loads

data, limit, outcome = sys.stdin.buffer.read(), int(sys.argv[1]), "loaded"
tracemalloc.start()
try:
    restricted_loads(data, max_bytes=limit, max_steps=20)
except TooLargeError:
    outcome = "too large"
print(outcome, tracemalloc.get_traced_memory()[1], sep=",")
"""


@pytest.mark.parametrize("kind", ["PurePath", "PurePosixPath", "PureWindowsPath"])
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize(("share", "outcome"), [(1, "too large"), (9, "loaded")])
def test_a_path_of_many_parts_is_bounded(kind: str, parts: str, share: int, outcome: str) -> None:
    """Each part of a path is a text of its own; what is loaded and hashed is within the limit."""
    data = b"}" + named("pathlib", kind) + text(PARTS[parts]) + b"\x85RNs."
    limit = len(data) * share
    command = [sys.executable, "-c", MEASURES, str(limit)]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=50)
    said, _, taken = done.stdout.decode().partition(",")
    assert outcome == said
    assert int(taken) <= 8 * limit


def test_what_copies_too_much_is_told() -> None:
    """The error says what is the matter, and what to raise."""
    for case in ("hash of what doubles", "copies of bytes", "hash of a long number", "a long path"):
        with pytest.raises(TooLargeError, match="unpacks to many times its size") as caught:
            restricted_loads(BOMBS[case], max_bytes=MAX_BYTES)
        assert caught.value.hint == "raise max_bytes when you expect so much"


def test_sharing_that_is_usual_is_no_bomb() -> None:
    """One row in many places, one list in many sets: what programs do is within the limits."""
    row, words = ("a", 1, (2.0, None)), ["x", "y", "z"]
    value = {"rows": [row] * 5000, "keys": {(row, n): n for n in range(2000)}}
    assert restricted_loads(pickle.dumps(value)) == value
    sets = [frozenset(words) for _ in range(3000)]
    for protocol in (2, 5):
        assert restricted_loads(pickle.dumps(sets, protocol)) == sets


# --- any bytes ------------------------------------------------------------------------------------


def test_a_cut_pickle_is_an_error_of_ours() -> None:
    """At whatever byte a pickle ends, it is broken and nothing else happens."""
    value = [Point(1), Row(dt.date(2026, 1, 2), [decimal.Decimal(1)]), Pair(1, {2: {3}}), "ü" * 300]
    for protocol in PROTOCOLS:
        data = pickle.dumps(value, protocol)
        for end in range(len(data)):
            with pytest.raises(WebhookStorageError):
                restricted_loads(data[:end], allow=[f"{HERE}.*"])


def test_threads_do_not_share_a_machine() -> None:
    """What one pickle named or kept, another one that is loaded meanwhile does not know."""
    outcomes: list[object] = []

    def load(allow: list[str]) -> None:
        data = pickle.dumps([Point(1)] * 3)
        for _ in range(50):
            try:
                outcomes.append(type(restricted_loads(data, allow=allow)))
            except TrustError as error:
                outcomes.append(type(error))

    threads = [threading.Thread(target=load, args=([f"{HERE}.Point"] * n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collections.Counter({list: 50, TrustError: 50}) == collections.Counter(outcomes)


def test_a_number_of_very_many_digits_is_no_key_again_and_again() -> None:
    """The hash of a decimal is not kept, so to hash a long one often is bounded."""
    many = [{number: 0} for number in [decimal.Decimal("1" * 1_000_000)] * 100_000]
    with pytest.raises(TooLargeError):
        restricted_loads(pickle.dumps(many))
    short = {decimal.Decimal(number): number for number in range(1000)}
    assert short == restricted_loads(pickle.dumps(short))
