"""google-auth over our own client: how it sends, what it finds, and what its answers mean.

Facts: "How Application Default Credentials works" and "Workload Identity Federation" of the Google
Cloud documentation; the source of google-auth 2.62 (``google.auth.transport.Request``, ``default``,
``_exponential_backoff``). google-auth tries again after pauses of its own, whatever time there is,
so a service that cannot answer now ends what it is about with an exception that it does not catch.

Rule: what google-auth raises may hold a key or an answer with a token, so none of it is shown, and
it runs where no library logs.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webhook_storage import origin
from webhook_storage.contracts import Deadline, Unavailable
from webhook_storage.document import select
from webhook_storage.errors import MissingExtraError
from webhook_storage.network import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from webhook_storage.client import HttpAnswer, HttpClient

_FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_METADATA = frozenset({"169.254.169.254", "fd00:ec2::254", "metadata.google.internal"})
"""Where the metadata of this very machine are, at Google and, for a federation, elsewhere."""

_METADATA_VARIABLES = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT")
"""Variables by which google-auth is told where else they are."""

_PASSING = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})
"""What a token service says of itself, with a status that blames the request."""

_SKEWED = "Invalid JWT: Token must be a short-lived token"
"""How it says that an assertion was made before its time, or long ago."""


class TokenRequest:
    """How google-auth sends: by our client, once, and not beyond the deadline.

    Args:
        client: Who sends.
        deadline: When an answer is of no use any more.

    Attributes:
        trouble: Why a service that gives tokens could not be asked, if so it was.
        is_skewed: Whether it found that the clock of this machine is wrong.

    Example:
        >>> from webhook_storage.client import HttpClient
        >>> TokenRequest(HttpClient(), Deadline(5)).trouble
    """

    def __init__(self, client: HttpClient, deadline: Deadline) -> None:
        """Send nothing yet."""
        self.trouble: Unavailable | None = None
        self.is_skewed = False
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
            NoAnswerError: There is no answer, or one that is none; `trouble` says why.
        """
        if options:
            self._give_up(Unavailable("client certificates are not supported there"))
        seconds = self._deadline.remaining()
        deadline = Deadline(seconds if timeout is None else min(seconds, timeout))
        content = body.encode() if isinstance(body, str) else body
        direct = _is_of_this_machine(url)
        if not direct and origin.origin(url).scheme != "https":
            self._give_up(Unavailable("the credentials name a URL without TLS"))
        answer = self._client.ask(
            method, url, deadline, headers=headers, content=content, direct=direct
        )
        if isinstance(answer, Unavailable):
            self._give_up(answer)
        if _is_passing(answer):
            self._give_up(answer.trouble())
        said = select(answer.document(), "error_description")
        self.is_skewed = isinstance(said, str) and said.startswith(_SKEWED)
        return TokenAnswer(answer)

    def _give_up(self, why: Unavailable) -> NoReturn:
        """Note why there is no token, and leave google-auth."""
        self.trouble = why
        raise NoAnswerError


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


class NoAnswerError(Exception):
    """A service could not be asked; google-auth knows no such exception, so it gives up too."""


def library(what: str) -> Any:
    """Return the package ``google`` with google-auth in it, an extra that is slow to import.

    Args:
        what: What needs it, for the message.

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
    message = f"{what} needs google-auth, which is not installed"
    raise MissingExtraError(message, extra="gcp")


def find(
    google: Any,
    scopes: Sequence[str],
    request: TokenRequest,
    file: str | os.PathLike[str] | None = None,
) -> tuple[Any, str | None] | None:
    """Return credentials and the project that they are of; None when there are no credentials.

    Args:
        google: The library.
        scopes: What their tokens are for.
        request: How to ask the metadata server.
        file: Their file; None for Application Default Credentials.
    """
    try:
        with warnings.catch_warnings():
            # Advice to whoever calls google-auth, which our users do not.
            warnings.simplefilter("ignore")
            if file is None:
                found, project = google.auth.default(request=request)
            else:
                path = str(Path(file).expanduser())
                found, project = google.auth.load_credentials_from_file(path, request=request)
            # Only now: knowing the scopes, google-auth would ask for the name of the project.
            return google.auth.credentials.with_scopes_if_required(found, scopes), project
    except Exception:  # noqa: BLE001 - its text may hold what stands in the file
        return None


def advice(file: str | os.PathLike[str] | None = None) -> str:
    """Say where credentials were looked for in vain, or what to do.

    Args:
        file: See `find`.

    Example:
        >>> advice("key.json")
        "the credentials file cannot be read, or holds no credentials of Google's"
    """
    unread = "cannot be read, or holds no credentials of Google's"
    if file is not None:
        return f"the credentials file {unread}"
    if os.environ.get(_FILE_VARIABLE):
        return f"the file that {_FILE_VARIABLE} names {unread}"
    what = f"set {_FILE_VARIABLE}, or log in with 'gcloud auth application-default login'"
    if importlib.util.find_spec("requests") is None:
        what += ", or for a machine of Google's install requests"
    return what


def is_refusal(google: Any, error: Exception) -> bool:
    """Tell a token service that says no from anything else that google-auth raises."""
    errors = google.auth.exceptions
    return isinstance(error, (errors.RefreshError, errors.OAuthError))


def _is_of_this_machine(url: str) -> bool:
    """Tell whether this very machine is asked, which no proxy knows, and TLS need not guard."""
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
    return not _PASSING.isdisjoint(
        str(select(document, name)) for name in ("error", "error_description")
    )
