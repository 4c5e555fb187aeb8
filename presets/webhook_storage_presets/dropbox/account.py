"""Whose files on Dropbox are meant, and who asks for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webhook_storage.template import parse

if TYPE_CHECKING:
    from webhook_storage.auth import AuthModel

_SCOPES = "files.content.write, files.content.read, files.metadata.read"
_RENEW = (
    "an access token of Dropbox lives four hours, get a new one by the refresh token; a new scope "
    f"takes a new token too: {_SCOPES}"
)
_RENEWED = (
    "the access token was renewed, and refused all the same; a new scope takes a new refresh "
    f"token: {_SCOPES}"
)
_NO_MEMBER = (
    "is select_user, or select_admin, the id of a member of the team (dbmid:...), and the token "
    "one of the team?"
)
_ROOT = re.compile(r"home|(?:root:)?[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What all requests say of the account.

    Attributes:
        token: Placeholder of the access token; not used where there is an `auth`.
        auth: What gets an access token, or None.
        select_user: Member of the team as whom it is done.
        select_admin: Admin of the team as whom it is done.
        path_root: Which folder is the root, see `check_root`.
    """

    token: str
    auth: AuthModel | None = None
    select_user: str | None = None
    select_admin: str | None = None
    path_root: str | None = None

    @property
    def headers(self) -> dict[str, Any]:
        """Return the headers of every request."""
        headers: dict[str, Any] = {}
        if self.auth is None:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.select_user is not None:
            headers["Dropbox-API-Select-User"] = self.select_user
        if self.select_admin is not None:
            headers["Dropbox-API-Select-Admin"] = self.select_admin
        if self.path_root is not None:
            headers["Dropbox-API-Path-Root"] = _root(self.path_root)
        return headers

    def advice(self, refusal: str) -> str:
        """Return what to do about a refused access token."""
        if "invalid_select_" in refusal:
            return _NO_MEMBER
        return _RENEW if self.auth is None else _RENEWED


def check_root(text: str) -> str:
    """Return the name of a root: ``home``, ``root:ID``, or the id of a folder.

    Raises:
        ValueError: When it is none of them.
    """
    if parse(text).is_literal and (text == "root" or not _ROOT.fullmatch(text)):
        raise ValueError("it is 'home', 'root:ID', or the id of a shared or team folder")
    return text


def _root(text: str) -> dict[str, str]:
    """Return a root as Dropbox wants it."""
    if text == "home":
        return {".tag": "home"}
    tag = "root" if text.startswith("root:") else "namespace_id"
    return {".tag": tag, tag: text.removeprefix("root:")}
