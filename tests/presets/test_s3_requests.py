"""What S3 is sent, and what its refusals mean, where no server here says the same as Amazon's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.sending.support import IN_TESTS, caught
from webhook_storage import RetryPolicy, Sender, Storage
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ResponseError,
    ServerError,
    TooLargeError,
    UnexpectedAnswerError,
    WebhookStorageError,
)
from webhook_storage.testing import FakeTransport, SentRequest, canary, find_leaks
from webhook_storage_presets.s3 import S3
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MEBI = 1024**2
SECRETS = {"ID": "AKID-of-this-test", "KEY": "key-of-this-test", "TOKEN": "token-of-this-test"}
Answer = tuple[int, dict[str, str], bytes]
Answering = "Callable[[SentRequest], Answer]"


def s3(**fields: Any) -> S3:
    """Return a storage with credentials of its own."""
    given = {
        "bucket": "flows",
        "region": "eu-west-1",
        "access_key_id": "${ID}",
        "secret_access_key": "${KEY}",
    }
    return S3(**{**given, **fields})


def error(code: str, status: int = 403, **headers: str) -> Answer:
    """Return a refusal as S3 writes one."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>"
    return status, {"Content-Type": "application/xml", **named}, body.encode()


STORED: Answer = (200, {"ETag": '"e1"'}, b"")


def sending(
    answers: Sequence[Answer] | Callable[[SentRequest], Answer], attempts: int = 1
) -> tuple[Sender, FakeTransport]:
    """Return a sender whose requests get these answers, in turn."""
    left = [] if callable(answers) else list(answers)
    transport = FakeTransport(answers if callable(answers) else lambda _: left.pop(0))
    sender = Sender(
        secrets=[MappingResolver(dict(SECRETS))],
        transport=transport,
        retry=RetryPolicy(attempts=attempts, max_delay=0),
        network=IN_TESTS,
    )
    return sender, transport


class TestWhatIsSent:
    """Hosts, paths and headers."""

    @pytest.mark.parametrize(
        ("fields", "url"),
        [
            ({}, "https://flows.s3.eu-west-1.amazonaws.com/a%20b"),
            ({"region": None}, "https://flows.s3.us-east-1.amazonaws.com/a%20b"),
            ({"bucket": "with.dots"}, "https://s3.eu-west-1.amazonaws.com/with.dots/a%20b"),
            ({"addressing": "path"}, "https://s3.eu-west-1.amazonaws.com/flows/a%20b"),
            ({"endpoint": "https://s3.test/"}, "https://s3.test/flows/a%20b"),
            (
                {"endpoint": "https://s3.test:9000", "addressing": "virtual"},
                "https://flows.s3.test:9000/a%20b",
            ),
            (
                {"key": "x y/${artifact.key}.bin"},
                "https://flows.s3.eu-west-1.amazonaws.com/x%20y/a%20b.bin",
            ),
        ],
    )
    def test_where_it_goes(self, fields: dict[str, Any], url: str) -> None:
        """The bucket is in the host where Amazon's certificate fits, else in the path."""
        sender, transport = sending([STORED])
        with sender:
            s3(**fields).put(b"31 rows", "a b")
        assert [("PUT", url)] == [(each.method, each.url) for each in transport.requests]

    @pytest.mark.parametrize(
        ("profile", "endpoint", "region"),
        [("r2", "https://r2.test", "auto"), ("minio", "https://m.test", "us-east-1")],
    )
    def test_the_region_of_a_profile(self, profile: str, endpoint: str, region: str) -> None:
        """Where nobody says a region, the signature names that of the service."""
        sender, transport = sending([STORED])
        with sender:
            s3(profile=profile, endpoint=endpoint, region=None).put(b"", "a")
        assert f"/{region}/s3/aws4_request" in transport.requests[0].headers["authorization"]

    def test_how_it_is_kept(self) -> None:
        """Class, encryption, metadata and media type are said with the store only."""
        storage = s3(
            storage_class="STANDARD_IA",
            server_side_encryption="aws:kms",
            kms_key_id="alias/flows",
            metadata={"team": "data"},
            content_type="text/csv",
            expected_bucket_owner="123456789012",
            session_token="${TOKEN}",
        )
        sender, transport = sending([STORED, (200, {"ETag": '"e1"'}, b"31 rows")])
        with sender:
            storage.put(b"31 rows", "a")
            storage.get("a")
        put, get = (request.headers for request in transport.requests)
        said = {
            "content-type": "text/csv",
            "x-amz-storage-class": "STANDARD_IA",
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": "alias/flows",
            "x-amz-meta-team": "data",
        }
        assert said == {name: put[name] for name in said}
        assert not set(said) & set(get)
        for headers in (put, get):
            assert "123456789012" == headers["x-amz-expected-bucket-owner"]
            assert SECRETS["TOKEN"] == headers["x-amz-security-token"]
            signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
            assert {"x-amz-expected-bucket-owner", "x-amz-security-token"} < {*signed.split(";")}

    def test_a_checksum_goes_along_where_it_is_compared(self) -> None:
        """Amazon's own service keeps it; of others nobody knows."""
        for fields, sent in (({}, True), ({"endpoint": "https://s3.test"}, False)):
            sender, transport = sending([STORED])
            with sender:
                s3(**fields).put(b"hello world", "a")
            checksum = transport.requests[0].headers.get("x-amz-checksum-sha256")
            assert ("uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=" if sent else None) == checksum

    def test_an_anonymous_request_is_not_signed(self) -> None:
        """Nobody says who sends it."""
        sender, transport = sending([(200, {"ETag": '"e1"'}, b"31 rows")])
        storage = S3(bucket="public", anonymous=True)
        with sender:
            assert b"31 rows" == storage.get("a")
        assert "authorization" not in transport.requests[0].headers

    def test_a_flow_has_its_slug_and_the_time(self) -> None:
        """And is fetched from there, by the receipt."""
        stored: dict[str, bytes] = {}

        def answer(request: SentRequest) -> Answer:
            if request.method == "PUT":
                stored[request.url] = request.body
                return STORED
            return 200, {"ETag": '"e1"'}, stored[request.url]

        def hello_world() -> int:
            return 42

        sender, _ = sending(answer)
        storage = S3(bucket="flows", anonymous=True)
        with sender:
            storage.add_flow(hello_world)
            twin = Storage.from_json(storage.build().to_json())
            assert 42 == twin.get_flow("hello_world")()
        (url,) = stored
        path = url.removeprefix("https://flows.s3.us-east-1.amazonaws.com/")
        slug, time = path.split("/")
        assert ("hello-world", 27) == (slug, len(time))

    @pytest.mark.parametrize(
        ("key", "found"),
        [
            ("fixed.bin", "fixed.bin"),
            ("by/${artifact.sha256}", "by/b94d27b9934d3e08"),
            ("${build.uuid}.bin", ""),
            ("${build.time}", ""),
        ],
    )
    def test_kinds_of_keys(self, key: str, found: str) -> None:
        """Fixed, by content, by chance and by time; the receipt leads back to each."""
        sender, transport = sending([STORED, (200, {"ETag": '"e1"'}, b"hello world")])
        storage = s3(key=key)
        with sender:
            receipt = storage.put(b"hello world")
            storage.get(receipt)
        put, get = (request.url for request in transport.requests)
        assert put == get
        assert put.startswith(f"https://flows.s3.eu-west-1.amazonaws.com/{found}")


class TestVersions:
    """Buckets that keep older versions."""

    def test_a_receipt_fetches_its_version(self) -> None:
        """By the key alone it is the newest."""
        stored = (200, {"ETag": '"e1"', "x-amz-version-id": "v 1/+"}, b"")
        fetched = (200, {"ETag": '"e1"'}, b"31 rows")
        sender, transport = sending([stored, fetched, fetched])
        with sender:
            receipt = s3().put(b"31 rows", "a")
            s3().get(receipt)
            s3().get("a")
        assert {"version_id": "v 1/+"} == receipt.captures
        _, versioned, newest = (request.url for request in transport.requests)
        assert versioned.endswith("/a?versionId=v%201%2F%2B")
        assert newest.endswith("/a")


class TestRefusals:
    """Each code in words that somebody can act on."""

    @pytest.mark.parametrize(
        ("answer", "kind", "words", "hint"),
        [
            (error("AccessDenied"), PermissionDeniedError, "may not", "policy"),
            (error("InvalidAccessKeyId"), AuthenticationError, "does not know", "session token"),
            (error("SignatureDoesNotMatch"), AuthenticationError, "signature", "region"),
            (error("RequestTimeTooSkewed"), AuthenticationError, "15 minutes", "clock"),
            (error("ExpiredToken", 400), AuthenticationError, "expired", "session token"),
            (error("NoSuchBucket", 404), ResponseError, "no such bucket", "endpoint"),
            (error("NoSuchKey", 404), ObjectNotFoundError, "no such object", "key"),
            (
                error("PermanentRedirect", 301, x_amz_bucket_region="eu-north-1"),
                ResponseError,
                "another region",
                "region='eu-north-1'",
            ),
            (error("PermanentRedirect", 301), ResponseError, "another region", "give its region"),
            (
                error("AuthorizationHeaderMalformed", 400, x_amz_bucket_region="a b"),
                ResponseError,
                "another region",
                "give its region",
            ),
            (
                error("TemporaryRedirect", 307, Location="https://evil.test/"),
                ResponseError,
                "another region",
                "region",
            ),
            (error("XAmzContentSHA256Mismatch", 400), IntegrityError, "other bytes", "alters"),
            (error("BadDigest", 400), IntegrityError, "other bytes", "alters"),
            (error("EntityTooLarge", 400), TooLargeError, "too large", "multipart_above"),
            (error("KeyTooLongError", 400), ResponseError, "1,024 bytes", "shorter"),
            (error("NotImplemented", 501), ResponseError, "does not know", "profile"),
            (error("OperationAborted", 409), ConflictError, "somebody else", "try again"),
            (error("SomethingNew", 400), ResponseError, "(SomethingNew)", "code"),
            ((403, {}, b"<html>no</html>"), PermissionDeniedError, "403", "policy"),
            (error("bad code!", 400), ResponseError, "answered 400:", "code"),
        ],
        ids=lambda value: "" if isinstance(value, (type, str)) else None,
    )
    def test_it_is_one_line_with_a_hint(
        self, answer: Answer, kind: type[WebhookStorageError], words: str, hint: str
    ) -> None:
        """The service's own message is not told, since it repeats what was sent."""
        sender, _ = sending([answer])
        with sender:
            failure = caught(lambda: s3().put(b"31 rows", "a"))
        assert kind is type(failure)
        assert words in str(failure)
        assert hint in str(getattr(failure, "hint", ""))
        assert "\n" not in str(failure)

    def test_forbidden_is_not_missing(self) -> None:
        """Without the right to list, S3 says 403 of what is not there, and so do we."""
        sender, _ = sending(lambda _: (403, {}, b""))
        with sender:
            for action in (lambda: s3().exists("a"), lambda: s3().delete("a")):
                assert PermissionDeniedError is type(caught(action))

    def test_an_answer_of_somebody_else(self) -> None:
        """A page that answers everything by 200 is no S3."""
        sender, _ = sending(lambda _: (200, {"Content-Type": "text/html"}, b"<html>log in</html>"))
        with sender:
            for action in (lambda: s3().get("a"), s3().list):
                assert UnexpectedAnswerError is type(caught(action))

    def test_what_may_only_be_created(self) -> None:
        """A lost answer is no conflict with oneself, and a race is tried again."""
        fetched = (200, {"ETag": '"e1"'}, b"31 rows")
        race, exists = error("ConditionalRequestConflict", 409), error("PreconditionFailed", 412)
        sender, transport = sending([race, STORED, exists, (500, {}, b""), exists, fetched], 2)
        with sender:
            assert '"e1"' == s3().put(b"31 rows", "a", if_absent=True).version
            assert ObjectExistsError is type(
                caught(lambda: s3().put(b"31 rows", "a", if_absent=True))
            )
            assert '"e1"' == s3().put(b"31 rows", "a", if_absent=True).version
        assert {"*"} == {
            request.headers["if-none-match"]
            for request in transport.requests
            if request.method == "PUT"
        }

    def test_temporary_credentials_that_have_ended_are_asked_for_again(self) -> None:
        """Once, and only if there are others by then."""
        sender, transport = sending([error("ExpiredToken", 400)])
        with sender:
            assert AuthenticationError is type(caught(lambda: s3().get("a")))
        assert 1 == len(transport.requests)


class TestParts:
    """Multipart uploads where something goes wrong."""

    def answers(self, completions: Sequence[Answer]) -> Callable[[SentRequest], Answer]:
        """Return what answers an upload, and these to its last request, in turn."""
        left = list(completions)

        def answer(request: SentRequest) -> Answer:
            if request.url.endswith("?uploads="):
                return 200, {}, b"<R><UploadId>u/1+</UploadId></R>"
            if request.method == "PUT":
                return 200, {"ETag": '"' + "0" * 32 + '"'}, b""
            if request.method == "POST":
                return left.pop(0)
            return 204, {}, b""

        return answer

    def put(self, completions: Sequence[Answer]) -> tuple[BaseException | None, FakeTransport]:
        """Store two parts, and return what came of it."""
        sender, transport = sending(self.answers(completions))
        storage = s3(multipart_above=0, part_size=5 * MEBI)
        with sender:
            try:
                storage.put(bytes(6 * MEBI), "a")
            except WebhookStorageError as failure:
                return failure, transport
        return None, transport

    def test_a_success_that_holds_an_error_is_tried_again(self) -> None:
        """S3 answers 200 before it has put the parts together."""
        done: Answer = (200, {}, b"<R><ETag>&quot;e-2&quot;</ETag></R>")
        failure, transport = self.put([error("InternalError", 200), done])
        assert failure is None
        body = transport.requests[-1].body.decode()
        assert body.count("<Part>") == 2
        assert "?uploadId=u%2F1%2B" in transport.requests[-1].url

    def test_an_upload_that_cannot_end_is_aborted(self) -> None:
        """Its parts would cost until somebody removes them."""
        failure, transport = self.put([error("InvalidPart", 400)])
        assert ResponseError is type(failure)
        assert "DELETE" == transport.requests[-1].method
        failure, transport = self.put([error("InternalError", 200)] * 4)
        assert ServerError is type(failure)
        assert "DELETE" == transport.requests[-1].method

    def test_what_is_larger_than_any_object(self) -> None:
        """It is refused before it is read."""
        assert s3(profile="r2", endpoint="https://r2.test")._profile.largest < 5 * 1024**4


class Uploads:
    """What S3 answers to an upload in parts, where it forgets one that has ended.

    Attributes:
        page: Most parts in a list.
        tags: The ETag of each part that was sent.
        there: The ETag of the object, empty without one.
        lose: Answers instead of the last request, once.
        broken: Answers the third part, as long as it is given.
    """

    def __init__(self) -> None:
        self.page = 1
        self.tags: dict[int, str] = {}
        self.there = ""
        self.lose: Answer | None = None
        self.broken: Answer | None = None

    def __call__(self, request: SentRequest) -> Answer:
        """Answer one request."""
        query = request.query
        if "uploads" in query:
            return 200, {}, b"<R><UploadId>u-1</UploadId></R>"
        if request.method == "HEAD":
            return (200, {"ETag": self.there}, b"") if self.there else (404, {}, b"")
        if "partNumber" in query:
            return self._part(int(query["partNumber"]), request.body)
        if request.method == "GET":
            return self._list(int(query["part-number-marker"]))
        if request.method == "DELETE" or not self.lose:
            return 204 if request.method == "DELETE" else 200, {}, b"<R><ETag>e-2</ETag></R>"
        lost, self.lose = self.lose, error("NoSuchUpload", 404)
        return lost

    def _part(self, number: int, body: bytes) -> Answer:
        if self.broken and number == 3:
            return self.broken
        tag = self.tags[number] = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return 200, {"ETag": f'"{tag}"'}, b""

    def _list(self, marker: int) -> Answer:
        """Return a page of parts, with one that nobody can have sent."""
        page = sorted(number for number in self.tags if number > marker)[: self.page]
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{self.tags[number]}&quot;</ETag>"
            "</Part>"
            for number in page
        )
        more = str(bool(page) and page[-1] < max(self.tags)).lower()
        text = (
            f"<R><IsTruncated>{more}</IsTruncated><Part><PartNumber>x</PartNumber></Part>{parts}"
            f"<NextPartNumberMarker>{page[-1] if page else ''}</NextPartNumberMarker></R>"
        )
        return 200, {}, text.encode()

    def whole(self) -> str:
        """Return the ETag of an object of these parts."""
        joined = bytes.fromhex("".join(tag for _, tag in sorted(self.tags.items())))
        digest = hashlib.md5(joined, usedforsecurity=False).hexdigest()
        return f'"{digest}-{len(self.tags)}"'


class TestInterrupted:
    """Uploads whose answers are lost, and that go on in another process."""

    @pytest.fixture
    def service(self) -> Uploads:
        """A service without an object."""
        return Uploads()

    def storage(self, **fields: Any) -> S3:
        """Return a storage that sends one part after the other."""
        return s3(multipart_above=0, part_size=5 * MEBI, parallel=1, **fields)

    @pytest.mark.parametrize("there", ["this", "other", "nothing", "encrypted"])
    def test_the_last_answer_was_lost(self, service: Uploads, there: str) -> None:
        """The object that is there now is this one by its ETag, or nobody knows."""
        data = bytes(5 * MEBI) + b"end"

        def answer(request: SentRequest) -> Answer:
            reply = service(request)
            if there == "encrypted" and "partNumber" in request.query:
                reply = (200, {"ETag": f'"no-md5-{request.query["partNumber"]}"'}, b"")
            if request.method == "POST" and service.tags:
                kept = {"this": service.whole(), "nothing": ""}
                service.there = kept.get(there, '"of-somebody-else-2"')
            return reply

        service.lose = error("InternalError", 500)
        sender, transport = sending(answer, attempts=2)
        with sender:
            if there == "this":
                receipt = self.storage().put(data, "a")
                assert service.whole() == receipt.version
            else:
                assert isinstance(caught(lambda: self.storage().put(data, "a")), ResponseError)
        assert "HEAD" in [request.method for request in transport.requests]

    def test_parts_are_listed_by_pages(self, service: Uploads, tmp_path: Path) -> None:
        """Those that are there are not sent again."""
        source, checkpoint = tmp_path / "source", tmp_path / "checkpoint"
        source.write_bytes(bytes(11 * MEBI))
        service.broken = error("InternalError", 500)
        sender, transport = sending(service)
        with sender:
            failure = caught(lambda: self.storage().put(source, "a", resume=checkpoint))
            service.broken = None
            before = len(transport.requests)
            self.storage().put(source, "a", resume=checkpoint)
        assert isinstance(failure, ServerError)
        later = [each.method for each in transport.requests[before:]]
        assert ["GET", "GET", "PUT", "POST"] == later

    @pytest.mark.parametrize(
        ("listed", "requests"),
        [
            (error("NoSuchUpload", 404), ["GET", "POST", "PUT", "PUT", "PUT", "POST"]),
            ((200, {}, b"<html>"), ["GET"]),
        ],
        ids=["forgotten", "none"],
    )
    def test_a_list_that_is_none(
        self, service: Uploads, tmp_path: Path, listed: Answer, requests: list[str]
    ) -> None:
        """An upload that the service knows no more begins anew; a strange answer is told."""
        source, checkpoint = tmp_path / "source", tmp_path / "checkpoint"
        source.write_bytes(bytes(11 * MEBI))
        service.broken = error("InternalError", 500)
        sender, transport = sending(
            lambda request: listed if "part-number-marker" in request.query else service(request)
        )
        with sender:
            caught(lambda: self.storage().put(source, "a", resume=checkpoint))
            service.broken = None
            before = len(transport.requests)
            if len(requests) > 1:
                self.storage().put(source, "a", resume=checkpoint)
            else:
                failure = caught(lambda: self.storage().put(source, "a", resume=checkpoint))
                assert isinstance(failure, UnexpectedAnswerError)
        assert requests == [each.method for each in transport.requests[before:]]

    @pytest.mark.parametrize(
        ("part", "words"), [("begin", "without an UploadId"), ("send", "without an ETag")]
    )
    def test_answers_that_are_none(self, service: Uploads, part: str, words: str) -> None:
        """A proxy's page is not taken for an upload."""
        page: Answer = (200, {}, b"welcome")

        def answer(request: SentRequest) -> Answer:
            strange = "uploads" if part == "begin" else "partNumber"
            return page if strange in request.query else service(request)

        sender, transport = sending(answer)
        with sender, pytest.raises(UnexpectedAnswerError, match=words):
            self.storage().put(bytes(6 * MEBI), "a")
        assert ("DELETE" in [each.method for each in transport.requests]) is (part == "send")


class TestLists:
    """Pages of keys."""

    def test_pages_follow_one_another(self) -> None:
        """The service's token goes back as it came, and other objects have no key here."""

        def page(names: Sequence[str], token: str = "") -> Answer:
            more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
            items = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in names)
            body = (
                f"<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
                f"<EncodingType>url</EncodingType><IsTruncated>{str(bool(token)).lower()}"
                f"</IsTruncated>{more}{items}</ListBucketResult>"
            )
            return 200, {}, body.encode()

        first = page(["data/a+b.bin", "data/other.txt"], "${KEY}/+==")
        sender, transport = sending([first, page(["data/c%2Bd/e.bin"])])
        with sender:
            assert ["a b", "c+d/e"] == s3(key="data/${artifact.key}.bin").list()
        first_url, second_url = (request.url for request in transport.requests)
        assert "prefix=data%2F" in first_url
        assert "continuation-token=%24%7BKEY%7D%2F%2B%3D%3D" in second_url

    @pytest.mark.parametrize(
        ("token", "words"),
        [
            ("<NextContinuationToken>t</NextContinuationToken>", "same page"),
            ("", "no further"),
        ],
    )
    def test_pages_without_an_end_are_refused(self, token: str, words: str) -> None:
        """A list would never end, or lack what is behind the first page."""
        page = f"<ListBucketResult><IsTruncated>true</IsTruncated>{token}</ListBucketResult>"
        sender, _ = sending([(200, {}, page.encode())] * 3)
        with sender, pytest.raises(UnexpectedAnswerError, match=words):
            s3().list()

    def test_a_key_that_is_one_artifact_has_no_list(self) -> None:
        """There is nothing that would tell them apart."""
        sender, _ = sending([])
        with sender, pytest.raises(ConfigurationError, match="there is no list"):
            s3(key="fixed").list()


class TestFields:
    """What no bucket, key or credential can be."""

    @pytest.mark.parametrize(
        ("fields", "match"),
        [
            ({"bucket": "a/b"}, "bucket"),
            ({"bucket": ""}, "bucket"),
            ({"region": "eu west"}, "region"),
            ({"key": "a/../b"}, "segment"),
            ({"key": "a/"}, "name"),
            ({"secret_access_key": None}, "belong together"),
            ({"anonymous": True}, "contradict"),
            ({"addressing": "virtual", "bucket": "with.dots"}, "addressing"),
            ({"part_size": 1}, "part_size"),
            ({"profile": "nobody"}, "profile"),
            ({"buckets": "x"}, "buckets"),
        ],
    )
    def test_they_are_refused_at_once(self, fields: dict[str, Any], match: str) -> None:
        """In one line that names the field."""
        failure = caught(lambda: s3(**fields))
        assert isinstance(failure, ConfigurationError)
        assert match in f"{failure} {failure.path} {failure.hint}"

    def test_no_credentials_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Botocore finds none here, and what to do is said."""
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        sender, transport = sending([])
        with sender:
            failure = caught(lambda: S3(bucket="flows").get("a"))
        assert isinstance(failure, AuthenticationError)
        assert "AWS_ACCESS_KEY_ID" in str(failure.hint)
        assert [] == transport.requests

    def test_the_chain_of_botocore(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is in the environment signs, and nothing shows it."""
        secret = canary()
        for name, text in (("ACCESS_KEY_ID", "AKIDCHAIN"), ("SECRET_ACCESS_KEY", secret)):
            monkeypatch.setenv(f"AWS_{name}", text)
        sender, transport = sending(lambda _: error("SignatureDoesNotMatch"))
        with sender:
            failure = caught(lambda: S3(bucket="flows").get("a"))
        assert "Credential=AKIDCHAIN/" in transport.requests[0].headers["authorization"]
        assert [] == find_leaks(f"{failure} {failure!r}", secret)
