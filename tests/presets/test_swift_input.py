"""What somebody gets to read who has given Swift something wrong: one line, and what to do."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.fakes import keystone
from tests.fakes.keystone import FakeKeystone
from tests.sending.support import HTTPX, HTTPX_ASYNC, Mode, caught
from webhook_storage_presets.swift import Swift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.swift import Swift as SwiftServer

ways = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)

PUT = "PUT {storage}/{container}/${{artifact.key|path}} answered"
NO_CONTAINER = (
    "are its name and the storage URL right? It is made beforehand, and that for segments too"
)
NOT_READ = "set the environment variable ABSENT, or add it to another of those asked; "
ACCESS = "what do the container's ACLs and the user's roles allow?"
IDENTITY = "are auth_url, user, domains, project and the secret right?"
URL = "A URL begins with a scheme, '://' and a host, or with one placeholder for them."


@pytest.fixture
def words(swift: SwiftServer) -> dict[str, str]:
    """Return what differs from run to run: where Swift is, and a container."""
    headers = {"X-Auth-User": swift.user, "X-Auth-Key": swift.password}
    found = httpx.get(swift.auth_url, headers=headers, trust_env=False).headers
    url, name = found["x-storage-url"], uuid.uuid4().hex
    token = {"X-Auth-Token": found["x-auth-token"]}
    httpx.put(f"{url}/{name}", headers=token, trust_env=False).raise_for_status()
    return {"auth": swift.auth_url, "storage": url, "container": name}


def told(
    storage: dict[str, Any], secrets: dict[str, str], mode: Mode, key: str = "a"
) -> tuple[str, str | None]:
    """Return line and hint of what a store ends with."""
    with mode.sending(secrets):
        error = caught(lambda: mode.call(Swift(**storage), "put", b"31 rows", key))
    return str(error), getattr(error, "hint", None)


@ways
@pytest.mark.parametrize(
    ("fields", "auth", "key", "line", "hint"),
    [
        ({"container": "absent"}, {}, "a",
         "PUT {storage}/absent/${{artifact.key|path}} answered 404: there is no such container",
         NO_CONTAINER),
        ({"container": "a/b"}, {}, "a",
         "container: it is no name of a container: up to 256 bytes, and no slash", None),
        ({"container": "a\x00"}, {}, "a", "container: it has a control character", None),
        ({"auth": None}, {}, "a",
         "give auth, which tells where the files are, or storage_url", None),
        ({"storage_url": "swift.example.com/v1/a"}, {}, "a", f"storage_url: {URL}",
         "Write https://host/..., or ${BASE_URL}/..."),
        ({"storage_url": "https://swift.example.com/v1/a?x"}, {}, "a",
         "storage_url: it is the URL of the account alone, without a query", None),
        ({"metadata": {"a: b": "c"}}, {}, "a",
         "metadata: a name has letters, digits and hyphens only", None),
        ({}, {"user": "test:nobody"}, "a",
         "GET {auth} gave no token, and answered 401", "are auth_url, user and key right?"),
        ({}, {"key": "${WRONG}"}, "a",
         "GET {auth} gave no token, and answered 401", "are auth_url, user and key right?"),
        ({}, {"key": "${ABSENT}"}, "a", "${{ABSENT}} is missing (asked: mapping)",
         f"{NOT_READ}'webhook-storage check' shows what each of them answers"),
        ({}, {"user": "test:reader", "key": "${READER}"}, "a",
         f"{PUT} 403: the credential may not do this there", ACCESS),
        ({}, {}, "a\nb",
         "key: ${{artifact.key}} has a control character, which no object's name can hold",
         "store it under another key"),
        ({}, {}, "a/../b", "key: ${{artifact.key}} has a '.' or '..' segment, which no URL keeps",
         "store it under another key"),
        ({}, {}, "k" * 1025, f"{PUT} 400: Swift does not take it",
         "is the key longer than 1,024 bytes, and were all segments of the upload kept?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(
    mode: Mode,
    swift: SwiftServer,
    words: dict[str, str],
    fields: dict[str, Any],
    auth: dict[str, str],
    key: str,
    line: str,
    hint: str | None,
) -> None:
    """The same in a thread and an event loop; no value is in it."""
    right = {"type": "swift_temp_auth", "auth_url": swift.auth_url, "user": swift.user}
    given = {"container": words["container"], "auth": {**right, "key": "${KEY}", **auth}}
    secrets = {"KEY": swift.password, "READER": swift.reader_password, "WRONG": "another"}
    assert (line.format(**words), hint) == told({**given, **fields}, secrets, mode, key)


@pytest.fixture
def fake() -> Iterator[FakeKeystone]:
    """Start a fake Keystone."""
    with FakeKeystone() as server:
        yield server


@ways
@pytest.mark.parametrize(
    ("fields", "line", "hint"),
    [
        ({"project_name": "nobody"},
         "POST {url}/v3/auth/tokens gave no token, and answered 401", IDENTITY),
        ({"password": "${WRONG}"},
         "POST {url}/v3/auth/tokens gave no token, and answered 401", IDENTITY),
        ({"auth_url": "{url}/v2.0"},
         "POST {url}/v2.0/v3/auth/tokens gave no token, and answered 404",
         "is auth_url right? A placeholder at its end stands for what is before /v3"),
        ({"region_name": "nowhere"},
         "the log-in gave a token and does not tell where the files are",
         "name project, and region_name where there are several; or give storage_url"),
        ({"auth_url": "{elsewhere}"},
         "hosts: the log-in says that the files are on another host, which gets no token",
         "name that host in hosts, or give storage_url"),
    ],
)  # fmt: skip
def test_what_keystone_refuses_is_told_in_one_line(
    mode: Mode, fake: FakeKeystone, fields: dict[str, str], line: str, hint: str
) -> None:
    """Without a word of its own."""
    words = {"url": fake.url, "elsewhere": fake.url.replace("127.0.0.1", "localhost")}
    right = {"auth_url": "{url}", "username": keystone.USER, "project_name": keystone.PROJECT}
    auth = {"type": "keystone", "password": "${P}", **right, **fields}
    auth["auth_url"] = auth["auth_url"].format(**words)
    secrets = {"P": keystone.PASSWORD, "WRONG": "canary"}
    found = told({"container": "c", "auth": auth}, secrets, mode)
    assert (line.format(**words), hint) == found


@ways
def test_signed_urls_list_nothing(mode: Mode, words: dict[str, str]) -> None:
    """Which is told before anything is sent."""
    auth = {"type": "hmac_url", "key": "${KEY}"}
    storage = Swift(container=words["container"], storage_url="https://h.invalid", auth=auth)
    with mode.sending({"KEY": "k"}):
        error = caught(lambda: mode.call(storage, "list"))
    line = "auth: a signed URL is one of an object, and there is none of a list"
    assert (line, "list with a log-in or a token") == (str(error), getattr(error, "hint", None))
