"""A plain nginx on a free loopback port: PUT, GET, connections that are kept."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fleet.process import find_program, free_ports, is_root, listens, running

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONF = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type application/octet-stream;
  keepalive_requests 10000000;
  server {{
    listen 127.0.0.1:{port};
    root {directory}/data;
    location / {{ dav_methods PUT; create_full_put_path on; }}
  }}
}}
"""


@contextlib.contextmanager
def serve_nginx() -> Iterator[str]:
    """Run nginx in a directory of its own and give its origin.

    Raises:
        MissingServerError: When it is not installed.
    """
    program = find_program("nginx", "nginx")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        directory = Path(name)
        (directory / "data").mkdir()
        (port,) = free_ports(1)
        user = "user root;" if is_root() else ""
        conf = directory / "nginx.conf"
        conf.write_text(_CONF.format(user=user, directory=directory, port=port))
        command = (program, "-p", directory, "-e", directory / "error.log", "-c", conf)
        with running(command, lambda: listens(port), directory / "log"):
            yield f"http://127.0.0.1:{port}"
