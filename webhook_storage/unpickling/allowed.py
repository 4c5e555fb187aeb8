"""Which classes and functions a pickle may name.

Rule: a name that nobody allowed is not even imported; and what runs any code that it is given,
nobody can allow.
"""

from __future__ import annotations

import builtins
import collections
import datetime as dt
import decimal
import importlib
import pathlib
import sys
import types
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from webhook_storage.errors import ConfigurationError, FlowLoadError, TrustError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NEVER = frozenset({
    "_codecs", "_ctypes", "_frozen_importlib", "_frozen_importlib_external", "_functools", "_imp",
    "_io", "_operator", "_pickle", "_posixsubprocess", "_socket", "_thread", "_winapi", "asyncio",
    "atexit", "bdb", "builtins", "cProfile", "cloudpickle", "code", "codecs", "codeop",
    "concurrent", "copyreg", "ctypes", "dill", "doctest", "ensurepip", "functools", "gc", "imp",
    "importlib", "inspect", "io", "joblib", "linecache", "marshal", "mmap", "multiprocessing", "nt",
    "operator", "os", "pdb", "pickle", "pickletools", "pip", "pkgutil", "platform", "posix",
    "profile", "pty", "pydoc", "runpy", "setuptools", "shelve", "shutil", "signal", "site",
    "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "timeit", "trace", "types",
    "unittest", "venv", "webbrowser", "winreg", "zipimport",
})  # fmt: skip
"""Modules of which nothing but what is in `SAFE`, and no exception but a built-in one, is allowed:
what they hold runs code, reaches files, processes and other machines, or leads to all of these."""


class Global(NamedTuple):
    """A class or function that a pickle may name.

    Attributes:
        value: The object.
        call: What is called in its place, None when it may be named and not called.
        own: Whether the caller allowed it, so that its instances may be made and filled as the
            class itself says.
    """

    value: Any
    call: Callable[..., Any] | None
    own: bool = False


class Allowed:
    """A list of what a pickle may name, over and above what is harmless.

    Args:
        entries: ``module.name``, also of a class in a class; or ``module.*`` for the classes that a
            module itself defines, but no function and nothing that it imports.

    Raises:
        ConfigurationError: When an entry is none of these, or names what is never allowed.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """Check the entries; nothing is imported."""
        if isinstance(entries, str):
            message = f"allow is a list of names, not the text {entries!r}"
            raise ConfigurationError(message, path="allow", hint=f"give [{entries!r}]")
        entries = list(entries)
        for entry in entries:
            _check_entry(entry)
        self._entries = frozenset(entries)

    def find(self, module: str, name: str) -> Global:
        """Return what a pickle names.

        Raises:
            TrustError: When it is not allowed.
            FlowLoadError: When it is allowed and cannot be imported.
        """
        module = _RENAMED.get(module, module)
        asked = f"{module}.{name}"
        if asked in SAFE:
            return SAFE[asked]
        exact = asked in self._entries
        if not exact and ("." in name or f"{module}.*" not in self._entries):
            message = f"the pickle asks for {shown(asked)}, which is not allowed"
            never = module.partition(".")[0] in NEVER
            hint = _HINT_NEVER if never else f"if it may have any argument: allow=[{shown(asked)}]"
            raise TrustError(message, hint=hint)
        value = _resolve(module, name)
        if _is_barred(value) or not (exact or _is_defined_as(value, module, name)):
            message = f"the pickle asks for {shown(asked)}, which is more than a class of its own"
            raise TrustError(message, hint=_HINT_NEVER)
        return Global(value, value, own=True)


def shown(text: str) -> str:
    """Return a text of a stranger for a message: quoted, and not long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _check_entry(entry: object) -> None:
    """Refuse an entry that is none, or that would allow too much."""
    module, _, name = entry.rpartition(".") if isinstance(entry, str) else ("", "", "")
    words = [*module.split("."), "all" if name == "*" else name]
    if not all(word.isidentifier() for word in words):
        message = f"an entry is 'module.name' or 'module.*', not {entry!r}"
        raise ConfigurationError(message, path="allow")
    if words[0] in NEVER and entry not in SAFE and not _is_builtin_exception(str(entry)):
        message = f"{entry!r} can never be allowed: with it a pickle could do anything"
        raise ConfigurationError(message, path="allow", hint=_HINT_NEVER)
    if name == "*" and words[0] in sys.stdlib_module_names:
        message = f"{entry!r} allows too much"
        raise ConfigurationError(message, path="allow", hint="name the classes, one by one")


def _is_builtin_exception(entry: str) -> bool:
    module, _, name = entry.rpartition(".")
    found = getattr(builtins, name, None) if module == "builtins" else None
    return isinstance(found, type) and issubclass(found, BaseException)


def _resolve(module: str, name: str) -> Any:
    """Import and return an object; of what is in a class only a class, and no attribute."""
    try:
        found: Any = importlib.import_module(module)
        first, *rest = name.split(".")
        found = getattr(found, first)
        for word in rest:
            found = vars(found)[word]
    except Exception as error:
        message = f"{module}.{name} cannot be imported ({type(error).__name__})"
        raise FlowLoadError(message, hint="is it installed here, in the same version?") from error
    if rest and not _is_defined_as(found, module, name):
        return None
    return found


def _is_defined_as(value: object, module: str, name: str) -> bool:
    """Tell whether this is a class that the module defines under that name."""
    return isinstance(value, type) and (value.__module__, value.__qualname__) == (module, name)


def _is_barred(value: object) -> bool:
    """Tell whether an object is never allowed, by whatever name it was found."""
    if isinstance(value, types.ModuleType) or not callable(value):
        return True
    if isinstance(value, type) and issubclass(value, type):
        return True
    origin = getattr(value, "__module__", None) or ""
    builtin = isinstance(value, type) and issubclass(value, BaseException) and origin == "builtins"
    return str(origin).partition(".")[0] in NEVER and not builtin


# --- what is harmless ----------------------------------------------------------------------------


def latin_1(text: object, encoding: object) -> bytes:
    """Return the bytes that protocols 0 to 2 have as text; `codecs.encode` could do more."""
    if type(text) is not str or encoding not in {"latin1", "latin-1"}:
        raise TypeError
    return text.encode("latin-1")


def byte_array(source: object = b"", encoding: object = "latin-1") -> bytearray:
    """Return a copy of bytes; `bytearray` itself would take a number and fill as much memory."""
    return bytearray(source if type(source) is bytes else latin_1(source, encoding))


def default_dict(factory: object = None) -> collections.defaultdict[Any, Any]:
    """Return an empty one that makes what it lacks by a class."""
    if factory is not None and not isinstance(factory, type):
        raise TypeError
    return collections.defaultdict(factory)


def _only(kind: Callable[..., Any], *kinds: type) -> Global:
    """Return what is called with arguments of exactly these types, and with no long number."""

    def make(*arguments: object) -> Any:
        for argument in arguments:
            # The length of a range of long numbers, and so its hash, is hours of work.
            long = type(argument) is int and argument.bit_length() >= _LONG
            if long or type(argument) not in kinds:
                raise TypeError
        return kind(*arguments)

    return Global(kind, make)


RECONSTRUCTOR = object()
"""Stands for `copyreg._reconstructor`, whose work the machine does."""

_NAMED = {
    "bool": bool, "dict": dict, "float": float, "int": int, "list": list, "long": int,
    "object": object, "str": str, "tuple": tuple, "unicode": str, "Ellipsis": Ellipsis,
    "NotImplemented": NotImplemented,
}  # fmt: skip

SAFE: dict[str, Global] = {
    **{f"builtins.{name}": Global(value, None) for name, value in _NAMED.items()},
    **{
        f"datetime.{kind.__name__}": Global(kind, kind)
        for kind in (
            dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone,
        )
    },
    **{
        f"pathlib.{kind.__name__}": _only(kind, str)
        for kind in (pathlib.PurePath, pathlib.PurePosixPath, pathlib.PureWindowsPath)
    },
    "_codecs.encode": Global(latin_1, latin_1),
    "builtins.bytearray": Global(bytearray, byte_array),
    "builtins.bytes": _only(bytes),
    "builtins.complex": _only(complex, float),
    "builtins.frozenset": _only(frozenset, list, tuple),
    "builtins.range": _only(range, int),
    "builtins.set": _only(set, list, tuple),
    "builtins.slice": _only(slice, int, types.NoneType),
    "builtins.xrange": _only(range, int),
    "collections.Counter": _only(collections.Counter, dict),
    "collections.OrderedDict": _only(collections.OrderedDict),
    "collections.defaultdict": Global(collections.defaultdict, default_dict),
    "collections.deque": _only(collections.deque, list, tuple, int, types.NoneType),
    "copyreg._reconstructor": Global(RECONSTRUCTOR, None),
    "decimal.Decimal": _only(decimal.Decimal, str),
    "uuid.UUID": Global(uuid.UUID, None, own=True),
}  # fmt: skip
"""What any pickle may name: plain data, made from plain data."""

_RENAMED = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "exceptions": "builtins",
    "pathlib._local": "pathlib",
}
"""Modules as protocols 0 to 2, and Python 3.13, call them."""

_HINT_NEVER = "store the result as plain data: numbers, texts, lists, dicts, dates"
_LONG = 64
"""Bits of a number that no range or slice of data has."""

_SHOWN = 100
"""Most characters of a stranger's text in a message."""
