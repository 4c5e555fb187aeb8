"""Answer like Google Cloud Storage: its JSON API, uploads in parts, and objects by HMAC keys.

Rule: a request that Google refuses is refused here, with its status and its JSON. What is stored
was compared with every checksum that came along, and a token was looked at for each request.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import google_crc32c
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fakes.gcp_login import SCOPE, Account, TokenService, private_key
from tests.fakes.http import Answer, FakeServer, Received, json_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHUNK = 256 * 1024
READ_WRITE = "https://www.googleapis.com/auth/devstorage.read_write"
READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"

_OBJECTS = re.compile(r"/(upload/|download/)?storage/v1/b/([^/]+)/o(?:/([^/]+))?")
_XML = re.compile(r"/([^/]+)/(.+)")
_SPAN = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_RIGHTS = ("create", "delete", "get", "list", "update")
_MOST_BYTES_OF_A_NAME = 1024
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class Object:
    """One generation of an object."""

    name: str
    data: bytes
    generation: int
    content_type: str = "application/octet-stream"
    content_encoding: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"

    @property
    def hashes(self) -> dict[str, str]:
        """Its checksums as the API writes them."""
        return {"md5Hash": md5(self.data), "crc32c": crc32c(self.data)}

    def resource(self, bucket: str) -> dict[str, Any]:
        """Return it as the API shows it."""
        at = datetime.fromtimestamp(self.generation / 1e6, UTC)
        said = {
            "kind": "storage#object",
            "id": f"{bucket}/{self.name}/{self.generation}",
            "name": self.name,
            "bucket": bucket,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.content_type,
            "contentEncoding": self.content_encoding,
            "storageClass": self.storage_class,
            "size": str(len(self.data)),
            "metadata": dict(self.metadata),
            "etag": base64.b64encode(str(self.generation).encode()).decode(),
            "updated": at.isoformat().replace("+00:00", "Z"),
            **self.hashes,
        }
        return {name: value for name, value in said.items() if value not in ("", {})}


@dataclass
class Session:
    """An upload in parts."""

    bucket: str
    name: str
    described: dict[str, Any]
    conditions: dict[str, str]
    announced: int | None
    data: bytearray = field(default_factory=bytearray)
    stored: dict[str, Any] | None = None


class RefusalError(Exception):
    """A request that is refused, with the answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message

    def answer(self, *, plain: bool) -> Answer:
        """Return the vendor's JSON, or the text that a download gets."""
        if plain:
            return text_answer(self.status, self.message)
        error = {"message": self.message, "domain": "global", "reason": self.reason}
        said = {"code": self.status, "message": self.message, "errors": [error]}
        return json_answer(self.status, {"error": said})


class FakeGcs(FakeServer):
    """Cloud Storage, the token services and the metadata server, all at one origin.

    Args:
        tls: Serve HTTPS with a certificate of a private authority.

    Attributes:
        buckets: Their objects by name, of each all generations that are kept, the newest last.
        versioned: Buckets that keep older generations.
        closed: Buckets of somebody else.
        tokens: The token services.
        rights: What accounts may do, by email.
        hmac: Secrets by access id.
        sessions: Uploads by id.
        page: Most objects in a page.
    """

    def __init__(self, bucket: str = "flows", *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.buckets: dict[str, dict[str, list[Object]]] = {bucket: {}}
        self.versioned: set[str] = set()
        self.closed: set[str] = set()
        self.tokens = TokenService("acme-flows")
        self.rights: dict[str, set[str]] = {}
        self.hmac: dict[str, str] = {}
        self.sessions: dict[str, Session] = {}
        self.page = 1000
        self._clock = 1_767_323_045_000_000

    # -- state

    def add_account(self, name: str, *rights: str) -> Account:
        """Make a service account with these rights, all without any."""
        email = f"{name}@acme-flows.iam.gserviceaccount.com"
        account = Account(email, "acme-flows", private_key(name))
        with self.lock:
            self.tokens.accounts[email] = account
            self.rights[email] = set(rights or _RIGHTS)
        return account

    def token(self, *rights: str, scope: str = READ_WRITE) -> str:
        """Make an account and return an access token of it."""
        account = self.add_account(f"flows-{len(self.rights)}", *rights)
        return self.tokens.issue(account.email, (scope,))

    def key_text(self, account: Account) -> str:
        """Return the key file of an account."""
        return json.dumps(account.key_file(f"{self.url}/token"))

    def write_key(self, path: Path, account: Account) -> Path:
        """Write the key file of an account."""
        path.write_text(self.key_text(account))
        return path

    def put(self, name: str, data: bytes, *, bucket: str = "flows", **more: Any) -> Object:
        """Store an object, as somebody else would."""
        with self.lock:
            self._clock += 1_000_001
            stored = Object(name, data, self._clock, **more)
            older = self.buckets[bucket].get(name, []) if bucket in self.versioned else []
            self.buckets[bucket][name] = [*older, stored]
            return stored

    def data(self, name: str, bucket: str = "flows") -> bytes:
        """Return the bytes that are there."""
        return self.buckets[bucket][name][-1].data

    # -- answers

    def answer(self, request: Received, body: bytes) -> Answer:
        """Let the service answer whose path it is."""
        path = request.path
        if path == "/token":
            return self.tokens.token(request, body)
        if path in {"", "/"} or path.startswith("/computeMetadata/v1/"):
            return self.tokens.metadata(request)
        try:
            return self._storage(request, body)
        except RefusalError as refusal:
            return refusal.answer(plain=request.query.get("alt") == "media")

    def _storage(self, request: Received, body: bytes) -> Answer:
        raw = request.target.partition("?")[0]
        found = _OBJECTS.fullmatch(raw)
        if found is None:
            if _SIGNED.fullmatch(request.headers.get("authorization", "")):
                return self._signed(request, body, raw)
            raise RefusalError(404, "notFound", "Not Found")
        way, bucket, name = found[1], unquote(found[2]), unquote(found[3] or "")
        if way == "upload/" and "upload_id" in request.query:
            return self._part(request, body)
        if way == "upload/" and request.method == "POST" and not name:
            return self._upload(request, body, bucket)
        if not name and request.method == "GET":
            return self._list(request, bucket)
        return self._object(request, bucket, name)

    def _object(self, request: Received, bucket: str, name: str) -> Answer:
        right = {"GET": "get", "DELETE": "delete"}.get(request.method)
        if right is None:
            raise RefusalError(405, "methodNotAllowed", "Method Not Allowed")
        rights = self._authorize(request, right)
        objects = self._objects(bucket)
        found = _generation(objects.get(name, []), request.query.get("generation"))
        if found is None and "list" not in rights:
            raise _denied("storage.objects.list")
        _check_conditions(request.query, objects.get(name, []), request.method)
        if found is None:
            raise RefusalError(404, "notFound", f"No such object: {bucket}/{name}")
        if request.method == "DELETE":
            objects[name].remove(found)
            if not objects[name] or "generation" not in request.query:
                del objects[name]
            return Answer(204)
        if request.query.get("alt") == "media":
            return _download(request, found)
        return json_answer(200, _fields(found.resource(bucket), request.query.get("fields")))

    def _list(self, request: Received, bucket: str) -> Answer:
        self._authorize(request, "list")
        query, objects = request.query, self._objects(bucket)
        token = query.get("pageToken", "")
        try:
            after = base64.urlsafe_b64decode(token).decode()
        except ValueError:
            raise RefusalError(400, "invalid", f"Invalid page token: {token}") from None
        prefix = query.get("prefix", "")
        names = sorted(name for name in objects if name.startswith(prefix) and name > after)
        most = min(int(query.get("maxResults", 1000)), self.page)
        page: dict[str, Any] = {"kind": "storage#objects"}
        if names:
            page["items"] = [objects[name][-1].resource(bucket) for name in names[:most]]
        if len(names) > most:
            last = names[most - 1].encode()
            page["nextPageToken"] = base64.urlsafe_b64encode(last).decode()
        return json_answer(200, page)

    # -- stores

    def _upload(self, request: Received, body: bytes, bucket: str) -> Answer:
        self._authorize(request, "create")
        self._objects(bucket)
        kind = request.query.get("uploadType")
        if kind == "media":
            described = {"contentType": request.headers.get("content-type", "")}
            described |= _named_hashes(request)
            return self._store(request.query, bucket, _named(request, described), described, body)
        if kind == "multipart":
            described, data = _related(request, body)
            described |= _named_hashes(request)
            return self._store(request.query, bucket, _named(request, described), described, data)
        if kind == "resumable":
            return self._begin(request, body, bucket)
        raise RefusalError(400, "badRequest", "Bad Request")

    def _store(
        self,
        query: Mapping[str, str],
        bucket: str,
        name: str,
        described: Mapping[str, Any],
        data: bytes,
    ) -> Answer:
        objects = self._objects(bucket)
        _check_conditions(query, objects.get(name, []), "POST")
        _check_hashes(described, data)
        stored = self.put(
            name,
            data,
            bucket=bucket,
            content_type=described.get("contentType") or "application/octet-stream",
            content_encoding=described.get("contentEncoding", ""),
            metadata=described.get("metadata", {}),
            storage_class=described.get("storageClass", "STANDARD"),
        )
        return json_answer(200, stored.resource(bucket))

    def _begin(self, request: Received, body: bytes, bucket: str) -> Answer:
        described = _json(body) if body else {}
        described.setdefault("contentType", request.headers.get("x-upload-content-type", ""))
        name = _named(request, described)
        _check_conditions(request.query, self._objects(bucket).get(name, []), "POST")
        size = request.headers.get("x-upload-content-length")
        upload_id = secrets.token_urlsafe(32)
        announced = None if size is None else int(size)
        self.sessions[upload_id] = Session(bucket, name, described, {**request.query}, announced)
        path = f"{self.url}/upload/storage/v1/b/{bucket}/o"
        url = f"{path}?uploadType=resumable&name={quote(name, safe='')}&upload_id={upload_id}"
        return Answer(200, b"", {"Location": url, "X-GUploader-UploadID": upload_id})

    def _part(self, request: Received, body: bytes) -> Answer:
        """Take a part; whoever knows the URL may, so no token is looked at."""
        session = self.sessions.get(request.query["upload_id"])
        if session is None:
            raise RefusalError(404, "notFound", "No such upload")
        if request.method == "DELETE":
            del self.sessions[request.query["upload_id"]]
            return Answer(499)
        if request.method != "PUT":
            raise RefusalError(405, "methodNotAllowed", "Method Not Allowed")
        if session.stored is not None:
            return json_answer(200, session.stored)
        whole = f"bytes 0-{len(body) - 1}/{len(body)}"
        span = _SPAN.fullmatch(request.headers.get("content-range", whole))
        if span is None:
            raise RefusalError(400, "invalid", "Failed to parse Content-Range header.")
        total = None if span[3] == "*" else int(span[3])
        if span[1] is not None:
            _take(session, int(span[1]), int(span[2]), total, body)
        elif body:
            raise RefusalError(400, "invalid", "Invalid request.")
        if total is None or len(session.data) < total:
            held = len(session.data)
            return Answer(308, b"", {"Range": f"bytes=0-{held - 1}"} if held else {})
        return self._finish(session, request, total)

    def _finish(self, session: Session, request: Received, total: int) -> Answer:
        if session.announced not in {None, total}:
            raise RefusalError(400, "invalid", "The size is another one than was announced.")
        described = session.described | _named_hashes(request)
        data = bytes(session.data)
        answer = self._store(session.conditions, session.bucket, session.name, described, data)
        session.stored = json.loads(answer.body)
        return answer

    # -- the XML API, by HMAC keys

    def _signed(self, request: Received, body: bytes, raw: str) -> Answer:
        found = _XML.fullmatch(raw)
        if found is None or unquote(found[1]) not in self.buckets:
            return _xml(404, "NoSuchBucket")
        if not self._is_signed_right(request, body):
            return _xml(403, "SignatureDoesNotMatch")
        objects, name = self.buckets[unquote(found[1])], unquote(found[2])
        if request.method == "PUT":
            return Answer(200, b"", _headers(self.put(name, body, bucket=unquote(found[1]))))
        if name not in objects:
            return _xml(404, "NoSuchKey")
        if request.method == "DELETE":
            del objects[name]
            return Answer(204)
        stored = objects[name][-1]
        return Answer(200, stored.data, _headers(stored))

    def _is_signed_right(self, request: Received, body: bytes) -> bool:
        """Compare the signature with the one that botocore makes of what came."""
        parts = _SIGNED.fullmatch(request.headers["authorization"])
        digest = request.headers.get("x-amz-content-sha256", "")
        if parts is None or parts[1] not in self.hmac:
            return False
        if digest not in {"UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()}:
            return False
        signer = S3SigV4Auth(Credentials(parts[1], self.hmac[parts[1]]), "s3", parts[3])
        headers = {name: request.headers.get(name, "") for name in parts[4].split(";")}
        wire = AWSRequest(method=request.method, url=self.url + request.target, headers=headers)
        wire.context["timestamp"] = request.headers.get("x-amz-date", "")
        canonical = signer.canonical_request(wire)
        return bool(
            parts[5] == signer.signature(signer.string_to_sign(wire, canonical), wire)
            and digest == canonical.rpartition("\n")[2]
        )

    # -- who may

    def _authorize(self, request: Received, right: str) -> set[str]:
        if "authorization" not in request.headers:
            message = f"Anonymous caller does not have storage.objects.{right} access."
            raise RefusalError(401, "required", message)
        holder = self.tokens.holder(request)
        if holder is None:
            raise RefusalError(401, "authError", "Invalid Credentials")
        enough = {SCOPE, READ_WRITE} | ({READ_ONLY} if right in {"get", "list"} else set())
        if enough.isdisjoint(holder.scopes):
            message = "Insufficient Permission"
            raise RefusalError(403, "insufficientPermissions", message)
        rights = self.rights.get(holder.email, set())
        if right not in rights:
            raise _denied(f"storage.objects.{right}")
        return rights

    def _objects(self, bucket: str) -> dict[str, list[Object]]:
        if bucket in self.closed:
            raise _denied("storage.buckets.get")
        if bucket not in self.buckets:
            raise RefusalError(404, "notFound", "The specified bucket does not exist.")
        return self.buckets[bucket]


def md5(data: bytes) -> str:
    """Return the MD5 as the API writes it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def crc32c(data: bytes) -> str:
    """Return the CRC-32C as the API writes it."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def _denied(permission: str) -> RefusalError:
    message = f"The account does not have {permission} access to the Google Cloud Storage object."
    return RefusalError(403, "forbidden", message)


def _named(request: Received, described: Mapping[str, Any]) -> str:
    name = request.query.get("name") or described.get("name", "")
    if not name:
        raise RefusalError(400, "required", "Required")
    too_long = len(name.encode()) > _MOST_BYTES_OF_A_NAME
    if too_long or "\r" in name or "\n" in name or name in {".", ".."}:
        raise RefusalError(400, "invalid", f"Invalid object name: {name}")
    return str(name)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        raise RefusalError(400, "parseError", "Parse Error") from None
    return found if isinstance(found, dict) else {}


def _related(request: Received, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Return what a body of two parts says of the object, and its bytes (RFC 2387)."""
    kind = request.headers.get("content-type", "")
    boundary = re.fullmatch(r'multipart/related; boundary="?([^"]+?)"?', kind)
    if boundary is None:
        raise RefusalError(400, "badContent", "Unsupported content with type: " + kind)
    mark = f"--{boundary[1]}".encode()
    if not body.startswith(mark) or not body.rstrip(b"\r\n").endswith(b"\r\n" + mark + b"--"):
        raise RefusalError(400, "badRequest", "Malformed multipart body.")
    head, _, text = body.split(mark, 2)[1].removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not head.lower().startswith(b"content-type: application/json"):
        raise RefusalError(400, "badContent", "The first part is not application/json.")
    head, _, rest = body.split(mark, 2)[2].partition(b"\r\n\r\n")
    described = _json(text)
    described.setdefault("contentType", BytesParser().parsebytes(head).get_content_type())
    return described, rest.rpartition(b"\r\n" + mark + b"--")[0]


def _named_hashes(request: Received) -> dict[str, str]:
    """Return the checksums of the header x-goog-hash as metadata names them."""
    names = {"crc32c": "crc32c", "md5": "md5Hash"}
    said = request.headers.get("x-goog-hash", "")
    pairs = [member.strip().partition("=") for member in said.split(",") if member]
    return {names[name]: value for name, _, value in pairs if name in names}


def _check_hashes(described: Mapping[str, Any], data: bytes) -> None:
    for name, shown, right in (("md5Hash", "MD5", md5(data)), ("crc32c", "CRC32C", crc32c(data))):
        said = described.get(name)
        if said is not None and said != right:
            message = f'Provided {shown} hash "{said}" doesn\'t match calculated {shown} hash '
            raise RefusalError(400, "invalid", f'{message}"{right}".')


def _check_conditions(query: Mapping[str, str], kept: list[Object], method: str) -> None:
    current = kept[-1].generation if kept else 0
    wanted, unwanted = query.get("ifGenerationMatch"), query.get("ifGenerationNotMatch")
    if wanted is not None and int(wanted) != current:
        message = "At least one of the pre-conditions you specified did not hold."
        raise RefusalError(412, "conditionNotMet", message)
    if unwanted is not None and int(unwanted) == current:
        raise RefusalError(304 if method == "GET" else 412, "conditionNotMet", "Not Modified")


def _take(session: Session, first: int, last: int, total: int | None, body: bytes) -> None:
    held = len(session.data)
    if last - first + 1 != len(body) or first > held or (total is not None and last >= total):
        raise RefusalError(400, "invalid", "Invalid request. The range does not fit.")
    is_last = total is not None and last == total - 1
    if not is_last and len(body) % CHUNK:
        raise RefusalError(400, "invalid", "Chunks are a multiple of 256 KiB.")
    session.data += body[held - first :]


def _generation(kept: list[Object], wanted: str | None) -> Object | None:
    if wanted is None:
        return kept[-1] if kept else None
    return next((each for each in kept if str(each.generation) == wanted), None)


def _fields(resource: dict[str, Any], fields: str | None) -> dict[str, Any]:
    if fields is None:
        return resource
    return {name: resource[name] for name in fields.split(",") if name in resource}


def _download(request: Received, found: Object) -> Answer:
    headers = _headers(found)
    packed = found.content_encoding == "gzip"
    if packed and "gzip" not in request.headers.get("accept-encoding", ""):
        unpacked = {name: text for name, text in headers.items() if name != "Content-Encoding"}
        return Answer(200, gzip.decompress(found.data), unpacked)
    span = _RANGE.fullmatch(request.headers.get("range", ""))
    if span is None:
        return Answer(200, found.data, headers)
    first, size = int(span[1]), len(found.data)
    if first >= size:
        return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
    last = min(int(span[2] or size - 1), size - 1)
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Answer(206, found.data[first : last + 1], headers)


def _headers(found: Object) -> dict[str, str]:
    coding = found.content_encoding
    return {
        "Content-Type": found.content_type,
        "ETag": f'"{hashlib.md5(found.data, usedforsecurity=False).hexdigest()}"',
        "x-goog-generation": str(found.generation),
        "x-goog-hash": f"crc32c={crc32c(found.data)},md5={md5(found.data)}",
        "x-goog-stored-content-encoding": coding or "identity",
        "x-goog-stored-content-length": str(len(found.data)),
        **({"Content-Encoding": coding} if coding else {}),
    }


def _xml(status: int, code: str) -> Answer:
    text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>"
    return Answer(status, text.encode(), {"Content-Type": "application/xml; charset=UTF-8"})
