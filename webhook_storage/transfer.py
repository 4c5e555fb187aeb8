"""One item of a batch: a source that is stored, an artifact that is fetched into a file.

What is there already is not transferred again.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from webhook_storage.answer import header
from webhook_storage.artifact import PathBody, Source, as_body, told_with_path
from webhook_storage.batch import Batch, Known, Note
from webhook_storage.contracts import PLAIN, Exchange, Work
from webhook_storage.errors import ConfigurationError, LocalFileError
from webhook_storage.receipt import Receipt
from webhook_storage.report import Item

if TYPE_CHECKING:
    from pathlib import Path

    from webhook_storage.contracts import Body
    from webhook_storage.journal import Journal
    from webhook_storage.report import Outcome

Sourced: TypeAlias = tuple[str, Source]
"""What is to be stored: a key, and its bytes."""

Sought: TypeAlias = "str | Receipt"
"""What is to be fetched: a key, or the receipt of its store."""


class Storing(Batch[Sourced]):
    """Sources to be stored.

    Args:
        *parts: Those of a batch.
    """

    # The answer to a store seldom tells a time that could be compared.
    _size_is_enough = True

    def __init__(self, *parts: Any) -> None:
        """Begin nothing yet."""
        super().__init__(*parts)
        self._read_once: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def key_of(self, given: Sourced) -> str:
        """Return the key of an item."""
        return given[0]

    def _exchange(self, given: Sourced, note: Note) -> Exchange[Item]:
        key, source = given
        with self._alone(key):
            self._take(source)
            make = partial(as_body, source)
            body: Body = make() if isinstance(source, bytes) else (yield Work(make))
            known = self._known(key)
            note.begun = True
            if known is not None and (yield from self._is_equal(key, body, known)):
                note.stored = known.stored
                return _item(key, "equal", known)
            # Before it is stored: an interruption afterwards would lose that it was.
            digest = (yield Work(body.sha256)) if self._encodes else None
            put = self._storage.put_exchange
            receipt = yield from put(body, key, PLAIN, self._settings.verify)
            note.stored = receipt.size
            known = Known.of(receipt)._replace(size=body.size, sha256=digest or receipt.sha256)
            return _item(key, "stored", known)

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Refuse a key under which another item is being stored: nobody could say which stays."""
        with self._lock:
            refused = not key or key in self._under_way
            self._under_way.add(key)
        if refused:
            message = "another item with this key is under way" if key else "the key is empty"
            raise ConfigurationError(message, hint="give each item a key of its own")
        try:
            yield
        finally:
            self._under_way.discard(key)

    def _take(self, source: Source) -> None:
        """Refuse what can be read once and came before: it goes on where that item has left it."""
        what = "open file" if hasattr(source, "read") else "iterator"
        if what == "iterator" and not isinstance(source, Iterator):
            return
        with self._lock:
            came_before = id(source) in self._read_once
            with contextlib.suppress(TypeError):  # some have no weak references
                self._read_once[id(source)] = source
        if came_before:
            message = f"another item has this {what}"
            raise ConfigurationError(message, hint="give the path, or a file of its own")

    def _is_equal(self, key: str, body: Body, known: Known) -> Exchange[bool]:
        """Tell whether the service has this body."""
        if known.receipt is None or known.size != body.size:
            return False
        if (yield Work(body.sha256)) != known.sha256:
            return False
        return self._settings.trust_receipts or (yield from self._still_there(key, known))


class Fetching(Batch[Sought]):
    """Artifacts to be fetched into files below a directory.

    Args:
        directory: Which one, without any link in its path.
        *parts: Those of a batch.
    """

    def __init__(self, directory: Path, *parts: Any) -> None:
        """Begin nothing yet."""
        super().__init__(*parts)
        self._directory = directory

    def key_of(self, given: Sought) -> str:
        """Return the key of an item."""
        return given.key if isinstance(given, Receipt) else given

    def _exchange(self, given: Sought, note: Note) -> Exchange[Item]:
        key = self.key_of(given)
        path: Path = yield Work(partial(_place, self._directory, key, self._journal))
        note.begun = True
        receipt = given if isinstance(given, Receipt) else self._receipt(key)
        for known in self._candidates(key, receipt):
            if (yield Work(partial(_holds, path, known))):
                sure = receipt is not None or self._settings.trust_receipts
                if sure or (yield from self._still_there(key, known)):
                    note.stored, note.modified = known.stored, known.modified
                    return _item(key, "equal", known)
        download = self._storage.download_exchange
        size = yield from download(path, receipt or key)
        answer = note.answer
        if answer is not None:
            note.stored, note.modified = answer.size, header(answer, "last-modified")
        version = None if answer is None else header(answer, "etag")
        if answer is None or self._encodes:
            digest = yield Work(lambda: PathBody(path).sha256())
        else:
            digest = answer.sha256
        return _item(key, "fetched", Known(size, digest, note.stored, version, receipt))

    def _candidates(self, key: str, receipt: Receipt | None) -> list[Known]:
        """Return what the file may be: what the receipt says, and what was fetched before."""
        known = self._known(key)
        if receipt is None:
            return [] if known is None else [known]
        said = [] if self._encodes else [Known.of(receipt)]
        if known is None or known.receipt is None or known.receipt.sha256 != receipt.sha256:
            return said
        return [*said, known]


def _item(key: str, outcome: Outcome, known: Known) -> Item:
    return Item(
        key=key,
        outcome=outcome,
        size=known.size,
        sha256=known.sha256,
        version=known.version,
        receipt=known.receipt,
    )


def _place(directory: Path, key: str, journal: Journal | None) -> Path:
    """Return the file of a key, and make its folder.

    Raises:
        LocalFileError: When it would be outside of the directory, or there cannot be one.
    """
    parts = key.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or _STRANGE.search(key):
        raise _no_file(key, "it names no file below the directory")
    path = directory.joinpath(*parts)
    with told_with_path(path):
        if os.path.realpath(path) != os.fspath(path):
            # Looked for before a folder is made: that would be made where the link leads.
            raise _no_file(key, "there is a link on its way")
        if path.is_dir():
            raise _no_file(key, "there is a directory in its place")
        if journal is not None and journal.is_in(path):
            raise _no_file(key, "the journal of this batch is there")
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _no_file(key: str, why: str) -> LocalFileError:
    message = f"the key {key!r} is not fetched into a file: {why}"
    return LocalFileError(message, path=key, hint="fetch it by itself, into a file that you name")


_STRANGE = re.compile(r"[\0\\]|(^|/)[A-Za-z]:|[\ud800-\udfff]")
"""What cannot be in a name everywhere, or would make one system leave the directory."""


def _holds(path: Path, known: Known) -> bool:
    """Tell whether a file is what is known."""
    with told_with_path(path):
        if not path.is_file() or path.stat().st_size != known.size:
            return False
        return PathBody(path).sha256() == known.sha256
