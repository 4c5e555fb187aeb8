"""The auth methods and tokens of the fake Vault, which live by a clock of their own.

Rule: what OpenBao's source answers to a wrong login is answered here, with its status and words.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Refused = tuple[int, str]
"""Status and words of a refusal."""

_DENIED = (403, "permission denied")
_WRONG_ROLE = (400, "invalid role or secret ID")


@dataclass
class Token:
    """A client token.

    Attributes:
        id: The token.
        ttl: Seconds that a login or renewal gives it; 0 for a token that does not end.
        ends: When it ends, by the clock of the server; None for never.
        last_day: When no renewal helps any more.
        denied: Path prefixes that it may not touch.
    """

    id: str
    namespace: str = ""
    policies: tuple[str, ...] = ("root",)
    ttl: int = 0
    renewable: bool = False
    denied: tuple[str, ...] = ()
    ends: float | None = None
    last_day: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return what looking up the token tells."""
        return {
            "id": self.id,
            "accessor": f"accessor-{self.id[-4:]}",
            "policies": list(self.policies),
            "ttl": self.ttl,
            "renewable": self.renewable,
            "display_name": "token",
            "type": "service",
        }

    def auth(self, ttl: int) -> dict[str, Any]:
        """Return the `auth` object of a login or a renewal."""
        return {
            "client_token": self.id,
            "accessor": f"accessor-{self.id[-4:]}",
            "policies": list(self.policies),
            "token_policies": list(self.policies),
            "metadata": None,
            "lease_duration": ttl,
            "renewable": self.renewable,
            "token_type": "service",
            "orphan": True,
        }


@dataclass
class Wrapped:
    """An answer that waits to be unwrapped."""

    data: dict[str, Any]
    ends: float


@dataclass
class Tokens:
    """The tokens of a server, and its clock.

    Attributes:
        now: Seconds on that clock; `advance` moves it.
        valid: The tokens that are good, by id; delete one to revoke it.
    """

    now: float = 0.0
    valid: dict[str, Token] = field(default_factory=dict)
    wrapped: dict[str, Wrapped] = field(default_factory=dict)

    def advance(self, seconds: float) -> None:
        """Let time pass; what runs out meanwhile is gone."""
        self.now += seconds
        for name, token in list(self.valid.items()):
            if token.ends is not None and token.ends <= self.now:
                del self.valid[name]
        for name, wrapped in list(self.wrapped.items()):
            if wrapped.ends <= self.now:
                del self.wrapped[name]

    def issue(
        self,
        *,
        namespace: str,
        policies: Iterable[str],
        ttl: int,
        max_ttl: int,
        renewable: bool,
        denied: Iterable[str],
    ) -> Token:
        """Make a token; a `max_ttl` of 0 is none."""
        ends = self.now + ttl if ttl else None
        last_day = self.now + max_ttl if max_ttl else None
        name = f"hvs.{secrets.token_urlsafe(18)}"
        token = Token(
            name, namespace, tuple(policies), ttl, renewable, tuple(denied), ends, last_day
        )
        self.valid[name] = token
        return token

    def renew(self, token: Token) -> int:
        """Give a token its life again, up to its last day, and return the seconds it got."""
        ttl = token.ttl
        if token.last_day is not None:
            ttl = int(min(ttl, token.last_day - self.now))
        token.ends = self.now + ttl
        return ttl

    def wrap(self, data: dict[str, Any], ttl: int) -> str:
        """Return a single-use token that unwraps to `data`."""
        token = f"hvs.{secrets.token_urlsafe(18)}"
        self.wrapped[token] = Wrapped(data, self.now + ttl)
        return token


@dataclass
class AuthMethods:
    """Who may log in.

    Attributes:
        mounts: The kind of each method, by its path below `auth/`.
        role_id: The role that AppRole knows.
        secret_ids: The secret ids that go with it.
        kubernetes: The tokens of service accounts, by the role that they may take.
        jwt: The same for JWT; a role of "" is the method's default one.
    """

    role_id: str
    secret_ids: set[str]
    mounts: dict[str, str] = field(
        default_factory=lambda: {name: name for name in ("approle", "kubernetes", "jwt")}
    )
    kubernetes: dict[str, set[str]] = field(default_factory=dict)
    jwt: dict[str, set[str]] = field(default_factory=dict)

    def mounted(self, path: str) -> str | None:
        """Return the kind of the method whose login this path is."""
        inside = path.startswith("auth/") and path.endswith("/login")
        return self.mounts.get(path[len("auth/") : -len("/login")]) if inside else None

    def refusal(self, kind: str, body: Mapping[str, Any]) -> Refused | None:
        """Return why a login is refused, None for a good one."""
        refusals = {
            "approle": self._refuse_role_id,
            "kubernetes": self._refuse_service_account,
            "jwt": self._refuse_jwt,
        }
        return refusals[kind](body)

    def _refuse_role_id(self, body: Mapping[str, Any]) -> Refused | None:
        if not body.get("role_id"):
            return 400, "missing role_id"
        if body["role_id"] != self.role_id:
            return _WRONG_ROLE
        if not body.get("secret_id"):
            return 400, "missing secret_id"
        return None if body["secret_id"] in self.secret_ids else _WRONG_ROLE

    def _refuse_service_account(self, body: Mapping[str, Any]) -> Refused | None:
        for name in ("role", "jwt"):
            if not body.get(name):
                return 400, f"missing {name}"
        role = str(body["role"])
        if role not in self.kubernetes:
            return 400, f'invalid role name "{role}"'
        return None if body["jwt"] in self.kubernetes[role] else _DENIED

    def _refuse_jwt(self, body: Mapping[str, Any]) -> Refused | None:
        role = str(body.get("role") or "")
        if not role and "" not in self.jwt:
            return 400, "missing role"
        if role not in self.jwt:
            return 400, f'role "{role}" could not be found'
        if not body.get("jwt"):
            return 400, "missing token"
        known = body["jwt"] in self.jwt[role]
        return None if known else (400, "error validating token: invalid signature")
