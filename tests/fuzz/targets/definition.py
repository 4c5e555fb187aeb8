"""A whole definition, and every request that it describes."""

from __future__ import annotations

from tests.fuzz.kit import Canned, joined, parts, refusals
from webhook_storage.retry import RetryPolicy
from webhook_storage.sender import Sender
from webhook_storage.storage import Storage
from webhook_storage_resolvers.mapping import MappingResolver

_SMALL = (
    '{"type": "Webhook", "build_request_kwargs": %s, "build_request_http_method": "PUT", '
    '"get_flow_request_kwargs": {"url": "https://h.test/${artifact.key}"}, '
    '"get_flow_request_http_method": "GET"%s}'
)
_LARGE = (
    '{"url": "${BASE}/${flow.slug}", "params": {"v": ["1", "${A|urlencode}"], "w": null}, '
    '"headers": {"X-A": {"a": "${A|json}"}, "X-B": "b", "X-C": null}, "cookies": {"c": "${A}"}, '
    '"auth": ["me", "${B}"], "timeout": [1, 2.5], "verify": "/ca/${A}", "cert": ["/c", "/k"], '
    '"proxies": {"https": "http://${A}@proxy.test:3128"}, "allow_redirects": false, '
    '"data": {"f": ["${A}", 1]}, "files": {"file": "${flow.slug}"}}'
)
_MORE = (
    ', "exists_request": {"url": "https://h.test/", "method": "POST", "json": {"k": ["${A}"]}}, '
    '"delete_request": {"url": "https://h.test/", "method": "DELETE", "data": "x=${A}"}, '
    '"list_request": {"url": "https://h.test/", "method": "GET", "keys": "/*/name"}, '
    '"captures": {"id": "json:/id", "h": "header:ETag", "r": "regex:a(.)b"}, '
    '"accept_statuses": [200, 201], "signing_keys": {"k": "${KEY}"}, "flows": {"etl": "etl"}, '
    '"receipts": {"etl": {"key": "etl", "location": "", "sha256": "", "size": 0, '
    '"build_time": ""}}, "idempotent": true, "redirect_hosts": ["*.h.test"], "allow_html": true'
)

SEEDS = (
    joined(_SMALL % ('{"url": "https://h.test/${artifact.key}?a=${A}"}', ""), "k"),
    joined(_SMALL % (_LARGE, _MORE), "etl"),
    joined(_SMALL % ('{"url": "https://[::1]:8/${flow.name}"}', ', "stored_as_script": true'), "é"),
    joined('{"type": "Dropbox", "path": "/f/${artifact.key}.flow", "token": "${A}"}', "k"),
    joined(
        '{"__version__": "0.15.13", "type": "Webhook", "build_request_kwargs": {"url": '
        '"https://h.test/$NAME"}, "build_request_http_method": "POST", "get_flow_request_kwargs": '
        '{"url": "https://h.test"}, "get_flow_request_http_method": "GET", "secrets": ["A"]}',
        "k",
    ),
)
WORDS = (
    b'"type":', b'"url":', b'"headers":', b'"params":', b'"cookies":', b'"json":', b'"data":',
    b'"auth":', b'"timeout":', b'"verify":', b'"cert":', b'"proxies":', b'"captures":', b'"keys":',
    b'"receipts":', b'"flows":', b'"version": 1', b'"files":', b'"method": "GET"', b"${A}", b"$$",
    b"${A|raw}", b"${artifact.key}", b"${flow.slug}", b"null", b"true", b"NaN", b"-Infinity",
    b"1e999", b"9" * 400, b"9" * 4400, b"{", b"}", b"[", b"]", b'"', b"\\ud800", b"\\u0000",
    b"\\r\\n", b"https://[", b"https://\xe2\x84\x80/", b"|base64", b"regex:", b"{99999999999}",
)  # fmt: skip

_SECRETS = {"A": "value of a", "B": "0.5", "BASE": "https://base.test/x", "KEY": "k"}
_SENDER = Sender(
    secrets=[MappingResolver(_SECRETS)],
    transport=Canned([b"200\ncontent-type: application/json\n\n[]"]),
    retry=RetryPolicy(attempts=1),
)


def target(data: bytes) -> None:
    """Read a definition, write it again, look at its requests, and send them nowhere."""
    raw, name = parts(data, 2)
    key = name.decode("utf-8", "surrogateescape")
    with refusals():
        storage = Storage.from_json(raw)
        assert Storage.from_json(storage.to_json()) == storage
        for operation in ("store", "fetch", "exists", "delete", "list"):
            for place in (key, None):
                with refusals():
                    preview = _SENDER.preview(storage.exchange(operation, place, b"x"))
                    shown = preview.text() + preview.curl()
                    assert _SECRETS["A"] not in shown or _SECRETS["A"] in raw.decode("latin-1")
                with refusals():
                    _SENDER.run(storage.exchange(operation, place, b"x"))
