"""Digest authentication (RFC 7616)."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from pydantic import Field

from webhook_storage import origin
from webhook_storage.auth.description import AuthModel, SecretText
from webhook_storage.contracts import Access, Exchange, Request, Wanted, WireRequest
from webhook_storage.errors import AuthenticationError, UnsafeValueError
from webhook_storage.template import parse

if TYPE_CHECKING:
    from webhook_storage.contracts import Response
    from webhook_storage.secret import SecretValue

_PIECE = re.compile(
    r"""([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.){0,2048})"|([^\s,"=]+))|([\w-]+)""",
    re.ASCII,
)
"""A parameter, or the name of a scheme: both are parted by commas, from each other too."""

_LONGEST = 8192
"""Most characters of challenges that are read."""

_HASHES = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA-256": "sha256",
    "SHA-512": "sha512",
    "SHA-512-256": "sha512_256",
}
"""Names of hashes; the second and the fourth are in no RFC, and in servers."""

_PROOF = re.compile(r'response="([0-9a-f]+)"')

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
        wanted: dict[str, SecretValue] = yield Wanted(
            {"username": self.username, "password": self.password}
        )
        signer = _Signer.of(wanted, challenges(challenge))
        if signer is None:
            message = f"{request.method} {request.url} asks for no digest that is known"
            hint = "another type of 'auth' is wanted, for example basic"
            raise AuthenticationError(message, status=HTTPStatus.UNAUTHORIZED, hint=hint)
        if parse(self.username).is_literal:  # and no secret: it may be found in innocent text
            del wanted["username"]
        return Access(secrets=wanted, lifetime=_LIFETIME, signer=signer)

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the answer to the challenge."""
        if access.signer is None:
            return wire
        return wire.with_headers({"Authorization": access.signer.answer(wire.method, wire.url)})

    def signatures(self, wire: WireRequest) -> list[str]:
        """Return the proof; what stands around it the server has said itself."""
        header = next((text for name, text in wire.headers if name == "Authorization"), "")
        return [found[1] for found in _PROOF.finditer(header)]


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


def challenges(header: str) -> list[dict[str, str]]:
    """Return the parameters of each digest challenge in a header, names in lower case.

    Example:
        >>> challenges('Basic realm="a, b", Digest realm="c", nonce=d, Negotiate')
        [{'realm': 'c', 'nonce': 'd'}]
    """
    found: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for name, quoted, token, scheme in _PIECE.findall(header[:_LONGEST]):
        if scheme:
            current = {}
            if scheme.lower() == "digest":
                found.append(current)
        else:
            current.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or token)
    return found


class _Signer:
    """Answers a challenge, each time with the next count.

    Args:
        wanted: User and password.
        challenge: The parameters of one that `knows` accepts.
    """

    __slots__ = ("_challenge", "_cnonce", "_count", "_lock", "_password", "_user")

    def __init__(self, wanted: dict[str, SecretValue], challenge: dict[str, str]) -> None:
        self._user, self._password = wanted["username"], wanted["password"]
        self._challenge = challenge
        self._cnonce = secrets.token_hex(16)  # one for all: a session's key is made with the first
        self._count = 0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, wanted: dict[str, SecretValue], found: list[dict[str, str]]) -> _Signer | None:
        """Return what answers the first of the challenges that are known, None without any."""
        return next((cls(wanted, challenge) for challenge in found if _is_known(challenge)), None)

    def answer(self, method: str, url: str) -> str:
        """Return the header for a request.

        Raises:
            UnsafeValueError: When the user's name cannot stand in it.
        """
        user, password = self._user.reveal(), self._password.reveal()
        with self._lock:
            self._count += 1
            count = f"{self._count:08x}"
        said, target = self._challenge, origin.target(url) or "/"
        nonce, options = said["nonce"], ""
        proof = [self._key(user, password), nonce, self._hash(f"{method}:{target}")]
        if "qop" in said:
            proof[2:2] = [count, self._cnonce, "auth"]
            options += f', qop=auth, nc={count}, cnonce="{self._cnonce}"'
        if "algorithm" in said:
            options += f", algorithm={said['algorithm']}"
        if "opaque" in said:
            options += f", opaque={_quoted(said['opaque'])}"
        return (
            f"Digest {_name(user)}, realm={_quoted(said['realm'])}, "
            f"nonce={_quoted(nonce)}, uri={_quoted(target)}, "
            f'response="{self._hash(":".join(proof))}"{options}'
        )

    def _key(self, user: str, password: str) -> str:
        said = self._challenge
        key = self._hash(f"{user}:{said['realm']}:{password}")
        if _algorithm(said).endswith("-SESS"):
            return self._hash(f"{key}:{said['nonce']}:{self._cnonce}")
        return key

    def _hash(self, text: str) -> str:
        name = _HASHES[_algorithm(self._challenge).removesuffix("-SESS")]
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()


def _algorithm(challenge: dict[str, str]) -> str:
    return challenge.get("algorithm", "MD5").upper()


def _is_known(challenge: dict[str, str]) -> bool:
    """Tell whether a challenge can be answered, and without a proof of the body."""
    sound = all(text.isascii() and text.isprintable() for text in challenge.values())
    offered = {option.strip().lower() for option in challenge.get("qop", "auth").split(",")}
    known = _HASHES.get(_algorithm(challenge).removesuffix("-SESS")) in hashlib.algorithms_available
    return sound and known and {"realm", "nonce"} <= challenge.keys() and "auth" in offered


def _name(user: str) -> str:
    """Return the parameter with the user's name (section 3.4.4).

    Raises:
        UnsafeValueError: When it cannot stand in a header.
    """
    if not user.isprintable():
        message = "a user name with a control character cannot be sent"
        raise UnsafeValueError(message, hint="is it the right one?")
    if user.isascii():
        return f"username={_quoted(user)}"
    return f"username*=UTF-8''{quote(user, safe='')}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
