"""The choke point: the one place where templates become values and requests go out.

Nothing that is raised inside leaves it. What a caller sees is an error of ours, raised after the
handling of the original has ended, so that no traceback, cause or context reaches a frame in which
a value stands.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from webhook_storage import config, registry
from webhook_storage.answer import Receiver, Reply, check_sent, describe, refusal
from webhook_storage.artifact import MeasuredBody
from webhook_storage.contracts import Exchange, Request, Response, Transport, Wanted, WireRequest
from webhook_storage.errors import (
    ConnectError,
    SecretUnavailableError,
    TransportError,
    UnexpectedError,
    WebhookStorageError,
)
from webhook_storage.preview import Preview, preview
from webhook_storage.redirect import next_hop
from webhook_storage.render import render, templates
from webhook_storage.resolution import Resolution
from webhook_storage.retry import IDEMPOTENT_METHODS, RETRY_STATUSES
from webhook_storage.secret import SecretValue, redacted_logs
from webhook_storage.template import Reference, parse
from webhook_storage.values import Values, ask

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from webhook_storage.contracts import Resolver
    from webhook_storage.retry import RetryPolicy
    from webhook_storage.secret import Redactor

T = TypeVar("T")

log = logging.getLogger("webhook_storage")

_MAX_HOPS = 5


class Sender:
    """What a process brings to a storage: its resolvers, its transports, its patience.

    A storage is data and names secrets; a sender resolves them and sends. Every operation uses the
    current sender: the one whose ``with`` block is entered, else the installed one, else a default.
    What is not given is as the process's configuration says, see `config.load`.

    Args:
        secrets: Resolvers, asked in this order; without a configuration the environment, ``.env``
            in the current directory and the secrets directory. A `Resolution` is used as it is.
        transport: Used for the URL schemes that it names; others are found by entry point.
        retry: When to send again.

    Example:
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> with Sender(secrets=[MappingResolver({"TOKEN": "of this test"})]) as sender:
        ...     current_sender() is sender
        True
    """

    def __init__(
        self,
        *,
        secrets: Resolution | Sequence[Resolver] | None = None,
        transport: Transport | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Keep the parts; nothing is imported or connected yet."""
        if secrets is not None and not isinstance(secrets, Resolution):
            secrets = Resolution(secrets)
        self._resolution = secrets
        self._retry = retry
        self._transports: dict[str, Transport] = {}
        if transport is not None:
            self._transports = dict.fromkeys(transport.schemes, transport)
        self._users = 0

    def __enter__(self) -> Self:
        """Make this the current sender of this thread or task."""
        with _counting:
            self._users += 1
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Make the one before current again; the last to leave closes the connections."""
        _entered.set(_entered.get()[:-1])
        with _counting:
            self._users -= 1
            unused = not self._users
        if unused:
            self.close()

    @classmethod
    def from_config(cls, path: Path | None = None, *, transport: Transport | None = None) -> Self:
        """Return a sender that is made as a configuration file says, and its environment.

        Args:
            path: The file; None takes the one that ``WEBHOOK_STORAGE_CONFIG`` names, if any.
            transport: As in the constructor.

        Raises:
            ConfigurationError: Something in it is unknown or wrong, or a resolver refuses it.
        """
        said = config.load(path)
        return cls(secrets=said.resolution(), transport=transport, retry=said.retry)

    def install(self) -> Self:
        """Make this the sender of the whole process, wherever none is entered."""
        global _installed  # noqa: PLW0603 - that is what it is for
        _installed = self
        return self

    def close(self) -> None:
        """Close idle connections and the resolvers' clients. It can be used again afterwards."""
        for transport in set(self._transports.values()):
            transport.close()
        if self._resolution is not None:
            self._resolution.close()

    @property
    def resolution(self) -> Resolution:
        """Return what answers for secrets."""
        if self._resolution is None:
            self._resolution = config.load().resolution()
        return self._resolution

    def run(self, exchange: Exchange[T]) -> T:
        """Carry an operation out and return its result.

        Raises:
            WebhookStorageError: One of its kinds, with nothing in it that a placeholder stood for.
        """
        try:
            return _perform(self._converse(exchange))
        except BaseException as error:  # noqa: BLE001 - nothing may leave as it is
            failure = presentable(error)
        raise failure

    async def arun(self, exchange: Exchange[T]) -> T:
        """Do the same without blocking the event loop."""
        try:
            return await _aperform(self._converse(exchange))
        except BaseException as error:  # noqa: BLE001 - nothing may leave as it is
            failure = presentable(error)
        raise failure

    def preview(self, exchange: Exchange[Any]) -> Preview:
        """Return the first request of an operation with its secrets masked. Nothing is sent.

        Raises:
            SecretError: When a placeholder has no value, or an unsafe one, as when sending.
        """
        try:
            return _perform(self._rehearse(exchange))
        except BaseException as error:  # noqa: BLE001 - nothing may leave as it is
            failure = presentable(error)
        raise failure

    def _converse(self, exchange: Exchange[T]) -> _Steps[T]:
        """Drive the exchange: what it yields is fulfilled, what fails is told to it."""
        respond: Callable[[Any], Request | Wanted] = exchange.send
        answer: Any = None
        course = _Course()
        try:
            while True:
                wish = respond(answer)
                respond = exchange.send
                try:
                    if isinstance(wish, Wanted):
                        answer = yield from self._fetch_secrets(wish, course)
                    else:
                        answer = yield from self._deliver(wish, course)
                except WebhookStorageError as error:
                    respond, answer = exchange.throw, error
        except StopIteration as stop:
            return cast("T", stop.value)
        except WebhookStorageError as error:
            # An exchange has seen answers, which may echo a secret, and may be somebody else's.
            # An error of ours that it passes on is masked where that is needed.
            if error is not answer:
                for redactor in course.redactors:
                    _mask(error, redactor)
            raise
        finally:
            exchange.close()

    def _fetch_secrets(self, wanted: Wanted, course: _Course) -> _Steps[dict[str, SecretValue]]:
        texts = [(name, parse(text)) for name, text in wanted.templates.items()]
        values = yield from ask(self.resolution, texts, {})
        course.wanted += values.references
        return values.fill(wanted.templates)

    def _rehearse(self, exchange: Exchange[Any]) -> _Steps[Preview]:
        """Render the first request twice: with values, to see that it can be, and with marks."""
        request = next(exchange)
        while isinstance(request, Wanted):
            request = exchange.send({name: SecretValue("") for name in request.templates})
        exchange.close()
        values = yield from ask(self.resolution, templates(request), request.facts)
        self._check_hosts(request, render(request, values.lookup))
        return preview(request, values)

    def _deliver(self, request: Request, course: _Course) -> _Steps[Response]:
        """Send one request until it is answered, refused for good, or the retry policy gives up."""
        values = yield from ask(self.resolution, templates(request), request.facts)
        course.redactors.append(values.redactor)
        started, attempt, renewed = time.monotonic(), 0, False
        while True:
            attempt += 1
            if isinstance(request.body, MeasuredBody):
                request.body.complete = False
            outcome = yield from self._attempt(request, values, course)
            elapsed = time.monotonic() - started
            _log(request, outcome, elapsed)
            if isinstance(outcome, Reply) and outcome.good:
                check_sent(request, outcome, attempt)
                return outcome.response(attempt, values.redactor)
            if isinstance(outcome, Reply) and outcome.status == 401 and not renewed:  # noqa: PLR2004
                renewed = True
                newer = yield from self._renew(request, values)
                if newer is not None:
                    values = newer
                    course.redactors.append(values.redactor)
                    continue
            pause = self._pause(request, outcome, attempt, elapsed)
            if pause is None:
                raise refusal(request, outcome, attempt, values.redactor)
            yield _Pause(pause)

    def _renew(self, request: Request, values: Values) -> _Steps[Values | None]:
        """Ask again for the secrets of a refused request; None when none of them changed."""
        self.resolution.forget(values.found)
        try:
            newer = yield from ask(self.resolution, templates(request), request.facts)
        except SecretUnavailableError:
            return None  # what the server said is the answer
        return None if newer.same_as(values) else newer

    def _pause(
        self, request: Request, outcome: Reply | TransportError, attempt: int, elapsed: float
    ) -> float | None:
        """Return the seconds to wait before sending again, or None not to."""
        repeatable = request.idempotent
        if repeatable is None:
            repeatable = request.method in IDEMPOTENT_METHODS
        retry_after = None
        if isinstance(outcome, Reply):
            if outcome.status not in RETRY_STATUSES or not repeatable:
                return None
            retry_after = outcome.headers.get("retry-after")
        elif not (outcome.retryable and (repeatable or isinstance(outcome, ConnectError))):
            return None
        if self._retry is None:
            self._retry = config.load().retry
        return self._retry.delay(attempt=attempt, elapsed=elapsed, retry_after=retry_after)

    def _attempt(
        self, request: Request, values: Values, course: _Course
    ) -> _Steps[Reply | TransportError]:
        """Send once, through all redirects that may be followed."""
        first = render(request, values.lookup)
        self._check_hosts(request, first, course.wanted)
        wire: WireRequest | None = first
        hops = 0
        while wire is not None:
            try:
                reply = yield _Send(self._transport(wire), wire, Receiver(request), values)
            except WebhookStorageError as error:
                _mask(error, values.redactor)
                if isinstance(error, TransportError):
                    return error
                raise
            wire = next_hop(request, wire, reply, values.redactor, left=_MAX_HOPS - hops)
            hops += 1
        return cast("Reply", reply)

    def _check_hosts(
        self,
        request: Request,
        wire: WireRequest,
        wanted: Sequence[Reference] = (),
    ) -> None:
        """Refuse a request that would take a secret where the policy does not let it go.

        What an exchange wanted for itself may be in any of its requests, in whatever form.
        """
        policy = self.resolution.policy
        if not policy.hosts:
            return
        what = f"{request.method} {request.url}"
        carried, proxied = list(wanted), list[Reference]()
        for argument, template in templates(request):
            (proxied if argument == "proxies" else carried).extend(template.references())
        policy.check(carried, wire.url, what)
        scheme = wire.url.partition(":")[0]
        for name, value in wire.headers:
            if name.lower() == "host":
                policy.check(carried, f"{scheme}://{value}", what)
        # A proxy reads what is not encrypted, or is for whoever the definition trusts.
        readable = scheme != "https" or wire.verify is not True
        for proxy in (wire.proxies or {}).values():
            policy.check([*proxied, *(carried if readable else ())], proxy, f"the proxy of {what}")

    def _transport(self, wire: WireRequest) -> Transport:
        scheme = wire.url.partition(":")[0]
        transport = self._transports.get(scheme)
        if transport is None:
            make = cast(
                "Callable[[], Transport]", registry.load("webhook_storage.transports", scheme)
            )
            transport = make()
            for served in transport.schemes:
                self._transports.setdefault(served, transport)
        return self._transports[scheme]


class _Course:
    """What is known of an operation so far.

    Attributes:
        redactors: Take the values of its requests out of text.
        wanted: The secrets that the exchange has got for itself.
    """

    __slots__ = ("redactors", "wanted")

    def __init__(self) -> None:
        self.redactors: list[Redactor] = []
        self.wanted: list[Reference] = []


# --- effects: what differs between threads and event loops ---------------------------------------


class Effect(Protocol):
    """Something to be done that blocks, in both ways of doing it."""

    def perform(self) -> Any:
        """Do it and block."""

    async def aperform(self) -> Any:
        """Do it and let others go on."""


_Steps = Generator[Effect, Any, T]


class _Pause:
    """Wait before another attempt."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def perform(self) -> None:
        time.sleep(self._seconds)

    async def aperform(self) -> None:
        await asyncio.sleep(self._seconds)


class _Send:
    """Send a request once and take the answer in whole."""

    def __init__(
        self, transport: Transport, wire: WireRequest, receiver: Receiver, values: Values
    ) -> None:
        self._transport = transport
        self._wire = wire
        self._receiver = receiver
        self._values = values

    def perform(self) -> Reply:
        with redacted_logs(self._values.redactor):
            answer = self._transport.send(self._wire)
            try:
                self._receiver.begin(answer.status, answer.headers)
                for chunk in answer.chunks():
                    self._receiver.take(chunk)
                    if self._receiver.enough:
                        break
            finally:
                answer.close()
        return self._receiver.end()

    async def aperform(self) -> Reply:
        with redacted_logs(self._values.redactor):
            answer = await self._transport.asend(self._wire)
            try:
                self._receiver.begin(answer.status, answer.headers)
                async for chunk in answer.chunks():
                    if self._receiver.blocks:
                        await asyncio.to_thread(self._receiver.take, chunk)
                    else:
                        self._receiver.take(chunk)
                    if self._receiver.enough:
                        break
            finally:
                await answer.aclose()
        return self._receiver.end()


def _perform(steps: _Steps[T]) -> T:
    """Do all effects, one after the other."""
    resume: Callable[[Any], Effect] = steps.send
    result: Any = None
    try:
        while True:
            effect = resume(result)
            try:
                result, resume = effect.perform(), steps.send
            except BaseException as error:  # noqa: BLE001 - the steps decide
                result, resume = error, steps.throw
    except StopIteration as stop:
        return cast("T", stop.value)


async def _aperform(steps: _Steps[T]) -> T:
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


# --- what leaves ---------------------------------------------------------------------------------


def presentable(error: BaseException) -> BaseException:
    """Return an exception to raise in place of one that was caught inside.

    An error of ours, an interruption and a cancellation lose their traceback, cause, context and
    notes; of the last two the text is none of ours and goes as well, where others can do without.
    Anything else is told by its type and place only.
    """
    while isinstance(error, BaseExceptionGroup):
        members: Sequence[BaseException] = error.exceptions
        error = next((one for one in members if not isinstance(one, Exception)), members[0])
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt()
    if isinstance(error, SystemExit):
        return SystemExit(error.code if isinstance(error.code, int) else 1)
    if isinstance(error, WebhookStorageError) or not isinstance(error, Exception):
        error.__cause__ = error.__context__ = None
        vars(error).pop("__notes__", None)
        return error.with_traceback(None)
    return UnexpectedError(
        f"{type(error).__name__} in {_origin(error)}",
        hint="this is a fault of the library or of a plug-in; please report the line above",
    )


def _origin(error: BaseException) -> str:
    """Return module, function and line where an exception was raised."""
    traceback, where = error.__traceback__, "an unknown place"
    while traceback is not None:
        frame = traceback.tb_frame
        where = (
            f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}, line {traceback.tb_lineno}"
        )
        traceback = traceback.tb_next
    return where


def _mask(error: WebhookStorageError, redactor: Redactor) -> None:
    """Take secrets out of an error from a transport or an exchange of somebody else's."""
    error.args = tuple(redactor.redact(str(part)) for part in error.args)
    error.hint = error.hint and redactor.redact(error.hint)


def _log(request: Request, outcome: Reply | TransportError, elapsed: float) -> None:
    if log.isEnabledFor(logging.INFO):
        sent = request.body.size if request.body is not None else 0
        came = outcome.size if isinstance(outcome, Reply) else 0
        place, result = f"{request.method} {request.url}", describe(outcome)
        log.info("%s: %s, %.3f s, %d bytes up, %d down", place, result, elapsed, sent, came)


# --- the current sender --------------------------------------------------------------------------

_entered: ContextVar[tuple[Sender, ...]] = ContextVar("webhook_storage_senders", default=())
_installed: Sender | None = None
_counting = threading.Lock()
"""Held while threads that share a sender enter and leave it."""


def current_sender() -> Sender:
    """Return the sender that operations use here and now."""
    entered = _entered.get()
    return entered[-1] if entered else _installed or Sender().install()
