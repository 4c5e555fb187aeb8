"""The services that the documents talk to, and the environment that their readers have."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from tests.docs.rerouting import ReroutingTransport
from tests.fakes.dropbox import FakeDropbox
from tests.fakes.files import FileService
from tests.fakes.vault import FakeVault
from webhook_storage import Sender, sender

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def documented_services(document_environment: None) -> Iterator[None]:
    """Run one document against stand-ins for its services, with credentials in the environment.

    ``files.example.com`` takes the bearer token in ``TOKEN``, Dropbox the one in
    ``DBOX_OAUTH2_TOKEN``, and Vault, to which ``VAULT_ADDR`` and ``VAULT_TOKEN`` lead, has the
    secret ``secret/flows``.
    """
    with ExitStack() as stack:
        files = stack.enter_context(FileService(token="of-the-reader"))
        dropbox = stack.enter_context(FakeDropbox())
        vault = stack.enter_context(FakeVault())
        vault.put("secret/flows", {"TOKEN": "of-the-reader", "colour": "green"})
        environment = {
            "TOKEN": "of-the-reader",
            "DBOX_OAUTH2_TOKEN": dropbox.token,
            "VAULT_ADDR": vault.url,
            "VAULT_TOKEN": vault.token,
        }
        stack.enter_context(patch.dict(os.environ, environment))
        origins = {
            "https://files.example.com": files.url,
            "https://content.dropboxapi.com": dropbox.url,
            "https://api.dropboxapi.com": dropbox.url,
        }
        stack.callback(setattr, sender, "_installed", sender._installed)
        installed = Sender(transport=ReroutingTransport(origins)).install()
        stack.callback(installed.close)
        yield
