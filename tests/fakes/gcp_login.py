"""Give access tokens as Google does: for signed assertions, refresh and federated tokens, machines.

Rule: an assertion is believed only if its signature, its times and its claims are right. Metadata
is told only to whoever asks with `Metadata-Flavor: Google`.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fakes.http import Answer, Received, json_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
POOL = (
    "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool"
    "/providers/provider"
)
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
SUBJECT_TYPE = "urn:ietf:params:oauth:token-type:jwt"

_AUDIENCE = "https://oauth2.googleapis.com/token"
_ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_FORM = "application/x-www-form-urlencoded"
_HOUR = 3600
_SKEW = 300


@cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    """Return the key of that name, made once in a run since that takes its time."""
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Account:
    """A service account with one key.

    Attributes:
        email: Its name.
        project: The project that it belongs to.
        key: Its private key.
        key_id: How the key is called.
    """

    email: str
    project: str
    key: rsa.RSAPrivateKey
    key_id: str = field(default_factory=lambda: secrets.token_hex(20))

    def key_file(self, token_uri: str) -> dict[str, str]:
        """Return the JSON file with which a program logs in."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": self.key_id,
            "private_key": pem.decode(),
            "client_email": self.email,
            "client_id": "100000000000000000000",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }


@dataclass(frozen=True)
class Issued:
    """An access token: whose it is, when it ends, and what for."""

    email: str
    ends: float
    scopes: tuple[str, ...] = (SCOPE,)


class _RefusalError(Exception):
    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__()
        self.answer = json_answer(status, {"error": error, "error_description": description})


class TokenService:
    """Google's token endpoints and the metadata server of a machine.

    Attributes:
        accounts: The service accounts, by email; delete one to make its key worthless.
        users: Refresh tokens of people who logged in with gcloud, and their emails.
        client: Id and secret of the application with which they did.
        subjects: Tokens of another provider that the identity pool takes, and who they stand for.
        impersonators: Who may get tokens for an account, by the account's email.
        machine: The account of the machine whose metadata this is, None for one without.
        tokens: The access tokens, by their text.
        lifetime: Seconds for which tokens are good.
    """

    def __init__(self, project: str) -> None:
        self.project = project
        self.accounts: dict[str, Account] = {}
        self.users: dict[str, str] = {}
        self.client = ("client-id", "client-secret")
        self.subjects: dict[str, str] = {}
        self.impersonators: dict[str, set[str]] = {}
        self.machine: str | None = None
        self.tokens: dict[str, Issued] = {}
        self.lifetime = _HOUR

    def issue(self, email: str, scopes: tuple[str, ...] = (SCOPE,)) -> str:
        """Make an access token."""
        token = f"ya29.{secrets.token_urlsafe(32)}"
        self.tokens[token] = Issued(email, time.time() + self.lifetime, scopes)
        return token

    def holder(self, request: Received) -> Issued | None:
        """Return whose token a request carries, None when it is not good."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        issued = self.tokens.get(token) if kind == "Bearer" else None
        return issued if issued is not None and time.time() < issued.ends else None

    # -- the token endpoints

    def token(self, request: Received, body: bytes) -> Answer:
        """Answer `oauth2.googleapis.com/token`."""
        return _answered(self._grant, request, body)

    def exchange(self, request: Received, body: bytes) -> Answer:
        """Answer `sts.googleapis.com/v1/token` (RFC 8693)."""
        return _answered(self._exchange, request, body)

    def _grant(self, form: Mapping[str, str]) -> Answer:
        if form.get("grant_type") == _ASSERTION:
            return self._bearer(*self._believe(form.get("assertion", "")))
        if form.get("grant_type") == "refresh_token":
            return self._bearer(self._recognize(form), (SCOPE,))
        raise _RefusalError("unsupported_grant_type", "Invalid grant_type")

    def _exchange(self, form: Mapping[str, str]) -> Answer:
        if form.get("grant_type") != EXCHANGE:
            raise _RefusalError("unsupported_grant_type", "Invalid grant_type")
        if form.get("audience") != POOL:
            raise _RefusalError("invalid_target", "The target service is not known")
        if form.get("requested_token_type") != _ACCESS_TOKEN:
            raise _RefusalError("invalid_request", "Invalid requested_token_type")
        email = self.subjects.get(form.get("subject_token", ""))
        if email is None or form.get("subject_token_type") != SUBJECT_TYPE:
            raise _RefusalError("invalid_grant", "The credential could not be verified")
        scopes = tuple(form.get("scope", "").split())
        return self._bearer(email, scopes, {"issued_token_type": _ACCESS_TOKEN})

    def impersonate(self, request: Received, body: bytes, email: str) -> Answer:
        """Answer `generateAccessToken` of the IAM Service Account Credentials API."""
        holder = self.holder(request)
        if holder is None:
            return error(401, "UNAUTHENTICATED", "Request had invalid credentials.")
        if holder.email not in self.impersonators.get(email, ()):
            message = "Permission 'iam.serviceAccounts.getAccessToken' denied"
            return error(403, "PERMISSION_DENIED", message)
        wish = json.loads(body)
        if not wish.get("scope"):
            return error(400, "INVALID_ARGUMENT", "Scope required")
        ends = datetime.now(UTC) + timedelta(seconds=int(wish["lifetime"].rstrip("s")))
        return json_answer(
            200,
            {
                "accessToken": self.issue(email, tuple(wish["scope"])),
                "expireTime": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        )

    def _bearer(
        self, email: str, scopes: tuple[str, ...], more: Mapping[str, str] | None = None
    ) -> Answer:
        return json_answer(
            200,
            {
                "access_token": self.issue(email, scopes),
                "expires_in": self.lifetime,
                "token_type": "Bearer",
                **(more or {}),
            },
        )

    def _believe(self, assertion: str) -> tuple[str, tuple[str, ...]]:
        """Return who signed an assertion, and the scopes it asks for."""
        try:
            signed, _, signature = assertion.rpartition(".")
            head, claims = (json.loads(_decoded(part)) for part in signed.split("."))
            account = self.accounts.get(claims["iss"])
        except (ValueError, KeyError):
            raise _RefusalError("invalid_grant", "Bad Request") from None
        if account is None:
            raise _RefusalError("invalid_grant", "Invalid grant: account not found")
        if head != {"typ": "JWT", "alg": "RS256", "kid": account.key_id}:
            raise _RefusalError("invalid_grant", "Invalid JWT Signature.")
        try:
            account.key.public_key().verify(
                _decoded(signature), signed.encode(), padding.PKCS1v15(), SHA256()
            )
        except InvalidSignature:
            raise _RefusalError("invalid_grant", "Invalid JWT Signature.") from None
        return account.email, _checked(claims)

    def _recognize(self, form: Mapping[str, str]) -> str:
        """Return who logged in with gcloud."""
        if (form.get("client_id"), form.get("client_secret")) != self.client:
            raise _RefusalError("invalid_client", "The OAuth client was not found.", 401)
        email = self.users.get(form.get("refresh_token", ""))
        if email is None:
            raise _RefusalError("invalid_grant", "Token has been expired or revoked.")
        return email

    # -- the metadata server

    def metadata(self, request: Received) -> Answer:
        """Answer `metadata.google.internal`."""
        flavour = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
        if request.headers.get("metadata-flavor") != "Google":
            return text_answer(403, "Missing Metadata-Flavor:Google header.", flavour)
        if "x-forwarded-for" in request.headers:
            return text_answer(403, "Forwarded requests are refused.", flavour)
        path = request.path.removeprefix("/computeMetadata/v1/")
        if path == "/":
            return text_answer(200, "computeMetadata/\n", flavour)
        if path == "project/project-id":
            return text_answer(200, self.project, flavour)
        found = self._of_machine(path, request.query)
        if found is None:
            return text_answer(404, "Not Found", flavour)
        return json_answer(200, found, flavour)

    def _of_machine(self, path: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        rest = path.removeprefix("instance/service-accounts/")
        if self.machine is None or rest == path:
            return None
        if rest == "default/" and query.get("recursive") == "true":
            return {"aliases": ["default"], "email": self.machine, "scopes": [SCOPE]}
        if rest == "default/token":
            token = self.issue(self.machine)
            return {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}
        return None


def error(
    code: int,
    status: str,
    message: str,
    reason: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return an error in the form of Google's APIs."""
    said: dict[str, Any] = {"code": code, "message": message, "status": status}
    if reason is not None:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        said["details"] = [{"@type": kind, "reason": reason, "domain": "googleapis.com"}]
    return json_answer(code, {"error": said}, headers)


def _answered(
    service: Callable[[Mapping[str, str]], Answer], request: Received, body: bytes
) -> Answer:
    try:
        return service(_form(request, body))
    except _RefusalError as refusal:
        return refusal.answer


def _form(request: Received, body: bytes) -> dict[str, str]:
    if request.method != "POST" or request.headers.get("content-type") != _FORM:
        raise _RefusalError("invalid_request", "Bad Request")
    return dict(parse_qsl(body.decode()))


def _checked(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the scopes of an assertion whose other claims are right."""
    now = time.time()
    if claims.get("aud") != _AUDIENCE:
        raise _RefusalError("invalid_grant", "Invalid JWT: Failed audience check.")
    begins, ends = claims["iat"], claims["exp"]
    if not (begins - _SKEW < now < ends and ends - begins <= _HOUR):
        raise _RefusalError("invalid_grant", "Invalid JWT: Token must be a short-lived token.")
    if not claims.get("scope"):
        raise _RefusalError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return tuple(claims["scope"].split())


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
