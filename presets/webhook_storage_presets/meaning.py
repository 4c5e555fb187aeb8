"""What a refusal means, in words that are ours: a service's own may repeat what it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from webhook_storage.errors import IntegrityError, ResponseError, WebhookStorageError

if TYPE_CHECKING:
    from webhook_storage.contracts import Response


class Meaning(NamedTuple):
    """What a code, a tag or a status says to somebody who stores artifacts.

    Attributes:
        kind: The error that says the same.
        words: What has happened.
        hint: What to do about it.
    """

    kind: type[WebhookStorageError]
    words: str
    hint: str

    def error(
        self, message: str, response: Response, *, hint: str | None = None, status: int = 0
    ) -> WebhookStorageError:
        """Return the error, with what is known of the attempts.

        Args:
            message: What was asked, and what came of it; the words are put behind.
            response: What came.
            hint: What to do, where more is known than usual.
            status: That of the refusal, where the answer has another.
        """
        message, hint = f"{message}: {self.words}", self.hint if hint is None else hint
        if not issubclass(self.kind, ResponseError):
            return self.kind(message, hint=hint)
        status = status or response.status
        error = self.kind(message, status=status, attempts=response.attempts, hint=hint)
        error.history = response.history
        return error


ALTERED = Meaning(
    IntegrityError,
    "other bytes came than were sent, and nothing was stored",
    "something on the way alters bytes; try again",
)
