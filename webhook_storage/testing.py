"""What tests of storages and resolvers need: a transport without a network, a canary, a contract.

Rule: nothing here knows a test framework; a check that fails raises `AssertionError`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, TypeAlias
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from webhook_storage.contracts import (
    Deadline,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Transport,
    WireRequest,
)
from webhook_storage.secret import Redactor, SecretValue
from webhook_storage.template import Reference

# --- a transport without a network ---------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class SentRequest:
    """A request as a server would see it, with all values in it.

    Attributes:
        method: HTTP method.
        url: The whole URL, percent-encoded.
        path: Its path, decoded.
        query: Its query, decoded; of a repeated name the last value.
        headers: Names in lower case.
        body: All bytes of the body.
    """

    method: str
    url: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Show what holds no secret: method and size."""
        return f"<SentRequest {self.method}, {len(self.body)} bytes>"


Answer: TypeAlias = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body."""


class FakeTransport(Transport):
    """Hands each request to a function instead of a server.

    Args:
        handler: Gets a `SentRequest` and returns status, headers and body. It may raise an error of
            `webhook_storage.errors.TransportError`'s kinds, as a transport does.

    Attributes:
        requests: All requests so far.

    Example:
        >>> from webhook_storage import Sender, Webhook
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> fetch = {"url": "https://files.test/f", "headers": {"X-Key": "${KEY}"}}
        >>> def server(request):
        ...     known = request.headers["x-key"] == "of this test"
        ...     return (200, {}, b"content") if known else (401, {}, b"")
        >>> transport = FakeTransport(server)
        >>> with Sender(secrets=[MappingResolver({"KEY": "of this test"})], transport=transport):
        ...     Webhook(fetch, "PUT", fetch, "GET").get()
        b'content'
        >>> transport.requests
        [<SentRequest GET, 0 bytes>]
    """

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})

    def __init__(self, handler: Callable[[SentRequest], Answer]) -> None:
        """Keep the function."""
        self._handler = handler
        self.requests: list[SentRequest] = []

    def send(self, request: WireRequest) -> _Answered:
        """Ask the function."""
        return _Answered(*self._answer(request))

    async def asend(self, request: WireRequest) -> _AsyncAnswered:
        """Ask the function."""
        return _AsyncAnswered(*self._answer(request))

    def _answer(self, request: WireRequest) -> Answer:
        parts = urlsplit(request.url)
        sent = SentRequest(
            method=request.method,
            url=request.url,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers},
            body=b"".join(request.body.chunks()) if request.body is not None else b"",
        )
        self.requests.append(sent)
        return self._handler(sent)


class _Answered:
    """An answer of the function, as a transport gives it."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers: Sequence[tuple[str, str]] = list(headers.items())
        self._body = body

    def chunks(self) -> Iterator[bytes]:
        """Yield the body."""
        yield self._body

    def close(self) -> None:
        """Do nothing, there is no connection."""


class _AsyncAnswered:
    """The same in an event loop."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers: Sequence[tuple[str, str]] = list(headers.items())
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield self._body

    async def aclose(self) -> None:
        """Do nothing, there is no connection."""


# --- leaks ---------------------------------------------------------------------------------------


def canary() -> str:
    """Return a new value to use as a secret, and to look for afterwards.

    It has characters that URLs, JSON, XML and shells spell in another way, so that a leak in any of
    these forms is another text. It may stand in a header, a query, a body and a password.

    Example:
        >>> canary() == canary()
        False
    """
    return f'cn{secrets.token_hex(8)}/+ &="%<~{secrets.token_hex(8)}'


def find_leaks(where: str | bytes, value: str) -> list[str]:
    """Return the forms in which a value stands in a text or in bytes; none is an empty list.

    Args:
        where: A message, a log, a file, a pickle.
        value: What must not be in it; see `canary`.

    Example:
        >>> find_leaks("GET /?key=open%20sesame", "open sesame")
        ['percent-encoded']
        >>> find_leaks(b"Basic bWU6b3BlbiBzZXNhbWU=", "open sesame")
        ['base64 at offset 0']
        >>> find_leaks("nothing", "open sesame")
        []
    """
    text = where if isinstance(where, str) else where.decode("utf-8", errors="backslashreplace")
    forms: dict[str, str] = {}
    for name, form in _forms(value):
        forms.setdefault(form, name)
    found = [name for form, name in forms.items() if form in text]
    if not found and Redactor([SecretValue(value)]).found_in(text):
        found.append("another form")
    return found


def _forms(value: str) -> Iterator[tuple[str, str]]:
    """Yield names and spellings of a value."""
    yield "raw", value
    for encoded in (quote(value), quote(value, safe=""), quote_plus(value)):
        yield "percent-encoded", encoded
        yield "percent-encoded", re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), encoded)
    yield "JSON", json.dumps(value)[1:-1]
    yield "JSON in JSON", json.dumps(json.dumps(value)[1:-1])[1:-1]
    yield "repr", repr(value)[1:-1]
    yield "reversed", value[::-1]
    yield "hex", value.encode().hex()
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield f"base64 at offset {offset}", _base64_core(encode, value.encode(), offset)


def _base64_core(encode: Callable[[bytes], bytes], raw: bytes, offset: int) -> str:
    """Return the characters of base64 that depend on the value alone.

    Args:
        encode: The base64 to use.
        raw: The value.
        offset: How many bytes stand before it in its group of three.
    """
    encoded = encode(bytes(offset) + raw).decode().rstrip("=")
    start = (0, 2, 3)[offset]
    return encoded[start : len(encoded) - (1 if (offset + len(raw)) % 3 else 0)]


# --- the contract of resolvers -------------------------------------------------------------------

_SCHEME = re.compile(r"[a-z][a-z0-9+]{1,31}")
_SECONDS = 10.0
_ODD_NAMES = ("", "..", "../../etc/passwd", "a/b/c", "with space", "nul\0", "ünïcode", "x" * 5000)


def check_resolver(
    resolver: Resolver, *, present: Reference, value: str, absent: Reference
) -> None:
    """Hold a resolver to its contract, with one secret that it has and one that it has not.

    Args:
        resolver: The resolver, ready to be asked.
        present: A reference to a secret that it has, without a field.
        value: That secret as the resolver gives it. It should be a `canary`.
        absent: A reference to a secret that it has not.

    Raises:
        AssertionError: At the first breach; it says what the contract wants.

    Example:
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> value = canary()
        >>> check_resolver(
        ...     MappingResolver({"TOKEN": value}),
        ...     present=Reference("TOKEN"),
        ...     value=value,
        ...     absent=Reference("NOBODY_HAS_THIS"),
        ... )
    """
    scheme = getattr(resolver, "scheme", "")
    _hold(_SCHEME.fullmatch(scheme), "its scheme has 2 to 32 lower-case letters, digits and '+'")
    _check_outcomes(resolver, present, value, absent)
    _check_oddities(resolver, present, absent)
    _check_concurrency(resolver, present, value)
    _check_silence(resolver, value)
    _check_pickle(resolver, present, value)
    for _ in range(2):
        resolver.close()
    _hold(_has(resolver, present, value), "it can be used again after close()")
    resolver.close()


def _check_outcomes(resolver: Resolver, present: Reference, value: str, absent: Reference) -> None:
    """Check the answers to what is there, what is not, both at once, and in an event loop."""
    _hold(_has(resolver, present, value), "it finds the secret that is present")
    alone = _ask(resolver, [absent])[absent]
    _hold(isinstance(alone, NotFound), f"what is absent is NotFound, not {_name(alone)}")
    for batch in ([present, absent], [absent, present, present]):
        answers = _ask(resolver, batch)
        _hold(_is(answers[present], value), "it finds in a batch what it finds alone")
        _hold(isinstance(answers[absent], NotFound), "it misses in a batch what it misses alone")
    answers = asyncio.run(_aask(resolver, [present, absent]))
    _hold(_is(answers[present], value), "aresolve() answers as resolve() does")
    _hold(isinstance(answers[absent], NotFound), "aresolve() answers as resolve() does")
    for answer in answers.values():
        _hold(not find_leaks(repr(answer), value), "an outcome does not show the value")


def _check_oddities(resolver: Resolver, present: Reference, absent: Reference) -> None:
    """Check that whatever is asked, and however late, the answer is an outcome."""
    for name in _ODD_NAMES:
        odd = Reference(name, absent.scheme, absent.instance)
        answer = _ask(resolver, [odd])[odd]
        _hold(not isinstance(answer, Found), f"it has no secret with the name {name[:20]!r}")
    odd = Reference(absent.name, absent.scheme, absent.instance, (("nobody-knows-this", "1"),))
    answer = _ask(resolver, [odd])[odd]
    allowed = isinstance(answer, Invalid | NotFound)
    _hold(allowed, f"an unknown option is Invalid, not {_name(answer)}")
    _ask(resolver, [present], seconds=0.0)


def _check_concurrency(resolver: Resolver, present: Reference, value: str) -> None:
    """Check that threads can share it."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _has(resolver, present, value), range(8)))
    _hold(all(found), "threads can share it")


def _check_silence(resolver: Resolver, value: str) -> None:
    """Check what it says about itself after it was asked."""
    for text in (repr(resolver), str(resolver)):
        _hold(not find_leaks(text, value), "its repr does not show the value")
    health = resolver.health()
    _hold(health is None or isinstance(health, str), "health() returns None or a text")
    _hold(not find_leaks(health or "", value), "health() does not show the value")


def _check_pickle(resolver: Resolver, present: Reference, value: str) -> None:
    """Check that a pickle holds the configuration and no value; one with values may refuse."""
    try:
        pickled = pickle.dumps(resolver)
    except TypeError:
        return
    except Exception as error:  # noqa: BLE001 - that it raises is the finding
        pickled = b""
        fault = type(error).__name__
    else:
        fault = ""
    _hold(not fault, f"it can be pickled, or refuses with a TypeError (it raised {fault})")
    _hold(not find_leaks(pickled, value), "a pickle of it does not hold the value")
    copy = pickle.loads(pickled)  # noqa: S301 - pickled just before
    _hold(_has(copy, present, value), "a copy from a pickle answers as it does")
    copy.close()


def _ask(
    resolver: Resolver, references: Sequence[Reference], seconds: float = _SECONDS
) -> dict[Reference, Outcome]:
    """Return its answers, which must be outcomes."""
    fault = None
    answers: Mapping[Reference, Outcome] = {}
    try:
        answers = resolver.resolve(references, Deadline(seconds))
    except Exception as error:  # noqa: BLE001 - that it raises is the breach
        fault = type(error).__name__
    _hold(fault is None, f"it answers with outcomes, never with an exception ({fault})")
    return _checked(answers, references)


async def _aask(resolver: Resolver, references: Sequence[Reference]) -> dict[Reference, Outcome]:
    return _checked(await resolver.aresolve(references, Deadline(_SECONDS)), references)


def _checked(
    answers: Mapping[Reference, Outcome], references: Sequence[Reference]
) -> dict[Reference, Outcome]:
    for reference in references:
        answer = answers.get(reference)
        _hold(isinstance(answer, Outcome), f"it answers {str(reference)[:20]!r} with an outcome")
    return dict(answers)


def _has(resolver: Resolver, reference: Reference, value: str) -> bool:
    return _is(_ask(resolver, [reference])[reference], value)


def _is(answer: Outcome, value: str) -> bool:
    return isinstance(answer, Found) and answer.value == SecretValue(value)


def _name(answer: Outcome) -> str:
    return type(answer).__name__


def _hold(kept: object, promise: str) -> None:
    if not kept:
        message = f"a resolver keeps this promise: {promise}"
        raise AssertionError(message)
