"""What definitions may do with the secrets of a process: which to name, and where each may go.

Rule: a definition comes from elsewhere and may have been edited; the process decides, not the
definition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from webhook_storage.contracts import Forbidden
from webhook_storage.errors import ConfigurationError, SecretForbiddenError
from webhook_storage.origin import origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from webhook_storage.template import Reference

_MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Limits for the placeholders of a process; without any, everything is allowed.

    In patterns ``*`` stands for anything and ``?`` for one character.

    Args:
        allow: What placeholders may name, as it stands in the braces, without options. A pattern
            without ``#`` allows all fields, one without a colon is of bare names. None allows all.
            What libraries find for an `auth` that names no secret is ``auth:google``,
            ``auth:entra`` and ``auth:aws``.
        hosts: Where a secret may go: a pattern of names, and the hosts, as patterns too, with a
            port or without. The first pattern that fits a name decides. No host keeps the secret
            at home, and so does a name that no pattern fits; ``"*": ["*"]`` at the end lets the
            others go. A pattern without a colon is also that of a field, and of the last word of a
            path, whoever is asked; case, ``-`` and ``_`` make no difference.

    Raises:
        ConfigurationError: A list of patterns is a single text.

    Example:
        >>> from webhook_storage.template import Reference
        >>> policy = Policy(hosts={"DROPBOX_*": ["*.dropboxapi.com"]})
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
        for pattern in self.allow:
            wanted, hash_sign, field = pattern.partition("#")
            if reference.scheme is not None and ":" not in wanted:
                continue
            if not any(_fits(name, wanted) for name in _names(reference)):
                continue
            if not hash_sign or (reference.field is not None and _fits(reference.field, field)):
                return None
        return Forbidden(f"the allow list of this process names {_listed(self.allow)} only")

    def permit(self, identity: Reference) -> None:
        """Refuse to take credentials of this process that no definition may name.

        Raises:
            SecretForbiddenError: They are not allowed.
        """
        if forbidden := self.forbids(identity):
            raise SecretForbiddenError(
                f'the credentials of this process, "{identity}", may not be taken: '
                f"{forbidden.detail}",
                names=(str(identity),),
                hint="add them to the list in the configuration, or name a secret in 'auth'",
            )

    def check(self, references: Iterable[Reference], url: str, what: str) -> None:
        """Refuse to let secrets go where they must not.

        Args:
            references: What the request carries.
            url: Where it goes, with all values in it.
            what: How to call the request in a message.

        Raises:
            SecretForbiddenError: The host is none of those that the rule for a secret names.
        """
        if not self.hosts:
            return
        authority = _authority(url)
        for reference in references:
            rule = self._rule(reference)
            hosts = () if rule is None else self.hosts[rule]
            if any(_is_host(authority, pattern) for pattern in hosts):
                continue
            where = f"to {_listed(hosts)} only" if hosts else "nowhere"
            why = "as no rule fits it" if rule is None else f'by the rule for "{rule}"'
            raise SecretForbiddenError(
                f"{what} would take ${{{reference}}} elsewhere, which may go {where}, {why}",
                names=(str(reference),),
                hint="if this host is the right one, add it to the rule in the configuration",
            )

    def _rule(self, reference: Reference) -> str | None:
        """Return the first pattern that fits a secret."""
        names = [_normal(name) for name in _names(replace(reference, instance=None))]
        names += [_normal(name) for name in _names(reference)]
        words = [_normal(word) for word in _words(reference)]
        for pattern in self.hosts:
            wanted, _, field = _normal(pattern).partition("#")
            candidates = names if ":" in wanted else [*names, *words]
            if any(_fits(name, wanted) for name in candidates) and _holds(reference, field):
                return pattern
        return None


def _are_texts(patterns: object) -> bool:
    """Tell whether this is a list of texts, and no single one."""
    return isinstance(patterns, (list, tuple)) and all(isinstance(each, str) for each in patterns)


def _names(reference: Reference) -> Iterator[str]:
    """Yield what stands in braces for a secret, without options and field, in quotes and not."""
    plain = replace(reference, options=(), field=None)
    yield str(plain)
    if reference.scheme is not None:
        instance = "" if reference.instance is None else f"//{reference.instance}/"
        yield f"{reference.scheme}:{instance}{reference.name}"


def _holds(reference: Reference, field: str) -> bool:
    """Tell whether a reference gives a field, by itself or as a part of the whole secret."""
    if not field or reference.field is None:
        return True
    return _fits(_normal(reference.field).removeprefix("/"), field.removeprefix("/"))


def _words(reference: Reference) -> Iterator[str]:
    """Yield the names that a secret has, whoever is asked for it."""
    yield reference.name
    yield reference.name.rpartition("/")[2]
    if reference.field is not None:
        yield reference.field
        yield reference.field.rpartition("/")[2]


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    """Return a pattern as an expression; nothing but the two signs is special in it."""
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(char) or re.escape(char) for char in pattern), re.DOTALL)


def _fits(text: str, pattern: str) -> bool:
    return _expression(pattern).fullmatch(text) is not None


def _normal(text: str) -> str:
    """Return a name as stores that know fewer characters have it."""
    return text.casefold().replace("-", "_")


def _authority(url: str) -> tuple[str, str]:
    """Return host and port of a URL; what is no server's has neither."""
    where = origin(url)
    if not where.scheme or not where.host:
        return "", ""
    host = f"[{where.host}]" if ":" in where.host else where.host
    return host, str(where.port or "")


def _is_host(authority: tuple[str, str], pattern: str) -> bool:
    """Tell whether a pattern, of hosts or of hosts with a port, fits; ``*`` fits files as well."""
    host, port = authority
    pattern = pattern.lower()
    if not host:
        return pattern == "*"
    return _fits(host, pattern) or _fits(f"{host}:{port}", pattern)


def _listed(patterns: Sequence[str]) -> str:
    more = ", ..." if len(patterns) > _MOST_SHOWN else ""
    return (", ".join(patterns[:_MOST_SHOWN]) or "nothing") + more
