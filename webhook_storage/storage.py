"""The base of every storage: flows and artifacts, in and out, for threads and for event loops.

A subclass says in five exchanges which requests its service wants; all else is here.
"""

from __future__ import annotations

import asyncio
import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias, cast

from pydantic import Field

from webhook_storage import flows as flow_format
from webhook_storage.answer import check_digest
from webhook_storage.artifact import BytesBody, FileSink, MeasuredBody, MemorySink, Source, as_body
from webhook_storage.contracts import Body, Exchange, Facts, Response, Sink, Wanted
from webhook_storage.definition import Definition
from webhook_storage.errors import ConfigurationError, FlowNotFoundError
from webhook_storage.facts import NAMING, StoreFacts, artifact_facts, flow_facts, receipt_facts
from webhook_storage.flows import Admitted, Packed, Trust, name_of, slugify
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.sender import current_sender
from webhook_storage.template import Placeholder, Reference, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.secret import SecretValue

Operation: TypeAlias = Literal["store", "fetch", "exists", "delete", "list"]
"""What can be done with an artifact."""

Names: TypeAlias = list[str]
"""Spelled out here, because inside of the class `list` is the operation."""


class Storage(Definition):
    """Knows how to store and fetch on one service.

    It is a `Definition`, so plain data. What it needs to run, the current `Sender` brings.

    Each operation has a twin with an ``a`` in front for event loops.
    """

    stored_as_script: bool = Field(
        default=False, description="Store the script instead of a pickle."
    )
    flow_script_path: str | None = Field(None, description="Path of the script with the flows.")
    entrypoint: str | None = Field(None, description="Name of the flow's object in the script.")
    signing_keys: dict[str, str] = Field(
        default_factory=dict,
        description="Placeholder of a key by key id; the first signs flows, all verify them.",
    )
    flows: dict[str, str] = Field(
        default_factory=dict, description="Key of each flow, by its name."
    )
    receipts: dict[str, Receipt] = Field(
        default_factory=dict, description="What was stored, by its key."
    )
    secrets: Names = Field(default_factory=list, description="Kept for Prefect 1; not used.")
    labels: Names = Field(default_factory=list, description="Kept for Prefect 1; not used.")
    add_default_labels: bool | None = Field(None, description="Kept for Prefect 1; not used.")

    def __init__(self, **data: Any) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: When one is unknown or wrong.
        """
        super().__init__(**data)
        _check_signing_keys(self.signing_keys)

    # --- what a service wants ---------------------------------------------------------------------

    @abstractmethod
    def store_exchange(self, body: Body, facts: Facts) -> Exchange[Receipt]:
        """Store the body and return `Receipt.of` it."""

    @abstractmethod
    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        """Fetch into the sink and return the answer to the last request."""

    @abstractmethod
    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        """Return what the service says of the artifact, None when there is none."""

    @abstractmethod
    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        """Delete the artifact; `ObjectNotFoundError` when there is none."""

    @abstractmethod
    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        """Return the keys of what is there."""

    @abstractmethod
    def naming_facts(self) -> frozenset[str]:
        """Return the facts that the place of a stored artifact depends on."""

    def fetch_facts(self) -> frozenset[str]:
        """Return the facts that the place from which an artifact is fetched depends on."""
        return self.naming_facts()

    # --- artifacts --------------------------------------------------------------------------------

    def put(self, source: Source, key: str | None = None) -> Receipt:
        """Store bytes as they are.

        Args:
            source: Bytes, a path, a binary file, or an iterable of chunks.
            key: Name on the service; needed when the URL has ``${artifact.key}``, for a path its
                file name by default.

        Returns:
            The receipt. Give it to `get` in place of the key to have the digest compared.

        Raises:
            WebhookStorageError: See `webhook_storage.errors`; nothing half stored is reported as
                stored.
        """
        body, key = MeasuredBody(as_body(source)), self._key_of(source, key)
        return current_sender().run(self._put(body, key))

    async def aput(self, source: Source, key: str | None = None) -> Receipt:
        """Do as `put` does, without blocking the event loop."""
        body = MeasuredBody(await asyncio.to_thread(as_body, source))
        return await current_sender().arun(self._put(body, self._key_of(source, key)))

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
        return current_sender().run(self._download(Path(path), key))

    async def adownload(self, path: str | Path, key: str | Receipt | None = None) -> int:
        """Do as `download` does, without blocking the event loop."""
        return await current_sender().arun(self._download(Path(path), key))

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

    def remember(self, receipt: Receipt) -> Self:
        """Keep a receipt, so that it travels in the JSON and `get` compares the digest."""
        self.receipts[receipt.key] = receipt
        return self

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

    def build(self) -> Self:
        """Store all flows that were added and return the storage, now with their receipts.

        Without flows nothing is sent.
        """
        return current_sender().run(self._build(self._pack()))

    async def abuild(self) -> Self:
        """Do as `build` does, without blocking the event loop."""
        return await current_sender().arun(self._build(self._pack()))

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

    # --- the exchanges behind the operations ------------------------------------------------------

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

    def _names_new_flow(self, key: str) -> bool:
        """Tell whether a key can only be the name of a flow that was not added yet."""
        known = {*self.flows, *self.flows.values(), *self.receipts}
        return key not in known and bool(self.naming_facts() & {"flow.name", "flow.slug"})

    def _key_of(self, source: Source, key: str | None) -> str | None:
        """Return the key to store under: the given one, or a file's name where one is wanted."""
        takes_key = "artifact.key" in self.naming_facts()
        if key is None and isinstance(source, (str, os.PathLike)) and takes_key:
            return Path(source).name
        if key is not None and not takes_key:
            raise _useless_key()
        return key

    def _put(self, body: MeasuredBody, key: str | None) -> Exchange[Receipt]:
        receipt = yield from self.store_exchange(body, StoreFacts(artifact_facts(key), body))
        if receipt.key in self.receipts:
            self.remember(receipt)  # what it said of the artifact before holds no longer
        return receipt

    def _get(self, key: str | Receipt | None, limit: int | None) -> Exchange[bytes]:
        sink = MemorySink(limit)
        yield from self._fetch(key, sink)
        return sink.getvalue()

    def _download(self, path: Path, key: str | Receipt | None) -> Exchange[int]:
        if path.is_dir() or not path.parent.is_dir():
            message = f"there is no place for a file {os.fspath(path)!r}"
            raise ConfigurationError(message, hint="name a file in a directory that exists")
        sink = FileSink(path)
        try:
            response = yield from self._fetch(key, sink)
            sink.commit()
        finally:
            sink.discard()
        return response.size

    def _fetch(self, key: str | Receipt | None, sink: Sink) -> Exchange[Response]:
        response = yield from self.fetch_exchange(self._facts(key), sink)
        receipt = self._receipt(key)
        if receipt is not None:
            check_digest(receipt.key or receipt.location, receipt.sha256, response.sha256)
        return response

    def _delete(self, key: str | Receipt | None) -> Exchange[None]:
        yield from self.delete_exchange(self._facts(key))
        receipt = self._receipt(key)
        if receipt is not None:
            self.receipts.pop(receipt.key, None)

    def _build(self, packed: Sequence[_Parcel]) -> Exchange[Self]:
        keys = yield from self._keys()
        for parcel in packed:
            body = MeasuredBody(BytesBody(parcel.packed.seal(keys)))
            facts = StoreFacts(flow_facts(parcel.name, parcel.key), body)
            self.remember((yield from self.store_exchange(body, facts)))
            self._pending.pop(parcel.name, None)
        return self

    def _fetch_flow(self, name: str, trust: Trust) -> Exchange[Admitted]:
        if name not in self.flows:
            message = f"flow {name!r} is not contained in this storage"
            hint = f"it has: {', '.join(map(repr, self.flows)) or 'none'}"
            raise FlowNotFoundError(message, hint=hint)
        keys = yield from self._keys()
        receipt = self._flow_receipt(name)
        facts = receipt_facts(receipt) if receipt else {}
        facts |= flow_facts(name, self.flows[name])
        sink = MemorySink(flow_format.SIZE_LIMIT)
        yield from self.fetch_exchange(facts, sink)
        return flow_format.admit(
            sink.getvalue(),
            name=name,
            script=self.stored_as_script,
            pinned=receipt.sha256 if receipt else None,
            keys=keys,
            trust=trust,
        )

    def _keys(self) -> Exchange[dict[str, SecretValue]]:
        """Resolve the signing keys; without any nobody is asked."""
        if not self.signing_keys:
            return {}
        return cast("dict[str, SecretValue]", (yield Wanted(self.signing_keys)))

    def _pack(self) -> Sequence[_Parcel]:
        """Return all flows in bytes. What fails here fails before anything is sent."""
        if self.stored_as_script:
            return self._pack_script()
        return [
            _Parcel(name, self.flows[name], flow_format.pack(flow, name))
            for name, flow in self._pending.items()
        ]

    def _pack_script(self) -> Sequence[_Parcel]:
        """Return the script once for each place in which it is to be stored."""
        if not self.flows:
            return []
        packed = flow_format.pack_script(self.flow_script_path, self.flows)
        parcels = [_Parcel(name, key, packed) for name, key in self.flows.items()]
        return parcels if self.naming_facts() & NAMING else parcels[:1]

    def _keeps_apart(self, key: str, other: str) -> bool:
        """Tell whether two flows may be in this storage together."""
        if self.stored_as_script:
            return True  # one script can hold several flows
        return key != other and bool(self.naming_facts() & NAMING)

    # --- facts ------------------------------------------------------------------------------------

    def _flow_receipt(self, name: str) -> Receipt | None:
        """Return a flow's receipt; flows of one script in one place share that of the first."""
        own = self.receipts.get(self.flows[name])
        shared = self.stored_as_script and not self.naming_facts() & NAMING
        return self.receipts.get(next(iter(self.flows.values()))) if shared else own

    def _receipt(self, key: str | Receipt | None) -> Receipt | None:
        if isinstance(key, Receipt):
            return key
        return self.receipts.get(self.flows.get(key or "") or key or "")

    def _facts(self, key: str | Receipt | None) -> dict[str, str]:
        """Return what is known of an artifact that was stored earlier."""
        receipt = self._receipt(key)
        place = receipt.key if receipt is not None else cast("str | None", key)
        facts = artifact_facts(place or None) if receipt is None else receipt_facts(receipt)
        for name, taken in self.flows.items():
            if place in {name, taken}:
                return facts | flow_facts(name, taken)
        if receipt is None and key is not None and "artifact.key" not in self.fetch_facts():
            raise _useless_key()
        return facts


class _Parcel(NamedTuple):
    """A flow on its way to its place."""

    name: str
    key: str
    packed: Packed


def _useless_key() -> ConfigurationError:
    """Return the error for a key that would be ignored, and another artifact met."""
    message = "a key was given, and the URL has no ${artifact.key}"
    return ConfigurationError(message, hint="put it into the URL, or leave the key out")


def _check_signing_keys(keys: Mapping[str, str]) -> None:
    for key_id, text in keys.items():
        parts = parse(text).parts
        if len(parts) != 1 or not _is_secret(parts[0]):
            message = (
                "a signing key is a placeholder, for example ${FLOW_KEY}, never the key itself"
            )
            raise ConfigurationError(message, path=f"signing_keys.{key_id}")


def _is_secret(part: str | Placeholder) -> bool:
    """Tell whether this is a secret without a default, which would be a key that anybody knows."""
    return (
        isinstance(part, Placeholder)
        and isinstance(part.source, Reference)
        and part.operator != ":-"
    )
