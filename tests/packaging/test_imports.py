"""Importing the library, or one of its plug-ins, imports no vendor's library."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest

VENDORS = [
    "aiohttp", "azure", "boto3", "botocore", "cryptography", "google.auth", "google.cloud", "grpc",
    "hvac", "jeepney", "keyring", "msal", "onepassword", "prefect", "requests", "secretstorage",
    "urllib3",
]  # fmt: skip
"""What extras bring, and what these bring along."""

PROGRAM = """
import importlib, json, sys

names, vendors = json.load(sys.stdin)
imported, known = {}, set(sys.modules)
for name in names:
    try:
        importlib.import_module(name)
        fault = []
    except Exception as error:
        fault = [f"{type(error).__name__}: {error}"]
    new = set(sys.modules) - known
    imported[name] = fault + [vendor for vendor in vendors if vendor in new]
    known |= new
print(json.dumps(imported))
"""

ENTRIES = metadata.distribution("webhook-storage").entry_points
MODULES = [
    "webhook_storage",
    "webhook_storage.cli",
    "webhook_storage.testing",
    *sorted({each.module for each in ENTRIES if each.group.startswith("webhook_storage.")}),
]
"""What users import, and what is imported for them when a definition or configuration names it."""


def brought_along(modules: list[str]) -> dict[str, list[str]]:
    """Import one module after the other in a new process; return what each brought along."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([modules, VENDORS]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    result: dict[str, list[str]] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """Import all of them."""
    return brought_along(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_an_import_is_free(imported: dict[str, list[str]], module: str) -> None:
    """A vendor's library is imported when a store is asked, and not before."""
    assert [] == imported[module]


def test_an_import_that_is_not_free_would_be_seen() -> None:
    """The search finds what it looks for, and goes on where there is nothing to import."""
    expected = {
        "no_such_module": ["ModuleNotFoundError: No module named 'no_such_module'"],
        "json": [],
        "requests.adapters": ["requests", "urllib3"],
    }
    assert expected == brought_along(list(expected))
