"""Stores and fetches in processes that may be killed: child.py reads orders, one JSON a line.

It answers each with two lines: the number of the process that does it, and how that one ended.
The processes are forks, which are there at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Any

from tests.sending.parted import SwiftSegments
from webhook_storage import RetryPolicy, Sender, Storage, Webhook
from webhook_storage.errors import ConnectError, WebhookStorageError
from webhook_storage.transport.httpx import HttpxTransport
from webhook_storage_resolvers.mapping import MappingResolver

COMMON = ("type", "version")


def main() -> None:
    """Do what is ordered until there are no more orders."""
    warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            with contextlib.suppress(WebhookStorageError):
                carry_out(**order)
                os._exit(0)
            os._exit(1)
        print(pid, flush=True)  # noqa: T201 - that is the answer
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201


def warm_up() -> None:
    """Import all that is wanted, which each fork would else do for itself."""
    nobody = {"url": "http://127.0.0.1:1/"}
    storage = Webhook(nobody, "PUT", nobody, "GET").to_json()
    for operation, arguments in (("put", [__file__]), ("download", [os.devnull + "x"])):
        with contextlib.suppress(ConnectError):
            carry_out(storage, {}, operation, arguments)


def carry_out(
    storage: str,
    secrets: dict[str, str],
    operation: str,
    arguments: list[str],
    dies_at: str = "",
    options: dict[str, str] | None = None,
) -> None:
    """Carry an operation out.

    Args:
        storage: Its definition.
        secrets: What its placeholders stand for.
        operation: Which one.
        arguments: Of the operation.
        options: Of the operation, by name.
        dies_at: The function of the system at which this process is killed, or empty.
    """
    if dies_at:
        setattr(os, dies_at, die)
    policy = RetryPolicy(attempts=1)
    resolvers = [MappingResolver(secrets)]
    with Sender(secrets=resolvers, transport=HttpxTransport(), retry=policy):
        getattr(made(storage), operation)(*arguments, **(options or {}))


def made(text: str) -> Storage:
    """Return the storage of a definition; that of the tests is no preset that could be found."""
    fields = json.loads(text)
    if fields["type"] == "Webhook":
        return Webhook.from_json(text)
    return SwiftSegments(**{name: fields[name] for name in fields if name not in COMMON})


def die(*_: Any) -> None:
    """End as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
