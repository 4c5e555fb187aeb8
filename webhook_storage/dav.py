"""The WSGI application behind `server`: WsgiDAV, made convenient for trying things out.

Rule: this module is imported only when a server is started, since its libraries are an extra.
"""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeAlias

from cheroot import wsgi
from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError
from wsgidav.error_printer import ErrorPrinter
from wsgidav.http_authenticator import HTTPAuthenticator
from wsgidav.mw.base_mw import BaseMiddleware
from wsgidav.request_resolver import RequestResolver
from wsgidav.util import get_uri_name, get_uri_parent
from wsgidav.wsgidav_app import WsgiDAVApp

if TYPE_CHECKING:
    import socket
    from pathlib import Path

Environ: TypeAlias = dict[str, Any]
Respond: TypeAlias = Callable[..., Any]

_CHUNK = 256 * 1024
_SPOOL_LIMIT = 1024 * 1024

log = logging.getLogger("webhook_storage.server")


def application(directory: Path, user: str, password: str) -> WsgiDAVApp:
    """Return the application that serves a directory to one user."""
    quiet = logging.getLogger("wsgidav")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    return WsgiDAVApp(
        {
            "provider_mapping": {"/": str(directory)},
            "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
            "http_authenticator": {
                "accept_basic": True,
                "accept_digest": False,
                "default_to_digest": False,
            },
            "middleware_stack": [
                ErrorPrinter,
                HTTPAuthenticator,
                _Convenience,
                RequestResolver,
            ],
            "logging": {"enable": False},
            "suppress_version_info": True,
        }
    )


class HttpServer(wsgi.Server):
    """Cheroot, which tells its faults to our log instead of the terminal."""

    expiration_interval = 0.1  # seconds between two looks at whether to stop

    sweeper: threading.Thread | None = None
    """A thread that cheroot starts and does not wait for."""

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - cheroot's signature
        """Log one line; a traceback could hold what a client sent."""
        log.log(min(level, logging.DEBUG), "%s", msg)

    @classmethod
    def bind_socket(cls, socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        """Bind, and close the socket when that fails."""
        try:
            bound: socket.socket = super().bind_socket(socket_, bind_addr)  # type: ignore[no-untyped-call]
        except OSError:
            socket_.close()
            raise
        return bound

    def _serve_unservicable(self) -> None:
        self.sweeper = threading.current_thread()
        super()._serve_unservicable()  # type: ignore[misc]  # its stubs lack it


class _Resource(Protocol):
    """What we use of a file or folder of WsgiDAV."""

    is_collection: bool

    def get_member_list(self) -> Iterable[_Resource]: ...

    def get_display_name(self) -> str: ...

    def get_content_length(self) -> int: ...

    def create_collection(self, name: str) -> None: ...


class _Convenience(BaseMiddleware):  # type: ignore[misc]  # WsgiDAV has no types
    """What a bare WebDAV server would refuse or do by half, for a user who is logged in.

    A PUT makes the folders that it needs, and changes nothing when its body breaks off. A GET of a
    folder answers a JSON list. WsgiDAV's own pages are left out: their pictures need no password.
    """

    def __call__(self, environ: Environ, start_response: Respond) -> Iterable[bytes]:
        """Answer the request, or have it answered."""
        method = environ["REQUEST_METHOD"]
        if method == "PUT":
            with _spooled(environ):
                _make_parents(environ)
                yield from self.next_app(environ, start_response)
            return
        listing = _listing(environ) if method == "GET" else None
        if listing is None:
            yield from self.next_app(environ, start_response)
            return
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(listing)))]
        start_response("200 OK", headers)
        yield listing


@contextlib.contextmanager
def _spooled(environ: Environ) -> Iterator[None]:
    """Take the whole body in before anything is written.

    Raises:
        DAVError: When less comes than was announced.
    """
    body: IO[bytes] = environ["wsgi.input"]
    announced = environ.get("CONTENT_LENGTH") or ""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_LIMIT) as spool:
        while chunk := body.read(_CHUNK):
            spool.write(chunk)
        size = spool.tell()
        if announced and int(announced) != size:
            raise DAVError(HTTP_BAD_REQUEST, "the body broke off")
        spool.seek(0)
        environ["wsgi.input"] = spool
        environ["CONTENT_LENGTH"] = str(size)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        yield


def _make_parents(environ: Environ) -> None:
    """Make the folders above the resource that is PUT."""
    provider = environ["wsgidav.provider"]
    missing = []
    parent = get_uri_parent(environ["PATH_INFO"])
    while parent and not provider.exists(parent, environ):
        missing.append(parent)
        parent = get_uri_parent(parent)
    for path in reversed(missing):
        folder: _Resource = provider.get_resource_inst(get_uri_parent(path), environ)
        if not folder.is_collection:
            return  # WsgiDAV says what is wrong
        with contextlib.suppress(FileExistsError):  # another request was faster
            folder.create_collection(get_uri_name(path))


def _listing(environ: Environ) -> bytes | None:
    """Return what is in a folder as JSON, or None when something else is to answer."""
    provider, path = environ["wsgidav.provider"], environ["PATH_INFO"]
    folder: _Resource | None = provider.get_resource_inst(path, environ)
    if folder is None or not folder.is_collection:
        return None
    entries = [_entry(member) for member in folder.get_member_list()]
    return json.dumps(sorted(entries, key=lambda entry: str(entry["name"]))).encode()


def _entry(member: _Resource) -> dict[str, str | int]:
    name = member.get_display_name()
    if member.is_collection:
        return {"name": name, "type": "directory"}
    return {"name": name, "type": "file", "size": member.get_content_length()}
