from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer, Received, json_answer, text_answer
from webhook_storage import Storage
from webhook_storage.capture import capture, check, select_all
from webhook_storage.contracts import Response
from webhook_storage.errors import (
    ConfigurationError,
    UnexpectedAnswerError,
    UnsafeValueError,
)

if TYPE_CHECKING:
    from tests.unit.conftest import MakeWebhook


def answer(body: object = None, **headers: str) -> Response:
    """Make an answer whose body is JSON, or bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=201, headers=named, body=raw)


DOCUMENT = {
    "id": "a-1",
    "n": 7,
    "yes": True,
    "none": None,
    "deep": [{"x/y": {"": "empty"}}, "two"],
    "price": 1.50,
}


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("json:/id", "a-1"),
        ("json:id", "a-1"),
        ("json:/n", "7"),
        ("json:/yes", "true"),
        ("json:/deep/0/x~1y/", "empty"),
        ("json:/deep/1", "two"),
        ("json:/deep/0", '{"x/y":{"":"empty"}}'),
        ("header:Location", "/files/7"),
        ("header:location", "/files/7"),
        (r'regex:"id": "([^"]+)"', "a-1"),
        ("regex:()", ""),
    ],
)
def test_a_value_is_taken(rule: str, value: str) -> None:
    """A value comes from the document, a header or the text, always as text."""
    response = answer(DOCUMENT, location="/files/7")
    assert {"it": value} == capture({"it": rule}, response, "u")


@pytest.mark.parametrize(
    "rule",
    ["json:/nothing", "json:/none", "json:/deep/2", "json:/id/x", "json:/deep/00", "header:X-Id",
     "regex:(z+)", "regex:(z)?id"],
)  # fmt: skip
def test_a_value_that_is_not_there_is_an_error(rule: str) -> None:
    """What the fetch will need and the answer lacks is told at the store, naming the rule."""
    with pytest.raises(UnexpectedAnswerError, match=r"wanted as receipt\.it") as caught:
        capture({"it": rule}, answer(DOCUMENT), "https://a.example/x")
    assert (201, True) == (caught.value.status, rule in str(caught.value))


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_an_answer_that_is_no_json_has_no_value(body: bytes) -> None:
    """A document that cannot be read has nothing in it."""
    with pytest.raises(UnexpectedAnswerError):
        capture({"it": "json:/id"}, answer(body), "u")


def test_an_echoed_secret_is_not_kept() -> None:
    """A receipt travels, so a value in which the server echoes a secret is refused, unnamed."""
    response = Response(
        status=201, headers={}, body=b'{"id": "s3cret"}', echoes=lambda text: "s3cret" in text
    )
    with pytest.raises(UnsafeValueError) as caught:
        capture({"it": "json:/id"}, response, "u")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("id", "not 'id'"),
        ("xpath://a", "not 'xpath'"),
        ("json:", "not 'json'"),
        ("header:", "not 'header'"),
        ("regex:(", "malformed at offset 0"),
        ("regex:id", "exactly one group"),
        ("regex:(a)(b)", "exactly one group"),
    ],
)
def test_a_wrong_rule_is_told_before_anything_is_sent(rule: str, words: str) -> None:
    """A capture that cannot work is an error of the definition, at its place."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        check({"it": rule}, "captures")
    assert caught.value.path == "captures.it"
    check({"it": "regex:(?:a)(b)"}, "captures")


@pytest.mark.parametrize(
    ("pointer", "document", "keys"),
    [
        ("/*/name", [{"name": "a"}, {"name": "b"}, {"size": 1}], ["a", "b"]),
        ("/entries/*/path", {"entries": [{"path": "x"}]}, ["x"]),
        ("/*", {"a": "1", "b": "2"}, ["1", "2"]),
        ("/*/*", [["a"], ["b", 3, True]], ["a", "b", "3"]),
        ("", "one", ["one"]),
        ("/a~1b/*", {"a/b": ["x"]}, ["x"]),
        ("/entries/*", {"entries": []}, []),
    ],
)
def test_all_keys_are_found(pointer: str, document: Any, keys: list[str]) -> None:
    """A star stands for every entry; texts and numbers are keys, nothing else is."""
    assert keys == select_all(pointer, answer(document))


@pytest.mark.parametrize(
    ("pointer", "body"),
    [
        ("/*", b"<html>log in</html>"),
        ("/*", b'"denied"'),
        ("/*", b"null"),
        ("/entries/*", b'{"error": "denied"}'),
        ("/entries/*", b'{"entries": null}'),
        ("/entries/*", b"[]"),
    ],
)
def test_an_answer_without_a_list_is_an_error(pointer: str, body: bytes) -> None:
    """A login page or an error's document must not look like an empty service."""
    with pytest.raises(UnexpectedAnswerError, match="where the keys should be"):
        select_all(pointer, answer(body))


@pytest.mark.parametrize("body", [["a", "s3cret"], ["x-s3cret/y", "b"]])
def test_an_echoed_secret_is_no_key(body: list[str]) -> None:
    """A list in which the server echoes a secret is refused as a whole, and the secret unnamed."""
    raw = json.dumps(body).encode()
    echoing = Response(status=200, headers={}, body=raw, echoes=lambda text: "s3cret" in text)
    with pytest.raises(UnexpectedAnswerError, match="a secret of the request at /\\*") as caught:
        select_all("/*", echoing)
    assert (200, False) == (caught.value.status, "s3cret" in f"{caught.value}{caught.value.hint}")
    innocent = Response(status=200, headers={}, body=raw, echoes=lambda text: "other" in text)
    assert body == select_all("/*", innocent)


class Uploads(FileService):
    """A service that names what it is given."""

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer the name of a new file."""
        if request.method != "POST":
            return super().answer(request, body)
        name = f"id-{len(self.files) + 1}"
        self.files[f"/files/{name}"] = body
        return json_answer(
            201, {"file": {"id": name}}, {"Location": f"/files/{name}", "ETag": '"v1"'}
        )


@pytest.fixture
def service() -> Any:
    """Serve files under names that the service chooses."""
    with Uploads(token="correct horse battery") as running:
        yield running


RULES = {
    "json": ("json:/file/id", "/files/${receipt.it}"),
    "regex": ('regex:"id": "(id-[0-9]+)"', "/files/${receipt.it}"),
}


@pytest.mark.parametrize("rule", ["json", "regex"])
def test_a_captured_id_leads_back(rule: str, make: MakeWebhook, service: Uploads) -> None:
    """The service's own id is in the receipt, and in the URLs that fetch and delete."""
    how, path = RULES[rule]
    url = {"url": service.url + path}
    storage = make("/upload", method="POST", fetch=url, captures={"it": how})
    receipt = storage.put(b"content")
    assert {"it": "id-1"} == receipt.captures
    assert storage.get(receipt) == b"content"
    storage.delete(receipt)
    assert {} == service.files


def test_a_captured_id_travels_with_a_flow(make: MakeWebhook, service: Uploads) -> None:
    """The storage's JSON has the id, so that another process fetches the flow by it."""
    url = {"url": service.url + "/files/${receipt.id}"}
    storage = make("/upload", method="POST", fetch=url, captures={"id": "json:/file/id"})

    def flow() -> str:
        return "hello"

    storage.add_flow(flow)
    storage.build()
    there = Storage.from_json(storage.to_json())
    assert there.get_flow("flow")() == "hello"
    assert ["/upload", "/files/id-1"] == [request.path for request in service.requests]


def test_without_a_receipt_there_is_no_id(make: MakeWebhook, service: Uploads) -> None:
    """Fetching by an id that nobody has is an error that says how to get one."""
    url = {"url": service.url + "/files/${receipt.id}"}
    storage = make("/upload", method="POST", fetch=url, captures={"id": "json:/file/id"})
    with pytest.raises(ConfigurationError, match=r"\$\{receipt.id\} is not known") as caught:
        storage.get()
    assert "captures" in (caught.value.hint or "")
    assert [] == service.requests


def test_a_remembered_id_leads_back_without_the_receipt(
    make: MakeWebhook, service: Uploads
) -> None:
    """What was remembered fills the placeholder, also after JSON."""
    url = {"url": service.url + "/files/${receipt.id}"}
    storage = make("/upload", method="POST", fetch=url, captures={"id": "json:/file/id"})
    storage.remember(storage.put(b"content"))
    assert Storage.from_json(storage.to_json()).get("") == b"content"


def test_an_id_with_another_path_in_it_is_refused(make: MakeWebhook, service: Uploads) -> None:
    """An answer cannot lead the next request to another place."""
    service.inject(json_answer(201, {"file": {"id": "../../admin?x=1"}}))
    url = {"url": service.url + "/files/${receipt.id}"}
    storage = make("/upload", method="POST", fetch=url, captures={"id": "json:/file/id"})
    receipt = storage.put(b"content")
    sent = len(service.requests)
    service.files["/admin"] = b"precious"
    with pytest.raises(UnsafeValueError, match=r"\$\{receipt.id\}"):
        storage.get(receipt)
    assert [] == service.requests[sent:]


def test_an_echoed_token_is_no_id(make: MakeWebhook, service: Uploads) -> None:
    """A service that answers with our own token does not get it into the receipt."""
    service.inject(json_answer(201, {"file": {"id": "correct horse battery"}}))
    storage = make("/upload", method="POST", captures={"id": "json:/file/id"})
    with pytest.raises(UnsafeValueError, match="json:/file/id") as caught:
        storage.put(b"content")
    assert "battery" not in str(caught.value)


@pytest.mark.parametrize("header", ["ETag", "Last-Modified", "Content-Type"])
def test_an_echoed_token_is_in_no_stat(header: str, make: MakeWebhook, service: Uploads) -> None:
    """What a service says of an artifact is kept only when it holds no secret of ours."""
    service.inject(Answer(200, b"", {header: "correct horse battery"}))
    stat = make("/files").stat()
    assert stat is not None
    assert "battery" not in repr(stat)


def test_an_echoed_token_is_no_version(make: MakeWebhook, service: Uploads) -> None:
    """An ETag with a secret in it is left out of the receipt."""
    service.inject(text_answer(201, "", {"ETag": '"correct horse battery"'}))
    assert make("/files", method="PUT").put(b"x").version is None
