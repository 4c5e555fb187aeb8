"""What the parts of this library, and those that plug into it, promise to one another.

Plug-ins import from here, from `errors`, `secret` and `template`; a preset also from `storage`, of
which it is a kind, and from what that one is made of.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    NoReturn,
    Protocol,
    SupportsIndex,
    TypeAlias,
    TypeVar,
)

from webhook_storage.origin import Origin, origin

if TYPE_CHECKING:
    from webhook_storage.secret import SecretValue
    from webhook_storage.template import Reference

T = TypeVar("T")


# --- secrets -------------------------------------------------------------------------------------


class Deadline:
    """A moment by which an answer is wanted.

    Args:
        seconds: From now on, on the monotonic clock.
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        """Start the clock."""
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left, 0 when it has passed."""
        return max(0.0, self._end - time.monotonic())


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The resolver has the secret.

    Attributes:
        value: The secret.
        structured: True when the value is a JSON object of fields of which the reference must name
            one, as in Vault; False when the value itself is the secret.
        version: The store's version of it, for messages.
        lifetime: Seconds for which the value may be kept; None means as long as any other. A
            one-time password has 0.
    """

    value: SecretValue
    structured: bool = False
    version: str | None = None
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class NotFound:
    """The resolver was asked and has no such secret. The next one is asked."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Forbidden:
    """The resolver may not read it. Nobody else is asked.

    Attributes:
        detail: Why, without anything that the store answered word for word.
        maybe_missing: True where the store answers so for absent secrets too.
    """

    detail: str = ""
    maybe_missing: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The resolver could not be asked. Nobody else is asked.

    Attributes:
        detail: Why.
        retry_after: Seconds after which the store wants to be asked again, or None.
    """

    detail: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Invalid:
    """The reference makes no sense to this resolver, whoever asks."""

    detail: str = ""


Outcome: TypeAlias = Found | NotFound | Forbidden | Unavailable | Invalid


class Resolver(ABC):
    """A place where secrets live.

    An instance is configuration: it can be pickled, holds references to credentials (an environment
    variable's name, a file's path) and no credential, and makes its client when it is first asked.

    Attributes:
        scheme: The word before the colon in ``${vault:path#field}``, which selects this resolver.
        local: True when an answer costs no more than reading a small file. Local answers are not
            cached and not asked for in another thread.
        has_instances: False where the store's own references look like ``scheme://a/b``, as
            1Password's do: what stands after the slashes is then part of the reference, unless a
            resolver is configured under that name.
    """

    scheme: ClassVar[str]
    local: ClassVar[bool] = False
    has_instances: ClassVar[bool] = True

    @abstractmethod
    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Answer each reference; an answer is an outcome, never an exception.

        Args:
            references: At least one, each without its field, which the caller selects itself.
                A bare ``${NAME}`` comes with ``scheme`` None.
            deadline: When the caller stops waiting.

        Returns:
            An outcome for every reference.
        """

    async def aresolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Do the same without blocking the event loop; by default in a thread."""
        return await asyncio.to_thread(self.resolve, references, deadline)

    def health(self) -> str | None:
        """Return None when the place can be asked, else why not. Reads no secret."""
        return None

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Let go of clients. It can be called more than once, and the resolver used again."""


# --- requests ------------------------------------------------------------------------------------


class Body(Protocol):
    """Bytes to send, as often as need be."""

    @property
    def size(self) -> int:
        """Return the number of bytes."""

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes from the start."""

    def sha256(self) -> str:
        """Return the digest in lower-case hex."""


class Sink(Protocol):
    """Where the body of an answer goes.

    Attributes:
        blocks: Whether writing takes time, so that an event loop leaves it to a thread.
    """

    blocks: bool

    def reset(self) -> None:
        """Forget what was written; an answer starts anew."""

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""


Facts: TypeAlias = Mapping[str, str]
"""What placeholders with a dot stand for, for example ``{"artifact.key": "a/b"}``."""

UPLOAD = "receipt.upload"
"""The fact by which an exchange names a URL that a service gave for one upload.

Whoever knows it may write there, so it is hidden as secrets are.
"""


class Checkpoint(Protocol):
    """Where a store that takes several requests keeps how far it has come.

    Attributes:
        state: Plain data of the exchange, None when nothing was begun.
    """

    state: dict[str, Any] | None

    def save(self, state: dict[str, Any]) -> None:
        """Keep the state before the next request is sent."""

    def clear(self) -> None:
        """Forget it: all is stored, or given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """How an artifact is to be stored.

    A storage whose service cannot hold a condition refuses it before anything is sent.

    Attributes:
        if_absent: Whether it may only be created, not replaced.
        if_version: The service's version, as in the receipt, which alone may be replaced.
        checkpoint: Where an upload in parts keeps how far it has come.
    """

    if_absent: bool = False
    if_version: str | None = None
    checkpoint: Checkpoint | None = None

    @property
    def conditional(self) -> bool:
        """Tell whether something must hold of what is there."""
        return self.if_absent or self.if_version is not None


PLAIN = StoreOptions()
"""Store, whatever is there."""


DEFAULT_TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and seconds to wait for each piece of the answer."""


@dataclass(kw_only=True, slots=True, eq=False)
class Request:  # not frozen: with so many fields that takes a measurable part of a warm request
    """One request as templates: what an exchange yields. It is not changed after that.

    Texts in `url`, `params`, `headers`, `cookies`, `json`, `data`, `auth`, `proxies`, `cert` and
    `verify` are templates. Text that came from elsewhere goes through `template.escape` first, or
    into `facts`.

    Attributes:
        method: HTTP method in upper case.
        url: Template of the URL.
        params: Mapping, or list of pairs, for the query.
        headers: Names to texts; a mapping or list as value is sent as JSON.
        cookies: Names to texts.
        json: Any JSON document to send as the body.
        data: Text, or a mapping to send as a form.
        auth: User and password for basic authentication, or how else to say who sends it.
        body: Bytes to send as they are.
        multipart: Name of the form field and file name when `body` goes as a file in a form.
        timeout: Seconds to connect and to wait for each piece of the answer.
        verify: False, or the path or the PEM text of a CA bundle that is trusted as well.
        cert: Path or PEM text of a client certificate with its key, or one of each.
        proxies: Proxy by scheme.
        follow: Whether redirects are followed at all.
        redirect_hosts: Patterns of other hosts to which a fetch may be redirected.
        accept: Statuses that are a success; by default every 2xx.
        returns: Statuses that are not a success and yet come back to the exchange.
        idempotent: True when sending twice does the same as once; None decides by the method.
        retry_when: Tells of an answer that came back by `returns` whether another attempt may
            change it.
        sink: Where the answer's body goes; None keeps it, up to 1 MiB, in the response.
        headers_only: Whether the answer's body is of no interest, and is not waited for.
        allow_html: Whether a success may be an HTML page.
        allow_http: Whether it may go unencrypted to another machine.
        facts: Values of the dotted placeholders.
    """

    method: str
    url: str
    params: Any = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    data: Any = None
    auth: Sequence[str] | Auth | None = None
    body: Body | None = None
    multipart: tuple[str, str] | None = None
    timeout: tuple[float, float] = DEFAULT_TIMEOUT
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    proxies: Mapping[str, str] | None = None
    follow: bool = True
    redirect_hosts: Sequence[str] = ()
    accept: frozenset[int] | None = None
    returns: frozenset[int] = frozenset()
    idempotent: bool | None = None
    retry_when: Callable[[Response], bool] | None = None
    sink: Sink | None = None
    headers_only: bool = False
    allow_html: bool = False
    allow_http: bool = False
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Response:
    """One answer: what an exchange is sent.

    Attributes:
        status: HTTP status code.
        headers: Names in lower case; of a repeated name the values joined by a comma.
        body: The answer's body; empty when it went into a sink.
        size: Number of bytes of the body, wherever it went.
        sha256: Their digest in lower-case hex.
        attempts: How often the request was sent.
        history: What came of each attempt.
        echoes: Tells whether a text holds a secret of the request, in any form.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    size: int = 0
    sha256: str = ""
    attempts: int = 1
    history: tuple[str, ...] = ()
    echoes: Callable[[str], bool] | None = None

    def __repr__(self) -> str:
        """Leave out headers and body, a server may echo a secret."""
        return f"<Response {self.status}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse; a server may echo a secret."""
        message = "a response is not kept; take from it what you need"
        raise TypeError(message)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Secrets that an exchange needs for itself, for example to verify a signature.

    Attributes:
        templates: A template for each name; the exchange is sent a `SecretValue` for each.
    """

    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """Something that takes time here: to hash a file, to write a checkpoint.

    An event loop leaves it to a thread.

    Attributes:
        action: What to do; the exchange is sent what it returns.
        identity: Whose credentials it takes where the definition names none: those of this machine,
            of who is logged in here. A policy knows them as ``auth:IDENTITY``.
    """

    action: Callable[[], Any]
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, for example until a service has put the parts of an upload together.

    Attributes:
        seconds: How long.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Together:
    """Exchanges that do not wait for one another.

    When one fails, no other is begun, and the failure is told to the exchange when those that were
    begun have ended.

    Attributes:
        exchanges: What to carry out; the exchange is sent a list of their results, in order.
        limit: Most at a time.
    """

    exchanges: Sequence[Exchange[Any]]
    limit: int = 4


@dataclass(frozen=True, slots=True)
class LogIn:
    """What a service tells with a log-in that is no secret, for example where its files are.

    The log-in is the one that requests with the same `auth` are sent with, so it is made once.

    Attributes:
        auth: Who logs in; the exchange is sent `Access.told`, which is empty where a kind tells
            nothing, and None where nothing is sent, as for a preview. It is text of a service:
            before a credential goes where it says, the host is compared with what the storage says.
    """

    auth: Auth


Wish: TypeAlias = Request | Wanted | Work | Pause | Together | LogIn
"""What an exchange yields."""

Exchange: TypeAlias = Generator[Wish, Any, T]
"""The requests of one operation, and its result. It does no I/O of its own.

It yields a `Request` and is sent a `Response`, or yields another wish and is sent what comes of it.
"""


# --- who sends it --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Access:
    """What a log-in gave: what requests are signed with.

    Attributes:
        secrets: What may stand in a request, by name.
        lifetime: Seconds for which all requests with this log-in may use it; 0 when it is for those
            only that waited for it, None as long as no server refuses it.
        told: What the service said that is no secret, for example where its files are.
        signer: What a library made of the secrets, and signs with.
        made_with: The secrets that the log-in took, which the sender notes: whoever may not get
            those gets nothing that was made with them.
    """

    secrets: Mapping[str, SecretValue] = field(default_factory=dict)
    lifetime: float | None = 0.0
    told: Mapping[str, str] = field(default_factory=dict)
    signer: Any = None
    made_with: Mapping[Reference, SecretValue] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Show nothing."""
        return "<Access>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse; it holds secrets."""
        message = "an access cannot be pickled; log in where it is used"
        raise TypeError(message)


class Auth:
    """How a request says who sends it: plain data with placeholders, equal and hashable.

    Three things can be done, and most kinds do one of them: write placeholders into the request,
    log in before it is sent, sign it with what that gave. All of it is done again for each attempt
    and each redirect on the same origin; to another origin nothing of it goes.
    """

    def write(self, request: Request) -> Request:
        """Return the request with placeholders of ours in it. It is still a template."""
        return request

    def log_in(self, request: Request, challenge: str) -> Exchange[Access] | None:  # noqa: ARG002
        """Return the exchange that logs in, None when there is nothing to do.

        Those who ask at the same time wait for one log-in, and what it gives is kept by the sender.
        The secrets that it takes must be allowed to go where its own requests go, and where the
        requests go that are sent with what it gives.

        Args:
            request: What is about to be sent; it is not changed.
            challenge: What the server said with a refusal, by ``WWW-Authenticate``; empty before.

        Raises:
            AuthenticationError: The exchange does, when it is refused.
        """
        return None

    def realm(self, request: Request) -> str:  # noqa: ARG002 - as above
        """Return what requests that can share a log-in have in common."""
        return ""

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:  # noqa: ARG002
        """Return the request as it goes out. An event loop leaves that of a large body to a thread.

        Args:
            wire: The request with all values in it; it is not changed.
            access: What the log-in gave, an empty one when there was none.
        """
        return wire

    def header_name(self) -> str:
        """Return the header that says who sends it, empty where that is elsewhere.

        A definition that sets it too is refused.
        """
        return "Authorization"

    def signatures(self, wire: WireRequest) -> Iterable[str]:
        """Return what `sign` has made for this one request, so that it is hidden as secrets are.

        What is in `Access.secrets` is hidden anyway. By default it is what that header ends with.

        Args:
            wire: The signed request.
        """
        name = self.header_name().lower()
        ends = [_end(value) for given, value in wire.headers if given.lower() == name]
        return [end for end in ends if len(end.rstrip("=")) >= _LEAST_SIGNATURE]

    def refused(self, status: int, body: bytes) -> bool:  # noqa: ARG002
        """Tell whether an answer says that the access is not, or no longer, good."""
        return status == _UNAUTHORIZED

    def __str__(self) -> str:
        """Say in a few words what will be in the request; nothing when the request shows it."""
        return ""


_UNAUTHORIZED = 401
_SEPARATORS = ' \t,:;="'
_LEAST_SIGNATURE = 16
"""Characters of a signature in a header; what is shorter is found in innocent text."""


def _end(value: str) -> str:
    """Return the last word of a header, with its padding."""
    word = value.removesuffix('"')
    bare = word.rstrip("=")
    return word[1 + max(bare.rfind(separator) for separator in _SEPARATORS) :]


# --- transports ----------------------------------------------------------------------------------


class WireRequest:
    """A request with all values in it. It lives in the sender and a transport, and shows nothing.

    Attributes:
        method: HTTP method.
        url: Absolute URL, encoded.
        headers: Pairs, in the order in which they are sent.
        body: What to send, or None.
        timeout: Seconds to connect, seconds to wait for each piece.
        verify: False, True, or the path or the PEM text of a CA bundle that is trusted as well.
        cert: Path or PEM text of a client certificate with its key, or one of each.
        proxies: Proxy by scheme, or None for those of the environment.
        bare: Whether it goes to another host than the one it was made for, so that a transport may
            add no header, cookie or credential of its own.
        guarded: Whether it may only go to a public address: the one that was checked is the one
            that is connected to.
    """

    __slots__ = (
        "_origin", "bare", "body", "cert", "guarded", "headers", "method", "proxies", "timeout",
        "url", "verify",
    )  # fmt: skip

    def __init__(
        self,
        *,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        body: Body | None = None,
        timeout: tuple[float, float] = (10.0, 60.0),
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        bare: bool = False,
        guarded: bool = False,
    ) -> None:
        """Keep the parts."""
        self.bare = bare
        self.guarded = guarded
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.timeout = timeout
        self.verify = verify
        self.cert = cert
        self.proxies = proxies
        self._origin: Origin | None = None

    @property
    def origin(self) -> Origin:
        """Where it goes."""
        if self._origin is None:
            self._origin = origin(self.url)
        return self._origin

    def changed(self, **changes: Any) -> WireRequest:
        """Return the same request with other parts."""
        parts = {name: getattr(self, name) for name in self.__slots__ if name != "_origin"}
        return WireRequest(**{**parts, **changes})

    def with_headers(self, headers: Mapping[str, str]) -> WireRequest:
        """Return the same request with these headers in place of those of the same name."""
        ours = {name.lower() for name in headers}
        kept = [pair for pair in self.headers if pair[0].lower() not in ours]
        return self.changed(headers=[*kept, *headers.items()])

    def __repr__(self) -> str:
        """Show nothing of the request."""
        return "<WireRequest>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse; it holds secrets."""
        message = "a request with its secrets cannot be pickled"
        raise TypeError(message)


class WireResponse(Protocol):
    """An open answer of a transport."""

    @property
    def status(self) -> int:
        """Return the HTTP status code."""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Return the headers as they came."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the raw bytes of the body as they come, with no content decoding."""

    def close(self) -> None:
        """Give the connection back, or end it when the body was not read to its end."""


class AsyncWireResponse(Protocol):
    """An open answer of an asynchronous transport."""

    @property
    def status(self) -> int:
        """Return the HTTP status code."""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Return the headers as they came."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the raw bytes of the body as they come, with no content decoding."""

    async def aclose(self) -> None:
        """Give the connection back, or end it when the body was not read to its end."""


class Transport(ABC):
    """Sends one request, once: no retry, no redirect, no cookie jar, no netrc.

    It raises `errors.TransportError` or one of its kinds. What else it raises is replaced by the
    sender, since the text of a foreign exception may hold a secret.

    An instance is shared by threads, and makes its connections in each process for itself.

    Attributes:
        schemes: The URL schemes that it can send to.
        can_guard: Whether it heeds `WireRequest.guarded`; else such a request is not given to it.
    """

    schemes: ClassVar[frozenset[str]]
    can_guard: ClassVar[bool] = False

    @abstractmethod
    def send(self, request: WireRequest) -> WireResponse:
        """Send the request and return when status and headers are there."""

    @abstractmethod
    async def asend(self, request: WireRequest) -> AsyncWireResponse:
        """Do the same without blocking the event loop."""

    def close(self) -> None:  # noqa: B027 - some have nothing to close
        """Close idle connections. It can be called more than once."""
