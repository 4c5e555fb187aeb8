"""Infisical: the secrets of one project and environment, in its folders.

Facts: the API reference and "Universal Auth" of the Infisical documentation; the command line's
environment variables; the server's routers, see ``infisical.api``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from http.client import OK
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from webhook_storage.client import HttpAnswer, HttpClient
from webhook_storage.contracts import Deadline, Invalid, NotFound, Outcome, Resolver, Unavailable
from webhook_storage.errors import ConfigurationError
from webhook_storage.lazy import PerProcess
from webhook_storage.token import TokenCache
from webhook_storage_resolvers.infisical.api import Api, Scope
from webhook_storage_resolvers.infisical.login import Given, UniversalAuth
from webhook_storage_resolvers.naming import (
    NAME,
    Place,
    answers,
    check_names,
    is_segment,
    options_of,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference

_CLOUD = "https://app.infisical.com"
_TOKEN = "INFISICAL_TOKEN"  # noqa: S105 - where the token is, not the token
_CLIENTS = (
    ("INFISICAL_UNIVERSAL_AUTH_CLIENT_ID", "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"),
    ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET"),
)
_MOST_DIGITS = 9
_HEALTH_SECONDS = 10.0


class _Wanted(NamedTuple):
    """Where a reference leads.

    Attributes:
        folder: Absolute path of the folder.
        name: Of the secret.
        version: None for the newest.
    """

    folder: str
    name: str
    version: int | None


@dataclass(frozen=True, kw_only=True)
class InfisicalResolver(Resolver):
    """Secrets of one environment of a project in Infisical.

    ``${infisical:NAME}`` lies in the folder `path`, ``${infisical:sub/NAME}`` below it and
    ``${infisical:/team/NAME}`` where it says; ``?version=3`` reads an older version. References
    within a value are resolved by the server, and imports of the folder count.

    One secret is read by itself, so that its identity needs no right to others. Several secrets of
    one folder are one question for the folder.

    An identity logs in by Universal Auth, with ``INFISICAL_UNIVERSAL_AUTH_CLIENT_ID`` and
    ``INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET``, or ``INFISICAL_CLIENT_ID`` and
    ``INFISICAL_CLIENT_SECRET``. Without these the token in ``INFISICAL_TOKEN`` is used as it is.

    Args:
        address: Of the server, by default ``INFISICAL_API_URL``, ``INFISICAL_DOMAIN`` or that of
            the cloud in the US; a trailing ``/api`` changes nothing.
        project: Id of the project, by default ``INFISICAL_PROJECT_ID``.
        environment: Slug of the environment, for example ``prod``; by default
            ``INFISICAL_ENVIRONMENT``.
        path: Folder of names that do not begin with a slash.
        client_id_variable: Name of an environment variable that holds the client id.
        client_secret_variable: The same for the client secret; the two go together.
        token_variable: Name of an environment variable that holds an access token, which is then
            the only credential that counts.
        names: Which secret a bare ``${NAME}`` is, with ``{name}`` in it: ``/flows/{name}``, or
            ``SETTINGS#{name}`` for a field of one secret that is JSON. With None no bare name is
            asked for.
        cacert: File of a CA that is trusted as well.

    Raises:
        ConfigurationError: `names` lacks ``{name}``, or one of the two client variables is missing.

    Example:
        >>> InfisicalResolver(project="6f1c9a4e", environment="prod").path
        '/'
    """

    scheme: ClassVar[str] = "infisical"

    address: str | None = None
    project: str | None = None
    environment: str | None = None
    path: str = "/"
    client_id_variable: str | None = None
    client_secret_variable: str | None = None
    token_variable: str | None = None
    names: str | None = NAME
    cacert: str | os.PathLike[str] | None = None
    _http: HttpClient = field(init=False, repr=False, compare=False)
    _tokens: PerProcess[dict[tuple[str, str], TokenCache]] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )
    _old: PerProcess[set[str]] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        check_names(self.names)
        if (self.client_id_variable is None) != (self.client_secret_variable is None):
            message = "client_id_variable and client_secret_variable go together"
            raise ConfigurationError(message, path="client_id_variable")
        verify = os.fspath(self.cacert) if self.cacert is not None else True
        object.__setattr__(self, "_http", HttpClient(verify=verify))

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read each secret once, several of one folder in one question."""
        return answers(references, self._wanted, lambda wanted: self._read(wanted, deadline))

    def health(self) -> str | None:
        """Ask the server for its state, without a credential."""
        deadline = Deadline(_HEALTH_SECONDS)
        api = self._api(deadline)
        if isinstance(api, Unavailable):
            return api.detail
        answer = self._http.ask("GET", f"{self._origin()}/api/status", deadline)
        if isinstance(answer, HttpAnswer):
            return None if answer.status == OK else answer.trouble().detail
        return answer.detail

    def close(self) -> None:
        """Forget the token and close the connections; the next question logs in anew."""
        self._tokens.take()
        self._old.take()
        self._http.close()

    # --- what is wanted ---

    def _wanted(self, reference: Reference) -> Place[_Wanted] | Outcome:
        """Return where a reference leads and which field `names` wants, or why it leads nowhere."""
        options = options_of(reference, ("version",))
        if isinstance(options, Invalid):
            return options
        version = options.get("version")
        if version is not None and not _is_number(version):
            return Invalid("a version is a number")
        place = place_of(reference, self.names)
        if isinstance(place, NotFound):
            return place
        path = place.path if place.path.startswith("/") else f"{self.path.rstrip('/')}/{place.path}"
        segments = path.removeprefix("/").split("/")
        if not all(map(is_segment, segments)):
            return Invalid("a path is words between single slashes, the secret's name last")
        folder = "/" + "/".join(segments[:-1])
        secret = _Wanted(folder, segments[-1], int(version) if version else None)
        return Place(secret, place.field)

    # --- asking ---

    def _read(self, wanted: list[_Wanted], deadline: Deadline) -> dict[_Wanted, Outcome]:
        """Read secrets; when the server cannot be asked for one, it is not asked for the next."""
        api = self._api(deadline)
        if isinstance(api, Unavailable):
            return dict.fromkeys(wanted, api)
        read: dict[_Wanted, Outcome] = {}
        folders: dict[str, list[str]] = {}
        for each in wanted:
            if each.version is None:
                folders.setdefault(each.folder, []).append(each.name)
            else:
                read[each] = api.secret(each.folder, each.name, each.version)
        for folder, names in folders.items():
            for name, outcome in api.folder(folder, names).items():
                read[_Wanted(folder, name, None)] = outcome
        return read

    def _api(self, deadline: Deadline) -> Api | Unavailable:
        """Return the server with all that it must be told, or what is not set."""
        project = self.project or os.environ.get("INFISICAL_PROJECT_ID")
        if not project:
            return Unavailable("no project: set INFISICAL_PROJECT_ID")
        environment = self.environment or os.environ.get("INFISICAL_ENVIRONMENT")
        if not environment:
            return Unavailable("no environment: set INFISICAL_ENVIRONMENT")
        login = self._login(deadline)
        if isinstance(login, Unavailable):
            return login
        scope = Scope(self._origin(), project, environment)
        return Api(self._http, scope, login, self._old.get(set), deadline)

    def _login(self, deadline: Deadline) -> Given | UniversalAuth | Unavailable:
        """Return the way to a token, with the credential as it is now; it is kept nowhere."""
        if self.token_variable is None:
            for id_variable, secret_variable in self._clients():
                if client_id := os.environ.get(id_variable):
                    secret = os.environ.get(secret_variable)
                    if not secret:
                        return Unavailable(f"no client secret: set {secret_variable}")
                    return self._universal_auth(client_id, secret, deadline)
            if self.client_id_variable is not None:
                return Unavailable(f"no client id: set {self.client_id_variable}")
        token = os.environ.get(self.token_variable or _TOKEN)
        if token:
            return Given(token)
        if self.token_variable is not None:
            return Unavailable(f"no token: set {self.token_variable}")
        id_variable, secret_variable = _CLIENTS[0]
        return Unavailable(f"no credential: set {id_variable} and {secret_variable}, or {_TOKEN}")

    def _universal_auth(self, client_id: str, secret: str, deadline: Deadline) -> UniversalAuth:
        """Return the log-in of an identity; its token goes to the server that gave it only."""
        origin = self._origin()
        tokens = self._tokens.get(dict).setdefault((origin, client_id), TokenCache())
        credential = {"clientId": client_id, "clientSecret": secret}
        return UniversalAuth(self._http, origin, credential, tokens, deadline)

    def _clients(self) -> Sequence[tuple[str, str]]:
        """Return the pairs of variables in which a client id and its secret may be."""
        if self.client_id_variable is not None and self.client_secret_variable is not None:
            return [(self.client_id_variable, self.client_secret_variable)]
        return _CLIENTS

    def _origin(self) -> str:
        """Return where the server is."""
        environment = os.environ.get("INFISICAL_API_URL") or os.environ.get("INFISICAL_DOMAIN")
        address = (self.address or environment or _CLOUD).rstrip("/")
        return address.removesuffix("/api").rstrip("/")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
