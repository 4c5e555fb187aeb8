"""Taking an answer in, and saying what was wrong with it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from webhook_storage.artifact import MeasuredBody
from webhook_storage.contracts import Request, Response
from webhook_storage.errors import (
    AuthenticationError,
    ConflictError,
    IntegrityError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    RedirectRefusedError,
    ResponseError,
    ServerError,
    TooLargeError,
    TransportError,
    UnexpectedAnswerError,
    WebhookStorageError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook_storage.secret import Redactor

_ANSWER_LIMIT = 1024 * 1024
"""Most bytes of a success that are kept in memory for the exchange."""

_ERROR_LIMIT = 64 * 1024
"""Most bytes of an error's body that are read."""

_SHOWN = 512
"""Most characters of an error's body that are shown."""

_KINDS: dict[int, tuple[type[ResponseError], str]] = {
    401: (AuthenticationError, "the credential is missing, wrong or expired"),
    403: (PermissionDeniedError, "the credential may not do this here"),
    404: (ObjectNotFoundError, "is it stored, and are URL and key right?"),
    407: (AuthenticationError, "the proxy wants a credential; give it in 'proxies'"),
    409: (ConflictError, "the service has a rule against it, or its parent folder is missing"),
    410: (ObjectNotFoundError, "it was there and is gone; a signed URL may have expired"),
    412: (ConflictError, "it changed since you looked"),
    413: (TooLargeError, "the service takes no artifact of this size in one request"),
    429: (RateLimitedError, "too many requests; wait, or send fewer at a time"),
}


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """An answer that was taken in.

    Attributes:
        status: HTTP status code.
        headers: Names in lower case.
        body: What was kept in memory.
        size: Number of bytes that came.
        sha256: Their digest when they went into a sink, else empty.
        good: Whether the exchange gets it.
        html: Whether it is refused for being an HTML page.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    size: int
    sha256: str
    good: bool
    html: bool

    def response(self, attempts: int, redactor: Redactor) -> Response:
        """Return it as the exchange sees it."""
        return Response(
            status=self.status,
            headers=self.headers,
            body=self.body,
            size=self.size,
            sha256=self.sha256,
            attempts=attempts,
            echoes=redactor.found_in,
        )


class Receiver:
    """Takes one answer in: into the request's sink when it is what was asked for.

    Attributes:
        enough: True when the rest of the body is of no interest.
        blocks: Whether taking a piece takes time.
    """

    __slots__ = (
        "_digest", "_expected", "_good", "_headers", "_html", "_kept", "_request", "_size",
        "_status", "blocks", "enough",
    )  # fmt: skip

    def __init__(self, request: Request) -> None:
        """Expect the answer to that request."""
        self._request = request
        self.enough = request.headers_only
        self.blocks = False

    def begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Look at status and headers and decide where the body goes."""
        self._status = status
        self._headers: dict[str, str] = {}
        for name, value in headers:
            name = name.lower()  # noqa: PLW2901 - the same name
            self._headers[name] = (
                f"{self._headers[name]}, {value}" if name in self._headers else value
            )
        request = self._request
        accepted = _is_success(status, request)
        self._html = accepted and self._is_unwanted_html()
        self._good = (accepted and not self._html) or status in request.returns
        self._size = 0
        self._kept: list[bytes] = []
        self._digest = None
        if request.sink is not None and accepted and self._good:
            request.sink.reset()
            self._digest = hashlib.sha256()
            self.blocks = request.sink.blocks
        announced = self._headers.get("content-length", "")
        has_body = request.method != "HEAD" and status not in {204, 304}
        self._expected = int(announced) if has_body and announced.isdigit() else None

    def take(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        self._size += len(chunk)
        if self._digest is not None and self._request.sink is not None:
            self._digest.update(chunk)
            self._request.sink.write(chunk)
            return
        self._kept.append(chunk)
        if not self._good:
            self.enough = self.enough or self._size >= _ERROR_LIMIT
        elif self._size > _ANSWER_LIMIT:
            message = f"the answer is longer than {_ANSWER_LIMIT} bytes"
            raise TooLargeError(message, status=self._status)

    def end(self) -> Reply:
        """Return what came.

        Raises:
            ProtocolError: When it is more or less than was announced.
        """
        if self._expected is not None and not self.enough and self._size != self._expected:
            message = f"the answer broke off: {self._size} of {self._expected} bytes came"
            raise ProtocolError(message)
        return Reply(
            self._status,
            self._headers,
            b"".join(self._kept),
            self._size,
            self._digest.hexdigest() if self._digest is not None else "",
            self._good,
            self._html,
        )

    def _is_unwanted_html(self) -> bool:
        """Tell a login page from an artifact: a 200 of type HTML that nobody asked for."""
        kind = self._headers.get("content-type", "").partition(";")[0].strip().lower()
        return (
            self._status == HTTPStatus.OK
            and not self._request.allow_html
            and kind in {"text/html", "application/xhtml+xml"}
        )


def _is_success(status: int, request: Request) -> bool:
    if request.accept is not None:
        return status in request.accept
    return 200 <= status < 300  # noqa: PLR2004 - a 2xx is a success


def check_sent(request: Request, reply: Reply, attempts: int) -> None:
    """Refuse a success that came before the whole body was sent.

    Raises:
        IntegrityError: When the server cannot have stored all of it.
    """
    body = request.body
    taken = _is_success(reply.status, request)
    if isinstance(body, MeasuredBody) and body.size and not body.complete and taken:
        message = (
            f"{request.method} {request.url} was answered {reply.status} before the whole body "
            f"was sent (attempt {attempts})"
        )
        raise IntegrityError(message, hint="look whether a proxy in between answers by itself")


def check_digest(what: str, expected: str, actual: str) -> None:
    """Compare two digests in lower-case hex.

    Raises:
        IntegrityError: When they differ.
    """
    if not hmac.compare_digest(expected.lower(), actual):
        message = f"{what}: what came back has another SHA-256 than what was stored"
        raise IntegrityError(message, hint="it was replaced or altered since; store it again")


def describe(outcome: Reply | TransportError) -> str:
    """Return the outcome in a few words, for the log."""
    return str(outcome.status) if isinstance(outcome, Reply) else type(outcome).__name__


def refusal(
    request: Request, outcome: Reply | TransportError, attempts: int, redactor: Redactor
) -> WebhookStorageError:
    """Return the error that tells of an outcome which is no success."""
    where = f"{request.method} {request.url}"
    tries = f" after {attempts} attempts" if attempts > 1 else ""
    if isinstance(outcome, TransportError):
        hint = outcome.hint or "is the address right, and the server up?"
        return type(outcome)(f"{where}: {outcome}{tries}", attempts=attempts, hint=hint)
    if outcome.html:
        return UnexpectedAnswerError(
            f"{where} answered {outcome.status} with an HTML page instead of an artifact",
            status=outcome.status,
            attempts=attempts,
            hint="a login page? check the credential; if it is what you store, say allow_html=True",
        )
    kind, hint = _kind(outcome.status)
    excerpt = _excerpt(outcome, redactor)
    return kind(
        f"{where} answered {_named(outcome.status)}{tries}{excerpt}",
        status=outcome.status,
        attempts=attempts,
        hint=hint,
    )


def _kind(status: int) -> tuple[type[ResponseError], str]:
    if status in _KINDS:
        return _KINDS[status]
    if 200 <= status < 300:  # noqa: PLR2004 - a 2xx is a success, here one that is not accepted
        return (
            UnexpectedAnswerError,
            "it is none of the statuses that are accepted for this request",
        )
    if 300 <= status < 400:  # noqa: PLR2004 - a 3xx is a redirect
        return RedirectRefusedError, "give the final URL"
    if status >= 500:  # noqa: PLR2004 - a 5xx is the server's fault
        return ServerError, "the fault is the server's; try again later"
    return (
        ResponseError,
        "the service does not take this request; compare it with its documentation",
    )


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _excerpt(reply: Reply, redactor: Redactor) -> str:
    """Return the beginning of an error's body: printable, without a secret, not an HTML page."""
    encoded = reply.headers.get("content-encoding", "identity") != "identity"
    # A NUL means an encoding of two bytes a character, in which no secret would be recognized.
    if encoded or "html" in reply.headers.get("content-type", "") or b"\0" in reply.body:
        return ""
    # First masked, then cut: a secret at the end would else be shown in part.
    text = redactor.redact(reply.body.decode("utf-8", errors="replace"))
    shown = redactor.redact("".join(char if char.isprintable() else " " for char in text))
    if reply.size >= _ERROR_LIMIT and len(shown) <= _SHOWN:
        return ""  # the body was cut, maybe within a secret, and the end would be shown
    return f": {shown[:_SHOWN].strip()}" if shown.strip() else ""
