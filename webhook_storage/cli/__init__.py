"""The command ``webhook-storage``: it runs a subcommand and says in two lines what went wrong.

Rule: what leaves here by standard error is a message of ours, never a traceback.
"""

from __future__ import annotations

import os
import sys
import warnings
from io import TextIOWrapper
from typing import TYPE_CHECKING

import typer

from webhook_storage.cli.commands import app
from webhook_storage.cli.report import BROKEN_PIPE, INTERRUPTED, show_error, show_warning

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLICK_ERROR = typer.BadParameter.__mro__[2]
"""The base of all errors of a command line; typer does not export it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: By default those of this process.
    """
    _escape_what_cannot_be_shown()
    command = typer.main.get_command(app)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            code = command.main(arguments, prog_name="webhook-storage", standalone_mode=False)
            sys.stdout.flush()
    except SystemExit as stop:
        code = _after_exit(stop)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - nothing leaves as a traceback
        return show_error(error, usage=isinstance(error, _CLICK_ERROR))
    if code == BROKEN_PIPE:
        _close_stdout()
    if code == INTERRUPTED:
        show_error(KeyboardInterrupt())
    return int(code or 0)


def _after_exit(stop: SystemExit) -> int:
    """Return the exit code; typer tells of a broken pipe by leaving with 1."""
    if isinstance(stop.__context__, BrokenPipeError):
        return BROKEN_PIPE
    return stop.code if isinstance(stop.code, int) else 1


def _escape_what_cannot_be_shown() -> None:
    """Have characters outside of the terminal's encoding shown by their number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _close_stdout() -> None:
    """Let nobody write to the pipe again, the interpreter at its end included."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
