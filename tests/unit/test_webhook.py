from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer, Received, text_answer
from webhook_storage import LiteralSecretWarning, Sender, Webhook, current_sender
from webhook_storage.contracts import Request
from webhook_storage.errors import (
    ConfigurationError,
    PermissionDeniedError,
    RedirectRefusedError,
    ResponseError,
    ServerError,
    TemplateError,
    UnexpectedAnswerError,
    UnknownMethodError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.conftest import MakeWebhook

URL = {"url": "https://files.example.com/x"}


class Recording(FileService):
    """A file service that also keeps the bodies that it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def answer(self, request: Received, body: bytes) -> Answer:
        """Keep the body."""
        self.bodies.append(body)
        return super().answer(request, body)


@pytest.fixture
def service() -> Iterator[Recording]:
    """Serve files to everybody."""
    with Recording() as running:
        yield running


def first_request(storage: Webhook, operation: str = "fetch") -> Request:
    """Return what an exchange asks for first."""
    facts = {"artifact.key": "k", "build.time": "t"}
    exchange = (
        storage.delete_exchange(facts) if operation == "delete" else storage.stat_exchange(facts)
    )
    request = next(exchange)
    exchange.close()
    assert isinstance(request, Request)
    return request


# --- what is sent ---------------------------------------------------------------------------------


def form_of(request: Received, body: bytes) -> list[EmailMessage]:
    """Parse a multipart form by the standard library."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    assert message.is_multipart()
    assert [] == message.defects
    return [part for part in message.iter_parts() if isinstance(part, EmailMessage)]


@pytest.mark.parametrize("content", [b"", b"\r\n--\x00\xff content\n", b"x" * 300_000])
def test_an_artifact_goes_as_a_file_of_a_form(
    make: MakeWebhook, service: Recording, content: bytes
) -> None:
    """With ``files`` the artifact is one part, after the fields, and the length is announced."""
    storage = make(
        "/upload",
        method="POST",
        build={"files": {"file": "${artifact.key}.bin"}, "data": {"token": "${TOKEN}", "n": 3}},
    )
    receipt = storage.put(content, "my key")
    parts = form_of(service.last, service.bodies[-1])
    names = [part.get_param("name", header="content-disposition") for part in parts]
    assert ["token", "n", "file"] == names
    assert ["correct horse battery", "3"] == [part.get_payload() for part in parts[:2]]
    assert (content, "my key.bin") == (parts[2].get_payload(decode=True), parts[2].get_filename())
    assert int(service.last.headers["content-length"]) == len(service.bodies[-1])
    assert (len(content), "my key") == (receipt.size, receipt.key)


def test_a_content_type_of_the_user_does_not_break_a_form(
    make: MakeWebhook, service: Recording
) -> None:
    """Only we know the boundary, so a form's content type is ours."""
    build = {"files": {"file": "x"}, "headers": {"content-type": "multipart/form-data"}}
    make("/upload", method="POST", build=build).put(b"content")
    assert [b"content"] == [
        p.get_payload(decode=True) for p in form_of(service.last, service.bodies[-1])
    ]


def test_kwargs_mean_what_they_mean_to_requests(make: MakeWebhook, service: Recording) -> None:
    """Query, headers, cookies and basic authentication are sent with their values."""
    kwargs = {
        "params": {"a": ["1", "2"], "t": "${TOKEN}", "none": None},
        "headers": {"X-Token": "${TOKEN}", "X-Number": 3, "X-Meta": {"k": "${artifact.key}"}},
        "cookies": {"session": "${mapping:TOKEN|base64}"},
        "auth": ("me", "${TOKEN}"),
    }
    make(build=kwargs, fetch=kwargs).put(b"x", "a")
    request = service.last
    query = [("a", "1"), ("a", "2"), ("t", "correct horse battery")]
    assert query == parse_qsl(urlsplit(request.target).query)
    assert request.headers["authorization"] == "Basic bWU6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"
    assert request.headers["x-token"] == "correct horse battery"
    assert request.headers["x-number"] == "3"
    assert request.headers["x-meta"] == '{"k": "a"}'
    cookie = SimpleCookie(request.headers["cookie"])["session"].value
    assert cookie == "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"
    assert request.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("extra", "body", "kind"),
    [
        ({"data": {"a": "x y", "t": "${TOKEN}"}}, b"a=x+y&t=correct+horse+battery",
         "application/x-www-form-urlencoded"),
        ({"data": "raw ${TOKEN|raw}"}, b"raw correct horse battery", None),
        ({"json": {"p": "/${artifact.key}", "n": 1}}, b'{"p":"/a","n":1}', "application/json"),
    ],
)  # fmt: skip
def test_a_fetch_may_have_a_body(
    make: MakeWebhook, service: Recording, extra: dict[str, Any], body: bytes, kind: str | None
) -> None:
    """Services that are asked by POST get a form, a text or a JSON document."""
    kwargs = {"url": service.url + "/get/${artifact.key}", **extra}
    storage = Webhook({"url": service.url + "/${artifact.key}"}, "PUT", kwargs, "POST")
    storage.get("a")
    assert (body, kind) == (service.bodies[-1], service.last.headers.get("content-type"))


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [(None, (10.0, 60.0)), (5, (5.0, 5.0)), (0.5, (0.5, 0.5)), ((3, 9.5), (3.0, 9.5))],
)
def test_a_timeout_is_one_number_or_two(timeout: Any, expected: tuple[float, float]) -> None:
    """A timeout is finite, whatever is said, and a pair means connect and wait."""
    kwargs = {**URL, "timeout": timeout}
    assert expected == first_request(Webhook(kwargs, "PUT", kwargs, "GET")).timeout


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"verify": True, "cert": None, "proxies": None, "follow": True}),
        (
            {"verify": False, "cert": "/c.pem", "allow_redirects": False},
            {"verify": False, "cert": "/c.pem", "follow": False},
        ),
        (
            {"verify": "/ca.pem", "cert": ("/c", "/k"), "proxies": {"https": "http://p"}},
            {"verify": "/ca.pem", "cert": ("/c", "/k"), "proxies": {"https": "http://p"}},
        ),
    ],
)
def test_connection_kwargs_reach_the_request(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """What says how to connect is passed on in the shape that a transport takes."""
    request = first_request(Webhook({**URL, **given}, "PUT", {**URL, **given}, "GET"))
    assert expected == {name: getattr(request, name) for name in expected}


# --- statuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("statuses", "good"), [(None, False), ([202], False), ([201, 302], True)])
def test_a_store_is_a_success_when_the_definition_says_so(
    make: MakeWebhook, service: Recording, statuses: list[int] | None, *, good: bool
) -> None:
    """Some services answer a form by a redirect; only who says so takes it for a success."""
    service.inject(Answer(302, b"", {"Location": "/done"}))
    storage = make(accept_statuses=statuses)
    if good:
        assert storage.put(b"x", "a").size == 1
    else:
        with pytest.raises(RedirectRefusedError):
            storage.put(b"x", "a")


def test_a_2xx_that_is_not_listed_is_no_success(make: MakeWebhook, service: Recording) -> None:
    """A list of statuses replaces the default."""
    service.inject(Answer(202))
    with pytest.raises(ResponseError):
        make(accept_statuses=[201]).put(b"x", "a")


@pytest.mark.parametrize(("idempotent", "sent"), [(None, 1), (False, 1), (True, 2)])
def test_a_post_is_sent_again_only_when_declared(
    make: MakeWebhook, service: Recording, sent: int, *, idempotent: bool | None
) -> None:
    """Storing twice may make two of it, so only a definition that says otherwise is retried."""
    service.inject(text_answer(503, "later"))
    storage = make(method="POST", idempotent=idempotent)
    if idempotent:
        storage.put(b"x", "a")
    else:
        with pytest.raises(ServerError):
            storage.put(b"x", "a")
    assert sent == len(service.requests)


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("operation", ["put", "get", "stat"])
def test_a_page_is_an_artifact_only_when_it_is_wanted(
    make: MakeWebhook, service: Recording, operation: str, *, allowed: bool
) -> None:
    """A login page of status 200 is an error, unless pages are what is stored."""
    service.inject(text_answer(200, "<html>", {"Content-Type": "text/html"}))
    storage = make(allow_html=allowed)
    args = {"put": (b"x", "a"), "get": ("a",), "stat": ("a",)}[operation]
    if allowed:
        assert getattr(storage, operation)(*args) is not None
    else:
        with pytest.raises(UnexpectedAnswerError, match="HTML page"):
            getattr(storage, operation)(*args)


def test_a_page_that_was_asked_for_is_an_artifact(make: MakeWebhook, service: Recording) -> None:
    """Who fetches ``index.html`` wants a page."""
    service.inject(text_answer(200, "<html>", {"Content-Type": "text/html"}))
    assert make().get("docs.html") == b"<html>"


# --- exists, delete, list -------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [403, 405, 501])
def test_a_service_without_head_is_asked_for_one_byte(
    make: MakeWebhook, service: Recording, refusal: int
) -> None:
    """A refused HEAD is followed by a GET of the first byte, and the size comes from its range."""
    service.inject(Answer(refusal))
    service.inject(Answer(206, b"c", {"Content-Range": "bytes 0-0/12345", "ETag": '"v"'}))
    stat = make().stat("a")
    assert stat is not None
    assert (12345, '"v"') == (stat.size, stat.version)
    assert ["HEAD", "GET"] == [request.method for request in service.requests]
    assert service.last.headers["range"] == "bytes=0-0"


@pytest.mark.parametrize("headers", [None, {"X-Mine": "1"}])
def test_headers_of_the_fetch_are_kept(
    make: MakeWebhook, service: Recording, headers: dict[str, str] | None
) -> None:
    """The second question has the headers of the fetch, also when there are none."""
    service.inject(Answer(405))
    service.inject(Answer(200, b"content"))
    assert make(build={"headers": None}, fetch={"headers": headers}).exists("a") is True
    assert (headers or {}).get("X-Mine") == service.last.headers.get("x-mine")


@pytest.mark.parametrize(
    ("second", "exists", "size"), [(404, False, None), (410, False, None), (416, True, 0)]
)
def test_the_second_answer_counts(
    make: MakeWebhook, service: Recording, second: int, *, exists: bool, size: int | None
) -> None:
    """After a refused HEAD, absent is absent, and an empty file has no first byte."""
    service.inject(Answer(405))
    service.inject(Answer(second, b"", {"Content-Range": "bytes */0"}))
    stat = make().stat("a")
    assert exists is (stat is not None)
    assert size == (stat.size if stat else None)


def test_a_refusal_of_both_is_an_error(make: MakeWebhook, service: Recording) -> None:
    """Who may neither ask nor read is told so."""
    service.inject(Answer(403), times=None)
    with pytest.raises(PermissionDeniedError):
        make().exists("a")


def test_requests_of_ones_own_are_used(make: MakeWebhook, service: Recording) -> None:
    """A service that is asked in another way has requests for that."""
    storage = make(
        exists_request={"url": service.url + "/meta/${artifact.key}", "method": "GET"},
        delete_request={
            "url": service.url + "/remove",
            "method": "POST",
            "json": {"path": "${artifact.key}"},
        },
        list_request={"url": service.url + "/all", "method": "LIST", "keys": "/data/*"},
    )
    assert storage.exists("a") is False
    service.files["/meta/a"] = b""
    assert storage.exists("a") is True
    storage.delete("a")
    assert service.bodies[-1] == b'{"path":"a"}'
    service.inject(text_answer(200, '{"data": ["a", "b"]}'))
    assert storage.list() == ["a", "b"]
    sent = [f"{request.method} {request.path}" for request in service.requests]
    assert ["GET /meta/a", "GET /meta/a", "POST /remove", "LIST /all"] == sent


@pytest.mark.parametrize("operation", ["exists", "delete"])
def test_what_is_fetched_by_post_has_no_url(operation: str, sender: Sender) -> None:
    """Without a URL of its own an artifact cannot be asked for; the field that helps is named."""
    storage = Webhook(URL, "PUT", URL, "POST")
    with pytest.raises(ConfigurationError, match="fetched by POST") as caught:
        getattr(storage, operation)()
    assert caught.value.path == f"{operation}_request"


def test_a_storage_that_cannot_list_says_so(sender: Sender) -> None:
    """There is no general way to list, so the definition must say how."""
    with pytest.raises(ConfigurationError, match="how to list") as caught:
        Webhook(URL, "PUT", URL, "GET").list()
    assert caught.value.path == "list_request"


# --- what a definition must be --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwarg", "meant"),
    [("heders", "headers"), ("param", "params"), ("file", "files"), ("time_out", "timeout"),
     ("URL", "url"), ("allow_redirect", "allow_redirects")],
)  # fmt: skip
@pytest.mark.parametrize("field", ["build_request_kwargs", "get_flow_request_kwargs"])
def test_an_unknown_kwarg_names_the_nearest(field: str, kwarg: str, meant: str) -> None:
    """A misspelt kwarg is an error at its place, with what was meant."""
    kwargs = {"build_request_kwargs": URL, "get_flow_request_kwargs": URL}
    kwargs[field] = {**URL, kwarg: "x"}
    methods = {"build_request_http_method": "PUT", "get_flow_request_http_method": "GET"}
    with pytest.raises(ConfigurationError, match=f'Did you mean "{meant}"') as caught:
        Webhook(**kwargs, **methods)  # type: ignore[arg-type]
    assert caught.value.path == f"{field}.{kwarg}"


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"url": None},
        {"url": 3},
        {**URL, "params": 3},
        {**URL, "headers": [("a", "b")]},
        {**URL, "cookies": {"a": 3}},
        {**URL, "data": 3},
        {**URL, "files": {}},
        {**URL, "files": {"a": "b", "c": "d"}},
        {**URL, "files": {"a": 3}},
        {**URL, "auth": "me:${P}"},
        {**URL, "auth": ("me",)},
        {**URL, "auth": ("me", 3)},
        {**URL, "timeout": 0},
        {**URL, "timeout": -1},
        {**URL, "timeout": True},
        {**URL, "timeout": "5"},
        {**URL, "timeout": (1, 2, 3)},
        {**URL, "timeout": (1, None)},
        {**URL, "verify": 1},
        {**URL, "cert": 3},
        {**URL, "cert": ("a", "b", "c")},
        {**URL, "proxies": "http://p"},
        {**URL, "allow_redirects": "no"},
        {**URL, "json": {"a": 1}},
    ],
    ids=str,
)
def test_a_wrong_kwarg_is_told_by_its_place(kwargs: dict[str, Any]) -> None:
    """Each kwarg has a shape; another one is an error before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        Webhook(kwargs, "PUT", URL, "GET")
    assert (caught.value.path or "").startswith("build_request_kwargs.")


def test_only_the_store_sends_a_file() -> None:
    """A file in the request that fetches makes no sense."""
    with pytest.raises(ConfigurationError, match="only the request that stores"):
        Webhook(URL, "PUT", {**URL, "files": {"a": "b"}}, "POST")


@pytest.mark.parametrize("field", ["exists_request", "delete_request", "list_request"])
@pytest.mark.parametrize("method", [None, "", "get", 3, "GET /", "GÄT"])
def test_a_further_request_has_a_method(field: str, method: object) -> None:
    """The method of a further request is upper-case ASCII, and is not left out."""
    options: Any = {field: {**URL, "method": method}}
    with pytest.raises(ConfigurationError) as caught:
        Webhook(URL, "PUT", URL, "GET", **options)
    assert caught.value.path == f"{field}.method"


def test_a_further_request_is_checked_like_the_others() -> None:
    """Unknown kwargs are told there too."""
    with pytest.raises(ConfigurationError, match='Did you mean "headers"'):
        Webhook(URL, "PUT", URL, "GET", delete_request={**URL, "method": "DELETE", "header": {}})


@pytest.mark.parametrize(
    ("kwargs", "path"),
    [
        ({"url": "https://a.example/${"}, "build_request_kwargs.url"),
        ({"url": "https://${HOST}.example/x"}, "build_request_kwargs.url"),
        ({**URL, "headers": {"X": ["${a b}"]}}, "build_request_kwargs.headers.X[0]"),
        ({**URL, "auth": ("u", "${}")}, "build_request_kwargs.auth[1]"),
    ],
)
def test_a_malformed_template_is_told_by_its_place(kwargs: dict[str, Any], path: str) -> None:
    """A template is parsed when the storage is made, and its text is not in the message."""
    with pytest.raises(TemplateError) as caught:
        Webhook(kwargs, "PUT", URL, "GET")
    assert path == caught.value.path
    assert "a b" not in str(caught.value)


@pytest.mark.parametrize("method", ["post", "DELETE", "", "PROPFIND"])
@pytest.mark.parametrize("which", [0, 1])
def test_an_unknown_method_is_told(method: str, which: int) -> None:
    """Store and fetch know the four methods of Prefect 1, in upper case."""
    methods = ["PUT", "GET"]
    methods[which] = method
    with pytest.raises(UnknownMethodError, match=f"HTTP method '{method}' not recognized"):
        Webhook(URL, methods[0], URL, methods[1])


# --- warnings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kwargs",
    [
        {**URL, "headers": {"Authorization": "Bearer abc"}},
        {**URL, "headers": {"x-api-key": "abc"}},
        {"url": "https://files.example.com/$TOKEN"},
        {**URL, "auth": ("me", "$PASSWORD")},
    ],
    ids=str,
)
def test_what_is_probably_a_secret_is_warned_of(kwargs: dict[str, Any]) -> None:
    """A literal credential, or a name without braces, is probably a mistake."""
    with pytest.warns(LiteralSecretWarning, match=r"write \$\{NAME\}") as caught:
        Webhook(kwargs, "PUT", URL, "GET")
    assert __file__ == caught[0].filename
    assert "abc" not in str(caught[0].message)


@pytest.mark.parametrize(
    "kwargs",
    [
        {**URL, "headers": {"Authorization": "Bearer ${TOKEN}", "X-Other": "literal"}},
        {"url": "https://files.example.com/x?$select=name&$top=3"},
        {**URL, "headers": {"X-Price": "$$USD"}},
    ],
    ids=str,
)
def test_what_is_fine_is_not_warned_of(kwargs: dict[str, Any]) -> None:
    """Placeholders, OData options and escaped dollars pass; warnings are errors here."""
    assert kwargs == Webhook(kwargs, "PUT", URL, "GET").build_request_kwargs


# --- a checksum with the store --------------------------------------------------------------------


def test_a_checksum_is_part_of_the_definition() -> None:
    """It survives JSON, and an unknown header is told by its place."""
    storage = Webhook(URL, "PUT", URL, "GET", checksum="Content-MD5")
    assert storage == Webhook.from_json(storage.to_json())
    assert '"checksum": "Content-MD5"' in storage.to_json()
    with pytest.raises(ConfigurationError) as caught:
        Webhook(URL, "PUT", URL, "GET", checksum="X-Md5")
    assert "checksum" == caught.value.path


@pytest.mark.parametrize(
    "more",
    [
        {"files": {"file": "x"}},
        {"headers": {"content-md5": "XrY7u+Ae7tCTyyK7j1rNww=="}},
        {"headers": {"CONTENT-MD5": "XrY7u+Ae7tCTyyK7j1rNww=="}},
    ],
)
def test_a_checksum_that_would_be_wrong(more: dict[str, Any]) -> None:
    """In a form the artifact is a part of the body, and of two headers one is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        Webhook({**URL, **more}, "PUT", URL, "GET", checksum="Content-MD5")
    assert "checksum" == caught.value.path


def test_a_checksum_leaves_other_headers_alone(make: MakeWebhook, service: Recording) -> None:
    """It comes beside those of the definition, and a preview shows it."""
    build = {"headers": {"Authorization": "Bearer ${TOKEN}", "X-Kind": "test"}}
    storage = make(build=build, checksum="X-Checksum-Md5")
    storage.put(b"hello world", "a")
    expected = "5eb63bbbe01eeed093cb22bb8f5acdc3"
    assert expected == service.last.headers["x-checksum-md5"]
    assert "test" == service.last.headers["x-kind"]
    shown = current_sender().preview(storage.exchange("store", "a", b"hello world"))
    assert expected in shown.text()
