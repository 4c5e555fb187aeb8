"""The vendor's own client for 1Password Connect reads the fake one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import onepasswordconnectsdk  # type: ignore[import-untyped, unused-ignore]
import pytest
from onepasswordconnectsdk.client import Client  # type: ignore[import-untyped, unused-ignore]
from onepasswordconnectsdk.errors import (  # type: ignore[import-untyped, unused-ignore]
    FailedToRetrieveItemException,
    FailedToRetrieveVaultException,
)

from tests.fakes.onepassword import FakeConnect, Vault, field_of, login_fields, new_id

Connect = Callable[..., Any]


@pytest.fixture
def fake() -> Iterator[FakeConnect]:
    """Start a fake Connect server."""
    with FakeConnect() as server:
        yield server


@pytest.fixture
def vault(fake: FakeConnect) -> Vault:
    """Return a vault with one login in it."""
    vault = fake.add_vault("My Vault")
    otp = field_of(
        "one-time password", "otpauth://totp/x?secret=y", section="more", type="OTP", totp="134253"
    )
    fields = [*login_fields("me", "s3cret"), field_of("host", "db.test", section="adm"), otp]
    sections = [{"id": "adm", "label": "Admin"}, {"id": "more"}]
    vault.add("App", fields, sections=sections)
    return vault


@pytest.fixture
def connect(fake: FakeConnect) -> Connect:
    """Return a maker of clients."""

    def make(token: str = fake.token) -> Any:
        return Client(fake.url, token)

    return make


def _values(item: Any) -> dict[str, str | None]:
    return {field.label: field.value for field in item.fields}


def test_an_item_is_read_by_names(connect: Connect, vault: Vault) -> None:
    """A vault's name and an item's title lead to the fields."""
    item = connect().get_item("App", "My Vault")
    expected = {
        "username": "me",
        "password": "s3cret",
        "notesPlain": None,
        "host": "db.test",
        "one-time password": "otpauth://totp/x?secret=y",
    }
    assert expected == _values(item)
    assert ["134253"] == [field.totp for field in item.fields if field.type == "OTP"]
    assert [("adm", "Admin"), ("more", None)] == [(each.id, each.label) for each in item.sections]


def test_an_item_is_read_by_ids(connect: Connect, fake: FakeConnect, vault: Vault) -> None:
    """Two ids are one question."""
    (item_id,) = vault.items
    assert "s3cret" == _values(connect().get_item(item_id, vault.id))["password"]
    assert [f"/v1/vaults/{vault.id}/items/{item_id}"] == [each.path for each in fake.requests]


def test_a_section_is_named(connect: Connect, vault: Vault) -> None:
    """The client finds a field by its section and label."""
    wanted = {"host": {"opitem": "App", "opfield": "Admin.host", "opvault": vault.id}}
    assert {"host": "db.test"} == onepasswordconnectsdk.load_dict(connect(), wanted)


def test_lists_hold_no_values(connect: Connect, vault: Vault) -> None:
    """What there is can be listed, without what is in it."""
    client = connect()
    assert ["My Vault"] == [each.name for each in client.get_vaults()]
    assert "My Vault" == client.get_vault(vault.id).name
    (summary,) = client.get_items(vault.id)
    assert "App" == summary.title
    assert not hasattr(summary, "fields")


def test_a_wrong_token_reads_nothing(connect: Connect, vault: Vault) -> None:
    """A wrong token is told apart from everything else."""
    client = connect("wrong")
    for call in (client.get_vaults, lambda: client.get_item("App", "My Vault")):
        with pytest.raises(FailedToRetrieveVaultException, match=r"401 .*Invalid token signature"):
            call()
    assert "App" == connect().get_item("App", "My Vault").title


def test_what_is_missing(connect: Connect, vault: Vault) -> None:
    """An unknown name is an empty list, an unknown id is not found."""
    client = connect()
    with pytest.raises(FailedToRetrieveItemException, match="Found 0 items"):
        client.get_item("Other", "My Vault")
    with pytest.raises(FailedToRetrieveItemException, match="Found 0 vaults"):
        client.get_item("App", "Other")
    with pytest.raises(FailedToRetrieveItemException, match=r"404 .* not found"):
        client.get_item_by_id(new_id(), vault.id)
    with pytest.raises(FailedToRetrieveVaultException, match=r"404 .* not found"):
        client.get_vault(new_id())


def test_ids_have_a_form(connect: Connect, vault: Vault) -> None:
    """What cannot be an id is refused as such."""
    with pytest.raises(FailedToRetrieveVaultException, match=r"400 .*Invalid Vault UUID"):
        connect().get_vault("My Vault")
    with pytest.raises(FailedToRetrieveItemException, match=r"400 .*Invalid Item UUID"):
        connect().get_item_by_id("App", vault.id)


def test_a_vault_that_was_not_given(connect: Connect, vault: Vault) -> None:
    """It is not listed, and by its id it is out of scope."""
    vault.granted = False
    assert [] == connect().get_vaults()
    with pytest.raises(FailedToRetrieveVaultException, match=r"403 .*not in scope"):
        connect().get_vault(vault.id)


def test_two_of_a_name(connect: Connect, vault: Vault) -> None:
    """A title need not be unique, and then names no item."""
    vault.add("App", [])
    with pytest.raises(FailedToRetrieveItemException, match="Found 2 items"):
        connect().get_item("App", "My Vault")


def test_a_filter_with_a_quote(connect: Connect, fake: FakeConnect, vault: Vault) -> None:
    """The client does not escape a quote, and the filter is refused."""
    vault.add('the "app"', [])
    with pytest.raises(FailedToRetrieveItemException, match=r"400 .*Invalid filter"):
        connect().get_item('the "app"', "My Vault")
    (found,) = connect().get_items(vault.id, r'title eq "the \"app\""')
    assert 'the "app"' == found.title
    fake.knows_escapes = False
    with pytest.raises(FailedToRetrieveItemException, match=r"400 .*Invalid filter"):
        connect().get_items(vault.id, r'title eq "the \"app\""')
