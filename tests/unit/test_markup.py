"""XML of a service: what is read, and what is not."""

from __future__ import annotations

import pytest

from webhook_storage.markup import parse

PAGE = b"""<?xml version="1.0" encoding="UTF-8"?>
<L xmlns="urn:list" xmlns:o="urn:other">
  <C><Key> a &amp; b </Key><Key>second</Key><o:Key>other</o:Key></C>
  <C><Key>third</Key></C>
  <T>before<b>in</b>after</T>
</L>"""


def test_elements_are_found_by_their_names() -> None:
    """The prefix does not matter, and text has no blanks around it."""
    root = parse(PAGE)
    assert root is not None
    assert ("L", "urn:list") == (root.name, root.namespace)
    assert ["a & b", "third"] == [item.value("Key") for item in root.all("C")]
    assert "a & b" == root.value("C", "Key")
    assert "beforeafter" == root.value("T")
    first = root.first("C")
    assert first is not None
    assert ["urn:list", "urn:list", "urn:other"] == [key.namespace for key in first.all("Key")]


def test_attributes_are_kept() -> None:
    """One with a prefix is another one."""
    root = parse(b"<a b='1' xmlns:o='urn:other' o:b='2'><c/></a>")
    assert root is not None
    assert {"b": "1", "urn:other\nb": "2"} == root.attributes
    assert [{}] == [child.attributes for child in root.children]


@pytest.mark.parametrize(("most", "read"), [(3, True), (2, False)])
def test_who_reads_says_how_many_elements_there_may_be(most: int, *, read: bool) -> None:
    """The root is one of them."""
    assert read is (parse(b"<a><b/><b/></a>", most=most) is not None)


def test_a_long_text_is_read_whole() -> None:
    """It comes in pieces."""
    text = "31 rows &amp; \n" * 300_000
    root = parse(f"<a>{text}</a>".encode())
    assert root is not None
    assert text.replace("&amp;", "&") == root.text


def test_what_is_missing_is_empty() -> None:
    """Nobody has to ask whether it is there."""
    root = parse(b"<a><b/></a>")
    assert root is not None
    assert ("", "", None) == (root.value("b"), root.value("c", "d"), root.first("c"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no markup",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a>&unknown;</a>",
        b"<!DOCTYPE a><a/>",
        b"<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;'>]><a>&c;</a>",
        b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>".encode("utf-16"),
        b"<?xml version='1.0' encoding='nobody-knows'?><a/>",
        b"<a>\xff</a>",
        b"<a>\x00</a>",
        b"<a>" * 100 + b"</a>" * 100,
        b"<a>" + b"<b/>" * 200_001 + b"</a>",
    ],
)
def test_what_is_not_read(data: bytes) -> None:
    """A document type, something broken, and what is deeper or longer than any answer."""
    assert parse(data[: 1 << 22]) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_encodings_that_it_says(encoding: str) -> None:
    """Those that every reader of XML knows are read."""
    text = f"<?xml version='1.0' encoding='{encoding}'?><a>é</a>"
    root = parse(text.encode(encoding))
    assert root is not None
    assert "é" == root.text
