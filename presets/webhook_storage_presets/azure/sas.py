"""Shared access signatures: queries that somebody else signed.

Source: Azure Storage REST documentation, Delegate access with a shared access signature.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote

from pydantic import Field

from webhook_storage.auth import AuthModel, SecretText
from webhook_storage.contracts import Access, Exchange, Request, Wanted, WireRequest
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue

_QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+")
_FORBIDDEN = 403
_REFUSALS = (b"AuthenticationFailed", b"AuthorizationFailure")


class AzureSas(AuthModel):
    """A shared access signature, which goes into the query as it is.

    When the service refuses it, because it has expired for example, its secret is asked for anew.

    Example:
        >>> auth = AzureSas(sas="${AZURE_STORAGE_SAS}")
        >>> str(auth)
        'a shared access signature in the query'
    """

    type: Literal["azure_sas"] = "azure_sas"
    sas: SecretText = Field(
        description="Placeholder of the signature: the whole query, with or without its mark."
    )

    def __str__(self) -> str:
        """Say what will be in the request."""
        return "a shared access signature in the query"

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get the signature.

        Raises:
            ConfigurationError: When it is none.
        """
        secrets: dict[str, SecretValue] = yield Wanted({"sas": self.sas})
        return access_by(secrets["sas"])

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the signature to the query."""
        return with_sas(wire, access)

    def refused(self, status: int, body: bytes) -> bool:
        """Tell whether another signature may be taken."""
        return super().refused(status, body) or is_refusal(status, body)


def access_by(value: SecretValue) -> Access:
    """Return the access by a shared access signature, of which ``sig`` alone is a secret too.

    A server that repeats one parameter and not the whole query would else show it.

    Raises:
        ConfigurationError: When it is none; nothing of it is told.
    """
    query = value.reveal().strip().removeprefix("?")
    pairs = (pair.partition("=") for pair in query.split("&"))
    signature = next((unquote(text) for name, _, text in pairs if name == "sig"), "")
    if not signature or not _QUERY.fullmatch(query):
        message = "the shared access signature is no query with a 'sig' in it"
        hint = "copy what follows the question mark, in whole: sv=...&sig=..."
        raise ConfigurationError(message, path="sas", hint=hint)
    return Access(secrets={"sas": SecretValue(query), "sig": SecretValue(signature)})


def with_sas(wire: WireRequest, access: Access) -> WireRequest:
    """Return the request with the signature in its query."""
    joint = "&" if "?" in wire.url else "?"
    return wire.changed(url=f"{wire.url}{joint}{access.secrets['sas'].reveal()}")


def is_refusal(status: int, body: bytes) -> bool:
    """Tell whether an answer refuses the credential; that to a HEAD does not say why."""
    return status == _FORBIDDEN and (not body or any(code in body for code in _REFUSALS))
