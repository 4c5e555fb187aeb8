"""A transport without a network, a canary, and the search for it."""

from __future__ import annotations

import base64
import json
import pickle
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_storage.errors import AuthenticationError, ConnectError
from webhook_storage.retry import RetryPolicy
from webhook_storage.sender import Sender
from webhook_storage.testing import FakeTransport, SentRequest, canary, find_leaks
from webhook_storage.webhook import Webhook
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.testing import Answer

REQUEST = {
    "url": "https://files.test/${artifact.key}",
    "params": {"a": "b c"},
    "headers": {"X-Key": "${KEY}"},
}
STORAGE = Webhook(REQUEST, "PUT", REQUEST, "GET")


class Memory:
    """A service in a dictionary, behind a key."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def __call__(self, request: SentRequest) -> Answer:
        if request.headers["x-key"] != "right":
            return 401, {}, b"who are you?"
        if request.method == "PUT":
            self.files[request.path] = request.body
            return 201, {"ETag": '"1"'}, b""
        return (200, {}, self.files[request.path]) if request.path in self.files else (404, {}, b"")


def sender(transport: FakeTransport, key: str = "right") -> Sender:
    """Return a sender that has the key."""
    retry = RetryPolicy(attempts=1)
    return Sender(secrets=[MappingResolver({"KEY": key})], transport=transport, retry=retry)


# --- the transport --------------------------------------------------------------------------------


def test_requests_are_readable() -> None:
    """The function sees the request as a server would, with values in it."""
    transport = FakeTransport(Memory())
    with sender(transport):
        receipt = STORAGE.put(b"content", key="a/b c")
        assert b"content" == STORAGE.get("a/b c")
    put, get = transport.requests
    assert ('"1"', 7) == (receipt.version, receipt.size)
    assert ("PUT", "/a/b c", {"a": "b c"}, b"content") == (
        put.method,
        put.path,
        put.query,
        put.body,
    )
    assert ("GET", "right") == (get.method, get.headers["x-key"])


async def test_in_an_event_loop() -> None:
    """The same function serves asynchronous operations."""
    with sender(FakeTransport(Memory())):
        await STORAGE.aput(b"content", key="k")
        assert b"content" == await STORAGE.aget("k")


def test_wrong_key_is_refused() -> None:
    """An answer of the function is an error where a server's would be."""
    transport = FakeTransport(Memory())
    with sender(transport, key="wrong"), pytest.raises(AuthenticationError):
        STORAGE.put(b"content", key="k")


def test_function_can_fail_as_a_transport() -> None:
    """An error of a transport, raised by the function, comes out as that kind."""

    def down(_: SentRequest) -> Answer:
        raise ConnectError("nobody there")

    with sender(FakeTransport(down)), pytest.raises(ConnectError, match="nobody there"):
        STORAGE.get("k")


def test_request_shows_no_secret() -> None:
    """The repr of a request shows nothing that a placeholder stood for."""
    value = canary()
    transport = FakeTransport(lambda _: (200, {}, b""))
    with sender(transport, key=value):
        STORAGE.get("k")
    assert value == transport.requests[0].headers["x-key"]
    assert [] == find_leaks(repr(transport.requests), value)


# --- leaks ----------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda text: text,
    "percent-encoded": lambda text: quote(text, safe=""),
    "JSON": lambda text: json.dumps({"k": text}),
    "hex": lambda text: text.encode().hex(),
}


@pytest.mark.parametrize("name", FORMS)
def test_leaks_are_found_in_every_form(name: str) -> None:
    """A value is found by the form in which it stands, in text and in bytes."""
    value = canary()
    text = f"before {FORMS[name](value)} after"
    assert name in find_leaks(text, value)
    assert name in find_leaks(text.encode(), value)


@given(prefix=st.binary(max_size=8), suffix=st.binary(max_size=8))
def test_leaks_are_found_in_base64(prefix: bytes, suffix: bytes) -> None:
    """Inside of base64 a value is found wherever it stands."""
    value = canary()
    raw = prefix + value.encode() + suffix
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert f"base64 at offset {len(prefix) % 3}" in find_leaks(encode(raw), value)


def test_leaks_are_found_in_forms_of_forms() -> None:
    """Encoded twice, as a form, in a pickle or reversed it is found as well."""
    value = canary()
    for leak in (
        quote(quote(value, safe=""), safe=""),
        quote_plus(value),
        json.dumps(json.dumps({"k": value})),
        repr({"k": value}),
        pickle.dumps([value]),
        value[::-1],
        value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;"),
    ):
        assert find_leaks(leak, value)


def test_canaries_are_told_apart() -> None:
    """One canary is not found in another, in whatever form."""
    first, second = canary(), canary()
    for form in FORMS.values():
        assert [] == find_leaks(form(first), second)
    assert [] == find_leaks(b"\xff\xfe\x00", first)


def test_canary_can_be_sent() -> None:
    """A canary goes into headers, queries, paths, bodies and passwords as it is."""
    value = canary()
    seen: list[SentRequest] = []

    def server(request: SentRequest) -> Answer:
        seen.append(request)
        return 200, {}, b""

    request = {
        "url": "https://files.test/x",
        "headers": {"X-Key": "${KEY}"},
        "params": {"q": "${KEY}"},
        "auth": ["user", "${KEY}"],
    }
    with sender(FakeTransport(server), key=value):
        Webhook(request, "PUT", request, "GET").get()
    assert (value, value) == (seen[0].headers["x-key"], seen[0].query["q"])
