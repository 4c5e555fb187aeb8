"""Where a URL leads, in our eyes and in those of the libraries that send."""

from __future__ import annotations

import contextlib

import httpx

from tests.fuzz.kit import joined, parts
from webhook_storage import origin

SEEDS = (
    joined("https://user@Files.Example.com:8443/a/b?c#d", "../x/./y?z"),
    joined("http://[::1]:80/", "//[2001:db8::1]/a"),
    joined("http://evil.example\\.cdn.example/", "?q"),
    joined("http://h.example:/%2e%2e/", "http:relative"),
    joined("file:///tmp/a", "#only"),
)
WORDS = (
    b"https://", b"http:", b"//", b"\\", b"@", b"#", b"?", b"[::1]", b":443", b":80", b":0", b":",
    b":65536", b"..", b"/./", b"%2f", b"%2e", b"\t", b"\r\n", b" ", b";", b"\xe9", b"~", b"_",
)  # fmt: skip


def target(data: bytes) -> None:
    """Read a URL and follow a reference from it."""
    url, reference = (part.decode("latin-1") for part in parts(data, 2))
    for each in (url, origin.join(url, reference)):
        found = origin.origin(each)
        assert origin.same_origin(each, each) or not origin.host(each) or not found.host
        assert "#" not in origin.target(each)
        if found.scheme in {"http", "https"} and found.host:
            _compare(found, each)


def _compare(found: origin.Origin, url: str) -> None:
    """See whether those that can send to the URL send to the same place."""
    import urllib3  # noqa: PLC0415 - it belongs to an extra

    default = {"http": 80, "https": 443}[found.scheme]
    with contextlib.suppress(httpx.InvalidURL):
        theirs = httpx.URL(url)
        host = theirs.raw_host.decode().lower()
        assert tuple(found) == (theirs.scheme, host, theirs.port or default)
    with contextlib.suppress(urllib3.exceptions.LocationParseError):
        others = urllib3.util.parse_url(url)
        host = (others.host or "").strip("[]").lower()
        assert tuple(found) == (others.scheme, host, others.port or default)
