"""Answer like HashiCorp Vault: key/value engines, tokens, logins and the ways it refuses.

Rule: a request that Vault refuses is refused here, with its status and `errors` list.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.fakes.http import Answer, FakeServer, Received, json_answer
from tests.fakes.vault_auth import AuthMethods, Token, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_WRITES = ("POST", "PUT")
_WRONG_VERSION = "Invalid path for a versioned K/V secrets engine"
_LEASE = 2764800


class _RefusalError(Exception):
    def __init__(self, status: int, *errors: str) -> None:
        super().__init__()
        self.answer = json_answer(status, {"errors": errors})


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Version:
    """One version of a secret in an engine of version 2."""

    data: dict[str, Any] | None
    number: int
    created_time: str = field(default_factory=_now)
    deletion_time: str = ""
    destroyed: bool = False

    @property
    def gone(self) -> bool:
        """Whether the data may not be read."""
        return self.destroyed or bool(self.deletion_time)

    def destroy(self) -> None:
        """Forget the data for good."""
        self.data, self.destroyed = None, True


@dataclass
class Secret:
    """A secret of an engine of version 2, with its versions."""

    versions: dict[int, Version] = field(default_factory=dict)
    current: int = 0
    max_versions: int = 10
    cas_required: bool = False
    custom_metadata: dict[str, str] | None = None

    def add(self, data: dict[str, Any]) -> Version:
        """Make a new version the current one, and drop the oldest when there are too many."""
        self.current += 1
        self.versions[self.current] = Version(data, self.current)
        if len(self.versions) > self.max_versions:
            del self.versions[min(self.versions)]
        return self.versions[self.current]

    def describe(self, version: Version) -> dict[str, Any]:
        """Return the metadata that accompanies a version."""
        return {
            "created_time": version.created_time,
            "custom_metadata": self.custom_metadata,
            "deletion_time": version.deletion_time,
            "destroyed": version.destroyed,
            "version": version.number,
        }


@dataclass
class Mount:
    """A key/value engine and what it holds, by path.

    Attributes:
        kind: Its type; that of another engine reads like one of version 1.
        declared: Whether it names its version; a `kv` that was mounted without one has version 1.
    """

    version: int
    kind: str = "kv"
    declared: bool = True
    secrets: dict[str, Secret] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Call:
    """A request that is allowed to touch a mount."""

    method: str
    path: str
    query: Mapping[str, str]
    body: dict[str, Any]

    @property
    def lists(self) -> bool:
        return self.method == "LIST" or (self.method == "GET" and self.query.get("list") == "true")

    def versions(self) -> list[int]:
        numbers = self.body.get("versions")
        if not isinstance(numbers, list) or not numbers:
            raise _RefusalError(400, "no version number provided")
        return [int(number) for number in numbers]


class FakeVault(FakeServer):
    """A Vault server with a KV v2 engine at `secret/` and a KV v1 engine at `kv/`.

    Args:
        token: The root token.
        role_id: The role that AppRole knows.
        secret_id: The secret id that goes with it.
        tls: Serve HTTPS.

    Attributes:
        token: The root token.
        tokens: The valid tokens, by id; delete one to revoke it.
        namespaces: The namespaces besides the root one, each with mounts of its own.
        mounts: The engines of the root namespace, by mount path without slashes.
        denied: API path prefixes, such as `secret/data/private`, that no token may touch.
        auth: The auth methods, and what they accept.
        login_ttl: Life of the tokens that a login makes, in seconds.
        login_max_ttl: How long renewals can make it; 0 for as long as one likes.
        login_renewable: Whether they can be renewed.
        login_denied: API path prefixes that they may not touch.
        sealed: Answer 503 to everything but the health check.
        leader: Origin of the server for which this one stands by; it sends everybody there.
        auto_auth: Token of an agent, which adds it where there is none.
    """

    def __init__(
        self,
        *,
        token: str = "hvs.root",
        role_id: str = "role-id",
        secret_id: str = "secret-id",
        tls: bool = False,
    ) -> None:
        super().__init__(tls=tls)
        self.token = token
        self._tokens = Tokens(valid={token: Token(token)})
        self.namespaces: dict[str, dict[str, Mount]] = {}
        self.mounts = _engines()
        self.denied: set[str] = set()
        self.auth = AuthMethods(role_id, {secret_id})
        self.role_id = role_id
        self.secret_id = secret_id
        self.login_ttl = 3600
        self.login_max_ttl = 0
        self.login_renewable = True
        self.login_denied: tuple[str, ...] = ()
        self.sealed = False
        self.leader: str | None = None
        self.auto_auth: str | None = None

    # -- state

    def put(self, path: str, data: dict[str, Any], *, namespace: str = "") -> None:
        """Store a secret at `mount/path`, as somebody else would."""
        _, mount, rest = self._mount(path, namespace)
        with self.lock:
            if mount.version == 1:
                mount.values[rest] = dict(data)
            else:
                mount.secrets.setdefault(rest, Secret()).add(dict(data))

    def secret(self, path: str, *, namespace: str = "") -> Secret:
        """Return the secret at `mount/path` of a KV v2 engine."""
        _, mount, rest = self._mount(path, namespace)
        return mount.secrets[rest]

    def add_namespace(self, name: str) -> None:
        """Make a namespace with the usual two engines."""
        self.namespaces[name] = _engines()

    @property
    def tokens(self) -> dict[str, Token]:
        """The valid tokens, by id."""
        return self._tokens.valid

    def issue_token(
        self,
        *,
        namespace: str = "",
        policies: Iterable[str] = ("default",),
        ttl: int = 3600,
        max_ttl: int = 0,
        renewable: bool = True,
        denied: Iterable[str] = (),
    ) -> str:
        """Make a token and return its id; `denied` are path prefixes that it may not touch."""
        return self._tokens.issue(
            namespace=namespace,
            policies=policies,
            ttl=ttl,
            max_ttl=max_ttl,
            renewable=renewable,
            denied=denied,
        ).id

    def wrap(self, data: dict[str, Any], *, ttl: int = 300) -> str:
        """Return a single-use token that unwraps to `data`."""
        return self._tokens.wrap(data, ttl)

    def wrap_secret_id(self, secret_id: str) -> str:
        """Add a secret id to the role, and return what unwraps to it."""
        self.auth.secret_ids.add(secret_id)
        accessor = f"accessor-{secret_id[-4:]}"
        data = {"secret_id": secret_id, "secret_id_accessor": accessor, "secret_id_ttl": 0}
        return self.wrap(data)

    def advance(self, seconds: float) -> None:
        """Let time pass on the server's clock, which stands still otherwise."""
        with self.lock:
            self._tokens.advance(seconds)

    # -- faults on demand

    def rate_limit(
        self, *, path: str = "/v1/", times: int | None = 1, retry_after: int | None = None
    ) -> None:
        """Refuse the next requests with 429."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        body = {"errors": ["request path: rate limit quota exceeded"]}
        self.inject(json_answer(429, body, headers), path=path, times=times)

    def lag(self, *, path: str = "/v1/", times: int | None = 1) -> None:
        """Refuse the next requests with 412, as a node that has not caught up."""
        body = {"errors": ["required index state not present"]}
        self.inject(json_answer(412, body), path=path, times=times)

    def redirect(self, origin: str, *, path: str = "/v1/", times: int | None = 1) -> None:
        """Send the next requests to another origin with 307, as a standby does."""

        def elsewhere(request: Received) -> Answer:
            return json_answer(307, {"errors": []}, {"Location": origin + request.target})

        self.inject(elsewhere, path=path, times=times)

    # -- requests

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request as Vault does."""
        try:
            return self._dispatch(request, body)
        except _RefusalError as refusal:
            return refusal.answer

    def _dispatch(self, request: Received, body: bytes) -> Answer:
        path = request.path.removeprefix("/v1/").strip("/")
        if not request.path.startswith("/v1/"):
            raise _RefusalError(404)
        if path == "sys/health":
            return self._health(request)
        if self.leader is not None:
            return json_answer(307, {"errors": []}, {"Location": self.leader + request.target})
        if self.sealed:
            raise _RefusalError(503, "Vault is sealed")
        if ".." in path.split("/"):
            raise _RefusalError(400, "path cannot contain parent references")
        namespace = request.headers.get("x-vault-namespace", "").strip("/")
        if namespace and namespace not in self.namespaces:
            raise _RefusalError(403, "permission denied")
        call = _Call(request.method, path, request.query, _object(body))
        if path == "sys/wrapping/unwrap":
            return self._unwrap(call, request)
        if kind := self.auth.mounted(path):
            return self._log_in(call, kind, namespace, request)
        token = self._allowed(request, path, namespace)
        return self._route(call, token, namespace)

    def _route(self, call: _Call, token: Token, namespace: str) -> Answer:
        if handler := _OWN.get((call.method, call.path)):
            return handler(self, token)
        ui = "sys/internal/ui/mounts/"
        if call.path.startswith(ui) and call.method == "GET":
            return self._describe_mount(call.path.removeprefix(ui), token, namespace)
        if call.path.startswith(("sys/", "auth/")):
            raise _no_route(call.path)
        _, mount, rest = self._mount(call.path, namespace)
        relative = _Call(call.method, rest, call.query, call.body)
        return _version_1(mount, relative) if mount.version == 1 else _version_2(mount, relative)

    def _allowed(self, request: Received, path: str, namespace: str) -> Token:
        """Return the token of a request, or refuse in the one way that tells nothing."""
        token = self.tokens.get(_shown(request) or self.auto_auth or "")
        if token is None or not _within(namespace, token.namespace):
            raise _RefusalError(403, "permission denied")
        if path.startswith((*self.denied, *token.denied)):
            raise _RefusalError(403, "permission denied")
        return token

    def _mounts(self, namespace: str) -> dict[str, Mount]:
        return self.namespaces[namespace] if namespace else self.mounts

    def _mount(self, path: str, namespace: str) -> tuple[str, Mount, str]:
        """Return the mount that a path lies in, and the rest of the path."""
        mounts = self._mounts(namespace)
        for name in sorted(mounts, key=len, reverse=True):
            if f"{path}/".startswith(f"{name}/"):
                return name, mounts[name], path[len(name) + 1 :]
        raise _no_route(path)

    # -- system and auth

    def _health(self, request: Received) -> Answer:
        status = int(request.query.get("sealedcode", 503)) if self.sealed else 200
        if self.leader is not None and not self.sealed:
            status = int(request.query.get("standbycode", 429))
        standby = self.leader is not None
        state = {"initialized": True, "sealed": self.sealed, "standby": standby}
        return json_answer(status, {**state, "version": "1.18.0", "cluster_name": "fake"})

    def _describe_mount(self, path: str, token: Token, namespace: str) -> Answer:
        # A mount that is not there and one that is not allowed look the same.
        hidden = _RefusalError(
            403,
            "preflight capability check returned 403, please ensure client's policies grant "
            f'access to path "{path}/"',
        )
        try:
            name, mount, _ = self._mount(path, namespace)
        except _RefusalError:
            raise hidden from None
        # Any right to anything in the engine is enough.
        if f"{name}/".startswith((*self.denied, *token.denied)):
            raise hidden
        options = {"version": str(mount.version)} if mount.declared else None
        return _enveloped({"type": mount.kind, "path": f"{name}/", "options": options})

    def _lookup_self(self, token: Token) -> Answer:
        return _enveloped(token.describe())

    def _renew_self(self, token: Token) -> Answer:
        if not token.renewable:
            raise _RefusalError(400, "lease is not renewable")
        ttl = self._tokens.renew(token)
        warnings = ["TTL exceeded the effective max_ttl"] if ttl < token.ttl else None
        return _enveloped(None, auth=token.auth(ttl), warnings=warnings)

    def _revoke_self(self, token: Token) -> Answer:
        del self.tokens[token.id]
        return _EMPTY

    def _log_in(self, call: _Call, kind: str, namespace: str, request: Received) -> Answer:
        _only(call, _WRITES)
        if (stale := _shown(request)) and stale not in self.tokens:
            raise _RefusalError(500, "error performing token check: no namespace")
        if refused := self.auth.refusal(kind, call.body):
            raise _RefusalError(*refused)
        token = self._tokens.issue(
            namespace=namespace,
            policies=["default"],
            ttl=self.login_ttl,
            max_ttl=self.login_max_ttl,
            renewable=self.login_renewable,
            denied=self.login_denied,
        )
        return _enveloped(None, auth=token.auth(token.ttl))

    def _unwrap(self, call: _Call, request: Received) -> Answer:
        _only(call, _WRITES)
        wrapping = call.body.get("token")
        if wrapping is not None and _shown(request) not in self.tokens:
            raise _RefusalError(403, "permission denied")
        wrapped = self._tokens.wrapped.pop(wrapping or _shown(request), None)
        if wrapped is None:
            raise _RefusalError(400, "wrapping token is not valid or does not exist")
        return _enveloped(wrapped.data)


_OWN: dict[tuple[str, str], Callable[[FakeVault, Token], Answer]] = {
    ("GET", "auth/token/lookup-self"): FakeVault._lookup_self,
    ("POST", "auth/token/renew-self"): FakeVault._renew_self,
    ("PUT", "auth/token/renew-self"): FakeVault._renew_self,
    ("POST", "auth/token/revoke-self"): FakeVault._revoke_self,
    ("PUT", "auth/token/revoke-self"): FakeVault._revoke_self,
}
_EMPTY = Answer(204, headers={"Content-Type": "application/json"})


# -- the engines


def _engines() -> dict[str, Mount]:
    return {"secret": Mount(2), "kv": Mount(1)}


def _version_1(mount: Mount, call: _Call) -> Answer:
    if call.lists:
        return _listed(mount.values, call.path)
    if call.method == "GET" and call.path in mount.values:
        values = mount.values[call.path]
        return _enveloped(values, lease=int(values.get("ttl", _LEASE)))
    if call.method == "GET":
        raise _RefusalError(404)
    _only(call, (*_WRITES, "DELETE"))
    if call.method == "DELETE":
        mount.values.pop(call.path, None)
    elif not call.body:
        raise _RefusalError(400, "missing data fields")
    else:
        mount.values[call.path] = call.body
    return _EMPTY


def _version_2(mount: Mount, call: _Call) -> Answer:
    area, _, path = call.path.partition("/")
    if area not in _AREAS:
        return _enveloped(None, status=404, warnings=[_WRONG_VERSION])
    return _AREAS[area](mount, _Call(call.method, path, call.query, call.body))


def _data(mount: Mount, call: _Call) -> Answer:
    if call.method in _WRITES:
        return _write(mount, call)
    _only(call, ("GET", "DELETE"))
    if call.method == "GET":
        return _read(mount, call)
    secret = mount.secrets.get(call.path)
    if secret and not secret.versions[secret.current].gone:
        secret.versions[secret.current].deletion_time = _now()
    return _EMPTY


def _read(mount: Mount, call: _Call) -> Answer:
    secret, wanted = mount.secrets.get(call.path), call.query.get("version", "0")
    if not wanted.isdecimal():
        raise _RefusalError(400, 'error converting input for field "version"')
    version = secret and secret.versions.get(int(wanted) or secret.current)
    if not secret or not version:
        raise _RefusalError(404)
    data = {
        "data": None if version.gone else version.data,
        "metadata": secret.describe(version),
    }
    return _enveloped(data, status=404 if version.gone else 200)


def _write(mount: Mount, call: _Call) -> Answer:
    if not isinstance(call.body.get("data"), dict):
        raise _RefusalError(400, "no data provided")
    secret = mount.secrets.get(call.path, Secret())
    cas = call.body.get("options", {}).get("cas")
    if cas is None and secret.cas_required:
        raise _RefusalError(400, "check-and-set parameter required for this call")
    if cas not in (None, secret.current):
        raise _RefusalError(400, "check-and-set parameter did not match the current version")
    mount.secrets[call.path] = secret
    return _enveloped(secret.describe(secret.add(call.body["data"])))


def _change(change: Callable[[Version], None]) -> Callable[[Mount, _Call], Answer]:
    def handle(mount: Mount, call: _Call) -> Answer:
        _only(call, _WRITES)
        secret = mount.secrets.get(call.path, Secret())
        for number in call.versions():
            if number in secret.versions:
                change(secret.versions[number])
        return _EMPTY

    return handle


def _delete(version: Version) -> None:
    version.deletion_time = version.deletion_time or _now()


def _undelete(version: Version) -> None:
    version.deletion_time = ""


def _metadata(mount: Mount, call: _Call) -> Answer:
    if call.lists:
        return _listed(mount.secrets, call.path)
    _only(call, (*_WRITES, "GET", "DELETE"))
    if call.method == "DELETE":
        mount.secrets.pop(call.path, None)
        return _EMPTY
    if call.method == "GET":
        return _described(mount.secrets.get(call.path))
    secret = mount.secrets.setdefault(call.path, Secret())
    for name in ("max_versions", "cas_required", "custom_metadata"):
        setattr(secret, name, call.body.get(name, getattr(secret, name)))
    return _EMPTY


def _described(secret: Secret | None) -> Answer:
    if secret is None:
        raise _RefusalError(404)
    versions = {
        str(number): {
            "created_time": version.created_time,
            "deletion_time": version.deletion_time,
            "destroyed": version.destroyed,
        }
        for number, version in secret.versions.items()
    }
    about = {
        "versions": versions,
        "current_version": secret.current,
        "oldest_version": min(secret.versions, default=0),
        "max_versions": secret.max_versions,
        "cas_required": secret.cas_required,
        "custom_metadata": secret.custom_metadata,
    }
    return _enveloped(about)


_AREAS: dict[str, Callable[[Mount, _Call], Answer]] = {
    "data": _data,
    "metadata": _metadata,
    "delete": _change(_delete),
    "undelete": _change(_undelete),
    "destroy": _change(Version.destroy),
}


def _listed(paths: Iterable[str], folder: str) -> Answer:
    start = f"{folder}/" if folder else ""
    below = [path[len(start) :] for path in paths if path.startswith(start)]
    keys = sorted({first + slash for first, slash, _ in (path.partition("/") for path in below)})
    if not keys:
        raise _RefusalError(404)
    return _enveloped({"keys": keys})


# -- the wire


def _enveloped(
    data: object,
    *,
    status: int = 200,
    auth: object = None,
    lease: int = 0,
    warnings: list[str] | None = None,
) -> Answer:
    envelope = {
        "request_id": str(uuid.uuid4()),
        "lease_id": "",
        "renewable": False,
        "lease_duration": lease,
        "data": data,
        "wrap_info": None,
        "warnings": warnings,
        "auth": auth,
    }
    return json_answer(status, envelope)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body) if body else {}
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _RefusalError(400, "failed to parse JSON input")
    return value


def _only(call: _Call, methods: Iterable[str]) -> None:
    if call.method not in methods:
        raise _RefusalError(405, "unsupported operation")


def _no_route(path: str) -> _RefusalError:
    return _RefusalError(404, f'no handler for route "{path}". route entry not found.')


def _shown(request: Received) -> str:
    """Return the token of a request, empty when it has none."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return request.headers.get("x-vault-token", bearer if scheme.lower() == "bearer" else "")


def _within(namespace: str, home: str) -> bool:
    """Tell whether a namespace is the token's own or lies below it."""
    return not home or f"{namespace}/".startswith(f"{home}/")
