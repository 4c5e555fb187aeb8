"""One reference on its way from resolver to resolver.

Rule: all references that wait for one resolver go to it together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from webhook_storage.asking import Asker, Flight, Kept, Question
    from webhook_storage.contracts import Deadline, Outcome
    from webhook_storage.template import Reference


class Answer(NamedTuple):
    """What became of one reference.

    Attributes:
        outcome: The outcome; of a `Found` the field is selected already.
        tried: Who was asked, in order: a scheme, or ``scheme://instance``.
    """

    outcome: Outcome
    tried: tuple[str, ...]


class Memo(NamedTuple):
    """An answer and the kept outcome that it was made of."""

    kept: Kept
    answer: Answer


class Plan:
    """Whom to ask for a reference, and the last answer.

    Attributes:
        memo: That answer, when it may be given again.
        here: Whether it came from the first resolver, and that one is local.
    """

    __slots__ = ("here", "labels", "memo", "questions", "reference", "tried")

    def __init__(self, reference: Reference, questions: tuple[Question, ...]) -> None:
        self.reference = reference
        self.questions = questions
        self.labels = tuple(question.asker.label for question in questions)
        # Who was asked by the time a walk has come to each place.
        self.tried = [self.labels[: place + 1] for place in range(len(questions))] or [()]
        self.memo: Memo | None = None
        self.here = False


class Walk:
    """One reference under way, for one caller.

    Attributes:
        plan: Whom to ask.
        place: How many of those said that they do not have it.
        question: What is asked now; None when there is nobody to ask.
        flight: On what the question is.
        outcomes: What each of those asked said.
        ended: Whether there is an answer.
    """

    __slots__ = ("ended", "flight", "outcomes", "place", "plan", "question")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.place = 0
        self.question = plan.questions[0] if plan.questions else None
        self.flight: Flight | None = None
        self.outcomes: list[Outcome] = []
        self.ended = False

    def go_on(self, outcome: Outcome) -> bool:
        """Turn to the next resolver, if there is one."""
        if self.place + 1 >= len(self.plan.questions):
            return False
        self.outcomes.append(outcome)
        self.place += 1
        self.question = self.plan.questions[self.place]
        self.flight = None
        return True

    def end(self, outcome: Outcome) -> None:
        """Stop here."""
        self.outcomes.append(outcome)
        self.ended = True

    def landed(self) -> bool:
        """Tell whether its flight has arrived."""
        return self.flight is not None and self.flight.landing.done()


def board(walks: list[Walk]) -> list[Flight]:
    """Put walks on flights, one for all that ask the same resolver, and return the flights."""
    # A resolver to which another walk may still come waits for that one, so that it is asked once.
    later = {question.asker for walk in walks for question in walk.plan.questions[walk.place + 1 :]}
    groups: dict[Asker, list[Walk]] = {}
    for walk in walks:
        question = walk.question
        if question is not None and question.asker not in later and not walk.landed():
            groups.setdefault(question.asker, []).append(walk)
    flights: list[Flight] = []
    for asker, group in groups.items():
        boarded = asker.fly({walk.question: None for walk in group if walk.question is not None})
        for walk in group:
            walk.flight = next((f for f in boarded if walk.question in f.questions), walk.flight)
        flights += boarded
    return flights


def longest_wait(flights: list[Flight], deadline: Deadline) -> float:
    """Return for how long to wait for these."""
    return min(deadline.remaining(), *(flight.deadline.remaining() for flight in flights))
