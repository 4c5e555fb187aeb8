"""The operations of a storage as the command names them, to be looked at before they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from webhook_storage.artifact import BytesBody, MeasuredBody, MemorySink, as_body
from webhook_storage.contracts import Exchange, Request, Wanted
from webhook_storage.errors import ConfigurationError
from webhook_storage.flows import slugify
from webhook_storage.receipt import build_time
from webhook_storage.render import templates
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from webhook_storage.receipt import Receipt
    from webhook_storage.storage import Storage
    from webhook_storage.template import Template

OPERATIONS = ("store", "fetch", "exists", "delete", "list")


class Use(NamedTuple):
    """A secret of a definition.

    Attributes:
        reference: What is looked up.
        operations: Which operations need it.
        optional: Whether there is a default wherever it stands.
    """

    reference: Reference
    operations: tuple[str, ...]
    optional: bool


def exchange(
    storage: Storage, operation: str, key: str | None = None, file: Path | None = None
) -> Exchange[Any]:
    """Return the exchange of an operation.

    Args:
        storage: Whose.
        operation: One of `OPERATIONS`.
        key: The artifact's key, or the name of a flow.
        file: What would be stored; nothing by default.
    """
    if operation == "store":
        body = MeasuredBody(as_body(file) if file else BytesBody(b""))
        stored = {
            "artifact.size": str(body.size),
            "artifact.sha256": body.sha256(),
            "build.time": build_time(),
        }
        return storage.store_exchange(body, {**_named(storage, key), **stored})
    facts = {**_named(storage, key), **_remembered(storage.receipts.get(key or ""))}
    if operation == "fetch":
        return storage.fetch_exchange(facts, MemorySink())
    if operation == "exists":
        return storage.stat_exchange(facts)
    if operation == "delete":
        return storage.delete_exchange(facts)
    return storage.list_exchange({})


def secrets_of(storage: Storage) -> list[Use]:
    """Return the secrets that the first request of each operation, and the signing keys, need."""
    places: dict[Reference, dict[str, None]] = {}
    required: set[Reference] = set()
    for operation, template in _templates(storage):
        for reference in template.references():
            places.setdefault(reference, {})[operation] = None
        needed = template.problems(lambda _: None)
        required.update(each.source for each in needed if isinstance(each.source, Reference))
    return [Use(each, tuple(names), each not in required) for each, names in places.items()]


def _templates(storage: Storage) -> Iterator[tuple[str, Template]]:
    """Yield all templates with the operation that they belong to."""
    for operation in OPERATIONS:
        for wish in _first_wishes(storage, operation):
            if isinstance(wish, Wanted):
                texts = [(name, parse(text)) for name, text in wish.templates.items()]
            else:
                texts = list(templates(wish))
            for _, template in texts:
                yield operation, template
    for text in storage.signing_keys.values():
        yield "signing", parse(text)


def _first_wishes(storage: Storage, operation: str) -> Iterator[Request | Wanted]:
    """Yield what an operation wants up to its first request; nothing when there is no such one."""
    steps = exchange(storage, operation, "key")
    try:
        wish = next(steps)
        while isinstance(wish, Wanted):
            yield wish
            wish = steps.send({name: SecretValue("") for name in wish.templates})
        yield wish
    except ConfigurationError:
        return
    finally:
        steps.close()


def _named(storage: Storage, key: str | None) -> dict[str, str]:
    """Return the facts that a key, or a flow's name, stands for."""
    if key is None:
        return {}
    naming = storage.naming_facts()
    if key in storage.flows or naming & {"flow.name", "flow.slug"}:
        slug = storage.flows.get(key) or slugify(key)
        return {"flow.name": key, "flow.slug": slug, "artifact.key": slug}
    return {"artifact.key": key}


def _remembered(receipt: Receipt | None) -> dict[str, str]:
    """Return the facts of an artifact whose receipt the definition holds."""
    if receipt is None:
        return {}
    facts = {
        "artifact.sha256": receipt.sha256,
        "artifact.size": str(receipt.size),
        "build.time": receipt.build_time,
        "receipt.sha256": receipt.sha256,
        **{f"receipt.{name}": value for name, value in receipt.captures.items()},
    }
    return facts if receipt.version is None else {**facts, "receipt.version": receipt.version}
