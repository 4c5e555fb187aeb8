"""What a storage is made of, and the exchanges behind its operations.

A subclass says in five exchanges which requests its service wants; those of the operations are made
of them here, and know nothing of threads and event loops.
"""

from __future__ import annotations

import contextlib
import os
from abc import abstractmethod
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias, cast

from pydantic import Field

from webhook_storage import flows as flow_format
from webhook_storage import stages
from webhook_storage.answer import check_digest, header
from webhook_storage.artifact import (
    BytesBody,
    FileSink,
    MeasuredBody,
    MemorySink,
    NullSink,
    Source,
)
from webhook_storage.checkpoint import FileCheckpoint, about_store
from webhook_storage.contracts import (
    PLAIN,
    Body,
    Exchange,
    Facts,
    Response,
    Sink,
    StoreOptions,
    Wanted,
    Work,
)
from webhook_storage.definition import Definition
from webhook_storage.errors import (
    ConfigurationError,
    FlowNotFoundError,
    ResponseError,
    SecretError,
)
from webhook_storage.facts import NAMING, StoreFacts, artifact_facts, flow_facts, receipt_facts
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.template import Placeholder, Reference, parse
from webhook_storage.trust import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.flows import Admitted, Packed, Trust, Verified
    from webhook_storage.secret import SecretValue

Verify: TypeAlias = Literal["after"]
"""When to look whether what is there is what was stored."""

Names: TypeAlias = list[str]
"""Spelled out here, because inside of the class `list` is the operation."""


class Operations(Definition):
    """The fields of every storage, and what its operations do."""

    stored_as_script: bool = Field(
        default=False, description="Store the script instead of a pickle."
    )
    flow_script_path: str | None = Field(None, description="Path of the script with the flows.")
    entrypoint: str | None = Field(None, description="Name of the flow's object in the script.")
    signing_keys: dict[str, str] = Field(
        default_factory=dict,
        description="Placeholder of a key by key id; the first signs flows, all verify them.",
    )
    expire_after: float | None = Field(
        None, gt=0, description="Seconds after which a stored flow is refused; never by default."
    )
    compression: stages.Compression | None = Field(
        None, description="How artifacts are compressed before they are stored: gzip or zstd."
    )
    encryption_keys: dict[str, str] = Field(
        default_factory=dict,
        description="Placeholder of a key of 32 bytes by key id; the first encrypts, all decrypt. "
        "With any, what is not encrypted is refused.",
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
        _check_keys("signing_keys", self.signing_keys)
        _check_keys("encryption_keys", self.encryption_keys)

    # --- what a service wants ---------------------------------------------------------------------

    @abstractmethod
    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        """Store the body and return `Receipt.of` it.

        Args:
            body: What to store.
            facts: What placeholders with a dot stand for.
            options: What must hold of what is there; a service that cannot see to it refuses by
                `cannot_hold` before anything is sent.
        """

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

    def _stores_by_key(self) -> bool:
        """Tell whether the place of a stored artifact depends on its key."""
        return "artifact.key" in self.naming_facts()

    def _fetches_by_key(self) -> bool:
        """Tell whether the place from which an artifact is fetched depends on its key."""
        return "artifact.key" in self.fetch_facts()

    def remember(self, receipt: Receipt) -> Self:
        """Keep a receipt, so that it travels in the JSON and `get` compares the digest."""
        self.receipts[receipt.key] = receipt
        return self

    # --- the exchanges behind the operations ------------------------------------------------------

    def _names_new_flow(self, key: str) -> bool:
        """Tell whether a key can only be the name of a flow that was not added yet."""
        known, facts = {*self.flows, *self.flows.values(), *self.receipts}, self.naming_facts()
        only_flows = "artifact.key" not in facts and bool(facts & {"flow.name", "flow.slug"})
        return key not in known and only_flows

    def _key_of(self, source: Source, key: str | None) -> str | None:
        """Return the key to store under: the given one, or a file's name where one is wanted."""
        takes_key = self._stores_by_key()
        if key is None and isinstance(source, (str, os.PathLike)) and takes_key:
            return Path(source).name
        if key is not None and not takes_key:
            raise _useless_key()
        return key

    def put_exchange(
        self,
        source: Body,
        key: str | None,
        options: StoreOptions,
        verify: Verify | None,
        resume: str | Path | None = None,
    ) -> Exchange[Receipt]:
        """Store bytes as they are, as `Storage.put` says."""
        body = MeasuredBody((yield from self._encoded(source, key or "")))
        facts = StoreFacts(artifact_facts(key), body)
        if resume is None:
            receipt = yield from self._store(body, facts, options, verify)
        else:
            checkpoint = yield Work(partial(self._checkpoint, resume, key, body, options))
            with contextlib.closing(checkpoint):
                options = replace(options, checkpoint=checkpoint)
                receipt = yield from self._store(body, facts, options, verify)
        if receipt.key in self.receipts:
            self.remember(receipt)  # what it said of the artifact before holds no longer
        return receipt

    def _checkpoint(
        self, path: str | Path, key: str | None, body: Body, options: StoreOptions
    ) -> FileCheckpoint:
        """Open the file that keeps how far this very upload has come."""
        if self.encryption_keys:
            message = "an upload that is encrypted cannot be carried on: each try is encrypted anew"
            raise ConfigurationError(message, path="resume", hint="leave 'resume' out")
        return FileCheckpoint(path, about_store(self.to_dict(), key, body, options)).open()

    def _store(
        self, body: Body, facts: Facts, options: StoreOptions, verify: Verify | None
    ) -> Exchange[Receipt]:
        """Store, and look at what is there now where that is wanted."""
        if verify not in {None, "after"}:
            message = f"verify is 'after' or None, not {verify!r}"
            raise ConfigurationError(message)
        receipt = yield from self.store_exchange(body, facts, options)
        if verify is None:
            return receipt
        place = {**facts, **receipt_facts(receipt)}
        response = yield from self.fetch_exchange(place, NullSink())
        check_digest(receipt.key or receipt.location, receipt.sha256, response.sha256)
        # The version that came with these bytes is theirs, whoever else stores there.
        version = receipt.version or header(response, "etag")
        return receipt.model_copy(update={"version": version})

    def stored_already(self, body: Body, facts: Facts) -> Exchange[Response | None]:
        """Fetch what is there and return the answer when it is this body, else None.

        When the answer to a store was lost, the service refuses the next attempt for what the first
        one did. A storage asks so which of the two it was.
        """
        try:
            response = yield from self.fetch_exchange(facts, NullSink())
        except (ResponseError, SecretError, ConfigurationError):
            return None
        return response if response.sha256 == body.sha256() else None

    def _get(self, key: str | Receipt | None, limit: int | None) -> Exchange[bytes]:
        sink = MemorySink(limit)
        yield from self._fetch(key, sink)
        return sink.getvalue()

    def download_exchange(self, path: Path, key: str | Receipt | None) -> Exchange[int]:
        """Write an artifact to a file, as `Storage.download` says."""
        if path.is_dir() or not path.parent.is_dir():
            message = f"there is no place for a file {os.fspath(path)!r}"
            raise ConfigurationError(message, hint="name a file in a directory that exists")
        sink = FileSink(path)
        try:
            yield from self._fetch(key, sink)
            yield Work(sink.commit)
        finally:
            sink.discard()
        return sink.size

    def _fetch(self, key: str | Receipt | None, sink: Sink) -> Exchange[None]:
        """Fetch, compare the digest with that of the receipt, and decode."""
        facts = self._facts(key)
        decoding = yield from self._decoding(sink, facts.get("artifact.key", ""))
        response = yield from self.fetch_exchange(facts, decoding or sink)
        receipt = self._receipt(key)
        if receipt is not None:
            check_digest(receipt.key or receipt.location, receipt.sha256, response.sha256)
        if decoding is not None:
            yield Work(decoding.finish)

    def _encoded(self, source: Body, name: str) -> Exchange[Body]:
        """Return what is stored: compressed and encrypted, where the storage says so."""
        if not self._is_staged:
            return source
        keys = yield from self._keys(self.encryption_keys)
        encode = partial(stages.encode, source, compression=self.compression, keys=keys, name=name)
        return cast("Body", (yield Work(encode)))

    def _decoding(self, sink: Sink, name: str) -> Exchange[stages.DecodingSink | None]:
        """Return what undoes that, on the way into the sink; None when there is nothing to undo."""
        if not self._is_staged:
            return None
        keys = yield from self._keys(self.encryption_keys)
        return stages.DecodingSink(
            sink,
            encrypted=bool(self.encryption_keys),
            compression=self.compression,
            keys=keys,
            name=name,
        )

    @property
    def _is_staged(self) -> bool:
        """Tell whether something is done to artifacts before they are stored."""
        return self.compression is not None or bool(self.encryption_keys)

    def _delete(self, key: str | Receipt | None) -> Exchange[None]:
        yield from self.delete_exchange(self._facts(key))
        receipt = self._receipt(key)
        if receipt is not None:
            self.receipts.pop(receipt.key, None)

    def _build(
        self,
        packed: Sequence[_Parcel],
        if_absent: bool = False,  # noqa: FBT001, FBT002 - as they were given
        if_unchanged: bool = False,  # noqa: FBT001, FBT002
        verify: Verify | None = None,
    ) -> Exchange[Self]:
        keys = yield from self._keys(self.signing_keys)
        for parcel in packed:
            known = self._flow_receipt(parcel.name) if if_unchanged else None
            if if_unchanged and known is None:
                message = f"there is no receipt of flow {parcel.name!r} to compare with"
                raise ConfigurationError(message, hint="build it with if_absent=True first")
            options = store_options(if_absent, known)
            staged = yield from self._staged(parcel)
            body = MeasuredBody(BytesBody(staged.seal(keys)))
            facts = StoreFacts(flow_facts(parcel.name, parcel.key), body)
            self.remember((yield from self._store(body, facts, options, verify)))
            self._pending.pop(parcel.name, None)
        return self

    def _staged(self, parcel: _Parcel) -> Exchange[Packed]:
        """Return what is sealed: what is signed is the compressed and encrypted payload."""
        if not self._is_staged:
            return parcel.packed
        plain = BytesBody(parcel.packed.payload)
        body = yield from self._encoded(plain, self._payload_name(parcel.name))
        payload: bytes = yield Work(lambda: b"".join(body.chunks()))
        return parcel.packed.staged(payload, STAGES)

    def _payload_name(self, flow: str) -> str:
        """Return the name to which a flow's payload is bound; a script may hold several flows."""
        return "" if self.stored_as_script else flow

    def _fetch_flow(self, name: str, trust: Trust) -> Exchange[Admitted]:
        keys = yield from self._keys(self.signing_keys)
        decoding = yield from self._keys(self.encryption_keys)
        sink = MemorySink(flow_format.SIZE_LIMIT)
        yield from self._fetch_sealed(name, sink)
        decode = partial(
            stages.decode,
            encrypted=bool(self.encryption_keys),
            compression=self.compression,
            keys=decoding,
            name=self._payload_name(name),
            limit=flow_format.SIZE_LIMIT,
        )
        receipt = self._flow_receipt(name)
        admit = partial(
            flow_format.admit,
            sink.getvalue(),
            name=name,
            script=self.stored_as_script,
            pinned=receipt.sha256 if receipt else None,
            keys=keys,
            trust=trust,
            decode=decode if self._is_staged else None,
            must_decode=bool(self.encryption_keys),
        )
        return cast("Admitted", (yield Work(admit)))

    def _verify_flow(self, name: str, receipt: Receipt | None) -> Exchange[Verified]:
        receipt = receipt or (self._flow_receipt(name) if name in self.flows else None)
        return (
            yield from flow_format.verify_flow(
                partial(self._fetch_sealed, name, receipt=receipt),
                self.signing_keys,
                name=name,
                script=self.stored_as_script,
                pinned=receipt.sha256 if receipt else None,
                must_decode=bool(self.encryption_keys),
            )
        )

    def _fetch_sealed(
        self, name: str, sink: Sink, receipt: Receipt | None = None
    ) -> Exchange[Response]:
        """Fetch a flow as it is stored, where that receipt says or the storage's own.

        Raises:
            FlowNotFoundError: When it is not of this storage.
        """
        if name not in self.flows:
            message = f"flow {name!r} is not contained in this storage"
            hint = f"it has: {', '.join(map(repr, self.flows)) or 'none'}"
            raise FlowNotFoundError(message, hint=hint)
        receipt = receipt or self._flow_receipt(name)
        facts = receipt_facts(receipt) if receipt else {}
        return (yield from self.fetch_exchange(facts | flow_facts(name, self.flows[name]), sink))

    def _keys(self, placeholders: Mapping[str, str]) -> Exchange[dict[str, SecretValue]]:
        """Resolve keys by id; without any nobody is asked."""
        if not placeholders:
            return {}
        return cast("dict[str, SecretValue]", (yield Wanted(placeholders)))

    def _pack(self) -> Sequence[_Parcel]:
        """Return all flows in bytes. What fails here fails before anything is sent."""
        if self.stored_as_script:
            return self._pack_script()
        expires = flow_format.expiry(self.expire_after)
        return [
            _Parcel(name, self.flows[name], flow_format.pack(flow, name, expires=expires))
            for name, flow in self._pending.items()
        ]

    def _pack_script(self) -> Sequence[_Parcel]:
        """Return the script once for each place in which it is to be stored."""
        if not self.flows:
            return []
        packed = flow_format.pack_script(
            self.flow_script_path, self.flows, expires=flow_format.expiry(self.expire_after)
        )
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
        if receipt is None and key is not None and not self._fetches_by_key():
            raise _useless_key()
        return facts


class _Parcel(NamedTuple):
    """A flow on its way to its place."""

    name: str
    key: str
    packed: Packed


def cannot_hold(options: StoreOptions, path: str, hint: str) -> None:
    """Refuse a condition that a service does not hold, before anything is sent.

    Raises:
        ConfigurationError: When there is one.
    """
    if options.conditional:
        message = "this storage cannot store on a condition, and to look first would be a race"
        raise ConfigurationError(message, path=path, hint=hint)


def store_options(if_absent: bool, if_unchanged: Receipt | str | None) -> StoreOptions:  # noqa: FBT001
    """Return what must hold of what is there."""
    if not if_absent and if_unchanged is None:
        return PLAIN
    if if_absent and if_unchanged is not None:
        message = "if_absent and if_unchanged contradict each other"
        raise ConfigurationError(message, hint="keep one of the two")
    version = if_unchanged.version if isinstance(if_unchanged, Receipt) else if_unchanged
    if if_unchanged is not None and not version:
        message = "there is no version to compare with: the service told none when it stored"
        raise ConfigurationError(message, hint="store with verify='after', or take that of stat()")
    return StoreOptions(if_absent=if_absent, if_version=version)


def _useless_key() -> ConfigurationError:
    """Return the error for a key that would be ignored, and another artifact met."""
    message = "a key was given, and the URL has no ${artifact.key}"
    return ConfigurationError(message, hint="put it into the URL, or leave the key out")


def _check_keys(field: str, keys: Mapping[str, str]) -> None:
    for key_id, text in keys.items():
        parts = parse(text).parts
        if len(parts) != 1 or not _is_secret(parts[0]):
            message = "a key is a placeholder, for example ${FLOW_KEY}, never the key itself"
            raise ConfigurationError(message, path=f"{field}.{key_id}")


def _is_secret(part: str | Placeholder) -> bool:
    """Tell whether this is a secret without a default, which would be a key that anybody knows."""
    return (
        isinstance(part, Placeholder)
        and isinstance(part.source, Reference)
        and part.operator != ":-"
    )
