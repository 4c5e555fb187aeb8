"""What vouches for an artifact, told without loading anything of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook_storage.answer import check_digest
from webhook_storage.artifact import MemorySink
from webhook_storage.contracts import Exchange, Response, Sink, Wanted
from webhook_storage.trust import SIZE_LIMIT, check, not_encoded, vouched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from webhook_storage.secret import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What vouches for an artifact, and what it says of itself.

    Attributes:
        name: The flow, or the artifact's key; empty when there is only one.
        kind: ``pickle``, ``script``, or ``artifact`` for bytes that are no flow.
        size: Number of bytes on the service.
        sha256: Their digest in lower-case hex.
        pinned: Whether that is the receipt's digest, None without a receipt.
        key_id: The key whose signature holds, empty when none is needed.
        algorithm: How that key signs.
        created: Time of storing, RFC 3339 in UTC; this and what follows is empty when the artifact
            does not say it.
        expires: Time after which it is refused.
        python: Implementation and version that stored it.
        encoding: What was done to the payload before it was signed.
    """

    name: str
    kind: str
    size: int
    sha256: str
    pinned: bool | None
    key_id: str = ""
    algorithm: str = ""
    created: str = ""
    expires: str = ""
    python: str = ""
    encoding: str = ""


def verify(
    data: bytes,
    *,
    name: str,
    script: bool,
    pinned: str | None,
    keys: Keys,
    must_decode: bool = False,
    now: datetime | None = None,
) -> Verified:
    """Return what vouches for a flow. Its payload is not looked at, whatever Python stored it.

    Args:
        data: What was fetched.
        name: The flow that was asked for.
        script: Whether the storage holds scripts.
        pinned: SHA-256 of what this storage stored, or None when it stored nothing.
        keys: Keys of which a signature is accepted.
        must_decode: Whether a payload to which nothing was done is refused.
        now: Time that it is, with its zone; None asks the clock.

    Raises:
        TrustError: When nothing vouches for it.
        IntegrityError: When it is not what was stored.
        UnexpectedAnswerError: When it is an HTML page.
    """
    found = vouched(data, name, script=script, pinned=pinned, keys=keys, trust="verified")
    header = None if found.envelope is None else check(found.envelope, name, now)
    if must_decode and not (header and header.encoding):
        raise not_encoded(name)
    claim = found.claim
    return Verified(
        name=name,
        kind=header.kind if header else "script" if script else "pickle",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        pinned=found.pinned,
        key_id=claim.key_id if claim else "",
        algorithm=claim.signature.algorithm if claim else "",
        created=header.created if header else "",
        expires=header.expires if header else "",
        python=header.python if header else "",
        encoding=header.encoding if header else "",
    )


def verify_flow(
    fetch: Callable[[Sink], Exchange[Response]],
    signing_keys: Mapping[str, str],
    *,
    name: str,
    script: bool,
    pinned: str | None,
    must_decode: bool = False,
) -> Exchange[Verified]:
    """Fetch a flow and return what vouches for it; else do as `verify` does.

    Args:
        fetch: The requests that fetch it into a sink.
        signing_keys: Placeholder of a key by key id.
        name: The flow.
        script: Whether the storage holds scripts.
        pinned: SHA-256 of what this storage stored, or None when it stored nothing.
        must_decode: Whether a payload to which nothing was done is refused.
    """
    keys: Keys = (yield Wanted(signing_keys)) if signing_keys else {}
    sink = MemorySink(SIZE_LIMIT)
    yield from fetch(sink)
    return verify(
        sink.getvalue(),
        name=name,
        script=script,
        pinned=pinned,
        keys=keys,
        must_decode=must_decode,
    )


def verify_artifact(
    fetch: Callable[[Sink], Exchange[Response]], *, name: str, pinned: str
) -> Exchange[Verified]:
    """Fetch an artifact, compare its digest, and keep none of its bytes.

    Args:
        fetch: The requests that fetch it into a sink.
        name: Its key, empty when there is only one.
        pinned: SHA-256 in its receipt.

    Raises:
        IntegrityError: When its digest is another.
    """
    response = yield from fetch(_Nowhere())
    check_digest(name or "the artifact", pinned, response.sha256)
    return Verified(
        name=name, kind="artifact", size=response.size, sha256=response.sha256, pinned=True
    )


class _Nowhere:
    """A sink that keeps nothing."""

    blocks = False

    def reset(self) -> None:
        """Have nothing to forget."""

    def write(self, chunk: bytes) -> None:
        """Forget it."""
