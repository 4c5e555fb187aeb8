"""The format in which code is stored, and the question whether it may be loaded."""

from __future__ import annotations

import hashlib
import platform

from tests.fuzz.kit import refusals
from webhook_storage.envelope import MAGIC, Header, seal, unseal
from webhook_storage.flows import admit
from webhook_storage.secret import SecretValue

_KEYS = {"k1": SecretValue("key of this target"), "k2": SecretValue("another")}
_PAYLOAD = b"payload"
_HEADER = Header(
    kind="pickle",
    names=("etl",),
    sha256=hashlib.sha256(_PAYLOAD).hexdigest(),
    size=len(_PAYLOAD),
    created="2026-01-01T00:00:00Z",
    python=f"CPython {platform.python_version()}",
    cloudpickle="3.1.0",
    expires="2999-01-01T00:00:00Z",
)
_SCRIPT = Header(
    kind="script", names=("a", "b"), sha256="", size=0, created="", python="", expires=""
)

SEEDS = (
    seal(_HEADER, _PAYLOAD, _KEYS),
    seal(_HEADER, _PAYLOAD, {}),
    seal(_SCRIPT, b"", _KEYS),
    MAGIC,
    b'{"flow": "gASVCwAAAAAAAACMB3BheWxvYWSULg=="}',
    b"<!DOCTYPE html>",
)
WORDS = (
    MAGIC, b"\0\0\0\1", b"\xff\xff\xff\xff", b"[", b"{}", b'""', b"null", b"1e999", b"NaN",
    b'"size":', b'"names":', b'"expires":', b'"keyid":', b'"alg":', b'"sig":', b"\\ud800",
)  # fmt: skip


def target(data: bytes) -> None:
    """Open the bytes, compare what can be compared, ask whether they may be loaded."""
    with refusals():
        envelope = unseal(data)
        if envelope is not None:
            assert all(isinstance(key_id, str) for key_id in envelope.key_ids)
            envelope.check_payload()
            envelope.verify(_KEYS)
    for pinned in (None, hashlib.sha256(data).hexdigest()):
        with refusals():
            admit(data, name="etl", script=False, pinned=pinned, keys=_KEYS, trust="verified")
    with refusals():
        admit(data, name="a", script=True, pinned=None, keys={}, trust="unsigned")
