"""Answer like Nextcloud, or like ownCloud: files by WebDAV, chunked uploads, tus, checksums.

Rule: a request that they refuse is refused here, with its status and sabre's exception.

Source: Nextcloud's developer manual (WebDAV: basic, chunking); RFC 4918; tus 1.0.0.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.fakes.http import Answer, FakeServer, Received

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SMALLEST_CHUNK = 5 * 1024**2
MOST_CHUNKS = 10_000
_MODIFIED = "Sat, 21 Nov 2026 10:00:00 GMT"
_DAV, _OC = "DAV:", "http://owncloud.org/ns"
_TAGGED = re.compile(r"<([^>]*)> \(\[([^\]]*)\]\)")
_NAMES = re.compile("[0-9]{1,5}")


class RefusedError(Exception):
    """A request is refused.

    Args:
        status: The status of the answer.
        exception: The name of sabre's exception.
        message: What it says.
    """

    def __init__(self, status: int, exception: str, message: str = "") -> None:
        super().__init__(exception)
        self.status = status
        self.exception = exception
        self.message = message

    def answer(self) -> Answer:
        """Make the answer."""
        text = (
            '<?xml version="1.0" encoding="utf-8"?><d:error xmlns:d="DAV:" '
            f'xmlns:s="http://sabredav.org/ns"><s:exception>Sabre\\DAV\\Exception\\{self.exception}'
            f"</s:exception><s:message>{escape(self.message)}</s:message></d:error>"
        )
        headers = {"Content-Type": "application/xml; charset=utf-8"}
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="Nextcloud", charset="UTF-8"'
        return Answer(self.status, text.encode(), headers)


@dataclass
class File:
    """A stored file.

    Attributes:
        data: Its bytes.
        etag: Its version, in quotes.
        checksum: What came with it, or was taken of it.
    """

    data: bytes
    etag: str
    checksum: str = ""


@dataclass
class Chunks:
    """An upload of chunks.

    Attributes:
        destination: Path of the file that it is to be.
        parts: What came, by name.
    """

    destination: str
    parts: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Tus:
    """An upload by tus.

    Attributes:
        path: Path of the file that it is to be.
        length: How many bytes there will be.
        data: What came.
    """

    path: str
    length: int
    data: bytearray = field(default_factory=bytearray)


class FakeNextcloud(FakeServer):
    """The WebDAV interface of a server with one user.

    Args:
        owncloud: Be ownCloud: checksums are verified, tus is spoken, folders are not made.
        tls: Serve HTTPS.

    Attributes:
        files: The user's files, by path without a slash in front.
        folders: The user's folders, without slashes at their ends.
        uploads: Uploads of chunks that are not at their end, by name.
        tus: Uploads by tus, by number.
        assembling: How often a MOVE is answered 423 while the file is made.
        locked: Paths of locked files.
        quota: Most bytes of all files, None for no limit.
        largest: Most bytes of one request, None for no limit.
        readonly: Whether the user may not write.
    """

    user = "alice é"
    password = "abcde-fghij-klmno"

    def __init__(self, *, owncloud: bool = False, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.owncloud = owncloud
        self.files: dict[str, File] = {}
        self.folders: set[str] = {""}
        self.uploads: dict[str, Chunks] = {}
        self.tus: dict[str, Tus] = {}
        self.assembling = 0
        self.locked: set[str] = set()
        self.quota: int | None = None
        self.largest: int | None = None
        self.readonly = False
        self._versions = itertools.count(1)

    @property
    def base(self) -> str:
        """URL of the user's files."""
        return f"{self.url}/remote.php/dav/files/{quote(self.user)}"

    def put(self, path: str, data: bytes, checksum: str = "") -> File:
        """Store a file, as a request does."""
        if self.owncloud:
            checksum = " ".join(f"{name}:{take(data)}" for name, take in _CHECKSUMS.items())
        file = File(data, f'"{next(self._versions):032x}"', checksum)
        self.files[path] = file
        return file

    # -- requests

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request."""
        try:
            self._log_in(request)
            return self._route(request, body)
        except RefusedError as refused:
            return refused.answer()

    def _log_in(self, request: Received) -> None:
        known = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {known}":
            raise RefusedError(401, "NotAuthenticated", "Cannot authenticate")

    def _route(self, request: Received, body: bytes) -> Answer:
        if self.largest is not None and len(body) > self.largest:
            return Answer(413, b"<html>413 Request Entity Too Large</html>")
        if request.path.startswith("/data/") and self.owncloud:
            return self._to_tus(request, body)
        path = self._path(request.target, "uploads")
        if path is not None and not self.owncloud:
            return self._to_upload(request, path, body)
        path = self._path(request.target, "files")
        if path is None:
            raise RefusedError(404, "NotFound", "Principal not found")
        handlers: Mapping[str, Callable[[Received, str, bytes], Answer]] = {
            "PUT": self._put, "GET": self._get, "HEAD": self._get, "DELETE": self._delete,
            "MKCOL": self._mkcol, "PROPFIND": self._propfind, "POST": self._create_tus,
            "OPTIONS": lambda *_: Answer(200, headers={"DAV": "1, 3, extended-mkcol"}),
        }  # fmt: skip
        if request.method not in handlers:
            raise RefusedError(501, "NotImplemented")
        return handlers[request.method](request, path, body)

    def _path(self, url: str, root: str) -> str | None:
        """Return the path in the user's files or uploads; empty segments do not count."""
        segments = [unquote(part) for part in urlsplit(url).path.split("/") if part]
        if segments[:4] != ["remote.php", "dav", root, self.user]:
            return None
        return "/".join(segments[4:])

    def _put(self, request: Received, path: str, body: bytes) -> Answer:
        self._check_write(path)
        self._check_conditions(request, path)
        if path in self.folders:
            raise RefusedError(409, "Conflict", "is a directory")
        self._check_parent(path, make="x-nc-webdav-automkcol" in request.headers)
        self._check_quota(len(body))
        checksum = request.headers.get("oc-checksum", "")
        if self.owncloud and checksum:
            _verify(checksum, body)
        created = path not in self.files
        file = self.put(path, body, checksum)
        headers = {"ETag": file.etag, "OC-ETag": file.etag, "OC-FileId": "00000007ocx"}
        return Answer(201 if created else 204, headers={**headers, **self._hash(request, body)})

    def _hash(self, request: Received, body: bytes) -> dict[str, str]:
        if self.owncloud or request.headers.get("x-hash", "").lower() != "sha256":
            return {}
        return {"X-Hash-SHA256": hashlib.sha256(body).hexdigest()}

    def _get(self, request: Received, path: str, _body: bytes) -> Answer:
        file = self.files.get(path)
        if file is None:
            kind = (501, "NotImplemented") if path in self.folders else (404, "NotFound")
            raise RefusedError(*kind)
        headers = {
            "ETag": file.etag,
            "Last-Modified": _MODIFIED,
            "Content-Type": _type_of(path),
            **({"OC-Checksum": file.checksum.split()[0]} if file.checksum else {}),
        }
        return Answer(200, file.data, headers)

    def _delete(self, request: Received, path: str, _body: bytes) -> Answer:
        self._check_write(path)
        self._check_conditions(request, path)
        if path not in self.files and path not in self.folders:
            raise RefusedError(404, "NotFound")
        self.files = {
            name: file
            for name, file in self.files.items()
            if name != path and not name.startswith(f"{path}/")
        }
        self.folders = {
            name for name in self.folders if name != path and not name.startswith(f"{path}/")
        } | {""}
        return Answer(204)

    def _mkcol(self, _request: Received, path: str, body: bytes) -> Answer:
        if body:
            raise RefusedError(415, "UnsupportedMediaType")
        self._check_write(path)
        if path in self.folders or path in self.files:
            raise RefusedError(405, "MethodNotAllowed", "already exists")
        self._check_parent(path, make=False)
        self.folders.add(path)
        return Answer(201)

    # -- what must hold

    def _check_write(self, path: str) -> None:
        if self.readonly:
            raise RefusedError(403, "Forbidden")
        if "\\" in path:
            raise RefusedError(400, "InvalidPath")
        if path in self.locked:
            raise RefusedError(423, "FileLocked")

    def _check_parent(self, path: str, *, make: bool) -> None:
        parts = path.split("/")[:-1]
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        if any(folder in self.files for folder in above):
            raise RefusedError(409, "Conflict", "Parent node is not a folder")
        if make and not self.owncloud:
            self.folders |= set(above)
        if above and above[-1] not in self.folders:
            raise RefusedError(409, "Conflict", "Parent node does not exist")

    def _check_quota(self, size: int) -> None:
        used = sum(len(file.data) for file in self.files.values())
        if self.quota is not None and used + size > self.quota:
            raise RefusedError(507, "InsufficientStorage")

    def _check_conditions(self, request: Received, path: str) -> None:
        file = self.files.get(path)
        if request.headers.get("if-none-match") == "*" and file is not None:
            raise RefusedError(412, "PreconditionFailed")
        wanted = request.headers.get("if-match")
        if wanted is not None and (file is None or file.etag != wanted):
            raise RefusedError(412, "PreconditionFailed")

    # -- properties

    def _propfind(self, request: Received, path: str, body: bytes) -> Answer:
        if path not in self.files and path not in self.folders:
            raise RefusedError(404, "NotFound")
        paths = [path]
        # Any other depth, and none, is taken for 1, as sabre does.
        if request.headers.get("depth") != "0" and path in self.folders:
            start = f"{path}/" if path else ""
            known = {*self.files, *self.folders} - {""}
            paths += sorted(
                name
                for name in known
                if name.startswith(start) and "/" not in name.removeprefix(start)
            )
        asked = _asked(body)
        root = f"/remote.php/dav/files/{quote(self.user)}/"
        found = [self._response(root, name, asked) for name in paths]
        return _multistatus(found)

    def _response(self, root: str, path: str, asked: set[str]) -> str:
        file = self.files.get(path)
        href = root + quote(path) + ("/" if file is None and path else "")
        props = {"resourcetype": "<d:collection/>", "getetag": '"folder"'}
        if file is not None:
            props = {
                "resourcetype": "",
                "getetag": escape(file.etag),
                "getcontentlength": str(len(file.data)),
                "getcontenttype": _type_of(path),
            }
        props["getlastmodified"] = _MODIFIED
        there = {name: text for name, text in props.items() if not asked or name in asked}
        given = "".join(f"<d:{name}>{text}</d:{name}>" for name, text in there.items())
        if file is not None and file.checksum and "checksums" in asked:
            known = f"<oc:checksum>{file.checksum}</oc:checksum>"
            given += f"<oc:checksums>{known}</oc:checksums>"
        missing = "".join(f"<d:{name}/>" for name in sorted(asked - {*there, "checksums"}))
        return _response_xml(href, given, missing)

    # -- chunks

    def _to_upload(self, request: Received, path: str, body: bytes) -> Answer:
        name, _, chunk = path.partition("/")
        if request.method == "MKCOL" and not chunk:
            return self._begin(request, name)
        upload = self.uploads.get(name)
        if upload is None:
            raise RefusedError(404, "NotFound")
        if request.method == "DELETE" and not chunk:
            del self.uploads[name]
            return Answer(204)
        if request.method == "PROPFIND" and not chunk:
            return self._list_chunks(name, upload)
        if request.method == "PUT":
            return self._put_chunk(request, upload, chunk, body)
        if request.method == "MOVE" and chunk == ".file":
            return self._assemble(request, name, upload)
        raise RefusedError(405, "MethodNotAllowed")

    def _destination(self, request: Received) -> str:
        given = request.headers.get("destination", "")
        parts = urlsplit(given)
        path = self._path(given, "files")
        if parts.netloc != self.host or not parts.scheme or not given.isascii() or not path:
            raise RefusedError(400, "BadRequest", "Destination is not an absolute URL of mine")
        return path

    def _begin(self, request: Received, name: str) -> Answer:
        destination = self._destination(request)
        self._check_write(destination)
        if name in self.uploads:
            raise RefusedError(405, "MethodNotAllowed", "already exists")
        self.uploads[name] = Chunks(destination)
        return Answer(201)

    def _put_chunk(self, request: Received, upload: Chunks, name: str, body: bytes) -> Answer:
        if not _NAMES.fullmatch(name) or not 1 <= int(name) <= MOST_CHUNKS:
            raise RefusedError(400, "BadRequest", "Invalid chunk name, must be 1 to 10000")
        if self._destination(request) != upload.destination:
            raise RefusedError(400, "BadRequest", "another destination")
        self._check_quota(self._total(request))
        created = name not in upload.parts
        upload.parts[name] = body
        headers = {"ETag": _etag_of(body), **self._hash(request, body)}
        return Answer(201 if created else 204, headers=headers)

    def _total(self, request: Received) -> int:
        total = request.headers.get("oc-total-length", "")
        if not total.isdigit():
            raise RefusedError(400, "BadRequest", "no OC-Total-Length")
        return int(total)

    def _list_chunks(self, name: str, upload: Chunks) -> Answer:
        root = f"/remote.php/dav/uploads/{quote(self.user)}/{name}/"
        found = [_response_xml(root, "<d:resourcetype><d:collection/></d:resourcetype>", "")]
        for chunk, data in upload.parts.items():
            props = f"<d:getcontentlength>{len(data)}</d:getcontentlength><d:resourcetype/>"
            props += f"<d:getetag>{_etag_of(data)}</d:getetag>"
            found.append(_response_xml(root + chunk, props, ""))
        return _multistatus(found)

    def _assemble(self, request: Received, name: str, upload: Chunks) -> Answer:
        path = self._destination(request)
        self._check_write(path)
        created = path not in self.files
        if request.headers.get("overwrite", "T") == "F" and not created:
            raise RefusedError(412, "PreconditionFailed")
        self._check_tagged(request)
        parts = [data for _, data in sorted(upload.parts.items(), key=lambda part: int(part[0]))]
        if any(len(data) < SMALLEST_CHUNK for data in parts[:-1]):
            raise RefusedError(400, "BadRequest", "EntityTooSmall")
        if sum(map(len, parts)) != self._total(request):
            raise RefusedError(400, "BadRequest", "Chunks on server do not sum up")
        self._check_parent(path, make=False)
        if self.assembling:
            self.assembling -= 1
            if not self.assembling:  # it is done meanwhile, and the folder gone
                self._finish(request, name, path, parts)
            raise RefusedError(423, "FileLocked")
        file = self._finish(request, name, path, parts)
        return Answer(201 if created else 204, headers={"ETag": file.etag, "OC-ETag": file.etag})

    def _finish(self, request: Received, name: str, path: str, parts: list[bytes]) -> File:
        del self.uploads[name]
        return self.put(path, b"".join(parts), request.headers.get("oc-checksum", ""))

    def _check_tagged(self, request: Received) -> None:
        """Hold conditions of another URL (RFC 4918, section 10.4), as sabre does."""
        given = request.headers.get("if")
        if given is None:
            return
        match = _TAGGED.fullmatch(given)
        path = None if match is None else self._path(match[1], "files")
        if match is None or path is None:
            raise RefusedError(400, "BadRequest")
        if path not in self.files:
            raise RefusedError(404, "NotFound")
        if self.files[path].etag != match[2]:
            raise RefusedError(412, "PreconditionFailed")

    # -- tus

    def _create_tus(self, request: Received, path: str, _body: bytes) -> Answer:
        headers = request.headers
        pairs = [pair.split(" ") for pair in headers.get("upload-metadata", "").split(",")]
        names = [pair[1] for pair in pairs if len(pair) == 2 and pair[0] == "filename"]
        if not self.owncloud:
            raise RefusedError(405, "MethodNotAllowed")
        if headers.get("tus-resumable") != "1.0.0" or not names:
            raise RefusedError(412, "PreconditionFailed")
        if path not in self.folders:
            raise RefusedError(409, "Conflict")
        name = base64.b64decode(names[0]).decode()
        target = f"{path}/{name}" if path else name
        self._check_write(target)
        self._check_quota(int(headers["upload-length"]))
        number = f"{next(self._versions):08x}"
        self.tus[number] = Tus(target, int(headers["upload-length"]))
        location = f"{self.url}/data/{number}"
        return Answer(201, headers={"Location": location, "Tus-Resumable": "1.0.0"})

    def _to_tus(self, request: Received, body: bytes) -> Answer:
        number = request.path.removeprefix("/data/")
        upload = self.tus.get(number)
        if upload is None:
            return Answer(404)
        if request.headers.get("tus-resumable") != "1.0.0":
            return Answer(412, headers={"Tus-Version": "1.0.0"})
        if request.method == "DELETE":
            del self.tus[number]
            return Answer(204, headers={"Tus-Resumable": "1.0.0"})
        if request.method == "PATCH":
            refused = self._append(request, number, upload, body)
            if refused is not None:
                return refused
        status = 200 if request.method == "HEAD" else 204
        headers = {"Upload-Offset": str(len(upload.data)), "Tus-Resumable": "1.0.0"}
        return Answer(status, headers=headers)

    def _append(self, request: Received, number: str, upload: Tus, body: bytes) -> Answer | None:
        if request.headers.get("content-type") != "application/offset+octet-stream":
            return Answer(415)
        if request.headers.get("upload-offset") != str(len(upload.data)):
            return Answer(409)
        upload.data += body
        if len(upload.data) == upload.length:
            del self.tus[number]
            self.put(upload.path, bytes(upload.data))
        return None


_CHECKSUMS: dict[str, Callable[[bytes], str]] = {
    "SHA1": lambda data: hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "ADLER32": lambda data: f"{zlib.adler32(data):08x}",
}


def _verify(checksum: str, body: bytes) -> None:
    """Compare as ownCloud does; what it does not know it refuses."""
    name, _, value = checksum.partition(":")
    if name not in _CHECKSUMS or _CHECKSUMS[name](body) != value:
        message = "The computed checksum does not match the one received from the client."
        raise RefusedError(400, "BadRequest", message)


def _asked(body: bytes) -> set[str]:
    """Return the names of the properties that are asked for; none for all."""
    if not body:
        return set()
    props = ET.fromstring(body).find(f"{{{_DAV}}}prop")  # noqa: S314 - from a test
    return set() if props is None else {each.tag.rpartition("}")[2] for each in props}


def _response_xml(href: str, given: str, missing: str) -> str:
    other = (
        f"<d:propstat><d:prop>{missing}</d:prop><d:status>HTTP/1.1 404 Not Found</d:status>"
        "</d:propstat>"
    )
    return (
        f"<d:response><d:href>{escape(href)}</d:href><d:propstat><d:prop>{given}</d:prop>"
        f"<d:status>HTTP/1.1 200 OK</d:status></d:propstat>{other if missing else ''}</d:response>"
    )


def _multistatus(responses: list[str]) -> Answer:
    text = f'<d:multistatus xmlns:d="{_DAV}" xmlns:oc="{_OC}">{"".join(responses)}</d:multistatus>'
    headers = {"Content-Type": "application/xml; charset=utf-8"}
    return Answer(207, f'<?xml version="1.0"?>{text}'.encode(), headers)


def _etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _type_of(path: str) -> str:
    return "text/html" if path.endswith(".html") else "application/octet-stream"
