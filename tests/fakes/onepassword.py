"""Answer like a 1Password Connect server: vaults, items, filters, and the ways it refuses.

Rule: a request that Connect refuses is refused here, with its status and message.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.http import Answer, FakeServer, Received, json_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

_ID = re.compile(r"[a-z0-9]{26}")
_DATE = "2026-01-02T03:04:05Z"


class _RefusalError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__()
        self.answer = json_answer(status, {"status": status, "message": message})


def new_id() -> str:
    """Return an id as 1Password makes them."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(26))


def field_of(
    label: str, value: str | None, *, section: str | None = None, **more: Any
) -> dict[str, Any]:
    """Make a field; one without a value has none in the answer either."""
    made: dict[str, Any] = {"id": new_id(), "type": "CONCEALED", "label": label}
    if section is not None:
        made["section"] = {"id": section}
    if value is not None:
        made["value"] = value
    return {**made, **more}


def login_fields(username: str, password: str) -> list[dict[str, Any]]:
    """Make the fields that every login has, which have names for ids."""
    return [
        field_of("username", username, id="username", type="STRING", purpose="USERNAME"),
        field_of("password", password, id="password", purpose="PASSWORD"),
        field_of("notesPlain", None, id="notesPlain", type="STRING", purpose="NOTES"),
    ]


@dataclass
class Vault:
    """A vault and its items, by id.

    Attributes:
        granted: Whether the token was given it.
    """

    name: str
    id: str = field(default_factory=new_id)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    granted: bool = True

    def add(
        self,
        title: str,
        fields: Iterable[dict[str, Any]],
        *,
        sections: Iterable[dict[str, str]] = (),
        **more: Any,
    ) -> dict[str, Any]:
        """Put an item into the vault and return it."""
        item: dict[str, Any] = {
            "id": new_id(),
            "title": title,
            "tags": [],
            "version": 1,
            "vault": {"id": self.id},
            "category": "LOGIN",
            "lastEditedBy": new_id(),
            "createdAt": _DATE,
            "updatedAt": _DATE,
            "sections": list(sections),
            "fields": list(fields),
            **more,
        }
        self.items[item["id"]] = item
        return item

    def describe(self) -> dict[str, Any]:
        """Return what a list of vaults tells."""
        return {
            "id": self.id,
            "name": self.name,
            "attributeVersion": 1,
            "contentVersion": 1,
            "items": len(self.items),
            "type": "USER_CREATED",
            "createdAt": _DATE,
            "updatedAt": _DATE,
        }


class FakeConnect(FakeServer):
    """A Connect server with one access token.

    Args:
        token: The access token.
        tls: Serve HTTPS.

    Attributes:
        token: The access token.
        vaults: What there is, by id.
        knows_escapes: Whether a filter may hold an escaped quote; else it is refused. What the
            real server does is not documented.
    """

    def __init__(self, *, token: str = "connect-token", tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.token = token
        self.vaults: dict[str, Vault] = {}
        self.knows_escapes = True

    def add_vault(self, name: str) -> Vault:
        """Make a vault that the token may read."""
        vault = Vault(name)
        self.vaults[vault.id] = vault
        return vault

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request as Connect does."""
        try:
            return self._dispatch(request)
        except _RefusalError as refusal:
            return refusal.answer

    def _dispatch(self, request: Received) -> Answer:
        if request.path == "/heartbeat":
            return text_answer(200, ".")
        if request.path == "/health":
            return json_answer(200, {"name": "1Password Connect API", "version": "1.7.1"})
        if not request.path.startswith("/v1/vaults"):
            raise _RefusalError(404, "Not Found")
        if request.method != "GET":
            raise _RefusalError(405, "Method Not Allowed")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            raise _RefusalError(401, "Invalid token signature")
        return self._read(request)

    def _read(self, request: Received) -> Answer:
        match request.path.removeprefix("/v1/vaults").strip("/").split("/"):
            case [""]:
                rows = [each.describe() for each in self.vaults.values() if each.granted]
                return json_answer(200, self._filtered(rows, "name", request))
            case [vault_id]:
                return json_answer(200, self._vault(vault_id).describe())
            case [vault_id, "items"]:
                items = self._vault(vault_id).items.values()
                return json_answer(200, self._filtered(map(_summary, items), "title", request))
            case [vault_id, "items", item_id]:
                return json_answer(200, _item(self._vault(vault_id), item_id))
        raise _RefusalError(404, "Not Found")

    def _vault(self, vault_id: str) -> Vault:
        if not _ID.fullmatch(vault_id):
            raise _RefusalError(400, "Invalid Vault UUID")
        vault = self.vaults.get(vault_id)
        if vault is None:
            raise _RefusalError(404, f"vault {vault_id} not found")
        if not vault.granted:
            raise _RefusalError(403, f"vault {vault_id} is not in scope")
        return vault

    def _filtered(
        self, rows: Iterable[dict[str, Any]], key: str, request: Received
    ) -> list[dict[str, Any]]:
        """Return the rows that a SCIM filter lets through."""
        text = request.query.get("filter")
        if text is None:
            return list(rows)
        compared = re.fullmatch(rf'{key} eq ("(?:[^"\\]|\\.)*")', text)
        if compared is None or ("\\" in text and not self.knows_escapes):
            raise _RefusalError(400, "Invalid filter")
        name = json.loads(compared.group(1))
        return [row for row in rows if row[key] == name]


def _item(vault: Vault, item_id: str) -> dict[str, Any]:
    if not _ID.fullmatch(item_id):
        raise _RefusalError(400, "Invalid Item UUID")
    if item_id not in vault.items:
        raise _RefusalError(404, f"item {item_id} not found")
    return vault.items[item_id]


def _summary(item: dict[str, Any]) -> dict[str, Any]:
    """Return what a list of items tells: all but what is inside."""
    return {key: value for key, value in item.items() if key not in {"sections", "fields"}}
