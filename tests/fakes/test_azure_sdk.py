"""The fake Azure, as Microsoft's own libraries find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trustme
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.keyvault.secrets import SecretClient

from tests.fakes.azure import LOGIN, FakeAzure, FakeMachine, Tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure.core.credentials import TokenCredential


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAzure]:
    """Start a vault with one secret, whose certificate the libraries trust."""
    with FakeAzure() as server:
        server.put("db-password", "s3cret")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca_file))
        yield server


def options(fake: FakeAzure) -> dict[str, Any]:
    """Return what every credential must be told about a login server at an odd address."""
    return {"authority": fake.url, "disable_instance_discovery": True, "retry_total": 0}


def by_secret(fake: FakeAzure, **other: str) -> TokenCredential:
    """Return the credential of the application, or one that is wrong in something."""
    given = {
        "tenant_id": fake.tenant,
        "client_id": fake.client_id,
        "client_secret": fake.client_secret,
        **other,
    }
    return ClientSecretCredential(**given, **options(fake))


def client(fake: FakeAzure, credential: TokenCredential) -> SecretClient:
    """Return a client for the vault at its loopback address, which is in no domain of Azure's."""
    return SecretClient(fake.url, credential, verify_challenge_resource=False, retry_total=0)


def pem(path: Path, *, key: bool) -> Path:
    """Write a new certificate, with or without its key."""
    issued = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert(
        "app.test", key_type=trustme.KeyType.RSA
    )
    both = path.with_suffix(".key.pem")
    issued.cert_chain_pems[0].write_to_path(path)
    issued.private_key_and_cert_chain_pem.write_to_path(both)
    return both if key else path


# --- secrets ---


def test_a_secret_is_read(fake: FakeAzure) -> None:
    """The right secret of the application opens the vault."""
    with client(fake, by_secret(fake)) as secrets:
        found = secrets.get_secret("db-password")
    assert ("s3cret", fake.vault["db-password"][0].id) == (found.value, found.properties.version)


def test_the_first_request_is_refused_with_a_challenge(fake: FakeAzure) -> None:
    """A client learns from the refusal for what it needs a token."""
    with client(fake, by_secret(fake)) as secrets:
        secrets.get_secret("db-password")
    asked = fake.received("/secrets/")
    assert [False, True] == ["authorization" in request.headers for request in asked]


def test_what_was_written_is_read(fake: FakeAzure) -> None:
    """Each write makes a version, and the latest is the default."""
    with client(fake, by_secret(fake)) as secrets:
        first = secrets.set_secret("new", "one").properties.version
        secrets.set_secret("new", "two")
        assert ("one", "two") == (
            secrets.get_secret("new", first).value,
            secrets.get_secret("NEW").value,
        )


def test_a_missing_secret_is_not_found(fake: FakeAzure) -> None:
    """Neither a name nor a version that never was is found."""
    with client(fake, by_secret(fake)) as secrets:
        for name, version in (("nothing", None), ("db-password", "0" * 32)):
            with pytest.raises(ResourceNotFoundError) as caught:
                secrets.get_secret(name, version)
            assert caught.value.error is not None
            assert "SecretNotFound" == caught.value.error.code


def test_an_odd_name_is_refused(fake: FakeAzure) -> None:
    """A vault knows no underscores, and no versions of other letters."""
    with client(fake, by_secret(fake)) as secrets:
        for name, version in (("db_password", None), ("db-password", "latest")):
            with pytest.raises(HttpResponseError, match="BadParameter"):
                secrets.get_secret(name, version)


def test_a_disabled_secret_is_forbidden(fake: FakeAzure) -> None:
    """That a secret is disabled is said by the inner code of a 403."""
    fake.put("old", "x", enabled=False)
    fake.put("private", "x")
    fake.forbidden["private"] = "ForbiddenByPolicy"
    with client(fake, by_secret(fake)) as secrets:
        for name, inner in (("old", "SecretDisabled"), ("private", "ForbiddenByPolicy")):
            with pytest.raises(HttpResponseError) as caught:
                secrets.get_secret(name)
            assert caught.value.error is not None
            assert (403, inner) == (caught.value.status_code, caught.value.error.innererror["code"])


def test_an_expired_token_is_refused(fake: FakeAzure) -> None:
    """A token that has expired opens nothing, and a new login gives another."""
    credential = by_secret(fake)
    with client(fake, credential) as secrets:
        secrets.get_secret("db-password")
        fake.revoke_tokens()
        with pytest.raises(ClientAuthenticationError, match="TokenExpired"):
            secrets.get_secret("db-password")  # with the token that the credential still keeps
    with client(fake, by_secret(fake)) as secrets:
        assert "s3cret" == secrets.get_secret("db-password").value


def test_a_token_for_something_else_is_refused(fake: FakeAzure) -> None:
    """A vault accepts no token that was issued for another service."""
    token = by_secret(fake).get_token("https://management.azure.com/.default")
    answer = fake_get(fake, token.token)
    assert 401 == answer[0]
    assert "AKV10022" in answer[1]


def fake_get(fake: FakeAzure, token: str) -> tuple[int, str]:
    """Ask for the secret with a token, without any library of Azure's."""
    import requests  # noqa: PLC0415 - of use here only

    url = f"{fake.url}/secrets/db-password?api-version=7.4"
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.get(url, headers=headers, timeout=10, verify=str(fake.ca_file))
    return answer.status_code, answer.text


# --- who ---


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"client_secret": "wrong"}, "AADSTS7000215"),
        ({"client_id": "00000000-0000-0000-0000-000000000000"}, "AADSTS700016"),
    ],
)
def test_a_wrong_login_is_refused(fake: FakeAzure, wrong: dict[str, str], code: str) -> None:
    """A wrong secret or application gives no token."""
    with (
        client(fake, by_secret(fake, **wrong)) as secrets,
        pytest.raises(ClientAuthenticationError, match=code),
    ):
        secrets.get_secret("db-password")


def test_an_unknown_tenant_is_refused(fake: FakeAzure) -> None:
    """A login server knows its tenants."""
    credential = by_secret(fake, tenant_id="00000000-0000-0000-0000-000000000000")
    with pytest.raises(ClientAuthenticationError, match="double check your tenant"):
        credential.get_token("https://vault.azure.net/.default")


def test_a_certificate_logs_in(fake: FakeAzure, tmp_path: Path) -> None:
    """A certificate that the application has opens the vault, another one does not."""
    right, wrong = (pem(tmp_path / f"{name}.pem", key=True) for name in ("right", "wrong"))
    fake.trust(tmp_path / "right.pem")

    def read(certificate: Path) -> str | None:
        credential = CertificateCredential(
            fake.tenant, fake.client_id, str(certificate), **options(fake)
        )
        with client(fake, credential) as secrets:
            return secrets.get_secret("db-password").value

    assert "s3cret" == read(right)
    with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        read(wrong)


def test_a_workload_logs_in(fake: FakeAzure, tmp_path: Path) -> None:
    """The token of a service account opens the vault, another one does not."""
    fake.federated_token = "right"
    file = tmp_path / "token"

    def read(token: str) -> str | None:
        file.write_text(token)
        credential = WorkloadIdentityCredential(
            tenant_id=fake.tenant,
            client_id=fake.client_id,
            token_file_path=str(file),
            **options(fake),
        )
        with client(fake, credential) as secrets:
            return secrets.get_secret("db-password").value

    assert "s3cret" == read("right")
    with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        read("wrong")


def test_a_machine_has_an_identity(fake: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """The identity of the machine opens the vault, unless it has none, or not that one."""
    with FakeMachine(fake) as machine:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)

        def read(client_id: str | None = None) -> str | None:
            credential = ManagedIdentityCredential(client_id=client_id, retry_total=0)
            with client(fake, credential) as secrets:
                return secrets.get_secret("db-password").value

        assert ["s3cret", "s3cret"] == [read(), read(fake.client_id)]
        with pytest.raises(CredentialUnavailableError):
            read("00000000-0000-0000-0000-000000000000")
        machine.assigned = False
        with pytest.raises(CredentialUnavailableError):
            read()


# --- public names ---


def test_public_names_lead_here(fake: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every setting at its default the libraries accept this for the real Azure."""
    with Tunnel(fake.port) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        credential = ClientSecretCredential(fake.tenant, fake.client_id, fake.client_secret)
        with credential, SecretClient("https://team.vault.azure.net", credential) as secrets:
            assert "s3cret" == secrets.get_secret("db-password").value
    assert {"CONNECT team.vault.azure.net:443", f"CONNECT {LOGIN}:443"} == set(tunnel.names)


def test_a_challenge_of_another_domain_is_refused(
    fake: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries get no token for a resource that is not the vault's domain."""
    # A process remembers challenges by vault, so this one is another than above.
    fake.resource = "https://vault.example.com"
    with Tunnel(fake.port) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        credential = ClientSecretCredential(fake.tenant, fake.client_id, fake.client_secret)
        with (
            credential,
            SecretClient("https://other.vault.azure.net", credential) as secrets,
            pytest.raises(ValueError, match="does not match the requested domain"),
        ):
            secrets.get_secret("db-password")
    assert [] == fake.received(f"/{fake.tenant}")
