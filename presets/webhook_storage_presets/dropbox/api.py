"""The requests of Dropbox's HTTP API, version 2, and how its refusals come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webhook_storage.auth import AuthModel
from webhook_storage.contracts import DEFAULT_TIMEOUT, Exchange, Request, Response
from webhook_storage.errors import AuthenticationError, RateLimitedError
from webhook_storage_presets.dropbox.answers import (
    BAD_ROOT,
    REFUSED,
    TOO_MANY,
    bad_root,
    is_busy,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Body, Facts, Sink
    from webhook_storage.errors import WebhookStorageError
    from webhook_storage_presets.dropbox.account import Account

_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where Dropbox is, and how it is asked.

    Attributes:
        content_origin: Beginning of the URLs that carry files.
        api_origin: Beginning of the URLs that carry none.
        path: Template of the artifact's path, for messages.
        account: Whose files they are, and who asks.
        common: What all requests have in common.
    """

    content_origin: str
    api_origin: str
    path: str
    account: Account
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
            **self.account.headers,
            "Content-Type": "application/octet-stream",
            "Dropbox-API-Arg": argument,
        }
        url = f"{self.content_origin}/2/files/{route}"
        return self._post(url, headers, facts, again=again, body=body, idempotent=idempotent)

    def download(self, place: str, facts: Facts, sink: Sink | None) -> Request:
        """Return a request that fetches the file at a place into a sink."""
        # No body and no Content-Type: Dropbox refuses nearly all of them here.
        headers = {**self.account.headers, "Dropbox-API-Arg": {"path": place}}
        url = f"{self.content_origin}/2/files/download"
        return self._post(url, headers, facts, sink=sink, idempotent=True)

    def ask(self, route: str, argument: dict[str, Any], facts: Facts) -> Request:
        """Return a request that carries no file."""
        url = f"{self.api_origin}/2/files/{route}"
        return self._post(url, self.account.headers, facts, json=argument, idempotent=True)

    def call(self, request: Request) -> Exchange[Response]:
        """Send and return the answer, be it a success or a 409."""
        try:
            response: Response = yield request
        except AuthenticationError as error:
            # What a token endpoint refuses is told by its own URL, and explained already.
            if error.status == _UNAUTHORIZED and request.url in str(error):
                error.hint = self.account.advice(str(error))
            raise
        if response.status == BAD_ROOT:
            raise bad_root(request, response)
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
        headers: Mapping[str, Any],
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
            returns=frozenset({REFUSED, BAD_ROOT, *([TOO_MANY] if again else [])}),
            retry_when=is_busy if again else None,
            facts=facts,
            auth=self.account.auth,
            **self.common,
            **more,
        )


def kwargs_of(request: Request) -> dict[str, Any]:
    """Return a request as kwargs, without what is the default anyway."""
    kwargs: dict[str, Any] = {"url": request.url, "headers": request.headers}
    if isinstance(request.auth, AuthModel):
        kwargs["auth"] = request.auth.model_dump(exclude_defaults=True)
    if request.json is not None:
        kwargs["json"] = request.json
    if request.timeout != DEFAULT_TIMEOUT:
        kwargs["timeout"] = request.timeout
    if request.verify is not True:
        kwargs["verify"] = request.verify
    return kwargs
