"""An embedded file server for trying things out: WebDAV over plain HTTP on the loopback interface.

Rule: a password always, and nothing but this machine unless somebody says so.
"""

from __future__ import annotations

import ipaddress
import secrets
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Self

from webhook_storage.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from webhook_storage.dav import HttpServer


class PlainHttpWarning(UserWarning):
    """Others on the network can read the password and everything that is stored."""


class Server:
    """Serves a directory by WebDAV while its ``with`` block runs.

    GET, HEAD, PUT and DELETE do what they say; a PUT makes missing folders; a GET of a folder
    answers a JSON list of objects with ``name``, ``type`` and ``size``.

    Args:
        directory: What to serve; it must exist.
        user: The only user.
        password: Their password; by default a random one is made.
        host: Address of the interface to listen on.
        port: 0 takes a free one.
        allow_remote: Allow a host that others can reach. The server speaks plain HTTP, so a
            `PlainHttpWarning` is given.

    Raises:
        ConfigurationError: When the directory, the user or the host cannot be.
        MissingExtraError: When the extra ``server`` is not installed.

    Example:
        >>> import tempfile
        >>> from webhook_storage import Sender, Webhook
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> there = {"url": "${SERVER}/${artifact.key}", "auth": ["user", "${PASSWORD}"]}
        >>> with tempfile.TemporaryDirectory() as folder, Server(folder) as server:
        ...     known = MappingResolver({"SERVER": server.url, "PASSWORD": server.password})
        ...     with Sender(secrets=[known]):
        ...         Webhook(there, "PUT", there, "GET").put(b"some bytes", key="a/b").size
        10
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        user: str = "user",
        password: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_remote: bool = False,
    ) -> None:
        """Check the arguments; nothing listens yet."""
        self._directory = Path(directory).resolve()
        self.user = user
        self.password = secrets.token_urlsafe(18) if password is None else password
        self._host = host
        self._port = port
        self._http: HttpServer | None = None
        self._check(allow_remote=allow_remote)

    def __repr__(self) -> str:
        """Show what is served and to whom, not the password."""
        return f"<Server {str(self._directory)!r} user={self.user!r}>"

    @property
    def url(self) -> str:
        """The root of what is served, without a slash at its end.

        Raises:
            RuntimeError: When the server is not running.
        """
        if self._http is None:
            message = "the server runs only inside of its with block"
            raise RuntimeError(message)
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._http.bind_addr[1]}"

    def __enter__(self) -> Self:
        """Listen; requests are answered from now on.

        Raises:
            ConfigurationError: When the port is taken or the host is none of this machine.
        """
        http = self._prepare()
        self._thread = threading.Thread(
            target=http.serve, name="webhook-storage server", daemon=True
        )
        self._thread.start()
        self._http = http
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening, and wait until all threads and sockets are gone."""
        http, self._http = self._http, None
        if http is not None:
            http.stop()
            self._thread.join()
            if http.sweeper is not None:
                http.sweeper.join()

    def _prepare(self) -> HttpServer:
        """Return a server that listens and does not answer yet."""
        missing = None
        try:
            from webhook_storage import dav  # noqa: PLC0415 - its libraries are an extra
        except ModuleNotFoundError as error:
            missing = error.name
        if missing is not None:
            message = f"the file server needs the module {missing}, which is not installed"
            raise MissingExtraError(message, extra="server")
        application = dav.application(self._directory, self.user, self.password)
        http = dav.HttpServer((self._host, self._port), application, server_name="webhook-storage")
        try:
            http.prepare()
        except OSError as error:
            failure = error.strerror or type(error).__name__
        else:
            return http
        message = f"cannot listen on {self._host} port {self._port}: {failure}"
        raise ConfigurationError(message, hint="choose another port, or 0 for a free one")

    def _check(self, *, allow_remote: bool) -> None:
        if not self._directory.is_dir():
            message = f"there is no directory {str(self._directory)!r}"
            raise ConfigurationError(message, hint="make it, or name another one")
        if not self.password:
            message = "the password of a server is never empty"
            raise ConfigurationError(message, hint="leave it out, and one is made")
        if not self.user or ":" in self.user:
            message = "the user of a server has a name without a colon"
            raise ConfigurationError(message)
        if not _is_loopback(self._host):
            if not allow_remote:
                message = (
                    f"{self._host} can be reached by others, and this server speaks plain HTTP"
                )
                hint = "keep 127.0.0.1, or allow it with allow_remote (--allow-remote)"
                raise ConfigurationError(message, hint=hint)
            message = (
                f"{self._host} can be reached by others; password and content pass the network "
                "unencrypted"
            )
            warnings.warn(message, PlainHttpWarning, stacklevel=3)


def _is_loopback(host: str) -> bool:
    """Tell whether an address is of this machine alone; of a name only ``localhost`` is."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
