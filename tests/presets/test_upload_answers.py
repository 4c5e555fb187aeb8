"""What services may answer to an upload in parts where no server or fake here does."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tests.sending.support import IN_TESTS, caught
from webhook_storage import Sender
from webhook_storage.artifact import BytesBody
from webhook_storage.contracts import PLAIN, Exchange, Response, StoreOptions
from webhook_storage.errors import (
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    ResponseError,
    UnexpectedAnswerError,
)
from webhook_storage.testing import FakeTransport
from webhook_storage.upload.parts import PartBody
from webhook_storage_presets.azure import Azure
from webhook_storage_presets.azure.blocks import BlockUpload
from webhook_storage_presets.gcs import GCS
from webhook_storage_presets.gcs.resumable import GcsUpload
from webhook_storage_presets.swift import Swift
from webhook_storage_presets.swift.slo import SloUpload
from webhook_storage_presets.webdav import Nextcloud, OwnCloud
from webhook_storage_presets.webdav.chunks import ChunkedUpload
from webhook_storage_presets.webdav.tus import TusUpload
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Mapping

Answer = tuple[int, "Mapping[str, str]", bytes]
DATA = b"31 rows"
BODY = BytesBody(DATA)
FACTS = {"artifact.key": "a"}
GONE: Answer = (404, {}, b"")
OTHER = StoreOptions(if_version='"of-earlier"')


class Wire:
    """Answers in their order; what is asked after them is a fault of the test.

    Attributes:
        transport: What was asked.
    """

    def __init__(self, *answers: Answer) -> None:
        left = list(answers)
        self.transport = FakeTransport(lambda _: left.pop(0))

    def run(self, exchange: Exchange[Any]) -> Any:
        """Carry an exchange out."""
        secrets = [MappingResolver({"S": "secret-of-this-test"})]
        with Sender(secrets=secrets, transport=self.transport, network=IN_TESTS) as sender:
            return sender.run(exchange)

    @property
    def methods(self) -> list[str]:
        """What was asked."""
        return [request.method for request in self.transport.requests]


# --- Azure ---------------------------------------------------------------------------------------


class TestAzureBlocks:
    """Blocks that wait to be made a blob."""

    state: ClassVar[dict[str, str]] = {"prefix": "0" * 16}

    def upload(self) -> BlockUpload:
        """Return an upload of one block."""
        auth = {"type": "bearer", "token": "${S}"}
        azure = Azure(container="flows", endpoint="https://blobs.test", auth=auth)
        return BlockUpload(azure._api, FACTS, PLAIN)

    def test_a_blob_that_is_not_there_has_no_upload(self) -> None:
        """Nothing is known of its blocks any more."""
        missing: Answer = (404, {"x-ms-error-code": "BlobNotFound"}, b"")
        assert Wire(missing).run(self.upload().status(self.state, {1: "x"})) is None

    def test_a_container_that_is_not_there_is_told(self) -> None:
        """It is no upload that has ended."""
        missing: Answer = (404, {"x-ms-error-code": "ContainerNotFound"}, b"")
        wire = Wire(missing)
        error = caught(lambda: wire.run(self.upload().status(self.state, {1: "x"})))
        assert isinstance(error, ResponseError)
        assert "container" in f"{error} {error.hint}"

    @pytest.mark.parametrize("page", [b"<html></html>", b"welcome", b""])
    def test_a_list_that_is_none(self, page: bytes) -> None:
        """A page of somebody between is told as such."""
        wire = Wire((200, {"Content-Type": "application/xml"}, page))
        with pytest.raises(UnexpectedAnswerError):
            wire.run(self.upload().status(self.state, {1: "x"}))


# --- Google --------------------------------------------------------------------------------------


class TestGcsSession:
    """Sessions that end in other ways than expected."""

    state: ClassVar[dict[str, str]] = {
        "url": "https://gcs.test/upload/storage/v1/b/flows/o?upload_id=x"
    }

    def upload(self) -> GcsUpload:
        """Return an upload whose bytes were all read."""
        auth = {"type": "bearer", "token": "${S}"}
        storage = GCS(bucket="flows", endpoint="https://gcs.test", auth=auth)
        upload = GcsUpload(storage._api, FACTS, PLAIN, len(DATA))
        upload.measure(DATA)
        return upload

    def object(self, **fields: str) -> Answer:
        """Return what is told of this object, or of one that differs in a field."""
        said = {"name": "a", "bucket": "flows", "generation": "7", "size": str(len(DATA))}
        other = {"md5Hash": "W25CtKJ8uPgyYyy24kbLgw=="}
        text = json.dumps({**said, **other, **fields})
        return 200, {"Content-Type": "application/json"}, text.encode()

    def test_no_place_is_no_session(self) -> None:
        """There is nowhere to send anything to."""
        with pytest.raises(UnexpectedAnswerError, match="without a Location"):
            Wire((200, {}, b"")).run(self.upload().begin())

    def test_a_session_that_is_gone(self) -> None:
        """It begins anew."""
        assert Wire(GONE).run(self.upload().status(self.state)) is None

    def test_all_was_sent_and_there_is_no_object(self) -> None:
        """That is no success."""
        waiting: Answer = (308, {"Range": f"bytes=0-{len(DATA) - 1}"}, b"")
        with pytest.raises(ObjectNotFoundError, match="made no object"):
            Wire(waiting).run(self.upload().finish(self.state))

    def test_what_is_there_already(self) -> None:
        """It is this one by size and MD5 only."""
        md5 = hashlib.md5(DATA, usedforsecurity=False).digest()
        right = self.object(md5Hash=base64.b64encode(md5).decode())
        assert Wire(right).run(self.upload().stored()).generation == "7"
        assert Wire(GONE).run(self.upload().stored()) is None
        assert Wire(self.object()).run(self.upload().stored()) is None


# --- Nextcloud, ownCloud -------------------------------------------------------------------------


def listed(*entries: tuple[str, str], status: int = 207) -> Answer:
    """Return what a server tells of files and their properties."""
    texts = "".join(
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{properties}</d:prop>"
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
        for href, properties in entries
    )
    text = (
        f'<d:multistatus xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns">{texts}</d:multistatus>'
    )
    return status, {"Content-Type": "application/xml"}, text.encode()


class TestNextcloudChunks:
    """Chunks that are made a file, or not."""

    state: ClassVar[dict[str, str]] = {"upload": f"webhook-storage-{'0' * 32}"}
    file = "/remote.php/dav/files/me/a"

    def upload(self, options: StoreOptions = PLAIN, same: Response | None = None) -> ChunkedUpload:
        """Return an upload; `same` is what a fetch of the file finds to be this body."""

        def fetched() -> Exchange[Response | None]:
            yield from ()
            return same

        storage = Nextcloud(url="https://cloud.test", user="me", password="${S}")
        uploads = "https://cloud.test/remote.php/dav/uploads/me"
        return ChunkedUpload(storage._api, uploads, BODY, FACTS, options, fetched)

    def properties(self, *, size: int = len(DATA), more: str = "") -> Answer:
        """Return those of the file."""
        told = f'<d:getcontentlength>{size}</d:getcontentlength><d:getetag>"e"</d:getetag>{more}'
        return listed((self.file, told))

    def test_a_folder_that_somebody_else_made(self) -> None:
        """Its name was made up just now, so a 405 that is no repetition is a refusal."""
        answers: list[Answer] = [(405, {}, b"")] * 4
        error = caught(lambda: Wire(*answers).run(self.upload().begin()))
        assert isinstance(error, ResponseError)

    def test_chunks_that_are_still_being_put_together(self) -> None:
        """A lock is waited for; then the file is there, with the checksum that came with it."""
        digest = f"<oc:checksums><oc:checksum>SHA256:{BODY.sha256()}</oc:checksum></oc:checksums>"
        wire = Wire((423, {}, b""), (404, {}, b""), self.properties(more=digest))
        assert '"e"' == wire.run(self.upload().finish(self.state, {}))
        assert ["MOVE", "MOVE", "PROPFIND"] == wire.methods

    @pytest.mark.parametrize("size", [len(DATA), 1])
    def test_a_file_of_somebody_else(self, size: int) -> None:
        """Of the same size it is fetched to see whether it is this one."""
        assert Wire(self.properties(size=size)).run(self.upload().stored()) is None

    def test_a_file_that_tells_no_checksum(self) -> None:
        """What is fetched is compared."""
        upload = self.upload(
            same=Response(status=200, headers={"etag": '"f"'}, echoes=lambda _: False)
        )
        assert '"f"' == Wire(self.properties()).run(upload.stored())

    def test_a_file_that_was_deleted_in_between(self) -> None:
        """With a condition on its version the 404 is about the file, and not the upload."""
        wire = Wire((404, {}, b""), (404, {}, b""))
        error = caught(lambda: wire.run(self.upload(OTHER).finish(self.state, {})))
        assert isinstance(error, ResponseError)
        assert ["MOVE", "PROPFIND"] == wire.methods

    def test_chunks_that_are_gone(self) -> None:
        """Without such a condition it is the upload that is not there."""
        error = caught(lambda: Wire((404, {}, b"")).run(self.upload().finish(self.state, {})))
        assert isinstance(error, ObjectNotFoundError)

    def test_a_file_that_was_there_before(self) -> None:
        """Whoever creates only is told so."""
        upload = self.upload(StoreOptions(if_absent=True))
        wire = Wire((412, {}, b""))
        assert isinstance(
            caught(lambda: wire.run(upload.finish(self.state, {}))), ObjectExistsError
        )


class TestOwnCloudTus:
    """Uploads by tus that come to another end."""

    state: ClassVar[dict[str, str]] = {"upload": "https://cloud.test/data/upload-1"}
    file = "/remote.php/dav/files/me/a"
    digest = f"SHA1:{hashlib.sha1(DATA, usedforsecurity=False).hexdigest()}"

    def upload(self) -> TusUpload:
        """Return an upload whose bytes were all read."""
        storage = OwnCloud(url="https://cloud.test", user="me", password="${S}")
        upload = TusUpload(storage._api, BODY, FACTS)
        upload.measure(DATA)
        return upload

    def properties(self, checksum: str, size: int = len(DATA)) -> Answer:
        """Return those of the file."""
        sums = f"<oc:checksums><oc:checksum>{checksum}</oc:checksum></oc:checksums>"
        told = f'<d:getcontentlength>{size}</d:getcontentlength><d:getetag>"e"</d:getetag>{sums}'
        return listed((self.file, told))

    @pytest.mark.parametrize("status", [404, 410])
    def test_an_upload_that_is_gone_while_it_is_sent(self, status: int) -> None:
        """It is refused, and begins anew with the next store."""
        part = PartBody(BODY, 1, 0, len(DATA), BODY.sha256())
        error = caught(lambda: Wire((status, {}, b"")).run(self.upload().send(self.state, part)))
        assert isinstance(error, ObjectNotFoundError)

    def test_an_upload_that_was_one_already(self) -> None:
        """It is gone, and the file is there with the checksum of this body."""
        wire = Wire(GONE, self.properties(self.digest))
        assert len(DATA) == wire.run(self.upload().status(self.state)).offset
        assert Wire(GONE, GONE).run(self.upload().status(self.state)) is None

    @pytest.mark.parametrize(
        ("checksum", "size", "version"),
        [("", len(DATA), None), (digest, len(DATA), '"e"'), (digest, 1, None), ("SHA1:0", 7, None)],
    )
    def test_what_is_there_already(self, checksum: str, size: int, version: str | None) -> None:
        """It is this one by its size and checksum only."""
        assert version == Wire(self.properties(checksum, size)).run(self.upload().stored())

    @pytest.mark.parametrize(("checksum", "size"), [("", 1), ("SHA1:0", len(DATA))])
    def test_another_file_than_was_sent(self, checksum: str, size: int) -> None:
        """Somebody else has stored there meanwhile."""
        with pytest.raises(IntegrityError, match="something else"):
            Wire(self.properties(checksum, size)).run(self.upload().finish(self.state))


# --- Swift ---------------------------------------------------------------------------------------


def test_where_segments_are_is_told() -> None:
    """So that somebody can delete what nobody else will."""
    auth = {"type": "api_key", "name": "X-Auth-Token", "key": "${S}"}
    swift = Swift(container="flows", storage_url="https://swift.test/v1/me", auth=auth)
    upload = SloUpload(Wire().run(swift._open()), FACTS, PLAIN, 4)
    assert "flows_segments/0" == upload.public_id({"prefix": "0"})
