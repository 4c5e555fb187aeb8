"""Checksums: what services announce of what they send, and what they say that they have stored."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import logging
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import google_crc32c
import httpx
import pytest

from tests.sending.raw import RawServer, always, reply
from tests.sending.support import MODES, Mode, caught, plain
from webhook_storage import errors as e

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.mitm import Mitm
    from tests.fleet.nginx import Nginx
    from tests.fleet.registry import Registry
    from tests.fleet.swift import Swift

BODY = bytes(range(256)) * 1200
ALTERED = BODY[:1000] + b"!" + BODY[1001:]
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def base64_of(algorithm: str, content: bytes) -> str:
    """Return a checksum in base64."""
    digest = hashlib.new(algorithm, content, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def hex_of(algorithm: str, content: bytes) -> str:
    """Return a checksum in hex."""
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


def headers_of(content: bytes) -> dict[str, str]:
    """Return each header with which a service may announce some content."""
    crc32 = base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()
    crc32c = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    return {
        "Repr-Digest": f"sha-256=:{base64_of('sha256', content)}:",
        "Content-Digest": f"sha-512=:{base64_of('sha512', content)}:",
        "Digest": f"SHA-256={base64_of('sha256', content)}",
        "Content-MD5": base64_of("md5", content),
        "x-amz-checksum-sha256": base64_of("sha256", content),
        "x-amz-checksum-sha1": base64_of("sha1", content),
        "x-amz-checksum-crc32": crc32,
        "x-goog-hash": f"crc32c={crc32c},md5={base64_of('md5', content)}",
        "OC-Checksum": f"ADLER32:{zlib.adler32(content):x}",
        "Docker-Content-Digest": f"sha256:{hex_of('sha256', content)}",
        "X-Checksum-Sha256": hex_of("sha256", content),
        "X-Checksum-Sha1": hex_of("sha1", content),
        "X-Checksum-Md5": hex_of("md5", content),
        "x-ms-blob-content-md5": base64_of("md5", content),
    }


HEADERS = list(headers_of(b""))
OF_STORED = [name for name in HEADERS if name.startswith(("x-amz", "x-goog", "X-Check", "Docker"))]


def answer(content: bytes, *announced: str, of: bytes = BODY, **more: str) -> bytes:
    """Return an answer with some content, which announces checksums of some other."""
    every = headers_of(of)
    return reply("200 OK", content, **{name: every[name] for name in announced}, **more)


def part(content: bytes, start: int, **headers: str) -> bytes:
    """Return an answer with the rest of the body."""
    place = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    return reply("206 Partial Content", content, Content_Range=place, ETag='"1"', **headers)


def cut(content: bytes, **headers: str) -> bytes:
    """Return an answer that breaks off after its first thousand bytes."""
    whole = reply("200 OK", content, Connection="close", **headers)
    head, _, body = whole.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n" + body[:1000]


# --- a fetch --------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("content", [BODY, ALTERED], ids=["sound", "damaged"])
def test_what_comes_is_what_was_announced(mode: Mode, header: str, content: bytes) -> None:
    """An artifact that is what its header says is returned, another one is an error."""
    with RawServer(always(answer(content, header))).serving() as server, mode.sending():
        fetch = partial(mode.call, plain(server.url), "get", "k")
        if content == BODY:
            assert content == fetch()
            return
        error = caught(fetch)
    assert e.IntegrityError is type(error)
    expected = (
        f"GET {server.url}/${{artifact.key}}: what came back is not what its header {header} says"
    )
    assert expected == str(error)


@modes
def test_damage_on_the_way_is_fetched_anew(mode: Mode, tmp_path: Path) -> None:
    """What was damaged once comes whole at the next attempt, which asks for all of it."""
    answers = [answer(each, "Content-MD5", ETag='"1"') for each in (ALTERED, BODY)]
    target = tmp_path / "copy"
    with RawServer(*map(always, answers)).serving() as server, mode.sending(attempts=2):
        assert len(BODY) == mode.call(plain(server.url), "download", target, "k")
    assert BODY == target.read_bytes()
    assert [False, False] == ["range" in call.headers for call in server.calls]


@modes
def test_damage_that_stays(mode: Mode, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The error tells of all attempts, each was logged, and nothing was written."""
    target = tmp_path / "copy"
    target.write_bytes(b"old")
    caplog.set_level(logging.INFO, "webhook_storage")
    bad = always(answer(ALTERED, "X-Checksum-Sha256"))
    with RawServer(bad).serving() as server, mode.sending(attempts=3):
        error = caught(partial(mode.call, plain(server.url), "download", target, "k"))
    assert isinstance(error, e.IntegrityError)
    assert str(error).endswith(
        "X-Checksum-Sha256 says after 3 attempts (IntegrityError, IntegrityError, IntegrityError)"
    )
    assert 3 == len(server.calls)
    assert ["IntegrityError"] * 3 == [
        vars(record)["webhook_storage"]["outcome"] for record in caplog.records
    ]
    assert {target: b"old"} == {path: path.read_bytes() for path in tmp_path.iterdir()}


@modes
def test_all_that_is_announced_is_compared(mode: Mode) -> None:
    """One right checksum does not make up for a wrong one of another kind."""
    headers = {"Content-MD5": base64_of("md5", BODY), "X-Checksum-Sha1": hex_of("sha1", ALTERED)}
    with RawServer(always(reply("200 OK", BODY, **headers))).serving() as server, mode.sending():
        error = caught(partial(mode.call, plain(server.url), "get", "k"))
    assert isinstance(error, e.IntegrityError)
    assert "X-Checksum-Sha1" in str(error)


@modes
@pytest.mark.parametrize("operation", ["stat", "delete", "put", "list"])
def test_answers_that_are_no_artifact(mode: Mode, operation: str) -> None:
    """What a service announces of its other answers is not compared with anything."""
    wrong = {
        "Content_MD5": base64_of("md5", ALTERED),
        "Content_Digest": headers_of(ALTERED)["Content-Digest"],
    }
    storage: Any
    with RawServer(always(reply("200 OK", b'["k"]', **wrong))).serving() as server, mode.sending():
        listing = {"url": server.url, "method": "GET"}
        storage = plain(server.url, with_list_request=listing)
        arguments = {"list": (), "put": (BODY, "k")}.get(operation, ("k",))
        mode.call(storage, operation, *arguments)
    assert 1 == len(server.calls)


@modes
@pytest.mark.parametrize("header", HEADERS)
def test_a_content_coding(mode: Mode, header: str) -> None:
    """Of an answer with a coding, which is kept as it comes, only RFC 9530 is clear."""
    packed = gzip.compress(BODY)
    strict = header in {"Repr-Digest", "Content-Digest"}
    coded = partial(answer, packed, header, Content_Encoding="gzip")
    with RawServer(always(coded(of=BODY))).serving() as server, mode.sending():
        fetch = partial(mode.call, plain(server.url), "get", "k")
        if strict:
            assert e.IntegrityError is type(caught(fetch))
            server.answers = [always(coded(of=packed))]
        assert packed == fetch()


@modes
def test_a_redirect_announces_nothing(mode: Mode) -> None:
    """The headers that count are those that come with the artifact."""
    moved = reply(
        "307 Temporary Redirect", b"", Location="/there", Content_MD5=base64_of("md5", ALTERED)
    )
    answers = always(moved), always(answer(BODY, "Content-MD5"))
    with RawServer(*answers).serving() as server, mode.sending():
        assert BODY == mode.call(plain(server.url), "get", "k")
    assert ["/k", "/there"] == [call.target for call in server.calls]


@modes
def test_a_part_that_was_asked_for(mode: Mode) -> None:
    """Who fetches a part gets it; what is announced of the whole is not compared."""
    some = part(BODY[1000:], 1000, **{"Content-MD5": base64_of("md5", BODY)})
    with RawServer(always(some)).serving() as server, mode.sending():
        storage = plain(server.url, headers={"Range": "bytes=1000-"})
        assert BODY[1000:] == mode.call(storage, "get", "k")


@modes
def test_a_receipt_is_compared_too(mode: Mode) -> None:
    """What is whole and yet not what was stored is an error at once."""
    with RawServer(always(answer(ALTERED, *HEADERS, of=ALTERED))).serving() as server:
        with mode.sending():
            server.answers.insert(0, always(reply()))
            receipt = mode.call(plain(server.url), "put", BODY, "k")
        with mode.sending(attempts=3):
            error = caught(partial(mode.call, plain(server.url), "get", receipt))
    assert isinstance(error, e.IntegrityError)
    assert "another SHA-256" in str(error)
    assert 2 == len(server.calls)


@modes
@pytest.mark.parametrize(
    ("first", "rest", "requests"),
    [(BODY, BODY, 2), (BODY, ALTERED, 3), (ALTERED, BODY, 3)],
    ids=["sound", "damaged rest", "damaged beginning"],
)
def test_the_checksum_is_that_of_all_attempts(
    mode: Mode, first: bytes, rest: bytes, requests: int
) -> None:
    """What came in two parts is compared as a whole, and fetched anew where it is damaged."""
    md5 = {"Content_MD5": base64_of("md5", BODY), "ETag": '"1"'}
    first = first[:500] + first[1000:1001] + first[501:]  # so that the beginning has the damage
    expected = BODY[:500] + BODY[1000:1001] + BODY[501:]
    md5["Content_MD5"] = base64_of("md5", expected)
    answers = cut(first, **md5), part(rest[1000:], 1000), reply("200 OK", expected, **md5)
    with RawServer(*map(always, answers)).serving() as server, mode.sending(attempts=3):
        assert expected == mode.call(plain(server.url), "get", "k")
    ranges = [call.headers.get("range") for call in server.calls]
    assert [None, "bytes=1000-", None][:requests] == ranges


@modes
def test_the_rest_of_something_else(mode: Mode) -> None:
    """A part whose digest of the whole is another one is not put to the beginning."""
    other = {"Repr-Digest": headers_of(ALTERED)["Repr-Digest"]}
    answers = cut(BODY, ETag='"1"'), part(BODY[1000:], 1000, **other), reply("200 OK", ALTERED)
    with RawServer(*map(always, answers)).serving() as server, mode.sending(attempts=3):
        assert ALTERED == mode.call(plain(server.url), "get", "k")
    assert [None, "bytes=1000-", None] == [call.headers.get("range") for call in server.calls]


# --- a store --------------------------------------------------------------------------------------

SENT = {
    "Content-MD5": base64_of("md5", BODY),
    "Repr-Digest": f"sha-256=:{base64_of('sha256', BODY)}:",
    "Content-Digest": f"sha-256=:{base64_of('sha256', BODY)}:",
    "OC-Checksum": f"SHA1:{hex_of('sha1', BODY)}",
    "ETag": hex_of("md5", BODY),
    "x-goog-hash": f"md5={base64_of('md5', BODY)}",
    "x-amz-checksum-sha256": base64_of("sha256", BODY),
    "x-amz-checksum-sha1": base64_of("sha1", BODY),
    "x-amz-checksum-crc32": headers_of(BODY)["x-amz-checksum-crc32"],
    "X-Checksum-Sha256": hex_of("sha256", BODY),
    "X-Checksum-Sha1": hex_of("sha1", BODY),
    "X-Checksum-Md5": hex_of("md5", BODY),
}


@modes
@pytest.mark.parametrize("header", SENT)
def test_a_checksum_goes_with_the_store(mode: Mode, header: str) -> None:
    """All attempts bring the body and its checksum, and no other one."""
    answers = always(reply("503 Busy")), always(reply("201 Created"))
    with RawServer(*answers).serving() as server, mode.sending(attempts=2):
        receipt = mode.call(plain(server.url, with_checksum=header), "put", BODY, "k")
    assert hex_of("sha256", BODY) == receipt.sha256
    assert [SENT[header]] * 2 == [call.headers[header.lower()] for call in server.calls]
    assert [BODY, BODY] == [call.body for call in server.calls]
    others = {name.lower() for name in SENT} - {header.lower()}
    assert set() == others & set(server.last.headers)


@modes
@pytest.mark.parametrize("header", [*OF_STORED, "Content-MD5", "Repr-Digest", "OC-Checksum"])
@pytest.mark.parametrize("stored", [BODY, ALTERED], ids=["sound", "damaged"])
def test_what_was_stored_is_what_was_sent(mode: Mode, header: str, stored: bytes) -> None:
    """A service that says by a checksum that it has other bytes has not stored the artifact."""
    answer_ = reply("201 Created", b"", **{header: headers_of(stored)[header]})
    with (
        RawServer(always(answer_)).serving() as server,
        mode.sending(attempts=3),
    ):
        storage = plain(server.url)
        store = partial(mode.call, storage, "put", BODY, "k")
        if stored == BODY:
            assert hex_of("sha256", BODY) == store().sha256
        else:
            error = caught(store)
            assert e.IntegrityError is type(error)
            expected = f"the service says by {header} that it has stored other bytes"
            assert f"PUT {server.url}/${{artifact.key}}: {expected}" == str(error)
    assert 1 == len(server.calls)


class Counted(io.BytesIO):
    """A file that counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Count, and read."""
        data = super().read(size)
        self.count += len(data)
        return data


@modes
@pytest.mark.parametrize(
    ("said", "sent", "times"),
    [
        (None, None, 1),
        ("Docker-Content-Digest", None, 1),
        ("Content-MD5", None, 2),
        ("Content-MD5", "Content-MD5", 2),
        ("X-Checksum-Sha1", "Content-MD5", 3),
    ],
)
def test_how_often_a_source_is_read(
    mode: Mode, said: str | None, sent: str | None, times: int
) -> None:
    """It is read to be sent, and once more for each checksum that is not known by then."""
    source = Counted(BODY)
    headers = {said: headers_of(BODY)[said]} if said else {}
    answer_ = always(reply("201 Created", b"", **headers))
    with RawServer(answer_).serving() as server, mode.sending():
        mode.call(plain(server.url, with_checksum=sent), "put", source, "k")
    assert times * len(BODY) == source.count


@modes
def test_what_the_answer_says_of_itself(mode: Mode) -> None:
    """A digest of the answer's own text, or of its lack of any, is none of the artifact."""
    text = b'{"id": 1}'
    of_text = {name: headers_of(text)[name] for name in ("Content-MD5", "Repr-Digest", "Digest")}
    of_none = {name: headers_of(b"")[name] for name in ("Content-MD5", "Repr-Digest")}
    answers = reply("201 Created", text, **of_text), reply("201 Created", b"", **of_none)
    with RawServer(*map(always, answers)).serving() as server, mode.sending():
        for _ in answers:
            mode.call(plain(server.url), "put", BODY, "k")
    assert 2 == len(server.calls)


# --- real servers ---------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("fault", ["pass", "alter-down"])
def test_a_registry_announces_digests(
    mode: Mode, registry: Registry, mitm: Mitm, fault: str
) -> None:
    """A blob that a proxy alters on its way down is not taken for the one that is stored."""
    digest = registry.add_blob(BODY)
    place = mitm.before(registry.url, fault)
    storage = plain(f"{place}{registry.repository}/blobs", auth=["${NAME}", "${WORD}"])
    secrets = {"NAME": registry.user, "WORD": registry.password}
    with mode.sending(secrets, attempts=2):
        fetch = partial(mode.call, storage, "get", digest)
        if fault == "pass":
            assert BODY == fetch()
        else:
            error = caught(fetch)
            assert isinstance(error, e.IntegrityError)
            assert "Docker-Content-Digest" in str(error)
    assert mitm.seen(place).requests == (1 if fault == "pass" else 2)


@pytest.fixture
def container(swift: Swift) -> tuple[str, dict[str, str]]:
    """A container of Swift, and the token that opens it."""
    headers = {"X-Auth-User": swift.user, "X-Auth-Key": swift.password}
    login = httpx.get(swift.auth_url, headers=headers, trust_env=False)
    url = f"{login.headers['X-Storage-Url']}/checked"
    token = {"X-Auth-Token": login.headers["X-Auth-Token"]}
    httpx.put(url, headers=token, trust_env=False).raise_for_status()
    return url.removeprefix(swift.url), token


@modes
@pytest.mark.parametrize(
    ("fault", "header", "refused"),
    [("pass", "ETag", False), ("alter-up", "ETag", True), ("alter-up", None, False)],
)
def test_swift_compares_what_it_is_sent(
    mode: Mode,
    swift: Swift,
    container: tuple[str, dict[str, str]],
    mitm: Mitm,
    fault: str,
    header: str | None,
    *,
    refused: bool,
) -> None:
    """A body that a proxy alters on its way up is refused where its checksum went along."""
    path, token = container
    place = mitm.before(swift.url, fault)
    key = f"{mode.name}-{fault}-{header}"
    storage = plain(f"{place}{path}", headers={"X-Auth-Token": "${TOKEN}"}, with_checksum=header)
    with mode.sending({"TOKEN": token["X-Auth-Token"]}):
        store = partial(mode.call, storage, "put", BODY, key)
        if refused:
            error = caught(store)
            assert isinstance(error, e.ResponseError)
            assert 422 == error.status
        else:
            store()
    answer_ = httpx.get(f"{swift.url}{path}/{key}", headers=token, trust_env=False)
    assert refused == (answer_.status_code == httpx.codes.NOT_FOUND)
    assert (answer_.content == BODY) == (fault == "pass")


@modes
@pytest.mark.parametrize("fault", ["pass", "alter-up"])
def test_what_is_there_is_looked_at_afterwards(
    mode: Mode, nginx: Nginx, mitm: Mitm, fault: str
) -> None:
    """Where a server compares nothing, `verify` finds what was altered on its way up."""
    place = mitm.before(nginx.url, fault)
    storage = plain(f"{place}/open")
    with mode.sending():
        store = partial(mode.call, storage, "put", BODY, f"looked-at-{mode.name}", verify="after")
        if fault == "pass":
            receipt = store()
            assert BODY == mode.call(storage, "get", receipt)
        else:
            error = caught(store)
            assert isinstance(error, e.IntegrityError)
            assert "another SHA-256" in str(error)
