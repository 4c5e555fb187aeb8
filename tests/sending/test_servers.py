"""Storing on real servers, with the right credential and with a wrong one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.sending.support import ALL_MODES, Mode, caught
from webhook_storage import Webhook
from webhook_storage import errors as e

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fleet.dav import Dav
    from tests.fleet.nginx import Nginx
    from tests.fleet.pki import Pki
    from tests.fleet.swift import Swift

KEYS = ["plain.bin", "folder/ü €/a+b&c=d;e%41.bin"]
BODIES = [bytes(range(256)) * 9, b"", b"\xff" * 2_000_000]


@dataclass(frozen=True)
class Place:
    """Where to store, how to be let in, and how not to.

    Attributes:
        right: Secrets that open it.
        wrong: Secrets that do not.
        refusal: What the server says to the wrong ones.
        prepare: Makes the folder of a key where the server does not by itself.
    """

    url: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    right: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] | None = None
    refusal: type[Exception] = e.AuthenticationError
    prepare: Callable[[], object] = lambda: None

    def storage(self) -> Webhook:
        """Return a storage of it."""
        request = {"url": f"{self.url}/${{artifact.key}}", **self.kwargs}
        return Webhook(request, "PUT", request, "GET")


BASIC = {"auth": ["${NAME}", "${WORD}"]}


def _mtls(nginx: Nginx) -> Place:
    pki: Pki = nginx.pki

    def paths(certificate: Any) -> dict[str, str]:
        return {"CERT": str(certificate.cert), "KEY": str(certificate.key)}

    kwargs = {"verify": str(pki.ca), "cert": ["${CERT}", "${KEY}"]}
    wrong = paths(pki.foreign_client)
    return Place(
        f"{nginx.mtls_url}/by-certificate", kwargs, paths(pki.client), wrong, e.ResponseError
    )


def _signed(nginx: Nginx) -> Place:
    """Sign one path; the signature is a secret."""
    soon = int(time.time()) + 600
    signed = {
        method: nginx.sign(method, "/signed.bin", soon).partition("?")[2]
        for method in ("PUT", "GET")
    }
    wrong = {method: query.replace("md5=", "md5=x") for method, query in signed.items()}
    return Place(f"{nginx.signed_url}/signed.bin", {}, signed, wrong, e.PermissionDeniedError)


def _dav(dav: Dav) -> Place:
    def folders() -> None:
        with httpx.Client(auth=(dav.user, dav.password), trust_env=False) as client:
            for folder in ("folder", "folder/ü €"):
                client.request("MKCOL", f"{dav.url}/{folder}/").raise_for_status()

    wrong = {"NAME": dav.user, "WORD": "wrong"}
    return Place(dav.url, BASIC, {"NAME": dav.user, "WORD": dav.password}, wrong, prepare=folders)


def _swift(swift: Swift) -> Place:
    headers = {"X-Auth-User": swift.user, "X-Auth-Key": swift.password}
    answer = httpx.get(swift.auth_url, headers=headers, trust_env=False)
    container = f"{answer.headers['X-Storage-Url']}/artifacts"
    token = {"X-Auth-Token": answer.headers["X-Auth-Token"]}
    httpx.put(container, headers=token, trust_env=False).raise_for_status()
    right = {"TOKEN": token["X-Auth-Token"]}
    return Place(container, {"headers": {"X-Auth-Token": "${TOKEN}"}}, right, {"TOKEN": "wrong"})


def _nginx(path: str, kwargs: dict[str, Any], **secrets: str) -> Callable[[Nginx], Place]:
    """Return a place below a path, to which wrong secrets end in an x."""

    def make(nginx: Nginx) -> Place:
        wrong = {name: f"{value}x" for name, value in secrets.items()}
        refusal = e.PermissionDeniedError if path == "apikey" else e.AuthenticationError
        return Place(f"{nginx.url}/{path}", kwargs, secrets, wrong if secrets else None, refusal)

    return make


def _tls(nginx: Nginx) -> Place:
    pki: Pki = nginx.pki
    right, wrong = {"CA": str(pki.ca)}, {"CA": str(pki.foreign_ca)}
    return Place(f"{nginx.tls_url}/by-authority", {"verify": "${CA}"}, right, wrong, e.TlsError)


PLACES: dict[str, tuple[str, Callable[[Any], Place]]] = {
    "nginx, open": ("nginx", _nginx("open", {})),
    "nginx, basic": ("nginx", _nginx("basic", BASIC, NAME="alice", WORD="s3cret")),
    "nginx, bearer": (
        "nginx",
        _nginx("bearer", {"headers": {"Authorization": "Bearer ${TOKEN}"}}, TOKEN="good-token"),
    ),
    "nginx, API key": (
        "nginx",
        _nginx("apikey", {"headers": {"X-Api-Key": "${KEY}"}}, KEY="good-key"),
    ),
    "nginx, TLS": ("nginx", _tls),
    "nginx, client certificate": ("nginx", _mtls),
    "Apache": ("apache", _dav),
    "WsgiDAV": ("wsgidav", _dav),
    "Swift": ("swift", _swift),
}


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    """Each place in turn, prepared."""
    server, make = PLACES[request.param]
    made = make(request.getfixturevalue(server))
    made.prepare()
    return made


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
def test_round_trip(place: Place, mode: Mode) -> None:
    """Any bytes under any key are stored, found, fetched, replaced and deleted."""
    storage = place.storage()
    with mode.sending(place.right):
        for key in KEYS:
            for body in BODIES:
                receipt = mode.call(storage, "put", body, key)
                assert (len(body), key) == (receipt.size, receipt.key)
                assert body == mode.call(storage, "get", receipt)
            assert len(BODIES[-1]) == mode.call(storage, "stat", key).size
            assert not mode.call(storage, "exists", f"{key}.other")
            mode.call(storage, "delete", key)
            assert not mode.call(storage, "exists", key)
            assert e.ObjectNotFoundError is type(caught(partial(mode.call, storage, "get", key)))


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("operation", ["put", "get", "exists", "delete"])
def test_wrong_credential(place: Place, mode: Mode, operation: str) -> None:
    """With a wrong credential nothing is stored, found, fetched or deleted, and that is said."""
    if place.wrong is None:
        return  # there is no wrong one where nothing is asked
    storage, key = place.storage(), f"guarded-{mode.name}-{operation}"
    with mode.sending(place.right):
        mode.call(storage, "put", b"right", key)
    with mode.sending(place.wrong):
        arguments = (b"wrong", key) if operation == "put" else (key,)
        error = caught(partial(mode.call, storage, operation, *arguments))
    assert isinstance(error, place.refusal)
    with mode.sending(place.right):
        assert b"right" == mode.call(storage, "get", key)


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
def test_signed_url(nginx: Nginx, mode: Mode) -> None:
    """A signed URL, its query a secret, is used as it is and lets nobody in when it is altered."""
    place = _signed(nginx)
    storage = Webhook(
        {"url": f"{place.url}?${{PUT}}"}, "PUT", {"url": f"{place.url}?${{GET}}"}, "GET"
    )
    with mode.sending(place.right):
        mode.call(storage, "put", BODIES[0])
        assert BODIES[0] == mode.call(storage, "get")
    with mode.sending(place.wrong):
        for operation, arguments in (("put", (b"wrong",)), ("get", ())):
            error = caught(partial(mode.call, storage, operation, *arguments))
            assert place.refusal is type(error)


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
def test_listing(nginx: Nginx, mode: Mode) -> None:
    """A directory that the server lists as JSON is the storage's list."""
    url = f"{nginx.open_url}/listed-{mode.name}"
    request = {"url": f"{url}/${{artifact.key}}"}
    listing = {"url": f"{url}/", "method": "GET", "keys": "/*/name"}
    storage = Webhook(request, "PUT", request, "GET", list_request=listing)
    with mode.sending():
        for key in ("b.bin", "a.bin", "ü €.bin"):
            mode.call(storage, "put", b"x", key)
        assert ["a.bin", "b.bin", "ü €.bin"] == sorted(mode.call(storage, "list"))


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("place_", ["gzip", "gzipped"])
def test_compressing_server(nginx: Nginx, mode: Mode, place_: str) -> None:
    """Where a server compresses, or says so, what was stored is what comes back."""
    request = {"url": f"{nginx.open_url}/${{artifact.key}}"}
    fetch = {"url": f"{nginx.url}/f/{place_}/open/${{artifact.key}}"}
    storage = Webhook(request, "PUT", fetch, "GET")
    with mode.sending():
        receipt = mode.call(storage, "put", b"compressible " * 100, "text.txt")
        assert b"compressible " * 100 == mode.call(storage, "get", receipt)
