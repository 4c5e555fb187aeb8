"""URLs are read as the standard says, and not kept."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_storage.origin import host, join, origin, path, same_origin, target


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com", ("https", "example.com", 443)),
        ("HTTP://Example.COM/a", ("http", "example.com", 80)),
        ("http://example.com:8080?a", ("http", "example.com", 8080)),
        ("http://example.com:", ("http", "example.com", 80)),
        ("http://me:pw@example.com:81#@b", ("http", "example.com", 81)),
        ("https://[::1]:8443/", ("https", "::1", 8443)),
        ("https://[FD00::1]", ("https", "fd00::1", 443)),
        ("s3://bucket/key", ("s3", "bucket", None)),
        ("file:///tmp", ("file", "", None)),
        ("http:///a", ("http", "", 80)),
        ("http:a", ("http", "", 80)),
        ("/a", ("", "", None)),
        ("", ("", "", None)),
        # Others read each of these differently.
        ("http://a\\@b/", ("http", "", 80)),
        ("http://a\\b/", ("http", "", 80)),
        ("http://a b/", ("http", "", 80)),
        ("http://a%2eb/", ("http", "", 80)),
        ("http://ü.com/", ("http", "", 80)),
        ("http://[::1/", ("http", "", 80)),
        ("http://::1/", ("http", "", 80)),
        ("http://[::1%25lo]/", ("http", "", 80)),
        ("http://a:0/", ("http", "", 80)),
        ("http://a:65536/", ("http", "", 80)),
        ("http://a:٣/", ("http", "", 80)),
        ("http://a:8 0/", ("http", "", 80)),
        ("http://a\n/", ("http", "", 80)),
    ],
)
def test_origin(url: str, expected: tuple[str, str, int | None]) -> None:
    """Scheme, host and port are told; a host that is unclear is none."""
    assert expected == tuple(origin(url))


def test_origin_is_not_shown() -> None:
    """A host can come from a secret."""
    assert "<Origin>" == repr(origin("https://secret.example.com"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a/x", "HTTPS://A:443/y", True),
        ("https://a/x", "https://me@a/y", True),
        ("https://ü/x", "https://ü/y", True),
        ("https://ü/x", "https://ö/y", False),
        ("https://a%41/", "https://b%41/", False),
        ("https://a", "http://a", False),
        ("https://a", "https://a:8443", False),
        ("https://a", "https://b", False),
        ("https:///a", "https:///b", False),
        ("https:a", "https:b", False),
    ],
)
def test_same_origin(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a table
    """Origins are compared after reading, and by their spelling where that is unclear."""
    assert [same, same] == [same_origin(one, other), same_origin(other, one)]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("g:h", "g:h"), ("g", "http://a/b/c/g"), ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"), ("/g", "http://a/g"), ("//g", "http://g"),
        ("?y", "http://a/b/c/d;p?y"), ("g?y", "http://a/b/c/g?y"), ("", "http://a/b/c/d;p?q"),
        ("#s", "http://a/b/c/d;p?q"), ("g#s", "http://a/b/c/g"), (";x", "http://a/b/c/;x"),
        (".", "http://a/b/c/"), ("./", "http://a/b/c/"), ("..", "http://a/b/"),
        ("../", "http://a/b/"), ("../g", "http://a/b/g"), ("../..", "http://a/"),
        ("../../", "http://a/"), ("../../g", "http://a/g"), ("../../../g", "http://a/g"),
        ("/./g", "http://a/g"), ("/../g", "http://a/g"), ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"), ("g..", "http://a/b/c/g.."), ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"), ("./g/.", "http://a/b/c/g/"), ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"), ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"), ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g#s/../x", "http://a/b/c/g"), ("http:g", "http:g"),
    ],
)  # fmt: skip
def test_join(reference: str, expected: str) -> None:
    """The examples of RFC 3986, section 5.4, are joined as it says, without fragments."""
    assert expected == join("http://a/b/c/d;p?q", reference)


def test_join_with_a_base_that_has_no_path() -> None:
    """Between host and path is a slash."""
    assert "http://a/g" == join("http://a", "g")


PIECES = st.text("ab/?#.:@[]\\% é", max_size=20)


@given(PIECES, PIECES)
def test_a_relative_reference_stays_with_its_host(base: str, reference: str) -> None:
    """Only two slashes, or a scheme, lead to another host."""
    joined = join(f"http://host/{base}", f"/x{reference}")
    assert "host" == host(joined)


@given(PIECES)
def test_parts_are_those_of_the_standard_library(rest: str) -> None:
    """Where the standard library reads a URL, it is read alike."""
    url = f"http://example.com/{rest}"
    parts = urlsplit(url)
    assert (parts.path, parts.netloc) == (path(url), host(url))
    assert target(url).startswith(parts.path)


KEPT = """
import gc
from webhook_storage.origin import *
needle = "-".join(map(str, range(40)))
for read in (origin, host, path, target):
    read("https://h/" + needle)
join("https://h/" + needle, "a"), join("https://h/", needle), same_origin(needle, needle)
kept = [thing for held in gc.get_objects() if held is not globals()
        for thing in gc.get_referents(held) if isinstance(thing, str) and needle in thing]
print(len(kept))
"""


def test_nothing_is_kept() -> None:
    """After a URL was read, no text with it is left anywhere."""
    command = [sys.executable, "-c", KEPT]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert b"0\n" == done.stdout
