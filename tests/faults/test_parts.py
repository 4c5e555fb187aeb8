"""Uploads in parts: what breaks is one part, and an upload that fails leaves nothing behind."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import pytest

from tests.faults.parted import ALL, HEADERS, PART, Parted, in_registry
from tests.faults.seen import Seen, upload
from tests.sending.support import HTTPX, HTTPX_ASYNC, REQUESTS, Mode
from webhook_storage import RetryPolicy
from webhook_storage.contracts import Found, Resolver
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tests.faults.conftest import TakeRow
    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.registry import Registry
    from tests.fleet.tcpfault import Mode as Break
    from webhook_storage.contracts import Deadline, Outcome
    from webhook_storage.template import Reference

modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC, REQUESTS], ids=lambda mode: mode.name)
ONCE = RetryPolicy(attempts=1)
ANSWERS = 1500
"""Bytes that are answered before one of the parts in the middle is."""

WITHIN = 30.0


class Case(NamedTuple):
    """A fault of the relay, what is to come of it, and how many bytes are sent again."""

    server: str
    fault: str
    mode: Break
    expected: Seen
    again: int


def committed(registry: Registry, known: Collection[str]) -> None:
    """Wait until a registry has done with the half of a part that came."""

    def halves() -> list[int]:
        found = registry.uploads().items()
        return [size % PART for name, size in found if name not in known]

    deadline = time.monotonic() + WITHIN
    while not any(halves()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


ANEW, AGAIN = "new, begun anew", "new, one part again"
WITHIN_A_PART = ALL // 2
CASES = [
    Case(
        "registry_parts", "reset within a part", "reset-upload", Seen("stored", 1, ANEW), ALL // 2
    ),
    Case("swift_parts", "reset within a part", "reset-upload", Seen("stored", 2, AGAIN), PART // 2),
    Case("registry_parts", "answer to a part lost", "reset", Seen("stored", 1, ANEW), PART * 2),
    Case("swift_parts", "answer to a part lost", "reset", Seen("stored", 2, AGAIN), PART),
]


@modes
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.server}: {case.fault}")
def test_broken_part(
    request: pytest.FixtureRequest,
    registry: Registry,
    mode: Mode,
    case: Case,
    tcpfault: StartTcpFault,
    row: TakeRow,
) -> None:
    """What breaks is sent again alone, where the server still has the others.

    docker-registry 2.8 forgets an upload of which it is asked by any but its latest URL.
    """
    place, at, _ = request.getfixturevalue(case.server)
    within = case.mode == "reset-upload"
    relay = tcpfault(
        place.port,
        case.mode,
        WITHIN_A_PART if within else ANSWERS,
        times=1,
        meanwhile=partial(committed, registry, registry.uploads())
        if within and place.name != "Swift"
        else None,
    )
    seen = upload(place, mode, at(relay.url))
    assert case.again <= relay.asked - ALL < case.again + HEADERS
    assert ("stored", "new") == (seen.outcome, seen.bytes)
    seen = seen._replace(bytes=case.expected.bytes)
    assert case.expected == seen, seen
    row(f"upload in parts, {case.fault}, the first time", "up", place.name, seen)


@modes
def test_no_part_arrives(
    swift_parts: Parted, mode: Mode, tcpfault: StartTcpFault, row: TakeRow
) -> None:
    """An upload that fails is aborted, and leaves nothing at the service."""
    place, at, parts = swift_parts
    before = parts()
    relay = tcpfault(place.port, "reset-upload", PART * 3 // 2)
    seen = upload(place, mode, at(relay.url), retry=ONCE)
    assert before == parts()
    assert Seen("ProtocolError", 1, "old") == seen, seen
    row("upload in parts, reset within the second part", "up", place.name, seen)


class Changed(Resolver):
    """Knows one password, and from the second time that it is asked for another one."""

    scheme: ClassVar[str] = "changed"

    def __init__(self, user: str, *passwords: str) -> None:
        """Keep them."""
        self._user, self._passwords = user, list(passwords)

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Give what is known now."""
        found = {"REGISTRY_USER": self._user, "REGISTRY_PASSWORD": self._passwords[0]}
        if len(self._passwords) > 1:
            del self._passwords[0]
        return {each: Found(value=SecretValue(found[each.name])) for each in references}


@modes
def test_password_changed(
    mortal_registry: Registry, mode: Mode, tcpfault: StartTcpFault, row: TakeRow
) -> None:
    """A credential that ends in the middle of an upload is asked for anew."""
    place, at, _ = in_registry(mortal_registry)
    relay = tcpfault(
        place.port, "reset", ANSWERS, times=1, meanwhile=mortal_registry.change_password
    )
    resolver = Changed(
        mortal_registry.user, mortal_registry.password, mortal_registry.other_password
    )
    restore = partial(mortal_registry.change_password, back=True)
    seen = upload(place, mode, at(relay.url), resolver=resolver, settle=restore)
    assert Seen("stored", 2, "new") == seen, seen
    row("upload in parts, credential expired in the middle", "up", place.name, seen)
