"""Secrets of Kubernetes, read from its API by a program that runs in the cluster.

Facts: "Accessing the Kubernetes API from a Pod", "Secret" and "Status" of the Kubernetes API
reference, "Object Names and IDs". A service account that may not get secrets is told 403, whether
or not the secret is there. A mounted secret is read by the `directory` resolver instead.
"""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass, field
from http.client import FORBIDDEN, INTERNAL_SERVER_ERROR, NOT_FOUND, OK, UNAUTHORIZED
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from webhook_storage.client import HttpAnswer, HttpClient, bearer
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.document import MISSING, select
from webhook_storage.lazy import PerProcess
from webhook_storage.secret import SecretValue
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

_MOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HEALTH_SECONDS = 10.0
_NAMESPACE = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

_OUTSIDE = (
    "not in a cluster, KUBERNETES_SERVICE_HOST is not set: "
    "give api_server, token_file, ca_file and namespace"
)
_NO_NAMESPACE = "no namespace: give namespace, or write namespace/secret"
_NO_NAME = "names of secrets and namespaces have small letters, digits, '-' and '.' only"
_NO_TOKEN = "no token: the token file cannot be read, or is empty"  # noqa: S105 - says just that
_NO_CA = "the CA file cannot be read"
_REFUSED = Forbidden("the token is wrong or has expired: give one of this cluster")
_FORBIDDEN = Forbidden("needs a role with the verb get on secrets", maybe_missing=True)


class _Secret(NamedTuple):
    """Where a secret lies; the key under which one answer serves several references."""

    namespace: str | None
    name: str


class _Door(NamedTuple):
    """The server and what it lets us in with."""

    server: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class KubernetesResolver(Resolver):
    """Secrets of the cluster in which the program runs.

    ``${kubernetes:app#token}`` is the key ``token`` of the secret ``app`` in the program's own
    namespace, ``${kubernetes:team/app#token}`` of the one in the namespace ``team``. The service
    account needs a role with the verb ``get`` on ``secrets``. A value that is not UTF-8 is none:
    naming its key is an error.

    The token is read from its file for each question, since the cluster replaces it every hour.

    Args:
        api_server: By default what ``KUBERNETES_SERVICE_HOST`` and ``KUBERNETES_SERVICE_PORT`` say.
        token_file: By default that of the service account, which every pod has.
        ca_file: The CA of the server's certificate; by default that of the service account.
        namespace: For references that name none; by default that of the pod.
        names: Where a bare ``${NAME}`` lies, spelled as after ``kubernetes:``, with ``{name}`` in
            it: ``flows#{name}`` makes each a key of one secret. Without it no bare name is asked
            for.

    Raises:
        ConfigurationError: `names` lacks ``{name}``.

    Example:
        >>> KubernetesResolver(namespace="team", names="flows#{name}").scheme
        'kubernetes'
    """

    scheme: ClassVar[str] = "kubernetes"

    api_server: str | None = None
    token_file: str | os.PathLike[str] | None = None
    ca_file: str | os.PathLike[str] | None = None
    namespace: str | None = None
    names: str | None = None
    _client: PerProcess[HttpClient] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse a place for bare names that would be the same for all of them."""
        check_names(self.names)

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read each secret once, however many references point into it."""
        return answers(references, self._wanted, lambda secrets: self._read_all(secrets, deadline))

    def health(self) -> str | None:
        """Ask the server whether it is ready, which everybody may."""
        door = self._door()
        if isinstance(door, Unavailable):
            return door.detail
        answer = self._ask(door, "/readyz", Deadline(_HEALTH_SECONDS))
        if isinstance(answer, Unavailable):
            return answer.detail
        if answer.status == UNAUTHORIZED:
            return _REFUSED.detail
        return answer.trouble().detail if answer.status >= INTERNAL_SERVER_ERROR else None

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        client = self._client.take()
        if client is not None:
            client.close()

    # --- what is wanted ---

    def _wanted(self, reference: Reference) -> Place[_Secret] | Outcome:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = options_of(reference)
        if isinstance(options, Invalid):
            return options
        place = place_of(reference, self.names)
        if not isinstance(place, Place):
            return place
        first, slash, rest = place.path.partition("/")
        secret = _Secret(first, rest) if slash else _Secret(None, first)
        fits = secret.namespace is None or _NAMESPACE.fullmatch(secret.namespace)
        if fits and _NAME.fullmatch(secret.name):
            return Place(secret, place.field)
        # Of a bare name it only says that there is no such secret here.
        return Invalid(_NO_NAME) if reference.scheme is not None else NotFound(_NO_NAME)

    # --- asking ---

    def _read_all(self, secrets: list[_Secret], deadline: Deadline) -> dict[_Secret, Outcome]:
        """Read secrets; when the server cannot be asked for one, it is not asked for the next."""
        door = self._door()
        if isinstance(door, Unavailable):
            return dict.fromkeys(secrets, door)
        usual = self._namespace()
        last: Outcome | None = None
        read: dict[_Secret, Outcome] = {}
        for secret in secrets:
            full = secret._replace(namespace=secret.namespace or usual)
            if isinstance(last, Unavailable) or last is _REFUSED:
                read[secret] = last
            elif full.namespace is None:
                read[secret] = Unavailable(_NO_NAMESPACE)
            else:
                if full not in read:
                    read[full] = last = self._read(door, full, deadline)
                read[secret] = read[full]
        return read

    def _read(self, door: _Door, secret: _Secret, deadline: Deadline) -> Outcome:
        """Read one secret."""
        path = f"/api/v1/namespaces/{secret.namespace}/secrets/{secret.name}"
        answer = self._ask(door, path, deadline)
        return _outcome(answer) if isinstance(answer, HttpAnswer) else answer

    def _ask(self, door: _Door, path: str, deadline: Deadline) -> HttpAnswer | Unavailable:
        """Send one question."""
        client = self._client.get(lambda: HttpClient(verify=self._verify()))
        return client.ask("GET", door.server + path, deadline, headers=door.headers)

    def _door(self) -> _Door | Unavailable:
        """Return where to ask, and with the token as it is now."""
        server = self._server()
        if server is None:
            return Unavailable(_OUTSIDE)
        token = _text(self.token_file or _MOUNT / "token")
        if token is None:
            return Unavailable(_NO_TOKEN)
        if self.ca_file is not None and not os.access(self.ca_file, os.R_OK):
            return Unavailable(_NO_CA)
        return _Door(server, bearer(token))

    def _server(self) -> str | None:
        """Return the server's origin."""
        if self.api_server is not None:
            return self.api_server.rstrip("/")
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        port = os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
        if not host:
            return None
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def _namespace(self) -> str | None:
        """Return the namespace of references that name none."""
        namespace = self.namespace or _text(_MOUNT / "namespace")
        return namespace if namespace and _NAMESPACE.fullmatch(namespace) else None

    def _verify(self) -> bool | str:
        """Return what certificates are checked against."""
        if self.ca_file is not None:
            return os.fspath(self.ca_file)
        usual = _MOUNT / "ca.crt"
        return str(usual) if usual.exists() else True


def _text(path: str | os.PathLike[str]) -> str | None:
    """Return what stands in a small file, None when it cannot be read or is empty."""
    try:
        return Path(path).read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _outcome(answer: HttpAnswer) -> Outcome:
    """Return what an answer to the reading of a secret means."""
    document = answer.document()
    kind = select(document, "kind")
    if answer.status == OK and kind == "Secret":
        return _found(document) or answer.trouble()
    if answer.status == UNAUTHORIZED:
        return _REFUSED
    if answer.status == FORBIDDEN:
        return _FORBIDDEN
    if answer.status == NOT_FOUND and kind == "Status":
        return NotFound()
    return answer.trouble()


def _found(document: object) -> Found | None:
    """Return the secret in a successful answer, None when it is no such answer."""
    data = select(document, "data")
    if data is MISSING or data is None:
        data = {}  # a secret without keys
    if not isinstance(data, dict):
        return None
    try:
        # What is not UTF-8 becomes text that cannot be encoded, which whoever selects it refuses.
        fields = {
            key: base64.b64decode(value, validate=True).decode(errors="surrogateescape")
            for key, value in data.items()
        }
    except (ValueError, TypeError):
        return None
    version = select(document, "/metadata/resourceVersion")
    return Found(
        value=SecretValue(json.dumps(fields)),
        structured=True,
        version=version if isinstance(version, str) else None,
    )
