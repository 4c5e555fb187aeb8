"""Who we are for Google: Application Default Credentials, by google-auth over our own client."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webhook_storage import google
from webhook_storage.contracts import Deadline, Forbidden, Unavailable
from webhook_storage.errors import MissingExtraError
from webhook_storage.google import TokenRequest
from webhook_storage.secret import silenced_logs

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from webhook_storage.client import HttpClient
    from webhook_storage.token import Refusal

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


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
        try:
            library = google.library("Secret Manager")
        except MissingExtraError as missing:
            return Unavailable(f"{missing}: {missing.hint}")
        if self._credentials is None:
            found = google.find(library, [_SCOPE], request, self._file)
            if found is None:
                return Unavailable(f"no credentials: {google.advice(self._file)}")
            self._credentials, self._project = found
        headers: dict[str, str] = {}
        try:
            self._credentials.refresh(request)
            self._credentials.apply(headers)
        except Exception as error:  # noqa: BLE001 - its text may hold the answer with the token
            outcome = _meaning(library, request, error)
        else:
            self._access = Access(headers, self._project)
            return self._access
        self._credentials = self._access = None
        return outcome


def _meaning(library: Any, request: TokenRequest, error: Exception) -> Refusal:
    """Tell a token service that says no from anything else."""
    if request.trouble is not None:
        return Unavailable(f"no token: {request.trouble.detail}", request.trouble.retry_after)
    if request.is_skewed:
        return Unavailable("no token: the clock of this machine is wrong, set it")
    if google.is_refusal(library, error):
        return Forbidden(
            "the credentials are wrong or were revoked: renew the key, or log in again"
        )
    return Unavailable(f"no token, {type(error).__name__}")
