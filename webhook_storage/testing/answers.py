"""Asking a resolver, and judging what it answers.

Rule: a message holds no value and nothing of an exception but its kind and place, since either may
be what the resolver failed to keep.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLateError
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
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

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
    *questions: Callable[[], Coroutine[Any, Any, Mapping[Reference, Outcome]]],
    references: Sequence[Reference],
    cancelled: int | None = None,
) -> list[Answers]:
    """Return what tasks of one event loop are answered at the same time.

    Args:
        questions: Each is asked in a task of its own.
        references: What they ask for.
        cancelled: The one whose task is cancelled when all have begun; its answer is left out.
    """

    async def all_of_them() -> list[object]:
        tasks = [asyncio.ensure_future(question()) for question in questions]
        await asyncio.sleep(0)
        if cancelled is not None:
            tasks.pop(cancelled).cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answered = []
    for answers in asyncio.run(all_of_them()):
        if isinstance(answers, BaseException):
            _no_exception("aresolve()", answers)
        answered.append(checked(answers, references))
    return answered


def attempt(what: str, action: Callable[[], T]) -> T:
    """Return what a method returns, which must not raise."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - that it raises is the breach
        fault = error
    return _no_exception(what, fault)


def in_time(action: Callable[[], T], promise: str) -> T:
    """Return what an action comes to; one that hangs is left to itself."""
    done: Future[T] = Future()

    def act() -> None:
        try:
            done.set_result(action())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            done.set_exception(error)

    Thread(target=act, daemon=True).start()
    try:
        return done.result(PATIENCE)
    except TooLateError:
        late = True
    hold(not late, promise, "it hangs")
    raise AssertionError  # pragma: no cover - `hold` has raised


def checked(answers: object, references: Sequence[Reference]) -> Answers:
    """Return the answers, when there is a well-formed one for every reference."""
    hold(isinstance(answers, Mapping), "it answers with a mapping", f"not {_kind(answers)}")
    found: Answers = dict(answers)  # type: ignore[call-overload]  # a mapping, see above
    for reference in references:
        name = str(reference)[:30]
        answer = found.get(reference)
        hold(answer is not None, "every reference gets an outcome", f"{name!r} got none")
        hold(type(answer) in _KINDS, "an answer is an outcome", f"not {_kind(answer)}")
        if isinstance(answer, Found):
            _check_found(answer)
        else:
            hold(isinstance(answer.detail, str), "a detail is a text", _kind(answer.detail))
        if isinstance(answer, Unavailable):
            hold(_is_time(answer.retry_after), "retry_after is a number of seconds, or None")
    return found


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


def _no_exception(what: str, error: BaseException) -> T:  # type: ignore[type-var]  # it raises
    """Raise what says that something was raised, and where, with nothing of its text."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    promise = f"{what} answers, and never raises"
    message = f"a resolver's promise is broken: {promise}; {type(error).__name__}{where}"
    raise AssertionError(message) from None
