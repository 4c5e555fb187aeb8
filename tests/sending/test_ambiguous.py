"""What is told when an answer was lost, or means one of two things."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.sending.support import caught, plain
from webhook_storage import Receipt, RetryPolicy, Sender, Webhook
from webhook_storage.artifact import as_body
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    TimedOutError,
    UnexpectedAnswerError,
)
from webhook_storage.testing import FakeTransport
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Answer: TypeAlias = tuple[int, dict[str, str], bytes]
ORIGIN = "https://files.example.com"
CONTENT = b"the same bytes"


def sending(answers: Iterable[Answer], **options: Any) -> tuple[Sender, FakeTransport]:
    """Return a sender to a service that answers so, one after the other."""
    following = iter(answers)
    service = FakeTransport(lambda _: next(following))
    options = {"retry": RetryPolicy(attempts=9, max_delay=0), "secrets": [], **options}
    return Sender(transport=service, **options), service


def conditional() -> Webhook:
    """Return a storage whose service holds conditions."""
    return plain(ORIGIN, with_conditional_writes=True)


@pytest.mark.parametrize("first", [429, 425])
def test_what_somebody_else_created_is_not_ours(first: int) -> None:
    """An attempt that was turned away stored nothing, so what is there is another's."""
    sender, _ = sending([(first, {}, b""), (412, {}, b""), (200, {}, CONTENT)])
    with sender:
        error = caught(lambda: conditional().put(CONTENT, "k", if_absent=True))
    assert ObjectExistsError is type(error)


@pytest.mark.parametrize(("there", "stored"), [(CONTENT, True), (b"other bytes", False)])
def test_what_a_lost_answer_may_have_created_is_looked_at(there: bytes, *, stored: bool) -> None:
    """After a 502 the artifact may be ours; its bytes tell."""
    sender, _ = sending([(502, {}, b""), (412, {}, b""), (200, {"ETag": '"7"'}, there)])
    put = partial(conditional().put, CONTENT, "k", if_absent=True)
    with sender:
        if stored:
            assert '"7"' == put().version
        else:
            assert ObjectExistsError is type(caught(put))


@pytest.mark.parametrize(
    ("status", "kind"), [(404, ConflictError), (200, ObjectExistsError), (403, ObjectExistsError)]
)
def test_a_409_without_an_artifact_is_about_its_folder(status: int, kind: type[Exception]) -> None:
    """WebDAV answers so when the parent is missing, and then nothing is there already."""
    answers: list[Answer] = [(409, {}, b""), (status, {}, b""), (status, {}, b"")]
    sender, _ = sending(answers)
    with sender:
        error = caught(lambda: conditional().put(CONTENT, "k", if_absent=True))
    assert (kind, ("409",)) == (type(error), getattr(error, "history", None))


@pytest.mark.parametrize(("first", "deleted"), [(502, True), (429, False)])
def test_a_deletion_whose_answer_was_lost(first: int, *, deleted: bool) -> None:
    """What is no longer there when it is deleted again was deleted by the first attempt."""
    sender, _ = sending([(first, {}, b""), (404, {}, b"")])
    with sender:
        if deleted:
            plain(ORIGIN).delete("k")
        else:
            assert ObjectNotFoundError is type(caught(lambda: plain(ORIGIN).delete("k")))


@pytest.mark.parametrize("status", [202, 204, 207])
def test_a_success_that_is_no_artifact(status: int) -> None:
    """An artifact that is not ready, or none, does not pass for an empty one."""
    sender, _ = sending([(status, {}, b"")])
    with sender:
        error = caught(lambda: plain(ORIGIN).get("k"))
    assert UnexpectedAnswerError is type(error)


def test_a_credential_may_expire_more_than_once() -> None:
    """While a download advances, it is renewed as often as need be; without progress once."""
    tag = {"ETag": '"1"'}
    half = {**tag, "Content-Length": "4"}
    rest = {**tag, "Content-Range": "bytes 2-3/4", "Content-Length": "2"}
    last = {**tag, "Content-Range": "bytes 3-3/4"}
    answers = [(401, {}, b""), (200, half, b"ab"), (401, {}, b""), (206, rest, b"c")]
    keys = iter(f"key number {number}" for number in range(9))

    class Changing(MappingResolver):
        def resolve(self, references: Any, deadline: Any) -> Any:
            known = MappingResolver({"KEY": next(keys)})
            return known.resolve(references, deadline)

    storage = plain(ORIGIN, headers={"X-Key": "${KEY}"})
    sender, service = sending([*answers, (401, {}, b""), (206, last, b"d")], secrets=[Changing({})])
    with sender:
        assert b"abcd" == storage.get("k")
    assert 6 == len(service.requests)
    sender, service = sending([(401, {}, b"")] * 9, secrets=[Changing({})])
    with sender:
        assert AuthenticationError is type(caught(lambda: storage.get("k")))
    assert 2 == len(service.requests)


def test_a_refusal_of_one_server_does_not_slow_another() -> None:
    """Servers are told apart by where the requests go, also when a value says it."""
    answers = iter([(429, {"Retry-After": "20"}, b""), *[(200, {}, b"")] * 3])
    service = FakeTransport(lambda _: next(answers))
    retry = RetryPolicy(attempts=1)
    place = {"url": "${BASE}/${artifact.key}"}
    storage = Webhook(place, "PUT", place, "GET")
    values = {"BASE": "https://one.example.com"}
    with Sender(secrets=[MappingResolver(values)], transport=service, retry=retry) as sender:
        caught(lambda: storage.get("k"))
    other = Sender(secrets=[MappingResolver({"BASE": "https://two.example.com"})])
    other._paces = sender._paces
    other._transports, other._retry = sender._transports, retry
    with other:
        assert b"" == storage.get("k")
    assert 2 == len(sender._paces)
    assert not any("example.com" in name for name in sender._paces)


def test_a_file_that_is_replaced_before_it_is_sent(tmp_path: Path) -> None:
    """As many bytes of the new file as the old one had are not stored."""
    path = tmp_path / "source"
    path.write_bytes(b"old")
    body = as_body(path)
    (tmp_path / "new").write_bytes(b"new and longer")
    os.replace(tmp_path / "new", path)  # noqa: PTH105 - as other programs do
    error = caught(lambda: b"".join(body.chunks()))
    assert (IntegrityError, True) == (type(error), "replaced by another file" in str(error))


def test_nothing_is_sent_when_the_time_is_over() -> None:
    """A deletion does not happen after its operation was to be given up."""
    sender, service = sending([(204, {}, b"")], retry=RetryPolicy(total=0.0))
    with sender:
        error = caught(lambda: plain(ORIGIN).delete("k"))
    assert (TimedOutError, []) == (type(error), list(service.requests))


# --- a host that the service chose ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "headers", "goes"),
    [
        ({}, {"X-Key": "${KEY}"}, False),
        ({"redirect_hosts": ["*.example.org"]}, {"X-Key": "${KEY}"}, False),
        ({"redirect_hosts": ["*.example.com"]}, {"X-Key": "${KEY}"}, True),
        ({}, {}, True),
    ],
    ids=["not named", "another is named", "named", "without a secret"],
)
def test_a_secret_goes_to_no_host_that_was_captured(
    options: dict[str, Any], headers: dict[str, str], *, goes: bool
) -> None:
    """A URL from an answer is followed with a credential only where the storage names its host."""
    storage = Webhook(
        {"url": f"{ORIGIN}/items"},
        "POST",
        {"url": "${receipt.place}", "headers": headers},
        "GET",
        captures={"place": "header:Location"},
        **options,
    )
    receipt = Receipt(
        key="", location="", sha256="0" * 64, size=0, build_time="",
        captures={"place": "https://elsewhere.example.com/17"},
    )  # fmt: skip
    sender, service = sending(
        [(200, {}, b"")], secrets=[MappingResolver({"KEY": "a value of this test"})]
    )
    with sender:
        error = caught(lambda: storage.get(receipt))
    assert (IntegrityError if goes else ConfigurationError) is type(error)
    assert goes == bool(service.requests)
