"""Answer like Google Secret Manager, with the services around it that let a program in.

Rule: a request that Google refuses is refused here, with its status and its JSON. Who has rights
on single secrets only is not told which other ones there are.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.gcp_login import SCOPE, Account, Issued, TokenService, error, private_key
from tests.fakes.http import Answer, FakeServer, Received, json_answer, text_answer

if TYPE_CHECKING:
    from pathlib import Path

_ACCESS = re.compile(
    r"/v1/(projects/([^/]+)(?:/locations/[^/]+)?/secrets/([^/]+))/versions/([^/]+):access"
)
_LOCATIONS = re.compile(r"/v1/projects/([^/]+)/locations")
_IMPERSONATE = re.compile(r"/v1/projects/-/serviceAccounts/([^/]+):generateAccessToken")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_MOST_BYTES = 65536


@dataclass
class Version:
    """One version of a secret; only one that is ENABLED is given out."""

    payload: bytes
    state: str = "ENABLED"


@dataclass
class Secret:
    """A secret: its versions from number 1 on, other names for them, who may read it."""

    versions: list[Version] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)


class FakeGcp(FakeServer):
    """Secret Manager, the token services and the metadata server, all at one origin.

    Args:
        project: The project's id.

    Attributes:
        project: The project's id.
        number: Its number, which is what answers name.
        tokens: The token services.
        secrets: The secrets, by their full name without a version.
        readers: Emails that may read every secret of the project.
        reason: Why the whole API refuses, for example `SERVICE_DISABLED`; None when it works.
        checksum: Checksum to send instead of the right one.
    """

    def __init__(self, project: str = "acme-flows") -> None:
        super().__init__()
        self.project = project
        self.number = "123456789012"
        self.tokens = TokenService(project)
        self.secrets: dict[str, Secret] = {}
        self.readers: set[str] = set()
        self.reason: str | None = None
        self.checksum: str | None = None

    # -- state

    def add_account(self, name: str, *, reader: bool = True) -> Account:
        """Make a service account, which may read all secrets of the project or none."""
        email = f"{name}@{self.project}.iam.gserviceaccount.com"
        account = Account(email, self.project, private_key(name))
        with self.lock:
            self.tokens.accounts[email] = account
            if reader:
                self.readers.add(email)
        return account

    def write_key(self, path: Path, account: Account) -> Path:
        """Write the key file of an account."""
        path.write_text(json.dumps(account.key_file(f"{self.url}/token")))
        return path

    def add(self, name: str, payload: str | bytes, *, location: str = "") -> Secret:
        """Add a version to a secret, as somebody else would."""
        region = f"/locations/{location}" if location else ""
        content = payload.encode() if isinstance(payload, str) else payload
        if not 0 < len(content) <= _MOST_BYTES:
            raise ValueError("Secret Manager takes no such payload")
        with self.lock:
            full = f"projects/{self.project}{region}/secrets/{name}"
            secret = self.secrets.setdefault(full, Secret())
            secret.versions.append(Version(content))
        return secret

    def accesses(self) -> int:
        """Return how often a secret was asked for."""
        return sum(_ACCESS.fullmatch(request.path) is not None for request in self.requests)

    # -- answers

    def answer(self, request: Received, body: bytes) -> Answer:
        """Let the service answer whose path it is."""
        path = request.path
        if path == "/token":
            return self.tokens.token(request, body)
        if path == "/v1/token":
            return self.tokens.exchange(request, body)
        if path in {"", "/"} or path.startswith("/computeMetadata/v1/"):
            return self.tokens.metadata(request)
        if (match := _IMPERSONATE.fullmatch(path)) and request.method == "POST":
            return self.tokens.impersonate(request, body, match[1])
        if request.method == "GET" and (_ACCESS.fullmatch(path) or _LOCATIONS.fullmatch(path)):
            return self._manager(request)
        return text_answer(404, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>")

    def _manager(self, request: Received) -> Answer:
        holder = self.tokens.holder(request)
        if holder is None:
            return _unauthenticated()
        if self.reason is not None:
            return error(403, "PERMISSION_DENIED", "The API refuses.", self.reason)
        if SCOPE not in holder.scopes:
            message = "Request had insufficient authentication scopes."
            reason = "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
            return error(403, "PERMISSION_DENIED", message, reason)
        if match := _ACCESS.fullmatch(request.path):
            return self._access(holder, match)
        if holder.email not in self.readers:
            return _denied("locations.list", request.path)
        return json_answer(200, {"locations": [{"locationId": "europe-west1"}]})

    def _access(self, holder: Issued, match: re.Match[str]) -> Answer:
        full, project, name, version = match.groups()
        if not _NAME.fullmatch(name):
            return error(400, "INVALID_ARGUMENT", "Invalid resource field value in the request.")
        full = full.replace(f"projects/{self.number}/", f"projects/{self.project}/")
        secret = self.secrets.get(full)
        mine = project in {self.project, self.number} and holder.email in self.readers
        if not mine and (secret is None or holder.email not in secret.readers):
            return _denied("versions.access", f"{full}/versions/{version}")
        if secret is None:
            message = f"Secret [{full}] not found or has no versions."
            return error(404, "NOT_FOUND", message)
        return self._version(full, secret, version)

    def _version(self, full: str, secret: Secret, wanted: str) -> Answer:
        if wanted == "latest":
            number = len(secret.versions)
        else:
            number = secret.aliases.get(wanted) or (int(wanted) if wanted.isdigit() else 0)
        name = f"{full.replace(self.project, self.number, 1)}/versions/{number}"
        if not 0 < number <= len(secret.versions):
            return error(404, "NOT_FOUND", f"Secret Version [{name}] not found.")
        version = secret.versions[number - 1]
        if version.state != "ENABLED":
            message = f"Secret Version [{name}] is in {version.state} state."
            return error(400, "FAILED_PRECONDITION", message)
        checksum = self.checksum or str(castagnoli(version.payload))
        data = base64.b64encode(version.payload).decode()
        return json_answer(200, {"name": name, "payload": {"data": data, "dataCrc32c": checksum}})


def castagnoli(data: bytes) -> int:
    """Return the CRC-32C of bytes, by long division from the first bit on."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= _reversed(byte, 8) << 24
        for _ in range(8):
            rest = (rest << 1 ^ (0x1EDC6F41 if rest & 0x80000000 else 0)) & 0xFFFFFFFF
    return _reversed(rest, 32) ^ 0xFFFFFFFF


def _reversed(number: int, bits: int) -> int:
    return int(f"{number:0{bits}b}"[::-1], 2)


def _unauthenticated() -> Answer:
    message = "Request had invalid authentication credentials. Expected OAuth 2 access token."
    headers = {
        "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
    }
    return error(401, "UNAUTHENTICATED", message, "ACCESS_TOKEN_EXPIRED", headers)


def _denied(permission: str, resource: str) -> Answer:
    message = (
        f"Permission 'secretmanager.{permission}' denied for resource '{resource}' "
        "(or it may not exist)."
    )
    return error(403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED")
