"""The Azure preset keeps the promises of every preset, by each kind of credential."""

from __future__ import annotations

import base64
import dataclasses
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas

from tests.fakes.http import Answer, Received
from tests.fakes.relay import Relay
from webhook_storage.testing import PresetCase, PresetSuite
from webhook_storage.testing.preset_case import ODD_KEYS
from webhook_storage_presets.azure import LARGEST, Azure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.azurite import Azurite

BLOCK = 64 * 1024
KEYS = (*ODD_KEYS, "a//b", "/a", "a?b#c", "${X}$$", "a:b@c", "trailing ")
REFUSED = ("line\nbreak", "nul\0", "../up", "a/./b", "a\\b", "x" * 1025)
WRONG_KEY = base64.b64encode(b"another key of an account").decode()


@pytest.fixture
def container(azurite: Azurite) -> Iterator[str]:
    """Make a container."""
    name = f"t{uuid.uuid4().hex}"
    with ContainerClient.from_connection_string(azurite.connection_string, name) as client:
        client.create_container()
        yield name


def case_of(storage: Azure, secrets: dict[str, str], wrong: dict[str, str]) -> PresetCase:
    """Return what all cases have in common."""
    return PresetCase(
        storage=storage,
        secrets=secrets,
        wrong=wrong,
        elsewhere=storage.model_copy(update={"container": "not-there"}),
        parted=storage.model_copy(update={"blocks_above": BLOCK, "part_size": BLOCK}),
        parted_above=BLOCK,
        largest=LARGEST,
        odd_keys=KEYS,
        refused_keys=REFUSED,
    )


class TestConnectionString(PresetSuite):
    """One secret, in which account, key and endpoint are."""

    @pytest.fixture
    def case(self, azurite: Azurite, container: str) -> PresetCase:
        """Name the storage by its container and its connection string only."""
        storage = Azure(container=container, connection_string="${CS}")
        right, wrong = azurite.connection_string, azurite.connection_string_by(WRONG_KEY)
        return case_of(storage, {"CS": right}, {"CS": wrong})


class TestAccountKey(PresetSuite):
    """The account is known, and its key is the secret; trouble comes on demand."""

    @pytest.fixture
    def case(self, azurite: Azurite, container: str) -> Iterator[PresetCase]:
        """Start a relay that refuses a request when it is told to."""
        with Relay(azurite.origin) as relay:
            storage = Azure(
                container=container,
                account=azurite.account,
                account_key="${KEY}",
                endpoint=f"{relay.url}/{azurite.account}",
            )
            case = case_of(storage, {"KEY": azurite.key}, {"KEY": WRONG_KEY})

            def trouble(status: int) -> None:
                def once(request: Received) -> Answer | None:
                    if done or request.method != "PUT":
                        return None
                    done.append(status)
                    return Answer(status)

                done: list[int] = []
                relay.inject(once, times=None)

            yield dataclasses.replace(case, trouble=trouble)


class TestSharedAccessSignature(PresetSuite):
    """A query that was signed by somebody else, for one container."""

    @pytest.fixture
    def case(self, azurite: Azurite, container: str) -> PresetCase:
        """Let the vendor's SDK make it."""

        def sas(key: str) -> str:
            return generate_container_sas(
                azurite.account,
                container,
                key,
                permission=ContainerSasPermissions.from_string("rwdl"),
                expiry=datetime.now(UTC) + timedelta(hours=1),
            )

        storage = Azure(container=container, endpoint=azurite.url, sas="${SAS}")
        case = case_of(storage, {"SAS": sas(azurite.key)}, {"SAS": sas(WRONG_KEY)})
        other = storage.model_copy(update={"container": f"o{uuid.uuid4().hex}"})
        return dataclasses.replace(case, elsewhere=None, forbidden=other)
