"""``serve``: the embedded file server, until somebody ends it."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from webhook_storage.errors import ConfigurationError
from webhook_storage.server import Server

if TYPE_CHECKING:
    from pathlib import Path


def run(
    directory: Path, host: str, port: int, user: str, variable: str | None, *, allow_remote: bool
) -> None:
    """Serve until Ctrl-C, which is its ordinary end.

    Raises:
        ConfigurationError: When the variable for the password is not set.
    """
    password = None
    if variable is not None:
        password = os.environ.get(variable)
        if not password:
            message = f"the environment variable {variable} holds no password"
            raise ConfigurationError(message, hint="set it, or leave --password-variable out")
    server = Server(
        directory, user=user, password=password, host=host, port=port, allow_remote=allow_remote
    )
    with server:
        _announce(server, shown=variable is None)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.stdout.write("ended\n")


def _announce(server: Server, *, shown: bool) -> None:
    """Say where it is; a password that was made here is shown, since nobody else knows it."""
    lines = [f"url       {server.url}", f"user      {server.user}"]
    if shown:
        lines.append(f"password  {server.password}")
    sys.stdout.write("\n".join([*lines, "Ctrl-C ends it.", ""]))
    sys.stdout.flush()
