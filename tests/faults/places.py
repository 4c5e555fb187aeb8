"""The servers of the table: where an artifact is on each, and how to look at it past all faults."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from tests.fleet.registry import BLOB_TYPE, MANIFEST_TYPE, digest_of, manifest
from tests.sending.support import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.fleet.dav import Dav
    from tests.fleet.nginx import Nginx
    from tests.fleet.registry import Registry
    from tests.fleet.swift import Swift
    from webhook_storage import Webhook

SIZE = 1_000_000
moments = itertools.count(1_600_000_000)
keys = (f"artifact-{number}.bin" for number in itertools.count())


@functools.cache
def filled(name: str, size: int = SIZE) -> bytes:
    """Return bytes that differ from place to place and from name to name."""
    return b"".join(b"%s %9d\n" % (name.encode(), line) for line in range(size // 13 + 1))[:size]


@functools.cache
def filled_manifest(name: str, size: int = SIZE) -> bytes:
    """Return a manifest of about that size."""
    return manifest(filled(name, size).decode().replace("\n", ";"))


@dataclass(frozen=True)
class Place:
    """Where to store on a server.

    Attributes:
        name: What the table calls the server.
        origin: Where it listens.
        path: What stands before the key.
        kwargs: How to be let in, in placeholders.
        secrets: What they stand for.
        plant: Stores bytes under a key, and not through our code.
        look: Returns what is under a key, None when there is nothing.
        content: Makes bytes that the server takes, from a name and a size.
        key_of: Returns the key to store bytes under.
        keyless: Whether the storage knows the one key by itself.
    """

    name: str
    origin: str
    path: str
    kwargs: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    plant: Callable[[str, bytes], object]
    look: Callable[[str], bytes | None]
    content: Callable[..., bytes] = filled
    key_of: Callable[[bytes], str] = lambda _: next(keys)
    keyless: bool = False

    @property
    def port(self) -> int:
        """Return the port at which it listens."""
        return urlsplit(self.origin).port or 0

    def storage(self, origin: str | None = None, **more: Any) -> Webhook:
        """Return a storage of it, reached at another origin where one is given."""
        return plain(f"{origin or self.origin}{self.path}", **{**self.kwargs, **more})


def _in_files(directory: Path) -> dict[str, Any]:
    """Return how to plant and look where keys are files."""

    def plant(key: str, content: bytes) -> None:
        path = directory / key
        path.write_bytes(content)
        moment = next(moments)
        os.utime(path, (moment, moment))  # what is new has no strong validator yet

    def look(key: str) -> bytes | None:
        path = directory / key
        return path.read_bytes() if path.exists() else None

    return {"plant": plant, "look": look}


def on_nginx(nginx: Nginx) -> Place:
    """Return the area that wants a bearer token."""
    directory = nginx.data / "bearer"
    directory.mkdir(exist_ok=True)
    kwargs = {"headers": {"Authorization": "Bearer ${TOKEN}"}}
    secrets = {"TOKEN": nginx.token}
    return Place("nginx", nginx.url, "/bearer", kwargs, secrets, **_in_files(directory))


def on_apache(apache: Dav) -> Place:
    """Return the collection that wants a password."""
    secrets = {"NAME": apache.user, "WORD": apache.password}
    kwargs = {"auth": ["${NAME}", "${WORD}"]}
    return Place("Apache", apache.url, "", kwargs, secrets, **_in_files(apache.data))


@contextlib.contextmanager
def on_swift(swift: Swift, name: str = "faults") -> Iterator[Place]:
    """Offer a container that wants a token."""
    sign_in = {"X-Auth-User": swift.user, "X-Auth-Key": swift.password}
    answer = httpx.get(swift.auth_url, headers=sign_in, trust_env=False).raise_for_status()
    token = answer.headers["X-Auth-Token"]
    container = f"{answer.headers['X-Storage-Url']}/{name}"
    client = httpx.Client(headers={"X-Auth-Token": token}, trust_env=False, timeout=10)

    def plant(key: str, content: bytes) -> None:
        client.put(f"{container}/{key}", content=content).raise_for_status()

    def look(key: str) -> bytes | None:
        answer = client.get(f"{container}/{key}")
        return None if answer.status_code == 404 else answer.raise_for_status().content

    kwargs = {"headers": {"X-Auth-Token": "${TOKEN}"}}
    path = urlsplit(container).path
    with client:
        client.put(container).raise_for_status()
        yield Place("Swift", swift.url, path, kwargs, {"TOKEN": token}, plant, look)


def on_registry(registry: Registry) -> Place:
    """Return the manifests of a repository, each under its tag."""
    kwargs = {
        "auth": ["${NAME}", "${WORD}"],
        "headers": {"Accept": MANIFEST_TYPE, "Content-Type": MANIFEST_TYPE},
    }
    return Place(
        "docker-registry",
        registry.url,
        f"{registry.repository}/manifests",
        kwargs,
        {"NAME": registry.user, "WORD": registry.password},
        registry.add_manifest,
        registry.manifest,
        filled_manifest,
    )


def on_blobs(registry: Registry) -> Place:
    """Return the blobs of a repository, which are fetched under their digests."""
    return Place(
        "docker-registry",
        registry.url,
        f"{registry.repository}/blobs",
        {"auth": ["${NAME}", "${WORD}"], "headers": {"Accept": BLOB_TYPE}},
        {"NAME": registry.user, "WORD": registry.password},
        lambda _, content: registry.add_blob(content),
        registry.blob,
        key_of=digest_of,
    )
