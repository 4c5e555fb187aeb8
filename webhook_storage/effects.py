"""What differs between threads and event loops: to send, to wait, to work, to do several at a time.

The sender is a generator of effects. `perform` does them in a thread, `aperform` in an event loop.
A thread cannot be cancelled. What is performed inside of `interruptible` looks before each effect,
during a pause and between the pieces of a body whether it is to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

from webhook_storage.artifact import CheckedBody
from webhook_storage.leaving import presentable
from webhook_storage.secret import redacted_logs

if TYPE_CHECKING:
    from webhook_storage.answer import Receiver, Reply
    from webhook_storage.contracts import Transport, WireRequest
    from webhook_storage.secret import Redactor

T = TypeVar("T")


class Effect(Protocol):
    """Something to be done that blocks, in both ways of doing it."""

    def perform(self) -> Any:
        """Do it and block."""

    async def aperform(self) -> Any:
        """Do it and let others go on."""


Steps = Generator[Effect, Any, T]

_interrupted: ContextVar[threading.Event | None] = ContextVar(
    "webhook_storage_interrupted", default=None
)


@contextlib.contextmanager
def interruptible(event: threading.Event) -> Iterator[None]:
    """Let what is performed inside the ``with`` block end by `KeyboardInterrupt` once this is set.

    A request that was sent is waited for, with its whole answer, which tells what was done. Not
    waited for is the rest of a body that is being sent or downloaded, nor any further request of
    the same exchange.
    """
    token = _interrupted.set(event)
    try:
        yield
    finally:
        _interrupted.reset(token)


def _go_on() -> None:
    """Do nothing, unless those who wait for this thread were interrupted."""
    event = _interrupted.get()
    if event is not None and event.is_set():
        raise KeyboardInterrupt


class Waiting:
    """Wait before another attempt."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def perform(self) -> None:
        """Do it and block."""
        event = _interrupted.get()
        if event is None:
            time.sleep(self._seconds)
        elif event.wait(self._seconds):
            raise KeyboardInterrupt

    async def aperform(self) -> None:
        """Do it and let others go on."""
        await asyncio.sleep(self._seconds)


class Joining:
    """Wait for what somebody else does; the result is None when that takes too long."""

    def __init__(self, done: Future[T], seconds: float) -> None:
        self._done = done
        self._seconds = seconds

    def perform(self) -> Any:
        """Do it and block."""
        event = _interrupted.get()
        end = time.monotonic() + self._seconds
        while not self._done.done() and (left := end - time.monotonic()) > 0:
            wait([self._done], left if event is None else min(left, _LOOK_EVERY))
            _go_on()
        return self._done.result() if self._done.done() else None

    async def aperform(self) -> Any:
        """Do it and let others go on."""
        done = asyncio.wrap_future(self._done)
        await asyncio.wait([done], timeout=self._seconds)
        return done.result() if done.done() else None


_LOOK_EVERY = 0.1
"""Seconds after which a thread that waits for another looks whether it was interrupted."""


class Working:
    """Do something that takes time here."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action

    def perform(self) -> Any:
        """Do it and block."""
        return self._action()

    async def aperform(self) -> Any:
        """Do it and let others go on."""
        return await in_thread(self._action)


class Sharing:
    """Carry several exchanges out at a time."""

    def __init__(self, runs: Sequence[Steps[Any]], limit: int) -> None:
        self._runs = runs
        self._limit = max(1, limit)
        self._failed = False

    def perform(self) -> list[Any]:
        """Do it and block."""
        event = _interrupted.get() or threading.Event()
        with (
            interruptible(event),
            ThreadPoolExecutor(min(self._limit, len(self._runs) or 1)) as pool,
        ):
            try:
                begun = [pool.submit(copy_context().run, self._run, steps) for steps in self._runs]
                results = [future.result() for future in begun]
            except BaseException:
                self._failed = True  # an interruption: those that wait do not begin
                event.set()
                raise
        return _results(results)

    async def aperform(self) -> list[Any]:
        """Do it and let others go on."""
        turns = asyncio.Semaphore(self._limit)

        async def run(steps: Steps[Any]) -> Any:
            async with turns:
                return await self._arun(steps)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(steps)) for steps in self._runs]
        return _results([task.result() for task in tasks])

    def _run(self, steps: Steps[Any]) -> Any:
        """Return the result, or a failure: a future would keep the frames of one that is raised."""
        if self._failed:
            return None
        try:
            return perform(steps)
        except BaseException as error:  # noqa: BLE001 - nothing may leave as it is
            self._failed = True
            return _Failure(presentable(error))

    async def _arun(self, steps: Steps[Any]) -> Any:
        if self._failed:
            return None
        try:
            return await aperform(steps)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - nothing may leave as it is
            self._failed = True
            return _Failure(presentable(error))


class _Failure(NamedTuple):
    """What an exchange ended with in place of a result."""

    error: BaseException


def _results(ends: list[Any]) -> list[Any]:
    """Return the results.

    Raises:
        BaseException: The first failure, when there is one.
    """
    for end in ends:
        if isinstance(end, _Failure):
            raise end.error
    return ends


class Sending:
    """Send a request once and take the answer in whole."""

    def __init__(
        self, transport: Transport, wire: WireRequest, receiver: Receiver, redactor: Redactor
    ) -> None:
        self._transport = transport
        self._wire = wire
        self._receiver = receiver
        self._redactor = redactor

    def perform(self) -> Reply:
        """Do it and block."""
        with redacted_logs(self._redactor):
            answer = self._transport.send(_watched(self._wire))
            try:
                self._receiver.begin(answer.status, answer.headers)
                for chunk in answer.chunks():
                    if self._receiver.taking:  # any other answer tells what was done
                        _go_on()
                    self._receiver.take(chunk)
                    if self._receiver.enough:
                        break
            finally:
                answer.close()
        return self._receiver.end()

    async def aperform(self) -> Reply:
        """Do it and let others go on."""
        with redacted_logs(self._redactor):
            answer = await self._transport.asend(self._wire)
            try:
                self._receiver.begin(answer.status, answer.headers)
                async for chunk in answer.chunks():
                    if self._receiver.blocks:
                        await in_thread(partial(self._receiver.take, chunk))
                    else:
                        self._receiver.take(chunk)
                    if self._receiver.enough:
                        break
            finally:
                await answer.aclose()
        return self._receiver.end()


def _watched(wire: WireRequest) -> WireRequest:
    """Return the request, whose body is not sent to its end when nobody waits for it any more."""
    if wire.body is None or _interrupted.get() is None:
        return wire
    return wire.changed(body=CheckedBody(wire.body, _go_on))


async def in_thread(action: Callable[[], T]) -> T:
    """Do it in a thread that has ended when this does, also when this is cancelled.

    What the action writes to would else be written to after it was cleaned up.
    """
    work = asyncio.ensure_future(asyncio.to_thread(_without_stop, action))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # nobody wants to know
        raise


def _without_stop(action: Callable[[], T]) -> T:
    """Return what an action does; a `StopIteration` in a thread would never reach the loop."""
    try:
        return action()
    except StopIteration:
        message = "an action raised StopIteration"
    raise RuntimeError(message)


def perform(steps: Steps[T]) -> T:
    """Do all effects, one after the other."""
    resume: Callable[[Any], Effect] = steps.send
    result: Any = None
    try:
        while True:
            effect = resume(result)
            try:
                _go_on()
                result, resume = effect.perform(), steps.send
            except BaseException as error:  # noqa: BLE001 - the steps decide
                result, resume = error, steps.throw
    except StopIteration as stop:
        return cast("T", stop.value)


async def aperform(steps: Steps[T]) -> T:
    """Do all effects, one after the other, in an event loop."""
    resume: Callable[[Any], Effect] = steps.send
    result: Any = None
    try:
        while True:
            effect = resume(result)
            try:
                result, resume = await effect.aperform(), steps.send
            except BaseException as error:  # noqa: BLE001 - the steps decide
                result, resume = error, steps.throw
    except StopIteration as stop:
        return cast("T", stop.value)
