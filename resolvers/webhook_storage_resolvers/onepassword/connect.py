"""The questions of one batch to a 1Password Connect server, each of which is asked once.

Facts: the OpenAPI description 1.7.1 of 1Password Connect; connect-sdk-python 2.1 (what is an id,
and that an item's id may be a title as well). A vault that the token was not given is not listed,
so it looks like one that does not exist. Nothing that the server says is repeated.
"""

from __future__ import annotations

import json
import re
from http.client import BAD_REQUEST, FORBIDDEN, NOT_FOUND, OK, UNAUTHORIZED
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from webhook_storage.client import HttpAnswer, HttpClient, bearer
from webhook_storage.contracts import Forbidden, Invalid, NotFound, Unavailable
from webhook_storage.token import Refusal
from webhook_storage_resolvers.onepassword.item import named

if TYPE_CHECKING:
    from webhook_storage.contracts import Deadline
    from webhook_storage_resolvers.onepassword.item import Item

_ID = re.compile(r"[a-z0-9]{26}")
_GONE = frozenset({"ARCHIVED", "DELETED"})
_NO_VAULT = Forbidden(
    "there is no such vault, or the token was not given it", maybe_missing=True
)  # a resolver further down the chain must not stand in for a vault that was taken away


class Connect:
    """A server and what it has answered so far.

    Args:
        http: Sends the questions.
        origin: For example ``http://connect:8080``.
        token: An access token of the server.
        deadline: When the caller stops waiting.
    """

    __slots__ = ("_deadline", "_down", "_http", "_items", "_lists", "_origin", "_token")

    def __init__(self, http: HttpClient, origin: str, token: str, deadline: Deadline) -> None:
        self._http = http
        self._origin = origin
        self._token = token
        self._deadline = deadline
        self._lists: dict[str, list[Any] | Refusal] = {}
        self._items: dict[tuple[str, str], Item | Refusal] = {}
        self._down: Refusal | None = None

    def item(self, vault: str, item: str) -> Item | Refusal:
        """Return an item with its fields; vault and item are named, or given by their ids."""
        vault_id = vault if _ID.fullmatch(vault) else self._find("/vaults", "name", vault)
        if isinstance(vault_id, NotFound):
            return _NO_VAULT
        if not isinstance(vault_id, str):
            return vault_id
        if _ID.fullmatch(item):
            found = self._read(vault_id, item)
            if not isinstance(found, NotFound):
                return found
        item_id = self._find(f"/vaults/{vault_id}/items", "title", item)
        return self._read(vault_id, item_id) if isinstance(item_id, str) else item_id

    # --- names ---

    def _find(self, path: str, key: str, name: str) -> str | Refusal:
        """Return the id of the one row with a name.

        The server is asked for the name first. It may see a difference in case, and may not know
        how a quote within a name is written; only then are all rows listed, which hold no values.
        """
        # A name in a filter is a JSON string (RFC 7644, 3.4.2.2).
        spelled = json.dumps(name, ensure_ascii=False)
        wanted = quote(f"{key} eq {spelled}", safe="")
        for question in (f"{path}?filter={wanted}", path):
            rows = self._rows(question)
            if isinstance(rows, Invalid) and question != path:
                continue
            if not isinstance(rows, list):
                return _NO_VAULT if isinstance(rows, NotFound) else rows
            if found := [row for row in named(rows, [key], name) if not _is_gone(row)]:
                return _id_of(found, "vaults" if path == "/vaults" else "items")
        return NotFound("the vault has no such item")

    def _rows(self, question: str) -> list[Any] | Refusal:
        """Return what the server lists."""
        if question not in self._lists:
            document = self._ask(question)
            fitting = isinstance(document, list | Refusal)
            self._lists[question] = document if fitting else _NOT_CONNECT
        return self._lists[question]

    def _read(self, vault_id: str, item_id: str) -> Item | Refusal:
        """Return an item."""
        key = (vault_id, item_id)
        if key not in self._items:
            document = self._ask(f"/vaults/{vault_id}/items/{item_id}")
            fitting = isinstance(document, dict | Refusal)
            self._items[key] = document if fitting else _NOT_CONNECT
        return self._items[key]

    # --- asking ---

    def _ask(self, question: str) -> Any | Refusal:
        """Return the document that the server sends; one that is of no use is asked no more."""
        if self._down is not None:
            return self._down
        url = f"{self._origin}/v1{question}"
        answer = self._http.ask("GET", url, self._deadline, headers=bearer(self._token))
        meaning = _meaning(answer) if isinstance(answer, HttpAnswer) else answer
        if isinstance(meaning, Unavailable) or meaning is _WRONG_TOKEN:
            self._down = meaning
        return meaning


_WRONG_TOKEN = Forbidden("the token is wrong")
_NOT_CONNECT = Unavailable("the answer is not one of a Connect server")


def _meaning(answer: HttpAnswer) -> Any | Refusal:
    """Return the document of an answer, or what its status means."""
    document = answer.document()
    ours = isinstance(document, dict | list)
    if answer.status == OK:
        return document if ours else _NOT_CONNECT
    if answer.status == UNAUTHORIZED:
        return _WRONG_TOKEN
    if answer.status == FORBIDDEN:
        return Forbidden("the token may not read this vault")
    if answer.status == NOT_FOUND:
        return NotFound() if ours else _NOT_CONNECT
    if answer.status == BAD_REQUEST and ours:
        return Invalid("the server does not understand the name or id")
    return answer.trouble()


def _is_gone(row: Item) -> bool:
    """Tell whether an item was put away; it can only be had by its id."""
    return row.get("state") in _GONE or row.get("trashed") is True


def _id_of(rows: list[Item], what: str) -> str | Refusal:
    """Return the id of the only row."""
    if len(rows) > 1:
        return Invalid(f"several {what} have this name, use an id instead")
    found = str(rows[0].get("id"))
    return found if _ID.fullmatch(found) else _NOT_CONNECT
