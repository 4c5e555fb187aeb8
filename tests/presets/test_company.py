"""A company's own preset is found by its entry point, and held to what all presets promise."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer
from webhook_storage import Storage
from webhook_storage.errors import ConfigurationError, UnknownPluginError
from webhook_storage.testing import PresetCase, PresetSuite, canary, preset_suite
from webhook_storage.testing.preset_case import ODD_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = canary()
MODULE = '''
from webhook_storage.contracts import PLAIN, Request
from webhook_storage.errors import ConfigurationError
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.storage import Storage, cannot_hold


class CompanyFiles(Storage):
    """Files of the company."""

    url: str
    token: str = "${COMPANY_TOKEN}"

    def request(self, method, facts, **more):
        url = f"{self.url}/flows/${{artifact.key|path}}"
        headers = {"Authorization": f"Bearer {self.token}"}
        return Request(method=method, url=url, headers=headers, facts=facts, **more)

    def store_exchange(self, body, facts, options=PLAIN):
        cannot_hold(options, "if_absent", "the company's service replaces what is there")
        request = self.request("PUT", facts, body=body)
        response = yield request
        return Receipt.of(request.url, body, facts, version=response.headers["etag"])

    def fetch_exchange(self, facts, sink):
        return (yield self.request("GET", facts, sink=sink))

    def stat_exchange(self, facts):
        response = yield self.request("HEAD", facts, returns=frozenset({404}))
        return None if response.status == 404 else Stat(version=response.headers["etag"])

    def delete_exchange(self, facts):
        yield self.request("DELETE", facts)

    def list_exchange(self, facts):
        raise ConfigurationError("the company's service knows no list")

    def naming_facts(self):
        return frozenset({"artifact.key"})
'''
BROKEN = "from nowhere_to_be_found import Files"


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install what a company has: a preset, one that cannot be imported, and one that is none."""
    site = tmp_path_factory.mktemp("site")
    (site / "company_files.py").write_text(MODULE)
    (site / "company_broken.py").write_text(BROKEN)
    metadata = site / "company_files-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: company-files\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[webhook_storage.presets]\n"
        "CompanyFiles = company_files:CompanyFiles\n"
        "CompanyBroken = company_broken:Files\n"
        "CompanyNumber = company_files:PLAIN\n"
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
        yield
    sys.modules.pop("company_files", None)


@pytest.fixture
def case() -> Iterator[PresetCase]:
    """Load the preset by its name from JSON, on a real server."""
    with FileService(token=TOKEN) as service:
        definition = json.dumps({"type": "CompanyFiles", "version": 1, "url": service.url})
        yield PresetCase(
            storage=Storage.from_json(definition),
            secrets={"COMPANY_TOKEN": TOKEN},
            wrong={"COMPANY_TOKEN": canary()},
            create_only=False,
            replaces=False,
            lists=False,
            odd_keys=(*ODD_KEYS, "line\nbreak", "nul\0"),
            refused_keys=("../up", "a/./b"),
            trouble=lambda status: service.inject(Answer(status)),
            lose=service.lose_answer,
        )


class TestCompanyFiles(PresetSuite):
    """The whole contract, each promise as a test."""

    @pytest.fixture
    def case(self, case: PresetCase) -> PresetCase:
        """Take that of all tests here."""
        return case


def test_the_function_holds_it_to_the_same(case: PresetCase) -> None:
    """Who has no pytest calls the function."""
    preset_suite(case)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("CompanyFile", "CompanyFiles"), ("companyfiles", "CompanyFiles"), ("Dropbx", "Dropbox")],
)
def test_an_unknown_name_is_told_with_the_nearest(word: str, meant: str) -> None:
    """In one line, with all that are installed, and where others come from."""
    with pytest.raises(UnknownPluginError) as caught:
        Storage.from_dict({"type": word})
    line = str(caught.value)
    assert line.startswith(f'There is no preset "{word}". Did you mean "{meant}"? Installed: ')
    assert "CompanyFiles" in line
    assert "\n" not in line
    assert caught.value.hint is not None
    assert "webhook_storage.presets" in caught.value.hint


def test_a_name_that_is_like_no_other() -> None:
    """Nothing is guessed."""
    with pytest.raises(UnknownPluginError) as caught:
        Storage.from_dict({"type": "Zzzzzz"})
    assert str(caught.value).startswith('There is no preset "Zzzzzz". Installed: Artifactory, ')


def test_one_that_cannot_be_imported_is_named() -> None:
    """With its distribution, and the module that is missing."""
    with pytest.raises(ConfigurationError) as caught:
        Storage.from_dict({"type": "CompanyBroken"})
    assert (
        'The preset "CompanyBroken" of the distribution company-files cannot be imported: '
        'there is no module "nowhere_to_be_found".'
    ) == str(caught.value)


def test_what_is_no_storage_is_refused() -> None:
    """An entry point that leads to something else is told by its name."""
    with pytest.raises(ConfigurationError) as caught:
        Storage.from_dict({"type": "CompanyNumber"})
    assert "type: the preset 'CompanyNumber' is no storage" == str(caught.value)
