"""One resolver, asked by many at a time: each question once, in time, its outcome kept for a while.

Rule: whatever the resolver does, the outcome of a question is an outcome.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

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
from webhook_storage.metrics import Meter, Origin, report
from webhook_storage.secret import SecretValue, silenced_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook_storage.template import Reference

_LONGEST_BACK_OFF = 60.0
_LONGEST_RETRY_AFTER = 3600.0
_MOST_STUCK = 8
_KINDS = frozenset({Found, NotFound, Forbidden, Unavailable, Invalid})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to keep an outcome, and to wait for one.

    Attributes:
        ttl: Seconds for which a found secret is kept, give or take a tenth.
        negative_ttl: Seconds for which it is remembered that there is none.
        deadline: Seconds within which a resolver is to answer.
        stale_if_error: Seconds past its time for which a secret is used when its resolver is
            unavailable.
        clock: Seconds that only go up; what is kept lives by it.
    """

    ttl: float = 300.0
    negative_ttl: float = 10.0
    deadline: float = 10.0
    stale_if_error: float = 0.0
    clock: Callable[[], float] = time.monotonic

    def late(self) -> Unavailable:
        """Return the outcome of a question that nobody answered in time."""
        return Unavailable(f"did not answer in {self.deadline:g} s")


class Kept(NamedTuple):
    """An outcome and how long it holds."""

    until: float
    outcome: Outcome


class Question:
    """What a resolver is asked, whichever field is wanted of the answer.

    Attributes:
        asker: Who asks it.
        reference: The reference without its field.
        kept: The last outcome, as long as it is remembered.
        failures: How often in a row it could not be answered.
        flight: On its way to the resolver.
        stale: The last secret, as long as it may stand in for an unavailable resolver.
        forgotten: Whether a server refused the secret and nobody has asked since.
        renewal: The last flight that was started for that reason.
        refusals: What servers think of the secret.
    """

    __slots__ = (
        "__weakref__", "asker", "failures", "flight", "forgotten", "kept", "reference", "refusals",
        "renewal", "stale",
    )  # fmt: skip

    def __init__(self, asker: Asker, reference: Reference) -> None:
        self.asker = asker
        self.reference = reference
        self.kept: Kept | None = None
        self.failures = 0
        self.flight: Flight | None = None
        self.stale: Kept | None = None
        self.forgotten = False
        self.renewal: Flight | None = None
        self.refusals = Refusals()

    def fresh(self, now: float) -> Outcome | None:
        """Return what was answered, unless that is too long ago."""
        kept = self.kept
        return kept.outcome if kept is not None and now < kept.until else None

    def instead(self, outcome: Outcome, now: float) -> Outcome:
        """Return what is used for an outcome: of an unavailable resolver the last secret."""
        stale = self.stale
        if isinstance(outcome, Unavailable) and stale is not None and now < stale.until:
            return stale.outcome
        return outcome


class Refusals:
    """How often servers refused a secret that stayed the same when it was asked for again.

    A wrong secret would otherwise cost its store a question, and its account a failed login, with
    each request.
    """

    __slots__ = ("_count", "_refused", "_until")

    def __init__(self) -> None:
        self._count = 0
        self._refused: SecretValue | None = None
        self._until = 0.0

    def resting(self, now: float) -> bool:
        """Tell whether it is too early to ask again."""
        return now < self._until

    def add(self, value: SecretValue, now: float) -> None:
        """Note that a server refused this one; the next rest is twice as long."""
        self._refused = value
        self._until = now + min(2.0**self._count, _LONGEST_BACK_OFF)
        self._count = min(self._count + 1, 10)

    def compare(self, value: SecretValue) -> None:
        """Start anew when the store has another secret now."""
        if self._refused is not None and value != self._refused:
            self._count, self._refused, self._until = 0, None, 0.0


Outcomes: TypeAlias = dict[Question, Outcome]


class Flight:
    """Questions on their way to a resolver, in a thread of their own.

    Attributes:
        questions: What is asked.
        deadline: When everybody stops waiting for it.
        landing: The outcomes, once they are there.
        started: When it set off, on the clock that measures.
    """

    __slots__ = ("deadline", "landing", "questions", "started")

    def __init__(self, seconds: float) -> None:
        self.started = time.perf_counter()
        self.questions: list[Question] = []
        self.deadline = Deadline(seconds)
        self.landing: Future[Outcomes] = Future()
        # Nobody who waits can cancel what others wait for too.
        self.landing.set_running_or_notify_cancel()

    def outcome(self, question: Question) -> Outcome | None:
        """Return what was answered, None as long as nothing was."""
        return self.landing.result()[question] if self.landing.done() else None


class Asker:
    """A resolver with its cache, shared by threads and tasks.

    Args:
        label: What messages call it: its scheme, or ``scheme://instance``.
        resolver: Who is asked.
        patience: How long outcomes are kept and waited for.
        meter: Who wants to know about each answer.
    """

    def __init__(
        self, label: str, resolver: Resolver, patience: Patience, meter: Meter | None = None
    ) -> None:
        self.label = label
        self.resolver = resolver
        self.local = resolver.local
        self._patience = patience
        self._meter = meter
        self.reset()

    def reset(self) -> None:
        """Start with an empty cache and nobody under way, whatever held the lock before a fork."""
        self._lock = threading.RLock()
        self._stuck: set[Flight] = set()
        # A question lives as long as somebody may ask it, so whoever bounds those bounds the cache.
        self._questions: WeakValueDictionary[Reference, Question] = WeakValueDictionary()

    def question(self, reference: Reference) -> Question:
        """Return the one question that all fields of a secret share."""
        with self._lock:
            bare = reference.without_field()
            return self._questions.setdefault(bare, Question(self, bare))

    def ask(self, questions: Iterable[Question], deadline: Deadline) -> Outcomes:
        """Ask all at once, here and now. A fault of the resolver is told by its type only."""
        try:
            given = self.resolver.resolve([question.reference for question in questions], deadline)
            return {question: _checked(given.get(question.reference)) for question in questions}
        except Exception as error:  # noqa: BLE001 - its text may hold what it was to keep
            fault = Unavailable(f"a fault in the resolver, {type(error).__name__}")
        return dict.fromkeys(questions, fault)

    def health(self) -> str | None:
        """Return why the resolver cannot be asked, None when it can."""
        try:
            with silenced_logs():
                return self.resolver.health()
        except Exception as error:  # noqa: BLE001 - as for answers
            return f"a fault in the resolver, {type(error).__name__}"

    def fly(self, questions: Iterable[Question]) -> list[Flight]:
        """Return the flights on which the questions are, and start one for those on none.

        A question that was answered in the meantime is on no flight.
        """
        new = Flight(self._patience.deadline)
        flights: dict[Flight, None] = {}
        with self._lock:
            now = self._patience.clock()
            for question in questions:
                if question.flight is not None and not question.flight.deadline.remaining():
                    self._give_up(question.flight)
                if question.fresh(now) is None:
                    flights[self._board(question, new)] = None
        if new.questions:
            self._start(new)
        return list(flights)

    def forget(self, question: Question) -> None:
        """Ask again next time, because a server refused the secret.

        What could not be answered, and what was the same when it was asked for again, is asked for
        less and less often.
        """
        with self._lock:
            now = self._patience.clock()
            if question.refusals.resting(now):
                return
            if question.flight is None or question.flight is not question.renewal:
                question.flight, question.forgotten = None, True
            outcome = question.kept and question.kept.outcome
            question.stale = None
            if isinstance(outcome, Found):
                question.refusals.add(outcome.value, now)
                # Others may still need it, when the store has nothing newer to say.
                question.stale = question.kept if not question.failures else None
            if isinstance(outcome, Found | NotFound):
                question.kept = None

    def late(self, question: Question) -> Outcome:
        """Return what somebody gets who cannot wait any longer."""
        return question.instead(self._patience.late(), self._patience.clock())

    def tell(
        self, question: Question, outcome: Outcome, origin: Origin, seconds: float = 0.0
    ) -> None:
        """Report an answer, if anybody wants to know."""
        if self._meter is not None:
            report(self._meter, self.label, question.reference, outcome, seconds, origin)

    def _board(self, question: Question, new: Flight) -> Flight:
        """Put a question on a flight; the lock is held."""
        if question.flight is None:
            question.flight = new
            if question.forgotten:
                question.renewal, question.forgotten = new, False
            new.questions.append(question)
        return question.flight

    def _start(self, flight: Flight) -> None:
        """Ask in a thread, which may then hang without anybody hanging with it."""
        if len(self._stuck) >= _MOST_STUCK:
            self._land(flight, Unavailable(f"{_MOST_STUCK} earlier questions were never answered"))
            return
        name = f"webhook-storage {self.label}"
        # Some clients find their settings in the context of whoever asks.
        travel = partial(copy_context().run, self._travel, flight)
        thread = threading.Thread(target=travel, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._land(flight, Unavailable("no thread could be started"))

    def _travel(self, flight: Flight) -> None:
        """Ask the resolver; this runs in the flight's thread."""
        outcomes: Outcome | Outcomes = Unavailable("a fault in the resolver")
        try:
            with silenced_logs():
                outcomes = self.ask(flight.questions, flight.deadline)
        finally:
            self._land(flight, outcomes)
            self._stuck.discard(flight)

    def _give_up(self, flight: Flight) -> None:
        """Answer for a resolver that did not, and leave its thread to itself."""
        self._stuck.add(flight)
        self._land(flight, self._patience.late())

    def _land(self, flight: Flight, outcomes: Outcome | Outcomes) -> None:
        """Keep the outcomes, and hand them to everybody who waits for them."""
        if not isinstance(outcomes, dict):
            outcomes = dict.fromkeys(flight.questions, outcomes)
        with self._lock:
            if flight.landing.done():
                return
            now = self._patience.clock()
            used = {question: question.instead(said, now) for question, said in outcomes.items()}
            for question, outcome in outcomes.items():
                if question.flight is flight:
                    question.flight = None
                    until = now + self._keep(question, outcome, now)
                    if used[question] is not outcome and question.stale is not None:
                        until = min(until, question.stale.until)
                    question.kept = Kept(until, used[question]) if until > now else None
            flight.landing.set_result(used)
        seconds = time.perf_counter() - flight.started
        for question, outcome in outcomes.items():
            self.tell(question, outcome, "asked", seconds)
            if used[question] is not outcome:
                self.tell(question, used[question], "stale")

    def _keep(self, question: Question, outcome: Outcome, now: float) -> float:
        """Return the seconds for which an outcome is used again."""
        if not isinstance(outcome, Unavailable):
            question.stale = None
        if isinstance(outcome, Found | NotFound):
            question.failures = 0
            seconds = self._lifetime(outcome)
            if isinstance(outcome, Found):
                question.refusals.compare(outcome.value)
                extra = self._patience.stale_if_error
                if extra and outcome.lifetime is None:  # what the store lent for a time ends then
                    question.stale = Kept(now + seconds + extra, outcome)
            return seconds
        seconds = min(2.0**question.failures, _LONGEST_BACK_OFF)
        question.failures = min(question.failures + 1, 10)
        wish = outcome.retry_after if isinstance(outcome, Unavailable) else None
        return max(seconds, min(wish or 0.0, _LONGEST_RETRY_AFTER))

    def _lifetime(self, outcome: Found | NotFound) -> float:
        """Return for how long an answer is kept."""
        if isinstance(outcome, NotFound):
            return self._patience.negative_ttl
        # Processes that were started together shall not ask together ever after.
        seconds = self._patience.ttl * random.uniform(0.9, 1.1)  # noqa: S311 - nothing to guess
        return seconds if outcome.lifetime is None else min(seconds, outcome.lifetime)


def _checked(outcome: Outcome | None) -> Outcome:
    """Return what a resolver answered if that is an outcome, else one that says so."""
    if type(outcome) not in _KINDS:
        return Unavailable("a fault in the resolver, it gave no outcome")
    if isinstance(outcome, Found) and not _is_text(outcome.value):
        return Invalid("its value is not Unicode text")
    return outcome  # type: ignore[return-value]  # its type is one of the kinds


def _is_text(value: object) -> bool:
    """Tell whether this is a secret that can be encoded."""
    if not isinstance(value, SecretValue):
        return False
    text = value.reveal()
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
