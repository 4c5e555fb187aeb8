"""Dropbox: a file for each artifact, by version 2 of its HTTP API.

Rule: Dropbox compares the content hash of what comes in, this package that of what goes out; and
no text that Dropbox sent is ever read as a template.
"""

from __future__ import annotations

from functools import partial

from webhook_storage import capture, document
from webhook_storage.answer import maybe_done, number
from webhook_storage.contracts import (
    PLAIN,
    Body,
    Exchange,
    Facts,
    Request,
    Response,
    Sink,
    StoreOptions,
    Work,
)
from webhook_storage.errors import ConfigurationError, ObjectNotFoundError, TooLargeError
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Names, Storage
from webhook_storage.template import escape, parse
from webhook_storage.upload import in_parts
from webhook_storage.webhook import Webhook
from webhook_storage_presets.dropbox.answers import (
    NOT_FOUND,
    REFUSED,
    compare,
    members,
    page_of,
    tags,
    unechoed,
    unexpected,
)
from webhook_storage_presets.dropbox.api import Api, kwargs_of
from webhook_storage_presets.dropbox.commit import Commit, commit_of
from webhook_storage_presets.dropbox.definition import MAX_REQUEST, MAX_SESSION, Definition
from webhook_storage_presets.dropbox.digest import HashingSink, content_hash
from webhook_storage_presets.dropbox.session import Session
from webhook_storage_presets.keys import Listed, check_facts

__all__ = ["MAX_REQUEST", "MAX_SESSION", "Dropbox", "content_hash"]

_PAGE = 500
"""Entries in a page of a listing; more could be longer than what is kept of an answer."""

_MOST_RESETS = 3
_COMMITTED = {"path", "mode", "autorename", "mute", "strict_conflict"}
"""Fields that Dropbox is told of every file."""

_CAPTURES = {"id": "json:/id", "rev": "json:/rev"}


class Dropbox(Definition):
    """Stores on Dropbox, each artifact in one file.

    Access tokens live four hours: either `token` names the one that is good now, or `refresh_token`
    and `app_key` get one when it is needed. Either has the scopes ``files.content.write``,
    ``files.content.read`` and ``files.metadata.read``. An artifact of more than 150 MiB goes in
    parts, by an upload session.

    Dropbox does not tell upper from lower case in paths. A path outside of an app's own folder
    begins at the root of the account.

    Example:
        >>> storage = Dropbox(path="/flows/${artifact.key}.flow", token="${DBOX_OAUTH2_TOKEN}")
        >>> storage.mode
        'overwrite'
        >>> Storage.from_json(storage.to_json()) == storage
        True
    """

    # --- exchanges --------------------------------------------------------------------------------

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Upload; Dropbox stores nothing when the bytes changed on their way."""
        if body.size > MAX_SESSION:
            message = f"{body.size} bytes are more than the {MAX_SESSION} of one file on Dropbox"
            raise TooLargeError(message, hint="store it in several artifacts")
        commit = self._commit(facts, options)
        if body.size > self.session_above:
            session = Session(self._api, facts, commit, body.size)
            response = yield from in_parts(
                session, body, part_size=self.part_size, checkpoint=options.checkpoint
            )
            digest, route = session.hash.hexdigest(), "upload_session/finish"
        else:
            digest, route = (yield Work(partial(content_hash, body))), "upload"
            response = yield from self._upload(body, facts, commit, digest)
        url = f"{self.content_origin}/2/files/{route}"
        wanted = {**_CAPTURES, "content_hash": "json:/content_hash"}
        captures = capture.capture(wanted, response, url)
        compare(self.path, captures.pop("content_hash"), digest, "says that it has stored")
        return Receipt.of(url, body, facts, version=captures["rev"], captures=captures)

    def _upload(self, body: Body, facts: Facts, commit: Commit, digest: str) -> Exchange[Response]:
        """Upload by one request."""
        request = self._upload_request(commit, facts, body, digest)
        response = yield from self._api.call(request)
        if response.status != REFUSED:
            return response
        earlier = yield from commit.earlier(self._api, response, facts, digest)
        if earlier is None:
            raise self._api.refusal(request, response, commit.meaning(tags(response)))
        return earlier

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Download, and compare the bytes with the hash that Dropbox has of them."""
        hashing = HashingSink(sink)
        request = self._api.download(self._place(facts), facts, hashing)
        response = yield from self._api.call(request)
        if response.status == REFUSED:
            raise self._api.refusal(request, response)
        metadata = document.parse(response.headers.get("dropbox-api-result", ""))
        expected = metadata.get("content_hash") if isinstance(metadata, dict) else None
        if not isinstance(expected, str):
            raise unexpected(request, response, "without the header Dropbox-API-Result")
        compare(self.path, expected, hashing.hash.hexdigest(), "sent")
        return response

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Ask for the metadata; a folder is no artifact."""
        request = self._api.ask("get_metadata", {"path": self._place(facts)}, facts)
        response = yield from self._api.call(request)
        if response.status == REFUSED:
            if tags(response) == ("path", "not_found"):
                return None
            raise self._api.refusal(request, response)
        entry = members(request, response)
        size, rev, modified = (entry.get(name) for name in ("size", "rev", "server_modified"))
        if entry.get(".tag") in {"folder", "deleted"}:
            return None
        if entry.get(".tag") != "file" or not (
            isinstance(size, str) and isinstance(rev, str) and isinstance(modified, str)
        ):
            raise unexpected(request, response, "without a tag, size, rev and server_modified")
        rev, modified = unechoed(request, response, [rev, modified])
        return Stat(size=number(size), version=rev, modified=modified)

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete one revision of one file.

        Without a revision Dropbox would delete a folder too, with all that is in it. So it comes
        from the receipt, and where there is none it is asked for.
        """
        rev = facts.get("receipt.rev")
        if rev is None:
            found = yield from self.stat_exchange(facts)
            if found is None or found.version is None:
                message = f"there is no file {self.path} on Dropbox"
                raise ObjectNotFoundError(message, hint=NOT_FOUND.hint)
            rev = found.version
        argument = {"path": self._place(facts), "parent_rev": escape(rev)}
        request = self._api.ask("delete_v2", argument, facts)
        response = yield from self._api.call(request)
        if response.status == REFUSED:
            if maybe_done(response.history) and tags(response)[-1:] == ("not_found",):
                return  # an earlier attempt did it, and its answer was lost
            raise self._api.refusal(request, response)

    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """List the folder, with those in it, and take the keys out of the paths."""
        listed = Listed(self.path, ignore_case=True, field="path")
        argument = {"path": listed.prefix.removesuffix("/"), "recursive": True, "limit": _PAGE}
        first = request = self._api.ask("list_folder", argument, facts)
        keys: dict[str, None] = {}
        resets = 0
        while True:
            response = yield from self._api.call(request)
            if response.status == REFUSED:
                found = tags(response)
                if found == ("path", "not_found"):
                    return []  # Dropbox makes a folder with its first file
                if found != ("reset",) or resets == _MOST_RESETS:
                    raise self._api.refusal(request, response)
                resets += 1
                keys.clear()
                request = first
                continue
            page = page_of(request, response)
            names = unechoed(request, response, listed.keys(page.paths))
            keys |= dict.fromkeys(names)
            if page.cursor is None:
                return [*keys]
            argument = {"cursor": escape(page.cursor)}
            if request is not first and request.json == argument:
                raise unexpected(request, response, "with the cursor that it was asked by")
            request = self._api.ask("list_folder/continue", argument, facts)

    def naming_facts(self) -> frozenset[str]:
        """Return the facts in the path.

        Names of flows are told apart as their slugs are, since Dropbox is blind to case.
        """
        facts = frozenset(parse(self.path).facts())
        return facts - {"flow.name"} | {"flow.slug"} if "flow.name" in facts else facts

    # --- the same in plain kwargs -----------------------------------------------------------------

    def as_webhook(self) -> Webhook:
        """Return a `Webhook` that stores in the same files, with all requests spelled out.

        What one request cannot say is left out: the content hash, `exists` and `list`. It deletes
        by receipt only. Flows that wait to be built stay here.

        Raises:
            ConfigurationError: When the mode is ``update``, of which each request is another.
        """
        if self.mode == "update":
            message = "mode 'update' names another revision each time, which plain kwargs cannot"
            raise ConfigurationError(message, path="mode", hint="use 'overwrite' or 'add'")
        place = "${receipt.id}" if self.autorename else self.path
        delete = self._api.ask("delete_v2", {"path": place, "parent_rev": "${receipt.rev}"}, {})
        return Webhook(
            kwargs_of(self._upload_request(self._commit({}, PLAIN), {}, None)),
            "POST",
            kwargs_of(self._api.download(place, {}, None)),
            "POST",
            delete_request={**kwargs_of(delete), "method": "POST"},
            captures=_CAPTURES,
            idempotent=self.mode == "overwrite",
            allow_http=self.allow_http,
            **self.model_dump(include=set(Storage.model_fields)),
        )

    # --- requests ---------------------------------------------------------------------------------

    @property
    def _api(self) -> Api:
        return Api(
            content_origin=self.content_origin,
            api_origin=self.api_origin,
            path=self.path,
            account=self._account(),
            common={
                "timeout": self.timeout, "verify": self.verify, "allow_http": self.allow_http
            },
        )  # fmt: skip

    def _commit(self, facts: Facts, options: StoreOptions) -> Commit:
        """Return what an upload says of the file."""
        self._check_values(facts)
        configured = self.model_dump(include=_COMMITTED)
        earlier = self.receipts.get(facts.get("artifact.key", ""))
        return commit_of(configured, options, earlier.captures.get("rev") if earlier else None)

    def _upload_request(
        self, commit: Commit, facts: Facts, body: Body | None, digest: str | None = None
    ) -> Request:
        hashed = {} if digest is None else {"content_hash": digest}
        argument = {**commit.argument, **hashed}
        return self._api.upload("upload", argument, facts, body, idempotent=commit.idempotent)

    def _place(self, facts: Facts) -> str:
        """Return the template of the path; a file that was renamed is known by its id only."""
        self._check_values(facts)
        return "${receipt.id}" if self.autorename and "receipt.id" in facts else self.path

    def _check_values(self, facts: Facts) -> None:
        """Refuse what is the path of no file, before anything is sent.

        Raises:
            ConfigurationError: When a fact in the path has an empty name, a dot segment or a
                control character.
        """
        check_facts(self.path, facts, field="path")
        for name in parse(self.path).facts():
            if "" in facts.get(name, "x").split("/"):
                message = f"${{{name}}} has an empty name, which Dropbox takes for a mistake"
                hint = "store it under a key without a slash at its ends, and none after another"
                raise ConfigurationError(message, path="path", hint=hint)
