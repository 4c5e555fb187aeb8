"""Stores on a condition, stores that are looked at afterwards, and stores that count once."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer, Received
from tests.sending.raw import RawServer, always, reply
from tests.sending.support import MODES, Mode, caught, plain
from webhook_storage import Receipt, Webhook
from webhook_storage import errors as e

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.dav import Dav
    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.swift import Swift

OLD, NEW, FOREIGN = b"old" * 500, b"new" * 500, b"somebody else's"
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
both = pytest.mark.parametrize("condition", ["if_absent", "if_unchanged"])


def tag_of(content: bytes) -> str:
    """Return the version that the service calls some content by."""
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


class Service(FileService):
    """A file service that holds conditions (RFC 9110, section 13), and answers by one status."""

    def __init__(self, status: int = 412) -> None:
        super().__init__()
        self.status = status

    def answer(self, request: Received, body: bytes) -> Answer:
        """Do what the method says, if what must hold does."""
        there = self.files.get(request.path)
        if request.method == "PUT":
            wanted = request.headers.get("if-match")
            if "if-none-match" in request.headers and there is not None:
                return Answer(self.status)
            if wanted is not None and (there is None or wanted != tag_of(there)):
                return Answer(self.status)
        return super().answer(request, body)


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that holds conditions."""
    with Service() as service:
        yield service


def storage_of(origin: str, **options: Any) -> Webhook:
    """Return a storage that says that its service holds conditions."""
    return plain(origin, with_conditional_writes=True, **options)


def condition_of(condition: str, content: bytes) -> dict[str, Any]:
    """Return the option of a store."""
    return {"if_absent": True} if condition == "if_absent" else {"if_unchanged": tag_of(content)}


# --- create, and replace nothing ------------------------------------------------------------------


@modes
@pytest.mark.parametrize("status", [409, 412])
def test_only_one_creates(mode: Mode, service: Service, status: int) -> None:
    """The first store creates, the second is told that it is there, and changes nothing."""
    service.status = status
    with mode.sending(attempts=3):
        storage = storage_of(service.url)
        receipt = mode.call(storage, "put", OLD, "k", if_absent=True)
        error = caught(partial(mode.call, storage, "put", NEW, "k", if_absent=True))
    assert e.ObjectExistsError is type(error)
    assert (status, 1) == (error.status, error.attempts)
    reason = "it is there already, and was not to be replaced"
    assert f"PUT {service.url}/${{artifact.key}} answered {status}: {reason}" == str(error)
    assert {"/k": OLD} == service.files
    assert tag_of(OLD) == receipt.version
    stores = [request for request in service.requests if request.method == "PUT"]
    assert ["*", "*"] == [request.headers["if-none-match"] for request in stores]


@modes
def test_a_condition_that_was_not_asked_for(mode: Mode, service: Service) -> None:
    """Without an option the store replaces what is there."""
    with mode.sending():
        for content in (OLD, NEW):
            mode.call(storage_of(service.url), "put", content, "k")
    assert {"/k": NEW} == service.files
    headers = {name for request in service.requests for name in request.headers}
    assert set() == headers & {"if-match", "if-none-match"}


# --- replace one version --------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("by", ["receipt", "stat"])
def test_the_version_that_is_there_is_replaced(mode: Mode, service: Service, by: str) -> None:
    """A receipt, and what the service says of an artifact, know the version."""
    with mode.sending():
        storage = storage_of(service.url)
        receipt = mode.call(storage, "put", OLD, "k")
        known = receipt if by == "receipt" else mode.call(storage, "stat", "k").version
        newer = mode.call(storage, "put", NEW, "k", if_unchanged=known)
        error = caught(partial(mode.call, storage, "put", FOREIGN, "k", if_unchanged=known))
        mode.call(storage, "put", FOREIGN, "k", if_unchanged=newer)
    assert e.ConflictError is type(error)
    assert (412, 1) == (error.status, error.attempts)
    assert "no longer the version that was to be replaced" in str(error)
    assert {"/k": FOREIGN} == service.files
    tags = [request.headers.get("if-match") for request in service.received(method="PUT")]
    assert [None, tag_of(OLD), tag_of(OLD), tag_of(NEW)] == tags


@modes
def test_what_is_gone_has_changed(mode: Mode, service: Service) -> None:
    """An artifact that was deleted is not created again."""
    with mode.sending():
        storage = storage_of(service.url)
        receipt = mode.call(storage, "put", OLD, "k")
        mode.call(storage, "delete", "k")
        error = caught(partial(mode.call, storage, "put", NEW, "k", if_unchanged=receipt))
    assert e.ConflictError is type(error)
    assert {} == service.files


@modes
def test_a_version_is_text(mode: Mode, service: Service) -> None:
    """What looks like a placeholder in a version is none: a service chose it."""
    with mode.sending({"TOKEN": "secret"}):
        error = caught(
            partial(mode.call, storage_of(service.url), "put", NEW, "k", if_unchanged='"${TOKEN}"')
        )
    assert e.ConflictError is type(error)
    assert '"${TOKEN}"' == service.last.headers["if-match"]


# --- conditions that cannot be held ---------------------------------------------------------------

NO_VERSION = Receipt(
    key="k", location="", sha256="", size=0, build_time="2025-03-01t12-00-00-000000z"
)
UNSAID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "create, unsaid": ({}, {"if_absent": True}),
    "replace, unsaid": ({}, {"if_unchanged": '"v1"'}),
    "weak version": ({"with_conditional_writes": True}, {"if_unchanged": 'W/"v1"'}),
    "no version": ({"with_conditional_writes": True}, {"if_unchanged": NO_VERSION}),
    "empty version": ({"with_conditional_writes": True}, {"if_unchanged": ""}),
    "both": ({"with_conditional_writes": True}, {"if_absent": True, "if_unchanged": '"v1"'}),
}


@modes
@pytest.mark.parametrize("case", UNSAID)
def test_a_condition_that_cannot_be_held(mode: Mode, service: Service, case: str) -> None:
    """It is an error with advice, and nothing is sent: to look first would be a race."""
    options, condition = UNSAID[case]
    with mode.sending():
        storage = plain(service.url, **options)
        error = caught(partial(mode.call, storage, "put", NEW, "k", **condition))
    assert e.ConfigurationError is type(error)
    assert error.hint
    assert [] == service.requests


@modes
@pytest.mark.parametrize("verify", ["before", True, ""])
def test_there_is_one_way_to_verify(mode: Mode, service: Service, verify: object) -> None:
    """Another word than 'after' is an error before anything is sent."""
    with mode.sending():
        error = caught(partial(mode.call, storage_of(service.url), "put", NEW, "k", verify=verify))
    assert e.ConfigurationError is type(error)
    assert [] == service.requests


# --- an answer that is lost -----------------------------------------------------------------------


def storing(mode: Mode, service: Service, condition: str, **options: Any) -> Any:
    """Store on a condition that holds; the service may lose answers. Return receipt or error."""
    with mode.sending(attempts=3):
        store = partial(mode.call, storage_of(service.url, **options), "put", NEW, "k")
        try:
            return store(**condition_of(condition, OLD))
        except e.WebhookStorageError as error:
            return error


@modes
@both
def test_our_own_store_is_no_obstacle(mode: Mode, service: Service, condition: str) -> None:
    """When the first attempt stored and its answer was lost, the second one finds its own work."""
    if condition == "if_unchanged":
        service.files["/k"] = OLD
    service.lose_answer()
    receipt = storing(mode, service, condition)
    assert isinstance(receipt, Receipt)
    assert (tag_of(NEW), hashlib.sha256(NEW).hexdigest()) == (receipt.version, receipt.sha256)
    assert ["PUT", "PUT", "GET"] == [request.method for request in service.requests]
    assert {"/k": NEW} == service.files


@modes
@both
@pytest.mark.parametrize("there", [FOREIGN, None], ids=["replaced", "gone"])
def test_somebody_else_was_faster(
    mode: Mode, service: Service, condition: str, there: bytes | None
) -> None:
    """What is there by now is not ours, so the condition has failed."""

    def meanwhile(_: Received) -> Answer:
        service.files.clear()
        if there is not None:
            service.files["/k"] = there
        return Answer(0)

    service.files["/k"] = OLD
    service.inject(meanwhile)
    if there is None:
        service.inject(Answer(412))
    error = storing(mode, service, condition)
    kind = e.ObjectExistsError if condition == "if_absent" else e.ConflictError
    assert kind is type(error)
    assert (412, 2) == (error.status, error.attempts)
    assert ["PUT", "PUT", "GET"] == [request.method for request in service.requests]


@modes
@both
def test_a_first_refusal_needs_no_look(mode: Mode, service: Service, condition: str) -> None:
    """One attempt that is refused has stored nothing, whatever is there."""
    service.files["/k"] = NEW
    error = storing(mode, service, condition)
    assert isinstance(error, (e.ObjectExistsError, e.ConflictError))
    assert ["PUT"] == [request.method for request in service.requests]


@modes
@both
def test_captures_come_with_the_answer_only(mode: Mode, service: Service, condition: str) -> None:
    """Without the answer a receipt would lack what it must hold, so it is an error."""
    if condition == "if_unchanged":
        service.files["/k"] = OLD
    service.lose_answer()
    error = storing(mode, service, condition, with_captures={"tag": "header:ETag"})
    assert isinstance(error, (e.ObjectExistsError, e.ConflictError))
    assert 2 == error.attempts
    assert ["PUT", "PUT"] == [request.method for request in service.requests]


@modes
def test_a_look_that_fails_tells_nothing(mode: Mode, service: Service) -> None:
    """Whether it is ours cannot be known while the service is down, and that is the error."""
    service.lose_answer()
    service.inject(lambda request: Answer(0) if request.method == "GET" else None, times=None)
    error = storing(mode, service, "if_absent")
    assert e.ProtocolError is type(error)
    assert ["PUT", "PUT", "GET", "GET", "GET"] == [each.method for each in service.requests]


# --- real servers ---------------------------------------------------------------------------------


def apache_storage(apache: Dav, origin: str = "") -> Webhook:
    """Return a storage on Apache's WebDAV."""
    return storage_of(origin or apache.url, auth=["${NAME}", "${WORD}"])


def age(apache: Dav, key: str) -> None:
    """Let a file be old: of a change in the same second Apache makes a weak version only."""
    place = apache.data / key
    changed = place.stat().st_mtime - 100
    os.utime(place, (changed, changed))


@modes
def test_apache(mode: Mode, apache: Dav) -> None:
    """Apache creates once, and replaces the version that it is told."""
    key = f"conditional-{mode.name}"
    with mode.sending({"NAME": apache.user, "WORD": apache.password}):
        storage = apache_storage(apache)
        assert mode.call(storage, "put", OLD, key, if_absent=True).version is None
        error = caught(partial(mode.call, storage, "put", NEW, key, if_absent=True))
        assert e.ObjectExistsError is type(error)
        age(apache, key)
        version = mode.call(storage, "stat", key).version
        mode.call(storage, "put", NEW, key, if_unchanged=version)
        error = caught(partial(mode.call, storage, "put", FOREIGN, key, if_unchanged=version))
        assert e.ConflictError is type(error)
        assert NEW == mode.call(storage, "get", key)


@modes
def test_apache_whose_answer_is_lost(mode: Mode, apache: Dav, tcpfault: StartTcpFault) -> None:
    """The store took place, the answer did not come, and the next attempt finds out."""
    key = f"lost-{mode.name}"
    port = int(apache.url.rpartition(":")[2])
    with mode.sending({"NAME": apache.user, "WORD": apache.password}, attempts=3):
        relay = tcpfault(port, "reset", after=0, times=1)
        store = partial(mode.call, apache_storage(apache, relay.url), "put")
        receipt = store(NEW, key, if_absent=True)
        assert relay.connections > 1
        assert NEW == mode.call(apache_storage(apache), "get", receipt)
        relay = tcpfault(port, "reset", after=0, times=1)
        store = partial(mode.call, apache_storage(apache, relay.url), "put")
        error = caught(partial(store, OLD, key, if_absent=True))
        assert e.ObjectExistsError is type(error)
        assert 2 == error.attempts
        assert NEW == mode.call(apache_storage(apache), "get", key)


@modes
def test_swift_creates_once(mode: Mode, swift: Swift) -> None:
    """Swift knows one condition, and holds it."""
    headers = {"X-Auth-User": swift.user, "X-Auth-Key": swift.password}
    login = httpx.get(swift.auth_url, headers=headers, trust_env=False)
    url = f"{login.headers['X-Storage-Url']}/conditional"
    token = login.headers["X-Auth-Token"]
    httpx.put(url, headers={"X-Auth-Token": token}, trust_env=False).raise_for_status()
    with mode.sending({"TOKEN": token}):
        storage = storage_of(url, headers={"X-Auth-Token": "${TOKEN}"})
        mode.call(storage, "put", OLD, mode.name, if_absent=True)
        error = caught(partial(mode.call, storage, "put", NEW, mode.name, if_absent=True))
        assert e.ObjectExistsError is type(error)
        assert OLD == mode.call(storage, "get", mode.name)


# --- flows ----------------------------------------------------------------------------------------


def flow() -> str:
    """Be a flow."""
    return "31 rows"


def built(service: Service) -> Webhook:
    """Return a storage with a flow."""
    place = {"url": f"{service.url}/${{flow.slug}}"}
    storage = Webhook(place, "PUT", place, "GET", conditional_writes=True)
    storage.add_flow(flow)
    return storage


@modes
def test_flows_are_created_once(mode: Mode, service: Service) -> None:
    """Who builds a second time without having seen the first is told so."""
    with mode.sending():
        mode.call(built(service), "build", if_absent=True)
        error = caught(partial(mode.call, built(service), "build", if_absent=True))
    assert e.ObjectExistsError is type(error)
    assert 1 == len(service.files)


@modes
def test_flows_replace_what_the_storage_knows(mode: Mode, service: Service) -> None:
    """The receipts of a storage say which version its next build replaces."""
    with mode.sending():
        ours = built(service)
        error = caught(partial(mode.call, ours, "build", if_unchanged=True))
        assert e.ConfigurationError is type(error)
        assert [] == service.requests
        mode.call(ours, "build", if_absent=True)
        ours.add_flow(flow)
        mode.call(ours, "build", if_unchanged=True)
        (place,) = service.files
        service.files[place] = FOREIGN
        ours.add_flow(flow)
        error = caught(partial(mode.call, ours, "build", if_unchanged=True))
    assert e.ConflictError is type(error)


# --- looked at afterwards -------------------------------------------------------------------------


@modes
def test_what_is_looked_at_is_the_artifact(mode: Mode, service: Service) -> None:
    """After the store it is fetched once, and is what was stored."""
    with mode.sending():
        receipt = mode.call(storage_of(service.url), "put", NEW, "k", verify="after")
    assert (tag_of(NEW), hashlib.sha256(NEW).hexdigest()) == (receipt.version, receipt.sha256)
    assert ["PUT", "GET"] == [request.method for request in service.requests]


@modes
@pytest.mark.parametrize("told", [None, '"of the store"'])
def test_the_version_of_what_was_seen(mode: Mode, told: str | None) -> None:
    """A service that tells no version when it stores tells it when it is looked at."""
    stored = reply("201 Created", b"", **({"ETag": told} if told else {}))
    answers = always(stored), always(reply("200 OK", NEW, ETag='"of the look"'))
    with RawServer(*answers).serving() as server, mode.sending():
        receipt = mode.call(plain(server.url), "put", NEW, "k", verify="after")
    assert (told or '"of the look"') == receipt.version


@modes
@pytest.mark.parametrize("there", [OLD, NEW[:-1], NEW + b"!", b""])
def test_something_else_is_there(mode: Mode, there: bytes) -> None:
    """A service that keeps other bytes than it was sent has not stored the artifact."""
    with RawServer(always(reply()), always(reply("200 OK", there))).serving() as server:
        storage = plain(server.url)
        storage.remember(NO_VERSION)
        with mode.sending(attempts=3):
            error = caught(partial(mode.call, storage, "put", NEW, "k", verify="after"))
    assert e.IntegrityError is type(error)
    assert {"k": NO_VERSION} == storage.receipts
    assert 2 == len(server.calls)


@modes
def test_flows_can_be_looked_at(mode: Mode, service: Service) -> None:
    """A build with `verify` fetches each flow, and one that was altered is no success."""
    with mode.sending():
        mode.call(built(service), "build", verify="after")
        assert ["PUT", "GET"] == [request.method for request in service.requests]
        service.inject(
            lambda request: Answer(200, b"x") if request.method == "GET" else None, times=2
        )
        storage = built(service)
        error = caught(partial(mode.call, storage, "build", verify="after"))
    assert e.IntegrityError is type(error)
    assert {} == storage.receipts


# --- stores that count once -----------------------------------------------------------------------


@modes
@pytest.mark.parametrize(
    ("idempotent", "sent"), [(None, 3), (True, 3), (False, 1)], ids=["unsaid", "yes", "no"]
)
def test_a_header_lets_a_store_be_repeated(
    mode: Mode, service: Service, sent: int, *, idempotent: bool | None
) -> None:
    """All attempts of one store have one value, and the next store has another."""
    storage = plain(
        service.url,
        "POST",
        with_idempotency_header="Idempotency-Key",
        with_idempotent=idempotent,
    )
    service.inject(Answer(503), times=sent - 1 or 1)
    with mode.sending(attempts=3):
        store = partial(mode.call, storage, "put", NEW, "k")
        if idempotent is False:
            assert isinstance(caught(store), e.ServerError)
        else:
            store()
        store()
    keys = [request.headers["idempotency-key"] for request in service.requests]
    assert sent + 1 == len(keys)
    assert 1 == len(set(keys[:-1]))
    assert keys[0] != keys[-1]
    assert 36 == len(keys[0])
