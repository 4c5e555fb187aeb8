"""What definitions may do with the secrets of a process: which to name, and where each may go.

Rule: a definition comes from elsewhere and may have been edited; the process decides, not the
definition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from webhook_storage.contracts import Forbidden
from webhook_storage.errors import ConfigurationError, SecretForbiddenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from webhook_storage.template import Reference

_MOST_SHOWN = 5
_PORTS = {"http": "80", "https": "443"}
_AUTHORITY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^/?#\\@]*@)?([^/?#\\@]*)(?:[/?#]|$)")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]+))?")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Limits for the placeholders of a process; without any, everything is allowed.

    Patterns are those of file names: ``*`` stands for anything, ``?`` for one character.

    Args:
        allow: What placeholders may name, as it stands in the braces, with or without ``#field``
            and ``?options``. A pattern without a colon is one of bare names. None allows all.
        hosts: Where a secret may go: a pattern of names, and the hosts, as patterns too, with a
            port or without. The first pattern that fits a name decides; no host at all keeps the
            secret at home. A pattern without a colon is also that of a field, and of the last word
            of a path, whoever is asked; case, ``-`` and ``_`` make no difference.

    Raises:
        ConfigurationError: A list of patterns is a single text.

    Example:
        >>> from webhook_storage.template import Reference
        >>> policy = Policy(hosts={"DROPBOX_*": ["*.dropboxapi.com"], "*": []})
        >>> policy.check([Reference("DROPBOX_TOKEN")], "https://api.dropboxapi.com/2/files", "it")
        >>> policy.check([Reference("DROPBOX_TOKEN")], "https://example.com/", "it")
        Traceback (most recent call last):
        ...
        webhook_storage.errors.SecretForbiddenError: it would take ${DROPBOX_TOKEN} elsewhere, \
which may go to *.dropboxapi.com only, by the rule for "DROPBOX_*"
    """

    allow: Sequence[str] | None = None
    hosts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keep what nobody changes."""
        rules = {f"hosts.{name}": patterns for name, patterns in self.hosts.items()}
        if self.allow is not None:
            rules["allow"] = self.allow
        for path, patterns in rules.items():
            if not _are_texts(patterns):
                message = 'this is a list of patterns, for example ["FILES_*"]'
                raise ConfigurationError(message, path=path)
        if self.allow is not None:
            object.__setattr__(self, "allow", tuple(self.allow))
        hosts = {name: tuple(patterns) for name, patterns in self.hosts.items()}
        object.__setattr__(self, "hosts", hosts)

    def forbids(self, reference: Reference) -> Forbidden | None:
        """Return the outcome for a secret that may not be named, None for one that may."""
        if self.allow is None:
            return None
        spellings = list(_spellings(reference))
        for pattern in self.allow:
            if reference.scheme is not None and ":" not in pattern:
                continue
            if any(fnmatchcase(spelling, pattern) for spelling in spellings):
                return None
        return Forbidden(f"the allow list of this process names {_listed(self.allow)} only")

    def check(self, references: Iterable[Reference], url: str, what: str) -> None:
        """Refuse to let secrets go where they must not.

        Args:
            references: What the request carries.
            url: Where it goes, with all values in it.
            what: How to call the request in a message.

        Raises:
            SecretForbiddenError: The host is none of those that the rule for a secret names.
        """
        authority = _authority(url)
        for reference in references:
            rule = self._rule(reference)
            if rule is None or any(_is_host(authority, pattern) for pattern in self.hosts[rule]):
                continue
            where = f"to {_listed(self.hosts[rule])} only" if self.hosts[rule] else "nowhere"
            raise SecretForbiddenError(
                f"{what} would take ${{{reference}}} elsewhere, "
                f'which may go {where}, by the rule for "{rule}"',
                names=(str(reference),),
                hint="if this host is the right one, add it to that rule in the configuration",
            )

    def _rule(self, reference: Reference) -> str | None:
        """Return the first pattern that fits a secret."""
        spellings = [_normal(spelling) for spelling in _spellings(reference)]
        words = [_normal(word) for word in _words(reference)]
        for pattern in self.hosts:
            candidates = spellings if ":" in pattern else [*spellings, *words]
            if any(fnmatchcase(candidate, _normal(pattern)) for candidate in candidates):
                return pattern
        return None


def _are_texts(patterns: object) -> bool:
    """Tell whether this is a list of texts, and no single one."""
    return isinstance(patterns, (list, tuple)) and all(isinstance(each, str) for each in patterns)


def _spellings(reference: Reference) -> Iterator[str]:
    """Yield what may stand in braces for a secret: with its options and field, and without."""
    plain = replace(reference, options=())
    for each in (reference, plain, reference.without_field(), plain.without_field()):
        yield str(each)


def _words(reference: Reference) -> Iterator[str]:
    """Yield the names that a secret has, whoever is asked for it."""
    yield reference.name
    yield reference.name.rpartition("/")[2]
    if reference.field is not None:
        yield reference.field
        yield reference.field.rpartition("/")[2]


def _normal(text: str) -> str:
    """Return a name as stores that know fewer characters have it."""
    return text.casefold().replace("-", "_")


def _authority(url: str) -> tuple[str, str]:
    """Return host and port of a URL; what is no server's has neither."""
    # Not by urlsplit, which keeps what it has split.
    parts = _AUTHORITY.match(url)
    host = _HOST.fullmatch(parts[2].lower()) if parts else None
    if parts is None or host is None:
        return "", ""
    return host[1], host[2] or _PORTS.get(parts[1].lower(), "")


def _is_host(authority: tuple[str, str], pattern: str) -> bool:
    """Tell whether a pattern, of hosts or of hosts with a port, fits."""
    host, port = authority
    pattern = pattern.casefold()
    return bool(host) and (fnmatchcase(host, pattern) or fnmatchcase(f"{host}:{port}", pattern))


def _listed(patterns: Sequence[str]) -> str:
    more = ", ..." if len(patterns) > _MOST_SHOWN else ""
    return (", ".join(patterns[:_MOST_SHOWN]) or "nothing") + more
