"""Answer like Azure: Key Vault's secrets, the token endpoint of Entra, and a machine's identity.

Rule: a request that Azure refuses is refused here, with its status, error code and challenge.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import select
import socket
import socketserver
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

import jwt
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.fakes.http import Answer, FakeServer, Received, json_answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from pathlib import Path

_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_API_VERSION = re.compile(r"7\.\d|20\d\d-\d\d-\d\d(-preview)?")
_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
_VERSION = re.compile(r"[0-9a-f]{32}")
_SECRETS = re.compile(r"/secrets/([^/]*)(?:/([^/]*))?/?")
_CLOUD = "vault.azure.net"
LOGIN = "login.microsoftonline.com"


class _RefusalError(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def vault_error(
    status: int,
    code: str,
    message: str,
    inner: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Make an error of Key Vault."""
    error: dict[str, Any] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    return json_answer(status, {"error": error}, headers)


def login_error(status: int, error: str, code: int, message: str) -> Answer:
    """Make an error of Entra."""
    body = {
        "error": error,
        "error_description": f"AADSTS{code}: {message} Trace ID: {uuid.uuid4()}",
        "error_codes": [code],
        "timestamp": time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()),
        "correlation_id": str(uuid.uuid4()),
        "error_uri": f"https://{LOGIN}/error?code={code}",
    }
    return json_answer(status, body)


@dataclass
class Version:
    """One version of a secret."""

    value: str
    enabled: bool = True
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    created: int = field(default_factory=lambda: int(time.time()))


@dataclass(frozen=True)
class _Grant:
    """What a token is good for."""

    audience: str
    ends: float


class FakeAzure(FakeServer):
    """A vault and the login server of its tenant, over TLS.

    Besides its loopback address it answers for the public names, to which `Tunnel` leads.

    Args:
        client_secret: That of the application; made up if it is empty.
        token_stem: What every token ends in before its number.

    Attributes:
        tenant: Id of the only tenant.
        client_id: Id of the only application, which is also the machine's identity.
        federated_token: What a cluster's service account shows; None for no such trust.
        token_lifetime: Seconds for which the next tokens are good.
        resource: What the challenge names; None for the vault's own domain.
        forbidden: Names of secrets that the application may not get, and the inner error code.
        vault: The secrets, by lower-case name, the oldest version first.
    """

    def __init__(self, *, client_secret: str = "", token_stem: str = "signature") -> None:
        super().__init__(tls=True)
        self.tenant = str(uuid.uuid4())
        self.client_id = str(uuid.uuid4())
        self.client_secret = client_secret or secrets.token_urlsafe(30)
        self.federated_token: str | None = None
        self.token_lifetime = 3599
        self.resource: str | None = None
        self.forbidden: dict[str, str] = {}
        self.vault: dict[str, list[Version]] = {}
        self._stem = token_stem
        self._grants: dict[str, _Grant] = {}
        self._certificates: list[x509.Certificate] = []

    def _tls_context(self) -> ssl.SSLContext:
        context = super()._tls_context()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        names = ("127.0.0.1", "localhost", f"*.{_CLOUD}", LOGIN)
        authority.issue_cert(*names).configure_cert(context)
        return context

    # -- what there is

    def put(self, name: str, value: str, *, enabled: bool = True) -> Version:
        """Add a version of a secret, which becomes the current one."""
        version = Version(value, enabled)
        with self.lock:
            self.vault.setdefault(name.lower(), []).append(version)
        return version

    def trust(self, certificate: Path) -> None:
        """Accept a certificate, given as a PEM file, as one of the application."""
        self._certificates.append(x509.load_pem_x509_certificate(certificate.read_bytes()))

    def issue_token(self, audience: str = f"https://{_CLOUD}") -> str:
        """Return a new access token; only the vault looks into it."""
        claims = {"aud": audience, "appid": self.client_id, "tid": self.tenant}
        parts = (json.dumps(part).encode() for part in ({"typ": "JWT", "alg": "RS256"}, claims))
        head = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        with self.lock:
            token = f"{head}.{self._stem}-{len(self._grants)}"
            self._grants[token] = _Grant(audience, time.monotonic() + self.token_lifetime)
        return token

    def revoke_tokens(self) -> None:
        """Make every token that was issued expire."""
        with self.lock:
            for token, grant in self._grants.items():
                self._grants[token] = _Grant(grant.audience, 0.0)

    # -- answers

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request."""
        host = request.headers["host"]
        try:
            if request.path.startswith("/secrets") and host != LOGIN:
                return self._vault(request, body)
            if host.endswith(f".{_CLOUD}"):
                return vault_error(404, "NotFound", "There is no such resource.")
            if request.path == "/common/discovery/instance":
                return self._instance(request)
            return self._login(request, body)
        except _RefusalError as refusal:
            return refusal.answer

    def _instance(self, request: Received) -> Answer:
        endpoint = request.query["authorization_endpoint"].removesuffix("/oauth2/v2.0/authorize")
        if not endpoint.startswith(f"https://{LOGIN}/"):
            return login_error(400, "invalid_instance", 50049, "Unknown or invalid instance.")
        discovery = f"{endpoint}/v2.0/.well-known/openid-configuration"
        return json_answer(200, {"tenant_discovery_endpoint": discovery, "api-version": "1.1"})

    def _login(self, request: Received, body: bytes) -> Answer:
        tenant, _, rest = request.path.strip("/").partition("/")
        if rest not in {"v2.0/.well-known/openid-configuration", "oauth2/v2.0/token"}:
            return Answer(404)
        if tenant != self.tenant:
            return login_error(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found.")
        origin = f"https://{request.headers['host']}"
        if rest.startswith("v2.0/"):
            document = {
                "issuer": f"{origin}/{tenant}/v2.0",
                "authorization_endpoint": f"{origin}/{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{origin}/{tenant}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            }
            return json_answer(200, document)
        if request.method != "POST":
            return login_error(405, "invalid_request", 900561, "The endpoint only accepts POST.")
        return self._token(dict(parse_qsl(body.decode())), f"{origin}/{tenant}/oauth2/v2.0/token")

    def _token(self, form: Mapping[str, str], endpoint: str) -> Answer:
        if form.get("grant_type") != "client_credentials":
            return login_error(400, "unsupported_grant_type", 70003, "The grant is not supported.")
        if form.get("client_id") != self.client_id:
            message = "Application was not found in the directory."
            return login_error(400, "unauthorized_client", 700016, message)
        self._authenticate(form, endpoint)
        scope = form.get("scope", "")
        if not scope.endswith("/.default") or not scope.startswith("https://"):
            return login_error(400, "invalid_scope", 70011, "The scope is not valid.")
        body = {
            "token_type": "Bearer",
            "expires_in": self.token_lifetime,
            "ext_expires_in": self.token_lifetime,
            "access_token": self.issue_token(scope.removesuffix("/.default")),
        }
        return json_answer(200, body)

    def _authenticate(self, form: Mapping[str, str], endpoint: str) -> None:
        """Check the client's secret, or what it shows instead of one."""
        if form.get("client_assertion_type") == _JWT:
            assertion = form.get("client_assertion", "")
            if assertion == self.federated_token or self._is_signed(assertion, endpoint):
                return
            message = "Client assertion failed signature validation."
            raise _RefusalError(login_error(401, "invalid_client", 700027, message))
        if "client_secret" not in form:
            message = "The request body must contain 'client_assertion' or 'client_secret'."
            raise _RefusalError(login_error(401, "invalid_client", 7000218, message))
        if not secrets.compare_digest(form["client_secret"].encode(), self.client_secret.encode()):
            message = "Invalid client secret provided."
            raise _RefusalError(login_error(401, "invalid_client", 7000215, message))

    def _is_signed(self, assertion: str, endpoint: str) -> bool:
        """Tell whether one of the application's certificates signed a JWT for this endpoint."""
        try:
            mark = jwt.get_unverified_header(assertion).get("x5t", "")
            for certificate in self._certificates:
                digest = certificate.fingerprint(hashes.SHA1())  # noqa: S303 - as Entra names it
                if base64.urlsafe_b64encode(digest).decode().rstrip("=") == mark.rstrip("="):
                    key: Any = certificate.public_key()
                    claims = jwt.decode(assertion, key, ["RS256", "PS256"], audience=endpoint)
                    return bool(claims["iss"] == claims["sub"] == self.client_id)
        except jwt.InvalidTokenError:
            return False
        return False

    def _vault(self, request: Received, body: bytes) -> Answer:
        self._authorize(request)
        if not _API_VERSION.fullmatch(request.query.get("api-version", "")):
            return vault_error(400, "BadParameter", "api-version must be specified")
        match = _SECRETS.fullmatch(request.path)
        if match is None or request.method not in {"GET", "PUT"}:
            return vault_error(405, "MethodNotAllowed", "The method is not allowed.")
        name, version = match[1], match[2] or ""
        if not _NAME.fullmatch(name):
            message = f"The request URI contains an invalid name: {name}"
            return vault_error(400, "BadParameter", message)
        if name.lower() in self.forbidden:
            message = f"Caller appid={self.client_id} may not do this on '{name}'."
            return vault_error(403, "Forbidden", message, self.forbidden[name.lower()])
        if request.method == "PUT":
            return self._bundle(request, name, self.put(name, json.loads(body)["value"]))
        return self._get(request, name, version)

    def _get(self, request: Received, name: str, version: str) -> Answer:
        if version and not _VERSION.fullmatch(version):
            message = f"The request URI contains an invalid version: {version}"
            return vault_error(400, "BadParameter", message)
        versions = self.vault.get(name.lower(), [])
        found = [each for each in versions if version in {"", each.id}]
        if not found:
            what = f"{name}/{version}" if version else name
            message = f"A secret with (name/id) {what} was not found in this key vault."
            return vault_error(404, "SecretNotFound", message)
        if not found[-1].enabled:
            message = "Operation get is not allowed on a disabled secret."
            return vault_error(403, "Forbidden", message, "SecretDisabled")
        return self._bundle(request, name, found[-1])

    def _bundle(self, request: Received, name: str, version: Version) -> Answer:
        attributes = {
            "enabled": version.enabled,
            "created": version.created,
            "updated": version.created,
            "recoveryLevel": "Recoverable+Purgeable",
        }
        place = f"https://{request.headers['host']}/secrets/{name}/{version.id}"
        return json_answer(200, {"value": version.value, "id": place, "attributes": attributes})

    def _authorize(self, request: Received) -> None:
        """Refuse whoever has no token for this vault, and say where there are some."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant = self._grants.get(token) if scheme.lower() == "bearer" else None
        if not token:
            fault = "AKV10000: Request is missing a Bearer or PoP token."
        elif grant is None:
            fault = "AKV10046: Unable to resolve the key used for signature validation."
        elif grant.ends <= time.monotonic():
            fault = "[TokenExpired] Error validating token: 'S2S12086'."
        elif grant.audience != self._resource(request) and grant.audience != f"https://{_CLOUD}":
            fault = f"AKV10022: Invalid audience. Expected {self._resource(request)}."
        else:
            return
        at = request.headers["host"] if self.host == request.headers["host"] else LOGIN
        resource = self.resource or self._resource(request)
        challenge = f'Bearer authorization="https://{at}/{self.tenant}", resource="{resource}"'
        headers = {"WWW-Authenticate": challenge}
        raise _RefusalError(vault_error(401, "Unauthorized", fault, headers=headers))

    def _resource(self, request: Received) -> str:
        """Return what tokens must be for: the cloud's vaults, or a private one by itself."""
        host = request.headers["host"]
        return f"https://{_CLOUD if host.endswith(f'.{_CLOUD}') else host}"


class FakeMachine(FakeServer):
    """The identity service of a virtual machine in Azure, which gives tokens to all on it.

    Args:
        azure: Who accepts these tokens.

    Attributes:
        assigned: Whether the machine has an identity at all.
    """

    def __init__(self, azure: FakeAzure) -> None:
        super().__init__()
        self.assigned = True
        self._azure = azure

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request."""
        query = request.query
        if request.method != "GET" or request.path != "/metadata/identity/oauth2/token":
            return Answer(404)
        if request.headers.get("metadata") != "true":
            # Keeps out requests that somebody was tricked into.
            return _machine_error("Required metadata header not specified")
        if query.get("api-version") != "2018-02-01" or not query.get("resource"):
            return _machine_error("Required query variable 'resource' is missing")
        if not self.assigned or query.get("client_id", self._azure.client_id) != (
            self._azure.client_id
        ):
            return _machine_error("Identity not found")
        body_of_token = {
            "access_token": self._azure.issue_token(query["resource"]),
            "client_id": self._azure.client_id,
            "expires_in": str(self._azure.token_lifetime),
            "expires_on": str(int(time.time()) + self._azure.token_lifetime),
            "resource": query["resource"],
            "token_type": "Bearer",
        }
        return json_answer(200, body_of_token)


def _machine_error(message: str) -> Answer:
    return json_answer(400, {"error": "invalid_request", "error_description": message})


class _TunnelServer(socketserver.ThreadingTCPServer):
    daemon_threads = True  # a connection that is kept ends with the server behind it


class Tunnel:
    """A proxy whose every ``CONNECT`` leads to one port, so that public names lead there.

    Args:
        port: Where connections lead.

    Attributes:
        names: The names that were asked for, in order.
    """

    def __init__(self, port: int) -> None:
        self.names: list[str] = []
        self._port = port
        self._server = _TunnelServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """What to set ``HTTPS_PROXY`` to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        tunnel = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                method, name, _ = self.rfile.readline().decode().split(" ")
                while self.rfile.readline().strip():
                    pass  # headers
                tunnel.names.append(f"{method} {name}")
                with socket.create_connection(("127.0.0.1", tunnel._port)) as server:
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    _relay(self.connection, server)

        return Handler


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on in both directions until one side ends."""
    to = {one: other, other: one}
    with contextlib.suppress(OSError):
        while True:
            for ready in select.select(list(to), [], [])[0]:
                if not (piece := ready.recv(1 << 16)):
                    return
                to[ready].sendall(piece)
