"""How Vault and OpenBao are asked, through hvac.

Facts: the documentation and source of hvac 2.4 (``Client``, ``RawAdapter``): redirects take the
token along, exceptions keep the bodies of answers, and a client is pickled with its token.
Rule: a client lives for one question; what lives longer are connections, which hold no token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from webhook_storage.contracts import Deadline, Unavailable
from webhook_storage.errors import MissingExtraError
from webhook_storage.lazy import PerProcess
from webhook_storage.secret import SecretValue, silenced_logs
from webhook_storage_resolvers.vault.environment import SettingError, timeout, variable

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import requests

_NO_ADDRESS = "no address: set VAULT_ADDR"
_UNTRUSTED = "the certificate of the server is not trusted: VAULT_CACERT names the file of its CA"
_NOBODY = SecretValue("")  # with None, hvac would look for a token itself


@dataclass(frozen=True, kw_only=True)
class VaultClient:
    """Sends questions to one server, with connections that this process keeps.

    Args:
        address: Origin of the server; by default ``VAULT_AGENT_ADDR``, else ``VAULT_ADDR``.
        namespace: By default ``VAULT_NAMESPACE``.
        cacert: File of the CA; by default ``VAULT_CACERT``.
    """

    address: str | None = None
    namespace: str | None = None
    cacert: str | os.PathLike[str] | None = None
    _sessions: PerProcess[requests.Session] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def trouble(self) -> str | None:
        """Return why nobody can be asked, None when somebody can."""
        address = self._address()
        return _NO_ADDRESS if address is None else fault_of(address)

    def ask(
        self,
        question: Callable[[Any], requests.Response],
        deadline: Deadline,
        token: SecretValue | None = None,
        *,
        namespaced: bool = True,
    ) -> requests.Response | Unavailable:
        """Return the answer to a question, whatever its status, or why there is none.

        Args:
            question: Calls one method of the `hvac.Client` that it gets.
            deadline: When an answer is of no use any more.
            token: What the question is asked with; None for none at all.
            namespaced: Whether the question is one to the namespace.
        """
        if trouble := self.trouble():
            return Unavailable(trouble)
        if not (seconds := min(deadline.remaining(), timeout())):
            return Unavailable("there was no time left to ask")
        namespace = self.namespace or variable("NAMESPACE") if namespaced else None
        try:
            with silenced_logs():
                return question(self._client(token or _NOBODY, namespace, seconds))
        except MissingExtraError as error:
            return Unavailable(f"{error}: {error.hint}")
        except SettingError as error:
            return Unavailable(str(error))
        except Exception as error:  # noqa: BLE001 - its text may hold the token or the answer
            kind = type(error).__name__
            return Unavailable(_UNTRUSTED if kind == "SSLError" else f"no connection, {kind}")

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        if session := self._sessions.take():
            session.close()

    def server(self) -> tuple[str | None, str | None]:
        """Return address and namespace as they are now: what a token is good for."""
        return self._address(), self.namespace or variable("NAMESPACE")

    def _address(self) -> str | None:
        return self.address or variable("AGENT_ADDR") or variable("ADDR")

    def _client(self, token: SecretValue, namespace: str | None, seconds: float) -> Any:
        """Return a client for a moment."""
        try:
            import hvac  # noqa: PLC0415 - an extra, and slow to import
        except ImportError:
            hvac = None
        if hvac is None:
            raise MissingExtraError("Vault needs hvac, which is not installed", extra="vault")
        address = self._address()
        return hvac.Client(
            url=address,
            token=token.reveal(),
            namespace=namespace,
            timeout=seconds,
            session=self._sessions.get(self._session),
            proxies=_proxies(address or ""),
            verify=True,  # else hvac looks into the environment; the adapter decides
            allow_redirects=False,
            adapter=hvac.adapters.RawAdapter,
            # Answers come back whatever their status: the exceptions would keep the bodies.
            ignore_exceptions=True,
        )

    def _session(self) -> requests.Session:
        """Return new connections."""
        from http.cookiejar import DefaultCookiePolicy  # noqa: PLC0415 - loads an HTTP client

        import requests  # noqa: PLC0415 - comes with hvac

        from webhook_storage_resolvers.vault.tls import VaultAdapter  # noqa: PLC0415 - as above

        session = requests.Session()
        session.trust_env = False  # else a netrc file adds a credential
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.mount("https://", VaultAdapter(self.cacert))
        return session


def fault_of(address: str) -> str | None:
    """Return why an address leads nowhere, None for a good one.

    Example:
        >>> fault_of("vault.example.com:8200")
        'the address is no URL of http or https'
    """
    try:
        parts = urlsplit(address)
        complete = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if not complete:
        return "the address is no URL of http or https"
    if "@" in parts.netloc:
        return "the address holds a user or password, which Vault does not take"
    if parts.query or parts.fragment:
        return "the address has more than an origin and a path"
    return None


def _proxies(address: str) -> dict[str, str]:
    """Return the proxy by scheme: that of Vault's variables, or that of everybody."""
    import requests  # noqa: PLC0415 - comes with hvac

    if proxy := variable("PROXY_ADDR") or variable("HTTP_PROXY"):
        return {"http": proxy, "https": proxy}
    return dict(requests.utils.get_environ_proxies(address))
