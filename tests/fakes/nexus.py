"""Answer like Nexus Repository 3: raw repositories, and the list of their assets.

Rule: a request that Nexus refuses is refused here, with its status and words.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from tests.fakes.http import Answer, FakeServer, Received, json_answer

_HTTP_TIME = "Fri, 02 Jan 2026 03:04:05 GMT"
_TIME = "2026-01-02T03:04:05.000+00:00"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_MAGIC = {".zip": b"PK\x03\x04", ".gz": b"\x1f\x8b"}

Policy = Literal["ALLOW", "ALLOW_ONCE", "DENY"]


@dataclass
class Repository:
    """One repository.

    Attributes:
        policy: Its deployment policy.
        kind: Whether it is hosted.
        strict: Whether the bytes must be what the ending of the name says.
        visible: Whether the credential may do anything there.
        readable: Whether the credential may read there.
    """

    policy: Policy = "ALLOW"
    kind: Literal["hosted", "proxy", "group"] = "hosted"
    strict: bool = False
    visible: bool = True
    readable: bool = True


@dataclass(frozen=True)
class Asset:
    """What is stored under one path."""

    data: bytes
    content_type: str

    @property
    def etag(self) -> str:
        """The ETag of a hosted raw repository."""
        digest = hashlib.sha1(self.data, usedforsecurity=False).hexdigest()
        return f'"{{SHA1{{{digest}}}}}"'


class FakeNexus(FakeServer):
    """Serve the repositories of one Nexus.

    Args:
        password: That of the user.
        tls: Serve HTTPS.

    Attributes:
        repositories: The repositories by name.
        assets: What is stored, by repository and path.
        page: How many assets a page of the list has.
        root: What paths in the list begin with, a slash in newer versions.
        alter: Stands for damage on the way of an upload.
    """

    user = "builder"
    user_token = ("nameCode", "passCode")
    bearer = "jwt-of-a-front-end"

    def __init__(self, password: str = "pass:word-é", *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.password = password
        self.repositories = {
            "raw": Repository(),
            "once": Repository(policy="ALLOW_ONCE"),
            "closed": Repository(policy="DENY"),
            "strict": Repository(strict=True),
            "group": Repository(kind="group"),
            "hidden": Repository(visible=False),
            "drop": Repository(readable=False),
        }
        self.assets: dict[tuple[str, str], Asset] = {}
        self.page = 100
        self.root = "/"
        self.alter = False

    def read(self, path: str, repository: str = "raw") -> bytes:
        """Return the bytes of an asset."""
        return self.assets[repository, path].data

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request."""
        if not self._known(request.headers.get("authorization", "")):
            realm = 'BASIC realm="Sonatype Nexus Repository Manager"'
            return _page(401, "Unauthorized", {"WWW-Authenticate": realm})
        raw = urlsplit(request.target).path
        if raw == "/service/rest/v1/assets":
            return self._list(request)
        if not raw.startswith("/repository/"):
            return _page(404, "Not Found")
        name, _, rest = raw.removeprefix("/repository/").partition("/")
        path = re.sub("/{2,}", "/", unquote(rest)).lstrip("/")
        repository = self.repositories.get(unquote(name))
        if repository is None:
            return _page(404, "Repository not found")
        reading = request.method in {"GET", "HEAD"}
        if not repository.visible or (reading and not repository.readable):
            return _page(403, "Forbidden")
        if path.endswith("/"):
            path += "index.html"
        return self._asset(request, unquote(name), path, body)

    def _known(self, given: str) -> bool:
        pairs = ((self.user, self.password), self.user_token)
        basic = {base64.b64encode(":".join(pair).encode()).decode() for pair in pairs}
        return given == f"Bearer {self.bearer}" or given in {f"Basic {text}" for text in basic}

    def _asset(self, request: Received, name: str, path: str, body: bytes) -> Answer:
        asset = self.assets.get((name, path))
        if request.method in {"PUT", "DELETE"} and self.repositories[name].kind != "hosted":
            return _page(405, "Method not allowed", {"Allow": "GET, HEAD"})
        if not _holds(request, asset):
            return _page(412, "Precondition failed")
        if request.method == "PUT":
            return self._put(request, name, path, body)
        if asset is None:
            return _page(404, f"{path} not found")
        if request.method == "DELETE":
            del self.assets[name, path]
            return Answer(204)
        headers = {
            "Content-Type": asset.content_type,
            "ETag": asset.etag,
            "Last-Modified": _HTTP_TIME,
            "Content-Disposition": "attachment",
        }
        return _ranged(request, asset.data, headers)

    def _put(self, request: Received, name: str, path: str, body: bytes) -> Answer:
        repository = self.repositories[name]
        if repository.policy == "DENY":
            return _page(400, f"Repository is read-only: {name}")
        if repository.policy == "ALLOW_ONCE" and (name, path) in self.assets:
            return _page(
                400, f"Repository does not allow updating assets: {path} cannot be updated"
            )
        ending = path[path.rfind(".") :] if "." in path else ""
        if repository.strict and not body.startswith(_MAGIC.get(ending, b"")):
            return _page(400, "Detected content type [text/plain], but expected [application/zip]")
        kind = request.headers.get("content-type", "application/octet-stream")
        self.assets[name, path] = Asset(body + b"?" if self.alter else body, kind)
        return Answer(201)

    def _list(self, request: Received) -> Answer:
        name = request.query.get("repository", "")
        repository = self.repositories.get(name)
        if repository is None:
            return Answer(404)
        if not repository.visible or not repository.readable:
            return Answer(403)
        paths = sorted(path for repo, path in self.assets if repo == name)
        token = request.query.get("continuationToken")
        if token is not None and token not in {_token(path) for path in paths}:
            return Answer(406)
        start = next((index + 1 for index, path in enumerate(paths) if _token(path) == token), 0)
        shown, rest = paths[start : start + self.page], paths[start + self.page :]
        items = [self._item(name, path) for path in shown]
        following = _token(shown[-1]) if rest else None
        return json_answer(200, {"items": items, "continuationToken": following})

    def _item(self, name: str, path: str) -> dict[str, object]:
        asset = self.assets[name, path]
        return {
            "downloadUrl": f"{self.url}/repository/{name}/{path}",
            "path": f"{self.root}{path}",
            "id": _token(path),
            "repository": name,
            "format": "raw",
            "checksum": {"sha256": hashlib.sha256(asset.data).hexdigest()},
            "contentType": asset.content_type,
            "lastModified": _TIME,
            "fileSize": len(asset.data),
        }


def _holds(request: Received, asset: Asset | None) -> bool:
    """Tell whether the conditions of a request hold."""
    absent, version = (request.headers.get(name) for name in ("if-none-match", "if-match"))
    if version is not None and (asset is None or version not in {"*", asset.etag}):
        return False
    return absent is None or asset is None or absent not in {"*", asset.etag}


def _token(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:32]


def _page(status: int, words: str, headers: dict[str, str] | None = None) -> Answer:
    text = f"<html><body><h1>{status}</h1><p>{words}</p></body></html>"
    return Answer(status, text.encode(), {"Content-Type": "text/html", **(headers or {})})


def _ranged(request: Received, data: bytes, headers: dict[str, str]) -> Answer:
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted is None:
        return Answer(200, data, headers)
    start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
    if start >= len(data):
        return Answer(416)
    part = data[start : end + 1]
    place = f"bytes {start}-{start + len(part) - 1}/{len(data)}"
    return Answer(206, part, {**headers, "Content-Range": place})
