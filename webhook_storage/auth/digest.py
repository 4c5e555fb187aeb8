"""Digest authentication (RFC 7616), of which httpx knows the arithmetic."""

from __future__ import annotations

import re
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from webhook_storage.auth.description import AuthModel, SecretText
from webhook_storage.contracts import Access, Exchange, Request, Wanted, WireRequest
from webhook_storage.errors import AuthenticationError

if TYPE_CHECKING:
    from webhook_storage.contracts import Response
    from webhook_storage.secret import SecretValue

_NEXT_SCHEME = re.compile(r",\s*(?=[A-Za-z][A-Za-z0-9-]*\s+[a-z0-9]+=)")
"""Several challenges in one header are parted by a comma, as their parameters are."""

_SMALL = 64 * 1024
"""A body of up to so many bytes is sent at once, and again if need be."""

_LIFETIME = 300.0
"""Seconds; a nonce that has ended before is refused, and another one got."""


class Digest(AuthModel):
    """User and password that are proved and not sent.

    The first request goes out without a proof, and again with one when the server has told its
    challenge. Before a large artifact the server is asked for that by a GET.
    """

    type: Literal["digest"] = "digest"
    username: str = Field(description="Name of the user.")
    password: SecretText = Field(description="Placeholder of the password.")

    def __str__(self) -> str:
        """Say what will be in the request."""
        return "the answer to the server's digest challenge"

    def realm(self, request: Request) -> str:
        """Return the beginning of the URL: a challenge is one of its server."""
        return "/".join(request.url.split("/")[:3])

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:
        """Take up the challenge; before there is one a request goes out as it is."""
        body = request.body
        if not challenge and body is not None and body.size > _SMALL:
            challenge = yield from _challenge_of(request)
        if not challenge:
            return Access()
        secrets: dict[str, SecretValue] = yield Wanted(
            {"username": self.username, "password": self.password}
        )
        signer = _Signer.of(secrets, _digests(challenge))
        if signer is None:
            message = f"{request.method} {request.url} asks for no digest that is known"
            hint = "another type of 'auth' is wanted, for example basic"
            raise AuthenticationError(message, status=HTTPStatus.UNAUTHORIZED, hint=hint)
        return Access(secrets=secrets, lifetime=_LIFETIME, signer=signer)

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the answer to the challenge."""
        if access.signer is None:
            return wire
        return wire.with_headers({"Authorization": access.signer.answer(wire.method, wire.url)})


def _challenge_of(request: Request) -> Exchange[str]:
    """Ask for the challenge of a URL, so that a large body is not sent in vain."""
    asking = Request(
        method="GET",
        url=request.url,
        params=request.params,
        headers={**request.headers, "Range": "bytes=0-0"},
        timeout=request.timeout,
        verify=request.verify,
        cert=request.cert,
        proxies=request.proxies,
        follow=False,
        headers_only=True,
        returns=frozenset(range(200, 500)),
        allow_html=True,
        allow_http=request.allow_http,
        facts=request.facts,
    )
    response: Response = yield asking
    refused = response.status == HTTPStatus.UNAUTHORIZED
    return response.headers.get("www-authenticate", "") if refused else ""


def _digests(challenge: str) -> list[str]:
    """Return the digest challenges of a header."""
    challenges = _NEXT_SCHEME.split(challenge)
    return [each for each in challenges if each[:7].lower() == "digest "]


class _Signer:
    """Answers a challenge, each time with the next count."""

    __slots__ = ("_auth", "_lock")

    def __init__(self, auth: Any) -> None:
        self._auth = auth
        self._lock = threading.Lock()

    @classmethod
    def of(cls, secrets: dict[str, SecretValue], challenges: list[str]) -> _Signer | None:
        """Return what answers the first of the challenges that httpx knows, None without any."""
        import httpx  # noqa: PLC0415 - for this kind only

        for challenge in challenges:
            auth = httpx.DigestAuth(secrets["username"].reveal(), secrets["password"].reveal())
            request = httpx.Request("HEAD", "http://localhost/")
            flow = auth.auth_flow(request)
            next(flow)
            headers = {"www-authenticate": challenge}
            try:
                flow.send(httpx.Response(401, headers=headers, request=request))
            except (httpx.HTTPError, KeyError, NotImplementedError):
                continue
            return cls(auth)
        return None

    def answer(self, method: str, url: str) -> str:
        """Return the header for a request."""
        import httpx  # noqa: PLC0415 - as above

        with self._lock:
            flow = self._auth.auth_flow(httpx.Request(method, url))
            signed = next(flow)
            flow.close()
        header: str = signed.headers["Authorization"]
        return header
