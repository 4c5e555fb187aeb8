"""docker-registry: container images and any other artifact, by digest and by tag."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from tests.fleet.process import find_program, free_ports, listens, write_conf
from tests.fleet.restart import Restartable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
BLOB_TYPE = "application/octet-stream"
EMPTY = b"{}"
# The passwords of `Registry` by bcrypt, the one way that it takes; at the lowest cost, to be quick.
HTPASSWD = "alice:$2y$04$kcKEQLctB99JFj8SqrQ.sOyj1CR3PpS2/AmnaZVD6kWRpv5pA1Boe\n"
OTHER_HTPASSWD = "alice:$2y$04$xdbeXVMJ3M4SlDi9MVHJveVCz5DLaiESE12NDUobIVFgu9kvLWmWi\n"


def digest_of(content: bytes) -> str:
    """Return how a registry names content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Registry:
    """A running registry.

    Attributes:
        url: The origin.
        process: What can be killed and started again.
        data: The directory in which it keeps everything.
        repository: The path of the one repository.
    """

    url: str
    process: Restartable = field(repr=False)
    data: Path
    repository: str = "/v2/team/artifacts"
    user: str = "alice"
    password: str = "s3cret"
    other_password: str = "n3w-pass"

    def client(self) -> httpx.Client:
        """Return a client that is let in."""
        auth = (self.user, self.password)
        # The authorities of the system take long to load, and none is asked.
        none = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.Client(base_url=self.url, auth=auth, verify=none, trust_env=False, timeout=10)

    def change_password(self, *, back: bool = False) -> None:
        """Let in by the other password only from now on, or again by the first one."""
        path = self.data.with_name("htpasswd")
        path.write_text(HTPASSWD if back else OTHER_HTPASSWD)
        changed = time.time() + (20 if back else 10)  # it looks at the file's time only
        os.utime(path, (changed, changed))

    def begin_upload(self) -> str:
        """Open an upload of a blob and return its path and query."""
        with self.client() as client:
            answer = client.post(f"{self.repository}/blobs/uploads/").raise_for_status()
        return answer.headers["Location"].removeprefix(self.url)

    def uploads(self) -> dict[str, int]:
        """Return what the uploads that are open are called, and how many bytes each has."""
        files = self.data.glob("**/_uploads/*/data")
        return {path.parent.name: path.stat().st_size for path in files}

    def add_blob(self, content: bytes) -> str:
        """Store a blob and return its digest."""
        digest, path = digest_of(content), self.begin_upload()
        with self.client() as client:
            answer = client.put(
                f"{path}&digest={digest}", content=content, headers={"Content-Type": BLOB_TYPE}
            )
        answer.raise_for_status()
        return digest

    def blob(self, digest: str) -> bytes | None:
        """Return a blob's content, None when there is none."""
        return self._read(f"{self.repository}/blobs/{digest}")

    def add_manifest(self, tag: str, content: bytes) -> None:
        """Store a manifest under a tag."""
        with self.client() as client:
            client.put(
                f"{self.repository}/manifests/{tag}",
                content=content,
                headers={"Content-Type": MANIFEST_TYPE},
            ).raise_for_status()

    def manifest(self, tag: str) -> bytes | None:
        """Return the manifest under a tag, None when there is none."""
        return self._read(f"{self.repository}/manifests/{tag}")

    def _read(self, path: str) -> bytes | None:
        with self.client() as client:
            answer = client.get(path, headers={"Accept": f"{MANIFEST_TYPE}, {BLOB_TYPE}"})
        return (
            None
            if answer.status_code == httpx.codes.NOT_FOUND
            else answer.raise_for_status().content
        )


def manifest(filling: str) -> bytes:
    """Return a manifest that names no blob but the empty one, and is as long as its filling."""
    empty: dict[str, Any] = {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": digest_of(EMPTY),
        "size": len(EMPTY),
    }
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": empty,
        "layers": [empty],
        "annotations": {"org.example.filling": filling},
    }
    return json.dumps(document).encode()


@contextlib.contextmanager
def serve_registry(directory: Path) -> Iterator[Registry]:
    """Run docker-registry in a directory of its own, with the empty blob in it."""
    program = find_program("docker-registry", "docker-registry")
    data = directory / "data"
    data.mkdir(parents=True)
    (directory / "htpasswd").write_text(HTPASSWD)
    (port,) = free_ports(1)
    values = {"dir": directory, "data": data, "port": port}
    conf = write_conf("registry.yml", directory / "registry.yml", values)
    command = (program, "serve", conf)
    with Restartable(command, lambda: listens(port), directory / "log") as process:
        registry = Registry(f"http://127.0.0.1:{port}", process, data)
        registry.add_blob(EMPTY)
        yield registry
