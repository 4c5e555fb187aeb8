"""Which resolver answers a reference: the chain for bare names, one alone for the others.

Rule: a chain goes on only after an answer that says "not here"; everything else stops it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import wait
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast
from weakref import WeakSet

from webhook_storage import registry
from webhook_storage.asking import Asker, Patience
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
from webhook_storage.document import pick
from webhook_storage.errors import ConfigurationError
from webhook_storage.metrics import word
from webhook_storage.policy import Policy
from webhook_storage.walk import Answer, Memo, Plan, Walk, board, longest_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from webhook_storage.asking import Flight, Question
    from webhook_storage.metrics import Meter
    from webhook_storage.secret import SecretValue
    from webhook_storage.template import Reference

Passing: TypeAlias = Literal["stop", "next"]

_MOST_PLANS = 1024


Answers: TypeAlias = "Mapping[Reference, Answer]"
"""An answer for every reference that was asked for."""


class Step(NamedTuple):
    """One resolver that was asked.

    Attributes:
        resolver: Its scheme, or ``scheme://instance``.
        outcome: ``found``, ``not found``, ``forbidden``, ``unavailable`` or ``invalid``.
        detail: What it says about that.
    """

    resolver: str
    outcome: str
    detail: str


class Explanation(NamedTuple):
    """How a reference is resolved, without its value.

    Attributes:
        reference: What the placeholder says.
        outcome: The word for the outcome as a whole.
        detail: What there is to say about it.
        steps: The resolvers that were asked, in order.
    """

    reference: str
    outcome: str
    detail: str
    steps: tuple[Step, ...]


class Resolution:
    """The resolvers of a process: a chain for bare names, and each of them by its scheme.

    It is shared by threads and tasks, starts afresh after a fork, and is pickled as its
    configuration.

    Args:
        chain: Who is asked for ``${NAME}``, in this order, until one does not say `NotFound`.
        instances: Resolvers by scheme and instance, as in ``${vault://prod/path}``. They are in the
            chain only when they are listed there too.
        ttl: Seconds for which a found secret is kept, give or take a tenth.
        negative_ttl: Seconds for which it is remembered that there is none.
        deadline: Seconds that one call may take.
        stale_if_error: Seconds past its time for which a secret is still used when its resolver is
            unavailable; 0 fails instead.
        on_forbidden: Whether the chain stops at a resolver that may not read the secret.
        on_unavailable: Whether the chain stops at a resolver that cannot be asked.
        policy: What placeholders may name, and where each secret may go.
        meter: Gets a `metrics.Measurement` for each answer.
        clock: Seconds that only go up; the cache lives by it.

    Raises:
        ConfigurationError: Two resolvers of the chain have the same name.
    """

    def __init__(
        self,
        chain: Sequence[Resolver],
        *,
        instances: Mapping[tuple[str, str | None], Resolver] | None = None,
        ttl: float = 300.0,
        negative_ttl: float = 10.0,
        deadline: float = 10.0,
        stale_if_error: float = 0.0,
        on_forbidden: Passing = "stop",
        on_unavailable: Passing = "stop",
        policy: Policy | None = None,
        meter: Meter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = {
            "instances": dict(instances or {}),
            "ttl": ttl,
            "negative_ttl": negative_ttl,
            "deadline": deadline,
            "stale_if_error": stale_if_error,
            "on_forbidden": on_forbidden,
            "on_unavailable": on_unavailable,
            "policy": policy,
            "meter": meter,
            "clock": clock,
        }
        self._patience = Patience(
            ttl=ttl,
            negative_ttl=negative_ttl,
            deadline=deadline,
            stale_if_error=stale_if_error,
            clock=clock,
        )
        self.policy = policy or Policy()
        self._measured = meter is not None
        policies = {Forbidden: on_forbidden, Unavailable: on_unavailable}
        self._passed = {NotFound, *(kind for kind, policy in policies.items() if policy == "next")}
        make = partial(Asker, patience=self._patience, meter=meter)
        self._askers = _askers(chain, instances or {}, make)
        self._chain = tuple(self._askers.values())[: len(chain)]
        self._reset()
        _alive.add(self)

    def __repr__(self) -> str:
        """Show who is asked, nothing else."""
        return f"<Resolution {', '.join(self._askers)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Take the configuration along, and neither cache nor threads."""
        return _restored, (tuple(asker.resolver for asker in self._chain), self._settings)

    def resolve(self, references: Sequence[Reference]) -> Answers:
        """Answer every reference, before the deadline and with outcomes only."""
        answers, walks = self._begin(references)
        if walks:
            self._finish(walks, answers)
        return answers

    async def aresolve(self, references: Sequence[Reference]) -> Answers:
        """Do the same without blocking the event loop."""
        answers, walks = self._begin(references)
        if not walks:
            return answers
        deadline = Deadline(self._patience.deadline)
        while flights := self._advance(walks, answers, deadline):
            landings = [asyncio.wrap_future(flight.landing) for flight in flights]
            try:
                await asyncio.wait(landings, timeout=longest_wait(flights, deadline))
            finally:
                # The flights go on; only this loop, which may soon be closed, is let go.
                for landing in landings:
                    landing.cancel()
        return answers

    def forget(self, refused: Mapping[Reference, SecretValue]) -> None:
        """Ask for these again next time, because a server refused their values.

        What is remembered now and is another value is left alone: somebody else has asked since.
        """
        for reference, value in refused.items():
            plan = self._plan(reference)
            known = plan.memo and plan.memo.answer.outcome
            if isinstance(known, Found) and known.value != value:
                continue
            plan.memo = None
            for question in plan.questions:
                question.asker.forget(question)

    def explain(self, references: Iterable[Reference]) -> list[Explanation]:
        """Tell for each reference who was asked and with which outcome; no values."""
        answers: dict[Reference, Answer] = {}
        walks = [Walk(self._plan(reference)) for reference in references]
        self._finish(list(walks), answers)
        return [_explanation(walk, answers[walk.plan.reference].outcome) for walk in walks]

    def health(self) -> dict[str, str | None]:
        """Tell for each resolver, by its name, why it cannot be asked; None when it can.

        No secret is read. They are asked one after the other, each for some seconds at most.
        """
        return {label: asker.health() for label, asker in self._askers.items()}

    def close(self) -> None:
        """Forget all values and close the resolvers. It can be called again, and used again."""
        with self._lock:
            self._plans.clear()
        for asker in self._askers.values():
            asker.resolver.close()

    def _reset(self) -> None:
        """Start with an empty cache, whatever held the lock before a fork."""
        self._lock = threading.Lock()
        self._plans: dict[Reference, Plan] = {}
        for asker in self._askers.values():
            asker.reset()

    # --- whom to ask ---

    def _plan(self, reference: Reference) -> Plan:
        """Return whom to ask for a reference, and keep that; the oldest plan makes room."""
        with self._lock:
            plan = self._plans.get(reference)
            if plan is None:
                questions = [
                    asker.question(_as_asked(reference, asker)) for asker in self._whom(reference)
                ]
                plan = self._plans[reference] = Plan(reference, tuple(questions))
                if len(self._plans) > _MOST_PLANS:
                    del self._plans[next(iter(self._plans))]
            return plan

    def _whom(self, reference: Reference) -> Sequence[Asker]:
        """Return the resolvers to ask, in order; none when nobody has the scheme, or may be."""
        if self.policy.forbids(reference):
            return []
        if reference.scheme is None:
            return self._chain
        asker = self._askers.get(_label(reference.scheme, reference.instance))
        if asker is None:
            asker = self._default(reference.scheme)
            if asker and reference.instance is not None and asker.resolver.has_instances:
                asker = None
        return [asker] if asker else []

    def _default(self, scheme: str) -> Asker | None:
        """Return the resolver that is meant by a scheme alone."""
        alike = [asker for asker in self._chain if asker.resolver.scheme == scheme]
        return self._askers.get(scheme) or (alike[0] if len(alike) == 1 else None)

    def _nobody(self, reference: Reference) -> Outcome:
        """Say what is wrong with a reference for which there is nobody to ask."""
        if forbidden := self.policy.forbids(reference):
            return forbidden
        if reference.scheme is None:
            return NotFound("no resolver is configured")
        wanted = _label(reference.scheme, reference.instance)
        there_are = ", ".join(self._askers) or "none"
        detail = f'no resolver "{wanted}" is configured, there are: {there_are}.'
        if reference.scheme in registry.names(registry.RESOLVERS):
            return Invalid(f'{detail} "{reference.scheme}" is installed, add it to the resolvers')
        meant = registry.did_you_mean(wanted, self._askers)
        return Invalid(f"{detail}{meant} To add one, install it and add it to the resolvers")

    # --- from resolver to resolver ---

    def at_hand(self, references: Sequence[Reference]) -> Answers | None:
        """Answer by the local resolver that had all of these the last time, if it still has them.

        Most secrets are in the environment, and to go through a chain takes longer than to look.

        Returns:
            None when they have to be asked for.
        """
        plans = [self._plans.get(reference) for reference in references]
        questions = {plan.questions[0]: plan for plan in plans if plan is not None and plan.here}
        if not questions or len(questions) < len(plans):
            return None
        asker = next(iter(questions)).asker
        if any(question.asker is not asker for question in questions):
            return None
        started = time.perf_counter()
        outcomes = asker.ask(questions, Deadline(self._patience.deadline))
        answers: dict[Reference, Answer] = {}
        for question, plan in questions.items():
            outcome = pick(outcomes[question], plan.reference.field)
            if type(outcome) is not Found:
                plan.here = False
                return None
            answers[plan.reference] = Answer(outcome, plan.tried[0])
        if self._measured:
            for question, outcome in outcomes.items():
                asker.tell(question, outcome, "asked", time.perf_counter() - started)
        return answers

    def _begin(self, references: Iterable[Reference]) -> tuple[dict[Reference, Answer], list[Walk]]:
        """Answer what is remembered, and make a walk of each other reference."""
        now = self._patience.clock()
        plans = self._plans
        answers: dict[Reference, Answer] = {}
        walks = []
        for reference in references:
            plan = plans.get(reference) or self._plan(reference)
            memo = plan.memo
            if memo is not None and memo.kept is plan.questions[0].kept and now < memo.kept.until:
                answers[reference] = memo.answer
                if self._measured:
                    first = plan.questions[0]
                    first.asker.tell(first, memo.kept.outcome, "cache")
            else:
                walks.append(Walk(plan))
        return answers, walks

    def _finish(self, walks: list[Walk], answers: dict[Reference, Answer]) -> None:
        """Answer all walks, waiting where need be."""
        deadline = Deadline(self._patience.deadline)
        while flights := self._advance(walks, answers, deadline):
            wait([flight.landing for flight in flights], longest_wait(flights, deadline))

    def _advance(
        self, walks: list[Walk], answers: dict[Reference, Answer], deadline: Deadline
    ) -> list[Flight]:
        """Go on with all walks as far as possible; return the flights to wait for, if any."""
        while walks:
            if not self._step(walks, answers, deadline):
                if not deadline.remaining():
                    for walk in walks:
                        self._end(walk, _late(walk), answers)
                elif flights := board(walks):
                    return flights
            walks[:] = [walk for walk in walks if not walk.ended]
        return []

    def _step(
        self, walks: list[Walk], answers: dict[Reference, Answer], deadline: Deadline
    ) -> bool:
        """Use every outcome that is there; return whether there was one."""
        now = self._patience.clock()
        local: dict[Asker, dict[Question, list[Walk]]] = {}
        moved = False
        for walk in walks:
            question = walk.question
            if question is None:
                outcome: Outcome | None = self._nobody(walk.plan.reference)
            elif question.asker.local:
                local.setdefault(question.asker, {}).setdefault(question, []).append(walk)
                continue
            else:
                outcome = walk.flight.outcome(question) if walk.flight is not None else None
                if outcome is None and (outcome := question.fresh(now)) is not None:
                    question.asker.tell(question, outcome, "cache")
            if outcome is not None:
                self._take(walk, outcome, answers)
                moved = True
        for asker, group in local.items():
            started = time.perf_counter()
            for question, outcome in asker.ask(group, deadline).items():
                asker.tell(question, outcome, "asked", time.perf_counter() - started)
                for walk in group[question]:
                    self._take(walk, outcome, answers)
                    walk.plan.here = walk.ended and not walk.place
        return moved or bool(local)

    def _take(self, walk: Walk, outcome: Outcome, answers: dict[Reference, Answer]) -> None:
        """End a walk with this outcome, or send it on to the next resolver."""
        plan = walk.plan
        kept = walk.question.kept if walk.question is not None else None
        memo = plan.memo
        if memo is not None and memo.kept is kept and memo.kept.outcome is outcome:
            picked = memo.answer.outcome
        else:
            picked = pick(outcome, plan.reference.field)
        if type(picked) in self._passed and walk.go_on(picked):
            return
        answer = self._end(walk, picked, answers)
        # A chain's "not found" is made of what others said, too, and they may say otherwise.
        if kept is not None and kept.outcome is outcome and not (walk.place and _absent(picked)):
            plan.memo = Memo(kept, answer)

    def _end(self, walk: Walk, outcome: Outcome, answers: dict[Reference, Answer]) -> Answer:
        """Write down what a walk came to."""
        plan = walk.plan
        walk.end(outcome)
        if walk.place and _absent(outcome):
            outcome = _nowhere(plan.labels, walk.outcomes)
        answer = answers[plan.reference] = Answer(outcome, plan.tried[walk.place])
        return answer


def _late(walk: Walk) -> Outcome:
    """Return what a walk comes to whose time is over; one with nobody to ask has ended before."""
    question = cast("Question", walk.question)
    return pick(question.asker.late(question), walk.plan.reference.field)


def _absent(outcome: Outcome) -> bool:
    """Tell whether a resolver does not have it, the one outcome that speaks for nobody else."""
    return type(outcome) is NotFound


def _nowhere(labels: Sequence[str], outcomes: Sequence[Outcome]) -> Outcome:
    """Return what a chain as a whole says when its end was reached."""
    for outcome in outcomes:
        if not _absent(outcome):
            return outcome
    said = zip(labels, outcomes, strict=False)
    details = [f"{label}: {_detail(outcome)}" for label, outcome in said if _detail(outcome)]
    return NotFound("; ".join(details))


def _explanation(walk: Walk, outcome: Outcome) -> Explanation:
    """Return what became of a walk."""
    said = zip(walk.plan.labels, walk.outcomes, strict=False)
    steps = tuple(Step(label, word(each), _detail(each)) for label, each in said)
    return Explanation(str(walk.plan.reference), word(outcome), _detail(outcome), steps)


def _detail(outcome: Outcome) -> str:
    """Return what an outcome says about itself."""
    if isinstance(outcome, Found):
        return f"version {outcome.version}" if outcome.version else ""
    return outcome.detail


def _as_asked(reference: Reference, asker: Asker) -> Reference:
    """Return the reference as a resolver gets it: without what was only its own name."""
    own = asker.label == _label(reference.scheme or "", reference.instance)
    if reference.instance is None or asker.resolver.has_instances or not own:
        return reference
    return replace(reference, instance=None)


def _label(scheme: str, instance: str | None) -> str:
    """Return the name of a resolver, as it is spelled in a placeholder."""
    return scheme if instance is None else f"{scheme}://{instance}"


def _askers(
    chain: Sequence[Resolver],
    instances: Mapping[tuple[str, str | None], Resolver],
    make: Callable[[str, Resolver], Asker],
) -> dict[str, Asker]:
    """Return the resolvers of the chain and then the others, by their names."""
    askers: dict[str, Asker] = {}
    named = {id(resolver): _label(*key) for key, resolver in instances.items()}
    for resolver in chain:
        label = named.get(id(resolver), resolver.scheme)
        if label in askers:
            raise ConfigurationError(
                f'The chain has two resolvers with the name "{label}".',
                hint="Give each of them an instance name in `instances`, and list it in the chain.",
            )
        askers[label] = make(label, resolver)
    for key, resolver in instances.items():
        label = _label(*key)
        askers.setdefault(label, make(label, resolver))
    return askers


def _restored(chain: Sequence[Resolver], settings: dict[str, Any]) -> Resolution:
    """Return a resolution made of the configuration of another."""
    return Resolution(chain, **settings)


_alive: WeakSet[Resolution] = WeakSet()


def _after_fork() -> None:
    """Give each resolution of the child process its own locks and an empty cache."""
    for resolution in list(_alive):
        resolution._reset()  # noqa: SLF001 - a part of the class that must be a function


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
