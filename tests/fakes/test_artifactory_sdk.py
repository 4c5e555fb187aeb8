"""A client that many use stores to the fake Artifactory and fetches from it, and so does ours."""

from __future__ import annotations

import hashlib
import http.client
import io
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from artifactory import ArtifactoryException, ArtifactoryPath

from tests.fakes.artifactory import FakeArtifactory, FakeCloud, File
from tests.sending.support import HTTPX
from webhook_storage_presets.artifactory import Artifactory

if TYPE_CHECKING:
    import requests

Connect = Callable[..., ArtifactoryPath]

SECRETS = {"ARTIFACTORY_TOKEN": "eyJ-sdk-token"}
DATA = [b"", b"hello world", bytes(range(256)) * 5]


@pytest.fixture
def fake() -> Iterator[FakeArtifactory]:
    """Start a fake Artifactory."""
    with FakeArtifactory(token=SECRETS["ARTIFACTORY_TOKEN"]) as server:
        yield server


@pytest.fixture
def connect(fake: FakeArtifactory) -> Iterator[Connect]:
    """Return a maker of the client's paths in the generic repository."""
    sessions: list[requests.Session] = []

    def make(name: str, **credential: Any) -> ArtifactoryPath:
        given = credential or {"token": fake.token}
        path = ArtifactoryPath(f"{fake.base}/generic/{name}", **given)
        path.session.trust_env = False
        sessions.append(path.session)
        return path

    yield make
    for session in sessions:
        session.close()


def _raw(
    fake: FakeArtifactory, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> int:
    """Send a request that the client would not send."""
    connection = http.client.HTTPConnection("127.0.0.1", fake.port)
    try:
        given = {"Authorization": f"Bearer {fake.token}", **headers}
        connection.request(method, f"/artifactory/{path}", body, given)
        return connection.getresponse().status
    finally:
        connection.close()


class TestClient:
    """The client and the fake."""

    @pytest.mark.parametrize("data", DATA)
    def test_what_was_deployed_is_read(self, connect: Connect, data: bytes) -> None:
        """With all checksums, which the fake compares and tells."""
        path = connect("flows/a b.bin")
        path.deploy(io.BytesIO(data), **{n: _digest(n, data) for n in ("md5", "sha1", "sha256")})
        stat = path.stat()
        assert (data, len(data)) == (path.read_bytes(), stat.size)
        assert (_digest("sha1", data), _digest("sha256", data)) == (stat.sha1, stat.sha256)

    def test_properties_are_matrix_parameters(self, connect: Connect) -> None:
        """What was encoded comes back as it was."""
        path = connect("a.bin")
        given = {"stage": "a;b=c d", "tags": ["x", "y,z"]}
        path.deploy(io.BytesIO(b"1"), parameters=given, quote_parameters=True)
        assert {"stage": ["a;b=c d"], "tags": ["x", "y,z"]} == path.properties

    def test_wrong_checksums_are_refused(self, connect: Connect, fake: FakeArtifactory) -> None:
        """Nothing is stored."""
        with pytest.raises(ArtifactoryException, match="Checksum error"):
            connect("a.bin").deploy(io.BytesIO(b"1"), sha256="0" * 64)
        assert {} == fake.files

    def test_known_bytes_are_deployed_by_checksum(
        self, connect: Connect, fake: FakeArtifactory
    ) -> None:
        """Unknown ones are not found."""
        fake.files["other", "x"] = File(b"1")
        connect("a.bin").deploy_by_checksum(sha256=_digest("sha256", b"1"))
        with pytest.raises(ArtifactoryException, match="not found"):
            connect("b.bin").deploy_by_checksum(sha1=_digest("sha1", b"2"))
        assert b"1" == fake.read("a.bin")

    def test_folders_are_walked_and_files_deleted(
        self, connect: Connect, fake: FakeArtifactory
    ) -> None:
        """Parents appear with the file that needs them."""
        fake.files["generic", "a/b/c.bin"] = File(b"1")
        assert (True, False) == (connect("a").is_dir(), connect("a/b/c.bin").is_dir())
        assert ["b"] == [child.name for child in connect("a")]
        connect("a/b/c.bin").unlink()
        assert (False, {}) == (connect("a").exists(), fake.files)

    @pytest.mark.parametrize(
        "credential",
        [
            {"token": SECRETS["ARTIFACTORY_TOKEN"]},
            {"apikey": FakeArtifactory.api_key},
            {"auth": (FakeArtifactory.user, FakeArtifactory.api_key)},
        ],
        ids=["bearer", "api-key", "basic"],
    )
    def test_each_credential_has_a_wrong_twin(
        self, connect: Connect, fake: FakeArtifactory, credential: dict[str, Any]
    ) -> None:
        """Who is not known stores nothing."""
        wrong = {
            name: (value[0], value[1] + "x") if name == "auth" else value + "x"
            for name, value in credential.items()
        }
        with pytest.raises(ArtifactoryException, match="Bad credentials"):
            connect("a.bin", **wrong).deploy(io.BytesIO(b"1"))
        assert {} == fake.files
        connect("a.bin", **credential).deploy(io.BytesIO(b"1"))
        assert b"1" == fake.read("a.bin")

    def test_an_overwrite_needs_the_right(self, connect: Connect, fake: FakeArtifactory) -> None:
        """Without it the answer says so."""
        fake.files["generic", "a.bin"] = File(b"1")
        fake.may_overwrite = False
        with pytest.raises(ArtifactoryException, match="overwrite"):
            connect("a.bin").deploy(io.BytesIO(b"2"))
        assert b"1" == fake.read("a.bin")

    def test_a_cloud_serves_downloads(self, connect: Connect, fake: FakeArtifactory) -> None:
        """By a signed URL, to which the client brings no credential."""
        fake.files["generic", "a.bin"] = File(b"1")
        with FakeCloud(fake) as cloud:
            fake.cloud = cloud.url
            found = connect("a.bin", auth=(fake.user, fake.api_key)).read_bytes()
            assert (b"1", False) == (found, "authorization" in cloud.last.headers)


class TestRefusals:
    """Requests that the client would not send."""

    @pytest.mark.parametrize(
        ("name", "body", "expected"),
        [
            ("a.bin.sha1", File(b"1").checksums["sha1"], 201),
            ("a.bin.sha1", "0" * 40, 409),
            ("b.bin.md5", File(b"1").checksums["md5"], 404),
        ],
    )
    def test_a_side_file_is_no_file(
        self, fake: FakeArtifactory, name: str, body: str, expected: int
    ) -> None:
        """It is compared with the file it belongs to, and not stored."""
        fake.files["generic", "a.bin"] = File(b"1")
        assert expected == _raw(fake, "PUT", f"generic/{name}", {}, body.encode())
        assert [("generic", "a.bin")] == list(fake.files)

    def test_an_archive_may_be_unpacked(self, fake: FakeArtifactory) -> None:
        """Whoever asks for it gets no file."""
        headers = {"X-Explode-Archive": "true"}
        assert 200 == _raw(fake, "PUT", "generic/a.zip", headers, b"PK")
        assert (1, {}) == (fake.exploded, fake.files)

    def test_a_folder_is_deleted_with_all_in_it(self, fake: FakeArtifactory) -> None:
        """One request is enough."""
        fake.files["generic", "a/b"] = File(b"1")
        assert 204 == _raw(fake, "DELETE", "generic/a", {})
        assert {} == fake.files


class TestBoth:
    """The client and the preset."""

    @pytest.mark.parametrize("key", ["a.bin", "flows/ü +%25.bin", "a#b?c.bin"])
    def test_what_one_stores_the_other_reads(
        self, connect: Connect, fake: FakeArtifactory, key: str
    ) -> None:
        """Under the same name, with the same properties."""
        properties = {"stage": "a;b=c d", "by": "é"}
        storage = Artifactory(url=fake.base, repository="generic", properties=properties)
        with HTTPX.sending(SECRETS):
            storage.put(b"ours", key)
            path = connect(key)
            assert (b"ours", {name: [text] for name, text in properties.items()}) == (
                path.read_bytes(),
                path.properties,
            )
            path.deploy(io.BytesIO(b"theirs"), parameters=properties, quote_parameters=True)
            assert b"theirs" == storage.get(key)
            assert [key] == storage.list()
        ours, theirs = fake.received(method="PUT")
        assert sorted(ours.target.split(";")) == sorted(theirs.target.split(";"))


def _digest(name: str, data: bytes) -> str:
    return hashlib.new(name, data).hexdigest()
