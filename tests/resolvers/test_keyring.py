"""Secrets in the keyring of the operating system: a file's, and a real Secret Service's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

import keyring as library
import pytest
from keyring.backends import SecretService, chainer, fail, kwallet, libsecret, null
from keyring.errors import InitError, KeyringError, KeyringLocked, NoKeyringError
from keyrings.alt.file import EncryptedKeyring, PlaintextKeyring

from tests.fleet.fixtures import required
from tests.fleet.process import ROOT, find_program
from tests.resolvers.places.keyring import FILE, keyring
from webhook_storage.contracts import Deadline, Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite, canary, find_leaks
from webhook_storage_resolvers.keyring import KeyringResolver

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

NO_KEYRING = (
    "no keyring is there: start one in the session, such as gnome-keyring,"
    " or name one in PYTHON_KEYRING_BACKEND"
)
LATE = Unavailable("the keyring did not answer in time, it may wait for somebody to unlock it")
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"


class TestKeyringSuite(ResolverSuite):
    """What every resolver promises."""

    @pytest.fixture
    def case(self, place: ResolverCase) -> ResolverCase:
        """Use a file."""
        return place


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
    """Make a file the keyring of this process."""
    with keyring(tmp_path, monkeypatch) as case:
        yield case


@pytest.fixture
def flows() -> KeyringResolver:
    """Return a resolver for the service, where user ``TOKEN`` has a password."""
    library.set_password("flows", "TOKEN", "value")
    return KeyringResolver(service="flows")


def ask(resolver: KeyringResolver, name: str = "TOKEN", **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "keyring", **parts)
    return resolver.resolve([reference], Deadline(10))[reference]


def bare(resolver: KeyringResolver, name: str) -> Outcome:
    """Ask for a bare name."""
    return resolver.resolve([Reference(name)], Deadline(10))[Reference(name)]


def found(value: str) -> Found:
    """Return the outcome for a password."""
    return Found(value=SecretValue(value))


def new(kind: Any) -> KeyringBackend:
    """Return a backend; not all of the library's classes have types."""
    return cast("KeyringBackend", kind())


def use(backend: KeyringBackend) -> KeyringBackend:
    """Make a backend the keyring of this process, until the test ends."""
    library.set_keyring(backend)
    return backend


# --- what is found ---


def test_the_library_is_not_this_module() -> None:
    """The module of the same name imports the library, and is not imported by it."""
    module = sys.modules[KeyringResolver.__module__]
    assert "webhook_storage_resolvers.keyring" == module.__name__
    assert library.get_password("flows", "deploy")


def test_a_reference_is_a_user_name(flows: KeyringResolver) -> None:
    """All of it, slashes and spaces too, in the service that is configured."""
    library.set_password("flows", "https://host/me and you", "other")
    library.set_password("host", "me", "not this")
    assert [found("value"), found("other"), NotFound()] == [
        ask(flows, "TOKEN"),
        ask(flows, "https://host/me and you"),
        ask(flows, "host/me"),
    ]


def test_services_are_apart(flows: KeyringResolver) -> None:
    """A user's password for another service is not there."""
    assert NotFound() == ask(KeyringResolver(service="ci"))
    library.set_password("ci", "TOKEN", "another")
    assert [found("another"), found("value")] == [ask(KeyringResolver(service="ci")), ask(flows)]


@pytest.mark.parametrize(
    ("names", "user", "password"),
    [
        ("{name}", "TOKEN", "v"),
        ("app.{name}", "app.TOKEN", "v"),
        ("app#{name}", "app", '{"TOKEN": "v"}'),
    ],
)
def test_places_of_bare_names(names: str, user: str, password: str) -> None:
    """A bare name is a user name, with something around it, or a field of one password."""
    library.set_password("flows", user, password)
    resolver = KeyringResolver(service="flows", names=names)
    assert found("v") == bare(resolver, "TOKEN")
    assert isinstance(bare(resolver, "OTHER"), NotFound)


def test_bare_names_can_be_left_to_others(flows: KeyringResolver) -> None:
    """Without a place for bare names they are not found."""
    assert isinstance(bare(KeyringResolver(service="flows", names=None), "TOKEN"), NotFound)


@pytest.mark.parametrize("name", ["", "nul\0", "line\nbreak"])
def test_odd_user_names_are_invalid(flows: KeyringResolver, name: str) -> None:
    """A user name is something that one can read."""
    assert Invalid("a user name is printable characters, at least one") == ask(flows, name)


def test_there_are_no_options(flows: KeyringResolver) -> None:
    """A keyring has no versions."""
    outcome = ask(flows, options=(("version", "1"),))
    assert Invalid('has no option "version", it takes none') == outcome


# --- backends ---


def test_only_backends_on_the_list_are_asked(flows: KeyringResolver) -> None:
    """A plug-in that took the keyring's place is not asked, and is named."""
    assert found("value") == ask(KeyringResolver(service="flows", backends=[FILE]))
    listed = KeyringResolver(service="flows", backends=[SECRET_SERVICE])
    told = f"the keyring here is {FILE}, which `backends` does not list"
    assert (Unavailable(told), told) == (ask(listed), listed.health())


@pytest.mark.parametrize("backend", [fail.Keyring, null.Keyring], ids=["fail", "null"])
def test_no_keyring_is_unavailable(flows: KeyringResolver, backend: type[KeyringBackend]) -> None:
    """A machine without a keyring, or with one switched off, does not say "not found"."""
    use(backend())
    assert (Unavailable(NO_KEYRING), NO_KEYRING) == (ask(flows), flows.health())


@pytest.mark.parametrize("name", ["no.such.module.Keyring", "keyring.backends.fail.Typo"])
def test_a_backend_that_cannot_be_loaded(
    flows: KeyringResolver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A wrong name in the environment is told, without the library's words."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
    monkeypatch.setattr(library.core, "_keyring_backend", None)
    outcome = ask(flows)
    assert isinstance(outcome, Unavailable)
    assert outcome.detail.startswith("no keyring can be loaded, ")
    assert outcome.detail.endswith("Error: check PYTHON_KEYRING_BACKEND")
    assert outcome.detail == flows.health()


@pytest.mark.parametrize(
    "backend", [kwallet.DBusKeyring, libsecret.Keyring], ids=["kwallet", "libsecret"]
)
def test_backends_that_open_windows_must_be_listed(
    flows: KeyringResolver, backend: type[KeyringBackend]
) -> None:
    """A keyring that may ask somebody is asked only by those who said so."""
    use(backend())
    name = f"{backend.__module__}.{backend.__qualname__}"
    told = f"{name} may ask somebody: list it in `backends` to allow that"
    assert (Unavailable(told), told) == (ask(flows), flows.health())
    listed = KeyringResolver(service="flows", backends=[name])
    assert Unavailable(f"{name} failed, NameError") == ask(listed)  # its library is not installed
    assert listed.health() is None


def test_a_file_with_a_password_asks_nobody_for_it(flows: KeyringResolver) -> None:
    """Where the password of the file is not set, nobody is asked for it at a terminal."""
    backend = use(EncryptedKeyring.__new__(EncryptedKeyring))
    name = "keyrings.alt.file.EncryptedKeyring"
    told = f"{name} is locked: set KEYRING_PROPERTY_KEYRING_KEY"
    assert (Unavailable(told), told) == (ask(flows), flows.health())
    vars(backend)["keyring_key"] = "set"
    assert flows.health() is None


def test_a_session_without_a_bus(flows: KeyringResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a session bus there is no Secret Service."""
    for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    use(new(SecretService.Keyring))
    told = f"{SECRET_SERVICE} cannot be reached: is DBUS_SESSION_BUS_ADDRESS set?"
    assert (Unavailable(told), told) == (ask(flows), flows.health())


class _Plain:
    """A backend of somebody else's; not derived from the library's, which would enlist it."""

    def __init__(self, get_password: Callable[[str, str], Any]) -> None:
        self.get_password = get_password


@pytest.fixture
def use_function(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, str], Any]], None]:
    """Return what makes a function the keyring of this process."""

    def replace(get_password: Callable[[str, str], Any]) -> None:
        backend = cast("KeyringBackend", _Plain(get_password))
        monkeypatch.setattr(library.core, "_keyring_backend", backend)

    return replace


UseFunction = Callable[[Callable[[str, str], Any]], None]
PLAIN = f"{_Plain.__module__}.{_Plain.__qualname__}"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (
            KeyringLocked("s3cret"),
            Unavailable(f"{PLAIN} is locked: log in at the desktop, or unlock it beforehand"),
        ),
        (
            InitError("s3cret"),
            Unavailable(f"{PLAIN} cannot be reached: is DBUS_SESSION_BUS_ADDRESS set?"),
        ),
        (NoKeyringError("s3cret"), Unavailable(NO_KEYRING)),
        (KeyringError("s3cret"), Unavailable(f"{PLAIN} failed, KeyringError")),
        (OSError("s3cret"), Unavailable(f"{PLAIN} failed, OSError")),
        (UnicodeDecodeError("utf-8", b"s3cret", 0, 1, "x"), Invalid("the secret is not UTF-8")),
    ],
)
def test_errors_and_their_meaning(
    flows: KeyringResolver, use_function: UseFunction, error: Exception, outcome: Outcome
) -> None:
    """Whatever a backend raises is an outcome, with nothing of its words."""

    def get_password(service: str, user: str) -> str:
        raise error

    use_function(get_password)
    assert outcome == ask(flows)


def test_what_is_no_text_is_no_secret(flows: KeyringResolver, use_function: UseFunction) -> None:
    """A plug-in that gives bytes is at fault, and says nothing."""
    use_function(lambda service, user: b"s3cret")
    assert Unavailable(f"{PLAIN} gave something that is no text") == ask(flows)


def test_a_keyring_that_is_locked_is_asked_once(
    flows: KeyringResolver, use_function: UseFunction
) -> None:
    """After one failure the rest is not asked for; what was found before stays found."""
    users = []

    def get_password(service: str, user: str) -> str:
        users.append(user)
        if user != "first":
            raise KeyringLocked
        return "value"

    use_function(get_password)
    wanted = [Reference(name, "keyring") for name in ("first", "second", "third", "first")]
    outcomes = flows.resolve(wanted, Deadline(10))
    assert [Found, Unavailable, Unavailable] == [type(outcome) for outcome in outcomes.values()]
    assert ["first", "second"] == users


# --- several backends ---


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what makes a chain of backends the keyring of this process."""

    def replace(*backends: object) -> None:
        monkeypatch.setattr(chainer.ChainerBackend, "backends", list(backends))
        monkeypatch.setattr(library.core, "_keyring_backend", new(chainer.ChainerBackend))

    return replace


def test_a_chain_goes_on_after_not_found(
    flows: KeyringResolver, chain: Callable[..., None]
) -> None:
    """The first backend that has a password gives it."""
    chain(_Plain(lambda service, user: "one" if user == "a" else None), PlaintextKeyring())
    assert [found("one"), found("value"), NotFound()] == [
        ask(flows, "a"),
        ask(flows, "TOKEN"),
        ask(flows, "nobody"),
    ]
    assert flows.health() is None


def test_a_chain_stops_at_trouble(flows: KeyringResolver, chain: Callable[..., None]) -> None:
    """A backend that is locked may have it, so the next one's password is not taken for it."""

    def get_password(service: str, user: str) -> str:
        raise KeyringLocked

    chain(_Plain(get_password), PlaintextKeyring())
    assert isinstance(ask(flows), Unavailable)
    listed = KeyringResolver(service="flows", backends=[FILE])
    assert found("value") == ask(listed)


def test_a_chain_without_any_that_is_listed(chain: Callable[..., None]) -> None:
    """All that are there are named."""
    chain(_Plain(lambda service, user: "one"), new(fail.Keyring), PlaintextKeyring())
    listed = KeyringResolver(service="flows", backends=[SECRET_SERVICE])
    told = f"the keyring here is {PLAIN} and {FILE}, which `backends` does not list"
    assert Unavailable(told) == ask(listed)


# --- time ---


def test_a_keyring_that_hangs_is_given_up(
    flows: KeyringResolver, use_function: UseFunction
) -> None:
    """Nobody waits for a window longer than the deadline, and only one thread does at all."""
    gate, users = threading.Event(), []

    def get_password(service: str, user: str) -> str:
        users.append(user)
        if user == "hangs":
            gate.wait(20)
        return "value"

    use_function(get_password)
    wanted = [Reference(name, "keyring") for name in ("first", "hangs", "third")]
    outcomes = list(flows.resolve(wanted, Deadline(0.2)).values())
    assert [found("value"), LATE, LATE] == outcomes
    assert [LATE] == list(flows.resolve(wanted[:1], Deadline(0.05)).values())
    assert ["first", "hangs"] == users
    gate.set()
    assert found("value") == ask(flows, "first")


def test_no_time_no_question(flows: KeyringResolver, use_function: UseFunction) -> None:
    """After the deadline nobody is asked."""
    users: list[str] = []
    use_function(lambda service, user: users.append(user))
    reference = Reference("TOKEN", "keyring")
    outcomes = flows.resolve([reference], Deadline(0))
    assert {reference: Unavailable("there was no time left to ask")} == outcomes
    assert [] == users


# --- configuration ---


@pytest.mark.parametrize(
    ("options", "path"),
    [({"service": ""}, "service"), ({"service": "flows", "names": "flows"}, "names")],
)
def test_what_can_never_work_is_refused(options: dict[str, Any], path: str) -> None:
    """A wrong setting is refused at once, and named."""
    with pytest.raises(ConfigurationError) as caught:
        KeyringResolver(**options)
    assert path == caught.value.path


def test_missing_library_names_the_extra(
    flows: KeyringResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without keyring the outcome says what to install."""
    monkeypatch.setitem(sys.modules, "webhook_storage_resolvers.keyring.backends", None)
    told = (
        "the keyring needs the library keyring, which is not installed:"
        " pip install 'webhook-storage[keyring]'"
    )
    assert (Unavailable(told), told) == (ask(flows), flows.health())


# --- a real Secret Service ---


@pytest.fixture(scope="module")
def session() -> dict[str, Any]:
    """Go through the states of gnome-keyring in a D-Bus session without a display."""
    with required():
        for program in ("gnome-keyring-daemon", "secret-tool"):
            find_program(program, "gnome-keyring and libsecret-tools")
        bus = find_program("dbus-run-session", "dbus-daemon")
    value = canary()
    # Short, since sockets lie in there.
    with tempfile.TemporaryDirectory(prefix="keyring-") as home:
        foreign = ("DBUS_", "DISPLAY", "KEYRING_", "PYTHON_KEYRING_", "WAYLAND_", "XDG_")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
        places = {
            f"XDG_{name}": home
            for name in ("CACHE_HOME", "CONFIG_HOME", "DATA_HOME", "RUNTIME_DIR")
        }
        told = Path(home, "said.json")
        own = {"HOME": home, "KEYRING_VALUE": value, "KEYRING_SAID": str(told)}
        done = subprocess.run(
            [bus, "--", sys.executable, Path(__file__).with_name("keyring_session.py")],
            env={**kept, **places, **own, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert 0 == done.returncode, done.stderr[-2000:]
        text = told.read_text("utf-8")
    assert [] == find_leaks(done.stdout + done.stderr + text, value)
    said: dict[str, Any] = json.loads(text)
    return said


LOCKED = f"{SECRET_SERVICE} is locked: log in at the desktop, or unlock it beforehand"
NO_COLLECTION = f"{SECRET_SERVICE} has no default collection: make one, it is not done from here"


@pytest.mark.parametrize(
    ("state", "told"),
    [("fresh", NO_COLLECTION), ("locked", LOCKED), ("locked, chosen", LOCKED)],
)
def test_a_locked_service_opens_no_window(session: dict[str, Any], state: str, told: str) -> None:
    """What is locked, or not there yet, is unavailable, and nobody is asked to change that."""
    outcome = repr(Unavailable(told))
    assert session[state] == {
        "deploy": outcome,
        "nobody": outcome,
        "right": False,
        "health": told,
        "windows": [],
        "left": [],
    }


@pytest.mark.parametrize("state", ["unlocked", "unlocked, chosen"])
def test_an_open_service_is_read(session: dict[str, Any], state: str) -> None:
    """What another program stored is found, and what nobody stored is not."""
    assert session[state] == {
        "deploy": repr(found("any")),
        "nobody": repr(NotFound()),
        "right": True,
        "health": None,
        "windows": [],
        "left": [],
    }


@pytest.mark.parametrize(
    ("state", "windows"),
    [
        ("fresh, without care", ["CreateCollection", "Prompt"]),
        ("locked, without care", ["Prompt", "Unlock"]),
    ],
)
def test_the_library_alone_opens_windows(
    session: dict[str, Any], state: str, windows: list[str]
) -> None:
    """Windows are noticed when somebody does want to open one, as the library does by itself."""
    assert windows == session[state]["windows"]


def test_no_thread_to_ask_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without threads is told so, and asks again when there are some."""
    reference = Reference("nobody", "keyring")
    resolver = KeyringResolver(service="flows")

    def refuse(thread: Thread) -> None:
        raise RuntimeError(thread.name)

    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", refuse)
        told = resolver.resolve([reference], Deadline(5))[reference]
    assert Unavailable("no thread could be started") == told
    assert told != resolver.resolve([reference], Deadline(5))[reference]
