"""The questions of one call to Vault: as few as can be.

Rule: each engine is asked for its version once, each secret once, and nobody is asked again after
an answer that speaks for all of them.
Facts: "/sys/internal/ui/mounts" as the Vault command line uses it, which answers 403 for an engine
that is not there as for one that the token may not touch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.lazy import PerProcess
from webhook_storage.token import Refusal, Token, TokenCache
from webhook_storage_resolvers.vault.answers import NO_ENGINE, Engine, engine_of, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from webhook_storage.secret import SecretValue
    from webhook_storage_resolvers.vault.client import VaultClient
    from webhook_storage_resolvers.vault.login import Access

_NO_ENGINES = ("auth/", "sys/")


class Wanted(NamedTuple):
    """What a reference asks for.

    Attributes:
        path: Mount and path of the secret, in the spelling of the command line or of the API.
        version: The version of it, None for the latest.
        field: The one field that is wanted; None for the secret as a whole.
    """

    path: str
    version: int | None = None
    field: str | None = None


@dataclass(frozen=True, kw_only=True)
class Engines:
    """Which engine a path lies in, as far as it is known.

    Args:
        mount: Mount path that may have slashes.
        kv_version: Version of all engines; None asks the server.
    """

    mount: str
    kv_version: int | None
    _known: PerProcess[dict[str, Engine]] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def find(self, path: str) -> Engine | Invalid | None:
        """Return the engine of a path when nobody need be asked for it."""
        if path.startswith(_NO_ENGINES):
            return NO_ENGINE
        if self.kv_version is not None:
            # Read like a secret of version 1, this would be the token itself.
            hidden = self.kv_version == 1 and "/auth/token/" in path
            return NO_ENGINE if hidden else self.guess(path, self.kv_version)
        # Engines do not lie in one another.
        known = self._known.get(dict)
        return next((known[each] for each in list(known) if path.startswith(f"{each}/")), None)

    def guess(self, path: str, version: int = 2) -> Engine:
        """Return the engine that a path looks like."""
        own = path.startswith(f"{self.mount}/")
        return Engine(self.mount if own else path.partition("/")[0], version)

    def remember(self, engine: Engine) -> None:
        """Ask no more for the version of this engine."""
        self._known.get(dict)[engine.mount] = engine

    def forget(self) -> None:
        """Ask again."""
        self._known.take()


class Reading:
    """One call: its answers, its token and its deadline.

    Args:
        client: Who sends the questions.
        access: Where tokens come from.
        tokens: The token of the last login.
        engines: What is known of the engines.
        deadline: When answers are of no use any more.
    """

    def __init__(
        self,
        client: VaultClient,
        access: Access,
        tokens: TokenCache,
        engines: Engines,
        deadline: Deadline,
    ) -> None:
        """Ask nothing yet."""
        self._client = client
        self._access = access
        self._tokens = tokens
        self._engines = engines
        self._deadline = deadline
        self._token: Token | Refusal | None = None
        self._is_new = False
        self._read: dict[tuple[Engine, str, int | None], Outcome] = {}

    def secret(self, wanted: Wanted) -> Outcome:
        """Return the secret as a whole; the second time, as it was found the first time."""
        if self._token is None:
            self._token = self._get_token()
        token = self._token
        if not isinstance(token, Token):
            return token
        outcome = self._secret(wanted, token)
        if isinstance(outcome, Unavailable):
            self._token = outcome  # nobody is asked for the rest either
        if isinstance(outcome, Forbidden) and self._access.repeats and not self._is_new:
            self._tokens.forget(token)
            self._token, self._is_new = None, True
            self._read = {key: read for key, read in self._read.items() if read != outcome}
            return self.secret(wanted)
        return outcome

    def _get_token(self) -> Token | Refusal:
        """Return the token of this process, or the one that somebody else got."""
        if trouble := self._client.trouble():
            return Unavailable(trouble)
        if self._access.repeats:
            return self._tokens.get(self._log_in)
        return self._access.token(self._ask, None)

    def _log_in(self, last: Token | None) -> Token | Refusal:
        """Get a token, or a longer life for the last one; a refused secret is then just that."""
        self._is_new = True
        return self._access.token(self._ask, last)

    def _secret(self, wanted: Wanted, token: Token) -> Outcome:
        """Return a secret that this token can read."""
        engine = self._engine(wanted.path, token)
        if not isinstance(engine, Engine):
            return engine
        path, version = wanted.path.removeprefix(f"{engine.mount}/"), wanted.version
        if engine.version != 1:
            path = path.removeprefix("data/")  # the spelling of the API
        elif version is not None:
            return Invalid("an engine of version 1 keeps no versions")
        key = engine, path, version
        if key not in self._read:
            self._read[key] = self._ask_for(engine, path, version, token)
        return self._read[key]

    def _engine(self, path: str, token: Token) -> Engine | Outcome:
        """Return the engine that a path lies in."""
        if known := self._engines.find(path):
            return known
        url = f"/v1/sys/internal/ui/mounts/{quote(path)}"
        answer = self._ask(lambda client: client.adapter.get(url), token.value)
        if isinstance(answer, Unavailable):
            return answer
        found = engine_of(answer, path)
        if isinstance(found, Engine):
            self._engines.remember(found)
        return found or self._engines.guess(path)

    def _ask_for(self, engine: Engine, path: str, version: int | None, token: Token) -> Outcome:
        """Read a secret."""

        def question(client: Any) -> requests.Response:
            kv = client.secrets.kv
            answer: requests.Response = (
                kv.v1.read_secret(path, engine.mount)
                if engine.version == 1
                else kv.v2.read_secret_version(
                    path, version, engine.mount, raise_on_deleted_version=True
                )
            )
            return answer

        answer = self._ask(question, token.value)
        if isinstance(answer, Unavailable):
            return answer
        outcome = outcome_of(answer, engine)
        if isinstance(outcome, Found | NotFound):
            self._engines.remember(engine)  # a guess proved right, as far as can be told
        return outcome

    def _ask(
        self, question: Callable[[Any], requests.Response], token: SecretValue | None = None
    ) -> requests.Response | Unavailable:
        """Ask the server within the deadline."""
        return self._client.ask(question, self._deadline, token)
