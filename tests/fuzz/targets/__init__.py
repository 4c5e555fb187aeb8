"""One module for each parser.

Each has ``target(data)``, which raises when the parser does what it must not, ``SEEDS``, inputs
from which fuzzing begins, and ``WORDS``, what to put into them. Where a parser takes more memory
for any input, ``ALWAYS`` says how much.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol, cast

from tests.fuzz import kit


class Target(Protocol):
    """What a module here has."""

    SEEDS: tuple[bytes, ...]
    WORDS: tuple[bytes, ...]

    def target(self, data: bytes) -> None:
        """Feed the parser."""


NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Target:
    """Import the module of a target."""
    return cast("Target", importlib.import_module(f"{__name__}.{name}"))


def run(name: str, data: bytes, *, measured: bool = True) -> None:
    """Feed a target, and look at its memory if wanted."""
    module = load(name)
    if measured:
        always = getattr(module, "ALWAYS", kit.BYTES_ALWAYS)
        kit.measure(module.target, data, always=always)
    else:
        module.target(data)
