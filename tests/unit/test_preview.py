"""What is shown of a request that is not sent."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.sending.raw import RawServer, always, reply
from tests.sending.support import HTTPX, caught, plain
from webhook_storage import Sender, Webhook
from webhook_storage import errors as e
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from webhook_storage.preview import Preview

SECRETS = {
    "TOKEN": "s3cret-value $HOME `id` 'q\"",
    "PASSWORD": "pass word!",
    "NUMBER": "12345678",
    "BASE": "https://hidden.example/api",
}


def shown(storage: Webhook, *, fetch: bool = False) -> Preview:
    """Return the preview of a store, or of a fetch."""
    with Sender(secrets=[MappingResolver(SECRETS)]) as sender:
        key = "k" if "artifact.key" in storage.naming_facts() else None
        exchange = storage._get(key, None) if fetch else storage.exchange("store", key, b"abc")
        return sender.preview(exchange)


def arguments(command: str) -> list[str]:
    """Let a shell take a curl command apart, with the secrets in its environment."""
    script = f"""curl() {{ for word; do printf '%s\\0' "$word"; done; }}; {command}"""
    done = subprocess.run(["sh", "-c", script], env=SECRETS, capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


def everywhere(**kwargs: Any) -> Webhook:
    """Return a storage with secrets in many places."""
    return plain(
        "https://h/${TOKEN}",
        params={"q": "${TOKEN}"},
        headers={"X-Key": "k ${TOKEN}", "X-Json": {"n": "${TOKEN}"}, "X-Text": '{"n": ${NUMBER}}'},
        cookies={"c": "${NUMBER}"},
        auth=["me", "${PASSWORD}"],
        **kwargs,
    )


def test_text() -> None:
    """Every secret is shown by its name, and everything else as it is sent."""
    lines = shown(everywhere()).text().splitlines()
    assert "PUT https://h/${TOKEN}/k?q=${TOKEN}" == lines[0]
    assert {
        "X-Key: k ${TOKEN}",
        'X-Json: {"n": "${TOKEN}"}',
        'X-Text: {"n": ${NUMBER}}',
        "Cookie: c=${NUMBER}",
        "Authorization: Basic base64(me:${PASSWORD})",
        "Content-Length: 3",
        "(3 bytes of the artifact)",
    } <= set(lines)


def test_origin_that_is_a_secret() -> None:
    """A secret at the beginning of a URL is shown by its name."""
    assert "PUT ${BASE}/k" == shown(plain("${BASE}")).text().splitlines()[0]


@pytest.mark.parametrize("text", ["xSECRETx0x", "xSECRETx99x", "7700770000770077"])
def test_text_that_looks_like_a_mark(text: str) -> None:
    """Text of the definition is not taken for a secret that does not exist."""
    assert f"PUT https://h/{text}/k" == shown(plain(f"https://h/{text}")).text().splitlines()[0]


def test_no_value_is_shown() -> None:
    """No form of a preview has a value."""
    preview = shown(everywhere())
    for text in (preview.text(), preview.curl(), repr(preview)):
        assert not [value for value in SECRETS.values() if value in text]


def test_nothing_is_sent() -> None:
    """A preview asks for secrets and connects to nobody."""
    with RawServer(always(reply())).serving() as server:
        shown(plain(server.url, headers={"X": "${TOKEN}"}))
    assert 0 == server.connections


@pytest.mark.parametrize(
    ("name", "kind"), [("ABSENT", e.SecretNotFoundError), ("BAD", e.UnsafeValueError)]
)
def test_what_cannot_be_sent_cannot_be_shown(name: str, kind: type[Exception]) -> None:
    """A missing or unsafe value is the error that sending would give."""
    storage = plain("https://h", headers={"X": f"${{{name}}}"})
    with HTTPX.sending({"BAD": "a\nb"}) as sender:
        error = caught(lambda: sender.preview(storage.exchange("store", "k", b"abc")))
    assert kind is type(error)


def test_curl_of_a_store() -> None:
    """The command sends what would be sent, its secrets from the environment, quotes and all."""
    words = arguments(shown(everywhere()).curl())
    token = SECRETS["TOKEN"]
    assert ["--fail-with-body", "-X", "PUT"] == words[:3]
    assert f"X-Key: k {token}" in words
    assert ["-u", f"me:{SECRETS['PASSWORD']}"] == words[words.index("-u") :][:2]
    assert ["--data-binary", "@FILE"] == words[words.index("--data-binary") :][:2]
    assert f"https://h/{token}/k?q={token}" == words[-1]


def test_curl_of_a_document() -> None:
    """A body that is written is part of the command."""
    request = {"url": "https://h/[x]?it's", "json": {"a": "${NUMBER}'s"}}
    words = arguments(
        shown(Webhook(request | {"json": None}, "PUT", request, "POST"), fetch=True).curl()
    )
    assert ["--data-raw", '{"a":"12345678\'s"}'] == words[words.index("--data-raw") :][:2]
    assert "--globoff" in words


def test_curl_of_a_form() -> None:
    """An artifact in a form is a form in the command too."""
    url = {"url": "https://h/${artifact.key}"}
    form = {"files": {"file": "${artifact.key}.bin"}, "data": {"a": "@${NUMBER}"}}
    storage = Webhook(url | form, "POST", url, "GET")
    words = arguments(shown(storage).curl())
    assert [
        "--form-string",
        "a=@12345678",
        "--form",
        "file=@FILE;filename=k.bin",
        "https://h/k",
    ] == words[-5:]
    assert not [word for word in words if "multipart" in word or "--data" in word]


def test_curl_of_a_head() -> None:
    """A question for an artifact does not wait for a body."""
    with HTTPX.sending() as sender:
        command = sender.preview(plain("https://h").stat_exchange({"artifact.key": "k"})).curl()
    assert "--head" in command
    assert "-X" not in command


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_really(tmp_path: object) -> None:
    """The command does what the library does."""
    with RawServer(always(reply("200 OK", b"answer"))).serving() as server:
        headers = {"Authorization": "Bearer ${NUMBER}", "X-Json": {"a": "${NUMBER}"}}
        storage = plain(server.url, headers=headers, params={"q": "a b"})
        command = shown(storage, fetch=True).curl()
        env = {**SECRETS, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, check=True)
        with HTTPX.sending(SECRETS):
            assert done.stdout == storage.get("k")
    by_curl, by_us = server.calls
    assert (by_us.method, by_us.target) == (by_curl.method, by_curl.target)
    names = ("authorization", "x-json", "accept")
    assert [by_us.headers[name] for name in names] == [by_curl.headers[name] for name in names]
