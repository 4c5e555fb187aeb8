"""Who we are for Google: Application Default Credentials, by google-auth over our own client.

Facts: "How Application Default Credentials works" and "Workload Identity Federation" of the Google
Cloud documentation; the source of google-auth 2.62 (``google.auth.transport.Request``, ``default``,
``_exponential_backoff``). google-auth tries again after pauses of its own, whatever time there is,
so a service that cannot answer now ends what it is about with an exception that it does not catch.
"""

from __future__ import annotations

import importlib.util
import os
import threading
import warnings
from dataclasses import dataclass
from http.client import BAD_REQUEST, INTERNAL_SERVER_ERROR, OK, REQUEST_TIMEOUT, TOO_MANY_REQUESTS
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Deadline, Forbidden, Unavailable
from webhook_storage.errors import MissingExtraError
from webhook_storage.secret import silenced_logs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from webhook_storage.client import HttpAnswer, HttpClient
    from webhook_storage.token import Refusal

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_PASSING = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})
"""What a token service says of itself, with a status that blames the request."""

_NO_FILE = "cannot be read, or holds no credentials of Google's"


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """What lets a request in.

    Attributes:
        headers: To send with it.
        project: The project of the credentials, None when they are of none.
    """

    headers: Mapping[str, str]
    project: str | None


class Login:
    """The credentials of this process, shared by its threads.

    Args:
        file: A file of credentials; None stands for those that Google's tools would use.
    """

    __slots__ = ("_access", "_credentials", "_file", "_lock", "_project")

    def __init__(self, file: str | os.PathLike[str] | None) -> None:
        """Look for nothing yet."""
        self._file = file
        self._lock = threading.Lock()
        self._credentials: Any = None
        self._project: str | None = None
        self._access: Access | None = None

    def access(
        self, client: HttpClient, deadline: Deadline, refused: Access | None = None
    ) -> Access | Refusal:
        """Return what lets requests in, from the token service when it is about to end.

        Args:
            client: Who asks the token service.
            deadline: When an answer is of no use any more.
            refused: What was returned before and did not let a request in.
        """
        seconds = deadline.remaining()
        if not seconds or not self._lock.acquire(timeout=seconds):
            return Unavailable("there was no time left to ask")
        try:
            with silenced_logs():
                return self._valid(TokenRequest(client, deadline), refused)
        finally:
            self._lock.release()

    def _valid(self, request: TokenRequest, refused: Access | None) -> Access | Refusal:
        """Return the access that is there, or a new one."""
        known, access = self._credentials is not None, self._access
        if access is not None and access is not refused and self._credentials.valid:
            return access
        outcome = self._renewed(request)
        if known and isinstance(outcome, Forbidden):
            # The key may have been replaced in its file since it was read.
            outcome = self._renewed(request)
        return outcome

    def _renewed(self, request: TokenRequest) -> Access | Refusal:
        """Get a token; credentials that get none are looked for anew next time."""
        if self._credentials is None:
            loaded = _load(self._file, request)
            if isinstance(loaded, Unavailable):
                return loaded
            self._credentials, self._project = loaded
        headers: dict[str, str] = {}
        try:
            self._credentials.refresh(request)
            self._credentials.apply(headers)
        except Exception as error:  # noqa: BLE001 - its text may hold the answer with the token
            outcome = request.trouble or _meaning(error)
        else:
            self._access = Access(headers, self._project)
            return self._access
        self._credentials = self._access = None
        return outcome


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
        self.trouble: Unavailable | None = None
        self._client = client
        self._deadline = deadline

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **options: object,
    ) -> TokenAnswer:
        """Send one request, and return its answer unless asking again would give another.

        Raises:
            _NoAnswerError: There is no answer, or one that is none; `trouble` says why.
        """
        if options:
            self._give_up(Unavailable("client certificates are not supported there"))
        seconds = self._deadline.remaining()
        deadline = Deadline(seconds if timeout is None else min(seconds, timeout))
        # Only the metadata server of this very machine is asked in plain text.
        direct = url.startswith("http:")
        answer = self._client.ask(
            method, url, deadline, headers=headers, content=body, direct=direct
        )
        if isinstance(answer, Unavailable):
            self._give_up(answer)
        if _is_passing(answer):
            self._give_up(answer.trouble())
        return TokenAnswer(answer)

    def _give_up(self, why: Unavailable) -> NoReturn:
        """Note why there is no token, and leave google-auth."""
        self.trouble = Unavailable(f"no token: {why.detail}", why.retry_after)
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


def _is_passing(answer: HttpAnswer) -> bool:
    """Tell whether an answer says nothing about what was asked."""
    status = answer.status
    if status in {REQUEST_TIMEOUT, TOO_MANY_REQUESTS} or status >= INTERNAL_SERVER_ERROR:
        return True
    if status < BAD_REQUEST:
        return status != OK
    document = answer.document()
    said = document if isinstance(document, dict) else {}
    return not _PASSING.isdisjoint(str(said.get(name)) for name in ("error", "error_description"))


def _load(
    file: str | os.PathLike[str] | None, request: TokenRequest
) -> tuple[Any, str | None] | Unavailable:
    """Return credentials and their project, or why there are none."""
    try:
        library = _google_auth()
    except ImportError:
        missing = MissingExtraError(
            "Secret Manager needs google-auth, which is not installed", extra="gcp"
        )
        return Unavailable(f"{missing}: {missing.hint}")
    try:
        with warnings.catch_warnings():
            # Advice to whoever calls google-auth, which our users do not.
            warnings.simplefilter("ignore")
            if file is None:
                found, project = library.default(request=request)
            else:
                path = str(Path(file).expanduser())
                found, project = library.load_credentials_from_file(path, request=request)
            # Only now: knowing the scopes, google-auth would ask for the name of the project.
            return library.credentials.with_scopes_if_required(found, [_SCOPE]), project
    except Exception:  # noqa: BLE001, S110 - its text may hold what stands in the file
        pass
    return _no_credentials(file)


def _google_auth() -> Any:
    """Return the library, an extra that is slow to import."""
    import google.auth.credentials  # noqa: PLC0415 - as the line above says

    return google.auth


def _no_credentials(file: str | os.PathLike[str] | None) -> Unavailable:
    """Say where credentials were looked for, and what to do."""
    if file is not None:
        return Unavailable(f"no credentials: the credentials file {_NO_FILE}")
    if os.environ.get(_FILE_VARIABLE):
        return Unavailable(f"no credentials: the file that {_FILE_VARIABLE} names {_NO_FILE}")
    advice = f"set {_FILE_VARIABLE}, or log in with 'gcloud auth application-default login'"
    if importlib.util.find_spec("requests") is None:
        advice += ", or for a machine of Google's install requests"
    return Unavailable(f"no credentials: {advice}")


def _meaning(error: Exception) -> Refusal:
    """Tell a token service that says no from anything else."""
    from google.auth.exceptions import OAuthError, RefreshError  # noqa: PLC0415 - it is there

    if isinstance(error, (RefreshError, OAuthError)):
        return Forbidden(
            "the credentials are wrong or were revoked: renew the key, or log in again"
        )
    return Unavailable(f"no token, {type(error).__name__}")
