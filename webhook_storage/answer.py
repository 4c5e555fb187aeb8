"""Taking an answer in, and saying what was wrong with it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from webhook_storage.artifact import MeasuredBody
from webhook_storage.contracts import Request, Response
from webhook_storage.download import PARTIAL, DamagedError
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
    TimedOutError,
    TooLargeError,
    TransportError,
    UnexpectedAnswerError,
    WebhookStorageError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook_storage.contracts import Deadline
    from webhook_storage.download import Download
    from webhook_storage.secret import Redactor

_ANSWER_LIMIT = 1024 * 1024
"""Most bytes of a success that are kept in memory for the exchange."""

_ERROR_LIMIT = 64 * 1024
"""Most bytes of an error's body that are read."""

_SHOWN = 512
"""Most characters of an error's body that are shown."""

_MOST_SHOWN = 8
"""Most attempts whose outcome a message tells."""

_OK = 200
_WHOLE = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
"""Statuses of an answer that holds all that was asked for; 201 is that of some to a POST."""

_LONGEST_NUMBER = 20
"""Digits of a length that are read; no length of more is one."""

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
        size: Number of bytes that came, with those of earlier attempts that it goes on from.
        sha256: Their digest when they went into a sink, else empty.
        good: Whether the exchange gets it.
        html: Whether it is refused for being an HTML page.
        resumed: Whether it is the rest of an artifact of which the sink had the beginning.
        bare: Whether it is of another host, which got no credential.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    size: int
    sha256: str
    good: bool
    html: bool
    resumed: bool = False
    bare: bool = False

    def response(self, history: Sequence[str], redactor: Redactor) -> Response:
        """Return it as the exchange sees it, to which it is all one whether it came in parts."""
        return Response(
            status=_OK if self.resumed else self.status,
            headers=self.headers,
            body=self.body,
            size=self.size,
            sha256=self.sha256,
            attempts=len(history),
            history=tuple(history),
            echoes=redactor.found_in,
        )


class Receiver:
    """Takes one answer in: into the download when it is what was asked for.

    Args:
        request: What was asked.
        download: What has come of it so far, None when it is kept in memory.
        place: Where it was sent.
        resuming: Whether it asked for the rest of what has come.
        deadline: When the operation is given up, None when it is not.

    Attributes:
        enough: True when the rest of the body is of no interest.
        blocks: Whether taking a piece takes time.
    """

    __slots__ = (
        "_deadline", "_download", "_expected", "_good", "_headers", "_html", "_kept", "_place",
        "_request", "_resuming", "_size", "_status", "_taking", "blocks", "enough",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        *,
        download: Download | None = None,
        place: str = "",
        resuming: bool = False,
        deadline: Deadline | None = None,
    ) -> None:
        """Expect the answer to that request."""
        self._request = request
        self._download = download
        self._place = place
        self._resuming = resuming
        self._deadline = deadline
        self.enough = request.headers_only
        self.blocks = False

    @property
    def taking(self) -> bool:
        """Tell whether the body goes into the download."""
        return self._taking

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
        self._resuming = self._resuming and status == PARTIAL
        accepted = self._resuming or _is_success(status, request)
        self._html = accepted and self._is_unwanted_html()
        self._good = (accepted and not self._html) or status in request.returns
        self._size = 0
        self._kept: list[bytes] = []
        self._taking = self._download is not None and accepted and self._good
        if self._download is not None and self._taking:
            self._prepare(self._download)
        announced = self._headers.get("content-length", "")
        has_body = request.method != "HEAD" and status not in {204, 304}
        known = has_body and announced.isascii() and announced.isdigit()
        # Of a length that no body has, the beginning is one that no body has either.
        self._expected = int(announced[:_LONGEST_NUMBER]) if known else None

    def _prepare(self, download: Download) -> None:
        """Go on where the last attempt ended, or begin anew."""
        if self._resuming:
            download.go_on(self._headers)
        else:
            ranged = _asks_for_a_part(self._request)
            whole = self._status == _OK and not ranged
            download.begin(self._place, self._headers, whole=whole)
        self.blocks = download.blocks

    def take(self, chunk: bytes) -> None:
        """Take the next piece of the body.

        Raises:
            TimedOutError: When the operation has had its time.
            TooLargeError: When there is more than is kept in memory.
        """
        if self._deadline is not None and not self._deadline.remaining():
            raise out_of_time()
        self._size += len(chunk)
        if self._download is not None and self._taking:
            self._download.write(chunk)
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
            ProtocolError: When it is more or less than was announced, or something else.
        """
        if self._expected is not None and not self.enough and self._size != self._expected:
            message = f"the answer broke off: {self._size} of {self._expected} bytes came"
            raise ProtocolError(message)
        download = self._download if self._taking else None
        if download is not None and not self.enough:
            download.finish()
        return Reply(
            self._status,
            self._headers,
            b"".join(self._kept),
            self._size if download is None else download.position,
            "" if download is None else download.sha256,
            self._good,
            self._html,
            self._resuming,
        )

    def _is_unwanted_html(self) -> bool:
        """Tell a login page from an artifact: a 200 of type HTML that nobody asked for."""
        kind = self._headers.get("content-type", "").partition(";")[0].strip().lower()
        return (
            self._status == _OK
            and not self._request.allow_html
            and self._headers.get("content-length") != "0"  # which is no page
            and kind in {"text/html", "application/xhtml+xml"}
        )


def out_of_time() -> TimedOutError:
    """Return the error for an operation that has had its time."""
    message = "the operation took longer than it may take in all"
    return TimedOutError(message, hint="raise 'total' in the retry policy, or send less at a time")


def _is_success(status: int, request: Request) -> bool:
    if request.accept is not None:
        return status in request.accept
    if status == PARTIAL:  # a part that nobody asked for would pass for the whole
        return _asks_for_a_part(request)
    if request.sink is not None:  # what comes otherwise is no artifact, or not yet
        return status in _WHOLE
    return 200 <= status < 300  # noqa: PLR2004 - a 2xx is a success


def _asks_for_a_part(request: Request) -> bool:
    """Tell whether the definition itself wants a part only."""
    return any(name.lower() == "range" for name in request.headers)


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
    if not hmac.compare_digest(expected.lower().encode(errors="replace"), actual.encode()):
        message = f"{what}: what came back has another SHA-256 than what was stored"
        raise IntegrityError(message, hint="it was replaced or altered since; store it again")


def number(text: str) -> int | None:
    """Return the whole number that a header says, None when it is none."""
    known = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
    return int(text) if known else None


def header(response: Response, name: str) -> str | None:
    """Return a header, None where there is none, or the server echoes a secret in it."""
    text = response.headers.get(name)
    return None if text is None or response.echoes is None or response.echoes(text) else text


_NOTHING_DONE = frozenset({"401", "403", "409", "412", "425", "429", "ConnectError"})
"""What may come of an attempt that has certainly changed nothing."""


def maybe_done(history: Sequence[str]) -> bool:
    """Tell whether an attempt before the last may have done what it asked for.

    Args:
        history: What came of each attempt.
    """
    return any(outcome not in _NOTHING_DONE for outcome in history[:-1])


def describe(outcome: Reply | TransportError) -> str:
    """Return the outcome in a few words, for the log."""
    if isinstance(outcome, DamagedError):
        return IntegrityError.__name__
    return str(outcome.status) if isinstance(outcome, Reply) else type(outcome).__name__


def refusal(
    request: Request, outcome: Reply | TransportError, history: Sequence[str], redactor: Redactor
) -> WebhookStorageError:
    """Return the error that tells of an outcome which is no success.

    Args:
        request: What was sent.
        outcome: What came of the last attempt.
        history: What came of each attempt.
        redactor: Knows the values of the request.
    """
    error = _refusal(request, outcome, history, redactor)
    if not isinstance(error, IntegrityError):
        error.history = tuple(history)
    return error


def _refusal(
    request: Request, outcome: Reply | TransportError, history: Sequence[str], redactor: Redactor
) -> TransportError | ResponseError | IntegrityError:
    where, attempts = f"{request.method} {request.url}", len(history)
    tries = f" after {attempts} attempts ({_listed(history)})" if attempts > 1 else ""
    if isinstance(outcome, DamagedError):
        return IntegrityError(f"{where}: {outcome}{tries}", hint=outcome.hint)
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


def _listed(history: Sequence[str]) -> str:
    """Return what came of each attempt; of many the last."""
    shown = ", ".join(history[-_MOST_SHOWN:])
    return shown if len(history) <= _MOST_SHOWN else f"..., {shown}"


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
