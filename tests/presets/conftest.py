"""Servers that the tests of presets share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet.azurite import Azurite, serve_azurite
from tests.fleet.fixtures import required

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def azurite(fleet_directory: Path) -> Iterator[Azurite]:
    """Azure Blob Storage that verifies each signature."""
    with required(), serve_azurite(fleet_directory / "azurite") as server:
        yield server
