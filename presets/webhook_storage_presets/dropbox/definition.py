"""What is said of Dropbox: which file, whose, and who asks for it."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from webhook_storage import place
from webhook_storage.auth import AnyAuth, SecretText
from webhook_storage.auth.oauth2 import RefreshToken
from webhook_storage.contracts import DEFAULT_TIMEOUT
from webhook_storage.errors import LiteralSecretWarning
from webhook_storage.storage import Storage
from webhook_storage.template import parse
from webhook_storage_presets.dropbox.account import Account, check_root
from webhook_storage_presets.dropbox.digest import BLOCK
from webhook_storage_presets.fields import AllowHttp, Timeout, Verify
from webhook_storage_presets.keys import check_key

MAX_REQUEST = 150 * 1024 * 1024
"""Most bytes that Dropbox takes in one request."""

MAX_SESSION = 2**41 - 2**22
"""Most bytes that Dropbox takes in one upload session."""

_PART = 32 * 1024 * 1024


class Definition(Storage):
    """The fields of `Dropbox`, and what of them goes together."""

    path: str = Field(
        description="Where to store: a path from the root, with ${artifact.key}, ${flow.slug}, "
        "${build.time} and their like for what differs from artifact to artifact."
    )
    token: str = Field(
        "${DBOX_OAUTH2_TOKEN}",
        description="Placeholder of the OAuth 2 access token, unless it is got by what follows.",
    )
    refresh_token: SecretText | None = Field(
        None, description="Placeholder of a refresh token, by which access tokens are got."
    )
    app_key: str | None = Field(
        None, description="Key of the app that the refresh token is of, or its placeholder."
    )
    app_secret: SecretText | None = Field(
        None, description="Placeholder of the app's secret; an app that uses PKCE has none."
    )
    auth: AnyAuth | None = Field(
        None, description="Another way to get access tokens: a mapping with a type."
    )
    select_user: str | None = Field(
        None, description="Id of the member, dbmid:..., as whom a team's token does it."
    )
    select_admin: str | None = Field(
        None, description="Id of the admin, dbmid:..., as whom a team's token does it."
    )
    path_root: str | None = Field(
        None,
        description="Where paths begin: 'home', 'root:ID' for the root of a team, or the id of a "
        "shared or team folder; by default the account's home.",
    )
    mode: Literal["add", "overwrite", "update"] = Field(
        "overwrite",
        description="What to do with a file that is there: 'overwrite' replaces it, 'add' refuses, "
        "'update' replaces the revision of which this storage has the receipt and no other.",
    )
    autorename: bool = Field(
        default=False,
        description="Store under another name instead of refusing; give the receipt to fetch it.",
    )
    strict_conflict: bool = Field(
        default=False,
        description="Whether even the same bytes are in the way of 'add' and 'update'.",
    )
    mute: bool = Field(default=True, description="Whether the user's devices stay silent.")
    session_above: Annotated[int, Field(ge=0, le=MAX_REQUEST)] = Field(
        MAX_REQUEST, description="Number of bytes above which an artifact goes in parts."
    )
    part_size: Annotated[int, Field(ge=BLOCK, le=MAX_REQUEST, multiple_of=BLOCK)] = Field(
        _PART, description="Number of bytes of a part, a multiple of 4 MiB."
    )
    content_origin: str = Field(
        "https://content.dropboxapi.com", description="Beginning of the URLs that carry files."
    )
    api_origin: str = Field(
        "https://api.dropboxapi.com", description="Beginning of the URLs that carry none."
    )
    timeout: Timeout = DEFAULT_TIMEOUT
    verify: Verify = True
    allow_http: AllowHttp = False

    @field_validator("path")
    @classmethod
    def _check_path(cls, text: str) -> str:
        parse(text)
        if not text.startswith("/") or text.endswith("/"):
            raise ValueError("it begins with a slash and ends with a name, /flows/${artifact.key}")
        if "//" in text or any(char < " " or char == "\x7f" for char in text):
            raise ValueError("it has an empty name or a control character, which Dropbox refuses")
        check_key(text)
        return text

    @field_validator("token")
    @classmethod
    def _check_token(cls, text: str) -> str:
        if parse(text).is_literal:
            message = (
                "Dropbox: 'token' seems to hold a secret itself; write ${NAME} instead, so that it "
                "is neither stored nor shown"
            )
            warnings.warn(message, LiteralSecretWarning, stacklevel=4)
        return text

    @field_validator("path_root")
    @classmethod
    def _check_root(cls, text: str | None) -> str | None:
        return None if text is None else check_root(text)

    @model_validator(mode="after")
    def _check_account(self) -> Self:
        if (self.refresh_token is None) is not (self.app_key is None):
            raise ValueError("refresh_token and app_key belong together")
        if self.app_secret is not None and self.refresh_token is None:
            raise ValueError("app_secret goes with a refresh_token")
        if self.select_user is not None and self.select_admin is not None:
            raise ValueError("select_user and select_admin contradict each other")
        own_token = self.token != type(self).model_fields["token"].default
        ways = [own_token, self.refresh_token is not None, self.auth is not None]
        if sum(ways) > 1:
            raise ValueError("token, refresh_token and auth contradict each other: keep one")
        return self

    @field_validator("content_origin", "api_origin")
    @classmethod
    def _trim_origin(cls, text: str) -> str:
        place.check_url(parse(text))
        if any(mark in text for mark in "?#"):
            raise ValueError("it is the beginning of a URL, and has no query and no fragment")
        return text.removesuffix("/")

    def _account(self) -> Account:
        """Return what all requests say of the account."""
        return Account(
            token=self.token,
            auth=self.auth if self.refresh_token is None else self._refreshing(),
            select_user=self.select_user,
            select_admin=self.select_admin,
            path_root=self.path_root,
        )

    def _refreshing(self) -> RefreshToken:
        return RefreshToken(
            token_url=f"{self.api_origin}/oauth2/token",
            client_id=self.app_key or "",
            client_secret=self.app_secret,
            refresh_token=self.refresh_token or "",
            verify=self.verify,
            allow_http=self.allow_http,
        )
