"""Each promise of the contract of resolvers is held: who breaks one is caught, and told which."""

from __future__ import annotations

import json
import pickle
import socket
import socketserver
import sys
import threading
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.unit import broken_resolvers as broken
from tests.unit.broken_resolvers import ABSENT, PRESENT, STATE, Good
from webhook_storage.contracts import Deadline, Found, Invalid
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing import (
    ResolverCase,
    ResolverSuite,
    answers,
    canary,
    find_leaks,
    processes,
    resolver_suite,
    resolvers,
)
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALUE, TOKEN, WRONG = canary(), canary(), canary()
PROMISES = [name for name in dir(ResolverSuite) if name.startswith("test_")]
SLOW = "test_another_process_can_use_it"


class Breach(NamedTuple):
    """A broken resolver, and how it is caught.

    Attributes:
        kind: The resolver.
        promise: What it does not keep, without "test".
        told: What the error says.
        alone: Whether it keeps all others.
    """

    kind: type[Good]
    promise: str
    told: str
    alone: bool = True

    def __str__(self) -> str:
        """Return the resolver's name, and the promise."""
        return f"{self.kind.__name__}: {self.promise}"


SCHEME = "its_scheme_is_a_word_of_the_grammar"
PRESENCE = "it_finds_what_is_present"
ABSENCE = "it_misses_what_is_absent"
BARE = "a_bare_name_of_others_is_not_found"
BATCH = "a_batch_may_succeed_partly"
ODD = "odd_names_are_answered_too"
OPTION = "an_unknown_option_is_invalid"
REFUSED = "a_wrong_credential_is_forbidden"
UNREACHABLE = "a_place_that_cannot_be_reached_is_unavailable"
HANGING = "a_place_that_hangs_is_given_up"
DEADLINE = "a_deadline_that_has_passed_is_answered"
LOOP = "an_event_loop_gets_the_same"
CANCELLED = "a_cancelled_task_takes_nobody_along"
THREADS = "threads_can_share_it"
STORM = "a_storm_of_threads_is_one_question"
FORK = "a_fork_asks_for_itself"
PICKLE = "a_pickle_holds_configuration_only"
PROCESS = "another_process_can_use_it"
HEALTH = "health_says_whether_it_can_be_asked"
CLOSE = "close_can_be_repeated"
SHOWN = "nothing_shows_a_secret"
REQUEST = "a_request_carries_it_and_nothing_else_does"
ERROR = "an_error_about_it_shows_nothing"

BREACHES = [
    Breach(broken.NoScheme, SCHEME, "its scheme is a lower-case letter and", alone=False),
    Breach(broken.OddScheme, SCHEME, "its scheme is a lower-case letter and", alone=False),
    Breach(broken.FindsAnother, PRESENCE, "with its value; it answered Found", alone=False),
    Breach(broken.FindsOnce, PRESENCE, "with its value; it answered Found", alone=False),
    Breach(broken.FindsFields, PRESENCE, "one field is used; name it in the case", alone=False),
    Breach(broken.MissesBatchesOnly, ABSENCE, "what is absent is NotFound; it answered Invalid"),
    Breach(broken.StopsChains, BARE, r"does not know is NotFound; it answered Invalid\(a path"),
    Breach(broken.TakesAllAlong, BATCH, "a batch finds what is found alone; it answered Invalid"),
    Breach(broken.RefusesBatches, BATCH, "what is missed alone; it answered Inv", alone=False),
    Breach(broken.AnswersTheFirst, BATCH, "'good:team/absent' got none", alone=False),
    Breach(broken.FollowsDots, ODD, "there is no secret named 'team/./present'"),
    Breach(broken.ForgetsToEncode, ODD, r"there is no secret named 'team/present\?x=1'"),
    Breach(broken.RaisesAtOddNames, ODD, "never raises; ValueError in broken_", alone=False),
    Breach(broken.IgnoresOptions, OPTION, "an unknown option is Invalid; it answered Found"),
    Breach(broken.MissesWithAWrongToken, REFUSED, "is Forbidden; it answered NotFound"),
    Breach(broken.LocksEverybodyOut, REFUSED, "works beside a wrong one", alone=False),
    Breach(broken.MissesWithoutAPlace, UNREACHABLE, "is Unavailable; it answered NotFound"),
    Breach(broken.HasAllTime, HANGING, "its deadline ends a question .*; it hangs", alone=False),
    Breach(broken.MissesWhenLate, HANGING, "it is Unavailable; it answered NotFound"),
    Breach(broken.RaisesWhenLate, HANGING, r"resolve\(\) never raises; TimeoutError"),
    Breach(broken.HoldsUpTheLoop, HANGING, r"aresolve\(\) does not hold up an event loop"),
    Breach(broken.MissesWithoutTime, DEADLINE, "Found or Unavailable; it answered NotFound"),
    Breach(broken.GivesAList, PRESENCE, "it answers with a mapping; not a list", alone=False),
    Breach(broken.GivesNone, PRESENCE, "an answer is an outcome; not a NoneType", alone=False),
    Breach(broken.GivesText, PRESENCE, "an answer is an outcome; not a str", alone=False),
    Breach(broken.GivesBareValues, PRESENCE, "is a SecretValue; not a str", alone=False),
    Breach(broken.GivesANegativeLife, PRESENCE, "a lifetime is a number of sec", alone=False),
    Breach(broken.GivesANumberedVersion, PRESENCE, "is a text, or None; not a int", alone=False),
    Breach(broken.GivesADate, PRESENCE, "retry_after is a number of seconds", alone=False),
    Breach(broken.GivesAnError, PRESENCE, "a text; not a PermissionError", alone=False),
    Breach(broken.RaisesInALoop, LOOP, r"aresolve\(\) never raises; RuntimeError", alone=False),
    Breach(broken.RefusesInALoop, LOOP, r"misses what resolve\(\) misses; it answered Invalid"),
    Breach(broken.FindsAnotherInALoop, LOOP, r"aresolve\(\) finds what resolve", alone=False),
    Breach(broken.GivesUpForAll, CANCELLED, "a cancelled task takes no other along"),
    Breach(broken.SharesATask, CANCELLED, "a cancelled task takes no other along"),
    Breach(broken.StaysBusy, CANCELLED, "it is as it was after a cancelled task", alone=False),
    Breach(broken.BelongsToAThread, THREADS, "threads can share it", alone=False),
    Breach(broken.AnotherScheme, STORM, "every thread gets the secret", alone=False),
    Breach(broken.EndsAtClose, STORM, r"it can be used again after close\(\)", alone=False),
    Breach(broken.AsksInEachThread, STORM, "ask no more than one; 32 times, not 1"),
    Breach(broken.KeepsAnswers, STORM, "it asks its place each time"),
    Breach(broken.FindsAnother, FORK, "it finds the secret before a fork", alone=False),
    Breach(broken.BelongsToAProcess, FORK, "asks for itself; it does not find it"),
    Breach(broken.DiesInAChild, FORK, "asks for itself; it ended without a word"),
    Breach(broken.HangsInAChild, FORK, "asks for itself; it hangs", alone=False),
    Breach(broken.SharesAConnection, FORK, "itself; it uses a connection of its parent"),
    Breach(broken.ClosesItsParent, FORK, "it finds the secret after a fork", alone=False),
    Breach(broken.PicklesTheValue, PICKLE, "a pickle of it holds no secret"),
    Breach(broken.HasALock, PICKLE, "it can be pickled; it raised a TypeError"),
    Breach(broken.RaisesWhenPickled, PICKLE, "pickling never raises; ValueError"),
    Breach(broken.FindsAnother, PROCESS, "what is present is Found", alone=False),
    Breach(broken.PicklesTooLittle, PROCESS, "a copy from a pickle answers as it does"),
    Breach(broken.LeansOnGlobals, PROCESS, "in a new process, from a pickle; NotFound"),
    Breach(broken.RaisesElsewhere, PROCESS, "in a new process, from a pickle; ValueError"),
    Breach(broken.HangsElsewhere, PROCESS, "in a new process, from a pickle; it hangs"),
    Breach(broken.DiesElsewhere, PROCESS, "from a pickle; it ended without a word"),
    Breach(broken.TellsItInHealth, HEALTH, r"health\(\) shows no secret"),
    Breach(broken.RaisesInHealth, HEALTH, r"health\(\) never raises; ValueError"),
    Breach(broken.IsAlwaysWell, HEALTH, "tells that nobody can be reached"),
    Breach(broken.IsNeverWell, HEALTH, "is None when it can be asked; it said 'so-so'"),
    Breach(broken.IsWellInItsOwnWay, HEALTH, r"health\(\) is None or a text"),
    Breach(broken.EndsAtClose, CLOSE, r"it can be used again after close\(\)", alone=False),
    Breach(broken.LosesItsClient, CLOSE, r"it can be used again after close", alone=False),
    Breach(broken.ClosesOnce, CLOSE, r"close\(\) never raises; RuntimeError", alone=False),
    Breach(broken.ShowsIt, SHOWN, "nothing shows a secret; it stands there: raw"),
    Breach(broken.KeepsIt, SHOWN, "nothing shows a secret", alone=False),
    Breach(broken.TellsIt, SHOWN, "nothing shows a secret", alone=False),
    Breach(broken.NumbersItsVersion, SHOWN, "nothing shows a secret"),
    Breach(broken.LogsIt, SHOWN, "nothing shows a secret", alone=False),
    Breach(broken.PrintsIt, SHOWN, "nothing shows a secret", alone=False),
    Breach(broken.WarnsOfIt, SHOWN, "nothing shows a secret", alone=False),
    Breach(
        broken.AnotherScheme, REQUEST, r"carries the value as it is; .*\(no resolver", alone=False
    ),
    Breach(broken.LogsItInFlight, REQUEST, "no error shows a secret; it stands there: raw"),
    Breach(broken.LogsItsToken, ERROR, "no error shows a credential; it stands there: raw"),
    Breach(broken.FindsItInFlight, ERROR, "nothing is sent without its secret", alone=False),
]


@pytest.fixture(autouse=True)
def _place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Put the secret into the environment, and forget afterwards what was kept about it."""
    for name, text in {"VALUE": VALUE, "TOKEN": TOKEN, "WRONG": WRONG}.items():
        monkeypatch.setenv(f"GOOD_{name}", text)
    monkeypatch.setenv("GOOD_FOLDER", str(tmp_path))
    monkeypatch.setattr(resolvers, "_SHORT", 0.02)
    kept = dict(STATE)
    STATE.update({"end": threading.Event(), "set up": True, "open": True})
    yield
    STATE["end"].set()
    if "connection" in STATE:
        STATE["connection"].close()
    STATE.clear()
    STATE.update(kept)


@pytest.fixture
def _server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answer whatever comes over a connection."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while said := self.request.recv(5):
                self.request.sendall(said)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("GOOD_PORT", str(server.server_address[1]))
        yield
        server.shutdown()
        thread.join()


def case_of(kind: type[Good]) -> ResolverCase:
    """Return the case of a resolver of this kind, with all that can be tried."""
    return ResolverCase(
        resolver=kind(),
        present=PRESENT,
        value=VALUE,
        absent=ABSENT,
        refused=kind(token_variable="GOOD_WRONG"),
        unreachable=kind(address="nowhere"),
        hanging=kind(address="silent"),
        credentials=[TOKEN, WRONG],
        calls=lambda: int(STATE["asked"]["place"]),
    )


def hold(promise: str, case: ResolverCase) -> None:
    """Hold a resolver to one promise."""
    getattr(ResolverSuite(), promise)(case)


# --- who keeps them -------------------------------------------------------------------------------


def test_a_good_resolver_passes() -> None:
    """One that keeps all promises passes, with all that can be tried."""
    resolver_suite(case_of(Good))


def test_what_a_case_leaves_out_is_not_tried() -> None:
    """A resolver without a credential, whose place is in this process, passes as well."""
    case = ResolverCase(
        resolver=MappingResolver({"A": VALUE}),
        present=Reference("A"),
        value=VALUE,
        absent=Reference("B"),
        picklable=False,
    )
    resolver_suite(case)


@pytest.mark.usefixtures("_server")
def test_a_connection_of_its_own_in_each_process_passes() -> None:
    """Who connects anew after a fork is not taken for one that shares the connection."""
    resolver_suite(case_of(broken.MakesAConnection))


class Fields(Good):
    """Has secrets that are objects of fields."""

    def found(self) -> Found:
        return Found(value=SecretValue(json.dumps({"user": "me", "key": VALUE})), structured=True)


def test_a_field_of_a_structured_secret_is_the_secret() -> None:
    """With fields, the one that the case names is asked for, sent, and looked for."""
    suite, case = ResolverSuite(), replace(case_of(Fields), field="key")
    suite.test_it_finds_what_is_present(case)
    suite.test_threads_can_share_it(case)
    suite.test_a_storm_of_threads_is_one_question(case)
    suite.test_a_request_carries_it_and_nothing_else_does(case)


@pytest.mark.parametrize("has_instances", [True, False])
def test_references_may_name_an_instance(
    has_instances: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resolver is reached under the instance of the references, whatever that means to it."""
    monkeypatch.setattr(Good, "has_instances", has_instances)
    present, absent = (replace(each, instance="prod") for each in (PRESENT, ABSENT))
    case = replace(case_of(Good), present=present, absent=absent)
    for name in PROMISES:
        if name != SLOW:
            hold(name, case)


# --- who breaks them ------------------------------------------------------------------------------


def test_every_promise_has_a_breach_below() -> None:
    """No promise of the suite goes unproved."""
    assert set(PROMISES) == {f"test_{breach.promise}" for breach in BREACHES}


@pytest.mark.usefixtures("_server")
@pytest.mark.parametrize("breach", BREACHES, ids=str)
def test_a_breach_is_told(breach: Breach, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who breaks a promise is told which, in words without a value."""
    if "Hangs" in str(breach) or breach.kind is broken.HasAllTime:
        for module in (answers, processes):
            monkeypatch.setattr(module, "PATIENCE", 0.5)
    with pytest.raises(AssertionError, match=breach.told) as caught:
        hold(f"test_{breach.promise}", case_of(breach.kind))
    assert str(caught.value).startswith("a resolver's promise is broken: ")
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)
    for text in (VALUE, TOKEN, WRONG):
        assert [] == find_leaks(str(caught.value), text)


@pytest.mark.usefixtures("_server")
@pytest.mark.parametrize("breach", [each for each in BREACHES if each.alone], ids=str)
def test_no_other_promise_is_blamed(breach: Breach) -> None:
    """Who breaks one promise passes where another is tried."""
    for name in PROMISES:
        if name not in {f"test_{breach.promise}", SLOW}:
            hold(name, case_of(breach.kind))


def test_a_resolver_with_values_must_not_be_pickled() -> None:
    """A case that says so is taken at its word: the pickle must be refused."""
    with pytest.raises(AssertionError, match="who holds values cannot be pickled"):
        ResolverSuite().test_a_pickle_holds_configuration_only(
            replace(case_of(Good), picklable=False)
        )


def test_a_class_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver whose module another process does not find cannot be used there."""
    module = types.ModuleType("only_here")
    kind = type("OnlyHere", (Good,), {"__module__": "only_here"})
    monkeypatch.setattr(module, "OnlyHere", kind, raising=False)
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(AssertionError, match="from a pickle; ModuleNotFoundError"):
        ResolverSuite().test_another_process_can_use_it(case_of(kind))


def test_a_detail_that_shows_a_secret_is_not_repeated() -> None:
    """What a resolver says instead is told, unless that is a secret."""
    case = case_of(Good)
    assert "it answered Invalid(no such path)" == case.said(Invalid("no such path"))
    told = case.said(Invalid(f"no {VALUE} here"))
    assert "it answered Invalid(a detail that shows a secret)" == told


# --- the case -------------------------------------------------------------------------------------


def test_a_case_shows_no_secret() -> None:
    """The repr of a case, which a failed test prints, has neither value nor credential."""
    shown = repr(case_of(Good))
    assert [] == [find_leaks(shown, text) for text in (VALUE, TOKEN) if find_leaks(shown, text)]


@pytest.mark.parametrize(
    ("references", "fault"),
    [
        ({"present": Reference("a", "good", field="b")}, "without their field"),
        ({"absent": Reference("a", "good", field="b")}, "without their field"),
        ({"absent": PRESENT}, "both present and absent"),
    ],
)
def test_a_case_that_contradicts_itself_is_refused(references: Any, fault: str) -> None:
    """What is wrong with the case is not blamed on the resolver."""
    with pytest.raises(ValueError, match=fault):
        replace(case_of(Good), **references)


def test_the_search_finds_what_it_looks_for() -> None:
    """A canary in the environment, a file or an answer is found by the case's own search."""
    case = case_of(Good)
    answered = case.resolver.resolve([PRESENT], Deadline(1))[PRESENT]
    assert case.has(answered)
    assert ["raw"] == case.leaks(pickle.dumps([TOKEN]))[:1]
    assert [] == case.leaks(socket.gethostname())
