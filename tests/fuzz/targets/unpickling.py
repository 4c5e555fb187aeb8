"""Pickles of which nobody knows who made them, where only data is allowed."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import pathlib
import pickle
import uuid

from tests.fuzz.kit import refusals
from webhook_storage.unpickling import restricted_loads

_VALUE = {
    "rows": [1, -2.5, 10**30, None, True, "text", b"bytes", bytearray(b"x")],
    "time": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    "kinds": (decimal.Decimal("1.50"), uuid.UUID(int=7), pathlib.PurePosixPath("a/b"), {1}),
    "more": (
        collections.OrderedDict(a=1), collections.deque([1], 3), frozenset({2}), 1j, range(3),
        collections.Counter("aab"), collections.defaultdict(list, a=[1]), slice(1, 2),
    ),
}  # fmt: skip

SEEDS = (
    *(pickle.dumps(_VALUE, protocol) for protocol in range(6)),
    pickle.dumps([[[()]]] * 3),
    b"cos\nsystem\n(Vecho\ntR.",
    b"(dp0\nS'a'\np1\nI1\nsg1\nL5L\ns.",
)
WORDS = (
    b"\x80\x04", b".", b"(", b")", b"]", b"}", b"\x8f", b"\x90", b"\x91", b"\x85", b"\x86", b"\x87",
    b"t", b"a", b"e", b"s", b"u", b"R", b"b", b"\x81", b"\x92", b"\x93", b"\x94", b"h\x00", b"0",
    b"1", b"2", b"q\x00", b"N", b"\x88", b"J\xff\xff\xff\x7f", b"\x8a\xff", b"\x8b\xff\xff\xff\x7f",
    b"X\xff\xff\xff\xff", b"B\xff\xff\xff\x7f", b"\x95", b"cbuiltins\nset\n", b"\x96",
    b"cbuiltins\nbytearray\n", b"cdecimal\nDecimal\n", b"ccollections\ndeque\n",
    b"cuuid\nUUID\n", b"cdatetime\ntimedelta\n", b"ccopyreg\n_reconstructor\n",
    b"c_codecs\nencode\n",
    b"cbuiltins\nrange\n", b"cbuiltins\ncomplex\n", b"V1e999999999\n", b"I9\n", b"F1e999\n",
)  # fmt: skip

_STEPS = 10_000


def target(data: bytes) -> None:
    """Load it: what comes back is data, and nothing was imported or called for it."""
    with refusals():
        found = restricted_loads(data, max_bytes=max(64, len(data)), max_steps=_STEPS)
        assert (
            not callable(found)
            or isinstance(found, type)
            or found.__module__.startswith("webhook_storage")
        )
