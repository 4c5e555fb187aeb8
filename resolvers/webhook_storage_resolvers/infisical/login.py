"""How one gets an access token of Infisical: by Universal Auth, or given.

Facts: the documentation's "Universal Auth" and the command line's environment variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook_storage.client import HttpAnswer, HttpClient
from webhook_storage.contracts import Unavailable
from webhook_storage.document import spell
from webhook_storage.secret import SecretValue
from webhook_storage.token import Refusal, Token, TokenCache
from webhook_storage_resolvers.infisical.answers import meaning_of_login

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from webhook_storage.contracts import Deadline

_LOGIN = "/api/v1/auth/universal-auth/login"
_MOST_DIGITS = 12


class Given:
    """A token that somebody else got; there is no other when it ends.

    Args:
        token: The token.
    """

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = Token(SecretValue(token))

    def token(self) -> Token | Refusal:
        """Return the token."""
        return self._token

    def renew(self) -> bool:
        """Tell that there is no other."""
        return False


class UniversalAuth:
    """A machine identity with a client id and a client secret.

    Args:
        http: Sends the log-in.
        origin: Of the server.
        credential: The client id and the client secret, as the log-in wants them.
        tokens: Where the token is kept.
        deadline: When the caller stops waiting.
    """

    __slots__ = ("_credential", "_deadline", "_http", "_origin", "_tokens", "_used")

    def __init__(
        self,
        http: HttpClient,
        origin: str,
        credential: Mapping[str, str],
        tokens: TokenCache,
        deadline: Deadline,
    ) -> None:
        self._http = http
        self._origin = origin
        self._credential = credential
        self._tokens = tokens
        self._deadline = deadline
        self._used: Token | None = None

    def token(self) -> Token | Refusal:
        """Return the token that is kept, or log in."""
        token = self._tokens.get(lambda _: self._log_in())
        self._used = token if isinstance(token, Token) else None
        return token

    def renew(self) -> bool:
        """Drop the token that was used last, so that the next one is new."""
        if self._used is not None:
            self._tokens.forget(self._used)
        return True

    def _log_in(self) -> Token | Refusal:
        """Exchange the credential for a token."""
        url = f"{self._origin}{_LOGIN}"
        answer = self._http.ask("POST", url, self._deadline, json=dict(self._credential))
        document = meaning_of_login(answer) if isinstance(answer, HttpAnswer) else answer
        if isinstance(document, Refusal):
            return document
        text = document.get("accessToken")
        if not isinstance(text, str) or not text or spell(text) is None:
            return Unavailable("the log-in gave no token")
        return Token(SecretValue(text), _seconds(document.get("expiresIn")))


def _seconds(number: Any) -> float | None:
    """Return the life of a token, None when the server does not say."""
    text = str(number)
    known = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return float(text) if known else None
