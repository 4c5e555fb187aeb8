"""How a token for Vault or OpenBao is had: somebody else got it, or an auth method gives it.

Facts: "AppRole", "Kubernetes" and "JWT/OIDC" auth methods (API), "/auth/token/renew-self" and
"Response wrapping" of the Vault documentation; `hvac.Client` of hvac 2.4.
Rule: a login is asked for without a token, since a server that gets one looks at that one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

from webhook_storage.contracts import Unavailable
from webhook_storage.secret import SecretValue
from webhook_storage.token import Refusal, Token
from webhook_storage_resolvers.vault.answers import token_of, unwrapped
from webhook_storage_resolvers.vault.environment import variable

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

Method: TypeAlias = Literal["approle", "kubernetes", "jwt"]
"""An auth method, by the name under which it is mounted unless somebody changes that."""

NO_TOKEN = SecretValue("")
"""What a question without a token has; with None, hvac would look for one itself."""

_WORTH_RENEWING = 0.5
"""Of the former life; a token that gets less is near its last day."""


class Ask(Protocol):
    """Asks the server one question, with a token or without."""

    def __call__(
        self, question: Callable[[Any], requests.Response], token: SecretValue | None = None
    ) -> requests.Response | Unavailable:
        """Return the answer, or why there is none."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a credential lies; it is read when it is needed, and kept nowhere.

    Args:
        what: Its name in messages.
        variable: Environment variable that holds it.
        file: File that holds it.
        usual: What comes after ``VAULT_`` or ``BAO_`` when neither is named.
        usual_file: File to look into when there is no such variable.
        advice: What else can be done about its absence.
    """

    what: str
    variable: str | None = None
    file: str | os.PathLike[str] | None = None
    usual: str | None = None
    usual_file: str | os.PathLike[str] | None = None
    advice: str = ""

    def read(self) -> SecretValue | Unavailable:
        """Return the credential, or where it was looked for in vain."""
        if self.variable is not None:
            found = os.environ.get(self.variable)
        elif self.file is not None:
            found = _content(self.file)
        else:
            found = variable(self.usual) if self.usual else None
            found = found or (_content(self.usual_file) if self.usual_file else None)
        return SecretValue(found) if found else Unavailable(self._absence())

    def _absence(self) -> str:
        if self.variable is not None:
            return f"no {self.what}: set {self.variable}"
        if self.file is not None or not self.usual:
            return f"no {self.what}: the {self.what} file cannot be read, or is empty"
        return f"no {self.what}: set VAULT_{self.usual}{self.advice}"


class Access(Protocol):
    """Where tokens come from."""

    @property
    def repeats(self) -> bool:
        """Return whether it has another token when one is refused."""

    def token(self, ask: Ask, last: Token | None) -> Token | Refusal:
        """Return a token, or why there is none."""

    def missing(self) -> str | None:
        """Return which credential cannot be read here, None when all can."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A token that somebody else got, and takes care of.

    Args:
        source: Where it lies.
        optional: Whether an agent may be asked, which adds a token of its own.
    """

    source: Source
    optional: bool = False
    repeats: ClassVar[bool] = False

    def token(self, ask: Ask, last: Token | None) -> Token | Refusal:  # noqa: ARG002 - asks nobody
        """Return the token as it is now."""
        found = self.source.read()
        if isinstance(found, SecretValue):
            return Token(found)
        return Token(NO_TOKEN) if self._may_be_missing() else found

    def missing(self) -> str | None:
        """Return where there is no token, None where there is one."""
        found = self.source.read()
        if isinstance(found, SecretValue) or self._may_be_missing():
            return None
        return found.detail

    def _may_be_missing(self) -> bool:
        return self.optional and variable("AGENT_ADDR") is not None


@dataclass(slots=True, eq=False)
class _Unwrapped:
    """The secret_id that a wrapping token was exchanged for, which works once.

    Logins are single flight, so it needs no lock. Other than connections it outlives a fork.
    """

    wrapping: SecretValue | None = field(default=None, repr=False)
    secret_id: SecretValue | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave both behind."""
        return type(self), ()


@dataclass(frozen=True, kw_only=True)
class Login:
    """Gets tokens from an auth method.

    Args:
        method: Which one.
        mount: Where it is mounted below ``auth/``.
        credential: The secret_id or the JWT.
        role_id: The role_id of an AppRole.
        role: The role of the other methods.
        wrapped: Whether the credential is a token that unwraps to the secret_id.
    """

    method: Method
    mount: str
    credential: Source
    role_id: Source | None = None
    role: str | None = None
    wrapped: bool = False
    repeats: ClassVar[bool] = True
    _unwrapped: _Unwrapped = field(
        default_factory=_Unwrapped, init=False, repr=False, compare=False
    )

    def token(self, ask: Ask, last: Token | None) -> Token | Refusal:
        """Return a token: `last` with a longer life, or a new one.

        While the server gives neither, for no fault of ours, `last` is used on.
        """
        renewed = self._renewed(ask, last) if last is not None and last.renewable else None
        if renewed is not None:
            return renewed
        answer = self._log_in(ask)
        return last if last is not None and isinstance(answer, Unavailable) else answer

    def missing(self) -> str | None:
        """Return which credential cannot be read here, None when all can."""
        for source in (self.role_id, self.credential):
            found = source.read() if source is not None else None
            if isinstance(found, Unavailable):
                return found.detail
        return None

    def _renewed(self, ask: Ask, last: Token) -> Token | None:
        """Return the token with a new life, None when it gets none that is worth it."""
        answer = ask(lambda client: client.auth.token.renew_self(), last.value)
        token = answer if isinstance(answer, Unavailable) else token_of(answer, "token", "it")
        if isinstance(token, Unavailable):
            return last
        if not isinstance(token, Token):
            return None
        enough = _WORTH_RENEWING * (last.lifetime or 0.0)
        return token if not token.lifetime or token.lifetime >= enough else None

    def _log_in(self, ask: Ask) -> Token | Refusal:
        """Show the credential and return what it is worth."""
        role_id = self.role_id.read() if self.role_id is not None else None
        if isinstance(role_id, Unavailable):
            return role_id
        credential = self._credential(ask)
        if not isinstance(credential, SecretValue):
            return credential
        answer = ask(lambda client: self._question(client, role_id, credential))
        if isinstance(answer, Unavailable):
            return answer
        shown = (
            "the role_id or the secret_id" if self.method == "approle" else "the role or the JWT"
        )
        return token_of(answer, self.mount, shown)

    def _question(
        self, client: Any, role_id: SecretValue | None, credential: SecretValue
    ) -> requests.Response:
        """Ask for a token, which is not kept in the client."""
        shown, mount = credential.reveal(), self.mount
        answer: requests.Response
        if self.method == "approle" and role_id is not None:
            approle = client.auth.approle
            answer = approle.login(role_id.reveal(), shown, use_token=False, mount_point=mount)
        elif self.method == "kubernetes":
            kubernetes = client.auth.kubernetes
            answer = kubernetes.login(self.role, shown, use_token=False, mount_point=mount)
        else:
            answer = client.auth.jwt.jwt_login(self.role or "", shown, use_token=False, path=mount)
        return answer

    def _credential(self, ask: Ask) -> SecretValue | Refusal:
        """Return the secret_id or the JWT as it is now."""
        found = self.credential.read()
        if not self.wrapped or isinstance(found, Unavailable):
            return found
        kept = self._unwrapped
        if kept.secret_id is None or kept.wrapping != found:
            answer = ask(lambda client: client.sys.unwrap(), found)
            secret_id = answer if isinstance(answer, Unavailable) else unwrapped(answer)
            if not isinstance(secret_id, SecretValue):
                return secret_id
            kept.wrapping, kept.secret_id = found, secret_id
        return kept.secret_id


def _content(path: str | os.PathLike[str]) -> str | None:
    """Return the text in a file without the space around it, None when it cannot be read."""
    try:
        return Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return None
