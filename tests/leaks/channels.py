"""Every way in which something could show a secret: errors, records, objects."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import gc
import json
import logging
import pickle
import pprint
import traceback
import types
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import cloudpickle
from rich.traceback import Traceback

from tests.leaks.canary import find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pytest

Shown = tuple[str, "str | bytes"]
"""Name of a channel, and what came out of it."""

LOGGERS = (
    "", "asyncio", "concurrent", "h11", "h2", "hpack", "http.client", "httpcore",
    "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpx", "requests", "urllib3",
    "urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry", "webhook_storage",
)  # fmt: skip


def hits(shown: Iterable[Shown]) -> list[str]:
    """Return each channel in which a secret stands, with its spelling."""
    return [f"{channel}: {form}" for channel, text in shown for form in find(text)]


# --- errors --------------------------------------------------------------------------------------


def of_error(error: BaseException) -> Iterator[Shown]:
    """Yield what an exception, and all that hangs on it, shows."""
    for depth, each in enumerate(_chain(error)):
        for name, text in _of_one_error(each):
            yield f"{name} ({depth})", text
    yield "traceback", "".join(traceback.format_exception(error))
    with_locals = traceback.TracebackException.from_exception(error, capture_locals=True)
    yield "traceback with locals", "".join(with_locals.format())
    yield "rich traceback", _by_rich(error)


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception with its causes, contexts and members."""
    found = [error]
    for each in found:
        near = [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
        found += [other for other in near if other is not None and other not in found]
    return found


def _of_one_error(error: BaseException) -> Iterator[Shown]:
    yield "str", str(error)
    yield "repr", repr(error)
    yield "args", repr(error.args)
    yield "notes", repr(getattr(error, "__notes__", ()))
    yield "dict", repr(vars(error))
    for name in dir(error):
        value = getattr(error, name, None)
        if not name.startswith("__") and not callable(value):
            yield f"attribute {name}", f"{value} {value!r}"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield f"pickle {protocol}", _attempt(partial(pickle.dumps, error, protocol))
    yield "cloudpickle", _attempt(lambda: cloudpickle.dumps(error))


def _by_rich(error: BaseException) -> str:
    """Return what rich would print with show_locals, without the costly drawing of boxes."""
    trace = Traceback.extract(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=1000,
        locals_max_string=100_000,
    )
    shown = [stack.exc_value for stack in trace.stacks]
    for stack in trace.stacks:
        shown += [str(node) for frame in stack.frames for node in (frame.locals or {}).values()]
    return "\n".join(shown)


def _attempt(action: Callable[[], object]) -> str | bytes:
    """Return what an action makes, or what it says when it refuses."""
    try:
        made = action()
    except Exception as error:  # noqa: BLE001 - refusing is fine, telling is not
        return "".join(traceback.format_exception(error))
    return made if isinstance(made, bytes) else f"{made} {made!r}"


# --- objects -------------------------------------------------------------------------------------


def of_object(thing: object) -> Iterator[Shown]:
    """Yield what an object shows when it is printed, copied or serialized."""
    kind = type(thing).__name__
    attempts: dict[str, Callable[[], object]] = {
        "str": partial(str, thing),
        "repr": partial(repr, thing),
        "format": lambda: f"{thing}",
        "vars": lambda: vars(thing),
        "pprint": lambda: pprint.pformat(thing),
        "copy": lambda: repr(vars(copy.copy(thing))),
        "deepcopy": lambda: repr(vars(copy.deepcopy(thing))),
        "asdict": lambda: dataclasses.asdict(thing),  # type: ignore[call-overload]
        "JSON": lambda: json.dumps(thing, default=str),
        "JSON of vars": lambda: json.dumps(vars(thing), default=repr),
        "model dump": getattr(thing, "model_dump_json", str),
        "definition": getattr(thing, "to_json", str),
        "cloudpickle": lambda: cloudpickle.dumps(thing),
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        attempts[f"pickle {protocol}"] = partial(pickle.dumps, thing, protocol)
    for name, action in attempts.items():
        yield f"{name} of {kind}", _attempt(action)


def reachable(*roots: object) -> Iterator[Shown]:
    """Yield every text that objects lead to, though not through modules, classes or functions."""
    closed = (
        types.ModuleType,
        types.FunctionType,
        types.BuiltinFunctionType,
        types.FrameType,
        type,
    )
    seen: dict[int, Any] = {id(root): root for root in roots}
    waiting = list(roots)
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, str | bytes | bytearray):
            yield "reachable", thing if isinstance(thing, str) else bytes(thing)
        for near in gc.get_referents(thing):
            if id(near) not in seen and not isinstance(near, closed):
                seen[id(near)] = near
                waiting.append(near)


# --- what is written along the way ---------------------------------------------------------------


class Witness(logging.Handler):
    """Keeps all that is logged and warned of."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.shown: list[Shown] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record in words and with all its attributes."""
        self.shown.append((f"log of {record.name}", self.format(record)))
        self.shown.append((f"record of {record.name}", repr(vars(record))))


@contextlib.contextmanager
def witnessed(capture: pytest.CaptureFixture[str]) -> Iterator[Witness]:
    """Keep what all loggers at DEBUG, warnings and the standard streams say in the block."""
    witness = Witness()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    logging.getLogger().addHandler(witness)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for logger in loggers:
                logger.setLevel(logging.DEBUG)
            yield witness
            gc.collect()  # what is never awaited or closed says so now
            witness.shown += [("warning", str(each.message)) for each in warned]
    finally:
        logging.getLogger().removeHandler(witness)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    out, err = capture.readouterr()
    witness.shown += [("stdout", out), ("stderr", err)]
