"""Answer like the API of a Prefect server, as far as Secret blocks go, and stand in for Prefect.

Rule: paths, statuses and bodies are those of a server of Prefect 3.8; `tests/fleet` holds the real
client to them, and the resolver to a real server. The packages `prefect_3` and `prefect_1` beside
this module are small stand-ins with the names and the behaviour that the resolver meets in the real
ones, for the tests that run where Prefect is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fakes.http import Answer, FakeServer, Received, json_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

_HERE = Path(__file__).parent
_VERSIONS = {"prefect_3": "3.8.8", "prefect_1": "1.4.1"}
_NO_ROUTE = json_answer(404, {"detail": "Not Found"})


class FakePrefect(FakeServer):
    """A server with blocks.

    Args:
        authorization: What the header of that name has to say; None for a server without login.
        tls: Serve HTTPS with a certificate of a private authority.

    Attributes:
        blocks: The data of each block, by block type and name.
        denied: Names of blocks that nobody may read, as in Prefect Cloud.
    """

    def __init__(self, authorization: str | None = None, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.authorization = authorization
        self.blocks: dict[tuple[str, str], dict[str, Any]] = {}
        self.denied: set[str] = set()

    @property
    def api(self) -> str:
        """What ``PREFECT_API_URL`` has to be."""
        return f"{self.url}/api"

    def put(self, name: str, value: Any, block_type: str = "secret") -> None:
        """Save a block with one field, as a Secret block has it."""
        self.blocks[block_type, name] = {"value": value}

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer health checks to everybody, and blocks to whoever is let in."""
        if request.path == "/api/health":
            return json_answer(200, True)  # noqa: FBT003 - that is the whole document
        if not request.path.startswith("/api/"):
            return _NO_ROUTE
        if self.authorization not in (None, request.headers.get("authorization")):
            return json_answer(401, {"exception_message": "Unauthorized"})
        match request.path.removeprefix("/api/").split("/"):
            case ["block_types", "slug", block_type, "block_documents", "name", name]:
                return self._block(block_type, name, request)
        return _NO_ROUTE

    def _block(self, block_type: str, name: str, request: Received) -> Answer:
        if name in self.denied:
            return json_answer(403, {"detail": "Forbidden"})
        data = self.blocks.get((block_type, name))
        if data is None:
            return json_answer(404, {"detail": "Block document not found"})
        if request.query.get("include_secrets", "false").lower() != "true":
            data = dict.fromkeys(data, "********")
        return json_answer(200, _document(block_type, name, data))


def _document(block_type: str, name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a block as the server describes it; the type and schema in brief."""
    ids = {
        key: str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{key} {block_type}"))
        for key in ("block_schema_id", "block_type_id")
    }
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "created": "2026-11-21T10:52:22.183040Z",
        "updated": "2026-11-21T10:52:22.183050Z",
        "name": name,
        "data": data,
        **ids,
        "block_type_name": block_type.title(),
        "block_type": {"id": ids["block_type_id"], "name": block_type, "slug": block_type},
        "block_document_references": {},
        "is_anonymous": False,
    }


@contextlib.contextmanager
def installed(package: str, directory: Path, environment: pytest.MonkeyPatch) -> Iterator[None]:
    """Let ``import prefect`` find a stand-in, here and in the processes that are started here.

    Args:
        package: ``prefect_3`` or ``prefect_1``.
        directory: Where the description of the distribution goes.
        environment: Puts the path back.
    """
    version = _VERSIONS[package]
    described = directory / f"prefect-{version}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: prefect\nVersion: {version}\n"
    )
    with forgotten():
        environment.syspath_prepend(directory)
        environment.syspath_prepend(_HERE / package)
        importlib.invalidate_caches()
        yield


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Import Prefect anew inside, and as before after it."""
    before = {name: sys.modules.pop(name) for name in _imported()}
    try:
        yield
    finally:
        for name in _imported():
            del sys.modules[name]
        sys.modules.update(before)


def _imported() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "prefect"]
