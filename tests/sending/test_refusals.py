"""What a caller is told when nothing could be sent, or a success was none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tests.sending.raw import RawServer, always, reply
from tests.sending.support import ALL_MODES, HTTPX, HTTPX_ASYNC, Mode, caught, plain
from webhook_storage import errors as e
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference

modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)


class Answering(Resolver):
    """Answers each name with an outcome."""

    scheme: ClassVar[str] = "answering"

    def __init__(self, **outcomes: Outcome) -> None:
        self.outcomes = outcomes

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Look the outcome up."""
        return {each: self.outcomes.get(each.name, NotFound("no such name")) for each in references}


def refused(mode: Mode, template: str, **outcomes: Outcome) -> Any:
    """Return the error for a template, having seen that nothing was sent."""
    with RawServer(always(reply())).serving() as server:
        storage = plain(server.url, headers={"X": template})
        with mode.sending(resolver=Answering(**outcomes)):
            error = caught(partial(mode.call, storage, "put", b"x", "k"))
        assert 0 == server.connections
    return error


@modes
@pytest.mark.parametrize(
    ("outcome", "kind", "words"),
    [
        (
            Forbidden("by policy"),
            e.SecretForbiddenError,
            "may not be read (asked: answering; by policy)",
        ),
        (Forbidden("x", maybe_missing=True), e.SecretForbiddenError, "x, or does not exist"),
        (Forbidden(maybe_missing=True), e.SecretForbiddenError, "or does not exist"),
        (
            Unavailable("down"),
            e.SecretUnavailableError,
            "not be asked for (asked: answering; down)",
        ),
        (Invalid("no name"), e.SecretInvalidError, "no name"),
        (NotFound("gone"), e.SecretNotFoundError, "${A} is missing (asked: answering; gone)"),
    ],
)
def test_outcomes(mode: Mode, outcome: Outcome, kind: type[e.SecretError], words: str) -> None:
    """Each outcome but a value is an error of its own, with the reason and who was asked."""
    error = refused(mode, "${A}", A=outcome)
    assert kind is type(error)
    assert words in str(error)
    assert (("A",), True) == (error.names, bool(error.hint))


@modes
def test_a_default_is_for_what_is_absent(mode: Mode) -> None:
    """What could not be asked for is no reason to go on with a default."""
    error = refused(mode, "${A:-default}", A=Unavailable("down"))
    assert e.SecretUnavailableError is type(error)


@modes
def test_what_to_mend_first_comes_first(mode: Mode) -> None:
    """Of several faults the one that waiting does not mend is told, for all its placeholders."""
    error = refused(
        mode, "${A}${B}${C}${D}", A=Unavailable(), B=Invalid("1"), C=Forbidden(), D=Invalid("2")
    )
    assert (e.SecretInvalidError, ("B", "D")) == (type(error), error.names)


@modes
def test_someone_who_is_not_there(mode: Mode) -> None:
    """A resolver that nobody configured is named, with those that are."""
    error = refused(mode, "${vault:a/b#c}")
    assert e.SecretInvalidError is type(error)
    assert "answering" in str(error)


@modes
@pytest.mark.parametrize("template", ["${receipt.id}", "${flow.name}"])
def test_facts_that_are_not_known(mode: Mode, template: str) -> None:
    """A fact that this operation does not have is a fault of the definition."""
    error = refused(mode, template)
    assert isinstance(error, e.ConfigurationError)
    assert (True, True) == (template in str(error), bool(error.hint))


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("200 OK", e.UnexpectedAnswerError),
        ("204 No", e.UnexpectedAnswerError),
        ("418 T", e.ResponseError),
        ("201 Yes", None),
        ("299 Odd", None),
    ],
)
def test_accepted_statuses(mode: Mode, status: str, kind: type[Exception] | None) -> None:
    """Where the definition says which statuses are a success, no other is one."""
    with RawServer(always(reply(status))).serving() as server, mode.sending():
        storage = plain(server.url, with_accept_statuses=[201, 299])
        if kind is None:
            mode.call(storage, "put", b"x", "k")
        else:
            assert kind is type(caught(partial(mode.call, storage, "put", b"x", "k")))


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
def test_status_without_a_name(mode: Mode) -> None:
    """A status that nobody knows is told by its number."""
    with RawServer(always(reply("499 Own", b"why"))).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "get", "k"))
    assert str(error).endswith("answered 499: why")


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
def test_scheme_that_nobody_speaks(mode: Mode) -> None:
    """A scheme for which there is no transport is a fault of the definition, before sending."""
    with mode.sending():
        error = caught(partial(mode.call, plain("gopher://h"), "get", "k"))
    assert isinstance(error, e.ConfigurationError)
