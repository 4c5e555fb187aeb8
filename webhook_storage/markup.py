"""XML that a service sent, as a tree. A document type is refused, and with it all that one can do.

Source: Python's documentation, XML vulnerabilities: entities that grow or lead elsewhere are
declared in a document type, which no service of ours sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEEPEST = 64
_MOST = 200_000
"""Elements of one document; an answer has a limit in bytes too."""

_PIECE = 1 << 20
"""Most bytes of text that come at once; a long text in short pieces would be copied very often."""

_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class Element:
    """An element, with the text that is directly in it.

    Attributes:
        name: Its name without a prefix.
        namespace: Where that name is defined; empty when nobody says.
        text: Its text, without that of its children.
        children: The elements in it.
        attributes: Its attributes; the name of one with a prefix comes after its namespace and a
            line break.
    """

    name: str
    namespace: str = ""
    text: str = ""
    children: list[Element] = field(default_factory=list)
    attributes: Mapping[str, str] = field(default_factory=lambda: _NO_ATTRIBUTES)

    def all(self, name: str) -> Iterator[Element]:
        """Yield the children of that name."""
        return (child for child in self.children if child.name == name)

    def first(self, *names: str) -> Element | None:
        """Return the first element at the end of that path, None when there is none."""
        found: Element | None = self
        for name in names:
            found = next(found.all(name), None) if found is not None else None
        return found

    def value(self, *names: str) -> str:
        """Return the text of the first element at the end of that path; empty without one."""
        found = self.first(*names)
        return "" if found is None else found.text.strip()


class _RefusedError(Exception):
    """The document is none of those that are read."""


class _Builder:
    """Puts elements together as they come."""

    def __init__(self, most: int) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._left = most

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition("\n")
        element = Element(local, namespace, attributes=attributes or _NO_ATTRIBUTES)
        self._left -= 1
        if len(self._open) >= _DEEPEST or self._left < 0:
            raise _RefusedError
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        self._open[-1].text += text

    def refuse(self, *_arguments: object) -> None:
        raise _RefusedError


def parse(data: bytes, *, most: int = _MOST) -> Element | None:
    """Return the root of a document, None when these bytes are no document that is read.

    Args:
        data: The document.
        most: How many elements it may have.

    Example:
        >>> error = parse(b"<Error><Code>NoSuchKey</Code></Error>")
        >>> error.name, error.value("Code"), error.value("Message")
        ('Error', 'NoSuchKey', '')
        >>> parse(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>") is None
        True
    """
    builder = _Builder(most)
    parser = expat.ParserCreate(namespace_separator="\n")
    parser.buffer_text = True
    parser.buffer_size = _PIECE
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.refuse
    try:
        parser.Parse(data, True)  # noqa: FBT003 - positional only
    except (expat.ExpatError, _RefusedError, ValueError, LookupError):
        return None
    return builder.root
