"""Tokens of Microsoft Entra for Azure Key Vault, by azure-identity and in time.

Facts: "Azure Identity client library for Python" (the credentials and their environment variables);
the source of azure-identity 1.27, azure-core 1.41 and msal 1.39. ``DefaultAzureCredential`` asks
one credential after the other, each with patience of its own, which together is minutes. So here
a credential lives for one login, in a thread for which nobody waits longer than the deadline.

Importing this module imports azure-identity.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import (
    AzureCliCredential,
    CertificateCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from webhook_storage.contracts import DEFAULT_TIMEOUT, Deadline, Forbidden, Unavailable
from webhook_storage.secret import SecretValue, silenced_logs
from webhook_storage.token import Refusal, Token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.credentials import TokenCredential

    from webhook_storage_resolvers.azure import Credential

_APPLICATION = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID")
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "client_secret": (*_APPLICATION, "AZURE_CLIENT_SECRET"),
    "certificate": (*_APPLICATION, "AZURE_CLIENT_CERTIFICATE_PATH"),
    "workload_identity": (*_APPLICATION, "AZURE_FEDERATED_TOKEN_FILE"),
}
"""What each credential must be told; those that are not listed need nothing."""

_UNAVAILABLE: Mapping[str, str] = {
    "default": "no credential: set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET,"
    " or log in with 'az login'",
    "managed_identity": "no managed identity answers: assign one to this machine,"
    " and set AZURE_CLIENT_ID to say which",
    "cli": "the Azure CLI gives no token: log in with 'az login'",
}
_REFUSED: Mapping[str, str] = {
    "default": "the login server refused the credential that the environment names",
    "managed_identity": "the managed identity was refused a token",
    "cli": "the login server refused the Azure CLI: log in again with 'az login'",
}
_NO_REFUSAL = frozenset({408, 429})
_TO_REACH_MACHINE = 2.0


class Login(NamedTuple):
    """What a login is made of.

    Attributes:
        kind: Which credential.
        scope: What the token is for.
        authority: Origin of the login server; None for that of the environment.
        ca_file: A CA that is trusted as well.
    """

    kind: Credential
    scope: str
    authority: str | None
    ca_file: str | None


def log_in(login: Login, deadline: Deadline) -> Token | Refusal:
    """Return a new token, or why there is none, before the deadline."""
    missing = [name for name in _VARIABLES.get(login.kind, ()) if not os.environ.get(name)]
    if missing:
        return Unavailable(f"no credential: set {' and '.join(missing)}")
    if not deadline.remaining():
        return Unavailable("there was no time left to log in")
    try:
        transport = _Transport(login.ca_file, deadline)
    except OSError:
        return Unavailable("the CA file cannot be read, or holds no certificate")
    answers: list[Token | Refusal] = []

    def work() -> None:
        answers.append(_log_in(login, transport, deadline))

    thread = threading.Thread(target=work, name="azure-login", daemon=True)
    thread.start()
    thread.join(deadline.remaining())
    if answers:
        return answers[0]
    which = ", name one credential to try fewer" if login.kind == "default" else ""
    return Unavailable(f"the login took too long{which}")


def _log_in(login: Login, transport: _Transport, deadline: Deadline) -> Token | Refusal:
    """Ask the credential for a token; whatever it raises is an outcome."""
    try:
        with silenced_logs():
            credential = _credential(login, transport, deadline)
        # Once more, for the loggers of what was imported in there.
        with silenced_logs():
            token = credential.get_token(login.scope)
            lifetime = max(1.0, token.expires_on - time.time())
            return Token(SecretValue(token.token), lifetime)
    except Exception as error:  # noqa: BLE001 - its text may hold a credential
        return _refusal(login.kind, error, transport)
    finally:
        transport.close()


def _credential(login: Login, transport: _Transport, deadline: Deadline) -> TokenCredential:
    """Return the credential that was named, with what the environment says and little patience."""
    seconds = max(1, int(deadline.remaining()))
    # The authority is configuration, so that nobody else is asked whether it is one.
    options: dict[str, Any] = {
        "transport": transport,
        "retry_total": 0,
        "disable_instance_discovery": True,
    }
    if login.authority:
        options["authority"] = login.authority
    value = os.environ.get
    tenant, client = value("AZURE_TENANT_ID", ""), value("AZURE_CLIENT_ID", "")
    match login.kind:
        case "client_secret":
            secret = value("AZURE_CLIENT_SECRET", "")
            return ClientSecretCredential(tenant, client, secret, **options)
        case "certificate":
            return CertificateCredential(
                tenant,
                client,
                value("AZURE_CLIENT_CERTIFICATE_PATH"),
                password=value("AZURE_CLIENT_CERTIFICATE_PASSWORD") or None,
                send_certificate_chain=bool(value("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN")),
                **options,
            )
        case "workload_identity":
            return WorkloadIdentityCredential(**options)
        case "managed_identity":
            return ManagedIdentityCredential(client_id=client or None, **options)
        case "cli":
            return AzureCliCredential(tenant_id=tenant, process_timeout=seconds)
        case _:
            return DefaultAzureCredential(process_timeout=seconds, **options)


def _refusal(kind: Credential, error: Exception, transport: _Transport) -> Refusal:
    """Return what it means that there is no token."""
    status = transport.status
    if transport.broke:
        return Unavailable("no connection to the login server")
    if status is None:
        return _without_asking(kind, error)
    if status in _NO_REFUSAL or not 400 <= status < 500:  # noqa: PLR2004 - client errors
        return Unavailable(f"the login server gave no token, its status was {status}")
    named = ", ".join(_VARIABLES.get(kind, ()))
    return Forbidden(_REFUSED.get(kind) or f"the login server refused: check {named}")


def _without_asking(kind: Credential, error: Exception) -> Refusal:
    """Return what it means that there is no token, although no login server was asked by us."""
    if kind == "cli" and "AADSTS" in str(error):  # the login server's own code, passed on
        return Forbidden(_REFUSED[kind])
    advice = _UNAVAILABLE.get(kind)
    return Unavailable(advice or f"the credential cannot be used: check {_VARIABLES[kind][-1]}")


class _Transport(RequestsTransport):  # type: ignore[misc]  # loaded lazily, so without a type
    """Sends in time, adds no password of a netrc file, and notes how login servers answered.

    Attributes:
        status: The last status of a login server; None when there was none.
        broke: Whether the last attempt to ask one failed.
    """

    def __init__(self, ca_file: str | None, deadline: Deadline) -> None:
        """Make connections for one login."""
        session = requests.Session()
        session.auth = _nothing
        if ca_file is not None:
            session.mount("https://", _TrustingAdapter(ca_file))
        super().__init__(session=session)
        self.status: int | None = None
        self.broke = False
        self._deadline = deadline

    def send(self, request: Any, **kwargs: Any) -> Any:
        """Send one request."""
        seconds = self._deadline.remaining()
        if not seconds:
            raise ServiceRequestError("there was no time left")
        # A machine's own identity service has no TLS, is near or not there, and no login server.
        counts = urlsplit(request.url).scheme == "https"
        connect, wait = DEFAULT_TIMEOUT
        connect = connect if counts else _TO_REACH_MACHINE
        kwargs.setdefault("connection_timeout", min(connect, seconds))
        kwargs.setdefault("read_timeout", min(wait, seconds))
        if not counts:  # nor may a proxy see what it says
            kwargs["proxies"] = dict.fromkeys(("http", "https", "all"))
        self.broke = counts
        response = super().send(request, **kwargs)
        if counts:
            self.broke, self.status = False, response.status_code
        return response


def _nothing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate by nothing; without this, requests looks into a netrc file."""
    return request


class _TrustingAdapter(requests.adapters.HTTPAdapter):
    """Trusts a CA besides the usual ones, which requests adds by itself."""

    def __init__(self, ca_file: str) -> None:
        self._context = ssl.create_default_context(cafile=ca_file)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
