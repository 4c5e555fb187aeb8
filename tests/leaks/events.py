"""What can happen to a request that carries secrets, and how each of it is brought about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from tests.leaks.canary import ALL_FORMS, MIXED, PLAIN, SECRETS
from tests.sending.raw import Answer, Call, always, reply
from webhook_storage import errors
from webhook_storage.contracts import (
    AsyncWireResponse,
    Deadline,
    Outcome,
    Resolver,
    Transport,
    WireRequest,
    WireResponse,
)

if TYPE_CHECKING:
    from webhook_storage.template import Reference

Raise = Callable[[str], BaseException]

FINE = always(reply(X_Id="7"))
"""What a server answers to whom all is well."""


@dataclass(frozen=True)
class Event:
    """Something that happens to a request.

    Attributes:
        name: What happens.
        raises: What the caller gets, None when all is well.
        answer: What the server does.
        secrets: The values of the placeholders.
        origin: Where the request goes: to the server, to one that is not there, or to one whose
            certificate nobody knows.
        resolver: Who is asked, in place of a mapping of the secrets.
        breaks: What a transport of somebody else raises.
    """

    name: str
    raises: type[BaseException] | None
    answer: Answer = FINE
    secrets: Mapping[str, str] = field(default_factory=lambda: SECRETS)
    origin: str = "here"
    resolver: Resolver | None = None
    breaks: Raise | None = None

    def __str__(self) -> str:
        """Return the name."""
        return self.name


class FailingResolver(Resolver):
    """A plug-in that fails and tells what it knows."""

    scheme: ClassVar[str] = "failing"

    def __init__(self, error: Raise, *, local: bool) -> None:
        self.error = error
        self.local = local  # type: ignore[misc]

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Fail with the value in the text."""
        raise self.error(EVERYTHING)


class TellingResolver(FailingResolver):
    """A plug-in whose outcome is no outcome."""

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Give the value itself."""
        return dict.fromkeys(references, EVERYTHING)  # type: ignore[arg-type]


class FailingTransport(Transport):
    """A plug-in that fails and tells what it sent."""

    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})

    def __init__(self, error: Raise, *, late: bool = False) -> None:
        self.error = error
        self.late = late

    def send(self, request: WireRequest) -> WireResponse:
        """Fail with the request in the text."""
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers)
        failure = self.error(f"{request.url}\n{headers}\n{EVERYTHING}")
        failure.add_note(request.url)
        failure.__cause__ = ValueError(request.url)
        if self.late:
            return _Late(failure)
        raise failure

    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Fail in the same way."""
        answer = self.send(request)
        return _AsyncLate(answer)


class _Late:
    """An answer that breaks while it is read."""

    status = 200
    headers = ()

    def __init__(self, failure: BaseException) -> None:
        self.failure = failure

    def chunks(self) -> Iterator[bytes]:
        yield b"some"
        raise self.failure

    def close(self) -> None:
        pass


class _AsyncLate:
    status = 200
    headers = ()

    def __init__(self, answer: WireResponse) -> None:
        self.answer = answer

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self.answer.chunks():
            yield chunk

    async def aclose(self) -> None:
        pass


EVERYTHING = "\n".join(ALL_FORMS.values())
"""A careless server sends a request back in all kinds of encodings."""


def echo(status: str, **headers: str) -> Answer:
    """Answer with the request, and with its secrets in the reason, the headers and the body."""
    kept = {
        "Content_Type": "application/json",
        "ETag": MIXED,
        "X_Id": "7",
        "Set_Cookie": f"s={PLAIN}",
    }

    def answer(call: Call) -> bytes:
        body = EVERYTHING.encode() + call.raw
        return reply(f"{status} {MIXED}", body, **{**kept, "WWW_Authenticate": MIXED, **headers})

    return answer


def _reset_mid_body(call: Call) -> bytes:
    call.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + EVERYTHING.encode())
    call.reset()
    return b""


def hang(call: Call) -> bytes:
    """Say nothing."""
    call.hang()
    return b""


def _truncate(call: Call) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 99999\r\n\r\n" + call.raw


def _truncate_chunks(call: Call) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n" % len(call.raw) + call.raw


def _garbage(call: Call) -> bytes:
    return EVERYTHING.encode() + call.raw


def _group(text: str) -> BaseException:
    return BaseExceptionGroup(text, [ValueError(text), KeyboardInterrupt(text)])


def _unicode(text: str) -> BaseException:
    return UnicodeEncodeError("latin-1", text, 0, 1, text)


OUTCOMES = (
    Event("success", None),
    Event("success that echoes in headers", None, echo("200", X_Id="7")),
    Event("captured echo", errors.UnsafeValueError, echo("200", X_Id=MIXED)),
    Event(
        "captured echo in base64",
        errors.UnsafeValueError,
        echo("200", X_Id=ALL_FORMS["MIXED, basic"]),
    ),
    Event("401", errors.AuthenticationError, echo("401")),
    Event("404", errors.ObjectNotFoundError, echo("404")),
    Event("409", errors.ConflictError, echo("409", Content_Type="text/plain; charset=latin-1")),
    Event("429", errors.RateLimitedError, echo("429", Retry_After=PLAIN)),
    Event("500", errors.ServerError, echo("500")),
    Event("418", errors.ResponseError, echo("418")),
    Event(
        "redirect to another host",
        errors.RedirectRefusedError,
        echo("302", Location=f"http://{PLAIN}.test/?q={PLAIN}"),
    ),
    Event(
        "redirect on the same origin",
        errors.RedirectRefusedError,
        echo("302", Location=f"/{PLAIN}"),
    ),
    Event("redirect in a circle", errors.RedirectRefusedError, echo("307", Location=f"/{PLAIN}")),
    Event(
        "redirect to nonsense",
        errors.RedirectRefusedError,
        echo("307", Location=f"http://[{PLAIN}"),
    ),
    Event(
        "redirect to a bad port",
        errors.RedirectRefusedError,
        echo("307", Location=f"http://127.0.0.1:{PLAIN}/"),
    ),
    Event("HTML page", errors.UnexpectedAnswerError, echo("200", Content_Type="text/html")),
    Event("truncated", errors.ProtocolError, _truncate),
    Event("truncated chunks", errors.ProtocolError, _truncate_chunks),
    Event("reset in the body", errors.ProtocolError, _reset_mid_body),
    Event("closed without an answer", errors.ProtocolError, lambda _call: b""),
    Event("no HTTP", errors.ProtocolError, _garbage),
    Event("hang", errors.TimedOutError, hang),
    Event("connection refused", errors.ConnectError, origin="nowhere"),
    Event("unknown certificate", errors.TlsError, origin="tls"),
    Event(
        "line break in a value",
        errors.UnsafeValueError,
        secrets={**SECRETS, "MIXED": f"{MIXED}\r\nX-Evil: 1"},
    ),
    Event(
        "line break at the end", errors.UnsafeValueError, secrets={**SECRETS, "MIXED": f"{MIXED}\n"}
    ),
    Event("not ASCII", errors.UnsafeValueError, secrets={**SECRETS, "MIXED": f"{MIXED}é€"}),
    Event("not a text", errors.SecretInvalidError, secrets={**SECRETS, "MIXED": f"{MIXED}\udc80"}),
    Event("one of two missing", errors.SecretNotFoundError, secrets={"MIXED": MIXED}),
    Event(
        "resolver fails",
        errors.SecretUnavailableError,
        resolver=FailingResolver(ValueError, local=True),
    ),
    Event(
        "resolver fails in its thread",
        errors.SecretUnavailableError,
        resolver=FailingResolver(ValueError, local=False),
    ),
    Event(
        "resolver gives a text",
        errors.SecretUnavailableError,
        resolver=TellingResolver(ValueError, local=True),
    ),
    Event(
        "Ctrl-C in the resolver",
        KeyboardInterrupt,
        resolver=FailingResolver(KeyboardInterrupt, local=True),
    ),
    Event("transport fails", errors.UnexpectedError, breaks=ValueError),
    Event("transport cannot encode", errors.UnexpectedError, breaks=_unicode),
    Event("transport raises our error", errors.ConnectError, breaks=errors.ConnectError),
    Event(
        "transport raises another of ours",
        errors.ConfigurationError,
        breaks=errors.ConfigurationError,
    ),
    Event(
        "transport raises a hint",
        errors.TlsError,
        breaks=lambda text: errors.TlsError("no", hint=text),
    ),
    Event("Ctrl-C in the transport", KeyboardInterrupt, breaks=KeyboardInterrupt),
    Event("exit in the transport", SystemExit, breaks=SystemExit),
    Event("group in the transport", KeyboardInterrupt, breaks=_group),
)
