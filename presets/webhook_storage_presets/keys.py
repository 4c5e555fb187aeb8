"""Names of objects: the template of a key as a part of a URL, and read backwards from a listing."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote

from webhook_storage.errors import ConfigurationError
from webhook_storage.filters import has_dot_segment
from webhook_storage.template import Fact, Placeholder, Source, Template, escape, parse

if TYPE_CHECKING:
    from webhook_storage.contracts import Facts

FLOW_KEY = "${flow.slug}/${build.time}"
"""Where a flow is stored unless the key says otherwise: its slug, and the time of storing."""

ARTIFACT_KEY = "${artifact.key}"

CONTROLS = re.compile("[\x00-\x1f\x7f]")
_HALVES = re.compile("[\ud800-\udfff]")
"""Halves of the characters that UTF-16 writes in two, which UTF-8 cannot write."""

_ANOTHER = "store it under another key"
_LISTABLE = "put ${artifact.key} into it, or do without a list"

_NAMES = ("artifact.key", "flow.slug", "flow.name")
"""Facts that tell one artifact from another, the one that `get` takes first."""

_PATHS = {"artifact.key", "flow.name"}
"""Facts whose slashes are those of the key."""

_SHAPES = {
    "artifact.key": ".+",
    "artifact.sha256": "[0-9a-f]{64}",
    "artifact.size": "[0-9]+",
    "build.time": r"[0-9]{4}-[0-9]{2}-[0-9]{2}t[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{6}z",
    "build.uuid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "flow.name": ".+",
    "flow.slug": "[a-z0-9-]+",
}
"""What the values of facts look like in a key."""


def check_key(text: str | None) -> str | None:
    """Return the template of a key.

    Raises:
        ValueError: When no object can have that key.
    """
    if text is None:
        return None
    template = parse(text)
    if not text or text.endswith("/"):
        raise ValueError("it ends with a name, for example flows/${artifact.key}")
    if CONTROLS.search(text):
        raise ValueError("it has a control character, which no object's name can hold")
    if _HALVES.search(text):
        raise ValueError("it is not valid Unicode")
    if has_dot_segment("".join(part if isinstance(part, str) else "x" for part in template.parts)):
        raise ValueError("it has a '.' or '..' segment, which no URL keeps")
    return text


def key_of(key: str | None, facts: Facts) -> str:
    """Return the template of the key of this artifact: the given one, or that of its kind."""
    if key is not None:
        return key
    return FLOW_KEY if "flow.slug" in facts else ARTIFACT_KEY


def check_facts(key: str, facts: Facts, *, field: str = "key") -> None:
    """Refuse what no key can hold, before anything is sent.

    Args:
        key: The template.
        facts: Those of the operation.
        field: What the storage calls the template.

    Raises:
        ConfigurationError: When a fact in the key has a control character, or a dot segment.
    """
    for name in parse(key).facts():
        value = facts.get(name, "")
        if CONTROLS.search(value):
            message = f"${{{name}}} has a control character, which no object's name can hold"
            raise ConfigurationError(message, path=field, hint=_ANOTHER)
        if has_dot_segment(value):
            message = f"${{{name}}} has a '.' or '..' segment, which no URL keeps"
            raise ConfigurationError(message, path=field, hint=_ANOTHER)


def filled(key: str, facts: Facts) -> str:
    """Return a key with its facts, to look at; what is not known is a letter.

    Example:
        >>> filled("${TEAM}/${artifact.key}", {"artifact.key": "a b"})
        'x/a b'
    """

    def known(source: Source) -> str:
        return facts.get(source.name, "x") if isinstance(source, Fact) else "x"

    return "".join(
        part
        if isinstance(part, str)
        else part.value(known)
        if isinstance(part.source, Fact)
        else "x"  # its filters may not take a letter
        for part in parse(key).parts
    )


def facts_of(key: str | None) -> frozenset[str]:
    """Return the facts on which the key of an artifact depends."""
    texts = (FLOW_KEY, ARTIFACT_KEY) if key is None else (key,)
    return frozenset(fact for text in texts for fact in parse(text).facts())


def in_url(key: str) -> str:
    """Return the template of a key as the path of a URL: all of it encoded but its slashes.

    Example:
        >>> in_url("a b/${artifact.key}+")
        'a%20b/${artifact.key|path}%2B'
    """
    return "".join(
        escape(quote(part, safe="/~"))
        if isinstance(part, str)
        else _filtered(part, "path" if _is_path(part.source) else "urlencode")
        for part in parse(key).parts
    )


def _is_path(source: Source) -> bool:
    """Tell whether the slashes in a value are those of the key."""
    return isinstance(source, Fact) and source.name in _PATHS


def in_segment(key: str) -> str:
    """Return the template of a key as one segment of a URL's path, its slashes encoded too.

    Example:
        >>> in_segment("a b/${artifact.key}+")
        'a%20b%2F${artifact.key|urlencode}%2B'
    """
    return "".join(
        escape(quote(part, safe="~")) if isinstance(part, str) else _filtered(part, "urlencode")
        for part in parse(key).parts
    )


def _filtered(placeholder: Placeholder, last: str) -> str:
    """Return a placeholder with one more filter."""
    word = placeholder.word
    default = "" if word is None else word.text if isinstance(word, Template) else word
    filters = "".join(f"|{name}" for name in (*placeholder.filters, last))
    return f"${{{placeholder.source}{placeholder.operator or ''}{default}{filters}}}"


class Listed:
    """The template of a key, read backwards: from the objects that are there to their keys.

    Args:
        key: The template; None for any name.
        ignore_case: Whether the service is blind to case.
        field: What the storage calls the template.

    Attributes:
        prefix: Template of what all keys begin with, up to a slash.
    """

    def __init__(self, key: str | None, *, ignore_case: bool = False, field: str = "key") -> None:
        """Find out what a key looks like."""
        template = parse(ARTIFACT_KEY if key is None else key)
        name = next((name for name in _NAMES if name in template.facts()), None)
        if name is None:
            message = (
                f"a {field} without ${{artifact.key}} is that of one artifact, there is no list"
            )
            raise ConfigurationError(message, path=field, hint=_LISTABLE)
        self.prefix = _prefix(template)
        flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        self._pattern = re.compile(_pattern(template, name, field), flags)

    def keys(self, names: list[str]) -> list[str]:
        """Return the keys of those objects that this storage may have stored."""
        found = [match["key"] for match in map(self._pattern.fullmatch, names) if match]
        return [key for key in found if not CONTROLS.search(key)]


def _prefix(template: Template) -> str:
    """Return the part of the key that is the same for all artifacts, its last slash included."""
    parts = [*template.parts, ""]
    prefix = ""
    for part, following in pairwise(["", *parts]):
        if isinstance(part, str) and isinstance(following, Placeholder):
            known = template.text[: following.position]
            prefix = known[: known.rfind("/") + 1] if "/" in part else prefix
            if isinstance(following.source, Fact):
                break
    return prefix


def _pattern(template: Template, key: str, field: str) -> str:
    """Return the regular expression of the names; its group is the key."""
    pieces: list[str] = []
    for part in template.parts:
        if isinstance(part, str):
            pieces.append(re.escape(part))
        elif str(part.source) != key:
            pieces.append(_SHAPES.get(str(part.source), ".+?"))
        elif part.filters:
            message = f"a list cannot undo the filter {part.filters[-1]!r} of ${{{key}}}"
            raise ConfigurationError(message, path=field, hint="leave the filter out")
        else:
            again = any(piece.startswith("(?P<key>") for piece in pieces)
            pieces.append("(?P=key)" if again else f"(?P<key>{_SHAPES[key]})")
    return "".join(pieces)
