"""Ask a real Secret Service by secret-tool, in a D-Bus session of its own.

A program for `test_command`, to be started under ``dbus-run-session``. It gets the password to
store, and a file for what comes of it: the service itself may print.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]
from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

from webhook_storage.contracts import Deadline, Found
from webhook_storage.template import Reference
from webhook_storage_resolvers.command import CommandResolver

_PATIENCE = 30.0


def start() -> None:
    """Start the service with an open collection, and wait until it is on the bus.

    Whoever asks before that makes the bus start a second one, which has no collection.
    """
    daemon = ["gnome-keyring-daemon", "--unlock", "--components=secrets"]
    subprocess.run(daemon, input=b"password", check=True, stdout=subprocess.DEVNULL)
    patience = Deadline(_PATIENCE)
    with closing(open_dbus_connection()) as bus:
        question = message_bus.NameHasOwner("org.freedesktop.secrets")
        while bus.send_and_get_reply(question).body != (True,):
            if not patience.remaining():
                sys.exit("the keyring did not come up")
            time.sleep(0.01)


def main(value: str, result: str) -> None:
    """Store the password, and write down what a resolver says of it and of another one."""
    start()
    item = ["service", "flows", "username", "deploy"]
    command = ["secret-tool", "store", "--label=A password", *item]
    subprocess.run(command, input=value, text=True, check=True)
    references = [Reference("flows/deploy", "command"), Reference("flows/nobody", "command")]
    outcomes = CommandResolver(preset="secret-tool").resolve(references, Deadline(_PATIENCE))
    said = [
        outcome.value.reveal() if isinstance(outcome, Found) else repr(outcome)
        for outcome in map(outcomes.__getitem__, references)
    ]
    Path(result).write_text("\n".join(said), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
