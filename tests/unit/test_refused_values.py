"""After a server has refused a secret, its store is asked again, and not too often."""

from __future__ import annotations

from threading import Thread

import pytest

from tests.unit.stores import Clock, Local, Store, found, one
from webhook_storage import Sender, Webhook
from webhook_storage.contracts import Forbidden, Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.errors import AuthenticationError
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing import FakeTransport

TOKEN = Reference("TOKEN")


def used(resolution: Resolution) -> dict[Reference, SecretValue]:
    """Resolve the token and return what a request would carry."""
    outcome = one(resolution, TOKEN)
    assert isinstance(outcome, Found)
    return {TOKEN: outcome.value}


def test_a_new_value_is_fetched() -> None:
    """What a server refused is not given again when the store has something else."""
    store = Store({"TOKEN": found("old")})
    resolution = Resolution([store])
    refused = used(resolution)
    store.outcomes["TOKEN"] = found("new")
    resolution.forget(refused)
    assert {TOKEN: SecretValue("new")} == used(resolution)


def test_a_value_that_somebody_replaced_is_kept() -> None:
    """Of many requests with the old value only the first to be refused asks the store."""
    store = Store({"TOKEN": found("old")})
    resolution = Resolution([store])
    refused = used(resolution)
    store.outcomes["TOKEN"] = found("new")
    for _ in range(100):
        resolution.forget(refused)
        assert {TOKEN: SecretValue("new")} == used(resolution)
    assert 2 == len(store.calls)


def test_a_wrong_value_is_asked_for_less_and_less_often() -> None:
    """A secret that is wrong, and stays so, does not cost a question with each request."""
    store, clock = Store({"TOKEN": found("wrong")}), Clock()
    resolution = Resolution([store], clock=clock, ttl=10**6)
    questions = []
    for _ in range(240):
        resolution.forget(used(resolution))
        questions.append(len(store.calls))
        clock.now += 0.5
    # At the start, and after pauses of 1, 2, 4, ... seconds.
    assert [1, 2, 3, 4, 5, 6, 7, 8] == sorted(set(questions))


def test_the_longest_pause_is_a_minute() -> None:
    """However long a secret has been wrong, it is looked at again each minute."""
    store, clock = Store({"TOKEN": found("wrong")}), Clock()
    resolution = Resolution([store], clock=clock, ttl=10**6)
    for _ in range(20):
        resolution.forget(used(resolution))
        clock.now += 60
    assert 20 == len(store.calls)


def test_a_change_ends_the_pauses() -> None:
    """Who mends the secret, and then has to mend it once more, waits for no pause."""
    store = Store({"TOKEN": found("wrong")})
    resolution = Resolution([store], clock=Clock())
    for value in ("wrong too", "right"):
        refused = used(resolution)
        store.outcomes["TOKEN"] = found(value)
        resolution.forget(refused)
        assert {TOKEN: SecretValue(value)} == used(resolution)


def test_what_is_next_door_is_read_each_time() -> None:
    """There is no pause where an answer costs nothing."""
    store = Local({"TOKEN": found("wrong")})
    resolution = Resolution([store])
    resolution.forget(used(resolution))
    store.outcomes["TOKEN"] = found("right")
    resolution.forget(used(resolution))
    assert {TOKEN: SecretValue("right")} == used(resolution)


# --- a value past its time ---


def outdated(stale_if_error: float, age: float) -> tuple[Store, Resolution, Clock]:
    """Return a resolution whose value is `age` seconds past its time, and whose store is down."""
    store, clock = Store({"TOKEN": found("last")}), Clock()
    resolution = Resolution([store], clock=clock, ttl=100, stale_if_error=stale_if_error)
    one(resolution, TOKEN)
    store.outcomes["TOKEN"] = Unavailable("down")
    clock.now += 110 + age
    return store, resolution, clock


def test_without_leave_an_unavailable_store_is_an_error() -> None:
    """By default nothing is used past its time."""
    _, resolution, _ = outdated(stale_if_error=0, age=1)
    assert Unavailable("down") == one(resolution, TOKEN)


def test_the_last_value_stands_in() -> None:
    """With leave, the last value is used while its store is down, which is asked in pauses."""
    store, resolution, clock = outdated(stale_if_error=60, age=1)
    for _ in range(10):
        assert found("last") == one(resolution, TOKEN)
    assert 2 == len(store.calls)
    clock.now += 1
    store.outcomes["TOKEN"] = found("new")
    assert found("new") == one(resolution, TOKEN)


def test_the_leave_ends() -> None:
    """A value that is too old is used no more."""
    _, resolution, _ = outdated(stale_if_error=60, age=70)
    assert Unavailable("down") == one(resolution, TOKEN)


def test_a_field_of_the_last_value_stands_in() -> None:
    """So does a part of it."""
    store, clock = Store({"TOKEN": found('{"a": "x"}')}), Clock()
    resolution = Resolution([store], clock=clock, ttl=100, stale_if_error=60)
    field = Reference("TOKEN", field="a")
    one(resolution, field)
    store.outcomes["TOKEN"] = Unavailable("down")
    clock.now += 120
    assert found("x") == one(resolution, field)


@pytest.mark.parametrize("said", [NotFound(), Forbidden("closed"), Invalid("no such engine")])
def test_a_store_that_says_no_is_believed(said: Outcome) -> None:
    """A secret that was deleted or closed is gone, also when its store goes down later."""
    store, resolution, clock = outdated(stale_if_error=60, age=1)
    store.outcomes["TOKEN"] = said
    assert said == one(resolution, TOKEN)
    store.outcomes["TOKEN"] = Unavailable("down")
    clock.now += 20
    assert Unavailable("down") == one(resolution, TOKEN)


def test_a_lease_is_not_prolonged() -> None:
    """What a store lent for a time is not used after that time."""
    lent = Found(value=SecretValue("lent"), lifetime=50)
    store, clock = Store({"TOKEN": lent}), Clock()
    resolution = Resolution([store], clock=clock, stale_if_error=600)
    one(resolution, TOKEN)
    store.outcomes["TOKEN"] = Unavailable("down")
    clock.now += 51
    assert Unavailable("down") == one(resolution, TOKEN)


def test_a_refused_value_does_not_stand_in() -> None:
    """What a server refused is used no more, even when its store is down."""
    store, resolution, _ = outdated(stale_if_error=60, age=1)
    resolution.forget(used(resolution))
    assert Unavailable("down") == one(resolution, TOKEN)
    assert 3 == len(store.calls)


def test_the_last_value_stands_in_for_a_store_that_hangs() -> None:
    """Who has waited until the deadline gets the last value too."""
    store, clock = Store({"TOKEN": found("last")}), Clock()
    resolution = Resolution([store], clock=clock, ttl=100, stale_if_error=60, deadline=0.05)
    one(resolution, TOKEN)
    store.gate.clear()
    clock.now += 120
    outcome = one(resolution, TOKEN)
    store.gate.set()
    assert found("last") == outcome


def test_the_leave_ends_in_the_middle_of_a_pause() -> None:
    """However long a store wants to be left alone, the last value is not used beyond its leave."""
    store, resolution, clock = outdated(stale_if_error=60, age=1)
    store.outcomes["TOKEN"] = Unavailable("down", retry_after=3600)
    assert found("last") == one(resolution, TOKEN)
    clock.now += 70
    assert isinstance(one(resolution, TOKEN), Unavailable)


def test_a_refusal_while_the_store_is_down_takes_nothing_from_others() -> None:
    """What one server refused stays in use for others until its time, if nothing newer is had."""
    store, clock = Store({"TOKEN": found("value")}), Clock()
    resolution = Resolution([store], clock=clock, ttl=100)
    refused = used(resolution)
    store.outcomes["TOKEN"] = Unavailable("down")
    resolution.forget(refused)
    assert refused == used(resolution)
    clock.now += 120
    assert Unavailable("down") == one(resolution, TOKEN)


def test_a_server_that_refuses_is_heard_while_the_store_is_down() -> None:
    """The 401 is the error, and not that the store could not be asked anew."""
    store = Store({"TOKEN": found("value")})
    clock = Clock()
    transport = FakeTransport(lambda _: (401, {}, b""))
    fetch = {"url": "https://files.test/f", "headers": {"X": "${TOKEN}"}}
    secrets = Resolution([store], clock=clock, ttl=100)
    one(secrets, TOKEN)
    store.outcomes["TOKEN"] = Unavailable("down")
    with Sender(secrets=secrets, transport=transport), pytest.raises(AuthenticationError):
        Webhook(fetch, "PUT", fetch, "GET").get()
    assert 1 == len(transport.requests)


def test_many_refusals_are_one_question_under_way() -> None:
    """Who is refused while the store is being asked anew waits for that answer."""
    store, clock = Store({"TOKEN": found("old")}), Clock()
    resolution = Resolution([store], clock=clock, deadline=30)
    refused = used(resolution)
    store.gate.clear()
    threads = []
    for _ in range(20):
        resolution.forget(refused)
        threads.append(Thread(target=one, args=(resolution, TOKEN)))
        threads[-1].start()
        store.entered.wait()
        clock.now += 2
    store.gate.set()
    for thread in threads:
        thread.join()
    assert 2 == len(store.calls)
