"""A token that a login gave: how long it is used, and that nobody logs in beside a login."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from webhook_storage.contracts import Forbidden, Unavailable
from webhook_storage.lazy import _after_fork
from webhook_storage.secret import SecretValue
from webhook_storage.token import Refusal, Token, TokenCache, _Held

CANARY = "CANARY-token-7f"
DOWN = Unavailable("down")


class Clock:
    """Seconds that go up when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Service:
    """Gives what it is told to give, and remembers with which token in hand it was asked."""

    def __init__(self, *answers: Token | Refusal) -> None:
        self.answers = list(answers)
        self.asked_with: list[Token | None] = []

    def __call__(self, last: Token | None) -> Token | Refusal:
        self.asked_with.append(last)
        return self.answers.pop(0)


def make_token(lifetime: float | None = 100.0, *, renewable: bool = False) -> Token:
    """Return a new token."""
    return Token(SecretValue(CANARY), lifetime, renewable)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> TokenCache:
    """Return an empty cache that lives by the clock."""
    return TokenCache(clock)


# --- how long ---


@pytest.mark.parametrize(("renewable", "until"), [(False, 90.0), (True, 100 * 2 / 3)])
def test_token_is_replaced_before_it_ends(
    tokens: TokenCache,
    clock: Clock,
    renewable: bool,  # noqa: FBT001 - of the token
    until: float,
) -> None:
    """It is used for nine tenths of its life, or for two thirds when it can be renewed."""
    first, second = make_token(renewable=renewable), make_token()
    service = Service(first, second)
    assert first is tokens.get(service)
    clock.now += until - 0.1
    assert first is tokens.get(service)
    clock.now += 0.2
    assert second is tokens.get(service)
    assert [None, first] == service.asked_with


def test_token_that_ended_is_not_renewed(tokens: TokenCache, clock: Clock) -> None:
    """Who comes too late is given no token to renew."""
    first, second = make_token(renewable=True), make_token()
    service = Service(first, second)
    tokens.get(service)
    clock.now += 100
    assert second is tokens.get(service)
    assert [None, None] == service.asked_with


@pytest.mark.parametrize("lifetime", [None, 0, 0.0])
@pytest.mark.parametrize("renewable", [True, False])
def test_token_without_an_end(
    tokens: TokenCache,
    clock: Clock,
    lifetime: float | None,
    renewable: bool,  # noqa: FBT001 - of the token
) -> None:
    """A token of which nobody knows when it ends is used until it is refused."""
    token = make_token(lifetime, renewable=renewable)
    service = Service(token)
    tokens.get(service)
    clock.now += 10**9
    assert token is tokens.get(service)


def test_same_token_gets_no_new_life(tokens: TokenCache, clock: Clock) -> None:
    """A login that goes on with the last token is asked again, and at its end gets none."""
    token, last = make_token(renewable=True), make_token()
    service = Service(token, token, token, last)
    tokens.get(service)
    clock.now += 70
    assert [token, token] == [tokens.get(service), tokens.get(service)]
    assert [None, token] == service.asked_with
    clock.now += 21
    assert token is tokens.get(service)
    assert [None, token, token] == service.asked_with
    clock.now += 9
    assert last is tokens.get(service)
    assert [None, token, token, None] == service.asked_with


def test_renewed_token_has_a_new_life(tokens: TokenCache, clock: Clock) -> None:
    """The same value with a new lifetime is a new token."""
    first, renewed = make_token(renewable=True), make_token(renewable=True)
    service = Service(first, renewed)
    tokens.get(service)
    for _ in range(2):
        clock.now += 66
        tokens.get(service)
    clock.now += 65
    assert renewed is tokens.get(Service())


# --- refusals ---


def test_refusal_is_not_kept(tokens: TokenCache) -> None:
    """Whoever asks later has the login tried again."""
    token = make_token()
    service = Service(DOWN, Forbidden("wrong"), token)
    assert [DOWN, Forbidden("wrong"), token] == [tokens.get(service) for _ in range(3)]
    assert [None] * 3 == service.asked_with


def test_refusal_takes_the_last_token_along(tokens: TokenCache, clock: Clock) -> None:
    """A login that does not go on with the last token ends it."""
    first, second = make_token(), make_token()
    service = Service(first, DOWN, second)
    tokens.get(service)
    clock.now += 95
    assert [DOWN, second] == [tokens.get(service), tokens.get(service)]
    assert [None, first, None] == service.asked_with


def test_login_that_raises_leaves_no_lock(tokens: TokenCache) -> None:
    """A fault is the caller's, and the next login is tried as ever."""

    def fails(_: Token | None) -> Token:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tokens.get(fails)
    token = make_token()
    assert token is tokens.get(Service(token))


def test_forgotten_token_is_replaced_once(tokens: TokenCache) -> None:
    """Whoever finds later that an old token is refused does not take the new one away."""
    first, second = make_token(), make_token()
    service = Service(first, second)
    tokens.get(service)
    tokens.forget(first)
    assert second is tokens.get(service)
    tokens.forget(first)
    assert second is tokens.get(service)
    assert [None, None] == service.asked_with


def test_cleared_cache_starts_anew(tokens: TokenCache) -> None:
    """After clearing there is no token to renew either."""
    first, second = make_token(), make_token()
    service = Service(first, second)
    tokens.get(service)
    for _ in range(2):
        tokens.clear()
    assert second is tokens.get(service)
    assert [None, None] == service.asked_with


# --- at the same time ---


class CountingLock:
    """A lock that tells how many have come to it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.came = threading.Semaphore(0)

    def __enter__(self) -> None:
        self.came.release()
        self.lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self.lock.release()


@pytest.mark.parametrize("answer", [make_token(), DOWN], ids=["token", "refusal"])
def test_login_is_shared(tokens: TokenCache, answer: Token | Refusal) -> None:
    """All who wait for a login get what it came to, a refusal too."""
    lock, go_on = CountingLock(), threading.Event()
    tokens._held.get(_Held).lock = lock  # type: ignore[assignment]
    logins: list[Token | None] = []

    def log_in(last: Token | None) -> Token | Refusal:
        logins.append(last)
        assert go_on.wait(30)
        return answer

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(tokens.get, log_in) for _ in range(8)]
        assert all(lock.came.acquire(timeout=30) for _ in range(8))
        go_on.set()
        assert [answer] * 8 == [each.result(30) for each in waiting]
    assert [None] == logins


def test_old_refusal_is_told_to_nobody() -> None:
    """A login that succeeded makes an end of the refusal before it."""
    held = _Held()
    held.keep(DOWN, 0.0)
    assert (None, DOWN) == (held.token, held.refusal)
    token = make_token()
    held.keep(token, 0.0)
    assert (token, None) == (held.token, held.refusal)


def test_forgetting_waits_for_the_login(tokens: TokenCache) -> None:
    """A token that is forgotten while another login is under way does not take that one along."""
    old, new = make_token(), make_token()
    tokens.get(Service(old))
    tokens.forget(old)
    inside, go_on = threading.Event(), threading.Event()

    def log_in(_: Token | None) -> Token:
        inside.set()
        assert go_on.wait(30)
        return new

    with ThreadPoolExecutor(2) as pool:
        login = pool.submit(tokens.get, log_in)
        assert inside.wait(30)
        forgotten = pool.submit(tokens.forget, old)
        go_on.set()
        assert new is login.result(30)
        forgotten.result(30)
    assert new is tokens.get(Service())


# --- what stays here ---


def test_other_process_logs_in_for_itself(tokens: TokenCache) -> None:
    """A child does not use the token of its parent, and its parent's lock does not stop it."""
    mine, theirs = make_token(), make_token()
    tokens.get(Service(mine))
    lock = tokens._held.get(_Held).lock
    _after_fork()
    with lock:
        assert theirs is tokens.get(Service(theirs))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_holds_no_token(protocol: int) -> None:
    """A pickle is that of an empty cache, as is a deep copy."""
    tokens, token = TokenCache(), make_token()
    tokens.get(Service(token))
    pickled = pickle.dumps(tokens, protocol)
    assert CANARY.encode() not in pickled
    for other in (pickle.loads(pickled), copy.deepcopy(tokens)):  # noqa: S301 - made above
        assert DOWN == other.get(Service(DOWN))
    assert token is tokens.get(Service())


def test_clock_goes_along() -> None:
    """A copy lives by the same clock."""
    tokens = TokenCache(Clock())
    assert isinstance(copy.deepcopy(tokens)._clock, Clock)


def test_nothing_shows_the_token(tokens: TokenCache) -> None:
    """The cache shows nothing, and a token not its value."""
    token = make_token()
    tokens.get(Service(token))
    assert "<TokenCache>" == repr(tokens)
    assert "Token(value=<secret>, lifetime=100.0, renewable=False)" == repr(token)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(token)
