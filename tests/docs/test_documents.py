"""What the documents list is what there is."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from webhook_storage import errors
from webhook_storage.cli.commands import app
from webhook_storage.filters import FILTERS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PROMPT = "$ webhook-storage "


def words_of_first_cells(document: Path, heading: str) -> set[str]:
    """All words in code in the first cells of the table below a heading."""
    section = document.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (.*?) \|", section, flags=re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`(.*?)`", cell)}


def entry_points(group: str) -> dict[str, str]:
    """The plug-ins of this distribution in a group, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points: dict[str, str] = project["entry-points"][group]
    return points


def command_lines(text: str) -> list[str]:
    """All calls of our command in blocks for a terminal."""
    blocks = re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT)]


def parse_command(line: str) -> None:
    """Let the command's own parser read a line; it raises at what it does not know."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    name, *rest = itertools.takewhile(lambda word: word not in {"|", ">", "<"}, words)
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    group.commands[name].make_context(name, rest)


def test_index() -> None:
    """Every page is linked from the index."""
    index = (ROOT / "docs/index.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert set() == {page for page in pages if f"({page})" not in index}


def test_errors() -> None:
    """The table of errors holds every error of the tree, and none besides."""
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.WebhookStorageError)
    }
    listed = words_of_first_cells(ROOT / "docs/errors.md", "The tree")
    assert kinds - {"WebhookStorageError"} == listed


def test_filters() -> None:
    """The table of filters holds every filter, and none besides."""
    assert set(FILTERS) == words_of_first_cells(ROOT / "docs/templates.md", "Filters")


def test_auth() -> None:
    """The table of kinds of auth holds every one, and none besides."""
    section = (ROOT / "docs/auth.md").read_text().split("\n## The kinds\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert sorted(entry_points("webhook_storage.auth")) == sorted(rows)


def test_presets() -> None:
    """The table of presets holds every preset, and none besides; `Webhook` has its own page."""
    section = (ROOT / "presets/README.md").read_text().split("\n## What there is\n")[1]
    rows = re.findall(r"^\| `(\w+\.\w+)` \|", section, flags=re.MULTILINE)
    values = set(entry_points("webhook_storage.presets").values()) - {
        "webhook_storage.webhook:Webhook"
    }
    named = {value.removeprefix("webhook_storage_presets.").replace(":", ".") for value in values}
    assert sorted(named) == sorted(rows)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands(document: Path) -> None:
    """Every call of the command in a document is one that the command understands."""
    for line in command_lines(document.read_text()):
        parse_command(line)


def test_an_unknown_option_is_found() -> None:
    """The check itself can fail: an option that does not exist is noticed."""
    (line,) = command_lines("```console\n$ webhook-storage check --colour a.json\n```\n")
    with pytest.raises(Exception, match="--colour"):
        parse_command(line)
