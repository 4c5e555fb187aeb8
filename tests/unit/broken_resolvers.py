"""A resolver that keeps its promises, and others of which each breaks one.

They are in a module of their own, which costs another process little to import. Their place is the
environment: a process that has it finds the secret.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import posixpath
import socket
import sys
import threading
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

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
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Answers = Mapping[Reference, Outcome]

PRESENT, ABSENT = Reference("team/present", "good"), Reference("team/absent", "good")

STATE: dict[object, Any] = {"asked": Counter()}
"""What the place, and whoever must not, keeps in this process; a test clears it."""


def value() -> str:
    """Return the secret."""
    return os.environ["GOOD_VALUE"]


@dataclass(frozen=True, kw_only=True)
class Good(Resolver):
    """Keeps its promises."""

    scheme: ClassVar[str] = "good"

    token_variable: str = "GOOD_TOKEN"
    address: str = "here"

    def resolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        return {reference: self.answer(reference, deadline) for reference in references}

    def answer(self, reference: Reference, deadline: Deadline) -> Outcome:
        if reference.scheme is None:
            return NotFound()
        if reference.options:
            return Invalid("takes no options")
        return self.ask(reference.name, deadline)

    def ask(self, name: str, deadline: Deadline) -> Outcome:
        if self.address == "silent":
            threading.Event().wait(deadline.remaining())
        if self.address == "nowhere" or not deadline.remaining():
            return Unavailable("nobody answers")
        STATE["asked"]["place"] += 1
        if os.environ[self.token_variable] != os.environ["GOOD_TOKEN"]:
            return Forbidden("the token is wrong")
        return self.found() if name == PRESENT.name else NotFound()

    def found(self) -> Found:
        return Found(value=SecretValue(value()))

    def health(self) -> str | None:
        return "nobody answers" if self.address == "nowhere" else None


# --- outcomes -------------------------------------------------------------------------------------


class NoScheme(Good):
    scheme: ClassVar[str] = "Not A Scheme"


class OddScheme(Good):
    scheme: ClassVar[Any] = None


class AnotherScheme(Good):
    scheme: ClassVar[str] = "better"


class FindsAnother(Good):
    def found(self) -> Found:
        return Found(value=SecretValue("another"))


class FindsFields(Good):
    def found(self) -> Found:
        return Found(value=SecretValue(value()), structured=True)


class FindsOnce(Good):
    def found(self) -> Found:
        STATE["asked"]["found"] += 1
        return Found(value=SecretValue(value() if STATE["asked"]["found"] == 1 else "another"))


class MissesBatchesOnly(Good):
    def resolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        answers = super().resolve(references, deadline)
        return {ABSENT: Invalid()} if list(references) == [ABSENT] else answers


class StopsChains(Good):
    def answer(self, reference: Reference, deadline: Deadline) -> Outcome:
        bare = reference.scheme is None
        return Invalid("a path is wanted") if bare else super().answer(reference, deadline)


class TakesAllAlong(Good):
    def resolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        answers = super().resolve(references, deadline)
        one_is = any(isinstance(each, Invalid) for each in answers.values())
        return dict.fromkeys(references, Invalid()) if one_is else answers


class RefusesBatches(Good):
    def resolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        answers = super().resolve(references, deadline)
        return {**answers, ABSENT: Invalid()} if len(references) > 1 else answers


class AnswersTheFirst(Good):
    def resolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        return {references[0]: self.answer(references[0], deadline)}


class FollowsDots(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        return super().ask(posixpath.normpath(name), deadline)


class ForgetsToEncode(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        return super().ask(name.partition("?")[0], deadline)


class RaisesAtOddNames(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        if "\0" in name:
            raise ValueError(value())
        return super().ask(name, deadline)


class IgnoresOptions(Good):
    def answer(self, reference: Reference, deadline: Deadline) -> Outcome:
        return super().answer(replace(reference, options=()), deadline)


class MissesWithAWrongToken(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answer = super().ask(name, deadline)
        return NotFound() if isinstance(answer, Forbidden) else answer


class LocksEverybodyOut(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answer = STATE.get("locked") or super().ask(name, deadline)
        if isinstance(answer, Forbidden):
            STATE["locked"] = answer
        return answer


class MissesWithoutAPlace(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        return NotFound() if self.address == "nowhere" else super().ask(name, deadline)


class HasAllTime(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        if self.address == "silent":
            STATE["end"].wait()
        return super().ask(name, deadline)


class MissesWhenLate(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answer = super().ask(name, deadline)
        return NotFound() if self.address == "silent" else answer


class RaisesWhenLate(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answer = super().ask(name, deadline)
        if self.address == "silent":
            raise TimeoutError(value())
        return answer


class HoldsUpTheLoop(Good):
    async def aresolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        return self.resolve(references, deadline)


class MissesWithoutTime(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        return super().ask(name, deadline) if deadline.remaining() else NotFound()


# --- what is no outcome ---------------------------------------------------------------------------


class GivesAList(Good):
    def resolve(self, references: Sequence[Reference], deadline: Deadline) -> Any:
        return list(super().resolve(references, deadline).items())


class GivesNone(Good):
    def ask(self, name: str, deadline: Deadline) -> Any:
        return None


class GivesText(Good):
    def ask(self, name: str, deadline: Deadline) -> Any:
        return value()


class GivesBareValues(Good):
    def found(self) -> Found:
        return Found(value=value())  # type: ignore[arg-type]  # the breach


class GivesANegativeLife(Good):
    def found(self) -> Found:
        return Found(value=SecretValue(value()), lifetime=-1.0)


class GivesANumberedVersion(Good):
    def found(self) -> Found:
        return Found(value=SecretValue(value()), version=3)  # type: ignore[arg-type]  # the breach


class GivesADate(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        return Unavailable("", "tomorrow")  # type: ignore[arg-type]  # the breach


class GivesAnError(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        return Forbidden(PermissionError(value()))  # type: ignore[arg-type]  # the breach


# --- threads, tasks and processes -----------------------------------------------------------------


class RaisesInALoop(Good):
    async def aresolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        raise RuntimeError(value())


class RefusesInALoop(Good):
    async def aresolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        answers = await super().aresolve(references, deadline)
        return {**answers, ABSENT: Invalid()}


class FindsAnotherInALoop(Good):
    async def aresolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        answers = await super().aresolve(references, deadline)
        return {**answers, PRESENT: Found(value=SecretValue("another"))}


class GivesUpForAll(Good):
    async def aresolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        try:
            for _ in range(10):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            STATE["cancelled"] = True
            raise
        if "cancelled" in STATE:
            return dict.fromkeys(references, Unavailable("cancelled"))
        return await super().aresolve(references, deadline)


class SharesATask(Good):
    async def aresolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        loop = asyncio.get_running_loop()
        if loop not in STATE:
            STATE[loop] = loop.create_task(super().aresolve(references, deadline))
        answers: Answers = await STATE[loop]
        return answers


class StaysBusy(Good):
    def resolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        if STATE.get("busy"):
            return dict.fromkeys(references, Unavailable("busy"))
        return super().resolve(references, deadline)

    async def aresolve(self, references: Sequence[Reference], deadline: Deadline) -> Answers:
        STATE["busy"] = STATE.get("busy", 0) + 1
        answers = await asyncio.to_thread(super().resolve, references, deadline)
        STATE["busy"] -= 1
        return answers


class BelongsToAThread(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        owner = STATE.setdefault("owner", threading.get_ident())
        mine = owner == threading.get_ident()
        return super().ask(name, deadline) if mine else Unavailable("made in another thread")


class AsksInEachThread(Good):
    local: ClassVar[bool] = True


class KeepsAnswers(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answers = STATE.setdefault((self, os.getpid()), {})
        if name not in answers or not isinstance(answers[name], Found):
            answers[name] = super().ask(name, deadline)
        outcome: Outcome = answers[name]
        return outcome


class BelongsToAProcess(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        mine = STATE.setdefault("process", os.getpid()) == os.getpid()
        return super().ask(name, deadline) if mine else Unavailable("made in another process")


class DiesInAChild(BelongsToAProcess):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answer = super().ask(name, deadline)
        if STATE["process"] != os.getpid():
            os._exit(1)
        return answer


class HangsInAChild(BelongsToAProcess):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answer = super().ask(name, deadline)
        if STATE["process"] != os.getpid():
            threading.Event().wait()
        return answer


class ClosesItsParent(BelongsToAProcess):
    """Ends in a child the session that its parent opened."""

    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answer = Good.ask(self, name, deadline)
        session = Path(os.environ["GOOD_FOLDER"], "session")
        if STATE.setdefault("process", os.getpid()) != os.getpid():
            session.unlink(missing_ok=True)
        elif "session" not in STATE:
            session.touch()
            STATE["session"] = True
        elif not session.exists():
            return Unavailable("there is no session")
        return answer


class SharesAConnection(Good):
    """Talks over one connection, whichever process it finds itself in."""

    def ask(self, name: str, deadline: Deadline) -> Outcome:
        if "connection" not in STATE:
            address = ("127.0.0.1", int(os.environ["GOOD_PORT"]))
            STATE["connection"] = socket.create_connection(address)
        STATE["connection"].sendall(b"hello")
        STATE["connection"].recv(5)
        return super().ask(name, deadline)


class MakesAConnection(SharesAConnection):
    """Does it right: one connection in each process."""

    def ask(self, name: str, deadline: Deadline) -> Outcome:
        if STATE.setdefault("process", os.getpid()) != os.getpid():
            STATE.update(process=os.getpid())
            STATE.pop("connection").close()
        return super().ask(name, deadline)


class PicklesTheValue(Good):
    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "encoded": base64.b64encode(value().encode())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        del state["encoded"]
        self.__dict__.update(state)


@dataclass(frozen=True, kw_only=True)
class HasALock(Good):
    lock: Any = field(default_factory=threading.Lock)


class RaisesWhenPickled(Good):
    def __getstate__(self) -> NoReturn:
        raise ValueError(value())


class PicklesTooLittle(Good):
    def __getstate__(self) -> dict[str, Any]:
        return {"address": "nowhere"}


class LeansOnGlobals(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        return super().ask(name, deadline) if "set up" in STATE else NotFound()


class RaisesElsewhere(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        if "set up" not in STATE:
            raise ValueError(value())
        return super().ask(name, deadline)


class HangsElsewhere(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        if "set up" not in STATE:
            threading.Event().wait()
        return super().ask(name, deadline)


class DiesElsewhere(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        if "set up" not in STATE:
            os._exit(1)
        return super().ask(name, deadline)


# --- life -----------------------------------------------------------------------------------------


class TellsItInHealth(Good):
    def health(self) -> str:
        return f"asked with {value()}"


class RaisesInHealth(Good):
    def health(self) -> str:
        raise ValueError(value())


class IsAlwaysWell(Good):
    def health(self) -> None:
        return None


class IsNeverWell(Good):
    def health(self) -> str:
        return "so-so"


class IsWellInItsOwnWay(Good):
    def health(self) -> Any:
        return super().health() or False


class EndsAtClose(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        return Unavailable("closed") if "closed" in STATE else super().ask(name, deadline)

    def close(self) -> None:
        STATE["closed"] = True


class LosesItsClient(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        if STATE.setdefault("client", "open") == "closed":
            return Unavailable("closed")
        return super().ask(name, deadline)

    def close(self) -> None:
        if "client" in STATE:
            STATE["client"] = "closed"


class ClosesOnce(Good):
    def close(self) -> None:
        if STATE.pop("open", None) is None:
            raise RuntimeError(value())


# --- leaks ----------------------------------------------------------------------------------------


class ShowsIt(Good):
    def __repr__(self) -> str:
        return f"<ShowsIt {value()}>"


class KeepsIt(Good):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.__dict__["token"] = os.environ[self.token_variable]


class TellsIt(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answer = super().ask(name, deadline)
        told = f"not with {os.environ[self.token_variable]}"
        return Forbidden(told) if isinstance(answer, Forbidden) else answer


class NumbersItsVersion(Good):
    def found(self) -> Found:
        return Found(value=SecretValue(value()), version=value())


class LogsIt(Good):
    def found(self) -> Found:
        logging.getLogger("vendor").debug("found %s", value())
        return super().found()


class LogsItInFlight(Good):
    def found(self) -> Found:
        if threading.current_thread().name.startswith("webhook-storage"):
            logging.getLogger("vendor").debug("found %s", value())
        return super().found()


class PrintsIt(Good):
    def found(self) -> Found:
        sys.stderr.write(value())
        return super().found()


class WarnsOfIt(Good):
    def found(self) -> Found:
        warnings.warn(f"{value()} is about to expire", stacklevel=2)
        return super().found()


class LogsItsToken(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        answer = super().ask(name, deadline)
        in_flight = threading.current_thread().name.startswith("webhook-storage")
        if in_flight and isinstance(answer, Forbidden):
            logging.getLogger("vendor").info("no %s", os.environ[self.token_variable])
        return answer


class FindsItInFlight(Good):
    def ask(self, name: str, deadline: Deadline) -> Outcome:
        in_flight = threading.current_thread().name.startswith("webhook-storage")
        return self.found() if in_flight else super().ask(name, deadline)
