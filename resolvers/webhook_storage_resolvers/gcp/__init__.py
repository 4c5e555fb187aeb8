"""Google Secret Manager, over REST, with the credentials that Google's own tools use.

Facts: "Method: projects.secrets.versions.access", "Regional secrets" and "Secret" of the Secret
Manager API; there is no call that reads several secrets. For the credentials see `auth`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from http.client import INTERNAL_SERVER_ERROR, TOO_MANY_REQUESTS, UNAUTHORIZED
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from webhook_storage.client import HttpAnswer, HttpClient
from webhook_storage.contracts import Deadline, Invalid, Outcome, Resolver, Unavailable
from webhook_storage.errors import ConfigurationError
from webhook_storage.lazy import PerProcess
from webhook_storage_resolvers.gcp.answers import REFUSED, outcome_of
from webhook_storage_resolvers.gcp.auth import Access, Login
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
    from webhook_storage.token import Refusal

_ENDPOINT = "https://secretmanager.googleapis.com"
_REGIONAL = "https://secretmanager.{location}.rep.googleapis.com"
_HEALTH_SECONDS = 10.0

_PROJECT = re.compile(r"(?=.{1,100}\Z)[a-z0-9][a-z0-9-]*([.:][a-z0-9][a-z0-9-]*)*")
_LOCATION = re.compile(r"[a-z][a-z0-9-]{0,62}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,255}")
_VERSION = re.compile(r"[1-9][0-9]{0,18}|[A-Za-z][A-Za-z0-9_-]{0,62}")
_RULES = {
    "projects": _PROJECT, "locations": _LOCATION, "secrets": _SECRET, "versions": _VERSION,
}  # fmt: skip
_FULL_NAME = re.compile(
    r"projects/(?P<projects>[^/]+)(/locations/(?P<locations>[^/]+))?"
    r"/secrets/(?P<secrets>[^/]+)(/versions/(?P<versions>[^/]+))?"
)

_NO_PROJECT = "no project: set GOOGLE_CLOUD_PROJECT to the id of one, or name it in the reference"


class _Secret(NamedTuple):
    """One version of a secret; the key under which one answer serves several references."""

    project: str | None
    location: str | None
    name: str
    version: str

    def url(self, endpoint: str | None) -> str:
        """Return the URL that reads it."""
        region = "" if self.location is None else f"/locations/{self.location}"
        secret = f"/v1/projects/{self.project}{region}/secrets/{self.name}"
        return f"{_origin(endpoint, self.location)}{secret}/versions/{self.version}:access"


@dataclass(frozen=True, kw_only=True)
class GcpResolver(Resolver):
    """Secrets in Google Secret Manager.

    ``${gcp:api-token}`` reads the latest version of a secret in the project,
    ``${gcp:api-token?version=3}`` a certain one, by its number or alias. The full names
    ``projects/P/secrets/S``, ``projects/P/secrets/S/versions/3`` and those with
    ``locations/L`` are taken as they are.

    The credentials are Application Default Credentials: the file that
    ``GOOGLE_APPLICATION_CREDENTIALS`` names (a service account's key, workload identity federation,
    impersonation), else what ``gcloud auth application-default login`` left, else the metadata
    server. They are kept in memory, and looked for anew when they are refused. The project is
    `project`, else ``GOOGLE_CLOUD_PROJECT``, else that of the credentials.

    Args:
        project: Where secrets lie whose project is not in the reference.
        location: Region of the secrets whose full name is not in the reference, for example
            ``europe-west1``; None for global ones.
        names: Where a bare ``${NAME}`` lies, spelled as after ``gcp:``, with ``{name}`` in it:
            ``flows-{name}``, or ``flows#{name}`` for a field of one JSON document. None asks for no
            bare name.
        credentials_file: A file of credentials to use instead of the default ones.
        endpoint: Origin of the service, for Private Service Connect; by default that of the
            location.

    Raises:
        ConfigurationError: `names` lacks ``{name}``, or `project` or `location` is none.

    Example:
        >>> GcpResolver(project="acme-flows").scheme
        'gcp'
    """

    scheme: ClassVar[str] = "gcp"

    project: str | None = None
    location: str | None = None
    names: str | None = "{name}"
    credentials_file: str | os.PathLike[str] | None = None
    endpoint: str | None = None
    _client: HttpClient = field(default_factory=HttpClient, init=False, repr=False, compare=False)
    _login: PerProcess[Login] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse what would lead all names to one place, or outside of Secret Manager."""
        check_names(self.names)
        for name, rule in (("project", _PROJECT), ("location", _LOCATION)):
            text = getattr(self, name)
            if text is not None and not rule.fullmatch(text):
                raise ConfigurationError(f"{name} is not the id of a {name}", path=name)

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read each version once, however many references point into it."""
        return answers(references, self._wanted, lambda secrets: self._read_all(secrets, deadline))

    def health(self) -> str | None:
        """Get a token and ask which locations there are, whether or not that is answered."""
        deadline = Deadline(_HEALTH_SECONDS)
        access = self._access(deadline)
        if not isinstance(access, Access):
            return access.detail
        project = self._project(access)
        if project is None:
            return _NO_PROJECT
        origin = _origin(self.endpoint, self.location)
        url = f"{origin}/v1/projects/{project}/locations?pageSize=1"
        answer = self._ask(url, access, deadline)
        if isinstance(answer, Unavailable):
            return answer.detail
        if answer.status == UNAUTHORIZED:
            return REFUSED.detail
        ill = answer.status >= INTERNAL_SERVER_ERROR or answer.status == TOO_MANY_REQUESTS
        return answer.trouble().detail if ill else None

    def close(self) -> None:
        """Close the connections and forget the credentials; the next question makes new ones."""
        self._login.take()
        self._client.close()

    # --- what is wanted ---

    def _wanted(self, reference: Reference) -> Place[_Secret] | Outcome:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = options_of(reference, ("version",))
        if isinstance(options, Invalid):
            return options
        place = place_of(reference, self.names)
        if not isinstance(place, Place):
            return place
        secret = self._secret(place.path, options.get("version"))
        return secret if isinstance(secret, Invalid) else Place(secret, place.field)

    def _secret(self, path: str, version: str | None) -> _Secret | Invalid:
        """Return the secret of a short or a full name."""
        parts: dict[str, str | None] = {"secrets": path, "locations": self.location}
        if "/" in path:
            full_name = _FULL_NAME.fullmatch(path)
            if full_name is None:
                return Invalid(
                    "a path is a name, or projects/P/secrets/S with or without a version"
                )
            parts = full_name.groupdict()
        if version is not None:
            if parts.get("versions"):
                return Invalid("names two versions")
            parts["versions"] = version
        for kind, part in parts.items():
            if part is not None and not _RULES[kind].fullmatch(part):
                return Invalid(f"has what is no name of {kind} in Secret Manager")
        chosen = parts.get("versions") or "latest"
        return _Secret(parts.get("projects"), parts["locations"], str(parts["secrets"]), chosen)

    def _project(self, access: Access) -> str | None:
        """Return the project of names that have none."""
        project = self.project or os.environ.get("GOOGLE_CLOUD_PROJECT") or access.project
        return project if project and _PROJECT.fullmatch(project) else None

    # --- asking ---

    def _read_all(self, secrets: list[_Secret], deadline: Deadline) -> dict[_Secret, Outcome]:
        """Read secrets; when the store cannot be asked for one, it is not asked for the next."""
        access: Access | Outcome = self._access(deadline)
        read: dict[_Secret, Outcome] = {}
        for secret in secrets:
            if not isinstance(access, Access):
                read[secret] = access
                continue
            full = secret._replace(project=secret.project or self._project(access))
            if full not in read:
                read[full], access = self._read(full, access, deadline)
            read[secret] = read[full]
        return read

    def _read(
        self, secret: _Secret, access: Access, deadline: Deadline
    ) -> tuple[Outcome, Access | Outcome]:
        """Read one secret, with a new token when this one is not accepted.

        Returns:
            The outcome, and what the next one is asked with or gets for an outcome.
        """
        if secret.project is None:
            return Unavailable(_NO_PROJECT), access
        url = secret.url(self.endpoint)
        answer = self._ask(url, access, deadline)
        if isinstance(answer, HttpAnswer) and answer.status == UNAUTHORIZED:
            renewed = self._access(deadline, access)
            if not isinstance(renewed, Access):
                return renewed, renewed
            access = renewed
            answer = self._ask(url, access, deadline)
        outcome = outcome_of(answer) if isinstance(answer, HttpAnswer) else answer
        ended = isinstance(outcome, Unavailable) or outcome is REFUSED
        return outcome, outcome if ended else access

    def _ask(self, url: str, access: Access, deadline: Deadline) -> HttpAnswer | Unavailable:
        """Send one question."""
        return self._client.ask("GET", url, deadline, headers=access.headers)

    def _access(self, deadline: Deadline, refused: Access | None = None) -> Access | Refusal:
        """Return what lets requests in."""
        login = self._login.get(lambda: Login(self.credentials_file))
        return login.access(self._client, deadline, refused)


def _origin(endpoint: str | None, location: str | None) -> str:
    """Return where secrets of a location are asked for."""
    usual = _ENDPOINT if location is None else _REGIONAL.format(location=location)
    return (endpoint or usual).rstrip("/")
