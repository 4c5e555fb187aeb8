"""Two WebDAV servers: Apache, with true conditional writes, and WsgiDAV."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fleet.process import (
    MissingServerError,
    find_program,
    free_ports,
    is_root,
    listens,
    running,
    write_conf,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

APACHE_MODULES = Path("/usr/lib/apache2/modules")
APACHE_LOADS = (
    "mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic",
    "auth_digest", "dav", "dav_fs", "dav_lock", "mime", "alias", "env",
)  # fmt: skip


@dataclass(frozen=True)
class Dav:
    """A running WebDAV server.

    Attributes:
        url: Root of the collection, with basic auth.
        digest_url: The same collection, with digest auth.
        data: The directory it serves.
    """

    url: str
    digest_url: str
    data: Path
    user: str = "alice"
    password: str = "s3cret"


@contextlib.contextmanager
def serve_apache(directory: Path) -> Iterator[Dav]:
    """Run Apache httpd with mod_dav in a directory of its own."""
    program = find_program("apache2", "apache")
    if not (APACHE_MODULES / "mod_dav_fs.so").exists():
        raise MissingServerError("apache with mod_dav")
    data, run = directory / "data", directory / "run"
    for needed in (data, run):
        needed.mkdir(parents=True)
        if is_root():  # Apache refuses to serve as root
            shutil.chown(needed, "www-data", "www-data")
    _write_apache_passwords(directory)
    (port,) = free_ports(1)
    values = {
        "dir": directory, "data": data, "run": run, "port": port,
        "user": "User www-data\nGroup www-data" if is_root() else "",
        "modules": "\n".join(
            f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in APACHE_LOADS
        ),
    }  # fmt: skip
    conf = write_conf("apache.conf", directory / "apache.conf", values)
    with running((program, "-f", conf, "-DFOREGROUND"), lambda: listens(port), directory / "log"):
        url = f"http://127.0.0.1:{port}"
        yield Dav(url, f"{url}/digest", data)


def _write_apache_passwords(directory: Path) -> None:
    digest = hashlib.sha1(Dav.password.encode(), usedforsecurity=False).digest()
    (directory / "htpasswd").write_text(f"{Dav.user}:{{SHA}}{base64.b64encode(digest).decode()}\n")
    known = f"{Dav.user}:realm:{Dav.password}".encode()
    secret = hashlib.md5(known, usedforsecurity=False).hexdigest()
    (directory / "htdigest").write_text(f"{Dav.user}:realm:{secret}\n")


@contextlib.contextmanager
def serve_wsgidav(directory: Path) -> Iterator[Dav]:
    """Run WsgiDAV in a directory of its own; it takes basic and digest at one URL."""
    program = find_program("wsgidav", "wsgidav")
    data = directory / "data"
    data.mkdir(parents=True)
    (port,) = free_ports(1)
    conf = {
        "host": "127.0.0.1",
        "port": port,
        "provider_mapping": {"/": str(data)},
        "http_authenticator": {"accept_basic": True, "accept_digest": True},
        "simple_dc": {"user_mapping": {"*": {Dav.user: {"password": Dav.password}}}},
    }
    path = directory / "wsgidav.json"
    path.write_text(json.dumps(conf))
    with running((program, "-c", path), lambda: listens(port), directory / "log"):
        url = f"http://127.0.0.1:{port}"
        yield Dav(url, url, data)
