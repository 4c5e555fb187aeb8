"""The questions of one batch to Infisical.

Facts: the server's routers of ``/api/v4/secrets`` and ``/api/v3/secrets/raw``; infisicalsdk 1.0.
Old servers know the second only, and ask for a ``workspaceId`` where the first has ``projectId``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from webhook_storage.client import HttpAnswer, HttpClient, bearer
from webhook_storage.contracts import Outcome, Unavailable
from webhook_storage.token import Refusal, Token
from webhook_storage_resolvers.infisical.answers import (
    is_no_api,
    is_token_refused,
    is_unknown_path,
    meaning,
    secret_of,
    secrets_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.contracts import Deadline
    from webhook_storage_resolvers.infisical.login import Given, UniversalAuth


class Scope(NamedTuple):
    """Where secrets are looked for.

    Attributes:
        origin: Of the server.
        project: Its id.
        environment: Its slug.
    """

    origin: str
    project: str
    environment: str


class Api:
    """A server, as one batch sees it.

    Args:
        http: Sends the questions.
        scope: Server, project and environment.
        login: Gives the token.
        old: Origins of servers that are known to be old; one that turns out to be is added.
        deadline: When the caller stops waiting.
    """

    __slots__ = ("_deadline", "_down", "_http", "_login", "_old", "_renewed", "_scope")

    def __init__(
        self,
        http: HttpClient,
        scope: Scope,
        login: Given | UniversalAuth,
        old: set[str],
        deadline: Deadline,
    ) -> None:
        self._http = http
        self._scope = scope
        self._login = login
        self._old = old
        self._deadline = deadline
        self._down: Refusal | None = None
        self._renewed = False

    def folder(self, folder: str, names: Sequence[str]) -> dict[str, Outcome]:
        """Return secrets of one folder.

        One secret is read by itself, which needs no right to any other. For several the folder is
        listed, in one question. What the list does not hold is then asked for by itself: it may be
        absent, or not for this identity, and only that answer says which.
        """
        listed: dict[str, Outcome] = {}
        if len(names) > 1:
            document = self._ask("", folder, {"recursive": "false", "include_imports": "true"})
            listed = {} if isinstance(document, Refusal) else secrets_of(document)
        return {name: listed.get(name) or self.secret(folder, name) for name in names}

    def secret(self, folder: str, name: str, version: int | None = None) -> Outcome:
        """Return one secret of a folder."""
        # An import has versions of its own, which are not those that are asked for.
        query = {"include_imports": "true"} if version is None else {"version": str(version)}
        document = self._ask(f"/{quote(name, safe='')}", folder, query)
        if isinstance(document, Refusal):
            return document
        return secret_of(document.get("secret"), version)

    def _ask(self, path: str, folder: str, query: Mapping[str, str]) -> Any | Refusal:
        """Return the object that the server sends; one that is of no use is asked no more."""
        if self._down is not None:
            return self._down
        answer = self._answer(path, folder, query)
        if isinstance(answer, HttpAnswer) and is_token_refused(answer):
            if not self._renewed and self._login.renew():
                self._renewed = True
                return self._ask(path, folder, query)
            self._down = meaning(answer)
            return self._down
        result = meaning(answer) if isinstance(answer, HttpAnswer) else answer
        if isinstance(result, Unavailable) or not isinstance(answer, HttpAnswer):
            self._down = result
        return result

    def _answer(self, path: str, folder: str, query: Mapping[str, str]) -> HttpAnswer | Refusal:
        """Ask the newest API that the server has."""
        origin, project, environment = self._scope
        token = self._login.token()
        if not isinstance(token, Token):
            return token
        common = {
            "environment": environment,
            "secretPath": folder,
            "viewSecretValue": "true",
            "expandSecretReferences": "true",
            **query,
        }
        if origin not in self._old:
            answer = self._send(f"/api/v4/secrets{path}", {"projectId": project, **common}, token)
            if not isinstance(answer, HttpAnswer) or not is_unknown_path(answer):
                return answer
        old = {"workspaceId": project, **common}
        answer = self._send(f"/api/v3/secrets/raw{path}", old, token)
        if isinstance(answer, HttpAnswer) and not is_no_api(answer):
            self._old.add(origin)
        else:
            self._old.discard(origin)
        return answer

    def _send(self, path: str, query: Mapping[str, str], token: Token) -> HttpAnswer | Unavailable:
        """Send a question with a token."""
        url = f"{self._scope.origin}{path}?{urlencode(query, quote_via=quote)}"
        headers = bearer(token.value.reveal())
        return self._http.ask("GET", url, self._deadline, headers=headers)
