"""Each test server answers, and refuses the wrong credential."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fleet.mitm import Spoiled
from tests.fleet.recorder import Answer
from tests.fleet.registry import digest_of, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.dav import Dav
    from tests.fleet.fixtures import StartTcpFault
    from tests.fleet.mitm import Mitm
    from tests.fleet.nginx import Nginx
    from tests.fleet.pki import Certificate
    from tests.fleet.recorder import Recorder
    from tests.fleet.registry import Registry
    from tests.fleet.swift import Swift
    from tests.fleet.tcpfault import Mode

Auth = httpx.Auth | tuple[str, str]
Download = Callable[..., int | type[Exception]]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that fails soon."""
    with httpx.Client(trust_env=False, timeout=5) as client:
        yield client


def tls_client(
    ca: Path, cert: Certificate | None = None, newest: ssl.TLSVersion | None = None
) -> httpx.Client:
    """Build a client that trusts one authority."""
    context = ssl.create_default_context(cafile=str(ca))
    if cert:
        context.load_cert_chain(cert.cert, cert.key)
    if newest:
        context.maximum_version = newest
    return httpx.Client(verify=context, trust_env=False, timeout=5)


def put_and_get(client: httpx.Client, url: str, auth: Auth) -> list[int]:
    """Store and fetch, and say how both were answered."""
    stored = client.put(url, content=b"hello", auth=auth)
    return [stored.status_code, client.get(url, auth=auth).status_code]


def test_nginx_basic(client: httpx.Client, nginx: Nginx) -> None:
    """Basic auth lets the right password in and keeps the wrong one out."""
    url = f"{nginx.url}/basic/a.txt"
    assert [201, 200] == put_and_get(client, url, (nginx.user, nginx.password))
    assert [401, 401] == put_and_get(client, url, (nginx.user, "wrong"))


@pytest.mark.parametrize(
    ("place", "header", "right", "refused"),
    [
        ("bearer", "Authorization", "Bearer good-token", 401),
        ("apikey", "X-Api-Key", "good-key", 403),
    ],
)
def test_nginx_headers(
    client: httpx.Client, nginx: Nginx, place: str, header: str, right: str, refused: int
) -> None:
    """A token or key in a header is compared, not only looked for."""
    url = f"{nginx.url}/{place}/a.txt"
    assert 201 == client.put(url, content=b"x", headers={header: right}).status_code
    assert refused == client.put(url, content=b"x", headers={header: right + "x"}).status_code
    assert refused == client.get(url).status_code


def test_nginx_open(client: httpx.Client, nginx: Nginx) -> None:
    """The open area keeps bytes and asks nothing."""
    url = f"{nginx.open_url}/deep/a.txt"
    assert 201 == client.put(url, content=b"hello").status_code
    assert b"hello" == client.get(url).content


def test_nginx_signed_url(client: httpx.Client, nginx: Nginx) -> None:
    """A signed URL is good for its method, its path and its time."""
    soon, past = int(time.time()) + 60, int(time.time()) - 60
    put = nginx.sign("PUT", "/signed.txt", soon)
    assert 201 == client.put(put, content=b"x").status_code
    assert 403 == client.get(put).status_code
    assert 403 == client.put(put.replace("signed.txt", "other.txt"), content=b"x").status_code
    expired = nginx.sign("PUT", "/signed.txt", past)
    assert 410 == client.put(expired, content=b"x").status_code


def test_nginx_statuses(client: httpx.Client, nginx: Nginx) -> None:
    """A fault has the status and the pause that were asked for."""
    answer = client.put(nginx.status(503, "2"), content=b"x")
    assert (503, "2") == (answer.status_code, answer.headers["Retry-After"])
    answer = client.get(nginx.status(429))
    assert (429, None) == (answer.status_code, answer.headers.get("Retry-After"))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_nginx_redirects(client: httpx.Client, nginx: Nginx, recorder: Recorder, code: int) -> None:
    """A redirect goes to the same origin or to any other."""
    for target in ("/open/a.txt", f"{nginx.url}/open/a.txt", f"{recorder.url}/a.txt"):
        answer = client.put(nginx.redirect(code, target), content=b"x")
        expected = target if target.startswith("http") else nginx.url + target
        assert (code, expected) == (answer.status_code, answer.headers["Location"])


def test_nginx_unwelcome_answers(client: httpx.Client, nginx: Nginx) -> None:
    """There is a login page with status 200, an empty answer, JSON, and no answer."""
    login = client.get(f"{nginx.url}/f/login")
    assert (200, "text/html") == (login.status_code, login.headers["Content-Type"])
    assert b"" == client.get(f"{nginx.url}/f/empty").content
    answer = client.put(f"{nginx.url}/f/json", content=b"x")
    assert ("item-1", "7") == (answer.json()["id"], answer.headers["X-Version"])
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{nginx.url}/f/cut")


@pytest.mark.parametrize("place", ["gzip", "gzipped"])
def test_nginx_encodings(client: httpx.Client, nginx: Nginx, place: str) -> None:
    """An answer says that it is compressed, truly or not."""
    client.put(f"{nginx.open_url}/plain.txt", content=b"hello" * 100)
    with client.stream("GET", f"{nginx.url}/f/{place}/open/plain.txt") as answer:
        raw = b"".join(answer.iter_raw())
    assert "gzip" == answer.headers["Content-Encoding"]
    assert (place == "gzipped") == (raw[:2] == b"\x1f\x8b")


def test_nginx_tls(nginx: Nginx) -> None:
    """A client that trusts the authority is served, one that trusts another is not."""
    with tls_client(nginx.pki.ca) as client:
        assert 201 == client.put(f"{nginx.tls_url}/tls.txt", content=b"x").status_code
        with pytest.raises(httpx.ConnectError, match=r"[Hh]ostname mismatch"):
            client.get(nginx.wrong_host_url)
    with tls_client(nginx.pki.foreign_ca) as client, pytest.raises(httpx.ConnectError):
        client.get(nginx.tls_url)


def test_nginx_mtls(nginx: Nginx) -> None:
    """A client certificate of the right authority is asked for."""
    pki = nginx.pki
    answers = []
    for cert in (pki.client, pki.foreign_client, None):
        with tls_client(pki.ca, cert) as client:
            answers.append(client.put(f"{nginx.mtls_url}/m.txt", content=b"x").status_code)
    assert [201, 400, 400] == answers


def test_nginx_tls13(nginx: Nginx) -> None:
    """A client that stops at TLS 1.2 is refused."""
    with tls_client(nginx.pki.ca) as client:
        assert 201 == client.put(f"{nginx.tls13_url}/t.txt", content=b"x").status_code
    old = tls_client(nginx.pki.ca, newest=ssl.TLSVersion.TLSv1_2)
    with old, pytest.raises(httpx.ConnectError):
        old.get(nginx.tls13_url)


def test_nginx_limit(client: httpx.Client, nginx: Nginx) -> None:
    """Who asks too often is told to wait, in some folders."""
    for folder, refused in (("often", set()), ("rare", {(429, "1")})):
        client.put(url := f"{nginx.limited_url}/{folder}/a.txt", content=b"x")
        with ThreadPoolExecutor(32) as pool:
            asked = pool.map(client.get, [url] * 200)
            answers = {(each.status_code, each.headers.get("Retry-After")) for each in asked}
        assert {(200, None)} | refused == answers


def test_nginx_small(client: httpx.Client, nginx: Nginx) -> None:
    """A large body is refused."""
    (nginx.data / "s").unlink(missing_ok=True)  # another test may have stored it
    statuses = [client.put(f"{nginx.small_url}/s", content=b"x" * n).status_code for n in (9, 9999)]
    assert [201, 413] == statuses


def test_restart(client: httpx.Client, mortal_nginx: Nginx) -> None:
    """A server that was killed comes back on its port, with what it had."""
    url = f"{mortal_nginx.open_url}/kept.txt"
    client.put(url, content=b"kept")
    mortal_nginx.process.kill()
    with pytest.raises(httpx.TransportError):
        client.get(url)
    mortal_nginx.process.start()
    assert b"kept" == client.get(url).content


@pytest.mark.parametrize("server", ["apache", "wsgidav"])
@pytest.mark.parametrize("scheme", [httpx.BasicAuth, httpx.DigestAuth])
def test_dav(
    client: httpx.Client,
    request: pytest.FixtureRequest,
    server: str,
    scheme: Callable[[str, str], httpx.Auth],
) -> None:
    """Both ways of asking for a password let the right one in only."""
    dav: Dav = request.getfixturevalue(server)
    base = dav.url if scheme is httpx.BasicAuth else dav.digest_url
    url = f"{base}/{scheme.__name__}.txt"
    assert [201, 200] == put_and_get(client, url, scheme(dav.user, dav.password))
    assert [401, 401] == put_and_get(client, url, scheme(dav.user, "wrong"))


@pytest.mark.parametrize("server", ["apache", "wsgidav"])
def test_dav_conditional_writes(
    client: httpx.Client, request: pytest.FixtureRequest, server: str
) -> None:
    """What exists is not overwritten by who expects nothing."""
    dav: Dav = request.getfixturevalue(server)
    client.auth = httpx.BasicAuth(dav.user, dav.password)
    url, nothing = f"{dav.url}/once.txt", {"If-None-Match": "*"}
    assert 201 == client.put(url, content=b"1", headers=nothing).status_code
    assert 412 == client.put(url, content=b"2", headers=nothing).status_code


def test_swift(client: httpx.Client, swift: Swift) -> None:
    """A token is given for the right key, and the storage wants one."""
    sign_in = {"X-Auth-User": swift.user, "X-Auth-Key": swift.password}
    answer = client.get(swift.auth_url, headers=sign_in)
    token = {"X-Auth-Token": answer.headers["X-Auth-Token"]}
    container = f"{answer.headers['X-Storage-Url']}/c"
    assert 201 == client.put(container, headers=token).status_code
    assert 201 == client.put(f"{container}/o", content=b"hello", headers=token).status_code
    assert b"hello" == client.get(f"{container}/o", headers=token).content
    assert 401 == client.get(f"{container}/o", headers={"X-Auth-Token": "wrong"}).status_code
    sign_in["X-Auth-Key"] = "wrong"
    assert 401 == client.get(swift.auth_url, headers=sign_in).status_code


def sign_s3(swift: Swift, secret: str) -> dict[str, str]:
    """Sign a listing of all buckets, as AWS Signature Version 4 says."""
    now, host = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), swift.url.removeprefix("http://")
    headers = {"host": host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": now}
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"GET\n/\n\n{lines}\n{';'.join(headers)}\nUNSIGNED-PAYLOAD"
    scope = [now[:8], swift.region, "s3", "aws4_request"]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{now}\n{'/'.join(scope)}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (*scope, text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"Credential={swift.user}/{'/'.join(scope)}"
    signed = f"SignedHeaders={';'.join(headers)}, Signature={key.hex()}"
    return {**headers, "Authorization": f"AWS4-HMAC-SHA256 {credential}, {signed}"}


def test_swift_s3(client: httpx.Client, swift: Swift) -> None:
    """The S3 side verifies what signs a request."""
    right, wrong = sign_s3(swift, swift.password), sign_s3(swift, "wrong")
    assert 200 == client.get(f"{swift.url}/", headers=right).status_code
    assert 403 == client.get(f"{swift.url}/", headers=wrong).status_code


def test_registry(registry: Registry) -> None:
    """Blobs and manifests are kept, and come back whole and in ranges."""
    digest = registry.add_blob(b"hello")
    assert b"hello" == registry.blob(digest)
    assert registry.blob(f"sha256:{0:064}") is None
    registry.add_manifest("v1", manifest("filling"))
    assert manifest("filling") == registry.manifest("v1")
    with registry.client() as client:
        url = f"{registry.repository}/blobs/{digest}"
        answer = client.get(url, headers={"Range": "bytes=1-2"})
        assert (206, b"el") == (answer.status_code, answer.content)
        assert 401 == client.get(url, auth=(registry.user, "wrong")).status_code
        wrong = digest_of(b"other")
        path = registry.begin_upload()
        assert 400 == client.put(f"{path}&digest={wrong}", content=b"hello").status_code


def test_registry_in_parts(registry: Registry) -> None:
    """A blob can be uploaded in parts, each of which says where it belongs."""
    with registry.client() as client:
        part = client.patch(registry.begin_upload(), content=b"hel")
        assert (202, "0-2") == (part.status_code, part.headers["Range"])
        digest = digest_of(b"hello")
        done = client.put(f"{part.headers['Location']}&digest={digest}", content=b"lo")
        assert (201, b"hello") == (done.status_code, registry.blob(digest))


def test_recorder(client: httpx.Client, recorder: Recorder) -> None:
    """Everything that was sent is remembered, and the script is answered."""
    assert 201 == client.put(f"{recorder.url}/a?b=c", content=b"x", headers={"A": "1"}).status_code
    (seen,) = recorder.requests
    assert ("PUT", "/a?b=c", b"x", "1") == (seen.method, seen.path, seen.body, seen.header("a"))
    assert 403 == client.get(f"{recorder.url}/echo/403").status_code


def test_recorder_script(client: httpx.Client, recorder: Recorder) -> None:
    """An answer may promise more than it holds."""
    recorder.script.extend([Answer(503, (("Retry-After", "1"),)), Answer(body=b"x", declared=9)])
    assert "1" == client.get(recorder.url).headers["Retry-After"]
    with pytest.raises(httpx.RemoteProtocolError, match="complete message"):
        client.get(recorder.url)


@pytest.fixture
def download(nginx: Nginx, tcpfault: StartTcpFault) -> Download:
    """A factory: how a download of a megabyte through a faulty relay ends."""
    (nginx.data / "open/big.bin").write_bytes(b"x" * 1_000_000)

    def run(mode: Mode, after: int = 0) -> int | type[Exception]:
        relay = tcpfault(urlsplit(nginx.url).port or 0, mode, after)
        try:
            answer = httpx.get(f"{relay.url}/open/big.bin", trust_env=False, timeout=0.3)
        except httpx.TransportError as error:
            return type(error)
        return len(answer.content)

    return run


@pytest.mark.parametrize(
    ("mode", "after", "outcome"),
    [
        ("pass", 0, 1_000_000),
        ("reset", 100_000, httpx.ReadError),
        ("cut", 100_000, httpx.RemoteProtocolError),
        ("stall", 100_000, httpx.ReadTimeout),
        ("half-close", 100_000, httpx.RemoteProtocolError),
        ("slow", 10_000_000, 1_000_000),
        ("blackhole", 0, httpx.ReadTimeout),
    ],
)
def test_tcpfault_on_answers(
    download: Download, mode: Mode, after: int, outcome: int | type[Exception]
) -> None:
    """The fault that was asked for is the one the client sees."""
    assert outcome == download(mode, after)


def test_tcpfault_once(client: httpx.Client, nginx: Nginx, tcpfault: StartTcpFault) -> None:
    """Only the first connection is broken."""
    relay = tcpfault(urlsplit(nginx.url).port or 0, "reset", times=1)
    with pytest.raises(httpx.ReadError):
        client.get(f"{relay.url}/f/json")
    assert 200 == client.get(f"{relay.url}/f/json").status_code
    assert 2 == relay.connections


@pytest.mark.parametrize(
    ("mode", "after", "outcome"),
    [
        ("reset-upload", 500_000, httpx.NetworkError),
        ("half-close-upload", 500_000, httpx.RemoteProtocolError),
        ("stall-upload", 500_000, httpx.TimeoutException),
        ("slow-upload", 20_000_000, 201),
    ],
)
def test_tcpfault_on_uploads(
    client: httpx.Client,
    nginx: Nginx,
    tcpfault: StartTcpFault,
    mode: Mode,
    after: int,
    outcome: int | type[Exception],
) -> None:
    """A broken upload leaves no file."""
    relay = tcpfault(urlsplit(nginx.url).port or 0, mode, after)
    url, name = f"{relay.url}/open/{mode}.bin", f"open/{mode}.bin"
    if isinstance(outcome, int):
        assert outcome == client.put(url, content=b"x" * 3_000_000).status_code
    else:
        with pytest.raises(outcome):
            client.put(url, content=b"x" * 3_000_000, timeout=0.3)
    assert relay.reached.wait(5)
    assert isinstance(outcome, int) == (nginx.data / name).exists()


def test_tcpfault_meanwhile(client: httpx.Client, nginx: Nginx, tcpfault: StartTcpFault) -> None:
    """What is done meanwhile is done before the client notices."""
    (nginx.data / "open/meanwhile.bin").write_bytes(b"x" * 1000)
    done: list[str] = []
    port = urlsplit(nginx.url).port or 0
    relay = tcpfault(port, "cut", 500, meanwhile=lambda: done.append("done"))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{relay.url}/open/meanwhile.bin")
    assert (["done"], 500) == (done, relay.answered)


@pytest.fixture
def spoil(nginx: Nginx, mitm: Mitm) -> Callable[..., httpx.Response]:
    """A factory: the answer to a request that goes through the proxy."""

    def send(fault: str, body: bytes | None = None) -> httpx.Response:
        (nginx.data / "open/spoiled.txt").write_bytes(b"hello")
        url = f"{mitm.before(nginx.url, fault)}/open/spoiled.txt"
        # On a connection of its own, which a wrong length spoils too.
        with httpx.Client(trust_env=False, timeout=0.5) as client:
            return client.get(url) if body is None else client.put(url, content=body)

    return send


def test_mitm_on_answers(spoil: Callable[..., httpx.Response]) -> None:
    """What was asked for is done to the answer."""
    assert b"hello" == spoil("pass").content
    assert b"hemlo" == spoil("alter-down").content
    assert b"he" == spoil("length-down,-3").content
    assert "chunked" == spoil("chunked").headers["Transfer-Encoding"]
    assert b"hello" == spoil("unframed").content
    assert "gzip" == spoil("gzip").headers["Content-Encoding"]
    for fault in ("kill,1", "length-down,3"):
        with pytest.raises(httpx.TransportError):
            spoil(fault)


def test_mitm_on_requests(nginx: Nginx, spoil: Callable[..., httpx.Response]) -> None:
    """What was asked for is done to the request."""
    file = nginx.data / "open/spoiled.txt"
    for fault, stored in (("pass", b"hallo"), ("alter-up", b"hamlo"), ("length-up,-3", b"ha")):
        assert 204 == spoil(fault, b"hallo").status_code
        assert stored == file.read_bytes()


def test_mitm_counts(client: httpx.Client, nginx: Nginx, mitm: Mitm) -> None:
    """A fault befalls so many requests, and what came is told."""
    place = mitm.before(nginx.url, "busy,503,1,seconds")
    answers = [client.put(f"{place}/open/busy.txt", content=b"hello") for _ in range(2)]
    assert [503, 201] == [answer.status_code for answer in answers]
    assert "1" == answers[0].headers["Retry-After"]
    assert Spoiled(requests=2, sizes=[5, 5]) == mitm.seen(place)
