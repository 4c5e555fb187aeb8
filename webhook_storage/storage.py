"""The base of every storage: flows and artifacts, in and out, for threads and for event loops."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from webhook_storage import bulk
from webhook_storage import flows as flow_format
from webhook_storage.artifact import MeasuredBody, MemorySink, Source, as_body
from webhook_storage.errors import ConfigurationError
from webhook_storage.facts import StoreFacts, artifact_facts, flow_facts
from webhook_storage.flows import Trust, Verified, name_of, slugify
from webhook_storage.operations import Names, Operations, Verify, cannot_hold, store_options
from webhook_storage.sender import current_sender

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from webhook_storage.bulk import BulkOptions, PutOptions, Report, Sources
    from webhook_storage.contracts import Exchange
    from webhook_storage.progress import Tell
    from webhook_storage.receipt import Receipt, Stat

__all__ = ["Names", "Operation", "Storage", "Verify", "cannot_hold"]

Operation: TypeAlias = Literal["store", "fetch", "exists", "delete", "list"]
"""What can be done with an artifact."""


class Storage(Operations):
    """Knows how to store and fetch on one service.

    It is a `Definition`, so plain data. What it needs to run, the current `Sender` brings.

    Each operation has a twin with an ``a`` in front for event loops.
    """

    def __init__(self, **data: Any) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: When one is unknown or wrong.
        """
        super().__init__(**data)

    # --- artifacts --------------------------------------------------------------------------------

    def put(
        self,
        source: Source,
        key: str | None = None,
        *,
        if_absent: bool = False,
        if_unchanged: Receipt | str | None = None,
        verify: Verify | None = None,
        resume: str | Path | None = None,
        progress: Tell | None = None,
    ) -> Receipt:
        """Store bytes as they are.

        Args:
            source: Bytes, a path, a binary file, or an iterable of chunks.
            key: Name on the service; needed when the URL has ``${artifact.key}``, for a path its
                file name by default.
            if_absent: Create it, and replace nothing.
            if_unchanged: Replace this version only: the receipt of its store, or the version that
                `stat` told.
            verify: ``after`` fetches what was stored and compares it.
            resume: File that keeps how far an upload in parts has come, so that another process can
                carry on; it is removed when all is stored. It may hold what the service calls the
                upload by, which is enough to go on with it, so it is readable by its owner only.
            progress: Gets how many bytes were sent so far, after each piece, in the thread that
                sends. When a part is sent again that is less than before; what an earlier process
                has sent is not in it. It must not raise.

        Returns:
            The receipt. Give it to `get` in place of the key to have the digest compared.

        Raises:
            ObjectExistsError: It is there, and was only to be created.
            ConflictError: It has changed, and was not to be replaced.
            WebhookStorageError: See `webhook_storage.errors`; nothing half stored is reported as
                stored.
        """
        options = store_options(if_absent, if_unchanged)
        exchange = self.put_exchange(
            as_body(source), self._key_of(source, key), options, verify, resume
        )
        return current_sender().run(exchange, progress=progress)

    async def aput(
        self,
        source: Source,
        key: str | None = None,
        *,
        if_absent: bool = False,
        if_unchanged: Receipt | str | None = None,
        verify: Verify | None = None,
        resume: str | Path | None = None,
        progress: Tell | None = None,
    ) -> Receipt:
        """Do as `put` does, without blocking the event loop."""
        options = store_options(if_absent, if_unchanged)
        body, key = await asyncio.to_thread(as_body, source), self._key_of(source, key)
        exchange = self.put_exchange(body, key, options, verify, resume)
        return await current_sender().arun(exchange, progress=progress)

    def get(self, key: str | Receipt | None = None, *, max_bytes: int | None = None) -> bytes:
        """Return an artifact's bytes.

        Args:
            key: Its key, or the receipt of its store.
            max_bytes: Most bytes to take into memory; None for no limit.

        Raises:
            ObjectNotFoundError: When there is none.
            IntegrityError: When it is not what the receipt says.
        """
        return current_sender().run(self._get(key, max_bytes))

    async def aget(
        self, key: str | Receipt | None = None, *, max_bytes: int | None = None
    ) -> bytes:
        """Do as `get` does, without blocking the event loop."""
        return await current_sender().arun(self._get(key, max_bytes))

    def download(self, path: str | Path, key: str | Receipt | None = None) -> int:
        """Write an artifact to a file and return the number of bytes.

        The file is written beside its place and renamed when all is well, so that on any error the
        place is untouched.

        Args:
            path: Where to write.
            key: The artifact's key, or the receipt of its store.
        """
        return current_sender().run(self.download_exchange(Path(path), key))

    async def adownload(self, path: str | Path, key: str | Receipt | None = None) -> int:
        """Do as `download` does, without blocking the event loop."""
        return await current_sender().arun(self.download_exchange(Path(path), key))

    def exists(self, key: str | Receipt | None = None) -> bool:
        """Tell whether an artifact is there; forbidden and unreachable are errors, not False."""
        return self.stat(key) is not None

    async def aexists(self, key: str | Receipt | None = None) -> bool:
        """Do as `exists` does, without blocking the event loop."""
        return await self.astat(key) is not None

    def stat(self, key: str | Receipt | None = None) -> Stat | None:
        """Return what the service says of an artifact, None when there is none."""
        return current_sender().run(self.stat_exchange(self._facts(key)))

    async def astat(self, key: str | Receipt | None = None) -> Stat | None:
        """Do as `stat` does, without blocking the event loop."""
        return await current_sender().arun(self.stat_exchange(self._facts(key)))

    def delete(self, key: str | Receipt | None = None) -> None:
        """Delete an artifact.

        Raises:
            ObjectNotFoundError: When there is none.
        """
        current_sender().run(self._delete(key))

    async def adelete(self, key: str | Receipt | None = None) -> None:
        """Do as `delete` does, without blocking the event loop."""
        await current_sender().arun(self._delete(key))

    def list(self) -> Names:
        """Return the keys of what is there."""
        return current_sender().run(self.list_exchange({}))

    async def alist(self) -> Names:
        """Do as `list` does, without blocking the event loop."""
        return await current_sender().arun(self.list_exchange({}))

    # --- many artifacts ---------------------------------------------------------------------------

    def put_many(self, items: Sources, **options: Unpack[PutOptions]) -> Report:
        """Store many artifacts, some at a time; see `bulk.put_many`."""
        return bulk.put_many(self, items, **options)

    async def aput_many(self, items: Sources, **options: Unpack[PutOptions]) -> Report:
        """Do as `put_many` does, without blocking the event loop."""
        return await bulk.aput_many(self, items, **options)

    def get_many(
        self, keys: Iterable[str | Receipt], directory: str | Path, **options: Unpack[BulkOptions]
    ) -> Report:
        """Fetch many artifacts into files, some at a time; see `bulk.get_many`."""
        return bulk.get_many(self, keys, directory, **options)

    async def aget_many(
        self, keys: Iterable[str | Receipt], directory: str | Path, **options: Unpack[BulkOptions]
    ) -> Report:
        """Do as `get_many` does, without blocking the event loop."""
        return await bulk.aget_many(self, keys, directory, **options)

    # --- flows ------------------------------------------------------------------------------------

    def __contains__(self, name: object) -> bool:
        """Tell whether a flow of that name belongs to this storage."""
        return isinstance(name, str) and name in self.flows

    def add_flow(self, flow: object) -> str:
        """Take a flow for the next `build` and return its name.

        Args:
            flow: An object with a `name`, or a function.

        Raises:
            ConfigurationError: When another flow of this storage would be stored in the same place.
        """
        name = name_of(flow)
        key = slugify(name)
        for other, taken in self.flows.items():
            if other != name and not self._keeps_apart(key, taken):
                message = f"flows {other!r} and {name!r} would be stored in one place"
                hint = (
                    f"both have the key {key!r}; give one of them another name"
                    if key == taken
                    else "put ${flow.slug} into the URL or into a header that says where"
                )
                raise ConfigurationError(message, path="flows", hint=hint)
        self.flows[name] = key
        self._pending[name] = flow
        return name

    def build(
        self, *, if_absent: bool = False, if_unchanged: bool = False, verify: Verify | None = None
    ) -> Self:
        """Store all flows that were added and return the storage, now with their receipts.

        Without flows nothing is sent.

        Args:
            if_absent: Create them, and replace nothing.
            if_unchanged: Replace only what this storage has the receipts of.
            verify: ``after`` fetches what was stored and compares it.
        """
        exchange = self._build(self._pack(), if_absent, if_unchanged, verify)
        return current_sender().run(exchange)

    async def abuild(
        self, *, if_absent: bool = False, if_unchanged: bool = False, verify: Verify | None = None
    ) -> Self:
        """Do as `build` does, without blocking the event loop."""
        exchange = self._build(self._pack(), if_absent, if_unchanged, verify)
        return await current_sender().arun(exchange)

    def get_flow(self, name: str, *, trust: Trust = "verified") -> Any:
        """Fetch a flow and return it, ready to run.

        It is loaded only when a signature of one of the `signing_keys` holds, or its digest is the
        one in the receipt of this storage.

        Args:
            name: The flow's name.
            trust: ``unsigned`` loads what nothing vouches for. Whoever controls the service can
                then run code here.

        Raises:
            FlowNotFoundError: When the flow is not of this storage.
            TrustError: When nothing vouches for it.
            PythonVersionError: When another Python version pickled it.
        """
        admitted = current_sender().run(self._fetch_flow(name, trust))
        return flow_format.load(admitted, name, self.entrypoint)

    async def aget_flow(self, name: str, *, trust: Trust = "verified") -> Any:
        """Do as `get_flow` does, without blocking the event loop while fetching."""
        admitted = await current_sender().arun(self._fetch_flow(name, trust))
        return flow_format.load(admitted, name, self.entrypoint)

    def verify_flow(self, name: str, receipt: Receipt | None = None) -> Verified:
        """Fetch a flow and return what vouches for it; nothing of it is loaded.

        Args:
            name: The flow's name.
            receipt: Receipt of its store, None for the one that this storage has, if any.

        Raises:
            FlowNotFoundError: When the flow is not of this storage.
            TrustError: When nothing vouches for it.
            IntegrityError: When it is not what was stored.
        """
        return current_sender().run(self._verify_flow(name, receipt))

    async def averify_flow(self, name: str, receipt: Receipt | None = None) -> Verified:
        """Do as `verify_flow` does, without blocking the event loop."""
        return await current_sender().arun(self._verify_flow(name, receipt))

    # --- to be looked at --------------------------------------------------------------------------

    def exchange(
        self, operation: Operation, key: str | Receipt | None = None, source: Source = b""
    ) -> Exchange[Any]:
        """Return the requests of an operation, to be looked at, for example by `Sender.preview`.

        Args:
            operation: Which one.
            key: The artifact's key, a flow's name, or the receipt of a store.
            source: What would be stored.
        """
        if operation == "list":
            return self.list_exchange({})
        new_flow = isinstance(key, str) and self._names_new_flow(key)
        facts = flow_facts(str(key), slugify(str(key))) if new_flow else None
        if operation == "store":
            body = MeasuredBody(as_body(source))
            named = facts or (artifact_facts(key) if isinstance(key, str) else self._facts(key))
            return self.store_exchange(body, StoreFacts(named, body))
        facts = facts or self._facts(key)
        if operation == "fetch":
            return self.fetch_exchange(facts, MemorySink())
        return self.stat_exchange(facts) if operation == "exists" else self.delete_exchange(facts)
