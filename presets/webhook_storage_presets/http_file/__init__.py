"""Any HTTP file server: a file for each artifact, below one URL.

Rule: a `Webhook` sends everything but the list; what is here says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from webhook_storage.contracts import (
    DEFAULT_TIMEOUT,
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
    ObjectNotFoundError,
    RedirectRefusedError,
    ResponseError,
)
from webhook_storage.kwargs import facts_in
from webhook_storage.storage import Names, Storage
from webhook_storage.template import parse
from webhook_storage.webhook import Webhook
from webhook_storage_presets.http_file import answered
from webhook_storage_presets.http_file.definition import FileServer
from webhook_storage_presets.http_file.index import Index
from webhook_storage_presets.keys import (
    Listed,
    check_facts,
    facts_of,
    in_url,
    key_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.receipt import Receipt, Stat
    from webhook_storage_presets.http_file.answered import Place

__all__ = ["HttpFile"]

T = TypeVar("T")

_NO_CERTIFICATE = "does the server want a client certificate? give it in 'cert'"
_WRONG_CERTIFICATE = "is the client certificate one of an authority that the server trusts?"
_A_FOLDER = (
    "is that the name of a folder? If the server keeps its files elsewhere, name the host in "
    "redirect_hosts, also where it is the same"
)
_HINTS = {
    405: "does the server take this there? nginx wants 'dav_methods PUT DELETE', Apache 'Dav On'; "
    "for a POST say method='POST'",
    413: "raise the server's limit: client_max_body_size of nginx, LimitRequestBody of Apache",
    500: "the fault is the server's; nginx says so too where a folder is missing, without "
    "'create_full_put_path on'",
}
"""What to do about a status that a plain file server does not explain."""


class HttpFile(FileServer):
    """Stores on any server that takes files: nginx, Apache, presigned URLs, transfer.sh.

    An artifact is PUT at `url` with its key behind, and fetched and deleted there. A flow is stored
    under its slug and the time, an artifact under its own key, unless `key` says otherwise.

    Example:
        >>> storage = HttpFile(
        ...     url="https://files.example.com/team",
        ...     auth={"type": "bearer", "token": "${FILES_TOKEN}"},
        ... )
        >>> storage.as_webhook().get_flow_request_kwargs["url"]
        'https://files.example.com/team/${artifact.key|path}'
        >>> Storage.from_json(storage.to_json()) == storage
        True
    """

    def __init__(self, **data: Any) -> None:
        """Check all fields; nothing is resolved and nothing is sent."""
        super().__init__(**data)
        Webhook(**self._fields({}))

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store by one request."""
        self._check_facts(facts)
        exchange = self._webhook(facts).store_exchange(body, facts, options)
        if not self.answers_with_url:
            return (yield from self._advised(exchange))
        receipt = yield from self._advised(answered.advised(exchange))
        for url in receipt.captures.values():
            answered.is_elsewhere(self._stores_at, url, self.redirect_hosts)
        return receipt

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch by one request."""
        webhook, facts = self._known(facts, "url")
        return (yield from self._advised(webhook.fetch_exchange(facts, sink)))

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask by a HEAD; a server that refuses it is asked for the first byte."""
        webhook, facts = self._known(facts, "url")
        return (yield from self._advised(webhook.stat_exchange(facts)))

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete by one request what is there, by the name of a file.

        A server that is given the name of a folder would remove all that is in it.
        """
        webhook, facts = self._known(facts, "delete_url")
        if self.delete_url is None and not self.answers_with_url:
            found = yield from self._advised(webhook.stat_exchange(facts))
            if found is None:
                message = f"there is no file {self.url}/{in_url(key_of(self.key, facts))}"
                raise ObjectNotFoundError(message, status=404, hint="is the key right?")
        yield from self._advised(webhook.delete_exchange(facts))

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List by the index of the folders, or by the list's URL."""
        listed = Listed(self.key)
        if self.nginx_index:
            key = key_of(self.key, {})
            index = Index(f"{self.url}/{in_url(listed.prefix)}", self._index_request)
            names = yield from self._advised(index.names())
            return Listed(key.removeprefix(listed.prefix)).keys(names)
        if self.list_url is None:
            message = "this storage does not say how to list"
            hint = "say nginx_index=True for an nginx with autoindex, or give a list_url"
            raise ConfigurationError(message, path="list_url", hint=hint)
        names = yield from self._advised(self._webhook({}).list_exchange(facts))
        return [*dict.fromkeys(listed.keys(names))]

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the request that stores."""
        keyed = self.upload_url is None or self.form_field is not None
        sent = facts_in(
            {
                "url": [self.url or "", self.upload_url or ""],
                "headers": [self.headers, self.store_headers],
                "data": self.form_data,
            }
        )
        return sent | (facts_of(self.key) if keyed else frozenset())

    def fetch_facts(self) -> frozenset[str]:
        """Return the facts in the request that fetches."""
        if self.answers_with_url:
            return self.naming_facts()
        if self.download_url is not None:
            return facts_in({"url": self.download_url, "headers": self.headers})
        return facts_of(self.key) | facts_in({"url": self.url, "headers": self.headers})

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores the same files, with all requests spelled out.

        What kwargs cannot say is left out: the list by nginx's index, and to look where the URL in
        an answer leads. So what is answered with a URL is fetched without a credential.
        """
        kept = self.model_dump(include=set(Storage.model_fields))
        fields = self._fields({}, answered.ANYWHERE if self.answers_with_url else None)
        if self.answers_with_url:
            delete = {**self._plain(), "url": "${receipt.delete_url}", "method": "DELETE"}
            fields["delete_request"] = delete
        return Webhook(**fields, **kept)

    # --- requests ---------------------------------------------------------------------------------

    @property
    def _stores_at(self) -> str:
        """Return the template of the URL that stores, up to the key."""
        return self.upload_url or self.url or ""

    def _webhook(self, facts: Facts, place: Place | None = None) -> Webhook:
        """Return what sends; its fields were checked when this storage was made."""
        return Webhook.model_construct(**self._fields(facts, place))

    def _known(self, facts: Facts, name: str) -> tuple[Webhook, Facts]:
        """Return what sends, and its facts, for a file that is there.

        Args:
            facts: Those of the artifact.
            name: Which URL of the receipt it is sent to, where the server chooses them.
        """
        self._check_facts(facts)
        if not self.answers_with_url:
            return self._webhook(facts), facts
        place = answered.place_of(self._stores_at, facts, name, self.redirect_hosts)
        return self._webhook(facts, place), place.facts

    def _fields(self, facts: Facts, found: Place | None = None) -> dict[str, Any]:
        """Return the fields of a `Webhook`, and let it fetch from and delete at a place."""
        key = key_of(self.key, facts)
        place = f"{self.url}/{in_url(key)}"
        is_form = self.form_field is not None
        stored = {
            **self._sender(),
            "url": self.upload_url or (self.url if is_form else place),
        }
        if self.store_headers:
            stored["headers"] = {**self.headers, **self.store_headers}
        if is_form:
            stored |= {"files": {self.form_field: key}, "data": self.form_data or None}
        fetched = {**self._sender(), "url": self.download_url or place}
        if self.download_url is None and not self.redirect_hosts:
            fetched["allow_redirects"] = False  # else the list of a folder would be an artifact
        if found is not None:
            fetched = {**(self._plain() if found.bare else self._sender()), "url": found.url}
        return {
            "build_request_kwargs": stored,
            "build_request_http_method": self.method or ("POST" if is_form else "PUT"),
            "get_flow_request_kwargs": fetched,
            "get_flow_request_http_method": "GET",
            "delete_request": self._delete_request(fetched),
            "list_request": self._list_request(),
            "captures": self._captures,
            "idempotent": False if self._makes_another else self.idempotent,
            **self.model_dump(include=_SHARED),
        }

    def _delete_request(self, fetched: Mapping[str, Any]) -> dict[str, Any] | None:
        if self.delete_url is not None:
            return {**fetched, "url": self.delete_url, "method": "DELETE"}
        return None

    def _list_request(self) -> dict[str, Any] | None:
        if self.list_url is None:
            return None
        return {**self._sender(), "url": self.list_url, "method": "GET", "keys": self.list_keys}

    @property
    def _captures(self) -> dict[str, str]:
        if not self.answers_with_url:
            return {}
        return answered.URL | (answered.DELETE_URL if self.keep_delete_url else {})

    @property
    def _makes_another(self) -> bool:
        """Tell whether a second store of the same would be a second file."""
        return self.answers_with_url and self.idempotent is None

    def _plain(self) -> dict[str, Any]:
        """Return the kwargs that tell nobody's name."""
        kwargs: dict[str, Any] = {}
        if self.timeout != DEFAULT_TIMEOUT:
            kwargs["timeout"] = [*self.timeout]
        if self.verify is not True:
            kwargs["verify"] = self.verify
        return kwargs

    def _sender(self) -> dict[str, Any]:
        """Return the kwargs of the server's own requests."""
        kwargs = self._plain()
        if self.headers:
            kwargs["headers"] = self.headers
        if self.auth is not None:
            kwargs["auth"] = self.auth.model_dump(exclude_defaults=True)
        if self.cert is not None:
            kwargs["cert"] = self.cert if isinstance(self.cert, str) else [*self.cert]
        return kwargs

    def _check_facts(self, facts: Facts) -> None:
        """Refuse what is the name of no file, before anything is sent.

        Raises:
            ConfigurationError: When a fact in the key has an empty name, or see `keys.check_facts`.
        """
        key = key_of(self.key, facts)
        check_facts(key, facts)
        for name in parse(key).facts():
            if "" in facts.get(name, "x").split("/"):
                message = f"${{{name}}} has an empty name, which a file server leaves out"
                hint = "store it under a key without a slash at its ends, and none after another"
                raise ConfigurationError(message, path="key", hint=hint)

    def _index_request(self, url: str, sink: Sink) -> Request:
        return Request(
            method="GET",
            url=url,
            headers=self.headers,
            auth=self.auth,
            timeout=self.timeout,
            verify=self.verify,
            cert=self.cert,
            sink=sink,
            returns=frozenset({404}),
            allow_http=self.allow_http,
        )

    def _advised(self, exchange: Exchange[T]) -> Exchange[T]:
        """Say of a refusal what to do about it on a plain file server."""
        try:
            return (yield from exchange)
        except ResponseError as error:
            hint = _HINTS.get(error.status or 0)
            if error.status == _BAD_REQUEST and not self._stores_at.startswith("http://"):
                hint = _NO_CERTIFICATE if self.cert is None else _WRONG_CERTIFICATE
            elif isinstance(error, RedirectRefusedError) and not self.redirect_hosts:
                hint = _A_FOLDER
            error.hint = hint or error.hint
            raise


_BAD_REQUEST = 400
_SHARED = {
    "allow_html", "allow_http", "checksum", "conditional_writes", "redirect_hosts",
}  # fmt: skip
"""Fields that a `Webhook` has too."""
