"""The GCS preset stores to a fake through which Google's own client stores and fetches too."""

from __future__ import annotations

import gzip
import json
import logging
import pickle
import sys
import traceback
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
from google.auth import _helpers

from tests.fakes.gcs import CHUNK, READ_ONLY, FakeGcs, md5
from tests.fakes.http import Answer, Received, json_answer
from tests.resolvers.places import without_proxies
from tests.resolvers.places.gcp import PREFIXES
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage import LiteralSecretWarning, Storage, Webhook, WebhookStorageError
from webhook_storage.artifact import BytesBody, MeasuredBody, as_body
from webhook_storage.contracts import PLAIN
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    IntegrityError,
    MissingExtraError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseError,
    ServerError,
    TooLargeError,
    TransportError,
    UnexpectedAnswerError,
)
from webhook_storage_presets.gcs import GCS, Google
from webhook_storage_presets.gcs.resumable import GcsUpload
from webhook_storage_presets.s3 import S3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)

KEYS = [
    "a", "a b/c+d", "é/ü.bin", "50%/%25", "a//b", "/a", "q?x=1&y#z", "${X}$$", '"{}\\',
]  # fmt: skip
SOME = bytes(range(256)) * 4096
UPLOADS = "/upload/storage/v1/b/flows/o"
OBJECT = "/storage/v1/b/flows/o/a"
TOKEN = {"type": "bearer", "token": "${TOKEN}"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGcs]:
    """Start Cloud Storage with one bucket, for a user of a machine without credentials."""
    without_proxies(monkeypatch, *PREFIXES)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:1")
    with FakeGcs() as place:
        yield place


def make(fake: FakeGcs, **options: Any) -> GCS:
    """Return a storage with a bearer token, unless it says something else of who sends."""
    if not {"credentials", "anonymous", "auth"} & options.keys():
        options["auth"] = TOKEN
    return GCS(**{"bucket": "flows", "endpoint": fake.url, **options})


def call(mode: Mode, storage: Storage, operation: str, *args: Any, **options: Any) -> Any:
    """Carry out an operation in one of the ways."""
    return mode.call(cast("Any", storage), operation, *args, **options)


def parted(fake: FakeGcs, **options: Any) -> GCS:
    """Return one that sends everything in parts."""
    return make(fake, resumable_above=0, part_size=CHUNK, **options)


def double(number: int) -> int:
    """Be a flow."""
    return 2 * number


def refused(status: int, reason: str = "", message: str = "CaNaRy said") -> Answer:
    """Return an error of the vendor's form."""
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return json_answer(status, {"error": {"code": status, "message": message, "errors": errors}})


class TestArtifacts:
    """Bytes in and out."""

    @modes
    @pytest.mark.parametrize("data", [b"", b"31 rows", b"\r\n--", SOME], ids=len)
    def test_what_was_put_is_got(self, mode: Mode, fake: FakeGcs, data: bytes) -> None:
        """The bytes come back by key and by receipt, which names the generation."""
        storage = make(fake)
        with mode.sending({"TOKEN": fake.token()}):
            receipt = call(mode, storage, "put", data, "a")
            assert (data, data) == (
                call(mode, storage, "get", "a"),
                call(mode, storage, "get", receipt),
            )
        generation = str(fake.buckets["flows"]["a"][0].generation)
        assert (generation, {"generation": generation}) == (receipt.version, receipt.captures)
        assert generation == fake.last.query["generation"]

    @modes
    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("above", [0, 1000], ids=["in parts", "at once"])
    def test_every_key_works(self, mode: Mode, fake: FakeGcs, key: str, above: int) -> None:
        """In stores, fetches, lists and all others it is the same name."""
        storage = make(fake, resumable_above=above)
        with mode.sending({"TOKEN": fake.token()}):
            call(mode, storage, "put", b"31 rows", key)
            assert [key] == [*fake.buckets["flows"]] == call(mode, storage, "list")
            assert b"31 rows" == call(mode, storage, "get", key)
            assert 7 == call(mode, storage, "stat", key).size
            call(mode, storage, "delete", key)
            assert not call(mode, storage, "exists", key)

    @pytest.mark.parametrize("key", ["a\nb", "a\rb", "a\0b", "..", "a/../b", "."])
    def test_a_key_that_no_object_has(self, fake: FakeGcs, key: str) -> None:
        """It is refused before anything is sent."""
        with HTTPX.sending({"TOKEN": fake.token()}):
            for act in (lambda: make(fake).put(b"x", key), lambda: make(fake).get(key)):
                assert isinstance(caught(act), ConfigurationError)
        assert [] == fake.requests

    def test_what_is_stored_with_an_object(self, fake: FakeGcs) -> None:
        """Its type, class and metadata, whatever stands in them, in both ways to store."""
        options: dict[str, Any] = {
            "content_type": "text/x-${Y}",
            "metadata": {"team": "é ${X} $$"},
            "storage_class": "NEARLINE",
            "user_project": "payer",
            "kms_key_name": "projects/p/k",
        }
        with HTTPX.sending({"TOKEN": fake.token()}):
            for storage in (make(fake, **options), parted(fake, **options)):
                storage.put(b"x", "a")
                found = fake.buckets["flows"]["a"][-1]
                assert ("text/x-${Y}", "NEARLINE") == (found.content_type, found.storage_class)
                assert {"team": "é ${X} $$"} == found.metadata
                begun = fake.received(UPLOADS, "POST")[-1]
                assert ("payer", "projects/p/k") == (
                    begun.headers["x-goog-user-project"],
                    begun.query["kmsKeyName"],
                )

    def test_a_packed_object_comes_as_it_is_stored(self, fake: FakeGcs) -> None:
        """What is in the way and unpacks it is found."""
        packed = gzip.compress(b"31 rows", mtime=0)
        fake.put("a", packed, content_encoding="gzip")
        headers = {"x-goog-generation": "1", "x-goog-stored-content-encoding": "gzip"}
        with HTTPX.sending({"TOKEN": fake.token()}):
            assert packed == make(fake).get("a")
            said = {"Content-Encoding": "gzip", "x-goog-hash": f"md5={md5(b'other')}", **headers}
            fake.inject(Answer(200, packed, said), path=OBJECT)
            assert isinstance(caught(lambda: make(fake).get("a")), IntegrityError)
            fake.inject(Answer(200, b"31 rows", headers), path=OBJECT)
            error = caught(lambda: make(fake).get("a"))
        assert isinstance(error, UnexpectedAnswerError)

    def test_stat(self, fake: FakeGcs) -> None:
        """Size, generation, time and type."""
        stored = fake.put("a", b"31 rows", content_type="text/csv")
        with HTTPX.sending({"TOKEN": fake.token()}):
            found = make(fake).stat("a")
        assert found is not None
        assert (7, str(stored.generation), "text/csv") == (
            found.size,
            found.version,
            found.content_type,
        )
        assert str(found.modified).startswith("2026-01-02T")

    def test_list_over_pages(self, fake: FakeGcs) -> None:
        """Names that the key does not make are left out, and pages follow one another."""
        fake.page = 2
        for name in ("flows/a", "flows/b c", "flows/d/e", "flows/f", "other"):
            fake.put(name, b"")
        with HTTPX.sending({"TOKEN": fake.token()}):
            keys = make(fake, key="flows/${artifact.key}").list()
        assert ["a", "b c", "d/e", "f"] == keys
        assert ["flows/"] * 2 == [each.query["prefix"] for each in fake.requests]

    def test_pages_without_an_end_are_refused(self, fake: FakeGcs) -> None:
        """A page that leads to itself."""
        page = json_answer(200, {"nextPageToken": "${HOME}"})
        fake.inject(page, path="/storage/v1/b/flows/o", times=None)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(make(fake).list)
        assert isinstance(error, UnexpectedAnswerError)
        assert "came before" in str(error)
        assert ["${HOME}"] == [each.query["pageToken"] for each in fake.requests[1:]]

    @pytest.mark.parametrize(
        ("page", "keys"),
        [
            ({}, []),
            ({"items": None, "nextPageToken": None}, []),
            ({"items": [{"name": "a"}], "nextPageToken": ""}, ["a"]),
            ({"items": {"name": "a"}}, None),
            ({"items": "a"}, None),
            ({"items": ["a"]}, None),
            ({"items": [{}]}, None),
            ({"items": [{"name": None}]}, None),
            ({"items": [{"name": ["a"]}]}, None),
            ({"items": [], "nextPageToken": ["a"]}, None),
            ({"items": [], "nextPageToken": True}, None),
        ],
        ids=str,
    )
    def test_what_is_no_page_is_refused(
        self, fake: FakeGcs, page: object, keys: list[str] | None
    ) -> None:
        """A name that is left out would seem to be gone."""
        fake.inject(json_answer(200, page), path="/storage/v1/b/flows/o")
        with HTTPX.sending({"TOKEN": fake.token()}):
            if keys is None:
                assert isinstance(caught(make(fake).list), UnexpectedAnswerError)
            else:
                assert keys == make(fake).list()

    def test_a_damaged_download_is_asked_for_again(self, fake: FakeGcs, tmp_path: Path) -> None:
        """Half of the bytes with the checksum of all are not taken for the object."""
        fake.put("a", SOME)

        def halved(request: Received) -> Answer:
            whole = fake.answer(request, b"")
            return Answer(200, SOME[: len(SOME) // 2], whole.headers)

        fake.inject(halved, path=OBJECT)
        with HTTPX.sending({"TOKEN": fake.token()}, attempts=2):
            assert len(SOME) == make(fake).download(tmp_path / "a", "a")
        assert (SOME, 2) == ((tmp_path / "a").read_bytes(), fake.calls[OBJECT])


class TestFlows:
    """A flow under its slug and the time."""

    def test_a_flow_is_stored_and_run(self, fake: FakeGcs) -> None:
        """And travels in the JSON of its storage."""
        storage = make(fake)
        storage.add_flow(double)
        with HTTPX.sending({"TOKEN": fake.token()}):
            storage.build()
            twin = Storage.from_json(storage.to_json())
            assert 42 == twin.get_flow("double")(21)
        [name] = fake.buckets["flows"]
        assert name.startswith("double/20")

    def test_plain_data(self, fake: FakeGcs) -> None:
        """JSON, pickle and equality."""
        storage = make(fake, auth=None, credentials="${GCP_CREDENTIALS}")
        assert storage == Storage.from_json(storage.to_json())
        assert storage == pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own
        assert "${GCP_CREDENTIALS}" in storage.to_json()

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"bucket": "a/b"}, "bucket"),
            ({"bucket": "Flows"}, "bucket"),
            ({"endpoint": "https://${HOST}"}, "endpoint"),
            ({"endpoint": "storage.googleapis.com"}, "endpoint"),
            ({"endpoint": "https://"}, "endpoint"),
            ({"endpoint": "https://storage.googleapis.com?a=b"}, "endpoint"),
            ({"key": "a\nb"}, "key"),
            ({"part_size": CHUNK + 1}, "part_size"),
            ({"content_type": "a\r\nb: c"}, "content_type"),
            ({"key": "a/"}, "key"),
            ({"anonymous": True, "credentials": "${X}"}, "contradict"),
        ],
    )
    def test_wrong_fields(self, options: dict[str, Any], match: str) -> None:
        """They are told at once."""
        with pytest.raises(ConfigurationError, match=match):
            GCS(**{"bucket": "flows", **options})

    def test_a_literal_key_is_warned_of(self) -> None:
        """It would be in the JSON of the storage."""
        with pytest.warns(LiteralSecretWarning):
            GCS(bucket="flows", credentials='{"type": "service_account"}')


class TestConditions:
    """To create only, and to replace what one knows."""

    @modes
    @pytest.mark.parametrize("above", [0, 1000], ids=["in parts", "at once"])
    def test_create_and_replace(self, mode: Mode, fake: FakeGcs, above: int) -> None:
        """A generation is replaced once, and nothing is created twice."""
        storage = make(fake, resumable_above=above)
        with mode.sending({"TOKEN": fake.token()}):
            first = call(mode, storage, "put", b"1", "a", if_absent=True)
            exists = caught(lambda: call(mode, storage, "put", b"2", "a", if_absent=True))
            call(mode, storage, "put", b"2", "a", if_unchanged=first)
            changed = caught(lambda: call(mode, storage, "put", b"3", "a", if_unchanged=first))
            assert b"2" == call(mode, storage, "get", "a")
        assert (ObjectExistsError, ConflictError) == (type(exists), type(changed))

    def test_a_version_that_is_none(self, fake: FakeGcs) -> None:
        """An ETag is no generation, and 0 would mean something else."""
        with HTTPX.sending({"TOKEN": fake.token()}):
            for version in ('"etag"', "0", "1&x=2"):
                error = caught(partial(make(fake).put, b"x", "a", if_unchanged=version))
                assert isinstance(error, ConfigurationError)
        assert [] == fake.requests

    @modes
    def test_a_lost_answer_is_no_conflict_with_oneself(self, mode: Mode, fake: FakeGcs) -> None:
        """The second attempt is refused for what the first one did."""
        fake.lose_answer(path=UPLOADS)
        with mode.sending({"TOKEN": fake.token()}, attempts=3):
            receipt = call(mode, make(fake), "put", b"1", "a", if_absent=True)
        assert str(fake.buckets["flows"]["a"][0].generation) == receipt.version
        assert 2 == len(fake.received(UPLOADS))

    def test_the_same_bytes_of_somebody_else_are_a_conflict(self, fake: FakeGcs) -> None:
        """The first attempt was refused, so it has not stored them."""
        fake.put("a", b"1")
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: make(fake).put(b"1", "a", if_absent=True))
        assert isinstance(error, ObjectExistsError)
        assert 1 == len(fake.requests)

    def test_somebody_else_was_first(self, fake: FakeGcs) -> None:
        """A lost answer does not hide that other bytes are there."""

        def race(_request: Received) -> Answer:
            fake.put("a", b"theirs")
            return Answer(503)

        fake.inject(race, path=UPLOADS)
        with HTTPX.sending({"TOKEN": fake.token()}, attempts=3):
            error = caught(lambda: make(fake).put(b"1", "a", if_absent=True))
        assert isinstance(error, ObjectExistsError)
        assert b"theirs" == fake.data("a")


class TestRetries:
    """Trouble in the middle."""

    @modes
    @pytest.mark.parametrize(
        "trouble", [Answer(503), refused(429), refused(403, "rateLimitExceeded")]
    )
    def test_a_store_is_sent_again(self, mode: Mode, fake: FakeGcs, trouble: Answer) -> None:
        """Once is no failure."""
        fake.inject(trouble, path=UPLOADS)
        with mode.sending({"TOKEN": fake.token()}, attempts=2):
            call(mode, make(fake), "put", b"31 rows", "a")
        assert b"31 rows" == fake.data("a")

    @pytest.mark.parametrize("path", [UPLOADS, OBJECT])
    def test_lost_answers(self, fake: FakeGcs, path: str) -> None:
        """A store is repeated, and what was deleted already is deleted."""
        with HTTPX.sending({"TOKEN": fake.token()}, attempts=2):
            fake.lose_answer(path=path)
            make(fake).put(b"1", "a")
            make(fake).delete("a")
        assert {} == fake.buckets["flows"]

    def test_altered_bytes_are_not_stored(self, fake: FakeGcs) -> None:
        """The service compares MD5 and CRC-32C of what it gets."""
        said = 'Provided MD5 hash "x" doesn\'t match calculated MD5 hash "y".'
        fake.inject(refused(400, "invalid", said), path=UPLOADS)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: make(fake).put(b"1", "a"))
        assert isinstance(error, IntegrityError)
        assert {} == fake.buckets["flows"]

    def test_a_source_that_changes(self, fake: FakeGcs) -> None:
        """What was announced by its checksums is not what is sent, so nothing is stored."""

        class Changing(BytesBody):
            reads = iter([b"1", b"2"])

            def chunks(self) -> Iterator[bytes]:
                yield next(self.reads)

        facts = {"artifact.key": "a", "build.time": "t"}
        with HTTPX.sending({"TOKEN": fake.token()}) as sender:
            body = MeasuredBody(Changing(b"1"))
            error = caught(lambda: sender.run(make(fake).store_exchange(body, facts)))
        assert isinstance(error, IntegrityError)
        assert {} == fake.buckets["flows"]

    @pytest.mark.parametrize(
        "change", [{"md5Hash": md5(b"2")}, {"crc32c": "AAAAAQ=="}, {"size": "2"}]
    )
    @pytest.mark.parametrize("above", [0, 1000], ids=["in parts", "at once"])
    def test_other_bytes_that_were_stored(
        self, fake: FakeGcs, change: dict[str, str], above: int
    ) -> None:
        """What the service says of them is compared."""

        def answer(request: Received) -> Answer | None:
            done = request.query["uploadType"] == "multipart" or request.method == "PUT"
            resource = fake.put("a", b"1").resource("flows")
            return json_answer(200, {**resource, **change}) if done else None

        fake.inject(answer, path=UPLOADS, times=None)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: make(fake, resumable_above=above).put(b"1", "a"))
        assert isinstance(error, IntegrityError)

    @modes
    def test_damage_on_the_way_back(self, mode: Mode, fake: FakeGcs) -> None:
        """The header x-goog-hash is compared."""
        fake.put("a", b"31 rows")
        headers = {"x-goog-generation": "1", "x-goog-hash": f"md5={md5(b'31 rows')}"}
        fake.inject(Answer(200, b"32 rows", headers), path=OBJECT, times=None)
        with mode.sending({"TOKEN": fake.token()}):
            assert isinstance(caught(lambda: call(mode, make(fake), "get", "a")), IntegrityError)

    @pytest.mark.parametrize("answer", [Answer(200, b"31 rows"), json_answer(200, {})])
    def test_somebody_else_answers(self, fake: FakeGcs, answer: Answer) -> None:
        """A success that is none of the service's is an error."""
        fake.put("a", b"31 rows")
        with HTTPX.sending({"TOKEN": fake.token()}):
            for act in ("get", "stat"):
                fake.inject(answer, path=OBJECT)
                error = caught(partial(getattr(make(fake), act), "a"))
                assert isinstance(error, UnexpectedAnswerError)
            fake.inject(answer, path=UPLOADS)
            assert isinstance(caught(lambda: make(fake).put(b"", "a")), UnexpectedAnswerError)


class TestParts:
    """Uploads in parts."""

    @modes
    @pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, 3 * CHUNK])
    def test_parts_follow_one_another(self, mode: Mode, fake: FakeGcs, size: int) -> None:
        """All but the last are of one size, and the token goes to the first request only."""
        with mode.sending({"TOKEN": fake.token()}):
            receipt = call(mode, parted(fake), "put", SOME[:size], "a")
            assert SOME[:size] == call(mode, parted(fake), "get", receipt)
        puts = fake.received(UPLOADS, "PUT")
        assert -(-size // CHUNK) == len(puts)
        assert not any("authorization" in request.headers for request in puts)

    @pytest.mark.parametrize("trouble", [Answer(503), refused(429), Answer(0)])
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("nth", [0, 1, 2])
    def test_a_part_fails(self, fake: FakeGcs, trouble: Answer, after: bool, nth: int) -> None:  # noqa: FBT001
        """The service is asked how far it is, and it goes on from there."""
        count = iter(range(100))

        def fail(request: Received) -> Answer | None:
            return trouble if request.method == "PUT" and next(count) == nth else None

        fake.inject(fail, path=UPLOADS, times=None, after=after)
        with HTTPX.sending({"TOKEN": fake.token()}):
            parted(fake).put(SOME[: 3 * CHUNK], "a")
        assert SOME[: 3 * CHUNK] == fake.data("a")
        assert "bytes */786432" in [
            request.headers.get("content-range") for request in fake.requests
        ]

    def test_a_part_is_not_sent_again_unasked(self, fake: FakeGcs) -> None:
        """However often requests are, since some of it may have come."""
        fake.inject(lambda r: Answer(503) if r.method == "PUT" else None, path=UPLOADS, times=2)
        with HTTPX.sending({"TOKEN": fake.token()}, attempts=3):
            parted(fake).put(SOME[:CHUNK], "a")
        spans = [each.headers["content-range"] for each in fake.received(UPLOADS, "PUT")]
        assert ["bytes 0-262143/262144", "bytes */262144", "bytes 0-262143/262144"] == spans

    def test_the_service_takes_less(self, fake: FakeGcs) -> None:
        """What it did not keep of a part is sent again."""

        def half(_request: Received) -> Answer:
            [session] = fake.sessions.values()
            session.data += SOME[:CHUNK]
            return Answer(308, b"", {"Range": f"bytes=0-{CHUNK - 1}"})

        fake.inject(lambda r: half(r) if r.method == "PUT" else None, path=UPLOADS, times=2)
        with HTTPX.sending({"TOKEN": fake.token()}):
            make(fake, resumable_above=0, part_size=2 * CHUNK).put(SOME[: 2 * CHUNK + 7], "a")
        assert SOME[: 2 * CHUNK + 7] == fake.data("a")

    @pytest.mark.parametrize("status", [404, 410])
    def test_an_upload_that_is_gone_is_begun_anew(self, fake: FakeGcs, status: int) -> None:
        """Once."""
        fake.inject(
            lambda r: refused(status, "notFound") if r.method == "PUT" else None,
            path=UPLOADS,
            times=2,
        )
        with HTTPX.sending({"TOKEN": fake.token()}):
            parted(fake).put(SOME[:CHUNK], "a")
        assert (SOME[:CHUNK], 2) == (fake.data("a"), len(fake.received(UPLOADS, "POST")))

    def test_an_upload_that_fails_is_cancelled(self, fake: FakeGcs) -> None:
        """And nothing is left."""
        forbidden = refused(403, "forbidden")
        fake.inject(lambda r: forbidden if r.method == "PUT" else None, path=UPLOADS, times=2)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: parted(fake).put(SOME, "a"))
        assert isinstance(error, PermissionDeniedError)
        assert "left at the service" not in str(error.hint)
        assert ("DELETE", {}, {}) == (fake.last.method, fake.sessions, fake.buckets["flows"])

    def test_another_process_goes_on(self, fake: FakeGcs, tmp_path: Path) -> None:
        """A checkpoint says where, and another one ends it."""
        seen: list[str] = []

        def stop(request: Received) -> Answer | None:
            seen.append(request.headers.get("content-range", ""))
            return refused(403, "forbidden") if len(seen) > 2 else None

        data, checkpoint = SOME[: 3 * CHUNK], tmp_path / "upload"
        with HTTPX.sending({"TOKEN": fake.token()}):
            fake.inject(stop, path=UPLOADS, times=None)
            error = caught(lambda: parted(fake).put(data, "a", resume=checkpoint))
            fake.clear_faults()
            begun = len(fake.requests)
            parted(fake).put(data, "a", resume=checkpoint)
        assert isinstance(error, PermissionDeniedError)
        assert ["bytes */786432", "bytes 262144-524287/786432", "bytes 524288-786431/786432"] == [
            request.headers["content-range"] for request in fake.requests[begun:]
        ]
        assert (data, False) == (fake.data("a"), checkpoint.exists())

    @pytest.mark.parametrize(
        "url",
        [
            "https://elsewhere.example/upload/storage/v1/b/flows/o?upload_id=x",
            "{fake}/elsewhere?upload_id=x",
            "{fake}/upload/storage/v1/b/other/o?upload_id=x",
            "{fake}@evil.example/upload/storage/v1/b/flows/o?upload_id=x",
            "",
        ],
    )
    def test_an_upload_that_leads_elsewhere(self, fake: FakeGcs, url: str) -> None:
        """Nothing is sent there."""
        location = {"Location": url.replace("{fake}", fake.url)}
        fake.inject(Answer(200, b"", location), path=UPLOADS)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: parted(fake).put(SOME, "a"))
        assert isinstance(error, UnexpectedAnswerError)
        assert 1 == len(fake.requests)

    def test_an_upload_without_a_url(self, fake: FakeGcs) -> None:
        """It cannot be gone on with."""
        fake.inject(Answer(200), path=UPLOADS)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: parted(fake).put(SOME, "a"))
        assert isinstance(error, UnexpectedAnswerError)
        assert "without a Location" in str(error)

    @pytest.mark.parametrize(
        ("span", "kind"),
        [
            ("bytes=1-262143", UnexpectedAnswerError),
            ("bytes=0-", UnexpectedAnswerError),
            ("0-262143", UnexpectedAnswerError),
            ("bytes=0-262144", IntegrityError),
            (f"bytes=0-{'9' * 20}", IntegrityError),
            (f"bytes=0-{'9' * 5000}", UnexpectedAnswerError),
        ],
        ids=["not from 0", "no end", "no unit", "too far", "much too far", "very long"],
    )
    def test_an_offset_that_is_none(self, fake: FakeGcs, span: str, kind: type[Exception]) -> None:
        """Nothing more is sent, and the upload is cancelled."""
        answer = Answer(308, b"", {"Range": span})
        fake.inject(lambda r: answer if r.method == "PUT" else None, path=UPLOADS, times=2)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: parted(fake).put(SOME, "a"))
        assert kind is type(error)
        assert (["POST", "PUT", "DELETE"], {}) == (
            [request.method for request in fake.requests],
            fake.sessions,
        )

    def test_what_a_checkpoint_must_hold(self, fake: FakeGcs) -> None:
        """The URL of an upload to this bucket, and nothing else."""
        url = f"{fake.url}{UPLOADS}?upload_id=x"
        upload = GcsUpload(make(fake)._api, {"artifact.key": "a"}, PLAIN, 1)
        states: list[dict[str, str]] = [
            {"url": url}, {"url": url, "more": "x"}, {"more": url}, {"url": f"{url} x"}, {}
        ]  # fmt: skip
        assert [True, False, False, False, False] == [upload.accepts(state) for state in states]

    def test_the_upload_is_not_shown(self, fake: FakeGcs, caplog: pytest.LogCaptureFixture) -> None:
        """Whoever knows its URL may write to it."""
        caplog.set_level(logging.DEBUG, "webhook_storage")
        ids: list[str] = []

        def fail(request: Received) -> Answer | None:
            ids.extend([request.query["upload_id"]] if "upload_id" in request.query else [])
            return refused(403, "forbidden", ids[0]) if ids else None

        fake.inject(fail, path=UPLOADS, times=None)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: parted(fake).put(SOME, "a"))
        shown = "".join(traceback.format_exception(error)) + str(vars(error)) + caplog.text
        assert ids
        assert ids[0] not in shown

    def test_a_condition_that_no_longer_holds_at_the_end(self, fake: FakeGcs) -> None:
        """Somebody else was faster."""

        def race(request: Received) -> None:
            if request.method == "PUT":
                fake.put("a", b"theirs")

        fake.inject(race, path=UPLOADS, times=None)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: parted(fake).put(SOME[:CHUNK], "a", if_absent=True))
        assert isinstance(error, ObjectExistsError)
        assert b"theirs" == fake.data("a")

    def test_too_large(self, fake: FakeGcs) -> None:
        """More than 5 TiB are refused before anything is sent."""

        class Huge:
            size = 5 * 1024**4 + 1

        storage, facts = make(fake), {"artifact.key": "a"}
        error = caught(lambda: storage.store_exchange(Huge(), facts).send(None))  # type: ignore[arg-type]
        assert isinstance(error, TooLargeError)

    def test_what_was_stored_is_known_by_its_checksum(self, fake: FakeGcs) -> None:
        """After an upload that is gone the object is looked at."""
        storage = parted(fake)
        body, facts = as_body(b"1"), {"artifact.key": "a"}
        for data, expected in ((b"1", True), (b"2", False)):
            fake.put("a", data)
            upload = GcsUpload(storage._api, facts, PLAIN, body.size)
            upload.measure(b"1")
            with HTTPX.sending({"TOKEN": fake.token()}) as sender:
                assert expected is (sender.run(upload.stored()) is not None)


class TestErrors:
    """What is told."""

    OPERATIONS: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("put", (b"x", "a")),
        ("get", ("a",)),
        ("stat", ("a",)),
        ("delete", ("a",)),
        ("list", ()),
    )

    @modes
    @pytest.mark.parametrize(("operation", "arguments"), OPERATIONS)
    def test_wrong_and_missing_rights(
        self, mode: Mode, fake: FakeGcs, operation: str, arguments: tuple[Any, ...]
    ) -> None:
        """A wrong token, none, one without the right, and a wrong bucket."""
        fake.put("a", b"old")

        def fails(token: str, **options: Any) -> BaseException:
            with mode.sending({"TOKEN": token}):
                return caught(lambda: call(mode, make(fake, **options), operation, *arguments))

        right = fake.token()
        wrong = fails(right + "x")
        nobody = fails(right, anonymous=True)
        denied = fails(fake.token("update"))
        bucket = fails(right, bucket="other")
        assert [AuthenticationError, AuthenticationError, PermissionDeniedError, ResponseError] == [
            type(error) for error in (wrong, nobody, denied, bucket)
        ]
        assert "no such bucket" in str(bucket)
        assert right not in f"{wrong!r} {nobody!r} {denied!r} {bucket!r}"
        assert b"old" == fake.data("a")

    def test_a_token_that_may_only_read(self, fake: FakeGcs) -> None:
        """It does not store."""
        fake.put("a", b"old")
        with HTTPX.sending({"TOKEN": fake.token(scope=READ_ONLY)}):
            assert b"old" == make(fake).get("a")
            assert isinstance(caught(lambda: make(fake).put(b"x", "a")), PermissionDeniedError)

    @modes
    def test_what_is_not_there(self, mode: Mode, fake: FakeGcs) -> None:
        """To ask is no error; without the right to list it is forbidden."""
        with mode.sending({"TOKEN": fake.token()}):
            assert not call(mode, make(fake), "exists", "a")
            for operation in ("get", "delete"):
                error = caught(partial(call, mode, make(fake), operation, "a"))
                assert isinstance(error, ObjectNotFoundError)
        with mode.sending({"TOKEN": fake.token("get")}):
            error = caught(lambda: call(mode, make(fake), "exists", "a"))
        assert isinstance(error, PermissionDeniedError)

    def test_a_generation_that_was_replaced(self, fake: FakeGcs) -> None:
        """A receipt names one, which is there as long as the bucket keeps it."""
        with HTTPX.sending({"TOKEN": fake.token()}):
            first = make(fake).put(b"1", "a")
            make(fake).put(b"2", "a")
            assert isinstance(caught(lambda: make(fake).get(first)), ObjectNotFoundError)
            fake.versioned.add("flows")
            second = make(fake).put(b"3", "a")
            make(fake).put(b"4", "a")
            assert (b"3", b"4") == (make(fake).get(second), make(fake).get("a"))

    @pytest.mark.parametrize(
        ("answer", "kind", "said"),
        [
            (refused(400, "userProjectMissing"), ResponseError, "user_project"),
            (refused(403, "accountDisabled"), PermissionDeniedError, "disabled"),
            (refused(409, "conflict"), ConflictError, "conflict"),
            (refused(413, "uploadTooLarge"), TooLargeError, "resumable_above"),
            (refused(429, "rateLimitExceeded"), RateLimitedError, "once a second"),
            (refused(403, "rateLimitExceeded"), RateLimitedError, "too many"),
            (refused(400, "CaNaRy <odd>"), ResponseError, "does not take it"),
            (Answer(500), ServerError, "500"),
            (Answer(302, b"", {"Location": "https://evil.example/"}), ResponseError, "302"),
        ],
    )
    def test_reasons_have_a_meaning(
        self, fake: FakeGcs, answer: Answer, kind: type[WebhookStorageError], said: str
    ) -> None:
        """And a message of the service is never shown."""
        fake.inject(answer, path=UPLOADS, times=None)
        with HTTPX.sending({"TOKEN": fake.token()}):
            error = caught(lambda: make(fake).put(b"x", "a"))
        assert isinstance(error, kind)
        assert said in f"{error} {error.hint}"
        assert "CaNaRy" not in f"{error} {error.hint}"

    @pytest.mark.parametrize("field", ["generation", "contentType", "updated"])
    def test_an_echo_is_not_handed_out(self, fake: FakeGcs, field: str) -> None:
        """What the service says may hold the token."""
        token = "12345678901234567"
        fake.tokens.tokens[token] = fake.tokens.tokens[fake.token()]
        resource = fake.put("a", b"1").resource("flows")
        with HTTPX.sending({"TOKEN": token}):
            fake.inject(json_answer(200, {**resource, field: token}), path=OBJECT)
            error = caught(lambda: make(fake).stat("a"))
            page = {"items": [{"name": f"x{token}"}]}
            fake.inject(json_answer(200, page), path="/storage/v1/b/flows/o")
            listed = caught(lambda: make(fake).list())
        assert [UnexpectedAnswerError] * 2 == [type(error), type(listed)]
        assert token not in f"{error!r}{listed!r}"


class TestGoogle:
    """Tokens by google-auth."""

    @modes
    def test_a_key_gets_one_token(self, mode: Mode, fake: FakeGcs) -> None:
        """It is got once, and kept for its life."""
        account = fake.add_account("flows")
        storage = make(fake, credentials="${GCP_CREDENTIALS}")
        with mode.sending({"GCP_CREDENTIALS": fake.key_text(account)}):
            call(mode, storage, "put", b"31 rows", "a")
            assert b"31 rows" == call(mode, storage, "get", "a")
        assert 1 == fake.calls["/token"]
        [issued] = fake.tokens.tokens.values()
        assert ("https://www.googleapis.com/auth/devstorage.read_write",) == issued.scopes

    @modes
    def test_a_token_that_was_taken_back_is_replaced(self, mode: Mode, fake: FakeGcs) -> None:
        """After a 401 another one is got, once."""
        account = fake.add_account("flows")
        storage = make(fake, credentials="${GCP_CREDENTIALS}")
        with mode.sending({"GCP_CREDENTIALS": fake.key_text(account)}):
            call(mode, storage, "put", b"31 rows", "a")
            fake.tokens.tokens.clear()
            assert b"31 rows" == call(mode, storage, "get", "a")
            fake.inject(refused(401, "authError"), path=OBJECT, times=None)
            error = caught(lambda: call(mode, storage, "get", "a"))
        assert isinstance(error, AuthenticationError)
        assert 3 == fake.calls["/token"]

    def test_the_key_of_the_environment(
        self, fake: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Application Default Credentials."""
        key = fake.write_key(tmp_path / "key.json", fake.add_account("flows"))
        storage = make(fake, auth=None)
        with HTTPX.sending():
            nobody = caught(lambda: storage.put(b"x", "a"))
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
            storage.put(b"31 rows", "a")
            assert b"31 rows" == storage.get("a")
        assert isinstance(nobody, AuthenticationError)
        assert "GOOGLE_APPLICATION_CREDENTIALS" in str(nobody.hint)

    def test_the_account_of_the_machine(
        self, fake: FakeGcs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The metadata server gives its tokens."""
        monkeypatch.setenv("GCE_METADATA_IP", fake.host)
        # google-auth has read the variable for it when it was imported.
        module = "google.auth.compute_engine._metadata"
        monkeypatch.setattr(f"{module}._GCE_METADATA_HOST", fake.host)
        fake.tokens.machine = fake.add_account("vm").email
        with HTTPX.sending():
            make(fake, auth=None).put(b"31 rows", "a")
        assert b"31 rows" == fake.data("a")

    @pytest.mark.parametrize("name", ["signature", "account", "type", "JSON", "key"])
    def test_wrong_keys(self, fake: FakeGcs, name: str) -> None:
        """Nothing is stored, and nothing of the key is shown, not even in the frames."""
        account = fake.add_account("flows")
        right = json.loads(fake.key_text(account))
        other = json.loads(fake.key_text(fake.add_account("other")))
        key = {
            "signature": json.dumps({**right, "private_key": other["private_key"]}),
            "account": json.dumps({**right, "client_email": "nobody@example.com"}),
            "type": json.dumps({**right, "type": "external_account"}),
            "JSON": fake.key_text(account)[:-1],
            "key": json.dumps({**right, "private_key": "-----BEGIN PRIVATE KEY-----\nCaNaRy"}),
        }[name]
        with HTTPX.sending({"GCP_CREDENTIALS": key}):
            error = caught(lambda: make(fake, credentials="${GCP_CREDENTIALS}").put(b"x", "a"))
        assert isinstance(error, AuthenticationError)
        assert {} == fake.buckets["flows"]
        frames = traceback.TracebackException.from_exception(error, capture_locals=True)
        shown = "".join(frames.format()) + repr(vars(error))
        for secret in (right["private_key"][40:80], other["private_key"][40:80], "CaNaRy"):
            assert secret not in shown

    @pytest.mark.parametrize(
        "answer",
        [Answer(503), Answer(0), json_answer(200, {"odd": 1}), Answer(200, b"<html>")],
        ids=["busy", "lost", "no token", "no JSON"],
    )
    def test_a_token_service_in_trouble(self, fake: FakeGcs, answer: Answer) -> None:
        """It is told, and nothing is sent."""
        key = fake.key_text(fake.add_account("flows"))
        fake.inject(answer, path="/token", times=None)
        with HTTPX.sending({"GCP_CREDENTIALS": key}):
            error = caught(lambda: make(fake, credentials="${GCP_CREDENTIALS}").get("a"))
        assert isinstance(error, (TransportError, AuthenticationError))
        assert {"/token"} == {*fake.calls}

    @pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "", "é"])
    def test_a_token_that_is_none(self, fake: FakeGcs, token: str) -> None:
        """It could not be in a header."""
        key = fake.key_text(fake.add_account("flows"))
        said = {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}
        fake.inject(json_answer(200, said), path="/token", times=None)
        with HTTPX.sending({"GCP_CREDENTIALS": key}):
            error = caught(lambda: make(fake, credentials="${GCP_CREDENTIALS}").get("a"))
        assert isinstance(error, AuthenticationError)
        assert {"/token"} == {*fake.calls}

    def test_a_token_service_without_tls(self, fake: FakeGcs) -> None:
        """What a key signs goes to nobody in plain text."""
        content = json.loads(fake.key_text(fake.add_account("flows")))
        key = json.dumps({**content, "token_uri": "http://tokens.example.com/token"})
        with HTTPX.sending({"GCP_CREDENTIALS": key}):
            error = caught(lambda: make(fake, credentials="${GCP_CREDENTIALS}").get("a"))
        assert isinstance(error, TransportError)
        assert "without TLS" in str(error)

    def test_without_google_auth(self, fake: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error names the extra."""
        monkeypatch.setitem(sys.modules, "google.oauth2.service_account", None)
        with HTTPX.sending():
            error = caught(lambda: make(fake, auth=None).get("a"))
        assert isinstance(error, MissingExtraError)
        assert "gcp" in str(error.hint)

    def test_a_private_authority(self, fake: FakeGcs) -> None:
        """It is trusted for the token too, and nothing else is."""
        with FakeGcs(tls=True) as secure:
            options = {"credentials": "${KEY}", "allow_http": False}
            key = secure.key_text(secure.add_account("flows"))
            with HTTPX.sending({"KEY": key}):
                make(secure, verify=str(secure.ca_file), **options).put(b"31 rows", "a")
                error = caught(lambda: make(secure, **options).put(b"x", "a"))
            assert isinstance(error, TransportError)
            assert b"31 rows" == secure.data("a")

    def test_nothing_is_logged(self, fake: FakeGcs, caplog: pytest.LogCaptureFixture) -> None:
        """Neither key nor token, by whatever library."""
        caplog.set_level(logging.DEBUG)
        key = fake.key_text(fake.add_account("flows"))
        with HTTPX.sending({"GCP_CREDENTIALS": key}):
            make(fake, credentials="${GCP_CREDENTIALS}").put(b"x", "a")
        [token] = fake.tokens.tokens
        assert token not in caplog.text
        assert json.loads(key)["private_key"][40:80] not in caplog.text

    def test_the_project_that_pays(
        self, fake: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It comes with the credentials, and that of the storage goes first."""
        content = json.loads(fake.key_text(fake.add_account("flows")))
        key = tmp_path / "key.json"
        key.write_text(json.dumps({**content, "quota_project_id": "theirs"}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
        monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "theirs")
        with HTTPX.sending():
            for options, expected in (({}, "theirs"), ({"user_project": "ours"}, "ours")):
                make(fake, auth=None, **options).put(b"x", "a")
                assert expected == fake.last.headers["x-goog-user-project"]

    @pytest.mark.parametrize("project", ["a\r\nX-Evil: 1", "é", "a b"])
    def test_a_project_that_is_none(
        self, fake: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: str
    ) -> None:
        """It would be in a header."""
        key = fake.write_key(tmp_path / "key.json", fake.add_account("flows"))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
        monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", project)
        with HTTPX.sending():
            error = caught(lambda: make(fake, auth=None).put(b"x", "a"))
        assert isinstance(error, AuthenticationError)
        assert "GOOGLE_CLOUD_QUOTA_PROJECT" in str(error.hint)
        assert {"/token"} == {*fake.calls}

    @modes
    @pytest.mark.parametrize("hours", [-2, 2])
    def test_a_wrong_clock(
        self, mode: Mode, fake: FakeGcs, monkeypatch: pytest.MonkeyPatch, hours: int
    ) -> None:
        """Google takes what the key signs for its time only, and the key is not blamed."""
        now: Callable[[], datetime] = _helpers.utcnow
        monkeypatch.setattr(_helpers, "utcnow", lambda: now() + timedelta(hours=hours))
        key = fake.key_text(fake.add_account("flows"))
        storage = make(fake, credentials="${KEY}")
        with mode.sending({"KEY": key}):
            error = caught(lambda: call(mode, storage, "put", b"x", "a"))
        assert isinstance(error, AuthenticationError)
        assert ({"/token"}, {}) == ({*fake.calls}, fake.buckets["flows"])
        assert "Google gives no access token, since the clock of this machine is wrong" == str(
            error
        )

    def test_a_file_that_holds_no_credentials(
        self, fake: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whose file it is, is told."""
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing"))
        with HTTPX.sending():
            error = caught(lambda: make(fake, auth=None).put(b"x", "a"))
        assert isinstance(error, AuthenticationError)
        assert str(error.hint).startswith("the file that GOOGLE_APPLICATION_CREDENTIALS names")

    def test_a_kind_by_its_type(self) -> None:
        """Any storage can name it."""
        request = {
            "url": "https://storage.googleapis.com/flows/a",
            "auth": {"type": "google", "credentials": "${GCP_CREDENTIALS}"},
        }
        storage = Webhook(request, "PUT", request, "GET")
        assert storage == Storage.from_json(storage.to_json())
        assert Google(credentials="${X}") == Google(credentials="${X}")


KEY = {"credentials": "${KEY}"}
LINES: dict[str, tuple[dict[str, Any], str, str, str, str]] = {
    "no such bucket": (
        {**KEY, "bucket": "missing"}, "right", "a",
        "POST {url}/upload/storage/v1/b/missing/o answered 404 (notFound): there is no such bucket",
        "is 'bucket' right?",
    ),
    "no name of one": (
        {**KEY, "bucket": "A b"}, "right", "a",
        "bucket: it is no name of a bucket: lower-case letters, digits, '.', '-', '_'", "None",
    ),
    "no credential": (
        {"credentials": "${NONE}"}, "right", "a", "${{NONE}} is missing (asked: mapping)",
        ("set the environment variable NONE, or add it to another of those asked; "
        "'webhook-storage check' shows what each of them answers"),
    ),
    "nobody": (
        {"anonymous": True}, "right", "a",
        ("POST {url}/upload/storage/v1/b/flows/o answered 401 (required): the access token is "
        "missing, wrong or expired"),
        "are the credentials right, and of a project that still exists?",
    ),
    "default credentials": (
        {"auth": None}, "right", "a", "there are no Application Default Credentials",
        ("set GOOGLE_APPLICATION_CREDENTIALS, or log in with 'gcloud auth application-default "
        "login'; or give the placeholder of a service account's key as 'credentials'"),
    ),
    "wrong credential": (
        KEY, "wrong", "a", "Google gives no access token for these credentials",
        "the credentials are wrong or were revoked: renew the key, or log in again",
    ),
    "no key": (
        KEY, "other", "a", "the credentials are not the JSON key of a service account",
        ('the placeholder stands for the whole file, with "type": "service_account"; leave '
        "'credentials' out for credentials of another type"),
    ),
    "wrong token": (
        {"auth": {"type": "bearer", "token": "${KEY}"}}, "other", "a",
        ("POST {url}/upload/storage/v1/b/flows/o answered 401 (authError): the access token is "
        "missing, wrong or expired"),
        "are the credentials right, and of a project that still exists?",
    ),
    "line break": (
        KEY, "right", "a\nb",
        "key: ${{artifact.key}} has a control character, which no object's name can hold",
        "store it under another key",
    ),
    "long name": (
        KEY, "right", "a" * 1025,
        ("POST {url}/upload/storage/v1/b/flows/o answered 400 (invalid): the service does not take "
        "it"),
        "an object's name has at most 1024 bytes and no line break; is 'bucket' a name?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_bad_input_ends_in_one_line(fake: FakeGcs, name: str) -> None:
    """With a hint at what to do."""
    options, secret, key, line, hint = LINES[name]
    content = json.loads(fake.key_text(fake.add_account("flows")))
    wrong = json.dumps({**content, "client_email": "nobody@example.com"})
    given = {"right": json.dumps(content), "wrong": wrong, "other": "CaNaRy"}[secret]
    with HTTPX.sending({"KEY": given}):
        error = caught(lambda: make(fake, **options).put(b"x", key))
    assert isinstance(error, WebhookStorageError)
    assert (line.format(url=fake.url), hint) == (str(error), str(error.hint))
    assert {} == fake.buckets["flows"]


class TestOtherWays:
    """The same objects by plain kwargs, and by HMAC keys."""

    @modes
    @pytest.mark.parametrize("key", KEYS)
    def test_as_webhook(self, mode: Mode, fake: FakeGcs, key: str) -> None:
        """It stores, fetches, asks and deletes."""
        webhook = make(fake, user_project="payer").as_webhook()
        assert webhook == Storage.from_json(webhook.to_json())
        with mode.sending({"TOKEN": fake.token()}):
            receipt = call(mode, webhook, "put", b"31 rows", key)
            assert b"31 rows" == call(mode, make(fake), "get", key)
            assert b"31 rows" == call(mode, webhook, "get", key)
            assert call(mode, webhook, "exists", key)
            call(mode, webhook, "delete", key)
        assert {} == fake.buckets["flows"]
        assert receipt.captures["generation"].isdigit()

    @modes
    @pytest.mark.parametrize("key", ["a", "a b/é+%25"])
    def test_hmac_keys_by_the_s3_kind(self, mode: Mode, fake: FakeGcs, key: str) -> None:
        """The XML API takes the signature, and refuses that of a wrong key."""
        fake.hmac["GOOG1EXAMPLE"] = "right"
        storage = S3(
            bucket="flows",
            endpoint=fake.url,
            profile="gcs",
            access_key_id="${ID}",
            secret_access_key="${KEY}",
        )
        with mode.sending({"ID": "GOOG1EXAMPLE", "KEY": "right"}):
            call(mode, storage, "put", b"31 rows", key)
            assert b"31 rows" == call(mode, storage, "get", key) == fake.data(key)
        with mode.sending({"ID": "GOOG1EXAMPLE", "KEY": "wrong"}):
            error = caught(lambda: call(mode, storage, "put", b"x", key))
        assert isinstance(error, AuthenticationError)
        assert b"31 rows" == fake.data(key)
