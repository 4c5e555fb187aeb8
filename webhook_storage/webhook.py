"""The generic storage: two HTTP requests, given by their kwargs, one to store and one to fetch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self, TypeAlias
from uuid import uuid4

from pydantic import Field, field_validator

from webhook_storage import capture, origin
from webhook_storage.answer import header, maybe_done
from webhook_storage.checksum import ChecksumHeader, compare_stored, sent
from webhook_storage.contracts import (
    PLAIN,
    Body,
    Exchange,
    Facts,
    Request,
    Response,
    Sink,
    StoreOptions,
)
from webhook_storage.errors import (
    ConfigurationError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    ResponseError,
    SecretError,
    UnknownMethodError,
)
from webhook_storage.flows import slugify
from webhook_storage.kwargs import (
    auth,
    cert,
    check_kwargs,
    check_method,
    facts_in,
    names_fact,
    plain_data,
    timeout,
)
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.registry import did_you_mean
from webhook_storage.storage import Names, Storage, cannot_hold
from webhook_storage.template import escape

Statuses: TypeAlias = list[int]

_CONDITION_FAILED = frozenset({409, 412})
"""412 is the answer of RFC 9110; some services say 409 to a second creation."""

_METHODS = ("GET", "PATCH", "POST", "PUT")
"""What Prefect 1 knew for storing and fetching; other requests may use any."""


class Webhook(Storage):
    """Stores and fetches by two requests, on any HTTP file service.

    The arguments are those of `prefect.storage.Webhook` of Prefect 1, by the same names and in the
    same order. Kwargs are those of `requests.request`. In their texts ``${NAME}``, or ``$<NAME>``,
    stands for a secret that is resolved when the request is sent, and ``${flow.slug}``,
    ``${artifact.key}`` and their like for what is stored.

    Args:
        build_request_kwargs: The request that stores. The artifact is its body, or a file in a form
            when it says ``files={"field": "file name"}``.
        build_request_http_method: ``PUT``, ``POST``, ``PATCH`` or ``GET``.
        get_flow_request_kwargs: The request that fetches.
        get_flow_request_http_method: ``GET``, ``POST``, ``PUT`` or ``PATCH``.
        stored_as_script: Store the script instead of a pickle.
        flow_script_path: Path of the script.
        **options: See the fields below.

    Raises:
        ConfigurationError: When an argument or a kwarg is unknown or wrong.
        UnknownMethodError: When an HTTP method is; it is a `RuntimeError` too.

    Example:
        >>> storage = Webhook(
        ...     {"url": "https://files.example.com/${flow.slug}", "auth": ["me", "${PASSWORD}"]},
        ...     "PUT",
        ...     {"url": "https://files.example.com/${flow.slug}", "auth": ["me", "${PASSWORD}"]},
        ...     "GET",
        ... )
        >>> "PASSWORD" in storage.to_json()
        True
    """

    build_request_kwargs: dict[str, Any] = Field(description="Kwargs of the request that stores.")
    build_request_http_method: str = Field(description="Its HTTP method.")
    get_flow_request_kwargs: dict[str, Any] = Field(
        description="Kwargs of the request that fetches."
    )
    get_flow_request_http_method: str = Field(description="Its HTTP method.")
    exists_request: dict[str, Any] | None = Field(
        None, description="Kwargs and 'method' of the request that asks for an artifact."
    )
    delete_request: dict[str, Any] | None = Field(
        None, description="Kwargs and 'method' of the request that deletes."
    )
    list_request: dict[str, Any] | None = Field(
        None, description="Kwargs, 'method' and 'keys', a JSON pointer with *, of one that lists."
    )
    captures: dict[str, str] = Field(
        default_factory=dict,
        description="Values from the answer to a store: json:/pointer, header:Name, regex:(x).",
    )
    accept_statuses: Statuses | None = Field(
        None, description="Statuses that mean it is stored; every 2xx by default."
    )
    idempotent: bool | None = Field(
        None,
        description="Whether storing twice does the same as once; by default when it is a PUT.",
    )
    idempotency_header: str | None = Field(
        None,
        description="Header that gets one random value for all attempts of a store, for example "
        "Idempotency-Key; a service that knows it stores once.",
    )
    conditional_writes: bool = Field(
        default=False,
        description="Whether the service holds If-None-Match and If-Match of the request that "
        "stores (RFC 9110, section 13); else if_absent and if_unchanged are refused.",
    )
    checksum: ChecksumHeader | None = Field(
        None,
        description="Header that takes a checksum of the artifact along when it is stored, for "
        "services that compare it, for example Content-MD5.",
    )
    allow_http: bool = Field(
        default=False, description="Whether http without TLS may leave this machine."
    )
    redirect_hosts: Names = Field(
        default_factory=list, description="Patterns of other hosts from which to fetch."
    )
    allow_html: bool = Field(default=False, description="Whether HTML pages are artifacts here.")

    def __init__(
        self,
        build_request_kwargs: Mapping[str, Any],
        build_request_http_method: str,
        get_flow_request_kwargs: Mapping[str, Any],
        get_flow_request_http_method: str,
        stored_as_script: bool = False,  # noqa: FBT001, FBT002 - as in Prefect 1
        flow_script_path: str | None = None,
        **options: Any,
    ) -> None:
        """Check all arguments; nothing is resolved and nothing is sent."""
        super().__init__(
            build_request_kwargs=build_request_kwargs,
            build_request_http_method=build_request_http_method,
            get_flow_request_kwargs=get_flow_request_kwargs,
            get_flow_request_http_method=get_flow_request_http_method,
            stored_as_script=stored_as_script,
            flow_script_path=flow_script_path,
            **options,
        )
        self._check()

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Return the storage of a definition, be it ours or one that Prefect 1 serialized."""
        if "__version__" in fields:
            fields = _from_prefect_1(fields)
        missing = [name for name in _ARGUMENTS if name not in fields]
        if missing:
            message = f"Webhook: missing {', '.join(missing)}"
            unknown = [name for name in fields if name not in cls.model_fields]
            hints = [f"'{name}' is unknown.{did_you_mean(name, missing)}" for name in unknown]
            raise ConfigurationError(message, path=missing[0], hint=" ".join(hints) or None)
        return cls(**fields)

    @field_validator(
        "build_request_kwargs",
        "get_flow_request_kwargs",
        "exists_request",
        "delete_request",
        "list_request",
        mode="before",
    )
    @classmethod
    def _plain(cls, value: Any) -> Any:
        """Turn tuples into lists, so that a definition equals itself after JSON."""
        return plain_data(value)

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Send the artifact by the build request."""
        taken: dict[str, bytes] = {}
        headers = self._conditions(options)
        if self.checksum is not None:
            headers[self.checksum] = yield from sent(self.checksum, body, taken)
        request = self._store_request(body, facts, options, headers)
        response: Response = yield request
        if response.status in request.returns:
            # Of several attempts the first may have stored it, and its answer been lost.
            found = None
            if maybe_done(response.history) and not self.captures:
                found = yield from self.stored_already(body, facts)
            if found is None:
                yield from self._check_there(request, response, facts)
                raise _condition_failed(request, response, options)
            response = found
        else:
            what = f"{request.method} {request.url}"
            yield from compare_stored(what, response, body, taken)
        return Receipt.of(
            request.url,
            body,
            facts,
            version=header(response, "etag"),
            captures=capture.capture(self.captures, response, request.url),
        )

    def _check_there(self, request: Request, response: Response, facts: Facts) -> Exchange[None]:
        """Look what a 409 is about: WebDAV also says so when the parent folder is missing.

        Raises:
            ConflictError: When there is no artifact, so that it cannot be in the way.
        """
        if response.status != HTTPStatus.CONFLICT:
            return
        try:
            found = yield from self.stat_exchange(facts)
        except (ResponseError, ConfigurationError, SecretError):
            return
        if found is None:
            message = f"{request.method} {request.url} answered 409, and the artifact is not there"
            error = ConflictError(
                message,
                status=response.status,
                attempts=response.attempts,
                hint="is its parent folder missing?",
            )
            error.history = response.history
            raise error

    def _store_request(
        self, body: Body, facts: Facts, options: StoreOptions, more: Mapping[str, str]
    ) -> Request:
        kwargs = self.build_request_kwargs
        files: Mapping[str, str] | None = kwargs.get("files")
        if kwargs.get("data") is not None and not files:
            message = (
                "build_request_kwargs['data'] is the flow content and should not be set directly"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            kwargs = {name: value for name, value in kwargs.items() if name != "data"}
        idempotent = self.idempotent
        if self.idempotency_header is not None:
            more = {**more, self.idempotency_header: str(uuid4())}
            idempotent = True if idempotent is None else idempotent
        return self._request(
            _with_headers(kwargs, more) if more else kwargs,
            self.build_request_http_method,
            facts,
            body=body,
            multipart=next(iter(files.items())) if files else None,
            accept=frozenset(self.accept_statuses) if self.accept_statuses else None,
            returns=_CONDITION_FAILED if options.conditional else frozenset(),
            idempotent=idempotent,
        )

    def _conditions(self, options: StoreOptions) -> dict[str, str]:
        """Return the headers that make a store conditional."""
        if not self.conditional_writes:
            hint = (
                "if the service holds If-None-Match and If-Match (not all do, some store all the "
                "same), say conditional_writes=True"
            )
            cannot_hold(options, "conditional_writes", hint)
        if options.if_absent:
            return {"If-None-Match": "*"}
        if options.if_version is None:
            return {}
        if options.if_version.startswith("W/"):
            message = "the service calls its version weak, and a weak one is like others"
            raise ConfigurationError(message, hint="the service cannot compare versions")
        return {"If-Match": escape(options.if_version)}

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch by the get-flow request."""
        response: Response = yield self._request(
            self.get_flow_request_kwargs,
            self.get_flow_request_http_method,
            facts,
            sink=sink,
            idempotent=True,
        )
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask by the exists request; by default a HEAD of what is fetched.

        A service that refuses HEAD is asked for the first byte.
        """
        absent = frozenset({404, 410})
        if self.exists_request is not None:
            kwargs, method = _split(self.exists_request)
            response = yield self._request(kwargs, method, facts, returns=absent, idempotent=True)
            return None if response.status in absent else Stat.of(response)
        kwargs = self._fetch_url("exists_request")
        refused = frozenset({403, 405, 501})
        response = yield self._request(kwargs, "HEAD", facts, returns=absent | refused)
        if response.status in refused:
            headers = {**(kwargs.get("headers") or {}), "Range": "bytes=0-0"}
            ranged = {**kwargs, "headers": headers}
            # A server that ignores the range would else send all of it.
            response = yield self._request(
                ranged, "GET", facts, returns=absent | {416}, headers_only=True
            )
        return None if response.status in absent else Stat.of(response)

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete by the delete request; by default a DELETE of what is fetched."""
        if self.delete_request is not None:
            kwargs, method = _split(self.delete_request)
        else:
            kwargs, method = self._fetch_url("delete_request"), "DELETE"
        try:
            yield self._request(kwargs, method, facts)
        except ObjectNotFoundError as error:
            if not maybe_done(error.history):
                raise  # else an earlier attempt did it, and its answer was lost

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List by the list request."""
        if self.list_request is None:
            message = "this storage does not say how to list"
            raise ConfigurationError(message, path="list_request", hint="give a list_request")
        kwargs, method = _split(self.list_request)
        response = yield self._request(kwargs, method, facts, idempotent=True)
        return capture.select_all(str(self.list_request.get("keys", "/*")), response)

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the build request, in a form only when one is sent."""
        return facts_in(self._naming_kwargs())

    def fetch_facts(self) -> frozenset[str]:
        """Return the facts in the request that fetches."""
        return facts_in(self.get_flow_request_kwargs)

    def _naming_kwargs(self) -> dict[str, Any]:
        """Return what of the build request is sent."""
        kwargs = self.build_request_kwargs
        if kwargs.get("files") or "data" not in kwargs:
            return kwargs
        return {name: kwargs[name] for name in kwargs if name != "data"}

    def _stores_by_key(self) -> bool:
        return names_fact(self._naming_kwargs(), "artifact.key")

    def _fetches_by_key(self) -> bool:
        return names_fact(self.get_flow_request_kwargs, "artifact.key")

    # --- from kwargs to requests ------------------------------------------------------------------

    def _request(
        self, kwargs: Mapping[str, Any], method: str, facts: Facts, **more: Any
    ) -> Request:
        url = kwargs["url"]
        return Request(
            method=method,
            url=url,
            params=kwargs.get("params"),
            headers=kwargs.get("headers") or {},
            cookies=kwargs.get("cookies") or {},
            json=kwargs.get("json"),
            data=kwargs.get("data"),
            auth=auth(kwargs.get("auth")),
            timeout=timeout(kwargs.get("timeout")),
            verify=kwargs.get("verify", True),
            cert=cert(kwargs.get("cert")),
            proxies=kwargs.get("proxies"),
            follow=kwargs.get("allow_redirects", True),
            redirect_hosts=tuple(self.redirect_hosts),
            allow_http=self.allow_http,
            allow_html=self.allow_html or _names_html(url, facts),
            facts=facts,
            **more,
        )

    def _fetch_url(self, field: str) -> dict[str, Any]:
        """Return the fetch request's kwargs for another method on the same URL."""
        if self.get_flow_request_http_method != "GET":
            message = (
                f"what is fetched by {self.get_flow_request_http_method} has no URL of its own"
            )
            raise ConfigurationError(message, path=field, hint=f"give a {field}")
        return self.get_flow_request_kwargs

    # --- checks -----------------------------------------------------------------------------------

    def _check(self) -> None:
        """Check what types cannot say.

        Raises:
            ConfigurationError: At the first fault, with its place.
        """
        for method in (self.build_request_http_method, self.get_flow_request_http_method):
            if method not in _METHODS:
                message = f"HTTP method {method!r} not recognized"
                hint = f"one of {', '.join(_METHODS)}.{did_you_mean(method, _METHODS)}"
                raise UnknownMethodError(message, hint=hint)
        check_kwargs(self.build_request_kwargs, "build_request_kwargs")
        check_kwargs(self.get_flow_request_kwargs, "get_flow_request_kwargs")
        if self.build_request_kwargs.get("json") is not None:
            message = "the artifact is the body of this request, so it has no 'json'"
            raise ConfigurationError(message, path="build_request_kwargs.json", hint="see 'files'")
        if self.get_flow_request_kwargs.get("files") is not None:
            message = "only the request that stores sends a file"
            raise ConfigurationError(message, path="get_flow_request_kwargs.files")
        for field in ("exists_request", "delete_request", "list_request"):
            request = getattr(self, field)
            if request is not None:
                check_kwargs(request, field, more=("method", "keys"))
                check_method(request.get("method"), f"{field}.method")
        capture.check(self.captures, "captures")
        self._check_checksum()

    def _check_checksum(self) -> None:
        if self.checksum is None:
            return
        kwargs = self.build_request_kwargs
        if kwargs.get("files"):
            message = "a form is sent, of which the artifact is a part, so it has no checksum"
            raise ConfigurationError(message, path="checksum", hint="leave it out")
        if self.checksum.lower() in {name.lower() for name in kwargs.get("headers") or {}}:
            message = f"the header {self.checksum} is in build_request_kwargs too"
            raise ConfigurationError(message, path="checksum", hint="keep one of the two")


_ARGUMENTS = (
    "build_request_kwargs",
    "build_request_http_method",
    "get_flow_request_kwargs",
    "get_flow_request_http_method",
)


# --- small readings ------------------------------------------------------------------------------


def _split(request: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return kwargs and method of a request that is one mapping."""
    kwargs = {name: value for name, value in request.items() if name not in {"method", "keys"}}
    return kwargs, request["method"]


def _condition_failed(request: Request, response: Response, options: StoreOptions) -> ResponseError:
    """Return the error for a store whose condition did not hold."""
    where = f"{request.method} {request.url} answered {response.status}"
    kind: type[ResponseError] = ConflictError
    what = "it is no longer the version that was to be replaced"
    hint = "fetch it, and decide which one to keep"
    if options.if_absent:
        kind = ObjectExistsError
        what = "it is there already, and was not to be replaced"
        hint = "store under another key, or without if_absent"
    error = kind(f"{where}: {what}", status=response.status, attempts=response.attempts, hint=hint)
    error.history = response.history
    return error


def _with_headers(kwargs: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, Any]:
    """Return kwargs with headers of ours in place of those of the same name, in any spelling."""
    ours = {name.lower() for name in more}
    kept = kwargs.get("headers") or {}
    headers = {name: value for name, value in kept.items() if name.lower() not in ours}
    return {**kwargs, "headers": {**headers, **more}}


def _names_html(url: str, facts: Facts) -> bool:
    """Tell whether an HTML page is what this key or URL asks for."""
    key = facts.get("artifact.key", "")
    if "htm" not in f"{url} {key}".lower():
        return False
    return any(
        name.lower().endswith((".html", ".htm", ".xhtml")) for name in (origin.path(url), key)
    )


# --- Prefect 1 -----------------------------------------------------------------------------------

_PREFECT_NAME = re.compile(r"\$(?:(\$)|\{[^}]*\}|([A-Za-z_][A-Za-z0-9_]*))")


def _from_prefect_1(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a definition that Prefect 1 serialized.

    There ``$NAME`` was a placeholder; here it is text, so it gets its braces.
    """
    kept = {name: value for name, value in fields.items() if name in Webhook.model_fields}
    for name in ("build_request_kwargs", "get_flow_request_kwargs"):
        kept[name] = _with_braces(fields.get(name) or {})
    kept["flows"] = {name: slugify(name) for name in fields.get("flows") or {}}
    kept["secrets"] = list(fields.get("secrets") or [])
    return kept


def _with_braces(value: Any) -> Any:
    if isinstance(value, str):
        return _PREFECT_NAME.sub(lambda found: f"${{{found[2]}}}" if found[2] else found[0], value)
    if isinstance(value, Mapping):
        return {name: _with_braces(child) for name, child in value.items()}
    return value
