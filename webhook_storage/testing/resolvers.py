"""The contract of resolvers, as a suite of checks that every resolver can be held to."""

from __future__ import annotations

import os
import pickle
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from webhook_storage.contracts import Forbidden, Found, Invalid, Unavailable
from webhook_storage.sender import Sender
from webhook_storage.template import Reference
from webhook_storage.testing.answers import (
    ask,
    ask_in_loop,
    attempt,
    hold,
    in_time,
    is_absent,
    is_secret,
    loop_goes_on,
)
from webhook_storage.testing.processes import fault_in_fork, fault_in_new
from webhook_storage.testing.transport import FakeTransport
from webhook_storage.testing.witness import shown_by, shown_by_error, witnessed

if TYPE_CHECKING:
    from webhook_storage.contracts import Resolver
    from webhook_storage.testing.case import ResolverCase
    from webhook_storage.testing.transport import SentRequest

_SCHEME = re.compile(r"[a-z][a-z0-9+]{1,31}")
_THREADS = 32
_SHORT = 0.2
_ODD_NAMES = (
    "", ".", "..", "../../etc/passwd", "a/b/c", "with space", "nul\0", "ünïcode", "x" * 5000,
)  # fmt: skip


class ResolverSuite:
    """The promises of a resolver, one method each.

    With pytest, derive a class whose name begins with ``Test`` and give it a fixture `case`;
    without it, call `resolver_suite`. A breach is an `AssertionError` that says what was promised
    and what came instead, and shows no secret. What a case leaves out is not tried.

    The resolver is also asked from a forked process, and from a new one, which must be able to
    import its class.

    Example:
        >>> from webhook_storage.testing import ResolverCase, canary
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> class TestMapping(ResolverSuite):
        ...     def case(self):  # with pytest: decorated with @pytest.fixture
        ...         value = canary()
        ...         return ResolverCase(
        ...             resolver=MappingResolver({"TOKEN": value}),
        ...             present=Reference("TOKEN"),
        ...             value=value,
        ...             absent=Reference("NOBODY_HAS_THIS"),
        ...             picklable=False,  # the one resolver that holds values itself
        ...         )
        >>> suite = TestMapping()
        >>> suite.test_a_batch_may_succeed_partly(suite.case())
    """

    # --- outcomes ---

    def test_its_scheme_is_a_word_of_the_grammar(self, case: ResolverCase) -> None:
        """A scheme has 2 to 32 lower-case letters, digits and plus signs."""
        scheme = getattr(case.resolver, "scheme", None)
        fits = isinstance(scheme, str) and _SCHEME.fullmatch(scheme)
        hold(fits, "its scheme is a lower-case letter and 1 to 31 more letters, digits or '+'")

    def test_it_finds_what_is_present(self, case: ResolverCase) -> None:
        """The secret that is there is found, again and again."""
        for _ in range(2):
            answer = ask(case.resolver, [case.present])[case.present]
            hold(case.has(answer), "what is present is Found, with its value", case.said(answer))
            whole = isinstance(answer, Found) and answer.structured and case.field is None
            hold(not whole, "of a structured secret one field is used", "name it in the case")

    def test_it_misses_what_is_absent(self, case: ResolverCase) -> None:
        """What is not there is not found; a store that does not tell says so."""
        answer = ask(case.resolver, [case.absent])[case.absent]
        hold(is_absent(answer), "what is absent is NotFound", case.said(answer))

    def test_a_bare_name_of_others_is_not_found(self, case: ResolverCase) -> None:
        """Whoever stands behind it in a chain is asked for the names that are not its own."""
        bare = Reference("NOBODY_HAS_A_SECRET_OF_THIS_NAME")
        answer = ask(case.resolver, [bare])[bare]
        hold(is_absent(answer), "a bare name that it does not know is NotFound", case.said(answer))

    def test_a_batch_may_succeed_partly(self, case: ResolverCase) -> None:
        """One that is missing, or makes no sense, does not take the others along."""
        odd = [_misspelled(case.present), *_odd_names(case)]
        for batch in (
            [case.present, case.absent],
            [case.absent, case.present, case.present],
            [*odd, case.absent, case.present],
        ):
            answers = ask(case.resolver, batch)
            present, absent = answers[case.present], answers[case.absent]
            hold(case.has(present), "a batch finds what is found alone", case.said(present))
            hold(is_absent(absent), "a batch misses what is missed alone", case.said(absent))

    def test_odd_names_are_answered_too(self, case: ResolverCase) -> None:
        """Whatever a definition asks for gets an outcome, and never somebody else's secret."""
        for odd in _odd_names(case):
            answer = ask(case.resolver, [odd])[odd]
            hold(not isinstance(answer, Found), f"there is no secret named {odd.name[:50]!r}")

    def test_an_unknown_option_is_invalid(self, case: ResolverCase) -> None:
        """A misspelled option is not passed over in silence."""
        odd = _misspelled(case.present)
        answer = ask(case.resolver, [odd])[odd]
        hold(isinstance(answer, Invalid), "an unknown option is Invalid", case.said(answer))

    def test_a_wrong_credential_is_forbidden(self, case: ResolverCase) -> None:
        """Who may not read gets no secret, and no "not found" that would ask somebody else."""
        if case.refused is None:
            return
        answer = ask(case.refused, [case.present])[case.present]
        hold(isinstance(answer, Forbidden), "a wrong credential is Forbidden", case.said(answer))
        hold(case.finds(case.resolver), "a right credential works beside a wrong one")

    def test_a_place_that_cannot_be_reached_is_unavailable(self, case: ResolverCase) -> None:
        """No answer is no "not found" either."""
        if case.unreachable is None:
            return
        for answer in ask(case.unreachable, [case.present, case.absent]).values():
            gone = isinstance(answer, Unavailable)
            hold(gone, "without its place everything is Unavailable", case.said(answer))

    def test_a_place_that_hangs_is_given_up(self, case: ResolverCase) -> None:
        """A question ends with its deadline, and an event loop goes on meanwhile."""
        hanging, batch = case.hanging, [case.present]
        if hanging is None:
            return
        promise = "its deadline ends a question that is not answered"
        answer = in_time(lambda: ask(hanging, batch, _SHORT), promise)[case.present]
        hold(isinstance(answer, Unavailable), f"{promise}: it is Unavailable", case.said(answer))
        promise = "aresolve() does not hold up an event loop"
        hold(in_time(lambda: loop_goes_on(hanging, batch, _SHORT), promise), promise)

    def test_a_deadline_that_has_passed_is_answered(self, case: ResolverCase) -> None:
        """Without time nothing is said to be missing that was not asked for."""
        answer = ask(case.resolver, [case.present, case.absent], seconds=0.0)[case.present]
        fair = isinstance(answer, Unavailable) or case.has(answer)
        hold(fair, "without time it is Found or Unavailable", case.said(answer))

    # --- threads, tasks and processes ---

    def test_an_event_loop_gets_the_same(self, case: ResolverCase) -> None:
        """The asynchronous twin answers as the other one does, also beside itself."""
        for answers in ask_in_loop(case.resolver, [case.present, case.absent], tasks=2):
            present, absent = answers[case.present], answers[case.absent]
            hold(case.has(present), "aresolve() finds what resolve() finds", case.said(present))
            hold(is_absent(absent), "aresolve() misses what resolve() misses", case.said(absent))

    def test_a_cancelled_task_takes_nobody_along(self, case: ResolverCase) -> None:
        """A task that is cancelled is the only one that gets no answer."""
        for answers in ask_in_loop(case.resolver, [case.present], tasks=3, cancelled=1):
            hold(case.has(answers[case.present]), "a cancelled task takes no other along")
        hold(case.finds(case.resolver), "it is as it was after a cancelled task")

    def test_threads_can_share_it(self, case: ResolverCase) -> None:
        """One instance serves many threads."""
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(case.finds, [case.resolver] * 16))
        hold(all(found), "threads can share it")

    def test_a_storm_of_threads_is_one_question(self, case: ResolverCase) -> None:
        """However many want a secret at the same time, the place is asked once."""
        calls = case.calls
        if calls is None:
            return
        case.resolver.close()
        costs = []
        for _ in range(2):
            before = calls()
            hold(case.finds(case.resolver), "it can be used again after close()")
            costs.append(calls() - before)
        hold(all(costs), "it asks its place each time; answers are kept elsewhere")
        case.resolver.close()
        resolution, start = case.resolution(case.resolver), threading.Barrier(_THREADS)

        def ask_at_once(_: int) -> bool:
            start.wait()
            outcome = resolution.resolve([case.sent])[case.sent].outcome
            return is_secret(outcome, case.value)

        before = calls()
        with ThreadPoolExecutor(_THREADS) as pool:
            hold(all(pool.map(ask_at_once, range(_THREADS))), "every thread gets the secret")
        asked = calls() - before
        cheap = asked <= max(costs)
        hold(cheap, "many threads ask no more than one", f"{asked} times, not {max(costs)}")

    def test_a_fork_asks_for_itself(self, case: ResolverCase) -> None:
        """A child process that was forked in the middle of things uses no client of its parent."""
        if not hasattr(os, "fork"):  # pragma: no cover - on Windows
            return
        hold(case.finds(case.resolver), "it finds the secret before a fork")
        fault = fault_in_fork(lambda: case.finds(case.resolver))
        hold(not fault, "a forked child asks for itself", fault or "")
        hold(case.finds(case.resolver), "it finds the secret after a fork")

    def test_a_pickle_holds_configuration_only(self, case: ResolverCase) -> None:
        """A pickle holds neither a secret nor a credential; who holds values refuses."""
        if not case.picklable:
            hold(_pickled(case) is None, "who holds values cannot be pickled, with a TypeError")
            return
        for resolver in case.resolvers:
            ask(resolver, [case.present])
            pickled = _pickled(replace(case, resolver=resolver))
            hold(pickled is not None, "it can be pickled", "it raised a TypeError")
            hold(not case.leaks(pickled or b""), "a pickle of it holds no secret")

    def test_another_process_can_use_it(self, case: ResolverCase) -> None:
        """A pickle of it, made in the middle of things, asks from a process that has nothing."""
        hold(case.finds(case.resolver), "what is present is Found")
        pickled = _pickled(case)
        if pickled is None:
            return
        copy = pickle.loads(pickled)  # noqa: S301 - pickled just before
        hold(case.finds(copy), "a copy from a pickle answers as it does")
        attempt("close()", copy.close)
        fault = fault_in_new(pickled, case.present, case.judge)
        hold(not fault, "it finds the secret in a new process, from a pickle", fault or "")

    # --- life ---

    def test_health_says_whether_it_can_be_asked(self, case: ResolverCase) -> None:
        """Health is None, or a text, which it is when the place cannot be reached."""
        said = [attempt("health()", resolver.health) for resolver in case.resolvers]
        for text in said:
            hold(text is None or (text and isinstance(text, str)), "health() is None or a text")
            hold(not case.leaks(text or ""), "health() shows no secret")
        hold(said[0] is None, "health() is None when it can be asked", f"it said {said[0]!r}")
        hold(case.unreachable is None or said[-1], "health() tells that nobody can be reached")

    def test_close_can_be_repeated(self, case: ResolverCase) -> None:
        """It can be closed before it was used, more than once, and be used again."""
        for _ in range(2):
            attempt("close()", case.resolver.close)
        hold(case.finds(case.resolver), "it can be used again after close()")
        attempt("close()", case.resolver.close)
        hold(case.finds(case.resolver), "it can be used again after close()")

    # --- leaks ---

    def test_nothing_shows_a_secret(self, case: ResolverCase) -> None:
        """No outcome, attribute, record, print or warning holds the secret or a credential."""
        with witnessed() as witness:
            for resolver in case.resolvers:
                answers = ask(resolver, [case.present, case.absent])
                for shown in (*answers.values(), resolver):
                    witness.append(shown_by(shown))
        _hold_clean(case, witness, "nothing shows a secret")

    def test_a_request_carries_it_and_nothing_else_does(self, case: ResolverCase) -> None:
        """The server gets the value as it is; an error about that server does not show it."""
        requests, error = _send(case, case.resolver, "no error shows a secret")
        sent = {request.headers.get("x-secret") for request in requests}
        hold(sent == {case.value}, "a request carries the value as it is", error)

    def test_an_error_about_it_shows_nothing(self, case: ResolverCase) -> None:
        """With a wrong credential, or nobody there, no request is sent and the error is clean."""
        for resolver in case.resolvers[1:]:
            requests, _ = _send(case, resolver, "no error shows a credential")
            hold(not requests, "nothing is sent without its secret")


def resolver_suite(case: ResolverCase) -> None:
    """Hold a resolver to the whole contract.

    Args:
        case: The resolver and its place.

    Raises:
        AssertionError: At the first breach; it says what the contract wants.

    Example:
        >>> from webhook_storage.testing import ResolverCase, canary
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> value = canary()
        >>> resolver_suite(
        ...     ResolverCase(
        ...         resolver=MappingResolver({"TOKEN": value}),
        ...         present=Reference("TOKEN"),
        ...         value=value,
        ...         absent=Reference("NOBODY_HAS_THIS"),
        ...         picklable=False,
        ...     )
        ... )
    """
    suite = ResolverSuite()
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)(case)


def _misspelled(reference: Reference) -> Reference:
    """Return the reference with an option that nobody has."""
    return replace(reference, options=(("nobody-knows-this", "1"),))


def _odd_names(case: ResolverCase) -> list[Reference]:
    """Return references to nothing, some of which a careless path would lead to the secret."""
    folder, slash, name = case.present.name.rpartition("/")
    detours = [f"{folder}{slash}{dots}/{name}" for dots in (".", "x/..", "x/%2e%2e")]
    more = [case.present.name + tail for tail in ("?x=1", "#x", "/.", "\n")]
    odd = (*_ODD_NAMES, *detours, *more)
    return [Reference(each, case.present.scheme, case.present.instance) for each in odd]


def _pickled(case: ResolverCase) -> bytes | None:
    """Return a pickle of the resolver, None when it refuses as one with values does."""

    def dump() -> bytes | None:
        try:
            return pickle.dumps(case.resolver)
        except TypeError:
            return None

    return attempt("pickling", dump)


def _send(case: ResolverCase, resolver: Resolver, promise: str) -> tuple[list[SentRequest], str]:
    """Send the secret to a server that refuses it; return what came there, and the error."""
    transport = FakeTransport(lambda _: (403, {}, b"no"))
    with witnessed() as witness, Sender(secrets=case.resolution(resolver), transport=transport):
        error = shown_by_error(case.sent)
    _hold_clean(case, [*witness, *error], promise)
    return transport.requests, error[0]


def _hold_clean(case: ResolverCase, witness: list[str], promise: str) -> None:
    """Raise when a secret stands in one of the texts."""
    __tracebackhide__ = True
    leaks = case.leaks("\n".join(witness))
    hold(not leaks, promise, f"it stands there: {', '.join(leaks)}")
