"""Few pools of connections are kept, and none that is in use is given up."""

from __future__ import annotations

from functools import partial

import pytest

from tests.sending.support import caught
from webhook_storage.transport.pools import Pools


def take(pools: Pools[str], *keys: str) -> None:
    """Use pools one after the other."""
    for key in keys:
        pools.give_back(pools.take(key, partial(str, key)))


def test_pool_is_made_once() -> None:
    """The same key gets the same connections, at the same time as well."""
    pools = Pools[object]()
    first, second = pools.take("a", object), pools.take("a", object)
    other = pools.take("b", object)
    assert first is second
    assert first.connections is not other.connections
    assert (2, 2) == (first.users, len(pools))


def test_longest_unused_goes_first() -> None:
    """What was used again is no longer the oldest."""
    pools = Pools[str](most=2)
    take(pools, "a", "b")
    assert [] == pools.surplus()
    take(pools, "a", "c", "d")
    assert ["b", "a"] == pools.surplus()
    assert [] == pools.surplus()
    take(pools, "c", "e")
    assert ["d"] == pools.surplus()


def test_what_is_in_use_stays() -> None:
    """More than are kept stay as long as they are used, and go later."""
    pools = Pools[str](most=1)
    used = [pools.take(key, partial(str, key)) for key in "abc"]
    assert [] == pools.surplus()
    pools.give_back(used[1])
    assert ["b"] == pools.surplus()
    again = pools.take("a", str)
    pools.give_back(used[0])
    pools.give_back(used[2])
    assert ["c"] == pools.surplus()
    pools.give_back(again)
    take(pools, "d")
    assert ["a"] == pools.surplus()


def test_clear() -> None:
    """All are handed out to be closed, and new ones can be made."""
    pools = Pools[str]()
    held = pools.take("a", lambda: "a")
    assert ["a"] == pools.clear()
    assert [] == pools.clear()
    pools.give_back(held)
    assert "new" == pools.take("a", lambda: "new").connections


def test_pool_that_cannot_be_made() -> None:
    """A failure leaves nothing behind, and the next one may have more luck."""
    pools = Pools[float]()
    error = caught(partial(pools.take, "a", lambda: 1 / 0))
    assert (ZeroDivisionError, 0) == (type(error), len(pools))
    assert 1 == pools.take("a", lambda: 1).connections


@pytest.mark.parametrize("most", [0, 1, 16])
def test_most(most: int) -> None:
    """No more than so many are left."""
    pools = Pools[str](most=most)
    take(pools, *map(str, range(40)))
    assert 40 - most == len(pools.surplus())
    assert most == len(pools)
