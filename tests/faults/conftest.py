"""The table, and the servers that it is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import pytest

from tests.faults.parted import Parted, in_registry, in_swift
from tests.faults.places import Place, on_apache, on_blobs, on_nginx, on_registry, on_swift
from tests.faults.table import DOCUMENT, WRITE, Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.terminal import TerminalReporter

    from tests.faults.seen import Seen
    from tests.fleet.dav import Dav
    from tests.fleet.nginx import Nginx
    from tests.fleet.registry import Registry
    from tests.fleet.swift import Swift

HERE = Path(__file__).parent
TABLE = pytest.StashKey[Table]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer to write the table."""
    parser.addoption(
        WRITE, action="store_true", help="write what the tests saw into docs/faults.md"
    )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the table, or say which of its rows nobody has seen."""
    table = session.config.stash.get(TABLE, None)
    if table is None:
        return
    whole = not exitstatus and _is_whole(session)
    if session.config.getoption(WRITE, default=False):
        table.write(all_seen=whole)
    elif whole and table.unseen():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = _reporter(session)
        reporter.write_line(f"\nno test shows these rows; run: pytest tests/faults {WRITE}")
        for row in table.unseen():
            reporter.write_line(str(row))


def _reporter(session: pytest.Session) -> TerminalReporter:
    return cast("TerminalReporter", session.config.pluginmanager.get_plugin("terminalreporter"))


def _is_whole(session: pytest.Session) -> bool:
    """Tell whether every test of this directory was run and none was skipped."""
    files = {item.path for item in session.items if item.path.parent == HERE}
    selected = any("::" in argument for argument in session.config.args)
    stats = _reporter(session).stats
    left_out = stats.get("skipped") or stats.get("deselected")
    return files == set(HERE.glob("test_*.py")) and not selected and not left_out


class TakeRow(Protocol):
    """Put what a test saw into the table."""

    def __call__(self, fault: str, direction: str, server: str, seen: Seen) -> None:
        """Compare it with the documentation."""


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """The table of faults."""
    table = Table(DOCUMENT, writing=pytestconfig.getoption(WRITE, default=False))
    pytestconfig.stash[TABLE] = table
    return table


@pytest.fixture
def row(table: Table) -> TakeRow:
    """Ends a test: its row of the table."""

    def take(fault: str, direction: str, server: str, seen: Seen) -> None:
        outcome, attempts, there = seen
        table.check(Row(fault, direction, server, outcome, str(attempts), there))

    return take


@pytest.fixture(scope="session")
def at_nginx(nginx: Nginx) -> Place:
    """A place on nginx."""
    return on_nginx(nginx)


@pytest.fixture(scope="session")
def at_apache(apache: Dav) -> Place:
    """A place on Apache."""
    return on_apache(apache)


@pytest.fixture(scope="session")
def at_swift(swift: Swift) -> Iterator[Place]:
    """A place on Swift."""
    with on_swift(swift) as place:
        yield place


@pytest.fixture(scope="session")
def at_registry(registry: Registry) -> Place:
    """A place on docker-registry."""
    return on_registry(registry)


@pytest.fixture(scope="session")
def at_blobs(registry: Registry) -> Place:
    """A place on docker-registry from which one fetches."""
    return on_blobs(registry)


@pytest.fixture(scope="session")
def registry_parts(registry: Registry) -> Parted:
    """A place on docker-registry, which takes parts one after the other."""
    return in_registry(registry)


@pytest.fixture(scope="session")
def swift_parts(swift: Swift) -> Iterator[Parted]:
    """A place on Swift, which takes parts by their numbers."""
    with in_swift(swift) as parted:
        yield parted
