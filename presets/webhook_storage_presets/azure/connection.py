"""What a connection string of Azure Storage says.

Source: Azure Storage documentation, Configure Azure Storage connection strings.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, NamedTuple

from webhook_storage.contracts import Wanted
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from typing import NoReturn

    from webhook_storage.contracts import Exchange, Facts

SUFFIX = "core.windows.net"
ACCOUNT = re.compile("[a-z0-9]{3,24}")

ENDPOINT = "${receipt.endpoint}"
"""The endpoint of a connection string: as a fact it is not shown, and not read as a template."""

_EXAMPLE = "https://account.blob.core.windows.net"
"""Where a request goes in a preview, which has no connection string to look into."""

_ENDPOINT = re.compile(
    r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9]+)?"
)
_SUFFIX = re.compile("[A-Za-z0-9.-]+")


class Connection(NamedTuple):
    """The parts of a connection string.

    Attributes:
        endpoint: URL of the blob service, without a slash at its end.
        account: Name of the account; empty where a shared access signature stands for it.
        key: The account's key.
        sas: A shared access signature, as a query.
    """

    endpoint: str
    account: str = ""
    key: SecretValue | None = None
    sas: SecretValue | None = None

    @property
    def host(self) -> str:
        """Return the host of the endpoint, without its port."""
        return re.sub(":[0-9]+$", "", self.endpoint.split("/")[2]).strip("[]").lower()


def read(value: SecretValue) -> Connection:
    """Take a connection string apart.

    Raises:
        ConfigurationError: When it is none; nothing of it is told.

    Example:
        >>> text = "AccountName=flows;AccountKey=a2V5;EndpointSuffix=core.windows.net"
        >>> read(SecretValue(text)).endpoint
        'https://flows.blob.core.windows.net'
    """
    said = _fields(value.reveal())
    account, key = said.get("accountname", ""), said.get("accountkey")
    sas = said.get("sharedaccesssignature", "").removeprefix("?")
    if not key and not sas:
        _refuse("has neither an AccountKey nor a SharedAccessSignature")
    if key and not account:
        _refuse("has an AccountKey and no AccountName")
    if account and not ACCOUNT.fullmatch(account):
        _refuse("has an AccountName that is none")
    return Connection(
        endpoint=_endpoint(said, account),
        account=account,
        key=SecretValue(key) if key else None,
        sas=SecretValue(sas) if sas else None,
    )


def locate(connection_string: str, facts: Facts) -> Exchange[Facts]:
    """Return the facts with the endpoint that a connection string says.

    It is resolved for this exchange, so the policy looks at the host of each request in it.

    Args:
        connection_string: Its placeholder.
        facts: Those of the operation.
    """
    secrets: dict[str, SecretValue] = yield Wanted({"connection": connection_string})
    value = secrets["connection"]
    # A preview makes it up, and an empty one is refused before anything is sent.
    found = read(value) if value.reveal() else Connection(_EXAMPLE)
    # A copy of the same kind: some facts are only known when somebody asks.
    known = copy.copy(facts) if isinstance(facts, dict) else dict(facts)
    known["receipt.endpoint"] = found.endpoint
    known["receipt.host"] = found.host
    return known


def _fields(text: str) -> dict[str, str]:
    """Return the values by their names in lower case."""
    pairs = (pair.strip().partition("=") for pair in text.strip().split(";"))
    return {name.strip().lower(): said.strip() for name, _, said in pairs}


def _endpoint(said: dict[str, str], account: str) -> str:
    """Return where the blobs are: as it is said, else what follows from the account's name."""
    endpoint = said.get("blobendpoint", "")
    if not endpoint:
        suffix = said.get("endpointsuffix") or SUFFIX
        if not account or not _SUFFIX.fullmatch(suffix):
            _refuse("says neither a BlobEndpoint nor an AccountName with its EndpointSuffix")
        endpoint = f"{said.get('defaultendpointsprotocol') or 'https'}://{account}.blob.{suffix}"
    endpoint = endpoint.removesuffix("/")
    if not _ENDPOINT.fullmatch(endpoint):
        _refuse("has a BlobEndpoint that is no URL of a blob service")
    return endpoint


def _refuse(what: str) -> NoReturn:
    message = f"the connection string {what}"
    hint = "copy it in whole from 'Access keys' in the portal: AccountName=...;AccountKey=..."
    raise ConfigurationError(message, path="connection_string", hint=hint)
