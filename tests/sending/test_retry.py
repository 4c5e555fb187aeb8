"""Sending again: what is repeated, how often, and with what."""

from __future__ import annotations

import asyncio
import io
import time
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer as Fault
from tests.sending.raw import RawServer, always, reply
from tests.sending.support import HTTPX, MODES, Mode, caught, plain
from webhook_storage import RetryPolicy, Sender
from webhook_storage import errors as e
from webhook_storage.contracts import Deadline, Found, Outcome, Resolver
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from webhook_storage.template import Reference

BODY = bytes(range(256)) * 4096
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
sources = pytest.mark.parametrize("source", ["bytes", "file", "generator", "file in its middle"])


@pytest.fixture
def service() -> Iterator[FileService]:
    """A file service for everybody."""
    with FileService() as service:
        yield service


def made(source: str) -> object:
    """Return the body as another kind of source."""
    if source == "generator":
        return (BODY[at : at + 1000] for at in range(0, len(BODY), 1000))
    if source == "bytes":
        return BODY
    file = io.BytesIO((b"skipped" if "middle" in source else b"") + BODY)
    file.seek(7 if "middle" in source else 0)
    return file


@modes
@sources
def test_body_is_the_same_each_time(mode: Mode, service: FileService, source: str) -> None:
    """A server that is busy twice gets the identical body three times."""
    service.inject(Fault(503), times=2)
    with mode.sending(attempts=3):
        mode.call(plain(service.url), "put", made(source), "k")
    assert BODY == service.files["/k"]
    assert 3 == len(service.requests)
    assert 1 == len({(each.sha256, each.size) for each in service.requests})


@modes
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(mode: Mode, service: FileService, status: int) -> None:
    """A status that may pass is tried as often as the policy says, and told with the attempts."""
    service.inject(Fault(status), times=None)
    with mode.sending(attempts=3):
        error = caught(partial(mode.call, plain(service.url), "get", "k"))
    assert isinstance(error, e.ResponseError)
    assert (status, 3) == (error.status, error.attempts)
    assert "after 3 attempts" in str(error)
    assert 3 == len(service.requests)


@modes
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 422, 501, 505, 507])
def test_what_stays_is_not(mode: Mode, service: FileService, status: int) -> None:
    """A status that stays is not tried again."""
    service.inject(Fault(status), times=None)
    with mode.sending(attempts=3):
        assert isinstance(
            caught(partial(mode.call, plain(service.url), "get", "k")), e.ResponseError
        )
    assert 1 == len(service.requests)


@modes
@pytest.mark.parametrize(
    ("method", "idempotent", "attempts"),
    [("PUT", None, 3), ("PUT", False, 1), ("POST", None, 1), ("POST", True, 3)],
)
@pytest.mark.parametrize("fault", ["busy", "lost answer"])
def test_only_what_may_be_repeated(
    mode: Mode,
    service: FileService,
    method: str,
    attempts: int,
    fault: str,
    *,
    idempotent: bool | None,
) -> None:
    """A store that is not idempotent is sent once, whether refused or its answer was lost."""
    if fault == "busy":
        service.inject(Fault(503), times=None)
    else:
        service.lose_answer(times=None)
    storage = plain(service.url, method, with_idempotent=idempotent)
    with mode.sending(attempts=3):
        error = caught(partial(mode.call, storage, "put", BODY, "k"))
    assert (e.ServerError if fault == "busy" else e.ProtocolError) is type(error)
    assert attempts == len(service.requests)


@modes
def test_connection_that_was_never_made(mode: Mode) -> None:
    """Where nothing was sent everything may be repeated."""
    with RawServer(always(reply())).serving() as server:
        origin = server.url
    with mode.sending(attempts=3):
        error = caught(partial(mode.call, plain(origin, "POST"), "put", BODY, "k"))
    assert isinstance(error, e.ConnectError)
    assert 3 == error.attempts


@modes
def test_truncated_answer_is_fetched_anew(mode: Mode) -> None:
    """A body that broke off is fetched again from its start."""
    half = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\nhalf"
    answers = (always(half), always(reply("200 OK", b"complete")))
    with RawServer(*answers).serving() as server, mode.sending(attempts=2):
        assert b"complete" == mode.call(plain(server.url), "get", "k")


# --- pauses --------------------------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would be waited; nobody waits."""
    asked: list[float] = []

    async def anap(seconds: float) -> None:
        """Do not sleep."""
        asked.append(seconds)

    monkeypatch.setattr(time, "sleep", asked.append)
    monkeypatch.setattr(asyncio, "sleep", anap)
    return asked


@modes
@pytest.mark.parametrize(
    ("wish", "low", "high"),
    [
        ("2", 2, 2),
        ("999999", 7, 7),
        (formatdate(4_000_000_000, usegmt=True), 7, 7),
        (formatdate(1, usegmt=True), 0, 0),
        ("soon", 0, 1),
        ("-5", 0, 1),
        ("1e9", 0, 1),
    ],
)
def test_retry_after(
    mode: Mode, service: FileService, pauses: list[float], wish: str, low: float, high: float
) -> None:
    """A server's wish, in seconds or as a date, is granted up to the policy's limit."""
    service.inject(Fault(503, headers={"Retry-After": wish}))
    policy = RetryPolicy(attempts=2, initial_delay=1, max_delay=7)
    with Sender(secrets=[], transport=mode.transport(), retry=policy):
        mode.call(plain(service.url), "put", BODY, "k")
    (pause,) = pauses
    assert low <= pause <= high


@modes
def test_pauses_grow_within_bounds(mode: Mode, service: FileService, pauses: list[float]) -> None:
    """Without a wish pauses are random below a bound that doubles."""
    service.inject(Fault(503), times=None)
    policy = RetryPolicy(attempts=5, initial_delay=1, max_delay=4)
    with Sender(secrets=[], transport=mode.transport(), retry=policy):
        caught(partial(mode.call, plain(service.url), "get", "k"))
    assert 4 == len(pauses)
    assert all(0 <= pause <= bound for pause, bound in zip(pauses, (1, 2, 4, 4), strict=True))


@modes
def test_deadline(mode: Mode, service: FileService, pauses: list[float]) -> None:
    """No attempt is begun after the deadline, however many are left."""
    service.inject(Fault(503, headers={"Retry-After": "20"}), times=None)
    policy = RetryPolicy(attempts=9, deadline=10)
    with Sender(secrets=[], transport=mode.transport(), retry=policy):
        error = caught(partial(mode.call, plain(service.url), "get", "k"))
    assert e.ServerError is type(error)
    assert ([], 1) == (pauses, len(service.requests))


# --- a credential that changed -------------------------------------------------------------------


class Rotating(Resolver):
    """Gives another value of the token each time it is asked."""

    scheme: ClassVar[str] = "rotating"

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked: list[str] = []

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Give the next token, and always the same for other names."""
        return {
            reference: Found(value=SecretValue(self._next(reference.name)))
            for reference in references
        }

    def _next(self, name: str) -> str:
        self.asked.append(name)
        if name != "TOKEN":
            return "constant"
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]


@modes
@pytest.mark.parametrize(
    ("tokens", "stored", "requests", "asked"),
    [
        (("right",), True, 1, 1),
        (("old", "right"), True, 2, 2),
        (("old", "old"), False, 1, 2),
        (("old", "older", "right"), False, 2, 2),
    ],
)
def test_token_that_was_renewed(
    mode: Mode, tokens: tuple[str, ...], requests: int, asked: int, *, stored: bool
) -> None:
    """After a 401 secrets are asked for once more, and only a changed one is sent, once."""
    resolver = Rotating(*tokens)
    with FileService(token="right") as service, mode.sending(resolver=resolver, attempts=4):
        storage = plain(service.url, "POST", headers={"Authorization": "Bearer ${TOKEN}"})
        act = partial(mode.call, storage, "put", BODY, "k")
        if stored:
            act()
        else:
            assert e.AuthenticationError is type(caught(act))
    assert {"/k": BODY} if stored else {} == service.files
    assert (requests, asked) == (len(service.requests), len(resolver.asked))
    assert 1 == len({each.sha256 for each in service.requests})


def test_other_secrets_are_not_asked_for_again() -> None:
    """Only the secrets of the refused request are forgotten."""
    resolver = Rotating("right", "old", "right")
    with FileService(token="right") as service, HTTPX.sending(resolver=resolver):
        other = plain(service.url, headers={"Authorization": "Bearer ${TOKEN}", "X": "${OTHER}"})
        other.put(BODY, "k")
        assert ["OTHER", "TOKEN"] == sorted(resolver.asked)
        service.token = "newer"
        storage = plain(service.url, headers={"Authorization": "Bearer ${TOKEN}"})
        assert e.AuthenticationError is type(caught(partial(storage.put, BODY, "k")))
    assert ["OTHER", "TOKEN", "TOKEN"] == sorted(resolver.asked)
