"""A client that is made when it is first needed, and never leaves the process that made it."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from webhook_storage.lazy import PerProcess, _after_fork

CANARY = "CANARY-lazy-4d"


class Client:
    """Something to hold, with a secret in it."""

    def __init__(self) -> None:
        self.token = CANARY


@pytest.fixture
def held() -> PerProcess[Client]:
    """Return one that holds nothing yet."""
    return PerProcess()


def test_it_is_made_once(held: PerProcess[Client]) -> None:
    """The first who asks makes it, the others share it."""
    assert held.peek() is None
    first = held.get(Client)
    assert first is held.get(Client)
    assert first is held.peek()


def test_threads_make_one(held: PerProcess[Client]) -> None:
    """However many ask at the same time, one of them makes it."""
    start = threading.Barrier(16)
    made: list[Client] = []

    def make() -> Client:
        made.append(Client())
        return made[-1]

    def wait_and_get(_: int) -> Client:
        start.wait(30)
        return held.get(make)

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(wait_and_get, range(16)))
    assert 1 == len(made)
    assert made * 16 == got


def test_waiting_threads_get_what_another_makes(held: PerProcess[Client]) -> None:
    """Who asks while one is being made waits for that one."""
    making, go_on = threading.Event(), threading.Event()

    def slow() -> Client:
        making.set()
        assert go_on.wait(30)
        return Client()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(held.get, slow)
        assert making.wait(30)
        second = pool.submit(held.get, _never)
        go_on.set()
        assert first.result(30) is second.result(30)


def _never() -> Client:
    raise AssertionError("one is being made already")


def test_fault_is_raised_and_not_kept(held: PerProcess[Client]) -> None:
    """What cannot be made is the caller's fault to handle; the next caller may do better."""

    def fails() -> Client:
        raise OSError("no")

    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            held.get(fails)
    assert held.peek() is None
    assert isinstance(held.get(Client), Client)


def test_taken_it_is_held_no_more(held: PerProcess[Client]) -> None:
    """Who takes it closes it; the next who asks makes another one."""
    assert held.take() is None
    first = held.get(Client)
    assert first is held.take()
    assert held.take() is None
    assert held.peek() is None
    assert first is not held.get(Client)


@pytest.mark.parametrize("method", ["get", "take", "peek"])
def test_other_process_does_not_see_it(held: PerProcess[Client], method: str) -> None:
    """In a child there is nothing yet, even when the parent's lock was held at the fork."""
    mine = held.get(Client)
    with held._lock:
        _after_fork()
        if method == "get":
            assert mine is not held.get(Client)
        else:
            assert getattr(held, method)() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_in_the_middle_of_making(held: PerProcess[Client]) -> None:
    """A child that was forked while a thread made one can make its own."""
    making, go_on = threading.Event(), threading.Event()

    def slow() -> Client:
        making.set()
        assert go_on.wait(30)
        return Client()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(held.get, slow)
        assert making.wait(30)
        child = os.fork()
        if not child:  # pragma: no cover - a forked child reports no coverage
            os._exit(0 if held.peek() is None and held.get(Client) is held.get(_never) else 1)
        go_on.set()
        _, status = os.waitpid(child, 0)
        assert 0 == os.waitstatus_to_exitcode(status)
        assert first.result(30) is held.peek()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_is_empty(held: PerProcess[Client], protocol: int) -> None:
    """A pickle leaves it behind, and what is made from the pickle works."""
    mine = held.get(Client)
    pickled = pickle.dumps(held, protocol)
    assert CANARY.encode() not in pickled
    other: PerProcess[Client] = pickle.loads(pickled)  # noqa: S301 - made above
    assert other.peek() is None
    assert mine is not other.get(Client)
    assert mine is held.peek()


@pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy])
def test_copy_is_empty(held: PerProcess[Client], make_copy: object) -> None:
    """A copy makes its own, so that closing it does not close this one's."""
    mine = held.get(Client)
    assert callable(make_copy)
    other = make_copy({"nested": held})["nested"] if make_copy is copy.deepcopy else make_copy(held)
    assert other.peek() is None
    assert mine is not other.get(Client)


def test_nothing_shows_it(held: PerProcess[Client]) -> None:
    """Its text is the same for everything."""
    held.get(Client)
    assert "<PerProcess>" == repr(held) == str(held)
    assert not hasattr(held, "__dict__")
