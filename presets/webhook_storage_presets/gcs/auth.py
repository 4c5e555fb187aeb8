"""Access tokens of Google, by google-auth over our own client.

Facts: "How Application Default Credentials works" of the Google Cloud documentation; the source of
google-auth 2.62 (``google.auth.transport.Request``, ``google.auth.default``). google-auth tries
again after pauses of its own, whatever time there is, so a service that cannot answer now ends what
it is about with an exception that it does not catch.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from webhook_storage import origin
from webhook_storage.auth import AuthModel, SecretText
from webhook_storage.client import HttpClient
from webhook_storage.contracts import Access, Deadline, Unavailable, Wanted, Work
from webhook_storage.errors import (
    AuthenticationError,
    MissingExtraError,
    TransportError,
    WebhookStorageError,
)
from webhook_storage.network import is_loopback
from webhook_storage.secret import SecretValue, silenced_logs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from webhook_storage.client import HttpAnswer
    from webhook_storage.contracts import Exchange, Request, WireRequest

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"

_PATIENCE = 30.0
"""Seconds for all that a log-in takes."""

_SHORTEST = 1.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
"""What can be in a header; larger than that is the limit of all of a request's headers."""

_METADATA = frozenset({"169.254.169.254", "metadata.google.internal"})
"""Where the metadata server of this very machine is."""

_METADATA_VARIABLES = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT")
"""Variables by which google-auth is told where else it is."""

_PASSING = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})
"""What a token service says of itself, with a status that blames the request."""

_NO_KEY = "the credentials are not the JSON key of a service account"
_KEY_HINT = (
    'the placeholder stands for the whole file, with "type": "service_account"; leave '
    "'credentials' out for credentials of another type"
)
_ADC_HINT = (
    "set GOOGLE_APPLICATION_CREDENTIALS, log in with 'gcloud auth application-default login', or "
    "give the placeholder of a service account's key as 'credentials'"
)
_REACH_HINT = "can Google's token service, or the machine's metadata server, be reached?"
_REFUSED_HINT = "the credentials are wrong or were revoked: renew the key, or log in again"


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
    verify: bool | str = Field(
        default=True, description="Path of a CA bundle that is trusted as well; False is unsafe."
    )

    def __str__(self) -> str:
        """Say what will be in the request."""
        return "an access token of Google"

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get an access token."""
        key: SecretValue | None = None
        if self.credentials is not None:
            secrets: dict[str, SecretValue] = yield Wanted({"key": self.credentials})
            key = secrets["key"]
        access: Access = yield Work(partial(_logged_in, key, self.scope.split(), self.verify))
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
    library = _google_auth()
    client = HttpClient(verify=verify)
    request = TokenRequest(client, Deadline(_PATIENCE))
    outcome: Access | WebhookStorageError
    try:
        with silenced_logs(), warnings.catch_warnings():
            # Advice to whoever calls google-auth, which our users do not.
            warnings.simplefilter("ignore")
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
        return request.trouble or _meaning(library, error)
    if not _TOKEN.fullmatch(token):
        message = "Google's token service gave something that is no access token"
        return AuthenticationError(message, status=0, hint=_REACH_HINT)
    project = getattr(found, "quota_project_id", None)
    told = {"quota_project": project} if isinstance(project, str) else {}
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
    try:
        found, _ = library.auth.default(request=request)
        # Only now: knowing the scopes, google-auth would ask for the name of the project.
        return library.auth.credentials.with_scopes_if_required(found, scopes)
    except Exception:  # noqa: BLE001, S110 - its text may hold what stands in the file
        pass
    message = "google-auth finds no Application Default Credentials, or none that it can read"
    return AuthenticationError(message, status=0, hint=_ADC_HINT)


class TokenRequest:
    """How google-auth sends: by our client, once, and not beyond the deadline.

    Args:
        client: Who sends.
        deadline: When an answer is of no use any more.

    Attributes:
        trouble: Why a service that gives tokens could not be asked, if so it was.
    """

    def __init__(self, client: HttpClient, deadline: Deadline) -> None:
        """Send nothing yet."""
        self.trouble: TransportError | None = None
        self._client = client
        self._deadline = deadline

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **options: object,
    ) -> TokenAnswer:
        """Send one request, and return its answer unless asking again would give another.

        Raises:
            _NoAnswerError: There is no answer, or one that is none; `trouble` says why.
        """
        if options:
            self._give_up("client certificates are not supported there")
        seconds = self._deadline.remaining()
        deadline = Deadline(seconds if timeout is None else min(seconds, timeout))
        content = body.encode() if isinstance(body, str) else body
        direct = _is_metadata(url)
        if not direct and origin.origin(url).scheme != "https":
            self._give_up("the credentials name a URL without TLS")
        answer = self._client.ask(
            method, url, deadline, headers=headers, content=content, direct=direct
        )
        if isinstance(answer, Unavailable):
            self._give_up(answer.detail)
        if _is_passing(answer):
            self._give_up(answer.trouble().detail)
        return TokenAnswer(answer)

    def _give_up(self, why: str) -> NoReturn:
        """Note why there is no token, and leave google-auth."""
        self.trouble = TransportError(f"no access token of Google: {why}", hint=_REACH_HINT)
        raise _NoAnswerError


class TokenAnswer:
    """An answer as google-auth reads it.

    Attributes:
        status: HTTP status code.
        headers: Names in lower case.
        data: All bytes of the body.
    """

    __slots__ = ("data", "headers", "status")

    def __init__(self, answer: HttpAnswer) -> None:
        """Take over what was answered."""
        self.status = answer.status
        self.headers = answer.headers
        self.data = answer.body


class _NoAnswerError(Exception):
    """A service could not be asked; google-auth knows no such exception, so it gives up too."""


def _is_metadata(url: str) -> bool:
    """Tell whether this very machine's metadata are asked, which no proxy knows."""
    host = origin.origin(url).host
    named = {os.environ.get(name) for name in _METADATA_VARIABLES}
    return host in _METADATA or is_loopback(host) or origin.host(url) in named


def _is_passing(answer: HttpAnswer) -> bool:
    """Tell whether an answer says nothing about what was asked."""
    status = answer.status
    busy = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
    if status in busy or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return True
    if status < HTTPStatus.BAD_REQUEST:
        return status != HTTPStatus.OK
    document = answer.document()
    said = document if isinstance(document, dict) else {}
    return not _PASSING.isdisjoint(str(said.get(name)) for name in ("error", "error_description"))


def _lifetime(expiry: datetime | None) -> float | None:
    """Return the seconds for which a token is good; google-auth says its end in UTC, naively."""
    if expiry is None:
        return None
    return max(_SHORTEST, (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds())


def _meaning(library: Any, error: Exception) -> WebhookStorageError:
    """Tell a token service that says no from anything else."""
    errors = library.auth.exceptions
    if isinstance(error, (errors.RefreshError, errors.OAuthError)):
        message = "Google gives no access token for these credentials"
        return AuthenticationError(message, status=0, hint=_REFUSED_HINT)
    message = f"google-auth gets no access token, {type(error).__name__}"
    return AuthenticationError(message, status=0, hint=_KEY_HINT)


def _google_auth() -> Any:
    """Return the library, an extra that is slow to import.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import google.auth.credentials  # noqa: PLC0415 - an extra
        import google.auth.exceptions  # noqa: PLC0415
        import google.oauth2.service_account  # noqa: PLC0415
    except ImportError:
        pass
    else:
        return google
    message = "Google's access tokens are got by google-auth, which is not installed"
    raise MissingExtraError(message, extra="gcp")
