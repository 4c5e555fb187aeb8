"""Every error that this library raises on purpose.

::

    WebhookStorageError                      .hint .retryable
    ├── ConfigurationError (ValueError)      .path: where in the definition
    │   ├── TemplateError                    .position: offset in the text
    │   ├── UnknownMethodError (RuntimeError)
    │   ├── ScriptError (RuntimeError)
    │   └── UnknownPluginError (LookupError)
    ├── MissingExtraError (ImportError)      .extra
    ├── SecretError                          .names
    │   ├── SecretNotFoundError (LookupError)
    │   ├── SecretForbiddenError (PermissionError)
    │   ├── SecretUnavailableError (OSError) retryable
    │   ├── SecretInvalidError (ValueError)
    │   └── UnsafeValueError (ValueError)    a value that cannot go where its placeholder stands
    ├── TransportError (OSError)             nothing was answered, .attempts .history
    │   ├── ConnectError (ConnectionError)
    │   ├── TimedOutError (TimeoutError)
    │   ├── TlsError                         not retryable
    │   ├── ProtocolError                    the answer broke off or was no HTTP
    │   └── MalformedRequestError            it cannot be sent as it is, not retryable
    ├── ResponseError                        .status .attempts .history
    │   ├── AuthenticationError              401
    │   ├── PermissionDeniedError (PermissionError)   403
    │   ├── ObjectNotFoundError (FileNotFoundError)   404, 410
    │   ├── ObjectExistsError (FileExistsError)
    │   ├── ConflictError                    409, 412
    │   ├── TooLargeError                    413, or an answer over the limit
    │   ├── RateLimitedError                 429, retryable
    │   ├── ServerError                      5xx, retryable
    │   ├── RedirectRefusedError             3xx
    │   └── UnexpectedAnswerError            a success that is not what was asked for
    ├── LocalFileError (OSError)             .path .code: a file here
    ├── BulkError                            .keys .failed: some items of a batch
    ├── IntegrityError                       what came back is not what was stored
    ├── TrustError                           code that nothing vouches for
    │   ├── SignatureError
    │   └── ExpiredArtifactError
    ├── FlowError
    │   ├── FlowNotFoundError (ValueError)
    │   ├── PythonVersionError               stored by another Python
    │   └── FlowLoadError
    └── UnexpectedError                      a fault in this library or in a plug-in

Rule: a message holds templates, names and numbers, never a resolved value; every error survives
pickling, because workers send them home.
"""

from __future__ import annotations

from typing import Any, ClassVar


class WebhookStorageError(Exception):
    """Base of all errors of this library.

    Attributes:
        hint: What to do next, one sentence, or None.
        retryable: True when the same call may succeed later without any change.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep the message and the advice."""
        super().__init__(message)
        self.hint = hint


class ConfigurationError(WebhookStorageError, ValueError):
    """A definition, an argument or a file says something that cannot be.

    Attributes:
        path: Where, for example ``build_request_kwargs.headers``; None where there is one place.
    """

    def __init__(self, message: str, *, path: str | None = None, hint: str | None = None) -> None:
        """Keep the place beside the message."""
        super().__init__(message, hint=hint)
        self.path = path

    def __str__(self) -> str:
        """Return the message, with the place in front where there is one."""
        message = super().__str__()
        return f"{self.path}: {message}" if self.path else message


class TemplateError(ConfigurationError):
    """A placeholder is malformed or stands where none may stand.

    Attributes:
        position: Offset of the placeholder in its text, counted from 0.
    """

    def __init__(
        self,
        message: str,
        *,
        position: int = 0,
        path: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep the offset; the text itself is not kept."""
        super().__init__(message, path=path, hint=hint)
        self.position = position


class UnknownMethodError(ConfigurationError, RuntimeError):
    """The HTTP method is none that this storage can use."""


class ScriptError(ConfigurationError, RuntimeError):
    """The flow's script is not named or not there."""


class UnknownPluginError(ConfigurationError, LookupError):
    """No installed distribution offers a plug-in of that name."""


class MissingExtraError(WebhookStorageError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        extra: The extra of this distribution that brings it.
    """

    def __init__(self, message: str, *, extra: str = "", hint: str | None = None) -> None:
        """Derive the advice from the extra's name."""
        super().__init__(message, hint=hint or f"pip install 'webhook-storage[{extra}]'")
        self.extra = extra


class SecretError(WebhookStorageError):
    """A secret could not be had, or must not go where it was to go.

    Attributes:
        names: The placeholders concerned, in the order of their first use.
    """

    def __init__(
        self, message: str, *, names: tuple[str, ...] = (), hint: str | None = None
    ) -> None:
        """Keep names, never values."""
        super().__init__(message, hint=hint)
        self.names = names


class SecretNotFoundError(SecretError, LookupError):
    """Everybody was asked and nobody has it."""


class SecretForbiddenError(SecretError, PermissionError):
    """A resolver knows the secret's place and may not read it."""


class SecretUnavailableError(SecretError, OSError):
    """A resolver could not be asked, or did not answer in time."""

    retryable: ClassVar[bool] = True


class SecretInvalidError(SecretError, ValueError):
    """The reference makes no sense to its resolver, or the secret has no such field."""


class UnsafeValueError(SecretError, ValueError):
    """A value would change the request instead of filling its place."""


class TransportError(WebhookStorageError, OSError):
    """Nothing was answered.

    Attributes:
        attempts: How often the request was sent.
        history: What came of each attempt, for example ``("503", "TimedOutError")``.
    """

    retryable: ClassVar[bool] = True

    def __init__(self, message: str, *, attempts: int = 1, hint: str | None = None) -> None:
        """Keep the number of attempts."""
        super().__init__(message, hint=hint)
        self.attempts = attempts
        self.history: tuple[str, ...] = ()


class ConnectError(TransportError, ConnectionError):
    """No connection was made, so nothing was sent."""


class TimedOutError(TransportError, TimeoutError):
    """The server took longer than the timeout allows."""


class TlsError(TransportError):
    """The server's certificate or ours was refused."""

    retryable: ClassVar[bool] = False


class ProtocolError(TransportError):
    """The exchange broke off, or the answer was not HTTP."""


class MalformedRequestError(TransportError):
    """The URL or a header cannot be sent by this transport."""

    retryable: ClassVar[bool] = False


class ResponseError(WebhookStorageError):
    """The server answered, and the answer is not a success.

    Attributes:
        status: HTTP status code.
        attempts: How often the request was sent.
        history: What came of each attempt, for example ``("503", "403")``.
    """

    def __init__(
        self, message: str, *, status: int = 0, attempts: int = 1, hint: str | None = None
    ) -> None:
        """Keep status and number of attempts."""
        super().__init__(message, hint=hint)
        self.status = status
        self.attempts = attempts
        self.history: tuple[str, ...] = ()


class AuthenticationError(ResponseError):
    """401: the credential is missing, wrong or expired."""


class PermissionDeniedError(ResponseError, PermissionError):
    """403: the credential is known and may not do this."""


class ObjectNotFoundError(ResponseError, FileNotFoundError):
    """404 or 410: there is no such artifact."""


class ObjectExistsError(ResponseError, FileExistsError):
    """The artifact is already there and was not to be replaced."""


class ConflictError(ResponseError):
    """409 or 412: the artifact changed, or a rule of the service forbids this."""


class TooLargeError(ResponseError):
    """413, or an answer that is longer than the limit."""


class RateLimitedError(ResponseError):
    """429: too many requests."""

    retryable: ClassVar[bool] = True


class ServerError(ResponseError):
    """5xx: the fault is the server's."""

    retryable: ClassVar[bool] = True


class RedirectRefusedError(ResponseError):
    """3xx to a place where the request must not go, or that would lose the artifact."""


class UnexpectedAnswerError(ResponseError):
    """A success that is not what was asked for, for example an HTML login page."""


class LocalFileError(WebhookStorageError, OSError):
    """A file on this machine cannot be read or written.

    Attributes:
        path: Where it is.
        code: The system's number for the fault, as in `errno`; None when not the system refused.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        code: int | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep path and number."""
        super().__init__(message, hint=hint)
        self.path = path
        self.code = self.errno = code

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        """Restore the number, which `OSError` leaves out of a pickle."""
        super().__setstate__(state)
        self.errno = self.code


class BulkError(WebhookStorageError):
    """Some items of a batch failed, or were not begun.

    Attributes:
        keys: Those of the first few that failed.
        failed: How many failed.
    """

    def __init__(
        self, message: str, *, keys: tuple[str, ...] = (), failed: int = 0, hint: str | None = None
    ) -> None:
        """Keep keys and number."""
        super().__init__(message, hint=hint)
        self.keys = keys
        self.failed = failed


class IntegrityError(WebhookStorageError):
    """What came back, or what went out, is not what was to be stored."""


class TrustError(WebhookStorageError):
    """Nothing vouches for this code, so it is not loaded."""


class SignatureError(TrustError):
    """A signature is there and does not hold."""


class ExpiredArtifactError(TrustError):
    """The artifact says of itself that it is too old."""


class FlowError(WebhookStorageError):
    """A flow cannot be stored or loaded."""


class FlowNotFoundError(FlowError, ValueError):
    """The storage, or the script, holds no flow of that name."""


class PythonVersionError(FlowError):
    """Another Python version pickled this flow; loading it could end the process."""


class FlowLoadError(FlowError):
    """The trusted payload could not be turned into a flow again."""


class UnexpectedError(WebhookStorageError):
    """Something failed that should not; the message names where, not what was in it."""


class LiteralSecretWarning(UserWarning):
    """A definition seems to hold a secret itself instead of its name."""
