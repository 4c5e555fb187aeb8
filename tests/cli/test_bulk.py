"""Many artifacts at once from the command line."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import assert_two_lines, write_definition
from webhook_storage.cli import bulk, main
from webhook_storage.errors import ConfigurationError
from webhook_storage.testing import find_leaks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run, Service

FILES = {"a.txt": b"1", "sub/b.txt": b"22", "sub/deep/c d.txt": b"333"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three files."""
    return make_files(tmp_path / "folder", FILES)


def make_files(folder: Path, contents: dict[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def outcomes(text: str) -> dict[str, str]:
    """Return what came of each key, as a report says."""
    return {item["key"]: item["outcome"] for item in json.loads(text)["items"]}


def test_a_folder_there_and_back(
    run: Run, definition: Path, service: Service, folder: Path, tmp_path: Path
) -> None:
    """Files of a folder have its paths as keys, and `get-many` makes the same folder of them."""
    stored = run("put-many", definition, folder)
    assert (0, "") == (stored.code, stored.err)
    assert dict.fromkeys(FILES, "stored") == outcomes(stored.out)
    assert files(service.directory) == FILES
    fetched = run("get-many", definition, *FILES, "--output", tmp_path / "back")
    assert (0, "") == (fetched.code, fetched.err)
    assert files(tmp_path / "back") == FILES


def test_the_report_is_json(run: Run, definition: Path, folder: Path) -> None:
    """What is printed has the sums, and the receipt of each item."""
    report = json.loads(run("put-many", definition, folder, "--limit", "1").out)
    assert (True, {"stored": 3}, 6, None) == (
        report["ok"], report["counts"], report["transferred"], report["stopped"],
    )  # fmt: skip
    digests = {item["key"]: item["receipt"]["sha256"] for item in report["items"]}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()} == digests


def test_files_and_a_prefix(run: Run, definition: Path, service: Service, folder: Path) -> None:
    """Files that are named have their names as keys, behind what all keys begin with."""
    paths = (folder / "a.txt", folder / "sub")
    assert 0 == run("put-many", definition, *paths, "--prefix", "nightly/").code
    assert {"nightly/a.txt", "nightly/b.txt", "nightly/deep/c d.txt"} == files(
        service.directory
    ).keys()


def test_two_files_of_one_key_are_refused(
    run: Run, definition: Path, service: Service, folder: Path, tmp_path: Path
) -> None:
    """Nothing is sent when one file would be stored over another."""
    other = make_files(tmp_path / "other", {"a.txt": b"another"})
    outcome = run("put-many", definition, folder, other)
    assert (2, {}) == (outcome.code, files(service.directory))
    assert_two_lines(outcome.err)


def test_what_is_not_there_is_refused(
    run: Run, definition: Path, service: Service, folder: Path, tmp_path: Path
) -> None:
    """A path that leads nowhere is a mistake, and nothing is sent."""
    outcome = run("put-many", definition, folder, tmp_path / "missing")
    assert (2, {}) == (outcome.code, files(service.directory))
    assert_two_lines(outcome.err)


def test_links_and_pipes_are_passed_over(
    run: Run, definition: Path, service: Service, folder: Path, tmp_path: Path
) -> None:
    """What a link in a folder leads to was not named, and a pipe never ends; both are told."""
    secret = make_files(tmp_path / "elsewhere", {"secret": b"precious"})
    (folder / "link").symlink_to(secret / "secret")
    (folder / "sub" / "linked").symlink_to(secret)
    os.mkfifo(folder / "pipe")
    outcome = run("put-many", definition, folder)
    assert (0, FILES) == (outcome.code, files(service.directory))
    assert "warning: 3 links and special files in folders are passed over\n" == outcome.err


def test_a_link_that_is_named_is_followed(
    run: Run, definition: Path, service: Service, folder: Path, tmp_path: Path
) -> None:
    """Who names a link means what it leads to."""
    (tmp_path / "named").symlink_to(folder / "a.txt")
    assert 0 == run("put-many", definition, tmp_path / "named").code
    assert {"named": b"1"} == files(service.directory)


def test_a_folder_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is not left out without a word when the system refuses it."""

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        bulk.files_by_key([folder], "")


def test_a_second_time_nothing_is_sent(
    run: Run, definition: Path, folder: Path, tmp_path: Path
) -> None:
    """With a journal, or with the report of the first time, what is there is skipped."""
    journal, report = tmp_path / "journal", tmp_path / "report.json"
    report.write_text(run("put-many", definition, folder, "--journal", journal).out)
    for options in (("--journal", journal), ("--receipts", report), ("--receipts", journal)):
        for trust in ((), ("--trust-receipts",)):
            again = run("put-many", definition, folder, *options, *trust)
            assert (0, dict.fromkeys(FILES, "equal")) == (again.code, outcomes(again.out))


def test_failures_are_told(run: Run, definition: Path, service: Service, tmp_path: Path) -> None:
    """What is there is fetched, the report says what is not, and the exit code is 1."""
    (service.directory / "there").write_bytes(b"1")
    outcome = run("get-many", definition, "there", "gone", "../out", "-o", tmp_path / "back")
    assert 1 == outcome.code
    assert {"there": "fetched", "gone": "failed", "../out": "failed"} == outcomes(outcome.out)
    assert {"there": b"1"} == files(tmp_path / "back")
    assert_two_lines(outcome.err, service.password)
    assert [] == find_leaks(outcome.out, service.password)
    assert outcome.err.startswith("error: 2 of 3 items failed: ")


def test_a_wrong_password_ends_it(
    run: Run, definition: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three refusals no more is tried, and what was not begun is told."""
    monkeypatch.setenv("PASSWORD", "wrong-password-of-this-test")
    make_files(folder, {f"more/{number}": b"x" for number in range(20)})
    outcome = run("put-many", definition, folder, "--limit", "1")
    counts = json.loads(outcome.out)["counts"]
    assert (1, {"failed": 3, "not begun": 20}) == (outcome.code, counts)
    assert "stopped: 3 items failed in a row" in outcome.err
    assert [] == find_leaks(outcome.out + outcome.err, "wrong-password-of-this-test")


def test_all_that_is_listed(run: Run, definition: Path, service: Service, tmp_path: Path) -> None:
    """`--all` fetches what `list` gives."""
    make_files(service.directory, {"a": b"1", "b c": b"22"})
    assert 0 == run("get-many", definition, "--all", "-o", tmp_path / "back").code
    assert {"a": b"1", "b c": b"22"} == files(tmp_path / "back")


def test_all_that_has_a_receipt(
    run: Run, definition: Path, service: Service, folder: Path, tmp_path: Path
) -> None:
    """`--receipts` fetches what was stored, and refuses what has been replaced since."""
    report = tmp_path / "report.json"
    report.write_text(run("put-many", definition, folder).out)
    (service.directory / "a.txt").write_bytes(b"replaced")
    outcome = run("get-many", definition, "--receipts", report, "-o", tmp_path / "back")
    assert 1 == outcome.code
    assert "SHA-256" in outcome.err
    assert FILES.keys() - {"a.txt"} == files(tmp_path / "back").keys()


@pytest.mark.parametrize(
    "arguments", [(), ("key", "--all")], ids=["nothing is named", "keys and all"]
)
def test_what_to_fetch_is_said_once(
    run: Run, definition: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Without keys, and with two ways to name them, nothing is done."""
    outcome = run("get-many", definition, *arguments, "-o", tmp_path / "back")
    assert (2, False) == (outcome.code, (tmp_path / "back").exists())
    assert_two_lines(outcome.err)


@pytest.mark.parametrize("content", ["", "precious", "[]", '{"items": []}', "5\n{}\n"])
def test_what_holds_no_receipts(run: Run, definition: Path, tmp_path: Path, content: str) -> None:
    """Another file than a report or a journal is refused, and not shown."""
    path = tmp_path / "file"
    path.write_text(content)
    outcome = run("get-many", definition, "--receipts", path, "-o", tmp_path / "back")
    assert 2 == outcome.code
    assert_two_lines(outcome.err, "precious")


def test_receipts_that_are_missing(tmp_path: Path) -> None:
    """A file that is not there holds no receipts."""
    with pytest.raises(ConfigurationError, match="holds no receipts"):
        bulk.receipts_in(tmp_path / "missing")


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def test_progress_in_a_terminal(
    definition: Path, service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal a bar shows how many items have ended."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert 0 == main(["put-many", str(definition), str(folder)])
    assert "items" in terminal.getvalue()
    assert files(service.directory) == FILES


@pytest.mark.parametrize(
    ("options", "expected"),
    [((), "use --journal next"), (("--journal", "journal"), "the same command goes on")],
)
def test_an_interruption_says_how_to_go_on(
    run: Run,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    expected: str,
) -> None:
    """Ctrl-C is told as ever, and before that how much was done."""
    monkeypatch.setenv("PASSWORD", "of this test")
    definition = write_definition(tmp_path / "d.json", (tmp_path / "store").as_uri())

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    monkeypatch.setattr(type(tmp_path), "replace", interrupted)
    outcome = run("put-many", definition, folder, *options)
    assert 130 == outcome.code
    warning, *rest = outcome.err.splitlines()
    assert f"warning: 0 of 3 items were done; {expected}" == warning
    assert_two_lines("\n".join(rest))
