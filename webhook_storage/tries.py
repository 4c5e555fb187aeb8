"""The attempts of one request, and the operation that it belongs to."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

from webhook_storage.answer import Reply, describe, out_of_time
from webhook_storage.artifact import CheckedBody
from webhook_storage.contracts import Deadline, Request
from webhook_storage.download import Download
from webhook_storage.effects import Waiting
from webhook_storage.errors import ConnectError, ResponseError, WebhookStorageError
from webhook_storage.origin import target
from webhook_storage.progress import Counter, Progress
from webhook_storage.retry import IDEMPOTENT_METHODS, RETRY_STATUSES, parse_retry_after
from webhook_storage.secret import Redactor, SecretValue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook_storage.contracts import Response, WireRequest
    from webhook_storage.effects import Steps
    from webhook_storage.errors import TransportError
    from webhook_storage.pace import Pace
    from webhook_storage.retry import RetryPolicy
    from webhook_storage.template import Reference

log = logging.getLogger("webhook_storage")

_LINE = (
    "%(method)s %(url)s: %(outcome)s, %(seconds).3f s, %(bytes_up)d bytes up, %(bytes_down)d down"
)


class Course:
    """What is known of an operation so far.

    Attributes:
        policy: When to send again.
        deadline: When it is given up, None when it is not.
        secrets: Knows the values of all its requests, and what was made of them. What one of them
            has sent, the answer to another may echo.
        redactor: Takes these, and the URLs of its uploads, out of text.
        wanted: The secrets that the exchange has got for itself, with their values.
        taken: All secrets that it has taken, those in its requests too.
        progress: Counts what is sent of the artifact; None when nobody watches.
    """

    __slots__ = (
        "_known", "_lock", "_made", "_uploads", "deadline", "policy", "progress", "redactor",
        "secrets", "taken", "wanted",
    )  # fmt: skip

    def __init__(self, policy: RetryPolicy, progress: Progress | None = None) -> None:
        self.policy = policy
        self.progress = progress
        self.deadline = None if policy.total is None else Deadline(policy.total)
        self.secrets = self.redactor = Redactor()
        self.wanted: dict[Reference, SecretValue] = {}
        self.taken: dict[Reference, SecretValue] = {}
        self._known: list[SecretValue] = []
        self._made: _Noted = []
        self._uploads: _Noted = []
        self._lock = threading.Lock()  # parts of one operation may be sent by several threads

    def apart(self) -> Course:
        """Return the course of a log-in on the way: what it gets for itself is its own."""
        inner = Course(self.policy)
        inner.deadline = self.deadline
        inner.secrets, inner.redactor = self.secrets, self.redactor
        inner._known = self._known.copy()
        inner._made, inner._uploads = self._made.copy(), self._uploads.copy()
        return inner

    def knows(self, values: Iterable[SecretValue]) -> None:
        """Take note of the values of a request; those of all parts of an upload are the same."""
        with self._lock:
            new = [value for value in values if value not in self._known]
            if new:
                self._known += new
                self._look_for_all()

    def made(self, signatures: Iterable[str]) -> None:
        """Take note of what was made of the values for one attempt; of many the last."""
        self._note(self._made, signatures)

    def uploads_to(self, url: str) -> None:
        """Take note of a URL that is as good as a credential, and of what is special in it."""
        place = target(url)
        texts = [place, *_IDS.findall(place)[-1:]]
        self._note(self._uploads, [text for text in texts if len(text) >= _LEAST_URL])

    def _note(self, noted: _Noted, texts: Iterable[str]) -> None:
        with self._lock:
            known = [*self._known, *(value for value, _ in noted)]
            new = [value for value in map(SecretValue, texts) if value not in known]
            if new:
                noted += [(value, Redactor([value])) for value in new]
                del noted[:-_MOST_NOTED]
                self._look_for_all()

    def _look_for_all(self) -> None:
        known = Redactor(self._known)
        made = [redactor for _, redactor in self._made]
        self.secrets = Redactor(more=[known, *made]) if made else known
        uploads = [redactor for _, redactor in self._uploads]
        self.redactor = Redactor(more=[self.secrets, *uploads]) if uploads else self.secrets

    def at_most(self, seconds: float) -> float:
        """Return a pause, and no longer one than there is time."""
        bounds = [seconds, self.policy.max_delay]
        if self.deadline is not None:
            bounds.append(self.deadline.remaining())
        return min(bounds)

    def timed(self, wire: WireRequest) -> WireRequest:
        """Return a request that waits for no longer than there is time."""
        if self.deadline is None:
            return wire
        left = max(self.deadline.remaining(), _SHORTEST)
        connect, wait = wire.timeout
        return wire.changed(
            timeout=(min(connect, left), min(wait, left)),
            body=None if wire.body is None else CheckedBody(wire.body, self._check_time),
        )

    def _check_time(self) -> None:
        if self.deadline is not None and not self.deadline.remaining():
            raise out_of_time()


_Noted: TypeAlias = list[tuple[SecretValue, Redactor]]
"""Values, each with what is looked for: that is computed once, however many others come."""

_MOST_NOTED = 32
_IDS = re.compile(r"[^/?&=]{16,}")

_LEAST_URL = 8
"""A shorter one stands in innocent texts, and nobody gives the right to write by it."""

_SHORTEST = 0.001
"""Seconds; clients take 0 for no limit."""


class Tries:
    """The attempts of one request.

    Args:
        request: What is sent.
        course: The operation that it belongs to.
        pace: How fast its server is asked.

    Attributes:
        download: What has come of the artifact so far, None when the answer is kept in memory.
        history: What came of each attempt.
        started: When the last one began.
    """

    __slots__ = (
        "_counter", "_course", "_pace", "_renewed_at", "_request", "_since", "_stalled", "download",
        "history", "started",
    )  # fmt: skip

    def __init__(self, request: Request, course: Course, pace: Pace) -> None:
        self._request = request
        self._course = course
        self._pace = pace
        self._since = self.started = time.monotonic()
        self._stalled = 0
        self._renewed_at: int | None = None
        self.history: list[str] = []
        self.download = None if request.sink is None else Download(request.sink)
        progress = None if request.body is None else course.progress
        self._counter = None if progress is None else Counter(progress)

    def counted(self, wire: WireRequest) -> WireRequest:
        """Return a request whose body counts as progress, where somebody watches."""
        if self._counter is None or wire.body is None:
            return wire
        return wire.changed(body=self._counter.watch(wire.body))

    @property
    def position(self) -> int:
        """Return how many bytes of the artifact have come."""
        return 0 if self.download is None else self.download.position

    @property
    def elapsed(self) -> float:
        """Return the seconds since the last attempt began."""
        return time.monotonic() - self.started

    @property
    def free(self) -> bool:
        """Tell whether the first attempt can go at once."""
        return self._pace.free

    def wait(self, pause: float | None = None) -> Steps[None]:
        """Wait for a pause, and at least until it is this request's turn."""
        turn = self._pace.turn(pause or 0.0)
        if pause is None and not turn.seconds:
            return
        while (yield from self._stand_in_line(turn.seconds)) and not self._pace.holds(turn):
            turn = self._pace.turn()

    def _stand_in_line(self, seconds: float) -> Steps[bool]:
        """Wait, piece by piece; return False when the policy lets nobody wait for so long."""
        while True:
            piece = self._course.at_most(seconds)
            yield Waiting(piece)
            seconds -= piece
            if seconds <= 0 or piece <= 0:
                return seconds <= 0

    def begin(self) -> None:
        """Begin one more."""
        self.started = time.monotonic()

    def end(self, outcome: Reply | TransportError) -> None:
        """Take note of what came of it."""
        self.history.append(describe(outcome))
        self._stalled += 1
        if self.download is not None and self.download.advanced():
            self._stalled, self._since = 1, time.monotonic()
        if not isinstance(outcome, Reply):
            return
        if outcome.status in _TOO_FAST:
            asked = parse_retry_after(outcome.headers.get("retry-after"))
            self._pace.refused(self.started, asked and min(asked, self._course.policy.max_delay))
        elif outcome.status < _FAULTS:
            self._pace.served(self.started)

    def fail(self, error: WebhookStorageError) -> None:
        """Take note of an error that ends the operation, and tell of it."""
        status = error.status if isinstance(error, ResponseError) else 0
        self.history.append(str(status) if status else type(error).__name__)
        if isinstance(error, ResponseError):
            error.attempts, error.history = len(self.history), tuple(self.history)
        self.log(error)

    def may_renew(self) -> bool:
        """Tell whether newer secrets might be taken; without progress that is asked once."""
        # A credential that has brought the download on may have expired meanwhile.
        again = self._renewed_at is None or self.position > self._renewed_at
        self._renewed_at = self.position
        return again

    def pause_after(self, response: Response) -> float | None:
        """Return the seconds after which to ask again though the exchange gets this answer."""
        again = self._request.retry_when
        if again is None or response.status not in self._request.returns or not again(response):
            return None
        return self._delay(response.headers.get("retry-after"))

    def pause(self, outcome: Reply | TransportError) -> float | None:
        """Return the seconds to wait before sending again, or None not to."""
        repeatable = self._request.idempotent
        if repeatable is None:
            repeatable = self._request.method in IDEMPOTENT_METHODS
        if not isinstance(outcome, Reply):
            again = outcome.retryable and (repeatable or isinstance(outcome, ConnectError))
            return self._delay(None) if again else None
        if outcome.status == _NO_SUCH_RANGE and self.download and self.download.position:
            self.download.forget()
            return self._delay(None)
        if outcome.status not in RETRY_STATUSES or not repeatable:
            return None
        return self._delay(outcome.headers.get("retry-after"))

    def log(self, outcome: Reply | WebhookStorageError, pause: float | None = None) -> None:
        """Tell of the last attempt, in a line and in fields."""
        if not log.isEnabledFor(logging.INFO):
            return
        body = self._request.body
        fields = {
            "method": self._request.method,
            "url": self._request.url,
            "outcome": self.history[-1],
            "attempt": len(self.history),
            "seconds": round(self.elapsed, 3),
            "bytes_up": body.size if body is not None else 0,
            "bytes_down": outcome.size if isinstance(outcome, Reply) else 0,
            "retry_in": None if pause is None else round(pause, 3),
        }
        line = _LINE if pause is None else _LINE + ", again in %(retry_in).3f s"
        log.info(line, fields, extra={"webhook_storage": fields})

    def _delay(self, retry_after: str | None) -> float | None:
        course = self._course
        elapsed = time.monotonic() - self._since
        pause = course.policy.delay(attempt=self._stalled, elapsed=elapsed, retry_after=retry_after)
        if pause is None or course.deadline is None or pause < course.deadline.remaining():
            return pause
        return None


_NO_SUCH_RANGE, _FAULTS = 416, 500

_TOO_FAST = frozenset({429, 503})
"""503 is what S3 and nginx answer to too many requests, and mostly without a ``Retry-After``."""
