"""Answer like Dropbox: files, upload sessions and token refresh of HTTP API version 2.

Rule: a request that Dropbox refuses is refused here, with its status, body and tags.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import posixpath
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qs

from tests.fakes.http import Answer, FakeServer, Received, json_answer, text_answer

BLOCK = 4 * 1024 * 1024
MAX_REQUEST = 150 * 1024 * 1024
MAX_SESSION = 2**41 - 2**22
TOKEN_LIFE = 14400

_OCTETS = ("application/octet-stream", "text/plain; charset=dropbox-cors-hack")
_JSON = ("application/json", "application/json; charset=utf-8", _OCTETS[1])
_READABLE = ("", "text/plain", "application/octet-stream")

_WRITE = r"(/(.|[\r\n])*)|(ns:[0-9]+(/(.|[\r\n])*)?)|(id:.*)"
_READ = r"(/(.|[\r\n])*|id:.*)|(rev:[0-9a-f]{9,})|(ns:[0-9]+(/(.|[\r\n])*)?)"
_FOLDER = r"(/(.|[\r\n])*)?|id:.*|(ns:[0-9]+(/(.|[\r\n])*)?)"


def content_hash(data: bytes) -> str:
    """Return the hash that Dropbox shows for a file of these bytes."""
    blocks = (data[start : start + BLOCK] for start in range(0, len(data), BLOCK))
    return hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()


class _RefusalError(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


# -- errors in the shapes of the wire


def _tags(path: str) -> dict[str, Any]:
    """Nest "a/b/c" the way a union holds a union."""
    tag, _, rest = path.partition("/")
    return {".tag": tag, tag: _tags(rest)} if rest else {".tag": tag}


def _tagged(
    summary: str, error: Mapping[str, object] | None = None, *, status: int = 409
) -> _RefusalError:
    # The length of the run of dots is random, so that nobody compares the whole summary.
    dots = "." * secrets.randbelow(4)
    body = {"error_summary": f"{summary}/{dots}", "error": error or _tags(summary)}
    challenge = {"WWW-Authenticate": 'Bearer realm="Dropbox-API"'} if status == 401 else {}
    return _RefusalError(json_answer(status, body, challenge))


def _bad_request(route: str, complaint: str) -> _RefusalError:
    return _RefusalError(text_answer(400, f'Error in call to API function "{route}": {complaint}'))


def _upload_failed(reason: str) -> _RefusalError:
    # A struct is flattened into the union that holds it, which is why there is no "path" inside.
    error = {".tag": "path", "reason": _tags(reason), "upload_session_id": secrets.token_hex(8)}
    return _tagged(f"path/{reason}", error)


def _path_failed(reason: str) -> _RefusalError:
    return _tagged(f"path/{reason}")


def _wrong_offset(correct: int, wrap: str) -> _RefusalError:
    error: dict[str, object] = {".tag": "incorrect_offset", "correct_offset": correct}
    if not wrap:
        return _tagged("incorrect_offset", error)
    return _tagged(f"{wrap}/incorrect_offset", {".tag": wrap, wrap: error})


# -- arguments

_Check = Callable[[object], object]
_REQUIRED = object()


def _typed(*types: type, nullable: bool = False) -> _Check:
    def check(value: object) -> object:
        if value is None and nullable:
            return value
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ValueError(f"expected {types[0].__name__}, got {type(value).__name__}")
        return value

    return check


def _matching(pattern: str, *, nullable: bool = False) -> _Check:
    def check(value: object) -> object:
        text = _typed(str, nullable=nullable)(value)
        if isinstance(text, str) and not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} did not match pattern {pattern!r}")
        return text

    return check


def _folder(value: object) -> object:
    if value == "/":
        raise ValueError('Specify the root folder as an empty string rather than as "/".')
    return _matching(_FOLDER)(value)


def _within(low: int, high: int, *, nullable: bool = False) -> _Check:
    def check(value: object) -> object:
        number = _typed(int, nullable=nullable)(value)
        if isinstance(number, int) and not low <= number <= high:
            raise ValueError(f"{number} is not within range [{low}, {high}]")
        return number

    return check


def _union(*void: str, **carrying: _Check) -> _Check:
    """Take a void tag as text or as an object, and any other tag only with its value."""

    def check(value: object) -> object:
        if isinstance(value, str):
            value = {".tag": value}
        tag = value.get(".tag") if isinstance(value, dict) else None
        if isinstance(value, dict) and isinstance(tag, str):
            if tag in void and value.keys() == {".tag"}:
                return tag, None
            if tag in carrying and value.keys() == {".tag", tag}:
                return tag, carrying[tag](value[tag])
        raise ValueError(f"invalid union value {json.dumps(value)}")

    return check


def _struct(**fields: tuple[_Check, object]) -> _Check:
    def check(value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError(f"expected object, got {type(value).__name__}")  # noqa: TRY004
        if unknown := value.keys() - fields:
            raise ValueError(f"unknown field {min(unknown)!r}")
        return {name: _field(name, value, *rule) for name, rule in fields.items()}

    return check


def _field(name: str, value: dict[str, object], check: _Check, default: object) -> object:
    if name not in value:
        if default is _REQUIRED:
            raise ValueError(f"missing required field {name!r}")
        return default
    try:
        return check(value[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


_FLAG = (_typed(bool), False)
_HASH = (_matching("[0-9a-fA-F]{64}", nullable=True), None)
_REV = _matching("[0-9a-f]{9,}", nullable=True)
_COMMIT: dict[str, tuple[_Check, object]] = {
    "path": (_matching(_WRITE), _REQUIRED),
    "mode": (_union("add", "overwrite", update=_matching("[0-9a-f]{9,}")), ("add", None)),
    "autorename": _FLAG,
    "client_modified": (_matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", nullable=True), None),
    "mute": _FLAG,
    "property_groups": (_typed(list, nullable=True), None),
    "strict_conflict": _FLAG,
}
_CURSOR = _struct(session_id=(_typed(str), _REQUIRED), offset=(_within(0, 2**64 - 1), _REQUIRED))
_ARGUMENTS: dict[str, _Check] = {
    "files/upload": _struct(**_COMMIT, content_hash=_HASH),
    "files/download": _struct(path=(_matching(_READ), _REQUIRED), rev=(_REV, None)),
    "files/delete_v2": _struct(path=(_matching(_WRITE), _REQUIRED), parent_rev=(_REV, None)),
    "files/get_metadata": _struct(
        path=(_matching(_READ), _REQUIRED),
        include_media_info=_FLAG,
        include_deleted=_FLAG,
        include_has_explicit_shared_members=_FLAG,
        include_property_groups=(_typed(dict, nullable=True), None),
    ),
    "files/list_folder": _struct(
        path=(_folder, _REQUIRED),
        recursive=_FLAG,
        include_media_info=_FLAG,
        include_deleted=_FLAG,
        include_has_explicit_shared_members=_FLAG,
        include_mounted_folders=(_typed(bool), True),
        limit=(_within(1, 2000, nullable=True), None),
        shared_link=(_typed(dict, nullable=True), None),
        include_property_groups=(_typed(dict, nullable=True), None),
        include_non_downloadable_files=(_typed(bool), True),
        include_restorable_info=_FLAG,
    ),
    "files/list_folder/continue": _struct(cursor=(_matching("(?s).+"), _REQUIRED)),
    "files/upload_session/start": _struct(
        close=_FLAG,
        session_type=(_union("sequential", "concurrent"), ("sequential", None)),
        content_hash=_HASH,
    ),
    "files/upload_session/append_v2": _struct(
        cursor=(_CURSOR, _REQUIRED), close=_FLAG, content_hash=_HASH
    ),
    "files/upload_session/finish": _struct(
        cursor=(_CURSOR, _REQUIRED), commit=(_struct(**_COMMIT), _REQUIRED), content_hash=_HASH
    ),
}
_NAMESPACE = _matching("[-_0-9a-zA-Z:]+")
_ROOT = _union("home", root=_NAMESPACE, namespace_id=_NAMESPACE)
_SCOPES = {
    "files/download": "files.content.read",
    "files/get_metadata": "files.metadata.read",
    "files/list_folder": "files.metadata.read",
    "files/list_folder/continue": "files.metadata.read",
}
_UPLOADS = frozenset(
    {
        "files/upload",
        "files/upload_session/start",
        "files/upload_session/append_v2",
        "files/upload_session/finish",
    }
)


# -- what is stored


@dataclass(frozen=True)
class StoredFile:
    """One revision of a file."""

    path: str
    data: bytes
    id: str
    rev: str
    client_modified: str
    server_modified: str

    @property
    def etag(self) -> str:
        """The validator that a download carries."""
        return f'W/"{self.rev}"'

    def metadata(self) -> dict[str, Any]:
        """Return the file's metadata as the wire has it."""
        return {
            "name": self.path.rpartition("/")[2],
            "path_lower": self.path.lower(),
            "path_display": self.path,
            "id": self.id,
            "client_modified": self.client_modified,
            "server_modified": self.server_modified,
            "rev": self.rev,
            "size": len(self.data),
            "is_downloadable": True,
            "content_hash": content_hash(self.data),
        }


@dataclass
class _UploadSession:
    concurrent: bool
    closed: bool = False
    parts: dict[int, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(map(len, self.parts.values()))

    @property
    def data(self) -> bytes:
        return b"".join(self.parts[offset] for offset in sorted(self.parts))

    @property
    def gapless(self) -> bool:
        ends = [0, *(offset + len(self.parts[offset]) for offset in sorted(self.parts))]
        return ends[:-1] == sorted(self.parts)


class FakeDropbox(FakeServer):
    """A Dropbox account of one user, reached through one app.

    Args:
        token: An access token that is valid.
        refresh_token: The refresh token that makes new access tokens.
        app_key: The client id of the app.
        app_secret: The client secret; None for a PKCE app, which refreshes without one.
        tls: Serve HTTPS, as the vendor's SDK insists on.

    Attributes:
        token: The access token issued last.
        scopes: What tokens may do; discard one for `missing_scope`.
        app_scopes: What the app may ask for; discard one for its plain-text refusal.
        max_request: How many bytes one request may carry.
        max_session: How many bytes one upload session may hold.
        page_size: How many entries one page of a listing holds when the client sets no limit.
        members: The members of a team; with any, the token is the team's and acts as one of them.
        admins: Those of them who may act as admins.
        root: The id of the account's root namespace.
        spaces: The files of each namespace but home, by its id.
        files: The current files, by lower-case path.
        sessions: The open upload sessions, by id.
    """

    def __init__(
        self,
        *,
        token: str = "sl.valid",
        refresh_token: str = "refresh-token",
        app_key: str = "app-key",
        app_secret: str | None = "app-secret",
        tls: bool = False,
    ) -> None:
        super().__init__(tls=tls)
        self.token = token
        self.refresh_token = refresh_token
        self.app_key = app_key
        self.app_secret = app_secret
        self.scopes = {"files.content.write", "files.content.read", "files.metadata.read"}
        self.app_scopes = set(self.scopes)
        self.max_request = MAX_REQUEST
        self.max_session = MAX_SESSION
        self.page_size = 2000
        self.members: set[str] = set()
        self.admins: set[str] = set()
        self.root = "1001"
        self.spaces: dict[str, dict[str, StoredFile]] = {self.root: {}}
        self.files: dict[str, StoredFile] = {}
        self.sessions: dict[str, _UploadSession] = {}
        self._tokens = {token: True}
        self._revisions: dict[str, StoredFile] = {}
        self._deleted: dict[str, str] = {}
        self._pages: dict[str, tuple[list[dict[str, Any]], int]] = {}
        self._write_failures: list[str] = []

    # -- state and faults on demand

    def put(self, path: str, data: bytes) -> StoredFile:
        """Store a file behind the client's back, as another device would."""
        with self.lock:
            return self._write(path, data, None)

    def read(self, path: str) -> bytes:
        """Return the bytes that are stored."""
        return self.files[path.lower()].data

    def issue_token(self) -> str:
        """Make a new valid access token; older ones stay valid."""
        self.token = f"sl.{secrets.token_urlsafe(12)}"
        self._tokens[self.token] = True
        return self.token

    def expire_tokens(self) -> None:
        """Let all access tokens expire that were issued so far."""
        self._tokens = dict.fromkeys(self._tokens, False)

    def fail_write(self, reason: str, *, times: int = 1) -> None:
        """Refuse the next writes with a write error, such as `insufficient_space`."""
        self._write_failures += [reason] * times

    def expire_sessions(self) -> None:
        """Let seven days pass, after which no upload session is known any more."""
        with self.lock:
            self.sessions.clear()

    def reset_cursors(self) -> None:
        """Make the listings in progress start again."""
        self._pages = dict.fromkeys(self._pages, ([], -1))

    def rate_limit(
        self,
        *,
        times: int | None = 1,
        retry_after: int = 1,
        path: str = "/2/",
        reason: str = "too_many_requests",
        plain: bool = False,
    ) -> None:
        """Refuse the next requests with 429, in JSON or in plain text."""
        wait = {"Retry-After": str(retry_after)}
        error = {"reason": {".tag": reason}, "retry_after": retry_after}
        body = {"error_summary": f"{reason}/..", "error": error}
        answer = text_answer(429, reason, wait) if plain else json_answer(429, body, wait)
        self.inject(answer, path=path, times=times)

    # -- requests

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request as Dropbox does."""
        try:
            answer = self._dispatch(request, body)
        except _RefusalError as refusal:
            answer = refusal.answer
        request_id = {"X-Dropbox-Request-Id": secrets.token_hex(16)}
        return replace(answer, headers={**request_id, **answer.headers})

    def refuse(self, request: Received) -> Answer | None:
        """Refuse what is announced to be too large, to whom it may concern."""
        route = request.path.removeprefix("/2/")
        if route not in _UPLOADS or request.size <= self.max_request:
            return None
        try:
            self._authorize(request, route)
        except _RefusalError as refusal:
            return refusal.answer
        return _tagged("payload_too_large").answer

    def _dispatch(self, request: Received, body: bytes) -> Answer:
        if request.path == "/oauth2/token" and request.method == "POST":
            return self._refresh(request, body)
        route = request.path.removeprefix("/2/")
        if not request.path.startswith("/2/") or route not in _ARGUMENTS:
            raise _RefusalError(text_answer(400, f'Unknown API function: "{route}"'))
        if request.method not in (("GET", "POST") if route == "files/download" else ("POST",)):
            raise _RefusalError(text_answer(405, f"Method {request.method} is not allowed"))
        self._authorize(request, route)
        argument = _argument(request, route, body)
        if len(body) > self.max_request:
            raise _tagged("payload_too_large")
        expected = argument.get("content_hash")
        if expected is not None and expected.lower() != content_hash(body):
            raise _tagged("content_hash_mismatch")
        handler = getattr(self, "_" + route.removeprefix("files/").replace("/", "_"))
        home = self.files
        self.files = self._space(request, route)
        try:
            if route == "files/download":
                return self._download(request, argument)
            return json_answer(200, handler(argument, body))
        finally:
            self.files = home

    def _space(self, request: Received, route: str) -> dict[str, StoredFile]:
        """Return the files of the namespace that is the root of this request."""
        header = request.headers.get("dropbox-api-path-root")
        if header is None:
            return self.files
        try:
            tag, wanted = cast("tuple[str, str]", _ROOT(_decoded(header.encode())))
        except ValueError as error:
            complaint = f'HTTP header "Dropbox-API-Path-Root": {error}'
            raise _bad_request(route, complaint) from None
        if tag == "root" and wanted != self.root:
            info = {".tag": "user", "root_namespace_id": self.root, "home_namespace_id": "1"}
            raise _tagged(
                "invalid_root", {".tag": "invalid_root", "invalid_root": info}, status=422
            )
        if tag != "home" and wanted not in self.spaces:
            raise _tagged("no_permission", status=422)
        return self.files if tag == "home" else self.spaces[wanted]

    def _check_member(self, request: Received, route: str) -> None:
        """Refuse a team's token that acts as nobody, and a user's that acts as somebody."""
        user = request.headers.get("dropbox-api-select-user")
        admin = request.headers.get("dropbox-api-select-admin")
        if bool(self.members) is (user is None and admin is None):
            complaint = (
                "This API function operates on a single Dropbox account, but the OAuth 2 access "
                "token you provided is for an entire Dropbox Business team."
                if self.members
                else 'The HTTP header "Dropbox-API-Select-User" is for tokens of a team.'
            )
            raise _bad_request(route, complaint)
        if user is not None and user not in self.members:
            raise _tagged("invalid_select_user", status=401)
        if admin is not None and admin not in self.admins:
            raise _tagged("invalid_select_admin", status=401)

    def _authorize(self, request: Received, route: str) -> None:
        header = request.headers.get("authorization") or request.query.get("authorization")
        if header is None:
            raise _bad_request(
                route, 'Must provide HTTP header "Authorization" or URL parameter "authorization".'
            )
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _bad_request(
                route,
                f'Invalid authorization value in HTTP header "Authorization": "{scheme}".  '
                'Expecting "Bearer <oauth2-access-token>".',
            )
        if not re.fullmatch(r"[\w.~+/=-]+", token, re.ASCII):
            raise _bad_request(route, "The given OAuth 2 access token is malformed.")
        if token not in self._tokens:
            raise _tagged("invalid_access_token", status=401)
        if not self._tokens[token]:
            raise _tagged("expired_access_token", status=401)
        self._check_member(request, route)
        self._check_scope(route, _SCOPES.get(route, "files.content.write"))

    def _check_scope(self, route: str, scope: str) -> None:
        if scope not in self.app_scopes:
            raise _bad_request(
                route,
                "Your app is not permitted to access this endpoint because it does not have "
                f"the required scope '{scope}'.",
            )
        if scope not in self.scopes:
            error = {".tag": "missing_scope", "required_scope": scope}
            raise _tagged("missing_scope", error, status=401)

    def _refresh(self, request: Received, body: bytes) -> Answer:
        form = {name: values[-1] for name, values in parse_qs(body.decode()).items()}
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind != "application/x-www-form-urlencoded":
            return json_answer(400, {"error": "invalid_request"})
        key, secret = _client(request, form)
        if key != self.app_key or self.app_secret not in (None, secret):
            return json_answer(400, {"error": "invalid_client"})
        if form.get("grant_type") != "refresh_token":
            return json_answer(400, {"error": "unsupported_grant_type"})
        if form.get("refresh_token") != self.refresh_token:
            return json_answer(400, {"error": "invalid_grant"})
        token = {"token_type": "bearer", "access_token": self.issue_token()}
        return json_answer(200, {**token, "expires_in": TOKEN_LIFE})

    # -- paths

    def _find(self, path: str, fail: Callable[[str], _RefusalError]) -> str:
        """Return the lower-case path that a path, id or namespace path means."""
        if path.startswith("id:"):
            known = [key for key, file in self.files.items() if file.id == path]
            if not known:
                raise fail("not_found")
            return known[0]
        path = re.sub("^ns:[0-9]+", "", path)
        if path.endswith("/") or "//" in path or {".", ".."} & set(path.split("/")):
            raise fail("malformed_path")
        return path.lower()

    def _is_folder(self, key: str) -> bool:
        return any(other.startswith(f"{key}/") for other in self.files)

    def _file(self, argument: Mapping[str, Any]) -> StoredFile:
        path = argument["path"]
        rev = argument.get("rev") or (path[4:] if path.startswith("rev:") else None)
        if rev is not None:
            if rev not in self._revisions:
                raise _tagged("path/not_found")
            return self._revisions[rev]
        key = self._find(path, _path_failed)
        if key not in self.files:
            raise _tagged("path/not_file" if self._is_folder(key) else "path/not_found")
        return self.files[key]

    # -- endpoints

    def _download(self, request: Received, argument: Mapping[str, Any]) -> Answer:
        file = self._file(argument)
        headers = {"ETag": file.etag, "Accept-Ranges": "bytes"}
        if request.method == "GET" and _matches(request.headers.get("if-none-match"), file.etag):
            return Answer(304, headers=headers)
        headers |= {
            "Dropbox-API-Result": json.dumps(file.metadata()),
            "Content-Type": "application/octet-stream",
        }
        return _ranged(request.headers.get("range"), file.data, headers)

    def _get_metadata(self, argument: Mapping[str, Any], _body: bytes) -> object:
        if argument["path"].startswith("rev:"):
            return {".tag": "file", **self._file(argument).metadata()}
        key = self._find(argument["path"], _path_failed)
        if argument["include_deleted"] and key in self._deleted and key not in self.files:
            return _named("deleted", self._deleted[key])
        return self._entry(key, "path/not_found")

    def _entry(self, key: str, missing: str) -> dict[str, Any]:
        if key in self.files:
            return {".tag": "file", **self.files[key].metadata()}
        inside = [file.path for other, file in self.files.items() if other.startswith(f"{key}/")]
        if not inside:
            raise _tagged(missing)
        folder_id = "id:" + hashlib.sha256(key.encode()).hexdigest()[:22]
        return {**_named("folder", inside[0][: len(key)]), "id": folder_id}

    def _delete_v2(self, argument: Mapping[str, Any], _body: bytes) -> object:
        key = self._find(argument["path"], lambda reason: _tagged(f"path_lookup/{reason}"))
        entry = self._entry(key, "path_lookup/not_found")
        if argument["parent_rev"] not in (None, entry.get("rev")):
            raise _tagged("path_write/conflict/file")
        if self._write_failures:
            raise _tagged(f"path_write/{self._write_failures.pop(0)}")
        for gone in [other for other in self.files if f"{other}/".startswith(f"{key}/")]:
            self._deleted[gone] = self.files.pop(gone).path
        return {"metadata": entry}

    def _list_folder(self, argument: Mapping[str, Any], _body: bytes) -> object:
        key = self._find(argument["path"], _path_failed) if argument["path"] else ""
        if key in self.files:
            raise _tagged("path/not_folder")
        if key and not self._is_folder(key):
            raise _tagged("path/not_found")
        entries = [self._entry(child, "") for child in self._below(key, argument["recursive"])]
        if argument["include_deleted"]:
            gone = (path for low, path in self._deleted.items() if low not in self.files)
            entries += [_named("deleted", path) for path in gone if _parent(path).lower() == key]
        return self._page(entries, argument["limit"] or self.page_size)

    def _below(self, key: str, recursive: bool) -> Iterable[str]:  # noqa: FBT001 - the wire's flag
        found = {key} if key and recursive else set()
        for path in self.files:
            while path != key and path.startswith(f"{key}/"):
                parent = _parent(path)
                if recursive or parent == key:
                    found.add(path)
                path = parent  # noqa: PLW2901 - climbs from the file to the folder
        return sorted(found)

    def _page(self, entries: list[dict[str, Any]], limit: int) -> object:
        cursor = secrets.token_urlsafe(24)
        self._pages[cursor] = (entries[limit:], limit)
        return {"entries": entries[:limit], "cursor": cursor, "has_more": len(entries) > limit}

    def _list_folder_continue(self, argument: Mapping[str, Any], _body: bytes) -> object:
        if argument["cursor"] not in self._pages:
            raise _bad_request("files/list_folder/continue", 'Invalid "cursor" parameter.')
        entries, limit = self._pages[argument["cursor"]]
        if limit < 0:
            raise _tagged("reset")
        return self._page(entries, limit)

    def _upload(self, argument: Mapping[str, Any], body: bytes) -> object:
        return self._commit(argument, body, _upload_failed).metadata()

    def _upload_session_start(self, argument: Mapping[str, Any], body: bytes) -> object:
        session = _UploadSession(concurrent=argument["session_type"][0] == "concurrent")
        if session.concurrent and body:
            raise _tagged("concurrent_session_data_not_allowed")
        if session.concurrent and argument["close"]:
            raise _tagged("concurrent_session_close_not_allowed")
        session.closed = argument["close"]
        session.parts = {0: body} if body else {}
        session_id = f"pid_upload_session:{secrets.token_urlsafe(16)}"
        self.sessions[session_id] = session
        return {"session_id": session_id}

    def _upload_session_append_v2(self, argument: Mapping[str, Any], body: bytes) -> object:
        offset = argument["cursor"]["offset"]
        session = self._session(argument["cursor"], "")
        if session.closed:
            raise _tagged("closed")
        if session.size + len(body) > self.max_session:
            raise _tagged("too_large")
        if session.concurrent and offset % BLOCK:
            raise _tagged("concurrent_session_invalid_offset")
        if session.concurrent and len(body) % BLOCK and not argument["close"]:
            raise _tagged("concurrent_session_invalid_data_size")
        if body:
            session.parts[offset] = body
        session.closed = argument["close"]
        return None

    def _upload_session_finish(self, argument: Mapping[str, Any], body: bytes) -> object:
        offset = argument["cursor"]["offset"]
        session = self._session(argument["cursor"], "lookup_failed")
        if session.concurrent and body:
            raise _tagged("concurrent_session_data_not_allowed")
        if session.concurrent and not session.closed:
            raise _tagged("concurrent_session_not_closed")
        if session.concurrent and not session.gapless:
            raise _tagged("concurrent_session_missing_data")
        if session.concurrent and offset != session.size:
            raise _wrong_offset(session.size, "lookup_failed")
        if session.closed and body:
            raise _tagged("lookup_failed/closed")
        if session.size + len(body) > self.max_session:
            raise _tagged("lookup_failed/too_large")
        file = self._commit(argument["commit"], session.data + body, _path_failed)
        del self.sessions[argument["cursor"]["session_id"]]
        return file.metadata()

    def _session(self, cursor: Mapping[str, Any], wrap: str) -> _UploadSession:
        session = self.sessions.get(cursor["session_id"])
        if session is None:
            raise _tagged(f"{wrap}/not_found" if wrap else "not_found")
        if not session.concurrent and cursor["offset"] != session.size:
            raise _wrong_offset(session.size, wrap)
        return session

    # -- writing

    def _commit(
        self, commit: Mapping[str, Any], data: bytes, fail: Callable[[str], _RefusalError]
    ) -> StoredFile:
        if self._write_failures:
            raise fail(self._write_failures.pop(0))
        # An id that is unknown and a path that is wrong are the same mistake to a write.
        key = self._find(commit["path"], lambda _reason: fail("malformed_path"))
        path = self.files[key].path if key in self.files else _display(commit["path"])
        if not key:
            raise fail("malformed_path")
        conflict = self._conflict(key, commit, data)
        if conflict is None:
            same = key in self.files and self.files[key].data == data
            if same and not commit["strict_conflict"]:
                return self.files[key]
            return self._write(path, data, commit["client_modified"])
        if not commit["autorename"]:
            raise fail(f"conflict/{conflict}")
        return self._write(self._free(path, commit["mode"][0]), data, commit["client_modified"])

    def _conflict(self, key: str, commit: Mapping[str, Any], data: bytes) -> str | None:
        if any(key.startswith(f"{other}/") for other in self.files):
            return "file_ancestor"
        if self._is_folder(key):
            return "folder"
        mode, rev = commit["mode"]
        present, strict = self.files.get(key), commit["strict_conflict"]
        if present is None:
            return "file" if mode == "update" and strict else None
        if mode == "overwrite" or rev == present.rev or (present.data == data and not strict):
            return None
        return "file"

    def _free(self, path: str, mode: str) -> str:
        stem, suffix = posixpath.splitext(path)
        for number in itertools.count(1):
            mark = f"conflicted copy {number}" if mode == "update" else f"{number}"
            renamed = f"{stem} ({mark.removesuffix(' 1')}){suffix}"
            if renamed.lower() not in self.files and not self._is_folder(renamed.lower()):
                break
        return renamed

    def _write(self, path: str, data: bytes, client_modified: str | None) -> StoredFile:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        before = self.files.get(path.lower())
        number = len(self._revisions) + 1
        file = StoredFile(
            path=path,
            data=data,
            id=before.id if before else f"id:{number:022}",
            rev=f"{0x5F0000000 + number:015x}",
            client_modified=client_modified or now,
            server_modified=now,
        )
        self.files[path.lower()] = self._revisions[file.rev] = file
        return file


def _named(tag: str, path: str) -> dict[str, Any]:
    name = path.rpartition("/")[2]
    return {".tag": tag, "name": name, "path_lower": path.lower(), "path_display": path}


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _display(path: str) -> str:
    return re.sub("^ns:[0-9]+", "", path)


def _client(request: Received, form: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return key and secret of the app, from the Basic header or the form."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id"), form.get("client_secret")
    try:
        key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    return key, secret


def _argument(request: Received, route: str, body: bytes) -> dict[str, Any]:
    """Return the checked argument of a call, from wherever its style puts it."""
    kind = request.headers.get("content-type", "")
    download, upload = route == "files/download", route in _UPLOADS
    allowed = _READABLE if download else _OCTETS if upload else _JSON
    if (kind.partition(";")[0].strip() if download else kind) not in allowed:
        raise _bad_request(
            route,
            f'Bad HTTP "Content-Type" header: "{kind}".  Expecting one of '
            + ", ".join(f'"{one}"' for one in allowed if one)
            + ".",
        )
    if download and body:
        raise _bad_request(route, "The HTTP request body must be empty.")
    where, text = _argument_text(request, body, in_body=not (download or upload))
    try:
        return cast("dict[str, Any]", _ARGUMENTS[route](_decoded(text)))
    except ValueError as error:
        raise _bad_request(route, f"{where}: {error}") from None


def _argument_text(request: Received, body: bytes, *, in_body: bool) -> tuple[str, bytes | None]:
    if in_body:
        return "request body", body
    if "arg" in request.query:
        return 'URL parameter "arg"', request.query["arg"].encode()
    header = request.headers.get("dropbox-api-arg")
    safe = header is not None and re.fullmatch("[\x20-\x7e]*", header)
    # What is not safe in a header does not reach the parser whole.
    text = header.encode() if header and safe else b"" if header is not None else None
    return 'HTTP header "Dropbox-API-Arg"', text


def _decoded(text: bytes | None) -> object:
    if text is None:
        raise ValueError("must be given")
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError("could not decode input as JSON") from None


def _matches(condition: str | None, etag: str) -> bool:
    wanted = [one.strip() for one in (condition or "").split(",")]
    return "*" in wanted or etag in wanted or etag.removeprefix("W/") in wanted


def _ranged(wanted: str | None, data: bytes, headers: dict[str, str]) -> Answer:
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if not found or not any(found.groups()):
        return Answer(200, data, headers)
    first, last = found.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start >= len(data) or start > end:
        unsatisfied = {"Content-Range": f"bytes */{len(data)}"}
        return text_answer(416, "Requested range not satisfiable", unsatisfied)
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Answer(206, data[start : end + 1], headers)
