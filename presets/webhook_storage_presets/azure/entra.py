"""Access tokens of Microsoft Entra, got by azure-identity.

Source: azure-identity 1.27 and its documentation. The library logs what it asks, and its errors
repeat what login servers answer, so its loggers are silent and its texts stay inside.
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field

from webhook_storage.auth import AuthModel
from webhook_storage.contracts import Access, Exchange, Request, WireRequest, Work
from webhook_storage.errors import AuthenticationError, MissingExtraError
from webhook_storage.secret import SecretValue, silenced_logs

if TYPE_CHECKING:
    import requests

Credential: TypeAlias = Literal[
    "default", "environment", "workload_identity", "managed_identity", "cli"
]

STORAGE = "https://storage.azure.com/.default"

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")

_CONNECT, _READ = 10, 30
_HINTS: dict[Credential, str] = {
    "default": "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, assign a managed "
    "identity, or log in with 'az login'",
    "environment": "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or "
    "AZURE_CLIENT_CERTIFICATE_PATH; are they right?",
    "workload_identity": "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE",
    "managed_identity": "assign a managed identity to this machine, and say its client_id where it "
    "has several",
    "cli": "log in with 'az login'",
}


class Entra(AuthModel):
    """A token of Microsoft Entra, for the identity that azure-identity finds.

    It finds a service principal in the environment, a workload's or a machine's identity, or who is
    logged in by a tool of Azure. A token is kept in the process for nine tenths of its life. For a
    service principal whose secret is a placeholder there is ``oauth2_client_credentials``.

    Example:
        >>> str(Entra(credential="managed_identity"))
        'a token of Microsoft Entra, by managed_identity'
    """

    type: Literal["entra"] = "entra"
    credential: Credential = Field(
        "default", description="Which identity; 'default' tries one after the other."
    )
    client_id: str | None = Field(
        None, description="Client id of the managed or workload identity, where there are several."
    )
    tenant_id: str | None = Field(
        None, description="Tenant, where it is not that of the environment."
    )
    scope: str = Field(STORAGE, description="What the token is for.")

    def __str__(self) -> str:
        """Say what will be in the request."""
        return f"a token of Microsoft Entra, by {self.credential}"

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get a token."""
        access: Access = yield Work(partial(_log_in, self), identity="entra")
        return access

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the token to the request."""
        return wire.with_headers({"Authorization": f"Bearer {access.secrets['token'].reveal()}"})


def _log_in(auth: Entra) -> Access:
    """Return the access that a credential gives.

    Raises:
        AuthenticationError: It gives none.
        MissingExtraError: The library is not installed.
    """
    identity = _identity()
    found, fault = None, ""
    with silenced_logs():
        try:
            with _credential(identity, auth) as credential:
                found = credential.get_token(auth.scope)
        except Exception as error:  # noqa: BLE001 - its text may hold what a login server answered
            fault = type(error).__name__
    if found is None or not _TOKEN.fullmatch(found.token):
        message = f"Microsoft Entra gives no token, by {auth.credential}"
        message += f": {fault}" if fault else ""
        raise AuthenticationError(message, status=0, hint=_HINTS[auth.credential])
    lifetime = max(1.0, found.expires_on - time.time())
    return Access(secrets={"token": SecretValue(found.token)}, lifetime=lifetime)


def _credential(identity: Any, auth: Entra) -> Any:
    """Return the credential that was named."""
    options: dict[str, Any] = {
        "transport": _transport(),
        "retry_total": 1,
        # The authority is configuration, so that nobody else is asked whether it is one.
        "disable_instance_discovery": True,
        "connection_timeout": _CONNECT,
        "read_timeout": _READ,
    }
    tenant = {} if auth.tenant_id is None else {"tenant_id": auth.tenant_id}
    client = {} if auth.client_id is None else {"client_id": auth.client_id}
    match auth.credential:
        case "environment":
            return identity.EnvironmentCredential(**options)
        case "workload_identity":
            return identity.WorkloadIdentityCredential(**tenant, **client, **options)
        case "managed_identity":
            return identity.ManagedIdentityCredential(**client, **options)
        case "cli":
            return identity.AzureCliCredential(**tenant, process_timeout=_READ)
        case _:
            tenants = {f"{kind}_tenant_id": auth.tenant_id for kind in _WITH_TENANT if tenant}
            clients = {f"{kind}_client_id": auth.client_id for kind in _WITH_CLIENT if client}
            return identity.DefaultAzureCredential(
                process_timeout=_READ, **tenants, **clients, **options
            )


_WITH_TENANT = ("workload_identity", "shared_cache", "visual_studio_code")
_WITH_CLIENT = ("workload_identity", "managed_identity")


def _transport() -> Any:
    """Return what the library sends by: with no password of a netrc file, and no proxy for http."""
    import requests  # noqa: PLC0415 - it comes with the extra
    from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    class Direct(HTTPAdapter):
        """Asks a machine's own identity service, whose tokens no proxy may see."""

        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            return super().send(request, *args, **{**kwargs, "proxies": {}})

    session = requests.Session()
    session.auth = _nothing
    session.mount("http://", Direct())
    return RequestsTransport(session=session)


def _nothing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate by nothing; without this, requests looks into a netrc file."""
    return request


def _identity() -> Any:
    """Return the library.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        with silenced_logs():
            import azure.identity  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        pass
    else:
        return azure.identity
    message = "tokens of Microsoft Entra are got by azure-identity, which is not installed"
    raise MissingExtraError(message, extra="azure")
