"""S3 against Swift, which checks every signature; rclone; and moto, which checks rights."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.config import Config
from botocore.session import Session

from tests.sending.gate import Gate, Passed, serve_gate
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage.errors import IntegrityError, ServerError
from webhook_storage.testing import PresetCase, PresetSuite, canary
from webhook_storage_presets.s3 import S3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.fleet.moto import Moto
    from tests.fleet.rclone import Rclone
    from tests.fleet.swift import Swift

MEBI = 1024**2
PART = 5 * MEBI
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@dataclass(frozen=True)
class Service:
    """A service with an empty bucket.

    Attributes:
        endpoint: Where it is; a door stands before it.
        bucket: The bucket.
        secrets: The credentials of one who may use it.
        profile: What it is.
        client: botocore's client, which does not go through the door.
    """

    endpoint: str
    bucket: str
    secrets: Mapping[str, str]
    profile: str
    client: Any
    gate: Gate
    region: str = "us-east-1"

    def storage(self, **options: Any) -> S3:
        """Return a storage in the bucket."""
        given = {
            "bucket": self.bucket,
            "endpoint": self.endpoint,
            "profile": self.profile,
            "region": self.region,
            "access_key_id": "${ID}",
            "secret_access_key": "${KEY}",
        }
        return S3(**{**given, **options})

    def case(self, **more: Any) -> PresetCase:
        """Return what the contract is tried on."""
        given: dict[str, Any] = {
            "storage": self.storage(),
            "secrets": self.secrets,
            "wrong": {**self.secrets, "KEY": canary()},
            "elsewhere": self.storage(bucket="nobody-has-made-this"),
            "create_only": False,
            "replaces": False,
            "parted": self.storage(multipart_above=PART, part_size=PART),
            "parted_above": PART,
            "largest": 5 * 1024**4,
            "trouble": self.trouble,
        }
        return PresetCase(**{**given, **more})

    def trouble(self, _status: int) -> None:
        """Let the door refuse the next body once."""
        left = threading.Semaphore(1)
        self.gate.rule = lambda request: bool(request.size) and left.acquire(blocking=False)


@cache  # to make one takes longer than most tests
def client(endpoint: str, key_id: str, secret: str, region: str = "us-east-1") -> Any:
    """Return a client that looks at nothing of the machine's configuration."""
    nothing = {"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None)}
    return Session(session_vars=nothing).create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(
            proxies={},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@pytest.fixture
def on_swift(swift: Swift) -> Iterator[Service]:
    """Swift with its s3api."""
    theirs, bucket = client(swift.url, swift.user, swift.password), uuid4().hex
    theirs.create_bucket(Bucket=bucket)
    secrets = {"ID": swift.user, "KEY": swift.password}
    with serve_gate(swift.url) as gate:
        yield Service(gate.url, bucket, secrets, "swift", theirs, gate)


@pytest.fixture
def on_rclone(rclone: Rclone) -> Iterator[Service]:
    """rclone, which serves a directory."""
    with serve_gate(rclone.url) as gate:
        theirs, bucket = client(rclone.url, rclone.key_id, rclone.secret), uuid4().hex
        theirs.create_bucket(Bucket=bucket)
        secrets = {"ID": rclone.key_id, "KEY": rclone.secret}
        yield Service(gate.url, bucket, secrets, "rclone", theirs, gate)


@pytest.fixture
def on_moto(moto: Moto) -> Iterator[Service]:
    """moto, whose users have keys and rights."""
    theirs, bucket = client(moto.url, moto.user.id, moto.user.secret, moto.region), uuid4().hex
    where = {"LocationConstraint": moto.region}
    theirs.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    secrets = {"ID": moto.user.id, "KEY": moto.user.secret}
    with serve_gate(moto.url) as gate:
        yield Service(gate.url, bucket, secrets, "aws", theirs, gate, moto.region)


class TestOnSwift(PresetSuite):
    """The whole contract, on a service that rejects every wrong signature."""

    @pytest.fixture
    def case(self, on_swift: Service) -> PresetCase:
        """Swift knows no conditions by S3."""
        return on_swift.case()


class TestBySignedUrls(PresetSuite):
    """The same, with the signature in the URL, where no body is signed."""

    @pytest.fixture
    def case(self, on_swift: Service) -> PresetCase:
        """Swift looks at those too."""
        storage = on_swift.storage(presigned=True)
        parted = on_swift.storage(presigned=True, multipart_above=PART, part_size=PART)
        elsewhere = on_swift.storage(presigned=True, bucket="nobody-has-made-this")
        return on_swift.case(storage=storage, parted=parted, elsewhere=elsewhere)


class TestOnRclone(PresetSuite):
    """The whole contract, on folders of a directory."""

    @pytest.fixture
    def case(self, on_rclone: Service) -> PresetCase:
        """A key is a path there."""
        return on_rclone.case()


class TestOnMoto(PresetSuite):
    """The whole contract, where rights are looked at, and conditions are held."""

    @pytest.fixture
    def case(self, on_moto: Service) -> PresetCase:
        """Moto compares If-None-Match."""
        return on_moto.case(create_only=True, replaces=True)


@modes
def test_what_botocore_wrote_is_read(mode: Mode, on_swift: Service) -> None:
    """And the other way round, in one request and in parts."""
    data = os.urandom(2 * PART + 5)
    storage = on_swift.storage(multipart_above=PART, part_size=PART)
    theirs, bucket = on_swift.client, on_swift.bucket
    with mode.sending(dict(on_swift.secrets)):
        theirs.put_object(Bucket=bucket, Key="theirs/ü +%", Body=b"31 rows")
        assert b"31 rows" == mode.call(storage, "get", "theirs/ü +%")
        for key, content in (("ours/ü +%", b"32 rows"), ("ours/large", data)):
            mode.call(storage, "put", content, key)
            assert content == theirs.get_object(Bucket=bucket, Key=key)["Body"].read()
    listed = theirs.list_objects_v2(Bucket=bucket)["Contents"]
    assert ["ours/large", "ours/ü +%", "theirs/ü +%"] == [item["Key"] for item in listed]


@modes
def test_a_folder_with_a_blank_in_its_name(mode: Mode, on_swift: Service) -> None:
    """What is asked for in the query is signed as the service reads it."""
    storage = on_swift.storage(key="data set+1/${artifact.key}.bin")
    with mode.sending(dict(on_swift.secrets)):
        mode.call(storage, "put", b"31 rows", "a b")
        assert ["a b"] == mode.call(storage, "list")


def test_an_upload_that_was_interrupted_is_carried_on(on_swift: Service, tmp_path: Path) -> None:
    """Another process sends the parts that are missing, and only those."""
    source, checkpoint = tmp_path / "source", tmp_path / "checkpoint"
    source.write_bytes(os.urandom(3 * PART))
    storage = on_swift.storage(multipart_above=PART, part_size=PART, parallel=1)
    on_swift.gate.rule = lambda request: "partNumber=3" in request.path
    with HTTPX.sending(dict(on_swift.secrets)):
        assert isinstance(caught(lambda: storage.put(source, "a", resume=checkpoint)), ServerError)
        on_swift.gate.rule = lambda _request: False
        before = len(on_swift.gate.sizes("PUT"))
        receipt = storage.put(source, "a", resume=checkpoint)
        assert source.read_bytes() == storage.get(receipt)
    assert [PART] == on_swift.gate.sizes("PUT")[before:]
    assert not checkpoint.exists()


def test_an_upload_whose_last_answer_was_lost_is_an_upload(on_swift: Service) -> None:
    """The service knows it no longer, and the object is there with the ETag of these parts."""
    data = os.urandom(2 * PART)
    storage = on_swift.storage(multipart_above=PART, part_size=PART)
    left = threading.Semaphore(1)

    def lose(request: Passed) -> bool:
        if request.method != "POST" or not request.size or not left.acquire(blocking=False):
            return False
        upload = request.path.partition("uploadId=")[2]
        parts = on_swift.client.list_parts(Bucket=on_swift.bucket, Key="a", UploadId=upload)
        done = [{name: part[name] for name in ("PartNumber", "ETag")} for part in parts["Parts"]]
        on_swift.client.complete_multipart_upload(
            Bucket=on_swift.bucket, Key="a", UploadId=upload, MultipartUpload={"Parts": done}
        )
        return True

    on_swift.gate.rule = lose
    with HTTPX.sending(dict(on_swift.secrets), attempts=2):
        receipt = storage.put(data, "a")
        assert data == storage.get(receipt)


def test_a_source_that_changes_before_it_is_sent_again_is_refused(
    on_swift: Service, tmp_path: Path
) -> None:
    """Swift compares a part with the digest that was signed, so nobody else does."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(2 * PART))
    os.utime(source, (1_000_000_000, 1_000_000_000))
    storage = on_swift.storage(multipart_above=PART, part_size=PART, parallel=1)
    left = threading.Semaphore(1)

    def change(request: Passed) -> bool:
        if request.size != PART or not left.acquire(blocking=False):
            return False
        with source.open("r+b") as file:
            file.write(b"changed")
        return True

    on_swift.gate.rule = change
    with HTTPX.sending(dict(on_swift.secrets), attempts=2):
        error = caught(lambda: storage.put(source, "a"))
        assert (2, []) == (len(on_swift.gate.sizes("PUT")), storage.list())
    assert isinstance(error, IntegrityError)
    assert "PUT" in str(error)


@modes
def test_progress_of_an_upload_in_parts(mode: Mode, on_swift: Service) -> None:
    """Several threads send, and each part that fails counts no longer when it is sent again."""
    storage = on_swift.storage(multipart_above=PART, part_size=PART)
    told: list[int] = []
    on_swift.trouble(503)
    with mode.sending(dict(on_swift.secrets), attempts=2):
        mode.call(storage, "put", os.urandom(3 * PART + 5), "a", progress=told.append)
    assert 3 * PART + 5 == told[-1]
    assert sorted(told) != told
