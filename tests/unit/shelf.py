"""A small preset that keeps all promises of one, and the service that it stores on, in memory."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field

from webhook_storage import Webhook
from webhook_storage.answer import maybe_done
from webhook_storage.contracts import (
    PLAIN,
    Body,
    Exchange,
    Facts,
    Request,
    Response,
    Sink,
    StoreOptions,
)
from webhook_storage.errors import ConflictError, ObjectExistsError, ProtocolError, TooLargeError
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage
from webhook_storage.template import escape
from webhook_storage.testing import canary
from webhook_storage.upload import MultipartUpload, PartBody, State, Tags, in_parts
from webhook_storage_presets.keys import check_facts

if TYPE_CHECKING:
    from webhook_storage.testing import SentRequest
    from webhook_storage.testing.transport import Answer

TOKEN, WRONG = canary(), canary()
MEBI = 1024**2
LARGEST = 1024 * 1024 * MEBI
LIST = "?list=1"
_REFUSED = frozenset({412})


class Service:
    """Keeps files by bucket and key for who has the token; `closed` is a bucket for nobody.

    Attributes:
        files: Version and bytes of each file.
        fault: What happens to the next request that brings bytes: a status, or its answer is lost.
    """

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, bytes]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.fault: int | str | None = None
        self._changes = 0
        self._lock = threading.Lock()

    def answer(self, request: SentRequest) -> Answer:
        """Answer one request."""
        with self._lock:
            fault, self.fault = (self.fault, None) if request.body else (None, self.fault)
            if isinstance(fault, int):
                return fault, {}, b""
            answer = self._checked(request)
            if fault == "lost":
                raise ProtocolError("the answer was lost")
            return answer

    def _checked(self, request: SentRequest) -> Answer:
        bucket = request.path.split("/")[1]
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {}, b""
        if bucket == "closed":
            return 403, {}, b""
        if bucket != "flows":
            return 404, {}, b""
        split = urlsplit(request.url)
        name, query = unquote(split.path), parse_qs(split.query)
        if "list" in query:
            listed = [path.removeprefix("/flows/") for path in self.files]
            return 200, {}, json.dumps(listed).encode()
        if "upload" in query:
            return self._part(request, query["upload"][0], query)
        return getattr(self, f"_{request.method.lower()}")(request, name)  # type: ignore[no-any-return]

    def _put(self, request: SentRequest, name: str) -> Answer:
        return self._store(request, name, request.body)

    def _store(self, request: SentRequest, name: str, content: bytes) -> Answer:
        version, _ = self.files.get(name, (None, b""))
        if request.headers.get("if-none-match") == "*" and version is not None:
            return 412, {}, b""
        if request.headers.get("if-match", version) != version:
            return 412, {}, b""
        self._changes += 1
        self.files[name] = f'"{self._changes}"', content
        return 201, {"ETag": self.files[name][0]}, b""

    def _get(self, _request: SentRequest, name: str) -> Answer:
        if name not in self.files:
            return 404, {}, b""
        version, content = self.files[name]
        return 200, {"ETag": version, "Content-Length": str(len(content))}, content

    def _head(self, request: SentRequest, name: str) -> Answer:
        status, headers, _ = self._get(request, name)
        return status, headers, b""

    def _delete(self, _request: SentRequest, name: str) -> Answer:
        return (404, {}, b"") if self.files.pop(name, None) is None else (204, {}, b"")

    def _post(self, _request: SentRequest, _name: str) -> Answer:
        self._changes += 1
        self.uploads[str(self._changes)] = {}
        return 201, {"X-Upload": str(self._changes)}, b""

    def _part(self, request: SentRequest, upload: str, query: dict[str, list[str]]) -> Answer:
        parts = self.uploads.get(upload)
        if parts is None:
            return 404, {}, b""
        if request.method == "DELETE":
            del self.uploads[upload]
            return 204, {}, b""
        if request.method == "PUT":
            parts[int(query["part"][0])] = request.body
            return 200, {}, b""
        order = json.loads(request.body)
        content = b"".join(parts[number] for number in order)
        return self._store(request, unquote(urlsplit(request.url).path), content)


class Shelf(Storage):
    """Stores in a bucket of the service."""

    bucket: str = Field("flows", description="Name of the bucket.")
    token: str = Field("${SHELF_TOKEN}", description="Placeholder of the token.")
    parts_above: int = Field(8 * MEBI, description="Most bytes that go in one request.")
    part_size: int = Field(4 * MEBI, description="Number of bytes of a part.")

    def request(self, method: str, facts: Facts, query: str = "", **more: Any) -> Request:
        """Return a request for the artifact."""
        check_facts("${artifact.key}", facts)
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        key = "" if query == LIST else "/${artifact.key|path}"
        url = f"https://files.example.com/{self.bucket}{key}{query}"
        return Request(method=method, url=url, facts=facts, headers=headers, **more)

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store in one request, or in parts."""
        if body.size > LARGEST:
            raise TooLargeError("it is larger than a shelf", hint="store it elsewhere")
        if body.size > self.parts_above:
            upload = ShelfUpload(self, facts, options)
            response = yield from in_parts(
                upload, body, part_size=self.part_size, checkpoint=options.checkpoint
            )
        else:
            response = yield from self.send(body, facts, options)
        return self.receipt(body, facts, response)

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        """Store in one request."""
        response: Response = yield self.request(
            "PUT", facts, body=body, headers=self.conditions(options), returns=_REFUSED
        )
        if response.status not in _REFUSED:
            return response
        found = None
        if maybe_done(response.history):
            found = yield from self.stored_already(body, facts)
        if found is None:
            kind = ObjectExistsError if options.if_absent else ConflictError
            raise kind("the condition does not hold", status=response.status)
        return found

    def conditions(self, options: StoreOptions) -> dict[str, str]:
        """Return the headers that make a store conditional."""
        if options.if_absent:
            return {"If-None-Match": "*"}
        return {} if options.if_version is None else {"If-Match": escape(options.if_version)}

    def receipt(self, body: Body, facts: Facts, response: Response) -> Receipt:
        """Return the receipt of a store."""
        url = self.request("PUT", facts).url
        return Receipt.of(url, body, facts, version=response.headers.get("etag"))

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch it."""
        response: Response = yield self.request("GET", facts, sink=sink)
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for its headers."""
        response: Response = yield self.request("HEAD", facts, returns=frozenset({404}))
        if response.status == 404:
            return None
        size = int(response.headers["content-length"])
        return Stat(size=size, version=response.headers["etag"])

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete it."""
        yield self.request("DELETE", facts)

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the bucket."""
        response: Response = yield self.request("GET", facts, LIST)
        names: Names = json.loads(response.body)
        return names

    def naming_facts(self) -> frozenset[str]:
        """A key is all that it takes."""
        return frozenset({"artifact.key"})

    def as_webhook(self) -> Webhook:
        """Return the same in plain kwargs."""
        request = self.request("PUT", {})
        kwargs = {"url": request.url, "headers": dict(request.headers)}
        return Webhook(kwargs, "PUT", kwargs, "GET")


class ShelfUpload(MultipartUpload[Response]):
    """Parts by number."""

    leftover: ClassVar[str] = "the service forgets it"

    def __init__(self, storage: Shelf, facts: Facts, options: StoreOptions) -> None:
        self.storage, self.facts, self.options = storage, facts, options

    def begin(self) -> Exchange[State]:
        """Get an id."""
        response: Response = yield self.storage.request("POST", self.facts, idempotent=True)
        return {"id": response.headers["x-upload"]}

    def accepts(self, state: State) -> bool:
        """Want a number."""
        return state["id"].isdigit()

    def send(self, state: State, part: PartBody) -> Exchange[str]:
        """Send a part."""
        return (yield from self.send_bytes(state, part.number, part))

    def send_bytes(self, state: State, number: int, body: Body) -> Exchange[str]:
        """Send a part by its number."""
        yield self.storage.request("PUT", self._facts(state, number), _PART, body=body)
        return ""

    def status(self, state: State, tags: Tags) -> Exchange[Tags | None]:
        """Nobody can be asked."""
        yield from ()
        return tags

    def finish(self, state: State, tags: Tags) -> Exchange[Response]:
        """Name the parts in their order."""
        response: Response = yield self.storage.request(
            "POST",
            self._facts(state, 0),
            _PART,
            json=self.order(tags),
            headers=self.storage.conditions(self.options),
            idempotent=True,
        )
        return response

    def order(self, tags: Tags) -> list[int]:
        """Return the numbers of the parts as they follow one another."""
        return sorted(tags)

    def abort(self, state: State) -> Exchange[bool]:
        """Let the parts be forgotten."""
        yield self.storage.request("DELETE", self._facts(state, 0), _PART)
        return True

    def _facts(self, state: State, number: int) -> dict[str, str]:
        own = {"receipt.id": state["id"], "receipt.part": str(number)}
        return {**self.facts, **own}


_PART = "?upload=${receipt.id}&part=${receipt.part}"
