"""The contract of resolvers, as a suite of checks that every resolver can be held to."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import re
import select
import signal
import threading
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.errors import WebhookStorageError
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage.sender import Sender
from webhook_storage.template import Reference
from webhook_storage.testing.leaks import find_leaks
from webhook_storage.testing.transport import FakeTransport, SentRequest
from webhook_storage.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_SCHEME = re.compile(r"[a-z][a-z0-9+]{1,31}")
_SECONDS = 20.0
_THREADS = 32
_ODD_NAMES = ("", "..", "../../etc/passwd", "a/b/c", "with space", "nul\0", "ünïcode", "x" * 5000)


@dataclass(frozen=True, kw_only=True)
class ResolverCase:
    """A resolver and the place that it asks, with one secret in it.

    Attributes:
        resolver: The resolver, ready to be asked.
        present: A reference to the secret that is there, without a field.
        value: That secret as the resolver gives it. It should be a `canary`.
        absent: A reference to a secret that is not there.
        refused: The same with a wrong credential; None when it has none.
        unreachable: The same when nothing answers in its place; None when its answers come from
            this process or its files.
        credentials: Texts that may show nowhere, right and wrong ones: tokens, passwords.
        calls: Returns how many questions the place was asked so far; None when nobody counts.
    """

    resolver: Resolver
    present: Reference
    value: str
    absent: Reference
    refused: Resolver | None = None
    unreachable: Resolver | None = None
    credentials: Sequence[str] = ()
    calls: Callable[[], int] | None = None

    @property
    def resolvers(self) -> list[Resolver]:
        """All resolvers of the case."""
        there = (self.resolver, self.refused, self.unreachable)
        return [each for each in there if each is not None]

    def leaks(self, where: str | bytes) -> list[str]:
        """Return the forms in which the secret or a credential stands in a text."""
        return [
            form for text in (self.value, *self.credentials) for form in find_leaks(where, text)
        ]


class ResolverSuite:
    """The promises of a resolver, one method each.

    With pytest, derive a class whose name begins with ``Test`` and give it a fixture `case`;
    without it, call `resolver_suite`. A breach is an `AssertionError` that says what was promised.

    Example:
        >>> from webhook_storage.testing import canary
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> class TestMapping(ResolverSuite):
        ...     def case(self):  # with pytest: decorated with @pytest.fixture
        ...         value = canary()
        ...         return ResolverCase(
        ...             resolver=MappingResolver({"TOKEN": value}),
        ...             present=Reference("TOKEN"),
        ...             value=value,
        ...             absent=Reference("NOBODY_HAS_THIS"),
        ...         )
        >>> suite = TestMapping()
        >>> suite.test_a_batch_may_succeed_partly(suite.case())
    """

    # --- outcomes ---

    def test_its_scheme_is_a_word_of_the_grammar(self, case: ResolverCase) -> None:
        """A scheme has 2 to 32 lower-case letters, digits and plus signs."""
        scheme = getattr(case.resolver, "scheme", "")
        _hold(
            _SCHEME.fullmatch(scheme), "its scheme has 2 to 32 lower-case letters, digits and '+'"
        )

    def test_it_finds_what_is_present(self, case: ResolverCase) -> None:
        """The secret that is there is found, again and again."""
        for _ in range(2):
            answer = _ask(case.resolver, [case.present])[case.present]
            _hold(_is(answer, case.value), f"it finds the secret, {_said(answer)}")

    def test_it_misses_what_is_absent(self, case: ResolverCase) -> None:
        """What is not there is not found; a store that does not tell says so."""
        answer = _ask(case.resolver, [case.absent])[case.absent]
        _hold(_is_absent(answer), f"what is absent is NotFound, {_said(answer)}")

    def test_a_batch_may_succeed_partly(self, case: ResolverCase) -> None:
        """One that is missing does not take the others along."""
        for batch in ([case.present, case.absent], [case.absent, case.present, case.present]):
            answers = _ask(case.resolver, batch)
            _hold(_is(answers[case.present], case.value), "it finds in a batch what it finds alone")
            absent = answers[case.absent]
            _hold(_is_absent(absent), f"it misses in a batch what it misses alone, {_said(absent)}")

    def test_odd_names_are_answered_too(self, case: ResolverCase) -> None:
        """Whatever a definition asks for gets an outcome, and never somebody else's secret."""
        for name in _ODD_NAMES:
            odd = Reference(name, case.absent.scheme, case.absent.instance)
            answer = _ask(case.resolver, [odd])[odd]
            _hold(not isinstance(answer, Found), f"it has no secret with the name {name[:20]!r}")

    def test_an_unknown_option_is_invalid(self, case: ResolverCase) -> None:
        """A misspelled option is not passed over in silence."""
        absent = case.absent
        options = (("nobody-knows-this", "1"),)
        odd = Reference(absent.name, absent.scheme, absent.instance, options)
        answer = _ask(case.resolver, [odd])[odd]
        _hold(isinstance(answer, Invalid | NotFound), f"that is Invalid, {_said(answer)}")

    def test_a_wrong_credential_is_forbidden(self, case: ResolverCase) -> None:
        """Who may not read gets no secret, and no "not found" that would ask somebody else."""
        if case.refused is None:
            return
        answer = _ask(case.refused, [case.present])[case.present]
        _hold(isinstance(answer, Forbidden), f"that is Forbidden, {_said(answer)}")
        _hold(_has(case.resolver, case), "the right credential still works")

    def test_a_place_that_cannot_be_reached_is_unavailable(self, case: ResolverCase) -> None:
        """No answer is no "not found" either."""
        if case.unreachable is None:
            return
        answer = _ask(case.unreachable, [case.present])[case.present]
        _hold(isinstance(answer, Unavailable), f"that is Unavailable, {_said(answer)}")

    def test_a_deadline_that_has_passed_is_answered(self, case: ResolverCase) -> None:
        """Without time there are outcomes all the same."""
        _ask(case.resolver, [case.present, case.absent], seconds=0.0)

    # --- threads, tasks and processes ---

    def test_an_event_loop_gets_the_same(self, case: ResolverCase) -> None:
        """The asynchronous twin answers as the other one does, also beside itself."""
        references = [case.present, case.absent]

        async def both() -> list[dict[Reference, Outcome]]:
            asked = (case.resolver.aresolve(references, Deadline(_SECONDS)) for _ in range(2))
            return [_checked(each, references) for each in await asyncio.gather(*asked)]

        for answers in asyncio.run(both()):
            _hold(_is(answers[case.present], case.value), "aresolve() answers as resolve() does")
            _hold(_is_absent(answers[case.absent]), "aresolve() answers as resolve() does")

    def test_threads_can_share_it(self, case: ResolverCase) -> None:
        """One instance serves many threads."""
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: _has(case.resolver, case), range(16)))
        _hold(all(found), "threads can share it")

    def test_a_storm_of_threads_is_one_question(self, case: ResolverCase) -> None:
        """However many want a secret at the same time, the place is asked once."""
        calls = case.calls
        if calls is None:
            return
        case.resolver.close()
        before = calls()
        _hold(_has(case.resolver, case), "it finds the secret after close()")
        alone = calls() - before
        case.resolver.close()
        resolution = Resolution([case.resolver])
        start = threading.Barrier(_THREADS)

        def ask(_: int) -> bool:
            start.wait()
            return _is(resolution.resolve([case.present])[case.present].outcome, case.value)

        before = calls()
        with ThreadPoolExecutor(_THREADS) as pool:
            _hold(all(pool.map(ask, range(_THREADS))), "all threads get the secret")
        _hold(calls() - before <= alone, "many threads cost no more questions than one")

    def test_a_cancelled_task_takes_nobody_along(self, case: ResolverCase) -> None:
        """Others who wait for the same answer get it."""
        gate = threading.Event()
        resolution = Resolution([_Gated(case.resolver, gate)])

        async def cancelled() -> Outcome:
            first = asyncio.create_task(resolution.aresolve([case.present]))
            second = asyncio.create_task(resolution.aresolve([case.present]))
            await asyncio.sleep(0)
            first.cancel()
            gate.set()
            return (await second)[case.present].outcome

        _hold(_is(asyncio.run(cancelled()), case.value), "a cancellation is no one else's")

    def test_a_hanging_place_costs_the_deadline(self, case: ResolverCase) -> None:
        """Who waits is told in time, whatever the resolver does."""
        gate = threading.Event()
        resolution = Resolution([_Gated(case.resolver, gate)], deadline=0.05)
        answer = resolution.resolve([case.present])[case.present].outcome
        gate.set()
        _hold(isinstance(answer, Unavailable), f"that is Unavailable, {_said(answer)}")

    def test_a_fork_asks_for_itself(self, case: ResolverCase) -> None:
        """A child process that was forked in the middle of things uses no client of its parent."""
        if not hasattr(os, "fork"):
            return
        _hold(_has(case.resolver, case), "it finds the secret before a fork")
        _hold(_in_fork(lambda: _has(case.resolver, case)), "it finds the secret in a forked child")
        _hold(_has(case.resolver, case), "it finds the secret after a fork")

    def test_a_pickle_holds_configuration_only(self, case: ResolverCase) -> None:
        """A pickle holds neither a secret nor a credential; one with values refuses."""
        for resolver in case.resolvers:
            _has(resolver, case)
            pickled = _pickled(resolver)
            _hold(not case.leaks(pickled or b""), "a pickle of it holds no secret")
        if pickled := _pickled(case.resolver):
            copy = pickle.loads(pickled)  # noqa: S301 - pickled just before
            _hold(_has(copy, case), "a copy from a pickle answers as it does")
            copy.close()

    def test_a_spawned_process_can_use_it(self, case: ResolverCase) -> None:
        """A pool of other processes can be handed the resolver."""
        pickled = _pickled(case.resolver)
        if pickled is None:
            return
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(_found_in_child, pickled, case.present, case.value).result(60)
        _hold(found, "it finds the secret in a spawned process")

    # --- life ---

    def test_health_reads_no_secret(self, case: ResolverCase) -> None:
        """Its health is None or a text, and of a place that is not there a text."""
        _hold(case.resolver.health() is None, f"it is well: {case.resolver.health()}")
        if case.unreachable is not None:
            _hold(case.unreachable.health(), "a place that cannot be reached is not well")
        for resolver in case.resolvers:
            _hold(not case.leaks(resolver.health() or ""), "health() does not show a secret")

    def test_close_can_be_repeated(self, case: ResolverCase) -> None:
        """It can be closed before it was used, more than once, and be used again."""
        for _ in range(2):
            case.resolver.close()
        _hold(_has(case.resolver, case), "it can be used again after close()")
        case.resolver.close()

    # --- leaks ---

    def test_nothing_shows_a_secret(self, case: ResolverCase) -> None:
        """No repr, outcome or log record holds the secret or a credential."""
        with _witnessed() as witness:
            for resolver in case.resolvers:
                answers = Resolution([resolver]).resolve([case.present, case.absent])
                for shown in (*answers.values(), resolver, getattr(resolver, "__dict__", None)):
                    witness.append(f"{shown!r} {shown}")
        _hold(not (leaks := case.leaks("\n".join(witness))), f"nothing shows a secret ({leaks})")

    def test_a_request_carries_it_and_nothing_else_does(self, case: ResolverCase) -> None:
        """The server gets the value as it is; an error about that server does not show it."""
        transport = FakeTransport(_refuse)
        secrets = Resolution([case.resolver], instances=_under_its_name(case))
        with _witnessed() as witness, Sender(secrets=secrets, transport=transport):
            witness.extend(_failure(case.present))
        sent = {request.headers.get("x-secret") for request in transport.requests}
        _hold(sent == {case.value}, "the request carries the value as it is")
        _hold(not (leaks := case.leaks("\n".join(witness))), f"no error shows a secret ({leaks})")

    def test_an_error_about_it_shows_nothing(self, case: ResolverCase) -> None:
        """With a wrong credential, or nobody there, no request is sent and the error is clean."""
        for resolver in case.resolvers[1:]:
            transport = FakeTransport(_refuse)
            with _witnessed() as witness, Sender(secrets=[resolver], transport=transport):
                witness.extend(_failure(case.present))
            _hold(not transport.requests, "nothing is sent without its secret")
            _hold(not (leaks := case.leaks("\n".join(witness))), f"no error shows one ({leaks})")


def resolver_suite(case: ResolverCase) -> None:
    """Hold a resolver to the whole contract.

    Args:
        case: The resolver and its place.

    Raises:
        AssertionError: At the first breach; it says what the contract wants.

    Example:
        >>> from webhook_storage.testing import canary
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> value = canary()
        >>> resolver_suite(
        ...     ResolverCase(
        ...         resolver=MappingResolver({"TOKEN": value}),
        ...         present=Reference("TOKEN"),
        ...         value=value,
        ...         absent=Reference("NOBODY_HAS_THIS"),
        ...     )
        ... )
    """
    suite = ResolverSuite()
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)(case)


# --- asking --------------------------------------------------------------------------------------


class _Gated(Resolver):
    """A resolver that answers when it is let."""

    scheme: ClassVar[str] = "gated"

    def __init__(self, resolver: Resolver, gate: threading.Event) -> None:
        self._resolver = resolver
        self._gate = gate
        self.scheme = resolver.scheme  # type: ignore[misc]

    def resolve(
        self,
        references: Sequence[Reference],
        deadline: Deadline,  # noqa: ARG002 - whoever waits has given up, the answer is wanted yet
    ) -> Mapping[Reference, Outcome]:
        """Wait, then ask."""
        self._gate.wait(_SECONDS)
        return self._resolver.resolve(references, Deadline(_SECONDS))


def _ask(
    resolver: Resolver, references: Sequence[Reference], seconds: float = _SECONDS
) -> dict[Reference, Outcome]:
    """Return its answers, which must be outcomes."""
    fault = None
    answers: Mapping[Reference, Outcome] = {}
    try:
        answers = resolver.resolve(references, Deadline(seconds))
    except Exception as error:  # noqa: BLE001 - that it raises is the breach
        fault = type(error).__name__
    _hold(fault is None, f"it answers with outcomes, never with an exception ({fault})")
    return _checked(answers, references)


def _checked(
    answers: Mapping[Reference, Outcome], references: Sequence[Reference]
) -> dict[Reference, Outcome]:
    for reference in references:
        answer = answers.get(reference)
        _hold(isinstance(answer, Outcome), f"it answers {str(reference)[:20]!r} with an outcome")
    return dict(answers)


def _has(resolver: Resolver, case: ResolverCase) -> bool:
    return _is(_ask(resolver, [case.present])[case.present], case.value)


def _is(answer: Outcome, value: str) -> bool:
    return isinstance(answer, Found) and answer.value == SecretValue(value)


def _is_absent(answer: Outcome) -> bool:
    """Tell whether this says that a secret is not there, or may not be."""
    return isinstance(answer, NotFound) or (isinstance(answer, Forbidden) and answer.maybe_missing)


def _said(answer: Outcome) -> str:
    """Return what it answered instead, without a value."""
    detail = "" if isinstance(answer, Found) else answer.detail
    return f"not {type(answer).__name__}({detail})"


def _hold(kept: object, promise: str) -> None:
    if not kept:
        message = f"a resolver keeps this promise: {promise}"
        raise AssertionError(message)


# --- processes -----------------------------------------------------------------------------------


def _pickled(resolver: Resolver) -> bytes | None:
    """Return its pickle, None when it refuses as one with values does."""
    fault = ""
    try:
        return pickle.dumps(resolver)
    except TypeError:
        return None
    except Exception as error:  # noqa: BLE001 - that it raises is the finding
        fault = type(error).__name__
    _hold(not fault, f"it can be pickled, or refuses with a TypeError (it raised {fault})")
    return None


def _found_in_child(pickled: bytes, reference: Reference, value: str) -> bool:
    resolver: Resolver = pickle.loads(pickled)  # noqa: S301 - pickled by this suite
    try:
        return _is(resolver.resolve([reference], Deadline(_SECONDS))[reference], value)
    finally:
        resolver.close()


def _in_fork(holds: Callable[[], bool]) -> bool:
    """Return what a forked child finds out."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # That there are threads is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:  # pragma: no cover - a forked child reports no coverage
        try:
            os.write(writer, b"1" if holds() else b"0")
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], 2 * _SECONDS)
        if not ready:
            os.kill(child, signal.SIGKILL)
        return os.read(reader, 1) == b"1"
    finally:
        os.close(reader)
        os.waitpid(child, 0)


# --- leaks ---------------------------------------------------------------------------------------


def _refuse(_: SentRequest) -> tuple[int, Mapping[str, str], bytes]:
    """Answer as a server that does not know the value."""
    return 403, {}, b"no"


def _under_its_name(case: ResolverCase) -> dict[tuple[str, str | None], Resolver]:
    """Return the resolver under the instance that the reference names, if it names one."""
    instance = case.present.instance
    if instance is None or not case.resolver.has_instances:
        return {}
    return {(case.resolver.scheme, instance): case.resolver}


def _failure(reference: Reference) -> list[str]:
    """Send a request that is refused, and return everything that the error shows."""
    fetch = {"url": "https://files.test/f", "headers": {"X-Secret": f"${{{reference}}}"}}
    try:
        Webhook(fetch, "PUT", fetch, "GET").get()
    except WebhookStorageError as error:
        with_locals = traceback.TracebackException.from_exception(error, capture_locals=True)
        return [repr(error), str(error), str(error.hint), "".join(with_locals.format())]
    return []


class _Records(logging.Handler):
    """Keeps what is logged, as text."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self.texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.getMessage()} {record.args} {record.__dict__}")


@contextmanager
def _witnessed() -> Iterator[list[str]]:
    """Collect every log record of every library, at DEBUG."""
    texts: list[str] = []
    root, handler = logging.getLogger(), _Records(texts)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield texts
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
