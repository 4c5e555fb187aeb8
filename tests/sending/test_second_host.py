"""What another host gets to see when a fetch may be redirected there."""

from __future__ import annotations

import requests

from tests.fakes.files import FileService
from tests.fakes.http import Answer
from tests.sending.support import REQUESTS, plain
from webhook_storage.transport.requests import RequestsTransport


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
