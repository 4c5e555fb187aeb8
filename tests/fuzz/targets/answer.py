"""Answers of a server, through everything that reads them: status, headers, body, captures."""

from __future__ import annotations

import hashlib

from tests.fuzz.kit import SEPARATOR, Canned, joined, refusals
from webhook_storage.receipt import Receipt
from webhook_storage.retry import RetryPolicy
from webhook_storage.sender import Sender
from webhook_storage.webhook import Webhook
from webhook_storage_resolvers.mapping import MappingResolver

_SECRET = "s3cret of this target"
_BODY = b"content of the artifact"
_SHA256 = hashlib.sha256(_BODY).hexdigest()

SEEDS = (
    joined("get", b'200\ncontent-length: 23\netag: "v1"\n\n' + _BODY),
    joined("receipt", b"200\ncontent-type: text/html; charset=utf-8\n\n<html>"),
    joined(
        "receipt",
        b'200\ncontent-length: 23\netag: "v1"\n\ncontent of',
        b'206\ncontent-range: bytes 5-22/23\netag: "v1"\n\nnt of the artifact',
    ),
    joined("get", b"200\ncontent-length: 23\nlast-modified: Thu, 01 Jan 1970 00:00:30 GMT"
           b"\ndate: Thu, 01 Jan 2026 00:00:30 GMT\naccept-ranges: bytes\n\nco", b"206\n\nx"),
    joined("put", b'201\netag: W/"v2"\nlocation: /x\nx-id: 7\n\n{"id": ["a"], "rev": 1e5}'),
    joined("stat", b"200\ncontent-length: 12\nlast-modified: x\ncontent-type: a/b\n\n"),
    joined("stat", b"405\n\n", b"206\ncontent-range: bytes 0-0/77\n\nc"),
    joined("stat", b"404\n\n"),
    joined("list", b'200\ncontent-type: application/json\n\n[{"name": "a"}, {"name": "b"}]'),
    joined("delete", b'409\ncontent-type: application/json\n\n{"error": "s3cret"}'),
    joined("get", b"503\nretry-after: 0\n\nbusy", b"429\nretry-after: 1\n\n", b"401\n\nno"),
    joined("get", b"307\nlocation: https://h.test/elsewhere\n\n", b"200\n\n" + _BODY),
    joined("get", b"200\ncontent-length: 5\ncontent-encoding: gzip\n\nab", b"416\n\n"),
)  # fmt: skip
WORDS = (
    SEPARATOR, b"\n\n", b"200", b"206", b"304", b"401", b"416", b"429", b"503", b"content-length:",
    b"content-range:", b"content-type:", b"content-encoding:", b"etag:", b"retry-after:",
    b"last-modified:", b"date:", b"location:", b"www-authenticate:", b"bytes 0-0/", b"bytes */",
    b"\xb2", b"9" * 25, b"9" * 4400, b"-1", b"text/html", b"{", b"[", b"null", b"\x00", b"W/",
)  # fmt: skip

_PLACE = {"url": "https://h.test/${artifact.key}", "headers": {"X-Key": "${KEY}"}}
_LIST = {"url": "https://h.test/", "method": "GET", "keys": "/*/name"}
_RECEIPT = Receipt(
    key="k", location="", sha256=_SHA256, size=len(_BODY), build_time="", version='"v1"'
)
_RETRY = RetryPolicy(attempts=3, initial_delay=0.0, max_delay=0.0, deadline=60.0)
_STORAGE = Webhook(
    _PLACE,
    "PUT",
    _PLACE,
    "GET",
    list_request=_LIST,
    captures={"id": "json:/id/0", "x": "header:x-id", "rev": 'regex:"rev": *([0-9e]+)'},
)


def target(data: bytes) -> None:
    """Carry out an operation to which the server says what stands in the input."""
    word, *answers = data.split(SEPARATOR, 6)
    sender = Sender(
        secrets=[MappingResolver({"KEY": _SECRET})],
        transport=Canned(answers or [b""]),
        retry=_RETRY,
    )
    with sender, refusals() as refused:
        _operate(word)
    for error in refused:
        assert _SECRET not in f"{error} {error!r} {error.hint} {vars(error)}"


def _operate(word: bytes) -> None:
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
        case b"get":
            assert isinstance(_STORAGE.get("k"), bytes)
        case _:
            assert _STORAGE.get(_RECEIPT) == _BODY
