"""What every test and every documented example shares: servers, and a clean environment."""

from __future__ import annotations

import gc
import os
from itertools import count
from typing import TYPE_CHECKING

import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.integration.pytest import SybilItem
from sybil.parsers import markdown, rest
from sybil.sybil import SybilCollection

from webhook_storage import sender

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["tests.fleet.fixtures", "tests.docs.fixtures"]

# What the machine of a test run may have set, and what would change how we behave.
FOREIGN_PREFIXES = (
    "AWS_", "AZURE_", "BAO_", "CLOUDSDK_", "DOPPLER_", "GCE_", "GCLOUD_", "GOOGLE_", "INFISICAL_",
    "KUBERNETES_", "OP_", "PREFECT_",
    "PYTHON_KEYRING_", "VAULT_", "WEBHOOK_STORAGE_",
)  # fmt: skip
FOREIGN_NAMES = {
    "ALL_PROXY", "CURL_CA_BUNDLE", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NETRC", "NO_PROXY",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE",
}  # fmt: skip
HOMES = ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


def _enter_clean_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in list(os.environ):
        if name.upper() in FOREIGN_NAMES or name.startswith(FOREIGN_PREFIXES):
            monkeypatch.delenv(name)
    home, current = folder / "home", folder / "cwd"
    home.mkdir(parents=True)
    for name in HOMES:
        monkeypatch.setenv(name, str(home))
    # An empty directory: no .env is found, and nothing is written into the checkout.
    current.mkdir()
    monkeypatch.chdir(current)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Name new folders; to have pytest number them takes longer the more there are."""
    root = tmp_path_factory.mktemp("clean")
    return (root / str(number) for number in count())


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, folders: Iterator[Path]) -> None:
    """Run each test without the machine's proxies, credentials, home and directory."""
    _enter_clean_environment(monkeypatch, next(folders))


@pytest.fixture(autouse=True)
def no_sender_of_an_earlier_test() -> Iterator[None]:
    """Leave no sender behind, nor its connections: the next server may get the same port."""
    before = sender._installed
    yield
    if sender._installed is not None:
        sender._installed.close()
    sender._installed = before


@pytest.fixture(scope="module")
def document_environment(folders: Iterator[Path]) -> Iterator[None]:
    """Run the examples of one document in one clean environment, as a reader does."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _enter_clean_environment(monkeypatch, next(folders))
        yield


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the random order for tests, and the written order for the examples of a document."""

    def place(item: pytest.Item) -> tuple[str, int]:
        return (str(item.path), item.example.line) if isinstance(item, SybilItem) else ("", 0)

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of each search for garbage."""
    gc.collect()
    gc.freeze()


documents = Sybil(
    parsers=[markdown.PythonCodeBlockParser(), markdown.SkipParser()],
    patterns=["*/*.md"],
    excludes=["docs/stores.md"],
    fixtures=["documented_services"],
)
first_pages = Sybil(
    parsers=[markdown.PythonCodeBlockParser(), markdown.SkipParser()],
    patterns=["*.md"],
    excludes=["*/*.md"],
    fixtures=["documented_clouds"],
)
stores = Sybil(
    parsers=[markdown.PythonCodeBlockParser(), markdown.SkipParser()],
    patterns=["docs/stores.md"],
    fixtures=["documented_stores"],
)
docstrings = Sybil(
    parsers=[rest.DocTestParser(), rest.SkipParser()],
    patterns=["*.py"],
    excludes=["tests/*", "conftest.py"],
    fixtures=["documented_services"],
    document_types={".py": PythonDocStringDocument},
)
pytest_collect_file = SybilCollection([documents, first_pages, stores, docstrings]).pytest()
