"""Where an answer wants to send a request."""

from __future__ import annotations

import contextlib
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import httpx

from tests.fuzz.kit import joined, parts, refusals
from webhook_storage.answer import Receiver
from webhook_storage.contracts import Request, WireRequest
from webhook_storage.redirect import next_hop
from webhook_storage.secret import Redactor, SecretValue

SEEDS = (
    joined("307", "GET", "0", "/d"),
    joined("302", "GET", "1", "https://files.cdn.example/x#y"),
    joined("308", "PUT", "1", "a/"),
    joined("301", "PUT", "3", "http://h.example//"),
    joined("303", "GET", "3", "http://u:p@a.cdn.example:81/?k=s3cret-of-this-target"),
    joined("307", "HEAD", "2", "//[::1]:9/b"),
    joined("307", "GET", "3", "http://evil.example\\.cdn.example/"),
)
WORDS = (
    b"https://", b"http:", b"//", b"\\", b"@", b"#", b"?", b"[::1]", b".cdn.example", b"h.example",
    b"evil.example", b":443", b":80", b":0", b":99999", b"file:///", b"%2f", b"\t", b"\r\n", b" ",
    b"\xe2\x84\x80", b"..", b"s3cret-of-this-target",
)  # fmt: skip

_PATTERN = "*.cdn.example"
_SECRET = "s3cret-of-this-target"
_REDACTOR = Redactor([SecretValue(_SECRET)])
_STARTS = {
    "0": "https://h.example/a/b?c",
    "1": "http://h.example:8080/a",
    "2": "https://[::1]:9/a",
    "3": "http://h.example/",
}


def target(data: bytes) -> None:
    """Follow a redirect: to the same place, to a bare fetch of an allowed one, or not at all."""
    # Transports decode headers so.
    status, method, start, location = (part.decode("latin-1") for part in parts(data, 4))
    url = _STARTS.get(start, "https://h.example/")
    number = int(status) if status in {"301", "302", "303", "308"} else 307
    method = method if method in {"HEAD", "PUT"} else "GET"
    request = Request(method=method, url="https://template.example", redirect_hosts=[_PATTERN])
    wire = WireRequest(method=method, url=url, headers=[("Authorization", _SECRET)])
    receiver = Receiver(request)
    receiver.begin(number, [("location", location)])
    with refusals():
        hop = next_hop(request, wire, receiver.end(), _REDACTOR, left=3)
        if hop is not None:
            _check(wire, hop)


def _check(wire: WireRequest, hop: WireRequest) -> None:
    """Compare the hosts in the eyes of all who may read the URL next."""
    origins = _origins(hop.url)
    assert len(origins) == 1, origins
    scheme, host, _ = next(iter(origins))
    if hop.bare:
        assert wire.method in {"GET", "HEAD"}
        assert fnmatchcase(host, _PATTERN)
        assert not any(_SECRET in value for _, value in hop.headers)
        assert hop.body is None
        assert scheme == "https" or not wire.url.startswith("https:")
    else:
        assert _origins(wire.url) == origins
        assert hop.method == wire.method


def _origins(url: str) -> set[tuple[str, str, int | None]]:
    """Return scheme, host and port as each library reads them; one that refuses sends nothing."""
    import urllib3  # noqa: PLC0415 - it belongs to an extra

    ours = urlsplit(url)
    found: list[tuple[str | None, str | None, int | None]] = [
        (ours.scheme, ours.hostname, ours.port)
    ]
    with contextlib.suppress(httpx.InvalidURL):
        theirs = httpx.URL(url)
        found.append((theirs.scheme, theirs.raw_host.decode(), theirs.port))
    with contextlib.suppress(urllib3.exceptions.LocationParseError):
        others = urllib3.util.parse_url(url)
        found.append((others.scheme, others.host, others.port))
    default = {"http": 80, "https": 443}
    return {
        (scheme or "", (host or "").strip("[]"), port or default.get(scheme or ""))
        for scheme, host, port in found
    }
