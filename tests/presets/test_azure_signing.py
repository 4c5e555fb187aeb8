"""Signatures of Azure: those that the vendor's SDK made for known requests at a known time."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

import pytest
from azure.storage.blob._shared.authentication import _storage_header_sort

from tests.sending.support import caught
from webhook_storage import LiteralSecretWarning
from webhook_storage.artifact import BytesBody
from webhook_storage.auth import find
from webhook_storage.contracts import Access, Request, Wanted, WireRequest
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue
from webhook_storage_presets.azure.connection import read
from webhook_storage_presets.azure.sas import AzureSas
from webhook_storage_presets.azure.signing import AzureSharedKey, string_to_sign

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = base64.b64encode(bytes(range(64))).decode()
ORIGIN = "https://acct.blob.core.windows.net"
MOMENT = 1767323045.0
"""2026-01-02T03:04:05Z."""

ACCESS = Access(secrets={"key": SecretValue(KEY)}, told={"account": "acct"})
SAS = "sv=2021-12-02&sp=r&sig=a%2Bb%2Fc%3D"
FULL = f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={KEY}"


@pytest.fixture
def _known_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock."""
    monkeypatch.setattr(time, "time", lambda: MOMENT)


def signed(method: str, target: str, size: int = 0, **headers: str) -> Mapping[str, str]:
    """Return the headers of a signed request."""
    body = BytesBody(bytes(size)) if method == "PUT" else None
    given = [(name.replace("_", "-"), text) for name, text in headers.items()]
    length = [("Content-Length", str(size))] if body else []
    usual = [("Accept", "*/*"), ("User-Agent", "any")]
    wire = WireRequest(
        method=method, url=f"{ORIGIN}{target}", headers=[*given, *length, *usual], body=body
    )
    auth = AzureSharedKey(account="acct", account_key="${KEY}")
    return dict(auth.sign(wire, ACCESS).headers)


PUT_BLOB = {
    "x_ms_blob_type": "BlockBlob",
    "Content_Type": "application/octet-stream",
    "If_None_Match": "*",
}


@pytest.mark.usefixtures("_known_time")
@pytest.mark.parametrize(
    ("method", "target", "size", "headers", "signature"),
    [
        (
            "PUT",
            "/c/flows/a%20b.bin",
            11,
            PUT_BLOB,
            "SxM6fEIVg3lwkMQs6uiLqsNRoQBA/cV/VkYImh1cua8=",
        ),
        (
            "PUT",
            "/c/b?comp=block&blockid=MDAwMDAx",
            11,
            {},
            "tOCPwPkIeRqNNWnp5TyocZ0eMxIuvGiEELG97X+lfDg=",
        ),
        ("GET", "/c/b", 0, {}, "Lk9P5FIyvXwAZHQSK/4RzJiyDTwgGFYqzQCy3jbEe1I="),
    ],
    ids=["put-blob", "put-block", "get"],
)
def test_known_signatures(
    method: str, target: str, size: int, headers: dict[str, str], signature: str
) -> None:
    """Date and version are added, and the signature is that of the vendor's SDK."""
    found = signed(method, target, size, **headers)
    assert (f"SharedKey acct:{signature}", "Fri, 02 Jan 2026 03:04:05 GMT", "2021-12-02") == (
        found["Authorization"],
        found["x-ms-date"],
        found["x-ms-version"],
    )


@pytest.mark.usefixtures("_known_time")
@pytest.mark.parametrize(
    "changed", [{"If_None_Match": '"0x1"'}, {"x_ms_blob_type": "PageBlob"}, {"Range": "bytes=1-"}]
)
def test_another_header_is_another_signature(changed: dict[str, str]) -> None:
    """What the service acts on is signed."""
    one = signed("PUT", "/c/b", 1, **PUT_BLOB)
    other = signed("PUT", "/c/b", 1, **{**PUT_BLOB, **changed})
    assert one["Authorization"] != other["Authorization"]


@pytest.mark.usefixtures("_known_time")
def test_what_a_proxy_may_change_is_not_signed() -> None:
    """The name of the program is not."""
    one = signed("GET", "/c/b")
    other = signed("GET", "/c/b", User_Agent="another", Accept_Encoding="gzip")
    assert one["Authorization"] == other["Authorization"]


def test_a_version_of_the_definition_is_kept() -> None:
    """Who names one wants that one."""
    assert "2023-11-03" == signed("GET", "/c/b", x_ms_version="2023-11-03")["x-ms-version"]


def test_a_url_without_a_path_is_signed_with_one() -> None:
    """As it is sent."""
    wire = WireRequest(method="GET", url=f"{ORIGIN}?comp=list", headers=[])
    assert "/acct/\ncomp:list" in string_to_sign(wire, "acct")


def test_headers_are_sorted_as_words() -> None:
    """As the vendor's SDK does: an underscore before digits, digits before letters."""
    names = ["a", "a1", "a_b", "ab", "a_", "b", "_a", "x9y", "x_y"]
    headers = [(f"x-ms-meta-{name}", "") for name in names]
    text = string_to_sign(WireRequest(method="PUT", url=f"{ORIGIN}/c/b", headers=headers), "acct")
    found = [line[10:-1] for line in text.split("\n") if line.startswith("x-ms-meta-")]
    theirs = [name[10:] for name, _ in _storage_header_sort(headers)]
    assert ["_a", "a", "a_", "a_b", "a1", "ab", "b", "x_y", "x9y"] == theirs == found


def test_the_string_of_the_specification() -> None:
    """Each header has its line, and the query is decoded and sorted."""
    headers = [
        ("x-ms-version", "2021-12-02"),
        ("X-Ms-Date", "now"),
        ("Content-Length", "0"),
        ("Range", " bytes=1- "),
        ("x-ms-meta-a", " b c "),
    ]
    url = f"{ORIGIN}/c/a%20b?marker=2%2B%20x&comp=list&Prefix="
    wire = WireRequest(method="PUT", url=url, headers=headers)
    expected = [
        "PUT", "", "", "", "", "", "", "", "", "", "", "bytes=1-", "x-ms-date:now",
        "x-ms-meta-a:b c", "x-ms-version:2021-12-02", "/acct/c/a%20b", "comp:list", "marker:2+ x",
        "prefix:",
    ]  # fmt: skip
    assert expected == string_to_sign(wire, "acct").split("\n")


class TestConnectionStrings:
    """What stands in them."""

    @pytest.mark.parametrize(
        ("text", "endpoint"),
        [
            (f"{FULL};EndpointSuffix=core.windows.net", "https://acct.blob.core.windows.net"),
            (FULL, "https://acct.blob.core.windows.net"),
            (f"{FULL};EndpointSuffix=core.chinacloudapi.cn", "https://acct.blob.core.chinacloudapi.cn"),
            (f"{FULL};BlobEndpoint=http://127.0.0.1:10000/acct;", "http://127.0.0.1:10000/acct"),
            (f"BlobEndpoint={ORIGIN}/;SharedAccessSignature={SAS}", ORIGIN),
            (f" accountname=acct ; accountkey={KEY} \n", ORIGIN),
        ],
        ids=["suffix", "no suffix", "another cloud", "emulator", "SAS", "lower case"],
    )  # fmt: skip
    def test_endpoints(self, text: str, endpoint: str) -> None:
        """The endpoint is said, or follows from the account."""
        assert endpoint == read(SecretValue(text)).endpoint

    @pytest.mark.parametrize(
        ("text", "host"),
        [
            (FULL, "acct.blob.core.windows.net"),
            (f"{FULL};BlobEndpoint=http://127.0.0.1:10000/acct", "127.0.0.1"),
            (f"{FULL};BlobEndpoint=http://[::1]:10000/acct", "::1"),
            (f"{FULL};BlobEndpoint=https://Blobs.Example.com", "blobs.example.com"),
        ],
    )
    def test_hosts(self, text: str, host: str) -> None:
        """Without port and brackets, as a policy names it."""
        assert host == read(SecretValue(text)).host

    def test_a_key_keeps_its_equals_signs(self) -> None:
        """Only the first one is a separator."""
        assert SecretValue(KEY) == read(SecretValue(FULL)).key

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("canary", "neither an AccountKey"),
            ("AccountName=acct;EndpointSuffix=core.windows.net", "neither an AccountKey"),
            ("AccountKey=canary", "no AccountName"),
            ("AccountName=a/canary;AccountKey=a", "AccountName that is none"),
            ("AccountName=acct;AccountKey=a;BlobEndpoint=ftp://canary", "no URL"),
            ("AccountName=acct;AccountKey=a;BlobEndpoint=https://u:canary@h", "no URL"),
            ("AccountName=acct;AccountKey=a;BlobEndpoint=https://h/a?canary", "no URL"),
            ("AccountName=acct;AccountKey=a;EndpointSuffix=canary/x", "neither a BlobEndpoint"),
            ("SharedAccessSignature=sig=canary", "neither a BlobEndpoint"),
        ],
    )
    def test_what_is_none_is_refused(self, text: str, why: str) -> None:
        """In one line, with nothing of it."""
        error = caught(lambda: read(SecretValue(text)))
        assert isinstance(error, ConfigurationError)
        assert why in str(error)
        assert "canary" not in f"{error} {error.hint}"


class TestAuth:
    """The kind that a definition names."""

    def log_in(self, auth: AzureSharedKey | AzureSas, text: str) -> Access:
        """Return the access, when the secret is this text."""
        exchange = auth.log_in(Request(method="GET", url=ORIGIN), "")
        wanted = next(exchange)
        assert isinstance(wanted, Wanted)
        try:
            exchange.send({name: SecretValue(text) for name in wanted.templates})
        except StopIteration as stop:
            found: Access = stop.value
            return found
        raise AssertionError("it wants more")

    def test_it_is_found_by_its_type(self) -> None:
        """As any company's own."""
        auth = AzureSharedKey(account="acct", account_key="${KEY}")
        assert auth == find(auth.model_dump())

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"account": "acct"},
            {"account_key": "${KEY}"},
            {"account": "acct", "account_key": "${KEY}", "connection_string": "${CS}"},
        ],
    )
    def test_half_a_credential_is_none(self, fields: dict[str, str]) -> None:
        """Either an account with its key, or a connection string."""
        with pytest.raises(ConfigurationError):
            AzureSharedKey(**fields)

    def test_a_key_in_the_definition_is_warned_of(self) -> None:
        """It is a secret that stands in plain text."""
        with pytest.warns(LiteralSecretWarning):
            AzureSharedKey(account="acct", account_key=KEY)

    @pytest.mark.parametrize("key", ["", "no base64!", "AAA", "ÿ"])
    def test_a_key_that_is_none(self, key: str) -> None:
        """Is refused before anything is sent."""
        auth = AzureSharedKey(account="acct", account_key="${KEY}")
        with pytest.raises(ConfigurationError, match="is not the base64 text"):
            self.log_in(auth, key)

    def test_a_connection_string_of_another_account(self) -> None:
        """Is refused, where the account is named."""
        auth = AzureSharedKey(account="another", connection_string="${CS}")
        with pytest.raises(ConfigurationError, match="that of another account"):
            self.log_in(auth, FULL)

    @pytest.mark.parametrize(("query", "joint"), [("", "?"), ("?comp=list", "&")])
    def test_a_shared_access_signature_goes_into_the_url_as_it_is(
        self, query: str, joint: str
    ) -> None:
        """It was encoded by who made it, and nothing else is signed."""
        text = f"BlobEndpoint={ORIGIN};SharedAccessSignature={SAS}"
        auth = AzureSharedKey(connection_string="${CS}")
        access = self.log_in(auth, text)
        wire = WireRequest(method="GET", url=f"{ORIGIN}/c/b{query}", headers=[])
        sent = auth.sign(wire, access)
        assert (f"{ORIGIN}/c/b{query}{joint}{SAS}", []) == (sent.url, sent.headers)
        assert {"sas": SecretValue(SAS), "sig": SecretValue("a+b/c=")} == access.secrets

    @pytest.mark.parametrize("text", ["", "canary", "sv=canary", "sig=", "sig= canary#", "sig=a?b"])
    @pytest.mark.parametrize("form", ["field", "connection string"])
    def test_a_shared_access_signature_that_is_none(self, form: str, text: str) -> None:
        """It would change the URL, or be one that nobody signed."""
        auth: AzureSas | AzureSharedKey = AzureSas(sas="${SAS}")
        if form == "connection string":
            auth = AzureSharedKey(connection_string="${CS}")
            text = f"BlobEndpoint={ORIGIN};SharedAccessSignature={text or 'x'}"
        error = caught(lambda: self.log_in(auth, text))
        assert isinstance(error, ConfigurationError)
        assert "is no query with a 'sig' in it" in str(error)
        assert "canary" not in f"{error} {error.hint}"

    @pytest.mark.parametrize("text", [SAS, f"?{SAS}", f" {SAS}\n"])
    def test_a_shared_access_signature_on_its_own(self, text: str) -> None:
        """With or without its mark, and as a file ends."""
        auth = AzureSas(sas="${SAS}")
        access = self.log_in(auth, text)
        wire = WireRequest(method="GET", url=f"{ORIGIN}/c/b?comp=list", headers=[])
        assert f"{ORIGIN}/c/b?comp=list&{SAS}" == auth.sign(wire, access).url
        assert {"sas": SecretValue(SAS), "sig": SecretValue("a+b/c=")} == access.secrets
        assert AzureSas(**auth.model_dump()) == auth

    def test_a_connection_string_that_names_no_account(self) -> None:
        """One with a shared access signature needs none, also where the storage names it."""
        text = f"BlobEndpoint={ORIGIN};SharedAccessSignature={SAS}"
        access = self.log_in(AzureSharedKey(account="acct", connection_string="${CS}"), text)
        assert SecretValue(SAS) == access.secrets["sas"]

    def test_a_connection_string_is_for_its_own_place(self) -> None:
        """To any other host, port or scheme neither signature nor SAS goes."""
        texts = (FULL, f"BlobEndpoint={ORIGIN};SharedAccessSignature={SAS}")
        others = ("https://other.example.com", f"{ORIGIN}:8443", ORIGIN.replace("https", "http"))
        auth = AzureSharedKey(connection_string="${CS}")
        for access in (self.log_in(auth, text) for text in texts):
            for other in others:
                wire = WireRequest(method="GET", url=f"{other}/c/b", headers=[])
                with pytest.raises(ConfigurationError, match="leads to another place"):
                    auth.sign(wire, access)

    @pytest.mark.parametrize(
        ("status", "body", "expected"),
        [
            (401, b"", True),
            (403, b"", True),
            (403, b"<Code>AuthenticationFailed</Code>", True),
            (403, b"<Code>AuthorizationFailure</Code>", True),
            (403, b"<Code>AuthorizationPermissionMismatch</Code>", False),
            (400, b"", False),
            (404, b"", False),
        ],
    )
    def test_refusals_that_another_key_may_change(
        self, status: int, body: bytes, *, expected: bool
    ) -> None:
        """A key that was rotated is asked for again."""
        for auth in (
            AzureSharedKey(account="acct", account_key="${KEY}"),
            AzureSas(sas="${SAS}"),
        ):
            assert expected == auth.refused(status, body)
