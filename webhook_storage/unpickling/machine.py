"""The instructions of a pickle that name, call and fill classes: only what is allowed."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import PurePath
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from webhook_storage.errors import FlowLoadError, TrustError
from webhook_storage.unpickling.allowed import RECONSTRUCTOR, Allowed, Global
from webhook_storage.unpickling.plain import PLAIN_ACTIONS, PlainMachine, demand

if TYPE_CHECKING:
    from collections.abc import Callable

_BASES = frozenset({dict, float, frozenset, int, list, set, str, tuple})
_STATES = frozenset({dict, NoneType})
_UUID_BITS = 128
_PATH = 32
"""Bytes counted for each byte of a path. Each part of it is a text of its own, with another one for
the hash: 58 bytes at most (measured with CPython 3.11)."""


class Machine(PlainMachine):
    """Carries out the instructions of one pickle.

    Args:
        allowed: What it may name.
        max_bytes: As for `PlainMachine`.
        max_steps: As for `PlainMachine`.
    """

    def __init__(self, allowed: Allowed, max_bytes: int, max_steps: int) -> None:
        """Know no name yet."""
        super().__init__(ACTIONS, max_bytes, max_steps)
        self._allowed = allowed
        self._found: dict[tuple[str, str], Global] = {}
        self._named: dict[int, Global] = {}
        self._own: tuple[type, ...] = ()

    def name(self, module: object, name: object) -> None:
        """Put a class or function on top."""
        if type(module) is not str or type(name) is not str:
            raise TypeError
        found = self._found.get((module, name)) or self._allowed.find(module, name)
        if (module, name) not in self._found:
            self._found[module, name] = self._named[id(found.value)] = found
            if found.own and isinstance(found.value, type):
                self._own += (found.value,)
                self._lists += (found.value,)
                self._dicts += (found.value,)
        self.push(found.value)

    def call(self) -> None:
        """Call what was named, with a tuple of arguments."""
        function, arguments = self.take(2)
        known = self._known(function)
        demand(type(arguments) is tuple)
        self.weigh(arguments)
        if isinstance(function, type) and issubclass(function, PurePath):
            texts = [argument for argument in arguments if type(argument) is str]
            self.spend(_PATH * sum(len(text.encode(errors="surrogatepass")) for text in texts))
        if function is RECONSTRUCTOR:
            made = self._reconstruct(*arguments)
        elif known.own:
            made = _run(known.value, *arguments)
        elif known.call is not None:
            if function is set or function is frozenset:
                demand(all(type(argument) in {list, tuple} for argument in arguments))
                self.hashable([item for argument in arguments for item in argument])
            made = known.call(*arguments)
            self.hang(made, made)
        else:
            raise _refusal(f"calls {_label(function)}")
        self.nest(made)

    def create(self, kind: Any, arguments: Any, keywords: Any) -> None:
        """Make an instance of an allowed class by its ``__new__``."""
        self._check_kind(kind)
        demand(type(arguments) is tuple and type(keywords) is dict)
        self.weigh((*arguments, *keywords.values()))
        self.nest(_run(kind.__new__, kind, *arguments, **keywords))

    def build(self, state: Any) -> None:
        """Give an instance of an allowed class its state; nothing else is ever changed."""
        target = self._stack[-1]
        if isinstance(target, (type, Enum)) or not isinstance(target, self._own):
            raise _refusal(f"changes a {type(target).__name__}")
        self.weigh((state,))
        if type(target) is UUID:
            _check_uuid(state)
        restore = getattr(type(target), "__setstate__", None)
        if restore is not None:
            _run(restore, target, state)
            return
        attributes, slots = state if type(state) is tuple else (state, None)
        demand(type(attributes) in _STATES and type(slots) in _STATES)
        for name, value in (attributes or {}).items():
            vars(target)[sys.intern(name)] = value
        for name, value in (slots or {}).items():
            demand(not name.startswith("__"))
            _run(setattr, target, name, value)

    def _reconstruct(self, kind: Any, base: Any, state: Any) -> Any:
        """Do as `copyreg._reconstructor` does, for allowed classes."""
        self._check_kind(kind)
        demand(issubclass(kind, base))
        if base is object:
            return _run(object.__new__, kind)
        demand(base in _BASES and type(state) is base)
        made = _run(base.__new__, kind, state)
        if base.__init__ is not object.__init__:
            _run(base.__init__, made, state)
        return made

    def _check_kind(self, kind: Any) -> None:
        """Refuse to make an instance of anything but an allowed class."""
        if not (self._known(kind).own and isinstance(kind, type)):
            raise _refusal(f"makes an instance of {_label(kind)}")

    def _known(self, value: object) -> Global:
        """Return what was found under a name; nothing else is called or made."""
        known = self._named.get(id(value))  # which keeps the value, so its id is that of no other
        if known is None:
            raise _refusal(f"calls a {type(value).__name__}")
        return known


def _run(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Call what the caller allowed.

    Raises:
        FlowLoadError: When it raises; the cause is kept.
    """
    try:
        return function(*arguments, **keywords)
    except (Exception, SystemExit) as error:
        message = f"an allowed class refuses what the pickle gives it ({type(error).__name__})"
        raise FlowLoadError(message, hint="is it here in the version that stored it?") from error


def _check_uuid(state: Any) -> None:
    """Break off when a UUID, which is hashed by what it is given, gets more than numbers."""
    demand(type(state) is dict)
    for value in state.values():
        demand(type(value) is int and value.bit_length() <= _UUID_BITS)


def _label(value: object) -> str:
    return str(getattr(value, "__qualname__", type(value).__name__))


def _refusal(what: str) -> TrustError:
    """Return the error for what only a pickle made by hand does."""
    return TrustError(f"the pickle {what} by hand", hint="it was made to do harm, or is damaged")


ACTIONS: dict[str, Callable[[Any, Any], None]] = {
    **PLAIN_ACTIONS,
    "GLOBAL": lambda machine, names: machine.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.take(2)),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.create(*machine.take(2), {}),
    "NEWOBJ_EX": lambda machine, _: machine.create(*machine.take(3)),
    "BUILD": lambda machine, _: machine.build(*machine.take(1)),
}
