"""The requests of Dropbox's HTTP API, version 2, and how its refusals come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import DEFAULT_TIMEOUT, Exchange, Request, Response
from webhook_storage.errors import AuthenticationError, RateLimitedError
from webhook_storage_presets.dropbox.answers import REFUSED, TOO_MANY, is_busy, refusal

if TYPE_CHECKING:
    from webhook_storage.contracts import Body, Facts, Sink
    from webhook_storage.errors import WebhookStorageError

_RENEW = (
    "an access token of Dropbox lives four hours, get a new one by the refresh token; a new scope "
    "takes a new token too: files.content.write, files.content.read, files.metadata.read"
)
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where Dropbox is, and how it is asked.

    Attributes:
        content_origin: Beginning of the URLs that carry files.
        api_origin: Beginning of the URLs that carry none.
        path: Template of the artifact's path, for messages.
        token: Placeholder of the access token.
        common: What all requests have in common.
    """

    content_origin: str
    api_origin: str
    path: str
    token: str
    common: dict[str, Any]

    def upload(
        self,
        route: str,
        argument: dict[str, Any],
        facts: Facts,
        body: Body | None,
        *,
        idempotent: bool | None,
        again: bool = True,
    ) -> Request:
        """Return a request that carries bytes there.

        Args:
            route: What is asked for.
            argument: With what.
            facts: What placeholders with a dot stand for.
            body: The bytes.
            idempotent: Whether sending twice does the same as once.
            again: Whether it is sent again when Dropbox is busy.
        """
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/octet-stream",
            "Dropbox-API-Arg": argument,
        }
        url = f"{self.content_origin}/2/files/{route}"
        return self._post(url, headers, facts, again=again, body=body, idempotent=idempotent)

    def download(self, place: str, facts: Facts, sink: Sink | None) -> Request:
        """Return a request that fetches the file at a place into a sink."""
        # No body and no Content-Type: Dropbox refuses nearly all of them here.
        headers = {"Authorization": f"Bearer {self.token}", "Dropbox-API-Arg": {"path": place}}
        url = f"{self.content_origin}/2/files/download"
        return self._post(url, headers, facts, sink=sink, idempotent=True)

    def ask(self, route: str, argument: dict[str, Any], facts: Facts) -> Request:
        """Return a request that carries no file."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.api_origin}/2/files/{route}"
        return self._post(url, headers, facts, json=argument, idempotent=True)

    def call(self, request: Request) -> Exchange[Response]:
        """Send and return the answer, be it a success or a 409."""
        try:
            response: Response = yield request
        except AuthenticationError as error:
            error.hint = _RENEW if error.status == _UNAUTHORIZED else error.hint
            raise
        if response.status == TOO_MANY:
            attempts = response.attempts
            message = f"{request.method} {request.url} answered 429 after {attempts} attempts"
            hint = "Dropbox takes no more at this moment; wait, or send fewer at a time"
            raise RateLimitedError(message, status=TOO_MANY, attempts=attempts, hint=hint)
        return response

    def refusal(
        self, request: Request, response: Response, meaning: str = ""
    ) -> WebhookStorageError:
        """Return the error for a 409, see `answers.refusal`."""
        return refusal(self.path, request, response, meaning)

    def _post(
        self,
        url: str,
        headers: dict[str, Any],
        facts: Facts,
        *,
        again: bool = True,
        **more: Any,
    ) -> Request:
        return Request(
            method="POST",
            url=url,
            headers=headers,
            accept=frozenset({200}),
            returns=frozenset({REFUSED, TOO_MANY}) if again else frozenset({REFUSED}),
            retry_when=is_busy if again else None,
            facts=facts,
            **self.common,
            **more,
        )


def kwargs_of(request: Request) -> dict[str, Any]:
    """Return a request as kwargs, without what is the default anyway."""
    kwargs: dict[str, Any] = {"url": request.url, "headers": request.headers}
    if request.json is not None:
        kwargs["json"] = request.json
    if request.timeout != DEFAULT_TIMEOUT:
        kwargs["timeout"] = request.timeout
    if request.verify is not True:
        kwargs["verify"] = request.verify
    return kwargs
