"""The test servers as fixtures: started when first asked for, ended with the test run.

A server that is not installed skips the tests that need it, and the last line of the run says so;
where `CI` is set it fails them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.fleet.azurite import Azurite, serve_azurite
from tests.fleet.dav import Dav, serve_apache, serve_wsgidav
from tests.fleet.gcs import GcsEmulator, serve_gcs
from tests.fleet.mitm import Mitm, serve_mitm
from tests.fleet.moto import Moto, shared_moto
from tests.fleet.nginx import Nginx, serve_nginx
from tests.fleet.pki import Pki, create_pki
from tests.fleet.process import MissingServerError
from tests.fleet.rclone import Rclone, serve_rclone
from tests.fleet.recorder import Recorder, serve_recorder
from tests.fleet.registry import Registry, serve_registry
from tests.fleet.swift import Swift, serve_swift
from tests.fleet.tcpfault import Mode, Plan, TcpFault, serve_tcpfault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _pytest.terminal import TerminalReporter


@contextlib.contextmanager
def required() -> Iterator[None]:
    """Turn a missing server into a skip, or into a failure where everything must be there."""
    try:
        yield
    except MissingServerError as error:
        outcome = pytest.fail if os.environ.get("CI") else pytest.skip
        outcome(str(error))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Say last of all how many tests did not run, and for want of what."""
    reporter: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in skipped
        if isinstance(report.longrepr, tuple) and "missing server: " in report.longrepr[2]
    )
    if reporter and reasons:
        listed = "; ".join(f"{count} for {reason}" for reason, count in sorted(reasons.items()))
        reporter.write_line(f"NOT RUN, {reasons.total()} tests: {listed}", yellow=True, bold=True)


@contextlib.contextmanager
def _own_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="own-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def fleet_directory() -> Iterator[Path]:
    """Where the servers keep their files; those that drop root's rights must reach it too."""
    with _own_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def pki(fleet_directory: Path) -> Pki:
    """A test authority, its certificates, and a foreign one."""
    return create_pki(fleet_directory / "pki")


@pytest.fixture(scope="session")
def nginx(fleet_directory: Path, pki: Pki) -> Iterator[Nginx]:
    """Plain PUT and GET, several kinds of credentials, TLS, unwelcome answers."""
    with required(), serve_nginx(fleet_directory / "nginx", pki) as server:
        yield server


@pytest.fixture(scope="session")
def apache(fleet_directory: Path) -> Iterator[Dav]:
    """WebDAV with conditional writes, basic and digest."""
    with required(), serve_apache(fleet_directory / "apache") as server:
        yield server


@pytest.fixture(scope="session")
def wsgidav(fleet_directory: Path) -> Iterator[Dav]:
    """WebDAV by another code base."""
    with required(), serve_wsgidav(fleet_directory / "wsgidav") as server:
        yield server


@pytest.fixture(scope="session")
def swift(fleet_directory: Path) -> Iterator[Swift]:
    """Object storage with its own API and S3."""
    with required(), serve_swift(fleet_directory / "swift") as server:
        yield server


@pytest.fixture(scope="session")
def azurite(fleet_directory: Path) -> Iterator[Azurite]:
    """Azure Blob Storage that verifies each signature."""
    with required(), serve_azurite(fleet_directory / "azurite") as server:
        yield server


@pytest.fixture(scope="session")
def gcs(fleet_directory: Path) -> Iterator[GcsEmulator]:
    """Google's Cloud Storage, which asks for no token."""
    with required(), serve_gcs(fleet_directory / "gcs") as server:
        yield server


@pytest.fixture(scope="session")
def rclone(fleet_directory: Path) -> Iterator[Rclone]:
    """S3 with folders of a directory as buckets."""
    with required(), serve_rclone(fleet_directory / "rclone") as server:
        yield server


@pytest.fixture(scope="session")
def registry(fleet_directory: Path) -> Iterator[Registry]:
    """A registry of artifacts by digest and tag, which checks the digests."""
    with required(), serve_registry(fleet_directory / "registry") as server:
        yield server


@pytest.fixture
def mortal_nginx(pki: Pki) -> Iterator[Nginx]:
    """An nginx of the test's own, to be killed and started again."""
    with _own_directory() as directory, required(), serve_nginx(directory / "own", pki) as server:
        yield server


@pytest.fixture
def mortal_registry() -> Iterator[Registry]:
    """A registry of the test's own, to be killed and started again."""
    with _own_directory() as directory, required(), serve_registry(directory / "own") as server:
        yield server


@pytest.fixture(scope="session")
def mitm(fleet_directory: Path) -> Iterator[Mitm]:
    """A proxy that spoils what goes through it."""
    with required(), serve_mitm(fleet_directory / "mitm") as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Moto:
    """Secrets Manager, Parameter Store and S3, whose users have keys and rights."""
    with required():
        return shared_moto()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """An origin that remembers what it was sent and answers from a script."""
    with serve_recorder() as server:
        yield server


class StartTcpFault(Protocol):
    """Put a relay with a fault in front of a loopback port."""

    def __call__(
        self,
        upstream: int,
        mode: Mode,
        after: int = 0,
        times: int | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> TcpFault:
        """Start it, see `Plan`; it ends with the test."""


@pytest.fixture
def tcpfault() -> Iterator[StartTcpFault]:
    """A factory of relays that break connections."""
    with contextlib.ExitStack() as relays:

        def start(*plan: Any, **more: Any) -> TcpFault:
            return relays.enter_context(serve_tcpfault(Plan(*plan, **more)))

        yield start
