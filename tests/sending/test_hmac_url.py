"""URLs that are signed by an HMAC: what is signed, how it is written, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fakes.http import Answer, FakeServer, Received, text_answer
from tests.sending.support import HTTPX, MODES, Mode, caught, plain
from webhook_storage import Storage
from webhook_storage.auth import find
from webhook_storage.auth.hmac_url import HmacUrl
from webhook_storage.contracts import Access, WireRequest
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    LiteralSecretWarning,
    UnsafeValueError,
)
from webhook_storage.secret import SecretValue
from webhook_storage.testing import find_leaks

if TYPE_CHECKING:
    from collections.abc import Iterator

modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)

KEY = "key+of/this test"
URL = "https://files.example.com:8443/v1/AUTH_a/c/a%20%C3%A9%2B"


class Signed(FakeServer):
    """Keeps files behind URLs that are signed over the encoded path, in base64url, by SHA-512."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}

    def answer(self, request: Received, body: bytes) -> Answer:
        """Look at the signature, and do what the method says."""
        path = request.target.partition("?")[0]
        text = f"{request.query.get('until')}:{request.method}:{path}".encode()
        digest = hmac.digest(KEY.encode(), text, "sha512")
        expected = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if request.query.get("sig") != expected:
            return text_answer(401, f"not {request.target}")
        if request.method == "PUT":
            self.files[path] = body
            return Answer(201)
        found = self.files.get(path)
        return Answer(404) if found is None else Answer(200, found)


@pytest.fixture
def server() -> Iterator[Signed]:
    """A service that takes signed URLs only."""
    with Signed() as service:
        yield service


AUTH = {
    "type": "hmac_url",
    "key": "${KEY}",
    "algorithm": "sha512",
    "layout": "{expires}:{method}:{raw_path}",
    "encoding": "base64url",
    "signature_parameter": "sig",
    "expires_parameter": "until",
}


def sign(url: str = URL, method: str = "GET", **fields: Any) -> str:
    """Return the URL with its signature."""
    wire = WireRequest(method=method, url=url, headers=[])
    access = Access(secrets={"key": SecretValue(KEY)})
    return HmacUrl(key="${KEY}", **fields).sign(wire, access).url


@modes
def test_what_is_stored_is_fetched(mode: Mode, server: Signed) -> None:
    """Of a service with a layout of its own; each request is signed for itself."""
    storage = plain(server.url, auth=AUTH)
    with mode.sending({"KEY": KEY}):
        mode.call(storage, "put", b"31 rows", "a b+\u00e9")
        assert b"31 rows" == mode.call(storage, "get", "a b+\u00e9")
    assert ["/a%20b%2B%C3%A9"] == list(server.files)


@modes
@pytest.mark.parametrize(
    "wrong",
    [{"algorithm": "sha256"}, {"layout": "{expires}:{path}"}, {"encoding": "hex"}],
    ids=["algorithm", "layout", "encoding"],
)
def test_what_is_signed_in_another_way_is_refused(
    mode: Mode, server: Signed, wrong: dict[str, str]
) -> None:
    """So the server sees to all of it."""
    with mode.sending({"KEY": KEY}, attempts=3), pytest.raises(AuthenticationError):
        mode.call(plain(server.url, auth={**AUTH, **wrong}), "put", b"x", "a")
    assert {} == server.files


@modes
def test_a_wrong_key_is_refused(mode: Mode, server: Signed) -> None:
    """It is sent once, and is in no error."""
    with mode.sending({"KEY": "canary/of this+test"}, attempts=3):
        error = caught(lambda: mode.call(plain(server.url, auth=AUTH), "put", b"x", "a"))
    assert isinstance(error, AuthenticationError)
    assert ([], 1) == (find_leaks(f"{error!r} {error.hint}", "canary/of this+test"), error.attempts)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_swift_signs_the_decoded_path(algorithm: str) -> None:
    """Method, expiry and path in lines, in hex."""
    query = parse_qs(urlsplit(sign(algorithm=algorithm)).query)
    [expires], [signature] = query["temp_url_expires"], query["temp_url_sig"]
    text = f"GET\n{expires}\n/v1/AUTH_a/c/a \u00e9+"
    assert hmac.new(KEY.encode(), text.encode(), algorithm).hexdigest() == signature


def test_every_field_can_be_signed() -> None:
    """Each as it is sent."""
    layout = "{method} {scheme} {host} {path} {raw_path} {query} {expires} {{}"
    with pytest.raises(ConfigurationError, match="fields"):
        sign(layout=layout)
    layout = layout.removesuffix(" {{}")
    signed = urlsplit(sign(f"{URL}?b=%2F&a=1", layout=layout, encoding="base64"))
    query = parse_qs(signed.query)
    text = (
        "GET https files.example.com:8443 /v1/AUTH_a/c/a \u00e9+ /v1/AUTH_a/c/a%20%C3%A9%2B "
        f"b=%2F&a=1 {query['temp_url_expires'][0]}"
    )
    digest = hmac.digest(KEY.encode(), text.encode(), hashlib.sha256)
    assert base64.b64encode(digest).decode() == query["temp_url_sig"][0]
    assert signed.query.startswith("b=%2F&a=1&temp_url_sig=")


def test_a_path_of_any_bytes_is_signed() -> None:
    """Also one that is no UTF-8."""
    query = parse_qs(urlsplit(sign("https://example.com/%FF")).query)
    text = f"GET\n{query['temp_url_expires'][0]}\n/".encode() + b"\xff"
    assert hmac.digest(KEY.encode(), text, "sha256").hex() == query["temp_url_sig"][0]


@pytest.mark.parametrize("path", ["/a%0Ab", "/a%00", "/%7F"])
def test_a_control_character_is_not_signed(path: str) -> None:
    """It could make one text of two."""
    with pytest.raises(UnsafeValueError, match="control character"):
        sign(f"https://example.com{path}")


@pytest.mark.parametrize("name", ["temp_url_sig", "temp_url_expires"])
def test_a_url_that_is_signed_already_is_refused(name: str) -> None:
    """One of the two would count, and nobody knows which."""
    with pytest.raises(ConfigurationError, match="already"):
        sign(f"{URL}?{name}=1")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"layout": "{method}\n{path}"}, "fit all"),
        ({"layout": "{method}\n{expires}"}, "fit all"),
        ({"layout": "{expires}{path}{secret}"}, "fields"),
        ({"layout": "{expires}{path}{}"}, "fields"),
        ({"algorithm": "md5"}, "algorithm"),
        ({"lifetime": 0}, "lifetime"),
        ({"lifetime": 10**7}, "lifetime"),
        ({"signature_parameter": "a", "expires_parameter": "a"}, "two parameters"),
        ({"signature_parameter": ""}, "signature_parameter"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], text: str) -> None:
    """When the storage is made."""
    with pytest.raises(ConfigurationError, match=text):
        find({"type": "hmac_url", "key": "${KEY}", **wrong})


def test_a_key_in_the_definition_is_warned_of() -> None:
    """It is a placeholder as everywhere."""
    with pytest.warns(LiteralSecretWarning):
        find({"type": "hmac_url", "key": "literal"})


def test_it_is_plain_data() -> None:
    """And survives JSON in a storage."""
    storage = plain("https://files.example.com", auth=AUTH)
    assert storage == Storage.from_json(storage.to_json())
    assert AUTH == json.loads(storage.to_json())["build_request_kwargs"]["auth"]


def test_a_preview_says_what_will_be_signed(server: Signed) -> None:
    """And nothing is."""
    with HTTPX.sending({"KEY": KEY}) as sender:
        shown = sender.preview(plain(server.url, auth=AUTH).exchange("fetch", "a"))
    assert "an HMAC of expires, method and raw_path in sig" == shown.signature
    assert KEY not in f"{shown!r} {shown.text()}"
