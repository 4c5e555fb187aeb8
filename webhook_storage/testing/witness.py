"""Everything that could show a secret while a block runs: records, prints, warnings, errors."""

from __future__ import annotations

import io
import logging
import traceback
import warnings
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from webhook_storage.errors import WebhookStorageError
from webhook_storage.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.template import Reference


@contextmanager
def witnessed() -> Iterator[list[str]]:
    """Collect the log records of every library, at DEBUG, and what is printed and warned of.

    Yields:
        The texts; what was printed and warned of is there when the block has ended.
    """
    texts: list[str] = []
    root, handler, printed = logging.getLogger(), _Records(texts), io.StringIO()
    level = root.level
    with ExitStack() as stack:
        warned = stack.enter_context(warnings.catch_warnings(record=True, action="always"))
        stack.enter_context(redirect_stdout(printed))
        stack.enter_context(redirect_stderr(printed))
        stack.callback(root.setLevel, level)
        stack.callback(root.removeHandler, handler)
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        yield texts
    texts += [printed.getvalue(), *(str(each.message) for each in warned or ())]


def shown_by(thing: object) -> str:
    """Return what an object shows when it is printed, or its attributes are."""
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    held = {name: getattr(thing, name, None) for name in slots} | getattr(thing, "__dict__", {})
    return f"{thing!r} {thing} {held!r}"


def shown_by_error(reference: Reference) -> list[str]:
    """Send a secret to a server that refuses it; return what the error shows, its text first."""
    fetch = {"url": "https://files.test/f", "headers": {"X-Secret": f"${{{reference}}}"}}
    shown = ["nothing was raised"]
    try:
        Webhook(fetch, "PUT", fetch, "GET").get()
    except WebhookStorageError as error:
        with_locals = traceback.TracebackException.from_exception(error, capture_locals=True)
        shown = [str(error), repr(error), str(error.hint), "".join(with_locals.format())]
    return shown


class _Records(logging.Handler):
    """Keeps what is logged, as text."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self.texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        """Keep message, arguments and extras."""
        self.texts.append(f"{record.getMessage()} {record.args} {record.__dict__}")
