"""webdav4, a WebDAV client, and our storages read what the other one wrote."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from webdav4.client import Client, HTTPError, ResourceAlreadyExists, ResourceNotFound

from tests.fakes.nextcloud import FakeNextcloud
from tests.sending.support import HTTPX
from webhook_storage_presets.webdav import Nextcloud, OwnCloud, WebDAV

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBI = 1024**2
SECRETS = {
    "PASSWORD": "s3cret",
    "NEXTCLOUD_PASSWORD": FakeNextcloud.password,
    "OWNCLOUD_PASSWORD": FakeNextcloud.password,
}
KEYS = ("plain", "a b/c d", "é/ü+", "x;y=1/&")
"""Names that the client can say: of a percent sign it does not know what it is."""


@pytest.fixture(params=["nextcloud", "owncloud"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeNextcloud]:
    """Start a fake of either."""
    with FakeNextcloud(owncloud=request.param == "owncloud") as server:
        yield server


@pytest.fixture
def cloud(fake: FakeNextcloud) -> Any:
    """Return our storage on the fake, which sends what is above 1 MiB in parts."""
    if fake.owncloud:
        return OwnCloud(url=fake.url, user=fake.user, tus_above=MEBI, part_size=MEBI)
    return Nextcloud(url=fake.url, user=fake.user, chunk_above=MEBI, chunk_size=5 * MEBI)


@pytest.fixture
def client(fake: FakeNextcloud) -> Iterator[Client]:
    """Return a client on the fake."""
    client = Client(fake.base, auth=(fake.user.encode(), fake.password.encode()), retry=False)
    with client.http:
        yield client


class TestClouds:
    """Nextcloud and ownCloud."""

    @pytest.mark.parametrize("size", [0, 7, 6 * MEBI + 1])
    @pytest.mark.parametrize("key", KEYS)
    def test_what_we_store_it_reads(self, cloud: Any, client: Client, key: str, size: int) -> None:
        """Bytes, size, version and name, whether in parts or not."""
        data = bytes(size)
        with HTTPX.sending(SECRETS):
            receipt = cloud.put(data, key)
        read = io.BytesIO()
        client.download_fileobj(key, read)
        info = client.info(key)
        assert (data, size, receipt.version) == (
            read.getvalue(),
            info["content_length"],
            info["etag"],
        )
        assert client.isfile(key)

    @pytest.mark.parametrize("key", KEYS)
    def test_what_it_stores_we_read(self, cloud: Any, client: Client, key: str) -> None:
        """In folders that it made."""
        folder, _, _ = key.rpartition("/")
        if folder:
            client.mkdir(folder)
        client.upload_fileobj(io.BytesIO(b"31 rows"), key)
        with HTTPX.sending(SECRETS):
            assert (b"31 rows", [key]) == (cloud.get(key), cloud.list())
            assert client.etag(key) == cloud.stat(key).version
            cloud.delete(key)
        assert not client.exists(key)

    def test_it_sees_what_is_not_there(self, client: Client) -> None:
        """The fake refuses what a server refuses."""
        client.upload_fileobj(io.BytesIO(b"1"), "a")
        with pytest.raises(ResourceNotFound):
            client.info("b")
        with pytest.raises(ResourceAlreadyExists):
            client.upload_fileobj(io.BytesIO(b"2"), "a")
        with pytest.raises(HTTPError):
            client.upload_fileobj(io.BytesIO(b"2"), "no/such/folder")

    def test_a_wrong_password(self, fake: FakeNextcloud) -> None:
        """The fake answers 401."""
        client = Client(fake.base, auth=(fake.user.encode(), b"wrong"), retry=False)
        with client.http, pytest.raises(HTTPError) as raised:
            client.ls("")
        assert 401 == raised.value.status_code


@pytest.mark.parametrize("server", ["apache", "wsgidav"])
class TestServers:
    """Apache and WsgiDAV."""

    def test_both_ways(self, server: str, request: pytest.FixtureRequest) -> None:
        """In folders of which each has made one."""
        dav = request.getfixturevalue(server)
        folder = f"sdk-{uuid4().hex}"
        auth = {"type": "basic", "username": "alice", "password": "${PASSWORD}"}
        storage = WebDAV(url=dav.url, auth=auth, key=f"{folder}/${{artifact.key}}")
        client = Client(dav.url, auth=(dav.user, dav.password), retry=False)
        with client.http, HTTPX.sending(SECRETS):
            storage.put(b"31 rows", "ours/a b+é")
            read = io.BytesIO()
            client.download_fileobj(f"{folder}/ours/a b+é", read)
            client.mkdir(f"{folder}/its")
            client.upload_fileobj(io.BytesIO(b"32 rows"), f"{folder}/its/c d+ü")
            assert (b"31 rows", b"32 rows") == (read.getvalue(), storage.get("its/c d+ü"))
            assert ["its/c d+ü", "ours/a b+é"] == sorted(storage.list())
            client.remove(f"{folder}/ours/a b+é")
            assert not storage.exists("ours/a b+é")
