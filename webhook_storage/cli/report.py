"""What the command says: errors in two lines, tables, JSON, and its exit codes."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from webhook_storage.errors import (
    ConfigurationError,
    FlowNotFoundError,
    MissingExtraError,
    ObjectNotFoundError,
    SecretError,
    UnexpectedError,
    WebhookStorageError,
)
from webhook_storage.leaving import presentable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

FAILED = 1
WRONG = 2
NO_SECRET = 3
NOT_FOUND = 4
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_CODES = (
    "Exit codes: 0 done, 1 the operation failed, 2 the command line or the definition is wrong, "
    "3 a secret is missing, forbidden or unavailable, 4 there is no such artifact, 130 interrupted."
)

LARGE = 8 * 1024 * 1024
"""From so many bytes on progress is shown."""

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ObjectNotFoundError, NOT_FOUND),
    (FlowNotFoundError, NOT_FOUND),
    (ConfigurationError, WRONG),
    (MissingExtraError, WRONG),
    (SecretError, NO_SECRET),
    (KeyboardInterrupt, INTERRUPTED),
)
_HINTS = {
    FAILED: "look at the request: webhook-storage render DEFINITION",
    WRONG: "webhook-storage COMMAND --help says how it is called",
    NO_SECRET: "webhook-storage check DEFINITION shows what each resolver answers",
    NOT_FOUND: "is it stored, and is the key right?",
    INTERRUPTED: "no local file was changed; whether a request arrived is not known",
}


def show_error(error: BaseException, *, usage: bool = False) -> int:
    """Tell on standard error what is wrong and what to do, in one line each; return the exit code.

    Args:
        error: Any exception; of one that is not ours only the type and the place are told.
        usage: Whether it tells of a mistake in the command line.
    """
    hint = None
    if usage:
        code, message = WRONG, _format(error)
    elif isinstance(error, KeyboardInterrupt):
        code, message = INTERRUPTED, "interrupted"
    elif isinstance(error, OSError) and error.filename and error.strerror:
        code, message, hint = FAILED, f"{error.filename}: {error.strerror}", "look at this file"
    else:
        shown = presentable(error)
        code = next((code for kind, code in _CODES if isinstance(shown, kind)), FAILED)
        message = str(shown)
        hint = shown.hint if isinstance(shown, WebhookStorageError) else None
        if isinstance(shown, UnexpectedError):
            hint = hint or "please report the line above"
    _say("error", message, "1;31")
    _say("hint", hint or _HINTS[code], "1")
    return code


def show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001 - the signature of warnings.showwarning
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Tell of a warning in one line, without the place in our code."""
    _say("warning", str(message), "1;33")


def say_json(document: object) -> None:
    """Print a document on standard output."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def say_lines(lines: Iterable[str]) -> None:
    """Print names on standard output, one a line; one with control characters as a JSON string."""
    for line in lines:
        sys.stdout.write((line if line.isprintable() else json.dumps(line)) + "\n")


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output: aligned in a terminal, else separated by tabs."""
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(row) + "\n" for row in (columns, *rows))
        return
    from rich import box  # noqa: PLC0415 - for a terminal only
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(table)


_COLOURS = {
    "found": "green",
    "default": "green",
    "not found": "red",
    "empty": "red",
    "forbidden": "red",
    "unavailable": "red",
    "invalid": "red",
}


@contextmanager
def sending(path: Path) -> Iterator[Callable[[int], object] | None]:
    """Show on standard error how much of a file was sent while the ``with`` block runs.

    Yields:
        What is to be told how many bytes were sent; None when nobody watches, or it is small.
    """
    size = path.stat().st_size
    if not sys.stderr.isatty() or size < LARGE:
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - for a terminal only
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn  # noqa: PLC0415

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(path.name, total=size)
        yield lambda sent: bar.update(task, completed=sent)


def _say(word: str, text: str, style: str) -> None:
    """Print one line on standard error, without anything that moves a terminal's cursor."""
    line = "".join(_printable(" ".join(text.split())))
    head = f"{word}:"
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        head = f"\x1b[{style}m{head}\x1b[0m"
    sys.stderr.write(f"{head} {line}\n")


def _printable(text: str) -> Iterator[str]:
    for char in text:
        yield char if char.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _format(error: BaseException) -> str:
    """Return what a mistake in the command line is called."""
    say = getattr(error, "format_message", None)
    return str(say()) if callable(say) else type(error).__name__
