"""The Azure preset keeps the promises of every preset, by each kind of credential."""

from __future__ import annotations

import base64
import dataclasses
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas

from tests.fakes.http import NO_ANSWER, Answer, Received
from tests.fakes.relay import Relay
from webhook_storage.testing import PresetCase, PresetSuite
from webhook_storage.testing.preset_case import ODD_KEYS
from webhook_storage_presets.azure import LARGEST, Azure
from webhook_storage_presets.azure.definition import LARGEST_PUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fleet.azurite import Azurite

BLOCK = 64 * 1024
KEYS = (*ODD_KEYS, "a//b", "/a", "a?b#c", "${X}$$", "a:b@c", "trailing ")
REFUSED = ("line\nbreak", "nul\0", "../up", "a/./b", "a\\b", "x" * 1025, "a.", "a./b")
WRONG_KEY = base64.b64encode(b"another key of an account").decode()


@pytest.fixture
def container(azurite: Azurite) -> Iterator[str]:
    """Make a container."""
    name = f"t{uuid.uuid4().hex}"
    with ContainerClient.from_connection_string(azurite.connection_string, name) as client:
        client.create_container()
        yield name


@pytest.fixture
def relay(azurite: Azurite) -> Iterator[Relay]:
    """Stand before Azurite."""
    with Relay(azurite.origin) as server:
        yield server


def once(answer: Answer) -> Callable[[Received], Answer | None]:
    """Return a fault that meets the next request which sends an artifact, or a part of one."""
    left = [answer]

    def fault(request: Received) -> Answer | None:
        return left.pop() if left and request.method == "PUT" else None

    return fault


def case_of(
    storage: Azure, relay: Relay, secrets: dict[str, str], wrong: dict[str, str]
) -> PresetCase:
    """Return what all cases have in common."""
    return PresetCase(
        storage=storage,
        secrets=secrets,
        wrong=wrong,
        elsewhere=storage.model_copy(update={"container": "not-there"}),
        parted=storage.model_copy(update={"blocks_above": BLOCK, "part_size": BLOCK}),
        parted_above=BLOCK,
        largest=LARGEST,
        largest_request=LARGEST_PUT,
        odd_keys=KEYS,
        refused_keys=REFUSED,
        trouble=lambda status: relay.inject(once(Answer(status)), times=None),
        lose=lambda: relay.inject(once(NO_ANSWER), times=None, after=True),
    )


class TestConnectionString(PresetSuite):
    """One secret, in which account, key and endpoint are."""

    @pytest.fixture
    def case(self, azurite: Azurite, relay: Relay, container: str) -> PresetCase:
        """Name the storage by its container and its connection string only."""
        storage = Azure(container=container, connection_string="${CS}")
        texts = (azurite.connection_string, azurite.connection_string_by(WRONG_KEY))
        right, wrong = (text.replace(azurite.origin, relay.url) for text in texts)
        return case_of(storage, relay, {"CS": right}, {"CS": wrong})


class TestAccountKey(PresetSuite):
    """The account is known, and its key is the secret."""

    @pytest.fixture
    def case(self, azurite: Azurite, relay: Relay, container: str) -> PresetCase:
        """Name account and endpoint."""
        storage = Azure(
            container=container,
            account=azurite.account,
            account_key="${KEY}",
            endpoint=f"{relay.url}/{azurite.account}",
        )
        return case_of(storage, relay, {"KEY": azurite.key}, {"KEY": WRONG_KEY})


class TestSharedAccessSignature(PresetSuite):
    """A query that was signed by somebody else, for one container; others are forbidden."""

    @pytest.fixture
    def case(self, azurite: Azurite, relay: Relay, container: str) -> PresetCase:
        """Let the vendor's SDK make it."""

        def sas(key: str) -> str:
            return generate_container_sas(
                azurite.account,
                container,
                key,
                permission=ContainerSasPermissions.from_string("rwdl"),
                expiry=datetime.now(UTC) + timedelta(hours=1),
            )

        endpoint = f"{relay.url}/{azurite.account}"
        storage = Azure(container=container, endpoint=endpoint, sas="${SAS}")
        case = case_of(storage, relay, {"SAS": sas(azurite.key)}, {"SAS": sas(WRONG_KEY)})
        other = storage.model_copy(update={"container": f"o{uuid.uuid4().hex}"})
        return dataclasses.replace(case, elsewhere=None, forbidden=other)
