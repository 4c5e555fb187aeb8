"""The keyring of the machine, asked without anybody being asked in turn.

Facts: the source of keyring 25.7, SecretStorage 3.5 and keyrings.alt 5. keyring chooses a backend
by ``PYTHON_KEYRING_BACKEND``, its configuration file, or by what is there; one more plug-in is
enough to change that, and a chain of several outranks each of them. Its backend for the Secret
Service unlocks what is locked, and makes a collection where there is none; either opens a window
and waits for somebody. Here a collection is taken as it is.

Importing this module imports keyring.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import keyring
from keyring.backends import chainer, fail, null
from keyring.errors import InitError, KeyringLocked, NoKeyringError

from webhook_storage.contracts import Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from keyring.backend import KeyringBackend

_SECRET_SERVICE = "keyring.backends.SecretService.Keyring"  # noqa: S105 - the name of a class
_ASK_SOMEBODY = ("keyring.backends.kwallet.DBusKeyring", "keyring.backends.libsecret.Keyring")
_NO_KEYRING = (
    "no keyring is there: start one in the session, such as gnome-keyring,"
    " or name one in PYTHON_KEYRING_BACKEND"
)


def choose(allowed: Collection[str] | None) -> list[KeyringBackend] | Unavailable:
    """Return the backends to ask, in order, or why there is none.

    Args:
        allowed: Names of the classes that may be asked; None for whatever keyring chooses.
    """
    try:
        chosen = keyring.get_keyring()
        there = [chosen]
        if isinstance(chosen, chainer.ChainerBackend):
            there = list(chosen.backends)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
        why = type(error).__name__
        return Unavailable(f"no keyring can be loaded, {why}: check PYTHON_KEYRING_BACKEND")
    there = [each for each in there if not isinstance(each, fail.Keyring | null.Keyring)]
    if not there:
        return Unavailable(_NO_KEYRING)
    asked = [each for each in there if allowed is None or _name(each) in allowed]
    names = " and ".join(map(_name, there))
    return asked or Unavailable(f"the keyring here is {names}, which `backends` does not list")


def read(backends: Sequence[KeyringBackend], service: str, user: str, *, named: bool) -> Outcome:
    """Return what the first backend says that has such a password.

    Args:
        backends: Who is asked; one that cannot say stops the search.
        service: The first half of a password's name.
        user: The second half.
        named: Whether they were allowed by name.
    """
    for backend in backends:
        outcome = _ask(backend, service, user, named=named)
        if not isinstance(outcome, NotFound):
            return outcome
    return NotFound()


def _ask(backend: KeyringBackend, service: str, user: str, *, named: bool) -> Outcome:
    """Return what one backend says."""
    try:
        ready = _quiet(backend, named=named)
        if isinstance(ready, Unavailable):
            return ready
        password = ready.get_password(service, user)
    except UnicodeDecodeError:
        return Invalid("the secret is not UTF-8")
    except Exception as error:  # noqa: BLE001 - its text may hold anything
        return _trouble(backend, error)
    if password is None:
        return NotFound()
    if not isinstance(password, str):
        return Unavailable(f"{_name(backend)} gave something that is no text")
    return Found(value=SecretValue(password))


def ailment(backends: Sequence[KeyringBackend], *, named: bool) -> str | None:
    """Return what keeps the first of these from being asked, None for nothing; reads no secret."""
    for backend in backends:
        try:
            ready = _quiet(backend, named=named)
            if isinstance(ready, Unavailable):
                return ready.detail
            if _is_a(backend, _SECRET_SERVICE):
                _collection(backend).connection.close()
        except Exception as error:  # noqa: BLE001 - only its kind is told
            return _trouble(backend, error).detail
    return None


def _quiet(backend: KeyringBackend, *, named: bool) -> KeyringBackend | Unavailable:
    """Return a backend that asks nobody for a password, or why it cannot be had."""
    if _is_a(backend, *_ASK_SOMEBODY) and not named:
        told = f"{_name(backend)} may ask somebody: list it in `backends` to allow that"
        return Unavailable(told)
    if hasattr(type(backend), "keyring_key") and "keyring_key" not in vars(backend):
        # A file with a password, for which it would ask at the terminal.
        return Unavailable(f"{_name(backend)} is locked: set KEYRING_PROPERTY_KEYRING_KEY")
    if _is_a(backend, _SECRET_SERVICE):
        return backend.with_properties(
            get_preferred_collection=lambda: _collection(backend), unlock=_require_unlocked
        )
    return backend


def _collection(backend: KeyringBackend) -> Any:
    """Return the collection that is there and open, on a connection of its own."""
    import secretstorage  # noqa: PLC0415 - comes with keyring where there is a Secret Service

    with ExitStack() as stack:
        connection = stack.enter_context(closing(secretstorage.dbus_init()))
        path = getattr(backend, "preferred_collection", None)
        collection = secretstorage.Collection(connection, *filter(None, [path]))
        _require_unlocked(collection)
        stack.pop_all()
        return collection


def _require_unlocked(place: Any) -> None:
    """Refuse a collection or an item that is locked."""
    if place.is_locked():
        raise KeyringLocked


def _trouble(backend: KeyringBackend, error: Exception) -> Unavailable:
    """Say why a backend gives nothing, and what to do."""
    if isinstance(error, NoKeyringError):
        return Unavailable(_NO_KEYRING)
    name, why = _name(backend), type(error).__name__
    if isinstance(error, KeyringLocked):
        return Unavailable(f"{name} is locked: log in at the desktop, or unlock it beforehand")
    if why == "ItemNotFoundException":
        return Unavailable(f"{name} has no default collection: make one, it is not done from here")
    if why == "SecretServiceNotAvailableException" or isinstance(error, InitError):
        return Unavailable(f"{name} cannot be reached: is DBUS_SESSION_BUS_ADDRESS set?")
    return Unavailable(f"{name} failed, {why}")


def _is_a(backend: KeyringBackend, *names: str) -> bool:
    """Tell whether a backend's class is one of these or derived from one, importing none."""
    return any(_spell(kind) in names for kind in type(backend).__mro__)


def _name(backend: KeyringBackend) -> str:
    return _spell(type(backend))


def _spell(kind: type) -> str:
    """Return the name of a class, as ``PYTHON_KEYRING_BACKEND`` spells it."""
    return f"{kind.__module__}.{kind.__qualname__}"
