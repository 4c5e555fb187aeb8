"""Asking a resolver, and judging what it answers.

Rule: a message holds no value and nothing of an exception but its kind and place, since either may
be what the resolver failed to keep.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.document import pick
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from webhook_storage.contracts import Resolver
    from webhook_storage.template import Reference

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which something that takes milliseconds hangs, however busy the machine is."""

Answers = dict["Reference", Outcome]

_KINDS = frozenset({Found, NotFound, Forbidden, Unavailable, Invalid})


def hold(kept: object, promise: str, instead: str = "") -> None:
    """Raise when a promise is not kept.

    Args:
        kept: Whether it is.
        promise: What is true of a good resolver.
        instead: What this one does.

    Raises:
        AssertionError: It is not kept.
    """
    __tracebackhide__ = True
    if not kept:
        message = f"a resolver's promise is broken: {promise}{instead and f'; {instead}'}"
        raise AssertionError(message)


def ask(resolver: Resolver, references: Sequence[Reference], seconds: float = PATIENCE) -> Answers:
    """Return what it answers, an outcome for each reference."""
    return checked(
        attempt("resolve()", lambda: resolver.resolve(references, Deadline(seconds))), references
    )


def ask_in_loop(
    resolver: Resolver, references: Sequence[Reference], *, tasks: int, cancelled: int | None = None
) -> list[Answers]:
    """Return what tasks of one event loop are answered that ask at the same time.

    Args:
        resolver: Who is asked by all of them.
        references: What each asks for.
        tasks: How many there are.
        cancelled: The number of the one that is cancelled once all have begun, from 0; it gets no
            answer.
    """

    async def all_of_them() -> list[object]:
        asked = [asyncio.ensure_future(_aresolve(resolver, references)) for _ in range(tasks)]
        await asyncio.sleep(0)
        if cancelled is not None:
            asked.pop(cancelled).cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    answered = []
    for answers in asyncio.run(all_of_them()):
        dragged = cancelled is not None and isinstance(answers, asyncio.CancelledError)
        hold(not dragged, "a cancelled task takes no other along")
        if isinstance(answers, BaseException):
            _raised("aresolve()", answers)
        answered.append(checked(answers, references))
    return answered


def loop_goes_on(resolver: Resolver, references: Sequence[Reference], seconds: float) -> bool:
    """Tell whether an event loop has its turn while a question waits for its answer."""

    async def meanwhile() -> bool:
        asked = asyncio.ensure_future(_aresolve(resolver, references, seconds))
        await asyncio.sleep(0)
        waits = not asked.done()
        await asked
        return waits

    return asyncio.run(meanwhile())


async def _aresolve(
    resolver: Resolver, references: Sequence[Reference], seconds: float = PATIENCE
) -> Mapping[Reference, Outcome]:
    return await resolver.aresolve(references, Deadline(seconds))


def attempt(what: str, action: Callable[[], T]) -> T:
    """Return what a method returns, which must not raise."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - that it raises is the breach
        fault = error
    return _raised(what, fault)


def in_time(action: Callable[[], T], promise: str) -> T:
    """Return what an action comes to; one that hangs is left to itself."""
    done: Future[T] = Future()

    def act() -> None:
        try:
            done.set_result(action())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            done.set_exception(error)

    Thread(target=act, daemon=True).start()
    wait([done], PATIENCE)
    hold(done.done(), promise, "it hangs")
    return done.result()


def checked(answers: object, references: Sequence[Reference]) -> Answers:
    """Return the answers, when there is a well-formed one for every reference."""
    hold(isinstance(answers, Mapping), "it answers with a mapping", f"not {_kind(answers)}")
    found: Answers = dict(answers)  # type: ignore[call-overload]  # a mapping, see above
    for reference in references:
        name = str(reference)[:30]
        hold(reference in found, "every reference gets an outcome", f"{name!r} got none")
        answer = found[reference]
        hold(type(answer) in _KINDS, "an answer is an outcome", f"not {_kind(answer)}")
        if isinstance(answer, Found):
            _check_found(answer)
        else:
            hold(
                isinstance(answer.detail, str), "a detail is a text", f"not {_kind(answer.detail)}"
            )
        if isinstance(answer, Unavailable):
            hold(_is_time(answer.retry_after), "retry_after is a number of seconds, or None")
    return found


def is_secret(answer: Outcome, value: str, field: str | None = None) -> bool:
    """Tell whether this is a secret with that text, in one field of it if it has fields."""
    picked = pick(answer, field) if field is not None else answer
    return isinstance(picked, Found) and picked.value == SecretValue(value)


def is_absent(answer: Outcome) -> bool:
    """Tell whether this says that a secret is not there, or may not be."""
    return isinstance(answer, NotFound) or (isinstance(answer, Forbidden) and answer.maybe_missing)


def _check_found(answer: Found) -> None:
    """Refuse what is no secret, or says something odd about it."""
    wrapped = isinstance(answer.value, SecretValue)
    hold(wrapped, "what is found is a SecretValue", f"not {_kind(answer.value)}")
    hold(_is_time(answer.lifetime), "a lifetime is a number of seconds, or None")
    known = answer.version is None or isinstance(answer.version, str)
    hold(known, "a version is a text, or None", f"not {_kind(answer.version)}")


def _is_time(seconds: object) -> bool:
    return seconds is None or (isinstance(seconds, int | float) and seconds >= 0)


def _kind(thing: object) -> str:
    return f"a {type(thing).__name__}"


def _raised(what: str, error: BaseException) -> NoReturn:
    """Say that something was raised, and where, with nothing of its text."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    hold(False, f"{what} never raises", f"{type(error).__name__}{where}")  # noqa: FBT003
    raise AssertionError  # pragma: no cover - `hold` has raised
