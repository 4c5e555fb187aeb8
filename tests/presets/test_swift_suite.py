"""The Swift preset keeps the promises of every preset, on a real Swift and a fake Keystone."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.fakes import keystone
from tests.fakes.http import NO_ANSWER, Answer, FakeServer, Received
from tests.fakes.keystone import FakeKeystone
from tests.fakes.relay import Relay
from webhook_storage.testing import PresetCase, PresetSuite, canary
from webhook_storage.testing.preset_case import ODD_KEYS
from webhook_storage_presets.swift import Swift
from webhook_storage_presets.swift.definition import LARGEST
from webhook_storage_presets.swift.slo import MOST_SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fleet.swift import Swift as SwiftServer

PART = 64 * 1024
KEYS = (
    *ODD_KEYS,
    "a//b",
    "/a",
    "a?b#c",
    "${X}$$",
    "a:b@c",
    "trailing ",
    "a\\b",
    "dots.../x.",
    "x/",
)
REFUSED = ("line\nbreak", "nul\0", "../up", "a/./b", "del\x7f")
SEVERAL = {"multipart_above": PART, "part_size": PART}


def case_of(storage: Swift, server: FakeServer, **more: Any) -> PresetCase:
    """Return what all cases have in common."""
    given: dict[str, Any] = {
        "storage": storage,
        "elsewhere": storage.model_copy(update={"container": "nobody-has-made-this"}),
        "replaces": False,
        "parted": storage.model_copy(update=SEVERAL),
        "parted_above": PART,
        "largest": MOST_SEGMENTS * LARGEST,
        "largest_request": LARGEST,
        "odd_keys": KEYS,
        "refused_keys": REFUSED,
        "trouble": lambda status: server.inject(once(Answer(status)), times=None),
        "lose": lambda: server.inject(once(NO_ANSWER), times=None, after=True),
    }
    return PresetCase(**{**given, **more})


def once(answer: Answer) -> Callable[[Received], Answer | None]:
    """Return a fault that meets the next request which sends an artifact, or a part of one."""
    left = [answer]

    def fault(request: Received) -> Answer | None:
        return left.pop() if left and request.method == "PUT" else None

    return fault


@pytest.fixture
def relay(swift: SwiftServer) -> Iterator[Relay]:
    """Stand before Swift, which tells as its own the address by which it was asked."""
    with Relay(swift.url) as server:
        yield server


@pytest.fixture
def account(swift: SwiftServer, relay: Relay) -> tuple[str, str]:
    """Return the storage URL and a new container, with one for segments and a key for URLs."""
    headers = {"X-Auth-User": swift.user, "X-Auth-Key": swift.password}
    found = httpx.get(swift.auth_url, headers=headers, trust_env=False).headers
    url, token = found["x-storage-url"], {"X-Auth-Token": found["x-auth-token"]}
    container = uuid.uuid4().hex
    for name in (container, f"{container}_segments"):
        httpx.put(f"{url}/{name}", headers=token, trust_env=False).raise_for_status()
        key = {**token, "X-Container-Meta-Temp-URL-Key": "key of the container"}
        httpx.post(f"{url}/{name}", headers=key, trust_env=False).raise_for_status()
    return url.replace(swift.url, relay.url), container


class TestTempAuth(PresetSuite):
    """User and key, of which the log-in makes a token and a place; a user may have no right."""

    @pytest.fixture
    def case(self, swift: SwiftServer, relay: Relay, account: tuple[str, str]) -> PresetCase:
        """Name the storage by its container only."""
        auth = {"type": "swift_temp_auth", "auth_url": f"{relay.url}/auth/v1.0"}

        def by(user: str, key: str) -> Swift:
            return Swift(container=account[1], auth={**auth, "user": user, "key": key})

        right = {"KEY": swift.password, "READER": swift.reader_password}
        return case_of(
            by(swift.user, "${KEY}"),
            relay,
            secrets=right,
            wrong={**right, "KEY": canary()},
            forbidden=by(swift.reader, "${READER}"),
        )


class TestTempUrl(PresetSuite):
    """URLs that the key of a container signs, which is good for no other and lists nothing."""

    @pytest.fixture
    def case(self, relay: Relay, account: tuple[str, str]) -> PresetCase:
        """A segment's URL is one of another container, so nothing goes in several pieces."""
        storage = Swift(
            container=account[1],
            storage_url=account[0],
            auth={"type": "hmac_url", "key": "${KEY}"},
        )
        return case_of(
            storage,
            relay,
            secrets={"KEY": "key of the container"},
            wrong={"KEY": canary()},
            forbidden=storage.model_copy(update={"container": "of-another-key"}),
            elsewhere=None,
            parted=None,
            lists=False,
        )


class TestKeystone(PresetSuite):
    """A token of the identity service, whose catalog tells where the containers are."""

    @pytest.fixture
    def case(self) -> Iterator[PresetCase]:
        """Start the fake, with a container that is closed."""
        with FakeKeystone() as fake:
            fake.closed.add("closed")
            auth = {
                "type": "keystone",
                "auth_url": fake.auth_url,
                "application_credential_id": keystone.CREDENTIAL_ID,
                "application_credential_secret": "${SECRET}",
            }
            storage = Swift(container="c", auth=auth)
            yield case_of(
                storage,
                fake,
                secrets={"SECRET": keystone.CREDENTIAL_SECRET},
                wrong={"SECRET": canary()},
                forbidden=storage.model_copy(update={"container": "closed"}),
                trouble=lambda status: fake.inject(once(Answer(status)), path="/v1/", times=None),
            )
