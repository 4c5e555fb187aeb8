"""References are answered by whom they name, once, in time, and remembered for a while."""

from __future__ import annotations

import asyncio
import copy
import gc
import multiprocessing
import os
import pickle
import threading
import warnings
from contextvars import ContextVar
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.unit.stores import Clock, Local, Native, Other, Store, found, one
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
from webhook_storage.errors import ConfigurationError
from webhook_storage.resolution import Resolution, Step
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage_resolvers.env import EnvResolver
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CANARY = "CANARY-7f3a"


@pytest.fixture
def held() -> Iterator[Store]:
    """Return a store that answers nothing until its gate is opened."""
    store = Store(default=found("value"))
    store.gate.clear()
    yield store
    store.gate.set()
    for thread in threading.enumerate():
        if thread.name == "webhook-storage store":
            thread.join()


def value_of(outcome: Outcome) -> SecretValue:
    """Return the secret that was found."""
    assert isinstance(outcome, Found)
    return outcome.value


# --- whom to ask ---


def test_chain_goes_on_after_not_found() -> None:
    """A bare name is asked of each resolver until one has it, and the answer says of whom."""
    chain = [Local(), Store({"B": found("b")}), Other({"C": found("c")})]
    names = [Reference(name) for name in "BCD"]
    answers = Resolution(chain).resolve(names)
    assert [answers[name].outcome for name in names] == [found("b"), found("c"), NotFound()]
    assert [answers[name].tried for name in names] == [
        ("local", "store"),
        ("local", "store", "other"),
        ("local", "store", "other"),
    ]


@pytest.mark.parametrize("stop", [Forbidden("no"), Unavailable("down"), Invalid("odd"), found("")])
@pytest.mark.parametrize("first", [Local, Store])
def test_everything_else_stops_the_chain(first: type[Store], stop: Outcome) -> None:
    """After any other outcome than "not found" nobody else is asked."""
    second = Other(default=found("of the second"))
    resolution = Resolution([first(default=stop), second])
    assert one(resolution, Reference("A")) == stop
    assert second.calls == []


@pytest.mark.parametrize(
    ("stop", "settings"),
    [
        (Forbidden("no"), {"on_forbidden": "next"}),
        (Unavailable("down"), {"on_unavailable": "next"}),
    ],
)
def test_going_on_can_be_allowed(stop: Outcome, settings: dict[str, str]) -> None:
    """A chain that may go on does, and when nobody has the name the first trouble is told."""
    chain = [Store(default=stop), Other({"A": found("a")})]
    resolution = Resolution(chain, **settings)  # type: ignore[arg-type]  # one policy each
    assert one(resolution, Reference("A")) == found("a")
    assert one(resolution, Reference("B")) == stop


def test_each_policy_is_for_its_own_outcome() -> None:
    """Going on after "unavailable" does not mean going on after "forbidden"."""
    chain = [Store(default=Forbidden("no")), Other(default=found("a"))]
    assert one(Resolution(chain, on_unavailable="next"), Reference("A")) == Forbidden("no")


def test_scheme_asks_one_resolver_only() -> None:
    """A reference with a scheme is not answered by the chain."""
    local = Local(default=found("wrong"))
    resolution = Resolution([local, Store({"A": found("a")})])
    assert one(resolution, Reference("A", "store")) == found("a")
    assert one(resolution, Reference("B", "store")) == NotFound()
    assert local.calls == []


def test_instances_are_asked_by_name() -> None:
    """Two resolvers of one kind are told apart by their instance."""
    prod, dev = Store(default=found("prod")), Store(default=found("dev"))
    resolution = Resolution([dev], instances={("store", "prod"): prod})
    wanted = [Reference("A", "store", "prod"), Reference("A", "store"), Reference("A")]
    answers = resolution.resolve(wanted)
    assert [answers[each].outcome for each in wanted] == [found("prod"), found("dev"), found("dev")]
    assert [answers[each].tried for each in wanted] == [("store://prod",), ("store",), ("store",)]
    assert repr(resolution) == "<Resolution store, store://prod>"


def test_only_resolver_of_a_scheme_needs_no_instance() -> None:
    """An instance in the chain answers for its scheme as long as it is the only one."""
    prod, dev = Store(default=found("prod")), Store(default=found("dev"))
    alone = Resolution([prod], instances={("store", "prod"): prod})
    assert one(alone, Reference("A", "store")) == found("prod")
    both = Resolution([prod, dev], instances={("store", "prod"): prod, ("store", "dev"): dev})
    assert isinstance(one(both, Reference("A", "store")), Invalid)


def test_a_stores_own_references_are_no_instances() -> None:
    """What stands after the slashes belongs to the reference, unless a resolver has that name."""
    chained, prod = Native(default=found("of the chain")), Native(default=found("of prod"))
    resolution = Resolution([chained], instances={("native", "prod"): prod})
    own, named = Reference("item", "native", "vault"), Reference("vault/item", "native", "prod")
    assert found("of the chain") == one(resolution, own)
    assert found("of prod") == one(resolution, named)
    assert [("native://vault/item",)] == chained.calls
    assert [("native:vault/item",)] == prod.calls


def test_a_store_beside_the_chain_gets_its_own_references() -> None:
    """So does one that is given by its scheme alone, and no store of another kind."""
    store = Native(default=found("value"))
    resolution = Resolution([], instances={("native", None): store, ("store", None): Store()})
    assert found("value") == one(resolution, Reference("item", "native", "vault"))
    assert isinstance(one(resolution, Reference("item", "store", "vault")), Invalid)


def test_unknown_scheme_says_which_there_are() -> None:
    """A scheme that nobody configured is invalid, and the way out is told."""
    resolution = Resolution([Local(), Store()])
    assert one(resolution, Reference("A", "stor")) == Invalid(
        'no resolver "stor" is configured, there are: local, store. Did you mean "store"? '
        "To add one, install it and add it to the resolvers"
    )
    unknown = one(resolution, Reference("A", "store", "prod"))
    assert isinstance(unknown, Invalid)


def test_empty_chain_has_nothing() -> None:
    """Without resolvers a bare name is not found."""
    answer = Resolution([]).resolve([Reference("A")])[Reference("A")]
    assert answer == (NotFound("no resolver is configured"), ())


def test_two_of_one_name_in_the_chain_are_refused() -> None:
    """A chain in which a scheme could mean either of two is an error at once."""
    with pytest.raises(ConfigurationError, match='two resolvers with the name "store"'):
        Resolution([Store(), Store()])


def test_details_of_a_chain_are_told_together() -> None:
    """When nobody has it, what each said about that is kept."""
    chain = [Store(default=NotFound("version 3 was deleted")), Other(default=NotFound("no names"))]
    outcome = one(Resolution(chain), Reference("A"))
    assert outcome == NotFound("store: version 3 was deleted; other: no names")


# --- together ---


def test_references_are_asked_together() -> None:
    """All references for one resolver go there in one call, fields of one secret as one."""
    store = Store({"a": found('{"x": "1", "y": "2"}'), "NAME": found("n")})
    wanted = [
        Reference("a", "store", field="x"),
        Reference("a", "store", field="y"),
        Reference("b", "store"),
        Reference("NAME"),
    ]
    answers = Resolution([Local(), store]).resolve(wanted)
    assert [answers[each].outcome for each in wanted] == [
        found("1"),
        found("2"),
        NotFound(),
        found("n"),
    ]
    assert store.calls == [("store:a", "store:b", "NAME")]


def test_later_resolver_waits_for_what_may_still_come() -> None:
    """A store further down the chain is asked once, although one reference comes there late."""
    first, second = Store(), Other(default=found("value"))
    Resolution([first, second]).resolve([Reference("A"), Reference("b", "other")])
    assert (first.calls, second.calls) == ([("A",)], [("A", "other:b")])


# --- fields ---

DOCUMENT = (
    '{"text": "t", "int": 12345678901234567890, "float": 1e5, "yes": true, "none": null,'
    ' "nan": NaN, "object": {"a": [1.50, "x"]}, "a/b": {"m~n": "deep"}, "": "empty", "/": "slash"}'
)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("text", "t"),
        ("int", "12345678901234567890"),
        ("float", "1e5"),
        ("yes", "true"),
        ("nan", "NaN"),
        ("object", '{"a":[1.50,"x"]}'),
        ("/object/a/0", "1.50"),
        ("/object/a/1", "x"),
        ("/a~1b/m~0n", "deep"),
        ("a/b", '{"m~n":"deep"}'),
        ("/", "empty"),
        ("/~1", "slash"),
    ],
)
@pytest.mark.parametrize("kind", [Local, Store])
def test_fields_are_selected(kind: type[Store], field: str, text: str) -> None:
    """A key or a JSON pointer selects a part, which keeps its spelling."""
    resolution = Resolution([kind({"A": found(DOCUMENT)})])
    assert one(resolution, Reference("A", field=field)) == found(text)


@pytest.mark.parametrize(
    "field", ["missing", "/object/a/2", "/object/a/00", "/object/a/-", "/text/x", "/object/a/x"]
)
def test_absent_fields_are_invalid(field: str) -> None:
    """A field that is not there is the reference's fault; foreign keys are not listed."""
    resolution = Resolution([Local({"A": found(DOCUMENT)})])
    outcome = one(resolution, Reference("A", field=field))
    assert outcome == Invalid(f'has no field "{field}", but 10 fields')


def test_null_is_not_found() -> None:
    """A field that is null has no value, so the chain goes on."""
    chain = [Local({"A": found(DOCUMENT)}), Store({"A": found('{"none": "here"}')})]
    assert one(Resolution(chain[:1]), Reference("A", field="none")) == NotFound(
        'the field "none" is null'
    )
    assert one(Resolution(chain), Reference("A", field="none")) == found("here")


def test_structured_secret_needs_a_field() -> None:
    """Of a secret with fields one must be named; the message names them and no value."""
    value = SecretValue(f'{{"user": "{CANARY}", "password": "{CANARY}"}}')
    resolution = Resolution([Store({"A": Found(value=value, structured=True, version="3")})])
    whole = one(resolution, Reference("A", "store"))
    assert whole == Invalid("has 2 fields (password, user), name one with #")
    missing = one(resolution, Reference("A", "store", field="pasword"))
    assert missing == Invalid('has no field "pasword", but 2 fields (password, user)')
    part = one(resolution, Reference("A", "store", field="user"))
    assert part == Found(value=SecretValue(CANARY), version="3")


@pytest.mark.parametrize("text", [f"{{{CANARY}", "", "[" * 100_000])
def test_text_has_no_fields(text: str) -> None:
    """A field of something that is no JSON is invalid, and the text is not repeated."""
    outcome = one(Resolution([Local({"A": found(text)})]), Reference("A", field="x"))
    assert outcome == Invalid("is not JSON, so it has no fields")


def test_half_characters_are_refused() -> None:
    """What cannot be encoded cannot be sent, whether as a value or as a field."""
    resolution = Resolution([Local({"A": found("\ud800"), "B": found('{"x": "\\ud800"}')})])
    assert one(resolution, Reference("A")) == Invalid("its value is not Unicode text")
    assert one(resolution, Reference("B", field="x")) == Invalid('the field "x" is no text')


# --- remembered ---


def test_found_is_kept_for_its_time() -> None:
    """A value is asked for again after its time, which varies by a tenth."""
    clock, store = Clock(), Store(default=found("value"))
    resolution = Resolution([store], clock=clock)
    for moment, calls in [(0.0, 1), (269.9, 1), (330.1, 2), (600.0, 2)]:
        clock.now = 1000 + moment
        assert one(resolution, Reference("A")) == found("value")
        assert len(store.calls) == calls


def test_not_found_is_kept_for_a_short_time() -> None:
    """A secret that was just added is seen after ten seconds."""
    clock, store = Clock(), Store()
    resolution = Resolution([store], clock=clock)
    assert one(resolution, Reference("A")) == NotFound()
    store.outcomes["A"] = found("added")
    clock.now += 9.9
    assert one(resolution, Reference("A")) == NotFound()
    clock.now += 0.2
    assert one(resolution, Reference("A")) == found("added")


@pytest.mark.parametrize("lifetime", [0.0, 5.0])
def test_lifetime_bounds_the_time(lifetime: float) -> None:
    """A value is not kept longer than it lives, one that lives no time not at all."""
    clock = Clock()
    store = Store(default=Found(value=SecretValue("value"), lifetime=lifetime))
    resolution = Resolution([store], clock=clock)
    one(resolution, Reference("A"))
    one(resolution, Reference("A"))
    assert len(store.calls) == (1 if lifetime else 2)
    clock.now += lifetime + 0.1
    one(resolution, Reference("A"))
    assert len(store.calls) == (2 if lifetime else 3)


@pytest.mark.parametrize("outcome", [Forbidden("no"), Unavailable("down"), Invalid("odd")])
def test_failures_are_asked_less_and_less_often(outcome: Outcome) -> None:
    """The pause after a failure doubles from 1 to 60 seconds, and a success ends that."""
    clock, store = Clock(), Store(default=outcome)
    resolution = Resolution([store], clock=clock)
    for count, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60], start=1):
        assert one(resolution, Reference("A")) == outcome
        assert len(store.calls) == count
        clock.now += pause - 0.1
        assert one(resolution, Reference("A")) == outcome
        assert len(store.calls) == count
        clock.now += 0.2
    store.default = found("value")
    assert one(resolution, Reference("A")) == found("value")


def test_store_says_when_to_ask_again() -> None:
    """A longer pause that the store asks for is kept."""
    clock, store = Clock(), Store(default=Unavailable("busy", retry_after=30))
    resolution = Resolution([store], clock=clock)
    for moment, calls in [(0.0, 1), (29.9, 1), (30.1, 2)]:
        clock.now = 1000 + moment
        one(resolution, Reference("A"))
        assert len(store.calls) == calls


A, B = Reference("A"), Reference("B")


def test_what_a_local_resolver_had_is_at_hand() -> None:
    """It is asked once for all, each time, and nobody is asked before it has said so."""
    local = Local({"A": found("1"), "B": found('{"f": "2"}')})
    wanted = [A, Reference("B", field="f")]
    resolution = Resolution([local, Store()])
    assert resolution.at_hand(wanted) is None
    assert [] == local.calls
    asked = resolution.resolve(wanted)
    assert asked == resolution.at_hand(wanted) == resolution.at_hand(wanted)
    assert [("A", "B")] * 3 == local.calls
    assert [(found("1"), ("local",)), (found("2"), ("local",))] == list(asked.values())


@pytest.mark.parametrize("now", [None, found('{"g": "1"}')])
def test_what_it_has_no_longer_is_asked_for(now: Outcome | None) -> None:
    """Be it the secret or a field of it; whoever measures is told of answers only."""
    told: list[str] = []
    local, reference = Local({"A": found('{"f": "1"}'), "B": found("2")}), Reference("A", field="f")
    resolution = Resolution([local], meter=lambda each: told.append(each.outcome))
    resolution.resolve([reference, B])
    assert resolution.at_hand([reference, B])
    assert ["found"] * 4 == told
    local.outcomes["A"] = now or NotFound()
    assert resolution.at_hand([reference, B]) is None
    assert resolution.at_hand([reference]) is None
    assert ["found"] * 4 == told
    assert resolution.at_hand([B])


@pytest.mark.parametrize("instance", ["remote", "local"])
def test_what_others_had_is_not_at_hand(instance: str) -> None:
    """Neither from a resolver that is not local, nor from two."""
    native = Native({"B": found("2")})
    native.local = instance == "local"  # type: ignore[misc]
    resolution = Resolution([Local({"A": found("1")}), native])
    for _ in range(2):
        answers = resolution.resolve([A, B])
        assert [found("1"), found("2")] == [answers[each].outcome for each in (A, B)]
        assert resolution.at_hand([A, B]) is None
    assert resolution.at_hand([A])
    assert resolution.at_hand([]) is None


def test_local_answers_are_not_kept() -> None:
    """What is next door is asked each time, in the caller's own thread."""
    threads = []

    class Here(Local):
        def resolve(
            self, references: Sequence[Reference], deadline: Deadline
        ) -> Mapping[Reference, Outcome]:
            threads.append(threading.current_thread())
            return super().resolve(references, deadline)

    resolution = Resolution([Here(default=found("value"))])
    one(resolution, Reference("A"))
    one(resolution, Reference("A"))
    assert threads == [threading.current_thread()] * 2


def test_number_of_kept_answers_is_bounded() -> None:
    """The oldest of 1025 references is asked for again, the newest is not."""
    store = Store(default=found("value"))
    resolution = Resolution([store])
    references = [Reference(f"n{number}", "store") for number in range(1025)]
    for reference in references:
        one(resolution, reference)
    gc.collect()
    before = len(store.calls)
    one(resolution, references[-1])
    assert len(store.calls) == before
    one(resolution, references[0])
    assert len(store.calls) == before + 1
    (asker,) = resolution._askers.values()
    gc.collect()
    assert len(asker._questions) <= 1024


def test_forgotten_values_are_asked_again() -> None:
    """After a refusal the values that were used, in all their fields, are fetched anew."""
    store = Store({"A": found('{"x": "old", "y": "old"}'), "B": found("kept")})
    resolution = Resolution([store])
    wanted = [Reference("A", field="x"), Reference("A", field="y"), Reference("B")]
    answers = resolution.resolve(wanted)
    used = {wanted[0]: value_of(answers[wanted[0]].outcome)}
    store.outcomes = dict.fromkeys("AB", found('{"x": "new", "y": "new"}'))
    resolution.forget(used)
    answers = resolution.resolve(wanted)
    assert [answers[each].outcome for each in wanted] == [found("new"), found("new"), found("kept")]
    assert store.calls == [("A", "B"), ("A",)]


def test_forgetting_ends_no_pause() -> None:
    """A store that is down is not asked more often because a server refused a value."""
    store = Store(default=Unavailable("down"))
    resolution = Resolution([store], clock=Clock())
    one(resolution, Reference("A"))
    resolution.forget({Reference("A"): SecretValue("refused")})
    one(resolution, Reference("A"))
    assert len(store.calls) == 1


def test_answer_under_way_is_forgotten_too(held: Store) -> None:
    """A value that was asked for before it was forgotten is not kept afterwards."""
    resolution = Resolution([held])
    early = threading.Thread(target=one, args=(resolution, Reference("A")))
    early.start()
    held.entered.wait()
    resolution.forget({Reference("A"): SecretValue("refused")})
    held.gate.set()
    early.join()
    one(resolution, Reference("A"))
    assert len(held.calls) == 2


def test_close_forgets_and_closes_and_can_be_repeated() -> None:
    """After closing, the next question is asked anew."""
    store = Store(default=found("value"))
    resolution = Resolution([store])
    one(resolution, Reference("A"))
    resolution.close()
    resolution.close()
    assert store.closed == 2
    assert one(resolution, Reference("A")) == found("value")
    assert len(store.calls) == 2


# --- at the same time ---


def test_many_threads_ask_once(held: Store) -> None:
    """Of 32 threads that want a secret at the same time one asks for it."""
    resolution = Resolution([held])
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(one(resolution, Reference("A"))))
        for _ in range(32)
    ]
    for thread in threads:
        thread.start()
    held.entered.wait()
    held.gate.set()
    for thread in threads:
        thread.join()
    assert outcomes == [found("value")] * 32
    assert held.calls == [("A",)]


def test_a_resolver_sees_the_context_of_who_asks() -> None:
    """What a caller has set for its own context holds for the store's client too."""
    setting: ContextVar[str] = ContextVar("setting")

    class Contextual(Store):
        def resolve(
            self, references: Sequence[Reference], deadline: Deadline
        ) -> Mapping[Reference, Outcome]:
            return dict.fromkeys(references, found(setting.get("unset")))

    setting.set("of the caller")
    assert found("of the caller") == one(Resolution([Contextual()]), Reference("A"))


async def test_many_tasks_ask_once(held: Store) -> None:
    """Of 256 tasks one asks, even when nothing is kept, and the event loop goes on meanwhile."""
    resolution = Resolution([held], ttl=0)
    tasks = [asyncio.create_task(resolution.aresolve([Reference("A")])) for _ in range(256)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    held.gate.set()
    answers = await asyncio.gather(*tasks)
    assert [each[Reference("A")].outcome for each in answers] == [found("value")] * 256
    assert held.calls == [("A",)]


async def test_cancelled_leader_leaves_the_others_alone(held: Store) -> None:
    """Who asked first can be cancelled without those who wait for the same answer."""
    resolution = Resolution([held], ttl=0)
    leader = asyncio.create_task(resolution.aresolve([Reference("A")]))
    await asyncio.sleep(0)
    follower = asyncio.create_task(resolution.aresolve([Reference("A")]))
    await asyncio.sleep(0)
    leader.cancel()
    held.gate.set()
    assert (await follower)[Reference("A")].outcome == found("value")
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert held.calls == [("A",)]


async def test_tasks_get_what_threads_get() -> None:
    """The asynchronous way goes through the same chain, fields and cache."""
    store = Store({"A": found('{"x": "1"}')})
    resolution = Resolution([Local(), store])
    reference = Reference("A", field="x")
    first = await resolution.aresolve([reference])
    second = await resolution.aresolve([reference])
    assert first == second == {reference: (found("1"), ("local", "store"))}
    assert resolution.resolve([reference]) == first
    assert len(store.calls) == 1


def test_deadline_ends_the_waiting(held: Store) -> None:
    """A store that never answers is unavailable after the deadline, and is not asked again yet."""
    clock = Clock()
    resolution = Resolution([held], deadline=0.05, clock=clock)
    late = Unavailable("did not answer in 0.05 s")
    assert one(resolution, Reference("A")) == late
    assert one(resolution, Reference("A")) == late
    assert held.calls == [("A",)]
    clock.now += 1.1
    held.entered.clear()
    one(resolution, Reference("A"))
    held.entered.wait()
    assert held.calls == [("A",), ("A",)]


async def test_deadline_ends_the_waiting_of_a_task(held: Store) -> None:
    """The same for a task."""
    resolution = Resolution([held], deadline=0.05)
    answers = await resolution.aresolve([Reference("A")])
    assert answers[Reference("A")].outcome == Unavailable("did not answer in 0.05 s")


def test_slow_store_does_not_hold_up_a_quick_one(held: Store) -> None:
    """What was answered in time counts, whoever else was late."""
    resolution = Resolution([Other(default=found("quick")), held], deadline=0.3)
    wanted = [Reference("A", "other"), Reference("A", "store")]
    answers = resolution.resolve(wanted)
    assert [type(answers[each].outcome) for each in wanted] == [Found, Unavailable]


def test_threads_that_hang_are_bounded(held: Store) -> None:
    """After eight questions without any answer the store is left alone."""
    clock = Clock()
    resolution = Resolution([held], deadline=0.005, clock=clock)
    for _ in range(30):
        one(resolution, Reference("A"))
        clock.now += 100
    assert len(held.calls) <= 9
    assert isinstance(one(resolution, Reference("A")), Unavailable)


# --- faults ---


class Faulty(Resolver):
    """A plug-in that does what it must not."""

    scheme: ClassVar[str] = "faulty"

    def __init__(self, answer: Callable[[Sequence[Reference]], object]) -> None:
        self.answer = answer

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Misbehave."""
        return self.answer(references)  # type: ignore[return-value]  # on purpose


class FaultyLocal(Faulty):
    """The same next door."""

    local: ClassVar[bool] = True


def _raise(references: Sequence[Reference]) -> object:
    raise KeyError(CANARY)


@pytest.mark.parametrize("kind", [Faulty, FaultyLocal])
@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (_raise, "a fault in the resolver, KeyError"),
        (lambda references: None, "a fault in the resolver, AttributeError"),
        (lambda references: {}, "a fault in the resolver, it gave no outcome"),
        (
            lambda references: dict.fromkeys(references, CANARY),
            "a fault in the resolver, it gave no outcome",
        ),
    ],
    ids=["raises", "nothing", "forgets one", "bare text"],
)
def test_faults_are_told_by_their_type(
    kind: type[Faulty], answer: Callable[[Sequence[Reference]], object], detail: str
) -> None:
    """Whatever a plug-in does, the outcome is "unavailable" and repeats nothing of it."""
    assert one(Resolution([kind(answer)]), Reference("A")) == Unavailable(detail)


def test_bare_text_as_value_is_refused() -> None:
    """A plug-in that does not wrap its values is not believed."""
    outcome = Found(value=CANARY)  # type: ignore[arg-type]  # on purpose
    assert one(Resolution([Store(default=outcome)]), Reference("A")) == Invalid(
        "its value is not Unicode text"
    )


def test_system_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no thread can be started the store is unavailable, and nobody waits for ever."""

    def refuse(thread: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    outcome = one(Resolution([Store()]), Reference("A"))
    assert outcome == Unavailable("no thread could be started")


# --- processes ---


def test_fork_starts_afresh(held: Store) -> None:
    """In a child process neither a lock nor a question of the parent is in the way."""
    resolution = Resolution([held, Local()])
    waiting = threading.Thread(target=one, args=(resolution, Reference("A", "store")))
    waiting.start()
    held.entered.wait()
    (asker, _) = resolution._askers.values()
    with warnings.catch_warnings(), resolution._lock, asker._lock:
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads
        child = os.fork()
        if not child:
            held.gate.set()
            outcome = one(resolution, Reference("A", "store"))
            os._exit(0 if outcome == found("value") and len(held.calls) == 2 else 1)
    _, status = os.waitpid(child, 0)
    held.gate.set()
    waiting.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(held.calls) == 1


def test_spawned_process_resolves_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickled resolution works in a process that shares nothing with this one."""
    monkeypatch.setenv("WS_TOKEN", CANARY)
    resolution = Resolution([EnvResolver()])
    wanted = [Reference("WS_TOKEN"), Reference("WS_MISSING")]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        known, missing = pool.apply(Resolution.explain, (resolution, wanted))
        pool.close()
        pool.join()
    assert known.steps == (Step("env", "found", ""),)
    assert missing.outcome == "not found"


def test_pickle_is_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pickle holds resolvers and settings, and no value that was resolved."""
    monkeypatch.setenv("WS_TOKEN", CANARY)
    prod = EnvResolver(prefix="WS_")
    resolution = Resolution([EnvResolver(), prod], instances={("env", "prod"): prod}, ttl=7)
    wanted = [Reference("WS_TOKEN"), Reference("TOKEN", "env", "prod")]
    resolution.resolve(wanted)
    pickled = pickle.dumps(resolution)
    assert CANARY.encode() not in pickled
    for other in (pickle.loads(pickled), copy.deepcopy(resolution)):  # noqa: S301 - made above
        assert repr(other) == "<Resolution env, env://prod>"
        assert other.resolve(wanted) == resolution.resolve(wanted)
        assert other._patience == resolution._patience
        assert len(other._plans) == 2


def test_resolution_with_values_in_code_can_be_copied_and_not_pickled() -> None:
    """A copy shares the values; a pickle would hold them."""
    resolution = Resolution([MappingResolver({"A": CANARY})])
    assert one(copy.deepcopy(resolution), Reference("A")) == found(CANARY)
    with pytest.raises(TypeError, match="holds secrets"):
        pickle.dumps(resolution)


# --- shown ---


def test_explanation_names_who_was_asked() -> None:
    """For each reference it says who was asked with which outcome, and no value."""
    chain = [
        Local(),
        Store({"A": Found(value=SecretValue(CANARY), version="4"), "B": Forbidden("no right")}),
    ]
    resolution = Resolution(chain)
    wanted = [Reference("A"), Reference("B", "store"), Reference("C"), Reference("D", "nobody")]
    first, second, third, fourth = resolution.explain(wanted)
    assert first == (
        "A",
        "found",
        "version 4",
        (Step("local", "not found", ""), Step("store", "found", "version 4")),
    )
    assert second == (
        "store:B",
        "forbidden",
        "no right",
        (Step("store", "forbidden", "no right"),),
    )
    assert (third.outcome, len(third.steps)) == ("not found", 2)
    assert (fourth.outcome, fourth.steps) == ("invalid", ())
    assert CANARY not in repr([first, second, third, fourth])
    assert resolution.explain(wanted)[0] == first


@pytest.mark.parametrize("kind", [Local, Store])
def test_nothing_shows_a_value(kind: type[Store]) -> None:
    """Neither the resolution, nor its parts, nor its answers show what they hold."""
    resolution = Resolution([kind({"A": found(f'{{"x": "{CANARY}"}}')})])
    answers = resolution.resolve([Reference("A"), Reference("A", field="x")])
    (asker,) = resolution._askers.values()
    shown = [
        repr(answers),
        repr(resolution),
        repr(vars(resolution)),
        repr(vars(asker)),
        repr([plan.memo for plan in resolution._plans.values()]),
        repr([question.kept for question in asker._questions.values()]),
    ]
    assert [text for text in shown if CANARY in text] == []


# --- health ---


def test_health_of_each_resolver() -> None:
    """Each says for itself whether it can be asked; one that raises is told by the type of that."""

    class Ill(Other):
        def health(self) -> str:
            return "is sealed"

    class Broken(Local):
        def health(self) -> str:
            raise ValueError(CANARY)

    resolution = Resolution([Store(), Broken()], instances={("other", "prod"): Ill()})
    fault = "a fault in the resolver, ValueError"
    assert {"store": None, "local": fault, "other://prod": "is sealed"} == resolution.health()
