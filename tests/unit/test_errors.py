from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import TYPE_CHECKING, Any

import pytest

from webhook_storage import errors
from webhook_storage.errors import ConfigurationError, MissingExtraError, WebhookStorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES: dict[str, Any] = {
    "message": "it is wrong",
    "hint": "do this",
    "path": "build_request_kwargs.url",
    "position": 7,
    "extra": "vault",
    "names": ("TOKEN", "vault:a#b"),
    "status": 418,
    "attempts": 3,
    "keys": ("a", "b"),
    "failed": 2,
    "code": 13,
}


def family(
    root: type[WebhookStorageError] = WebhookStorageError,
) -> Iterator[type[WebhookStorageError]]:
    """Yield all error classes of the module, depth first."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from family(child)


def sample(kind: type[WebhookStorageError]) -> WebhookStorageError:
    """Make an error with every argument that it takes."""
    arguments = {name: SAMPLES[name] for name in inspect.signature(kind).parameters}
    return kind(arguments.pop("message"), **arguments)


def described(error: WebhookStorageError) -> list[object]:
    """Return all that an error says, the number of an `OSError` among it."""
    number = getattr(error, "errno", None)
    return [type(error), str(error), error.args, vars(error), number]


ALL = list(family())


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(kind: type[WebhookStorageError], protocol: int) -> None:
    """A worker can send every error home with all its attributes."""
    error = sample(kind)
    back = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own
    assert described(error) == described(back)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_survives_copying(kind: type[WebhookStorageError]) -> None:
    """A deep copy says the same and keeps the advice."""
    error = sample(kind)
    back = copy.deepcopy(error)
    assert described(error) == described(back)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_arguments(kind: type[WebhookStorageError]) -> None:
    """What an error was made with can be read from it."""
    error = sample(kind)
    given = {
        name: SAMPLES[name] for name in inspect.signature(kind).parameters if name != "message"
    }
    assert given == {name: getattr(error, name) for name in given}
    assert SAMPLES["message"] in str(error)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_needs_a_message_only(kind: type[WebhookStorageError]) -> None:
    """Everything but the message has a default, and the message is the text."""
    assert str(kind("it is wrong")) == "it is wrong"


def test_the_retryable_errors_are_those_that_pass_by_themselves() -> None:
    """Only what may succeed unchanged later says that it is retryable."""
    expected = {
        "SecretUnavailableError", "TransportError", "ConnectError", "TimedOutError",
        "ProtocolError", "RateLimitedError", "ServerError",
    }  # fmt: skip
    assert expected == {kind.__name__ for kind in ALL if kind.retryable}


def test_a_place_stands_before_the_message() -> None:
    """A configuration error says where in the definition it is."""
    assert str(ConfigurationError("no such field", path="flows.x")) == "flows.x: no such field"


def test_a_missing_extra_says_what_to_install() -> None:
    """The advice of a missing extra is the command that brings it."""
    assert (
        MissingExtraError("no hvac", extra="vault").hint == "pip install 'webhook-storage[vault]'"
    )


# --- the diagram in the module's docstring --------------------------------------------------------


LINE = re.compile(r"    ((?:[│ ]   )*(?:[├└]── )?)(\w+)(?: \(([\w, ]+)\))?(.*)")


def diagram() -> Iterator[tuple[str, str | None, frozenset[str], frozenset[str]]]:
    """Yield name, parent, builtin bases and attributes of each line of the diagram."""
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = LINE.fullmatch(line)
        if not found:
            continue
        indent, name, builtins, rest = found.groups()
        above[len(indent) // 4 :] = [name]
        parent = above[-2] if len(above) > 1 else None
        attributes = frozenset(re.findall(r"\.(\w+)", rest))
        yield name, parent, frozenset(re.split(r", ", builtins) if builtins else ()), attributes


def drawn(
    kind: type[WebhookStorageError],
) -> tuple[str, str | None, frozenset[str], frozenset[str]]:
    """Return what the diagram has to say of a class."""
    ours = [base for base in kind.__bases__ if issubclass(base, WebhookStorageError)]
    foreign = {base.__name__ for base in kind.__bases__ if base not in ours} - {"Exception"}
    inherited = set(vars(ours[0]("x"))) if ours else set()
    attributes = set(vars(kind("x"))) - inherited
    if not ours:
        attributes.add("retryable")
    parent = ours[0].__name__ if ours else None
    return kind.__name__, parent, frozenset(foreign), frozenset(attributes)


def test_the_diagram_shows_the_classes() -> None:
    """The tree in the documentation is the tree of the classes, with bases and attributes."""
    assert set(map(drawn, ALL)) == set(diagram())


def test_the_diagram_says_what_is_retryable() -> None:
    """A line that says retryable, or not, is right about its class."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if "retryable" in line]
    said = {
        (LINE.fullmatch(line) or pytest.fail(line))[2]: "not retryable" not in line
        for line in lines
        if ".retryable" not in line
    }
    assert said
    assert said == {name: getattr(errors, name).retryable for name in said}
