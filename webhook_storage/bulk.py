"""Many artifacts at once: in threads or in an event loop, so many at a time, and a report of each.

Items are taken one by one as there is room, so a generator of a million is never in memory. What
can be done again is: with a journal, a batch that was ended is carried on by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Generator, Iterable, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias, TypedDict, TypeVar, Unpack

from webhook_storage.artifact import told_with_path
from webhook_storage.batch import Batch, Settings
from webhook_storage.effects import in_thread, interruptible
from webhook_storage.errors import BulkError, ConfigurationError
from webhook_storage.journal import Journal
from webhook_storage.report import Item, Report
from webhook_storage.sender import current_sender
from webhook_storage.transfer import Fetching, Sought, Sourced, Storing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook_storage.artifact import Source
    from webhook_storage.operations import Operations, Verify
    from webhook_storage.receipt import Receipt
    from webhook_storage.retry import RetryPolicy

__all__ = [
    "BulkError",
    "BulkOptions",
    "Item",
    "PutOptions",
    "Report",
    "aget_many",
    "aput_many",
    "get_many",
    "put_many",
]

Given = TypeVar("Given")

Sources: TypeAlias = "Mapping[str, Source] | Iterable[Sourced]"
"""What is to be stored: by key, or as pairs."""

_AHEAD = 2
"""So many times the limit is taken from the items, so that no thread waits for one."""


class BulkOptions(TypedDict, total=False):
    """How many artifacts are stored or fetched at once.

    Attributes:
        limit: Most items at a time; by default 16.
        retry: When to send again; by default as the sender does, but up to 12 attempts.
        journal: File that keeps what was done, so that a later batch can go on; by default none.
        receipts: What is known of keys, for example `Report.receipts` of an earlier batch; those of
            the storage are known in any case.
        trust_receipts: Believe what is known without asking the service.
        stop_after: So many failures in a row end the batch, when they are not the items' own; by
            default 3.
        keep_items: Whether the report lists all items, each of about 1.5 kB, or only those that are
            not ok; by default all.
        on_item: Called with each item that has ended, one after the other, by who called.
    """

    limit: int
    retry: RetryPolicy | None
    journal: str | Path | None
    receipts: Mapping[str, Receipt] | None
    trust_receipts: bool
    stop_after: int
    keep_items: bool
    on_item: Callable[[Item], object] | None


class PutOptions(BulkOptions, total=False):
    """How many artifacts are stored at once.

    Attributes:
        verify: ``after`` fetches what was stored and compares it.
    """

    verify: Verify | None


def put_many(storage: Operations, items: Sources, **options: Unpack[PutOptions]) -> Report:
    """Store many artifacts, some at a time.

    An item whose digest is known of its key, by the journal or by a receipt, and which the service
    still has, is not sent again: it answers a `stat` with the same version, or where it tells none
    the same size. An open file or an iterator is read once, so it is the source of one item only.

    Args:
        storage: Where; its URL has ``${artifact.key}``.
        items: A source for each key, or pairs of both. They are taken as there is room.
        **options: See `BulkOptions` and `PutOptions`.

    Returns:
        What came of each item. One that failed is no error here, see `Report.raise_for_failures`.

    Raises:
        ConfigurationError: An option is wrong, the storage takes no key, or the journal is that of
            another one. What goes wrong with an item is in the report.
        KeyboardInterrupt: After all that was under way has ended. What was done is in the journal.
            An item of several requests ends between them: with ``verify="after"`` it may be stored,
            and not looked at, and is then stored again.

    Example:
        >>> from webhook_storage import Sender, Webhook
        >>> from webhook_storage.testing import FakeTransport
        >>> place = {"url": "https://files.example.com/${artifact.key}"}
        >>> storage = Webhook(place, "PUT", place, "GET")
        >>> with Sender(transport=FakeTransport(lambda request: (201, {}, b""))):
        ...     report = put_many(storage, {"a": b"31 rows", "b": b"32 rows"}, limit=2)
        >>> report.ok, report.counts, report.transferred
        (True, {'stored': 2}, 14)
    """
    settings = Settings(**options)
    with _storing(storage, settings) as batch:
        return _carry_out(batch, _pairs(items), settings)


async def aput_many(storage: Operations, items: Sources, **options: Unpack[PutOptions]) -> Report:
    """Do as `put_many` does, without blocking the event loop; a cancellation leaves no task."""
    settings = Settings(**options)
    with contextlib.ExitStack() as stack:
        begin = partial(stack.enter_context, _storing(storage, settings))
        return await _acarry_out(await in_thread(begin), _pairs(items), settings)


def get_many(
    storage: Operations,
    keys: Iterable[Sought],
    directory: str | Path,
    **options: Unpack[BulkOptions],
) -> Report:
    """Fetch many artifacts into files, some at a time.

    The file of a key is named by it, in folders where it has slashes. A key that names no file
    below the directory, or one behind a link, fails. Each file is there as a whole or not at all.

    A file that has the digest of its receipt is not fetched again; nor is one that has the digest
    in the journal, when the service still has what it had then: a `stat` tells the same version, or
    where there is none both the same size and the same time of the last change.

    Args:
        storage: From where.
        keys: Keys, or the receipts of stores, with which the digests are compared.
        directory: Below which the files are; it is made when it is not there.
        **options: See `BulkOptions`.

    Returns:
        What came of each item.

    Raises:
        ConfigurationError: An option is wrong, or the journal is that of another storage.
        LocalFileError: The directory cannot be made.
    """
    settings = Settings(**options)
    with _fetching(storage, Path(directory), settings) as batch:
        return _carry_out(batch, keys, settings)


async def aget_many(
    storage: Operations,
    keys: Iterable[Sought],
    directory: str | Path,
    **options: Unpack[BulkOptions],
) -> Report:
    """Do as `get_many` does, without blocking the event loop; a cancellation leaves no task."""
    settings = Settings(**options)
    with contextlib.ExitStack() as stack:
        begin = partial(stack.enter_context, _fetching(storage, Path(directory), settings))
        return await _acarry_out(await in_thread(begin), keys, settings)


# --- in threads and in event loops ----------------------------------------------------------------


@contextlib.contextmanager
def _storing(storage: Operations, settings: Settings) -> Iterator[Storing]:
    """Begin to store.

    Raises:
        ConfigurationError: When all items would be stored in one place.
    """
    if "artifact.key" not in storage.naming_facts():
        message = (
            "there is no ${artifact.key} in the URL, so all items would be stored in one place"
        )
        raise ConfigurationError(message, hint="put it into the URL, or store them by 'put'")
    with _journal(storage, settings, "put") as journal:
        yield Storing(storage, current_sender(), settings, journal)


@contextlib.contextmanager
def _fetching(storage: Operations, directory: Path, settings: Settings) -> Iterator[Fetching]:
    """Begin to fetch."""
    with told_with_path(directory):
        directory.mkdir(parents=True, exist_ok=True)
    with _journal(storage, settings, "get") as journal:
        real = Path(os.path.realpath(directory))
        yield Fetching(real, storage, current_sender(), settings, journal)


def _journal(
    storage: Operations, settings: Settings, work: str
) -> contextlib.AbstractContextManager[Journal | None]:
    if settings.journal is None:
        return contextlib.nullcontext()
    return Journal(Path(settings.journal), work, storage.to_dict())


def _pairs(items: Sources) -> Iterable[Sourced]:
    return items.items() if isinstance(items, Mapping) else items


def _carry_out(batch: Batch[Given], given: Iterable[Given], settings: Settings) -> Report:
    """Carry all items out in threads."""
    report = Report()
    with contextlib.closing(_results(batch, given, settings.limit)) as results:
        for item in results:
            _take(report, item, settings)
    report.stopped = batch.stopped
    return report


def _results(
    batch: Batch[Given], given: Iterable[Given], limit: int
) -> Generator[Item, None, None]:
    """Yield what came of each item, in the order in which they end."""
    event, ended, under_way = threading.Event(), SimpleQueue[Item | BaseException](), 0

    def carry(one: Given) -> None:
        try:
            with interruptible(event):
                ended.put(batch.carry(one))
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for it
            ended.put(error)

    with ThreadPoolExecutor(limit, thread_name_prefix="webhook-storage-bulk") as pool:
        try:
            for one in given:
                if _ends_early(batch, given):
                    yield batch.left(one)
                    break
                pool.submit(copy_context().run, carry, one)
                under_way += 1
                while under_way == _AHEAD * limit or not ended.empty():
                    yield _result(ended.get())
                    under_way -= 1
            while under_way:
                yield _result(ended.get())
                under_way -= 1
        except BaseException:  # whoever waits for it does so no longer
            event.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _result(end: Item | BaseException) -> Item:
    if isinstance(end, BaseException):
        raise end
    return end


async def _acarry_out(batch: Batch[Given], given: Iterable[Given], settings: Settings) -> Report:
    """Carry all items out in tasks."""
    report, turns, failure = Report(), asyncio.Semaphore(settings.limit), None

    async def carry(one: Given) -> None:
        try:
            _take(report, await batch.acarry(one), settings)
        finally:
            turns.release()

    try:
        async with asyncio.TaskGroup() as group:
            for one in given:
                if _ends_early(batch, given):
                    _take(report, batch.left(one), settings)
                    break
                await turns.acquire()
                group.create_task(carry(one))
    except BaseExceptionGroup as errors:
        failure = errors.exceptions[0]
    if failure is not None:
        raise failure
    report.stopped = batch.stopped
    return report


def _ends_early(batch: Batch[Given], given: Iterable[Given]) -> bool:
    """Tell whether no more is taken; where it is known how many there are, all are told."""
    return batch.stopped is not None and not isinstance(given, Sized)


def _take(report: Report, item: Item, settings: Settings) -> None:
    report.add(item, keep=settings.keep_items)
    if settings.on_item is not None:
        settings.on_item(item)
