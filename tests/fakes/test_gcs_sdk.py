"""Google's own client stores to the fake and fetches from it, and what it stores ours fetches."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError
from google.cloud.storage import Client
from google.oauth2.credentials import Credentials

from tests.fakes.gcs import CHUNK, READ_ONLY, FakeGcs, md5
from tests.fakes.http import json_answer
from tests.resolvers.places import without_proxies
from tests.sending.support import HTTPX
from webhook_storage_presets.gcs import GCS

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = ["a", "a b/c+d", "é/ü.bin", "50%/%25", "a//b", "/a", "q?x=1&y#z", "${X}$$"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    """Start Cloud Storage with one bucket."""
    without_proxies(monkeypatch, "GOOGLE_", "GCE_", "CLOUDSDK_", "STORAGE_")
    with FakeGcs() as place:
        yield place


def bucket(fake: FakeGcs, token: str | None = None, name: str = "flows") -> Any:
    """Return a bucket of the official client, which tries once."""
    credentials: Any = Credentials(token=token or fake.token())  # type: ignore[no-untyped-call]
    client = Client(
        project="acme-flows", credentials=credentials, client_options={"api_endpoint": fake.url}
    )
    return client.bucket(name)


def ours(fake: FakeGcs, **options: Any) -> GCS:
    """Return a storage of ours on the same bucket."""
    return GCS(
        bucket="flows",
        endpoint=fake.url,
        auth={"type": "bearer", "token": "${TOKEN}"},
        **options,
    )


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("data", [b"", b"31 rows", bytes(range(256)) * 4096], ids=len)
def test_what_theirs_stores_ours_fetches(fake: FakeGcs, key: str, data: bytes) -> None:
    """By one request, with any name."""
    bucket(fake).blob(key).upload_from_string(data, retry=None)
    with HTTPX.sending({"TOKEN": fake.token()}):
        assert (data, [key]) == (ours(fake).get(key), ours(fake).list())


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("above", [0, CHUNK * 64], ids=["in parts", "at once"])
@pytest.mark.parametrize("data", [b"", b"31 rows", bytes(range(256)) * 4096], ids=len)
def test_what_ours_stores_theirs_fetches(fake: FakeGcs, key: str, data: bytes, above: int) -> None:
    """The client compares the checksums that it is told."""
    with HTTPX.sending({"TOKEN": fake.token()}):
        receipt = ours(fake, resumable_above=above, part_size=CHUNK).put(data, key)
    blob = bucket(fake).get_blob(key, retry=None)
    assert data == blob.download_as_bytes(retry=None)
    assert (receipt.version, md5(data)) == (str(blob.generation), blob.md5_hash)


def test_theirs_in_parts(fake: FakeGcs) -> None:
    """The client begins an upload and sends chunk after chunk, which ours fetches."""
    data = bytes(range(256)) * 4096 + b"end"
    blob = bucket(fake).blob("a", chunk_size=2 * CHUNK)
    blob.upload_from_file(io.BytesIO(data), retry=None)
    puts = fake.received("/upload/", "PUT")
    assert [2 * CHUNK, 2 * CHUNK, 3] == [request.size for request in puts]
    with HTTPX.sending({"TOKEN": fake.token()}):
        assert data == ours(fake).get("a")


def test_packed_objects_are_unpacked_for_theirs(fake: FakeGcs) -> None:
    """The client takes gzip and unpacks it, unless told not to; who does not take it gets it so."""
    packed = gzip.compress(b"31 rows")
    fake.put("a", packed, content_encoding="gzip")
    blob = bucket(fake).blob("a")
    assert b"31 rows" == blob.download_as_bytes(retry=None)
    assert packed == blob.download_as_bytes(retry=None, raw_download=True)
    url = f"{fake.url}/storage/v1/b/flows/o/a?alt=media"
    headers = {"Authorization": f"Bearer {fake.token()}", "Accept-Encoding": "identity"}
    assert b"31 rows" == httpx.get(url, headers=headers).content


def test_conditions(fake: FakeGcs) -> None:
    """To create and to replace, when it holds and when it does not."""
    blob = bucket(fake).blob("a")
    blob.upload_from_string(b"1", if_generation_match=0, retry=None)
    first = blob.generation
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string(b"2", if_generation_match=0, retry=None)
    blob.upload_from_string(b"2", if_generation_match=first, retry=None)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string(b"3", if_generation_match=first, retry=None)
    assert b"2" == fake.data("a")


def test_older_generations(fake: FakeGcs) -> None:
    """They are there in a bucket that keeps them, and gone in another one."""
    first, _ = fake.put("a", b"1"), fake.put("a", b"2")
    sdk = bucket(fake)
    with pytest.raises(exceptions.NotFound):
        sdk.blob("a", generation=first.generation).download_as_bytes(retry=None)
    fake.versioned.add("flows")
    second = fake.buckets["flows"]["a"][0]
    fake.put("a", b"3")
    assert b"2" == sdk.blob("a", generation=second.generation).download_as_bytes(retry=None)
    assert b"3" == sdk.blob("a").download_as_bytes(retry=None)


@pytest.mark.parametrize("checksum", ["md5", "crc32c"])
def test_damage_on_the_way_is_found(fake: FakeGcs, checksum: str) -> None:
    """Wrong checksums store nothing, and the client finds them in what it fetches."""
    name = {"md5": "md5Hash", "crc32c": "crc32c"}[checksum]
    described = f'{{"name": "a", "{name}": "AAAAAA=="}}'
    body = f"--b\r\nContent-Type: application/json\r\n\r\n{described}\r\n--b\r\n\r\nx\r\n--b--"
    answer = httpx.post(
        f"{fake.url}/upload/storage/v1/b/flows/o?uploadType=multipart",
        content=body,
        headers={
            "Authorization": f"Bearer {fake.token()}",
            "Content-Type": "multipart/related; boundary=b",
        },
    )
    assert (400, "invalid") == (answer.status_code, answer.json()["error"]["errors"][0]["reason"])
    assert {} == fake.buckets["flows"]


def test_list_over_pages(fake: FakeGcs) -> None:
    """The client follows the tokens."""
    fake.page = 2
    for name in ("a/1", "a/2", "a/3", "b"):
        fake.put(name, b"")
    names = [blob.name for blob in bucket(fake).list_blobs(prefix="a/", retry=None)]
    assert ["a/1", "a/2", "a/3"] == names


@pytest.mark.parametrize("operation", ["upload", "download", "delete", "list"])
def test_wrong_tokens(fake: FakeGcs, operation: str) -> None:
    """An unknown token, one that may only read, one without the right, and a wrong bucket."""
    fake.put("a", b"x")

    def act(sdk: Any) -> None:
        calls: dict[str, Any] = {
            "upload": lambda: sdk.blob("a").upload_from_string(b"y", retry=None),
            "download": lambda: sdk.blob("a").download_as_bytes(retry=None),
            "delete": lambda: sdk.blob("a").delete(retry=None),
            "list": lambda: list(sdk.list_blobs(retry=None)),
        }
        calls[operation]()

    with pytest.raises(RefreshError):  # after a 401 the client wants another token
        act(bucket(fake, fake.token() + "x"))
    with pytest.raises(exceptions.Forbidden):
        act(bucket(fake, fake.token("update")))
    with pytest.raises(exceptions.NotFound):
        act(bucket(fake, name="other"))
    if operation in {"upload", "delete"}:
        with pytest.raises(exceptions.Forbidden):
            act(bucket(fake, fake.token(scope=READ_ONLY)))
    assert b"x" == fake.data("a")


def test_missing_objects(fake: FakeGcs) -> None:
    """They are told to who may list, else forbidden."""
    assert not bucket(fake).blob("a").exists(retry=None)
    with pytest.raises(exceptions.NotFound):
        bucket(fake).blob("a").delete(retry=None)
    with pytest.raises(exceptions.Forbidden):
        bucket(fake, fake.token("get")).blob("a").download_as_bytes(retry=None)


@pytest.mark.parametrize(
    ("span", "size", "status"),
    [
        ("bytes 0-262143/600000", 262144, 308),
        ("bytes 0-99/600000", 100, 400),
        ("bytes 262144-524287/600000", 262144, 400),
        ("bytes 0-262143/600000", 262143, 400),
        ("bytes 0-262143/262144", 262144, 400),
        ("bytes */600000", 0, 308),
        ("bytes */600000", 1, 400),
        ("octets 0-1/2", 2, 400),
    ],
)
def test_parts_are_looked_at(fake: FakeGcs, span: str, size: int, status: int) -> None:
    """A part begins where the last one ended, is a multiple of 256 KiB, and fits the total."""
    begun = httpx.post(
        f"{fake.url}/upload/storage/v1/b/flows/o?uploadType=resumable&name=a",
        headers={"Authorization": f"Bearer {fake.token()}", "X-Upload-Content-Length": "600000"},
    )
    url = begun.headers["location"]
    answer = httpx.put(url, content=b"x" * size, headers={"Content-Range": span})
    assert (200, status) == (begun.status_code, answer.status_code)
    assert 499 == httpx.delete(url).status_code
    assert 404 == httpx.put(url, headers={"Content-Range": "bytes */600000"}).status_code


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "x" * 1025, ".", "..", ""])
def test_names_that_no_object_has(fake: FakeGcs, name: str) -> None:
    """They are refused."""
    answer = httpx.post(
        f"{fake.url}/upload/storage/v1/b/flows/o",
        params={"uploadType": "media", "name": name},
        headers={"Authorization": f"Bearer {fake.token()}"},
        content=b"x",
    )
    assert 400 == answer.status_code


def test_a_fault_is_told(fake: FakeGcs) -> None:
    """Trouble on demand reaches the client."""
    fake.inject(json_answer(503, {}), path="/upload/")
    with pytest.raises(exceptions.ServiceUnavailable):
        bucket(fake).blob("a").upload_from_string(b"x", retry=None)
