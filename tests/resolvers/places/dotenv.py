"""A .env file in the current directory, with one secret."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.resolvers.places import Environment, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.dotenv import DotenvResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def dotenv(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Enter a directory whose ``.env`` has ``API_TOKEN``.

    Nobody may read the file ``refused.env`` there, and nobody writes into the pipe ``silent.env``.
    """
    without_proxies(environment, "PYTHON_DOTENV_DISABLED")
    environment.chdir(tmp_path)
    value = canary()
    for name, mode in {".env": 0o600, "refused.env": 0}.items():
        (tmp_path / name).write_text(f"API_TOKEN='{value}'\n")
        (tmp_path / name).chmod(mode)
    os.mkfifo(tmp_path / "silent.env", mode=0o600)
    refused = DotenvResolver(path=tmp_path / "refused.env")
    yield ResolverCase(
        resolver=DotenvResolver(),
        present=Reference("API_TOKEN", "dotenv"),
        value=value,
        absent=Reference("NOBODY_SET_THIS", "dotenv"),
        refused=refused if os.geteuid() else None,  # root may read every file
        hanging=DotenvResolver(path=tmp_path / "silent.env"),
    )
