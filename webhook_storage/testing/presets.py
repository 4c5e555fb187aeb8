"""The contract of presets, as a suite of checks that every storage can be held to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from webhook_storage.testing.preset_artifacts import ArtifactPromises
from webhook_storage.testing.preset_checks import caught, hold
from webhook_storage.testing.preset_trouble import TroublePromises

if TYPE_CHECKING:
    from webhook_storage.testing.preset_case import PresetCase


class PresetSuite(ArtifactPromises, TroublePromises):
    """The promises of a preset, one method each.

    With pytest, derive a class whose name begins with ``Test`` and give it a fixture `case`;
    without it, call `preset_suite`. A breach is an `AssertionError` that says what was promised and
    what came instead, and shows no secret. What a case leaves out is not tried.

    Example:
        >>> from webhook_storage import Webhook
        >>> from webhook_storage.testing import FakeTransport, PresetCase
        >>> files = {}
        >>> def service(request):
        ...     if request.method == "PUT":
        ...         files[request.path] = request.body
        ...         return 201, {}, b""
        ...     body = files.get(request.path)
        ...     return (404, {}, b"") if body is None else (200, {}, body)
        >>> class TestShelf(PresetSuite):
        ...     def case(self):  # with pytest: decorated with @pytest.fixture
        ...         file = {"url": "https://files.example.com/${artifact.key}"}
        ...         return PresetCase(
        ...             storage=Webhook(file, "PUT", file, "GET"),
        ...             transport=lambda: FakeTransport(service),
        ...         )
        >>> suite = TestShelf()
        >>> suite.test_a_second_store_replaces_the_first(suite.case())
        >>> suite.test_what_is_missing_is_said_to_be(suite.case())
    """


def preset_suite(case: PresetCase) -> None:
    """Hold a preset to the whole contract.

    Args:
        case: The storage and its service.

    Raises:
        AssertionError: At the first breach; it says what the contract wants.
    """
    for kind in PresetSuite.__mro__:
        for name in vars(kind):  # as they are written: the simple ones come first
            if name.startswith("test_"):
                keep_promise(name, case)


def keep_promise(name: str, case: PresetCase) -> None:
    """Hold a preset to one promise.

    Args:
        name: That of its method.
        case: The storage and its service.

    Raises:
        AssertionError: It is broken, or an error has come where none should.
    """
    __tracebackhide__ = True
    error = caught(partial(getattr(PresetSuite(), name), case))
    promise = name.removeprefix("test_").replace("_", " ")
    hold(error is None, promise, case.said(error))
