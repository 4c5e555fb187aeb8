"""Access tokens of Google, by google-auth over our own client."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from webhook_storage import google
from webhook_storage.auth import AuthModel, SecretText
from webhook_storage.client import HttpClient
from webhook_storage.contracts import Access, Deadline, Wanted, Work
from webhook_storage.errors import AuthenticationError, TransportError, WebhookStorageError
from webhook_storage.google import TokenRequest
from webhook_storage.secret import SecretValue, silenced_logs
from webhook_storage_presets.fields import Verify

if TYPE_CHECKING:
    from webhook_storage.contracts import Exchange, Request, WireRequest

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"

_PATIENCE = 30.0
"""Seconds for all that a log-in takes."""

_SHORTEST = 1.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
"""What can be in a header; larger than that is the limit of all of a request's headers."""

_PROJECT = re.compile(r"[a-z0-9.:-]{0,100}")
_NO_KEY = "the credentials are not the JSON key of a service account"
_KEY_HINT = (
    'the placeholder stands for the whole file, with "type": "service_account"; leave '
    "'credentials' out for credentials of another type"
)
_REACH_HINT = "can Google's token service, or the machine's metadata server, be reached?"
_REFUSED_HINT = "the credentials are wrong or were revoked: renew the key, or log in again"
_PROJECT_HINT = "look at quota_project_id in their file, and at GOOGLE_CLOUD_QUOTA_PROJECT"
_CLOCK_HINT = "set the clock: Google takes a signature for some minutes only"


class Google(AuthModel):
    """An access token of Google, for a service account or for whoever runs this.

    Without `credentials` they are the Application Default Credentials, as in every tool of Google:
    the file that ``GOOGLE_APPLICATION_CREDENTIALS`` names, those of gcloud, or the account of the
    machine. A token is kept in the process for nine tenths of its life.

    Example:
        >>> auth = Google(credentials="${GCP_CREDENTIALS}")
        >>> str(auth)
        'an access token of Google'
    """

    type: Literal["google"] = "google"
    credentials: SecretText | None = Field(
        None,
        description="Placeholder of a service account's key, the whole JSON; none for Application "
        "Default Credentials.",
    )
    scope: str = Field(SCOPE, description="What the token is for; several with spaces in between.")
    verify: Verify = True

    def __str__(self) -> str:
        """Say what will be in the request."""
        return "an access token of Google"

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get an access token."""
        key: SecretValue | None = None
        if self.credentials is not None:
            secrets: dict[str, SecretValue] = yield Wanted({"key": self.credentials})
            key = secrets["key"]
        log_in = partial(_logged_in, key, self.scope.split(), self.verify)
        access: Access = yield Work(log_in, identity="google" if key is None else "")
        return access

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the token, and the project that pays where the credentials name one."""
        headers = {"Authorization": f"Bearer {access.secrets['token'].reveal()}"}
        project = access.told.get("quota_project")
        given = {name.lower() for name, _ in wire.headers}
        if project and "x-goog-user-project" not in given:
            headers["x-goog-user-project"] = project
        return wire.with_headers(headers)


def _logged_in(key: SecretValue | None, scopes: list[str], verify: bool | str) -> Access:  # noqa: FBT001
    """Return what google-auth gets.

    Raises:
        MissingExtraError: It is not installed.
        AuthenticationError: There are no credentials, or they are refused.
        TransportError: The token service cannot be asked.
    """
    library = google.library("an access token of Google")
    client = HttpClient(verify=verify)
    request = TokenRequest(client, Deadline(_PATIENCE))
    outcome: Access | WebhookStorageError
    try:
        with silenced_logs():
            outcome = _token(library, key, scopes, request)
    finally:
        client.close()
    if isinstance(outcome, Access):
        return outcome
    raise outcome


def _token(
    library: Any, key: SecretValue | None, scopes: list[str], request: TokenRequest
) -> Access | WebhookStorageError:
    """Return a token, or why there is none in our own words."""
    found = _own(library, key, scopes) if key is not None else _default(library, scopes, request)
    if isinstance(found, WebhookStorageError):
        return found
    try:
        found.refresh(request)
        token, seconds = str(found.token), _lifetime(found.expiry)
    except Exception as error:  # noqa: BLE001 - its text may hold the answer with the token
        return _meaning(library, request, error)
    if not _TOKEN.fullmatch(token):
        message = "Google's token service gave something that is no access token"
        return AuthenticationError(message, status=0, hint=_REACH_HINT)
    project = getattr(found, "quota_project_id", None) or ""
    if not _PROJECT.fullmatch(project):
        message = "the credentials name a project that pays, and it is the id of none"
        return AuthenticationError(message, status=0, hint=_PROJECT_HINT)
    told = {"quota_project": project} if project else {}
    return Access(secrets={"token": SecretValue(token)}, lifetime=seconds, told=told)


def _own(library: Any, key: SecretValue, scopes: list[str]) -> Any:
    """Return the credentials of a service account's key."""
    try:
        info = json.loads(key.reveal())
        # Of another type they could name any URL, or any program, to get a token from.
        if isinstance(info, dict) and info.get("type") == "service_account":
            account = library.oauth2.service_account.Credentials
            return account.from_service_account_info(info, scopes=scopes)
    except Exception:  # noqa: BLE001, S110 - its text may hold a part of the key
        pass
    return AuthenticationError(_NO_KEY, status=0, hint=_KEY_HINT)


def _default(library: Any, scopes: list[str], request: TokenRequest) -> Any:
    """Return the Application Default Credentials."""
    found = google.find(library, scopes, request)
    if found is not None:
        return found[0]
    message = "there are no Application Default Credentials"
    hint = f"{google.advice()}; or give the placeholder of a service account's key"
    return AuthenticationError(message, status=0, hint=f"{hint} as 'credentials'")


def _lifetime(expiry: datetime | None) -> float | None:
    """Return the seconds for which a token is good; google-auth says its end in UTC, naively."""
    if expiry is None:
        return None
    return max(_SHORTEST, (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds())


def _meaning(library: Any, request: TokenRequest, error: Exception) -> WebhookStorageError:
    """Tell a token service that says no from anything else."""
    if request.trouble is not None:
        message = f"no access token of Google: {request.trouble.detail}"
        return TransportError(message, hint=_REACH_HINT)
    if request.is_skewed:
        message = "Google gives no access token, since the clock of this machine is wrong"
        return AuthenticationError(message, status=0, hint=_CLOCK_HINT)
    if google.is_refusal(library, error):
        message = "Google gives no access token for these credentials"
        return AuthenticationError(message, status=0, hint=_REFUSED_HINT)
    message = f"google-auth gets no access token, {type(error).__name__}"
    return AuthenticationError(message, status=0, hint=_KEY_HINT)
