"""OpenStack's identity service (v3) with an object store beside it that takes its tokens only.

It refuses what Keystone refuses: a body that is no JSON or names no method, a wrong or half-named
user, domain, secret or project, and an application credential with a scope. The object store knows
objects, manifests with a heartbeat, conditions, digests and pages as Swift does; what it does not
know is 501.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from tests.fakes.http import Answer, FakeServer, Received, json_answer, text_answer

USER, USER_ID, PASSWORD = "ci", "u-0123", "keystone password of this test"
DOMAIN, DOMAIN_ID = "Default", "default"
PROJECT, PROJECT_ID = "flows", "p-4567"
CREDENTIAL, CREDENTIAL_ID, CREDENTIAL_SECRET = "robot", "c-89ab", "credential secret of this test"
TOKENS = "/v3/auth/tokens"
_SCOPED_BY_ITSELF = "application_credential"
_MOST_SEGMENTS = 1000
_LONGEST_NAME = 1024


@dataclass
class Stored:
    """One object."""

    data: bytes
    headers: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    @property
    def etag(self) -> str:
        """The MD5, as Swift tells it: of the bytes, or of the ETags of the segments."""
        if self.tags:
            return f'"{_md5("".join(self.tags).encode())}"'
        return _md5(self.data)


class FakeKeystone(FakeServer):
    """Gives tokens and keeps objects.

    Attributes:
        given: All tokens, in the order in which they were given.
        good: Those that the object store takes now.
        containers: Objects by name, by container.
        closed: Names of containers that nobody may use.
        lifetime: Seconds that a token is said to live.
        endpoints: What the catalog says of the object store; by default one public endpoint.
    """

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.given: list[str] = []
        self.good: set[str] = set()
        self.containers: dict[str, dict[str, Stored]] = {"c": {}, "c_segments": {}}
        self.closed: set[str] = set()
        self.lifetime = 3600
        self.endpoints: list[dict[str, Any]] | None = None
        self._numbers = itertools.count(1)

    @property
    def auth_url(self) -> str:
        """Where tokens are given, as ``OS_AUTH_URL`` has it."""
        return f"{self.url}/v3"

    @property
    def storage_url(self) -> str:
        """Where the project's containers are."""
        return f"{self.url}/v1/AUTH_{PROJECT_ID}"

    def endpoint(self, **changes: str) -> dict[str, Any]:
        """Return an entry of the catalog."""
        plain = {"interface": "public", "region": "north", "region_id": "north"}
        return {"id": "e-1", "url": self.storage_url, **plain, **changes}

    def take_back(self) -> None:
        """Take no token any more that was given until now."""
        with self.lock:
            self.good.clear()

    def answer(self, request: Received, body: bytes) -> Answer:
        """Give a token, or do with objects what the method says."""
        if request.path in {"/v3", "/v3/"} and request.method == "GET":
            links = [{"rel": "self", "href": f"{self.auth_url}/"}]
            return json_answer(
                200, {"version": {"id": "v3.14", "status": "stable", "links": links}}
            )
        if request.path == TOKENS:
            return self._token(request, body)
        account = f"/v1/AUTH_{PROJECT_ID}/"
        if not request.path.startswith(account):
            return text_answer(404, "Not Found")
        # A name may begin with a slash, so the target is cut before it is decoded.
        target = request.target.partition("?")[0].removeprefix(account)
        container, _, name = map(unquote, target.partition("/"))
        refusal = self._refused(request, container)
        return refusal or self._object(request, body, self.containers[container], name)

    def _refused(self, request: Received, container: str) -> Answer | None:
        if request.headers.get("x-auth-token") not in self.good:
            return text_answer(401, "Unauthorized", {"Www-Authenticate": "Keystone uri=''"})
        if container in self.closed:
            return text_answer(403, "Forbidden")
        return None if container in self.containers else text_answer(404, "Not Found")

    # --- identity ---------------------------------------------------------------------------------

    def _token(self, request: Received, body: bytes) -> Answer:
        if request.method != "POST":
            return _refusal(405, "Method Not Allowed")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _refusal(415, "Unsupported Media Type")
        try:
            asked = json.loads(body)["auth"]
            identity = asked["identity"]
            [method] = identity["methods"]
            said = identity[method]
        except (ValueError, KeyError, TypeError):
            return _refusal(400, "Expecting to find auth in request body")
        if method == _SCOPED_BY_ITSELF and "scope" in asked:
            return _refusal(400, "application credentials cannot request a scope")
        if not _is_known(method, said, asked.get("scope")):
            return _refusal(401, "The request you have made requires authentication.")
        return self._given(method, scoped=method == _SCOPED_BY_ITSELF or "scope" in asked)

    def _given(self, method: str, *, scoped: bool) -> Answer:
        token = f"gAAAAA-token-{next(self._numbers)}"
        self.given.append(token)
        self.good.add(token)
        now = datetime.now(UTC)
        told: dict[str, Any] = {
            "methods": [method],
            "user": {"id": USER_ID, "name": USER, "domain": {"id": DOMAIN_ID, "name": DOMAIN}},
            "issued_at": _stamp(now),
            "expires_at": _stamp(now + timedelta(seconds=self.lifetime)),
            "audit_ids": ["a"],
        }
        if scoped:
            domain = {"id": DOMAIN_ID, "name": DOMAIN}
            told["project"] = {"id": PROJECT_ID, "name": PROJECT, "domain": domain}
            told["catalog"] = self._catalog()
        return json_answer(201, {"token": told}, {"X-Subject-Token": token})

    def _catalog(self) -> list[dict[str, Any]]:
        store = [self.endpoint()] if self.endpoints is None else self.endpoints
        identity = [self.endpoint(url=self.auth_url)]
        return [
            {"type": "identity", "name": "keystone", "id": "s-1", "endpoints": identity},
            {"type": "object-store", "name": "swift", "id": "s-2", "endpoints": store},
        ]

    # --- objects ----------------------------------------------------------------------------------

    def _object(
        self, request: Received, body: bytes, objects: dict[str, Stored], name: str
    ) -> Answer:
        manifest = request.query.get("multipart-manifest")
        if manifest not in {None, "put"}:
            return text_answer(501, "Not Implemented")
        if not name:
            return _listing(request, objects)
        if request.method == "PUT":
            put = _put if manifest is None else self._manifest
            return put(request, body, objects, name)
        return _read_or_delete(request, objects, name)

    def _manifest(
        self, request: Received, body: bytes, objects: dict[str, Stored], name: str
    ) -> Answer:
        if request.query.get("heartbeat") != "on":
            return text_answer(501, "Not Implemented")
        entries = json.loads(body)
        if len(entries) > _MOST_SEGMENTS:
            return text_answer(413, "Too many segments")
        found, problems = [], []
        for entry in entries:
            _, container, segment = entry["path"].split("/", 2)
            stored = self.containers.get(container, {}).get(segment)
            if stored is None:
                problems.append([entry["path"], "404 Not Found"])
            elif (stored.etag, len(stored.data)) != (entry["etag"], entry["size_bytes"]):
                problems.append([entry["path"], "Etag Mismatch"])
            else:
                found.append(stored)
        if problems:
            return _heartbeat("400 Bad Request", problems)
        tags = tuple(stored.etag for stored in found)
        data = b"".join(stored.data for stored in found)
        whole = Stored(data, {"X-Static-Large-Object": "True"}, tags)
        if request.headers.get("etag", "") not in {"", whole.etag.strip('"')}:
            return _heartbeat("422 Unprocessable Entity", [])
        if request.headers.get("if-none-match") == "*" and name in objects:
            return _heartbeat("412 Precondition Failed", [])
        objects[name] = whole
        return _heartbeat("201 Created", [], whole.etag)


def _read_or_delete(request: Received, objects: dict[str, Stored], name: str) -> Answer:
    found = objects.get(name)
    if found is None:
        return text_answer(404, "Not Found")
    if request.method == "DELETE":
        del objects[name]
        return Answer(204)
    headers = {"Etag": found.etag, "Last-Modified": "Sat, 21 Nov 2026 19:00:00 GMT"}
    return Answer(200, found.data, {**headers, **found.headers})


def _heartbeat(status: str, errors: list[list[str]], etag: str = "") -> Answer:
    """Return what comes after blanks when Swift has looked at all segments."""
    said = {"Response Status": status, "Response Body": "", "Errors": errors, "Etag": etag}
    kept = {"Content-Type": "application/json"}
    return Answer(202, b"  \r\n\r\n" + json.dumps(said).encode(), kept)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _put(request: Received, body: bytes, objects: dict[str, Stored], name: str) -> Answer:
    condition = request.headers.get("if-none-match")
    if condition not in {None, "*"} or len(name.encode()) > _LONGEST_NAME:
        return text_answer(400, "Bad Request")
    if condition == "*" and name in objects:
        return text_answer(412, "Precondition Failed")
    kept = {"Content-Type": request.headers.get("content-type", "application/octet-stream")}
    stored = Stored(body, kept)
    if request.headers.get("etag", stored.etag).strip('"') != stored.etag:
        return text_answer(422, "Unprocessable Entity")
    objects[name] = stored
    return Answer(201, b"", {"Etag": stored.etag})


def _listing(request: Received, objects: dict[str, Stored]) -> Answer:
    if request.method == "HEAD":
        return Answer(204, headers={"X-Container-Object-Count": str(len(objects))})
    if request.method != "GET" or request.query.get("format") != "json":
        return text_answer(501, "Not Implemented")
    after, prefix = request.query.get("marker", ""), request.query.get("prefix", "")
    names = [name for name in sorted(objects) if name > after and name.startswith(prefix)]
    page = names[: int(request.query.get("limit", 10_000))]
    entries = [
        {"name": name, "bytes": len(objects[name].data), "hash": objects[name].etag}
        for name in page
    ]
    return json_answer(200, entries)


# --- who asks ------------------------------------------------------------------------------------


def _is_known(method: str, said: dict[str, Any], scope: dict[str, Any] | None) -> bool:
    if method == _SCOPED_BY_ITSELF:
        return _is_credential(said)
    if method != "password" or not _is_user(said.get("user", {}), with_password=True):
        return False
    return scope is None or _is_project(scope)


def _is_domain(said: object) -> bool:
    return said in ({"name": DOMAIN}, {"id": DOMAIN_ID})


def _is_user(said: dict[str, Any], *, with_password: bool) -> bool:
    if with_password and said.get("password") != PASSWORD:
        return False
    if "id" in said:
        return bool(said["id"] == USER_ID)
    return said.get("name") == USER and _is_domain(said.get("domain"))


def _is_project(scope: dict[str, Any]) -> bool:
    said = scope.get("project", {})
    if "id" in said:
        return bool(said["id"] == PROJECT_ID)
    return said.get("name") == PROJECT and _is_domain(said.get("domain"))


def _is_credential(said: dict[str, Any]) -> bool:
    if said.get("secret") != CREDENTIAL_SECRET:
        return False
    if "id" in said:
        return bool(said["id"] == CREDENTIAL_ID)
    return said.get("name") == CREDENTIAL and _is_user(said.get("user", {}), with_password=False)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _refusal(code: int, message: str) -> Answer:
    return json_answer(code, {"error": {"code": code, "message": message, "title": "Error"}})
