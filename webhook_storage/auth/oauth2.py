"""Access tokens of OAuth 2.0 (RFC 6749), by a client's own credentials or a refresh token."""

from __future__ import annotations

import contextlib
import math
import re
from abc import abstractmethod
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field

from webhook_storage import document
from webhook_storage.auth.description import AuthModel, SecretText
from webhook_storage.contracts import Access, Exchange, Request, WireRequest
from webhook_storage.errors import AuthenticationError
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from webhook_storage.contracts import Response

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
"""What can be in a header; larger than that is the limit of all of a request's headers."""

_LIFETIME = 3600.0
"""Seconds, where the service says nothing (RFC 6749, section 5.1 leaves that to the client)."""

_LONGEST = 10.0**7
_DIGITS = 20
_REFUSED = frozenset({400, 401, 403})
_MEANINGS = {
    "invalid_client": "client_id or client_secret is wrong, or is wanted in another place: see "
    "'client_auth'",
    "invalid_grant": "the refresh token was revoked, was replaced by a newer one, has expired, or "
    "is that of another client",
    "invalid_request": "the service wants other fields: see 'more'",
    "invalid_scope": "the client may not have this 'scope'",
    "unauthorized_client": "the client may not get tokens in this way",
    "unsupported_grant_type": "the service gives no tokens in this way; is it the right token_url?",
}
"""What to do about an error (RFC 6749, section 5.2)."""


class _OAuth2(AuthModel):
    """What both ways have in common."""

    token_url: str = Field(description="URL of the token endpoint.")
    client_id: str = Field(description="The client's id, or its placeholder.")
    scope: str = Field("", description="Scopes, with spaces in between; empty for all.")
    more: dict[str, str] = Field(
        default_factory=dict, description="Further fields of the form, for example an audience."
    )
    client_auth: Literal["post", "basic"] = Field(
        "post", description="Whether id and secret go in the form or by basic authentication."
    )
    timeout: tuple[float, float] = Field(
        (10.0, 30.0), description="Seconds to connect, and to wait for each piece."
    )
    verify: bool | str = Field(
        default=True, description="Path of a CA bundle that is trusted as well; False is unsafe."
    )
    allow_http: bool = Field(
        default=False, description="Whether secrets may go unencrypted to another machine."
    )

    def __str__(self) -> str:
        """Say what will be in the request."""
        return f"the access token that {self.token_url} gives"

    @property
    @abstractmethod
    def _grant(self) -> dict[str, str]:
        """The fields that say what is given for the token."""

    @property
    @abstractmethod
    def _secret(self) -> str | None:
        """The client's secret, None when it has none."""

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get an access token.

        Raises:
            AuthenticationError: When there is none.
        """
        form = {**self._grant, **({"scope": self.scope} if self.scope else {}), **self.more}
        auth = None
        if self.client_auth == "basic":
            auth = (self.client_id, self._secret or "")
        else:
            secret = {} if self._secret is None else {"client_secret": self._secret}
            form |= {"client_id": self.client_id, **secret}
        request = Request(
            method="POST",
            url=self.token_url,
            headers={"Accept": "application/json"},
            data=form,
            auth=auth,
            timeout=self.timeout,
            verify=self.verify,
            returns=_REFUSED,
            idempotent=True,  # a token that got lost is one that nobody uses
            allow_html=True,  # and is no token: `_access` says so
            allow_http=self.allow_http,
        )
        response: Response = yield request
        return _access(self.token_url, response)

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the token to the request."""
        return wire.with_headers({"Authorization": f"Bearer {access.secrets['token'].reveal()}"})


class ClientCredentials(_OAuth2):
    """An access token for the client itself (RFC 6749, section 4.4).

    It is got when it is first needed, kept in the process for nine tenths of its life, shared by
    all who need it, and got anew when a server refuses it.
    """

    type: Literal["oauth2_client_credentials"] = "oauth2_client_credentials"
    client_secret: SecretText = Field(description="Placeholder of the client's secret.")

    @property
    def _grant(self) -> dict[str, str]:
        return {"grant_type": "client_credentials"}

    @property
    def _secret(self) -> str:
        return self.client_secret


class RefreshToken(_OAuth2):
    """An access token by a refresh token (RFC 6749, section 6); else as `ClientCredentials`.

    A service that gives a new refresh token each time, and lets the old one end, is none for this:
    the new one would be lost.
    """

    type: Literal["oauth2_refresh"] = "oauth2_refresh"
    refresh_token: SecretText = Field(description="Placeholder of the refresh token.")
    client_secret: SecretText | None = Field(
        None, description="Placeholder of the client's secret; a public client has none."
    )

    @property
    def _grant(self) -> dict[str, str]:
        return {"grant_type": "refresh_token", "refresh_token": self.refresh_token}

    @property
    def _secret(self) -> str | None:
        return self.client_secret


def _access(url: str, response: Response) -> Access:
    """Return the access that a token endpoint gave.

    Raises:
        AuthenticationError: When it gave none.
    """
    found = document.parse(response.body.decode("utf-8", "replace"))
    answer: dict[str, Any] = found if isinstance(found, dict) else {}
    token = answer.get("access_token")
    kind = answer.get("token_type", "bearer")
    # A token of any other type (section 7.1) is sent in another way.
    bearer = isinstance(kind, str) and kind.lower() == "bearer"
    given = token if isinstance(token, str) and _TOKEN.fullmatch(token) else ""
    if response.status == HTTPStatus.OK and given and bearer:
        return Access(
            secrets={"token": SecretValue(given)}, lifetime=_lifetime(answer.get("expires_in"))
        )
    code = answer.get("error")
    known = isinstance(code, str) and code in _MEANINGS
    what = f"POST {url} gave no access token"
    message = f"{what}: {code}" if known else f"{what}, and answered {response.status}"
    hint = _MEANINGS[cast("str", code)] if known else "is it the URL of a token endpoint?"
    if given and not bearer:
        message, hint = f"{what} of the type bearer", "no other type is known here (RFC 6749, 7.1)"
    raise AuthenticationError(
        message, status=response.status, attempts=response.attempts, hint=hint
    )


def _lifetime(said: object) -> float:
    """Return the seconds for which a token is good; some services say them as text."""
    seconds = _LIFETIME
    if isinstance(said, str):  # a number is one too, as it was spelled
        with contextlib.suppress(ValueError):
            seconds = float(said[:_DIGITS])
    return max(1.0, min(_LONGEST, seconds)) if math.isfinite(seconds) else _LIFETIME
