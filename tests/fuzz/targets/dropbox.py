"""What Dropbox may answer, or somebody in its place."""

from __future__ import annotations

import hashlib

from tests.fuzz.kit import SEPARATOR, Canned, joined, refusals
from webhook_storage.receipt import Receipt
from webhook_storage.retry import RetryPolicy
from webhook_storage.sender import Sender
from webhook_storage.storage import Storage
from webhook_storage_resolvers.mapping import MappingResolver

_BODY = b"content of the artifact"
# Dropbox's hash: the SHA-256 of the SHA-256 of each block, and here is one.
_HASH = hashlib.sha256(hashlib.sha256(_BODY).digest()).hexdigest()
_SECRET = "s3cret of this target"

_FILE = b'{".tag": "file", "size": 23, "rev": "5c", "server_modified": "2026-01-01T00:00:00Z", '
_META = _FILE + b'"id": "id:a", "path_display": "/f/k", "content_hash": "' + _HASH.encode() + b'"}'

SEEDS = (
    joined("put", b"200\n\n" + _META),
    joined("put", b'409\n\n{"error": {".tag": "path", "reason": {".tag": "conflict"}}}'),
    joined("get", b"200\ndropbox-api-result: " + _META + b"\n\n" + _BODY),
    joined("get", b'200\ndropbox-api-result: {"content_hash": "\\ud800"}\n\nx'),
    joined("get", b'409\n\n{"error": {".tag": "path", "path": {".tag": "not_found"}}}'),
    joined("stat", b"200\n\n" + _META),
    joined("stat", b'200\n\n{".tag": "file", "size": "x", "rev": "1", "server_modified": ""}'),
    joined("stat", b'200\n\n{".tag": "file", "size": 1, "rev": "\\ud800", "server_modified": ""}'),
    joined("delete", b"200\n\n" + _META, b'200\n\n{"metadata": {}}'),
    joined("list", b'200\n\n{"entries": [' + _META + b'], "cursor": "c", "has_more": false}'),
    joined(
        "list",
        b'200\n\n{"entries": [], "cursor": "c", "has_more": true}',
        b'409\n\n{"error": {".tag": "reset"}}',
        b'200\n\n{"entries": [{}], "has_more": false}',
    ),
    joined("get", b'429\nretry-after: 0\n\n{"error": {"reason": {".tag": "too_many_requests"}}}'),
    joined("get", b'401\n\n{"error": {".tag": "expired_access_token"}}'),
)
WORDS = (
    SEPARATOR, b"\n\n", b"200", b"409", b"429", b"401", b'".tag":', b'"error":', b'"path":',
    b'"reason":', b'"not_found"', b'"conflict"', b'"reset"', b'"too_many_write_operations"',
    b'"size":', b'"rev":', b'"content_hash":', b'"entries":', b'"cursor":', b'"has_more":',
    b"dropbox-api-result:", b"retry-after: 0", b"\\ud800", b"\\u0000", b"1e5", b"null", b"[", b"]",
    b"{", b"}", b'"', b"9" * 25, b"true", b"false",
)  # fmt: skip

_RETRY = RetryPolicy(attempts=2, initial_delay=0.0, max_delay=0.0, deadline=60.0)
_STORAGE = Storage.from_dict({"type": "Dropbox", "path": "/f/${artifact.key}", "token": "${TOKEN}"})
_MOST_ANSWERS = 20


class _Endless(Canned):
    """Gives its answers, and then none that goes on for ever."""

    def __init__(self, answers: list[bytes]) -> None:
        super().__init__([*answers[:_MOST_ANSWERS], b"400\n\nno more"])


def target(data: bytes) -> None:
    """Carry out an operation to which Dropbox says what stands in the input."""
    word, *answers = data.split(SEPARATOR)
    sender = Sender(
        secrets=[MappingResolver({"TOKEN": _SECRET})], transport=_Endless(answers), retry=_RETRY
    )
    with sender, refusals() as refused:
        match word:
            case b"put":
                receipt = _STORAGE.put(_BODY, "k")
                assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt
            case b"stat":
                stat = _STORAGE.stat("k")
                assert stat is None or (stat.model_dump(mode="json")["size"] or 0) >= 0
            case b"list":
                assert all(isinstance(key, str) for key in _STORAGE.list())
            case b"delete":
                _STORAGE.delete("k")
            case _:
                assert isinstance(_STORAGE.get("k"), bytes)
    for error in refused:
        assert _SECRET not in f"{error} {error!r} {error.hint} {vars(error)}"
