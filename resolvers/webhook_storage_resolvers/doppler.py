"""Doppler: the secrets of one config, in one question.

Facts: "API Reference" and "Secrets: download" of the Doppler documentation; doppler-sdk 1.3 and the
command line's ``pkg/http`` for the forms. Of the questions that answer several names at once,
``secrets/download`` with ``secrets=A,B`` sends the least: only the values that were asked for, with
references in them resolved. A name that is not there is left out of the answer.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from http.client import BAD_REQUEST, FORBIDDEN, NOT_FOUND, OK, UNAUTHORIZED
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode

from webhook_storage.client import HttpAnswer, HttpClient, bearer
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.document import spell
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue
from webhook_storage.token import Refusal
from webhook_storage_resolvers.naming import (
    NAME,
    Place,
    answers,
    check_names,
    options_of,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference

_HOST = "https://api.doppler.com"
_ITS_NAMES = re.compile(r"[A-Z_][A-Z0-9_]*")
_RULE = 'a name has capital letters, digits and "_"'
_HEALTH_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class DopplerResolver(Resolver):
    """Secrets of one config in Doppler.

    ``${doppler:API_TOKEN}`` has the name that Doppler shows; so has a bare ``${API_TOKEN}``. All
    secrets of a request are one question, which gets these and no others.

    A service token belongs to one config. With any other token `project` and `config` say which.

    Args:
        token_variable: Name of the environment variable that holds the token.
        project: By default ``DOPPLER_PROJECT``.
        config: By default ``DOPPLER_CONFIG``.
        host: By default ``DOPPLER_API_HOST``, or Doppler's own.
        names: Which secret a bare ``${NAME}`` is, with ``{name}`` in it: ``APP_{name}``, or
            ``SETTINGS#{name}`` for a field of one secret that is JSON. With None no bare name is
            asked for.
        cacert: File of a CA that is trusted as well.

    Raises:
        ConfigurationError: `names` lacks ``{name}``, or fits no name that Doppler allows.

    Example:
        >>> DopplerResolver(project="backend", config="prd").names
        '{name}'
    """

    scheme: ClassVar[str] = "doppler"

    token_variable: str = "DOPPLER_TOKEN"  # noqa: S105 - where the token is, not the token
    project: str | None = None
    config: str | None = None
    host: str | None = None
    names: str | None = NAME
    cacert: str | os.PathLike[str] | None = None
    _http: HttpClient = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a pattern that fits no name, or leads all bare names to the same place."""
        check_names(self.names)
        if self.names and not _ITS_NAMES.fullmatch(self.names.partition("#")[0].replace(NAME, "X")):
            raise ConfigurationError(f"names fits no secret, {_RULE}", path="names")
        verify = os.fspath(self.cacert) if self.cacert is not None else True
        object.__setattr__(self, "_http", HttpClient(verify=verify))

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Ask once for all of them."""
        return answers(references, self._place, lambda names: self._read(names, deadline))

    def health(self) -> str | None:
        """Ask Doppler whose token this is."""
        answer = self._ask("/v3/me", Deadline(_HEALTH_SECONDS))
        return answer.detail if isinstance(answer, Refusal) else None

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        self._http.close()

    def _place(self, reference: Reference) -> Place[str] | Outcome:
        """Return which secret is wanted, or the outcome when there can be none."""
        options = options_of(reference)
        if isinstance(options, Invalid):
            return options
        place = place_of(reference, self.names)
        if isinstance(place, NotFound) or _ITS_NAMES.fullmatch(place.path):
            return place
        # A bare name may be that of another resolver's secret, so the chain goes on.
        return NotFound(_RULE) if reference.scheme is None else Invalid(_RULE)

    def _read(self, names: list[str], deadline: Deadline) -> dict[str, Outcome]:
        """Return the secrets with these names."""
        settings = {
            "project": self.project or os.environ.get("DOPPLER_PROJECT"),
            "config": self.config or os.environ.get("DOPPLER_CONFIG"),
        }
        query = {
            **{name: value for name, value in settings.items() if value},
            "format": "json",
            "include_dynamic_secrets": "false",  # else the question would make new credentials
            "secrets": ",".join(names),
        }
        spelled = urlencode(query, quote_via=quote, safe=",")
        document = self._ask(f"/v3/configs/config/secrets/download?{spelled}", deadline)
        if isinstance(document, Refusal):
            return dict.fromkeys(names, document)
        return {name: _outcome(document.get(name)) for name in names}

    def _ask(self, question: str, deadline: Deadline) -> Any | Refusal:
        """Return the object that Doppler answers with."""
        token = os.environ.get(self.token_variable)
        if not token:
            return Unavailable(f"no token: set {self.token_variable}")
        host = self.host or os.environ.get("DOPPLER_API_HOST") or _HOST
        url = f"{host.rstrip('/')}{question}"
        answer = self._http.ask("GET", url, deadline, headers=bearer(token))
        return _meaning(answer) if isinstance(answer, HttpAnswer) else answer


def _meaning(answer: HttpAnswer) -> Any | Refusal:
    """Return the document of an answer, or what its status means."""
    document = answer.document()
    if not isinstance(document, dict):
        if answer.status in {OK, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND}:
            return Unavailable("the answer is not one of Doppler's")
        return answer.trouble()
    if answer.status == OK:
        return document
    return _REFUSALS.get(answer.status) or answer.trouble()


_REFUSALS: dict[int, Refusal] = {
    BAD_REQUEST: Invalid(
        "Doppler does not understand the question, set DOPPLER_PROJECT and DOPPLER_CONFIG"
        " unless the token is that of one config"
    ),
    UNAUTHORIZED: Forbidden("the token is wrong"),
    FORBIDDEN: Forbidden("the token may not read this config"),
    # A secret that is not there would be left out of an answer, so what is missing is the config;
    # and a resolver further down the chain must not stand in for that.
    NOT_FOUND: Forbidden(
        "there is no such project or config, or the token may not read it", maybe_missing=True
    ),
}


def _outcome(value: Any) -> Outcome:
    """Return the outcome for a value; None stands for a secret that is not there."""
    if value is None:
        return NotFound("the config has no such secret")
    text = spell(value)
    return Invalid("the secret is no text") if text is None else Found(value=SecretValue(text))
