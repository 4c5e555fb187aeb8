"""HashiCorp Vault and OpenBao: the key/value engine, versions 1 and 2.

How the server is reached is in `client`, how a token is had in `login`, what is asked
in `reading`, and what the answers mean in `answers`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from webhook_storage.contracts import Deadline, Invalid, NotFound, Outcome, Resolver, Unavailable
from webhook_storage.errors import ConfigurationError
from webhook_storage.lazy import PerProcess
from webhook_storage.token import TokenCache
from webhook_storage_resolvers.naming import (
    check_names,
    field_of,
    is_segment,
    options_of,
    place_of,
)
from webhook_storage_resolvers.vault.answers import ailment
from webhook_storage_resolvers.vault.client import VaultClient, fault_of
from webhook_storage_resolvers.vault.login import Access, Given, Login, Source
from webhook_storage_resolvers.vault.reading import Engines, Reading, Wanted

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference

_HEALTH_SECONDS = 10.0
_KUBERNETES_JWT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_VERSION = re.compile(r"[0-9]{1,9}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_FIELDS: Mapping[str, Sequence[str]] = {
    "token": ("token_variable", "token_file"),
    "approle": (
        "role_id_variable",
        "role_id_file",
        "secret_id_variable",
        "secret_id_file",
        "secret_id_wrapped",
        "auth_mount",
    ),
    "kubernetes": ("role", "jwt_file", "auth_mount"),
    "jwt": ("role", "jwt_variable", "jwt_file", "auth_mount"),
}
"""Which fields say something about which way to get a token."""


@dataclass(frozen=True, kw_only=True)
class VaultResolver(Resolver):
    """Secrets in Vault or OpenBao.

    ``${vault:secret/app#token}`` reads the field ``token`` of the secret ``app`` in the engine that
    is mounted at ``secret``; ``secret/data/app``, as the API spells it, is the same where secrets
    have versions, and ``?version=3`` then reads an older one. A path of one word lies in `mount`.

    `auth` says how a token is had. With ``token`` somebody else gets it; it is read when it is
    needed, from the environment variable `token_variable` or the file `token_file`, else from
    ``VAULT_TOKEN`` or ``~/.vault-token``. With ``approle``, ``kubernetes`` and ``jwt`` the resolver
    logs in; that token stays in the process, is renewed while it is used, and replaced once when
    it is refused.

    The environment variables of the Vault command line, and their ``BAO_`` twins, say the rest:
    ``VAULT_ADDR``, ``VAULT_AGENT_ADDR``, ``VAULT_NAMESPACE``, ``VAULT_CACERT``,
    ``VAULT_CACERT_BYTES``, ``VAULT_CAPATH``, ``VAULT_CLIENT_CERT``, ``VAULT_CLIENT_KEY``,
    ``VAULT_TLS_SERVER_NAME``, ``VAULT_SKIP_VERIFY``, ``VAULT_CLIENT_TIMEOUT``,
    ``VAULT_PROXY_ADDR`` and ``VAULT_HTTP_PROXY``.

    Args:
        address: For example ``https://vault.example.com:8200``; by default ``VAULT_AGENT_ADDR``,
            else ``VAULT_ADDR``.
        auth: ``token``, ``approle``, ``kubernetes`` or ``jwt``.
        auth_mount: Where the auth method is mounted; by default under its own name.
        token_variable: Name of an environment variable that holds the token.
        token_file: Path of a file that holds the token.
        role: Role of ``kubernetes``, or of ``jwt``, where the method's own is the default.
        role_id_variable: Name of a variable with the role_id; by default ``VAULT_ROLE_ID``.
        role_id_file: Path of a file that holds the role_id.
        secret_id_variable: Name of a variable with the secret_id; by default ``VAULT_SECRET_ID``.
        secret_id_file: Path of a file that holds the secret_id.
        secret_id_wrapped: Whether there is a wrapping token in place of the secret_id. It is
            unwrapped once, so a process that is started anew needs another one.
        jwt_variable: Name of an environment variable that holds the JWT of ``jwt``.
        jwt_file: Path of a file that holds the JWT, read at each login; for ``kubernetes`` by
            default that of the service account.
        namespace: By default ``VAULT_NAMESPACE``.
        mount: Engine for paths of one word, and the mount path when that has slashes.
        kv_version: 1 or 2 for all engines; None asks the server, once for each of them.
        names: Where a bare ``${NAME}`` lies, spelled as after ``vault:``, with ``{name}`` in it:
            ``secret/flows#{name}`` for a field of one secret, ``secret/{name}#value`` for a secret
            each. Without it no bare name is asked for.
        cacert: File of the CA that signed the server's certificate; by default ``VAULT_CACERT``.

    Raises:
        ConfigurationError: A field says what cannot be, or nothing that matters for `auth`; or
            `names` lacks ``{name}``.

    Example:
        >>> VaultResolver(address="https://vault.example.com:8200").scheme
        'vault'
    """

    scheme: ClassVar[str] = "vault"

    address: str | None = None
    auth: Literal["token", "approle", "kubernetes", "jwt"] = "token"
    auth_mount: str | None = None
    token_variable: str | None = None
    token_file: str | os.PathLike[str] | None = None
    role: str | None = None
    role_id_variable: str | None = None
    role_id_file: str | os.PathLike[str] | None = None
    secret_id_variable: str | None = None
    secret_id_file: str | os.PathLike[str] | None = None
    secret_id_wrapped: bool = False
    jwt_variable: str | None = None
    jwt_file: str | os.PathLike[str] | None = None
    namespace: str | None = None
    mount: str = "secret"
    kv_version: Literal[1, 2] | None = None
    names: str | None = None
    cacert: str | os.PathLike[str] | None = None
    _client: VaultClient = field(init=False, repr=False, compare=False)
    _access: Access = field(init=False, repr=False, compare=False)
    _engines: Engines = field(init=False, repr=False, compare=False)
    _tokens: TokenCache = field(default_factory=TokenCache, init=False, repr=False, compare=False)
    _servers: PerProcess[list[tuple[str | None, str | None]]] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse what can never work, and make the parts; nothing is read or asked yet."""
        check_names(self.names)
        self._check_places()
        self._check_auth()
        client = VaultClient(address=self.address, namespace=self.namespace, cacert=self.cacert)
        engines = Engines(mount=self.mount, kv_version=self.kv_version)
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_engines", engines)
        object.__setattr__(self, "_access", self._make_access())

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read each secret once, however many references point into it."""
        self._notice_another_server()
        reading = Reading(self._client, self._access, self._tokens, self._engines, deadline)
        answers: dict[Reference, Outcome] = {}
        for reference in references:
            wanted = self._wanted(reference)
            answers[reference] = (
                field_of(reading.secret(wanted), wanted.field)
                if isinstance(wanted, Wanted)
                else wanted
            )
        return answers

    def _notice_another_server(self) -> None:
        """Hand no token of one server or namespace to another, when the environment has changed."""
        server = self._client.server()
        last = self._servers.get(lambda: [server])
        if last[0] != server:
            self._tokens.clear()
            self._engines.forget()
            last[0] = server

    def health(self) -> str | None:
        """Ask the server for its state, without a token, and look for the credentials here."""
        answer = self._client.ask(
            lambda client: client.sys.read_health_status(method="GET"),
            Deadline(_HEALTH_SECONDS),
            namespaced=False,  # its state is not that of a namespace
        )
        if isinstance(answer, Unavailable):
            return answer.detail
        return ailment(answer.status_code) or self._access.missing()

    def close(self) -> None:
        """Close the connections and forget the token; the next question starts anew."""
        self._client.close()
        self._tokens.clear()
        self._engines.forget()

    # --- what is wanted ---

    def _wanted(self, reference: Reference) -> Wanted | Invalid | NotFound:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = options_of(reference, ["version"])
        if isinstance(options, Invalid):
            return options
        version = options.get("version")
        if version is not None and not _VERSION.fullmatch(version):
            return Invalid("a version is a number")
        place = place_of(reference, self.names)
        if isinstance(place, NotFound):
            return place
        path = place.path if "/" in place.path else f"{self.mount}/{place.path}"
        if not (reference.name and _is_path(path)):
            return Invalid("a path is words between single slashes, mount first")
        return Wanted(path, None if version is None else int(version), place.field)

    # --- configuration ---

    def _check_places(self) -> None:
        """Refuse addresses, mounts and versions that cannot be."""
        if self.address is not None and (fault := fault_of(self.address)):
            raise ConfigurationError(fault, path="address")
        for name, path in (("mount", self.mount), ("auth_mount", self.auth_mount)):
            if path is not None and not _is_path(path):
                raise ConfigurationError("this is words between single slashes", path=name)
        version: object = self.kv_version
        if version is not None and (type(version) is not int or version not in {1, 2}):
            raise ConfigurationError("this is 1 or 2", path="kv_version")

    def _check_auth(self) -> None:
        """Refuse fields that say nothing, too little or too much about how a token is had."""
        own = _OWN_FIELDS.get(self.auth)
        if own is None:
            known = ", ".join(_OWN_FIELDS)
            raise ConfigurationError(f"there is no such way to log in, only {known}", path="auth")
        for name in dict.fromkeys(name for names in _OWN_FIELDS.values() for name in names):
            given = getattr(self, name)
            if given and name not in own:
                raise ConfigurationError(f'this says nothing with auth="{self.auth}"', path=name)
            if name.endswith("_variable") and given is not None:
                self._check_variable(name)
        if not isinstance(self.secret_id_wrapped, bool):
            raise ConfigurationError("this is true or false", path="secret_id_wrapped")
        if self.auth == "kubernetes" and not self.role:
            raise ConfigurationError("Kubernetes needs a role", path="role")
        if self.auth == "jwt" and self.jwt_variable is None and self.jwt_file is None:
            message = "say where the JWT is, here or in jwt_variable"
            raise ConfigurationError(message, path="jwt_file")

    def _check_variable(self, name: str) -> None:
        """Refuse a credential in place of a name, and a file beside it."""
        if not _VARIABLE.fullmatch(getattr(self, name)):
            message = "this is the name of an environment variable, not its value"
            raise ConfigurationError(message, path=name)
        file = name.replace("_variable", "_file")
        if getattr(self, file) is not None:
            raise ConfigurationError(f"give {name} or {file}, not both", path=file)

    def _make_access(self) -> Access:
        """Return where tokens come from."""
        if self.auth == "token":
            token = Source(
                what="token",
                variable=self.token_variable,
                file=self.token_file,
                usual="TOKEN",
                usual_file="~/.vault-token",
                advice=", or log in with 'vault login'",
            )
            return Given(source=token, optional=self.address is None)
        mount = self.auth_mount or self.auth
        if self.auth == "approle":
            return Login(
                method="approle",
                mount=mount,
                role_id=self._source("role_id"),
                credential=self._source("secret_id"),
                wrapped=self.secret_id_wrapped,
            )
        file = self.jwt_file or (_KUBERNETES_JWT if self.auth == "kubernetes" else None)
        jwt = Source(what="JWT", variable=self.jwt_variable, file=file)
        return Login(method=self.auth, mount=mount, role=self.role, credential=jwt)

    def _source(self, what: str) -> Source:
        """Return where a part of an AppRole lies."""
        variable, file = getattr(self, f"{what}_variable"), getattr(self, f"{what}_file")
        return Source(what=what, variable=variable, file=file, usual=what.upper())


def _is_path(path: str) -> bool:
    """Tell whether this stays what it is between the slashes of a URL."""
    return all(map(is_segment, path.split("/")))
