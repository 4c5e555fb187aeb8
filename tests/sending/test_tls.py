"""Which servers are trusted, and by which certificate we are."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3
from cryptography.hazmat.primitives import serialization

from tests.sending.support import HTTPX, MODES, Mode, caught, plain
from webhook_storage import errors as e

if TYPE_CHECKING:
    from tests.fleet.nginx import Nginx

BODY = bytes(range(256)) * 16
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


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
    with HTTPX.sending():
        storage = plain(nginx.tls_url, verify=str(nginx.pki.foreign_ca))
        storage.put(BODY, "tls")

        assert BODY == storage.get("tls")
