"""What must hold whenever something is stored or fetched, seen from outside."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer as FakeAnswer
from tests.sending.raw import Answer, Call, RawServer, always, reply
from tests.sending.support import ALL_MODES, HTTPX, HTTPX_ASYNC, Mode, caught, plain
from webhook_storage import Sender, Webhook
from webhook_storage import errors as e
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = bytes(range(256)) * 1024
modes = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)


@pytest.fixture
def service() -> Iterator[FileService]:
    """A file service behind a token."""
    with FileService(token="right") as service:
        yield service


def guarded(service: FileService) -> Webhook:
    """Return a storage for the service."""
    return plain(service.url, headers={"Authorization": "Bearer ${TOKEN}"})


# --- secrets -------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize(("token", "stored"), [("right", True), ("wrong", False)])
def test_bytes_come_back(
    mode: Mode, service: FileService, *, token: str, stored: bool, tmp_path: Path
) -> None:
    """With the right credential what went out comes back; with a wrong one nothing does."""
    storage = guarded(service)
    with mode.sending({"TOKEN": token}):
        if not stored:
            assert e.AuthenticationError is type(
                caught(partial(mode.call, storage, "put", BODY, "k"))
            )
            assert {} == service.files
            return
        receipt = mode.call(storage, "put", BODY, "k ü/ö")
        assert BODY == mode.call(storage, "get", receipt)
        assert len(BODY) == mode.call(storage, "download", tmp_path / "copy", receipt)
        assert BODY == (tmp_path / "copy").read_bytes() == service.files["/k ü/ö"]
        assert mode.call(storage, "exists", "k ü/ö")
        mode.call(storage, "delete", "k ü/ö")
        assert not mode.call(storage, "exists", "k ü/ö")


@modes
def test_missing_secrets(mode: Mode, service: FileService) -> None:
    """One error names every secret that nobody has and who was asked in order; nothing is sent."""

    class Second(MappingResolver):
        scheme = "second"

    storage = plain(
        f"{service.url}/${{ONE}}",
        headers={"A": "${TWO}", "B": "${THREE:-default}", "C": ["${FOUR}", "${ONE}"]},
        auth=["me", "${FIVE:?ask the administrator}"],
    )
    resolvers = [MappingResolver({"TWO": "here"}), Second({})]
    with Sender(secrets=resolvers, transport=mode.transport()):
        error = caught(partial(mode.call, storage, "put", BODY, "k"))
    assert isinstance(error, e.SecretNotFoundError)
    assert ("ONE", "FOUR", "FIVE") == error.names
    assert "${ONE} is missing (asked: mapping, second)" in str(error)
    assert "ask the administrator" in str(error)
    assert [] == service.requests


@modes
def test_empty_secret(mode: Mode, service: FileService) -> None:
    """An empty secret is as good as none, unless a default allows it."""
    with mode.sending({"TOKEN": ""}):
        error = caught(partial(mode.call, guarded(service), "put", BODY, "k"))
        assert [] == service.requests
        service.token = None
        mode.call(plain(f"{service.url}/x${{TOKEN:-}}"), "put", BODY, "k")
    assert isinstance(error, e.SecretNotFoundError)
    assert {"/x/k": BODY} == service.files


WILD = "a&b=c#d?e/f+g h\"i'j\\k;l,m<n>o%zq{r}|s`t^u@v:w$x${TOKEN}"


@modes
def test_wild_value_fills_its_place(mode: Mode) -> None:
    """A value with every kind of special character changes nothing around it."""
    request = {
        "url": "{url}/before/${WILD}/after?first=${WILD}&last=1",
        "params": {"name": "${WILD}", "list": ["${WILD}", 2]},
        "headers": {
            "X-Wild": "${WILD}",
            "X-Json": {"arg": "${WILD}"},
            "X-Text": '{"arg": "${WILD}"}',
        },
        "auth": ["me", "${WILD}"],
    }
    with (
        RawServer(always(reply("200 OK", b"{}"))).serving() as server,
        mode.sending({"WILD": WILD}),
    ):
        request["url"] = request["url"].replace("{url}", server.url)  # type: ignore[attr-defined]
        storage = Webhook(
            request,
            "PUT",
            {**request, "json": {"arg": ["${WILD}"]}},
            "POST",
            delete_request={**request, "method": "POST", "data": {"arg": "${WILD}", "n": 1}},
        )
        for operation, arguments in (("put", (BODY,)), ("get", ()), ("delete", ())):
            mode.call(storage, operation, *arguments)
    stored, fetched, deleted = server.calls
    for call in server.calls:
        target = urlsplit(call.target)
        query = [("first", WILD), ("last", "1"), ("name", WILD), ("list", WILD), ("list", "2")]
        assert ["", "before", WILD, "after"] == [unquote(part) for part in target.path.split("/")]
        assert query == parse_qsl(target.query)
        assert WILD == call.headers["x-wild"]
        assert (
            {"arg": WILD}
            == json.loads(call.headers["x-json"])
            == json.loads(call.headers["x-text"])
        )
        basic = call.headers["authorization"].removeprefix("Basic ")
        assert f"me:{WILD}" == base64.b64decode(basic).decode()
    assert BODY == stored.body
    assert {"arg": [WILD]} == json.loads(fetched.body)
    assert [("arg", WILD), ("n", "1")] == parse_qsl(deleted.body.decode())


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "line break in a header": ("a\r\nEvil: 1", {"headers": {"X": "${BAD}"}}),
    "NUL in a header": ("a\0b", {"headers": {"X": "${BAD}"}}),
    "line break in a path": ("a\nb", {"url": "{url}/${BAD}"}),
    "line break in a query": ("a\r\nb", {"url": "{url}/x?q=${BAD}"}),
    "way out of a path": ("../../etc", {"url": "{url}/${BAD}/x"}),
    "hidden way out of a path": ("%2e%2e/x", {"url": "{url}/${BAD}/x"}),
    "two dots": ("..", {"url": "{url}/a/${BAD}"}),
    "line break in a password": ("a\nb", {"auth": ["me", "${BAD}"]}),
    "colon in a user": ("a:b", {"auth": ["${BAD}", "x"]}),
    "semicolon in a cookie": ("a; admin=1", {"cookies": {"c": "${BAD}"}}),
    "line break in a JSON header's text": ("a\nb", {"headers": {"X": "v=${BAD}"}}),
    "encoded twice or not": ("a%2Fb", {"url": "{url}/x?q=${BAD}"}),
    "another host": ("https://evil.example/x?", {"url": "${BAD}/x"}),
    "user in an origin": ("http://me@127.0.0.1", {"url": "${BAD}/x"}),
}


@pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)
@pytest.mark.parametrize("case", REFUSED)
def test_value_that_fits_nowhere(mode: Mode, case: str) -> None:
    """A value that would change the request is refused by its name, and nothing is sent."""
    value, kwargs = REFUSED[case]
    with RawServer(always(reply())).serving() as server, mode.sending({"BAD": value}):
        url = kwargs.get("url", "{url}/x")
        request = {**kwargs, "url": url.replace("{url}", server.url)}
        error = caught(partial(mode.call, Webhook(request, "PUT", request, "GET"), "put", BODY))
    assert isinstance(error, e.UnsafeValueError)
    assert ("BAD",) == error.names
    assert len(value) < 3 or value not in str(error)
    assert [] == server.calls


# --- answers -------------------------------------------------------------------------------------


def cut(head: bytes, body: bytes) -> Answer:
    """Answer and close the connection."""
    return always(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + head + b"\r\n\r\n" + body)


BROKEN: dict[str, tuple[Answer, type[Exception]]] = {
    "login page": (
        always(reply("200 OK", b"<html>", Content_Type="text/html; charset=utf-8")),
        e.UnexpectedAnswerError,
    ),
    "XHTML login page": (
        always(reply("200 OK", b"<html>", Content_Type="Application/XHTML+xml")),
        e.UnexpectedAnswerError,
    ),
    "too short": (cut(b"Content-Length: 100", b"short"), e.ProtocolError),
    "chunk too short": (cut(b"Transfer-Encoding: chunked", b"ff\r\nshort"), e.ProtocolError),
    "no last chunk": (cut(b"Transfer-Encoding: chunked", b"5\r\nshort\r\n"), e.ProtocolError),
    "no answer": (always(b""), e.ProtocolError),
    "no HTTP": (always(b"220 smtp.example.com ESMTP\r\n"), e.ProtocolError),
    "401": (always(reply("401 X")), e.AuthenticationError),
    "403": (always(reply("403 X")), e.PermissionDeniedError),
    "404": (always(reply("404 X")), e.ObjectNotFoundError),
    "407": (always(reply("407 X")), e.AuthenticationError),
    "409": (always(reply("409 X")), e.ConflictError),
    "410": (always(reply("410 X")), e.ObjectNotFoundError),
    "412": (always(reply("412 X")), e.ConflictError),
    "413": (always(reply("413 X")), e.TooLargeError),
    "418": (always(reply("418 X")), e.ResponseError),
    "429": (always(reply("429 X")), e.RateLimitedError),
    "500": (always(reply("500 X")), e.ServerError),
    "507": (always(reply("507 X")), e.ServerError),
    "300": (always(reply("300 X")), e.RedirectRefusedError),
    "304": (always(b"HTTP/1.1 304 X\r\n\r\n"), e.RedirectRefusedError),
}


@modes
@pytest.mark.parametrize("case", BROKEN)
def test_bad_answer(mode: Mode, case: str, tmp_path: Path) -> None:
    """What is no artifact is a typed error with a hint, and the local file is untouched."""
    answer, kind = BROKEN[case]
    target = tmp_path / "local"
    target.write_bytes(b"old")
    with RawServer(answer).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "download", target, "k"))
    assert kind is type(error)
    assert isinstance(error, e.WebhookStorageError)
    assert f"GET {server.url}/${{artifact.key}}" in str(error)
    assert error.hint
    assert [target] == list(tmp_path.iterdir())
    assert b"old" == target.read_bytes()


@modes
def test_login_page_on_a_store(mode: Mode) -> None:
    """A store that is answered with a login page did not store."""
    page = always(reply("200 OK", b"<html>", Content_Type="text/html"))
    with RawServer(page).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "put", BODY, "k"))
    assert e.UnexpectedAnswerError is type(error)


@modes
@pytest.mark.parametrize(("key", "allow"), [("page.html", False), ("page", True)])
def test_html_that_was_asked_for(mode: Mode, key: str, *, allow: bool) -> None:
    """A page that is an artifact comes back as one."""
    page = always(reply("200 OK", b"<html>", Content_Type="text/html"))
    with RawServer(page).serving() as server, mode.sending():
        storage = plain(server.url, with_allow_html=allow)
        assert b"<html>" == mode.call(storage, "get", key)


@modes
def test_wrong_digest(mode: Mode, service: FileService, tmp_path: Path) -> None:
    """What was replaced on the service does not pass for what was stored."""
    storage, target = guarded(service), tmp_path / "local"
    with mode.sending({"TOKEN": "right"}):
        receipt = mode.call(storage, "put", BODY, "k")
        service.files["/k"] = BODY[:-1] + b"!"
        for act in (
            partial(mode.call, storage, "get", receipt),
            partial(mode.call, storage, "download", target, receipt),
        ):
            assert e.IntegrityError is type(caught(act))
    assert [] == list(tmp_path.iterdir())


@modes
@pytest.mark.parametrize("encoding", ["gzip", "br", "identity"])
def test_encoded_answer_stays_as_it_is(mode: Mode, encoding: str) -> None:
    """The raw bytes are the artifact, whatever the service says of them."""
    packed = gzip.compress(BODY)
    answer = always(reply("200 OK", packed, Content_Encoding=encoding))
    with RawServer(answer).serving() as server, mode.sending():
        assert packed == mode.call(plain(server.url), "get", "k")
    assert "identity" == server.last.headers["accept-encoding"]


@modes
def test_success_before_the_body_was_sent(mode: Mode) -> None:
    """A server that says yes before it has everything did not store it."""

    def hasty(call: Call) -> bytes:
        raise AssertionError("it is answered before")

    server = RawServer(hasty)
    server.hasty = reply("201 Created", Connection="close")
    with server.serving(), mode.sending():
        error = caught(partial(mode.call, plain(server.url), "put", b"x" * 30_000_000, "k"))
    assert type(error) in {e.IntegrityError, e.ProtocolError}


@modes
@pytest.mark.parametrize(("size", "limit", "fits"), [(1000, 1000, True), (1001, 1000, False)])
def test_limit(mode: Mode, size: int, limit: int, *, fits: bool) -> None:
    """An answer that is longer than allowed is an error, one of just that size is none."""
    with RawServer(always(reply("200 OK", b"x" * size))).serving() as server, mode.sending():
        act = partial(mode.call, plain(server.url), "get", "k", max_bytes=limit)
        if fits:
            assert size == len(act())
        else:
            assert e.TooLargeError is type(caught(act))


@modes
def test_long_answer_to_a_store(mode: Mode) -> None:
    """What a store is answered is kept up to 1 MiB, and more is an error."""
    long = always(reply("200 OK", b"x" * (1024 * 1024 + 1)))
    with RawServer(long).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "put", BODY, "k"))
    assert e.TooLargeError is type(error)


# --- interruption --------------------------------------------------------------------------------


def files_in(directory: Path) -> list[Path]:
    """Return what is in a directory."""
    return list(directory.iterdir())


@modes
def test_interruption(mode: Mode, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a download leaves the old file, and no other."""
    target = tmp_path / "local"
    target.write_bytes(b"old")

    def half(call: Call) -> bytes:
        call.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)
        call.hang()
        return b""

    with RawServer(half).serving() as server, mode.sending():

        def interrupt() -> None:
            seen = 0
            while seen < 2:  # twice, so that the file is not only just being opened
                threading.Event().wait(0.01)
                seen += any(tmp_path.glob(".*.part"))
            os.kill(os.getpid(), signal.SIGINT)
            # A thread of requests cannot be interrupted: it ends when the server goes away.
            interrupted.wait(0.5)
            server.closing.set()

        interrupted = threading.Event()
        thread = threading.Thread(target=interrupt)
        thread.start()
        error = caught(partial(mode.call, plain(server.url), "download", target, "k"))
        interrupted.set()
        thread.join()
    assert KeyboardInterrupt is type(error)
    assert [target] == list(tmp_path.iterdir())
    assert b"old" == target.read_bytes()


async def test_cancelled_download(tmp_path: Path) -> None:
    """A cancelled task leaves nothing behind, and the connection is not used again."""

    def half(call: Call) -> bytes:
        call.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)
        call.hang()
        return b""

    with RawServer(half, always(reply("200 OK", b"fine"))).serving() as server, HTTPX.sending():
        task = asyncio.create_task(plain(server.url).adownload(tmp_path / "local", "k"))
        await asyncio.to_thread(server.hanging.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert b"fine" == await plain(server.url).aget("k")
    assert [] == files_in(tmp_path)
    assert 2 == server.connections


@pytest.mark.parametrize("operation", ["put", "delete", "exists"])
def test_a_login_page_is_no_success_of_any_operation(operation: str) -> None:
    """A 200 with an HTML page, whatever was asked, is told as such."""
    with FileService() as service, HTTPX.sending():
        service.files["/k"] = b"there"
        page = FakeAnswer(200, b"<html>log in", {"Content-Type": "text/html"})
        service.inject(page, times=None)
        arguments = (b"new", "k") if operation == "put" else ("k",)
        with pytest.raises(e.UnexpectedAnswerError, match="HTML page"):
            getattr(plain(service.url), operation)(*arguments)


def test_credentials_in_a_url_are_refused_before_anything_is_sent() -> None:
    """A user and password in a literal URL would be shown and not sent; the hint says where to."""
    with pytest.raises(e.TemplateError, match="no user and password") as caught_error:
        plain("https://me:literal@files.example.com")

    assert "auth" in str(caught_error.value.hint)
    assert "literal" not in str(caught_error.value)
