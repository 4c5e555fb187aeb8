"""Tokens of OpenStack, by Keystone or by TempAuth, and where they say that the files are.

Source: OpenStack Identity API v3, Authentication and token management; keystoneauth1 5.18; Swift's
TempAuth. A catalog is text of a service: of it a URL is told, and nothing else.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from webhook_storage import document, place
from webhook_storage.answer import number
from webhook_storage.auth import AuthModel, SecretText
from webhook_storage.contracts import Access, Exchange, Request, WireRequest
from webhook_storage.errors import AuthenticationError
from webhook_storage.filters import has_dot_segment
from webhook_storage.secret import SecretValue
from webhook_storage.template import parse
from webhook_storage_presets.fields import Verify

if TYPE_CHECKING:
    from typing import Self

    from webhook_storage.contracts import Response

STORAGE_URL = "storage_url"
"""Name under which an access tells it."""

_REFUSED = frozenset({400, 401, 403, 404})
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_URL = re.compile(r"https?://[A-Za-z0-9._~:\[\]-]+(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")
"""An absolute URL without user, query and fragment (RFC 3986)."""

_LONGEST_URL = 2048
_LIFETIME = 300.0
"""Seconds, where it is unclear when a token ends."""

_LONGEST = 10.0**7


class _Token(AuthModel):
    """What both ways have in common: a token in ``X-Auth-Token``."""

    auth_url: str = Field(description="URL of the service that gives tokens.")
    timeout: tuple[float, float] = Field(
        (10.0, 30.0), description="Seconds to connect, and to wait for each piece."
    )
    verify: Verify = True
    allow_http: bool = Field(
        default=False, description="Whether secrets may go unencrypted to another machine."
    )

    def header_name(self) -> str:
        """Return the header of the token."""
        return "X-Auth-Token"

    @field_validator("auth_url")
    @classmethod
    def _check_auth_url(cls, text: str) -> str:
        place.check_url(parse(text))
        if "?" in text or "#" in text:
            raise ValueError("it is a URL without a query")
        return text.rstrip("/")

    def __str__(self) -> str:
        """Say what will be in the request."""
        return f"the token that {self.auth_url} gives"

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the token to the request."""
        return wire.with_headers({"X-Auth-Token": access.secrets["token"].reveal()})

    def _request(self, **more: Any) -> Request:
        return Request(
            timeout=self.timeout,
            verify=self.verify,
            allow_http=self.allow_http,
            returns=_REFUSED,
            allow_html=True,
            follow=False,
            idempotent=True,  # a token that got lost is one that nobody uses
            **more,
        )


class TempAuth(_Token):
    """A token by user and key, as Swift's own TempAuth and other old log-ins give it.

    Example:
        >>> auth = TempAuth(auth_url="https://swift.example.com/auth/v1.0",
        ...                 user="team:flows", key="${SWIFT_KEY}")
        >>> str(auth)
        'the token that https://swift.example.com/auth/v1.0 gives'
    """

    type: Literal["swift_temp_auth"] = "swift_temp_auth"
    user: str = Field(description="Account and user, for example team:flows, or a placeholder.")
    key: SecretText = Field(description="Placeholder of the user's key.")

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get a token.

        Raises:
            AuthenticationError: When there is none.
        """
        request = self._request(
            method="GET",
            url=self.auth_url,
            headers={"X-Auth-User": self.user, "X-Auth-Key": self.key},
        )
        response: Response = yield request
        token = _token_of(request, response, "x-auth-token", "are auth_url, user and key right?")
        seconds = number(response.headers.get("x-auth-token-expires", ""))
        return Access(
            secrets={"token": SecretValue(token)},
            lifetime=None if seconds is None else _bounded(seconds),
            told=_told(response, token, response.headers.get("x-storage-url", "")),
        )


class Keystone(_Token):
    """A token of OpenStack's identity service, version 3.

    It takes a user's password and a project, or an application credential, which has its own.

    Example:
        >>> auth = Keystone(auth_url="https://keystone.example.com", project_name="flows",
        ...                 username="ci", password="${OS_PASSWORD}", region_name="north")
        >>> str(auth)
        'the token that https://keystone.example.com gives'
    """

    type: Literal["keystone"] = "keystone"
    username: str | None = Field(None, description="Name of the user.")
    user_id: str | None = Field(None, description="Id of the user, in place of the name.")
    user_domain_name: str = Field("Default", description="Name of the user's domain.")
    user_domain_id: str | None = Field(None, description="Its id, in place of the name.")
    password: SecretText | None = Field(None, description="Placeholder of the user's password.")
    project_name: str | None = Field(None, description="Name of the project with the containers.")
    project_id: str | None = Field(None, description="Id of the project, in place of the name.")
    project_domain_name: str = Field("Default", description="Name of the project's domain.")
    project_domain_id: str | None = Field(None, description="Its id, in place of the name.")
    application_credential_id: str | None = Field(
        None, description="Id of an application credential."
    )
    application_credential_name: str | None = Field(
        None, description="Its name, in place of the id; it wants the user too."
    )
    application_credential_secret: SecretText | None = Field(
        None, description="Placeholder of its secret."
    )
    region_name: str | None = Field(
        None, description="Region whose storage is taken; needed where there are several."
    )
    interface: Literal["public", "internal", "admin"] = Field(
        "public", description="Which of its URLs."
    )

    @model_validator(mode="after")
    def _check_credential(self) -> Self:
        if (self.password is None) is (self.application_credential_secret is None):
            raise ValueError("give either password or application_credential_secret")
        by_id = self.application_credential_id is not None
        if not by_id and (self.username is None) is (self.user_id is None):
            raise ValueError("give either username or user_id")
        named = by_id, self.application_credential_name is not None
        if self.password is not None and any(named):
            raise ValueError("an application credential has a secret and no password")
        if self.password is None and all(named) is any(named):
            raise ValueError("give either application_credential_id or application_credential_name")
        if self.project_name is not None and self.project_id is not None:
            raise ValueError("give either project_name or project_id")
        if self.password is None and (self.project_name or self.project_id):
            raise ValueError("an application credential has its project: give none")
        return self

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get a token, and the catalog with it.

        Raises:
            AuthenticationError: When there is none.
        """
        base = self.auth_url if self.auth_url.endswith("/v3") else f"{self.auth_url}/v3"
        request = self._request(
            method="POST",
            url=f"{base}/auth/tokens",
            headers={"Accept": "application/json"},
            json={"auth": self._identity()},
        )
        response: Response = yield request
        hint = "are auth_url, user, domains, project and the secret right?"
        token = _token_of(request, response, "x-subject-token", hint)
        said = document.parse(response.body.decode("utf-8", "replace"))
        found = _mapping(_mapping(said).get("token"))
        return Access(
            secrets={"token": SecretValue(token)},
            lifetime=_lifetime(found),
            told=_told(response, token, self._storage_url(found)),
        )

    def _identity(self) -> dict[str, Any]:
        """Return who asks, and for which project."""
        user: dict[str, Any] = {"id": self.user_id}
        if self.user_id is None:
            domain = _domain(self.user_domain_name, self.user_domain_id)
            user = {"name": self.username, "domain": domain}
        if self.password is not None:
            user["password"] = self.password
            identity = {"methods": ["password"], "password": {"user": user}}
            return {"identity": identity, **self._scope()}
        credential: dict[str, Any] = {"secret": self.application_credential_secret}
        if self.application_credential_id is not None:
            credential["id"] = self.application_credential_id
        else:
            credential |= {"name": self.application_credential_name, "user": user}
        method = "application_credential"
        return {"identity": {"methods": [method], method: credential}}

    def _scope(self) -> dict[str, Any]:
        if self.project_id is not None:
            return {"scope": {"project": {"id": self.project_id}}}
        if self.project_name is None:
            return {}  # the user's default project, if there is one
        domain = _domain(self.project_domain_name, self.project_domain_id)
        return {"scope": {"project": {"name": self.project_name, "domain": domain}}}

    def _storage_url(self, token: dict[str, Any]) -> str:
        """Return the URL in the catalog; empty where there is none, or several."""
        urls = {
            url
            for service in map(_mapping, _listed(token.get("catalog")))
            if service.get("type") == "object-store"
            for endpoint in map(_mapping, _listed(service.get("endpoints")))
            if endpoint.get("interface") == self.interface and self._is_here(endpoint)
            if isinstance(url := endpoint.get("url"), str)
        }
        return urls.pop() if len(urls) == 1 else ""

    def _is_here(self, endpoint: dict[str, Any]) -> bool:
        here = endpoint.get("region_id"), endpoint.get("region")
        return self.region_name is None or self.region_name in here


def _domain(name: str, by_id: str | None) -> dict[str, str]:
    return {"name": name} if by_id is None else {"id": by_id}


def _mapping(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _listed(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


def _token_of(request: Request, response: Response, header: str, hint: str) -> str:
    """Return the token in an answer.

    Raises:
        AuthenticationError: When there is none.
    """
    token = response.headers.get(header, "")
    if response.status not in _REFUSED and _TOKEN.fullmatch(token):
        return token
    message = f"{request.method} {request.url} gave no token, and answered {response.status}"
    if response.status == HTTPStatus.NOT_FOUND:
        hint = "is auth_url right? A placeholder at its end stands for what is before /v3"
    raise AuthenticationError(
        message, status=response.status, attempts=response.attempts, hint=hint
    )


def _told(response: Response, token: str, url: str) -> dict[str, str]:
    """Return where the files are, unless it is no URL or has a secret of the log-in in it."""
    url = url.rstrip("/")
    echoed = token in url or (response.echoes is not None and response.echoes(url))
    sound = len(url) <= _LONGEST_URL and _URL.fullmatch(url) and not has_dot_segment(url)
    return {STORAGE_URL: url} if sound and not echoed else {}


def _lifetime(token: dict[str, Any]) -> float:
    """Return the seconds between the times that the service says, whose clock may be another."""
    issued, expires = _time(token.get("issued_at")), _time(token.get("expires_at"))
    if issued is None or expires is None:
        return _LIFETIME
    return _bounded((expires - issued) / timedelta(seconds=1))


def _time(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _bounded(seconds: float) -> float:
    return max(1.0, min(float(seconds), _LONGEST))
