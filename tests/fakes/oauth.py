"""A token endpoint of OAuth 2.0 (RFC 6749) and a file service that takes its tokens only.

It refuses a request that is no form, a wrong client, a wrong or revoked refresh token, credentials
in two places at once, and tokens that it did not give, has taken back, or that have expired.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from urllib.parse import parse_qsl

from tests.fakes.files import FileService
from tests.fakes.http import Answer, Received, json_answer

CLIENT = "client-of-this-test"
SECRET = "client+secret/of this test"
REFRESH = "refresh-token-of-this-test"
TOKEN_PATH = "/oauth2/token"


class TokenService(FileService):
    """Gives tokens at `TOKEN_PATH` and keeps files everywhere else.

    Attributes:
        lifetime: Seconds that a token is said to live; None says nothing.
        token_type: Of its tokens; None says nothing.
        given: All tokens, in the order in which they were given.
        good: Those that the file service takes now.
        scopes: What was asked for, with each token.
    """

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__(token=None, tls=tls)
        self.lifetime: object = 3600
        self.token_type: object = "bearer"
        self.given: list[str] = []
        self.good: set[str] = set()
        self.scopes: list[str | None] = []
        self._numbers = itertools.count(1)

    @property
    def token_url(self) -> str:
        """Where tokens are given."""
        return self.url + TOKEN_PATH

    def answer(self, request: Received, body: bytes) -> Answer:
        """Give a token, or do with files what the method says."""
        if request.path == TOKEN_PATH:
            return self._token(request, body)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.good:
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            return json_answer(401, {"error": "invalid_token"}, headers)
        return super().answer(request, body)

    def take_back(self) -> None:
        """Take no token any more that was given until now."""
        with self.lock:
            self.good.clear()

    def _token(self, request: Received, body: bytes) -> Answer:
        kind = request.headers.get("content-type", "").partition(";")[0]
        if request.method != "POST" or kind != "application/x-www-form-urlencoded":
            return json_answer(400, {"error": "invalid_request"})
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        if not _is_client(request, form):
            headers = {"WWW-Authenticate": 'Basic realm="clients"'}
            return json_answer(401, {"error": "invalid_client"}, headers)
        grant = form.get("grant_type")
        if grant not in {"client_credentials", "refresh_token"}:
            return json_answer(400, {"error": "unsupported_grant_type"})
        if grant == "refresh_token" and form.get("refresh_token") != REFRESH:
            return json_answer(400, {"error": "invalid_grant"})
        self.scopes.append(form.get("scope"))
        token = f"access-token-{next(self._numbers)}"
        self.given.append(token)
        self.good.add(token)
        told = {} if self.lifetime is None else {"expires_in": self.lifetime}
        typed = {} if self.token_type is None else {"token_type": self.token_type}
        said = {"access_token": token, **typed, **told}
        return json_answer(200, said, {"Cache-Control": "no-store"})


def _is_client(request: Received, form: dict[str, str]) -> bool:
    """Tell whether the client says rightly who it is, in one place only (section 2.3.1)."""
    authorization = request.headers.get("authorization", "")
    in_form = form.get("client_id"), form.get("client_secret")
    if not authorization:
        return in_form == (CLIENT, SECRET)
    try:
        given = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return given == f"{CLIENT}:{SECRET}" and form.get("client_secret") is None
