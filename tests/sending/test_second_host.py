"""What another host gets to see when a fetch may be redirected there."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import requests
import trustme

from tests.fakes.files import FileService
from tests.fakes.http import Answer
from tests.sending.raw import Call, RawServer, reply
from tests.sending.support import ALL_MODES, REQUESTS, Mode, plain
from webhook_storage.answer import Reply
from webhook_storage.contracts import Request, WireRequest
from webhook_storage.redirect import next_hop
from webhook_storage.secret import Redactor
from webhook_storage.transport.requests import RequestsTransport

if TYPE_CHECKING:
    from pathlib import Path


def test_a_session_s_own_credentials_stay_with_the_first_host() -> None:
    """Headers, credentials and cookies of the user's session go to the host they were meant for."""
    session = requests.Session()
    session.headers["X-Api-Key"] = "of the session"
    session.auth = ("me", "of the session")
    session.cookies.set("login", "of the session")
    with FileService() as first, FileService() as second:
        second.files["/moved"] = b"there"
        location = second.url.replace("127.0.0.1", "localhost") + "/moved"
        first.inject(Answer(302, headers={"Location": location}))
        storage = plain(first.url, with_redirect_hosts=["localhost"])
        with REQUESTS.sending(transport=RequestsTransport(session)):
            assert b"there" == storage.get("k")

        assert "of the session" == first.last.headers["x-api-key"]
        assert {"authorization", "cookie"} <= set(first.last.headers)
        assert not {"x-api-key", "authorization", "cookie"} & set(second.last.headers)


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
def test_client_certificate_stays_with_the_first_host(mode: Mode, tmp_path: Path) -> None:
    """Another host is checked by the same authority, and is not told who we are."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("alice@example.test").private_key_and_cert_chain_pem
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    known: list[bool] = []

    def meet(call: Call) -> None:
        assert isinstance(call.socket, ssl.SSLSocket)
        known.append(bool(call.socket.getpeercert()))

    def first(call: Call) -> bytes:
        meet(call)
        return reply("302 Elsewhere", Location=there.url.replace("127.0.0.1", "localhost"))

    def second(call: Call) -> bytes:
        meet(call)
        return reply("200 OK", b"there")

    secrets: dict[str, Any] = {"CLIENT": client.bytes().decode()}
    with (
        RawServer(first, tls=context).serving() as here,
        RawServer(second, tls=context).serving() as there,
        mode.sending(secrets),
    ):
        storage = plain(
            here.url,
            verify=str(tmp_path / "ca.pem"),
            cert="${CLIENT}",
            with_redirect_hosts=["localhost"],
        )
        assert b"there" == mode.call(storage, "get", "k")
    assert [True, False] == known


@pytest.mark.parametrize("location", ["/moved", "https://other.test/moved"])
def test_guarded_request_stays_guarded(location: str) -> None:
    """Wherever a redirect leads, private addresses stay out of reach."""
    request = Request(method="GET", url="${BASE_URL}/k", redirect_hosts=["*"])
    for guarded in (True, False):
        wire = WireRequest(method="GET", url="https://files.test/k", headers=[], guarded=guarded)
        reply = Reply(
            status=302,
            headers={"location": location},
            body=b"",
            size=0,
            sha256="",
            good=False,
            html=False,
        )
        hop = next_hop(request, wire, reply, Redactor(), left=1)
        assert hop is not None
        assert (guarded, "/moved") == (hop.guarded, hop.url[-6:])
