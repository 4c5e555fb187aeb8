"""Which servers are trusted, and by which certificate we are."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import ssl
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import trustme
import urllib3
from cryptography.hazmat.primitives import serialization
from requests.adapters import HTTPAdapter

from tests.leaks.canary import PLAIN, find
from tests.leaks.channels import hits, of_error, of_object
from tests.sending.raw import RawServer, always, reply
from tests.sending.support import ALL_MODES, HTTPX, REQUESTS, REQUESTS_ASYNC, Mode, caught, plain
from tests.sending.test_proxies import open_connections
from webhook_storage import LiteralSecretWarning
from webhook_storage import errors as e
from webhook_storage.contracts import WireRequest
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage.transport.requests import RequestsTransport
from webhook_storage.transport.requests_tls import TlsAdapter
from webhook_storage.transport.tls import equip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.nginx import Nginx
    from webhook_storage.contracts import Transport

BODY = bytes(range(256)) * 16
modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)


MARK = f"This is {PLAIN}.\n"
"""Stands before a PEM text, where it means nothing and is easy to find again."""


def encrypted(key: Path, target: Path) -> Path:
    """Write a private key under a password."""
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"password")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    target.write_bytes(private.private_bytes(pem, pkcs8, secret))
    return target


@modes
def test_own_authority(mode: Mode, nginx: Nginx) -> None:
    """With the right authority a server is trusted; with another, or none, it is not."""
    with mode.sending():
        mode.call(plain(nginx.tls_url, verify=str(nginx.pki.ca)), "put", BODY, "tls")
        assert BODY == mode.call(plain(nginx.tls13_url, verify=str(nginx.pki.ca)), "get", "tls")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            assert BODY == mode.call(plain(nginx.tls_url, verify=False), "get", "tls")
        for kwargs in ({"verify": str(nginx.pki.foreign_ca)}, {}):
            error = caught(partial(mode.call, plain(nginx.tls_url, **kwargs), "get", "tls"))
            assert isinstance(error, e.TlsError)
            assert not error.retryable


def test_an_authority_that_is_not_there_is_told() -> None:
    """A path as verify that leads nowhere is a fault of the definition, and nothing is sent."""
    given = {"verify": str(Path(__file__).parents[1] / "nowhere.pem")}
    with HTTPX.sending():
        error = caught(partial(plain("https://127.0.0.1:1", **given).get, "k"))
    assert e.ConfigurationError is type(error)


@modes
def test_wrong_host_name(mode: Mode, nginx: Nginx) -> None:
    """A certificate for somebody else is refused."""
    with mode.sending():
        storage = plain(nginx.wrong_host_url, verify=str(nginx.pki.ca))
        assert e.TlsError is type(caught(partial(mode.call, storage, "get", "tls")))


@modes
def test_certificate_by_secret_path(mode: Mode, nginx: Nginx, tmp_path: Path) -> None:
    """A client certificate lets in, a foreign one and none do not; paths can be placeholders."""
    pki = nginx.pki
    paths = {"CERT": str(pki.client.cert), "KEY": str(pki.client.key), "CA": str(pki.ca)}
    with mode.sending(paths):
        right = plain(nginx.mtls_url, verify="${CA}", cert=["${CERT}", "${KEY}"])
        mode.call(right, "put", BODY, "mtls")
        assert BODY == mode.call(right, "get", "mtls")
        both = tmp_path / "both.pem"
        both.write_bytes(pki.client.cert.read_bytes() + pki.client.key.read_bytes())
        assert BODY == mode.call(
            plain(nginx.mtls_url, verify="${CA}", cert=str(both)), "get", "mtls"
        )
        wrong = [str(pki.foreign_client.cert), str(pki.foreign_client.key)]
        for cert in (wrong, None):
            storage = plain(nginx.mtls_url, verify="${CA}", cert=cert)
            assert e.ResponseError is type(caught(partial(mode.call, storage, "get", "mtls")))


@modes
@pytest.mark.parametrize("kind", ["absent", "encrypted", "nonsense"])
def test_unusable_certificate(mode: Mode, nginx: Nginx, tmp_path: Path, kind: str) -> None:
    """A certificate that cannot be used is an error at once; nobody is asked for a password."""
    key = tmp_path / "key.pem"
    if kind == "encrypted":
        encrypted(nginx.pki.client.key, key)
    elif kind == "nonsense":
        key.write_text("no key")
    storage = plain(
        nginx.mtls_url, verify=str(nginx.pki.ca), cert=[str(nginx.pki.client.cert), str(key)]
    )
    with mode.sending():
        error = caught(partial(mode.call, storage, "get", "k"))
    assert type(error) in {e.ConfigurationError, e.TlsError}


@modes
def test_tls_where_none_is_spoken(mode: Mode, nginx: Nginx) -> None:
    """A plain server is told from one with a bad certificate."""
    with mode.sending():
        storage = plain(nginx.url.replace("http:", "https:"))
        assert e.TlsError is type(caught(partial(mode.call, storage, "get", "k")))


def test_a_given_authority_is_trusted_besides_those_of_the_machine(
    nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA of the definition is added: a server that the machine trusts is trusted still."""
    monkeypatch.setenv("SSL_CERT_FILE", str(nginx.pki.ca))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(nginx.pki.ca))
    for mode in ALL_MODES:
        for verify in (str(nginx.pki.foreign_ca), nginx.pki.foreign_ca.read_text()):
            with mode.sending():
                storage = plain(nginx.tls_url, verify=verify)
                mode.call(storage, "put", BODY, "tls")
                assert BODY == mode.call(storage, "get", "tls")


# --- PEM texts -----------------------------------------------------------------------------------


def texts(nginx: Nginx) -> dict[str, str]:
    """Return what a client needs, as texts, each with a mark."""
    pki = nginx.pki
    paths = {
        "CA": pki.ca, "CERT": pki.client.cert, "KEY": pki.client.key,
        "FOREIGN_CA": pki.foreign_ca, "FOREIGN_CERT": pki.foreign_client.cert,
        "FOREIGN_KEY": pki.foreign_client.key, "OTHER_KEY": pki.server.key,
    }  # fmt: skip
    return {name: MARK + path.read_text() for name, path in paths.items()}


@modes
def test_certificate_by_secret_text(mode: Mode, nginx: Nginx) -> None:
    """Secrets can hold certificates and keys themselves, apart, together, and beside paths."""
    secrets = texts(nginx)
    secrets["BOTH"] = secrets["KEY"] + secrets["CERT"]
    key = str(nginx.pki.client.key)
    with mode.sending(secrets):
        right = plain(nginx.mtls_url, verify="${CA}", cert=["${CERT}", "${KEY}"])
        mode.call(right, "put", BODY, "mtls")
        for good in (["${CERT}", "${KEY}"], "${BOTH}", ["${CERT}", key]):
            storage = plain(nginx.mtls_url, verify="${CA}", cert=good)
            assert BODY == mode.call(storage, "get", "mtls")
        for bad in (["${FOREIGN_CERT}", "${FOREIGN_KEY}"], None):
            storage = plain(nginx.mtls_url, verify="${CA}", cert=bad)
            assert e.ResponseError is type(caught(partial(mode.call, storage, "get", "mtls")))
        storage = plain(nginx.mtls_url, verify="${FOREIGN_CA}", cert=["${CERT}", "${KEY}"])
        assert e.TlsError is type(caught(partial(mode.call, storage, "get", "mtls")))


@modes
def test_certificate_without_checking_the_server(mode: Mode, nginx: Nginx) -> None:
    """A client can be known to a server that it does not check."""
    with mode.sending(texts(nginx)), warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        storage = plain(nginx.mtls_url, verify=False, cert=["${CERT}", "${KEY}"])
        mode.call(storage, "put", BODY, "mtls")


def unusable(nginx: Nginx) -> dict[str, str]:
    """Return texts that are of no use, each with a mark."""
    key = serialization.load_pem_private_key(nginx.pki.client.key.read_bytes(), None)
    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    found = {
        "PUBLIC": key.public_key().public_bytes(pem, spki).decode(),
        "NONSENSE": "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
        "ONE_LINE": nginx.pki.ca.read_text().replace("\n", "\\n"),
        "NOWHERE": f"/nowhere/{PLAIN}.pem",
    }
    return {name: MARK * (name != "NOWHERE") + text for name, text in found.items()}


NO_CA = "the CA certificates cannot be read"
NO_CERT = "the client certificate or its key cannot be read"


@modes
@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"verify": "${NONSENSE}"}, NO_CA),
        ({"verify": "${PUBLIC}"}, NO_CA),
        ({"verify": "${ONE_LINE}"}, NO_CA),
        ({"verify": "${NOWHERE}"}, NO_CA),
        ({"cert": ["${NONSENSE}", "${KEY}"]}, NO_CERT),
        ({"cert": ["${PUBLIC}", "${KEY}"]}, NO_CERT),
        ({"cert": ["${CERT}", "${PUBLIC}"]}, NO_CERT),
        ({"cert": ["${CERT}", "${OTHER_KEY}"]}, "the key is not that of the client certificate"),
        ({"cert": ["${CERT}", "${NOWHERE}"]}, NO_CERT),
        ({"cert": ["${NOWHERE}", "${KEY}"]}, NO_CERT),
        ({"cert": "${CERT}"}, NO_CERT),
        ({"cert": "${KEY}"}, NO_CERT),
    ],
    ids=str,
)
def test_unusable_text(
    mode: Mode,
    nginx: Nginx,
    kwargs: dict[str, Any],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    in_memory: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A text that is of no use is an error at once, which shows nothing and leaves no file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create")
    storage = plain(nginx.mtls_url, **{"verify": "${CA}", **kwargs})
    with mode.sending(texts(nginx) | unusable(nginx)):
        error = caught(partial(mode.call, storage, "get", "k"))
    assert (e.ConfigurationError, expected) == (type(error), str(error))
    assert [] == hits(of_error(error))
    assert [] == list(tmp_path.iterdir())


@modes
def test_text_of_a_key_with_a_password(mode: Mode, nginx: Nginx, tmp_path: Path) -> None:
    """Nobody is asked for the password; the error says that there is one."""
    secrets = texts(nginx)
    secrets["KEY"] = encrypted(nginx.pki.client.key, tmp_path / "key.pem").read_text()
    storage = plain(nginx.mtls_url, verify="${CA}", cert=["${CERT}", "${KEY}"])
    with mode.sending(secrets):
        error = caught(partial(mode.call, storage, "get", "k"))
    assert e.ConfigurationError is type(error)
    assert "password" in str(error)


@modes
def test_texts_without_files_in_memory(
    mode: Mode, nginx: Nginx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where a system has no files in memory, a temporary one is used and removed."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with mode.sending(texts(nginx)):
        storage = plain(nginx.mtls_url, verify="${CA}", cert=["${CERT}", "${KEY}"])
        mode.call(storage, "put", BODY, "mtls")
    assert [] == list(tmp_path.iterdir())


@modes
def test_text_is_not_kept(mode: Mode, nginx: Nginx) -> None:
    """A transport finds its connections again by a digest, and shows nothing of a text."""
    with mode.sending(texts(nginx)) as sender:
        storage = plain(nginx.mtls_url, verify="${CA}", cert=["${CERT}", "${KEY}"])
        mode.call(storage, "put", BODY, "mtls")
        (transport,) = set(sender._transports.values())
        pools = getattr(transport, "_pools", None) or getattr(transport, "_adapters", None)
        keys = [tuple(key) for key in pools._pools] if pools else []
        assert [] == hits(of_object(transport))
        assert [] == find(repr((keys, getattr(transport, "_contexts", {}))))
    request = WireRequest(method="GET", url="https://h", headers=[], cert=(MARK, MARK))
    assert [] == hits(of_object(request))


def test_literal_key_is_warned_of(nginx: Nginx) -> None:
    """A definition that holds a private key itself is a mistake; one with a certificate is none."""
    pki = nginx.pki.client
    cert = pki.cert.read_text()
    plain(nginx.mtls_url, cert=[cert, "${KEY}"], verify=nginx.pki.ca.read_text())
    with pytest.warns(LiteralSecretWarning, match="private key"):
        plain(nginx.mtls_url, cert=[cert, pki.key.read_text()])


# --- sessions of requests ------------------------------------------------------------------------


class OwnAdapter(HTTPAdapter):
    """An adapter of a company."""


@pytest.mark.parametrize("mode", [REQUESTS, REQUESTS_ASYNC], ids=lambda mode: mode.name)
def test_adapter_of_the_user(mode: Mode, nginx: Nginx) -> None:
    """It is given paths, with which it makes its own settings, and no texts."""
    session = requests.Session()
    session.mount("https://", OwnAdapter())
    pki = nginx.pki
    paths = [str(pki.client.cert), str(pki.client.key)]
    secrets = texts(nginx) | unusable(nginx)
    with mode.sending(secrets, transport=RequestsTransport(session)):
        by_path = plain(nginx.mtls_url, verify=str(pki.ca), cert=paths)
        mode.call(by_path, "put", BODY, "mtls")
        for verify, cert in (
            ("${CA}", paths),
            (str(pki.ca), ["${CERT}", paths[1]]),
            (str(pki.ca), "${CERT}"),
        ):
            storage = plain(nginx.mtls_url, verify=verify, cert=cert)
            error = caught(partial(mode.call, storage, "get", "mtls"))
            assert e.ConfigurationError is type(error)
            assert "paths only" in str(error)
        nowhere = plain(nginx.mtls_url, verify="${NOWHERE}", cert=paths)
        error = caught(partial(mode.call, nowhere, "get", "mtls"))
        assert e.ConfigurationError is type(error)
        assert [] == hits(of_error(error))
        session.verify = str(pki.ca)
        by_session = plain(nginx.mtls_url, cert=paths)
        assert BODY == mode.call(by_session, "get", "mtls")


def test_settings_of_the_session(nginx: Nginx, tmp_path: Path) -> None:
    """What a session says of TLS holds where the request says nothing else."""
    pki = nginx.pki
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=3, max_retries=2))
    session.headers["X-Mine"] = "1"
    session.cert = (str(pki.client.cert), str(pki.client.key))
    (tmp_path / "empty").mkdir()
    with REQUESTS.sending(texts(nginx), transport=RequestsTransport(session)):
        plain(nginx.mtls_url, verify="${CA}").put(BODY, "mtls")
        session.verify = str(pki.ca)
        assert BODY == plain(nginx.mtls_url, verify="${FOREIGN_CA}").get("mtls")
        assert BODY == plain(nginx.mtls_url, cert=["${CERT}", "${KEY}"]).get("mtls")
        twin = TlsAdapter(HTTPAdapter(max_retries=2), ssl.create_default_context())
        assert 2 == twin.max_retries.total  # an adapter keeps the rest of its settings
        session.verify = str(tmp_path / "empty")  # a directory of authorities
        storage = plain(nginx.mtls_url, verify="${FOREIGN_CA}")
        assert e.TlsError is type(caught(partial(storage.get, "mtls")))
        session.verify = False
        assert e.TlsError is type(caught(partial(storage.get, "mtls")))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            assert BODY == plain(nginx.mtls_url, cert=["${CERT}", "${KEY}"]).get("mtls")


@modes
def test_text_where_none_is_needed(mode: Mode, nginx: Nginx) -> None:
    """A request that does not speak TLS looks at no certificate."""
    with mode.sending():
        storage = plain(nginx.open_url, verify=f"{MARK}-----BEGIN ", cert="-----BEGIN nothing")
        mode.call(storage, "put", BODY, "k")


def test_pickled_session(nginx: Nginx) -> None:
    """A transport with connections of its own travels as its session."""
    transport = RequestsTransport()
    with REQUESTS.sending(texts(nginx), transport=transport):
        storage = plain(nginx.tls_url, verify="${CA}")
        storage.put(BODY, "tls")
        copy = pickle.loads(pickle.dumps(transport))  # noqa: S301 - our own bytes
    with REQUESTS.sending(texts(nginx), transport=copy):
        assert BODY == storage.get("tls")


# --- servers of all kinds ------------------------------------------------------------------------


@dataclass
class Authority:
    """Issues certificates for one test.

    Attributes:
        ca: The path of its own certificate.
    """

    root: trustme.CA
    ca: Path

    def server(self) -> ssl.SSLContext:
        """Return the settings of a server on this machine."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.root.issue_cert("127.0.0.1").configure_cert(context)
        return context

    def client(self, since: dt.datetime | None = None, until: dt.datetime | None = None) -> str:
        """Return a client's certificate and key as one text."""
        leaf = self.root.issue_cert("alice@example.test", not_before=since, not_after=until)
        return leaf.private_key_and_cert_chain_pem.bytes().decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority of this test."""
    root = trustme.CA()
    root.cert_pem.write_to_path(tmp_path / "ca.pem")
    return Authority(root, tmp_path / "ca.pem")


def serving(context: ssl.SSLContext) -> RawServer:
    """Return a server that is content with everything."""
    return RawServer(always(reply("200 OK", BODY)), tls=context)


@modes
def test_client_certificate_in_time(mode: Mode, authority: Authority) -> None:
    """A server refuses a certificate that has expired, and one that is of a stranger."""
    context = authority.server()
    authority.root.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # there the refusal comes before the request
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    expired = authority.client(past, past + dt.timedelta(1))
    secrets = {
        "RIGHT": authority.client(),
        "EXPIRED": expired,
        "STRANGER": Authority(trustme.CA(), authority.ca).client(),
    }
    with serving(context).serving() as server, mode.sending(secrets):
        fetch = {
            name: partial(
                mode.call,
                plain(server.url, verify=str(authority.ca), cert=f"${{{name}}}"),
                "get",
                "k",
            )
            for name in secrets
        }
        assert BODY == fetch["RIGHT"]()
        assert [e.TlsError] * 2 == [type(caught(fetch[name])) for name in ("EXPIRED", "STRANGER")]
    assert 1 == len(server.calls)


@pytest.fixture
def old_server(authority: Authority) -> Iterator[RawServer]:
    """A server that speaks TLS 1.1 and nothing newer."""
    context = authority.server()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(context).serving() as server:
        yield server


@modes
def test_old_versions_are_not_spoken(
    mode: Mode, old_server: RawServer, authority: Authority
) -> None:
    """TLS 1.2 is the oldest, with settings of the request and without."""
    with mode.sending(), warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        for verify in (str(authority.ca), authority.ca.read_text(), False):
            storage = plain(old_server.url, verify=verify)
            assert e.TlsError is type(caught(partial(mode.call, storage, "get", "k")))
    assert [] == old_server.calls


@pytest.mark.parametrize("verify", [True, False])
def test_whatever_the_system_allows(verify: bool) -> None:  # noqa: FBT001 - a parameter
    """A system whose own settings allow older versions changes nothing."""
    context = ssl.create_default_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    equip(context, verify=verify, cert=None)
    assert ssl.TLSVersion.TLSv1_2 == context.minimum_version


def test_the_old_server_answers_who_speaks_as_it_does(
    old_server: RawServer, authority: Authority
) -> None:
    """So that the refusal above is ours."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with urllib3.PoolManager(ssl_context=context, retries=False) as client:
        assert BODY == client.request("GET", f"{old_server.url}/k").data


def fetched(transport: Transport, request: WireRequest) -> bytes:
    """Return the body of an answer."""
    answer = transport.send(request)
    body = b"".join(answer.chunks())
    answer.close()
    return body


@pytest.mark.parametrize("transport", [HttpxTransport, RequestsTransport])
def test_text_with_a_comment(
    transport: type[HttpxTransport | RequestsTransport], authority: Authority
) -> None:
    """What stands around the certificates of a list may be in any language."""
    text = f"# Firma Müller, Zürich\n{authority.ca.read_text()}\n# Ende\n"
    with serving(authority.server()).serving() as server:
        request = WireRequest(method="GET", url=f"{server.url}/k", headers=[], verify=text)
        carrier = transport()
        assert BODY == fetched(carrier, request)
        carrier.close()


@pytest.mark.parametrize("transport", [HttpxTransport, RequestsTransport])
def test_certificates_that_change(
    transport: type[HttpxTransport | RequestsTransport], authority: Authority
) -> None:
    """However often a certificate changes, few connections and few settings are kept."""
    carrier = transport()
    with serving(authority.server()).serving() as server:
        for number in range(40):
            text = f"{authority.ca.read_text()}# {number}"
            request = WireRequest(method="GET", url=f"{server.url}/k", headers=[], verify=text)
            assert BODY == fetched(carrier, request)
        assert 16 == open_connections(server)
        carrier.close()
        assert 0 == open_connections(server)
    assert 0 < len(getattr(carrier, "_contexts", [0])) <= 16
