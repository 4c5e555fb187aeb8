"""What Nextcloud and ownCloud have in common: a user, whose files have one URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from webhook_storage import origin
from webhook_storage.auth import AnyAuth, find
from webhook_storage.template import parse
from webhook_storage_presets.keys import in_url
from webhook_storage_presets.webdav.base import Dav

if TYPE_CHECKING:
    from webhook_storage.auth import AuthModel

MEBI = 1024**2


class Account(Dav):
    """Stores among the files of one user."""

    url: str = Field(description="URL of the server, for example https://cloud.example.com.")
    user: str = Field(description="The user's id, which is that of the log-in, or its placeholder.")
    auth: AnyAuth | None = Field(
        None, description="Who sends the requests, where it is not user and password."
    )

    _hint: ClassVar[str] = (
        "are user and password right? With two-factor log-in, or that of another service, it must "
        "be an app password"
    )
    _waits: ClassVar[bool] = True
    """Whether locks are waited for: the server itself locks a file while it writes it."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, text: str) -> str:
        literal = parse(text).literal
        if literal is None or not origin.host(literal):
            raise ValueError("it is a URL without placeholders, for example https://example.com")
        return text.rstrip("/")

    @field_validator("user")
    @classmethod
    def _check_user(cls, text: str) -> str:
        literal = parse(text).literal
        if not text or "/" in (literal or "") or literal in {".", ".."}:
            raise ValueError("it is the id of a user, which has no slash and is no '..'")
        return text

    @property
    def _base(self) -> str:
        return f"{self._dav}/files/{self._user}"

    @property
    def _dav(self) -> str:
        """Return the URL below which all of WebDAV is."""
        return f"{self.url}/remote.php/dav"

    @property
    def _user(self) -> str:
        """Return the user as a part of a URL."""
        return in_url(self.user)

    @property
    def _auth(self) -> AuthModel | None:
        return self.auth or find(
            {"type": "basic", "username": self.user, "password": self._password}
        )

    @property
    def _password(self) -> str:
        """Return the placeholder of the password."""
        raise NotImplementedError
