"""What every kind of `auth` and every preset makes of a secret shows as little as the secret."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.gcp_login import Account, private_key
from tests.leaks.channels import Shown, of_error, of_object, witnessed
from tests.leaks.mirror import SESSION, TOKEN, Mirror, spellings
from tests.sending.support import AIOHTTP_ASYNC, HTTPX, REQUESTS_ASYNC, Mode, plain
from webhook_storage import Storage, registry
from webhook_storage.errors import WebhookStorageError
from webhook_storage_presets.artifactory import Artifactory
from webhook_storage_presets.azure import Azure
from webhook_storage_presets.dropbox import Dropbox
from webhook_storage_presets.gcs import GCS
from webhook_storage_presets.http_file import HttpFile
from webhook_storage_presets.nexus import Nexus
from webhook_storage_presets.s3 import S3
from webhook_storage_presets.swift import Swift
from webhook_storage_presets.webdav import Nextcloud, OwnCloud, WebDAV

if TYPE_CHECKING:
    from collections.abc import Iterator

Make = Callable[[str], Any]

SECRET = "sEcReT5CaNaRyOfTheUser0123"
KEY = base64.b64encode(b"kEy5CaNaRyOfTheUser0123456789").decode()
SAS = "sAs5CaNaRyOfTheUser0123"
SECRETS = {"S": SECRET, "K": KEY, "SAS": f"sv=2021-12-02&sig={SAS}"}
BASIC = {"type": "basic", "username": "me", "password": "${S}"}
OAUTH = {"client_id": "an-id", "client_secret": "${S}"}
MIB = 1024 * 1024

KINDS: dict[str, Make] = {
    "api_key": lambda _: {"key": "${S}"},
    "api_key in the query": lambda _: {"key": "${S}", "place": "query", "name": "api_key"},
    "aws_sigv4": lambda _: {
        "region": "r", "access_key_id": "${S}", "secret_access_key": "${K}"
    },
    "aws_sigv4 in the URL": lambda _: {
        "region": "r", "place": "query", "access_key_id": "${S}", "secret_access_key": "${K}"
    },
    "azure_sas": lambda _: {"sas": "sv=2024-11-04&sig=${S}"},
    "azure_shared_key": lambda _: {"account": "acct", "account_key": "${K}"},
    "azure_shared_key of a connection string": lambda url: {
        "connection_string": f"BlobEndpoint={url};SharedAccessSignature=${{SAS}}"
    },
    "basic": lambda _: {"username": "me", "password": "${S}"},
    "bearer": lambda _: {"token": "${S}"},
    "digest": lambda _: {"username": "me", "password": "${S}"},
    "entra": lambda _: {"credential": "managed_identity"},
    "google": lambda _: {"credentials": "${GCP}"},
    "hmac_url": lambda _: {"key": "${S}"},
    "keystone": lambda url: {"auth_url": url, "username": "me", "password": "${S}"},
    "oauth2_client_credentials": lambda url: {"token_url": f"{url}/oauth2/token", **OAUTH},
    "oauth2_refresh": lambda url: {
        "token_url": f"{url}/oauth2/token", "refresh_token": "${K}", **OAUTH
    },
    "swift_temp_auth": lambda url: {"auth_url": f"{url}/auth/v1.0", "user": "a:b", "key": "${S}"},
}  # fmt: skip

PRESETS: dict[str, Make] = {
    "Dropbox": lambda url: Dropbox(
        path="/${artifact.key}", refresh_token="${K}", app_key="an-id", app_secret="${S}",
        api_origin=url, content_origin=url,
    ),
    "Artifactory": lambda url: Artifactory(
        url=url, repository="r", auth={"type": "bearer", "token": "${S}"}
    ),
    "Nexus": lambda url: Nexus(url=url, repository="r", auth=BASIC),
    "S3": lambda url: S3(
        bucket="flows", region="eu-west-1", endpoint=url,
        access_key_id="${K}", secret_access_key="${S}",
    ),
    "GCS": lambda url: GCS(bucket="flows", endpoint=url, credentials="${GCP}"),
    "GCS in parts": lambda url: GCS(
        bucket="flows", endpoint=url, resumable_above=0, auth={"type": "bearer", "token": "${S}"}
    ),
    "Azure": lambda url: Azure(container="flows", endpoint=url, account="acct", account_key="${K}"),
    "Azure by SAS": lambda url: Azure(container="flows", endpoint=url, sas="${SAS}"),
    "WebDAV": lambda url: WebDAV(url=url, auth=BASIC),
    "Nextcloud": lambda url: Nextcloud(url=url, user="me", password="${S}"),
    "OwnCloud": lambda url: OwnCloud(url=url, user="me", password="${S}", tus_above=0),
    "Swift": lambda url: Swift(
        container="c", auth={"type": "keystone", **KINDS["keystone"](url)}
    ),
    "HttpFile": lambda url: HttpFile(url=url, auth={"type": "hmac_url", "key": "${S}"}),
}  # fmt: skip

MODES = (HTTPX, REQUESTS_ASYNC, AIOHTTP_ASYNC)
"""Each library once; that threads and event loops show the same is seen in the other matrix."""

CALLS: dict[str, tuple[Any, ...]] = {"put": (b"artifact",), "get": (), "delete": (), "exists": ()}


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A service that sends everything back, to which a machine's identity leads too."""
    with Mirror() as server:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url)
        yield server


def secrets_at(url: str) -> dict[str, str]:
    """Return the values of all placeholders."""
    key = Account("a@b.example", "p", private_key("leaks")).key_file(f"{url}/token")
    return {**SECRETS, "GCP": json.dumps(key)}


def of_kind(name: str, mirror: Mirror) -> Storage:
    """Return a storage with that kind of `auth`, which keeps what the service answers."""
    data = {"type": name.partition(" ")[0], **KINDS[name](mirror.url)}
    mirror.challenge = name == "digest"
    return plain(f"{mirror.url}/d", auth=data, with_captures={"id": "header:X-Id"})


def call_all(mode: Mode, storage: Storage, key: str) -> Iterator[Shown]:
    """Call everything that a storage can do, and yield what comes of it."""
    for operation, arguments in CALLS.items():
        outcome = outcome_of(partial(mode.call, storage, operation, *arguments, key))
        if isinstance(outcome, WebhookStorageError):
            yield from of_error(outcome)
        elif operation == "put":  # what was fetched is the service's
            yield from of_object(outcome)


def outcome_of(act: Callable[[], object]) -> object:
    """Return a result or an error; nothing but the action is in the frame."""
    try:
        return act()
    except WebhookStorageError as error:
        return error


def check(
    mirror: Mirror, mode: Mode, storage: Storage, capture: pytest.CaptureFixture[str]
) -> None:
    """Look into every channel for every secret, and for what was made of it."""
    values = secrets_at(mirror.url)
    shown: list[Shown] = []
    with witnessed(capture) as witness, mode.sending(values, attempts=2) as sender:
        shown += call_all(mode, storage, "a")
        preview = sender.preview(storage.exchange("fetch", "a"))
        shown += [("preview", preview.text()), ("curl", preview.curl())]
        for thing in (storage, sender, sender._logins, preview, *sender._transports.values()):
            shown += of_object(thing)
    pem = json.loads(values["GCP"])["private_key"].splitlines()[1]
    assert mirror.made, "nothing was sent that could leak"
    hidden = {SECRET, KEY, SAS, TOKEN, SESSION, pem, *mirror.made}
    forms = {form for text in hidden for form in spellings(text)}
    found = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))
    leaks = []
    for channel, told in [*shown, *witness.shown]:
        text = told if isinstance(told, str) else told.decode("latin-1")
        leaks += [f"{channel}: {hit[0]}" for hit in found.finditer(text)]
    assert [] == leaks


@pytest.mark.parametrize("status", [201, 403, 500])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("name", KINDS)
def test_kind(
    mirror: Mirror, capsys: pytest.CaptureFixture[str], name: str, mode: Mode, status: int
) -> None:
    """Whatever the service answers with all that it was sent."""
    mirror.status = status
    check(mirror, mode, of_kind(name, mirror), capsys)


@pytest.mark.parametrize("status", [200, 403, 500])
@pytest.mark.parametrize("mode", [HTTPX, REQUESTS_ASYNC], ids=lambda mode: mode.name)
@pytest.mark.parametrize("name", PRESETS)
def test_preset(
    mirror: Mirror, capsys: pytest.CaptureFixture[str], name: str, mode: Mode, status: int
) -> None:
    """Each reads other parts of an answer, and tells of others."""
    mirror.status = status
    check(mirror, mode, PRESETS[name](mirror.url), capsys)


def test_none_is_left_out() -> None:
    """A kind or a preset that is new joins."""
    assert {*registry.names(registry.AUTH)} == {name.partition(" ")[0] for name in KINDS}
    presets = {*registry.names(registry.PRESETS)} - {"Webhook"}
    assert presets == {name.partition(" ")[0] for name in PRESETS}
