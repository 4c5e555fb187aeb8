"""Which Python runs here, and whether it may load what another one pickled."""

from __future__ import annotations

import platform

from webhook_storage.errors import PythonVersionError


def this_python() -> str:
    """Return implementation and version, for example ``CPython 3.11.7``."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def check_python(stored: str) -> None:
    """Compare implementation, major and minor version with those that run here.

    Code objects of another version make the interpreter crash, which no handler can catch.

    Raises:
        PythonVersionError: When they differ.
    """
    if _minor(stored) != _minor(this_python()):
        message = (
            f"the flow was pickled by {stored or 'an unknown Python'}, this is {this_python()}"
        )
        raise PythonVersionError(
            message, hint="load it with that version, or store the flow as a script"
        )


def _minor(version: str) -> list[str]:
    implementation, _, numbers = version.partition(" ")
    return [implementation, *numbers.split(".")[:2]]
