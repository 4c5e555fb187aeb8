"""Google's own clients log in to the fake and read from it, right and wrong."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import google.auth.credentials
import google.auth.jwt
import httpx
import pytest
from google.api_core import exceptions
from google.auth.crypt import RSASigner
from google.auth.exceptions import RefreshError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports.rest import (
    SecretManagerServiceRestTransport,
)
from google.oauth2.service_account import Credentials

from tests.fakes.gcp import FakeGcp, castagnoli
from tests.fakes.gcp_login import EXCHANGE, POOL, SCOPE
from tests.resolvers.places import without_proxies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's settings out, and the library from asking about regions in a thread."""
    without_proxies(monkeypatch, "GOOGLE_", "GCE_", "CLOUDSDK_")
    boundary = google.auth.credentials.CredentialsWithRegionalAccessBoundary
    monkeypatch.setattr(
        boundary, "_is_regional_access_boundary_lookup_required", lambda credentials: False
    )


@pytest.fixture
def fake() -> Iterator[FakeGcp]:
    """Start Secret Manager with one secret of two versions."""
    with FakeGcp() as place:
        place.add("app", "first")
        place.add("app", "second")
        yield place


def client(fake: FakeGcp, key: Path, *, scopes: tuple[str, ...] = (SCOPE,)) -> Any:
    """Return the official client, over REST, logged in with a key file."""
    credentials: Any = Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        str(key), scopes=scopes
    )
    transport = SecretManagerServiceRestTransport(
        host=fake.host, credentials=credentials, url_scheme="http"
    )
    return SecretManagerServiceClient(transport=transport)


def read(sdk: Any, name: str, version: str = "latest", parent: str = "projects/acme-flows") -> Any:
    """Read one version, trying once."""
    full = f"{parent}/secrets/{name}/versions/{version}"
    return sdk.access_secret_version(name=full, timeout=10, retry=None)


def test_a_key_reads_versions(fake: FakeGcp, tmp_path: Path) -> None:
    """The right key reads the latest version, a numbered one and one with another name."""
    sdk = client(fake, fake.write_key(tmp_path / "key.json", fake.add_account("flows")))
    fake.secrets["projects/acme-flows/secrets/app"].aliases["stable"] = 1
    answers = [read(sdk, "app", version) for version in ("latest", "2", "1", "stable")]
    assert [b"second", b"second", b"first", b"first"] == [answer.payload.data for answer in answers]
    assert "projects/123456789012/secrets/app/versions/2" == answers[0].name
    assert castagnoli(b"second") == answers[0].payload.data_crc32c
    assert 1 == fake.calls["/token"]


def test_a_regional_secret_is_another_one(fake: FakeGcp, tmp_path: Path) -> None:
    """A name with a location is not the name without."""
    sdk = client(fake, fake.write_key(tmp_path / "key.json", fake.add_account("flows")))
    fake.add("near", "here", location="europe-west1")
    parent = "projects/acme-flows/locations/europe-west1"
    assert b"here" == read(sdk, "near", parent=parent).payload.data
    with pytest.raises(exceptions.NotFound):
        read(sdk, "near")


def test_a_wrong_key_gets_no_token(fake: FakeGcp, tmp_path: Path) -> None:
    """A key that does not fit, an account that is gone, and no scope, are refused at the door."""
    account = fake.add_account("flows")
    right = account.key_file(f"{fake.url}/token")
    wrong = fake.add_account("other").key_file(f"{fake.url}/token")
    for name, change in (
        ("signature", {"private_key": wrong["private_key"]}),
        ("key id", {"private_key_id": wrong["private_key_id"]}),
        ("account", {"client_email": "nobody@acme-flows.iam.gserviceaccount.com"}),
    ):
        key = tmp_path / f"{name}.json"
        key.write_text(json.dumps({**right, **change}))
        with pytest.raises(RefreshError, match="invalid_grant"):
            read(client(fake, key), "app")
    assert 0 == fake.accesses()


@pytest.mark.parametrize(
    ("claims", "refusal"),
    [
        ({}, None),
        ({"aud": "https://elsewhere.example/token"}, "invalid_grant"),
        ({"iat": time.time() - 7200, "exp": time.time() - 3600}, "invalid_grant"),
        ({"exp": time.time() + 7200}, "invalid_grant"),
        ({"iat": time.time() + 1800}, "invalid_grant"),
        ({"scope": ""}, "invalid_scope"),
    ],
    ids=["right", "audience", "expired", "long", "early", "no scope"],
)
def test_assertions_are_looked_into(
    fake: FakeGcp, claims: dict[str, Any], refusal: str | None
) -> None:
    """An assertion with the right signature and a wrong claim gives no token."""
    account = fake.add_account("flows")
    key = account.key_file("")
    signer = RSASigner.from_service_account_info(key)  # type: ignore[no-untyped-call]
    now = int(time.time())
    usual = {
        "iss": account.email,
        "aud": "https://oauth2.googleapis.com/token",
        "iat": now,
        "exp": now + 3600,
        "scope": SCOPE,
    }
    signed = google.auth.jwt.encode(signer, {**usual, **claims})  # type: ignore[no-untyped-call]
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": signed.decode(),
    }
    answer = httpx.post(f"{fake.url}/token", data=form)
    assert (200 if refusal is None else 400) == answer.status_code
    assert refusal == answer.json().get("error")


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        ("/token", {"grant_type": "password"}, "unsupported_grant_type"),
        ("/token", {"grant_type": "refresh_token", "client_id": "other"}, "invalid_client"),
        ("/token", None, "invalid_request"),
        ("/v1/token", {"grant_type": "refresh_token"}, "unsupported_grant_type"),
        ("/v1/token", {"grant_type": EXCHANGE}, "invalid_target"),
        ("/v1/token", {"grant_type": EXCHANGE, "audience": POOL}, "invalid_request"),
    ],
)
def test_odd_grants_are_refused(
    fake: FakeGcp, path: str, body: dict[str, str] | None, refusal: str
) -> None:
    """A token service takes its own kinds of grants, as a form."""
    answer = httpx.post(fake.url + path, data=body)
    assert refusal == answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Metadata-Flavor": "Google"}, 200),
        ({}, 403),
        ({"Metadata-Flavor": "Google", "X-Forwarded-For": "10.0.0.1"}, 403),
    ],
    ids=["right", "no flavour", "forwarded"],
)
def test_metadata_is_not_for_everybody(fake: FakeGcp, headers: dict[str, str], code: int) -> None:
    """The metadata server tells nothing to who could have been led to ask it."""
    url = f"{fake.url}/computeMetadata/v1/instance/service-accounts/default/token"
    fake.tokens.machine = fake.add_account("vm").email
    answer = httpx.get(url, headers=headers)
    assert (code, "Google") == (answer.status_code, answer.headers["Metadata-Flavor"])
    assert (200 == code) is bool(fake.tokens.tokens)


def test_what_is_missing_is_told_to_who_may_read_all(fake: FakeGcp, tmp_path: Path) -> None:
    """With rights on the project an absent secret or version is 404, else it is 403."""
    everybody = client(fake, fake.write_key(tmp_path / "all.json", fake.add_account("flows")))
    one = fake.add_account("one", reader=False)
    fake.secrets["projects/acme-flows/secrets/app"].readers.add(one.email)
    single = client(fake, fake.write_key(tmp_path / "one.json", one))
    assert b"second" == read(single, "app").payload.data
    for name, version in (("absent", "latest"), ("app", "3"), ("app", "nobody")):
        with pytest.raises(exceptions.NotFound):
            read(everybody, name, version)
    with pytest.raises(exceptions.Forbidden, match="or it may not exist"):
        read(single, "absent")
    with pytest.raises(exceptions.Forbidden, match="or it may not exist"):
        read(everybody, "app", parent="projects/somebody-else")


def test_only_an_enabled_version_is_read(fake: FakeGcp, tmp_path: Path) -> None:
    """What is disabled or destroyed fails a precondition, also as the latest version."""
    sdk = client(fake, fake.write_key(tmp_path / "key.json", fake.add_account("flows")))
    latest = fake.secrets["projects/acme-flows/secrets/app"].versions[1]
    for state in ("DISABLED", "DESTROYED"):
        latest.state = state
        with pytest.raises(exceptions.BadRequest, match=f"is in {state} state"):
            read(sdk, "app")
    assert b"first" == read(sdk, "app", "1").payload.data


def test_other_refusals(fake: FakeGcp, tmp_path: Path) -> None:
    """Odd names, a switched-off API and a narrow scope are refused in Google's form."""
    key = fake.write_key(tmp_path / "key.json", fake.add_account("flows"))
    with pytest.raises(exceptions.BadRequest, match="Invalid resource"):
        read(client(fake, key), "odd.name")
    with pytest.raises(exceptions.Forbidden) as narrow:
        read(client(fake, key, scopes=("email",)), "app")
    assert "ACCESS_TOKEN_SCOPE_INSUFFICIENT" == narrow.value.reason
    fake.reason = "SERVICE_DISABLED"
    with pytest.raises(exceptions.Forbidden) as switched_off:
        read(client(fake, key), "app")
    assert "SERVICE_DISABLED" == switched_off.value.reason


def test_a_token_that_ends_is_unauthenticated(fake: FakeGcp, tmp_path: Path) -> None:
    """The client gets a new token for one that is not accepted, and tells when that is no use."""
    account = fake.add_account("flows")
    sdk = client(fake, fake.write_key(tmp_path / "key.json", account))
    read(sdk, "app")
    fake.tokens.tokens.clear()
    assert b"second" == read(sdk, "app").payload.data
    assert 2 == fake.calls["/token"]
    fake.tokens.lifetime = -1
    fake.tokens.tokens.clear()
    with pytest.raises(exceptions.Unauthorized):
        read(sdk, "app")


def test_payloads_that_google_does_not_take() -> None:
    """An empty payload and one of more than 64 KiB cannot be stored."""
    for payload in (b"", bytes(65537)):
        with pytest.raises(ValueError, match="no such payload"):
            FakeGcp().add("app", payload)
