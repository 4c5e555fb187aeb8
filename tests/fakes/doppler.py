"""Answer like Doppler: the secrets of configs, tokens of two kinds, and the ways it refuses.

Rule: a request that Doppler refuses is refused here, with its status and `messages`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fakes.http import Answer, FakeServer, Received, json_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONFIG = "/v3/configs/config"


class _RefusalError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__()
        self.answer = json_answer(status, {"messages": [message], "success": False})


class Place(NamedTuple):
    """A config of a project."""

    project: str
    config: str


@dataclass
class Token:
    """A token.

    Attributes:
        place: The one config that it may read; None for a personal token.
        denied: Projects that it may not read.
    """

    place: Place | None = None
    denied: set[str] = field(default_factory=set)


class FakeDoppler(FakeServer):
    """Doppler with the config `prd` of the project `backend`.

    Args:
        token: A service token for that config.
        personal: A personal token.
        tls: Serve HTTPS.

    Attributes:
        token: The service token.
        personal: The personal token.
        tokens: All tokens; delete one to revoke it.
        configs: The raw values of each config, by name. ``${OTHER}`` in one stands for another.
    """

    def __init__(
        self, *, token: str = "dp.st.prd.one", personal: str = "dp.pt.two", tls: bool = False
    ) -> None:
        super().__init__(tls=tls)
        home = Place("backend", "prd")
        self.token = token
        self.personal = personal
        self.tokens = {token: Token(home), personal: Token()}
        self.configs: dict[Place, dict[str, str]] = {home: {}}

    def put(self, name: str, value: str, *, project: str = "backend", config: str = "prd") -> None:
        """Store a secret, as somebody else would."""
        with self.lock:
            self.configs.setdefault(Place(project, config), {})[name] = value

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request as Doppler does."""
        try:
            return self._dispatch(request)
        except _RefusalError as refusal:
            return refusal.answer

    def _dispatch(self, request: Received) -> Answer:
        token = self._token(request)
        if request.method != "GET":
            raise _RefusalError(405, "Method not allowed")
        if request.path == "/v3/me":
            kind = "personal" if token.place is None else "service_token"
            return json_answer(200, {"type": kind, "slug": "one", "workplace": {"name": "Test"}})
        read = _READS.get(request.path)
        if read is None:
            raise _RefusalError(404, "Could not find requested endpoint")
        return read(self._config(token, request.query), request.query)

    def _token(self, request: Received) -> Token:
        """Return the token of a request, from a bearer or a basic header."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if not given:
            raise _RefusalError(401, "Please provide an auth token")
        if scheme.lower() == "basic":
            given = _user(given)
        if given not in self.tokens:
            raise _RefusalError(401, "Invalid Auth token")
        return self.tokens[given]

    def _config(self, token: Token, query: Mapping[str, str]) -> dict[str, str]:
        """Return the config that a request is about, if its token may read it."""
        project, config = query.get("project"), query.get("config")
        if token.place is not None:
            if (project or token.place.project, config or token.place.config) != token.place:
                raise _RefusalError(403, "This token does not have access to requested config")
            return self.configs[token.place]
        if not project or not config:
            what = "config" if project else "project"
            raise _RefusalError(400, f"You must provide a {what}")
        if project in token.denied:
            raise _RefusalError(403, f"You do not have access to the project '{project}'")
        place = Place(project, config)
        if place not in self.configs:
            raise _RefusalError(404, f"Could not find requested config '{config}'")
        return self.configs[place]


def _user(encoded: str) -> str:
    """Return the user of basic authentication."""
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _wanted(config: dict[str, str], query: Mapping[str, str]) -> list[str]:
    """Return the names that a request selects; one that is not there is passed over."""
    selected = query.get("secrets")
    return [name for name in config if selected is None or name in selected.split(",")]


def _download(config: dict[str, str], query: Mapping[str, str]) -> Answer:
    """Return computed values by name, and nothing else."""
    if query.get("format", "json") != "json":
        raise _RefusalError(400, "Unknown format")
    return json_answer(200, {name: _computed(config, name) for name in _wanted(config, query)})


def _list(config: dict[str, str], query: Mapping[str, str]) -> Answer:
    """Return everything there is to say about secrets."""
    secrets = {name: _described(config, name) for name in _wanted(config, query)}
    return json_answer(200, {"secrets": secrets})


def _one(config: dict[str, str], query: Mapping[str, str]) -> Answer:
    """Return one secret; of one that is not there all is null."""
    if not (name := query.get("name")):
        raise _RefusalError(400, "You must provide a name")
    return json_answer(200, {"name": name, "value": _described(config, name)})


def _names(config: dict[str, str], query: Mapping[str, str]) -> Answer:
    """Return the names."""
    return json_answer(200, {"names": list(config)})


def _computed(config: dict[str, str], name: str) -> str | None:
    """Return a value with the references in it resolved."""
    value = config.get(name)
    for other in config if value is not None else ():
        value = (value or "").replace(f"${{{other}}}", config[other])
    return value


def _described(config: dict[str, str], name: str) -> dict[str, Any]:
    shown = "masked" if name in config else None
    return {
        "raw": config.get(name),
        "computed": _computed(config, name),
        "note": "" if name in config else None,
        "rawVisibility": shown,
        "computedVisibility": shown,
    }


_READS = {
    f"{_CONFIG}/secrets/download": _download,
    f"{_CONFIG}/secrets/names": _names,
    f"{_CONFIG}/secrets": _list,
    f"{_CONFIG}/secret": _one,
}
