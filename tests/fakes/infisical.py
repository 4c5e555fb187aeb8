"""Answer like Infisical: machine identities, folders of secrets, two versions of the API.

Rule: a request that Infisical refuses is refused here, with its status, `error` and `message`.
"""

from __future__ import annotations

import itertools
import json
import secrets
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fakes.http import Answer, FakeServer, Received, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOGIN = "/api/v1/auth/universal-auth/login"
_V4, _V3 = "/api/v4/secrets", "/api/v3/secrets/raw"
_HIDDEN = "<hidden-by-infisical>"
_DATE = "2026-01-02T03:04:05.000Z"
_TTL = 7200


class _RefusalError(Exception):
    def __init__(self, status: int, error: str, message: object) -> None:
        super().__init__()
        self.status = status
        self.body = {"statusCode": status, "message": message, "error": error}


@dataclass
class Folder:
    """A folder of secrets.

    Attributes:
        secrets: The values of each secret, the oldest first, by name.
        imports: Paths of the folders that are imported; the last one counts most.
        personal: Values that a user sees instead, by name.
    """

    secrets: dict[str, list[str]] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    personal: dict[str, str] = field(default_factory=dict)


class _Place(NamedTuple):
    """Where a request looks."""

    environment: str
    path: str
    folder: Folder | None


class FakeInfisical(FakeServer):
    """An Infisical server with one project, its environment `prod`, and one machine identity.

    Args:
        client_id: Of the identity.
        client_secret: Of the identity.
        old: Whether it is one that knows neither ``/api/v4`` nor ``reqId``, nor older versions.
        tls: Serve HTTPS.

    Attributes:
        project: The id of the project.
        tokens: The access tokens, with whether they have ended; delete one to revoke it.
        new_token: Makes the access tokens.
        ttl: Life of the tokens that a log-in gives, in seconds.
        environments: Folders by environment and path.
        denied: Names that the identity may not know of.
        unreadable: Names that it may know of, and not read.
        lists: Whether it may list a folder.
    """

    def __init__(
        self,
        *,
        client_id: str = "client-id",
        client_secret: str = "client-secret",
        old: bool = False,
        tls: bool = False,
    ) -> None:
        super().__init__(tls=tls)
        self.client_id = client_id
        self.client_secret = client_secret
        self.old = old
        self.project = str(uuid.uuid4())
        self.tokens: dict[str, bool] = {}
        self.new_token: Callable[[], str] = _new_token
        self.ttl = _TTL
        self.environments: dict[str, dict[str, Folder]] = {"prod": {"/": Folder()}}
        self.denied: set[str] = set()
        self.unreadable: set[str] = set()
        self.lists = True
        self._requests = itertools.count(1)

    # -- state

    def put(self, path: str, value: str, *, environment: str = "prod") -> None:
        """Store a secret at ``/folder/NAME``, as somebody else would."""
        folder, _, name = path.rpartition("/")
        with self.lock:
            self.folder(folder or "/", environment=environment).secrets.setdefault(name, [])
            self.folder(folder or "/", environment=environment).secrets[name].append(value)

    def folder(self, path: str, *, environment: str = "prod") -> Folder:
        """Return a folder, a new one if need be."""
        return self.environments.setdefault(environment, {}).setdefault(path, Folder())

    def issue_token(self) -> str:
        """Make an access token."""
        token = self.new_token()
        self.tokens[token] = False
        return token

    def end_tokens(self) -> None:
        """Let all access tokens end, as time does."""
        self.tokens = dict.fromkeys(self.tokens, True)

    # -- faults on demand

    def rate_limit(self, *, path: str = "/api/", seconds: int = 12, times: int | None = 1) -> None:
        """Refuse the next requests; how long to wait stands in the text only."""
        message = f"Rate limit exceeded. Please try again in {seconds} seconds"
        body = {"statusCode": 429, "message": message, "error": "RateLimitExceeded"}
        self.inject(json_answer(429, body), path=path, times=times)

    # -- requests

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request as Infisical does."""
        try:
            return self._dispatch(request, body)
        except _RefusalError as refusal:
            # Old servers number no requests, and no server does for a path that it does not know.
            numbered = not self.old and refusal.body["error"] != HTTPStatus.NOT_FOUND.phrase
            number = {"reqId": f"req-{next(self._requests)}"} if numbered else {}
            return json_answer(refusal.status, {**number, **refusal.body})

    def _dispatch(self, request: Received, body: bytes) -> Answer:
        match request.method, request.path:
            case "GET", "/api/status":
                return json_answer(200, {"date": _DATE, "message": "Ok"})
            case "POST", path if path == LOGIN:
                return self._log_in(body)
        for root, project in ((_V4, "projectId"), (_V3, "workspaceId")):
            path = request.path.removeprefix(root)
            if self.old and root == _V4:
                continue
            if request.method == "GET" and path != request.path and path[:1] in {"", "/"}:
                self._check_token(request)
                place = self._place(request.query, project)
                return (
                    self._list(place, request.query)
                    if path in {"", "/"}
                    else (self._read(place, path[1:], request.query))
                )
        message = f"Route {request.method}:{request.target} not found"
        raise _RefusalError(404, HTTPStatus.NOT_FOUND.phrase, message)

    def _log_in(self, body: bytes) -> Answer:
        given = _object(body)
        if not {"clientId", "clientSecret"} <= given.keys():
            raise _RefusalError(422, "ValidationFailure", [{"code": "invalid_type"}])
        if given != {"clientId": self.client_id, "clientSecret": self.client_secret}:
            raise _RefusalError(401, "Unauthorized", "Invalid credentials")
        answer = {
            "accessToken": self.issue_token(),
            "expiresIn": self.ttl,
            "accessTokenMaxTTL": 30 * _TTL,
            "tokenType": "Bearer",
        }
        return json_answer(200, answer)

    def _check_token(self, request: Received) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise _RefusalError(401, "Unauthorized", "Token missing")
        if token.count(".") != 2:
            raise _RefusalError(403, "TokenError", "The provided access token is malformed.")
        if token not in self.tokens:
            raise _RefusalError(401, "Unauthorized", "You are not allowed to access this resource")
        if self.tokens[token]:
            message = "Your token has expired. Please re-authenticate."
            raise _RefusalError(403, "TokenError", message)

    def _place(self, query: Mapping[str, str], key: str) -> _Place:
        """Return where a request looks; the project first, as the server does."""
        project, environment = query.get(key), query.get("environment")
        if not project or not environment:
            raise _RefusalError(400, "BadRequest", "Missing project id or environment")
        if project != self.project:
            raise _RefusalError(404, "NotFound", f"Project with ID '{project}' not found")
        path = query.get("secretPath", "/").rstrip("/") or "/"
        return _Place(environment, path, self.environments.get(environment, {}).get(path))

    def _list(self, place: _Place, query: Mapping[str, str]) -> Answer:
        """Return all secrets of a folder that the identity may know of."""
        if not self.lists:
            message = "You are not allowed to describeSecret on secrets"
            raise _RefusalError(403, "PermissionDenied", message)
        if place.folder is None:  # a folder that is not there holds nothing
            return json_answer(200, {"secrets": [], "imports": []})
        imports = place.folder.imports if query.get("include_imports") == "true" else []
        listed = [
            {
                "secretPath": path,
                "environment": place.environment,
                "secrets": self._described(place, path, query),
            }
            for path in imports
        ]
        found = self._described(place, place.path, query)
        return json_answer(200, {"secrets": found, "imports": listed})

    def _read(self, place: _Place, name: str, query: Mapping[str, str]) -> Answer:
        """Return one secret."""
        if place.folder is None:
            raise _RefusalError(404, "NotFound", f"Folder with path '{place.path}' not found")
        if name in self.denied:
            raise _RefusalError(403, "PermissionDenied", "You are not allowed to read on secrets")
        imports = place.folder.imports if query.get("include_imports") == "true" else []
        for path in (place.path, *reversed(imports)):
            values = self.environments[place.environment][path].secrets.get(name, [])
            if (number := self._version(query, values)) is not None:
                if name in self.unreadable:
                    message = "You are not allowed to readValue on secrets"
                    raise _RefusalError(403, "PermissionDenied", message)
                return json_answer(200, {"secret": self._secret(place, path, name, number, query)})
        raise _RefusalError(404, "NotFound", f"Secret with name '{name}' not found")

    def _version(self, query: Mapping[str, str], values: list[str]) -> int | None:
        """Return the version that is meant, None when there is none."""
        wanted = None if self.old else query.get("version")
        if wanted is None:
            return len(values) or None
        return int(wanted) if 1 <= int(wanted) <= len(values) else None

    def _described(
        self, place: _Place, path: str, query: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return the secrets of one folder as a list has them."""
        folder = self.environments[place.environment][path]
        shared = [
            self._secret(place, path, name, len(values), query)
            for name, values in folder.secrets.items()
            if name not in self.denied
        ]
        own = [
            {**self._secret(place, path, name, 1, query), "type": "personal", "secretValue": value}
            for name, value in folder.personal.items()
        ]
        return [*own, *shared]

    def _secret(
        self, place: _Place, path: str, name: str, number: int, query: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return a secret as the server describes it."""
        hidden = query.get("viewSecretValue") == "false" or name in self.unreadable
        folder = self.environments[place.environment][path]
        value = folder.secrets.get(name, [""] * number)[number - 1]
        if query.get("expandSecretReferences") == "true":
            for other, values in folder.secrets.items():
                value = value.replace(f"${{{other}}}", values[-1])
        return {
            "id": f"id-{name}",
            "_id": f"id-{name}",
            "workspace": self.project,
            "environment": place.environment,
            "version": number,
            "type": "shared",
            "secretKey": name,
            "secretValue": _HIDDEN if hidden else value,
            "secretValueHidden": hidden,
            "secretPath": path,
            "secretComment": "",
            "createdAt": _DATE,
            "updatedAt": _DATE,
            "tags": [],
        }


def _new_token() -> str:
    """Return a token of three parts, as all of them are."""
    return ".".join(secrets.token_urlsafe(24) for _ in range(3))


def _object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _RefusalError(400, "BadRequest", "Body is not valid JSON")
    return document
