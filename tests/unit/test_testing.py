from __future__ import annotations

import base64
import json
import pickle
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_storage.contracts import Deadline, Found, Invalid, NotFound, Outcome, Resolver
from webhook_storage.errors import AuthenticationError, ConnectError
from webhook_storage.retry import RetryPolicy
from webhook_storage.secret import SecretValue
from webhook_storage.sender import Sender
from webhook_storage.template import Reference
from webhook_storage.testing import (
    FakeTransport,
    SentRequest,
    canary,
    check_resolver,
    find_leaks,
)
from webhook_storage.webhook import Webhook
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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


# --- the contract of resolvers --------------------------------------------------------------------

VALUE = canary()
PRESENT, ABSENT = Reference("PRESENT"), Reference("ABSENT")


class Good(Resolver):
    """Keeps its promises."""

    scheme: ClassVar[str] = "good"

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        return {reference: self.look_up(reference) for reference in references}

    def look_up(self, reference: Reference) -> Outcome:
        if reference.options:
            return Invalid("takes no options")
        return Found(value=SecretValue(VALUE)) if reference.name == "PRESENT" else NotFound()


class Raises(Good):
    def look_up(self, reference: Reference) -> Outcome:
        if reference.name == "ABSENT":
            raise LookupError(reference.name)
        return super().look_up(reference)


class ForgetsSome(Good):
    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        return {references[0]: self.look_up(references[0])}


class FindsAnything(Good):
    def look_up(self, reference: Reference) -> Outcome:
        found = super().look_up(reference)
        return found if reference.name == "ABSENT" else Found(value=SecretValue(VALUE))


class FindsAnother(Good):
    def look_up(self, reference: Reference) -> Outcome:
        return Found(value=SecretValue("another"))


class SaysInvalid(Good):
    def look_up(self, reference: Reference) -> Outcome:
        found = super().look_up(reference)
        return Invalid() if isinstance(found, NotFound) else found


class IgnoresOptions(Good):
    def look_up(self, reference: Reference) -> Outcome:
        if reference.options:
            return Found(value=SecretValue(VALUE))
        return super().look_up(reference)


class ShowsIt(Good):
    def __init__(self) -> None:
        self.seen = VALUE

    def __repr__(self) -> str:
        return f"<ShowsIt {self.seen!r}>"


class ShowsItInHealth(Good):
    def health(self) -> str:
        return f"cannot be asked with {VALUE}"


class KeepsIt(Good):
    def __init__(self) -> None:
        self.cache: dict[str, str] = {}

    def look_up(self, reference: Reference) -> Outcome:
        self.cache["PRESENT"] = VALUE
        return super().look_up(reference)


class EndsAtClose(Good):
    closed = False

    def look_up(self, reference: Reference) -> Outcome:
        return NotFound() if self.closed else super().look_up(reference)

    def close(self) -> None:
        self.closed = True


class HasNoScheme(Good):
    scheme: ClassVar[str] = "Not A Scheme"


def check(resolver: Resolver) -> None:
    """Hold a resolver to the contract."""
    check_resolver(resolver, present=PRESENT, value=VALUE, absent=ABSENT)


def test_good_resolvers_pass() -> None:
    """One that keeps its promises passes, and so does one that refuses to be pickled."""
    check(Good())
    check(MappingResolver({"PRESENT": VALUE}))


@pytest.mark.parametrize(
    ("resolver", "promise"),
    [
        (Raises, "never with an exception"),
        (ForgetsSome, "with an outcome"),
        (FindsAnything, "has no secret"),
        (FindsAnother, "finds the secret"),
        (SaysInvalid, "NotFound, not Invalid"),
        (IgnoresOptions, "unknown option"),
        (ShowsIt, "repr"),
        (ShowsItInHealth, "health"),
        (KeepsIt, "pickle"),
        (EndsAtClose, "close"),
        (HasNoScheme, "scheme"),
    ],
)
def test_breaches_are_found(resolver: type[Resolver], promise: str) -> None:
    """Each breach of the contract is found and named, and never with the value."""
    with pytest.raises(AssertionError, match=promise) as caught:
        check(resolver())
    assert [] == find_leaks(str(caught.value), VALUE)
