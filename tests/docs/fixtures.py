"""The services that the documents talk to, and the environment that their readers have."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from azure.storage.blob import ContainerClient

from tests.fakes.dropbox import FakeDropbox
from tests.fakes.files import FileService
from tests.fakes.gcs import FakeGcs
from tests.fakes.vault import FakeVault
from tests.rerouting import DROPBOX_ORIGINS, ReroutingTransport
from tests.resolvers.places import PLACES
from webhook_storage import Sender, sender, tries
from webhook_storage.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.azurite import Azurite
    from tests.fleet.moto import Moto

S3_REGION = "us-east-1"


@pytest.fixture(scope="module")
def documented_services(
    document_environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Run one document against stand-ins for its services, with credentials in the environment.

    ``files.example.com`` takes the bearer token in ``TOKEN``, Dropbox the one in
    ``DBOX_OAUTH2_TOKEN``. At ``SHELF_URL`` runs the file server of the command line, with the
    password ``SHELF_PASSWORD``. Vault, to which ``VAULT_ADDR`` and ``VAULT_TOKEN`` lead, has the
    secret ``secret/flows``.
    """
    with ExitStack() as stack:
        files = stack.enter_context(FileService(token="of-the-reader"))
        dropbox = stack.enter_context(FakeDropbox())
        vault = stack.enter_context(FakeVault())
        shelf = stack.enter_context(Server(tmp_path_factory.mktemp("shelf")))
        vault.put("secret/flows", {"TOKEN": "of-the-reader", "colour": "green"})
        environment = {
            "TOKEN": "of-the-reader",
            "DBOX_OAUTH2_TOKEN": dropbox.token,
            "SHELF_URL": shelf.url,
            "SHELF_PASSWORD": shelf.password,
            "VAULT_ADDR": vault.url,
            "VAULT_TOKEN": vault.token,
        }
        stack.enter_context(patch.dict(os.environ, environment))
        routes = {"https://files.example.com": files.url, shelf.url: shelf.url}
        routes |= dict.fromkeys(DROPBOX_ORIGINS, dropbox.url)
        stack.callback(setattr, sender, "_installed", sender._installed)
        stack.callback(tries.log.setLevel, tries.log.level)
        installed = Sender(transport=ReroutingTransport(routes)).install()
        stack.callback(installed.close)
        yield routes


@pytest.fixture(scope="module")
def documented_clouds(
    documented_services: dict[str, str],
    moto: Moto,
    azurite: Azurite,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Run one document beside three clouds, of which each has a bucket or container ``flows``.

    Amazon's S3, Google's Cloud Storage and Azure's Blob Storage, with the credentials in those
    variables of the environment where the vendors' own tools look for them.
    """
    directory = tmp_path_factory.mktemp("clouds")
    moto.client("s3", region=S3_REGION).create_bucket(Bucket="flows")
    with (
        FakeGcs("flows") as gcs,
        ContainerClient.from_connection_string(azurite.connection_string, "flows") as container,
    ):
        container.create_container()
        key = gcs.write_key(directory / "key.json", gcs.add_account("flows"))
        environment = {
            "AWS_ACCESS_KEY_ID": moto.user.id,
            "AWS_SECRET_ACCESS_KEY": moto.user.secret,
            "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string,
            "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        }
        documented_services |= {
            f"https://flows.s3.{S3_REGION}.amazonaws.com": moto.url,
            "https://storage.googleapis.com": gcs.url,
            azurite.origin: azurite.origin,
        }
        with patch.dict(os.environ, environment):
            yield


@pytest.fixture(scope="module")
def documented_stores(
    document_environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Run the page about stores with all of them there, and credentials in the environment."""
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        # All in one directory, since a process is in one only.
        directory = tmp_path_factory.mktemp("stores")
        for name in PLACES:
            start = getattr(import_module(f"tests.resolvers.places.{name}"), name)
            stack.enter_context(start(directory, environment))
        yield
