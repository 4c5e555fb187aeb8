"""What the vendor's own SDK writes ours reads, and the other way round."""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobType, ContainerClient, ContentSettings

from tests.sending.support import HTTPX
from webhook_storage.errors import ConflictError, IntegrityError
from webhook_storage_presets.azure import Azure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.azurite import Azurite

KEYS = ("a b/é+", "a%25b", "a//b", "日本?#&=")
BIG = bytes(range(251)) * 1024


@pytest.fixture
def container(azurite: Azurite) -> Iterator[ContainerClient]:
    """Make a container of the SDK, with blocks of 64 KiB."""
    name = f"t{uuid.uuid4().hex}"
    text, size = azurite.connection_string, 64 * 1024
    with ContainerClient.from_connection_string(
        text, name, max_block_size=size, max_single_put_size=size
    ) as client:
        client.create_container()
        yield client


@pytest.fixture
def storage(azurite: Azurite, container: ContainerClient) -> Iterator[Azure]:
    """Return a storage in the same container, with blocks of the same size."""
    with HTTPX.sending({"CS": azurite.connection_string}):
        yield Azure(
            container=container.container_name,
            connection_string="${CS}",
            blocks_above=64 * 1024,
            part_size=64 * 1024,
        )


@pytest.mark.parametrize("data", [b"", b"31 rows", BIG], ids=["empty", "short", "blocks"])
@pytest.mark.parametrize("key", KEYS)
class TestBothWays:
    """Each reads what the other wrote."""

    def test_we_read_what_the_sdk_wrote(
        self, storage: Azure, container: ContainerClient, key: str, data: bytes
    ) -> None:
        """The bytes, the size and the type."""
        settings = ContentSettings(content_type="text/csv")
        container.upload_blob(key, data, content_settings=settings)
        stat = storage.stat(key)
        assert stat is not None
        assert (data, [key], len(data), "text/csv") == (
            storage.get(key),
            storage.list(),
            stat.size,
            stat.content_type,
        )

    def test_the_sdk_reads_what_we_wrote(
        self, storage: Azure, container: ContainerClient, key: str, data: bytes
    ) -> None:
        """The bytes, the version, and the MD5 of the whole, which it compares."""
        receipt = storage.put(data, key)
        found = container.download_blob(key, validate_content=True)
        assert (data, receipt.version) == (found.readall(), found.properties.etag)
        said = bytes(found.properties.content_settings.content_md5 or b"")
        assert hashlib.md5(data, usedforsecurity=False).digest() == said


def test_each_version_is_known_to_the_other(storage: Azure, container: ContainerClient) -> None:
    """A condition of one holds for what the other wrote."""
    receipt = storage.put(b"1", "a")
    container.upload_blob("a", b"2", overwrite=True)
    with pytest.raises(ConflictError):
        storage.put(b"3", "a", if_unchanged=receipt)
    stat = storage.stat("a")
    assert stat is not None
    storage.put(b"3", "a", if_unchanged=stat.version)
    with pytest.raises(HttpResponseError):
        container.upload_blob("a", b"4")
    assert b"3" == storage.get("a")


def test_a_blob_of_another_type_is_left_alone(storage: Azure, container: ContainerClient) -> None:
    """What is appended to is no artifact of ours, and can be read all the same."""
    container.upload_blob("a", b"line\n", blob_type=BlobType.APPENDBLOB)
    assert b"line\n" == storage.get("a")


def test_an_md5_that_is_wrong_is_found(storage: Azure, container: ContainerClient) -> None:
    """The SDK may keep one with a blob, and nobody compared it."""
    blob = container.upload_blob("a", b"1")
    blob.set_http_headers(ContentSettings(content_md5=bytearray(16)))
    with pytest.raises(IntegrityError):
        storage.get("a")


def test_blocks_of_the_sdk_are_not_ours(storage: Azure, container: ContainerClient) -> None:
    """A blob of ours has none of those that it has left behind."""
    block = "c2RrLWJsb2NrLWlkLW9mLTI0LWJ5"
    container.get_blob_client("a").stage_block(block, b"theirs")
    storage.put(BIG, "b")
    committed, _ = container.get_blob_client("b").get_block_list("all")
    assert len(BIG) == sum(each.size for each in committed)


def test_the_server_refuses_a_wrong_key(azurite: Azurite, container: ContainerClient) -> None:
    """Or what it takes would prove nothing."""
    key = base64.b64encode(b"another key").decode()
    text = azurite.connection_string_by(key)
    name = container.container_name
    with (
        ContainerClient.from_connection_string(text, name, retry_total=0) as client,
        pytest.raises(HttpResponseError) as caught,
    ):
        client.upload_blob("a", b"1")
    assert 403 == caught.value.status_code
