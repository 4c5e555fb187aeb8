"""The GCS preset keeps the promises of every preset, on our fake and on an emulator of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.gcs import CHUNK, FakeGcs
from tests.fakes.http import Answer, Received
from tests.resolvers.places import without_proxies
from tests.resolvers.places.gcp import PREFIXES
from webhook_storage.testing import PresetCase, PresetSuite
from webhook_storage.testing.preset_case import ODD_KEYS
from webhook_storage_presets.gcs import GCS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.gcs import GcsEmulator

_LARGEST = 5 * 1024**4
KEYS = (*ODD_KEYS, "a//b", "/a", "${X}$$")


class TestFake(PresetSuite):
    """A service account's key, on the fake that the vendor's client stores to."""

    @pytest.fixture
    def case(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[PresetCase]:
        """Start the fake, with an account and one that is gone."""
        without_proxies(monkeypatch, *PREFIXES)
        with FakeGcs() as fake:
            fake.buckets["closed"] = {}
            fake.closed.add("closed")
            wrong = fake.key_text(fake.add_account("gone"))
            right = fake.key_text(fake.add_account("flows"))
            del fake.tokens.accounts["gone@acme-flows.iam.gserviceaccount.com"]

            def trouble(status: int) -> None:
                def once(request: Received) -> Answer | None:
                    if done or (request.method == "POST" and not request.size):
                        return None
                    done.append(status)
                    return Answer(status)

                done: list[int] = []
                fake.inject(once, path="/upload/", times=None)

            storage = GCS(bucket="flows", endpoint=fake.url, credentials="${KEY}")
            yield PresetCase(
                storage=storage,
                secrets={"KEY": right},
                wrong={"KEY": wrong},
                forbidden=storage.model_copy(update={"bucket": "closed"}),
                elsewhere=storage.model_copy(update={"bucket": "missing"}),
                parted=storage.model_copy(update={"resumable_above": 10, "part_size": CHUNK}),
                parted_above=10,
                largest=_LARGEST,
                odd_keys=KEYS,
                trouble=trouble,
                lose=lambda: fake.lose_answer(path="/upload/"),
            )


class TestEmulator(PresetSuite):
    """Nobody's credentials, on fake-gcs-server, which looks at none."""

    @pytest.fixture
    def case(self, gcs: GcsEmulator) -> PresetCase:
        """Return a storage in its bucket."""
        storage = GCS(bucket=gcs.bucket, endpoint=gcs.url, anonymous=True)
        return PresetCase(
            storage=storage,
            elsewhere=storage.model_copy(update={"bucket": "missing"}),
            parted=storage.model_copy(update={"resumable_above": 10, "part_size": CHUNK}),
            parted_above=10,
            largest=_LARGEST,
        )
