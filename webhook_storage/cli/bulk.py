"""Many artifacts at once: which files have which keys, and how far it has come."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from webhook_storage.bulk import get_many, put_many
from webhook_storage.cli.report import say_json, show_error, show_warning
from webhook_storage.errors import BulkError, ConfigurationError
from webhook_storage.receipt import Receipt
from webhook_storage.report import Item, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from webhook_storage.bulk import BulkOptions
    from webhook_storage.sender import Sender
    from webhook_storage.storage import Storage


def put(
    storage: Storage, sender: Sender, paths: Sequence[Path], prefix: str, options: BulkOptions
) -> int:
    """Store files, and what is in folders; print the report and return the exit code."""
    sources = files_by_key(paths, prefix)
    with sender, _told(len(sources), options) as on_item:
        how: BulkOptions = {**options, "on_item": on_item}
        report = put_many(storage, sources, **how)
    return _say(report)


def get(
    storage: Storage,
    sender: Sender,
    keys: Sequence[str | Receipt] | None,
    directory: Path,
    options: BulkOptions,
) -> int:
    """Fetch into a folder what has these keys, or all; print the report and return the exit code.

    Args:
        storage: From where.
        sender: What sends.
        keys: Keys or receipts; None for what the service lists.
        directory: The folder.
        options: How.
    """
    with sender:
        wanted = storage.list() if keys is None else keys
        with _told(len(wanted), options) as on_item:
            how: BulkOptions = {**options, "on_item": on_item}
            report = get_many(storage, wanted, directory, **how)
    return _say(report)


def files_by_key(paths: Sequence[Path], prefix: str) -> dict[str, Path]:
    """Return the files to store by their keys: names, and below folders paths from there.

    Links in folders are not followed: what they lead to was not named.

    Raises:
        ConfigurationError: When a path is not there, or two files have one key.
    """
    found: dict[str, Path] = {}
    passed_over = 0
    for path in paths:
        for name, file in _files(path):
            if file is None:
                passed_over += 1
                continue
            key = prefix + name
            if key in found:
                message = f"{str(found[key])!r} and {str(file)!r} would have the key {key!r}"
                raise ConfigurationError(message, hint="store them by two calls, with --prefix")
            found[key] = file
    if passed_over:
        _warn(f"{passed_over} links and special files in folders are passed over")
    return found


def _files(path: Path) -> Iterator[tuple[str, Path | None]]:
    """Yield name and file of each; None for what is in a folder and no file."""
    if path.is_file():
        yield path.name, path
        return
    if not path.is_dir():
        message = f"there is no file or folder {str(path)!r}"
        raise ConfigurationError(message, hint="give the paths of existing files or folders")
    for folder, folders, names in os.walk(path, onerror=_refuse):
        folders.sort()
        for name in [each for each in folders if Path(folder, each).is_symlink()] + sorted(names):
            file = Path(folder, name)
            plain = file.is_file() and not file.is_symlink()
            yield file.relative_to(path).as_posix(), file if plain else None


def _refuse(error: OSError) -> None:
    raise error  # a folder that cannot be read would else be left out without a word


def receipts_in(path: Path) -> dict[str, Receipt]:
    """Return the receipts in a report or a journal.

    Raises:
        ConfigurationError: When there are none.
    """
    content = path.read_bytes() if path.is_file() else b""
    try:
        receipts = Report.from_json(content).receipts
    except ConfigurationError:
        receipts = dict(_written(content))
    if not receipts:
        message = f"{str(path)!r} holds no receipts"
        raise ConfigurationError(message, hint="give the report or the journal of 'put-many'")
    return receipts


def _written(content: bytes) -> Iterator[tuple[str, Receipt]]:
    """Yield the receipts in a journal."""
    for line in content.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError, ValidationError, RecursionError):
            entry: Mapping[str, Any] = json.loads(line)
            yield entry["key"], Receipt.model_validate(entry["receipt"])


@contextlib.contextmanager
def _told(total: int, options: BulkOptions) -> Iterator[Callable[[Item], object] | None]:
    """Show in a terminal how many items have ended; after an interruption say how to go on."""
    ended = 0

    def count(item: Item) -> None:
        nonlocal ended
        ended += 1
        if show is not None:
            show(item)

    with contextlib.ExitStack() as stack:
        show = stack.enter_context(_bar(total)) if sys.stderr.isatty() else None
        try:
            yield count
        except KeyboardInterrupt:
            how = "the same command goes on" if options.get("journal") else "use --journal next"
            _warn(f"{ended} of {total} items were done; {how}")
            raise


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[Item], object]]:
    """Show a bar."""
    from rich.console import Console  # noqa: PLC0415 - for a terminal only
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("items", total=total)
        yield lambda _: progress.advance(task)


def _warn(message: str) -> None:
    show_warning(message, UserWarning, "", 0)


def _say(report: Report) -> int:
    say_json(report.to_dict())
    try:
        report.raise_for_failures()
    except BulkError as error:
        return show_error(error)
    return 0
