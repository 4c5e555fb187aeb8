"""Azure Key Vault: the current value of a secret, or an older version.

Facts: "Get Secret" and "About keys, secrets and certificates" of the Key Vault documentation
(``GET /secrets/NAME[/VERSION]?api-version=7.4``; names of letters, digits and hyphens, in which
case does not count). The vault is asked over our own client, which follows no redirect: a token
goes to the vault that is configured and nowhere else.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from webhook_storage.client import HttpAnswer, HttpClient, bearer
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.errors import ConfigurationError, MissingExtraError
from webhook_storage.token import Refusal, Token, TokenCache
from webhook_storage_resolvers.azure.answers import impostor, outcome_of
from webhook_storage_resolvers.naming import (
    Place,
    answers,
    check_names,
    options_of,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference

Credential = Literal[
    "default", "managed_identity", "workload_identity", "client_secret", "certificate", "cli"
]

_API = "api-version=7.4"
_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
_VERSION = re.compile(r"[0-9a-zA-Z]{1,127}")
_PUBLIC = "https://vault.azure.net/.default"
_UNAUTHORIZED = 401
_HEALTH_SECONDS = 10.0


class _Secret(NamedTuple):
    """What to ask for; the key under which one answer serves several references."""

    name: str
    version: str


class _Vault(NamedTuple):
    """Where the secrets are."""

    origin: str
    host: str

    @property
    def scope(self) -> str:
        """What a token for it is good for: all vaults of its cloud."""
        cloud = self.host.partition(".")[2]
        return f"https://{cloud}/.default" if cloud.startswith("vault.") else _PUBLIC


@dataclass(frozen=True, kw_only=True)
class AzureResolver(Resolver):
    """Secrets in an Azure Key Vault.

    ``${azure:db-password}`` is the current version of a secret, ``${azure:db-password/VERSION}`` or
    ``${azure:db-password?version=VERSION}`` an older one. Key Vault knows no underscores, so each
    is written as a hyphen, in references and bare names alike: ``${DB_PASSWORD}`` is the secret
    ``DB-PASSWORD``. Two names can thus mean one secret, ``A_B`` and ``A-B``, and since case does
    not count in a vault, ``a-b`` too.

    The vault is asked with a token, which azure-identity gets by the credential that is named:

    - ``client_secret``: ``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID`` and ``AZURE_CLIENT_SECRET``.
    - ``certificate``: the first two and ``AZURE_CLIENT_CERTIFICATE_PATH``, perhaps also
      ``AZURE_CLIENT_CERTIFICATE_PASSWORD`` and ``AZURE_CLIENT_SEND_CERTIFICATE_CHAIN``.
    - ``workload_identity``: the first two and ``AZURE_FEDERATED_TOKEN_FILE``, as AKS sets them.
    - ``managed_identity``: that of the machine; ``AZURE_CLIENT_ID`` says which if it has several.
    - ``cli``: whoever is logged in by ``az login``, in ``AZURE_TENANT_ID`` if that is set.
    - ``default``: whichever of these, and some more, works first. Trying takes time; name the one
      that you mean where programs run unattended.

    Args:
        vault_url: For example ``https://team.vault.azure.net``; by default ``AZURE_KEYVAULT_URL``.
        credential: Which credential logs in.
        authority: Login server, for example ``https://login.microsoftonline.us``; by default
            ``AZURE_AUTHORITY_HOST``, else that of the public cloud.
        names: Secret of a bare ``${NAME}``, with ``{name}`` in it: ``flows-{name}``, or
            ``flows#{name}`` for a field of one secret that is JSON. None asks for no bare name.
        ca_file: File of a CA that is trusted as well, by vault and login server.

    Raises:
        ConfigurationError: The URL is not that of a vault, `credential` is none of those, or
            `names` lacks ``{name}``.

    Example:
        >>> AzureResolver(vault_url="https://team.vault.azure.net", credential="cli").scheme
        'azure'
    """

    scheme: ClassVar[str] = "azure"

    vault_url: str | None = None
    credential: Credential = "default"
    authority: str | None = None
    names: str | None = "{name}"
    ca_file: str | os.PathLike[str] | None = None
    _client: HttpClient = field(init=False, repr=False, compare=False)
    _tokens: TokenCache = field(default_factory=TokenCache, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what can never work."""
        check_names(self.names)
        if self.credential not in get_args(Credential):
            known = ", ".join(get_args(Credential))
            message = f"there is no such credential, only {known}"
            raise ConfigurationError(message, path="credential")
        if self.vault_url is not None and _parse(self.vault_url) is None:
            raise ConfigurationError(_NO_VAULT, path="vault_url")
        if self.authority is not None and _parse(self.authority) is None:
            message = "the login server is https:// and a host, nothing else"
            raise ConfigurationError(message, path="authority")
        verify = True if self.ca_file is None else os.fspath(self.ca_file)
        object.__setattr__(self, "_client", HttpClient(verify=verify))

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read each secret once; the vault has no question for several."""
        return answers(references, self._wanted, lambda secrets: self._read_all(secrets, deadline))

    def health(self) -> str | None:
        """Ask the vault for its challenge, without a token, and then log in."""
        vault, deadline = self._vault(), Deadline(_HEALTH_SECONDS)
        if isinstance(vault, Unavailable):
            return vault.detail
        answer = self._client.ask("GET", f"{vault.origin}/secrets?{_API}&maxresults=1", deadline)
        if isinstance(answer, Unavailable):
            return answer.detail
        if answer.status != _UNAUTHORIZED:
            return answer.trouble().detail
        other = impostor(answer, vault.host)
        token = other or self._log_in(vault, deadline)
        return None if isinstance(token, Token) else token.detail

    def close(self) -> None:
        """Close the connections and forget the token; the next question logs in again."""
        self._client.close()
        self._tokens.clear()

    # --- what is wanted ---

    def _wanted(self, reference: Reference) -> Place[_Secret] | Outcome:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = options_of(reference, ("version",))
        if isinstance(options, Invalid):
            return options
        place = place_of(reference, self.names)
        if isinstance(place, NotFound):
            return place
        name, slash, version = place.path.partition("/")
        name = name.replace("_", "-")
        if slash and "version" in options:
            return Invalid("names its version twice")
        if not _NAME.fullmatch(name):
            return Invalid("a name has up to 127 letters, digits, hyphens and underscores")
        if slash or "version" in options:
            version = options.get("version", version)
            if not _VERSION.fullmatch(version):
                return Invalid("a version is one word of letters and digits")
        return Place(_Secret(name, version), place.field)

    def _vault(self) -> _Vault | Unavailable:
        """Return the vault, as it is configured now."""
        url = self.vault_url or os.environ.get("AZURE_KEYVAULT_URL")
        if not url:
            return Unavailable("no vault: set AZURE_KEYVAULT_URL")
        return _parse(url) or Unavailable(f"AZURE_KEYVAULT_URL is none: {_NO_VAULT}")

    # --- asking ---

    def _read_all(self, secrets: list[_Secret], deadline: Deadline) -> dict[_Secret, Outcome]:
        """Read secrets; when the vault lets nobody in for one, it is not asked for the next."""
        vault = self._vault()
        if isinstance(vault, Unavailable):
            return dict.fromkeys(secrets, vault)
        read: dict[_Secret, Outcome] = {}
        for secret in secrets:
            outcome = read[secret] = self._read(vault, secret, deadline)
            if _concerns_all(outcome):
                return {**dict.fromkeys(secrets, outcome), **read}
        return read

    def _read(self, vault: _Vault, secret: _Secret, deadline: Deadline) -> Outcome:
        """Read one secret; a token that is not accepted is replaced once."""
        token = self._log_in(vault, deadline)
        if not isinstance(token, Token):
            return token
        answer = self._ask(vault, secret, token, deadline)
        if isinstance(answer, HttpAnswer) and answer.status == _UNAUTHORIZED:
            if other := impostor(answer, vault.host):
                return other
            self._tokens.forget(token)
            token = self._log_in(vault, deadline)
            if not isinstance(token, Token):
                return token
            answer = self._ask(vault, secret, token, deadline)
        return outcome_of(answer) if isinstance(answer, HttpAnswer) else answer

    def _ask(
        self, vault: _Vault, secret: _Secret, token: Token, deadline: Deadline
    ) -> HttpAnswer | Unavailable:
        """Ask for one secret with a token."""
        path = "/".join(filter(None, secret))
        url = f"{vault.origin}/secrets/{path}?{_API}"
        return self._client.ask("GET", url, deadline, headers=bearer(token.value.reveal()))

    def _log_in(self, vault: _Vault, deadline: Deadline) -> Token | Refusal:
        """Return the token of this process, from a new login when need be."""
        try:
            from webhook_storage_resolvers.azure.login import Login, log_in  # noqa: PLC0415 - slow
        except ImportError:
            message = "Azure needs azure-identity, which is not installed"
            error = MissingExtraError(message, extra="azure")
            return Unavailable(f"{error}: {error.hint}")
        ca_file = None if self.ca_file is None else os.fspath(self.ca_file)
        login = Login(self.credential, vault.scope, self.authority, ca_file)
        return self._tokens.get(lambda _: log_in(login, deadline))


_NO_VAULT = "the vault's URL is https:// and a host, nothing else"


def _parse(url: str) -> _Vault | None:
    """Return the parts of an origin of https, None for any other URL."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return None
    rest = (parts.username, parts.password, parts.path.strip("/"), parts.query, parts.fragment)
    if parts.scheme != "https" or not parts.hostname or any(rest):
        return None
    host = parts.hostname
    return _Vault(f"https://{f'[{host}]' if ':' in host else host}{port}", host)


def _concerns_all(outcome: Outcome) -> bool:
    """Tell whether the next secret would be answered so too."""
    refused = isinstance(outcome, Forbidden) and not outcome.maybe_missing
    return refused or isinstance(outcome, Unavailable)
