"""Which names Artifactory keeps as they are, and properties as a part of a URL.

Source: JFrog Artifactory REST API, Deploy Artifact, Deploy Artifact by Checksum, and Using
Properties in Deployment and Resolution.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from webhook_storage.errors import ConfigurationError
from webhook_storage.template import Fact, Placeholder, parse
from webhook_storage_presets.keys import CONTROLS, check_facts, filled, in_segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Facts

SIDE_FILES = (".sha1", ".md5", ".sha256")
"""Endings of files that Artifactory takes for checksums of others, and does not store."""

_PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")


def check_name(key: str, facts: Facts) -> None:
    """Refuse a key that Artifactory would keep under another name, or not at all.

    Raises:
        ConfigurationError: When it would.
    """
    check_facts(key, facts)
    problem = problem_of(key, facts)
    if problem is not None:
        message = f"the key {problem}"
        raise ConfigurationError(message, path="key", hint="store it under another key")


def problem_of(key: str, facts: Facts) -> str | None:
    """Return why Artifactory cannot keep a name, None when it can.

    Example:
        >>> problem_of("flows/${artifact.key}", {"artifact.key": "a.sha1"})
        'ends with .sha1, which is the checksum of another file'
    """
    name = filled(key, facts)
    if name.startswith("/") or "//" in name:
        return "has an empty segment, which Artifactory drops"
    if name.endswith("/"):
        return "ends with a slash, as a folder does"
    if ";" in name:
        return "has a semicolon, after which Artifactory reads properties"
    side = next((end for end in SIDE_FILES if name.lower().endswith(end)), None)
    return None if side is None else f"ends with {side}, which is the checksum of another file"


def ends_unseen(key: str) -> bool:
    """Tell whether a key ends with the value of a secret, which nobody can look at."""
    last = parse(key).parts[-1]
    return isinstance(last, Placeholder) and not isinstance(last.source, Fact)


# --- properties ----------------------------------------------------------------------------------


def check_properties(properties: Mapping[str, str]) -> None:
    """Refuse what is no property.

    Raises:
        ValueError: When a name or a value is none.
    """
    for name, text in properties.items():
        if not _PROPERTY.fullmatch(name):
            raise ValueError("the name of a property is of letters, digits and _ . : -")
        parse(text)
        if not text or CONTROLS.search(text):
            raise ValueError("a property has a value, without control characters")


def in_matrix(properties: Mapping[str, str]) -> str:
    """Return the template of the properties as matrix parameters, each value encoded.

    Example:
        >>> in_matrix({"stage": "a;b", "flow": "${flow.name}"})
        ';stage=a%3Bb;flow=${flow.name|urlencode}'
    """
    return "".join(f";{name}={in_segment(text)}" for name, text in properties.items())
