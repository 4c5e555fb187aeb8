"""JSON of which one part is wanted: of a secret, of an answer, of a listing."""

from __future__ import annotations

from tests.fuzz.kit import joined, refusals, texts
from webhook_storage import capture, document
from webhook_storage.contracts import Found, Response
from webhook_storage.secret import SecretValue

SEEDS = (
    joined('{"a": {"b/c": [1.50, true, null, "x"]}}', "/a/b~1c/0"),
    joined('[{"name": "a"}, {"name": "b"}]', "/*/name"),
    joined('{"entries": {"x": 1e5, "y": NaN}}', "/entries/*"),
    joined('{"password": "s3cret"}', "password"),
    joined('["\\ud800", "\\u0000", -0.0]', "/0"),
    joined("id=42", "(?:id)=([0-9]+)"),
)
WORDS = (
    b"[", b"]", b"{", b"}", b'"":', b",", b"/*", b"/0", b"~0", b"~1", b"1e999", b"9" * 20, b"NaN",
    b"\\ud800", b"null", b"(a*)", b"(?P<a>b)", b"{9999999999}", b"(?i)", b"[^", b"\xff",
)  # fmt: skip


def target(data: bytes) -> None:
    """Take a part of a document in each of the ways there are."""
    text, pointer = texts(data, 2)
    found = document.select(document.parse(text), pointer)
    if found is not document.MISSING:
        spelled = document.spell(found)
        assert spelled is None or isinstance(spelled.encode(), bytes)
    if pointer:
        for structured in (False, True):
            with refusals():
                secret = Found(value=SecretValue(text), structured=structured)
                document.pick(secret, pointer)
    body = text.encode("utf-8", "surrogateescape")
    response = Response(status=200, headers={"x": text}, body=body, echoes=lambda _: False)
    with refusals():
        capture.select_all(pointer, response)
    with refusals():
        capture.check({"a": f"json:{pointer}"}, "captures")
        taken = capture.capture({"a": f"json:{pointer}"}, response, "here")
        assert isinstance(taken["a"].encode(), bytes)
    with refusals():  # an expression is the definition's, and only looked at here
        capture.check({"a": f"regex:{pointer}"}, "captures")
    with refusals():
        capture.check({"a": pointer}, "captures")
    with refusals():
        capture.capture({"a": 'regex:"id" *: *"([^"]*)"'}, response, "here")
