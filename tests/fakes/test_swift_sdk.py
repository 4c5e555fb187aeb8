"""OpenStack's own clients: to the fake Keystone, and to a real Swift beside our preset."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import swiftclient
from keystoneauth1 import exceptions, session
from keystoneauth1.identity import v3
from swiftclient.service import SwiftService, SwiftUploadObject

from tests.fakes import keystone
from tests.fakes.http import Answer
from tests.fakes.keystone import FakeKeystone
from tests.sending.support import HTTPX
from webhook_storage_presets.swift import Swift

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.swift import Swift as SwiftServer

USER = {
    "username": keystone.USER,
    "password": keystone.PASSWORD,
    "user_domain_name": keystone.DOMAIN,
}
PROJECT = {"project_name": keystone.PROJECT, "project_domain_name": keystone.DOMAIN}
CREDENTIAL = {
    "application_credential_id": keystone.CREDENTIAL_ID,
    "application_credential_secret": keystone.CREDENTIAL_SECRET,
}
KEYS = ["a", "a b+\u00e9", "50%25", "a//b", "/lead", "q?#&=", "${X}"]


@pytest.fixture
def fake() -> Iterator[FakeKeystone]:
    """Start a fake Keystone."""
    with FakeKeystone() as server:
        yield server


def log_in(fake: FakeKeystone, **fields: Any) -> session.Session:
    """Return a session of the identity client."""
    kind = v3.ApplicationCredential if "application_credential_id" in fields else v3.Password
    return session.Session(auth=kind(fake.auth_url, **fields))


class TestKeystone:
    """The fake is a Keystone to keystoneauth1."""

    @pytest.mark.parametrize("fields", [{**USER, **PROJECT}, CREDENTIAL], ids=["user", "robot"])
    def test_a_log_in_gives_a_token_and_the_catalog(
        self, fake: FakeKeystone, fields: dict[str, str]
    ) -> None:
        """The client finds the object store by itself."""
        client = log_in(fake, **fields)
        assert fake.given == [client.get_token()]
        assert fake.storage_url == client.get_endpoint(
            service_type="object-store", interface="public", region_name="north"
        )

    @pytest.mark.parametrize(
        "wrong",
        [
            {**USER, **PROJECT, "password": "another"},
            {**USER, **PROJECT, "user_domain_name": "Other"},
            {**USER, **PROJECT, "project_name": "other"},
            {**CREDENTIAL, "application_credential_secret": "another"},
        ],
        ids=["password", "domain", "project", "secret"],
    )
    def test_a_wrong_log_in_is_refused(self, fake: FakeKeystone, wrong: dict[str, str]) -> None:
        """Nobody else gets a token."""
        with pytest.raises(exceptions.Unauthorized):
            log_in(fake, **wrong).get_token()
        assert [] == fake.given

    def test_a_token_that_was_taken_back_is_replaced(self, fake: FakeKeystone) -> None:
        """After a 401 the client logs in again."""
        client = swiftclient.Connection(session=log_in(fake, **USER, **PROJECT), retries=1)
        with contextlib.closing(client):
            client.put_object("c", "a", b"31 rows")
            fake.take_back()
            assert b"31 rows" == client.get_object("c", "a")[1]
        assert 2 == len(fake.given)

    def test_what_swiftclient_stores_we_fetch_and_the_other_way_round(
        self, fake: FakeKeystone
    ) -> None:
        """Both log in at the fake, and find the same object store in its catalog."""
        auth = {"type": "keystone", "auth_url": fake.url, **USER, **PROJECT, "password": "${P}"}
        ours = Swift(container="c", auth=auth)
        theirs = swiftclient.Connection(session=log_in(fake, **USER, **PROJECT), retries=0)
        with HTTPX.sending({"P": keystone.PASSWORD}), contextlib.closing(theirs):
            for key in KEYS:
                ours.put(b"ours", key)
                assert b"ours" == theirs.get_object("c", key)[1]
                theirs.put_object("c", key, b"theirs")
                assert b"theirs" == ours.get(key)
            listed = theirs.get_container("c", full_listing=True)[1]
            assert sorted(KEYS) == sorted(ours.list()) == sorted(item["name"] for item in listed)

    @pytest.mark.parametrize(
        ("headers", "status"),
        [({"etag": "0" * 32}, 422), ({"If-None-Match": "*"}, 412), ({"If-None-Match": "x"}, 400)],
    )
    def test_the_object_store_refuses_as_swift_does(
        self, fake: FakeKeystone, headers: dict[str, str], status: int
    ) -> None:
        """A wrong digest and a condition that does not hold."""
        client = swiftclient.Connection(session=log_in(fake, **USER, **PROJECT), retries=0)
        with contextlib.closing(client):
            client.put_object("c", "a", b"1")
            with pytest.raises(swiftclient.ClientException) as caught:
                client.put_object("c", "a", b"2", headers=headers)
        assert (status, b"1") == (
            caught.value.http_status,
            fake.containers["c"]["a"].data,
        )

    def test_a_fault_is_told(self, fake: FakeKeystone) -> None:
        """What is injected comes in place of a token."""
        fake.inject(Answer(503), path=keystone.TOKENS)
        with pytest.raises(exceptions.ServiceUnavailable):
            log_in(fake, **USER, **PROJECT).get_token()


@pytest.fixture
def options(swift: SwiftServer) -> dict[str, Any]:
    """How OpenStack's client logs in to the real Swift."""
    return {
        "auth_version": "1.0",
        "auth": swift.auth_url,
        "user": swift.user,
        "key": swift.password,
        "retries": 0,
    }


@pytest.fixture
def connection(swift: SwiftServer) -> Iterator[swiftclient.Connection]:
    """A client of the real Swift, with both containers made."""
    client = swiftclient.Connection(swift.auth_url, swift.user, swift.password, retries=0)
    with contextlib.closing(client):
        client.put_container("sdk")
        client.put_container("sdk_segments")
        yield client


@pytest.fixture
def preset(swift: SwiftServer) -> Iterator[Swift]:
    """Our preset in the same container."""
    auth = {
        "type": "swift_temp_auth",
        "auth_url": swift.auth_url,
        "user": swift.user,
        "key": "${KEY}",
    }
    with HTTPX.sending({"KEY": swift.password}):
        yield Swift(container="sdk", auth=auth, multipart_above=1000, part_size=700)


class TestSwift:
    """The same objects, by OpenStack's client and by ours."""

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("data", [b"", b"hello", bytes(2500)], ids=["empty", "one", "segments"])
    def test_what_we_store_the_client_fetches(
        self, connection: swiftclient.Connection, preset: Swift, key: str, data: bytes
    ) -> None:
        """Names and bytes are the same, in one object or in segments."""
        preset.put(data, key)
        assert data == connection.get_object("sdk", key)[1]

    @pytest.mark.parametrize("key", KEYS)
    def test_what_the_client_stores_we_fetch(
        self, connection: swiftclient.Connection, preset: Swift, key: str
    ) -> None:
        """And know by the same ETag."""
        tag = connection.put_object("sdk", key, b"theirs")
        found = preset.stat(key)
        assert found is not None
        assert (b"theirs", tag) == (preset.get(key), found.version)

    @pytest.mark.parametrize("use_slo", [True, False], ids=["slo", "dlo"])
    def test_large_objects_of_the_client_are_fetched(
        self,
        connection: swiftclient.Connection,
        preset: Swift,
        options: dict[str, Any],
        tmp_path: Path,
        use_slo: bool,  # noqa: FBT001 - a parameter of the test
    ) -> None:
        """Their ETag is none of the bytes, and is not taken for one."""
        source = tmp_path / "large"
        source.write_bytes(bytes(range(250)) * 10)
        how = {"segment_size": 700, "use_slo": use_slo, "segment_container": "sdk_segments"}
        item = SwiftUploadObject(str(source), object_name="large")
        with SwiftService(options) as service:
            results = list(service.upload("sdk", [item], how))
        assert all(result["success"] for result in results)
        assert source.read_bytes() == preset.get("large")
        preset.delete("large")

    def test_the_client_knows_our_large_object_for_one(
        self, connection: swiftclient.Connection, preset: Swift
    ) -> None:
        """It is a static large object, and deleting it by us leaves no segment."""
        preset.put(bytes(2500), "ours")
        assert "True" == connection.head_object("sdk", "ours")["x-static-large-object"]
        before = len(connection.get_container("sdk_segments")[1])
        preset.delete("ours")
        assert before - 4 == len(connection.get_container("sdk_segments")[1])

    def test_a_temporary_url_is_the_same_as_the_client_makes(
        self, connection: swiftclient.Connection
    ) -> None:
        """The path is signed as it is, and not as it is encoded."""
        del connection
        from swiftclient.utils import generate_temp_url  # noqa: PLC0415 - for this test only

        from webhook_storage.auth.hmac_url import HmacUrl  # noqa: PLC0415
        from webhook_storage.contracts import Access, WireRequest  # noqa: PLC0415
        from webhook_storage.secret import SecretValue  # noqa: PLC0415

        auth = HmacUrl(key="${K}")
        wire = WireRequest(
            method="PUT", url="http://127.0.0.1/v1/AUTH_test/c/a%20%C3%A9", headers=[]
        )
        signed = auth.sign(wire, Access(secrets={"key": SecretValue("k")})).url
        expires = int(signed.rpartition("=")[2])
        path = "/v1/AUTH_test/c/a \u00e9"
        theirs = generate_temp_url(path, expires, "k", "PUT", absolute=True, digest="sha256")
        assert theirs.partition("?")[2] == signed.partition("?")[2]


def test_a_wrong_key_is_refused(swift: SwiftServer) -> None:
    """By the client as by us."""
    with pytest.raises(swiftclient.ClientException):
        swiftclient.Connection(swift.auth_url, swift.user, "another", retries=0).get_auth()
