"""The examples run as they are written, with the vendor's address leading to a fake."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.rerouting import dropbox_account
from webhook_storage import Sender, Storage
from webhook_storage.errors import AuthenticationError, ConnectError, ObjectNotFoundError

EXAMPLES = Path(__file__).parents[2] / "examples"


def _run(name: str) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def _names(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


class TestByPlainKwargs:
    """examples/dropbox_webhook.py."""

    def test_stores_and_runs_a_flow(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The program stores one file, fetches it and prints what the flow returned."""
        with dropbox_account() as fake:
            _run("dropbox_webhook.py")
        assert ["/apps/flows/word-count.flow"] == list(fake.files)
        assert "5 words" == capsys.readouterr().out.splitlines()[-1]

    def test_sends_what_dropbox_asks_for(self) -> None:
        """Each request has the token, and its argument in JSON with the flow's slug in place."""
        with dropbox_account() as fake:
            _run("dropbox_webhook.py")
        place = "/Apps/flows/word-count.flow"
        arguments = [json.loads(request.headers["dropbox-api-arg"]) for request in fake.requests]
        assert [{"path": place, "mode": "overwrite", "mute": True}, {"path": place}] == arguments
        assert {f"Bearer {fake.token}"} == {one.headers["authorization"] for one in fake.requests}

    def test_prints_no_token(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The definition names the token's variable and does not hold the token."""
        with dropbox_account(token="sl.valid"):
            _run("dropbox_webhook.py")
        printed = capsys.readouterr().out
        assert (True, False) == ("${DBOX_OAUTH2_TOKEN}" in printed, "sl.valid" in printed)

    def test_stores_nothing_with_a_wrong_token(self) -> None:
        """The same program with another token ends with an error that says so."""
        with dropbox_account(token="sl.canary") as fake:
            with pytest.raises(AuthenticationError, match="invalid_access_token") as caught:
                _run("dropbox_webhook.py")
            assert ({}, False) == (fake.files, "canary" in str(caught.value))

    def test_fetches_nothing_with_an_expired_token(self) -> None:
        """A token that expires after the store fetches no flow."""
        example = _names("dropbox_webhook.py")
        with dropbox_account() as fake:
            storage = example["dropbox"]("/Apps/flows")
            storage.add_flow(example["word_count"])
            storage.build()
            fake.expire_tokens()
            with pytest.raises(AuthenticationError, match="expired_access_token"):
                storage.get_flow("word_count")

    @pytest.mark.parametrize("folder", ["/Größe/\N{SNOWMAN}", '/a "b" \\c', "/a $$5"])
    async def test_takes_any_folder(self, folder: str) -> None:
        """A folder's name changes nothing around it, and the twins for event loops do the same."""
        example = _names("dropbox_webhook.py")
        with dropbox_account() as fake:
            storage = example["dropbox"](folder)
            storage.add_flow(example["word_count"])
            fresh = Storage.from_json((await storage.abuild()).to_json())
            flow = await fresh.aget_flow("word_count")
        expected = f"{folder.replace('$$', '$')}/word-count.flow"
        assert ([expected], 2) == ([one.path for one in fake.files.values()], flow("a b"))


class TestByThePreset:
    """examples/dropbox_preset.py."""

    def test_stores_lists_fetches_and_deletes(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The program leaves the flow and takes its report away."""
        with dropbox_account() as fake:
            _run("dropbox_preset.py")
        lines = capsys.readouterr().out.splitlines()
        assert ["/apps/flows/mean.flow"] == list(fake.files)
        assert {"there are ['2026/week 34.csv']", "still there: False", "mean: 3.0"} <= {*lines}

    def test_stores_nothing_with_a_wrong_token(self) -> None:
        """The same program with another token ends with an error that says so."""
        with dropbox_account(token="sl.canary") as fake:
            with pytest.raises(AuthenticationError, match="invalid_access_token"):
                _run("dropbox_preset.py")
            assert {} == fake.files


class TestRerouting:
    """The detour that these tests take."""

    def test_ends_with_its_block(self) -> None:
        """Afterwards neither the token nor the way to the fake is there."""
        with dropbox_account() as fake:
            sender = Sender()
            storage = _names("dropbox_webhook.py")["dropbox"]("/Apps/flows")
        storage.add_flow(len)
        with sender, pytest.raises(LookupError, match="DBOX_OAUTH2_TOKEN"):
            storage.build()
        assert [] == fake.requests

    def test_leads_nowhere_else(self) -> None:
        """A request to another host is refused instead of sent."""
        example = _names("dropbox_webhook.py")["dropbox"]("/Apps/flows")
        text = example.to_json().replace("content.dropboxapi.com", "content.example.com")
        storage = Storage.from_json(text)
        storage.add_flow(len)
        with dropbox_account() as fake, pytest.raises(ConnectError, match="no route"):
            storage.build()
        assert [] == fake.requests

    def test_tells_what_is_not_there(self) -> None:
        """What nobody stored is reported by the preset through the same detour."""
        preset = _names("dropbox_preset.py")["Dropbox"](path="/a/${artifact.key}")
        with dropbox_account(), pytest.raises(ObjectNotFoundError):
            preset.get("nothing")


def test_the_examples_use_what_is_exported() -> None:
    """A reader can copy an example without reaching into the library's inside."""
    imported = {
        node.module
        for name in ("dropbox_webhook.py", "dropbox_preset.py")
        for node in ast.walk(ast.parse((EXAMPLES / name).read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert {"__future__", "webhook_storage", "webhook_storage_presets.dropbox"} == imported
