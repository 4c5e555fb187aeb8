"""From templates and values to the request that goes over the wire."""

from __future__ import annotations

import base64
from email import message_from_bytes
from email.policy import HTTP
from typing import TYPE_CHECKING, Any

import pytest

from webhook_storage import errors as e
from webhook_storage.artifact import BytesBody
from webhook_storage.contracts import Request, WireRequest
from webhook_storage.render import render, templates

if TYPE_CHECKING:
    from webhook_storage.template import Fact, Reference

VALUES = {"A": "one", "WILD": "a&b=c d/é\"'", "receipt.id": "7", "EMPTY": ""}


def lookup(source: Reference | Fact) -> str | None:
    """Return the value of a placeholder."""
    return VALUES.get(str(source))


def made(url: str = "http://h/p", method: str = "PUT", **fields: Any) -> WireRequest:
    """Render a request."""
    return render(Request(method=method, url=url, **fields), lookup)


def headers(**fields: Any) -> dict[str, str]:
    """Return the headers of a request."""
    return dict(made(**fields).headers)


def body(**fields: Any) -> bytes:
    """Return the body of a request."""
    sent = made(**fields).body
    return b"" if sent is None else b"".join(sent.chunks())


@pytest.mark.parametrize(
    ("url", "params", "expected"),
    [
        ("http://h/p", None, "http://h/p"),
        ("http://h/p", {}, "http://h/p"),
        ("http://h/p", {"a": 1, "b": None, "c": ["${A}", 2]}, "http://h/p?a=1&c=one&c=2"),
        ("http://h/p?x=1", [["a", "${WILD}"]], "http://h/p?x=1&a=a%26b%3Dc+d%2F%C3%A9%22%27"),
        ("http://h/p?", {"a": 1}, "http://h/p?a=1"),
        ("http://h/p?x&", {"a": 1}, "http://h/p?x&a=1"),
        ("http://h/p", "a=${A}", "http://h/p?a=one"),
        ("http://h/${receipt.id}#top", {"a": 1}, "http://h/7?a=1"),
        ("http://h/p?${EMPTY:-}", {"a": 1}, "http://h/p?a=1"),
    ],
)
def test_url(url: str, params: object, expected: str) -> None:
    """The query follows what the URL has, with one question mark."""
    assert expected == made(url, params=params).url


@pytest.mark.parametrize("field", ["params", "data"])
@pytest.mark.parametrize("fields", [["lonely"], [["a", "b", "c"]], [1]])
def test_fields_that_are_none(field: str, fields: object) -> None:
    """What is neither mapping nor pairs is a configuration error."""
    with pytest.raises(e.ConfigurationError):
        made(**{field: fields})  # type: ignore[arg-type]


def test_text_beside_a_file() -> None:
    """A text cannot be the fields of a form that has a file."""
    with pytest.raises(e.ConfigurationError):
        made(data="text", multipart=("file", "name"), body=BytesBody(b"x"))


def test_default_headers() -> None:
    """What a request does not say itself is said for it, once."""
    assert {
        "Content-Type": "application/octet-stream",
        "Content-Length": "3",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": "webhook-storage",
    } == headers(body=BytesBody(b"abc"))
    own = {"accept": "x/y", "USER-AGENT": "me", "content-TYPE": "${A}/z", "accept-encoding": "gzip"}
    assert {**own, "content-TYPE": "one/z", "Content-Length": "3"} == headers(
        body=BytesBody(b"abc"), headers=own
    )


@pytest.mark.parametrize(
    ("method", "length"),
    [("GET", None), ("HEAD", None), ("DELETE", None), ("PUT", "0"), ("POST", "0")],
)
def test_length_of_nothing(method: str, length: str | None) -> None:
    """A store of nothing says so; what has no body says nothing of one."""
    assert length == headers(method=method).get("Content-Length")


def test_length_is_ours() -> None:
    """A length in the definition does not contradict the body's."""
    given = {"content-length": "99"}
    assert [("Content-Length", "3")] == [
        pair
        for pair in made(body=BytesBody(b"abc"), headers=given).headers
        if "length" in pair[0].lower()
    ]


def test_transfer_encoding() -> None:
    """Two ways to tell the length of a body are one too many."""
    with pytest.raises(e.ConfigurationError, match="Transfer-Encoding"):
        made(headers={"transfer-encoding": "chunked"})


def test_header_values() -> None:
    """Numbers become text, documents JSON in ASCII, and None leaves a header out."""
    given = {"N": 5, "D": {"a": ["${WILD}", None, True]}, "L": ["${A}"], "X": None}
    shown = headers(headers=given)
    assert ("5", '["one"]') == (shown["N"], shown["L"])
    assert '{"a": ["a&b=c d/\\u00e9\\"\'", null, true]}' == shown["D"]
    assert "X" not in shown


def test_basic() -> None:
    """User and password become one header, in UTF-8."""
    shown = headers(auth=["${A}", "${WILD}"])["Authorization"]
    assert "one:" + VALUES["WILD"] == base64.b64decode(shown.removeprefix("Basic ")).decode()


def test_basic_and_a_header() -> None:
    """Two credentials contradict each other."""
    with pytest.raises(e.ConfigurationError, match="contradict"):
        made(auth=["a", "b"], headers={"AUTHORIZATION": "x"})


def test_cookies() -> None:
    """Cookies go into one header."""
    assert "a=one; b=2" == headers(cookies={"a": "${A}", "b": "2"})["Cookie"]


@pytest.mark.parametrize(
    ("fields", "expected", "kind"),
    [
        (
            {"json": {"a": "${WILD}", "b": [1, None]}},
            b'{"a":"a&b=c d/\\u00e9\\"\'","b":[1,null]}',
            "application/json",
        ),
        ({"json": []}, b"[]", "application/json"),
        ({"data": "a=${A}"}, b"a=one", None),
        (
            {"data": {"a": "${WILD}", "n": [1, 2], "x": None}},
            b"a=a%26b%3Dc+d%2F%C3%A9%22%27&n=1&n=2",
            "application/x-www-form-urlencoded",
        ),
        ({"data": {}}, b"", "application/x-www-form-urlencoded"),
        ({"body": BytesBody(b"abc"), "data": {"ignored": 1}}, b"abc", "application/octet-stream"),
    ],
)
def test_body(fields: dict[str, Any], expected: bytes, kind: str | None) -> None:
    """Each kind of body is written in its own way, and says which it is."""
    assert (expected, kind) == (body(**fields), headers(**fields).get("Content-Type"))
    assert str(len(expected)) == headers(**fields)["Content-Length"]


def test_own_content_type() -> None:
    """A content type that is given stands, save that of a form with a file."""
    given = {"content-type": "text/plain"}
    assert ["text/plain"] == [
        v for k, v in headers(json={}, headers=given).items() if k.lower() == "content-type"
    ]
    form = made(multipart=("f", "n"), body=BytesBody(b"x"), headers=given)
    assert 1 == len([name for name, _ in form.headers if name.lower() == "content-type"])
    assert dict(form.headers)["Content-Type"].startswith("multipart/form-data; boundary=")


def test_form_with_a_file() -> None:
    """Fields and file can be read back, whatever is in them, and the length is right."""
    content = bytes(range(256)) + b"\r\n--"
    wire = made(
        multipart=('fi"eld', "${WILD}.bin"),
        body=BytesBody(content),
        data={"a": "${WILD}", "n": [1, 2], "x": None},
    )
    assert wire.body is not None
    sent = b"".join(wire.body.chunks())
    assert wire.body.size == len(sent) == int(dict(wire.headers)["Content-Length"])
    head = f"Content-Type: {dict(wire.headers)['Content-Type']}\r\n\r\n".encode()
    parts = list(message_from_bytes(head + sent, policy=HTTP).iter_parts())
    names = [part.get_param("name", header="content-disposition") for part in parts]
    assert ["a", "n", "n", "fi%22eld"] == names
    assert VALUES["WILD"].encode() == parts[0].get_payload(decode=True)
    assert content == sent.split(b"application/octet-stream\r\n\r\n")[1].rpartition(b"\r\n--")[0]
    assert sent == b"".join(wire.body.chunks())


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://${A}:${WILD}@proxy:3128", "http://one:a%26b%3Dc%20d%2F%C3%A9%22%27@proxy:3128"),
        ("${A}", "one"),
    ],
)
def test_proxies(proxy: str, expected: str) -> None:
    """A part of a proxy's address is encoded, so that it stays a part; a whole one is not."""
    assert {"https": expected} == made(proxies={"https": proxy}).proxies


def test_files_and_the_rest() -> None:
    """Paths are filled, and what is no template passes through."""
    wire = made(verify="/ca/${A}", cert=("/${A}.pem", "/key"), timeout=(1, 2))
    assert ("/ca/one", ("/one.pem", "/key"), (1, 2)) == (wire.verify, wire.cert, wire.timeout)
    wire = made(verify=False, cert="/${A}.pem")
    assert (False, "/one.pem", None) == (wire.verify, wire.cert, wire.proxies)


def test_templates() -> None:
    """Every placeholder of a request is found, wherever it stands, with the argument's name."""
    names = ("params", "headers", "cookies", "json", "data", "proxies")
    request = Request(
        method="PUT",
        url="http://h/${U}",
        auth=["me", "${P}"],
        multipart=("f", "${F}"),
        cert="${C}",
        verify="${V}",
        **{
            name: {
                "literal": "x",
                "k": [f"${{{name}}}"] if name != "cookies" else "${cookies}",
            }
            for name in names
        },  # type: ignore[arg-type]
    )
    found = {name: str(template.references()[0]) for name, template in templates(request)}
    expected = {"url": "U", "auth": "P", "multipart": "F", "cert": "C", "verify": "V"}
    assert expected | {name: name for name in names} == found
