"""Signatures with the key of a storage account.

Source: Azure Storage REST documentation, Authorize with Shared Key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections import defaultdict
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, model_validator

from webhook_storage.auth import AuthModel, SecretText
from webhook_storage.contracts import Access, Exchange, Request, Wanted, WireRequest
from webhook_storage.errors import ConfigurationError
from webhook_storage.origin import same_origin
from webhook_storage.secret import SecretValue
from webhook_storage_presets.azure.connection import Connection, read
from webhook_storage_presets.azure.sas import access_by, is_refusal, with_sas

if TYPE_CHECKING:
    from typing import Self

VERSION = "2021-12-02"
"""Version of the REST API; 2019-12-12 and later take the large requests."""

_SIGNED = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip
"""Headers that are signed by their place, in this order; all that begin with ``x-ms-`` follow."""


class AzureSharedKey(AuthModel):
    """Signs each request with the key of a storage account.

    Account and key are given, or the connection string in which both are. A connection string may
    hold a shared access signature in their place, which then goes into the URL.

    Example:
        >>> auth = AzureSharedKey(connection_string="${AZURE_STORAGE_CONNECTION_STRING}")
        >>> str(auth)
        'what the connection string gives: a signature of the account, or a shared access signature'
    """

    type: Literal["azure_shared_key"] = "azure_shared_key"
    account: str | None = Field(None, description="Name of the storage account.")
    account_key: SecretText | None = Field(None, description="Placeholder of the account's key.")
    connection_string: SecretText | None = Field(
        None, description="Placeholder of the connection string, in which account and key are."
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.account_key is None) is (self.connection_string is None):
            raise ValueError("give either account_key or connection_string")
        if self.account_key is not None and self.account is None:
            raise ValueError("account_key and account belong together")
        return self

    def __str__(self) -> str:
        """Say what will be in the request."""
        if self.connection_string is None:
            return f"a signature of the storage account {self.account}"
        return (
            "what the connection string gives: a signature of the account, or a shared access "
            "signature"
        )

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get the key.

        Raises:
            ConfigurationError: When it is none, or that of another account.
        """
        secrets: dict[str, SecretValue]
        if self.connection_string is None:
            secrets = yield Wanted({"key": self.account_key or ""})
            return _by_key(self.account or "", secrets["key"])
        secrets = yield Wanted({"connection": self.connection_string})
        found = self._connection(secrets["connection"])
        if found.key is not None:
            access = _by_key(found.account, found.key)
        else:
            access = access_by(found.sas or SecretValue(""))
        return replace(access, told={**access.told, "endpoint": found.endpoint})

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the signature and what it is made for, or the shared access signature.

        Raises:
            ConfigurationError: When the connection string is for another place.
        """
        if not same_origin(access.told.get("endpoint", wire.url), wire.url):
            message = "the connection string leads to another place than account or endpoint do"
            hint = "leave them out, or give the endpoint that the connection string has"
            raise ConfigurationError(message, path="connection_string", hint=hint)
        if "sas" in access.secrets:
            return with_sas(wire, access)
        given = {name.lower() for name, _ in wire.headers}
        date = {"x-ms-date": formatdate(time.time(), usegmt=True)}
        version = {} if "x-ms-version" in given else {"x-ms-version": VERSION}
        dated = wire.with_headers({**date, **version})
        account = access.told["account"]
        text = string_to_sign(dated, account).encode()
        key = base64.b64decode(access.secrets["key"].reveal())
        signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        return dated.with_headers({"Authorization": f"SharedKey {account}:{signature}"})

    def refused(self, status: int, body: bytes) -> bool:
        """Tell whether another key may be taken."""
        return super().refused(status, body) or is_refusal(status, body)

    def _connection(self, value: SecretValue) -> Connection:
        found = read(value)
        if self.account is not None and found.account not in {"", self.account}:
            message = "the connection string is that of another account"
            hint = "leave 'account' out, or give the connection string of that account"
            raise ConfigurationError(message, path="account", hint=hint)
        return found


def string_to_sign(wire: WireRequest, account: str) -> str:
    """Return what a signature of a request is made of.

    Args:
        wire: The request, with its date.
        account: Name of the account.

    Example:
        >>> wire = WireRequest(method="GET", url="https://a.example/c/b?comp=list", headers=[])
        >>> string_to_sign(wire, "acct").split()
        ['GET', '/acct/c/b', 'comp:list']
    """
    headers = {name.lower(): value.strip() for name, value in wire.headers}
    if headers.get("content-length") == "0":
        headers["content-length"] = ""
    lines = [wire.method, *(headers.get(name, "") for name in _SIGNED)]
    theirs = [name for name in headers if name.startswith("x-ms-")]
    # They are sorted as words are, where an underscore comes before digits and letters.
    lines += [f"{name}:{headers[name]}" for name in sorted(theirs, key=_as_word)]
    parts = urlsplit(wire.url)
    lines.append(f"/{account}{parts.path or '/'}")
    values: dict[str, list[str]] = defaultdict(list)
    for pair in filter(None, parts.query.split("&")):
        name, _, text = pair.partition("=")
        values[unquote(name).lower()].append(unquote(text))
    lines += [f"{name}:{','.join(sorted(texts))}" for name, texts in sorted(values.items())]
    return "\n".join(lines)


def _as_word(name: str) -> str:
    return name.replace("_", " ")


def _by_key(account: str, key: SecretValue) -> Access:
    """Return the access by the key of an account.

    Raises:
        ConfigurationError: When it is none; nothing of it is told.
    """
    if not _is_key(key):
        message = "the account's key is not the base64 text that Azure gives out"
        raise ConfigurationError(message, path="auth", hint="copy it in whole from the portal")
    return Access(secrets={"key": key}, told={"account": account})


def _is_key(value: SecretValue) -> bool:
    try:
        return bool(base64.b64decode(value.reveal(), validate=True))
    except ValueError:
        return False
