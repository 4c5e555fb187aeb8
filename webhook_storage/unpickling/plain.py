"""The instructions of a pickle that make plain data, within limits."""

from __future__ import annotations

import collections
import pickletools
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from webhook_storage.errors import TooLargeError, TrustError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Actions = Mapping[str, Callable[[Any, Any], None]]
    _Instruction = tuple[pickletools.OpcodeInfo, Any, int]

DEPTH_LIMIT = 500
"""Most tuples in one another: to hash many more ends the process."""

HANGING_LIMIT = 1000
"""Most deques and defaultdicts directly in others: when many more of them hang on one another, to
let go of the first ends the process too (measured with CPython 3.11)."""

_PROTOCOL = 5
_COPIES = 4
"""Bytes that are copied at most, for each byte that a pickle may have."""

_ITEM = 64
"""Bytes that one item of a container takes, about."""

_LONG = 4096
"""Bits of a number whose hash is no more work than that of any other value."""

_HANGING = (collections.deque, collections.defaultdict)
_CONTAINERS = (list, tuple, dict, set, frozenset, collections.deque)

_VALUES = frozenset({
    "BINBYTES", "BINBYTES8", "BINFLOAT", "BININT", "BININT1", "BININT2", "BINUNICODE",
    "BINUNICODE8", "BYTEARRAY8", "FLOAT", "INT", "LONG", "LONG1", "LONG4", "SHORT_BINBYTES",
    "SHORT_BINUNICODE", "UNICODE",
})  # fmt: skip
"""Instructions that put a value on top which stands in the pickle."""


class PlainMachine:
    """Carries out the instructions of one pickle, which are described in `pickletools`.

    Args:
        actions: What is done for each instruction, by its name, with its argument.
        max_bytes: Most bytes of the pickle; a few times as many are copied at most.
        max_steps: Most instructions.
    """

    def __init__(self, actions: Actions, max_bytes: int, max_steps: int) -> None:
        """Start with an empty stack."""
        self._actions = actions
        self._copies = max_bytes * _COPIES
        self._steps = max_steps
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._nested: dict[int, tuple[int, int]] = {}
        self._hanging = 0
        self._lists: tuple[type, ...] = (list, collections.deque)
        self._dicts: tuple[type, ...] = (dict,)

    def run(self, data: bytes) -> Any:
        """Return what is left when all instructions were carried out.

        Raises:
            TrustError: When one of them is none that data needs.
            TooLargeError: When there are too many, or they copy too much.
            Exception: Of any kind, when the pickle is broken.
        """
        instructions = cast("Iterator[_Instruction]", pickletools.genops(data))
        for step, (opcode, argument, position) in enumerate(instructions):
            name = opcode.name
            if step >= self._steps:
                message = f"the pickle has more than {self._steps} instructions"
                raise TooLargeError(message, hint="raise max_steps when you expect so much")
            if name in _VALUES:
                self._stack.append(argument)
            elif name == "FRAME":
                demand(argument <= len(data) - position)
            elif name in self._actions:
                self._actions[name](self, argument)
            elif name != "STOP":
                message = f"the pickle has the instruction {name}, which no data needs"
                raise TrustError(message, hint="store it by pickle.dumps() of Python 3")
        demand(not self._below and len(self._stack) == 1 and position == len(data) - 1)
        return self._stack.pop()

    def push(self, value: Any) -> None:
        """Put a value on top."""
        self._stack.append(value)

    def check_protocol(self, number: int) -> None:
        """Refuse a protocol that is not known here."""
        demand(number <= _PROTOCOL)

    # --- marks and the memo ----------------------------------------------------------------------

    def mark(self) -> None:
        """Begin a new stack."""
        self._below.append(self._stack)
        self._stack = []

    def unmark(self) -> list[Any]:
        """Return what was put on top since the last mark, and go back to what is below."""
        items, self._stack = self._stack, self._below.pop()
        return items

    def drop(self) -> None:
        """Take away the value on top, or the mark."""
        if self._stack:
            self._stack.pop()
        else:
            self.unmark()

    def remember(self, index: int | None) -> None:
        """Keep the value on top under a number, or the next one."""
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    def recall(self, index: int) -> None:
        """Put a value that was kept on top."""
        self.push(self._memo[index])

    # --- containers ------------------------------------------------------------------------------

    def take(self, count: int) -> list[Any]:
        """Return the topmost values."""
        demand(len(self._stack) >= count)
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def nest(self, made: Any) -> None:
        """Put a value on top; of a tuple or frozen set, know how deep and large it is in all."""
        self.push(made)
        if not isinstance(made, (tuple, frozenset)):
            return
        shapes = [self._shape(item) for item in made if _takes_effort(item)]
        depth = 1 + max((depth for depth, _ in shapes), default=0)
        if depth > DEPTH_LIMIT:
            message = f"the pickle has more than {DEPTH_LIMIT} tuples in one another"
            raise TooLargeError(message, hint="store it as lists")
        if shapes:
            self._nested[id(made)] = depth, 1 + len(made) + sum(size for _, size in shapes)
        else:
            self._nested.pop(id(made), None)  # of another one, which is gone

    def append(self, items: list[Any]) -> None:
        """Append values to the list on top."""
        target = self._stack[-1]
        demand(isinstance(target, self._lists))
        self.hang(target, items)
        target.extend(items)

    def add(self, items: list[Any]) -> None:
        """Add values to the set on top."""
        target = self._stack[-1]
        demand(isinstance(target, set))
        target.update(self.hashable(items))

    def make_dict(self, items: list[Any]) -> None:
        """Put a dict of keys and values on top."""
        self.push({})
        self.fill(items)

    def fill(self, items: list[Any]) -> None:
        """Put keys and values into the dict on top."""
        target = self._stack[-1]
        demand(isinstance(target, self._dicts))
        self.hang(target, items)
        for key, value in zip(self.hashable(items[::2]), items[1::2], strict=True):
            target[key] = value

    # --- limits ----------------------------------------------------------------------------------

    def hashable(self, items: list[Any]) -> list[Any]:
        """Return values that may be hashed now; a hash visits all that is in a tuple, each time."""
        self.spend(sum(self._shape(item)[1] for item in items if _takes_effort(item)))
        return items

    def weigh(self, arguments: tuple[Any, ...]) -> None:
        """Count what a call may copy; one that is in the pickle once can be copied often."""
        for argument in arguments:
            if isinstance(argument, (str, bytes, bytearray)):
                self.spend(len(argument))
            elif isinstance(argument, _CONTAINERS):
                self.spend(len(argument) * _ITEM)

    def hang(self, target: Any, items: Iterable[Any]) -> None:
        """Count what is put into something whose end would come by recursion."""
        if isinstance(target, _HANGING):
            self._hanging += sum(isinstance(item, _HANGING) for item in items)
            if self._hanging > HANGING_LIMIT:
                message = (
                    f"the pickle has more than {HANGING_LIMIT} deques or defaultdicts in others"
                )
                raise TooLargeError(message, hint="store them as lists and dicts")

    def _shape(self, value: Any) -> tuple[int, int]:
        """Return how deep a value goes, and how many values a hash of it visits."""
        if type(value) is int:
            return 0, value.bit_length() // _ITEM
        if type(value) is Decimal:
            return 0, sys.getsizeof(value) * 8 // _ITEM
        return self._nested.get(id(value)) or (1, 1 + len(value))

    def spend(self, copies: int) -> None:
        """Count bytes that are copied.

        Raises:
            TooLargeError: When they are too many.
        """
        self._copies -= copies
        if self._copies < 0:
            message = "the pickle unpacks to many times its size"
            raise TooLargeError(message, hint="raise max_bytes when you expect so much")


def _takes_effort(value: object) -> bool:
    """Tell whether a hash of a value takes longer the larger it is, each time."""
    if type(value) is int:
        return value.bit_length() > _LONG
    if type(value) is Decimal:
        return sys.getsizeof(value) > _LONG // 8
    return isinstance(value, (tuple, frozenset))


def demand(condition: bool) -> None:  # noqa: FBT001 - it reads as an assertion
    """Break off when a pickle is not as pickles are.

    Raises:
        ValueError: When the condition does not hold.
    """
    if not condition:
        raise ValueError


PLAIN_ACTIONS: dict[str, Callable[[Any, Any], None]] = {
    "PROTO": PlainMachine.check_protocol,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),  # noqa: FBT003 - a value like any
    "NEWFALSE": lambda machine, _: machine.push(False),  # noqa: FBT003
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.drop(),
    "POP_MARK": lambda machine, _: machine.unmark(),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), PlainMachine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), PlainMachine.recall),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.nest(tuple(machine.unmark())),
    "TUPLE1": lambda machine, _: machine.nest(tuple(machine.take(1))),
    "TUPLE2": lambda machine, _: machine.nest(tuple(machine.take(2))),
    "TUPLE3": lambda machine, _: machine.nest(tuple(machine.take(3))),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.unmark()),
    "APPEND": lambda machine, _: machine.append(machine.take(1)),
    "APPENDS": lambda machine, _: machine.append(machine.unmark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: machine.make_dict(machine.unmark()),
    "SETITEM": lambda machine, _: machine.fill(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.fill(machine.unmark()),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "ADDITEMS": lambda machine, _: machine.add(machine.unmark()),
    "FROZENSET": lambda machine, _: machine.nest(frozenset(machine.hashable(machine.unmark()))),
}
"""What the instructions for plain data do."""
