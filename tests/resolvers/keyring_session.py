"""Ask a real Secret Service, in a D-Bus session of its own, and say what came of it.

A program for `test_keyring`, to be started under ``dbus-run-session``. The password is in
``KEYRING_VALUE``. It writes one JSON object to the file ``KEYRING_SAID``, since the service prints
what it likes: for each state of the service the outcomes, which questions the service was asked
that open a window, and which connections were left open.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keyring
import secretstorage
from jeepney import (  # type: ignore[import-untyped]
    DBusAddress,
    HeaderFields,
    MessageType,
    new_method_call,
)
from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]
from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

from webhook_storage.contracts import Deadline, Found
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage_resolvers.keyring import KeyringResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VALUE = os.environ["KEYRING_VALUE"]
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"
OPEN_WINDOWS = {"CreateCollection", "Prompt", "Unlock"}
_MONITOR = DBusAddress(
    "/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus.Monitoring"
)


@dataclass
class Heard:
    """What was asked on the bus.

    Attributes:
        members: Names of the methods that were called, in order.
    """

    members: list[str] = field(default_factory=list)

    @property
    def windows(self) -> list[str]:
        """The methods among them that open a window, each once."""
        return sorted(OPEN_WINDOWS.intersection(self.members))


@contextmanager
def listening() -> Iterator[Heard]:
    """Hear every method that is called on the bus meanwhile."""
    heard = Heard()
    with closing(open_dbus_connection()) as ear, closing(open_dbus_connection()) as mouth:
        ear.send_and_get_reply(
            new_method_call(_MONITOR, "BecomeMonitor", "asu", (["type='method_call'"], 0))
        )
        yield heard
        # The bus keeps the order, so what was called before this is heard before it.
        mouth.send_and_get_reply(message_bus.NameHasOwner("the.end"))
        while True:
            message = ear.receive(timeout=20)
            if message.header.message_type is MessageType.method_call:
                heard.members.append(message.header.fields[HeaderFields.member])
                if message.body == ("the.end",):
                    return


def asked(resolver: KeyringResolver) -> dict[str, Any]:
    """Return what a resolver says of a password that is there and of one that is not."""
    names = ("deploy", "nobody")
    references = [Reference(name, "keyring") for name in names]
    with listening() as heard, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        outcomes = resolver.resolve(references, Deadline(20))
        health = resolver.health()
    said = {name: repr(outcomes[each]) for name, each in zip(names, references, strict=True)}
    deploy = outcomes[references[0]]
    right = isinstance(deploy, Found) and deploy.value == SecretValue(VALUE)
    left = [str(warning.message) for warning in warned]
    return {**said, "right": right, "health": health, "windows": heard.windows, "left": left}


def without_care() -> dict[str, Any]:
    """Return which windows the library alone wants to open."""
    error = None
    with listening() as heard:
        try:
            keyring.core.load_keyring(SECRET_SERVICE).get_password("flows", "deploy")
        except keyring.errors.KeyringError as caught:
            error = type(caught).__name__
    gc.collect()  # the connections that it left open are not to be laid at our door
    return {"error": error, "windows": heard.windows}


def run(*command: str, stdin: str = "") -> None:
    """Run a program to its end."""
    subprocess.run(command, input=stdin, text=True, check=True, timeout=30, stdout=sys.stderr)


def unlock() -> None:
    """Replace the service by one that has a collection, and open that; then store the password."""
    run("gnome-keyring-daemon", "--replace", "--unlock", "--components=secrets", stdin="password")
    item = ("service", "flows", "username", "deploy")
    run("secret-tool", "store", "--label=A password", *item, stdin=VALUE)


def lock() -> None:
    """Lock the collection, as a desktop does when its user leaves."""
    with closing(secretstorage.dbus_init()) as connection:
        secretstorage.Collection(connection).lock()


def nothing() -> None:
    """Leave things as they are."""


def main() -> None:
    """Go through all states."""
    chosen = KeyringResolver(service="flows")
    named = KeyringResolver(service="flows", backends=[SECRET_SERVICE])
    steps: dict[str, tuple[Callable[[], None], Callable[[], dict[str, Any]]]] = {
        "fresh": (nothing, lambda: asked(named)),
        "fresh, without care": (nothing, without_care),
        "unlocked": (unlock, lambda: asked(named)),
        "unlocked, chosen": (nothing, lambda: asked(chosen)),
        "locked": (lock, lambda: asked(named)),
        "locked, chosen": (nothing, lambda: asked(chosen)),
        "locked, without care": (nothing, without_care),
    }
    said = {}
    for name, (prepare, question) in steps.items():
        prepare()
        said[name] = question()
    Path(os.environ["KEYRING_SAID"]).write_text(json.dumps(said), "utf-8")


if __name__ == "__main__":
    main()
