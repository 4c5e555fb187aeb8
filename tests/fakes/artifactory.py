"""Answer like Artifactory: files with properties and checksums, and the storage API.

Rule: a request that Artifactory refuses is refused here, with its status and its JSON.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from tests.fakes.http import Answer, FakeServer, Received, json_answer

CONTEXT = "/artifactory"
SIDE_FILES = (".sha1", ".md5", ".sha256")
LONGEST = 64 * 1024 * 1024
_TIME = "2026-01-02T03:04:05.000Z"
_HTTP_TIME = "Fri, 02 Jan 2026 03:04:05 GMT"
_ITEM = "application/vnd.org.jfrog.artifactory.storage.ItemCreated+json"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class File:
    """What is stored under one path."""

    data: bytes
    properties: dict[str, list[str]] = field(default_factory=dict)

    @property
    def checksums(self) -> dict[str, str]:
        """The digests, by the names of the API."""
        return {
            name: hashlib.new(name, self.data).hexdigest() for name in ("sha1", "md5", "sha256")
        }


class FakeArtifactory(FakeServer):
    """Serve the repositories of one Artifactory.

    Args:
        token: The access token.
        tls: Serve HTTPS.

    Attributes:
        files: What is stored, by repository and path.
        repositories: The local repositories.
        remote: Repositories that take nothing.
        hidden: Repositories in which the credential has no right.
        may_overwrite: Whether the credential may replace what is there.
        pro: Whether the edition lists files.
        spelled: Whether a list has its numbers and truths as texts, as it is documented.
        cloud: Where downloads are redirected to, by the file's SHA-1; None to answer them.
        alter: Stands for damage on the way of an upload.
        exploded: How often an archive was to be unpacked.
    """

    user = "builder"
    password = "pass:word-é"
    api_key = "AKCp-fake-api-key"

    def __init__(self, token: str = "eyJ-fake-token", *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.token = token
        self.files: dict[tuple[str, str], File] = {}
        self.repositories = {"generic", "other"}
        self.remote: set[str] = {"remote"}
        self.hidden: set[str] = {"hidden"}
        self.may_overwrite = True
        self.pro = True
        self.spelled = True
        self.cloud: str | None = None
        self.alter = False
        self.exploded = 0

    @property
    def base(self) -> str:
        """The URL of Artifactory."""
        return self.url + CONTEXT

    def read(self, path: str, repository: str = "generic") -> bytes:
        """Return the bytes of a file."""
        return self.files[repository, path].data

    # -- requests

    def refuse(self, request: Received) -> Answer | None:
        """Refuse too much before it is read, as the proxy before Artifactory does."""
        return Answer(413) if request.size > LONGEST else None

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request."""
        if not self._known(request.headers):
            challenge = {"WWW-Authenticate": 'Basic realm="Artifactory Realm"'}
            return _error(401, "Bad credentials", challenge)
        raw = urlsplit(request.target).path
        if not raw.startswith(CONTEXT + "/"):
            return _error(404, "Not Found")
        rest = raw.removeprefix(CONTEXT + "/")
        if rest.startswith("api/storage/"):
            return self._storage(request, rest.removeprefix("api/storage/"))
        # What follows a semicolon is a property; the path itself is decoded after that.
        rest, *matrix = rest.split(";")
        repository, path = _split(rest)
        problem = self._problem(request.method, repository)
        if problem is not None:
            return problem
        return self._file(request, repository, path, _properties(matrix), body)

    def _file(
        self,
        request: Received,
        repository: str,
        path: str,
        properties: dict[str, list[str]],
        body: bytes,
    ) -> Answer:
        if request.method == "PUT":
            return self._put(request, repository, path, properties, body)
        if request.method == "DELETE":
            return self._delete(repository, path)
        return self._get(request, repository, path)

    def _known(self, headers: Any) -> bool:
        given = headers.get("authorization", "")
        if headers.get("x-jfrog-art-api") in {self.api_key, self.token}:
            return True
        basic = {
            base64.b64encode(f"{self.user}:{word}".encode()).decode()
            for word in (self.password, self.token, self.api_key)
        }
        return given == f"Bearer {self.token}" or given in {f"Basic {text}" for text in basic}

    def _problem(self, method: str, repository: str) -> Answer | None:
        if repository in self.hidden:
            return _error(403, f"User {self.user} is not permitted to access {repository}")
        if repository in self.remote:
            return _error(405, "Remote repositories take nothing") if method == "PUT" else None
        if repository not in self.repositories:
            return _error(404, f"Could not find the repository {repository}")
        return None

    # -- files

    def _put(
        self,
        request: Received,
        repository: str,
        path: str,
        properties: dict[str, list[str]],
        body: bytes,
    ) -> Answer:
        headers = request.headers
        if "x-explode-archive" in headers:
            self.exploded += 1
            return Answer(200)
        if path.endswith("/") or not path:
            return json_answer(201, {"repo": repository, "path": f"/{path}"})
        if path.endswith(SIDE_FILES):
            return self._side_file(repository, path, body)
        if (repository, path) in self.files and not self.may_overwrite:
            return _error(403, _NO_OVERWRITE.format(repository, path, self.user))
        data: bytes | None = body + b"?" if self.alter and body else body
        if headers.get("x-checksum-deploy", "").lower() == "true":
            data = self._known_bytes(headers)
        if data is None:
            return _error(404, "Checksum values not found")
        return self._keep(repository, path, File(data, properties), headers)

    def _keep(self, repository: str, path: str, stored: File, headers: Any) -> Answer:
        if not _fits(stored, headers):
            return _error(409, "Checksum error: received another one than the actual")
        self.files[repository, path] = stored
        return self._created(repository, path, stored)

    def _known_bytes(self, headers: Any) -> bytes | None:
        return next((file.data for file in self.files.values() if _fits(file, headers)), None)

    def _side_file(self, repository: str, path: str, body: bytes) -> Answer:
        name, _, kind = path.rpartition(".")
        target = self.files.get((repository, name))
        if target is None:
            return _error(404, "Target file to set checksum on doesn't exist")
        if target.checksums[kind] != body.decode().strip():
            return _error(409, f"Checksum error for '{path}': received another than is actual")
        return Answer(201)

    def _created(self, repository: str, path: str, file: File) -> Answer:
        place = f"/{repository}/{quote(path)}"
        item = {
            "repo": repository,
            "path": f"/{path}",
            "created": _TIME,
            "createdBy": self.user,
            "downloadUri": self.base + place,
            "mimeType": "application/octet-stream",
            "size": str(len(file.data)),
            "checksums": file.checksums,
            "originalChecksums": {},
            "uri": self.base + place,
        }
        return json_answer(201, item, {"Content-Type": _ITEM})

    def _get(self, request: Received, repository: str, path: str) -> Answer:
        file = self.files.get((repository, path))
        if file is None and self._below(repository, path.rstrip("/")):
            if path and not path.endswith("/"):
                return Answer(302, b"", {"Location": f"{request.target}/"})
            return Answer(200, b"<html>Index</html>", {"Content-Type": "text/html"})
        if file is None:
            return _error(404, "File not found.")
        sums = file.checksums
        if self.cloud is not None:
            return Answer(302, b"", {"Location": f"{self.cloud}/{sums['sha1']}?X-Signature=s"})
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": sums["sha1"],
            "Last-Modified": _HTTP_TIME,
            "Accept-Ranges": "bytes",
            "X-Artifactory-Filename": quote(path.rpartition("/")[2]),
            **{f"X-Checksum-{name.capitalize()}": text for name, text in sums.items()},
        }
        return _ranged(request, file.data, headers)

    def _delete(self, repository: str, path: str) -> Answer:
        place = path.rstrip("/")
        gone = [(repository, name) for name in self._below(repository, place)]
        gone += [(repository, path)] * ((repository, path) in self.files)
        for name in gone:
            del self.files[name]
        return Answer(204) if gone else _error(404, "Could not locate artifact")

    def _below(self, repository: str, folder: str) -> list[str]:
        prefix = f"{folder}/" if folder else ""
        return [path for repo, path in self.files if repo == repository and path.startswith(prefix)]

    # -- what it tells

    def _storage(self, request: Received, rest: str) -> Answer:
        repository, path = _split(rest)
        problem = self._problem("GET", repository)
        if problem is not None:
            return problem
        file, below = self.files.get((repository, path)), self._below(repository, path)
        if file is None and path and not below:
            return _error(404, "Unable to find item")
        if "list" in request.query:
            return self._list(request, repository, path, below)
        if "properties" in request.query and file is not None:
            found = file.properties
            return json_answer(200, {"properties": found}) if found else _error(404, _NO_PROPERTIES)
        times = {"created": _TIME, "lastModified": _TIME, "lastUpdated": _TIME}
        info: dict[str, Any] = {"repo": repository, "path": f"/{path}", **times}
        if file is None:
            children = sorted({name.removeprefix(path).strip("/").split("/")[0] for name in below})
            info["children"] = [{"uri": f"/{name}", "folder": True} for name in children]
            return json_answer(200, info)
        said = {"size": str(len(file.data)), "checksums": file.checksums, "mimeType": "text/x"}
        return json_answer(200, {**info, **said})

    def _spell(self, value: int) -> int | str:
        return str(value).lower() if self.spelled else value

    def _list(self, request: Received, repository: str, path: str, below: list[str]) -> Answer:
        if not self.pro:
            return _error(400, "This REST API is available only in Artifactory Pro.")
        deep = request.query.get("deep") == "1"
        names = [name.removeprefix(path).removeprefix("/") for name in below]
        files = [
            {
                "uri": f"/{name}",
                "size": self._spell(len(self.files[repository, below[index]].data)),
                "lastModified": _TIME,
                "folder": self._spell(value=False),
                "sha1": self.files[repository, below[index]].checksums["sha1"],
            }
            for index, name in enumerate(names)
            if deep or "/" not in name
        ]
        uri = f"{self.base}/api/storage/{repository}/{path}"
        return json_answer(200, {"uri": uri, "created": _TIME, "files": files})


_NO_PROPERTIES = "No properties could be found."
_NO_OVERWRITE = (
    "Not enough permissions to overwrite artifact '{}:{}' (user '{}' needs DELETE permission)."
)


class FakeCloud(FakeServer):
    """Serve signed downloads, and refuse whoever brings a credential too, as Amazon does.

    Args:
        artifactory: Whose files they are.
    """

    def __init__(self, artifactory: FakeArtifactory) -> None:
        super().__init__()
        self._artifactory = artifactory

    def answer(self, request: Received, body: bytes) -> Answer:
        """Send a file by its SHA-1."""
        if {"authorization", "x-jfrog-art-api"} & set(request.headers) or body:
            return Answer(400, b"Only one auth mechanism allowed")
        digest = request.path.removeprefix("/")
        files = self._artifactory.files.values()
        found = next((file.data for file in files if file.checksums["sha1"] == digest), None)
        if found is None or request.query != {"X-Signature": "s"}:
            return Answer(403)
        headers = {"Content-Type": "binary/octet-stream", "ETag": f'"{digest}"'}
        return _ranged(request, found, headers)


# -- small parts


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    return json_answer(status, {"errors": [{"status": status, "message": message}]}, headers)


def _split(raw: str) -> tuple[str, str]:
    """Return repository and path; empty segments are dropped."""
    repository, _, path = raw.partition("/")
    return unquote(repository), re.sub("/{2,}", "/", unquote(path)).lstrip("/")


def _properties(matrix: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for parameter in filter(None, matrix):
        name, _, value = parameter.partition("=")
        found.setdefault(unquote(name), []).append(unquote(value))
    return found


def _fits(file: File, headers: Any) -> bool:
    """Tell whether a file has the checksums in the headers of a request."""
    said = {name: headers.get(f"x-checksum-{name}") for name in file.checksums}
    by_length = {40: "sha1", 32: "md5", 64: "sha256"}
    plain = headers.get("x-checksum")
    if plain is not None:
        said[by_length[len(plain)]] = plain
    return all(text is None or file.checksums[name] == text for name, text in said.items())


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
