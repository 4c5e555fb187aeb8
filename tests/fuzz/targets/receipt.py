"""What a store left behind, read from a file and used to fetch."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from tests.fuzz.kit import Canned, joined, parts, refusals
from webhook_storage.cli.files import read_receipt
from webhook_storage.receipt import Receipt
from webhook_storage.retry import RetryPolicy
from webhook_storage.sender import Sender
from webhook_storage.webhook import Webhook
from webhook_storage_resolvers.mapping import MappingResolver

_BODY = b"content of the artifact"
_GOOD = Receipt(
    key="a/b",
    location="https://h.test/${artifact.key}",
    sha256=hashlib.sha256(_BODY).hexdigest(),
    size=len(_BODY),
    build_time="2026-01-01t00-00-00-000000z",
    version='"v1"',
    captures={"id": "7"},
)

SEEDS = (
    joined(_GOOD.model_dump_json(), "a/b"),
    joined(_GOOD.model_copy(update={"key": ""}).model_dump_json(), ""),
    joined(_GOOD.model_copy(update={"sha256": "é"}).model_dump_json(), ""),
    joined(_GOOD.model_copy(update={"captures": {"a.b": "${X}\n"}}).model_dump_json(indent=2), ""),
    joined('{"location": "", "sha256": "", "size": 0, "build_time": ""}', ""),
)
WORDS = (
    b'"key":', b'"sha256":', b'"size":', b'"version":', b'"captures":', b"null", b"-1", b"1e999",
    b"9" * 25, b"9" * 4400, b"[", b"{}", b'"', b"\\u0000", b"\\ud800", b"\xc3\xa9", b"..", b"${A}",
)  # fmt: skip

_URL = {"url": "https://h.test/${artifact.key:-x}/${receipt.id:-y}?v=${receipt.version:-z}"}
_STORAGE = Webhook(_URL, "PUT", _URL, "GET")


def target(data: bytes) -> None:
    """Load a receipt as ``get --receipt`` does, and fetch with it."""
    raw, key = parts(data, 2)
    with tempfile.NamedTemporaryFile() as file, refusals():
        file.write(raw)
        file.flush()
        receipt = read_receipt(Path(file.name), key.decode("utf-8", "surrogateescape") or None)
        assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt
        sender = Sender(
            secrets=[MappingResolver()],
            transport=Canned([b"200\n\n" + _BODY]),
            retry=RetryPolicy(attempts=1),
        )
        with sender:
            with refusals():
                assert _STORAGE.get(receipt) == _BODY
            storage = _STORAGE.model_copy(deep=True).remember(receipt)
            assert type(storage).from_json(storage.to_json()) == storage
            with refusals():
                storage.delete(receipt.key or None)
