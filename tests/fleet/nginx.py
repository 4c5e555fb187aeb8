"""nginx: plain PUT and GET, credentials of several kinds, TLS, and answers nobody wants."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fleet.process import (
    MissingServerError,
    find_program,
    free_ports,
    is_root,
    listens,
    write_conf,
)
from tests.fleet.restart import Restartable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.pki import Pki

DAV_EXT = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")
SIGNING_KEY = "topsecret"
STATUSES = (400, 401, 403, 404, 408, 409, 412, 413, 425, 429, 500, 502, 503, 504)
REDIRECTS = (301, 302, 303, 307, 308)
SCHEMES = {
    **dict.fromkeys(("plain", "signed", "limited", "small"), "http://127.0.0.1"),
    **dict.fromkeys(("tls", "wrong_host", "mtls", "tls13"), "https://localhost"),
}
PORTS = tuple(SCHEMES)


@dataclass(frozen=True)
class Nginx:
    """A running nginx.

    Attributes:
        url: Root with basic auth; `url`/open, `url`/bearer and `url`/apikey have their own rules.
        signed_url: Origin that takes requests signed by `sign` only.
        tls_url: TLS with a certificate for localhost and 127.0.0.1.
        wrong_host_url: TLS with a certificate for another host.
        mtls_url: TLS that wants a client certificate; without one the answer is 400.
        tls13_url: TLS 1.3 and nothing older.
        limited_url: Root with a limit of requests a second for what begins with `rare`; beyond it
            is 429.
        small_url: Root for bodies of up to 1 kB; beyond it is 413.
        data: The directory served by all of them.
        process: What can be killed and started again.
    """

    url: str
    signed_url: str
    tls_url: str
    wrong_host_url: str
    mtls_url: str
    tls13_url: str
    limited_url: str
    small_url: str
    data: Path
    pki: Pki
    process: Restartable = field(repr=False)
    user: str = "alice"
    password: str = "s3cret"
    token: str = "good-token"
    key_header: str = "X-Api-Key"
    key: str = "good-key"

    @property
    def open_url(self) -> str:
        """Where nothing is asked."""
        return f"{self.url}/open"

    def status(self, code: int, retry_after: str = "") -> str:
        """Where every request is answered with a status."""
        return f"{self.url}/f/status/{code}?after={retry_after}"

    def redirect(self, code: int, target: str, *, tls: bool = False) -> str:
        """Where every request is sent elsewhere."""
        return f"{self.tls_url if tls else self.url}/f/redirect/{code}?to={target}"

    def sign(self, method: str, path: str, expires: int) -> str:
        """A URL that allows one method on one path until a moment in Unix time."""
        text = f"{expires}{path}{method} {SIGNING_KEY}".encode()
        digest = hashlib.md5(text, usedforsecurity=False).digest()
        signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return f"{self.signed_url}{path}?md5={signature}&expires={expires}"


@contextlib.contextmanager
def serve_nginx(directory: Path, pki: Pki, data: Path | None = None) -> Iterator[Nginx]:
    """Run nginx in a directory of its own; what it serves may be elsewhere."""
    program = find_program("nginx", "nginx")
    if not DAV_EXT.exists():
        raise MissingServerError("nginx with libnginx-mod-http-dav-ext")
    data = data or directory / "data"
    for needed in (data / "open", directory / "tmp"):
        needed.mkdir(parents=True)
    (directory / "htpasswd").write_text(f"{Nginx.user}:{{PLAIN}}{Nginx.password}\n")
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    values = {
        **{f"{name}_port": port for name, port in ports.items()},
        "dir": directory, "data": data, "dav_ext": DAV_EXT, "signing_key": SIGNING_KEY,
        "user": "user root;" if is_root() else "",
        "ca": pki.ca, "server_cert": pki.server.cert, "server_key": pki.server.key,
        "wrong_host_cert": pki.wrong_host.cert, "wrong_host_key": pki.wrong_host.key,
        "statuses": "\n    ".join(map(_status_location, STATUSES)),
        "redirects": "\n    ".join(map(_redirect_location, REDIRECTS)),
    }  # fmt: skip
    conf = write_conf("nginx.conf", directory / "nginx.conf", values)
    command = (program, "-p", directory, "-e", directory / "error.log", "-c", conf)
    ready = lambda: all(map(listens, ports.values()))  # noqa: E731 - it is short
    with Restartable(command, ready, directory / "log") as process:
        urls = {f"{name}_url": f"{SCHEMES[name]}:{port}" for name, port in ports.items()}
        url = urls.pop("plain_url")
        yield Nginx(url=url, **urls, data=data, pki=pki, process=process)


def _status_location(code: int) -> str:
    # nginx leaves out a header whose value is empty.
    rule = f"add_header Retry-After $arg_after always; return {code};"
    return f"location = /f/status/{code} {{ {rule} }}"


def _redirect_location(code: int) -> str:
    return f"location = /f/redirect/{code} {{ return {code} $arg_to; }}"
