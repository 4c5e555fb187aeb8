"""The headers of a configured service: texts with references to credentials of this machine.

Rule: a reference here is answered from the environment, a directory of credentials or a file, and
never by resolvers that somebody configured; so a service cannot need itself.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Found, NotFound, Outcome, Unavailable
from webhook_storage.document import pick
from webhook_storage.errors import ConfigurationError, TemplateError, WebhookStorageError
from webhook_storage.place.texts import header
from webhook_storage.template import Fact, Reference, Source, parse
from webhook_storage_resolvers.directory import DirectoryResolver
from webhook_storage_resolvers.env import EnvResolver
from webhook_storage_resolvers.naming import NAME
from webhook_storage_resolvers.secret_file import read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Deadline
    from webhook_storage.template import Template

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset(
    {
        "accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te",
        "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_FOR_CREDENTIALS = re.compile(
    r"cookie|.*(auth|authorization|key|passw(or)?d|secret|token)", re.IGNORECASE
)


def check_headers(headers: Any) -> dict[str, str]:
    """Return the headers, each a template whose references can be answered here.

    Raises:
        ConfigurationError: With the header in question as its path.
    """
    if not hasattr(headers, "items") or not all(
        isinstance(text, str) for pair in headers.items() for text in pair
    ):
        raise ConfigurationError("these are names with texts", path="headers")
    for name, text in headers.items():
        _check_name(name)
        template = _parsed(text, f"headers.{name}")
        if NAME in text:
            message = f"{NAME} stands in url or json, not in a header"
            raise ConfigurationError(message, path=f"headers.{name}")
        if template.is_literal and _FOR_CREDENTIALS.fullmatch(name):
            message = "a credential is not written here, only where it is"
            hint = "Authorization: Bearer ${SAFE_TOKEN}, or ${file:/run/safe/token}"
            raise ConfigurationError(message, path=f"headers.{name}", hint=hint)
        for source in template.sources:
            _check_source(source, f"headers.{name}")
    return dict(headers)


def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
        message = "this is no header, or one that is set for every request"
        raise ConfigurationError(message, path=f"headers.{name if name.isprintable() else ''}")


def _parsed(text: str, path: str) -> Template:
    """Return the template, if its own text can stand in a header."""
    try:
        template = parse(text)
        header(template, lambda _: "x")
    except TemplateError as error:
        failure = ConfigurationError(str(error.args[0]), path=path, hint=error.hint)
    except WebhookStorageError:
        return template  # a filter wants more than an x
    else:
        return template
    raise failure


def _check_source(source: Source, path: str) -> None:
    known = isinstance(source, Reference) and source.scheme in {None, "env", "directory", "file"}
    if isinstance(source, Fact) or not known or source.instance or source.options:
        message = f"${{{source}}} is no credential of this machine"
        hint = "there are ${NAME}, ${env:NAME}, ${directory:name} and ${file:/path}"
        raise ConfigurationError(message, path=path, hint=hint)
    if source.scheme == "file" and not source.name.startswith(("/", "~/")):
        message = f"${{{source}}} is no absolute path"
        raise ConfigurationError(message, path=path, hint="${file:/run/safe/token}")


def fill_headers(headers: Mapping[str, str], deadline: Deadline) -> dict[str, str] | Unavailable:
    """Return the headers with their values, as they are now, or why there are none."""
    templates = {name: parse(text) for name, text in headers.items()}
    references = [each for template in templates.values() for each in template.references()]
    values: dict[Source, str | None] = {}
    for reference in references:
        outcome = pick(_read(reference, deadline), reference.field)
        if not isinstance(outcome, Found | NotFound):
            return Unavailable(f"no credential: ${{{reference}}}: {outcome.detail}")
        values[reference] = outcome.value.reveal() if isinstance(outcome, Found) else None
    for template in templates.values():
        if problems := template.problems(values.get):
            return Unavailable(_missing(problems[0].source, problems[0].reason))
    try:
        return {name: header(template, values.get) for name, template in templates.items()}
    except WebhookStorageError as error:
        return Unavailable(f"no credential: {error}")  # these words hold no value


def names_of(headers: Mapping[str, str]) -> str:
    """Return what the headers refer to, for a message."""
    sources = [source for text in headers.values() for source in parse(text).sources]
    return " and ".join(dict.fromkeys(f"${{{source}}}" for source in sources))


def _missing(source: Source, reason: str) -> str:
    """Say what to set."""
    if isinstance(source, Reference) and source.scheme in {None, "env"}:
        return f"no credential: set {source.name}"
    return f"no credential: ${{{source}}} is {reason}"


def _read(reference: Reference, deadline: Deadline) -> Outcome:
    """Return a credential of this machine."""
    bare = reference.without_field()
    if bare.scheme == "file":
        return read_secret(os.path.expanduser(bare.name), deadline)  # noqa: PTH111 - any text does
    resolver = DirectoryResolver() if bare.scheme == "directory" else EnvResolver()
    return resolver.resolve([bare], deadline)[bare]
