"""Answer like the API server of Kubernetes when secrets are read.

Rule: who one is comes first (401), then what one may do (403, whatever there is), then what there
is (404). Errors are objects of the kind Status.
"""

from __future__ import annotations

import base64
import itertools
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.fakes.http import Answer, FakeServer, Received, json_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET = re.compile(r"/api/v1/namespaces/([^/]+)/secrets/([^/]+)")
_PUBLIC = frozenset({"/healthz", "/livez", "/readyz"})
_ANONYMOUS = "system:anonymous"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_KEY = re.compile("[-._a-zA-Z0-9]+")
_MOST_BYTES = 1024 * 1024


class FakeKubernetes(FakeServer):
    """An API server with secrets, service accounts and what these may read. It speaks TLS only.

    Attributes:
        secrets: The secrets as the server sends them, by namespace and name.
        accounts: Who has which token, by token; delete one to end it.
        roles: Which account may get which secret: account, namespace, and name or `*`.
    """

    def __init__(self) -> None:
        super().__init__(tls=True)
        self.secrets: dict[tuple[str, str], dict[str, Any]] = {}
        self.accounts: dict[str, str] = {}
        self.roles: set[tuple[str, str, str]] = set()
        self._versions = itertools.count(4711)

    # -- state

    def add_account(self, namespace: str, name: str, *, token: str) -> str:
        """Make a service account, and return what the server calls it."""
        user = f"system:serviceaccount:{namespace}:{name}"
        with self.lock:
            self.accounts[token] = user
        return user

    def allow(self, user: str, namespace: str, name: str = "*") -> None:
        """Bind a role that may get one secret, or all of a namespace."""
        with self.lock:
            self.roles.add((user, namespace, name))

    def put(
        self, namespace: str, name: str, data: Mapping[str, str | bytes], kind: str = "Opaque"
    ) -> None:
        """Store a secret, as somebody else would."""
        raw = {
            key: value.encode() if isinstance(value, str) else value for key, value in data.items()
        }
        if not (_NAME.fullmatch(name) and all(map(_KEY.fullmatch, raw))):
            raise ValueError("Kubernetes takes no such name or key")
        if sum(map(len, raw.values())) > _MOST_BYTES:
            raise ValueError("Kubernetes takes no secret of more than 1 MiB")
        secret: dict[str, Any] = {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "resourceVersion": str(next(self._versions)),
                "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "data": {key: base64.b64encode(value).decode() for key, value in raw.items()},
            "type": kind,
        }
        if not raw:
            del secret["data"]
        with self.lock:
            self.secrets[namespace, name] = secret

    def throttle(self, *, times: int | None = 1) -> None:
        """Have too much to do for the next requests."""
        headers = {"Retry-After": "1"}
        words = "Too many requests, please try again later.\n"
        self.inject(text_answer(429, words, headers), times=times)

    # -- answers

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request."""
        user = self._user(request)
        if user is None:
            return status(401, "Unauthorized", "Unauthorized")
        if request.path in _PUBLIC:
            return text_answer(200, "ok")
        match = _SECRET.fullmatch(request.path)
        if match is None:
            message = f'forbidden: User "{user}" cannot get path "{request.path}"'
            return status(403, "Forbidden", message, {})
        namespace, name = match.groups()
        verb = "get" if request.method == "GET" else "update"
        details = {"name": name, "kind": "secrets"}
        allowed = {(user, namespace, name), (user, namespace, "*")}
        if verb != "get" or self.roles.isdisjoint(allowed):
            message = (
                f'secrets "{name}" is forbidden: User "{user}" cannot {verb} resource "secrets" '
                f'in API group "" in the namespace "{namespace}"'
            )
            return status(403, "Forbidden", message, details)
        secret = self.secrets.get((namespace, name))
        if secret is None:
            return status(404, "NotFound", f'secrets "{name}" not found', details)
        return json_answer(200, secret)

    def _user(self, request: Received) -> str | None:
        """Return who asks, None for a token that is nobody's."""
        header = request.headers.get("authorization")
        if header is None:
            return _ANONYMOUS
        kind, _, token = header.partition(" ")
        return self.accounts.get(token) if kind == "Bearer" else None


def status(
    code: int, reason: str, message: str, details: Mapping[str, str] | None = None
) -> Answer:
    """Return an error as the API server spells it."""
    said = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
    }
    more = {} if details is None else {"details": details}
    return json_answer(code, {**said, **more, "code": code})
