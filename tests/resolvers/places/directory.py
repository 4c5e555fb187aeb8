"""A directory as Kubernetes mounts one, with one secret."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.resolvers.places import Environment, without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.directory import DirectoryResolver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def mount(directory: Path, secrets: Mapping[str, str], generation: int = 0) -> None:
    """Write the secrets of a mount as the kubelet does: all at once, by swapping one link."""
    written = directory / f"..2026_11_20_10_00_{generation:02}.123456789"
    written.mkdir(parents=True)
    for name, text in secrets.items():
        (written / name).write_text(text)
        (written / name).chmod(0o644)
    (directory / "..data_tmp").symlink_to(written.name)
    (directory / "..data_tmp").replace(directory / "..data")
    for name in secrets:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")


@contextmanager
def directory(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Let ``CREDENTIALS_DIRECTORY`` name a mount with ``api-token`` in it.

    Nobody may read the ``api-token`` in ``refused``, and nobody writes into that in ``silent``.
    """
    without_proxies(environment, "CREDENTIALS_DIRECTORY")
    value = canary()
    mount(tmp_path / "mounted", {"api-token": f"{value}\n"})
    mount(tmp_path / "refused", {"api-token": f"{value}\n"})
    (tmp_path / "refused" / "api-token").chmod(0)
    (tmp_path / "silent").mkdir()
    os.mkfifo(tmp_path / "silent" / "api-token", mode=0o600)
    environment.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "mounted"))
    refused = DirectoryResolver(paths=[tmp_path / "refused"])
    yield ResolverCase(
        resolver=DirectoryResolver(),
        present=Reference("api-token", "directory"),
        value=value,
        absent=Reference("nobody-wrote-this", "directory"),
        refused=refused if os.geteuid() else None,  # root may read every file
        hanging=DirectoryResolver(paths=[tmp_path / "silent"]),
    )
