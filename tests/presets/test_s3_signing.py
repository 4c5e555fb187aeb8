"""Signatures that botocore made for known requests at a known time; ours are the same."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

import pytest

from webhook_storage.artifact import BytesBody
from webhook_storage.contracts import Access, WireRequest
from webhook_storage.secret import SecretValue
from webhook_storage_presets.s3.signing import AwsSigV4

if TYPE_CHECKING:
    from webhook_storage.contracts import Body

KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SECRETS = {"id": SecretValue("AKIDEXAMPLE"), "key": SecretValue(KEY)}
OCTETS = ("Content-Type", "application/octet-stream")
EXAMPLE = "https://examplebucket.s3.us-east-1.amazonaws.com"


@pytest.fixture(autouse=True)
def known_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock that botocore reads."""
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: moment)


def signed(wire: WireRequest, secrets: dict[str, SecretValue] = SECRETS, **fields: object) -> str:
    """Return the header ``Authorization`` of a request."""
    auth = AwsSigV4(**{"region": "us-east-1", **fields})
    headers = dict(auth.sign(wire, Access(secrets=secrets)).headers)
    return headers["Authorization"]


def request(
    method: str, url: str, *headers: tuple[str, str], body: Body | None = None
) -> WireRequest:
    """Return a request as it comes to be signed, with headers that are not signed."""
    usual = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", "any")]
    return WireRequest(method=method, url=url, headers=[*headers, *usual], body=body)


@pytest.mark.parametrize(
    ("wire", "names", "signature"),
    [
        (
            request("GET", f"{EXAMPLE}/flows/a%20b.bin"),
            "host;x-amz-content-sha256;x-amz-date",
            "f8e7b77528f60d952c8b893adcc475609471c6183b857541a0a58b95a3f1fe8e",
        ),
        (
            request(
                "PUT",
                f"{EXAMPLE}/flows/a%20b.bin",
                OCTETS,
                ("If-None-Match", "*"),
                body=BytesBody(b"hello world"),
            ),
            "content-type;host;if-none-match;x-amz-content-sha256;x-amz-date",
            "69d08316364d69c740fb211b2c693a34ad18547a9ea01343ba6df638ebd7e15b",
        ),
        (
            request("POST", f"{EXAMPLE}/k?uploads="),
            "host;x-amz-content-sha256;x-amz-date",
            "a80eadf4f7e9251d98e882de28867e1e41861b7f0e96ab323608b3848e7b824c",
        ),
    ],
    ids=["GET", "PUT", "POST"],
)
def test_known_signatures(wire: WireRequest, names: str, signature: str) -> None:
    """Method, path, query, headers and body are in it, and nothing that a proxy may change."""
    scope = "AKIDEXAMPLE/20260102/us-east-1/s3/aws4_request"
    expected = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"
    assert expected == signed(wire)


def test_a_query_in_another_region() -> None:
    """The query is signed in its order."""
    url = "https://examplebucket.s3.eu-west-1.amazonaws.com/?list-type=2&prefix=a%2Fb&max-keys=2"
    signature = "7965d6b98a6bf98a913d3f6f89c7db4091abd2879e385d9eabecc5d8b32baa38"
    assert signed(request("GET", url), region="eu-west-1").endswith(signature)


def test_a_session_token_without_the_body() -> None:
    """Temporary credentials add a header, and over https the body need not be signed."""
    wire = request(
        "PUT", "https://minio.local:9000/examplebucket/x//y%2Bz.bin", OCTETS, body=BytesBody(b"x")
    )
    secrets = {**SECRETS, "token": SecretValue("TOKEN/123=")}
    signature = "0966e1605caaaa721ee0b98b579460f3c571f369e00ab58d93b9968276ae4d33"
    assert signed(wire, secrets, sign_payload=False).endswith(signature)


def test_a_signed_url() -> None:
    """Nothing but the host is signed beside it, and no header is added."""
    wire = request("GET", f"{EXAMPLE}/flows/a%20b.bin")
    auth = AwsSigV4(region="us-east-1", place="query", lifetime=900)
    sent = auth.sign(wire, Access(secrets=SECRETS))
    signature = "642bc4cd6914188c858d80e99e069821f3a06238197841abec6ee427396a7baa"
    assert sent.url.endswith(
        f"&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature={signature}"
    )
    assert (wire.headers, [signature], "") == (
        sent.headers, [*auth.signatures(sent)], auth.header_name()
    )  # fmt: skip


def test_a_signed_url_has_the_query_and_the_token() -> None:
    """What was asked for comes first, and a blank in it is no plus sign."""
    wire = request("GET", f"{EXAMPLE}/?list-type=2&prefix=a+b", ("x-amz-meta-a", "b"))
    secrets = {**SECRETS, "token": SecretValue("TOKEN/123=")}
    url = AwsSigV4(region="us-east-1", place="query").sign(wire, Access(secrets=secrets)).url
    assert url.startswith(f"{EXAMPLE}/?list-type=2&prefix=a%20b&X-Amz-Algorithm=AWS4-HMAC-SHA256&")
    assert "&X-Amz-SignedHeaders=host%3Bx-amz-meta-a&X-Amz-Security-Token=TOKEN%2F123%3D&" in url


def test_another_service() -> None:
    """What is not S3 is signed as AWS wants it there."""
    text = b'{"repositoryName":"r","filePath":"f.py"}'
    wire = request(
        "POST",
        "https://codecommit.us-east-1.amazonaws.com/",
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", "CodeCommit_20150413.GetFile"),
        body=BytesBody(text),
    )
    signature = "d7ab07ef0217510a72dcd2b0886ed49639c7398a025126c039433a64f0aeaa8d"
    assert signed(wire, service="codecommit").endswith(signature)


def test_over_http_the_body_is_always_signed() -> None:
    """Nothing else would tell that it was altered."""
    wire = request("PUT", "http://127.0.0.1:9000/b/k", body=BytesBody(b"hello world"))
    headers = dict(
        AwsSigV4(region="us-east-1", sign_payload=False).sign(wire, Access(secrets=SECRETS)).headers
    )
    assert "b94d27b9934d3e08" == headers["X-Amz-Content-SHA256"][:16]


def test_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Botocore tells all that it signs, the session token too, to who listens."""
    secrets = {**SECRETS, "token": SecretValue("TOKEN/123=")}
    with caplog.at_level(logging.DEBUG):
        signed(request("GET", f"{EXAMPLE}/a"), secrets)
    assert [] == caplog.records
