"""A company's own secret service, spoken to as its configuration says.

Facts: RFC 9110 and RFC 6901; which service it is, only the configuration knows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from webhook_storage.client import HttpAnswer, HttpClient
from webhook_storage.contracts import Deadline, Invalid, Outcome, Resolver, Unavailable
from webhook_storage.errors import ConfigurationError
from webhook_storage_resolvers.http.answer import Reading
from webhook_storage_resolvers.http.credentials import check_headers, fill_headers, names_of
from webhook_storage_resolvers.http.question import (
    check_document,
    check_url,
    fill_document,
    fill_url,
    holds_name,
    is_name,
)
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

_HEALTH_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class HttpResolver(Resolver):
    """A secret service of which everything is configuration: where, how, with what, what then.

    ``${http:team/app}`` asks for the name ``team/app``; ``${http://hr/team/app}`` asks the service
    that is configured as ``hr``. The service is not followed elsewhere, and its answers are data:
    no placeholder in them is ever resolved.

    Args:
        url: The address, in whose path or query ``{name}`` is the name, percent-encoded.
        slashes: Whether a slash in a name separates segments of the path; else it is encoded.
        method: GET or POST.
        json: With POST: a document to send, in whose texts ``{name}`` is the name.
        headers: Names with texts, in which ``${NAME}`` and ``${env:NAME}`` are environment
            variables, ``${directory:name}`` is a credential of a container or service manager and
            ``${file:/path}`` is a file; nothing else is asked for them. Filters work as everywhere:
            ``Basic ${USER_AND_PASSWORD|basic}``.
        pointer: Where in a JSON answer the value stands: ``/data/value``, or a key. Without it the
            whole body is the value, but for one line break at its end. A number keeps its
            spelling, and ``null`` means that there is no such secret.
        structured: Whether the value is an object, of which every reference must name a field.
        version_pointer: Where its version stands.
        absent_pointer: If the service says "no such secret" in a success: where it says so. What
            stands there then is `absent_value`, or by default anything but ``null`` and ``false``.
        absent_value: See `absent_pointer`; ``false`` for ``{"found": false}``.
        statuses: What a status means: ``found`` (200), ``not_found`` (404, 410), ``forbidden``
            (401, 403), ``invalid``, or ``unavailable`` (all others).
        ttl: Seconds for which values may be kept. Without it `ttl_pointer`, of which nine tenths
            are used, and then the header ``Cache-Control`` say it.
        ttl_pointer: Where in the answer a number of seconds stands.
        ca_file: File of a CA that is trusted as well.
        cert_file: File of a client certificate.
        key_file: File of its key, if that is not in `cert_file`.
        health_url: An address that answers with 2xx to anybody, when the service is well.
        names: What a bare ``${NAME}`` asks for, with ``{name}`` in it: ``team/flows/{name}``, or
            ``team/flows#{name}`` for a field. Without it no bare name is asked for.

    Raises:
        ConfigurationError: Something of this cannot be, or a credential stands in a header.

    Example:
        >>> HttpResolver(
        ...     url="https://safe.example.com/v1/secrets/{name}",
        ...     headers={"Authorization": "Bearer ${SAFE_TOKEN}"},
        ...     pointer="/data/value",
        ... ).method
        'GET'
    """

    scheme: ClassVar[str] = "http"

    url: str
    slashes: bool = False
    method: str = "GET"
    json: Any = field(default=None, hash=False)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    pointer: str | None = None
    structured: bool = False
    version_pointer: str | None = None
    absent_pointer: str | None = None
    absent_value: str | None = None
    statuses: Mapping[int, str] | Mapping[str, str] = field(default_factory=dict, hash=False)
    ttl: float | None = None
    ttl_pointer: str | None = None
    ca_file: str | os.PathLike[str] | None = None
    cert_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    health_url: str | None = None
    names: str | None = None
    _reading: Reading = field(init=False, repr=False, compare=False)
    _http: HttpClient = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check everything that does not depend on the service."""
        check_url(self.url, "url", filled=True)
        if self.health_url is not None:
            check_url(self.health_url, "health_url")
        self._check_method()
        object.__setattr__(self, "headers", check_headers(self.headers))
        check_names(self.names)
        if self.names and not is_name(self.names.partition("#")[0].replace(NAME, "x")):
            raise ConfigurationError(_NOT_A_NAME.detail, path="names")
        reading = Reading(
            pointer=self.pointer,
            structured=self.structured,
            version_pointer=self.version_pointer,
            absent_pointer=self.absent_pointer,
            absent_value=self.absent_value,
            statuses=self.statuses,
            ttl=self.ttl,
            ttl_pointer=self.ttl_pointer,
        )
        object.__setattr__(self, "statuses", dict(self.statuses))
        object.__setattr__(self, "_reading", reading)
        object.__setattr__(self, "_http", self._client())

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Ask once for each name, one after the other."""
        return answers(references, self._place, lambda names: self._read_all(names, deadline))

    def health(self) -> str | None:
        """Look for the credentials, then ask `health_url`, without them."""
        headers = fill_headers(self.headers, Deadline(_HEALTH_SECONDS))
        if isinstance(headers, Unavailable):
            return headers.detail
        if self.health_url is None:
            return None
        answer = self._http.ask("GET", self.health_url, Deadline(_HEALTH_SECONDS), headers=_ANY)
        if isinstance(answer, Unavailable):
            return answer.detail
        well = answer.status // 100 == 2  # noqa: PLR2004 - success
        return None if well else answer.trouble().detail

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        self._http.close()

    # --- what is configured ---

    def _check_method(self) -> None:
        if self.method not in {"GET", "POST"}:
            raise ConfigurationError("this is GET or POST", path="method")
        if self.json is not None and self.method == "GET":
            message = "a GET carries no document"
            raise ConfigurationError(message, path="json", hint='write method = "POST" as well')
        check_document(self.json)
        if NAME not in self.url and not holds_name(self.json):
            message = f"{NAME} stands neither in url nor in json, so all secrets would be one"
            raise ConfigurationError(message, path="url")

    def _client(self) -> HttpClient:
        if self.key_file is not None and self.cert_file is None:
            message = "a key without its certificate proves nothing"
            raise ConfigurationError(message, path="key_file", hint="set cert_file as well")
        cert: str | tuple[str, str] | None = None
        if self.cert_file is not None:
            cert = os.fspath(self.cert_file)
            cert = cert if self.key_file is None else (cert, os.fspath(self.key_file))
        return HttpClient(
            verify=True if self.ca_file is None else os.fspath(self.ca_file), cert=cert
        )

    # --- asking ---

    def _place(self, reference: Reference) -> Place[str] | Outcome:
        """Return what to ask for, or the outcome when nothing can be asked."""
        options = options_of(reference)
        if isinstance(options, Invalid):
            return options
        place = place_of(reference, self.names)
        if isinstance(place, Place) and not is_name(place.path):
            return _NOT_A_NAME
        return place

    def _read_all(self, names: list[str], deadline: Deadline) -> dict[str, Outcome]:
        """Ask for each name; when the service cannot be asked for one, not for the next."""
        headers = fill_headers(self.headers, deadline)
        if isinstance(headers, Unavailable):
            return dict.fromkeys(names, headers)
        wants_text = self.pointer is None and not self.structured
        if wants_text and "accept" not in map(str.lower, headers):
            headers |= _ANY
        outcomes: dict[str, Outcome] = {}
        for name in names:
            url = fill_url(self.url, name, slashes=self.slashes)
            document = fill_document(self.json, name)
            answer = self._http.ask(self.method, url, deadline, headers=headers, json=document)
            if isinstance(answer, HttpAnswer):
                outcome = self._reading.outcome(answer, names_of(self.headers))
                down = self._reading.word(answer) == "unavailable"
            else:
                outcome, down = answer, True
            if down:
                return {**dict.fromkeys(names, outcome), **outcomes}
            outcomes[name] = outcome
        return outcomes


_ANY = {"Accept": "*/*"}
_NOT_A_NAME = Invalid("a name is words between single slashes, none of which is '.' or '..'")
