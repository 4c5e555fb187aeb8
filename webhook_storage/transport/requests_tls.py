"""TLS settings of one request, where requests has them for a whole session."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from requests.certs import where  # type: ignore[attr-defined]

from webhook_storage.transport.tls import equip

if TYPE_CHECKING:
    from webhook_storage.transport.tls import Cert


class TlsAdapter(HTTPAdapter):
    """Makes connections with given TLS settings, and is for the rest like another adapter.

    Args:
        like: The other one.
        context: The settings.
    """

    def __init__(self, like: HTTPAdapter, context: ssl.SSLContext) -> None:
        """Take over how many connections are kept, and how often is tried again."""
        super().__init__()
        self.__setstate__(like.__getstate__())  # type: ignore[attr-defined]
        self._like = like  # which so remains, and with it the identity by which this is found
        self._context = context

    def build_connection_pool_key_attributes(self, request: Any, *_: Any, **__: Any) -> Any:
        """Name what connections must share; all about TLS is in the context."""
        host, _verify = super().build_connection_pool_key_attributes(request, verify=True)
        return host, {"ssl_context": self._context}

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Leave connections as the context has them."""


def make_context(*, known: bool | str, verify: bool | str, cert: Cert) -> ssl.SSLContext:
    """Return the TLS settings of a request.

    Args:
        known: Whom the session trusts: the path of a file or a directory, else who is trusted
            wherever nothing is said.
        verify: As in the request.
        cert: As in the request.

    Raises:
        ConfigurationError: Something of the request cannot be used.
        OSError: What the session names cannot be read.
    """
    known = known if isinstance(known, str) else where()
    directory = Path(known).is_dir()
    context = ssl.create_default_context(
        cafile=None if directory else known, capath=known if directory else None
    )
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    equip(context, verify=verify, cert=cert)
    return context
