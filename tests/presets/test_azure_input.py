"""What somebody gets to read who has given Azure something wrong: one line, and what to do."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from azure.storage.blob import ContainerClient

from tests.fakes.http import Answer
from tests.fakes.relay import Relay
from tests.sending.support import HTTPX, HTTPX_ASYNC, Mode, caught
from webhook_storage.contracts import Request, Response
from webhook_storage_presets.azure import Azure
from webhook_storage_presets.azure.answers import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.azurite import Azurite

ways = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC], ids=lambda mode: mode.name)

ACCOUNT = {"account": "{account}", "endpoint": "{url}"}
BY_KEY = {**ACCOUNT, "account_key": "${KEY}"}
WHOLE = "copy it in whole from 'Access keys' in the portal: AccountName=...;AccountKey=..."
PORTAL = "copy it in whole from the portal"
ANOTHER_KEY = "store it under another key"
PUT = "PUT {url}/{container}/${{artifact.key|path}} answered"
CREDENTIAL = (
    "is the key, the connection string or the SAS that of this account, and not expired? A proxy "
    "that changes a request breaks its signature"
)
FIREWALL = (
    "is the account's key right, does the account's firewall let this machine in, and does the SAS "
    "allow it?"
)


@pytest.fixture
def relay(azurite: Azurite) -> Iterator[Relay]:
    """Stand before Azurite."""
    with Relay(azurite.origin) as server:
        yield server


@pytest.fixture
def words(azurite: Azurite, relay: Relay) -> Iterator[dict[str, str]]:
    """Return what differs from run to run: the account, its URL and a container."""
    name = f"t{uuid.uuid4().hex}"
    with ContainerClient.from_connection_string(azurite.connection_string, name) as client:
        client.create_container()
        url = f"{relay.url}/{azurite.account}"
        yield {"account": azurite.account, "url": url, "container": name}


def told(
    words: dict[str, str], secrets: dict[str, str], mode: Mode, fields: dict[str, Any], key: str
) -> tuple[str, str | None]:
    """Return line and hint of what a store ends with."""
    given = {"container": "{container}", **fields}
    filled = {
        name: text.format(**words) if "{" in text and "$" not in text else text
        for name, text in given.items()
    }
    with mode.sending(secrets):
        error = caught(lambda: mode.call(Azure(**filled), "put", b"31 rows", key))
    return str(error), getattr(error, "hint", None)


@ways
@pytest.mark.parametrize(
    ("fields", "key", "line", "hint"),
    [
        (
            {"connection_string": "${CS}", "container": "not-there"},
            "a",
            (
                "PUT ${{receipt.endpoint}}/not-there/${{artifact.key|path}} answered 404 "
                "(ContainerNotFound): there is no such container"
            ),
            "are container and account right, and is it made?",
        ),
        (
            {"connection_string": "${CS}", "container": "No_Name"},
            "a",
            (
                "container: it is no name of a container: 3 to 63 lower-case letters, digits and "
                "single hyphens in between"
            ),
            None,
        ),
        (
            {"account": "No-Name"},
            "a",
            "account: it is no name of an account: 3 to 24 lower-case letters and digits",
            None,
        ),
        (
            {**ACCOUNT, "account": "another", "connection_string": "${CS}"},
            "a",
            "account: the connection string is that of another account",
            "leave 'account' out, or give the connection string of that account",
        ),
        (
            {"account": "{account}", "connection_string": "${CS}"},
            "a",
            (
                "connection_string: the connection string leads to another place than account or "
                "endpoint do"
            ),
            "leave them out, or give the endpoint that the connection string has",
        ),
        (
            {"endpoint": "acct.blob.core.windows.net", "anonymous": "True"},
            "a",
            (
                "endpoint: A URL begins with a scheme, '://' and a host, or with one "
                "placeholder for them."
            ),
            "Write https://host/..., or ${BASE_URL}/...",
        ),
        (
            {"connection_string": "${ABSENT}"},
            "a",
            "${{ABSENT}} is missing (asked: mapping)",
            (
                "set the environment variable ABSENT, or add it to another of those asked; "
                "'webhook-storage check' shows what each of them answers"
            ),
        ),
        (
            {"connection_string": "${NONE}"},
            "a",
            (
                "connection_string: the connection string has neither an AccountKey nor a "
                "SharedAccessSignature"
            ),
            WHOLE,
        ),
        (
            {"connection_string": "${NAMELESS}"},
            "a",
            "connection_string: the connection string has an AccountKey and no AccountName",
            WHOLE,
        ),
        (
            {**ACCOUNT, "account_key": "${NONE}"},
            "a",
            "auth: the account's key is not the base64 text that Azure gives out",
            PORTAL,
        ),
        (
            {**ACCOUNT, "sas": "${NONE}"},
            "a",
            "sas: the shared access signature is no query with a 'sig' in it",
            "copy what follows the question mark, in whole: sv=...&sig=...",
        ),
        (
            {**ACCOUNT, "account_key": "${WRONG}"},
            "a",
            (
                f"{PUT} 403 (AuthorizationFailure): the credential may not do this there, or "
                "not from this network"
            ),
            FIREWALL,
        ),
        (
            {**ACCOUNT, "sas": "${EXPIRED}"},
            "a",
            (
                f"{PUT} 403 (AuthorizationFailure): the credential may not do this there, or "
                "not from this network"
            ),
            FIREWALL,
        ),
        (
            BY_KEY,
            "a\nb",
            "key: ${{artifact.key}} has a control character, which no object's name can hold",
            ANOTHER_KEY,
        ),
        (
            BY_KEY,
            "../a",
            "key: ${{artifact.key}} has a '.' or '..' segment, which no URL keeps",
            ANOTHER_KEY,
        ),
        (
            BY_KEY,
            "a\\b",
            "key: the name of the blob has a backslash, which Azure takes for a slash",
            ANOTHER_KEY,
        ),
        (
            BY_KEY,
            "v1./a",
            "key: the name of the blob has a segment with a dot at its end, which Azure leaves out",
            ANOTHER_KEY,
        ),
        (
            BY_KEY,
            "a\x85",
            "key: the name of the blob has a character that Azure does not take",
            ANOTHER_KEY,
        ),
        (
            BY_KEY,
            "x" * 1025,
            "key: the name of the blob has more than 1024 characters",
            ANOTHER_KEY,
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    mode: Mode,
    azurite: Azurite,
    words: dict[str, str],
    fields: dict[str, Any],
    key: str,
    line: str,
    hint: str | None,
) -> None:
    """The same in a thread and an event loop; no value is in it."""
    secrets = {
        "CS": azurite.connection_string,
        "KEY": azurite.key,
        "NONE": "no credential!",
        "NAMELESS": f"AccountKey={azurite.key}",
        "WRONG": base64.b64encode(b"another key").decode(),
        "EXPIRED": "sv=2021-12-02&sr=c&sp=rw&se=2020-01-01T00%3A00%3A00Z&sig=c2ln",
    }
    assert (line.format(**words), hint) == told(words, secrets, mode, fields, key)


@ways
@pytest.mark.parametrize(
    ("status", "code", "line", "hint"),
    [
        (
            403,
            "AuthenticationFailed",
            "the service does not take the signature or the token",
            CREDENTIAL,
        ),
        (
            404,
            "ResourceNotFound",
            "there is nothing that this credential may see",
            "without a credential a container that is not public looks like none at all",
        ),
        (
            403,
            "AuthorizationPermissionMismatch",
            "the credential may not do this there",
            (
                "Entra wants a role for data, such as Storage Blob Data Contributor, and a SAS its "
                "permissions: r read, c create, w write, d delete, l list"
            ),
        ),
        (
            403,
            "KeyBasedAuthenticationNotPermitted",
            "the account takes no keys",
            "leave the key out, and use Entra",
        ),
        (
            400,
            "AccountRequiresHttps",
            "the account takes https only",
            "give an endpoint with https",
        ),
    ],
)
def test_what_azure_says_and_azurite_does_not(
    mode: Mode,
    azurite: Azurite,
    relay: Relay,
    words: dict[str, str],
    status: int,
    code: str,
    line: str,
    hint: str,
) -> None:
    """By the codes of its documentation."""
    relay.inject(Answer(status, b"", {"x-ms-error-code": code}), times=None)
    found = told(words, {"KEY": azurite.key}, mode, BY_KEY, "a")
    assert (f"{PUT} {status} ({code}): {line}".format(**words), hint) == found


def test_a_clock_that_is_wrong_is_told() -> None:
    """Azure refuses a signature of another time as any wrong one, and says its own time."""
    date = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    headers = {"x-ms-error-code": "AuthenticationFailed", "date": date}
    request = Request(method="PUT", url="https://acct.blob.core.windows.net/flows/a")
    error = refusal(request, Response(status=403, headers=headers))
    assert (
        (
            "PUT https://acct.blob.core.windows.net/flows/a answered 403 (AuthenticationFailed): "
            "the clock here and that of the service differ by more than 15 minutes"
        ),
        "set the clock of this machine",
    ) == (str(error), error.hint)
