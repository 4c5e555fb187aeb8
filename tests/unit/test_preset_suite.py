"""Each promise of the contract of presets is held: who breaks one is caught, and told which."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.unit import broken_presets as broken
from tests.unit.shelf import LARGEST, TOKEN, WRONG, Service, Shelf
from webhook_storage import registry
from webhook_storage.errors import ConflictError
from webhook_storage.testing import (
    FakeTransport,
    PresetCase,
    PresetSuite,
    find_leaks,
    preset_suite,
)
from webhook_storage.testing.presets import keep_promise

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMISES = [name for name in dir(PresetSuite) if name.startswith("test_")]


class Breach(NamedTuple):
    """A broken preset, and how it is caught.

    Attributes:
        kind: The preset.
        promise: What it does not keep, without "test".
        told: What the error says.
        alone: Whether it keeps all others.
        case: What else its case says.
    """

    kind: type[Shelf]
    promise: str
    told: str
    alone: bool = True
    case: dict[str, Any] = {}  # noqa: RUF012 - of a tuple, which nobody changes

    def __str__(self) -> str:
        """Return the preset's name, and the promise."""
        return f"{self.kind.__name__}: {self.promise}"


STORED = "what_is_stored_is_fetched"
RECEIPT = "a_receipt_is_plain_data"
LOOP = "an_event_loop_gets_the_same"
SECOND = "a_second_store_replaces_the_first"
AT_ONCE = "of_two_stores_at_once_one_is_whole"
NOTHING = "nothing_is_an_artifact_too"
FILES = "files_go_in_and_out"
FLOW = "a_flow_is_built_and_loaded"
WEBHOOK = "as_a_webhook_it_is_the_same"
ODD = "odd_keys_are_kept_apart"
REFUSED = "keys_that_cannot_be_are_refused"
MISSING = "what_is_missing_is_said_to_be"
DELETED = "what_is_deleted_is_gone"
CREATED = "what_may_only_be_created_replaces_nothing"
VERSION = "another_version_is_not_replaced"
CREDENTIAL = "a_wrong_credential_does_nothing"
FORBIDDEN = "a_forbidden_place_is_forbidden"
PLACE = "a_place_that_is_not_there"
LARGE = "a_large_artifact_comes_back"
TOO_LARGE = "what_is_too_large_is_refused_at_once"
FIVE = "five_gibibytes_are_refused_or_split"
TROUBLE = "trouble_in_the_middle_is_overcome"
LOST = "a_lost_answer_is_no_conflict"
PLAIN = "it_is_plain_data"
SHOWN = "nothing_shows_a_secret"

NO_CONDITIONS = {"create_only": False, "replaces": False}

BREACHES = [
    Breach(broken.ForgetsTheKey, STORED, "a receipt has the key", alone=False),
    Breach(broken.MiscountsBytes, STORED, "a receipt has the size", alone=False),
    Breach(broken.MistakesTheDigest, STORED, "a receipt has the digest", alone=False),
    Breach(broken.AddsALine, STORED, "what is stored is fetched by its key", alone=False),
    Breach(broken.FetchesByKeyOnly, STORED, "is fetched by its receipt", alone=False),
    Breach(broken.KnowsNothing, STORED, r"stat\(\) knows what is stored", alone=False),
    Breach(broken.SaysThatNothingExists, STORED, r"exists\(\) is true of what", alone=False),
    Breach(broken.SaysAnotherSize, STORED, r"stat\(\) says the size"),
    Breach(broken.GivesReceiptsWithAClient, RECEIPT, "comes back from its JSON", alone=False),
    Breach(broken.FetchesByItsOwnReceiptsOnly, RECEIPT, "from JSON finds the artifact"),
    Breach(broken.LeaksIntoReceipts, RECEIPT, "a receipt holds no secret", alone=False),
    Breach(broken.DeletesByKeyOnly, RECEIPT, "what a receipt stands for can be deleted"),
    Breach(broken.FetchesOtherwiseInALoop, LOOP, r"aget\(\) returns what aput\(\) stored"),
    Breach(broken.KnowsNothingInALoop, LOOP, r"aexists\(\) is true of what is stored"),
    Breach(broken.DeletesNothingInALoop, LOOP, r"adelete\(\) deletes"),
    Breach(broken.NeverReplaces, SECOND, "a second store replaces the first", alone=False),
    Breach(broken.SharesADigest, AT_ONCE, "each has its own receipt", alone=False),
    Breach(broken.SwapsHalves, AT_ONCE, "one is there whole; .* bytes are", alone=False),
    Breach(broken.RefusesBoth, AT_ONCE, "one succeeds; it raised ConflictError", alone=False),
    Breach(broken.LeavesNothingOut, NOTHING, "nothing is an artifact too; it raised ObjectNotFoun"),
    Breach(broken.PadsNothing, NOTHING, "nothing comes back as nothing"),
    Breach(broken.CountsNothingAsOne, NOTHING, "the receipt of nothing says so"),
    Breach(broken.TakesNothingForMissing, NOTHING, "an empty artifact is there"),
    Breach(broken.MiscountsDownloads, FILES, r"download\(\) says how many"),
    Breach(broken.DownloadsText, FILES, "a file comes back as it was"),
    Breach(broken.ForgetsFlows, FLOW, "a flow is built and loaded; it raised TrustError"),
    Breach(broken.LoadsAnotherFlow, FLOW, "a flow is loaded by the definition's JSON"),
    Breach(broken.StoresElsewhereAsAWebhook, WEBHOOK, "the preset fetches what its Webhook stores"),
    Breach(broken.FetchesElsewhereAsAWebhook, WEBHOOK, "a Webhook fetches what", alone=False),
    Breach(broken.LeaksIntoItsWebhook, WEBHOOK, "Webhook holds no secret", alone=False),
    Breach(broken.TakesPlusForABlank, ODD, "'.*/with space' has its own artifact"),
    Breach(
        broken.ListsWhatUrlsSay,
        ODD,
        "a list has each key once, as it is; it lacks .*/with space.*%20",
    ),
    Breach(broken.ListsTwice, ODD, "as it is; it lacks .., and has besides .*/with space"),
    Breach(broken.TakesAnyKey, REFUSED, r"'line\\nbreak' is refused before anything is sent"),
    Breach(broken.LooksAtKeysLater, REFUSED, "is refused before anything is sent", alone=False),
    Breach(broken.RefusesInTwoLines, REFUSED, "an error is one line; it raised Config"),
    Breach(broken.KnowsEverything, MISSING, r"stat\(\) is None of what is", alone=False),
    Breach(broken.SaysThatAllExist, MISSING, r"exists\(\) is false of what is", alone=False),
    Breach(broken.FetchesWhatIsMissing, MISSING, r"get\(\) says of what is missing", alone=False),
    Breach(broken.DeletesWhatIsMissing, MISSING, r"delete\(\) says of what is missing that it is"),
    Breach(broken.DeletesNothing, DELETED, "what is deleted is gone", alone=False),
    Breach(broken.DeletesByPrefix, DELETED, "no other is deleted"),
    Breach(broken.ListsWhatWas, DELETED, "a list has it no longer"),
    Breach(broken.IgnoresIfAbsent, CREATED, "is not replaced; no error was raised", alone=False),
    Breach(broken.RefusesTooLate, CREATED, "what exists stays as it is", alone=False),
    Breach(
        broken.RefusesConditionsTooLate,
        CREATED,
        "what is refused is not stored",
        case=NO_CONDITIONS,
        alone=False,
    ),
    Breach(Shelf, CREATED, "the service cannot hold it; no error", case=NO_CONDITIONS, alone=False),
    Breach(broken.IgnoresVersions, VERSION, "to replace another version is a conflict; no error"),
    Breach(broken.RefusesTooLate, VERSION, "another version stays as it is", alone=False),
    Breach(
        broken.RefusesConditionsTooLate,
        VERSION,
        "what is refused is not stored",
        case=NO_CONDITIONS,
        alone=False,
    ),
    Breach(broken.IsAlwaysInTheWay, VERSION, "not replaced; it raised ConflictErr", alone=False),
    Breach(broken.SaysThatItReplaces, VERSION, "the version of a receipt is replaced", alone=False),
    Breach(Shelf, VERSION, "the service cannot hold it; it rais", case=NO_CONDITIONS, alone=False),
    Breach(broken.AsksNobody, CREDENTIAL, r"exists\(\) without a right to it is told so; no error"),
    Breach(broken.ListsNothingWithoutARight, CREDENTIAL, r"list\(\) without a right to it"),
    Breach(broken.StoresBeforeItAsks, CREDENTIAL, "has changed nothing", alone=False),
    Breach(broken.HidesWhatIsForbidden, FORBIDDEN, r"exists\(\) without a right to it is told so"),
    Breach(broken.StoresNowhere, PLACE, "in a place that is not there nothing is stored; no error"),
    Breach(broken.GivesNoHint, PLACE, "a place that is not there is told with a hint"),
    Breach(broken.TellsInTwoLines, PLACE, "an error is one line"),
    Breach(broken.TurnsPartsRound, LARGE, "a large artifact comes back", alone=False),
    Breach(broken.TakesAnySize, TOO_LARGE, "bytes are refused as too large; it raised Connect"),
    Breach(broken.ReadsWhatIsTooLarge, TOO_LARGE, "is too large is refused before it is read"),
    Breach(broken.SendsWhatIsTooLarge, TOO_LARGE, "is too large is refused before it is read"),
    Breach(broken.NeverSplits, FIVE, "more than 5368709120 bytes are split; 5368709121 are in one"),
    Breach(broken.ReadsAndRefuses, FIVE, "what is too large is refused before it is read"),
    Breach(broken.StoresTheBeginning, FIVE, "5368709121 bytes are refused .* or sent; no error"),
    Breach(broken.NeverSendsAgain, TROUBLE, "is overcome; it raised ServerError", alone=False),
    Breach(broken.NeverSendsAPartAgain, TROUBLE, "is overcome; it raised ServerError"),
    Breach(
        broken.SendsTheBeginningAgain, TROUBLE, "what went wrong once is stored all", alone=False
    ),
    Breach(broken.ConflictsWithItself, LOST, "is no conflict; it raised ObjectExistsError"),
    Breach(broken.TakesAnyForItsOwn, LOST, "somebody else has stored is not replaced after a lost"),
    Breach(broken.SaysThatItReplaces, LOST, "a store whose answer was lost is a", alone=False),
    Breach(broken.WritesAnotherBucket, PLAIN, "what comes of its JSON is equal", alone=False),
    Breach(broken.PicklesAnotherBucket, PLAIN, "what comes of a pickle is equal to it"),
    Breach(broken.CopiesAnotherBucket, PLAIN, "what comes of a copy is equal to it", alone=False),
    Breach(broken.KeepsTheToken, PLAIN, "a definition holds no secret", alone=False),
    Breach(broken.LogsTheToken, SHOWN, "nothing shows a secret; it stands there: raw"),
    Breach(broken.LogsTokensThatAreRefused, SHOWN, "nothing shows a secret", alone=False),
    Breach(broken.PrintsTheToken, SHOWN, "nothing shows a secret; it stands there: raw"),
    Breach(broken.WarnsOfTheToken, SHOWN, "nothing shows a secret; it stands", alone=False),
    Breach(broken.AnswersWithTheToken, SHOWN, "nothing shows a secret; it stands there: raw"),
]


@pytest.fixture(autouse=True, scope="module")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install a distribution with all of them."""
    site = tmp_path_factory.mktemp("site")
    metadata = site / "shelves-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shelves\nVersion: 1.0\n")
    kinds = [f"{name} = {kind.__module__}:{name}" for name, kind in broken.PRESETS.items()]
    lines = "\n".join([f"[{registry.PRESETS}]", *kinds])
    (metadata / "entry_points.txt").write_text(lines)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
        yield


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    """Forget what a broken preset has kept."""
    yield
    broken.STATE.clear()


def case_of(kind: type[Shelf], **more: Any) -> PresetCase:
    """Return the case of a preset of this kind, with all that can be tried."""
    service = Service()

    def fault(what: int | str) -> None:
        service.fault = what

    given: dict[str, Any] = {
        "storage": kind(),
        "secrets": {"SHELF_TOKEN": TOKEN},
        "wrong": {"SHELF_TOKEN": WRONG},
        "forbidden": kind(bucket="closed"),
        "elsewhere": kind(bucket="missing"),
        "parted": kind(parts_above=1000, part_size=600),
        "parted_above": 1000,
        "largest": LARGEST,
        "trouble": fault,
        "lose": lambda: fault("lost"),
        "transport": lambda: FakeTransport(service.answer),
    }
    return PresetCase(**{**given, **more})


def keep(promise: str, case: PresetCase) -> None:
    """Hold a preset to one promise, as `preset_suite` does to all."""
    keep_promise(promise, case)


# --- who keeps them -------------------------------------------------------------------------------


def test_a_good_preset_passes() -> None:
    """One that keeps all promises passes, with all that can be tried."""
    preset_suite(case_of(Shelf))


def test_what_a_case_leaves_out_is_not_tried() -> None:
    """A preset of which little is known passes as well."""
    service = Service()
    preset_suite(
        PresetCase(
            storage=Shelf(),
            secrets={"SHELF_TOKEN": TOKEN},
            transport=lambda: FakeTransport(service.answer),
        )
    )


@pytest.mark.parametrize("kind", [broken.CutsByItself, broken.ReadsFirst])
def test_another_way_passes(kind: type[Shelf]) -> None:
    """How it sends parts, and what it reads before, is nobody's business."""
    preset_suite(case_of(kind))


def test_one_request_may_be_as_large_as_the_case_says() -> None:
    """A service without parts, or one that takes more in one request, passes."""
    case = case_of(broken.NeverSplits, largest_request=2 * LARGEST)
    keep(f"test_{FIVE}", case)
    keep(f"test_{FIVE}", dataclasses.replace(case, largest_request=None, parted=None))
    keep(f"test_{FIVE}", case_of(broken.ReadsFirst, largest_request=2 * LARGEST))


def test_what_announces_too_much_may_be_refused() -> None:
    """A service that takes less than that in all is not asked to split it."""
    keep(f"test_{FIVE}", case_of(Shelf, largest=LARGEST))
    keep(f"test_{FIVE}", case_of(broken.TakesLittle))


# --- who breaks them ------------------------------------------------------------------------------


def test_every_promise_has_a_breach_above() -> None:
    """No promise of the suite goes unproved, and no broken preset unused."""
    assert set(PROMISES) == {f"test_{breach.promise}" for breach in BREACHES}
    used = {breach.kind for breach in BREACHES}
    used |= {broken.TakesLittle, broken.CutsByItself, broken.ReadsFirst}
    assert set(broken.PRESETS.values()) == used


@pytest.mark.parametrize("breach", BREACHES, ids=str)
def test_a_breach_is_told(breach: Breach) -> None:
    """Who breaks a promise is told which, in one line that shows no secret."""
    with pytest.raises(AssertionError, match=breach.told) as caught:
        keep(f"test_{breach.promise}", case_of(breach.kind, **breach.case))
    line = str(caught.value)
    assert line.startswith("a preset's promise is broken: ")
    assert "\n" not in line
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)
    assert [] == [text for text in (TOKEN, WRONG) if find_leaks(line, text)]


@pytest.mark.parametrize("breach", [each for each in BREACHES if each.alone], ids=str)
def test_no_other_promise_is_blamed(breach: Breach) -> None:
    """Who breaks one promise passes where another is tried."""
    for name in PROMISES:
        if name != f"test_{breach.promise}":
            keep(name, case_of(breach.kind))


def test_the_whole_suite_says_the_first_breach() -> None:
    """Whoever calls the function gets the same line."""
    with pytest.raises(AssertionError, match="adelete"):
        preset_suite(case_of(broken.DeletesNothingInALoop))


# --- the case -------------------------------------------------------------------------------------


def test_a_case_shows_no_secret() -> None:
    """The repr of a case, which a failed test prints, has no credential."""
    shown = repr(case_of(Shelf))
    assert [] == [text for text in (TOKEN, WRONG) if find_leaks(shown, text)]


def test_an_error_that_shows_a_secret_is_not_repeated() -> None:
    """What a preset raises is told, unless that is a secret."""
    case = case_of(Shelf)
    assert "it raised ConflictError: somebody was first" == case.said(
        ConflictError("somebody was first")
    )
    assert TOKEN not in case.said(ConflictError(f"not with {TOKEN}"))
