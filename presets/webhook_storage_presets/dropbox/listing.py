"""The path of a storage read backwards: from the files that are there to their keys."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from webhook_storage.errors import ConfigurationError
from webhook_storage.template import Fact, Placeholder, Template, parse

_KEYS = ("artifact.key", "flow.slug", "flow.name")
"""Facts that tell one artifact from another, the one that `get` takes first."""

_SHAPES = {
    "artifact.key": ".+",
    "artifact.sha256": "[0-9a-f]{64}",
    "artifact.size": "[0-9]+",
    "build.time": r"[0-9]{4}-[0-9]{2}-[0-9]{2}t[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{6}z",
    "flow.name": ".+",
    "flow.slug": "[a-z0-9-]+",
}
"""What the values of facts look like in a path."""


class Listed:
    """The path of a storage, read backwards: from the files that are there to their keys.

    Attributes:
        folder: Template of the folder in which all artifacts are.
    """

    def __init__(self, path: str) -> None:
        template = parse(path)
        key = next((name for name in _KEYS if name in template.facts()), None)
        if key is None:
            message = "a path without ${artifact.key} holds one artifact, there is no list of keys"
            raise ConfigurationError(message, path="path")
        self.folder = _folder(template)
        self._pattern = re.compile(_pattern(template, key), re.IGNORECASE | re.DOTALL)

    def keys(self, entries: Any) -> list[str]:
        """Return the keys of the files in one page of a listing; other files have none."""
        files = [
            str(entry.get("path_display", ""))
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict) and entry.get(".tag") == "file"
        ]
        return [match["key"] for match in map(self._pattern.fullmatch, files) if match]


def _folder(template: Template) -> str:
    """Return the part of the path that is the same for all artifacts, up to a slash."""
    folder = ""
    for part, following in pairwise(template.parts):
        if isinstance(following, Placeholder):
            if isinstance(part, str) and "/" in part:
                folder = template.text[: following.position].rpartition("/")[0]
            if isinstance(following.source, Fact):
                break
    return folder


def _pattern(template: Template, key: str) -> str:
    """Return the regular expression of the paths; its group is the key."""
    pieces: list[str] = []
    for part in template.parts:
        if isinstance(part, str):
            pieces.append(re.escape(part))
        elif str(part.source) != key:
            pieces.append(_SHAPES.get(str(part.source), ".+?"))
        elif part.filters:
            message = f"a list cannot undo the filter {part.filters[-1]!r} of ${{{key}}}"
            raise ConfigurationError(message, path="path")
        else:
            again = any(piece.startswith("(?P<key>") for piece in pieces)
            pieces.append("(?P=key)" if again else f"(?P<key>{_SHAPES[key]})")
    return "".join(pieces)
