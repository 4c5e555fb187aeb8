"""Digest authentication (RFC 7616) against a server that looks at every parameter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from tests.fakes.digest import PASSWORD, USER, DigestService
from tests.fakes.http import text_answer
from tests.sending.support import HTTPX, MODES, Mode, caught, plain
from webhook_storage.auth.digest import challenges
from webhook_storage.errors import AuthenticationError, UnsafeValueError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage import Storage

modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
SECRETS = {"P": PASSWORD}


@pytest.fixture
def service() -> Iterator[DigestService]:
    """A service that takes proofs only."""
    with DigestService() as server:
        yield server


def storage(service: DigestService, user: str = USER) -> Storage:
    """Return a storage of that service."""
    return plain(service.url, auth={"type": "digest", "username": user, "password": "${P}"})


@modes
def test_what_is_stored_is_fetched(mode: Mode, service: DigestService) -> None:
    """The first request asks for the challenge, and it serves the others."""
    key = "a b+\u00e9%25;x=1"
    with mode.sending(SECRETS):
        mode.call(storage(service), "put", b"31 rows", key)
        assert b"31 rows" == mode.call(storage(service), "get", key)
    assert ["00000001", "00000002"] == [proof["nc"] for proof in service.proofs]
    assert 1 == len({proof["cnonce"] for proof in service.proofs})


@modes
def test_a_wrong_password(mode: Mode, service: DigestService) -> None:
    """It is tried once for each request, and told as such."""
    with mode.sending({"P": "another password"}, attempts=3):
        error = caught(lambda: mode.call(storage(service), "put", b"31 rows", "a"))
    assert (AuthenticationError, 2, {}) == (type(error), len(service.requests), service.files)


@pytest.mark.parametrize("algorithm", [None, "MD5", "SHA-256", "SHA-512-256", "SHA-256-sess"])
@pytest.mark.parametrize("qop", ["auth", "auth-int, auth", None])
def test_each_algorithm(service: DigestService, algorithm: str | None, qop: str | None) -> None:
    """With each kind of proof that leaves the body out."""
    if qop is None and algorithm == "SHA-256-sess":
        return  # a session has a client's nonce, which a proof without a kind does not
    service.algorithm, service.qop = algorithm, qop
    with HTTPX.sending(SECRETS):
        storage(service).put(b"31 rows", "a")
        assert b"31 rows" == storage(service).get("a")
    assert 3 == len(service.requests)


@pytest.mark.parametrize(
    "challenge",
    [
        'Digest realm="a", nonce="b", qop="auth-int"',
        'Digest realm="a", nonce="b", algorithm=SHA3-256',
        'Digest realm="a", nonce="b", algorithm=-sess',
        'Digest realm="a"',
        'Digest nonce="b"',
        'Digest realm="\u00e9", nonce="b"',
        "Digest",
        "Digest abc==",
        'Other realm="a", nonce="b"',
        "Negotiate",
        'Basic realm="Digest realm=a, nonce=b"',
        ", ,=,",
    ],
)
def test_a_challenge_that_cannot_be_answered(service: DigestService, challenge: str) -> None:
    """The error says that it is another type of auth, and no proof is sent."""
    service.template = challenge
    with HTTPX.sending(SECRETS):
        error = caught(lambda: storage(service).put(b"31 rows", "a"))
    assert (AuthenticationError, 1) == (type(error), len(service.requests))
    assert "no digest that is known" in str(error)


@pytest.mark.parametrize(
    "template",
    [
        "Negotiate, {}",
        "{}, Negotiate",
        'Basic realm="x, y", {}, NTLM abc==',
        'Digest realm="a", nonce="b", algorithm=SHA3-256, {}',
        'Digest realm="a", nonce="b", qop="auth-int", {}',
        "{}, unknown=7",
    ],
)
def test_one_of_several_challenges_is_answered(service: DigestService, template: str) -> None:
    """Others, in the same header, do not matter."""
    service.template = template
    with HTTPX.sending(SECRETS):
        storage(service).put(b"31 rows", "a")
    assert {"/a": b"31 rows"} == service.files


@modes
@pytest.mark.parametrize("uses", [1, 2])
def test_a_nonce_that_has_ended_is_replaced(mode: Mode, service: DigestService, uses: int) -> None:
    """The server says that it is stale, and the request is sent once more."""
    service.uses = uses
    with mode.sending(SECRETS):
        for number in range(4):
            mode.call(storage(service), "put", b"31 rows", str(number))
    assert 4 == len(service.files)


@pytest.mark.parametrize("user", ['a"b\\c', "J\u00fcrgen\u20ac", "a, b=c"])
def test_every_name_of_a_user(service: DigestService, user: str) -> None:
    """It changes nothing around it."""
    service.user = user
    with HTTPX.sending({**SECRETS, "U": user}):
        storage(service, "${U}").put(b"31 rows", "a")
    assert {"/a": b"31 rows"} == service.files


def test_a_name_of_several_lines(service: DigestService) -> None:
    """It is refused, and not shown."""
    with HTTPX.sending({**SECRETS, "U": "canary\r\nX-Evil: 1"}):
        error = caught(lambda: storage(service, "${U}").put(b"31 rows", "a"))
    assert isinstance(error, UnsafeValueError)
    assert "canary" not in f"{error} {error.hint}"
    assert 1 == len(service.requests)


def test_the_name_of_a_user_is_found_in_innocent_text(service: DigestService) -> None:
    """It stands in the definition, and what a service says with it is shown."""
    with HTTPX.sending(SECRETS):
        storage(service).put(b"x", "a")
        service.inject(text_answer(418, "alice had her tea"))
        error = caught(lambda: storage(service).get("a"))
    assert "alice had her tea" in str(error)


def test_threads_use_each_count_once(service: DigestService) -> None:
    """So no request of several at the same time is taken for a repeated one."""
    with HTTPX.sending(SECRETS) as sender, ThreadPoolExecutor(8) as threads:

        def put(number: int) -> None:
            with sender:
                storage(service).put(b"31 rows", str(number))

        put(0)
        list(threads.map(put, range(1, 25)))
    assert 25 == len(service.files)
    assert 25 == len({proof["nc"] for proof in service.proofs}) == len(service.proofs)


def test_each_server_has_its_own_challenge(service: DigestService) -> None:
    """One is not answered to another, and that of the first is kept meanwhile."""
    with DigestService() as other, HTTPX.sending(SECRETS):
        for key in ("a", "b", "c"):
            storage(service).put(b"31 rows", key)
            storage(other).put(b"31 rows", key)
        assert [4, 4] == [len(service.requests), len(other.requests)]


def test_a_large_artifact_is_sent_once(service: DigestService) -> None:
    """The challenge is asked for before."""
    with HTTPX.sending(SECRETS):
        storage(service).put(b"x" * 100_000, "a")
    assert ["GET", "PUT"] == [request.method for request in service.requests]


def test_a_client_of_somebody_else_is_served_by_the_fake(service: DigestService) -> None:
    """The library requests is, and with a wrong password it is not."""
    service.realm = "files"  # it cannot quote
    auth = requests.auth.HTTPDigestAuth(USER, PASSWORD)
    assert 201 == requests.put(f"{service.url}/a", b"31 rows", auth=auth, timeout=10).status_code
    wrong = requests.auth.HTTPDigestAuth(USER, "another")
    assert 401 == requests.put(f"{service.url}/b", b"31 rows", auth=wrong, timeout=10).status_code
    assert ["/a"] == list(service.files)


def test_challenges_without_an_end() -> None:
    """They are read up to a limit, in no time."""
    assert 8192 >= len(challenges('Digest a="' * 100_000))
