"""Dropbox: a file for each artifact, by version 2 of its HTTP API.

Rule: Dropbox compares the content hash of what comes in, this module that of what goes out; and
no text that Dropbox sent is ever read as a template.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import warnings
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator

from webhook_storage import capture, document
from webhook_storage.contracts import (
    DEFAULT_TIMEOUT,
    Body,
    Exchange,
    Facts,
    Request,
    Response,
    Sink,
)
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseError,
    TooLargeError,
    UnexpectedAnswerError,
    UnsafeValueError,
    WebhookStorageError,
)
from webhook_storage.filters import has_dot_segment
from webhook_storage.kwargs import LiteralSecretWarning
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage
from webhook_storage.template import Fact, Placeholder, Template, escape, parse
from webhook_storage.webhook import Webhook

MAX_REQUEST = 150 * 1024 * 1024
"""Most bytes that Dropbox takes in one request."""

_BLOCK = 4 * 1024 * 1024
_PAGE = 500
"""Entries in a page of a listing; more could be longer than what is kept of an answer."""

_MOST_RESETS = 3
_REFUSED = 409
_CAPTURES = {"id": "json:/id", "rev": "json:/rev"}
_KEYS = ("artifact.key", "flow.slug", "flow.name")
"""Facts that tell one artifact from another, the one that `get` takes first."""


class Dropbox(Storage):
    """Stores on Dropbox, each artifact in one file.

    The access token needs the scopes ``files.content.write``, ``files.content.read`` and
    ``files.metadata.read``. An artifact goes in one request, so it has at most 150 MiB.

    Dropbox does not tell upper from lower case in paths. A path outside of an app's own folder
    begins at the root of the account.

    Example:
        >>> storage = Dropbox(path="/flows/${artifact.key}.flow", token="${DBOX_OAUTH2_TOKEN}")
        >>> storage.mode
        'overwrite'
        >>> Storage.from_json(storage.to_json()) == storage
        True
    """

    path: str = Field(
        description="Where to store: a path from the root, with ${artifact.key}, ${flow.slug}, "
        "${build.time} and their like for what differs from artifact to artifact."
    )
    token: str = Field(
        "${DBOX_OAUTH2_TOKEN}", description="Placeholder of the OAuth 2 access token."
    )
    mode: Literal["add", "overwrite", "update"] = Field(
        "overwrite",
        description="What to do with a file that is there: 'overwrite' replaces it, 'add' refuses, "
        "'update' replaces the revision of which this storage has the receipt and no other.",
    )
    autorename: bool = Field(
        default=False,
        description="Store under another name instead of refusing; give the receipt to fetch it.",
    )
    strict_conflict: bool = Field(
        default=False,
        description="Whether even the same bytes are in the way of 'add' and 'update'.",
    )
    mute: bool = Field(default=True, description="Whether the user's devices stay silent.")
    content_origin: str = Field(
        "https://content.dropboxapi.com", description="Beginning of the URLs that carry files."
    )
    api_origin: str = Field(
        "https://api.dropboxapi.com", description="Beginning of the URLs that carry none."
    )
    timeout: tuple[float, float] = Field(
        DEFAULT_TIMEOUT, description="Seconds to connect, and to wait for each piece."
    )
    verify: bool | str = Field(
        default=True, description="Path of a CA bundle that is trusted as well; False is unsafe."
    )

    @field_validator("path")
    @classmethod
    def _check_path(cls, text: str) -> str:
        parse(text)
        if not text.startswith("/") or text.endswith("/"):
            raise ValueError("it begins with a slash and ends with a name, /flows/${artifact.key}")
        return text

    @field_validator("token")
    @classmethod
    def _check_token(cls, text: str) -> str:
        if parse(text).is_literal:
            message = (
                "Dropbox: 'token' seems to hold a secret itself; write ${NAME} instead, so that it "
                "is neither stored nor shown"
            )
            warnings.warn(message, LiteralSecretWarning, stacklevel=4)
        return text

    @field_validator("content_origin", "api_origin")
    @classmethod
    def _trim_origin(cls, text: str) -> str:
        parse(text)
        return text.removesuffix("/")

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(self, body: Body, facts: Facts) -> Exchange[Receipt]:
        """Upload; Dropbox stores nothing when the bytes changed on their way."""
        if body.size > MAX_REQUEST:
            message = f"{body.size} bytes are more than the {MAX_REQUEST} of one upload to Dropbox"
            hint = "upload sessions, which take more, come in a later version"
            raise TooLargeError(message, hint=hint)
        digest = content_hash(body)
        argument = {**self._commit(facts), "content_hash": digest}
        request = self._upload_request(argument, facts, body)
        response = yield from self._call(request)
        if response.status == _REFUSED:
            # Only 'add' speaks of a file that must not be there; 'update' of one that changed.
            present = _tags(response)[-2:] == ("conflict", "file") and self.mode == "add"
            raise self._refusal(request, response, "exists" if present else "")
        wanted = {**_CAPTURES, "content_hash": "json:/content_hash"}
        captures = capture.capture(wanted, response, request.url)
        self._compare(captures.pop("content_hash"), digest, "says that it has stored")
        return Receipt.of(request.url, body, facts, version=captures["rev"], captures=captures)

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Download, and compare the bytes with the hash that Dropbox has of them."""
        hashing = _HashingSink(sink)
        request = self._download_request(self._place(facts), facts, hashing)
        response = yield from self._call(request)
        if response.status == _REFUSED:
            raise self._refusal(request, response)
        metadata = document.parse(response.headers.get("dropbox-api-result", ""))
        expected = metadata.get("content_hash") if isinstance(metadata, dict) else None
        if not isinstance(expected, str):
            raise _unexpected(request, response, "without the header Dropbox-API-Result")
        self._compare(expected, hashing.hash.hexdigest(), "sent")
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the metadata; a folder is no artifact."""
        request = self._ask("get_metadata", {"path": self._place(facts)}, facts)
        response = yield from self._call(request)
        if response.status == _REFUSED:
            if _tags(response) == ("path", "not_found"):
                return None
            raise self._refusal(request, response)
        entry = _members(request, response)
        size, rev, modified = (entry.get(name) for name in ("size", "rev", "server_modified"))
        if entry.get(".tag") != "file":
            return None
        if not (isinstance(size, str) and isinstance(rev, str) and isinstance(modified, str)):
            raise _unexpected(request, response, "without size, rev and server_modified")
        return Stat(size=int(size), version=rev, modified=modified)

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete one revision of one file.

        Without a revision Dropbox would delete a folder too, with all that is in it. So it comes
        from the receipt, and where there is none it is asked for.
        """
        rev = facts.get("receipt.rev")
        if rev is None:
            found = yield from self.stat_exchange(facts)
            if found is None or found.version is None:
                hint = _MEANINGS["not_found"].hint
                raise ObjectNotFoundError(f"there is no file {self.path} on Dropbox", hint=hint)
            rev = found.version
        argument = {"path": self._place(facts), "parent_rev": escape(rev)}
        request = self._ask("delete_v2", argument, facts)
        response = yield from self._call(request)
        if response.status == _REFUSED:
            if response.attempts > 1 and _tags(response)[-1:] == ("not_found",):
                return  # an earlier attempt did it, and its answer was lost
            raise self._refusal(request, response)

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the folder, with those in it, and take the keys out of the paths."""
        listed = _Listed(self.path)
        argument = {"path": listed.folder, "recursive": True, "limit": _PAGE}
        first = request = self._ask("list_folder", argument, facts)
        keys: dict[str, None] = {}
        resets = 0
        while True:
            response = yield from self._call(request)
            if response.status == _REFUSED:
                tags = _tags(response)
                if tags == ("path", "not_found"):
                    return []  # Dropbox makes a folder with its first file
                if tags != ("reset",) or resets == _MOST_RESETS:
                    raise self._refusal(request, response)
                resets += 1
                keys.clear()
                request = first
                continue
            page = _members(request, response)
            keys |= dict.fromkeys(listed.keys(page.get("entries")))
            if page.get("has_more") is not True:
                return [*keys]
            argument = {"cursor": escape(str(page.get("cursor")))}
            request = self._ask("list_folder/continue", argument, facts)

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the path.

        Names of flows are told apart as their slugs are, since Dropbox is blind to case.
        """
        facts = frozenset(parse(self.path).facts())
        return facts - {"flow.name"} | {"flow.slug"} if "flow.name" in facts else facts

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores in the same files, with all requests spelled out.

        What one request cannot say is left out: the content hash, `exists` and `list`. It deletes
        by receipt only. Flows that wait to be built stay here.

        Raises:
            ConfigurationError: When the mode is ``update``, of which each request is another.
        """
        if self.mode == "update":
            message = "mode 'update' names another revision each time, which plain kwargs cannot"
            raise ConfigurationError(message, path="mode", hint="use 'overwrite' or 'add'")
        place = "${receipt.id}" if self.autorename else self.path
        delete = self._ask("delete_v2", {"path": place, "parent_rev": "${receipt.rev}"}, {})
        return Webhook(
            _kwargs(self._upload_request(self._commit({}), {}, None)),
            "POST",
            _kwargs(self._download_request(place, {}, None)),
            "POST",
            delete_request={**_kwargs(delete), "method": "POST"},
            captures=_CAPTURES,
            idempotent=self.mode == "overwrite",
            **self.model_dump(include=set(Storage.model_fields)),
        )

    # --- requests ---------------------------------------------------------------------------------

    def _commit(self, facts: Facts) -> dict[str, Any]:
        """Return what an upload says of the file."""
        self._check_values(facts)
        earlier = self.receipts.get(facts.get("artifact.key", ""))
        mode: Any = self.mode
        if self.mode == "update":
            rev = earlier.captures.get("rev") if earlier else None
            mode = {".tag": "update", "update": escape(rev)} if rev else "add"
        return {
            "path": self.path,
            "mode": mode,
            "autorename": self.autorename,
            "mute": self.mute,
            "strict_conflict": self.strict_conflict,
        }

    def _upload_request(self, argument: dict[str, Any], facts: Facts, body: Body | None) -> Request:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/octet-stream",
            "Dropbox-API-Arg": argument,
        }
        url = f"{self.content_origin}/2/files/upload"
        idempotent = True if self.mode == "overwrite" else None
        return self._post(url, headers, facts, body=body, idempotent=idempotent)

    def _download_request(self, place: str, facts: Facts, sink: Sink | None) -> Request:
        # No body and no Content-Type: Dropbox refuses nearly all of them here.
        headers = {"Authorization": f"Bearer {self.token}", "Dropbox-API-Arg": {"path": place}}
        url = f"{self.content_origin}/2/files/download"
        return self._post(url, headers, facts, sink=sink, idempotent=True)

    def _ask(self, route: str, argument: dict[str, Any], facts: Facts) -> Request:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.api_origin}/2/files/{route}"
        return self._post(url, headers, facts, json=argument, idempotent=True)

    def _post(
        self,
        url: str,
        headers: dict[str, Any],
        facts: Facts,
        **more: Any,
    ) -> Request:
        return Request(
            method="POST",
            url=url,
            headers=headers,
            timeout=self.timeout,
            verify=self.verify,
            accept=frozenset({200}),
            returns=frozenset({_REFUSED}),
            facts=facts,
            **more,
        )

    def _place(self, facts: Facts) -> str:
        """Return the template of the path; a file that was renamed is known by its id only."""
        self._check_values(facts)
        return "${receipt.id}" if self.autorename and "receipt.id" in facts else self.path

    def _check_values(self, facts: Facts) -> None:
        """Refuse keys that climb out of their folder.

        Raises:
            UnsafeValueError: When one does.
        """
        for name in parse(self.path).facts():
            if has_dot_segment(facts.get(name, "")):
                message = f"${{{name}}}: its value has a '.' or '..' segment, which leaves the path"
                raise UnsafeValueError(message, names=(name,))

    # --- answers ----------------------------------------------------------------------------------

    def _call(self, request: Request) -> Exchange[Response]:
        """Send and return the answer, be it a success or a 409."""
        try:
            response: Response = yield request
        except AuthenticationError as error:
            error.hint = _RENEW if error.status == 401 else error.hint  # noqa: PLR2004
            raise
        return response

    def _refusal(
        self, request: Request, response: Response, meaning: str = ""
    ) -> WebhookStorageError:
        """Return the error for a 409, which Dropbox explains by tags."""
        tags = _tags(response)
        candidates = (meaning, "/".join(tags[-2:]), *reversed(tags))
        known = next((_MEANINGS[name] for name in candidates if name in _MEANINGS), _UNKNOWN)
        reason = "/".join(tags) or "no tag"
        where = f"{request.method} {request.url} of {self.path}"
        message = f"{where} answered 409 ({reason}): {known.words}"
        if issubclass(known.kind, ResponseError):
            return known.kind(
                message, status=response.status, attempts=response.attempts, hint=known.hint
            )
        return known.kind(message, hint=known.hint)

    def _compare(self, theirs: str, ours: str, verb: str) -> None:
        """Compare two content hashes.

        Raises:
            IntegrityError: When they differ.
        """
        if not hmac.compare_digest(theirs.lower().encode(), ours.encode()):
            message = f"{self.path}: Dropbox {verb} other bytes; the content hashes differ"
            raise IntegrityError(message, hint="something on the way alters bytes; try again")


# --- the content hash -----------------------------------------------------------------------------


class ContentHash:
    """The SHA-256 of the SHA-256 digests of all blocks of 4 MiB, as Dropbox takes it."""

    __slots__ = ("_block", "_left", "_whole")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._left = _BLOCK

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        rest = memoryview(chunk)
        while rest:
            part, rest = rest[: self._left], rest[self._left :]
            self._block.update(part)
            self._left -= len(part)
            if not self._left:
                self._whole.update(self._block.digest())
                self._block, self._left = hashlib.sha256(), _BLOCK

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far, in lower-case hex."""
        whole = self._whole.copy()
        if self._left < _BLOCK:
            whole.update(self._block.digest())
        return whole.hexdigest()


def content_hash(body: Body) -> str:
    """Return the content hash of a body; it is read once for that.

    Example:
        >>> from webhook_storage.artifact import BytesBody
        >>> content_hash(BytesBody(b"hello world"))[:16]
        'bc62d4b80d9e36da'
    """
    taken = ContentHash()
    for chunk in body.chunks():
        taken.update(chunk)
    return taken.hexdigest()


class _HashingSink:
    """Takes the content hash of what goes into another sink."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.blocks = sink.blocks
        self.hash = ContentHash()

    def reset(self) -> None:
        """Forget what was written."""
        self._sink.reset()
        self.hash = ContentHash()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.hash.update(chunk)
        self._sink.write(chunk)


# --- keys in a listing ----------------------------------------------------------------------------

_SHAPES = {
    "artifact.key": ".+",
    "artifact.sha256": "[0-9a-f]{64}",
    "artifact.size": "[0-9]+",
    "build.time": r"[0-9]{4}-[0-9]{2}-[0-9]{2}t[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{6}z",
    "flow.name": ".+",
    "flow.slug": "[a-z0-9-]+",
}
"""What the values of facts look like in a path."""


class _Listed:
    """The path of a storage, read backwards: from the files that are there to their keys.

    Attributes:
        folder: Template of the folder in which all artifacts are.
    """

    def __init__(self, path: str) -> None:
        template = parse(path)
        key = next((name for name in _KEYS if name in template.facts()), None)
        if key is None:
            message = "a path without ${artifact.key} holds one artifact, there is no list of keys"
            raise ConfigurationError(message, path="path")
        self.folder = _folder(template)
        self._pattern = re.compile(_pattern(template, key), re.IGNORECASE | re.DOTALL)

    def keys(self, entries: Any) -> Names:
        """Return the keys of the files in one page of a listing; other files have none."""
        files = [
            str(entry.get("path_display", ""))
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict) and entry.get(".tag") == "file"
        ]
        return [match["key"] for match in map(self._pattern.fullmatch, files) if match]


def _folder(template: Template) -> str:
    """Return the part of the path that is the same for all artifacts, up to a slash."""
    folder = ""
    for part, following in pairwise(template.parts):
        if isinstance(following, Placeholder):
            if isinstance(part, str) and "/" in part:
                folder = template.text[: following.position].rpartition("/")[0]
            if isinstance(following.source, Fact):
                break
    return folder


def _pattern(template: Template, key: str) -> str:
    """Return the regular expression of the paths; its group is the key."""
    pieces: Names = []
    for part in template.parts:
        if isinstance(part, str):
            pieces.append(re.escape(part))
        elif str(part.source) != key:
            pieces.append(_SHAPES.get(str(part.source), ".+?"))
        elif part.filters:
            message = f"a list cannot undo the filter {part.filters[-1]!r} of ${{{key}}}"
            raise ConfigurationError(message, path="path")
        else:
            again = any(piece.startswith("(?P<key>") for piece in pieces)
            pieces.append("(?P=key)" if again else f"(?P<key>{_SHAPES[key]})")
    return "".join(pieces)


# --- readings -------------------------------------------------------------------------------------


class _Meaning(NamedTuple):
    """What a tag of a 409 says to somebody who stores artifacts."""

    kind: type[WebhookStorageError]
    words: str
    hint: str


_TAG = re.compile("[a-z][a-z0-9_]{0,63}")
_MOST_TAGS = 5

_RENEW = (
    "an access token of Dropbox lives four hours, get a new one by the refresh token; a new scope "
    "takes a new token too: files.content.write, files.content.read, files.metadata.read"
)
_UNKNOWN = _Meaning(
    ConflictError, "Dropbox has a rule against it", "look the tag up in Dropbox's documentation"
)
_NO_PERMISSION = _Meaning(
    PermissionDeniedError, "this account may not do this there", "may it write to that folder?"
)
_BAD_NAME = _Meaning(ResponseError, "Dropbox takes no such name", "change the path or the key")
_MEANINGS = {
    "not_found": _Meaning(
        ObjectNotFoundError, "there is no such file", "is it stored, and are path and key right?"
    ),
    "not_file": _Meaning(ObjectNotFoundError, "a folder has that name", "give the path of a file"),
    "exists": _Meaning(
        ObjectExistsError, "another file is there", "use mode 'overwrite' to replace it"
    ),
    "conflict/file": _Meaning(
        ConflictError,
        "another revision is there than the one that is known here",
        "fetch it, and decide which one to keep",
    ),
    "conflict/folder": _Meaning(ConflictError, "a folder has that name", "use another path"),
    "conflict/file_ancestor": _Meaning(
        ConflictError, "a file has the name of one of its folders", "use another path"
    ),
    "content_hash_mismatch": _Meaning(
        IntegrityError,
        "other bytes came than were sent, and nothing was stored",
        "something on the way alters bytes; try again",
    ),
    "disallowed_name": _BAD_NAME,
    "insufficient_space": _Meaning(
        ResponseError, "the account is full", "delete something there, or get more space"
    ),
    "locked": _NO_PERMISSION,
    "malformed_path": _BAD_NAME,
    "no_write_permission": _NO_PERMISSION,
    "payload_too_large": _Meaning(
        TooLargeError,
        "it is too large for one upload",
        "upload sessions, which take more, come in a later version",
    ),
    "restricted_content": _NO_PERMISSION,
    "team_folder": _NO_PERMISSION,
    "too_many_write_operations": _Meaning(
        RateLimitedError,
        "others write to the same place at this moment",
        "try again in a moment, and write one after the other",
    ),
}
"""By the last tag, or the last two."""


def _tags(response: Response) -> tuple[str, ...]:
    """Return the tags of an error, the outermost first: path, conflict, file."""
    body = document.parse(response.body.decode("utf-8", errors="replace"))
    node = body.get("error") if isinstance(body, dict) else None
    tags: Names = []
    while len(tags) < _MOST_TAGS:
        tag = node.get(".tag") if isinstance(node, dict) else node
        if not (isinstance(tag, str) and _TAG.fullmatch(tag)):
            break
        if response.echoes is not None and response.echoes(tag):
            break
        tags.append(tag)
        # An upload's error holds its reason beside the tag, all others below it.
        node = node.get(tag, node.get("reason")) if isinstance(node, dict) else None
    return tuple(tags)


def _members(request: Request, response: Response) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        UnexpectedAnswerError: When it is none.
    """
    body = document.parse(response.body.decode("utf-8", errors="replace"))
    if not isinstance(body, dict):
        raise _unexpected(request, response, "with no JSON object")
    return body


def _unexpected(request: Request, response: Response, what: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(
        f"{request.method} {request.url} answered {response.status} {what}",
        status=response.status,
        attempts=response.attempts,
        hint="is it Dropbox that answers, or a proxy in between?",
    )


def _kwargs(request: Request) -> dict[str, Any]:
    """Return a request as kwargs, without what is the default anyway."""
    kwargs: dict[str, Any] = {"url": request.url, "headers": request.headers}
    if request.json is not None:
        kwargs["json"] = request.json
    if request.timeout != DEFAULT_TIMEOUT:
        kwargs["timeout"] = request.timeout
    if request.verify is not True:
        kwargs["verify"] = request.verify
    return kwargs
