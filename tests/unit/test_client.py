"""The client of resolvers: it asks a store once, and whatever happens comes back as data."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import os
import pickle
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme

from tests.fakes.http import Answer, FakeServer, Received, json_answer, text_answer
from tests.sending.raw import Call, RawServer, always, reply
from webhook_storage.client import HttpAnswer, HttpClient, bearer
from webhook_storage.contracts import Deadline, Unavailable
from webhook_storage.document import MISSING
from webhook_storage.testing import canary, find_leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "s.CANARY-of-the-client"
UNKNOWN_CA = Unavailable(
    "the server's certificate was refused: it is signed by an unknown authority"
)
NO_CONNECTION = Unavailable("no connection could be made")


class Store(FakeServer):
    """Says what it was asked to whoever has the token."""

    def answer(self, request: Received, body: bytes) -> Answer:
        """Repeat the request."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return json_answer(403, {"error": "permission denied"})
        return json_answer(200, {"method": request.method, "path": request.target, "n": 1e2})


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the proxies of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def store() -> Iterator[Store]:
    """Run a store."""
    with Store() as running:
        yield running


@pytest.fixture
def client() -> Iterator[HttpClient]:
    """Make a client, and close it."""
    made = HttpClient()
    yield made
    made.close()


def ask(client: HttpClient, url: str, method: str = "GET", **more: Any) -> HttpAnswer | Unavailable:
    """Ask with the right token."""
    return client.ask(method, url, Deadline(10), headers=bearer(TOKEN), **more)


def answer_of(client: HttpClient, url: str, **more: Any) -> HttpAnswer:
    """Ask with the right token for what is answered."""
    answer = ask(client, url, **more)
    assert isinstance(answer, HttpAnswer)
    return answer


def ask_raw(client: HttpClient, *answers: Callable[[Call], bytes]) -> HttpAnswer | Unavailable:
    """Ask a server that answers with these bytes."""
    with RawServer(*answers).serving() as server:
        return ask(client, server.url)


# --- questions and answers ------------------------------------------------------------------------


def test_an_answer_is_data(client: HttpClient, store: Store) -> None:
    """Status, headers and document come back, numbers as they are spelled."""
    answer = answer_of(client, f"{store.url}/v1/a%2Fb?x=1")
    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    assert {"method": "GET", "path": "/v1/a%2Fb?x=1", "n": "100.0"} == answer.document()
    assert answer.text() == answer.body.decode()


def test_a_wrong_credential_is_an_answer_too(client: HttpClient, store: Store) -> None:
    """What a status means is the resolver's business."""
    answer = client.ask("GET", store.url, Deadline(10), headers=bearer("wrong"))
    assert isinstance(answer, HttpAnswer)
    assert (403, {"error": "permission denied"}) == (answer.status, answer.document())


def test_headers_that_are_always_sent(client: HttpClient, store: Store) -> None:
    """JSON is wanted, and nothing compressed; who asks otherwise replaces that."""
    ask(client, store.url)
    sent = store.last.headers
    assert ("application/json", "identity") == (sent["accept"], sent["accept-encoding"])
    assert "content-length" not in sent
    client.ask("GET", store.url, Deadline(10), headers={"accept": "text/plain"})
    assert "text/plain" == store.last.headers["accept"]


@pytest.mark.parametrize(
    ("more", "kind", "length"),
    [
        ({"json": {"a": [1, "ü"]}}, "application/json", "20"),
        ({"json": {}}, "application/json", "2"),
        ({"content": b"a=b"}, "application/json", "3"),
        ({}, None, "0"),
    ],
)
def test_bodies(client: HttpClient, store: Store, more: Any, kind: str | None, length: str) -> None:
    """A document or bytes are sent with their length; without either an empty body is."""
    assert 200 == answer_of(client, store.url, method="POST", **more).status
    sent = store.last.headers
    assert (kind, length) == (sent.get("content-type"), sent["content-length"])


def test_another_type_of_body(client: HttpClient, store: Store) -> None:
    """Who sends a form says so."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    client.ask("POST", store.url, Deadline(10), headers=form, content=b"a=b")
    assert "application/x-www-form-urlencoded" == store.last.headers["content-type"]
    assert 3 == store.last.size


def test_repeated_headers_are_joined(client: HttpClient) -> None:
    """A header that comes twice is one list (RFC 9110, 5.3)."""
    head = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
    answer = ask_raw(client, always(head))
    assert isinstance(answer, HttpAnswer)
    assert "1, 2" == answer.headers["x-a"]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff", b"{", b"[" * 100_000, gzip.compress(b"{}", mtime=0)]
)
def test_what_is_no_json_is_no_document(client: HttpClient, body: bytes) -> None:
    """Whatever stands in an answer is read without an error."""
    answer = ask_raw(client, always(reply(body=body)))
    assert isinstance(answer, HttpAnswer)
    assert MISSING is answer.document()
    assert Unavailable("the answer is not what such a store sends") == answer.trouble()


def test_an_answer_shows_only_its_status() -> None:
    """Its text may be the secret: neither repr nor pickle has it."""
    answer = HttpAnswer(status=200, headers={"x": TOKEN}, body=TOKEN.encode())
    assert "<HttpAnswer 200>" == repr(answer) == f"{answer}"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(answer)


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "trouble"),
    [
        (200, {}, Unavailable("the answer is not what such a store sends")),
        (302, {}, Unavailable("redirects elsewhere, to where the credential is not sent")),
        (400, {}, Unavailable("answered with status 400")),
        (429, {}, Unavailable("too many requests")),
        (429, {"Retry-After": "17"}, Unavailable("too many requests", 17.0)),
        (429, {"Retry-After": "soon"}, Unavailable("too many requests")),
        (503, {"Retry-After": "3"}, Unavailable("answered with status 503", 3.0)),
        (500, {"Retry-After": "-1"}, Unavailable("answered with status 500")),
    ],
)
def test_trouble(
    client: HttpClient, store: Store, status: int, headers: dict[str, str], trouble: Unavailable
) -> None:
    """A status that answers nothing is told in our words, with the time to wait."""
    store.inject(text_answer(status, "the store's own words", headers))
    assert trouble == answer_of(client, store.url).trouble()


def test_retry_after_may_be_a_date(client: HttpClient, store: Store) -> None:
    """The other form of the header is understood as well; the past means now."""
    for seconds, least, most in ((3600, 3000, 3600), (-3600, 0, 0)):
        moment = formatdate(time.time() + seconds, usegmt=True)
        store.inject(text_answer(429, "", {"Retry-After": moment}))
        wait = answer_of(client, store.url).trouble().retry_after
        assert wait is not None
        assert least <= wait <= most


# --- where the credential goes --------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(client: HttpClient, store: Store, status: int) -> None:
    """The other place gets nothing, the credential least of all."""
    with Store() as other:
        store.inject(Answer(status, b"", {"Location": f"{other.url}/v1"}))
        answer = answer_of(client, store.url)
        assert [] == other.requests
    assert (status, 1) == (answer.status, len(store.requests))


def test_cookies_are_not_kept(client: HttpClient, store: Store) -> None:
    """What a store sets is not sent with the next question."""
    store.inject(json_answer(200, {}, {"Set-Cookie": "session=1"}))
    for _ in range(2):
        ask(client, store.url)
    assert "cookie" not in store.last.headers


def test_netrc_is_not_read(
    client: HttpClient, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else's credential is added."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password of-netrc\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client.ask("GET", store.url, Deadline(10))
    assert "authorization" not in store.last.headers


@pytest.mark.parametrize(
    "token", [f"{TOKEN}\n", f"{TOKEN}\r\nX-Evil: 1", f"{TOKEN}\0", f"{TOKEN} ", f"{TOKEN}ü", ""]
)
def test_a_credential_that_is_no_header_is_not_sent(
    client: HttpClient, store: Store, token: str
) -> None:
    """One with a line break, from a file for example, is told of and shown nowhere."""
    answer = client.ask("GET", store.url, Deadline(10), headers=bearer(token))
    told = "the credential cannot be sent in a header; look for a line break in it"
    assert Unavailable(told) == answer
    assert [] == store.requests


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://vault.example.com/", "the address is not an URL of http or https"),
        ("file:///etc/passwd", "the address is not an URL of http or https"),
        ("vault.example.com:8200", "the address is not an URL of http or https"),
        ("", "the address is not an URL of http or https"),
        ("http://", "the address is not an URL of http or https"),
        ("http:///v1/secret", "the address is not an URL of http or https"),
        ("http:vault", "the address is not an URL of http or https"),
        ("http://[::1", "the URL is invalid"),
        (f"http://a/{TOKEN}\n", "the URL is invalid"),
        ("http://127.0.0.1:99999/", "no connection could be made"),
    ],
)
def test_addresses_that_lead_nowhere(client: HttpClient, url: str, told: str) -> None:
    """What is no URL of HTTP is told in our words, which hold nothing of it."""
    assert Unavailable(told) == ask(client, url)


def test_nothing_is_logged(
    client: HttpClient, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The HTTP library, which logs the headers of answers at DEBUG, is silent meanwhile."""
    value = canary()
    store.inject(json_answer(200, {}, {"X-Secret": value}), times=None)
    with caplog.at_level(logging.DEBUG):
        answer = answer_of(client, store.url)
        assert value == answer.headers["x-secret"]
        assert [] == caplog.records
        httpx.get(store.url, trust_env=False)
        assert [] != find_leaks(caplog.text, value)


# --- servers that misbehave -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhalf",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n: \r\nConnection: close\r\n\r\n",
    ],
)
def test_malformed_answers(client: HttpClient, said: bytes) -> None:
    """What is no HTTP, or breaks off, is no answer."""
    assert Unavailable("the answer broke off or was no HTTP") == ask_raw(client, always(said))


def test_a_connection_that_is_reset(client: HttpClient) -> None:
    """A server that goes away in the middle is unavailable."""

    def reset(call: Call) -> bytes:
        call.reset()
        return b""

    answer = ask_raw(client, reset)
    assert isinstance(answer, Unavailable)
    assert answer.detail in {"the connection broke", "the answer broke off or was no HTTP"}


def test_nobody_listens(client: HttpClient) -> None:
    """Where nobody listens nothing is sent."""
    with Store() as gone:
        url = gone.url
    assert NO_CONNECTION == ask(client, url)


def test_a_long_answer_is_none() -> None:
    """The limit itself is still fine; beyond it reading ends, and the connection with it."""
    client = HttpClient(most_bytes=100_000)
    with RawServer(always(reply(body=b"x" * 100_000))).serving() as server:
        answer = ask(client, server.url)
        assert isinstance(answer, HttpAnswer)
        assert 100_000 == len(answer.body)
        server.answers = [always(reply(body=b"x" * 100_001)), always(reply())]
        assert Unavailable("the answer has more than 100000 bytes") == ask(client, server.url)
        assert isinstance(ask(client, server.url), HttpAnswer)
        assert [1, 1, 2] == [call.connection for call in server.calls]
    client.close()


def test_an_answer_without_end_is_none() -> None:
    """An answer that announces no length is read up to the limit as well."""
    client = HttpClient(most_bytes=1000)

    def endless(call: Call) -> bytes:
        call.socket.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while not call.server.closing.is_set():
                call.socket.sendall(b"5\r\nhello\r\n")
        return b""

    assert Unavailable("the answer has more than 1000 bytes") == ask_raw(client, endless)


class Clock(Deadline):
    """A deadline that passes when the test says so."""

    def __init__(self) -> None:
        super().__init__(0)
        self.passed = threading.Event()

    def remaining(self) -> float:
        """Return as much as is enough, or nothing."""
        return 0.0 if self.passed.is_set() else 10.0


def test_a_slow_drip_ends_with_the_deadline(client: HttpClient) -> None:
    """A server that sends a byte now and then cannot keep the question open."""
    deadline = Clock()
    sent: list[int] = []

    def drip(call: Call) -> bytes:
        call.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with contextlib.suppress(OSError):
            while not call.server.closing.wait(0.01) and len(sent) < 900:
                call.socket.sendall(b"x")
                sent.append(1)
                if len(sent) == 3:
                    deadline.passed.set()
        return b""

    with RawServer(drip).serving() as server:
        assert Unavailable("the answer took too long") == client.ask("GET", server.url, deadline)
    assert len(sent) < 900


def test_silence_ends_with_the_deadline(client: HttpClient, store: Store) -> None:
    """A server that never answers is not waited for longer than there is time."""
    store.hang()
    answer = client.ask("GET", store.url, Deadline(0.1))
    told = "the server did not go on within the time allowed"
    assert Unavailable(told) == answer


def test_without_time_nothing_is_sent(client: HttpClient, store: Store) -> None:
    """A deadline that has passed is no time to begin."""
    answer = client.ask("GET", store.url, Deadline(0))
    assert Unavailable("there was no time left to ask") == answer
    assert [] == store.requests


def test_unforeseen_faults_are_told_by_their_kind(client: HttpClient, store: Store) -> None:
    """What cannot be made into a request is an outcome too, and its text is not shown."""
    answer = client.ask("POST", store.url, Deadline(10), json={"a": object()})
    assert Unavailable("the request failed, TypeError") == answer


# --- TLS ------------------------------------------------------------------------------------------


def test_an_authority_of_ones_own(tmp_path: Path) -> None:
    """With its CA a server is trusted; with another, or none, it gets nothing."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with Store(tls=True) as store:
        trusting = HttpClient(verify=str(store.ca_file))
        assert 200 == answer_of(trusting, store.url).status
        trusting.close()
        for verify in (str(other), True):
            client = HttpClient(verify=verify)
            assert UNKNOWN_CA == ask(client, store.url)
            client.close()
        assert 1 == len(store.requests)


def test_checking_can_be_switched_off() -> None:
    """Who says so out loud talks to anybody."""
    with Store(tls=True) as store:
        client = HttpClient(verify=False)
        assert 200 == answer_of(client, store.url).status
        client.close()


def test_tls_is_not_spoken_by_everybody(store: Store) -> None:
    """A server without TLS is told of as one."""
    client = HttpClient()
    address = store.url.replace("http:", "https:")
    assert Unavailable("no TLS connection could be made") == ask(client, address)
    client.close()


def test_an_authority_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A path that leads nowhere is the configuration's fault, and nothing is sent."""
    for client, told in (
        (HttpClient(verify=str(tmp_path / "no.pem")), "the CA certificates cannot be read"),
        (HttpClient(cert="no.pem"), "the client certificate or its key cannot be read"),
    ):
        assert Unavailable(told) == ask(client, "https://127.0.0.1:1")


def test_a_client_certificate(tmp_path: Path) -> None:
    """A server that wants a certificate gets ours; without one it does not answer."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ours = authority.issue_cert("flows@example.com")
    ours.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a refusal is part of the handshake there
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with RawServer(always(reply()), tls=context).serving() as server:
        right = HttpClient(verify=str(tmp_path / "ca.pem"), cert=str(tmp_path / "client.pem"))
        assert 200 == answer_of(right, server.url).status
        wrong = HttpClient(verify=str(tmp_path / "ca.pem"))
        assert isinstance(ask(wrong, server.url), Unavailable)
        assert 1 == len(server.calls)
        for client in (right, wrong):
            client.close()


# --- connections ----------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[RawServer]:
    """Answer everything, and count connections."""
    with RawServer(always(reply(body=b"{}"))).serving() as running:
        yield running


def test_a_connection_is_kept_until_close(client: HttpClient, server: RawServer) -> None:
    """Questions share it; after closing, which can be repeated, the next makes a new one."""
    client.close()
    for _ in range(2):
        assert isinstance(ask(client, server.url), HttpAnswer)
    for _ in range(2):
        client.close()
    assert isinstance(ask(client, server.url), HttpAnswer)
    assert [1, 1, 2] == [call.connection for call in server.calls]


def test_threads_share_a_client(client: HttpClient, store: Store) -> None:
    """Many threads get their own answers."""

    def path_of(number: int) -> str:
        return str(answer_of(client, f"{store.url}/{number}").document()["path"])

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(path_of, range(64)))
    assert [f"/{number}" for number in range(64)] == paths
    assert {f"/{number}": 1 for number in range(64)} == Counter(paths)


def test_a_pickle_is_configuration(client: HttpClient, store: Store, tmp_path: Path) -> None:
    """It holds neither connections nor a credential, and a copy makes its own connections."""
    ask(client, store.url)
    pickled = pickle.dumps(client)
    assert TOKEN.encode() not in pickled
    copy = pickle.loads(pickled)  # noqa: S301 - made above
    assert copy == client
    assert 200 == answer_of(copy, store.url).status
    copy.close()
    told = HttpClient(verify="ca.pem", cert=("a", "b"), most_bytes=9)
    assert told == pickle.loads(pickle.dumps(told))  # noqa: S301 - as above
    assert "HttpClient(verify='ca.pem', cert=('a', 'b'), most_bytes=9)" == repr(told)


FORKED = """
import os, sys
from webhook_storage.client import HttpClient
from webhook_storage.contracts import Deadline

client = HttpClient()

def ask(path):
    assert client.ask("GET", f"{sys.argv[1]}/{path}", Deadline(10)).status == 200

ask("before")
child = os.fork()
if child == 0:
    ask("child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ask("parent")
client.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="other systems do not fork")
def test_a_fork_makes_its_own_connection(server: RawServer) -> None:
    """A child leaves the connection of its parent alone."""
    command = [sys.executable, "-W", "error", "-c", FORKED, server.url]
    root = Path(__file__).parents[2]
    subprocess.run(command, check=True, timeout=30, cwd=root)
    told = [(call.target, call.connection) for call in server.calls]
    assert [("/before", 1), ("/child", 2), ("/parent", 1)] == told


def test_proxies_of_the_environment_are_used(
    client: HttpClient, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's proxy is asked for what lies outside."""
    monkeypatch.setenv("http_proxy", server.url)
    assert {} == answer_of(client, "http://vault.example.com:8200/v1").document()
    assert "http://vault.example.com:8200/v1" == server.last.target


def test_a_direct_question_goes_through_no_proxy(
    client: HttpClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy sees nothing of what is for a service of this machine."""
    with RawServer(always(reply())).serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        answer = client.ask("GET", f"{store.url}/v1", Deadline(5), direct=True)
        assert (True, []) == (isinstance(answer, HttpAnswer), proxy.calls)
        assert isinstance(client.ask("GET", "http://files.test/v1", Deadline(5)), HttpAnswer)
        assert ["http://files.test/v1"] == [call.target for call in proxy.calls]


def test_bearer() -> None:
    """A token stands in the header of RFC 6750."""
    assert {"Authorization": "Bearer abc"} == bearer("abc")
    assert json.dumps(bearer("abc")) == '{"Authorization": "Bearer abc"}'
