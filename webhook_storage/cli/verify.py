"""What ``verify`` finds out: who vouches for a flow or an artifact, without loading it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from webhook_storage.answer import check_digest
from webhook_storage.errors import ConfigurationError, TrustError
from webhook_storage.facts import artifact_facts, receipt_facts
from webhook_storage.sender import current_sender
from webhook_storage.verification import verify_artifact

if TYPE_CHECKING:
    from webhook_storage.contracts import Exchange
    from webhook_storage.receipt import Receipt
    from webhook_storage.storage import Storage
    from webhook_storage.verification import Verified


def document(storage: Storage, key: str | None, receipt: Receipt | None) -> dict[str, object]:
    """Return what vouches for an artifact, to be printed; null stands for what it does not say.

    Args:
        storage: Where it is.
        key: A flow's name, or the key of a flow or an artifact; None when there is only one.
        receipt: The receipt whose digest it must have, None for that of the storage.

    Raises:
        TrustError: When nothing vouches for it.
        IntegrityError: When it has another digest than the receipt says.
    """
    name = _flow(storage, receipt.key if receipt else key)
    if name is None:
        found = current_sender().run(_verify_artifact(storage, key, receipt))
    else:
        found = storage.verify_flow(name, receipt)
    if receipt is not None:
        check_digest(found.name or "the artifact", receipt.sha256, found.sha256)
    told = {field: None if value == "" else value for field, value in asdict(found).items()}
    told["receipt"] = told.pop("pinned")
    return told


def _flow(storage: Storage, key: str | None) -> str | None:
    """Return the flow that a key or name means, None when it means an artifact that is none."""
    if not key and len(storage.flows) > 1:
        message = f"the definition has {len(storage.flows)} flows"
        hint = f"say which one by --key: {', '.join(map(repr, storage.flows))}"
        raise ConfigurationError(message, hint=hint)
    if not key:
        return next(iter(storage.flows), None)
    return next((name for name, slug in storage.flows.items() if key in {name, slug}), None)


def _verify_artifact(
    storage: Storage, key: str | None, receipt: Receipt | None
) -> Exchange[Verified]:
    known = receipt or storage.receipts.get(key or "")
    if known is None:
        message = f"nothing vouches for {repr(key) if key else 'the artifact'}: there is no receipt"
        hint = "give its receipt by --receipt, or keep it in the definition: put --remember"
        raise TrustError(message, hint=hint)
    facts = artifact_facts(key) | receipt_facts(known)
    return verify_artifact(
        lambda sink: storage.fetch_exchange(facts, sink), name=known.key, pinned=known.sha256
    )
