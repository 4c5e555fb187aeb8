"""Storages for tests that upload in parts, to real servers: OCI blobs, Swift segments, and tus."""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

from webhook_storage import Storage
from webhook_storage.contracts import (
    PLAIN,
    Body,
    Exchange,
    Facts,
    Request,
    Response,
    Sink,
    StoreOptions,
    Work,
)
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.upload import (
    MultipartUpload,
    PartBody,
    Progress,
    ResumableUpload,
    State,
    Tags,
    in_parts,
)

if TYPE_CHECKING:
    from webhook_storage.storage import Names

OK = frozenset({200, 201, 202, 204})
GONE = 404


class PartedStorage(Storage):
    """What the three have in common: they store, fetch, and nothing else."""

    origin: str
    part_size: int = 256 * 1024
    limit: int = 2

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host that may get the credential."""
        return (urlsplit(self.origin).hostname or "",)

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """No test asks."""
        raise NotImplementedError

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """No test deletes."""
        raise NotImplementedError

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """No test lists."""
        raise NotImplementedError


def _by_location(storage: PartedStorage, method: str, state: State, **more: Any) -> Request:
    """Return a request to the URL that the service gave, which is shown by its name only.

    It was accepted because it is at the storage's own host, which may get the credential.
    """
    return Request(
        method=method,
        url="${receipt.upload}",
        facts={"receipt.upload": state["url"]},
        redirect_hosts=storage.hosts,
        **more,
    )


# --- OCI ------------------------------------------------------------------------------------------


class OciBlobs(PartedStorage):
    """Stores each artifact as a blob, which has its digest for a name."""

    repository: str = "/v2/team/artifacts"

    @property
    def auth(self) -> tuple[str, str]:
        """User and password."""
        return "${REGISTRY_USER}", "${REGISTRY_PASSWORD}"

    def naming_facts(self) -> frozenset[str]:
        """The digest."""
        return frozenset({"artifact.sha256"})

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store by an upload in parts."""
        upload = OciUpload(self, body)
        response = yield from in_parts(
            upload, body, part_size=self.part_size, checkpoint=options.checkpoint
        )
        digest = response.headers["docker-content-digest"]
        return Receipt.of(f"{self.origin}{self.repository}", body, facts, version=digest)

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch by digest."""
        url = f"{self.origin}{self.repository}/blobs/sha256:${{artifact.sha256}}"
        response: Response = yield Request(
            method="GET", url=url, auth=self.auth, sink=sink, facts=facts
        )
        return response


class OciUpload(ResumableUpload[Response]):
    """POST, PATCH for each part, PUT with the digest (OCI distribution specification)."""

    leftover: ClassVar[str] = "the registry purges uploads that are a week old"

    def __init__(self, storage: OciBlobs, body: Body) -> None:
        """Keep what is asked for."""
        self._storage = storage
        self._body = body

    def accepts(self, state: State) -> bool:
        """Want a URL of this repository."""
        uploads = f"{self._storage.origin}{self._storage.repository}/blobs/uploads/"
        return state.keys() == {"url"} and state["url"].startswith(uploads)

    def begin(self) -> Exchange[State]:
        """Get a URL."""
        url = f"{self._storage.origin}{self._storage.repository}/blobs/uploads/"
        response: Response = yield Request(
            method="POST", url=url, auth=self._storage.auth, idempotent=True
        )
        return {"url": response.headers["location"]}

    def send(self, state: State, part: PartBody) -> Exchange[Progress]:
        """Send a part; the next one goes to another URL."""
        response: Response = yield _by_location(
            self._storage,
            "PATCH",
            state,
            headers={
                "Content-Range": f"{part.start}-{part.end - 1}",
                "Content-Type": "application/octet-stream",
            },
            body=part,
            auth=self._storage.auth,
            accept=OK,
            idempotent=False,
        )
        return _oci_progress(response)

    def status(self, state: State) -> Exchange[Progress | None]:
        """Ask how far it is."""
        response: Response = yield _by_location(
            self._storage,
            "GET",
            state,
            auth=self._storage.auth,
            accept=OK,
            returns=frozenset({GONE}),
        )
        return None if response.status == GONE else _oci_progress(response)

    def finish(self, state: State) -> Exchange[Response]:
        """Say which digest all of it has."""
        response: Response = yield _by_location(
            self._storage,
            "PUT",
            state,
            params={"digest": f"sha256:{self._body.sha256()}"},
            auth=self._storage.auth,
            accept=OK,
        )
        return response

    def abort(self, state: State) -> Exchange[bool]:
        """Delete it."""
        yield _by_location(self._storage, "DELETE", state, auth=self._storage.auth, accept=OK)
        return True

    def stored(self) -> Exchange[Response | None]:
        """Look whether there is a blob of that digest."""
        storage = self._storage
        url = f"{storage.origin}{storage.repository}/blobs/sha256:{self._body.sha256()}"
        response: Response = yield Request(
            method="HEAD", url=url, auth=storage.auth, returns=frozenset({GONE})
        )
        return None if response.status == GONE else response


def _oci_progress(response: Response) -> Progress:
    """Return the offset, which is told by the last byte; the registry says 0-0 for none."""
    last = int(response.headers["range"].removeprefix("0-"))
    return Progress({"url": response.headers["location"]}, last + 1 if last else 0)


# --- Swift ----------------------------------------------------------------------------------------


class SwiftSegments(PartedStorage):
    """Stores an artifact as segments, which a manifest puts together (Swift, Static Large Objects).

    The origin is the storage URL of an account, in which both containers are.
    """

    container: str = "artifacts"

    @property
    def headers(self) -> dict[str, str]:
        """The token."""
        return {"X-Auth-Token": "${SWIFT_TOKEN}"}

    def naming_facts(self) -> frozenset[str]:
        """The key."""
        return frozenset({"artifact.key"})

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store by an upload in parts."""
        upload = SwiftUpload(self, facts)
        etag = yield from in_parts(
            upload, body, part_size=self.part_size, limit=self.limit, checkpoint=options.checkpoint
        )
        return Receipt.of(upload.url, body, facts, version=etag)

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch what the manifest names."""
        url = f"{self.origin}/{self.container}/${{artifact.key}}"
        response: Response = yield Request(
            method="GET", url=url, headers=self.headers, sink=sink, facts=facts
        )
        return response


class SwiftUpload(MultipartUpload[str]):
    """Segments below a prefix of this upload's own."""

    leftover: ClassVar[str] = "delete the segments below that name"

    def __init__(self, storage: SwiftSegments, facts: Facts) -> None:
        """Keep what is asked for."""
        self._storage = storage
        self._facts = facts
        self._segments = f"{storage.origin}/{storage.container}_segments"
        self._sizes: dict[int, int] = {}
        self.url = f"{storage.origin}/{storage.container}/${{artifact.key}}"

    def public_id(self, state: State) -> str:
        """A name is no right."""
        return state["prefix"]

    def accepts(self, state: State) -> bool:
        """Want a prefix of our making."""
        return state.keys() == {"prefix"} and bool(re.fullmatch("[0-9a-f]{32}", state["prefix"]))

    def begin(self) -> Exchange[State]:
        """Think of a prefix; nobody needs to know."""
        yield from ()
        return {"prefix": uuid4().hex}

    def send(self, state: State, part: PartBody) -> Exchange[str]:
        """Store a segment, which Swift compares with its MD5."""
        tag: str = yield Work(partial(_md5, part))
        response: Response = yield Request(
            method="PUT",
            url=f"{self._segments}/{state['prefix']}/{part.number:05}",
            headers={**self._storage.headers, "ETag": tag},
            body=part,
        )
        return f"{response.headers['etag']} {part.size}"

    def status(self, state: State, tags: Tags) -> Exchange[Tags | None]:
        """List the segments."""
        listed = yield from self._list(state)
        return {
            int(each["name"].rpartition("/")[2]): f"{each['hash']} {each['bytes']}"
            for each in listed
        } or None

    def finish(self, state: State, tags: Tags) -> Exchange[str]:
        """Store the manifest."""
        manifest = [
            {
                "path": f"/{self._storage.container}_segments/{state['prefix']}/{number:05}",
                "etag": tag.split()[0],
                "size_bytes": int(tag.split()[1]),
            }
            for number, tag in tags.items()
        ]
        response: Response = yield Request(
            method="PUT",
            url=self.url,
            params={"multipart-manifest": "put"},
            headers=self._storage.headers,
            json=manifest,
            facts=self._facts,
        )
        return response.headers["etag"].strip('"')

    def abort(self, state: State) -> Exchange[bool]:
        """Delete the segments."""
        listed = yield from self._list(state)
        for each in listed:
            url = f"{self._segments}/{each['name']}"
            yield Request(method="DELETE", url=url, headers=self._storage.headers)
        return True

    def _list(self, state: State) -> Exchange[list[dict[str, Any]]]:
        response: Response = yield Request(
            method="GET",
            url=self._segments,
            params={"format": "json", "prefix": f"{state['prefix']}/"},
            headers=self._storage.headers,
        )
        found: list[dict[str, Any]] = json.loads(response.body)
        return found


def _md5(body: Body) -> str:
    taken = hashlib.md5(usedforsecurity=False)
    for chunk in body.chunks():
        taken.update(chunk)
    return taken.hexdigest()


# --- tus ------------------------------------------------------------------------------------------


class Tus(PartedStorage):
    """Stores by the protocol tus 1.0.0; what was stored is at the URL that the service gave."""

    @property
    def headers(self) -> dict[str, str]:
        """The token and the version."""
        return {"Authorization": "Bearer ${TUS_TOKEN}", "Tus-Resumable": "1.0.0"}

    def naming_facts(self) -> frozenset[str]:
        """None: the service chooses the name."""
        return frozenset()

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store by an upload in parts."""
        upload = TusUpload(self, body.size)
        url = yield from in_parts(
            upload, body, part_size=self.part_size, checkpoint=options.checkpoint
        )
        return Receipt.of(self.origin, body, facts, captures={"url": url})

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch from there."""
        response: Response = yield Request(
            method="GET",
            url="${receipt.url}",
            headers=self.headers,
            redirect_hosts=self.hosts,
            sink=sink,
            facts=facts,
        )
        return response


class TusUpload(ResumableUpload[str]):
    """POST, PATCH for each part; the last byte ends it. Whoever knows the URL may write to it."""

    leftover: ClassVar[str] = "the service drops it after a day"

    def __init__(self, storage: Tus, size: int) -> None:
        """Keep what is asked for."""
        self._storage = storage
        self._size = size

    def accepts(self, state: State) -> bool:
        """Want a URL of this service."""
        files = f"{self._storage.origin}/files/"
        return state.keys() == {"url"} and state["url"].startswith(files)

    def begin(self) -> Exchange[State]:
        """Get a URL."""
        response: Response = yield Request(
            method="POST",
            url=f"{self._storage.origin}/files/",
            headers={**self._storage.headers, "Upload-Length": str(self._size)},
        )
        return {"url": self._storage.origin + response.headers["location"]}

    def send(self, state: State, part: PartBody) -> Exchange[Progress]:
        """Send a part."""
        response: Response = yield _by_location(
            self._storage,
            "PATCH",
            state,
            headers={
                **self._storage.headers,
                "Content-Type": "application/offset+octet-stream",
                "Upload-Offset": str(part.start),
            },
            body=part,
            idempotent=False,
        )
        return Progress(state, int(response.headers["upload-offset"]))

    def status(self, state: State) -> Exchange[Progress | None]:
        """Ask how far it is."""
        response: Response = yield _by_location(
            self._storage,
            "HEAD",
            state,
            headers=self._storage.headers,
            returns=frozenset({GONE, 410}),
        )
        if response.status in {GONE, 410}:
            return None
        return Progress(state, int(response.headers["upload-offset"]))

    def finish(self, state: State) -> Exchange[str]:
        """Nothing is left to be said."""
        yield from ()
        return state["url"]

    def abort(self, state: State) -> Exchange[bool]:
        """Delete it (tus, extension termination)."""
        yield _by_location(self._storage, "DELETE", state, headers=self._storage.headers)
        return True
