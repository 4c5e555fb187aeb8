"""The first request of a process, which loads libraries, is as silent as all others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.leaks.canary import SECRETS, find
from tests.leaks.events import echo
from tests.sending.raw import RawServer

PROGRAM = """
import asyncio, logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
import webhook_storage as ws
from webhook_storage.errors import WebhookStorageError
fetch = {"url": sys.argv[1] + "/f", "headers": {"X-A": "${MIXED}", "X-B": "${PLAIN}"}}
storage = ws.Webhook(fetch, "PUT", fetch, "GET")
try:
    asyncio.run(storage.aget()) if sys.argv[2] == "async" else storage.get()
except WebhookStorageError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_first_request_of_a_process(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """With every logger at DEBUG, and a server that sends the secret back, nothing is printed."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with RawServer(echo("401")).serving() as server:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, server.url, way],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert server.calls
    assert "Error" in done.stdout
    assert [] == find(done.stdout + done.stderr)
