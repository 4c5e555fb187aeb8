"""What the dotted placeholders of one operation stand for: facts, never secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from webhook_storage.receipt import build_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Body
    from webhook_storage.receipt import Receipt

NAMING = frozenset({"flow.name", "flow.slug", "artifact.key"})
"""Facts that give each flow a place of its own."""


class StoreFacts(dict[str, str]):
    """Facts of an artifact that is about to be stored; digest and id only when somebody asks.

    Args:
        facts: What names it.
        body: Its bytes.
    """

    def __init__(self, facts: Mapping[str, str], body: Body) -> None:
        """Add size and time."""
        super().__init__(facts)
        self["artifact.size"] = str(body.size)
        self["build.time"] = build_time()
        self._body = body

    def __missing__(self, name: str) -> str:
        """Take the digest, which reads the body once more, or think of an id, which then stays."""
        if name == "build.uuid":
            self[name] = str(uuid4())
            return self[name]
        if name != "artifact.sha256":
            raise KeyError(name)
        return self._body.sha256()


def artifact_facts(key: str | None) -> dict[str, str]:
    """Return what a key is known by."""
    return {} if key is None else {"artifact.key": key}


def flow_facts(name: str, key: str) -> dict[str, str]:
    """Return what a flow is known by."""
    return {"flow.name": name, "flow.slug": key, "artifact.key": key}


def receipt_facts(receipt: Receipt) -> dict[str, str]:
    """Return what is known of an artifact that was stored."""
    facts = artifact_facts(receipt.key or None)
    facts |= {
        "artifact.sha256": receipt.sha256,
        "artifact.size": str(receipt.size),
        "build.time": receipt.build_time,
        "receipt.sha256": receipt.sha256,
    }
    if receipt.build_uuid:
        facts["build.uuid"] = receipt.build_uuid
    if receipt.version is not None:
        facts["receipt.version"] = receipt.version
    return facts | {f"receipt.{name}": value for name, value in receipt.captures.items()}
