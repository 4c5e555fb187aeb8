"""A small HTTP client for resolvers: one question to a secret store, answered by data.

Rule: nothing is raised, redirected, repeated, logged or kept; what went wrong is an outcome.
"""

from __future__ import annotations

import json as json_module
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from webhook_storage import registry
from webhook_storage.artifact import BytesBody
from webhook_storage.contracts import (
    DEFAULT_TIMEOUT,
    Deadline,
    Transport,
    Unavailable,
    WireRequest,
    WireResponse,
)
from webhook_storage.document import parse
from webhook_storage.errors import TimedOutError, TransportError, WebhookStorageError
from webhook_storage.lazy import PerProcess
from webhook_storage.retry import parse_retry_after
from webhook_storage.secret import silenced_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn, SupportsIndex

_MOST_BYTES = 4 * 1024 * 1024
_ALWAYS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "webhook-storage",
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HttpAnswer:
    """What a store answered, whatever its status.

    Attributes:
        status: HTTP status code.
        headers: Names in lower case; of a repeated name the values joined by a comma.
        body: All bytes of the body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Show the status only; the rest may be a secret."""
        return f"<HttpAnswer {self.status}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse; it may hold a secret."""
        message = "an answer of a secret store cannot be pickled"
        raise TypeError(message)

    def text(self) -> str | None:
        """Return the body, or None when it is not UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None

    def document(self) -> Any:
        """Return the JSON document, numbers as they are spelled; `document.MISSING` for none."""
        return parse(self.text() or "")

    def trouble(self) -> Unavailable:
        """Say why a status that is no answer to the question is none."""
        retry_after = parse_retry_after(self.headers.get("retry-after"))
        if self.status == 429:  # noqa: PLR2004 - that of RFC 6585
            return Unavailable("too many requests", retry_after)
        if 300 <= self.status < 400:  # noqa: PLR2004 - redirects
            return Unavailable("redirects elsewhere, to where the credential is not sent")
        if self.status < 300:  # noqa: PLR2004 - success
            return Unavailable("the answer is not what such a store sends")
        return Unavailable(f"answered with status {self.status}", retry_after)


@dataclass(frozen=True, kw_only=True)
class HttpClient:
    """Sends to one secret store, with connections that this process keeps.

    It can be pickled, shared by threads, and used again after `close`. The proxies are those of the
    environment, unless a question is direct.

    Args:
        verify: False, or the path of a CA bundle that is trusted as well.
        cert: Path of a client certificate, or of certificate and key.
        most_bytes: A longer answer is none.

    Example:
        >>> HttpClient().ask("GET", "ftp://vault.example.com/", Deadline(1))
        Unavailable(detail='the address is not an URL of http or https', retry_after=None)
    """

    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    most_bytes: int = _MOST_BYTES
    _transports: PerProcess[dict[str, Transport]] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def ask(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        direct: bool = False,
    ) -> HttpAnswer | Unavailable:
        """Send one request and return its answer, whatever its status.

        Args:
            method: HTTP method in upper case.
            url: Absolute URL of http or https, encoded.
            deadline: When an answer is of no use any more.
            headers: What to send, with the values in it; ``Accept`` is that of JSON by default.
            json: Document to send as the body; None for none.
            content: Bytes to send as the body, as JSON unless `headers` say otherwise.
            direct: Whether no proxy may see it: a service of this very machine.

        Returns:
            The answer, or why there is none.
        """
        if not deadline.remaining():
            return Unavailable("there was no time left to ask")
        headers = headers or {}
        if not all(map(_is_sendable, headers.values())):
            return Unavailable(
                "the credential cannot be sent in a header; look for a line break in it"
            )
        try:
            if json is not None:
                content = json_module.dumps(json).encode()
            with silenced_logs():
                proxies: dict[str, str] | None = {} if direct else None
                answer = self._send(method, url, deadline, headers, content, proxies)
                return self._receive(answer, deadline)
        except WebhookStorageError as error:
            return Unavailable(str(error))  # our own words, and a transport's, hold no value
        except _TooLongError:
            return Unavailable(f"the answer has more than {self.most_bytes} bytes")
        except Exception as error:  # noqa: BLE001 - its text may hold a credential
            return Unavailable(f"the request failed, {type(error).__name__}")

    def close(self) -> None:
        """Close idle connections."""
        for transport in set((self._transports.take() or {}).values()):
            transport.close()

    def _send(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        headers: Mapping[str, str],
        content: bytes | None,
        proxies: dict[str, str] | None,
    ) -> WireResponse:
        """Send the request, with no more patience than there is time."""
        given = dict(_ALWAYS)
        if content is not None:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        elif method not in {"GET", "HEAD", "DELETE"}:
            given["Content-Length"] = "0"
        names = {name.lower() for name in headers}
        pairs = [pair for pair in given.items() if pair[0].lower() not in names]
        connect, wait = DEFAULT_TIMEOUT
        seconds = deadline.remaining()
        wire = WireRequest(
            method=method,
            url=url,
            headers=[*headers.items(), *pairs],
            body=None if content is None else BytesBody(content),
            timeout=(min(connect, seconds), min(wait, seconds)),
            verify=self.verify,
            cert=self.cert,
            proxies=proxies,
        )
        return self._transport(url).send(wire)

    def _receive(self, answer: WireResponse, deadline: Deadline) -> HttpAnswer:
        """Take the answer in, up to the limit and in time."""
        body = bytearray()
        try:
            for chunk in answer.chunks():
                body += chunk
                if len(body) > self.most_bytes:
                    raise _TooLongError
                if not deadline.remaining():
                    raise TimedOutError("the answer took too long")
        finally:
            answer.close()
        headers: dict[str, str] = {}
        for name, value in answer.headers:
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known}, {value}"
        return HttpAnswer(status=answer.status, headers=headers, body=bytes(body))

    def _transport(self, url: str) -> Transport:
        """Return what sends to such URLs."""
        scheme, _, rest = url.partition("://")
        scheme = scheme.lower()
        # Without a host it would be this machine that gets the credential.
        if scheme not in {"http", "https"} or rest[:1] in {"", "/", "?", "#", ":", "@"}:
            raise TransportError("the address is not an URL of http or https")
        transports = self._transports.get(dict)
        if scheme not in transports:
            make = cast("Callable[[], Transport]", registry.load(registry.TRANSPORTS, scheme))
            transports.setdefault(scheme, make())  # another thread may have been first
        return transports[scheme]


def _is_sendable(value: str) -> bool:
    """Tell whether this can be a header's value: visible ASCII, with spaces inside (RFC 9110)."""
    return value.isascii() and value.isprintable() and value == value.strip()


class _TooLongError(Exception):
    """The answer is longer than any of a secret store."""


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token (RFC 6750)."""
    return {"Authorization": f"Bearer {token}"}
